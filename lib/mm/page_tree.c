/* SPDX-License-Identifier: MIT */
/*
 * The radix tree of a mapping's folios.
 */
#include "mm/page_tree.h"

#include "base/bits.h"
#include "base/mem.h"
#include "port/port.h"

#define SHIFT 6u
#define SLOTS 64u

static bool is_folio(const void *slot)
{
	return (uintptr_t)slot & 1;
}

static void *of_folio(struct pf_folio *folio)
{
	return (char *)folio + 1;
}

static struct pf_folio *to_folio(void *slot)
{
	return (struct pf_folio *)((char *)slot - 1);
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

void pf_page_nodes_free(struct pf_page_node *chain)
{
	while (chain) {
		struct pf_page_node *next = chain->parent;

		pf_port_meta_free(chain, sizeof(*chain));
		chain = next;
	}
}

struct pf_folio *pf_page_tree_load(const struct pf_page_tree *t, uint64_t index)
{
	struct pf_page_node *n = t->root;
	void *slot;

	if (!n || beyond(index, n->shift))
		return NULL;
	while ((slot = n->slot[slot_of(n, index)]) && !is_folio(slot))
		n = slot;
	return slot ? to_folio(slot) : NULL;
}

struct pf_folio *pf_page_tree_next(const struct pf_page_tree *t, uint64_t index, uint64_t last)
{
	while (t->root && index <= last && !beyond(index, t->root->shift)) {
		struct pf_page_node *n = t->root;
		uint64_t end;
		void *slot;

		while ((slot = n->slot[slot_of(n, index)]) && !is_folio(slot))
			n = slot;
		if (slot)
			return to_folio(slot);
		/* Nothing up to the next slot that is in use, or to the node's end. */
		end = index | (PF_BIT(n->shift) - 1);
		for (unsigned i = slot_of(n, index) + 1; i < SLOTS && !n->slot[i]; i++)
			end += PF_BIT(n->shift);
		index = end + 1;
		if (!index)
			break;
	}
	return NULL;
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
		if (is_folio(slot))
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

	/* A node is never empty, so whatever stands in a slot of the range is a folio of it. */
	if (pf_page_tree_next(t, index, index + PF_BIT(order) - 1))
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

void pf_page_tree_erase(
	struct pf_page_tree *t, uint64_t index, unsigned order, struct pf_page_node **spares)
{
	unsigned nr;
	struct pf_page_node *n = fill(t, index, order, NULL, &nr);

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
