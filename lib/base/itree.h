/* SPDX-License-Identifier: MIT */
/*
 * A tree of intervals [start, last], both inclusive, ordered by start: which of them meet a range is
 * found without looking at the others. Nodes are embedded in what they stand for; a node belongs to
 * one tree at a time. Not locked.
 *
 * Intervals that start together keep the order in which they came: the newest is visited last. fork
 * relies on it (mm/anon_vma.h).
 *
 * A treap: a search tree by (start, order of arrival) and a heap by `prio`, numbers that look random and depend on
 * the tree's history alone. Depth is logarithmic with overwhelming probability, whatever is inserted.
 */
#ifndef PF_BASE_ITREE_H
#define PF_BASE_ITREE_H

#include "base/types.h"

struct pf_inode {
	struct pf_inode *parent, *left, *right;
	uint64_t start, last;
	uint64_t max; /* the largest `last` in this subtree */
	uint32_t prio;
};

/* All zero: empty. */
struct pf_itree {
	struct pf_inode *root;
	uint32_t seed;
};

PF_INLINE bool pf_itree_empty(const struct pf_itree *t)
{
	return !t->root;
}

/* ---- private to this file ---- */

PF_INLINE void pf_inode_update(struct pf_inode *n)
{
	n->max = n->last;
	if (n->left && n->left->max > n->max)
		n->max = n->left->max;
	if (n->right && n->right->max > n->max)
		n->max = n->right->max;
}

PF_INLINE void pf_inode_update_up(struct pf_inode *n)
{
	for (; n; n = n->parent)
		pf_inode_update(n);
}

/* `with` takes n's place below n's parent. */
PF_INLINE void pf_inode_replace(struct pf_itree *t, struct pf_inode *n, struct pf_inode *with)
{
	struct pf_inode **at = &t->root;

	if (n->parent)
		at = n->parent->left == n ? &n->parent->left : &n->parent->right;
	*at = with;
	if (with)
		with->parent = n->parent;
}

/* n, a child, and its parent change places; the order of all stays. */
PF_INLINE void pf_inode_rotate_up(struct pf_itree *t, struct pf_inode *n)
{
	struct pf_inode *p = n->parent, *moved;

	pf_inode_replace(t, p, n);
	if (p->left == n) {
		moved = n->right;
		p->left = moved;
		n->right = p;
	} else {
		moved = n->left;
		p->right = moved;
		n->left = p;
	}
	if (moved)
		moved->parent = p;
	p->parent = n;
	pf_inode_update(p);
	pf_inode_update(n);
}

/* The first in order of a subtree whose max reaches `from`: it has one that ends there or later. */
PF_INLINE struct pf_inode *pf_inode_first(struct pf_inode *n, uint64_t from)
{
	for (;;) {
		if (n->left && n->left->max >= from)
			n = n->left;
		else if (n->last >= from)
			return n;
		else
			n = n->right;
	}
}

/* ---- for users ---- */

/* [start, last], start <= last, into the tree, behind all that start there. */
PF_INLINE void pf_itree_insert(
	struct pf_itree *t, struct pf_inode *n, uint64_t start, uint64_t last)
{
	struct pf_inode **at = &t->root, *parent = NULL;

	while (*at) {
		parent = *at;
		at = start < parent->start ? &parent->left : &parent->right;
	}
	t->seed = t->seed * 1664525u + 1013904223u;
	*n = (struct pf_inode){
		.parent = parent,
		.start = start,
		.last = last,
		.max = last,
		/* The low bits of such a generator repeat soon; the high ones are compared first. */
		.prio = t->seed,
	};
	*at = n;
	pf_inode_update_up(parent);
	while (n->parent && n->parent->prio < n->prio)
		pf_inode_rotate_up(t, n);
}

PF_INLINE void pf_itree_remove(struct pf_itree *t, struct pf_inode *n)
{
	struct pf_inode *p;

	while (n->left && n->right)
		pf_inode_rotate_up(t, n->left->prio > n->right->prio ? n->left : n->right);
	p = n->parent;
	pf_inode_replace(t, n, n->left ? n->left : n->right);
	pf_inode_update_up(p);
}

/* The first, in order, that meets [start, last]; NULL if none does. */
PF_INLINE struct pf_inode *pf_itree_first(const struct pf_itree *t, uint64_t start, uint64_t last)
{
	struct pf_inode *n;

	if (!t->root || t->root->max < start)
		return NULL;
	n = pf_inode_first(t->root, start);
	return n->start <= last ? n : NULL;
}

/* The one after n that meets [start, last]. */
PF_INLINE struct pf_inode *pf_itree_next(struct pf_inode *n, uint64_t start, uint64_t last)
{
	for (;;) {
		struct pf_inode *from = n;

		if (n->right && n->right->max >= start) {
			n = pf_inode_first(n->right, start);
			return n->start <= last ? n : NULL;
		}
		/* Up to the first ancestor that comes after. */
		do {
			from = n;
			n = n->parent;
			if (!n)
				return NULL;
		} while (n->right == from);
		if (n->start > last)
			return NULL;
		if (n->last >= start)
			return n;
	}
}

#endif
