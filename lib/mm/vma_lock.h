/* SPDX-License-Identifier: MIT */
/*
 * Locks of single VMAs, so that faults in different VMAs share no lock (Linux: per-VMA locks).
 *
 * A fault has its VMA's lock for reading, and no mmap lock. Who changes a VMA, or what a fault in it relies on, has the mmap lock for writing and, before
 * the first change, pf_vma_start_write(): from then until the mmap lock is released nobody gets the VMA's lock.
 *
 *   who changes                                who faults
 *   1 VMA lock for writing: no fault is left   1 RCU: the VMA is looked up
 *   2 VMA's number = the mm's                  2 the VMA's lock, tried
 *   3 VMA lock released                        3 the mm's number, acquire. The VMA's is the same? It is being changed
 *   4 changes                                  4 in the tree, and at the address? Else it was another's
 *   5 the mm's number + 1, release             5 RCU ends; the lock keeps the VMA, and all of it that 4 would change
 *
 * Of 1 to 3 and 2 one comes first. The fault's: the other waits for it. The other's: 2 sees its number, and 3 the mm's, which is not older. Are they the
 * same, changes may be under way, and the fault takes the mmap lock. Are they not, 5 was seen and so was every change: among them
 * that the VMA is out of the tree. Numbers of 64 bits do not come again.
 */
#ifndef PF_MM_VMA_LOCK_H
#define PF_MM_VMA_LOCK_H

#include "mm/vma.h"

/*
 * Nobody faults in the VMA by its own lock any more, until the mmap lock, which the caller has for writing, is released. May sleep; takes
 * PF_LOCK_VMA, so no lock inside it is held. Asked again it costs a look, and so does a VMA that is in no tree yet.
 */
void pf_vma_start_write(struct pf_vma *vma);
/* In no VMA of the address space. */
void pf_vma_start_write_all(struct pf_mm *mm);

/* The VMA comes into the tree, not to be faulted in yet; or leaves it, after pf_vma_start_write(), and its memory is given up. mmap lock for writing. */
void pf_vma_attach(struct pf_mm *mm, struct pf_vma *vma);
void pf_vma_detach(struct pf_vma *vma);

/*
 * The VMA that has va, with its lock for reading until pf_vma_end_read(). NULL: there is none, or somebody changes it or another, or
 * wants to: the mmap lock tells. Never waits.
 */
struct pf_vma *pf_lock_vma_under_rcu(struct pf_mm *mm, pf_va_t va);
/* Gives the lock up, as an RCU reader: the VMA may be freed at once. */
void pf_vma_end_read(struct pf_vma *vma);

#endif
