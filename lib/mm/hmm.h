/* SPDX-License-Identifier: MIT */
/*
 * What a range of an address space maps, for a device that shall map the same (Linux: hmm_range_fault).
 */
#ifndef PF_MM_HMM_H
#define PF_MM_HMM_H

#include "mm/mm.h"
#include "notify/notify.h"

/* A word for each page: its frame, and, with Linux's values: */
#define PF_HMM_PFN_VALID PF_BIT(63) /* the frame may be read */
#define PF_HMM_PFN_WRITE PF_BIT(62) /* and written: the entry is writable */
#define PF_HMM_PFN_ERROR PF_BIT(61) /* there is no page that a device may use */
/* What is asked of a page before the call. Nothing: what is there now. */
#define PF_HMM_PFN_REQ_FAULT PF_HMM_PFN_VALID /* it is to be brought in */
#define PF_HMM_PFN_REQ_WRITE PF_HMM_PFN_WRITE /* with REQ_FAULT: for writing */

#define PF_HMM_PFN_ORDER_SHIFT 56
#define PF_HMM_PFN_ORDER_MASK  UINT64_C(0x1f)
#define PF_HMM_PFN_MASK        (PF_BIT(PF_HMM_PFN_ORDER_SHIFT) - 1)

/*
 * The page lies in a naturally aligned piece of so many pages (a power of two), in addresses and in frames, all of which the range has
 * and maps with ascending frames and the same rights. A device may map that by one entry; it may be told of a part of it.
 */
PF_INLINE unsigned pf_hmm_pfn_to_map_order(uint64_t pfn)
{
	return (unsigned)(pfn >> PF_HMM_PFN_ORDER_SHIFT & PF_HMM_PFN_ORDER_MASK);
}

struct pf_hmm_range {
	struct pf_mmu_interval_notifier *notifier; /* its interval covers the range */
	uint64_t notifier_seq;                     /* of pf_mmu_interval_read_begin() */
	pf_va_t start, end;                        /* of pages */
	uint64_t *pfns;                            /* one for each page: request, then answer */
	/* Whose own memory (mm/device_memory.h) the device can use: pages there are VALID. NULL: nobody's. Pages in others' are as if not there. */
	void *dev_private_owner;
	/* A page is asked for: what its word says within the mask, and what `default` says. */
	uint64_t default_flags, pfn_flags_mask;
};

/*
 * All pages of the range, each entry read once. An answer counts if pf_mmu_interval_read_retry() says so afterwards, under
 * the device's lock. Not there, inaccessible (a NUMA hint) or a device's alone, and not asked for: 0. What is asked for is
 * faulted in, and nothing else is (Linux brings in what follows it in the table). Memory that no VMA has, or that may not be read, is ERROR.
 *
 * 0; -PF_EBUSY: the interval has been invalidated since read_begin, so all is to be done again; -PF_EFAULT: a page was asked for
 * that is not mapped, not readable, lost, or would have to wait for a userfaultfd (who is not told, as in Linux); -PF_EPERM: for writing, and
 * its VMA does not allow it; -PF_ENOMEM (Linux: EFAULT); -PF_EINVAL: not whole pages, or beyond user space. After an error the words are worth
 * nothing. May sleep; takes the mmap lock for reading, one table's at a time, and what a fault takes: callable where a start of a
 * notification may be, but for these.
 */
int pf_hmm_range_fault(struct pf_mm *mm, struct pf_hmm_range *range);

#endif
