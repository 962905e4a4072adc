/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "trace_summary.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- distinct pages ---- */

#define RECENT 4096u

/* A set of page numbers: open addressing, page + 1 in each used slot; `recent` spares it most look-ups. */
struct page_set {
	uint64_t *slots, nr, size;
	uint64_t recent[RECENT];
	bool failed;
};

static void set_insert(uint64_t *slots, uint64_t size, uint64_t key, uint64_t *nr)
{
	uint64_t i = key * UINT64_C(0x9e3779b97f4a7c15) >> 20 & (size - 1);

	while (slots[i] && slots[i] != key)
		i = (i + 1) & (size - 1);
	*nr += !slots[i];
	slots[i] = key;
}

static void set_add_slow(struct page_set *s, uint64_t key)
{
	if (2 * (s->nr + 1) > s->size) {
		uint64_t size = s->size ? 2 * s->size : 1024, nr = 0;
		uint64_t *slots = calloc(size, sizeof(*slots));
		if (!slots) {
			s->failed = true;
			return;
		}
		for (uint64_t i = 0; i < s->size; i++)
			if (s->slots[i])
				set_insert(slots, size, s->slots[i], &nr);
		free(s->slots);
		s->slots = slots;
		s->size = size;
	}
	set_insert(s->slots, s->size, key, &s->nr);
}

static inline void set_add(struct page_set *s, uint64_t page)
{
	uint64_t key = page + 1;

	if (s->recent[page % RECENT] == key)
		return;
	s->recent[page % RECENT] = key;
	if (!s->failed)
		set_add_slow(s, key);
}

/* ---- reading ---- */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static char *quote(unsigned argc, const char *const *argv)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	for (unsigned i = 0; f && i < argc; i++) {
		const char *a = argv[i];
		bool plain =
			*a &&
			strspn(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "_-+=./:,@%^") == strlen(a);
		fprintf(f, "%s%s", i ? " " : "", plain ? "" : "'");
		for (; *a; a++)
			if (*a == '\'')
				fputs("'\\''", f);
			else
				putc(*a, f);
		if (!plain)
			putc('\'', f);
	}
	if (f)
		fclose(f);
	return text;
}

static void add_not_captured(struct trace_summary *s, const char *what, uint64_t count)
{
	for (size_t i = 0; i < s->nr_not_captured; i++)
		if (!strcmp(s->not_captured[i].what, what)) {
			s->not_captured[i].count += count;
			return;
		}
	struct trace_not_captured *more =
		realloc(s->not_captured, (s->nr_not_captured + 1) * sizeof(*more));
	if (!more)
		return;
	s->not_captured = more;
	more[s->nr_not_captured].what = strdup(what);
	more[s->nr_not_captured].count = count;
	s->nr_not_captured += more[s->nr_not_captured].what != NULL;
}

static void count_event(struct trace_summary *s, const struct trace_event *e)
{
	s->events[e->kind]++;
	if (e->kind == TRACE_EV_NOT_CAPTURED)
		add_not_captured(s, e->text, e->args[0]);
	if (e->kind == TRACE_EV_STATISTICS)
		s->instructions = e->args[0];
}

static void count_runs(struct trace_summary *s, const struct trace_batch *b, struct page_set *data,
	struct page_set *code)
{
	for (size_t i = 0; i < b->nr_runs; i++) {
		const struct trace_run *r = &b->runs[i];

		if (r->flags & TRACE_RUN_CODE) {
			s->code_runs++;
			set_add(code, r->page);
			continue;
		}
		s->runs++;
		s->accesses += r->count;
		s->kernel_runs += r->flags / TRACE_RUN_KERNEL & 1;
		set_add(data, r->page);
	}
}

void trace_summarize(struct trace_summary *s, const struct trace_stream_info *info,
	void (*progress)(void *arg, const char *path, double done), void *arg)
{
	struct page_set *data = calloc(1, sizeof(*data)), *code = calloc(1, sizeof(*code));
	struct trace_reader *r;
	struct trace_batch b;
	double next = now() + 1;
	int rc;

	memset(s, 0, sizeof(*s));
	s->path = strdup(info->path);
	s->how = info->how ? strdup(info->how) : NULL;
	s->end = info->end ? strdup(info->end) : NULL;
	s->stream = info->stream;
	if (!data || !code || trace_open(&r, info->path, &s->error)) {
		if (!s->error)
			s->error = strdup("out of memory");
		goto out;
	}
	const struct trace_header *h = trace_get_header(r);
	s->program = strdup(h->program);
	s->source = strdup(h->source);
	s->command = quote(h->argc, h->argv);
	s->machine = h->machine;
	s->page_shift = h->page_shift;
	s->flags = h->flags;
	s->pid = h->pid;
	s->stream = h->stream;
	s->parent_stream = h->parent_stream;
	s->totals = *trace_get_totals(r);
	for (unsigned n = 0; (rc = trace_next_batch(r, &b)) > 0; n++) {
		count_runs(s, &b, data, code);
		if (b.event)
			count_event(s, b.event);
		if (progress && n % 256 == 0 && now() > next) {
			progress(arg, info->path,
				s->totals.runs ? (double)s->runs / (double)s->totals.runs : 1);
			next = now() + 0.3;
		}
	}
	if (rc < 0)
		s->error = strdup(trace_error(r));
	s->data_pages = data->nr;
	s->code_pages = code->nr;
	if ((data->failed || code->failed) && !s->error)
		s->error = strdup("out of memory");
	trace_close(r);
out:
	if (data)
		free(data->slots);
	if (code)
		free(code->slots);
	free(data);
	free(code);
}

void trace_summary_free(struct trace_summary *s)
{
	for (size_t i = 0; i < s->nr_not_captured; i++)
		free(s->not_captured[i].what);
	free(s->not_captured);
	free(s->error);
	free(s->path);
	free(s->program);
	free(s->source);
	free(s->how);
	free(s->end);
	free(s->command);
	memset(s, 0, sizeof(*s));
}

void trace_summary_add(struct trace_summary *total, const struct trace_summary *s)
{
	total->accesses += s->accesses;
	total->runs += s->runs;
	total->code_runs += s->code_runs;
	total->instructions += s->instructions;
	total->totals.file_bytes += s->totals.file_bytes;
	total->totals.threads += s->totals.threads;
	for (unsigned i = 0; i < TRACE_EV_LAST; i++)
		total->events[i] += s->events[i];
	for (size_t i = 0; i < s->nr_not_captured; i++)
		add_not_captured(total, s->not_captured[i].what, s->not_captured[i].count);
}

/* ---- showing ---- */

static const char *machine_name(uint32_t machine)
{
	return machine == 62 ? "x86_64" : machine == 183 ? "aarch64" : "unknown";
}

static double per_access(const struct trace_summary *s)
{
	return s->accesses ? (double)s->totals.file_bytes / (double)s->accesses : 0;
}

static void put(json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)n));
}

static void put_text(json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

json_object *trace_summary_json(const struct trace_summary *s)
{
	json_object *o = json_object_new_object(), *events = json_object_new_object(),
		    *missing = json_object_new_object();

	put(o, "stream", s->stream);
	put_text(o, "file", s->path);
	put_text(o, "error", s->error);
	put(o, "pid", s->pid);
	put(o, "parent_stream", s->parent_stream);
	put_text(o, "how", s->how);
	put_text(o, "end", s->end);
	put_text(o, "source", s->source);
	put_text(o, "program", s->program);
	put_text(o, "command", s->command);
	put_text(o, "machine", machine_name(s->machine));
	put(o, "page_size", UINT64_C(1) << s->page_shift);
	json_object_object_add(
		o, "inferred", json_object_new_boolean(!!(s->flags & TRACE_F_INFERRED)));
	json_object_object_add(
		o, "complete", json_object_new_boolean(s->totals.complete && !s->error));
	put(o, "threads", s->totals.threads);
	json_object_object_add(
		o, "seconds", json_object_new_double((double)s->totals.duration_ns / 1e9));
	put(o, "instructions", s->instructions);
	put(o, "accesses", s->accesses);
	put(o, "runs", s->runs);
	put(o, "kernel_runs", s->kernel_runs);
	put(o, "code_runs", s->code_runs);
	put(o, "data_pages", s->data_pages);
	put(o, "code_pages", s->code_pages);
	put(o, "chunks", s->totals.chunks);
	put(o, "bytes", s->totals.file_bytes);
	put(o, "uncompressed_bytes", s->totals.raw_bytes);
	json_object_object_add(o, "bytes_per_access", json_object_new_double(per_access(s)));
	for (unsigned i = 0; i < TRACE_EV_LAST; i++)
		if (s->events[i] && i != TRACE_EV_NOT_CAPTURED && i != TRACE_EV_STATISTICS)
			put(events, trace_event_name(i), s->events[i]);
	json_object_object_add(o, "events", events);
	for (size_t i = 0; i < s->nr_not_captured; i++)
		put(missing, s->not_captured[i].what, s->not_captured[i].count);
	json_object_object_add(o, "not_captured", missing);
	return o;
}

static void print_events(const struct trace_summary *s, FILE *to)
{
	const char *before = "";

	fprintf(to, "  events        ");
	for (unsigned i = 0; i < TRACE_EV_LAST; i++)
		if (s->events[i] && i != TRACE_EV_NOT_CAPTURED && i != TRACE_EV_STATISTICS) {
			fprintf(to, "%s%s %" PRIu64, before, trace_event_name(i), s->events[i]);
			before = ", ";
		}
	fputs(*before ? "\n" : "none\n", to);
	fprintf(to, "  not captured  ");
	for (size_t i = 0; i < s->nr_not_captured; i++)
		fprintf(to, "%s%s %" PRIu64, i ? ", " : "", s->not_captured[i].what,
			s->not_captured[i].count);
	fputs(s->nr_not_captured ? "\n" : "nothing that was noticed\n", to);
}

void trace_summary_print(const struct trace_summary *s, FILE *to)
{
	fprintf(to, "%s\n", s->path);
	if (!s->program)
		return;
	fprintf(to, "  program       %s (%s, pid %" PRIu32 ")\n", s->program,
		machine_name(s->machine), s->pid);
	fprintf(to, "  command       %s\n", s->command ? s->command : "");
	fprintf(to, "  recorded by   %s%s\n", s->source,
		s->flags & TRACE_F_INFERRED ? "; mappings are inferred" : "");
	if (s->how)
		fprintf(to, "  began by      %s%s", s->how,
			s->parent_stream ? " in stream " : "\n");
	if (s->how && s->parent_stream)
		fprintf(to, "%" PRIu32 "\n", s->parent_stream);
	if (s->error)
		fprintf(to, "  ended         DAMAGED: %s\n", s->error);
	else if (s->totals.complete)
		fprintf(to, "  ended         %s\n", s->end ? s->end : "in order");
	else
		fprintf(to, "  ended         CUT OFF at offset %" PRIu64 "\n",
			s->totals.cut_offset);
	fprintf(to, "  threads       %u in %.2f s\n", s->totals.threads,
		(double)s->totals.duration_ns / 1e9);
	fprintf(to, "  instructions  %" PRIu64 "\n", s->instructions);
	fprintf(to,
		"  accesses      %" PRIu64 " in %" PRIu64 " runs over %" PRIu64 " pages; %" PRIu64
		" runs by the kernel\n",
		s->accesses, s->runs, s->data_pages, s->kernel_runs);
	fprintf(to, "  code          %" PRIu64 " runs over %" PRIu64 " pages\n", s->code_runs,
		s->code_pages);
	fprintf(to, "  size          %" PRIu64 " bytes in %" PRIu64 " chunks, %.3f bytes/access\n",
		s->totals.file_bytes, s->totals.chunks, per_access(s));
	print_events(s, to);
}

void trace_summary_print_total(const struct trace_summary *s, FILE *to)
{
	fprintf(to, "all streams\n");
	fprintf(to, "  accesses      %" PRIu64 " in %" PRIu64 " runs, %u threads\n", s->accesses,
		s->runs, s->totals.threads);
	fprintf(to, "  size          %" PRIu64 " bytes, %.3f bytes/access\n", s->totals.file_bytes,
		per_access(s));
	print_events(s, to);
}
