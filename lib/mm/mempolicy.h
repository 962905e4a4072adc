/* SPDX-License-Identifier: MIT */
/*
 * On which node memory is, and where it is to be: Linux's mbind, set_mempolicy, get_mempolicy, move_pages and migrate_pages.
 *
 * A policy (phys/policy.h) is a VMA's or a process's. A VMA that has none follows the process's, and a process that has none gets the memory
 * that is near. VMAs with different policies do not merge; fork hands both kinds on. Policies decide when pages are allocated; pages
 * that there are move when a call says so, by migration (mm/migrate.h), which leaves what is pinned or in use by somebody where it is.
 *
 * Masks have a bit for each node, and Linux's 64 at most; of these there are pf_phys.nr_nodes. Who may do what is the embedder's to
 * decide: MOVE_ALL, and the pages of other processes, are what Linux asks CAP_SYS_NICE for.
 */
#ifndef PF_MM_MEMPOLICY_H
#define PF_MM_MEMPOLICY_H

#include "mm/mm.h"
#include "phys/policy.h"

#define PF_MPOL_MF_STRICT   1u
#define PF_MPOL_MF_MOVE     2u /* pages that this process alone maps */
#define PF_MPOL_MF_MOVE_ALL 4u

#define PF_MPOL_F_NODE         1u
#define PF_MPOL_F_ADDR         2u
#define PF_MPOL_F_MEMS_ALLOWED 4u

/*
 * The VMAs of [addr, addr + len) get a policy: mode is one of enum pf_mpol, with PF_MPOL_F_* of phys/policy.h. With MOVE, pages
 * that are not on the nodes given go where the policy wants them; with STRICT it is an error if some are not there in the end.
 *
 * -PF_EINVAL: a mode or flag, addr not at a page, the end wraps, nodes where the mode takes none, or none where it takes some, or none that
 * there is; -PF_EFAULT: a hole, but for PF_MPOL_DEFAULT, which wants one VMA only; -PF_EIO: STRICT, and pages are elsewhere: alone, found
 * before anything changed; with MOVE, the policy is set and what could be moved has been; -PF_ENOMEM: nothing has changed, or, with too
 * many mappings, what comes before is done, and nothing moved. Takes the mmap lock for writing; pages move without it. TLBs: as
 * pf_migrate.
 */
int pf_mbind(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned mode, uint64_t nodes,
	unsigned flags);

/* The process's policy. -PF_EINVAL, as pf_mbind. Takes the mmap lock for writing. */
int pf_set_mempolicy(struct pf_mm *mm, unsigned mode, uint64_t nodes);

/*
 * Without flags the process's policy, with PF_MPOL_F_ADDR that of the VMA at addr: *mode (with its flags) and *nodes. With PF_MPOL_F_NODE
 * *mode is a node: with F_ADDR the one that the page at addr is on, which is faulted in for that; else where the process's policy, an INTERLEAVE, brings the next
 * page in. PF_MPOL_F_MEMS_ALLOWED: *nodes are all there are. Either may be NULL.
 * -PF_EINVAL: flags; addr without F_ADDR; F_NODE of a policy that does not interleave. -PF_EFAULT: not mapped, or not accessible; and what
 * pf_gup says. Takes the mmap lock for reading.
 */
int pf_get_mempolicy(
	struct pf_mm *mm, unsigned *mode, uint64_t *nodes, pf_va_t addr, unsigned flags);

/*
 * Move the nr pages that pages[i] lie in to nodes[i], with flags PF_MPOL_MF_MOVE, MOVE_ALL or none; or, with nodes NULL, move nothing. status[i] says
 * where the page is then: a node, or -PF_ENOENT (there is none), -PF_EFAULT (not mapped; the page of zeros), -PF_EACCES (others map it,
 * too), -PF_EBUSY (somebody is at work on its folio: also this call, on another page of it).
 *
 * 0; how many pages were not moved, of those that were to move together and all behind them: no status of these has been written; -PF_EINVAL:
 * flags; -PF_ENODEV: there is no such node: pages before it have been moved; -PF_ENOMEM: for metadata, likewise. Takes the mmap lock for
 * reading, once a page; pages move without it.
 */
int64_t pf_move_pages(struct pf_mm *mm, uint64_t nr, const pf_va_t *pages, const int *nodes,
	int *status, unsigned flags);

/*
 * Pages on nodes of `from` go to nodes of `to`, in Linux's order, so that what was near to one another stays so; flags are PF_MPOL_MF_MOVE or MOVE_ALL.
 * How many could not be moved; -PF_EINVAL: flags, or no node of `to` is there; -PF_ENOMEM: for metadata, and what has been moved by then has. Takes
 * the mmap lock for reading.
 */
int64_t pf_migrate_pages(struct pf_mm *mm, uint64_t from, uint64_t to, unsigned flags);

#endif
