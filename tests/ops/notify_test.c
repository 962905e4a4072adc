/* SPDX-License-Identifier: MIT */
/*
 * A device begins to mirror a process, takes a snapshot and makes translations of it, at any one moment of an operation that changes what the
 * process maps; and the other way round.
 */
#define PAGES 4u
#include "family.h"

#include "../mm/mirror.h"
#include "base/err.h"
#include "mm/mapping.h"
#include "mm/migrate.h"
#include "mm/poison.h"

#define WANT (PF_HMM_PFN_REQ_FAULT | PF_HMM_PFN_REQ_WRITE)

static struct mirror mirror;
static bool mirrored;
static struct pf_mapping *file;
static unsigned step = 1; /* of all moments, how many are tried: one of so many */

/* ---- the device ---- */

static void map_all(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		machine_note_store(A + i * P);
	assert_int_equal(mirror_map(&mirror, 0, PAGES, WANT), 0);
}

static void map_first(void)
{
	assert_int_equal(mirror_map(&mirror, 0, 1, 0), 0);
}

static void begin(void)
{
	assert_int_equal(mirror_begin(&mirror, &mm, A, PAGES), 0);
	mirrored = true;
}

static void begin_and_map(void)
{
	begin();
	map_all();
}

static void stop(void)
{
	mirror_stop(&mirror);
	mirrored = false;
}

/* ---- the operations ---- */

static void ok(int err)
{
	if (err && err != -PF_EAGAIN)
		fail_msg("%d", err);
}

static void drop_first(void)
{
	ok(pf_madvise(&mm, A, P, PF_MADV_DONTNEED));
}

static void protect(void)
{
	ok(pf_mprotect(&mm, A, 2 * P, PF_PROT_READ));
	ok(pf_mprotect(&mm, A, 2 * P, RW));
}

static void write_first(void)
{
	assert_int_equal(world_write(A), PF_FAULT_DONE);
}

static void fork_it(void)
{
	ok(fork_child());
}

static void migrate(void)
{
	ok(pf_migrate(&mm, A, P));
}

static void clean(void)
{
	ok(pf_mapping_sync(file, 0, 1));
}

static void truncate(void)
{
	ok(pf_mapping_truncate(file, 2 * P));
	ok(pf_mapping_truncate(file, PAGES * P));
}

static void alone(void)
{
	machine_note_store(A);
	ok(mirror_alone(&mirror, 0));
}

/* ---- before them ---- */

static int read_disk(struct pf_mapping *m, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)m;
	(void)index;
	pf_port_clear_pages(pa, nr * P);
	return 0;
}

static int write_disk(struct pf_mapping *m, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)m;
	(void)index;
	(void)pa;
	(void)nr;
	return 0;
}

static const struct pf_mapping_ops disk = {.read = read_disk, .write = write_disk};

static void of_file(void)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	file = f.mapping = pf_mapping_create(&sys, &disk, NULL, PAGES * P);
	assert_non_null(file);
	assert_true(pf_mmap_file(&mm, A, PAGES * P, RW, PF_MAP_SHARED | PF_MAP_FIXED, &f, 0) ==
		    (int64_t)A);
	pages();
}

static void had(void)
{
	pages();
	begin();
	alone();
}

/* ---- at every moment ---- */

static void end(void)
{
	if (mirrored)
		mirror_check_idle(&mirror, "done");
	world_judge("done");
	if (mirrored) {
		/* What is there it may have. */
		assert_int_equal(mirror_map(&mirror, 0, PAGES, 0), 0);
		mirror_check_idle(&mirror, "mapped again");
		stop();
	}
	child_exits();
	if (file)
		pf_mapping_put(file);
	file = NULL;
	world_exit(2);
}

/* The device is there from the beginning, unless `late`: then one of the two is its beginning. */
static void each_moment(void (*before)(void), void (*a)(void), void (*b)(void), bool late)
{
	const struct world w = {.bytes = UINT64_C(2) << 20, .cpus = 2, .features = ""};

	for (unsigned i = 0; pf_formats[i]; i++) {
		bool more = true;

		for (unsigned at = 0; more; at += step) {
			world_start(pf_formats[i], &w);
			assert_int_equal(pf_mmap(&mm, A, PAGES * P, RW, FIXED), A);
			before();
			if (!late && !mirrored)
				begin();
			more = together(a, b, at);
			end();
		}
	}
}

#define BOTH_WAYS(name, before, op, device, late)                                                  \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		each_moment(before, op, device, late);                                             \
		each_moment(before, device, op, late);                                             \
	}

BOTH_WAYS(dropped, pages, drop_first, map_all, false)
BOTH_WAYS(protected, pages, protect, map_first, false)
BOTH_WAYS(copied, shared, write_first, map_first, false)

/* fork looks at every slot of a table. */
static void forked(void **state)
{
	(void)state;
	step = 13;
	each_moment(pages, fork_it, map_first, false);
	each_moment(pages, map_first, fork_it, false);
	step = 1;
}

BOTH_WAYS(migrated, pages, migrate, map_all, false)
BOTH_WAYS(cleaned, of_file, clean, map_all, false)
BOTH_WAYS(truncated, of_file, truncate, map_first, false)
BOTH_WAYS(taken, pages, alone, write_first, false)
BOTH_WAYS(taken_back, had, drop_first, write_first, false)
BOTH_WAYS(begun_while_migrated, pages, migrate, begin_and_map, true)
BOTH_WAYS(begun_while_cleaned, of_file, clean, begin_and_map, true)
BOTH_WAYS(begun_while_dropped, pages, drop_first, begin_and_map, true)

static void mapped_and_stopped(void **state)
{
	(void)state;
	each_moment(pages, migrate, stop, false);
	each_moment(pages, stop, migrate, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dropped),
		cmocka_unit_test(protected),
		cmocka_unit_test(copied),
		cmocka_unit_test(forked),
		cmocka_unit_test(migrated),
		cmocka_unit_test(cleaned),
		cmocka_unit_test(truncated),
		cmocka_unit_test(taken),
		cmocka_unit_test(taken_back),
		cmocka_unit_test(begun_while_migrated),
		cmocka_unit_test(begun_while_cleaned),
		cmocka_unit_test(begun_while_dropped),
		cmocka_unit_test(mapped_and_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
