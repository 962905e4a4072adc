/* SPDX-License-Identifier: MIT */
/* pagefold trace info|dump: what a recording holds, as a summary or as text. */
#define _GNU_SOURCE
#include "commands.h"
#include "trace_format.h"
#include "trace_manifest.h"
#include "trace_summary.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: pagefold trace info [--json] FILE\n"
	"       pagefold trace dump [--events] [--stream N] [--thread N] [--limit N] FILE\n"
	"\n"
	"FILE is a recording (the file that `pagefold record -o` names) or one of its streams.\n"
	"\n"
	"info  counts accesses, threads and events, says what was not captured, and reads all of "
	"it:\n"
	"      exit status 1 if a stream was cut off, 2 if one is damaged.\n"
	"dump  prints a line for each run of accesses and each event:\n"
	"        THREAD R|W|RW|WR|X[k] PAGE COUNT      R W: reads, writes; RW, WR: both, the first "
	"named\n"
	"                                              first; X: instructions; k: made by the "
	"kernel\n"
	"        THREAD #NUMBER SECONDS NAME(ARGUMENTS) = RESULT [TEXT]\n"
	"  --events    events only\n"
	"  --stream N  one of the recording's streams (default: all)\n"
	"  --thread N  one thread of each\n"
	"  --limit N   stop after N lines\n";

struct options {
	bool json, events;
	uint64_t limit, thread, stream;
	const char *file;
};

/* ---- dump ---- */

struct dump {
	const struct options *o;
	uint64_t lines;
};

/* How arguments are printed: x hexadecimal, d a signed int, u unsigned; the rest as u. */
static const char *argument_format(unsigned kind)
{
	switch (kind) {
	case TRACE_EV_MAP:
		return "xuxxxxu";
	case TRACE_EV_FORK:
	case TRACE_EV_CLONE:
		return "x";
	case TRACE_EV_MMAP:
		return "xuxxdxxuu";
	case TRACE_EV_MREMAP:
		return "xuuxx";
	case TRACE_EV_MPROTECT:
	case TRACE_EV_MSYNC:
		return "xux";
	case TRACE_EV_PKEY_MPROTECT:
		return "xuxd";
	case TRACE_EV_PROCESS_MADVISE:
		return "dxuuxxuxuxu";
	case TRACE_EV_SHMAT:
		return "dxxu";
	case TRACE_EV_EXIT:
	case TRACE_EV_THREAD_START:
		return "d";
	case TRACE_EV_NOT_CAPTURED:
	case TRACE_EV_STATISTICS:
	case TRACE_EV_PRCTL:
		return "uxxxx";
	case TRACE_EV_BRK:
	case TRACE_EV_SHMDT:
		return "x";
	case TRACE_EV_MBIND:
	case TRACE_EV_MINCORE:
		return "xuxxux";
	default:
		return "xudux";
	}
}

static bool result_is_address(unsigned kind)
{
	return kind == TRACE_EV_MMAP || kind == TRACE_EV_MREMAP || kind == TRACE_EV_BRK ||
	       kind == TRACE_EV_SHMAT;
}

static void print_event(const struct trace_event *e)
{
	const char *format = argument_format(e->kind);

	printf("%" PRIu32 " #%" PRIu64 " %.6f %s(", e->thread, e->seq, (double)e->time_ns / 1e9,
		trace_event_name(e->kind));
	for (unsigned i = 0; i < e->nr_args; i++) {
		char how = i < strlen(format) ? format[i] : 'u';
		fputs(i ? ", " : "", stdout);
		if (how == 'd')
			printf("%d", (int)e->args[i]);
		else
			printf(how == 'x' ? "0x%" PRIx64 : "%" PRIu64, e->args[i]);
	}
	if (result_is_address(e->kind) && (e->result >= 0 || e->result < -4095))
		printf(") = 0x%" PRIx64, (uint64_t)e->result);
	else
		printf(") = %" PRId64, e->result);
	if (*e->text) {
		putchar(' ');
		/* A line an event, whatever the path holds. */
		for (const char *p = e->text; *p; p++)
			if ((unsigned char)*p < ' ' || *p == '\\' || *p == 127)
				printf("\\%03o", (unsigned char)*p);
			else
				putchar(*p);
	}
	putchar('\n');
}

static void print_run(uint32_t thread, const struct trace_run *r, unsigned shift)
{
	const char *kind = "R";

	if (r->flags & TRACE_RUN_CODE)
		kind = "X";
	else if ((r->flags & TRACE_RUN_READ) && (r->flags & TRACE_RUN_WRITE))
		kind = r->flags & TRACE_RUN_WRITE_FIRST ? "WR" : "RW";
	else if (r->flags & TRACE_RUN_WRITE)
		kind = "W";
	printf("%" PRIu32 " %s%s 0x%" PRIx64 " %" PRIu32 "\n", thread, kind,
		r->flags & TRACE_RUN_KERNEL ? "k" : "", r->page << shift, r->count);
}

/* True if dumping is to go on. */
static bool line_done(struct dump *d)
{
	return !ferror(stdout) && (!d->o->limit || ++d->lines < d->o->limit);
}

/* Returns 1 to go on with the next stream, 0 to stop, -1 on error. */
static int dump_stream(struct dump *d, const struct trace_stream_info *s, bool several)
{
	struct trace_reader *r;
	struct trace_batch b;
	char *error;
	int rc;

	if (trace_open(&r, s->path, &error)) {
		fflush(stdout);
		fprintf(stderr, "pagefold trace: %s\n", error ? error : "out of memory");
		free(error);
		return -1;
	}
	const struct trace_header *h = trace_get_header(r);
	if (several)
		printf("# stream %" PRIu32 " pid %" PRIu32 " %s\n", h->stream, h->pid, h->program);
	while ((rc = trace_next_batch(r, &b)) > 0) {
		if (d->o->thread && b.thread != d->o->thread)
			continue;
		for (size_t i = 0; i < b.nr_runs && !d->o->events; i++) {
			print_run(b.thread, &b.runs[i], h->page_shift);
			if (!line_done(d))
				goto stop;
		}
		if (b.event) {
			print_event(b.event);
			if (!line_done(d))
				goto stop;
		}
	}
	fflush(stdout);
	if (rc < 0)
		fprintf(stderr, "pagefold trace: %s\n", trace_error(r));
	else if (!trace_get_totals(r)->complete)
		fprintf(stderr,
			"pagefold trace: %s: offset %" PRIu64 ": the recording is cut off here\n",
			s->path, trace_get_totals(r)->cut_offset);
	trace_close(r);
	return rc < 0 ? -1 : 1;
stop:
	trace_close(r);
	return 0;
}

static int dump(const struct options *o, const struct trace_manifest *m)
{
	struct dump d = {.o = o};
	bool found = false;
	int rc = 1;

	signal(SIGPIPE, SIG_IGN); /* `| head` ends us by an error of stdout, which is none */
	for (size_t i = 0; i < m->nr && rc > 0; i++) {
		if (o->stream && !m->single && m->streams[i].stream != o->stream)
			continue;
		found = true;
		rc = dump_stream(&d, &m->streams[i], m->nr > 1 && !o->stream);
	}
	if (!found) {
		fprintf(stderr, "pagefold trace: %s: there is no stream %" PRIu64 "\n", o->file,
			o->stream);
		return 2;
	}
	if (fflush(stdout) && errno != EPIPE) {
		fprintf(stderr, "pagefold trace: cannot write: %s\n", strerror(errno));
		return 2;
	}
	return rc < 0 ? 2 : 0;
}

/* ---- info ---- */

static void show_progress(void *arg, const char *path, double done)
{
	(void)arg;
	fprintf(stderr, "\r%s: %.0f %%\033[K", path, 100 * done);
}

static int info(const struct options *o, const struct trace_manifest *m)
{
	json_object *top = json_object_new_object(), *streams = json_object_new_array();
	bool tty = isatty(2), cut = false, damaged = false;
	struct trace_summary total;

	memset(&total, 0, sizeof(total));
	if (!o->json && m->nr > 1)
		printf("%s: %zu streams\n", o->file, m->nr);
	for (size_t i = 0; i < m->nr; i++) {
		struct trace_summary s;

		trace_summarize(&s, &m->streams[i], tty ? show_progress : NULL, NULL);
		if (tty)
			fputs("\r\033[K", stderr);
		if (s.error)
			fprintf(stderr, "pagefold trace: %s\n", s.error);
		damaged |= s.error != NULL;
		cut |= !s.error && !s.totals.complete;
		if (o->json)
			json_object_array_add(streams, trace_summary_json(&s));
		else
			trace_summary_print(&s, stdout);
		trace_summary_add(&total, &s);
		trace_summary_free(&s);
	}
	if (o->json) {
		json_object_object_add(top, "version", json_object_new_int(1));
		json_object_object_add(top, "file", json_object_new_string(o->file));
		json_object_object_add(
			top, "accesses", json_object_new_int64((int64_t)total.accesses));
		json_object_object_add(
			top, "bytes", json_object_new_int64((int64_t)total.totals.file_bytes));
		json_object_object_add(top, "complete", json_object_new_boolean(!cut && !damaged));
		json_object_object_add(top, "streams", streams);
		puts(json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY));
	} else {
		json_object_put(streams);
		if (m->nr > 1)
			trace_summary_print_total(&total, stdout);
	}
	json_object_put(top);
	trace_summary_free(&total);
	return damaged ? 2 : cut ? 1 : 0;
}

/* ---- the command ---- */

static bool number(const char *text, const char *what, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (!*text || *end || errno || *text == '-' || !*out) {
		fprintf(stderr, "pagefold trace: %s: a number from 1 was expected, found \"%s\"\n",
			what, text);
		return false;
	}
	return true;
}

int cmd_trace(int argc, char **argv)
{
	enum { JSON = 256, EVENTS, LIMIT, THREAD, STREAM };
	static const struct option longs[] = {
		{"json", no_argument, NULL, JSON},
		{"events", no_argument, NULL, EVENTS},
		{"limit", required_argument, NULL, LIMIT},
		{"thread", required_argument, NULL, THREAD},
		{"stream", required_argument, NULL, STREAM},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options o = {0};
	struct trace_manifest m;
	char *error;
	int c;

	optind = 0; /* getopt may have been used before */
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", longs, NULL)) >= 0) {
		switch (c) {
		case JSON:
			o.json = true;
			break;
		case EVENTS:
			o.events = true;
			break;
		case LIMIT:
			if (!number(optarg, "--limit", &o.limit))
				return 2;
			break;
		case THREAD:
			if (!number(optarg, "--thread", &o.thread))
				return 2;
			break;
		case STREAM:
			if (!number(optarg, "--stream", &o.stream))
				return 2;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fprintf(stderr, "pagefold trace: %s: %s\n",
				c == ':' ? "a value is missing after" : "unknown option",
				argv[optind - 1]);
			return 2;
		}
	}
	const char *verb = optind < argc ? argv[optind] : "";
	bool is_info = !strcmp(verb, "info"), is_dump = !strcmp(verb, "dump");
	if (!is_info && !is_dump) {
		fprintf(stderr, "pagefold trace: expected info or dump, found \"%s\"\n%s", verb,
			usage);
		return 2;
	}
	if (optind + 2 != argc) {
		fprintf(stderr, "pagefold trace: %s takes one FILE\n%s", verb, usage);
		return 2;
	}
	if ((is_info && (o.events || o.limit || o.thread || o.stream)) || (is_dump && o.json)) {
		fprintf(stderr, "pagefold trace: that option does not go with %s\n%s", verb, usage);
		return 2;
	}
	o.file = argv[optind + 1];
	if (trace_manifest_read(&m, o.file, &error)) {
		fprintf(stderr, "pagefold trace: %s\n", error ? error : "out of memory");
		free(error);
		return 2;
	}
	int rc = is_info ? info(&o, &m) : dump(&o, &m);
	trace_manifest_free(&m);
	return rc;
}
