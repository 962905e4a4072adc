// SPDX-License-Identifier: MIT
/* Loads, stores and fetches by the machine's CPUs, faults handled by the library, values judged by the model. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/run.h"
#include "machine/explore.h"

/*
 * How often one access may fault. A CPU may use a stale read-only translation several times before it walks again, and a
 * walker that comes late misses what is not published once in two, at each of four levels: an access to a process whose tables
 * are all new then ends with a chance of 1 in 16 a try, and nothing obliges a fault to publish. One that faults as often as this
 * never gets anywhere.
 */
#define RUN_TRIES 2000

/* The first is 1 more. */
#define STAMP UINT64_C(0x5374616d70000000)

uint64_t run_new_stamp(struct run_world *w, struct run_process *p, uint64_t va)
{
	if (w->nstamps == w->stamps_room) {
		w->stamps_room = w->stamps_room ? 2 * w->stamps_room : 256;
		w->stamps = realloc(w->stamps, w->stamps_room * sizeof(*w->stamps));
		if (!w->stamps)
			abort();
	}
	w->stamps[w->nstamps++] = (struct run_stamp){p->pid, w->line, va};
	return STAMP + w->nstamps;
}

uint64_t run_stamp_number(const struct run_world *w, uint64_t value)
{
	uint64_t n = value - STAMP;

	return n - 1 < w->nstamps ? n : 0;
}

static const struct run_stamp *stamp_of(struct run_world *w, uint64_t value)
{
	uint64_t n = run_stamp_number(w, value);

	return n ? &w->stamps[n - 1] : NULL;
}

void run_describe_value(struct run_world *w, uint64_t value, char *text, size_t size)
{
	const struct run_stamp *s = stamp_of(w, value);

	if (s)
		snprintf(text, size, "what process %u stored at 0x%llx in line %u", s->pid,
			(unsigned long long)s->va, s->line);
	else if (!value)
		snprintf(text, size, "zero");
	else
		snprintf(text, size, "0x%llx, which nobody stored", (unsigned long long)value);
}

bool run_check_value(struct run_world *w, struct run_process *p, uint64_t va, uint64_t value)
{
	uint64_t allowed[ORACLE_MAX_ALLOWED];
	unsigned n = oracle_load(w->oracle, p->pid, va, allowed);
	char want[96], got[96];

	for (unsigned i = 0; i < n; i++)
		if (value == allowed[i])
			return true;
	run_describe_value(w, allowed[0], want, sizeof(want));
	run_describe_value(w, value, got, sizeof(got));
	run_fail(w, "expected process %u to find %s at 0x%llx, found %s", p->pid, want,
		(unsigned long long)va, got);
	run_show_entries(w, p, va);
	return false;
}

static struct machine_fault access_once(
	enum sc_call_id how, uint64_t va, bool split, uint64_t *value)
{
	if (how == SC_STORE && split) {
		machine_store_begin(va, *value);
		return machine_store_end();
	}
	if (how == SC_STORE)
		return machine_store(va, *value);
	if (how == SC_EXEC)
		return machine_exec(va);
	return machine_load(va, value);
}

bool run_access_page(struct run_world *w, struct run_process *p, enum sc_call_id how, uint64_t va,
	bool split, uint64_t *value, struct run_result *r)
{
	unsigned flags = how == SC_STORE  ? PF_FAULT_FLAG_WRITE
			 : how == SC_EXEC ? PF_FAULT_FLAG_EXEC
					  : 0;

	*r = (struct run_result){.kind = SC_R_VALUE};
	for (unsigned tries = 0; tries < RUN_TRIES; tries++) {
		uint64_t before = machine_counters.allocs;

		/* The fault could not be dealt with, because another thread is at the page. */
		if (tries > 1)
			machine_explore_yield();
		if (!access_once(how, va, split, value).fault)
			return true;
		switch (pf_handle_mm_fault(&p->mm, va, flags)) {
		case PF_FAULT_DONE:
		case PF_FAULT_SWAP:
			continue;
		case PF_FAULT_OOM:
			r->kind = SC_R_NOMEM;
			r->injected = before < w->fail_at && machine_counters.allocs >= w->fail_at;
			break;
		case PF_FAULT_SIGSEGV:
			r->kind = SC_R_SEGV;
			break;
		case PF_FAULT_UFFD:
			r->kind = SC_R_UFFD;
			break;
		case PF_FAULT_MISSING: /* lib/mm keeps these to itself */
		case PF_FAULT_HINT:
		case PF_FAULT_DEVICE:
		case PF_FAULT_UFFD_MISSING:
		case PF_FAULT_UFFD_MINOR:
		case PF_FAULT_UFFD_WP:
		case PF_FAULT_SIGBUS:
		case PF_FAULT_HWPOISON:
			r->kind = SC_R_BUS;
			break;
		}
		r->value = va;
		return true;
	}
	run_fail(w,
		"expected the access to 0x%llx to end, found that it faults for ever (%u times)",
		(unsigned long long)va, RUN_TRIES);
	run_show_entries(w, p, va);
	return false;
}

static const char *signal_name(enum oracle_signal s)
{
	return s == ORACLE_SEGV ? "SIGSEGV" : s == ORACLE_BUS ? "SIGBUS" : "no signal";
}

/* What a userfaultfd makes of an access that could be done. */
static bool waits_as_model(struct run_world *w, struct run_process *p, enum sc_call_id how,
	uint64_t va, uint8_t there, const struct run_result *r)
{
	unsigned want = oracle_uffd_access(w->oracle, p->pid, va, how == SC_STORE, there);
	unsigned got = r->kind == SC_R_UFFD  ? ORACLE_UFFD_WAITS | w->uffd_flags
		       : r->kind == SC_R_BUS ? ORACLE_UFFD_BUS
					     : 0;

	/* Of the page: an access is to where it begins, so that the byte's is the same. */
	if (want == got && (r->kind != SC_R_UFFD || w->uffd_address == va))
		return true;
	if (want == got)
		return run_fail(w,
			"expected a userfaultfd to be told of the access to 0x%llx, found 0x%llx",
			(unsigned long long)va, (unsigned long long)w->uffd_address);
	run_fail(w,
		"expected a userfaultfd to make %u of the access to 0x%llx, found %u "
		"(8: waits; message: 1 write, 2 uffd-wp, 4 minor; 16: SIGBUS)",
		want, (unsigned long long)va, got);
	run_show_entries(w, p, va);
	return false;
}

static bool agrees(struct run_world *w, struct run_process *p, enum sc_call_id how, uint64_t va,
	uint8_t there, const struct run_result *r)
{
	enum oracle_signal want = oracle_access(w->oracle, p->pid, va,
		how == SC_STORE  ? ORACLE_WRITE
		: how == SC_EXEC ? ORACLE_EXEC
				 : ORACLE_READ);
	enum oracle_signal got = r->kind == SC_R_SEGV  ? ORACLE_SEGV
				 : r->kind == SC_R_BUS ? ORACLE_BUS
						       : ORACLE_OK;

	if (how == SC_STORE &&
		(want == ORACLE_BUS ||
			(want == ORACLE_OK && (r->kind == SC_R_NOMEM || r->kind == SC_R_UFFD ||
						      r->kind == SC_R_BUS))))
		oracle_store_found_none(w->oracle, p->pid, va);
	if (want == ORACLE_OK && r->kind != SC_R_NOMEM && r->kind != SC_R_SEGV)
		return waits_as_model(w, p, how, va, there, r);
	if (r->kind == SC_R_NOMEM || want == got || (want == ORACLE_EITHER && got != ORACLE_BUS))
		return true;
	run_fail(w, "expected %s at 0x%llx, as Linux has it, found %s", signal_name(want),
		(unsigned long long)va, signal_name(got));
	run_show_entries(w, p, va);
	return false;
}

bool run_access_pages(struct run_world *w, struct run_process *p, enum sc_call_id how, uint64_t va,
	uint64_t nr, struct run_result *r)
{
	*r = (struct run_result){.kind = SC_R_VALUE};
	run_switch(w, p);
	for (uint64_t i = 0; i < nr; i++, va += w->env.page) {
		uint64_t value = 0;
		uint8_t there = run_uffd_there(w, p, va);

		if (how == SC_TOUCH) {
			machine_touch(va);
			continue;
		}
		if (how == SC_STORE)
			value = run_new_stamp(w, p, va);
		if (!run_access_page(w, p, how, va, false, &value, r) ||
			!agrees(w, p, how, va, there, r))
			return false;
		if (r->kind != SC_R_VALUE)
			return true;
		if (how == SC_STORE) {
			oracle_store(w->oracle, p->pid, va, value);
		} else if (how == SC_LOAD) {
			if (!run_check_value(w, p, va, value))
				return false;
			oracle_saw(w->oracle, p->pid, va, value);
			if (w->loaded)
				w->loaded[w->nloaded++] = value;
		}
	}
	return true;
}

bool run_access(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r)
{
	uint64_t va, nr;

	if (!run_eval_range(w, s->args, s->args->next, &va, &nr))
		return false;
	if (!run_access_pages(w, p, s->call->id, va, nr, r))
		return false;
	r->first = va;
	return true;
}
