/* SPDX-License-Identifier: MIT */
/*
 * Where an area's pages are allocated: by its policy, else by its process's. Independent of the format.
 */
#ifndef PF_OPS_WHERE_H
#define PF_OPS_WHERE_H

#include "ops/ops.h"
#include "phys/policy.h"

/* mmap lock, any way. */
PF_INLINE const struct pf_policy *pf_area_policy(
	const struct pf_space *space, const struct pf_area *area)
{
	return area->policy.mode == PF_MPOL_DEFAULT && !PF_MUTANT("policy-forgets-process")
		       ? &space->policy
		       : &area->policy;
}

/*
 * For a folio of 2^order pages that will have the page at va. Interleaved memory goes by its place in what the area maps, so that
 * neighbouring pages are on different nodes wherever the area begins and ends; of larger folios what lies before the area and what lies in it are
 * counted apart (Linux: get_vma_policy). mmap lock, any way.
 */
PF_INLINE struct pf_where pf_area_where(
	const struct pf_space *space, const struct pf_area *area, pf_va_t va, unsigned order)
{
	const struct pf_phys *phys = space->phys;

	if (PF_LIKELY(phys->nr_nodes == 1))
		return pf_near(0);
	return pf_policy_where(phys, pf_area_policy(space, area),
		(PF_MUTANT("interleave-from-start") ? 0 : area->pgoff >> order) +
			((va - area->start) >> (phys->page_shift + order)));
}

/* Do pages follow their user, where hints tell who that is? Linux: vma_policy_mof. */
PF_INLINE bool pf_area_follows(const struct pf_space *space, const struct pf_area *area)
{
	const struct pf_policy *policy = pf_area_policy(space, area);

	return policy->mode == PF_MPOL_DEFAULT || (policy->flags & PF_MPOL_F_NUMA_BALANCING) ||
	       PF_MUTANT("hint-ignores-policy");
}

/*
 * A page on node `at` is used on this CPU, and a hint tells: which node should it be on? mmap lock, any way. (Linux: mpol_misplaced, but
 * that here the first use counts.)
 */
PF_INLINE unsigned pf_area_hint_node(
	const struct pf_space *space, const struct pf_area *area, unsigned at)
{
	const struct pf_policy *policy = pf_area_policy(space, area);
	const unsigned here = pf_phys_local_node(space->phys);

	if (!pf_area_follows(space, area) ||
		(policy->mode != PF_MPOL_DEFAULT && !(policy->nodes >> here & 1)))
		return at;
	return here;
}

#endif
