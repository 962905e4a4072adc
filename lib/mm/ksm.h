/* SPDX-License-Identifier: MIT */
/*
 * Pages with the same contents that become one.
 *
 * A page that KSM has made one of several is mapped read-only and is nobody's alone: a write, and a pin for reading, get a copy.
 * It stays KSM's until its last mapping is gone. What maps it is found by its folio as any page's mappings are, by places that
 * are kept for that (ksm_node.h): it is aged, moves, may fail, and goes to swap. What comes back is a page like others
 * (mm/swap.c). Which pages to try is for the embedder to know; there is no tree of them.
 */
#ifndef PF_MM_KSM_H
#define PF_MM_KSM_H

#include "mm/mm.h"

/*
 * If the pages at `va` of mm and at `other_va` of other have the same contents, map one page at both: the one that is KSM's
 * already, else the first. Large folios that they lie in are split. 0, also if they are one page already; -PF_EINVAL: no
 * page of private memory is there, or its VMA is not MADV_MERGEABLE; -PF_EAGAIN: they differ, or somebody else is at one
 * of them, or changes one of the address spaces; -PF_EBUSY: somebody keeps one of them, or it is in swap, too; -PF_ENOMEM:
 * nothing has changed. On another error each may have become read-only, and not exclusive: its next write finds out. Takes the
 * mmap locks for reading, one after the other. A walker finds each entry empty for a moment; both are flushed before the pages
 * are compared, and again, the second, before its page is let go.
 */
int pf_ksm_merge(struct pf_mm *mm, pf_va_t va, struct pf_mm *other, pf_va_t other_va);

/*
 * Give back what is kept for KSM's pages that are gone, and for memory that nobody has any more. Each merge does a little of
 * that, so it need never be called; it is for who wants all of it now. Any lock may be held but anon locks and spinlocks;
 * looks at every page of KSM's.
 */
void pf_ksm_prune(struct pf_system *sys);

#endif
