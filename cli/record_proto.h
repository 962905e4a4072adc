/* SPDX-License-Identifier: MIT */
/*
 * What a recorder running inside a traced process and `pagefold record` say to each other.
 *
 * The recorder connects to the abstract SOCK_SEQPACKET socket named in its arguments, sends a
 * rec_hello, and receives a rec_welcome with the file descriptor of a memory of REC_SIZE bytes,
 * which both map: struct rec_shared, then the lanes, then the lanes' buffers. It closes both
 * descriptors at once, so nothing that the program does to its descriptors matters. A lane is one
 * thread's queue of buffers; the thread alone advances `head`, the server alone `tail`. The memory
 * outlives the process, so nothing is lost when the program is killed.
 */
#ifndef PF_CLI_RECORD_PROTO_H
#define PF_CLI_RECORD_PROTO_H

#include <stdint.h>

#define REC_MAGIC         0x50464c44u
#define REC_VERSION       1u
#define REC_LANES         4096u
#define REC_BUFFERS       8u
#define REC_WORDS         32768u /* a buffer's */
#define REC_WORKERS       8u
#define REC_COUNTERS      512u
#define REC_PATH          1024u
#define REC_LANE_SIZE     512u
#define REC_SHARED_SIZE   65536u
#define REC_BUFFER_OFFSET (REC_SHARED_SIZE + (uint64_t)REC_LANES * REC_LANE_SIZE)
#define REC_SIZE                                                                                   \
	(REC_BUFFER_OFFSET + (uint64_t)REC_LANES * REC_BUFFERS * REC_WORDS * sizeof(uint64_t))

/*
 * A buffer is an array of words. A word is a data run as trace_write.h packs it (page << 20 | count <<
 * 4 | tag) or, by its tag:
 *
 *   REC_TAG_SYNC          number << 20: the number of the last event of the process, modulo 2^44
 *   REC_TAG_EVENT         kind << 20, count: so many words follow and hold a rec_event
 *   REC_TAG_CODE          page << 20
 *   REC_TAG_KERNEL_READ, REC_TAG_KERNEL_WRITE   page << 20
 */
#define REC_WORD(high, tag, count) ((uint64_t)(high) << 20 | (uint64_t)(count) << 4 | (tag))
#define REC_COUNT_MAX              0xffffu
enum {
	REC_TAG_SYNC = 0,
	REC_TAG_READ = 1,
	REC_TAG_EVENT = 2,
	REC_TAG_READ_WRITE = 3,
	REC_TAG_CODE = 4,
	REC_TAG_WRITE = 6,
	REC_TAG_WRITE_READ = 7,
	REC_TAG_KERNEL_READ = 9,
	REC_TAG_KERNEL_WRITE = 14,
};

struct rec_event {
	uint64_t seq, time_ns; /* CLOCK_MONOTONIC */
	int64_t result;
	uint32_t nr_args, text_length;
	uint64_t args[12];
	char text[]; /* text_length bytes, no 0 */
};

struct rec_buffer {
	uint32_t used; /* words */
	uint32_t pad;
	uint64_t time_first, time_last;
};

struct rec_lane {
	/* The thread's own; the server looks only once the process is gone. */
	uint64_t page, code; /* of the last data access and instruction */
	uint64_t *run;       /* the last data run; pointers are the recorder's addresses */
	uint64_t *cur;       /* the last word filled */
	uint64_t *
		limit; /* the current buffer's end; NULL when there is an event to be noted first */
	uint64_t seen; /* last event number that this thread has noted */
	uint32_t thread; /* number within the stream; 0 while nobody's */
	uint32_t in_use;
	uint64_t *end; /* the current buffer's end */
	/* Published by the thread. */
	uint32_t head;    /* buffers filled, modulo 2^32 */
	uint32_t waiting; /* the thread sleeps on tail */
	uint64_t pad1[7];
	/* Published by the server. */
	uint32_t tail;
	uint32_t pad2[15];
	struct rec_buffer buffers[REC_BUFFERS];
} __attribute__((aligned(64)));

struct rec_counter {
	char name[24]; /* not 0-terminated if full */
	uint64_t count;
};

struct rec_doorbell {
	uint32_t rings, sleeping;
	uint32_t pad[14];
};

struct rec_shared {
	/* Filled in by the server. */
	uint32_t magic, version;
	uint32_t stream, server_pid;
	uint32_t workers;   /* lane i's is number i % workers */
	uint32_t zva_bytes; /* what arm64's DC ZVA clears on the CPU model; 0: not known */
	char socket[108];
	char plugin[REC_PATH];
	char qemu_x86_64[REC_PATH], qemu_aarch64[REC_PATH]; /* empty: not there */
	char sysroot_aarch64[REC_PATH];
	char cpu_aarch64[64], cpu_x86_64[64];
	/* By the recorder. */
	uint64_t base; /* its address of this */
	uint64_t guest_base;
	uint32_t done;       /* the process has left this stream in order */
	uint32_t lanes_high; /* lanes at or above were never used */
	uint32_t next_thread;
	uint32_t lost_threads;                           /* threads that found no lane */
	uint64_t event_seq __attribute__((aligned(64))); /* the last event's number */
	uint64_t instructions __attribute__((aligned(64)));
	struct rec_doorbell doorbells[REC_WORKERS] __attribute__((aligned(64)));
	struct rec_counter counters[REC_COUNTERS]; /* what was not captured */
};

_Static_assert(sizeof(struct rec_shared) <= REC_SHARED_SIZE, "room for struct rec_shared");
_Static_assert(sizeof(struct rec_lane) <= REC_LANE_SIZE, "room for struct rec_lane");

enum rec_how { REC_START, REC_FORK, REC_EXEC, REC_EXEC_FAILED };

struct rec_hello {
	uint32_t magic, version;
	uint32_t how; /* enum rec_how */
	uint32_t pid;
	uint32_t parent_stream;
	uint32_t skip; /* the program's path is this argument of the process's command line */
	uint64_t parent_seq;
	uint32_t machine; /* ELF e_machine */
	uint32_t pad;
};

struct rec_welcome {
	uint32_t magic, ok; /* ok is 0 and there is no descriptor: refused */
};

#endif
