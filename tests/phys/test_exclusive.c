/* SPDX-License-Identifier: MIT */
/* AnonExclusive (exclusive.h) against an array of bools, for every order. */
#include "phys_test.h"

#define PAGES_MAX (1u << PF_MAX_ORDER)

static struct pf_phys phys;
static struct pf_folio *folio;
static unsigned nr;
static bool model[PAGES_MAX];
static uint64_t seed;

static void new_folio(unsigned order)
{
	/* in the midst of memory, so that a step out of the folio's records would change another's */
	start(&phys, 4 * PAGES_MAX);
	nr = 1u << order;
	for (unsigned i = 0; i < 2; i++) {
		folio = pf_folio_alloc(&phys, order, PF_USE_ANON);
		assert_non_null(folio);
	}
	memset(model, 0, sizeof(model));
}

static void check_bits(unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		assert_int_equal(pf_folio_ae_test(folio, i), model[i]);
}

static void change(unsigned idx, unsigned n, bool on)
{
	if (on)
		pf_folio_ae_set_range(folio, idx, n);
	else
		pf_folio_ae_clear_range(folio, idx, n);
	for (unsigned i = idx; i < idx + n; i++)
		model[i] = on;
}

static void check_run(unsigned idx, unsigned max)
{
	bool value = !model[idx], any = false;
	unsigned want = 1, got = pf_folio_ae_run(folio, idx, max, &value);

	while (want < max && model[idx + want] == model[idx])
		want++;
	if (got != want || value != model[idx])
		fail_msg("of %u pages, from %u at most %u: %u of %d, not %u of %d", nr, idx, max,
			got, value, want, model[idx]);
	for (unsigned i = idx; i < idx + max; i++)
		any |= model[i];
	assert_int_equal(pf_folio_ae_any(folio, idx, max), any);
}

/* All values, all ranges. */
static void small_orders_exhaustively(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 3; order++) {
		new_folio(order);
		for (unsigned v = 0; v < 1u << nr; v++) {
			for (unsigned idx = 0; idx < nr; idx++) {
				for (unsigned n = 1; idx + n <= nr; n++) {
					for (unsigned on = 0; on < 2; on++) {
						for (unsigned i = 0; i < nr; i++)
							change(i, 1, v >> i & 1);
						check_run(idx, n);
						change(idx, n, on);
						check_bits(0, nr);
					}
				}
			}
		}
	}
}

/* Every range of every order on a background of zeros and of ones. */
static void every_range(void **state)
{
	(void)state;
	for (unsigned order = 4; order <= 7; order++) {
		new_folio(order);
		for (unsigned on = 0; on < 2; on++) {
			change(0, nr, !on);
			for (unsigned idx = 0; idx < nr; idx++) {
				for (unsigned n = 1; idx + n <= nr; n++) {
					change(idx, n, on);
					/* its ends and what lies beside them */
					if (idx)
						check_bits(idx - 1, 1);
					check_bits(idx, 1);
					check_bits(idx + n - 1, 1);
					if (idx + n < nr)
						check_bits(idx + n, 1);
					check_run(idx, n);
					check_run(0, nr);
					if (n % 16 == 0)
						check_bits(0, nr);
					change(idx, n, !on);
				}
			}
		}
	}
}

static void large_orders_randomly(void **state)
{
	(void)state;
	seed = 3;
	for (unsigned order = 6; order <= PF_MAX_ORDER; order++) {
		new_folio(order);
		for (unsigned i = 0; i < 20000; i++) {
			unsigned idx = (unsigned)rnd_below_of(&seed, nr);
			unsigned n = 1 + (unsigned)rnd_below_of(&seed, nr - idx);

			/* from and up to the words' ends more often than chance has it */
			if (rnd_below_of(&seed, 3) == 0)
				idx &= ~63u;
			if (rnd_below_of(&seed, 3) == 0 && idx + n > 64)
				n = ((idx + n) & ~63u) > idx ? ((idx + n) & ~63u) - idx : n;
			if (rnd_below_of(&seed, 2))
				n = n > 70 ? n % 70 + 1 : n;
			change(idx, n, rnd_of(&seed) & 1);
			check_run(idx, n);
			check_run(idx, nr - idx);
			if (i % 64 == 0)
				check_bits(0, nr);
		}
	}
}

/* The bitmap lies in the tails' records: counts, slots, links and the neighbours keep their bytes. */
static void nothing_else_is_touched(void **state)
{
	static struct pf_frame before[4 * PAGES_MAX], after[4 * PAGES_MAX];

	(void)state;
	for (unsigned order = 0; order <= PF_MAX_ORDER; order++) {
		struct pf_frame *head;
		size_t at;

		new_folio(order);
		head = &folio->head;
		at = (size_t)(head - phys.frames);
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY | PF_FOLIO_PARTLY_MAPPED);
		head->index = 0x123456789abcdef;
		head->mapping = 77;
		if (order) {
			head[1].id[0] = 5;
			head[1].id[1] = 6;
			head[1].id_map[0] = 1;
			head[1].pins = 0;
		}
		memcpy(before, phys.frames, sizeof(before));
		pf_folio_ae_set_range(folio, 0, nr);
		memcpy(after, phys.frames, sizeof(after));
		/* what belongs to the bitmap goes back to zero; the rest must be as it was */
		after[at].ae = 0;
		for (unsigned i = 1; i < nr; i++) {
			if (i == 1)
				after[at + 1].ae_first = 0;
			else
				after[at + i].ae_more[0] = after[at + i].ae_more[1] = 0;
		}
		assert_memory_equal(before, after, sizeof(before));
		pf_folio_ae_clear_range(folio, 0, nr);
		assert_memory_equal(before, phys.frames, sizeof(before));
	}
}

/* docs/FRAME.md 6: the bitmap's extent; a batch over 64 pages stays in the first line. */
static void the_bitmap_ends_where_documented(void **state)
{
	static const struct {
		unsigned order, last_tail;
	} known[] = {{6, 1}, {7, 2}, {9, 5}, {11, 17}};

	(void)state;
	for (unsigned k = 0; k < PF_ARRAY_SIZE(known); k++) {
		unsigned last = 0;

		new_folio(known[k].order);
		pf_folio_ae_set_range(folio, 0, nr);
		for (unsigned i = 1; i < nr; i++) {
			const struct pf_frame *f = &folio->head + i;

			if (i == 1 ? f->ae_first != 0 : (f->ae_more[0] | f->ae_more[1]) != 0)
				last = i;
		}
		assert_int_equal(last, known[k].last_tail);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_orders_exhaustively),
		cmocka_unit_test(every_range),
		cmocka_unit_test(large_orders_randomly),
		cmocka_unit_test(nothing_else_is_touched),
		cmocka_unit_test(the_bitmap_ends_where_documented),
	};

	return cmocka_run_group_tests_name("phys exclusive", tests, NULL, NULL);
}
