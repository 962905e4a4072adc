/* SPDX-License-Identifier: MIT */
/*
 * Classic notifiers; and start and end of both kinds.
 */
#include "notify/internal.h"

struct pf_mmu_notifier_subscriptions *pf_mmu_notifier_subscriptions_alloc(void)
{
	struct pf_mmu_notifier_subscriptions *s = pf_port_meta_alloc(sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct pf_mmu_notifier_subscriptions){.refs = 1, .invalidate_seq = 2};
	pf_port_spin_init(&s->lock, PF_LOCK_NOTIFY, 0);
	return s;
}

void pf_mmu_notifier_subscriptions_put(struct pf_mmu_notifier_subscriptions *s)
{
	if (s && !pf_sub_return(&s->refs, 1))
		pf_port_meta_free(s, sizeof(*s));
}

/*
 * The list is walked without the lock, for callbacks may sleep: the notifier that is called is busy, and stays in the list
 * until it is not. The next one after `sub` (NULL: the first) that was there when `since` were, and is not released.
 */
static struct pf_mmu_notifier *next(
	struct pf_mmu_notifier_subscriptions *s, struct pf_mmu_notifier *sub, uint64_t since)
{
	struct pf_mmu_notifier *n;

	pf_subs_lock(s);
	n = sub ? sub->next : s->list;
	if (sub)
		sub->busy--;
	while (n && (n->released || n->id >= since))
		n = n->next;
	if (n)
		n->busy++;
	pf_subs_unlock(s);
	return n;
}

static int start_classic(const struct pf_mmu_notifier_range *range)
{
	struct pf_mmu_notifier_subscriptions *s = range->subscriptions;
	struct pf_mmu_notifier *sub = NULL;
	int err = 0;

	/* All, also behind one that fails: those with an end are told of it then, and it shall not be their only call. */
	while ((sub = next(s, sub, range->since)))
		if (sub->ops->invalidate_range_start &&
			sub->ops->invalidate_range_start(sub, range))
			err = -PF_EAGAIN;
	return err;
}

static void end_classic(const struct pf_mmu_notifier_range *range)
{
	struct pf_mmu_notifier_subscriptions *s = range->subscriptions;
	struct pf_mmu_notifier *sub = NULL;

	while ((sub = next(s, sub, range->since)))
		if (sub->ops->invalidate_range_end)
			sub->ops->invalidate_range_end(sub, range);
}

int pf_mmu_notifier_start(struct pf_mmu_notifier_range *range)
{
	int err = pf_interval_start(range);

	if (err)
		return err;
	err = start_classic(range);
	/* A subscriber that must not fail and does is told of the end as the others are. */
	if (!err || (range->flags & PF_MMU_NOTIFIER_RANGE_BLOCKABLE))
		return 0;
	if (!PF_MUTANT("notify-no-unwind")) {
		end_classic(range);
		pf_interval_end(range->subscriptions);
	}
	return err;
}

void pf_mmu_notifier_end(struct pf_mmu_notifier_range *range)
{
	end_classic(range);
	pf_interval_end(range->subscriptions);
}

/* ---- aging ---- */

bool pf_mmu_notifier_clear_flush_young(
	struct pf_mmu_notifier_subscriptions *s, pf_va_t start, pf_va_t end)
{
	struct pf_mmu_notifier *sub = NULL;
	bool young = false;

	while (s && (sub = next(s, sub, UINT64_MAX)))
		if (sub->ops->clear_flush_young)
			young |= sub->ops->clear_flush_young(sub, start, end);
	return young;
}

bool pf_mmu_notifier_clear_young(
	struct pf_mmu_notifier_subscriptions *s, pf_va_t start, pf_va_t end)
{
	struct pf_mmu_notifier *sub = NULL;
	bool young = false;

	while (s && (sub = next(s, sub, UINT64_MAX)))
		if (sub->ops->clear_young)
			young |= sub->ops->clear_young(sub, start, end);
	return young;
}

bool pf_mmu_notifier_test_young(struct pf_mmu_notifier_subscriptions *s, pf_va_t va)
{
	struct pf_mmu_notifier *sub = NULL;
	bool young = false;

	while (s && (sub = next(s, sub, UINT64_MAX)))
		if (!young && sub->ops->test_young)
			young = sub->ops->test_young(sub, va);
	return young;
}

/* ---- life ---- */

void pf_mmu_notifier_add(struct pf_mmu_notifier_subscriptions *s, struct pf_mmu_notifier *sub,
	const struct pf_mmu_notifier_ops *ops)
{
	*sub = (struct pf_mmu_notifier){.ops = ops, .subscriptions = s};
	pf_subs_get(s);
	pf_subs_lock(s);
	sub->id = s->ids++;
	sub->next = s->list;
	s->list = sub;
	pf_subs_unlock(s);
}

/* Locked: no call of it is under way, and it is locked again. */
static void wait_idle(struct pf_mmu_notifier_subscriptions *s, const struct pf_mmu_notifier *sub)
{
	while (sub->busy) {
		pf_subs_unlock(s);
		pf_port_relax();
		pf_subs_lock(s);
	}
}

/* Locked. Whoever comes first, exit or unregister, makes the call; who comes second waits for it. */
static void release(struct pf_mmu_notifier_subscriptions *s, struct pf_mmu_notifier *sub)
{
	if (sub->released)
		return;
	sub->released = true;
	sub->busy++;
	pf_subs_unlock(s);
	if (sub->ops->release)
		sub->ops->release(sub);
	pf_subs_lock(s);
	sub->busy--;
}

void pf_mmu_notifier_unregister(struct pf_mmu_notifier *sub)
{
	struct pf_mmu_notifier_subscriptions *s = sub->subscriptions;
	struct pf_mmu_notifier **at = &s->list;

	pf_subs_lock(s);
	release(s, sub);
	if (!PF_MUTANT("notify-unregister-early"))
		wait_idle(s, sub);
	for (at = &s->list; *at != sub; at = &(*at)->next)
		;
	*at = sub->next;
	pf_subs_unlock(s);
	pf_mmu_notifier_subscriptions_put(s);
}

/* Locked. One that exit still has to do with, or NULL. */
static struct pf_mmu_notifier *alive(const struct pf_mmu_notifier_subscriptions *s)
{
	struct pf_mmu_notifier *sub = s->list;

	while (sub && sub->released && !sub->busy)
		sub = sub->next;
	return sub;
}

void pf_mmu_notifier_release(struct pf_mmu_notifier_subscriptions *s)
{
	struct pf_mmu_notifier_range range = {
		.subscriptions = s,
		.end = UINT64_MAX,
		.event = PF_MMU_NOTIFY_RELEASE,
		.flags = PF_MMU_NOTIFIER_RANGE_BLOCKABLE,
	};
	struct pf_mmu_notifier *sub;

	pf_interval_start(&range);
	pf_interval_end(s);
	pf_subs_lock(s);
	while ((sub = alive(s))) {
		if (!sub->released) {
			release(s, sub);
			continue;
		}
		/* It may be gone when it is looked at again: from the beginning. */
		pf_subs_unlock(s);
		pf_port_relax();
		pf_subs_lock(s);
	}
	pf_subs_unlock(s);
}
