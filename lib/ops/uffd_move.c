/* SPDX-License-Identifier: MIT */
/*
 * UFFDIO_MOVE: pages that one process alone has go to other addresses of it, as they are. Unlike mremap, which takes a
 * VMA's page indexes along, the folios get new ones here: so only whole folios move, and nobody may be at work on them.
 *
 * Both tables are locked, in the order of their addresses: the mmap lock is held for reading, so another thread may
 * take the same two.
 */
#include "ops/internal.h"

/* As many folios as are moved with one flush. */
#define MOST 16

struct piece {
	struct pf_folio *folio; /* NULL: the page of zeros */
	unsigned idx, nr;       /* slots, counted from the first that moves */
	pf_pte_t pte;           /* as it was */
};

struct move {
	struct pf_space *space;
	const struct pf_area *area; /* of the target */
	struct pf_pte_map from, to;
	unsigned fidx, tidx;
	unsigned room; /* slots that may be filled */
	struct piece piece[MOST];
	unsigned pieces;
	unsigned nr; /* slots of the pieces */
	struct pf_folio *large;
};

/* A folio of one page, or all of a large one, whose first page stands at the slot; max: entries of it that follow. */
static enum pf_move take_folio(struct move *m, pf_pte_t pte, unsigned max)
{
	struct pf_folio *folio = pf_page_folio(m->space->phys, pf_pte_pfn(pte));
	const unsigned nr = pf_folio_nr(folio), page = pf_folio_idx(folio, pf_pte_pfn(pte));
	bool exclusive;
	unsigned n = pf_folio_ae_run(folio, page, nr - page, &exclusive);

	if (!exclusive && !PF_MUTANT("move-ignores-exclusive"))
		return PF_MOVE_BUSY;
	/* One that comes without a lock from here on is looked for when the entries are gone. */
	if (pf_folio_maybe_pinned(folio) && !PF_MUTANT("move-ignores-pins"))
		return PF_MOVE_BUSY;
	if ((max < nr || n < nr) && !PF_MUTANT("move-part-of-folio")) {
		m->large = folio;
		return PF_MOVE_LARGE;
	}
	/* What they are found by is about to change. */
	if (!pf_folio_trylock(folio))
		return PF_MOVE_LOCKED;
	m->piece[m->pieces++] = (struct piece){folio, m->nr, max, pte};
	m->nr += max;
	return PF_MOVE_DONE;
}

static enum pf_move take(struct move *m)
{
	pf_pte_t pte;
	unsigned n = pf_folio_pte_batch(
		m->space->phys, &m->from, m->fidx + m->nr, m->room - m->nr, 0, &pte);

	switch (pf_pte_kind(pte)) {
	case PF_PTE_NONE:
		if (!m->pieces)
			m->nr = n;
		return PF_MOVE_HOLE;
	case PF_PTE_PAGE:
		if (!pf_pte_special(pte))
			return take_folio(m, pte, n);
		m->piece[m->pieces++] = (struct piece){NULL, m->nr++, 1, pte};
		return PF_MOVE_DONE;
	case PF_PTE_SWAP:
		return pte.v & PF_PTE_EXCLUSIVE ? PF_MOVE_SWAPPED : PF_MOVE_BUSY;
	case PF_PTE_MIGRATION:
		return PF_MOVE_MIGRATING;
	default:
		return PF_MOVE_LOST;
	}
}

/*
 * The entry at the new address is a fresh one: what was to be noticed at the old one is not here, and what arrives counts as
 * written for who tracks it (soft-dirty). A and D are the page's.
 */
static pf_pte_t moved(const struct move *m, const struct piece *p)
{
	const uint64_t prot =
		p->folio ? m->area->prot : (m->area->prot & ~PF_PTE_W) | PF_PTE_SPECIAL;

	return pf_pte_mk(pf_pte_pfn(p->pte), prot | (p->pte.v & (PF_PTE_A | PF_PTE_D)) | pf_sd());
}

static void put(struct move *m, const struct piece *p)
{
	const unsigned idx = m->tidx + p->idx;
	struct pf_extent extent = PF_NO_EXTENT;

	if (p->folio) {
		extent = pf_folio_extent(m->space->phys, p->folio);
		if (!PF_MUTANT("move-keeps-index"))
			pf_set_anon_mapping(m->area, p->folio, pf_pte_va(&m->to, idx));
	}
	pf_set_ptes(&m->to, idx, moved(m, p), p->nr, extent);
	if (p->folio)
		pf_folio_unlock(p->folio);
}

/*
 * The pieces from the first one on that has been pinned since it was looked at go back to where they were. Who pins without a lock
 * reads the entry again with his pin: after the barrier either he has seen it gone, or we see the pin (coremm 4.3).
 */
static void put_pinned_back(struct move *m)
{
	unsigned n = 0;

	pf_mb();
	while (n < m->pieces && (!m->piece[n].folio || !pf_folio_maybe_pinned(m->piece[n].folio) ||
					PF_MUTANT("move-pins-looked-at-once")))
		n++;
	for (unsigned i = n; i < m->pieces; i++) {
		const struct piece *p = &m->piece[i];
		pf_pte_t pte = p->pte;

		/* Entries of a large folio may have differed in these: a fault gives W back, and to have changed is no loss. */
		if (p->nr > 1)
			pte = pf_pte_set(pf_pte_clear(pte, PF_PTE_W), pf_sd());
		pf_set_ptes(&m->from, m->fidx + p->idx, pte, p->nr,
			p->folio ? pf_folio_extent(m->space->phys, p->folio) : PF_NO_EXTENT);
		if (p->folio)
			pf_folio_unlock(p->folio);
	}
	if (n < m->pieces)
		m->nr = m->piece[n].idx;
	m->pieces = n;
}

/*
 * Old entries go, no TLB has them any more, new ones come: a page is never at both addresses (G2). False: nothing
 * could be moved.
 */
static bool move(struct move *m)
{
	struct pf_space *space = m->space;

	for (unsigned i = 0; i < m->pieces; i++)
		m->piece[i].pte =
			pf_get_and_clear_ptes(&m->from, m->fidx + m->piece[i].idx, m->piece[i].nr);
	if (!PF_MUTANT("move-no-flush"))
		pf_flush_tlb_range(&space->pt, pf_pte_va(&m->from, m->fidx), m->nr);
	put_pinned_back(m);
	if (!m->pieces)
		return false;
	pf_forget_zapped(space, pf_pte_va(&m->to, m->tidx), m->nr);
	for (unsigned i = 0; i < m->pieces; i++)
		put(m, &m->piece[i]);
	return true;
}

static enum pf_move move_table(struct move *m, uint64_t max, uint64_t *nr)
{
	enum pf_move result = PF_MOVE_DONE;
	pf_pte_t pte;

	m->room = pf_pte_batch(&m->to, m->tidx, (unsigned)max, 0, &pte);
	if (!pf_pte_none(pte))
		return PF_MOVE_TAKEN;
	while (result == PF_MOVE_DONE && m->pieces < MOST && m->nr < m->room)
		result = take(m);
	if (m->pieces) {
		m->large = NULL;
		result = move(m) ? PF_MOVE_DONE : PF_MOVE_BUSY;
	}
	*nr = m->nr;
	/* Its entry keeps it until it has a reference. */
	if (m->large)
		pf_folio_get(m->large, 1);
	return result;
}

/* Both tables, the one of lower addresses first. False: one is not there (any more). */
static bool lock(struct move *m, pf_va_t from, pf_va_t to)
{
	struct pf_pt *pt = &m->space->pt;
	struct pf_pte_map *first = &m->from, *second = &m->to;
	pf_va_t a = from, b = to;

	if (to < from) {
		first = &m->to;
		second = &m->from;
		a = to;
		b = from;
	}
	if (!pf_pte_offset_map_lock(pt, a, first))
		return false;
	if (pf_pte_offset_map_lock_nested(pt, b, second, first))
		return true;
	pf_pte_unmap_unlock(first);
	return false;
}

enum pf_move pf_uffd_move_run(struct pf_space *space, const struct pf_area *area, pf_va_t from,
	pf_va_t to, bool holes, uint64_t *nr, struct pf_folio **large)
{
	struct move m = {.space = space, .area = area};
	enum pf_move result;
	uint64_t hole;

	do {
		hole = pf_pte_hole(&space->pt, from, *nr);
		if (hole && !holes) {
			*nr = hole;
			return PF_MOVE_HOLE;
		}
		/* Where holes are moved Linux makes the source's table, too: what is refused later depends on it. */
		if ((hole && pf_pte_alloc(&space->pt, from)) || pf_pte_alloc(&space->pt, to))
			return PF_MOVE_OOM;
	} while (!lock(&m, from, to));
	pf_pt_set_cause(&space->pt, PF_CAUSE_MOVE);
	m.fidx = pf_pte_idx(&m.from, from);
	m.tidx = pf_pte_idx(&m.to, to);
	result = move_table(
		&m, pf_min(pf_pages_in_table(from, *nr), pf_pages_in_table(to, *nr)), nr);
	*large = m.large;
	pf_pte_unmap_unlock(&m.from);
	pf_pte_unmap_unlock(&m.to);
	return result;
}
