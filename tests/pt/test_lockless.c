/* SPDX-License-Identifier: MIT */
/*
 * Entries read without the table's lock (pt.h): the same as with it when nobody changes anything, and while somebody
 * does, what the entry said at some moment; always within so many loads. Row C1.
 */
#include "states.h"

#define READS (N + 2) /* entries, without races */

static struct pf_pte_view view;

static void look_at_tree(void)
{
	recorder.on = false;
	assert_true(pf_pte_offset_map(&tree.pt, tree.m.va, &view));
	assert_int_equal(view.pa, pf_table_pa(tree.m.table));
	recorder.on = true;
}

static void look_no_more(void)
{
	pf_pte_unmap(&view);
}

static pf_pte_t locked(unsigned idx)
{
	pf_pte_t e;

	recorder.on = false;
	e = pf_ptep_get(&tree.m, idx);
	recorder.on = true;
	return e;
}

/* ---- nobody changes anything ---- */

/* Longest run of present entries that continue the first but for A and D. */
static unsigned run_of(unsigned idx, unsigned max)
{
	const uint64_t ad = PF_PTE_A | PF_PTE_D;
	pf_pte_t first = locked(idx);
	unsigned n = 1;

	if (!pf_pte_present(first))
		return 0;
	while (n < max && pf_pte_present(locked(idx + n)) &&
		pf_pte_same(pf_pte_clear(locked(idx + n), ad),
			pf_pte_clear(pf_pte_advance(first, n), ad)))
		n++;
	return n;
}

#if PF_JUDGE
/* A load of a 32-bit word is a quarter of a reading of an entry. */
static uint64_t quarters;

static void count_load(const struct rec *r)
{
	if (r->kind == REC_LOAD)
		quarters += r->bytes == 4 ? 1 : 4;
	else
		fail_msg("a reader does more than read");
}
#endif

static void same_as_locked(void **state)
{
	static const enum state states[] = {UNIFORM, PRESENT, ANY, EMPTY, PROTNONE};

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		tree_open(one_in(2) ? PF_HW_AD_FEATURES : 0, 0, PF_FOLD_LINUX,
			one_in(3) ? LAST_TABLE : 0);
		origin = one_in(3) ? E - SPAN : one_in(2) ? 0 : N;
		set_state(states[round % PF_ARRAY_SIZE(states)]);
		look_at_tree();
		for (unsigned i = watch_lo(); i < watch_hi(); i++) {
			const pf_pte_t want_e = locked(i);
			unsigned max = (unsigned)pf_min(watch_hi() - i, 2 * N + 1), n;
			pf_pte_t e = pf_pte(~UINT64_C(0));

#if PF_JUDGE
			quarters = 0;
			recorder.after = count_load;
#endif
			assert_true(pf_ptep_get_lockless(&view, i, &e));
#if PF_JUDGE
			recorder.after = NULL;
			assert_in_range(quarters, 4, 4 * (model[i].cont ? READS : 1));
			/* nothing is left to be known */
			if (pf_hw_present(raw_get(i), 0) && pf_hw_young(raw_get(i)) &&
				pf_hw_dirty(raw_get(i)))
				assert_int_equal(quarters, 4);
#endif
			CHECK(pf_pte_same(e, want_e), "slot %u: %s, with the lock %s", i,
				pte_text(e), pte_text(want_e));

			n = pf_pte_batch_lockless(&view, i, max, &e);
			assert_int_equal(n, run_of(i, max));
			CHECK(pf_pte_same(
				      e, n ? pf_pte_clear(want_e, PF_PTE_A | PF_PTE_D) : pf_pte(0)),
				"slot %u: %s, with the lock %s", i, pte_text(e), pte_text(want_e));
		}
		look_no_more();
		tree_close();
	}
}

/* ---- at every level ---- */

static void check_query(pf_va_t va)
{
	struct pf_run got, want_run;
	int is = pf_query_lockless(&tree.pt, va + rnd_below(PF_PAGE_SIZE), &got);

	assert_int_equal(is, pf_pt_query(&tree.pt, va, 1, &want_run));
	assert_int_equal(got.va, va);
	assert_true(got.nr > 0);
	if (is != 1) {
		/* to the end of what the empty entry spans, which is empty */
		assert_true(pf_pte_none(got.first));
		assert_int_equal(pf_pt_query(&tree.pt, va, got.nr, &want_run), 0);
		assert_int_equal(want_run.nr, got.nr);
		return;
	}
	assert_int_equal(got.leaf_size, want_run.leaf_size);
	CHECK(pf_pte_same(got.first, want_run.first), "%llx: %s, locked %s", (unsigned long long)va,
		pte_text(got.first), pte_text(want_run.first));
	/* all of one leaf, which ends there */
	assert_int_equal(pf_pt_query(&tree.pt, va, got.nr, &want_run), 1);
	assert_int_equal(want_run.nr, got.nr);
	assert_true(got.nr << PF_PAGE_SHIFT <= got.leaf_size);
	assert_true(pf_aligned(va + (got.nr << PF_PAGE_SHIFT), PF_PAGE_SIZE));
}

static void at_every_level(void **state)
{
	const uint64_t all = UINT64_C(1) << (PF_VA_BITS - PF_PAGE_SHIFT);
	unsigned sizes = 0;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		const uint64_t table = PF_LEVEL_SIZE(1);
		pf_va_t va = (1 + rnd_below(5)) *
			     (PF_LEVELS > 2 && one_in(2) ? PF_LEVEL_SIZE(2) : table);
		uint64_t nr = one_in(3)   ? 1 + rnd_below(4 * N)
			      : one_in(2) ? 3 * (table >> PF_PAGE_SHIFT)
					  : 20 * (table >> PF_PAGE_SHIFT);

		if (one_in(3))
			va -= (1 + rnd_below(N)) << PF_PAGE_SHIFT;
		tree_memory();
		assert_int_equal(pf_pt_init(&tree.pt, &pf_pt_format_this, &test_table_mem,
					 PF_HW_AD_FEATURES, TEST_ASID, 0, PF_FOLD_LINUX),
			0);
		assert_int_equal(
			pf_pt_map(&tree.pt, va, nr, va >> PF_PAGE_SHIFT,
				PF_PTE_R | (one_in(2) ? PF_PTE_W : 0) | (one_in(2) ? PF_PTE_A : 0)),
			0);
		for (unsigned i = 0; i < 40; i++) {
			pf_va_t at = va + (rnd_below(nr + 4) << PF_PAGE_SHIFT);
			struct pf_run run;

			check_query(at);
			if (pf_query_lockless(&tree.pt, at, &run) == 1)
				sizes |= 1u << (pf_log2(run.leaf_size) - PF_PAGE_SHIFT);
		}
		check_query(0);
		check_query((all - 1) << PF_PAGE_SHIFT);
		assert_int_equal(pf_pt_unmap(&tree.pt, va, nr), 0);
		pf_pt_destroy(&tree.pt);
		test_port_stop();
	}
	assert_true(sizes & 1);
	assert_true(sizes & 1u << PF_CONT_SHIFT(0));
	assert_true(sizes & 1u << PF_LEVEL_BITS);
}

/* ---- the table ---- */

/* The entry that links the table under test. */
static pf_hw_t *link_of(void)
{
	assert_non_null(view.link);
	return (pf_hw_t *)(uintptr_t)view.link;
}

/* A table with entries is taken away, and another put in its place: as a collapse to one large leaf would. */
static void unlinked_is_seen(void **state)
{
	const pf_hw_t empty = pf_hw_empty();
	pf_hw_t was, other;

	(void)state;
	tree_open(0, 0, PF_FOLD_LINUX, 0);
	origin = 0;
	set_state(UNIFORM);
	look_at_tree();
	recorder.on = false;
	other = pf_hw_mktable(tree.pt.root);
	memcpy(&was, link_of(), sizeof(was));
	assert_true(pf_pte_view_linked(&view));
	memcpy(link_of(), &empty, sizeof(empty));
	assert_false(pf_pte_view_linked(&view));
	memcpy(link_of(), &other, sizeof(other));
	assert_false(pf_pte_view_linked(&view));
	memcpy(link_of(), &was, sizeof(was));
	assert_true(pf_pte_view_linked(&view));
	recorder.on = true;
	look_no_more();
	tree_close();
}

/* No table, or a leaf in its place: there is nothing to look at, and RCU is not held. */
static void no_table(void **state)
{
	const pf_va_t large = PF_LEVEL_SIZE(1);
	struct pf_pte_view v;

	(void)state;
	tree_memory();
	assert_int_equal(pf_pt_init(&tree.pt, &pf_pt_format_this, &test_table_mem, 0, TEST_ASID, 0,
				 PF_FOLD_LINUX),
		0);
	assert_int_equal(pf_pt_map(&tree.pt, large, large >> PF_PAGE_SHIFT, large >> PF_PAGE_SHIFT,
				 PF_PTE_R),
		0);
	assert_false(pf_pte_offset_map(&tree.pt, large, &v));
	assert_int_equal(test_port.rcu_depth, 0);
	assert_false(pf_pte_offset_map(&tree.pt, 0, &v));
	assert_false(pf_pte_offset_map(&tree.pt, LAST_TABLE, &v));
	assert_int_equal(test_port.rcu_depth, 0);
	assert_int_equal(pf_pt_unmap(&tree.pt, large, large >> PF_PAGE_SHIFT), 0);
	pf_pt_destroy(&tree.pt);
	test_port_stop();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_locked),
		cmocka_unit_test(at_every_level),
		cmocka_unit_test(unlinked_is_seen),
		cmocka_unit_test(no_table),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " lockless", tests, NULL, NULL);
}
