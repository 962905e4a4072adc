/* SPDX-License-Identifier: MIT */
/*
 * Accesses to table entries: software's through the port's hooks, hardware's updates of A and D. Memory
 * changes here and nowhere else; every change goes through changed(), which tells the rest of the judge.
 */
#include "judge.h"

#if PF_JUDGE

/* The frame's counts of entries that name it, and that show D. */
void mj_count_leaf(const struct mmu_entry *e, int by)
{
	uint64_t bytes = UINT64_C(1) << mmu_level_shift(mj.fmt, e->level);
	uint32_t f;

	for (uint64_t o = 0; o < bytes; o += 4096) {
		if (!mj_frame_of(e->pa + o, &f))
			continue;
		mj.frames[f].nmap += (uint32_t)by;
		if (e->dirty)
			mj.frames[f].ndirty += (uint32_t)by;
		mj_folio_touch(e->pa + o);
	}
}

static bool cacheable(const struct mmu_entry *e)
{
	return e->leaf && (e->accessed || mj.features & PF_FEAT_HAF);
}

/* A TLB that holds one does not notice the other. */
static bool same_translation(const struct mmu_entry *a, const struct mmu_entry *b)
{
	return a->leaf && b->leaf && a->pa == b->pa && a->cont == b->cont && a->user == b->user &&
	       a->r == b->r && a->w == b->w && a->x == b->x && a->dbm == b->dbm &&
	       a->global == b->global && a->hw == b->hw;
}

static void changed(
	struct mj_table *t, unsigned idx, uint64_t old_raw, uint64_t new_raw, enum mj_kind kind)
{
	struct mj_slot *s = &t->slots[idx];
	struct mmu_entry old, new;
	bool software = kind != MJ_WALK_A && kind != MJ_WALK_D;

	if (!mj_table_known(t)) {
		t->init_seq = s->new_seq = mj.seq;
		t->init_cpu = (uint16_t)mj.cpu;
		return;
	}
	mj_decode(t, idx, old_raw, &old);
	mj_decode(t, idx, new_raw, &new);
	mj.recent[mj.nrecent++ % MJ_RECENT] = (uint64_t)t->asid << 48 | mj_slot_va(t, idx);
	if (new.valid && !old.valid) {
		s->inv_seq = mj.seq;
		s->inv_cpu = (uint16_t)mj.cpu;
	}
	/* The walker re-reads the entry it updates: neither A nor D makes a translation stale. */
	if (software && cacheable(&old) && !(same_translation(&old, &new) && cacheable(&new)))
		mj_stale_leaf(t, idx, &old);
	if (old.leaf || old.inactive) {
		mj_did(mj_obj_frame(old.pa), false);
		mj_count_leaf(&old, -1);
	}
	if (new.leaf || new.inactive) {
		mj_did(mj_obj_frame(new.pa), false);
		mj_count_leaf(&new, 1);
	}
	if (!software)
		return;
	if (old.table && !(new.table &&new.pa == old.pa))
		mj_table_unlink(t, idx, &old);
	mj_stale_wake(t->asid, mj_slot_va(t, idx), mmu_level_shift(mj.fmt, t->level));
	if (new.reserved)
		mj_violate(MJ_M1, mj_slot_pa(t, idx), "%016llx is not an entry of level %u",
			(unsigned long long)new_raw, t->level);
	if (new.inactive &&new.cont)
		mj_violate(MJ_I7, mj_slot_pa(t, idx), "%016llx is contiguous and not valid",
			(unsigned long long)new_raw);
	if (new.leaf || new.table)
		mj_stale_meets(t, idx, &new);
	if (new.table && !(old.table && new.pa == old.pa))
		mj_table_link(t, idx, &new, kind == MJ_RELEASE);
	mj_block_changed(t, idx);
	if (new.dirty && (new.leaf || new.inactive) && !(old.dirty && old.pa == new.pa))
		s->new_d = true;
}

/* ---- what must hold before a store ---- */

/* Clearing nothing but A, atomically, may be done without the lock (aging). */
static bool only_ages(uint64_t old_raw, uint64_t new_raw, enum mj_kind kind)
{
	return kind == MJ_CAS && new_raw != old_raw && mj.fmt->set_a(new_raw) == old_raw;
}

static void check_lock(
	struct mj_table *t, unsigned idx, uint64_t old_raw, uint64_t new_raw, enum mj_kind kind)
{
	if (!mj_holds_table(mj.cpu, t->pa) && !only_ages(old_raw, new_raw, kind))
		mj_violate(MJ_L1, mj_slot_pa(t, idx),
			"%s of %016llx without the lock of table %llx", mj_kind_name[kind],
			(unsigned long long)new_raw, (unsigned long long)t->pa);
}

/* Hardware may change the word behind software's back: it has no A and hardware sets it; no D, and hardware sets
 * that, for a store by this entry or (late_d) by a writable translation of it that a TLB still holds. */
static bool unsettled(const struct mj_table *t, unsigned idx, const struct mmu_entry *e)
{
	const struct mj_asid *a = mj.asids[t->asid];

	if (!e->leaf || !a || !a->active)
		return false;
	if (!e->accessed && mj.features & PF_FEAT_HAF)
		return true;
	if (e->dirty)
		return false;
	return e->dbm || (mj.fmt->late_d && mj.features & PF_FEAT_HD &&
				 mj_stale_may_set_d(t->asid, mj_slot_va(t, idx), e->pa));
}

/* A plain store forgets what hardware wrote since software looked (DESIGN 4.3). */
static void check_plain(struct mj_table *t, unsigned idx, uint64_t old_raw, uint64_t new_raw)
{
	const struct mj_slot *s = &t->slots[idx];
	struct mmu_entry old, new;

	if (old_raw == new_raw)
		return;
	mj_decode(t, idx, old_raw, &old);
	mj_decode(t, idx, new_raw, &new);
	if (s->d_unseen && !new.dirty && !mj_block_shows_d(t, idx, true))
		mj_violate(MJ_D1, mj_slot_pa(t, idx),
			"a plain store of %016llx over D that nobody had seen",
			(unsigned long long)new_raw);
	else if (s->a_unseen && !new.accessed && !mj_block_shows_a(t, idx, true))
		mj_violate(MJ_I5, mj_slot_pa(t, idx),
			"a plain store of %016llx over A that nobody had seen",
			(unsigned long long)new_raw);
	else if (s->a_unseen || s->d_unseen || unsettled(t, idx, &old))
		mj_violate(MJ_AD1, mj_slot_pa(t, idx),
			"a plain store of %016llx over %016llx, which hardware may change",
			(unsigned long long)new_raw, (unsigned long long)old_raw);
}

/* docs/FAKE.md: the high word changes only while the low one is not valid, and is in place before the low word
 * says valid; so a walker that reads low, high, low sees one entry. */
static void check_words(struct mj_table *t, unsigned idx, uint64_t old_raw, uint64_t new_raw,
	unsigned bytes, bool high, enum mj_kind kind)
{
	struct mj_slot *s = &t->slots[idx];

	if (bytes == 8) {
		mj_violate(MJ_W2, mj_slot_pa(t, idx), "both words are written as one");
	} else if (high) {
		if ((old_raw & 1) && old_raw != new_raw)
			mj_violate(MJ_W2, mj_slot_pa(t, idx),
				"the high word changes while the entry is valid");
		s->high_seq = mj.seq;
		s->high_cpu = (uint16_t)mj.cpu;
	} else if ((new_raw & 1) && !(old_raw & 1) &&
		   !(kind == MJ_RELEASE && s->high_cpu == mj.cpu) &&
		   !mj_ordered(s->high_cpu, s->high_seq, mj.cpu)) {
		mj_violate(MJ_W2, mj_slot_pa(t, idx),
			"the low word says valid with no order after the high word");
	}
}

/* ---- software ---- */

struct access {
	struct mj_table *t;
	unsigned idx;
	uint64_t *word; /* the whole entry */
	unsigned bytes;
	bool high;
};

static bool frame_shared(const struct mj_table *t, unsigned idx, uint64_t raw)
{
	struct mmu_entry e;

	mj_decode(t, idx, raw, &e);
	return (e.leaf || e.inactive) && mj.explorer->shared(mj_obj_frame(e.pa), false);
}

/*
 * Does anybody but its maker come to the table? Walkers do; and, to one of a tree that no CPU has loaded, who locks it. There is
 * nothing to explore in how any other is filled.
 */
static bool may_be_seen(const struct mj_table *t)
{
	return mj_table_known(t) || mj_holds_table(mj.cpu, t->pa);
}

static bool leads_to_table(const struct mj_table *t, unsigned idx)
{
	struct mmu_entry e;

	mj_entry(t, idx, &e);
	return e.table;
}

/* Is the step met by what others do? */
static bool is_met(const void *p, enum mj_kind kind, const uint64_t *v)
{
	const uint64_t pa = pf_port_phys(p);
	const bool changes = kind != MJ_LOAD;
	struct mj_table *t = mj_table_at(pa);
	unsigned idx;

	if (!t)
		return true;
	if (!may_be_seen(t))
		return false;
	if (kind == MJ_RELEASE && mj_hides_stores())
		return true;
	if (mj.explorer->shared((uintptr_t)p & ~UINT64_C(7), changes) ||
		((changes || !mj_holds_table(mj.cpu, t->pa)) &&
			mj.explorer->shared(MJ_OBJ_MMU, false)))
		return true;
	idx = (unsigned)(pa - t->pa) / 8;
	return changes &&
	       (mj.fmt->two_words || leads_to_table(t, idx) || frame_shared(t, idx, *v) ||
		       frame_shared(t, idx, *mj_slot_ptr(t, idx)));
}

static void entry_point(const void *p, enum mj_kind kind, const uint64_t *v)
{
	const struct mj_table *t = mj_table_at(pf_port_phys(p));

	if (mj.explorer ? !is_met(p, kind, v) : t && !may_be_seen(t))
		mj_skip();
	else
		mj_point();
}

static bool find(const void *p, unsigned bytes, struct access *a)
{
	uint64_t pa = pf_port_phys(p);

	a->bytes = bytes;
	a->high = pa & 4;
	a->word = (uint64_t *)((uintptr_t)p & ~(uintptr_t)7);
	a->t = mj_table_get(pa);
	if (!a->t) {
		mj_violate(MJ_M1, 0, "an entry at %llx, outside memory", (unsigned long long)pa);
		return false;
	}
	a->idx = (unsigned)(pa - a->t->pa) / 8;
	if (a->t->state == MJ_TABLE_FREE)
		mj_violate(MJ_F2, pa & ~UINT64_C(7),
			"an entry of table %llx is accessed after it was returned",
			(unsigned long long)a->t->pa);
	return true;
}

/* A load without the lock sees what barriers have made visible; what a store makes stale, invalidations may miss. */
static void did(const struct access *a, enum mj_kind kind)
{
	const bool store = kind != MJ_LOAD;

	if (!may_be_seen(a->t))
		return;
	mj_did((uintptr_t)a->word, store);
	if (store || !mj_holds_table(mj.cpu, a->t->pa))
		mj_did(MJ_OBJ_MMU, kind == MJ_RELEASE && mj_hides_stores());
}

static uint64_t part(const struct access *a, uint64_t raw)
{
	return a->bytes == 8 ? raw : a->high ? raw >> 32 : (uint32_t)raw;
}

static uint64_t merge(const struct access *a, uint64_t raw, uint64_t v)
{
	if (a->bytes == 8)
		return v;
	return a->high ? (uint32_t)raw | v << 32 : (raw & ~PF_MASK(31, 0)) | (uint32_t)v;
}

/* Software has the word in hand: what hardware wrote is harvested. */
static void seen(struct access *a, bool atomic)
{
	struct mj_slot *s = &a->t->slots[a->idx];

	if (a->bytes == 4 && a->high)
		return;
	if (!atomic && mj_table_known(a->t) && !mj_holds_table(mj.cpu, a->t->pa))
		return;
	if (s->a_unseen || s->d_unseen)
		mj_history_add(s, MJ_LOAD, *a->word, *a->word);
	s->a_unseen = s->d_unseen = false;
}

/* A load without the lock may miss another CPU's plain stores that nothing has made visible. */
static uint64_t older(struct access *a, uint64_t raw)
{
	struct mj_slot *s = &a->t->slots[a->idx];
	const struct mj_history *h = s->hist;
	uint64_t seen_seq = mj.seq;

	if (!h || mj_holds_table(mj.cpu, a->t->pa))
		return raw;
	for (uint64_t i = h->n; i-- > 0 && h->n - i <= MJ_HISTORY;) {
		const struct mj_event *ev = &h->ev[i % MJ_HISTORY];

		if (ev->kind != MJ_STORE || ev->cpu == mj.cpu ||
			ev->seq <= mj.cpus[ev->cpu].sw_seq || ev->seq <= mj_this()->vc[ev->cpu] ||
			ev->seq <= s->seen_seq || !mj_chance(2))
			break;
		raw = ev->old;
		seen_seq = ev->seq - 1;
	}
	if (h->n && h->ev[(h->n - 1) % MJ_HISTORY].cpu != mj.cpu)
		s->seen_seq = pf_max(s->seen_seq, seen_seq);
	return raw;
}

uint64_t machine_ev_load(const void *p, unsigned bytes)
{
	struct access a;
	uint64_t v;

	if (mj.looking)
		return bytes == 8 ? *(const uint64_t *)p : *(const uint32_t *)p;
	entry_point(p, MJ_LOAD, NULL);
	machine_counters.pte_load++;
	if (!find(p, bytes, &a))
		return 0;
	did(&a, MJ_LOAD);
	v = part(&a, older(&a, *a.word));
	seen(&a, false);
	mj_log("load pa=%llx bytes=%u v=%llx", (unsigned long long)pf_port_phys(p), bytes,
		(unsigned long long)v);
	return v;
}

static void write_entry(struct access *a, uint64_t v, enum mj_kind kind)
{
	uint64_t old = *a->word, new_raw = merge(a, old, v);
	struct mj_slot *s = &a->t->slots[a->idx];

	if (mj_table_known(a->t)) {
		check_lock(a->t, a->idx, old, new_raw, kind);
		if (kind == MJ_STORE || kind == MJ_RELEASE)
			check_plain(a->t, a->idx, old, new_raw);
		if (mj.fmt->two_words)
			check_words(a->t, a->idx, old, new_raw, a->bytes, a->high, kind);
	}
	if (kind == MJ_RELEASE)
		mj_this()->sw_seq = mj.seq;
	if (kind == MJ_STORE && may_be_seen(a->t))
		mj_this()->plain_seq = mj.seq;
	*a->word = new_raw;
	/* The filling of a new table is no history. */
	if (new_raw != mj.fmt->empty || mj_table_known(a->t))
		mj_history_add(s, kind, old, new_raw);
	if (!(a->bytes == 4 && a->high))
		s->a_unseen = s->d_unseen = false;
	if (old != new_raw || !mj_table_known(a->t))
		changed(a->t, a->idx, old, new_raw, kind);
	mj_log("%s pa=%llx bytes=%u old=%llx new=%llx", mj_kind_name[kind],
		(unsigned long long)mj_slot_pa(a->t, a->idx) + (a->high && a->bytes == 4 ? 4 : 0),
		a->bytes, (unsigned long long)part(a, old), (unsigned long long)part(a, new_raw));
}

void machine_ev_store(void *p, uint64_t v, unsigned bytes, bool release)
{
	const enum mj_kind kind = release ? MJ_RELEASE : MJ_STORE;
	struct access a;

	entry_point(p, kind, &v);
	machine_counters.pte_store++;
	if (!find(p, bytes, &a))
		return;
	did(&a, kind);
	write_entry(&a, v, kind);
}

uint64_t machine_ev_xchg(void *p, uint64_t v, unsigned bytes)
{
	struct access a;
	uint64_t old;

	entry_point(p, MJ_XCHG, &v);
	machine_counters.pte_xchg++;
	if (!find(p, bytes, &a))
		return 0;
	did(&a, MJ_XCHG);
	old = part(&a, *a.word);
	seen(&a, true);
	write_entry(&a, v, MJ_XCHG);
	return old;
}

bool machine_ev_cas(void *p, uint64_t *old, uint64_t v, unsigned bytes)
{
	struct access a;
	uint64_t found;

	entry_point(p, MJ_CAS, &v);
	machine_counters.pte_xchg++;
	if (!find(p, bytes, &a))
		return false;
	did(&a, MJ_CAS);
	found = part(&a, *a.word);
	seen(&a, true);
	if (found != *old) {
		mj_history_add(&a.t->slots[a.idx], MJ_CASFAIL, *a.word, *a.word);
		mj_log("casfail pa=%llx bytes=%u old=%llx want=%llx",
			(unsigned long long)pf_port_phys(p), bytes, (unsigned long long)found,
			(unsigned long long)*old);
		*old = found;
		return false;
	}
	write_entry(&a, v, MJ_CAS);
	return true;
}

/* ---- hardware ---- */

bool mj_walker_update(struct mj_table *t, unsigned idx, uint64_t old, bool d)
{
	uint64_t *word = mj_slot_ptr(t, idx), new_raw = d ? mj.fmt->set_d(old) : mj.fmt->set_a(old);
	struct mj_slot *s = &t->slots[idx];

	if (*word != old)
		return false;
	if (new_raw == old)
		return true;
	mj_did((uintptr_t)word, true);
	mj.seq++;
	*word = new_raw;
	machine_counters.walk_ad++;
	if (d)
		s->d_unseen = true;
	else
		s->a_unseen = true;
	mj_history_add(s, d ? MJ_WALK_D : MJ_WALK_A, old, new_raw);
	changed(t, idx, old, new_raw, d ? MJ_WALK_D : MJ_WALK_A);
	mj_log("%s pa=%llx old=%llx new=%llx", mj_kind_name[d ? MJ_WALK_D : MJ_WALK_A],
		(unsigned long long)mj_slot_pa(t, idx), (unsigned long long)old,
		(unsigned long long)new_raw);
	return true;
}

#endif
