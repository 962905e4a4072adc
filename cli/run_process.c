// SPDX-License-Identifier: MIT
/* Calls on other processes: parts of memory read as strace prints them, done by the library, asked of the model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"

struct parts {
	struct oracle_part *part;
	struct pf_iovec *vec;
	uint64_t nr;
};

struct process_call {
	struct run_world *w;
	struct run_process *p, *target;
	bool vm, write;
	struct parts local, remote;
	uint64_t advice, flags;
};

bool run_is_process_call(enum sc_call_id id)
{
	return id == SC_PROCESS_MADVISE || id == SC_PROCESS_VM_READV || id == SC_PROCESS_VM_WRITEV;
}

/* ---- arguments ---- */

static const struct sc_value *field(const struct sc_value *group, const char *name)
{
	for (const struct sc_value *v = group->items; v; v = v->next)
		if (v->kind == SC_V_FIELD && !strcmp(v->text, name))
			return v;
	return NULL;
}

/* [{iov_base=0x1000, iov_len=4096}, ...], of which `nr` are meant. */
static bool read_parts(struct run_world *w, const struct sc_value *v, const struct sc_value *count,
	struct parts *p)
{
	const struct sc_value *one = v->kind == SC_V_GROUP ? v->items : NULL;

	if (!run_eval(w, count, &p->nr))
		return false;
	if (p->nr > 2 * PF_UIO_MAXIOV)
		return run_verdict(w, RUN_UNSUPPORTED, "so many parts");
	p->part = calloc(p->nr + 1, sizeof(*p->part));
	p->vec = calloc(p->nr + 1, sizeof(*p->vec));
	if (!p->part || !p->vec)
		abort();
	for (uint64_t i = 0; i < p->nr; i++) {
		const struct sc_value *base =
			one && one->kind == SC_V_GROUP ? field(one, "iov_base") : NULL;
		const struct sc_value *len = base ? field(one, "iov_len") : NULL;

		/* So many that nobody writes them all: more are as the last. */
		if (!one && i && p->nr > PF_UIO_MAXIOV) {
			p->part[i] = p->part[i - 1];
			p->vec[i] = p->vec[i - 1];
			continue;
		}
		if (!len)
			return run_verdict(w, RUN_BAD_INPUT,
				"%llu parts, expected as many of the form {iov_base=…, iov_len=…}",
				(unsigned long long)p->nr);
		if (!run_eval(w, base, &p->part[i].base) || !run_eval(w, len, &p->part[i].len))
			return false;
		p->vec[i] = (struct pf_iovec){p->part[i].base, p->part[i].len};
		one = one->next;
	}
	return true;
}

/* A number, [pid N], or a descriptor as strace -y prints it, 3<pid:N>. */
static bool read_pid(struct run_world *w, const struct sc_value *v, uint64_t *pid)
{
	const char *text = v->kind == SC_V_GROUP || v->kind == SC_V_FILE ? v->text : NULL;

	if (!text)
		return run_eval(w, v, pid);
	if (strncmp(text, "pid", 3))
		return run_verdict(w, RUN_UNSUPPORTED, "a descriptor of an unknown process");
	*pid = strtoull(text + 4, NULL, 10);
	return true;
}

static bool read_call(struct process_call *c, const struct sc_stmt *s)
{
	const struct sc_value *a[6] = {0}, *v = s->args;
	struct run_world *w = c->w;
	uint64_t pid;

	for (unsigned i = 0; v && i < 6; i++, v = v->next)
		a[i] = v;
	if (!read_pid(w, a[0], &pid) || !read_parts(w, a[1], a[2], &c->local))
		return false;
	c->target = pid <= UINT32_MAX ? run_process(w, (unsigned)pid) : NULL;
	c->vm = s->call->id != SC_PROCESS_MADVISE;
	c->write = s->call->id == SC_PROCESS_VM_WRITEV;
	if (!c->vm)
		return run_eval(w, a[3], &c->advice) && run_eval(w, a[4], &c->flags);
	return read_parts(w, a[3], a[4], &c->remote) && run_eval(w, a[5], &c->flags);
}

/* ---- the call ---- */

static int64_t ask_model(struct process_call *c, uint64_t most, int64_t told)
{
	const struct oracle_transfer t = {
		.pid = c->p->pid,
		.target = c->target ? c->target->pid : 0,
		.local = c->local.part,
		.remote = c->remote.part,
		.nlocal = c->local.nr,
		.nremote = c->remote.nr,
		.flags = c->flags,
		.most = most,
		.write = c->write,
	};

	if (c->vm)
		return oracle_process_vm(c->w->oracle, &t);
	return oracle_process_madvise(c->w->oracle, c->p->pid, t.target, c->local.part, c->local.nr,
		c->advice, c->flags, most, c->w->env.page << c->w->cfg->fmt->pt->level_bits, told);
}

static void note_parts(struct run_world *w, struct run_process *p, const struct parts *v)
{
	for (uint64_t i = 0; p && i < v->nr; i++)
		run_note_stores(w, p, v->part[i].base, v->part[i].len);
}

static void tell_model(struct run_world *w, struct run_process *p, const struct parts *v)
{
	for (uint64_t i = 0; p && i < v->nr; i++)
		run_uffd_tell_model(w, p, v->part[i].base,
			v->part[i].len + (v->part[i].base & (w->env.page - 1)));
}

static int64_t ask_library(struct process_call *c)
{
	struct pf_mm *mm = &c->p->mm, *target = c->target ? &c->target->mm : NULL;
	const struct parts *l = &c->local, *r = &c->remote;

	if (c->vm || c->advice == PF_MADV_POPULATE_WRITE)
		note_parts(c->w, c->write ? c->target : c->p, c->write ? r : l);
	tell_model(c->w, c->vm ? c->p : c->target, l);
	if (c->vm)
		tell_model(c->w, c->target, r);
	run_switch(c->w, c->p);
	if (!c->vm)
		return pf_process_madvise(
			mm, target, l->vec, l->nr, (int)c->advice, (unsigned)c->flags);
	if (c->write)
		return pf_process_vm_writev(mm, l->vec, l->nr, target, r->vec, r->nr, c->flags);
	return pf_process_vm_readv(mm, l->vec, l->nr, target, r->vec, r->nr, c->flags);
}

static bool differs(struct run_world *w, int64_t model, int64_t lib)
{
	if (model == ORACLE_UNKNOWN || lib == -PF_EOPNOTSUPP)
		return run_verdict(w, RUN_UNSUPPORTED, "this call with these arguments");
	if (model == lib)
		return false;
	run_fail(
		w, "expected %lld, as Linux answers, found %lld", (long long)model, (long long)lib);
	return true;
}

static bool call(struct process_call *c, struct run_result *r)
{
	struct run_world *w = c->w;
	const uint64_t before = machine_counters.allocs;
	int64_t lib = ask_library(c);
	bool failing = before < w->fail_at && machine_counters.allocs >= w->fail_at;
	struct oracle *copy = failing ? oracle_clone(w->oracle) : NULL, *was = w->oracle;
	int64_t model;

	if (failing) {
		/* Memory that runs out is told by ENOMEM, or by how far it was enough. */
		w->oracle = copy;
		model = ask_model(c, UINT64_MAX, lib);
		w->oracle = was;
		oracle_free(copy);
		failing = lib != model && (lib == -PF_ENOMEM || lib >= 0);
	}
	model = ask_model(c, failing ? (uint64_t)(lib < 0 ? 0 : lib) : UINT64_MAX, lib);
	if (failing) {
		run_catch_up(w, c->p);
		if (c->target && c->target != c->p) {
			run_switch(w, c->target);
			run_catch_up(w, c->target);
			run_switch(w, c->p);
		}
		if (model >= 0 && model != lib && lib >= 0)
			return !differs(w, model, lib);
		*r = (struct run_result){.kind = SC_R_ERRNO, .err = PF_ENOMEM, .injected = true};
		return true;
	}
	if (differs(w, model, lib) || w->failed)
		return false;
	*r = (struct run_result){.kind = SC_R_VALUE, .value = (uint64_t)lib};
	if (lib < 0)
		*r = (struct run_result){.kind = SC_R_ERRNO, .err = (int)-lib};
	return true;
}

static void take_parts(const struct oracle_part *from, uint64_t nr, struct parts *p)
{
	*p = (struct parts){.part = calloc(nr + 1, sizeof(*p->part)),
		.vec = calloc(nr + 1, sizeof(*p->vec)),
		.nr = nr};
	if (!p->part || !p->vec)
		abort();
	for (uint64_t i = 0; i < nr; i++) {
		p->part[i] = from[i];
		p->vec[i] = (struct pf_iovec){from[i].base, from[i].len};
	}
}

static void free_parts(struct process_call *c)
{
	free(c->local.part);
	free(c->local.vec);
	free(c->remote.part);
	free(c->remote.vec);
}

bool run_process_parts(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const struct run_parts *v, struct run_result *r)
{
	struct process_call c = {.w = w,
		.p = p,
		.target = v->target,
		.vm = id != SC_PROCESS_MADVISE,
		.write = id == SC_PROCESS_VM_WRITEV,
		.advice = v->advice,
		.flags = v->flags};
	bool ok;

	take_parts(v->local, v->nlocal, &c.local);
	take_parts(v->remote, v->nremote, &c.remote);
	ok = call(&c, r);
	run_uffd_told_model(w);
	free_parts(&c);
	return ok;
}

bool run_process_call(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r)
{
	struct process_call c = {.w = w, .p = p};
	bool ok = read_call(&c, s) && call(&c, r);

	run_uffd_told_model(w);
	free_parts(&c);
	return ok;
}
