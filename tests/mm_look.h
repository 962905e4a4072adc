/* SPDX-License-Identifier: MIT */
/*
 * Are an address space, and the ways from its pages, in order? Looked at without a part in what is judged.
 */
#ifndef TESTS_MM_LOOK_H
#define TESTS_MM_LOOK_H

#include "machine/machine.h"
#include "mm/mm.h"
#include "mm/rmap.h"

static inline const char *mm_look(struct pf_mm *mm)
{
	const char *bad;

	machine_look(true);
	bad = pf_mm_check(mm);
	machine_look(false);
	return bad;
}

static inline const char *rmap_look(struct pf_system *sys)
{
	const char *bad;

	machine_look(true);
	bad = pf_rmap_check(sys);
	machine_look(false);
	return bad;
}

#endif
