/* SPDX-License-Identifier: MIT */
/*
 * fake-nz: the word as docs/FAKE.md lays it out. Included by fmt/contract.h.
 *
 * The eight entries of a contiguous block hold one and the same word: the block's first frame, with
 * the bit set that is half the block. Which frame an entry maps depends on its slot, so every
 * function that must know it takes idx, and no other may touch the frame of a contiguous word.
 */
#ifndef PF_FMT_FAKE_NZ_H
#define PF_FMT_FAKE_NZ_H

#include "fmt/geometry.h"
#include "fmt/soft.h"
#include "fmt/words.h"

#define PF_NZ_TAG UINT64_C(61) /* 63:61 */
enum pf_nz_tag {
	PF_NZ_LEAF = 0,
	PF_NZ_TABLE = 1,
	PF_NZ_BLOCK = 2,
	PF_NZ_PROTNONE = 3,
	PF_NZ_SOFT = 4,
	PF_NZ_EMPTY = 7,
};
#define PF_NZ_TAG_MASK   PF_MASK(63, 61)
#define PF_NZ_FRAME      21 /* 60:21 */
#define PF_NZ_FRAME_MASK PF_MASK(60, 21)
/* tag PF_NZ_SOFT */
#define PF_NZ_EXCLUSIVE 6
#define PF_NZ_KIND      9  /* 11:9 */
#define PF_NZ_SUB       16 /* 20:16 */

#define PF_PLAIN_WORD     w
#define PF_PLAIN_A        PF_BIT(4)
#define PF_PLAIN_D        PF_BIT(5)
#define PF_PLAIN_W        PF_BIT(1)
#define PF_PLAIN_SOFTWARE PF_MASK(8, 6)

PF_INLINE uint64_t pf_nz_tagged(enum pf_nz_tag tag)
{
	return (uint64_t)tag << PF_NZ_TAG;
}

PF_INLINE enum pf_nz_tag pf_nz_tag(pf_hw_t hw)
{
	return (enum pf_nz_tag)(hw.w >> PF_NZ_TAG);
}

/* Neutral 11:3 (permissions to uffd-wp) go to 8:0, memory type and key (20:14) to 15:9. */
PF_INLINE uint64_t pf_nz_put(uint64_t v)
{
	return (v & PF_MASK(11, 3)) >> 3 | (v & PF_MASK(20, 14)) >> 5;
}

PF_INLINE uint64_t pf_nz_get(uint64_t w)
{
	return (w & PF_MASK(8, 0)) << 3 | (w & PF_MASK(15, 9)) << 5;
}

PF_INLINE uint64_t pf_nz_put_frame(pf_pfn_t pfn)
{
	return pfn << PF_NZ_FRAME & PF_NZ_FRAME_MASK;
}

PF_INLINE pf_pfn_t pf_nz_get_frame(uint64_t w)
{
	return (w & PF_NZ_FRAME_MASK) >> PF_NZ_FRAME;
}

/* Frames of one entry's page, log2. */
PF_INLINE unsigned pf_nz_order(unsigned level)
{
	return level * PF_LEVEL_BITS;
}

/* The frame field of the block that pfn, a page of it, lies in: the base is aligned to eight. */
PF_INLINE uint64_t pf_nz_put_block(pf_pfn_t pfn, unsigned level)
{
	pf_pfn_t base = pf_align_down(pfn, UINT64_C(8) << pf_nz_order(level));

	return pf_nz_put_frame(base | UINT64_C(4) << pf_nz_order(level));
}

PF_INLINE pf_hw_t pf_hw_empty(void)
{
	return pf_hw_of(pf_nz_tagged(PF_NZ_EMPTY));
}

PF_INLINE bool pf_hw_none(pf_hw_t hw)
{
	return hw.w == pf_nz_tagged(PF_NZ_EMPTY);
}

PF_INLINE bool pf_hw_valid(pf_hw_t hw)
{
	return pf_nz_tag(hw) <= PF_NZ_BLOCK;
}

PF_INLINE bool pf_hw_table(pf_hw_t hw, unsigned level)
{
	return level && pf_nz_tag(hw) == PF_NZ_TABLE;
}

PF_INLINE bool pf_hw_present(pf_hw_t hw, unsigned level)
{
	(void)level;
	return pf_nz_tag(hw) == PF_NZ_LEAF || pf_nz_tag(hw) == PF_NZ_BLOCK ||
	       pf_nz_tag(hw) == PF_NZ_PROTNONE;
}

PF_INLINE bool pf_hw_cont(pf_hw_t hw)
{
	return pf_nz_tag(hw) == PF_NZ_BLOCK;
}

#include "fmt/plain.h"

PF_INLINE pf_hw_t pf_hw_encode(pf_pte_t e, unsigned level, bool cont)
{
	struct pf_soft s;

	if (pf_pte_none(e))
		return pf_hw_empty();
	if (pf_pte_present(e)) {
		if (!pf_pte_accessible(e))
			return pf_hw_of(pf_nz_put(e.v) | pf_nz_put_frame(pf_pte_pfn(e)) |
					pf_nz_tagged(PF_NZ_PROTNONE));
		if (cont)
			return pf_hw_of(pf_nz_put(e.v) | pf_nz_put_block(pf_pte_pfn(e), level) |
					pf_nz_tagged(PF_NZ_BLOCK));
		return pf_hw_of(pf_nz_put(e.v) | pf_nz_put_frame(pf_pte_pfn(e)));
	}
	s = pf_soft_split(e);
	return pf_hw_of(pf_nz_tagged(PF_NZ_SOFT) | s.kind << PF_NZ_KIND | s.sub << PF_NZ_SUB |
			pf_soft_flag(s, PF_PTE_EXCLUSIVE) << PF_NZ_EXCLUSIVE |
			pf_nz_put(s.flags & ~PF_PTE_EXCLUSIVE) | pf_nz_put_frame(s.payload));
}

PF_INLINE pf_pfn_t pf_hw_pfn(pf_hw_t hw, unsigned level, unsigned idx)
{
	pf_pfn_t pfn = pf_nz_get_frame(hw.w);

	if (!pf_hw_cont(hw))
		return pfn;
	return pf_align_down(pfn, UINT64_C(8) << pf_nz_order(level)) +
	       ((pf_pfn_t)(idx & 7) << pf_nz_order(level));
}

PF_INLINE pf_pte_t pf_hw_decode(pf_hw_t hw, unsigned level, unsigned idx)
{
	struct pf_soft s;

	if (pf_hw_none(hw))
		return pf_pte(0);
	if (pf_hw_present(hw, level))
		return pf_pte_mk(pf_hw_pfn(hw, level, idx), pf_nz_get(hw.w));
	s.kind = hw.w >> PF_NZ_KIND & 7;
	s.sub = hw.w >> PF_NZ_SUB & 31;
	s.payload = pf_nz_get_frame(hw.w);
	s.flags = pf_nz_get(hw.w) & (PF_PTE_A | PF_PTE_D | PF_SOFT_TRACK);
	s.flags |= hw.w >> PF_NZ_EXCLUSIVE & 1 ? PF_PTE_EXCLUSIVE : 0;
	return pf_soft_join(s);
}

PF_INLINE pf_hw_t pf_hw_mktable(pf_pa_t table)
{
	return pf_hw_of(pf_nz_put_frame(table >> PF_PAGE_SHIFT) | pf_nz_tagged(PF_NZ_TABLE));
}

PF_INLINE pf_pa_t pf_hw_table_pa(pf_hw_t hw)
{
	return pf_nz_get_frame(hw.w) << PF_PAGE_SHIFT;
}

PF_INLINE pf_hw_t pf_hw_advance(pf_hw_t hw, unsigned level, uint64_t n)
{
	return pf_hw_of(hw.w + (n << (pf_nz_order(level) + PF_NZ_FRAME)));
}

/* The same attributes, with a tag and a frame field. */
PF_INLINE pf_hw_t pf_nz_rewrite(pf_hw_t hw, enum pf_nz_tag tag, uint64_t frame_field)
{
	return pf_hw_of(
		(hw.w & ~(PF_NZ_TAG_MASK | PF_NZ_FRAME_MASK)) | frame_field | pf_nz_tagged(tag));
}

PF_INLINE pf_hw_t pf_hw_set_cont(pf_hw_t hw, unsigned level, unsigned idx, bool cont)
{
	pf_pfn_t pfn = pf_hw_pfn(hw, level, idx);

	if (cont == pf_hw_cont(hw) || !pf_hw_valid(hw))
		return hw;
	if (cont)
		return pf_nz_rewrite(hw, PF_NZ_BLOCK, pf_nz_put_block(pfn, level));
	return pf_nz_rewrite(hw, PF_NZ_LEAF, pf_nz_put_frame(pfn));
}

PF_INLINE pf_hw_t pf_hw_modify(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot)
{
	uint64_t keep = PF_NZ_FRAME_MASK | PF_PLAIN_A | PF_PLAIN_D | PF_PLAIN_SOFTWARE;
	enum pf_nz_tag tag = PF_NZ_PROTNONE;

	if (prot & PF_PTE_PERM)
		tag = pf_hw_cont(hw) ? PF_NZ_BLOCK : PF_NZ_LEAF;
	else
		hw = pf_hw_set_cont(hw, level, idx, false); /* its own frame, while idx is known */
	return pf_hw_of((hw.w & keep) | pf_nz_put(prot & PF_PTE_PROT_BITS) | pf_nz_tagged(tag));
}

PF_INLINE pf_hw_t pf_hw_norm(pf_hw_t hw, unsigned level, unsigned idx, unsigned respect)
{
	uint64_t drop = PF_PLAIN_A;

	drop |= respect & PF_FPB_RESPECT_DIRTY ? 0 : PF_PLAIN_D;
	drop |= respect & PF_FPB_RESPECT_SOFT_DIRTY ? 0 : PF_BIT(7);
	drop |= respect & PF_FPB_RESPECT_WRITE ? 0 : PF_PLAIN_W;
	return pf_plain_clear(pf_hw_set_cont(hw, level, idx, false), drop);
}

#include "fmt/fake_tlbi.h"

#endif
