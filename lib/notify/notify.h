/* SPDX-License-Identifier: MIT */
/*
 * MMU notifiers: who keeps translations of an address space of his own (a device, a hypervisor) is told before the
 * address space's are taken away or lose rights, and is asked whether he has used pages. Linux's names and rules.
 *
 * Whoever takes a translation, a write permission or D from entries calls start before, end after, each start with exactly one
 * end, also when it fails in between. From start's return until end no subscriber uses a translation of the range, and none can
 * make one; so memory that was mapped there may be freed any time after start, and what subscribers read of the page tables
 * after end is what they will find. Ranges of several threads overlap freely, and a thread's may nest.
 *
 * There are two kinds of subscribers. A classic one is told of everything. An interval notifier is told of what meets its
 * interval, and has the protocol below, which makes it simple to collect pages without any lock of the address space.
 *
 * This part knows no address space: one has a pointer to a struct pf_mmu_notifier_subscriptions, NULL as long as nobody has
 * subscribed, and hands it in (mm/notify.h subscribes). Then an operation costs a load and a branch.
 *
 * Locks: start and end may be called with any lock that may be slept under, and with no spinlock. Callbacks of them may sleep,
 * but for `flags` without PF_MMU_NOTIFIER_RANGE_BLOCKABLE; they are called with mmap locks, anon and i_mmap locks, folio locks
 * held, by who frees memory for others too: they take none of these, and do not wait for who does, or for memory. Callbacks that
 * ask for use are called under a table's lock, and do not sleep.
 */
#ifndef PF_NOTIFY_NOTIFY_H
#define PF_NOTIFY_NOTIFY_H

#include "base/atomic.h"
#include "base/err.h"
#include "base/itree.h"
#include "port/port.h"

/* Why, with Linux's values. A hint: who ignores one must know that it does not matter to him. */
enum pf_mmu_notifier_event {
	PF_MMU_NOTIFY_UNMAP,          /* munmap, mremap's old place */
	PF_MMU_NOTIFY_CLEAR,          /* entries go, or map something else; or lose D (MADV_FREE) */
	PF_MMU_NOTIFY_PROTECTION_VMA, /* other rights for a range: mprotect, uffd-wp, NUMA hints */
	PF_MMU_NOTIFY_PROTECTION_PAGE, /* entries lose W: fork, a file's page that is cleaned */
	PF_MMU_NOTIFY_SOFT_DIRTY,      /* clear_refs: W goes so that writes are noticed */
	PF_MMU_NOTIFY_RELEASE,         /* the address space ends */
	PF_MMU_NOTIFY_MIGRATE,         /* to a device's memory; `owner` is the device's */
	PF_MMU_NOTIFY_EXCLUSIVE,       /* a device, `owner`, gets a page to itself */
};

#define PF_MMU_NOTIFIER_RANGE_BLOCKABLE 1u

struct pf_mmu_notifier_subscriptions;

/* What is about to change: [start, end), whole pages. The caller's, from start to end. */
struct pf_mmu_notifier_range {
	struct pf_mmu_notifier_subscriptions *subscriptions; /* NULL: nobody is told */
	pf_va_t start, end;
	enum pf_mmu_notifier_event event;
	uint32_t flags;
	void *owner;    /* who does it, so that he can ignore what he knows; else NULL */
	uint64_t since; /* private: classic notifiers that came later are not told of the end */
};

/* ---- classic notifiers ---- */

struct pf_mmu_notifier;

/* Each may be NULL. */
struct pf_mmu_notifier_ops {
	/*
	 * 0; or, of a range that is not blockable, -PF_EAGAIN: it would have to sleep. Who has `end` never says that. Of a
	 * blockable range the answer is not looked at.
	 */
	int (*invalidate_range_start)(
		struct pf_mmu_notifier *sub, const struct pf_mmu_notifier_range *range);
	void (*invalidate_range_end)(
		struct pf_mmu_notifier *sub, const struct pf_mmu_notifier_range *range);
	/*
	 * Have pages of the range been used since A was last cleared? And clear that, or (test) do not. clear_flush: a
	 * translation that is used on must say so again. Under a table's lock.
	 */
	bool (*clear_flush_young)(struct pf_mmu_notifier *sub, pf_va_t start, pf_va_t end);
	bool (*clear_young)(struct pf_mmu_notifier *sub, pf_va_t start, pf_va_t end);
	bool (*test_young)(struct pf_mmu_notifier *sub, pf_va_t va);
	/*
	 * The last call, exactly one: the address space exits, and its memory is freed when this has returned; or by
	 * pf_mmu_notifier_unregister(). Nothing of the address space may be used any more.
	 */
	void (*release)(struct pf_mmu_notifier *sub);
};

/* The subscriber's memory, from registering until unregister has returned. All but `ops` is private. */
struct pf_mmu_notifier {
	const struct pf_mmu_notifier_ops *ops;
	struct pf_mmu_notifier_subscriptions *subscriptions;
	struct pf_mmu_notifier *next;
	uint64_t id;
	uint32_t busy; /* calls that are under way */
	bool released; /* no call begins any more */
};

/* ---- interval notifiers ---- */

struct pf_mmu_interval_notifier;

struct pf_mmu_interval_notifier_ops {
	/*
	 * Under the lock that also serialises the subscriber's making of translations: pf_mmu_interval_set_seq(sub, seq), and
	 * those of the range go. False: it would have to sleep, and the range is not blockable. Called for RELEASE with the
	 * whole address space. Not called at the end.
	 */
	bool (*invalidate)(struct pf_mmu_interval_notifier *sub,
		const struct pf_mmu_notifier_range *range, uint64_t seq);
};

/* The subscriber's memory, as above. All private. */
struct pf_mmu_interval_notifier {
	const struct pf_mmu_interval_notifier_ops *ops;
	struct pf_mmu_notifier_subscriptions *subscriptions;
	struct pf_inode node;
	uint64_t invalidate_seq; /* of the last invalidation of it; atomic */
	struct pf_mmu_interval_notifier *deferred;
	bool in_tree, is_deferred;
};

/* ---- subscribing, of what an address space offers (mm/notify.h) ---- */

/* Nobody yet, and one reference; NULL: no memory. */
struct pf_mmu_notifier_subscriptions *pf_mmu_notifier_subscriptions_alloc(void);
/* The last reference goes when the address space has gone and all have unregistered. */
void pf_mmu_notifier_subscriptions_put(struct pf_mmu_notifier_subscriptions *s);
/*
 * `sub` is told from now on; takes a reference. Who has begun before is the caller's to wait for: mm/notify.c does.
 */
void pf_mmu_notifier_add(struct pf_mmu_notifier_subscriptions *s, struct pf_mmu_notifier *sub,
	const struct pf_mmu_notifier_ops *ops);
/*
 * The same for [start, last], both inclusive. While ranges are being invalidated that somebody is told of, it is put off until their end; in
 * any case pf_mmu_interval_read_begin() waits for what has begun already.
 */
void pf_mmu_interval_notifier_add(struct pf_mmu_notifier_subscriptions *s,
	struct pf_mmu_interval_notifier *sub, const struct pf_mmu_interval_notifier_ops *ops,
	pf_va_t start, pf_va_t last);

/*
 * No call is under way when these return, and none comes; unregister calls release, if exit has not. They wait for calls
 * that are, and remove for ranges that are being invalidated: no lock is held that a callback or the address space's
 * operations want, and no callback calls them. The address space may have exited.
 */
void pf_mmu_notifier_unregister(struct pf_mmu_notifier *sub);
void pf_mmu_interval_notifier_remove(struct pf_mmu_interval_notifier *sub);

/* The address space ends: interval notifiers are told, everything classic is released, and no call of it is under way. Sleeps. */
void pf_mmu_notifier_release(struct pf_mmu_notifier_subscriptions *s);

/* ---- calling ---- */

/* Of an address space with these subscriptions (an acquire load of its pointer). An empty range is told to nobody. */
PF_INLINE void pf_mmu_notifier_range_init_owner(struct pf_mmu_notifier_range *range,
	enum pf_mmu_notifier_event event, struct pf_mmu_notifier_subscriptions *s, pf_va_t start,
	pf_va_t end, void *owner)
{
	range->subscriptions = s;
	if (PF_LIKELY(!s))
		return;
	*range = (struct pf_mmu_notifier_range){
		.subscriptions = start < end ? s : NULL,
		.start = start,
		.end = end,
		.event = event,
		.owner = owner,
	};
}

PF_INLINE void pf_mmu_notifier_range_init(struct pf_mmu_notifier_range *range,
	enum pf_mmu_notifier_event event, struct pf_mmu_notifier_subscriptions *s, pf_va_t start,
	pf_va_t end)
{
	pf_mmu_notifier_range_init_owner(range, event, s, start, end, NULL);
}

/* Not for others. */
int pf_mmu_notifier_start(struct pf_mmu_notifier_range *range);
void pf_mmu_notifier_end(struct pf_mmu_notifier_range *range);

/* May sleep. */
PF_INLINE void pf_mmu_notifier_invalidate_range_start(struct pf_mmu_notifier_range *range)
{
	if (PF_LIKELY(!range->subscriptions))
		return;
	range->flags |= PF_MMU_NOTIFIER_RANGE_BLOCKABLE;
	pf_mmu_notifier_start(range);
}

/*
 * Does not sleep, and may fail: -PF_EAGAIN. Then there is no end to be called; classic notifiers that have an end have got
 * it, interval notifiers are as before but for what they tore down.
 */
PF_INLINE int pf_mmu_notifier_invalidate_range_start_nonblock(struct pf_mmu_notifier_range *range)
{
	if (PF_LIKELY(!range->subscriptions))
		return 0;
	range->flags &= ~PF_MMU_NOTIFIER_RANGE_BLOCKABLE;
	return pf_mmu_notifier_start(range);
}

/* As blockable as the start was. */
PF_INLINE void pf_mmu_notifier_invalidate_range_end(struct pf_mmu_notifier_range *range)
{
	if (PF_UNLIKELY(range->subscriptions))
		pf_mmu_notifier_end(range);
}

/* What classic notifiers say, together: all are asked, but for test, where one is enough. s may be NULL. */
bool pf_mmu_notifier_clear_flush_young(
	struct pf_mmu_notifier_subscriptions *s, pf_va_t start, pf_va_t end);
bool pf_mmu_notifier_clear_young(
	struct pf_mmu_notifier_subscriptions *s, pf_va_t start, pf_va_t end);
bool pf_mmu_notifier_test_young(struct pf_mmu_notifier_subscriptions *s, pf_va_t va);

/* ---- collecting pages under an interval notifier ---- */

/*
 * seq = read_begin(sub); look at the page tables, with the locks that this needs; then, under the subscriber's own lock, if not
 * read_retry(sub, seq), make translations of what was seen. Whatever invalidation begins after read_begin either makes read_retry
 * true, or waits in `invalidate` for that lock, and finds the translations.
 *
 * read_begin waits while the interval is being invalidated: no lock is held that an operation of the address space wants.
 */
uint64_t pf_mmu_interval_read_begin(struct pf_mmu_interval_notifier *sub);

/* In `invalidate` only, with the seq that it got, under the subscriber's lock. */
PF_INLINE void pf_mmu_interval_set_seq(struct pf_mmu_interval_notifier *sub, uint64_t seq)
{
	pf_store_relaxed(&sub->invalidate_seq, seq);
}

/* Under the subscriber's lock. */
PF_INLINE bool pf_mmu_interval_read_retry(const struct pf_mmu_interval_notifier *sub, uint64_t seq)
{
	return pf_load_relaxed(&sub->invalidate_seq) != seq;
}

/* Without it: true means that there is no point in going on; false means nothing. */
PF_INLINE bool pf_mmu_interval_check_retry(const struct pf_mmu_interval_notifier *sub, uint64_t seq)
{
	return pf_load_relaxed(&sub->invalidate_seq) != seq;
}

#endif
