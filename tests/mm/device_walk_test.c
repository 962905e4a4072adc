/* SPDX-License-Identifier: MIT */
/*
 * Pages that a device has to itself, to those who come by the page or by no access of the process: aging, migration, reclaim,
 * memory failure, KSM, collapse, advice, and what /proc tells. A case named after bug coremm-45 is about entries that are
 * not present and would be taken for such.
 */
#include "device_world.h"

#include "mm/collapse.h"
#include "mm/internal.h"
#include "mm/ksm.h"
#include "mm/migrate.h"
#include "mm/numa.h"
#include "mm/poison.h"
#include "mm/proc.h"
#include "mm/sample.h"
#include "swap_disk.h"

#define SLOTS 128u

/* ---- aging ---- */

/* It has no A, and is in no block: nobody used it, and it stays what it is, bit by bit. */
static void bug_coremm_45(void)
{
	const pf_pfn_t pfn = make(A + 3 * P, 0x11);
	struct pf_folio *folio = pf_page_folio(&phys, pfn);
	const uint64_t entry = at(A + 3 * P).v;
	uint64_t nr = 1;
	pf_va_t va = A + 3 * P;
	pf_pfn_t got;
	struct pf_folio *f;

	machine_adversary(false);
	pf_sample_mkold(&mm, A, NR);
	pf_folio_get(folio, 1);
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), 0);
	assert_int_equal(pf_folio_count_mapped(&sys, folio), large ? 16 : 1);
	pf_sample_mkold_frame(&sys, pfn);
	assert_false(pf_sample_young_frame(&sys, pfn));
	assert_int_equal(pf_sample_young(&mm, A + 3 * P, 1), 0);
	assert_int_equal(pf_numa_hint(&mm, A + 3 * P, P), 0);
	assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_ALL), 0);
	/* Those who look for pages by address pass over it. */
	assert_int_equal(sys.fmt->folio_run(&mm.space, va, 1, &f, &got), 1);
	assert_null(f);
	assert_null(sys.fmt->get_folio(&mm.space, &va, &nr));
	assert_int_equal(pf_migrate(&mm, A + 3 * P, P), 0);
	assert_int_equal(pf_split(&mm, A + 3 * P), -PF_EINVAL);
	assert_int_equal(pf_poison(&mm, A + 3 * P), -PF_EINVAL);
	assert_int_equal(
		pf_gup(&mm, A + 3 * P, 1, PF_FOLL_GET | PF_FOLL_NOFAULT, &got), -PF_EFAULT);
	assert_int_equal(at(A + 3 * P).v, entry);
	world_check("aged");
	pf_folio_put(&phys, folio, 1);
	machine_adversary(true);
	assert_int_equal(get(A + 3 * P), 0x11);
}

/* Locked in memory it is found, too. */
static void bug_coremm_45_locked(void)
{
	struct pf_folio *folio;

	assert_int_equal(pf_mlock(&mm, A, NR * P), 0);
	for (unsigned i = 0; i < (large ? 16 : 1); i++)
		make(A + i * P, i);
	folio = pf_page_folio(&phys, pf_pte_pfn(at(A)));
	pf_folio_get(folio, 1);
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), -1);
	pf_folio_put(&phys, folio, 1);
}

/* ---- migration ---- */

/* Its mapping becomes a migration entry: exclusive, not writable, with what is tracked of it. */
static void migrated(void)
{
	const pf_pfn_t pfn = make(A + 3 * P, 0x21);
	struct pf_folio *folio = pf_page_folio(&phys, pfn);
	const uint64_t sd = at(A + 3 * P).v & PF_PTE_SOFT_DIRTY;
	struct pf_remap r;

	pf_folio_get(folio, 1);
	assert_true(pf_folio_trylock(folio));
	assert_int_equal(pf_folio_unmap(&sys, folio, &r), 0);
	assert_int_equal(at(A + 3 * P).v, pf_pte_migration(pfn, PF_MIG_READ_EXCLUSIVE, sd).v);
	assert_int_equal(pf_folio_mapcount(folio), 0);
	pf_folio_remap(&sys, &r);
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, 1);
	world_check("it came back");
	assert_int_equal(pf_pte_pfn(at(A + 3 * P)), pfn);
	assert_false(pf_pte_write(at(A + 3 * P)));
	assert_true(at_of(&mm, A + 3 * P).exclusive);
	/* In its place, without a copy. */
	put(A + 4 * P, 0x22);
	assert_int_equal(make(A + 3 * P, 0x23), pfn);
	/* To another frame, with the folio that it is of. */
	if (large) {
		assert_int_equal(pf_migrate(&mm, A, 16 * P), 0);
		assert_true(pf_pte_pfn(at(A + 3 * P)) != pfn);
		assert_int_equal(at_of(&mm, A + 3 * P).order, 4);
	} else {
		assert_int_equal(pf_soft_offline(&sys, pfn), 0);
		assert_int_equal(pf_folio_mapcount(folio), 0);
		assert_true(pf_pte_pfn(at(A + 3 * P)) != pfn);
		pf_folio_put(&phys, folio, 1);
	}
	world_check("moved");
	assert_int_equal(get(A + 3 * P), 0x23);
	assert_int_equal(get(A + 4 * P), 0x22);
	put(A + 3 * P, 0x24);
	assert_int_equal(get(A + 3 * P), 0x24);
}

/* Pinned, it stays, and is the device's still. */
static void migration_refused(void)
{
	uint64_t entry[16];
	pf_pfn_t pin;

	assert_int_equal(pf_gup(&mm, A + 3 * P, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pin), 1);
	make(A + 3 * P, 0x31);
	for (unsigned i = 0; i < 16; i++)
		entry[i] = at(A + i * P).v & ~PF_PTE_A;
	assert_true(pf_folio_trylock(pf_page_folio(&phys, pin)));
	/* The pin is seen only when the entries are gone. */
	assert_false(
		sys.fmt->try_to_migrate_one(&mm.space, &(struct pf_rmap_place){A + 3 * P, 1, pin}));
	pf_folio_unlock(pf_page_folio(&phys, pin));
	assert_int_equal(pf_soft_offline(&sys, pin), -PF_EBUSY);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(at(A + i * P).v & ~PF_PTE_A, entry[i]);
	world_check("refused");
	pf_unpin_user_pages(&sys, &pin, 1);
	assert_int_equal(get(A + 3 * P), 0x31);
}

static void split(void)
{
	const pf_pfn_t pfn = make(A + 3 * P, 0x41);

	assert_int_equal(pf_split(&mm, A), 0);
	world_check("split");
	assert_int_equal(at_of(&mm, A + 3 * P).order, 0);
	assert_int_equal(pf_pte_pfn(at(A + 3 * P)), pfn);
	/* Of a large folio it came back; a small one's was not touched. */
	assert_int_equal(is_exclusive(A + 3 * P), !large);
	assert_int_equal(get(A + 3 * P), 0x41);
}

/* ---- reclaim ---- */

static void swapon(void)
{
	assert_int_equal(pf_swapon(&sys, &swap_disk_ops, NULL, SLOTS), 0);
}

static void swapoff(void)
{
	assert_int_equal(pf_swapoff(&sys, 0), 0);
	world_check("swapped in");
}

static void reclaim_all(void)
{
	/* Used pages are passed over at first. */
	for (unsigned i = 0; i < 8; i++)
		pf_reclaim(&sys, NR);
	world_check("reclaimed");
}

/* Its entry becomes a swap entry, and what the device stored comes back. */
static void reclaimed(void)
{
	uint64_t sd;

	swapon();
	make(A + 3 * P, 0x51);
	make(A + 4 * P, 0x52);
	sd = at(A + 3 * P).v & PF_PTE_SOFT_DIRTY;
	machine_adversary(false);
	reclaim_all();
	machine_adversary(true);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 0);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_SWAP), NR);
	for (unsigned i = 3; i < 5; i++) {
		assert_int_equal(pf_pte_kind(at(A + i * P)), PF_PTE_SWAP);
		assert_true(at(A + i * P).v & PF_PTE_EXCLUSIVE);
		assert_int_equal(at(A + i * P).v & PF_PTE_SOFT_DIRTY, sd);
	}
	assert_int_equal(get(A + 3 * P), 0x51);
	assert_int_equal(get(A + 4 * P), 0x52);
	swapoff();
}

/* What was given up is no longer, when a device may store to it. */
static void lazily_freed(void)
{
	swapon();
	assert_int_equal(pf_madvise(&mm, A, NR * P, PF_MADV_FREE), 0);
	make(A + 3 * P, 0x61);
	/* Again, it is left alone; of a large folio, which is split for it, it comes back first. */
	assert_int_equal(pf_madvise(&mm, A, 16 * P, PF_MADV_FREE), 0);
	assert_int_equal(is_exclusive(A + 3 * P), !large);
	make(A + 3 * P, 0x61);
	machine_adversary(false);
	reclaim_all();
	machine_adversary(true);
	assert_int_equal(pf_pte_kind(at(A + 3 * P)), PF_PTE_SWAP);
	assert_int_equal(get(A + 3 * P), 0x61);
	swapoff();
}

/* Restored, it is as dirty as its folio: no store of the device is lost. */
static void dirty_restored(void)
{
	swapon();
	for (unsigned i = 0; i < NR; i++)
		assert_int_equal(pf_madvise(&mm, A + (i & 16) * P, 16 * P, PF_MADV_PAGEOUT), 0);
	/* Brought in to be read: clean, and, of a large folio, in the cache still. */
	assert_int_equal(get(A + 3 * P), 0x1003);
	make(A + 3 * P, 0x62);
	assert_int_equal(get(A + 3 * P), 0x62);
	assert_int_equal(pf_madvise(&mm, A, 16 * P, PF_MADV_PAGEOUT), 0);
	world_check("out again");
	assert_int_equal(get(A + 3 * P), 0x62);
	swapoff();
}

/* A pin that comes when reclaim has looked already: it is the device's as before. */
static void reclaim_refused(void)
{
	const pf_pfn_t pfn = make(A + 3 * P, 0x63);
	struct pf_folio *folio = pf_page_folio(&phys, pfn);
	const uint64_t entry = at(A + 3 * P).v;
	struct pf_vma_info v;
	uint64_t slot;

	swapon();
	assert_true(pf_find_vma_info(&mm, A, &v));
	assert_true(pf_folio_trylock(folio));
	pf_folio_get(folio, 2);
	assert_true(pf_folio_pin_ref(folio));
	assert_true(pf_swap_add_folio(sys.swaps.dev[0], folio));
	slot = pf_folio_swap_slot(folio);
	assert_false(sys.fmt->unmap(&mm.space, &v.area, A + 3 * P, 1, folio, pfn));
	assert_int_equal(at(A + 3 * P).v, entry);
	assert_true(at_of(&mm, A + 3 * P).exclusive);
	pf_swap_put(sys.swaps.dev[0], slot, large ? 16 : 1);
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, pf_folio_unpin_refs(folio, 1));
	pf_folio_put(&phys, folio, 1);
	world_check("refused");
	swapoff();
	assert_int_equal(get(A + 3 * P), 0x63);
}

/* ---- advice ---- */

static void advised(void)
{
	static const int advice[] = {PF_MADV_COLD, PF_MADV_FREE, PF_MADV_WILLNEED, PF_MADV_PAGEOUT};

	swapon();
	for (unsigned i = 0; i < PF_ARRAY_SIZE(advice); i++) {
		const pf_pfn_t pfn = make(A + 3 * P, i);

		assert_int_equal(pf_madvise(&mm, A + 3 * P, P, advice[i]), 0);
		assert_true(is_exclusive(A + 3 * P));
		assert_int_equal(pf_pte_pfn(at(A + 3 * P)), pfn);
		world_check("advised");
	}
	/* As for GUP: it is the process's, then it fails. */
	world_note(A + 3 * P, 1);
	assert_int_equal(pf_madvise(&mm, A + 3 * P, P, PF_MADV_POPULATE_READ), 0);
	assert_true(pf_pte_present(at(A + 3 * P)));
	swapoff();
}

/* ---- memory failure ---- */

static void failed(void)
{
	pf_pfn_t pfn;
	struct pf_folio *folio = make_locked(A + 3 * P, &pfn), *page;
	uint64_t told;

	assert_int_equal(pf_memory_failure(&sys, pfn), -PF_EBUSY);
	assert_true(is_exclusive(A + 3 * P));
	let_go(folio);
	assert_int_equal(pf_memory_failure(&sys, pfn), 0);
	page = pf_page_folio(&phys, pfn);
	assert_int_equal(pf_pte_kind(at(A + 3 * P)), PF_PTE_HWPOISON);
	assert_int_equal(pf_handle_mm_fault(&mm, A + 3 * P, 0), PF_FAULT_HWPOISON);
	assert_int_equal(pf_folio_mapcount(page), 0);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), NR - 1);
	assert_int_equal(pf_pagemap(&mm, A + 3 * P, 1, &told), 1);
	assert_int_equal(told & ~PF_PM_SOFT_DIRTY, PF_PM_SWAP | pfn << PF_PM_SWAP_SHIFT | 24);
	world_check("failed");
	/* For the world, which wants all memory back. */
	pf_folio_put(&phys, page, 1);
}

/* ---- KSM ---- */

static void not_merged(void)
{
	assert_int_equal(pf_madvise(&mm, A, NR * P, PF_MADV_MERGEABLE), 0);
	assert_int_equal(pf_split(&mm, A), 0);
	put(A + P, 0x71);
	put(A + 3 * P, 0x71);
	make(A + 3 * P, 0x71);
	assert_int_equal(pf_ksm_merge(&mm, A + P, &mm, A + 3 * P), -PF_EINVAL);
	assert_true(is_exclusive(A + 3 * P));
	assert_int_equal(pf_madvise(&mm, A, NR * P, PF_MADV_UNMERGEABLE), 0);
	assert_true(is_exclusive(A + 3 * P));
}

/* It waits for no mmap lock with folios locked: somebody may wait for these with that. */
static void ksm_waits_not(void)
{
	assert_int_equal(pf_madvise(&mm, A, NR * P, PF_MADV_MERGEABLE), 0);
	assert_int_equal(pf_split(&mm, A), 0);
	put(A + P, 0x72);
	put(A + 2 * P, 0x72);
	assert_int_equal(pf_ksm_merge(&mm, A + P, &mm, A + 2 * P), 0);
	assert_int_equal(pf_pte_pfn(at(A + P)), pf_pte_pfn(at(A + 2 * P)));
	make(A + P, 0x73);
	assert_int_equal(get(A + 2 * P), 0x72);
}

/* ---- what /proc tells ---- */

static void told(void)
{
	struct pf_page_region region;
	struct pf_pm_scan scan = {.start = A + 3 * P,
		.end = A + 4 * P,
		.vec_len = 1,
		.category_anyof_mask = PF_PAGE_IS_SWAPPED,
		.return_mask = PF_MASK(8, 0)};
	struct pf_smaps before, after;
	uint64_t entry, flags, count;
	const bool sd = sys.fmt->pt->pte_supported & PF_PTE_SOFT_DIRTY;
	uint8_t vec[4] = {0};
	pf_pfn_t pfn;

	assert_true(pf_smaps(&mm, A, &before));
	pfn = make(A + 3 * P, 0x81);
	assert_int_equal(pf_pagemap(&mm, A + 3 * P, 1, &entry), 1);
	assert_int_equal(entry & ~PF_PM_SOFT_DIRTY, PF_PM_SWAP | pfn << PF_PM_SWAP_SHIFT | 30);
	assert_int_equal(!!(entry & PF_PM_SOFT_DIRTY), sd);
	assert_int_equal(pf_mincore(&mm, A + 2 * P, 4 * P, vec), 0);
	assert_true(vec[0] && vec[1] && vec[2] && vec[3]);
	assert_int_equal(pf_pagemap_scan(&mm, &scan, &region), 1);
	assert_int_equal(region.categories & ~PF_PAGE_IS_SOFT_DIRTY,
		PF_PAGE_IS_SWAPPED | PF_PAGE_IS_WRITTEN);
	/* In memory, and anonymous; that it is its process's alone is not known of what is not present. */
	assert_true(pf_smaps(&mm, A, &after));
	assert_int_equal(after.rss, before.rss);
	assert_int_equal(after.pss, before.pss);
	assert_int_equal(after.anonymous, before.anonymous);
	assert_int_equal(after.private_dirty, before.private_dirty - P);
	assert_int_equal(after.shared_dirty, P);
	assert_int_equal(after.pss_dirty, before.pss_dirty);
	assert_int_equal(after.swap, 0);
	pf_kpageflags(&sys, pfn, 1, &flags);
	assert_true((flags & PF_BIT(PF_KPF_MMAP)) && (flags & PF_BIT(PF_KPF_ANON)) &&
		    (flags & PF_BIT(PF_KPF_DIRTY)));
	pf_kpagecount(&sys, pfn, 1, &count);
	assert_int_equal(count, 1);
}

/* ---- collapse ---- */

/* As what is in swap: counted by khugepaged, and taken back by who collapses. */
static void collapsed(void **state)
{
	(void)state;
	for (unsigned i = 0; pf_formats[i]; i++) {
		const unsigned bits = pf_formats[i]->pt->level_bits;
		const uint64_t pmd = P << bits;
		struct pf_folio *folio;
		pf_pfn_t pfn;

		if (bits > 9)
			continue;
		world_start(pf_formats[i], 0);
		sys.thp.order[2] = sys.thp.order[4] = PF_THP_NEVER;
		sys.thp.order[bits] = PF_THP_MADVISE;
		assert_int_equal(pf_mmap(&mm, A, pmd, RW, FIXED), A);
		for (unsigned k = 0; k < 4; k++)
			put(A + k * P, 0x90 + k);
		assert_int_equal(pf_madvise(&mm, A, pmd, PF_MADV_HUGEPAGE), 0);
		make(A + P, 0x99);
		sys.thp.max_ptes_swap = 0;
		assert_int_equal(pf_khugepaged(&mm, A, pmd), 0);
		assert_int_equal(sys.collapses, 0);
		assert_true(is_exclusive(A + P));
		/* Somebody has the folio. */
		assert_true(pf_folio_trylock(pf_page_folio(&phys, pf_pte_pfn(at(A + P)))));
		assert_int_equal(pf_madvise(&mm, A, pmd, PF_MADV_COLLAPSE), -PF_EAGAIN);
		assert_true(is_exclusive(A + P));
		pf_folio_unlock(pf_page_folio(&phys, pf_pte_pfn(at(A + P))));
		assert_int_equal(pf_madvise(&mm, A, pmd, PF_MADV_COLLAPSE), 0);
		assert_int_equal(sys.collapses, 1);
		assert_int_equal(get(A + P), 0x99);
		assert_int_equal(at_of(&mm, A).order, bits);
		/* One page of it. */
		folio = make_locked(A + P, &pfn);
		assert_int_equal(pf_folio_order(folio), bits);
		let_go(folio);
		world_check("one page of the largest folio");
		world_stop();
	}
}

EVERYWHERE(bug_coremm_45)
EVERYWHERE(bug_coremm_45_locked)
EVERYWHERE(migrated)
EVERYWHERE(migration_refused)
EVERYWHERE(split)
EVERYWHERE(reclaimed)
EVERYWHERE(lazily_freed)
EVERYWHERE(dirty_restored)
EVERYWHERE(reclaim_refused)
EVERYWHERE(advised)
EVERYWHERE(failed)
EVERYWHERE(not_merged)
EVERYWHERE(ksm_waits_not)
EVERYWHERE(told)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bug_coremm_45),
		cmocka_unit_test(test_bug_coremm_45_locked),
		cmocka_unit_test(test_migrated),
		cmocka_unit_test(test_migration_refused),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_reclaimed),
		cmocka_unit_test(test_lazily_freed),
		cmocka_unit_test(test_dirty_restored),
		cmocka_unit_test(test_reclaim_refused),
		cmocka_unit_test(test_advised),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_not_merged),
		cmocka_unit_test(test_ksm_waits_not),
		cmocka_unit_test(test_told),
		cmocka_unit_test(collapsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
