/* SPDX-License-Identifier: MIT */
/* fake-2w (docs/FAKE.md): two 32-bit words an entry, tables of 2048 entries, blocks of 4. */
#ifndef PF_FMT_FAKE_2W_GEO_H
#define PF_FMT_FAKE_2W_GEO_H

#define PF_FMT_NAME      "fake-2w"
#define PF_PAGE_SHIFT    12
#define PF_LEVELS        3
#define PF_LEVEL_BITS    11
#define PF_VA_BITS       45
#define PF_ENTRY_SHIFT   3
#define PF_CONT_SHIFT(l) ((l) ? 0 : 2)
#define PF_CONT_REPEATS  0
#define PF_LEAF_LEVELS   0x3

/* Of the memory types, normal and PF_MEM_NC: one bit of the neutral field. */
#define PF_PTE_SUPPORTED                                                                           \
	(PF_PTE_PERM | PF_PTE_A | PF_PTE_D | PF_PTE_SPECIAL | PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP | \
		(uint64_t)PF_MEM_NC << PF_PTE_MEM_SHIFT)
#define PF_PFN_BITS         36
#define PF_SWAP_OFFSET_BITS 32
#define PF_HW_AD_FEATURES   (PF_FEAT_HAF | PF_FEAT_HD)
#define PF_HW_LATE_D        1

#endif
