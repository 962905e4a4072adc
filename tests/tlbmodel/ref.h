/* SPDX-License-Identifier: MIT */
/*
 * The TLB model again, written the obvious way: recency lists that are searched from end to end,
 * one access at a time. Shares the configuration and nothing else with cli/tlbmodel.c.
 */
#ifndef TESTS_TLBMODEL_REF_H
#define TESTS_TLBMODEL_REF_H

#include "cli/tlbmodel.h"

struct ref_model;

struct ref_model *ref_new(const struct tlb_cfg *cfg, tlb_xlate_fn *xlate, void *ctx);
void ref_free(struct ref_model *m);
void ref_access(struct ref_model *m, uint64_t page, unsigned asid, enum tlb_access access);
void ref_drop(struct ref_model *m, unsigned asid, uint64_t page, uint64_t nr, bool tables);
void ref_drop_asid(struct ref_model *m, unsigned asid);
void ref_drop_all(struct ref_model *m);
const struct tlb_counters *ref_counters(const struct ref_model *m, enum tlb_side side);
uint64_t ref_dropped(const struct ref_model *m);

#endif
