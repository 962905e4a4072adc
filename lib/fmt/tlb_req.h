/* SPDX-License-Identifier: MIT */
#ifndef PF_FMT_TLB_REQ_H
#define PF_FMT_TLB_REQ_H

#include "base/types.h"

/* What is to be forgotten by TLBs. */
struct pf_tlb_req {
	pf_va_t va;
	uint64_t nr;     /* number of strides, starting at va; overflow-safe, see base/types.h */
	uint8_t level;   /* level of the leaves that changed: stride is one entry of that level */
	bool hint;       /* every changed leaf was of that level, so a level hint may be encoded */
	bool tables;     /* table entries changed too: walk caches must forget them */
	bool local;      /* this CPU only */
	bool whole_asid; /* va, nr and level do not matter */
	uint16_t asid;
	bool global; /* kernel mappings: all ASIDs */
};

#endif
