/* SPDX-License-Identifier: MIT */
/*
 * Page-table check: a second count, kept by the entries themselves, of how often each frame is mapped, against
 * bugs whose harm is silent (Linux's CONFIG_PAGE_TABLE_CHECK).
 *
 * lib/pt tells it of each present leaf that it writes, empties or gives other rights, from the entries' words; nothing that
 * fault, fork or zap believe of the folio goes in. What must hold:
 *
 *   a leaf maps a page of a folio, never a free frame or a table;
 *   an anonymous page that is writable somewhere is mapped nowhere else;
 *   no more entries go than came;
 *   no entry maps a page that is freed.
 *
 * Why it can be said at any time, not only at rest: an entry is counted while its table's lock is held, after
 * its mapping was added to the folio and before that is removed. So the count here is never above the folio's, and who finds
 * the folio mapped once, and makes the page writable, finds it so here.
 *
 * Costs four bytes a frame and a function call a leaf; without it, a branch a run.
 */
#ifndef PF_PHYS_TABLE_CHECK_H
#define PF_PHYS_TABLE_CHECK_H

#include "phys/phys.h"

struct pf_table_check {
	struct pf_pt_check told; /* a tree's `check` points here */
	struct pf_phys *phys;
	uint32_t *maps; /* one a frame of phys */
	/* Called for each violation, in whatever context made it, spinlocks held; NULL: it is only counted. */
	void (*bad)(void *ctx, pf_pfn_t pfn, const char *why);
	void *ctx;
	uint64_t violations; /* atomic */
};

/*
 * Check all entries of user mappings of phys from now on. `maps` is phys->nr zeros, the caller's for as long as phys is used.
 * Before the first folio is mapped; trees take it over in pf_mm_init(), others where their owner sets
 * pf_pt's `check` to &check->told.
 */
void pf_table_check_init(struct pf_table_check *check, struct pf_phys *phys, uint32_t *maps);

/* Frames [pfn, pfn + nr), a folio's, are about to be free. */
void pf_table_check_free(struct pf_table_check *check, pf_pfn_t pfn, uint64_t nr);

#endif
