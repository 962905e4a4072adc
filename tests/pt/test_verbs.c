/* SPDX-License-Identifier: MIT */
/*
 * Every verb of pt/pt.h, at every offset in and across blocks and every length up to three of them, at every level of
 * BBM, with and without hardware A and D, against the model: neutral contents, contiguity, return value, statistics,
 * count of stores and exchanges, flushes with their operands and their place among barriers; and nothing else touched.
 */
#include "states.h"

static const uint32_t feature_sets[] = {
	0,
	PF_FEAT_BBM1,
	PF_FEAT_BBM1 | PF_FEAT_BBM2,
	PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT,
};
static const uint32_t ad_sets[] = {0, PF_FEAT_HAF, PF_FEAT_HAF | PF_FEAT_HD};

/* ---- checks ---- */

static const char *where; /* what is being tried */
static unsigned at, count;

#define FAILURE "%s of %u at %u, features 0x%x, origin %u, slot %u: %s, expected %s%s"

static void check_contents(void)
{
	for (unsigned i = watch_lo(); i < watch_hi(); i++) {
		pf_hw_t hw = raw_get(i);
		pf_pte_t e = pf_hw_decode(hw, 0, i);

		CHECK(e.v == model[i].e.v, FAILURE, where, count, at, tree.pt.features, origin, i,
			pte_text(e), pte_text(model[i].e), "");
		CHECK(pf_hw_cont(hw) == model[i].cont, FAILURE, where, count, at, tree.pt.features,
			origin, i, pte_text(e), pte_text(model[i].e),
			model[i].cont ? ", folded" : ", not folded");
	}
	assert_int_equal(tree.m.table->live, model_live());
}

/* The getters, which gather and change nothing. */
static void check_getters(void)
{
	for (unsigned i = watch_lo(); i < watch_hi(); i += 1 + (unsigned)rnd_below(4)) {
		pf_pte_t e = pf_ptep_get(&tree.m, i);

		CHECK(e.v == model_get(i).v, FAILURE, "ptep_get", count, at, tree.pt.features,
			origin, i, pte_text(e), pte_text(model_get(i)), "");
		assert_int_equal(pf_ptes_folded(&tree.m, i), model[i].cont);
	}
}

/* Operations between two barriers forget the run, all of it and nothing beside it. */
static size_t check_flush_ops(size_t r, unsigned first, unsigned nr, bool local)
{
	pf_va_t va = pf_pte_va(&tree.m, first), end = va + ((uint64_t)nr << PF_PAGE_SHIFT);
	size_t ops = 0;

	for (; r < recorder.nr && recorder.rec[r].kind == REC_TLBI; r++, ops++) {
		struct tlbi t = tlbi_decode(&recorder.rec[r]);

		assert_int_equal(t.asid, TEST_ASID);
		assert_int_equal(t.local, local);
		assert_false(t.any_asid);
		assert_false(t.tables);
		/* every changed leaf is a page, and that is promised where there is a hint */
		assert_true(t.level == 0 || (t.level == -1 && PF_FMT_NAME[0] == 'a' &&
						    !is_range_op(&recorder.rec[r])));
		CHECK(t.va == va && t.pages && t.pages <= (end - va) >> PF_PAGE_SHIFT,
			"%s of %u at %u, features 0x%x: va 0x%llx, %llu pages, expected from "
			"0x%llx to 0x%llx",
			where, count, at, tree.pt.features, (unsigned long long)t.va,
			(unsigned long long)t.pages, (unsigned long long)va,
			(unsigned long long)end);
		va += t.pages << PF_PAGE_SHIFT;
	}
	assert_true(va == end);
	if (PF_FMT_NAME[0] != 'a')
		assert_int_equal(ops, 1);
	else if (!(tree.pt.features & PF_FEAT_TLB_RANGE))
		assert_int_equal(ops, nr);
	return r;
}

/* Flushes in order: publish, operations, wait. Entry stores are counted, and stay in their slots. */
static void check_record(void)
{
	unsigned stores = 0, xchgs = 0;
	size_t f = 0, r = 0;

	while (r < recorder.nr) {
		const struct rec *x = &recorder.rec[r];

		if (x->kind == REC_BARRIER) {
			bool local;

			CHECK(f < want.flushes, "%s of %u at %u, features 0x%x: a flush too many",
				where, count, at, tree.pt.features);
			local = want.flush[f].kind == FLUSH_LOCAL;
			assert_int_equal(
				x->barrier, local ? PF_BARRIER_PUBLISH_LOCAL : PF_BARRIER_PUBLISH);
			r = check_flush_ops(r + 1, want.flush[f].first, want.flush[f].nr, local);
			if (want.flush[f].kind != FLUSH_NO_WAIT) {
				assert_true(r < recorder.nr);
				assert_int_equal(recorder.rec[r].kind, REC_BARRIER);
				assert_int_equal(recorder.rec[r].barrier,
					local ? PF_BARRIER_COMPLETE_LOCAL : PF_BARRIER_COMPLETE);
				r++;
			}
			f++;
			continue;
		}
		CHECK(x->kind == REC_STORE || x->kind == REC_XCHG || x->kind == REC_CAS,
			"record %zu is of kind %d", r, x->kind);
		stores += x->kind == REC_STORE;
		xchgs += x->kind == REC_XCHG || (x->kind == REC_CAS && x->done);
		assert_false(x->kind == REC_CAS && !x->done);
		CHECK(rec_slot(x) >= want.lo && rec_slot(x) < want.hi,
			"%s of %u at %u: slot %u written, of [%u, %u)", where, count, at,
			rec_slot(x), want.lo, want.hi);
		r++;
	}
	CHECK(f == want.flushes, "%s of %u at %u, features 0x%x: %zu flushes, expected %u", where,
		count, at, tree.pt.features, f, want.flushes);
#if PF_JUDGE
	/* Two words an entry: a store may be three, an exchange is one and stores. */
	if (recorder.nr && recorder.rec[0].bytes == 4)
		return;
	CHECK(xchgs >= want.xchg_min && xchgs <= want.xchg_max,
		"%s of %u at %u, features 0x%x: %u exchanges, expected %u to %u", where, count, at,
		tree.pt.features, xchgs, want.xchg_min, want.xchg_max);
	CHECK(stores >= want.store_min && stores <= want.store_max,
		"%s of %u at %u, features 0x%x: %u stores, expected %u to %u", where, count, at,
		tree.pt.features, stores, want.store_min, want.store_max);
#endif
}

static uint64_t folds, unfolds;

static bool whole_run(unsigned first)
{
	for (unsigned i = first + 1; i < first + N; i++)
		if (!model_alike(i - 1, i))
			return false;
	return true;
}

/* What may be known of the blocks under test, any of it. */
static void choose_watches(void)
{
	for (unsigned b = watch_lo(); model_watches() && b < watch_hi(); b += N) {
		struct pf_watch *w = &tree.m.table->watch[b / N];

		*w = (struct pf_watch){PF_WATCH_ANY, (uint8_t)rnd_below(3)};
		model_unfolds[b / N] = w->unfolds;
		if (w->unfolds == 2 || model[b].cont || whole_run(b) || one_in(3))
			continue;
		do
			w->slot = (uint8_t)rnd_below(N);
		while (model_alike(b + (w->slot + N - 1) % N, b + w->slot));
	}
}

/* What the verb was told; a lie for most entries that have nothing to do with each other. */
static struct pf_extent told;

static bool told_unfit(unsigned idx)
{
	return !model_eligible(pf_pte_advance(pf_pte_clear(model[idx].e, PF_PTE_A | PF_PTE_D),
				       -(uint64_t)(idx % N)),
		told);
}

/* Of a block that is not folded two neighbours are watched that keep it from folding, or every change is. */
static void check_watch(unsigned b)
{
	const struct pf_watch *w = &tree.m.table->watch[b / N];

	if (!model_watches())
		return;
	CHECK(w->unfolds == model_unfolds[b / N], "%s of %u at %u, block %u: %u, not %u", where,
		count, at, b, w->unfolds, model_unfolds[b / N]);
	CHECK(model[b].cont || w->slot == PF_WATCH_ANY ||
			!model_alike(b + (w->slot + N - 1) % N, b + w->slot) ||
			told_unfit(b + w->slot),
		"%s of %u at %u, block %u: slot %u is watched for nothing", where, count, at, b,
		w->slot);
}

static void begin(const char *what, unsigned idx, unsigned nr)
{
	where = what;
	at = idx - origin;
	count = nr;
	want_nothing();
	choose_watches();
	told = run_extent;
	folds = tree.pt.stats.fold;
	unfolds = tree.pt.stats.unfold;
	recorder_reset();
}

static void end(void)
{
	check_record();
	check_contents();
	CHECK(tree.pt.stats.fold - folds == want.fold &&
			tree.pt.stats.unfold - unfolds == want.unfold,
		"%s of %u at %u, features 0x%x: stats say %llu folded, %llu unfolded; expected %u, "
		"%u",
		where, count, at, tree.pt.features,
		(unsigned long long)(tree.pt.stats.fold - folds),
		(unsigned long long)(tree.pt.stats.unfold - unfolds), want.fold, want.unfold);
	check_getters();
	for (unsigned b = watch_lo(); b < watch_hi(); b += N)
		check_watch(b);
}

/* ---- verbs ---- */

typedef void (*verb)(unsigned idx, unsigned nr);

static void v_set_pte_at(unsigned idx, unsigned nr)
{
	pf_pte_t e;

	if (nr != 1)
		return;
	set_state(one_in(2) ? UNIFORM : ANY);
	switch (rnd_below(4)) {
	case 0: /* what would complete a block */
		for (unsigned i = origin; i < origin + SPAN; i++)
			if (i != idx && model[i].cont && i / N == idx / N)
				put(i, model[i].e, false);
		e = pf_pte_set(pf_pte_clear(model[idx ? idx - 1 : idx].e, 0), 0);
		e = idx && pf_pte_present(e) ? pf_pte_advance(e, 1) : rnd_entry(true);
		put(idx, pf_pte(0), false);
		tree.m.table->live = (uint16_t)model_live();
		break;
	case 1:
		e = rnd_entry(false);
		break;
	case 2: /* the same page, other rights */
		e = pf_pte_present(model[idx].e) ? pf_pte_modify(model_get(idx), rnd_prot())
						 : rnd_entry(true);
		break;
	default:
		e = pf_pte(0);
	}
	begin("set_pte_at", idx, nr);
	model_set_pte_at(idx, e, run_extent);
	pf_set_pte_at(&tree.m, idx, e, run_extent);
	end();
}

static void v_set_ptes(unsigned idx, unsigned nr)
{
	struct pf_extent x;
	pf_pte_t e;

	set_state(ANY);
	make_room(idx, nr);
	/* congruent or not; permissions or none; in one extent, or reaching out of it at either end */
	e = pf_pte_mk(rnd_base() + (one_in(4) ? rnd_below(N) : idx % N),
		(one_in(8) ? 0 : rnd_prot()) | (rnd() & (PF_PTE_A | PF_PTE_D)) |
			(one_in(8) ? PF_PTE_SPECIAL & PF_PTE_SUPPORTED : 0));
	x = (struct pf_extent){pf_pte_pfn(e), nr};
	if (one_in(3))
		x.first -= rnd_below(N);
	if (one_in(3))
		x.first += rnd_below(N), x.nr -= pf_min(x.nr, rnd_below(N));
	if (one_in(8))
		x = PF_NO_EXTENT;
	begin("set_ptes", idx, nr);
	told = x;
	model_set_ptes(idx, e, nr, x);
	pf_set_ptes(&tree.m, idx, e, nr, x);
	end();
}

static void v_clear(unsigned idx, unsigned nr)
{
	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("clear_ptes", idx, nr);
	model_get_and_clear(idx, nr);
	if (nr == 1 && one_in(2))
		pf_pte_clear_at(&tree.m, idx);
	else
		pf_clear_ptes(&tree.m, idx, nr);
	end();
}

static void v_get_and_clear(unsigned idx, unsigned nr)
{
	pf_pte_t expected, got;

	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("get_and_clear_ptes", idx, nr);
	expected = model_get_and_clear(idx, nr);
	if (nr == 1 && one_in(2))
		got = pf_ptep_get_and_clear(&tree.m, idx);
	else
		got = pf_get_and_clear_ptes(&tree.m, idx, nr);
	CHECK(got.v == expected.v, "%s of %u at %u: %s, expected %s", where, nr, at, pte_text(got),
		pte_text(expected));
	end();
}

static void v_clear_flush(unsigned idx, unsigned nr)
{
	pf_pte_t expected, got;

	if (nr != 1)
		return;
	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("ptep_clear_flush", idx, nr);
	expected = model_get_and_clear(idx, 1);
	if (pf_pte_present(expected)) {
		want.flush[want.flushes].kind = FLUSH_ALL_CPUS;
		want.flush[want.flushes].first = idx;
		want.flush[want.flushes++].nr = 1;
	}
	got = pf_ptep_clear_flush(&tree.m, idx);
	assert_int_equal(got.v, expected.v);
	end();
}

static void v_clear_not_present(unsigned idx, unsigned nr)
{
	set_state(ANY);
	make_room(idx, nr);
	for (unsigned i = idx; i < idx + nr; i++)
		put(i, rnd_softleaf(), false);
	tree.m.table->live = (uint16_t)model_live();
	begin("clear_not_present_ptes", idx, nr);
	model_clear_not_present(idx, nr);
	pf_clear_not_present_ptes(&tree.m, idx, nr);
	end();
}

static void v_wrprotect(unsigned idx, unsigned nr)
{
	bool uniform = one_in(2);
	struct pf_extent x;

	set_state(uniform ? UNIFORM : PRESENT);
	x = uniform ? run_extent : PF_NO_EXTENT;
	begin("wrprotect_ptes", idx, nr);
	told = x;
	model_wrprotect(idx, nr, x);
	if (nr == 1 && one_in(2))
		pf_ptep_set_wrprotect(&tree.m, idx, x);
	else
		pf_wrprotect_ptes(&tree.m, idx, nr, x);
	end();
}

static void v_young(unsigned idx, unsigned nr)
{
	bool flush = one_in(2), expected, got;

	set_state(one_in(3) ? UNIFORM : one_in(2) ? PRESENT : PROTNONE);
	begin(flush ? "clear_flush_young" : "test_and_clear_young", idx, nr);
	expected = model_clear_young(idx, nr, flush);
	if (nr == 1 && one_in(2))
		got = flush ? pf_ptep_clear_flush_young(&tree.m, idx)
			    : pf_ptep_test_and_clear_young(&tree.m, idx);
	else
		got = flush ? pf_clear_flush_young_ptes(&tree.m, idx, nr)
			    : pf_test_and_clear_young_ptes(&tree.m, idx, nr);
	assert_int_equal(got, expected);
	end();
}

static void v_young_dirty(unsigned idx, unsigned nr)
{
	unsigned flags = 1 + (unsigned)rnd_below(3);

	set_state(one_in(2) ? UNIFORM : PRESENT);
	begin("clear_young_dirty_ptes", idx, nr);
	model_clear_young_dirty(idx, nr, flags);
	pf_clear_young_dirty_ptes(&tree.m, idx, nr, flags);
	end();
}

static void v_access(unsigned idx, unsigned nr)
{
	bool flush = one_in(2), expected, got;
	pf_pte_t e;

	if (nr != 1)
		return;
	set_state(one_in(2) ? UNIFORM : PRESENT);
	e = model_get(idx);
	if (pf_pte_protnone(e))
		return; /* more permissive only, and PROT_NONE gets nothing */
	e = pf_pte_set(e, rnd() & (PF_PTE_A | PF_PTE_D));
	if (one_in(2) && e.v & PF_PTE_R)
		e = pf_pte_set(e, PF_PTE_W);
	begin("ptep_set_access_flags", idx, nr);
	expected = model_set_access(idx, e, flush, run_extent);
	got = pf_ptep_set_access_flags(&tree.m, idx, e, flush, run_extent);
	assert_int_equal(got, expected);
	end();
}

static void v_modify(unsigned idx, unsigned nr)
{
	uint64_t track = PF_PTE_SUPPORTED & (PF_PTE_UFFD_WP | PF_PTE_SOFT_DIRTY);
	uint64_t set = one_in(4) ? rnd() & track : 0, clear = one_in(4) ? rnd() & track & ~set : 0,
		 prot;
	struct slot old = {.cont = false};
	bool must = false, got;

	set_state(one_in(3) ? PROTNONE : UNIFORM);
	prot = one_in(4) ? 0 : rnd_prot() & PF_PTE_PROT_BITS;
	if (one_in(2) && !pf_pte_protnone(model[idx].e))
		prot = (model[idx].e.v & PF_PTE_PROT_BITS) ^
		       (model[idx].e.v & PF_PTE_R ? PF_PTE_W : 0);
	for (unsigned i = idx; i < idx + nr; i++) {
		old = model[i];
		/* TLBs hold rights that go; another memory type has been flushed already */
		must |= pf_pte_accessible(old.e) && old.e.v & ~prot & PF_PTE_PERM;
		must |= pf_pte_accessible(old.e) && (old.e.v ^ prot) & PF_PTE_KEY;
		if ((old.e.v ^ prot) & PF_PTE_MEM && prot & PF_PTE_PERM)
			must = false;
	}
	begin("modify_ptes", idx, nr);
	model_modify(idx, nr, prot, set, clear, run_extent);
	got = pf_modify_ptes(&tree.m, idx, nr, prot, set, clear, run_extent);
	CHECK(got || !must, "%s of %u at %u from %s to 0x%llx: no flush asked for", where, nr, at,
		pte_text(old.e), (unsigned long long)prot);
	CHECK(!got || !pf_pte_protnone(old.e),
		"%s of %u at %u: a flush for what nobody can have cached", where, nr, at);
	end();
}

/* Where it is empty, anything may be watched. */
static void choose_watches_at(unsigned to, unsigned nr)
{
	for (unsigned b = to / N; model_watches() && b <= (to + nr - 1) / N; b++) {
		tree.m.table->watch[b] =
			(struct pf_watch){(uint8_t)rnd_below(N), (uint8_t)rnd_below(3)};
		if (tree.m.table->watch[b].unfolds == 2 || one_in(8))
			tree.m.table->watch[b].slot = PF_WATCH_ANY;
		model_unfolds[b] = tree.m.table->watch[b].unfolds;
	}
}

/* A place in another part of the table, aligned alike or not. */
static unsigned elsewhere(unsigned idx, unsigned nr)
{
	unsigned to = idx >= E / 2 ? idx - E / 2 : idx + E / 2;
	unsigned shift = one_in(2) ? 0 : (unsigned)rnd_below(N);

	while (to + shift + nr > E)
		to -= N;
	return to + shift;
}

static void check_moved(unsigned to, unsigned nr)
{
	for (unsigned b = to / N * N; b < to + nr; b += N)
		check_watch(b);
	for (unsigned i = to; i < to + nr; i++) {
		assert_int_equal(pf_hw_decode(raw_get(i), 0, i).v, model[i].e.v);
		assert_int_equal(pf_hw_cont(raw_get(i)), model[i].cont);
		put(i, pf_pte(0), false);
	}
}

static void v_move(unsigned idx, unsigned nr)
{
	unsigned to = elsewhere(idx, nr);
	struct pf_extent x = {run_extent.first, SPAN};

	/* uniform in W and soft-dirty, of one folio */
	set_state(one_in(4) ? PROTNONE : UNIFORM);
	choose_watches_at(to, nr);
	begin("move_ptes", idx, nr);
	told = x;
	model_move(idx, to, nr, x);
	pf_move_ptes(&tree.m, idx, &tree.m, to, nr, x);
	end();
	check_moved(to, nr);
}

static void v_move_run(unsigned idx, unsigned nr)
{
	unsigned to = elsewhere(idx, nr), done = 0;
	bool any = false;

	set_state(one_in(4) ? PROTNONE : one_in(3) ? ANY : UNIFORM);
	choose_watches_at(to, nr);
	while (done < nr) {
		bool flush = false, want_flush = false, fold;
		unsigned n;

		fold = pf_move_may_fold(&tree.m, idx + done, &tree.m, to + done, nr - done);
		assert_int_equal(fold, model_may_fold(idx + done, to + done, nr - done));
		begin("move_run", idx + done, nr - done);
		any |= fold;
		n = model_move_run(idx + done, to + done, nr - done, &want_flush);
		assert_int_equal(
			pf_move_run(&tree.m, idx + done, &tree.m, to + done, nr - done, &flush), n);
		end();
		assert_int_equal(flush, want_flush);
		done += n ? n : 1;
	}
	/* Whoever moves a run regardless is not looked after. */
	told = any ? PF_NO_EXTENT : (struct pf_extent){0, UINT64_MAX};
	check_moved(to, nr);
}

/* ---- the sweep ---- */

static void sweep(verb v, unsigned rounds)
{
	for (unsigned f = 0; f < PF_ARRAY_SIZE(feature_sets); f++) {
		for (unsigned a = 0; a < PF_ARRAY_SIZE(ad_sets); a++) {
			uint32_t features = feature_sets[f] | ad_sets[a];
			unsigned k = 0;

			if (one_in(2))
				features |= PF_FEAT_TLB_RANGE;
			if (one_in(2))
				features |= PF_FEAT_TTL;
			tree_open(features, 0,
				one_in(8)   ? PF_FOLD_OFF
				: one_in(3) ? PF_FOLD_LINUX
					    : PF_FOLD_WATCH,
				one_in(2) ? LAST_TABLE : rnd_below(UINT64_C(1) << PF_VA_BITS));
			memset(model, 0, sizeof(model));
			for (unsigned off = 0; off < SPAN; off++) {
				for (unsigned nr = 1; off + nr <= SPAN; nr++) {
					unsigned n = nr == 1 ? 8 * rounds : rounds;

					for (unsigned r = 0; r < n; r++) {
						/* the table's start, its end, and between */
						origin = ++k % 3 == 0 ? 0
							 : k % 3 == 1
								 ? E - SPAN
								 : (unsigned)rnd_below(E / N - 3) *
									   N;
						v(origin + off, nr);
						for (unsigned i = watch_lo(); i < watch_hi(); i++)
							put(i, pf_pte(0), false);
					}
				}
			}
			tree.m.table->live = 0;
			tree_close();
		}
	}
}

#define SWEEP(name, v)                                                                             \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		seed = 0x1000 + sizeof(#name);                                                     \
		sweep(v, N > 8 ? 1 : 8);                                                           \
	}

SWEEP(set_pte_at, v_set_pte_at)
SWEEP(set_ptes, v_set_ptes)
SWEEP(clear_ptes, v_clear)
SWEEP(get_and_clear_ptes, v_get_and_clear)
SWEEP(ptep_clear_flush, v_clear_flush)
SWEEP(clear_not_present_ptes, v_clear_not_present)
SWEEP(wrprotect_ptes, v_wrprotect)
SWEEP(clear_young, v_young)
SWEEP(clear_young_dirty, v_young_dirty)
SWEEP(set_access_flags, v_access)
SWEEP(modify_ptes, v_modify)
SWEEP(move_ptes, v_move)
SWEEP(move_run, v_move_run)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_pte_at),
		cmocka_unit_test(set_ptes),
		cmocka_unit_test(clear_ptes),
		cmocka_unit_test(get_and_clear_ptes),
		cmocka_unit_test(ptep_clear_flush),
		cmocka_unit_test(clear_not_present_ptes),
		cmocka_unit_test(wrprotect_ptes),
		cmocka_unit_test(clear_young),
		cmocka_unit_test(clear_young_dirty),
		cmocka_unit_test(set_access_flags),
		cmocka_unit_test(modify_ptes),
		cmocka_unit_test(move_ptes),
		cmocka_unit_test(move_run),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " verbs", tests, NULL, NULL);
}
