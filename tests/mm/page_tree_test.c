/* SPDX-License-Identifier: MIT */
/* mm/page_tree.h: a folio that comes apart is found piece by piece, for as many nodes as were asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine/machine.h"
#include "mm/page_tree.h"
#include "phys/phys.h"

/* Their addresses are all that a tree wants of folios. */
static struct pf_frame frames[1u << PF_MAX_ORDER];

static struct pf_folio *folio(unsigned i)
{
	return (struct pf_folio *)&frames[i];
}

static struct pf_page_node *nodes(unsigned nr)
{
	struct pf_page_node *chain = NULL;

	assert_true(pf_page_nodes_alloc(&chain, nr));
	return chain;
}

static void split(unsigned order, uint32_t at)
{
	const uint64_t index = UINT64_C(3) << PF_MAX_ORDER;
	const unsigned nr = 1u << order;
	struct pf_page_tree t = {0};
	struct pf_page_node *spares = nodes(pf_page_tree_need(&t, index, order));

	assert_true(pf_page_tree_insert(&t, index, order, folio(0), &spares));
	assert_null(spares);
	spares = nodes(pf_page_tree_split_need(order, at));
	pf_page_tree_split_folio(&t, index, order, at, folio(0), &spares);
	assert_null(spares);
	for (unsigned i = 0, piece; i < nr; i += 1u << piece) {
		piece = pf_split_order(at, i);
		for (unsigned k = i; k < i + (1u << piece); k++)
			assert_ptr_equal(pf_page_tree_load(&t, index + k), folio(i));
		assert_ptr_equal(pf_page_tree_next(&t, index + i, index + nr - 1), folio(i));
	}
	assert_false(pf_page_tree_any(&t, 0, index - 1));
	assert_false(pf_page_tree_any(&t, index + nr, UINT64_MAX));
	/* Each goes by itself, and nothing is left. */
	for (unsigned i = 0, piece; i < nr; i += 1u << piece) {
		piece = pf_split_order(at, i);
		pf_page_tree_erase(&t, index + i, piece, &spares);
		assert_null(pf_page_tree_load(&t, index + i));
		if (i + (1u << piece) < nr)
			assert_non_null(pf_page_tree_load(&t, index + i + (1u << piece)));
	}
	assert_null(t.root);
	pf_page_nodes_free(spares);
}

static void comes_apart(void **state)
{
	const struct machine_config mc = {.format = "arm64-4k", .memory = 16 << 20, .cpus = 1};

	(void)state;
	assert_int_equal(machine_start(&mc), 0);
	for (unsigned order = 1; order <= PF_MAX_ORDER; order++) {
		split(order, PF_SPLIT_PAGES);
		/* All of the small ones; of the large ones the ends, and some between. */
		for (uint32_t at = 0; at<1u << order; at += order> 8 && at % 64 == 2 ? 61 : 1)
			split(order, at);
	}
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_apart),
	};

	return cmocka_run_group_tests_name("mm page tree", tests, NULL, NULL);
}
