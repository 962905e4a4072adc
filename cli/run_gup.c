// SPDX-License-Identifier: MIT
/* gup, gup_fast and unpin: pages that a driver keeps, as sets with a name. */
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"

struct run_pins {
	unsigned line;
	bool pin; /* else plain references */
	uint64_t nr;
	pf_pfn_t *pages;
	struct run_pins *next;
};

#define MAX_PAGES (UINT64_C(1) << 20)

static uint64_t add_pins(struct run_world *w, struct run_pins *set)
{
	uint64_t n = 1;

	for (struct run_pins *s = w->pins; s; s = s->next)
		n++;
	set->next = w->pins;
	w->pins = set;
	return n;
}

/* Handles count from 1 in the order of the calls; the list is newest first. */
static struct run_pins *find_pins(struct run_world *w, uint64_t handle)
{
	uint64_t n = 0;

	for (struct run_pins *s = w->pins; s; s = s->next)
		n++;
	for (struct run_pins *s = w->pins; s; s = s->next, n--)
		if (n == handle)
			return s;
	return NULL;
}

static void give_back(struct run_world *w, struct run_pins *s)
{
	if (s->pin)
		pf_unpin_user_pages(&w->sys, s->pages, s->nr);
	else
		pf_put_user_pages(&w->sys, s->pages, s->nr);
	s->nr = 0;
}

/* What is pinned for writing will be written, without a store of the CPU's. */
static void note_written(struct run_world *w, const uint64_t a[6], uint64_t nr)
{
	for (uint64_t i = 0; (unsigned)a[2] & PF_FOLL_WRITE && i < nr; i++)
		machine_note_store((a[0] & ~(w->env.page - 1)) + i * w->env.page);
}

bool run_gup_library(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const uint64_t a[6], uint64_t *handle, int64_t *n)
{
	struct run_pins *set;

	if (a[1] > MAX_PAGES || a[2] > UINT32_MAX)
		return run_verdict(w, RUN_UNSUPPORTED, "gup of so many pages, or with such flags");
	set = calloc(1, sizeof(*set));
	if (set)
		set->pages = calloc(a[1] + 1, sizeof(*set->pages));
	if (!set || !set->pages)
		abort();
	set->line = w->line;
	set->pin = a[2] & PF_FOLL_PIN;
	if (id == SC_GUP) {
		note_written(w, a, a[1]);
		*n = pf_gup(&p->mm, a[0], a[1], (unsigned)a[2], set->pages);
	} else {
		*n = pf_gup_fast_only(&p->mm, a[0], a[1], (unsigned)a[2], set->pages);
		note_written(w, a, *n > 0 ? (uint64_t)*n : 0);
	}
	set->nr = *n > 0 ? (uint64_t)*n : 0;
	*handle = add_pins(w, set);
	return true;
}

/*
 * How many come without a lock depends on what is mapped, which the model does not know; that is for the scenario to say. None may
 * be of memory that a gup with locks would refuse, but that what is mapped with PROT_WRITE alone can be read.
 */
static int64_t model_fast(
	struct oracle *o, const struct run_process *p, const uint64_t a[6], int64_t n)
{
	const unsigned foll = (unsigned)a[2] | PF_FOLL_NOFAULT;
	int64_t model = oracle_gup(o, p->pid, a[0], n > 0 ? 1 : 0, foll);

	if (n > 0 && model == -PF_EFAULT)
		model = oracle_gup(o, p->pid, a[0], 1, foll | PF_FOLL_WRITE);
	if (model == ORACLE_UNKNOWN)
		return n;
	return (model == -PF_EINVAL) != (n == -PF_EINVAL) || (n > 0 && model < 0) ? model : n;
}

int64_t run_gup_model(struct oracle *o, const struct run_process *p, enum sc_call_id id,
	const uint64_t a[6], int64_t n)
{
	int64_t model;

	if (id != SC_GUP)
		return model_fast(o, p, a, n);
	model = oracle_gup(o, p->pid, a[0], a[1], (unsigned)a[2]);
	/* Without faults it depends on what is mapped, which the model does not know. */
	return model == ORACLE_UNKNOWN ? n : model;
}

static bool gup(struct run_world *w, struct run_process *p, enum sc_call_id id, const uint64_t a[6],
	struct run_result *r)
{
	const uint64_t before = machine_counters.allocs;
	uint64_t handle;
	int64_t n, model;

	run_uffd_tell_model(w, p, a[0] & ~(w->env.page - 1), a[1] * w->env.page);
	if (!run_gup_library(w, p, id, a, &handle, &n))
		return false;
	model = run_gup_model(w->oracle, p, id, a, n);
	run_uffd_told_model(w);
	*r = (struct run_result){.kind = SC_R_VALUE, .value = (uint64_t)n, .handle = handle};
	/* Memory that runs out after some pages is told by their number: to the caller, the call is to be repeated. */
	if (n != model && before < w->fail_at && machine_counters.allocs >= w->fail_at &&
		(n == -PF_ENOMEM || (n >= 0 && n < model))) {
		give_back(w, find_pins(w, handle));
		*r = (struct run_result){.kind = SC_R_ERRNO, .err = PF_ENOMEM, .injected = true};
		return true;
	}
	if (n != model)
		return run_fail(w, "expected %lld, as Linux answers, found %lld", (long long)model,
			(long long)n);
	if (n < 0) {
		r->kind = SC_R_ERRNO;
		r->err = (int)-n;
	}
	return true;
}

bool run_pinned_page(struct run_world *w, uint64_t handle, uint64_t n, pf_pfn_t *pfn)
{
	const struct run_pins *s = find_pins(w, handle);

	if (!s || n >= s->nr)
		return false;
	*pfn = s->pages[n];
	return true;
}

bool run_pinned_word(struct run_world *w, uint64_t handle, uint64_t *word)
{
	pf_pfn_t pfn;

	if (!run_pinned_page(w, handle, 0, &pfn))
		return false;
	memcpy(word, pf_port_data(pfn * w->env.page, sizeof(*word), false), sizeof(*word));
	return true;
}

bool run_unpin(struct run_world *w, uint64_t handle, struct run_result *r)
{
	struct run_pins *s = find_pins(w, handle);

	if (!s)
		return run_verdict(w, RUN_BAD_INPUT,
			"unpin of what is no set of pins, expected $name of a gup");
	give_back(w, s);
	*r = (struct run_result){.kind = SC_R_VALUE};
	return true;
}

bool run_gup(struct run_world *w, struct run_process *p, enum sc_call_id id, const uint64_t a[6],
	struct run_result *r)
{
	run_switch(w, p);
	return id == SC_UNPIN ? run_unpin(w, a[0], r) : gup(w, p, id, a, r);
}

bool run_pins_end(struct run_world *w)
{
	unsigned line = 0;

	for (struct run_pins *s = w->pins; s; s = s->next)
		if (s->nr)
			line = s->line;
	run_pins_drop(w);
	return !line ||
	       run_fail(w, "expected all pins to be given back at the end, found those of line %u",
		       line);
}

void run_pins_drop(struct run_world *w)
{
	while (w->pins) {
		struct run_pins *s = w->pins;

		w->pins = s->next;
		free(s->pages);
		free(s);
	}
}
