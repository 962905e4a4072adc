/* SPDX-License-Identifier: MIT */
/*
 * Interval notifiers.
 *
 * subscriptions->invalidate_seq is even while no interval notifier is being told of anything, odd from the first start that meets
 * one until the last end; each odd number occurs once. `invalidate` leaves it with the notifier. So a notifier whose number
 * is the current odd one may still be read about wrongly, and read_begin waits; one whose number has changed since
 * read_begin has been invalidated since.
 */
#include "notify/internal.h"

int pf_interval_start(struct pf_mmu_notifier_range *range)
{
	struct pf_mmu_notifier_subscriptions *s = range->subscriptions;
	const bool blockable = range->flags & PF_MMU_NOTIFIER_RANGE_BLOCKABLE;
	const pf_va_t last = range->end - 1;
	struct pf_inode *n;
	uint64_t seq;

	pf_subs_lock(s);
	range->since = s->ids;
	s->active++;
	n = pf_itree_first(&s->tree, range->start, last);
	if (n)
		s->invalidate_seq |= 1;
	seq = s->invalidate_seq;
	pf_subs_unlock(s);
	/* Odd now if there is any: the tree stays as it is until our end. */
	for (; n; n = pf_itree_next(n, range->start, last)) {
		struct pf_mmu_interval_notifier *sub =
			PF_CONTAINER_OF(n, struct pf_mmu_interval_notifier, node);

		if (!sub->ops->invalidate(sub, range, seq) && !blockable) {
			pf_interval_end(s);
			return -PF_EAGAIN;
		}
	}
	return 0;
}

/* Locked, and the tree may change. */
static void apply_deferred(struct pf_mmu_notifier_subscriptions *s)
{
	struct pf_mmu_interval_notifier *sub;

	while ((sub = s->deferred)) {
		s->deferred = sub->deferred;
		sub->is_deferred = false;
		if (sub->in_tree)
			pf_itree_remove(&s->tree, &sub->node);
		else
			pf_itree_insert(&s->tree, &sub->node, sub->node.start, sub->node.last);
		sub->in_tree = !sub->in_tree;
	}
}

void pf_interval_end(struct pf_mmu_notifier_subscriptions *s)
{
	pf_subs_lock(s);
	if (!--s->active && (s->invalidate_seq & 1)) {
		apply_deferred(s);
		s->invalidate_seq++;
	}
	pf_subs_unlock(s);
}

/* Until what is being invalidated under that number has ended. */
static void wait_end(struct pf_mmu_notifier_subscriptions *s, uint64_t seq)
{
	for (;;) {
		bool over;

		pf_subs_lock(s);
		over = s->invalidate_seq != seq;
		pf_subs_unlock(s);
		if (over)
			return;
		pf_port_relax();
	}
}

static void defer(struct pf_mmu_notifier_subscriptions *s, struct pf_mmu_interval_notifier *sub)
{
	sub->deferred = s->deferred;
	sub->is_deferred = true;
	s->deferred = sub;
}

static void undefer(struct pf_mmu_notifier_subscriptions *s, struct pf_mmu_interval_notifier *sub)
{
	struct pf_mmu_interval_notifier **at = &s->deferred;

	while (*at != sub)
		at = &(*at)->deferred;
	*at = sub->deferred;
	sub->is_deferred = false;
}

/*
 * Ranges that have begun were not told to it. If there are any it gets their odd number, so that read_begin waits for
 * their end; else one that no exclusion will have again.
 */
void pf_mmu_interval_notifier_add(struct pf_mmu_notifier_subscriptions *s,
	struct pf_mmu_interval_notifier *sub, const struct pf_mmu_interval_notifier_ops *ops,
	pf_va_t start, pf_va_t last)
{
	*sub = (struct pf_mmu_interval_notifier){.ops = ops, .subscriptions = s};
	sub->node.start = start;
	sub->node.last = last;
	pf_subs_get(s);
	pf_subs_lock(s);
	if ((s->invalidate_seq & 1) && !PF_MUTANT("interval-insert-excluded")) {
		defer(s, sub);
	} else {
		if (s->active)
			s->invalidate_seq |= 1;
		pf_itree_insert(&s->tree, &sub->node, start, last);
		sub->in_tree = true;
	}
	pf_store_relaxed(&sub->invalidate_seq, s->active && !PF_MUTANT("interval-insert-ready")
						       ? s->invalidate_seq
						       : s->invalidate_seq - 1);
	pf_subs_unlock(s);
}

void pf_mmu_interval_notifier_remove(struct pf_mmu_interval_notifier *sub)
{
	struct pf_mmu_notifier_subscriptions *s = sub->subscriptions;
	uint64_t seq = 0;

	pf_subs_lock(s);
	if (!(s->invalidate_seq & 1) || (sub->in_tree && PF_MUTANT("interval-remove-excluded"))) {
		pf_itree_remove(&s->tree, &sub->node);
		sub->in_tree = false;
	} else if (sub->is_deferred) {
		/* It never came in. */
		undefer(s, sub);
	} else {
		defer(s, sub);
		seq = s->invalidate_seq;
	}
	pf_subs_unlock(s);
	if (seq)
		wait_end(s, seq);
	pf_mmu_notifier_subscriptions_put(s);
}

uint64_t pf_mmu_interval_read_begin(struct pf_mmu_interval_notifier *sub)
{
	struct pf_mmu_notifier_subscriptions *s = sub->subscriptions;
	bool invalidating;
	uint64_t seq;

	/*
	 * The lock orders us with start: who has started before has his odd number here, and if `invalidate` has not left
	 * it with the notifier yet, it will, which read_retry notices.
	 */
	pf_subs_lock(s);
	seq = pf_load_relaxed(&sub->invalidate_seq);
	invalidating = seq == s->invalidate_seq && !PF_MUTANT("interval-read-early");
	pf_subs_unlock(s);
	if (invalidating)
		wait_end(s, seq);
	return seq;
}
