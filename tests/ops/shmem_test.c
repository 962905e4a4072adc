/* SPDX-License-Identifier: MIT */
/*
 * Memory without a file that goes to swap and comes back: whatever the moment, what was stored last is what is found, what is cut
 * off is gone, and no slot is left behind.
 */
#include "access.h"
#include "together.h"

#include "mm/mapping.h"
#include "mm/migrate.h"
#include "mm/proc.h"
#include "mm/sample.h"

#define A     UINT64_C(0x10000000)
#define C     UINT64_C(0x30000000) /* the same again */
#define B     UINT64_C(0x40000000) /* privately */
#define SLOTS 1024u
#define MOST  256u /* pages */

static struct pf_mapping *mem;
static uint64_t pages; /* that it has */
static uint64_t fail_at;

/* ---- a device ---- */

static char device[SLOTS * P];
static int io_error;
static unsigned reads, writes;
static void (*meanwhile)(void); /* once, before what is written is taken */

static int dev_read(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	reads++;
	memcpy(pf_port_virt(pa), device + slot * P, bytes);
	return io_error;
}

static int dev_write(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	void (*now)(void) = meanwhile;

	(void)ctx;
	writes++;
	meanwhile = NULL;
	/* What it has when it begins; a store that comes then is not on the device. */
	memcpy(device + slot * P, pf_port_virt(pa), bytes);
	if (now)
		now();
	return io_error;
}

static const struct pf_swap_ops dev_ops = {.read = dev_read, .write = dev_write};

static uint64_t used(void)
{
	return SLOTS - pf_swap_free(sys.swaps.dev[0]);
}

/* ---- the world ---- */

static void map(pf_va_t at, unsigned flags)
{
	const struct pf_file f = {.mapping = mem, .mode = PF_FILE_READ | PF_FILE_WRITE};

	assert_int_equal(pf_mmap_file(&mm, at, pages * P, RW, flags | PF_MAP_FIXED, &f, 0), at);
}

static pf_pte_t entry(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	return info.pte;
}

/* nr pages at A, and again at C, in folios of 2^order; all stored to. */
static void start(const struct pf_format *fmt, unsigned order, uint64_t nr)
{
	const struct world w = {
		.bytes = (nr > 16 ? UINT64_C(8) : UINT64_C(1)) << 20,
		.cpus = 2,
		.features = "",
		.fail_at = fail_at,
	};

	world_start(fmt, &w);
	io_error = 0;
	meanwhile = NULL;
	reads = writes = 0;
	pages = nr;
	if (order)
		sys.thp.shmem[order] = PF_THP_ALWAYS;
	assert_int_equal(pf_swapon(&sys, &dev_ops, NULL, SLOTS), 0);
	mem = pf_mapping_create(&sys, NULL, NULL, nr * P);
	assert_non_null(mem);
	map(A, PF_MAP_SHARED);
	map(C, PF_MAP_SHARED);
	for (unsigned i = 0; i < nr; i++)
		assert_int_equal(put(A + i * P, 100 + i), PF_FAULT_DONE);
}

static void check(const char *when)
{
	world_judge(when);
	assert_null(pf_swap_check(sys.swaps.dev[0]));
	assert_int_equal(used(), mem->nr_swapped);
}

static void stop(void)
{
	check("the end");
	pf_mapping_put(mem);
	for (pf_va_t at = A; at <= B; at += A)
		assert_int_equal(pf_munmap(&mm, at, MOST * P), 0);
	assert_int_equal(used(), 0);
	assert_int_equal(pf_swapoff(&sys, 0), 0);
	world_exit(2);
}

static void page_out(void)
{
	pf_reclaim(&sys, 1u << 20);
	check("page out");
}

static unsigned swapped(uint64_t from, uint64_t to)
{
	unsigned n = 0;

	for (; from < to; from++)
		n += pf_mapping_has(mem, from) && !pf_mapping_cached(mem, from);
	return n;
}

/* ---- one after the other ---- */

/* One place for all who map it; what is told of it; used up when it is back. */
static void goes_and_comes(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned order = 0; order <= 4; order += 2) {
			const unsigned step = 1u << order;
			uint64_t told[16];
			struct pf_smaps s;
			uint8_t there[16];

			start(pf_formats[f], order, 16);
			finds(C + P, 101);
			page_out();
			assert_int_equal(writes, 16 / step);
			assert_int_equal(used(), 16);
			assert_int_equal(swapped(0, 16), 16);
			assert_true(pf_smaps(&mm, A, &s));
			assert_int_equal(s.swap, 16 * P);
			assert_int_equal(s.swap_pss, 0);
			assert_int_equal(s.rss, 0);
			assert_int_equal(pf_mincore(&mm, A, 16 * P, there), 0);
			assert_int_equal(pf_pagemap(&mm, A, 16, told), 16);
			for (unsigned i = 0; i < 16; i++) {
				assert_true(pf_pte_none(entry(A + i * P)));
				assert_int_equal(there[i], 0);
				assert_int_equal(told[i] & ~PF_PM_SOFT_DIRTY, 0);
			}
			finds(C + 5 * P, 105);
			assert_int_equal(reads, 1);
			assert_int_equal(used(), 16 - step);
			finds(A + 5 * P, 105);
			assert_int_equal(reads, 1);
			assert_int_equal(
				pf_pte_pfn(entry(A + 5 * P)), pf_pte_pfn(entry(C + 5 * P)));
			assert_true(pf_smaps(&mm, A + 8 * P, &s));
			assert_int_equal(s.swap, (16 - step) * P);
			check("one is back");
			for (unsigned i = 0; i < 16; i++)
				finds(A + i * P, 100 + i);
			assert_int_equal(used(), 0);
			stop();
		}
}

/*
 * Private mappings: a copy is made of what comes in; where there is one, which may be out itself, smaps does not count what
 * is out below it.
 */
static void private_copies(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		struct pf_smaps s;

		start(pf_formats[f], 0, 4);
		map(B, PF_MAP_PRIVATE);
		assert_int_equal(put(B, 7), PF_FAULT_DONE);
		pf_reclaim(&sys, 1u << 20);
		assert_int_equal(swapped(0, 4), 4);
		assert_int_equal(used(), 5);
		assert_true(pf_smaps(&mm, B, &s));
		assert_int_equal(s.swap, 4 * P);
		assert_int_equal(s.swap_pss, P << PF_PSS_SHIFT);
		assert_int_equal(put(B + P, 8), PF_FAULT_DONE);
		finds(B, 7);
		finds(B + 2 * P, 102);
		finds(A, 100);
		finds(A + P, 101);
		assert_int_equal(pf_munmap(&mm, B, 4 * P), 0);
		stop();
	}
}

static void read_error(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		uint64_t value;

		start(pf_formats[f], 2, 16);
		page_out();
		io_error = -PF_EIO;
		assert_int_equal(get(A + P, &value), PF_FAULT_SIGBUS);
		assert_int_equal(put(C + P, 1), PF_FAULT_SIGBUS);
		/* What cannot be read cannot be made zero in part: nothing has changed. */
		assert_int_equal(pf_mapping_truncate(mem, 6 * P + 8), -PF_EIO);
		assert_int_equal(pf_mapping_punch(mem, 2 * P + 8, P), -PF_EIO);
		assert_int_equal(pf_mapping_punch(mem, 2 * P, P + 8), -PF_EIO);
		assert_int_equal(pf_swapoff(&sys, 0), -PF_EIO);
		assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_WILLNEED), 0);
		assert_int_equal(swapped(0, 16), 16);
		check("errors");
		/* Whole pages need not be read. */
		assert_int_equal(pf_mapping_punch(mem, 2 * P, P), 0);
		assert_int_equal(pf_mapping_truncate(mem, 10 * P), 0);
		assert_int_equal(used(), 9);
		io_error = 0;
		for (unsigned i = 0; i < 10; i++)
			finds(A + i * P, i == 2 ? 0 : 100 + i);
		stop();
	}
}

static void write_error(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		start(pf_formats[f], 2, 8);
		io_error = -PF_EIO;
		page_out();
		assert_true(writes > 0);
		assert_int_equal(swapped(0, 8), 0);
		assert_int_equal(used(), 0);
		io_error = 0;
		page_out();
		assert_int_equal(swapped(0, 8), 8);
		for (unsigned i = 0; i < 8; i++)
			finds(A + i * P, 100 + i);
		stop();
	}
}

/* Where there is no room it stays, mapped as it was. */
static void no_room(void **state)
{
	(void)state;
	start(pf_formats[0], 4, 16);
	pf_swap_set_off(sys.swaps.dev[0], true);
	page_out();
	assert_int_equal(pf_madvise(&mm, A, 16 * P, PF_MADV_PAGEOUT), 0);
	assert_true(pf_pte_present(entry(A)));
	assert_int_equal(writes, 0);
	pf_swap_set_off(sys.swaps.dev[0], false);
	page_out();
	assert_int_equal(swapped(0, 16), 16);
	stop();
}

/* The word in the middle of a page, past its first. */
static uint64_t *middle(unsigned page)
{
	finds(A + page * P, 100 + page);
	return (uint64_t *)((char *)pf_port_virt(pf_pte_pfn(entry(A + page * P)) * P) + P / 2);
}

/* Cut off while it is out: whole pages give their slots back unread, of the last one the rest is zeros when the end moves on. */
static void cut(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned order = 0; order <= 4; order += 2) {
			start(pf_formats[f], order, 16);
			*middle(6) = 77;
			page_out();
			assert_int_equal(pf_mapping_truncate(mem, 6 * P + 8), 0);
			assert_int_equal(reads, 1);
			assert_int_equal(used(), 6);
			check("cut");
			assert_int_equal(pf_mapping_truncate(mem, 16 * P), 0);
			assert_int_equal(*middle(6), 0);
			for (unsigned i = 0; i < 16; i++)
				finds(A + i * P, i <= 6 ? 100 + i : 0);
			stop();
		}
}

/* Of more than 64 pages, whose slots in the tree are for 64 each: cut anywhere, and holes with ends anywhere. */
static void cut_large(void **state)
{
	static const struct {
		uint64_t from, to; /* bytes */
	} hole[] = {{70 * P, 80 * P}, {64 * P, 128 * P}, {60 * P, 70 * P}, {3 * P + 8, 130 * P + 8},
		{127 * P, 129 * P}, {63 * P, 64 * P}, {64 * P + 8, 64 * P + 16}};

	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned h = 0; h < PF_ARRAY_SIZE(hole); h++) {
			const uint64_t from = hole[h].from, to = hole[h].to;

			start(pf_formats[f], 7, 256);
			page_out();
			assert_int_equal(writes, 2);
			assert_int_equal(pf_mapping_punch(mem, from, to - from), 0);
			check("punched");
			assert_true(reads <= 2);
			/* One page of another slot, and a store to it. */
			assert_int_equal(put(A + 200 * P, 300), PF_FAULT_DONE);
			for (unsigned i = 0; i < 256; i++) {
				const bool gone = i * P >= from && i * P < to;

				finds(A + i * P, gone ? 0 : i == 200 ? 300 : 100 + i);
			}
			assert_int_equal(used(), 0);
			page_out();
			assert_int_equal(pf_mapping_truncate(mem, 190 * P), 0);
			assert_true(used() <= 190);
			finds(A + 189 * P, 289);
			stop();
		}
}

/* Every allocation of a cut fails once: then nothing has changed. */
static void cut_without_memory(void **state)
{
	uint64_t first, last;

	(void)state;
	fail_at = 0;
	start(pf_formats[0], 7, 256);
	page_out();
	first = machine_counters.allocs + 1;
	assert_int_equal(pf_mapping_punch(mem, 3 * P + 8, 130 * P), 0);
	last = machine_counters.allocs;
	stop();
	assert_true(last > first);
	for (uint64_t k = first; k <= last; k++) {
		fail_at = k;
		start(pf_formats[0], 7, 256);
		page_out();
		assert_int_equal(pf_mapping_punch(mem, 3 * P + 8, 130 * P), -PF_ENOMEM);
		check("no memory");
		for (unsigned i = 0; i < 256; i++)
			finds(A + i * P, 100 + i);
		assert_int_equal(pf_mapping_punch(mem, 3 * P + 8, 130 * P), 0);
		finds(A + 4 * P, 0);
		finds(A + 3 * P, 103);
		stop();
	}
	fail_at = 0;
}

/* ---- meanwhile: while it is written ---- */

static void store_now(void)
{
	assert_int_equal(put(A + P, 78), PF_FAULT_DONE);
}

static void store_and_drop_now(void)
{
	store_now();
	assert_int_equal(pf_madvise(&mm, A, pages * P, PF_MADV_DONTNEED), 0);
}

/* B34: who stores to it while it is written keeps it in memory, mapped still or not. */
static void stored_beside_write(void **state)
{
	void (*const now[])(void) = {store_now, store_and_drop_now};

	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned how = 0; how < 2; how++) {
			start(pf_formats[f], 0, 2);
			finds(A, 100);
			assert_int_equal(pf_madvise(&mm, C, 2 * P, PF_MADV_DONTNEED), 0);
			assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_DONTNEED), 0);
			meanwhile = now[how];
			assert_int_equal(pf_madvise(&mm, A + P, P, PF_MADV_PAGEOUT), 0);
			assert_null(meanwhile);
			assert_true(pf_mapping_cached(mem, 1));
			assert_int_equal(used(), 0);
			check("stored");
			page_out();
			finds(A + P, 78);
			stop();
		}
}

/* ---- two at a time ---- */

/* Not more than once round when all have gone. */
static void reclaim_all(void)
{
	pf_reclaim(&sys, pages);
}

static void page_out_here(void)
{
	assert_int_equal(pf_madvise(&mm, A, pages * P, PF_MADV_PAGEOUT), 0);
}

static void store_one(void)
{
	assert_int_equal(put(A + P, 78), PF_FAULT_DONE);
}

static void store_elsewhere_and_drop(void)
{
	assert_int_equal(put(C + P, 78), PF_FAULT_DONE);
	assert_int_equal(pf_madvise(&mm, C, pages * P, PF_MADV_DONTNEED), 0);
}

static void store_and_send_out(void)
{
	assert_int_equal(put(C + P, 78), PF_FAULT_DONE);
	pf_reclaim(&sys, pages);
}

static void load_one(void)
{
	finds(C + P, 101);
}

static void load_any(void)
{
	uint64_t value;

	get(A + P, &value);
}

static void willneed(void)
{
	assert_int_equal(pf_madvise(&mm, A, pages * P, PF_MADV_WILLNEED), 0);
}

static void punch_one(void)
{
	assert_int_equal(pf_mapping_punch(mem, P, P), 0);
}

static void punch_middle(void)
{
	assert_int_equal(pf_mapping_punch(mem, P, 16), 0);
}

static void cut_rest(void)
{
	assert_int_equal(pf_mapping_truncate(mem, P), 0);
}

static void lock_all(void)
{
	assert_int_equal(pf_mlock(&mm, A, pages * P), 0);
}

static void migrate_all(void)
{
	const int err = pf_migrate(&mm, A, pages * P);

	assert_true(!err || err == -PF_EAGAIN);
}

/* In place of failing: it moves, or somebody is at it. */
static void offline_one(void)
{
	const int err = pf_madvise(&mm, A + P, P, PF_MADV_SOFT_OFFLINE);

	assert_true(!err || err == -PF_EBUSY || err == -PF_EOPNOTSUPP);
}

static void drop_all(void)
{
	assert_int_equal(pf_madvise(&mm, A, pages * P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_madvise(&mm, C, pages * P, PF_MADV_DONTNEED), 0);
}

static void swap_off(void)
{
	assert_int_equal(pf_swapoff(&sys, 0), 0);
}

/* The hand is before the pages, which nobody uses: reclaim does no more than it must, and has fewer moments. */
static void hand_to_them(void)
{
	sys.hand = phys.nr;
	for (unsigned i = 0; i < pages; i++)
		if (pf_pte_present(entry(A + i * P)))
			sys.hand = pf_min(sys.hand, pf_pte_pfn(entry(A + i * P)) - phys.first);
	sys.hand %= phys.nr;
	pf_sample_mkold(&mm, A, pages);
	pf_sample_mkold(&mm, C, pages);
}

/* Pages of folios of 2^order, mapped twice or out, and page 1 comes to this in the end. */
static void comes_to(void (*a)(void), void (*b)(void), bool out, unsigned order, uint64_t value)
{
	/* A sweep has many, and most of them are between two frames. */
	const unsigned step = a == reclaim_all ? 8 : 1;

	for (unsigned f = 0; pf_formats[f]; f++) {
		bool again = true;

		/* Formats have much the same moments, and share them out. */
		for (unsigned k = f * step; again; k += 4 * step) {
			start(pf_formats[f], order, 4);
			finds(C + P, 101);
			if (out)
				page_out();
			hand_to_them();
			again = together(a, b, k);
			check("both");
			finds(A + P, value);
			finds(C + P, value);
			page_out();
			finds(A + P, value);
			stop();
		}
	}
}

#define TOGETHER(name, a, b, out, value)                                                           \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		comes_to(a, b, out, 0, value);                                                     \
		comes_to(a, b, out, 2, value);                                                     \
		comes_to(b, a, out, 0, value);                                                     \
	}

TOGETHER(reclaimed_and_stored, reclaim_all, store_one, false, 78)
TOGETHER(reclaimed_and_stored_elsewhere, reclaim_all, store_elsewhere_and_drop, false, 78)
TOGETHER(paged_out_and_stored, page_out_here, store_elsewhere_and_drop, false, 78)
TOGETHER(reclaimed_and_punched, reclaim_all, punch_one, false, 0)
TOGETHER(reclaimed_and_punched_in_part, reclaim_all, punch_middle, true, 0)
TOGETHER(reclaimed_and_moved, reclaim_all, migrate_all, false, 101)
TOGETHER(reclaimed_twice, reclaim_all, page_out_here, false, 101)
TOGETHER(both_load, load_one, load_one, true, 101)
TOGETHER(loaded_and_stored, load_any, store_elsewhere_and_drop, true, 78)
TOGETHER(loaded_and_stored_and_out, load_any, store_and_send_out, true, 78)
TOGETHER(loaded_and_punched, load_any, punch_one, true, 0)
TOGETHER(ahead_and_stored, willneed, store_and_send_out, true, 78)
TOGETHER(reclaimed_and_loaded, reclaim_all, load_one, false, 101)

TOGETHER(offlined_and_stored, offline_one, store_elsewhere_and_drop, false, 78)
TOGETHER(offlined_and_dropped, offline_one, drop_all, false, 101)
TOGETHER(offlined_and_punched, offline_one, punch_one, false, 0)

/* What is cut off stays away, whoever is at it. */
static void cut_meanwhile(void **state)
{
	void (*const beside[])(void) = {reclaim_all, load_any, willneed};

	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned i = 0; i < 6; i++) {
			bool again = true;

			for (unsigned k = f; again; k += 4) {
				void (*const other_one)(void) = beside[i % 3];
				uint64_t value;

				start(pf_formats[f], 2, 4);
				if (i % 3)
					page_out();
				hand_to_them();
				again = i < 3 ? together(cut_rest, other_one, k)
					      : together(other_one, cut_rest, k);
				check("cut");
				assert_int_equal(get(A + P, &value), PF_FAULT_SIGBUS);
				finds(A, 100);
				assert_int_equal(pf_mapping_truncate(mem, 4 * P), 0);
				finds(C + P, 0);
				stop();
			}
		}
}

/* Locked while it goes: there when the call returns. */
static void locked_meanwhile(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		bool again = true;

		for (unsigned k = f; again; k += 4) {
			start(pf_formats[f], 0, 4);
			hand_to_them();
			again = together(reclaim_all, lock_all, k);
			for (unsigned i = 0; i < 4; i++)
				assert_true(pf_pte_present(entry(A + i * P)));
			check("locked");
			stop();
		}
	}
}

/* The device goes: whoever has begun to read from it ends first. */
static void off_meanwhile(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		bool again = true;

		for (unsigned k = f; again; k += 4) {
			start(pf_formats[f], k % 8 < 4 ? 0 : 2, 4);
			page_out();
			/* Either may be in the middle of it when the other comes. */
			again = k % 16 < 8 ? together(swap_off, load_one, k)
					   : together(load_one, swap_off, k);
			world_judge("off");
			assert_null(sys.swaps.dev[0]);
			assert_int_equal(mem->nr_swapped, 0);
			for (unsigned i = 0; i < 4; i++)
				finds(A + i * P, 100 + i);
			pf_mapping_put(mem);
			world_exit(2);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_and_comes),
		cmocka_unit_test(private_copies),
		cmocka_unit_test(read_error),
		cmocka_unit_test(write_error),
		cmocka_unit_test(no_room),
		cmocka_unit_test(cut),
		cmocka_unit_test(cut_large),
		cmocka_unit_test(cut_without_memory),
		cmocka_unit_test(stored_beside_write),
		cmocka_unit_test(reclaimed_and_stored),
		cmocka_unit_test(reclaimed_and_stored_elsewhere),
		cmocka_unit_test(paged_out_and_stored),
		cmocka_unit_test(reclaimed_and_punched),
		cmocka_unit_test(reclaimed_and_punched_in_part),
		cmocka_unit_test(reclaimed_and_moved),
		cmocka_unit_test(reclaimed_twice),
		cmocka_unit_test(both_load),
		cmocka_unit_test(loaded_and_stored),
		cmocka_unit_test(loaded_and_stored_and_out),
		cmocka_unit_test(loaded_and_punched),
		cmocka_unit_test(ahead_and_stored),
		cmocka_unit_test(reclaimed_and_loaded),
		cmocka_unit_test(offlined_and_stored),
		cmocka_unit_test(offlined_and_dropped),
		cmocka_unit_test(offlined_and_punched),
		cmocka_unit_test(cut_meanwhile),
		cmocka_unit_test(locked_meanwhile),
		cmocka_unit_test(off_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
