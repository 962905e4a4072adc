/* SPDX-License-Identifier: MIT */
/*
 * How often a gather flushes: never more often than Linux, whose queue takes ten thousand pages and
 * which invalidates the range of one VMA at a time.
 */
#include "world.h"

#include "base/err.h"

#define A UINT64_C(0x10000000)
/* More than any queue takes; Linux's takes 9698 single pages (coremm 7.3). */
#define MANY 12000u

static const struct world single = {.bytes = UINT64_C(64) << 20, .cpus = 1, .features = ""};

/* Pages whose frames do not continue one another, so that each takes a place in the queue. */
static void fill(pf_va_t va, unsigned nr)
{
	assert_int_equal(pf_mmap(&mm, va, nr * P, RW, FIXED), va);
	for (unsigned i = nr; i--;)
		assert_int_equal(world_write(va + i * P), PF_FAULT_DONE);
}

static void scattered_table(void **state)
{
	struct machine_counters before;

	(void)state;
	world_start(pf_formats[0], &single);
	fill(A, 512);
	before = machine_counters;
	assert_int_equal(pf_madvise(&mm, A, 512 * P, PF_MADV_DONTNEED), 0);
	assert_int_equal(machine_counters.tlbi - before.tlbi, 1);
	assert_int_equal(machine_counters.dsb - before.dsb, 2);
	world_judge("dontneed");
	world_exit(1);
}

static void queue_limit(void **state)
{
	struct machine_counters before;

	(void)state;
	world_start(pf_formats[0], &single);
	fill(A, MANY);
	before = machine_counters;
	assert_int_equal(pf_madvise(&mm, A, MANY * P, PF_MADV_DONTNEED), 0);
	/* Once when the queue is full, once at the end. */
	assert_int_equal(machine_counters.dsb - before.dsb, 4);
	world_judge("dontneed");
	world_exit(1);
}

/* No CPU runs in it: many pages cost what one costs, in however many portions they are freed. */
static void exit_once(void **state)
{
	struct machine_counters one, many;

	(void)state;
	world_start(pf_formats[0], &single);
	fill(A, 1);
	one = world_exit(1);
	world_start(pf_formats[0], &single);
	fill(A, MANY);
	many = world_exit(1);
	assert_int_equal(many.tlbi, one.tlbi);
	assert_int_equal(many.dsb, one.dsb);
}

/* The queue cannot grow: it is flushed instead, and nothing is lost. */
static void no_memory(void **state)
{
	struct world w = single;
	struct machine_counters before, after;

	(void)state;
	world_start(pf_formats[0], &w);
	fill(A, 512);
	w.fail_at = machine_counters.allocs + 1;
	world_exit(1);

	world_start(pf_formats[0], &w);
	fill(A, 512);
	before = machine_counters;
	assert_int_equal(pf_madvise(&mm, A, 512 * P, PF_MADV_DONTNEED), 0);
	after = machine_counters;
	world_judge("dontneed");
	world_exit(1);
	assert_int_equal(after.dsb - before.dsb, 4);
}

/* Two pages far from one another, of two VMAs, where every page is an operation of its own. */
static void gap(void **state)
{
	struct world w = single;
	struct machine_counters before;

	(void)state;
	w.features = "no-tlbirange";
	world_start(pf_formats[0], &w);
	fill(A, 1);
	fill(A + 100 * P, 1);
	fill(A + 200 * P, 2);
	assert_int_equal(pf_mprotect(&mm, A + 201 * P, P, PF_PROT_READ), 0);
	fill(A + 300 * P, 1);
	before = machine_counters;
	/* Three pieces: what continues a range belongs to it, in another VMA, too. */
	assert_int_equal(pf_madvise(&mm, A, 202 * P, PF_MADV_DONTNEED), -PF_ENOMEM);
	assert_int_equal(machine_counters.tlbi - before.tlbi, 4);
	assert_int_equal(machine_counters.dsb - before.dsb, 6);
	world_judge("dontneed");
	fill(A, 1);
	fill(A + 100 * P, 1);
	before = machine_counters;
	assert_int_equal(pf_munmap(&mm, A, 202 * P), 0);
	assert_int_equal(machine_counters.tlbi - before.tlbi, 2);
	world_judge("munmap");
	/* The last page takes the table with it. */
	before = machine_counters;
	assert_int_equal(pf_munmap(&mm, A, 301 * P), 0);
	assert_true(machine_counters.tlbi - before.tlbi <= 2);
	world_judge("munmap");
	world_exit(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scattered_table),
		cmocka_unit_test(queue_limit),
		cmocka_unit_test(exit_once),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
