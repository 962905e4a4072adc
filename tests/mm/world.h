/* SPDX-License-Identifier: MIT */
/*
 * One machine's memory and one address space, on the unit tests' port.
 */
#ifndef TESTS_MM_WORLD_H
#define TESTS_MM_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/mm.h"
#include "phys/phys.h"

#define WORLD_BYTES (UINT64_C(4) << 20)
#define P           UINT64_C(4096) /* every format there is has 4K pages; world_start says so */

static struct pf_phys phys;
static struct pf_system sys;
static struct pf_mm mm;
static uint64_t free_at_start;

static inline uint64_t free_pages(void)
{
	struct pf_phys_stats s;

	pf_phys_stats(&phys, &s);
	return s.free;
}

static inline void world_start(const struct pf_format *fmt)
{
	assert_int_equal(1u << fmt->pt->page_shift, P);
	test_port_start(WORLD_BYTES, fmt->pt->page_shift);
	assert_int_equal(
		pf_phys_init(&phys, TEST_PORT_BASE, WORLD_BYTES, fmt->pt->page_shift, 10), 0);
	free_at_start = free_pages();
	assert_int_equal(pf_system_init(&sys, fmt, &phys, fmt->pt->ad_features, PF_FOLD_LINUX), 0);
	sys.thp.order[2] = PF_THP_ALWAYS;
	sys.thp.order[4] = PF_THP_ALWAYS;
	assert_int_equal(pf_mm_init(&mm, &sys, 1), 0);
}

/* Everything comes back. */
static inline void world_stop(void)
{
	pf_mm_exit(&mm);
	pf_system_exit(&sys);
	assert_int_equal(free_pages(), free_at_start);
	assert_int_equal(test_port.meta_live, 0);
	assert_int_equal(test_port.locks_held, 0);
	test_port_stop();
}

static inline void world_check(const char *when)
{
	const char *bad = pf_mm_check(&mm);

	if (bad)
		fail_msg("%s: %s", when, bad);
}

#endif
