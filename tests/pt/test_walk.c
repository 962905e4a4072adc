/* SPDX-License-Identifier: MIT */
/*
 * Tables: made on the way down, found, skipped as holes, unlinked when empty and wholly inside the bounds given.
 */
#include "pt_test.h"

#define SPAN   PF_LEVEL_SIZE(1) /* bytes that a leaf table maps */
#define PAGES  (SPAN >> PF_PAGE_SHIFT)
#define TABLES 24u /* leaf tables in play, in two groups far apart */
#define ALL    (UINT64_C(1) << (PF_VA_BITS - PF_PAGE_SHIFT))

static struct pf_pt *pt = &tree.pt;

/* First address of leaf table i: the first half at 0, the others at the very end. */
static pf_va_t table_va(unsigned i)
{
	if (i < TABLES / 2)
		return i * SPAN;
	return (UINT64_C(1) << PF_VA_BITS) - (TABLES - i) * SPAN;
}

static void begin(void)
{
	tree_memory();
	assert_int_equal(
		pf_pt_init(pt, &pf_pt_format_this, &test_table_mem, 0, TEST_ASID, 0, PF_FOLD_LINUX),
		0);
	recorder.on = true;
}

static void end(void)
{
	recorder.on = false;
	pf_pt_destroy(pt);
	assert_int_equal(tables_out, 0);
	assert_int_equal(test_port.locks_held, 0);
	assert_int_equal(test_port.rcu_depth, 0);
	test_port_stop();
}

static bool exists(pf_va_t va)
{
	struct pf_pte_map m;

	if (!pf_pte_offset_map_lock(pt, va, &m))
		return false;
	assert_int_equal(m.va, pf_align_down(va, SPAN));
	assert_int_equal(test_port.locks_held, 1);
	pf_pte_unmap_unlock(&m);
	return true;
}

static void made_once(void **state)
{
	(void)state;
	begin();
	for (unsigned i = 0; i < TABLES; i++) {
		pf_va_t va = table_va(i) + (rnd_below(PAGES) << PF_PAGE_SHIFT);
		unsigned out;

		assert_false(exists(va));
		assert_int_equal(pf_pte_alloc(pt, va), 0);
		assert_true(exists(va));
		out = tables_out;
		assert_int_equal(pf_pte_alloc(pt, va), 0);
		assert_int_equal(tables_out, out);
	}
	/* every slot of a new table is empty, which need not mean zero */
	assert_true(pf_pte_offset_map_lock(pt, 0, &tree.m));
	for (unsigned i = 0; i < E; i++)
		assert_true(pf_pte_none(pf_ptep_get(&tree.m, i)));
	assert_int_equal(tree.m.table->live, 0);
	pf_pte_unmap_unlock(&tree.m);
	end();
}

/* A walker must see a table's entries before the link to it: each link is a release (or all after the table's stores). */
static void links_are_released(void **state)
{
	unsigned links = 0;

	(void)state;
	begin();
	recorder_reset();
	assert_int_equal(pf_pte_alloc(pt, 0), 0);
	for (size_t r = 0; r < recorder.nr; r++)
		links += recorder.rec[r].kind == REC_STORE && recorder.rec[r].release;
#if PF_JUDGE
	/* formats of two words release every store */
	assert_true(links >= PF_LEVELS - 1);
#endif
	end();
}

static void fails_without_memory(void **state)
{
	(void)state;
	for (unsigned k = 1; k < PF_LEVELS; k++) {
		begin();
		test_port.fail_at = k;
		assert_int_equal(pf_pte_alloc(pt, 0), -PF_ENOMEM);
		assert_int_equal(tables_out, k); /* those above stay, empty */
		assert_false(exists(0));
		assert_int_equal(pf_pte_alloc(pt, 0), 0);
		assert_true(exists(0));
		assert_int_equal(tables_out, PF_LEVELS);
		end();
	}
}

/* Over a leaf of a higher level there is no table, and none is made. */
static void leaf_in_the_way(void **state)
{
	struct pf_pte_map m;

	(void)state;
	begin();
	assert_int_equal(pf_pt_map(pt, SPAN, PAGES, PAGES, PF_PTE_R), 0);
	assert_int_equal(pf_pte_alloc(pt, SPAN + PF_PAGE_SIZE), -PF_EEXIST);
	assert_false(pf_pte_offset_map_lock(pt, SPAN, &m));
	assert_int_equal(pf_pte_hole(pt, SPAN, ALL), PAGES);
	assert_int_equal(pf_pt_unmap(pt, SPAN, PAGES), 0);
	assert_int_equal(pf_pte_alloc(pt, SPAN), 0);
	end();
}

/* Up to the end of what the first missing entry spans, on whatever level it is missing; 0 where there is a table. */
static void holes(void **state)
{
	(void)state;
	begin();
	/* nothing but the root */
	for (unsigned k = 0; k < 50; k++) {
		uint64_t page = rnd_below(ALL), top = PF_LEVEL_SIZE(PF_LEVELS - 1) >> PF_PAGE_SHIFT;
		uint64_t to_end = top - page % top;

		assert_int_equal(pf_pte_hole(pt, page << PF_PAGE_SHIFT, ALL), to_end);
		assert_int_equal(pf_pte_hole(pt, page << PF_PAGE_SHIFT, 3), pf_min(3, to_end));
	}
	assert_int_equal(pf_pte_alloc(pt, SPAN), 0);
	assert_int_equal(pf_pte_hole(pt, SPAN, ALL), 0);
	assert_int_equal(pf_pte_hole(pt, 2 * SPAN - PF_PAGE_SIZE, 1), 0);
	assert_int_equal(pf_pte_hole(pt, 0, ALL), PAGES);
	assert_int_equal(pf_pte_hole(pt, 7 * PF_PAGE_SIZE, ALL), PAGES - 7);
	assert_int_equal(pf_pte_hole(pt, 2 * SPAN, ALL), PAGES);
	end();
}

static void nested_maps(void **state)
{
	struct pf_pte_map a, b;

	(void)state;
	begin();
	assert_int_equal(pf_pte_alloc(pt, 0), 0);
	assert_int_equal(pf_pte_alloc(pt, LAST_TABLE), 0);
	assert_true(pf_pte_offset_map_lock(pt, LAST_TABLE, &a));
	/* the same table, by its first and its last address: the lock is taken once */
	for (unsigned i = 0; i < 2; i++) {
		assert_true(pf_pte_offset_map_lock_nested(
			pt, LAST_TABLE + (i ? SPAN - PF_PAGE_SIZE : 0), &b, &a));
		assert_true(b.shared && b.base == a.base && b.va == a.va);
		pf_pte_unmap_unlock(&b);
		assert_int_equal(test_port.locks_held, 1);
	}
	assert_true(pf_pte_offset_map_lock_nested(pt, 0, &b, &a));
	assert_false(b.shared);
	assert_int_equal(test_port.locks_held, 2);
	pf_pte_unmap_unlock(&b);
	assert_false(pf_pte_offset_map_lock_nested(pt, SPAN, &b, &a));
	pf_pte_unmap_unlock(&a);
	end();
}

/* ---- unlinking ---- */

static struct {
	struct pf_table *table[64];
	pf_va_t va[64];
	unsigned nr;
} got;

static void unlinked(void *ctx, struct pf_table *table, pf_va_t va)
{
	assert_ptr_equal(ctx, &got);
	assert_true(got.nr < 64);
	got.table[got.nr] = table;
	got.va[got.nr++] = va;
}

/*
 * Random tables, some with an entry, and random bounds: gone are the empty ones that meet the range and lie wholly
 * within the floor and the ceiling, and those above them that this leaves empty; nothing else.
 */
static void unlinked_when_empty(void **state)
{
	uint64_t all = 0;

	(void)state;
	for (unsigned k = 0; k < 600; k++) {
		bool there[TABLES], used[TABLES];
		uint64_t first, nr, floor, floor_nr, leaves = 0;
		unsigned half = k & 1 ? TABLES / 2 : 0, out;

		seed = 0xc000 + k;
		begin();
		for (unsigned i = 0; i < TABLES; i++) {
			struct pf_pte_map m;

			there[i] = one_in(2);
			used[i] = there[i] && one_in(3);
			if (!there[i])
				continue;
			assert_int_equal(pf_pte_alloc(pt, table_va(i)), 0);
			if (!used[i])
				continue;
			assert_true(pf_pte_offset_map_lock(pt, table_va(i), &m));
			pf_set_pte_at(
				&m, (unsigned)rnd_below(E), pf_pte_mk(5, PF_PTE_R), PF_NO_EXTENT);
			pf_pte_unmap_unlock(&m);
		}
		/* in pages: a range around some of the tables, inside wider bounds */
		first = (table_va(half) >> PF_PAGE_SHIFT) + rnd_below(TABLES / 2 * PAGES);
		nr = 1 + rnd_below((table_va(half) >> PF_PAGE_SHIFT) + TABLES / 2 * PAGES - first);
		floor = one_in(2) ? first - pf_min(first, rnd_below(3 * PAGES)) : 0;
		floor_nr = one_in(2)
				   ? pf_min(ALL - floor, first - floor + nr + rnd_below(3 * PAGES))
				   : ALL - floor;
		got.nr = 0;
		out = tables_out;
		recorder_reset();
		pf_free_pgtables(pt, first << PF_PAGE_SHIFT, nr, floor << PF_PAGE_SHIFT, floor_nr,
			unlinked, &got);
		/* nothing is freed, nothing flushed: that is for who got them */
		assert_int_equal(tables_out, out);
		for (size_t r = 0; r < recorder.nr; r++)
			assert_true(recorder.rec[r].kind != REC_TLBI &&
				    recorder.rec[r].kind != REC_FREE);
		for (unsigned i = 0; i < TABLES; i++) {
			uint64_t at = table_va(i) >> PF_PAGE_SHIFT;
			bool meets = at < first + nr && at + PAGES > first;
			bool inside = at >= floor && at + PAGES <= floor + floor_nr;
			bool goes = there[i] && !used[i] && meets && inside;

			assert_int_equal(exists(table_va(i)), there[i] && !goes);
			leaves += goes;
		}
		for (unsigned i = 0; i < got.nr; i++) {
			uint64_t at = got.va[i] >> PF_PAGE_SHIFT;

			/* walk caches are flushed by an address of the range that it mapped */
			assert_true(at >= first && at < first + nr);
			leaves -= got.table[i]->level == 0;
			assert_int_equal(got.table[i]->live, 0);
			for (unsigned j = 0; j < i; j++)
				assert_ptr_not_equal(got.table[i], got.table[j]);
			all++;
		}
		assert_int_equal(leaves, 0);
		for (unsigned i = 0; i < got.nr; i++)
			pf_table_free(pt, got.table[i]);
		/* what is left can be emptied and goes, too, up to the root */
		assert_int_equal(pf_pt_unmap(pt, 0, ALL), 0);
		assert_int_equal(tables_out, 1);
		end();
	}
	assert_true(all > 600);
}

/* ---- another CPU's calls meanwhile ---- */

#if PF_JUDGE
static unsigned turn, turns;
static pf_va_t elsewhere;

/* At one moment of a call, where no lock is held, another CPU makes three of its own. */
static void another_cpu(enum rec_kind kind, const void *entry)
{
	(void)kind;
	(void)entry;
	if (test_port.locks_held || turns++ != turn)
		return;
	assert_int_equal(pf_pt_map(pt, elsewhere, 5, 99, PF_PTE_R), 0);
	assert_int_equal(pf_pt_protect(pt, elsewhere, 5, PF_PTE_X), 0);
	assert_int_equal(pf_pt_unmap(pt, elsewhere, 5), 0);
}

/* Ranges with no root entry in common: whatever the moment, neither call notices the other. */
static void calls_under_other_root_entries(void **state)
{
	unsigned moments = 0;

	(void)state;
	elsewhere = PF_LEVEL_SIZE(PF_LEVELS - 1) * 3;
	for (unsigned what = 0; what < 3; what++) {
		for (turn = 0;; turn += 1 + (E > 512 ? (unsigned)rnd_below(40) : 0)) {
			struct pf_run run;
			const uint64_t nr = PAGES + 7;
			const pf_va_t va = SPAN - 3 * PF_PAGE_SIZE;

			begin();
			turns = 0;
			if (what)
				assert_int_equal(
					pf_pt_map(pt, va, nr, PAGES - 3, PF_PTE_R | PF_PTE_W), 0);
			recorder.before = another_cpu;
			if (!what)
				assert_int_equal(
					pf_pt_map(pt, va, nr, PAGES - 3, PF_PTE_R | PF_PTE_W), 0);
			else if (what == 1)
				assert_int_equal(pf_pt_protect(pt, va, nr - 1, PF_PTE_R), 0);
			else
				assert_int_equal(pf_pt_unmap(pt, va, nr - 1), 0);
			recorder.before = NULL;
			for (uint64_t p = 0; p < nr; p += run.nr) {
				int mapped =
					pf_pt_query(pt, va + (p << PF_PAGE_SHIFT), nr - p, &run);

				assert_int_equal(mapped, what != 2 || p == nr - 1);
				if (mapped)
					assert_int_equal(pf_pte_pfn(run.first), PAGES - 3 + p);
				if (mapped)
					assert_int_equal(
						pf_pte_write(run.first), what == 0 || p == nr - 1);
			}
			assert_int_equal(pf_pt_unmap(pt, 0, ALL), 0);
			assert_int_equal(tables_out, 1);
			end();
			if (turns <= turn)
				break;
			moments++;
		}
	}
	assert_true(moments > 100);
}
#endif

/* A block that was folded, then made inaccessible: neighbours of what is zapped are no members of anything (2.6). */
static void protnone_blocks_are_no_blocks(void **state)
{
	(void)state;
	tree_open(PF_FEAT_HAF, 0, PF_FOLD_LINUX, 0);
	for (unsigned half = 0; half < 2; half++) {
		pf_set_ptes(&tree.m, 0, pf_pte_mk(N, PF_PTE_R | PF_PTE_W | PF_PTE_A | PF_PTE_D), N,
			(struct pf_extent){N, N});
		pf_modify_ptes(&tree.m, 0, N, 0, 0, 0, (struct pf_extent){N, N});
		for (unsigned i = 0; i < N; i++)
			assert_false(pf_hw_valid(raw_get(i)) || pf_ptes_folded(&tree.m, i));
		pf_clear_ptes(&tree.m, half ? N / 2 : 0, N / 2);
		pf_clear_young_dirty_ptes(&tree.m, half ? 0 : N / 2, N / 2,
			PF_CYDP_CLEAR_YOUNG | PF_CYDP_CLEAR_DIRTY);
		pf_test_and_clear_young_ptes(&tree.m, half ? 0 : N / 2, N / 2);
		for (unsigned i = 0; i < N; i++) {
			if ((i < N / 2) == !half)
				assert_true(pf_hw_none(raw_get(i)) &&
					    pf_hw_same(raw_get(i), pf_hw_empty()));
			else
				assert_true(pf_pte_protnone(pf_ptep_get(&tree.m, i)));
		}
		pf_clear_ptes(&tree.m, half ? 0 : N / 2, N / 2);
	}
	assert_int_equal(tree.m.table->live, 0);
	tree_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_once),
		cmocka_unit_test(links_are_released),
		cmocka_unit_test(fails_without_memory),
		cmocka_unit_test(leaf_in_the_way),
		cmocka_unit_test(holes),
		cmocka_unit_test(nested_maps),
		cmocka_unit_test(unlinked_when_empty),
#if PF_JUDGE
		cmocka_unit_test(calls_under_other_root_entries),
#endif
		cmocka_unit_test(protnone_blocks_are_no_blocks),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " walk", tests, NULL, NULL);
}
