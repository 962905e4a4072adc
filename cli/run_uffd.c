// SPDX-License-Identifier: MIT
/*
 * userfaultfd: descriptors, ioctls, and who waits. A thread that would wait is an access that answers USERFAULT; the message
 * is compared with the model's, and the access is run again by whoever wrote the scenario.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"
#include "mm/uffd.h"

#define UFFD_IOCTL(n) (0xaau << 8 | (n))
/* What the type and number of a request say; its size and direction say nothing more. */
#define REQUEST(cmd) ((cmd)&0xffff)
/* Pages of one call. */
#define MOST_PAGES (1u << 16)

struct run_uffd {
	struct pf_uffd uffd; /* first */
	struct run_world *w;
	uint64_t fd;
	unsigned *pids; /* who has the descriptor */
	unsigned npids;
	uint64_t *waiting; /* addresses */
	unsigned nwaiting;
};

/* ---- what the library tells ---- */

static void told_fault(struct pf_uffd *uffd, const struct pf_uffd_msg *msg)
{
	struct run_uffd *u = (struct run_uffd *)uffd;

	u->w->userfaults++;
	u->w->uffd_flags = msg->flags;
	u->w->uffd_address = msg->address;
	u->waiting = run_resize(u->waiting, (u->nwaiting + 1) * sizeof(*u->waiting));
	u->waiting[u->nwaiting++] = msg->address;
}

static void told_wake(struct pf_uffd *uffd, pf_va_t start, uint64_t len)
{
	struct run_uffd *u = (struct run_uffd *)uffd;
	unsigned left = 0;

	for (unsigned i = 0; i < u->nwaiting; i++) {
		if (u->waiting[i] - start < len)
			u->w->woken++;
		else
			u->waiting[left++] = u->waiting[i];
	}
	u->nwaiting = left;
}

static const struct pf_uffd_ops ops = {.fault = told_fault, .wake = told_wake};

/* ---- descriptors ---- */

static int find(const struct run_world *w, unsigned pid, uint64_t fd)
{
	for (unsigned id = 0; id < ORACLE_MAX_UFFDS; id++)
		for (unsigned i = 0; w->uffds[id] && i < w->uffds[id]->npids; i++)
			if (w->uffds[id]->fd == fd && w->uffds[id]->pids[i] == pid)
				return (int)id;
	return -1;
}

static void hold(struct run_uffd *u, unsigned pid)
{
	u->pids = run_resize(u->pids, (u->npids + 1) * sizeof(*u->pids));
	u->pids[u->npids++] = pid;
}

static void forget(struct run_world *w, unsigned id)
{
	free(w->uffds[id]->pids);
	free(w->uffds[id]->waiting);
	free(w->uffds[id]);
	w->uffds[id] = NULL;
}

static void let_go(struct run_world *w, unsigned id, unsigned pid)
{
	struct run_uffd *u = w->uffds[id];
	unsigned left = 0;

	for (unsigned i = 0; i < u->npids; i++)
		if (u->pids[i] != pid)
			u->pids[left++] = u->pids[i];
	u->npids = left;
	if (left)
		return;
	pf_uffd_close(&u->uffd);
	oracle_uffd_close(w->oracle, id);
	forget(w, id);
}

void run_uffd_fork(struct run_world *w, unsigned pid, unsigned child)
{
	for (unsigned id = 0; id < ORACLE_MAX_UFFDS; id++)
		if (w->uffds[id] && find(w, pid, w->uffds[id]->fd) == (int)id)
			hold(w->uffds[id], child);
}

void run_uffd_exit(struct run_world *w, unsigned pid)
{
	for (unsigned id = 0; id < ORACLE_MAX_UFFDS; id++)
		if (w->uffds[id] && find(w, pid, w->uffds[id]->fd) == (int)id)
			let_go(w, id, pid);
}

void run_uffd_drop(struct run_world *w)
{
	for (unsigned id = 0; id < ORACLE_MAX_UFFDS; id++)
		if (w->uffds[id])
			forget(w, id);
}

bool run_uffd_open(struct run_world *w, struct run_process *p, uint64_t flags, uint64_t fd,
	struct run_result *r)
{
	struct run_uffd *u;
	unsigned id = 0;
	int err;

	while (id < ORACLE_MAX_UFFDS && w->uffds[id])
		id++;
	if (id == ORACLE_MAX_UFFDS)
		return run_verdict(w, RUN_UNSUPPORTED, "more userfaultfds than %u", id);
	while (find(w, p->pid, fd) >= 0)
		fd++;
	u = calloc(1, sizeof(*u));
	if (!u)
		abort();
	u->w = w;
	u->fd = fd;
	err = flags > UINT32_MAX ? -PF_EINVAL
				 : pf_userfaultfd(&u->uffd, &p->mm, (unsigned)flags, &ops, NULL);
	if (err != oracle_userfaultfd(w->oracle, id, p->pid, flags))
		return run_fail(w, "expected what Linux answers, found %d", err);
	*r = (struct run_result){.kind = SC_R_VALUE, .value = fd};
	if (err) {
		free(u);
		*r = (struct run_result){.kind = SC_R_ERRNO, .err = -err};
		return true;
	}
	w->uffds[id] = u;
	hold(u, p->pid);
	return true;
}

/* The number written as the result, or the lowest that no file and no userfaultfd has. */
static bool open_one(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r)
{
	uint64_t flags, fd = RUN_FIRST_FD + w->nfiles;

	if (!run_eval(w, s->args, &flags))
		return false;
	if (s->results && s->results->kind == SC_R_VALUE && !run_eval(w, s->results->value, &fd))
		return false;
	return run_uffd_open(w, p, flags, fd, r);
}

bool run_uffd_close(struct run_world *w, struct run_process *p, uint64_t fd, struct run_result *r)
{
	int id = find(w, p->pid, fd);

	*r = (struct run_result){.kind = SC_R_VALUE};
	if (id < 0)
		return run_verdict(w, RUN_UNSUPPORTED, "close of what is no userfaultfd");
	let_go(w, (unsigned)id, p->pid);
	return true;
}

/* ---- what is there ---- */

static struct run_process *process_of(struct run_world *w, const struct pf_uffd *u)
{
	struct run_process *p = w->processes;

	while (p && &p->mm != u->mm)
		p = p->next;
	return p;
}

struct run_process *run_uffd_process(struct run_world *w, struct run_process *p, uint64_t fd)
{
	int id = find(w, p->pid, fd);

	return id < 0 ? NULL : process_of(w, &w->uffds[id]->uffd);
}

int run_uffd_number(const struct run_world *w, const struct run_process *p, uint64_t fd)
{
	return find(w, p->pid, fd);
}

bool run_uffd_ready(const struct run_world *w, const struct run_process *p, uint64_t fd)
{
	const int id = find(w, p->pid, fd);

	return id >= 0 && w->uffds[id]->uffd.features;
}

/* Is the page somebody else's, too? */
static bool kept(struct run_world *w, const struct pf_page_info *info)
{
	if (pf_pte_kind(info->pte) == PF_PTE_SWAP)
		return !(info->pte.v & PF_PTE_EXCLUSIVE);
	if (!pf_pte_present(info->pte) || pf_pte_special(info->pte))
		return false;
	return !info->exclusive ||
	       pf_folio_maybe_pinned(pf_page_folio(w->sys.phys, pf_pte_pfn(info->pte)));
}

static uint8_t there(struct run_world *w, struct run_process *p, uint64_t va)
{
	const uint64_t page = w->env.page;
	struct pf_page_info info;
	struct pf_page_run run;
	struct pf_vma_info vma;
	uint8_t is;

	pf_page_info(&p->mm, va, &info);
	p->mm.sys->fmt->page_run(&p->mm.space, va, 1, &run);
	is = pf_pte_none(info.pte)                    ? ORACLE_EMPTY
	     : pf_pte_kind(info.pte) == PF_PTE_MARKER ? ORACLE_MARKED
						      : ORACLE_TAKEN;
	is |= run.no_table ? ORACLE_NO_TABLE : 0;
	is |= kept(w, &info) ? ORACLE_KEPT : 0;
	if (pf_find_vma_info(&p->mm, va, &vma) && vma.area.start <= va && vma.mapping &&
		pf_mapping_has(vma.mapping, vma.area.pgoff + (va - vma.area.start) / page))
		is |= ORACLE_CACHED;
	return is;
}

uint8_t run_uffd_there(struct run_world *w, struct run_process *p, uint64_t va)
{
	uint8_t is = 0;

	if (p->mm.uffds)
		RUN_UNCOUNTED(is = there(w, p, va & ~(w->env.page - 1)));
	return is;
}

void run_uffd_tell_model(struct run_world *w, struct run_process *p, uint64_t va, uint64_t len)
{
	const uint64_t page = w->env.page,
		       nr = pf_min(len / page + (len % page != 0), (uint64_t)MOST_PAGES);
	uint8_t *pages;

	if (!p->mm.uffds || w->nuffd_there == ORACLE_TOLD)
		return;
	pages = run_resize(NULL, nr + 1);
	va &= ~(page - 1);
	for (uint64_t i = 0; i < nr; i++)
		pages[i] = run_uffd_there(w, p, va + i * page);
	oracle_uffd_there(w->oracle, p->pid, va, pages, nr);
	w->uffd_there[w->nuffd_there++] = pages;
}

void run_uffd_told_model(struct run_world *w)
{
	oracle_uffd_there(w->oracle, 0, 0, NULL, 0);
	while (w->nuffd_there)
		free(w->uffd_there[--w->nuffd_there]);
}

/* ---- ioctls ---- */

struct request {
	struct run_world *w;
	struct pf_uffd *u;
	unsigned id;
	struct run_process *caller;
	struct run_uffd_args *a;
	uint8_t *there, *there_src; /* there_src: of MOVE */
};

/* Fields of the argument, those of the range inside it too, under strace's names; *done: that which Linux fills in, if written. */
static bool read_fields(struct run_world *w, const struct sc_value *group, struct run_uffd_args *a,
	const struct sc_value **done)
{
	for (const struct sc_value *v = group->items; v; v = v->next) {
		uint64_t *to = NULL;

		if (v->kind != SC_V_FIELD)
			return run_verdict(w, RUN_BAD_INPUT, "a field without a name");
		if (v->items->kind == SC_V_GROUP) {
			if (!read_fields(w, v->items, a, done))
				return false;
			continue;
		}
		if (!strcmp(v->text, "start") || !strcmp(v->text, "dst"))
			to = &a->start;
		else if (!strcmp(v->text, "len"))
			to = &a->len;
		else if (!strcmp(v->text, "src"))
			to = &a->src;
		else if (!strcmp(v->text, "mode"))
			to = &a->mode;
		else if (!strcmp(v->text, "api"))
			to = &a->api;
		else if (!strcmp(v->text, "features"))
			to = &a->features;
		else
			*done = v;
		if (to && !run_eval(w, v->items, to))
			return false;
	}
	return true;
}

static int call_library(struct request *q)
{
	const unsigned mode = (unsigned)q->a->mode;
	uint64_t features = q->a->features;

	switch (q->a->nr) {
	case PF_UFFDIO_API:
		return pf_uffd_api(q->u, q->a->api, &features, &q->a->ioctls);
	case PF_UFFDIO_REGISTER:
		return pf_uffd_register(q->u, q->a->start, q->a->len, mode, &q->a->ioctls);
	case PF_UFFDIO_UNREGISTER:
		return pf_uffd_unregister(q->u, q->a->start, q->a->len);
	case PF_UFFDIO_WAKE:
		return pf_uffd_wake(q->u, q->a->start, q->a->len);
	case PF_UFFDIO_COPY:
		return pf_uffd_copy(
			q->u, &q->caller->mm, q->a->start, q->a->src, q->a->len, mode, &q->a->done);
	case PF_UFFDIO_ZEROPAGE:
		return pf_uffd_zeropage(q->u, q->a->start, q->a->len, mode, &q->a->done);
	case PF_UFFDIO_CONTINUE:
		return pf_uffd_continue(q->u, q->a->start, q->a->len, mode, &q->a->done);
	case PF_UFFDIO_MOVE:
		return pf_uffd_move(
			q->u, &q->caller->mm, q->a->start, q->a->src, q->a->len, mode, &q->a->done);
	case PF_UFFDIO_POISON:
		return pf_uffd_poison(q->u, q->a->start, q->a->len, mode, &q->a->done);
	case PF_UFFDIO_WRITEPROTECT:
		return pf_uffd_writeprotect(q->u, q->a->start, q->a->len, mode);
	default:
		return -PF_EOPNOTSUPP;
	}
}

static int64_t ask_model(struct request *q, struct oracle *o, uint64_t len, int64_t *done)
{
	enum oracle_fill what = q->a->nr == PF_UFFDIO_COPY       ? ORACLE_COPY
				: q->a->nr == PF_UFFDIO_ZEROPAGE ? ORACLE_ZEROPAGE
				: q->a->nr == PF_UFFDIO_CONTINUE ? ORACLE_CONTINUE
								 : ORACLE_POISON;

	*done = 0;
	switch (q->a->nr) {
	case PF_UFFDIO_API:
		return oracle_uffd_api(o, q->id, q->a->api, q->a->features);
	case PF_UFFDIO_REGISTER:
		return oracle_uffd_register(o, q->id, q->a->start, len, q->a->mode);
	case PF_UFFDIO_UNREGISTER:
		return oracle_uffd_unregister(o, q->id, q->a->start, len);
	case PF_UFFDIO_WAKE:
		return oracle_uffd_wake(o, q->id, q->a->start, len);
	case PF_UFFDIO_WRITEPROTECT:
		return oracle_uffd_writeprotect(o, q->id, q->a->start, len, q->a->mode, q->there);
	case PF_UFFDIO_MOVE:
		return oracle_uffd_move(o, q->id, q->caller->pid, q->a->start, q->a->src, len,
			q->a->mode, q->there, q->there_src, done);
	case PF_UFFDIO_COPY:
	case PF_UFFDIO_ZEROPAGE:
	case PF_UFFDIO_CONTINUE:
	case PF_UFFDIO_POISON:
		return oracle_uffd_fill(o, q->id, what, q->caller->pid, q->a->start, q->a->src, len,
			q->a->mode, q->there, done);
	default:
		return ORACLE_UNKNOWN;
	}
}

/* Both did what they say; an allocation that failed in the middle leaves what comes before it done. */
static bool compare(struct request *q, uint64_t allocs, int err, struct run_result *r)
{
	struct run_world *w = q->w;
	int64_t done, want;
	bool ran_out = allocs < w->fail_at && machine_counters.allocs >= w->fail_at &&
		       (err == -PF_ENOMEM || err == -PF_EAGAIN);

	if (ran_out) {
		struct oracle *copy = oracle_clone(w->oracle);
		const size_t size = 2 * (MOST_PAGES + 1);
		uint8_t *before = memcpy(run_resize(NULL, size), q->there, size);

		want = ask_model(q, copy, q->a->len, &done);
		oracle_free(copy);
		memcpy(q->there, before, size);
		free(before);
		ran_out = want != err || done != q->a->done;
	}
	if (ran_out) {
		if (q->a->done > 0)
			ask_model(q, w->oracle, (uint64_t)q->a->done, &done);
		w->uffd_done += q->a->done > 0 ? (uint64_t)q->a->done : 0;
		*r = (struct run_result){.kind = SC_R_ERRNO, .err = -err, .injected = true};
		return true;
	}
	want = ask_model(q, w->oracle, q->a->len, &done);
	if (want == ORACLE_UNKNOWN || (err == -PF_EOPNOTSUPP && want != err))
		return run_verdict(w, RUN_UNSUPPORTED, "this call with these arguments");
	if (want != err || done != q->a->done)
		return run_fail(w,
			"expected result %lld and %lld done, as Linux answers, found %d and %lld",
			(long long)want, (long long)done, err, (long long)q->a->done);
	*r = err ? (struct run_result){.kind = SC_R_ERRNO, .err = -err}
		 : (struct run_result){.kind = SC_R_VALUE};
	return true;
}

bool run_uffd_ioctl(
	struct run_world *w, struct run_process *p, struct run_uffd_args *a, struct run_result *r)
{
	struct request q = {.w = w, .caller = p, .a = a};
	struct run_process *of;
	uint64_t pages = a->len / w->env.page, allocs = machine_counters.allocs;
	int id = find(w, p->pid, a->fd), err;
	bool ok;

	a->done = 0;
	a->ioctls = 0;
	if (id < 0)
		return run_verdict(w, RUN_UNSUPPORTED, "this ioctl");
	if (a->mode > UINT32_MAX)
		return run_verdict(w, RUN_UNSUPPORTED, "modes beyond 32 bits");
	if (pages > MOST_PAGES && a->len <= w->sys.task_size)
		return run_verdict(w, RUN_UNSUPPORTED, "so long a range");
	q.u = &w->uffds[id]->uffd;
	q.id = (unsigned)id;
	of = process_of(w, q.u);
	q.there = calloc(2, MOST_PAGES + 1);
	if (!q.there)
		abort();
	q.there_src = q.there + MOST_PAGES + 1;
	for (uint64_t i = 0; of && pages <= MOST_PAGES && i < pages; i++) {
		q.there[i] = run_uffd_there(w, of, a->start + i * w->env.page);
		if (a->nr == PF_UFFDIO_MOVE)
			q.there_src[i] = run_uffd_there(w, of, a->src + i * w->env.page);
	}
	if (a->nr == PF_UFFDIO_COPY)
		run_uffd_tell_model(w, p, a->src, a->len + (a->src & (w->env.page - 1)));
	run_switch(w, p);
	err = call_library(&q);
	ok = compare(&q, allocs, err, r);
	run_uffd_told_model(w);
	free(q.there);
	return ok;
}

/* copy=4K, ioctls=0x1fc and the like: what Linux filled in; `before` was done before its memory ran out, too. */
static bool check_done(struct run_world *w, const struct run_uffd_args *a,
	const struct sc_value *field, uint64_t before)
{
	uint64_t want, got = a->nr == PF_UFFDIO_API || a->nr == PF_UFFDIO_REGISTER
				     ? a->ioctls
				     : (uint64_t)a->done;

	if (a->done >= 0)
		got += before;
	if (!field)
		return true;
	if (!run_eval(w, field->items, &want))
		return false;
	if (want == got)
		return true;
	return run_fail(w, "expected %s=0x%llx, found 0x%llx", field->text,
		(unsigned long long)want, (unsigned long long)got);
}

static bool do_ioctl(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r)
{
	struct run_uffd_args a = {0};
	const struct sc_value *field = NULL;
	uint64_t cmd, done = w->uffd_done;

	if (!run_eval(w, s->args, &a.fd) || !run_eval(w, s->args->next, &cmd))
		return false;
	if (find(w, p->pid, a.fd) < 0 || REQUEST(cmd) >> 8 != 0xaa || s->nargs < 3 ||
		s->args->next->next->kind != SC_V_GROUP)
		return run_verdict(w, RUN_UNSUPPORTED, "this ioctl");
	a.nr = cmd & 0xff;
	if (!read_fields(w, s->args->next->next, &a, &field))
		return false;
	/* What ran out of memory half way goes on there, as its caller would. */
	w->uffd_done = 0;
	a.start += done;
	a.src += done;
	a.len -= done;
	return run_uffd_ioctl(w, p, &a, r) && (r->injected || check_done(w, &a, field, done));
}

bool run_uffd(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r)
{
	uint64_t fd;

	if (s->call->id == SC_USERFAULTFD)
		return open_one(w, p, s, r);
	if (s->call->id == SC_IOCTL)
		return do_ioctl(w, p, s, r);
	return run_eval(w, s->args, &fd) && run_uffd_close(w, p, fd, r);
}

bool run_uffd_check(struct run_world *w, struct run_process *p)
{
	struct oracle_map m;

	for (uint64_t at = 0; p->mm.uffds && oracle_find(w->oracle, p->pid, at, &m); at = m.end) {
		for (uint64_t va = m.start; m.uffd_wp && va < m.end; va += w->env.page) {
			struct pf_page_info info;
			bool wp, want = oracle_uffd_wp(w->oracle, p->pid, va);

			pf_page_info(&p->mm, va, &info);
			wp = pf_pte_kind(info.pte) == PF_PTE_MARKER ? info.pte.v & PF_MARKER_UFFD_WP
								    : info.pte.v & PF_PTE_UFFD_WP;
			if (wp == want)
				continue;
			run_fail(w, "expected a write to 0x%llx %s uffd-wp, found otherwise",
				(unsigned long long)va,
				want ? "to be noticed by" : "not to be noticed by");
			run_show_entries(w, p, va);
			return false;
		}
	}
	return true;
}
