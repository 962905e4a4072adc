/* SPDX-License-Identifier: MIT */
/*
 * Accesses by page, for a TLB model that takes words: pages get places as they come, and keep them until another
 * page of the same hash does, so that models find seats taken, left, and taken away.
 */
#ifndef TESTS_TLBMODEL_PLAYER_H
#define TESTS_TLBMODEL_PLAYER_H

#include "cli/tlbmodel.h"

/* As tlbmodel_new() and tlbmodel_free(); at most 8 at a time. */
struct tlb_model *player_new(const struct tlb_cfg *cfg, tlb_xlate_fn *xlate, void *ctx);
void player_free(struct tlb_model *m);
/* A run; flags: TLB_RUN_. Pages with bit 3 set are tagged. */
void player_run(
	struct tlb_model *m, uint64_t page, unsigned asid, unsigned flags, uint64_t accesses);

#endif
