/* SPDX-License-Identifier: MIT */
/*
 * What the machine counts (SCENARIOS.md). Software only, except the walk_ ones and tlb_miss. The
 * entry counters move in the judging build alone, because only there does every access pass by the
 * machine.
 */
#ifndef MACHINE_COUNTERS_H
#define MACHINE_COUNTERS_H

#include <stdint.h>

struct machine_counters {
	uint64_t pte_load, pte_store, pte_xchg;
	uint64_t tlbi, tlbi_range, tlbi_pages, dsb, ipi;
	uint64_t table_alloc, table_free;
	uint64_t walk_load, walk_ad, tlb_miss;
	uint64_t allocs; /* library allocations so far, for @fail each */
};
extern struct machine_counters machine_counters;

#endif
