/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: anonymous folios go out to swap, or go altogether when nothing of them need be kept; those of files are
 * written if they must be, and go; those of shared memory without a file go out to swap, too, where their mapping knows them.
 *
 * Who maps a folio is found by others (the reverse map, or the one area that is asked about); here is what is done
 * with it: a place in swap, unmapping, writing, freeing. And which: no list of folios is kept, and no fault does
 * anything for reclaim's sake (docs/FRAME.md); a hand goes round over all frames, and passes over what was used
 * since it last came by.
 */
#ifndef PF_RECLAIM_RECLAIM_H
#define PF_RECLAIM_RECLAIM_H

#include "ops/ops.h"

/* Where a mapping's folio could go. */
enum pf_home {
	PF_HOME_NONE, /* it stays */
	PF_HOME_FILE,
	PF_HOME_SWAP,
};

/* What lib/mm knows of a folio. A reference is held. */
struct pf_reclaim_ops {
	/* Unmap it wherever it may be, its lock held. False: not all of it. See pf_format.unmap. */
	bool (*unmap)(void *ctx, struct pf_folio *folio);
	/* A mapping's folio: where may evict bring it? */
	enum pf_home (*home)(void *ctx, struct pf_folio *folio);
	/*
	 * Locked, and mapped nowhere: write it, to its file if it is dirty, or to slots of a device from `slot` on; take it out
	 * of its mapping, which has the slots then and takes over a count each, and freeze it. False: somebody has it, or wrote to
	 * it again. dev NULL: to its file.
	 */
	bool (*evict)(void *ctx, struct pf_folio *folio, struct pf_swap *dev, uint64_t slot);
	/* For the sweep. Used since the last time? 1, 0; -1: to be kept (locked in memory), or not known. */
	int (*used)(void *ctx, struct pf_folio *folio);
	/* Make single pages of it, so that they find places. False: it is as it was. */
	bool (*split)(void *ctx, struct pf_folio *folio);
};

struct pf_reclaimer {
	struct pf_phys *phys;
	const struct pf_swaps *swaps; /* stays as it is */
	const struct pf_reclaim_ops *ops;
	void *ctx;
	uint32_t nodes; /* what the sweep looks at: a mask */
};

/*
 * Reclaim one folio, which the caller has a reference to and gives up with this call. Pages that became free: all
 * of the folio's, or 0: it is mapped, pinned, locked or in use by somebody, there is no place in swap, or it could not be
 * written; -PF_ENOSPC: its pages together have no place, one of them may. What had been unmapped by then stays
 * swapped, and is found in memory by the next fault. May sleep; no spinlock held.
 */
int pf_reclaim_folio(const struct pf_reclaimer *r, struct pf_folio *folio);

/*
 * Go on from frame number *hand (counted from the first; kept for the next time) until `want` pages of r->nodes are free: twice
 * round at most over what was not used since the last time, which takes away that it was used; then once more over what is used
 * all the time. Returns how many became free, more than asked for if the last folio was large. May sleep; no spinlock
 * held.
 */
uint64_t pf_reclaim_sweep(const struct pf_reclaimer *r, uint64_t *hand, uint64_t want);

#endif
