/* SPDX-License-Identifier: MIT */
/*
 * One folio on its way out.
 *
 * Its lock is held from before it gets a place in swap until it is free or given up. A fault that finds it in the cache
 * does not get the lock and runs its access again, so nobody maps it while it is written (coremm B34), and its contents
 * are the slots' when it is frozen. A mapping's folio is found in its tree and mapped all the same: then it is not frozen.
 */
#include "reclaim/reclaim.h"

struct out {
	const struct pf_reclaimer *r;
	struct pf_folio *folio;
	struct pf_swap *dev; /* counts of the folio's slots are held on it */
	uint64_t slot;
	bool placeless; /* there are devices, and none has room for all of its pages together */
};

/* Nobody has it but its mappings, a cache and the caller, once. A snapshot: freezing decides. */
static bool idle(const struct pf_folio *folio)
{
	unsigned cache = pf_folio_is_file(folio) || pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE);

	return pf_folio_extra_ref(folio) == 1 + cache;
}

/* Slots of the first device that has them, with counts of ours: an anonymous folio's are its place in the cache. */
static bool find_room(struct out *o)
{
	const bool file = pf_folio_is_file(o->folio);

	for (unsigned i = 0; i < PF_SWAP_DEVICES && !o->dev; i++) {
		struct pf_swap *dev = o->r->swaps->dev[i];

		if (!dev)
			continue;
		o->placeless = !(file ? pf_swap_alloc(dev, pf_folio_order(o->folio), &o->slot)
				      : pf_swap_add_folio(dev, o->folio));
		if (!o->placeless)
			o->dev = dev;
	}
	if (o->dev && !file)
		o->slot = pf_folio_swap_slot(o->folio);
	return o->dev;
}

/* A place in swap, the one it has or a new one, with counts of ours, so that it stays. */
static bool place(struct out *o)
{
	if (pf_folio_test_flags(o->folio, PF_FOLIO_SWAPCACHE)) {
		struct pf_swap *dev = o->r->swaps->dev[pf_folio_swap_dev(o->folio)];

		/* The last count may go at this moment, and with it the folio's place. */
		o->slot = pf_folio_swap_slot(o->folio);
		/* Nor is the device known, if it got its place after the caller had looked for devices. */
		if (!dev || !pf_swap_hold(dev, o->folio))
			return false;
		o->dev = dev;
		return true;
	}
	if (!find_room(o))
		return false;
	/* Its slots hold nothing yet, whether its entries are dirty or not. */
	pf_folio_set_flags(o->folio, PF_FOLIO_DIRTY);
	return true;
}

/*
 * Nobody maps it. Who has a plain reference may store, sets the flag, and puts the reference: so the flag goes first, then the counts
 * are looked at. One that is gone by then left the flag before, and what was stored is written; one that is not may leave
 * it later, and is told by the counts, here or where they are frozen, or by the flag there (pf_swap_cache_freeze).
 */
static bool clean(struct out *o)
{
	const unsigned shift = o->r->phys->page_shift;
	bool late;

	if (!pf_folio_test_flags(o->folio, PF_FOLIO_DIRTY))
		return true;
	late = PF_MUTANT("swap-out-dirty-late");
	if (!late)
		pf_folio_clear_flags(o->folio, PF_FOLIO_DIRTY);
	pf_mb();
	if ((late || (!pf_folio_mapcount(o->folio) && idle(o->folio))) &&
		!o->dev->ops->write(o->dev->ctx, o->slot,
			pf_folio_pfn(o->r->phys, o->folio) << shift,
			(size_t)pf_folio_nr(o->folio) << shift)) {
		if (late)
			pf_folio_clear_flags(o->folio, PF_FOLIO_DIRTY);
		return true;
	}
	pf_folio_set_flags(o->folio, PF_FOLIO_DIRTY);
	return false;
}

/* Lazyfree, unmapped: free, if only the caller has it. */
static bool freeze(struct pf_folio *folio)
{
	uint64_t c = pf_count_make(PF_FRAME_FOLIO, pf_folio_order(folio), 0, 1);

	return pf_cas(&folio->head.count.word, &c, c - 1);
}

static bool unmap(const struct out *o)
{
	return !pf_folio_mapcount(o->folio) ||
	       (o->r->ops->unmap(o->r->ctx, o->folio) && !pf_folio_mapcount(o->folio));
}

/* Its mapping has the counts of the slots then. */
static bool file_out(struct out *o)
{
	const struct pf_reclaim_ops *ops = o->r->ops;
	const enum pf_home home = ops->home(o->r->ctx, o->folio);

	if (home == PF_HOME_NONE || (home == PF_HOME_SWAP && !find_room(o)))
		return false;
	if (!unmap(o) || !ops->evict(o->r->ctx, o->folio, o->dev, o->slot))
		return false;
	o->dev = NULL;
	return true;
}

static bool anon_out(struct out *o)
{
	struct pf_folio *folio = o->folio;
	bool cached = pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE);
	bool lazy = !cached && pf_folio_test_flags(folio, PF_FOLIO_LAZYFREE);

	/* Neither mapped nor in the cache: on its way in or out elsewhere. */
	if (!cached && !pf_folio_mapcount(folio))
		return false;
	if ((!lazy && !place(o)) || !unmap(o))
		return false;
	if (lazy)
		return freeze(folio);
	return clean(o) && pf_swap_cache_freeze(o->dev, folio);
}

int pf_reclaim_folio(const struct pf_reclaimer *r, struct pf_folio *folio)
{
	struct out o = {.r = r, .folio = folio};
	bool freed = false;
	unsigned nr = pf_folio_nr(folio);

	if (!pf_folio_trylock(folio)) {
		pf_folio_put(r->phys, folio, 1);
		return 0;
	}
	if (idle(folio))
		freed = pf_folio_is_file(folio) ? file_out(&o) : anon_out(&o);
	if (freed)
		pf_folio_free(r->phys, folio);
	else
		pf_folio_unlock(folio);
	if (o.dev)
		pf_swap_put(o.dev, o.slot, nr);
	if (freed)
		return (int)nr;
	pf_folio_put(r->phys, folio, 1);
	return o.placeless && nr > 1 ? -PF_ENOSPC : 0;
}
