// SPDX-License-Identifier: MIT
/* The memory system calls, as Linux checks and answers them. Section names are those of its source. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/oracle_impl.h"

enum {
	M_SHARED = 1,
	M_PRIVATE = 2,
	M_TYPE = 0xf,
	M_FIXED = 0x10,
	M_ANONYMOUS = 0x20,
	M_GROWSDOWN = 0x100,
	M_LOCKED = 0x2000,
	M_NORESERVE = 0x4000,
	M_POPULATE = 0x8000,
	M_NONBLOCK = 0x10000,
	M_STACK = 0x20000,
	M_FIXED_NOREPLACE = 0x100000,
	M_KNOWN = 0x7f93f, /* LEGACY_MAP_MASK */
};
enum { P_READ = 1, P_WRITE = 2, P_EXEC = 4, P_SEM = 8 };
#define P_GROWSDOWN UINT64_C(0x01000000)
#define P_GROWSUP   UINT64_C(0x02000000)

/* ---- processes ---- */

struct oracle *oracle_new(const struct oracle_config *cfg)
{
	struct oracle *o = ov_grow(NULL, sizeof(*o));

	memset(o, 0, sizeof(*o));
	o->cfg = *cfg;
	oracle_start(o, 1);
	return o;
}

void oracle_start(struct oracle *o, unsigned pid)
{
	struct ov_process *p = ov_grow(NULL, sizeof(*p));

	memset(p, 0, sizeof(*p));
	p->pid = pid;
	p->start_brk = p->brk = o->cfg.brk_start;
	p->next = o->processes;
	o->processes = p;
}

static void free_process(struct ov_process *p)
{
	for (size_t i = 0; i < p->nr; i++)
		ov_drop(p->vmas[i].object);
	free(p->vmas);
	free(p->pages.cells);
	free(p->guards.cells);
	free(p->wp.cells);
	free(p);
}

int oracle_file(struct oracle *o, uint64_t size)
{
	struct ov_object *obj = ov_grow(NULL, sizeof(*obj));

	memset(obj, 0, sizeof(*obj));
	obj->refs = 1;
	obj->file = true;
	obj->size = ov_page_align(o, size) / o->cfg.page;
	o->files = ov_grow(o->files, (o->nfiles + 1) * sizeof(*o->files));
	o->files[o->nfiles] = obj;
	return (int)o->nfiles++;
}

/* One copy of each object, however many have it. */
static struct ov_object *clone_object(struct ov_object *obj)
{
	if (!obj->copy) {
		obj->copy = ov_grow(NULL, sizeof(*obj));
		*obj->copy = *obj;
		obj->copy->refs = 0;
		obj->copy->copy = NULL;
		ov_copy(&obj->copy->pages, &obj->pages);
		ov_copy(&obj->copy->lost, &obj->lost);
	}
	obj->copy->refs++;
	return obj->copy;
}

static void clone_done(struct ov_object *obj)
{
	if (obj)
		obj->copy = NULL;
}

struct oracle *oracle_clone(const struct oracle *o)
{
	struct oracle *c = ov_grow(NULL, sizeof(*c));

	*c = *o;
	c->processes = NULL;
	c->files = ov_grow(NULL, (o->nfiles + 1) * sizeof(*c->files));
	for (unsigned i = 0; i < o->nfiles; i++)
		c->files[i] = clone_object(o->files[i]);
	for (const struct ov_process *from = o->processes; from; from = from->next) {
		struct ov_process *p = ov_grow(NULL, sizeof(*p));

		*p = *from;
		ov_copy(&p->pages, &from->pages);
		ov_copy(&p->guards, &from->guards);
		ov_copy(&p->wp, &from->wp);
		p->vmas = ov_grow(NULL, from->nr * sizeof(*p->vmas));
		p->room = from->nr;
		if (from->nr)
			memcpy(p->vmas, from->vmas, from->nr * sizeof(*p->vmas));
		for (size_t i = 0; i < p->nr; i++)
			if (p->vmas[i].object)
				p->vmas[i].object = clone_object(p->vmas[i].object);
		p->next = c->processes;
		c->processes = p;
	}
	for (unsigned i = 0; i < o->nfiles; i++)
		clone_done(o->files[i]);
	for (const struct ov_process *from = o->processes; from; from = from->next)
		for (size_t i = 0; i < from->nr; i++)
			clone_done(from->vmas[i].object);
	return c;
}

void oracle_free(struct oracle *o)
{
	if (!o)
		return;
	while (o->processes) {
		struct ov_process *p = o->processes;

		o->processes = p->next;
		free_process(p);
	}
	for (unsigned i = 0; i < o->nfiles; i++)
		ov_drop(o->files[i]);
	free(o->files);
	free(o);
}

int64_t oracle_fork(struct oracle *o, unsigned pid, unsigned child)
{
	struct ov_process *from = ov_process(o, pid), *p = ov_grow(NULL, sizeof(*p));

	memset(p, 0, sizeof(*p));
	p->pid = child;
	p->start_brk = from->start_brk;
	p->brk = from->brk;
	ov_copy(&p->pages, &from->pages);
	ov_copy(&p->guards, &from->guards);
	p->vmas = ov_grow(NULL, from->nr * sizeof(*p->vmas));
	p->room = from->nr;
	for (size_t i = 0; i < from->nr; i++) {
		struct ov_vma v = from->vmas[i];
		uint64_t first = v.start / o->cfg.page, nr = (v.end - v.start) / o->cfg.page;

		if (v.flags & OV_DONTFORK || v.flags & OV_WIPEONFORK)
			ov_discard(&p->pages, first, nr, false);
		if (v.flags & OV_DONTFORK || v.flags & OV_WIPEONFORK)
			ov_discard(&p->guards, first, nr, false);
		/* Entries of shared memory are not copied for what a userfaultfd says, nor a file's that nobody has written to. */
		if (v.object && !v.anon)
			ov_drop_marks(p, first, nr, OV_POISON);
		if (v.flags & OV_DONTFORK)
			continue;
		if (v.flags & OV_WIPEONFORK)
			v.anon = 0;
		v.flags &= ~(OV_LOCKS | OV_UFFD_ANY);
		v.anon = v.anon ? ++o->next_anon : 0;
		v.inherited = v.anon;
		if (v.object)
			v.object->refs++;
		p->vmas[p->nr++] = v;
	}
	p->next = o->processes;
	o->processes = p;
	return 0;
}

void oracle_exit(struct oracle *o, unsigned pid)
{
	for (struct ov_process **at = &o->processes; *at; at = &(*at)->next) {
		if ((*at)->pid == pid) {
			struct ov_process *p = *at;

			*at = p->next;
			free_process(p);
			ov_uffd_exited(o, pid);
			return;
		}
	}
}

/* ---- mmap, munmap ---- */

/* vm_start_gap: free, and not too near below what grows down. */
static bool clear_of_gap(
	const struct oracle *o, const struct ov_process *p, uint64_t start, uint64_t end)
{
	size_t i = ov_find(p, start);
	uint64_t gap;

	if (i == p->nr)
		return true;
	gap = p->vmas[i].flags & OV_GROWSDOWN ? o->cfg.stack_gap : 0;
	return end <= p->vmas[i].start &&
	       (!gap || (p->vmas[i].start > gap && end <= p->vmas[i].start - gap));
}

static bool any_gap(const struct oracle *o, const struct ov_process *p, uint64_t len)
{
	uint64_t from = o->cfg.min_addr;

	for (size_t i = 0; i < p->nr; i++) {
		if (p->vmas[i].start >= from && p->vmas[i].start - from >= len &&
			clear_of_gap(o, p, from, from + len))
			return true;
		if (p->vmas[i].end > from)
			from = p->vmas[i].end;
	}
	return o->cfg.task_size - from >= len;
}

/* get_unmapped_area() with no address, or with one that is taken: any free place is right. */
int64_t ov_chosen(const struct oracle *o, const struct ov_process *p, uint64_t len, int64_t told)
{
	if (told == -ENOMEM && !any_gap(o, p, len))
		return told;
	if (told < 0)
		return ORACLE_BAD_CHOICE;
	uint64_t at = (uint64_t)told;

	if (ov_in_page(o, at) || at < o->cfg.min_addr || at > o->cfg.task_size - len ||
		!clear_of_gap(o, p, at, at + len))
		return ORACLE_BAD_CHOICE;
	return told;
}

int64_t ov_place(const struct oracle *o, const struct ov_process *p, uint64_t addr, uint64_t len,
	uint64_t flags, int64_t told)
{
	if (len > o->cfg.task_size - o->cfg.min_addr)
		return -ENOMEM;
	if (flags & (M_FIXED | M_FIXED_NOREPLACE)) {
		if (addr > o->cfg.task_size - len)
			return -ENOMEM;
		if (ov_in_page(o, addr))
			return -EINVAL;
		if (addr < o->cfg.min_addr)
			return -EPERM;
		return (int64_t)addr;
	}
	addr &= ~(o->cfg.page - 1);
	if (addr && addr < o->cfg.min_addr)
		addr = ov_page_align(o, o->cfg.min_addr);
	/* A hint that fits is taken. */
	if (addr && addr <= o->cfg.task_size - len && clear_of_gap(o, p, addr, addr + len))
		return (int64_t)addr;
	return ov_chosen(o, p, len, told);
}

/* do_mmap, for a file; it was opened for reading and writing. */
static int map_file(const struct oracle *o, uint64_t len, uint64_t flags, int file, uint64_t pgoff,
	struct ov_vma *v)
{
	uint64_t max = (uint64_t)INT64_MAX / o->cfg.page;

	if (len / o->cfg.page > max || pgoff > max - len / o->cfg.page)
		return -EOVERFLOW;
	switch (flags & M_TYPE) {
	case M_SHARED | M_PRIVATE: /* MAP_SHARED_VALIDATE */
		if (flags & ~(uint64_t)M_KNOWN)
			return -EOPNOTSUPP;
		v->shared = true;
		break;
	case M_SHARED:
		v->shared = true;
		break;
	case M_PRIVATE:
		break;
	default:
		return -EINVAL;
	}
	v->object = o->files[file];
	v->pgoff = pgoff;
	return flags & M_GROWSDOWN ? -EINVAL : 0;
}

static int map_anonymous(const struct oracle *o, uint64_t flags, struct ov_vma *v)
{
	switch (flags & M_TYPE) {
	case M_SHARED:
		v->shared = true;
		return flags & M_GROWSDOWN ? -EINVAL : 0;
	case M_PRIVATE:
		v->pgoff = v->start / o->cfg.page;
		return 0;
	case 8: /* MAP_DROPPABLE */
		return ORACLE_UNKNOWN;
	default:
		return -EINVAL;
	}
}

int64_t oracle_mmap(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t prot,
	uint64_t flags, int file, uint64_t offset, int64_t told)
{
	struct ov_process *p = ov_process(o, pid);
	uint64_t pgoff = offset / o->cfg.page;
	struct ov_vma v = {0};

	if (ov_in_page(o, offset))
		return -EINVAL;
	if (flags & M_ANONYMOUS)
		file = -1;
	else if (file < 0)
		return -EBADF;
	/* do_mmap */
	if (!len)
		return -EINVAL;
	len = ov_page_align(o, len);
	if (!len)
		return -ENOMEM;
	if (pgoff + len / o->cfg.page < pgoff)
		return -EOVERFLOW;
	if (p->nr > o->cfg.max_maps)
		return -ENOMEM;
	int64_t at = ov_place(o, p, addr, len, flags, told);

	/* A place is found before the type is looked at, so there is no address to tell then. */
	v.start = at < 0 ? 0 : (uint64_t)at;
	v.end = v.start + len;
	if (at >= 0 && flags & M_FIXED_NOREPLACE && !ov_free_range(p, v.start, v.end))
		return -EEXIST;
	int err = file < 0 ? map_anonymous(o, flags, &v) : map_file(o, len, flags, file, pgoff, &v);

	if (at < 0 && at != ORACLE_BAD_CHOICE)
		return at;
	if (err)
		return err;
	if (at < 0)
		return at;
	v.prot = (unsigned)prot & (P_READ | P_WRITE | P_EXEC);
	v.flags = (flags & M_GROWSDOWN ? OV_GROWSDOWN : 0) | (flags & M_LOCKED ? OV_LOCKED : 0) |
		  (flags & M_NORESERVE ? OV_NORESERVE : 0) | (flags & M_STACK ? OV_NOHUGEPAGE : 0) |
		  p->def_flags;
	/* mmap_region */
	if (!ov_can_punch(o, p, v.start, v.end))
		return -ENOMEM;
	if (ov_sealed(p, v.start, v.end))
		return -EPERM;
	ov_remove(o, p, v.start, v.end);
	if (v.shared && !v.object) {
		v.object = ov_grow(NULL, sizeof(*v.object));
		memset(v.object, 0, sizeof(*v.object));
		v.object->size = len / o->cfg.page;
	} else if (!v.shared && v.prot & P_WRITE && !(flags & M_NORESERVE)) {
		v.flags |= OV_ACCOUNT;
	}
	ov_insert(o, p, &v);
	if ((flags & (M_POPULATE | M_NONBLOCK)) == M_POPULATE || v.flags & OV_LOCKED)
		ov_populate(o, p, v.start, v.end, true);
	return at;
}

int64_t oracle_munmap(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len)
{
	struct ov_process *p = ov_process(o, pid);

	/* do_vmi_munmap */
	if (ov_in_page(o, addr) || addr > o->cfg.task_size || len > o->cfg.task_size - addr)
		return -EINVAL;
	len = ov_page_align(o, len);
	if (!len)
		return -EINVAL;
	if (!ov_can_punch(o, p, addr, addr + len))
		return -ENOMEM;
	if (ov_sealed(p, addr, addr + len))
		return -EPERM;
	ov_remove(o, p, addr, addr + len);
	return 0;
}

/* ---- mprotect ---- */

static bool protect_one(struct oracle *o, struct ov_process *p, size_t i, uint64_t start,
	uint64_t end, unsigned prot)
{
	struct ov_vma *v = &p->vmas[i];
	unsigned flags = v->flags;

	if (v->prot == prot)
		return true;
	/* mprotect_fixup: what may be written is charged; what was never written is not any more. */
	if (prot & P_WRITE) {
		if (!(v->prot & P_WRITE) && !v->shared && !(flags & (OV_ACCOUNT | OV_NORESERVE)))
			flags |= OV_ACCOUNT;
	} else if (!v->object && !v->anon) {
		flags &= ~(unsigned)OV_ACCOUNT;
	}
	/* Locked pages are copied as soon as they may be written. */
	bool populate = !v->shared && (flags & OV_LOCKS) == OV_LOCKED && !(v->prot & P_WRITE) &&
			prot & P_WRITE;

	if (!ov_modify(o, p, start, end, prot, flags))
		return false;
	if (populate)
		ov_populate(o, p, start, end, true);
	return true;
}

int64_t oracle_pkey_mprotect(
	struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t prot, int64_t pkey)
{
	struct ov_process *p = ov_process(o, pid);
	uint64_t grows = prot & (P_GROWSDOWN | P_GROWSUP), end;

	/* do_mprotect_pkey */
	prot &= ~(P_GROWSDOWN | P_GROWSUP);
	if (grows == (P_GROWSDOWN | P_GROWSUP))
		return -EINVAL;
	if (ov_in_page(o, addr))
		return -EINVAL;
	if (!len)
		return 0;
	end = addr + ov_page_align(o, len);
	if (end <= addr)
		return -ENOMEM;
	if (prot & ~(uint64_t)(P_READ | P_WRITE | P_EXEC | P_SEM))
		return -EINVAL;
	/* No key is allocated. */
	if (pkey != -1)
		return -EINVAL;
	size_t i = ov_find(p, addr);

	if (i == p->nr || p->vmas[i].start >= end)
		return -ENOMEM;
	if (grows & P_GROWSDOWN) {
		if (!(p->vmas[i].flags & OV_GROWSDOWN))
			return -EINVAL;
		addr = p->vmas[i].start;
	} else {
		if (p->vmas[i].start > addr)
			return -ENOMEM;
		if (grows)
			return -EINVAL;
	}
	while (addr < end) {
		i = ov_find(p, addr);
		if (i == p->nr || p->vmas[i].start > addr)
			return -ENOMEM;
		uint64_t stop = p->vmas[i].end < end ? p->vmas[i].end : end;

		if (p->vmas[i].flags & OV_SEALED)
			return -EPERM;
		if (!protect_one(o, p, i, addr, stop, (unsigned)prot & (P_READ | P_WRITE | P_EXEC)))
			return -ENOMEM;
		addr = stop;
	}
	return 0;
}

int64_t oracle_mprotect(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t prot)
{
	return oracle_pkey_mprotect(o, pid, addr, len, prot, -1);
}

/* ---- brk ---- */

void oracle_set_brk_start(struct oracle *o, unsigned pid, uint64_t start)
{
	struct ov_process *p = ov_process(o, pid);

	p->start_brk = p->brk = start;
}

uint64_t oracle_brk(struct oracle *o, unsigned pid, uint64_t brk)
{
	struct ov_process *p = ov_process(o, pid);
	uint64_t now = ov_page_align(o, p->brk), to = ov_page_align(o, brk);

	if (brk < p->start_brk || to < brk || to > o->cfg.task_size)
		return p->brk;
	if (to == now)
		return p->brk = brk;
	if (brk <= p->brk) {
		size_t i = ov_find(p, to);

		if (i == p->nr || p->vmas[i].start >= now)
			return p->brk;
		if (!ov_can_punch(o, p, to, now) || ov_sealed(p, to, now))
			return p->brk;
		ov_remove(o, p, to, now);
		return p->brk = brk;
	}
	/* One page is kept free above the heap. */
	if (!clear_of_gap(o, p, now, to + o->cfg.page) || p->nr > o->cfg.max_maps)
		return p->brk;
	struct ov_vma v = {.start = now,
		.end = to,
		.pgoff = now / o->cfg.page,
		.prot = P_READ | P_WRITE,
		.flags = OV_ACCOUNT | p->def_flags};

	ov_insert(o, p, &v);
	if (p->def_flags)
		ov_populate(o, p, now, to, true);
	return p->brk = brk;
}

/* ---- accesses ---- */

static struct ov_vma *mapping_of(const struct ov_process *p, uint64_t va)
{
	size_t i = ov_find(p, va);

	return i < p->nr && p->vmas[i].start <= va ? &p->vmas[i] : NULL;
}

/* expand_downwards: an access below what grows down extends it, whatever it then may do there. */
static void expand_down(struct oracle *o, struct ov_process *p, uint64_t va)
{
	size_t i = ov_find(p, va);
	uint64_t start = va & ~(o->cfg.page - 1);

	if (i == p->nr || p->vmas[i].start <= va || !(p->vmas[i].flags & OV_GROWSDOWN))
		return;
	struct ov_vma *v = &p->vmas[i];
	uint64_t grow = (v->start - start) / o->cfg.page;

	if (start < o->cfg.min_addr || grow > v->pgoff)
		return;
	if (i && !(v[-1].flags & OV_GROWSDOWN) && v[-1].prot &&
		start - v[-1].end < o->cfg.stack_gap)
		return;
	ov_make_anon(o, p, i);
	v->start = start;
	v->pgoff -= grow;
}

enum oracle_signal oracle_access(
	struct oracle *o, unsigned pid, uint64_t va, enum oracle_access how)
{
	struct ov_process *p = ov_process(o, pid);

	expand_down(o, p, va);
	struct ov_vma *v = mapping_of(p, va);
	unsigned need = how == ORACLE_WRITE ? P_WRITE : how == ORACLE_EXEC ? P_EXEC : 0;

	if (!v || !v->prot || (v->prot & need) != need)
		return ORACLE_SEGV;
	if (how == ORACLE_READ && v->prot == P_EXEC)
		return ORACLE_EITHER;
	if (ov_poisoned(o, p, va))
		return ORACLE_BUS;
	if (ov_guarded(o, p, va, va + 1))
		return ORACLE_SEGV;
	if (v->object && v->pgoff + (va - v->start) / o->cfg.page >= v->object->size) {
		/* do_cow_fault: it could have been copied before anybody sees that there is nothing. */
		if (how == ORACLE_WRITE)
			ov_make_anon(o, p, (size_t)(v - p->vmas));
		return ORACLE_BUS;
	}
	return ORACLE_OK;
}

enum { F_WRITE = 1, F_GET = 2, F_FORCE = 8, F_NOFAULT = 32, F_LONGTERM = 256, F_PIN = 1 << 19 };

/* check_vma_flags(): no mapping here loses the right to be made readable or writable. */
static bool gup_allowed(const struct ov_vma *v, unsigned flags)
{
	if (flags & F_WRITE)
		return v->prot & P_WRITE || (flags & F_FORCE && !v->object);
	return v->prot & P_READ || flags & F_FORCE;
}

int64_t oracle_gup(struct oracle *o, unsigned pid, uint64_t va, uint64_t nr, unsigned flags)
{
	struct ov_process *p = ov_process(o, pid);
	int err = -EFAULT;
	uint64_t n;

	if ((flags & F_GET && flags & F_PIN) || (flags & F_LONGTERM && !(flags & F_PIN)))
		return -EINVAL;
	va &= ~(o->cfg.page - 1);
	for (n = 0; n < nr; n++, va += o->cfg.page) {
		const struct ov_vma *v = mapping_of(p, va);

		if (!v || !gup_allowed(v, flags))
			break;
		if (flags & F_NOFAULT)
			return ORACLE_UNKNOWN; /* what is mapped, the model does not know */
		if (ov_barred(o, p, va))
			break;
		if (flags & F_WRITE)
			oracle_store_found_none(o, pid, va);
		if (v->object && v->pgoff + (va - v->start) / o->cfg.page >= v->object->size)
			break;
		err = ov_uffd_stops(o, p, va, flags & F_WRITE);
		if (err)
			break;
		if (flags & F_WRITE)
			ov_copy_pages(o, p, (size_t)(v - p->vmas), va, va + o->cfg.page);
		err = -EFAULT;
	}
	return n || !nr ? (int64_t)n : err;
}

struct ov_object *ov_object_page(
	const struct oracle *o, struct ov_process *p, uint64_t va, uint64_t *at)
{
	const struct ov_vma *v = mapping_of(p, va);
	const struct ov_cell *own = ov_get(&p->pages, va / o->cfg.page);

	if (!v || !v->object || (!v->shared && own && own->own))
		return NULL;
	*at = v->pgoff + (va - v->start) / o->cfg.page;
	return v->object;
}

static struct ov_table *table_of(
	const struct oracle *o, struct ov_process *p, uint64_t va, uint64_t *page)
{
	struct ov_object *obj = ov_object_page(o, p, va, page);

	if (obj)
		return &obj->pages;
	*page = va / o->cfg.page;
	return &p->pages;
}

void oracle_store(struct oracle *o, unsigned pid, uint64_t va, uint64_t stamp)
{
	struct ov_process *p = ov_process(o, pid);
	struct ov_vma *v = mapping_of(p, va);
	uint64_t page;
	struct ov_table *t = table_of(o, p, va, &page);

	if (v && v->object && !v->shared)
		ov_put_own(&p->pages, va / o->cfg.page, stamp);
	else
		ov_put(t, page, stamp, false);
	oracle_store_found_none(o, pid, va);
}

void oracle_store_found_none(struct oracle *o, unsigned pid, uint64_t va)
{
	struct ov_process *p = ov_process(o, pid);

	if (mapping_of(p, va))
		ov_make_anon(o, p, ov_find(p, va));
}

void ov_store_lazy(struct oracle *o, unsigned pid, uint64_t va)
{
	uint64_t page;
	struct ov_table *t = table_of(o, ov_process(o, pid), va, &page);
	struct ov_cell *c = ov_get(t, page);

	if (c && c->value)
		c->lazy = true;
}

unsigned oracle_load(
	struct oracle *o, unsigned pid, uint64_t va, uint64_t allowed[ORACLE_MAX_ALLOWED])
{
	uint64_t page;
	struct ov_table *t = table_of(o, ov_process(o, pid), va, &page);
	struct ov_cell *c = ov_get(t, page);

	allowed[0] = c ? c->value : 0;
	allowed[1] = 0;
	return c && c->lazy ? 2 : 1;
}

void oracle_saw(struct oracle *o, unsigned pid, uint64_t va, uint64_t value)
{
	uint64_t page;
	struct ov_table *t = table_of(o, ov_process(o, pid), va, &page);
	struct ov_cell *c = ov_get(t, page);

	/* A page that was discarded stays so; one that was not yet may still be. */
	if (c && c->lazy && !value)
		ov_put(t, page, 0, false);
}

bool oracle_find(const struct oracle *o, unsigned pid, uint64_t va, struct oracle_map *map)
{
	const struct ov_process *p = ov_process(o, pid);
	size_t i = ov_find(p, va);

	if (i == p->nr)
		return false;
	const struct ov_vma *v = &p->vmas[i];

	*map = (struct oracle_map){.start = v->start,
		.end = v->end,
		.prot = v->prot,
		.shared = v->shared,
		.anonymous = !v->object,
		.file = v->object && v->object->file,
		.hugepage = v->flags & OV_HUGEPAGE,
		.nohugepage = v->flags & OV_NOHUGEPAGE,
		.dontfork = v->flags & OV_DONTFORK,
		.wipeonfork = v->flags & OV_WIPEONFORK,
		.locked = v->flags & OV_LOCKED,
		.anon = v->anon,
		.uffd_wp = v->flags & OV_UFFD_WP,
		.uffd_async = ov_wp_async(o, v),
		.uffd = v->flags >> OV_UFFD_SHIFT,
		.offset = v->object ? v->pgoff * o->cfg.page : 0};
	return true;
}

unsigned oracle_map_count(const struct oracle *o, unsigned pid)
{
	return (unsigned)ov_process(o, pid)->nr;
}
