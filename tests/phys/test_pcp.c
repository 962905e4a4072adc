/* SPDX-License-Identifier: MIT */
/*
 * Lists of free pages that CPUs have to themselves: what is on them is free, nobody gets a page twice, and nobody fails while there is one.
 */
#include "phys_test.h"

#define PAGES 2048u
#define CPUS  3u

static struct pf_phys phys;
static struct pf_pcp pcp[CPUS];

static void begin(unsigned max_order)
{
	test_port_start(PAGES * PAGE, 12);
	assert_int_equal(pf_phys_init(&phys, TEST_PORT_BASE, PAGES * PAGE, 12, max_order), 0);
	pf_phys_set_cpus(&phys, pcp, CPUS);
}

static void end(void)
{
	struct pf_phys_stats stats;
	const char *why;
	pf_pfn_t bad;

	pf_phys_stats(&phys, &stats);
	assert_int_equal(stats.free, PAGES);
	assert_int_equal(pf_phys_check(&phys, &bad, &why), 0);
	/* Given back, they are blocks again. */
	pf_phys_stats(&phys, &stats);
	assert_int_equal(stats.largest, phys.max_order);
	assert_int_equal(stats.blocks[phys.max_order], PAGES >> phys.max_order);
}

static uint64_t taken(void)
{
	return pcp[0].taken + pcp[1].taken + pcp[2].taken;
}

static uint64_t refills(void)
{
	return pcp[0].refills + pcp[1].refills + pcp[2].refills;
}

/* A CPU's pages are consecutive, and of a hundred it takes the node's lock for less than one. */
static void test_one_cpu(void **state)
{
	struct pf_folio *f[1000];

	(void)state;
	begin(10);
	test_port.cpu = 1;
	for (unsigned i = 0; i < 1000; i++) {
		f[i] = pf_folio_alloc(&phys, 0, PF_USE_ANON);
		assert_non_null(f[i]);
		assert_int_equal(pf_folio_ref(f[i]), 1);
		if (i % PF_PCP_BATCH)
			assert_int_equal(
				pf_folio_pfn(&phys, f[i]), pf_folio_pfn(&phys, f[i - 1]) + 1);
	}
	assert_int_equal(pcp[1].taken, 1000);
	assert_int_equal(taken(), 1000);
	assert_true(refills() * 100 < taken());
	for (unsigned i = 0; i < 1000; i++)
		pf_folio_put(&phys, f[i], 1);
	/* It keeps some, not all. */
	assert_in_range(pcp[1].list[0].nr, PF_PCP_BATCH, 2 * PF_PCP_BATCH);
	end();
}

/* What is on another CPU's list is got all the same, to the last page; and then there is none. */
static void test_to_the_last(void **state)
{
	struct pf_folio *f[PAGES];

	(void)state;
	begin(9);
	for (unsigned cpu = 0; cpu < CPUS; cpu++) {
		test_port.cpu = cpu;
		f[cpu] = pf_folio_alloc(&phys, 0, PF_USE_ANON);
		assert_non_null(f[cpu]);
	}
	test_port.cpu = CPUS; /* has the first one's */
	for (unsigned i = CPUS; i < PAGES; i++) {
		f[i] = pf_folio_alloc(&phys, 0, PF_USE_ANON);
		assert_non_null(f[i]);
		/* Nobody else's. */
		assert_int_equal(pf_folio_ref(f[i]), 1);
		pf_folio_get(f[i], 1);
	}
	assert_null(pf_folio_alloc(&phys, 0, PF_USE_ANON));
	for (unsigned i = 0; i < PAGES; i++) {
		test_port.cpu = i % CPUS;
		pf_folio_put(&phys, f[i], i < CPUS ? 1 : 2);
	}
	end();
}

/* A table of one page goes by the lists, too; large folios do not, and take nothing from them. */
static void test_others(void **state)
{
	struct pf_table_mem mem;
	struct pf_folio *large;
	pf_pa_t table;

	(void)state;
	begin(10);
	mem = pf_phys_table_mem(&phys);
	test_port.cpu = 2;
	table = mem.alloc(mem.ctx, 4096);
	assert_int_not_equal(table, 0);
	assert_int_equal(pcp[2].taken, 1);
	large = pf_folio_alloc(&phys, 4, PF_USE_ANON);
	assert_non_null(large);
	assert_int_equal(taken(), 1);
	pf_folio_put(&phys, large, 1);
	mem.free(mem.ctx, table, 4096);
	assert_int_equal(pcp[2].list[0].nr, PF_PCP_BATCH);
	end();
}

/* Where no block is as large as a batch there are no lists. */
static void test_too_small(void **state)
{
	struct pf_folio *f;

	(void)state;
	begin(6);
	f = pf_folio_alloc(&phys, 0, PF_USE_ANON);
	assert_non_null(f);
	assert_int_equal(taken(), 0);
	pf_folio_put(&phys, f, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_cpu),
		cmocka_unit_test(test_to_the_last),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_too_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
