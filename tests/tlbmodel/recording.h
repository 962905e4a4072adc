/* SPDX-License-Identifier: MIT */
/* Recordings made by hand, for tests of the replay. */
#ifndef TESTS_TLBMODEL_RECORDING_H
#define TESTS_TLBMODEL_RECORDING_H

#include "cli/trace_write.h"

#define REC_THREADS 4

struct recording {
	struct trace_writer writer;
	struct trace_encoder thread[REC_THREADS]; /* from 1; 0 is not used */
	uint64_t seq, time_ns;
};

void rec_begin(struct recording *r, const char *path, uint32_t pid, uint32_t stream,
	uint32_t parent, uint32_t flags, uint64_t start_ns);
void rec_end(struct recording *r);
void rec_run(struct recording *r, unsigned thread, uint64_t page, uint64_t count, uint32_t flags);
/* nr pages from page, each once. */
void rec_sweep(struct recording *r, unsigned thread, uint64_t page, uint64_t nr, uint32_t flags);
void rec_code(struct recording *r, unsigned thread, uint64_t page);
void rec_event(struct recording *r, unsigned thread, enum trace_event_kind kind, int64_t result,
	unsigned nr, const uint64_t *args, const char *text);

#define REC_EVENT(r, thread, kind, result, ...)                                                    \
	rec_event(r, thread, kind, (int64_t)(result),                                              \
		sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]){__VA_ARGS__},   \
		NULL)

#define REC_R TRACE_RUN_READ
#define REC_W (TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST)

#endif
