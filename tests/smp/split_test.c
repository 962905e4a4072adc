/* SPDX-License-Identifier: MIT */
/*
 * A folio of a mapping is split while others, who come by a migration entry and have no reference, ask what it belongs to: they are
 * told the mapping at every moment. (What compilers make of clearing and then setting may pass; ThreadSanitizer sees through it.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "machine/smp/smp.h"
#include "phys/phys.h"

#define ORDER  4u
#define ROUNDS 20000u

static struct pf_phys phys;
static pf_pfn_t pfn;   /* the same, always */
static uint32_t there; /* the folio, whole or in pieces */
static uint32_t stop, asking, asked, lost;

static void *ask(void *arg)
{
	(void)arg;
	assert_true(smp_enter(false));
	while (!pf_load_acquire(&stop)) {
		bool file = true;

		/* Fully ordered: either it is seen that somebody asks, or that there is nothing to ask. */
		pf_add_return(&asking, 1);
		if (pf_add_return(&there, 0)) {
			for (unsigned i = 0; i < 1u << ORDER; i++)
				file &= pf_folio_is_file(pf_page_folio(&phys, pfn + i));
			pf_add_relaxed(&asked, 1);
			lost += !file;
		}
		pf_sub_return(&asking, 1);
	}
	smp_leave();
	return NULL;
}

static void test_split(void **state)
{
	struct smp_config cfg = {.format = "arm64-4k", .memory = 1 << 20};
	pthread_t t;

	(void)state;
	assert_int_equal(smp_start(&cfg), 0);
	assert_true(smp_enter(false));
	assert_int_equal(pf_phys_init(&phys, SMP_RAM_BASE, cfg.memory, 12, ORDER), 0);
	pfn = phys.first;
	assert_int_equal(pthread_create(&t, NULL, ask, NULL), 0);
	for (unsigned r = 0; r < ROUNDS || pf_load_relaxed(&asked) < ROUNDS / 10; r++) {
		struct pf_folio *folio = pf_folio_alloc(&phys, ORDER, PF_USE_FILE);

		assert_non_null(folio);
		assert_int_equal(pf_folio_pfn(&phys, folio), pfn);
		folio->head.index = 16;
		pf_store_relaxed(&folio->head.mapping, 4 | PF_MAPPING_FILE);
		assert_true(pf_folio_trylock(folio));
		pf_add_return(&there, 1);
		assert_true(pf_folio_freeze(folio));
		pf_folio_split_frozen(&phys, folio, r & 1 ? PF_SPLIT_PAGES : 5);
		pf_sub_return(&there, 1);
		while (pf_add_return(&asking, 0))
			sched_yield();
		for (unsigned i = 0; i < 1u << ORDER;) {
			folio = pf_page_folio(&phys, pfn + i);
			assert_int_equal(folio->head.index, 16 + i);
			assert_int_equal(folio->head.mapping, 4 | PF_MAPPING_FILE);
			i += pf_folio_nr(folio);
			pf_folio_unlock(folio);
			pf_folio_put(&phys, folio, 1);
		}
	}
	pf_store_release(&stop, 1);
	pthread_join(t, NULL);
	if (lost)
		fail_msg("%u of %u times it was nobody's", lost, asked);
	smp_leave();
	smp_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
