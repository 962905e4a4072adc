/* SPDX-License-Identifier: MIT */
/*
 * madvise.
 */
#include "mm/internal.h"

static bool advice_known(int advice)
{
	switch (advice) {
	case PF_MADV_NORMAL:
	case PF_MADV_RANDOM:
	case PF_MADV_SEQUENTIAL:
	case PF_MADV_WILLNEED:
	case PF_MADV_DONTNEED:
	case PF_MADV_DONTNEED_LOCKED:
	case PF_MADV_REMOVE:
	case PF_MADV_DONTFORK:
	case PF_MADV_DOFORK:
	case PF_MADV_HUGEPAGE:
	case PF_MADV_NOHUGEPAGE:
	case PF_MADV_DONTDUMP:
	case PF_MADV_DODUMP:
	case PF_MADV_WIPEONFORK:
	case PF_MADV_KEEPONFORK:
	case PF_MADV_FREE:
	case PF_MADV_COLD:
	case PF_MADV_PAGEOUT:
	case PF_MADV_COLLAPSE:
	case PF_MADV_MERGEABLE:
	case PF_MADV_UNMERGEABLE:
	case PF_MADV_POPULATE_READ:
	case PF_MADV_POPULATE_WRITE:
	case PF_MADV_GUARD_INSTALL:
	case PF_MADV_GUARD_REMOVE:
	case PF_MADV_HWPOISON:
	case PF_MADV_SOFT_OFFLINE:
		return true;
	default:
		return false;
	}
}

/* What an advice that is a flag makes of a VMA's flags. False: it is none. */
static bool advised_flags(int advice, uint32_t *flags)
{
	switch (advice) {
	case PF_MADV_NORMAL:
		*flags &= ~(PF_VM_RAND_READ | PF_VM_SEQ_READ);
		return true;
	case PF_MADV_SEQUENTIAL:
		*flags = (*flags & ~PF_VM_RAND_READ) | PF_VM_SEQ_READ;
		return true;
	case PF_MADV_RANDOM:
		*flags = (*flags & ~PF_VM_SEQ_READ) | PF_VM_RAND_READ;
		return true;
	case PF_MADV_DONTFORK:
		*flags |= PF_VM_DONTCOPY;
		return true;
	case PF_MADV_DOFORK:
		*flags &= ~PF_VM_DONTCOPY;
		return true;
	case PF_MADV_WIPEONFORK:
		*flags |= PF_VM_WIPEONFORK;
		return true;
	case PF_MADV_KEEPONFORK:
		*flags &= ~PF_VM_WIPEONFORK;
		return true;
	case PF_MADV_DONTDUMP:
		*flags |= PF_VM_DONTDUMP;
		return true;
	case PF_MADV_DODUMP:
		*flags &= ~PF_VM_DONTDUMP;
		return true;
	case PF_MADV_MERGEABLE:
		*flags |= PF_VM_MERGEABLE;
		return true;
	case PF_MADV_UNMERGEABLE:
		*flags &= ~PF_VM_MERGEABLE;
		return true;
	case PF_MADV_HUGEPAGE:
		*flags = (*flags & ~PF_VM_NOHUGEPAGE) | PF_VM_HUGEPAGE;
		return true;
	case PF_MADV_NOHUGEPAGE:
		*flags = (*flags & ~PF_VM_HUGEPAGE) | PF_VM_NOHUGEPAGE;
		return true;
	default:
		return false;
	}
}

/*
 * An advice that is a flag, for one VMA. When a VMA more is needed and there are too many, Linux
 * says EAGAIN here.
 */
static int advise_flags(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, uint32_t flags)
{
	if (flags == vma->area.flags)
		return 0;
	return pf_vma_modify_flags(mm, r, vma, start, end, flags) ? 0 : -PF_EAGAIN;
}

/* Does the advice take away what the memory holds, now or from a child? */
static bool discards(int advice)
{
	switch (advice) {
	case PF_MADV_DONTNEED:
	case PF_MADV_DONTNEED_LOCKED:
	case PF_MADV_FREE:
	case PF_MADV_REMOVE:
	case PF_MADV_DONTFORK:
	case PF_MADV_WIPEONFORK:
	case PF_MADV_GUARD_INSTALL:
		return true;
	default:
		return false;
	}
}

/* Of sealed anonymous memory only what may be written may be discarded: it could be overwritten as well. */
static bool seal_forbids(const struct pf_vma *vma, int advice)
{
	return (vma->area.flags & PF_VM_SEALED) && !(vma->area.flags & PF_VM_WRITE) &&
	       !vma->mapping && discards(advice);
}

/* Guards stand among pages that are memory and may be given up. */
static bool guardable(uint32_t flags, int advice)
{
	if (flags & PF_VM_SPECIAL)
		return false;
	return advice == PF_MADV_GUARD_REMOVE || !(flags & PF_VM_LOCKED);
}

/*
 * What guards will need, of all VMAs that get any: tables, and families of anonymous ones. The call cannot fail for memory after that.
 */
static int guard_reserve(struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	struct pf_vma *vma = pf_find_vma(mm, start);
	int err = 0;

	for (; !err && vma && vma->area.start < end; vma = pf_vma_tree_next(mm->vmas, vma)) {
		const pf_va_t from = pf_max(vma->area.start, start);
		const pf_va_t to = pf_min(vma->area.end, end);

		if (seal_forbids(vma, PF_MADV_GUARD_INSTALL) ||
			!guardable(vma->area.flags, PF_MADV_GUARD_INSTALL))
			break;
		/* Tables of memory of one's own have a family to be found by; a file's are found by the file. */
		err = vma->mapping ? 0 : pf_anon_prepare(mm, vma);
		if (!err)
			err = mm->sys->fmt->alloc_tables(
				&mm->space, from, pf_mm_pages(mm, from, to));
	}
	return err;
}

/* Pages go, or lose D. */
static void discard(struct pf_mm *mm, struct pf_gather *g, const struct pf_vma *vma, pf_va_t start,
	pf_va_t end, int advice)
{
	const struct pf_format *fmt = mm->sys->fmt;
	const uint64_t nr = pf_mm_pages(mm, start, end);
	struct pf_mmu_notifier_range range;

	pf_notify_start(&range, &mm->space, PF_MMU_NOTIFY_CLEAR,
		PF_MUTANT("notify-advise-forgets") ? end : start, end);
	if (advice == PF_MADV_FREE)
		pf_advise_cold(g, mm, &vma->area, start, end, fmt->free_lazily);
	else if (advice == PF_MADV_GUARD_INSTALL)
		fmt->guard_install(g, &vma->area, start, nr);
	else
		fmt->zap_range(g, &vma->area, start, nr, PF_ZAP_KEEP_GUARDS | PF_ZAP_KEEP_WP);
	pf_notify_end(&range);
}

/* One VMA's part of the range. */
static int advise_vma(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_gather *g,
	struct pf_vma *vma, pf_va_t start, pf_va_t end, int advice)
{
	uint32_t flags = vma->area.flags;

	if (seal_forbids(vma, advice))
		return -PF_EPERM;
	/* Only what is the process's own can be wiped. */
	if (advice == PF_MADV_WIPEONFORK && vma->mapping)
		return -PF_EINVAL;
	if (advice == PF_MADV_MERGEABLE && !pf_ksm_compatible(vma))
		return 0;
	if (advice == PF_MADV_UNMERGEABLE && (flags & PF_VM_MERGEABLE)) {
		int err = pf_ksm_unmerge(mm, vma, start, end);

		if (err)
			return err;
	}
	/* What is no memory of the process is no child's by right, and has nothing to be dumped. */
	if ((flags & PF_VM_SPECIAL) && (advice == PF_MADV_DOFORK || advice == PF_MADV_DODUMP))
		return -PF_EINVAL;
	if (advised_flags(advice, &flags))
		return advise_flags(mm, r, vma, start, end, flags);
	switch (advice) {
	case PF_MADV_DONTNEED:
	case PF_MADV_DONTNEED_LOCKED:
		if ((flags & PF_VM_PFNMAP) ||
			((flags & PF_VM_LOCKED) && advice == PF_MADV_DONTNEED))
			return -PF_EINVAL;
		discard(mm, g, vma, start, end, advice);
		/* Linux's CONFIG_PT_RECLAIM. */
		mm->sys->fmt->reclaim_tables(g, start, pf_mm_pages(mm, start, end));
		return 0;
	case PF_MADV_GUARD_INSTALL:
		if (!guardable(flags, advice))
			return -PF_EINVAL;
		pf_store_relaxed(&vma->had_guards, 1);
		discard(mm, g, vma, start, end, advice);
		return 0;
	case PF_MADV_GUARD_REMOVE:
		if (!guardable(flags, advice))
			return -PF_EINVAL;
		mm->sys->fmt->guard_remove(&mm->space, start, pf_mm_pages(mm, start, end));
		return 0;
	case PF_MADV_FREE:
		if ((flags & (PF_VM_LOCKED | PF_VM_PFNMAP)) || vma->area.backing != PF_BACKED_ANON)
			return -PF_EINVAL;
		discard(mm, g, vma, start, end, advice);
		return 0;
	case PF_MADV_COLD:
	case PF_MADV_PAGEOUT:
		if (flags & (PF_VM_LOCKED | PF_VM_PFNMAP))
			return -PF_EINVAL;
		if (advice == PF_MADV_COLD)
			pf_advise_cold(g, mm, &vma->area, start, end, mm->sys->fmt->make_old);
		else
			pf_advise_pageout(mm, &vma->area, start, end);
		return 0;
	case PF_MADV_WILLNEED:
		pf_swap_ahead(mm, vma, start, end);
		if (vma->mapping && !vma->mapping->ops)
			pf_shmem_ahead(
				vma->mapping, pf_vma_index(vma, start), pf_vma_index(vma, end - 1));
		return 0;
	case PF_MADV_REMOVE:
		if ((flags & PF_VM_LOCKED) || !vma->mapping)
			return -PF_EINVAL;
		if (!(flags & PF_VM_SHARED) || !(flags & PF_VM_MAYWRITE))
			return -PF_EACCES;
		return pf_mapping_punch(vma->mapping,
			(vma->area.pgoff << pf_mm_shift(mm)) + (start - vma->area.start),
			end - start);
	default:
		return 0;
	}
}

/* Holes are skipped, and reported at the end; an error ends it. */
static int walk(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_gather *g, pf_va_t start,
	pf_va_t end, int advice)
{
	int hole = 0;

	while (start < end) {
		struct pf_vma *vma = pf_find_vma(mm, start);
		pf_va_t to;
		int err;

		if (!vma)
			return -PF_ENOMEM;
		if (vma->area.start > start) {
			hole = -PF_ENOMEM;
			start = vma->area.start;
			if (start >= end)
				break;
		}
		to = pf_min(vma->area.end, end);
		err = advise_vma(mm, r, g, vma, start, to, advice);
		if (err)
			return err;
		start = to;
	}
	return hole;
}

/* Faults pages in, which a gather that is open would keep from being seen whole. */
static bool populates(int advice)
{
	return advice == PF_MADV_POPULATE_READ || advice == PF_MADV_POPULATE_WRITE;
}

/* Takes and releases the lock a leaf table or a page at a time, and for writing, too. */
static bool locks_itself(int advice)
{
	return advice == PF_MADV_COLLAPSE || advice == PF_MADV_HWPOISON ||
	       advice == PF_MADV_SOFT_OFFLINE;
}

static void gather(struct pf_advising *a)
{
	pf_tlb_gather_mmu(&a->gather, &a->mm->space);
	a->gathers = true;
}

/*
 * Advice that changes VMAs takes the lock for writing; what changes entries at most takes it for reading, as in Linux. One
 * flush for all ranges and VMAs.
 */
void pf_advise_begin(struct pf_advising *a, struct pf_mm *mm, int advice)
{
	uint32_t flags = 0;

	*a = (struct pf_advising){
		.mm = mm, .advice = advice, .by_flags = advised_flags(advice, &flags)};
	if (locks_itself(advice))
		return;
	if (a->by_flags)
		pf_mmap_write_lock(mm);
	else
		pf_mmap_read_lock(mm);
	/* Guards want tables first, and who makes a table while a gather is open flushes. */
	if (!a->by_flags && !populates(advice) && advice != PF_MADV_GUARD_INSTALL)
		gather(a);
}

void pf_advise_end(struct pf_advising *a)
{
	if (locks_itself(a->advice))
		return;
	if (a->by_flags) {
		pf_mmap_write_unlock(a->mm);
		return;
	}
	if (a->gathers)
		pf_tlb_finish_mmu(&a->gather);
	pf_mmap_read_unlock(a->mm);
}

static int advise_pages(struct pf_advising *a, pf_va_t start, pf_va_t end)
{
	int err = 0;

	if (a->advice == PF_MADV_COLLAPSE)
		return pf_madvise_collapse(a->mm, start, end);
	if (a->advice == PF_MADV_HWPOISON || a->advice == PF_MADV_SOFT_OFFLINE)
		return pf_madvise_inject(a->mm, start, end, a->advice == PF_MADV_SOFT_OFFLINE);
	if (populates(a->advice))
		return pf_populate_locked(a->mm, start, end, a->advice == PF_MADV_POPULATE_WRITE);
	if (a->advice == PF_MADV_GUARD_INSTALL) {
		err = guard_reserve(a->mm, start, end);
		/* Of several ranges the first opens it. */
		if (!err && !a->gathers)
			gather(a);
	}
	return err ? err : walk(a->mm, NULL, &a->gather, start, end, a->advice);
}

/* What may be needed in hand before the first change. */
static int advise_by_flags(struct pf_advising *a, pf_va_t start, pf_va_t end)
{
	struct pf_vma_reserve r;
	int err = pf_vma_reserve_splits(a->mm, &r, start, end);

	if (!err)
		err = walk(a->mm, &r, NULL, start, end, a->advice);
	pf_vma_unreserve(a->mm, &r);
	return err;
}

/* Of a range: an error, or, with *end behind `addr`, there is something to do. */
static int check_range(const struct pf_mm *mm, pf_va_t addr, uint64_t len, int advice, pf_va_t *end)
{
	*end = addr;
	if (!advice_known(advice) || !pf_mm_aligned(mm, addr))
		return -PF_EINVAL;
	if (len && !pf_mm_align(mm, len))
		return -PF_EINVAL;
	*end = addr + pf_mm_align(mm, len);
	return *end < addr ? -PF_EINVAL : 0;
}

static int advise(struct pf_advising *a, pf_va_t start, pf_va_t end)
{
	return a->by_flags ? advise_by_flags(a, start, end) : advise_pages(a, start, end);
}

int pf_advise_range(struct pf_advising *a, pf_va_t addr, uint64_t len)
{
	pf_va_t end;
	const int err = check_range(a->mm, addr, len, a->advice, &end);

	return err || end == addr ? err : advise(a, addr, end);
}

int pf_madvise(struct pf_mm *mm, pf_va_t addr, uint64_t len, int advice)
{
	struct pf_advising a;
	pf_va_t end;
	int err = check_range(mm, addr, len, advice, &end);

	if (err || end == addr)
		return err;
	pf_advise_begin(&a, mm, advice);
	err = advise(&a, addr, end);
	pf_advise_end(&a);
	return err;
}
