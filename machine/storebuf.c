/* SPDX-License-Identifier: MIT */
/*
 * Store buffers and order. The machine's memory always holds the newest values; what this file knows is
 * how far each CPU's table stores have got:
 *
 *   pub		published: every walker sees them (DSB ISHST by the CPU that stored, or by one that
 *			synchronised with it afterwards)
 *   pub_local[x]	this CPU's own walker sees x's stores
 *   sw_seq		other CPUs' software sees them (a release store, an unlock, a barrier)
 *   order_seq		they come before this CPU's later stores
 *   vc[x]		x's stores that this CPU has synchronised with: its barriers publish those too,
 *			because arm64 is other-multi-copy atomic (Arm ARM B2.3)
 *
 * A store that is not published may or may not be seen by a walker: walk.c and stale.c take that as two
 * possibilities. An atomic makes its own word current and publishes nothing (relaxed).
 */
#include "judge.h"

#if PF_JUDGE

bool mj_published(unsigned cpu, uint64_t seq)
{
	return seq <= mj.cpus[cpu].pub;
}

bool mj_published_to(unsigned cpu, uint64_t seq, unsigned to)
{
	return seq <= mj.cpus[cpu].pub || seq <= mj.cpus[to].pub_local[cpu];
}

bool mj_ordered(unsigned cpu, uint64_t seq, unsigned to)
{
	if (mj_published(cpu, seq))
		return true;
	return cpu == to ? seq <= mj.cpus[cpu].order_seq : seq <= mj.cpus[to].vc[cpu];
}

static void advance(uint64_t *v, uint64_t to)
{
	*v = pf_max(*v, to);
}

void mj_barrier(enum pf_barrier b)
{
	struct mj_cpu *c = mj_this();

	c->order_seq = c->sw_seq = mj.seq;
	switch (b) {
	case PF_BARRIER_PUBLISH:
	case PF_BARRIER_COMPLETE:
		for (unsigned i = 0; i < mj.ncpus; i++)
			advance(&mj.cpus[i].pub, i == mj.cpu ? mj.seq : c->vc[i]);
		break;
	case PF_BARRIER_PUBLISH_LOCAL:
	case PF_BARRIER_COMPLETE_LOCAL:
		for (unsigned i = 0; i < mj.ncpus; i++)
			advance(&c->pub_local[i], i == mj.cpu ? mj.seq : c->vc[i]);
		break;
	case PF_BARRIER_LINK:
		break;
	}
	if (b == PF_BARRIER_COMPLETE || b == PF_BARRIER_COMPLETE_LOCAL)
		mj_complete(b == PF_BARRIER_COMPLETE_LOCAL);
}

/* This CPU releases: what it has done, and seen, is in vc for whoever acquires. */
void mj_release(uint64_t vc[MJ_MAX_CPUS])
{
	struct mj_cpu *c = mj_this();

	for (unsigned i = 0; i < mj.ncpus; i++)
		advance(&vc[i], i == mj.cpu ? mj.seq : c->vc[i]);
	c->sw_seq = mj.seq;
}

void mj_acquire(const uint64_t vc[MJ_MAX_CPUS])
{
	struct mj_cpu *c = mj_this();

	for (unsigned i = 0; i < mj.ncpus; i++)
		if (i != mj.cpu)
			advance(&c->vc[i], vc[i]);
}

bool mj_hides_stores(void)
{
	const struct mj_cpu *c = mj_this();

	return c->plain_seq > c->sw_seq;
}

/* A grace period has passed: this CPU has synchronised with all. */
void mj_grace_period(void)
{
	mj_did(MJ_OBJ_MMU, true);
	for (unsigned i = 0; i < mj.ncpus; i++) {
		mj.cpus[i].sw_seq = mj.seq;
		if (i != mj.cpu)
			advance(&mj_this()->vc[i], mj.seq);
	}
}

#endif
