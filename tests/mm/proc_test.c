/* SPDX-License-Identifier: MIT */
/*
 * What /proc tells: pagemap entries of every kind, what frames are, what VMAs cost, and scans that stop and go on.
 */
#include "world.h"

#include "mm/internal.h"
#include "mm/proc.h"
#include "ops/formats.h"
#include "swap_disk.h"

#define A      UINT64_C(0x10000000)
#define S      UINT64_C(0x20000000)
#define RW     (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED  (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define SHARED (PF_MAP_SHARED | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define PAGES  64u

static bool soft_dirty;

static void write_page(struct pf_mm *m, pf_va_t va)
{
	machine_note_store(va);
	assert_int_equal(pf_handle_mm_fault(m, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
}

static void read_page(pf_va_t va)
{
	assert_int_equal(pf_handle_mm_fault(&mm, va, 0), PF_FAULT_DONE);
}

static pf_pfn_t frame_of(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	assert_true(pf_pte_present(info.pte));
	return pf_pte_pfn(info.pte);
}

static uint64_t entry_of(pf_va_t va)
{
	uint64_t e;

	assert_int_equal(pf_pagemap(&mm, va, 1, &e), 1);
	return e;
}

/*
 * A folio of 16 pages; then a page of zeros; an empty page; two guards. Shared memory elsewhere, a page of it. No VMA is
 * soft-dirty, and of the pages those written last.
 */
static void start(const struct pf_format *fmt)
{
	world_start(fmt, 0);
	soft_dirty = fmt->pt->pte_supported & PF_PTE_SOFT_DIRTY;
	assert_int_equal(pf_mmap(&mm, A, PAGES * P, RW, FIXED), A);
	assert_int_equal(pf_mmap(&mm, S, 4 * P, RW, SHARED), S);
	write_page(&mm, A);
	read_page(A + 16 * P);
	assert_int_equal(pf_madvise(&mm, A + 18 * P, 2 * P, PF_MADV_GUARD_INSTALL), 0);
	write_page(&mm, S + P);
	assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_SOFT_DIRTY), 0);
	world_check("cleared");
	if (soft_dirty)
		write_page(&mm, A + 3 * P);
}

static void all_formats(void (*test)(void))
{
	for (unsigned i = 0; pf_formats[i]; i++) {
		start(pf_formats[i]);
		test();
		world_check("after the test");
		world_stop();
	}
}

/* ---- pagemap ---- */

static void pagemap(void)
{
	const uint64_t anon = PF_PM_PRESENT | PF_PM_MMAP_EXCLUSIVE;
	const uint64_t sd = soft_dirty ? PF_PM_SOFT_DIRTY : 0;
	uint64_t e[PAGES + 8];

	assert_int_equal(pf_pagemap(&mm, A - 4 * P, PAGES + 8, e), PAGES + 8);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(e[i] | e[PAGES + 4 + i], 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(e[4 + i], anon | (frame_of(A) + i) | (i == 3 ? sd : 0));
	assert_int_equal(e[20], PF_PM_PRESENT | sys.zero_pfn);
	assert_int_equal(e[21], 0);
	assert_int_equal(e[22], PF_PM_SWAP | PF_PM_GUARD_REGION);
	assert_int_equal(e[23], e[22]);
	assert_int_equal(entry_of(S + P), anon | PF_PM_FILE | frame_of(S + P));
	assert_int_equal(entry_of(S), 0);
	/* A new mapping is soft-dirty, page or not. */
	assert_int_equal(pf_mmap(&mm, S + 4 * P, P, RW, FIXED), S + 4 * P);
	assert_int_equal(entry_of(S + 4 * P), sd);
	assert_int_equal(pf_munmap(&mm, S + 4 * P, P), 0);
	/* At the end of user space it is over. */
	assert_int_equal(pf_pagemap(&mm, A + 8, 1, e), -PF_EINVAL);
	assert_int_equal(pf_pagemap(&mm, sys.task_size - P, 3, e), 1);
	assert_int_equal(pf_pagemap(&mm, sys.task_size, 3, e), 0);
}

/* Two processes: what both map is nobody's alone. */
static void pagemap_shared(void)
{
	struct pf_mm child;

	assert_int_equal(pf_fork(&child, &mm, WORLD_ASID + 1), 0);
	assert_false(entry_of(A) & PF_PM_MMAP_EXCLUSIVE);
	assert_true(entry_of(A) & PF_PM_PRESENT);
	pf_mm_exit(&child);
	machine_retire_asid(WORLD_ASID + 1);
	machine_rcu_drain();
	assert_true(entry_of(A) & PF_PM_MMAP_EXCLUSIVE);
}

/* ---- frames ---- */

#define KPF(n) (UINT64_C(1) << PF_KPF_##n)

static void frames(void)
{
	const pf_pfn_t pfn = frame_of(A);
	uint64_t flags[16], count[16], tables = 0, is_free = 0;

	pf_kpageflags(&sys, pfn, 16, flags);
	pf_kpagecount(&sys, pfn, 16, count);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(count[i], 1);
		assert_int_equal(flags[i] & (KPF(MMAP) | KPF(ANON) | KPF(SWAPBACKED) | KPF(THP)),
			KPF(MMAP) | KPF(ANON) | KPF(SWAPBACKED) | KPF(THP));
		assert_int_equal(flags[i] & (KPF(COMPOUND_HEAD) | KPF(COMPOUND_TAIL)),
			i ? KPF(COMPOUND_TAIL) : KPF(COMPOUND_HEAD));
	}
	pf_kpageflags(&sys, frame_of(S + P), 1, flags);
	assert_int_equal(flags[0] & (KPF(MMAP) | KPF(ANON) | KPF(DIRTY) | KPF(SWAPBACKED)),
		KPF(MMAP) | KPF(DIRTY) | KPF(SWAPBACKED));
	pf_kpageflags(&sys, sys.zero_pfn, 1, flags);
	assert_int_equal(flags[0], KPF(ZERO_PAGE));
	pf_kpageflags(&sys, phys.first + phys.nr, 1, flags);
	assert_int_equal(flags[0], KPF(NOPAGE));
	pf_kpagecount(&sys, phys.first + phys.nr, 1, count);
	assert_int_equal(count[0], 0);
	for (pf_pfn_t p = phys.first; p < phys.first + phys.nr; p++) {
		pf_kpageflags(&sys, p, 1, flags);
		tables += flags[0] == KPF(PGTABLE);
		is_free += flags[0] == KPF(BUDDY);
	}
	assert_true(tables > 2 && is_free > 0);
	/* Half of the folio is gone: a page of it is mapped half a time, which is once. */
	assert_int_equal(pf_munmap(&mm, A, 12 * P), 0);
	pf_kpagecount(&sys, pfn, 1, count);
	assert_int_equal(count[0], 1);
}

/* ---- smaps ---- */

static void smaps(void)
{
	struct pf_smaps s, all;
	struct pf_mm child;

	assert_true(pf_smaps(&mm, 0, &s));
	assert_int_equal(s.area.start, A);
	assert_int_equal(s.size, PAGES * P);
	assert_int_equal(s.rss, 16 * P);
	assert_int_equal(s.anonymous, 16 * P);
	assert_int_equal(s.pss, 16 * P << PF_PSS_SHIFT);
	assert_int_equal(s.pss_anon, s.pss);
	assert_int_equal(s.private_dirty, 16 * P);
	assert_int_equal(s.pss_dirty, s.pss);
	assert_int_equal(s.shared_clean + s.shared_dirty + s.private_clean + s.swap, 0);
	assert_int_equal(s.referenced, 16 * P);
	assert_int_equal(s.pss_locked, 0);
	assert_true(s.thp_eligible);
	assert_true(pf_smaps(&mm, s.area.end, &s));
	assert_int_equal(s.area.start, S);
	assert_int_equal(s.rss, P);
	assert_int_equal(s.pss_shmem, P << PF_PSS_SHIFT);
	assert_int_equal(s.anonymous, 0);
	assert_int_equal(s.private_dirty, P);
	assert_false(pf_smaps(&mm, s.area.end, &s));

	/* Half each; locked memory is what this process has of it. */
	assert_int_equal(pf_fork(&child, &mm, WORLD_ASID + 1), 0);
	assert_int_equal(pf_mlock2(&mm, A, PAGES * P, PF_MLOCK_ONFAULT), 0);
	pf_smaps(&mm, 0, &s);
	assert_int_equal(s.rss, 16 * P);
	assert_int_equal(s.pss, 8 * P << PF_PSS_SHIFT);
	assert_int_equal(s.pss_locked, s.pss);
	assert_int_equal(s.shared_dirty, 16 * P);
	assert_int_equal(s.private_dirty, 0);
	pf_smaps_rollup(&mm, &all);
	assert_int_equal(all.area.start, A);
	assert_int_equal(all.area.end, S + 4 * P);
	assert_int_equal(all.size, (PAGES + 4) * P);
	assert_int_equal(all.rss, 17 * P);
	assert_int_equal(all.pss, all.pss_anon + all.pss_file + all.pss_shmem);
	assert_int_equal(all.rss,
		all.shared_clean + all.shared_dirty + all.private_clean + all.private_dirty);
	pf_mm_exit(&child);
	machine_retire_asid(WORLD_ASID + 1);
	machine_rcu_drain();
	assert_int_equal(pf_munlock(&mm, A, PAGES * P), 0);

	/* Not needed any more. */
	assert_int_equal(pf_madvise(&mm, A, 16 * P, PF_MADV_FREE), 0);
	pf_smaps(&mm, 0, &s);
	assert_int_equal(s.lazyfree, 16 * P);
	assert_int_equal(s.private_clean, 16 * P);
}

/* What is in swap, alone and with another. */
static void smaps_swap(void)
{
	struct pf_smaps s;
	struct pf_mm child;

	assert_int_equal(pf_swapon(&sys, &swap_disk_ops, NULL, 16), 0);
	assert_int_equal(pf_madvise(&mm, A, 16 * P, PF_MADV_PAGEOUT), 0);
	pf_smaps(&mm, 0, &s);
	assert_int_equal(s.swap, 16 * P);
	assert_int_equal(s.swap_pss, 16 * P << PF_PSS_SHIFT);
	assert_int_equal(s.rss, 0);
	assert_int_equal(pf_fork(&child, &mm, WORLD_ASID + 1), 0);
	pf_smaps(&mm, 0, &s);
	assert_int_equal(s.swap, 16 * P);
	assert_int_equal(s.swap_pss, 8 * P << PF_PSS_SHIFT);
	pf_mm_exit(&child);
	machine_retire_asid(WORLD_ASID + 1);
	machine_rcu_drain();
	assert_int_equal(pf_madvise(&mm, A, 16 * P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_swapoff(&sys, 0), 0);
}

static void peak(void)
{
	assert_int_equal(pf_peak_rss(&mm), 17);
	assert_int_equal(pf_madvise(&mm, A, 16 * P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_peak_rss(&mm), 17);
	assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_MM_HIWATER), 0);
	assert_int_equal(pf_peak_rss(&mm), 1);
	assert_int_equal(pf_clear_refs(&mm, 0), -PF_EINVAL);
	assert_int_equal(pf_clear_refs(&mm, 6), -PF_EINVAL);
}

/* ---- PAGEMAP_SCAN ---- */

static struct pf_page_region vec[32];

static int64_t scan(struct pf_pm_scan *arg, uint64_t room)
{
	arg->vec_len = room;
	return pf_pagemap_scan(&mm, arg, room ? vec : NULL);
}

static void is_region(unsigned i, uint64_t first, uint64_t nr, uint64_t categories)
{
	assert_int_equal(vec[i].start, A + first * P);
	assert_int_equal(vec[i].end, A + (first + nr) * P);
	assert_int_equal(vec[i].categories, categories);
}

static void scanned(void)
{
	const uint64_t w = PF_PAGE_IS_WRITTEN, here = PF_PAGE_IS_PRESENT,
		       sd = soft_dirty ? PF_PAGE_IS_SOFT_DIRTY : 0;
	struct pf_pm_scan arg = {.start = A - P, .end = A + PAGES * P, .return_mask = 0x1ff};
	unsigned i = 0;

	assert_int_equal(scan(&arg, 32), soft_dirty ? 7 : 5);
	is_region(i++, 0, soft_dirty ? 3 : 16, w | here);
	if (soft_dirty) {
		is_region(i++, 3, 1, w | here | sd);
		is_region(i++, 4, 12, w | here);
	}
	is_region(i++, 16, 1, w | here | PF_PAGE_IS_PFNZERO);
	is_region(i++, 17, 1, w);
	is_region(i++, 18, 2, w | PF_PAGE_IS_SWAPPED | PF_PAGE_IS_GUARD);
	is_region(i, 20, PAGES - 20, w);
	assert_int_equal(arg.walk_end, A + PAGES * P);

	/* What one asks for, and what one asks for not. */
	arg = (struct pf_pm_scan){
		.start = A, .end = A + PAGES * P, .category_mask = here, .return_mask = here};
	assert_int_equal(scan(&arg, 32), 1);
	is_region(0, 0, 17, here);
	arg.category_inverted = here;
	assert_int_equal(scan(&arg, 32), 1);
	is_region(0, 17, PAGES - 17, 0);
	arg = (struct pf_pm_scan){.start = A,
		.end = A + PAGES * P,
		.category_anyof_mask = PF_PAGE_IS_PFNZERO | PF_PAGE_IS_GUARD,
		.return_mask = PF_PAGE_IS_GUARD};
	assert_int_equal(scan(&arg, 32), 2);
	is_region(0, 16, 1, 0);
	is_region(1, 18, 2, PF_PAGE_IS_GUARD);

	/* Pages or room used up: it stops at the first too many, and goes on from there. */
	arg.max_pages = 1;
	assert_int_equal(scan(&arg, 32), 1);
	assert_int_equal(arg.walk_end, A + 18 * P);
	arg.max_pages = 2;
	assert_int_equal(scan(&arg, 32), 2);
	is_region(1, 18, 1, PF_PAGE_IS_GUARD);
	assert_int_equal(arg.walk_end, A + 19 * P);
	arg.max_pages = 3;
	assert_int_equal(scan(&arg, 32), 2);
	assert_int_equal(arg.walk_end, A + PAGES * P);
	arg.max_pages = 0;
	assert_int_equal(scan(&arg, 1), 1);
	assert_int_equal(arg.walk_end, A + 18 * P);
	arg.start = arg.walk_end;
	assert_int_equal(scan(&arg, 1), 1);
	is_region(0, 18, 2, PF_PAGE_IS_GUARD);
	assert_int_equal(arg.walk_end, A + PAGES * P);
	assert_int_equal(scan(&arg, 0), 0);
}

static void scan_errors(void)
{
	struct pf_pm_scan arg = {.start = A, .end = A + P};

	arg.flags = PF_PM_SCAN_CHECK_WPASYNC;
	assert_int_equal(scan(&arg, 1), -PF_EPERM);
	arg.flags = 4;
	assert_int_equal(scan(&arg, 1), -PF_EINVAL);
	arg = (struct pf_pm_scan){.start = A, .end = A + P, .return_mask = 0x200};
	assert_int_equal(scan(&arg, 1), -PF_EINVAL);
	arg = (struct pf_pm_scan){.start = A + 1, .end = A + P};
	assert_int_equal(scan(&arg, 1), -PF_EINVAL);
	arg = (struct pf_pm_scan){.start = A + P, .end = A};
	assert_int_equal(scan(&arg, 1), -PF_EFAULT);
	arg = (struct pf_pm_scan){.start = sys.task_size, .end = sys.task_size + P};
	assert_int_equal(scan(&arg, 1), -PF_EFAULT);
	arg = (struct pf_pm_scan){.start = A - 2 * P, .end = A - 1, .return_mask = 8};
	assert_int_equal(scan(&arg, 1), 0);
	assert_int_equal(arg.walk_end, A);
	arg = (struct pf_pm_scan){.start = A, .end = A + P, .vec_len = 1};
	assert_int_equal(pf_pagemap_scan(&mm, &arg, NULL), -PF_EINVAL);
	/* Nobody has registered anything. */
	arg = (struct pf_pm_scan){
		.start = A, .end = A + P, .category_mask = PF_PAGE_IS_WPALLOWED, .return_mask = 1};
	assert_int_equal(scan(&arg, 1), 0);
}

#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		all_formats(name);                                                                 \
	}

TEST(pagemap)
TEST(pagemap_shared)
TEST(frames)
TEST(smaps)
TEST(smaps_swap)
TEST(peak)
TEST(scanned)
TEST(scan_errors)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pagemap),
		cmocka_unit_test(test_pagemap_shared),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_smaps),
		cmocka_unit_test(test_smaps_swap),
		cmocka_unit_test(test_peak),
		cmocka_unit_test(test_scanned),
		cmocka_unit_test(test_scan_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
