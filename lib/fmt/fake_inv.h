/* SPDX-License-Identifier: MIT */
/* fake-inv: the word as docs/FAKE.md lays it out. Included by fmt/contract.h. */
#ifndef PF_FMT_FAKE_INV_H
#define PF_FMT_FAKE_INV_H

#include "fmt/geometry.h"
#include "fmt/soft.h"
#include "fmt/words.h"

#define PF_INV_INVALID PF_BIT(0)
#define PF_INV_TABLE   PF_BIT(1)
#define PF_INV_CONT    PF_BIT(8)
#define PF_INV_FRAME   PF_MASK(63, 24)
/* not valid */
#define PF_INV_KIND      1 /* 3:1 */
#define PF_INV_PROTNONE  1u
#define PF_INV_SUB       12 /* 16:12 */
#define PF_INV_EXCLUSIVE 9

#define PF_PLAIN_WORD     w
#define PF_PLAIN_A        PF_BIT(6)
#define PF_PLAIN_D        PF_BIT(7)
#define PF_PLAIN_W        PF_BIT(3)
#define PF_PLAIN_SOFTWARE PF_MASK(11, 9)

/*
 * Neutral fields and ours, in the same order with the same gaps: R W X KERNEL A D (8:3) go to 7:2,
 * memory type and key (20:14) to 18:12, special, soft-dirty and uffd-wp stay, the frame stays.
 */
PF_INLINE uint64_t pf_inv_put(uint64_t v)
{
	return (v & PF_MASK(8, 3)) >> 1 | (v & PF_MASK(11, 9)) | (v & PF_MASK(20, 14)) >> 2 |
	       (v & PF_PTE_FRAME);
}

PF_INLINE uint64_t pf_inv_get(uint64_t w)
{
	return (w & PF_MASK(7, 2)) << 1 | (w & PF_MASK(11, 9)) | (w & PF_MASK(18, 12)) << 2 |
	       (w & PF_INV_FRAME);
}

/* Why a word with these permissions is not valid, if it is not: PROT_NONE. */
PF_INLINE uint64_t pf_inv_validity(uint64_t prot)
{
	return prot & PF_PTE_PERM ? 0 : PF_INV_INVALID | PF_INV_PROTNONE << PF_INV_KIND;
}

PF_INLINE unsigned pf_inv_kind(pf_hw_t hw)
{
	return hw.w >> PF_INV_KIND & 7;
}

PF_INLINE pf_hw_t pf_hw_empty(void)
{
	return pf_hw_of(PF_INV_INVALID);
}

PF_INLINE bool pf_hw_none(pf_hw_t hw)
{
	return hw.w == PF_INV_INVALID;
}

PF_INLINE bool pf_hw_valid(pf_hw_t hw)
{
	return !(hw.w & PF_INV_INVALID);
}

PF_INLINE bool pf_hw_table(pf_hw_t hw, unsigned level)
{
	return level && pf_hw_valid(hw) && hw.w & PF_INV_TABLE;
}

PF_INLINE bool pf_hw_present(pf_hw_t hw, unsigned level)
{
	return pf_hw_valid(hw) ? !pf_hw_table(hw, level) : pf_inv_kind(hw) == PF_INV_PROTNONE;
}

PF_INLINE bool pf_hw_cont(pf_hw_t hw)
{
	return pf_hw_valid(hw) && hw.w & PF_INV_CONT;
}

#include "fmt/plain.h"

PF_INLINE pf_hw_t pf_hw_encode(pf_pte_t e, unsigned level, bool cont)
{
	struct pf_soft s;

	(void)level;
	if (pf_pte_none(e))
		return pf_hw_empty();
	if (pf_pte_present(e))
		return pf_hw_of(pf_inv_put(e.v) | pf_inv_validity(e.v) |
				(cont && pf_pte_accessible(e) ? PF_INV_CONT : 0));
	s = pf_soft_split(e);
	return pf_hw_of(PF_INV_INVALID | s.kind << PF_INV_KIND | s.sub << PF_INV_SUB |
			pf_soft_flag(s, PF_PTE_EXCLUSIVE) << PF_INV_EXCLUSIVE |
			pf_inv_put(s.flags & ~PF_PTE_EXCLUSIVE) |
			(s.payload << PF_PTE_FRAME_SHIFT & PF_INV_FRAME));
}

PF_INLINE pf_pte_t pf_hw_decode(pf_hw_t hw, unsigned level, unsigned idx)
{
	struct pf_soft s;

	(void)idx;
	if (pf_hw_none(hw))
		return pf_pte(0);
	if (pf_hw_valid(hw))
		return pf_pte(pf_inv_get(hw.w) | PF_PTE_PAGE);
	if (pf_hw_present(hw, level)) /* 3:1 is the kind here, not permissions */
		return pf_pte((pf_inv_get(hw.w) & ~PF_PTE_PERM) | PF_PTE_PAGE);
	s.kind = pf_inv_kind(hw);
	s.sub = hw.w >> PF_INV_SUB & 31;
	s.payload = hw.w >> PF_PTE_FRAME_SHIFT;
	s.flags = pf_inv_get(hw.w) & (PF_PTE_A | PF_PTE_D | PF_SOFT_TRACK);
	s.flags |= hw.w >> PF_INV_EXCLUSIVE & 1 ? PF_PTE_EXCLUSIVE : 0;
	return pf_soft_join(s);
}

PF_INLINE pf_hw_t pf_hw_mktable(pf_pa_t table)
{
	return pf_hw_of(table >> PF_PAGE_SHIFT << PF_PTE_FRAME_SHIFT | PF_INV_TABLE);
}

PF_INLINE pf_pa_t pf_hw_table_pa(pf_hw_t hw)
{
	return hw.w >> PF_PTE_FRAME_SHIFT << PF_PAGE_SHIFT;
}

PF_INLINE pf_hw_t pf_hw_advance(pf_hw_t hw, unsigned level, uint64_t n)
{
	return pf_hw_of(hw.w + (n << (level * PF_LEVEL_BITS + PF_PTE_FRAME_SHIFT)));
}

PF_INLINE pf_pfn_t pf_hw_pfn(pf_hw_t hw, unsigned level, unsigned idx)
{
	(void)level;
	(void)idx;
	return hw.w >> PF_PTE_FRAME_SHIFT;
}

PF_INLINE pf_hw_t pf_hw_set_cont(pf_hw_t hw, unsigned level, unsigned idx, bool cont)
{
	(void)level;
	(void)idx;
	return pf_hw_of((hw.w & ~PF_INV_CONT) | (cont && pf_hw_valid(hw) ? PF_INV_CONT : 0));
}

PF_INLINE pf_hw_t pf_hw_modify(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot)
{
	uint64_t keep = PF_INV_FRAME | PF_PLAIN_A | PF_PLAIN_D | PF_PLAIN_SOFTWARE;

	(void)level;
	(void)idx;
	keep |= prot & PF_PTE_PERM ? PF_INV_CONT : 0;
	return pf_hw_of(
		(hw.w & keep) | pf_inv_put(prot & PF_PTE_PROT_BITS) | pf_inv_validity(prot));
}

PF_INLINE pf_hw_t pf_hw_norm(pf_hw_t hw, unsigned level, unsigned idx, unsigned respect)
{
	uint64_t drop = PF_INV_CONT | PF_PLAIN_A;

	(void)level;
	(void)idx;
	drop |= respect & PF_FPB_RESPECT_DIRTY ? 0 : PF_PLAIN_D;
	drop |= respect & PF_FPB_RESPECT_SOFT_DIRTY ? 0 : PF_BIT(10);
	/* where the word is PROT_NONE that bit is part of the kind, and clear */
	drop |= respect & PF_FPB_RESPECT_WRITE ? 0 : PF_PLAIN_W;
	return pf_hw_of(hw.w & ~drop);
}

#include "fmt/fake_tlbi.h"

#endif
