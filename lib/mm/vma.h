/* SPDX-License-Identifier: MIT */
/*
 * A VMA, and the tree that an address space keeps its VMAs in.
 *
 * Locks: reading the tree or a VMA takes the mmap lock for reading, changing either takes it for
 * writing, and of a VMA also its own lock (vma_lock.h); but for an anon_vma, which faults give it under the lock for reading
 * (anon_vma.h). A fault reads a VMA with no more than that VMA's lock.
 */
#ifndef PF_MM_VMA_H
#define PF_MM_VMA_H

#include "base/itree.h"
#include "base/mem.h"
#include "ops/ops.h"

/* VMA flags that no layer below knows, with Linux's values. */
#define PF_VM_SEQ_READ  0x8000u
#define PF_VM_RAND_READ 0x10000u
#define PF_VM_SEALED    0x1000000u /* Linux's lies above 32 bits */
#define PF_VM_DONTDUMP  0x4000000u
#define PF_VM_MERGEABLE 0x80000000u

#define PF_VM_LOCKED_MASK (PF_VM_LOCKED | PF_VM_LOCKONFAULT)

/* Neighbours may differ in this and be one VMA, which has it if one had; so with had_guards. */
#define PF_VM_STICKY PF_VM_SOFTDIRTY

struct pf_anon_link;
struct pf_mm;
struct pf_mapping;
struct pf_uffd;

struct pf_vma {
	/* Once it is out of the tree: who looked it up without the mmap lock may still try its lock. */
	struct pf_rcu_head rcu;
	struct pf_rwlock lock;
	bool attached; /* in the tree; changes while lock_seq is the mm's */
	uint64_t
		lock_seq; /* the mm's when it was last locked for writing; changes under the lock, atomic */
	/*
	 * area.anon is the VMA's anon_vma (mm/anon_vma.h): 0 until it is first written to. Only VMAs of one
	 * anon_vma, or one with and one without, may be merged.
	 */
	struct pf_area area;
	struct pf_mm *mm;
	struct pf_anon_link *links; /* to the anon_vmas whose pages it may map */
	/* What it maps, with a reference; NULL: private anonymous memory. */
	struct pf_mapping *mapping;
	struct pf_inode i_mmap; /* its place in the mapping's tree, by page index */
	struct pf_uffd *uffd; /* who is told of its faults: set with any of PF_VM_UFFD, else NULL */
	/*
	 * Guards have been installed, ever: fork copies the entries (Linux: VM_MAYBE_GUARD). Set with the mmap lock for
	 * reading, beside others who read flags: a word of its own, always accessed by atomics. It says nothing about
	 * memory but entries, which their table's lock orders.
	 */
	uint32_t had_guards;
};

PF_INLINE struct pf_vma *pf_vma_of(const struct pf_area *a)
{
	return PF_CONTAINER_OF(a, struct pf_vma, area);
}

/*
 * All but its lock, and its place in the mapping's tree, which changes under the i_mmap lock whenever a neighbour's does: the mmap lock
 * for writing keeps the rest.
 */
PF_INLINE void pf_vma_copy(struct pf_vma *dst, const struct pf_vma *src)
{
	*dst = (struct pf_vma){
		.area = src->area,
		.mm = src->mm,
		.links = src->links,
		.mapping = src->mapping,
		.uffd = src->uffd,
		.had_guards = pf_load_relaxed(&src->had_guards),
	};
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
	uint32_t seq;             /* odd while it changes */
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

/*
 * As pf_vma_tree_find, for an RCU reader with no lock: a VMA that was the answer a moment ago, or NULL, which says nothing. It may be
 * out of the tree by now; its memory is a VMA's until the reader ends.
 */
struct pf_vma *pf_vma_tree_find_rcu(const struct pf_vma_tree *t, pf_va_t va);

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
