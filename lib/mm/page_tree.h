/* SPDX-License-Identifier: MIT */
/*
 * Folios by page index: a radix tree of nodes of 64 slots. A large folio lies at a multiple of its size
 * and fills the slots of that range, at the level where it takes at most 63 of them; so a folio of 512
 * pages costs eight slots, and any of its indexes finds it. Not locked.
 */
#ifndef PF_MM_PAGE_TREE_H
#define PF_MM_PAGE_TREE_H

#include "base/types.h"

struct pf_folio;

struct pf_page_node {
	void *slot[64]; /* NULL, a node, or a folio's address + 1 */
	struct pf_page_node *parent;
	uint8_t shift;  /* bits of an index below this node's slots */
	uint8_t offset; /* slot of the parent */
	uint8_t count;  /* slots in use; never 0 in a tree */
};

/* All zero: empty. */
struct pf_page_tree {
	struct pf_page_node *root;
};

/* Nodes chained by `parent`: spare ones, and those that have become empty. */
void pf_page_nodes_free(struct pf_page_node *chain);

/* The folio that has this index, or NULL. */
struct pf_folio *pf_page_tree_load(const struct pf_page_tree *t, uint64_t index);
/* The first that has one in [index, last], or NULL. */
struct pf_folio *pf_page_tree_next(const struct pf_page_tree *t, uint64_t index, uint64_t last);

/* How many nodes inserting would take: a bound while the tree is not changed. */
unsigned pf_page_tree_need(const struct pf_page_tree *t, uint64_t index, unsigned order);
/*
 * Put a folio of 2^order pages at index, a multiple of that. Takes the nodes it needs from *spares, which
 * has enough. False, and nothing has changed: some index of the range is taken.
 */
bool pf_page_tree_insert(struct pf_page_tree *t, uint64_t index, unsigned order,
	struct pf_folio *folio, struct pf_page_node **spares);
/* Put another folio of the same order in the place of the one at index. */
void pf_page_tree_replace(
	struct pf_page_tree *t, uint64_t index, unsigned order, struct pf_folio *folio);
/* Take the folio at index out. Nodes that become empty are added to *spares. */
void pf_page_tree_erase(
	struct pf_page_tree *t, uint64_t index, unsigned order, struct pf_page_node **spares);

#endif
