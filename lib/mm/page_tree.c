/* SPDX-License-Identifier: MIT */
/*
 * The radix tree of a mapping's folios.
 */
#include "mm/page_tree.h"

#include "base/bits.h"
#include "base/mem.h"
#include "phys/phys.h"
#include "port/port.h"

#define SHIFT PF_PAGE_TREE_SHIFT
#define SLOTS 64u

/* The low bits of a slot. */
#define IS_FOLIO 1u
#define IS_PLACE 2u
#define IS_LEAF  (IS_FOLIO | IS_PLACE)

PF_STATIC_ASSERT(sizeof(uintptr_t) == sizeof(uint64_t), "a place in swap fits in a slot");

static bool is_leaf(const void *slot)
{
	return (uintptr_t)slot & IS_LEAF;
}

static bool is_place(const void *slot)
{
	return (uintptr_t)slot & IS_PLACE;
}

static void *of_folio(struct pf_folio *folio)
{
	return (char *)folio + IS_FOLIO;
}

/* NULL if it is none. */
static struct pf_folio *to_folio(void *slot)
{
	return (uintptr_t)slot & IS_FOLIO ? (struct pf_folio *)((char *)slot - IS_FOLIO) : NULL;
}

static void *of_place(uint64_t place)
{
	return (void *)(uintptr_t)(place << 2 | IS_PLACE);
}

static uint64_t to_place(const void *slot)
{
	return (uintptr_t)slot >> 2;
}

/* Does an index lie beyond what a node with this shift covers as a root? */
static bool beyond(uint64_t index, unsigned shift)
{
	return shift + SHIFT < 64 && index >> (shift + SHIFT);
}

static unsigned slot_of(const struct pf_page_node *n, uint64_t index)
{
	return (unsigned)(index >> n->shift) & (SLOTS - 1);
}

/* The level that a folio's slots are on. */
static unsigned shift_of(unsigned order)
{
	return order / SHIFT * SHIFT;
}

bool pf_page_nodes_alloc(struct pf_page_node **chain, unsigned nr)
{
	while (nr--) {
		struct pf_page_node *n = pf_port_meta_alloc(sizeof(*n));

		if (!n)
			return false;
		n->parent = *chain;
		*chain = n;
	}
	return true;
}

void pf_page_nodes_free(struct pf_page_node *chain)
{
	while (chain) {
		struct pf_page_node *next = chain->parent;

		pf_port_meta_free(chain, sizeof(*chain));
		chain = next;
	}
}

/* The node with the slot that index ends in, empty or not; NULL: it is outside the tree. */
static struct pf_page_node *leaf_of(const struct pf_page_tree *t, uint64_t index)
{
	struct pf_page_node *n = t->root;
	void *slot;

	if (!n || beyond(index, n->shift))
		return NULL;
	while ((slot = n->slot[slot_of(n, index)]) && !is_leaf(slot))
		n = slot;
	return n;
}

struct pf_folio *pf_page_tree_load(const struct pf_page_tree *t, uint64_t index)
{
	struct pf_page_node *n = leaf_of(t, index);

	return n ? to_folio(n->slot[slot_of(n, index)]) : NULL;
}

/* Is there nothing in it of these kinds? */
static bool is_without(const void *slot, uintptr_t kinds)
{
	return !slot || (is_leaf(slot) && !((uintptr_t)slot & kinds));
}

/* The node of the first slot from *index to last that has any of `kinds`; *index is its first page in the range. NULL: none. */
static struct pf_page_node *next(
	const struct pf_page_tree *t, uint64_t *index, uint64_t last, uintptr_t kinds)
{
	while (*index <= last) {
		struct pf_page_node *n = leaf_of(t, *index);
		unsigned i;

		if (!n)
			return NULL;
		i = slot_of(n, *index);
		if ((uintptr_t)n->slot[i] & kinds)
			return n;
		/* Nothing up to the next slot that has them, or may, or to the node's end. */
		do {
			*index = (*index | (PF_BIT(n->shift) - 1)) + 1;
			if (!*index)
				return NULL;
		} while (++i < SLOTS && is_without(n->slot[i], kinds));
	}
	return NULL;
}

struct pf_folio *pf_page_tree_next(const struct pf_page_tree *t, uint64_t index, uint64_t last)
{
	struct pf_page_node *n = next(t, &index, last, IS_FOLIO);

	return n ? to_folio(n->slot[slot_of(n, index)]) : NULL;
}

bool pf_page_tree_any(const struct pf_page_tree *t, uint64_t index, uint64_t last)
{
	return next(t, &index, last, IS_LEAF);
}

bool pf_page_tree_next_swapped(const struct pf_page_tree *t, uint64_t *index, uint64_t last)
{
	return next(t, index, last, IS_PLACE);
}

bool pf_page_tree_swapped(
	const struct pf_page_tree *t, uint64_t index, uint64_t *place, unsigned *shift)
{
	struct pf_page_node *n = leaf_of(t, index);
	void *slot = n ? n->slot[slot_of(n, index)] : NULL;

	if (!is_place(slot))
		return false;
	*place = to_place(slot) + (index & (PF_BIT(n->shift) - 1));
	*shift = n->shift;
	return true;
}

/* The shift of the root that covers a folio. */
static unsigned root_shift(const struct pf_page_tree *t, uint64_t index, unsigned order)
{
	unsigned shift = pf_max(shift_of(order), t->root ? t->root->shift : 0);

	while (beyond(index + PF_BIT(order) - 1, shift))
		shift += SHIFT;
	return shift;
}

unsigned pf_page_tree_need(const struct pf_page_tree *t, uint64_t index, unsigned order)
{
	const unsigned low = shift_of(order), high = root_shift(t, index, order);
	const struct pf_page_node *n = t->root;
	unsigned need;

	if (!n)
		return (high - low) / SHIFT + 1;
	need = (high - n->shift) / SHIFT;
	/* Outside the old root the path is new from the new root down. */
	if (beyond(index, n->shift))
		return need + (high - low) / SHIFT;
	while (n->shift > low) {
		void *slot = n->slot[slot_of(n, index)];

		if (!slot)
			return need + (n->shift - low) / SHIFT;
		if (is_leaf(slot))
			break;
		n = slot;
	}
	return need;
}

static struct pf_page_node *take(struct pf_page_node **spares, unsigned shift)
{
	struct pf_page_node *n = *spares;

	*spares = n->parent;
	memset(n, 0, sizeof(*n));
	n->shift = (uint8_t)shift;
	return n;
}

static void hang(struct pf_page_node *parent, unsigned offset, struct pf_page_node *n)
{
	parent->slot[offset] = n;
	parent->count++;
	n->parent = parent;
	n->offset = (uint8_t)offset;
}

static void grow(struct pf_page_tree *t, unsigned shift, struct pf_page_node **spares)
{
	if (!t->root)
		t->root = take(spares, shift);
	while (t->root->shift < shift) {
		struct pf_page_node *root = take(spares, t->root->shift + SHIFT);

		hang(root, 0, t->root);
		t->root = root;
	}
}

bool pf_page_tree_insert(struct pf_page_tree *t, uint64_t index, unsigned order,
	struct pf_folio *folio, struct pf_page_node **spares)
{
	const unsigned low = shift_of(order), nr = 1u << (order - low);
	struct pf_page_node *n;
	unsigned first;

	/* A node is never empty, so whatever stands in a slot of the range is a page of it. */
	if (pf_page_tree_any(t, index, index + PF_BIT(order) - 1))
		return false;
	grow(t, root_shift(t, index, order), spares);
	for (n = t->root; n->shift > low;) {
		const unsigned offset = slot_of(n, index);

		if (!n->slot[offset])
			hang(n, offset, take(spares, n->shift - SHIFT));
		n = n->slot[offset];
	}
	first = slot_of(n, index);
	for (unsigned i = first; i < first + nr; i++)
		n->slot[i] = of_folio(folio);
	n->count = (uint8_t)(n->count + nr);
	return true;
}

/* Fill the slots of the folio at index. Returns their node. */
static struct pf_page_node *fill(
	struct pf_page_tree *t, uint64_t index, unsigned order, void *with, unsigned *nr)
{
	const unsigned low = shift_of(order);
	struct pf_page_node *n = t->root;
	unsigned first;

	while (n->shift > low)
		n = n->slot[slot_of(n, index)];
	first = slot_of(n, index);
	*nr = 1u << (order - low);
	for (unsigned i = first; i < first + *nr; i++)
		n->slot[i] = with;
	return n;
}

void pf_page_tree_replace(
	struct pf_page_tree *t, uint64_t index, unsigned order, struct pf_folio *folio)
{
	unsigned nr;

	fill(t, index, order, of_folio(folio), &nr);
}

/* nr slots less. */
static void shrink(
	struct pf_page_tree *t, struct pf_page_node *n, unsigned nr, struct pf_page_node **spares)
{
	n->count = (uint8_t)(n->count - nr);
	while (!n->count) {
		struct pf_page_node *parent = n->parent;

		if (parent) {
			parent->slot[n->offset] = NULL;
			parent->count--;
		} else {
			t->root = NULL;
		}
		n->parent = *spares;
		*spares = n;
		if (!parent)
			break;
		n = parent;
	}
}

void pf_page_tree_erase(
	struct pf_page_tree *t, uint64_t index, unsigned order, struct pf_page_node **spares)
{
	unsigned nr;
	struct pf_page_node *n = fill(t, index, order, NULL, &nr);

	shrink(t, n, nr, spares);
}

unsigned pf_page_tree_split_need(unsigned order, uint32_t at)
{
	if (order < SHIFT)
		return 0;
	/* A slot of 64 pages each; but where only one page is by itself, no other than its own has anything smaller. */
	return at == PF_SPLIT_PAGES ? 1u << (order - SHIFT) : 1;
}

/* A slot that a large folio fills becomes a node of smaller ones, which are filled after that. */
static void refine(struct pf_page_node *n, uint64_t index, struct pf_page_node **spares)
{
	struct pf_page_node *low = take(spares, n->shift - SHIFT);

	low->parent = n;
	low->offset = (uint8_t)slot_of(n, index);
	low->count = SLOTS;
	n->slot[low->offset] = low;
}

void pf_page_tree_split_folio(struct pf_page_tree *t, uint64_t index, unsigned order, uint32_t at,
	struct pf_folio *first, struct pf_page_node **spares)
{
	struct pf_frame *page = &first->head;

	for (unsigned i = 0, piece; i < 1u << order; i += 1u << piece) {
		struct pf_page_node *n = leaf_of(t, index + i);
		unsigned unused;

		piece = pf_split_order(at, i);
		if (n->shift > shift_of(piece))
			refine(n, index + i, spares);
		fill(t, index + i, piece, of_folio((struct pf_folio *)(page + i)), &unused);
	}
}

/* ---- in swap ---- */

void pf_page_tree_swap_out(struct pf_page_tree *t, uint64_t index, unsigned order, uint64_t place)
{
	unsigned nr;
	struct pf_page_node *n = fill(t, index, order, NULL, &nr);

	for (unsigned i = 0; i < nr; i++)
		n->slot[slot_of(n, index) + i] = of_place(place + i * PF_BIT(n->shift));
}

void pf_page_tree_split(struct pf_page_tree *t, uint64_t index, struct pf_page_node **spares)
{
	struct pf_page_node *n = leaf_of(t, index), *low = take(spares, n->shift - SHIFT);
	const unsigned at = slot_of(n, index);
	const uint64_t place = to_place(n->slot[at]);

	for (unsigned i = 0; i < SLOTS; i++)
		low->slot[i] = of_place(place + i * PF_BIT(low->shift));
	low->count = SLOTS;
	low->parent = n;
	low->offset = (uint8_t)at;
	n->slot[at] = low;
}

void pf_page_tree_erase_swapped(
	struct pf_page_tree *t, uint64_t index, struct pf_page_node **spares)
{
	struct pf_page_node *n = leaf_of(t, index);

	n->slot[slot_of(n, index)] = NULL;
	shrink(t, n, 1, spares);
}
