/* SPDX-License-Identifier: MIT */
/* base/itree.h against a list that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/itree.h"

#define MAX 400u

struct item {
	struct pf_inode node;
	uint64_t start, last, arrival;
	bool in;
};

static struct item items[MAX];
static uint64_t seed, arrivals;

static uint64_t rnd(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % n;
}

static bool before(const struct item *a, const struct item *b)
{
	return a->start != b->start ? a->start < b->start : a->arrival < b->arrival;
}

/* The first after `from` (NULL: of all) that meets the range. */
static struct item *plain_next(const struct item *from, uint64_t start, uint64_t last)
{
	struct item *best = NULL;

	for (unsigned i = 0; i < MAX; i++) {
		struct item *it = &items[i];

		if (it->in && it->start <= last && it->last >= start &&
			(!from || before(from, it)) && (!best || before(it, best)))
			best = it;
	}
	return best;
}

static unsigned check_node(const struct pf_inode *n)
{
	unsigned l, r;
	uint64_t max;

	if (!n)
		return 0;
	max = n->last;
	if (n->left) {
		assert_ptr_equal(n->left->parent, n);
		assert_true(n->left->prio <= n->prio);
		max = pf_max(max, n->left->max);
	}
	if (n->right) {
		assert_ptr_equal(n->right->parent, n);
		assert_true(n->right->prio <= n->prio);
		max = pf_max(max, n->right->max);
	}
	assert_int_equal(n->max, max);
	l = check_node(n->left);
	r = check_node(n->right);
	return 1 + (l > r ? l : r);
}

static void check_query(const struct pf_itree *t, uint64_t start, uint64_t last)
{
	struct pf_inode *n = pf_itree_first(t, start, last);
	struct item *it = plain_next(NULL, start, last);

	for (; it; it = plain_next(it, start, last)) {
		assert_non_null(n);
		assert_ptr_equal(PF_CONTAINER_OF(n, struct item, node), it);
		n = pf_itree_next(n, start, last);
	}
	assert_null(n);
}

static void toggle(struct pf_itree *t, struct item *it, uint64_t span)
{
	if (it->in) {
		pf_itree_remove(t, &it->node);
	} else {
		it->start = rnd(span);
		it->last = it->start + rnd(rnd(4) ? 8 : span);
		it->arrival = ++arrivals;
		pf_itree_insert(t, &it->node, it->start, it->last);
	}
	it->in = !it->in;
}

static void random_sets(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct pf_itree t = {0};
		/* From many that start together to none that do. */
		uint64_t span = UINT64_C(2) << (2 * (round % 10));

		for (unsigned i = 0; i < MAX; i++)
			items[i].in = false;
		seed = round + 1;
		for (unsigned step = 0; step < 1500; step++) {
			toggle(&t, &items[rnd(MAX)], span);
			if (step % 16 == 0)
				check_node(t.root);
			if (step % 8 == 0) {
				uint64_t start = rnd(span);

				check_query(&t, start, start + rnd(4));
			}
		}
		check_query(&t, 0, UINT64_MAX);
		for (unsigned i = 0; i < MAX; i++)
			if (items[i].in)
				toggle(&t, &items[i], span);
		assert_true(pf_itree_empty(&t));
	}
}

/* In ascending order, the order in which VMAs come: deep, if the tree did nothing about it. */
static void stays_shallow(void **state)
{
	static struct pf_inode node[20000];
	struct pf_itree t = {0};

	(void)state;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(node); i++)
		pf_itree_insert(&t, &node[i], i, i);
	assert_true(check_node(t.root) < 64);
	assert_ptr_equal(pf_itree_first(&t, 7777, 7777), &node[7777]);
	assert_null(pf_itree_next(&node[7777], 7777, 7777));
}

/* The newest of those that start together is visited last: fork's order. */
static void equal_starts(void **state)
{
	static struct pf_inode node[64];
	struct pf_itree t = {0};
	struct pf_inode *n;
	unsigned i = 0;

	(void)state;
	for (; i < PF_ARRAY_SIZE(node); i++)
		pf_itree_insert(&t, &node[i], 5, 5 + i % 3);
	i = 0;
	for (n = pf_itree_first(&t, 5, 5); n; n = pf_itree_next(n, 5, 5))
		assert_ptr_equal(n, &node[i++]);
	assert_int_equal(i, PF_ARRAY_SIZE(node));
}

static void ends_of_the_range(void **state)
{
	struct pf_itree t = {0};
	struct pf_inode a, b;

	(void)state;
	assert_null(pf_itree_first(&t, 0, UINT64_MAX));
	pf_itree_insert(&t, &a, 0, 0);
	pf_itree_insert(&t, &b, UINT64_MAX, UINT64_MAX);
	assert_ptr_equal(pf_itree_first(&t, 0, 0), &a);
	assert_null(pf_itree_next(&a, 0, 0));
	assert_ptr_equal(pf_itree_first(&t, 1, UINT64_MAX), &b);
	assert_null(pf_itree_first(&t, 1, UINT64_MAX - 1));
	assert_ptr_equal(pf_itree_next(&a, 0, UINT64_MAX), &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_sets),
		cmocka_unit_test(stays_shallow),
		cmocka_unit_test(equal_starts),
		cmocka_unit_test(ends_of_the_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
