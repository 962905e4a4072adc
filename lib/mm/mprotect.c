/* SPDX-License-Identifier: MIT */
/*
 * mprotect (coremm 3.1: the order of checks, and what has happened when one of them fails).
 */
#include "mm/internal.h"

/* PROT_SEM: accepted everywhere, means nothing. */
#define PROT_SEM 0x8u

/* Linux's accounting of what may be written, which matters here for who may be merged with whom. */
static uint32_t account(const struct pf_vma *vma, uint32_t flags)
{
	const uint32_t old = vma->area.flags;

	if (flags & PF_VM_WRITE) {
		if (!(old & (PF_VM_ACCOUNT | PF_VM_WRITE | PF_VM_SHARED | PF_VM_NORESERVE)))
			flags |= PF_VM_ACCOUNT;
	} else if ((old & PF_VM_ACCOUNT) && !vma->mapping && !vma->area.anon) {
		flags &= ~PF_VM_ACCOUNT;
	}
	return flags;
}

/* One VMA's part of the range: mprotect_fixup. */
static int protect_vma(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_gather *g,
	struct pf_vma *vma, pf_va_t start, pf_va_t end, uint32_t rights)
{
	const uint32_t old = vma->area.flags;
	uint32_t flags = (old & ~PF_VM_ACCESS) | rights;
	unsigned cp_flags = 0;
	uint32_t promised;
	uint64_t pages;

	/* MAY* lie four bits above what they allow. */
	if (rights & ~(old >> 4))
		return -PF_EACCES;
	if (old & PF_VM_SEALED)
		return -PF_EPERM;
	if (flags == old)
		return 0;
	/* Memory that becomes data counts as such; that there is so much of it is no news. */
	pages = pf_mm_pages(mm, start, end);
	if ((flags & PF_VM_WRITE) && !pf_may_expand_vm(mm, flags, pages) &&
		pf_may_expand_vm(mm, old, pages))
		return -PF_ENOMEM;
	flags = account(vma, flags);
	/* What had been promised stays so. */
	promised = flags & ~old;
	if (!pf_commit(mm->sys, promised, pages))
		return -PF_ENOMEM;
	vma = pf_vma_modify_flags(mm, r, vma, start, end, flags);
	if (!vma) {
		pf_uncommit(mm->sys, promised, pages);
		return -PF_ENOMEM;
	}
	/* Where vm_page_prot does not give W to all: to pages that may have it at once. */
	if ((flags & PF_VM_WRITE) && (pf_area_cow(&vma->area) || !(vma->area.prot & PF_PTE_W)))
		cp_flags |= PF_CP_TRY_CHANGE_WRITABLE;
	mm->sys->fmt->change_protection(g, &vma->area, start, pages, vma->area.prot, cp_flags);
	return 0;
}

/* Locked memory that becomes writable is copied at once: it shall not fault later. */
static bool populate_after(uint32_t old, uint32_t rights)
{
	return (old & (PF_VM_WRITE | PF_VM_SHARED | PF_VM_LOCKED)) == PF_VM_LOCKED &&
	       (rights & PF_VM_WRITE);
}

static int protect_locked(
	struct pf_mm *mm, pf_va_t start, pf_va_t end, uint32_t rights, unsigned grows)
{
	struct pf_vma *vma = pf_find_vma(mm, start);
	struct pf_vma_reserve r;
	struct pf_gather g;
	pf_va_t at;
	int err;

	if (!vma || vma->area.start >= end)
		return -PF_ENOMEM;
	/* Stretch the range over the rest of a VMA that grows; none grows upwards. */
	if (grows & PF_PROT_GROWSDOWN) {
		if (!(vma->area.flags & PF_VM_GROWSDOWN))
			return -PF_EINVAL;
		start = vma->area.start;
	} else {
		if (vma->area.start > start)
			return -PF_ENOMEM;
		if (grows & PF_PROT_GROWSUP)
			return -PF_EINVAL;
	}

	/* Only the first and the last VMA can be split: with two VMAs in hand the whole call
	 * cannot run out of memory half way. */
	err = pf_vma_reserve_splits(mm, &r, start, end);
	if (err)
		return err;
	pf_tlb_gather_mmu(&g, &mm->space);
	for (at = start; at < end;) {
		pf_va_t to;
		bool populate;

		vma = pf_vma_lookup(mm, at);
		if (!vma) {
			err = -PF_ENOMEM;
			break;
		}
		to = pf_min(vma->area.end, end);
		populate = populate_after(vma->area.flags, rights);
		err = protect_vma(mm, &r, &g, vma, at, to, rights);
		if (err)
			break;
		if (populate)
			pf_populate_vmas(mm, at, to, true);
		at = to;
	}
	pf_tlb_finish_mmu(&g);
	pf_vma_unreserve(mm, &r);
	return err;
}

int pf_pkey_mprotect(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned prot, int pkey)
{
	const unsigned both = PF_PROT_GROWSDOWN | PF_PROT_GROWSUP;
	const unsigned grows = prot & both;
	pf_va_t end;
	int err;

	prot &= ~both;
	if (grows == both || !pf_mm_aligned(mm, addr))
		return -PF_EINVAL;
	if (!len)
		return 0;
	end = addr + pf_mm_align(mm, len);
	if (end <= addr)
		return -PF_ENOMEM;
	if (prot & ~(PF_PROT_READ | PF_PROT_WRITE | PF_PROT_EXEC | PROT_SEM))
		return -PF_EINVAL;
	if (pkey != -1)
		return -PF_EINVAL;

	pf_mmap_write_lock(mm);
	err = protect_locked(mm, addr, end, pf_prot_flags(prot), grows);
	pf_mmap_write_unlock(mm);
	return err;
}

int pf_mprotect(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned prot)
{
	return pf_pkey_mprotect(mm, addr, len, prot, -1);
}
