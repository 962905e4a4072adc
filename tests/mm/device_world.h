/* SPDX-License-Identifier: MIT */
/*
 * Pages that a device has to itself: a process with 32 pages of its own at A, written, in folios of 16 pages or of one.
 */
#ifndef TESTS_MM_DEVICE_WORLD_H
#define TESTS_MM_DEVICE_WORLD_H

#include "world.h"

#include "base/err.h"
#include "mm/device.h"
#include "mm/rmap.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define B     UINT64_C(0x20000000)
#define NR    32u
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define MOVE  (PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED)

static bool large;            /* folios of 16 pages */
static void (*started)(void); /* called before anything is mapped, or NULL */

static inline struct pf_page_info at_of(struct pf_mm *m, pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(m, va, &info);
	return info;
}

static inline pf_pte_t at(pf_va_t va)
{
	return at_of(&mm, va).pte;
}

static inline bool is_exclusive(pf_va_t va)
{
	return pf_pte_kind(at(va)) == PF_PTE_DEVICE_EXCLUSIVE;
}

static inline uint64_t *word(pf_pfn_t pfn)
{
	return pf_port_virt(pfn * P);
}

/* A page's first word. */
static inline void put(pf_va_t va, uint64_t value)
{
	while (machine_store(va, value).fault)
		assert_int_equal(pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
}

static inline uint64_t get(pf_va_t va)
{
	uint64_t value = 0;

	while (machine_load(va, &value).fault)
		assert_int_equal(pf_handle_mm_fault(&mm, va, 0), PF_FAULT_DONE);
	return value;
}

static inline void begin(const struct pf_format *fmt, uint64_t fail_at)
{
	world_start(fmt, fail_at);
	if (started)
		started();
	if (!large)
		sys.thp.order[2] = sys.thp.order[4] = PF_THP_NEVER;
	assert_int_equal(pf_mmap(&mm, A, NR * P, RW, FIXED), A);
	for (unsigned i = 0; i < NR; i++)
		put(A + i * P, 0x1000 + i);
	assert_int_equal(at_of(&mm, A).order, large ? 4 : 0);
}

/* The device has the page, and the caller its folio. */
static inline struct pf_folio *make_locked(pf_va_t va, pf_pfn_t *pfn)
{
	struct pf_folio *folio;

	/* As GUP for a store. */
	machine_note_store(va);
	assert_int_equal(pf_make_device_exclusive(&mm, va, NULL, &folio, pfn), 0);
	assert_ptr_equal(folio, pf_page_folio(&phys, *pfn));
	assert_true(pf_folio_test_flags(folio, PF_FOLIO_LOCKED));
	assert_true(is_exclusive(va));
	return folio;
}

static inline void let_go(struct pf_folio *folio)
{
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, 1);
}

/* The device has it, and stores a value. */
static inline pf_pfn_t make(pf_va_t va, uint64_t value)
{
	pf_pfn_t pfn;
	struct pf_folio *folio = make_locked(va, &pfn);

	let_go(folio);
	world_check("a device has it");
	assert_true(is_exclusive(va));
	/* No table of a CPU's leads there. */
	machine_note_store(va);
	*word(pfn) = value;
	return pfn;
}

/* All formats, with large folios and small ones. */
static inline void everywhere(void (*test)(void))
{
	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned k = 0; k < 2; k++) {
			large = k;
			begin(pf_formats[i], 0);
			test();
			world_check("the end");
			world_stop();
		}
}

#define EVERYWHERE(name)                                                                           \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		everywhere(name);                                                                  \
	}

#endif
