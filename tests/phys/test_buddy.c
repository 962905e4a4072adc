/* SPDX-License-Identifier: MIT */
/*
 * The allocator against a model that is an array of owners: what it gives is free, aligned and
 * inside; it fails exactly when the model has no such block; what comes back merges wholly.
 */
#include "phys_test.h"

#define FRAMES_MAX 4096u

static uint64_t seed;

static uint64_t below(uint64_t n)
{
	return rnd_below_of(&seed, n);
}

/* ---- the model ---- */

struct block {
	pf_pfn_t first;
	unsigned order;
	struct pf_folio *folio; /* NULL: a table */
	size_t bytes;           /* of a table */
};

static struct pf_phys phys;
static bool used[FRAMES_MAX];
static struct block blocks[FRAMES_MAX];
static unsigned nr_blocks;
static int64_t live[3];

static void begin(uint64_t first, uint64_t nr, unsigned max_order)
{
	test_port_start((first + nr) * PAGE, 12);
	assert_int_equal(
		pf_phys_init(&phys, TEST_PORT_BASE + first * PAGE, nr * PAGE, 12, max_order), 0);
	memset(used, 0, sizeof(used));
	memset(live, 0, sizeof(live));
	nr_blocks = 0;
}

static bool model_has_room(unsigned order)
{
	uint64_t n = PF_BIT(order);

	for (uint64_t at = pf_align_up(phys.first, n); at + n <= phys.first + phys.nr; at += n) {
		bool room = true;

		for (uint64_t i = 0; i < n && room; i++)
			room = !used[at + i - phys.first];
		if (room)
			return true;
	}
	return false;
}

static void model_take(struct block b, enum pf_mem_use use)
{
	assert_true(pf_aligned(b.first, PF_BIT(b.order)));
	for (uint64_t i = 0; i < PF_BIT(b.order); i++) {
		assert_true(pf_phys_has(&phys, b.first + i));
		assert_false(used[b.first + i - phys.first]);
		used[b.first + i - phys.first] = true;
	}
	blocks[nr_blocks++] = b;
	live[use] += (int64_t)(PAGE << b.order);
}

static void model_check(void)
{
	struct pf_phys_stats st;
	uint64_t free = 0, in_blocks = 0;
	int largest = -1;

	check_all(&phys);
	pf_phys_stats(&phys, &st);
	for (uint64_t i = 0; i < phys.nr; i++)
		free += !used[i];
	for (unsigned o = 0; o <= PF_MAX_ORDER; o++) {
		in_blocks += st.blocks[o] << o;
		if (st.blocks[o])
			largest = (int)o;
	}
	assert_int_equal(st.pages, phys.nr);
	assert_int_equal(st.free, free);
	assert_int_equal(in_blocks, free);
	assert_int_equal(st.largest, largest);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(test_port.live[i], live[i]);
}

static void give_back(unsigned at)
{
	struct block b = blocks[at];

	blocks[at] = blocks[--nr_blocks];
	for (uint64_t i = 0; i < PF_BIT(b.order); i++)
		used[b.first + i - phys.first] = false;
	if (b.folio) {
		live[PF_USE_ANON] -= (int64_t)(PAGE << b.order);
		pf_folio_put(&phys, b.folio, 1);
	} else {
		struct pf_table_mem mem = pf_phys_table_mem(&phys);

		live[PF_USE_TABLE] -= (int64_t)(PAGE << b.order);
		mem.free(mem.ctx, b.first * PAGE, b.bytes);
	}
}

static void take_folio(unsigned order)
{
	bool room = order <= phys.max_order && model_has_room(order);
	struct pf_folio *f = pf_folio_alloc(&phys, order, PF_USE_ANON);

	assert_int_equal(f != NULL, room);
	if (!f)
		return;
	assert_int_equal(pf_folio_order(f), order);
	assert_int_equal(pf_folio_nr(f), 1u << order);
	assert_int_equal(pf_folio_ref(f), 1);
	assert_int_equal(pf_folio_extra_ref(f), 1);
	assert_int_equal(pf_folio_mapcount(f), 0);
	assert_false(pf_folio_maybe_pinned(f));
	assert_false(pf_folio_maybe_mapped_shared(f));
	assert_false(pf_folio_ae_any(f, 0, pf_folio_nr(f)));
	assert_false(pf_folio_test_flags(f, ~PF_FOLIO_USE(3) & ~(PF_FOLIO_FLAG(0) - 1)));
	model_take((struct block){pf_folio_pfn(&phys, f), order, f, 0}, PF_USE_ANON);
}

static void take_table(size_t bytes)
{
	struct pf_table_mem mem = pf_phys_table_mem(&phys);
	unsigned order = bytes > PAGE ? pf_log2(bytes / PAGE) : 0;
	bool room = order <= phys.max_order && model_has_room(order);
	pf_pa_t pa = mem.alloc(mem.ctx, bytes);
	static const char zero[24];

	assert_int_equal(pa != 0, room);
	if (!pa)
		return;
	assert_true(pf_aligned(pa, PAGE));
	for (uint64_t i = 0; i < PF_BIT(order); i++)
		assert_memory_equal(pf_port_memmap(pa + i * PAGE), zero, sizeof(zero));
	/* the owner uses all of its 24 bytes, and nothing of them may matter to the allocator */
	for (uint64_t i = 0; i < PF_BIT(order); i++)
		memset(pf_port_memmap(pa + i * PAGE), 0xa5, sizeof(zero));
	model_take((struct block){pa / PAGE, order, NULL, bytes}, PF_USE_TABLE);
}

/* ---- tests ---- */

static void init_refuses_what_it_cannot_manage(void **state)
{
	const pf_pa_t pa = TEST_PORT_BASE;

	(void)state;
	test_port_start(16 * PAGE, 12);
	assert_int_equal(pf_phys_init(&phys, pa, 16 * PAGE, 11, 4), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, pa, 16 * PAGE, 31, 4), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, pa, 16 * PAGE, 12, PF_MAX_ORDER + 1), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, pa, 0, 12, 4), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, 0, 16 * PAGE, 12, 4), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, pa + 8, 16 * PAGE, 12, 4), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, pa, 16 * PAGE + 8, 12, 4), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, pa, PAGE - 1, 12, 4), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, -PAGE, 2 * PAGE, 12, 4), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, pa, PAGE << 32, 12, 4), -PF_EOVERFLOW);
	assert_int_equal(pf_phys_init(&phys, pa, (PF_BIT(32) - 1) * PAGE, 12, 4), -PF_EOVERFLOW);
	/* this memmap has a record for every 4K */
	assert_int_equal(pf_phys_init(&phys, pa, 16 * PAGE, 14, 2), -PF_EINVAL);
	assert_int_equal(pf_phys_init(&phys, pa, 16 * PAGE, 12, PF_MAX_ORDER), 0);
	check_all(&phys);
}

/* Any first frame, any number, any largest order: all is given out, and comes back merged. */
static void every_small_range(void **state)
{
	(void)state;
	for (uint64_t first = 0; first < 20; first++) {
		for (uint64_t nr = 1; nr < 40; nr++) {
			struct pf_phys_stats before, after;
			unsigned max_order = (unsigned)((first + nr) % 7);

			begin(first, nr, max_order);
			model_check();
			pf_phys_stats(&phys, &before);
			assert_int_equal(before.free, nr);
			for (unsigned i = 0; i < nr; i++)
				take_folio(0);
			take_folio(0); /* checks that there is none */
			model_check();
			while (nr_blocks)
				give_back((unsigned)below(nr_blocks));
			model_check();
			/* two free buddies are an error, so the blocks are the largest that fit */
			pf_phys_stats(&phys, &after);
			assert_memory_equal(&before, &after, sizeof(before));
			check_all_free(&phys);
		}
	}
}

static void random_life(uint64_t first, uint64_t nr, unsigned max_order, unsigned steps)
{
	begin(first, nr, max_order);
	for (unsigned i = 0; i < steps; i++) {
		/* swings between nearly full and nearly empty */
		bool grow = (i / 300) & 1 ? below(4) == 0 : below(4) != 0;

		if (!grow && nr_blocks) {
			give_back((unsigned)below(nr_blocks));
		} else if (below(8) == 0) {
			static const size_t bytes[] = {1024, 4096, 16384, 65536};

			take_table(bytes[below(4)]);
		} else {
			take_folio((unsigned)(below(2) ? below(3) : below(PF_MAX_ORDER + 3)));
		}
		if (i % 16 == 0)
			model_check();
	}
	while (nr_blocks)
		give_back((unsigned)below(nr_blocks));
	model_check();
	check_all_free(&phys);
}

static void random_lives(void **state)
{
	(void)state;
	seed = 1;
	random_life(0, 4096, PF_MAX_ORDER, 20000);
	random_life(0, 64, 3, 5000);
	for (unsigned i = 0; i < 40; i++)
		random_life(below(200), 1 + below(700), (unsigned)below(PF_MAX_ORDER + 1), 1500);
}

/* The order of allocations is a function of the calls alone. */
static void same_calls_same_frames(void **state)
{
	static pf_pfn_t first_run[2000];

	(void)state;
	for (unsigned run = 0; run < 2; run++) {
		unsigned n = 0;

		seed = 99;
		begin(3, 1500, 9);
		while (n < 2000) {
			unsigned had = nr_blocks;

			if (nr_blocks && below(3) == 0)
				give_back((unsigned)below(nr_blocks));
			else
				take_folio((unsigned)below(6));
			if (run)
				assert_int_equal(first_run[n],
					nr_blocks > had ? blocks[nr_blocks - 1].first : had);
			else
				first_run[n] = nr_blocks > had ? blocks[nr_blocks - 1].first : had;
			n++;
		}
	}
}

/* An order that is too large is an order that there is none of, however large. */
static void orders_beyond_the_largest(void **state)
{
	static const unsigned orders[] = {4, 5, 12, 15, 16, 31, 32, 34, 63, 64, 66, UINT_MAX};

	(void)state;
	begin(0, 64, 3);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(orders); i++)
		assert_null(pf_folio_alloc(&phys, orders[i], PF_USE_ANON));
	check_all_free(&phys);
}

/* A memmap that an earlier life left as it was, folios and tables and all. */
static void init_over_an_earlier_life(void **state)
{
	struct pf_phys_stats st;

	(void)state;
	seed = 8;
	begin(0, 2048, PF_MAX_ORDER);
	for (unsigned round = 0; round < 20; round++) {
		uint64_t from = below(100), nr = 1000 + below(900);

		assert_int_equal(pf_phys_init(&phys, TEST_PORT_BASE + from * PAGE, nr * PAGE, 12,
					 (unsigned)below(PF_MAX_ORDER + 1)),
			0);
		check_all(&phys);
		pf_phys_stats(&phys, &st);
		assert_int_equal(st.free, nr);
		for (uint64_t i = 0; i < nr; i++)
			assert_null(pf_folio_try_get_page(&phys, phys.first + i));
		memset(used, 0, sizeof(used));
		nr_blocks = 0;
		memset(test_port.live, 0, sizeof(test_port.live));
		memset(live, 0, sizeof(live));
		for (unsigned i = 0; i < 200; i++) {
			if (below(4) == 0)
				take_table(4096 << below(3));
			else
				take_folio((unsigned)below(4));
		}
		model_check();
	}
}

/* The k-th allocation fails, for each k: nothing has changed, and the next one succeeds. */
static void failed_allocations_change_nothing(void **state)
{
	struct pf_table_mem mem;

	(void)state;
	begin(0, 256, 8);
	mem = pf_phys_table_mem(&phys);
	for (unsigned i = 0; i < 50; i++) {
		struct pf_phys_stats before, after;

		take_folio((unsigned)below(3));
		pf_phys_stats(&phys, &before);
		test_port.fail_at = 1;
		if (i & 1)
			assert_null(pf_folio_alloc(&phys, (unsigned)below(5), PF_USE_ANON));
		else
			assert_int_equal(mem.alloc(mem.ctx, 4096 << below(3)), 0);
		pf_phys_stats(&phys, &after);
		assert_memory_equal(&before, &after, sizeof(before));
		model_check();
	}
	take_folio(0);
	take_table(4096);
	assert_int_equal(nr_blocks, 52);
	while (nr_blocks)
		give_back(0);
	check_all_free(&phys);
}

/* Many folios back at once, of all orders and in any order. */
static void free_in_batches(void **state)
{
	struct pf_folio *batch[64];

	(void)state;
	seed = 5;
	begin(7, 3000, PF_MAX_ORDER);
	for (unsigned round = 0; round < 200; round++) {
		unsigned n = 0;

		while (n < 64) {
			struct pf_folio *f = pf_folio_alloc(&phys, (unsigned)below(5), PF_USE_ANON);

			if (!f)
				break;
			batch[n++] = f;
		}
		for (unsigned i = n; i > 1; i--) {
			unsigned j = (unsigned)below(i);
			struct pf_folio *t = batch[i - 1];

			batch[i - 1] = batch[j];
			batch[j] = t;
		}
		for (unsigned i = 0; i < n; i++)
			assert_true(pf_folio_put_testzero(batch[i], 1));
		pf_folios_free(&phys, batch, n);
		check_all_free(&phys);
	}
}

/* A new life starts clean, whatever the last one left in the records of head and tails. */
static void nothing_survives_freeing(void **state)
{
	(void)state;
	begin(0, 2048, PF_MAX_ORDER);
	for (unsigned order = 0; order <= PF_MAX_ORDER; order++) {
		struct pf_folio *f = pf_folio_alloc(&phys, order, PF_USE_META);
		struct pf_frame *r = &f->head;

		assert_non_null(f);
		assert_int_equal(test_port.live[PF_USE_META], PAGE << order);
		pf_folio_ae_set_range(f, 0, 1u << order);
		pf_folio_set_flags(f, PF_FOLIO_LOCKED | PF_FOLIO_HWPOISON | PF_FOLIO_SWAPCACHE);
		r->index = UINT64_MAX;
		r->mapping = UINT32_MAX;
		for (unsigned i = 1; i < 1u << order; i++)
			memset(r + i, 0xff, offsetof(struct pf_frame, count));
		pf_folio_put(&phys, f, 1);
		assert_int_equal(test_port.live[PF_USE_META], 0);
		for (unsigned smaller = 0; smaller <= order; smaller++) {
			take_folio(smaller);
			assert_int_equal(blocks[0].folio->head.index, 0);
			assert_int_equal(blocks[0].folio->head.mapping, 0);
			if (smaller) {
				static const char zero[24];

				for (unsigned i = 1; i < 1u << smaller; i++)
					assert_memory_equal(
						&(&blocks[0].folio->head)[i], zero, sizeof(zero));
			}
			give_back(0);
		}
	}
	check_all_free(&phys);
}

/* Large pages, and a range that does not begin at a block: the arithmetic in bytes. */
static void larger_page(void **state)
{
	static const unsigned shift[] = {14, 16};

	(void)state;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(shift); i++) {
		uint64_t page = PF_BIT(shift[i]);
		struct pf_folio *f[3];
		struct pf_table_mem mem;
		pf_pa_t table;

		test_port_start(200 * page, shift[i]);
		assert_int_equal(
			pf_phys_init(&phys, TEST_PORT_BASE + 5 * page, 101 * page, shift[i], 7), 0);
		mem = pf_phys_table_mem(&phys);
		table = mem.alloc(mem.ctx, page); /* one granule */
		assert_true(pf_phys_has(&phys, table >> shift[i]) && pf_aligned(table, page));
		assert_int_equal(test_port.live[PF_USE_TABLE], page);
		for (unsigned o = 0; o < 3; o++) {
			f[o] = pf_folio_alloc(&phys, 2 * o, PF_USE_ANON);
			assert_true(pf_aligned(pf_folio_pfn(&phys, f[o]), PF_BIT(2 * o)));
			assert_ptr_equal(
				pf_port_memmap(pf_folio_pfn(&phys, f[o]) << shift[i]), &f[o]->head);
		}
		assert_int_equal(test_port.live[PF_USE_ANON], 21 * page);
		check_all(&phys);
		for (unsigned o = 0; o < 3; o++)
			pf_folio_put(&phys, f[o], 1);
		mem.free(mem.ctx, table, page);
		check_all_free(&phys);
	}
}

/* 16 TiB of 4K frames would not fit; a range with more than 2^20 frames does, and is found quickly.
 */
static void large_range(void **state)
{
	struct pf_phys_stats st;
	uint64_t nr = (UINT64_C(1) << 22) + 3;

	(void)state;
	test_port_start(nr * PAGE, 12);
	assert_int_equal(pf_phys_init(&phys, TEST_PORT_BASE, nr * PAGE, 12, PF_MAX_ORDER), 0);
	pf_phys_stats(&phys, &st);
	assert_int_equal(st.free, nr);
	assert_int_equal(st.blocks[PF_MAX_ORDER], nr >> PF_MAX_ORDER);
	assert_int_equal(st.blocks[0] + 2 * st.blocks[1], 3);
	check_all(&phys);
	test_port_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_refuses_what_it_cannot_manage),
		cmocka_unit_test(every_small_range),
		cmocka_unit_test(random_lives),
		cmocka_unit_test(same_calls_same_frames),
		cmocka_unit_test(orders_beyond_the_largest),
		cmocka_unit_test(init_over_an_earlier_life),
		cmocka_unit_test(failed_allocations_change_nothing),
		cmocka_unit_test(free_in_batches),
		cmocka_unit_test(nothing_survives_freeing),
		cmocka_unit_test(larger_page),
		cmocka_unit_test(large_range),
	};

	return cmocka_run_group_tests_name("phys buddy", tests, NULL, NULL);
}
