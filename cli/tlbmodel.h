/* SPDX-License-Identifier: MIT */
/*
 * What a program's page accesses cost a core's TLBs: L1 for instructions, loads and stores, L2, and
 * the walker with its caches. Exact LRU everywhere; no timing, no prefetch, no speculation.
 *
 * Input is runs of accesses to one 4K page, in words (trace_word.h) that name the page by a place. For
 * LRU a run costs what its accesses would: after the first the entry is the most recent one and stays so.
 * A run must be cut where another kind of access (instructions against data) to an entry of the same array
 * comes between, at every change of mappings, and at every switch of thread.
 *
 * Translations are asked for through a callback, at a miss and at a write through an entry that
 * does not allow one (not writable, or not dirty). The callback may take a page fault there, and
 * may call the tlbmodel_drop functions of the same model.
 *
 * What a miss does: an L1 miss looks in L2; an L2 hit fills L1 with no more than the L2 entry
 * covers; an L2 miss walks and fills both. L2 recency moves on L1 misses only. L1 and L2 contents
 * are independent (no inclusion is enforced), but an invalidation reaches both.
 */
#ifndef CLI_TLBMODEL_H
#define CLI_TLBMODEL_H

#include "tlb_level.h"
#include "trace_word.h"

#define TLB_WALK_LEVELS 5

struct tlb_cfg {
	struct tlb_level_cfg l1i;  /* none: instruction accesses are not simulated, only counted */
	struct tlb_level_cfg l1d;  /* loads and stores, or loads only */
	struct tlb_level_cfg l1st; /* stores, if they have their own */
	struct tlb_level_cfg l2;   /* all, or data only; none: an L1 miss walks */
	struct tlb_level_cfg l2i;  /* instructions, if they have their own */
	/*
	 * walk[n]: cache of table entries of level n (counted from the leaf table, 0, upwards),
	 * which point to tables of level n - 1. walk[0] is not used. entries 0: none.
	 */
	struct {
		uint32_t entries, ways; /* ways 0: fully associative */
	} walk[TLB_WALK_LEVELS];
	/* Geometry of the tables: a walk that finds nothing cached loads one entry a level. */
	uint8_t page_shift, level_bits, levels;
	/* Any invalidation empties the L1s whole (Cortex-A53, A35: Arm DDI 0500, "Micro TLB"). */
	bool l1_flushed_by_any;
};

/* Flags of a run, as words have them. */
#define TLB_RUN_READ        1u /* some access reads */
#define TLB_RUN_WRITE       2u /* some access writes */
#define TLB_RUN_WRITE_FIRST 4u /* the first access writes; WRITE is set too */
#define TLB_RUN_EXEC        8u /* instruction fetches, at a place for code; excludes the others */

enum tlb_access { TLB_READ, TLB_WRITE, TLB_EXEC };

/* Translate; .v is 0 if the program may not access the page so. */
typedef tlb_xlate_t tlb_xlate_fn(void *ctx, uint64_t page, unsigned asid, enum tlb_access access);

enum tlb_side { TLB_DATA, TLB_INSTR, TLB_SIDES };

struct tlb_counters {
	uint64_t accesses;
	uint64_t l1_miss;    /* accesses that missed L1; all others but `failed` hit */
	uint64_t l2_miss;    /* of those, accesses that walked */
	uint64_t walk_loads; /* table entries read by these walks */
	uint64_t folded;     /* accesses through a translation that the table holds folded */
	uint64_t upgrade;    /* writes through an entry that did not allow one; not misses by
				themselves */
	uint64_t failed;     /* accesses that had no translation */
};

struct tlb_model;

/* NULL, or what is wrong with a configuration. */
const char *tlbmodel_check(const struct tlb_cfg *cfg);
/* NULL if memory ran out. cfg must have passed the check; it is copied. */
struct tlb_model *tlbmodel_new(const struct tlb_cfg *cfg, tlb_xlate_fn *xlate, void *ctx);
void tlbmodel_free(struct tlb_model *m);

/*
 * Play words in order, up to one that is no run or names a place that has no page. How many were played. Not
 * to be called from the callback.
 */
size_t tlbmodel_run(struct tlb_model *m, const trace_word *words, size_t nr);
/* One run of so many accesses, whatever the word says. Its place has a page. */
void tlbmodel_run_long(struct tlb_model *m, trace_word word, uint64_t accesses);

/* The place stands for that page of an address space. Accesses to tagged ones are counted by themselves. */
void tlbmodel_place(struct tlb_model *m, unsigned place, uint64_t page, unsigned asid, bool tagged);
/* The place has no page. */
void tlbmodel_displace(struct tlb_model *m, unsigned place);
void tlbmodel_displace_all(struct tlb_model *m);
uint64_t tlbmodel_tagged(const struct tlb_model *m);

/*
 * Invalidate nr 4K pages of an address space, or all of it, or everything. `tables`: walk caches
 * forget too (a table entry changed, not only leaves). Entries made from a leaf that reaches into
 * the range go.
 */
void tlbmodel_drop(struct tlb_model *m, unsigned asid, uint64_t page, uint64_t nr, bool tables);
void tlbmodel_drop_asid(struct tlb_model *m, unsigned asid);
void tlbmodel_drop_all(struct tlb_model *m);

const struct tlb_counters *tlbmodel_counters(const struct tlb_model *m, enum tlb_side side);
/* Entries removed by invalidations, all levels, walk caches not counted. */
uint64_t tlbmodel_dropped(const struct tlb_model *m);

#endif
