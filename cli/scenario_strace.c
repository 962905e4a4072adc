// SPDX-License-Identifier: MIT
/*
 * Logs that strace wrote: lines of several processes, calls split in two, and much that is of no
 * concern here. Calls that change mappings become statements; what is none of ours is passed over.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/scenario_parse.h"

/* The first half of a call that another process's line interrupted. */
struct half {
	unsigned pid;
	const char *text; /* up to <unfinished ...> */
	struct half *next;
};

struct log {
	struct sc_parser ps;
	struct half *halves;
};

/* Calls of the language that a log may hold. Accesses and what a kernel does by itself are not in logs. */
static bool concerns_us(const char *name)
{
	const struct sc_call_desc *d = sc_find_call(name);

	return d && d->system && strcmp(name, "ioctl");
}

static const char *find(const char *p, const char *end, const char *what)
{
	size_t n = strlen(what);

	for (; (size_t)(end - p) >= n && p < end; p++)
		if (!memcmp(p, what, n))
			return p;
	return NULL;
}

static unsigned read_log_pid(struct sc_parser *ps)
{
	struct sc_line *l = &ps->l;
	unsigned pid = ps->pid;

	sc_skip(l);
	if (l->p < l->end && isdigit((unsigned char)*l->p)) {
		pid = sc_small_number(l, "a process's number", INT32_MAX);
	} else if (sc_accept(l, "[")) {
		if (!sc_peek_word(l, "pid"))
			sc_fail(l, "%s after '[', expected 'pid N]'", sc_found(l));
		sc_word(l);
		pid = sc_small_number(l, "a process's number", INT32_MAX);
		sc_expect(l, "]", "after the process's number");
	}
	/* A process whose birth is not in the log starts empty. */
	if (!sc_pid_alive(ps, pid))
		sc_pid_add(ps, pid);
	return pid;
}

static void read_log_call(struct log *log, unsigned pid)
{
	struct sc_parser *ps = &log->ps;
	struct sc_line *l = &ps->l;
	const char *begin = l->p, *name = sc_word(l);

	if (!name)
		sc_fail(l, "%s, expected a system call", sc_found(l));
	if (!concerns_us(name)) {
		l->p = l->end;
		return;
	}
	l->p = begin;
	ps->pid = pid;
	struct sc_stmt *s = sc_new_stmt(ps, SC_S_CALL);

	sc_read_call(ps, s);
	if (!s->results)
		sc_fail(l, "%s without a result, expected '= …' as strace writes it", name);
	*ps->tail = s;
	ps->tail = &s->next;
}

static void hold_half(struct log *log, unsigned pid, const char *end)
{
	struct half *h = sc_alloc(&log->ps.file->arena, sizeof(*h));

	h->pid = pid;
	h->text = sc_strndup(&log->ps.file->arena, log->ps.l.p, (size_t)(end - log->ps.l.p));
	h->next = log->halves;
	log->halves = h;
	log->ps.l.p = log->ps.l.end;
}

/* "<... mmap resumed>, 0) = 0x7f": what was held, and this, are one call. */
static void join_half(struct log *log, unsigned pid, const char *rest)
{
	struct sc_line *l = &log->ps.l;

	for (struct half **at = &log->halves; *at; at = &(*at)->next) {
		struct half *h = *at;
		size_t a = strlen(h->text), b = (size_t)(l->end - rest);

		if (h->pid != pid)
			continue;
		char *all = sc_alloc(&log->ps.file->arena, a + b + 1);

		memcpy(all, h->text, a);
		memcpy(all + a, rest, b);
		*at = h->next;
		l->p = all;
		l->end = all + a + b;
		read_log_call(log, pid);
		return;
	}
	/* Its beginning was before the log's. */
	l->p = l->end;
}

static void read_log_line(struct log *log)
{
	struct sc_line *l = &log->ps.l;
	unsigned pid = read_log_pid(&log->ps);
	const char *at;

	sc_skip(l);
	if (find(l->p, l->end, "+++ exited") == l->p || find(l->p, l->end, "+++ killed") == l->p) {
		sc_pid_remove(&log->ps, pid);
		l->p = l->end;
	} else if (l->p == l->end || find(l->p, l->end, "---") == l->p ||
		   find(l->p, l->end, "+++") == l->p || find(l->p, l->end, "strace:") == l->p) {
		l->p = l->end;
	} else if (find(l->p, l->end, "<...") == l->p) {
		at = find(l->p, l->end, "resumed>");
		if (!at)
			sc_fail(l, "%s, expected 'resumed>' in this line", sc_found(l));
		join_half(log, pid, at + strlen("resumed>"));
	} else if ((at = find(l->p, l->end, "<unfinished ...>"))) {
		hold_half(log, pid, at);
	} else {
		read_log_call(log, pid);
	}
	if (!sc_at_end(l))
		sc_fail(l, "%s, expected the end of the line", sc_found(l));
}

static void read_log(struct log *log, const char *text, size_t len)
{
	const char *end = text + len;

	for (const char *p = text; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;

		log->ps.l.line++;
		log->ps.l.p = p;
		log->ps.l.end = stop;
		log->ps.l.depth = 0;
		p = nl ? nl + 1 : end;
		if (stop > log->ps.l.p)
			read_log_line(log);
	}
}

struct sc_file *sc_parse_strace(
	const char *path, const char *text, size_t len, struct sc_error *err)
{
	struct log log = {.ps.pid = 1};
	jmp_buf fail;

	log.ps.file = calloc(1, sizeof(*log.ps.file));
	if (!log.ps.file)
		abort();
	log.ps.file->path = sc_strndup(&log.ps.file->arena, path, strlen(path));
	log.ps.file->settings.formats = "arm64-4k";
	log.ps.file->settings.cpus = 2;
	log.ps.tail = &log.ps.file->stmts;
	log.ps.l.file = log.ps.file;
	log.ps.l.err = err;
	log.ps.l.lenient = true;
	log.ps.l.fail = &fail;
	if (setjmp(fail)) {
		sc_file_free(log.ps.file);
		return NULL;
	}
	read_log(&log, text, len);
	return log.ps.file;
}
