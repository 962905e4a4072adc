/* SPDX-License-Identifier: MIT */
/*
 * Mappings of frames that are no memory: a device's registers, its own memory, what another system owns (Linux: VM_PFNMAP,
 * remap_pfn_range, vmf_insert_pfn).
 *
 * The device is a pf_mapping whose ops have no `read`. pf_mmap_file() of it makes a VMA with PF_VM_SPECIAL and DONTDUMP, which maps nothing;
 * then its frames are put there at once by pf_remap_pfn_range(), or one fault at a time by ops->fault and pf_insert_pfns(). Their
 * entries are special: no folio, no reference, no page in any sum, so who owns the frames takes them away himself, by
 * pf_unmap_mapping_pages() or pf_zap_vma_ptes(), before they are something else. All that is about pages leaves such VMAs alone, as in
 * Linux: GUP is EFAULT; madvise that discards, populates, guards or collapses EINVAL; mlock passes over them; mincore, pagemap
 * and smaps find nothing there; a userfaultfd is EINVAL (also one that tracks writes, to which Linux lets any memory).
 * fork gives the child the same frames; mprotect, mremap, which may move them and not grow, and munmap are as for all memory.
 *
 * Private VMAs, which may be written, are only for whoever has ops->copy: the first write to a page makes an anonymous one of what
 * it says. They take frames by pf_remap_pfn_range() of the whole VMA alone.
 *
 * Frames have one memory type, pf_mapping.memtype, normal at first. Private mappings are refused where it is another: pages of ours
 * would have it, too.
 */
#ifndef PF_MM_PFNMAP_H
#define PF_MM_PFNMAP_H

#include "mm/mapping.h"
#include "mm/mm.h"
#include "mm/vma.h"

/* A fault on an empty slot, for pf_mapping_ops.fault. */
struct pf_pfn_fault {
	uint64_t index;       /* the page of the mapping */
	uint64_t first, last; /* what may be filled with it: the VMA's part of the leaf table */
	unsigned flags;       /* PF_FAULT_FLAG_* */
	struct pf_vma *vma;
	pf_va_t va; /* of the page */
};

/*
 * From ops->fault, and nowhere else: pages [index, index + nr) of the mapping are frames [pfn, pfn + nr), where the VMA's slots are
 * empty; those that are not keep what they have. 0; -PF_EINVAL: not in [first, last], frames that lib/phys has or the
 * format cannot name, or a private VMA that may be written; -PF_ENOMEM. Walkers may find some of them mapped and others not yet.
 */
int pf_insert_pfns(const struct pf_pfn_fault *f, uint64_t index, pf_pfn_t pfn, uint64_t nr);

/*
 * [va, va + len), bytes, of one VMA of a device, where nothing is mapped, are frames from pfn on. Of a private VMA, the whole of it, which
 * is of the pages from `pfn` on of the mapping then. 0; -PF_EINVAL: no such range; frames that lib/phys has, or that
 * the format cannot name; -PF_EBUSY: something is mapped there, or was written; -PF_ENOMEM: nothing has changed but for empty
 * tables. Takes the mmap lock for writing.
 */
int pf_remap_pfn_range(struct pf_mm *mm, pf_va_t va, uint64_t len, pf_pfn_t pfn);

/*
 * Nothing is mapped in [va, va + len), of one VMA of a device, any more, copies neither; no TLB has any of it on return. 0; -PF_EINVAL: no
 * such range. Faults may map frames again, even before the call returns. Takes the mmap lock for reading.
 */
int pf_zap_vma_ptes(struct pf_mm *mm, pf_va_t va, uint64_t len);

/*
 * The same for pages [index, index + nr), nr 0: all from index on, of a mapping, wherever they are mapped: for the owner of frames. Private
 * copies stay unless even_cows. ops->fault is not running then, and what it answers from now on may be new: it cannot have
 * looked before the call and insert after it. Takes pages_lock for writing.
 */
void pf_unmap_mapping_pages(
	struct pf_mapping *mapping, uint64_t index, uint64_t nr, bool even_cows);

/* Looking a frame up, for who maps it elsewhere (Linux's follow_pfnmap_start and _end). */
struct pf_follow_pfnmap {
	struct pf_vma *vma; /* in: VMA and address */
	pf_va_t address;
	pf_pfn_t pfn;  /* out: its frame, */
	uint64_t prot; /* rights and memory type (bits of PF_PTE_PROT_BITS), */
	bool writable; /* the entry has W; without it a write must fault first */
	bool special;  /* no memory of lib/phys; a private VMA's copy is */
	struct pf_table *table;
};

/*
 * The frame that the entry of an address names. Table lock held on success: the frame is the entry's until
 * pf_follow_pfnmap_end(), and nothing may be concluded from it afterwards without being told of changes (Linux: a notifier). 0;
 * -PF_EINVAL, with nothing held: the VMA is no device's, does not have the address, or there is no present entry: then a fault
 * (pf_handle_mm_fault, without locks) may bring one. The caller holds the mmap lock, any way, or the i_mmap lock that it found the VMA
 * by; nothing that sleeps in between.
 */
int pf_follow_pfnmap_start(struct pf_follow_pfnmap *args);
void pf_follow_pfnmap_end(struct pf_follow_pfnmap *args);

#endif
