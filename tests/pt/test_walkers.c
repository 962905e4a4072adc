/* SPDX-License-Identifier: MIT */
/*
 * Verbs while hardware walks the table: at any access hardware may set A, and D where it is allowed to, in any member
 * of a block. No D may be lost (an entry shows it afterwards, or the verb returned it), none invented, no A lost but
 * by clearing it; and each step obeys the rules of rules.h, at every level of BBM.
 */
#include "rules.h"

static const char *where;
static unsigned at, count;
static bool must_d[E], must_a[E]; /* before or during the verb */
static pf_pte_t before[E];        /* gathered */

static void begin(const char *what, unsigned idx, unsigned nr)
{
	where = what;
	at = idx;
	count = nr;
	for (unsigned i = watch_lo(); i < watch_hi(); i++)
		before[i] = model_get(i);
	recorder_reset();
	rules_start(1 + (unsigned)rnd_below(6));
}

static void end(void)
{
	rules_end();
	for (unsigned i = watch_lo(); i < watch_hi(); i++) {
		must_d[i] = pf_pte_dirty(before[i]) || hw_now.d[i];
		must_a[i] = pf_pte_young(before[i]) || hw_now.a[i];
	}
}

#define FAILURE     "%s of %u at %u (from %u on), slot %u: was %s, is %s, features 0x%x"
#define FAILS(i, e) where, count, at, origin, i, pte_text(before[i]), pte_text(e), tree.pt.features

/* Slots [idx, idx + nr) that are still mapped show what hardware wrote; nobody shows more. */
static void check_kept(unsigned idx, unsigned nr, bool a_may_go, bool d_may_go)
{
	for (unsigned i = idx; i < idx + nr; i++) {
		pf_pte_t e;
		bool d = false;

		if (!pf_pte_present(before[i]))
			continue;
		recorder.on = false;
		e = pf_ptep_get(&tree.m, i);
		recorder.on = true;
		CHECK(pf_pte_pfn(e) == pf_pte_pfn(before[i]), FAILURE, FAILS(i, e));
		CHECK(d_may_go || !must_d[i] || pf_pte_dirty(e), "D lost: " FAILURE, FAILS(i, e));
		CHECK(a_may_go || !must_a[i] || pf_pte_young(e), "A lost: " FAILURE, FAILS(i, e));
		for (unsigned k = i / N * N; k < i / N * N + N; k++)
			d |= must_d[k];
		CHECK(!pf_pte_dirty(e) || d, "D invented: " FAILURE, FAILS(i, e));
	}
}

/* All but the run of the verb. */
static void check_others(unsigned idx, unsigned nr)
{
	check_kept(watch_lo(), idx - watch_lo(), false, false);
	check_kept(idx + nr, watch_hi() - idx - nr, false, false);
}

typedef void (*verb)(unsigned idx, unsigned nr);

static void v_wrprotect(unsigned idx, unsigned nr)
{
	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("wrprotect_ptes", idx, nr);
	pf_wrprotect_ptes(&tree.m, idx, nr, PF_NO_EXTENT);
	end();
	check_kept(watch_lo(), watch_hi() - watch_lo(), false, false);
	for (unsigned i = idx; i < idx + nr; i++)
		assert_false(pf_hw_write(raw_get(i)));
}

static void v_modify(unsigned idx, unsigned nr)
{
	uint64_t prot;

	set_state(one_in(4) ? PROTNONE : UNIFORM);
	prot = one_in(4) ? 0 : rnd_prot() & PF_PTE_PROT_BITS;
	if (one_in(2) && before[idx].v & PF_PTE_R)
		prot = (model[idx].e.v & PF_PTE_PROT_BITS) ^ PF_PTE_W;
	begin("modify_ptes", idx, nr);
	pf_modify_ptes(&tree.m, idx, nr, prot, 0, 0, run_extent);
	end();
	check_kept(watch_lo(), watch_hi() - watch_lo(), false, false);
}

static void v_get_and_clear(unsigned idx, unsigned nr)
{
	bool d = false, a = false;
	pf_pte_t got;

	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("get_and_clear_ptes", idx, nr);
	got = pf_get_and_clear_ptes(&tree.m, idx, nr);
	end();
	for (unsigned i = idx; i < idx + nr; i++) {
		d |= must_d[i];
		a |= must_a[i];
		assert_true(pf_hw_none(raw_get(i)));
	}
	CHECK(!d || pf_pte_dirty(got), "D lost: " FAILURE, FAILS(idx, got));
	CHECK(!a || pf_pte_young(got), "A lost: " FAILURE, FAILS(idx, got));
	for (unsigned i = idx / N * N; i < idx + nr || i % N; i++)
		d |= must_d[i];
	CHECK(d || !pf_pte_dirty(got), "D invented: " FAILURE, FAILS(idx, got));
	check_others(idx, nr);
}

static void v_clear(unsigned idx, unsigned nr)
{
	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("clear_ptes", idx, nr);
	pf_clear_ptes(&tree.m, idx, nr);
	end();
	check_others(idx, nr);
}

/* A goes, D does not; A set by hardware after it was cleared stays. */
static void v_young(unsigned idx, unsigned nr)
{
	bool flush = one_in(2), young, any = false, still = false;

	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("clear_young", idx, nr);
	young = flush ? pf_clear_flush_young_ptes(&tree.m, idx, nr)
		      : pf_test_and_clear_young_ptes(&tree.m, idx, nr);
	end();
	for (unsigned i = idx; i < idx + nr; i++) {
		any |= must_a[i];
		still |= pf_hw_young(raw_get(i));
	}
	assert_true(young || still || !any);
	check_kept(watch_lo(), watch_hi() - watch_lo(), true, false);
}

static void v_young_dirty(unsigned idx, unsigned nr)
{
	unsigned flags = 1 + (unsigned)rnd_below(3);

	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("clear_young_dirty_ptes", idx, nr);
	pf_clear_young_dirty_ptes(&tree.m, idx, nr, flags);
	end();
	check_kept(watch_lo(), watch_hi() - watch_lo(), flags & PF_CYDP_CLEAR_YOUNG,
		flags & PF_CYDP_CLEAR_DIRTY);
}

static void v_access(unsigned idx, unsigned nr)
{
	pf_pte_t e, got;

	set_state(one_in(2) ? UNIFORM : PRESENT);
	e = pf_pte_set(model_get(idx), PF_PTE_A);
	if (nr > 1 || pf_pte_protnone(e))
		return;
	if (one_in(2) && e.v & PF_PTE_R)
		e = pf_pte_set(e, PF_PTE_W);
	begin("ptep_set_access_flags", idx, nr);
	pf_ptep_set_access_flags(&tree.m, idx, e, one_in(2), run_extent);
	end();
	check_kept(watch_lo(), watch_hi() - watch_lo(), false, false);
	recorder.on = false;
	got = pf_ptep_get(&tree.m, idx);
	recorder.on = true;
	CHECK(!(e.v & (PF_PTE_A | PF_PTE_W) & ~got.v), FAILURE, FAILS(idx, got));
}

/* The store that completes a block, while its other entries are in use. */
static void v_fold(unsigned idx, unsigned nr)
{
	unsigned first = idx / N * N;
	pf_pte_t e, run;

	(void)nr;
	set_state(ANY);
	run = pf_pte_mk(rnd_base(), rnd_prot());
	for (unsigned i = first; i < first + N; i++)
		put(i, pf_pte_set(pf_pte_advance(run, i - first), rnd() & (PF_PTE_A | PF_PTE_D)),
			false);
	e = pf_pte_advance(run, N - 1);
	put(first + N - 1, pf_pte(0), false);
	tree.m.table->live = (uint16_t)model_live();
	begin("set_pte_at", first + N - 1, 1);
	pf_set_pte_at(&tree.m, first + N - 1, e, (struct pf_extent){pf_pte_pfn(run), N});
	end();
	if (N > 1)
		assert_true(pf_hw_cont(raw_get(first)));
	check_others(first + N - 1, 1);
}

static void v_move(unsigned idx, unsigned nr)
{
	unsigned to = idx >= E / 2 ? idx - E / 2 : idx + E / 2;
	bool any_d = false, merged = one_in(2), flush = false;

	while (to + nr > E)
		to -= N;
	set_state(UNIFORM);
	begin("move", idx, nr);
	if (merged)
		pf_move_ptes(
			&tree.m, idx, &tree.m, to, nr, (struct pf_extent){run_extent.first, SPAN});
	for (unsigned i = 0; !merged && i < nr;)
		i += pf_move_run(&tree.m, idx + i, &tree.m, to + i, nr - i, &flush);
	end();
	/* a block cut by an end shares its D with all its members before */
	for (unsigned i = idx / N * N; i < idx + nr || i % N; i++)
		any_d |= must_d[i];
	for (unsigned i = 0; i < nr; i++) {
		pf_pte_t e;
		bool d = false;

		recorder.on = false;
		e = pf_ptep_get(&tree.m, to + i);
		recorder.on = true;
		CHECK(!must_d[idx + i] || pf_pte_dirty(e), "D lost: " FAILURE, FAILS(idx + i, e));
		for (unsigned k = (idx + i) / N * N; k < (idx + i) / N * N + N; k++)
			d |= must_d[k];
		CHECK(!pf_pte_dirty(e) || d || (merged && any_d), "D invented: " FAILURE,
			FAILS(idx + i, e));
	}
	check_others(idx, nr);
	for (unsigned i = to; i < to + nr; i++)
		put(i, pf_pte(0), false);
}

static void run(verb v)
{
	static const uint32_t sets[] = {0, PF_FEAT_BBM1, PF_FEAT_BBM1 | PF_FEAT_BBM2,
		PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT};
	unsigned acts = 0;

	for (unsigned f = 0; f < 8; f++) {
		uint32_t features = sets[f % 4] | PF_FEAT_HAF | (f / 4 ? PF_FEAT_HD : 0) |
				    (rnd() & (PF_FEAT_TLB_RANGE | PF_FEAT_TTL));

		tree_open(features, 0, one_in(2) ? PF_FOLD_LINUX : PF_FOLD_WATCH,
			one_in(2) ? LAST_TABLE : 0);
		memset(model, 0, sizeof(model));
		for (unsigned k = 0; k < 3000; k++) {
			unsigned off = (unsigned)rnd_below(SPAN), nr;

			nr = one_in(3) ? 1 : 1 + (unsigned)rnd_below(SPAN - off);
			if (one_in(4)) { /* whole blocks */
				off = off / N * N;
				nr = (1 + (unsigned)rnd_below(3 - off / N)) * N;
			}
			origin = one_in(8)   ? 0
				 : one_in(8) ? E - SPAN
					     : (unsigned)rnd_below(E / N - 3) * N;
			v(origin + off, nr);
			for (unsigned i = watch_lo(); i < watch_hi(); i++)
				put(i, pf_pte(0), false);
			acts += hw_now.acts;
		}
		tree.m.table->live = 0;
		tree_close();
	}
	/* or nothing was shown */
	if (PF_HW_AD_FEATURES)
		assert_true(acts > 1000);
}

#define RUN(name, v)                                                                               \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		seed = 0x2000 + sizeof(#name);                                                     \
		run(v);                                                                            \
	}

RUN(wrprotect, v_wrprotect)
RUN(modify, v_modify)
RUN(get_and_clear, v_get_and_clear)
RUN(clear, v_clear)
RUN(young, v_young)
RUN(young_dirty, v_young_dirty)
RUN(access_flags, v_access)
RUN(fold, v_fold)
RUN(move, v_move)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrprotect),
		cmocka_unit_test(modify),
		cmocka_unit_test(get_and_clear),
		cmocka_unit_test(clear),
		cmocka_unit_test(young),
		cmocka_unit_test(young_dirty),
		cmocka_unit_test(access_flags),
		cmocka_unit_test(fold),
		cmocka_unit_test(move),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " walkers", tests, NULL, NULL);
}
