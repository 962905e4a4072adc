/* SPDX-License-Identifier: MIT */
/*
 * Running something as if it had not been run: afterwards the process's memory is what it was. The explorer plays thousands of
 * schedules from one state, and neither the library nor the machine knows how to go back.
 */
#ifndef MACHINE_APART_H
#define MACHINE_APART_H

#include "base/types.h"

/* Zeroed memory that apart_run() leaves as fn left it: where results go. NULL: there is none. */
void *kept_alloc(size_t bytes);
/* All of it at once, outside apart_begin() and apart_end(). */
void kept_release(void);

/*
 * From here on apart_run() goes back to the state of this moment: all private writable memory of the process but the stack of
 * the caller. Nothing else that a process has (files, threads) is looked at: one thread, and no I/O in between. 0, or an errno.
 */
int apart_begin(void);
/*
 * fn sees the state of apart_begin() in memory, and its caller's stack as it is. It unmaps nothing that was mapped then: what it maps, or
 * adds to the heap, it may.
 */
void apart_run(void (*fn)(void *arg), void *arg);
void apart_end(void);

#endif
