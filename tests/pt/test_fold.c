/* SPDX-License-Identifier: MIT */
/*
 * Policy `linux`: when single stores fold a block, and each condition that keeps them from it.
 */
#include "pt_test.h"

static const struct pf_extent everything = {0, UINT64_MAX};
static pf_pfn_t frame; /* of slot `first` */
static unsigned first;

static void begin(enum pf_fold_policy policy, unsigned flags)
{
	tree_open(PF_FEAT_HAF | PF_FEAT_HD, flags, policy, LAST_TABLE);
	frame = rnd_base();
	first = (unsigned)rnd_below(E / N) * N;
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

static void store(unsigned i, pf_pte_t e)
{
	pf_set_pte_at(&tree.m, first + i, e, everything);
}

static pf_pte_t entry(unsigned i)
{
	return pf_pte_mk(frame + i, PF_PTE_R | PF_PTE_W | PF_PTE_A);
}

/* Page after page, as faults do it: one conversion, at the last, and the N - 1 others loaded to decide it. */
static void ascending_folds_once(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 20; k++) {
		begin(PF_FOLD_LINUX, 0);
		for (unsigned i = 0; i < N; i++) {
			assert_false(folded());
			store(i, entry(i));
			assert_int_equal(tree.pt.stats.fold_loads, i + 1 < N ? 0 : N - 1);
		}
		assert_true(folded());
		assert_int_equal(tree.pt.stats.fold, 1);
		assert_int_equal(tree.pt.stats.unfold, 0);
		assert_int_equal(tree.pt.stats.fold_failed, 0);
		/* and again over the same block: each store takes it apart, the last puts it together */
		store(N - 1, entry(N - 1));
		assert_true(folded());
		assert_int_equal(tree.pt.stats.fold, 2);
		assert_int_equal(tree.pt.stats.unfold, 1);
		end();
	}
}

static void other_orders(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 200; k++) {
		unsigned order[64];

		begin(PF_FOLD_LINUX, 0);
		for (unsigned i = 0; i < N; i++)
			order[i] = N - 1 - i; /* descending */
		for (unsigned i = 0; k && i < N; i++) {
			unsigned j = i + (unsigned)rnd_below(N - i), x = order[i];

			order[i] = order[j];
			order[j] = x;
		}
		for (unsigned i = 0; i < N; i++)
			store(order[i], entry(order[i]));
		assert_int_equal(folded(), order[N - 1] == N - 1);
		assert_int_equal(tree.pt.stats.fold_failed, order[N - 1] != N - 1);
		end();
	}
}

/* One block that would fold, with `change` made to one of its entries, or to the way it is stored. */
static bool folds_with(void (*change)(unsigned victim, pf_pte_t *e), unsigned victim)
{
	bool yes;

	for (unsigned i = 0; i < N; i++) {
		pf_pte_t e = entry(i);

		if (i == victim && change)
			change(i, &e);
		store(i, e);
	}
	yes = folded();
	for (unsigned i = first; i < first + N; i++)
		raw_set(i, pf_hw_empty());
	tree.m.table->live = 0;
	return yes;
}

static uint64_t flip;

static void flip_bits(unsigned victim, pf_pte_t *e)
{
	(void)victim;
	e->v ^= flip;
}

static void next_frame(unsigned victim, pf_pte_t *e)
{
	(void)victim;
	*e = pf_pte_advance(*e, N);
}

static void make_none(unsigned victim, pf_pte_t *e)
{
	(void)victim;
	*e = pf_pte(0);
}

static void make_swap(unsigned victim, pf_pte_t *e)
{
	(void)victim;
	*e = pf_pte_swap(3, 77, 0);
}

static void make_protnone(unsigned victim, pf_pte_t *e)
{
	(void)victim;
	*e = pf_pte_clear(*e, PF_PTE_PERM);
}

/* Each attribute that the format stores, at each slot: one that differs is enough. A and D may differ. */
static void one_differs(void **state)
{
	const uint64_t bits =
		PF_PTE_SUPPORTED &
		(PF_PTE_W | PF_PTE_X | PF_PTE_SPECIAL | PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP |
			PF_PTE_BTI | PF_BIT(14) | PF_BIT(15) | PF_PTE_KEY | PF_PTE_A | PF_PTE_D);

	(void)state;
	begin(PF_FOLD_LINUX, 0);
	assert_true(folds_with(NULL, 0));
	for (unsigned victim = 0; victim < N; victim++) {
		for (unsigned b = 0; b < 64; b++) {
			flip = PF_BIT(b);
			if (!(bits & flip))
				continue;
			CHECK(folds_with(flip_bits, victim) == !!(flip & (PF_PTE_A | PF_PTE_D)),
				"bit %u, slot %u", b, victim);
		}
		assert_false(folds_with(next_frame, victim));
		assert_false(folds_with(make_none, victim));
		assert_false(folds_with(make_swap, victim));
		assert_false(folds_with(make_protnone, victim));
	}
	end();
}

/* A and D of any member become those of all. */
static void a_and_d_are_gathered(void **state)
{
	(void)state;
	for (unsigned victim = 0; victim < N; victim++) {
		begin(PF_FOLD_LINUX, 0);
		for (unsigned i = 0; i < N; i++)
			store(i, pf_pte_mk(frame + i,
					 PF_PTE_R | PF_PTE_W |
						 (i == victim ? PF_PTE_A | PF_PTE_D : 0)));
		assert_true(folded());
		for (unsigned i = 0; i < N; i++) {
			pf_pte_t raw = pf_hw_decode(raw_get(first + i), 0, first + i);

			assert_true(pf_pte_young(raw) && pf_pte_dirty(raw));
			assert_int_equal(pf_pte_pfn(raw), frame + i);
		}
		end();
	}
}

/* All entries alike, but not a block: special (as Linux), no rights, the frame not at a multiple. */
static void all_unfit(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 3 + N; k++) {
		begin(PF_FOLD_LINUX, 0);
		if (k == 0 && !(PF_PTE_SUPPORTED & PF_PTE_SPECIAL))
			k++;
		for (unsigned i = 0; i < N; i++) {
			pf_pte_t e = entry(i);

			if (k == 0)
				e = pf_pte_set(e, PF_PTE_SPECIAL);
			else if (k == 1)
				e = pf_pte_clear(e, PF_PTE_PERM);
			else
				e = pf_pte_advance(e, k - 2);
			store(i, e);
		}
		assert_int_equal(folded(), k == 2 || k == 2 + N);
		end();
	}
}

/* What has no folio is a block where its owner says so, by batches and by single stores, but not as Linux. */
static void special(void **state)
{
	static const enum pf_fold_policy policy[] = {PF_FOLD_LINUX, PF_FOLD_WATCH};

	(void)state;
	for (unsigned k = 0; k < 6 && (PF_PTE_SUPPORTED & PF_PTE_SPECIAL); k++) {
		const struct pf_extent x = k < 4 ? everything : PF_NO_EXTENT;

		begin(policy[k & 1], 0);
		for (unsigned i = 0; i < N && k & 2; i++)
			pf_set_pte_at(&tree.m, first + i, pf_pte_set(entry(i), PF_PTE_SPECIAL), x);
		if (!(k & 2))
			pf_set_ptes(&tree.m, first, pf_pte_set(entry(0), PF_PTE_SPECIAL), N, x);
		assert_int_equal(folded(), (k & 1) && k < 4);
		end();
	}
}

/* Extents that hold the block whole, and ones that miss a page of it at either end. */
static void extents(void **state)
{
	(void)state;
	for (unsigned before = 0; before < 3; before++) {
		for (unsigned after = 0; after < 3; after++) {
			struct pf_extent x;

			begin(PF_FOLD_LINUX, 0);
			x = (struct pf_extent){frame - 1 + before, N + after - before};
			/* [frame - 1 + before, frame + N - 1 + after) */
			for (unsigned i = 0; i < N; i++)
				pf_set_pte_at(&tree.m, first + i, entry(i), x);
			assert_int_equal(folded(), before <= 1 && after >= 1);
			end();
			/* in one batch likewise */
			begin(PF_FOLD_LINUX, 0);
			x = (struct pf_extent){frame - 1 + before, N + after - before};
			pf_set_ptes(&tree.m, first, entry(0), N, x);
			assert_int_equal(folded(), before <= 1 && after >= 1);
			end();
		}
	}
	begin(PF_FOLD_LINUX, 0);
	pf_set_ptes(&tree.m, first, entry(0), N, PF_NO_EXTENT);
	assert_false(folded());
	end();
}

/* Not at all, or into empty slots only. */
static void other_policies(void **state)
{
	(void)state;
	begin(PF_FOLD_OFF, 0);
	assert_false(folds_with(NULL, 0));
	pf_set_ptes(&tree.m, first, entry(0), N, everything);
	assert_false(folded());
	assert_int_equal(tree.pt.stats.fold, 0);
	end();
	begin(PF_FOLD_LINUX, PF_PT_NOFAULT);
	assert_false(folds_with(NULL, 0));
	pf_set_ptes(&tree.m, first, entry(0), N, everything);
	assert_true(folded());
	end();
}

/* No verb but a store to the last slot, or a batch, folds: a block taken apart stays so. */
static void nothing_else_folds(void **state)
{
	(void)state;
	begin(PF_FOLD_LINUX, 0);
	pf_set_ptes(&tree.m, first, entry(0), N, everything);
	pf_ptep_set_wrprotect(&tree.m, first + N - 1, everything);
	assert_false(folded());
	pf_ptep_set_access_flags(&tree.m, first + N - 1, entry(N - 1), false, everything);
	assert_true(pf_ptep_get(&tree.m, first + N - 1).v == entry(N - 1).v);
	pf_test_and_clear_young_ptes(&tree.m, first, N);
	pf_clear_young_dirty_ptes(&tree.m, first, N, PF_CYDP_CLEAR_YOUNG);
	pf_modify_ptes(&tree.m, first, N, PF_PTE_R, 0, 0, everything);
	pf_modify_ptes(&tree.m, first, N, PF_PTE_R | PF_PTE_W, 0, 0, everything);
	pf_wrprotect_ptes(&tree.m, first, N, everything);
	assert_false(folded());
	assert_int_equal(tree.pt.stats.fold, 1);
	assert_int_equal(tree.pt.stats.unfold, 1);
	end();
}

/* One store beside a folded block, and the blocks on both sides stay. */
static void neighbours_stay(void **state)
{
	(void)state;
	begin(PF_FOLD_LINUX, 0);
	first = N;
	pf_set_ptes(&tree.m, 0, pf_pte_advance(entry(0), -(uint64_t)N), 3 * N, everything);
	assert_int_equal(tree.pt.stats.fold, 3);
	pf_clear_ptes(&tree.m, first, N);
	assert_int_equal(tree.pt.stats.unfold, 0);
	for (unsigned i = 0; i < N; i++)
		store(i, entry(i));
	assert_true(folded());
	assert_int_equal(tree.pt.stats.fold, 4);
	assert_int_equal(tree.pt.stats.unfold, 0);
	assert_true(pf_ptes_folded(&tree.m, 0) && pf_ptes_folded(&tree.m, 2 * N));
	end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ascending_folds_once),
		cmocka_unit_test(other_orders),
		cmocka_unit_test(one_differs),
		cmocka_unit_test(a_and_d_are_gathered),
		cmocka_unit_test(all_unfit),
		cmocka_unit_test(special),
		cmocka_unit_test(extents),
		cmocka_unit_test(other_policies),
		cmocka_unit_test(nothing_else_folds),
		cmocka_unit_test(neighbours_stay),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " folding", tests, NULL, NULL);
}
