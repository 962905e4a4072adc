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
 * reference on each. 0, also when nobody maps src any more; -PF_EBUSY, -PF_EAGAIN, with src as it was.
 */
int pf_migrate_folio(struct pf_system *sys, struct pf_folio *src, struct pf_folio *dst);

#endif
