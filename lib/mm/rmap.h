/* SPDX-License-Identifier: MIT */
/*
 * From a folio to the places that may map it.
 */
#ifndef PF_MM_RMAP_H
#define PF_MM_RMAP_H

#include "mm/anon_vma.h"
#include "mm/mapping.h"
#include "mm/mm.h"

/*
 * One place. `vma` and `mm` hold as long as the call lasts: the lock that the place was found under is held. False:
 * the walk has seen enough.
 */
typedef bool (*pf_rmap_visit)(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place);

enum pf_rmap_result {
	PF_RMAP_DONE,
	PF_RMAP_STOPPED, /* `visit` said so */
	PF_RMAP_BUSY, /* PF_RMAP_TRY: somebody is changing VMAs; of KSM's page some places may have been visited */
};

#define PF_RMAP_TRY 1u /* rather give up than wait for the lock */

/*
 * Visit every place that may map a page of the folio, each VMA once (of a page of KSM's: each address once): of an anonymous
 * one under the anon lock, of a mapping's under the i_mmap lock, of KSM's under the ksm lock and one anon lock after the
 * other. Those that came by fork are visited after those that they came of. The caller has a reference on the folio, and no lock inside these; holding the folio lock keeps mapping and index what they are. Whether something is mapped at a place is for the visitor to
 * find, under table locks (struct pf_format's functions of one place). A page that is mapped throughout is found, if it does not move (UFFDIO_MOVE) while the folio is not locked; what is
 * mapped or unmapped meanwhile may be.
 */
enum pf_rmap_result pf_rmap_walk(struct pf_system *sys, struct pf_folio *folio, pf_rmap_visit visit,
	void *ctx, unsigned flags);

/*
 * Pages, and what they are found by: nr of them from `pfn` on, whose indexes begin at `index`.
 */
struct pf_rmap {
	struct pf_anon_vma *anon;   /* either this, */
	struct pf_mapping *mapping; /* or this, */
	struct pf_ksm_node *ksm;    /* or this: at several indexes, none of which is `index` */
	uint64_t index, nr;
	pf_pfn_t pfn;
};

/*
 * What the folio's pages are found by now, kept by a reference: they may be looked for when nothing maps them any more. Of
 * KSM's: kept by the caller's reference on the folio, or on the one that takes its place. False: by nothing. A reference
 * held; put may free, and sleeps then.
 */
bool pf_rmap_get(struct pf_system *sys, struct pf_folio *folio, struct pf_rmap *r);
void pf_rmap_put(struct pf_system *sys, struct pf_rmap *r);
/* pf_rmap_walk() for pages of which the caller keeps what they are found by. */
enum pf_rmap_result pf_rmap_walk_pages(
	const struct pf_rmap *r, pf_rmap_visit visit, void *ctx, unsigned flags);

/* Page-table entries that map a page of the folio, counted one by one. */
uint64_t pf_folio_count_mapped(struct pf_system *sys, struct pf_folio *folio);

/*
 * Of every folio all mappings are found, and no more. NULL, or what is wrong. For tests, while nobody changes
 * anything: slow.
 */
const char *pf_rmap_check(struct pf_system *sys);

/*
 * How many VMAs have used the folio since it was last asked; A is cleared, blocks stay folded, flushes are issued and not
 * waited for. VMAs that are told to be read once or at random do not count. -1: it is to be kept, for a locked VMA maps it; or not
 * known, for somebody is changing VMAs. *vm_flags (if not NULL) are those of all VMAs that used it, together. Reference
 * held.
 */
int pf_folio_referenced(struct pf_system *sys, struct pf_folio *folio, uint32_t *vm_flags);

/*
 * Would a walk from that page of the folio come by the VMA, at that address? Folio lock, or nobody else is running; mmap lock.
 * Takes the ksm lock for reading.
 */
bool pf_rmap_leads_to(const struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va, pf_pfn_t pfn,
	const struct pf_folio *folio);

#endif
