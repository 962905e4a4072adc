/* SPDX-License-Identifier: MIT */
/*
 * The fake formats' words, from docs/FAKE.md. A two-word entry is seen as one 64-bit word, the low word
 * in bits 0..31. An access needs A and a write needs D; hardware that has HAF and HD sets them.
 */
#include "mmu.h"

#define BBM (PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT)

static void leaf(struct mmu_entry *e, bool w, bool d, uint32_t features)
{
	e->valid = e->leaf = true;
	e->wperm = w;
	e->dirty = d;
	e->w = w && d;
	e->dbm = w && !d && (features & PF_FEAT_HD);
}

/* ---- fake-inv ---- */

static void inv_decode(
	uint64_t raw, unsigned level, unsigned idx, uint32_t features, struct mmu_entry *e)
{
	uint64_t pa = raw >> 24 << 12;

	(void)idx;
	*e = (struct mmu_entry){.level = (uint8_t)level, .empty = raw == 1};
	if (raw & 1) {
		if ((raw >> 1 & 7) == 1) {
			e->inactive = true;
			e->cont = raw & PF_BIT(8);
			e->dirty = raw & PF_BIT(7);
			e->pa = pa;
		}
		return;
	}
	if (level && (raw & PF_BIT(1))) {
		e->valid = e->table = true;
		e->pa = pa;
		return;
	}
	/* Leaves stand at levels 0 and 1; only level 0 has blocks. */
	if (level > 1 || (raw & PF_BIT(1))) {
		e->reserved = true;
		return;
	}
	leaf(e, raw & PF_BIT(3), raw & PF_BIT(7), features);
	e->reserved = (level == 1 && (raw & PF_BIT(8))) ||
		      (pa & ((UINT64_C(1) << (12 + 7 * level)) - 1)) || (raw & PF_MASK(23, 19));
	e->r = raw & PF_BIT(2);
	e->global = raw & PF_BIT(5);
	e->user = !e->global;
	e->x = e->user && (raw & PF_BIT(4));
	e->accessed = raw & PF_BIT(6);
	e->cont = raw & PF_BIT(8);
	e->memtype = raw >> 12 & 7;
	e->pa = pa;
	e->hw = raw & (PF_BIT(2) | PF_BIT(4) | PF_BIT(5) | PF_MASK(18, 12));
	e->sw = raw & PF_MASK(11, 9);
}

static uint64_t inv_set_a(uint64_t raw)
{
	return raw | PF_BIT(6);
}

static uint64_t inv_set_d(uint64_t raw)
{
	return raw | PF_BIT(7);
}

const struct mmu_format mmu_fake_inv = {
	.name = "fake-inv",
	.page_shift = 12,
	.levels = 4,
	.level_bits = 7,
	.va_bits = 40,
	.cont_shift = {2, 0, 0, 0},
	.leaf_levels = 0x3,
	.late_d = true,
	.ad = PF_FEAT_HAF | PF_FEAT_HD,
	.newest = PF_FEAT_HAF | PF_FEAT_HD,
	.allowed = PF_FEAT_HAF | PF_FEAT_HD | BBM,
	.empty = 1,
	.decode = inv_decode,
	.set_a = inv_set_a,
	.set_d = inv_set_d,
};

/* ---- fake-nz ---- */

static void nz_decode(
	uint64_t raw, unsigned level, unsigned idx, uint32_t features, struct mmu_entry *e)
{
	unsigned tag = (unsigned)(raw >> 61), shift = 9 * level;
	uint64_t frame = raw >> 21 & PF_MASK(39, 0);

	*e = (struct mmu_entry){.level = (uint8_t)level, .empty = raw == PF_MASK(63, 61)};
	switch (tag) {
	case 1:
		e->valid = e->table = level > 0;
		e->reserved = !level;
		e->pa = level ? frame << 12 : 0;
		return;
	case 3:
		e->inactive = true;
		e->dirty = raw & PF_BIT(5);
		e->pa = frame << 12;
		return;
	case 0:
	case 2:
		break;
	case 4:
		return;
	default:
		e->reserved = tag != 7 || !e->empty;
		return;
	}
	if (level > 2 || (tag == 2 && level > 1)) {
		e->reserved = true;
		return;
	}
	leaf(e, raw & PF_BIT(1), raw & PF_BIT(5), features);
	if (tag == 2) {
		/* The mark stands at half the block, 4 pages of the level above its aligned base. */
		e->cont = true;
		e->reserved = (frame & ((UINT64_C(8) << shift) - 1)) != UINT64_C(4) << shift;
		frame = (frame & ~((UINT64_C(8) << shift) - 1)) + ((uint64_t)(idx & 7) << shift);
	} else {
		e->reserved = frame & ((UINT64_C(1) << shift) - 1);
	}
	e->r = raw & PF_BIT(0);
	e->global = raw & PF_BIT(3);
	e->user = !e->global;
	e->x = e->user && (raw & PF_BIT(2));
	e->accessed = raw & PF_BIT(4);
	e->memtype = raw >> 9 & 7;
	e->pa = frame << 12;
	e->hw = raw & (PF_BIT(0) | PF_BIT(2) | PF_BIT(3) | PF_MASK(15, 9));
	e->sw = raw & (PF_BIT(6) | PF_BIT(7) | PF_BIT(8));
}

static uint64_t nz_set_a(uint64_t raw)
{
	return raw | PF_BIT(4);
}

static uint64_t nz_set_d(uint64_t raw)
{
	return raw | PF_BIT(5);
}

const struct mmu_format mmu_fake_nz = {
	.name = "fake-nz",
	.page_shift = 12,
	.levels = 4,
	.level_bits = 9,
	.va_bits = 48,
	.cont_shift = {3, 3, 0, 0},
	.leaf_levels = 0x7,
	.ad = 0,
	.newest = 0,
	.allowed = BBM,
	.empty = PF_MASK(63, 61),
	.decode = nz_decode,
	.set_a = nz_set_a,
	.set_d = nz_set_d,
};

/* ---- fake-2w ---- */

static void two_decode(
	uint64_t raw, unsigned level, unsigned idx, uint32_t features, struct mmu_entry *e)
{
	uint64_t pa = ((raw >> 12 & PF_MASK(19, 0)) | (raw >> 32 & PF_MASK(15, 0)) << 20) << 12;

	(void)idx;
	/* Between its two stores an entry may have only one word: nothing yet, or nothing any more. */
	*e = (struct mmu_entry){.level = (uint8_t)level, .empty = !raw};
	if (!(raw & 1)) {
		if ((raw >> 48 & 7) == 1) {
			e->inactive = true;
			e->cont = raw & PF_BIT(7);
			e->dirty = raw & PF_BIT(6);
			e->pa = pa;
		} else if (!(uint32_t)raw && !(raw >> 48 & 7)) {
			e->empty = true;
		}
		return;
	}
	if (level && (raw & PF_BIT(4))) {
		e->valid = e->table = true;
		e->pa = pa;
		return;
	}
	if (level > 1 || (raw & PF_BIT(4))) {
		e->reserved = true;
		return;
	}
	leaf(e, raw & PF_BIT(1), raw & PF_BIT(6), features);
	e->reserved = (level == 1 && (raw & PF_BIT(7))) ||
		      (pa & ((UINT64_C(1) << (12 + 11 * level)) - 1)) || (raw >> 48);
	e->x = raw & PF_BIT(2);
	e->r = raw & PF_BIT(3);
	e->user = true;
	e->accessed = raw & PF_BIT(5);
	e->cont = raw & PF_BIT(7);
	e->memtype = raw >> 11 & 1;
	e->pa = pa;
	e->hw = raw & (PF_BIT(2) | PF_BIT(3) | PF_BIT(11));
	e->sw = raw & PF_MASK(10, 8);
}

static uint64_t two_set_a(uint64_t raw)
{
	return raw | PF_BIT(5);
}

static uint64_t two_set_d(uint64_t raw)
{
	return raw | PF_BIT(6);
}

const struct mmu_format mmu_fake_2w = {
	.name = "fake-2w",
	.page_shift = 12,
	.levels = 3,
	.level_bits = 11,
	.va_bits = 45,
	.cont_shift = {2, 0, 0},
	.leaf_levels = 0x3,
	.two_words = true,
	.late_d = true,
	.ad = PF_FEAT_HAF | PF_FEAT_HD,
	.newest = PF_FEAT_HAF | PF_FEAT_HD,
	.allowed = PF_FEAT_HAF | PF_FEAT_HD | BBM,
	.empty = 0,
	.decode = two_decode,
	.set_a = two_set_a,
	.set_d = two_set_d,
};
