/* SPDX-License-Identifier: MIT */
/*
 * Subscribers where more than one call is needed to see it: ranges in which nothing is mapped, aging, collapse, memory that is
 * short, children.
 */
#include "notify_world.h"

#include "mm/collapse.h"
#include "mm/numa.h"
#include "mm/sample.h"

#define FAR   UINT64_C(0x18000000)
#define CLEAR PF_MMU_NOTIFY_CLEAR
#define VMA   PF_MMU_NOTIFY_PROTECTION_VMA

/* ---- where nothing is mapped (D4) ---- */

static pf_va_t table_size;

/* Three leaf tables' worth, of which only the last exists. */
static void map_far(void)
{
	table_size = P << sys.fmt->pt->level_bits;
	sys.overcommit = PF_OVERCOMMIT_ALWAYS;
	assert_int_equal(pf_mmap(&mm, FAR, 3 * table_size, RW, FIXED), FAR);
	mirror.logged = 0;
	assert_int_equal(pf_mprotect(&mm, FAR, 3 * table_size, PF_PROT_READ), 0);
	assert_int_equal(pf_numa_hint(&mm, FAR, 3 * table_size), 0);
	assert_int_equal(mirror.logged, 0);
	assert_int_equal(pf_mprotect(&mm, FAR, 3 * table_size, RW), 0);
	put(FAR + 2 * table_size + 5 * P, 1);
	mirror.logged = 0;
}

static void is_logged(unsigned i, enum pf_mmu_notifier_event event, pf_va_t start, pf_va_t end)
{
	if (i >= mirror.logged || mirror.log[i].event != event || mirror.log[i].start != start ||
		mirror.log[i].end != end)
		mirror_fail(&mirror, "not told of %u, or not so", i);
}

static void at_first_table(void)
{
	map_far();
	assert_int_equal(pf_mprotect(&mm, FAR, 3 * table_size, PF_PROT_READ), 0);
	is_logged(0, VMA, FAR + 2 * table_size, FAR + 3 * table_size);
	assert_int_equal(pf_numa_hint(&mm, FAR + P, 3 * table_size - 2 * P), 0);
	is_logged(1, VMA, FAR + 2 * table_size, FAR + 3 * table_size - P);
	/* A hole behind it: an error, and what comes before has been done, and ended. */
	assert_int_equal(pf_mprotect(&mm, FAR, 4 * table_size, RW), -PF_ENOMEM);
	is_logged(2, VMA, FAR + 2 * table_size, FAR + 3 * table_size);
	assert_int_equal(mirror.logged, 3);
	/* VMA by VMA. */
	assert_int_equal(pf_mprotect(&mm, FAR, 2 * table_size + 5 * P, PF_PROT_READ), 0);
	is_logged(3, VMA, FAR + 2 * table_size, FAR + 2 * table_size + 5 * P);
	assert_int_equal(pf_mprotect(&mm, FAR, 3 * table_size, PF_PROT_NONE), 0);
	is_logged(4, VMA, FAR + 2 * table_size, FAR + 2 * table_size + 5 * P);
	is_logged(5, VMA, FAR + 2 * table_size + 5 * P, FAR + 3 * table_size);
	assert_int_equal(mirror.logged, 6);
	assert_int_equal(pf_munmap(&mm, FAR, 3 * table_size), 0);
}

/* ---- who has used it ---- */

static void is_young(unsigned page, bool young)
{
	const pf_pfn_t pfn = mirror.page[page].pfn;

	assert_int_equal(pf_sample_young(&mm, AT(page), 1), young);
	assert_int_equal(pf_sample_young_frame(&sys, pfn), young);
}

static void forget_use(void)
{
	pf_sample_mkold(&mm, A, HOLE);
	for (unsigned i = 0; i < PAGES; i++)
		mirror.page[i].young = false;
}

/* What the device has used the process has, by all ways of asking and forgetting. */
static void aged(void)
{
	struct pf_folio *folio = pf_page_folio(&phys, mirror.page[3].pfn);

	/* Walks that nobody asked for set A. */
	machine_adversary(false);
	forget_use();
	is_young(3, false);
	mirror.page[3].young = true;
	is_young(3, true);
	/* Its neighbour's frame is of the same folio, if that is large. */
	assert_int_equal(pf_sample_young(&mm, AT(2), 1), 0);
	assert_int_equal(pf_sample_young_frame(&sys, mirror.page[2].pfn), large);
	is_young(20, false);
	pf_sample_mkold(&mm, AT(3), 1);
	assert_false(mirror.page[3].young);
	is_young(3, false);
	mirror.page[3].young = true;
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), 1);
	assert_false(mirror.page[3].young);
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), 0);
	mirror.page[3].young = true;
	pf_sample_mkold_frame(&sys, mirror.page[3].pfn);
	assert_false(mirror.page[3].young);
	assert_true(pf_folio_test_flags(folio, PF_FOLIO_YOUNG));
	/* Where the page is mapped, and nowhere else. */
	mirror.page[2].young = mirror.page[60].young = true;
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), large);
	assert_true(mirror.page[60].young);
	/* One that it has to itself. */
	world_note(AT(61), 1);
	assert_int_equal(mirror_alone(&mirror, 61), 0);
	assert_int_equal(pf_sample_young(&mm, AT(61), 1), 0);
	mirror.page[61].young = true;
	is_young(61, true);
	assert_int_equal(
		pf_folio_referenced(&sys, pf_page_folio(&phys, mirror.page[61].pfn), NULL), 1);
	assert_false(mirror.page[61].young);
	/* The process, and the device has not: both are asked, all the same. */
	forget_use();
	put(AT(3), 1);
	mirror.page[3].young = true;
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), 1);
	assert_false(mirror.page[3].young);
	machine_adversary(true);
}

static void worlds(void (*test)(void))
{
	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned k = 0; k < 2; k++) {
			large = k;
			begin(pf_formats[i], 0);
			test();
			check("done");
			end();
		}
}

static void lazily_started(void **state)
{
	(void)state;
	worlds(at_first_table);
}

static void aging(void **state)
{
	(void)state;
	worlds(aged);
}

/* ---- collapse ---- */

/* One leaf table: written pages, and pages of zeros, which the device has, too. */
static void collapse(void)
{
	const unsigned nr = 1u << sys.fmt->pt->level_bits;
	struct mirror *m = &mirror;

	assert_int_equal(pf_mmap(&mm, A, 2 * nr * P, RW, FIXED), A);
	for (unsigned i = 0; i < nr; i++)
		assert_int_equal(fault(AT(i), i % 3 ? PF_FAULT_FLAG_WRITE : 0), 0);
	assert_int_equal(mirror_begin(m, &mm, A, nr), 0);
	assert_int_equal(mirror_map(m, 0, nr, PF_HMM_PFN_REQ_FAULT), 0);
	assert_int_equal(mirror_has(m, false), nr);
	m->logged = 0;
	assert_int_equal(pf_madvise(&mm, A, nr * P, PF_MADV_COLLAPSE), 0);
	mirror_check_idle(m, "collapse");
	is_logged(0, CLEAR, A, AT(nr));
	assert_int_equal(m->logged, 1);
	assert_int_equal(mirror_map(m, 0, nr, WANT), 0);
	assert_int_equal(m->logged, 1);
	/* It cannot be, for somebody keeps a page: put back, and ended. Where there is memory to try. */
	if (sys.fmt->pt->level_bits > 8) {
		mirror_stop(m);
		return;
	}
	assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_DONTNEED), 0);
	put(A, 1);
	{
		struct pf_folio *kept = pf_page_folio(&phys, m->page[5].pfn);

		pf_folio_get(kept, 1);
		assert_int_equal(pf_madvise(&mm, A, nr * P, PF_MADV_COLLAPSE), -PF_EAGAIN);
		pf_folio_put(&phys, kept, 1);
	}
	mirror_check_idle(m, "no collapse");
	mirror_stop(m);
}

static void collapsed(void **state)
{
	(void)state;
	for (unsigned i = 0; pf_formats[i]; i++) {
		/* The world's memory has one folio of that size. */
		if (pf_formats[i]->pt->level_bits > 9)
			continue;
		world_start(pf_formats[i], 0);
		sys.thp.order[2] = sys.thp.order[4] = PF_THP_NEVER;
		collapse();
		world_check("collapse");
		world_stop();
	}
}

/* ---- subscribing ---- */

static void no_memory(void **state)
{
	static struct mirror m;
	uint64_t before;

	(void)state;
	world_start(pf_formats[0], 0);
	before = machine_counters.allocs;
	world_stop();
	world_start(pf_formats[0], before + 1);
	assert_int_equal(mirror_begin(&m, &mm, A, 1), -PF_ENOMEM);
	assert_null(mm.space.notifier_subscriptions);
	assert_int_equal(mirror_begin(&m, &mm, A, 1), 0);
	/* A child has subscribers of its own. */
	assert_int_equal(pf_mmap(&mm, A, P, RW, FIXED), A);
	assert_int_equal(fault(A, PF_FAULT_FLAG_WRITE), 0);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	m.logged = 0;
	assert_int_equal(pf_munmap(&child, A, P), 0);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	assert_int_equal(m.logged, 0);
	assert_int_equal(m.releases, 0);
	/* Before the address space goes. */
	mirror_stop(&m);
	world_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lazily_started),
		cmocka_unit_test(aging),
		cmocka_unit_test(collapsed),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
