/* SPDX-License-Identifier: MIT */
/*
 * The TLB model against closed forms, and runs against single accesses; test_naive.c: against a naive model.
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
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_preset_list),
		cmocka_unit_test(test_walk_loads),
		cmocka_unit_test(test_fracture),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_large_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
