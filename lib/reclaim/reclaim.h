/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: anonymous folios go out to swap, or go altogether when nothing of them need be kept.
 *
 * Who maps a folio is found by others (the reverse map, or the one area that is asked about); here is what is done
 * with it: a place in swap, unmapping, writing, freeing. No list of folios is kept, and no fault does anything for
 * reclaim's sake (docs/FRAME.md).
 */
#ifndef PF_RECLAIM_RECLAIM_H
#define PF_RECLAIM_RECLAIM_H

#include "ops/ops.h"

/* Unmap the folio wherever `ctx` knows it to be mapped. False: not all of it. See pf_format.unmap. */
typedef bool pf_unmap_fn(void *ctx, struct pf_folio *folio);

/*
 * Reclaim one folio, which the caller has a reference to and gives up with this call. Pages that became free: all
 * of the folio's, or 0: it is mapped, pinned, locked or in use by somebody, there is no place in swap, or it could not be
 * written. What had been unmapped by then stays swapped, and is found in memory by the next fault. May sleep; no spinlock
 * held.
 */
unsigned pf_reclaim_folio(struct pf_phys *phys, const struct pf_swaps *swaps,
	struct pf_folio *folio, pf_unmap_fn *unmap, void *ctx);

#endif
