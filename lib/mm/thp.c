/* SPDX-License-Identifier: MIT */
/*
 * Which folio orders a fault may use: transparent_hugepage/enabled and hugepages-<size>/enabled.
 */
#include "mm/internal.h"

/* Orders from 2 (1 has no use: a folio of two pages has no room for its metadata) to a table's. */
static uint32_t orders_of(const struct pf_system *sys, const enum pf_thp_mode order[16],
	enum pf_thp_mode enabled, uint32_t vm_flags)
{
	const bool advised = vm_flags & PF_VM_HUGEPAGE;
	const bool inherited = enabled == PF_THP_ALWAYS || (enabled == PF_THP_MADVISE && advised);
	uint32_t orders = 1;

	if (vm_flags & PF_VM_NOHUGEPAGE)
		return orders;
	for (unsigned o = 2; o <= sys->fmt->pt->level_bits && o < 16; o++) {
		if (order[o] == PF_THP_ALWAYS || (order[o] == PF_THP_MADVISE && advised) ||
			(order[o] == PF_THP_INHERIT && inherited))
			orders |= 1u << o;
	}
	return orders;
}

uint32_t pf_thp_orders(const struct pf_system *sys, uint32_t vm_flags)
{
	return orders_of(sys, sys->thp.order, sys->thp.enabled, vm_flags);
}

uint32_t pf_shmem_orders(const struct pf_system *sys, uint32_t vm_flags)
{
	return orders_of(sys, sys->thp.shmem, sys->thp.shmem_enabled, vm_flags);
}
