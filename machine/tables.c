/* SPDX-License-Identifier: MIT */
/*
 * Which page of memory is a table, where it hangs, and whether a walker can get there. Level, address and
 * ASID of a table follow from the links above it, the first of which is a CPU's root; a tree that no CPU has
 * loaded yet is unknown, and nobody's stores to it are judged until it is.
 */
#include "judge.h"

#if PF_JUDGE
#include <stdlib.h>
#include <string.h>

struct mj_table *mj_table_at(uint64_t pa)
{
	uint64_t i = (pa - MACHINE_RAM_BASE) / mmu_table_bytes(mj.fmt);

	return pa >= MACHINE_RAM_BASE && i < mj.ntables ? mj.tables[i] : NULL;
}

struct mj_table *mj_table_get(uint64_t pa)
{
	uint64_t bytes = mmu_table_bytes(mj.fmt), i = (pa - MACHINE_RAM_BASE) / bytes;
	struct mj_table *t;

	if (pa < MACHINE_RAM_BASE || i >= mj.ntables)
		return NULL;
	t = mj.tables[i];
	if (!t) {
		t = mj.tables[i] = calloc(1, sizeof(*t));
		t->pa = MACHINE_RAM_BASE + i * bytes;
		t->slots = calloc(mmu_entries(mj.fmt), sizeof(*t->slots));
		t->state = MJ_TABLE_NEW;
		t->next = mj.all_tables;
		mj.all_tables = t;
	}
	return t;
}

uint64_t *mj_slot_ptr(const struct mj_table *t, unsigned idx)
{
	return (uint64_t *)pf_port_virt(t->pa) + idx;
}

uint64_t mj_slot_pa(const struct mj_table *t, unsigned idx)
{
	return t->pa + 8 * (uint64_t)idx;
}

struct mj_slot *mj_slot_of(uint64_t slot_pa)
{
	struct mj_table *t = mj_table_at(slot_pa);

	return t ? &t->slots[(slot_pa - t->pa) / 8] : NULL;
}

void mj_decode(const struct mj_table *t, unsigned idx, uint64_t raw, struct mmu_entry *e)
{
	mj.fmt->decode(raw, t->level, idx, mj.features, e);
}

void mj_entry(const struct mj_table *t, unsigned idx, struct mmu_entry *e)
{
	mj_decode(t, idx, *mj_slot_ptr(t, idx), e);
}

bool mj_table_known(const struct mj_table *t)
{
	return t->state == MJ_TABLE_LINKED || t->state == MJ_TABLE_DETACHED;
}

uint64_t mj_slot_va(const struct mj_table *t, unsigned idx)
{
	return t->va + ((uint64_t)idx << mmu_level_shift(mj.fmt, t->level));
}

void mj_history_add(struct mj_slot *s, enum mj_kind kind, uint64_t old, uint64_t new_raw)
{
	if (!s->hist)
		s->hist = calloc(1, sizeof(*s->hist));
	s->hist->ev[s->hist->n++ % MJ_HISTORY] = (struct mj_event){.seq = mj.seq,
		.old = old,
		.new_raw = new_raw,
		.cpu = (uint16_t)mj.cpu,
		.kind = (uint16_t)kind};
}

/* A table that cannot be one: outside memory, or returned. */
static struct mj_table *lower(struct mj_table *parent, unsigned idx, uint64_t pa)
{
	struct mj_table *t = mj_table_get(pa);

	if (!t || t->pa != pa) {
		mj_violate(MJ_M1, mj_slot_pa(parent, idx), "the entry leads to %llx, no table",
			(unsigned long long)pa);
		return NULL;
	}
	if (t->state == MJ_TABLE_FREE || mj_frame_freed(pa)) {
		mj_violate(MJ_F2, mj_slot_pa(parent, idx), "the entry leads to %llx, a freed table",
			(unsigned long long)pa);
		return NULL;
	}
	return t;
}

enum p1 { P1_NONE, P1_PLAIN, P1_RELEASE };

static void reach(struct mj_table *t, unsigned level, uint64_t va, uint16_t asid, enum p1 p1)
{
	bool counted = t->state == MJ_TABLE_DETACHED;
	unsigned n = mmu_entries(mj.fmt), block;

	/* Without a barrier or release in between a walker may see the link first (B2.3). */
	if (p1 != P1_NONE && !mj_ordered(t->init_cpu, t->init_seq, mj.cpu) &&
		!(p1 == P1_RELEASE && t->init_cpu == mj.cpu))
		mj_violate(MJ_P1, t->parent ? mj_slot_pa(t->parent, t->parent_idx) : 0,
			"table %llx, last written at event #%llu, is linked with no order in "
			"between",
			(unsigned long long)t->pa, (unsigned long long)t->init_seq);
	t->state = MJ_TABLE_LINKED;
	t->was_linked = true;
	t->level = (uint8_t)level;
	t->va = va;
	t->asid = asid;
	for (unsigned i = 0; i < n; i++) {
		struct mj_table *c;
		struct mmu_entry e;

		mj_entry(t, i, &e);
		if (e.empty)
			continue;
		if (e.table && (c = lower(t, i, e.pa))) {
			if (c->state == MJ_TABLE_LINKED) {
				mj_violate(MJ_M1, mj_slot_pa(t, i), "table %llx is linked already",
					(unsigned long long)e.pa);
				continue;
			}
			mj_stale_meets(t, i, &e);
			c->parent = t;
			c->parent_idx = (uint16_t)i;
			reach(c, level - 1, mj_slot_va(t, i), asid, p1);
		} else if (e.leaf || e.inactive) {
			if (!counted) {
				mj_count_leaf(&e, 1);
				mj_d_unseen(&t->slots[i], &e);
			}
			mj_d_check(t, i, &e);
			if (e.leaf)
				mj_stale_meets(t, i, &e);
		}
	}
	block = mj_block_slots(t);
	for (unsigned i = 0; block && i < n; i += block)
		mj_block_check(t, i, true);
}

void mj_table_root(uint64_t root, uint16_t asid)
{
	struct mj_table *t = mj_table_get(root);

	if (!t || t->pa != root) {
		mj_violate(MJ_M1, 0, "root %llx is no table", (unsigned long long)root);
		return;
	}
	if (t->state == MJ_TABLE_FREE) {
		mj_violate(MJ_F2, 0, "root %llx is a freed table", (unsigned long long)root);
		return;
	}
	if (t->state == MJ_TABLE_LINKED) {
		if (t->parent || t->asid != asid)
			mj_violate(MJ_Q3, 0, "root %llx of asid %u is in use for asid %u",
				(unsigned long long)root, asid, t->asid);
		return;
	}
	t->parent = NULL;
	reach(t, mj.fmt->levels - 1u, 0, asid, P1_NONE);
}

void mj_table_link(struct mj_table *parent, unsigned idx, const struct mmu_entry *e, bool release)
{
	struct mj_table *t = lower(parent, idx, e->pa);

	if (!t)
		return;
	if (t->state == MJ_TABLE_LINKED) {
		mj_violate(MJ_M1, mj_slot_pa(parent, idx), "table %llx is linked already",
			(unsigned long long)e->pa);
		return;
	}
	t->parent = parent;
	t->parent_idx = (uint16_t)idx;
	reach(t, parent->level - 1u, mj_slot_va(parent, idx), parent->asid,
		release ? P1_RELEASE : P1_PLAIN);
}

/* A walker can still get there: through a walk cache, or from a table where one can. */
static bool reachable(const struct mj_table *t)
{
	struct mmu_entry e;

	if (t->state != MJ_TABLE_DETACHED)
		return t->state == MJ_TABLE_LINKED;
	if (t->nwalk)
		return true;
	if (!t->parent || t->parent->state != MJ_TABLE_DETACHED)
		return false;
	mj_entry(t->parent, t->parent_idx, &e);
	return e.table && e.pa == t->pa && reachable(t->parent);
}

/* Nobody gets there any more: what it maps is no longer mapped by it. */
static void forget(struct mj_table *t)
{
	t->state = MJ_TABLE_NEW;
	for (unsigned i = 0; i < mmu_entries(mj.fmt); i++) {
		struct mj_table *c;
		struct mmu_entry e;

		mj_entry(t, i, &e);
		if (e.leaf || e.inactive)
			mj_count_leaf(&e, -1);
		c = e.table ? mj_table_at(e.pa) : NULL;
		if (c && c->state == MJ_TABLE_DETACHED && c->parent == t && !reachable(c))
			forget(c);
	}
	t->nchanged = 0;
}

void mj_table_unreached(uint64_t pa)
{
	struct mj_table *t = mj_table_at(pa);

	if (!t)
		return;
	t->nwalk--;
	if (t->state == MJ_TABLE_DETACHED && !reachable(t))
		forget(t);
}

static void detach(struct mj_table *t)
{
	/* Before or after the beginning of a lockless reader. */
	mj_did(MJ_OBJ_RCU, true);
	t->state = MJ_TABLE_DETACHED;
	t->unlink_seq = mj.seq;
	for (unsigned i = 0; i < mmu_entries(mj.fmt); i++) {
		struct mj_table *c;
		struct mmu_entry e;

		mj_entry(t, i, &e);
		if (e.leaf)
			mj_stale_leaf(t, i, &e);
		c = e.table ? mj_table_at(e.pa) : NULL;
		if (c && c->state == MJ_TABLE_LINKED && c->parent == t) {
			mj_stale_table(t, i, &e);
			detach(c);
		}
	}
}

void mj_table_unlink(struct mj_table *parent, unsigned idx, const struct mmu_entry *e)
{
	struct mj_table *t = mj_table_at(e->pa);

	if (!t || t->state != MJ_TABLE_LINKED || t->parent != parent || t->parent_idx != idx)
		return;
	mj_stale_table(parent, idx, e);
	detach(t);
	if (!reachable(t))
		forget(t);
}

static void reset(struct mj_table *t)
{
	for (unsigned i = 0; i < mmu_entries(mj.fmt); i++) {
		free(t->slots[i].hist);
		t->slots[i] = (struct mj_slot){0};
	}
	t->nchanged = 0;
	t->was_linked = false;
	t->parent = NULL;
}

void mj_table_alloc(uint64_t pa, uint64_t bytes)
{
	struct mj_table *t;

	for (uint64_t o = 0; o < bytes; o += mmu_table_bytes(mj.fmt)) {
		t = o ? mj_table_at(pa + o) : mj_table_get(pa);
		if (!t)
			continue;
		reset(t);
		t->state = MJ_TABLE_NEW;
		t->init_seq = mj.seq;
		t->init_cpu = (uint16_t)mj.cpu;
	}
}

static void check_free(struct mj_table *t)
{
	struct mj_asid *a = mj_table_known(t) ? mj.asids[t->asid] : NULL;
	const struct mj_stale *r;
	const struct mj_table *up;

	if (t->state == MJ_TABLE_LINKED) {
		/* A tree that no CPU runs, and whose ASID has been invalidated since, may be torn down as it is. */
		if (a && !a->active && !a->ever)
			return;
		if (t->parent || !a || a->root != t->pa || a->active) {
			mj_violate(MJ_F2, t->parent ? mj_slot_pa(t->parent, t->parent_idx) : 0,
				"table %llx is returned while %s", (unsigned long long)t->pa,
				t->parent ? "it is linked" : "it is a CPU's root");
			return;
		}
		/* Not invalidated: what is still mapped, TLBs may go on using. */
		detach(t);
		return;
	}
	if (reachable(t)) {
		for (up = t; !up->nwalk && up->parent; up = up->parent)
			;
		r = mj_stale_leading_to(up->pa);
		mj_violate(r && (r->issued_seq > r->seq || r->tried) ? MJ_C1 : MJ_F2,
			r ? r->slot_pa : 0, "table %llx is returned while a walk cache may hold %s",
			(unsigned long long)t->pa, r ? mj_stale_text(r) : "it");
	}
	if (t->was_linked && mj_reader_since(t->unlink_seq))
		mj_violate(MJ_F2, 0, "table %llx is returned while a lockless reader may be in it",
			(unsigned long long)t->pa);
}

void mj_table_free(uint64_t pa, uint64_t bytes)
{
	for (uint64_t o = 0; o < bytes; o += mmu_table_bytes(mj.fmt)) {
		struct mj_table *t = mj_table_at(pa + o);

		if (!t)
			continue;
		/* Before or after the end of one. */
		mj_did(MJ_OBJ_RCU, true);
		check_free(t);
		if (mj_table_known(t)) {
			if (!t->parent && mj.asids[t->asid]->root == t->pa)
				mj.asids[t->asid]->root = 0;
			forget(t);
		}
		t->state = MJ_TABLE_FREE;
		t->nchanged = 0;
	}
}

bool mj_find_leaf(
	uint64_t root, uint64_t va, struct mmu_entry *e, struct mj_table **t, unsigned *idx)
{
	struct mj_table *p = mj_table_at(root);

	for (unsigned l = mj.fmt->levels; p && p->state != MJ_TABLE_FREE && l-- > 0;) {
		if (p->level != l)
			return false;
		*t = p;
		*idx = mmu_index(mj.fmt, va, l);
		mj_entry(p, *idx, e);
		if (!e->table)
			return e->leaf;
		p = mj_table_at(e->pa);
	}
	return false;
}

void mj_table_unroot(uint64_t root)
{
	struct mj_table *t = mj_table_at(root);

	if (!t || t->state != MJ_TABLE_LINKED)
		return;
	detach(t);
	forget(t);
}

void mj_tables_stop(void)
{
	while (mj.all_tables) {
		struct mj_table *t = mj.all_tables;

		mj.all_tables = t->next;
		reset(t);
		free(t->slots);
		free(t->changed);
		free(t);
	}
}

#endif
