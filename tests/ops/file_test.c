/* SPDX-License-Identifier: MIT */
/*
 * A file in memory: what is stored is written, whatever happens meanwhile; what is cut off is gone, for everybody.
 */
#include "access.h"
#include "together.h"

#include "mm/mapping.h"
#include "mm/migrate.h"

#define A     UINT64_C(0x10000000) /* shared */
#define B     UINT64_C(0x20000000) /* private */
#define C     UINT64_C(0x30000000) /* shared, too, if it is mapped */
#define PAGES 16u

static struct pf_mapping *file;
static char disk[PAGES * P];
static unsigned writes;
static int write_error;

static int read_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	assert_ptr_equal(mapping, file);
	pf_port_clear_pages(pa, nr * P);
	if (index < PAGES)
		memcpy(pf_port_virt(pa), disk + index * P, pf_min(nr, PAGES - index) * P);
	return 0;
}

static int write_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	assert_ptr_equal(mapping, file);
	assert_true(index + nr <= PAGES);
	/* Nothing that lies beyond the file's end. */
	assert_true(index * P < file->size);
	writes++;
	if (!write_error)
		memcpy(disk + index * P, pf_port_virt(pa), nr * P);
	return write_error;
}

static int punch_disk(struct pf_mapping *mapping, uint64_t index, uint64_t nr)
{
	assert_ptr_equal(mapping, file);
	memset(disk + index * P, 0, nr * P);
	return 0;
}

static const struct pf_mapping_ops disk_ops = {
	.read = read_disk, .write = write_disk, .punch = punch_disk};

static void map(pf_va_t at, unsigned flags)
{
	const struct pf_file f = {.mapping = file, .mode = PF_FILE_READ | PF_FILE_WRITE};

	assert_int_equal(pf_mmap_file(&mm, at, PAGES * P, RW, flags | PF_MAP_FIXED, &f, 0), at);
}

/* The shared mapping and the private one; pages of 2^order. */
static void start(const struct pf_format *fmt, unsigned order)
{
	struct world w = {.bytes = UINT64_C(8) << 20, .cpus = 2, .features = "", .order = 0};

	world_start(fmt, &w);
	memset(disk, 0, sizeof(disk));
	writes = 0;
	write_error = 0;
	file = pf_mapping_create(&sys, &disk_ops, NULL, PAGES * P);
	assert_non_null(file);
	file->orders = 1u << order;
	map(A, PF_MAP_SHARED);
	map(B, PF_MAP_PRIVATE);
}

static void stop(void)
{
	world_judge("the test");
	pf_mapping_put(file);
	world_exit(2);
}

static uint64_t on_disk(unsigned page)
{
	uint64_t value;

	memcpy(&value, disk + page * P, sizeof(value));
	return value;
}

static pf_pte_t entry(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	return info.pte;
}

/* ---- dirty pages ---- */

static void writes_are_noticed(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned order = 0; order <= 4; order += 4) {
			start(pf_formats[f], order);
			finds(A, 0);
			assert_false(pf_pte_write(entry(A)));
			assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
			assert_int_equal(writes, 0);
			for (uint64_t i = 1; i <= 3; i++) {
				assert_int_equal(put(A + 2 * P, i), PF_FAULT_DONE);
				assert_true(pf_pte_write(entry(A + 2 * P)));
				world_judge("a store");
				assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
				assert_int_equal(writes, i);
				assert_int_equal(on_disk(2), i);
				for (unsigned k = 0; k < PAGES; k++) {
					assert_false(pf_pte_write(entry(A + k * P)));
					assert_false(pf_pte_dirty(entry(A + k * P)));
				}
				world_judge("written");
			}
			assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
			assert_int_equal(writes, 3);
			/* msync is the same, for the pages it names. */
			assert_int_equal(put(A + 2 * P, 4), PF_FAULT_DONE);
			assert_int_equal(pf_msync(&mm, A, PAGES * P, PF_MS_ASYNC), 0);
			assert_int_equal(on_disk(2), 3);
			assert_int_equal(pf_msync(&mm, A + 2 * P, P, PF_MS_SYNC), 0);
			assert_int_equal(on_disk(2), 4);
			/* What is clean stays so through mprotect; what is dirty needs no fault. */
			assert_int_equal(pf_mprotect(&mm, A, PAGES * P, PF_PROT_READ), 0);
			assert_int_equal(pf_mprotect(&mm, A, PAGES * P, RW), 0);
			assert_false(pf_pte_write(entry(A + 2 * P)));
			assert_int_equal(put(A + 2 * P, 9), PF_FAULT_DONE);
			assert_int_equal(pf_mprotect(&mm, A, PAGES * P, PF_PROT_READ), 0);
			assert_int_equal(pf_mprotect(&mm, A, PAGES * P, RW), 0);
			assert_true(pf_pte_write(entry(A + 2 * P)));
			/* D that is taken with the entry is not lost, nor a page that could not be written. */
			assert_int_equal(pf_madvise(&mm, A, PAGES * P, PF_MADV_DONTNEED), 0);
			write_error = -PF_EINTR;
			assert_int_equal(pf_mapping_sync(file, 0, PAGES), -PF_EINTR);
			write_error = 0;
			assert_int_equal(on_disk(2), 4);
			assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
			assert_int_equal(on_disk(2), 9);
			stop();
		}
}

/* ---- the end of the file ---- */

static void truncated(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned order = 0; order <= 4; order += 2) {
			uint64_t value;

			start(pf_formats[f], order);
			for (unsigned i = 0; i < PAGES; i++) {
				assert_int_equal(put(A + i * P, 100 + i), PF_FAULT_DONE);
				finds(B + i * P, 100 + i);
			}
			assert_int_equal(put(B + 2 * P, 202), PF_FAULT_DONE);
			assert_int_equal(put(B + 9 * P, 209), PF_FAULT_DONE);
			/* Both CPUs know the pages that go. */
			machine_run_on(1);
			finds(A + 9 * P, 109);
			machine_run_on(0);
			pf_mapping_truncate(file, 6 * P + 8);
			world_judge("truncated");
			for (unsigned cpu = 0; cpu < 2; cpu++) {
				machine_run_on(cpu);
				assert_int_equal(get(A + 9 * P, &value), PF_FAULT_SIGBUS);
				assert_int_equal(get(B + 9 * P, &value), PF_FAULT_SIGBUS);
				assert_int_equal(put(A + 7 * P, 1), PF_FAULT_SIGBUS);
				assert_int_equal(put(B + 7 * P, 1), PF_FAULT_SIGBUS);
				finds(A + 6 * P, 106);
				finds(B + 2 * P, 202);
			}
			machine_run_on(0);
			assert_true(pf_mapping_cached(file, 6));
			/* What ends in a folio does not keep the rest of it. */
			for (unsigned i = 7; i < PAGES; i++)
				assert_false(pf_mapping_cached(file, i));
			assert_int_equal(file->nr_pages, 7);
			/* Nothing of before comes back. */
			assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
			memset(disk + 7 * P, 0, sizeof(disk) - 7 * P);
			pf_mapping_truncate(file, PAGES * P);
			for (unsigned i = 7; i < PAGES; i++) {
				finds(A + i * P, 0);
				finds(B + i * P, 0);
			}
			assert_int_equal(put(A + 6 * P + 8, 0), PF_FAULT_DONE);
			stop();
		}
}

static void holes(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned order = 0; order <= 4; order += 2) {
			start(pf_formats[f], order);
			for (unsigned i = 0; i < PAGES; i++)
				assert_int_equal(put(A + i * P, 100 + i), PF_FAULT_DONE);
			assert_int_equal(put(B + 5 * P, 205), PF_FAULT_DONE);
			finds(B + 6 * P, 106);
			assert_int_equal(pf_mapping_punch(file, 3 * P + 8, 4 * P), 0);
			world_judge("punched");
			for (unsigned i = 0; i < PAGES; i++)
				finds(A + i * P, i >= 4 && i <= 7 ? 0 : 100 + i);
			finds(B + 5 * P, 205);
			finds(B + 6 * P, 0);
			assert_int_equal(pf_madvise(&mm, B, P, PF_MADV_REMOVE), -PF_EACCES);
			assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_REMOVE), 0);
			finds(A, 0);
			stop();
		}
}

/* Where the offsets of files end. */
static void far_end(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		start(pf_formats[f], 0);
		for (unsigned i = 0; i < PAGES; i++)
			assert_int_equal(put(A + i * P, 100 + i), PF_FAULT_DONE);
		assert_int_equal(pf_mapping_punch(file, 8, UINT64_MAX), -PF_EINVAL);
		assert_int_equal(pf_mapping_punch(file, UINT64_MAX - 10, 5), 0);
		assert_int_equal(pf_mapping_punch(file, 0, 0), 0);
		for (unsigned i = 0; i < PAGES; i++)
			finds(A + i * P, 100 + i);
		stop();
	}
}

/* ---- as it was opened ---- */

static void modes(void **state)
{
	const unsigned shared = PF_MAP_SHARED | PF_MAP_FIXED, priv = PF_MAP_PRIVATE | PF_MAP_FIXED;
	struct pf_file f;
	uint64_t value;

	(void)state;
	start(pf_formats[0], 0);
	f = (struct pf_file){.mapping = file, .mode = PF_FILE_READ};
	assert_int_equal(pf_mmap_file(&mm, A, P, RW, shared, &f, 0), -PF_EACCES);
	assert_int_equal(pf_mmap_file(&mm, A, P, PF_PROT_READ, shared, &f, 0), A);
	assert_int_equal(pf_mprotect(&mm, A, P, RW), -PF_EACCES);
	assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_REMOVE), -PF_EACCES);
	assert_int_equal(get(A, &value), PF_FAULT_DONE);
	assert_int_equal(put(A, 1), PF_FAULT_SIGSEGV);
	assert_int_equal(pf_mmap_file(&mm, A, P, RW, priv, &f, 0), A);
	assert_int_equal(put(A, 1), PF_FAULT_DONE);
	f.mode = PF_FILE_WRITE;
	assert_int_equal(pf_mmap_file(&mm, A, P, RW, shared, &f, 0), -PF_EACCES);
	assert_int_equal(pf_mmap_file(&mm, A, P, PF_PROT_READ, priv, &f, 0), -PF_EACCES);
	f = (struct pf_file){.mapping = NULL, .mode = PF_FILE_READ | PF_FILE_WRITE};
	assert_int_equal(pf_mmap_file(&mm, A, P, PF_PROT_READ, shared, &f, 0), -PF_ENODEV);
	stop();
}

/* ---- meanwhile ---- */

static void sync_and_store(void)
{
	assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
	/* Only if this CPU may without a fault; then somebody must know. */
	machine_store(A + P, 77);
}

static void drop_shared(void)
{
	assert_int_equal(pf_madvise(&mm, A, PAGES * P, PF_MADV_DONTNEED), 0);
}

static void sync_all(void)
{
	assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
}

static void store_one(void)
{
	assert_int_equal(put(A + P, 78), PF_FAULT_DONE);
}

static void cut(void)
{
	pf_mapping_truncate(file, P);
}

static void touch_cut(void)
{
	uint64_t value;
	enum pf_fault_result r = get(A + P, &value);

	assert_true(r == PF_FAULT_DONE || r == PF_FAULT_SIGBUS);
}

static void move_all(void)
{
	const int err = pf_migrate(&mm, A, PAGES * P);

	assert_true(!err || err == -PF_EAGAIN);
}

static void punch_one(void)
{
	assert_int_equal(pf_mapping_punch(file, P, P), 0);
}

/* By way of a mapping that the page was not in. */
static void store_and_drop_elsewhere(void)
{
	assert_int_equal(put(C + P, 78), PF_FAULT_DONE);
	assert_int_equal(pf_madvise(&mm, C, PAGES * P, PF_MADV_DONTNEED), 0);
}

static void lock_all(void)
{
	assert_int_equal(pf_mlock(&mm, A, 2 * P), 0);
}

static void drop_unused(void)
{
	pf_reclaim(&sys, 1u << 20);
}

/* Whatever was stored last is on the disk in the end. */
static void nothing_lost(void (*a)(void), void (*b)(void), bool cuts)
{
	unsigned moments = 0;

	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned order = 0; order <= 4; order += 4) {
			bool again = true;

			for (unsigned k = 0; again; k += 2, moments++) {
				uint64_t value;

				start(pf_formats[f], order);
				for (unsigned cpu = 0; cpu < 2; cpu++) {
					machine_run_on(cpu);
					assert_int_equal(put(A + P, 50 + cpu), PF_FAULT_DONE);
				}
				machine_run_on(0);
				again = together(a, b, k);
				world_judge("both");
				if (cuts) {
					assert_int_equal(get(A + P, &value), PF_FAULT_SIGBUS);
				} else {
					assert_int_equal(get(A + P, &value), PF_FAULT_DONE);
					assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
					assert_int_equal(on_disk(1), value);
				}
				stop();
			}
		}
	assert_true(moments > 40);
}

/* Whatever the moment, page 1 comes to this in the end, in memory and on the disk. */
static void comes_to(void (*a)(void), void (*b)(void), uint64_t value)
{
	for (unsigned f = 0; pf_formats[f]; f++) {
		bool again = true;

		/* Formats have much the same moments, and share them out. */
		for (unsigned k = f; again; k += 4) {
			start(pf_formats[f], 0);
			map(C, PF_MAP_SHARED);
			assert_int_equal(put(A + P, 50), PF_FAULT_DONE);
			again = together(a, b, k);
			world_judge("both");
			finds(A + P, value);
			assert_int_equal(pf_mapping_sync(file, 0, PAGES), 0);
			assert_int_equal(on_disk(1), value);
			stop();
		}
	}
}

static void reclaimed_and_punched(void **state)
{
	(void)state;
	comes_to(drop_unused, punch_one, 0);
	comes_to(punch_one, drop_unused, 0);
}

static void move_and_store_elsewhere(void **state)
{
	(void)state;
	comes_to(move_all, store_and_drop_elsewhere, 78);
}

/* What is locked is there when the call returns, and stays. */
static void reclaimed_and_locked(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		bool again = true;

		for (unsigned k = f; again; k += 4) {
			start(pf_formats[f], 0);
			for (unsigned i = 0; i < 2; i++)
				assert_int_equal(put(A + i * P, i), PF_FAULT_DONE);
			again = together(drop_unused, lock_all, k);
			for (unsigned i = 0; i < 2; i++)
				assert_true(pf_pte_present(entry(A + i * P)));
			stop();
		}
	}
}

static void zap_and_clean(void **state)
{
	(void)state;
	nothing_lost(drop_shared, sync_and_store, false);
}

static void clean_and_store(void **state)
{
	(void)state;
	nothing_lost(sync_all, store_one, false);
}

static void cut_and_touch(void **state)
{
	(void)state;
	nothing_lost(cut, touch_cut, true);
}

static void move_and_store(void **state)
{
	(void)state;
	nothing_lost(move_all, store_one, false);
}

static void move_and_clean(void **state)
{
	(void)state;
	nothing_lost(move_all, sync_and_store, false);
	nothing_lost(sync_and_store, move_all, false);
}

static void move_and_cut(void **state)
{
	(void)state;
	nothing_lost(move_all, cut, true);
	nothing_lost(cut, move_all, true);
}

static void reclaimed_and_store(void **state)
{
	(void)state;
	nothing_lost(drop_unused, store_one, false);
}

static void reclaimed_and_clean(void **state)
{
	(void)state;
	nothing_lost(drop_unused, sync_and_store, false);
	nothing_lost(sync_and_store, drop_unused, false);
}

static void reclaimed_and_cut(void **state)
{
	(void)state;
	nothing_lost(drop_unused, cut, true);
	nothing_lost(cut, drop_unused, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_are_noticed),
		cmocka_unit_test(truncated),
		cmocka_unit_test(holes),
		cmocka_unit_test(far_end),
		cmocka_unit_test(modes),
		cmocka_unit_test(zap_and_clean),
		cmocka_unit_test(clean_and_store),
		cmocka_unit_test(cut_and_touch),
		cmocka_unit_test(move_and_store),
		cmocka_unit_test(move_and_clean),
		cmocka_unit_test(move_and_cut),
		cmocka_unit_test(reclaimed_and_store),
		cmocka_unit_test(reclaimed_and_clean),
		cmocka_unit_test(reclaimed_and_cut),
		cmocka_unit_test(reclaimed_and_punched),
		cmocka_unit_test(move_and_store_elsewhere),
		cmocka_unit_test(reclaimed_and_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
