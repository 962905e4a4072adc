// SPDX-License-Identifier: MIT
/* Lines: which kind of statement each is, whose it is, and the blocks that indented lines belong to. */
#include <stdlib.h>
#include <string.h>

#include "cli/scenario_parse.h"

/* ---- names and processes ---- */

struct sc_names {
	const char *name;
	struct sc_names *next;
};

struct sc_pids {
	unsigned pid;
	struct sc_pids *next;
};

void sc_file_add(struct sc_parser *ps, const char *name)
{
	struct sc_names *n = sc_alloc(&ps->file->arena, sizeof(*n));

	n->name = name;
	n->next = ps->files;
	ps->files = n;
}

static struct sc_parser *parser_of(struct sc_line *l)
{
	return (struct sc_parser *)((char *)l - offsetof(struct sc_parser, l));
}

bool sc_is_file(struct sc_line *l, const char *name)
{
	/* A line inside a group is a copy without a parser; descriptors do not stand in groups. */
	if (l->depth)
		return false;
	for (struct sc_names *n = parser_of(l)->files; n; n = n->next)
		if (!strcmp(n->name, name))
			return true;
	return false;
}

unsigned sc_use_var(struct sc_line *l, const char *name)
{
	for (unsigned i = 0; i < l->file->nvars; i++)
		if (!strcmp(l->file->vars[i], name))
			return i;
	sc_fail(l, "$%s has no value here, expected a name that an earlier line sets", name);
}

bool sc_pid_alive(struct sc_parser *ps, unsigned pid)
{
	for (struct sc_pids *p = ps->alive; p; p = p->next)
		if (p->pid == pid)
			return true;
	return false;
}

void sc_pid_add(struct sc_parser *ps, unsigned pid)
{
	struct sc_pids *p = sc_alloc(&ps->file->arena, sizeof(*p)), **at = &ps->alive;

	/* Ascending, so that the lowest free number is found in one pass. */
	while (*at && (*at)->pid < pid)
		at = &(*at)->next;
	p->pid = pid;
	p->next = *at;
	*at = p;
}

void sc_pid_remove(struct sc_parser *ps, unsigned pid)
{
	for (struct sc_pids **at = &ps->alive; *at; at = &(*at)->next) {
		if ((*at)->pid == pid) {
			*at = (*at)->next;
			return;
		}
	}
}

unsigned sc_pid_lowest_free(struct sc_parser *ps)
{
	unsigned n = 1;

	for (struct sc_pids *p = ps->alive; p && p->pid == n; p = p->next)
		n++;
	return n;
}

void sc_unsupported(struct sc_line *l, const char *name)
{
	if (l->file->unsupported_line)
		return;
	l->file->unsupported_line = l->line;
	l->file->unsupported = sc_strndup(&l->file->arena, name, strlen(name));
}

void sc_note(struct sc_line *l, const char *kind, const char *name)
{
	struct sc_note **at = &l->file->notes;

	while (*at && (strcmp((*at)->kind, kind) || strcmp((*at)->name, name)))
		at = &(*at)->next;
	if (!*at) {
		*at = sc_alloc(&l->file->arena, sizeof(**at));
		(*at)->kind = kind;
		(*at)->name = sc_strndup(&l->file->arena, name, strlen(name));
	}
	(*at)->nr++;
}

/* ---- lines ---- */

unsigned sc_small_number(struct sc_line *l, const char *what, unsigned max)
{
	uint64_t n;

	if (!sc_integer(l, &n))
		sc_fail(l, "%s, expected %s", sc_found(l), what);
	if (n > max)
		sc_fail(l, "%s is too large, expected at most %u", what, max);
	return (unsigned)n;
}

unsigned sc_read_pid(struct sc_parser *ps)
{
	struct sc_line *l = &ps->l;
	const char *p = l->p;

	if (!sc_accept(l, "[") || !sc_peek_word(l, "pid")) {
		l->p = p;
		return 0;
	}
	sc_word(l);
	unsigned pid = sc_small_number(l, "a process's number", INT32_MAX);

	sc_expect(l, "]", "after the process's number");
	if (!sc_pid_alive(ps, pid))
		sc_fail(l, "there is no process %u here, expected one that an earlier line made",
			pid);
	return pid;
}

struct sc_stmt *sc_new_stmt(struct sc_parser *ps, enum sc_stmt_kind kind)
{
	struct sc_stmt *s = sc_alloc(&ps->file->arena, sizeof(*s));

	s->kind = kind;
	s->line = ps->l.line;
	s->pid = ps->pid;
	s->cpu = -1;
	s->var = -1;
	s->text = sc_strndup(&ps->file->arena, ps->l.p, (size_t)(ps->l.end - ps->l.p));
	return s;
}

static void read_prefixes(struct sc_parser *ps, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;

	for (;;) {
		unsigned pid = sc_read_pid(ps);

		if (pid) {
			s->pid = pid;
			continue;
		}
		if (!sc_accept(l, "["))
			break;
		if (!sc_peek_word(l, "cpu"))
			sc_fail(l, "%s after '[', expected 'pid N]' or 'cpu K]'", sc_found(l));
		sc_word(l);
		s->cpu = (int)sc_small_number(l, "a CPU's number", 63);
		sc_expect(l, "]", "after the CPU's number");
		unsigned cpus = ps->file->settings.cpus;

		if ((unsigned)s->cpu >= cpus)
			sc_fail(l, "there is no CPU %d, expected 0 to %u (@cpus)", s->cpu,
				cpus - 1);
	}
	if (!sc_pid_alive(ps, s->pid))
		sc_fail(l, "process %u has exited, expected [pid N] with one that lives", s->pid);
}

static void read_explore(struct sc_parser *ps, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;

	struct sc_explore *e = &ps->file->explore;

	s->kind = SC_S_EXPLORE;
	e->line = l->line;
	while (!sc_at_end(l)) {
		const char *w = sc_word(l);

		if (!w || (strcmp(w, "preemptions") && strcmp(w, "choices") &&
				  strcmp(w, "random") && strcmp(w, "seed") && strcmp(w, "replay")))
			sc_fail(l,
				"%s, expected preemptions=N, choices=N, random=N, seed=N or "
				"replay=TOKEN",
				w ? w : sc_found(l));
		sc_expect(l, "=", "after what is bounded");
		if (!e->bounded && (*w == 'p' || *w == 'c')) {
			e->bounded = true;
			e->preemptions = e->choices = 0;
		}
		if (!strcmp(w, "preemptions"))
			e->preemptions = sc_small_number(l, "preemptions", SC_MOST_PREEMPTIONS);
		else if (!strcmp(w, "choices"))
			e->choices = sc_small_number(l, "choices", SC_MOST_PREEMPTIONS);
		else if (!strcmp(w, "replay")) {
			e->replay = sc_chunk(l, "");
			if (!e->replay)
				sc_fail(l, "%s, expected the token that a failure printed",
					sc_found(l));
		} else if (!sc_integer(l, !strcmp(w, "random") ? &e->random : &e->seed))
			sc_fail(l, "%s, expected a number", sc_found(l));
	}
}

/* always, sometimes and explore are about the threads block before them. */
static void needs_threads(struct sc_parser *ps, const char *word)
{
	if (!ps->file->threads)
		sc_fail(&ps->l, "%s, expected it after a threads block", word);
}

static void read_statement(struct sc_parser *ps, struct sc_stmt *s)
{
	static const struct {
		const char *word;
		enum sc_stmt_kind kind;
	} kinds[] = {
		{"always", SC_S_ALWAYS}, {"during", SC_S_DURING}, {"sometimes", SC_S_SOMETIMES}};
	struct sc_line *l = &ps->l;

	read_prefixes(ps, s);
	if (sc_peek_word(l, "expect")) {
		if (s->cpu >= 0)
			sc_fail(l, "[cpu %d] before expect, expected it before a call", s->cpu);
		sc_word(l);
		sc_read_expect(ps, s);
	} else if (sc_peek_word(l, "reset")) {
		sc_word(l);
		s->kind = SC_S_RESET;
	} else if (sc_peek_word(l, "threads")) {
		if (ps->threads_seen)
			sc_fail(l, "a second threads block, expected one in a file");
		ps->threads_seen = true;
		sc_word(l);
		s->kind = SC_S_THREADS;
		ps->file->threads = s;
		ps->file->explore.preemptions = 2;
		ps->file->explore.choices = 2;
	} else if (sc_peek_word(l, "explore")) {
		needs_threads(ps, "explore");
		sc_word(l);
		read_explore(ps, s);
	} else {
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			if (sc_peek_word(l, kinds[i].word)) {
				needs_threads(ps, kinds[i].word);
				sc_word(l);
				s->kind = kinds[i].kind;
				sc_read_pred(ps, s);
				return;
			}
		}
		sc_read_call(ps, s);
	}
}

static uint64_t hex(struct sc_line *l, const char *what)
{
	const char *w = sc_chunk(l, "-");
	char *end;

	if (!w || strlen(w) > 16 || strspn(w, "0123456789abcdefABCDEF") != strlen(w))
		sc_fail(l, "'%s' as %s, expected hexadecimal digits", w ? w : "", what);
	return strtoull(w, &end, 16);
}

/* "10000000-10001000 rw-p 00000000", and what /proc/PID/maps prints after it. */
static void read_maps_line(struct sc_parser *ps, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;
	struct sc_maps_line *m = sc_alloc(&ps->file->arena, sizeof(*m)), **tail = &s->maps;

	m->line = l->line;
	m->start = hex(l, "the start of a mapping");
	sc_expect(l, "-", "between the start and the end of a mapping");
	m->end = hex(l, "the end of a mapping");
	const char *w = sc_chunk(l, "");

	if (!w || strlen(w) != 4 || !strchr("r-", w[0]) || !strchr("w-", w[1]) ||
		!strchr("x-", w[2]) || !strchr("ps", w[3]))
		sc_fail(l, "'%s' as permissions, expected four letters such as rw-p", w ? w : "");
	memcpy(m->perms, w, 4);
	m->offset = hex(l, "the offset of a mapping");
	l->p = l->end;
	while (*tail)
		tail = &(*tail)->next;
	*tail = m;
}

static void use_cpu(struct sc_parser *ps, struct sc_stmt *s, unsigned cpu)
{
	s->cpu = (int)cpu;
	if (cpu >= ps->file->settings.cpus)
		ps->file->settings.cpus = cpu + 1;
}

/* A thread's CPU is the one that it is named after; others' are found when all are known. */
static void place_thread(struct sc_parser *ps, const struct sc_stmt *block, struct sc_stmt *s)
{
	struct sc_line *l = &ps->l;
	unsigned nr = 0;
	char *end;
	unsigned long named = strtoul(s->thread, &end, 10);

	for (const struct sc_stmt *b = block->body; b; b = b->next) {
		nr += b->first_line;
		if (strcmp(b->thread, s->thread)) {
			if (!*end && b->cpu == (int)named)
				sc_fail(l, "CPU %lu, expected one that no other thread is on",
					named);
			continue;
		}
		if (b->walker != s->walker || b->pid != s->pid)
			sc_fail(l, "thread %s, expected it to be as in line %u", s->thread,
				b->line);
		s->cpu = b->cpu;
		return;
	}
	if (nr == SC_MOST_THREADS)
		sc_fail(l, "a thread too many, expected up to %u", SC_MOST_THREADS);
	s->first_line = true;
	if (*end)
		return;
	if (named > 63)
		sc_fail(l, "CPU %lu, expected one up to 63", named);
	use_cpu(ps, s, (unsigned)named);
}

/* Threads with other names get the lowest CPUs that are left. */
static void place_others(struct sc_parser *ps, struct sc_stmt *block)
{
	uint64_t taken = 0;
	unsigned cpu = 0;

	for (struct sc_stmt *s = block->body; s; s = s->next)
		if (s->cpu >= 0)
			taken |= UINT64_C(1) << s->cpu;
	for (struct sc_stmt *s = block->body; s; s = s->next) {
		if (s->cpu >= 0)
			continue;
		while (taken >> cpu & 1)
			cpu++;
		for (struct sc_stmt *t = s; t; t = t->next)
			if (!strcmp(t->thread, s->thread))
				use_cpu(ps, t, cpu);
		cpu++;
	}
}

/* "0: call", "walker 2: touch(…)": a line of a threads block. */
static void read_thread_line(struct sc_parser *ps, struct sc_stmt *block)
{
	struct sc_line *l = &ps->l;
	struct sc_stmt *s = sc_new_stmt(ps, SC_S_CALL), **tail = &block->body;

	s->pid = block->pid;
	if (sc_peek_word(l, "walker")) {
		sc_word(l);
		s->walker = true;
	}
	s->thread = sc_chunk(l, ":");
	if (!s->thread)
		sc_fail(l, "%s, expected a thread's name and ':'", sc_found(l));
	sc_expect(l, ":", "after a thread's name");
	read_prefixes(ps, s);
	if (s->cpu >= 0)
		sc_fail(l, "[cpu %d] in a threads block, expected a thread named after its CPU",
			s->cpu);
	place_thread(ps, block, s);
	sc_read_call(ps, s);
	if (s->walker && s->call->id != SC_TOUCH)
		sc_fail(l, "%s by a walker, expected touch", s->name);
	while (*tail)
		tail = &(*tail)->next;
	*tail = s;
}

/* The comment: from a # outside quotes. */
static const char *content_end(const char *p, const char *end)
{
	bool quoted = false;

	for (; p < end; p++) {
		if (quoted && *p == '\\' && p + 1 < end)
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '#' && !quoted)
			break;
	}
	return p;
}

static void read_line(struct sc_parser *ps, struct sc_stmt **block)
{
	struct sc_line *l = &ps->l;
	bool indented = *l->p == ' ' || *l->p == '\t';

	for (const char *c = l->p; c < l->end; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			sc_fail(l, "the byte 0x%02x, expected text", (unsigned char)*c);
	if (indented && *block) {
		if ((*block)->kind == SC_S_EXPECT_MAPS)
			read_maps_line(ps, *block);
		else
			read_thread_line(ps, *block);
	} else if (sc_accept(l, "@")) {
		sc_read_setting(ps);
	} else {
		sc_skip(l);
		struct sc_stmt *s = sc_new_stmt(ps, SC_S_CALL);

		ps->calls_begun = true;
		read_statement(ps, s);
		*ps->tail = s;
		ps->tail = &s->next;
		ps->pid = s->pid;
		*block = s->kind == SC_S_EXPECT_MAPS || s->kind == SC_S_THREADS ? s : NULL;
	}
	if (!sc_at_end(l))
		sc_fail(l, "%s, expected the end of the line", sc_found(l));
}

static void read_lines(struct sc_parser *ps, const char *text, size_t len)
{
	struct sc_stmt *block = NULL;
	const char *end = text + len;

	for (const char *p = text; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end,
			   *from = p;

		ps->l.line++;
		p = nl ? nl + 1 : end;
		if (stop > from && stop[-1] == '\r')
			stop--;
		ps->l.p = from;
		ps->l.end = content_end(from, stop);
		while (ps->l.end > from && (ps->l.end[-1] == ' ' || ps->l.end[-1] == '\t'))
			ps->l.end--;
		if (ps->l.end > from)
			read_line(ps, &block);
	}
}

struct sc_file *sc_parse(const char *path, const char *text, size_t len, struct sc_error *err)
{
	struct sc_parser ps = {.pid = 1};
	jmp_buf fail;

	ps.file = calloc(1, sizeof(*ps.file));
	if (!ps.file)
		abort();
	ps.file->path = sc_strndup(&ps.file->arena, path, strlen(path));
	ps.file->settings.formats = "arm64-4k";
	ps.file->settings.cpus = 2;
	ps.tail = &ps.file->stmts;
	ps.l.file = ps.file;
	ps.l.err = err;
	ps.l.fail = &fail;
	sc_pid_add(&ps, 1);
	if (setjmp(fail)) {
		sc_file_free(ps.file);
		return NULL;
	}
	read_lines(&ps, text, len);
	if (ps.file->threads)
		place_others(&ps, ps.file->threads);
	return ps.file;
}

void sc_file_free(struct sc_file *f)
{
	if (!f)
		return;
	sc_arena_free(f->arena);
	free(f);
}
