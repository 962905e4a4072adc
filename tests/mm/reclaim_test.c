/* SPDX-License-Identifier: MIT */
/*
 * The hand that goes round: what it takes and what it passes over, when hardware does nothing by itself; what cannot be
 * written stays; and a device that is about to go gets nothing.
 */
#include "world.h"

#include "mm/internal.h"
#include "mm/rmap.h"
#include "mm/sample.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define B     UINT64_C(0x20000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define PAGES 32u
#define SLOTS 256u

/* ---- what pages go to ---- */

static char device[SLOTS * P], disk[PAGES * P];
static unsigned written; /* pages */
static int write_error;
static void (*meanwhile)(void);

static int dev_read(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	memcpy(pf_port_virt(pa), device + slot * P, bytes);
	return 0;
}

static int dev_write(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	memcpy(device + slot * P, pf_port_virt(pa), bytes);
	return write_error;
}

static const struct pf_swap_ops swap_ops = {.read = dev_read, .write = dev_write};

static int read_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping;
	memcpy(pf_port_virt(pa), disk + index * P, nr * P);
	return 0;
}

static int write_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping;
	if (!write_error) {
		memcpy(disk + index * P, pf_port_virt(pa), nr * P);
		written += nr;
	}
	if (meanwhile)
		meanwhile();
	return write_error;
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
	write_error = 0;
	meanwhile = NULL;
	file = NULL;
	assert_int_equal(pf_swapon(&sys, &swap_ops, NULL, SLOTS), 0);
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
		const uint64_t unfolds = mm.space.pt.stats.unfold;

		start();
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
	write_error = -PF_EIO;
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 0);
	assert_true(pf_mapping_cached(file, 1));
	assert_int_equal(present(B, PAGES), 0);
	/* Anonymous pages are in the swap cache, and found there. */
	write_page(A);
	write_error = 0;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(used_is_passed_over),
		cmocka_unit_test(write_error_keeps),
		cmocka_unit_test(never_written),
		cmocka_unit_test(written_meanwhile),
		cmocka_unit_test(written_and_dropped_meanwhile),
		cmocka_unit_test(others_are_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
