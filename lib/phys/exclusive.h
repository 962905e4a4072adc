/* SPDX-License-Identifier: MIT */
/*
 * AnonExclusive: of every page of an anonymous folio, whether it belongs to one process for sure,
 * so that a write to it needs no copy. Invariants G1 (a writable entry implies it) and G2 (it
 * implies exactly one mapping).
 *
 * Who may look and who may change. The bit of page i is stable for, and changed only by, who holds
 * the lock of a table with an entry that maps page i (or has just emptied that entry and not yet
 * given up the mapping). Proof: if it is set there is one mapping, so one such lock. If it is
 * clear, only the owner of the sole mapping may set it, and there is none besides the holder's own.
 * A new folio's maker owns all bits before its first entry is visible.
 *
 * How it is stored: small folios have a byte, changed by plain stores, since all its changers
 * exclude each other. Large ones have a bitmap in their tails' records, 64 pages a word. A word's
 * pages may be mapped by several tables (a folio moved to an address that straddles one), so part
 * of a word changes by one atomic and/or; a range that covers all the folio's pages in a word is
 * wholly the caller's by the rule above, and is stored plainly. Where the bits already are as
 * wanted nothing is written.
 */
#ifndef PF_PHYS_EXCLUSIVE_H
#define PF_PHYS_EXCLUSIVE_H

#include "phys/folio.h"

/* The word with pages 64w .. 64w+63 of a large folio. */
PF_INLINE uint64_t *pf_folio_ae_word(const struct pf_folio *folio, unsigned w)
{
	struct pf_frame *f = (struct pf_frame *)&folio->head;

	return w ? &f[2 + (w - 1) / 2].ae_more[(w - 1) & 1] : &f[1].ae_first;
}

/* Bits of word idx / 64 that the range [idx, idx + nr) covers. nr >= 1. */
PF_INLINE uint64_t pf_folio_ae_mask(unsigned idx, unsigned nr)
{
	unsigned lo = idx & 63;
	unsigned last = lo + nr - 1;

	return PF_MASK(last < 63 ? last : 63, lo);
}

/* All bits a word of this folio has. */
PF_INLINE uint64_t pf_folio_ae_full(const struct pf_folio *folio)
{
	unsigned nr = pf_folio_nr(folio);

	return nr < 64 ? PF_BIT(nr) - 1 : UINT64_MAX;
}

/*
 * AnonExclusive of page idx. Stable under the table lock; a lockless walker that holds a reference
 * orders it after its re-read of the entry by itself.
 */
PF_INLINE bool pf_folio_ae_test(const struct pf_folio *folio, unsigned idx)
{
	if (!pf_folio_order(folio))
		return pf_load_relaxed(&folio->head.ae);
	return pf_load_relaxed(pf_folio_ae_word(folio, idx / 64)) >> (idx & 63) & 1;
}

/* Pages [idx, idx + nr), 1 <= nr, inside the folio; table locks of all of them held (see above). */
PF_INLINE void pf_folio_ae_set_range(struct pf_folio *folio, unsigned idx, unsigned nr)
{
	if (!pf_folio_order(folio)) {
		pf_store_relaxed(&folio->head.ae, 1);
		return;
	}
	for (unsigned end = idx + nr; idx < end; idx = (idx | 63) + 1) {
		uint64_t *p = pf_folio_ae_word(folio, idx / 64);
		uint64_t mask = pf_folio_ae_mask(idx, end - idx);

		if (mask == pf_folio_ae_full(folio))
			pf_store_relaxed(p, mask);
		else if (~pf_load_relaxed(p) & mask)
			pf_or_relaxed(p, mask);
	}
}

PF_INLINE void pf_folio_ae_clear_range(struct pf_folio *folio, unsigned idx, unsigned nr)
{
	if (!pf_folio_order(folio)) {
		pf_store_relaxed(&folio->head.ae, 0);
		return;
	}
	for (unsigned end = idx + nr; idx < end; idx = (idx | 63) + 1) {
		uint64_t *p = pf_folio_ae_word(folio, idx / 64);
		uint64_t mask = pf_folio_ae_mask(idx, end - idx);

		if (mask == pf_folio_ae_full(folio))
			pf_store_relaxed(p, 0);
		else if (pf_load_relaxed(p) & mask)
			pf_and_relaxed(p, ~mask);
	}
}

/*
 * Number of pages from idx on, at most max (>= 1), whose AnonExclusive is the same as page idx's,
 * which goes to *value. idx counts from the folio's first page: a batch that starts in the middle
 * of a folio passes pf_folio_idx(folio, pfn of its first entry) (mail 1). idx + max stays inside
 * the folio.
 */
PF_INLINE unsigned pf_folio_ae_run(
	const struct pf_folio *folio, unsigned idx, unsigned max, bool *value)
{
	unsigned n = 0;

	*value = pf_folio_ae_test(folio, idx);
	if (!pf_folio_order(folio))
		return 1;
	while (n < max) {
		unsigned bit = (idx + n) & 63;
		uint64_t v = pf_load_relaxed(pf_folio_ae_word(folio, (idx + n) / 64));
		/* First bit that differs from *value, counted from `bit`; zeros shifted in are no
		 * bits. */
		unsigned run = pf_ctz64((*value ? ~v : v) >> bit);

		if (run < 64 - bit)
			return n + run < max ? n + run : max;
		n += 64 - bit;
	}
	return max;
}

/* Is any page of [idx, idx + nr) exclusive? */
PF_INLINE bool pf_folio_ae_any(const struct pf_folio *folio, unsigned idx, unsigned nr)
{
	bool value;

	return pf_folio_ae_run(folio, idx, nr, &value) < nr || value;
}

#endif
