// SPDX-License-Identifier: MIT
/* Values: reading them as strace prints them, and what they are worth. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/scenario_lex.h"

/* Braces inside braces; deeper than anything strace prints, shallow enough for any stack. */
#define SC_MAX_DEPTH 64

static struct sc_value *new_value(struct sc_line *l, enum sc_value_kind kind)
{
	struct sc_value *v = sc_alloc(&l->file->arena, sizeof(*v));

	v->kind = kind;
	return v;
}

static uint64_t scaled(struct sc_line *l, uint64_t n, unsigned shift)
{
	if (n > UINT64_MAX >> shift)
		sc_fail(l, "a number of 2^64 or more, expected a smaller one");
	return n << shift;
}

/* -y prints what a descriptor is after it: 3</lib/libc.so>. */
static struct sc_value *with_path(struct sc_line *l, struct sc_value *v)
{
	if (l->p == l->end || *l->p != '<' || (l->end - l->p > 1 && l->p[1] == '<'))
		return v;
	const char *s = ++l->p;

	while (l->p < l->end && *l->p != '>')
		l->p++;
	if (l->p == l->end)
		sc_fail(l, "a path that does not end, expected '>' after it");
	v->kind = SC_V_FILE;
	v->text = sc_strndup(&l->file->arena, s, (size_t)(l->p - s));
	l->p++;
	return v;
}

static struct sc_value *number(struct sc_line *l, uint64_t n)
{
	struct sc_value *v = new_value(l, SC_V_NUM);
	char u = l->p < l->end ? *l->p : 0;

	v->n = n;
	if (isalpha((unsigned char)u) || u == '_') {
		switch (u) {
		case 'K':
			v->n = scaled(l, n, 10);
			break;
		case 'M':
			v->n = scaled(l, n, 20);
			break;
		case 'G':
			v->n = scaled(l, n, 30);
			break;
		case 'P':
		case 'B':
			v->unit = u;
			break;
		default:
			sc_fail(l, "%s after a number, expected one of the units K, M, G, P, B",
				sc_found(l));
		}
		l->p++;
		if (l->p < l->end && (isalnum((unsigned char)*l->p) || *l->p == '_'))
			sc_fail(l, "%s after a unit, expected the end of the number", sc_found(l));
	}
	return with_path(l, v);
}

/* The text of a balanced group or call; the opening character has been taken. */
static const char *balanced(struct sc_line *l, char close)
{
	const char *s = l->p;
	char stack[SC_MAX_DEPTH];
	unsigned n = 0;

	stack[n++] = close;
	for (; l->p < l->end; l->p++) {
		char c = *l->p;

		if (c == '"') {
			for (l->p++; l->p < l->end && *l->p != '"'; l->p++)
				if (*l->p == '\\' && l->p + 1 < l->end)
					l->p++;
			if (l->p == l->end)
				break;
		} else if (c == '{' || c == '[' || c == '(') {
			if (n == SC_MAX_DEPTH)
				sc_fail(l, "brackets nested deeper than %d", SC_MAX_DEPTH);
			stack[n++] = c == '{' ? '}' : c == '[' ? ']' : ')';
		} else if (c == '}' || c == ']' || c == ')') {
			if (c != stack[n - 1])
				sc_fail(l, "'%c', expected '%c' first", c, stack[n - 1]);
			if (!--n) {
				const char *t = sc_strndup(&l->file->arena, s, (size_t)(l->p - s));

				l->p++;
				return t;
			}
		}
	}
	sc_fail(l, "the line ends here, expected '%c'", stack[n - 1]);
}

static bool at_field(struct sc_line *l)
{
	const char *s = l->p;

	while (s < l->end && (isalnum((unsigned char)*s) || *s == '_'))
		s++;
	return s > l->p && !isdigit((unsigned char)*l->p) && l->end - s > 1 && s[0] == '=' &&
	       s[1] != '=' && s[1] != '>';
}

/*
 * {a=1, b=[2, 3]}: fields that are values. In a log, whatever else strace puts into braces
 * ({WIFEXITED(s) && …}) is kept as text only.
 */
static struct sc_value *group(struct sc_line *l, char close)
{
	struct sc_value *v = new_value(l, SC_V_GROUP), **tail = &v->items;
	struct sc_line in = *l;
	struct sc_error err;
	jmp_buf fail;

	if (++l->depth > SC_MAX_DEPTH)
		sc_fail(l, "brackets nested deeper than %d", SC_MAX_DEPTH);
	v->text = balanced(l, close);
	l->depth--;
	/* [pid 2] is a process. */
	if (close == ']' && !strncmp(v->text, "pid ", 4))
		return v;
	in.end = in.p + strlen(v->text);
	in.depth = l->depth + 1;
	if (l->lenient) {
		/* A failure in here loses the fields, not the group. */
		in.err = &err;
		in.fail = &fail;
		if (setjmp(fail)) {
			v->items = NULL;
			return v;
		}
	}
	while (!sc_at_end(&in)) {
		if (sc_accept(&in, "...")) {
			sc_accept(&in, ",");
			continue;
		}
		*tail = sc_value(&in);
		tail = &(*tail)->next;
		if (!sc_at_end(&in))
			sc_expect(&in, ",", "between the members of a group");
	}
	return v;
}

static struct sc_value *string(struct sc_line *l)
{
	struct sc_value *v = new_value(l, SC_V_STRING);
	const char *s = l->p;

	while (l->p < l->end && *l->p != '"')
		l->p += *l->p == '\\' && l->p + 1 < l->end ? 2 : 1;
	if (l->p == l->end)
		sc_fail(l, "a string that does not end, expected '\"'");
	v->text = sc_strndup(&l->file->arena, s, (size_t)(l->p - s));
	l->p++;
	sc_accept(l, "...");
	return v;
}

static struct sc_value *name(struct sc_line *l, const char *w)
{
	struct sc_value *v = new_value(l, SC_V_NUM);

	v->text = w;
	if (sc_is_file(l, w)) {
		v->kind = SC_V_FILE;
		return v;
	}
	if (l->p < l->end && *l->p == '(' && l->lenient) {
		l->p++;
		v->kind = SC_V_GROUP;
		v->text = balanced(l, ')');
		return v;
	}
	if (!sc_find_constant(w, &v->n)) {
		if (!l->lenient)
			sc_fail(l, "unknown name '%s', expected a constant as strace prints it", w);
		sc_note(l, "warning: unknown name, taken as 0", w);
	}
	return with_path(l, v);
}

static struct sc_value *term(struct sc_line *l)
{
	uint64_t n;

	if (sc_accept(l, "\""))
		return string(l);
	if (sc_accept(l, "{"))
		return group(l, '}');
	if (sc_accept(l, "["))
		return group(l, ']');
	if (sc_accept(l, "$")) {
		const char *w = sc_word(l);
		struct sc_value *v = new_value(l, SC_V_VAR);

		if (!w)
			sc_fail(l, "%s after '$', expected a name", sc_found(l));
		if (!strcmp(w, "PMD"))
			v->n = SC_VAR_PMD;
		else if (!strcmp(w, "PUD"))
			v->n = SC_VAR_PUD;
		else
			v->n = sc_use_var(l, w);
		v->text = w;
		return v;
	}
	if (sc_integer(l, &n))
		return number(l, n);
	const char *w = sc_word(l);

	if (w)
		return name(l, w);
	sc_fail(l, "%s, expected a value", sc_found(l));
}

static struct sc_value *shifted(struct sc_line *l)
{
	struct sc_value *a = term(l);

	if (!sc_accept(l, "<<"))
		return a;
	struct sc_value *v = new_value(l, SC_V_SHIFT);

	v->items = a;
	a->next = term(l);
	return v;
}

struct sc_value *sc_sum(struct sc_line *l)
{
	bool negative = sc_accept(l, "-");
	struct sc_value *first = shifted(l), *v = NULL, **tail = NULL;

	first->negative = negative;
	for (;;) {
		bool plus = sc_accept(l, "+"), minus = !plus && sc_accept(l, "-");

		if (!v && (negative || plus || minus)) {
			v = new_value(l, SC_V_SUM);
			v->items = first;
			tail = &first->next;
		}
		if (!plus && !minus)
			return v ? v : first;
		*tail = shifted(l);
		(*tail)->negative = minus;
		tail = &(*tail)->next;
	}
}

static struct sc_value *joined(struct sc_line *l)
{
	struct sc_value *a = sc_sum(l), *v, **tail;

	if (!sc_accept(l, "|"))
		return a;
	v = new_value(l, SC_V_OR);
	v->items = a;
	tail = &a->next;
	do {
		*tail = sc_sum(l);
		tail = &(*tail)->next;
	} while (sc_accept(l, "|"));
	return v;
}

struct sc_value *sc_value(struct sc_line *l)
{
	struct sc_value *v, *f = NULL;

	sc_skip(l);
	if (at_field(l)) {
		f = new_value(l, SC_V_FIELD);
		f->text = sc_word(l);
		sc_expect(l, "=", "after a field's name");
	}
	v = joined(l);
	if (sc_accept(l, "=>")) {
		struct sc_value *io = new_value(l, SC_V_INOUT);

		io->items = v;
		v->next = joined(l);
		v = io;
	}
	if (!f)
		return v;
	f->items = v;
	return f;
}

/* ---- what they are worth ---- */

static bool eval_size(uint64_t n, uint64_t size, const char *none, uint64_t *out, const char **why)
{
	if (!size) {
		*why = none;
		return false;
	}
	if (n > UINT64_MAX / size) {
		*why = "the value is 2^64 or more";
		return false;
	}
	*out = n * size;
	return true;
}

static bool eval_var(uint64_t n, const struct sc_env *env, uint64_t *out, const char **why)
{
	if (n == SC_VAR_PMD)
		return eval_size(1, env->pmd, "this format has no $PMD", out, why);
	if (n == SC_VAR_PUD)
		return eval_size(1, env->pud, "this format has no $PUD", out, why);
	if (!env->vars) {
		*why = "a constant is needed here";
		return false;
	}
	*out = env->vars[n];
	return true;
}

bool sc_eval(const struct sc_value *v, const struct sc_env *env, uint64_t *out, const char **why)
{
	uint64_t a, b;

	switch (v->kind) {
	case SC_V_NUM:
		if (v->unit == 'P')
			return eval_size(v->n, env->page, "pages have no size here", out, why);
		if (v->unit == 'B')
			return eval_size(
				v->n, env->block, "this format has no contiguous blocks", out, why);
		*out = v->n;
		return true;
	case SC_V_VAR:
		return eval_var(v->n, env, out, why);
	case SC_V_SUM:
		*out = 0;
		for (const struct sc_value *i = v->items; i; i = i->next) {
			if (!sc_eval(i, env, &a, why))
				return false;
			*out += i->negative ? -a : a;
		}
		return true;
	case SC_V_OR:
		*out = 0;
		for (const struct sc_value *i = v->items; i; i = i->next) {
			if (!sc_eval(i, env, &a, why))
				return false;
			*out |= a;
		}
		return true;
	case SC_V_SHIFT:
		if (!sc_eval(v->items, env, &a, why) || !sc_eval(v->items->next, env, &b, why))
			return false;
		if (b > 63 || a > UINT64_MAX >> b) {
			*why = "the value is 2^64 or more";
			return false;
		}
		*out = a << b;
		return true;
	case SC_V_INOUT:
	case SC_V_FIELD:
		return sc_eval(v->items, env, out, why);
	case SC_V_FILE:
		*why = "a file is no number";
		return false;
	case SC_V_STRING:
		*why = "a string is no number";
		return false;
	case SC_V_GROUP:
		*why = "a group is no number";
		return false;
	}
	*why = "no value";
	return false;
}

bool sc_constant(const struct sc_value *v)
{
	if (v->kind == SC_V_VAR || (v->kind == SC_V_NUM && v->unit))
		return false;
	for (const struct sc_value *i = v->items; i; i = i->next)
		if (!sc_constant(i))
			return false;
	return true;
}

bool sc_parse_number(const char *text, uint64_t *out)
{
	uint64_t n = 0;
	unsigned shift = 0;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	for (end = (char *)text + (hex ? 2 : 0);
		hex ? isxdigit((unsigned char)*end) : isdigit((unsigned char)*end); end++) {
		unsigned c = (unsigned char)*end;
		unsigned d = isdigit((int)c) ? c - '0' : (unsigned)tolower((int)c) - 'a' + 10;

		if (n > (UINT64_MAX - d) / (hex ? 16 : 10))
			return false;
		n = n * (hex ? 16 : 10) + d;
	}
	if (*end == 'K' || *end == 'M' || *end == 'G') {
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
		end++;
	}
	if (*end || n > UINT64_MAX >> shift || (hex && !text[2]))
		return false;
	*out = n << shift;
	return true;
}
