/* SPDX-License-Identifier: MIT */
/*
 * A TLB operation, taken apart.
 */
#ifndef MACHINE_TLBI_H
#define MACHINE_TLBI_H

#include "mmu.h"

struct tlbi_op {
	const char
		*bad; /* why the hardware does not have it, or may ignore it; NULL if it is fine */
	uint64_t va, last; /* addresses, both included */
	uint64_t pages;    /* named; 0 for whole spaces */
	uint16_t asid;
	bool all;       /* every ASID, global entries too */
	bool whole;     /* one ASID, all addresses, no global entries */
	bool leaf_only; /* walk caches stay */
	bool local;     /* this CPU only */
	bool range;
	int hint; /* only leaves of this level (0 = last) need be dropped; -1 = none */
};

struct tlbi_op tlbi_decode(const struct mmu_format *f, uint32_t features, enum pf_tlbi op,
	uint64_t operand, uint64_t operand2);

/* port.c: tell whoever watches (machine_watch_tlbi). */
void machine_tlbi_issued(const struct tlbi_op *o);

#endif
