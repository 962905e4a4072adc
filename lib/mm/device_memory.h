/* SPDX-License-Identifier: MIT */
/*
 * Pages of processes in memory that is a device's own and that no CPU can use (Linux: MEMORY_DEVICE_PRIVATE, migrate_vma_*).
 *
 * The memory is a node of lib/phys's (pf_phys_set_device), so its pages have folios, counts and a reverse map as all have. An entry that
 * names one is device-private: not present, so that every access of a CPU, GUP, and whatever else wants the page, faults and
 * brings it back; and a mapping all the same, counted with the folio, found by it, in the process's resident pages. fork shares
 * the page, mprotect takes the right to write away, mremap moves the entry, munmap and exit free the page. Reclaim, KSM and aging by
 * entries leave such pages alone; MADV_COLLAPSE brings them back; memory failure is the device's affair (-PF_EOPNOTSUPP).
 *
 * The device learns what changes by a notifier, and what its process maps by pf_hmm_range_fault() with its owner, which gives
 * frames of the device's own for such pages. What it stores needs no word: the pages count as dirty.
 */
#ifndef PF_MM_DEVICE_MEMORY_H
#define PF_MM_DEVICE_MEMORY_H

#include "mm/mm.h"

struct pf_device_memory {
	/*
	 * Contents of a page, from frame src to frame dst, one of which or both are of this memory. Nobody stores to either meanwhile: the
	 * page has no entry. True: done. False: it stays where it is, which a CPU's fault answers by a SIGBUS. May sleep; folio
	 * locks are held, and perhaps the mmap lock for reading: it takes nothing that waits for these, and no memory of the library's.
	 */
	bool (*copy)(struct pf_device_memory *memory, pf_pfn_t dst, pf_pfn_t src);
	void *owner; /* of pf_hmm_range.dev_private_owner, and of notifications; not NULL */
};

/*
 * Node `node` of the system's memory, which is a device's (pf_phys_set_device), is `memory`, the caller's until it is taken back. 0;
 * -PF_EINVAL: no such node; -PF_EBUSY: it has one. Remove: -PF_EBUSY: processes have pages there; -PF_EINVAL: there is none. While nobody
 * else has to do with that node.
 */
int pf_device_memory_add(struct pf_system *sys, unsigned node, struct pf_device_memory *memory);
int pf_device_memory_remove(struct pf_system *sys, unsigned node);

/*
 * Pages of [addr, addr + len) go to the device's memory: anonymous ones of private memory that are present and that nobody keeps; folios
 * of many pages become single ones. All others stay as they are: what is not there yet, a file's, pinned, in swap or on its way there. How
 * many went: Linux's driver learns it page by page, here from the snapshot that comes next.
 * -PF_EINVAL: not pages, beyond user space, or no device's node; -PF_ENOMEM: the device's memory is full, and none went. The notifiers of
 * the process are told PF_MMU_NOTIFY_MIGRATE of each page, with the owner, and of all its mappings PF_MMU_NOTIFY_CLEAR. Takes the mmap lock for
 * reading, once a page; a page moves without it. TLBs: as pf_migrate.
 */
int64_t pf_migrate_to_device(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned node);

#endif
