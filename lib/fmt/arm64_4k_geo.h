/* SPDX-License-Identifier: MIT */
/*
 * arm64, 4K granule, 48-bit addresses: four levels of 512 entries. Our levels count from the leaf
 * up, Arm's from the root down: Arm's level is 3 minus ours.
 *
 * The contiguous bit joins 16 entries, at level 0 (64K of pages) and at level 1 (32M of 2M blocks).
 * Sixteen 1G blocks may be joined too; nothing here makes use of that.
 */
#ifndef PF_FMT_ARM64_4K_GEO_H
#define PF_FMT_ARM64_4K_GEO_H

#define PF_FMT_NAME      "arm64-4k"
#define PF_PAGE_SHIFT    12
#define PF_LEVELS        4
#define PF_LEVEL_BITS    9
#define PF_VA_BITS       48
#define PF_ENTRY_SHIFT   3
#define PF_CONT_SHIFT(l) ((l) <= 1 ? 4 : 0)
#define PF_CONT_REPEATS  0
#define PF_LEAF_LEVELS   0x7

/* No soft-dirty (there is no bit left that hardware ignores and Linux's layout does not use), no
 * shadow stack; three bits of key (POIndex). */
#define PF_PTE_SUPPORTED                                                                           \
	(PF_PTE_PERM | PF_PTE_KERNEL | PF_PTE_A | PF_PTE_D | PF_PTE_SPECIAL | PF_PTE_UFFD_WP |     \
		PF_PTE_BTI | PF_PTE_MEM | PF_MASK(19, 17))
#define PF_PFN_BITS         36
#define PF_SWAP_OFFSET_BITS 50
#define PF_HW_AD_FEATURES   (PF_FEAT_HAF | PF_FEAT_HD)
#define PF_HW_LATE_D        0

#endif
