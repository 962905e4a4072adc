/* SPDX-License-Identifier: MIT */
/*
 * Which mappings a folio has: how many in all, and whether all belong to one mm. No count per page
 * (FRAME.md 5 says why none is needed).
 *
 * All functions: the caller holds the lock of the table(s) whose entries it is about to write, or
 * has just emptied, unless the function says otherwise. Ranges (pfn, nr) lie inside the folio. A
 * mapping is a reference (folio.h): adding takes none beforehand.
 *
 * mm ids are 1 .. 2^30 - 1, unique among mms that have mappings. A large folio has two slots
 * (Linux's mm-id slots): an mm, and how many mappings are known to be its. What is known never
 * exceeds what is, so "slot count == all mappings" proves that one mm has them all. An mm that
 * finds no free slot is not tracked; the folio then passes for shared, which costs a copy and never
 * correctness.
 */
#ifndef PF_PHYS_RMAP_H
#define PF_PHYS_RMAP_H

#include "base/err.h"
#include "phys/exclusive.h"

#define PF_ID_LOCK   (UINT32_C(1) << 31)
#define PF_ID_SHARED (UINT32_C(1) << 30)
#define PF_ID_MASK   (PF_ID_SHARED - 1)
/* Mappings beyond which fork is refused; with PF_REF_LIMIT it keeps the counts from ever carrying.
 */
#define PF_MAP_LIMIT PF_BIT(27)

/* ---- the slots of a large folio; private to this file ---- */

/*
 * The lock is a bit of id[0]. It orders changes of the slots and of the upper half of the count
 * word: mapcount of a large folio. Innermost lock: nothing is taken, called or waited for under it.
 */
PF_INLINE void pf_folio_ids_lock(struct pf_folio *folio)
{
	uint32_t *p = &(&folio->head)[1].id[0];
	uint32_t old = pf_load_relaxed(p) & ~PF_ID_LOCK;

	while (!pf_cas(p, &old, old | PF_ID_LOCK)) {
		if (old & PF_ID_LOCK)
			pf_spin_wait(p);
		old &= ~PF_ID_LOCK;
	}
}

/* `map`: all mappings, as the caller leaves them. Publishes "maybe shared" with the unlock. */
PF_INLINE void pf_folio_ids_unlock(struct pf_folio *folio, uint32_t map)
{
	struct pf_frame *t = &(&folio->head)[1];
	uint32_t id = pf_load_relaxed(&t->id[0]) & PF_ID_MASK;

	if (map != t->id_map[0] && map != t->id_map[1])
		id |= PF_ID_SHARED;
	pf_store_release(&t->id[0], id);
}

/* Index of the mm's slot, or -1. */
PF_INLINE int pf_folio_ids_find(const struct pf_frame *t, uint32_t mm_id)
{
	if (t->id_map[0] && (pf_load_relaxed(&t->id[0]) & PF_ID_MASK) == mm_id)
		return 0;
	if (t->id_map[1] && t->id[1] == mm_id)
		return 1;
	return -1;
}

PF_INLINE void pf_folio_ids_add(struct pf_folio *folio, uint32_t mm_id, unsigned nr)
{
	struct pf_frame *t = &(&folio->head)[1];
	int s = pf_folio_ids_find(t, mm_id);

	if (s < 0) {
		if (!t->id_map[0]) {
			s = 0;
			/* Atomic for those who try the lock; "maybe shared" stays what it was. */
			pf_store_relaxed(
				&t->id[0], (pf_load_relaxed(&t->id[0]) & ~PF_ID_MASK) | mm_id);
		} else if (!t->id_map[1]) {
			s = 1;
			t->id[1] = mm_id;
		} else {
			return;
		}
	}
	/* Saturates: known <= true still holds, and never again equals it. */
	t->id_map[s] = (uint16_t)pf_min(t->id_map[s] + nr, UINT16_MAX);
}

/*
 * Known mappings may be fewer than the mm has (it came when there was no slot), hence the minimum:
 * known <= true before implies known <= true after.
 */
PF_INLINE void pf_folio_ids_sub(struct pf_folio *folio, uint32_t mm_id, unsigned nr)
{
	struct pf_frame *t = &(&folio->head)[1];
	int s = pf_folio_ids_find(t, mm_id);

	if (s >= 0)
		t->id_map[s] -= (uint16_t)pf_min(t->id_map[s], nr);
}

/* nr more mappings of a large folio, by that mm. */
PF_INLINE void pf_folio_map_large(struct pf_folio *folio, unsigned nr, uint32_t mm_id)
{
	uint32_t hi;

	pf_folio_ids_lock(folio);
	/*
	 * The upper half changes only under this lock, so its new value may be stored without an
	 * atomic. References come and go beside it by 64-bit atomics, which keep what they find
	 * here (FRAME.md 4).
	 */
	hi = pf_load_relaxed(&folio->head.count.hi) + nr;
	pf_store_relaxed(&folio->head.count.hi, hi);
	pf_folio_ids_add(folio, mm_id, nr);
	pf_folio_ids_unlock(folio, hi & PF_HI_MAP);
}

/* ---- adding ---- */

/*
 * First mappings of a folio that nobody else knows yet: pages [pfn, pfn + nr). They consume the
 * reference that pf_folio_alloc() gave. `exclusive` sets AnonExclusive of those pages (always for a
 * new anonymous page; not for one brought in read-only and shared).
 */
PF_INLINE void pf_folio_add_new_anon_rmap(
	struct pf_folio *folio, pf_pfn_t pfn, unsigned nr, uint32_t mm_id, bool exclusive)
{
	if (exclusive)
		pf_folio_ae_set_range(folio, pf_folio_idx(folio, pfn), nr);
	if (pf_folio_order(folio)) {
		struct pf_frame *t = &(&folio->head)[1];

		/* No mapper yet, so no lock; visible to others with the table lock of the first
		 * entry. */
		t->id[0] = mm_id;
		t->id_map[0] = (uint16_t)nr;
	}
	/* An atomic: who sweeps over frames may take and drop a reference at any time. */
	pf_add_relaxed(&folio->head.count.word, nr * PF_COUNT_MAP_1 - 1);
}

/*
 * More mappings of a folio that the caller keeps alive by a reference of its own, or a folio lock
 * with one (swap-in, migration). With `exclusive`, AnonExclusive of the pages is set: none of them
 * has another mapping or can get one.
 */
PF_INLINE void pf_folio_add_anon_rmap_ptes(
	struct pf_folio *folio, pf_pfn_t pfn, unsigned nr, uint32_t mm_id, bool exclusive)
{
	if (pf_folio_order(folio))
		pf_folio_map_large(folio, nr, mm_id);
	else
		pf_add_relaxed(&folio->head.count.word, PF_COUNT_MAP_1);
	if (exclusive)
		pf_folio_ae_set_range(folio, pf_folio_idx(folio, pfn), nr);
}

/*
 * Mappings of a file's folio, by a fault or by fork. The caller has a reference, or the lock of a table
 * with an entry that maps it. False, and nothing has changed: PF_MAP_LIMIT.
 */
PF_INLINE bool pf_folio_add_file_rmap_ptes(struct pf_folio *folio, unsigned nr, uint32_t mm_id)
{
	uint64_t c = pf_folio_count(folio);

	if (PF_UNLIKELY(pf_count_map(c) + nr > PF_MAP_LIMIT))
		return false;
	if (pf_count_order(c))
		pf_folio_map_large(folio, nr, mm_id);
	else
		/* Others may come through the mapping at any time: an atomic, always. */
		pf_add_relaxed(&folio->head.count.word, PF_COUNT_MAP_1);
	return true;
}

/*
 * fork: mappings of [pfn, pfn + nr) for dst_mm_id, copied from present entries of the source, whose
 * table lock is held. Clears AnonExclusive of the pages, so both sides must become read-only before
 * the locks are released. src_may_pin: the source mm has ever pinned pages (MMF_HAS_PINNED).
 * 0; -PF_EBUSY: the folio may be pinned and some page of the range is exclusive, so the
 * caller copies pages instead; -PF_ENOMEM: PF_MAP_LIMIT. Nothing has changed then.
 *
 * Against GUP-fast, fork's write_protect_seq makes a concurrent pin undo itself; no order is needed
 * here.
 */
PF_INLINE int pf_folio_try_dup_anon_rmap_ptes(
	struct pf_folio *folio, pf_pfn_t pfn, unsigned nr, uint32_t dst_mm_id, bool src_may_pin)
{
	uint64_t c = pf_folio_count(folio);

	if (PF_UNLIKELY(pf_count_map(c) + nr > PF_MAP_LIMIT))
		return -PF_ENOMEM;
	if (pf_count_order(c)) {
		unsigned idx = pf_folio_idx(folio, pfn);

		if (src_may_pin && pf_folio_maybe_pinned(folio) && pf_folio_ae_any(folio, idx, nr))
			return -PF_EBUSY;
		if (!PF_MUTANT("fork-keeps-exclusive"))
			pf_folio_ae_clear_range(folio, idx, nr);
		pf_folio_map_large(folio, nr, dst_mm_id);
		return 0;
	}
	if (pf_load_relaxed(&folio->head.ae)) {
		if (src_may_pin && pf_folio_maybe_pinned(folio))
			return -PF_EBUSY;
		pf_store_relaxed(&folio->head.ae, 0);
	} else if (pf_count_map(c) != 1 ||
		   pf_folio_test_flags(
			   folio, PF_FOLIO_LOCKED | PF_FOLIO_SWAPCACHE | PF_FOLIO_KSM)) {
		pf_add_relaxed(&folio->head.count.word, PF_COUNT_MAP_1);
		return 0;
	}
	/*
	 * One mapping, and its entry is under our lock: a second can only be made from that entry,
	 * or by swap-in, migration or KSM, which the flags and AnonExclusive exclude. So the upper
	 * half is ours, and a plain store of 2 takes the place of an atomic (FRAME.md 4): fork's
	 * price per small page.
	 */
	pf_store_relaxed(&folio->head.count.hi, PF_HI_FOLIO | 2);
	return 0;
}

/*
 * Before an entry that was exclusive becomes a swap or migration entry, or KSM's: clear
 * AnonExclusive of pages [pfn, pfn + nr) unless the folio may be pinned. The caller has emptied the entries and
 * flushed them. 0; -PF_EBUSY: unchanged, the caller restores the entries.
 *
 * Barriers (coremm 4.3): the first orders the emptied entry before the look at pins, against a
 * walker that pins before it reads the entry again; the second orders the clear before the entry
 * comes back read-only, against one that then finds the entry unchanged and checks AnonExclusive.
 */
PF_INLINE int pf_folio_try_share_anon_rmap_ptes(struct pf_folio *folio, pf_pfn_t pfn, unsigned nr)
{
	pf_mb();
	if (pf_folio_maybe_pinned(folio))
		return -PF_EBUSY;
	pf_folio_ae_clear_range(folio, pf_folio_idx(folio, pfn), nr);
	pf_mb();
	return 0;
}

PF_INLINE int pf_folio_try_share_anon_rmap_pte(struct pf_folio *folio, pf_pfn_t pfn)
{
	return pf_folio_try_share_anon_rmap_ptes(folio, pfn, 1);
}

/* ---- removing ---- */

/*
 * Entries of [pfn, pfn + nr) have been emptied: their mappings become nr plain references of the
 * caller's, to be put once no TLB can use them. Returns the mappings left. AnonExclusive stays as
 * it is: nobody can map those pages again but who makes it so. Fully ordered: the cleared entry
 * before the count.
 */
PF_INLINE unsigned pf_folio_remove_rmap_ptes(
	struct pf_folio *folio, pf_pfn_t pfn, unsigned nr, uint32_t mm_id)
{
	uint64_t c;

	(void)pfn;
	if (!pf_folio_order(folio)) {
		c = pf_sub_return(&folio->head.count.word, PF_COUNT_MAP_1 - 1);
		return pf_count_map(c);
	}
	pf_folio_ids_lock(folio);
	c = pf_sub_return(&folio->head.count.word, nr * PF_COUNT_MAP_1 - nr);
	pf_folio_ids_sub(folio, mm_id, nr);
	pf_folio_ids_unlock(folio, pf_count_map(c));
	return pf_count_map(c);
}

/*
 * The same for a caller who kept the mappings until after the flush (a gather): removes them and
 * their references in one step. No table lock needed: the mappings themselves are what the caller
 * owns. True if nothing is left: the folio is the caller's to pf_folio_free().
 * pf_folio_drop_rmap_ptes() frees too.
 */
PF_INLINE bool pf_folio_drop_rmap_testzero(
	struct pf_folio *folio, pf_pfn_t pfn, unsigned nr, uint32_t mm_id)
{
	uint64_t c = pf_folio_count(folio);

	if (!pf_count_order(c)) {
		c = pf_sub_return(&folio->head.count.word, PF_COUNT_MAP_1);
		return !(c & (PF_COUNT_REF | PF_COUNT_MAP));
	}
	/*
	 * If these are all its mappings and it has no reference, nobody but a walker by chance can
	 * know the folio, and the compare and exchange settles that race; its slots need no upkeep.
	 */
	if (pf_count_map(c) == nr && !pf_count_ref(c) &&
		pf_cas(&folio->head.count.word, &c, c - nr * PF_COUNT_MAP_1))
		return true;
	/* In two steps, so that a reference of ours keeps the slots' record alive through the
	 * unlock. */
	pf_folio_remove_rmap_ptes(folio, pfn, nr, mm_id);
	return pf_folio_put_testzero(folio, nr);
}

/* ---- asking ---- */

/* Linux's folio_maybe_mapped_shared: false only if all mappings are one mm's. A snapshot. */
PF_INLINE bool pf_folio_maybe_mapped_shared(const struct pf_folio *folio)
{
	uint64_t c = pf_folio_count(folio);

	if (!pf_count_order(c))
		return pf_count_map(c) > 1;
	return pf_load_relaxed(&(&folio->head)[1].id[0]) & PF_ID_SHARED;
}

/*
 * May a write fault of mm_id on a page that is not exclusive take the folio as it is, with no copy
 * (coremm 4.5)? True: all mappings are mm_id's and there is no other reference; the caller then
 * sets AnonExclusive of its page. Table lock of the faulting entry held. A folio in the swap cache
 * or shared by KSM is never reused here: who builds those drops the cache's reference first.
 *
 * It stays true until the lock is released: a mapping by another mm would have to come from a fork,
 * which the mmap or VMA lock of a fault excludes, and a walker's reference that comes later is on a
 * page whose entry it read as not exclusive: a read-only pin refuses it, a plain get is not
 * promised anything.
 */
PF_INLINE bool pf_folio_reuse_anon(struct pf_folio *folio, uint32_t mm_id)
{
	struct pf_frame *t = &(&folio->head)[1];
	uint64_t c = pf_folio_count(folio);
	bool reuse;
	int s;

	if (PF_MUTANT("reuse-ignores-refs"))
		c &= ~(uint64_t)PF_COUNT_REF;
	if (pf_count_ref(c) || pf_folio_test_flags(folio, PF_FOLIO_KSM | PF_FOLIO_SWAPCACHE))
		return false;
	if (!pf_count_order(c))
		return pf_count_map(c) == 1;
	if (pf_load_relaxed(&t->id[0]) & PF_ID_SHARED)
		return false;
	pf_folio_ids_lock(folio);
	c = pf_folio_count(folio);
	s = pf_folio_ids_find(t, mm_id);
	reuse = s >= 0 && t->id_map[s] == pf_count_map(c) && !pf_count_ref(c);
	pf_folio_ids_unlock(folio, pf_count_map(c));
	return reuse;
}

#endif
