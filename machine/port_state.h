/* SPDX-License-Identifier: MIT */
/*
 * What machine/ shares with its port beyond pf_port_impl.h; the same in both builds.
 */
#ifndef MACHINE_PORT_STATE_H
#define MACHINE_PORT_STATE_H

#include "mmu.h"

extern const struct mmu_format *machine_format;
extern uint32_t machine_features_on;
extern uint64_t machine_memory;

/* Small metadata that the library holds. */
uint64_t machine_meta_bytes(void);
/* The library's callback, if the library is linked at all. */
void machine_rcu_run(struct pf_rcu_head *h);
void machine_measure_start(void);

#endif
