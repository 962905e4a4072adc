// SPDX-License-Identifier: MIT
/* The lines that begin with @: what a scenario is played on. */
#include <string.h>

#include "cli/scenario_parse.h"

enum {
	SET_FORMAT = 1 << 0,
	SET_MEMORY = 1 << 1,
	SET_CPUS = 1 << 2,
	SET_FOLD = 1 << 3,
	SET_POLICY = 1 << 4,
	SET_SWAP = 1 << 5,
	SET_FAIL = 1 << 6,
};

static const char *word_of(struct sc_parser *ps, const char *what)
{
	const char *w = sc_word(&ps->l);

	if (!w)
		sc_fail(&ps->l, "%s, expected %s", sc_found(&ps->l), what);
	return w;
}

static void read_formats(struct sc_parser *ps)
{
	struct sc_settings *set = &ps->file->settings;
	const char *w = sc_chunk(&ps->l, "");

	if (!w)
		sc_fail(&ps->l, "no format, expected names joined by commas, or 'all'");
	set->formats = w;
	set->formats_line = ps->l.line;
}

static void read_needs(struct sc_parser *ps)
{
	const char *w = word_of(ps, "what the format must have, such as 'contiguous'");

	do {
		unsigned bit = sc_find_need(w);

		if (!bit)
			sc_fail(&ps->l,
				"unknown need '%s', expected contiguous, pmd_leaf, pud_leaf, "
				"pmd_contiguous, soft_dirty, shadow_stack, hw_ad, uffd_wp or "
				"special",
				w);
		ps->file->settings.needs |= bit;
	} while ((w = sc_word(&ps->l)));
}

static void read_fold(struct sc_parser *ps)
{
	const char *w = word_of(ps, "on, off or both");
	enum sc_fold *fold = &ps->file->settings.fold;

	if (!strcmp(w, "on"))
		*fold = SC_FOLD_ON;
	else if (!strcmp(w, "off"))
		*fold = SC_FOLD_OFF;
	else if (!strcmp(w, "both"))
		*fold = SC_FOLD_BOTH;
	else
		sc_fail(&ps->l, "unknown folding '%s', expected on, off or both", w);
}

static void read_policy(struct sc_parser *ps)
{
	const char *w = word_of(ps, "linux or watch");

	ps->file->settings.linux_policy = !strcmp(w, "linux");
	if (strcmp(w, "linux") && strcmp(w, "watch"))
		sc_fail(&ps->l, "unknown policy '%s', expected linux or watch", w);
}

static void read_thp(struct sc_parser *ps)
{
	struct sc_line *l = &ps->l;
	struct sc_thp **tail = &ps->file->settings.thp;

	while (*tail)
		tail = &(*tail)->next;
	do {
		struct sc_thp *t = sc_alloc(&ps->file->arena, sizeof(*t));
		bool enabled = sc_peek_word(l, "enabled");

		t->line = l->line;
		if (enabled)
			sc_word(l);
		else
			t->size = sc_sum(l);
		sc_expect(l, "=", "between a folio size and when it is used");
		const char *w = word_of(ps, "always, madvise, inherit or never");

		if (!strcmp(w, "always"))
			t->mode = SC_THP_ALWAYS;
		else if (!strcmp(w, "madvise"))
			t->mode = SC_THP_MADVISE;
		else if (!strcmp(w, "never"))
			t->mode = SC_THP_NEVER;
		else if (!strcmp(w, "inherit") && !enabled)
			t->mode = SC_THP_INHERIT;
		else
			sc_fail(l, "unknown mode '%s', expected always, madvise, %sor never", w,
				enabled ? "" : "inherit ");
		*tail = t;
		tail = &t->next;
	} while (!sc_at_end(l));
}

static void read_features(struct sc_parser *ps)
{
	struct sc_settings *set = &ps->file->settings;
	struct sc_line *l = &ps->l;
	const char *begin;

	sc_skip(l);
	begin = l->p;
	if (!sc_chunk(l, ""))
		sc_fail(l, "no feature, expected names such as hafdbs, bbml2, no-haf");
	while (sc_chunk(l, ""))
		;
	const char *old = set->features ? set->features : "";
	size_t a = strlen(old), b = (size_t)(l->p - begin);
	char *all = sc_alloc(&ps->file->arena, a + b + 2);

	memcpy(all, old, a);
	all[a] = ' ';
	memcpy(all + a + 1, begin, b);
	for (char *c = all; *c; c++)
		if (*c == '\t')
			*c = ' ';
	set->features = a ? all : all + 1;
	set->features_line = l->line;
}

static void read_fail(struct sc_parser *ps)
{
	struct sc_settings *set = &ps->file->settings;
	uint64_t n;

	if (sc_integer(&ps->l, &n)) {
		if (!n || n == UINT64_MAX)
			sc_fail(&ps->l, "allocations are counted from 1");
		set->fail = n;
		return;
	}
	const char *w = word_of(ps, "each, none, or a number");

	if (!strcmp(w, "each"))
		set->fail = SC_FAIL_EACH;
	else if (!strcmp(w, "none"))
		set->fail = SC_FAIL_NONE;
	else
		sc_fail(&ps->l, "unknown failure '%s', expected each, none, or a number", w);
}

bool sc_made_file_add(struct sc_line *l, const char *name, struct sc_value *size)
{
	struct sc_made_file **tail = &l->file->settings.files, *f;

	for (; *tail; tail = &(*tail)->next)
		if (!strcmp((*tail)->name, name))
			return false;
	f = sc_alloc(&l->file->arena, sizeof(*f));
	f->line = l->line;
	f->name = name;
	f->size = size;
	*tail = f;
	return true;
}

static void read_file(struct sc_parser *ps)
{
	const char *name = word_of(ps, "the file's name");

	if (!sc_made_file_add(&ps->l, name, sc_sum(&ps->l)))
		sc_fail(&ps->l, "a second file of the name '%s', expected another name", name);
	sc_file_add(ps, name);
}

static void read_dax(struct sc_parser *ps)
{
	sc_file_add(ps, word_of(ps, "the device's name"));
	sc_sum(&ps->l);
	sc_unsupported(&ps->l, "@dax");
}

static void once(struct sc_parser *ps, uint32_t bit, const char *name)
{
	if (ps->set_before & bit)
		sc_fail(&ps->l, "@%s a second time, expected it once", name);
	ps->set_before |= bit;
}

void sc_read_setting(struct sc_parser *ps)
{
	struct sc_settings *set = &ps->file->settings;
	struct sc_line *l = &ps->l;
	const char *w = word_of(ps, "the name of a setting after '@'");

	if (ps->calls_begun)
		sc_fail(l, "@%s after a statement, expected all settings before the first one", w);
	if (!strcmp(w, "format")) {
		once(ps, SET_FORMAT, w);
		read_formats(ps);
	} else if (!strcmp(w, "needs")) {
		read_needs(ps);
	} else if (!strcmp(w, "memory")) {
		once(ps, SET_MEMORY, w);
		set->memory = sc_sum(l);
		set->memory_line = l->line;
	} else if (!strcmp(w, "cpus")) {
		once(ps, SET_CPUS, w);
		set->cpus = sc_small_number(l, "the number of CPUs", 64);
		if (!set->cpus)
			sc_fail(l, "0 CPUs, expected 1 to 64");
	} else if (!strcmp(w, "fold")) {
		once(ps, SET_FOLD, w);
		read_fold(ps);
	} else if (!strcmp(w, "policy")) {
		once(ps, SET_POLICY, w);
		read_policy(ps);
	} else if (!strcmp(w, "thp")) {
		read_thp(ps);
	} else if (!strcmp(w, "feature")) {
		read_features(ps);
	} else if (!strcmp(w, "swap")) {
		once(ps, SET_SWAP, w);
		set->swap = sc_sum(l);
		set->swap_line = l->line;
	} else if (!strcmp(w, "file")) {
		read_file(ps);
	} else if (!strcmp(w, "dax")) {
		read_dax(ps);
	} else if (!strcmp(w, "fail")) {
		once(ps, SET_FAIL, w);
		read_fail(ps);
	} else {
		sc_fail(l,
			"unknown setting '@%s', expected @format, @needs, @memory, @cpus, @fold, "
			"@policy, @thp, @feature, @swap, @file, @dax or @fail",
			w);
	}
}
