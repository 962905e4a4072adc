/* SPDX-License-Identifier: MIT */
/*
 * Deliberately broken formats: each function of the contract with one mistake, which
 * `suite_broken` turns on. Made of the contract's own functions, so they break any format; the
 * suite must catch every one (contract_suite --broken).
 */
#ifndef BROKEN_H
#define BROKEN_H

#include <sched.h>

enum broken {
	BROKEN_NOTHING,
	BROKEN_ENCODE_LEAKS_CONT,
	BROKEN_ENCODE_DROPS_DIRTY_OF_READONLY,
	BROKEN_DECODE_IGNORES_SLOT,
	BROKEN_DECODE_LOSES_TOP_FRAME_BIT,
	BROKEN_DECODE_LOSES_SWAP_DEVICE,
	BROKEN_DECODE_MIGRATION_LOSES_YOUNG,
	BROKEN_NONE_LIKES_MARKERS,
	BROKEN_VALID_IS_PRESENT,
	BROKEN_PRESENT_IS_VALID,
	BROKEN_TABLE_LIKES_LEAVES,
	BROKEN_TABLE_PA_TRUNCATES,
	BROKEN_SAME_IGNORES_HIGH_BYTE,
	BROKEN_ADVANCE_OFF_BY_ONE,
	BROKEN_ADVANCE_IGNORES_LEVEL,
	BROKEN_PFN_IGNORES_SLOT,
	BROKEN_SET_CONT_STICKS,
	BROKEN_SET_CONT_CLEARS_YOUNG,
	BROKEN_MKYOUNG_DIRTIES,
	BROKEN_MKOLD_DOES_NOTHING,
	BROKEN_MKDIRTY_WRITES,
	BROKEN_MKCLEAN_FORGETS_HARDWARE_DIRTY,
	BROKEN_WRPROTECT_LOSES_DIRTY,
	BROKEN_MODIFY_LEAKS_CONT,
	BROKEN_MODIFY_DROPS_CONT,
	BROKEN_MODIFY_LOSES_DIRTY,
	BROKEN_MODIFY_KEEPS_KEY,
	BROKEN_NORM_SEES_YOUNG,
	BROKEN_NORM_IGNORES_WRITE,
	BROKEN_NORM_SEES_DIRTY,
	BROKEN_NORM_IGNORES_UFFD,
	BROKEN_SETTLED_ALWAYS,
	BROKEN_SETTLED_NEVER,
	BROKEN_SETTLED_IGNORES_DIRTY,
	BROKEN_SETTLED_IGNORES_LATE_D,
	BROKEN_NEEDS_FLUSH_NEVER,
	BROKEN_NEEDS_FLUSH_ALWAYS,
	BROKEN_NEEDS_FLUSH_IGNORES_WRITE,
	BROKEN_NEEDS_FLUSH_IGNORES_FRAME,
	BROKEN_STORE_RELEASE_FORGETS,
	BROKEN_XCHG_RETURNS_NEW,
	BROKEN_XCHG_NOT_ATOMIC,
	BROKEN_CAS_HIDES_FOUND,
	BROKEN_CAS_ALWAYS_STORES,
	BROKEN_LOAD_BEHIND_HOOK,
	BROKEN_TLBI_MISSES_LAST,
	BROKEN_TLBI_NOT_PUBLISHED,
	BROKEN_TLBI_KEEPS_TABLES,
	BROKEN_TLBI_ALWAYS_HINTS,
	BROKEN_TLBI_LOCAL_ONLY,
	BROKEN_TLBI_WHOLE_ASID,
	BROKEN_TLBI_WRONG_ASID,
	BROKEN_WAIT_DOES_NOTHING,
	BROKEN_NR,
};

extern enum broken suite_broken;

#define BROKEN(which) (suite_broken == BROKEN_##which)

/* a ^ b ^ c, bit by bit: what b and c differ in, done to a */
static inline pf_hw_t broken_xor(pf_hw_t a, pf_hw_t b, pf_hw_t c)
{
	for (size_t i = 0; i < sizeof(a); i++)
		((unsigned char *)&a)[i] ^= ((unsigned char *)&b)[i] ^ ((unsigned char *)&c)[i];
	return a;
}

/* An inaccessible word with the bits of contiguity. */
static inline pf_hw_t broken_leak(pf_hw_t single, pf_pte_t e, unsigned level)
{
	pf_pte_t r = pf_pte_set(e, PF_PTE_R);

	return broken_xor(single, pf_hw_encode(r, level, true), pf_hw_encode(r, level, false));
}

static inline pf_hw_t broken_encode(pf_pte_t e, unsigned level, bool cont)
{
	if (BROKEN(ENCODE_LEAKS_CONT) && cont && pf_pte_protnone(e))
		return broken_leak(pf_hw_encode(e, level, false), e, level);
	if (BROKEN(ENCODE_DROPS_DIRTY_OF_READONLY) && pf_pte_present(e) && !pf_pte_write(e))
		e = pf_pte_clear(e, PF_PTE_D);
	return pf_hw_encode(e, level, cont);
}

static inline pf_pte_t broken_decode(pf_hw_t hw, unsigned level, unsigned idx)
{
	pf_pte_t e = pf_hw_decode(hw, level, idx);

	/* on a format that does not need the slot, the mistake is to use it all the same */
	if (BROKEN(DECODE_IGNORES_SLOT) && pf_hw_valid(hw) && pf_hw_cont(hw)) {
		pf_pte_t first = pf_hw_decode(hw, level, 0);

		return first.v != e.v ? first : pf_pte_advance(e, (uint64_t)(idx & 1));
	}
	if (BROKEN(DECODE_LOSES_TOP_FRAME_BIT) && pf_pte_present(e))
		return pf_pte_clear(e, PF_BIT(PF_PTE_FRAME_SHIFT + PF_PFN_BITS - 1));
	if (BROKEN(DECODE_LOSES_SWAP_DEVICE) && pf_pte_kind(e) == PF_PTE_SWAP)
		return pf_pte_clear(e, PF_BIT(7));
	if (BROKEN(DECODE_MIGRATION_LOSES_YOUNG) && pf_pte_kind(e) == PF_PTE_MIGRATION)
		return pf_pte_clear(e, PF_PTE_A);
	return e;
}

static inline bool broken_none(pf_hw_t hw)
{
	if (BROKEN(NONE_LIKES_MARKERS) && !pf_hw_none(hw) && !pf_hw_valid(hw) &&
		pf_pte_kind(pf_hw_decode(hw, 0, 0)) == PF_PTE_MARKER)
		return true;
	return pf_hw_none(hw);
}

static inline bool broken_valid(pf_hw_t hw)
{
	if (BROKEN(VALID_IS_PRESENT) && !pf_hw_valid(hw))
		return pf_hw_present(hw, 0);
	return pf_hw_valid(hw);
}

static inline bool broken_present(pf_hw_t hw, unsigned level)
{
	return BROKEN(PRESENT_IS_VALID) ? pf_hw_valid(hw) : pf_hw_present(hw, level);
}

static inline bool broken_table(pf_hw_t hw, unsigned level)
{
	return pf_hw_table(hw, level) ||
	       (BROKEN(TABLE_LIKES_LEAVES) && pf_hw_present(hw, level) && pf_hw_valid(hw));
}

static inline pf_pa_t broken_table_pa(pf_hw_t hw)
{
	return BROKEN(TABLE_PA_TRUNCATES) ? (uint32_t)pf_hw_table_pa(hw) : pf_hw_table_pa(hw);
}

static inline bool broken_same(pf_hw_t a, pf_hw_t b)
{
	if (BROKEN(SAME_IGNORES_HIGH_BYTE))
		((unsigned char *)&a)[sizeof(a) - 1] = ((unsigned char *)&b)[sizeof(b) - 1];
	return pf_hw_same(a, b);
}

static inline pf_hw_t broken_advance(pf_hw_t hw, unsigned level, uint64_t n)
{
	if (BROKEN(ADVANCE_OFF_BY_ONE))
		n += n > 3;
	if (BROKEN(ADVANCE_IGNORES_LEVEL))
		level = 0;
	return pf_hw_advance(hw, level, n);
}

static inline pf_pfn_t broken_pfn(pf_hw_t hw, unsigned level, unsigned idx)
{
	pf_pfn_t pfn = pf_hw_pfn(hw, level, idx);

	if (BROKEN(PFN_IGNORES_SLOT) && pf_hw_valid(hw) && pf_hw_cont(hw))
		return pfn >> PF_CONT_SHIFT(0) << PF_CONT_SHIFT(0);
	return pfn;
}

static inline pf_hw_t broken_set_cont(pf_hw_t hw, unsigned level, unsigned idx, bool cont)
{
	if (BROKEN(SET_CONT_STICKS) && !cont)
		return hw;
	if (BROKEN(SET_CONT_CLEARS_YOUNG) && cont)
		hw = pf_hw_mkold(hw);
	return pf_hw_set_cont(hw, level, idx, cont);
}

static inline pf_hw_t broken_mkyoung(pf_hw_t hw)
{
	hw = pf_hw_mkyoung(hw);
	return BROKEN(MKYOUNG_DIRTIES) ? pf_hw_mkdirty(hw) : hw;
}

static inline pf_hw_t broken_mkold(pf_hw_t hw)
{
	return BROKEN(MKOLD_DOES_NOTHING) ? hw : pf_hw_mkold(hw);
}

static inline pf_hw_t broken_mkdirty(pf_hw_t hw)
{
	return BROKEN(MKDIRTY_WRITES) ? pf_hw_mkyoung(pf_hw_mkdirty(hw)) : pf_hw_mkdirty(hw);
}

static inline pf_hw_t broken_mkclean(pf_hw_t hw)
{
	/* what hardware dirtied is writable */
	if (BROKEN(MKCLEAN_FORGETS_HARDWARE_DIRTY) && pf_hw_write(hw))
		return hw;
	return pf_hw_mkclean(hw);
}

static inline pf_hw_t broken_wrprotect(pf_hw_t hw)
{
	if (BROKEN(WRPROTECT_LOSES_DIRTY) && pf_hw_write(hw))
		return pf_hw_wrprotect(pf_hw_mkclean(hw));
	return pf_hw_wrprotect(hw);
}

static inline pf_hw_t broken_modify(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot)
{
	pf_hw_t out = pf_hw_modify(hw, level, idx, prot);

	if (BROKEN(MODIFY_LEAKS_CONT) && pf_hw_cont(hw) && !pf_hw_valid(out))
		return broken_leak(out, pf_hw_decode(out, level, idx), level);
	if (BROKEN(MODIFY_DROPS_CONT) && pf_hw_cont(hw) && pf_hw_valid(out))
		return pf_hw_set_cont(out, level, idx, false);
	if (BROKEN(MODIFY_LOSES_DIRTY) && pf_hw_write(hw) && !(prot & PF_PTE_W))
		return pf_hw_mkclean(out);
	if (BROKEN(MODIFY_KEEPS_KEY)) {
		uint64_t old = pf_hw_decode(hw, level, idx).v & (PF_PTE_KEY | PF_PTE_MEM);

		return pf_hw_modify(hw, level, idx, (prot & ~(PF_PTE_KEY | PF_PTE_MEM)) | old);
	}
	return out;
}

static inline pf_hw_t broken_norm(pf_hw_t hw, unsigned level, unsigned idx, unsigned respect)
{
	pf_hw_t n;

	if (BROKEN(NORM_IGNORES_WRITE))
		respect &= ~PF_FPB_RESPECT_WRITE;
	if (BROKEN(NORM_SEES_DIRTY))
		respect |= PF_FPB_RESPECT_DIRTY;
	n = pf_hw_norm(hw, level, idx, respect);
	if (BROKEN(NORM_SEES_YOUNG) && pf_hw_young(hw))
		n = pf_hw_mkyoung(n);
	if (BROKEN(NORM_IGNORES_UFFD)) {
		pf_pte_t e = pf_hw_decode(n, level, idx);

		n = pf_hw_encode(pf_pte_clear(e, PF_PTE_UFFD_WP), level, false);
	}
	return n;
}

static inline bool broken_settled(pf_hw_t hw, unsigned features)
{
	if (BROKEN(SETTLED_IGNORES_DIRTY))
		features &= ~PF_FEAT_HD;
	if (BROKEN(SETTLED_IGNORES_LATE_D) && pf_hw_young(hw) && !pf_hw_write(hw))
		return true;
	return BROKEN(SETTLED_ALWAYS) || (!BROKEN(SETTLED_NEVER) && pf_hw_settled(hw, features));
}

static inline bool broken_needs_flush(pf_hw_t old, pf_hw_t new_hw)
{
	if (BROKEN(NEEDS_FLUSH_NEVER))
		return false;
	if (BROKEN(NEEDS_FLUSH_ALWAYS))
		return true;
	if (BROKEN(NEEDS_FLUSH_IGNORES_WRITE) && pf_hw_same(pf_hw_wrprotect(old), new_hw))
		return false;
	if (BROKEN(NEEDS_FLUSH_IGNORES_FRAME) && pf_hw_valid(old) && pf_hw_valid(new_hw) &&
		(pf_hw_decode(old, 0, 0).v & ~PF_PTE_FRAME) ==
			(pf_hw_decode(new_hw, 0, 0).v & ~PF_PTE_FRAME) &&
		pf_hw_cont(old) == pf_hw_cont(new_hw))
		return false;
	return pf_hw_needs_flush(old, new_hw);
}

static inline pf_hw_t broken_load(const pf_hw_t *p)
{
	return BROKEN(LOAD_BEHIND_HOOK) ? *p : pf_hw_load(p);
}

static inline void broken_store_release(pf_hw_t *p, pf_hw_t v)
{
	if (!BROKEN(STORE_RELEASE_FORGETS))
		pf_hw_store_release(p, v);
}

static inline pf_hw_t broken_xchg(pf_hw_t *p, pf_hw_t v)
{
	if (BROKEN(XCHG_NOT_ATOMIC)) {
		pf_hw_t old = pf_hw_load(p);

		sched_yield();
		pf_hw_store(p, v);
		return old;
	}
	if (BROKEN(XCHG_RETURNS_NEW)) {
		pf_hw_xchg(p, v);
		return v;
	}
	return pf_hw_xchg(p, v);
}

static inline bool broken_cas(pf_hw_t *p, pf_hw_t *old, pf_hw_t v)
{
	pf_hw_t asked = *old;
	bool done = pf_hw_cas(p, old, v);

	if (BROKEN(CAS_HIDES_FOUND))
		*old = asked;
	if (BROKEN(CAS_ALWAYS_STORES) && !done)
		pf_hw_store(p, v);
	return done;
}

static inline void broken_tlb_issue(unsigned features, const struct pf_tlb_req *req)
{
	struct pf_tlb_req r = *req;

	if (BROKEN(TLBI_MISSES_LAST) && r.nr > 1)
		r.nr--;
	if (BROKEN(TLBI_KEEPS_TABLES))
		r.tables = false;
	if (BROKEN(TLBI_ALWAYS_HINTS))
		r.hint = true;
	if (BROKEN(TLBI_LOCAL_ONLY))
		r.local = true;
	if (BROKEN(TLBI_WHOLE_ASID))
		r.whole_asid = true;
	if (BROKEN(TLBI_WRONG_ASID))
		r.asid &= 0xff;
	pf_hw_tlb_issue(features, &r);
	if (BROKEN(TLBI_NOT_PUBLISHED) && test_port.events)
		memmove(test_port.event, test_port.event + 1,
			--test_port.events * sizeof(test_port.event[0]));
}

static inline void broken_tlb_wait(bool local)
{
	if (!BROKEN(WAIT_DOES_NOTHING))
		pf_hw_tlb_wait(local);
}

#define pf_hw_encode        broken_encode
#define pf_hw_decode        broken_decode
#define pf_hw_none          broken_none
#define pf_hw_valid         broken_valid
#define pf_hw_present       broken_present
#define pf_hw_table         broken_table
#define pf_hw_table_pa      broken_table_pa
#define pf_hw_same          broken_same
#define pf_hw_advance       broken_advance
#define pf_hw_pfn           broken_pfn
#define pf_hw_set_cont      broken_set_cont
#define pf_hw_mkyoung       broken_mkyoung
#define pf_hw_mkold         broken_mkold
#define pf_hw_mkdirty       broken_mkdirty
#define pf_hw_mkclean       broken_mkclean
#define pf_hw_wrprotect     broken_wrprotect
#define pf_hw_modify        broken_modify
#define pf_hw_norm          broken_norm
#define pf_hw_settled       broken_settled
#define pf_hw_needs_flush   broken_needs_flush
#define pf_hw_load          broken_load
#define pf_hw_store_release broken_store_release
#define pf_hw_xchg          broken_xchg
#define pf_hw_cas           broken_cas
#define pf_hw_tlb_issue     broken_tlb_issue
#define pf_hw_tlb_wait      broken_tlb_wait

#endif
