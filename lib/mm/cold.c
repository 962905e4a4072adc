/* SPDX-License-Identifier: MIT */
/*
 * Pages that a process says it will not need soon: MADV_FREE, MADV_COLD, MADV_PAGEOUT.
 *
 * Advice is about folios. One that lies only partly in the range, and is nobody else's, is split first, so that its pages in the
 * range can be taken alone; one that cannot be split now (pinned, locked, no memory for its mapping's tree) stays as it
 * is: nothing is lost but the advice. mmap lock for reading.
 */
#include "mm/internal.h"
#include "mm/migrate.h"
#include "reclaim/reclaim.h"

/* The pages at va that map consecutive pages of one folio, if any does. */
struct run {
	struct pf_folio *folio; /* with a reference, or NULL */
	pf_pfn_t pfn;
	uint64_t nr;
};

static struct run run_at(struct pf_mm *mm, pf_va_t va, pf_va_t end)
{
	struct run run;

	run.nr = mm->sys->fmt->folio_run(
		&mm->space, va, pf_mm_pages(mm, va, end), &run.folio, &run.pfn);
	return run;
}

/* Takes over the reference. */
static bool split(struct pf_mm *mm, const struct run *run)
{
	const bool ok = pf_folio_order(run->folio) && !pf_folio_maybe_mapped_shared(run->folio) &&
			!pf_split_folio(mm->sys, run->folio);

	pf_folio_put(mm->sys->phys, run->folio, 1);
	return ok;
}

void pf_advise_cold(struct pf_gather *g, struct pf_mm *mm, const struct pf_area *area, pf_va_t va,
	pf_va_t end, pf_advice_op op)
{
	while (va < end) {
		struct run run;

		va += op(g, area, va, pf_mm_pages(mm, va, end)) << pf_mm_shift(mm);
		if (va >= end)
			return;
		run = run_at(mm, va, end);
		if (!run.folio || !split(mm, &run))
			va += run.nr << pf_mm_shift(mm);
	}
}

/* ---- MADV_PAGEOUT ---- */

/* Of pages that are found by address, in one VMA. */
struct pageout {
	struct pf_mm *mm;
	const struct pf_area *area;
	pf_va_t va;
	struct run run;
};

static bool unmap_here(void *ctx, struct pf_folio *folio)
{
	const struct pageout *p = ctx;
	struct pf_mmu_notifier_range range;
	bool all;

	pf_notify_start(&range, &p->mm->space, PF_MMU_NOTIFY_CLEAR, p->va,
		PF_MUTANT("notify-pageout-forgets") ? p->va
						    : p->va + (p->run.nr << pf_mm_shift(p->mm)));
	all = p->mm->sys->fmt->unmap(&p->mm->space, p->area, p->va, p->run.nr, folio, p->run.pfn);
	pf_notify_end(&range);
	return all;
}

static enum pf_home home(void *ctx, struct pf_folio *folio)
{
	return pf_file_home(((const struct pageout *)ctx)->mm->sys, folio);
}

static bool evict(void *ctx, struct pf_folio *folio, struct pf_swap *dev, uint64_t slot)
{
	return pf_file_evict(((const struct pageout *)ctx)->mm->sys, folio, dev, slot);
}

/*
 * The folio of the run, used or not, if it is mapped wholly here and nowhere else. True: it has become smaller ones, which
 * are to be looked at: it was not here as a whole, or there is no place for it as a whole.
 */
static bool page_out_run(const struct pf_reclaimer *r, struct pageout *p, pf_va_t end)
{
	struct pf_folio *folio = p->run.folio;

	if (p->run.nr < pf_folio_nr(folio))
		return split(p->mm, &p->run);
	if (pf_folio_mapcount(folio) != p->run.nr) {
		pf_folio_put(p->mm->sys->phys, folio, 1);
		return false;
	}
	if (pf_reclaim_folio(r, folio) != -PF_ENOSPC)
		return false;
	/* The reference was given up with the call: what is there now may be another's. */
	p->run = run_at(p->mm, p->va, end);
	return p->run.folio && split(p->mm, &p->run);
}

void pf_advise_pageout(struct pf_mm *mm, const struct pf_area *area, pf_va_t start, pf_va_t end)
{
	static const struct pf_reclaim_ops ops = {
		.unmap = unmap_here, .home = home, .evict = evict};
	struct pageout p = {.mm = mm, .area = area, .va = start};
	const struct pf_reclaimer r = {
		.phys = mm->sys->phys, .swaps = &mm->sys->swaps, .ops = &ops, .ctx = &p};

	/* Nobody takes a device away meanwhile; who is about to brings everything in anyway. */
	if (!pf_port_rw_read_trylock(&mm->sys->mms_lock, PF_LOCK_SYSTEM))
		return;
	while (p.va < end) {
		p.run = run_at(mm, p.va, end);
		if (!p.run.folio || !page_out_run(&r, &p, end))
			p.va += p.run.nr << pf_mm_shift(mm);
	}
	pf_port_rw_read_unlock(&mm->sys->mms_lock, PF_LOCK_SYSTEM);
}
