/* SPDX-License-Identifier: MIT */
/*
 * The contract between a table format and lib/pt. A format is two headers:
 *
 *   <id>_geo.h	constants only; may be seen by lib/ops too
 *   <id>.h	inline functions over the hardware word; only lib/fmt and lib/pt may include it
 *
 * lib/pt is compiled once per format with -DPF_FMT=<id>; this header pulls the format in and checks
 * that it declares everything with the right type. tests/fmt runs one suite over every format.
 *
 * ---- geometry (<id>_geo.h) ----
 * Levels are counted from the leaf table upwards: level 0 holds PTEs, level 1 PMDs, level 2 PUDs …
 * PF_FMT_NAME		string, as @format spells it ("arm64-4k")
 * PF_PAGE_SHIFT	log2 of the page
 * PF_LEVELS		number of levels
 * PF_LEVEL_BITS	log2 of the entries of a table (the same at each level)
 * PF_VA_BITS		PF_PAGE_SHIFT + PF_LEVELS * PF_LEVEL_BITS, or less if the top table is short
 * PF_ENTRY_SHIFT	log2 of an entry's bytes
 * PF_CONT_SHIFT(l)	log2 of the entries of a contiguous block at level l; 0 = there is none
 * PF_CONT_REPEATS	1 if a block's members all hold one word, 0 if their frames ascend
 * PF_LEAF_LEVELS	mask of the levels at which a leaf may stand; bit 0 is always set
 * PF_PTE_SUPPORTED	mask of neutral attribute bits that the format stores in a present entry
 * PF_PFN_BITS		bits of frame number it can store
 * PF_SWAP_OFFSET_BITS	bits of swap offset it can store
 * PF_HW_AD_FEATURES	the PF_FEAT_HAF/HD bits its hardware may have; 0 = A and D are software's
 * PF_HW_LATE_D		1: a CPU sets D for a store that it translated while the page was writable, though W
 *			has been taken from the entry since; 0: an update finds the entry as it then is
 *
 * ---- functions (<id>.h), all PF_INLINE, none with side effects but the accessors ----
 * The word is `struct pf_hw`; a format of two words an entry has two in it.
 */
#ifndef PF_FMT_CONTRACT_H
#define PF_FMT_CONTRACT_H

#ifndef PF_FMT
#error "compile with -DPF_FMT=<format id>"
#endif

#include "base/bits.h"
#include "fmt/entry.h"
#include "fmt/geometry.h"
#include "fmt/tlb_req.h"
#include "port/port.h"

/*
 * Opaque outside lib/fmt and lib/pt: the struct is completed by the format's header only, so that
 * dereferencing a `pf_hw_t *` anywhere else does not compile.
 */
struct pf_hw;
typedef struct pf_hw pf_hw_t;

/*
 * What must be equal in a batch, beyond what always must; Linux's FPB_*.
 * The merges apply to the first entry, which the caller gets.
 */
#define PF_FPB_RESPECT_DIRTY      1u
#define PF_FPB_RESPECT_SOFT_DIRTY 2u
#define PF_FPB_RESPECT_WRITE      4u
#define PF_FPB_MERGE_WRITE        8u
#define PF_FPB_MERGE_YOUNG_DIRTY  16u

/* clang-format off */
#define PF_FMT_BITS_HEADER PF_STR(fmt/PF_FMT.h)
/* clang-format on */

#ifdef PF_PT_INTERNAL
#include PF_FMT_BITS_HEADER

/* Empty entry (may be any word), and the tests. Order in a walker: none, table, leaf, else
 * softleaf. */
PF_INLINE pf_hw_t pf_hw_empty(void);
PF_INLINE bool pf_hw_same(pf_hw_t a, pf_hw_t b);
PF_INLINE bool pf_hw_none(pf_hw_t hw);
/* Hardware may use it for a translation (A aside). */
PF_INLINE bool pf_hw_valid(pf_hw_t hw);
/* Points to a lower table. level >= 1. */
PF_INLINE bool pf_hw_table(pf_hw_t hw, unsigned level);
/* Maps a frame at this level, PROT_NONE included. */
PF_INLINE bool pf_hw_present(pf_hw_t hw, unsigned level);
/* Valid and with the contiguous encoding. */
PF_INLINE bool pf_hw_cont(pf_hw_t hw);

/* Neutral to word and back. cont: write the contiguous encoding; only for accessible entries. */
PF_INLINE pf_hw_t pf_hw_encode(pf_pte_t e, unsigned level, bool cont);
PF_INLINE pf_pte_t pf_hw_decode(pf_hw_t hw, unsigned level, unsigned idx);
PF_INLINE pf_hw_t pf_hw_mktable(pf_pa_t table);
PF_INLINE pf_pa_t pf_hw_table_pa(pf_hw_t hw);

/*
 * On present entries. advance: the word n entries further on, frame + n pages of the level's size;
 * for words that are not contiguous, or inside a block where members ascend (PF_CONT_REPEATS 0). set_cont: the same entry with or without the contiguous
 * encoding; idx is its slot, because a format may repeat one word over a block and then needs it to
 * find the frame.
 */
PF_INLINE pf_hw_t pf_hw_advance(pf_hw_t hw, unsigned level, uint64_t n);
PF_INLINE pf_pfn_t pf_hw_pfn(pf_hw_t hw, unsigned level, unsigned idx);
PF_INLINE pf_hw_t pf_hw_set_cont(pf_hw_t hw, unsigned level, unsigned idx, bool cont);
PF_INLINE bool pf_hw_young(pf_hw_t hw);
PF_INLINE bool pf_hw_dirty(pf_hw_t hw);
PF_INLINE bool pf_hw_write(pf_hw_t hw);
PF_INLINE pf_hw_t pf_hw_mkyoung(pf_hw_t hw);
PF_INLINE pf_hw_t pf_hw_mkold(pf_hw_t hw);
PF_INLINE pf_hw_t pf_hw_mkdirty(pf_hw_t hw);
PF_INLINE pf_hw_t pf_hw_mkclean(pf_hw_t hw);
/* Drops W; a hardware dirty state moves to where it survives. */
PF_INLINE pf_hw_t pf_hw_wrprotect(pf_hw_t hw);
/* Permissions, key and memory type from prot (PF_PTE_PROT_BITS), the rest kept, contiguity kept
 * while the result is valid and dropped when it is not (rule I7: never contiguous and invalid); idx
 * as for set_cont, which dropping needs. */
PF_INLINE pf_hw_t pf_hw_modify(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot);
/*
 * The word as compared for "the same entry": not contiguous, A clear, and D, W, soft-dirty clear
 * unless `respect` (PF_FPB_RESPECT_*) asks for them. Present entries only.
 */
PF_INLINE pf_hw_t pf_hw_norm(pf_hw_t hw, unsigned level, unsigned idx, unsigned respect);

/*
 * No CPU with these features can change the word behind software's back any more, so that under the
 * table lock it may be overwritten by a plain store. Invalid words are settled; else A must be set,
 * and with PF_FEAT_HD, D or W clear. Where D may be late (PF_HW_LATE_D), W clear says nothing: a TLB
 * may hold the page writable until the flush that followed has completed, which the word does not
 * tell, so D must be set, whether W is or not.
 */
PF_INLINE bool pf_hw_settled(pf_hw_t hw, unsigned features);
/* Must TLBs forget old once new has replaced it? Relaxations and invalid-to-valid need not. */
PF_INLINE bool pf_hw_needs_flush(pf_hw_t old, pf_hw_t new_hw);

/*
 * Accessors: the only places that touch memory. load is one single-copy-atomic read where the
 * format has one word an entry. store may carry release ordering (linking a table), load acquire
 * (finding it). xchg and cas are relaxed.
 */
PF_INLINE pf_hw_t pf_hw_load(const pf_hw_t *p);
PF_INLINE pf_hw_t pf_hw_load_acquire(const pf_hw_t *p);
/*
 * For who holds no lock and must come to an end: one reading. True: *hw is an entry that was there at one
 * moment of the call, or the empty one, if the entry was on its way from one to another. False: it changed
 * too often to be read at once, which an entry of one word never does. Acquire: it may lead to a table.
 */
PF_INLINE bool pf_hw_load_lockless(const pf_hw_t *p, pf_hw_t *hw);
PF_INLINE void pf_hw_store(pf_hw_t *p, pf_hw_t v);
PF_INLINE void pf_hw_store_release(pf_hw_t *p, pf_hw_t v);
PF_INLINE pf_hw_t pf_hw_xchg(pf_hw_t *p, pf_hw_t v);
PF_INLINE bool pf_hw_cas(pf_hw_t *p, pf_hw_t *old, pf_hw_t v);

/*
 * Start forgetting: publishes earlier table stores, then issues the operations. The request takes
 * effect for sure only after pf_hw_tlb_wait() on the same CPU (DESIGN 4.6).
 */
PF_INLINE void pf_hw_tlb_issue(unsigned features, const struct pf_tlb_req *req);
PF_INLINE void pf_hw_tlb_wait(bool local);
#endif /* PF_PT_INTERNAL */

#endif
