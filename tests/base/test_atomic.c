/* SPDX-License-Identifier: MIT */
/*
 * base/atomic.h: values returned, on every width that the library uses; atomicity between threads;
 * and the orderings that its users rely on, as far as a host with strong ordering can show them.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/atomic.h"

/* Old or new value returned? Linux's names and C's disagree, so it is written down here. */
#define VALUES(type, name)                                                                         \
	static void values_##name(void **state)                                                    \
	{                                                                                          \
		const type top = (type)((type)1 << (8 * sizeof(type) - 1));                        \
		type v = 5, old;                                                                   \
                                                                                                   \
		(void)state;                                                                       \
		assert_true(pf_load_relaxed(&v) == 5);                                             \
		assert_true(pf_load_acquire(&v) == 5);                                             \
		pf_store_relaxed(&v, top);                                                         \
		assert_true(v == top);                                                             \
		pf_store_release(&v, (type)(top | 3));                                             \
		assert_true(v == (type)(top | 3));                                                 \
		assert_true(pf_xchg_relaxed(&v, 9) == (type)(top | 3) && v == 9);                  \
		assert_true(pf_add_relaxed(&v, 2) == 11 && v == 11);                               \
		assert_true(pf_add_return(&v, 3) == 14 && v == 14);                                \
		assert_true(pf_sub_return(&v, 15) == (type)-1 && v == (type)-1);                   \
		assert_true(pf_and_relaxed(&v, (type)(top | 6)) == (type)(top | 6));               \
		assert_true(pf_or_relaxed(&v, 1) == (type)(top | 7) && v == (type)(top | 7));      \
		old = 1;                                                                           \
		assert_false(pf_cas(&v, &old, 2));                                                 \
		assert_true(old == (type)(top | 7) && v == (type)(top | 7));                       \
		assert_true(pf_cas(&v, &old, 2));                                                  \
		assert_true(old == (type)(top | 7) && v == 2);                                     \
		assert_false(pf_cas_relaxed(&v, &old, 3));                                         \
		assert_true(old == 2 && v == 2);                                                   \
		assert_true(pf_cas_relaxed(&v, &old, 3) && v == 3);                                \
	}

VALUES(uint8_t, 8)
VALUES(uint16_t, 16)
VALUES(uint32_t, 32)
VALUES(uint64_t, 64)

/* ---- two threads ---- */

#define ROUNDS 100000u
#define SWAPS  2000000u

static uint64_t sum, slot, bits, taken[2];
static unsigned go;

static void *hammer(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t own = UINT64_C(0x5555555555555555) << me;

	pf_add_return(&go, 1);
	while (pf_load_acquire(&go) < 2)
		sched_yield();
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		uint64_t old;

		pf_add_relaxed(&sum, 3);
		pf_sub_return(&sum, 1);
		pf_add_return(&sum, 1);
		old = pf_load_relaxed(&sum);
		while (!pf_cas_relaxed(&sum, &old, old + 1))
			;
		while (!pf_cas(&sum, &old, old + 1))
			;
		/* each thread owns every other bit and finds its own as it left them */
		if ((pf_or_relaxed(&bits, own) & own) != own ||
			(pf_and_relaxed(&bits, ~own) & own) != 0)
			pf_or_relaxed(&go, 1u << 31);
	}
	/* by itself: beside locked operations a plain exchange would hardly ever be interrupted */
	pf_add_return(&go, 1);
	while ((pf_load_acquire(&go) & ~(1u << 31)) < 4)
		sched_yield();
	for (uint64_t i = 1; i <= SWAPS; i++)
		taken[me] += pf_xchg_relaxed(&slot, me * SWAPS + i);
	return NULL;
}

static void atomic_between_threads(void **state)
{
	uint64_t n = 2 * (uint64_t)SWAPS;
	pthread_t t[2];

	(void)state;
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, hammer, (void *)i), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(go, 4);
	assert_int_equal(sum, UINT64_C(2) * ROUNDS * 5);
	assert_int_equal(taken[0] + taken[1] + slot, n * (n + 1) / 2);
	assert_int_equal(bits, 0);
}

static uint64_t message, flag, broken;

static void *reader(void *arg)
{
	uint64_t last = 0;

	while (last < ROUNDS) {
		uint64_t f = pf_load_acquire(&flag);

		/* what was written before the release is seen after the acquire */
		if (pf_load_relaxed(&message) < f)
			pf_store_relaxed(&broken, 1);
		last = f;
	}
	return arg;
}

static void release_is_seen_by_acquire(void **state)
{
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, reader, NULL), 0);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		pf_store_relaxed(&message, i);
		pf_store_release(&flag, i);
	}
	pthread_join(t, NULL);
	assert_int_equal(broken, 0);
}

/*
 * Store then load: the one reordering that x86 makes, and that full ordering forbids. Each thread
 * raises its flag by a fully ordered operation and looks at the other's; both cannot miss.
 */
static unsigned raised[2], round_no[2];
static uint64_t both_missed;
static uint8_t missed[2][ROUNDS];

static void *raise_and_look(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		unsigned expected = i;

		/* meet, so that the two rounds overlap */
		pf_store_release(&round_no[me], i + 1);
		while (pf_load_acquire(&round_no[!me]) < i + 1)
			sched_yield();
		switch (i % 3) {
		case 0:
			pf_add_return(&raised[me], 1);
			break;
		case 1:
			pf_sub_return(&raised[me], (unsigned)-1);
			break;
		default:
			if (!pf_cas(&raised[me], &expected, i + 1))
				pf_store_relaxed(&both_missed, 1);
		}
		missed[me][i] = pf_load_relaxed(&raised[!me]) < i + 1;
	}
	return NULL;
}

static void full_order_between_store_and_load(void **state)
{
	pthread_t t[2];

	(void)state;
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, raise_and_look, (void *)i), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < ROUNDS / 4; i++)
		assert_false(missed[0][i] && missed[1][i]);
	assert_int_equal(both_missed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_8),
		cmocka_unit_test(values_16),
		cmocka_unit_test(values_32),
		cmocka_unit_test(values_64),
		cmocka_unit_test(atomic_between_threads),
		cmocka_unit_test(release_is_seen_by_acquire),
		cmocka_unit_test(full_order_between_store_and_load),
	};

	return cmocka_run_group_tests_name("base atomic", tests, NULL, NULL);
}
