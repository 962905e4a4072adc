/* SPDX-License-Identifier: MIT */
/*
 * Policies of VMAs and processes. They change with the mmap lock held for writing and no fault under way (vma_lock.h), so who allocates for a VMA
 * finds one or the other.
 */
#include "mm/mempolicy.h"

#include "mm/moving.h"

#define MODE_FLAGS  (PF_MPOL_F_STATIC_NODES | PF_MPOL_F_RELATIVE_NODES | PF_MPOL_F_NUMA_BALANCING)
#define FIXED_FLAGS (PF_MPOL_F_STATIC_NODES | PF_MPOL_F_RELATIVE_NODES)

static uint64_t all_nodes(const struct pf_mm *mm)
{
	return pf_phys_memory_nodes(mm->sys->phys);
}

/* ---- what is asked for ---- */

/* Is it a mode with flags that go with it? */
static bool is_mode(unsigned mode)
{
	const unsigned flags = mode & MODE_FLAGS;

	mode &= ~MODE_FLAGS;
	if (mode >= PF_MPOL_MAX || (flags & FIXED_FLAGS) == FIXED_FLAGS)
		return false;
	return !(flags & PF_MPOL_F_NUMA_BALANCING) || mode == PF_MPOL_BIND ||
	       mode == PF_MPOL_PREFERRED_MANY;
}

/* Nodes by their place among those that there are, and around. */
static uint64_t relative(uint64_t nodes, unsigned nr)
{
	uint64_t mask = 0;

	for (; nodes; nodes &= nodes - 1)
		mask |= PF_BIT(pf_ctz64(nodes) % nr);
	return mask;
}

/* 0, or -PF_EINVAL; is_mode(). */
static int make_policy(
	const struct pf_mm *mm, unsigned mode, uint64_t nodes, struct pf_policy *policy)
{
	const unsigned flags = mode & MODE_FLAGS, fixed = flags & FIXED_FLAGS;
	uint64_t have;

	mode &= ~MODE_FLAGS;
	*policy = (struct pf_policy){0};
	if (mode == PF_MPOL_DEFAULT)
		return nodes ? -PF_EINVAL : 0;
	if (mode == PF_MPOL_PREFERRED && !nodes && !fixed)
		mode = PF_MPOL_LOCAL;
	if (mode == PF_MPOL_LOCAL ? nodes || fixed : !nodes)
		return -PF_EINVAL;
	policy->mode = (uint8_t)mode;
	policy->flags = (uint16_t)flags;
	policy->asked = fixed ? nodes : 0;
	have = flags & PF_MPOL_F_RELATIVE_NODES ? relative(nodes, pf_nodes_weight(all_nodes(mm)))
						: nodes & all_nodes(mm);
	if (!have && mode != PF_MPOL_LOCAL)
		return -PF_EINVAL;
	if (mode == PF_MPOL_PREFERRED)
		have &= -have;
	policy->nodes = (uint8_t)have;
	return 0;
}

/* ---- mbind ---- */

static int set_range(struct pf_mm *mm, pf_va_t start, pf_va_t end, const struct pf_policy *policy)
{
	struct pf_vma_reserve r;
	struct pf_vma *vma;
	int err = pf_vma_reserve_splits(mm, &r, start, end);

	while (!err && start < end && (vma = pf_find_vma(mm, start)) && vma->area.start < end) {
		const pf_va_t from = pf_max(vma->area.start, start);
		const pf_va_t to = pf_min(vma->area.end, end);

		if (!pf_policy_same(&vma->area.policy, policy) &&
			!pf_vma_modify_policy(mm, &r, vma, from, to, policy))
			err = -PF_ENOMEM;
		start = to;
	}
	pf_vma_unreserve(mm, &r);
	return err;
}

/* What is misplaced is known and locked before policies change: who fails to find out changes nothing. */
static int bind_range(struct pf_misplaced *m, pf_va_t start, pf_va_t end,
	const struct pf_policy *policy, unsigned flags)
{
	struct pf_mm *mm = m->mm;
	uint64_t stuck = 0;
	int err;

	pf_mmap_write_lock(mm);
	m->policy = policy->mode == PF_MPOL_DEFAULT ? &mm->space.policy : policy;
	err = pf_find_misplaced(m, start, end, policy->mode != PF_MPOL_DEFAULT);
	if (!err)
		err = set_range(mm, start, end, policy);
	pf_mmap_write_unlock(mm);
	stuck = m->failed + pf_moving_end(mm->sys, &m->list, !err);
	if (!err && stuck && (flags & PF_MPOL_MF_STRICT))
		err = -PF_EIO;
	return err;
}

int pf_mbind(
	struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned mode, uint64_t nodes, unsigned flags)
{
	const unsigned known = PF_MPOL_MF_STRICT | PF_MPOL_MF_MOVE | PF_MPOL_MF_MOVE_ALL;
	const pf_va_t end = addr + pf_mm_align(mm, len);
	struct pf_misplaced m = {.mm = mm, .nodes = nodes, .others = true};
	struct pf_policy policy;
	int err;

	if (!is_mode(mode) || (flags & ~known) || !pf_mm_aligned(mm, addr) || end < addr)
		return -PF_EINVAL;
	if (end == addr)
		return 0;
	err = make_policy(mm, mode, nodes, &policy);
	if (err)
		return err;
	/* Memory that may be anywhere is nowhere else. */
	if (policy.mode == PF_MPOL_DEFAULT)
		flags &= ~PF_MPOL_MF_STRICT;
	m.flags = flags;
	pf_moving_init(&m.list);
	return bind_range(&m, addr, end, &policy, flags);
}

/* ---- the process ---- */

int pf_set_mempolicy(struct pf_mm *mm, unsigned mode, uint64_t nodes)
{
	struct pf_policy policy;
	int err = is_mode(mode) ? make_policy(mm, mode, nodes, &policy) : -PF_EINVAL;

	if (err)
		return err;
	pf_mmap_write_lock(mm);
	pf_vma_start_write_all(mm);
	mm->space.policy = policy;
	pf_store_relaxed(&mm->interleaved, 0);
	pf_mmap_write_unlock(mm);
	return 0;
}

/* ---- asking ---- */

static int node_at(struct pf_mm *mm, pf_va_t addr)
{
	pf_pfn_t pfn;
	int64_t n = pf_gup(mm, addr, 1, PF_FOLL_GET, &pfn);
	int node;

	if (n < 0)
		return (int)n;
	node = (int)pf_phys_node(mm->sys->phys, pfn);
	pf_put_user_pages(mm->sys, &pfn, 1);
	return node;
}

static int next_turn(const struct pf_mm *mm, const struct pf_policy *policy)
{
	if (policy->mode != PF_MPOL_INTERLEAVE && policy->mode != PF_MPOL_WEIGHTED_INTERLEAVE)
		return -PF_EINVAL;
	return (int)pf_nodes_nth(
		policy->nodes, pf_load_relaxed(&mm->interleaved) % pf_nodes_weight(policy->nodes));
}

/* 0, or -PF_EFAULT. */
static int find_policy(struct pf_mm *mm, bool at, pf_va_t addr, struct pf_policy *policy)
{
	const struct pf_vma *vma = NULL;

	pf_mmap_read_lock(mm);
	if (at)
		vma = pf_vma_lookup(mm, addr);
	*policy = vma ? vma->area.policy : mm->space.policy;
	pf_mmap_read_unlock(mm);
	return at && !vma ? -PF_EFAULT : 0;
}

int pf_get_mempolicy(
	struct pf_mm *mm, unsigned *mode, uint64_t *nodes, pf_va_t addr, unsigned flags)
{
	const bool at = flags & PF_MPOL_F_ADDR;
	struct pf_policy policy;
	int result;

	if (flags & ~(PF_MPOL_F_NODE | PF_MPOL_F_ADDR | PF_MPOL_F_MEMS_ALLOWED))
		return -PF_EINVAL;
	if (flags & PF_MPOL_F_MEMS_ALLOWED) {
		if (flags != PF_MPOL_F_MEMS_ALLOWED)
			return -PF_EINVAL;
		if (mode)
			*mode = 0;
		if (nodes)
			*nodes = all_nodes(mm);
		return 0;
	}
	if (addr && !at)
		return -PF_EINVAL;
	result = find_policy(mm, at, addr, &policy);
	if (result)
		return result;
	if (!(flags & PF_MPOL_F_NODE))
		result = policy.mode | policy.flags;
	else
		result = at ? node_at(mm, addr) : next_turn(mm, &policy);
	if (result < 0)
		return result;
	if (mode)
		*mode = (unsigned)result;
	if (nodes)
		*nodes = policy.asked ? policy.asked : policy.nodes;
	return 0;
}
