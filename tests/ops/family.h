/* SPDX-License-Identifier: MIT */
/*
 * A process that has some pages, and may have a child that shares them, met by two CPUs.
 */
#ifndef TESTS_OPS_FAMILY_H
#define TESTS_OPS_FAMILY_H

#include "together.h"

#define A UINT64_C(0x10000000)
#ifndef PAGES
#define PAGES 16u
#endif
#define CHILD 2

static struct pf_mm child;
static bool have_child;

static inline void pages(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(world_write(A + i * P), PF_FAULT_DONE);
}

static inline int fork_child(void)
{
	int err = pf_fork(&child, &mm, CHILD);

	have_child = !err;
	return err;
}

static inline void shared(void)
{
	pages();
	assert_int_equal(fork_child(), 0);
}

/* If there is one. */
static inline void child_exits(void)
{
	if (!have_child)
		return;
	assert_null(mm_look(&child));
	pf_mm_exit(&child);
	machine_retire_asid(CHILD);
	have_child = false;
}

#endif
