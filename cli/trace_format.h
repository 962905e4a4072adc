/* SPDX-License-Identifier: MIT */
/*
 * Reading recordings (docs/TRACE.md): one struct trace_reader reads one stream, that is one
 * process between its start, fork or exec and its end. trace_manifest.h finds the streams of a
 * recording.
 *
 * A stream is delivered as batches: runs of page accesses, then at most one event. Batches of
 * several threads are interleaved so that every run lies between the same two events (of the whole
 * process) as when it was recorded, and otherwise by time. Numbers that come from the file are
 * checked before they are used; damaged input ends in an error with the file's name and the offset.
 */
#ifndef PF_CLI_TRACE_FORMAT_H
#define PF_CLI_TRACE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace_word.h"

/* File header flags. */
#define TRACE_F_FORKED   1u /* begins at a fork; the address space was the parent's */
#define TRACE_F_EXECED   2u /* begins at an exec of the process that the parent stream recorded */
#define TRACE_F_INFERRED 4u /* mappings are inferred, not observed (imported recordings) */
#define TRACE_F_NO_CODE  8u /* has no instruction pages */

/* Run flags. A run's accesses were consecutive in its thread, instruction fetches aside. */
#define TRACE_RUN_READ        1u  /* at least one access was a read */
#define TRACE_RUN_WRITE       2u  /* at least one access was a write */
#define TRACE_RUN_WRITE_FIRST 4u  /* the first access was a write */
#define TRACE_RUN_CODE        8u  /* instructions were fetched from the page; count is 1 */
#define TRACE_RUN_KERNEL      16u /* by a system call, through the caller's buffer; count is 1 */

struct trace_run {
	uint64_t page; /* virtual address >> page_shift */
	uint32_t count;
	uint32_t flags;
};

/*
 * Event kinds. From TRACE_EV_MMAP on they are system calls: args are the caller's, in order, result
 * is what the call returned (negative: -errno, Linux's numbers).
 */
enum trace_event_kind {
	TRACE_EV_MAP =
		8, /* mapped when the stream begins: start, length, prot, TRACE_MAP_*, file offset, dev,
			     inode; text: path */
	TRACE_EV_THREAD_START, /* tid */
	TRACE_EV_THREAD_EXIT,
	TRACE_EV_FORK,  /* clone flags; result: the child's pid */
	TRACE_EV_CLONE, /* clone flags; result: the new thread's tid */
	TRACE_EV_EXEC,  /* text: path; the process goes on in another stream, or unrecorded */
	TRACE_EV_EXIT,  /* exit status */
	TRACE_EV_NOT_CAPTURED, /* count; text: what */
	TRACE_EV_STATISTICS, /* instructions executed so far (inexact while several threads run) */
	TRACE_EV_MMAP = 32,  /* six arguments; of files also dev, inode, size; text: path */
	TRACE_EV_MUNMAP,
	TRACE_EV_MREMAP,
	TRACE_EV_MPROTECT,
	TRACE_EV_PKEY_MPROTECT,
	TRACE_EV_MADVISE,
	TRACE_EV_PROCESS_MADVISE, /* the iovecs follow as pairs of address, length while there is room */
	TRACE_EV_BRK,
	TRACE_EV_MLOCK,
	TRACE_EV_MLOCK2,
	TRACE_EV_MUNLOCK,
	TRACE_EV_MLOCKALL,
	TRACE_EV_MUNLOCKALL,
	TRACE_EV_MSYNC,
	TRACE_EV_MINCORE,
	TRACE_EV_SHMAT, /* three arguments, then the segment's size if it is known */
	TRACE_EV_SHMDT,
	TRACE_EV_REMAP_FILE_PAGES,
	TRACE_EV_MBIND,
	TRACE_EV_SET_MEMPOLICY,
	TRACE_EV_MIGRATE_PAGES,
	TRACE_EV_MOVE_PAGES,
	TRACE_EV_USERFAULTFD,
	TRACE_EV_PRCTL, /* only of options that concern memory */
	TRACE_EV_MSEAL,
	TRACE_EV_LAST
};

/* The fourth argument of TRACE_EV_MAP. */
enum trace_map_class {
	TRACE_MAP_ANON = 0,
	TRACE_MAP_FILE = 1,
	TRACE_MAP_STACK = 2,
	TRACE_MAP_HEAP = 3,
	TRACE_MAP_SHARED = 16, /* or'ed in */
};

struct trace_event {
	enum trace_event_kind kind;
	uint32_t thread;  /* number within the stream, from 1 */
	uint64_t seq;     /* place in the order of the process's events, from 1 */
	uint64_t time_ns; /* since the stream began */
	unsigned nr_args;
	uint64_t args[12];
	int64_t result;
	const char *text; /* 0-terminated, never NULL; lives until the next batch */
};

struct trace_header {
	uint32_t version, machine, page_shift, flags; /* machine: ELF e_machine */
	uint32_t pid, parent_pid, stream, parent_stream;
	uint64_t parent_seq;
	uint64_t start_realtime_ns, start_ns; /* start_ns: since the recording began */
	uint64_t guest_base;
	uint32_t merge;      /* pages over which runs were merged; 1: not merged */
	const char *source;  /* the tool that recorded */
	const char *program; /* path of the executable */
	unsigned argc;
	const char *const *argv;
};

struct trace_totals {
	uint64_t accesses, runs, code_runs, events, chunks;
	uint64_t file_bytes, payload_bytes, raw_bytes;
	unsigned threads;
	uint64_t duration_ns;
	bool complete;       /* the writer ended the file */
	uint64_t cut_offset; /* if not complete: where the last whole chunk ends */
};

struct trace_batch {
	uint32_t thread;
	uint64_t seq;     /* of the last event before these runs */
	uint64_t time_ns; /* since the stream began; the nearest mark before the runs */
	size_t nr_runs;
	uint64_t accesses;            /* of data */
	const struct trace_run *runs; /* one or the other, as it was asked for */
	const trace_word *words;
	size_t nr_words;
	const struct trace_event *event; /* comes after the runs; NULL if none */
};

struct trace_reader;

/*
 * Open a stream and read its header and every chunk's header; a file cut off in the middle of a
 * chunk opens and is !complete. Returns 0, or -1 with a one-line reason in *error (which names file
 * and offset, and which the caller frees).
 */
int trace_open(struct trace_reader **out, const char *path, char **error);
void trace_close(struct trace_reader *r);

const struct trace_header *trace_get_header(const struct trace_reader *r);
/* From the chunk headers alone, without decoding. */
const struct trace_totals *trace_get_totals(const struct trace_reader *r);

/*
 * The next batch; its memory is the reader's, until the next call. Returns 1, 0 at the end, or -1:
 * trace_error() then says why, and every later call answers -1.
 */
int trace_next_batch(struct trace_reader *r, struct trace_batch *batch);
/*
 * The same with words in place of runs (trace_word.h); at most TRACE_BATCH_WORDS. A reader is asked for one or
 * for the other, from its beginning or a rewind on.
 */
int trace_next_words(struct trace_reader *r, struct trace_batch *batch);
#define TRACE_BATCH_WORDS 16384u
/* Begin again with the first batch. */
void trace_rewind(struct trace_reader *r);
const char *trace_error(const struct trace_reader *r);

/* "mmap", "fork", …; NULL for a number that names no event. */
const char *trace_event_name(unsigned kind);
/* How many leading arguments of the kind are the call's own. */
unsigned trace_event_call_args(unsigned kind);

#endif
