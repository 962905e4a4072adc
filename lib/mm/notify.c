/* SPDX-License-Identifier: MIT */
/*
 * Subscribing. What changes entries looks once whether there are subscribers, and keeps to that until its end. So whoever
 * subscribes must have seen the end of what looked before: it holds the mmap lock, or it came by a page, and holds the anon
 * or i_mmap lock of a VMA of the address space, or it is a fault, and holds the VMA's own. Passing through each of these for writing waits for them all; who
 * takes one later looks later. (Linux takes them all, and holds them.)
 */
#include "mm/notify.h"

#include "mm/internal.h"
#include "ops/notify.h"

/* mmap lock for writing: there are no other VMAs, and those have no other locks. */
static void pass_locks(struct pf_mm *mm)
{
	struct pf_vma *vma = pf_find_vma(mm, 0);

	for (; vma && !PF_MUTANT("notify-register-early"); vma = pf_vma_tree_next(mm->vmas, vma)) {
		pf_vma_start_write(vma);
		pf_i_mmap_lock(vma);
		pf_i_mmap_unlock(vma);
		pf_anon_unlock_write(pf_anon_lock_write(mm->sys, vma));
	}
}

/* mmap lock for writing. The address space's, new if there are none; NULL: no memory. */
static struct pf_mmu_notifier_subscriptions *subscriptions(struct pf_mm *mm)
{
	struct pf_mmu_notifier_subscriptions *s = mm->space.notifier_subscriptions;

	if (!s) {
		s = pf_mmu_notifier_subscriptions_alloc();
		pf_store_release(&mm->space.notifier_subscriptions, s);
		pass_locks(mm);
	}
	return s;
}

int pf_mmu_notifier_register(
	struct pf_mmu_notifier *sub, struct pf_mm *mm, const struct pf_mmu_notifier_ops *ops)
{
	struct pf_mmu_notifier_subscriptions *s;

	pf_mmap_write_lock(mm);
	s = subscriptions(mm);
	if (s) {
		/* Of ranges that have begun it will not see the end either: until then it is not registered. */
		pf_mmu_notifier_add(s, sub, ops);
		pass_locks(mm);
	}
	pf_mmap_write_unlock(mm);
	return s ? 0 : -PF_ENOMEM;
}

int pf_mmu_interval_notifier_insert(struct pf_mmu_interval_notifier *sub, struct pf_mm *mm,
	pf_va_t start, uint64_t len, const struct pf_mmu_interval_notifier_ops *ops)
{
	struct pf_mmu_notifier_subscriptions *s = pf_space_subscriptions(&mm->space);

	if (!len || len - 1 > UINT64_MAX - start)
		return -PF_EOVERFLOW;
	if (!s) {
		pf_mmap_write_lock(mm);
		s = subscriptions(mm);
		pf_mmap_write_unlock(mm);
	}
	if (!s)
		return -PF_ENOMEM;
	/* Ranges that began since there are subscriptions are counted: read_begin waits for them. */
	pf_mmu_interval_notifier_add(s, sub, ops, start, start + (len - 1));
	return 0;
}
