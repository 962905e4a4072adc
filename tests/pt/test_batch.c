/* SPDX-License-Identifier: MIT */
/*
 * pf_pte_batch against its definition, written out: slot by slot, neutral entries, no idea of blocks or words. Random
 * arrays with runs, blocks, holes and softleaves, at the very end of the table too; every combination of flags.
 */
#include "pt_test.h"

#define AD (PF_PTE_A | PF_PTE_D)

static pf_pte_t slot[E]; /* what a locked getter says */
static unsigned window;

static void put(unsigned idx, pf_pte_t e, bool cont)
{
	pf_hw_t hw = pf_hw_encode(e, 0, false);

	slot[idx] = e;
	raw_set(idx, cont ? pf_hw_set_cont(hw, 0, idx, true) : hw);
}

/* Entries that differ from what would continue the run in one respect, or not at all. */
static pf_pte_t rnd_next(pf_pte_t e)
{
	e = pf_pte_advance(e, 1);
	e.v ^= rnd() & rnd() & AD;
	switch (rnd_below(24)) {
	case 0:
		e = pf_pte_advance(e, 1);
		break;
	case 1:
		e.v ^= PF_PTE_X;
		break;
	case 2:
		if (e.v & PF_PTE_R)
			e.v ^= PF_PTE_W;
		break;
	case 3:
		e.v ^= PF_PTE_UFFD_WP & PF_PTE_SUPPORTED;
		break;
	case 4:
		e.v ^= PF_PTE_SOFT_DIRTY & PF_PTE_SUPPORTED;
		break;
	case 5:
		e.v ^= PF_PTE_SPECIAL & PF_PTE_SUPPORTED;
		break;
	case 6:
		e.v ^= (UINT64_C(1) << PF_PTE_KEY_SHIFT) & PF_PTE_SUPPORTED;
		break;
	case 7:
		e.v ^= PF_BIT(15) & PF_PTE_SUPPORTED;
		break;
	case 8:
		e = pf_pte_clear(e, PF_PTE_PERM);
		break;
	default:
		break;
	}
	return e;
}

/* N members from idx on, each with A and D of its own, and what each then reads as. */
static void put_block(unsigned idx, pf_pte_t e)
{
	uint64_t ad = 0;

	for (unsigned i = 0; i < N; i++) {
		pf_pte_t m = pf_pte_set(pf_pte_advance(pf_pte_clear(e, AD), i), rnd() & rnd() & AD);

		ad |= m.v & AD;
		put(idx + i, m, true);
	}
	for (unsigned i = 0; i < N; i++)
		slot[idx + i] = pf_pte_set(pf_pte_advance(pf_pte_clear(e, AD), i), ad);
}

static void fill(unsigned first, unsigned end)
{
	pf_pte_t e = pf_pte_mk(rnd_base(), rnd_prot());
	unsigned i = first;

	while (i < end) {
		if (one_in(12))
			e = pf_pte_mk(rnd_base() + rnd_below(N), one_in(4) ? 0 : rnd_prot());
		if (N > 1 && i % N == 0 && end - i >= N && pf_pte_accessible(e) &&
			!pf_pte_special(e) && pf_pte_pfn(e) % N == 0 && one_in(2)) {
			put_block(i, e);
			e = pf_pte_advance(e, N - 1);
			i += N;
		} else if (one_in(10)) {
			/* a stretch of nothing; the run may go on behind it */
			for (unsigned n = 1 + (unsigned)rnd_below(4); n && i < end; n--, i++)
				put(i, pf_pte(0), false);
			continue;
		} else if (one_in(20)) {
			put(i++,
				one_in(2) ? pf_pte_swap(1, rnd_below(100), 0)
					  : pf_pte_marker(PF_MARKER_GUARD),
				false);
		} else {
			put(i++, e, false);
		}
		e = rnd_next(e);
	}
}

/* ---- the definition ---- */

static uint64_t compared(pf_pte_t e, unsigned flags)
{
	uint64_t ignored = PF_PTE_A;

	if (!(flags & PF_FPB_RESPECT_DIRTY))
		ignored |= PF_PTE_D;
	if (!(flags & PF_FPB_RESPECT_SOFT_DIRTY))
		ignored |= PF_PTE_SOFT_DIRTY;
	if (!(flags & PF_FPB_RESPECT_WRITE))
		ignored |= PF_PTE_W;
	return e.v & ~ignored;
}

static unsigned define(unsigned idx, unsigned max, unsigned flags, pf_pte_t *first)
{
	pf_pte_t e = slot[idx];
	uint64_t merged = 0;
	unsigned n = 1;

	*first = e;
	if (pf_pte_none(e)) {
		while (n < max && pf_pte_none(slot[idx + n]))
			n++;
		return n;
	}
	if (!pf_pte_present(e))
		return 1;
	while (n < max && pf_pte_present(slot[idx + n]) &&
		compared(slot[idx + n], flags) == compared(pf_pte_advance(e, n), flags))
		n++;
	for (unsigned i = 0; i < n; i++)
		merged |= slot[idx + i].v;
	if (flags & PF_FPB_MERGE_WRITE)
		first->v |= merged & PF_PTE_W;
	if (flags & PF_FPB_MERGE_YOUNG_DIRTY)
		first->v |= merged & AD;
	return n;
}

/* Loads of hardware words that one entry takes, undisturbed; 0 where they are not recorded. */
static size_t loads_of_one(void)
{
	static size_t n;

	if (!n) {
		recorder_reset();
		pf_ptes_folded(&tree.m, 0);
		n = recorder.loads;
	}
	return n;
}

static void batch_is_its_definition(void **state)
{
	uint64_t lengths = 0, calls = 0;

	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		seed = 0x5000 + round;
		/* at the end of the table nothing may be read behind it: there is no page */
		window = one_in(2) ? E - 8 * N : (unsigned)rnd_below(E / N - 8) * N;
		tree_open(0, 0, PF_FOLD_LINUX, one_in(2) ? LAST_TABLE : 0);
		for (unsigned i = 0; i < E; i++)
			put(i, pf_pte(0), false);
		fill(window, window + 8 * N);
		for (unsigned flags = 0; flags < 32; flags++) {
			for (unsigned k = 0; k < 40; k++) {
				unsigned idx = window + (unsigned)rnd_below(8 * N);
				unsigned max = 1 + (unsigned)rnd_below(window + 8 * N - idx);
				pf_pte_t expected, got;
				unsigned n, m = define(idx, max, flags, &expected);

				recorder_reset();
				n = pf_pte_batch(&tree.m, idx, max, flags, &got);
				CHECK(n == m,
					"slot %u, at most %u, flags 0x%x: %u, expected %u; first "
					"%s",
					idx, max, flags, n, m, pte_text(slot[idx]));
				CHECK(got.v == expected.v,
					"slot %u, at most %u, flags 0x%x: %s, expected %s", idx,
					max, flags, pte_text(got), pte_text(expected));
				assert_int_equal(recorder.nr, 0);
				/* One load a slot, another for each member of a block to gather A and D, and for
				 * the one that ends the run. An entry of two words takes four loads or more. */
				CHECK(recorder.loads <= loads_of_one() * (n + (n / N + 2) * N + 1),
					"%u slots: %zu loads", n, recorder.loads);
				lengths += n;
				calls++;
			}
		}
		tree_close();
	}
	/* runs there were */
	assert_true(lengths > 2 * calls);
}

/* Single entries only: no slot is read twice, none behind the one that ended the run. */
static void order_0_reads_each_slot_once(void **state)
{
	pf_pte_t e = pf_pte_mk(rnd_base() + 1, PF_PTE_R), first;
	size_t word_loads;

	(void)state;
	tree_open(0, 0, PF_FOLD_LINUX, 0);
	for (unsigned i = 0; i < E; i++)
		put(i, pf_pte_advance(e, i), false);
	recorder_reset();
	assert_int_equal(pf_pte_batch(&tree.m, 0, 1, 0, &first), 1);
	word_loads = recorder.loads; /* of one entry: 1, or 4 of two words */
	recorder_reset();
	assert_int_equal(pf_pte_batch(&tree.m, 0, E, 0, &first), E);
	assert_true(recorder.loads <= E * word_loads);
	put(10, pf_pte(0), false);
	recorder_reset();
	assert_int_equal(pf_pte_batch(&tree.m, 0, E, 0, &first), 10);
	assert_true(recorder.loads <= 11 * word_loads);
	tree_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_is_its_definition),
		cmocka_unit_test(order_0_reads_each_slot_once),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " batch", tests, NULL, NULL);
}
