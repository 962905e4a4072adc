/* SPDX-License-Identifier: MIT */
/*
 * The explorer: threads of real library code, one on each CPU, run one at a time by a scheduler that plays every schedule
 * within bounds, or draws some. The judge's build only.
 *
 * A thread may be left before any access to an entry, lock, atomic word, and before any barrier, TLB operation, allocation and
 * access of a program. Where hardware may do one thing or another (which stale translation an access uses, whether a
 * walker sees what is not published, which entry of a block gets A or D) is a choice of the same kind. What TLBs hold is
 * none: the judge knows all that they may hold, at once.
 *
 * Schedules that differ in the order of independent steps only are played once: each step's hash is of its thread's step before,
 * and of the steps that it depends on; two beginnings of schedules with the same last hash in every thread have led to the
 * same state, and only one of them is gone on with (Musuvathi and Qadeer, 2007). That rests on 64 bits of hash.
 */
#ifndef MACHINE_EXPLORE_H
#define MACHINE_EXPLORE_H

#include "base/types.h"

#define EXPLORE_MAX_THREADS 8
#define EXPLORE_MAX_WALKERS 8
#define EXPLORE_TOKEN       1024

/* Where each schedule takes a process of its own (apart.h), so many are tried and no more; else 0. */
#if defined(__SANITIZE_ADDRESS__)
#define EXPLORE_FEW 100u
#else
#define EXPLORE_FEW 0u
#endif

struct explore_bounds {
	unsigned preemptions; /* a thread is left that could go on: so often in a schedule */
	unsigned choices;     /* hardware does what it seldom does: so often */
	uint64_t random;      /* draw so many schedules, without these bounds; 0: play all */
	uint64_t seed;        /* of what is drawn */
	uint64_t most;        /* schedules after which to stop, those of all rounds; 0: no end */
	const char *replay;   /* play just that one; NULL */
};

struct explore_thread {
	unsigned cpu;
	void (*run)(void *arg);
	void *arg;
};

/* A CPU's MMU, which may set A of a page of its range at any time. */
struct explore_walker {
	unsigned cpu;
	uint64_t va, nr, page; /* bytes of a page */
};

struct explore_plan {
	struct explore_thread threads[EXPLORE_MAX_THREADS];
	struct explore_walker walkers[EXPLORE_MAX_WALKERS];
	unsigned nthreads, nwalkers;
	struct explore_bounds bounds;
	void *ctx;
	/* Before any step of any thread; NULL. False: the schedule is wrong, and ends. */
	bool (*during)(void *ctx);
	/*
	 * All threads have ended, or (`stopped` says why) the schedule has, in the middle: a rule is broken, or nobody can go
	 * on. True: it was right. Memory goes back to where it was afterwards (apart.h).
	 */
	bool (*after)(void *ctx, const char *stopped);
	/* From time to time; NULL. */
	void (*progress)(void *ctx, uint64_t schedules);
};

struct explore_result {
	uint64_t schedules; /* played to their end */
	uint64_t cut;       /* left, because they had come to where another had been */
	uint64_t states;
	uint64_t points; /* of the longest schedule */
	bool failed;
	bool stopped;              /* at bounds.most */
	bool exhausted;            /* all within the bounds were played */
	char token[EXPLORE_TOKEN]; /* of the one that failed: what to give as `replay` */
};

/* 0, or an errno: there is no memory for it, or -1: a replay token that means nothing here. */
int machine_explore(const struct explore_plan *plan, struct explore_result *r);

/* In a thread: what follows comes after what ended before, for those who ask in which order calls were. */
void machine_explore_mark(bool end);
/*
 * In a thread: what was tried did not succeed, and will be tried again. Others have a turn, those that can, and this thread not before
 * one of them has changed something: a thread that tries for ever is not a schedule.
 */
void machine_explore_yield(void);
/* Steps of all threads so far in this schedule. */
uint64_t machine_explore_now(void);

#endif
