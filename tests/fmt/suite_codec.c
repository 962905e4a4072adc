/* SPDX-License-Identifier: MIT */
/* Contract suite: geometry, and neutral entries to words and back. */
#include "suite.h"

static void geometry_is_the_documented_one(void **state)
{
	static const unsigned cont_shift[5] = {PF_CONT_SHIFT(0), PF_CONT_SHIFT(1), PF_CONT_SHIFT(2),
		PF_CONT_SHIFT(3), PF_CONT_SHIFT(4)};
	uint64_t undefined_mem =
		PF_BIT(16); /* memory types 4..7 do not exist; storing them is harmless */

	(void)state;
	assert_string_equal(PF_FMT_NAME, suite_x->name);
	assert_int_equal(PF_PAGE_SHIFT, suite_x->page_shift);
	assert_int_equal(PF_LEVELS, suite_x->levels);
	assert_int_equal(PF_LEVEL_BITS, suite_x->level_bits);
	assert_int_equal(PF_VA_BITS, suite_x->va_bits);
	assert_int_equal(PF_ENTRY_SHIFT, suite_x->entry_shift);
	assert_int_equal(sizeof(pf_hw_t), 1u << suite_x->entry_shift);
	for (unsigned l = 0; l < PF_LEVELS; l++)
		assert_int_equal(cont_shift[l], suite_x->cont_shift[l]);
	assert_int_equal(PF_LEAF_LEVELS, suite_x->leaf_levels);
	assert_int_equal(PF_PTE_SUPPORTED & ~undefined_mem, suite_x->supported);
	assert_int_equal(PF_PFN_BITS, suite_x->frame_bits);
	assert_int_equal(PF_SWAP_OFFSET_BITS, suite_x->swap_offset_bits);
	assert_int_equal(PF_HW_AD_FEATURES, suite_x->ad_features);
	assert_int_equal(PF_HW_LATE_D, suite_x->late_d);
}

/* All combinations of attributes, at every leaf level, single and contiguous. */
static void every_attribute_combination(void **state)
{
	uint64_t mask = SUITE_ATTRS, attrs = 0;
	uint64_t legal = 0;

	(void)state;
	do {
		if (!attrs_legal(attrs))
			continue;
		legal++;
		for_each_leaf_level(level)
		{
			unsigned idx = rnd_slot();
			pf_pfn_t pfn = rnd_frame(level, idx);
			struct sample s = sample_of(pfn, attrs, level, idx, false);

			check_present(&s, "encode");
			if (!suite_x->cont_shift[level] || !(attrs & PF_PTE_PERM))
				continue;
			s = sample_of(pfn, attrs, level, idx, true);
			check_present(&s, "encode contiguous");
		}
	} while ((attrs = (attrs - mask) & mask));
	assert_true(legal >= 1u << 8);
}

/* Each frame bit alone, all but it, the first and last frames; each slot of a block. */
static void every_frame_and_slot(void **state)
{
	uint64_t all = PF_MASK(suite_x->frame_bits - 1, 0);

	(void)state;
	for_each_leaf_level(level)
	{
		unsigned shift = leaf_shift(level) + suite_x->cont_shift[level];

		for (unsigned bit = shift; bit <= suite_x->frame_bits; bit++) {
			for (unsigned form = 0; form < 2; form++) {
				/* bit == frame_bits: frame 0, and then the last block */
				uint64_t base = bit < suite_x->frame_bits ? PF_BIT(bit) : 0;

				if (form)
					base = (all & ~base) >> shift << shift;
				for (unsigned slot = 0; slot < cont_nr(level); slot++) {
					pf_pfn_t pfn = base + ((uint64_t)slot << leaf_shift(level));
					uint64_t attrs = rnd_attrs();
					unsigned idx = rnd_slot() & ~(cont_nr(level) - 1);
					struct sample s =
						sample_of(pfn, attrs, level, idx + slot, false);

					check_present(&s, "encode");
					if (!suite_x->cont_shift[level])
						continue;
					s = sample_of(
						pfn, attrs | PF_PTE_R, level, idx + slot, true);
					check_present(&s, "encode contiguous");
				}
			}
		}
	}
}

/* A single entry's frame has nothing to do with its slot. */
static void single_entries_stand_anywhere(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(100000u); i++) {
		unsigned level = rnd_leaf_level();
		struct sample s = sample_of(
			rnd_frame(level, rnd_slot()), rnd_attrs(), level, rnd_slot(), false);

		check_present(&s, "encode");
	}
}

/*
 * The encoding of a block may not hang on which of its slots one starts from: all slots of a block
 * with equal attributes decode to ascending frames.
 */
static void block_frames_ascend(void **state)
{
	(void)state;
	for_each_leaf_level(level)
	{
		unsigned n = cont_nr(level);

		for (unsigned i = 0; n > 1 && i < CASES(5000u); i++) {
			unsigned first = rnd_slot() & ~(n - 1);
			pf_pfn_t base = rnd_frame(level, first);
			uint64_t attrs = rnd_attrs() | PF_PTE_R;

			for (unsigned k = 0; k < n; k++) {
				pf_pte_t e =
					pf_pte_mk(base + ((uint64_t)k << leaf_shift(level)), attrs);
				pf_hw_t hw = pf_hw_encode(e, level, true);

				CHECK(pf_hw_pfn(hw, level, first + k) == pf_pte_pfn(e),
					"slot %u, word %s", first + k, hw_text(hw));
			}
		}
	}
}

/* Rule I7: an inaccessible entry is never contiguous, whoever asks. */
static void protnone_never_contiguous(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(100000u); i++) {
		unsigned level = rnd_leaf_level(), idx = rnd_slot();
		struct sample s = sample_of(
			rnd_frame(level, idx), rnd_attrs() & ~PF_PTE_PERM, level, idx, false);
		pf_hw_t asked = pf_hw_encode(s.e, level, true);

		check_present(&s, "encode");
		if (suite_x->cont_shift[level])
			CHECK(pf_hw_same(asked, s.hw), "contiguous %s, %s", hw_text(asked),
				sample_text(&s));
	}
}

static void check_softleaf(pf_pte_t e, unsigned level)
{
	pf_hw_t hw = pf_hw_encode(e, level, false);
	pf_pte_t d = pf_hw_decode(hw, level, rnd_slot());

	CHECK(d.v == e.v, "level %u: 0x%016llx decoded 0x%016llx, word %s", level,
		(unsigned long long)e.v, (unsigned long long)d.v, hw_text(hw));
	CHECK(!pf_hw_none(hw) && !pf_hw_same(hw, pf_hw_empty()), "level %u: 0x%016llx, word %s",
		level, (unsigned long long)e.v, hw_text(hw));
	CHECK(!pf_hw_valid(hw) && !pf_hw_present(hw, level) && !pf_hw_cont(hw),
		"level %u: 0x%016llx, word %s", level, (unsigned long long)e.v, hw_text(hw));
	CHECK(!level || !pf_hw_table(hw, level), "level %u: 0x%016llx, word %s", level,
		(unsigned long long)e.v, hw_text(hw));
}

static void every_softleaf(void **state)
{
	(void)state;
	for_each_leaf_level(level) for_each_softleaf(check_softleaf, level);
	for (unsigned i = 0; i < CASES(200000u); i++)
		check_softleaf(rnd_softleaf(), rnd_leaf_level());
}

static void empty_is_none_everywhere(void **state)
{
	(void)state;
	for (unsigned level = 0; level < suite_x->levels; level++) {
		pf_hw_t hw = pf_hw_empty();

		CHECK(pf_hw_none(hw), "level %u", level);
		CHECK(!pf_hw_valid(hw) && !pf_hw_cont(hw), "level %u", level);
		CHECK(!level || !pf_hw_table(hw, level), "level %u", level);
		if (!is_leaf_level(level))
			continue;
		CHECK(!pf_hw_present(hw, level), "level %u", level);
		CHECK(pf_pte_none(pf_hw_decode(hw, level, rnd_slot())), "level %u", level);
		CHECK(pf_hw_same(pf_hw_encode(pf_pte(0), level, false), hw), "level %u", level);
	}
}

/* Present entries in every state they can wear into: none of the wrong predicates. */
static void leaf_predicates(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(200000u); i++) {
		struct sample s = rnd_worn_sample();

		check_present(&s, "wear");
	}
}

/* Table entries: at each level above the last, at each address a table can have. */
static void table_entries(void **state)
{
	uint64_t align = pf_max(PF_PAGE_SIZE, PF_TABLE_BYTES);
	uint64_t top = PF_MASK(suite_x->frame_bits + suite_x->page_shift - 1, 0);

	(void)state;
	for (unsigned i = 0; i < CASES(100000u); i++) {
		pf_pa_t pa = i < 64 ? PF_BIT(i) & top : i == 64 ? top : rnd() & top;
		pf_hw_t hw;

		pa = pf_align_down(pa, align);
		hw = pf_hw_mktable(pa);
		CHECK(pf_hw_table_pa(hw) == pa, "0x%llx, word %s", (unsigned long long)pa,
			hw_text(hw));
		CHECK(!pf_hw_none(hw) && !pf_hw_same(hw, pf_hw_empty()), "word %s", hw_text(hw));
		for (unsigned level = 1; level < suite_x->levels; level++) {
			CHECK(pf_hw_table(hw, level), "level %u, word %s", level, hw_text(hw));
			if (is_leaf_level(level))
				CHECK(!pf_hw_present(hw, level), "level %u, word %s", level,
					hw_text(hw));
		}
	}
}

/* Different entries, different words: equality of words may be used for equality of entries. */
static void same_is_equality_of_words(void **state)
{
	struct sample a = rnd_worn_sample();

	(void)state;
	for (unsigned i = 0; i < CASES(200000u); i++) {
		struct sample b = rnd_one_in(3) ? a : rnd_worn_sample();
		bool bytes = !memcmp(&a.hw, &b.hw, sizeof(a.hw));

		if (rnd_one_in(2))
			wear(&b);
		bytes = !memcmp(&a.hw, &b.hw, sizeof(a.hw));
		CHECK(pf_hw_same(a.hw, b.hw) == bytes, "%s and %s", hw_text(a.hw), hw_text(b.hw));
		a = b;
	}
	for (unsigned bit = 0; bit < 8 * sizeof(pf_hw_t); bit++) {
		struct sample b = a;

		((unsigned char *)&b.hw)[bit / 8] ^= (unsigned char)(1u << bit % 8);
		CHECK(!pf_hw_same(a.hw, b.hw), "bit %u of the word is not compared", bit);
	}
}

const struct CMUnitTest suite_codec[] = {
	cmocka_unit_test(geometry_is_the_documented_one),
	cmocka_unit_test(every_attribute_combination),
	cmocka_unit_test(every_frame_and_slot),
	cmocka_unit_test(single_entries_stand_anywhere),
	cmocka_unit_test(block_frames_ascend),
	cmocka_unit_test(protnone_never_contiguous),
	cmocka_unit_test(every_softleaf),
	cmocka_unit_test(empty_is_none_everywhere),
	cmocka_unit_test(leaf_predicates),
	cmocka_unit_test(table_entries),
	cmocka_unit_test(same_is_equality_of_words),
};
const size_t suite_codec_nr = PF_ARRAY_SIZE(suite_codec);
