/* SPDX-License-Identifier: MIT */
/*
 * Two host threads bring pages into one address space and take them out again, each under a table lock of its own: what
 * they count together comes out right. On the unit tests' port, whose locks are real.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ops/ops.h"
#include "phys/phys.h"
#include "pt/pf_pt.h"

#define FORMAT PF_CAT2(pf_format_, PF_FMT)
extern const struct pf_format FORMAT;

#define MEMORY (UINT64_C(64) << 20)
#define P      UINT64_C(4096)
#define ROUNDS 30000u

static struct pf_phys phys;
static struct pf_table_mem mem;
static struct pf_space space;
static unsigned bad, round_of[2];

static void write_page(const struct pf_area *a)
{
	if (FORMAT.fault(&space, a, a->start, PF_FAULT_FLAG_WRITE, 1) != PF_FAULT_DONE)
		pf_add_relaxed(&bad, 1);
}

static void drop_page(const struct pf_area *a)
{
	struct pf_gather g;

	pf_tlb_gather_mmu(&g, &space);
	FORMAT.zap_range(&g, a, a->start, 1, 0);
	pf_tlb_finish_mmu(&g);
}

/*
 * A page brought by a write, and one copied from the zeros. Until the threads have been seen to run at one time in a
 * tenth of the rounds: else nothing is shown.
 */
static void *come_and_go(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, last = 0, meetings = 0;
	const uint64_t leaf = P << FORMAT.pt->level_bits;
	const struct pf_area a = {
		.start = (1 + me) * leaf,
		.end = (1 + me) * leaf + P,
		.flags = PF_VM_READ | PF_VM_WRITE | PF_VM_MAYREAD | PF_VM_MAYWRITE,
		.prot = PF_PTE_R | PF_PTE_W,
	};

	for (unsigned i = 0; i < ROUNDS || (meetings < ROUNDS / 10 && i < 20 * ROUNDS); i++) {
		unsigned theirs = pf_load_relaxed(&round_of[!me]);

		meetings += theirs != last;
		last = theirs;
		pf_store_relaxed(&round_of[me], i);
		write_page(&a);
		drop_page(&a);
		if (FORMAT.fault(&space, &a, a.start, 0, 1) != PF_FAULT_DONE)
			pf_add_relaxed(&bad, 1);
		write_page(&a);
		drop_page(&a);
	}
	return NULL;
}

static void counts(void **state)
{
	struct pf_folio *zero;
	struct pf_phys_stats st;
	pthread_t t[2];

	(void)state;
	test_port_start(MEMORY, 12);
	assert_int_equal(pf_phys_init(&phys, TEST_PORT_BASE, MEMORY, 12, PF_MAX_ORDER), 0);
	mem = pf_phys_table_mem(&phys);
	zero = pf_folio_alloc(&phys, 0, PF_USE_ANON);
	assert_non_null(zero);
	space = (struct pf_space){.phys = &phys, .mm_id = 1, .zero_pfn = pf_folio_pfn(&phys, zero)};
	assert_int_equal(pf_pt_init(&space.pt, FORMAT.pt, &mem, 0, 1, 0, PF_FOLD_LINUX), 0);
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, come_and_go, (void *)i), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(bad, 0);
	assert_int_equal(space.rss_anon, 0);
	assert_int_equal(space.tlb_flush_pending, 0);
	pf_pt_destroy(&space.pt);
	pf_folio_put(&phys, zero, 1);
	pf_phys_stats(&phys, &st);
	assert_int_equal(st.free, st.pages);
	test_port_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
