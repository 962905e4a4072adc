/* SPDX-License-Identifier: MIT */
/*
 * The TLB model against a naive one (ref.h): every preset, and presets bent by options, while mappings change
 * under both.
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presets_naive),
		cmocka_unit_test(test_options_naive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
