/* SPDX-License-Identifier: MIT */
#include "ref.h"

#include <stdlib.h>
#include <string.h>

/* Everything in bytes and byte addresses here, sizes of leaves as log2. */
struct leaf {
	unsigned leaf, fold, run;
	bool write_ok;
};

struct item {
	unsigned asid;
	uint64_t start, size;
	struct leaf x;
	uint64_t used;
};

/* Most recently used first. */
struct set {
	unsigned nr;
	struct item *item;
};

struct array {
	unsigned ways, nsets;
	uint64_t sizes;
	struct set *set;
};

struct level {
	bool there;
	struct tlb_level_cfg cfg;
	struct array array[TLB_MAX_ARRAYS];
};

struct ref_model {
	struct tlb_cfg cfg;
	struct level l1i, l1d, l1st, l2, l2i, walk[TLB_WALK_LEVELS];
	uint64_t time, dropped;
	struct tlb_counters count[TLB_SIDES];
	tlb_xlate_fn *xlate;
	void *ctx;
};

static void level_make(struct level *l, const struct tlb_level_cfg *cfg)
{
	l->there = cfg->narrays;
	l->cfg = *cfg;
	for (unsigned i = 0; i < cfg->narrays; i++) {
		struct array *a = &l->array[i];

		a->ways = cfg->array[i].ways ? cfg->array[i].ways : cfg->array[i].entries;
		a->nsets = cfg->array[i].entries / a->ways;
		a->sizes = cfg->array[i].sizes | cfg->array[i].sizes << cfg->coalesce;
		a->set = calloc(a->nsets, sizeof(*a->set));
		for (unsigned s = 0; s < a->nsets; s++)
			a->set[s].item = calloc(a->ways, sizeof(struct item));
	}
}

static void level_free(struct level *l)
{
	for (unsigned i = 0; i < l->cfg.narrays; i++) {
		for (unsigned s = 0; s < l->array[i].nsets; s++)
			free(l->array[i].set[s].item);
		free(l->array[i].set);
	}
}

static void set_remove(struct set *s, unsigned at)
{
	memmove(&s->item[at], &s->item[at + 1], (s->nr - at - 1) * sizeof(struct item));
	s->nr--;
}

static struct item *set_push(struct set *s, struct item it)
{
	memmove(&s->item[1], &s->item[0], s->nr * sizeof(struct item));
	s->item[0] = it;
	s->nr++;
	return &s->item[0];
}

/* Finds, and with `now` makes it the most recent. */
static struct item *level_find(struct level *l, unsigned asid, uint64_t va, uint64_t now)
{
	for (unsigned i = 0; l->there && i < l->cfg.narrays; i++)
		for (unsigned bit = 12; l->array[i].sizes >> bit; bit++) {
			struct array *a = &l->array[i];
			struct set *s = &a->set[(va >> bit) % a->nsets];

			if (!(a->sizes >> bit & 1))
				continue;
			for (unsigned w = 0; w < s->nr; w++) {
				struct item it = s->item[w];

				if (it.asid != asid || va < it.start || va - it.start >= it.size)
					continue;
				if (!now)
					return &s->item[w];
				it.used = now;
				set_remove(s, w);
				return set_push(s, it);
			}
		}
	return NULL;
}

static uint64_t level_size(const struct level *l, const struct leaf *x, uint64_t cap)
{
	uint64_t leaf = UINT64_C(1) << x->leaf, want = leaf, all = 0;
	uint64_t together = leaf << l->cfg.coalesce;

	for (unsigned i = 0; i < l->cfg.narrays; i++)
		all |= l->array[i].sizes;
	if (l->cfg.contig && UINT64_C(1) << x->fold > want)
		want = UINT64_C(1) << x->fold;
	if (together > UINT64_C(1) << x->run)
		together = UINT64_C(1) << x->run;
	if (l->cfg.coalesce && together > want)
		want = together;
	if (want > cap)
		want = cap;
	if (all & want)
		return want;
	if (l->cfg.fracture == TLB_FRACTURE_BYPASS)
		return want > leaf && (all & leaf) ? leaf : 0;
	while (want && !(all & want))
		want >>= 1;
	return want;
}

/* Removes what overlaps [va, va + size); `leaf`: what comes from a leaf that overlaps it. */
static uint64_t level_remove(struct level *l, unsigned asid, uint64_t va, uint64_t size, bool leaf)
{
	uint64_t n = 0;

	for (unsigned i = 0; l->there && i < l->cfg.narrays; i++)
		for (unsigned k = 0; k < l->array[i].nsets; k++) {
			struct set *s = &l->array[i].set[k];

			for (unsigned w = 0; w < s->nr;) {
				struct item *it = &s->item[w];
				uint64_t start = it->start, len = it->size;

				if (leaf && UINT64_C(1) << it->x.leaf > len) {
					len = UINT64_C(1) << it->x.leaf;
					start -= start % len;
				}
				if (it->asid == asid && start < va + size && va < start + len) {
					set_remove(s, w);
					n++;
				} else {
					w++;
				}
			}
		}
	return n;
}

static void level_insert(struct level *l, unsigned asid, uint64_t va, const struct leaf *x,
	uint64_t cap, uint64_t now)
{
	uint64_t size = l->there ? level_size(l, x, cap) : 0;
	struct item it = {asid, size ? va / size * size : 0, size, *x, now};
	struct set *best = NULL;
	unsigned best_ways = 0;

	if (!size)
		return;
	level_remove(l, asid, it.start, size, false);
	for (unsigned i = 0; i < l->cfg.narrays; i++) {
		struct array *a = &l->array[i];
		struct set *s = &a->set[va / size % a->nsets];

		if (!(a->sizes & size))
			continue;
		if (!best || (best->nr == best_ways &&
				     (s->nr < a->ways || s->item[s->nr - 1].used <
								 best->item[best->nr - 1].used))) {
			best = s;
			best_ways = a->ways;
		}
	}
	if (best->nr == best_ways)
		best->nr--;
	set_push(best, it);
}

struct ref_model *ref_new(const struct tlb_cfg *cfg, tlb_xlate_fn *xlate, void *ctx)
{
	struct ref_model *m = calloc(1, sizeof(*m));

	m->cfg = *cfg;
	m->xlate = xlate;
	m->ctx = ctx;
	level_make(&m->l1i, &cfg->l1i);
	level_make(&m->l1d, &cfg->l1d);
	level_make(&m->l1st, &cfg->l1st);
	level_make(&m->l2, &cfg->l2);
	level_make(&m->l2i, &cfg->l2i);
	for (unsigned i = 1; i < TLB_WALK_LEVELS; i++)
		if (cfg->walk[i].entries) {
			struct tlb_level_cfg w = {.narrays = 1};

			w.array[0].entries = cfg->walk[i].entries;
			w.array[0].ways = cfg->walk[i].ways;
			w.array[0].sizes = UINT64_C(1) << (cfg->page_shift + i * cfg->level_bits);
			level_make(&m->walk[i], &w);
		}
	return m;
}

void ref_free(struct ref_model *m)
{
	level_free(&m->l1i);
	level_free(&m->l1d);
	level_free(&m->l1st);
	level_free(&m->l2);
	level_free(&m->l2i);
	for (unsigned i = 1; i < TLB_WALK_LEVELS; i++)
		level_free(&m->walk[i]);
	free(m);
}

static unsigned ref_walk(struct ref_model *m, unsigned asid, uint64_t va, unsigned leaf)
{
	unsigned bits = m->cfg.level_bits, loads = 1;
	unsigned level = (leaf - m->cfg.page_shift) / bits;

	for (unsigned i = level + 1; i < m->cfg.levels; i++, loads++) {
		unsigned shift = m->cfg.page_shift + i * bits;
		struct leaf x = {shift, shift, shift, true};

		if (level_find(&m->walk[i], asid, va, ++m->time))
			return loads;
		level_insert(&m->walk[i], asid, va, &x, UINT64_MAX, ++m->time);
	}
	return loads;
}

static bool ref_translate(
	struct ref_model *m, uint64_t page, unsigned asid, enum tlb_access access, struct leaf *x)
{
	uint32_t v = m->xlate(m->ctx, page, asid, access).v;

	*x = (struct leaf){v & 255, v >> 8 & 255, v >> 16 & 255, !(v & TLB_X_DENY_WRITE)};
	return v;
}

static bool ref_upgrade(struct ref_model *m, unsigned asid, uint64_t va, struct leaf *x)
{
	struct level *all[] = {&m->l1d, &m->l1st, &m->l2};

	m->count[TLB_DATA].upgrade++;
	if (!ref_translate(m, va >> 12, asid, TLB_WRITE, x))
		return false;
	for (unsigned i = 0; i < 3; i++) {
		struct item *it = level_find(all[i], asid, va, 0);

		if (it)
			it->x.write_ok = x->write_ok;
	}
	return true;
}

void ref_access(struct ref_model *m, uint64_t page, unsigned asid, enum tlb_access access)
{
	struct tlb_counters *c = &m->count[access == TLB_EXEC ? TLB_INSTR : TLB_DATA];
	struct level *l1 = access == TLB_EXEC ? &m->l1i : &m->l1d;
	struct level *l2 = access == TLB_EXEC && m->l2i.there ? &m->l2i : &m->l2;
	bool known = false, write = access == TLB_WRITE;
	uint64_t va = page << 12;
	struct leaf x;
	struct item *it;

	if (write && m->l1st.there)
		l1 = &m->l1st;
	c->accesses++;
	if (!l1->there)
		return;
	it = level_find(l1, asid, va, 0);
	if (it && write && !it->x.write_ok) {
		if (!ref_upgrade(m, asid, va, &x)) {
			c->failed++;
			return;
		}
		known = true;
	}
	it = level_find(l1, asid, va, ++m->time);
	if (it) {
		c->folded += it->x.fold > it->x.leaf;
		return;
	}
	it = level_find(l2, asid, va, 0);
	if (it && !known && write && !it->x.write_ok) {
		if (!ref_upgrade(m, asid, va, &x)) {
			c->failed++;
			return;
		}
		known = true;
	}
	it = level_find(l2, asid, va, ++m->time);
	if (it) {
		c->l1_miss++;
		c->folded += it->x.fold > it->x.leaf;
		level_insert(l1, asid, va, &it->x, it->size, ++m->time);
		return;
	}
	if (!known && !ref_translate(m, page, asid, access, &x)) {
		c->failed++;
		return;
	}
	c->l1_miss++;
	c->l2_miss++;
	c->folded += x.fold > x.leaf;
	c->walk_loads += ref_walk(m, asid, va, x.leaf);
	level_insert(l2, asid, va, &x, UINT64_MAX, ++m->time);
	level_insert(l1, asid, va, &x, UINT64_MAX, ++m->time);
}

static uint64_t level_clear(struct level *l)
{
	uint64_t n = 0;

	for (unsigned i = 0; l->there && i < l->cfg.narrays; i++)
		for (unsigned k = 0; k < l->array[i].nsets; k++) {
			n += l->array[i].set[k].nr;
			l->array[i].set[k].nr = 0;
		}
	return n;
}

void ref_drop(struct ref_model *m, unsigned asid, uint64_t page, uint64_t nr, bool tables)
{
	struct level *all[] = {&m->l1i, &m->l1d, &m->l1st, &m->l2, &m->l2i};

	for (unsigned i = 0; i < 5; i++)
		if (i < 3 && m->cfg.l1_flushed_by_any)
			m->dropped += level_clear(all[i]);
		else
			m->dropped += level_remove(all[i], asid, page << 12, nr << 12, true);
	for (unsigned i = 1; tables && i < TLB_WALK_LEVELS; i++)
		level_remove(&m->walk[i], asid, page << 12, nr << 12, true);
}

void ref_drop_asid(struct ref_model *m, unsigned asid)
{
	ref_drop(m, asid, 0, UINT64_C(1) << 45, true);
}

void ref_drop_all(struct ref_model *m)
{
	struct level *all[] = {&m->l1i, &m->l1d, &m->l1st, &m->l2, &m->l2i};

	for (unsigned i = 0; i < 5; i++)
		m->dropped += level_clear(all[i]);
	for (unsigned i = 1; i < TLB_WALK_LEVELS; i++)
		level_clear(&m->walk[i]);
}

const struct tlb_counters *ref_counters(const struct ref_model *m, enum tlb_side side)
{
	return &m->count[side];
}

uint64_t ref_dropped(const struct ref_model *m)
{
	return m->dropped;
}
