/* SPDX-License-Identifier: MIT */
/*
 * The VMA tree against a sorted array: a million random changes and questions, with allocations
 * that fail; then shapes that random ones do not reach.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "mm/vma.h"
#include "port/port.h"

/* Naive: VMAs in address order. */
static struct pf_vma *array[200000];
static unsigned count;
static struct pf_vma_tree tree;
static uint64_t random_state;

static uint64_t rnd(uint64_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (random_state >> 30) % n;
}

/* ---- the array ---- */

static unsigned naive_find(pf_va_t va)
{
	unsigned lo = 0, hi = count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (array[mid]->area.end <= va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool naive_gap(pf_va_t low, pf_va_t high, uint64_t len, bool down, pf_va_t *va)
{
	bool found = false;

	for (unsigned i = 0; i <= count; i++) {
		pf_va_t from = i ? array[i - 1]->area.end : 0;
		pf_va_t to = i < count ? array[i]->area.start : UINT64_MAX;

		from = pf_max(from, low);
		to = pf_min(to, high);
		if (to < from || to - from < len)
			continue;
		*va = down ? to - len : from;
		found = true;
		if (!down)
			break;
	}
	return found;
}

/* ---- both ---- */

static void start(uint64_t seed)
{
	test_port_start(1 << 20, 12);
	random_state = seed;
	count = 0;
	pf_vma_tree_init(&tree);
}

static void stop(void)
{
	for (unsigned i = 0; i < count; i++)
		free(array[i]);
	pf_vma_tree_destroy(&tree);
	assert_int_equal(test_port.meta_live, 0);
	test_port_stop();
}

/* Insert [from, to), if it is free; an allocation may fail. */
static void insert(pf_va_t from, pf_va_t to)
{
	unsigned at = naive_find(from);
	struct pf_vma *vma;

	if (at < count && array[at]->area.start < to)
		return;
	if (pf_vma_tree_reserve(&tree, 1)) {
		assert_int_equal(test_port.fail_at, 0);
		return;
	}
	vma = calloc(1, sizeof(*vma));
	vma->area.start = from;
	vma->area.end = to;
	pf_vma_tree_insert(&tree, vma);
	memmove(&array[at + 1], &array[at], (count - at) * sizeof(array[0]));
	array[at] = vma;
	count++;
}

static void remove_at(unsigned at)
{
	struct pf_vma *vma = array[at];

	pf_vma_tree_remove(&tree, vma);
	count--;
	memmove(&array[at], &array[at + 1], (count - at) * sizeof(array[0]));
	free(vma);
	pf_vma_tree_unreserve(&tree);
}

/* Another range for a VMA, somewhere between its neighbours. */
static void resize(unsigned at)
{
	pf_va_t low = at ? array[at - 1]->area.end : 0;
	pf_va_t high = at + 1 < count ? array[at + 1]->area.start : array[at]->area.end + 64;
	pf_va_t from = low + rnd(high - low), to = from + 1 + rnd(high - from);

	pf_vma_tree_set_range(&tree, array[at], from, to);
}

static void ask(pf_va_t space)
{
	pf_va_t va = rnd(space), low = rnd(space), high = low + rnd(space - low + 1);
	pf_va_t a = 0, b = 0;
	uint64_t len = 1 + rnd(rnd(2) ? 40 : space / 16 + 2);
	unsigned i = naive_find(va), j = i;
	bool x, y;

	assert_ptr_equal(pf_vma_tree_find(&tree, va), i < count ? array[i] : NULL);
	/* The last that starts below va: this one, or the one before it. */
	if (j == count || array[j]->area.start >= va)
		j--;
	assert_ptr_equal(pf_vma_tree_find_below(&tree, va), j < count ? array[j] : NULL);
	if (i < count) {
		assert_ptr_equal(
			pf_vma_tree_next(&tree, array[i]), i + 1 < count ? array[i + 1] : NULL);
		assert_ptr_equal(pf_vma_tree_prev(&tree, array[i]), i ? array[i - 1] : NULL);
	}
	if (rnd(2))
		low = 0, high = space;
	x = naive_gap(low, high, len, true, &a);
	y = pf_vma_tree_gap_down(&tree, low, high, len, &b);
	assert_true(x == y && a == b);
	a = b = 0;
	x = naive_gap(low, high, len, false, &a);
	y = pf_vma_tree_gap_up(&tree, low, high, len, &b);
	assert_true(x == y && a == b);
}

static void check(void)
{
	const char *bad = pf_vma_tree_check(&tree);

	if (bad)
		fail_msg("%s", bad);
}

/* Sizes from a few VMAs to some hundreds: grows while below the target, then shrinks. */
static void random_operations(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		const unsigned target = 4u << round;
		const pf_va_t space = target * UINT64_C(48);

		start(round + 1);
		for (unsigned i = 0; i < 100000; i++) {
			const bool grow = (i / 8192) % 2 == 0 && count < target;

			/* Often the first allocation, sometimes a later one of the call. */
			test_port.fail_at = rnd(6) ? 0 : 1 + rnd(3);
			switch (rnd(8)) {
			case 0:
			case 1:
			case 2: {
				pf_va_t from = rnd(space);

				if (grow || !rnd(4))
					insert(from, from + 1 + rnd(40));
				else if (count)
					remove_at((unsigned)rnd(count));
				break;
			}
			case 3:
				if (count)
					resize((unsigned)rnd(count));
				break;
			default:
				if (round < 7 || !rnd(32))
					ask(space);
			}
			test_port.fail_at = 0;
			if (!(i % 64))
				check();
		}
		check();
		stop();
	}
}

/* Many reserved insertions, with removals between, and no allocation after the reservation. */
static void a_reservation_is_enough(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		unsigned have = (unsigned)rnd(700), n = 1 + (unsigned)rnd(60);
		uint64_t allocs;

		start(round + 1);
		for (unsigned i = 0; i < have; i++)
			insert(i * 100, i * 100 + 10);
		assert_int_equal(pf_vma_tree_reserve(&tree, n), 0);
		allocs = test_port.allocs;
		for (unsigned i = 0; i < n; i++) {
			struct pf_vma *vma = calloc(1, sizeof(*vma));
			pf_va_t va = 20 + (rnd(2) ? i : rnd(have + 1) * 100 + i);
			unsigned at = naive_find(va);

			if (at < count && array[at]->area.start <= va)
				va = UINT64_C(1) << 32 | i << 4, at = naive_find(va);
			vma->area.start = va;
			vma->area.end = va + 1;
			pf_vma_tree_insert(&tree, vma);
			memmove(&array[at + 1], &array[at], (count - at) * sizeof(array[0]));
			array[at] = vma;
			count++;
			if (rnd(2)) {
				unsigned r = (unsigned)rnd(count);

				vma = array[r];
				pf_vma_tree_remove(&tree, vma);
				count--;
				memmove(&array[r], &array[r + 1], (count - r) * sizeof(array[0]));
				free(vma);
			}
			check();
		}
		assert_int_equal(test_port.allocs, allocs);
		stop();
	}
}

/* A hundred thousand, in either direction; the depth stays logarithmic. */
static void many(void **state)
{
	(void)state;
	for (unsigned down = 0; down < 2; down++) {
		const unsigned n = 100000;
		pf_va_t va;

		start(7);
		for (unsigned i = 0; i < n; i++) {
			pf_va_t from = (down ? n - i : i + 1) * UINT64_C(0x3000);
			struct pf_vma *vma = calloc(1, sizeof(*vma));

			vma->area.start = from;
			vma->area.end = from + 0x1000;
			array[down ? n - 1 - i : i] = vma;
			assert_int_equal(pf_vma_tree_reserve(&tree, 1), 0);
			pf_vma_tree_insert(&tree, vma);
			pf_vma_tree_unreserve(&tree);
		}
		count = n;
		check();
		assert_in_range(tree.height, 4, 6);
		assert_true(pf_vma_tree_gap_down(&tree, 0, n * UINT64_C(0x3000), 0x2000, &va));
		assert_int_equal(va, n * UINT64_C(0x3000) - 0x2000);
		assert_true(pf_vma_tree_gap_up(&tree, 0x3000, UINT64_MAX, 0x2000, &va));
		assert_int_equal(va, 0x4000);
		assert_false(pf_vma_tree_gap_up(&tree, 0x3000, n * UINT64_C(0x3000), 0x2001, &va));
		while (count > 3)
			remove_at((unsigned)rnd(count));
		check();
		assert_int_equal(tree.height, 1);
		stop();
	}
}

/* ---- lookups without a lock ---- */

/* Another CPU's turn before each of the lookup's steps: it changes the tree, which by that becomes another, or gets its nodes for other uses. */
static struct {
	unsigned step;  /* before which it changes */
	unsigned taken; /* so far */
	unsigned changes;
} turn;

/* VMAs that were in the tree at some time of the lookup: the memory of all stays. */
static struct pf_vma *gone[4096];
static unsigned nr_gone;

static void other_cpu(void)
{
	void (*step)(void) = test_port.step;

	if (turn.taken++ != turn.step)
		return;
	test_port.step = NULL;
	for (unsigned i = 0; i < turn.changes; i++) {
		const bool grow = rnd(2);

		/* All that there is, or a lot that there was not: leaves become inner nodes, and the other way. */
		if (!grow)
			while (count && nr_gone < PF_ARRAY_SIZE(gone)) {
				const unsigned at = (unsigned)rnd(count);

				gone[nr_gone++] = array[at];
				pf_vma_tree_remove(&tree, array[at]);
				count--;
				memmove(&array[at], &array[at + 1],
					(count - at) * sizeof(array[0]));
			}
		else
			for (unsigned n = 40 + (unsigned)rnd(400); n--;) {
				const pf_va_t va = (UINT64_C(1) << 20) + rnd(1 << 16) * 16;

				insert(va, va + 1 + rnd(15));
			}
	}
	test_port.step = step;
}

static bool was_there(const struct pf_vma *vma)
{
	for (unsigned i = 0; i < count; i++)
		if (array[i] == vma)
			return true;
	for (unsigned i = 0; i < nr_gone; i++)
		if (gone[i] == vma)
			return true;
	return false;
}

/*
 * Whatever happens between two of its steps, the lookup follows no pointer that is none and finds a VMA, the right one if nothing
 * changed, or nothing. The tree's own memory is kept meanwhile, as RCU does.
 */
static void looked_up_beside_changes(void **state)
{
	unsigned found = 0, nothing = 0;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		const pf_va_t va = (UINT64_C(1) << 20) + rnd(1 << 16) * 16;
		struct pf_vma *vma;

		start(round + 1);
		nr_gone = 0;
		for (unsigned n = (unsigned)rnd(600); n--;) {
			const pf_va_t at = (UINT64_C(1) << 20) + rnd(1 << 16) * 16;

			insert(at, at + 1 + rnd(15));
		}
		assert_ptr_equal(pf_vma_tree_find_rcu(&tree, va), pf_vma_tree_find(&tree, va));
		turn.step = (unsigned)rnd(8);
		turn.taken = 0;
		turn.changes = 1 + (unsigned)rnd(4);
		pf_port_rcu_read_lock();
		test_port.step = other_cpu;
		vma = pf_vma_tree_find_rcu(&tree, va);
		test_port.step = NULL;
		if (vma)
			assert_true(was_there(vma));
		if (turn.taken > turn.step)
			*(vma ? &found : &nothing) += 1;
		pf_port_rcu_read_unlock();
		for (unsigned i = 0; i < nr_gone; i++)
			free(gone[i]);
		stop();
	}
	/* What came before the first look at the tree's number is no matter; the rest is noticed. */
	assert_true(found > 100);
	assert_true(nothing > 100);
}

/* Holes at the very top of the address space; nothing wraps. */
static void the_last_address(void **state)
{
	pf_va_t va;

	(void)state;
	start(1);
	assert_true(pf_vma_tree_gap_down(&tree, 0, UINT64_MAX, 1, &va));
	assert_int_equal(va, UINT64_MAX - 1);
	assert_false(pf_vma_tree_gap_down(&tree, 1, 0, 1, &va));
	insert(0, UINT64_C(1) << 63);
	insert(UINT64_MAX - 0x1000, UINT64_MAX);
	check();
	assert_true(pf_vma_tree_gap_down(&tree, 0, UINT64_MAX, 0x1000, &va));
	assert_int_equal(va, UINT64_MAX - 0x2000);
	assert_true(pf_vma_tree_gap_up(&tree, 0, UINT64_MAX, 0x1000, &va));
	assert_int_equal(va, UINT64_C(1) << 63);
	assert_false(pf_vma_tree_gap_up(&tree, 0, UINT64_MAX, UINT64_C(1) << 63, &va));
	assert_null(pf_vma_tree_find(&tree, UINT64_MAX));
	assert_ptr_equal(pf_vma_tree_find(&tree, UINT64_MAX - 1), array[1]);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(a_reservation_is_enough),
		cmocka_unit_test(many),
		cmocka_unit_test(looked_up_beside_changes),
		cmocka_unit_test(the_last_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
