/* SPDX-License-Identifier: MIT */
/*
 * Subscribing to an address space's notifications (notify/notify.h: what is told, to whom, and how one unsubscribes).
 */
#ifndef PF_MM_NOTIFY_H
#define PF_MM_NOTIFY_H

#include "mm/mm.h"
#include "notify/notify.h"

/*
 * `sub`, the caller's memory until pf_mmu_notifier_unregister(), is told of all that begins from now on; what has begun before
 * has ended on return. 0, or -PF_ENOMEM. Takes the mmap lock for writing, and, one after the other, the locks by which the
 * address space's pages are found.
 */
int pf_mmu_notifier_register(
	struct pf_mmu_notifier *sub, struct pf_mm *mm, const struct pf_mmu_notifier_ops *ops);

/*
 * The same for `len` bytes from `start`, whether something is mapped there or not: until pf_mmu_interval_notifier_remove().
 * -PF_EOVERFLOW: an empty range, or one that wraps. Takes the same locks the first time that somebody subscribes.
 */
int pf_mmu_interval_notifier_insert(struct pf_mmu_interval_notifier *sub, struct pf_mm *mm,
	pf_va_t start, uint64_t len, const struct pf_mmu_interval_notifier_ops *ops);

#endif
