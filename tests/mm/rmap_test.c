/* SPDX-License-Identifier: MIT */
/*
 * The walk from a folio to its mappings: all are found, once, at their ends and across tables; what A says by address and
 * by frame; and that nobody waits who must not.
 */
#include "world.h"

#include "mm/internal.h"
#include "mm/rmap.h"
#include "mm/sample.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define MOVE  (PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED)

static void write_page(struct pf_mm *m, pf_va_t va)
{
	machine_note_store(va);
	assert_int_equal(pf_handle_mm_fault(m, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
}

static struct pf_folio *folio_at(struct pf_mm *m, pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(m, va, &info);
	assert_true(pf_pte_present(info.pte));
	return pf_page_folio(&phys, pf_pte_pfn(info.pte));
}

static void check(void)
{
	const char *bad = pf_rmap_check(&sys);

	if (bad)
		fail_msg("%s", bad);
}

/* A folio of 16 pages at A. */
static struct pf_folio *start(void)
{
	world_start(&pf_format_arm64_4k, 0);
	assert_int_equal(pf_mmap(&mm, A, 32 * P, RW, FIXED), A);
	write_page(&mm, A);
	assert_int_equal(pf_folio_order(folio_at(&mm, A)), 4);
	return folio_at(&mm, A);
}

struct seen {
	struct pf_rmap_place place[8];
	struct pf_mm *mm[8];
	unsigned nr, max;
};

static bool see(void *ctx, struct pf_mm *m, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct seen *s = ctx;

	assert_in_range(place->va, vma->area.start, vma->area.end - 1);
	assert_true(place->nr <= (vma->area.end - place->va) / P);
	s->mm[s->nr] = m;
	s->place[s->nr++] = *place;
	return s->nr < s->max;
}

/* One folio in three VMAs and in two places, one of them across the end of a table. */
static void places(void **state)
{
	struct pf_folio *folio = start();
	const pf_pfn_t pfn = pf_folio_pfn(&phys, folio);
	const pf_va_t far = UINT64_C(0x20000000) - 3 * P;
	struct seen s = {.max = 8};

	(void)state;
	assert_int_equal(pf_mprotect(&mm, A + 4 * P, 2 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_mremap(&mm, A + 8 * P, 8 * P, 8 * P, MOVE, far), far);
	world_check("moved");
	check();
	assert_int_equal(pf_rmap_walk(&sys, folio, see, &s, 0), PF_RMAP_DONE);
	/* 0-3, 4-5, 6-7 where they were, 8-15 moved. */
	assert_int_equal(s.nr, 4);
	for (unsigned i = 0; i < 4; i++) {
		static const unsigned first[] = {0, 4, 6, 8}, nr[] = {4, 2, 2, 8};

		assert_int_equal(s.place[i].pfn, pfn + first[i]);
		assert_int_equal(s.place[i].nr, nr[i]);
		assert_int_equal(s.place[i].va, i == 3 ? far : A + first[i] * P);
	}
	assert_int_equal(pf_folio_count_mapped(&sys, folio), 16);
	/* A visitor that has seen enough. */
	s = (struct seen){.max = 2};
	assert_int_equal(pf_rmap_walk(&sys, folio, see, &s, 0), PF_RMAP_STOPPED);
	assert_int_equal(s.nr, 2);
	/* Pages that went are not found, though the VMAs that had them are. */
	assert_int_equal(pf_madvise(&mm, A + P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_munmap(&mm, far + 2 * P, 3 * P), 0);
	assert_int_equal(pf_folio_count_mapped(&sys, folio), 12);
	check();
	world_stop();
}

/* A forked child's mapping is visited after its parent's, whatever else there is. */
static void child_after_parent(void **state)
{
	struct pf_folio *folio = start();
	struct pf_mm child[3];
	struct seen s = {.max = 8};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pf_fork(&child[i], i ? &child[i - 1] : &mm, (uint16_t)(2 + i)), 0);
	assert_int_equal(pf_rmap_walk(&sys, folio, see, &s, 0), PF_RMAP_DONE);
	assert_int_equal(s.nr, 4);
	assert_ptr_equal(s.mm[0], &mm);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(s.mm[i + 1], &child[i]);
	check();
	/* The one in the middle writes: its page is another, the rest stays. */
	write_page(&child[1], A);
	assert_int_equal(pf_folio_count_mapped(&sys, folio), 63);
	check();
	for (unsigned i = 0; i < 3; i++) {
		pf_mm_exit(&child[i]);
		machine_retire_asid((uint16_t)(2 + i));
		check();
	}
	world_stop();
}

static void ages(void **state)
{
	struct pf_folio *folio = start();
	const pf_pfn_t pfn = pf_folio_pfn(&phys, folio);
	struct pf_page_info info;
	struct pf_mm child;
	uint32_t vm_flags;
	uint64_t value;

	(void)state;
	/* Walkers that nobody asked for would set A again. */
	machine_adversary(false);
	assert_int_equal(pf_sample_young(&mm, A, 32), 16);
	pf_sample_mkold(&mm, A + 3 * P, 1);
	/* One page of a block: of all of it, and folded as before. */
	assert_int_equal(pf_sample_young(&mm, A, 32), 0);
	pf_page_info(&mm, A, &info);
	assert_true(info.folded);
	assert_true(pf_pte_dirty(info.pte));

	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	assert_false(pf_sample_young_frame(&sys, pfn));
	assert_int_equal(pf_folio_referenced(&sys, folio, &vm_flags), 0);
	assert_int_equal(pf_handle_mm_fault(&child, A + 2 * P, 0), PF_FAULT_DONE);
	machine_set_root(0, child.space.pt.root, 2);
	machine_load(A + 2 * P, &value);
	machine_set_root(0, mm.space.pt.root, WORLD_ASID);
	assert_true(pf_sample_young_frame(&sys, pfn + 9));
	assert_int_equal(pf_folio_referenced(&sys, folio, &vm_flags), 1);
	assert_true(vm_flags & PF_VM_WRITE);
	assert_int_equal(pf_folio_referenced(&sys, folio, &vm_flags), 0);
	/* What says that it is read in order does not count. */
	assert_int_equal(pf_madvise(&child, A, 32 * P, PF_MADV_SEQUENTIAL), 0);
	machine_set_root(0, child.space.pt.root, 2);
	machine_load(A + 5 * P, &value);
	machine_set_root(0, mm.space.pt.root, WORLD_ASID);
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), 0);
	assert_true(pf_sample_young_frame(&sys, pfn));
	pf_sample_mkold_frame(&sys, pfn);
	assert_false(pf_sample_young_frame(&sys, pfn));
	assert_true(pf_folio_test_flags(folio, PF_FOLIO_YOUNG));
	/* Frames that are no folio's. */
	pf_sample_mkold_frame(&sys, phys.first + phys.nr);
	assert_false(pf_sample_young_frame(&sys, phys.first + phys.nr - 1));
	machine_adversary(true);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	world_stop();
}

/* While VMAs change, aging does not wait: what it cannot know counts as used. */
static void busy(void **state)
{
	struct pf_folio *folio = start();
	struct pf_anon_vma *root = pf_anon_lock_write(&sys, pf_vma_lookup(&mm, A));
	struct seen s = {.max = 8};

	(void)state;
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), -1);
	assert_int_equal(pf_rmap_walk(&sys, folio, see, &s, PF_RMAP_TRY), PF_RMAP_BUSY);
	pf_anon_unlock_write(root);
	assert_true(pf_folio_referenced(&sys, folio, NULL) >= 0);
	world_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
		cmocka_unit_test(child_after_parent),
		cmocka_unit_test(ages),
		cmocka_unit_test(busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
