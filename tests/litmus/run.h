/* SPDX-License-Identifier: MIT */
/*
 * A litmus test as the real CPU runs it. to_c.py makes them.
 */
#ifndef PF_TESTS_LITMUS_RUN_H
#define PF_TESTS_LITMUS_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREADS 3
#define WORDS   8
#define REGS    8
#define NOT_RUN (-77) /* a register that the thread has not come to */

/* One instance. Each word has a cache line, so that they move one by one. */
struct cell {
	struct {
		_Alignas(64) atomic_int i;
		_Atomic(atomic_int *) p;
	} word[WORDS];
	_Alignas(64) intptr_t reg[THREADS][REGS];
};

struct shape {
	const char *name;
	unsigned threads;
	void (*thread[THREADS])(struct cell *cell);
	void (*init)(struct cell *cell);
	bool (*seen)(const struct cell *cell);
};

/* Without a name: the end. */
extern const struct shape shapes[];

#endif
