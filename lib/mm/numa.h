/* SPDX-License-Identifier: MIT */
/*
 * NUMA hints.
 */
#ifndef PF_MM_NUMA_H
#define PF_MM_NUMA_H

#include "mm/mm.h"

/*
 * Make the next use of each page of [addr, addr + len) fault, as Linux's change_prot_numa: page aligned; holes, and memory and
 * pages that are not hinted, are skipped. 0; -PF_EINVAL: the range. Flushed on return. Takes the mmap lock for reading: a
 * fault may take a hint back at any time. Of several nodes a fault moves the page to the one of its CPU (pf_phys.local_node), if the memory has no
 * policy, or one with PF_MPOL_F_NUMA_BALANCING that has that node, and the page can go; other memory gets no hints.
 */
int pf_numa_hint(struct pf_mm *mm, pf_va_t addr, uint64_t len);

#endif
