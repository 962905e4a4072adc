/* SPDX-License-Identifier: MIT */
/*
 * UFFDIO_MOVE. The mmap lock is held for reading throughout, as by a fault that is long.
 */
#include "mm/migrate.h"
#include "mm/uffd_internal.h"

#define MODES (PF_UFFDIO_DONTWAKE | PF_UFFDIO_MOVE_ALLOW_SRC_HOLES)

struct move {
	struct pf_mm *mm;
	struct pf_vma *src, *dst;
	pf_va_t from, to;
	uint64_t nr; /* pages that are left */
	bool holes;
};

static bool covers(const struct pf_vma *vma, pf_va_t start, uint64_t len)
{
	return len <= vma->area.end - start;
}

/* Private memory of zeros that may be written, with the same rights: then an entry of one is right in the other. */
static bool compatible(const struct pf_vma *src, const struct pf_vma *dst)
{
	const uint32_t same = PF_VM_ACCESS | PF_VM_LOCKED, none = PF_VM_SHARED | PF_VM_PFNMAP;

	if ((src->area.flags | dst->area.flags) & none)
		return false;
	return !((src->area.flags ^ dst->area.flags) & same) && src->area.prot == dst->area.prot &&
	       (src->area.flags & PF_VM_WRITE) && src->area.backing == PF_BACKED_ANON &&
	       dst->area.backing == PF_BACKED_ANON;
}

static int find(const struct pf_uffd *u, struct move *m, uint64_t len)
{
	int err = pf_uffd_prepare(m->mm, m->to);

	if (err)
		return err;
	m->dst = pf_vma_lookup(m->mm, m->to);
	m->src = pf_vma_lookup(m->mm, m->from);
	if (!m->src)
		return -PF_ENOENT;
	if (!covers(m->src, m->from, len) || !covers(m->dst, m->to, len) ||
		!compatible(m->src, m->dst) || m->dst->uffd != u)
		return -PF_EINVAL;
	return 0;
}

/* Exclusive, so nobody else is at the slot, but for who frees memory right now. */
static int bring_in(struct move *m)
{
	const uint32_t orders = m->src->uffd ? 1 : pf_thp_orders(m->mm->sys, m->src->area.flags);

	switch (pf_swap_fault(m->mm, m->src, m->from, 0, orders)) {
	case PF_FAULT_DONE:
		return 0;
	case PF_FAULT_OOM:
		return -PF_ENOMEM;
	default:
		return -PF_EFAULT;
	}
}

/* Takes over the reference. */
static int split(struct move *m, struct pf_folio *folio)
{
	int err = pf_split_folio(m->mm->sys, folio);

	pf_folio_put(m->mm->sys->phys, folio, 1);
	return err;
}

/* Up to the end of the table that the next page is in: no more move at a time. */
static uint64_t pages_in_table(const struct move *m)
{
	const uint64_t pmd = pf_mm_pmd_size(m->mm);

	return (pmd - (m->from & (pmd - 1))) >> pf_mm_shift(m->mm);
}

/* 0: some pages are dealt with, or the next step may do more. */
static int step(struct move *m)
{
	struct pf_mmu_notifier_range range;
	enum pf_move moved;
	struct pf_folio *large;
	uint64_t n = pf_min(m->nr, pages_in_table(m));

	pf_notify_start(&range, &m->mm->space, PF_MMU_NOTIFY_CLEAR, m->from,
		PF_MUTANT("notify-move-forgets") ? m->from : m->from + (n << pf_mm_shift(m->mm)));
	moved = m->mm->sys->fmt->uffd_move(
		&m->mm->space, &m->dst->area, m->from, m->to, m->holes, &n, &large);
	pf_notify_end(&range);
	switch (moved) {
	case PF_MOVE_HOLE:
		if (!m->holes)
			return -PF_ENOENT;
		break;
	case PF_MOVE_DONE:
		break;
	case PF_MOVE_TAKEN:
		return -PF_EEXIST;
	case PF_MOVE_SWAPPED:
		return bring_in(m);
	case PF_MOVE_MIGRATING:
		/* Who moves it takes no lock that we have, and ends it soon, as in a fault. */
		pf_port_relax();
		return 0;
	case PF_MOVE_LARGE:
		return split(m, large);
	case PF_MOVE_BUSY:
		return -PF_EBUSY;
	case PF_MOVE_LOCKED:
		return -PF_EAGAIN;
	case PF_MOVE_LOST:
		return -PF_EFAULT;
	case PF_MOVE_OOM:
		return -PF_ENOMEM;
	}
	m->nr -= n;
	m->from += n << pf_mm_shift(m->mm);
	m->to += n << pf_mm_shift(m->mm);
	return 0;
}

int pf_uffd_move(struct pf_uffd *u, struct pf_mm *caller, pf_va_t dst, pf_va_t src, uint64_t len,
	unsigned mode, int64_t *done)
{
	struct move m = {.mm = caller,
		.from = src,
		.to = dst,
		.holes = mode & PF_UFFDIO_MOVE_ALLOW_SRC_HOLES};
	int err;

	*done = 0;
	if (u->mm != caller || pf_uffd_check_range(u, dst, len) ||
		pf_uffd_check_range(u, src, len) || (mode & ~MODES))
		return -PF_EINVAL;
	m.nr = len >> pf_mm_shift(caller);
	pf_mmap_read_lock(caller);
	err = find(u, &m, len);
	while (!err && m.nr)
		err = step(&m);
	pf_mmap_read_unlock(caller);
	*done = m.to > dst ? (int64_t)(m.to - dst) : err;
	if (*done < 0)
		return err;
	if (!(mode & PF_UFFDIO_DONTWAKE))
		u->ops->wake(u, dst, (uint64_t)*done);
	return m.nr ? -PF_EAGAIN : 0;
}
