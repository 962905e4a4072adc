/* SPDX-License-Identifier: MIT */
#include "recording.h"

#include <stdio.h>
#include <stdlib.h>

static void must(int rc, const char *what)
{
	if (rc) {
		fprintf(stderr, "%s: error %d\n", what, -rc);
		abort();
	}
}

void rec_begin(struct recording *r, const char *path, uint32_t pid, uint32_t stream,
	uint32_t parent, uint32_t flags, uint64_t start_ns)
{
	static const char *const argv[] = {"program"};
	const struct trace_header h = {
		.machine = 183,
		.page_shift = 12,
		.flags = flags,
		.pid = pid,
		.stream = stream,
		.parent_stream = parent,
		.start_ns = start_ns,
		.merge = 1,
		.source = "test",
		.program = "/bin/program",
		.argc = 1,
		.argv = argv,
	};

	memset(r, 0, sizeof(*r));
	must(trace_writer_create(&r->writer, path, &h), path);
	for (unsigned i = 1; i < REC_THREADS; i++)
		must(trace_encoder_init(&r->thread[i], i, 0, 0), "encoder");
}

static void flush_if_full(struct recording *r, struct trace_encoder *e)
{
	if (trace_encoder_full(e))
		must(trace_encoder_flush(e, &r->writer), "flush");
}

void rec_end(struct recording *r)
{
	for (unsigned i = 1; i < REC_THREADS; i++) {
		must(trace_encoder_flush(&r->thread[i], &r->writer), "flush");
		trace_encoder_free(&r->thread[i]);
	}
	must(trace_writer_finish(&r->writer, true, r->seq, r->time_ns), "finish");
}

void rec_run(struct recording *r, unsigned thread, uint64_t page, uint64_t count, uint32_t flags)
{
	struct trace_encoder *e = &r->thread[thread];

	if (e->seq != r->seq) {
		trace_encode_mark(e, r->seq, r->time_ns);
		flush_if_full(r, e);
	}
	if (!trace_encode_run(e, page, count, flags))
		abort();
	flush_if_full(r, e);
}

void rec_sweep(struct recording *r, unsigned thread, uint64_t page, uint64_t nr, uint32_t flags)
{
	for (uint64_t i = 0; i < nr; i++)
		rec_run(r, thread, page + i, 1, flags);
}

void rec_code(struct recording *r, unsigned thread, uint64_t page)
{
	trace_encode_code(&r->thread[thread], page);
	flush_if_full(r, &r->thread[thread]);
}

void rec_event(struct recording *r, unsigned thread, enum trace_event_kind kind, int64_t result,
	unsigned nr, const uint64_t *args, const char *text)
{
	struct trace_event ev = {.kind = kind,
		.seq = ++r->seq,
		.time_ns = r->time_ns += 1000,
		.nr_args = nr,
		.result = result,
		.text = text ? text : ""};

	memcpy(ev.args, args, nr * sizeof(*args));
	trace_encode_event(&r->thread[thread], &ev);
	flush_if_full(r, &r->thread[thread]);
}
