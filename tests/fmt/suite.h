/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the contract suite share: random entries of the format under test, and checks
 * that say which entry they failed on. Written against fmt/contract.h; no file of the suite knows
 * an implementation. suite_expect.c holds what the formats' documents say about their geometry, so
 * that a format cannot pass by declaring that it supports little.
 */
#ifndef SUITE_H
#define SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fmt/contract.h"
#ifdef PF_BROKEN
#include "broken.h"
#endif

/* ---- what the documents say ---- */
struct suite_expect {
	const char *id, *name;
	unsigned page_shift, levels, level_bits, va_bits, entry_shift;
	unsigned cont_shift[5];
	unsigned leaf_levels;
	uint64_t supported;
	unsigned frame_bits;
	unsigned swap_offset_bits;
	unsigned ad_features;
	bool late_d;     /* a stale writable translation may set D where W is gone */
	bool two_words;  /* of 32 bits: software's changes are ordered by the table lock only */
	bool arm64_tlbi; /* else the fake operation */
	bool no_kernel_xonly; /* a privileged page that can be executed can be read */
};
extern const struct suite_expect *suite_x;
/* NULL for a format nobody described yet: add it to suite_expect.c. */
const struct suite_expect *suite_expect_find(const char *id);

/* Swap devices: 5 bits in the neutral entry, and every format keeps them all. */
#define SUITE_SWAP_DEVICES 32u

/* ---- random numbers, the same in every run ---- */
extern uint64_t suite_seed;
/*
 * Random cases of a test are CASES(n): n, or a part when it is only to be shown that it can fail. So are rounds in which a
 * thread waits for another to get a turn, and a smaller part, for a planted mistake may keep the other from ever counting.
 */
extern unsigned suite_haste; /* 1: all */
#define CASES(n)  ((n) / suite_haste)
#define ROUNDS(n) ((n) / suite_haste / suite_haste)

static inline uint64_t rnd(void)
{
	uint64_t z = (suite_seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t rnd_below(uint64_t n)
{
	return rnd() % n;
}

static inline bool rnd_one_in(unsigned n)
{
	return !rnd_below(n);
}

/* ---- geometry as run-time values ---- */
static inline unsigned cont_nr(unsigned level)
{
	return 1u << suite_x->cont_shift[level];
}

static inline bool is_leaf_level(unsigned level)
{
	return suite_x->leaf_levels >> level & 1;
}

/* log2 of the pages that a leaf of this level maps */
static inline unsigned leaf_shift(unsigned level)
{
	return level * suite_x->level_bits;
}

#define for_each_leaf_level(l)                                                                     \
	for (unsigned l = 0; l < suite_x->levels; l++)                                             \
		if (is_leaf_level(l))

/* ---- entries ---- */
/* A word and all that is known of it. `e` is maintained by the neutral operations alone. */
struct sample {
	pf_hw_t hw;
	pf_pte_t e;
	unsigned level, idx; /* idx: slot in its table */
	bool cont;
};

/* Attribute bits that this format must keep, without frame and kind. */
#define SUITE_ATTRS (suite_x->supported)

/* Can this combination stand in a present entry at all? */
static inline bool attrs_legal(uint64_t attrs)
{
	if ((attrs & PF_PTE_W) && !(attrs & PF_PTE_R))
		return false;
	if (((attrs & PF_PTE_MEM) >> PF_PTE_MEM_SHIFT) > PF_MEM_DEVICE)
		return false;
	if (suite_x->no_kernel_xonly && (attrs & PF_PTE_KERNEL) && (attrs & PF_PTE_X) &&
		!(attrs & PF_PTE_R))
		return false;
	return true;
}

static inline uint64_t rnd_attrs(void)
{
	uint64_t a;

	do {
		a = rnd() & SUITE_ATTRS;
		if (rnd_one_in(4))
			a &= rnd();
	} while (!attrs_legal(a));
	return a;
}

/* A frame that the entry at slot idx may map, whether its block is contiguous or not. */
pf_pfn_t rnd_frame(unsigned level, unsigned idx);
/* A random slot of a table of this format. */
unsigned rnd_slot(void);
unsigned rnd_leaf_level(void);
/* A present entry. cont only if attrs and level allow it. */
struct sample sample_of(pf_pfn_t pfn, uint64_t attrs, unsigned level, unsigned idx, bool cont);
/* A present entry with random everything. */
struct sample rnd_sample(void);
/* A random word for the same: reached by a random sequence of operations, not by encode alone. */
struct sample rnd_worn_sample(void);
/* A non-present, non-empty entry that this format must be able to hold. */
pf_pte_t rnd_softleaf(void);
/* Call fn for each non-present kind with each extreme of its fields. */
void for_each_softleaf(void (*fn)(pf_pte_t e, unsigned level), unsigned level);

/* One step of rnd_worn_sample: applies one operation to word and neutral entry alike; its name. */
const char *wear(struct sample *s);

/* ---- checks ---- */
const char *hw_text(pf_hw_t hw);
const char *sample_text(const struct sample *s);

#define CHECK(c, ...)                                                                              \
	do {                                                                                       \
		if (PF_UNLIKELY(!(c))) {                                                           \
			print_error(                                                               \
				"%s:%d: %s: not so: %s\n", __FILE__, __LINE__, suite_x->name, #c); \
			print_error("  " __VA_ARGS__);                                             \
			print_error("\n");                                                         \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

#define CHECK_SAMPLE(c, s) CHECK(c, "%s", sample_text(s))

/* Everything that can be asked of a present entry agrees with the neutral one. */
void check_present(const struct sample *s, const char *after);

/* ---- the parts ---- */
extern const struct CMUnitTest suite_codec[], suite_change[], suite_compare[], suite_memory[],
	suite_tlbi[];
extern const size_t suite_codec_nr, suite_change_nr, suite_compare_nr, suite_memory_nr,
	suite_tlbi_nr;

#endif
