/* SPDX-License-Identifier: MIT */
/*
 * Small folios that become one, of as many pages as a leaf table maps.
 */
#ifndef PF_MM_COLLAPSE_H
#define PF_MM_COLLAPSE_H

#include "mm/mm.h"

/*
 * What khugepaged does with a range: of every leaf table that lies wholly in it and in one VMA, private and anonymous or of
 * shared memory without a file, for which transparent_hugepage allows folios of that size, what it maps becomes one folio, if
 * no more of it is empty, swapped out or shared than sys->thp.max_ptes_* say, and some of it was used lately (of shared
 * memory: if no more is empty or swapped out). Nothing is done about what cannot be had now: pages that somebody keeps or
 * locks, or that userfaultfd watches. 0; -PF_EINVAL: the range; -PF_ENOMEM: the tables before that one are
 * done, and pages may have come in from swap. Takes the mmap lock for reading, and for writing. While a table is copied a
 * walker finds migration entries, or nothing, in it; the old pages are flushed before they are copied, and no TLB holds
 * one when this returns.
 */
int pf_khugepaged(struct pf_mm *mm, pf_va_t addr, uint64_t len);

#endif
