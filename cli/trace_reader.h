/* SPDX-License-Identifier: MIT */
/* The reader's inside: trace_format.c opens files and orders batches, trace_decode.c decodes chunks. */
#ifndef PF_CLI_TRACE_READER_H
#define PF_CLI_TRACE_READER_H

#include "trace_format.h"
#include "trace_layout.h"

#include <sys/types.h>
#include <zstd.h>

/* Ops decoded at once; each is at most a page and a run, or a run of many accesses. */
#define BATCH_OPS   4096u
#define BATCH_WORDS (4u * BATCH_OPS)
#define NO_PAGE     (UINT64_C(1) << 52)

struct chunk {
	uint64_t offset; /* of its header */
	uint64_t first_seq, time_first;
	uint32_t thread, kind, payload, payload_crc, method;
	uint32_t raw[TRACE_SECTIONS];
	uint32_t runs, code_runs, events;
	uint64_t accesses;
};

/* One thread's place in the stream: the chunks [next, end) of r->chunks are still to come. */
struct cursor {
	size_t next, end, first;
	uint32_t thread;
	uint64_t seq, time_ns;
	bool have_event; /* decoded, not delivered */
	struct trace_event event;
	char text[TRACE_EVENT_MAX_TEXT + 1];
	/* The chunk being decoded; raw is NULL between chunks. */
	const struct chunk *chunk;
	uint8_t *raw;
	const uint8_t *raw_end; /* of the readable bytes, padding included */
	const uint8_t *ops, *counts, *pages, *events;
	const uint8_t *ops_end, *counts_end, *pages_end, *events_end;
	trace_word words[256]; /* by op: the word it stands for */
	uint64_t last_data, last_code;
	unsigned code_place;
	uint32_t prefix;
	uint32_t seen_runs, seen_code, seen_events;
	uint64_t seen_accesses;
	uint64_t table[TRACE_WORD_PLACES]; /* pages of places, for trace_expand() alone */
};

struct trace_reader {
	int fd;
	char *path;
	char *error;
	struct trace_header header;
	struct trace_totals totals;
	uint8_t *header_bytes;
	const char **argv;
	struct chunk *chunks; /* sorted by thread, in file order within one */
	size_t nr_chunks;
	struct cursor **cursors;
	size_t nr_cursors;
	ZSTD_DCtx *zstd;
	uint8_t *payload;
	size_t payload_size;
	struct trace_event event;
	char text[TRACE_EVENT_MAX_TEXT + 1];
	struct trace_run runs[BATCH_OPS];
	trace_word words[BATCH_WORDS];
};

/* Sets the error to FILE: offset N: message, unless one is set; returns -1. */
int trace_fail(struct trace_reader *r, uint64_t offset, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Reads exactly len bytes. Returns 0, 1 if the file ends before, -1 on error. */
int trace_read_at(struct trace_reader *r, void *buf, size_t len, uint64_t offset);

/* Loads the cursor's next chunk. Returns 0 or -1. */
int trace_load_chunk(struct trace_reader *r, struct cursor *c);
/* The chunk held what its header claims, no more. Returns 0 or -1. */
int trace_finish_chunk(struct trace_reader *r, struct cursor *c);
/*
 * Decodes runs until BATCH_OPS ops are done, an event is met or the chunk ends: words and their numbers
 * into *b. Returns 0 or -1.
 */
int trace_decode_words(struct trace_reader *r, struct cursor *c, struct trace_batch *b);
/* Fills b->runs from b->words, which are the next of this cursor. */
void trace_expand(struct trace_reader *r, struct cursor *c, struct trace_batch *b);
/* Decodes the event at which decoding runs stopped. Returns 0 or -1. */
int trace_decode_event(struct trace_reader *r, struct cursor *c);

#endif
