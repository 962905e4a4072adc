/* SPDX-License-Identifier: MIT */
/*
 * What the two kinds of subscribers of an address space share. Private to lib/notify.
 */
#ifndef PF_NOTIFY_INTERNAL_H
#define PF_NOTIFY_INTERNAL_H

#include "notify/notify.h"

struct pf_mmu_notifier_subscriptions {
	struct pf_spinlock lock; /* everything here, but as noted */
	uint32_t refs;           /* atomic */
	struct pf_mmu_notifier *list;
	uint64_t ids; /* classic notifiers that there ever were */
	/*
	 * Odd: a range is being invalidated that an interval notifier was told of. Then the tree does not change, so that it
	 * can be walked without the lock; who would change it is in `deferred`, and the last end does it.
	 */
	uint64_t invalidate_seq;
	uint64_t active; /* ranges between start and end */
	struct pf_itree tree;
	struct pf_mmu_interval_notifier *deferred;
};

PF_INLINE void pf_subs_lock(struct pf_mmu_notifier_subscriptions *s)
{
	pf_port_spin_lock(&s->lock, PF_LOCK_NOTIFY, 0);
}

PF_INLINE void pf_subs_unlock(struct pf_mmu_notifier_subscriptions *s)
{
	pf_port_spin_unlock(&s->lock, PF_LOCK_NOTIFY, 0);
}

PF_INLINE void pf_subs_get(struct pf_mmu_notifier_subscriptions *s)
{
	pf_add_relaxed(&s->refs, 1);
}

/* The part of start that interval notifiers have. 0; -PF_EAGAIN: undone. Sets range->since, for the other part. */
int pf_interval_start(struct pf_mmu_notifier_range *range);
void pf_interval_end(struct pf_mmu_notifier_subscriptions *s);

#endif
