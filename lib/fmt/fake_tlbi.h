/* SPDX-License-Identifier: MIT */
/*
 * TLB maintenance of the fake formats: the one operation PF_TLBI_FAKE, whose operands are in
 * port/port.h. An operation by address drops the global translations of its pages too, whatever
 * their ASID; one for a whole ASID spares them.
 */
#ifndef PF_FMT_FAKE_TLBI_H
#define PF_FMT_FAKE_TLBI_H

#include "fmt/geometry.h"
#include "port/port.h"

#define PF_FAKE_LEVEL_ANY  7u
#define PF_FAKE_LEVEL      32
#define PF_FAKE_LEAF_ONLY  PF_BIT(40)
#define PF_FAKE_WHOLE_ASID PF_BIT(41)
#define PF_FAKE_LOCAL      PF_BIT(42)
#define PF_FAKE_PAGES_MAX  (UINT64_C(1) << 32) /* of one operation: its field holds pages - 1 */
#define PF_FAKE_VA_PAGES   (UINT64_C(1) << (PF_VA_BITS - PF_PAGE_SHIFT))

PF_INLINE void pf_hw_tlb_issue(unsigned features, const struct pf_tlb_req *req)
{
	uint64_t asid = (uint64_t)req->asid << 48;
	uint64_t page = (req->va >> PF_PAGE_SHIFT) & (PF_FAKE_VA_PAGES - 1);
	unsigned stride = req->level * PF_LEVEL_BITS; /* log2 of its pages */
	uint64_t left = pf_min(req->nr, PF_FAKE_VA_PAGES >> stride) << stride;
	uint64_t level = PF_FAKE_LEVEL_ANY;
	uint64_t flags = req->local ? PF_FAKE_LOCAL : 0;

	(void)features;
	pf_port_barrier(req->local ? PF_BARRIER_PUBLISH_LOCAL : PF_BARRIER_PUBLISH);
	if (req->whole_asid && !req->global) {
		pf_port_tlbi(
			PF_TLBI_FAKE, asid, flags | PF_FAKE_WHOLE_ASID | level << PF_FAKE_LEVEL);
		return;
	}
	if (req->whole_asid) {
		/* Global translations belong to no ASID: by address, all of it. */
		page = 0;
		left = PF_FAKE_VA_PAGES;
	} else {
		/* A hint speaks of the leaves; tables that went are of another level. */
		if (req->hint && !req->tables)
			level = req->level;
		if (!req->tables)
			flags |= PF_FAKE_LEAF_ONLY;
	}
	while (left) {
		uint64_t pages = pf_min(left, PF_FAKE_PAGES_MAX);

		pf_port_tlbi(
			PF_TLBI_FAKE, asid | page, (pages - 1) | level << PF_FAKE_LEVEL | flags);
		page += pages;
		left -= pages;
	}
}

PF_INLINE void pf_hw_tlb_wait(bool local)
{
	pf_port_barrier(local ? PF_BARRIER_COMPLETE_LOCAL : PF_BARRIER_COMPLETE);
}

#endif
