// SPDX-License-Identifier: MIT
/* Calls: `$a = name(args) = results`, as strace prints them. */
#include <stdio.h>
#include <string.h>

#include "cli/scenario_parse.h"

static void skip_parentheses(struct sc_line *l)
{
	if (!sc_accept(l, "("))
		return;
	while (l->p < l->end && *l->p != ')')
		l->p++;
	sc_expect(l, ")", "after strace's remark");
}

static struct sc_result *read_signal(struct sc_line *l, struct sc_result *r, const char *w)
{
	r->kind = !strcmp(w, "SIGSEGV") ? SC_R_SEGV : !strcmp(w, "SIGBUS") ? SC_R_BUS : SC_R_UFFD;
	if (sc_peek_word(l, "at")) {
		sc_word(l);
		r->value = sc_sum(l);
	}
	return r;
}

static struct sc_result *read_errno(struct sc_line *l, struct sc_result *r)
{
	const char *w = sc_word(l);

	if (!w)
		sc_fail(l, "%s after -1, expected the name of an error, such as EINVAL",
			sc_found(l));
	r->kind = SC_R_ERRNO;
	r->err = sc_find_errno(w);
	if (!r->err && !l->lenient)
		sc_fail(l, "unknown error '%s', expected a name such as EINVAL", w);
	return r;
}

static bool accept_minus_one(struct sc_line *l)
{
	const char *p = l->p;

	if (sc_accept(l, "-1") && (l->p == l->end || *l->p == ' ' || *l->p == '\t'))
		return true;
	l->p = p;
	return false;
}

/* 0x7f00 | -1 EAGAIN (Try again) | SIGSEGV at $a + 4K | ENOMEM | ? */
static struct sc_result *read_result(struct sc_line *l, const struct sc_call_desc *call)
{
	struct sc_result *r = sc_alloc(&l->file->arena, sizeof(*r));

	sc_skip(l);
	if (sc_accept(l, "?")) {
		r->kind = SC_R_ANY;
		sc_word(l);
		return r;
	}
	if (call->access) {
		if (sc_peek_word(l, "SIGSEGV") || sc_peek_word(l, "SIGBUS") ||
			sc_peek_word(l, "USERFAULT"))
			return read_signal(l, r, sc_word(l));
		if (sc_peek_word(l, "ENOMEM")) {
			sc_word(l);
			r->kind = SC_R_NOMEM;
			return r;
		}
		uint64_t n;

		if (!sc_integer(l, &n) || n)
			sc_fail(l,
				"%s as the result of an access, expected 0, SIGSEGV, SIGBUS, "
				"USERFAULT or ENOMEM",
				sc_found(l));
		r->kind = SC_R_VALUE;
		r->value = sc_alloc(&l->file->arena, sizeof(*r->value));
		return r;
	}
	if (accept_minus_one(l))
		return read_errno(l, r);
	r->kind = SC_R_VALUE;
	r->value = sc_sum(l);
	return r;
}

static void read_results(struct sc_line *l, struct sc_stmt *s)
{
	struct sc_result **tail = &s->results;

	if (!sc_accept(l, "="))
		return;
	do {
		*tail = read_result(l, s->call);
		skip_parentheses(l);
		tail = &(*tail)->next;
	} while (sc_accept(l, "|"));
}

static bool constant_of(struct sc_value *v, uint64_t *n)
{
	static const struct sc_env none;
	const char *why;

	return v && sc_constant(v) && sc_eval(v, &none, n, &why);
}

static struct sc_value *arg(struct sc_stmt *s, unsigned i)
{
	struct sc_value *v = s->args;

	while (v && i--)
		v = v->next;
	return v;
}

static bool is_made(const struct sc_file *file, const char *name)
{
	for (const struct sc_made_file *f = file->settings.files; f; f = f->next)
		if (!strcmp(f->name, name))
			return true;
	return false;
}

/*
 * The file that a call of a log maps: the one of that path, or, where strace knew no path, one of its own.
 */
static void make_logged_file(struct sc_line *l, struct sc_value *fd)
{
	char name[32];

	if (fd->kind != SC_V_FILE) {
		snprintf(name, sizeof(name), "descriptor in line %u", l->line);
		fd->kind = SC_V_FILE;
		fd->text = sc_strndup(&l->file->arena, name, strlen(name));
		sc_note(l, "assumed", "a file of its own for a descriptor without a path");
	}
	sc_made_file_add(l, fd->text, NULL);
}

/* What a call's constants ask for that is not built. What only shows when it is played is refused then. */
static void check_built(struct sc_line *l, struct sc_stmt *s)
{
	uint64_t n;

	/* An ioctl is many calls. */
	if (!strcmp(s->name, "ioctl") && s->nargs == 3 && constant_of(arg(s, 1), &n) &&
		n == 0xc0606610)
		s->call = sc_find_call("ioctl(PAGEMAP_SCAN)");
	if (s->call->id == SC_OTHER) {
		sc_unsupported(l, s->name);
	} else if (s->call->id == SC_IOCTL) {
		/* Of other drivers', of which a log has many, no memory is changed. */
		if (constant_of(arg(s, 1), &n) && (n >> 8 & 0xff) != 0xaa)
			sc_unsupported(l, "ioctl other than userfaultfd's");
	} else if (s->call->id == SC_MMAP) {
		if (!constant_of(arg(s, 3), &n))
			return;
		if (l->lenient && !(n & 0x20))
			make_logged_file(l, arg(s, 4));
		if (arg(s, 4)->kind == SC_V_FILE && !is_made(l->file, arg(s, 4)->text))
			sc_unsupported(l, "mmap of a file");
		else if (n & 0x40000)
			sc_unsupported(l, "MAP_HUGETLB");
	} else if ((s->call->id == SC_MADVISE && constant_of(arg(s, 2), &n)) ||
		   (s->call->id == SC_PROCESS_MADVISE && constant_of(arg(s, 3), &n))) {
		/* NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED; FREE, REMOVE, DONTFORK, DOFORK, MERGEABLE, UNMERGEABLE; HUGEPAGE, NOHUGEPAGE,
		 * DONTDUMP, DODUMP, WIPEONFORK, KEEPONFORK, COLD, PAGEOUT, POPULATE_READ, POPULATE_WRITE, DONTNEED_LOCKED,
		 * COLLAPSE */
		static const uint64_t built = 0x1f | 0x3f << 8 | 0xfff << 14;
		const char *name = sc_advice_name(n);

		/* HWPOISON, SOFT_OFFLINE, GUARD_INSTALL, GUARD_REMOVE */
		if (name && (n < 100 || n > 103) && (n > 63 || !(built >> n & 1)))
			sc_unsupported(l, name);
	}
}

/* Which processes there are is known without playing: forks say what their child is called. */
static void follow_processes(struct sc_parser *ps, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;
	bool child = !s->results;
	uint64_t n = 0;

	if (s->call->id == SC_EXIT_GROUP) {
		sc_pid_remove(ps, s->pid);
		return;
	}
	if (s->call->id != SC_FORK)
		return;
	for (struct sc_result *r = s->results; r; r = r->next) {
		if (r->kind == SC_R_ANY)
			child = true;
		if (r->kind != SC_R_VALUE)
			continue;
		if (n || !constant_of(r->value, &n) || !n || n > INT32_MAX)
			sc_fail(l, "the child's number, expected one number from 1 to %d",
				INT32_MAX);
		if (sc_pid_alive(ps, (unsigned)n))
			sc_fail(l, "process %u is there already, expected a number that is free",
				(unsigned)n);
		child = true;
	}
	if (!child)
		return;
	s->child = n ? (unsigned)n : sc_pid_lowest_free(ps);
	sc_pid_add(ps, s->child);
}

static void read_arguments(struct sc_line *l, struct sc_stmt *s)
{
	struct sc_value **tail = &s->args;

	sc_expect(l, "(", "after the name of a call");
	if (!sc_accept(l, ")")) {
		do {
			*tail = sc_value(l);
			tail = &(*tail)->next;
			s->nargs++;
		} while (sc_accept(l, ","));
		sc_expect(l, ")", "after the arguments");
	}
	if (s->nargs < s->call->min_args || s->nargs > s->call->max_args) {
		if (s->call->min_args == s->call->max_args)
			sc_fail(l, "%s with %u arguments, expected %u", s->name, s->nargs,
				s->call->min_args);
		sc_fail(l, "%s with %u arguments, expected %u to %u", s->name, s->nargs,
			s->call->min_args, s->call->max_args);
	}
}

static unsigned sc_new_var(struct sc_file *f, const char *name)
{
	unsigned n = f->nvars;

	if (!(n & (n - 1))) {
		const char **vars = sc_alloc(&f->arena, (n ? 2 * n : 1) * sizeof(*vars));

		if (n)
			memcpy(vars, f->vars, n * sizeof(*vars));
		f->vars = vars;
	}
	f->vars[n] = name;
	return f->nvars++;
}

void sc_read_call(struct sc_parser *ps, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;
	const char *var = NULL;

	s->kind = SC_S_CALL;
	s->var = -1;
	if (sc_accept(l, "$")) {
		var = sc_word(l);
		if (!var)
			sc_fail(l, "%s after '$', expected a name", sc_found(l));
		if (!strcmp(var, "PMD") || !strcmp(var, "PUD"))
			sc_fail(l, "$%s is set, expected another name: it is a leaf's size", var);
		sc_expect(l, "=", "after the name that is set");
	}
	const char *begin = l->p;

	s->name = sc_word(l);
	if (!s->name)
		sc_fail(l, "%s, expected a call", sc_found(l));
	s->call = sc_find_call(s->name);
	if (!s->call) {
		l->p = begin;
		sc_fail(l,
			"unknown statement '%s', expected a call, expect, reset, threads, always, "
			"during, sometimes or explore",
			s->name);
	}
	read_arguments(l, s);
	read_results(l, s);
	check_built(l, s);
	follow_processes(ps, s);
	if (!var)
		return;
	/* From here on the name has a value; its own call could not use it yet. */
	for (unsigned i = 0; i < ps->file->nvars; i++)
		if (!strcmp(ps->file->vars[i], var))
			s->var = (int)i;
	if (s->var < 0)
		s->var = (int)sc_new_var(ps->file, var);
}
