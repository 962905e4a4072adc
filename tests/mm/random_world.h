/* SPDX-License-Identifier: MIT */
/*
 * Processes on one software machine, and what they must find in their pages: for the random programs of random_test.c.
 */
#ifndef TESTS_MM_RANDOM_WORLD_H
#define TESTS_MM_RANDOM_WORLD_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "machine/machine.h"
#include "mirror.h"
#include "mm/device.h"
#include "mm/device_memory.h"
#include "mm/ksm.h"
#include "mm/migrate.h"
#include "mm/mm.h"
#include "mm/numa.h"
#include "mm/proc.h"
#include "mm/rmap.h"
#include "phys/phys.h"
#include "tests/table_watch.h"

#define BASE   UINT64_C(0x2000000000)
#define PAGES  160u /* of the arena */
#define PROCS  4u
#define CPUS   2u
#define MEMORY (UINT64_C(32) << 20)

/* One page of a process, as a program sees it. */
struct page {
	bool mapped;
	uint8_t prot;
	bool wipe, dontfork, locked;
	uint64_t value; /* what a load must find */
};

struct proc {
	bool alive;
	struct pf_mm mm;
	uint16_t asid;
	struct page page[PAGES];
	bool mirrored;
	struct mirror mirror;
};

static struct pf_phys phys;
static struct pf_system sys;
static struct proc procs[PROCS];
static uint64_t random_state, stamp, page_size;
static uint16_t next_asid;
static char last[256];

static inline uint32_t rnd(uint32_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((random_state >> 33) % n);
}

static inline pf_va_t va_of(unsigned page)
{
	return BASE + page * page_size;
}

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last, sizeof(last), fmt, ap);
	va_end(ap);
}

#define WANT(c)                                                                                    \
	do {                                                                                       \
		if (!(c))                                                                          \
			fail_msg("%s: %s", last, #c);                                              \
	} while (0)

/* ---- the machine's programs ---- */

static inline void enter(struct proc *p)
{
	unsigned cpu = rnd(CPUS);

	machine_set_cpu(cpu);
	machine_set_root(cpu, p->mm.space.pt.root, p->asid);
}

/* 0 or the fault's result. */
static inline enum pf_fault_result access_page(
	struct proc *p, unsigned page, bool write, uint64_t *value)
{
	pf_va_t va = va_of(page);

	/* A walker may miss each of several links that are not published yet, again and again. */
	for (unsigned tries = 0; tries < 2000; tries++) {
		struct machine_fault f =
			write ? machine_store(va, *value) : machine_load(va, value);
		enum pf_fault_result r;

		if (!f.fault)
			return PF_FAULT_DONE;
		r = pf_handle_mm_fault(&p->mm, va, write ? PF_FAULT_FLAG_WRITE : 0);
		if (r != PF_FAULT_DONE)
			return r;
	}
	fail_msg("%s: faults for ever", last);
	return PF_FAULT_SIGSEGV;
}

#endif
