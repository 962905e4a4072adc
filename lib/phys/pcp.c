/* SPDX-License-Identifier: MIT */
/*
 * Lists of free pages that CPUs have to themselves, so that who allocates or frees a page takes no lock that another wants. A list
 * is filled from the buddy allocator a batch at a time, of consecutive frames if there are such, whose records then share no
 * cache line with another CPU's; and emptied by as many.
 *
 * The lists are free memory: who finds no page, or no table's, has them all given back before he says so. Two CPUs may use one
 * list, for it has a lock; which is why the number that the port gives need not be right.
 *
 * A page on a list has a record that says nothing: it is no head, so no lockless walker takes it, and no free block, so no buddy merges
 * with it (FRAME.md 3).
 */
#include "phys/pcp.h"

#define BATCH_ORDER 7
PF_STATIC_ASSERT(1u << BATCH_ORDER == PF_PCP_BATCH, "a batch is a block, if there is one");

/* A list longer than that gives a batch back. */
#define LIMIT (2 * PF_PCP_BATCH)

static struct pf_pcp *lock_own(struct pf_phys *phys)
{
	struct pf_pcp *pcp = &phys->pcp[pf_port_cpu() % phys->nr_pcp];

	pf_port_spin_lock(&pcp->lock, PF_LOCK_PCP, (pf_pa_t)(pcp - phys->pcp));
	return pcp;
}

static void unlock(struct pf_phys *phys, struct pf_pcp *pcp)
{
	pf_port_spin_unlock(&pcp->lock, PF_LOCK_PCP, (pf_pa_t)(pcp - phys->pcp));
}

static void push(struct pf_phys *phys, struct pf_pcp *pcp, unsigned node, uint64_t idx)
{
	struct pf_frame *f = &phys->frames[idx];

	pf_store_relaxed(&f->count.word, 0);
	f->lru_next = pcp->list[node].first;
	pcp->list[node].first = (uint32_t)idx + 1;
	pf_quiet_store(&pcp->list[node].nr, pcp->list[node].nr + 1);
}

static uint64_t pop(struct pf_phys *phys, struct pf_pcp *pcp, unsigned node)
{
	const uint32_t first = pcp->list[node].first;

	if (!first)
		return UINT64_MAX;
	pcp->list[node].first = phys->frames[first - 1].lru_next;
	pf_quiet_store(&pcp->list[node].nr, pcp->list[node].nr - 1);
	return first - 1;
}

/* So that the lowest comes first. */
static void refill(struct pf_phys *phys, struct pf_pcp *pcp, unsigned node)
{
	uint64_t idx;

	pf_node_lock(phys, node);
	idx = pf_block_take(phys, &phys->node[node], BATCH_ORDER);
	if (idx != UINT64_MAX)
		for (unsigned i = PF_PCP_BATCH; i--;)
			push(phys, pcp, node, idx + i);
	else
		for (unsigned i = 0; i < PF_PCP_BATCH; i++) {
			idx = pf_block_take(phys, &phys->node[node], 0);
			if (idx == UINT64_MAX)
				break;
			push(phys, pcp, node, idx);
		}
	pf_node_unlock(phys, node);
	pcp->refills++;
}

static void give_back(struct pf_phys *phys, struct pf_pcp *pcp, unsigned node, unsigned nr)
{
	pf_node_lock(phys, node);
	while (nr--)
		pf_block_give(phys, &phys->node[node], pop(phys, pcp, node), 0);
	pf_node_unlock(phys, node);
}

uint64_t pf_pcp_take(struct pf_phys *phys, unsigned node)
{
	struct pf_pcp *pcp = lock_own(phys);
	uint64_t idx;

	if (!pcp->list[node].first)
		refill(phys, pcp, node);
	idx = pop(phys, pcp, node);
	pcp->taken++;
	unlock(phys, pcp);
	return idx;
}

/* The last first, so that they come again in the order in which they were used: neighbours are dealt with together. */
void pf_pcp_give(struct pf_phys *phys, unsigned node, struct pf_folio *const *pages, unsigned nr)
{
	struct pf_pcp *pcp = lock_own(phys);

	while (nr--) {
		push(phys, pcp, node, (uint64_t)(&pages[nr]->head - phys->frames));
		if (pcp->list[node].nr > LIMIT)
			give_back(phys, pcp, node, PF_PCP_BATCH);
	}
	unlock(phys, pcp);
}

uint64_t pf_pcp_pages(const struct pf_phys *phys, unsigned node)
{
	uint64_t nr = 0;

	for (unsigned i = 0; i < phys->nr_pcp; i++)
		nr += pf_quiet_load(&phys->pcp[i].list[node].nr);
	return nr;
}

void pf_phys_set_cpus(struct pf_phys *phys, struct pf_pcp *lists, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		__builtin_memset(&lists[i], 0, sizeof(lists[i]));
		pf_port_spin_init(&lists[i].lock, PF_LOCK_PCP, i);
	}
	phys->pcp = lists;
	phys->nr_pcp = phys->max_order < BATCH_ORDER ? 0 : nr;
}

void pf_phys_drain(struct pf_phys *phys)
{
	for (unsigned i = 0; i < phys->nr_pcp; i++) {
		struct pf_pcp *pcp = &phys->pcp[i];

		pf_port_spin_lock(&pcp->lock, PF_LOCK_PCP, i);
		for (unsigned n = 0; n < phys->nr_nodes; n++)
			if (pcp->list[n].nr)
				give_back(phys, pcp, n, pcp->list[n].nr);
		unlock(phys, pcp);
	}
}
