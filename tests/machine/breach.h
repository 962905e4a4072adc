/* SPDX-License-Identifier: MIT */
/*
 * Lists of calls that break one rule each, and with `wrong` false do the same thing rightly.
 */
#ifndef BREACH_H
#define BREACH_H

#include "rig.h"

struct breach {
	const char *rule, *name;
	const char *format, *features;
	bool sometimes; /* hardware has to take part: broken for some seed, not for all */
	void (*run)(bool wrong);
};

/* Each ends with a row of zeros. */
extern const struct breach breaches_blocks[], breaches_lives[], breaches_ad[];

#define ARM     "arm64-4k"
#define NEWEST  ""
#define STRICT  "bbm0"
#define NOABORT "bbml2-noabort"

/* A frame of its own, written to, mapped writable and dirty at slot 0, and published. */
uint64_t mapped_frame(void);

#endif
