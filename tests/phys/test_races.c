/* SPDX-License-Identifier: MIT */
/*
 * lib/phys with two host threads, where docs/FRAME.md argues that plain stores may stand beside
 * atomics (4, 6) and that stale frame numbers are harmless (3). A table lock is played by a mutex
 * where the callers would hold one; where they hold different ones there is none here either.
 */
#include <pthread.h>
#include <sched.h>

#include "phys_test.h"

static struct pf_phys phys;
static struct pf_folio *folio;
static pf_pfn_t first;
static unsigned nr;
static unsigned stop;
static uint64_t helped, wrong; /* helped: rounds of the helper */
static uint64_t last_helped, meetings;

static void new_folio(unsigned order)
{
	start(&phys, 8192);
	folio = pf_folio_alloc(&phys, order, PF_USE_ANON);
	assert_non_null(folio);
	first = pf_folio_pfn(&phys, folio);
	nr = 1u << order;
}

static bool stopping(void)
{
	return pf_load_relaxed(&stop);
}

static uint64_t helped_now(void)
{
	return pf_load_relaxed(&helped);
}

/*
 * Is there to be a round i of body()? `least` rounds, and on a busy host more, until the two threads
 * have been seen to run at one time in a tenth of them: else the test proves nothing.
 */
static bool more(unsigned i, unsigned least)
{
	uint64_t now = helped_now();

	meetings += now != last_helped;
	last_helped = now;
	return i < least || (meetings < least / 10 && i < 20 * least);
}

/* body() runs beside helper() until it returns; helper() must have done something by then. */
static void race(void *(*helper)(void *), void (*body)(void))
{
	pthread_t t;

	helped = wrong = last_helped = meetings = 0;
	pf_store_release(&stop, 0);
	assert_int_equal(pthread_create(&t, NULL, helper, NULL), 0);
	while (!helped_now())
		sched_yield();
	body();
	pf_store_release(&stop, 1);
	pthread_join(t, NULL);
	assert_int_equal(wrong, 0);
}

/* ---- references that come and go beside mappings ---- */

static void *walk_by(void *arg)
{
	uint64_t seed = 9;

	while (!stopping()) {
		pf_pfn_t pfn = first + rnd_below_of(&seed, nr);
		struct pf_folio *f = pf_folio_try_get_page(&phys, pfn);

		if (f != folio)
			pf_add_relaxed(&wrong, 1);
		if (f && rnd_below_of(&seed, 4) == 0 && pf_folio_pin_ref(f)) {
			if (!pf_folio_maybe_pinned(f))
				pf_add_relaxed(&wrong, 1);
			if (pf_folio_put_testzero(f, pf_folio_unpin_refs(f, 1)))
				pf_add_relaxed(&wrong, 1);
		} else if (f && pf_folio_put_testzero(f, 1)) {
			pf_add_relaxed(&wrong, 1);
		}
		pf_add_relaxed(&helped, 1);
	}
	return arg;
}

/* As often as can be: a reference taken and dropped. */
static void *get_and_put(void *arg)
{
	while (!stopping()) {
		if (!pf_folio_try_get(folio) || pf_folio_put_testzero(folio, 1))
			pf_add_relaxed(&wrong, 1);
		pf_add_relaxed(&helped, 1);
	}
	return arg;
}

/* fork's plain store of "two mappings" against 64-bit atomics on the same word. */
static void fork_and_exit(void)
{
	for (unsigned i = 0; more(i, 150000); i++) {
		uint32_t child = 100 + i % 1000;

		if (i & 1)
			pf_folio_ae_set_range(folio, 0, nr);
		if (pf_folio_try_dup_anon_rmap_ptes(folio, first, nr, child, false))
			pf_add_relaxed(&wrong, 1);
		if (pf_folio_mapcount(folio) != 2 * nr)
			pf_add_relaxed(&wrong, 1);
		if (i & 2) {
			if (pf_folio_drop_rmap_testzero(folio, first, nr, child))
				pf_add_relaxed(&wrong, 1);
		} else {
			if (pf_folio_remove_rmap_ptes(folio, first, nr, child) != nr)
				pf_add_relaxed(&wrong, 1);
			if (pf_folio_put_testzero(folio, nr))
				pf_add_relaxed(&wrong, 1);
		}
	}
}

static void fork_beside(void *(*helper)(void *), unsigned order)
{
	new_folio(order);
	pf_folio_add_new_anon_rmap(folio, first, nr, 1, true);
	race(helper, fork_and_exit);
	assert_int_equal(pf_folio_mapcount(folio), nr);
	assert_int_equal(pf_folio_extra_ref(folio), 0);
	assert_true(pf_folio_reuse_anon(folio, 1));
	check_all(&phys);
	pf_folio_drop_rmap_ptes(&phys, folio, first, nr, 1);
	check_all_free(&phys);
}

static void small_fork_beside_walkers(void **state)
{
	(void)state;
	fork_beside(walk_by, 0);
	fork_beside(get_and_put, 0);
}

static void large_fork_beside_walkers(void **state)
{
	(void)state;
	fork_beside(walk_by, 4);
	fork_beside(get_and_put, 1);
}

/*
 * Swap-in, migration and KSM add mappings under the folio lock and the table lock of their own entry,
 * not that of ours. Fork sees by the flags that it isn't alone, although there is but one mapping.
 */
static void *map_by_folio_lock(void *arg)
{
	while (!stopping()) {
		pf_folio_get(folio, 1);
		pf_folio_add_anon_rmap_ptes(folio, first, 1, 9, false);
		if (pf_folio_drop_rmap_testzero(folio, first, 1, 9) ||
			pf_folio_put_testzero(folio, 1))
			pf_add_relaxed(&wrong, 1);
		pf_add_relaxed(&helped, 1);
	}
	return arg;
}

static void fork_not_alone(void)
{
	for (unsigned i = 0; more(i, 150000); i++) {
		if (pf_folio_try_dup_anon_rmap_ptes(folio, first, 1, 2, false))
			pf_add_relaxed(&wrong, 1);
		if (pf_folio_drop_rmap_testzero(folio, first, 1, 2))
			pf_add_relaxed(&wrong, 1);
	}
}

static void fork_of_a_locked_folio(void **state)
{
	static const uint32_t why[] = {PF_FOLIO_LOCKED, PF_FOLIO_SWAPCACHE, PF_FOLIO_KSM};

	(void)state;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(why); i++) {
		new_folio(0);
		pf_folio_add_new_anon_rmap(folio, first, 1, 1, false);
		pf_folio_set_flags(folio, why[i]);
		race(map_by_folio_lock, fork_not_alone);
		assert_int_equal(pf_folio_mapcount(folio), 1);
		assert_int_equal(pf_folio_extra_ref(folio), 0);
		check_all(&phys);
		pf_folio_drop_rmap_ptes(&phys, folio, first, 1, 1);
		check_all_free(&phys);
	}
}

/* ---- two processes map and unmap one large folio ---- */

static void map_and_unmap(uint32_t mm, uint64_t *seed)
{
	unsigned idx = (unsigned)rnd_below_of(seed, nr);
	unsigned n = 1 + (unsigned)rnd_below_of(seed, nr - idx);

	if (pf_folio_try_dup_anon_rmap_ptes(folio, first + idx, n, mm, false))
		pf_add_relaxed(&wrong, 1);
	/* both mms have mappings: nobody is alone */
	if (pf_folio_reuse_anon(folio, mm))
		pf_add_relaxed(&wrong, 1);
	if (n & 1) {
		if (pf_folio_drop_rmap_testzero(folio, first + idx, n, mm))
			pf_add_relaxed(&wrong, 1);
	} else {
		pf_folio_remove_rmap_ptes(folio, first + idx, n, mm);
		if (pf_folio_put_testzero(folio, n))
			pf_add_relaxed(&wrong, 1);
	}
}

static void *other_process(void *arg)
{
	uint64_t seed = 2;

	while (!stopping()) {
		map_and_unmap(2, &seed);
		pf_add_relaxed(&helped, 1);
	}
	return arg;
}

static void this_process(void)
{
	uint64_t seed = 1;

	for (unsigned i = 0; more(i, 200000); i++)
		map_and_unmap(1, &seed);
}

static void two_processes_map_one_folio(void **state)
{
	(void)state;
	new_folio(5);
	/* one mapping each stays, so that neither count ends */
	pf_folio_add_new_anon_rmap(folio, first, 1, 1, false);
	assert_int_equal(pf_folio_try_dup_anon_rmap_ptes(folio, first, 1, 2, false), 0);
	race(other_process, this_process);
	assert_int_equal(pf_folio_mapcount(folio), 2);
	assert_int_equal(pf_folio_extra_ref(folio), 0);
	check_all(&phys);
	assert_false(pf_folio_drop_rmap_testzero(folio, first, 1, 2));
	/* mm 1 has the only mapping, and it was tracked from the first to the last */
	assert_true(pf_folio_reuse_anon(folio, 1));
	pf_folio_drop_rmap_ptes(&phys, folio, first, 1, 1);
	check_all_free(&phys);
}

/* ---- the exclusive byte beside flags of one word ---- */

static void *flag_setter(void *arg)
{
	while (!stopping()) {
		pf_folio_set_flags(folio, PF_FOLIO_REFERENCED);
		if (!pf_folio_test_flags(folio, PF_FOLIO_REFERENCED))
			pf_add_relaxed(&wrong, 1);
		pf_folio_clear_flags(folio, PF_FOLIO_REFERENCED);
		if (pf_folio_test_flags(folio, PF_FOLIO_REFERENCED))
			pf_add_relaxed(&wrong, 1);
		pf_add_relaxed(&helped, 1);
	}
	return arg;
}

static void byte_setter(void)
{
	for (unsigned i = 0; more(i, 200000); i++) {
		pf_folio_ae_set_range(folio, 0, 1);
		if (!pf_folio_ae_test(folio, 0))
			pf_add_relaxed(&wrong, 1);
		pf_folio_ae_clear_range(folio, 0, 1);
		if (pf_folio_ae_test(folio, 0))
			pf_add_relaxed(&wrong, 1);
	}
}

static void exclusive_byte_beside_flags(void **state)
{
	(void)state;
	new_folio(0);
	race(flag_setter, byte_setter);
	assert_false(pf_folio_test_flags(folio, PF_FOLIO_REFERENCED));
	pf_folio_put(&phys, folio, 1); /* the use, in the same word, is unharmed */
	check_all_free(&phys);
}

/*
 * ---- two lock holders own different pages of one word (a folio mapped across two tables) ----
 * A lost change is one of a whole mask, so any page of it tells.
 */
#define OTHER_FROM 29u
#define OTHER_NR   67u

static void own_pages(unsigned from, unsigned n)
{
	pf_folio_ae_set_range(folio, from, n);
	if (!pf_folio_ae_test(folio, from))
		pf_add_relaxed(&wrong, 1);
	pf_folio_ae_clear_range(folio, from, n);
	if (pf_folio_ae_test(folio, from))
		pf_add_relaxed(&wrong, 1);
}

static void *other_table(void *arg)
{
	while (!stopping()) {
		own_pages(OTHER_FROM, OTHER_NR);
		pf_add_relaxed(&helped, 1);
	}
	return arg;
}

static void this_table(void)
{
	for (unsigned i = 0; more(i, 1000000); i++)
		own_pages(0, OTHER_FROM);
}

static void two_tables_in_one_word(void **state)
{
	(void)state;
	new_folio(7);
	race(other_table, this_table);
	assert_false(pf_folio_ae_any(folio, 0, nr));
	pf_folio_put(&phys, folio, 1);
	check_all_free(&phys);
}

/* ---- frames change hands under walkers with old numbers ---- */

static void *sweep(void *arg)
{
	uint64_t seed = 77;

	while (!stopping()) {
		pf_pfn_t pfn = phys.first + rnd_below_of(&seed, 256);
		struct pf_folio *f = pf_folio_try_get_page(&phys, pfn);

		if (!f)
			continue;
		if (pfn - pf_folio_pfn(&phys, f) >= pf_folio_nr(f))
			pf_add_relaxed(&wrong, 1);
		/* whoever drops the last one frees it, and that may be this walker */
		pf_folio_put(&phys, f, 1);
		pf_add_relaxed(&helped, 1);
	}
	return arg;
}

/* Every folio and table carries a mark in all of its records, which nobody else may touch. */
static void change_hands(void)
{
	struct pf_table_mem mem = pf_phys_table_mem(&phys);
	struct pf_folio *f[16] = {0};
	pf_pa_t t[16] = {0};
	uint64_t seed = 78;

	for (unsigned i = 0; more(i, 200000); i++) {
		unsigned k = i % 16, order = (unsigned)rnd_below_of(&seed, 6);

		if (f[k]) {
			for (unsigned p = 1; p < pf_folio_nr(f[k]); p++)
				if ((&f[k]->head)[p].ae_more[0] != i - 16)
					pf_add_relaxed(&wrong, 1);
			pf_folio_put(&phys, f[k], 1);
			f[k] = NULL;
		}
		if (t[k]) {
			for (unsigned p = 0; p < 2; p++) {
				struct pf_frame *r = pf_port_memmap(t[k] + p * PAGE);

				if (r->ae_more[0] != i - 16 || r->ae_more[1] != ~(uint64_t)(i - 16))
					pf_add_relaxed(&wrong, 1);
			}
			mem.free(mem.ctx, t[k], 2 * PAGE);
			t[k] = 0;
		}
		if (order == 5) {
			t[k] = mem.alloc(mem.ctx, 2 * PAGE);
			for (unsigned p = 0; t[k] && p < 2; p++) {
				struct pf_frame *r = pf_port_memmap(t[k] + p * PAGE);

				r->ae_more[0] = i;
				r->ae_more[1] = ~(uint64_t)i;
			}
		} else {
			f[k] = pf_folio_alloc(&phys, order, PF_USE_ANON);
			for (unsigned p = 1; f[k] && p < 1u << order; p++)
				(&f[k]->head)[p].ae_more[0] = i;
		}
	}
	for (unsigned k = 0; k < 16; k++) {
		if (f[k])
			pf_folio_put(&phys, f[k], 1);
		if (t[k])
			mem.free(mem.ctx, t[k], 2 * PAGE);
	}
}

static void frames_change_hands_under_walkers(void **state)
{
	struct pf_folio *kept;

	(void)state;
	test_port_start(256 * PAGE, 12);
	assert_int_equal(pf_phys_init(&phys, TEST_PORT_BASE, 256 * PAGE, 12, PF_MAX_ORDER), 0);
	/* something for the walker to find from the start */
	kept = pf_folio_alloc(&phys, 0, PF_USE_ANON);
	assert_non_null(kept);
	race(sweep, change_hands);
	check_all(&phys);
	pf_folio_put(&phys, kept, 1);
	check_all_free(&phys);
}

/* ---- two CPUs allocate ---- */

struct cpu {
	struct pf_folio *f[8];
	uint64_t seed, me;
};

/* What is held is marked as this CPU's, and nobody else's mark appears on it. */
static void allocate(struct cpu *c)
{
	unsigned k = (unsigned)rnd_below_of(&c->seed, 8);

	if (c->f[k]) {
		if (c->f[k]->head.index != c->me + k)
			pf_add_relaxed(&wrong, 1);
		pf_folio_put(&phys, c->f[k], 1);
		c->f[k] = NULL;
	} else {
		c->f[k] = pf_folio_alloc(&phys, (unsigned)rnd_below_of(&c->seed, 6), PF_USE_ANON);
		if (c->f[k])
			c->f[k]->head.index = c->me + k;
	}
}

static void release_all(struct cpu *c)
{
	for (unsigned k = 0; k < 8; k++)
		if (c->f[k])
			pf_folio_put(&phys, c->f[k], 1);
}

static void *other_cpu(void *arg)
{
	struct cpu c = {.seed = 1, .me = 1000};

	while (!stopping()) {
		allocate(&c);
		pf_add_relaxed(&helped, 1);
	}
	release_all(&c);
	return arg;
}

static void this_cpu(void)
{
	struct cpu c = {.seed = 2, .me = 2000};

	for (unsigned i = 0; more(i, 150000); i++)
		allocate(&c);
	release_all(&c);
}

static void two_cpus_allocate(void **state)
{
	(void)state;
	start(&phys, 512);
	race(other_cpu, this_cpu);
	check_all_free(&phys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_fork_beside_walkers),
		cmocka_unit_test(large_fork_beside_walkers),
		cmocka_unit_test(fork_of_a_locked_folio),
		cmocka_unit_test(two_processes_map_one_folio),
		cmocka_unit_test(exclusive_byte_beside_flags),
		cmocka_unit_test(two_tables_in_one_word),
		cmocka_unit_test(frames_change_hands_under_walkers),
		cmocka_unit_test(two_cpus_allocate),
	};

	return cmocka_run_group_tests_name("phys races", tests, NULL, NULL);
}
