/* SPDX-License-Identifier: MIT */
/*
 * Writing recordings (docs/TRACE.md): a trace_encoder for each thread makes chunks, a trace_writer
 * for each file puts them there. An encoder is used by one thread of the program at a time; the
 * writer has its own lock.
 */
#ifndef PF_CLI_TRACE_WRITE_H
#define PF_CLI_TRACE_WRITE_H

#include "trace_format.h"
#include "trace_layout.h"

#include <pthread.h>
#include <string.h>

#define TRACE_CHUNK_OPS 1048576u
#define TRACE_HASH      1024u /* entries */

struct trace_writer {
	pthread_mutex_t lock;
	int fd;
	char *path;
	uint64_t offset, chunks;
	int error; /* errno of the first failed write; the file then ends behind its last whole chunk */
	uint64_t accesses, runs, code_runs, events;
};

struct trace_encoder {
	uint32_t thread;
	uint64_t first_seq, seq;
	uint64_t time_first, time_ns;
	uint64_t accesses;
	uint32_t runs, code_runs, nr_events;
	bool open;
	uint8_t *ops, *counts, *pages, *events; /* where the next byte goes */
	uint8_t *ops_begin, *counts_begin, *pages_begin, *events_begin; /* one allocation */
	uint8_t *limit; /* the chunk is to be written when ops reaches it */
	uint64_t table[TRACE_DATA_PLACES], code_table[TRACE_CODE_PLACES];
	uint64_t last_data, last_code;
	uint8_t used[TRACE_DATA_PLACES]; /* 1 if used since the hand went by */
	unsigned hand, code_place;
	struct {
		uint64_t page,
			place; /* right while the data table says so too, which it does unless page is NO_PAGE */
	} hash[TRACE_HASH];
	uint8_t code_hash[TRACE_HASH];
};

/* Creates path and writes the header; h's strings included. Returns 0 or a negative errno. */
int trace_writer_create(struct trace_writer *w, const char *path, const struct trace_header *h);
/* Ends the file and closes it. `complete` says that the recording is whole. Returns 0 or a negative errno. */
int trace_writer_finish(struct trace_writer *w, bool complete, uint64_t seq, uint64_t time_ns);

/* Returns 0 or -ENOMEM. time_ns counts from the start of the stream, here as below. */
int trace_encoder_init(struct trace_encoder *e, uint32_t thread, uint64_t seq, uint64_t time_ns);
void trace_encoder_free(struct trace_encoder *e);
/* Writes what is pending as a chunk, if there is anything. Returns 0 or a negative errno. */
int trace_encoder_flush(struct trace_encoder *e, struct trace_writer *w);

/* Event number `seq` happened before what follows; the time is now time_ns. Neither goes back. */
void trace_encode_mark(struct trace_encoder *e, uint64_t seq, uint64_t time_ns);
/* Event ev->seq, after the encoder's seq. ev->thread is not used. */
void trace_encode_event(struct trace_encoder *e, const struct trace_event *ev);
void trace_encode_code(struct trace_encoder *e, uint64_t page);

/* After each of the above and below: true if trace_encoder_flush must be called before the next. */
static inline bool trace_encoder_full(const struct trace_encoder *e)
{
	return e->ops >= e->limit;
}

/*
 * A run as recorders hand it over: page << 20 | count << 4 | tag. Tags that mean a data run are
 * TRACE_RUN_READ, _WRITE and _WRITE_FIRST or'ed, as a run of one writer may have them.
 */
#define TRACE_PACKED_PAGE(v)  ((v) >> 20)
#define TRACE_PACKED_COUNT(v) ((v) >> 4 & 0xffff)
#define TRACE_PACKED_TAG(v)   ((v)&15)

/*
 * Encodes from *next on while there are sensible data runs before end and the chunk is not full;
 * *next is then the first that was not encoded.
 */
void trace_encode_packed(struct trace_encoder *e, const uint64_t **next, const uint64_t *end);
/*
 * One data run; flags are TRACE_RUN_*, of both READ and WRITE only if count is at least 2. Returns
 * false and encodes nothing if that makes no sense. Counts beyond 2^31 are for the caller to split.
 */
bool trace_encode_run(struct trace_encoder *e, uint64_t page, uint64_t count, uint32_t flags);

#endif
