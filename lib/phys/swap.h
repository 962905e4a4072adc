/* SPDX-License-Identifier: MIT */
/*
 * Swap: slots of a device, and the swap cache, which says what folio a slot's page is in memory in. Knows
 * no entry: a slot is counted once by every entry that names it and by who works on it.
 *
 * The life of a slot. It is taken for a page that goes out (pf_swap_add_folio), with one count of the
 * taker's and the folio in the cache; every entry that comes to name it is one count more (pf_swap_dup),
 * every entry that goes one less (pf_swap_put). Two rules make all else simple:
 *
 *   S1  A slot with a count stays one page's: it is not given to another. So whoever has a count,
 *       its own (pf_swap_get) or that of an entry whose table lock it holds, may compare entries that were
 *       read at different times: the same entry means the same page. (coremm B33 was a fault that had no
 *       count and met another page in the same slot.)
 *   S2  A folio is in the cache only while one of its slots has a count. The last one to go takes it out,
 *       at once, under the device's lock. So a folio of which every page was mapped again is an ordinary
 *       anonymous folio, and reuse need not ask whether it could leave the cache (B39).
 *
 * Pages of shared memory (mm/shmem.c) are in no cache: the mapping's tree has the folio or its slots, and counts
 * them as an entry would.
 *
 * A slot of a cached folio stays the folio's when its own count is zero: it is free when the folio leaves.
 *
 * A folio's pages have consecutive slots, the first one naturally aligned to their number; the head's
 * record holds it (pf_frame.swap_slot, swap_dev), for as long as PF_FOLIO_SWAPCACHE is set. The cache owns
 * one reference to a folio.
 *
 * All functions take the device's lock (PF_LOCK_SWAP: inside table locks, outside the zone's), but where
 * they say otherwise; none sleeps but init and destroy. Slot ranges [slot, slot + nr) lie on the device.
 */
#ifndef PF_PHYS_SWAP_H
#define PF_PHYS_SWAP_H

#include "phys/phys.h"

/*
 * What an embedder's device does: pages in slots slot, slot + 1, ... <-> memory at pa. 0, or a negated error.
 * May sleep; several at a time, and two may read one slot. Called with the folio's lock (but for a page of shared memory that is
 * read, which nobody else knows yet), and perhaps the mmap lock, a mapping's pages_lock and the lock of all mms: so they must
 * not come back to the library for mappings, address spaces or swap devices.
 */
struct pf_swap_ops {
	int (*read)(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes);
	int (*write)(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes);
};

/* Eight bytes a slot; under the device's lock. */
struct pf_swap_slot {
	uint32_t count; /* entries that name it, a mapping's tree too, and who works on it */
	uint32_t frame; /* index + 1 of the frame that has its page; 0: not in the cache */
};

/* A device. All fields but `ops`, `ctx`, `slots`, `id` are private to phys/swap.c. */
struct pf_swap {
	const struct pf_swap_ops *ops;
	void *ctx;
	struct pf_phys *phys;
	uint32_t slots;
	uint8_t id; /* what entries call it */
	/* Under lock: */
	bool off; /* gives out no more slots */
	struct pf_spinlock lock;
	uint32_t free;  /* slots */
	uint32_t first; /* no word before it has a free slot */
	uint64_t *used; /* a bit a slot, and those beyond the last */
	struct pf_swap_slot *slot;
};

/* The devices of one machine, by the number that entries have. */
#define PF_SWAP_DEVICES 32
struct pf_swaps {
	struct pf_swap *dev[PF_SWAP_DEVICES];
};

/* Entries that may name one slot: more than there is memory for them. */
#define PF_SWAP_MAX_COUNT (UINT32_C(1) << 30)

/*
 * 0; -PF_EINVAL: no slots, or more than 2^32 - 64; -PF_ENOMEM. No lock.
 */
int pf_swap_init(struct pf_swap *dev, struct pf_phys *phys, const struct pf_swap_ops *ops,
	void *ctx, uint64_t slots, unsigned id);
/* No slot is in use any more. No lock. */
void pf_swap_destroy(struct pf_swap *dev);

/* Give out no more slots, or again. */
void pf_swap_set_off(struct pf_swap *dev, bool off);
/* Slots that are free. A snapshot. */
uint64_t pf_swap_free(struct pf_swap *dev);

/*
 * Slots for all pages of a folio that the caller has locked and holds a reference to, and that is in no
 * cache: one count each, the caller's to put; the folio is in the cache, with a reference more. False:
 * no run of free slots is long enough.
 */
bool pf_swap_add_folio(struct pf_swap *dev, struct pf_folio *folio);
/*
 * 2^order consecutive slots, aligned to that, in no cache: one count each, the caller's, from *slot on. False: no run of free
 * slots is long enough.
 */
bool pf_swap_alloc(struct pf_swap *dev, unsigned order, uint64_t *slot);

/*
 * One count more for slots of which the caller, or an entry whose table lock it holds, has one. 0, or
 * -PF_ENOMEM (PF_SWAP_MAX_COUNT), nothing changed.
 */
int pf_swap_dup(struct pf_swap *dev, uint64_t slot, uint64_t nr);
/* The same for who has none and read of the slots in an entry: false if one of them has no count. */
bool pf_swap_get(struct pf_swap *dev, uint64_t slot, uint64_t nr);
/*
 * One count more of every slot of a folio that was in the cache when the caller locked it: their counts may be
 * zero, but that of one of them. False: it has left since.
 */
bool pf_swap_hold(struct pf_swap *dev, struct pf_folio *folio);
/*
 * One count less. Slots whose last it was are free, if not in the cache; a folio that has no slot with a
 * count leaves the cache, and is freed if the cache's was its last reference.
 */
void pf_swap_put(struct pf_swap *dev, uint64_t slot, uint64_t nr);

/* The folio that has the slot's page in memory, with a reference; or NULL. The caller has a count. */
struct pf_folio *pf_swap_cache_get(struct pf_swap *dev, uint64_t slot);
/* Is any of the slots in the cache? A guess, unless the caller keeps others from adding. */
bool pf_swap_cache_any(struct pf_swap *dev, uint64_t slot, uint64_t nr);
/*
 * Enter a folio of the caller's, locked and mapped by nobody, whose pages will be read from slots from
 * `slot` (aligned to their number) on, each with a count of the caller's. Takes a reference. False: one of
 * them is in the cache already.
 */
bool pf_swap_cache_add(struct pf_swap *dev, uint64_t slot, struct pf_folio *folio);
/* Take out a folio that the caller has locked: its page could not be read, or is to have no slot. */
void pf_swap_cache_del(struct pf_swap *dev, struct pf_folio *folio);
/*
 * Take out and freeze a folio that the caller has locked, if nobody maps it and nobody but the cache and
 * the caller, once, has a reference: then it has none at all, nobody can get one any more, and it is the
 * caller's to pf_folio_free(). What it holds is in its slots, or in no entry. False: somebody has, or it is dirty; nothing
 * changed.
 */
bool pf_swap_cache_freeze(struct pf_swap *dev, struct pf_folio *folio);

/* How many counts a slot has: a snapshot, without the lock, for who holds one of them. */
PF_INLINE uint32_t pf_swap_count(const struct pf_swap *dev, uint64_t slot)
{
	return pf_load_relaxed(&dev->slot[slot].count);
}

/* Where a folio that is in the cache is swapped to. Its lock, or a count of one of its slots. */
PF_INLINE uint64_t pf_folio_swap_slot(const struct pf_folio *folio)
{
	return pf_load_relaxed(&folio->head.swap_slot);
}

PF_INLINE unsigned pf_folio_swap_dev(const struct pf_folio *folio)
{
	return pf_load_relaxed(&folio->head.swap_dev);
}

/*
 * Everything that must hold of a device nobody is using: NULL, or what is wrong. For tests.
 */
const char *pf_swap_check(struct pf_swap *dev);

#endif
