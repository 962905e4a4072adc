// SPDX-License-Identifier: MIT
/* mseal; and mincore and msync, as far as they look at mappings only. */
#include <errno.h>

#include "cli/oracle_impl.h"

enum { S_ASYNC = 1, S_INVALIDATE = 2, S_SYNC = 4 };

static bool has_hole(const struct ov_process *p, uint64_t start, uint64_t end)
{
	while (start < end) {
		size_t i = ov_find(p, start);

		if (i == p->nr || p->vmas[i].start > start)
			return true;
		start = p->vmas[i].end;
	}
	return false;
}

int64_t oracle_mseal(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t flags)
{
	struct ov_process *p = ov_process(o, pid);
	uint64_t round = ov_page_align(o, len), end = addr + round;

	if (flags || ov_in_page(o, addr) || (len && !round) || end < addr)
		return -EINVAL;
	if (has_hole(p, addr, end))
		return -ENOMEM;
	while (addr < end) {
		size_t i = ov_find(p, addr);
		uint64_t stop = p->vmas[i].end < end ? p->vmas[i].end : end;

		if (!ov_modify(o, p, addr, stop, p->vmas[i].prot, p->vmas[i].flags | OV_SEALED))
			return -ENOMEM;
		addr = stop;
	}
	return 0;
}

int64_t oracle_mincore(const struct oracle *o, unsigned pid, uint64_t addr, uint64_t len)
{
	if (ov_in_page(o, addr))
		return -EINVAL;
	if (len > o->cfg.task_size || addr > o->cfg.task_size - len)
		return -ENOMEM;
	return has_hole(ov_process(o, pid), addr, addr + ov_page_align(o, len)) ? -ENOMEM : 0;
}

int64_t oracle_msync(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t flags)
{
	const struct ov_process *p = ov_process(o, pid);
	uint64_t end = addr + ov_page_align(o, len);
	int64_t hole = 0;

	if (flags & ~(uint64_t)(S_ASYNC | S_INVALIDATE | S_SYNC) || ov_in_page(o, addr) ||
		(flags & S_ASYNC && flags & S_SYNC))
		return -EINVAL;
	if (end < addr)
		return -ENOMEM;
	while (addr < end) {
		size_t i = ov_find(p, addr);

		if (i == p->nr)
			return -ENOMEM;
		if (p->vmas[i].start > addr) {
			if (flags == S_ASYNC)
				return -ENOMEM;
			hole = -ENOMEM;
			if (p->vmas[i].start >= end)
				break;
		}
		if (flags & S_INVALIDATE && p->vmas[i].flags & OV_LOCKED)
			return -EBUSY;
		if (flags & S_SYNC && p->vmas[i].shared && p->vmas[i].object->unsaid) {
			p->vmas[i].object->unsaid = false;
			return -EIO;
		}
		addr = p->vmas[i].end;
	}
	return hole;
}
