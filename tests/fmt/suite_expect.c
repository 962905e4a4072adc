/* SPDX-License-Identifier: MIT */
/*
 * What each format's documentation says of it (the Arm ARM for arm64, docs/FAKE.md for the others),
 * written down by hand a second time.
 */
#include "suite.h"

#define RWX_AD  (PF_PTE_R | PF_PTE_W | PF_PTE_X | PF_PTE_A | PF_PTE_D)
#define MEM_ALL (PF_BIT(14) | PF_BIT(15)) /* the four types of enum pf_memtype */

static const struct suite_expect known[] = {
	{
		.id = "arm64_4k",
		.name = "arm64-4k",
		.page_shift = 12,
		.levels = 4,
		.level_bits = 9,
		.va_bits = 48,
		.entry_shift = 3,
		.cont_shift = {4, 4},
		.leaf_levels = 7,
		/* no soft-dirty: no software bit is left for it; POIndex has 3 bits */
		.supported = RWX_AD | MEM_ALL | PF_PTE_KERNEL | PF_PTE_SPECIAL | PF_PTE_UFFD_WP |
			     PF_PTE_BTI | PF_MASK(19, 17),
		.frame_bits = 36,
		.swap_offset_bits = 50,
		.ad_features = PF_FEAT_HAF | PF_FEAT_HD,
		.arm64_tlbi = true,
		.no_kernel_xonly = true, /* at EL1 there is no execute-only without PIE */
	},
	{
		.id = "fake_inv",
		.name = "fake-inv",
		.page_shift = 12,
		.levels = 4,
		.level_bits = 7,
		.va_bits = 40,
		.entry_shift = 3,
		.cont_shift = {2},
		.leaf_levels = 3,
		.supported = RWX_AD | MEM_ALL | PF_PTE_KERNEL | PF_PTE_SPECIAL | PF_PTE_SOFT_DIRTY |
			     PF_PTE_UFFD_WP | PF_PTE_KEY,
		.frame_bits = 40,
		.swap_offset_bits = 40,
		.ad_features = PF_FEAT_HAF | PF_FEAT_HD,
		.late_d = true,
	},
	{
		.id = "fake_nz",
		.name = "fake-nz",
		.page_shift = 12,
		.levels = 4,
		.level_bits = 9,
		.va_bits = 48,
		.entry_shift = 3,
		.cont_shift = {3, 3},
		.leaf_levels = 7,
		.supported = RWX_AD | MEM_ALL | PF_PTE_KERNEL | PF_PTE_SPECIAL | PF_PTE_SOFT_DIRTY |
			     PF_PTE_UFFD_WP | PF_PTE_KEY,
		.frame_bits = 40,
		.swap_offset_bits = 40,
	},
	{
		.id = "fake_2w",
		.name = "fake-2w",
		.page_shift = 12,
		.levels = 3,
		.level_bits = 11,
		.va_bits = 45,
		.entry_shift = 3,
		.cont_shift = {2},
		.leaf_levels = 3,
		.supported =
			RWX_AD | PF_BIT(15) | PF_PTE_SPECIAL | PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP,
		.frame_bits = 36,
		.swap_offset_bits = 32,
		.ad_features = PF_FEAT_HAF | PF_FEAT_HD,
		.late_d = true,
		.two_words = true,
	},
};

const struct suite_expect *suite_expect_find(const char *id)
{
	for (size_t i = 0; i < PF_ARRAY_SIZE(known); i++)
		if (!strcmp(known[i].id, id))
			return &known[i];
	return NULL;
}
