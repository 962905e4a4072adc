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
	/* Odd while fork takes W from entries (write_protect_seq): see pf_write_protect_begin(). */
	uint32_t write_protect_seq;
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

/*
 * Around fork's pass over entries that are copied on write; mmap lock for writing. Who pins without a lock reads the number
 * before the first entry and after the last pin, and undoes his pins when it was odd or is another. The full barriers, here and
 * behind each of his pins, keep both from missing the other: he has not seen the odd number, so his pin was
 * there, with has_pinned, before fork looks for pins (docs/LOCKING.md).
 */
PF_INLINE void pf_write_protect_begin(struct pf_space *space)
{
	if (PF_MUTANT("fork-no-seq"))
		return;
	pf_store_relaxed(&space->write_protect_seq, pf_load_relaxed(&space->write_protect_seq) + 1);
	pf_mb();
}

/* Release: who reads the even number finds the entries without W, and AnonExclusive gone. */
PF_INLINE void pf_write_protect_end(struct pf_space *space)
{
	if (PF_MUTANT("fork-no-seq"))
		return;
	pf_store_release(&space->write_protect_seq, pf_load_relaxed(&space->write_protect_seq) + 1);
}

#endif
