// SPDX-License-Identifier: MIT
/* madvise, advice by advice. */
#include <errno.h>

#include "cli/oracle_impl.h"

enum {
	A_NORMAL,
	A_RANDOM,
	A_SEQUENTIAL,
	A_WILLNEED,
	A_DONTNEED,
	A_FREE = 8,
	A_REMOVE,
	A_DONTFORK,
	A_DOFORK,
	A_MERGEABLE,
	A_UNMERGEABLE,
	A_HUGEPAGE,
	A_NOHUGEPAGE,
	A_DONTDUMP,
	A_DODUMP,
	A_WIPEONFORK,
	A_KEEPONFORK,
	A_COLD,
	A_PAGEOUT,
	A_POPULATE_READ,
	A_POPULATE_WRITE,
	A_DONTNEED_LOCKED,
	A_COLLAPSE,
	A_GUARD_INSTALL = 102,
	A_GUARD_REMOVE,
};

bool ov_guarded(const struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end)
{
	for (uint64_t i = 0; p->guards.used && start + i * o->cfg.page < end; i++) {
		const struct ov_cell *c = ov_get(&p->guards, start / o->cfg.page + i);

		if (c && c->value)
			return true;
	}
	return false;
}

/* What the advice makes of a mapping's flags; or 0 with *err, or with neither if flags are not its matter. */
static bool new_flags(const struct ov_vma *v, uint64_t advice, unsigned *flags, int *err)
{
	unsigned f = v->flags;

	*err = 0;
	switch (advice) {
	case A_NORMAL:
		f &= ~(unsigned)(OV_RANDOM | OV_SEQUENTIAL);
		break;
	case A_RANDOM:
		f = (f & ~(unsigned)OV_SEQUENTIAL) | OV_RANDOM;
		break;
	case A_SEQUENTIAL:
		f = (f & ~(unsigned)OV_RANDOM) | OV_SEQUENTIAL;
		break;
	case A_DONTFORK:
		f |= OV_DONTFORK;
		break;
	case A_DOFORK:
		f &= ~(unsigned)OV_DONTFORK;
		break;
	case A_WIPEONFORK:
		if (v->object)
			*err = -EINVAL;
		f |= OV_WIPEONFORK;
		break;
	case A_KEEPONFORK:
		f &= ~(unsigned)OV_WIPEONFORK;
		break;
	case A_DONTDUMP:
		f |= OV_DONTDUMP;
		break;
	case A_DODUMP:
		f &= ~(unsigned)OV_DONTDUMP;
		break;
	case A_MERGEABLE:
		if (!v->shared)
			f |= OV_MERGEABLE;
		break;
	case A_UNMERGEABLE:
		f &= ~(unsigned)OV_MERGEABLE;
		break;
	case A_HUGEPAGE:
		f = (f & ~(unsigned)OV_NOHUGEPAGE) | OV_HUGEPAGE;
		break;
	case A_NOHUGEPAGE:
		f = (f & ~(unsigned)OV_HUGEPAGE) | OV_NOHUGEPAGE;
		break;
	default:
		return false;
	}
	*flags = f;
	return true;
}

static bool discards(uint64_t advice)
{
	return advice == A_DONTNEED || advice == A_FREE || advice == A_REMOVE ||
	       advice == A_DONTFORK || advice == A_WIPEONFORK || advice == A_DONTNEED_LOCKED ||
	       advice == A_GUARD_INSTALL;
}

/* One mapping's part of the range. */
static int advise_one(struct oracle *o, struct ov_process *p, size_t i, uint64_t start,
	uint64_t end, uint64_t advice)
{
	struct ov_vma *v = &p->vmas[i];
	uint64_t first = start / o->cfg.page, nr = (end - start) / o->cfg.page;
	unsigned flags;
	int err;

	/* can_madvise_modify: what could be written may be discarded. */
	if (v->flags & OV_SEALED && !(v->prot & 2) && !v->object && discards(advice))
		return -EPERM;
	if (new_flags(v, advice, &flags, &err)) {
		if (err)
			return err;
		return ov_modify(o, p, start, end, v->prot, flags) ? 0 : -ENOMEM;
	}
	switch (advice) {
	case A_DONTNEED:
	case A_DONTNEED_LOCKED:
		if (advice == A_DONTNEED && v->flags & OV_LOCKED)
			return -EINVAL;
		/* Shared pages are unmapped here and stay in their object. */
		if (!v->shared)
			ov_discard(&p->pages, first, nr, false);
		/* What comes back from elsewhere is still to be noticed when it is written. */
		if (!v->object)
			ov_discard(&p->wp, first, nr, false);
		ov_drop_marks(p, first, nr, OV_POISON);
		return 0;
	case A_GUARD_INSTALL:
		if (v->flags & OV_LOCKED)
			return -EINVAL;
		if (!v->object)
			ov_make_anon(o, p, i);
		if (!v->shared)
			ov_discard(&p->pages, first, nr, false);
		ov_discard(&p->wp, first, nr, false);
		for (uint64_t k = 0; k < nr; k++)
			ov_put(&p->guards, first + k, OV_GUARD, false);
		return 0;
	case A_GUARD_REMOVE:
		ov_drop_marks(p, first, nr, OV_GUARD);
		return 0;
	case A_FREE:
		if (v->object || v->flags & OV_LOCKED)
			return -EINVAL;
		ov_discard(&p->pages, first, nr, true);
		ov_drop_marks(p, first, nr, OV_POISON);
		return 0;
	case A_REMOVE:
		if (v->flags & OV_LOCKED || !v->object)
			return -EINVAL;
		if (!v->shared)
			return -EACCES;
		first = v->pgoff + (start - v->start) / o->cfg.page;
		ov_discard(&v->object->pages, first, nr, false);
		ov_discard(&v->object->lost, first, nr, false);
		return 0;
	case A_COLD:
	case A_PAGEOUT:
		return v->flags & OV_LOCKED ? -EINVAL : 0;
	case A_WILLNEED:
		return 0;
	default:
		return ORACLE_UNKNOWN;
	}
}

/* madvise_populate: up to the first hole or the first mapping without the permission. */
static int populate(
	struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end, bool write)
{
	while (start < end) {
		size_t i = ov_find(p, start);

		if (i == p->nr || p->vmas[i].start > start)
			return -ENOMEM;
		if (!(p->vmas[i].prot & (write ? 2 : 1)))
			return -EINVAL;
		if (write && !ov_guarded(o, p, start, start + o->cfg.page))
			ov_make_anon(o, p, i);
		struct ov_vma *v = &p->vmas[i];
		uint64_t stop = v->end < end ? v->end : end, at = start;
		int err = 0;

		for (; at < stop; at += o->cfg.page) {
			if (ov_poisoned(o, p, at))
				err = -EHWPOISON;
			else if ((v->object && v->pgoff + (at - v->start) / o->cfg.page >=
						       v->object->size) ||
				 ov_guarded(o, p, at, at + o->cfg.page))
				err = -EFAULT;
			else
				err = ov_uffd_stops(o, p, at, write);
			if (err)
				break;
		}
		if (write)
			ov_copy_pages(o, p, i, start, at);
		if (err)
			return err;
		start = stop;
	}
	return 0;
}

int64_t oracle_madvise(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t advice)
{
	struct ov_process *p = ov_process(o, pid);
	uint64_t page = o->cfg.page, round = (len + page - 1) & ~(page - 1), end = addr + round;
	bool hole = false;

	/* do_madvise */
	if ((advice > A_COLLAPSE && advice != A_GUARD_INSTALL && advice != A_GUARD_REMOVE) ||
		(advice > A_DONTNEED && advice < A_FREE))
		return advice == 100 || advice == 101 ? ORACLE_UNKNOWN : -EINVAL;
	if (addr & (page - 1) || (len && !round) || end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	if (advice == A_POPULATE_READ || advice == A_POPULATE_WRITE)
		return populate(o, p, addr, end, advice == A_POPULATE_WRITE);
	if (advice == A_COLLAPSE)
		return ORACLE_UNKNOWN;
	while (addr < end) {
		size_t i = ov_find(p, addr);

		if (i == p->nr || p->vmas[i].start > addr) {
			hole = true;
			addr = i == p->nr ? end : p->vmas[i].start;
			continue;
		}
		uint64_t stop = p->vmas[i].end < end ? p->vmas[i].end : end;
		int err = advise_one(o, p, i, addr, stop, advice);

		if (err)
			return err;
		addr = stop;
	}
	return hole ? -ENOMEM : 0;
}
