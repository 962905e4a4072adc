/* SPDX-License-Identifier: MIT */
/*
 * A folio's size, references and pins.
 *
 * References and mappings are two counts in one word. A mapping *is* a reference: it keeps the
 * folio alive by itself, and pf_folio_ref() (Linux's refcount) is the sum. So G3 needs no ordering:
 * adding a mapping adds its reference, removing one (rmap.h) turns it into a plain reference, which
 * its owner drops after the flush, each by one atomic. mapcount <= refcount cannot be observed
 * false.
 */
#ifndef PF_PHYS_FOLIO_H
#define PF_PHYS_FOLIO_H

#include "phys/frame.h"

PF_INLINE uint64_t pf_folio_count(const struct pf_folio *folio)
{
	return pf_load_relaxed(&folio->head.count.word);
}

/* log2 of the pages; constant while the folio lives. */
PF_INLINE unsigned pf_folio_order(const struct pf_folio *folio)
{
	return pf_load_relaxed(&folio->head.count.lo) >> PF_COUNT_ORDER_SHIFT;
}

/* Pages. */
PF_INLINE unsigned pf_folio_nr(const struct pf_folio *folio)
{
	return 1u << pf_folio_order(folio);
}

/* Which page of its folio pfn is: natural alignment. */
PF_INLINE unsigned pf_folio_idx(const struct pf_folio *folio, pf_pfn_t pfn)
{
	return (unsigned)(pfn & (pf_folio_nr(folio) - 1));
}

/* Page-table entries that map a page of it. A snapshot, unless the caller excludes every mapper. */
PF_INLINE unsigned pf_folio_mapcount(const struct pf_folio *folio)
{
	return pf_count_map(pf_folio_count(folio));
}

/* How often each page of it is mapped, rounded, and at least once if any is: Linux's average. A snapshot. */
PF_INLINE unsigned pf_folio_average_mapcount(const struct pf_folio *folio)
{
	const unsigned order = pf_folio_order(folio), map = pf_folio_mapcount(folio);

	if (!order || !map)
		return map;
	return (unsigned)pf_max((map + (pf_folio_nr(folio) >> 1)) >> order, 1u);
}

/* All references, those of mappings included. A snapshot. */
PF_INLINE unsigned pf_folio_ref(const struct pf_folio *folio)
{
	uint64_t c = pf_folio_count(folio);

	return pf_count_map(c) + pf_count_ref(c);
}

/* References that are not mappings: gathers, pins, caches, walkers in passing. A snapshot. */
PF_INLINE unsigned pf_folio_extra_ref(const struct pf_folio *folio)
{
	return pf_count_ref(pf_folio_count(folio));
}

/*
 * n more references. The caller has one, or the lock of a table with an entry that maps the folio.
 * Relaxed: nothing is decided by it.
 */
PF_INLINE void pf_folio_get(struct pf_folio *folio, unsigned n)
{
	pf_add_relaxed(&folio->head.count.word, n);
}

/*
 * n references, for who holds none: only if the frame is a folio's head that has some. One compare
 * and exchange covers kind, order and counts, so it cannot succeed on what became something else
 * since it was looked at, and never writes to a tail or to a table's metadata. False also beyond
 * PF_REF_LIMIT. Who re-reads an entry after it without the table's lock, to see any clearing by a CPU
 * that did not see the reference (GUP-fast, coremm 6.2), puts pf_mb_after_rmw() between.
 */
PF_INLINE bool pf_folio_try_get_n(struct pf_folio *folio, unsigned n)
{
	uint64_t c = pf_folio_count(folio);

	do {
		if (pf_count_kind(c) != PF_FRAME_FOLIO || !(c & (PF_COUNT_REF | PF_COUNT_MAP)) ||
			pf_count_ref(c) + n > PF_REF_LIMIT)
			return false;
	} while (!pf_cas(&folio->head.count.word, &c, c + n));
	return true;
}

PF_INLINE bool pf_folio_try_get(struct pf_folio *folio)
{
	return pf_folio_try_get_n(folio, 1);
}

/*
 * Drop n references; true if the folio has none left and no mapping: it is then the caller's to
 * pf_folio_free(). Fully ordered: release for the earlier uses, acquire for the freeing. What the
 * caller may do afterwards with a folio that was not freed: nothing.
 */
PF_INLINE bool pf_folio_put_testzero(struct pf_folio *folio, unsigned n)
{
	uint64_t c = pf_sub_return(&folio->head.count.word, n);

	return !(c & (PF_COUNT_REF | PF_COUNT_MAP));
}

/* ---- pins (FOLL_PIN) ---- */

/*
 * Turn one reference of the caller's into a pin: a small folio's pin is PF_PIN_BIAS references in
 * all, a large one's is a reference and a count. With pf_mb_after_rmw() behind it, re-reading the entry
 * without its lock, and pf_folio_maybe_pinned() after clearing the entry, cannot both miss (coremm 4.3). False
 * beyond PF_REF_LIMIT: the reference is then still the caller's, as it was.
 */
PF_INLINE bool pf_folio_pin_ref(struct pf_folio *folio)
{
	uint64_t c = pf_folio_count(folio);

	if (pf_count_order(c)) {
		/* Each pin owns a reference, so PF_REF_LIMIT bounds this count too. */
		pf_add_return(&(&folio->head)[1].pins, 1);
		return true;
	}
	do {
		if (pf_count_ref(c) + PF_PIN_BIAS - 1 > PF_REF_LIMIT)
			return false;
	} while (!pf_cas(&folio->head.count.word, &c, c + PF_PIN_BIAS - 1));
	return true;
}

/*
 * n references, or pins, of a folio whose pages are mapped by entries under the caller's table lock, which keep it
 * alive. False beyond PF_REF_LIMIT: nothing has changed. Ordered as pf_folio_pin_ref().
 */
PF_INLINE bool pf_folio_grab(struct pf_folio *folio, unsigned n, bool pin)
{
	uint64_t c = pf_folio_count(folio);
	unsigned refs = pin && !pf_count_order(c) ? n * PF_PIN_BIAS : n;

	do {
		if (pf_count_ref(c) + refs > PF_REF_LIMIT)
			return false;
	} while (!pf_cas(&folio->head.count.word, &c, c + refs));
	/* After the references, so that pins <= references always. */
	if (pin && pf_count_order(c))
		pf_add_return(&(&folio->head)[1].pins, n);
	return true;
}

/*
 * Unpin n pins: returns how many plain references the caller must now put. A large folio's pin is
 * uncounted before its reference goes, so that pins <= references always.
 */
PF_INLINE unsigned pf_folio_unpin_refs(struct pf_folio *folio, unsigned n)
{
	if (pf_folio_order(folio)) {
		pf_sub_return(&(&folio->head)[1].pins, n);
		return n;
	}
	return n * PF_PIN_BIAS;
}

/*
 * Linux's folio_maybe_dma_pinned. Never false while a pin exists that the caller's protocol lets it
 * see (write_protect_seq for fork; a full barrier after clearing the entry for share); may be true
 * for a small folio with PF_PIN_BIAS other references. Mappings do not count.
 */
PF_INLINE bool pf_folio_maybe_pinned(const struct pf_folio *folio)
{
	uint64_t c = pf_folio_count(folio);

	if (pf_count_order(c))
		return pf_load_relaxed(&(&folio->head)[1].pins) != 0;
	return pf_count_ref(c) >= PF_PIN_BIAS;
}

/* ---- what it belongs to ---- */

/*
 * What a folio is found by, for who makes it, before it can be found, or moves it, with its lock. Relaxed stores, and loads for who has no
 * more than a reference: who looks at all frames (reclaim, sampling) may get one to a folio that is being made, and read the old
 * values, or one of each. He finds no mapping of it by them, and learns from the counts that there are some.
 */
PF_INLINE void pf_folio_set_mapping(struct pf_folio *folio, uint64_t index, uint32_t mapping)
{
	pf_store_relaxed(&folio->head.index, index);
	pf_store_relaxed(&folio->head.mapping, mapping);
}

PF_INLINE uint64_t pf_folio_index(const struct pf_folio *folio)
{
	return pf_load_relaxed(&folio->head.index);
}

/*
 * Does it belong to a mapping (a file, shared memory), not to one process's pages? Does not change while
 * it is mapped.
 */
PF_INLINE bool pf_folio_is_file(const struct pf_folio *folio)
{
	return (pf_load_relaxed(&folio->head.mapping) & PF_MAPPING_TYPE) == PF_MAPPING_FILE;
}

/* ---- flags ---- */

/* Any context with a reference; relaxed. `flags` is PF_FOLIO_*, never the AnonExclusive byte. */
PF_INLINE bool pf_folio_test_flags(const struct pf_folio *folio, uint32_t flags)
{
	return pf_load_relaxed(&folio->head.flags) & flags;
}

PF_INLINE void pf_folio_set_flags(struct pf_folio *folio, uint32_t flags)
{
	pf_or_relaxed(&folio->head.flags, flags);
}

PF_INLINE void pf_folio_clear_flags(struct pf_folio *folio, uint32_t flags)
{
	pf_and_relaxed(&folio->head.flags, ~flags);
}

/*
 * What was stored by an address of the kernel's, a pin or a mapping of its own, not through an entry: release, so that who
 * takes the flag away to write the page reads what was stored before (tests/litmus: pin-dirty). Stores through entries are
 * ordered by the table's lock and the flush. Any context with a reference, which is kept until the flag is set.
 */
PF_INLINE void pf_folio_mark_dirty(struct pf_folio *folio)
{
	pf_or_release(&folio->head.flags, PF_FOLIO_DIRTY);
}

/*
 * The other half: acquire. For who writes the page next, and sets the flag again if that fails; folio lock. A flag set later
 * stays. No TLB effect: the entries' right to write is taken after it.
 */
PF_INLINE void pf_folio_take_dirty(struct pf_folio *folio)
{
	pf_and_acquire(&folio->head.flags, ~PF_FOLIO_DIRTY);
}

/*
 * The folio lock, a bit: who reads a folio in from swap, writes it out, unmaps it for that, moves it or splits it,
 * or gives up its place in the swap cache holds it; and who writes a file's folio. Tried, and not waited for, there is
 * nothing to sleep on: who does not get it has something else to do (the access is run again; reclaim takes the next
 * folio). The exception is pf_folio_lock().
 * A reference held. Fully ordered where it is got; unlocking is a release.
 */
PF_INLINE bool pf_folio_trylock(struct pf_folio *folio)
{
	return !pf_folio_test_flags(folio, PF_FOLIO_LOCKED) &&
	       !(pf_fetch_or(&folio->head.flags, PF_FOLIO_LOCKED) & PF_FOLIO_LOCKED);
}

PF_INLINE void pf_folio_unlock(struct pf_folio *folio)
{
	pf_and_release(&folio->head.flags, ~PF_FOLIO_LOCKED);
}

#endif
