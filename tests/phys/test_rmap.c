/* SPDX-License-Identifier: MIT */
/*
 * Mappings (rmap.h) against a model that knows for each page which mms map it, as the entries of
 * their tables would say. Invariants G1 to G3 of docs/FRAME.md, and row B2: what is exclusive is
 * counted from the page of the first entry, wherever in the folio that is.
 */
#include "phys_test.h"

#define MMS       4u
#define PAGES_MAX (1u << PF_MAX_ORDER)

static struct pf_phys phys;
static struct pf_folio *folio;
static pf_pfn_t first;
static unsigned nr;
static uint64_t seed;

/* ids that differ in all their bits and meet the ends of their range */
static const uint32_t mm_id[MMS] = {MM_FIRST, MM_LAST, 0x15555555, 0x2aaaaaaa};
static unsigned mapped[PAGES_MAX][MMS]; /* mappings of that page by that mm */
static bool exclusive[PAGES_MAX];
static unsigned by_mm[MMS], total, extra, pins;

static uint64_t below(uint64_t n)
{
	return rnd_below_of(&seed, n);
}

static unsigned maps_of(unsigned page)
{
	unsigned n = 0;

	for (unsigned m = 0; m < MMS; m++)
		n += mapped[page][m];
	return n;
}

static void map_model(unsigned page, unsigned m, int by)
{
	mapped[page][m] += (unsigned)by;
	by_mm[m] += (unsigned)by;
	total += (unsigned)by;
}

static void new_folio(unsigned order, unsigned pages, bool excl)
{
	start(&phys, 2 * PAGES_MAX);
	folio = pf_folio_alloc(&phys, order, PF_USE_ANON);
	assert_non_null(folio);
	first = pf_folio_pfn(&phys, folio);
	nr = 1u << order;
	memset(mapped, 0, sizeof(mapped));
	memset(exclusive, 0, sizeof(exclusive));
	memset(by_mm, 0, sizeof(by_mm));
	total = extra = pins = 0;
	pf_folio_add_new_anon_rmap(folio, first, pages, mm_id[0], excl);
	for (unsigned i = 0; i < pages; i++) {
		map_model(i, 0, 1);
		exclusive[i] = excl;
	}
}

/* All that may be asked, against the model. */
static void check_folio(void)
{
	unsigned holders = 0;

	check_all(&phys);
	assert_int_equal(pf_folio_mapcount(folio), total);
	assert_int_equal(pf_folio_extra_ref(folio), extra);
	assert_int_equal(pf_folio_ref(folio), total + extra);
	for (unsigned m = 0; m < MMS; m++)
		holders += by_mm[m] != 0;
	/* exact where it says no; for a small folio "several mappings" is all there is to know */
	if (!pf_folio_maybe_mapped_shared(folio))
		assert_true(holders <= 1);
	if (!pf_folio_order(folio))
		assert_int_equal(pf_folio_maybe_mapped_shared(folio), total > 1);
	if (pins)
		assert_true(pf_folio_maybe_pinned(folio));
	for (unsigned i = 0; i < nr; i++) {
		if (pf_folio_ae_test(folio, i) != exclusive[i])
			fail_msg("page %u of %u: AnonExclusive is %d", i, nr, !exclusive[i]);
		if (exclusive[i])
			assert_true(maps_of(i) <= 1); /* G2 */
	}
}

/* ---- the calls, each with what it does to the model ---- */

/* A run of pages that mm maps: start in *idx; 0 if there is none at the random place tried. */
static unsigned pick_run(unsigned m, unsigned *idx)
{
	unsigned n = 0, max;

	*idx = (unsigned)below(nr);
	max = below(3) ? 1 + (unsigned)below(16) : nr;
	while (n < max && *idx + n < nr && mapped[*idx + n][m])
		n++;
	return n;
}

static void do_fork(void)
{
	unsigned from = (unsigned)below(MMS), to = (unsigned)below(MMS), idx, n;
	bool may_pin = below(2), any = false;
	int ret;

	n = pick_run(from, &idx);
	for (unsigned i = 0; i < n; i++)
		if (mapped[idx + i][to])
			n = i; /* the child's range is empty before */
	if (from == to || !n)
		return;
	for (unsigned i = 0; i < n; i++)
		any |= exclusive[idx + i];
	ret = pf_folio_try_dup_anon_rmap_ptes(folio, first + idx, n, mm_id[to], may_pin);
	if (may_pin && pins && any) {
		assert_int_equal(ret, -PF_EBUSY);
		return;
	}
	/* a small folio with 1024 plain references may pass for pinned; here there are not so many */
	assert_int_equal(ret, 0);
	for (unsigned i = 0; i < n; i++) {
		map_model(idx + i, to, 1);
		exclusive[idx + i] = false;
	}
}

/* Zap: mappings become references, put after the flush; or both in one step after it. */
static void do_zap(bool may_free)
{
	unsigned m = (unsigned)below(MMS), idx, n = pick_run(m, &idx);
	bool last;

	if (!n || (!may_free && n == total && !extra))
		return;
	last = n == total && !extra;
	for (unsigned i = 0; i < n; i++)
		map_model(idx + i, m, -1);
	if (below(2)) {
		assert_int_equal(pf_folio_remove_rmap_ptes(folio, first + idx, n, mm_id[m]), total);
		assert_int_equal(pf_folio_extra_ref(folio), extra + n);
		check_all(&phys);
		assert_int_equal(pf_folio_put_testzero(folio, n), last);
	} else {
		assert_int_equal(
			pf_folio_drop_rmap_testzero(folio, first + idx, n, mm_id[m]), last);
	}
}

/* Swap-in or migration puts entries back where there are none: not exclusive, or the only one. */
static void do_map_again(void)
{
	unsigned m = (unsigned)below(MMS), idx = (unsigned)below(nr), n = 0;
	bool excl = below(2);

	while (n < 8 && idx + n < nr && !mapped[idx + n][m] &&
		(excl ? maps_of(idx + n) == 0 : !exclusive[idx + n] || maps_of(idx + n) == 0))
		n++;
	if (!n)
		return;
	/* stale AnonExclusive of a page without mappings is whoever maps it to set or clear */
	if (!excl) {
		for (unsigned i = 0; i < n; i++) {
			if (exclusive[idx + i])
				pf_folio_ae_clear_range(folio, idx + i, 1);
			exclusive[idx + i] = false;
		}
	}
	pf_folio_get(folio, 1);
	pf_folio_add_anon_rmap_ptes(folio, first + idx, n, mm_id[m], excl);
	for (unsigned i = 0; i < n; i++) {
		map_model(idx + i, m, 1);
		exclusive[idx + i] |= excl;
	}
	assert_false(pf_folio_put_testzero(folio, 1));
}

/* A write fault on a page that is not exclusive. */
static void do_reuse(void)
{
	unsigned m = (unsigned)below(MMS), idx;
	bool alone;

	if (!pick_run(m, &idx))
		return;
	alone = by_mm[m] == total && !extra;
	if (pf_folio_order(folio)) {
		if (pf_folio_reuse_anon(folio, mm_id[m])) {
			assert_true(alone);
			pf_folio_ae_set_range(folio, idx, 1);
			exclusive[idx] = true;
		}
	} else {
		assert_int_equal(pf_folio_reuse_anon(folio, mm_id[m]), total == 1 && !extra);
	}
}

static void do_pin(void)
{
	unsigned idx = (unsigned)below(nr);

	if (pins && below(2)) {
		unsigned refs = pf_folio_unpin_refs(folio, 1);

		pins--;
		extra -= refs;
		/* a life goes on here until finish() */
		if (!total && !extra)
			pf_folio_get(folio, extra = 1);
		assert_false(pf_folio_put_testzero(folio, refs));
		return;
	}
	if (!maps_of(idx) || pins > 3)
		return;
	assert_ptr_equal(pf_folio_try_get_page(&phys, first + idx), folio);
	assert_true(pf_folio_pin_ref(folio));
	pins++;
	extra += pf_folio_order(folio) ? 1 : PF_PIN_BIAS;
}

static void do_share(void)
{
	unsigned m = (unsigned)below(MMS), idx;

	if (!pick_run(m, &idx) || !exclusive[idx])
		return;
	assert_int_equal(
		pf_folio_try_share_anon_rmap_ptes(folio, first + idx, 1), pins ? -PF_EBUSY : 0);
	exclusive[idx] &= pins != 0;
}

static void do_walk_by(void)
{
	struct pf_folio *f = pf_folio_try_get_page(&phys, first + below(nr));

	assert_ptr_equal(f, folio);
	assert_int_equal(pf_folio_extra_ref(folio), extra + 1);
	assert_false(pf_folio_put_testzero(folio, 1));
}

static void finish(void)
{
	while (pins) {
		unsigned refs = pf_folio_unpin_refs(folio, 1);

		pins--;
		extra -= refs;
		pf_folio_put(&phys, folio, refs);
	}
	if (extra)
		pf_folio_put(&phys, folio, extra);
	for (unsigned i = 0; i < nr; i++)
		for (unsigned m = 0; m < MMS; m++)
			while (mapped[i][m]) {
				map_model(i, m, -1);
				pf_folio_drop_rmap_ptes(&phys, folio, first + i, 1, mm_id[m]);
			}
	check_all_free(&phys);
}

static void random_life(unsigned order, unsigned steps)
{
	new_folio(order, 1u << order, true);
	check_folio();
	for (unsigned i = 0; i < steps; i++) {
		switch (below(10)) {
		case 0:
		case 1:
			do_fork();
			break;
		case 2:
		case 3:
			do_zap(false);
			break;
		case 4:
			do_map_again();
			break;
		case 5:
		case 6:
			do_reuse();
			break;
		case 7:
			do_pin();
			break;
		case 8:
			do_share();
			break;
		default:
			do_walk_by();
		}
		if (order < 6 || i % 8 == 0)
			check_folio();
	}
	finish();
}

static void random_lives(void **state)
{
	(void)state;
	seed = 21;
	for (unsigned round = 0; round < 60; round++)
		for (unsigned order = 0; order <= 5; order++)
			random_life(order, 400);
	for (unsigned order = 6; order <= PF_MAX_ORDER; order++)
		random_life(order, 1200);
}

/* Two mms are both known, always: exclusivity comes back exactly when one has all (FRAME.md 5). */
static void two_mms_are_exact(void **state)
{
	(void)state;
	seed = 5;
	for (unsigned order = 1; order <= 7; order++) {
		new_folio(order, 1u << order, true);
		for (unsigned i = 0; i < 3000; i++) {
			unsigned m = (unsigned)below(2), idx, n;

			if (below(2)) {
				n = pick_run(!m, &idx);
				for (unsigned k = 0; k < n; k++)
					if (mapped[idx + k][m])
						n = k;
				if (!n)
					continue;
				assert_int_equal(pf_folio_try_dup_anon_rmap_ptes(
							 folio, first + idx, n, mm_id[m], false),
					0);
				for (unsigned k = 0; k < n; k++) {
					map_model(idx + k, m, 1);
					exclusive[idx + k] = false;
				}
			} else {
				n = pick_run(m, &idx);
				if (!n || n == total)
					continue;
				for (unsigned k = 0; k < n; k++)
					map_model(idx + k, m, -1);
				assert_false(pf_folio_drop_rmap_testzero(
					folio, first + idx, n, mm_id[m]));
			}
			assert_int_equal(pf_folio_maybe_mapped_shared(folio), by_mm[0] && by_mm[1]);
			for (m = 0; m < 2; m++)
				assert_int_equal(
					pf_folio_reuse_anon(folio, mm_id[m]), by_mm[m] == total);
			check_folio();
		}
		finish();
	}
}

/* fork and exit, over and over, with new ids: the parent has its folio back each time. */
static void parent_owns_again_after_each_child(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 5; order++) {
		unsigned n = 1u << order;

		new_folio(order, n, true);
		for (uint32_t child = 100; child < 400; child++) {
			assert_int_equal(
				pf_folio_try_dup_anon_rmap_ptes(folio, first, n, child, false), 0);
			assert_true(pf_folio_maybe_mapped_shared(folio));
			assert_false(pf_folio_ae_any(folio, 0, n));
			assert_false(pf_folio_reuse_anon(folio, mm_id[0]));
			if (child & 1) {
				assert_int_equal(
					pf_folio_remove_rmap_ptes(folio, first, n, child), n);
				/* not yet: the flush is not done, and a gather holds references */
				assert_false(pf_folio_reuse_anon(folio, mm_id[0]));
				assert_false(pf_folio_put_testzero(folio, n));
			} else {
				assert_false(pf_folio_drop_rmap_testzero(folio, first, n, child));
			}
			assert_false(pf_folio_maybe_mapped_shared(folio));
			assert_true(pf_folio_reuse_anon(folio, mm_id[0]));
			pf_folio_ae_set_range(folio, 0, n);
			check_all(&phys);
		}
		exclusive[0] = true;
		finish();
	}
}

/* What forbids reuse: any reference, the swap cache, KSM. */
static void reuse_is_refused(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 4; order += 4) {
		new_folio(order, 1u << order, false);
		assert_true(pf_folio_reuse_anon(folio, mm_id[0]));
		pf_folio_get(folio, 1);
		assert_false(pf_folio_reuse_anon(folio, mm_id[0]));
		assert_false(pf_folio_put_testzero(folio, 1));
		pf_folio_set_flags(folio, PF_FOLIO_SWAPCACHE);
		assert_false(pf_folio_reuse_anon(folio, mm_id[0]));
		pf_folio_clear_flags(folio, PF_FOLIO_SWAPCACHE);
		pf_folio_set_flags(folio, PF_FOLIO_KSM);
		assert_false(pf_folio_reuse_anon(folio, mm_id[0]));
		pf_folio_clear_flags(folio, PF_FOLIO_KSM);
		if (order) /* a large folio knows whose it is */
			assert_false(pf_folio_reuse_anon(folio, mm_id[1]));
		assert_true(pf_folio_reuse_anon(folio, mm_id[0]));
		finish();
	}
}

/* Three and more mms: none is taken for the only one, and counts stay right to the end. */
static void untracked_mms_are_safe(void **state)
{
	(void)state;
	for (unsigned order = 1; order <= 6; order++) {
		unsigned n = 1u << order;

		new_folio(order, n, true);
		for (uint32_t m = 50; m < 60; m++)
			assert_int_equal(
				pf_folio_try_dup_anon_rmap_ptes(folio, first, n, m, false), 0);
		assert_int_equal(pf_folio_mapcount(folio), 11 * n);
		/* the two that came first go: of those left nobody is known */
		assert_false(pf_folio_drop_rmap_testzero(folio, first, n, mm_id[0]));
		assert_false(pf_folio_drop_rmap_testzero(folio, first, n, 50));
		for (uint32_t m = 51; m < 59; m++) {
			assert_true(pf_folio_maybe_mapped_shared(folio));
			assert_false(pf_folio_reuse_anon(folio, m));
			check_all(&phys);
			assert_false(pf_folio_drop_rmap_testzero(folio, first, n, m));
		}
		/* mm 59 alone; whether that is known is not promised, only never a wrong owner */
		assert_false(pf_folio_reuse_anon(folio, 51));
		check_all(&phys);
		assert_true(pf_folio_drop_rmap_testzero(folio, first, n, 59));
		pf_folio_free(&phys, folio);
		check_all_free(&phys);
	}
}

/* Row B2 and mail 1: a batch in the middle of a folio looks at its own pages' bits. */
static void b2_batch_in_the_middle(void **state)
{
	(void)state;
	for (unsigned order = 2; order <= PF_MAX_ORDER; order++) {
		unsigned n = 1u << order, mid = n / 2 - 1;
		bool value;

		new_folio(order, n, true);
		/* only the second quarter is forked */
		assert_int_equal(pf_folio_try_dup_anon_rmap_ptes(
					 folio, first + n / 4, n / 4, mm_id[1], false),
			0);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(pf_folio_ae_test(folio, i), i / (n / 4) != 1);
		assert_int_equal(
			pf_folio_ae_run(folio, pf_folio_idx(folio, first + mid), n - mid, &value),
			1);
		assert_false(value);
		assert_int_equal(pf_folio_ae_run(folio, pf_folio_idx(folio, first + mid + 1),
					 n - mid - 1, &value),
			n / 2);
		assert_true(value);
		/* pinned: the exclusive quarters are refused, the shared one may be forked on */
		assert_true(pf_folio_try_get(folio) && pf_folio_pin_ref(folio));
		assert_int_equal(pf_folio_try_dup_anon_rmap_ptes(
					 folio, first + n / 4, n / 4, mm_id[2], true),
			0);
		assert_int_equal(
			pf_folio_try_dup_anon_rmap_ptes(folio, first + mid, 2, mm_id[3], true),
			-PF_EBUSY);
		assert_true(pf_folio_ae_test(folio, mid + 1));
		assert_int_equal(pf_folio_mapcount(folio), n + 2 * (n / 4));
		check_all(&phys);
		test_port_stop();
	}
}

/* PF_MAP_LIMIT: fork says ENOMEM and nothing has changed; known counts that saturated do no harm. */
static void mapping_limit(void **state)
{
	const unsigned order = PF_MAX_ORDER, n = 1u << order;
	uint64_t maps;

	(void)state;
	new_folio(order, n, true);
	for (maps = n; maps + n <= PF_MAP_LIMIT; maps += n)
		assert_int_equal(
			pf_folio_try_dup_anon_rmap_ptes(folio, first, n, mm_id[1], false), 0);
	assert_int_equal(pf_folio_mapcount(folio), PF_MAP_LIMIT);
	for (unsigned k = 1; k <= n; k *= 2)
		assert_int_equal(pf_folio_try_dup_anon_rmap_ptes(folio, first, k, mm_id[1], false),
			-PF_ENOMEM);
	assert_int_equal(pf_folio_mapcount(folio), PF_MAP_LIMIT);
	assert_int_equal(pf_folio_extra_ref(folio), 0);
	assert_int_equal(pf_folio_order(folio), order);
	check_all(&phys);
	/* all mappings become references at once, beside as many references as fit with them */
	extra = PF_COUNT_REF - PF_MAP_LIMIT;
	assert_true(pf_folio_try_get_n(folio, extra));
	assert_int_equal(pf_folio_remove_rmap_ptes(folio, first, n, mm_id[0]), PF_MAP_LIMIT - n);
	for (maps = PF_MAP_LIMIT - n; maps; maps -= n)
		assert_int_equal(pf_folio_remove_rmap_ptes(folio, first, n, mm_id[1]), maps - n);
	assert_int_equal(pf_folio_extra_ref(folio), PF_MAP_LIMIT + extra);
	assert_int_equal(pf_folio_order(folio), order);
	assert_int_equal(pf_count_kind(folio->head.count.word), PF_FRAME_FOLIO);
	check_all(&phys);
	assert_true(pf_folio_put_testzero(folio, (unsigned)PF_MAP_LIMIT + extra));
	pf_folio_free(&phys, folio);
	check_all_free(&phys);
}

/* A fork refused for a pin changes nothing, of a small page and of a large folio. */
static void pinned_page_is_not_shared(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 4; order++) {
		unsigned n = 1u << order;
		uint64_t count;

		new_folio(order, n, true);
		assert_true(pf_folio_try_get(folio) && pf_folio_pin_ref(folio));
		count = folio->head.count.word;
		assert_int_equal(pf_folio_try_dup_anon_rmap_ptes(folio, first, n, mm_id[1], true),
			-PF_EBUSY);
		assert_int_equal(pf_folio_try_share_anon_rmap_ptes(folio, first, 1), -PF_EBUSY);
		assert_int_equal(folio->head.count.word, count);
		for (unsigned i = 0; i < n; i++)
			assert_true(pf_folio_ae_test(folio, i));
		assert_false(pf_folio_put_testzero(folio, pf_folio_unpin_refs(folio, 1)));
		assert_int_equal(pf_folio_try_share_anon_rmap_ptes(folio, first, 1), 0);
		assert_false(pf_folio_ae_test(folio, 0));
		assert_int_equal(
			pf_folio_try_dup_anon_rmap_ptes(folio, first, n, mm_id[1], true), 0);
		check_all(&phys);
		test_port_stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_lives),
		cmocka_unit_test(two_mms_are_exact),
		cmocka_unit_test(parent_owns_again_after_each_child),
		cmocka_unit_test(reuse_is_refused),
		cmocka_unit_test(untracked_mms_are_safe),
		cmocka_unit_test(b2_batch_in_the_middle),
		cmocka_unit_test(mapping_limit),
		cmocka_unit_test(pinned_page_is_not_shared),
	};

	return cmocka_run_group_tests_name("phys rmap", tests, NULL, NULL);
}
