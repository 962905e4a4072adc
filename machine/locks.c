/* SPDX-License-Identifier: MIT */
/*
 * Locks and RCU as the judge sees them: who holds what (rules L1, L2), what acquiring one orders
 * (storebuf.c), when a table's readers are gone, and who is inside a lazy-MMU section (S1).
 */
#include "judge.h"

#if PF_JUDGE
#include <stdio.h>
#include <stdlib.h>

#define NHASH 4096

static struct mj_lock *hash[NHASH];

struct rcu_call {
	struct pf_rcu_head *head;
	uint64_t seq;
};
static struct rcu_call *calls;
static unsigned ncalls, cap_calls;
static int draining; /* the CPU that runs callbacks, from 1 on; 0: none */

/*
 * Before an unlock. It is a step for who takes the lock; for who reads entries without, if it shows what was stored plainly; and
 * callbacks of RCU may follow.
 */
static void unlock_point(uint64_t object, bool changes)
{
	const bool shows = mj_hides_stores();

	if (shows || ncalls)
		mj_point();
	else
		mj_point_on(object, changes);
	if (shows)
		mj_did(MJ_OBJ_MMU, true);
}

static struct mj_lock **bucket(const void *addr)
{
	return &hash[((uintptr_t)addr >> 2) * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}

static struct mj_lock *find(const void *addr, int cls, uint64_t id)
{
	struct mj_lock *l;

	for (l = *bucket(addr); l; l = l->next)
		if (l->addr == addr)
			break;
	if (!l) {
		l = calloc(1, sizeof(*l));
		*l = (struct mj_lock){
			.addr = addr, .next = *bucket(addr), .owner = -1, .cls = cls, .id = id};
		*bucket(addr) = l;
	}
	return l;
}

static void hold(struct mj_lock *l)
{
	struct mj_cpu *c = mj_this();

	if (c->nheld == c->cap_held) {
		c->cap_held = c->cap_held ? c->cap_held * 2 : 8;
		c->held = realloc(c->held, c->cap_held * sizeof(*c->held));
	}
	c->held[c->nheld++] = l;
	mj_did((uintptr_t)l->addr, l->owner >= 0);
	mj_acquire(l->vc);
}

static bool unhold(struct mj_lock *l)
{
	struct mj_cpu *c = mj_this();

	for (unsigned i = c->nheld; i-- > 0;)
		if (c->held[i] == l) {
			c->held[i] = c->held[--c->nheld];
			mj_did((uintptr_t)l->addr, true);
			return true;
		}
	return false;
}

void machine_ev_spin_init(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	struct mj_lock *k = find(l, c, id);

	if (k->owner >= 0)
		mj_violate(MJ_L2, 0, "%s lock %llx is initialised while cpu %d holds it",
			pf_lock_class_name(c), (unsigned long long)id, k->owner);
	k->cls = c;
	k->id = id;
	k->owner = -1;
	l->word = 0;
}

/* Another CPU's lock: with a scheduler wait, without one nobody will ever release it. */
static void wait_for(struct mj_lock *l, bool (*free)(struct mj_lock *), enum pf_lock_class c)
{
	while (!free(l)) {
		if (mj.point && l->owner != (int)mj.cpu) {
			mj.wanted = l->addr;
			mj.point(mj.point_ctx, true);
			continue;
		}
		mj_violate(MJ_L2, 0, "%s lock %llx is wanted while cpu %d holds it",
			pf_lock_class_name(c), (unsigned long long)l->id, l->owner);
		l->owner = -1;
		l->readers = 0;
	}
}

static bool spin_free(struct mj_lock *l)
{
	return l->owner < 0;
}

bool machine_ev_spin_lock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id, bool wait)
{
	struct mj_lock *k;

	mj_point_on((uintptr_t)l, true);
	k = find(l, c, id);
	if (!wait && k->owner >= 0) {
		mj_did((uintptr_t)l, false);
		return false;
	}
	wait_for(k, spin_free, c);
	k->cls = c;
	k->id = id;
	k->owner = (int)mj.cpu;
	l->word = 1;
	mj_this()->spins++;
	hold(k);
	mj_log("lock class=%s id=%llx", pf_lock_class_name(c), (unsigned long long)id);
	return true;
}

void machine_ev_spin_unlock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	struct mj_lock *k = find(l, c, id);

	unlock_point((uintptr_t)l, true);
	if (k->owner != (int)mj.cpu || !unhold(k)) {
		mj_violate(MJ_L2, 0, "%s lock %llx is released by cpu %u, held by %d",
			pf_lock_class_name(c), (unsigned long long)id, mj.cpu, k->owner);
		return;
	}
	if (k->id != id || k->cls != (int)c)
		mj_violate(MJ_L2, 0, "%s lock %llx is released as %s lock %llx",
			pf_lock_class_name(k->cls), (unsigned long long)k->id,
			pf_lock_class_name(c), (unsigned long long)id);
	if (c == PF_LOCK_TABLE && mj_table_at(k->id))
		mj_blocks_settle(mj_table_at(k->id));
	mj_release(k->vc);
	k->owner = -1;
	l->word = 0;
	mj_this()->spins--;
	mj_log("unlock class=%s id=%llx", pf_lock_class_name(c), (unsigned long long)id);
	mj_rcu_poll();
}

void machine_ev_rw_init(struct pf_rwlock *l, enum pf_lock_class c)
{
	struct mj_lock *k = find(l, c, 0);

	if (k->owner >= 0 || k->readers)
		mj_violate(
			MJ_L2, 0, "%s lock is initialised while it is held", pf_lock_class_name(c));
	k->owner = -1;
	k->readers = 0;
	k->freed = false;
	l->word[0] = l->word[1] = 0;
}

/* Nobody may want a lock that is there no more. Only small objects have locks and are freed. */
void mj_locks_freed(const void *p, size_t bytes)
{
	const char *at = p;

	for (size_t i = 0; i < bytes && bytes <= 512; i += sizeof(uint32_t))
		for (struct mj_lock *l = *bucket(at + i); l; l = l->next)
			if (l->addr == at + i)
				l->freed = true;
}

static bool rw_free(struct mj_lock *l)
{
	return l->owner < 0 && !l->readers;
}

bool machine_ev_rw_lock(struct pf_rwlock *l, enum pf_lock_class c, bool write, bool wait)
{
	struct mj_lock *k;

	mj_point_on((uintptr_t)l, write);
	k = find(l, c, 0);
	if (k->freed) {
		mj_violate(MJ_L2, 0, "%s lock is wanted by cpu %u in memory that was freed",
			pf_lock_class_name(c), mj.cpu);
		/* Whoever waits gets it, as after any rule that is broken; but the memory is nobody's to write to. */
		if (!wait) {
			mj_did((uintptr_t)l, false);
			return false;
		}
	}
	if (wait)
		mj_may_sleep("a lock of a kind that is waited for");
	else if (!(write ? rw_free : spin_free)(k)) {
		mj_did((uintptr_t)l, false);
		return false;
	}
	wait_for(k, write ? rw_free : spin_free, c);
	if (write)
		k->owner = (int)mj.cpu;
	else
		k->readers++;
	l->word[0] = write ? UINT32_MAX : l->word[0] + 1;
	hold(k);
	mj_log("%s class=%s", write ? "wlock" : "rlock", pf_lock_class_name(c));
	return true;
}

/* Waiting for another CPU, which without a scheduler never comes: then it is a deadlock. */
void machine_ev_relax(void)
{
	if (!mj.point) {
		fprintf(stderr, "cpu %u waits for what nobody will do\n", mj.cpu);
		abort();
	}
	mj.wanted = NULL;
	mj.point(mj.point_ctx, true);
}

void machine_ev_rw_unlock(struct pf_rwlock *l, enum pf_lock_class c, bool write)
{
	struct mj_lock *k = find(l, c, 0);

	unlock_point((uintptr_t)l, true);
	if ((write ? k->owner != (int)mj.cpu : !k->readers) || !unhold(k)) {
		mj_violate(MJ_L2, 0, "%s lock is released by cpu %u, which does not hold it",
			pf_lock_class_name(c), mj.cpu);
		return;
	}
	mj_release(k->vc);
	if (write)
		k->owner = -1;
	else
		k->readers--;
	l->word[0] = write ? 0 : l->word[0] - 1;
	mj_log("%s class=%s", write ? "wunlock" : "runlock", pf_lock_class_name(c));
	mj_rcu_poll();
}

bool mj_holds_table(unsigned cpu, uint64_t table_pa)
{
	const struct mj_cpu *c = &mj.cpus[cpu];

	for (unsigned i = 0; i < c->nheld; i++)
		if (c->held[i]->cls == PF_LOCK_TABLE && c->held[i]->id == table_pa)
			return true;
	return false;
}

/* ---- lazy-MMU sections ---- */

/* RCU callbacks run as an interrupt would, between any two steps of a thread. */
struct pf_lazy_mmu *machine_lazy_mmu(void)
{
	return mj_rcu_running() ? NULL : &mj_this()->lazy;
}

void mj_may_sleep(const char *what)
{
	const struct pf_lazy_mmu *lazy = machine_lazy_mmu();

	if (lazy && lazy->enabled && !lazy->paused)
		mj_violate(MJ_S1, 0, "%s may sleep, inside a lazy-MMU section", what);
}

/* With a scheduler other CPUs may be in the middle of something; then only this one is asked. */
void mj_locks_quiescent(void)
{
	for (unsigned i = 0; i < mj.ncpus; i++) {
		const struct mj_cpu *c = &mj.cpus[i];

		if (mj.point && i != mj.cpu)
			continue;
		for (unsigned j = 0; j < c->nheld; j++)
			if (c->held[j]->cls >= PF_LOCK_TABLE)
				mj_violate(MJ_L2, 0, "%s lock %llx is still held by cpu %u",
					pf_lock_class_name(c->held[j]->cls),
					(unsigned long long)c->held[j]->id, i);
		if (c->rcu_nest)
			mj_violate(MJ_L2, 0, "cpu %u is still a lockless reader", i);
		if (c->lazy.enabled || c->lazy.paused || c->lazy.owed)
			mj_violate(MJ_S1, 0, "cpu %u is still inside a lazy-MMU section%s", i,
				c->lazy.paused ? ", paused" : "");
	}
}

/* ---- RCU ---- */

void machine_ev_rcu_lock(void)
{
	mj_point_on(MJ_OBJ_RCU, false);
	mj_did(MJ_OBJ_RCU, false);
	if (!mj_this()->rcu_nest++)
		mj_this()->rcu_start = mj.seq;
	mj_log("rcu-lock");
}

void machine_ev_rcu_unlock(void)
{
	unlock_point(MJ_OBJ_RCU, false);
	mj_did(MJ_OBJ_RCU, false);
	if (!mj_this()->rcu_nest)
		mj_violate(MJ_L2, 0, "a lockless reader ends that never began");
	else
		mj_this()->rcu_nest--;
	mj_log("rcu-unlock");
	mj_rcu_poll();
}

void machine_ev_call_rcu(struct pf_rcu_head *h)
{
	mj_point();
	mj_did(MJ_OBJ_RCU, true);
	if (ncalls == cap_calls) {
		cap_calls = cap_calls ? cap_calls * 2 : 16;
		calls = realloc(calls, cap_calls * sizeof(*calls));
	}
	calls[ncalls++] = (struct rcu_call){h, mj.seq};
	mj_log("call-rcu");
}

bool mj_reader_since(uint64_t seq)
{
	for (unsigned i = 0; i < mj.ncpus; i++)
		if (mj.cpus[i].rcu_nest && mj.cpus[i].rcu_start <= seq)
			return true;
	return false;
}

/* Run the callbacks whose readers are gone; now, or by chance later. */
static void run_calls(bool all)
{
	unsigned kept = 0;

	/* The sooner memory is given back, the more can go wrong: nothing else need be explored. */
	if (draining || !ncalls || mj_this()->spins || (!all && !mj.explorer && mj_chance(4)))
		return;
	mj_did(MJ_OBJ_RCU, true);
	draining = (int)mj.cpu + 1;
	for (unsigned i = 0, n = ncalls; i < n; i++) {
		struct rcu_call c = calls[i];

		if (mj_reader_since(c.seq)) {
			calls[kept++] = c;
			continue;
		}
		mj_grace_period();
		machine_rcu_run(c.head);
		n = ncalls;
	}
	ncalls = kept;
	draining = 0;
}

void mj_rcu_poll(void)
{
	run_calls(false);
}

bool mj_rcu_running(void)
{
	return draining == (int)mj.cpu + 1;
}

void mj_rcu_flush(void)
{
	run_calls(true);
}

void mj_locks_stop(void)
{
	for (unsigned i = 0; i < NHASH; i++)
		while (hash[i]) {
			struct mj_lock *l = hash[i];

			hash[i] = l->next;
			free(l);
		}
	for (unsigned i = 0; i < MJ_MAX_CPUS; i++) {
		free(mj.cpus[i].held);
		mj.cpus[i].held = NULL;
		mj.cpus[i].nheld = mj.cpus[i].cap_held = mj.cpus[i].spins = 0;
	}
	free(calls);
	calls = NULL;
	ncalls = cap_calls = 0;
	draining = 0;
}

#endif
