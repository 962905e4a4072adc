/* SPDX-License-Identifier: MIT */
/*
 * Formats in which A, D and write permission are one plain bit each, all in one word of the entry:
 * what software does with them is then the same. The format defines, before it includes this:
 *
 * PF_PLAIN_WORD      member of struct pf_hw that holds them
 * PF_PLAIN_A, _D, _W the bits
 * PF_PLAIN_SOFTWARE  bits that hardware ignores
 * pf_hw_valid()
 */
#ifndef PF_FMT_PLAIN_H
#define PF_FMT_PLAIN_H

#include "fmt/geometry.h"
#include "port/port.h"

PF_INLINE pf_hw_t pf_plain_set(pf_hw_t hw, uint64_t bits)
{
	hw.PF_PLAIN_WORD |= bits;
	return hw;
}

PF_INLINE pf_hw_t pf_plain_clear(pf_hw_t hw, uint64_t bits)
{
	hw.PF_PLAIN_WORD &= ~bits;
	return hw;
}

PF_INLINE bool pf_hw_young(pf_hw_t hw)
{
	return hw.PF_PLAIN_WORD & PF_PLAIN_A;
}

PF_INLINE bool pf_hw_dirty(pf_hw_t hw)
{
	return hw.PF_PLAIN_WORD & PF_PLAIN_D;
}

PF_INLINE bool pf_hw_write(pf_hw_t hw)
{
	return hw.PF_PLAIN_WORD & PF_PLAIN_W;
}

PF_INLINE pf_hw_t pf_hw_mkyoung(pf_hw_t hw)
{
	return pf_plain_set(hw, PF_PLAIN_A);
}

PF_INLINE pf_hw_t pf_hw_mkold(pf_hw_t hw)
{
	return pf_plain_clear(hw, PF_PLAIN_A);
}

PF_INLINE pf_hw_t pf_hw_mkdirty(pf_hw_t hw)
{
	return pf_plain_set(hw, PF_PLAIN_D);
}

PF_INLINE pf_hw_t pf_hw_mkclean(pf_hw_t hw)
{
	return pf_plain_clear(hw, PF_PLAIN_D);
}

PF_INLINE pf_hw_t pf_hw_wrprotect(pf_hw_t hw)
{
	return pf_plain_clear(hw, PF_PLAIN_W);
}

/* Late D: a clean entry without W may have had W until a moment ago, and some TLB may not know. */
PF_INLINE bool pf_hw_settled(pf_hw_t hw, unsigned features)
{
	features &= PF_HW_AD_FEATURES;
	if (!features || !pf_hw_valid(hw))
		return true;
	if (!pf_hw_young(hw))
		return false;
	if (!(features & PF_FEAT_HD) || pf_hw_dirty(hw))
		return true;
	return !PF_HW_LATE_D && !pf_hw_write(hw);
}

/* Words that are not valid are never cached, and hardware does not act on software's bits. */
PF_INLINE bool pf_hw_needs_flush(pf_hw_t old, pf_hw_t new_hw)
{
	return pf_hw_valid(old) && !pf_hw_same(pf_plain_clear(old, PF_PLAIN_SOFTWARE),
					   pf_plain_clear(new_hw, PF_PLAIN_SOFTWARE));
}

#endif
