/* SPDX-License-Identifier: MIT */
/*
 * Tables, for the files of lib/pt. Private.
 */
#ifndef PF_PT_WALK_H
#define PF_PT_WALK_H

#include "base/err.h"
#include "pt/leaf.h"

/* struct pf_table.flags: unlinked; set under its lock, for ever. */
#define PF_TABLE_DEAD 1u
/* Somebody counts on it: pf_reclaim_pgtables() leaves it. Set under its lock. */
#define PF_TABLE_KEPT 2u

/* Table memory comes in whole pages, even where a table is smaller. */
#define PF_TABLE_MEM_BYTES (PF_TABLE_BYTES > PF_PAGE_SIZE ? PF_TABLE_BYTES : PF_PAGE_SIZE)

/* Not addresses of tables. */
#define PF_TABLE_IS_LEAF ((pf_pa_t)1)
#define PF_TABLE_RETRY   ((pf_pa_t)2)

#define pf_table_new    PF_FN(table_new)
#define pf_table_leaves PF_FN(table_leaves)
#define pf_table_lock   PF_FN(table_lock)
#define pf_table_unlock PF_FN(table_unlock)
#define pf_table_link   PF_FN(table_link)
#define pf_table_find   PF_FN(table_find)
#define pf_table_unlink PF_FN(table_unlink)

/* A new table of empty entries, linked nowhere; 0 without memory. May sleep. */
pf_pa_t pf_table_new(struct pf_pt *pt, unsigned level);
/* The table at pa, which maps va at that level. */
struct pf_leaves pf_table_leaves(struct pf_pt *pt, pf_pa_t pa, unsigned level, pf_va_t va);
/* False if the table has been unlinked: then it is not locked. Keep it alive meanwhile (RCU). */
bool pf_table_lock(struct pf_leaves *t);
void pf_table_unlock(struct pf_leaves *t);
/* Put a table into an empty slot. t locked, or not linked itself. */
void pf_table_link(struct pf_leaves *t, unsigned idx, pf_pa_t child);
/* The table of that level which maps va, if there is one. RCU, or exclusive access. */
bool pf_table_find(struct pf_pt *pt, pf_va_t va, unsigned level, struct pf_leaves *t);
/* Take an empty table out of t[idx]; false if it is not empty any more. Takes both locks. */
bool pf_table_unlink(struct pf_leaves *t, unsigned idx, struct pf_table *child);
/* Make all tables down to `level` exist for va. As pf_pte_alloc. */
int pf_pt_alloc_path(struct pf_pt *pt, pf_va_t va, unsigned level);

#endif
