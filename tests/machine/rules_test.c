/* SPDX-License-Identifier: MIT */
/*
 * Every rule of docs/RULES.md, broken by a list of calls written by hand, each with a twin that does the same thing
 * rightly. A list runs with many seeds: it must break its rule always (or, where hardware has to take part, for some
 * seed), and never another first; the twin must never break anything.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "breach.h"

#define SEEDS 48

/* The i-th list of all; NULL after the last. */
static const struct breach *breach(unsigned i)
{
	static const struct breach *const all[] = {breaches_blocks, breaches_lives, breaches_ad};

	for (unsigned a = 0; a < PF_ARRAY_SIZE(all); a++)
		for (const struct breach *b = all[a]; b->rule; b++)
			if (!i--)
				return b;
	return NULL;
}

static void every_rule_is_broken(void **state)
{
	(void)state;
	for (unsigned i = 0; breach(i); i++) {
		const struct breach *b = breach(i);
		unsigned broken = 0;

		for (uint64_t seed = 0; seed < SEEDS; seed++) {
			const char *rule;

			rig_start(b->format, b->features, seed);
			b->run(false);
			if (machine_violation())
				fail_msg("%s [%s], the right way, seed %u: %s", b->name,
					b->features, (unsigned)seed, machine_violation_text());
			rig_start(b->format, b->features, seed);
			b->run(true);
			rule = machine_violation();
			if (rule && strcmp(rule, b->rule))
				fail_msg("%s [%s], seed %u: not %s but %s", b->name, b->features,
					(unsigned)seed, b->rule, machine_violation_text());
			broken += rule != NULL;
		}
		if (b->sometimes ? !broken : broken != SEEDS)
			fail_msg("%s [%s]: broken for %u of %u seeds", b->name, b->features, broken,
				SEEDS);
	}
	machine_stop();
}

/* The rules, docs/RULES.md and the lists above name the same. */
static void rules_are_closed(void **state)
{
	static char doc[1 << 17];
	FILE *f = fopen(RULES_MD, "r");
	size_t n;

	(void)state;
	assert_non_null(f);
	n = fread(doc, 1, sizeof(doc) - 1, f);
	doc[n] = 0;
	fclose(f);
	for (const char *const *r = machine_rules(); *r; r++) {
		char row[32];
		const char *line, *end;
		unsigned lists = 0;

		snprintf(row, sizeof(row), "\n| %s |", *r);
		line = strstr(doc, row);
		if (!line)
			fail_msg("docs/RULES.md has no row for rule %s", *r);
		end = strchr(line + 1, '\n');
		for (unsigned i = 0; breach(i); i++) {
			char name[64];
			const char *at;

			if (strcmp(breach(i)->rule, *r))
				continue;
			lists++;
			snprintf(name, sizeof(name), "`%s`", breach(i)->name);
			at = strstr(line, name);
			if (!at || at > end)
				fail_msg("docs/RULES.md, rule %s, does not name %s", *r,
					breach(i)->name);
		}
		if (!lists)
			fail_msg("rule %s: no list breaks it", *r);
	}
	/* And the page has no rule that the judge does not know. */
	for (const char *p = doc; (p = strstr(p, "\n| ")); p++) {
		char name[16];
		bool known = false;

		if (sscanf(p + 3, "%15[A-Z0-9] |", name) != 1 || strlen(name) > 4 ||
			p[3 + strlen(name)] != ' ')
			continue;
		for (const char *const *r = machine_rules(); *r; r++)
			known |= !strcmp(*r, name);
		if (!known)
			fail_msg("docs/RULES.md has a row for %s, which is no rule", name);
	}
}

/* A higher BBM level allows what a lower one forbids. */
static void no_abort_needs_no_flush(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		uint64_t f;

		rig_start(ARM, NOABORT, seed);
		/* Repainted with a gap, and no flush. */
		f = rig_folio(16);
		lock();
		put16(0, f, A_RDO | A_CONT);
		clear16(0);
		put16(0, f, A_RDO);
		flush(0, 16);
		unlock();
		/* In place, without a gap: contiguous beside not, both of one frame run. */
		f = rig_folio(16);
		lock();
		put16(16, f, A_RDO | A_CONT);
		for (unsigned i = 16; i < 32; i++)
			cas(i, (f + VA(i - 16)) | A_RDO | A_CONT, (f + VA(i - 16)) | A_RDO);
		unlock();
		machine_check_quiescent(ASID);
		if (machine_violation())
			fail_msg("%s", machine_violation_text());
	}
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_is_broken),
		cmocka_unit_test(rules_are_closed),
		cmocka_unit_test(no_abort_needs_no_flush),
	};

	return cmocka_run_group_tests_name("machine rules", tests, NULL, NULL);
}
