/* SPDX-License-Identifier: MIT */
/*
 * Random states of three neighbouring blocks of the table under test, in the table and in the model alike.
 */
#ifndef PT_STATES_H
#define PT_STATES_H

#include "model.h"

#define SPAN (3 * N)

/* First slot of the blocks under test; one more block on each side, where the table goes on, is watched. */
extern unsigned origin;
/* That all entries of state UNIFORM and PROTNONE lie in, or all but the last few. */
extern struct pf_extent run_extent;

unsigned watch_lo(void);
unsigned watch_hi(void);

enum state {
	UNIFORM, /* one run of accessible entries; each block folded or not */
	PRESENT, /* folded blocks, and single present entries that have nothing to do with each other */
	ANY,     /* the same, some slots empty or softleaves */
	EMPTY,
	PROTNONE, /* one run, not accessible */
};
void set_state(enum state s);
/* Empty [idx, idx + nr); what is left of the blocks it cuts becomes single entries. */
void make_room(unsigned idx, unsigned nr);

void put(unsigned idx, pf_pte_t e, bool cont);
pf_pte_t rnd_entry(bool present_only);
pf_pte_t rnd_softleaf(void);

#endif
