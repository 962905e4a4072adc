/* SPDX-License-Identifier: MIT */
/*
 * A page that a device has to itself for a while: whoever of the process touches it waits, and then has it back (Linux:
 * make_device_exclusive). For devices that cannot do atomic operations in memory that CPUs use at the same time.
 *
 * The entry that mapped the page becomes device-exclusive. It is the same mapping: counted with the folio, found by it, and in
 * the process's resident pages. It becomes present again by a fault, GUP, collapse, or fork, which needs the folio's lock and is
 * -PF_ENOMEM if somebody has it; migration and reclaim, with that lock, make a migration or swap entry of it, memory
 * failure one that says so; munmap, exit and madvise end it at any time. All else finds an entry that is not present.
 *
 * There are no notifiers: a device is told of none of these. So it has the page to itself for as long as the caller keeps the
 * folio's lock, and the entry: what has been unmapped, no process can see any more. Whoever lets the device go on after that must
 * ask again (Linux tells it).
 */
#ifndef PF_MM_DEVICE_H
#define PF_MM_DEVICE_H

#include "mm/mm.h"

/*
 * The page at va, as if by a store: brought in, and copied if it is shared. It may be one of a large folio; a folded block is
 * unfolded, and the folio is not split. On success its folio is in *folio, locked and with a reference, for the caller to
 * pf_folio_unlock() and pf_folio_put(), with nothing waited for in between that others hold while they wait for a folio (a mmap
 * lock, pages locks); *pfn is its frame; the folio is dirty. 0; -PF_EOPNOTSUPP: a page of a file or of shared memory; else as
 * pf_gup() of a page to be written. Takes the mmap lock for reading, and waits for the folio lock without. The entry is flushed
 * before its table's lock is released: a walker finds it empty for a moment, then device-exclusive.
 */
int pf_make_device_exclusive(struct pf_mm *mm, pf_va_t va, struct pf_folio **folio, pf_pfn_t *pfn);

#endif
