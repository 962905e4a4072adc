// SPDX-License-Identifier: MIT
/*
 * What a log of strace needs beyond a scenario: processes that appear and that execve empties, memory that execve
 * mapped and the log does not show, and refusals that depend on what a log cannot tell.
 */
#include <stdio.h>
#include <string.h>

#include "cli/run.h"

/* Linux's ELF loader maps the program, the stack and the vdso with no call that a log shows. */
#define ASSUMED_PROT  (PF_PROT_READ | PF_PROT_WRITE)
#define ASSUMED_FLAGS (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED_NOREPLACE)

bool run_log_process(struct run_world *w, const struct sc_stmt *s)
{
	struct run_process *p = run_process(w, s->pid);

	if (s->kind == SC_S_EXECVE && p) {
		oracle_exit(w->oracle, p->pid);
		run_exit(w, p);
	} else if (p) {
		return run_fail(w, "expected no process %u yet, found it alive", s->pid);
	}
	oracle_start(w->oracle, s->pid);
	return run_start(w, s->pid) && run_check(w);
}

/* Calls whose first two values are a range that has to be mapped. */
static bool needs_range(const struct sc_stmt *s)
{
	static const char *const names[] = {"mprotect", "pkey_mprotect", "mremap", "madvise",
		"mlock", "mlock2", "munlock", "msync", "mincore", "mseal"};

	for (size_t i = 0; i < PF_ARRAY_SIZE(names); i++)
		if (!strcmp(s->name, names[i]))
			return s->nargs >= 2;
	return false;
}

static bool assume(struct run_world *w, struct run_process *p, uint64_t start, uint64_t end)
{
	const uint64_t args[6] = {start, end - start, ASSUMED_PROT, ASSUMED_FLAGS, UINT64_MAX, 0};
	struct run_result r;

	if (!run_syscall(w, p, SC_MMAP, args, 6, -1, 0, &r))
		return false;
	if (r.kind != SC_R_VALUE)
		return run_fail(w, "expected room for what execve mapped at 0x%llx, found error %s",
			(unsigned long long)start, sc_errno_name(r.err));
	w->assumed++;
	w->assumed_pages += (end - start) / w->env.page;
	return true;
}

/* Pages that the call succeeded on, and that no call has mapped: execve has. */
static bool assume_holes(struct run_world *w, struct run_process *p, const struct sc_stmt *s)
{
	uint64_t at, len, end;
	struct oracle_map m;

	if (!run_eval(w, s->args, &at) || !run_eval(w, s->args->next, &len))
		return false;
	at &= ~(w->env.page - 1);
	end = (at + len + w->env.page - 1) & ~(w->env.page - 1);
	while (at < end) {
		bool found = oracle_find(w->oracle, p->pid, at, &m);
		uint64_t hole = found && m.start < end ? m.start : end;

		if (hole > at && !assume(w, p, at, hole))
			return false;
		at = found ? m.end : end;
	}
	return true;
}

bool run_log_call(struct run_world *w, const struct sc_stmt *s, bool *skip)
{
	const struct sc_result *r = s->results;
	struct run_process *p = run_process(w, s->pid);
	bool failed = r && r->kind == SC_R_ERRNO;

	*skip = failed && (r->err == PF_EPERM || r->err == PF_EACCES || r->err == PF_EBADF);
	if (*skip) {
		w->taken_over++;
		return true;
	}
	if (!p)
		return run_fail(w, "expected process %u, found that it was never made", s->pid);
	return failed || !needs_range(s) || assume_holes(w, p, s);
}

void run_log_report(struct run_world *w)
{
	const struct sc_file *f = w->cfg->file;

	run_detail(w,
		"assumed: %llu ranges that execve mapped, %llu pages; taken over: %llu refusals",
		(unsigned long long)w->assumed, (unsigned long long)w->assumed_pages,
		(unsigned long long)w->taken_over);
	for (const struct sc_note *k = f->notes; k; k = k->next)
		run_detail(w, "%s: %s, %u times", k->kind, k->name, k->nr);
}
