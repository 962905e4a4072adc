/* SPDX-License-Identifier: MIT */
/*
 * Pages for who keeps them, without a lock: GUP-fast. docs/LOCKING.md, "Reading without a lock", has the protocol
 * and what each step is for:
 *
 *   1. entries are read, and must allow what is asked for by themselves, since no VMA is looked at;
 *   2. the folio that the frame number names now, whatever that is, gets references or pins, if it has any;
 *   3. a full barrier;
 *   4. the table must still be linked, and the entries say what they said: so the folio is the page's, and whoever
 *      empties the entries after this finds the references;
 *   5. what must be the process's own is so after that.
 *
 * A frame's metadata is there for as long as there is a lib/phys, whoever has the frame. So a number that an
 * entry no longer says, or whose folio is gone, leads to a record that says so, and not astray.
 */
#include "ops/internal.h"

/*
 * PROT_NONE is no access, or a hint, which a fault must see (B44); what is special has no references to take (the page of
 * zeros has no pins to count); all that is not present is no page. A page that can be executed only is not to be
 * read. W in the entry is all that a write needs: there is none where it would have to be noticed.
 */
static bool permitted(unsigned foll, pf_pte_t pte)
{
	if (!pf_pte_accessible(pte) && !PF_MUTANT("gup-fast-protnone"))
		return false;
	if (!pf_pte_present(pte) || (pf_pte_special(pte) && !PF_MUTANT("gup-fast-special")))
		return false;
	if (pf_pte_protnone(pte))
		return true;
	if ((foll & PF_FOLL_WRITE) && !PF_MUTANT("gup-fast-ignores-write"))
		return pte.v & PF_PTE_W;
	return pte.v & PF_PTE_R;
}

/*
 * Of n pages that are ours to keep, how many of the first may be handed out? Linux: gup_must_unshare,
 * gup_fast_folio_allowed. What a mapping's pages are pinned for long for depends on the mapping: whether its writes
 * must be noticed, or whether the process should have its own copy. That is looked at with a lock.
 *
 * AnonExclusive is read after the entry: if that came back read-only from who shares the page, then the page is
 * not exclusive any more (coremm 4.3, B5).
 */
static unsigned may_keep(
	unsigned foll, const struct pf_folio *folio, pf_pfn_t pfn, pf_pte_t pte, unsigned n)
{
	bool exclusive;
	unsigned run;

	if (pf_folio_is_file(folio))
		return (foll & PF_FOLL_LONGTERM) &&
				       ((foll & PF_FOLL_WRITE) || !pf_pte_write(pte)) &&
				       !PF_MUTANT("gup-fast-longterm")
			       ? 0
			       : n;
	if (!(foll & PF_FOLL_PIN) || pf_pte_write(pte) || PF_MUTANT("gup-fast-pins-shared"))
		return n;
	pf_rmb();
	run = pf_folio_ae_run(folio, pf_folio_idx(folio, pfn), n, &exclusive);
	return exclusive ? run : 0;
}

static void give_back(struct pf_phys *phys, struct pf_folio *folio, unsigned n, unsigned foll)
{
	pf_folio_put(phys, folio, foll & PF_FOLL_PIN ? pf_folio_unpin_refs(folio, n) : n);
}

/* Do the first of n entries still say that, and how many of them? The second look, with a reference. */
static unsigned still(const struct pf_pte_view *v, unsigned idx, pf_pte_t pte, unsigned n)
{
	pf_pte_t again;

	/* The recheck of the table */
	if (!pf_pte_view_linked(v))
		return 0;
	if (PF_MUTANT("gup-fast-no-recheck"))
		return n;
	n = pf_pte_batch_lockless(v, idx, n, &again);
	/* The recheck of the entries. A and D do not matter, and both looks are without. */
	if (!pf_pte_same(again, pte))
		return 0;
	return n;
}

/* At most `max` pages from slot idx on, which one folio has. */
static unsigned follow_run(struct pf_space *space, const struct pf_pte_view *v, unsigned idx,
	unsigned max, unsigned foll, pf_pfn_t *pages)
{
	struct pf_folio *folio;
	unsigned n, got;
	pf_pte_t pte;
	pf_pfn_t pfn;

	n = pf_pte_batch_lockless(v, idx, max, &pte);
	pfn = pf_pte_pfn(pte);
	if (!n || !permitted(foll, pte) || !pf_phys_has(space->phys, pfn))
		return 0;
	folio = pf_folio_try_grab_pages(space->phys, pfn, &n, foll & PF_FOLL_PIN);
	if (!folio)
		return 0;
	got = still(v, idx, pte, n);
	if (got)
		got = may_keep(foll, folio, pfn, pte, got);
	for (unsigned i = 0; i < got; i++)
		pages[i] = pfn + i;
	if (got < n)
		give_back(space->phys, folio, n - got, foll);
	return got;
}

static void give_all_back(struct pf_space *space, const pf_pfn_t *pages, uint64_t nr, unsigned foll)
{
	/* A pin each keeps the folios what they are. */
	for (uint64_t i = 0; i < nr; i++)
		give_back(space->phys, pf_page_folio(space->phys, pages[i]), 1, foll);
}

uint64_t pf_follow_pages_fast(
	struct pf_space *space, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages)
{
	/* Acquire: a fork that is over is seen in the entries. */
	const uint32_t seq = pf_load_acquire(&space->write_protect_seq);
	uint64_t done = 0;
	unsigned n, got;

	/* Fork promises nothing to who keeps a page without a pin. */
	if ((foll & PF_FOLL_PIN) && (seq & 1) && !PF_MUTANT("gup-fast-no-seq"))
		return 0;
	do {
		struct pf_pte_view v;

		if (!pf_pte_offset_map(&space->pt, va, &v))
			break;
		n = pf_pages_in_table(va, nr - done);
		got = 0;
		do {
			unsigned run = follow_run(space, &v, pf_view_idx(&v, va) + got, n - got,
				foll, pages + done + got);

			if (!run)
				break;
			got += run;
		} while (got < n);
		pf_pte_unmap(&v);
		done += got;
		va += (pf_va_t)got << PF_PAGE_SHIFT;
	} while (got == n && done < nr);
	if (!(foll & PF_FOLL_PIN) || !done)
		return done;
	/* The last pin is before this look: the barrier behind each. */
	pf_rmb();
	if (pf_load_relaxed(&space->write_protect_seq) == seq || PF_MUTANT("gup-fast-no-seq"))
		return done;
	give_all_back(space, pages, done, foll);
	return 0;
}
