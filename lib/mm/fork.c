/* SPDX-License-Identifier: MIT */
/*
 * fork: the child gets the parent's VMAs, and shares its pages.
 */
#include "mm/internal.h"

static bool kept(const struct pf_vma *vma)
{
	return !(vma->area.flags & PF_VM_DONTCOPY);
}

/* The child's VMA. */
static int dup_vma(struct pf_mm *child, struct pf_vma *vma, struct pf_vma **dup)
{
	/* A page that was never written is one of zeros, which the child finds by itself. */
	const bool anon = vma->area.anon && !(vma->area.flags & PF_VM_WIPEONFORK);
	const uint64_t pages = pf_mm_pages(child, vma->area.start, vma->area.end);
	const uint32_t promised = vma->area.flags;
	struct pf_vma_reserve r;
	int err;

	if (!pf_commit(child->sys, promised, pages))
		return -PF_ENOMEM;
	err = pf_vma_reserve(child, &r, 1, anon ? pf_anon_links(vma) + 1 : 0);
	if (err) {
		pf_uncommit(child->sys, promised, pages);
		return err;
	}
	*dup = pf_vma_take(&r);
	pf_vma_copy(*dup, vma);
	(*dup)->mm = child;
	/* Locks are not inherited. Then neighbours may be alike that were not; fork merges none. */
	(*dup)->area.flags &= ~PF_VM_LOCKED_MASK;
	if (vma->area.flags & (PF_VM_LOCKED | PF_VM_WIPEONFORK))
		child->unmerged = true;
	/* Nor is who is told of the parent's faults told of the child's. */
	pf_vma_forget_uffd(child, *dup);
	(*dup)->area.anon = 0;
	(*dup)->links = NULL;
	if (anon)
		err = pf_anon_fork(child->sys, &r, *dup, vma);
	if (err) {
		pf_uncommit(child->sys, promised, pages);
		pf_port_meta_free(*dup, sizeof(**dup));
	} else {
		pf_vma_insert(child, *dup);
		pf_vm_stat(child, (*dup)->area.flags, (int64_t)pages);
	}
	pf_vma_unreserve(child, &r);
	return err;
}

/*
 * Are there entries that the child would miss? Without a family no page was ever written: there may be pages of zeros,
 * which the child finds by itself; and, where guards have been, guards; and frames, which nobody finds again.
 */
static bool has_entries(const struct pf_vma *dup)
{
	if ((dup->area.flags & PF_VM_PFNMAP) && !PF_MUTANT("fork-forgets-frames"))
		return true;
	return dup->area.anon ||
	       (pf_load_relaxed(&dup->had_guards) && !(dup->area.flags & PF_VM_WIPEONFORK));
}

/*
 * Of memory that is copied on write the parent's entries lose W. Who pins pages without a lock meanwhile has to undo it, or is
 * seen (tlb/space.h).
 */
static int copy_entries(struct pf_mm *child, struct pf_mm *parent, const struct pf_vma *dup,
	const struct pf_vma *vma, bool *flush)
{
	const pf_va_t start = vma->area.start, end = vma->area.end;
	const bool cow = pf_area_cow(&vma->area), told = cow && !PF_MUTANT("notify-fork-forgets");
	struct pf_mmu_notifier_range range;
	int err;

	pf_notify_start(
		&range, &parent->space, PF_MMU_NOTIFY_PROTECTION_PAGE, told ? start : end, end);
	if (cow)
		pf_write_protect_begin(&parent->space);
	err = parent->sys->fmt->copy_range(&child->space, &parent->space, &dup->area, &vma->area,
		start, pf_mm_pages(parent, start, end), flush);
	if (cow)
		pf_write_protect_end(&parent->space);
	if (!err || !PF_MUTANT("notify-end-missing-on-error"))
		pf_notify_end(&range);
	return err;
}

static int dup_mmap(struct pf_mm *child, struct pf_mm *parent, bool *flush)
{
	struct pf_vma *vma = pf_find_vma(parent, 0);

	for (; vma; vma = pf_vma_tree_next(parent->vmas, vma)) {
		struct pf_vma *dup;
		int err;

		if (!kept(vma))
			continue;
		/* What the child is given is not taken back by a fault, nor filled after it was looked at. */
		pf_vma_start_write(vma);
		err = dup_vma(child, vma, &dup);
		if (!err && has_entries(dup))
			err = copy_entries(child, parent, dup, vma, flush);
		if (err)
			return err;
	}
	return 0;
}

int pf_fork(struct pf_mm *child, struct pf_mm *parent, uint16_t asid)
{
	bool flush = false;
	int err = pf_mm_init(child, parent->sys, asid);

	if (err)
		return err;
	/* The parent's before the child's, which nobody else knows yet: no order to get wrong. */
	pf_mmap_write_lock(parent);
	pf_mmap_write_lock(child);
	child->mmap_base = parent->mmap_base;
	child->start_brk = parent->start_brk;
	child->brk = parent->brk;
	child->limits = parent->limits;
	if (!PF_MUTANT("fork-forgets-policy"))
		child->space.policy = parent->space.policy;
	child->interleaved = parent->interleaved;
	child->unmerged = parent->unmerged;
	err = dup_mmap(child, parent, &flush);
	/*
	 * Once for all that lost W, and also when fork fails: before anybody can act on the
	 * parent's entries being read-only, which begins when its lock is released.
	 */
	if (flush && !PF_MUTANT("fork-no-flush"))
		pf_tlb_flush_range(&parent->space, 0, 0);
	pf_mmap_write_unlock(child);
	pf_mmap_write_unlock(parent);
	if (err)
		pf_mm_exit(child);
	return err;
}
