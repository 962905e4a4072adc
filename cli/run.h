/* SPDX-License-Identifier: MIT */
/*
 * `pagefold run`: a scenario played through the library on the software machine, next to the model
 * (oracle.h). One configuration is one world: machine, physical memory, processes, and the model of them.
 *
 *   run_play.c    a file in one configuration, with its failing allocations
 *   run_world.c   machine, processes, CPUs, counters; run_backing.c what @file makes
 *   run_call.c    calls of a scenario; run_syscall.c each through library and model; run_access.c accesses; run_expect.c what is expected
 *   run_gup.c     pins
 *   run_process.c calls on other processes; run_scan.c PAGEMAP_SCAN
 *   run_log.c     what a log of strace needs besides
 *   run_swap.c    the swap device; run_poison.c memory that fails
 *   run_uffd.c    userfaultfd
 *   run_explore.c a threads block, schedule by schedule; run_threads.c one schedule; run_during.c what holds all along; run_order.c its calls, in some order, by the model
 *   run_check.c   what holds after every statement, and what a failed call must leave as it was
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "cli/oracle.h"
#include "cli/scenario.h"
#include "machine/machine.h"
#include "mm/mapping.h"
#include "mm/mm.h"
#include "phys/table_check.h"

enum run_verdict {
	RUN_OK,
	RUN_FAIL,
	RUN_SKIP,
	RUN_BAD_INPUT,   /* the file is wrong for this configuration */
	RUN_UNSUPPORTED, /* it asks for something that is not built */
};

/* How one file is played once. */
struct run_config {
	const struct sc_file *file;
	const struct pf_format *fmt;
	bool fold;
	bool fold_both; /* expectations on hardware are checked only with folding */
	uint64_t seed;
	const char *log;
	bool late_walks;      /* the hardware may fault once more on what has just become valid */
	uint64_t task_size;   /* the first address above user space; 0: the format's */
	uint64_t min_addr;    /* mmap_min_addr; 0: 64K */
	uint64_t brk_start;   /* 0: as in all scenarios that do not say otherwise */
	uint64_t schedules;   /* of each search, at most; 0: as many as there are */
	bool preemptions_set; /* else as the file says */
	unsigned preemptions; /* of each search */
	/* From time to time while schedules are played; NULL. */
	void (*progress)(void *ctx, uint64_t schedules);
	void *progress_ctx;
};

/* What became of a threads block. */
struct run_explored {
	bool any;       /* there is one */
	bool bounded;   /* every schedule within bounds was asked for, */
	bool exhausted; /* and played */
	uint64_t schedules, cut, states;
};

struct run_outcome {
	enum run_verdict verdict;
	unsigned line;
	char *text; /* one line, or more; malloc'd */
	uint64_t counters[SC_C_NR];
	struct run_explored explored;
};

struct run_process {
	unsigned pid, cpu;
	uint16_t asid;
	bool brk_known; /* the heap's start can no longer be chosen */
	struct pf_mm mm;
	struct run_process *next;
};

/* A file made by @file: its pages, and what a disk would hold of it. */
struct run_file {
	struct pf_mapping *mapping;
	char *data; /* NULL: a log's file, of which nothing is known: zeros, and nothing is kept */
	uint64_t size;
};

/* Who stored a stamp. */
struct run_stamp {
	unsigned pid, line;
	uint64_t va;
};

struct run_snapshot;
struct pf_pm_scan;
struct pf_page_region;

struct run_world {
	const struct run_config *cfg;
	struct sc_env env;
	uint64_t *vars;
	uint32_t features;

	struct pf_phys phys;
	struct pf_table_check table_check;
	const char *table_wrong; /* what it said first, and of which frame */
	pf_pfn_t table_wrong_pfn;
	struct pf_system sys;
	struct run_file *files;
	unsigned nfiles;
	struct run_process *processes;
	struct run_process *being_forked; /* by threads: they have their ASIDs, and are none yet */
	struct run_process *on_cpu[64];   /* whose translations a CPU has loaded */
	struct oracle *oracle;
	char *swap; /* what is on the swap device; NULL: none */
	uint64_t swap_slots;
	uint64_t swap_reads;
	int swap_dev;

	struct run_pins *pins; /* newest first */
	struct run_stamp *stamps;
	uint64_t nstamps, stamps_room;
	uint64_t *loaded; /* where loads leave what they found, page by page; or NULL */
	unsigned nloaded;

	struct run_uffd *uffds[ORACLE_MAX_UFFDS];
	uint64_t userfaults, woken; /* faults that a userfaultfd was told of; of them, woken */
	unsigned uffd_flags;        /* of the last message */
	uint64_t uffd_address;
	uint8_t *uffd_there[ORACLE_TOLD]; /* what the model has been told */
	unsigned nuffd_there;
	uint64_t uffd_done; /* bytes that the call in progress did before its memory ran out */

	uint64_t gone[SC_C_NR], base[SC_C_NR]; /* of processes that exited; at the last reset */

	/*
	 * The allocation that fails: which (0: none), and, by call, how many there had been after it in the
	 * run without a failure, so that only the call that will fail is watched.
	 */
	uint64_t fail_at;
	const uint64_t *allocs_after;
	bool watch_all;
	bool missed; /* it failed in a call that was not watched */

	/* Of a log: ranges mapped because a call of it succeeded on them; refusals not asked for again. */
	uint64_t assumed, assumed_pages, taken_over;

	struct run_ops *ops; /* of the threads block that is being played */

	unsigned line;
	bool failed;
	struct run_outcome *out;
};

/* ---- run_play.c ---- */

/* Everything of one (file, format, folding). */
void run_file(const struct run_config *cfg, uint64_t fail, struct run_outcome *out);
/* May this file be played on this format? OK, SKIP (text says why) or BAD_INPUT. */
void run_prepare(const struct sc_file *file, const struct pf_format *fmt, struct run_outcome *out);
const struct pf_format *run_find_format(const char *name);
/* Is this expectation, also of schedules, not for this run? (docs/SCENARIOS.md: @fold both, @fail each.) */
bool run_skipped(const struct run_world *w, const struct sc_stmt *s);

/* Note a failure, the first only. Always false. */
bool run_fail(struct run_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool run_verdict(struct run_world *w, enum run_verdict v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Add a line below the failure's. */
void run_detail(struct run_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- run_world.c ---- */

bool run_world_start(struct run_world *w);
/* All processes exit; everything was given back. False if not. */
bool run_world_end(struct run_world *w);
/* After a failure: forget it all. */
void run_world_drop(struct run_world *w);

struct run_process *run_process(struct run_world *w, unsigned pid);
/* The CPU of that process runs it now. */
void run_switch(struct run_world *w, struct run_process *p);
/* 0, -PF_ENOMEM, or -PF_EAGAIN when ASIDs run out. */
int run_fork(struct run_world *w, struct run_process *parent, unsigned pid);
/* A process that has no memory. */
bool run_start(struct run_world *w, unsigned pid);
void run_exit(struct run_world *w, struct run_process *p);
void run_counters(struct run_world *w, uint64_t c[SC_C_NR]);
uint64_t run_eval_size(struct run_world *w, const struct sc_value *v);

/* ---- run_backing.c ---- */

bool run_backing_start(struct run_world *w);
void run_backing_end(struct run_world *w);  /* the library gives up its pages */
void run_backing_drop(struct run_world *w); /* after that, or a failure: the rest */
/* The descriptor of a file: its number in w->files and more; -1: there is none. */
#define RUN_FIRST_FD 3u
int64_t run_fd(const struct run_world *w, const char *name);
const struct run_file *run_file_of(const struct run_world *w, uint64_t fd); /* NULL: none */

/* realloc() that ends the process if there is no memory. */
void *run_resize(void *p, size_t bytes);

/* ---- run_call.c, run_syscall.c, run_access.c ---- */

/* What mincore filled in last: as many bytes as a scenario would name. */
#define RUN_RESIDENT (1u << 16)
extern uint8_t run_resident[RUN_RESIDENT];

struct run_result {
	enum sc_result_kind kind; /* VALUE, ERRNO, SEGV, BUS, UFFD or NOMEM */
	uint64_t value;           /* VALUE; of an access that was not done: where */
	uint64_t first;           /* the first page of an access */
	int err;
	uint64_t handle; /* of pins */
	bool injected;   /* no memory, because this was the allocation that fails */
};

bool run_eval(struct run_world *w, const struct sc_value *v, uint64_t *out);
/* A range of a statement, rounded out to pages: first address and number of pages. */
bool run_eval_range(struct run_world *w, const struct sc_value *addr, const struct sc_value *len,
	uint64_t *va, uint64_t *nr);
/* Play one call, with its result checked. */
bool run_call(struct run_world *w, const struct sc_stmt *s, uint64_t call_index);
bool run_access(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r);

/*
 * The accesses themselves, for programs that are not files: nr pages from va. A new stamp for each store.
 * False: the library or the model is wrong (noted).
 */
bool run_access_pages(struct run_world *w, struct run_process *p, enum sc_call_id how, uint64_t va,
	uint64_t nr, struct run_result *r);
/* Which store left this in memory, from 1; 0: none. */
uint64_t run_stamp_number(const struct run_world *w, uint64_t value);
/* The word at va's page is one that the process may find there. */
bool run_check_value(struct run_world *w, struct run_process *p, uint64_t va, uint64_t value);
void run_describe_value(struct run_world *w, uint64_t value, char *text, size_t size);
/* The library is about to fault pages of a mapped range in for writing: to the judge that is a store to each. */
void run_note_stores(struct run_world *w, struct run_process *p, uint64_t va, uint64_t len);
/*
 * A call may have found no memory for an anon_vma and gone on: then mappings would be merged otherwise than in the model,
 * where memory never runs out. A write gives each the one that the model has.
 */
void run_catch_up(struct run_world *w, struct run_process *p);
/* A system call with its values evaluated; `wanted` is the address written as its result, or -1. */
bool run_syscall(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const uint64_t args[6], unsigned nargs, int64_t wanted, unsigned child,
	struct run_result *r);

/* Its two halves: what the library does, on the CPU that runs, and what the model answers to that. */
bool run_syscall_library(struct run_world *w, struct run_process *p, enum sc_call_id id,
	uint64_t args[6], unsigned nargs, int64_t wanted, unsigned child, int64_t *lib);
int64_t run_syscall_model(struct run_world *w, struct oracle *o, struct run_process *p,
	enum sc_call_id id, const uint64_t args[6], unsigned child, int64_t lib);
/* One page's access, tried until it is done or refused, on the CPU that runs. A store has two steps if `split`. */
bool run_access_page(struct run_world *w, struct run_process *p, enum sc_call_id how, uint64_t va,
	bool split, uint64_t *value, struct run_result *r);
uint64_t run_new_stamp(struct run_world *w, struct run_process *p, uint64_t va);
bool run_check_result(struct run_world *w, const struct sc_stmt *s, struct run_process *p,
	const struct run_result *r);
bool run_eval_args(struct run_world *w, const struct sc_stmt *s, uint64_t a[6]);
int64_t run_wanted_address(struct run_world *w, const struct sc_stmt *s);

/*
 * The failing allocation made a call fail: all is as before it, but where Linux documents partial effect: pages
 * that a populate or an access had dealt with. a: the call's values; of an access, its first page.
 */
bool run_check_failed(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const uint64_t a[6], const struct run_snapshot *before, const struct run_result *r);

/* ---- run_gup.c ---- */

/* SC_GUP, SC_GUP_FAST and SC_UNPIN. */
bool run_gup(struct run_world *w, struct run_process *p, enum sc_call_id id, const uint64_t a[6],
	struct run_result *r);
bool run_unpin(struct run_world *w, uint64_t handle, struct run_result *r);
/* Before everything is to be free: all pins were given back. */
bool run_pins_end(struct run_world *w);
void run_pins_drop(struct run_world *w);

/* gup() or gup_fast() without the model, on the CPU that runs: how many pages there were, or an error, and the set's handle. */
bool run_gup_library(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const uint64_t a[6], uint64_t *handle, int64_t *n);
/* Page n of a set; false: it has none. */
bool run_pinned_page(struct run_world *w, uint64_t handle, uint64_t n, pf_pfn_t *pfn);
/* The first word of a set's first page, as its driver finds it; false if there is none. */
bool run_pinned_word(struct run_world *w, uint64_t handle, uint64_t *word);
/* And what the model says to that: n, if it may be. */
int64_t run_gup_model(struct oracle *o, const struct run_process *p, enum sc_call_id id,
	const uint64_t a[6], int64_t n);

/* ---- run_explore.c, run_threads.c, run_order.c ---- */

/* The threads block and all that follows it, for each schedule. */
bool run_explore(struct run_world *w, const struct sc_stmt *block);

/* Does every `during` hold now? */
bool run_during(struct run_world *w, const struct sc_stmt *block);
/* False, and noted: one is of what cannot be asked then. */
bool run_during_prepare(struct run_world *w, const struct sc_stmt *block, bool *any);

/* A call of a thread, or the access of one page: what the library answered, and when. */
struct run_op {
	const struct sc_stmt *s;
	unsigned thread;
	enum sc_call_id id;
	uint64_t a[6]; /* of an access: the page */
	uint64_t word; /* stored or loaded; of pins found in the first page, if somebody looked */
	bool looked;
	int64_t lib;
	struct run_result result;
	uint64_t begin, end;
	bool ended;
};
#define RUN_MOST_OPS 512u
struct run_ops {
	struct run_op op[RUN_MOST_OPS];
	unsigned nr;
	bool wrong; /* one was, and was noted */
};
/* The machine's threads of the block; false if it asks for what is not built. */
struct explore_plan;
bool run_threads_prepare(
	struct run_world *w, const struct sc_stmt *block, struct explore_plan *plan);
/*
 * The model plays the calls in an order in which each comes after those that had ended before it began: one in which all that was
 * answered and found is what the model says. False, and noted: there is none.
 */
bool run_order(struct run_world *w);

/* ---- run_process.c ---- */

/* process_madvise, process_vm_readv, process_vm_writev. */
bool run_is_process_call(enum sc_call_id id);
bool run_process_call(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r);
/* The same with its values evaluated. */
struct run_parts {
	struct run_process *target; /* NULL: there is none of that number */
	const struct oracle_part *local, *remote;
	uint64_t nlocal, nremote;
	uint64_t advice, flags;
};
bool run_process_parts(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const struct run_parts *v, struct run_result *r);

/* ---- run_uffd.c ---- */

/* SC_USERFAULTFD, SC_IOCTL and SC_CLOSE. */
bool run_uffd(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r);
/*
 * The same with their values evaluated, for programs that are not files. fd: the number that the descriptor gets, unless the process has one
 * of that number.
 */
struct run_uffd_args {
	uint64_t fd;
	unsigned nr; /* of the ioctl: enum pf_uffdio */
	uint64_t start, len, src, mode, api, features;
	int64_t done;    /* what is written into the last field; */
	uint64_t ioctls; /* of API and REGISTER */
};
bool run_uffd_open(struct run_world *w, struct run_process *p, uint64_t flags, uint64_t fd,
	struct run_result *r);
bool run_uffd_ioctl(
	struct run_world *w, struct run_process *p, struct run_uffd_args *a, struct run_result *r);
bool run_uffd_close(struct run_world *w, struct run_process *p, uint64_t fd, struct run_result *r);
/* Whose faults p's descriptor is about; NULL: nobody's any more, or there is none. */
struct run_process *run_uffd_process(struct run_world *w, struct run_process *p, uint64_t fd);
/* The number that the model knows it by; -1: there is none. */
int run_uffd_number(const struct run_world *w, const struct run_process *p, uint64_t fd);
/* Has UFFDIO_API been called? */
bool run_uffd_ready(const struct run_world *w, const struct run_process *p, uint64_t fd);
/* The child has its parent's descriptors; a process that has exited has none. */
void run_uffd_fork(struct run_world *w, unsigned pid, unsigned child);
void run_uffd_exit(struct run_world *w, unsigned pid);
void run_uffd_drop(struct run_world *w);
/* What of a page is there: what the model is told. 0 where nobody waits for faults. */
uint8_t run_uffd_there(struct run_world *w, struct run_process *p, uint64_t va);
/*
 * Before a call that faults pages in: the model is told what there is; and, after it, no longer. Some calls are of so many pages
 * that it is not: they may not wait.
 */
void run_uffd_tell_model(struct run_world *w, struct run_process *p, uint64_t va, uint64_t len);
void run_uffd_told_model(struct run_world *w);
/* Do library and model agree on where writes are to be noticed? */
bool run_uffd_check(struct run_world *w, struct run_process *p);

/* ---- run_scan.c ---- */

/* ioctl(PAGEMAP_SCAN). */
bool run_scan(
	struct run_world *w, struct run_process *p, const struct sc_stmt *s, struct run_result *r);
/* It was done, and found nr regions: the model is told which pages are protected since. */
bool run_scanned(struct run_world *w, struct run_process *p, const struct pf_pm_scan *arg,
	const struct pf_page_region *vec, int64_t nr);

/* ---- run_log.c ---- */

/* SC_S_START and SC_S_EXECVE. */
bool run_log_process(struct run_world *w, const struct sc_stmt *s);
/* Before a call of a log. *skip: it was refused, for reasons that no log tells, and is not played. */
bool run_log_call(struct run_world *w, const struct sc_stmt *s, bool *skip);
/* What was assumed and passed over, as lines of the outcome. */
void run_log_report(struct run_world *w);

/* ---- run_swap.c ---- */

/* The device of @swap is there, or there is none. */
bool run_swap_start(struct run_world *w);
/* All processes have exited: every slot is free. */
bool run_swap_end(struct run_world *w);
/* swapoff(). */
void run_swapoff(struct run_world *w, struct run_result *r);

/* ---- run_poison.c ---- */

/* The first word of a file's page, as it is kept where the file is; 0 for memory that has no such place. */
uint64_t run_kept_word(const struct run_world *w, const struct pf_vma_info *v, pf_va_t va);
/* After a call that may have poisoned pages: the model is told which. */
void run_note_poison(struct run_world *w);
/* After a fork: which of its parent's the child has. */
void run_note_copied_poison(struct run_world *w, const struct run_process *parent, unsigned child);
/* The word of a page that is swapped. */
uint64_t run_swap_word(struct run_world *w, pf_pte_t pte);

/* ---- run_expect.c ---- */

bool run_expect(struct run_world *w, const struct sc_stmt *s);
/* The entries around a page, below the failure. */
void run_show_entries(struct run_world *w, struct run_process *p, uint64_t va);

/* ---- run_check.c ---- */

/* What holds between statements: the machine's rules, the library's own check, the model's mappings and bytes. */
bool run_check(struct run_world *w);
bool run_check_machine(struct run_world *w);
/* No page is still on its way to another frame. */
bool run_check_arrived(struct run_world *w);
/* The process has the mappings that this model says. */
bool run_maps_agree(struct run_process *p, const struct oracle *o);

struct run_snapshot *run_snapshot(struct run_world *w);
void run_snapshot_free(struct run_snapshot *s);
/*
 * After a call that failed for lack of memory: all is as it was in the snapshot, but entries of process
 * `but` in [va, va + nr pages), and, with `cow`, write permission and AnonExclusive.
 */
bool run_unchanged(struct run_world *w, const struct run_snapshot *s, unsigned but, uint64_t va,
	uint64_t nr, bool cow);

/*
 * The checks read entries too: what they do is not the library's, is not counted, and gives the hardware no
 * occasion.
 */
#define RUN_UNCOUNTED(...)                                                                         \
	do {                                                                                       \
		struct machine_counters counted_ = machine_counters;                               \
		machine_look(true);                                                                \
		__VA_ARGS__;                                                                       \
		machine_look(false);                                                               \
		machine_counters = counted_;                                                       \
	} while (0)

#endif
