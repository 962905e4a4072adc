/* SPDX-License-Identifier: MIT */
/*
 * TLBI operands. arm64: Arm ARM C5.5 and D8.14 (facts 5): ASID 63:48; by address TTL 47:44, VA[55:12] 43:0; by
 * range TG 47:46, SCALE 45:44, NUM 43:39, TTL 38:37, BaseADDR 36:0, pages = (NUM + 1) << (5 * SCALE + 1).
 * fake: lib/port/port.h.
 */
#include "tlbi.h"

static void by_address(
	const struct mmu_format *f, uint32_t features, uint64_t operand, struct tlbi_op *o)
{
	unsigned ttl = operand >> 44 & 15;

	o->va = (operand & PF_MASK(43, 0)) << 12;
	o->pages = 1;
	/* TTL 0b00xx, and level 0 of a 4K granule, mean that there is no hint. */
	if (!(features & PF_FEAT_TTL) || !(ttl >> 2) || ttl == 4)
		return;
	if (ttl >> 2 != 1 || f->page_shift != 12)
		o->bad = "its TTL names another granule";
	o->hint = 3 - (int)(ttl & 3);
}

static void by_range(
	const struct mmu_format *f, uint32_t features, uint64_t operand, struct tlbi_op *o)
{
	unsigned tg = operand >> 46 & 3, scale = operand >> 44 & 3, num = operand >> 39 & 31;
	unsigned ttl = operand >> 37 & 3;

	o->range = true;
	o->va = (operand & PF_MASK(36, 0)) << 12;
	o->pages = (uint64_t)(num + 1) << (5 * scale + 1);
	if (!(features & PF_FEAT_TLB_RANGE))
		o->bad = "this CPU has no range operations";
	else if (tg != 1 || f->page_shift != 12)
		o->bad = "its TG names another granule";
	if ((features & PF_FEAT_TTL) && ttl)
		o->hint = 3 - (int)ttl;
}

static void fake(const struct mmu_format *f, uint64_t operand, uint64_t operand2, struct tlbi_op *o)
{
	unsigned level = operand2 >> 32 & 255;

	o->va = (operand & PF_MASK(47, 0)) << 12;
	o->pages = (operand2 & PF_MASK(31, 0)) + 1;
	o->range = o->pages > 1;
	o->leaf_only = operand2 >> 40 & 1;
	o->whole = operand2 >> 41 & 1;
	o->local = operand2 >> 42 & 1;
	if (level != 7)
		o->hint = (int)level;
	if ((level != 7 && level >= f->levels) || operand2 >> 43)
		o->bad = "its second operand is out of range";
}

struct tlbi_op tlbi_decode(const struct mmu_format *f, uint32_t features, enum pf_tlbi op,
	uint64_t operand, uint64_t operand2)
{
	struct tlbi_op o = {.hint = -1, .asid = (uint16_t)(operand >> 48)};

	if ((op == PF_TLBI_FAKE) == f->arm_tlbi) {
		o.bad = "it belongs to another architecture";
		return o;
	}
	o.local = op >= PF_TLBI_VAE1 && op <= PF_TLBI_VMALLE1;
	switch (op) {
	case PF_TLBI_VALE1IS:
	case PF_TLBI_VALE1:
		o.leaf_only = true;
		/* fallthrough */
	case PF_TLBI_VAE1IS:
	case PF_TLBI_VAE1:
		by_address(f, features, operand, &o);
		break;
	case PF_TLBI_RVALE1IS:
	case PF_TLBI_RVALE1:
		o.leaf_only = true;
		/* fallthrough */
	case PF_TLBI_RVAE1IS:
	case PF_TLBI_RVAE1:
		by_range(f, features, operand, &o);
		break;
	case PF_TLBI_ASIDE1IS:
	case PF_TLBI_ASIDE1:
		o.whole = true;
		break;
	case PF_TLBI_VMALLE1IS:
	case PF_TLBI_VMALLE1:
		o.all = true;
		break;
	case PF_TLBI_FAKE:
		fake(f, operand, operand2, &o);
		break;
	}
	if (o.whole || o.all) {
		o.pages = 0;
		o.range = false;
		o.hint = -1;
		o.va = 0;
		o.last = UINT64_MAX;
	} else {
		o.last = o.va + (o.pages << 12) - 1;
		if (o.last < o.va)
			o.last = UINT64_MAX;
	}
	return o;
}
