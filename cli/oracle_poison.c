// SPDX-License-Identifier: MIT
/*
 * Memory that fails. Which other pages go with one, for they were the same memory, the model is told; what an access
 * to them does, and what makes them memory again, it knows.
 */
#include <errno.h>

#include "cli/oracle_impl.h"

bool ov_poisoned(const struct oracle *o, struct ov_process *p, uint64_t va)
{
	const struct ov_cell *c = ov_get(&p->guards, va / o->cfg.page);

	return c && c->value == OV_POISON;
}

void ov_drop_marks(struct ov_process *p, uint64_t first, uint64_t nr, uint64_t mark)
{
	for (uint64_t i = 0; p->guards.used && i < nr; i++) {
		const struct ov_cell *c = ov_get(&p->guards, first + i);

		if (c && c->value == mark)
			ov_discard(&p->guards, first + i, 1, false);
	}
}

void oracle_poison(struct oracle *o, unsigned pid, uint64_t va)
{
	struct ov_process *p = ov_process(o, pid);

	ov_discard(&p->pages, va / o->cfg.page, 1, false);
	ov_put(&p->guards, va / o->cfg.page, OV_POISON, false);
}

static bool holds_something(const struct oracle *o, struct ov_process *p, uint64_t va)
{
	const struct ov_cell *c = ov_get(&p->pages, va / o->cfg.page);

	return c && c->value && !c->lazy;
}

int64_t oracle_fail(struct oracle *o, unsigned pid, uint64_t va, int64_t told)
{
	struct ov_process *p = ov_process(o, pid);
	size_t i = ov_find(p, va);

	if (i == p->nr || p->vmas[i].start > va || ov_guarded(o, p, va, va + 1))
		return -EINVAL;
	if (p->vmas[i].object)
		return ORACLE_UNKNOWN;
	/* Pages that were never written need not be there. Who else is at one, the model does not know. */
	if (told == -EBUSY || (told == -EINVAL && !holds_something(o, p, va)))
		return told;
	oracle_poison(o, pid, va & ~(o->cfg.page - 1));
	return 0;
}

int64_t oracle_inject(
	struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, bool soft, int64_t told)
{
	struct ov_process *p = ov_process(o, pid);
	const uint64_t page = o->cfg.page, round = (len + page - 1) & ~(page - 1);
	const uint64_t end = addr + round;

	if (addr & (page - 1) || (len && !round) || end < addr)
		return -EINVAL;
	for (uint64_t va = addr; va < end; va += page) {
		size_t i = ov_find(p, va);

		if (i == p->nr || p->vmas[i].start > va || !(p->vmas[i].prot & 1) ||
			ov_guarded(o, p, va, va + 1))
			return -EFAULT;
		/* A page that moves is the same to all. */
		if (p->vmas[i].object && !soft)
			return ORACLE_UNKNOWN;
		if (told == -EBUSY)
			return told;
	}
	return 0;
}
