/* SPDX-License-Identifier: MIT */
/*
 * A recording is a manifest, which is a JSON file, and beside it a file for each process image: a
 * stream. Whoever is given a recording by name may be given a manifest or a single stream.
 */
#ifndef PF_CLI_TRACE_MANIFEST_H
#define PF_CLI_TRACE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_stream_info {
	char *path;    /* as trace_open takes it */
	char *program; /* NULL if only the stream knows */
	char *how;     /* "start", "fork", "exec" or "exec failed"; NULL likewise */
	char *end; /* "exit N", "exec", "signal N", "unknown"; NULL while it was being recorded */
	uint32_t stream, parent_stream, pid;
};

struct trace_manifest {
	bool single; /* the name was a stream's: the rest of the recording is not known */
	size_t nr;
	struct trace_stream_info *streams; /* in the order in which they began */
};

/*
 * Reads the manifest at path, or makes one of the stream at path. Returns 0, or -1 with a one-line
 * reason in *error, which the caller frees.
 */
int trace_manifest_read(struct trace_manifest *m, const char *path, char **error);
/* Writes m at path, all at once; stream paths become relative to it. Returns 0 or a negative errno. */
int trace_manifest_write(const struct trace_manifest *m, const char *path, const char *source);
void trace_manifest_free(struct trace_manifest *m);

#endif
