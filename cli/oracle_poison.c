// SPDX-License-Identifier: MIT
/*
 * Memory that fails. Which other pages go with one, for they were the same memory, the model is told; what an access
 * to them does, and what makes them memory again, it knows.
 */
#include <errno.h>

#include "cli/oracle_impl.h"

static bool is_marked(const struct oracle *o, struct ov_process *p, uint64_t va)
{
	const struct ov_cell *c = ov_get(&p->guards, va / o->cfg.page);

	return c && c->value == OV_POISON;
}

bool ov_lost(const struct oracle *o, struct ov_process *p, uint64_t va)
{
	const struct ov_cell *c = NULL;
	uint64_t at;
	struct ov_object *obj = ov_object_page(o, p, va, &at);

	if (obj && obj->lost.used)
		c = ov_get(&obj->lost, at);
	return c && c->value;
}

bool ov_poisoned(const struct oracle *o, struct ov_process *p, uint64_t va)
{
	size_t i = ov_find(p, va);

	/* Without an entry that says so, a userfaultfd that waits for what is in memory comes first. */
	return is_marked(o, p, va) || (ov_lost(o, p, va) && !(p->vmas[i].flags & OV_UFFD_MINOR));
}

bool ov_any_poisoned(const struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end)
{
	while (start < end && !ov_poisoned(o, p, start))
		start += o->cfg.page;
	return start < end;
}

void ov_drop_marks(struct ov_process *p, uint64_t first, uint64_t nr, uint64_t mark)
{
	for (uint64_t i = 0; p->guards.used && i < nr; i++) {
		const struct ov_cell *c = ov_get(&p->guards, first + i);

		if (c && c->value == mark)
			ov_discard(&p->guards, first + i, 1, false);
	}
}

void oracle_poison(struct oracle *o, unsigned pid, uint64_t va, uint64_t kept)
{
	struct ov_process *p = ov_process(o, pid);
	uint64_t at;
	struct ov_object *obj = ov_object_page(o, p, va, &at);

	/* Known already, whatever has become of the object's page since. */
	if (is_marked(o, p, va))
		return;
	if (obj && obj->file) {
		ov_put(&obj->pages, at, kept, false);
		obj->unsaid = true;
	} else if (obj) {
		ov_discard(&obj->pages, at, 1, false);
		ov_put(&obj->lost, at, 1, false);
	}
	ov_discard(&p->pages, va / o->cfg.page, 1, false);
	ov_put(&p->guards, va / o->cfg.page, OV_POISON, false);
}

void oracle_poison_copied(struct oracle *o, unsigned pid, unsigned child, uint64_t va)
{
	if (is_marked(o, ov_process(o, pid), va))
		ov_put(&ov_process(o, child)->guards, va / o->cfg.page, OV_POISON, false);
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

	if (i == p->nr || p->vmas[i].start > va || ov_barred(o, p, va))
		return -EINVAL;
	/* What is mapped of an object the model does not know. */
	if (p->vmas[i].object)
		return told == -EBUSY || told == -EINVAL ? told : 0;
	/* Pages that were never written need not be there. Who else is at one, the model does not know. */
	if (told == -EBUSY || (told == -EINVAL && !holds_something(o, p, va)))
		return told;
	oracle_poison(o, pid, va & ~(o->cfg.page - 1), 0);
	return 0;
}

int64_t oracle_inject(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, int64_t told)
{
	struct ov_process *p = ov_process(o, pid);
	const uint64_t page = o->cfg.page, round = (len + page - 1) & ~(page - 1);
	const uint64_t end = addr + round;

	if (addr & (page - 1) || (len && !round) || end < addr)
		return -EINVAL;
	for (uint64_t va = addr; va < end; va += page) {
		size_t i = ov_find(p, va);

		if (i == p->nr || p->vmas[i].start > va || !(p->vmas[i].prot & 1) ||
			ov_barred(o, p, va))
			return -EFAULT;
		if (told == -EBUSY)
			return told;
	}
	return 0;
}
