/* SPDX-License-Identifier: MIT */
/*
 * What TLBs and walk caches may hold besides the current tables. The judge samples no TLB: whenever software
 * replaces an entry that may have been cached, a record says what the old translation was, over its whole
 * span, and which CPUs may still use it. It lives until an invalidation that covers it, issued after the
 * change was published, has been completed (tlbi.c). So a missing flush is there to be found, by the rules
 * (hazards.c), by accesses that use the record (walk.c), and not by luck.
 *
 * A record of a contiguous block covers the block in units of one entry: a TLB may hold any part (Arm ARM
 * D8.7.1), and an invalidation of one page need not drop the parts that leave it out.
 */
#include "judge.h"

#if PF_JUDGE
#include <stdlib.h>
#include <string.h>

#define HASH_MIN 8

static struct mj_stale **hash;
static unsigned hash_bits;
static uint64_t nrecords;
static struct mj_stale *unused;
struct chunk {
	struct chunk *next;
	struct mj_stale rec[256];
};
static struct chunk *chunks;

static struct mj_stale **bucket(uint32_t key, unsigned shift, uint64_t va)
{
	uint64_t h = (va >> shift) * UINT64_C(0x9e3779b97f4a7c15) +
		     key * UINT64_C(0xc2b2ae3d27d4eb4f) + shift * UINT64_C(0x165667b19e3779f9);

	return &hash[(h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> (64 - hash_bits)];
}

/* Room for one more: chains stay about one record long. */
static void hash_grow(void)
{
	struct mj_stale **old = hash;
	uint64_t n = old ? UINT64_C(1) << hash_bits : 0;

	if (nrecords < n)
		return;
	hash_bits = old ? hash_bits + 1 : HASH_MIN;
	hash = calloc(UINT64_C(1) << hash_bits, sizeof(*hash));
	for (uint64_t i = 0; i < n; i++)
		while (old[i]) {
			struct mj_stale *r = old[i], **b;

			old[i] = r->hnext;
			b = bucket(r->key, r->shift, r->va);
			r->hnext = *b;
			*b = r;
		}
	free(old);
}

static struct mj_asid *owner(const struct mj_stale *r)
{
	return r->key == MJ_GLOBAL ? &mj.globals : mj.asids[r->key];
}

static void list_add(struct mj_stale **head, struct mj_stale *r)
{
	r->lnext = *head;
	r->lprev = head;
	if (*head)
		(*head)->lprev = &r->lnext;
	*head = r;
}

static void list_del(struct mj_stale *r)
{
	*r->lprev = r->lnext;
	if (r->lnext)
		r->lnext->lprev = r->lprev;
}

void mj_stale_set_quiet(struct mj_stale *r, bool quiet)
{
	struct mj_asid *a = owner(r);

	if (r->quiet == quiet)
		return;
	list_del(r);
	r->quiet = quiet;
	list_add(quiet ? &a->quiet : &a->list, r);
}

static unsigned nunits(const struct mj_stale *r)
{
	return 1u << (r->shift - r->unit_shift);
}

static bool unit(const struct mj_stale *r, unsigned u)
{
	return r->units[u / 64] >> (u % 64) & 1;
}

static void count_frames(const struct mj_stale *r, unsigned u, int by)
{
	uint64_t pa = r->pa + ((uint64_t)u << r->unit_shift);
	uint32_t f;

	if (r->table)
		return;
	for (uint64_t o = 0; o < UINT64_C(1) << r->unit_shift; o += 4096)
		if (mj_frame_of(pa + o, &f))
			mj.frames[f].nstale += (uint32_t)by;
}

static void set_unit(struct mj_stale *r, unsigned u, bool on)
{
	if (unit(r, u) == on)
		return;
	r->units[u / 64] ^= PF_BIT(u % 64);
	count_frames(r, u, on ? 1 : -1);
}

uint64_t mj_stale_pa(const struct mj_stale *r, uint64_t va)
{
	return r->pa + (va - r->va);
}

bool mj_stale_covers(const struct mj_stale *r, uint64_t va)
{
	return va >> r->shift == r->va >> r->shift &&
	       unit(r, (unsigned)((va - r->va) >> r->unit_shift));
}

static struct mj_stale *create(const struct mj_stale *model)
{
	struct mj_asid *a = owner(model);
	struct mj_stale *r, **b;
	uint32_t gen;

	if (!unused) {
		struct chunk *c = calloc(1, sizeof(*c));

		c->next = chunks;
		chunks = c;
		for (unsigned i = 0; i < PF_ARRAY_SIZE(c->rec); i++) {
			c->rec[i].hnext = unused;
			unused = &c->rec[i];
		}
	}
	r = unused;
	unused = r->hnext;
	gen = r->gen;
	*r = *model;
	r->gen = gen + 1;
	r->units[0] = r->units[1] = 0;
	r->quiet = false;
	hash_grow();
	nrecords++;
	b = bucket(r->key, r->shift, r->va);
	r->hnext = *b;
	*b = r;
	list_add(&a->list, r);
	a->count++;
	a->nshift[r->shift]++;
	a->shifts |= PF_BIT(r->shift);
	if (r->table && mj_table_at(r->pa))
		mj_table_at(r->pa)->nwalk++;
	return r;
}

static void destroy(struct mj_stale *r)
{
	struct mj_asid *a = owner(r);
	struct mj_stale **p = bucket(r->key, r->shift, r->va);

	while (*p != r)
		p = &(*p)->hnext;
	*p = r->hnext;
	list_del(r);
	for (unsigned u = 0; u < nunits(r); u++)
		set_unit(r, u, false);
	nrecords--;
	a->count--;
	if (!--a->nshift[r->shift])
		a->shifts &= ~PF_BIT(r->shift);
	if (r->table)
		mj_table_unreached(r->pa);
	r->gen++;
	r->cpus = 0;
	r->hnext = unused;
	unused = r;
}

void mj_stale_drop(struct mj_stale *r, uint64_t cpus)
{
	/* An access begun with what is dropped ends before the flush that drops it (DESIGN 4.6). */
	for (unsigned c = 0; c < mj.ncpus; c++)
		if (cpus >> c & 1 && mj.cpus[c].store.active && !mj.cpus[c].store.done &&
			mj_stale_covers(r, mj.cpus[c].store.va))
			mj_finish_store(c);
	r->cpus &= ~cpus;
	if (!r->cpus)
		destroy(r);
}

struct mj_stale *mj_stale_split(struct mj_stale *r, uint64_t va, uint64_t last)
{
	struct mj_stale *part = NULL;
	bool all = true;

	for (unsigned u = 0; u < nunits(r); u++) {
		uint64_t start = r->va + ((uint64_t)u << r->unit_shift);
		uint64_t end = start + (UINT64_C(1) << r->unit_shift) - 1;

		if (unit(r, u) && (end < va || start > last))
			all = false;
	}
	if (all)
		return r;
	for (unsigned u = 0; u < nunits(r); u++) {
		uint64_t start = r->va + ((uint64_t)u << r->unit_shift);
		uint64_t end = start + (UINT64_C(1) << r->unit_shift) - 1;

		if (!unit(r, u) || end < va || start > last)
			continue;
		if (!part)
			part = create(r);
		set_unit(r, u, false);
		set_unit(part, u, true);
	}
	if (part)
		mj_pending_copy(r, part);
	return part;
}

/* ---- finding them ---- */

struct vec {
	struct mj_stale **p;
	struct mj_stale *small[32];
	uint64_t n, cap;
};

static void vec_add(struct vec *v, struct mj_stale *r)
{
	if (v->n == v->cap) {
		struct mj_stale **p = malloc(2 * v->cap * sizeof(*p));

		memcpy(p, v->p, v->n * sizeof(*p));
		if (v->p != v->small)
			free(v->p);
		v->p = p;
		v->cap *= 2;
	}
	v->p[v->n++] = r;
}

static void collect(struct mj_asid *a, uint64_t va, uint64_t last, struct vec *v)
{
	struct mj_stale *lists[] = {a->list, a->quiet};

	for (unsigned s = 0; s < 64; s++) {
		if (!(a->shifts >> s & 1))
			continue;
		if ((last >> s) - (va >> s) >= a->count)
			goto scan;
	}
	for (unsigned s = 0; s < 64; s++) {
		if (!(a->shifts >> s & 1))
			continue;
		for (uint64_t i = va >> s; i <= last >> s; i++)
			for (struct mj_stale *r = *bucket(a->key, s, i << s); r; r = r->hnext)
				if (r->key == a->key && r->shift == s && r->va >> s == i)
					vec_add(v, r);
	}
	return;
scan:
	for (unsigned l = 0; l < PF_ARRAY_SIZE(lists); l++)
		for (struct mj_stale *r = lists[l]; r; r = r->lnext)
			if (r->va <= last && r->va + (UINT64_C(1) << r->shift) - 1 >= va)
				vec_add(v, r);
}

void mj_stale_each(struct mj_asid *a, uint64_t va, uint64_t last,
	void (*fn)(struct mj_stale *r, void *ctx), void *ctx)
{
	struct vec v = {.cap = PF_ARRAY_SIZE(v.small)};

	if (!a || !a->count)
		return;
	v.p = v.small;
	collect(a, va, last, &v);
	for (uint64_t i = 0; i < v.n; i++)
		if (v.p[i]->cpus)
			fn(v.p[i], ctx);
	if (v.p != v.small)
		free(v.p);
}

void mj_stale_all(struct mj_asid *a, void (*fn)(struct mj_stale *r, void *ctx), void *ctx)
{
	mj_stale_each(a, 0, UINT64_MAX, fn, ctx);
}

struct pick {
	uint64_t va;
	unsigned cpu, n, skip;
	bool table;
	struct mj_stale *r;
};

/* The one after `skip` others; n counts them all. */
static void pick_one(struct mj_stale *r, void *ctx)
{
	struct pick *p = ctx;

	if (r->table == p->table && r->cpus >> p->cpu & 1 && mj_stale_covers(r, p->va) &&
		p->n++ == p->skip)
		p->r = r;
}

struct mj_stale *mj_stale_pick(uint16_t asid, uint64_t va, unsigned cpu, bool table)
{
	struct pick p = {.va = va, .cpu = cpu, .table = table};

	mj_stale_each(mj.asids[asid], va, va, pick_one, &p);
	mj_stale_each(&mj.globals, va, va, pick_one, &p);
	if (p.n < 2)
		return p.r;
	p.skip = mj_pick(p.n);
	p.n = 0;
	mj_stale_each(mj.asids[asid], va, va, pick_one, &p);
	mj_stale_each(&mj.globals, va, va, pick_one, &p);
	return p.r;
}

/* ---- making them ---- */

static bool same(const struct mj_stale *a, const struct mj_stale *b)
{
	return a->va == b->va && a->shift == b->shift && a->key == b->key && a->table == b->table &&
	       a->level == b->level && a->pa == b->pa && a->cont == b->cont && a->user == b->user &&
	       a->r == b->r && a->w == b->w && a->x == b->x && a->dbm == b->dbm &&
	       a->memtype == b->memtype && a->hw == b->hw;
}

/* While the entry stood any part of it could be cached anew: invalidations so far do not count. */
static void record(const struct mj_stale *model)
{
	struct mj_stale *r = hash ? *bucket(model->key, model->shift, model->va) : NULL;

	while (r && !same(r, model))
		r = r->hnext;
	if (r) {
		r->gen++;
		r->cpus |= model->cpus;
		r->seq = model->seq;
		r->cpu = model->cpu;
		r->slot_pa = model->slot_pa;
		r->tried = NULL;
		r->issued_seq = 0;
		mj_stale_set_quiet(r, false);
	} else {
		r = create(model);
	}
	for (unsigned u = 0; u < nunits(r); u++)
		set_unit(r, u, true);
}

static bool base(struct mj_table *t, unsigned idx, const struct mmu_entry *e, struct mj_stale *m)
{
	struct mj_asid *a = mj.asids[t->asid];
	unsigned shift = mmu_level_shift(mj.fmt, t->level);

	if (!a || !a->ever)
		return false;
	*m = (struct mj_stale){
		.va = mj_slot_va(t, idx),
		.pa = e->pa,
		.cpus = a->ever,
		.seq = mj.seq,
		.cpu = (uint16_t)mj.cpu,
		.slot_pa = mj_slot_pa(t, idx),
		.asid = t->asid,
		.key = t->asid,
		.level = t->level,
		.shift = (uint8_t)shift,
		.unit_shift = (uint8_t)shift,
	};
	return true;
}

/* An entry without A is cached only by hardware that sets A (facts 6.6: a descriptor that would fault). */
void mj_stale_leaf(struct mj_table *t, unsigned idx, const struct mmu_entry *old)
{
	struct mj_stale m;

	if (!(old->accessed || mj.features & PF_FEAT_HAF) || !base(t, idx, old, &m))
		return;
	if (old->cont) {
		unsigned n = mj_block_slots(t);

		m.shift = (uint8_t)(m.unit_shift + mj.fmt->cont_shift[t->level]);
		m.va = pf_align_down(m.va, UINT64_C(1) << m.shift);
		m.pa -= (uint64_t)(idx & (n - 1)) << m.unit_shift;
		m.cont = true;
	}
	if (old->global)
		m.key = MJ_GLOBAL;
	m.global = old->global;
	m.user = old->user;
	m.r = old->r;
	m.w = old->w;
	m.x = old->x;
	m.dbm = old->dbm;
	m.wperm = old->wperm;
	m.memtype = old->memtype;
	m.hw = old->hw;
	record(&m);
}

void mj_stale_table(struct mj_table *t, unsigned idx, const struct mmu_entry *old)
{
	struct mj_stale m;

	if (!base(t, idx, old, &m))
		return;
	m.table = true;
	record(&m);
}

struct activate {
	uint64_t cpu;
};

/* A CPU that starts on the ASID may still read what has not been published. */
static void activate_one(struct mj_stale *r, void *ctx)
{
	const struct activate *a = ctx;

	if (!mj_published(r->cpu, r->seq))
		r->cpus |= a->cpu;
}

void mj_stale_activate(uint16_t asid, unsigned cpu)
{
	struct activate a = {PF_BIT(cpu)};

	mj_stale_all(mj.asids[asid], activate_one, &a);
}

void mj_stale_stop(void)
{
	free(hash);
	hash = NULL;
	nrecords = 0;
	unused = NULL;
	while (chunks) {
		struct chunk *c = chunks;

		chunks = c->next;
		free(c);
	}
}

#endif
