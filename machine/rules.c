/* SPDX-License-Identifier: MIT */
/*
 * Names of the rules, and the report of the first one broken.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "judge.h"

const char *const mj_rule_name[MJ_NRULES] = {
#define X(name, text) #name,
	MJ_RULES(X)
#undef X
};

const char *const mj_rule_text[MJ_NRULES] = {
#define X(name, text) text,
	MJ_RULES(X)
#undef X
};

const char *const mj_kind_name[MJ_KINDS] = {
	"load", "store", "release", "xchg", "cas", "casfail", "walk-a", "walk-d"};

static char report[8192];
static enum mj_rule broken = MJ_NRULES;

const char *machine_violation(void)
{
	return broken == MJ_NRULES ? NULL : mj_rule_name[broken];
}

const char *machine_violation_text(void)
{
	return report;
}

void machine_forget_violation(void)
{
	broken = MJ_NRULES;
	report[0] = 0;
}

#if PF_JUDGE

__attribute__((format(printf, 2, 3))) static void add(size_t *n, const char *fmt, ...)
{
	va_list ap;
	int len;

	if (*n >= sizeof(report) - 1)
		return;
	va_start(ap, fmt);
	len = vsnprintf(report + *n, sizeof(report) - *n, fmt, ap);
	va_end(ap);
	*n = len < 0 ? *n : pf_min(*n + (size_t)len, sizeof(report) - 1);
}

static void add_entry(size_t *n, uint64_t raw, const struct mj_table *t, unsigned idx)
{
	struct mmu_entry e;

	add(n, " %016llx", (unsigned long long)raw);
	if (!mj_table_known(t))
		return;
	mj_decode(t, idx, raw, &e);
	if (e.empty)
		add(n, " empty");
	else if (e.table)
		add(n, " table %llx", (unsigned long long)e.pa);
	else if (e.leaf || e.inactive)
		add(n, " %s%llx%s%s%s%s%s%s%s", e.inactive ? "inactive " : "",
			(unsigned long long)e.pa, e.cont ? " cont" : "", e.r ? " r" : "",
			e.w       ? " w"
			: e.dbm   ? " w(clean)"
			: e.wperm ? " w(no D)"
				  : "",
			e.x ? " x" : "", e.accessed ? " A" : "", e.dirty ? " D" : "",
			e.global ? " global" : "");
	else
		add(n, " not valid");
}

static void add_history(size_t *n, uint64_t slot_pa)
{
	struct mj_table *t = mj_table_at(slot_pa);
	struct mj_slot *s = mj_slot_of(slot_pa);
	unsigned idx;

	if (!t || !s)
		return;
	idx = (unsigned)(slot_pa - t->pa) / 8;
	add(n, "entry %llx, slot %u of table %llx", (unsigned long long)slot_pa, idx,
		(unsigned long long)t->pa);
	if (mj_table_known(t))
		add(n, ", level %u, asid %u, va %llx", t->level, t->asid,
			(unsigned long long)mj_slot_va(t, idx));
	add(n, "\n  now");
	add_entry(n, *mj_slot_ptr(t, idx), t, idx);
	add(n, "\n");
	if (!s->hist)
		return;
	if (s->hist->n > MJ_HISTORY)
		add(n, "  (%llu earlier events)\n", (unsigned long long)(s->hist->n - MJ_HISTORY));
	for (uint64_t i = s->hist->n > MJ_HISTORY ? s->hist->n - MJ_HISTORY : 0; i < s->hist->n;
		i++) {
		const struct mj_event *ev = &s->hist->ev[i % MJ_HISTORY];

		add(n, "  #%llu cpu %u %s", (unsigned long long)ev->seq, ev->cpu,
			mj_kind_name[ev->kind]);
		add_entry(n, ev->old, t, idx);
		if (ev->kind != MJ_LOAD && ev->kind != MJ_CASFAIL) {
			add(n, " ->");
			add_entry(n, ev->new_raw, t, idx);
		}
		add(n, "\n");
	}
}

void mj_violate(enum mj_rule rule, uint64_t slot_pa, const char *fmt, ...)
{
	char what[512];
	size_t n = 0;
	va_list ap;

	if (broken != MJ_NRULES)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	broken = rule;
	report[0] = 0;
	add(&n, "rule %s (%s), cpu %u, event #%llu: %s\n", mj_rule_name[rule], mj_rule_text[rule],
		mj.cpu, (unsigned long long)mj.seq, what);
	if (slot_pa)
		add_history(&n, slot_pa);
	mj_log("violation rule=%s slot=%llx %s", mj_rule_name[rule], (unsigned long long)slot_pa,
		what);
}

#endif
