/* SPDX-License-Identifier: MIT */
/*
 * The receiving end of recorders (record_proto.h): gives each process that connects its shared
 * memory, and writes what arrives there to the process's stream. Threads of the server do the
 * encoding; the functions here are called by one thread.
 */
#ifndef PF_CLI_RECORD_SERVER_H
#define PF_CLI_RECORD_SERVER_H

#include "record_proto.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct record_config {
	const char *path;   /* of the manifest */
	const char *source; /* what records, for the header */
	const char *plugin, *qemu_x86_64, *qemu_aarch64, *sysroot_aarch64, *cpu_x86_64,
		*cpu_aarch64;
	unsigned zva_bytes; /* of cpu_aarch64; 0: not known */
};

struct record_totals {
	uint64_t accesses, runs, events, bytes, instructions;
	unsigned streams, running, damaged;
	bool started; /* the first process executed at least one instruction */
	int error;    /* errno of a write that failed; 0 if none did */
};

struct record_server;

/* NULL with a message in *error, which the caller frees. */
struct record_server *record_server_start(const struct record_config *config, char **error);
/* The name that recorders connect to. */
const char *record_server_socket(const struct record_server *s);
/* Serves for at most timeout_ms, or until fd (if not -1) is readable. */
void record_server_poll(struct record_server *s, int fd, int timeout_ms);
/* A process that was waited for has ended: its streams' ends say how. */
void record_server_ended(struct record_server *s, pid_t pid, int status);
void record_server_totals(struct record_server *s, struct record_totals *t);
/* Waits for every stream to be written, writes the manifest, frees. Returns 0 or a negative errno. */
int record_server_finish(struct record_server *s, struct record_totals *t);

#endif
