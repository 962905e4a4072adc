/* SPDX-License-Identifier: MIT */
/*
 * Which folio orders a fault may use: transparent_hugepage/enabled and hugepages-<size>/enabled.
 */
#include "mm/internal.h"

/* Orders from 2 (1 has no use: a folio of two pages has no room for its metadata) to a table's. */
uint32_t pf_thp_orders(const struct pf_system *sys, uint32_t vm_flags)
{
	const struct pf_thp *thp = &sys->thp;
	const bool advised = vm_flags & PF_VM_HUGEPAGE;
	const bool inherited =
		thp->enabled == PF_THP_ALWAYS || (thp->enabled == PF_THP_MADVISE && advised);
	uint32_t orders = 1;

	if (vm_flags & PF_VM_NOHUGEPAGE)
		return orders;
	for (unsigned o = 2; o <= sys->fmt->pt->level_bits && o < PF_ARRAY_SIZE(thp->order); o++) {
		const enum pf_thp_mode mode = thp->order[o];

		if (mode == PF_THP_ALWAYS || (mode == PF_THP_MADVISE && advised) ||
			(mode == PF_THP_INHERIT && inherited))
			orders |= 1u << o;
	}
	return orders;
}
