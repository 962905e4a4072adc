/* SPDX-License-Identifier: MIT */
/* fake-nz (docs/FAKE.md): the empty entry is not zero, a block repeats one word, A and D are
 * software's. */
#ifndef PF_FMT_FAKE_NZ_GEO_H
#define PF_FMT_FAKE_NZ_GEO_H

#define PF_FMT_NAME      "fake-nz"
#define PF_PAGE_SHIFT    12
#define PF_LEVELS        4
#define PF_LEVEL_BITS    9
#define PF_VA_BITS       48
#define PF_ENTRY_SHIFT   3
#define PF_CONT_SHIFT(l) ((l) <= 1 ? 3 : 0)
#define PF_CONT_REPEATS  1
#define PF_LEAF_LEVELS   0x7

#define PF_PTE_SUPPORTED                                                                           \
	(PF_PTE_PERM | PF_PTE_KERNEL | PF_PTE_A | PF_PTE_D | PF_PTE_SPECIAL | PF_PTE_SOFT_DIRTY |  \
		PF_PTE_UFFD_WP | PF_PTE_MEM | PF_PTE_KEY)
#define PF_PFN_BITS         40
#define PF_SWAP_OFFSET_BITS 40
#define PF_HW_AD_FEATURES   0
#define PF_HW_LATE_D        0

#endif
