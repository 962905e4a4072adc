/* SPDX-License-Identifier: MIT */
/*
 * Slots, their counts, and the swap cache. Everything here happens under one lock a device, which the
 * loops above take once a batch.
 */
#include "phys/swap.h"

#include "base/mem.h"

static void lock(struct pf_swap *dev)
{
	pf_port_spin_lock(&dev->lock, PF_LOCK_SWAP, dev->id);
}

static void unlock(struct pf_swap *dev)
{
	pf_port_spin_unlock(&dev->lock, PF_LOCK_SWAP, dev->id);
}

static size_t words(uint32_t slots)
{
	return ((size_t)slots + 63) / 64;
}

int pf_swap_init(struct pf_swap *dev, struct pf_phys *phys, const struct pf_swap_ops *ops,
	void *ctx, uint64_t slots, unsigned id)
{
	if (!slots || slots > UINT32_MAX - 63 || id >= PF_SWAP_DEVICES)
		return -PF_EINVAL;
	*dev = (struct pf_swap){.ops = ops, .ctx = ctx, .phys = phys, .id = (uint8_t)id};
	dev->slots = dev->free = (uint32_t)slots;
	dev->slot = pf_port_meta_alloc(slots * sizeof(*dev->slot));
	if (!dev->slot)
		return -PF_ENOMEM;
	dev->used = pf_port_meta_alloc(words(dev->slots) * sizeof(*dev->used));
	if (!dev->used) {
		pf_port_meta_free(dev->slot, slots * sizeof(*dev->slot));
		return -PF_ENOMEM;
	}
	memset(dev->slot, 0, slots * sizeof(*dev->slot));
	memset(dev->used, 0, words(dev->slots) * sizeof(*dev->used));
	if (slots % 64)
		dev->used[slots / 64] = ~(PF_BIT(slots % 64) - 1);
	pf_port_spin_init(&dev->lock, PF_LOCK_SWAP, id);
	return 0;
}

void pf_swap_destroy(struct pf_swap *dev)
{
	/* Who gave the last slot back may still have the lock: after this he is through with the device. */
	lock(dev);
	unlock(dev);
	pf_port_meta_free(dev->used, words(dev->slots) * sizeof(*dev->used));
	pf_port_meta_free(dev->slot, dev->slots * sizeof(*dev->slot));
	dev->used = NULL;
	dev->slot = NULL;
}

void pf_swap_set_off(struct pf_swap *dev, bool off)
{
	lock(dev);
	dev->off = off;
	unlock(dev);
}

uint64_t pf_swap_free(struct pf_swap *dev)
{
	return pf_load_relaxed(&dev->free);
}

/* Under the lock, beside pf_swap_count(), which looks without it. */
static void set_count(struct pf_swap *dev, uint64_t slot, uint32_t count)
{
	pf_store_relaxed(&dev->slot[slot].count, count);
}

/* ---- which slots are free; under the lock ---- */

/* Bits of `word` where an aligned run of 2^order clear bits begins; order < 6. */
static uint64_t runs_in_word(uint64_t word, unsigned order)
{
	static const uint64_t aligned[6] = {~UINT64_C(0), UINT64_C(0x5555555555555555),
		UINT64_C(0x1111111111111111), UINT64_C(0x0101010101010101),
		UINT64_C(0x0001000100010001), UINT64_C(0x0000000100000001)};
	uint64_t free = ~word;

	for (unsigned o = 0; o < order; o++)
		free &= free >> (1u << o);
	return free & aligned[order];
}

/* The first run of 2^order free slots that is aligned to its length; UINT64_MAX: none. */
static uint64_t find_run(const struct pf_swap *dev, unsigned order)
{
	const size_t nr = words(dev->slots), step = order > 6 ? (size_t)1 << (order - 6) : 1;

	for (size_t w = dev->first & ~(step - 1); w + step <= nr; w += step) {
		uint64_t any = 0;

		for (size_t i = 0; i < step; i++)
			any |= dev->used[w + i];
		if (order < 6 && runs_in_word(any, order))
			return w * 64 + pf_ctz64(runs_in_word(any, order));
		if (order >= 6 && !any)
			return w * 64;
	}
	return UINT64_MAX;
}

/* Slots [slot, slot + nr) become used or free; a run of more than a word is of whole words. */
static void mark(struct pf_swap *dev, uint64_t slot, uint64_t nr, bool used)
{
	for (uint64_t s = slot; s < slot + nr; s = (s | 63) + 1) {
		uint64_t n = pf_min(slot + nr - s, 64 - s % 64);
		uint64_t mask = PF_MASK(s % 64 + n - 1, s % 64);

		if (used)
			dev->used[s / 64] |= mask;
		else
			dev->used[s / 64] &= ~mask;
	}
	/* The lock's, but pf_swap_free() looks without it. */
	pf_store_relaxed(&dev->free, dev->free + (uint32_t)(used ? -nr : nr));
	if (!used && slot / 64 < dev->first)
		dev->first = (uint32_t)(slot / 64);
	while (used && dev->first < words(dev->slots) && !~dev->used[dev->first])
		dev->first++;
}

/* ---- the cache; under the lock ---- */

static uint32_t frame_of(const struct pf_swap *dev, const struct pf_folio *folio)
{
	return (uint32_t)(&folio->head - dev->phys->frames) + 1;
}

static struct pf_folio *folio_at(const struct pf_swap *dev, uint64_t slot)
{
	uint32_t frame = dev->slot[slot].frame;

	return frame ? pf_page_folio(dev->phys, dev->phys->first + frame - 1) : NULL;
}

static void enter(struct pf_swap *dev, uint64_t slot, struct pf_folio *folio)
{
	unsigned nr = pf_folio_nr(folio);

	for (unsigned i = 0; i < nr; i++)
		dev->slot[slot + i].frame = frame_of(dev, folio) + i;
	pf_store_relaxed(&folio->head.swap_slot, (uint32_t)slot);
	pf_store_relaxed(&folio->head.swap_dev, dev->id);
	pf_folio_set_flags(folio, PF_FOLIO_SWAPCACHE);
}

/* The cache's reference is the caller's to drop. */
static void leave(struct pf_swap *dev, struct pf_folio *folio)
{
	uint64_t slot = pf_folio_swap_slot(folio);
	unsigned nr = pf_folio_nr(folio);

	for (unsigned i = 0; i < nr; i++) {
		dev->slot[slot + i].frame = 0;
		if (!dev->slot[slot + i].count)
			mark(dev, slot + i, 1, false);
	}
	pf_folio_clear_flags(folio, PF_FOLIO_SWAPCACHE);
}

/* S2: is there a reason to keep it? */
static bool counted(const struct pf_swap *dev, const struct pf_folio *folio)
{
	uint64_t slot = pf_folio_swap_slot(folio);
	unsigned nr = pf_folio_nr(folio);

	for (unsigned i = 0; i < nr; i++)
		if (dev->slot[slot + i].count)
			return true;
	return false;
}

/* ---- what goes out ---- */

/* Counted once; UINT64_MAX: there are none. */
static uint64_t take_run(struct pf_swap *dev, unsigned order)
{
	const unsigned nr = 1u << order;
	uint64_t slot;

	if (dev->off || dev->free < nr)
		return UINT64_MAX;
	slot = find_run(dev, order);
	if (slot != UINT64_MAX) {
		mark(dev, slot, nr, true);
		for (unsigned i = 0; i < nr; i++)
			set_count(dev, slot + i, 1);
	}
	return slot;
}

bool pf_swap_add_folio(struct pf_swap *dev, struct pf_folio *folio)
{
	uint64_t slot;

	lock(dev);
	slot = take_run(dev, pf_folio_order(folio));
	if (slot != UINT64_MAX) {
		pf_folio_get(folio, 1);
		enter(dev, slot, folio);
	}
	unlock(dev);
	return slot != UINT64_MAX;
}

bool pf_swap_alloc(struct pf_swap *dev, unsigned order, uint64_t *slot)
{
	lock(dev);
	*slot = take_run(dev, order);
	unlock(dev);
	return *slot != UINT64_MAX;
}

/* ---- counts ---- */

int pf_swap_dup(struct pf_swap *dev, uint64_t slot, uint64_t nr)
{
	int err = 0;

	lock(dev);
	for (uint64_t i = 0; i < nr; i++)
		if (dev->slot[slot + i].count >= PF_SWAP_MAX_COUNT)
			err = -PF_ENOMEM;
	for (uint64_t i = 0; i < nr && !err; i++)
		set_count(dev, slot + i, dev->slot[slot + i].count + 1);
	unlock(dev);
	return err;
}

bool pf_swap_get(struct pf_swap *dev, uint64_t slot, uint64_t nr)
{
	bool ok = slot < dev->slots && nr <= dev->slots - slot;

	lock(dev);
	for (uint64_t i = 0; i < nr && ok; i++)
		ok = dev->slot[slot + i].count && dev->slot[slot + i].count < PF_SWAP_MAX_COUNT;
	for (uint64_t i = 0; i < nr && ok; i++)
		set_count(dev, slot + i, dev->slot[slot + i].count + 1);
	unlock(dev);
	return ok;
}

bool pf_swap_hold(struct pf_swap *dev, struct pf_folio *folio)
{
	uint64_t slot = pf_folio_swap_slot(folio);
	unsigned nr = pf_folio_nr(folio);
	bool ok;

	lock(dev);
	ok = pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE);
	for (unsigned i = 0; i < nr && ok; i++)
		ok = dev->slot[slot + i].count < PF_SWAP_MAX_COUNT;
	for (unsigned i = 0; i < nr && ok; i++)
		set_count(dev, slot + i, dev->slot[slot + i].count + 1);
	unlock(dev);
	return ok;
}

/* The part of a put that lies in one cached folio, or in none. */
static uint64_t put_some(struct pf_swap *dev, uint64_t slot, uint64_t nr)
{
	struct pf_folio *folio = folio_at(dev, slot);
	uint64_t n = 1;

	if (folio)
		n = pf_min(nr, pf_folio_swap_slot(folio) + pf_folio_nr(folio) - slot);
	for (uint64_t i = 0; i < n; i++) {
		set_count(dev, slot + i, dev->slot[slot + i].count - 1);
		if (!dev->slot[slot + i].count && !folio)
			mark(dev, slot + i, 1, false);
	}
	if (folio && !counted(dev, folio)) {
		leave(dev, folio);
		/* No TLB has had it since it was unmapped; the zone's lock is inside ours. */
		pf_folio_put(dev->phys, folio, 1);
	}
	return n;
}

void pf_swap_put(struct pf_swap *dev, uint64_t slot, uint64_t nr)
{
	lock(dev);
	while (nr) {
		uint64_t n = put_some(dev, slot, nr);

		slot += n;
		nr -= n;
	}
	unlock(dev);
}

/* ---- the cache ---- */

struct pf_folio *pf_swap_cache_get(struct pf_swap *dev, uint64_t slot)
{
	struct pf_folio *folio;

	lock(dev);
	folio = folio_at(dev, slot);
	if (folio)
		pf_folio_get(folio, 1);
	unlock(dev);
	return folio;
}

static bool any_cached(const struct pf_swap *dev, uint64_t slot, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		if (dev->slot[slot + i].frame)
			return true;
	return false;
}

bool pf_swap_cache_any(struct pf_swap *dev, uint64_t slot, uint64_t nr)
{
	bool any;

	lock(dev);
	any = any_cached(dev, slot, nr);
	unlock(dev);
	return any;
}

bool pf_swap_cache_add(struct pf_swap *dev, uint64_t slot, struct pf_folio *folio)
{
	bool ok;

	lock(dev);
	ok = !any_cached(dev, slot, pf_folio_nr(folio));
	if (ok) {
		pf_folio_get(folio, 1);
		enter(dev, slot, folio);
	}
	unlock(dev);
	return ok;
}

void pf_swap_cache_del(struct pf_swap *dev, struct pf_folio *folio)
{
	lock(dev);
	leave(dev, folio);
	unlock(dev);
	pf_folio_put(dev->phys, folio, 1);
}

bool pf_swap_cache_freeze(struct pf_swap *dev, struct pf_folio *folio)
{
	const uint64_t have = pf_count_make(PF_FRAME_FOLIO, pf_folio_order(folio), 0, 2);
	uint64_t c = have;
	bool ok;

	lock(dev);
	/* Who looks the cache up takes its reference under the lock: before, and it is counted; or not at all. */
	ok = pf_cas(&folio->head.count.word, &c, have - 2);
	/* Asked last: who stored by a reference marked it before he put that. Frozen, nobody else changes the count. */
	if (ok && pf_folio_test_flags(folio, PF_FOLIO_DIRTY)) {
		pf_store_release(&folio->head.count.word, have);
		ok = false;
	}
	if (ok)
		leave(dev, folio);
	unlock(dev);
	return ok;
}

/* ---- checking ---- */

const char *pf_swap_check(struct pf_swap *dev)
{
	uint32_t free = 0;

	for (uint32_t s = 0; s < dev->slots; s++) {
		const struct pf_swap_slot *e = &dev->slot[s];
		bool used = dev->used[s / 64] >> (s % 64) & 1;
		struct pf_folio *folio = folio_at(dev, s);

		free += !used;
		if (used != (e->count || e->frame))
			return "a slot is used by nobody, or free and used";
		if (!used && s / 64 < dev->first)
			return "a free slot before the first";
		if (!folio)
			continue;
		if (!pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE) ||
			pf_folio_swap_dev(folio) != dev->id ||
			pf_folio_swap_slot(folio) + (e->frame - frame_of(dev, folio)) != s)
			return "a slot and its folio disagree";
		if (!counted(dev, folio))
			return "a folio is in the cache for nobody";
	}
	return free == dev->free ? NULL : "free slots miscounted";
}
