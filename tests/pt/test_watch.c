/* SPDX-License-Identifier: MIT */
/*
 * Policy `watch`: blocks fold at the change that completes or restores them, in whatever order the changes come; what
 * looking costs; and how often a block is put together again.
 */
#include "pt_test.h"

static const struct pf_extent everything = {0, UINT64_MAX};
static pf_pfn_t frame; /* of slot `first` */
static unsigned first;

#define RW (PF_PTE_R | PF_PTE_W)

static void begin_in(enum pf_fold_policy policy, unsigned flags)
{
	tree_open(PF_FEAT_HAF | PF_FEAT_HD | PF_FEAT_TLB_RANGE, flags, policy, LAST_TABLE);
	frame = rnd_base();
	first = (unsigned)rnd_below(E / N) * N;
}

static void begin(void)
{
	begin_in(PF_FOLD_WATCH, 0);
}

static void end(void)
{
	for (unsigned i = 0; i < E; i++)
		raw_set(i, pf_hw_empty());
	tree.m.table->live = 0;
	tree_close();
}

static bool folded(void)
{
	unsigned n = 0;

	for (unsigned i = first; i < first + N; i++)
		n += pf_ptes_folded(&tree.m, i);
	assert_true(n == 0 || n == N);
	return n;
}

static pf_pte_t entry(unsigned i)
{
	return pf_pte_mk(frame + i, RW | PF_PTE_A);
}

static void set(unsigned i, unsigned nr)
{
	pf_set_ptes(&tree.m, first + i, entry(i), nr, everything);
}

static void shuffle(unsigned *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned j = i + (unsigned)rnd_below(n - i), x = order[i];

		order[i] = order[j];
		order[j] = x;
	}
}

static unsigned tlbis(void)
{
	unsigned n = 0;

	for (size_t r = 0; r < recorder.nr; r++)
		n += recorder.rec[r].kind == REC_TLBI;
	return n;
}

/* Ascending, descending, and orders drawn. Nothing is unfolded, and it folds at the last store. */
static void any_order(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 1002; k++) {
		unsigned order[N];

		begin();
		for (unsigned i = 0; i < N; i++)
			order[i] = k == 1 ? N - 1 - i : i;
		if (k > 1)
			shuffle(order, N);
		for (unsigned i = 0; i < N; i++) {
			assert_false(folded());
			set(order[i], 1);
		}
		assert_true(folded());
		assert_int_equal(tree.pt.stats.fold, 1);
		assert_int_equal(tree.pt.stats.unfold, 0);
		CHECK(tree.pt.stats.fold_loads <= 2 * N, "%llu loads, order %u",
			(unsigned long long)tree.pt.stats.fold_loads, k);
		if (!k) /* one at the store before the last, which is beside the watch */
			CHECK(tree.pt.stats.fold_loads == N, "%llu loads",
				(unsigned long long)tree.pt.stats.fold_loads);
		end();
	}
}

/* Pieces of any length, in any order, each a batch of its own; the block was in use before. */
static void any_pieces(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 500; k++) {
		unsigned order[N], at[N], len[N], pieces = 0;
		uint64_t loads;

		begin();
		set(0, N);
		assert_true(folded());
		if (one_in(2)) { /* taken apart, which leaves the watch where any change is looked at */
			pf_pte_clear_at(&tree.m, first + (unsigned)rnd_below(N));
			for (unsigned i = 0; i < N; i++)
				if (!pf_pte_none(pf_ptep_get(&tree.m, first + i)))
					pf_pte_clear_at(&tree.m, first + i);
		} else {
			pf_clear_ptes(&tree.m, first, N);
		}
		for (unsigned i = 0; i < N; i += len[pieces++]) {
			at[pieces] = i;
			len[pieces] = 1 + (unsigned)rnd_below(pf_min(N - i, N / 2));
			order[pieces] = pieces;
		}
		shuffle(order, pieces);
		loads = tree.pt.stats.fold_loads;
		for (unsigned p = 0; p < pieces; p++) {
			assert_false(folded());
			set(at[order[p]], len[order[p]]);
		}
		assert_true(folded());
		assert_true(tree.pt.stats.fold_loads - loads <= 2 * N);
		end();
	}
}

/*
 * Pages lose W one by one or in runs, and get it back in another order: the block folds when the last has it. Then they
 * lose it all: the block folds when the last has lost it.
 */
static void restored_and_completed(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 500; k++) {
		unsigned order[N], n = 1 + (unsigned)rnd_below(N - 1),
				   verb = (unsigned)rnd_below(3);
		unsigned start = (unsigned)rnd_below(N - n + 1);

		begin();
		set(0, N);
		if (verb)
			pf_modify_ptes(&tree.m, first + start, n, PF_PTE_R, 0, 0, everything);
		else
			pf_wrprotect_ptes(&tree.m, first + start, n, everything);
		assert_false(folded());
		for (unsigned i = 0; i < n; i++)
			order[i] = start + i;
		shuffle(order, n);
		for (unsigned i = 0; i < n; i++) {
			assert_false(folded());
			if (verb == 2)
				pf_ptep_set_access_flags(&tree.m, first + order[i],
					pf_pte_set(
						pf_ptep_get(&tree.m, first + order[i]), PF_PTE_W),
					one_in(2), everything);
			else if (verb)
				pf_modify_ptes(&tree.m, first + order[i], 1, RW, 0, 0, everything);
			else
				pf_set_pte_at(
					&tree.m, first + order[i], entry(order[i]), everything);
		}
		assert_true(folded());
		assert_int_equal(tree.pt.stats.unfold, 1);
		end();

		begin();
		set(0, N);
		for (unsigned i = 0; i < N; i++)
			order[i] = i;
		if (k)
			shuffle(order, N);
		for (unsigned i = 0; i < N; i++) {
			assert_int_equal(folded(), i == 0);
			pf_ptep_set_wrprotect(&tree.m, first + order[i], everything);
		}
		assert_true(folded());
		assert_int_equal(tree.pt.stats.unfold, 1);
		end();
	}
}

/* As mprotect does it: the verb, and a flush if it asks for one. */
static void protect(unsigned i, uint64_t prot)
{
	if (pf_modify_ptes(&tree.m, first + i, 1, prot, 0, 0, everything))
		pf_flush_tlb_range(&tree.pt, pf_pte_va(&tree.m, first + i), 1);
}

/* RO and back, a thousand times: beside Linux's, two repaints. And what is not looked at costs no loads. */
static void alternation_is_bounded(void **state)
{
	unsigned of[2];

	(void)state;
	for (unsigned p = 0; p < 2; p++) {
		unsigned page = (unsigned)rnd_below(N);

		begin_in(p ? PF_FOLD_WATCH : PF_FOLD_LINUX, 0);
		set(0, N);
		recorder_reset();
		of[p] = 0;
		for (unsigned k = 0; k < 1000; k++) {
			protect(one_in(4) ? (unsigned)rnd_below(N) : page, PF_PTE_R);
			for (unsigned i = 0; i < N; i++)
				if (!pf_pte_write(pf_ptep_get(&tree.m, first + i)))
					protect(i, RW);
			of[p] += tlbis();
			recorder_reset();
		}
		assert_int_equal(tree.pt.stats.unfold, 1 + p);
		assert_int_equal(tree.pt.stats.fold, 1 + p);
		assert_true(tree.pt.stats.fold_loads <= 3 * N);
		end();
	}
	CHECK(of[1] <= of[0] + 4, "%u operations, Linux %u", of[1], of[0]);
}

/* Aging that finds no A in any page of the block begins anew; A anywhere in it does not. */
static void quiet_blocks_fold_again(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 40; k++) {
		unsigned part = (unsigned)rnd_below(N), other;

		begin();
		set(0, N);
		for (unsigned i = 0; i < 4; i++)
			protect(part, i & 1 ? RW : PF_PTE_R);
		assert_false(folded());
		/* young, all of it: aging sees that, clears, and sees nothing the next time */
		pf_test_and_clear_young_ptes(&tree.m, first, N);
		protect(part, PF_PTE_R);
		protect(part, RW);
		assert_false(folded());
		/* another page of the block has been used since */
		other = (part + 1 + (unsigned)rnd_below(N - 1)) % N;
		pf_ptep_set_access_flags(&tree.m, first + other,
			pf_pte_set(pf_ptep_get(&tree.m, first + other), PF_PTE_A), false,
			PF_NO_EXTENT);
		assert_false(pf_ptep_test_and_clear_young(&tree.m, first + part));
		protect(part, PF_PTE_R);
		protect(part, RW);
		assert_false(folded());
		/* and none has */
		pf_test_and_clear_young_ptes(&tree.m, first, N);
		assert_false(k & 1 ? pf_test_and_clear_young_ptes(&tree.m, first, N)
				   : pf_ptep_clear_flush_young(&tree.m, first + part));
		protect(other, PF_PTE_R);
		protect(other, RW);
		assert_true(folded());
		assert_int_equal(tree.pt.stats.fold, 3);
		end();
	}
}

/* Nothing is looked at for a page that can be of no block, and callers are told when extents matter. */
static void no_looks_without_need(void **state)
{
	(void)state;
	begin();
	for (unsigned i = 0; i < N; i++)
		pf_set_pte_at(&tree.m, first + i, entry(i), (struct pf_extent){frame + i, 1});
	pf_modify_ptes(&tree.m, first, N - 1, PF_PTE_R, 0, 0, PF_NO_EXTENT);
	assert_int_equal(tree.pt.stats.fold_loads, 0);
	assert_false(folded());
	end();

	begin();
	assert_false(pf_may_fold(&tree.m, first, N));
	assert_false(pf_may_fold(&tree.m, first, 1)); /* neither the last nor beside it */
	assert_true(pf_may_fold(&tree.m, first + N - 1, 1));
	assert_true(pf_may_fold(&tree.m, first, N - 1));
	set(0, N);
	for (unsigned i = 0; i < 3; i++)
		protect(1, i & 1 ? RW : PF_PTE_R);
	for (unsigned i = 0; i < N; i++)
		assert_false(pf_may_fold(&tree.m, first + i, 1));
	end();

	begin_in(PF_FOLD_LINUX, 0);
	for (unsigned i = 0; i < N; i++)
		assert_false(pf_may_fold(&tree.m, first + i, 1));
	end();
}

/* Not for trees that take no fault; and where two bytes a block cannot be had, `linux` must do. */
static void without_a_watch(void **state)
{
	(void)state;
	begin_in(PF_FOLD_WATCH, PF_PT_NOFAULT);
	assert_null(tree.m.table->watch);
	for (unsigned i = 0; i < N; i++)
		set(i, 1);
	assert_false(folded());
	set(0, N);
	assert_true(folded());
	end();

	for (unsigned last = 0; last < 2; last++) {
		tree_memory();
		assert_int_equal(pf_pt_init(&tree.pt, &pf_pt_format_this, &test_table_mem, 0,
					 TEST_ASID, 0, PF_FOLD_WATCH),
			0);
		test_port.fail_at = PF_LEVELS; /* after the tables, the root was the first */
		assert_int_equal(pf_pte_alloc(&tree.pt, 0), 0);
		assert_int_equal(test_port.fail_at, 0);
		assert_true(pf_pte_offset_map_lock(&tree.pt, 0, &tree.m));
		assert_null(tree.m.table->watch);
		recorder.on = true;
		first = 0;
		for (unsigned i = 0; i < N; i++)
			set(last ? i : N - 1 - i, 1);
		assert_int_equal(folded(), last);
		protect(0, PF_PTE_R);
		protect(0, RW);
		assert_false(folded());
		end();
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
		cmocka_unit_test(any_pieces),
		cmocka_unit_test(restored_and_completed),
		cmocka_unit_test(alternation_is_bounded),
		cmocka_unit_test(quiet_blocks_fold_again),
		cmocka_unit_test(no_looks_without_need),
		cmocka_unit_test(without_a_watch),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " watching", tests, NULL, NULL);
}
