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
static struct pf_space space, parent;
static struct pf_folio *zero, *file;
static unsigned bad, round_of[2];

static void check(bool right)
{
	if (!right)
		pf_add_relaxed(&bad, 1);
}

/* One page, in the n-th leaf table. */
static struct pf_area area(unsigned n, enum pf_backing backing)
{
	const uint64_t start = (uint64_t)n * (P << FORMAT.pt->level_bits);

	return (struct pf_area){.start = start,
		.end = start + P,
		.backing = backing,
		.flags = PF_VM_READ | PF_VM_WRITE | PF_VM_MAYREAD | PF_VM_MAYWRITE,
		.prot = PF_PTE_R | PF_PTE_W};
}

static void write_page(struct pf_space *s, const struct pf_area *a)
{
	check(FORMAT.fault(s, a, a->start, PF_FAULT_FLAG_WRITE, 1) == PF_FAULT_DONE);
}

static void map_file(struct pf_space *s, const struct pf_area *a)
{
	const struct pf_file_run run = {.va = a->start, .pfn = pf_folio_pfn(&phys, file), .nr = 1};

	check(FORMAT.map_file(s, a, a->start, 0, &run, 1) == PF_FAULT_DONE);
}

static void drop_page(struct pf_space *s, const struct pf_area *a)
{
	struct pf_gather g;

	pf_tlb_gather_mmu(&g, s);
	FORMAT.zap_range(&g, a, a->start, 1, 0);
	pf_tlb_finish_mmu(&g);
}

/*
 * Until the threads have been seen to run at one time in a tenth of the rounds: else nothing is shown.
 */
struct meeting {
	unsigned me, round, last, met;
};

static bool go_on(struct meeting *m)
{
	unsigned theirs = pf_load_relaxed(&round_of[!m->me]);

	m->met += theirs != m->last;
	m->last = theirs;
	pf_store_relaxed(&round_of[m->me], m->round);
	m->round++;
	return m->round <= ROUNDS || (m->met < ROUNDS / 10 && m->round <= 20 * ROUNDS);
}

/* A page brought by a write, one copied from the zeros, and one of a file. */
static void come_and_go_once(const struct pf_area *anon, const struct pf_area *of_file)
{
	write_page(&space, anon);
	map_file(&space, of_file);
	drop_page(&space, anon);
	check(FORMAT.fault(&space, anon, anon->start, 0, 1) == PF_FAULT_DONE);
	write_page(&space, anon);
	drop_page(&space, of_file);
	drop_page(&space, anon);
}

static void *come_and_go(void *arg)
{
	struct meeting m = {.me = (unsigned)(uintptr_t)arg};
	const struct pf_area anon = area(1 + 2 * m.me, PF_BACKED_ANON),
			     of_file = area(2 + 2 * m.me, PF_BACKED_FILE);

	while (go_on(&m))
		come_and_go_once(&anon, &of_file);
	return NULL;
}

/*
 * The space is the child of a fork that goes on; who unmaps by way of a page's folio meanwhile holds no more than the lock of
 * a table that has been copied. (That, or faults: the counts are the same.)
 */
static void *copy(void *arg)
{
	struct meeting m = {0};
	const struct pf_area from[2] = {area(5, PF_BACKED_ANON), area(6, PF_BACKED_FILE)};
	bool flush;

	(void)arg;
	while (go_on(&m)) {
		for (unsigned i = 0; i < 2; i++)
			check(!FORMAT.copy_range(
				&space, &parent, &from[i], &from[i], from[i].start, 1, &flush));
		for (unsigned i = 0; i < 2; i++)
			drop_page(&space, &from[i]);
	}
	return NULL;
}

static void start(void)
{
	test_port_start(MEMORY, 12);
	assert_int_equal(pf_phys_init(&phys, TEST_PORT_BASE, MEMORY, 12, PF_MAX_ORDER), 0);
	mem = pf_phys_table_mem(&phys);
	zero = pf_folio_alloc(&phys, 0, PF_USE_ANON);
	assert_non_null(zero);
	file = pf_folio_alloc(&phys, 0, PF_USE_FILE);
	assert_non_null(file);
	file->head.mapping = PF_MAPPING_FILE;
	bad = round_of[0] = round_of[1] = 0;
	space = (struct pf_space){.phys = &phys, .mm_id = 1, .zero_pfn = pf_folio_pfn(&phys, zero)};
	parent = space;
	parent.mm_id = 2;
	assert_int_equal(pf_pt_init(&space.pt, FORMAT.pt, &mem, 0, 1, 0, PF_FOLD_LINUX), 0);
	assert_int_equal(pf_pt_init(&parent.pt, FORMAT.pt, &mem, 0, 2, 0, PF_FOLD_LINUX), 0);
}

static void run(void *(*first)(void *), void *(*second)(void *))
{
	pthread_t t[2];

	assert_int_equal(pthread_create(&t[0], NULL, first, (void *)0), 0);
	assert_int_equal(pthread_create(&t[1], NULL, second, (void *)1), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(bad, 0);
	assert_int_equal(space.rss_anon, 0);
	assert_int_equal(space.rss_file, 0);
	assert_int_equal(space.tlb_flush_pending, 0);
}

static void stop(void)
{
	struct pf_phys_stats st;

	pf_pt_destroy(&space.pt);
	pf_pt_destroy(&parent.pt);
	pf_folio_put(&phys, zero, 1);
	pf_folio_put(&phys, file, 1);
	pf_phys_stats(&phys, &st);
	assert_int_equal(st.free, st.pages);
	test_port_stop();
}

static void counts(void **state)
{
	(void)state;
	start();
	run(come_and_go, come_and_go);
	stop();
}

static void counts_of_a_child(void **state)
{
	const struct pf_area anon = area(5, PF_BACKED_ANON), of_file = area(6, PF_BACKED_FILE);

	(void)state;
	start();
	write_page(&parent, &anon);
	map_file(&parent, &of_file);
	run(copy, come_and_go);
	drop_page(&parent, &anon);
	drop_page(&parent, &of_file);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),
		cmocka_unit_test(counts_of_a_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
