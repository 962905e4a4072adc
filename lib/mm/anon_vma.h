/* SPDX-License-Identifier: MIT */
/*
 * How an anonymous page finds the VMAs that may map it.
 *
 * A page is found by (anon_vma, index): what its folio's `mapping` and `index` say. An anon_vma
 * holds links to VMAs, ordered by the indexes that they cover. A VMA that is written to first gets
 * an anon_vma of its own (or its neighbour's); a forked VMA is linked to all that its parent is
 * linked to, for it maps pages of each, and gets one of its own for the pages that it will write. So the links of
 * a VMA are as many as generations before it wrote; a child takes over an ancestor's anon_vma that no VMA has as
 * its own any more, and that has one child at most: then however often a process forks and lets its parent go,
 * the chain stays bounded.
 *
 * Locks. All anon_vmas of one family tree share the root's reader-writer lock, PF_LOCK_ANON: inside
 * the mmap lock and folio locks, outside table locks. It is held for writing by who changes which
 * VMA covers which index: adding or removing a link, changing a VMA's range or pgoff. Under it for reading a walker
 * finds each VMA that may map a page, at a range that holds, with its tables: links go before tables do (munmap,
 * exit), so who frees tables has waited for every walker that had found the VMA. Therefore an mm found by a walk
 * lives while the lock is held.
 *
 * A VMA's own list of links changes with the mmap lock held for writing; but for the first link,
 * which faults add under the lock for reading (pf_anon_prepare).
 *
 * Lives: an anon_vma has a count: one for having links, one more for each descendant if it is a root,
 * and one for each that keeps it by pf_anon_get or pf_anon_hold. It may be looked up when it is gone (mm/handle.h).
 */
#ifndef PF_MM_ANON_VMA_H
#define PF_MM_ANON_VMA_H

#include "base/itree.h"
#include "mm/handle.h"
#include "mm/vma.h"
#include "phys/phys.h"

struct pf_system;
struct pf_mm;
struct pf_vma_reserve;

struct pf_anon_vma {
	struct pf_handle_head head;
	uint32_t refs; /* atomic; 0: free */
	/* Under the root's lock: */
	uint32_t active;       /* VMAs that have it as their own */
	uint32_t children;     /* anon_vmas that came of it by fork; a root counts itself */
	struct pf_rwlock lock; /* used of roots only */
	struct pf_anon_vma *root, *parent; /* do not change while it is in use */
	struct pf_itree links;             /* of struct pf_anon_link, by page index */
};

/* One VMA in one anon_vma. */
struct pf_anon_link {
	struct pf_inode node;
	struct pf_vma *vma;
	struct pf_anon_vma *anon;
	struct pf_anon_link *next; /* the VMA's next; of spare ones, the next spare */
};

/* How many links a VMA has. mmap lock. */
unsigned pf_anon_links(const struct pf_vma *vma);

/*
 * Linked to more than its own: it came by fork. mmap lock. Of a neighbour, a fault may be giving it its first link just now (acquire, of
 * the release in link()): with none, or one, it is no fork's.
 */
PF_INLINE bool pf_vma_forked(const struct pf_vma *vma)
{
	const struct pf_anon_link *first = pf_quiet_load_acquire(&vma->links);

	return first && first->next;
}

struct pf_anon_vma *pf_anon_object(const struct pf_system *sys, uint32_t handle);

/* The root's lock of a VMA's anon_vma. NULL, and nothing is locked, if it has none. mmap lock. */
struct pf_anon_vma *pf_anon_lock_write(const struct pf_system *sys, const struct pf_vma *vma);
void pf_anon_unlock_write(struct pf_anon_vma *root);

/*
 * Before a page is put into a VMA by a write: give it an anon_vma. mmap lock, any way. 0, or
 * -PF_ENOMEM with nothing changed.
 */
int pf_anon_prepare(struct pf_mm *mm, struct pf_vma *vma);

/*
 * fork: `vma`, a copy of `parent` with no links yet, gets the parent's and one of its own. 0, or -PF_ENOMEM with
 * nothing changed. mmap lock of both for writing; the child's pages are copied afterwards: a walker meets the parent's
 * VMA before the child's, so that an entry which is copied while it walks has been seen, or will be.
 */
int pf_anon_fork(
	struct pf_system *sys, struct pf_vma_reserve *r, struct pf_vma *vma, struct pf_vma *parent);

/* The VMA and its anon_vmas part; those that have no links left go. mmap lock for writing. */
void pf_anon_unlink(struct pf_system *sys, struct pf_vma *vma);

/*
 * The pieces that vma.c's changes are made of. The mmap lock for writing and the root's lock are held;
 * a VMA's range changes between unhook and hook.
 */
void pf_anon_unhook(struct pf_vma *vma);
void pf_anon_hook(const struct pf_system *sys, struct pf_vma *vma);
/* dst, which has no links, gets those of src, out of the reserve. */
void pf_anon_clone(struct pf_system *sys, struct pf_vma_reserve *r, struct pf_vma *dst,
	const struct pf_vma *src);
/*
 * src, unhooked, is about to go, and dst takes its place, too: dst gets src's links if it has none.
 * Links left over are returned; they are to be freed (pf_anon_links_free) when the lock is not held.
 */
struct pf_anon_link *pf_anon_inherit(struct pf_system *sys, struct pf_vma *dst, struct pf_vma *src);
void pf_anon_links_free(struct pf_anon_link *links);

/*
 * The anon_vma that a folio's pages are found by, kept by a reference; NULL: it is not mapped (any more), or not
 * anonymous. The caller has a reference on the folio.
 */
struct pf_anon_vma *pf_anon_get(struct pf_system *sys, const struct pf_folio *folio);
void pf_anon_put(struct pf_system *sys, struct pf_anon_vma *anon);
/* One reference more, of who has one, or has something that has. */
PF_INLINE void pf_anon_hold(struct pf_anon_vma *anon)
{
	pf_add_relaxed(&anon->refs, 1);
}

/* For pf_mm_check: NULL, or what is wrong with a VMA's links. mmap lock. */
const char *pf_anon_check(const struct pf_system *sys, const struct pf_vma *vma);

#endif
