/* SPDX-License-Identifier: MIT */
/*
 * arm64 TLB maintenance (Arm ARM DDI 0487, C5.5 for the operands, D8.14 for what they guarantee).
 *
 * By address:  ASID 63:48, TTL 47:44, VA[55:12] 43:0
 * By range:    ASID 63:48, TG 47:46, SCALE 45:44, NUM 43:39, TTL 38:37, BaseADDR 36:0, in units of
 * the granule; it covers (NUM + 1) << (5 * SCALE + 1) pages, an even number of at most 2^21
 *
 * TTL is a promise that every entry to be forgotten came from that level, and a wrong one may leave
 * it alive; so it is given only where the request makes the promise, and never where tables
 * changed. By address it also needs FEAT_TTL (the field is reserved otherwise); range operations
 * always have it. L operations (VALE1, RVALE1) leave walk caches alone and do only while no table
 * entry changed.
 *
 * Included by fmt/arm64.h.
 */
#ifndef PF_FMT_ARM64_TLBI_H
#define PF_FMT_ARM64_TLBI_H

#include "fmt/geometry.h"
#include "port/port.h"

#define PF_A64_TG      ((PF_PAGE_SHIFT - 10) / 2) /* 4K 1, 16K 2, 64K 3 */
#define PF_A64_TTL_ANY 4u                         /* no hint: past the last of Arm's levels */

/* Beyond these one operation for the whole ASID is issued: what a range operation covers at most,
 * and without ranges a table's worth of broadcasts, which is where Linux stops too. */
#define PF_A64_RANGE_PAGES_MAX (UINT64_C(1) << 21)
#define PF_A64_SINGLES_MAX     (PF_TABLE_ENTRIES - 1)

/* The operations of one request: all broadcast or all local, all leaf-only or none. */
struct pf_a64_tlbi {
	enum pf_tlbi by_va, by_range;
	uint64_t asid; /* in place */
	unsigned arm_level;
	bool has_ttl;
};

PF_INLINE uint64_t pf_a64_tlbi_va_operand(const struct pf_a64_tlbi *t, pf_va_t va)
{
	uint64_t ttl = 0;

	if (t->has_ttl && t->arm_level <= 3)
		ttl = (uint64_t)(PF_A64_TG << 2 | t->arm_level) << 44;
	return t->asid | ttl | (va >> 12 & PF_MASK(43, 0));
}

/* num 0..31, scale 0..3. Arm's level 0 has no hint in this form: 0 says "any level". */
PF_INLINE uint64_t pf_a64_tlbi_range_operand(
	const struct pf_a64_tlbi *t, pf_va_t va, unsigned scale, uint64_t num)
{
	uint64_t ttl = t->arm_level <= 3 ? t->arm_level : 0;

	return t->asid | (uint64_t)PF_A64_TG << 46 | (uint64_t)scale << 44 | num << 39 | ttl << 37 |
	       (va >> PF_PAGE_SHIFT & PF_MASK(36, 0));
}

/*
 * Largest scale first. What is left at scale s is less than 1 << (5 * s + 6) pages: at scale 3
 * because of PF_A64_RANGE_PAGES_MAX (whose very last value gives NUM 31), below because the scale
 * before took all its multiples. So NUM always fits its five bits, each scale is used at most once,
 * and after scale 0 at most one page is left.
 */
PF_INLINE void pf_a64_tlbi_range(const struct pf_a64_tlbi *t, pf_va_t va, uint64_t pages)
{
	for (unsigned scale = 4; scale-- > 0;) {
		unsigned shift = 5 * scale + 1;
		uint64_t units = pages >> shift;

		/* The bug that was: five bits kept before 1 is taken off, so that 32 passes for none. */
		if (!units || (PF_MUTANT("tlbi-range-num") && !(units & 31)))
			continue;
		pf_port_tlbi(t->by_range, pf_a64_tlbi_range_operand(t, va, scale, units - 1), 0);
		va += units << shift << PF_PAGE_SHIFT;
		pages -= units << shift;
	}
	if (pages)
		pf_port_tlbi(t->by_va, pf_a64_tlbi_va_operand(t, va), 0);
}

/* One operation a stride forgets the block that lies at it, whatever the block's size. */
PF_INLINE void pf_a64_tlbi_singles(
	const struct pf_a64_tlbi *t, pf_va_t va, uint64_t nr, unsigned level)
{
	for (uint64_t i = 0; i < nr; i++)
		pf_port_tlbi(
			t->by_va, pf_a64_tlbi_va_operand(t, va + (i << PF_LEVEL_SHIFT(level))), 0);
}

/*
 * Global translations carry no ASID and ASIDE1 spares them, so a request for them forgets
 * everything. An empty request (nr 0) still publishes.
 */
PF_INLINE void pf_hw_tlb_issue(unsigned features, const struct pf_tlb_req *req)
{
	uint64_t asid = (uint64_t)req->asid << 48;
	struct pf_a64_tlbi t = {.asid = asid, .has_ttl = features & PF_FEAT_TTL};
	bool range = features & PF_FEAT_TLB_RANGE;
	unsigned stride = req->level * PF_LEVEL_BITS; /* log2 of its pages */
	/* The first is a multiple of any stride's pages, or smaller than one; shifting nr may
	 * overflow. */
	uint64_t max = range ? PF_A64_RANGE_PAGES_MAX >> stride : PF_A64_SINGLES_MAX;

	/* Stores before this must be seen by the walks that follow the invalidation: DSB ISHST. */
	pf_port_barrier(req->local ? PF_BARRIER_PUBLISH_LOCAL : PF_BARRIER_PUBLISH);

	if (req->global && !PF_MUTANT("global-by-asid")) {
		pf_port_tlbi(req->local ? PF_TLBI_VMALLE1 : PF_TLBI_VMALLE1IS, 0, 0);
		return;
	}
	if (req->whole_asid || req->nr > max) {
		pf_port_tlbi(req->local ? PF_TLBI_ASIDE1 : PF_TLBI_ASIDE1IS, asid, 0);
		return;
	}

	t.arm_level = req->hint && !req->tables ? 3u - req->level : PF_A64_TTL_ANY;
	if (PF_MUTANT("ttl-wrong-level") && t.arm_level == 3)
		t.arm_level = 2;
	if (req->tables) {
		t.by_va = req->local ? PF_TLBI_VAE1 : PF_TLBI_VAE1IS;
		t.by_range = req->local ? PF_TLBI_RVAE1 : PF_TLBI_RVAE1IS;
	} else {
		t.by_va = req->local ? PF_TLBI_VALE1 : PF_TLBI_VALE1IS;
		t.by_range = req->local ? PF_TLBI_RVALE1 : PF_TLBI_RVALE1IS;
	}
	if (range)
		pf_a64_tlbi_range(&t, req->va, req->nr << stride);
	else
		pf_a64_tlbi_singles(&t, req->va, req->nr, req->level);
}

PF_INLINE void pf_hw_tlb_wait(bool local)
{
	pf_port_barrier(local ? PF_BARRIER_COMPLETE_LOCAL : PF_BARRIER_COMPLETE);
}

#endif
