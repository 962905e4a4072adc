// SPDX-License-Identifier: MIT
/*
 * ioctl(PAGEMAP_SCAN): its structure as strace prints it, {start=…, end=…, …} => {walk_end=…, vec=[{start=…, …}]}; what
 * stands behind the arrow is compared, as far as it does. Which pages are there the model does not know.
 */
#include <string.h>

#include "cli/run.h"
#include "mm/proc.h"

#define REGIONS 256u

static const struct sc_value *field(const struct sc_value *group, const char *name)
{
	for (const struct sc_value *v = group ? group->items : NULL; v; v = v->next)
		if (v->kind == SC_V_FIELD && !strcmp(v->text, name))
			return v->items;
	return NULL;
}

/* 0 if it is not there. */
static bool read_field(
	struct run_world *w, const struct sc_value *group, const char *name, uint64_t *out)
{
	const struct sc_value *v = field(group, name);

	*out = 0;
	return !v || run_eval(w, v, out);
}

static bool read_scan(struct run_world *w, const struct sc_value *in, struct pf_pm_scan *arg)
{
	struct {
		const char *name;
		uint64_t *to;
	} fields[] = {
		{"flags", &arg->flags},
		{"start", &arg->start},
		{"end", &arg->end},
		{"vec_len", &arg->vec_len},
		{"max_pages", &arg->max_pages},
		{"category_inverted", &arg->category_inverted},
		{"category_mask", &arg->category_mask},
		{"category_anyof_mask", &arg->category_anyof_mask},
		{"return_mask", &arg->return_mask},
	};

	for (size_t i = 0; i < PF_ARRAY_SIZE(fields); i++)
		if (!read_field(w, in, fields[i].name, fields[i].to))
			return false;
	if (arg->vec_len > REGIONS)
		return run_verdict(w, RUN_UNSUPPORTED, "so many regions");
	return true;
}

static bool same(struct run_world *w, const struct sc_value *group, const char *name, uint64_t is,
	const char *of)
{
	uint64_t want;

	if (!field(group, name))
		return true;
	if (!read_field(w, group, name, &want))
		return false;
	return want == is || run_fail(w, "expected %s%s 0x%llx, found 0x%llx", of, name,
				     (unsigned long long)want, (unsigned long long)is);
}

static bool check_out(struct run_world *w, const struct sc_value *out, const struct pf_pm_scan *arg,
	const struct pf_page_region *vec, int64_t nr)
{
	const struct sc_value *list = field(out, "vec");
	const struct sc_value *v = list ? list->items : NULL;

	if (!same(w, out, "walk_end", arg->walk_end, ""))
		return false;
	for (int64_t i = 0; list && (v || i < nr); i++, v = v->next) {
		if (!v || i >= nr)
			return run_fail(w, "expected %s regions, found %lld",
				v ? "more" : "no more", (long long)nr);
		if (!same(w, v, "start", vec[i].start, "a region's ") ||
			!same(w, v, "end", vec[i].end, "a region's ") ||
			!same(w, v, "categories", vec[i].categories, "a region's "))
			return false;
	}
	return true;
}

/*
 * What was told is protected; without regions all is, where the model can say so. So is what lies before a mapping that
 * refused: `vec` was empty before, so that what was told of it by then is seen.
 */
bool run_scanned(struct run_world *w, struct run_process *p, const struct pf_pm_scan *arg,
	const struct pf_page_region *vec, int64_t nr)
{
	if (!(arg->flags & PF_PM_SCAN_WP_MATCHING) || (nr < 0 && nr != -PF_EPERM))
		return true;
	if (!arg->vec_len && (arg->category_mask || arg->category_anyof_mask))
		return run_verdict(w, RUN_UNSUPPORTED, "categories without regions");
	if (!arg->vec_len)
		oracle_uffd_scanned(w->oracle, p->pid, arg->start, arg->end, nr < 0);
	for (uint64_t i = 0; nr < 0 ? i < arg->vec_len && vec[i].end : i < (uint64_t)nr; i++)
		oracle_uffd_scanned(w->oracle, p->pid, vec[i].start, vec[i].end, false);
	return true;
}

bool run_scan(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r)
{
	const struct sc_value *a = s->args->next->next;
	const struct sc_value *in = a && a->kind == SC_V_INOUT ? a->items : a;
	const struct sc_value *out = a && a->kind == SC_V_INOUT ? a->items->next : NULL;
	struct pf_page_region vec[REGIONS] = {0};
	struct pf_pm_scan arg;
	uint64_t allocs = machine_counters.allocs;
	int64_t nr;

	if (!in || in->kind != SC_V_GROUP)
		return run_verdict(w, RUN_BAD_INPUT,
			"this argument of PAGEMAP_SCAN, expected {start=…, end=…, …}");
	if (!read_scan(w, in, &arg))
		return false;
	run_switch(w, p);
	nr = pf_pagemap_scan(&p->mm, &arg, arg.vec_len ? vec : NULL);
	*r = (struct run_result){.kind = SC_R_VALUE, .value = (uint64_t)nr};
	if (nr < 0)
		*r = (struct run_result){.kind = SC_R_ERRNO,
			.err = (int)-nr,
			.injected = nr == -PF_ENOMEM && allocs < w->fail_at &&
				    machine_counters.allocs >= w->fail_at};
	if (!run_scanned(w, p, &arg, vec, nr))
		return false;
	/* Which pages a fault brought depends on what could be allocated. */
	return nr < 0 || w->fail_at || check_out(w, out, &arg, vec, nr);
}
