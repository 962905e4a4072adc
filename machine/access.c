/* SPDX-License-Identifier: MIT */
/*
 * What programs do: loads, stores and fetches through the MMU, by the current tables or by any stale
 * translation that the CPU may hold, as chance has it.
 */
#include "judge.h"

#if PF_JUDGE

static void recent(uint16_t asid, uint64_t va)
{
	mj.recent[mj.nrecent++ % MJ_RECENT] = (uint64_t)asid << 48 | (va & PF_MASK(47, 12));
}

static bool may_try(const struct mj_xlat *x, enum machine_access kind)
{
	switch (kind) {
	case MACHINE_READ:
		return x->user && x->r;
	case MACHINE_WRITE:
		return x->user && (x->w || x->dbm);
	case MACHINE_EXEC:
		return x->x;
	}
	return false;
}

/* One lookup: a stale translation, or a walk. */
static void lookup(unsigned cpu, uint64_t va, bool walk, struct mj_xlat *x)
{
	const struct mj_cpu *c = &mj.cpus[cpu];
	struct mj_stale *r = walk ? NULL : mj_stale_pick(c->asid, va, cpu, false);

	if (!r || !mj_chance(2)) {
		mj_walk(cpu, va, false, x);
		return;
	}
	*x = (struct mj_xlat){.ok = true,
		.present = true,
		.user = r->user,
		.r = r->r,
		.w = r->w,
		.x = r->x,
		.dbm = r->dbm,
		.level = r->level,
		.pa = mj_stale_pa(r, va),
		.via = r,
		.via_gen = r->gen};
}

/* A translation depends on what it may come from: the entries of the walk, with all of a block, and what invalidations have left. */
static void did_translate(unsigned cpu, uint64_t va)
{
	struct mj_table *t = mj_table_at(mj.cpus[cpu].root);

	if (!mj.explorer)
		return;
	mj_did(MJ_OBJ_MMU, false);
	for (unsigned level = mj.fmt->levels; t && level--;) {
		unsigned idx = mmu_index(mj.fmt, va, level), n = mj_block_slots(t);
		unsigned first = n ? idx & ~(n - 1) : idx;
		struct mmu_entry e;

		for (unsigned i = first; i < first + (n ? n : 1); i++)
			mj_did((uintptr_t)mj_slot_ptr(t, i), false);
		mj_entry(t, idx, &e);
		t = e.table ? mj_table_at(e.pa) : NULL;
	}
}

/* Translate for an access. A stale translation that does not allow it may fault, or be dropped for a walk. */
static void translate(
	unsigned cpu, uint64_t va, enum machine_access kind, bool walk, struct mj_xlat *x)
{
	if (!mj.cpus[cpu].has_root || va >> mj.fmt->va_bits) {
		*x = (struct mj_xlat){0};
		return;
	}
	recent(mj.cpus[cpu].asid, va);
	did_translate(cpu, va);
	lookup(cpu, va, walk, x);
	if (x->via && !may_try(x, kind) && mj_chance(2))
		lookup(cpu, va, true, x);
	if (x->ok && !may_try(x, kind))
		x->ok = false;
}

static struct machine_fault fault_of(const struct mj_xlat *x)
{
	return (struct machine_fault){
		.fault = !x->ok, .present = x->present, .pa = x->ok ? x->pa : 0};
}

static uint64_t *data(const struct mj_xlat *x)
{
	uint32_t f;

	if (!mj_frame_of(x->pa, &f) || machine_port.no_data)
		return NULL;
	return pf_port_virt(x->pa);
}

static void check_frame(const struct mj_xlat *x, uint64_t va, bool store)
{
	mj_did(mj_obj_frame(x->pa), store);
	if (mj_frame_freed(x->pa))
		mj_violate(MJ_F1, x->via ? x->via->slot_pa : mj_slot_pa(x->table, x->idx),
			"va %llx reaches frame %llx, which was returned", (unsigned long long)va,
			(unsigned long long)x->pa & ~4095ull);
}

static const char *way(const struct mj_xlat *x)
{
	return !x->ok ? "fault" : x->via ? "stale" : "walk";
}

static void log_access(const char *what, uint64_t va, const struct mj_xlat *x)
{
	mj_log("access kind=%s va=%llx how=%s pa=%llx", what, (unsigned long long)va, way(x),
		(unsigned long long)(x->ok ? x->pa : 0));
}

/* ---- stores ---- */

/* The leaf that maps va to pa in the tables now. */
static bool live(unsigned cpu, uint64_t va, uint64_t pa, struct mmu_entry *e, struct mj_table **t,
	unsigned *idx)
{
	uint64_t mask;

	if (!mj.cpus[cpu].has_root || !mj_find_leaf(mj.cpus[cpu].root, va, e, t, idx))
		return false;
	mask = (UINT64_C(1) << mmu_level_shift(mj.fmt, e->level)) - 1;
	return e->pa + (va & mask) == pa;
}

/* The entry by which x came is still there, or another that maps the address to the same frame. */
static bool same_entry(unsigned cpu, uint64_t va, const struct mj_xlat *x, struct mmu_entry *e,
	struct mj_table **t, unsigned *idx)
{
	if (x->table && x->table->state != MJ_TABLE_FREE) {
		*t = x->table;
		*idx = x->idx;
		mj_entry(*t, *idx, e);
		if (e->leaf && e->pa == x->slot_frame)
			return true;
	}
	return live(cpu, va, x->pa, e, t, idx);
}

/* A store whose translation does not show D: hardware sets D now, in the live entry, and only if that still is
 * the translation's (arm64: an atomic update of the descriptor that is re-read, D8.5.3; late_d: the frame must be
 * the same, write permission need not be there any more). False: translate again. */
static bool set_d(unsigned cpu, uint64_t va, const struct mj_xlat *x)
{
	struct mmu_entry e;
	struct mj_table *t;
	unsigned idx;

	if (!same_entry(cpu, va, x, &e, &t, &idx))
		return false;
	if (e.w)
		return true;
	if (!e.dbm && !(mj.fmt->late_d && mj.features & PF_FEAT_HD))
		return false;
	mj_walker_set(t, idx, true);
	return true;
}

/* The store is done. Its page is dirty: who shows it? */
static void check_shown(unsigned cpu, uint64_t va, const struct mj_xlat *x, bool late)
{
	struct mmu_entry e;
	struct mj_table *t;
	unsigned idx;

	if (same_entry(cpu, va, x, &e, &t, &idx) && mj_block_shows_d(t, idx, false))
		return;
	if (x->via || late) {
		struct mj_stale *r = x->via && x->via->gen == x->via_gen
					     ? x->via
					     : mj_stale_pick(mj.cpus[cpu].asid, va, cpu, false);

		if (r && r->w && mj_stale_pa(r, va) == x->pa)
			r->missed_seq = mj.seq;
		return;
	}
	if (mj_folio_of(x->pa))
		mj_violate(MJ_D1, mj_slot_pa(x->table, x->idx),
			"a store to va %llx is done, and no entry shows D", (unsigned long long)va);
}

/* Make the store happen; late: software may have acted since it was translated. */
static struct machine_fault finish(
	unsigned cpu, uint64_t va, const uint64_t *value, struct mj_xlat *x, bool late)
{
	unsigned saved = mj.cpu;
	struct machine_fault f;

	mj.cpu = cpu;
	mj.seq++;
	mj_did(MJ_OBJ_MMU, false);
	while (x->ok && !x->w && !set_d(cpu, va, x))
		translate(cpu, va, MACHINE_WRITE, true, x);
	f = fault_of(x);
	if (x->ok) {
		check_frame(x, va, true);
		if (value && data(x))
			*data(x) = *value;
		mj_store_reached(x->pa);
		check_shown(cpu, va, x, late);
	} else {
		mj_store_attempted(mj.cpus[cpu].asid, va);
	}
	log_access("write", va, x);
	mj.cpu = saved;
	return f;
}

struct machine_fault machine_store(uint64_t va, uint64_t value)
{
	struct mj_xlat x;

	mj_point();
	translate(mj.cpu, va & ~UINT64_C(7), MACHINE_WRITE, false, &x);
	return finish(mj.cpu, va & ~UINT64_C(7), &value, &x, false);
}

struct machine_fault machine_store_begin(uint64_t va, uint64_t value)
{
	struct mj_cpu *c = mj_this();

	mj_point();
	va &= ~UINT64_C(7);
	if (c->store.active)
		machine_store_end();
	c->store = (struct mj_inflight){.active = true, .va = va, .value = value};
	translate(mj.cpu, va, MACHINE_WRITE, false, &c->store.x);
	if (!c->store.x.ok)
		mj_finish_store(mj.cpu);
	return fault_of(&c->store.x);
}

void mj_finish_store(unsigned cpu)
{
	struct mj_inflight *s = &mj.cpus[cpu].store;

	s->done = true;
	s->result = finish(cpu, s->va, &s->value, &s->x, true);
}

struct machine_fault machine_store_end(void)
{
	struct mj_inflight *s = &mj_this()->store;

	if (!s->active)
		return (struct machine_fault){.fault = true};
	mj_point();
	if (!s->done)
		mj_finish_store(mj.cpu);
	s->active = false;
	return s->result;
}

/* ---- the rest ---- */

struct machine_fault machine_load(uint64_t va, uint64_t *value)
{
	struct mj_xlat x;

	mj_point();
	va &= ~UINT64_C(7);
	translate(mj.cpu, va, MACHINE_READ, false, &x);
	*value = 0;
	if (x.ok) {
		check_frame(&x, va, false);
		if (data(&x))
			*value = *data(&x);
	}
	log_access("read", va, &x);
	return fault_of(&x);
}

struct machine_fault machine_exec(uint64_t va)
{
	struct mj_xlat x;

	mj_point();
	translate(mj.cpu, va, MACHINE_EXEC, false, &x);
	if (x.ok)
		check_frame(&x, va, false);
	log_access("exec", va, &x);
	return fault_of(&x);
}

void machine_touch(uint64_t va)
{
	struct mj_xlat x;

	mj_point();
	translate(mj.cpu, va, MACHINE_READ, false, &x);
	log_access("read", va, &x);
	if (!x.ok)
		return;
	translate(mj.cpu, va, MACHINE_WRITE, false, &x);
	if (x.ok)
		finish(mj.cpu, va, NULL, &x, false);
}

void machine_note_store(uint64_t va)
{
	mj_point();
	mj_log("note-store va=%llx", (unsigned long long)va);
	if (mj_this()->has_root)
		mj_store_attempted(mj_this()->asid, va & ~UINT64_C(7));
}

#endif
