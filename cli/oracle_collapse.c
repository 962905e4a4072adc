// SPDX-License-Identifier: MIT
/* MADV_COLLAPSE: which mappings may be collapsed, and what can be in the way. */
#include <errno.h>

#include "cli/oracle_impl.h"

/* Has the mapping a whole aligned piece of `pmd` bytes, and are its pages of a kind that can be collapsed? */
static bool may_collapse(const struct oracle *o, const struct ov_vma *v, uint64_t pmd)
{
	uint64_t first = (v->start + pmd - 1) & ~(pmd - 1);

	/* A file's piece is one of the file's, too. */
	if (v->object ? (v->start - v->pgoff * o->cfg.page) & (pmd - 1) : !v->anon)
		return false;
	return !(v->flags & OV_NOHUGEPAGE) && first >= v->start && first < v->end &&
	       v->end - first >= pmd;
}

/* Is nothing known to be in the range? Then there may be no table either, or no page, which only the kernel knows. */
static bool may_be_empty(const struct oracle *o, struct ov_process *p, const struct ov_vma *v,
	uint64_t start, uint64_t end)
{
	struct ov_table *t = v->object ? &v->object->pages : &p->pages;
	uint64_t first = start / o->cfg.page;

	if (v->object)
		first = v->pgoff + (start - v->start) / o->cfg.page;
	for (uint64_t i = 0; i < (end - start) / o->cfg.page; i++) {
		const struct ov_cell *c = ov_get(t, first + i);

		if (c && (c->value || c->lazy))
			return false;
	}
	return true;
}

/* Does somebody who maps the memory wait for what is not there? */
static bool awaited(const struct oracle *o, const struct ov_object *obj)
{
	for (const struct ov_process *p = o->processes; p; p = p->next)
		for (size_t i = 0; i < p->nr; i++)
			if (p->vmas[i].object == obj && p->vmas[i].flags & OV_UFFD_MISSING)
				return true;
	return false;
}

/* One mapping's part. Which pages somebody keeps is not in the model: EAGAIN is the kernel's word. */
static int64_t collapse_one(const struct oracle *o, struct ov_process *p, const struct ov_vma *v,
	uint64_t start, uint64_t end, uint64_t pmd, int64_t told)
{
	int64_t result = 0;

	/* Of files without CONFIG_READ_ONLY_THP_FOR_FS none. */
	if (!may_collapse(o, v, pmd) || (v->object && v->object->file))
		return -EINVAL;
	/* thps == (hend - hstart) >> HPAGE_PMD_SHIFT */
	if ((end & ~(pmd - 1)) < ((start + pmd - 1) & ~(pmd - 1)))
		return -EINVAL;
	for (uint64_t at = (start + pmd - 1) & ~(pmd - 1); at < end && end - at >= pmd; at += pmd) {
		/* Lost pages are kept by who knows of them. */
		if (v->object && ov_any_poisoned(o, p, at, at + pmd) &&
			(told == -EAGAIN || told == -EBUSY))
			return told;
		if (ov_guarded(o, p, at, at + pmd))
			return -EINVAL;
		if (v->object && v->pgoff + (at - v->start) / o->cfg.page >= v->object->size)
			return -EINVAL;
		if (v->object && told == -EBUSY && awaited(o, v->object))
			return told;
		if (told == -EINVAL && may_be_empty(o, p, v, at, at + pmd))
			result = told;
		/* hpage_collapse_scan_pmd(): nothing comes that is waited for, and what is write-protected stays page by page. */
		if (v->flags & (OV_UFFD_MISSING | OV_UFFD_WP) && told == -EBUSY)
			return told;
		if (v->flags & OV_UFFD_WP && told == -EINVAL)
			result = told;
		if (told == -EAGAIN)
			result = told;
		if (v->object && v->flags & OV_UFFD_WP)
			result = -EINVAL;
	}
	return result;
}

int64_t oracle_collapse(
	struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t pmd, int64_t told)
{
	struct ov_process *p = ov_process(o, pid);
	uint64_t page = o->cfg.page, round = (len + page - 1) & ~(page - 1), end = addr + round;
	bool hole = false;

	if (addr & (page - 1) || (len && !round) || end < addr)
		return -EINVAL;
	for (size_t i = ov_find(p, addr); addr < end; i++) {
		uint64_t from, to;
		int64_t r;

		if (i == p->nr || p->vmas[i].start >= end)
			return -ENOMEM;
		from = p->vmas[i].start > addr ? p->vmas[i].start : addr;
		to = p->vmas[i].end < end ? p->vmas[i].end : end;
		hole |= from > addr;
		r = collapse_one(o, p, &p->vmas[i], from, to, pmd, told);
		if (r)
			return r;
		addr = to;
	}
	return hole ? -ENOMEM : 0;
}
