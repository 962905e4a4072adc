// SPDX-License-Identifier: MIT
/* The text of a program's scenario. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/program.h"

struct text {
	char *s;
	size_t used, room;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;

	if (t->room - t->used < 512) {
		t->room = t->room ? 2 * t->room : 16384;
		t->s = realloc(t->s, t->room);
		if (!t->s)
			abort();
	}
	va_start(ap, fmt);
	t->used += (size_t)vsnprintf(t->s + t->used, t->room - t->used, fmt, ap);
	va_end(ap);
}

const char *program_flag(const struct program_arg *arg, uint64_t *value, unsigned *at)
{
	bool one = arg->kind == PROGRAM_ARG_ONE;

	if (!arg->names || (one && *at == UINT32_MAX))
		return NULL;
	if (!*value) {
		bool first = !*at;

		*at = UINT32_MAX;
		return first ? arg->zero : NULL;
	}
	while (*at != UINT32_MAX && arg->names[*at]) {
		const char *name = arg->names[(*at)++];
		uint64_t bits = 0;

		sc_find_constant(name, &bits);
		if (one ? *value == bits : bits && (*value & bits) == bits) {
			*value = one ? 0 : *value & ~bits;
			if (one || !*value)
				*at = UINT32_MAX;
			return name;
		}
	}
	return NULL;
}

static void put_parts(struct text *t, const struct oracle_part *part, uint64_t nr)
{
	put(t, "[");
	for (uint64_t i = 0; i < nr; i++)
		put(t, "%s{iov_base=0x%" PRIx64 ", iov_len=%" PRIu64 "}", i ? ", " : "",
			part[i].base, part[i].len);
	put(t, "]");
}

static void put_arg(struct text *t, const struct program_arg *arg, uint64_t v)
{
	const char *sep = "", *name;
	unsigned at = 0;

	if (arg->kind == PROGRAM_ARG_FD && (int32_t)v < 0) {
		put(t, "-1");
		return;
	}
	if (arg->kind == PROGRAM_ARG_FD) {
		put(t, "f%" PRIu64, v - RUN_FIRST_FD);
		return;
	}
	if (arg->kind == PROGRAM_ARG_PIDFD) {
		put(t, "3<pid:%" PRIu64 ">", v);
		return;
	}
	if (arg->kind == PROGRAM_ARG_UFFD) {
		put(t, "%" PRIu64, PROGRAM_UFFD_FD + v);
		return;
	}
	if (arg->kind == PROGRAM_ARG_NUMBER || arg->kind == PROGRAM_ARG_PID) {
		put(t, "%" PRIu64, v);
		return;
	}
	if (arg->kind == PROGRAM_ARG_HEX) {
		put(t, v > 9 ? "0x%" PRIx64 : "%" PRIu64, v);
		return;
	}
	while ((name = program_flag(arg, &v, &at))) {
		put(t, "%s%s", sep, name);
		sep = "|";
	}
	if (v || !*sep)
		put(t, v > 9 ? "%s0x%" PRIx64 : "%s%" PRIu64, sep, v);
}

/* A structure, of which what is 0 is left out. */
static void put_scan(struct text *t, const struct op *op)
{
	static const char *const fields[PROGRAM_ARGS] = {[2] = "flags",
		[3] = "vec_len",
		[4] = "max_pages",
		[5] = "category_inverted",
		[6] = "category_mask",
		[7] = "category_anyof_mask",
		[8] = "return_mask"};

	put(t, "ioctl(3, PAGEMAP_SCAN, {start=0x%" PRIx64 ", end=0x%" PRIx64, op->a[0],
		op->a[0] + op->a[1]);
	for (unsigned i = 2; i < PROGRAM_ARGS; i++) {
		if (!op->a[i])
			continue;
		put(t, ", %s=", fields[i]);
		put_arg(t, program_call(op->id)->args[i], op->a[i]);
	}
	put(t, "}");
}

/* An ioctl's structure, with the field that the kernel fills in where that is known. */
static void put_uffdio(struct text *t, const struct op *op)
{
	const struct program_arg *const *args = program_call(op->id)->args;
	const char *done = program_uffd_done(op->id);

	put(t, "ioctl(%" PRIu64 ", %s, {", PROGRAM_UFFD_FD + op->a[program_uffd_arg(op->id)],
		program_call(op->id)->name);
	if (op->id == SC_UFFDIO_API) {
		put(t, "api=0x%" PRIx64 ", features=", op->a[2]);
		put_arg(t, args[1], op->a[1]);
	} else if (op->id == SC_UFFDIO_UNREGISTER || op->id == SC_UFFDIO_WAKE) {
		put(t, "start=0x%" PRIx64 ", len=0x%" PRIx64, op->a[0], op->a[1]);
	} else if (op->id == SC_UFFDIO_COPY || op->id == SC_UFFDIO_MOVE) {
		put(t, "dst=0x%" PRIx64 ", src=0x%" PRIx64 ", len=0x%" PRIx64 ", mode=", op->a[0],
			op->a[4], op->a[1]);
		put_arg(t, args[2], op->a[2]);
	} else {
		put(t, "range={start=0x%" PRIx64 ", len=0x%" PRIx64 "}, mode=", op->a[0], op->a[1]);
		put_arg(t, args[2], op->a[2]);
	}
	if (done && *op->result)
		put(t, ", %s=0x%" PRIx64, done, (uint64_t)op->done);
	put(t, "}");
}

static void put_args(struct text *t, const struct op *op)
{
	const struct program_call *call = program_call(op->id);

	put(t, "%s(", call->name);
	/* Which one userfaultfd() is, is its result. */
	for (unsigned i = 0; i < PROGRAM_ARGS && call->args[i] && (op->id != SC_USERFAULTFD || !i);
		i++) {
		put(t, i ? ", " : "");
		if (call->args[i]->kind == PROGRAM_ARG_PARTS)
			put_parts(t, op->part[op->a[i]], op->a[i + 1]);
		else
			put_arg(t, call->args[i], op->a[i]);
	}
}

static void put_op(struct text *t, const struct op *op)
{
	char any[32] = "?";

	put(t, "[pid %u] [cpu %u] ", op->pid, op->cpu);
	if (op->id == SC_PAGEMAP_SCAN)
		put_scan(t, op);
	else if (program_is_uffdio(op->id))
		put_uffdio(t, op);
	else
		put_args(t, op);
	if (op->id == SC_FORK)
		snprintf(any, sizeof(any), "%u", op->child);
	if (op->id == SC_USERFAULTFD)
		snprintf(any, sizeof(any), "%" PRIu64, PROGRAM_UFFD_FD + op->a[1]);
	if (op->id == SC_EXIT_GROUP)
		put(t, ")\n");
	else
		put(t, ") = %s\n", *op->result ? op->result : any);
}

void program_op_text(const struct op *op, char *text, size_t size)
{
	struct text t = {0};

	put_op(&t, op);
	t.s[t.used - 1] = 0;
	snprintf(text, size, "%s", t.s);
	free(t.s);
}

char *program_text(const struct program *g, unsigned *first)
{
	static const char *const modes[] = {[SC_THP_ALWAYS] = "always",
		[SC_THP_MADVISE] = "madvise",
		[SC_THP_INHERIT] = "inherit",
		[SC_THP_NEVER] = "never"};
	struct text t = {0};

	put(&t, "@format %s\n@cpus %u\n@memory %" PRIu64 "K\n@fold %s\n", g->fmt->pt->name,
		PROGRAM_CPUS, g->memory >> 10, g->fold ? "on" : "off");
	*first = 5;
	if (g->swap) {
		put(&t, "@swap 4M\n");
		++*first;
	}
	for (unsigned i = 0; i < g->nfiles; i++, ++*first)
		put(&t, "@file f%u %" PRIu64 "\n", i, g->file_size);
	if (g->feature) {
		put(&t, "@feature %s\n", g->feature);
		++*first;
	}
	if (g->nthp) {
		put(&t, "@thp enabled=%s", modes[g->thp_enabled]);
		for (unsigned i = 0; i < g->nthp; i++)
			put(&t, " %uP=%s", 1u << g->thp[i].order, modes[g->thp[i].mode]);
		put(&t, "\n");
		++*first;
	}
	if (g->fail_at) {
		put(&t, "@fail %" PRIu64 "\n", g->fail_at);
		++*first;
	}
	for (unsigned i = 0; i < g->nr; i++)
		put_op(&t, &g->ops[i]);
	return t.s;
}
