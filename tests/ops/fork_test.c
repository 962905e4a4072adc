/* SPDX-License-Identifier: MIT */
/*
 * fork's copy of entries that differ in A and D, which the calls of today do not make by themselves: they are put there
 * by the verbs that age and clean pages. And what fork leads to, the copy of a page, at every moment of it.
 */
#include "world.h"

#include "pt/pt.h"

#define A  UINT64_C(0x10000000)
#define NR 64u
#define HW PF_CAT2(pf_format_, PF_FMT)
extern const struct pf_format HW;

static const struct world two = {.bytes = UINT64_C(64) << 20, .cpus = 2, .features = ""};
static struct pf_mm child;

/* A and D of [first, first + nr) are cleared, and no TLB knows better. */
static void clean(unsigned first, unsigned nr, unsigned flags)
{
	struct pf_pte_map m;

	assert_true(pf_pte_offset_map_lock(&mm.space.pt, A, &m));
	pf_clear_young_dirty_ptes(&m, pf_pte_idx(&m, A) + first, nr, flags);
	pf_flush_tlb_range(&mm.space.pt, A + first * P, nr);
	pf_pte_unmap_unlock(&m);
}

static pf_pte_t entry(struct pf_mm *of, unsigned i)
{
	struct pf_page_info info;

	HW.page_info(&of->space, A + i * P, &info);
	assert_true(pf_pte_present(info.pte));
	return info.pte;
}

/* Parent and child: the same frames, both read-only, D as it was page by page; the child's not young. */
static void forked(const bool *dirty, const bool *young)
{
	assert_int_equal(pf_fork(&child, &mm, ASID + 1), 0);
	world_judge("fork");
	for (unsigned i = 0; i < NR; i++) {
		pf_pte_t p = entry(&mm, i), c = entry(&child, i);

		assert_int_equal(pf_pte_pfn(p), pf_pte_pfn(c));
		assert_false(pf_pte_write(p) || pf_pte_write(c));
		assert_int_equal(!!(p.v & PF_PTE_D), dirty[i]);
		assert_int_equal(!!(c.v & PF_PTE_D), dirty[i]);
		/* a CPU may look at any page meanwhile */
		assert_true(!young[i] || (p.v & PF_PTE_A));
		assert_false(c.v & PF_PTE_A);
	}
	pf_mm_exit(&child);
	machine_retire_asid(ASID + 1);
}

static void mixed(unsigned order, unsigned unit)
{
	struct world w = two;
	bool dirty[NR], young[NR];

	w.order = order;
	world_start(&HW, &w);
	assert_int_equal(pf_mmap(&mm, A, NR * P, RW, FIXED), A);
	for (unsigned i = 0; i < NR; i += 1u << order)
		assert_int_equal(world_write(A + i * P), PF_FAULT_DONE);
	for (unsigned i = 0; i < NR; i += unit) {
		unsigned flags = i / unit % 4;

		if (flags)
			clean(i, unit, flags);
		for (unsigned k = i; k < i + unit; k++) {
			young[k] = !(flags & PF_CYDP_CLEAR_YOUNG);
			dirty[k] = !(flags & PF_CYDP_CLEAR_DIRTY);
		}
	}
	forked(dirty, young);
	world_exit(2);
}

static void single_pages(void **state)
{
	(void)state;
	mixed(0, 1);
	mixed(0, 4);
}

static void folded_blocks(void **state)
{
	(void)state;
	mixed(PF_CONT_SHIFT(0), PF_CONT_NR(0));
	mixed(PF_CONT_SHIFT(0) + 1, PF_CONT_NR(0));
}

static struct pf_folio *old;
static uint64_t dsb;

/* Two mappings, for as long as a TLB may hold either: the first barrier publishes, the second completes. */
static void look(void *ctx, bool blocked)
{
	(void)ctx;
	(void)blocked;
	if (machine_counters.dsb - dsb < 2)
		assert_int_equal(pf_folio_mapcount(old), 2);
}

/* Whoever asks who maps a page, to clean it or to take it for its own, hears of a mapping until no CPU can use it. */
static void copied_page_is_mapped_until_flushed(void **state)
{
	(void)state;
	world_start(&HW, &two);
	assert_int_equal(pf_mmap(&mm, A, P, RW, FIXED), A);
	assert_int_equal(world_write(A), PF_FAULT_DONE);
	assert_int_equal(pf_fork(&child, &mm, ASID + 1), 0);
	old = pf_page_folio(&phys, pf_pte_pfn(entry(&mm, 0)));
	dsb = machine_counters.dsb;
	machine_set_schedule(look, NULL);
	assert_int_equal(world_write(A), PF_FAULT_DONE);
	machine_set_schedule(NULL, NULL);
	assert_true(machine_counters.dsb - dsb >= 2);
	assert_int_equal(pf_folio_mapcount(old), 1);
	assert_ptr_not_equal(pf_page_folio(&phys, pf_pte_pfn(entry(&mm, 0))), old);
	world_judge("copy on write");
	pf_mm_exit(&child);
	machine_retire_asid(ASID + 1);
	world_exit(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_pages),
		cmocka_unit_test(folded_blocks),
		cmocka_unit_test(copied_page_is_mapped_until_flushed),
	};

	return cmocka_run_group_tests_name(PF_STR(PF_FMT) " fork", tests, NULL, NULL);
}
