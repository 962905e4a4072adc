/* SPDX-License-Identifier: MIT */
/*
 * mremap: shrink, grow, move.
 */
#include "mm/internal.h"

struct remap {
	struct pf_mm *mm;
	pf_va_t addr, new_addr;
	uint64_t old_len, new_len;
	unsigned flags;
};

static bool to_new_addr(const struct remap *m)
{
	return m->flags & (PF_MREMAP_FIXED | PF_MREMAP_DONTUNMAP);
}

/* What can be said without looking at the VMAs. Lengths are rounded to pages already. */
static int check_args(const struct remap *m)
{
	const uint64_t task_size = m->mm->sys->task_size;
	const unsigned known = PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED | PF_MREMAP_DONTUNMAP;

	if ((m->flags & ~known) || !pf_mm_aligned(m->mm, m->addr))
		return -PF_EINVAL;
	/* old_len 0 once meant "map it twice"; new_len 0 means nothing. */
	if (!m->new_len || m->new_len > task_size)
		return -PF_EINVAL;
	if (!to_new_addr(m))
		return 0;
	if (m->new_addr > task_size - m->new_len || !pf_mm_aligned(m->mm, m->new_addr))
		return -PF_EINVAL;
	if (!(m->flags & PF_MREMAP_MAYMOVE))
		return -PF_EINVAL;
	if ((m->flags & PF_MREMAP_DONTUNMAP) && m->old_len != m->new_len)
		return -PF_EINVAL;
	/* Overlap, with sums that may wrap as Linux's do: what is too long is found later. */
	if (m->addr + m->old_len > m->new_addr && m->new_addr + m->new_len > m->addr)
		return -PF_EINVAL;
	/* A move may need several VMAs for a while; Linux refuses early. */
	if (m->mm->map_count + 2 >= m->mm->sys->max_map_count - 3)
		return -PF_ENOMEM;
	return 0;
}

/* The VMA at addr, and whether it allows it. */
static int check_vma(const struct remap *m, const struct pf_vma *vma)
{
	uint64_t old_len = m->old_len;

	if (!vma)
		return -PF_EFAULT;
	if (vma->area.flags & PF_VM_SEALED)
		return -PF_EPERM;
	if (m->new_len <= m->old_len && !to_new_addr(m))
		return 0;
	if (!old_len && !(vma->area.flags & (PF_VM_SHARED | PF_VM_MAYSHARE)))
		return -PF_EINVAL;
	if ((m->flags & PF_MREMAP_DONTUNMAP) &&
		(vma->area.flags & (PF_VM_DONTEXPAND | PF_VM_PFNMAP)))
		return -PF_EINVAL;
	/* What a shrink cuts off may belong to other VMAs; what is moved or grown may not. */
	old_len = pf_min(old_len, m->new_len);
	if (old_len > vma->area.end - m->addr)
		return -PF_EFAULT;
	if (m->new_len <= m->old_len)
		return 0;
	if (vma->area.flags & (PF_VM_DONTEXPAND | PF_VM_PFNMAP))
		return -PF_EFAULT;
	if (!pf_mlock_future_ok(m->mm, vma->area.flags, m->new_len - m->old_len))
		return -PF_EAGAIN;
	if (!pf_may_expand_vm(
		    m->mm, vma->area.flags, (m->new_len - m->old_len) >> pf_mm_shift(m->mm)))
		return -PF_ENOMEM;
	return 0;
}

/* ---- in place ---- */

/* What a shrink cuts off, holes and all, must lie below the end of user space, as munmap's range. */
static bool tail_fits(const struct remap *m)
{
	const uint64_t task_size = m->mm->sys->task_size;

	/* There is a VMA at addr, and new_len is at most task_size: the sum does not wrap. */
	return m->addr + m->new_len <= task_size &&
	       m->old_len - m->new_len <= task_size - (m->addr + m->new_len);
}

static int shrink(const struct remap *m)
{
	const pf_va_t start = m->addr + m->new_len, end = m->addr + m->old_len;
	struct pf_vma_reserve r;
	int err;

	if (!tail_fits(m))
		return -PF_EINVAL;
	err = pf_munmap_reserve(m->mm, &r, start, end, 0);
	if (!err)
		err = pf_munmap_locked(m->mm, &r, start, end);
	pf_vma_unreserve(m->mm, &r);
	return err;
}

/* Is there room behind the VMA, and does the range end where it does? */
static bool can_grow(const struct remap *m, const struct pf_vma *vma)
{
	const pf_va_t end = m->addr + m->new_len;

	return m->addr + m->old_len == vma->area.end &&
	       m->new_len <= m->mm->sys->task_size - m->addr &&
	       pf_vma_none(m->mm, vma->area.end, end);
}

static int grow(const struct remap *m, const struct pf_vma *vma)
{
	struct pf_vma_desc d = {
		.start = vma->area.end,
		.end = m->addr + m->new_len,
		.flags = vma->area.flags,
		.pgoff = vma->area.pgoff + pf_mm_pages(m->mm, vma->area.start, vma->area.end),
		.mapping = vma->mapping,
		.like = vma,
		.grows = true,
	};
	const uint64_t pages = pf_mm_pages(m->mm, d.start, d.end);
	struct pf_vma_reserve r;
	int err;

	if (!pf_commit(m->mm->sys, d.flags, pages))
		return -PF_ENOMEM;
	/* Extends the VMA, for it continues it in everything: the reserve is for the tree's rule. */
	err = pf_vma_reserve(m->mm, &r, 1, 0);
	if (!err)
		pf_vma_add(m->mm, &r, &d);
	else
		pf_uncommit(m->mm->sys, d.flags, pages);
	pf_vma_unreserve(m->mm, &r);
	return err;
}

/* ---- moving ---- */

/* The old range stays mapped, empty; unlocked, and without an anon_vma where the VMA is whole. */
static void dont_unmap(const struct remap *m)
{
	struct pf_vma *vma = pf_vma_lookup(m->mm, m->addr);

	pf_vma_set_flags(m->mm, vma, vma->area.flags & ~PF_VM_LOCKED_MASK);
	if (vma->area.start == m->addr && vma->area.end == m->addr + m->old_len)
		pf_anon_unlink(m->mm->sys, vma);
	m->mm->unmerged = true;
}

/*
 * What moving takes: for each of nr VMAs its new one, and a hole where the VMA was or in what lies at its target (or, when
 * the move fails, in what the new one was merged with); `more` holes besides.
 */
static int reserve_moves(
	const struct remap *m, struct pf_vma_reserve *r, uint64_t nr, uint64_t more)
{
	/* What is merged with something without an anon_vma has one link at most. */
	unsigned links = 1;
	const pf_va_t range[2][2] = {{m->addr, m->addr + m->old_len},
		{m->new_addr, m->new_addr + (to_new_addr(m) ? m->new_len : 0)}};

	for (unsigned i = 0; i < 2; i++) {
		const struct pf_vma *vma = pf_find_vma(m->mm, range[i][0]);

		for (; vma && vma->area.start < range[i][1];
			vma = pf_vma_tree_next(m->mm->vmas, vma))
			links = (unsigned)pf_max(links, pf_anon_links(vma));
	}
	nr = 2 * nr + more;
	return pf_vma_reserve(m->mm, r, nr, nr * links);
}

/*
 * Entries move while walkers that come by the pages are kept out: the new place may be in front of the
 * old one in their order, and a page that moves meanwhile from what they have yet to see to what they
 * have seen would be missed (B13).
 */
static void move_entries(struct pf_mm *mm, const struct pf_vma *old, pf_va_t from,
	const struct pf_vma *new, pf_va_t to, uint64_t nr)
{
	const pf_va_t end = from + (nr << pf_mm_shift(mm));
	struct pf_mmu_notifier_range range;
	struct pf_anon_vma *root;

	pf_notify_start(&range, &mm->space, PF_MMU_NOTIFY_UNMAP,
		PF_MUTANT("notify-mremap-forgets") ? end : from, end);
	pf_i_mmap_lock(old);
	root = pf_anon_lock_write(mm->sys, old);
	mm->sys->fmt->move_range(&mm->space, &old->area, from, &new->area, to, nr);
	pf_anon_unlock_write(root);
	pf_i_mmap_unlock(old);
	pf_notify_end(&range);
}

/*
 * Move [addr, addr + old_len), which lies in one VMA, to new_addr, where new_len is free. The
 * reserve has two VMAs: the new one, and one for the hole that is left in the old (or, if there is no memory
 * for tables, in what the new one was merged with).
 */
static int move_vma(const struct remap *m, struct pf_vma_reserve *r)
{
	struct pf_mm *mm = m->mm;
	struct pf_vma *vma = pf_vma_lookup(mm, m->addr);
	const uint64_t nr = m->old_len >> pf_mm_shift(mm);
	struct pf_vma_desc d = {
		.start = m->new_addr,
		.end = m->new_addr + m->new_len,
		.flags = vma->area.flags,
		.pgoff = vma->area.pgoff + pf_mm_pages(mm, vma->area.start, m->addr),
		.mapping = vma->mapping,
		.like = vma,
	};
	/* The old range hands its promise on, or stays as it is. */
	const uint64_t more =
		(m->flags & PF_MREMAP_DONTUNMAP ? m->new_len : m->new_len - m->old_len) >>
		pf_mm_shift(mm);
	struct pf_vma *new;
	int err;

	if (!pf_commit(mm->sys, d.flags, more))
		return -PF_ENOMEM;
	/* Nothing is faulted in behind what has moved. */
	pf_vma_start_write(vma);
	/* No page is found by its pgoff yet: it may start afresh, and so be merged more often. */
	if (!vma->area.anon && !vma->mapping)
		d.pgoff = m->new_addr >> pf_mm_shift(mm);
	/* May be merged with the very VMA it leaves: that is looked up again from here on. */
	new = pf_vma_add(mm, r, &d);
	err = mm->sys->fmt->move_prepare(&mm->space, m->addr, m->new_addr, nr);
	if (err) {
		pf_munmap_promised(mm, r, m->new_addr, m->new_addr + m->new_len);
		pf_uncommit(mm->sys, d.flags, more);
		return err;
	}
	/* Who was told of the old place's faults is not told of the new one's (no UFFD_FEATURE_EVENT_REMAP). */
	pf_uffd_forget_wp(mm, pf_vma_lookup(mm, m->addr), m->addr, m->addr + m->old_len);
	move_entries(mm, pf_vma_lookup(mm, m->addr), m->addr, new, m->new_addr, nr);
	/* With what it was merged with, as in Linux; whose entries must not tell of a write that nobody waits for. */
	pf_uffd_forget_wp(mm, new, new->area.start, new->area.end);
	pf_vma_forget_uffd(mm, new);
	if (m->flags & PF_MREMAP_DONTUNMAP) {
		dont_unmap(m);
		return 0;
	}
	/* Of shared memory nothing may have been moved: it is mapped a second time. */
	return m->old_len ? pf_munmap_promised(mm, r, m->addr, m->addr + m->old_len) : 0;
}

static int64_t move(struct remap *m, struct pf_vma_reserve *r)
{
	struct pf_mm *mm = m->mm;
	/* DONTUNMAP alone: new_addr is a hint. */
	const bool fixed = m->flags & PF_MREMAP_FIXED;
	int64_t at = pf_get_unmapped_area(mm, to_new_addr(m) ? m->new_addr : 0, m->new_len, fixed);
	int err;

	if (at < 0)
		return at;
	m->new_addr = (pf_va_t)at;
	if (mm->map_count >= mm->sys->max_map_count - 3)
		return -PF_ENOMEM;
	err = move_vma(m, r);
	return err ? err : at;
}

/* One piece of a move: what lies at the target goes, then what does not fit. */
static int64_t move_to(struct remap *m, struct pf_vma_reserve *r)
{
	struct pf_mm *mm = m->mm;
	int err = check_vma(m, pf_vma_lookup(mm, m->addr));

	if (!err && (m->flags & PF_MREMAP_FIXED))
		err = pf_munmap_locked(mm, r, m->new_addr, m->new_addr + m->new_len);
	/* An old length that wraps passes for a range that the new one does not meet. */
	if (!err && !pf_vma_lookup(mm, m->addr))
		err = -PF_EFAULT;
	if (!err && m->old_len > m->new_len) {
		err = tail_fits(m)
			      ? pf_munmap_locked(mm, r, m->addr + m->new_len, m->addr + m->old_len)
			      : -PF_EINVAL;
		m->old_len = m->new_len;
	}
	/* The old range stays, too. */
	if (!err && (m->flags & PF_MREMAP_DONTUNMAP) &&
		!pf_may_expand_vm(
			mm, pf_vma_lookup(mm, m->addr)->area.flags, m->old_len >> pf_mm_shift(mm)))
		err = -PF_ENOMEM;
	return err ? err : move(m, r);
}

/* VMAs that meet [start, end). */
static uint64_t count_vmas(const struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	const struct pf_vma *vma = pf_find_vma(mm, start);
	uint64_t n = 0;

	for (; vma && vma->area.start < end; vma = pf_vma_tree_next(mm->vmas, vma))
		n++;
	return n;
}

/*
 * A move to a fixed address that changes no size may take several VMAs with it (Linux 6.17), at
 * the distances they have. Holes are allowed, but not at the beginning. When one of them fails, those
 * before it have been moved. What a userfaultfd has is moved alone: its reader would be told of one move.
 */
static int64_t move_each(const struct remap *all, struct pf_vma_reserve *r)
{
	const pf_va_t start = all->addr, end = start + all->old_len;
	pf_va_t target = all->new_addr, last_end = start;
	int64_t result = -PF_EFAULT;
	const struct pf_vma *vma;

	/* What has been moved may have been merged with what it left, or with what comes next: from
	 * where the last piece ended on, whatever VMA that is in by now. */
	while (last_end < end && (vma = pf_find_vma(all->mm, last_end)) && vma->area.start < end) {
		const bool first = last_end == start;
		struct remap m = *all;
		int64_t at;

		if (first && vma->area.start > start)
			return -PF_EFAULT;
		if (vma->uffd && (!first || vma->area.end < end))
			return -PF_EFAULT;
		m.addr = pf_max(vma->area.start, last_end);
		m.old_len = m.new_len = pf_min(vma->area.end, end) - m.addr;
		m.new_addr = first ? target : target + (m.addr - last_end);
		last_end = vma->area.end;
		at = move_to(&m, r);
		if (at < 0)
			return at;
		if (first)
			result = at;
		target = (pf_va_t)at + m.new_len;
	}
	return result;
}

static int64_t remap_to(struct remap *m)
{
	struct pf_mm *mm = m->mm;
	const bool each = (m->flags & PF_MREMAP_FIXED) && m->old_len == m->new_len;
	const uint64_t pieces = each ? count_vmas(mm, m->addr, m->addr + m->old_len) : 1;
	struct pf_vma_reserve r;
	int64_t at;
	int err;

	/* A piece may be inside a VMA, and is then the only one. */
	err = reserve_moves(m, &r, pieces, 1);
	if (err)
		return err;
	at = each ? move_each(m, &r) : move_to(m, &r);
	pf_vma_unreserve(mm, &r);
	return at;
}

static int64_t remap_at(struct remap *m)
{
	const struct pf_vma *vma = pf_vma_lookup(m->mm, m->addr);
	struct pf_vma_reserve r;
	int64_t at;
	int err = check_vma(m, vma);

	if (err)
		return err;
	if (m->new_len == m->old_len)
		return (int64_t)m->addr;
	if (m->new_len < m->old_len) {
		err = shrink(m);
		return err ? err : (int64_t)m->addr;
	}
	if (can_grow(m, vma)) {
		err = grow(m, vma);
		return err ? err : (int64_t)m->addr;
	}
	if (!(m->flags & PF_MREMAP_MAYMOVE))
		return -PF_ENOMEM;
	err = reserve_moves(m, &r, 1, 0);
	if (err)
		return err;
	at = move(m, &r);
	pf_vma_unreserve(m->mm, &r);
	return at;
}

/* Locked memory is there as soon as it is mapped. */
static void populate_grown(struct pf_mm *mm, const struct remap *m, pf_va_t at)
{
	const struct pf_vma *vma = pf_vma_lookup(mm, at);

	if (m->new_len > m->old_len && vma && (vma->area.flags & PF_VM_LOCKED))
		pf_populate_vmas(mm, at + m->old_len, at + m->new_len, true);
}

int64_t pf_mremap(struct pf_mm *mm, pf_va_t old, uint64_t old_len, uint64_t new_len, unsigned flags,
	pf_va_t new_addr)
{
	struct remap m = {
		.mm = mm,
		.addr = old,
		.new_addr = new_addr,
		.old_len = pf_mm_align(mm, old_len),
		.new_len = pf_mm_align(mm, new_len),
		.flags = flags,
	};
	int64_t at;

	pf_mmap_write_lock(mm);
	at = check_args(&m);
	if (!at)
		at = to_new_addr(&m) ? remap_to(&m) : remap_at(&m);
	if (at > 0)
		populate_grown(mm, &m, (pf_va_t)at);
	pf_mmap_write_unlock(mm);
	return at;
}
