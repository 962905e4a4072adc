// SPDX-License-Identifier: MIT
/* mlock and its kin: flags of mappings, and pages that are faulted in. */
#include <errno.h>

#include "cli/oracle_impl.h"

enum { C_CURRENT = 1, C_FUTURE = 2, C_ONFAULT = 4 };

int ov_populate(
	struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end, bool ignore_errors)
{
	for (size_t i = ov_find(p, start); start < end && i < p->nr && p->vmas[i].start < end;
		i++) {
		const struct ov_vma *v = &p->vmas[i];
		uint64_t from = v->start > start ? v->start : start;
		uint64_t stop = v->end < end ? v->end : end;
		bool bad =
			!v->prot || ov_guarded(o, p, from, stop) ||
			ov_any_poisoned(o, p, from, stop) ||
			(v->object && v->pgoff + (stop - v->start) / o->cfg.page > v->object->size);

		if (v->flags & OV_LOCKONFAULT)
			continue;
		/* A guard is met before anything is made ready. */
		if (v->prot & 2 && !ov_guarded(o, p, from, from + o->cfg.page)) {
			ov_make_anon(o, p, i);
			ov_copy_pages(o, p, i, from, stop);
		}
		if (bad && !ignore_errors)
			return -EFAULT;
	}
	return 0;
}

/* apply_vma_lock_flags: up to the first hole. */
static int64_t set_locks(
	struct oracle *o, struct ov_process *p, uint64_t start, uint64_t len, unsigned locks)
{
	uint64_t end = start + len;

	if (end < start)
		return -EINVAL;
	while (start < end) {
		size_t i = ov_find(p, start);

		if (i == p->nr || p->vmas[i].start > start)
			return -ENOMEM;
		uint64_t stop = p->vmas[i].end < end ? p->vmas[i].end : end;

		if (!ov_modify(o, p, start, stop, p->vmas[i].prot,
			    (p->vmas[i].flags & ~OV_LOCKS) | locks))
			return -ENOMEM;
		start = stop;
	}
	return 0;
}

static uint64_t rounded(const struct oracle *o, uint64_t *addr, uint64_t len)
{
	len = ov_page_align(o, len + (*addr & (o->cfg.page - 1)));
	*addr &= ~(o->cfg.page - 1);
	return len;
}

int64_t oracle_mlock(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t flags)
{
	struct ov_process *p = ov_process(o, pid);

	if (flags & ~UINT64_C(1))
		return -EINVAL;
	len = rounded(o, &addr, len);
	int64_t r = set_locks(o, p, addr, len, flags ? OV_LOCKS : OV_LOCKED);

	if (r)
		return r;
	/* __mlock_posix_error_return */
	return ov_populate(o, p, addr, addr + len, false) ? -ENOMEM : 0;
}

int64_t oracle_munlock(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len)
{
	len = rounded(o, &addr, len);
	return set_locks(o, ov_process(o, pid), addr, len, 0);
}

static void set_all(struct oracle *o, struct ov_process *p, unsigned locks)
{
	uint64_t at = 0;

	for (size_t i = 0; i < p->nr; i = ov_find(p, at)) {
		at = p->vmas[i].end;
		ov_modify(o, p, p->vmas[i].start, at, p->vmas[i].prot,
			(p->vmas[i].flags & ~OV_LOCKS) | locks);
	}
}

int64_t oracle_mlockall(struct oracle *o, unsigned pid, uint64_t flags)
{
	struct ov_process *p = ov_process(o, pid);
	unsigned locks = flags & C_ONFAULT ? OV_LOCKS : OV_LOCKED;

	if (!flags || flags == C_ONFAULT || flags & ~(uint64_t)(C_CURRENT | C_FUTURE | C_ONFAULT))
		return -EINVAL;
	p->def_flags = flags & C_FUTURE ? locks : 0;
	if (flags & C_CURRENT) {
		set_all(o, p, locks);
		ov_populate(o, p, 0, o->cfg.task_size, true);
	}
	return 0;
}

int64_t oracle_munlockall(struct oracle *o, unsigned pid)
{
	struct ov_process *p = ov_process(o, pid);

	p->def_flags = 0;
	set_all(o, p, 0);
	return 0;
}
