/* SPDX-License-Identifier: MIT */
/*
 * Where a page of KSM's may be mapped.
 *
 * The page has come to many places, of several families of anon_vmas and at several indexes. So its folio's `mapping` is a
 * handle not of an anon_vma but of a node, which keeps a place for each family and index that the page came to by being
 * merged. A place names the family's root, for every VMA of a family is linked to that, forked ones too: one walk of the
 * root's tree at the index finds the VMA that was merged, its forked copies, and wherever mremap took them (what has an
 * anon_vma keeps its pgoff). And as a VMA is of one family, each address is found once, for no family and index has two places.
 *
 * Owners. The node owns its places, a place a reference on its root. Nobody owns the node: it is in use from the first merge
 * of its page until that page is gone, or has failed and is mapped no more, and somebody looks: each merge looks at some
 * nodes, one after the other. lib/phys, which frees the page, knows nothing of it. A reference on the page keeps the node,
 * too; who comes by a handle that is older finds another page's places, or none, and at none of them his page.
 *
 *   fork         nothing: the child's VMAs are linked to the root.
 *   a write      the place stays: others of the family may map the page there. It costs a look.
 *   munmap, exit, mremap: when no VMA of the family has the index any more, the place goes when somebody looks.
 *   VMAs that are split or joined, mprotect: nothing.
 *   UFFDIO_MOVE  takes exclusive pages only, which KSM's are not.
 *   migration    the node is told of the frame (pf_ksm_moved) while the page is mapped by migration entries.
 *
 * One lock for all, pf_system.ksm.lock, PF_LOCK_KSM: reader-writer, sleeps, inside the mmap lock and folio locks, outside the
 * anon lock. For reading: nodes and places stay, so walks hold it. For writing: merging, moving, forgetting. A folio's
 * `mapping` becomes and ceases to be a node's under it, with the folio lock.
 */
#ifndef PF_MM_KSM_NODE_H
#define PF_MM_KSM_NODE_H

#include "mm/anon_vma.h"
#include "mm/mm.h"

/* A page. Never anything else's memory, so it may be looked at when it is not in use (handle.h). */
struct pf_ksm_node {
	struct pf_handle_head head;
	bool used;
	pf_pfn_t pfn;
	struct pf_rwlock *lock; /* that of all */
	struct pf_itree places;
};

/* A family and an index. */
struct pf_ksm_place {
	struct pf_inode node;
	struct pf_anon_vma *root;
};

/* What a merge may need. */
struct pf_ksm_reserve {
	struct pf_ksm_node *node;
	struct pf_ksm_place *place[2];
};

void pf_ksm_init(struct pf_system *sys);
/* Every page is gone. */
void pf_ksm_exit(struct pf_system *sys);

/* A node and two places. 0; -PF_ENOMEM: nothing is reserved. No anon lock or spinlock. */
int pf_ksm_reserve(struct pf_system *sys, struct pf_ksm_reserve *r);
/* Give back what is left. */
void pf_ksm_unreserve(struct pf_system *sys, struct pf_ksm_reserve *r);

/* The node that a folio names, whether in use or not; NULL: none, the page is not KSM's. */
struct pf_ksm_node *pf_ksm_node(const struct pf_system *sys, const struct pf_folio *folio);

/* The reserve's node becomes that of the folio, which names it. Lock for writing, folio lock. */
void pf_ksm_begin(struct pf_system *sys, struct pf_ksm_reserve *r, const struct pf_folio *folio);
/*
 * The node's page may be mapped by anon's family at that index, now or before the lock is given up. One place of the reserve. Lock for
 * writing; the caller keeps anon.
 */
void pf_ksm_add_place(struct pf_ksm_node *node, struct pf_ksm_reserve *r, struct pf_anon_vma *anon,
	uint64_t index);
/* What src is found by, dst is from now on, and src by nothing. Both locked, of one page, nobody maps them. Takes the lock for writing. */
void pf_ksm_moved(struct pf_system *sys, struct pf_folio *src, struct pf_folio *dst);
/*
 * Of `nr` nodes, those whose pages are gone go, and of the others the places where no VMA is. Lock for writing.
 */
void pf_ksm_look(struct pf_system *sys, uint32_t nr);

/* Would a walk come by anon's family at that index? Folio lock, or nobody else is running. Takes the lock for reading. */
bool pf_ksm_leads_to(struct pf_system *sys, const struct pf_folio *folio,
	const struct pf_anon_vma *anon, uint64_t index);

#endif
