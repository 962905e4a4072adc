/* SPDX-License-Identifier: MIT */
/*
 * One process image being recorded: its shared memory, its file, and the threads that bring the one
 * to the other. All functions are for the server's one thread.
 */
#ifndef PF_CLI_RECORD_STREAM_H
#define PF_CLI_RECORD_STREAM_H

#include "record_server.h"
#include "trace_manifest.h"

struct record_stream;

struct record_birth {
	uint32_t number;
	pid_t pid;
	struct rec_hello hello;
	const struct record_stream *parent; /* NULL if none */
	const char *base_path;              /* of the manifest */
	const char *source;
	uint64_t start_ns, recording_ns; /* CLOCK_MONOTONIC: of the stream, of the whole */
	uint64_t real_ns;
};

/* Takes the mapping over once it succeeds. Returns 0 or a negative errno. */
int record_stream_start(
	struct record_stream **out, struct rec_shared *shared, const struct record_birth *birth);
pid_t record_stream_pid(const struct record_stream *s);
/* Readable when the process is gone; -1 once that has been noted. */
int record_stream_pidfd(const struct record_stream *s);
/* The process is gone or runs another image: what is still queued is written, then the file ends. */
void record_stream_end(struct record_stream *s);
/* How the process ended, if that is known. */
void record_stream_status(struct record_stream *s, int status);
/* Frees what a stream whose threads are done no longer needs. */
void record_stream_reap(struct record_stream *s);
void record_stream_join(struct record_stream *s);
void record_stream_free(struct record_stream *s);
/* The strings stay the stream's. */
void record_stream_describe(struct record_stream *s, struct trace_stream_info *info);
/* Adds to t. */
void record_stream_totals(struct record_stream *s, struct record_totals *t);

#endif
