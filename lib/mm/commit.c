/* SPDX-License-Identifier: MIT */
/*
 * Overcommit: how much memory has been promised, and how much may be. Every page of a VMA with PF_VM_ACCOUNT is a promise,
 * and every page of shared memory without a file that was made without MAP_NORESERVE.
 *
 * Whoever is about to promise more asks for it, and it is counted then: two who ask at the same time cannot both get what is
 * there once. A VMA that takes the place of another takes its promise over, so the sum is never less than what VMAs have.
 */
#include "mm/internal.h"

static void add(struct pf_system *sys, int64_t pages)
{
	pf_add_relaxed(&sys->committed, (uint64_t)pages);
}

static bool allowed(struct pf_system *sys, uint64_t pages)
{
	switch (pf_load_relaxed(&sys->overcommit)) {
	case PF_OVERCOMMIT_ALWAYS:
		return true;
	case PF_OVERCOMMIT_GUESS:
		return pages <= sys->phys->nr + pf_load_relaxed(&sys->swap_pages);
	default:
		return pf_load_relaxed(&sys->committed) < pf_load_relaxed(&sys->commit_limit);
	}
}

bool pf_commit(struct pf_system *sys, uint32_t flags, uint64_t pages)
{
	if (!(flags & PF_VM_ACCOUNT) || !pages)
		return true;
	add(sys, (int64_t)pages);
	if (allowed(sys, pages))
		return true;
	add(sys, -(int64_t)pages);
	return false;
}

void pf_uncommit(struct pf_system *sys, uint32_t flags, uint64_t pages)
{
	if (flags & PF_VM_ACCOUNT)
		add(sys, -(int64_t)pages);
}
