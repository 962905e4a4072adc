/* SPDX-License-Identifier: MIT */
/*
 * The machine with real threads by itself: arm64 tables written by hand, nothing of the library linked.
 */
#ifndef TESTS_SMP_RIG_H
#define TESTS_SMP_RIG_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "machine/smp/smp.h"
#include "port/port.h"

/* Arm ARM D8.3: a table; a page, for programs, not global. */
#define TABLE  3u
#define PAGE   (3u | PF_BIT(6) | PF_BIT(10) | PF_BIT(11))
#define AF     PF_BIT(10)
#define NG     PF_BIT(11)
#define RDONLY PF_BIT(7)
#define DBM    PF_BIT(51)
#define CONT   PF_BIT(52)

#define ASID 1
#define VA   UINT64_C(0x4000000000)
/* Frames: four tables, then pages. */
#define FRAME(n) (SMP_RAM_BASE + UINT64_C(4096) * (n))
#define ROOT     FRAME(0)

static inline uint64_t *word(unsigned frame)
{
	return pf_port_virt(FRAME(frame));
}

/* The entry of the n-th page from VA on. */
static inline uint64_t *entry(unsigned n)
{
	return word(3) + n;
}

static inline void set(unsigned n, uint64_t value)
{
	pf_store_release(entry(n), value);
}

static inline void rig_start(uint32_t features, uint32_t slow_one_in)
{
	struct smp_config cfg = {.format = "arm64-4k",
		.memory = 4 << 20,
		.features = features,
		.slow_one_in = slow_one_in};

	assert_int_equal(smp_start(&cfg), 0);
	assert_true(smp_enter(true));
	*(word(0) + (VA >> 39 & 511)) = FRAME(1) | TABLE;
	*(word(1) + (VA >> 30 & 511)) = FRAME(2) | TABLE;
	*(word(2) + (VA >> 21 & 511)) = FRAME(3) | TABLE;
	smp_set_root(ROOT, ASID);
}

static inline void rig_stop(void)
{
	smp_leave();
	smp_stop();
}

static inline void invalidate(unsigned n, unsigned asid)
{
	pf_port_barrier(PF_BARRIER_PUBLISH);
	pf_port_tlbi(PF_TLBI_VALE1IS, (uint64_t)asid << 48 | ((VA >> 12) + n), 0);
}

static inline uint64_t load(unsigned n)
{
	uint64_t value = 0;

	assert_false(smp_load(VA + n * 4096, &value).fault);
	return value;
}

#endif
