/* SPDX-License-Identifier: MIT */
/*
 * Memory that lockless walkers may still look at, and its end.
 */
#ifndef PF_PT_RCU_H
#define PF_PT_RCU_H

#include "port/port.h"

/*
 * pf_port_meta_free(p, bytes), when every walker that began before has ended. What p points to begins with a struct pf_rcu_head, which no
 * walker reads. Called with no spinlock, outside of read sections; no allocation. Others than walkers may be told of it no more.
 */
void pf_meta_free_rcu(void *p, size_t bytes);

#endif
