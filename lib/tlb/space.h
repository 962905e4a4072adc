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

enum pf_rss { PF_RSS_ANON, PF_RSS_FILE, PF_RSS_SHMEM, PF_RSS_SWAP, PF_RSS_NR };

/*
 * What is counted at each fault, in lines that only CPUs of one shard write: pf_port_cpu() modulo their number. A shard by itself
 * means nothing, and may be negative; the sums do. Between what two of them count often lies what is hardly ever counted: the largest orders.
 */
#define PF_SPACE_SHARDS 8u
struct pf_space_shard {
	int64_t rss[PF_RSS_NR]; /* pages; atomic adds */
	struct pf_space_stats stats;
};

struct pf_space {
	struct pf_pt pt;
	struct pf_phys *phys;
	const struct pf_swaps *swaps; /* the machine's swap devices; NULL: none */
	pf_pfn_t zero_pfn;            /* the shared page of zeros, mapped special */
	struct pf_policy
		policy; /* of the process: for areas that have none. mmap lock, or a fault's */
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
	/* The most that were in memory when some were about to be unmapped. A statistic: two who raise it race. */
	int64_t peak_rss;
	struct pf_space_shard shard[PF_SPACE_SHARDS];
};

PF_INLINE struct pf_space_shard *pf_space_shard(struct pf_space *space)
{
	return &space->shard[pf_port_cpu() % PF_SPACE_SHARDS];
}

/* For pf_count(). */
PF_INLINE struct pf_space_stats *pf_space_counters(struct pf_space *space)
{
	return &pf_space_shard(space)->stats;
}

PF_INLINE void pf_rss_add(struct pf_space *space, enum pf_rss what, int64_t pages)
{
	pf_add_relaxed(&pf_space_shard(space)->rss[what], pages);
}

/* Pages of one kind. Exact when nobody changes the space, else a snapshot. */
PF_INLINE int64_t pf_rss(const struct pf_space *space, enum pf_rss what)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < PF_SPACE_SHARDS; i++)
		sum += pf_quiet_load(&space->shard[i].rss[what]);
	return sum;
}

/* Pages in memory. A snapshot. */
PF_INLINE int64_t pf_space_rss(const struct pf_space *space)
{
	return pf_rss(space, PF_RSS_ANON) + pf_rss(space, PF_RSS_FILE) +
	       pf_rss(space, PF_RSS_SHMEM);
}

PF_INLINE struct pf_space_stats pf_space_stats(const struct pf_space *space)
{
	struct pf_space_stats sum = {0};

	for (unsigned i = 0; i < PF_SPACE_SHARDS; i++) {
		const struct pf_space_stats *s = &space->shard[i].stats;

		sum.fault += pf_quiet_load(&s->fault);
		sum.spurious_fault += pf_quiet_load(&s->spurious_fault);
		sum.cow += pf_quiet_load(&s->cow);
		sum.flush_mm += pf_quiet_load(&s->flush_mm);
		for (unsigned o = 0; o < 16; o++)
			sum.fault_order[o] += pf_quiet_load(&s->fault_order[o]);
	}
	return sum;
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
