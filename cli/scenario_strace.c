// SPDX-License-Identifier: MIT
/*
 * Logs that strace wrote: lines of several tasks, calls split in two, and much that is of no concern here. Calls that
 * change mappings become statements of the process whose space the task runs in; what is none of ours is counted.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/scenario_parse.h"

/* The first half of a call that another task's line interrupted. */
struct half {
	unsigned pid;
	const char *text; /* up to <unfinished ...> */
	bool born;        /* its child has appeared already */
	struct half *next;
};

/* A thread, as the log numbers them; `space` is the number of the process whose memory it uses. */
struct task {
	unsigned pid, space;
	struct task *next;
};

struct log {
	struct sc_parser ps;
	struct half *halves;
	struct task *tasks;
	const char *rest, *end; /* the lines behind this one */
};

/* Calls of the language that a log may hold. Accesses and what a kernel does by itself are not in logs. */
static bool concerns_us(const char *name)
{
	const struct sc_call_desc *d = sc_find_call(name);

	/* What one process reads or writes of another is like its loads and stores, of which a log has none. */
	return d && d->system && strcmp(name, "ioctl") && strcmp(name, "exit_group") &&
	       d->id != SC_PROCESS_VM_READV && d->id != SC_PROCESS_VM_WRITEV;
}

static bool makes_tasks(const char *name)
{
	return !strcmp(name, "fork") || !strcmp(name, "vfork") || !strcmp(name, "clone") ||
	       !strcmp(name, "clone3");
}

static const char *find(const char *p, const char *end, const char *what)
{
	size_t n = strlen(what);

	for (; p < end && (size_t)(end - p) >= n; p++)
		if (!memcmp(p, what, n))
			return p;
	return NULL;
}

/* ---- tasks and processes ---- */

static struct task *task_find(struct log *log, unsigned pid)
{
	for (struct task *t = log->tasks; t; t = t->next)
		if (t->pid == pid)
			return t;
	return NULL;
}

static struct task *task_add(struct log *log, unsigned pid, unsigned space)
{
	struct task *t = sc_alloc(&log->ps.file->arena, sizeof(*t));

	t->pid = pid;
	t->space = space;
	t->next = log->tasks;
	log->tasks = t;
	return t;
}

static struct sc_stmt *append(struct log *log, enum sc_stmt_kind kind, unsigned space)
{
	struct sc_stmt *s = sc_new_stmt(&log->ps, kind);

	s->pid = space;
	*log->ps.tail = s;
	log->ps.tail = &s->next;
	return s;
}

/* A process whose memory is not known: it begins with none. */
static struct task *start_empty(struct log *log, unsigned pid)
{
	append(log, SC_S_START, pid);
	return task_add(log, pid, pid);
}

static void end_space(struct log *log, unsigned space)
{
	struct sc_stmt *s;

	for (struct task *t = log->tasks; t; t = t->next)
		if (t->space == space)
			return;
	s = append(log, SC_S_CALL, space);
	s->name = "exit_group";
	s->call = sc_find_call(s->name);
}

static void task_end(struct log *log, unsigned pid)
{
	for (struct task **at = &log->tasks; *at; at = &(*at)->next) {
		if ((*at)->pid == pid) {
			unsigned space = (*at)->space;

			*at = (*at)->next;
			end_space(log, space);
			return;
		}
	}
}

/* "name(args) = N": N, or 0 if it is none. */
static unsigned child_of(const char *p, const char *end)
{
	const char *last = NULL, *at;
	uint64_t n = 0;

	for (at = p; (at = find(at, end, ") ")); at++)
		last = at;
	if (!last || !(last = find(last, end, "= ")))
		return 0;
	for (at = last + 2; at < end && isdigit((unsigned char)*at) && n <= INT32_MAX; at++)
		n = 10 * n + (unsigned)(*at - '0');
	return n <= INT32_MAX ? (unsigned)n : 0;
}

/* A task has made another: a thread of its space, or a process with a copy of it. */
static void birth(struct log *log, struct task *parent, bool thread, unsigned child)
{
	struct sc_stmt *s;

	if (task_find(log, child))
		sc_fail(&log->ps.l, "task %u is there already, expected one that is new", child);
	if (thread) {
		task_add(log, child, parent->space);
		return;
	}
	s = append(log, SC_S_CALL, parent->space);
	s->name = "fork";
	s->call = sc_find_call(s->name);
	s->child = child;
	task_add(log, child, child);
}

static bool shares_memory(const char *p, const char *end)
{
	return find(p, end, "CLONE_VM");
}

/*
 * A task nobody has seen before. Its maker's call may not have returned yet, and may not for long (vfork): then the
 * line in which it does says so, further down, and the child has its memory from now on. Else it starts empty.
 */
static struct task *first_seen(struct log *log, unsigned pid)
{
	for (struct half *h = log->halves; h; h = h->next) {
		const char *name_end = strchr(h->text, '('), *p = log->rest;
		char mark[64];

		if (!name_end || name_end - h->text > 16)
			continue;
		snprintf(mark, sizeof(mark), "<... %.*s resumed>", (int)(name_end - h->text),
			h->text);
		while (p < log->end) {
			const char *nl = memchr(p, '\n', (size_t)(log->end - p));
			const char *stop = nl ? nl : log->end, *at = find(p, stop, mark);

			/* Whoever of them it is that resumes: pids are told apart by the number in front. */
			if (at && strtoul(p + strcspn(p, "0123456789"), NULL, 10) == h->pid) {
				if (child_of(at, stop) != pid)
					break;
				h->born = true;
				birth(log, task_find(log, h->pid),
					shares_memory(h->text, h->text + strlen(h->text)), pid);
				return task_find(log, pid);
			}
			p = nl ? nl + 1 : log->end;
		}
	}
	return start_empty(log, pid);
}

/* Who calls. */
static struct task *caller(struct log *log)
{
	struct task *t = task_find(log, log->ps.pid);

	return t ? t : first_seen(log, log->ps.pid);
}

static void read_log_pid(struct log *log)
{
	struct sc_line *l = &log->ps.l;
	unsigned pid = log->ps.pid;

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
	log->ps.pid = pid;
}

/* ---- calls ---- */

/* The line ends in "= 0". */
static bool succeeded(const struct sc_line *l)
{
	const char *end = l->end;

	while (end > l->p && isspace((unsigned char)end[-1]))
		end--;
	return end - l->p > 3 && !memcmp(end - 3, "= 0", 3);
}

/* All memory is gone; a task that shared it with others has left them. */
static void read_execve(struct log *log, struct task *t)
{
	struct sc_line *l = &log->ps.l;
	unsigned others = 0;
	bool done = succeeded(l);

	l->p = l->end;
	if (!done)
		return;
	for (struct task *o = log->tasks; o; o = o->next)
		others += o->space == t->space && o != t;
	if (others) {
		t->space = t->pid;
		append(log, SC_S_START, t->pid);
	} else {
		append(log, SC_S_EXECVE, t->space);
	}
}

static void read_log_call(struct log *log, struct task *t, bool born)
{
	struct sc_parser *ps = &log->ps;
	struct sc_line *l = &ps->l;
	const char *begin = l->p, *name = sc_word(l);

	if (!name)
		sc_fail(l, "%s, expected a system call", sc_found(l));
	if (makes_tasks(name)) {
		unsigned child = child_of(l->p, l->end);

		if (child && !born)
			birth(log, t, shares_memory(l->p, l->end), child);
		l->p = l->end;
		return;
	}
	if (!strcmp(name, "execve") || !strcmp(name, "execveat")) {
		read_execve(log, t);
		return;
	}
	/* Of a descriptor strace -y tells the process, unless it is old. */
	bool whose = strcmp(name, "process_madvise") || find(l->p, l->end, "<pid:");

	if (!concerns_us(name) || !whose) {
		sc_note(l, "passed over", whose ? name : "advice to an unknown process");
		l->p = l->end;
		return;
	}
	l->p = begin;
	ps->pid = t->space;
	struct sc_stmt *s = sc_new_stmt(ps, SC_S_CALL);

	sc_read_call(ps, s);
	if (!s->results)
		sc_fail(l, "%s without a result, expected '= …' as strace writes it", name);
	*ps->tail = s;
	ps->tail = &s->next;
	ps->pid = t->pid;
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
static void join_half(struct log *log, struct task *t, const char *rest)
{
	struct sc_line *l = &log->ps.l;

	for (struct half **at = &log->halves; *at; at = &(*at)->next) {
		struct half *h = *at;
		size_t a = strlen(h->text), b = (size_t)(l->end - rest);

		if (h->pid != t->pid)
			continue;
		char *all = sc_alloc(&log->ps.file->arena, a + b + 1);

		memcpy(all, h->text, a);
		memcpy(all + a, rest, b);
		*at = h->next;
		l->p = all;
		l->end = all + a + b;
		read_log_call(log, t, h->born);
		return;
	}
	/* Its beginning was before the log's. */
	sc_note(l, "passed over", "half a call");
	l->p = l->end;
}

/* ---- lines ---- */

static bool begins(const struct sc_line *l, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(l->end - l->p) >= n && !memcmp(l->p, with, n);
}

static void read_log_line(struct log *log)
{
	struct sc_line *l = &log->ps.l;
	const char *at;

	sc_skip(l);
	if (l->p == l->end)
		return;
	if (begins(l, "strace:") || begins(l, "#")) {
		sc_note(l, "passed over", "comment");
		return;
	}
	read_log_pid(log);
	sc_skip(l);
	if (begins(l, "+++ exited") || begins(l, "+++ killed")) {
		task_end(log, log->ps.pid);
		l->p = l->end;
	} else if (begins(l, "---")) {
		sc_note(l, "passed over", "signal");
		l->p = l->end;
	} else if (l->p == l->end || begins(l, "+++") || begins(l, "strace:")) {
		sc_note(l, "passed over", "comment");
		l->p = l->end;
	} else if (begins(l, "<...")) {
		at = find(l->p, l->end, "resumed>");
		if (!at)
			sc_fail(l, "%s, expected 'resumed>' in this line", sc_found(l));
		join_half(log, caller(log), at + strlen("resumed>"));
	} else if ((at = find(l->p, l->end, "<unfinished ...>"))) {
		hold_half(log, caller(log)->pid, at);
	} else {
		read_log_call(log, caller(log), false);
	}
	if (!sc_at_end(l))
		sc_fail(l, "%s, expected the end of the line", sc_found(l));
}

static void read_log(struct log *log, const char *text, size_t len)
{
	log->rest = text;
	log->end = text + len;
	while (log->rest < log->end) {
		const char *p = log->rest, *nl = memchr(p, '\n', (size_t)(log->end - p));

		log->ps.l.line++;
		log->ps.l.p = p;
		log->ps.l.end = nl ? nl : log->end;
		log->ps.l.depth = 0;
		log->rest = nl ? nl + 1 : log->end;
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
	log.ps.file->log = true;
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
