/* SPDX-License-Identifier: MIT */
/*
 * Between the buddy allocator and the lists of CPUs. Private to lib/phys.
 */
#ifndef PF_PHYS_PCP_H
#define PF_PHYS_PCP_H

#include "phys/phys.h"

/* buddy.c, with the node's lock. The first frame's index, or UINT64_MAX: none free; and back. */
uint64_t pf_block_take(struct pf_phys *phys, struct pf_node *node, unsigned order);
void pf_block_give(struct pf_phys *phys, struct pf_node *node, uint64_t idx, unsigned order);

/* pcp.c. A page of the node by this CPU's list; and some back. Take PF_LOCK_PCP, and one time in PF_PCP_BATCH the node's. */
uint64_t pf_pcp_take(struct pf_phys *phys, unsigned node);
void pf_pcp_give(struct pf_phys *phys, unsigned node, struct pf_folio *const *pages, unsigned nr);
/* Pages of the node on all lists. A snapshot. */
uint64_t pf_pcp_pages(const struct pf_phys *phys, unsigned node);

#endif
