/* SPDX-License-Identifier: MIT */
/*
 * A few address spaces, many threads in them, and what each thread knows of its pages.
 *
 * Every thread owns a part of every shared address space, and of its child the whole. What it owns nobody else changes, so it
 * knows what must be found there; others look, and do there what must not change it (they migrate, page out, collapse). One
 * part is everybody's: what is found there must be something that somebody stored there, or zero.
 */
#ifndef TESTS_SMP_STRESS_H
#define TESTS_SMP_STRESS_H

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "machine/smp/smp.h"
#include "mm/mm.h"
#include "phys/phys.h"
#include "phys/table_check.h"

#define P           UINT64_C(4096)
#define SHARED      2u    /* address spaces that all threads are in */
#define PAGES       1024u /* of a part */
#define MAX_THREADS 32u
#define EVERYBODY   MAX_THREADS /* whose the common part is */
/* Parts begin in the middle of a leaf table, so that neighbours share one, and VMAs merge across. */
#define BASE (UINT64_C(0x2000000000) + 96 * P)
#define LAST 24u /* operations remembered */

/* One page, as its owner knows it. */
struct page {
	bool mapped;
	bool shared; /* MAP_SHARED: fork does not copy it */
	bool lazy;   /* MADV_FREE: zero, or `value` */
	uint8_t prot;
	uint64_t value; /* in the first word and the last */
};

/* An address space as one thread sees it: its own part. */
struct view {
	struct pf_mm *mm;
	uint16_t asid;
	bool child;        /* nobody else is in it */
	struct page *page; /* PAGES */
};

struct thread {
	unsigned id;
	uint64_t random, stamp;
	struct view view[SHARED + 1]; /* the last is a child's, if it has an mm */
	struct pf_mm child;
	uint16_t child_asid;
	uint64_t steps, retries;
	char last[LAST][96];
	unsigned last_at;
	pthread_t thread;
};

#define STRESS_LISTS 4u

struct world {
	struct pf_phys phys;
	struct pf_pcp pcp[STRESS_LISTS];
	struct pf_system sys;
	struct pf_table_check check;
	struct pf_mm mm[SHARED];
	struct thread thread[MAX_THREADS];
	unsigned threads;
	uint32_t fail_one_in;
	unsigned swap_dev;
	char *disk;
};
extern struct world world;

#define DISK_SLOTS 16384u

/* Ends the program: what, who, and what each thread did last. */
__attribute__((format(printf, 2, 3), noreturn)) void fail(struct thread *t, const char *fmt, ...);
/* Remembered until LAST others are. */
__attribute__((format(printf, 2, 3))) void say(struct thread *t, const char *fmt, ...);

static inline uint32_t rnd(struct thread *t, uint32_t n)
{
	t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((t->random >> 33) % n);
}

static inline pf_va_t part(unsigned owner)
{
	return BASE + owner * PAGES * P;
}

/* Who stored it, in the upper half; unlike all others, in the lower. */
static inline uint64_t new_stamp(struct thread *t, unsigned owner)
{
	return (UINT64_C(0x5a00) | owner) << 48 | (uint64_t)t->id << 40 | ++t->stamp;
}

static inline bool is_stamp_of(uint64_t v, unsigned owner)
{
	return !v || v >> 48 == (UINT64_C(0x5a00) | owner);
}

/* The thread runs programs of this address space. */
void enter(struct thread *t, const struct view *v);
/* A load or store of a page: PF_FAULT_DONE, or why not. */
enum pf_fault_result touch(
	struct thread *t, const struct view *v, pf_va_t va, bool write, uint64_t *value);
/* The same for a page that the thread owns: it must be found as the thread knows it. */
void load_own(struct thread *t, const struct view *v, unsigned page);
void store_own(struct thread *t, const struct view *v, unsigned page);

/* One operation, whichever (ops.c). */
void step(struct thread *t);
/* What the parent's view has is the child's; nothing where there is no memory. The thread runs the parent afterwards. */
void fork_from(struct thread *t, const struct view *from);
void end_child(struct thread *t);
/* Of a thread's own pages (own.c). */
void step_own(struct thread *t, struct view *v, unsigned first, unsigned nr);
/* A call that says that there is no memory: true, after a while, if it is to be tried again. */
bool again(struct thread *t, int64_t result, unsigned *tries);

#endif
