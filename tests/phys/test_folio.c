/* SPDX-License-Identifier: MIT */
/* References, pins, flags, and how a page's number leads to its folio (folio.h, phys.h). */
#include "phys_test.h"

static struct pf_phys phys;

static struct pf_folio *take(unsigned order)
{
	struct pf_folio *f = pf_folio_alloc(&phys, order, PF_USE_ANON);

	assert_non_null(f);
	return f;
}

static int begin(void **state)
{
	(void)state;
	start(&phys, 8192);
	return 0;
}

static void references(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= PF_MAX_ORDER; order++) {
		struct pf_folio *f = take(order);

		pf_folio_get(f, 5);
		assert_int_equal(pf_folio_ref(f), 6);
		assert_int_equal(pf_folio_extra_ref(f), 6);
		assert_int_equal(pf_folio_mapcount(f), 0);
		assert_true(pf_folio_try_get(f));
		assert_true(pf_folio_try_get_n(f, 3));
		assert_int_equal(pf_folio_ref(f), 10);
		assert_false(pf_folio_put_testzero(f, 9));
		assert_int_equal(pf_folio_ref(f), 1);
		assert_int_equal(pf_folio_order(f), order);
		check_all(&phys);
		pf_folio_put(&phys, f, 1);
		/* gone: nobody gets a reference any more, and the record isn't written */
		{
			struct pf_frame before = f->head;

			assert_false(pf_folio_try_get(f));
			assert_memory_equal(&before, &f->head, sizeof(before));
		}
		check_all_free(&phys);
	}
}

/* try_get refuses beyond the limit, whatever the number of mappings beside it. */
static void reference_limit(void **state)
{
	struct pf_folio *f = take(2);

	(void)state;
	pf_folio_get(f, (unsigned)PF_REF_LIMIT - 2);
	assert_false(pf_folio_try_get_n(f, 2));
	assert_int_equal(pf_folio_ref(f), PF_REF_LIMIT - 1);
	assert_true(pf_folio_try_get(f));
	assert_false(pf_folio_try_get(f));
	/* mappings are another field: none of theirs is taken for a reference, nor the other way */
	pf_folio_add_anon_rmap_ptes(f, pf_folio_pfn(&phys, f), 4, MM_FIRST, true);
	assert_int_equal(pf_folio_extra_ref(f), PF_REF_LIMIT);
	assert_int_equal(pf_folio_mapcount(f), 4);
	assert_int_equal(pf_folio_remove_rmap_ptes(f, pf_folio_pfn(&phys, f), 4, MM_FIRST), 0);
	assert_int_equal(pf_folio_extra_ref(f), PF_REF_LIMIT + 4);
	assert_int_equal(pf_folio_order(f), 2);
	pf_folio_put(&phys, f, (unsigned)PF_REF_LIMIT + 4);
	check_all_free(&phys);
}

/*
 * Pins of a small folio are references times a bias. docs/FRAME.md 2: with one plain reference it
 * takes 131,071; the one too many changes nothing.
 */
static void pins_of_a_small_folio(void **state)
{
	struct pf_folio *f = take(0);
	unsigned pins = 0;

	(void)state;
	assert_false(pf_folio_maybe_pinned(f));
	for (;;) {
		if (!pf_folio_try_get(f))
			break;
		if (!pf_folio_pin_ref(f)) {
			pf_folio_put(&phys, f, 1);
			break;
		}
		pins++;
		if (pins < 3 || pins % 1000 == 0) {
			assert_true(pf_folio_maybe_pinned(f));
			assert_int_equal(pf_folio_ref(f), 1 + pins * PF_PIN_BIAS);
		}
	}
	assert_int_equal(pins, 131071);
	assert_int_equal(pf_folio_ref(f), 1 + pins * PF_PIN_BIAS);
	assert_int_equal(pf_folio_order(f), 0);
	while (pins > 1) {
		unsigned n = pins > 1000 ? 1000 : pins - 1;

		assert_false(pf_folio_put_testzero(f, pf_folio_unpin_refs(f, n)));
		pins -= n;
		assert_true(pf_folio_maybe_pinned(f));
	}
	assert_false(pf_folio_put_testzero(f, pf_folio_unpin_refs(f, 1)));
	assert_false(pf_folio_maybe_pinned(f));
	assert_int_equal(pf_folio_ref(f), 1);
	/* mappings are no pins, however many */
	for (unsigned i = 0; i < 2000; i++)
		pf_folio_add_anon_rmap_ptes(f, pf_folio_pfn(&phys, f), 1, MM_FIRST + i, false);
	assert_false(pf_folio_maybe_pinned(f));
	for (unsigned i = 0; i < 2000; i++)
		assert_false(
			pf_folio_drop_rmap_testzero(f, pf_folio_pfn(&phys, f), 1, MM_FIRST + i));
	pf_folio_put(&phys, f, 1);
	check_all_free(&phys);
}

/* A large folio counts them apart: exact, so a folio with 1024 other references isn't pinned. */
static void pins_of_a_large_folio(void **state)
{
	(void)state;
	for (unsigned order = 1; order <= PF_MAX_ORDER; order++) {
		struct pf_folio *f = take(order);

		pf_folio_get(f, 3 * PF_PIN_BIAS);
		assert_false(pf_folio_maybe_pinned(f));
		for (unsigned i = 0; i < 5; i++) {
			assert_true(pf_folio_try_get(f));
			assert_true(pf_folio_pin_ref(f));
			assert_true(pf_folio_maybe_pinned(f));
		}
		assert_int_equal(pf_folio_ref(f), 1 + 3 * PF_PIN_BIAS + 5);
		check_all(&phys);
		assert_int_equal(pf_folio_unpin_refs(f, 4), 4);
		assert_false(pf_folio_put_testzero(f, 4));
		assert_true(pf_folio_maybe_pinned(f));
		assert_int_equal(pf_folio_unpin_refs(f, 1), 1);
		assert_false(pf_folio_maybe_pinned(f));
		assert_false(pf_folio_put_testzero(f, 1 + 3 * PF_PIN_BIAS));
		check_all(&phys);
		pf_folio_put(&phys, f, 1);
		check_all_free(&phys);
	}
}

/* Many at once, up to the limit and not beyond it. */
static void grab(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 4; order += 4) {
		struct pf_folio *f = take(order);
		const unsigned per_pin = order ? 1 : PF_PIN_BIAS, n = order ? 16 : 1;

		assert_true(pf_folio_grab(f, n, false));
		assert_int_equal(pf_folio_ref(f), 1 + n);
		assert_false(pf_folio_maybe_pinned(f));
		assert_true(pf_folio_grab(f, n, true));
		assert_int_equal(pf_folio_ref(f), 1 + n + n * per_pin);
		assert_true(pf_folio_maybe_pinned(f));
		pf_folio_put(&phys, f, pf_folio_unpin_refs(f, n));
		assert_false(pf_folio_maybe_pinned(f));
		pf_folio_get(f, (unsigned)PF_REF_LIMIT - pf_folio_ref(f) - n * per_pin + 1);
		assert_false(pf_folio_grab(f, n, true));
		/* So many references of a small one pass for a pin. */
		assert_int_equal(pf_folio_maybe_pinned(f), !order);
		pf_folio_put(&phys, f, 1);
		assert_true(pf_folio_grab(f, n, true));
		assert_int_equal(pf_folio_ref(f), PF_REF_LIMIT);
		assert_false(pf_folio_grab(f, 1, false));
		pf_folio_put(&phys, f, pf_folio_unpin_refs(f, n));
		pf_folio_put(&phys, f, pf_folio_ref(f));
		check_all_free(&phys);
	}
}

/* A pin keeps the folio when the last mapping goes. */
static void pin_outlives_mappings(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 5; order++) {
		struct pf_folio *f = take(order);
		pf_pfn_t pfn = pf_folio_pfn(&phys, f);
		unsigned n = 1u << order;

		pf_folio_add_new_anon_rmap(f, pfn, n, MM_LAST, true);
		assert_true(pf_folio_try_get(f) && pf_folio_pin_ref(f));
		assert_false(pf_folio_drop_rmap_testzero(f, pfn, n, MM_LAST));
		assert_int_equal(pf_folio_mapcount(f), 0);
		assert_true(pf_folio_maybe_pinned(f));
		check_all(&phys);
		pf_folio_put(&phys, f, pf_folio_unpin_refs(f, 1));
		check_all_free(&phys);
	}
}

static void flags(void **state)
{
	static const uint32_t all[] = {PF_FOLIO_LOCKED, PF_FOLIO_DIRTY, PF_FOLIO_UPTODATE,
		PF_FOLIO_WRITEBACK, PF_FOLIO_LAZYFREE, PF_FOLIO_SWAPCACHE, PF_FOLIO_REFERENCED,
		PF_FOLIO_YOUNG, PF_FOLIO_IDLE, PF_FOLIO_KSM, PF_FOLIO_HWPOISON,
		PF_FOLIO_HAS_HWPOISON, PF_FOLIO_PARTLY_MAPPED};
	struct pf_folio *f = take(0);
	uint32_t seen = PF_FOLIO_USE(3);

	(void)state;
	pf_folio_ae_set_range(f, 0, 1);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(all); i++) {
		/* each a bit of its own, and none of them the exclusive byte or the use */
		assert_true(pf_is_pow2(all[i]));
		assert_false(seen & all[i]);
		seen |= all[i];
		assert_false(pf_folio_test_flags(f, all[i]));
		pf_folio_set_flags(f, all[i]);
		assert_true(pf_folio_test_flags(f, all[i]));
		assert_true(pf_folio_ae_test(f, 0));
	}
	pf_folio_ae_clear_range(f, 0, 1);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(all); i++) {
		assert_true(pf_folio_test_flags(f, all[i]));
		pf_folio_clear_flags(f, all[i]);
		assert_false(pf_folio_test_flags(f, all[i]));
		assert_false(pf_folio_ae_test(f, 0));
	}
	assert_int_equal(test_port.live[PF_USE_ANON], PAGE);
	pf_folio_put(&phys, f, 1); /* the use was not changed by any of it */
	check_all_free(&phys);
}

/* Every page of every order leads to its folio, its index and its extent. */
static void page_to_folio(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= PF_MAX_ORDER; order++) {
		struct pf_folio *f = take(order), *other = take(order);
		pf_pfn_t first = pf_folio_pfn(&phys, f);
		struct pf_extent x = pf_folio_extent(&phys, f);

		assert_int_equal(x.first, first);
		assert_int_equal(x.nr, 1u << order);
		for (unsigned i = 0; i < 1u << order; i++) {
			assert_ptr_equal(pf_page_folio(&phys, first + i), f);
			assert_int_equal(pf_folio_idx(f, first + i), i);
			assert_true(pf_phys_has(&phys, first + i));
			assert_ptr_equal(pf_phys_frame(&phys, first + i), &f->head + i);
			assert_ptr_equal(pf_folio_try_get_page(&phys, first + i), f);
		}
		assert_int_equal(pf_folio_ref(f), 1 + (1u << order));
		pf_folio_put(&phys, f, 1 + (1u << order));
		pf_folio_put(&phys, other, 1);
	}
	check_all_free(&phys);
	assert_false(pf_phys_has(&phys, phys.first - 1));
	assert_false(pf_phys_has(&phys, phys.first + phys.nr));
	assert_false(pf_phys_has(&phys, 0));
	assert_false(pf_phys_has(&phys, UINT64_MAX));
}

/*
 * Stale numbers: frames are reused by folios of other orders and by tables, and every frame is asked
 * for after each change. A reference comes from the folio that has the page now, or not at all.
 */
static void stale_frame_numbers(void **state)
{
	static struct pf_folio *owner[8192];
	uint64_t seed = 11;
	struct pf_folio *live[32] = {0};
	pf_pa_t tables[32] = {0};
	struct pf_table_mem mem = pf_phys_table_mem(&phys);

	(void)state;
	memset(owner, 0, sizeof(owner));
	for (unsigned step = 0; step < 600; step++) {
		unsigned k = (unsigned)rnd_below_of(&seed, 32);
		unsigned order = (unsigned)rnd_below_of(&seed, 10);

		if (live[k]) {
			uint64_t at = pf_folio_pfn(&phys, live[k]) - phys.first;

			memset(&owner[at], 0, sizeof(owner[0]) << pf_folio_order(live[k]));
			pf_folio_put(&phys, live[k], 1);
			live[k] = NULL;
		} else if (tables[k]) {
			mem.free(mem.ctx, tables[k], 4 * PAGE);
			tables[k] = 0;
		} else if (order < 2) {
			tables[k] = mem.alloc(mem.ctx, 4 * PAGE);
			/* live metadata: must not be written by a walker that takes it for a folio */
			for (unsigned i = 0; tables[k] && i < 4; i++)
				memset(pf_port_memmap(tables[k] + i * PAGE), 0x5a, 24);
		} else {
			live[k] = pf_folio_alloc(&phys, order - 2, PF_USE_ANON);
			if (!live[k])
				continue;
			for (unsigned i = 0; i < pf_folio_nr(live[k]); i++)
				owner[pf_folio_pfn(&phys, live[k]) - phys.first + i] = live[k];
		}
		for (uint64_t i = 0; i < phys.nr; i++) {
			struct pf_folio *f = pf_folio_try_get_page(&phys, phys.first + i);

			assert_ptr_equal(f, owner[i]);
			if (f)
				pf_folio_put(&phys, f, 1);
		}
		for (unsigned t = 0; t < 32; t++)
			for (unsigned i = 0; tables[t] && i < 96; i++)
				assert_int_equal(((uint8_t *)pf_port_memmap(
							 tables[t] + i / 24 * PAGE))[i % 24],
					0x5a);
		check_all(&phys);
	}
}

/*
 * Tails keep flags where a head has its mappings. A stale order may lead to a tail as if it were a
 * head; that its flags look like mappings must not make it one.
 */
static void poisoned_tail_is_no_folio(void **state)
{
	struct pf_folio *f = take(4);

	(void)state;
	for (unsigned i = 1; i < 16; i++) {
		struct pf_frame *tail = &f->head + i;

		tail->count.word |= PF_TAIL_HWPOISON << PF_COUNT_MAP_SHIFT;
		assert_false(pf_folio_try_get((struct pf_folio *)tail));
		assert_ptr_equal(pf_folio_try_get_page(&phys, pf_folio_pfn(&phys, f) + i), f);
		tail->count.word &= ~PF_COUNT_MAP;
	}
	check_all(&phys);
	pf_folio_put(&phys, f, 16);
	check_all_free(&phys);
}

/* A folio comes apart around each of its pages, or into pages: every page is of one folio then, none exclusive, nothing is lost. */
static void split(void **state)
{
	(void)state;
	for (unsigned order = 1; order <= 7; order++) {
		for (unsigned k = 0; k <= 1u << order; k++) {
			const uint32_t at = k < 1u << order ? k : PF_SPLIT_PAGES;
			struct pf_folio *f = take(order);
			const pf_pfn_t pfn = pf_folio_pfn(&phys, f);
			unsigned pieces = 0, page = 0, nr = 0;

			f->head.index = 4096;
			f->head.mapping = 17;
			pf_folio_set_flags(f, PF_FOLIO_DIRTY);
			assert_true(pf_folio_trylock(f));
			pf_folio_get(f, 1);
			assert_false(pf_folio_freeze(f));
			pf_folio_put(&phys, f, 1);
			assert_true(pf_folio_freeze(f));
			pf_folio_split_frozen(&phys, f, at);
			check_all(&phys);
			while (page < 1u << order) {
				struct pf_folio *piece = (struct pf_folio *)(&f->head + page);

				nr = pf_folio_nr(piece);
				assert_int_equal(pf_folio_ref(piece), 1);
				assert_int_equal(piece->head.index, 4096 + page);
				assert_int_equal(piece->head.mapping, 17);
				assert_true(pf_folio_test_flags(piece, PF_FOLIO_DIRTY));
				assert_true(pf_folio_test_flags(piece, PF_FOLIO_LOCKED));
				/* The largest that has not page `at`, or that one alone. */
				assert_int_equal(page % nr, 0);
				assert_true(nr == 1 || at / nr != page / nr);
				if (at != PF_SPLIT_PAGES && page != at)
					assert_int_equal(at / (2 * nr), page / (2 * nr));
				for (unsigned i = 0; i < nr; i++)
					assert_ptr_equal(
						pf_page_folio(&phys, pfn + page + i), piece);
				pieces++;
				page += nr;
			}
			assert_int_equal(pieces, at == PF_SPLIT_PAGES ? 1u << order : order + 1);
			for (page = 0; page < 1u << order;) {
				struct pf_folio *piece = (struct pf_folio *)(&f->head + page);

				page += pf_folio_nr(piece);
				pf_folio_unlock(piece);
				pf_folio_put(&phys, piece, 1);
			}
			/* All but the last were noted inside the extent that there was; this port adds. */
			test_port.live[PF_USE_ANON] -= (int64_t)(((1u << order) - nr) * PAGE);
			check_all_free(&phys);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(references, begin),
		cmocka_unit_test_setup(reference_limit, begin),
		cmocka_unit_test_setup(pins_of_a_small_folio, begin),
		cmocka_unit_test_setup(pins_of_a_large_folio, begin),
		cmocka_unit_test_setup(grab, begin),
		cmocka_unit_test_setup(pin_outlives_mappings, begin),
		cmocka_unit_test_setup(flags, begin),
		cmocka_unit_test_setup(page_to_folio, begin),
		cmocka_unit_test_setup(poisoned_tail_is_no_folio, begin),
		cmocka_unit_test_setup(stale_frame_numbers, begin),
		cmocka_unit_test_setup(split, begin),
	};

	return cmocka_run_group_tests_name("phys folio", tests, NULL, NULL);
}
