/* SPDX-License-Identifier: MIT */
/*
 * Entries that are neither empty nor present: what each operation makes of each kind, in one place. Private
 * to lib/ops. The lock of the table(s) is held, but for pf_softleaf_fault().
 */
#ifndef PF_OPS_SOFTLEAF_H
#define PF_OPS_SOFTLEAF_H

#include "ops/internal.h"

/* A fork in progress: the two tables, and what the child got under their locks. */
struct pf_copy {
	struct pf_space *dst, *src;
	const struct pf_area *dst_area, *src_area;
	struct pf_pte_map d, s;
	int64_t anon, file, swap; /* pages */
	bool *flush;              /* write permission was taken from the parent */
	/*
	 * For a page that may be pinned and is the parent's alone: it stays so, and the child gets a copy of it, here.
	 */
	struct pf_folio *copy;
};

#define pf_softleaf_copy    PF_FN(softleaf_copy)
#define pf_softleaf_zap     PF_FN(softleaf_zap)
#define pf_softleaf_protect PF_FN(softleaf_protect)
#define pf_softleaf_moved   PF_FN(softleaf_moved)
#define pf_softleaf_fault   PF_FN(softleaf_fault)
#define pf_swap_pte_batch   PF_FN(swap_pte_batch)

/*
 * The longest run from idx, at most max, of swap entries that continue `first`, which stands there: same
 * device, slots ascending by one, same bits.
 */
unsigned pf_swap_pte_batch(const struct pf_pte_map *m, unsigned idx, unsigned max, pf_pte_t first);

/*
 * fork: the entry at sidx, `pte`, and as many of the following as can be dealt with together, at most max. How
 * many were; 0: with *err set nothing has changed, else it is present now, and to be looked at again.
 */
unsigned pf_softleaf_copy(
	struct pf_copy *c, unsigned didx, unsigned sidx, pf_pte_t pte, unsigned max, int *err);
/* Unmapping: the same. Always at least one. */
unsigned pf_softleaf_zap(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t pte, unsigned max);
/* mprotect: one entry, with uffd-wp set or cleared. True if that counts as a page processed. */
bool pf_softleaf_protect(const struct pf_space *space, struct pf_pte_map *m, unsigned idx,
	pf_pte_t pte, uint64_t set, uint64_t clear);
/* mremap: what arrives at the new address. */
pf_pte_t pf_softleaf_moved(pf_pte_t pte);
/* What a fault on it is. No lock. */
enum pf_fault_result pf_softleaf_fault(pf_pte_t pte);

PF_INLINE struct pf_swap *pf_pte_swap_device(const struct pf_space *space, pf_pte_t pte)
{
	return space->swaps->dev[pf_pte_swap_dev(pte)];
}

/*
 * Is it a mapping's page that is on its way? Who moves it has a reference to the folio that the entry names for as long
 * as there is such an entry, and what a folio belongs to stays of one type.
 */
PF_INLINE bool pf_softleaf_is_file(const struct pf_space *space, pf_pte_t pte)
{
	return pf_pte_kind(pte) == PF_PTE_MIGRATION &&
	       pf_folio_is_file(pf_page_folio(space->phys, pf_pte_pfn(pte)));
}

/* A page stands behind it, of which it says whether it is soft-dirty. */
PF_INLINE bool pf_softleaf_tracked(pf_pte_t pte)
{
	return pf_pte_kind(pte) == PF_PTE_SWAP || pf_pte_kind(pte) == PF_PTE_MIGRATION ||
	       pf_pte_kind(pte) == PF_PTE_DEVICE_EXCLUSIVE ||
	       pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE;
}

PF_INLINE pf_pte_t pf_pte_swap_advance(pf_pte_t pte, uint64_t n)
{
	return pf_pte(pte.v + (n << PF_SWAP_OFFSET_SHIFT));
}

/* nr swap entries with consecutive slots, into slots that are empty or softleaves. */
PF_INLINE void pf_set_swap_ptes(struct pf_pte_map *m, unsigned idx, pf_pte_t pte, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		pf_set_pte_at(m, idx + i, pf_pte_swap_advance(pte, i), PF_NO_EXTENT);
}

#endif
