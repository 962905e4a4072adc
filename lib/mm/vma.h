/* SPDX-License-Identifier: MIT */
/*
 * A VMA, and the tree that an address space keeps its VMAs in.
 *
 * Locks: reading the tree or a VMA takes the mmap lock for reading, changing either takes it for
 * writing; but for pf_vma.anon, which faults set under the lock for reading (fault.c).
 */
#ifndef PF_MM_VMA_H
#define PF_MM_VMA_H

#include "base/mem.h"
#include "ops/ops.h"

/* VMA flags that no layer below knows, with Linux's values. */
#define PF_VM_SEQ_READ  0x8000u
#define PF_VM_RAND_READ 0x10000u
#define PF_VM_DONTDUMP  0x4000000u

#define PF_VM_ACCESS      (PF_VM_READ | PF_VM_WRITE | PF_VM_EXEC)
#define PF_VM_LOCKED_MASK (PF_VM_LOCKED | PF_VM_LOCKONFAULT)

struct pf_vma {
	struct pf_area area;
	/*
	 * Page index of `start`. Of private anonymous memory it is start >> page_shift where the
	 * memory was mapped, and mremap keeps it once pages exist (they are found by it), so that
	 * moved memory may be refused a merge with its new neighbours, as in Linux.
	 */
	uint64_t pgoff;
	/*
	 * Which family of anonymous pages the VMA has: 0 none yet, else a number, unique in the
	 * mm, that stands for Linux's anon_vma. Only VMAs of one family, or one with a family and
	 * one without, may be merged.
	 */
	uint64_t anon;
	/* The family descends from a parent's by fork: no merge with a VMA that has none. */
	bool anon_forked;
};

PF_INLINE struct pf_vma *pf_vma_of(const struct pf_area *a)
{
	return PF_CONTAINER_OF(a, struct pf_vma, area);
}

struct pf_vma_node;

/*
 * A B+tree of VMAs, ordered by address, none overlapping. Nodes are 512 bytes; a leaf holds ranges
 * beside the pointers, so that a search touches no VMA but the one it finds. Every node's parent
 * knows its first address, its end and its largest hole.
 */
struct pf_vma_tree {
	struct pf_vma_node *root; /* NULL: empty */
	unsigned height;          /* levels of nodes */
	uint64_t spares;          /* nodes in `spare`: what insertions take theirs from */
	struct pf_vma_node *spare;
};

void pf_vma_tree_init(struct pf_vma_tree *t);
/* Free all nodes. The VMAs are the caller's. */
void pf_vma_tree_destroy(struct pf_vma_tree *t);

/*
 * Make sure that the next `inserts` insertions find the nodes they need, however many removals and
 * changes come between. 0, or -PF_ENOMEM with the tree as it was. unreserve ends it; a few nodes are
 * kept.
 */
int pf_vma_tree_reserve(struct pf_vma_tree *t, uint64_t inserts);
void pf_vma_tree_unreserve(struct pf_vma_tree *t);

/* Reserved, and overlapping nothing. */
void pf_vma_tree_insert(struct pf_vma_tree *t, struct pf_vma *vma);
/* Takes it out; never allocates. */
void pf_vma_tree_remove(struct pf_vma_tree *t, struct pf_vma *vma);
/* Give a VMA of the tree another range, which neither is empty nor passes a neighbour. */
void pf_vma_tree_set_range(struct pf_vma_tree *t, struct pf_vma *vma, pf_va_t start, pf_va_t end);

/* The first VMA that ends above va, or NULL. */
struct pf_vma *pf_vma_tree_find(const struct pf_vma_tree *t, pf_va_t va);
/* The last VMA that starts below va, or NULL. */
struct pf_vma *pf_vma_tree_find_below(const struct pf_vma_tree *t, pf_va_t va);

PF_INLINE struct pf_vma *pf_vma_tree_next(const struct pf_vma_tree *t, const struct pf_vma *vma)
{
	return pf_vma_tree_find(t, vma->area.end);
}

PF_INLINE struct pf_vma *pf_vma_tree_prev(const struct pf_vma_tree *t, const struct pf_vma *vma)
{
	return pf_vma_tree_find_below(t, vma->area.start);
}

/*
 * A hole of len bytes (> 0) inside [low, high): the one highest up, or lowest down. False: none.
 */
bool pf_vma_tree_gap_down(
	const struct pf_vma_tree *t, pf_va_t low, pf_va_t high, uint64_t len, pf_va_t *va);
bool pf_vma_tree_gap_up(
	const struct pf_vma_tree *t, pf_va_t low, pf_va_t high, uint64_t len, pf_va_t *va);

/* NULL, or which rule of the tree is broken. For tests: O(n). */
const char *pf_vma_tree_check(const struct pf_vma_tree *t);

#endif
