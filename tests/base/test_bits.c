/* SPDX-License-Identifier: MIT */
/* base/bits.h and base/types.h against the compiler's builtins and against plain arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"

#define CASES 1000000u

static uint64_t seed = 1;

/* Dense, sparse, and runs of ones: uniform numbers alone have no long runs. */
static uint64_t rnd(void)
{
	uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t rnd_shaped(void)
{
	switch (rnd() & 3) {
	case 0:
		return rnd() & rnd() & rnd();
	case 1:
		return PF_MASK(63, 0) >> (rnd() & 63) << (rnd() & 63);
	case 2:
		return UINT64_C(1) << (rnd() & 63);
	default:
		return rnd();
	}
}

static void check_counts(uint64_t v)
{
	assert_int_equal(pf_popcount64(v), __builtin_popcountll(v));
	assert_int_equal(pf_ctz64(v), v ? (unsigned)__builtin_ctzll(v) : 64);
	if (v)
		assert_int_equal(pf_log2(v), 63 - __builtin_clzll(v));
	assert_int_equal(pf_is_pow2(v), __builtin_popcountll(v) == 1);
}

static void counts_match_builtins(void **state)
{
	(void)state;
	check_counts(0);
	check_counts(UINT64_MAX);
	for (uint64_t v = 1; v < 1 << 16; v++) {
		check_counts(v);
		check_counts(v << 48);
	}
	for (unsigned a = 0; a < 64; a++)
		for (unsigned b = 0; b < 64; b++)
			check_counts(PF_BIT(a) | PF_BIT(b));
	for (unsigned i = 0; i < CASES; i++)
		check_counts(rnd_shaped());
}

/* Bit by bit, for every pair, hi = 63 and lo = 63 included. */
static void masks_have_exactly_their_bits(void **state)
{
	(void)state;
	for (unsigned hi = 0; hi < 64; hi++) {
		for (unsigned lo = 0; lo <= hi; lo++) {
			uint64_t m = PF_MASK(hi, lo);

			for (unsigned b = 0; b < 64; b++)
				assert_int_equal(m >> b & 1, b >= lo && b <= hi);
		}
	}
	for (unsigned b = 0; b < 64; b++)
		assert_int_equal(PF_BIT(b), PF_MASK(b, b));
}

static void alignment(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES; i++) {
		uint64_t v = rnd_shaped(), p = PF_BIT(rnd() & 63);
		uint64_t down = pf_align_down(v, p), up = pf_align_up(v, p);

		assert_true(down <= v && v - down < p && down % p == 0);
		assert_int_equal(pf_aligned(v, p), v % p == 0);
		assert_int_equal(up % p, 0);
		/* the next multiple, or 0 where that is 2^64 */
		if (v % p == 0)
			assert_int_equal(up, v);
		else
			assert_int_equal(up, down + p);
	}
	assert_int_equal(pf_align_up(UINT64_MAX, 4096), 0);
	assert_int_equal(pf_align_up(UINT64_MAX - 4095, 4096), UINT64_MAX - 4095);
}

static void min_max(void **state)
{
	static const uint64_t v[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63, UINT32_MAX};

	(void)state;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(v); i++) {
		for (unsigned j = 0; j < PF_ARRAY_SIZE(v); j++) {
			assert_int_equal(pf_min(v[i], v[j]), v[i] < v[j] ? v[i] : v[j]);
			assert_int_equal(pf_max(v[i], v[j]), v[i] < v[j] ? v[j] : v[i]);
		}
	}
}

struct inner {
	int x;
};

struct outer {
	char pad[40];
	struct inner in;
	int y;
};

static void containers_and_names(void **state)
{
#define TWO b2
	static const int a1b2 = 12;
	struct outer o = {.y = 7};
	struct inner *in = &o.in;

	(void)state;
	assert_ptr_equal(PF_CONTAINER_OF(in, struct outer, in), &o);
	assert_int_equal(PF_CONTAINER_OF(in, struct outer, in)->y, 7);
	/* arguments are expanded before they are joined or quoted */
	assert_int_equal(PF_CAT2(a1, TWO), 12);
	assert_int_equal(PF_CAT4(a, 1, b, 2), 12);
	assert_string_equal(PF_STR(TWO), "b2");
	assert_int_equal(a1b2, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_match_builtins),
		cmocka_unit_test(masks_have_exactly_their_bits),
		cmocka_unit_test(alignment),
		cmocka_unit_test(min_max),
		cmocka_unit_test(containers_and_names),
	};

	return cmocka_run_group_tests_name("base bits", tests, NULL, NULL);
}
