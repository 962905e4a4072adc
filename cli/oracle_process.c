// SPDX-License-Identifier: MIT
/* Calls on other processes, part by part. Section names are those of Linux's source. */
#include <errno.h>

#include "cli/oracle_impl.h"

enum { MAX_PARTS = 1024, FOLL_WRITE = 1, FOLL_PIN = 1 << 19 };
enum { A_WILLNEED = 3, A_COLD = 20, A_PAGEOUT = 21, A_COLLAPSE = 25 };

/* copy_iovec_from_user */
static bool bad_parts(const struct oracle_part *v, uint64_t nr)
{
	for (uint64_t i = 0; i < nr && nr <= MAX_PARTS; i++)
		if ((int64_t)v[i].len < 0)
			return true;
	return nr > MAX_PARTS;
}

/* import_iovec: the bytes that will be dealt with, or an error. */
static int64_t import(const struct oracle *o, const struct oracle_part *v, uint64_t nr)
{
	const uint64_t most = INT32_MAX & ~(o->cfg.page - 1);
	uint64_t total = 0;

	if (bad_parts(v, nr))
		return -EINVAL;
	for (uint64_t i = 0; i < nr; i++) {
		if (v[i].base + v[i].len > o->cfg.task_size || v[i].base > o->cfg.task_size)
			return -EFAULT;
		total = v[i].len > most - total ? most : total + v[i].len;
	}
	return (int64_t)total;
}

/*
 * A part that is collapsed. left: what the kernel told of it and the parts behind, an error only if it was the first that was
 * refused; else it told how far it came, and why it went no further may be anything that is possible there.
 */
static int64_t collapse(
	struct oracle *o, unsigned target, uint64_t addr, uint64_t len, uint64_t pmd, int64_t left)
{
	static const int why[] = {0, -EINVAL, -EAGAIN, -EBUSY};
	int64_t r;

	if (left < 0 || (uint64_t)left >= len)
		return oracle_collapse(o, target, addr, len, pmd, left < 0 ? left : 0);
	for (unsigned i = 0; i < sizeof(why) / sizeof(*why); i++) {
		r = oracle_collapse(o, target, addr, len, pmd, why[i]);
		if (r)
			break;
	}
	return r;
}

int64_t oracle_process_madvise(struct oracle *o, unsigned pid, unsigned target,
	const struct oracle_part *parts, uint64_t nr, uint64_t advice, uint64_t flags,
	uint64_t most, uint64_t pmd, int64_t told)
{
	uint64_t done = 0, total;
	int64_t r = flags ? -EINVAL : import(o, parts, nr);

	if (r < 0)
		return r;
	total = (uint64_t)r;
	if (!target || !ov_process(o, target))
		return -ESRCH;
	if (target != pid && advice != A_COLD && advice != A_PAGEOUT && advice != A_WILLNEED &&
		advice != A_COLLAPSE)
		return -EINVAL;
	/* vector_madvise. Of the empty parts only one at the very beginning is looked at. */
	for (uint64_t i = 0; i < nr && done < total; i++) {
		uint64_t len = parts[i].len < total - done ? parts[i].len : total - done;

		if (!len && i)
			continue;
		if (done >= most)
			break;
		r = advice == A_COLLAPSE ? collapse(o, target, parts[i].base, len, pmd,
						   told < 0 ? told : told - (int64_t)done)
					 : oracle_madvise(o, target, parts[i].base, len, advice);
		if (r < 0)
			return done && r != ORACLE_UNKNOWN ? (int64_t)done : r;
		done += len;
	}
	return (int64_t)done;
}

/* ---- process_vm_readv, process_vm_writev ---- */

struct copying {
	struct oracle *o;
	const struct oracle_transfer *t;
	uint64_t part, off;  /* of the local parts */
	uint64_t pinned_end; /* of the remote pages that are pinned now */
	uint64_t done, total;
};

/*
 * Is a page about to be read by the pin on it also about to be written through its mapping? It stays the same page if it is
 * the process's own. Zeros may be the page that all have, and then the pin is on that.
 */
static bool replaces_pinned(const struct copying *c, uint64_t from, uint64_t to)
{
	const struct oracle_transfer *t = c->t;
	const uint64_t page = c->o->cfg.page;
	struct ov_process *p = ov_process(c->o, t->pid);
	const struct ov_vma *v = &p->vmas[ov_find(p, to)];
	const struct ov_cell *cell = ov_get(&p->pages, to / page);

	if (t->write || t->pid != t->target || to / page <= from / page || to >= c->pinned_end ||
		v->shared)
		return false;
	return !cell || cell->lazy || (v->object ? !cell->own : !cell->value);
}

/* A store that leaves the page's first word: of a file's page the process has a copy of its own from then on. */
static void store_beside(struct oracle *o, unsigned pid, uint64_t va)
{
	struct ov_process *p = ov_process(o, pid);
	const uint64_t start = va & ~(o->cfg.page - 1);

	ov_copy_pages(o, p, ov_find(p, va), start, start + o->cfg.page);
}

/* n bytes, in one page on either side. Only a page's first word is known; all others are zero. */
static int copy_word(struct copying *c, uint64_t remote, uint64_t local, uint64_t n)
{
	const struct oracle_transfer *t = c->t;
	const uint64_t page = c->o->cfg.page;
	const unsigned from_pid = t->write ? t->pid : t->target;
	const unsigned to_pid = t->write ? t->target : t->pid;
	const uint64_t from = t->write ? local : remote, to = t->write ? remote : local;
	uint64_t src[ORACLE_MAX_ALLOWED] = {0}, dst[ORACLE_MAX_ALLOWED];
	unsigned nsrc = 1, ndst = oracle_load(c->o, to_pid, to & ~(page - 1), dst);
	bool first = !(from & (page - 1));

	if (replaces_pinned(c, from, to))
		return ORACLE_UNKNOWN;
	if ((from & (page - 1)) < 8 && !first)
		return ORACLE_UNKNOWN;
	if (first)
		nsrc = oracle_load(c->o, from_pid, from, src);
	if (to & (page - 1)) {
		/* The word would stand where none is looked for, or a part of one is overwritten. */
		if (src[0] || src[1])
			return ORACLE_UNKNOWN;
		if ((to & (page - 1)) < 8 && (dst[0] || dst[1]))
			return ORACLE_UNKNOWN;
		/* Discarded or not: it stays what it is. */
		if (ndst > 1)
			return ORACLE_UNKNOWN;
		oracle_store_found_none(c->o, to_pid, to);
		store_beside(c->o, to_pid, to);
		return 0;
	}
	if (n < 8 && (src[0] != dst[0] || nsrc > 1 || ndst > 1))
		return ORACLE_UNKNOWN;
	/* It reads zero, or what it was: the copy is the one or the other. */
	if (nsrc > 1)
		return ORACLE_UNKNOWN;
	oracle_store(c->o, to_pid, to, src[0]);
	return 0;
}

static int copy_page(struct copying *c, uint64_t remote, uint64_t n)
{
	const struct oracle_transfer *t = c->t;
	const uint64_t page = c->o->cfg.page;

	while (n && c->done < c->total) {
		const struct oracle_part *v = &t->local[c->part];
		uint64_t local = v->base + c->off, len = v->len - c->off;

		len = len < n ? len : n;
		len = len < c->total - c->done ? len : c->total - c->done;
		len = len < page - local % page ? len : page - local % page;
		if (len) {
			int r = oracle_access(
				c->o, t->pid, local, t->write ? ORACLE_READ : ORACLE_WRITE);

			/* Linux can read what may only be executed where hardware cannot forbid it. */
			if (r != ORACLE_OK)
				return r == ORACLE_EITHER ? ORACLE_UNKNOWN : -EFAULT;
			if (!t->write)
				oracle_store_found_none(c->o, t->pid, local);
			r = ov_uffd_stops(c->o, ov_process(c->o, t->pid), local, !t->write);
			if (r)
				return r;
			if (c->done >= t->most)
				return -ENOMEM;
			r = copy_word(c, remote, local, len);
			if (r)
				return r;
		}
		c->done += len;
		c->off += len;
		remote += len;
		n -= len;
		while (c->done < c->total && c->off == t->local[c->part].len) {
			c->part++;
			c->off = 0;
		}
	}
	return 0;
}

/* process_vm_rw_single_vec */
static int copy_part(struct copying *c, uint64_t va, uint64_t len)
{
	const struct oracle_transfer *t = c->t;
	const uint64_t page = c->o->cfg.page, batch = 2 * page / 8;

	while (len && c->done < c->total) {
		uint64_t off = va % page, pages = (off + len - 1) / page + 1;
		int64_t got = oracle_gup(c->o, t->target, va, pages < batch ? pages : batch,
			FOLL_PIN | (t->write ? FOLL_WRITE : 0));
		uint64_t bytes;

		if (c->done >= t->most)
			return -ENOMEM;
		if (got <= 0)
			return -EFAULT;
		c->pinned_end = va - off + (uint64_t)got * page;
		bytes = (uint64_t)got * page - off < len ? (uint64_t)got * page - off : len;
		while (bytes && c->done < c->total) {
			uint64_t n = page - va % page < bytes ? page - va % page : bytes;
			int err = copy_page(c, va, n);

			if (err)
				return err;
			va += n;
			len -= n;
			bytes -= n;
		}
	}
	return 0;
}

int64_t oracle_process_vm(struct oracle *o, const struct oracle_transfer *t)
{
	struct copying c = {.o = o, .t = t};
	int64_t r = t->flags ? -EINVAL : import(o, t->local, t->nlocal);
	uint64_t any = 0;
	int err = 0;

	if (r <= 0)
		return r;
	c.total = (uint64_t)r;
	if (bad_parts(t->remote, t->nremote))
		return -EINVAL;
	for (uint64_t i = 0; i < t->nremote; i++)
		any |= t->remote[i].len;
	if (!any)
		return 0;
	if (!t->target || !ov_process(o, t->target))
		return -ESRCH;
	while (!t->local[c.part].len)
		c.part++;
	for (uint64_t i = 0; i < t->nremote && !err; i++)
		err = copy_part(&c, t->remote[i].base, t->remote[i].len);
	return c.done && err != ORACLE_UNKNOWN ? (int64_t)c.done : err;
}
