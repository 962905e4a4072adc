/* SPDX-License-Identifier: MIT */
/*
 * How much an address space has, and how much it may have.
 */
#include "mm/internal.h"

/* What RLIMIT_DATA counts: memory that a program writes for itself, stacks aside. */
static bool is_data(uint32_t flags)
{
	return (flags & (PF_VM_WRITE | PF_VM_SHARED | PF_VM_GROWSDOWN)) == PF_VM_WRITE;
}

void pf_vm_stat(struct pf_mm *mm, uint32_t flags, int64_t pages)
{
	mm->total_vm += (uint64_t)pages;
	if (flags & PF_VM_LOCKED)
		mm->locked_vm += (uint64_t)pages;
	if (is_data(flags))
		mm->data_vm += (uint64_t)pages;
}

bool pf_may_expand_vm(const struct pf_mm *mm, uint32_t flags, uint64_t pages)
{
	const unsigned shift = pf_mm_shift(mm);

	if (mm->total_vm + pages > mm->limits.as >> shift)
		return false;
	return !is_data(flags) || mm->data_vm + pages <= mm->limits.data >> shift;
}

bool pf_can_mlock(const struct pf_mm *mm)
{
	return mm->limits.memlock;
}

bool pf_mlock_future_ok(const struct pf_mm *mm, uint32_t flags, uint64_t bytes)
{
	const unsigned shift = pf_mm_shift(mm);

	return !(flags & PF_VM_LOCKED) ||
	       mm->locked_vm + (bytes >> shift) <= mm->limits.memlock >> shift;
}
