/* SPDX-License-Identifier: MIT */
/*
 * Memory of two and of four nodes: what policies there may be, on which node every kind of page lands, what mbind, move_pages and
 * migrate_pages move and what they say of it; for every format, with folding and without.
 */
#include "world.h"

#include "base/err.h"
#include "mm/collapse.h"
#include "mm/mapping.h"
#include "mm/mempolicy.h"
#include "mm/migrate.h"
#include "mm/numa.h"
#include "mm/rmap.h"
#include "mm/uffd.h"
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

static unsigned here(void *ctx)
{
	(void)ctx;
	return cpu_node;
}

static pf_pte_t at(struct pf_mm *m, pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(m, va, &info);
	return info.pte;
}

/* The node of a page; -1: none is there. */
static int node_of(struct pf_mm *m, pf_va_t va)
{
	const pf_pte_t pte = at(m, va);

	return pf_pte_present(pte) ? (int)WORLD_NODE(pf_pte_pfn(pte)) : -1;
}

static enum pf_fault_result fault(struct pf_mm *m, pf_va_t va, unsigned flags)
{
	if (flags & PF_FAULT_FLAG_WRITE)
		machine_note_store(va);
	return pf_handle_mm_fault(m, va, flags);
}

/* A page at va is written; its node. */
static int put_page(pf_va_t va)
{
	assert_int_equal(fault(&mm, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	return node_of(&mm, va);
}

/* Pages of single-page folios at A, as they come. */
static void map(unsigned pages, unsigned flags)
{
	assert_int_equal(pf_mmap(&mm, A, pages * P, RW, flags), A);
}

static void small_folios(void)
{
	memset(sys.thp.order, 0, sizeof(sys.thp.order));
}

static void start(const struct pf_format *fmt, unsigned nodes)
{
	world_nodes = nodes;
	world_start(fmt, 0);
	phys.local_node = here;
	cpu_node = 0;
}

static void stop(void)
{
	world_check("the end");
	assert_null(pf_rmap_check(&sys));
	world_stop();
}

/* Everything that is free of a node: each has the last one's address. */
static struct pf_folio *fill(unsigned node, unsigned but)
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

static void empty(struct pf_folio *last)
{
	while (last) {
		struct pf_folio *folio = last;

		last = (struct pf_folio *)(uintptr_t)folio->head.index;
		pf_folio_put(&phys, folio, 1);
	}
}

static unsigned vmas(struct pf_mm *m, pf_va_t from, pf_va_t to)
{
	struct pf_vma_info info;
	unsigned n = 0;

	for (; pf_find_vma_info(m, from, &info) && info.area.start < to; from = info.area.end)
		n++;
	return n;
}

/* ---- what may be asked for ---- */

#define STATIC   PF_MPOL_F_STATIC_NODES
#define RELATIVE PF_MPOL_F_RELATIVE_NODES
#define BALANCE  PF_MPOL_F_NUMA_BALANCING

/* Of four nodes. */
static const struct {
	unsigned mode;
	uint64_t nodes;
	int err;
	unsigned got_mode;
	uint64_t got_nodes;
} asked[] = {
	{PF_MPOL_DEFAULT, 0, 0, PF_MPOL_DEFAULT, 0},
	{PF_MPOL_DEFAULT, 1, -PF_EINVAL, 0, 0},
	{PF_MPOL_DEFAULT | STATIC, 0, 0, PF_MPOL_DEFAULT, 0},
	{PF_MPOL_PREFERRED, 0, 0, PF_MPOL_LOCAL, 0},
	{PF_MPOL_PREFERRED, 12, 0, PF_MPOL_PREFERRED, 4},
	{PF_MPOL_PREFERRED, 0x30, -PF_EINVAL, 0, 0},
	{PF_MPOL_PREFERRED, 0x38, 0, PF_MPOL_PREFERRED, 8},
	{PF_MPOL_PREFERRED | STATIC, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_PREFERRED | RELATIVE, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_PREFERRED | RELATIVE, 0x40, 0, PF_MPOL_PREFERRED | RELATIVE, 0x40},
	{PF_MPOL_BIND, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_BIND, 10, 0, PF_MPOL_BIND, 10},
	{PF_MPOL_BIND, 0x1a, 0, PF_MPOL_BIND, 10},
	{PF_MPOL_BIND, PF_BIT(63), -PF_EINVAL, 0, 0},
	{PF_MPOL_BIND | STATIC, 0x1a, 0, PF_MPOL_BIND | STATIC, 0x1a},
	{PF_MPOL_BIND | STATIC, 0x10, -PF_EINVAL, 0, 0},
	{PF_MPOL_BIND | RELATIVE, 0x30, 0, PF_MPOL_BIND | RELATIVE, 0x30},
	{PF_MPOL_BIND | STATIC | RELATIVE, 1, -PF_EINVAL, 0, 0},
	{PF_MPOL_BIND | BALANCE, 3, 0, PF_MPOL_BIND | BALANCE, 3},
	{PF_MPOL_PREFERRED_MANY | BALANCE, 3, 0, PF_MPOL_PREFERRED_MANY | BALANCE, 3},
	{PF_MPOL_INTERLEAVE | BALANCE, 3, -PF_EINVAL, 0, 0},
	{PF_MPOL_INTERLEAVE, 15, 0, PF_MPOL_INTERLEAVE, 15},
	{PF_MPOL_WEIGHTED_INTERLEAVE, 5, 0, PF_MPOL_WEIGHTED_INTERLEAVE, 5},
	{PF_MPOL_LOCAL, 0, 0, PF_MPOL_LOCAL, 0},
	{PF_MPOL_LOCAL, 1, -PF_EINVAL, 0, 0},
	{PF_MPOL_LOCAL | STATIC, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_PREFERRED_MANY, 6, 0, PF_MPOL_PREFERRED_MANY, 6},
	{PF_MPOL_PREFERRED_MANY, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_MAX, 1, -PF_EINVAL, 0, 0},
	{0x1000, 1, -PF_EINVAL, 0, 0},
	{0x10000 | PF_MPOL_BIND, 1, -PF_EINVAL, 0, 0},
};

static void policies(void **state)
{
	unsigned mode;
	uint64_t nodes;

	start(*state, 4);
	map(4, FIXED);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(asked); i++) {
		const int err = asked[i].err;

		assert_int_equal(pf_set_mempolicy(&mm, asked[i].mode, asked[i].nodes), err);
		assert_int_equal(pf_mbind(&mm, A, P, asked[i].mode, asked[i].nodes, 0), err);
		/* Of nothing only the mode is looked at. */
		assert_int_equal(pf_mbind(&mm, A, 0, asked[i].mode, asked[i].nodes, 0),
			(asked[i].mode & 0xfff) >= PF_MPOL_MAX || asked[i].mode >> 16 ||
					asked[i].mode & 0x1000 ||
					asked[i].mode == (PF_MPOL_BIND | STATIC | RELATIVE) ||
					asked[i].mode == (PF_MPOL_INTERLEAVE | BALANCE)
				? -PF_EINVAL
				: 0);
		if (err)
			continue;
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(pf_get_mempolicy(&mm, &mode, &nodes, k ? A + 5 : 0,
						 k ? PF_MPOL_F_ADDR : 0),
				0);
			assert_int_equal(mode, asked[i].got_mode);
			assert_int_equal(nodes, asked[i].got_nodes);
		}
		world_check("a policy");
	}
	stop();
}

static void asking(void **state)
{
	unsigned mode = 77;
	uint64_t nodes;

	start(*state, 4);
	map(4, FIXED);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, 0, 8), -PF_EINVAL);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, A, 0), -PF_EINVAL);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, 0, PF_MPOL_F_NODE), -PF_EINVAL);
	assert_int_equal(
		pf_get_mempolicy(&mm, NULL, NULL, 0, PF_MPOL_F_MEMS_ALLOWED | PF_MPOL_F_NODE),
		-PF_EINVAL);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, B, PF_MPOL_F_ADDR), -PF_EFAULT);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, A, PF_MPOL_F_ADDR), 0);
	assert_int_equal(pf_get_mempolicy(&mm, &mode, &nodes, 0, PF_MPOL_F_MEMS_ALLOWED), 0);
	assert_int_equal(mode, 0);
	assert_int_equal(nodes, 15);
	/* A VMA without a policy says so, whatever its process's is. */
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_INTERLEAVE, 10), 0);
	assert_int_equal(pf_get_mempolicy(&mm, &mode, &nodes, A, PF_MPOL_F_ADDR), 0);
	assert_int_equal(mode, PF_MPOL_DEFAULT);
	assert_int_equal(nodes, 0);
	assert_int_equal(pf_get_mempolicy(&mm, &mode, &nodes, 0, PF_MPOL_F_NODE), 0);
	assert_int_equal(mode, 1);
	assert_int_equal(nodes, 10);
	/* The page, which comes for that; and where it is, not where it should be. */
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_PREFERRED, 4, 0), 0);
	machine_note_store(A + P);
	assert_int_equal(put_page(A + P), 2);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_PREFERRED, 8, 0), 0);
	assert_int_equal(
		pf_get_mempolicy(&mm, &mode, &nodes, A + P + 3, PF_MPOL_F_ADDR | PF_MPOL_F_NODE),
		0);
	assert_int_equal(mode, 2);
	assert_int_equal(nodes, 8);
	assert_int_equal(pf_mprotect(&mm, A, P, PF_PROT_NONE), 0);
	assert_int_equal(
		pf_get_mempolicy(&mm, &mode, NULL, A, PF_MPOL_F_ADDR | PF_MPOL_F_NODE), -PF_EFAULT);
	stop();
}

static void mbind_errors(void **state)
{
	start(*state, 2);
	small_folios();
	map(12, FIXED);
	assert_int_equal(pf_munmap(&mm, A + 4 * P, P), 0);
	assert_int_equal(pf_mbind(&mm, A + 1, P, PF_MPOL_BIND, 1, 0), -PF_EINVAL);
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND, 1, 8), -PF_EINVAL);
	assert_int_equal(pf_mbind(&mm, A, 0 - A - P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A, 0 - P, PF_MPOL_BIND, 1, 0), -PF_EINVAL);
	/* A length that wraps to nothing is nothing. */
	assert_int_equal(pf_mbind(&mm, A, UINT64_MAX, PF_MPOL_BIND, 1, 0), 0);
	/* At the head, in the middle, at the end, and nothing but. */
	assert_int_equal(pf_mbind(&mm, A - P, 2 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + P, 5 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + 4 * P, 2 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + 11 * P, 2 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + 12 * P, 2 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + 12 * P, 2 * P, PF_MPOL_DEFAULT, 0, 0), -PF_EFAULT);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 2);
	/* That nothing is wanted may be said of holes. */
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(pf_mbind(&mm, A + 11 * P, P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 4);
	assert_int_equal(pf_mbind(&mm, A - P, 20 * P, PF_MPOL_DEFAULT, 0, PF_MPOL_MF_STRICT), 0);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 2);
	/* Pages elsewhere, and before a hole: the page is found first. */
	assert_int_equal(put_page(A), 0);
	assert_int_equal(pf_mbind(&mm, A, 2 * P, PF_MPOL_BIND, 2, PF_MPOL_MF_STRICT), -PF_EIO);
	assert_int_equal(pf_mbind(&mm, A, 2 * P, PF_MPOL_BIND, 1, PF_MPOL_MF_STRICT), 0);
	assert_int_equal(pf_mbind(&mm, A, 2 * P, PF_MPOL_DEFAULT, 0, PF_MPOL_MF_STRICT), 0);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 2);
	/* Too many mappings: what comes before is done. */
	sys.max_map_count = 3;
	assert_int_equal(pf_mbind(&mm, A + P, P, PF_MPOL_BIND, 2, 0), -PF_ENOMEM);
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(pf_mbind(&mm, A + P, 2 * P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 3);
	stop();
}

/* Borders come and go with policies, whoever makes them. */
static void merging(void **state)
{
	start(*state, 2);
	map(12, FIXED);
	assert_int_equal(pf_mbind(&mm, A + 4 * P, 4 * P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, B), 3);
	assert_int_equal(pf_mbind(&mm, A + 6 * P, 4 * P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, B), 3);
	assert_int_equal(pf_mbind(&mm, A + 5 * P, P, PF_MPOL_BIND | STATIC, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, B), 5);
	/* What else would make neighbours one. */
	assert_int_equal(pf_mprotect(&mm, A, 12 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_mprotect(&mm, A, 12 * P, RW), 0);
	assert_int_equal(vmas(&mm, A, B), 5);
	world_check("protected");
	assert_int_equal(pf_mmap(&mm, A + 12 * P, P, RW, FIXED), A + 12 * P);
	assert_int_equal(vmas(&mm, A, B), 5);
	assert_int_equal(pf_mmap(&mm, A + 5 * P, P, RW, FIXED), A + 5 * P);
	assert_int_equal(vmas(&mm, A, B), 5);
	assert_int_equal(pf_mbind(&mm, A, 13 * P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, B), 1);
	stop();
}

/* ---- where pages land ---- */

static void faults(void **state)
{
	struct pf_folio *kept;

	start(*state, 4);
	small_folios();
	map(PAGES, FIXED);
	cpu_node = 2;
	assert_int_equal(put_page(A), 2);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_PREFERRED, 8), 0);
	assert_int_equal(put_page(A + P), 3);
	assert_int_equal(pf_mbind(&mm, A + 2 * P, 2 * P, PF_MPOL_LOCAL, 0, 0), 0);
	assert_int_equal(put_page(A + 2 * P), 2);
	cpu_node = 1;
	assert_int_equal(put_page(A + 3 * P), 1);
	/* Of those that are allowed the nearest: by number, and around. */
	assert_int_equal(pf_mbind(&mm, A + 4 * P, 4 * P, PF_MPOL_BIND, 9, 0), 0);
	assert_int_equal(put_page(A + 4 * P), 3);
	kept = fill(3, 0);
	assert_int_equal(put_page(A + 5 * P), 0);
	/* Nothing of the process's own can go, and what is free elsewhere is none of its business. */
	empty(kept);
	kept = fill(0, 0);
	assert_int_equal(pf_mbind(&mm, A + 8 * P, 4 * P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(fault(&mm, A + 8 * P, PF_FAULT_FLAG_WRITE), PF_FAULT_OOM);
	assert_int_equal(pf_mbind(&mm, A + 8 * P, P, PF_MPOL_PREFERRED, 1, 0), 0);
	assert_int_equal(put_page(A + 8 * P), 1);
	assert_int_equal(pf_mbind(&mm, A + 9 * P, P, PF_MPOL_PREFERRED_MANY, 9, 0), 0);
	assert_int_equal(put_page(A + 9 * P), 3);
	empty(kept);
	cpu_node = 0;
	assert_int_equal(pf_mbind(&mm, A + 10 * P, P, PF_MPOL_PREFERRED_MANY, 12, 0), 0);
	assert_int_equal(put_page(A + 10 * P), 2);
	/* No node of them has any: then any. */
	kept = fill(2, 0);
	assert_int_equal(pf_mbind(&mm, A + 11 * P, P, PF_MPOL_PREFERRED_MANY, 4, 0), 0);
	assert_int_equal(put_page(A + 11 * P), 0);
	empty(kept);
	stop();
}

/* By its place in memory, so that borders of mappings change nothing; and large folios in turn, too. */
static void interleaved(void **state)
{
	static const int of_three[] = {0, 2, 3};

	start(*state, 4);
	small_folios();
	map(PAGES, FIXED);
	assert_int_equal(pf_mbind(&mm, A, PAGES * P, PF_MPOL_INTERLEAVE, 13, 0), 0);
	assert_int_equal(
		pf_mprotect(&mm, A + 7 * P, P, PF_PROT_READ | PF_PROT_WRITE | PF_PROT_EXEC), 0);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(put_page(A + i * P), of_three[(A / P + i) % 3]);
	/* Their mapping begins within one: Linux counts what is before it and what is in it apart. */
	sys.thp.order[4] = PF_THP_ALWAYS;
	for (unsigned i = 2; i < 4; i++) {
		assert_int_equal(
			put_page(A + (16 * i + 5) * P), of_three[(A / P / 16 + i - 1) % 3]);
		for (unsigned k = 0; k < 16; k++)
			assert_int_equal(node_of(&mm, A + (16 * i + k) * P),
				of_three[(A / P / 16 + i - 1) % 3]);
	}
	/* The process's, too. */
	small_folios();
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_WEIGHTED_INTERLEAVE, 6), 0);
	assert_int_equal(pf_mmap(&mm, B, 8 * P, RW, FIXED), B);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(put_page(B + i * P), 1 + (int)((B / P + i) % 2));
	stop();
}

/* Copies are new pages: of what is written after a fork, of what a child may not share, of the page of zeros. */
static void copies(void **state)
{
	struct pf_mm child;
	pf_pfn_t pfn;

	start(*state, 2);
	small_folios();
	map(8, FIXED);
	assert_int_equal(put_page(A), 0);
	assert_int_equal(put_page(A + P), 0);
	assert_int_equal(put_page(A + 2 * P), 0);
	assert_int_equal(fault(&mm, A + 3 * P, 0), PF_FAULT_DONE);
	assert_int_equal(pf_mbind(&mm, A + 3 * P, P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(put_page(A + 3 * P), 1);
	assert_int_equal(pf_mbind(&mm, A + P, P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_BIND, 2), 0);
	machine_note_store(A + 2 * P);
	assert_int_equal(pf_gup(&mm, A + 2 * P, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	pf_unpin_user_pages(&sys, &pfn, 1);
	assert_int_equal(node_of(&child, A + 2 * P), 1);
	assert_int_equal(node_of(&mm, A + 2 * P), 0);
	assert_int_equal(put_page(A + P), 1);
	assert_int_equal(vmas(&child, A, B), vmas(&mm, A, B));
	/* What is new in the child follows the policies that it was given. */
	machine_note_store(A);
	assert_int_equal(fault(&child, A, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	assert_int_equal(node_of(&child, A), 1);
	machine_note_store(A + 4 * P);
	assert_int_equal(fault(&child, A + 4 * P, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	assert_int_equal(node_of(&child, A + 4 * P), 1);
	assert_null(pf_mm_check(&child));
	pf_mm_exit(&child);
	machine_retire_asid(2);
	stop();
}

/* ---- memory of mappings ---- */

static char disk[PAGES * P];

static int read_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping;
	memcpy(pf_port_virt(pa), disk + index * P, nr * P);
	return 0;
}

static const struct pf_mapping_ops disk_ops = {.read = read_disk};

static void mappings(void **state)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	start(*state, 2);
	small_folios();
	f.mapping = pf_mapping_create(&sys, &disk_ops, NULL, PAGES * P);
	assert_non_null(f.mapping);
	assert_int_equal(pf_mmap_file(&mm, A, 8 * P, RW, PF_MAP_PRIVATE | PF_MAP_FIXED, &f, 0), A);
	/* A file is nobody's own: the process's policy counts; of copies the mapping's. */
	assert_int_equal(pf_mbind(&mm, A, 8 * P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(fault(&mm, A + P, 0), PF_FAULT_DONE);
	assert_int_equal(node_of(&mm, A + P), 0);
	assert_int_equal(put_page(A + P), 1);
	assert_int_equal(put_page(A + 2 * P), 1);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_INTERLEAVE, 3), 0);
	for (unsigned i = 3; i < 7; i++) {
		unsigned next;

		assert_int_equal(pf_get_mempolicy(&mm, &next, NULL, 0, PF_MPOL_F_NODE), 0);
		assert_int_equal(next, (i + 1) % 2);
		assert_int_equal(fault(&mm, A + i * P, 0), PF_FAULT_DONE);
		assert_int_equal(node_of(&mm, A + i * P), (i + 1) % 2);
	}
	pf_mapping_put(f.mapping);
	/* Shared memory follows the mapping that it comes in through. */
	assert_int_equal(pf_mmap(&mm, B, 8 * P, RW, SHARE), B);
	assert_int_equal(pf_mbind(&mm, B + P, P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(put_page(B + P), 1);
	assert_int_equal(pf_mbind(&mm, B + 2 * P, 4 * P, PF_MPOL_INTERLEAVE, 3, 0), 0);
	for (unsigned i = 2; i < 6; i++)
		assert_int_equal(put_page(B + i * P), i % 2);
	stop();
}

/* ---- swap ---- */

#define SLOTS 64u
static char device[SLOTS * P];

static int dev_read(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	memcpy(pf_port_virt(pa), device + slot * P, bytes);
	return 0;
}

static int dev_write(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	memcpy(device + slot * P, pf_port_virt(pa), bytes);
	return 0;
}

static const struct pf_swap_ops swap_ops = {.read = dev_read, .write = dev_write};

static void swapped(void **state)
{
	start(*state, 2);
	small_folios();
	machine_adversary(false);
	assert_int_equal(pf_swapon(&sys, &swap_ops, NULL, SLOTS), 0);
	map(4, FIXED);
	assert_int_equal(pf_mmap(&mm, B, 4 * P, RW, SHARE), B);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(put_page(A + i * P), 0);
		assert_int_equal(put_page(B + i * P), 0);
	}
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 8);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_INTERLEAVE, 3, 0), 0);
	assert_int_equal(pf_mbind(&mm, B, 4 * P, PF_MPOL_BIND, 2, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(put_page(A + i * P), i % 2);
		assert_int_equal(put_page(B + i * P), 1);
	}
	/* Room is made on the node that it is wanted on. */
	{
		struct pf_folio *kept = fill(1, 0);

		assert_int_equal(put_page(A), 0);
		assert_int_equal(pf_mmap(&mm, A + 4 * P, P, RW, FIXED), A + 4 * P);
		assert_int_equal(pf_mbind(&mm, A + 4 * P, P, PF_MPOL_BIND, 2, 0), 0);
		assert_int_equal(put_page(A + 4 * P), 1);
		assert_int_equal(node_of(&mm, A), 0);
		assert_int_equal(node_of(&mm, A + 2 * P), 0);
		empty(kept);
	}
	machine_adversary(true);
	assert_int_equal(pf_munmap(&mm, A, 8 * P), 0);
	assert_int_equal(pf_munmap(&mm, B, 8 * P), 0);
	assert_int_equal(pf_swapoff(&sys, 0), 0);
	stop();
}

/* ---- userfaultfd, collapse, migration, mremap ---- */

static void others(void **state)
{
	const struct pf_format *fmt = *state;
	const unsigned table = 1u << fmt->pt->level_bits;

	start(fmt, 2);
	small_folios();
	/* Where most of the pages are, whatever is wanted now. */
	if (table <= 1u << WORLD_NODE_ORDER) {
		const pf_va_t va = pf_align_up(A, table * P);

		assert_int_equal(pf_mmap(&mm, va, table * P, RW, FIXED), va);
		cpu_node = 1;
		for (unsigned i = 0; i < 7; i++)
			assert_int_equal(put_page(va + i * P), 1);
		cpu_node = 0;
		for (unsigned i = 7; i < 12; i++)
			assert_int_equal(put_page(va + i * P), 0);
		world_note(va, table);
		assert_int_equal(pf_madvise(&mm, va, table * P, PF_MADV_COLLAPSE), 0);
		assert_int_equal(node_of(&mm, va + 9 * P), 1);
		assert_int_equal(pf_munmap(&mm, va, table * P), 0);
	}
	/* Another frame of the same node. */
	map(8, FIXED);
	cpu_node = 1;
	assert_int_equal(put_page(A), 1);
	cpu_node = 0;
	assert_int_equal(put_page(A + P), 0);
	assert_int_equal(pf_migrate(&mm, A, 8 * P), 0);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&mm, A + P), 0);
	/* A policy goes with its memory, and grows with it. */
	assert_int_equal(pf_mbind(&mm, A, 8 * P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(
		pf_mremap(&mm, A, 8 * P, 12 * P, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED, B), B);
	assert_int_equal(vmas(&mm, B, B + 12 * P), 1);
	assert_int_equal(put_page(B + 10 * P), 1);
	assert_int_equal(pf_mremap(&mm, B, 12 * P, 16 * P, 0, 0), B);
	assert_int_equal(vmas(&mm, B, B + 16 * P), 1);
	assert_int_equal(put_page(B + 14 * P), 1);
	stop();
}

static void tell(struct pf_uffd *uffd, const struct pf_uffd_msg *msg)
{
	(void)uffd;
	(void)msg;
}

static void wake(struct pf_uffd *uffd, pf_va_t from, uint64_t len)
{
	(void)uffd;
	(void)from;
	(void)len;
}

static const struct pf_uffd_ops uffd_ops = {.fault = tell, .wake = wake};

/* What a userfaultfd brings is its owner's memory like any other. */
static void brought(void **state)
{
	struct pf_uffd uffd;
	uint64_t features = 0, ioctls;
	int64_t done;

	start(*state, 2);
	small_folios();
	map(4, FIXED);
	assert_int_equal(put_page(A), 0);
	assert_int_equal(pf_mmap(&mm, B, 8 * P, RW, FIXED), B);
	assert_int_equal(pf_userfaultfd(&uffd, &mm, PF_UFFD_USER_MODE_ONLY, &uffd_ops, NULL), 0);
	assert_int_equal(pf_uffd_api(&uffd, PF_UFFD_API, &features, &ioctls), 0);
	assert_int_equal(
		pf_uffd_register(&uffd, B, 8 * P, PF_UFFDIO_REGISTER_MODE_MISSING, &ioctls), 0);
	assert_int_equal(pf_mbind(&mm, B, 4 * P, PF_MPOL_INTERLEAVE, 3, 0), 0);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_BIND, 2), 0);
	for (unsigned i = 0; i < 6; i++) {
		machine_note_store(B + i * P);
		assert_int_equal(pf_uffd_copy(&uffd, &mm, B + i * P, A, P, 0, &done), 0);
		assert_int_equal(node_of(&mm, B + i * P), i < 4 ? (int)(i % 2) : 1);
	}
	world_check("brought");
	pf_uffd_close(&uffd);
	stop();
}

/* ---- mbind that moves ---- */

static void mbind_moves(void **state)
{
	struct pf_folio *kept;
	uint64_t stamp[4];
	pf_pfn_t pfn;

	start(*state, 2);
	small_folios();
	map(PAGES, FIXED);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(put_page(A + i * P), 0);
		stamp[i] = 77 + i;
		*(uint64_t *)pf_port_virt(pf_pte_pfn(at(&mm, A + i * P)) * P) = stamp[i];
	}
	/* Without a flag none moves; and what is there already does not either. */
	assert_int_equal(pf_mbind(&mm, A, 2 * P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(node_of(&mm, A), 0);
	pfn = pf_pte_pfn(at(&mm, A + 3 * P));
	assert_int_equal(pf_mbind(&mm, A + 3 * P, P, PF_MPOL_BIND, 1, MOVE), 0);
	assert_int_equal(pf_pte_pfn(at(&mm, A + 3 * P)), pfn);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE | PF_MPOL_MF_STRICT), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(node_of(&mm, A + i * P), 1);
		assert_int_equal(
			*(uint64_t *)pf_port_virt(pf_pte_pfn(at(&mm, A + i * P)) * P), stamp[i]);
	}
	world_check("moved");
	/* To where the policy wants each. */
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_INTERLEAVE, 3, MOVE), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(node_of(&mm, A + i * P), 1);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_DEFAULT, 0, MOVE), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(node_of(&mm, A + i * P), 0);
	/* A pin keeps its page, which is an error only for who insists; the policy is set. */
	machine_note_store(A + P);
	assert_int_equal(pf_gup(&mm, A + P, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE), 0);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&mm, A + P), 0);
	assert_int_equal(
		pf_mbind(&mm, A, 3 * P, PF_MPOL_PREFERRED, 2, MOVE | PF_MPOL_MF_STRICT), -PF_EIO);
	assert_int_equal(vmas(&mm, A, A + 4 * P), 2);
	pf_unpin_user_pages(&sys, &pfn, 1);
	world_check("pinned");
	/* No room there. */
	kept = fill(1, 0);
	assert_int_equal(
		pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE | PF_MPOL_MF_STRICT), -PF_EIO);
	assert_int_equal(node_of(&mm, A + P), 0);
	empty(kept);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(node_of(&mm, A + P), 1);
	stop();
}

static void large_folios_move(void **state)
{
	const struct pf_format *fmt = *state;
	uint64_t unfolds;
	bool folded;
	struct pf_page_info info;

	start(fmt, 2);
	map(32, FIXED);
	assert_int_equal(put_page(A + 3 * P), 0);
	pf_page_info(&mm, A, &info);
	assert_int_equal(info.order, 4);
	folded = info.folded;
	unfolds = mm.space.pt.stats.unfold;
	/* It goes as it is. */
	assert_int_equal(pf_mbind(&mm, A, 32 * P, PF_MPOL_BIND, 2, MOVE), 0);
	for (unsigned i = 0; i < 16; i++) {
		pf_page_info(&mm, A + i * P, &info);
		assert_int_equal(node_of(&mm, A + i * P), 1);
		assert_int_equal(info.order, 4);
		assert_int_equal(info.folded, folded);
	}
	assert_int_equal(mm.space.pt.stats.unfold, unfolds);
	/* A part is meant, and all of it goes. */
	assert_int_equal(pf_mbind(&mm, A + 2 * P, 3 * P, PF_MPOL_BIND, 1, MOVE), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(node_of(&mm, A + i * P), 0);
	assert_int_equal(pf_mbind(&mm, A, 32 * P, PF_MPOL_BIND, 2, MOVE), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(node_of(&mm, A + i * P), 1);
	/* Mapped in pieces, it is one folio, which nobody else is at work on. */
	assert_int_equal(pf_mprotect(&mm, A + 4 * P, 2 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_madvise(&mm, A + 8 * P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_mbind(&mm, A, 32 * P, PF_MPOL_BIND, 1, MOVE | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(node_of(&mm, A), 0);
	assert_int_equal(node_of(&mm, A + 9 * P), 0);
	stop();
}

static void shared_pages(void **state)
{
	struct pf_mm child;

	start(*state, 2);
	small_folios();
	map(4, FIXED);
	assert_int_equal(put_page(A), 0);
	assert_int_equal(put_page(A + P), 0);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	/* The child's too: stays, and that is not said to be a failure. */
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(node_of(&mm, A), 0);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_PREFERRED, 2, PF_MPOL_MF_STRICT), -PF_EIO);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, ALL | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&child, A), 1);
	assert_int_equal(pf_pte_pfn(at(&mm, A)), pf_pte_pfn(at(&child, A)));
	assert_null(pf_mm_check(&child));
	pf_mm_exit(&child);
	machine_retire_asid(2);
	stop();
}

/* ---- move_pages ---- */

static void moving_pages(void **state)
{
	pf_va_t pages[6] = {A, A + P + 7, A + 2 * P, A + 3 * P, B, A + 4 * P};
	int to[6] = {1, 1, 1, 1, 1, 1}, got[6];
	struct pf_mm child;
	pf_pfn_t pfn;

	start(*state, 2);
	small_folios();
	map(8, FIXED);
	assert_int_equal(put_page(A), 0);
	assert_int_equal(put_page(A + P), 0);
	assert_int_equal(fault(&mm, A + 2 * P, 0), PF_FAULT_DONE);
	cpu_node = 1;
	assert_int_equal(put_page(A + 4 * P), 1);
	cpu_node = 0;
	assert_int_equal(pf_move_pages(&mm, 6, pages, NULL, got, 0), 0);
	assert_int_equal(got[0], 0);
	assert_int_equal(got[1], 0);
	assert_int_equal(got[2], -PF_EFAULT);
	assert_int_equal(got[3], -PF_ENOENT);
	assert_int_equal(got[4], -PF_EFAULT);
	assert_int_equal(got[5], 1);
	assert_int_equal(pf_move_pages(&mm, 6, pages, NULL, got, 1), -PF_EINVAL);
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, 8), -PF_EINVAL);
	/* All that can go does, and each page says where it is. */
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, MOVE), 0);
	assert_int_equal(got[0], 1);
	assert_int_equal(got[1], 1);
	assert_int_equal(got[2], -PF_EFAULT);
	assert_int_equal(got[3], -PF_ENOENT);
	assert_int_equal(got[4], -PF_EFAULT);
	assert_int_equal(got[5], 1);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&mm, A + P), 1);
	/* To different nodes; one that there is none of ends it, behind what comes before. */
	to[0] = 0;
	to[2] = 2;
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, MOVE), -PF_ENODEV);
	assert_int_equal(node_of(&mm, A), 0);
	assert_int_equal(got[0], 0);
	to[1] = -1;
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, MOVE), -PF_ENODEV);
	/* Shared ones only for who may. */
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	to[0] = 1;
	assert_int_equal(pf_move_pages(&mm, 1, pages, to, got, MOVE), 0);
	assert_int_equal(got[0], -PF_EACCES);
	assert_int_equal(pf_move_pages(&mm, 1, pages, to, got, ALL), 0);
	assert_int_equal(got[0], 1);
	assert_int_equal(node_of(&child, A), 1);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	/* A pin: what did not go, and all behind it, is counted and not told. */
	assert_int_equal(put_page(A + P), 1);
	machine_note_store(A);
	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
	to[0] = to[1] = to[3] = to[4] = to[5] = 0;
	to[2] = 1;
	got[0] = got[1] = got[5] = 99;
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, MOVE), 1 + 4);
	assert_int_equal(got[0], 99);
	assert_int_equal(got[1], 99);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&mm, A + P), 0);
	pf_unpin_user_pages(&sys, &pfn, 1);
	/* A page twice: the first is on its way. */
	pages[1] = A;
	assert_int_equal(pf_move_pages(&mm, 2, pages, to, got, MOVE), 0);
	assert_int_equal(got[0], 0);
	assert_int_equal(got[1], -PF_EBUSY);
	assert_int_equal(node_of(&mm, A), 0);
	stop();
}

/* ---- migrate_pages ---- */

static void migrating(void **state)
{
	static const struct {
		uint64_t from, to;
		int node[4];
	} cases[] = {
		{1, 2, {1, 1, 2, 3}},
		{3, 6, {1, 2, 2, 3}}, /* one step on, each: the last goes first */
		{15, 15, {0, 1, 2, 3}},
		{7, 14, {1, 2, 3, 3}},
		{15, 1, {0, 0, 0, 0}},
		{15, 12, {2, 3, 2, 3}},
		{3, 3, {0, 1, 2, 3}},
		{6, 9, {0, 0, 3, 3}},
		{0, 1, {0, 1, 2, 3}},
		{16, 1, {0, 1, 2, 3}},
		{1, 0x30 | 8, {3, 1, 2, 3}},
	};

	for (unsigned i = 0; i < PF_ARRAY_SIZE(cases); i++) {
		struct pf_folio *kept;
		pf_pfn_t pfn;

		start(*state, 4);
		small_folios();
		assert_int_equal(pf_migrate_pages(&mm, 1, 2, MOVE), 0);
		map(8, FIXED);
		for (cpu_node = 0; cpu_node < 4; cpu_node++)
			assert_int_equal(put_page(A + cpu_node * P), cpu_node);
		cpu_node = 0;
		assert_int_equal(pf_migrate_pages(&mm, cases[i].from, cases[i].to, MOVE), 0);
		for (unsigned n = 0; n < 4; n++)
			assert_int_equal(node_of(&mm, A + n * P), cases[i].node[n]);
		assert_int_equal(pf_migrate_pages(&mm, 1, 0x10, MOVE), -PF_EINVAL);
		assert_int_equal(pf_migrate_pages(&mm, 1, 2, MOVE | ALL), -PF_EINVAL);
		assert_int_equal(pf_migrate_pages(&mm, 1, 2, 0), -PF_EINVAL);
		/* What stays is counted: pinned, or without room. */
		assert_int_equal(pf_migrate_pages(&mm, 15, 1, MOVE), 0);
		machine_note_store(A + P);
		assert_int_equal(pf_gup(&mm, A + P, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
		assert_int_equal(pf_migrate_pages(&mm, 1, 2, MOVE), 1);
		assert_int_equal(node_of(&mm, A + P), 0);
		assert_int_equal(node_of(&mm, A), 1);
		pf_unpin_user_pages(&sys, &pfn, 1);
		kept = fill(3, 1);
		assert_int_equal(pf_migrate_pages(&mm, 2, 8, MOVE), 2);
		empty(kept);
		stop();
	}
}

/* ---- pages that follow ---- */

/* Hints, and a use of the page by a CPU of node `node`; where it is then. */
static int use(pf_va_t va, unsigned node, bool write)
{
	assert_int_equal(pf_numa_hint(&mm, pf_align_down(va, 16 * P), 16 * P), 0);
	cpu_node = node;
	if (write)
		machine_note_store(va);
	assert_int_equal(
		pf_handle_mm_fault(&mm, va, write ? PF_FAULT_FLAG_WRITE : 0), PF_FAULT_DONE);
	cpu_node = 0;
	world_check("used");
	assert_false(pf_pte_protnone(at(&mm, va)));
	return node_of(&mm, va);
}

static bool hinted(pf_va_t va)
{
	assert_int_equal(pf_numa_hint(&mm, va, P), 0);
	return pf_pte_protnone(at(&mm, va));
}

static void following(void **state)
{
	const struct pf_format *fmt = *state;
	struct pf_folio *kept, *folio;
	struct pf_page_info info;
	uint64_t *word;
	pf_pfn_t pfn;
	bool folded;

	start(fmt, 4);
	small_folios();
	map(PAGES, FIXED);
	assert_int_equal(put_page(A), 0);
	word = pf_port_virt(pf_pte_pfn(at(&mm, A)) * P);
	*word = 4711;
	assert_int_equal(use(A, 1, false), 1);
	word = pf_port_virt(pf_pte_pfn(at(&mm, A)) * P);
	assert_int_equal(*word, 4711);
	assert_int_equal(use(A, 3, true), 3);
	pfn = pf_pte_pfn(at(&mm, A));
	assert_int_equal(use(A, 3, true), 3);
	assert_int_equal(pf_pte_pfn(at(&mm, A)), pfn);
	/* GUP that honours hints is a use. */
	assert_true(hinted(A));
	cpu_node = 2;
	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_GET | PF_FOLL_HONOR_NUMA_FAULT, &pfn), 1);
	assert_int_equal(WORLD_NODE(pfn), 2);
	/* Who keeps it keeps it there, and loses no right. */
	assert_true(hinted(A));
	assert_int_equal(use(A, 1, true), 2);
	pf_put_user_pages(&sys, &pfn, 1);
	folio = pf_page_folio(&phys, pfn);
	assert_true(pf_folio_trylock(folio));
	assert_int_equal(use(A, 1, true), 2);
	pf_folio_unlock(folio);
	/* Nobody gives memory up for it. */
	kept = fill(1, 1);
	assert_int_equal(use(A, 1, false), 2);
	empty(kept);
	assert_int_equal(use(A, 1, false), 1);
	/* What a policy has put somewhere is left alone, unless it says otherwise. */
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND, 15, 0), 0);
	assert_false(hinted(A));
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_LOCAL, 0, 0), 0);
	assert_false(hinted(A));
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND | BALANCE, 6, 0), 0);
	assert_true(hinted(A));
	assert_int_equal(use(A, 2, false), 2);
	assert_int_equal(use(A, 3, false), 2);
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_DEFAULT, 0, 0), 0);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_INTERLEAVE, 15), 0);
	assert_false(hinted(A));
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_DEFAULT, 0), 0);
	/* A policy that comes when the hint is there already. */
	assert_true(hinted(A));
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_PREFERRED, 1, 0), 0);
	cpu_node = 1;
	assert_int_equal(fault(&mm, A, 0), PF_FAULT_DONE);
	assert_int_equal(node_of(&mm, A), 2);
	assert_false(pf_pte_protnone(at(&mm, A)));
	cpu_node = 0;
	/* A large folio as a whole, folded as it was. */
	sys.thp.order[4] = PF_THP_ALWAYS;
	assert_int_equal(put_page(A + 16 * P), 0);
	pf_page_info(&mm, A + 16 * P, &info);
	folded = info.folded;
	assert_int_equal(use(A + 21 * P, 3, true), 3);
	for (unsigned i = 16; i < 32; i++) {
		pf_page_info(&mm, A + i * P, &info);
		assert_int_equal(node_of(&mm, A + i * P), 3);
		assert_int_equal(info.folded, folded);
		assert_false(pf_pte_protnone(info.pte));
	}
	stop();
}

static int write_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping;
	memcpy(disk + index * P, pf_port_virt(pa), nr * P);
	return 0;
}

static const struct pf_mapping_ops written_ops = {.read = read_disk, .write = write_disk};

/* Of files what is clean; of memory that is shared all. */
static void files_follow(void **state)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	start(*state, 2);
	small_folios();
	f.mapping = pf_mapping_create(&sys, &written_ops, NULL, PAGES * P);
	assert_non_null(f.mapping);
	assert_int_equal(pf_mmap_file(&mm, A, 16 * P, RW, PF_MAP_SHARED | PF_MAP_FIXED, &f, 0), A);
	assert_int_equal(fault(&mm, A, 0), PF_FAULT_DONE);
	assert_int_equal(use(A, 1, false), 1);
	/* Written between the hint and its fault. */
	assert_true(hinted(A));
	pf_folio_set_flags(pf_page_folio(&phys, pf_pte_pfn(at(&mm, A))), PF_FOLIO_DIRTY);
	assert_int_equal(fault(&mm, A, 0), PF_FAULT_DONE);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(pf_mapping_sync(f.mapping, 0, PAGES), 0);
	assert_int_equal(use(A, 0, false), 0);
	pf_mapping_put(f.mapping);
	assert_int_equal(pf_mmap(&mm, B, 16 * P, RW, SHARE), B);
	assert_int_equal(put_page(B), 0);
	assert_int_equal(use(B, 1, true), 1);
	stop();
}

/* ---- what is not there ---- */

static int64_t set_policy(void)
{
	return pf_set_mempolicy(&mm, PF_MPOL_INTERLEAVE, 3);
}

static int64_t bind(void)
{
	return pf_mbind(&mm, A + 5 * P, 9 * P, PF_MPOL_BIND, 2, 0);
}

static int64_t bind_moving(void)
{
	return pf_mbind(&mm, A + P, 20 * P, PF_MPOL_PREFERRED, 2, MOVE);
}

static int64_t move_two(void)
{
	const pf_va_t pages[2] = {A, A + 40 * P};
	const int to[2] = {1, 0};
	int status[2];

	return pf_move_pages(&mm, 2, pages, to, status, MOVE);
}

static int64_t migrate_back(void)
{
	return pf_migrate_pages(&mm, 2, 1, MOVE);
}

/* That there is no memory for it is no reason to refuse an access. */
static int64_t follow(void)
{
	int64_t r;

	assert_int_equal(pf_numa_hint(&mm, A, 16 * P), 0);
	cpu_node = 1;
	r = fault(&mm, A, 0) == PF_FAULT_DONE ? 0 : -PF_EFAULT;
	cpu_node = 0;
	assert_false(pf_pte_protnone(at(&mm, A)));
	return r;
}

static int64_t (*const calls[])(void) = {
	follow, set_policy, bind, bind_moving, move_two, migrate_back};

static void begin_failing(const struct pf_format *fmt, uint64_t fail_at)
{
	world_nodes = 2;
	world_start(fmt, fail_at);
	phys.local_node = here;
	cpu_node = 0;
	map(PAGES, FIXED);
	for (unsigned i = 0; i < PAGES; i++)
		if (node_of(&mm, A + i * P) < 0)
			put_page(A + i * P);
}

static uint64_t policy_sum(void)
{
	struct pf_vma_info info;
	uint64_t sum = mm.space.policy.mode;

	for (pf_va_t va = A; pf_find_vma_info(&mm, va, &info); va = info.area.end)
		sum = sum * 31 + info.area.policy.mode * 7 + info.area.policy.nodes + info.area.end;
	return sum;
}

/* An allocation fails, any of the call's: what is set is what was before or what is asked for, and pages are all there. */
static void every_allocation(void **state)
{
	unsigned failures = 0;

	for (unsigned c = 0; c < PF_ARRAY_SIZE(calls); c++) {
		uint64_t first, nr, before, after;

		begin_failing(*state, 0);
		for (unsigned i = 0; i < c; i++)
			assert_int_equal(calls[i](), 0);
		first = machine_counters.allocs;
		before = policy_sum();
		assert_int_equal(calls[c](), 0);
		after = policy_sum();
		nr = machine_counters.allocs - first;
		stop();
		for (uint64_t k = 1; k <= nr; k++) {
			int64_t r;

			begin_failing(*state, first + k);
			for (unsigned i = 0; i < c; i++)
				assert_int_equal(calls[i](), 0);
			r = calls[c]();
			world_check("it failed");
			for (unsigned i = 0; i < PAGES; i++)
				assert_true(node_of(&mm, A + i * P) >= 0);
			if (r == -PF_ENOMEM)
				assert_int_equal(policy_sum(), before);
			else
				assert_int_equal(policy_sum(), after);
			/* Pages that found no room stayed; all else was said. */
			assert_true(r == -PF_ENOMEM || r >= 0);
			failures++;
			calls[c]();
			assert_int_equal(policy_sum(), after);
			stop();
		}
	}
	assert_true(failures > 12);
}

int main(void)
{
	int failed = 0;

	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned fold = 0; fold < 2; fold++) {
			void *fmt = (void *)pf_formats[i];
			const struct CMUnitTest tests[] = {
				cmocka_unit_test_prestate(policies, fmt),
				cmocka_unit_test_prestate(asking, fmt),
				cmocka_unit_test_prestate(mbind_errors, fmt),
				cmocka_unit_test_prestate(merging, fmt),
				cmocka_unit_test_prestate(faults, fmt),
				cmocka_unit_test_prestate(interleaved, fmt),
				cmocka_unit_test_prestate(copies, fmt),
				cmocka_unit_test_prestate(mappings, fmt),
				cmocka_unit_test_prestate(swapped, fmt),
				cmocka_unit_test_prestate(others, fmt),
				cmocka_unit_test_prestate(brought, fmt),
				cmocka_unit_test_prestate(mbind_moves, fmt),
				cmocka_unit_test_prestate(large_folios_move, fmt),
				cmocka_unit_test_prestate(shared_pages, fmt),
				cmocka_unit_test_prestate(moving_pages, fmt),
				cmocka_unit_test_prestate(migrating, fmt),
				cmocka_unit_test_prestate(following, fmt),
				cmocka_unit_test_prestate(files_follow, fmt),
				cmocka_unit_test_prestate(every_allocation, fmt),
			};

			world_policy = fold ? PF_FOLD_WATCH : PF_FOLD_OFF;
			failed += cmocka_run_group_tests_name(
				pf_formats[i]->pt->name, tests, NULL, NULL);
		}
	return failed;
}
