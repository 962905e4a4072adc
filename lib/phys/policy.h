/* SPDX-License-Identifier: MIT */
/*
 * Where somebody wants memory from: Linux's memory policies, as far as the allocator is concerned. A policy is a value: whoever has
 * one has a copy, and nothing is counted or freed.
 */
#ifndef PF_PHYS_POLICY_H
#define PF_PHYS_POLICY_H

#include "phys/phys.h"

/* Linux's modes, with its values. */
enum pf_mpol {
	PF_MPOL_DEFAULT,        /* none: what is asked next decides; at last, as LOCAL */
	PF_MPOL_PREFERRED,      /* one node, if it has memory */
	PF_MPOL_BIND,           /* nodes, and no other; of them the nearest */
	PF_MPOL_INTERLEAVE,     /* nodes in turn */
	PF_MPOL_LOCAL,          /* near the CPU */
	PF_MPOL_PREFERRED_MANY, /* nodes, if they have memory */
	PF_MPOL_WEIGHTED_INTERLEAVE, /* as INTERLEAVE: all weights are 1, as in Linux where nobody has set any */
	PF_MPOL_MAX,
};

/* Beside the mode, with Linux's values. */
#define PF_MPOL_F_NUMA_BALANCING 0x2000u
#define PF_MPOL_F_RELATIVE_NODES 0x4000u
#define PF_MPOL_F_STATIC_NODES   0x8000u

/* All zero: PF_MPOL_DEFAULT. */
struct pf_policy {
	uint8_t mode; /* enum pf_mpol */
	uint8_t nodes; /* that there are: a mask. Not empty but of DEFAULT and LOCAL; of PREFERRED one */
	uint16_t flags; /* PF_MPOL_F_* */
	uint64_t asked; /* with STATIC_NODES or RELATIVE_NODES: what was asked for; else 0 */
};

PF_INLINE bool pf_policy_same(const struct pf_policy *a, const struct pf_policy *b)
{
	return a->mode == b->mode && a->nodes == b->nodes && a->flags == b->flags &&
	       a->asked == b->asked;
}

/* How many nodes are in a mask; the n-th of them, from 0 on. */
unsigned pf_nodes_weight(uint64_t nodes);
unsigned pf_nodes_nth(uint64_t nodes, unsigned n);

/* Where an allocation may be made. `turn` is what INTERLEAVE takes its node by. Any context. */
struct pf_where pf_policy_where(
	const struct pf_phys *phys, const struct pf_policy *policy, uint64_t turn);

#endif
