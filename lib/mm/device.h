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
 * Nobody but a zap takes the page from the device while its folio is locked. Before any of these happens notifiers are told (mm/notify.h), so
 * a device goes on after that until it is: by an interval notifier, read_begin before and read_retry after the call, with the
 * folio still locked, as for a snapshot (mm/hmm.h). Of its own call it is told with the event EXCLUSIVE and `owner`.
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
int pf_make_device_exclusive(
	struct pf_mm *mm, pf_va_t va, void *owner, struct pf_folio **folio, pf_pfn_t *pfn);

#endif
