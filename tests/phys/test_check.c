/* SPDX-License-Identifier: MIT */
/*
 * pf_phys_check() can fail: each invariant of docs/FRAME.md 7 is broken by hand in the records, must
 * be found at the frame where it was broken, and must be found no longer when it is mended.
 */
#include "phys_test.h"

static struct pf_phys phys;
static struct pf_folio *small, *large, *huge; /* orders 0, 3, 7 */
static struct pf_frame *table;                /* order 2 */
static struct pf_frame *block;                /* a free block of order >= 2 */

static int begin(void **state)
{
	struct pf_table_mem mem;

	(void)state;
	start(&phys, 1024);
	huge = pf_folio_alloc(&phys, 7, PF_USE_ANON);
	large = pf_folio_alloc(&phys, 3, PF_USE_ANON);
	small = pf_folio_alloc(&phys, 0, PF_USE_ANON);
	mem = pf_phys_table_mem(&phys);
	table = pf_port_memmap(mem.alloc(mem.ctx, 4 * PAGE));
	pf_folio_add_new_anon_rmap(huge, pf_folio_pfn(&phys, huge), 128, 5, true);
	pf_folio_add_new_anon_rmap(large, pf_folio_pfn(&phys, large), 8, 6, true);
	pf_folio_add_new_anon_rmap(small, pf_folio_pfn(&phys, small), 1, 7, true);
	block = NULL;
	for (uint64_t i = 0; i < phys.nr && !block; i++)
		if (pf_count_kind(phys.frames[i].count.word) == PF_FRAME_FREE &&
			pf_count_order(phys.frames[i].count.word) >= 2)
			block = &phys.frames[i];
	assert_non_null(block);
	check_all(&phys);
	return 0;
}

static void found_at(const struct pf_frame *at)
{
	pf_pfn_t bad = 0;
	const char *why = NULL;

	assert_int_equal(pf_phys_check(&phys, &bad, &why), -PF_EINVAL);
	assert_non_null(why);
	if (at)
		assert_int_equal(bad - phys.first, at - phys.frames);
}

/* Break one field, see it found, mend it. */
#define BREAK(field, value, at)                                                                    \
	do {                                                                                       \
		__typeof__(field) kept = (field);                                                  \
                                                                                                   \
		(field) = (__typeof__(field))(value);                                              \
		found_at(at);                                                                      \
		(field) = kept;                                                                    \
		check_all(&phys);                                                                  \
	} while (0)

static void frames_belong_to_one_block(void **state)
{
	(void)state;
	BREAK(small->head.count.word, 0, &small->head);
	BREAK(small->head.count.word, pf_count_make(PF_FRAME_TAIL, 0, 0, 0), &small->head);
	BREAK(small->head.count.word, (uint64_t)9 << PF_COUNT_KIND_SHIFT | 1, &small->head);
	BREAK(large->head.count.word, pf_count_make(PF_FRAME_FOLIO, 12, 8, 0), &large->head);
	/* too large for its alignment */
	BREAK(large->head.count.word, pf_count_make(PF_FRAME_FOLIO, 8, 8, 0), &large->head);
	BREAK(large->head.count.word, pf_count_make(PF_FRAME_FOLIO, 2, 8, 0), NULL);
}

static void folios(void **state)
{
	(void)state;
	BREAK(small->head.count.word, pf_count_make(PF_FRAME_FOLIO, 0, 0, 0), &small->head);
	BREAK(large->head.count.word, pf_count_make(PF_FRAME_FOLIO, 3, 0, 0), &large->head);
	BREAK(small->head.ae, 2, &small->head);
	/* G2 */
	BREAK(small->head.count.word, pf_count_make(PF_FRAME_FOLIO, 0, 2, 0), &small->head);
	BREAK(small->head.flags, small->head.flags | PF_FOLIO_KSM, &small->head);
}

static void large_folios(void **state)
{
	struct pf_frame *t = &large->head + 1;

	(void)state;
	for (unsigned i = 1; i < 8; i++) {
		struct pf_frame *f = &large->head + i;

		BREAK(f->count.word, pf_count_make(PF_FRAME_TAIL, 2, 0, 0), &large->head);
		BREAK(f->count.word, pf_count_make(PF_FRAME_FOLIO, 3, 0, 0), &large->head);
		BREAK(f->count.word, pf_count_make(PF_FRAME_TAIL, 3, 0, 1), &large->head);
		BREAK(f->count.word, 0, &large->head);
	}
	for (unsigned i = 1; i < 128; i++)
		BREAK((&huge->head)[i].count.word, pf_count_make(PF_FRAME_FREE, 0, 0, 0),
			&huge->head);
	/* a poisoned tail is no error */
	t->count.word |= PF_TAIL_HWPOISON << PF_COUNT_MAP_SHIFT;
	check_all(&phys);
	t->count.word &= ~PF_COUNT_MAP;
	BREAK(t->ae_first, 0x1ff, &large->head);
	BREAK(t->id[0], t->id[0] | PF_ID_LOCK, &large->head);
	BREAK(t->id[0], t->id[0] | PF_ID_SHARED, &large->head);
	BREAK(t->id_map[0], 9, &large->head);
	BREAK(t->id_map[0], 7, &large->head); /* shared, and does not say so */
	BREAK(t->pins, 1, &large->head);
	/* one mm in both slots */
	t->id[1] = 6;
	t->id_map[0] = 5;
	t->id_map[1] = 3;
	t->id[0] |= PF_ID_SHARED;
	found_at(&large->head);
	t->id[1] = 8;
	check_all(&phys);
}

static void tables(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		BREAK(table[i].count.word, pf_count_make(PF_FRAME_TABLE, 2, 0, 1), table);
		BREAK(table[i].count.word, pf_count_make(PF_FRAME_TABLE, 2, 1, 0), table);
		if (i)
			BREAK(table[i].count.word, pf_count_make(PF_FRAME_TABLE, 1, 0, 0), table);
	}
}

static void free_blocks(void **state)
{
	unsigned order = pf_count_order(block->count.word);

	(void)state;
	BREAK(block->count.word, block->count.word | 1, block);
	BREAK(block->count.word, block->count.word | PF_COUNT_MAP_1, block);
	BREAK(block[1].count.word, pf_count_make(PF_FRAME_FREE, 0, 0, 0), block);
	BREAK(block[2].count.word, pf_count_make(PF_FRAME_FOLIO, 0, 0, 1), block);
	/* in halves that lie side by side: two free buddies, which the lists do not have either */
	block->count.word = pf_count_make(PF_FRAME_FREE, order - 1, 0, 0);
	block[1u << (order - 1)].count.word = pf_count_make(PF_FRAME_FREE, order - 1, 0, 0);
	found_at(block);
	block[1u << (order - 1)].count.word = 0;
	block->count.word = pf_count_make(PF_FRAME_FREE, order, 0, 0);
	check_all(&phys);
	/* inner records may say what they said last */
	block[1].count.word = pf_count_make(PF_FRAME_TAIL, 5, 0, 0);
	block[2].count.word = pf_count_make(PF_FRAME_TABLE, 0, 0, 0);
	check_all(&phys);
}

static void free_lists(void **state)
{
	unsigned order = pf_count_order(block->count.word);

	(void)state;
	BREAK(phys.node[0].free[order], 0, NULL);
	BREAK(phys.node[0].free[order], phys.nr + 1, NULL);
	BREAK(phys.node[0].free[order], &small->head - phys.frames + 1, &small->head);
	BREAK(block->lru_prev, 5, NULL);
	BREAK(block->lru_next, block - phys.frames + 1, NULL); /* a ring */
	BREAK(phys.node[0].free_nr[order], phys.node[0].free_nr[order] + 1, NULL);
	BREAK(phys.node[0].free_pages, phys.node[0].free_pages - 1, NULL);
	BREAK(phys.node[0].nonempty, phys.node[0].nonempty & ~(1u << order), NULL);
	BREAK(phys.node[0].nonempty, phys.node[0].nonempty | 1u << 11, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(frames_belong_to_one_block, begin),
		cmocka_unit_test_setup(folios, begin),
		cmocka_unit_test_setup(large_folios, begin),
		cmocka_unit_test_setup(tables, begin),
		cmocka_unit_test_setup(free_blocks, begin),
		cmocka_unit_test_setup(free_lists, begin),
	};

	return cmocka_run_group_tests_name("phys check", tests, NULL, NULL);
}
