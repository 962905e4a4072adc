/* SPDX-License-Identifier: MIT */
/* Contract suite: operations on present words, each against the neutral operation it stands for. */
#include "suite.h"

#define MANY 200000u

/* decode does not see contiguity, and turning it on and off leaves nothing behind. */
static void set_cont_is_inverse(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_worn_sample();
		pf_hw_t off, on;

		if (!suite_x->cont_shift[s.level] || !pf_pte_accessible(s.e))
			continue;
		off = pf_hw_set_cont(s.hw, s.level, s.idx, false);
		on = pf_hw_set_cont(s.hw, s.level, s.idx, true);
		CHECK_SAMPLE(!pf_hw_cont(off) && pf_hw_cont(on), &s);
		CHECK_SAMPLE(pf_hw_same(s.cont ? on : off, s.hw), &s);
		CHECK_SAMPLE(pf_hw_same(pf_hw_set_cont(on, s.level, s.idx, false), off), &s);
		CHECK_SAMPLE(pf_hw_same(pf_hw_set_cont(off, s.level, s.idx, true), on), &s);
		CHECK_SAMPLE(pf_hw_decode(off, s.level, s.idx).v == s.e.v, &s);
		CHECK_SAMPLE(pf_hw_decode(on, s.level, s.idx).v == s.e.v, &s);
		CHECK_SAMPLE(pf_hw_valid(off) && pf_hw_valid(on), &s);
	}
}

/* On an entry fresh from encode, set_cont is the word that encode would have written. */
static void set_cont_is_encode(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_sample();

		if (!suite_x->cont_shift[s.level] || !pf_pte_accessible(s.e))
			continue;
		CHECK_SAMPLE(pf_hw_same(pf_hw_set_cont(s.hw, s.level, s.idx, !s.cont),
				     pf_hw_encode(s.e, s.level, !s.cont)),
			&s);
	}
}

/* An entry that is not contiguous, PROT_NONE too, has nothing to lose. */
static void set_cont_off_on_single(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_worn_sample();

		if (!s.cont)
			CHECK_SAMPLE(
				pf_hw_same(pf_hw_set_cont(s.hw, s.level, s.idx, false), s.hw), &s);
	}
}

static void advance_is_the_next_frame(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_one_in(2) ? rnd_sample() : rnd_worn_sample();
		uint64_t room = (PF_MASK(suite_x->frame_bits - 1, 0) - pf_pte_pfn(s.e)) >>
				leaf_shift(s.level);
		uint64_t n = rnd_one_in(4) ? rnd_below(3) : rnd_below(1u << suite_x->level_bits);
		struct sample t = s;

		if (s.cont) {
			s.hw = pf_hw_set_cont(s.hw, s.level, s.idx, false);
			s.cont = false;
		}
		if (n > room)
			n = rnd_one_in(2) ? room : 0;
		t = s;
		t.e = pf_pte_advance(s.e, n << leaf_shift(s.level));
		t.hw = pf_hw_advance(s.hw, s.level, n);
		check_present(&t, "advance");
		/* the same word as if it had been encoded there, and it composes */
		if (pf_hw_same(s.hw, pf_hw_encode(s.e, s.level, false)))
			CHECK_SAMPLE(pf_hw_same(t.hw, pf_hw_encode(t.e, t.level, false)), &t);
		if (n)
			CHECK_SAMPLE(
				pf_hw_same(t.hw, pf_hw_advance(pf_hw_advance(s.hw, s.level, n - 1),
							 s.level, 1)),
				&t);
		else
			CHECK_SAMPLE(pf_hw_same(t.hw, s.hw), &t);
	}
}

/* One operation on one entry; wear() applies it to the neutral entry and check_present compares
 * all. */
static void each_operation_is_the_neutral_one(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(2 * MANY); i++) {
		struct sample s = rnd_sample();

		check_present(&s, wear(&s));
	}
}

static void long_sequences_of_operations(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY / 10); i++) {
		struct sample s = rnd_sample();

		for (unsigned n = 0; n < 30; n++)
			check_present(&s, wear(&s));
	}
}

/* Every attribute combination under each operation that takes no argument. */
static void simple_operations_exhaustively(void **state)
{
	uint64_t mask = SUITE_ATTRS, attrs = 0;

	(void)state;
	do {
		if (!attrs_legal(attrs))
			continue;
		for_each_leaf_level(level)
		{
			unsigned idx = rnd_slot();
			bool cont =
				suite_x->cont_shift[level] && (attrs & PF_PTE_PERM) && (rnd() & 1);
			struct sample s = sample_of(rnd_frame(level, idx), attrs, level, idx, cont);
			struct sample t = s;

			t.hw = pf_hw_mkyoung(s.hw);
			t.e = pf_pte_set(s.e, PF_PTE_A);
			check_present(&t, "mkyoung");
			t.hw = pf_hw_mkold(s.hw);
			t.e = pf_pte_clear(s.e, PF_PTE_A);
			check_present(&t, "mkold");
			t.hw = pf_hw_mkdirty(s.hw);
			t.e = pf_pte_set(s.e, PF_PTE_D);
			check_present(&t, "mkdirty");
			t.hw = pf_hw_mkclean(s.hw);
			t.e = pf_pte_clear(s.e, PF_PTE_D);
			check_present(&t, "mkclean");
			t.hw = pf_hw_wrprotect(s.hw);
			t.e = pf_pte_clear(s.e, PF_PTE_W);
			check_present(&t, "wrprotect");
		}
	} while ((attrs = (attrs - mask) & mask));
}

/* The same operation again changes nothing, not even in the word. */
static void simple_operations_are_idempotent(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_worn_sample();
		pf_hw_t w;

		w = pf_hw_mkyoung(s.hw);
		CHECK_SAMPLE(pf_hw_same(pf_hw_mkyoung(w), w), &s);
		w = pf_hw_mkold(s.hw);
		CHECK_SAMPLE(pf_hw_same(pf_hw_mkold(w), w), &s);
		w = pf_hw_mkdirty(s.hw);
		CHECK_SAMPLE(pf_hw_same(pf_hw_mkdirty(w), w), &s);
		w = pf_hw_mkclean(s.hw);
		CHECK_SAMPLE(pf_hw_same(pf_hw_mkclean(w), w), &s);
		w = pf_hw_wrprotect(s.hw);
		CHECK_SAMPLE(pf_hw_same(pf_hw_wrprotect(w), w), &s);
		/* "nothing to do" is decided on words (E2): an operation without effect keeps the
		 * word */
		if (pf_pte_young(s.e))
			CHECK_SAMPLE(pf_hw_same(pf_hw_mkyoung(s.hw), s.hw), &s);
		else
			CHECK_SAMPLE(pf_hw_same(pf_hw_mkold(s.hw), s.hw), &s);
		if (!pf_pte_write(s.e))
			CHECK_SAMPLE(pf_hw_same(pf_hw_wrprotect(s.hw), s.hw), &s);
		if (!pf_pte_dirty(s.e))
			CHECK_SAMPLE(pf_hw_same(pf_hw_mkclean(s.hw), s.hw), &s);
	}
}

/* mprotect's change from every permission to every other, with D and contiguity in both states. */
static void modify_every_permission(void **state)
{
	uint64_t mask = SUITE_ATTRS & PF_PTE_PROT_BITS, prot = 0;

	(void)state;
	do {
		for (unsigned i = 0; i < 64; i++) {
			struct sample s = rnd_worn_sample();

			if (!attrs_legal((s.e.v & ~PF_PTE_PROT_BITS & SUITE_ATTRS) | prot))
				continue;
			s.hw = pf_hw_modify(s.hw, s.level, s.idx, prot);
			s.e = pf_pte_modify(s.e, prot);
			s.cont &= pf_pte_accessible(s.e);
			check_present(&s, "modify");
		}
	} while ((prot = (prot - mask) & mask));
}

/* prot may carry bits that are not modify's: callers hand over a whole VMA's worth. */
static void modify_ignores_other_bits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_worn_sample();
		uint64_t prot = rnd_attrs();

		CHECK_SAMPLE(pf_hw_same(pf_hw_modify(s.hw, s.level, s.idx, prot),
				     pf_hw_modify(s.hw, s.level, s.idx, prot & PF_PTE_PROT_BITS)),
			&s);
	}
}

/* Rule I7, and NUMA hints: to PROT_NONE and back, everything but contiguity is as it was. */
static void protnone_and_back(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_worn_sample(), t = s;
		uint64_t none = s.e.v & PF_PTE_PROT_BITS & ~PF_PTE_PERM;

		t.hw = pf_hw_modify(s.hw, s.level, s.idx, none);
		t.e = pf_pte_modify(s.e, none);
		t.cont = false;
		check_present(&t, "modify to PROT_NONE");
		/* no bit of contiguity is left: the word is the one of a single entry */
		if (s.cont)
			CHECK_SAMPLE(pf_hw_same(t.hw, pf_hw_modify(pf_hw_set_cont(s.hw, s.level,
									   s.idx, false),
							      s.level, s.idx, none)),
				&s);
		t.hw = pf_hw_modify(t.hw, t.level, t.idx, s.e.v & PF_PTE_PROT_BITS);
		t.e = s.e;
		check_present(&t, "modify back");
	}
}

const struct CMUnitTest suite_change[] = {
	cmocka_unit_test(set_cont_is_inverse),
	cmocka_unit_test(set_cont_is_encode),
	cmocka_unit_test(set_cont_off_on_single),
	cmocka_unit_test(advance_is_the_next_frame),
	cmocka_unit_test(each_operation_is_the_neutral_one),
	cmocka_unit_test(long_sequences_of_operations),
	cmocka_unit_test(simple_operations_exhaustively),
	cmocka_unit_test(simple_operations_are_idempotent),
	cmocka_unit_test(modify_every_permission),
	cmocka_unit_test(modify_ignores_other_bits),
	cmocka_unit_test(protnone_and_back),
};
const size_t suite_change_nr = PF_ARRAY_SIZE(suite_change);
