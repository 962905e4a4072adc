/* SPDX-License-Identifier: MIT */
/*
 * Faults, and faults made in advance.
 */
#include "mm/internal.h"

/*
 * Does the VMA allow it? A write implies that reading is possible (vm_page_prot gives R with W), so
 * a read needs either; executable memory is not readable for that alone, as with execute-only
 * memory on arm64.
 */
static bool access_allowed(const struct pf_vma *vma, unsigned flags)
{
	const uint32_t have = vma->area.flags;

	if (flags & PF_FAULT_FLAG_EXEC)
		return have & PF_VM_EXEC;
	if (flags & PF_FAULT_FLAG_WRITE)
		return have & PF_VM_WRITE;
	return have & (PF_VM_READ | PF_VM_WRITE);
}

/*
 * Does a guard stand there, in a VMA that has no anon_vma and gets none by an access that is refused? If it is taken away just
 * now, the access faults once more.
 */
static bool guarded(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va)
{
	struct pf_page_run run;

	if (!pf_load_relaxed(&vma->had_guards) || pf_load_relaxed(&vma->area.anon))
		return false;
	mm->sys->fmt->page_run(&mm->space, va & -pf_mm_page(mm), 1, &run);
	return pf_pte_guard(run.pte);
}

enum pf_fault_result pf_vma_fault(struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned flags)
{
	const unsigned own = PF_FAULT_FLAG_WRITE | PF_FAULT_FLAG_UNSHARE;
	enum pf_fault_result result;
	uint32_t orders;

	if ((flags & own) && guarded(mm, vma, va))
		flags &= ~own;
	/* Before there can be a page that is found through it. Reads map the zero page, or a file's, only. */
	if ((flags & own) && !(vma->area.flags & PF_VM_SHARED) && pf_anon_prepare(mm, vma))
		return PF_FAULT_OOM;
	/* What is not asked for page by page would be there without the userfaultfd's having been told. */
	orders = vma->uffd ? 1 : pf_thp_orders(mm->sys, vma->area.flags);
	result = mm->sys->fmt->fault(&mm->space, &vma->area, va, flags, orders);
	if (result == PF_FAULT_HINT) {
		/* Moved, it is accessible; if it stays, somebody has it, and the hint is taken back. */
		result = PF_FAULT_DONE;
		if (!pf_numa_move(vma, va))
			result = mm->sys->fmt->fault(
				&mm->space, &vma->area, va, flags | PF_FAULT_FLAG_STAY, orders);
	}
	if (result == PF_FAULT_MISSING)
		result = vma->area.flags & PF_VM_PFNMAP ? pf_pfnmap_fault(vma, va, flags)
							: pf_filemap_fault(vma, va, flags);
	if (result == PF_FAULT_DEVICE)
		result = pf_device_fault(vma, va);
	if (result == PF_FAULT_SWAP)
		result = pf_swap_fault(mm, vma, va, flags, orders);
	if (result == PF_FAULT_UFFD_MISSING || result == PF_FAULT_UFFD_MINOR ||
		result == PF_FAULT_UFFD_WP)
		return flags & PF_FAULT_FLAG_NO_WAIT ? PF_FAULT_SIGBUS
						     : pf_uffd_tell(mm, vma, va, flags, result);
	return result;
}

static enum pf_fault_result checked_fault(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned flags)
{
	return access_allowed(vma, flags) ? pf_vma_fault(mm, vma, va, flags) : PF_FAULT_SIGSEGV;
}

/*
 * Is the VMA all that the fault looks at? A first write may make an anon_vma, for which its neighbours are looked at; and a device, or whoever
 * answers a userfaultfd, may count on the mmap lock.
 */
static bool vma_is_enough(const struct pf_vma *vma, unsigned flags)
{
	if (vma->uffd || (vma->area.flags & PF_VM_PFNMAP))
		return false;
	return !(flags & (PF_FAULT_FLAG_WRITE | PF_FAULT_FLAG_UNSHARE)) ||
	       (vma->area.flags & PF_VM_SHARED) || pf_load_relaxed(&vma->area.anon);
}

/* With no lock but the VMA's. False: the mmap lock is needed. */
static bool fault_by_vma(struct pf_mm *mm, pf_va_t va, unsigned flags, enum pf_fault_result *result)
{
	struct pf_vma *vma = pf_lock_vma_under_rcu(mm, va);
	bool enough;

	if (!vma)
		return false;
	enough = vma_is_enough(vma, flags);
	if (enough)
		*result = checked_fault(mm, vma, va, flags);
	pf_vma_end_read(vma);
	return enough;
}

enum pf_fault_result pf_handle_mm_fault(struct pf_mm *mm, pf_va_t va, unsigned flags)
{
	enum pf_fault_result result = PF_FAULT_SIGSEGV;
	struct pf_vma *vma;

	if (fault_by_vma(mm, va, flags, &result))
		return result;

	pf_mmap_read_lock(mm);
	vma = pf_find_vma(mm, va);
	if (vma && va < vma->area.start && (vma->area.flags & PF_VM_GROWSDOWN)) {
		int err;

		/* Before anything is asked of its rights, as Linux: it is larger then all the same. */
		pf_mmap_read_unlock(mm);
		err = pf_expand_stack(mm, va);
		if (err)
			return err == -PF_ENOMEM ? PF_FAULT_OOM : PF_FAULT_SIGSEGV;
		pf_mmap_read_lock(mm);
	}
	vma = pf_vma_lookup(mm, va);
	if (vma)
		result = checked_fault(mm, vma, va, flags);
	pf_mmap_read_unlock(mm);
	return result;
}

/* ---- in advance ---- */

/* Pages from va, at most max, that need no fault. */
static uint64_t populated(struct pf_mm *mm, pf_va_t va, uint64_t max, bool write)
{
	bool ready;
	uint64_t n = mm->sys->fmt->run_of(
		&mm->space, va, max, write ? PF_RUN_WRITABLE : PF_RUN_ACCESSIBLE, &ready);

	return ready ? n : 0;
}

/* The part of one VMA. 0, or what populate returns. */
static int populate_vma(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end, bool write)
{
	while (start < end) {
		uint64_t n = populated(mm, start, pf_mm_pages(mm, start, end), write);

		start += n << pf_mm_shift(mm);
		if (start >= end)
			break;
		/* Done is not yet there: a copy may have lost a race. The next round sees. */
		switch (pf_vma_fault(
			mm, vma, start, PF_FAULT_FLAG_KERNEL | (write ? PF_FAULT_FLAG_WRITE : 0))) {
		case PF_FAULT_DONE:
		case PF_FAULT_SWAP:
			break;
		case PF_FAULT_OOM:
			return -PF_ENOMEM;
		case PF_FAULT_UFFD:
			return -PF_EAGAIN;
		case PF_FAULT_MISSING: /* these never come this far */
		case PF_FAULT_HINT:
		case PF_FAULT_DEVICE:
		case PF_FAULT_UFFD_MISSING:
		case PF_FAULT_UFFD_MINOR:
		case PF_FAULT_UFFD_WP:
		case PF_FAULT_SIGSEGV:
		case PF_FAULT_SIGBUS:
			return -PF_EFAULT;
		case PF_FAULT_HWPOISON:
			return -PF_EHWPOISON;
		}
	}
	return 0;
}

int pf_populate_locked(struct pf_mm *mm, pf_va_t start, pf_va_t end, bool write)
{
	while (start < end) {
		struct pf_vma *vma = pf_vma_lookup(mm, start);
		pf_va_t to;
		int err;

		if (!vma)
			return -PF_ENOMEM;
		if (!(vma->area.flags & (write ? PF_VM_WRITE : PF_VM_READ)) ||
			(vma->area.flags & PF_VM_PFNMAP))
			return -PF_EINVAL;
		to = pf_min(vma->area.end, end);
		err = populate_vma(mm, vma, start, to, write);
		if (err)
			return err;
		start = to;
	}
	return 0;
}

int pf_populate_vmas(struct pf_mm *mm, pf_va_t start, pf_va_t end, bool ignore_errors)
{
	struct pf_vma *vma = pf_find_vma(mm, start);

	for (; start < end && vma && vma->area.start < end; vma = pf_vma_tree_next(mm->vmas, vma)) {
		/* Private memory that may be written is written: it would be copied soon. */
		bool write = (vma->area.flags & (PF_VM_WRITE | PF_VM_SHARED)) == PF_VM_WRITE;
		int err = -PF_EFAULT;

		if (vma->area.flags & (PF_VM_LOCKONFAULT | PF_VM_PFNMAP))
			continue;
		if (vma->area.flags & PF_VM_ACCESS)
			err = populate_vma(mm, vma, pf_max(vma->area.start, start),
				pf_min(vma->area.end, end), write);
		/* Only MADV_POPULATE says what is lost. */
		if (err && !ignore_errors)
			return err == -PF_EHWPOISON ? -PF_EFAULT : err;
	}
	return 0;
}
