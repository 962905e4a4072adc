/* SPDX-License-Identifier: MIT */
/*
 * Lazy-MMU sections. The record is the running thread's own, so nothing here is shared or atomic; an interrupt has none,
 * so it neither pays early what the thread may still add to nor leaves owing what it mapped itself.
 */
#include "pt/lazy.h"

static void pay(struct pf_lazy_mmu *lazy)
{
	if (!lazy->owed)
		return;
	lazy->owed = false;
	pf_port_barrier(PF_BARRIER_PUBLISH);
}

void pf_lazy_mmu_publish(void)
{
	struct pf_lazy_mmu *lazy = pf_port_lazy_mmu();

	if (lazy && lazy->enabled && (!lazy->paused || PF_MUTANT("lazy-owes-paused")))
		lazy->owed = true;
	else
		pf_port_barrier(PF_BARRIER_PUBLISH);
}

void pf_lazy_mmu_enable(void)
{
	struct pf_lazy_mmu *lazy = pf_port_lazy_mmu();

	if (lazy && !lazy->paused)
		lazy->enabled++;
}

void pf_lazy_mmu_disable(void)
{
	struct pf_lazy_mmu *lazy = pf_port_lazy_mmu();

	if (!lazy || lazy->paused)
		return;
	lazy->enabled--;
	if (!PF_MUTANT("lazy-inner-owes") || !lazy->enabled)
		pay(lazy);
}

void pf_lazy_mmu_pause(void)
{
	struct pf_lazy_mmu *lazy = pf_port_lazy_mmu();

	if (!lazy)
		return;
	lazy->paused++;
	pay(lazy);
}

void pf_lazy_mmu_resume(void)
{
	struct pf_lazy_mmu *lazy = pf_port_lazy_mmu();

	if (lazy)
		lazy->paused--;
}
