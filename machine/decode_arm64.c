/* SPDX-License-Identifier: MIT */
/*
 * arm64 stage-1 descriptors, 4K granule, 48-bit addresses, EL1&0 (Arm ARM D8.3: descriptor formats,
 * D8.4: permissions, D8.5: access flag and dirty state, D8.7.1: the contiguous bit).
 *
 * Software's bits are Linux's: 55 dirty, 56 special, 58 userfaultfd write-protect; a word with bit 0
 * clear and bit 11 set still names its frame (PROT_NONE).
 */
#include "mmu.h"

#define VALID    PF_BIT(0)
#define TYPE     PF_BIT(1) /* with VALID: table above the last level, page at it */
#define USER     PF_BIT(6) /* AP[1] */
#define RDONLY   PF_BIT(7) /* AP[2] */
#define AF       PF_BIT(10)
#define NG       PF_BIT(11)
#define INACTIVE PF_BIT(11) /* software, VALID clear */
#define NT       PF_BIT(16)
#define OA       PF_MASK(47, 12)
#define GP       PF_BIT(50)
#define DBM      PF_BIT(51)
#define CONT     PF_BIT(52)
#define PXN      PF_BIT(53)
#define UXN      PF_BIT(54)
#define SWDIRTY  PF_BIT(55)
#define SW       (PF_BIT(56) | PF_BIT(57) | PF_BIT(58) | PF_BIT(63))
#define POINDEX  PF_MASK(62, 60)
#define MEMTYPE  (PF_MASK(4, 2) | PF_MASK(9, 8)) /* AttrIndx, SH */

static void decode(
	uint64_t raw, unsigned level, unsigned idx, uint32_t features, struct mmu_entry *e)
{
	uint64_t oa = raw & OA & ~(level ? NT : 0);

	(void)idx;
	*e = (struct mmu_entry){.level = (uint8_t)level, .empty = !raw};
	if (!(raw & VALID)) {
		if (!(raw & INACTIVE))
			return;
		e->inactive = true;
		e->cont = raw & CONT;
		e->pa = oa;
		e->dirty = raw & SWDIRTY;
		return;
	}
	e->valid = true;
	if (level && (raw & TYPE)) {
		e->table = true;
		e->pa = raw & OA;
		return;
	}
	/* A last-level word of type 0b01, a block above level 1, and OA bits below a block's size
	 * are reserved (D8.3.1, D8.3.2): no translation comes of the first two. */
	if ((level == 0 && !(raw & TYPE)) || level == 3) {
		e->valid = false;
		e->reserved = true;
		return;
	}
	e->reserved = oa & ((UINT64_C(1) << (12 + 9 * level)) - 1);
	e->leaf = true;
	e->cont = raw & CONT;
	e->global = !(raw & NG);
	e->user = raw & USER;
	e->r = true; /* by EL1, where EL0 may not */
	e->x = !(raw & UXN);
	e->w = !(raw & RDONLY);
	e->dbm = (raw & RDONLY) && (raw & DBM) && (features & PF_FEAT_HD);
	e->wperm = !(raw & RDONLY) || (raw & DBM);
	e->accessed = raw & AF;
	e->dirty = (raw & SWDIRTY) || ((raw & DBM) && !(raw & RDONLY));
	e->memtype = (uint8_t)(((raw >> 2) & 7) | ((raw >> 8) & 3) << 3);
	e->pa = oa;
	e->hw = raw & (MEMTYPE | PF_BIT(5) | USER | NG | GP | PXN | UXN | POINDEX);
	e->sw = raw & SW;
}

static uint64_t set_a(uint64_t raw)
{
	return raw | AF;
}

/* D is the inverse of AP[2] where DBM is set (D8.5.3). */
static uint64_t set_d(uint64_t raw)
{
	return raw & ~RDONLY;
}

#define BBM (PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT)

const struct mmu_format mmu_arm64_4k = {
	.name = "arm64-4k",
	.page_shift = 12,
	.levels = 4,
	.level_bits = 9,
	.va_bits = 48,
	.cont_shift = {4, 4, 0, 0},
	.leaf_levels = 0x7,
	.arm_tlbi = true,
	.ad = PF_FEAT_HAF | PF_FEAT_HD,
	.newest = PF_FEAT_HAF | PF_FEAT_HD | BBM | PF_FEAT_TLB_RANGE | PF_FEAT_TTL,
	.allowed = PF_FEAT_HAF | PF_FEAT_HD | BBM | PF_FEAT_TLB_RANGE | PF_FEAT_TTL,
	.empty = 0,
	.decode = decode,
	.set_a = set_a,
	.set_d = set_d,
};
