/* SPDX-License-Identifier: MIT */
/*
 * What an address space is to the layers below VMAs: its tables, the memory it takes pages from,
 * the flushes it still owes, and its counters.
 */
#ifndef PF_TLB_SPACE_H
#define PF_TLB_SPACE_H

#include "phys/policy.h"
#include "pt/table.h"

struct pf_swaps;
struct pf_mmu_notifier_subscriptions;

/* Software's counters (SCENARIOS.md). Statistics: several may change them at once, by pf_count(). */
struct pf_space_stats {
	uint64_t fault, spurious_fault, cow;
	uint64_t flush_mm;
	uint64_t fault_order[16]; /* anonymous faults by the order of the folio they got */
};

struct pf_space {
	struct pf_pt pt;
	struct pf_phys *phys;
	const struct pf_swaps *swaps; /* the machine's swap devices; NULL: none */
	pf_pfn_t zero_pfn;            /* the shared page of zeros, mapped special */
	struct pf_policy policy;      /* of the process: for areas that have none. mmap lock */
	/* Who is told of changes (ops/notify.h); NULL: nobody. Set once, with a release. */
	struct pf_mmu_notifier_subscriptions *notifier_subscriptions;
	uint16_t mm_id; /* who maps a large folio (lib/phys), never 0 */
	/*
	 * Gathers in progress. More than one means that another thread may have changed entries
	 * whose flush it has not done yet; read under a table lock.
	 */
	uint32_t tlb_flush_pending;
	uint32_t
		has_pinned; /* pages have been pinned, ever: fork looks for pins (MMF_HAS_PINNED) */
	int64_t rss_anon, rss_file, rss_shmem, rss_swap; /* pages; atomic adds */
	/* The most that were in memory when some were about to be unmapped. A statistic: two who raise it race. */
	int64_t peak_rss;
	struct pf_space_stats stats;
};

/* Pages in memory. A snapshot. */
PF_INLINE int64_t pf_space_rss(const struct pf_space *space)
{
	return pf_load_relaxed(&space->rss_anon) + pf_load_relaxed(&space->rss_file) +
	       pf_load_relaxed(&space->rss_shmem);
}

#endif
