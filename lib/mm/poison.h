/* SPDX-License-Identifier: MIT */
/*
 * Memory that fails: pages whose contents are lost, and pages that had better be somewhere else. Either frame is never used
 * again: it keeps a reference, and sys->poisoned counts it.
 *
 * Large folios that they lie in are split. The caller speaks for the hardware: Linux asks for
 * CAP_SYS_ADMIN, and here are no capabilities. All errors leave everything as it was:
 *   -PF_ENXIO       no such frame
 *   -PF_EHWPOISON   it is known already
 *   -PF_EBUSY       no page of a process (free, a table, the page of zeros, in swap too), or somebody is at it
 * No lock may be held.
 */
#ifndef PF_MM_POISON_H
#define PF_MM_POISON_H

#include "mm/mm.h"

/*
 * The frame's contents are lost (Linux: memory_failure). Every entry that maps it says so from now on, and an access there is
 * PF_FAULT_HWPOISON, until the memory is unmapped or discarded; pins keep what they have. A file's page that has not been written to is just
 * read again; one that has is, too, where no entry says that it is lost, and the next pf_mapping_sync() is -PF_EIO. Shared memory stays lost to all who map it,
 * UFFDIO_CONTINUE is -PF_EIO there, until it is cut off or a hole is made. 0 or an error. Each entry is flushed before its table's lock is released: on return no TLB
 * leads to the frame.
 */
int pf_memory_failure(struct pf_system *sys, pf_pfn_t pfn);
/*
 * The frame has begun to fail: its page moves to another (Linux: soft_offline_page). 0 or an error; also -PF_EBUSY: somebody
 * keeps the page; -PF_ENOMEM. Meanwhile a walker finds migration entries; flushed as by migration (migrate.h).
 */
int pf_soft_offline(struct pf_system *sys, pf_pfn_t pfn);
/* Memory failure of the page that is mapped at va. Also -PF_EINVAL: none is. Takes the mmap lock for reading. */
int pf_poison(struct pf_mm *mm, pf_va_t va);

#endif
