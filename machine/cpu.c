/* SPDX-License-Identifier: MIT */
/*
 * CPUs: which one runs, which root and ASID each has loaded; the points at which all must be quiet.
 */
#include "judge.h"

#if PF_JUDGE
#include <stdlib.h>
#include <string.h>

struct mj mj;

/* xorshift64*, Vigna 2016. */
uint64_t mj_random(void)
{
	mj.rng ^= mj.rng >> 12;
	mj.rng ^= mj.rng << 25;
	mj.rng ^= mj.rng >> 27;
	return mj.rng * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

/* Below n by the upper bits of a product: chance is asked at each event, and a division there would be what tests wait for. */
static unsigned below(unsigned n)
{
	return (unsigned)((mj_random() & PF_MASK(31, 0)) * n >> 32);
}

unsigned mj_pick(unsigned n)
{
	return mj.explorer ? mj.explorer->choose(n) : below(n);
}

bool mj_chance(unsigned n)
{
	return mj.explorer ? mj.explorer->choose(2) : !below(n);
}

void mj_skip(void)
{
	if (mj.explorer)
		mj.explorer->skip();
	mj.seq++;
}

void mj_point_on(uint64_t object, bool changes)
{
	if (mj.explorer && !mj.explorer->shared(object, changes))
		mj_skip();
	else
		mj_point();
}

void mj_did(uint64_t object, bool changed)
{
	if (mj.explorer)
		mj.explorer->did(object, changed);
}

void mj_did_frames(uint64_t pa, uint64_t bytes, bool changed)
{
	for (uint64_t o = 0; mj.explorer && o < bytes; o += 4096)
		mj_did(mj_obj_frame(pa + o), changed);
}

struct mj_cpu *mj_this(void)
{
	return &mj.cpus[mj.cpu];
}

void mj_point(void)
{
	if (mj.point)
		mj.point(mj.point_ctx, false);
	if (!mj.adversary_off && !mj.explorer && !mj.looking && mj_chance(4))
		mj_speculate();
	mj.seq++;
}

void machine_ev_barrier(enum pf_barrier b)
{
	static const char *const name[] = {
		"publish", "complete", "publish-local", "complete-local", "link"};

	mj_point();
	machine_counters.dsb += b != PF_BARRIER_LINK;
	mj_did(MJ_OBJ_MMU, true);
	mj_log("barrier kind=%s", name[b]);
	mj_barrier(b);
}

struct mj_asid *mj_asid_get(uint16_t asid)
{
	struct mj_asid *a = mj.asids[asid];

	if (!a) {
		a = mj.asids[asid] = calloc(1, sizeof(*a));
		a->key = asid;
		a->next = mj.all_asids;
		mj.all_asids = a;
	}
	return a;
}

bool mj_start(const struct machine_config *cfg, const struct mmu_format *f)
{
	memset(&mj, 0, sizeof(mj));
	mj.fmt = f;
	mj.features = cfg->features;
	mj.late_walks = cfg->late_walks;
	mj.ncpus = cfg->cpus;
	mj.memory = cfg->memory;
	mj.rng = (cfg->seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	mj.globals.key = MJ_GLOBAL;
	if (!mj_mem_start())
		return false;
	if (!mj_log_start(cfg->log)) {
		mj_mem_stop();
		return false;
	}
	mj.on = true;
	mj_log("machine format=%s memory=%llx base=%llx cpus=%u features=%x seed=%llu", f->name,
		(unsigned long long)cfg->memory, (unsigned long long)MACHINE_RAM_BASE, cfg->cpus,
		cfg->features, (unsigned long long)cfg->seed);
	return true;
}

void mj_stop(void)
{
	if (!mj.on)
		return;
	mj_log_stop();
	mj_locks_stop();
	mj_pending_stop();
	mj_stale_stop();
	mj_tables_stop();
	while (mj.all_asids) {
		struct mj_asid *a = mj.all_asids;

		mj.all_asids = a->next;
		free(a);
	}
	mj_mem_stop();
	mj.on = false;
}

unsigned machine_cpu(void)
{
	return mj.cpu;
}

void machine_run_on(unsigned cpu)
{
	if (cpu >= mj.ncpus)
		abort();
	mj.cpu = cpu;
}

void machine_set_cpu(unsigned cpu)
{
	uint64_t vc[MJ_MAX_CPUS] = {0};

	if (cpu == mj.cpu)
		return;
	/* switch_to: DSB ISH on the CPU left behind (facts 6.5), then the run queue's lock. */
	mj.seq++;
	mj_log("switch to=%u", cpu);
	mj_barrier(PF_BARRIER_COMPLETE);
	mj_release(vc);
	machine_run_on(cpu);
	mj_acquire(vc);
}

void machine_set_root(unsigned cpu, uint64_t root_pa, uint16_t asid)
{
	struct mj_cpu *c = &mj.cpus[cpu];
	struct mj_asid *a;
	unsigned saved = mj.cpu;

	mj_point();
	mj_log("root of=%u pa=%llx asid=%u", cpu, (unsigned long long)root_pa, asid);
	/* The context switch's barrier, on the CPU that switches. */
	mj.cpu = cpu;
	mj_barrier(PF_BARRIER_PUBLISH);
	mj.cpu = saved;
	if (c->has_root)
		mj.asids[c->asid]->active &= ~PF_BIT(cpu);
	c->has_root = root_pa;
	if (!root_pa)
		return;
	a = mj_asid_get(asid);
	if (a->root && a->root != root_pa)
		mj_violate(MJ_Q3, 0, "asid %u of root %llx is given to root %llx", asid,
			(unsigned long long)a->root, (unsigned long long)root_pa);
	if (!a->root && a->count)
		mj_violate(MJ_Q3, 0, "asid %u is given to root %llx while TLBs may hold %s", asid,
			(unsigned long long)root_pa, mj_stale_text(a->list ? a->list : a->quiet));
	a->root = c->root = root_pa;
	c->asid = asid;
	a->active |= PF_BIT(cpu);
	a->ever |= PF_BIT(cpu);
	a->flushing &= ~PF_BIT(cpu);
	mj_table_root(root_pa, asid);
	mj_stale_activate(asid, cpu);
}

static void drop_one(struct mj_stale *r, void *ctx)
{
	if (r->asid == *(uint16_t *)ctx)
		mj_stale_drop(r, r->cpus);
}

void machine_retire_asid(uint16_t asid)
{
	struct mj_asid *a = mj.asids[asid];

	mj_point();
	mj_log("retire asid=%u", asid);
	if (!a)
		return;
	if (a->active)
		mj_violate(MJ_Q3, 0, "asid %u is given up while a CPU runs it", asid);
	/* What the tables still map may be cached, unless the ASID was invalidated since it last ran. */
	if (a->root)
		mj_table_unroot(a->root);
	if (a->count) {
		struct mj_stale *r = a->list ? a->list : a->quiet;

		mj_violate(MJ_Q3, r->slot_pa, "asid %u is given up while TLBs may hold %s", asid,
			mj_stale_text(r));
	}
	mj_stale_all(a, drop_one, &asid);
	mj_stale_all(&mj.globals, drop_one, &asid);
	a->root = a->ever = a->flushing = 0;
}

void machine_check_quiescent(uint16_t asid)
{
	mj_point();
	mj_log("quiescent asid=%u", asid);
	mj_rcu_flush();
	mj_locks_quiescent();
	if (!mj.asids[asid])
		return;
	mj_stale_quiescent(asid);
	mj_d_quiescent(asid);
}

static void leftover(struct mj_stale *r, void *ctx)
{
	(void)ctx;
	mj_violate(MJ_Q1, r->slot_pa, "at the end a TLB may hold %s", mj_stale_text(r));
}

uint64_t machine_check_end(void)
{
	uint64_t bytes;

	mj_point();
	mj_log("end");
	mj_rcu_flush();
	bytes = machine_meta_bytes();
	mj_locks_quiescent();
	for (struct mj_asid *a = mj.all_asids; a; a = a->next)
		mj_stale_all(a, leftover, NULL);
	mj_stale_all(&mj.globals, leftover, NULL);
	for (uint64_t i = 0; i < mj.nframes; i++)
		if (mj.frames[i].state == MJ_FRAME_ALLOCATED)
			bytes += 4096;
	return bytes;
}

void machine_rcu_drain(void)
{
	mj_rcu_flush();
}

void machine_set_schedule(void (*point)(void *ctx, bool blocked), void *ctx)
{
	mj.point = point;
	mj.point_ctx = ctx;
}

void machine_adversary(bool on)
{
	mj.adversary_off = !on;
}

void machine_look(bool on)
{
	mj.looking = on && !mj.explorer;
}

#endif
