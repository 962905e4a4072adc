/* SPDX-License-Identifier: MIT */
/*
 * A process in memory of several nodes, and what its pages come from.
 */
#ifndef TESTS_MM_MEMPOLICY_WORLD_H
#define TESTS_MM_MEMPOLICY_WORLD_H

#include "world.h"

#include "base/err.h"
#include "mm/mapping.h"
#include "mm/mempolicy.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define B     UINT64_C(0x20000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define SHARE (PF_MAP_SHARED | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define MOVE  PF_MPOL_MF_MOVE
#define ALL   PF_MPOL_MF_MOVE_ALL
#define PAGES 64u

static unsigned cpu_node;

static inline unsigned here(void *ctx)
{
	(void)ctx;
	return cpu_node;
}

static inline pf_pte_t at(struct pf_mm *m, pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(m, va, &info);
	return info.pte;
}

/* The node of a page; -1: none is there. */
static inline int node_of(struct pf_mm *m, pf_va_t va)
{
	const pf_pte_t pte = at(m, va);

	return pf_pte_present(pte) ? (int)WORLD_NODE(pf_pte_pfn(pte)) : -1;
}

static inline enum pf_fault_result fault(struct pf_mm *m, pf_va_t va, unsigned flags)
{
	if (flags & PF_FAULT_FLAG_WRITE)
		machine_note_store(va);
	return pf_handle_mm_fault(m, va, flags);
}

/* A page at va is written; its node. */
static inline int put_page(pf_va_t va)
{
	assert_int_equal(fault(&mm, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	return node_of(&mm, va);
}

/* Pages of single-page folios at A, as they come. */
static inline void map(unsigned pages, unsigned flags)
{
	assert_int_equal(pf_mmap(&mm, A, pages * P, RW, flags), A);
}

static inline void small_folios(void)
{
	memset(sys.thp.order, 0, sizeof(sys.thp.order));
}

static inline void start(const struct pf_format *fmt, unsigned nodes)
{
	world_nodes = nodes;
	world_start(fmt, 0);
	phys.local_node = here;
	cpu_node = 0;
}

static inline void stop(void)
{
	world_check("the end");
	world_stop();
}

/* Everything that is free of a node: each has the last one's address. */
static inline struct pf_folio *fill(unsigned node, unsigned but)
{
	struct pf_folio *last = NULL, *folio;
	struct pf_phys_stats st;

	pf_phys_node_stats(&phys, node, &st);
	for (uint64_t n = st.free; n > but; n--) {
		folio = pf_folio_alloc_where(&phys, 0, PF_USE_FILE, pf_only(node));
		assert_non_null(folio);
		folio->head.index = (uintptr_t)last;
		last = folio;
	}
	return last;
}

static inline void empty(struct pf_folio *last)
{
	while (last) {
		struct pf_folio *folio = last;

		last = (struct pf_folio *)(uintptr_t)folio->head.index;
		pf_folio_put(&phys, folio, 1);
	}
}

static inline unsigned vmas(struct pf_mm *m, pf_va_t from, pf_va_t to)
{
	struct pf_vma_info info;
	unsigned n = 0;

	for (; pf_find_vma_info(m, from, &info) && info.area.start < to; from = info.area.end)
		n++;
	return n;
}

/* ---- a file ---- */

static char disk[PAGES * P];

static inline int read_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping;
	memcpy(pf_port_virt(pa), disk + index * P, nr * P);
	return 0;
}

static inline int write_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping;
	memcpy(disk + index * P, pf_port_virt(pa), nr * P);
	return 0;
}

static const struct pf_mapping_ops disk_ops = {.read = read_disk, .write = write_disk};

/* For every format, with folding and without. */
#define RUN_EVERYWHERE(...)                                                                        \
	int failed = 0;                                                                            \
                                                                                                   \
	for (unsigned i = 0; pf_formats[i]; i++)                                                   \
		for (unsigned fold = 0; fold < 2; fold++) {                                        \
			void *fmt = (void *)pf_formats[i];                                         \
			const struct CMUnitTest tests[] = {__VA_ARGS__};                           \
                                                                                                   \
			world_policy = fold ? PF_FOLD_WATCH : PF_FOLD_OFF;                         \
			failed += cmocka_run_group_tests_name(                                     \
				pf_formats[i]->pt->name, tests, NULL, NULL);                       \
		}                                                                                  \
	return failed
#define TEST(name) cmocka_unit_test_prestate(name, fmt)

#endif
