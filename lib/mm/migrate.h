/* SPDX-License-Identifier: MIT */
/*
 * Pages that move to other frames, and folios that become smaller ones, while they are mapped.
 *
 * Both do the same to the mappings: every entry becomes a migration entry, so that whoever touches the page waits; when
 * nobody else has a reference, the page is nobody's but ours; then the entries, wherever fork and mremap have put them
 * meanwhile, are found again and map the page where it now is.
 */
#ifndef PF_MM_MIGRATE_H
#define PF_MM_MIGRATE_H

#include "mm/mm.h"

/*
 * Give every page that is mapped in [addr, addr + len) another frame: all new folios are there before the first page
 * moves. Page aligned. 0; -PF_EINVAL; -PF_ENOMEM: nothing has changed; -PF_EBUSY: a folio is pinned; -PF_EAGAIN: somebody
 * else has a reference on a folio or its lock. What could be moved has been. Takes the mmap lock for reading.
 */
int pf_migrate(struct pf_mm *mm, pf_va_t addr, uint64_t len);

/*
 * The pages of src, which the caller has locked, move to dst, which is of the same order and known to nobody else. The caller has a
 * reference on each. 0, also when nobody maps src any more; -PF_EBUSY, -PF_EAGAIN, with src as it was; so -PF_EIO: a device could not copy
 * (mm/device_memory.h).
 */
int pf_migrate_folio(struct pf_system *sys, struct pf_folio *src, struct pf_folio *dst);

/*
 * A large folio becomes single-page folios. The caller has a reference on it, which is on its first page afterwards. A, D, soft-dirty,
 * uffd-wp, rights and exclusivity stay what they are, page by page; anonymous pages that nobody maps are free, a mapping's
 * are its tree's. 0; -PF_EBUSY: pinned; -PF_EAGAIN: locked, or somebody else has a reference, or nobody maps it, an anonymous one;
 * -PF_ENOMEM: for the tree. It is as it was then.
 */
int pf_split_folio(struct pf_system *sys, struct pf_folio *folio);
/*
 * The same, but that only page `at` becomes a folio of its own: what is before and behind it stays in folios as large as can be. Of
 * mappings.
 */
int pf_split_folio_around(struct pf_system *sys, struct pf_folio *folio, uint32_t at);
/* The folio mapped at va. -PF_EINVAL: there is none. Takes the mmap lock for reading. */
int pf_split(struct pf_mm *mm, pf_va_t va);

/*
 * Split the folios, of the nodes in a mask, that wait for it because part of them is not mapped any more; how many were. Those that cannot be
 * split now wait on. Any lock may be held but spinlocks and anon and i_mmap locks.
 */
uint64_t pf_split_deferred(struct pf_system *sys, uint32_t nodes);

#endif
