/* SPDX-License-Identifier: MIT */
/*
 * Folios by page index: a radix tree of nodes of 64 slots. A large folio lies at a multiple of its size
 * and fills the slots of that range, at the level where it takes at most 63 of them; so a folio of 512
 * pages costs eight slots, and any of its indexes finds it. Not locked.
 *
 * Pages that are in swap have their places there instead, each slot that of its first page: consecutive pages of a slot
 * have consecutive places. So what went out as one folio can go, or come back, in parts; of the slots of large folios,
 * each of 64 pages, one that is taken apart first becomes a node (pf_page_tree_split).
 */
#ifndef PF_MM_PAGE_TREE_H
#define PF_MM_PAGE_TREE_H

#include "base/types.h"

struct pf_folio;

/* log2 of the slots of a node; folios of this order and up have slots of as many pages. */
#define PF_PAGE_TREE_SHIFT 6u

struct pf_page_node {
	void *slot[64]; /* NULL, a node, a folio's address + 1, or a place in swap */
	struct pf_page_node *parent;
	uint8_t shift;  /* bits of an index below this node's slots */
	uint8_t offset; /* slot of the parent */
	uint8_t count;  /* slots in use; never 0 in a tree */
};

/* All zero: empty. */
struct pf_page_tree {
	struct pf_page_node *root;
};

/*
 * Nodes chained by `parent`: spare ones, and those that have become empty. nr more; false: no memory, and those that there was
 * memory for are in the chain, too. No spinlock may be held.
 */
bool pf_page_nodes_alloc(struct pf_page_node **chain, unsigned nr);
void pf_page_nodes_free(struct pf_page_node *chain);

/* Where in swap a page is: a device's number in bits 63..32, and a slot of it. */
PF_INLINE uint64_t pf_place(unsigned dev, uint64_t slot)
{
	return (uint64_t)dev << 32 | slot;
}

PF_INLINE unsigned pf_place_dev(uint64_t place)
{
	return (unsigned)(place >> 32);
}

PF_INLINE uint64_t pf_place_slot(uint64_t place)
{
	return (uint32_t)place;
}

/* The folio that has this index, or NULL. */
struct pf_folio *pf_page_tree_load(const struct pf_page_tree *t, uint64_t index);
/* The first that has one in [index, last], or NULL. */
struct pf_folio *pf_page_tree_next(const struct pf_page_tree *t, uint64_t index, uint64_t last);
/* Is anything there, a folio or a page in swap? */
bool pf_page_tree_any(const struct pf_page_tree *t, uint64_t index, uint64_t last);
/* Is this index in swap? Where, and how many pages its slot stands for, an aligned 2^*shift. */
bool pf_page_tree_swapped(
	const struct pf_page_tree *t, uint64_t index, uint64_t *place, unsigned *shift);
/* The first in [*index, last] that is. False: none. */
bool pf_page_tree_next_swapped(const struct pf_page_tree *t, uint64_t *index, uint64_t last);

/* How many nodes inserting would take: a bound while the tree is not changed. */
unsigned pf_page_tree_need(const struct pf_page_tree *t, uint64_t index, unsigned order);
/*
 * Put a folio of 2^order pages at index, a multiple of that. Takes the nodes it needs from *spares, which
 * has enough. False, and nothing has changed: some index of the range is taken.
 */
bool pf_page_tree_insert(struct pf_page_tree *t, uint64_t index, unsigned order,
	struct pf_folio *folio, struct pf_page_node **spares);
/*
 * Put another folio of the same order in the place of the one at index; or of what is in swap there, in slots of
 * as many pages as those of a folio of that order.
 */
void pf_page_tree_replace(
	struct pf_page_tree *t, uint64_t index, unsigned order, struct pf_folio *folio);
/* Take the folio at index out. Nodes that become empty are added to *spares. */
void pf_page_tree_erase(
	struct pf_page_tree *t, uint64_t index, unsigned order, struct pf_page_node **spares);

/* How many nodes pf_page_tree_split_folio() takes. */
unsigned pf_page_tree_split_need(unsigned order, uint32_t at);
/*
 * The folio at index has become smaller ones, pf_split_order(at, i) says which (phys/phys.h), the first where it was. Nodes are
 * taken from *spares.
 */
void pf_page_tree_split_folio(struct pf_page_tree *t, uint64_t index, unsigned order, uint32_t at,
	struct pf_folio *first, struct pf_page_node **spares);

/* The folio at index is in swap now, from `place` on. */
void pf_page_tree_swap_out(struct pf_page_tree *t, uint64_t index, unsigned order, uint64_t place);
/* Index is in swap, in a slot of 64 pages: each of them gets a slot of its own, in a node of *spares. */
void pf_page_tree_split(struct pf_page_tree *t, uint64_t index, struct pf_page_node **spares);
/* Take the slot out in which index is in swap. Nodes that become empty are added to *spares. */
void pf_page_tree_erase_swapped(
	struct pf_page_tree *t, uint64_t index, struct pf_page_node **spares);

#endif
