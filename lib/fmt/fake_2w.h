/* SPDX-License-Identifier: MIT */
/*
 * fake-2w: two words an entry, as docs/FAKE.md lays them out. Included by fmt/contract.h. How the
 * two words are read and written so that they act as one is in fmt/fake_2w_access.h.
 */
#ifndef PF_FMT_FAKE_2W_H
#define PF_FMT_FAKE_2W_H

#include "fmt/geometry.h"
#include "fmt/soft.h"

struct pf_hw {
	uint32_t lo, hi;
};

/* low word */
#define PF_2W_VALID      (1u << 0)
#define PF_2W_TABLE      (1u << 4)
#define PF_2W_CONT       (1u << 7)
#define PF_2W_EXCLUSIVE  8
#define PF_2W_SOFT_DIRTY (1u << 9)
#define PF_2W_FRAME_LO   12       /* 31:12, 20 bits */
#define PF_2W_LO_MASK    0xfffffu /* of a frame number */
/* high word */
#define PF_2W_FRAME_HI 0xffffu /* 15:0 */
#define PF_2W_KIND     16      /* 18:16 */
#define PF_2W_SUB      19      /* 23:19 */
#define PF_2W_PROTNONE 1u

#define PF_PLAIN_WORD     lo
#define PF_PLAIN_A        (1u << 5)
#define PF_PLAIN_D        (1u << 6)
#define PF_PLAIN_W        (1u << 1)
#define PF_PLAIN_SOFTWARE (7u << 8)

/* Neutral W X (5:4) go to 2:1, R stays at 3, A D go to 6:5, special to uffd-wp (11:9) to 10:8, and
 * the memory type's middle bit (PF_MEM_NC) to 11. */
PF_INLINE uint32_t pf_2w_put(uint64_t v)
{
	return (uint32_t)((v & PF_MASK(5, 4)) >> 3 | (v & PF_BIT(3)) | (v & PF_MASK(8, 7)) >> 2 |
			  (v & PF_MASK(11, 9)) >> 1 | (v & PF_BIT(15)) >> 4);
}

PF_INLINE uint64_t pf_2w_get(uint64_t lo)
{
	return (lo & PF_MASK(2, 1)) << 3 | (lo & PF_BIT(3)) | (lo & PF_MASK(6, 5)) << 2 |
	       (lo & PF_MASK(10, 8)) << 1 | (lo & PF_BIT(11)) << 4;
}

PF_INLINE pf_hw_t pf_2w_frame(pf_pfn_t pfn)
{
	return (pf_hw_t){.lo = (uint32_t)(pfn & PF_2W_LO_MASK) << PF_2W_FRAME_LO,
		.hi = (uint32_t)(pfn >> 20) & PF_2W_FRAME_HI};
}

PF_INLINE pf_pfn_t pf_2w_get_frame(pf_hw_t hw)
{
	return hw.lo >> PF_2W_FRAME_LO | (pf_pfn_t)(hw.hi & PF_2W_FRAME_HI) << 20;
}

PF_INLINE unsigned pf_2w_kind(pf_hw_t hw)
{
	return hw.hi >> PF_2W_KIND & 7;
}

PF_INLINE pf_hw_t pf_hw_empty(void)
{
	return (pf_hw_t){0};
}

PF_INLINE bool pf_hw_same(pf_hw_t a, pf_hw_t b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

PF_INLINE bool pf_hw_valid(pf_hw_t hw)
{
	return hw.lo & PF_2W_VALID;
}

/* Any pair that is not valid and has no kind: the states between two writes of a pair are such. */
PF_INLINE bool pf_hw_none(pf_hw_t hw)
{
	return !pf_hw_valid(hw) && !pf_2w_kind(hw);
}

PF_INLINE bool pf_hw_table(pf_hw_t hw, unsigned level)
{
	return level && pf_hw_valid(hw) && hw.lo & PF_2W_TABLE;
}

PF_INLINE bool pf_hw_present(pf_hw_t hw, unsigned level)
{
	return pf_hw_valid(hw) ? !pf_hw_table(hw, level) : pf_2w_kind(hw) == PF_2W_PROTNONE;
}

PF_INLINE bool pf_hw_cont(pf_hw_t hw)
{
	return pf_hw_valid(hw) && hw.lo & PF_2W_CONT;
}

#include "fmt/plain.h"

PF_INLINE pf_hw_t pf_hw_encode(pf_pte_t e, unsigned level, bool cont)
{
	struct pf_soft s;
	pf_hw_t hw;

	(void)level;
	if (pf_pte_none(e))
		return pf_hw_empty();
	if (pf_pte_present(e)) {
		hw = pf_2w_frame(pf_pte_pfn(e));
		hw.lo |= pf_2w_put(e.v);
		if (pf_pte_accessible(e))
			hw.lo |= PF_2W_VALID | (cont ? PF_2W_CONT : 0);
		else
			hw.hi |= PF_2W_PROTNONE << PF_2W_KIND;
		return hw;
	}
	s = pf_soft_split(e);
	hw = pf_2w_frame(s.payload);
	hw.lo |= pf_2w_put(s.flags & ~PF_PTE_EXCLUSIVE);
	hw.lo |= (uint32_t)pf_soft_flag(s, PF_PTE_EXCLUSIVE) << PF_2W_EXCLUSIVE;
	hw.hi |= (uint32_t)(s.kind << PF_2W_KIND | s.sub << PF_2W_SUB);
	return hw;
}

PF_INLINE pf_pte_t pf_hw_decode(pf_hw_t hw, unsigned level, unsigned idx)
{
	struct pf_soft s;

	(void)idx;
	if (pf_hw_none(hw))
		return pf_pte(0);
	if (pf_hw_present(hw, level))
		return pf_pte_mk(pf_2w_get_frame(hw), pf_2w_get(hw.lo));
	s.kind = pf_2w_kind(hw);
	s.sub = hw.hi >> PF_2W_SUB & 31;
	s.payload = pf_2w_get_frame(hw);
	s.flags = pf_2w_get(hw.lo) & (PF_PTE_A | PF_PTE_D | PF_SOFT_TRACK);
	s.flags |= hw.lo >> PF_2W_EXCLUSIVE & 1 ? PF_PTE_EXCLUSIVE : 0;
	return pf_soft_join(s);
}

PF_INLINE pf_hw_t pf_hw_mktable(pf_pa_t table)
{
	pf_hw_t hw = pf_2w_frame(table >> PF_PAGE_SHIFT);

	hw.lo |= PF_2W_VALID | PF_2W_TABLE;
	return hw;
}

PF_INLINE pf_pa_t pf_hw_table_pa(pf_hw_t hw)
{
	return pf_2w_get_frame(hw) << PF_PAGE_SHIFT;
}

PF_INLINE pf_hw_t pf_2w_with_frame(pf_hw_t hw, pf_pfn_t pfn)
{
	pf_hw_t frame = pf_2w_frame(pfn);

	frame.lo |= hw.lo & ~(PF_2W_LO_MASK << PF_2W_FRAME_LO);
	frame.hi |= hw.hi & ~PF_2W_FRAME_HI;
	return frame;
}

PF_INLINE pf_hw_t pf_hw_advance(pf_hw_t hw, unsigned level, uint64_t n)
{
	return pf_2w_with_frame(hw, pf_2w_get_frame(hw) + (n << (level * PF_LEVEL_BITS)));
}

PF_INLINE pf_pfn_t pf_hw_pfn(pf_hw_t hw, unsigned level, unsigned idx)
{
	(void)level;
	(void)idx;
	return pf_2w_get_frame(hw);
}

PF_INLINE pf_hw_t pf_hw_set_cont(pf_hw_t hw, unsigned level, unsigned idx, bool cont)
{
	(void)level;
	(void)idx;
	hw.lo = (hw.lo & ~PF_2W_CONT) | (cont && pf_hw_valid(hw) ? PF_2W_CONT : 0);
	return hw;
}

PF_INLINE pf_hw_t pf_hw_modify(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot)
{
	uint32_t keep =
		PF_PLAIN_A | PF_PLAIN_D | PF_PLAIN_SOFTWARE | PF_2W_LO_MASK << PF_2W_FRAME_LO;
	bool valid = prot & PF_PTE_PERM;

	(void)level;
	(void)idx;
	if (valid)
		keep |= PF_2W_CONT;
	hw.lo = (hw.lo & keep) | pf_2w_put(prot & PF_PTE_PROT_BITS) | (valid ? PF_2W_VALID : 0);
	hw.hi = (hw.hi & PF_2W_FRAME_HI) | (valid ? 0 : PF_2W_PROTNONE << PF_2W_KIND);
	return hw;
}

PF_INLINE pf_hw_t pf_hw_norm(pf_hw_t hw, unsigned level, unsigned idx, unsigned respect)
{
	uint32_t drop = PF_2W_CONT | PF_PLAIN_A;

	(void)level;
	(void)idx;
	drop |= respect & PF_FPB_RESPECT_DIRTY ? 0 : PF_PLAIN_D;
	drop |= respect & PF_FPB_RESPECT_SOFT_DIRTY ? 0 : PF_2W_SOFT_DIRTY;
	drop |= respect & PF_FPB_RESPECT_WRITE ? 0 : PF_PLAIN_W;
	return pf_plain_clear(hw, drop);
}

#include "fmt/fake_2w_access.h"
#include "fmt/fake_tlbi.h"

#endif
