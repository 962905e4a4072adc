/* SPDX-License-Identifier: MIT */
/*
 * The TLB model against closed forms, against a naive model, and runs against single accesses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "cli/tlb_presets.h"
#include "player.h"
#include "ref.h"

static uint64_t rng_state;

static uint64_t rnd(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (rng_state * UINT64_C(0x2545f4914f6cdd1d)) >> 16;
}

/* ---- a whole address space of one translation ---- */

static tlb_xlate_t uniform(void *ctx, uint64_t page, unsigned asid, enum tlb_access access)
{
	const uint8_t *x = ctx;

	(void)page, (void)asid, (void)access;
	return tlb_xlate(x[0], x[1], x[2], true);
}

/* {leaf, fold, run} */
static const uint8_t x_4k[] = {12, 12, 12}, x_64k_folded[] = {12, 16, 16}, x_2m[] = {21, 21, 21};

static struct tlb_model *oracle(const uint8_t *x)
{
	const struct tlb_preset *p = tlb_preset_find("qemu-oracle");
	struct tlb_model *m;

	assert_non_null(p);
	assert_null(tlbmodel_check(&p->cfg));
	m = player_new(&p->cfg, uniform, (void *)(uintptr_t)x);
	assert_non_null(m);
	return m;
}

static void play(struct tlb_model *m, uint64_t page, unsigned flags)
{
	player_run(m, page, 0, flags, 1);
}

static void assert_near(uint64_t got, double want, double tolerance)
{
	if ((double)got < want * (1 - tolerance) || (double)got > want * (1 + tolerance))
		fail_msg("%llu, expected %.0f within %g", (unsigned long long)got, want, tolerance);
}

/* Uniform random accesses over N translations: LRU with E entries misses 1 - E/N of them. */
static void gups(const uint8_t *x, double n, double want_l2)
{
	enum { UPDATES = 4000000, PAGES = 65536 };
	struct tlb_model *m = oracle(x);
	const struct tlb_counters *c = tlbmodel_counters(m, TLB_DATA);
	struct tlb_counters warm;

	rng_state = 0x123456789;
	for (unsigned i = 0; i < PAGES * 8; i++)
		play(m, rnd() % PAGES, TLB_RUN_READ);
	warm = *c;
	for (unsigned i = 0; i < UPDATES; i++)
		play(m, rnd() % PAGES, i & 1 ? TLB_RUN_WRITE | TLB_RUN_WRITE_FIRST : TLB_RUN_READ);
	assert_int_equal(c->accesses - warm.accesses, UPDATES);
	assert_near(c->l1_miss - warm.l1_miss, UPDATES * (1 - 48 / n), 0.001);
	if (want_l2 > 0)
		assert_near(c->l2_miss - warm.l2_miss, want_l2, 0.001);
	else
		assert_int_equal(c->l2_miss - warm.l2_miss, 0);
	assert_int_equal(c->folded - warm.folded, x[1] > x[0] ? UPDATES : 0);
	/* No walk caches: four levels, less those above a 2M leaf. */
	assert_int_equal(c->walk_loads, c->l2_miss * (x[0] == 12 ? 4 : 3));
	player_free(m);
}

static void test_gups_4k(void **state)
{
	(void)state;
	gups(x_4k, 65536, 4e6 * (1 - 1280.0 / 65536));
}

static void test_gups_64k(void **state)
{
	(void)state;
	gups(x_64k_folded, 4096, 4e6 * (1 - 1280.0 / 4096));
}

static void test_gups_2m(void **state)
{
	(void)state;
	gups(x_2m, 128, 0);
}

/* Cyclic over N pages: all miss when N > E, only the first round when N <= E. */
static void test_stride(void **state)
{
	(void)state;
	for (unsigned n = 40; n <= 60; n++) {
		struct tlb_model *m = oracle(x_4k);
		const struct tlb_counters *c = tlbmodel_counters(m, TLB_DATA);

		for (unsigned i = 0; i < 100 * n; i++)
			play(m, 1000 + i % n, TLB_RUN_READ);
		assert_int_equal(c->l1_miss, n > 48 ? 100 * n : n);
		assert_int_equal(c->l2_miss, n);
		player_free(m);
	}
	/* Consecutive pages fill the 256 sets evenly: L2 turns over at 1281. */
	for (unsigned n = 1279; n <= 1281; n++) {
		struct tlb_model *m = oracle(x_4k);
		const struct tlb_counters *c = tlbmodel_counters(m, TLB_DATA);

		for (unsigned i = 0; i < 10 * n; i++)
			play(m, 1024 + i % n, TLB_RUN_READ);
		assert_int_equal(c->l1_miss, 10 * n);
		/* One set has six pages for its five ways: those six always miss. */
		assert_int_equal(c->l2_miss, n > 1280 ? n + 9 * 6 : n);
		player_free(m);
	}
	/* The same reach in folded blocks: 48 of them hold 768 pages. */
	for (unsigned n = 767; n <= 769; n++) {
		struct tlb_model *m = oracle(x_64k_folded);
		const struct tlb_counters *c = tlbmodel_counters(m, TLB_DATA);

		for (unsigned i = 0; i < 10 * n; i++)
			play(m, 1024 + i % n, TLB_RUN_READ);
		assert_int_equal(c->l1_miss, n > 768 ? 49 * 10 : 48);
		player_free(m);
	}
}

/* Non-power-of-two sets: 384 sets of 8, a page and the one 384 on share a set. */
static void test_sets_384(void **state)
{
	struct tlb_cfg cfg = tlb_preset_find("zen4")->cfg;
	struct tlb_model *m;
	const struct tlb_counters *c;

	(void)state;
	m = player_new(&cfg, uniform, (void *)(uintptr_t)x_4k);
	c = tlbmodel_counters(m, TLB_DATA);
	for (unsigned i = 0; i < 200 * 10; i++)
		play(m, 5 + 384 * (i % 200), TLB_RUN_READ);
	assert_int_equal(c->l2_miss, 2000);
	player_free(m);
	m = player_new(&cfg, uniform, (void *)(uintptr_t)x_4k);
	c = tlbmodel_counters(m, TLB_DATA);
	for (unsigned i = 0; i < 200 * 10; i++)
		play(m, 5 + 512 * (i % 200), TLB_RUN_READ);
	/* 512 and 384 have the factor 128: three sets of the 384, 8 ways each. All but 24 of 200
	 * would fit nowhere, and cyclic LRU keeps none. */
	assert_int_equal(c->l2_miss, 2000);
	player_free(m);
	m = player_new(&cfg, uniform, (void *)(uintptr_t)x_4k);
	c = tlbmodel_counters(m, TLB_DATA);
	for (unsigned i = 0; i < 2000 * 10; i++)
		play(m, 5 + 257 * (i % 2000), TLB_RUN_READ);
	/* 257 is odd and prime to 3: all sets, five or six pages in each. */
	assert_int_equal(c->l2_miss, 2000);
	player_free(m);
}

/* A stream with repeats, as single accesses and as runs. */
static void runs_equal_raw(const char *preset, const uint8_t *x)
{
	enum { N = 400000 };
	struct tlb_cfg cfg = tlb_preset_find(preset)->cfg;
	struct tlb_model *raw = player_new(&cfg, uniform, (void *)(uintptr_t)x);
	struct tlb_model *run = player_new(&cfg, uniform, (void *)(uintptr_t)x);
	uint64_t page = 0, count = 0;
	unsigned flags = 0;

	rng_state = 42;
	for (unsigned i = 0; i < N; i++) {
		bool write = rnd() % 3 == 0;
		uint64_t p = rnd(), before = page;

		/* Stay on the page half of the time; else near, or anywhere. */
		if (p & 1)
			page = p & 6 ? 5000 + (p >> 8) % 60 : (p >> 8) % 8192;
		play(raw, page, write ? TLB_RUN_WRITE | TLB_RUN_WRITE_FIRST : TLB_RUN_READ);
		if (count && before != page) {
			player_run(run, before, 0, flags, count);
			count = 0;
		}
		if (!count++)
			flags = write ? TLB_RUN_WRITE_FIRST : 0;
		flags |= write ? TLB_RUN_WRITE : TLB_RUN_READ;
	}
	player_run(run, page, 0, flags, count);
	assert_int_equal(tlbmodel_tagged(raw), tlbmodel_tagged(run));
	assert_true(tlbmodel_tagged(raw) > N / 4);
	assert_memory_equal(tlbmodel_counters(raw, TLB_DATA), tlbmodel_counters(run, TLB_DATA),
		sizeof(struct tlb_counters));
	assert_int_equal(tlbmodel_counters(run, TLB_DATA)->accesses, N);
	assert_true(tlbmodel_counters(run, TLB_DATA)->l1_miss > 1000);
	player_free(raw);
	player_free(run);
}

static void test_runs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < tlb_presets_nr; i++) {
		runs_equal_raw(tlb_presets[i].name, x_4k);
		runs_equal_raw(tlb_presets[i].name, x_64k_folded);
	}
}

/* ---- a changing world, for the fast and the naive model alike ---- */

enum { ASIDS = 3, REGIONS = 96, BLOCKS = REGIONS * 32, REGION_PAGES = 512 };
enum kind { PLAIN, FOLDED, LEAF_2M, MIXED, CONTIGUOUS, UNMAPPED, FOLDED_32M, LEAF_1G, KINDS };

struct world {
	uint8_t kind[ASIDS][REGIONS];
	bool writable[ASIDS][BLOCKS];
	struct tlb_model *fast;
	struct ref_model *ref;
	uint64_t calls;
};

/* Where region r lies: the last ones far away, in 1G leaves of their own. */
static uint64_t region_page(unsigned r)
{
	return r < REGIONS - 4 ? 0x40000 + (uint64_t)r * REGION_PAGES
			       : 0x7f00000000 + (uint64_t)r * 0x40000;
}

static bool find_region(uint64_t page, unsigned *r)
{
	for (*r = 0; *r < REGIONS; ++*r)
		if (page >= region_page(*r) && page < region_page(*r) + REGION_PAGES)
			return true;
	return false;
}

static void world_drop(struct world *w, unsigned asid, uint64_t page, uint64_t nr, bool tables)
{
	if (w->fast)
		tlbmodel_drop(w->fast, asid, page, nr, tables);
	else
		ref_drop(w->ref, asid, page, nr, tables);
}

static tlb_xlate_t world_xlate(void *ctx, uint64_t page, unsigned asid, enum tlb_access access)
{
	struct world *w = ctx;
	unsigned r, block;
	enum kind kind;
	bool ok;

	w->calls++;
	if (!find_region(page, &r))
		return (tlb_xlate_t){0};
	block = r * 32 + (unsigned)(page % REGION_PAGES) / 16;
	kind = w->kind[asid][r];
	if (kind == UNMAPPED)
		return (tlb_xlate_t){0};
	if (access == TLB_WRITE && !w->writable[asid][block]) {
		if (block % 61 == 7)
			return (tlb_xlate_t){0};
		w->writable[asid][block] = true;
		/* Sometimes as copy on write does it, with an invalidation; sometimes of far more.
		 */
		if (page % 3 == 0)
			world_drop(w, asid, page, 1, false);
		if (page % 64 == 1)
			world_drop(w, asid, page & ~511ull, 512, true);
	}
	if (kind == MIXED)
		kind = block % 3 ? PLAIN : FOLDED;
	if (kind == FOLDED_32M && r >= REGIONS - 4)
		kind = LEAF_2M;
	if (kind == LEAF_1G && r < REGIONS - 4)
		kind = CONTIGUOUS;
	ok = w->writable[asid][block];
	switch (kind) {
	case FOLDED:
		return tlb_xlate(12, 16, 16, ok);
	case LEAF_2M:
		return tlb_xlate(21, 21, 21, ok);
	case CONTIGUOUS:
		return tlb_xlate(12, 12, block & 1 ? 21 : 14, ok);
	case FOLDED_32M:
		return tlb_xlate(21, 25, 25, ok);
	case LEAF_1G:
		return tlb_xlate(30, 30, 30, ok);
	default:
		return tlb_xlate(12, 12, 12, ok);
	}
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (unsigned a = 0; a < ASIDS; a++)
		for (unsigned r = 0; r < REGIONS; r++)
			w->kind[a][r] = (uint8_t)((r * 7 + a) % KINDS);
}

static uint64_t some_page(void)
{
	uint64_t k = rnd() % 100, p = rnd();

	if (k < 55) /* some 60 hot pages over all regions */
		return region_page((unsigned)(p % 20) * 5 % REGIONS) + (p >> 8) % 3 * 37;
	if (k < 85)
		return region_page((unsigned)(p % REGIONS)) + (p >> 8) % 12;
	return region_page((unsigned)(p % REGIONS)) + (p >> 8) % REGION_PAGES;
}

static void compare(const struct world *f, const struct world *n, unsigned step, const char *what)
{
	for (unsigned side = 0; side < TLB_SIDES; side++) {
		const uint64_t *a = (const uint64_t *)tlbmodel_counters(f->fast, side);
		const uint64_t *b = (const uint64_t *)ref_counters(n->ref, side);

		for (unsigned i = 0; i < sizeof(struct tlb_counters) / 8; i++)
			if (a[i] != b[i])
				fail_msg("%s, step %u, side %u, counter %u: %llu, naive %llu", what,
					step, side, i, (unsigned long long)a[i],
					(unsigned long long)b[i]);
	}
	assert_int_equal(tlbmodel_dropped(f->fast), ref_dropped(n->ref));
	assert_int_equal(f->calls, n->calls);
}

static void against_naive(const struct tlb_cfg *cfg, const char *what, unsigned steps)
{
	static struct world f, n;
	const struct tlb_counters *c;

	if (getenv("TLB_STEPS"))
		steps = (unsigned)atoi(getenv("TLB_STEPS"));
	if (tlbmodel_check(cfg))
		fail_msg("%s: %s", what, tlbmodel_check(cfg));
	world_init(&f);
	world_init(&n);
	f.fast = player_new(cfg, world_xlate, &f);
	n.ref = ref_new(cfg, world_xlate, &n);
	assert_non_null(f.fast);
	rng_state = 0xfeedface;
	for (unsigned step = 0; step < steps; step++) {
		uint64_t k = rnd(), page = some_page();
		unsigned asid = k % 16 ? 0 : (unsigned)(k >> 8) % ASIDS;

		if ((k >> 16) % 97 == 0) {
			unsigned r = (unsigned)rnd() % REGIONS;
			uint8_t kind = (uint8_t)(rnd() % KINDS);

			f.kind[asid][r] = n.kind[asid][r] = kind;
			if (k >> 40 & 1) {
				memset(&f.writable[asid][r * 32], 0, 32);
				memset(&n.writable[asid][r * 32], 0, 32);
			}
			/* One time in eight the flush is forgotten: entries of both sizes meet. */
			if (k >> 32 & 7) {
				world_drop(&f, asid, region_page(r), REGION_PAGES, k >> 36 & 1);
				world_drop(&n, asid, region_page(r), REGION_PAGES, k >> 36 & 1);
			}
		} else if ((k >> 16) % 97 == 1) {
			uint64_t nr = 1ull << rnd() % 12;

			world_drop(&f, asid, page, nr, k >> 36 & 1);
			world_drop(&n, asid, page, nr, k >> 36 & 1);
		} else if ((k >> 16) % 9973 == 2) {
			tlbmodel_drop_asid(f.fast, asid);
			ref_drop_asid(n.ref, asid);
		} else if ((k >> 16) % 99991 == 3) {
			tlbmodel_drop_all(f.fast);
			ref_drop_all(n.ref);
		} else {
			enum tlb_access access = (k >> 24) % 8 < 5   ? TLB_READ
						 : (k >> 24) % 8 < 7 ? TLB_WRITE
								     : TLB_EXEC;
			static const uint16_t flags[] = {
				TLB_RUN_READ, TLB_RUN_WRITE | TLB_RUN_WRITE_FIRST, TLB_RUN_EXEC};

			player_run(f.fast, page, asid, flags[access], 1);
			ref_access(n.ref, page, asid, access);
		}
		if (step % 4096 == 0)
			compare(&f, &n, step, what);
	}
	compare(&f, &n, steps, what);
	c = tlbmodel_counters(f.fast, TLB_DATA);
	/* The stream reached what it was made for. */
	assert_true(c->l1_miss < c->accesses && c->folded && c->failed && c->upgrade);
	assert_true(!cfg->l2.narrays || c->l2_miss < c->l1_miss);
	player_free(f.fast);
	ref_free(n.ref);
}

static void test_presets_naive(void **state)
{
	(void)state;
	for (unsigned i = 0; i < tlb_presets_nr; i++)
		against_naive(&tlb_presets[i].cfg, tlb_presets[i].name, 1000000);
}

/* Presets bent by options: every key, and shapes that no preset has. */
static void test_options_naive(void **state)
{
	static const char *const bent[][12] = {
		{"neoverse-n1", "contig", "off"},
		{"neoverse-n1", "coalesce", "4"},
		{"zen4", "coalesce", "8", "l2", "1536x12:4K:2M"},
		{"qemu-oracle", "l2", "300", "l1d", "17"},
		{"qemu-oracle", "l2", "none", "walk1", "20", "walk2", "6x3"},
		{"cortex-a76", "fracture", "bypass", "l2", "640x5:4K:2M+64:64K:32M", "l1d",
			"12:4K"},
		{"golden-cove", "contig", "on", "l1st", "24x3:4K:64K", "l2i", "128x4"},
	};

	(void)state;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(bent); i++) {
		struct tlb_cfg cfg = tlb_preset_find(bent[i][0])->cfg;

		for (unsigned k = 1; bent[i][k]; k += 2) {
			bool known;
			const char *wrong = tlb_cfg_set(&cfg, bent[i][k], bent[i][k + 1], &known);

			assert_true(known);
			if (wrong)
				fail_msg("%s=%s: %s", bent[i][k], bent[i][k + 1], wrong);
		}
		against_naive(&cfg, bent[i][2], 300000);
	}
}

/* What cannot be meant is refused. */
static void test_refused(void **state)
{
	static const char *const bad[][2] = {
		{"l1d", ""},
		{"l1d", "48x"},
		{"l1d", "48:"},
		{"l1d", "48:3K"},
		{"l1d", "48:4"},
		{"l1d", "48 "},
		{"l2", "20000"},
		{"l2", "16x4+"},
		{"l2", "1+1+1+1+1"},
		{"contig", "1"},
		{"coalesce", "3"},
		{"coalesce", "128"},
		{"fracture", "no"},
		{"walk1", "0"},
		{"walk2", "4x8"},
	};
	/* Parsed, but no TLB. */
	static const char *const senseless[][2] = {
		{"l1d", "48x5"},
		{"l1d", "none"},
		{"l1d", "48:2M"},
		{"l2", "none"},
		{"walk4", "8"},
		{"l2", "128x4:2K"},
		{"l1d", "0"},
		{"l1d", "48:2K:4K"},
	};
	bool known;

	(void)state;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(bad); i++) {
		struct tlb_cfg cfg = tlb_preset_find("zen4")->cfg, was = cfg;

		if (!tlb_cfg_set(&cfg, bad[i][0], bad[i][1], &known))
			fail_msg("%s=%s was accepted", bad[i][0], bad[i][1]);
		assert_true(known);
		assert_memory_equal(&cfg, &was, sizeof(cfg));
	}
	for (unsigned i = 0; i < PF_ARRAY_SIZE(senseless); i++) {
		struct tlb_cfg cfg = tlb_preset_find("zen4")->cfg;

		assert_null(tlb_cfg_set(&cfg, senseless[i][0], senseless[i][1], &known));
		if (!tlbmodel_check(&cfg))
			fail_msg("%s=%s passed the check", senseless[i][0], senseless[i][1]);
	}
	assert_null(tlb_cfg_set(&(struct tlb_cfg){0}, "thp", "64K", &known));
	assert_false(known);
}

/* Every figure says where it comes from; the presets are what their cores are. */
static void test_preset_list(void **state)
{
	const struct tlb_cfg *n1 = &tlb_preset_find("neoverse-n1")->cfg;

	(void)state;
	for (unsigned i = 0; i < tlb_presets_nr; i++) {
		const struct tlb_preset *p = &tlb_presets[i];

		assert_null(tlbmodel_check(&p->cfg));
		assert_non_null(p->figure[0].what);
		for (const struct tlb_figure *f = p->figure; f->what; f++) {
			assert_true(f->confidence == 'H' || f->confidence == 'M' ||
				    f->confidence == 'L');
			assert_true(!f->source == (f->confidence == 'L'));
			assert_true(!f->assumption == (f->confidence != 'L'));
			assert_null(strpbrk(f->what, "\"\\"));
			assert_null(strpbrk(f->source ? f->source : f->assumption, "\"\\"));
		}
	}
	assert_null(tlb_preset_find("neoverse"));
	assert_int_equal(n1->l1d.array[0].entries, 48);
	assert_int_equal(n1->l1d.array[0].ways, 0);
	assert_int_equal(n1->l2.array[0].entries, 1280);
	assert_int_equal(n1->l2.array[0].ways, 5);
	assert_true(n1->l1d.array[0].sizes & 64 << 10);
}

/* Loads of a walk, with a cache of pointers to leaf tables and without. */
static void test_walk_loads(void **state)
{
	struct tlb_cfg cfg = tlb_preset_find("qemu-oracle")->cfg;
	struct tlb_model *m;
	const struct tlb_counters *c;

	(void)state;
	cfg.walk[1].entries = 2;
	m = player_new(&cfg, uniform, (void *)(uintptr_t)x_4k);
	c = tlbmodel_counters(m, TLB_DATA);
	play(m, 0, TLB_RUN_READ);
	assert_int_equal(c->walk_loads, 4);
	play(m, 1, TLB_RUN_READ);
	assert_int_equal(c->walk_loads, 5);
	play(m, 512, TLB_RUN_READ); /* the second leaf table */
	assert_int_equal(c->walk_loads, 9);
	play(m, 2, TLB_RUN_READ);
	assert_int_equal(c->walk_loads, 10);
	play(m, 1024, TLB_RUN_READ); /* the third takes the place of the second */
	play(m, 3, TLB_RUN_READ);
	assert_int_equal(c->walk_loads, 15);
	play(m, 513, TLB_RUN_READ);
	assert_int_equal(c->walk_loads, 19);
	/* A leaf invalidation leaves the walk cache alone, one of tables does not. */
	tlbmodel_drop(m, 0, 513, 1, false);
	play(m, 513, TLB_RUN_READ);
	assert_int_equal(c->walk_loads, 20);
	tlbmodel_drop(m, 0, 513, 1, true);
	play(m, 513, TLB_RUN_READ);
	assert_int_equal(c->walk_loads, 24);
	player_free(m);
}

/* A block of which the L1 holds only pages, and the L2 the whole. */
static void test_fracture(void **state)
{
	struct tlb_cfg cfg = tlb_preset_find("qemu-oracle")->cfg;
	struct tlb_model *m;
	const struct tlb_counters *c;

	(void)state;
	cfg.l1d.array[0].sizes = 4096;
	m = player_new(&cfg, uniform, (void *)(uintptr_t)x_64k_folded);
	c = tlbmodel_counters(m, TLB_DATA);
	for (unsigned i = 0; i < 32; i++)
		play(m, i, TLB_RUN_READ);
	assert_int_equal(c->l1_miss, 32);
	assert_int_equal(c->l2_miss, 2);
	assert_int_equal(c->folded, 32);
	/* One page of a folded block is forgotten by L1; its neighbours in L1 stay. */
	tlbmodel_drop(m, 0, 5, 1, false);
	play(m, 6, TLB_RUN_READ);
	assert_int_equal(c->l1_miss, 32);
	play(m, 5, TLB_RUN_READ);
	assert_int_equal(c->l2_miss, 3);
	player_free(m);

	/* Pieces of one leaf go together. */
	m = player_new(&cfg, uniform, (void *)(uintptr_t)x_2m);
	c = tlbmodel_counters(m, TLB_DATA);
	for (unsigned i = 0; i < 32; i++)
		play(m, i, TLB_RUN_READ);
	tlbmodel_drop(m, 0, 400, 1, false);
	play(m, 6, TLB_RUN_READ);
	assert_int_equal(c->l1_miss, 33);
	assert_int_equal(c->l2_miss, 2);
	player_free(m);
}

/* Words end where the model does not know what they mean, and places where they get another page. */
static void test_places(void **state)
{
	enum { R = TLB_RUN_READ << TRACE_WORD_FLAGS | 1 << TRACE_WORD_COUNT };
	static const trace_word words[] = {
		R | 3, R | 4, R | 3, TRACE_WORD_PAGE | 5 << TRACE_WORD_COUNT, 7, 0, R | 5, R | 3};
	struct tlb_cfg cfg = tlb_preset_find("qemu-oracle")->cfg;
	struct tlb_model *m = tlbmodel_new(&cfg, uniform, (void *)(uintptr_t)x_4k);
	const struct tlb_counters *c = tlbmodel_counters(m, TLB_DATA);

	(void)state;
	assert_int_equal(tlbmodel_run(m, words, 8), 0);
	tlbmodel_place(m, 3, 100, 0, false);
	assert_int_equal(tlbmodel_run(m, words, 8), 1);
	tlbmodel_place(m, 4, 101, 0, true);
	assert_int_equal(tlbmodel_run(m, words + 1, 7), 2);
	assert_int_equal(c->accesses, 3);
	assert_int_equal(c->l1_miss, 2);
	tlbmodel_place(m, 5, 100, 0, false);
	assert_int_equal(tlbmodel_run(m, words + 6, 2), 2);
	assert_int_equal(c->l1_miss, 2);
	tlbmodel_place(m, 3, 102, 0, false);
	assert_int_equal(tlbmodel_run(m, words + 6, 2), 2);
	assert_int_equal(c->l1_miss, 3);
	tlbmodel_displace(m, 3);
	assert_int_equal(tlbmodel_run(m, words + 6, 2), 1);
	tlbmodel_displace_all(m);
	assert_int_equal(tlbmodel_run(m, words + 6, 2), 0);
	tlbmodel_place(m, 4, 101, 0, true);
	tlbmodel_run_long(m, words[1], UINT64_C(5) << 30);
	assert_int_equal(c->l1_miss, 3);
	assert_int_equal(tlbmodel_tagged(m), 1 + (UINT64_C(5) << 30));
	tlbmodel_free(m);
}

/* Full counts, all through folded translations: sums of both are exact. */
static void test_large_counts(void **state)
{
	enum { N = 100000 };
	struct tlb_model *m = oracle(x_64k_folded);
	const struct tlb_counters *c = tlbmodel_counters(m, TLB_DATA);
	trace_word *words = malloc(N * sizeof(*words));

	(void)state;
	tlbmodel_place(m, 9, 100, 0, true);
	for (unsigned i = 0; i < N; i++)
		words[i] =
			9 | TLB_RUN_READ << TRACE_WORD_FLAGS | TRACE_WORD_LOW << TRACE_WORD_COUNT;
	assert_int_equal(tlbmodel_run(m, words, N), N);
	assert_int_equal(c->accesses, (uint64_t)N * TRACE_WORD_LOW);
	assert_int_equal(c->folded, (uint64_t)N * TRACE_WORD_LOW);
	assert_int_equal(tlbmodel_tagged(m), (uint64_t)N * TRACE_WORD_LOW);
	free(words);
	player_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gups_4k),
		cmocka_unit_test(test_gups_64k),
		cmocka_unit_test(test_gups_2m),
		cmocka_unit_test(test_stride),
		cmocka_unit_test(test_sets_384),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_presets_naive),
		cmocka_unit_test(test_options_naive),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_preset_list),
		cmocka_unit_test(test_walk_loads),
		cmocka_unit_test(test_fracture),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_large_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
