/* SPDX-License-Identifier: MIT */
/*
 * Litmus tests on the real CPU: the code of each test (to_c.py), many times, on as many threads as it has. What a test forbids
 * is a failure. Store buffering with one fence taken away is the control: where it is not seen the machine was too busy, or has
 * too few CPUs, for the rest to mean anything, and the program says so and exits 77.
 *
 * The threads go through an array of instances side by side, and wait for each other before and after it. When one has no CPU the
 * others go on without it.
 */
#define _GNU_SOURCE

#include "run.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INSTANCES 256
#define PATIENCE  2000
#define CONTROL   "control-sb without fence-1"

static struct cell cells[INSTANCES];
/* The pass that may begin (-1: no more), and how many threads have finished it. */
static _Alignas(64) atomic_long pass;
static _Alignas(64) atomic_uint finished;
static const struct shape *shape;
/* How far each thread is in the pass. */
static struct {
	_Alignas(64) atomic_uint at;
} arrived[THREADS];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Others may need our CPU. */
static void wait_a_little(unsigned *turns)
{
	if (++*turns % 512 == 0)
		sched_yield();
}

/* Together with the others, if they run at all: what is reordered is so for some tens of nanoseconds. */
static void meet(unsigned me, unsigned threads, unsigned instance, unsigned late)
{
	atomic_store_explicit(&arrived[me].at, instance, memory_order_relaxed);
	for (unsigned turns = 0, i = 0; i < threads && turns < PATIENCE; turns++)
		while (i < threads &&
			atomic_load_explicit(&arrived[i].at, memory_order_relaxed) >= instance)
			i++;
	for (volatile unsigned i = 0; i < late; i++)
		;
}

/* Instance by instance; all words are in this CPU's cache first, so that loads are quick and stores, which want them alone, slow. */
static void go_through(unsigned me, unsigned long p)
{
	unsigned chance = (unsigned)p * 2654435761u + me * 40503u;

	for (unsigned i = 0; i < INSTANCES; i++) {
		for (unsigned w = 0; w < WORDS; w++)
			(void)atomic_load_explicit(&cells[i].word[w].i, memory_order_relaxed);
		/* Who arrives last sees that at once, the others a cache miss later: now this one is late, now that one. */
		chance = chance * 1103515245 + 12345;
		meet(me, shape->threads, i + 1, chance >> 16 & 127);
		shape->thread[me](&cells[i]);
	}
	atomic_fetch_add(&finished, 1);
}

/* The CPUs that we have; none: all threads take what they get. */
static cpu_set_t allowed;

/* A CPU each, or the scheduler may leave two on one for all of a run. Where it cannot be had the control will tell. */
static void take_cpu(unsigned me)
{
	const unsigned cpus = (unsigned)CPU_COUNT(&allowed);
	cpu_set_t one;

	for (unsigned cpu = 0, left = cpus ? me % cpus : 0; cpus && cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || left--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

static void *worker(void *arg)
{
	const unsigned me = (unsigned)(uintptr_t)arg;

	take_cpu(me);

	for (long last = 0, p;; last = p) {
		unsigned turns = 0;

		while ((p = atomic_load(&pass)) == last)
			wait_a_little(&turns);
		if (p < 0)
			return NULL;
		go_through(me, (unsigned long)p);
	}
}

/* Until `seconds` have passed, or, if `stop`, it has been seen. The caller is thread 0. Instances run; *seen of them had the outcome. */
static unsigned long run(const struct shape *s, double seconds, bool stop, unsigned long *seen)
{
	pthread_t thread[THREADS];
	const double end = now() + seconds;
	unsigned long n = 0;

	shape = s;
	*seen = 0;
	atomic_store(&pass, 0);
	for (unsigned i = 1; i < s->threads; i++)
		if (pthread_create(&thread[i], NULL, worker, (void *)(uintptr_t)i)) {
			perror("pthread_create");
			exit(1);
		}
	for (long p = 1; now() < end && !(stop && *seen); p++) {
		unsigned turns = 0;

		for (unsigned i = 0; i < INSTANCES; i++)
			s->init(&cells[i]);
		for (unsigned i = 0; i < s->threads; i++)
			atomic_store(&arrived[i].at, 0);
		atomic_store(&finished, 0);
		atomic_store(&pass, p);
		go_through(0, (unsigned long)p);
		while (atomic_load(&finished) < s->threads)
			wait_a_little(&turns);
		for (unsigned i = 0; i < INSTANCES; i++)
			*seen += s->seen(&cells[i]);
		n += INSTANCES;
	}
	atomic_store(&pass, -1);
	for (unsigned i = 1; i < s->threads; i++)
		pthread_join(thread[i], NULL);
	return n;
}

/* run [SECONDS for each test]. With --break the control is the test, and the run must fail. */
int main(int argc, char **argv)
{
	const bool broken = argc > 1 && !strcmp(argv[1], "--break");
	const double seconds = argc > 1 && !broken ? atof(argv[1]) : 0.08;
	unsigned long n, seen, failed = 0, tests = 0, control = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		printf("skipped: one CPU shows nothing\n");
		return 77;
	}
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		CPU_ZERO(&allowed);
	take_cpu(0);
	for (const struct shape *s = shapes; s->name; s++) {
		const bool is_control = !strcmp(s->name, CONTROL);

		if (broken && !is_control)
			continue;
		n = run(s, is_control ? 3 : seconds, is_control, &seen);
		printf("%-24s %9lu runs, %lu times the outcome\n", s->name, n, seen);
		if (is_control)
			control = seen;
		if (is_control && !broken)
			continue;
		tests++;
		failed += seen != 0;
	}
	printf("%lu tests, %lu with a forbidden outcome\n", tests, failed);
	if (failed)
		return 1;
	if (!control) {
		printf("skipped: the control was not seen, so this proves nothing\n");
		return 77;
	}
	return 0;
}
