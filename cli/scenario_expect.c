// SPDX-License-Identifier: MIT
/* What follows `expect`, `always`, `during`, `sometimes`: predicates, counters, maps. */
#include <string.h>

#include "cli/scenario_parse.h"

static void read_quantifier(struct sc_line *l, struct sc_stmt *s)
{
	if (sc_peek_word(l, "not")) {
		s->quant = SC_NOT;
		sc_word(l);
	} else if (sc_peek_word(l, "some")) {
		s->quant = SC_SOME;
		sc_word(l);
	}
}

static void read_arguments(struct sc_parser *ps, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;
	struct sc_value **tail = &s->args;

	s->pid2 = s->pid;
	do {
		if (s->pred->id == SC_P_SAME_PAGE && s->nargs == 1) {
			unsigned pid = sc_read_pid(ps);

			if (pid)
				s->pid2 = pid;
		}
		*tail = sc_value(l);
		tail = &(*tail)->next;
		s->nargs++;
	} while (sc_accept(l, ","));
	sc_expect(l, ")", "after the arguments");
	if (s->nargs < s->pred->min_args || s->nargs > s->pred->max_args)
		sc_fail(l, "%s of %u values, expected %u to %u", s->pred->name, s->nargs,
			s->pred->min_args, s->pred->max_args);
}

static const struct sc_pred_desc *pred_of(struct sc_line *l, const char *w)
{
	const struct sc_pred_desc *p = sc_find_pred(w);

	if (!p)
		sc_fail(l, "unknown predicate '%s', expected one such as present, folded, writable",
			w);
	if (!p->built)
		sc_unsupported(l, w);
	return p;
}

void sc_read_pred(struct sc_parser *ps, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;

	read_quantifier(l, s);
	const char *w = sc_word(l);

	if (!w)
		sc_fail(l, "%s, expected a predicate", sc_found(l));
	s->pred = pred_of(l, w);
	sc_expect(l, "(", "after a predicate");
	read_arguments(ps, s);
}

static void read_counter(struct sc_parser *ps, struct sc_stmt *s, const char *w)
{
	static const struct {
		const char *text;
		enum sc_op op;
	} ops[] = {{"==", SC_EQ}, {"!=", SC_NE}, {"<=", SC_LE}, {"<", SC_LT}, {">=", SC_GE},
		{">", SC_GT}};
	struct sc_line *l = &ps->l;
	int c = sc_find_counter(w);

	if (c < 0)
		sc_fail(l, "unknown expectation '%s', expected a predicate, maps, or a counter", w);
	if (c >= SC_C_BUILT)
		sc_unsupported(l, w);
	s->kind = SC_S_EXPECT_COUNTER;
	s->counter = (enum sc_counter_id)c;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (sc_accept(l, ops[i].text)) {
			s->op = ops[i].op;
			s->number = sc_sum(l);
			return;
		}
	}
	sc_fail(l, "%s after a counter, expected ==, !=, <, <=, > or >=", sc_found(l));
}

void sc_read_expect(struct sc_parser *ps, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;

	if (sc_peek_word(l, "not") || sc_peek_word(l, "some")) {
		s->kind = SC_S_EXPECT_PRED;
		sc_read_pred(ps, s);
		return;
	}
	const char *w = sc_word(l);

	if (!w)
		sc_fail(l, "%s after expect, expected a predicate, maps, or a counter",
			sc_found(l));
	sc_skip(l);
	if (l->p == l->end || *l->p != '(') {
		read_counter(ps, s, w);
		return;
	}
	sc_expect(l, "(", "after a predicate");
	if (!strcmp(w, "maps")) {
		s->kind = SC_S_EXPECT_MAPS;
		s->args = sc_value(l);
		sc_expect(l, ",", "between maps' address and length");
		s->args->next = sc_value(l);
		s->nargs = 2;
		sc_expect(l, ")", "after maps' length");
		return;
	}
	s->kind = SC_S_EXPECT_PRED;
	s->pred = pred_of(l, w);
	read_arguments(ps, s);
}
