/* SPDX-License-Identifier: MIT */
/*
 * arm64 stage 1 descriptors (Arm ARM DDI 0487, D8.3), for every granule; the geometry header of the
 * granule comes first. Included by fmt/contract.h, which declares and documents these functions.
 *
 * Bits that hardware ignores carry what Linux keeps there, so that a table dump reads the same:
 *
 *   51 DBM       "writable" on every CPU, with hardware dirty management or without
 *   55           written to, in software's books
 *   56, 58       special, uffd-wp
 *   63           a kernel page without R; see PF_A64_KNOREAD
 *
 * A page is dirty if bit 55 is set, or DBM is and AP[2] (RDONLY) is not: the CPU clears AP[2] for a
 * store where DBM is set ("hardware management of the dirty state"). So a clean writable page has
 * both DBM and AP[2], and AP[2] is a function of W and D except where hardware has changed it.
 *
 * PROT_NONE has VALID clear and bit 11 set; while VALID is set, bit 11 is nG. Everything else with
 * VALID clear is no page, and has bit 11 clear too.
 *
 * The output address goes through three functions only: with LPA2 its top bits move to 9:8 and
 * 49:48, and SH is gone. Not supported yet.
 */
#ifndef PF_FMT_ARM64_H
#define PF_FMT_ARM64_H

#include "fmt/geometry.h"
#include "fmt/soft.h"
#include "fmt/words.h"

#define PF_A64_VALID        PF_BIT(0)
#define PF_A64_TYPE         PF_BIT(1) /* a page at Arm's level 3, a table above it; clear in a block */
#define PF_A64_ATTR         2 /* 4:2 AttrIndx: the neutral memory type; the embedder's MAIR follows it */
#define PF_A64_USER         PF_BIT(6)     /* AP[1] */
#define PF_A64_RDONLY       PF_BIT(7)     /* AP[2] */
#define PF_A64_SH           PF_MASK(9, 8) /* inner shareable; ignored for device memory */
#define PF_A64_AF           PF_BIT(10)
#define PF_A64_NG           PF_BIT(11)
#define PF_A64_PAGE_INVALID PF_BIT(11) /* with VALID clear: a page, inaccessible */
#define PF_A64_GP           PF_BIT(50)
#define PF_A64_DBM          PF_BIT(51)
#define PF_A64_CONT         PF_BIT(52)
#define PF_A64_PXN          PF_BIT(53)
#define PF_A64_UXN          PF_BIT(54)
#define PF_A64_DIRTY        PF_BIT(55)
#define PF_A64_SPECIAL      PF_BIT(56)
#define PF_A64_UFFD_WP      PF_BIT(58)
#define PF_A64_KEY          60 /* 62:60 POIndex */
/*
 * A kernel page whose stated permissions lack R. Valid: execute-only, which EL1 does not have (it
 * can read whatever it maps), so hardware grants more than was asked, and only software remembers.
 * Not valid: PROT_NONE of a kernel page; bit 11 then cannot say that it was global.
 */
#define PF_A64_KNOREAD  PF_BIT(63)
#define PF_A64_SOFTWARE (PF_BIT(63) | PF_MASK(58, 55))

/*
 * Not valid and not a page: bits 1:0 and 11 clear, so that neither hardware nor pf_hw_present()
 * takes it for one. Swap: 2 exclusive, 3 uffd-wp, 10:6 device, 61:12 offset. Other kinds are
 * special: bit 5 set, neutral kind in 8:6, its sub-kind in 10:9 (in the offset for markers), frame
 * in the offset, whose top two bits are A and D. Bit 4 is always set, or offset 0 of device 0 would
 * be the empty word.
 */
#define PF_A64_SOFT_EXCLUSIVE 2
#define PF_A64_SOFT_UFFD_WP   3
#define PF_A64_SOFT           PF_BIT(4)
#define PF_A64_SOFT_SPECIAL   PF_BIT(5)
#define PF_A64_SOFT_TYPE      6
#define PF_A64_SOFT_SUB       9
#define PF_A64_SOFT_OFFSET    12
#define PF_A64_SOFT_A         60
#define PF_A64_SOFT_D         61

/* Output address, bytes. Bits below the leaf's size are clear in every address we are given. */
PF_INLINE uint64_t pf_a64_put_oa(pf_pa_t pa)
{
	return pa & PF_MASK(47, PF_PAGE_SHIFT);
}

PF_INLINE pf_pa_t pf_a64_get_oa(uint64_t w)
{
	return w & PF_MASK(47, PF_PAGE_SHIFT);
}

/* The field is in one piece and in place; frames beyond it are not given (PF_PFN_BITS). */
PF_INLINE uint64_t pf_a64_add_oa(uint64_t w, uint64_t bytes)
{
	return w + bytes;
}

#define PF_A64_OA PF_MASK(47, PF_PAGE_SHIFT)

/* What pf_hw_modify keeps. All the rest is derived from prot by pf_a64_prot(). */
#define PF_A64_KEEP                                                                                \
	(PF_A64_OA | PF_A64_SH | PF_A64_AF | PF_A64_CONT | PF_A64_DIRTY | PF_A64_SPECIAL |         \
		PF_A64_UFFD_WP)

/* Without a branch, as it runs once an entry: PF_A64_DIRTY if DBM is set and AP[2] is not, else 0:
 * bits 51 and 7 brought to 55. */
PF_INLINE uint64_t pf_a64_hw_dirty(uint64_t w)
{
	return w << 4 & ~(w << 48) & PF_A64_DIRTY;
}

/* AP[2] is clear where bit 55 and DBM are set (a page known to be dirty needs no more dirtying). */
PF_INLINE uint64_t pf_a64_derive_rdonly(uint64_t w)
{
	return w & ~((w << 4 & w & PF_A64_DIRTY) >> 48);
}

/* The bits that PF_PTE_PROT_BITS decide, for a clean page: AP[2] is set. */
PF_INLINE uint64_t pf_a64_prot(uint64_t prot, unsigned level)
{
	uint64_t w = PF_A64_RDONLY;

	w |= (prot & PF_PTE_MEM) >> PF_PTE_MEM_SHIFT << PF_A64_ATTR;
	w |= (prot >> PF_PTE_KEY_SHIFT & 7) << PF_A64_KEY;
	w |= prot & PF_PTE_BTI ? PF_A64_GP : 0;
	w |= level ? 0 : PF_A64_TYPE;
	if (!(prot & PF_PTE_PERM)) {
		w |= PF_A64_PAGE_INVALID | PF_A64_PXN | PF_A64_UXN;
		return w | (prot & PF_PTE_KERNEL ? PF_A64_KNOREAD : 0);
	}
	w |= PF_A64_VALID;
	w |= prot & PF_PTE_W ? PF_A64_DBM : 0;
	if (PF_MUTANT("write-makes-dirty") && (prot & PF_PTE_W))
		w &= ~PF_A64_RDONLY;
	if (prot & PF_PTE_KERNEL) {
		w |= PF_A64_UXN;
		w |= prot & PF_PTE_X ? 0 : PF_A64_PXN;
		w |= prot & PF_PTE_R ? 0 : PF_A64_KNOREAD;
	} else {
		w |= PF_A64_NG | PF_A64_PXN;
		w |= prot & PF_PTE_X ? 0 : PF_A64_UXN;
		w |= prot & PF_PTE_R ? PF_A64_USER : 0;
	}
	return w;
}

PF_INLINE uint64_t pf_a64_encode_soft(pf_pte_t e)
{
	struct pf_soft s = pf_soft_split(e);
	uint64_t w = PF_A64_SOFT;

	w |= pf_soft_flag(s, PF_PTE_EXCLUSIVE) << PF_A64_SOFT_EXCLUSIVE;
	w |= pf_soft_flag(s, PF_PTE_UFFD_WP) << PF_A64_SOFT_UFFD_WP;
	if (s.kind == PF_PTE_SWAP) {
		w |= s.sub << PF_A64_SOFT_TYPE;
	} else {
		w |= PF_A64_SOFT_SPECIAL | s.kind << PF_A64_SOFT_TYPE;
		if (s.kind == PF_PTE_MARKER)
			s.payload = s.sub;
		else
			w |= s.sub << PF_A64_SOFT_SUB;
		w |= pf_soft_flag(s, PF_PTE_A) << PF_A64_SOFT_A;
		w |= pf_soft_flag(s, PF_PTE_D) << PF_A64_SOFT_D;
	}
	return w | (s.payload << PF_A64_SOFT_OFFSET & PF_MASK(61, 12));
}

PF_INLINE pf_pte_t pf_a64_decode_soft(uint64_t w)
{
	struct pf_soft s = {.payload = (w & PF_MASK(61, 12)) >> PF_A64_SOFT_OFFSET};

	s.flags = w >> PF_A64_SOFT_EXCLUSIVE & 1 ? PF_PTE_EXCLUSIVE : 0;
	s.flags |= w >> PF_A64_SOFT_UFFD_WP & 1 ? PF_PTE_UFFD_WP : 0;
	if (!(w & PF_A64_SOFT_SPECIAL)) {
		s.kind = PF_PTE_SWAP;
		s.sub = w >> PF_A64_SOFT_TYPE & 31;
		return pf_soft_join(s);
	}
	s.kind = w >> PF_A64_SOFT_TYPE & 7;
	s.sub = w >> PF_A64_SOFT_SUB & 3;
	s.flags |= w >> PF_A64_SOFT_A & 1 ? PF_PTE_A : 0;
	s.flags |= w >> PF_A64_SOFT_D & 1 ? PF_PTE_D : 0;
	s.payload &= PF_MASK(39, 0);
	if (s.kind == PF_PTE_MARKER) {
		s.sub = s.payload;
		s.payload = 0;
	}
	return pf_soft_join(s);
}

PF_INLINE pf_hw_t pf_hw_empty(void)
{
	return pf_hw_of(0);
}

PF_INLINE bool pf_hw_none(pf_hw_t hw)
{
	return !hw.w;
}

PF_INLINE bool pf_hw_valid(pf_hw_t hw)
{
	return hw.w & PF_A64_VALID;
}

PF_INLINE bool pf_hw_table(pf_hw_t hw, unsigned level)
{
	return level && (hw.w & (PF_A64_VALID | PF_A64_TYPE)) == (PF_A64_VALID | PF_A64_TYPE);
}

PF_INLINE bool pf_hw_present(pf_hw_t hw, unsigned level)
{
	if (hw.w & PF_A64_VALID)
		return !pf_hw_table(hw, level);
	return hw.w & PF_A64_PAGE_INVALID && !(level && PF_MUTANT("leaf-needs-valid"));
}

PF_INLINE bool pf_hw_cont(pf_hw_t hw)
{
	return (hw.w & (PF_A64_VALID | PF_A64_CONT)) == (PF_A64_VALID | PF_A64_CONT);
}

PF_INLINE pf_hw_t pf_hw_encode(pf_pte_t e, unsigned level, bool cont)
{
	uint64_t w;

	if (pf_pte_none(e))
		return pf_hw_empty();
	if (!pf_pte_present(e))
		return pf_hw_of(pf_a64_encode_soft(e));
	w = pf_a64_put_oa(pf_pte_pfn(e) << PF_PAGE_SHIFT) | PF_A64_SH;
	w |= e.v & PF_PTE_A ? PF_A64_AF : 0;
	w |= e.v & PF_PTE_D ? PF_A64_DIRTY : 0;
	w |= e.v & PF_PTE_SPECIAL ? PF_A64_SPECIAL : 0;
	w |= e.v & PF_PTE_UFFD_WP ? PF_A64_UFFD_WP : 0;
	w |= cont && pf_pte_accessible(e) ? PF_A64_CONT : 0;
	return pf_hw_of(pf_a64_derive_rdonly(w | pf_a64_prot(e.v, level)));
}

PF_INLINE pf_pte_t pf_hw_decode(pf_hw_t hw, unsigned level, unsigned idx)
{
	uint64_t w = hw.w, v = PF_PTE_PAGE;

	(void)idx;
	if (pf_hw_none(hw))
		return pf_pte(0);
	if (!pf_hw_present(hw, level))
		return pf_a64_decode_soft(w);
	v |= pf_a64_get_oa(w) >> PF_PAGE_SHIFT << PF_PTE_FRAME_SHIFT;
	if (!(w & PF_A64_VALID)) {
		v |= w & PF_A64_KNOREAD && !PF_MUTANT("none-loses-kernel") ? PF_PTE_KERNEL : 0;
	} else {
		v |= w & PF_A64_DBM ? PF_PTE_W : 0;
		if (w & PF_A64_NG) {
			v |= w & PF_A64_USER ? PF_PTE_R : 0;
			v |= w & PF_A64_UXN ? 0 : PF_PTE_X;
		} else {
			v |= PF_PTE_KERNEL;
			v |= w & PF_A64_KNOREAD ? 0 : PF_PTE_R;
			v |= w & PF_A64_PXN ? 0 : PF_PTE_X;
		}
	}
	v |= w & PF_A64_AF ? PF_PTE_A : 0;
	v |= (w & PF_A64_DIRTY) | pf_a64_hw_dirty(w) ? PF_PTE_D : 0;
	v |= w & PF_A64_SPECIAL ? PF_PTE_SPECIAL : 0;
	v |= w & PF_A64_UFFD_WP ? PF_PTE_UFFD_WP : 0;
	v |= w & PF_A64_GP ? PF_PTE_BTI : 0;
	v |= (w >> PF_A64_ATTR & 7) << PF_PTE_MEM_SHIFT;
	v |= (w >> PF_A64_KEY & 7) << PF_PTE_KEY_SHIFT;
	return pf_pte(v);
}

/* No APTable, XNTable or PXNTable restriction: the leaf alone decides. */
PF_INLINE pf_hw_t pf_hw_mktable(pf_pa_t table)
{
	return pf_hw_of(pf_a64_put_oa(table) | PF_A64_VALID | PF_A64_TYPE);
}

PF_INLINE pf_pa_t pf_hw_table_pa(pf_hw_t hw)
{
	return pf_a64_get_oa(hw.w);
}

PF_INLINE pf_hw_t pf_hw_advance(pf_hw_t hw, unsigned level, uint64_t n)
{
	return pf_hw_of(pf_a64_add_oa(hw.w, n << PF_LEVEL_SHIFT(level)));
}

PF_INLINE pf_pfn_t pf_hw_pfn(pf_hw_t hw, unsigned level, unsigned idx)
{
	(void)level;
	(void)idx;
	return pf_a64_get_oa(hw.w) >> PF_PAGE_SHIFT;
}

PF_INLINE pf_hw_t pf_hw_set_cont(pf_hw_t hw, unsigned level, unsigned idx, bool cont)
{
	(void)level;
	(void)idx;
	cont = cont && (pf_hw_valid(hw) || PF_MUTANT("cont-on-protnone"));
	return pf_hw_of((hw.w & ~PF_A64_CONT) | (cont ? PF_A64_CONT : 0));
}

PF_INLINE bool pf_hw_young(pf_hw_t hw)
{
	return hw.w & PF_A64_AF;
}

PF_INLINE bool pf_hw_dirty(pf_hw_t hw)
{
	return (hw.w & PF_A64_DIRTY) | pf_a64_hw_dirty(hw.w);
}

PF_INLINE bool pf_hw_write(pf_hw_t hw)
{
	return hw.w & PF_A64_DBM;
}

PF_INLINE pf_hw_t pf_hw_mkyoung(pf_hw_t hw)
{
	return pf_hw_of(hw.w | PF_A64_AF);
}

PF_INLINE pf_hw_t pf_hw_mkold(pf_hw_t hw)
{
	return pf_hw_of(hw.w & ~PF_A64_AF);
}

PF_INLINE pf_hw_t pf_hw_mkdirty(pf_hw_t hw)
{
	return pf_hw_of(pf_a64_derive_rdonly(hw.w | PF_A64_DIRTY));
}

PF_INLINE pf_hw_t pf_hw_mkclean(pf_hw_t hw)
{
	return pf_hw_of((hw.w & ~PF_A64_DIRTY) | PF_A64_RDONLY);
}

/* Where hardware's D is AP[2], it would be gone with DBM: bit 55 takes it over. */
PF_INLINE pf_hw_t pf_hw_wrprotect(pf_hw_t hw)
{
	return pf_hw_of((hw.w & ~PF_A64_DBM) | PF_A64_RDONLY | pf_a64_hw_dirty(hw.w));
}

PF_INLINE pf_hw_t pf_hw_modify(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot)
{
	uint64_t bits = pf_a64_prot(prot, level);
	uint64_t keep = bits & PF_A64_VALID ? PF_A64_KEEP : PF_A64_KEEP & ~PF_A64_CONT;

	(void)idx;
	return pf_hw_of(pf_a64_derive_rdonly((hw.w & keep) | pf_a64_hw_dirty(hw.w) | bits));
}

PF_INLINE pf_hw_t pf_hw_norm(pf_hw_t hw, unsigned level, unsigned idx, unsigned respect)
{
	uint64_t w = hw.w & ~(PF_A64_CONT | PF_A64_AF | PF_A64_DBM | PF_A64_DIRTY);

	(void)level;
	(void)idx;
	w |= PF_A64_RDONLY;
	if (respect & PF_FPB_RESPECT_WRITE)
		w |= hw.w & PF_A64_DBM;
	if (respect & PF_FPB_RESPECT_DIRTY && pf_hw_dirty(hw))
		w = pf_a64_derive_rdonly(w | PF_A64_DIRTY);
	return pf_hw_of(w);
}

/*
 * Leaves only. Hardware sets AF where it is clear, and clears AP[2] where DBM is set. Both are
 * atomic updates of the descriptor as it is then, so a stale writable translation changes nothing
 * in one that has lost DBM since: what this word allows is all that can happen to it.
 */
PF_INLINE bool pf_hw_settled(pf_hw_t hw, unsigned features)
{
	uint64_t af = features & (PF_FEAT_HAF | PF_FEAT_HD) ? PF_A64_AF : 0;
	uint64_t clean = features & PF_FEAT_HD ? PF_A64_RDONLY : 0;

	/* AF not yet set; DBM (51, brought to 7) and AP[2] both set */
	return !pf_hw_valid(hw) || !((~hw.w & af) | (hw.w >> 44 & hw.w & clean));
}

/*
 * Invalid descriptors are never cached (contents of TLBs, D8.13), and hardware does not act on
 * software's bits. AF counts as a change: a young-clear may have left a translation behind without
 * waiting.
 */
PF_INLINE bool pf_hw_needs_flush(pf_hw_t old, pf_hw_t new_hw)
{
	return pf_hw_valid(old) && (old.w ^ new_hw.w) & ~PF_A64_SOFTWARE;
}

#include "fmt/arm64_tlbi.h"

#endif
