/* SPDX-License-Identifier: MIT */
/*
 * anon_vmas: what a fork is linked to, what is taken over, and that all of them go.
 */
#include "world.h"

#include "mm/anon_vma.h"
#include "mm/internal.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)

static struct pf_mm space[2];

/* A write without an access: the fault alone. */
static void fault(struct pf_mm *m, pf_va_t va)
{
	for (unsigned i = 0; i < 4; i++) {
		struct pf_page_info info;

		machine_note_store(va);
		assert_int_equal(pf_handle_mm_fault(m, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
		pf_page_info(m, va, &info);
		if (pf_pte_write(info.pte))
			return;
	}
	fail_msg("no page to write to");
}

static void check(struct pf_mm *m)
{
	const char *bad = pf_mm_check(m);

	if (bad)
		fail_msg("%s", bad);
}

static unsigned links(struct pf_mm *m, pf_va_t va)
{
	return pf_anon_links(pf_vma_lookup(m, va));
}

static uint32_t own(struct pf_mm *m, pf_va_t va)
{
	return pf_vma_lookup(m, va)->area.anon;
}

/* The world's own mm stays empty; `space` are the processes. */
static void start(uint64_t fail_at)
{
	world_start(&pf_format_arm64_4k, fail_at);
	assert_int_equal(pf_mm_init(&space[0], &sys, 2), 0);
	assert_int_equal(pf_mmap(&space[0], A, 8 * P, RW, FIXED), A);
}

static void stop(void)
{
	assert_int_equal(pf_handle_live(&sys.anon_vmas), 0);
	world_stop();
}

/* A process forks, writes, and lets its parent go, again and again: neither links nor anon_vmas add up. */
static void generations(void **state)
{
	unsigned most = 0;

	(void)state;
	start(0);
	fault(&space[0], A);
	for (unsigned i = 0; i < 40; i++) {
		struct pf_mm *parent = &space[i & 1], *child = &space[~i & 1];

		assert_int_equal(pf_fork(child, parent, (uint16_t)(3 + (i & 1))), 0);
		check(parent);
		check(child);
		fault(child, A + (i & 7) * P);
		pf_mm_exit(parent);
		machine_retire_asid((uint16_t)(i ? 3 + (~i & 1) : 2));
		check(child);
		most = (unsigned)pf_max(most, links(child, A));
	}
	assert_in_range(most, 2, 3);
	assert_in_range(pf_handle_live(&sys.anon_vmas), 1, 3);
	pf_mm_exit(&space[0]);
	machine_retire_asid(4);
	stop();
}

/* What each change of VMAs does to links: parts keep all, what is joined keeps one set. */
static void split_and_merge(void **state)
{
	uint32_t anon;

	(void)state;
	start(0);
	assert_int_equal(own(&space[0], A), 0);
	fault(&space[0], A + P);
	anon = own(&space[0], A);
	assert_int_not_equal(anon, 0);
	assert_int_equal(pf_mprotect(&space[0], A + 2 * P, P, PF_PROT_READ), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(own(&space[0], A + i * P), anon);
	check(&space[0]);
	assert_int_equal(pf_munmap(&space[0], A + 5 * P, P), 0);
	check(&space[0]);
	assert_int_equal(pf_mprotect(&space[0], A + 2 * P, P, RW), 0);
	assert_int_equal(links(&space[0], A), 1);
	check(&space[0]);
	/* Moved away and back, its pages are still found. */
	assert_int_equal(pf_mremap(&space[0], A, 2 * P, 2 * P, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
				 A + 100 * P),
		A + 100 * P);
	assert_int_equal(own(&space[0], A + 100 * P), anon);
	check(&space[0]);
	/* A neighbour that differs in rights alone takes the anon_vma that is there. */
	assert_int_equal(pf_mmap(&space[0], A + 5 * P, P, RW, FIXED), A + 5 * P);
	assert_int_equal(pf_mmap(&space[0], A + 8 * P, P, PF_PROT_READ, FIXED), A + 8 * P);
	assert_int_equal(pf_mprotect(&space[0], A + 8 * P, P, RW), 0);
	fault(&space[0], A + 8 * P);
	assert_int_equal(own(&space[0], A + 8 * P), anon);
	check(&space[0]);
	pf_mm_exit(&space[0]);
	machine_retire_asid(2);
	stop();
}

/* A page that a child wrote is its own; one that it has from its parent is found by the parent's. */
static void whose(void **state)
{
	struct pf_page_info info;
	uint32_t anon;

	(void)state;
	start(0);
	fault(&space[0], A);
	fault(&space[0], A + P);
	anon = own(&space[0], A);
	assert_int_equal(pf_fork(&space[1], &space[0], 3), 0);
	assert_int_equal(links(&space[1], A), 2);
	assert_int_not_equal(own(&space[1], A), anon);
	fault(&space[1], A);
	pf_page_info(&space[1], A, &info);
	assert_int_equal(
		pf_page_folio(&phys, pf_pte_pfn(info.pte))->head.mapping, own(&space[1], A));
	pf_page_info(&space[1], A + P, &info);
	assert_int_equal(pf_page_folio(&phys, pf_pte_pfn(info.pte))->head.mapping, anon);
	check(&space[1]);
	/* The parent's stays for as long as the child may have its pages. */
	pf_mm_exit(&space[0]);
	machine_retire_asid(2);
	check(&space[1]);
	assert_int_equal(pf_handle_live(&sys.anon_vmas), 2);
	pf_mm_exit(&space[1]);
	machine_retire_asid(3);
	stop();
}

/* Every allocation of a first write and of a fork fails once; nothing is left behind. */
static void failing_allocations(void **state)
{
	(void)state;
	for (uint64_t k = 1;; k++) {
		uint64_t before;
		bool failed;

		start(0);
		before = machine_counters.allocs;
		machine_port.fail_at = before + k;
		if (pf_handle_mm_fault(&space[0], A, PF_FAULT_FLAG_WRITE) == PF_FAULT_OOM)
			assert_int_equal(pf_rss(&space[0].space, PF_RSS_ANON), 0);
		if (pf_fork(&space[1], &space[0], 3) == 0) {
			check(&space[1]);
			pf_mm_exit(&space[1]);
		}
		machine_retire_asid(3);
		failed = machine_counters.allocs >= machine_port.fail_at;
		check(&space[0]);
		pf_mm_exit(&space[0]);
		machine_retire_asid(2);
		stop();
		if (!failed)
			return;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generations),
		cmocka_unit_test(split_and_merge),
		cmocka_unit_test(whose),
		cmocka_unit_test(failing_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
