/* SPDX-License-Identifier: MIT */
/*
 * What programs share that do the same on Linux and on the model: drawing, what has been done so far, and accesses that may
 * end in a signal.
 */
#ifndef TESTS_SCENARIO_BESIDE_H
#define TESTS_SCENARIO_BESIDE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t rng;
static char history[400 * 128];

static inline uint64_t draw(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 11) % n;
}

__attribute__((format(printf, 1, 2))) static inline void note(const char *fmt, ...)
{
	size_t used = strlen(history);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(history + used, sizeof(history) - used, fmt, ap);
	va_end(ap);
}

static sigjmp_buf on_signal;

static inline void caught(int sig)
{
	siglongjmp(on_signal, sig);
}

/* 0, or the signal; *value is loaded, or stored. */
static inline int touch(uint64_t va, bool store, uint64_t *value)
{
	int sig = sigsetjmp(on_signal, 1);

	if (sig)
		return sig;
	if (store)
		*(volatile uint64_t *)va = *value;
	else
		*value = *(volatile uint64_t *)va;
	return 0;
}

#endif
