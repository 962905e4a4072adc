// SPDX-License-Identifier: MIT
/*
 * All streams of the recordings in one order. One CPU plays them: processes by time, as recorded; the
 * threads of a process in turn, in slices of REPLAY_SLICE accesses. Events keep their place: every run of
 * a process lies between the same two events of it as when it was recorded.
 *
 * A stream with several threads is read ahead up to its next event (or as far as the window reaches), and
 * what was read is dealt out in slices.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/replay.h"
#include "cli/trace_manifest.h"

/* Runs (not words) read ahead for each thread of a process, about; a chunk of a recording has at most a million. */
#define WINDOW_PER_THREAD (UINT64_C(1) << 20)
#define WINDOW_MAX        (UINT64_C(1) << 24)

/* Runs passed on at once. Words of as many fit into a step: a page and a run are four. */
#define STEP_RUNS 4096u
PF_STATIC_ASSERT(STEP_RUNS * 4 <= REPLAY_STEP_WORDS, "a step has room");

struct queue {
	uint32_t thread;
	trace_word *words;
	size_t nr, room, at;
};

enum state {
	WAITING, /* for its parent's fork or exec */
	RUNNING,
	ENDED,
};

struct stream {
	struct trace_reader *reader;
	unsigned recording;
	enum state state;
	bool starts_by_fork;
	uint64_t time; /* of the recording; of what comes next, nearly */
	bool at_end;   /* the reader has given everything */
	/* What the reader gave and has not been passed on. Only several threads have queues. */
	struct trace_batch batch;
	bool have_runs, have_event;
	struct queue *queues;
	size_t nr_queues, turn;
	uint64_t queued, window, slice_left;
	bool dealing;
};

struct replay_source {
	struct stream *streams;
	size_t nr;
	struct replay_totals totals;
};

static __attribute__((format(printf, 2, 3))) int fail(char **error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(error, fmt, ap) < 0)
		abort();
	va_end(ap);
	return -1;
}

/* ---- opening ---- */

static int add_stream(struct replay_source *s, const char *path, unsigned recording, char **error)
{
	const struct trace_header *h;
	const struct trace_totals *t;
	struct stream *st;

	s->streams = realloc(s->streams, (s->nr + 1) * sizeof(*s->streams));
	if (!s->streams)
		abort();
	st = &s->streams[s->nr];
	*st = (struct stream){.recording = recording};
	if (trace_open(&st->reader, path, error))
		return -1;
	s->nr++;
	h = trace_get_header(st->reader);
	t = trace_get_totals(st->reader);
	if (h->page_shift != 12)
		return fail(
			error, "%s: pages of %u bytes, expected 4096", path, 1u << h->page_shift);
	if (s->nr > 1 && h->machine != s->totals.machine)
		s->totals.machine = 0;
	else
		s->totals.machine = h->machine;
	st->starts_by_fork = h->flags & TRACE_F_FORKED;
	st->time = h->start_ns;
	st->window = WINDOW_PER_THREAD * t->threads;
	if (st->window > WINDOW_MAX)
		st->window = WINDOW_MAX;
	s->totals.accesses += t->accesses;
	s->totals.threads += t->threads;
	s->totals.complete &= t->complete;
	s->totals.inferred |= h->flags & TRACE_F_INFERRED;
	s->totals.merged |= h->merge > 1;
	return 0;
}

/* The stream that a stream goes on from, or NULL. */
static struct stream *parent_of(struct replay_source *s, const struct stream *st)
{
	const struct trace_header *h = trace_get_header(st->reader);

	for (size_t i = 0; h->parent_stream && i < s->nr; i++) {
		struct stream *p = &s->streams[i];

		if (p != st && p->recording == st->recording &&
			trace_get_header(p->reader)->stream == h->parent_stream)
			return p;
	}
	return NULL;
}

struct replay_source *replay_source_open(char **paths, int nr, char **error)
{
	struct replay_source *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->totals.complete = true;
	for (int i = 0; i < nr; i++) {
		struct trace_manifest m;

		if (trace_manifest_read(&m, paths[i], error))
			goto failed;
		for (size_t k = 0; k < m.nr; k++)
			if (add_stream(s, m.streams[k].path, (unsigned)i, error)) {
				trace_manifest_free(&m);
				goto failed;
			}
		trace_manifest_free(&m);
	}
	s->totals.streams = s->nr;
	for (size_t i = 0; i < s->nr; i++)
		s->streams[i].state = parent_of(s, &s->streams[i]) ? WAITING : RUNNING;
	return s;
failed:
	replay_source_close(s);
	return NULL;
}

void replay_source_close(struct replay_source *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nr; i++) {
		struct stream *st = &s->streams[i];

		for (size_t k = 0; k < st->nr_queues; k++)
			free(st->queues[k].words);
		free(st->queues);
		trace_close(st->reader);
	}
	free(s->streams);
	free(s);
}

void replay_source_totals(const struct replay_source *s, struct replay_totals *t)
{
	*t = s->totals;
}

/* ---- threads ---- */

static struct queue *queue_of(struct stream *st, uint32_t thread)
{
	for (size_t i = 0; i < st->nr_queues; i++)
		if (st->queues[i].thread == thread)
			return &st->queues[i];
	st->queues = realloc(st->queues, (st->nr_queues + 1) * sizeof(*st->queues));
	if (!st->queues)
		abort();
	st->queues[st->nr_queues] = (struct queue){.thread = thread};
	return &st->queues[st->nr_queues++];
}

static void enqueue(struct stream *st, const struct trace_batch *b)
{
	struct queue *q = queue_of(st, b->thread);

	if (q->nr + b->nr_words > q->room) {
		q->room = 2 * (q->nr + b->nr_words);
		q->words = realloc(q->words, q->room * sizeof(*q->words));
		if (!q->words)
			abort();
	}
	memcpy(q->words + q->nr, b->words, b->nr_words * sizeof(*q->words));
	q->nr += b->nr_words;
	st->queued += b->nr_runs;
}

/*
 * As much of a queue as a slice has left, but no more runs than a batch has, into the step: words, and how many
 * runs they are.
 */
static uint64_t take(struct stream *st, struct queue *q, struct replay_step *step)
{
	const trace_word *from = q->words + q->at;
	size_t n = 0, left = q->nr - q->at;
	uint64_t runs = 0;

	step->accesses = 0;
	while (n < left && runs < STEP_RUNS && st->slice_left) {
		uint64_t accesses = trace_word_accesses(from + n);
		bool is_run = trace_word_place(from[n]) != TRACE_WORD_PAGE, code;

		st->slice_left -= pf_min(accesses, st->slice_left);
		n += trace_word_length(from[n]);
		/* The last word of what it is. */
		code = is_run && trace_word_flags(from[n - 1]) & TRACE_RUN_CODE;
		step->accesses += code ? 0 : accesses;
		runs += is_run;
	}
	q->at += n;
	step->words = from;
	step->nr_words = n;
	return runs;
}

/* The next piece of a slice of the thread whose turn it is. False: the queues are empty. */
static bool deal(struct replay_source *s, struct stream *st, struct replay_step *step)
{
	for (size_t tried = 0; st->queued && tried <= st->nr_queues; tried++) {
		struct queue *q = &st->queues[st->turn];
		uint64_t runs = take(st, q, step);

		step->thread = (uint32_t)st->turn;
		st->queued -= runs;
		if (!st->slice_left || q->at == q->nr) {
			st->turn = (st->turn + 1) % st->nr_queues;
			st->slice_left = REPLAY_SLICE;
			s->totals.slices += runs > 0;
		}
		if (step->nr_words) {
			step->kind = REPLAY_RUNS;
			return true;
		}
	}
	/* What is left are pages of runs that are still to come. */
	for (size_t i = 0; i < st->nr_queues; i++) {
		struct queue *q = &st->queues[i];

		q->nr -= q->at;
		if (q->nr)
			memmove(q->words, q->words + q->at, q->nr * sizeof(*q->words));
		q->at = 0;
	}
	return false;
}

/* ---- order ---- */

/* A stream has ended: what its process executed starts, and so does who waited for a fork in vain. */
static void release_children(struct replay_source *s, const struct stream *parent)
{
	for (size_t i = 0; i < s->nr; i++) {
		struct stream *st = &s->streams[i];

		if (st->state == WAITING && parent_of(s, st) == parent)
			st->state = RUNNING;
	}
}

static struct stream *first_stream(struct replay_source *s)
{
	struct stream *best = NULL;

	for (size_t i = 0; i < s->nr; i++)
		if (s->streams[i].state == RUNNING && (!best || s->streams[i].time < best->time))
			best = &s->streams[i];
	return best;
}

/* The child whose birth the event of the parent's is, or -1. */
static int64_t child_of(
	struct replay_source *s, const struct stream *parent, const struct trace_event *ev)
{
	for (size_t i = 0; i < s->nr; i++) {
		struct stream *st = &s->streams[i];

		if (st->state == WAITING && st->starts_by_fork && ev->result > 0 &&
			trace_get_header(st->reader)->pid == (uint64_t)ev->result &&
			parent_of(s, st) == parent)
			return (int64_t)i;
	}
	return -1;
}

static void give_event(struct replay_source *s, struct stream *st, struct replay_step *step)
{
	const struct trace_event *ev = st->batch.event;
	const struct trace_header *h = trace_get_header(st->reader);

	step->kind = REPLAY_EVENT;
	step->event = *ev;
	step->event.text = NULL;
	step->own_program = ev->kind == TRACE_EV_MAP && h->program && !strcmp(ev->text, h->program);
	if (ev->kind == TRACE_EV_FORK) {
		int64_t child = child_of(s, st, ev);

		if (child >= 0) {
			step->kind = REPLAY_FORK;
			step->child = (uint32_t)child;
			s->streams[child].state = RUNNING;
		}
	}
	st->have_event = false;
}

/* Read on. 1, 0 at the end, -1. */
static int read_batch(struct stream *st, char **error)
{
	int rc = trace_next_words(st->reader, &st->batch);

	if (rc < 0)
		return fail(error, "%s", trace_error(st->reader));
	if (!rc) {
		st->at_end = true;
		return 0;
	}
	st->time = trace_get_header(st->reader)->start_ns + st->batch.time_ns;
	st->have_event = st->batch.event;
	st->have_runs = st->batch.nr_words;
	return 1;
}

/* The next step of one stream. */
static int stream_next(
	struct replay_source *s, struct stream *st, struct replay_step *step, char **error)
{
	const bool one_thread = trace_get_totals(st->reader)->threads <= 1;

	for (;;) {
		int rc;

		if (one_thread && st->have_runs) {
			step->kind = REPLAY_RUNS;
			/* The recorder's own words, if there are runs among them, have another table. */
			step->thread = !st->batch.thread;
			step->words = st->batch.words;
			step->nr_words = st->batch.nr_words;
			step->accesses = st->batch.accesses;
			st->have_runs = false;
			return 1;
		}
		if (st->dealing && deal(s, st, step))
			return 1;
		st->dealing = false;
		if (st->have_event) {
			give_event(s, st, step);
			return 1;
		}
		if (st->at_end)
			break;
		rc = read_batch(st, error);
		if (rc < 0)
			return -1;
		if (rc && !one_thread && st->have_runs)
			enqueue(st, &st->batch);
		if (st->queued && (!rc || st->have_event || st->queued >= st->window)) {
			st->dealing = true;
			st->slice_left = REPLAY_SLICE;
		}
	}
	st->state = ENDED;
	step->kind = REPLAY_END;
	release_children(s, st);
	return 1;
}

int replay_source_next(struct replay_source *s, struct replay_step *step, char **error)
{
	struct stream *st = first_stream(s);

	*step = (struct replay_step){.kind = REPLAY_DONE};
	if (!st)
		return 1;
	step->stream = (uint32_t)(st - s->streams);
	return stream_next(s, st, step, error);
}
