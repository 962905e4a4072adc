/* SPDX-License-Identifier: MIT */
/*
 * Who uses what, by sampling, as DAMON does: clear A of some pages, look again later. By address and by frame. A is
 * cleared by one atomic operation an entry, on present entries alone, and never written back (B24): D that hardware sets
 * meanwhile, or an entry that is emptied, stays what it is. Nothing is flushed: a page that a TLB still holds is taken for
 * unused until it is evicted there, which costs accuracy and nothing else.
 *
 * By frame, what A said is kept in the folio's `young` for reclaim, which would otherwise not learn of it.
 */
#ifndef PF_MM_SAMPLE_H
#define PF_MM_SAMPLE_H

#include "mm/mm.h"

/* By address: mark [va, va + nr pages) as not used; how many pages of it have been used since. Takes the mmap lock. */
void pf_sample_mkold(struct pf_mm *mm, pf_va_t va, uint64_t nr);
uint64_t pf_sample_young(struct pf_mm *mm, pf_va_t va, uint64_t nr);

/*
 * By frame: the same for the folio that it belongs to, wherever it is mapped. Nothing and false, if the frame is no
 * folio's, or nobody maps it.
 */
void pf_sample_mkold_frame(struct pf_system *sys, pf_pfn_t pfn);
bool pf_sample_young_frame(struct pf_system *sys, pf_pfn_t pfn);

/* One pass of aging over all folios: A is cleared of every page that is found. Returns how many folios were in use. */
uint64_t pf_age_all(struct pf_system *sys);

#endif
