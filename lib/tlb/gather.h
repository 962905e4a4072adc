/* SPDX-License-Identifier: MIT */
/*
 * mmu_gather: unhook, flush, free (DESIGN 4.6). A gather collects what was unmapped or restricted,
 * and lets go of pages and tables only after every TLB and walk cache has forgotten them.
 *
 * One gather belongs to one thread, between pf_tlb_gather_mmu and pf_tlb_finish_mmu. Its functions
 * take no lock; those that flush may be called with table locks held, those that free may not.
 */
#ifndef PF_TLB_GATHER_H
#define PF_TLB_GATHER_H

#include "tlb/space.h"

/* 510 items and a header: one 4K page of metadata. Linux bounds a gather at 10,000 pages; so do we.
 */
#define PF_GATHER_BATCH       510
#define PF_GATHER_MAX_BATCHES 20
#define PF_GATHER_INLINE      32

/*
 * Pages to let go of: [63..24 first frame][23..0 count], of one folio or of many.
 */
struct pf_gather_item {
	uint64_t v;
};

struct pf_gather_batch {
	struct pf_gather_batch *next;
	uint32_t nr;
	struct pf_gather_item item[PF_GATHER_BATCH];
};

struct pf_gather {
	struct pf_space *space;
	pf_va_t start;  /* of the range whose leaves changed */
	pf_va_t last;   /* its last byte; start > last: nothing */
	bool fullmm;    /* everything is forgotten by one operation */
	bool dead;      /* the space has no users left: no CPU runs in it */
	bool forgotten; /* dead, and nothing is cached of it any more */
	bool apart;     /* what comes next belongs to another VMA than what is gathered */
	bool cleared_ptes;
	bool freed_tables;
	uint32_t nr; /* items inline; then those of the batches up to `active` */
	struct pf_gather_item item[PF_GATHER_INLINE];
	struct pf_gather_batch *first, *active;
	uint32_t batches;
	struct pf_table *tables; /* unlinked, waiting; chained through their metadata */
};

/* Start. Counts in space->tlb_flush_pending, so that others know of flushes not done yet. */
void pf_tlb_gather_mmu(struct pf_gather *g, struct pf_space *space);
/* Start for a space that no CPU will run in again: one whole-ASID flush replaces all ranges. */
void pf_tlb_gather_mmu_fullmm(struct pf_gather *g, struct pf_space *space);

/*
 * What comes next is of another VMA (or tables, after all VMAs). If it does not continue what is
 * gathered, that is invalidated first: one range over both would have what lies between them
 * invalidated, too, page by page on CPUs without range operations. (Linux does so after every VMA.)
 */
void pf_tlb_start_vma(struct pf_gather *g);
/* nr last-level entries from va were cleared or lost permissions. */
void pf_tlb_remove_tlb_entries(struct pf_gather *g, pf_va_t va, uint64_t nr);

/*
 * The queue is full: make it longer. May sleep; no spinlock held. False, and nothing has changed,
 * when there is no memory or the queue is as long as it may get: pf_tlb_flush_mmu empties it.
 */
bool pf_tlb_gather_more(struct pf_gather *g);

/*
 * Queue nr pages with consecutive frames, whose entries have been cleared; of one folio or of many.
 * Their mappings and the references in them are dropped together, after the flush: a page counts as
 * mapped for as long as a TLB may map it. (Linux delays that for dirty shared pages only, because
 * it counts the two apart.) Under the table lock. False: the queue is full, and these pages are not
 * in it; the caller unlocks, calls pf_tlb_gather_more or else pf_tlb_flush_mmu, and queues them
 * then.
 *
 * What this does not replace: the rmap walk that cleans a shared page finds its entry empty and
 * waits for the table lock alone. Who clears a dirty entry of a shared page therefore flushes
 * before it unlocks (pf_tlb_flush_mmu_tlbonly).
 */
bool pf_tlb_remove_pages(struct pf_gather *g, pf_pfn_t pfn, uint32_t nr);

/* Queue a table that was unlinked; va is an address that it mapped. Walk caches are flushed before it is freed.
 */
void pf_tlb_remove_table(struct pf_gather *g, struct pf_table *table, pf_va_t va);

/* Invalidate what was gathered, and wait. Under any lock. No-op if nothing was gathered. */
void pf_tlb_flush_mmu_tlbonly(struct pf_gather *g);
/* Invalidate, then free all that is queued. No spinlock held. */
void pf_tlb_flush_mmu(struct pf_gather *g);

/*
 * The last flush and free. If another gather is in progress on the space, everything is flushed:
 * this thread may have found entries empty that the other has not flushed yet.
 */
void pf_tlb_finish_mmu(struct pf_gather *g);

/*
 * Invalidate a range (or, nr == 0, the whole ASID) now and wait; last level only.
 */
void pf_tlb_flush_range(struct pf_space *space, pf_va_t va, uint64_t nr);

#endif
