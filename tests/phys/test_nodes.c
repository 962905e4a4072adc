/* SPDX-License-Identifier: MIT */
/*
 * Memory of several nodes, against a model that is an array of owners: where an allocation lands, in which order nodes are
 * asked, that blocks stay within theirs, and that one node's lists know nothing of another's memory.
 */
#include "phys_test.h"

#define FIRST     5u
#define FRAMES    2000u
#define ORDER     6u
#define PER_BLOCK (1u << ORDER)

static struct pf_phys phys;
static uint64_t seed;
static bool used[FRAMES];
static unsigned nr_nodes;

static uint64_t below(uint64_t n)
{
	return rnd_below_of(&seed, n);
}

/* Nodes of different sizes, the first of which begins at no block. */
static void begin(unsigned nr, const uint8_t *distance)
{
	pf_pfn_t from[PF_MAX_NODES];

	test_port_start((FIRST + FRAMES) * PAGE, 12);
	assert_int_equal(
		pf_phys_init(&phys, TEST_PORT_BASE + FIRST * PAGE, FRAMES * PAGE, 12, ORDER), 0);
	from[0] = phys.first;
	for (unsigned i = 1; i < nr; i++)
		from[i] = pf_align_down(phys.first + i * (FRAMES / nr - 20 + i), PER_BLOCK);
	assert_int_equal(pf_phys_divide(&phys, from, nr, distance), 0);
	nr_nodes = nr;
	memset(used, 0, sizeof(used));
	for (unsigned i = 0; i < nr; i++) {
		assert_int_equal(pf_phys_node(&phys, from[i]), i);
		if (i)
			assert_int_equal(pf_phys_node(&phys, from[i] - 1), i - 1);
	}
	assert_int_equal(pf_phys_node(&phys, phys.first + FRAMES - 1), nr - 1);
	check_all_free(&phys);
}

static bool has_room(unsigned node, unsigned order)
{
	const uint64_t n = PF_BIT(order);

	for (uint64_t at = pf_align_up(phys.first, n); at + n <= phys.first + FRAMES; at += n) {
		bool room = pf_phys_node(&phys, at) == node;

		for (uint64_t i = 0; i < n && room; i++)
			room = !used[at + i - phys.first];
		if (room)
			return true;
	}
	return false;
}

/* Which node an allocation must come from; nr_nodes: none. Neither lists nor tables: distances. */
static unsigned expected(const uint8_t *distance, struct pf_where where, unsigned order)
{
	unsigned best = nr_nodes, best_cost = 0;

	for (unsigned n = 0; n < nr_nodes; n++) {
		unsigned cost = n == where.node ? 0
				: distance      ? distance[where.node * nr_nodes + n]
						: 1;

		if (!(where.only >> n & 1) || order > ORDER || !has_room(n, order))
			continue;
		cost = cost * 32 + (n + nr_nodes - where.node) % nr_nodes;
		cost += where.first >> n & 1 ? 0 : 1u << 16;
		if (best == nr_nodes || cost < best_cost) {
			best = n;
			best_cost = cost;
		}
	}
	return best;
}

static struct pf_folio *alloc(const uint8_t *distance, struct pf_where where, unsigned order)
{
	const unsigned want = expected(distance, where, order);
	struct pf_folio *f = pf_folio_alloc_where(&phys, order, PF_USE_ANON, where);

	assert_int_equal(f != NULL, want < nr_nodes);
	if (!f)
		return NULL;
	assert_int_equal(pf_phys_node(&phys, pf_folio_pfn(&phys, f)), want);
	for (unsigned i = 0; i < 1u << order; i++) {
		assert_int_equal(pf_phys_node(&phys, pf_folio_pfn(&phys, f) + i), want);
		used[pf_folio_pfn(&phys, f) + i - phys.first] = true;
	}
	return f;
}

static void model_frees(const struct pf_folio *f)
{
	memset(&used[pf_folio_pfn(&phys, f) - phys.first], 0, pf_folio_nr(f));
}

static void model_check(void)
{
	struct pf_phys_stats all, st;
	uint64_t free[PF_MAX_NODES] = {0}, total = 0, pages = 0;

	check_all(&phys);
	for (uint64_t i = 0; i < FRAMES; i++)
		free[pf_phys_node(&phys, phys.first + i)] += !used[i];
	for (unsigned n = 0; n < nr_nodes; n++) {
		int largest = -1;

		pf_phys_node_stats(&phys, n, &st);
		assert_int_equal(st.free, free[n]);
		for (unsigned o = 0; o <= ORDER; o++)
			largest = st.blocks[o] ? (int)o : largest;
		assert_int_equal(st.largest, largest);
		total += st.free;
		pages += st.pages;
	}
	pf_phys_stats(&phys, &all);
	assert_int_equal(all.free, total);
	assert_int_equal(all.pages, FRAMES);
	assert_int_equal(pages, FRAMES);
}

static void random_life(unsigned nr, const uint8_t *distance)
{
	static struct pf_folio *live[FRAMES];
	unsigned n = 0;

	begin(nr, distance);
	for (unsigned i = 0; i < 4000; i++) {
		const bool grow = i / 400 & 1 ? below(4) == 0 : below(4) != 0;

		if (!grow && n > 8) {
			struct pf_folio *batch[8];

			/* Of whichever nodes, together. */
			for (unsigned k = 0; k < 8; k++) {
				const unsigned at = (unsigned)below(n);

				batch[k] = live[at];
				live[at] = live[--n];
				model_frees(batch[k]);
				assert_true(pf_folio_put_testzero(batch[k], 1));
			}
			pf_folios_free(&phys, batch, 8);
		} else {
			const struct pf_where where = {
				(uint8_t)below(nr), (uint8_t)below(256), (uint8_t)below(256)};
			struct pf_folio *f = alloc(distance, where,
				(unsigned)(below(3) ? below(2) : below(ORDER + 2)));

			if (f)
				live[n++] = f;
		}
		if (i % 16 == 0)
			model_check();
	}
	while (n)
		pf_folio_put(&phys, live[--n], 1);
	check_all_free(&phys);
}

static void random_lives(void **state)
{
	static const uint8_t four[] = {
		10, 20, 30, 20, 20, 10, 20, 30, 30, 20, 10, 20, 20, 30, 20, 10};

	(void)state;
	seed = 3;
	random_life(1, NULL);
	random_life(2, NULL);
	random_life(4, NULL);
	random_life(4, four);
	random_life(PF_MAX_NODES, NULL);
}

static void divide_refuses(void **state)
{
	pf_pfn_t from[PF_MAX_NODES + 1];
	struct pf_folio *f;

	(void)state;
	begin(1, NULL);
	from[0] = phys.first;
	from[1] = 10 * PER_BLOCK + pf_align_up(phys.first, PER_BLOCK);
	from[2] = from[1] + PER_BLOCK;
	assert_int_equal(pf_phys_divide(&phys, from, 0, NULL), -PF_EINVAL);
	assert_int_equal(pf_phys_divide(&phys, from, PF_MAX_NODES + 1, NULL), -PF_EINVAL);
	from[0]++;
	assert_int_equal(pf_phys_divide(&phys, from, 3, NULL), -PF_EINVAL);
	from[0]--;
	for (unsigned o = 0; o < ORDER; o++) {
		from[2] += PF_BIT(o);
		assert_int_equal(pf_phys_divide(&phys, from, 3, NULL), -PF_EINVAL);
		from[2] -= PF_BIT(o);
	}
	from[2] = from[1];
	assert_int_equal(pf_phys_divide(&phys, from, 3, NULL), -PF_EINVAL);
	from[2] = pf_align_up(phys.first + FRAMES, PER_BLOCK);
	assert_int_equal(pf_phys_divide(&phys, from, 3, NULL), -PF_EINVAL);
	from[2] = from[1] + PER_BLOCK;
	f = pf_folio_alloc(&phys, 0, PF_USE_ANON);
	assert_int_equal(pf_phys_divide(&phys, from, 3, NULL), -PF_EBUSY);
	assert_int_equal(phys.nr_nodes, 1);
	pf_folio_put(&phys, f, 1);
	check_all_free(&phys);
	assert_int_equal(pf_phys_divide(&phys, from, 3, NULL), 0);
	nr_nodes = 3;
	model_check();
	/* And otherwise, as long as all is free. */
	assert_int_equal(pf_phys_divide(&phys, from, 2, NULL), 0);
	nr_nodes = 2;
	model_check();
}

/* What borders on another node is not joined with it, from either side. */
static void blocks_stay_in_their_node(void **state)
{
	struct pf_folio *f[FRAMES + 1]; /* the last is NULL */
	struct pf_phys_stats before[2], after;
	unsigned n = 0;

	(void)state;
	begin(2, NULL);
	for (unsigned i = 0; i < 2; i++)
		pf_phys_node_stats(&phys, i, &before[i]);
	while ((f[n] = pf_folio_alloc(&phys, 0, PF_USE_ANON)))
		n++;
	assert_int_equal(n, FRAMES);
	while (n)
		pf_folio_put(&phys, f[--n], 1);
	for (unsigned i = 0; i < 2; i++) {
		pf_phys_node_stats(&phys, i, &after);
		assert_memory_equal(&before[i], &after, sizeof(after));
	}
	check_all_free(&phys);
}

/* ---- who is local, and who is asked for more ---- */

static unsigned here(void *ctx)
{
	return *(unsigned *)ctx;
}

static void local_first(void **state)
{
	static unsigned cpu_node;
	struct pf_table_mem mem;

	(void)state;
	begin(4, NULL);
	phys.local_node = here;
	phys.local_ctx = &cpu_node;
	mem = pf_phys_table_mem(&phys);
	for (cpu_node = 0; cpu_node < 6; cpu_node++) {
		/* A node that is not there is not believed. */
		const unsigned want = cpu_node < 4 ? cpu_node : 0;
		struct pf_folio *f = pf_folio_alloc(&phys, 2, PF_USE_ANON);
		pf_pa_t table = mem.alloc(mem.ctx, PAGE);

		assert_int_equal(pf_phys_local_node(&phys), want);
		assert_int_equal(pf_phys_node(&phys, pf_folio_pfn(&phys, f)), want);
		assert_int_equal(pf_phys_node(&phys, table / PAGE), want);
		mem.free(mem.ctx, table, PAGE);
		pf_folio_put(&phys, f, 1);
	}
	check_all_free(&phys);
}

static struct {
	struct pf_folio *folio;
	uint32_t nodes;
	unsigned calls;
} asked;

static uint64_t give_one_up(void *ctx, uint32_t nodes)
{
	(void)ctx;
	asked.calls++;
	asked.nodes = nodes;
	if (!asked.folio)
		return 0;
	model_frees(asked.folio);
	pf_folio_put(&phys, asked.folio, 1);
	asked.folio = NULL;
	return 1;
}

static void reclaim_is_told_where(void **state)
{
	struct pf_folio *f[FRAMES + 1]; /* the last is NULL */
	unsigned n = 0;

	(void)state;
	begin(4, NULL);
	phys.reclaim = give_one_up;
	memset(&asked, 0, sizeof(asked));
	while ((f[n] = alloc(NULL, pf_only(2), 0)))
		n++;
	assert_int_equal(asked.calls, 1);
	assert_int_equal(asked.nodes, 1u << 2);
	/* Elsewhere there is room, so nobody is asked. */
	asked.calls = 0;
	f[n] = alloc(NULL, pf_near(2), 0);
	assert_int_equal(pf_phys_node(&phys, pf_folio_pfn(&phys, f[n])), 3);
	n++;
	/* Nor for a large one. */
	assert_null(alloc(NULL, pf_only(2), 3));
	assert_int_equal(asked.calls, 0);
	asked.folio = f[0];
	f[0] = pf_folio_alloc_where(&phys, 0, PF_USE_ANON, pf_only(2));
	assert_int_equal(pf_phys_node(&phys, pf_folio_pfn(&phys, f[0])), 2);
	assert_int_equal(asked.calls, 1);
	/* A failure that is injected is one. */
	test_port.fail_at = 1;
	assert_null(pf_folio_alloc_where(&phys, 0, PF_USE_ANON, pf_near(0)));
	while (n)
		pf_folio_put(&phys, f[--n], 1);
	check_all_free(&phys);
}

static void split_queues(void **state)
{
	struct pf_folio *f[4];

	(void)state;
	begin(2, NULL);
	for (unsigned i = 0; i < 4; i++) {
		f[i] = alloc(NULL, pf_only(i / 2), 3);
		pf_folio_queue_split(&phys, f[i]);
	}
	for (unsigned n = 0; n < 2; n++)
		assert_int_equal(pf_folio_nr_split(&phys, n), 2);
	/* One leaves by being freed, of the other node one by being asked for. */
	pf_folio_put(&phys, f[2], 1);
	assert_ptr_equal(pf_folio_next_split(&phys, 0), f[0]);
	assert_int_equal(pf_folio_nr_split(&phys, 0), 1);
	assert_ptr_equal(pf_folio_next_split(&phys, 1), f[3]);
	assert_null(pf_folio_next_split(&phys, 1));
	assert_ptr_equal(pf_folio_next_split(&phys, 0), f[1]);
	pf_folio_put(&phys, f[0], 2);
	pf_folio_put(&phys, f[1], 2);
	pf_folio_put(&phys, f[3], 2);
	check_all_free(&phys);
}

/* ---- pf_phys_check() ---- */

static void found(void)
{
	const char *why = NULL;
	pf_pfn_t bad;

	assert_int_equal(pf_phys_check(&phys, &bad, &why), -PF_EINVAL);
	assert_non_null(why);
}

static void check_finds(void **state)
{
	struct pf_node kept[2];
	uint32_t end;

	(void)state;
	begin(2, NULL);
	memcpy(kept, phys.node, sizeof(kept));
	/* All in order, but that the lists are the other node's. */
	phys.node[0] = kept[1];
	phys.node[1] = kept[0];
	found();
	memcpy(phys.node, kept, sizeof(kept));
	check_all(&phys);
	phys.node[1].free_pages--;
	found();
	phys.node[1].free_pages++;
	/* A border through a block. */
	end = phys.node_end[0];
	phys.node_end[0]--;
	found();
	phys.node_end[0] = end;
	check_all(&phys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_lives),
		cmocka_unit_test(divide_refuses),
		cmocka_unit_test(blocks_stay_in_their_node),
		cmocka_unit_test(local_first),
		cmocka_unit_test(reclaim_is_told_where),
		cmocka_unit_test(split_queues),
		cmocka_unit_test(check_finds),
	};

	return cmocka_run_group_tests_name("phys nodes", tests, NULL, NULL);
}
