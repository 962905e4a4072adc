/* SPDX-License-Identifier: MIT */
/* What the tests of lib/phys share. They include phys.h and test_port alone: no format, no tables.
 */
#ifndef PHYS_TEST_H
#define PHYS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "phys/phys.h"

#define PAGE UINT64_C(4096)
/* mm ids at both ends of what is allowed */
#define MM_FIRST 1u
#define MM_LAST  ((1u << 30) - 1)

static inline uint64_t rnd_of(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t rnd_below_of(uint64_t *seed, uint64_t n)
{
	return rnd_of(seed) % n;
}

/* pf_phys_check() finds nothing. */
static inline void check_all(struct pf_phys *phys)
{
	pf_pfn_t bad = 0;
	const char *why = "";

	if (pf_phys_check(phys, &bad, &why))
		fail_msg("frame %llu: %s", (unsigned long long)(bad - phys->first), why);
	assert_null(why);
}

/* Everything came back, and the port was told so. */
static inline void check_all_free(struct pf_phys *phys)
{
	struct pf_phys_stats st;

	check_all(phys);
	pf_phys_stats(phys, &st);
	assert_int_equal(st.free, st.pages);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(test_port.live[i], 0);
	assert_int_equal(test_port.locks_held, 0);
}

/* A range that begins at no block of any order, so that frame numbers and indexes differ. */
static inline void start(struct pf_phys *phys, uint64_t pages)
{
	const uint64_t odd = 5;

	test_port_start((pages + odd) * PAGE, 12);
	assert_int_equal(
		pf_phys_init(phys, TEST_PORT_BASE + odd * PAGE, pages * PAGE, 12, PF_MAX_ORDER), 0);
}

#endif
