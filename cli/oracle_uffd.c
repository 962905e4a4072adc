// SPDX-License-Identifier: MIT
/* userfaultfd, as far as mappings and told pages go. */
#include <errno.h>

#include "cli/oracle_impl.h"

enum { M_MISSING = 1, M_WP = 2, M_MINOR = 4 };
enum { F_DONTWAKE = 1, F_WP = 2 };
enum { USER_MODE_ONLY = 1 };
enum { W_WP = 1, W_DONTWAKE = 2 };
enum { MV_DONTWAKE = 1, MV_HOLES = 2 };
enum {
	FEATURE_SIGBUS = 1 << 7,
	FEATURE_WP_UNPOPULATED = 1 << 13,
	FEATURE_WP_ASYNC = 1 << 15,
	FEATURES = 0x1ffff,
	FEATURE_EVENTS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6,
};

static struct ov_process *process_of(const struct oracle *o, unsigned id)
{
	for (struct ov_process *p = o->processes; p; p = p->next)
		if (p->pid == o->uffds[id].pid)
			return p;
	return NULL;
}

void ov_uffd_exited(struct oracle *o, unsigned pid)
{
	for (unsigned id = 0; id < ORACLE_MAX_UFFDS; id++)
		if (o->uffds[id].pid == pid)
			o->uffds[id].pid = 0;
}

int64_t oracle_userfaultfd(struct oracle *o, unsigned id, unsigned pid, uint64_t flags)
{
	if (flags & ~(uint64_t)(0x80800 | USER_MODE_ONLY))
		return -EINVAL;
	o->uffds[id] = (struct ov_uffd){.pid = pid, .flags = (unsigned)flags};
	return 0;
}

int64_t oracle_uffd_api(struct oracle *o, unsigned id, uint64_t api, uint64_t features)
{
	struct ov_uffd *u = &o->uffds[id];

	if (api != 0xaa || features & ~(uint64_t)FEATURES)
		return -EINVAL;
	if (features & FEATURE_EVENTS)
		return ORACLE_UNKNOWN;
	if (u->ready)
		return -EINVAL;
	u->ready = true;
	u->features = features | (features & FEATURE_WP_ASYNC ? FEATURE_WP_UNPOPULATED : 0);
	return 0;
}

/* validate_range, and what comes before it. */
static int64_t bad_range(const struct oracle *o, unsigned id, uint64_t start, uint64_t len)
{
	if (!o->uffds[id].ready)
		return -EINVAL;
	if (ov_in_page(o, start) || ov_in_page(o, len) || !len || start >= o->cfg.task_size ||
		len > o->cfg.task_size - start)
		return -EINVAL;
	return process_of(o, id) ? 0 : -ESRCH;
}

/* vma_can_userfault() */
static bool can_be(const struct ov_uffd *u, const struct ov_vma *v, unsigned modes)
{
	bool shmem = v->object && !v->object->file;

	if (modes & OV_UFFD_MINOR && !shmem)
		return false;
	if (u->features & FEATURE_WP_ASYNC && modes == OV_UFFD_WP)
		return true;
	return !v->object || shmem;
}

static bool is_of(const struct ov_vma *v, unsigned id)
{
	return (v->flags & ~0u << OV_UFFD_SHIFT) == OV_UFFD(id);
}

int64_t oracle_uffd_register(
	struct oracle *o, unsigned id, uint64_t start, uint64_t len, uint64_t mode)
{
	struct ov_uffd *u = &o->uffds[id];
	uint64_t end = start + len;
	int64_t err = bad_range(o, id, start, len);
	unsigned modes = (mode & M_MISSING ? OV_UFFD_MISSING : 0) | (mode & M_WP ? OV_UFFD_WP : 0) |
			 (mode & M_MINOR ? OV_UFFD_MINOR : 0);

	if (err == -EINVAL || !mode || mode & ~(uint64_t)(M_MISSING | M_WP | M_MINOR))
		return -EINVAL;
	if (err)
		return -ENOMEM;
	struct ov_process *p = process_of(o, id);
	size_t i = ov_find(p, start);

	if (i == p->nr || p->vmas[i].start >= end)
		return -EINVAL;
	for (; i < p->nr && p->vmas[i].start < end; i++) {
		if (!can_be(u, &p->vmas[i], modes))
			return -EINVAL;
		if (p->vmas[i].flags & OV_UFFD_ANY && !is_of(&p->vmas[i], id))
			return -EBUSY;
	}
	for (i = ov_find(p, start); start < end && i < p->nr && p->vmas[i].start < end;
		i = ov_find(p, start)) {
		struct ov_vma *v = &p->vmas[i];
		uint64_t from = v->start > start ? v->start : start;
		uint64_t to = v->end < end ? v->end : end;
		bool has = is_of(v, id) && (v->flags & modes) == modes;

		if (!has && !ov_modify(o, p, from, to, v->prot,
				    (v->flags & ~OV_UFFD_ANY) | modes | OV_UFFD(id)))
			return -ENOMEM;
		if (!has && !(modes & OV_UFFD_WP))
			ov_discard(&p->wp, from / o->cfg.page, (to - from) / o->cfg.page, false);
		start = to;
	}
	return 0;
}

static bool let_go(struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end)
{
	struct ov_vma *v = &p->vmas[ov_find(p, start)];

	ov_discard(&p->wp, start / o->cfg.page, (end - start) / o->cfg.page, false);
	return ov_modify(o, p, start, end, v->prot, v->flags & ~OV_UFFD_ANY);
}

int64_t oracle_uffd_unregister(struct oracle *o, unsigned id, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;
	int64_t err = bad_range(o, id, start, len);

	if (err)
		return err == -ESRCH ? -ENOMEM : err;
	struct ov_process *p = process_of(o, id);
	size_t i = ov_find(p, start);

	if (i == p->nr || p->vmas[i].start >= end)
		return -EINVAL;
	for (; i < p->nr && p->vmas[i].start < end; i++)
		if ((p->vmas[i].flags & OV_UFFD_ANY && !is_of(&p->vmas[i], id)) ||
			!can_be(&o->uffds[id], &p->vmas[i], p->vmas[i].flags & OV_UFFD_MODES))
			return -EINVAL;
	for (i = ov_find(p, start); start < end && i < p->nr && p->vmas[i].start < end;
		i = ov_find(p, start)) {
		struct ov_vma *v = &p->vmas[i];
		uint64_t from = v->start > start ? v->start : start;
		uint64_t to = v->end < end ? v->end : end;

		if (v->flags & OV_UFFD_ANY && !let_go(o, p, from, to))
			return -ENOMEM;
		start = to;
	}
	return 0;
}

void oracle_uffd_close(struct oracle *o, unsigned id)
{
	struct ov_process *p = process_of(o, id);
	uint64_t at = 0;

	o->uffds[id].ready = false;
	while (p && at < o->cfg.task_size) {
		size_t i = ov_find(p, at);

		if (i == p->nr)
			break;
		at = p->vmas[i].end;
		if (is_of(&p->vmas[i], id))
			let_go(o, p, p->vmas[i].start, at);
	}
}

int64_t oracle_uffd_wake(const struct oracle *o, unsigned id, uint64_t start, uint64_t len)
{
	int64_t err = bad_range(o, id, start, len);

	return err == -EINVAL ? err : 0;
}

int64_t oracle_uffd_writeprotect(struct oracle *o, unsigned id, uint64_t start, uint64_t len,
	uint64_t mode, const uint8_t *there)
{
	uint64_t end = start + len, first = start;
	int64_t err = bad_range(o, id, start, len);

	if (err == -EINVAL || mode & ~(uint64_t)(W_WP | W_DONTWAKE) || mode == (W_WP | W_DONTWAKE))
		return -EINVAL;
	if (err)
		return err;
	struct ov_process *p = process_of(o, id);
	size_t i = ov_find(p, start);

	/* mwriteprotect_range: what comes before a mapping that is not registered is done. */
	if (i == p->nr || p->vmas[i].start >= end)
		return -ENOENT;
	for (; i < p->nr && p->vmas[i].start < end; i++) {
		const struct ov_vma *v = &p->vmas[i];
		uint64_t to = v->end < end ? v->end : end;

		if (!(v->flags & OV_UFFD_WP))
			return -ENOENT;
		unsigned whose = (v->flags >> OV_UFFD_SHIFT) - 1;
		bool markers = v->object || o->uffds[whose].features & FEATURE_WP_UNPOPULATED;

		for (start = v->start > start ? v->start : start; start < to;
			start += o->cfg.page) {
			/* Where an access ends in a signal nothing is noticed. */
			if (ov_guarded(o, p, start, start + 1))
				continue;
			if (!(mode & W_WP))
				ov_discard(&p->wp, start / o->cfg.page, 1, false);
			else if (markers ||
				 (there[(start - first) / o->cfg.page] & 3) == ORACLE_TAKEN)
				ov_put(&p->wp, start / o->cfg.page, 1, false);
		}
	}
	return 0;
}

void oracle_uffd_there(struct oracle *o, unsigned pid, uint64_t start, uint8_t *there, uint64_t nr)
{
	if (!there) {
		o->ntold = 0;
		return;
	}
	if (o->ntold == ORACLE_TOLD)
		return;
	o->there[o->ntold].pid = pid;
	o->there[o->ntold].start = start;
	o->there[o->ntold].pages = there;
	o->there[o->ntold++].nr = nr;
}

static uint8_t *told_of(struct oracle *o, const struct ov_process *p, uint64_t va)
{
	for (unsigned i = 0; i < o->ntold; i++) {
		uint64_t n = (va - o->there[i].start) / o->cfg.page;

		if (o->there[i].pid == p->pid && n < o->there[i].nr)
			return &o->there[i].pages[n];
	}
	return NULL;
}

/* The page is there from now on; of an object, it is in memory wherever it is mapped. */
static void has_come(struct oracle *o, struct ov_process *p, uint64_t va)
{
	uint8_t *there = told_of(o, p, va);
	uint64_t at, other;
	const struct ov_object *obj = ov_object_page(o, p, va, &at);

	if (there)
		*there = (*there & ~3) | ORACLE_TAKEN;
	for (unsigned i = 0; obj && i < o->ntold; i++) {
		struct ov_process *q = ov_process(o, o->there[i].pid);

		for (uint64_t n = 0; n < o->there[i].nr; n++)
			if (ov_object_page(o, q, o->there[i].start + n * o->cfg.page, &other) ==
					obj &&
				other == at)
				o->there[i].pages[n] |= ORACLE_CACHED;
	}
}

int ov_uffd_stops(struct oracle *o, struct ov_process *p, uint64_t va, bool write)
{
	const uint8_t *there = told_of(o, p, va);
	unsigned what = there ? oracle_uffd_access(o, p->pid, va, write, *there) : 0;
	size_t i = ov_find(p, va);

	if (!what) {
		has_come(o, p, va);
		return 0;
	}
	/* Who is told of what a process does itself only may not make a call wait. */
	if (what & ORACLE_UFFD_BUS ||
		o->uffds[(p->vmas[i].flags >> OV_UFFD_SHIFT) - 1].flags & USER_MODE_ONLY)
		return -EFAULT;
	return -EAGAIN;
}

/* uffd_lock_vma(): the mapping is to get pages, whether or not something turns out to be in the way. */
static bool find_private(struct oracle *o, struct ov_process *p, uint64_t va)
{
	size_t i = ov_find(p, va);

	if (i == p->nr || p->vmas[i].start > va)
		return false;
	if (!p->vmas[i].shared)
		ov_make_anon(o, p, i);
	return true;
}

/* Where pages are filled, and with what. */
struct filling {
	enum oracle_fill what;
	unsigned from;
	uint64_t dst, len;
	bool wp;
	uint8_t *there;
};

/* A page has been read to be copied: by then it is there, and in the cache, which may be what is to be filled. */
static void was_read(
	const struct oracle *o, struct ov_process *p, const struct filling *f, uint64_t va)
{
	const uint64_t page = o->cfg.page, nr = f->len / page, n = (va - f->dst) / page;
	const struct ov_process *from = ov_process(o, f->from);
	const struct ov_vma *s = &from->vmas[ov_find(from, va)], *d = &p->vmas[ov_find(p, f->dst)];
	uint64_t over;

	if (from == p && n < nr)
		f->there[n] = (f->there[n] & ~3) | ORACLE_TAKEN;
	over = s->pgoff + (va - s->start) / page - (d->pgoff + (f->dst - d->start) / page);
	if (s->object && s->object == d->object && over < nr)
		f->there[over] |= ORACLE_CACHED;
}

/* mfill_atomic_pte(): 0, or why the page cannot be put there. */
static int64_t fill_page(struct oracle *o, struct ov_process *p, size_t i, const struct filling *f,
	uint64_t dst, uint64_t src)
{
	const enum oracle_fill what = f->what;
	const unsigned from = f->from;
	struct ov_vma *v = &p->vmas[i];
	bool past = v->object && v->pgoff + (dst - v->start) / o->cfg.page >= v->object->size;
	uint64_t values[ORACLE_MAX_ALLOWED] = {0};
	unsigned nvalues = 1;

	if (what == ORACLE_COPY) {
		for (uint64_t at = src - ov_in_page(o, src); at < src + o->cfg.page;
			at += o->cfg.page) {
			int err = -EFAULT;

			if (oracle_access(o, from, at, ORACLE_READ) == ORACLE_OK)
				err = ov_uffd_stops(o, ov_process(o, from), at, false);
			if (err)
				return err;
			was_read(o, p, f, at);
		}
		/* A page has one word, where it begins. */
		if (!ov_in_page(o, src))
			nvalues = oracle_load(o, from, src, values);
	}
	const uint8_t there = f->there[(dst - f->dst) / o->cfg.page];

	if (past)
		return what == ORACLE_CONTINUE ? -EINVAL : -EFAULT;
	if (what == ORACLE_CONTINUE && !(there & ORACLE_CACHED))
		return -EFAULT;
	if (what == ORACLE_CONTINUE && ov_lost(o, p, dst))
		return -EIO;
	if ((there & 3) == ORACLE_TAKEN)
		return -EEXIST;
	if ((there & 3) == ORACLE_MARKED &&
		((what == ORACLE_ZEROPAGE && !v->shared) || what == ORACLE_POISON))
		return -EEXIST;
	if (v->shared && there & ORACLE_CACHED && what != ORACLE_CONTINUE && what != ORACLE_POISON)
		return -EEXIST;
	if (what == ORACLE_POISON) {
		ov_put(&p->guards, dst / o->cfg.page, OV_POISON, false);
		if (told_of(o, p, dst))
			*told_of(o, p, dst) = ORACLE_MARKED;
		return 0;
	}
	ov_discard(&p->guards, dst / o->cfg.page, 1, false);
	if (what == ORACLE_COPY || what == ORACLE_ZEROPAGE)
		oracle_store(o, p->pid, dst, values[0]);
	if (nvalues > 1)
		ov_store_lazy(o, p->pid, dst);
	ov_discard(&p->wp, dst / o->cfg.page, 1, false);
	if (f->wp)
		ov_put(&p->wp, dst / o->cfg.page, 1, false);
	/* Which may be what the next page is copied from. */
	if (told_of(o, p, dst))
		*told_of(o, p, dst) = ORACLE_TAKEN;
	return 0;
}

int64_t oracle_uffd_fill(struct oracle *o, unsigned id, enum oracle_fill what, unsigned from,
	uint64_t dst, uint64_t src, uint64_t len, uint64_t mode, uint8_t *there, int64_t *done)
{
	bool can_wp = what == ORACLE_COPY || what == ORACLE_CONTINUE;
	int64_t err = bad_range(o, id, dst, len);

	*done = 0;
	if (err == -EINVAL ||
		(what == ORACLE_COPY &&
			(src >= o->cfg.task_size || len > o->cfg.task_size - src)) ||
		mode & ~(uint64_t)(F_DONTWAKE | (can_wp ? F_WP : 0)))
		return -EINVAL;
	if (err)
		return err;
	struct ov_process *p = process_of(o, id);
	size_t i = ov_find(p, dst);

	if (!find_private(o, p, dst) || p->vmas[i].end - dst < len ||
		!(p->vmas[i].flags & OV_UFFD_ANY))
		err = -ENOENT;
	else if (mode & F_WP && !(p->vmas[i].flags & OV_UFFD_WP))
		err = -EINVAL;
	else if (p->vmas[i].object && p->vmas[i].object->file)
		err = -EINVAL;
	else if (what == ORACLE_CONTINUE && !p->vmas[i].object)
		err = -EINVAL;
	const struct filling f = {what, from, dst, len, mode & F_WP, there};

	for (uint64_t at = 0; !err && at < len; at += o->cfg.page) {
		err = fill_page(o, p, i, &f, dst + at, src + at);
		if (!err)
			*done += (int64_t)o->cfg.page;
	}
	if (err && *done)
		return -EAGAIN;
	if (err)
		*done = err;
	return err;
}

/* validate_move_areas() */
static bool can_move(const struct ov_vma *from, const struct ov_vma *to, unsigned id)
{
	return from->prot == to->prot && from->prot & 2 &&
	       !((from->flags ^ to->flags) & OV_LOCKED) && to->flags & OV_UFFD_ANY &&
	       is_of(to, id) && !from->object && !to->object;
}

/* One page: 0, or why it stays. */
static int64_t move_page(struct oracle *o, struct ov_process *p, uint64_t dst, uint64_t src,
	bool holes, uint8_t *to, uint8_t *from)
{
	if (*from & ORACLE_NO_TABLE && !holes)
		return -ENOENT;
	if ((*to & 3) != ORACLE_EMPTY)
		return -EEXIST;
	if ((*from & 3) == ORACLE_EMPTY)
		return holes ? 0 : -ENOENT;
	if ((*from & 3) == ORACLE_MARKED || ov_guarded(o, p, src, src + 1))
		return -EFAULT;
	if (*from & ORACLE_KEPT)
		return -EBUSY;
	ov_move(&p->pages, src / o->cfg.page, dst / o->cfg.page, 1);
	ov_discard(&p->wp, src / o->cfg.page, 1, false);
	*to = ORACLE_TAKEN;
	*from = ORACLE_EMPTY;
	return 0;
}

int64_t oracle_uffd_move(struct oracle *o, unsigned id, unsigned caller, uint64_t dst, uint64_t src,
	uint64_t len, uint64_t mode, uint8_t *to, uint8_t *from, int64_t *done)
{
	const uint64_t page = o->cfg.page;
	struct ov_process *p = process_of(o, id);
	int64_t err = 0;

	*done = 0;
	if (!p || p->pid != caller || bad_range(o, id, dst, len) || bad_range(o, id, src, len) ||
		mode & ~(uint64_t)(MV_DONTWAKE | MV_HOLES))
		return -EINVAL;
	size_t d = ov_find(p, dst), s = ov_find(p, src);

	if (!find_private(o, p, dst) || s == p->nr || p->vmas[s].start > src)
		err = -ENOENT;
	else if (p->vmas[d].end - dst < len || p->vmas[s].end - src < len ||
		 !can_move(&p->vmas[s], &p->vmas[d], id))
		err = -EINVAL;
	for (uint64_t at = 0; !err && at < len; at += page) {
		uint64_t n = at / page, over = (src + at - dst) / page;

		err = move_page(o, p, dst + at, src + at, mode & MV_HOLES, &to[n], &from[n]);
		if (err)
			break;
		*done += (int64_t)page;
		/* Ranges that overlap: what has just moved is seen in the other, too. */
		if (src + at >= dst && over < len / page)
			to[over] = from[n];
		over = (dst + at - src) / page;
		if (dst + at >= src && over < len / page)
			from[over] = to[n];
	}
	if (err && *done)
		return -EAGAIN;
	if (err)
		*done = err;
	return err;
}

bool ov_wp_async(const struct oracle *o, const struct ov_vma *v)
{
	return v->flags & OV_UFFD_WP &&
	       o->uffds[(v->flags >> OV_UFFD_SHIFT) - 1].features & FEATURE_WP_ASYNC;
}

void oracle_uffd_scanned(struct oracle *o, unsigned pid, uint64_t start, uint64_t end, bool refused)
{
	struct ov_process *p = ov_process(o, pid);

	for (; start < end; start += o->cfg.page) {
		size_t i = ov_find(p, start);

		if (i == p->nr || p->vmas[i].start > start)
			continue;
		if (ov_wp_async(o, &p->vmas[i]) && !ov_guarded(o, p, start, start + 1))
			ov_put(&p->wp, start / o->cfg.page, 1, false);
		else if (refused && !ov_wp_async(o, &p->vmas[i]))
			return;
	}
}

unsigned oracle_uffd_access(struct oracle *o, unsigned pid, uint64_t va, bool write, uint8_t there)
{
	struct ov_process *p = ov_process(o, pid);
	size_t i = ov_find(p, va);
	unsigned says = write ? ORACLE_UFFD_WRITE : 0, waits = 0;

	if (i == p->nr || p->vmas[i].start > va || !(p->vmas[i].flags & OV_UFFD_ANY))
		return 0;
	const struct ov_vma *v = &p->vmas[i];
	uint64_t features = o->uffds[(v->flags >> OV_UFFD_SHIFT) - 1].features;

	if ((there & 3) != ORACLE_TAKEN) {
		if (v->flags & OV_UFFD_MISSING && !(there & ORACLE_CACHED))
			waits = ORACLE_UFFD_WAITS;
		else if (v->flags & OV_UFFD_MINOR && there & ORACLE_CACHED)
			waits = ORACLE_UFFD_WAITS | ORACLE_UFFD_MINOR;
	}
	if (!waits && write && oracle_uffd_wp(o, pid, va)) {
		if (features & FEATURE_WP_ASYNC)
			ov_discard(&p->wp, va / o->cfg.page, 1, false);
		else
			waits = ORACLE_UFFD_WAITS | ORACLE_UFFD_WP;
	}
	if (waits && features & FEATURE_SIGBUS)
		return ORACLE_UFFD_BUS;
	return waits ? waits | says : 0;
}

bool oracle_uffd_wp(const struct oracle *o, unsigned pid, uint64_t va)
{
	struct ov_process *p = ov_process(o, pid);
	const struct ov_cell *c = ov_get(&p->wp, va / o->cfg.page);

	return c && c->value;
}

/* mremap_userfaultfd_prep(), without the event: all of what the mapping has become part of. */
void ov_uffd_moved(struct oracle *o, struct ov_process *p, uint64_t va, uint64_t from, uint64_t nr)
{
	struct ov_vma *v = &p->vmas[ov_find(p, va)];

	ov_discard(&p->wp, from / o->cfg.page, nr, false);
	ov_discard(&p->wp, v->start / o->cfg.page, (v->end - v->start) / o->cfg.page, false);
	v->flags &= ~OV_UFFD_ANY;
}
