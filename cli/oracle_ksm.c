// SPDX-License-Identifier: MIT
/* Pages that become one: which mappings allow it, and whether the two hold the same. */
#include <errno.h>

#include "cli/oracle_impl.h"

static const struct ov_vma *mergeable(struct ov_process *p, uint64_t va)
{
	size_t i = ov_find(p, va);

	if (i == p->nr || p->vmas[i].start > va || !(p->vmas[i].flags & OV_MERGEABLE))
		return NULL;
	return &p->vmas[i];
}

static uint64_t value_at(const struct oracle *o, struct ov_process *p, uint64_t va)
{
	const struct ov_cell *c = ov_get(&p->pages, va / o->cfg.page);

	return c ? c->value : 0;
}

int64_t oracle_ksm(struct oracle *o, unsigned pid, uint64_t a, uint64_t b, int64_t told)
{
	struct ov_process *p = ov_process(o, pid);
	const struct ov_vma *v = mergeable(p, a), *w = mergeable(p, b);
	const uint64_t x = value_at(o, p, a), y = value_at(o, p, b);

	if (!v || !w)
		return -EINVAL;
	/* What is zero may not be there; a file's page is not private. */
	if (told == -EINVAL && (!x || !y || v->object || w->object))
		return told;
	if (told == -EBUSY)
		return told;
	return x == y ? 0 : -EAGAIN;
}
