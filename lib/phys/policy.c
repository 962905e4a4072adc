/* SPDX-License-Identifier: MIT */
/*
 * From a policy to the nodes that an allocation asks, and in which order.
 */
#include "phys/policy.h"

unsigned pf_nodes_weight(uint64_t nodes)
{
	unsigned n = 0;

	for (; nodes; nodes &= nodes - 1)
		n++;
	return n;
}

unsigned pf_nodes_nth(uint64_t nodes, unsigned n)
{
	while (n--)
		nodes &= nodes - 1;
	return pf_ctz64(nodes);
}

struct pf_where pf_policy_where(
	const struct pf_phys *phys, const struct pf_policy *policy, uint64_t turn)
{
	const uint8_t nodes = policy->nodes;
	struct pf_where where;

	switch (policy->mode) {
	case PF_MPOL_PREFERRED:
		return pf_near(pf_ctz64(nodes));
	case PF_MPOL_INTERLEAVE:
	case PF_MPOL_WEIGHTED_INTERLEAVE:
		return pf_near(pf_nodes_nth(nodes, (unsigned)(turn % pf_nodes_weight(nodes))));
	default:
		break;
	}
	where = pf_near(pf_phys_local_node(phys));
	if (policy->mode == PF_MPOL_BIND && !PF_MUTANT("bind-prefers"))
		where.only = nodes;
	if (policy->mode == PF_MPOL_PREFERRED_MANY || policy->mode == PF_MPOL_BIND)
		where.first = nodes;
	return where;
}
