/* SPDX-License-Identifier: MIT */
/*
 * Table formats as the walker sees them: one decoded entry, whatever its encoding. Levels count from
 * the last one (0) upwards, as in docs/FAKE.md; arm64's level n is 3 - n here.
 */
#ifndef MACHINE_MMU_H
#define MACHINE_MMU_H

#include "base/bits.h"
#include "base/types.h"
#include "port/port.h"

#define MMU_MAX_LEVELS 5

struct mmu_entry {
	bool valid;    /* hardware uses it (A aside) */
	bool table;    /* valid, points to a lower table */
	bool leaf;     /* valid, maps memory */
	bool empty;    /* nothing at all */
	bool inactive; /* not valid, but still names a frame for software (PROT_NONE) */
	bool cont;     /* contiguous encoding, of a leaf or an inactive entry */
	bool reserved; /* valid bit set in an encoding that hardware does not define */
	bool user, global;
	bool r, x;     /* x: by a program; r: by a program where `user` */
	bool wperm;    /* may be written, perhaps after hardware or software has set D */
	bool w;        /* a store goes through without touching the entry */
	bool dbm;      /* a store goes through after hardware has set D here */
	bool accessed; /* A */
	bool dirty;    /* shows D, in hardware's or in software's place */
	uint8_t level;
	uint8_t memtype; /* type, cacheability, shareability */
	uint64_t pa;     /* frame of this very slot, or the lower table */
	uint64_t hw;     /* what hardware requires equal in a block: all but frame, A, D, W */
	uint64_t sw;     /* software's bits, equal in a block when its lock is free */
};

struct mmu_format {
	const char *name;
	uint8_t page_shift, levels, level_bits;
	uint8_t va_bits;
	uint8_t cont_shift[MMU_MAX_LEVELS];
	uint8_t leaf_levels;
	bool two_words; /* two 32-bit words an entry, A and D in the low one */
	bool late_d; /* D may be set through a stale writable translation, into a live entry of the
			     same frame that no longer allows writes (x86 without CET) */
	bool arm_tlbi;    /* TLBI operands as arm64's; else PF_TLBI_FAKE */
	uint32_t ad;      /* PF_FEAT_HAF, PF_FEAT_HD its hardware may have */
	uint32_t newest;  /* features of its newest cores */
	uint32_t allowed; /* features it may be given */
	uint64_t empty;
	/* idx: slot in its table. features: what this hardware has. */
	void (*decode)(
		uint64_t raw, unsigned level, unsigned idx, uint32_t features, struct mmu_entry *e);
	/* What hardware writes. set_d of a leaf that it may write, or (late_d) was allowed to. */
	uint64_t (*set_a)(uint64_t raw);
	uint64_t (*set_d)(uint64_t raw);
};

extern const struct mmu_format mmu_arm64_4k, mmu_fake_inv, mmu_fake_nz, mmu_fake_2w;

/* NULL if the machine cannot decode it. */
const struct mmu_format *mmu_format(const char *name);

PF_INLINE unsigned mmu_level_shift(const struct mmu_format *f, unsigned level)
{
	return f->page_shift + level * f->level_bits;
}

PF_INLINE unsigned mmu_entries(const struct mmu_format *f)
{
	return 1u << f->level_bits;
}

PF_INLINE uint64_t mmu_table_bytes(const struct mmu_format *f)
{
	return UINT64_C(8) << f->level_bits;
}

PF_INLINE unsigned mmu_index(const struct mmu_format *f, uint64_t va, unsigned level)
{
	return (unsigned)(va >> mmu_level_shift(f, level)) & (mmu_entries(f) - 1);
}

#endif
