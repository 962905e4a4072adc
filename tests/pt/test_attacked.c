/* SPDX-License-Identifier: MIT */
/*
 * Entries read without the table's lock while somebody who has it changes their block. Two threads, under a schedule of
 * the test's: the one that changes stands still after any number of its accesses, the reader reads up to any of its loads,
 * the other goes on for any number, the reader ends. What the reader says must be what the entry was at a moment while
 * it read; A and D must have been those of its block, of that very state. Row C1; and it ends, whatever others do.
 */
#include <ucontext.h>

#include "states.h"

#define FIRST N /* slot of the block under test */

/* An entry of two words is read by four loads, and an entry of one by one. */
#ifdef PF_2W_VALID
#define WORDS 2
#else
#define WORDS 1
#endif

static struct pf_pte_view view;

/* ---- two threads ---- */

struct thread {
	ucontext_t ctx;
	char stack[128 << 10];
	void (*run)(void);
	unsigned accesses, budget;
	bool done;
};
static struct thread reader, changer, *running;
static ucontext_t scheduler;

static void thread_main(void)
{
	running->run();
	running->done = true;
	recorder.busy = false;
	swapcontext(&running->ctx, &scheduler);
}

static void start(struct thread *t, void (*run)(void))
{
	getcontext(&t->ctx);
	t->ctx.uc_stack.ss_sp = t->stack;
	t->ctx.uc_stack.ss_size = sizeof(t->stack);
	t->ctx.uc_link = NULL;
	makecontext(&t->ctx, thread_main, 0);
	t->run = run;
	t->done = false;
	t->accesses = 0;
}

/* Until it is about to make its n-th access from here on, n counted from 0; or ends. */
static void let(struct thread *t, unsigned n)
{
	if (t->done)
		return;
	running = t;
	t->budget = n;
	recorder.busy = false;
	swapcontext(&scheduler, &t->ctx);
	running = NULL;
}

static void before(enum rec_kind kind, const void *entry)
{
	struct thread *t = running;

	(void)kind;
	(void)entry;
	if (!t)
		return;
	while (!t->budget) {
		recorder.busy = false;
		swapcontext(&t->ctx, &scheduler);
		recorder.busy = true;
	}
	t->budget--;
	t->accesses++;
}

/* ---- what the entries said, while the reader was at it ---- */

#define MOST 64

/* Without A and D. */
struct set {
	pf_pte_t e[MOST];
	unsigned nr;
};
static struct set said[64];     /* by slot of the block */
static struct set young, dirty; /* of the first slot, what any member showed A or D of */

static void add(struct set *s, pf_pte_t e)
{
	e = pf_pte_clear(e, PF_PTE_A | PF_PTE_D);
	for (unsigned i = 0; i < s->nr; i++)
		if (pf_pte_same(s->e[i], e))
			return;
	assert_true(s->nr < MOST);
	s->e[s->nr++] = e;
}

static bool has(const struct set *s, pf_pte_t e)
{
	e = pf_pte_clear(e, PF_PTE_A | PF_PTE_D);
	for (unsigned i = 0; i < s->nr; i++)
		if (pf_pte_same(s->e[i], e))
			return true;
	return false;
}

static bool noting;
static unsigned target;

static void note(void)
{
	for (unsigned i = 0; i < N; i++) {
		pf_hw_t hw = raw_get(FIRST + i);
		pf_pte_t e = pf_hw_decode(hw, 0, FIRST + i);
		const bool block = pf_hw_present(hw, 0) && pf_hw_cont(hw);

		add(&said[i], e);
		if (!pf_pte_present(e) || (!block && i != target))
			continue;
		/* what it says of the block's first page */
		e = pf_pte_advance(e, -(uint64_t)i);
		if (pf_pte_young(e))
			add(&young, e);
		if (pf_pte_dirty(e))
			add(&dirty, e);
	}
}

static void after(const struct rec *r)
{
	if (running == &changer && noting && r->kind != REC_LOAD)
		note();
}

/* ---- the changes ---- */

static struct pf_extent extent;
static pf_pte_t run0; /* what the block maps first */

static void fill(pf_pte_t e, bool folded, uint64_t odd)
{
	for (unsigned i = 0; i < N; i++)
		put(FIRST + i, pf_pte_set(pf_pte_advance(e, i), one_in(2) ? odd & rnd() : odd),
			folded);
	tree.m.table->live = (uint16_t)N;
	extent = (struct pf_extent){pf_pte_pfn(e), N};
	run0 = e;
}

static void unfold(void)
{
	pf_ptep_set_wrprotect(&tree.m, FIRST + N / 2, PF_NO_EXTENT);
}

static void fold(void)
{
	pf_set_pte_at(
		&tree.m, FIRST + N - 1, pf_pte_advance(pf_pte_set(run0, PF_PTE_A), N - 1), extent);
}

static void wrprotect(void)
{
	pf_wrprotect_ptes(&tree.m, FIRST, N, PF_NO_EXTENT);
}

static void clear_young(void)
{
	pf_test_and_clear_young_ptes(&tree.m, FIRST, N);
	pf_clear_young_dirty_ptes(&tree.m, FIRST, N, PF_CYDP_CLEAR_YOUNG | PF_CYDP_CLEAR_DIRTY);
}

/* Another folio's pages for a while, all of them written; then the first ones again, clean. */
static void other_and_back(void)
{
	const pf_pte_t other = pf_pte_set(pf_pte_advance(run0, 8 * N), PF_PTE_A | PF_PTE_D);

	pf_clear_ptes(&tree.m, FIRST, N);
	pf_set_ptes(&tree.m, FIRST, other, N, (struct pf_extent){pf_pte_pfn(other), N});
	pf_clear_ptes(&tree.m, FIRST, N);
	pf_set_ptes(&tree.m, FIRST, run0, N, extent);
}

/* Small folios in its place. */
static void other_pages(void)
{
	pf_clear_ptes(&tree.m, FIRST, N);
	for (unsigned i = 0; i < N; i++)
		pf_set_pte_at(&tree.m, FIRST + i,
			pf_pte_set(pf_pte_advance(run0, 8 * N + 3 * i), PF_PTE_A | PF_PTE_D),
			PF_NO_EXTENT);
}

/* Read-only, clean; then all may be written, and was; and back. */
static void written(void)
{
	const uint64_t prot = run0.v & PF_PTE_PROT_BITS;

	pf_modify_ptes(&tree.m, FIRST, N, prot | PF_PTE_W, 0, 0, extent);
	pf_ptep_set_access_flags(&tree.m, FIRST, pf_pte_set(run0, PF_PTE_W | PF_PTE_A | PF_PTE_D),
		false, PF_NO_EXTENT);
	pf_clear_young_dirty_ptes(&tree.m, FIRST, N, PF_CYDP_CLEAR_YOUNG | PF_CYDP_CLEAR_DIRTY);
	pf_modify_ptes(&tree.m, FIRST, N, prot, 0, 0, extent);
}

static void none_and_back(void)
{
	pf_modify_ptes(&tree.m, FIRST, N, 0, 0, 0, PF_NO_EXTENT);
	pf_modify_ptes(&tree.m, FIRST, N, run0.v & PF_PTE_PROT_BITS, 0, 0, extent);
}

static void swapped_out(void)
{
	pf_clear_ptes(&tree.m, FIRST, N);
	for (unsigned i = 0; i < N; i++)
		pf_set_pte_at(&tree.m, FIRST + i, pf_pte_swap(1, 40 + i, 0), PF_NO_EXTENT);
}

static const struct change {
	const char *name;
	void (*run)(void);
	uint64_t prot, odd;
	bool folded;
} changes[] = {
	{"unfold", unfold, PF_PTE_R | PF_PTE_W, PF_PTE_A | PF_PTE_D, true},
	{"fold", fold, PF_PTE_R | PF_PTE_W, PF_PTE_A | PF_PTE_D, false},
	{"wrprotect", wrprotect, PF_PTE_R | PF_PTE_W, PF_PTE_A | PF_PTE_D, true},
	{"clear_young", clear_young, PF_PTE_R | PF_PTE_W, PF_PTE_A | PF_PTE_D, true},
	{"other and back", other_and_back, PF_PTE_R | PF_PTE_W, 0, true},
	{"other pages", other_pages, PF_PTE_R | PF_PTE_W, PF_PTE_A, true},
	{"written", written, PF_PTE_R, 0, true},
	{"none and back", none_and_back, PF_PTE_R | PF_PTE_W, PF_PTE_A | PF_PTE_D, true},
	{"swapped out", swapped_out, PF_PTE_R, PF_PTE_A, true},
};

/* ---- the readers ---- */

static bool ok;
static pf_pte_t got;
static unsigned got_nr;

static void read_one(void)
{
	ok = pf_ptep_get_lockless(&view, FIRST + target, &got);
}

static void read_batch(void)
{
	got_nr = pf_pte_batch_lockless(&view, FIRST + target, N - target, &got);
}

static const char *what;
static unsigned at[3];

#define WHERE                                                                                      \
	"%s, slot %u, at %u %u %u: %s, features %x", what, target, at[0], at[1], at[2],            \
		pte_text(got), tree.pt.features

static void check_one(void)
{
	const pf_pte_t of_first = pf_pte_advance(got, -(uint64_t)target);

	if (!ok)
		return;
	CHECK(has(&said[target], got), WHERE);
	if (!pf_pte_present(got))
		return;
	CHECK(!pf_pte_young(got) || has(&young, of_first), "A invented: " WHERE);
	CHECK(!pf_pte_dirty(got) || has(&dirty, of_first), "D invented: " WHERE);
}

static void check_batch(void)
{
	for (unsigned i = 0; i < got_nr; i++)
		CHECK(has(&said[target + i], pf_pte_advance(got, i)), WHERE);
}

static void empty_sets(void)
{
	for (unsigned i = 0; i < N; i++)
		said[i].nr = 0;
	young.nr = dirty.nr = 0;
}

/* One schedule. The number of accesses that the two have made. */
static void schedule(const struct change *c, void (*read)(void))
{
	fill(pf_pte_mk(rnd_base(), c->prot & PF_PTE_SUPPORTED), c->folded, c->odd);
	recorder_reset();
	empty_sets();
	start(&changer, c->run);
	start(&reader, read);
	noting = false;
	let(&changer, at[0]);
	note();
	noting = true;
	let(&reader, at[1]);
	let(&changer, at[2]);
	let(&reader, UINT32_MAX);
	noting = false;
	assert_true(reader.done);
	let(&changer, UINT32_MAX);
	assert_true(changer.done);
}

static void explore(const struct change *c, void (*read)(void), void (*check)(void))
{
	unsigned gave_up = 0, schedules = 0;

	what = c->name;
	for (unsigned i = 0; i < 4; i++) {
		target = i == 0 ? 0 : i == 1 ? N - 1 : (unsigned)rnd_below(N);
		for (at[0] = 0;; at[0] += 1 + (N > 4 ? (unsigned)rnd_below(3) : 0)) {
			for (at[1] = 0;; at[1]++) {
				for (unsigned k = 0; k < 4; k++) {
					at[2] = k ? (unsigned)rnd_below(changer.accesses + 2)
						  : UINT32_MAX;
					schedule(c, read);
					check();
					gave_up += read == read_one && !ok;
					schedules++;
				}
				if (at[1] > reader.accesses)
					break;
			}
			if (at[0] > changer.accesses)
				break;
		}
	}
	/* With at most two changes of turns nothing is changed five times. */
	CHECK(read != read_one || gave_up < schedules / 4, "%s: gave up %u times of %u", what,
		gave_up, schedules);
}

static void one_state(void **state)
{
	(void)state;
	for (unsigned f = 0; f < 2; f++) {
		tree_open(f ? PF_HW_AD_FEATURES : 0, 0, PF_FOLD_LINUX, 0);
		assert_true(pf_pte_offset_map(&tree.pt, 0, &view));
		recorder.before = before;
		recorder.after = after;
		for (unsigned i = 0; i < PF_ARRAY_SIZE(changes); i++) {
			explore(&changes[i], read_one, check_one);
			explore(&changes[i], read_batch, check_batch);
		}
		recorder.before = NULL;
		recorder.after = NULL;
		recorder.on = false;
		pf_clear_ptes(&tree.m, FIRST, N);
		pf_pte_unmap(&view);
		tree_close();
	}
}

/* ---- it ends ---- */

static uint64_t quarters; /* of a reading of an entry */
static unsigned lull;

/* A block that is another each time, all or a part of it, folded or not. */
static void attack(enum rec_kind kind, const void *entry)
{
	(void)entry;
	assert_int_equal(kind, REC_LOAD);
	/* two words: four loads at most */
	quarters += WORDS == 2 ? 1 : 4;
	CHECK(quarters <= 4 * 5 * (N + 2), "after %u entries still not read", 5 * (N + 2));
	/* now and then it is left alone for as long as it takes */
	if (lull && lull--)
		return;
	if (one_in(16))
		lull = 8 * N;
	if (one_in(8))
		fill(pf_pte_mk(rnd_base(), PF_PTE_R | (one_in(2) ? PF_PTE_W : 0)), one_in(2),
			PF_PTE_A);
	else
		fill(pf_pte_set(pf_pte_mk(rnd_base(), PF_PTE_R), 0), true, 0);
}

static void it_ends(void **state)
{
	unsigned gave_up = 0, answered = 0;

	(void)state;
	tree_open(0, 0, PF_FOLD_LINUX, 0);
	assert_true(pf_pte_offset_map(&tree.pt, 0, &view));
	for (unsigned i = 0; i < 4000; i++) {
		target = (unsigned)rnd_below(N);
		fill(pf_pte_mk(rnd_base(), PF_PTE_R), true, 0);
		quarters = 0;
		lull = 0;
		recorder.before = attack;
		read_one();
		recorder.before = NULL;
		gave_up += !ok;
		answered += ok;
	}
	assert_true(gave_up > 0);
	assert_true(answered > 0);
	recorder.on = false;
	pf_clear_ptes(&tree.m, FIRST, N);
	pf_pte_unmap(&view);
	tree_close();
}

/* ---- tables go ---- */

static struct pf_pt *pt = &tree.pt;
static unsigned turn, turns, out_before;
static struct pf_table *gone[PF_LEVELS];
static unsigned nr_gone;

static void one_table(void)
{
	tree_memory();
	assert_int_equal(
		pf_pt_init(pt, &pf_pt_format_this, &test_table_mem, 0, TEST_ASID, 0, PF_FOLD_LINUX),
		0);
	assert_int_equal(pf_pte_alloc(pt, 0), 0);
}

static void unlinked(void *ctx, struct pf_table *table, pf_va_t va)
{
	(void)ctx;
	(void)va;
	gone[nr_gone++] = table;
}

/* As a gather does. */
static void free_them(void)
{
	nr_gone = 0;
	pf_free_pgtables(pt, 0, 1, 0, UINT64_C(1) << (PF_VA_BITS - PF_PAGE_SHIFT), unlinked, NULL);
	for (unsigned i = 0; i < nr_gone; i++)
		pf_table_free_rcu(pt, gone[i]);
}

/* Nothing is given back: somebody is inside. */
static void tables_go(const struct rec *r)
{
	if (r->kind != REC_LOAD || turns++ != turn)
		return;
	free_them();
	assert_int_equal(nr_gone, PF_LEVELS - 1);
	assert_int_equal(tables_out, out_before);
}

static void tables_outlive_readers(void **state)
{
	unsigned moments = 0;

	(void)state;
	for (turn = 0;; turn++) {
		struct pf_pte_view v;
		struct pf_run run;
		bool found, went, linked;
		pf_pte_t e;

		one_table();
		out_before = tables_out;
		turns = 0;
		recorder.on = true;
		recorder.after = tables_go;
		found = pf_pte_offset_map(pt, 0, &v);
		if (found) {
			assert_true(pf_ptep_get_lockless(&v, 3, &e));
			assert_true(pf_pte_none(e));
			went = turns > turn;
			linked = pf_pte_view_linked(&v);
			/* between its own loads: one or the other */
			if (went || turns <= turn)
				assert_int_equal(linked, !went);
			pf_pte_unmap(&v);
		}
		/* nobody is inside any more */
		if (turns > turn)
			assert_int_equal(tables_out, 1);
		/* the same from the top */
		if (turns <= turn) {
			assert_true(pf_query_lockless(pt, 0, &run) <= 0);
			if (turns > turn)
				assert_int_equal(tables_out, 1);
		}
		recorder.on = false;
		pf_pt_destroy(pt);
		assert_int_equal(tables_out, 0);
		test_port_stop();
		if (turns <= turn)
			break;
		moments++;
	}
	assert_true(moments >= 2 * (PF_LEVELS - 1));
}

/*
 * The form for ports that have no RCU, but interrupts: whoever frees waits, in pf_port_call_rcu, for all who are inside. The
 * reader is inside from before the tables go until after.
 */
static pf_pte_t seen;

static void wait_for_reader(void)
{
	recorder.busy = false;
	swapcontext(&changer.ctx, &scheduler);
}

static void read_through(void)
{
	struct pf_pte_view v;

	seen = pf_pte(0);
	if (!pf_pte_offset_map(pt, 0, &v))
		return;
	ok = pf_ptep_get_lockless(&v, 3, &seen);
	pf_pte_view_linked(&v);
	assert_true(tables_out > 1);
	pf_pte_unmap(&v);
}

static void freed_by_who_waits(void **state)
{
	unsigned waited = 0;

	(void)state;
	for (unsigned inside = 0;; inside++) {
		bool was_done;

		one_table();
		test_port.rcu_wait = wait_for_reader;
		recorder.on = true;
		recorder.before = before;
		start(&reader, read_through);
		start(&changer, free_them);
		let(&reader, inside);
		was_done = reader.done;
		let(&changer, UINT32_MAX);
		if (!reader.done && !changer.done) {
			/* it waits, and nothing has been given back */
			waited++;
			assert_int_equal(tables_out, PF_LEVELS);
			let(&changer, UINT32_MAX);
			assert_false(changer.done);
			assert_int_equal(tables_out, PF_LEVELS);
		}
		let(&reader, UINT32_MAX);
		assert_true(reader.done);
		let(&changer, UINT32_MAX);
		assert_true(changer.done);
		assert_true(pf_pte_none(seen));
		assert_int_equal(tables_out, 1);
		recorder.on = false;
		recorder.before = NULL;
		pf_pt_destroy(pt);
		test_port.rcu_wait = NULL;
		test_port_stop();
		if (was_done)
			break;
	}
	assert_true(waited >= PF_LEVELS - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_state),
		cmocka_unit_test(it_ends),
		cmocka_unit_test(tables_outlive_readers),
		cmocka_unit_test(freed_by_who_waits),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " attacked", tests, NULL, NULL);
}
