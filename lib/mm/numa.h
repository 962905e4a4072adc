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
 * fault may take a hint back at any time.
 */
int pf_numa_hint(struct pf_mm *mm, pf_va_t addr, uint64_t len);

#endif
