/* SPDX-License-Identifier: MIT */
/*
 * Notifications of an address space: a load and a branch where nobody has subscribed.
 */
#ifndef PF_OPS_NOTIFY_H
#define PF_OPS_NOTIFY_H

#include "notify/notify.h"
#include "tlb/space.h"

/* Acquire: what subscribing has set up. */
PF_INLINE struct pf_mmu_notifier_subscriptions *pf_space_subscriptions(const struct pf_space *space)
{
	return pf_load_acquire(&space->notifier_subscriptions);
}

/* [start, end) is about to change. Ends with pf_notify_end(). No spinlock; may sleep. */
PF_INLINE void pf_notify_start(struct pf_mmu_notifier_range *range, const struct pf_space *space,
	enum pf_mmu_notifier_event event, pf_va_t start, pf_va_t end)
{
	pf_mmu_notifier_range_init(range, event, pf_space_subscriptions(space), start, end);
	pf_mmu_notifier_invalidate_range_start(range);
}

PF_INLINE void pf_notify_end(struct pf_mmu_notifier_range *range)
{
	pf_mmu_notifier_invalidate_range_end(range);
}

#endif
