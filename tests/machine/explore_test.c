// SPDX-License-Identifier: MIT
/* The explorer on threads whose schedules can be counted, and the memory that it plays them in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "machine/apart.h"
#include "machine/explore.h"
#include "machine/machine.h"
#include "port/port.h"

static void start(void)
{
	const struct machine_config cfg = {
		.format = "arm64-4k", .memory = 1 << 20, .cpus = 3, .seed = 1};

	assert_int_equal(machine_start(&cfg), 0);
}

/* ---- memory goes back ---- */

static int number = 1;
static char *heap;

static void spoil(void *kept)
{
	char *more = malloc(300000);

	*(int *)kept = number + heap[0];
	number = 7;
	memset(heap, 'x', 100);
	assert_non_null(more);
	memset(more, 'y', 300000);
}

static void goes_back(void **state)
{
	int *kept = kept_alloc(sizeof(*kept));

	(void)state;
	heap = calloc(1, 100);
	heap[0] = 2;
	assert_int_equal(apart_begin(), 0);
	for (int i = 0; i < 100; i++) {
		*kept = 0;
		apart_run(spoil, kept);
		assert_int_equal(*kept, 3);
		assert_int_equal(number, 1);
		assert_int_equal(heap[0], 2);
		assert_int_equal(heap[1], 0);
	}
	apart_end();
	kept_release();
	free(heap);
}

/* Places far apart, in more runs of pages than are remembered, some with something in them and some never written before. */
#define PLACES 1200u
#define APART  ((size_t)16 * 4096)
static char *far;

struct places {
	unsigned first, step;
};

static void spoil_places(void *arg)
{
	const struct places *p = arg;

	for (unsigned i = p->first; i < PLACES; i += p->step) {
		assert_int_equal(far[i * APART], i % 3 ? 0 : 1);
		far[i * APART] = 9;
	}
}

static void goes_back_wherever(void **state)
{
	struct places *kept = kept_alloc(sizeof(*kept));

	(void)state;
	far = mmap(NULL, PLACES * APART, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(far, MAP_FAILED);
	for (unsigned i = 0; i < PLACES; i += 3)
		far[i * APART] = 1;
	assert_int_equal(apart_begin(), 0);
	/* A few, others, all, and a few again. */
	for (unsigned run = 0; run < 40; run++) {
		*kept = (struct places){run, run % 10 == 9 ? 1 : 100};
		apart_run(spoil_places, kept);
		for (unsigned i = 0; run % 4 == 3 && i < PLACES; i++)
			assert_int_equal(far[i * APART], i % 3 ? 0 : 1);
	}
	apart_end();
	kept_release();
	munmap(far, PLACES * APART);
}

/* ---- threads ---- */

static uint64_t words[2];
static struct pf_spinlock locks[2];
static unsigned want; /* of words[0] at the end */

static void add_badly(void *arg)
{
	uint64_t *w = arg;
	uint64_t v = pf_load_relaxed(w);

	pf_store_relaxed(w, v + 1);
}

static void add_well(void *arg)
{
	pf_add_return((uint64_t *)arg, 1);
}

static void add_locked(void *arg)
{
	uint64_t *w = arg;

	pf_port_spin_lock(&locks[0], PF_LOCK_ZONE, 0);
	*w += 1;
	pf_port_spin_unlock(&locks[0], PF_LOCK_ZONE, 0);
}

static void lock_both(void *arg)
{
	const unsigned first = arg == words;

	pf_port_spin_lock(&locks[first], PF_LOCK_ZONE, first);
	pf_port_spin_lock(&locks[!first], PF_LOCK_ZONE, !first);
	pf_port_spin_unlock(&locks[!first], PF_LOCK_ZONE, !first);
	pf_port_spin_unlock(&locks[first], PF_LOCK_ZONE, first);
}

static void wait_for_other(void *arg)
{
	(void)arg;
	while (!pf_load_acquire(&words[1]))
		pf_spin_wait(&words[1]);
}

static void set_other(void *arg)
{
	pf_store_release((uint64_t *)arg, 1);
}

static bool after(void *ctx, const char *stopped)
{
	(void)ctx;
	return !stopped && words[0] == want;
}

/* Two threads, on words[0] and on the word given. */
static struct explore_result explore(
	void (*a)(void *), void (*b)(void *), uint64_t *word, struct explore_bounds bounds)
{
	const struct explore_plan plan = {.threads = {{0, a, &words[0]}, {1, b, word}},
		.nthreads = 2,
		.bounds = bounds,
		.after = after};
	struct explore_result r;

	start();
	for (unsigned i = 0; i < 2; i++) {
		pf_port_spin_init(&locks[i], PF_LOCK_ZONE, i);
		words[i] = 0;
	}
	assert_int_equal(machine_explore(&plan, &r), 0);
	kept_release();
	machine_stop();
	return r;
}

static const struct explore_bounds none = {0}, one = {.preemptions = 1}, two = {.preemptions = 2};

static void lost_addition(void **state)
{
	struct explore_bounds again = {0};
	struct explore_result r;
	char token[EXPLORE_TOKEN];

	(void)state;
	want = 2;
	r = explore(add_badly, add_badly, words, none);
	assert_true(!r.failed && r.exhausted);
	r = explore(add_badly, add_badly, words, one);
	assert_true(r.failed && !r.exhausted);
	/* The token alone leads there, whatever the bounds. */
	again.replay = strcpy(token, r.token);
	r = explore(add_badly, add_badly, words, again);
	assert_true(r.failed);
	assert_int_equal(r.schedules, 1);
	again.replay = "0";
	r = explore(add_badly, add_badly, words, again);
	assert_false(r.failed);
	r = explore(add_well, add_well, words, two);
	assert_true(!r.failed && r.exhausted);
	r = explore(add_locked, add_locked, words, two);
	assert_true(!r.failed && r.exhausted);
}

static void drawn(void **state)
{
	const struct explore_bounds b = {.random = 200, .seed = 3};
	struct explore_result r;

	(void)state;
	want = 2;
	r = explore(add_badly, add_badly, words, b);
	assert_true(r.failed);
	r = explore(add_well, add_well, words, b);
	assert_false(r.failed);
	assert_int_equal(r.schedules, 200);
}

/* Independent steps have one order. */
static void independent(void **state)
{
	struct explore_result r;

	(void)state;
	want = 1;
	r = explore(add_badly, add_badly, &words[1], two);
	assert_true(!r.failed && r.exhausted);
	/* Who begins, and no more: there is nothing between the two that a preemption could change. */
	assert_in_range(r.schedules, 1, 2);
}

static void deadlock(void **state)
{
	struct explore_result r;

	(void)state;
	want = 0;
	r = explore(lock_both, lock_both, &words[1], none);
	assert_false(r.failed);
	r = explore(lock_both, lock_both, &words[1], one);
	assert_true(r.failed);
	r = explore(lock_both, lock_both, words, two);
	assert_false(r.failed);
}

/* Who waits lets the other run, without a preemption. */
static void waits(void **state)
{
	struct explore_result r;

	(void)state;
	want = 0;
	r = explore(wait_for_other, set_other, &words[1], none);
	assert_true(!r.failed && r.exhausted);
	r = explore(wait_for_other, wait_for_other, &words[1], none);
	assert_true(r.failed);
}

static void bad_token(void **state)
{
	const char *const bad[] = {"", "1", "1.", "1.0", "1.1-", "x.1", "1.1.1"};
	struct explore_plan plan = {
		.threads = {{0, add_well, words}}, .nthreads = 1, .after = after};
	struct explore_result r;

	(void)state;
	start();
	for (unsigned i = 0; i < PF_ARRAY_SIZE(bad); i++) {
		plan.bounds.replay = bad[i];
		assert_int_equal(machine_explore(&plan, &r), -1);
		kept_release();
	}
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_back),
		cmocka_unit_test(goes_back_wherever),
		cmocka_unit_test(lost_addition),
		cmocka_unit_test(drawn),
		cmocka_unit_test(independent),
		cmocka_unit_test(deadlock),
		cmocka_unit_test(waits),
		cmocka_unit_test(bad_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
