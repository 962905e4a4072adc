// SPDX-License-Identifier: MIT
/* A statement that is a call: its arguments, and what the scenario expects of its result. */
#include <stdio.h>
#include <string.h>

#include "cli/run.h"

/* ---- values ---- */

bool run_eval(struct run_world *w, const struct sc_value *v, uint64_t *out)
{
	const char *why;

	if (sc_eval(v, &w->env, out, &why))
		return true;
	return run_verdict(w, RUN_BAD_INPUT, "%s, expected a value", why);
}

bool run_eval_range(struct run_world *w, const struct sc_value *addr, const struct sc_value *len,
	uint64_t *va, uint64_t *nr)
{
	uint64_t n = w->env.page, last;

	if (!run_eval(w, addr, va) || (len && !run_eval(w, len, &n)))
		return false;
	if (!n)
		return run_verdict(w, RUN_BAD_INPUT, "an empty range, expected one page at least");
	last = *va + (n - 1);
	if (last < *va)
		return run_verdict(w, RUN_BAD_INPUT,
			"0x%llx bytes from 0x%llx, expected a range that does not wrap",
			(unsigned long long)n, (unsigned long long)*va);
	*va &= ~(w->env.page - 1);
	*nr = (last - *va) / w->env.page + 1;
	return true;
}

/* ---- a statement ---- */

static void show_result(const struct run_result *r, char *text, size_t size)
{
	switch (r->kind) {
	case SC_R_ERRNO:
		snprintf(text, size, "-1 %s", sc_errno_name(r->err));
		break;
	case SC_R_SEGV:
	case SC_R_BUS:
	case SC_R_UFFD:
	case SC_R_NOMEM:
		snprintf(text, size, "%s at 0x%llx",
			r->kind == SC_R_SEGV   ? "SIGSEGV"
			: r->kind == SC_R_BUS  ? "SIGBUS"
			: r->kind == SC_R_UFFD ? "USERFAULT"
					       : "ENOMEM",
			(unsigned long long)r->value);
		break;
	default:
		snprintf(
			text, size, r->value > 9 ? "0x%llx" : "%llu", (unsigned long long)r->value);
	}
}

static bool matches_one(struct run_world *w, const struct sc_result *want,
	const struct run_result *r, struct run_result *shown)
{
	uint64_t v = 0;

	*shown = (struct run_result){.kind = want->kind, .err = want->err};
	if (want->kind == SC_R_ANY)
		return true;
	if (want->value && !run_eval(w, want->value, &v))
		return false;
	shown->value = want->value ? v : want->kind == SC_R_VALUE ? 0 : r->first;
	if (want->kind != r->kind)
		return false;
	switch (want->kind) {
	case SC_R_ERRNO:
		return want->err == r->err;
	case SC_R_SEGV:
	case SC_R_BUS:
	case SC_R_UFFD:
		/* Without an address: at the first page, nothing was done. */
		return r->value == (want->value ? v & ~(w->env.page - 1) : r->first);
	case SC_R_VALUE:
		return v == r->value;
	default:
		return true;
	}
}

bool run_check_result(struct run_world *w, const struct sc_stmt *s, struct run_process *p,
	const struct run_result *r)
{
	char want[256] = "", got[64];
	size_t used = 0;

	if (!s->results && r->kind == SC_R_VALUE)
		return true;
	for (const struct sc_result *want_one = s->results; want_one; want_one = want_one->next) {
		struct run_result shown;
		char one[64];

		if (matches_one(w, want_one, r, &shown))
			return true;
		if (w->failed)
			return false;
		show_result(&shown, one, sizeof(one));
		/* Where memory ran out was not asked for; a signal without an address is one at the first page. */
		if (shown.kind == SC_R_NOMEM)
			snprintf(one, sizeof(one), "ENOMEM");
		used += (size_t)snprintf(
			want + used, sizeof(want) - used, "%s%s", used ? " or " : "", one);
		if (used >= sizeof(want))
			used = sizeof(want) - 1;
	}
	show_result(r, got, sizeof(got));
	run_fail(w, "expected %s, found %s", s->results ? want : "success", got);
	if (r->kind == SC_R_SEGV || r->kind == SC_R_BUS || r->kind == SC_R_UFFD)
		run_show_entries(w, p, r->value);
	return false;
}

int64_t run_wanted_address(struct run_world *w, const struct sc_stmt *s)
{
	uint64_t v;

	if (!s->results || s->results->next || s->results->kind != SC_R_VALUE ||
		!run_eval(w, s->results->value, &v) || v > INT64_MAX)
		return -1;
	return (int64_t)v;
}

bool run_eval_args(struct run_world *w, const struct sc_stmt *s, uint64_t a[6])
{
	unsigned i = 0;

	memset(a, 0, 6 * sizeof(*a));
	for (const struct sc_value *v = s->args; v && i < 6; v = v->next, i++) {
		if (v->kind == SC_V_FILE)
			a[i] = (uint64_t)run_fd(w, v->text);
		else if (!(s->call->id == SC_MINCORE && i == 2) && !run_eval(w, v, &a[i]))
			return false;
	}
	return true;
}

static bool issue(
	struct run_world *w, const struct sc_stmt *s, struct run_process *p, struct run_result *r)
{
	uint64_t a[6];

	if (s->call->access)
		return run_access(w, p, s, r);
	if (run_is_process_call(s->call->id))
		return run_process_call(w, p, s, r);
	if (s->call->id == SC_USERFAULTFD || s->call->id == SC_IOCTL || s->call->id == SC_CLOSE)
		return run_uffd(w, p, s, r);
	if (s->call->id == SC_PAGEMAP_SCAN)
		return run_scan(w, p, s, r);
	if (!run_eval_args(w, s, a))
		return false;
	if (s->call->id == SC_EXIT_GROUP) {
		oracle_exit(w->oracle, p->pid);
		run_exit(w, p);
		*r = (struct run_result){.kind = SC_R_VALUE};
		return true;
	}
	if (s->call->id == SC_GUP || s->call->id == SC_GUP_FAST || s->call->id == SC_UNPIN)
		return run_gup(w, p, s->call->id, a, r);
	if (s->call->id == SC_SWAPOFF) {
		run_swapoff(w, r);
		return true;
	}
	return run_syscall(w, p, s->call->id, a, s->nargs, run_wanted_address(w, s), s->child, r);
}

bool run_check_failed(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const uint64_t a[6], const struct run_snapshot *before, const struct run_result *r)
{
	uint64_t va = a[0], nr = 0;

	/*
	 * mlock: locked, with some pages missing. swapoff: what was brought in before is in. Parts of a vector
	 * before the failure are done, and the model knows.
	 */
	if ((r->kind == SC_R_ERRNO && r->err == PF_EAGAIN) || id == SC_SWAPOFF ||
		run_is_process_call(id))
		return run_check(w);
	if (id == SC_LOAD || id == SC_STORE || id == SC_EXEC)
		nr = (r->value - va) / w->env.page;
	else if (id == SC_MADVISE &&
		 (a[2] == PF_MADV_POPULATE_READ || a[2] == PF_MADV_POPULATE_WRITE))
		nr = a[1] / w->env.page + 1;
	else if (id == SC_GUP)
		nr = a[1];
	/* What was unmerged before is. */
	else if (id == SC_MADVISE && a[2] == PF_MADV_UNMERGEABLE)
		nr = a[1] / w->env.page + 1;
	return run_unchanged(w, before, p->pid, va, nr, id == SC_FORK) && run_check(w);
}

static bool check_failed_call(struct run_world *w, const struct sc_stmt *s, struct run_process *p,
	const struct run_snapshot *before, const struct run_result *r)
{
	uint64_t a[6] = {0}, nr;
	bool ok = run_is_process_call(s->call->id) || s->call->id == SC_IOCTL ||
				  s->call->id == SC_PAGEMAP_SCAN
			  ? true
		  : s->call->access ? run_eval_range(w, s->args, s->args->next, &a[0], &nr)
				    : run_eval_args(w, s, a);

	return ok && run_check_failed(w, p, s->call->id, a, before, r);
}

/*
 * mincore(addr, len, [1, 0]): the bytes are as written, as far as they are. Which pages a fault brought depends on
 * what could be allocated, so runs with a failure do not ask.
 */
static bool check_resident(struct run_world *w, const struct sc_stmt *s)
{
	const struct sc_value *vec = s->args->next->next;
	uint64_t want, i = 0;

	if (vec->kind != SC_V_GROUP || w->cfg->file->log || w->fail_at)
		return true;
	for (const struct sc_value *v = vec->items; v && i < sizeof(run_resident);
		v = v->next, i++) {
		if (!run_eval(w, v, &want))
			return false;
		if (want != run_resident[i])
			return run_fail(w, "expected byte %llu to be %llu, found %u",
				(unsigned long long)i, (unsigned long long)want, run_resident[i]);
	}
	return true;
}

bool run_call(struct run_world *w, const struct sc_stmt *s, uint64_t call_index)
{
	struct run_process *p = run_process(w, s->pid);
	struct run_snapshot *before = NULL;
	struct run_result r = {0};
	bool ok;

	if (!p)
		return run_fail(w, "expected process %u, found that it was never made", s->pid);
	if (s->cpu >= 0)
		p->cpu = (unsigned)s->cpu;
	run_switch(w, p);
	if (machine_counters.allocs < w->fail_at &&
		(w->watch_all || w->fail_at <= w->allocs_after[call_index]))
		before = run_snapshot(w);
	ok = issue(w, s, p, &r);
	if (ok && r.injected) {
		if (!before) {
			w->missed = true;
			return run_fail(w, "an allocation failed earlier than it was expected to");
		}
		ok = check_failed_call(w, s, p, before, &r) && issue(w, s, p, &r);
	}
	run_snapshot_free(before);
	if (!ok)
		return false;
	if (s->var >= 0)
		w->vars[s->var] = r.handle ? r.handle : r.kind == SC_R_ERRNO ? UINT64_MAX : r.value;
	/* A broken rule explains a wrong result better than the result does. */
	if (!run_check_machine(w) || !run_check_result(w, s, run_process(w, s->pid), &r))
		return false;
	if (s->call->id == SC_MINCORE && r.kind == SC_R_VALUE && !check_resident(w, s))
		return false;
	/* Until the allocation fails, this is the run without a failure over again, where all was looked at. */
	return machine_counters.allocs < w->fail_at || run_check(w);
}
