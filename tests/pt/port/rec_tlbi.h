/* SPDX-License-Identifier: MIT */
/*
 * TLB operations of the record, taken apart by what the Arm ARM and port/port.h say of their operands.
 */
#ifndef PT_REC_TLBI_H
#define PT_REC_TLBI_H

#include "base/bits.h"
#include "port/port.h"

struct tlbi {
	pf_va_t va;
	uint64_t pages; /* 0: all */
	int level;      /* of ours, whose leaves are surely forgotten; -1: all levels */
	bool tables;    /* walk caches too */
	bool local;
	bool any_asid;
	uint16_t asid;
};
struct tlbi tlbi_decode(const struct rec *r);
bool is_range_op(const struct rec *r);

#endif
