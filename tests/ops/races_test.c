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
#include "phys/swap.h"
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
static struct pf_swap dev;
static struct pf_swaps swaps = {.dev = {&dev}};
static const struct pf_swap_ops no_io;
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
	FORMAT.zap_range(&g, a, a->start, (a->end - a->start) / P, 0);
	pf_tlb_finish_mmu(&g);
}

/* The folio of the page that is mapped there, with a reference and locked; *pfn of the page. */
static struct pf_folio *take_folio(struct pf_space *s, const struct pf_area *a, pf_pfn_t *pfn)
{
	struct pf_page_info info;
	struct pf_folio *folio;

	FORMAT.page_info(s, a->start, &info);
	*pfn = pf_pte_pfn(info.pte);
	folio = pf_page_folio(&phys, *pfn);
	pf_folio_get(folio, 1);
	check(pf_folio_trylock(folio));
	return folio;
}

static void put_folio(struct pf_folio *folio)
{
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, 1);
}

/* A page that goes while it migrates: who migrates it keeps it, locked, until the end. */
static void drop_migrating(struct pf_space *s, const struct pf_area *a)
{
	struct pf_rmap_place place = {.va = a->start, .nr = 1};
	struct pf_folio *folio = take_folio(s, a, &place.pfn);

	check(FORMAT.try_to_migrate_one(s, &place));
	drop_page(s, a);
	put_folio(folio);
}

/* A page that goes while a device has it to itself. */
static void drop_exclusive(struct pf_space *s, const struct pf_area *a)
{
	pf_pfn_t pfn;
	struct pf_folio *folio = take_folio(s, a, &pfn);

	check(FORMAT.make_exclusive(s, a->start, pfn));
	drop_page(s, a);
	put_folio(folio);
}

/* What reclaim does but for the writing: the page that is mapped gets a slot, and its entry names it. */
static void page_out(struct pf_space *s, const struct pf_area *a)
{
	pf_pfn_t pfn;
	struct pf_folio *folio = take_folio(s, a, &pfn);

	check(pf_swap_add_folio(&dev, folio));
	check(FORMAT.unmap(s, a, a->start, 1, folio, pfn));
	pf_swap_put(&dev, pf_folio_swap_slot(folio), 1);
	put_folio(folio);
}

static void page_in(struct pf_space *s, const struct pf_area *a)
{
	struct pf_swap_look look;
	struct pf_folio *folio;
	uint64_t slot;

	check(FORMAT.swap_look(s, a, a->start, 1, &look));
	slot = pf_pte_swap_offset(look.pte);
	folio = pf_swap_cache_get(&dev, slot);
	check(folio && pf_folio_trylock(folio));
	FORMAT.swap_in(s, a, a->start, 0, &look, folio);
	pf_swap_put(&dev, slot, 1);
	put_folio(folio);
}

/* As userfaultfd does: a page of the program's, or one of the file. */
static void fill(struct pf_space *s, const struct pf_area *a, struct pf_folio *folio)
{
	check(FORMAT.uffd_fill(s, a, a->start, pf_folio_pfn(&phys, folio), 1, PF_FILL_EMPTY) == 1);
}

/* The page that is mapped is lost. */
static void lose_page(struct pf_space *s, const struct pf_area *a)
{
	struct pf_rmap_place place = {.va = a->start, .nr = 1};
	struct pf_folio *folio = take_folio(s, a, &place.pfn);

	FORMAT.poison_one(s, a, &place, false);
	put_folio(folio);
}

/*
 * A page of a file moves, and finds as many mappings of it as there can be: it is not mapped again. The thread's own
 * folio, so that nobody else meets the limit.
 */
static void move_page_of_many(struct pf_space *s, const struct pf_area *a)
{
	struct pf_folio *folio = pf_folio_alloc(&phys, 0, PF_USE_FILE);
	struct pf_rmap_place place = {.va = a->start, .nr = 1};

	check(folio);
	folio->head.mapping = PF_MAPPING_FILE;
	place.pfn = pf_folio_pfn(&phys, folio);
	fill(s, a, folio);
	check(pf_folio_trylock(folio));
	check(FORMAT.try_to_migrate_one(s, &place));
	pf_add_relaxed(&folio->head.count.word, PF_MAP_LIMIT * PF_COUNT_MAP_1);
	FORMAT.remove_migration_one(s, a, &place, place.pfn);
	pf_add_relaxed(&folio->head.count.word, -PF_MAP_LIMIT * PF_COUNT_MAP_1);
	put_folio(folio);
}

/* A folio takes the place of a whole leaf table; it goes again with its pages. */
static void collapse(struct pf_space *s, struct pf_area a)
{
	const unsigned order = FORMAT.pt->level_bits;
	struct pf_folio *folio = pf_folio_alloc(&phys, order, PF_USE_ANON);

	a.end = a.start + (P << order);
	check(folio && FORMAT.collapse_install(s, &a, a.start, folio, 0));
	drop_page(s, &a);
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

/*
 * A page brought by a write, one copied from the zeros, one of a file, and its copy; one that goes to swap, comes back, and goes
 * for good; one that goes while it migrates, one that a device has then, and one that cannot be mapped again; pages of userfaultfd's, and one that is lost;
 * and, now and then, a folio for the whole table.
 */
static void come_and_go_once(
	unsigned round, const struct pf_area *anon, const struct pf_area *of_file)
{
	write_page(&space, anon);
	map_file(&space, of_file);
	drop_page(&space, anon);
	check(FORMAT.fault(&space, anon, anon->start, 0, 1) == PF_FAULT_DONE);
	write_page(&space, anon);
	write_page(&space, of_file);
	drop_page(&space, of_file);
	page_out(&space, anon);
	page_in(&space, anon);
	page_out(&space, anon);
	drop_page(&space, anon);
	write_page(&space, anon);
	drop_migrating(&space, anon);
	write_page(&space, anon);
	drop_exclusive(&space, anon);
	move_page_of_many(&space, of_file);
	fill(&space, of_file, file);
	drop_page(&space, of_file);
	fill(&space, anon, pf_folio_alloc(&phys, 0, PF_USE_ANON));
	lose_page(&space, anon);
	drop_page(&space, anon);
	if (round % 4 == 0)
		collapse(&space, *anon);
}

static void *come_and_go(void *arg)
{
	struct meeting m = {.me = (unsigned)(uintptr_t)arg};
	const struct pf_area anon = area(1 + 2 * m.me, PF_BACKED_ANON),
			     of_file = area(2 + 2 * m.me, PF_BACKED_FILE);

	while (go_on(&m))
		come_and_go_once(m.round, &anon, &of_file);
	return NULL;
}

/*
 * The space is the child of a fork that goes on; who unmaps by way of a page's folio meanwhile holds no more than the lock of
 * a table that has been copied. (That, or faults: the counts are the same.)
 */
static void *copy(void *arg)
{
	struct meeting m = {0};
	const struct pf_area from[3] = {
		area(5, PF_BACKED_ANON), area(6, PF_BACKED_FILE), area(7, PF_BACKED_ANON)};
	bool flush;

	(void)arg;
	while (go_on(&m)) {
		for (unsigned i = 0; i < 3; i++)
			check(!FORMAT.copy_range(
				&space, &parent, &from[i], &from[i], from[i].start, 1, &flush));
		for (unsigned i = 0; i < 3; i++)
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
	assert_int_equal(pf_swap_init(&dev, &phys, &no_io, NULL, 16, 0), 0);
	space = (struct pf_space){
		.phys = &phys, .mm_id = 1, .zero_pfn = pf_folio_pfn(&phys, zero), .swaps = &swaps};
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
	assert_int_equal(pf_rss(&space, PF_RSS_ANON), 0);
	assert_int_equal(pf_rss(&space, PF_RSS_FILE), 0);
	assert_int_equal(pf_rss(&space, PF_RSS_SWAP), 0);
	assert_int_equal(space.tlb_flush_pending, 0);
}

static void stop(void)
{
	struct pf_phys_stats st;

	pf_pt_destroy(&space.pt);
	pf_pt_destroy(&parent.pt);
	assert_null(pf_swap_check(&dev));
	assert_int_equal(pf_swap_free(&dev), 16);
	pf_swap_destroy(&dev);
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
	const struct pf_area anon = area(5, PF_BACKED_ANON), of_file = area(6, PF_BACKED_FILE),
			     swapped = area(7, PF_BACKED_ANON);

	(void)state;
	start();
	write_page(&parent, &anon);
	map_file(&parent, &of_file);
	write_page(&parent, &swapped);
	page_out(&parent, &swapped);
	run(copy, come_and_go);
	drop_page(&parent, &anon);
	drop_page(&parent, &of_file);
	drop_page(&parent, &swapped);
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
