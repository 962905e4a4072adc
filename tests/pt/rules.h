/* SPDX-License-Identifier: MIT */
/*
 * Hardware at work while a verb runs, and the architecture's rules for what the verb does to entries meanwhile, on the
 * one table under test. Hardware sets A, and D where the entry (or, in formats with late D, a translation not flushed
 * yet) allows it, before any access of the verb's. The rules are those of the Arm ARM that pt/contig.c names:
 * break-before-make, blocks that agree, no plain store over what hardware may change.
 */
#ifndef PT_RULES_H
#define PT_RULES_H

#include "states.h"

struct hardware {
	unsigned one_in; /* acts before about each so many-th access; 0: never */
	bool caller_flushes; /* the verb may change live entries as its caller wishes (a single store) */
	bool a[E], d[E]; /* set by hardware since rules_start(), by slot */
	unsigned acts;
};
extern struct hardware hw_now;

/* From now on hardware acts and the rules hold; the table is as raw_get() says, and TLBs hold all of it. */
void rules_start(unsigned one_in_n);
/* At the end every block is uniform. */
void rules_end(void);

#endif
