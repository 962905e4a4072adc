/* SPDX-License-Identifier: MIT */
/*
 * mprotect's loop: other rights for what is mapped, batch by batch.
 */
#include "ops/softleaf.h"

struct protect {
	struct pf_space *space;
	struct pf_gather *g; /* NULL: nothing will have to be flushed */
	const struct pf_area *area;
	uint64_t prot;       /* what entries get, W withheld where pages are copied on write */
	bool try_writable;   /* entries of exclusive pages may have W at once */
	uint64_t set, clear; /* PF_PTE_UFFD_WP, or nothing */
	bool markers;        /* empty slots get one */
};

static void change(struct protect *p, struct pf_pte_map *m, unsigned idx, unsigned nr,
	uint64_t prot, struct pf_extent extent)
{
	if (pf_modify_ptes(m, idx, nr, prot, p->set, p->clear, extent))
		pf_tlb_remove_tlb_entries(p->g, pf_pte_va(m, idx), nr);
}

/*
 * May the entry be made writable without a fault (B3)? Not if a write must be noticed: uffd-wp,
 * soft-dirty tracking of an entry that is not soft-dirty. Nor the zero page, nor what stays
 * inaccessible. Then what is left for a private page is AnonExclusive: a write fault would reuse it
 * with no other check; and for a shared one, that its folio is dirty already, so that there is nothing
 * to notice. (Linux asks whether the entry is, which implies it.)
 */
static bool may_become_writable(const struct protect *p, pf_pte_t pte)
{
	uint64_t clear = p->clear | (PF_MUTANT("mprotect-ignores-uffd-wp") ? PF_PTE_UFFD_WP : 0);

	return p->try_writable && !pf_pte_special(pte) && (p->prot & PF_PTE_PERM) &&
	       pf_pte_unwatched(p->area, pf_pte_clear(pte, clear));
}

/*
 * A batch inside one large folio, split where AnonExclusive differs. Counted from the page that the
 * first entry maps, wherever in the folio that is: a batch may start in its middle.
 */
static void change_by_exclusive(struct protect *p, struct pf_pte_map *m, unsigned idx, pf_pfn_t pfn,
	const struct pf_piece *piece)
{
	unsigned first = pf_folio_idx(piece->folio, pfn), nr = piece->nr;

	if (PF_MUTANT("mprotect-ae-from-head"))
		first = 0;
	while (nr) {
		bool exclusive;
		unsigned n = pf_folio_ae_run(piece->folio, first, nr, &exclusive);

		if (PF_MUTANT("mprotect-ae-of-first"))
			n = nr;
		change(p, m, idx, n, p->prot | (exclusive ? PF_PTE_W : 0), piece->extent);
		first += n;
		idx += n;
		nr -= n;
	}
}

/* Single-page folios with consecutive frames, split the same way. */
static void change_small(
	struct protect *p, struct pf_pte_map *m, unsigned idx, pf_pfn_t pfn, unsigned nr)
{
	const struct pf_phys *phys = p->space->phys;

	while (nr) {
		bool exclusive = pf_folio_ae_test(pf_page_folio(phys, pfn), 0);
		unsigned n = 1;

		while (n < nr && pf_folio_ae_test(pf_page_folio(phys, pfn + n), 0) == exclusive)
			n++;
		change(p, m, idx, n, p->prot | (exclusive ? PF_PTE_W : 0), PF_NO_EXTENT);
		pfn += n;
		idx += n;
		nr -= n;
	}
}

/* Shared pages of which a first write must be noticed, folio by folio. */
static void change_shared(
	struct protect *p, struct pf_pte_map *m, unsigned idx, pf_pte_t pte, unsigned nr)
{
	while (nr) {
		struct pf_piece piece = pf_piece_one(p->space->phys, pf_pte_pfn(pte), nr);
		const bool dirty = pf_folio_test_flags(piece.folio, PF_FOLIO_DIRTY) ||
				   PF_MUTANT("mprotect-shared-clean");

		change(p, m, idx, piece.nr, p->prot | (dirty ? PF_PTE_W : 0), piece.extent);
		pte = pf_pte_advance(pte, piece.nr);
		idx += piece.nr;
		nr -= piece.nr;
	}
}

static void change_present(
	struct protect *p, struct pf_pte_map *m, unsigned idx, pf_pte_t pte, unsigned nr)
{
	bool writable = may_become_writable(p, pte);

	if (pf_pte_special(pte)) {
		change(p, m, idx, nr, p->prot, pf_special_extent(p->area));
		return;
	}
	/* Folios matter only for W, and for blocks that may fold. */
	if (!writable && !pf_pte_protnone(pte) && !pf_may_fold(m, idx, nr)) {
		change(p, m, idx, nr, p->prot, PF_NO_EXTENT);
		return;
	}
	if (writable && (p->area->flags & PF_VM_SHARED)) {
		change_shared(p, m, idx, pte, nr);
		return;
	}
	while (nr) {
		struct pf_piece piece = pf_piece(p->space->phys, pf_pte_pfn(pte), nr);

		if (!writable)
			change(p, m, idx, piece.nr, p->prot, piece.extent);
		else if (piece.folio)
			change_by_exclusive(p, m, idx, pf_pte_pfn(pte), &piece);
		else
			change_small(p, m, idx, pf_pte_pfn(pte), piece.nr);
		pte = pf_pte_advance(pte, piece.nr);
		idx += piece.nr;
		nr -= piece.nr;
	}
}

static int64_t change_table(struct protect *p, struct pf_pte_map *m, unsigned idx, unsigned max)
{
	/* Uniform in W and soft-dirty: then only A and D differ, which the change keeps slot by
	 * slot. */
	const unsigned flags = PF_FPB_RESPECT_SOFT_DIRTY | PF_FPB_RESPECT_WRITE;
	int64_t pages = 0;

	for (unsigned i = 0; i < max;) {
		pf_pte_t pte;
		unsigned n = pf_pte_batch(m, idx + i, max - i, flags, &pte);

		if (pf_pte_present(pte)) {
			change_present(p, m, idx + i, pte, n);
			pages += n;
		} else if (!pf_pte_none(pte)) {
			pages +=
				pf_softleaf_protect(p->g->space, m, idx + i, pte, p->set, p->clear);
		} else if (p->markers) {
			pf_set_wp_markers(m, idx + i, n);
			pages += n;
		}
		i += n;
	}
	return pages;
}

void pf_restore_prot(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t pte, unsigned nr)
{
	struct protect p = {
		.space = space,
		.area = area,
		.prot = pf_area_cow(area) ? area->prot & ~PF_PTE_W : area->prot,
		.try_writable = area->flags & PF_VM_WRITE,
	};

	if (pf_pte_uffd_wp(area, pte))
		p.prot &= ~PF_PTE_W;
	change_present(&p, m, idx, pte, nr);
}

/*
 * Told from the first table on, and not at all if there is none (D4): what is not mapped nobody has a translation of. While the
 * mmap lock is held a table stays.
 */
static void start_at_table(
	struct pf_mmu_notifier_range *range, struct pf_space *space, pf_va_t va, uint64_t nr)
{
	const pf_va_t end = va + (nr << PF_PAGE_SHIFT);

	if (PF_LIKELY(!pf_space_subscriptions(space)) || PF_MUTANT("notify-protect-forgets")) {
		range->subscriptions = NULL;
		return;
	}
	while (va < end && !PF_MUTANT("notify-protect-empty")) {
		const uint64_t hole = pf_pte_hole(&space->pt, va, (end - va) >> PF_PAGE_SHIFT);

		if (!hole)
			break;
		va += hole << PF_PAGE_SHIFT;
	}
	pf_notify_start(range, space, PF_MMU_NOTIFY_PROTECTION_VMA, va, end);
}

int64_t pf_change_protection(struct pf_gather *g, const struct pf_area *area, pf_va_t va,
	uint64_t nr, uint64_t prot, unsigned cp_flags)
{
	struct protect p = {
		.space = g->space,
		.g = g,
		.area = area,
		.prot = pf_area_cow(area) ? prot & ~PF_PTE_W : prot,
		.try_writable =
			(cp_flags & PF_CP_TRY_CHANGE_WRITABLE) && (area->flags & PF_VM_WRITE),
		.set = cp_flags & PF_CP_UFFD_WP ? PF_PTE_UFFD_WP : 0,
		.clear = cp_flags & PF_CP_UFFD_WP_RESOLVE ? PF_PTE_UFFD_WP : 0,
		.markers = cp_flags & PF_CP_UFFD_MARKERS,
	};
	struct pf_mmu_notifier_range range;
	struct pf_pte_map m;
	int64_t pages = 0;

	if (p.set)
		p.prot &= ~PF_PTE_W;
	start_at_table(&range, g->space, va, nr);
	pf_pt_set_cause(&g->space->pt, PF_CAUSE_MPROTECT);
	pf_tlb_start_vma(g);
	if (cp_flags & PF_CP_PROT_NUMA) {
		pages = pf_hint_range(g, area, va, nr);
		nr = 0;
	}
	while (pf_next_table(g->space, &va, &nr, &m)) {
		unsigned n = pf_pages_in_table(va, nr);

		pages += change_table(&p, &m, pf_pte_idx(&m, va), n);
		pf_pte_unmap_unlock(&m);
		va += (pf_va_t)n << PF_PAGE_SHIFT;
		nr -= n;
	}
	pf_notify_end(&range);
	return pages;
}
