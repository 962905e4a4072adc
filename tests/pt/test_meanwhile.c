/* SPDX-License-Identifier: MIT */
/*
 * Tables found, made and unlinked while another CPU does the same: at each access that a call makes with no lock held,
 * and each time it has taken one that the other does without, the other makes a call of its own from beginning to end.
 */
#include "pt_test.h"

#define PAGES (PF_LEVEL_SIZE(1) >> PF_PAGE_SHIFT)
#define ALL   (UINT64_C(1) << (PF_VA_BITS - PF_PAGE_SHIFT))
#define VA    (3 * PF_LEVEL_SIZE(1))

static struct pf_pt *pt = &tree.pt;
static unsigned turn, turns;
static void (*other)(void);
static bool in_locks; /* the other's turn is where a lock has been taken; else where none is held */

static void after(const struct rec *r)
{
	if (in_locks ? r->kind != REC_LOCK : test_port.locks_held > 0)
		return;
	if (turns++ == turn) {
		unsigned held = test_port.locks_held;

		/* it holds none of them itself */
		test_port.locks_held = 0;
		other();
		assert_int_equal(test_port.locks_held, 0);
		test_port.locks_held = held;
	}
}

static void begin(unsigned when)
{
	tree_memory();
	assert_int_equal(
		pf_pt_init(pt, &pf_pt_format_this, &test_table_mem, 0, TEST_ASID, 0, PF_FOLD_LINUX),
		0);
	turn = when;
	turns = 0;
}

/* The call under test lies between this and done(). */
static void meanwhile(void (*what)(void), bool locks)
{
	other = what;
	in_locks = locks;
	recorder.on = true;
	recorder.after = after;
}

/* True if the other had its turn: there may be another moment. */
static bool done(void)
{
	recorder.on = false;
	recorder.after = NULL;
	assert_int_equal(test_port.rcu_depth, 0);
	return turns > turn;
}

static void end(void)
{
	pf_pt_destroy(pt);
	/* the last reader that anybody waited for */
	pf_port_rcu_read_lock();
	pf_port_rcu_read_unlock();
	assert_int_equal(tables_out, 0);
	assert_int_equal(test_port.locks_held, 0);
	test_port_stop();
}

static void set_one(pf_va_t va)
{
	struct pf_pte_map m;

	assert_true(pf_pte_offset_map_lock(pt, va, &m));
	pf_set_pte_at(&m, pf_pte_idx(&m, va), pf_pte_mk(7, PF_PTE_R), PF_NO_EXTENT);
	pf_pte_unmap_unlock(&m);
}

static bool is_there(pf_va_t va)
{
	struct pf_run run;

	return pf_pt_query(pt, va, 1, &run) == 1 && pf_pte_pfn(run.first) == 7;
}

static struct {
	struct pf_table *table[PF_LEVELS];
	unsigned nr;
} gone;

static void unlinked(void *ctx, struct pf_table *table, pf_va_t va)
{
	(void)ctx;
	(void)va;
	assert_true(gone.nr < PF_LEVELS);
	gone.table[gone.nr++] = table;
}

static void unlink_all(void)
{
	gone.nr = 0;
	pf_free_pgtables(pt, VA, PAGES, 0, ALL, unlinked, NULL);
}

/* ---- the others ---- */

/* As a gather does: lockless walkers may still be where the tables were. */
static void tables_go(void)
{
	unlink_all();
	assert_int_equal(gone.nr, PF_LEVELS - 1);
	for (unsigned i = 0; i < gone.nr; i++)
		pf_table_free_rcu(pt, gone.table[i]);
}

static void tables_go_and_come(void)
{
	tables_go();
	assert_int_equal(pf_pte_alloc(pt, VA), 0);
}

static void page_comes(void)
{
	assert_int_equal(pf_pte_alloc(pt, VA), 0);
	set_one(VA);
}

/* ---- the calls ---- */

/* Locked is what is linked, or nothing; and no table is given back that the walk may still look at. */
static void found_is_linked(void **state)
{
	unsigned moments = 0, found = 0;

	(void)state;
	for (unsigned come = 0; come < 2; come++) {
		for (unsigned k = 0;; k++) {
			struct pf_pte_map m;
			bool had_turn, got;

			begin(k);
			assert_int_equal(pf_pte_alloc(pt, VA), 0);
			meanwhile(come ? tables_go_and_come : tables_go, false);
			got = pf_pte_offset_map_lock(pt, VA, &m);
			had_turn = done();
			if (got) {
				pf_set_pte_at(&m, 0, pf_pte_mk(7, PF_PTE_R), PF_NO_EXTENT);
				pf_pte_unmap_unlock(&m);
				assert_true(is_there(VA));
				assert_int_equal(pf_pt_unmap(pt, VA, 1), 0);
			}
			/* They were gone for a while, or still are. */
			if (!had_turn || !come)
				assert_int_equal(got, !had_turn);
			end();
			found += got;
			if (!had_turn)
				break;
			moments++;
		}
	}
	/* the loads of the descent, each once at least */
	assert_true(moments >= 2 * (PF_LEVELS - 1));
	assert_true(found > 0);
}

static unsigned out_before;

static void tables_go_later(void)
{
	tables_go();
	/* somebody is inside */
	assert_int_equal(tables_out, out_before);
}

/* The same for the walk that looks for holes, which takes no lock at all. */
static void holes_outlive_tables(void **state)
{
	unsigned moments = 0;

	(void)state;
	for (unsigned k = 0;; k++) {
		uint64_t hole;
		bool had_turn;

		begin(k);
		assert_int_equal(pf_pte_alloc(pt, VA), 0);
		out_before = tables_out;
		meanwhile(tables_go_later, false);
		hole = pf_pte_hole(pt, VA, ALL);
		had_turn = done();
		/* Each moment's answer was true at some moment. */
		if (hole && hole != PAGES && hole != ALL - 3 * PAGES)
			assert_int_equal((hole + 3 * PAGES) & (hole + 3 * PAGES - 1), 0);
		end();
		if (!had_turn)
			break;
		moments++;
	}
	assert_true(moments >= PF_LEVELS - 1);
}

/* Both make the tables: what the other has put into its own is not lost, and there is one of each. */
static void made_by_two(void **state)
{
	unsigned moments = 0;

	(void)state;
	for (unsigned k = 0;; k++) {
		bool had_turn;

		begin(k);
		meanwhile(page_comes, false);
		assert_int_equal(pf_pte_alloc(pt, VA), 0);
		had_turn = done();
		assert_int_equal(is_there(VA), had_turn);
		assert_int_equal(tables_out, PF_LEVELS);
		if (had_turn)
			assert_int_equal(pf_pt_unmap(pt, VA, 1), 0);
		end();
		if (!had_turn)
			break;
		moments++;
		/* between two entries of a new table is like between any other two */
		k += moments > 20 ? (unsigned)rnd_below(E / 8) : 0;
	}
	assert_true(moments > 20);
}

/*
 * A page comes into tables that were empty when they were looked at: what it hangs in stays. In the second round it
 * comes when the upper lock of an unlinking is held: who sets a page does not wait for that one.
 */
static void filled_is_not_unlinked(void **state)
{
	unsigned moments[2] = {0};

	(void)state;
	for (unsigned locks = 0; locks < 2; locks++) {
		for (unsigned k = 0;; k += 1 + locks) {
			bool had_turn;

			begin(k);
			assert_int_equal(pf_pte_alloc(pt, VA), 0);
			meanwhile(page_comes, locks);
			unlink_all();
			had_turn = done();
			for (unsigned i = 0; i < gone.nr; i++) {
				assert_int_equal(gone.table[i]->live, 0);
				pf_table_free(pt, gone.table[i]);
			}
			assert_int_equal(is_there(VA), had_turn);
			if (locks && had_turn)
				assert_int_equal(gone.nr, k / 2);
			if (had_turn)
				assert_int_equal(pf_pt_unmap(pt, VA, 1), 0);
			end();
			if (!had_turn)
				break;
			moments[locks]++;
		}
	}
	assert_true(moments[0] >= PF_LEVELS - 1);
	assert_int_equal(moments[1], PF_LEVELS - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_is_linked),
		cmocka_unit_test(holes_outlive_tables),
		cmocka_unit_test(made_by_two),
		cmocka_unit_test(filled_is_not_unlinked),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " meanwhile", tests, NULL, NULL);
}
