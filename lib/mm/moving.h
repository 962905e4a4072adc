/* SPDX-License-Identifier: MIT */
/*
 * Pages on the wrong node: found under the mmap lock, moved without it. Private to lib/mm.
 */
#ifndef PF_MM_MOVING_H
#define PF_MM_MOVING_H

#include "mm/internal.h"

/* Each folio is locked, with a reference of ours, so that it stays what it is. In the order in which they were found. */
struct pf_moving {
	struct pf_moving *next;
	struct pf_folio *src;
	struct pf_where to;
};

struct pf_moving_list {
	struct pf_moving *first, **last;
};

PF_INLINE void pf_moving_init(struct pf_moving_list *list)
{
	*list = (struct pf_moving_list){.last = &list->first};
}

/*
 * Takes over a reference. 0; -PF_EBUSY: somebody has the folio's lock, perhaps this list; -PF_ENOMEM, for metadata. mmap lock, any way.
 */
int pf_moving_add(struct pf_system *sys, struct pf_moving_list *list, struct pf_folio *folio,
	struct pf_where to);
/*
 * The list is empty then. move: pages go where they should; how many folios did not, for want of memory, or because somebody has a
 * page. No lock but the folios'.
 */
uint64_t pf_moving_end(struct pf_system *sys, struct pf_moving_list *list, bool move);

/* What is looked for in a range. */
struct pf_misplaced {
	struct pf_mm *mm;
	uint64_t nodes; /* pages that are on these, or, with `others`, on none of these */
	bool others;
	unsigned flags; /* PF_MPOL_MF_* */
	/* Where they go: as a policy wants it, or else to `to`. */
	const struct pf_policy *policy;
	struct pf_where to;
	struct pf_moving_list list;
	uint64_t failed; /* pages that cannot be moved: Linux's count */
	const struct pf_folio *large;
};

/*
 * Queue the pages of a range. Holes are skipped, with `strict` they are -PF_EFAULT; which it also is if nothing is mapped there at all. -PF_EIO:
 * PF_MPOL_MF_STRICT alone, and a page is elsewhere. -PF_ENOMEM. The list is to be ended in any case. mmap lock, any way.
 */
int pf_find_misplaced(struct pf_misplaced *m, pf_va_t start, pf_va_t end, bool strict);

#endif
