/* SPDX-License-Identifier: MIT */
/*
 * What happens to pages on their way: entries that are forked, protected, moved, unmapped and looked for while they are
 * migration entries; and folios that cannot go because somebody else has a reference.
 */
#include "world.h"

#include "mm/internal.h"
#include "mm/migrate.h"
#include "mm/rmap.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define B     UINT64_C(0x20000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define MOVE  (PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED)

static struct pf_folio *folio;
static struct pf_remap remap;

static bool write_page(struct pf_mm *m, pf_va_t va)
{
	const uint64_t cow = pf_space_stats(&m->space).cow;

	machine_note_store(va);
	assert_int_equal(pf_handle_mm_fault(m, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	return pf_space_stats(&m->space).cow == cow;
}

static struct pf_page_info at(struct pf_mm *m, pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(m, va, &info);
	return info;
}

/* A folio of 16 pages at A, mapped and written. */
static void start(const struct pf_format *fmt)
{
	world_start(fmt, 0);
	assert_int_equal(pf_mmap(&mm, A, 32 * P, RW, FIXED), A);
	assert_true(write_page(&mm, A));
	folio = pf_page_folio(&phys, pf_pte_pfn(at(&mm, A).pte));
	assert_int_equal(pf_folio_order(folio), 4);
	pf_folio_get(folio, 1);
}

static void go(void)
{
	assert_true(pf_folio_trylock(folio));
	assert_int_equal(pf_folio_unmap(&sys, folio, &remap), 0);
	assert_int_equal(pf_folio_mapcount(folio), 0);
}

static void come_back(void)
{
	pf_folio_remap(&sys, &remap);
	pf_folio_unlock(folio);
	world_check("it came back");
	assert_null(pf_rmap_check(&sys));
}

static void stop(void)
{
	pf_folio_put(&phys, folio, 1);
	world_stop();
}

static void all_formats(void (*test)(void))
{
	for (unsigned i = 0; pf_formats[i]; i++) {
		start(pf_formats[i]);
		test();
		stop();
	}
}

static void there_and_back(void)
{
	const pf_pfn_t pfn = pf_folio_pfn(&phys, folio);
	const bool folded = at(&mm, A).folded;
	const uint64_t unfolds = mm.space.pt.stats.unfold;

	go();
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(pf_pte_kind(at(&mm, A + i * P).pte), PF_PTE_MIGRATION);
		assert_int_equal(pf_pte_pfn(at(&mm, A + i * P).pte), pfn + i);
	}
	/* Nobody maps it, so nobody is found to, though the entries name it. */
	assert_int_equal(sys.fmt->mapped_one(&mm.space, &(struct pf_rmap_place){A, 16, pfn}), 0);
	assert_int_equal(pf_folio_referenced(&sys, folio, NULL), 0);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 16);
	come_back();
	for (unsigned i = 0; i < 16; i++) {
		struct pf_page_info info = at(&mm, A + i * P);

		assert_int_equal(pf_pte_pfn(info.pte), pfn + i);
		assert_true(pf_pte_write(info.pte) && pf_pte_dirty(info.pte) && info.exclusive);
		assert_int_equal(info.folded, folded);
	}
	assert_int_equal(mm.space.pt.stats.unfold, unfolds);
}

static void forked(void)
{
	struct pf_mm child;

	go();
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	come_back();
	assert_null(pf_mm_check(&child));
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(
			pf_pte_pfn(at(&child, A + i * P).pte), pf_pte_pfn(at(&mm, A + i * P).pte));
		assert_false(at(&mm, A + i * P).exclusive);
		assert_false(pf_pte_write(at(&mm, A + i * P).pte));
		assert_false(pf_pte_write(at(&child, A + i * P).pte));
	}
	assert_int_equal(pf_folio_mapcount(folio), 32);
	assert_false(write_page(&child, A));
	pf_mm_exit(&child);
	machine_retire_asid(2);
}

static void protected(void)
{
	go();
	assert_int_equal(pf_mprotect(&mm, A + 4 * P, 4 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_mprotect(&mm, A + 8 * P, 4 * P, PF_PROT_NONE), 0);
	come_back();
	assert_true(pf_pte_write(at(&mm, A).pte));
	assert_false(pf_pte_write(at(&mm, A + 4 * P).pte));
	assert_true(at(&mm, A + 4 * P).exclusive);
	assert_true(pf_pte_protnone(at(&mm, A + 8 * P).pte));
	/* Its own all the time: written without a copy when it may be. */
	assert_int_equal(pf_mprotect(&mm, A, 16 * P, RW), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_true(write_page(&mm, A + i * P));
}

static void moved_and_unmapped(void)
{
	const pf_pfn_t pfn = pf_folio_pfn(&phys, folio);

	go();
	assert_int_equal(pf_mremap(&mm, A + 8 * P, 4 * P, 4 * P, MOVE, B), B);
	assert_int_equal(pf_munmap(&mm, A + 2 * P, P), 0);
	assert_int_equal(pf_madvise(&mm, A + 3 * P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 14);
	come_back();
	assert_int_equal(pf_folio_mapcount(folio), 14);
	assert_int_equal(pf_pte_pfn(at(&mm, B + P).pte), pfn + 9);
	assert_true(pf_pte_none(at(&mm, A + 3 * P).pte));
}

/* Pages of one folio whose entries differ come back as they were, also when they cannot go. */
static void held(void)
{
	uint64_t before[16];

	assert_int_equal(pf_mprotect(&mm, A + 5 * P, 3 * P, PF_PROT_READ), 0);
	for (unsigned i = 0; i < 16; i++)
		before[i] = at(&mm, A + i * P).pte.v & ~PF_PTE_A;
	/* A reference of somebody's. */
	pf_folio_get(folio, 1);
	assert_true(pf_folio_trylock(folio));
	assert_int_equal(pf_folio_unmap(&sys, folio, &remap), -PF_EAGAIN);
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, 1);
	world_check("kept by a reference");
	/* A pin. */
	pf_folio_get(folio, 1);
	assert_true(pf_folio_pin_ref(folio));
	assert_true(pf_folio_trylock(folio));
	assert_int_equal(pf_folio_unmap(&sys, folio, &remap), -PF_EBUSY);
	/* And one that comes so late that only the share sees it. */
	assert_false(sys.fmt->try_to_migrate_one(
		&mm.space, &(struct pf_rmap_place){A, 16, pf_folio_pfn(&phys, folio)}));
	pf_folio_unlock(folio);
	assert_int_equal(pf_migrate(&mm, A, 16 * P), -PF_EBUSY);
	pf_folio_put(&phys, folio, pf_folio_unpin_refs(folio, 1));
	world_check("kept by a pin");
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(at(&mm, A + i * P).pte.v & ~PF_PTE_A, before[i]);
		assert_true(at(&mm, A + i * P).exclusive);
	}
	assert_int_equal(pf_folio_mapcount(folio), 16);
}

/* Its lock is somebody's: not waited for. */
static void locked(void)
{
	assert_true(pf_folio_trylock(folio));
	assert_int_equal(pf_migrate(&mm, A, 32 * P), -PF_EAGAIN);
	pf_folio_unlock(folio);
	assert_int_equal(pf_migrate(&mm, A + 1, 1), -PF_EINVAL);
	assert_int_equal(pf_migrate(&mm, A, UINT64_MAX), -PF_EINVAL);
	assert_int_equal(pf_migrate(&mm, B, 32 * P), 0);
}

/* Split and put back together as it was seen: page by page, with the same frames. */
static void split(void)
{
	const pf_pfn_t pfn = pf_folio_pfn(&phys, folio);

	assert_int_equal(pf_mprotect(&mm, A + 5 * P, 3 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_madvise(&mm, A + 9 * P, 2 * P, PF_MADV_DONTNEED), 0);
	assert_true(pf_folio_test_flags(folio, PF_FOLIO_PARTLY_MAPPED));
	/* Kept by a reference of somebody's: nothing happens. */
	pf_folio_get(folio, 1);
	assert_int_equal(pf_split_folio(&sys, folio), -PF_EAGAIN);
	assert_int_equal(pf_split_deferred(&sys, PF_NODES_ALL), 0);
	assert_true(pf_folio_test_flags(folio, PF_FOLIO_PARTLY_MAPPED));
	pf_folio_put(&phys, folio, 1);
	assert_int_equal(pf_folio_order(folio), 4);
	world_check("not split");
	assert_int_equal(pf_split(&mm, A + 9 * P), -PF_EINVAL);
	/* By any of its pages; one reference, the test's, is too many. */
	assert_int_equal(pf_split(&mm, A + 3 * P), -PF_EAGAIN);
	pf_folio_put(&phys, folio, 1);
	assert_int_equal(pf_split_deferred(&sys, PF_NODES_ALL), 1);
	pf_folio_get(folio, 1);
	world_check("split");
	assert_null(pf_rmap_check(&sys));
	for (unsigned i = 0; i < 16; i++) {
		struct pf_page_info info = at(&mm, A + i * P);

		if (i == 9 || i == 10) {
			assert_true(pf_pte_none(info.pte));
			assert_null(pf_folio_try_get_page(&phys, pfn + i));
			continue;
		}
		assert_int_equal(pf_pte_pfn(info.pte), pfn + i);
		assert_int_equal(info.order, 0);
		assert_true(info.exclusive && !info.folded && pf_pte_dirty(info.pte));
		assert_int_equal(pf_pte_write(info.pte), i < 5 || i > 7);
	}
	assert_int_equal(pf_split_folio(&sys, folio), 0);
	assert_int_equal(sys.splits, 1);
}

/* A folio that waits to be split, and is freed, is not found any more. */
static void freed_while_waiting(void)
{
	assert_true(write_page(&mm, A + 16 * P));
	assert_int_equal(pf_madvise(&mm, A + 17 * P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_madvise(&mm, A + 3 * P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_madvise(&mm, A + 16 * P, 16 * P, PF_MADV_DONTNEED), 0);
	/* Its memory is another folio's by now. */
	assert_true(write_page(&mm, A + 16 * P));
	assert_ptr_equal(pf_folio_next_split(&phys, 0), folio);
	assert_null(pf_folio_next_split(&phys, 0));
	pf_folio_queue_split(&phys, folio);
	pf_folio_put(&phys, folio, 2);
	assert_int_equal(pf_split_deferred(&sys, PF_NODES_ALL), 1);
	assert_int_equal(pf_split_deferred(&sys, PF_NODES_ALL), 0);
	pf_folio_get(folio, 1);
	world_check("split");
}

static void test_split(void **state)
{
	(void)state;
	all_formats(split);
}

static void test_freed_while_waiting(void **state)
{
	(void)state;
	all_formats(freed_while_waiting);
}

static void test_there_and_back(void **state)
{
	(void)state;
	all_formats(there_and_back);
}

static void test_forked(void **state)
{
	(void)state;
	all_formats(forked);
}

static void test_protected(void **state)
{
	(void)state;
	all_formats(protected);
}

static void test_moved_and_unmapped(void **state)
{
	(void)state;
	all_formats(moved_and_unmapped);
}

static void test_held(void **state)
{
	(void)state;
	all_formats(held);
}

static void test_locked(void **state)
{
	(void)state;
	all_formats(locked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_forked),
		cmocka_unit_test(test_protected),
		cmocka_unit_test(test_moved_and_unmapped),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_freed_while_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
