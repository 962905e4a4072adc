/* SPDX-License-Identifier: MIT */
/*
 * Two calls by two CPUs under the judge: the second begins at any one moment of the first and runs until it ends or wants
 * a lock that the first holds.
 */
#ifndef TESTS_OPS_TOGETHER_H
#define TESTS_OPS_TOGETHER_H

#include "world.h"

#include <ucontext.h>

static ucontext_t first, second;
static char stack[256 << 10];
static void (*other)(void);
static unsigned turn, turns;
static enum { NOT_YET, RUNS, DONE } other_is;
static bool in_other;

static void other_begins(void)
{
	other();
	other_is = DONE;
	swapcontext(&second, &first);
}

/* The second's turn, on its CPU, until it gives it back. */
static void let_other(void)
{
	in_other = true;
	machine_run_on(1);
	swapcontext(&first, &second);
	machine_run_on(0);
	in_other = false;
}

static void point(void *ctx, bool blocked)
{
	(void)ctx;
	if (in_other) {
		if (blocked)
			swapcontext(&second, &first);
		return;
	}
	if (other_is == NOT_YET && turns++ == turn) {
		getcontext(&second);
		second.uc_stack.ss_sp = stack;
		second.uc_stack.ss_size = sizeof(stack);
		second.uc_link = NULL;
		makecontext(&second, other_begins, 0);
		other_is = RUNS;
	}
	if (other_is == RUNS)
		let_other();
}

/* False if the first has fewer moments than that; then the second ran after it. */
static bool together(void (*a)(void), void (*b)(void), unsigned at)
{
	bool had_turn;

	other = b;
	turn = at;
	turns = 0;
	other_is = NOT_YET;
	machine_set_schedule(point, NULL);
	a();
	while (other_is == RUNS)
		let_other();
	machine_set_schedule(NULL, NULL);
	had_turn = other_is == DONE;
	if (!had_turn) {
		machine_run_on(1);
		b();
		machine_run_on(0);
	}
	return had_turn;
}

#endif
