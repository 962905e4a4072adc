/* SPDX-License-Identifier: MIT */
/*
 * Neutral entries that map nothing (swap, migration, device, hwpoison, marker), taken apart into
 * the fields that a format has to find room for, and put together again. The layout of each kind is
 * in fmt/entry.h; every format stores these four fields, each at places of its own.
 */
#ifndef PF_FMT_SOFT_H
#define PF_FMT_SOFT_H

#include "fmt/entry.h"

struct pf_soft {
	uint64_t kind;    /* enum pf_pte_kind, PF_PTE_SWAP and above */
	uint64_t payload; /* swap offset, or frame; 0 for markers */
	uint64_t
		sub; /* at most 5 bits: swap device, migration kind, writable device, marker bits */
	uint64_t flags; /* of A, D, SOFT_DIRTY, UFFD_WP, EXCLUSIVE, at their neutral places */
};

#define PF_SOFT_TRACK (PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP)

PF_INLINE struct pf_soft pf_soft_split(pf_pte_t e)
{
	struct pf_soft s = {.kind = e.v & PF_PTE_KIND, .payload = pf_pte_pfn(e)};

	switch (pf_pte_kind(e)) {
	case PF_PTE_SWAP:
		s.payload = pf_pte_swap_offset(e);
		s.sub = pf_pte_swap_dev(e);
		s.flags = e.v & (PF_SOFT_TRACK | PF_PTE_EXCLUSIVE);
		break;
	case PF_PTE_MIGRATION:
		s.sub = e.v >> PF_MIG_SHIFT & 3;
		s.flags = e.v & (PF_SOFT_TRACK | PF_PTE_A | PF_PTE_D);
		break;
	case PF_PTE_DEVICE_PRIVATE:
	case PF_PTE_DEVICE_EXCLUSIVE:
		s.sub = e.v >> 4 & 1;
		s.flags = e.v & PF_SOFT_TRACK;
		break;
	case PF_PTE_MARKER:
		s.payload = 0;
		s.sub = e.v >> 3 & 7;
		break;
	case PF_PTE_HWPOISON:
	case PF_PTE_NONE:
	case PF_PTE_PAGE:
		break;
	}
	return s;
}

PF_INLINE pf_pte_t pf_soft_join(struct pf_soft s)
{
	switch ((enum pf_pte_kind)s.kind) {
	case PF_PTE_SWAP:
		return pf_pte_swap((unsigned)s.sub, s.payload, s.flags);
	case PF_PTE_DEVICE_PRIVATE:
	case PF_PTE_DEVICE_EXCLUSIVE:
		return pf_pte(s.payload << PF_PTE_FRAME_SHIFT | s.sub << 4 | s.flags | s.kind);
	default: /* migration and marker keep theirs from bit 3 on, hwpoison has none */
		return pf_pte(s.payload << PF_PTE_FRAME_SHIFT | s.sub << 3 | s.flags | s.kind);
	}
}

/* One bit of a neutral entry's flags, as a number. */
PF_INLINE uint64_t pf_soft_flag(struct pf_soft s, uint64_t flag)
{
	return !!(s.flags & flag);
}

#endif
