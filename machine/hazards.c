/* SPDX-License-Identifier: MIT */
/*
 * What stale translations must not meet: a new entry that needed break-before-make (rules BBM, I8), a
 * quiescent point (Q1, C1, I4).
 */
#include "judge.h"

#if PF_JUDGE
#include <stdio.h>
#include <string.h>

const char *mj_stale_text(const struct mj_stale *r)
{
	static char buf[512];
	int n;

	n = snprintf(buf, sizeof(buf),
		"va %llx+%llx -> %s%llx%s%s%s%s of asid %u, replaced by cpu %u in event #%llu",
		(unsigned long long)r->va, 1ull << r->shift, r->table ? "table " : "",
		(unsigned long long)r->pa, r->cont ? " cont" : "", r->r ? " r" : "",
		r->w     ? " w"
		: r->dbm ? " w(clean)"
			 : "",
		r->x ? " x" : "", r->asid, r->cpu, (unsigned long long)r->seq);
	if (n > 0 && (size_t)n < sizeof(buf) && r->issued_seq > r->seq)
		snprintf(buf + n, sizeof(buf) - (size_t)n,
			"; the invalidation of event #%llu was not completed by its CPU",
			(unsigned long long)r->issued_seq);
	else if (n > 0 && (size_t)n < sizeof(buf) && r->tried)
		snprintf(buf + n, sizeof(buf) - (size_t)n,
			"; the invalidation of event #%llu does not drop it: %s",
			(unsigned long long)r->tried_seq, r->tried);
	return buf;
}

/* ---- break-before-make ---- */

struct meet {
	struct mj_table *t;
	unsigned idx;
	const struct mmu_entry *e;
	uint64_t va, last, pa;
};

static bool contents_differ(uint64_t a, uint64_t b, uint64_t bytes)
{
	uint32_t f;

	if (machine_port.no_data || !mj_frame_of(a, &f) || !mj_frame_of(a + bytes - 1, &f) ||
		!mj_frame_of(b, &f) || !mj_frame_of(b + bytes - 1, &f))
		return true;
	return memcmp(pf_port_virt(a), pf_port_virt(b), bytes);
}

/* Arm ARM RWHZWS (facts 6.3) for what overlaps at [va, last]. */
static void meet_leaf(struct mj_stale *r, struct meet *m, uint64_t va, uint64_t last)
{
	const struct mmu_entry *e = m->e;
	uint64_t old_pa = mj_stale_pa(r, va), new_pa = m->pa + (va - m->va);
	unsigned long long at = va;

	/* Sizes differ: RKHRBC, RFCPSG, IHYQMB (facts 6.4). Below a level that excludes the abort, the lookup may
	 * amalgamate (level 0) or take a TLB conflict abort that nobody here handles (1, 2). */
	if ((UINT64_C(1) << r->shift) - 1 != m->last - m->va &&
		!(mj.features & PF_FEAT_BBM2_NOABORT))
		mj_violate(MJ_I8, mj_slot_pa(m->t, m->idx),
			"va %llx: the new entry spans %llx, a TLB may hold %s", at,
			(unsigned long long)(m->last - m->va + 1), mj_stale_text(r));
	if (old_pa != new_pa &&
		(r->wperm || e->wperm || contents_differ(old_pa, new_pa, last - va + 1)))
		mj_violate(MJ_BBM, mj_slot_pa(m->t, m->idx),
			"va %llx: the new entry maps %llx, a TLB may hold %s", at,
			(unsigned long long)new_pa, mj_stale_text(r));
	if (r->memtype != e->memtype)
		mj_violate(MJ_BBM, mj_slot_pa(m->t, m->idx),
			"va %llx: memory type or shareability %x, a TLB may hold %x: %s", at,
			e->memtype, r->memtype, mj_stale_text(r));
	if (r->global != e->global)
		mj_violate(MJ_BBM, mj_slot_pa(m->t, m->idx),
			"va %llx: a global and a non-global translation, a TLB may hold %s", at,
			mj_stale_text(r));
}

static void meet_one(struct mj_stale *r, void *ctx)
{
	struct meet *m = ctx;
	bool noabort = mj.features & PF_FEAT_BBM2_NOABORT;

	if (m->e->table || r->table) {
		/* A table replaced by another is a change of output address; a table by a leaf, or a leaf by a
		 * table, one of block size. Tables above or below are not the entry's business. */
		if (r->level != m->t->level)
			return;
		if (m->e->table && r->table && r->pa != m->e->pa)
			mj_violate(MJ_BBM, mj_slot_pa(m->t, m->idx),
				"the new entry leads to table %llx, a walk cache may hold %s",
				(unsigned long long)m->e->pa, mj_stale_text(r));
		else if (m->e->table != r->table && !noabort)
			mj_violate(MJ_I8, mj_slot_pa(m->t, m->idx),
				"%s takes the place of what a TLB may hold: %s",
				m->e->table ? "a table" : "a leaf", mj_stale_text(r));
		return;
	}
	for (uint64_t u = 0; u < UINT64_C(1) << (r->shift - r->unit_shift); u++) {
		uint64_t va = r->va + (u << r->unit_shift),
			 last = va + (UINT64_C(1) << r->unit_shift) - 1;

		if (last < m->va || va > m->last || !mj_stale_covers(r, va))
			continue;
		meet_leaf(r, m, pf_max(va, m->va), pf_min(last, m->last));
	}
}

void mj_stale_meets(struct mj_table *t, unsigned idx, const struct mmu_entry *new_e)
{
	struct meet m = {.t = t, .idx = idx, .e = new_e, .va = mj_slot_va(t, idx), .pa = new_e->pa};
	uint64_t span = UINT64_C(1) << mmu_level_shift(mj.fmt, t->level);
	unsigned n = mj_block_slots(t);

	if (new_e->leaf && new_e->cont && n) {
		m.va -= (idx & (n - 1)) * span;
		m.pa -= (idx & (n - 1)) * span;
		span *= n;
	}
	m.last = m.va + span - 1;
	mj_stale_each(mj.asids[t->asid], m.va, m.last, meet_one, &m);
	mj_stale_each(&mj.globals, m.va, m.last, meet_one, &m);
}

static void wake_one(struct mj_stale *r, void *ctx)
{
	(void)ctx;
	mj_stale_set_quiet(r, false);
}

void mj_stale_wake(uint16_t asid, uint64_t va, unsigned shift)
{
	uint64_t last = va + (UINT64_C(1) << shift) - 1;

	if (mj.asids[asid] && mj.asids[asid]->quiet)
		mj_stale_each(mj.asids[asid], va, last, wake_one, NULL);
	if (mj.globals.quiet)
		mj_stale_each(&mj.globals, va, last, wake_one, NULL);
}

/* ---- questions about one address ---- */

struct late_d {
	uint64_t va, pa;
	bool found;
};

static void late_d_one(struct mj_stale *r, void *ctx)
{
	struct late_d *l = ctx;

	if (!r->table && r->dbm && mj_stale_covers(r, l->va) && mj_stale_pa(r, l->va) == l->pa)
		l->found = true;
}

bool mj_stale_may_set_d(uint16_t asid, uint64_t va, uint64_t pa)
{
	struct late_d l = {.va = va, .pa = pa};

	mj_stale_each(mj.asids[asid], va, va, late_d_one, &l);
	mj_stale_each(&mj.globals, va, va, late_d_one, &l);
	return l.found;
}

struct search {
	uint64_t pa;
	bool table;
	struct mj_stale *found;
};

static void search_one(struct mj_stale *r, void *ctx)
{
	struct search *s = ctx;

	if (r->table != s->table)
		return;
	if (r->table ? r->pa == s->pa
		     : s->pa - r->pa < UINT64_C(1) << r->shift &&
				mj_stale_covers(r, r->va + (s->pa - r->pa)))
		s->found = r;
}

static struct mj_stale *search(uint64_t pa, bool table)
{
	struct search s = {.pa = pa, .table = table};

	for (struct mj_asid *a = mj.all_asids; a; a = a->next)
		mj_stale_all(a, search_one, &s);
	mj_stale_all(&mj.globals, search_one, &s);
	return s.found;
}

struct mj_stale *mj_stale_covering_frame(uint32_t frame)
{
	return search(MACHINE_RAM_BASE + ((uint64_t)frame << 12), false);
}

struct mj_stale *mj_stale_leading_to(uint64_t table_pa)
{
	return search(table_pa, true);
}

/* ---- quiescent points ---- */

/* What r grants at va that the leaf e, in its place now, does not; NULL if nothing. A is not compared: that a
 * translation was dropped because A was cleared is the one flush that may stay undone (DESIGN 4.6). */
static const char *grants(
	const struct mj_stale *r, uint64_t va, const struct mmu_entry *e, bool shows_d)
{
	uint64_t mask = (UINT64_C(1) << mmu_level_shift(mj.fmt, e->level)) - 1;

	if (mj_stale_pa(r, va) != e->pa + (va & mask))
		return "another frame";
	if (r->memtype != e->memtype)
		return "another memory type";
	if (r->r && !e->r)
		return "reading";
	if (r->x && !e->x)
		return "execution";
	if (r->user && !e->user)
		return "user access";
	if (r->dbm && !(e->w || e->dbm))
		return "writing";
	if (r->w && !e->w)
		return !e->dbm ? "writing" : shows_d ? NULL : "writing without D";
	return NULL;
}

static const char *harm(const struct mj_stale *r, uint64_t *at)
{
	const struct mj_asid *a = mj.asids[r->asid];
	uint64_t va = r->va, last = va + (UINT64_C(1) << r->shift) - 1;
	struct mmu_entry e;
	struct mj_table *t;
	unsigned idx;

	*at = va;
	if (r->table) {
		t = mj_table_at(r->slot_pa);
		if (!t || t->state != MJ_TABLE_LINKED)
			return "a table";
		mj_entry(t, (unsigned)(r->slot_pa - t->pa) / 8, &e);
		return e.table && e.pa == r->pa ? NULL : "a table";
	}
	while (va <= last) {
		uint64_t step = 4096;

		if (mj_stale_covers(r, va)) {
			const char *what;

			*at = va;
			if (!a || !a->root || !mj_find_leaf(a->root, va, &e, &t, &idx))
				return "a page that is not mapped";
			what = grants(r, va, &e, mj_block_shows_d(t, idx, false));
			if (what)
				return what;
			step = UINT64_C(1) << mmu_level_shift(mj.fmt, e.level);
			step -= va & (step - 1);
		}
		if (va + step - 1 >= last)
			break;
		va += step;
	}
	return NULL;
}

static void quiescent_one(struct mj_stale *r, void *ctx)
{
	uint16_t asid = *(const uint16_t *)ctx;
	const char *what;
	uint64_t at;

	if (r->quiet || r->asid != asid)
		return;
	what = harm(r, &at);
	if (what)
		mj_violate(r->missed_seq > r->seq && !r->issued_seq && !r->tried ? MJ_I4
			   : r->issued_seq > r->seq || r->tried                  ? MJ_C1
										 : MJ_Q1,
			r->slot_pa, "va %llx: a TLB may still grant %s: %s", (unsigned long long)at,
			what, mj_stale_text(r));
	mj_stale_set_quiet(r, true);
}

void mj_stale_quiescent(uint16_t asid)
{
	struct mj_asid *a = mj.asids[asid];
	struct mj_asid *lists[] = {a, &mj.globals};

	/* Only the lists of records not yet known harmless; fn moves each one it sees. */
	for (unsigned i = 0; i < PF_ARRAY_SIZE(lists); i++)
		for (struct mj_stale *r = lists[i] ? lists[i]->list : NULL, *next; r; r = next) {
			next = r->lnext;
			quiescent_one(r, &asid);
		}
}

#endif
