/* SPDX-License-Identifier: MIT */
/*
 * The hand of the clock. A frame is looked at with a reference that is got without a lock or not at all, and whatever is
 * known of its folio is in the line that was loaded for that.
 */
#include "reclaim/reclaim.h"

static bool any_room(const struct pf_swaps *swaps)
{
	for (unsigned i = 0; i < PF_SWAP_DEVICES; i++)
		if (swaps->dev[i] && pf_swap_free(swaps->dev[i]))
			return true;
	return false;
}

/* Could it go at all? What says no here has not had its A taken. */
static bool may_go(const struct pf_reclaimer *r, struct pf_folio *folio)
{
	if (pf_folio_maybe_pinned(folio) || pf_folio_test_flags(folio, PF_FOLIO_LOCKED))
		return false;
	if (pf_folio_is_file(folio)) {
		const enum pf_home home = r->ops->home(r->ctx, folio);

		return home == PF_HOME_FILE || (home == PF_HOME_SWAP && any_room(r->swaps));
	}
	/* Without its device, which is being given up, its place cannot be asked for. */
	if (pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE))
		return r->swaps->dev[pf_folio_swap_dev(folio)];
	return pf_folio_mapcount(folio) &&
	       (pf_folio_test_flags(folio, PF_FOLIO_LAZYFREE) || any_room(r->swaps));
}

static bool is_wanted(const struct pf_reclaimer *r, struct pf_folio *folio, bool used_too)
{
	int used = r->ops->used(r->ctx, folio);

	return !used || (used > 0 && (used_too || PF_MUTANT("sweep-takes-used")));
}

/* One frame. How far to the next folio; 0: this one has become smaller ones. */
static uint64_t pass(const struct pf_reclaimer *r, pf_pfn_t pfn, bool used_too, uint64_t *freed)
{
	const unsigned node = pf_phys_node(r->phys, pfn);
	struct pf_folio *folio;
	bool split = false;
	uint64_t step;
	int nr;

	if (!(r->nodes >> node & 1) && !PF_MUTANT("sweep-any-node"))
		return r->phys->node_end[node] - (pfn - r->phys->first);
	folio = pf_folio_try_get_page(r->phys, pfn);
	if (!folio)
		return 1;
	step = pf_folio_nr(folio) - pf_folio_idx(folio, pfn);
	if (!may_go(r, folio) || !is_wanted(r, folio, used_too)) {
		pf_folio_put(r->phys, folio, 1);
		return step;
	}
	nr = pf_reclaim_folio(r, folio);
	if (nr >= 0) {
		*freed += (unsigned)nr;
		return step;
	}
	folio = pf_folio_try_get_page(r->phys, pfn);
	if (folio) {
		split = pf_folio_order(folio) && r->ops->split(r->ctx, folio);
		pf_folio_put(r->phys, folio, 1);
	}
	return split ? 0 : step;
}

uint64_t pf_reclaim_sweep(const struct pf_reclaimer *r, uint64_t *hand, uint64_t want)
{
	const uint64_t nr = r->phys->nr;
	/* Two who sweep at once may go over the same frames: to no use, and no harm. */
	uint64_t at = pf_load_relaxed(hand), freed = 0;

	for (uint64_t done = 0; freed < want && done < 3 * nr;) {
		const uint64_t step = pass(r, r->phys->first + at, done >= 2 * nr, &freed);

		done += step;
		at += step;
		/* The last folio may end where the memory does, and none goes beyond. */
		if (at >= nr)
			at = 0;
	}
	pf_store_relaxed(hand, at);
	return freed;
}
