/* SPDX-License-Identifier: MIT */
/*
 * The neutral entry: what a page-table entry says, in one 64-bit encoding that is the same for every
 * format. Everything above lib/pt reads and builds entries in this form and no other; each format
 * proves that decoding what it encoded gives it back (tests/fmt).
 *
 * Every entry has a kind. Present entries (PF_PTE_PAGE) map a frame:
 *
 *   63                    24 23  22 21  20..17 16..14 13 12 11 10  9   8   7   6   5   4   3   2..0
 *   [ frame number, 40 bits ] -   -  shstk key   mem   bti -  uf sd spec  D   A  kern X   W   R  kind
 *
 * R=W=X=0 is PROT_NONE ("protnone"): present in the software sense, inaccessible to hardware. NUMA
 * hints look the same. W implies R. D says that the page was written through this entry, or that
 * software stated so; it may stand with W clear (dirty, then write-protected).
 *
 * Non-present entries that are not empty carry, by kind:
 *   SWAP       bits 63..14 offset, 7..3 device, 12 exclusive, 11 uffd-wp, 10 soft-dirty
 *   MIGRATION  bits 63..24 frame, 4..3 what the page was (READ, READ_EXCLUSIVE, WRITE), 8 D, 7 A, 11, 10
 *   DEVICE_*   bits 63..24 frame, 4 writable, 11, 10; EXCLUSIVE stands for a mapping, and is never writable
 *   MARKER     bits 5..3: uffd-wp, poison, guard (may be combined)
 *   HWPOISON   bits 63..24 frame
 */
#ifndef PF_FMT_ENTRY_H
#define PF_FMT_ENTRY_H

#include "base/bits.h"

typedef struct {
	uint64_t v;
} pf_pte_t;

enum pf_pte_kind {
	PF_PTE_NONE = 0, /* the all-zero neutral entry; a format's empty word may be anything */
	PF_PTE_PAGE = 1,
	PF_PTE_SWAP = 2,
	PF_PTE_MIGRATION = 3,
	PF_PTE_DEVICE_PRIVATE = 4,
	PF_PTE_DEVICE_EXCLUSIVE = 5,
	PF_PTE_HWPOISON = 6,
	PF_PTE_MARKER = 7,
};

#define PF_PTE_KIND        PF_MASK(2, 0)
#define PF_PTE_R           PF_BIT(3)
#define PF_PTE_W           PF_BIT(4)
#define PF_PTE_X           PF_BIT(5)
#define PF_PTE_KERNEL      PF_BIT(6) /* privileged and global: for pf_pt_* users, never in a user mm */
#define PF_PTE_A           PF_BIT(7)
#define PF_PTE_D           PF_BIT(8)
#define PF_PTE_SPECIAL     PF_BIT(9) /* no folio behind it: zero page, raw frame */
#define PF_PTE_SOFT_DIRTY  PF_BIT(10)
#define PF_PTE_UFFD_WP     PF_BIT(11)
#define PF_PTE_EXCLUSIVE   PF_BIT(12) /* SWAP only: the page was AnonExclusive */
#define PF_PTE_BTI         PF_BIT(13) /* arm64 guarded page */
#define PF_PTE_MEM_SHIFT   14
#define PF_PTE_MEM         PF_MASK(16, 14) /* memory type, 0 = normal write-back; see enum pf_memtype */
#define PF_PTE_KEY_SHIFT   17
#define PF_PTE_KEY         PF_MASK(20, 17) /* protection key or overlay index */
#define PF_PTE_SHSTK       PF_BIT(21)      /* shadow stack page */
#define PF_PTE_FRAME_SHIFT 24
#define PF_PTE_FRAME       PF_MASK(63, 24)

#define PF_PTE_PERM (PF_PTE_R | PF_PTE_W | PF_PTE_X)
/* What mprotect replaces; all else of a present entry survives it. */
#define PF_PTE_PROT_BITS                                                                           \
	(PF_PTE_PERM | PF_PTE_KERNEL | PF_PTE_BTI | PF_PTE_MEM | PF_PTE_KEY | PF_PTE_SHSTK)

enum pf_memtype { PF_MEM_NORMAL, PF_MEM_TAGGED, PF_MEM_NC, PF_MEM_DEVICE };

/* MIGRATION, bits 4..3 */
#define PF_MIG_SHIFT 3
enum pf_mig_kind { PF_MIG_READ = 0, PF_MIG_READ_EXCLUSIVE = 1, PF_MIG_WRITE = 2 };

/* MARKER, bits 5..3 */
#define PF_MARKER_UFFD_WP PF_BIT(3)
#define PF_MARKER_POISON  PF_BIT(4)
#define PF_MARKER_GUARD   PF_BIT(5)

#define PF_SWAP_DEV_SHIFT    3
#define PF_SWAP_DEV          PF_MASK(7, 3)
#define PF_SWAP_OFFSET_SHIFT 14

PF_INLINE pf_pte_t pf_pte(uint64_t v)
{
	return (pf_pte_t){v};
}

PF_INLINE enum pf_pte_kind pf_pte_kind(pf_pte_t e)
{
	return (enum pf_pte_kind)(e.v & PF_PTE_KIND);
}

PF_INLINE bool pf_pte_none(pf_pte_t e)
{
	return !e.v;
}

/* Maps a frame; PROT_NONE and NUMA hints included. */
PF_INLINE bool pf_pte_present(pf_pte_t e)
{
	return pf_pte_kind(e) == PF_PTE_PAGE;
}

PF_INLINE bool pf_pte_protnone(pf_pte_t e)
{
	return (e.v & (PF_PTE_KIND | PF_PTE_PERM)) == PF_PTE_PAGE;
}

/* A present entry that hardware may use. */
PF_INLINE bool pf_pte_accessible(pf_pte_t e)
{
	return pf_pte_present(e) && (e.v & PF_PTE_PERM);
}

PF_INLINE bool pf_pte_write(pf_pte_t e)
{
	return e.v & PF_PTE_W;
}

PF_INLINE bool pf_pte_young(pf_pte_t e)
{
	return e.v & PF_PTE_A;
}

PF_INLINE bool pf_pte_dirty(pf_pte_t e)
{
	return e.v & PF_PTE_D;
}

PF_INLINE bool pf_pte_special(pf_pte_t e)
{
	return e.v & PF_PTE_SPECIAL;
}

/* Is it a mapping of a folio's page, counted with the folio? One that is not present is a device's (mm/device.h, device_memory.h). */
PF_INLINE bool pf_pte_maps(pf_pte_t e)
{
	return (pf_pte_present(e) && !pf_pte_special(e)) ||
	       pf_pte_kind(e) == PF_PTE_DEVICE_EXCLUSIVE || pf_pte_kind(e) == PF_PTE_DEVICE_PRIVATE;
}

PF_INLINE bool pf_pte_same(pf_pte_t a, pf_pte_t b)
{
	return a.v == b.v;
}

/* Entries with a frame field: PAGE, MIGRATION, DEVICE_*, HWPOISON. */
PF_INLINE pf_pfn_t pf_pte_pfn(pf_pte_t e)
{
	return e.v >> PF_PTE_FRAME_SHIFT;
}

/* prot: bits of PF_PTE_PROT_BITS, and any of A, D, SPECIAL, SOFT_DIRTY, UFFD_WP. */
PF_INLINE pf_pte_t pf_pte_mk(pf_pfn_t pfn, uint64_t prot)
{
	return pf_pte(pfn << PF_PTE_FRAME_SHIFT | prot | PF_PTE_PAGE);
}

/* The entry n pages on: same bits, frame + n. Only for entries with a frame. */
PF_INLINE pf_pte_t pf_pte_advance(pf_pte_t e, uint64_t n)
{
	return pf_pte(e.v + (n << PF_PTE_FRAME_SHIFT));
}

PF_INLINE pf_pte_t pf_pte_set(pf_pte_t e, uint64_t bits)
{
	return pf_pte(e.v | bits);
}

PF_INLINE pf_pte_t pf_pte_clear(pf_pte_t e, uint64_t bits)
{
	return pf_pte(e.v & ~bits);
}

/* mprotect's change: permissions, key and memory type from prot, everything else kept. */
PF_INLINE pf_pte_t pf_pte_modify(pf_pte_t e, uint64_t prot)
{
	return pf_pte((e.v & ~PF_PTE_PROT_BITS) | (prot & PF_PTE_PROT_BITS));
}

PF_INLINE pf_pte_t pf_pte_swap(unsigned dev, uint64_t offset, uint64_t bits)
{
	return pf_pte(offset << PF_SWAP_OFFSET_SHIFT | (uint64_t)dev << PF_SWAP_DEV_SHIFT | bits |
		      PF_PTE_SWAP);
}

PF_INLINE unsigned pf_pte_swap_dev(pf_pte_t e)
{
	return (unsigned)((e.v & PF_SWAP_DEV) >> PF_SWAP_DEV_SHIFT);
}

PF_INLINE uint64_t pf_pte_swap_offset(pf_pte_t e)
{
	return e.v >> PF_SWAP_OFFSET_SHIFT;
}

PF_INLINE pf_pte_t pf_pte_migration(pf_pfn_t pfn, enum pf_mig_kind kind, uint64_t bits)
{
	return pf_pte(pfn << PF_PTE_FRAME_SHIFT | (uint64_t)kind << PF_MIG_SHIFT | bits |
		      PF_PTE_MIGRATION);
}

PF_INLINE enum pf_mig_kind pf_pte_mig_kind(pf_pte_t e)
{
	return (enum pf_mig_kind)((e.v >> PF_MIG_SHIFT) & 3);
}

PF_INLINE pf_pte_t pf_pte_device_exclusive(pf_pfn_t pfn, uint64_t bits)
{
	return pf_pte(pfn << PF_PTE_FRAME_SHIFT | bits | PF_PTE_DEVICE_EXCLUSIVE);
}

/* write: the process may write the page without asking whether it is shared. */
PF_INLINE pf_pte_t pf_pte_device_private(pf_pfn_t pfn, bool write, uint64_t bits)
{
	return pf_pte(
		pfn << PF_PTE_FRAME_SHIFT | (write ? PF_PTE_W : 0) | bits | PF_PTE_DEVICE_PRIVATE);
}

PF_INLINE pf_pte_t pf_pte_hwpoison(pf_pfn_t pfn)
{
	return pf_pte(pfn << PF_PTE_FRAME_SHIFT | PF_PTE_HWPOISON);
}

PF_INLINE pf_pte_t pf_pte_marker(uint64_t bits)
{
	return pf_pte(bits | PF_PTE_MARKER);
}

PF_INLINE bool pf_pte_guard(pf_pte_t pte)
{
	return pf_pte_kind(pte) == PF_PTE_MARKER && (pte.v & PF_MARKER_GUARD);
}

/* The page is lost, for everybody or because a userfaultfd says so. */
PF_INLINE bool pf_pte_lost(pf_pte_t pte)
{
	return pf_pte_kind(pte) == PF_PTE_HWPOISON ||
	       (pf_pte_kind(pte) == PF_PTE_MARKER && (pte.v & PF_MARKER_POISON));
}

#endif
