/* SPDX-License-Identifier: MIT */
/*
 * The geometry of the format being compiled (-DPF_FMT=<id>), and what follows from it. Constants only:
 * lib/ops may include this, hardware bits it may not.
 */
#ifndef PF_FMT_GEOMETRY_H
#define PF_FMT_GEOMETRY_H

#include "base/bits.h"
#include "fmt/entry.h"

/* clang-format off */
#define PF_FMT_GEO_HEADER PF_STR(fmt/PF_CAT2(PF_FMT, _geo).h)
/* clang-format on */
#include PF_FMT_GEO_HEADER

#define PF_PAGE_SIZE     (UINT64_C(1) << PF_PAGE_SHIFT)
#define PF_TABLE_ENTRIES (1u << PF_LEVEL_BITS)
#define PF_TABLE_BYTES   (UINT64_C(1) << (PF_LEVEL_BITS + PF_ENTRY_SHIFT))
/* log2 of the bytes that one entry of a level spans */
#define PF_LEVEL_SHIFT(l) (PF_PAGE_SHIFT + (l)*PF_LEVEL_BITS)
#define PF_LEVEL_SIZE(l)  (UINT64_C(1) << PF_LEVEL_SHIFT(l))
#define PF_CONT_NR(l)     (1u << PF_CONT_SHIFT(l))
#define PF_CONT_SIZE(l)   (PF_LEVEL_SIZE(l) << PF_CONT_SHIFT(l))

PF_STATIC_ASSERT(PF_LEVELS >= 2 && PF_LEVELS <= 5, "levels");
PF_STATIC_ASSERT(PF_LEAF_LEVELS & 1, "the last level holds pages");
PF_STATIC_ASSERT(PF_VA_BITS <= PF_PAGE_SHIFT + PF_LEVELS * PF_LEVEL_BITS, "address bits");

PF_INLINE unsigned pf_level_index(pf_va_t va, unsigned level)
{
	return (unsigned)(va >> PF_LEVEL_SHIFT(level)) & (PF_TABLE_ENTRIES - 1);
}

#endif
