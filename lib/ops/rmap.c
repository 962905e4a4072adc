/* SPDX-License-Identifier: MIT */
/*
 * What the reverse map does with one area: the entries that map a folio's pages, run by run. Which kinds of entries these are the
 * search says, and no other is looked at: a softleaf's frame field says something else, or the same of a page that is not mapped; and
 * one that maps a page for a device has no A, and no block (B45): of its use only the device can tell.
 */
#include "ops/internal.h"

enum search_for {
	FOR_PRESENT,   /* entries that hardware uses */
	FOR_MAPPINGS,  /* these, and devices' */
	FOR_MIGRATION, /* migration entries, when pages come back */
};

/* Entries [idx, idx + nr) of a locked table map the pages from pfn(pte) on. */
struct hit {
	struct pf_pte_map m;
	unsigned idx, nr;
	pf_pte_t pte;
};

/* Where a search is; begins with all but the first four zero. */
struct search {
	struct pf_space *space;
	const struct pf_rmap_place *place;
	unsigned batch; /* PF_FPB_* */
	enum search_for kinds;
	bool locked;
	uint64_t done; /* pages of the place */
	uint64_t end;  /* of the locked table's part, in pages of the place */
	struct hit hit;
};

static pf_va_t at(const struct search *s)
{
	return s->place->va + (s->done << PF_PAGE_SHIFT);
}

/* Lock the next table that there is. */
static bool lock_table(struct search *s)
{
	pf_va_t va = at(s);
	uint64_t nr = s->place->nr - s->done;

	if (!pf_next_table(s->space, &va, &nr, &s->hit.m))
		return false;
	s->locked = true;
	s->done = s->place->nr - nr;
	s->end = s->done + pf_pages_in_table(va, nr);
	return true;
}

static void unlock_table(struct search *s)
{
	pf_pte_unmap_unlock(&s->hit.m);
	s->locked = false;
}

static bool is_wanted(const struct search *s, pf_pte_t pte)
{
	if (s->kinds == FOR_MIGRATION)
		return pf_pte_kind(pte) == PF_PTE_MIGRATION;
	if (PF_MUTANT("rmap-not-present"))
		return !pf_pte_special(pte);
	return pf_pte_maps(pte) && (pf_pte_present(pte) || s->kinds == FOR_MAPPINGS);
}

/* Migration entries that continue the first in all but A and D, which become the OR: they are of one folio. */
static void extend_migration(struct search *s)
{
	struct hit *h = &s->hit;

	while (s->done < s->end) {
		const pf_pte_t next = pf_ptep_get(&h->m, h->idx + h->nr);

		if ((next.v ^ pf_pte_advance(h->pte, h->nr).v) & ~(PF_PTE_A | PF_PTE_D))
			break;
		h->pte = pf_pte_set(h->pte, next.v & (PF_PTE_A | PF_PTE_D));
		h->nr++;
		s->done++;
	}
}

/*
 * The next run of entries that map pages of the place, each at its address. The table stays locked, and
 * what is there may be changed, until the next call. An address has one page of a folio, so of a run of ascending frames
 * all are hits or none is.
 */
static bool next_hit(struct search *s)
{
	struct hit *h = &s->hit;

	while (s->done < s->place->nr) {
		pf_pfn_t pfn;

		if (s->locked && s->done == s->end)
			unlock_table(s);
		if (!s->locked && !lock_table(s))
			return false;
		pfn = s->place->pfn + s->done;
		h->idx = pf_pte_idx(&h->m, at(s));
		h->nr = pf_pte_batch(
			&h->m, h->idx, (unsigned)(s->end - s->done), s->batch, &h->pte);
		s->done += h->nr;
		if (is_wanted(s, h->pte) && pf_pte_pfn(h->pte) == pfn) {
			if (s->kinds == FOR_MIGRATION)
				extend_migration(s);
			return true;
		}
	}
	if (s->locked)
		unlock_table(s);
	return false;
}

uint64_t pf_mapped_one(struct pf_space *space, const struct pf_rmap_place *place)
{
	struct search s = {.space = space, .place = place, .kinds = FOR_MAPPINGS};
	uint64_t nr = 0;

	while (next_hit(&s))
		nr += s.hit.nr;
	return nr;
}

/* One run: true if its entries say that it was young. */
static bool age_entries(struct hit *h, enum pf_age how)
{
	/* A device's alone: no CPU has used it. */
	if (!pf_pte_present(h->pte))
		return false;
	if (how == PF_AGE_LOOK) {
		for (unsigned i = h->idx; i < h->idx + h->nr; i++)
			if (pf_pte_young(pf_ptep_get(&h->m, i)))
				return true;
		return false;
	}
	if (how == PF_AGE_CLEAR)
		return pf_test_and_clear_young_ptes(&h->m, h->idx, h->nr);
	return pf_clear_flush_young_ptes(&h->m, h->idx, h->nr);
}

/* Who else uses the pages by this address is asked, too, and all of them, where A is cleared (E4, D6). */
static bool age_hit(struct pf_space *space, struct hit *h, enum pf_age how)
{
	struct pf_mmu_notifier_subscriptions *s = pf_space_subscriptions(space);
	const pf_va_t start = pf_pte_va(&h->m, h->idx);
	const pf_va_t end = start + ((pf_va_t)h->nr << PF_PAGE_SHIFT);
	bool young = age_entries(h, how);

	if (PF_LIKELY(!s) || PF_MUTANT("notify-age-ignored"))
		return young;
	if (how == PF_AGE_CLEAR)
		return young | pf_mmu_notifier_clear_young(s, start, end);
	if (how == PF_AGE_FLUSH)
		return young | pf_mmu_notifier_clear_flush_young(s, start, end);
	for (pf_va_t va = start; !young && va < end; va += PF_PAGE_SIZE)
		young = pf_mmu_notifier_test_young(s, va);
	return young;
}

bool pf_referenced_one(struct pf_space *space, const struct pf_rmap_place *place, enum pf_age how)
{
	struct search s = {.space = space, .place = place, .kinds = FOR_MAPPINGS};
	bool young = false;

	while (next_hit(&s))
		young |= age_hit(space, &s.hit, how);
	return young;
}

uint64_t pf_age_range(struct pf_space *space, pf_va_t va, uint64_t nr, enum pf_age how)
{
	struct pf_pte_map m;
	uint64_t young = 0;

	while (pf_next_table(space, &va, &nr, &m)) {
		unsigned n = pf_pages_in_table(va, nr), idx = pf_pte_idx(&m, va);

		for (unsigned i = 0; i < n;) {
			struct hit h = {.m = m, .idx = idx + i};
			unsigned k = pf_pte_batch(&m, h.idx, n - i, 0, &h.pte);

			/*
			 * Folio by folio: A may be cleared of a whole block, and is an answer about one folio.
			 * The zero page's says nothing.
			 */
			for (unsigned j = 0; j < k && pf_pte_maps(h.pte); j += h.nr) {
				h.idx = idx + i + j;
				h.nr = pf_piece_one(space->phys, pf_pte_pfn(h.pte) + j, k - j).nr;
				young += age_hit(space, &h, how) ? h.nr : 0;
			}
			i += k;
		}
		pf_pte_unmap_unlock(&m);
		va += (pf_va_t)n << PF_PAGE_SHIFT;
		nr -= n;
	}
	return young;
}

/* ---- migration ---- */

/*
 * A run of one folio becomes migration entries: emptied (whole blocks as they are), flushed, and only then are pins looked
 * at, against a walker that pins before it reads the entry again (coremm 4.3). Pages that may be pinned get their
 * entries back: A and D of the run merged, all else uniform. What a device had comes back as its process's alone, and not
 * writable (Linux): its folio is dirty all the time. False: some did not go.
 */
static bool migrate_run(struct pf_space *space, struct hit *h)
{
	struct pf_folio *folio = pf_page_folio(space->phys, pf_pte_pfn(h->pte));
	pf_pte_t pte =
		pf_take_mappings(&h->m, h->idx, h->nr, h->pte, !PF_MUTANT("migrate-no-flush"));
	const pf_pfn_t pfn = pf_pte_pfn(pte);
	const bool file = pf_folio_is_file(folio);

	if (pf_pte_dirty(pte))
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
	for (unsigned i = 0, n; i < h->nr; i += n) {
		const uint64_t bits =
			pte.v & (PF_PTE_A | PF_PTE_D | PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP);
		enum pf_mig_kind kind = PF_MIG_READ;
		bool exclusive = false;

		n = h->nr - i;
		if (file && pf_pte_write(pte))
			kind = PF_MIG_WRITE;
		if (!file)
			n = pf_folio_ae_run(folio, pf_folio_idx(folio, pfn + i), n, &exclusive);
		if (exclusive) {
			kind = pf_pte_write(pte) ? PF_MIG_WRITE : PF_MIG_READ_EXCLUSIVE;
			if (pf_folio_try_share_anon_rmap_ptes(folio, pfn + i, n)) {
				pf_set_ptes(&h->m, h->idx + i, pf_pte_advance(pte, i), h->nr - i,
					pf_folio_extent(space->phys, folio));
				return false;
			}
		}
		for (unsigned k = i; k < i + n; k++)
			pf_set_pte_at(&h->m, h->idx + k, pf_pte_migration(pfn + k, kind, bits),
				PF_NO_EXTENT);
		pf_folio_drop_rmap_ptes(space->phys, folio, pfn + i, n, space->mm_id);
	}
	return true;
}

bool pf_try_to_migrate_one(struct pf_space *space, const struct pf_rmap_place *place)
{
	/* Uniform in what cannot be merged; A and D are the folio's. */
	struct search s = {
		.space = space,
		.place = place,
		.batch = PF_FPB_RESPECT_SOFT_DIRTY,
		.kinds = PF_MUTANT("migrate-leaves-exclusive") ? FOR_PRESENT : FOR_MAPPINGS,
	};
	bool all = true;

	if (!PF_MUTANT("migrate-ignore-write"))
		s.batch |= PF_FPB_RESPECT_WRITE;
	pf_pt_set_cause(&space->pt, PF_CAUSE_MIGRATE);
	while (next_hit(&s))
		all &= migrate_run(space, &s.hit);
	return all;
}

/* The same in a device's memory: one entry a page. Its A and D are the device's to know. */
static void set_private(struct hit *h, unsigned at, pf_pfn_t pfn, unsigned nr)
{
	const bool write = pf_pte_mig_kind(h->pte) == PF_MIG_WRITE;
	const uint64_t bits =
		h->pte.v & (write ? PF_PTE_SOFT_DIRTY : PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP);

	for (unsigned i = 0; i < nr; i++)
		pf_set_pte_at(&h->m, h->idx + at + i, pf_pte_device_private(pfn + i, write, bits),
			PF_NO_EXTENT);
}

/* What a migration entry says of the page at its new frame, as the area now is. */
static pf_pte_t restored(
	const struct pf_area *area, pf_pte_t entry, pf_pfn_t pfn, const struct pf_folio *folio)
{
	uint64_t prot = pf_load_relaxed(&area->prot) & ~PF_PTE_W;
	uint64_t keep = PF_PTE_A | PF_PTE_SOFT_DIRTY;

	/* Else a write must still be noticed by who asked for it (B31). */
	if (pf_pte_mig_kind(entry) == PF_MIG_WRITE)
		prot |= PF_PTE_W;
	else
		keep |= PF_PTE_UFFD_WP;
	if (pf_folio_test_flags(folio, PF_FOLIO_DIRTY))
		keep |= PF_PTE_D;
	return pf_pte_mk(pfn, prot | (entry.v & keep));
}

void pf_remove_migration_one(struct pf_space *space, const struct pf_area *area,
	const struct pf_rmap_place *place, pf_pfn_t to)
{
	struct search s = {.space = space, .place = place, .kinds = FOR_MIGRATION};
	struct hit *h = &s.hit;

	pf_pt_set_cause(&space->pt, PF_CAUSE_MIGRATE);
	while (next_hit(&s)) {
		const bool exclusive = pf_pte_mig_kind(h->pte) != PF_MIG_READ;
		pf_pfn_t pfn = to + (pf_pte_pfn(h->pte) - place->pfn);

		pf_clear_not_present_ptes(&h->m, h->idx, h->nr);
		for (unsigned i = 0, n; i < h->nr; i += n) {
			struct pf_folio *folio = pf_page_folio(space->phys, pfn + i);

			n = (unsigned)pf_min(
				h->nr - i, pf_folio_nr(folio) - pf_folio_idx(folio, pfn + i));
			if (!pf_folio_is_file(folio)) {
				pf_folio_add_anon_rmap_ptes(
					folio, pfn + i, n, space->mm_id, exclusive);
			} else if (!pf_folio_add_file_rmap_ptes(folio, n, space->mm_id)) {
				/* It can be mapped again by a fault, when fewer do. */
				pf_rss_add_of(space, area, true, -(int64_t)n);
				continue;
			}
			if (pf_phys_is_device(space->phys, pfn + i)) {
				set_private(h, i, pfn + i, n);
				continue;
			}
			/* Into empty slots of which no TLB holds anything: whole blocks fold. */
			pf_set_ptes(&h->m, h->idx + i, restored(area, h->pte, pfn + i, folio), n,
				pf_folio_extent(space->phys, folio));
		}
	}
}

struct pf_folio *pf_get_folio(struct pf_space *space, pf_va_t *va, uint64_t *nr)
{
	struct pf_folio *folio = NULL;
	struct pf_pte_map m;

	while (!folio && pf_next_table(space, va, nr, &m)) {
		unsigned n = pf_pages_in_table(*va, *nr), idx = pf_pte_idx(&m, *va), i, k;
		pf_pte_t pte;

		for (i = 0; i < n && !folio; i += k) {
			k = pf_folio_pte_batch(space->phys, &m, idx + i, n - i, 0, &pte);
			if (!pf_pte_present(pte) || pf_pte_special(pte))
				continue;
			folio = pf_page_folio(space->phys, pf_pte_pfn(pte));
			pf_folio_get(folio, 1);
		}
		pf_pte_unmap_unlock(&m);
		*va += (pf_va_t)i << PF_PAGE_SHIFT;
		*nr -= i;
	}
	return folio;
}
