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

struct pf_folio;

#define PF_GATHER_INLINE      64
#define PF_GATHER_BATCH       500
#define PF_GATHER_MAX_BATCHES 20

/* nr pages of one folio, first frame pfn; to be unreferenced, and unmapped first if delay_rmap. */
struct pf_gather_item {
	struct pf_folio *folio;
	pf_pfn_t pfn;
	uint32_t nr;
	uint32_t delay_rmap;
};

struct pf_gather_batch {
	struct pf_gather_batch *next;
	uint32_t nr;
	struct pf_gather_item item[PF_GATHER_BATCH];
};

struct pf_gather {
	struct pf_space *space;
	pf_va_t start; /* of the range whose leaves changed */
	pf_va_t last;  /* its last byte; start > last: nothing */
	bool fullmm;   /* the space has no users left: no CPU runs in it */
	bool cleared_ptes;
	bool freed_tables;
	bool delayed_rmap;
	uint32_t nr;
	struct pf_gather_item item[PF_GATHER_INLINE];
	struct pf_gather_batch *first, *active;
	uint32_t batches;
	struct pf_table *tables; /* unlinked, waiting; chained through their metadata */
};

/* Start. Counts in space->tlb_flush_pending, so that others know of flushes not done yet. */
void pf_tlb_gather_mmu(struct pf_gather *g, struct pf_space *space);
/* Start for a space that no CPU will run in again: one whole-ASID flush replaces all ranges. */
void pf_tlb_gather_mmu_fullmm(struct pf_gather *g, struct pf_space *space);

/* nr last-level entries from va were cleared or lost permissions. */
void pf_tlb_remove_tlb_entries(struct pf_gather *g, pf_va_t va, uint64_t nr);

/*
 * Queue nr pages of one folio, whose entries have been cleared. True: the queue is full, and the
 * caller must drop its table lock and call pf_tlb_flush_mmu before it queues more. May be called
 * under a table lock; may allocate a batch (never fails: without one, the queue is full earlier).
 * delay_rmap: the page is dirty and shared; its rmap is kept until pf_tlb_flush_rmaps, which the
 * caller calls after pf_tlb_flush_mmu_tlbonly and before it drops the table lock.
 */
bool pf_tlb_remove_folio_pages(
	struct pf_gather *g, struct pf_folio *folio, pf_pfn_t pfn, uint32_t nr, bool delay_rmap);

/* Queue a table that was unlinked; walk caches are flushed before it is freed. */
void pf_tlb_remove_table(struct pf_gather *g, struct pf_table *table);

/* Invalidate what was gathered, and wait. Under any lock. No-op if nothing was gathered. */
void pf_tlb_flush_mmu_tlbonly(struct pf_gather *g);
/* Unmap the queued pages whose rmap was delayed. Under the table lock that covered them. */
void pf_tlb_flush_rmaps(struct pf_gather *g);
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
void pf_tlb_flush_space(struct pf_space *space);

#endif
