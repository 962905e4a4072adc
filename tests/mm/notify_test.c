/* SPDX-License-Identifier: MIT */
/*
 * What subscribers are told by each operation: once, of the range that changes and no more, before it changes; the end on every
 * path, also when memory runs out anywhere in it; and nothing that does not concern them. Under the machine's judge.
 */
#include "notify_world.h"

#include "mm/migrate.h"
#include "mm/numa.h"
#include "mm/pfnmap.h"
#include "mm/poison.h"
#include "mm/proc.h"
#include "mm/replace.h"
#include "tests/quiet_uffd.h"
#include "swap_disk.h"

#define MOVE (PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED)

/* As soon as it is clear what for. */
static void with_swap(void)
{
	assert_true(pf_swapon(&sys, &swap_disk_ops, NULL, SWAP_DISK_SLOTS) >= 0);
	swap_on = true;
}

/* ---- operations ---- */

static int64_t unmap(void)
{
	return pf_munmap(&mm, AT(3), 3 * P);
}

static int64_t unmap_several(void)
{
	return pf_munmap(&mm, AT(60), 60 * P);
}

static int64_t unmap_nothing(void)
{
	return pf_munmap(&mm, AT(HOLE), 8 * P);
}

static int64_t map_over(void)
{
	return pf_mmap(&mm, AT(4), 2 * P, RW, FIXED);
}

static int64_t protect(void)
{
	return pf_mprotect(&mm, AT(3), 6 * P, PF_PROT_READ);
}

static int64_t unprotect(void)
{
	return pf_mprotect(&mm, AT(3), 6 * P, PF_PROT_NONE);
}

static int64_t move_away(void)
{
	return pf_mremap(&mm, AT(16), 8 * P, 8 * P, MOVE, AT(HOLE));
}

static int64_t move_keep(void)
{
	return pf_mremap(&mm, AT(16), 8 * P, 8 * P, MOVE | PF_MREMAP_DONTUNMAP, AT(HOLE));
}

static int64_t dontneed(void)
{
	return pf_madvise(&mm, AT(5), 4 * P, PF_MADV_DONTNEED);
}

static int64_t lazily(void)
{
	return pf_madvise(&mm, AT(16), 16 * P, PF_MADV_FREE);
}

static int64_t guard(void)
{
	return pf_madvise(&mm, AT(5), 2 * P, PF_MADV_GUARD_INSTALL);
}

static int64_t cold(void)
{
	return pf_madvise(&mm, AT(16), 16 * P, PF_MADV_COLD);
}

static int64_t pageout(void)
{
	return pf_madvise(&mm, AT(16), 2 * P, PF_MADV_PAGEOUT);
}

static int64_t fork_child(void)
{
	int err = have_child ? 0 : pf_fork(&child, &mm, 2);

	have_child = !err;
	if (err)
		machine_retire_asid(2);
	return err;
}

static int64_t cow(void)
{
	return fault(AT(5), PF_FAULT_FLAG_WRITE);
}

static int64_t cow_of_file(void)
{
	return fault(AT(COPIES + 2), PF_FAULT_FLAG_WRITE);
}

static int64_t migrate(void)
{
	int err = pf_migrate(&mm, AT(large ? 16 : 2), P);

	return err == -PF_EAGAIN ? -PF_ENOMEM : err;
}

static int64_t merge(void)
{
	return pf_ksm_merge(&mm, AT(17), &mm, AT(18));
}

static int64_t poison(void)
{
	return pf_poison(&mm, AT(4));
}

static int64_t write_back(void)
{
	return pf_mapping_sync(file, 2, 2);
}

static int64_t truncate(void)
{
	return pf_mapping_truncate(file, 12 * P);
}

static int64_t punch(void)
{
	return pf_mapping_punch(file, 2 * P, 3 * P);
}

static int64_t punch_shmem(void)
{
	return pf_madvise(&mm, AT(SHMEM + 1), 2 * P, PF_MADV_REMOVE);
}

static int64_t soft_dirty(void)
{
	return pf_clear_refs(&mm, PF_CLEAR_REFS_SOFT_DIRTY);
}

static int64_t clear_refs(void)
{
	return pf_clear_refs(&mm, PF_CLEAR_REFS_ALL);
}

static int64_t hint(void)
{
	return pf_numa_hint(&mm, AT(8), 4 * P);
}

static int64_t exclusive(void)
{
	world_note(AT(9), 1);
	return mirror_alone(&mirror, 9);
}

static int64_t reclaim(void)
{
	return pf_reclaim(&sys, 8) ? 0 : -PF_ENOMEM;
}

static int64_t split(void)
{
	return pf_split(&mm, AT(20));
}

static int64_t write_protect(void)
{
	return pf_uffd_writeprotect(&uffd, AT(32), 4 * P, PF_UFFDIO_WRITEPROTECT_WP);
}

static int64_t scan(void)
{
	static struct pf_page_region vec[4];
	struct pf_pm_scan arg = {
		.flags = PF_PM_SCAN_WP_MATCHING,
		.start = AT(32),
		.end = AT(36),
		.vec_len = 4,
		.category_mask = PF_PAGE_IS_WRITTEN,
		.return_mask = PF_PAGE_IS_WRITTEN,
	};

	return pf_pagemap_scan(&mm, &arg, vec);
}

static int64_t move_pages(void)
{
	int64_t done;

	return pf_uffd_move(&uffd, &mm, AT(HOLE), AT(32), 2 * P, 0, &done);
}

/* Page 2 of the private file is replaced by one that says what page `like` does, or, if that is the file's, put back. */
static int64_t replace_by(
	unsigned like, int (*how)(struct pf_mm *, pf_va_t, pf_pfn_t, struct pf_folio *))
{
	const pf_va_t va = AT(COPIES + 2);
	struct pf_page_info info;
	struct pf_folio *by;
	pf_pfn_t old;
	int64_t err = pf_gup(&mm, va, 1, PF_FOLL_GET | PF_FOLL_FORCE, &old);

	if (err < 0)
		return err;
	by = pf_folio_alloc(&phys, 0, PF_USE_ANON);
	if (by) {
		pf_page_info(&mm, AT(like), &info);
		pf_port_copy_pages(pf_folio_pfn(&phys, by) * P, pf_pte_pfn(info.pte) * P, P);
	}
	err = by ? how(&mm, va, old, by) : -PF_ENOMEM;
	if (by && err)
		pf_folio_put(&phys, by, 1);
	pf_put_user_pages(&sys, &old, 1);
	return err;
}

static int64_t replace(void)
{
	return replace_by(50, pf_replace_page);
}

static int64_t put_back(void)
{
	return replace_by(SHARED + 2, pf_restore_page);
}

static int64_t take_frames(void)
{
	return pf_zap_vma_ptes(&mm, AT(HOLE + 2), 3 * P);
}

static int64_t write_frame(void)
{
	return fault(AT(HOLE + 1), PF_FAULT_FLAG_WRITE);
}

/* ---- before them ---- */

static void before_put_back(void)
{
	assert_int_equal(replace(), 0);
}

static int copy_frame(struct pf_mapping *m, pf_pfn_t pfn, pf_pa_t pa)
{
	(void)m;
	(void)pfn;
	pf_port_clear_pages(pa, P);
	return 0;
}

/* Frames behind all memory. The VMA keeps the device. */
static void map_frames(unsigned flags)
{
	static const struct pf_mapping_ops ops = {.copy = copy_frame};
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	f.mapping = pf_mapping_create(&sys, &ops, NULL, 0);
	assert_non_null(f.mapping);
	assert_int_equal(
		pf_mmap_file(&mm, AT(HOLE), 8 * P, RW, flags | PF_MAP_FIXED, &f, 0), AT(HOLE));
	pf_mapping_put(f.mapping);
	assert_int_equal(pf_remap_pfn_range(&mm, AT(HOLE), 8 * P, phys.first + phys.nr), 0);
}

static void before_take_frames(void)
{
	map_frames(PF_MAP_SHARED);
}

static void before_write_frame(void)
{
	map_frames(PF_MAP_PRIVATE);
}

static void with_uffd(pf_va_t va, unsigned mode, uint64_t features)
{
	quiet_uffd_open(&uffd, features);
	quiet_uffd_register(&uffd, va, 8, mode);
}

static void before_wp(void)
{
	with_uffd(AT(32), PF_UFFDIO_REGISTER_MODE_WP, 0);
}

static void before_scan(void)
{
	with_uffd(AT(32), PF_UFFDIO_REGISTER_MODE_WP,
		PF_UFFD_FEATURE_WP_ASYNC | PF_UFFD_FEATURE_WP_UNPOPULATED);
}

static void before_move(void)
{
	assert_int_equal(pf_mmap(&mm, AT(HOLE), 8 * P, RW, FIXED), AT(HOLE));
	with_uffd(AT(HOLE), PF_UFFDIO_REGISTER_MODE_MISSING, 0);
}

static void before_merge(void)
{
	assert_int_equal(pf_madvise(&mm, A, OWN * P, PF_MADV_MERGEABLE), 0);
}

static void before_cow(void)
{
	assert_int_equal(fork_child(), 0);
}

/* A device has the page, and a fault takes it back. */
static void before_fault(void)
{
	assert_int_equal(exclusive(), 0);
}

static int64_t fault_back(void)
{
	return fault(AT(9), 0);
}

/* ---- what is told ---- */

struct told {
	enum pf_mmu_notifier_event event;
	unsigned first, nr; /* pages; nr 0: the whole address space */
};

#define UNMAP PF_MMU_NOTIFY_UNMAP
#define CLEAR PF_MMU_NOTIFY_CLEAR
#define VMA   PF_MMU_NOTIFY_PROTECTION_VMA
#define PAGE  PF_MMU_NOTIFY_PROTECTION_PAGE

/* Of single pages all is known; of large folios it depends what is split besides. */
#define SMALL 1u
#define LARGE 2u
#define SOME  4u  /* these among others */
#define WP    8u  /* only with uffd-wp, */
#define SD    16u /* with soft-dirty */
static const struct row {
	const char *name;
	void (*before)(void);
	int64_t (*op)(void);
	struct told told[4];
	unsigned nr, flags;
} rows[] = {
	{"munmap", NULL, unmap, {{UNMAP, 3, 3}}, 1, 0},
	{"munmap of several", NULL, unmap_several, {{UNMAP, 60, 60}}, 1, 0},
	{"munmap of nothing", NULL, unmap_nothing, {{0}}, 0, 0},
	{"mmap", NULL, map_over, {{UNMAP, 4, 2}}, 1, 0},
	{"mprotect", NULL, protect, {{VMA, 3, 6}}, 1, 0},
	{"mprotect, none", NULL, unprotect, {{VMA, 3, 6}}, 1, 0},
	{"mremap", NULL, move_away, {{UNMAP, 16, 8}, {UNMAP, 16, 8}}, 2, 0},
	{"mremap, DONTUNMAP", NULL, move_keep, {{UNMAP, 16, 8}}, 1, 0},
	{"DONTNEED", NULL, dontneed, {{CLEAR, 5, 4}}, 1, 0},
	{"FREE", NULL, lazily, {{CLEAR, 16, 16}}, 1, 0},
	{"GUARD_INSTALL", NULL, guard, {{CLEAR, 5, 2}}, 1, 0},
	{"COLD", NULL, cold, {{0}}, 0, 0},
	{"PAGEOUT", with_swap, pageout, {{CLEAR, 16, 1}, {CLEAR, 17, 1}}, 2, SMALL},
	{"PAGEOUT, large", with_swap, pageout, {{CLEAR, 16, 16}}, 1, LARGE | SOME},
	{"fork", NULL, fork_child, {{PAGE, 0, OWN}}, 1, 0},
	{"copy on write", before_cow, cow, {{CLEAR, 5, 1}}, 1, 0},
	{"copy of a file's page", NULL, cow_of_file, {{CLEAR, COPIES + 2, 1}}, 1, 0},
	{"migrate", NULL, migrate, {{CLEAR, 2, 1}}, 1, SMALL},
	{"migrate, large", NULL, migrate, {{CLEAR, 16, 16}}, 1, LARGE},
	{"KSM", before_merge, merge, {{CLEAR, 17, 1}, {CLEAR, 18, 1}, {CLEAR, 18, 1}}, 3, SMALL},
	{"KSM, large", before_merge, merge, {{CLEAR, 16, 16}, {CLEAR, 17, 1}, {CLEAR, 18, 1}}, 3,
		LARGE | SOME},
	{"poison", NULL, poison, {{CLEAR, 4, 1}}, 1, SMALL},
	{"poison, large", NULL, poison, {{CLEAR, 0, 16}, {CLEAR, 4, 1}}, 2, LARGE},
	{"sync", NULL, write_back, {{PAGE, SHARED + 2, 1}, {PAGE, SHARED + 3, 1}}, 2, 0},
	{"truncate", NULL, truncate, {{CLEAR, SHARED + 12, 4}, {CLEAR, COPIES + 12, 4}}, 2, SOME},
	{"punch", NULL, punch, {{CLEAR, SHARED + 2, 3}, {CLEAR, COPIES + 2, 3}}, 2, SOME},
	{"REMOVE", NULL, punch_shmem, {{CLEAR, SHMEM + 1, 2}}, 1, 0},
	{"soft-dirty", NULL, soft_dirty, {{PF_MMU_NOTIFY_SOFT_DIRTY, 0, 0}}, 1, SD},
	{"clear_refs", NULL, clear_refs, {{0}}, 0, 0},
	{"NUMA hint", NULL, hint, {{VMA, 8, 4}}, 1, 0},
	{"device-exclusive", NULL, exclusive, {{PF_MMU_NOTIFY_EXCLUSIVE, 9, 1}}, 1, 0},
	{"device-exclusive, back", before_fault, fault_back, {{CLEAR, 9, 1}}, 1, 0},
	{"replaced", NULL, replace, {{CLEAR, COPIES + 2, 1}}, 1, 0},
	{"put back", before_put_back, put_back, {{CLEAR, COPIES + 2, 1}}, 1, 0},
	{"frames taken away", before_take_frames, take_frames, {{CLEAR, HOLE + 2, 3}}, 1, 0},
	{"copy of a frame", before_write_frame, write_frame, {{CLEAR, HOLE + 1, 1}}, 1, 0},
	{"reclaim", with_swap, reclaim, {{0}}, 0, SOME},
	{"split", NULL, split, {{CLEAR, 16, 16}}, 1, LARGE},
	{"uffd-wp", before_wp, write_protect, {{VMA, 32, 4}}, 1, WP},
	{"PAGEMAP_SCAN", before_scan, scan, {{VMA, 32, 4}}, 1, WP},
	{"UFFDIO_MOVE", before_move, move_pages, {{CLEAR, 32, 2}}, 1, SMALL},
};

static bool is_told(const struct pf_mmu_notifier_range *r, const struct told *t)
{
	const pf_va_t start = t->nr ? AT(t->first) : 0;
	const pf_va_t end = t->nr ? start + t->nr * P : sys.task_size;

	return r->event == t->event && r->start == start && r->end == end &&
	       r->owner == (t->event == PF_MMU_NOTIFY_EXCLUSIVE ? &mirror : NULL) &&
	       (r->flags & PF_MMU_NOTIFIER_RANGE_BLOCKABLE);
}

static void check_told(const struct row *row)
{
	unsigned at = 0;

	for (unsigned i = 0; i < row->nr; i++, at++) {
		while ((row->flags & SOME) && at < mirror.logged &&
			!is_told(&mirror.log[at], &row->told[i]))
			at++;
		if (at >= mirror.logged || !is_told(&mirror.log[at], &row->told[i]))
			mirror_fail(&mirror, "%s: not told of %u, or not so", row->name, i);
	}
	if (!(row->flags & SOME) && mirror.logged != row->nr)
		mirror_fail(&mirror, "%s: told of %u", row->name, mirror.logged);
	if ((row->flags & SOME) && !mirror.logged)
		mirror_fail(&mirror, "%s: told of nothing", row->name);
}

static void prepare(const struct pf_format *fmt, const struct row *row, uint64_t fail_at)
{
	begin(fmt, fail_at);
	if (row->before)
		row->before();
	mirror_check_idle(&mirror, row->name);
	mirror.logged = 0;
}

static void run_row(const struct pf_format *fmt, const struct row *row)
{
	uint64_t before, nr;

	if ((row->flags & (large ? SMALL : LARGE)) ||
		((row->flags & WP) && !(fmt->pt->pte_supported & PF_PTE_UFFD_WP)) ||
		((row->flags & SD) && !(fmt->pt->pte_supported & PF_PTE_SOFT_DIRTY)))
		return;
	prepare(fmt, row, 0);
	before = machine_counters.allocs;
	if (row->op() < 0)
		fail_msg("%s fails", row->name);
	nr = machine_counters.allocs - before;
	check(row->name);
	check_told(row);
	/* What it had to give up it can have again, if there is anything. */
	mirror_map(&mirror, 0, PAGES, 0);
	check("mapped again");
	end();
	for (uint64_t k = 1; k <= nr; k++) {
		prepare(fmt, row, before + k);
		row->op();
		check(row->name);
		row->op();
		check("again");
		end();
	}
}

static void told(void **state)
{
	(void)state;
	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned k = 0; k < 2; k++)
			for (unsigned r = 0; r < PF_ARRAY_SIZE(rows); r++) {
				large = k;
				run_row(pf_formats[i], &rows[r]);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
