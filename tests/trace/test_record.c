/* SPDX-License-Identifier: MIT */
/*
 * Programs whose accesses are known are recorded, and what was recorded is compared.
 *
 * Arguments: the program with `record` and `trace`, the folder of the guests. PAGEFOLD_RECORDER
 * names the plugin. Without a QEMU that has plugins the whole is skipped (exit status 77).
 */
#define _GNU_SOURCE
#include "cli/record_tools.h"
#include "cli/trace_format.h"
#include "cli/trace_manifest.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const char *cli, *guests;
static char dir[] = "/tmp/pagefold-record-XXXXXX";
static bool have_x86_64, have_aarch64;

/* ---- running things ---- */

static char output[1 << 20];

/* Runs a shell command; its output, both kinds, is in `output`. Returns the exit status. */
static __attribute__((format(printf, 1, 2))) int run(const char *fmt, ...)
{
	char *command, *all;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&command, fmt, ap) > 0);
	va_end(ap);
	assert_true(asprintf(&all, "cd %s && { %s; } 2>&1 </dev/zero", dir, command) > 0);
	FILE *p = popen(all, "re");
	assert_non_null(p);
	size_t len = fread(output, 1, sizeof(output) - 1, p);
	output[len] = 0;
	int status = pclose(p);
	free(command);
	free(all);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *in_dir(const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

/* ---- what a stream holds ---- */

struct content {
	struct trace_header header;
	struct trace_totals totals;
	uint64_t accesses, kernel_runs, stray, instructions, not_captured;
	uint64_t pages, code_pages;
	uint64_t kinds[TRACE_EV_LAST];
	struct trace_event found[64]; /* system calls on memory, in order */
	size_t nr_found;
	uint64_t fork_children[16];
};

/* A set of pages as a sorted array, which is enough for the guests here. */
struct pages {
	uint64_t v[65536];
	size_t nr;
};

static size_t page_at(const struct pages *s, uint64_t page)
{
	size_t lo = 0, hi = s->nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (s->v[mid] < page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool has_page(const struct pages *s, uint64_t page)
{
	size_t i = page_at(s, page);

	return i < s->nr && s->v[i] == page;
}

static void set_page(struct pages *s, uint64_t page, bool present)
{
	size_t i = page_at(s, page);
	bool there = i < s->nr && s->v[i] == page;

	if (present && !there) {
		assert_true(s->nr < sizeof(s->v) / sizeof(s->v[0]));
		memmove(&s->v[i + 1], &s->v[i], (s->nr - i) * sizeof(*s->v));
		s->v[i] = page;
		s->nr++;
	} else if (!present && there) {
		memmove(&s->v[i], &s->v[i + 1], (s->nr - i - 1) * sizeof(*s->v));
		s->nr--;
	}
}

static void set_range(struct pages *s, uint64_t start, uint64_t len, bool present)
{
	for (uint64_t p = start >> 12; p < (start + len + 4095) >> 12; p++)
		set_page(s, p, present);
}

/* What is mapped now, as the events tell. */
static void follow(struct pages *mapped, const struct trace_event *e, uint64_t *brk)
{
	bool done = e->result >= 0;

	switch ((unsigned)e->kind) {
	case TRACE_EV_MAP:
		set_range(mapped, e->args[0], e->args[1], true);
		break;
	case TRACE_EV_MMAP:
		if (done)
			set_range(mapped, (uint64_t)e->result, e->args[1], true);
		break;
	case TRACE_EV_MUNMAP:
		if (done)
			set_range(mapped, e->args[0], e->args[1], false);
		break;
	case TRACE_EV_MREMAP:
		if (done) {
			set_range(mapped, e->args[0], e->args[1], false);
			set_range(mapped, (uint64_t)e->result, e->args[2], true);
		}
		break;
	case TRACE_EV_BRK: {
		uint64_t now = (uint64_t)e->result;
		if (*brk && now > *brk)
			set_range(mapped, *brk, now - *brk, true);
		*brk = now;
		break;
	}
	default:
		break;
	}
}

static struct content *read_stream(const char *path)
{
	static struct content c;
	static struct pages mapped, data, code;
	struct trace_reader *r;
	struct trace_batch b;
	uint64_t brk = 0, last_seq = 0;
	char *error;
	int rc;

	memset(&c, 0, sizeof(c));
	mapped.nr = data.nr = code.nr = 0;
	if (trace_open(&r, path, &error))
		fail_msg("%s", error);
	c.header = *trace_get_header(r);
	c.totals = *trace_get_totals(r);
	while ((rc = trace_next_batch(r, &b)) > 0) {
		for (size_t i = 0; i < b.nr_runs; i++) {
			const struct trace_run *run = &b.runs[i];
			struct pages *set = run->flags & TRACE_RUN_CODE ? &code : &data;

			if (!has_page(set, run->page))
				set_page(set, run->page, true);
			c.stray += !has_page(&mapped, run->page);
			if (run->flags & TRACE_RUN_CODE)
				continue;
			c.accesses += run->count;
			c.kernel_runs += !!(run->flags & TRACE_RUN_KERNEL);
		}
		if (!b.event)
			continue;
		const struct trace_event *e = b.event;
		assert_true(e->seq > last_seq);
		last_seq = e->seq;
		if (e->kind == TRACE_EV_FORK && c.kinds[e->kind] < 16)
			c.fork_children[c.kinds[e->kind]] = (uint64_t)e->result;
		c.kinds[e->kind]++;
		if (e->kind == TRACE_EV_STATISTICS)
			c.instructions = e->args[0];
		if (e->kind == TRACE_EV_NOT_CAPTURED)
			c.not_captured += e->args[0];
		if (e->kind >= TRACE_EV_MMAP && c.nr_found < 64)
			c.found[c.nr_found++] = *e;
		follow(&mapped, e, &brk);
	}
	if (rc)
		fail_msg("%s", trace_error(r));
	c.pages = data.nr;
	c.code_pages = code.nr;
	trace_close(r);
	assert_true(c.totals.complete);
	assert_int_equal(c.accesses, c.totals.accesses);
	return &c;
}

/* ---- tests ---- */

/* guest_loop_*.S says what it accesses. */
static void known_accesses(
	const char *machine, uint64_t accesses, uint64_t pages, uint64_t instructions)
{
	int status = run("%s record -o loop.pft %s/guest_loop_%s", cli, guests, machine);

	if (status != 1)
		fail_msg("the guest exits with 7, so 1 was due, not %d: %s", status, output);
	const struct content *c = read_stream(in_dir("loop.pft.1"));
	/* Exact, though 0.01 % would do. */
	assert_int_equal(c->accesses, accesses);
	assert_int_equal(c->pages, pages);
	assert_int_equal(c->kernel_runs, 16);
	assert_int_equal(c->code_pages, 1);
	assert_int_equal(c->instructions, instructions);
	assert_int_equal(c->stray, 0);
	assert_int_equal(c->not_captured, 0);
	assert_int_equal(c->kinds[TRACE_EV_THREAD_START], 1);
	assert_int_equal(c->kinds[TRACE_EV_EXIT], 1);
	assert_int_equal(c->nr_found, 3);
	const struct trace_event *mmap_ = &c->found[0], *madvise_ = &c->found[1],
				 *munmap_ = &c->found[2];
	assert_int_equal(mmap_->kind, TRACE_EV_MMAP);
	assert_int_equal(mmap_->args[1], 65536);
	assert_int_equal(mmap_->args[2], 3);
	assert_int_equal(mmap_->args[3], 0x22);
	assert_true(mmap_->result > 0 && mmap_->result % 4096 == 0);
	assert_int_equal(madvise_->kind, TRACE_EV_MADVISE);
	assert_true(madvise_->args[0] == (uint64_t)mmap_->result);
	assert_int_equal(madvise_->args[2], 4);
	assert_int_equal(madvise_->result, 0);
	assert_int_equal(munmap_->kind, TRACE_EV_MUNMAP);
	assert_true(munmap_->args[0] == (uint64_t)mmap_->result);
	assert_int_equal(munmap_->args[1], 65536);
	assert_int_equal(c->header.page_shift, 12);
}

static void known_x86_64(void **state)
{
	(void)state;
	if (!have_x86_64)
		skip();
	/* 5 to begin, 1000 rounds of 3 and 64 times 5, 100 stores in loops of 3, 22 to end. */
	known_accesses("x86_64", 1000 * 64 * 2 + 2 * 100 + 16, 64 + 16,
		6 + 1000 * (4 + 64 * 5) + 2 + 100 * 3 + 8 + 6 + 4 + 3);
	assert_int_equal(read_stream(in_dir("loop.pft.1"))->header.machine, MACHINE_X86_64);
}

static void known_aarch64(void **state)
{
	char guest[512];

	(void)state;
	snprintf(guest, sizeof(guest), "%s/guest_loop_aarch64", guests);
	if (!have_aarch64 || access(guest, X_OK))
		skip();
	/* In addition 512 times DC ZVA of 64 bytes. */
	known_accesses("aarch64", 1000 * 64 * 2 + 2 * 100 + 16 + 512, 64 + 16 + 8,
		5 + 1 + 1000 * (4 + 64 * 5) + 3 + 100 * 3 + 2 + 512 * 4 + 8 + 5 + 4 + 3);
	assert_int_equal(read_stream(in_dir("loop.pft.1"))->header.machine, MACHINE_AARCH64);
}

static void forks_and_executions(void **state)
{
	enum { DEPTH = 4 };
	struct trace_manifest m;
	unsigned starts = 0, forks = 0, execs = 0;
	char *error;

	(void)state;
	if (!have_x86_64)
		skip();
	/* The last exits with 3, and each parent with one more than its child. */
	int status = run("%s record --json -o chain.pft %s/guest_chain %d", cli, guests, DEPTH);
	assert_int_equal(status, 1);
	json_object *o = json_tokener_parse(output), *v;
	assert_true(json_object_object_get_ex(o, "exit_status", &v));
	assert_int_equal(json_object_get_int(v), 3 + DEPTH);
	json_object_put(o);
	if (trace_manifest_read(&m, in_dir("chain.pft"), &error))
		fail_msg("%s", error);
	assert_int_equal(m.nr, 1 + 2 * DEPTH);
	for (size_t i = 0; i < m.nr; i++) {
		const struct trace_stream_info *s = &m.streams[i];
		const struct content *c = read_stream(s->path);
		const struct trace_stream_info *parent =
			s->parent_stream ? &m.streams[s->parent_stream - 1] : NULL;

		assert_int_equal(s->stream, i + 1);
		assert_int_equal(c->header.stream, i + 1);
		assert_int_equal(c->header.pid, s->pid);
		assert_int_equal(c->stray, 0);
		if (!strcmp(s->how, "start")) {
			starts++;
			assert_null(parent);
			assert_string_equal(s->end, "exit 7");
		} else if (!strcmp(s->how, "fork")) {
			forks++;
			assert_true(c->header.flags & TRACE_F_FORKED);
			assert_int_not_equal(s->pid, parent->pid);
			assert_string_equal(s->end, "exec");
			assert_int_equal(c->kinds[TRACE_EV_EXEC], 1);
			const struct content *p = read_stream(parent->path);
			assert_int_equal(p->kinds[TRACE_EV_FORK], 1);
			assert_int_equal(p->fork_children[0], s->pid);
		} else {
			char end[32], depth[16];
			execs++;
			assert_string_equal(s->how, "exec");
			assert_int_equal(s->pid, parent->pid);
			assert_true(c->header.flags & TRACE_F_EXECED);
			snprintf(end, sizeof(end), "exit %d", 3 + DEPTH - (int)execs);
			assert_string_equal(s->end, end);
			snprintf(depth, sizeof(depth), "%d", DEPTH - (int)execs);
			struct trace_reader *r;
			assert_int_equal(trace_open(&r, s->path, &error), 0);
			assert_int_equal(trace_get_header(r)->argc, 2);
			assert_string_equal(trace_get_header(r)->argv[1], depth);
			trace_close(r);
		}
	}
	assert_int_equal(starts, 1);
	assert_int_equal(forks, DEPTH);
	assert_int_equal(execs, DEPTH);
	trace_manifest_free(&m);
}

static void write_script(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(in_dir(name), 0755), 0);
}

/* Scripts run their interpreter, with its argument, also when a script starts one. */
static void scripts(void **state)
{
	struct trace_manifest m;
	char *error;

	(void)state;
	if (!have_x86_64 || access("/bin/sh", X_OK))
		skip();
	write_script("inner", "#! /bin/sh -e\nfalse\nexit 0\n");
	write_script(
		"outer", "#!/bin/sh\n./inner 'a b'\n./missing\necho \"$0 $# $1 $?\"\nexit 5\n");
	assert_int_equal(run("%s record -q -o script.pft ./outer 'x  y'", cli), 1);
	if (!strstr(output, "./outer 1 x  y 127\n"))
		fail_msg("the script saw other arguments: %s", output);
	if (trace_manifest_read(&m, in_dir("script.pft"), &error))
		fail_msg("%s", error);
	/* sh, the fork that becomes sh -e, and the fork that finds no ./missing. */
	assert_int_equal(m.nr, 4);
	assert_string_equal(m.streams[0].end, "exit 5");
	bool inner = false;
	for (size_t i = 0; i < m.nr; i++)
		if (!strcmp(m.streams[i].how, "exec")) {
			struct trace_reader *r;
			inner = true;
			assert_string_equal(m.streams[i].end, "exit 1");
			assert_int_equal(trace_open(&r, m.streams[i].path, &error), 0);
			const struct trace_header *h = trace_get_header(r);
			assert_int_equal(h->argc, 4);
			assert_string_equal(h->argv[1], "-e");
			assert_string_equal(h->argv[2], "./inner");
			assert_string_equal(h->argv[3], "a b");
			trace_close(r);
		}
	assert_true(inner);
	for (size_t i = 0; i < m.nr; i++)
		assert_int_equal(read_stream(m.streams[i].path)->stray, 0);
	trace_manifest_free(&m);
}

/* Every access lies in what the events say is mapped at that moment: guest_threads.c. */
static void threads(void **state)
{
	(void)state;
	if (!have_x86_64)
		skip();
	if (run("%s record -o threads.pft %s/guest_threads", cli, guests))
		fail_msg("%s", output);
	const struct content *c = read_stream(in_dir("threads.pft.1"));
	assert_int_equal(c->totals.threads, 13);
	assert_int_equal(c->kinds[TRACE_EV_THREAD_START], 13);
	assert_int_equal(c->kinds[TRACE_EV_CLONE], 12);
	assert_int_equal(c->kinds[TRACE_EV_THREAD_EXIT], 12);
	assert_true(c->kinds[TRACE_EV_MMAP] >= 1200);
	assert_true(c->kinds[TRACE_EV_MUNMAP] >= 1200);
	/* 12 threads, 100 rounds, 20 times 16 loads and stores. */
	assert_true(c->accesses >= 12 * 100 * 20 * 16 * 2);
	assert_int_equal(c->stray, 0);
}

/* A program that dies has left all it did. */
static void crash(void **state)
{
	struct trace_manifest m;
	char *error;

	(void)state;
	if (!have_x86_64)
		skip();
	assert_int_equal(run("%s record -o crash.pft %s/guest_crash", cli, guests), 1);
	assert_non_null(strstr(output, "killed by signal 11"));
	if (trace_manifest_read(&m, in_dir("crash.pft"), &error))
		fail_msg("%s", error);
	assert_string_equal(m.streams[0].end, "signal 11");
	trace_manifest_free(&m);
	const struct content *c = read_stream(in_dir("crash.pft.1"));
	assert_int_equal(c->kinds[TRACE_EV_EXIT], 0);
	assert_true(c->pages >= 10);
	assert_int_equal(c->stray, 0);
}

/* What was not captured is counted by name: guest_opaque.c. */
static void not_captured(void **state)
{
	static const struct {
		const char *what;
		int count;
	} expected[] = {{"ioctl", 5}, {"signal frames", 3}, {"shared mappings", 2}};
	json_object *top, *v;

	(void)state;
	if (!have_x86_64)
		skip();
	if (run("%s record -q -o opaque.pft %s/guest_opaque && %s trace info --json opaque.pft",
		    cli, guests, cli))
		fail_msg("%s", output);
	top = json_tokener_parse(output);
	assert_true(json_object_object_get_ex(top, "streams", &v));
	assert_true(json_object_object_get_ex(json_object_array_get_idx(v, 0), "not_captured", &v));
	assert_int_equal(json_object_object_length(v), 3);
	for (unsigned i = 0; i < 3; i++) {
		json_object *count;
		if (!json_object_object_get_ex(v, expected[i].what, &count) ||
			json_object_get_int(count) != expected[i].count)
			fail_msg("%s: %s", expected[i].what, output);
	}
	json_object_put(top);
}

/* ---- pagefold trace ---- */

static void info_and_dump(void **state)
{
	json_object *top, *v, *stream;

	(void)state;
	if (!have_x86_64)
		skip();
	run("%s record -q -o loop.pft %s/guest_loop_x86_64", cli, guests);
	assert_int_equal(run("%s trace info --json loop.pft", cli), 0);
	top = json_tokener_parse(output);
	assert_non_null(top);
	assert_true(json_object_object_get_ex(top, "complete", &v) && json_object_get_boolean(v));
	assert_true(json_object_object_get_ex(top, "streams", &v));
	assert_int_equal(json_object_array_length(v), 1);
	stream = json_object_array_get_idx(v, 0);
	assert_true(json_object_object_get_ex(stream, "accesses", &v));
	assert_int_equal(json_object_get_int64(v), 128216);
	assert_true(json_object_object_get_ex(stream, "data_pages", &v));
	assert_int_equal(json_object_get_int64(v), 80);
	assert_true(json_object_object_get_ex(stream, "events", &v));
	assert_true(json_object_object_get_ex(v, "munmap", &v));
	assert_int_equal(json_object_get_int64(v), 1);
	json_object_put(top);

	/* 200 runs of crossing stores, 64000 of the loop, 16 of the kernel, the code, the events. */
	assert_int_equal(run("%s trace dump loop.pft | grep -c '^1 Wk 0x'", cli), 0);
	assert_int_equal(atoi(output), 16);
	assert_int_equal(run("%s trace dump loop.pft | grep -c '^1 RW 0x[0-9a-f]*000 2$'", cli), 0);
	/* The last page of the last round is the one before the crossing stores; the rest are whole. */
	assert_int_equal(atoi(output), 64000);
	assert_int_equal(run("%s trace dump --events loop.pft | grep -vc '^[01] #'", cli), 1);
	assert_int_equal(atoi(output), 0);
	assert_int_equal(run("%s trace dump --limit 5 loop.pft", cli), 0);
	unsigned lines = 0;
	for (const char *p = output; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 5);
	assert_int_equal(run("%s trace dump loop.pft | head -n 2", cli), 0);
	assert_int_equal(run("%s trace dump --stream 2 loop.pft", cli), 2);
}

static void cut_off(void **state)
{
	(void)state;
	if (!have_x86_64)
		skip();
	run("%s record -q -o loop.pft %s/guest_loop_x86_64", cli, guests);
	struct stat st;
	assert_int_equal(stat(in_dir("loop.pft.1"), &st), 0);
	assert_int_equal(truncate(in_dir("loop.pft.1"), st.st_size - 1), 0);
	assert_int_equal(run("%s trace info loop.pft", cli), 1);
	assert_non_null(strstr(output, "CUT OFF at offset"));
	assert_int_equal(run("%s trace dump loop.pft", cli), 0);
	assert_non_null(strstr(output, "cut off here"));
	int fd = open(in_dir("loop.pft.1"), O_RDWR);
	char byte;
	assert_true(fd >= 0 && pread(fd, &byte, 1, st.st_size / 2) == 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
	close(fd);
	assert_int_equal(run("%s trace info loop.pft", cli), 2);
	assert_non_null(strstr(output, "loop.pft.1: offset "));
}

/* ---- what cannot be recorded ---- */

static void refusals(void **state)
{
	static const struct {
		const char *command, *says;
	} cases[] = {
		{"%s record", "no program given"},
		{"%s record ./nothing", "cannot run ./nothing: No such file"},
		{"%s record /tmp", "cannot run /tmp: Permission denied"},
		{"%s record --cpu", "--cpu needs a value"},
		{"%s record --what x", "unknown option: --what"},
		{"%s record ./text", "cannot run ./text: ./text is not an ELF file"},
		{"%s record -o text /bin/true", "text exists and is not a recording"},
		{"%s record -o no/such/place /bin/true", "cannot write no/such/place"},
		{"PAGEFOLD_RECORDER=/no/plugin %s record /bin/true",
			"PAGEFOLD_RECORDER is /no/plugin"},
		{"PAGEFOLD_QEMU_X86_64=./plain %s record /bin/true", "has no plugins"},
		{"PAGEFOLD_QEMU_X86_64=./gone %s record /bin/true",
			"not found: install QEMU's user mode"},
		{"PAGEFOLD_QEMU_X86_64=./refuses %s record /bin/true",
			"QEMU could not start it (status 3)"},
		{"%s record --cpu nonesuch /bin/true", "QEMU could not start it"},
		{"%s trace", "expected info or dump"},
		{"%s trace info", "takes one FILE"},
		{"%s trace info nothing", "nothing: No such file"},
		{"%s trace info text", "text: offset 0: not a recording"},
		{"%s trace info .", "is a directory"},
		{"%s trace dump --limit x text", "a number from 1 was expected"},
		{"%s trace info --events text", "does not go with info"},
	};

	(void)state;
	write_script("text", "hello\n");
	write_script("plain", "#!/bin/sh\necho usage; echo '-cpu'\n");
	write_script("refuses", "#!/bin/sh\necho '-plugin'\n[ \"$1\" = -h ] || exit 3\n");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char command[256];

		snprintf(command, sizeof(command), cases[i].command, cli);
		int status = run("%s", command);
		if (status != 2 || !strstr(output, cases[i].says))
			fail_msg("%s: status %d, said: %s", command, status, output);
	}
	assert_int_equal(run("%s record --help", cli), 0);
	assert_int_equal(run("%s trace --help", cli), 0);
	/* What was there is as it was. */
	assert_int_equal(run("cat text"), 0);
	assert_string_equal(output, "hello\n");
}

/* ---- */

static bool probe(unsigned machine)
{
	struct record_qemu q;

	record_find_qemu(&q, machine);
	bool found = q.path != NULL;
	if (!found)
		printf("skipped, all or in part: %s\n", q.why);
	record_free_qemu(&q);
	return found;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_x86_64),
		cmocka_unit_test(known_aarch64),
		cmocka_unit_test(forks_and_executions),
		cmocka_unit_test(scripts),
		cmocka_unit_test(threads),
		cmocka_unit_test(crash),
		cmocka_unit_test(not_captured),
		cmocka_unit_test(info_and_dump),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(refusals),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: test_record CLI GUESTS\n");
		return 2;
	}
	cli = realpath(argv[1], NULL);
	guests = realpath(argv[2], NULL);
	have_x86_64 = probe(MACHINE_X86_64);
	have_aarch64 = probe(MACHINE_AARCH64);
	if (!have_x86_64 && !have_aarch64)
		return 77;
	if (!cli || !guests || !mkdtemp(dir)) {
		perror("test_record");
		return 2;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (!failed)
		run("rm -rf %s", dir);
	else
		fprintf(stderr, "what was recorded is in %s\n", dir);
	return failed;
}
