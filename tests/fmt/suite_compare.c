/* SPDX-License-Identifier: MIT */
/* Contract suite: which words are the same entry, which may be overwritten, which must be flushed.
 */
#include "suite.h"

#define MANY 200000u

/* ---- norm ---- */

static uint64_t neutral_norm(pf_pte_t e, unsigned respect)
{
	uint64_t v = e.v & ~PF_PTE_A;

	if (!(respect & PF_FPB_RESPECT_DIRTY))
		v &= ~PF_PTE_D;
	if (!(respect & PF_FPB_RESPECT_SOFT_DIRTY))
		v &= ~PF_PTE_SOFT_DIRTY;
	if (!(respect & PF_FPB_RESPECT_WRITE))
		v &= ~PF_PTE_W;
	return v;
}

static void check_norm_pair(const struct sample *a, const struct sample *b, unsigned respect)
{
	pf_hw_t na = pf_hw_norm(a->hw, a->level, a->idx, respect);
	pf_hw_t nb = pf_hw_norm(b->hw, b->level, b->idx, respect);
	bool want = neutral_norm(a->e, respect) == neutral_norm(b->e, respect);

	CHECK(pf_hw_same(na, nb) == want, "respect 0x%x: %s and %s; norms %s and %s", respect,
		sample_text(a), sample_text(b), hw_text(na), hw_text(nb));
}

/* The same leaf, worn differently: same norm exactly when only what is ignored differs. */
static void norm_of_worn_twins(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(2 * MANY); i++) {
		struct sample a = rnd_worn_sample(), b = a;

		for (unsigned n = (unsigned)rnd_below(4); n; n--)
			wear(&b);
		check_norm_pair(&a, &b, (unsigned)rnd_below(32));
	}
}

/* Flip each attribute and each frame bit alone. */
static void norm_tells_every_other_bit(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(5000u); i++) {
		struct sample a = rnd_sample();

		for (unsigned bit = 3; bit < 64; bit++) {
			uint64_t attrs = a.e.v & SUITE_ATTRS;
			pf_pfn_t pfn = pf_pte_pfn(a.e);
			struct sample b;
			bool cont = a.cont;

			if (bit >= PF_PTE_FRAME_SHIFT) {
				unsigned fbit = bit - PF_PTE_FRAME_SHIFT;

				/* the bits of a block's frame below its size are its slot's */
				if (fbit >= suite_x->frame_bits || fbit < leaf_shift(a.level) ||
					(cont && fbit < leaf_shift(a.level) +
								 suite_x->cont_shift[a.level]))
					continue;
				pfn ^= PF_BIT(fbit);
			} else {
				if (!(SUITE_ATTRS & PF_BIT(bit)))
					continue;
				attrs ^= PF_BIT(bit);
				if (!attrs_legal(attrs))
					continue;
				cont &= !!(attrs & PF_PTE_PERM);
			}
			b = sample_of(pfn, attrs, a.level, a.idx, cont);
			for (unsigned respect = 0; respect < 8; respect++)
				check_norm_pair(&a, &b, respect);
		}
	}
}

/*
 * What lib/pt does with a block: slot i belongs to it if its norm is the first slot's, advanced.
 * The slots may be contiguous or not, each in its own state of wear.
 */
static void norm_of_neighbours(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample a = rnd_worn_sample(), b;
		unsigned respect = (unsigned)rnd_below(8);
		unsigned slot = a.idx & (cont_nr(a.level) - 1);
		unsigned n = (unsigned)rnd_below(cont_nr(a.level) - slot);
		uint64_t pages = (uint64_t)n << leaf_shift(a.level);
		pf_hw_t na, nb;
		bool want;

		if (pf_pte_pfn(a.e) + pages > PF_MASK(suite_x->frame_bits - 1, 0))
			continue;
		b = sample_of(
			pf_pte_pfn(a.e) + pages, a.e.v & SUITE_ATTRS, a.level, a.idx + n, a.cont);
		for (unsigned k = (unsigned)rnd_below(3); k; k--)
			wear(&b);
		na = pf_hw_norm(a.hw, a.level, a.idx, respect);
		nb = pf_hw_norm(b.hw, b.level, b.idx, respect);
		want = neutral_norm(pf_pte_advance(a.e, pages), respect) ==
		       neutral_norm(b.e, respect);
		CHECK(pf_hw_same(pf_hw_advance(na, a.level, n), nb) == want,
			"respect 0x%x: %s and %u on %s", respect, sample_text(&a), n,
			sample_text(&b));
	}
}

/* A norm is a present word of its own: single, old, and its own norm. */
static void norm_is_a_fixed_point(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_worn_sample();
		unsigned respect = (unsigned)rnd_below(8);
		pf_hw_t n = pf_hw_norm(s.hw, s.level, s.idx, respect);

		CHECK_SAMPLE(pf_hw_same(pf_hw_norm(n, s.level, s.idx, respect), n), &s);
		CHECK_SAMPLE(!pf_hw_cont(n) && !pf_hw_young(n), &s);
		CHECK_SAMPLE(pf_hw_pfn(n, s.level, s.idx) == pf_pte_pfn(s.e), &s);
	}
}

/* ---- settled (DESIGN 4.3) ---- */

static bool want_settled(pf_pte_t e, unsigned features)
{
	features &= suite_x->ad_features;
	if (!pf_pte_accessible(e))
		return true;
	if ((features & PF_FEAT_HAF) && !pf_pte_young(e))
		return false;
	if (!(features & PF_FEAT_HD) || pf_pte_dirty(e))
		return true;
	/* where D may be late, W says nothing of what TLBs still hold */
	return !suite_x->late_d && !pf_pte_write(e);
}

/* Features of hardware that may stand under any format: HD implies HAF. */
static unsigned rnd_features(void)
{
	unsigned f = (unsigned)rnd() & (PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT |
					       PF_FEAT_TLB_RANGE | PF_FEAT_TTL);

	switch (rnd_below(3)) {
	case 0:
		return f;
	case 1:
		return f | PF_FEAT_HAF;
	default:
		return f | PF_FEAT_HAF | PF_FEAT_HD;
	}
}

static void settled_truth_table(void **state)
{
	uint64_t mask = SUITE_ATTRS, attrs = 0;

	(void)state;
	do {
		if (!attrs_legal(attrs))
			continue;
		for_each_leaf_level(level)
		{
			static const unsigned sets[] = {0, PF_FEAT_HAF, PF_FEAT_HAF | PF_FEAT_HD};
			unsigned idx = rnd_slot();
			bool cont =
				suite_x->cont_shift[level] && (attrs & PF_PTE_PERM) && (rnd() & 1);
			struct sample s = sample_of(rnd_frame(level, idx), attrs, level, idx, cont);

			for (unsigned i = 0; i < PF_ARRAY_SIZE(sets); i++)
				CHECK(pf_hw_settled(s.hw, sets[i]) == want_settled(s.e, sets[i]),
					"features 0x%x: %s", sets[i], sample_text(&s));
		}
	} while ((attrs = (attrs - mask) & mask));
}

static void settled_when_worn(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample s = rnd_worn_sample();
		unsigned f = rnd_features();

		CHECK(pf_hw_settled(s.hw, f) == want_settled(s.e, f), "features 0x%x: %s", f,
			sample_text(&s));
	}
}

static void check_soft_settled(pf_pte_t e, unsigned level)
{
	pf_hw_t hw = pf_hw_encode(e, level, false);

	CHECK(pf_hw_settled(hw, PF_FEAT_HAF | PF_FEAT_HD), "level %u: 0x%016llx, word %s", level,
		(unsigned long long)e.v, hw_text(hw));
}

static void settled_when_not_present(void **state)
{
	(void)state;
	assert_true(pf_hw_settled(pf_hw_empty(), PF_FEAT_HAF | PF_FEAT_HD));
	for_each_leaf_level(level) for_each_softleaf(check_soft_settled, level);
}

/* ---- needs_flush (row B4) ---- */

enum answer { NO, YES, EITHER };

/*
 * Of two leaves at one place. A cached translation of old must go if it allows what new does not,
 * or reaches what new does not, or lets a store pass without setting the D that new lacks.
 */
static enum answer want_flush(const struct sample *old, const struct sample *new)
{
	uint64_t a = old->e.v, b = new->e.v;
	uint64_t software = PF_PTE_SPECIAL | PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP;
	uint64_t identity = PF_PTE_FRAME | (PF_PTE_PROT_BITS & ~PF_PTE_PERM);

	if (!pf_pte_accessible(old->e) || pf_hw_same(old->hw, new->hw))
		return NO;
	if ((a & identity) != (b & identity) || old->cont != new->cont)
		return YES;
	if (a & ~b & PF_PTE_PERM)
		return YES;
	if ((a & PF_PTE_W) && (a & ~b & PF_PTE_D))
		return YES;
	return (a ^ b) & ~software ? EITHER : NO;
}

static void check_flush(const struct sample *old, const struct sample *new)
{
	enum answer want = want_flush(old, new);
	bool got = pf_hw_needs_flush(old->hw, new->hw);

	CHECK(want == EITHER || got == (want == YES), "answered %s: from %s to %s",
		got ? "yes" : "no", sample_text(old), sample_text(new));
}

/* One difference between two leaves: attribute, frame bit or contiguity. */
static void b4_flush_for_each_difference(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(5000u); i++) {
		struct sample a = rnd_sample(), b;

		b = a;
		check_flush(&a, &b);
		if (suite_x->cont_shift[a.level] && pf_pte_accessible(a.e)) {
			b = sample_of(
				pf_pte_pfn(a.e), a.e.v & SUITE_ATTRS, a.level, a.idx, !a.cont);
			check_flush(&a, &b);
		}
		for (unsigned bit = 3; bit < 64; bit++) {
			uint64_t attrs = a.e.v & SUITE_ATTRS;
			pf_pfn_t pfn = pf_pte_pfn(a.e);
			bool cont;

			if (bit >= PF_PTE_FRAME_SHIFT)
				pfn ^= PF_BIT(bit - PF_PTE_FRAME_SHIFT);
			else if (SUITE_ATTRS & PF_BIT(bit))
				attrs ^= PF_BIT(bit);
			else
				continue;
			if (!attrs_legal(attrs) || pfn >> suite_x->frame_bits ||
				pfn << (64 - leaf_shift(a.level) - 1) << 1)
				continue;
			cont = a.cont && (attrs & PF_PTE_PERM);
			/* a block's word need not show which slot's frame was changed */
			if (cont && (pfn ^ pf_pte_pfn(a.e)) &&
				bit - PF_PTE_FRAME_SHIFT <
					leaf_shift(a.level) + suite_x->cont_shift[a.level])
				continue;
			b = sample_of(pfn, attrs, a.level, a.idx, cont);
			check_flush(&a, &b);
			check_flush(&b, &a);
		}
	}
}

static void b4_flush_after_operations(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(2 * MANY); i++) {
		struct sample a = rnd_worn_sample(), b = a;

		for (unsigned n = 1 + (unsigned)rnd_below(3); n; n--)
			wear(&b);
		check_flush(&a, &b);
	}
}

/* From and to what is not a leaf. */
static void b4_flush_of_live_and_dead(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct sample a = rnd_worn_sample();
		pf_hw_t soft = pf_hw_encode(rnd_softleaf(), a.level, false);
		bool live = pf_pte_accessible(a.e);

		CHECK_SAMPLE(pf_hw_needs_flush(a.hw, pf_hw_empty()) == live, &a);
		CHECK_SAMPLE(pf_hw_needs_flush(a.hw, soft) == live, &a);
		CHECK_SAMPLE(!pf_hw_needs_flush(pf_hw_empty(), a.hw), &a);
		CHECK_SAMPLE(!pf_hw_needs_flush(soft, a.hw), &a);
		CHECK_SAMPLE(!pf_hw_needs_flush(soft, pf_hw_empty()), &a);
		CHECK_SAMPLE(!pf_hw_needs_flush(pf_hw_empty(), soft), &a);
		/* a leaf split into a table */
		if (a.level && live)
			CHECK_SAMPLE(pf_hw_needs_flush(a.hw, pf_hw_mktable(PF_BIT(30))), &a);
	}
}

const struct CMUnitTest suite_compare[] = {
	cmocka_unit_test(norm_of_worn_twins),
	cmocka_unit_test(norm_tells_every_other_bit),
	cmocka_unit_test(norm_of_neighbours),
	cmocka_unit_test(norm_is_a_fixed_point),
	cmocka_unit_test(settled_truth_table),
	cmocka_unit_test(settled_when_worn),
	cmocka_unit_test(settled_when_not_present),
	cmocka_unit_test(b4_flush_for_each_difference),
	cmocka_unit_test(b4_flush_after_operations),
	cmocka_unit_test(b4_flush_of_live_and_dead),
};
const size_t suite_compare_nr = PF_ARRAY_SIZE(suite_compare);
