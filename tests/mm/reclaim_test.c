/* SPDX-License-Identifier: MIT */
/*
 * The hand that goes round: what it takes and what it passes over, when hardware does nothing by itself; what cannot be
 * written stays; and a device that is about to go gets nothing.
 */
#include "world.h"

#include "mm/internal.h"
#include "mm/migrate.h"
#include "mm/rmap.h"
#include "mm/sample.h"
#include "ops/formats.h"
#include "reclaim/reclaim.h"
#include "swap_disk.h"

#define A     UINT64_C(0x10000000)
#define B     UINT64_C(0x20000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define PAGES 32u

/* ---- what pages go to ---- */

static char disk[PAGES * P];
static unsigned written; /* pages */
static void (*meanwhile)(void);

static int read_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping;
	memcpy(pf_port_virt(pa), disk + index * P, nr * P);
	return 0;
}

static int write_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping;
	if (!disk_write_error) {
		memcpy(disk + index * P, pf_port_virt(pa), nr * P);
		written += nr;
	}
	if (meanwhile)
		meanwhile();
	return disk_write_error;
}

static const struct pf_mapping_ops disk_ops = {.read = read_disk, .write = write_disk};
static struct pf_mapping *file;

/* ---- a process with PAGES pages of its own at A, folios of 2^order, and of the file at B ---- */

static void write_page(pf_va_t va)
{
	machine_note_store(va);
	assert_int_equal(pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
}

static pf_pte_t at(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	return info.pte;
}

static unsigned present(pf_va_t va, unsigned nr)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nr; i++)
		n += pf_pte_present(at(va + i * P));
	return n;
}

static void map_file(const struct pf_mapping_ops *ops)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	file = pf_mapping_create(&sys, ops, NULL, PAGES * P);
	assert_non_null(file);
	f.mapping = file;
	assert_int_equal(
		pf_mmap_file(&mm, B, PAGES * P, RW, PF_MAP_SHARED | PF_MAP_FIXED, &f, 0), B);
}

static void start(void)
{
	world_start(&pf_format_arm64_4k, 0);
	machine_adversary(false);
	memset(disk, 0, sizeof(disk));
	written = 0;
	disk_write_error = 0;
	meanwhile = NULL;
	file = NULL;
	assert_int_equal(pf_swapon(&sys, &swap_disk_ops, NULL, SWAP_DISK_SLOTS), 0);
	sys.thp.order[2] = PF_THP_NEVER;
	assert_int_equal(pf_mmap(&mm, A, PAGES * P, RW, FIXED), A);
	write_page(A);
	write_page(A + 16 * P);
	assert_int_equal(present(A, PAGES), PAGES);
}

static void stop(void)
{
	world_check("the end");
	assert_null(pf_rmap_check(&sys));
	machine_adversary(true);
	assert_int_equal(pf_munmap(&mm, A, PAGES * P), 0);
	assert_int_equal(pf_munmap(&mm, B, PAGES * P), 0);
	if (file)
		pf_mapping_put(file);
	assert_int_equal(pf_swapoff(&sys, 0), 0);
	world_stop();
}

/* Of two folios the one goes that was not used, wherever the hand begins; used again, both are taken in turn. */
static void used_is_passed_over(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		const pf_va_t used = A + (i % 2) * 16 * P, old = A + (1 - i % 2) * 16 * P;
		uint64_t unfolds;

		start();
		unfolds = mm.space.pt.stats.unfold;
		sys.hand = i / 2 ? phys.nr / 2 : 0;
		pf_sample_mkold(&mm, old, 16);
		assert_int_equal(pf_sample_young(&mm, used, 16), 16);
		assert_int_equal(pf_reclaim(&sys, 1), 16);
		assert_int_equal(present(used, 16), 16);
		assert_int_equal(present(old, 16), 0);
		/* Old now: its turn. */
		assert_int_equal(pf_reclaim(&sys, 1), 16);
		assert_int_equal(present(used, 16), 0);
		assert_int_equal(pf_reclaim(&sys, 1), 0);
		assert_int_equal(mm.space.pt.stats.unfold, unfolds);
		stop();
	}
}

/* What is dirty and cannot be written stays, and stays dirty. */
static void write_error_keeps(void **state)
{
	(void)state;
	start();
	map_file(&disk_ops);
	write_page(B + P);
	disk_write_error = -PF_EIO;
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 0);
	assert_true(pf_mapping_cached(file, 1));
	assert_int_equal(present(B, PAGES), 0);
	/* Anonymous pages are in the swap cache, and found there. */
	write_page(A);
	disk_write_error = 0;
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 2 * 16 + 1);
	assert_int_equal(written, 1);
	assert_false(pf_mapping_cached(file, 1));
	stop();
}

/* A file that nothing can be written to: clean pages go, dirty ones stay mapped. */
static void never_written(void **state)
{
	static const struct pf_mapping_ops read_only = {.read = read_disk};

	(void)state;
	start();
	map_file(&read_only);
	assert_int_equal(pf_handle_mm_fault(&mm, B + 5 * P, 0), PF_FAULT_DONE);
	write_page(B + 17 * P);
	pf_reclaim(&sys, UINT64_MAX);
	assert_true(pf_mapping_cached(file, 17));
	assert_true(pf_pte_present(at(B + 17 * P)));
	assert_false(pf_mapping_cached(file, 5));
	stop();
}

static void store_again(void)
{
	meanwhile = NULL;
	write_page(B + P);
}

/* It is written to while it is written back: it stays, and is dirty again. */
static void written_meanwhile(void **state)
{
	(void)state;
	start();
	map_file(&disk_ops);
	write_page(B + P);
	meanwhile = store_again;
	assert_int_equal(pf_madvise(&mm, B, PAGES * P, PF_MADV_PAGEOUT), 0);
	assert_null(meanwhile);
	assert_true(pf_mapping_cached(file, 1));
	assert_true(pf_pte_present(at(B + P)));
	world_check("written again");
	assert_int_equal(pf_madvise(&mm, B, PAGES * P, PF_MADV_PAGEOUT), 0);
	assert_int_equal(written, 2);
	assert_false(pf_mapping_cached(file, 1));
	stop();
}

static void store_and_drop(void)
{
	meanwhile = NULL;
	write_page(B + P);
	assert_int_equal(pf_madvise(&mm, B, PAGES * P, PF_MADV_DONTNEED), 0);
}

/* The same, and nobody maps it any more: only its flag knows. */
static void written_and_dropped_meanwhile(void **state)
{
	(void)state;
	start();
	map_file(&disk_ops);
	write_page(B + P);
	meanwhile = store_and_drop;
	assert_int_equal(pf_madvise(&mm, B, PAGES * P, PF_MADV_PAGEOUT), 0);
	assert_true(pf_mapping_cached(file, 1));
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 2 * 16 + 1);
	assert_int_equal(written, 2);
	stop();
}

/* Whoever changes devices, or VMAs, or what a file has, is not waited for: his pages stay. */
static void others_are_not_waited_for(void **state)
{
	struct pf_anon_vma *root;

	(void)state;
	start();
	map_file(&disk_ops);
	write_page(B + P);
	pf_port_rw_write_lock(&sys.mms_lock, PF_LOCK_SYSTEM);
	pf_port_rw_write_lock(&file->pages_lock, PF_LOCK_PAGES);
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 0);
	pf_port_rw_write_unlock(&file->pages_lock, PF_LOCK_PAGES);
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 1);
	pf_port_rw_write_unlock(&sys.mms_lock, PF_LOCK_SYSTEM);
	root = pf_anon_lock_write(&sys, pf_vma_lookup(&mm, A));
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 0);
	pf_anon_unlock_write(root);
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 2 * 16);
	stop();
}

/* Who knows of no device neither crashes on a folio that has a place, nor splits one for want of it. */
static void no_device_is_known(void **state)
{
	static const struct pf_swaps none;
	static const struct pf_reclaim_ops nothing;
	const struct pf_reclaimer r = {
		.phys = &phys, .swaps = &none, .ops = &nothing, .nodes = PF_NODES_ALL};
	struct pf_folio *folio;

	(void)state;
	start();
	folio = pf_page_folio(&phys, pf_pte_pfn(at(A)));
	pf_folio_get(folio, 1);
	assert_int_equal(pf_reclaim_folio(&r, folio), 0);
	disk_write_error = -PF_EIO;
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 0);
	disk_write_error = 0;
	assert_true(pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE));
	pf_folio_get(folio, 1);
	assert_int_equal(pf_reclaim_folio(&r, folio), 0);
	stop();
}

/* Of a folio that is not needed one half goes; then somebody has a reference, and the other stays: it should be split. */
static void half_is_discarded(void **state)
{
	struct pf_folio *folio;
	struct pf_vma *vma;
	pf_pfn_t pfn;

	(void)state;
	start();
	vma = pf_vma_lookup(&mm, A);
	folio = pf_page_folio(&phys, pf_pte_pfn(at(A)));
	pfn = pf_folio_pfn(&phys, folio);
	assert_int_equal(pf_madvise(&mm, A, 16 * P, PF_MADV_FREE), 0);
	assert_true(pf_folio_trylock(folio));
	pf_folio_get(folio, 1);
	assert_true(sys.fmt->unmap(&mm.space, &vma->area, A, 8, folio, pfn));
	pf_folio_get(folio, 1);
	assert_false(sys.fmt->unmap(&mm.space, &vma->area, A + 8 * P, 8, folio, pfn + 8));
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, 2);
	assert_int_equal(present(A, 16), 8);
	assert_true(pf_folio_test_flags(folio, PF_FOLIO_PARTLY_MAPPED));
	assert_int_equal(pf_split_deferred(&sys, PF_NODES_ALL), 1);
	stop();
}

/* Of two nodes, one is full of pages that could go: who wants memory of the other leaves them alone. */
static void of_one_node_only(void **state)
{
	struct pf_folio *folio, *taken = NULL;
	unsigned n = 0;

	(void)state;
	world_nodes = 2;
	start();
	world_nodes = 0;
	assert_int_equal(WORLD_NODE(pf_pte_pfn(at(A))), 0);
	/* Each names the last. */
	while ((folio = pf_folio_alloc_where(&phys, 0, PF_USE_FILE, pf_only(1)))) {
		folio->head.index = (uintptr_t)taken;
		taken = folio;
		n++;
	}
	assert_int_equal(n, WORLD_BYTES / P / 2);
	assert_int_equal(present(A, PAGES), PAGES);
	while ((folio = taken)) {
		taken = (struct pf_folio *)(uintptr_t)folio->head.index;
		pf_folio_put(&phys, folio, 1);
	}
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), PAGES);
	stop();
}

/* The last page that a file can have, in part and whole. */
static void last_page_is_cut(void **state)
{
	const uint64_t last = UINT64_MAX / P;
	struct pf_folio *folio;
	struct pf_mapping *far;
	char *page;

	(void)state;
	start();
	far = pf_mapping_create(&sys, NULL, NULL, UINT64_MAX);
	folio = pf_folio_alloc(&phys, 0, PF_USE_FILE);
	assert_int_equal(pf_mapping_add(far, last, folio), 0);
	page = pf_port_virt(pf_folio_pfn(&phys, folio) * P);
	memset(page, 1, P);
	assert_int_equal(pf_mapping_punch(far, last * P + 3, P - 13), 0);
	assert_true(page[2] && !page[3] && !page[P - 11] && page[P - 10]);
	pf_mapping_truncate(far, UINT64_MAX - 4);
	assert_true(page[P - 6] && !page[P - 5] && !page[P - 1]);
	assert_true(pf_mapping_cached(far, last));
	assert_int_equal(pf_mapping_punch(far, last * P, P), 0);
	assert_false(pf_mapping_cached(far, last));
	pf_folio_put(&phys, folio, 1);
	pf_mapping_put(far);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(used_is_passed_over),
		cmocka_unit_test(write_error_keeps),
		cmocka_unit_test(never_written),
		cmocka_unit_test(written_meanwhile),
		cmocka_unit_test(written_and_dropped_meanwhile),
		cmocka_unit_test(others_are_not_waited_for),
		cmocka_unit_test(no_device_is_known),
		cmocka_unit_test(half_is_discarded),
		cmocka_unit_test(of_one_node_only),
		cmocka_unit_test(last_page_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
