/* SPDX-License-Identifier: MIT */
/*
 * Two calls on one address space, by two CPUs, under the judge: whatever the moment, both find their pages, none is lost.
 */
#include "family.h"

#include "mm/device.h"
#include "mm/ksm.h"
#include "mm/migrate.h"
#include "mm/rmap.h"

#define FAR UINT64_C(0x20003000)

/* ---- the calls ---- */

static enum pf_fault_result result[2];

static void write_first_page(void)
{
	result[in_other] = world_write(A);
}

static void write_last_page(void)
{
	result[in_other] = world_write(A + (PAGES - 1) * P);
}

static void read_first_page(void)
{
	result[in_other] = pf_handle_mm_fault(&mm, A, 0);
}

static void drop_all(void)
{
	if (pf_madvise(&mm, A, PAGES * P, PF_MADV_DONTNEED))
		result[in_other] = PF_FAULT_SIGBUS;
}

/* ---- what there is before ---- */

static pf_pfn_t counted;

/* The tables are there: how they are made by two is tests/pt's. */
static void nothing(void)
{
	assert_int_equal(world_write(A), PF_FAULT_DONE);
	assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_DONTNEED), 0);
}

static void zeros(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(pf_handle_mm_fault(&mm, A + i * P, 0), PF_FAULT_DONE);
}

static void fork_it(void)
{
	if (fork_child())
		result[in_other] = PF_FAULT_OOM;
}

/* The page is there and was written, so that nothing but the folio's way is asked for. */
static void migrate_all(void)
{
	int err = pf_migrate(&mm, A, PAGES * P);

	if (err && err != -PF_EAGAIN)
		result[in_other] = PF_FAULT_OOM;
}

static void split_first(void)
{
	int err = pf_split(&mm, A);

	if (err && err != -PF_EAGAIN && err != -PF_EINVAL)
		result[in_other] = PF_FAULT_OOM;
}

static void protect_and_back(void)
{
	if (pf_mprotect(&mm, A + P, 3 * P, PF_PROT_READ) || pf_mprotect(&mm, A + P, 3 * P, RW))
		result[in_other] = PF_FAULT_OOM;
}

static void move_and_back(void)
{
	const unsigned to = PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED;

	if (pf_mremap(&mm, A, PAGES * P, PAGES * P, to, FAR) < 0 ||
		pf_mremap(&mm, FAR, PAGES * P, PAGES * P, to, A) < 0)
		result[in_other] = PF_FAULT_OOM;
}

/* The range stays, empty. */
static void move_away(void)
{
	const unsigned how = PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED | PF_MREMAP_DONTUNMAP;

	if (pf_mremap(&mm, A, PAGES * P, PAGES * P, how, FAR) < 0)
		result[in_other] = PF_FAULT_OOM;
}

/* A walk finds every mapping once, wherever it goes meanwhile. */
static void count(void)
{
	struct pf_folio *folio = pf_folio_try_get_page(&phys, counted);

	if (!folio || pf_folio_count_mapped(&sys, folio) != PAGES)
		result[in_other] = PF_FAULT_SIGBUS;
	if (folio)
		pf_folio_put(&phys, folio, 1);
}

static pf_pte_t first_entry(void)
{
	struct pf_page_info info;

	pf_page_info(&mm, A, &info);
	return info.pte;
}

/* A device has the first page to itself while the folio is locked, unless the page goes. */
static void take_first(void)
{
	struct pf_folio *folio;
	pf_pfn_t pfn;
	pf_pte_t pte;

	machine_note_store(A);
	if (pf_make_device_exclusive(&mm, A, NULL, &folio, &pfn)) {
		result[in_other] = PF_FAULT_OOM;
		return;
	}
	pte = first_entry();
	if (pf_pte_kind(pte) != PF_PTE_DEVICE_EXCLUSIVE && !pf_pte_none(pte) &&
		pf_pte_pfn(pte) == pfn)
		result[in_other] = PF_FAULT_SIGBUS;
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, 1);
}

/* It may be elsewhere at the moment, and the VMA, too. */
static void take_first_or_not(void)
{
	const enum pf_fault_result before = result[in_other];

	take_first();
	if (result[in_other] == PF_FAULT_OOM)
		result[in_other] = before;
}

static void taken(void)
{
	pages();
	take_first();
	assert_int_equal(pf_pte_kind(first_entry()), PF_PTE_DEVICE_EXCLUSIVE);
}

/* Who has the folio locked keeps it from being forked. */
static void fork_if_possible(void)
{
	int err = fork_child();

	if (err && err != -PF_ENOMEM)
		result[in_other] = PF_FAULT_OOM;
	if (err)
		machine_retire_asid(CHILD);
}

static void to_count(void)
{
	struct pf_page_info info;

	pages();
	pf_page_info(&mm, A, &info);
	counted = pf_pte_pfn(info.pte);
}

static void used(pf_va_t va)
{
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		machine_run_on(cpu);
		while (machine_store(va, cpu + 1).fault)
			assert_int_equal(world_write(va), PF_FAULT_DONE);
	}
	machine_run_on(0);
}

/* From every `stride`-th moment on: 1, but for calls that have thousands. */
static void any_moment(
	void (*before)(void), void (*a)(void), void (*b)(void), unsigned order, unsigned stride)
{
	static const char *const features[] = {"", "no-haf"};
	unsigned moments = 0;
	bool again;

	for (unsigned f = 0; pf_formats[f]; f++) {
		/* Where an entry is two words there are more moments, and they differ less. */
		const unsigned step = stride * (strcmp(pf_formats[f]->pt->name, "fake-2w") ? 1 : 3);

		for (unsigned k = 0;; k += step) {
			struct world w = {.bytes = UINT64_C(8) << 20,
				.cpus = 2,
				.features = strncmp(pf_formats[f]->pt->name, "arm", 3)
						    ? ""
						    : features[k % 2],
				.order = order};

			world_start(pf_formats[f], &w);
			assert_int_equal(pf_mmap(&mm, A, PAGES * P, RW, FIXED), A);
			before();
			result[0] = result[1] = PF_FAULT_DONE;
			again = together(a, b, k);
			assert_int_equal(result[0], PF_FAULT_DONE);
			assert_int_equal(result[1], PF_FAULT_DONE);
			world_judge("both");
			used(A);
			used(A + (PAGES - 1) * P);
			world_judge("stores");
			child_exits();
			world_exit(2);
			if (!again)
				break;
			moments++;
		}
	}
	assert_true(moments > 40);
}

#define EVERY(stride, name, before, a, b, order)                                                   \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		any_moment(before, a, b, order, stride);                                           \
	}
#define PAIR(...) EVERY(1, __VA_ARGS__)

PAIR(both_bring_a_page, nothing, write_first_page, write_first_page, 0)
PAIR(both_bring_a_folio, nothing, write_first_page, write_last_page, 4)
PAIR(both_copy_zeros, zeros, write_first_page, write_first_page, 0)
PAIR(both_copy_a_page, shared, write_first_page, write_first_page, 0)
PAIR(both_copy_of_a_folio, shared, write_first_page, write_last_page, 4)
PAIR(copied_and_dropped, shared, write_first_page, drop_all, 4)
PAIR(brought_and_dropped, nothing, write_first_page, drop_all, 4)
PAIR(dropped_and_brought, pages, drop_all, write_first_page, 4)
PAIR(dropped_and_read, pages, drop_all, read_first_page, 4)
PAIR(both_drop, pages, drop_all, drop_all, 4)
EVERY(7, migrated_and_written, pages, migrate_all, write_first_page, 4)
EVERY(7, migrated_and_dropped, pages, migrate_all, drop_all, 4)
EVERY(7, migrated_and_forked, pages, migrate_all, fork_it, 4)
EVERY(7, migrated_and_protected, pages, migrate_all, protect_and_back, 4)
EVERY(7, migrated_and_moved, pages, migrate_all, move_and_back, 4)
PAIR(copied_and_migrated, shared, write_first_page, migrate_all, 4)
EVERY(7, split_and_written, pages, split_first, write_first_page, 4)
EVERY(7, split_and_forked, pages, split_first, fork_it, 4)
PAIR(looked_for_and_moved, to_count, count, move_away, 4)

EVERY(3, taken_and_written, pages, take_first, write_first_page, 4)
EVERY(3, taken_and_dropped, pages, take_first, drop_all, 4)
EVERY(3, taken_and_forked, pages, take_first, fork_if_possible, 4)
EVERY(3, taken_when_shared, shared, take_first, write_first_page, 4)
EVERY(3, both_take, pages, take_first, take_first, 4)
EVERY(11, migrated_and_taken, pages, migrate_all, take_first, 4)
EVERY(19, moved_and_taken, pages, move_and_back, take_first_or_not, 4)
EVERY(3, had_and_dropped, taken, drop_all, read_first_page, 4)
EVERY(3, had_and_read, taken, read_first_page, write_first_page, 4)
EVERY(7, had_and_migrated, taken, migrate_all, read_first_page, 4)
EVERY(11, had_and_forked, taken, fork_if_possible, migrate_all, 4)

/*
 * Folio locks are waited for with a mmap lock held; so KSM, with two of them, waits for none: here somebody has it from when the
 * first is locked.
 */
static bool held;

static void hold_mmap_lock(void *ctx, bool blocked)
{
	struct pf_folio *folio = ctx;

	if (blocked)
		fail_msg("waits with folios locked");
	if (held || !pf_folio_test_flags(folio, PF_FOLIO_LOCKED))
		return;
	held = true;
	machine_run_on(1);
	pf_port_rw_write_lock(&mm.mmap_lock, PF_LOCK_MMAP);
	machine_run_on(0);
}

static void ksm_does_not_wait(void **state)
{
	struct world w = {.bytes = UINT64_C(8) << 20, .cpus = 2, .features = ""};

	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		world_start(pf_formats[f], &w);
		assert_int_equal(pf_mmap(&mm, A, PAGES * P, RW, FIXED), A);
		assert_int_equal(pf_madvise(&mm, A, PAGES * P, PF_MADV_MERGEABLE), 0);
		pages();
		held = false;
		machine_set_schedule(
			hold_mmap_lock, pf_page_folio(&phys, pf_pte_pfn(first_entry())));
		assert_int_equal(pf_ksm_merge(&mm, A, &mm, A + P), -PF_EAGAIN);
		machine_set_schedule(NULL, NULL);
		assert_true(held);
		machine_run_on(1);
		pf_port_rw_write_unlock(&mm.mmap_lock, PF_LOCK_MMAP);
		machine_run_on(0);
		assert_int_equal(pf_ksm_merge(&mm, A, &mm, A + P), 0);
		world_judge("merged");
		world_exit(2);
	}
}

/*
 * Another CPU has made a page writable, and this one's TLB does not know: it faults, finds nothing to do, forgets, and then
 * the store is done.
 */
static void spurious_once(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		struct world w = {
			.bytes = UINT64_C(8) << 20, .cpus = 2, .features = "", .order = 4};

		world_start(pf_formats[f], &w);
		assert_int_equal(pf_mmap(&mm, A, PAGES * P, RW, FIXED), A);
		for (unsigned k = 0; k < 60; k++) {
			uint64_t faults = 0, value;

			shared();
			child_exits();
			while (machine_load(A + k % PAGES * P, &value).fault)
				assert_int_equal(pf_handle_mm_fault(&mm, A + k % PAGES * P, 0),
					PF_FAULT_DONE);
			machine_run_on(1);
			assert_int_equal(world_write(A + k % PAGES * P), PF_FAULT_DONE);
			machine_run_on(0);
			for (; machine_store(A + k % PAGES * P, k).fault; faults++)
				assert_int_equal(world_write(A + k % PAGES * P), PF_FAULT_DONE);
			assert_true(faults <= 1);
			world_judge("the store");
		}
		assert_true(pf_space_stats(&mm.space).spurious_fault > 0);
		world_exit(2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_bring_a_page),
		cmocka_unit_test(both_bring_a_folio),
		cmocka_unit_test(both_copy_zeros),
		cmocka_unit_test(both_copy_a_page),
		cmocka_unit_test(both_copy_of_a_folio),
		cmocka_unit_test(copied_and_dropped),
		cmocka_unit_test(brought_and_dropped),
		cmocka_unit_test(dropped_and_brought),
		cmocka_unit_test(dropped_and_read),
		cmocka_unit_test(both_drop),
		cmocka_unit_test(migrated_and_written),
		cmocka_unit_test(migrated_and_dropped),
		cmocka_unit_test(migrated_and_forked),
		cmocka_unit_test(migrated_and_protected),
		cmocka_unit_test(migrated_and_moved),
		cmocka_unit_test(copied_and_migrated),
		cmocka_unit_test(split_and_written),
		cmocka_unit_test(split_and_forked),
		cmocka_unit_test(looked_for_and_moved),
		cmocka_unit_test(taken_and_written),
		cmocka_unit_test(taken_and_dropped),
		cmocka_unit_test(taken_and_forked),
		cmocka_unit_test(taken_when_shared),
		cmocka_unit_test(both_take),
		cmocka_unit_test(migrated_and_taken),
		cmocka_unit_test(moved_and_taken),
		cmocka_unit_test(had_and_dropped),
		cmocka_unit_test(had_and_read),
		cmocka_unit_test(had_and_migrated),
		cmocka_unit_test(had_and_forked),
		cmocka_unit_test(ksm_does_not_wait),
		cmocka_unit_test(spurious_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
