// SPDX-License-Identifier: MIT
/* mremap: shrink, grow, move; since 6.17 several mappings at once. */
#include <errno.h>

#include "cli/oracle_impl.h"

enum { R_MAYMOVE = 1, R_FIXED = 2, R_DONTUNMAP = 4 };

static bool overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a + a_len > b && b + b_len > a;
}

/* move_vma: a new mapping with the old one's pages; then the old range goes, or stays without pages. */
static void move(struct oracle *o, struct ov_process *p, uint64_t from, uint64_t old_len,
	uint64_t to, uint64_t new_len, bool keep)
{
	struct ov_vma *old = &p->vmas[ov_find(p, from)], v = *old;
	uint64_t page = o->cfg.page, carried = old_len < new_len ? old_len : new_len;
	bool whole = old->start == from && old->end == from + old_len;

	v.pgoff += (from - v.start) / page;
	/* copy_vma: nothing in it knows its offset yet, so it may take the one of its place. */
	if (!v.object && !v.anon)
		v.pgoff = to / page;
	v.start = to;
	v.end = to + new_len;
	ov_insert(o, p, &v);
	ov_move(&p->guards, from / page, to / page, carried / page);
	if (!v.shared)
		ov_move(&p->pages, from / page, to / page, carried / page);
	ov_uffd_moved(o, p, to, from, carried / page);
	if (!keep) {
		if (old_len)
			ov_remove(o, p, from, from + old_len);
		return;
	}
	old = &p->vmas[ov_find(p, from)];
	old->flags &= ~OV_LOCKS;
	if (whole && old->start == from && old->end == from + old_len) {
		old->anon = 0;
		old->inherited = false;
	}
}

static void populate_grown(struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end)
{
	if (start < end && p->vmas[ov_find(p, start)].flags & OV_LOCKED)
		ov_populate(o, p, start, end, true);
}

static int64_t expand(struct oracle *o, struct ov_process *p, uint64_t addr, uint64_t old_len,
	uint64_t new_len, uint64_t flags, int64_t told)
{
	size_t i = ov_find(p, addr);
	struct ov_vma *v = &p->vmas[i];
	uint64_t end = addr + new_len;

	if (v->end == addr + old_len && end > addr && end <= o->cfg.task_size &&
		ov_free_range(p, v->end, end)) {
		struct ov_vma more = *v;

		more.pgoff += (v->end - v->start) / o->cfg.page;
		more.start = v->end;
		more.end = end;
		/* Nothing that comes of a fork: it may bring what is behind it along. */
		more.inherited = false;
		ov_insert(o, p, &more);
		populate_grown(o, p, addr + old_len, end);
		return (int64_t)addr;
	}
	if (!(flags & R_MAYMOVE))
		return -ENOMEM;
	if (p->nr >= o->cfg.max_maps - 3)
		return -ENOMEM;
	int64_t at = ov_chosen(o, p, new_len, told);

	if (at >= 0) {
		move(o, p, addr, old_len, (uint64_t)at, new_len, false);
		populate_grown(o, p, (uint64_t)at + old_len, (uint64_t)at + new_len);
	}
	return at;
}

/* mremap_to: a fixed new address, or the old mapping left behind. */
static int64_t move_to(struct oracle *o, struct ov_process *p, uint64_t addr, uint64_t old_len,
	uint64_t new_len, uint64_t flags, uint64_t new_addr, int64_t told)
{
	if (flags & R_FIXED) {
		if (!ov_can_punch(o, p, new_addr, new_addr + new_len))
			return -ENOMEM;
		if (ov_sealed(p, new_addr, new_addr + new_len))
			return -EPERM;
		ov_remove(o, p, new_addr, new_addr + new_len);
		/* It was the mapping itself, with an old length that wraps. */
		size_t i = ov_find(p, addr);

		if (i == p->nr || p->vmas[i].start > addr)
			return -EFAULT;
	}
	if (old_len > new_len) {
		/* shrink_vma is a munmap, and its range must end in user space */
		if (old_len - new_len > o->cfg.task_size - (addr + new_len))
			return -EINVAL;
		if (!ov_can_punch(o, p, addr + new_len, addr + old_len))
			return -ENOMEM;
		if (ov_sealed(p, addr + new_len, addr + old_len))
			return -EPERM;
		ov_remove(o, p, addr + new_len, addr + old_len);
		old_len = new_len;
	}
	int64_t at = ov_place(o, p, new_addr, new_len, flags & R_FIXED ? OV_MAP_FIXED : 0, told);

	if (at >= 0) {
		move(o, p, addr, old_len, (uint64_t)at, new_len, flags & R_DONTUNMAP);
		populate_grown(o, p, (uint64_t)at + old_len, (uint64_t)at + new_len);
	}
	return at;
}

/* check_prep_vma: the mapping at addr, and whether it allows this. */
static int check_source(
	const struct ov_process *p, uint64_t addr, uint64_t old_len, uint64_t new_len, bool to)
{
	size_t i = ov_find(p, addr);
	uint64_t within = old_len < new_len ? old_len : new_len;

	if (i == p->nr || p->vmas[i].start > addr)
		return -EFAULT;
	if (p->vmas[i].flags & OV_SEALED)
		return -EPERM;
	if (!to && new_len <= old_len)
		return 0;
	if (!old_len && !p->vmas[i].shared)
		return -EINVAL;
	return within > p->vmas[i].end - addr ? -EFAULT : 0;
}

/*
 * remap_move (since 6.17): a fixed move without a change of length takes all mappings of the range, each to its
 * place, and stops at the first that fails.
 */
static int64_t move_each(struct oracle *o, struct ov_process *p, uint64_t addr, uint64_t len,
	uint64_t flags, uint64_t new_addr, int64_t told)
{
	uint64_t end = addr + len;

	for (uint64_t at = addr; at < end;) {
		size_t i = ov_find(p, at);

		if (i == p->nr || p->vmas[i].start >= end)
			break;
		uint64_t from = p->vmas[i].start > at ? p->vmas[i].start : at;
		uint64_t stop = p->vmas[i].end < end ? p->vmas[i].end : end;

		/* No hole at the beginning; later ones stay holes. */
		if (at == addr && from > addr)
			return -EFAULT;
		/* vma_multi_allowed() */
		if (p->vmas[i].flags & OV_UFFD_ANY && (at > addr || stop < end))
			return -EFAULT;
		if (p->vmas[i].flags & OV_SEALED)
			return -EPERM;
		int64_t r = move_to(o, p, from, stop - from, stop - from, flags,
			new_addr + (from - addr), told);

		if (r < 0)
			return r;
		at = stop;
	}
	return (int64_t)new_addr;
}

int64_t oracle_mremap(struct oracle *o, unsigned pid, uint64_t addr, uint64_t old_len,
	uint64_t new_len, uint64_t flags, uint64_t new_addr, int64_t told)
{
	struct ov_process *p = ov_process(o, pid);
	bool to = flags & (R_FIXED | R_DONTUNMAP);

	old_len = ov_page_align(o, old_len);
	new_len = ov_page_align(o, new_len);
	/* check_mremap_params */
	if (flags & ~(uint64_t)(R_MAYMOVE | R_FIXED | R_DONTUNMAP))
		return -EINVAL;
	if (ov_in_page(o, addr) || !new_len || new_len > o->cfg.task_size)
		return -EINVAL;
	if (to) {
		if (new_addr > o->cfg.task_size - new_len || ov_in_page(o, new_addr) ||
			!(flags & R_MAYMOVE) || (flags & R_DONTUNMAP && old_len != new_len) ||
			overlaps(addr, old_len, new_addr, new_len))
			return -EINVAL;
		if (p->nr + 2 >= o->cfg.max_maps - 3)
			return -ENOMEM;
	}
	if (flags & R_FIXED && old_len == new_len) {
		size_t i = ov_find(p, addr);

		if (i == p->nr || p->vmas[i].start >= addr + old_len)
			return -EFAULT;
		return move_each(o, p, addr, old_len, flags, new_addr, told);
	}
	int err = check_source(p, addr, old_len, new_len, to);

	if (err)
		return err;
	if (to)
		return move_to(o, p, addr, old_len, new_len, flags, new_addr, told);
	if (new_len > old_len)
		return expand(o, p, addr, old_len, new_len, flags, told);
	if (new_len < old_len) {
		/* shrink_vma is a munmap of the tail, holes and all. */
		int64_t r = oracle_munmap(o, pid, addr + new_len, old_len - new_len);

		if (r < 0)
			return r;
	}
	return (int64_t)addr;
}
