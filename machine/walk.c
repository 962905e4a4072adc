/* SPDX-License-Identifier: MIT */
/*
 * The table walker. It reads memory as it is now, with three liberties: what software has made valid and not
 * published it may miss, a walk cache may lead it by a link that is gone, and in a block it may use any
 * contiguous member for any address (DESIGN 4.4; Arm ARM D8.7.1). It sets A at any time, also unasked.
 */
#include "judge.h"

#if PF_JUDGE

/* Slots of idx's block, idx among them, from which a translation of idx may come. */
static unsigned candidates(const struct mj_table *t, unsigned idx, unsigned *out)
{
	unsigned n = mj_block_slots(t), first = n ? idx & ~(n - 1) : idx, nr = 0;
	struct mmu_entry e;

	mj_entry(t, idx, &e);
	if (e.leaf)
		out[nr++] = idx;
	else if (mj_chance(2))
		return 0; /* the walker looked at this slot alone */
	for (unsigned i = first; i < first + n; i++) {
		mj_entry(t, i, &e);
		if (i != idx && e.leaf && e.cont)
			out[nr++] = i;
	}
	return nr;
}

void mj_walker_set(struct mj_table *t, unsigned idx, bool d)
{
	unsigned n = mj_block_slots(t), first = n ? idx & ~(n - 1) : idx, at = idx;
	struct mmu_entry e, m;

	/* Any one of the set's entries may be the one that is updated (facts 6.1). */
	mj_entry(t, idx, &e);
	if (n && e.cont) {
		unsigned i = first + (idx - first + mj_pick(n)) % n;

		mj_entry(t, i, &m);
		if (m.leaf && m.cont && (!d || m.dbm || m.w || mj.fmt->late_d))
			at = i;
	}
	mj_walker_update(t, at, *mj_slot_ptr(t, at), d);
}

static void leaf(struct mj_table *t, unsigned idx, uint64_t va, bool speculative, struct mj_xlat *x)
{
	unsigned slots[128], nr = candidates(t, idx, slots), m;
	uint64_t size = UINT64_C(1) << mmu_level_shift(mj.fmt, t->level);
	struct mmu_entry e;

	if (!nr)
		return;
	m = slots[mj_pick(nr)];
	mj_entry(t, m, &e);
	if (!e.accessed) {
		if (!(mj.features & PF_FEAT_HAF)) {
			x->present = true;
			return;
		}
		mj_walker_set(t, m, false);
		mj_entry(t, m, &e);
	}
	x->present = true;
	x->ok = !speculative;
	x->user = e.user;
	x->r = e.r;
	x->w = e.w;
	x->x = e.x;
	x->dbm = e.dbm;
	x->level = t->level;
	/* Member m stands (idx - m) entries away from the address. */
	x->pa = e.pa + (uint64_t)((int64_t)idx - (int64_t)m) * size + (va & (size - 1));
	x->table = t;
	x->idx = m;
	x->slot_frame = e.pa;
}

void mj_walk(unsigned cpu, uint64_t va, bool speculative, struct mj_xlat *x)
{
	const struct mj_cpu *c = &mj.cpus[cpu];
	struct mj_stale *r = mj_stale_pick(c->asid, va, cpu, true);
	struct mj_table *t = mj_table_at(c->root);
	unsigned level = mj.fmt->levels - 1u;

	*x = (struct mj_xlat){0};
	machine_counters.tlb_miss++;
	if (r && mj_chance(2)) {
		t = mj_table_at(r->pa);
		level = r->level - 1u;
	}
	for (;; level--) {
		unsigned idx = mmu_index(mj.fmt, va, level);
		const struct mj_slot *s;
		struct mmu_entry e;

		if (!t)
			return;
		if (t->state == MJ_TABLE_FREE) {
			mj_violate(MJ_F2, r ? r->slot_pa : 0,
				"a walk of va %llx goes through table %llx, which was returned",
				(unsigned long long)va, (unsigned long long)t->pa);
			return;
		}
		s = &t->slots[idx];
		machine_counters.walk_load++;
		mj_entry(t, idx, &e);
		if (e.valid && (s->inv_cpu != cpu || mj.late_walks) &&
			!mj_published_to(s->inv_cpu, s->inv_seq, cpu) && mj_chance(2))
			return;
		if (!e.table) {
			leaf(t, idx, va, speculative, x);
			return;
		}
		if (!level)
			return;
		t = mj_table_at(e.pa);
	}
}

/* A walk that nobody asked for: some CPU, an address that was of interest lately. */
void mj_speculate(void)
{
	unsigned cpu = mj_pick(mj.ncpus);
	uint64_t key = mj.recent[mj_pick(MJ_RECENT)];
	const struct mj_cpu *c = &mj.cpus[cpu];
	struct mj_xlat x;

	if (!c->has_root || key >> 48 != c->asid || !mj.nrecent || !(mj.features & PF_FEAT_HAF))
		return;
	mj_walk(cpu, key & PF_MASK(47, 0), true, &x);
}

#endif
