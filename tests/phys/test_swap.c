/* SPDX-License-Identifier: MIT */
/* Swap slots and the swap cache (phys/swap.h). */
#include <pthread.h>
#include <sched.h>

#include "phys_test.h"
#include "phys/swap.h"

#define SLOTS 200 /* no multiple of a word's bits */

static struct pf_phys phys;
static struct pf_swap dev;
static const struct pf_swap_ops no_io;

static int begin(void **state)
{
	(void)state;
	start(&phys, 8192);
	assert_int_equal(pf_swap_init(&dev, &phys, &no_io, NULL, SLOTS, 3), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	assert_null(pf_swap_check(&dev));
	assert_int_equal(pf_swap_free(&dev), SLOTS);
	pf_swap_destroy(&dev);
	assert_int_equal(test_port.meta_live, 0);
	check_all_free(&phys);
	return 0;
}

static struct pf_folio *take(unsigned order)
{
	struct pf_folio *f = pf_folio_alloc(&phys, order, PF_USE_ANON);

	assert_non_null(f);
	return f;
}

/* Out to swap, and gone from memory: its slots, each with one count of ours. */
static uint64_t swap_out(unsigned order)
{
	struct pf_folio *f = take(order);
	uint64_t slot;

	assert_true(pf_folio_trylock(f));
	if (!pf_swap_add_folio(&dev, f)) {
		pf_folio_unlock(f);
		pf_folio_put(&phys, f, 1);
		return UINT64_MAX;
	}
	slot = pf_folio_swap_slot(f);
	assert_true(pf_swap_cache_freeze(&dev, f));
	pf_folio_free(&phys, f);
	return slot;
}

static void init_errors(void **state)
{
	struct pf_swap d;

	(void)state;
	assert_int_equal(pf_swap_init(&d, &phys, &no_io, NULL, 0, 0), -PF_EINVAL);
	assert_int_equal(pf_swap_init(&d, &phys, &no_io, NULL, UINT64_C(1) << 32, 0), -PF_EINVAL);
	assert_int_equal(pf_swap_init(&d, &phys, &no_io, NULL, 1, PF_SWAP_DEVICES), -PF_EINVAL);
	for (unsigned k = 1; k <= 2; k++) {
		int64_t live = test_port.meta_live;

		test_port.fail_at = k;
		assert_int_equal(pf_swap_init(&d, &phys, &no_io, NULL, 100, 0), -PF_ENOMEM);
		assert_int_equal(test_port.meta_live, live);
		test_port.fail_at = 0;
	}
}

/* Aligned to their length, all of them used, none twice. */
static void clusters(void **state)
{
	bool seen[SLOTS] = {false};
	uint64_t got[SLOTS];
	unsigned n = 0, order[SLOTS];

	(void)state;
	for (unsigned i = 0;; i++) {
		unsigned o = i % 8; /* up to two words */
		uint64_t slot = swap_out(o);

		if (slot == UINT64_MAX) {
			if (!o)
				break;
			continue;
		}
		assert_int_equal(slot % (1u << o), 0);
		assert_true(slot + (1u << o) <= SLOTS);
		for (unsigned k = 0; k < 1u << o; k++) {
			assert_false(seen[slot + k]);
			seen[slot + k] = true;
		}
		got[n] = slot;
		order[n++] = o;
		assert_null(pf_swap_check(&dev));
	}
	/* To the last slot: order 0 always finds one while there is one. */
	assert_int_equal(pf_swap_free(&dev), 0);
	for (unsigned i = 0; i < n; i++)
		pf_swap_put(&dev, got[i], 1u << order[i]);
}

/* What is free but not aligned, or interrupted, is not taken for a large folio. */
static void fragmented(void **state)
{
	uint64_t slot[SLOTS];

	(void)state;
	for (unsigned i = 0; i < SLOTS; i++)
		slot[i] = swap_out(0);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slot[i] % 4 != 3)
			pf_swap_put(&dev, slot[i], 1);
	assert_int_equal(swap_out(2), UINT64_MAX);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(swap_out(1) % 2, 0);
	assert_int_equal(swap_out(1), UINT64_MAX);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slot[i] % 4 < 2 || slot[i] % 4 == 3)
			pf_swap_put(&dev, slot[i], 1);
}

static void off(void **state)
{
	(void)state;
	pf_swap_set_off(&dev, true);
	assert_int_equal(swap_out(0), UINT64_MAX);
	pf_swap_set_off(&dev, false);
	pf_swap_put(&dev, swap_out(0), 1);
}

static void counts(void **state)
{
	uint64_t slot = swap_out(0);

	(void)state;
	assert_int_equal(pf_swap_dup(&dev, slot, 1), 0);
	assert_true(pf_swap_get(&dev, slot, 1));
	pf_swap_put(&dev, slot, 1);
	pf_swap_put(&dev, slot, 1);
	assert_int_equal(pf_swap_free(&dev), SLOTS - 1);
	pf_swap_put(&dev, slot, 1);
	assert_int_equal(pf_swap_free(&dev), SLOTS);
	/* S1: nobody has a count, so nobody can come by one. */
	assert_false(pf_swap_get(&dev, slot, 1));
	assert_false(pf_swap_get(&dev, SLOTS, 1));
	assert_false(pf_swap_get(&dev, SLOTS - 1, 2));
	assert_false(pf_swap_get(&dev, UINT64_MAX, 2));
}

/* All or none: the last slot of a batch is at the limit, or has no count. */
static void counts_batch(void **state)
{
	uint64_t slot = swap_out(3);

	(void)state;
	dev.slot[slot + 7].count = PF_SWAP_MAX_COUNT;
	assert_int_equal(pf_swap_dup(&dev, slot, 8), -PF_ENOMEM);
	assert_false(pf_swap_get(&dev, slot, 8));
	dev.slot[slot + 7].count = 1;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(dev.slot[slot + i].count, 1);
	pf_swap_put(&dev, slot + 7, 1);
	assert_false(pf_swap_get(&dev, slot, 8));
	assert_true(pf_swap_get(&dev, slot, 7));
	pf_swap_put(&dev, slot, 7);
	pf_swap_put(&dev, slot, 7);
}

/* S2: with the last count of any of its slots the folio leaves, mapped or not. */
static void leaves_with_the_last_count(void **state)
{
	for (unsigned order = 0; order <= 7; order++) {
		struct pf_folio *f = take(order);
		unsigned nr = 1u << order;
		uint64_t slot;

		assert_true(pf_folio_trylock(f));
		assert_true(pf_swap_add_folio(&dev, f));
		slot = pf_folio_swap_slot(f);
		assert_int_equal(pf_folio_swap_dev(f), 3);
		assert_int_equal(pf_folio_ref(f), 2);
		pf_folio_unlock(f);
		for (unsigned i = 0; i < nr; i++) {
			struct pf_folio *found = pf_swap_cache_get(&dev, slot + i);

			assert_ptr_equal(found, f);
			pf_folio_put(&phys, found, 1);
		}
		/* From the second on, one by one: none of these slots is given out again. */
		for (unsigned i = 1; i < nr; i++) {
			pf_swap_put(&dev, slot + i, 1);
			assert_true(pf_folio_test_flags(f, PF_FOLIO_SWAPCACHE));
			assert_int_equal(pf_swap_free(&dev), SLOTS - nr);
			assert_null(pf_swap_check(&dev));
		}
		pf_swap_put(&dev, slot, 1);
		assert_false(pf_folio_test_flags(f, PF_FOLIO_SWAPCACHE));
		assert_int_equal(pf_folio_ref(f), 1);
		assert_int_equal(pf_swap_free(&dev), SLOTS);
		assert_false(pf_swap_cache_any(&dev, slot, nr));
		pf_folio_put(&phys, f, 1);
	}
	(void)state;
}

/* The cache's is the folio's last reference. */
static void put_frees(void **state)
{
	struct pf_folio *f = take(2);
	uint64_t slot;

	(void)state;
	assert_true(pf_folio_trylock(f));
	assert_true(pf_swap_add_folio(&dev, f));
	slot = pf_folio_swap_slot(f);
	pf_folio_unlock(f);
	pf_folio_put(&phys, f, 1);
	pf_swap_put(&dev, slot, 4);
	check_all_free(&phys);
}

static void cache_add(void **state)
{
	uint64_t slot = swap_out(3);
	struct pf_folio *small = take(0), *large = take(3);

	(void)state;
	assert_null(pf_swap_cache_get(&dev, slot));
	assert_true(pf_folio_trylock(small));
	assert_false(pf_folio_trylock(small));
	assert_true(pf_swap_cache_add(&dev, slot + 5, small));
	assert_true(pf_folio_trylock(large));
	/* One of its slots has a folio by now: two for one page would part. */
	assert_false(pf_swap_cache_add(&dev, slot, large));
	assert_false(pf_folio_test_flags(large, PF_FOLIO_SWAPCACHE));
	assert_true(pf_swap_cache_any(&dev, slot, 8));
	assert_false(pf_swap_cache_any(&dev, slot, 5));
	assert_null(pf_swap_check(&dev));
	pf_swap_cache_del(&dev, small);
	assert_true(pf_swap_cache_add(&dev, slot, large));
	pf_swap_cache_del(&dev, large);
	assert_int_equal(pf_swap_free(&dev), SLOTS - 8);
	pf_folio_unlock(small);
	pf_folio_put(&phys, small, 1);
	pf_folio_unlock(large);
	pf_folio_put(&phys, large, 1);
	pf_swap_put(&dev, slot, 8);
}

/* Only a folio that nobody else has. */
static void freeze(void **state)
{
	for (unsigned order = 0; order <= 4; order += 2) {
		struct pf_folio *f = take(order);
		uint64_t slot;

		assert_true(pf_folio_trylock(f));
		assert_true(pf_swap_add_folio(&dev, f));
		slot = pf_folio_swap_slot(f);
		pf_folio_get(f, 1);
		assert_false(pf_swap_cache_freeze(&dev, f));
		assert_false(pf_folio_put_testzero(f, 1));
		pf_folio_add_anon_rmap_ptes(f, pf_folio_pfn(&phys, f), 1, MM_LAST, false);
		assert_false(pf_swap_cache_freeze(&dev, f));
		assert_true(pf_folio_test_flags(f, PF_FOLIO_SWAPCACHE));
		assert_false(pf_folio_drop_rmap_testzero(f, pf_folio_pfn(&phys, f), 1, MM_LAST));
		assert_true(pf_swap_cache_freeze(&dev, f));
		assert_false(pf_folio_try_get(f));
		pf_folio_free(&phys, f);
		assert_int_equal(pf_swap_free(&dev), SLOTS - (1u << order));
		pf_swap_put(&dev, slot, 1u << order);
	}
	(void)state;
}

/* ---- two threads ---- */

static unsigned stop, wrong, rounds;
static uint32_t shown; /* slot + 1 that the helper may try to get hold of */

/*
 * A fault: gets a count of a slot that an entry showed it, finds or makes its folio, and gives all back. While
 * it has the count the slot stays that page's (S1), whatever the other thread does.
 */
static void *fault(void *arg)
{
	while (!pf_load_relaxed(&stop)) {
		uint32_t slot = pf_load_acquire(&shown);
		struct pf_folio *f, *again;

		if (!slot-- || !pf_swap_get(&dev, slot, 1)) {
			sched_yield();
			continue;
		}
		f = pf_swap_cache_get(&dev, slot);
		if (!f) {
			f = pf_folio_alloc(&phys, 0, PF_USE_ANON);
			if (!pf_folio_trylock(f) || !pf_swap_cache_add(&dev, slot, f))
				pf_add_relaxed(&wrong, 1);
			pf_folio_unlock(f);
		}
		again = pf_swap_cache_get(&dev, slot);
		/* Only the last count takes it out of the cache, or who freezes it: we have a reference. */
		if (again != f || !pf_folio_test_flags(f, PF_FOLIO_SWAPCACHE) ||
			pf_folio_swap_slot(f) != slot)
			pf_add_relaxed(&wrong, 1);
		if (again)
			pf_folio_put(&phys, again, 1);
		pf_folio_put(&phys, f, 1);
		pf_swap_put(&dev, slot, 1);
		pf_add_relaxed(&rounds, 1);
	}
	return arg;
}

static void races(void **state)
{
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, fault, NULL), 0);
	for (unsigned i = 0; i < 2000 || (pf_load_relaxed(&rounds) < 500 && i < 200000); i++) {
		struct pf_folio *f = take(0);
		uint64_t slot;

		assert_true(pf_folio_trylock(f));
		assert_true(pf_swap_add_folio(&dev, f));
		slot = pf_folio_swap_slot(f);
		pf_store_release(&shown, (uint32_t)slot + 1);
		if (i % 8 == 0)
			sched_yield();
		if (pf_swap_cache_freeze(&dev, f)) {
			pf_folio_free(&phys, f);
		} else {
			pf_folio_unlock(f);
			pf_folio_put(&phys, f, 1);
		}
		if (i % 4 == 0)
			sched_yield();
		pf_swap_put(&dev, slot, 1);
	}
	pf_store_relaxed(&stop, 1);
	pthread_join(t, NULL);
	assert_int_equal(wrong, 0);
	assert_true(rounds >= 500);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(init_errors),
		TEST(clusters),
		TEST(fragmented),
		TEST(off),
		TEST(counts),
		TEST(counts_batch),
		TEST(leaves_with_the_last_count),
		TEST(put_frees),
		TEST(cache_add),
		TEST(freeze),
		TEST(races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
