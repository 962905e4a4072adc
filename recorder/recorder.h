/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The recorder: a QEMU plugin that hands page runs and events to `pagefold record` through shared
 * memory (cli/record_proto.h). What runs at every access is in access.c; queues in lane.c; system
 * calls in calls.c.
 *
 * The shared memory stays at one address for the life of the process: after a fork the child maps
 * memory of its own there, so translated code that adds to a counter in it stays right.
 */
#ifndef PF_RECORDER_RECORDER_H
#define PF_RECORDER_RECORDER_H

#include "cli/record_proto.h"
#include "cli/trace_format.h"
#include "qemu_plugin.h"

#include <sys/types.h>

#define PAGE_SHIFT 12
#define PAGE_BYTES (UINT64_C(1) << PAGE_SHIFT)
#define NO_PAGE    UINT64_MAX

#define EM_X86_64_  62u
#define EM_AARCH64_ 183u

#pragma GCC visibility push(hidden)

struct recorder {
	bool aarch64;
	bool detached; /* nobody listens: buffers are filled and forgotten */
	bool maps_due; /* the stream's first thread is to describe the address space */
	bool base_known;
	uint64_t guest_base; /* host address of guest address 0 */
	uint32_t skip;       /* see rec_hello */
	char socket[108];
};

extern struct recorder recorder;
extern struct rec_shared *rec;
/* By QEMU's CPU index, which may grow as long as threads come and go. */
extern struct rec_lane **rec_lane_of;
#define REC_MAX_VCPU (1u << 22)
/* The calling thread's CPU while it is in a system call; -1 if it never was. */
extern __thread int rec_this_vcpu;

/* ---- lane.c ---- */

/* Connects and maps the shared memory. Returns 0 or prints why not and returns -1. */
int rec_attach(enum rec_how how, uint32_t parent_stream, uint64_t parent_seq);
/* Records nothing from here on. */
void rec_detach(const char *why);
/* Rings every worker's bell. */
void rec_ring_all(void);
/* A lane for a new thread; never NULL. */
struct rec_lane *lane_take(void);
/* Writes the thread's first events unless they are. To be called before event_reserve. */
void lane_begin(struct rec_lane *l);
/* The thread ends. */
void lane_release(struct rec_lane *l);
/* In the child of a fork: makes l the only lane, in memory that is all zero. */
void lanes_after_fork(struct rec_lane *l);
/* The slow part of lane_word. */
uint64_t *lane_word_slow(struct rec_lane *l);
/* The next number in the order of events. */
uint64_t event_reserve(void);
/*
 * Appends event number seq and ends every thread's current run. text may be NULL; it is cut at
 * TRACE_EVENT_MAX_TEXT.
 */
void lane_event(struct rec_lane *l, unsigned kind, uint64_t seq, unsigned nr, const uint64_t *args,
	int64_t result, const char *text);
/* The pages of [addr, addr + len), once each. */
void lane_kernel_access(struct rec_lane *l, uint64_t addr, uint64_t len, bool write);
/* Counts something that was not captured. */
void rec_not_captured(const char *what, uint64_t count);

/* The word to fill next; lane_commit makes it the lane's last. */
static inline uint64_t *lane_word(struct rec_lane *l)
{
	uint64_t *w = l->cur + 1;

	if (__builtin_expect(w >= __atomic_load_n(&l->limit, __ATOMIC_RELAXED), 0))
		w = lane_word_slow(l);
	return w;
}

/* The server may read the word once the process is gone, hence contents before pointer. */
static inline void lane_commit(struct rec_lane *l, uint64_t *w)
{
	__atomic_store_n(&l->cur, w, __ATOMIC_RELEASE);
}

/* ---- access.c ---- */
bool access_init(qemu_plugin_id_t id);

/* One write at addr by the instruction that is executed. */
void access_write(struct rec_lane *l, uint64_t addr);

/* ---- zva.c ---- */
/* For each arm64 instruction; next is the one after it in the translation block or NULL. */
void zva_translate(
	struct qemu_plugin_insn *insn, struct qemu_plugin_insn *next, bool first_of_program);

/* ---- calls.c ---- */
void calls_init(qemu_plugin_id_t id);
/* The process exits; the EXIT event is written unless its call was seen. */
void calls_at_exit(void);

/* ---- maps.c ---- */
/* Notes what QEMU itself has mapped, before the guest is loaded. */
void maps_init(void);
void maps_record(struct rec_lane *l);

/* ---- guest.c ---- */
/* Reads guest memory without faulting. Returns false unless all of it could be read. */
bool guest_read(void *to, uint64_t addr, size_t len);
/* Reads a string into a buffer of `room`. Returns its length, or -1: unreadable or too long. */
ssize_t guest_string(char *to, size_t room, uint64_t addr);

/* ---- exec.c ---- */
/*
 * Runs the program under QEMU with this plugin, if it can be; does not return then. Otherwise returns
 * for QEMU to do it, after counting what will go unrecorded.
 */
void exec_follow(
	struct rec_lane *l, uint64_t path, uint64_t argv, uint64_t envp, int dirfd, int flags);

#pragma GCC visibility pop

#endif
