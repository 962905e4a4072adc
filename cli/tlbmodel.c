/* SPDX-License-Identifier: MIT */
#include "tlbmodel.h"

#include <stdlib.h>

#include "base/bits.h"

#define NO_KEY UINT64_MAX

/* The flags of a run, where a word has them. */
#define WORD(flags) ((uint32_t)(flags) << TRACE_WORD_FLAGS)

struct tlb_model {
	/* By place: who serves data (or loads, if stores have an L1 of their own), or code; and stores. */
	struct tlb_seat seat[2 * TLB_SEATS], store[2 * TLB_SEATS];
	uint64_t key[TRACE_WORD_PLACES]; /* NO_KEY: the place has no page */
	bool tag[TRACE_WORD_PLACES];
	struct tlb_entry nowhere; /* where a seat points that has no entry */
	struct tlb_level *l1[3];  /* by enum tlb_access; they may be the same */
	struct tlb_level *l2[TLB_SIDES];
	struct tlb_level *walk[TLB_WALK_LEVELS];
	uint32_t walk_last[TLB_WALK_LEVELS]; /* slot used last: a guess */
	uint64_t now;
	struct tlb_counters count[TLB_SIDES];
	uint64_t tagged, dropped;
	bool walk_caches;     /* there are some */
	uint8_t level_of[64]; /* level of the table that holds a leaf of 2^n bytes */
	tlb_xlate_fn *xlate;
	void *ctx;
	struct tlb_cfg cfg;
	struct tlb_level level[5 + TLB_WALK_LEVELS];
	unsigned nr_levels;
};
PF_STATIC_ASSERT(
	TRACE_WORD_DATA == 0 && TRACE_WORD_CODE == TLB_SEATS, "a level's places are its seats");

static unsigned table_shift(const struct tlb_cfg *cfg, unsigned level)
{
	return cfg->page_shift + level * cfg->level_bits;
}

static struct tlb_level_cfg walk_cfg(const struct tlb_cfg *cfg, unsigned level)
{
	return (struct tlb_level_cfg){
		.narrays = 1,
		.array[0] = {.entries = cfg->walk[level].entries,
			.ways = cfg->walk[level].ways,
			.sizes = UINT64_C(1) << table_shift(cfg, level)},
	};
}

static const char *check_l1(const struct tlb_cfg *cfg, const struct tlb_level_cfg *l1)
{
	uint64_t sizes = 0;

	for (unsigned i = 0; i < l1->narrays && i < TLB_MAX_ARRAYS; i++)
		sizes |= l1->array[i].sizes;
	/* Else an access would miss L1 again and again, and runs would not be exact. */
	if (!(sizes & ((UINT64_C(2) << cfg->page_shift) - 1)))
		return "an L1 holds no size as small as the page";
	for (unsigned i = 0; i < cfg->l2.narrays && i < TLB_MAX_ARRAYS; i++)
		if (cfg->l2.array[i].sizes & ((sizes & -sizes) - 1))
			return "an L2 holds a smaller size than an L1";
	for (unsigned i = 0; i < cfg->l2i.narrays && i < TLB_MAX_ARRAYS; i++)
		if (cfg->l2i.array[i].sizes & ((sizes & -sizes) - 1))
			return "an L2 holds a smaller size than an L1";
	if (l1->fracture == TLB_FRACTURE_BYPASS)
		return "an L1 must hold every translation";
	return tlb_level_check(l1);
}

const char *tlbmodel_check(const struct tlb_cfg *cfg)
{
	const char *wrong = NULL;

	if (cfg->page_shift < 12 || cfg->page_shift > 16)
		return "the page is not 4K to 64K";
	if (!cfg->levels || cfg->levels > TLB_WALK_LEVELS || !cfg->level_bits)
		return "tables have 1 to 5 levels";
	if (table_shift(cfg, cfg->levels) > 64)
		return "tables cover more than 64 bits";
	if (!cfg->l1d.narrays)
		return "there is no L1 for data";
	if (cfg->l2i.narrays && !cfg->l2.narrays)
		return "there is an L2 for instructions and none for data";
	wrong = check_l1(cfg, &cfg->l1d);
	if (!wrong && cfg->l1st.narrays)
		wrong = check_l1(cfg, &cfg->l1st);
	if (!wrong && cfg->l1i.narrays)
		wrong = check_l1(cfg, &cfg->l1i);
	if (!wrong && cfg->l2.narrays)
		wrong = tlb_level_check(&cfg->l2);
	if (!wrong && cfg->l2i.narrays)
		wrong = tlb_level_check(&cfg->l2i);
	if (!wrong && cfg->walk[0].entries)
		wrong = "a walk cache of level 0 would be a TLB";
	for (unsigned i = 1; !wrong && i < TLB_WALK_LEVELS; i++)
		if (cfg->walk[i].entries) {
			struct tlb_level_cfg w = walk_cfg(cfg, i);

			if (i >= cfg->levels)
				wrong = "a walk cache of a level that the tables do not have";
			else
				wrong = tlb_level_check(&w);
		}
	return wrong;
}

static bool make_level(struct tlb_model *m, const struct tlb_level_cfg *cfg, struct tlb_level **l)
{
	*l = &m->level[m->nr_levels];
	if (!tlb_level_init(*l, cfg))
		return false;
	m->nr_levels++;
	return true;
}

/* Nobody has a seat yet, and those that nobody will ever have deny all or nothing. */
static bool make_seats(struct tlb_model *m)
{
	const struct tlb_seat none = {.deny = UINT32_MAX, .e = &m->nowhere};
	struct tlb_seat data = none, store = none;
	bool split = m->l1[TLB_WRITE] != m->l1[TLB_READ], ok;

	if (split) {
		data.deny = WORD(TLB_RUN_READ);
		store.deny = WORD(TLB_RUN_WRITE);
	}
	ok = tlb_level_seats(m->l1[TLB_READ], m->seat, data);
	for (unsigned i = TRACE_WORD_CODE; i < 2 * TLB_SEATS; i++) {
		m->seat[i] = none;
		m->store[i].e = &m->nowhere;
	}
	if (m->l1[TLB_EXEC])
		ok = ok && tlb_level_seats(m->l1[TLB_EXEC], &m->seat[TRACE_WORD_CODE], none);
	if (split)
		ok = ok && tlb_level_seats(m->l1[TLB_WRITE], m->store, store);
	for (unsigned i = 0; i < TRACE_WORD_PLACES; i++)
		m->key[i] = NO_KEY;
	return ok;
}

struct tlb_model *tlbmodel_new(const struct tlb_cfg *cfg, tlb_xlate_fn *xlate, void *ctx)
{
	struct tlb_model *m = calloc(1, sizeof(*m));
	bool ok;

	if (!m)
		return NULL;
	m->cfg = *cfg;
	m->xlate = xlate;
	m->ctx = ctx;
	ok = make_level(m, &cfg->l1d, &m->l1[TLB_READ]);
	m->l1[TLB_WRITE] = m->l1[TLB_READ];
	if (cfg->l1st.narrays)
		ok = ok && make_level(m, &cfg->l1st, &m->l1[TLB_WRITE]);
	if (cfg->l1i.narrays)
		ok = ok && make_level(m, &cfg->l1i, &m->l1[TLB_EXEC]);
	if (cfg->l2.narrays)
		ok = ok && make_level(m, &cfg->l2, &m->l2[TLB_DATA]);
	m->l2[TLB_INSTR] = m->l2[TLB_DATA];
	if (cfg->l2i.narrays)
		ok = ok && make_level(m, &cfg->l2i, &m->l2[TLB_INSTR]);
	for (unsigned i = 1; i < TLB_WALK_LEVELS; i++)
		if (cfg->walk[i].entries) {
			struct tlb_level_cfg w = walk_cfg(cfg, i);

			ok = ok && make_level(m, &w, &m->walk[i]);
			m->walk_caches = true;
		}
	for (unsigned leaf = cfg->page_shift; leaf < 64; leaf++)
		while (m->level_of[leaf] + 1 < cfg->levels &&
			table_shift(cfg, m->level_of[leaf] + 1u) <= leaf)
			m->level_of[leaf]++;
	if (!ok || !make_seats(m)) {
		tlbmodel_free(m);
		return NULL;
	}
	return m;
}

void tlbmodel_free(struct tlb_model *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->nr_levels; i++)
		tlb_level_free(&m->level[i]);
	free(m);
}

/* ---- misses ---- */

static void use(struct tlb_model *m, struct tlb_level *l, uint32_t slot)
{
	l->ent[slot].stamp = ++m->now;
}

/* Loads of a walk that ended at a leaf of that size; fills the walk caches with what it read. */
static inline unsigned walk(struct tlb_model *m, uint64_t key, unsigned leaf)
{
	unsigned level = m->level_of[leaf], from = level + 1;
	struct tlb_place place[TLB_WALK_LEVELS];

	if (!m->walk_caches)
		return m->cfg.levels - level;
	for (; from < m->cfg.levels; from++) {
		struct tlb_level *l = m->walk[from];
		uint32_t slot = m->walk_last[from];

		if (!l)
			continue;
		if (!tlb_entry_covers(&l->ent[slot], key))
			slot = tlb_level_look(l, key, &place[from]);
		if (slot != TLB_NO_SLOT) {
			use(m, l, slot);
			m->walk_last[from] = slot;
			break;
		}
	}
	for (unsigned i = level + 1; i < from; i++) {
		unsigned shift = table_shift(&m->cfg, i);
		tlb_xlate_t x = tlb_xlate(shift, shift, shift, true);

		if (m->walk[i])
			m->walk_last[i] = tlb_level_insert(
				m->walk[i], key, x, UINT8_MAX, ++m->now, &place[i]);
	}
	return from - level;
}

static void allow_write(struct tlb_level *l, uint64_t key, tlb_xlate_t x)
{
	uint32_t slot = l ? tlb_level_find(l, key) : TLB_NO_SLOT;
	struct tlb_entry *e;

	if (slot == TLB_NO_SLOT)
		return;
	e = &l->ent[slot];
	tlb_unseat(l, slot);
	e->x.v = (e->x.v & ~TLB_X_DENY_WRITE) | (x.v & TLB_X_DENY_WRITE);
}

static inline tlb_xlate_t translate(struct tlb_model *m, uint64_t key, enum tlb_access access)
{
	return m->xlate(m->ctx, key & TLB_PAGE_MASK, (unsigned)(key >> TLB_ASID_SHIFT), access);
}

/* A write through an entry that denies it. What entries say about writes is updated; 0 if it failed. */
static __attribute__((noinline)) tlb_xlate_t upgrade(struct tlb_model *m, uint64_t key)
{
	tlb_xlate_t x = translate(m, key, TLB_WRITE);

	m->count[TLB_DATA].upgrade++;
	if (!x.v)
		return x;
	allow_write(m->l1[TLB_READ], key, x);
	if (m->l1[TLB_WRITE] != m->l1[TLB_READ])
		allow_write(m->l1[TLB_WRITE], key, x);
	allow_write(m->l2[TLB_DATA], key, x);
	return x;
}

/* One access. Returns the L1 entry that serves it, or NULL if it failed. */
static inline __attribute__((always_inline)) struct tlb_entry *access_one(
	struct tlb_model *m, uint64_t key, enum tlb_access access, struct tlb_counters *count)
{
	struct tlb_level *l1 = m->l1[access], *l2 = m->l2[access == TLB_EXEC];
	uint32_t deny = access == TLB_WRITE ? TLB_X_DENY_WRITE : 0;
	struct tlb_place in_l1, in_l2 = {.changes = UINT64_MAX};
	uint32_t slot = tlb_level_look(l1, key, &in_l1);
	unsigned cap = UINT8_MAX;
	tlb_xlate_t x = {0}; /* the present translation, once asked for */

	if (slot != TLB_NO_SLOT) {
		if (l1->ent[slot].x.v & deny) {
			x = upgrade(m, key);
			if (!x.v)
				return NULL;
			slot = tlb_level_look(l1, key, &in_l1);
		}
		if (slot != TLB_NO_SLOT) {
			use(m, l1, slot);
			goto out;
		}
	}
	slot = l2 ? tlb_level_look(l2, key, &in_l2) : TLB_NO_SLOT;
	if (PF_UNLIKELY(slot != TLB_NO_SLOT && !x.v && (l2->ent[slot].x.v & deny))) {
		x = upgrade(m, key);
		if (!x.v)
			return NULL;
		slot = tlb_level_look(l2, key, &in_l2);
	}
	if (slot != TLB_NO_SLOT) {
		use(m, l2, slot);
		x = l2->ent[slot].x;
		cap = l2->ent[slot].shift;
	} else {
		if (!x.v)
			x = translate(m, key, access);
		if (!x.v)
			return NULL;
		count->l2_miss++;
		count->walk_loads += walk(m, key, tlb_x_leaf(x));
		if (l2)
			tlb_level_insert(l2, key, x, UINT8_MAX, ++m->now, &in_l2);
	}
	count->l1_miss++;
	slot = tlb_level_insert(l1, key, x, cap, ++m->now, &in_l1);
out:
	return &l1->ent[slot];
}

/* ---- runs ---- */

/* The entry serves the place from now on. */
static void sit(struct tlb_level *l, unsigned place, struct tlb_entry *e, bool tag)
{
	unsigned i = place % TLB_SEATS;
	uint64_t weight = 1 | (uint64_t) !!(e->x.v & TLB_X_FOLDED) << 32;

	l->seated[e - l->ent] |= UINT64_C(1) << i;
	l->seat[i] = (struct tlb_seat){
		.deny = e->x.v & TLB_X_DENY_WRITE ? WORD(TLB_RUN_WRITE) : 0,
		.tag = tag ? UINT32_MAX : 0,
		.e = e,
		.weight = weight,
		.instr = place >= TRACE_WORD_CODE ? weight : 0,
	};
}

static struct tlb_entry *access_and_sit(
	struct tlb_model *m, unsigned place, enum tlb_access access, struct tlb_counters *count)
{
	struct tlb_entry *e = access_one(m, m->key[place], access, count);

	if (e)
		sit(m->l1[access], place, e, m->tag[place]);
	return e;
}

/* The second access of a run that may do anything: a write after reads, or a read after a write. */
static void run_second(struct tlb_model *m, unsigned place, enum tlb_access access)
{
	/* The accesses before one that failed were done, but how many is not known. */
	if (!access_and_sit(m, place, access, &m->count[TLB_DATA]))
		m->count[TLB_DATA].failed++;
}

/* A run that the seats did not serve: at most one access of each kind does anything. */
void tlbmodel_run_long(struct tlb_model *m, trace_word word, uint64_t accesses)
{
	unsigned place = trace_word_place(word);
	uint32_t flags = trace_word_flags(word);
	enum tlb_access access = flags & TLB_RUN_EXEC          ? TLB_EXEC
				 : flags & TLB_RUN_WRITE_FIRST ? TLB_WRITE
							       : TLB_READ;
	struct tlb_counters *count = &m->count[access == TLB_EXEC ? TLB_INSTR : TLB_DATA];
	const struct tlb_entry *e;

	count->accesses += accesses;
	if (m->tag[place])
		m->tagged += accesses;
	if (!m->l1[access]) {
		/* Counted, and that is all, from now on. */
		m->seat[place].deny = 0;
		m->seat[place].tag = m->tag[place] ? UINT32_MAX : 0;
		m->seat[place].weight = m->seat[place].instr = 1;
		return;
	}
	e = access_and_sit(m, place, access, count);
	if (!e) {
		count->failed += accesses;
		return;
	}
	if (e->x.v & TLB_X_FOLDED)
		count->folded += accesses;
	/* The entry that served the first access serves the others, unless they look elsewhere or it denies. */
	if (access == TLB_READ && (flags & TLB_RUN_WRITE) &&
		(m->l1[TLB_READ] != m->l1[TLB_WRITE] || (e->x.v & TLB_X_DENY_WRITE)))
		run_second(m, place, TLB_WRITE);
	if (access == TLB_WRITE && (flags & TLB_RUN_READ) && m->l1[TLB_READ] != m->l1[TLB_WRITE])
		run_second(m, place, TLB_READ);
}

/* False: the word is none that can be played. */
static __attribute__((noinline)) bool run_slow(struct tlb_model *m, trace_word word)
{
	unsigned place = trace_word_place(word);

	if (place >= TRACE_WORD_PLACES || m->key[place] == NO_KEY)
		return false;
	tlbmodel_run_long(m, word, trace_word_count(word));
	return true;
}

/* Sums of what seats served: accesses in the lower half, those through folded translations in the upper. */
struct served {
	uint64_t all, instr, tagged;
};

static void add_served(struct tlb_model *m, const struct served *s)
{
	uint64_t data = s->all - s->instr;

	m->count[TLB_DATA].accesses += (uint32_t)data;
	m->count[TLB_DATA].folded += data >> 32;
	m->count[TLB_INSTR].accesses += (uint32_t)s->instr;
	m->count[TLB_INSTR].folded += s->instr >> 32;
	m->tagged += s->tagged;
}

/* The sums of so many words do not leave their halves. */
#define PIECE 4096u
PF_STATIC_ASSERT((uint64_t)PIECE *TRACE_WORD_LOW <= UINT32_MAX, "PIECE words fit");

/* The level is the same for every data access: one seat serves a run. */
static size_t run_shared(struct tlb_model *m, const trace_word *words, size_t nr)
{
	const trace_word *w = words, *end = words + nr;
	struct served sum = {0};
	uint64_t now = m->now;

	for (; w < end; w++) {
		const struct tlb_seat *s = &m->seat[trace_word_place(*w)];
		uint64_t count = trace_word_count(*w);

		if (PF_UNLIKELY(*w & s->deny)) {
			m->now = now;
			if (!run_slow(m, *w))
				break;
			now = m->now;
			continue;
		}
		s->e->stamp = ++now;
		sum.all += count * s->weight;
		sum.instr += s->instr;
		sum.tagged += count & s->tag;
	}
	m->now = now;
	add_served(m, &sum);
	return (size_t)(w - words);
}

/* Stores have an L1 of their own. */
static size_t run_split(struct tlb_model *m, const trace_word *words, size_t nr)
{
	const trace_word *w = words, *end = words + nr;
	struct served sum = {0};

	for (; w < end; w++) {
		const struct tlb_seat *load = &m->seat[trace_word_place(*w)], *first = load;
		const struct tlb_seat *store = &m->store[trace_word_place(*w)];
		uint64_t count = trace_word_count(*w);

		if (*w & (load->deny | store->deny)) {
			if (!run_slow(m, *w))
				break;
			continue;
		}
		/* Two levels: their order does not matter. */
		m->now++;
		if (*w & WORD(TLB_RUN_READ | TLB_RUN_EXEC))
			load->e->stamp = m->now;
		if (*w & WORD(TLB_RUN_WRITE))
			store->e->stamp = m->now;
		if (*w & WORD(TLB_RUN_WRITE_FIRST))
			first = store;
		sum.all += count * first->weight;
		sum.instr += load->instr;
		sum.tagged += count & first->tag;
	}
	add_served(m, &sum);
	return (size_t)(w - words);
}

size_t tlbmodel_run(struct tlb_model *m, const trace_word *words, size_t nr)
{
	bool shared = m->l1[TLB_WRITE] == m->l1[TLB_READ];

	for (size_t at = 0; at < nr;) {
		size_t n = pf_min(nr - at, PIECE), done;

		done = shared ? run_shared(m, words + at, n) : run_split(m, words + at, n);
		at += done;
		if (done < n)
			return at;
	}
	return nr;
}

/* ---- places ---- */

static void leave(struct tlb_level *l, unsigned place)
{
	struct tlb_seat *s = &l->seat[place % TLB_SEATS];

	if (s->e != l->vacant.e)
		l->seated[s->e - l->ent] &= ~(UINT64_C(1) << place % TLB_SEATS);
	*s = l->vacant;
}

void tlbmodel_displace(struct tlb_model *m, unsigned place)
{
	if (m->key[place] == NO_KEY)
		return;
	m->key[place] = NO_KEY;
	if (place < TRACE_WORD_CODE) {
		leave(m->l1[TLB_READ], place);
		if (m->l1[TLB_WRITE] != m->l1[TLB_READ])
			leave(m->l1[TLB_WRITE], place);
	} else if (m->l1[TLB_EXEC]) {
		leave(m->l1[TLB_EXEC], place);
	} else {
		m->seat[place].deny = UINT32_MAX;
	}
}

void tlbmodel_displace_all(struct tlb_model *m)
{
	for (unsigned i = 0; i < TRACE_WORD_PLACES; i++)
		tlbmodel_displace(m, i);
}

void tlbmodel_place(struct tlb_model *m, unsigned place, uint64_t page, unsigned asid, bool tagged)
{
	tlbmodel_displace(m, place);
	m->key[place] = (uint64_t)asid << TLB_ASID_SHIFT | page;
	m->tag[place] = tagged;
}

uint64_t tlbmodel_tagged(const struct tlb_model *m)
{
	return m->tagged;
}

/* ---- invalidation ---- */

static void drop_l1(struct tlb_model *m, uint64_t key, uint64_t nr)
{
	for (unsigned i = 0; i < 3; i++) {
		if (!m->l1[i] || (i == TLB_WRITE && m->l1[TLB_WRITE] == m->l1[TLB_READ]))
			continue;
		m->dropped += m->cfg.l1_flushed_by_any ? tlb_level_drop_all(m->l1[i])
						       : tlb_level_drop(m->l1[i], key, nr);
	}
}

void tlbmodel_drop(struct tlb_model *m, unsigned asid, uint64_t page, uint64_t nr, bool tables)
{
	uint64_t key = (uint64_t)asid << TLB_ASID_SHIFT | (page & TLB_PAGE_MASK);

	nr = pf_min(nr, TLB_PAGE_MASK + 1 - (page & TLB_PAGE_MASK));
	drop_l1(m, key, nr);
	for (unsigned i = 0; i < TLB_SIDES; i++)
		if (m->l2[i] && (i != TLB_INSTR || m->l2[TLB_INSTR] != m->l2[TLB_DATA]))
			m->dropped += tlb_level_drop(m->l2[i], key, nr);
	for (unsigned i = 1; tables && i < TLB_WALK_LEVELS; i++)
		if (m->walk[i])
			tlb_level_drop(m->walk[i], key, nr);
}

/* asid -1: all of them. */
static void drop_many(struct tlb_model *m, int64_t asid)
{
	for (unsigned i = 0; i < m->nr_levels; i++) {
		struct tlb_level *l = &m->level[i];
		bool l1 = l == m->l1[TLB_READ] || l == m->l1[TLB_WRITE] || l == m->l1[TLB_EXEC];
		bool l2 = l == m->l2[TLB_DATA] || l == m->l2[TLB_INSTR];
		uint64_t dropped;

		if (asid < 0 || (l1 && m->cfg.l1_flushed_by_any))
			dropped = tlb_level_drop_all(l);
		else
			dropped = tlb_level_drop_asid(l, (uint64_t)asid);
		if (l1 || l2)
			m->dropped += dropped;
	}
}

void tlbmodel_drop_asid(struct tlb_model *m, unsigned asid)
{
	drop_many(m, asid);
}

void tlbmodel_drop_all(struct tlb_model *m)
{
	drop_many(m, -1);
}

const struct tlb_counters *tlbmodel_counters(const struct tlb_model *m, enum tlb_side side)
{
	return &m->count[side];
}

uint64_t tlbmodel_dropped(const struct tlb_model *m)
{
	return m->dropped;
}
