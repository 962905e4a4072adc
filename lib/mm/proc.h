/* SPDX-License-Identifier: MIT */
/*
 * What Linux's /proc/PID tells of an address space and lets one reset: pagemap, smaps, clear_refs; and of frames: kpagecount,
 * kpageflags. All are snapshots: each run of alike pages is looked at under its table's lock, and things may change between
 * two runs. The functions take the mmap lock for reading, unless they say otherwise, and call back into nothing.
 *
 * Who may see frame numbers is the embedder's to decide: it clears them for the others.
 */
#ifndef PF_MM_PROC_H
#define PF_MM_PROC_H

#include "mm/mm.h"

/* ---- /proc/PID/pagemap ---- */

/*
 * An entry: bits 54..0 of a present page its frame; of a swapped one 4..0 the device and 54..5 the slot. Of one that names a frame
 * and is not present 54..5 the frame, and 4..0 what it is, as in Linux with all of these: 24 a lost page, 25 to 27 one on its
 * way (read; exclusive; written), 30 a device's.
 */
#define PF_PM_FRAME      PF_MASK(54, 0)
#define PF_PM_SWAP_SHIFT 5
#define PF_PM_SOFT_DIRTY PF_BIT(55) /* the entry, or its whole VMA */
#define PF_PM_MMAP_EXCLUSIVE                                                                       \
	PF_BIT(56) /* mapped once; of a large folio: by one process, for sure */
#define PF_PM_UFFD_WP      PF_BIT(57)
#define PF_PM_GUARD_REGION PF_BIT(58)
#define PF_PM_FILE         PF_BIT(61) /* of a file or shared memory */
#define PF_PM_SWAP         PF_BIT(62) /* or any other entry that is neither empty nor present */
#define PF_PM_PRESENT      PF_BIT(63)

/*
 * Entries of nr pages from va on, mapped or not. How many were filled in: fewer than nr at the end of user space;
 * -PF_EINVAL: va is not at a page. The mmap lock is dropped after each table's worth of pages, as in Linux.
 */
int64_t pf_pagemap(struct pf_mm *mm, pf_va_t va, uint64_t nr, uint64_t *entry);

/* ---- /proc/kpagecount, /proc/kpageflags ---- */

#define PF_KPF_LOCKED        0
#define PF_KPF_REFERENCED    2
#define PF_KPF_UPTODATE      3
#define PF_KPF_DIRTY         4
#define PF_KPF_WRITEBACK     8
#define PF_KPF_BUDDY         10
#define PF_KPF_MMAP          11
#define PF_KPF_ANON          12
#define PF_KPF_SWAPCACHE     13
#define PF_KPF_SWAPBACKED    14
#define PF_KPF_COMPOUND_HEAD 15
#define PF_KPF_COMPOUND_TAIL 16
#define PF_KPF_HWPOISON      19
#define PF_KPF_NOPAGE        20
#define PF_KPF_KSM           21
#define PF_KPF_THP           22
#define PF_KPF_ZERO_PAGE     24
#define PF_KPF_IDLE          25
#define PF_KPF_PGTABLE       26

/*
 * Of nr frames from pfn on: how often each is mapped (of a large folio's: on average, rounded); a bit PF_KPF_* for
 * each thing that is true of it, with Linux's numbers. No lock: a folio is kept by a reference while it is looked
 * at, and what is being allocated or freed just then may be taken for either.
 */
void pf_kpagecount(struct pf_system *sys, pf_pfn_t pfn, uint64_t nr, uint64_t *count);
void pf_kpageflags(struct pf_system *sys, pf_pfn_t pfn, uint64_t nr, uint64_t *flags);

/* ---- /proc/PID/clear_refs ---- */

#define PF_CLEAR_REFS_ALL        1u
#define PF_CLEAR_REFS_ANON       2u
#define PF_CLEAR_REFS_MAPPED     3u /* what belongs to files and shared memory */
#define PF_CLEAR_REFS_SOFT_DIRTY 4u
#define PF_CLEAR_REFS_MM_HIWATER 5u
/*
 * 1 to 3: no page was used since now, as far as its entry and folio tell; nothing is flushed, so that what a TLB holds looks
 * unused until it is evicted there. 4: no page was written: VMAs and entries lose soft-dirty, and entries W, flushed before
 * this returns; a later write faults once and is known by it. Takes the mmap lock for writing. Formats without
 * soft-dirty have nothing to clear. 5: the most that was ever in memory is what is. -PF_EINVAL: another number.
 */
int pf_clear_refs(struct pf_mm *mm, unsigned what);
/* The most pages that were ever in memory at a time, since then: Linux's VmHWM, in pages. No lock. */
uint64_t pf_peak_rss(const struct pf_mm *mm);

/* ---- /proc/PID/smaps, smaps_rollup ---- */

#define PF_PSS_SHIFT 12

/* Bytes, as the fields of the same names; those with pss are shifted by PF_PSS_SHIFT, so that shares add up. */
struct pf_smaps {
	struct pf_area area; /* of the rollup: from the first VMA to the last, without flags */
	struct pf_mapping *mapping;
	uint64_t size, rss, pss, pss_dirty, pss_anon, pss_file, pss_shmem, pss_locked;
	uint64_t shared_clean, shared_dirty, private_clean, private_dirty;
	uint64_t referenced, anonymous, ksm, lazyfree;
	/* Table-level leaves of user mappings are not built: zero. */
	uint64_t anon_huge_pages, shmem_pmd_mapped, file_pmd_mapped;
	uint64_t swap, swap_pss;
	bool thp_eligible;
};

/* The first VMA that ends above va; false if there is none. */
bool pf_smaps(struct pf_mm *mm, pf_va_t va, struct pf_smaps *s);
/* All VMAs together. Nothing is counted twice: the lock is held throughout. */
void pf_smaps_rollup(struct pf_mm *mm, struct pf_smaps *s);

/* ---- ioctl(PAGEMAP_SCAN) ---- */

#define PF_PM_SCAN_WP_MATCHING   PF_BIT(0)
#define PF_PM_SCAN_CHECK_WPASYNC PF_BIT(1)

#define PF_PAGE_IS_WPALLOWED  PF_BIT(0)
#define PF_PAGE_IS_WRITTEN    PF_BIT(1) /* not protected by userfaultfd */
#define PF_PAGE_IS_FILE       PF_BIT(2)
#define PF_PAGE_IS_PRESENT    PF_BIT(3)
#define PF_PAGE_IS_SWAPPED    PF_BIT(4)
#define PF_PAGE_IS_PFNZERO    PF_BIT(5)
#define PF_PAGE_IS_HUGE       PF_BIT(6)
#define PF_PAGE_IS_SOFT_DIRTY PF_BIT(7)
#define PF_PAGE_IS_GUARD      PF_BIT(8)

struct pf_page_region {
	uint64_t start, end, categories;
};

/* Linux's struct pm_scan_arg, but for its size and for the place of the regions. */
struct pf_pm_scan {
	uint64_t flags;
	pf_va_t start, end;
	pf_va_t walk_end; /* out: where it stopped; `end` if nothing was left, and of a walk that failed */
	uint64_t vec_len; /* regions that there is room for */
	uint64_t max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

/*
 * The pages of [start, end) whose categories, inverted where `category_inverted` says so, have all of `category_mask`
 * and some of `category_anyof_mask` (if that is not 0), as regions with `return_mask` of what they are. How many regions; it
 * stops where they or `max_pages` (0: no limit) are used up. vec NULL: nothing is told.
 * WP_MATCHING: of VMAs registered for asynchronous write protection, and of no others, what is told is write-protected (uffd-wp) in the same
 * look: a store is told of once, by this scan or by the next. Without vec all is protected. Flushed on return. Where
 * no memory is left for a table, the scan stops as if it were full; -PF_ENOMEM if it has told nothing yet.
 * -PF_EINVAL (flags, categories; start is not at a page), -PF_EFAULT (outside user space), -PF_EPERM (CHECK_WPASYNC,
 * and a VMA in the way that is not registered for asynchronous write protection; what comes before it is done).
 */
int64_t pf_pagemap_scan(struct pf_mm *mm, struct pf_pm_scan *arg, struct pf_page_region *vec);

#endif
