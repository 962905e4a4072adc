/* SPDX-License-Identifier: MIT */
/*
 * KSM between two address spaces, how its pages are found, and what is kept for them; memory failure asked for by frame: what
 * scenarios cannot say.
 */
#include "world.h"

#include "mm/ksm.h"
#include "mm/migrate.h"
#include "mm/poison.h"
#include "mm/rmap.h"
#include "mm/sample.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)

static struct pf_mm child;

static void write_page(struct pf_mm *m, pf_va_t va)
{
	machine_note_store(va);
	assert_int_equal(pf_handle_mm_fault(m, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
}

static struct pf_page_info at(struct pf_mm *m, pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(m, va, &info);
	return info;
}

static pf_pfn_t frame(struct pf_mm *m, pf_va_t va)
{
	assert_true(pf_pte_present(at(m, va).pte));
	return pf_pte_pfn(at(m, va).pte);
}

/* Two pages of a process's own, of which its child has copies. */
static void start(const struct pf_format *fmt)
{
	world_start(fmt, 0);
	sys.thp.order[2] = sys.thp.order[4] = PF_THP_NEVER;
	assert_int_equal(pf_mmap(&mm, A, 2 * P, RW, FIXED), A);
	assert_int_equal(pf_madvise(&mm, A, 2 * P, PF_MADV_MERGEABLE), 0);
	write_page(&mm, A);
	write_page(&mm, A + P);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	write_page(&child, A);
	write_page(&child, A + P);
	write_page(&mm, A);
	write_page(&mm, A + P);
}

static void stop(void)
{
	assert_null(pf_mm_check(&child));
	assert_null(pf_rmap_check(&sys));
	world_check("done");
	pf_mm_exit(&child);
	machine_retire_asid(2);
	assert_null(pf_rmap_check(&sys));
	assert_int_equal(pf_munmap(&mm, A, 8 * P), 0);
	pf_ksm_prune(&sys);
	assert_int_equal(pf_handle_live(&sys.ksm.nodes), 0);
	assert_int_equal(pf_handle_live(&sys.anon_vmas), 0);
	world_stop();
}

static void between_processes(void)
{
	char *byte;

	assert_int_not_equal(frame(&mm, A), frame(&child, A));
	assert_int_equal(pf_ksm_merge(&mm, A, &child, A), 0);
	assert_int_equal(frame(&mm, A), frame(&child, A));
	assert_false(pf_pte_write(at(&mm, A).pte) || pf_pte_write(at(&child, A).pte));
	assert_false(at(&mm, A).exclusive || at(&child, A).exclusive);
	/* The other way round it is KSM's page that stays. */
	assert_int_equal(pf_ksm_merge(&mm, A + P, &child, A), 0);
	assert_int_equal(frame(&mm, A + P), frame(&child, A));
	write_page(&child, A);
	assert_int_not_equal(frame(&mm, A), frame(&child, A));
	assert_int_equal(frame(&mm, A), frame(&mm, A + P));
	byte = pf_port_virt(frame(&child, A) * P + P - 1);
	*byte = 1;
	assert_int_equal(pf_ksm_merge(&mm, A, &child, A), -PF_EAGAIN);
	*byte = 0;
	assert_int_equal(pf_ksm_merge(&child, A, &mm, A), 0);
	assert_int_equal(pf_ksm_merge(&mm, A + 2 * P, &mm, A), -PF_EINVAL);
	assert_int_equal(pf_ksm_merge(&mm, A, &mm, sys.task_size), -PF_EINVAL);
}

static void somebody_at_it(void)
{
	struct pf_folio *folio = pf_page_folio(&phys, frame(&child, A));

	assert_true(pf_folio_trylock(folio));
	assert_int_equal(pf_ksm_merge(&mm, A, &child, A), -PF_EAGAIN);
	assert_int_equal(pf_ksm_merge(&child, A, &mm, A), -PF_EAGAIN);
	assert_int_equal(pf_memory_failure(&sys, frame(&child, A)), -PF_EBUSY);
	pf_folio_unlock(folio);
	assert_int_equal(pf_ksm_merge(&mm, A, &child, A), 0);
}

static void frames(void)
{
	const pf_pfn_t pfn = frame(&mm, A);
	struct pf_folio *page = pf_page_folio(&phys, pfn);

	assert_int_equal(pf_memory_failure(&sys, phys.first - 1), -PF_ENXIO);
	assert_int_equal(pf_soft_offline(&sys, phys.first + phys.nr), -PF_ENXIO);
	assert_int_equal(pf_memory_failure(&sys, sys.zero_pfn), -PF_EBUSY);
	assert_int_equal(pf_memory_failure(&sys, phys.first + phys.nr - 1), -PF_EBUSY);
	assert_int_equal(pf_memory_failure(&sys, mm.space.pt.root / P), -PF_EBUSY);
	assert_int_equal(pf_memory_failure(&sys, pfn), 0);
	assert_int_equal(sys.poisoned, 1);
	assert_int_equal(pf_pte_kind(at(&mm, A).pte), PF_PTE_HWPOISON);
	assert_int_equal(pf_handle_mm_fault(&mm, A, 0), PF_FAULT_HWPOISON);
	assert_int_equal(pf_folio_mapcount(page), 0);
	assert_int_equal(pf_folio_extra_ref(page), 1);
	assert_int_equal(pf_memory_failure(&sys, pfn), -PF_EHWPOISON);
	/* For the world, which wants all memory back. */
	pf_folio_put(&phys, page, 1);
}

/* Every mapping of the page of mm at va is found, and as many as are said. */
static void found(struct pf_mm *m, pf_va_t va, unsigned nr)
{
	struct pf_folio *folio = pf_page_folio(&phys, frame(m, va));

	assert_int_equal(pf_folio_mapcount(folio), nr);
	assert_int_equal(pf_folio_count_mapped(&sys, folio), nr);
	assert_null(pf_rmap_check(&sys));
}

/* One family at two indexes, merged by parent and child each; and a child of the child. */
static void found_once(void)
{
	static struct pf_mm grandchild;
	pf_pfn_t pfn;

	assert_int_equal(pf_ksm_merge(&mm, A, &child, A), 0);
	found(&mm, A, 2);
	assert_int_equal(pf_ksm_merge(&child, A, &mm, A + P), 0);
	assert_int_equal(pf_ksm_merge(&mm, A, &child, A + P), 0);
	found(&mm, A, 4);
	assert_int_equal(pf_fork(&grandchild, &child, 3), 0);
	found(&mm, A, 6);
	/* Written, and merged again: the places are there. */
	write_page(&child, A);
	found(&mm, A, 5);
	memset(pf_port_virt(frame(&child, A) * P), 0, P);
	memset(pf_port_virt(frame(&mm, A) * P), 0, P);
	assert_int_equal(pf_ksm_merge(&child, A, &grandchild, A), 0);
	found(&mm, A, 6);
	pfn = frame(&mm, A);
	assert_int_equal(pf_migrate(&grandchild, A + P, P), 0);
	found(&mm, A, 6);
	assert_int_not_equal(frame(&mm, A), pfn);
	assert_int_equal(frame(&mm, A), frame(&grandchild, A));
	/* The node has gone with it, and so it is found when others are looked for. */
	pf_ksm_prune(&sys);
	assert_int_equal(pf_handle_live(&sys.ksm.nodes), 1);
	found(&mm, A, 6);
	assert_int_equal(pf_munmap(&child, A, 8 * P), 0);
	pf_ksm_prune(&sys);
	found(&mm, A, 4);
	/* The places that are merged at are the family's, not who was merged there. */
	assert_int_equal(pf_munmap(&mm, A, 8 * P), 0);
	pf_ksm_prune(&sys);
	found(&grandchild, A, 2);
	assert_null(pf_mm_check(&grandchild));
	pf_mm_exit(&grandchild);
	machine_retire_asid(3);
	pf_ksm_prune(&sys);
	assert_int_equal(pf_handle_live(&sys.ksm.nodes), 0);
	assert_int_equal(pf_handle_live(&sys.anon_vmas), 0);
}

/* By address and by frame. */
static void ages(void)
{
	struct pf_folio *folio;
	uint32_t flags = 0;

	/* Walkers that nobody asked for would set A again. */
	machine_adversary(false);
	assert_int_equal(pf_ksm_merge(&mm, A, &child, A), 0);
	folio = pf_page_folio(&phys, frame(&mm, A));
	pf_folio_get(folio, 1);
	pf_folio_referenced(&sys, folio, NULL);
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), 0);
	assert_int_equal(pf_handle_mm_fault(&child, A, 0), PF_FAULT_DONE);
	assert_true(pf_sample_young_frame(&sys, frame(&mm, A)));
	assert_int_equal(pf_handle_mm_fault(&mm, A, 0), PF_FAULT_DONE);
	assert_int_equal(pf_folio_referenced(&sys, folio, &flags), 2);
	assert_true(flags & PF_VM_MERGEABLE);
	assert_int_equal(pf_handle_mm_fault(&child, A, 0), PF_FAULT_DONE);
	pf_sample_mkold_frame(&sys, frame(&mm, A));
	assert_false(pf_sample_young_frame(&sys, frame(&mm, A)));
	/* Somebody is merging: the answer is not known, and nobody waits for it. */
	pf_port_rw_write_lock(&sys.ksm.lock, PF_LOCK_KSM);
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), -1);
	pf_port_rw_write_unlock(&sys.ksm.lock, PF_LOCK_KSM);
	assert_int_equal(pf_mprotect(&child, A, P, PF_PROT_READ), 0);
	assert_int_equal(pf_mlock(&child, A, P), 0);
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), -1);
	pf_folio_put(&phys, folio, 1);
	machine_adversary(true);
}

/* What is kept for pages that are gone does not add up, though nobody asks for it to go. */
static void forgotten(void)
{
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(pf_ksm_merge(&mm, A, &child, A), 0);
		assert_int_equal(pf_ksm_merge(&mm, A + P, &child, A + P), 0);
		assert_in_range(pf_handle_live(&sys.ksm.nodes), 2, 6);
		write_page(&mm, A);
		write_page(&mm, A + P);
		write_page(&child, A);
		write_page(&child, A + P);
		for (unsigned k = 0; k < 2; k++) {
			memset(pf_port_virt(frame(&mm, A + k * P) * P), 0, P);
			memset(pf_port_virt(frame(&child, A + k * P) * P), 0, P);
		}
	}
}

/* A page that a walker has come by and keeps, and that nobody maps any more; and a frame that never comes back. */
static void kept(void)
{
	struct pf_folio *folio;

	assert_int_equal(pf_ksm_merge(&mm, A, &child, A), 0);
	folio = pf_page_folio(&phys, frame(&mm, A));
	pf_folio_get(folio, 1);
	write_page(&mm, A);
	write_page(&child, A);
	assert_int_equal(pf_folio_count_mapped(&sys, folio), 0);
	pf_ksm_prune(&sys);
	assert_int_equal(pf_handle_live(&sys.ksm.nodes), 1);
	pf_folio_put(&phys, folio, 1);
	pf_ksm_prune(&sys);
	assert_int_equal(pf_handle_live(&sys.ksm.nodes), 0);
	assert_int_equal(pf_ksm_merge(&mm, A + P, &child, A + P), 0);
	folio = pf_page_folio(&phys, frame(&mm, A + P));
	assert_int_equal(pf_memory_failure(&sys, frame(&mm, A + P)), 0);
	assert_int_equal(pf_pte_kind(at(&mm, A + P).pte), PF_PTE_HWPOISON);
	assert_int_equal(pf_pte_kind(at(&child, A + P).pte), PF_PTE_HWPOISON);
	assert_int_equal(pf_folio_mapcount(folio), 0);
	pf_ksm_prune(&sys);
	assert_int_equal(pf_handle_live(&sys.ksm.nodes), 0);
	pf_folio_put(&phys, folio, 1);
}

static void each_format(void (*test)(void))
{
	for (unsigned i = 0; pf_formats[i]; i++) {
		start(pf_formats[i]);
		test();
		stop();
	}
}

#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		each_format(name);                                                                 \
	}
TEST(between_processes)
TEST(somebody_at_it)
TEST(frames)
TEST(found_once)
TEST(ages)
TEST(forgotten)
TEST(kept)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_between_processes),
		cmocka_unit_test(test_somebody_at_it),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_found_once),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_kept),
	};

	return cmocka_run_group_tests_name("mm ksm", tests, NULL, NULL);
}
