/* SPDX-License-Identifier: MIT */
/*
 * Interval notifiers, step by step: the sequence, what is put off and what is waited for.
 */
#include "subscribers.h"

static void retry(void **state)
{
	uint64_t seq;

	(void)state;
	insert(0, 0, 4 * P);
	insert(1, 4 * P, 8 * P);
	seq = pf_mmu_interval_read_begin(&iv[0].sub);
	assert_false(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	/* What does not meet it does not matter, whatever else is told. */
	start(&range, 4 * P, 8 * P);
	assert_false(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	assert_int_equal(pf_mmu_interval_read_begin(&iv[0].sub), seq);
	end(&range);
	assert_false(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	start(&range, 3 * P, 4 * P);
	assert_true(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	assert_true(pf_mmu_interval_check_retry(&iv[0].sub, seq));
	end(&range);
	assert_true(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	seq = pf_mmu_interval_read_begin(&iv[0].sub);
	assert_false(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	/* In every later one the number is another. */
	for (unsigned i = 0; i < 3; i++) {
		start(&range, 0, P);
		assert_true(pf_mmu_interval_read_retry(&iv[0].sub, seq));
		end(&range);
	}
	remove_interval(0);
	remove_interval(1);
}

/* read_begin waits for the end of the last range that is being invalidated. */
static void read_waits(void **state)
{
	uint64_t seq;

	(void)state;
	insert(0, 0, 4 * P);
	start(&range, 0, P);
	test_port.relax = end_range;
	seq = pf_mmu_interval_read_begin(&iv[0].sub);
	assert_int_equal(waits, 1);
	assert_false(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	/* Two: also for one that has nothing to do with it, as long as the first lasts. */
	start(&range, 0, P);
	start(&other, 8 * P, 9 * P);
	end(&range);
	start(&range, 8 * P, 9 * P);
	end(&other);
	seq = pf_mmu_interval_read_begin(&iv[0].sub);
	assert_int_equal(waits, 2);
	assert_false(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	remove_interval(0);
}

/* The driver has not come to leaving its number yet: read_begin sees the old one, and read_retry the difference. */
static uint64_t seq_inside;

static void read_inside(void)
{
	in_callback = NULL;
	seq_inside = pf_mmu_interval_read_begin(&iv[1].sub);
}

static void read_before_set(void **state)
{
	(void)state;
	insert(0, 0, P);
	insert(1, 0, P);
	in_callback = read_inside;
	/* 0 comes first, and 1 is read about in its callback. */
	start(&range, 0, P);
	told("i0i1");
	assert_true(pf_mmu_interval_read_retry(&iv[1].sub, seq_inside));
	end(&range);
	assert_true(pf_mmu_interval_read_retry(&iv[1].sub, seq_inside));
	remove_interval(0);
	remove_interval(1);
}

/* Partly excluded: it comes in at once; what has begun it was not told of, and waits for. */
static void inserted_meanwhile(void **state)
{
	uint64_t seq;

	(void)state;
	start(&range, 0, P);
	insert(0, 0, P);
	told("");
	start(&other, 0, P);
	told("i0");
	end(&other);
	test_port.relax = end_range;
	seq = pf_mmu_interval_read_begin(&iv[0].sub);
	assert_int_equal(waits, 1);
	assert_false(pf_mmu_interval_read_retry(&iv[0].sub, seq));
	remove_interval(0);
}

static void insert_inside(void)
{
	in_callback = NULL;
	insert(1, 0, 2 * P);
}

/* Fully excluded: put off until the last end, and so is reading. */
static void inserted_late(void **state)
{
	uint64_t seq;

	(void)state;
	insert(0, 0, P);
	in_callback = insert_inside;
	start(&range, 0, 2 * P);
	told("i0");
	/* It is not there yet; it will wait for this one, too. */
	start(&other, P, 2 * P);
	told("");
	end(&other);
	test_port.relax = end_range;
	seq = pf_mmu_interval_read_begin(&iv[1].sub);
	assert_int_equal(waits, 1);
	assert_false(pf_mmu_interval_read_retry(&iv[1].sub, seq));
	start(&range, P, 2 * P);
	told("i1");
	assert_true(pf_mmu_interval_read_retry(&iv[1].sub, seq));
	/* Before it has come in it can go. */
	insert(2, 0, P);
	remove_interval(2);
	insert(2, 4 * P, 5 * P);
	end(&range);
	start(&range, 4 * P, 5 * P);
	told("i2");
	end(&range);
	for (unsigned i = 0; i < 3; i++)
		remove_interval(i);
}

static void remove_inside(void)
{
	waits++;
	/* Still in the tree, so that who walks it does not fall; still told. */
	start(&other, 0, P);
	end(&other);
	told("i0i1");
	end(&range);
}

/* Fully excluded: remove waits, and is told until then. */
static void removed_late(void **state)
{
	(void)state;
	insert(0, 0, P);
	insert(1, 0, P);
	start(&range, 0, P);
	told("i0i1");
	test_port.relax = remove_inside;
	remove_interval(0);
	assert_int_equal(waits, 1);
	test_port.relax = for_ever;
	start(&range, 0, P);
	told("i1");
	end(&range);
	/* Partly excluded it goes at once. */
	start(&range, 8 * P, 9 * P);
	remove_interval(1);
	end(&range);
	start(&range, 0, P);
	told("");
	end(&range);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(retry),
		T(read_waits),
		T(read_before_set),
		T(inserted_meanwhile),
		T(inserted_late),
		T(removed_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
