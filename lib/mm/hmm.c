/* SPDX-License-Identifier: MIT */
/*
 * A snapshot for a device.
 *
 * Each entry is read once, under its table's lock; nothing keeps it what it was after that. It need not: who changes it has told
 * the interval notifier before, or tells it later, and what was read is thrown away or torn down.
 */
#include "mm/hmm.h"

#include "mm/internal.h"

/* Not an error: something has been done about a page, or will be soon; it is to be looked at again. */
#define AGAIN 1

struct snapshot {
	struct pf_mm *mm;
	struct pf_hmm_range *range;
	pf_va_t va; /* what comes next */
};

static uint64_t *word_of(const struct snapshot *s, pf_va_t va)
{
	return &s->range->pfns[(va - s->range->start) >> pf_mm_shift(s->mm)];
}

/* What is asked of the page and is not had: a fault, and for writing. */
static uint64_t missing(const struct snapshot *s, pf_va_t va, uint64_t have)
{
	const struct pf_hmm_range *r = s->range;
	const uint64_t want = (*word_of(s, va) & r->pfn_flags_mask) | r->default_flags;

	if (!(want & PF_HMM_PFN_REQ_FAULT))
		return 0;
	if ((want & PF_HMM_PFN_REQ_WRITE) && !(have & PF_HMM_PFN_WRITE))
		return PF_HMM_PFN_REQ_FAULT | PF_HMM_PFN_REQ_WRITE;
	return have & PF_HMM_PFN_VALID ? 0 : PF_HMM_PFN_REQ_FAULT;
}

/* Up to `end` no device can be given anything. */
static int refuse(struct snapshot *s, pf_va_t end)
{
	for (; s->va < end; s->va += pf_mm_page(s->mm)) {
		if (missing(s, s->va, 0))
			return -PF_EFAULT;
		*word_of(s, s->va) = PF_HMM_PFN_ERROR;
	}
	return 0;
}

static int fault_in(struct snapshot *s, struct pf_vma *vma, uint64_t need)
{
	unsigned flags = PF_FAULT_FLAG_KERNEL | PF_FAULT_FLAG_NO_WAIT;

	if (need & PF_HMM_PFN_REQ_WRITE) {
		if (!(vma->area.flags & PF_VM_WRITE))
			return -PF_EPERM;
		flags |= PF_FAULT_FLAG_WRITE;
	}
	switch (pf_vma_fault(s->mm, vma, s->va, flags)) {
	case PF_FAULT_DONE:
		return AGAIN;
	case PF_FAULT_OOM:
		return -PF_ENOMEM;
	default:
		return -PF_EFAULT;
	}
}

/* The next page's entry says `pte`, and does not let a device at a page that is asked for. */
static int bring_in(struct snapshot *s, struct pf_vma *vma, pf_pte_t pte, uint64_t need)
{
	switch (pf_pte_kind(pte)) {
	case PF_PTE_MIGRATION:
		/* Who moves it ends that soon, and takes no lock that we have. */
		pf_port_relax();
		return AGAIN;
	case PF_PTE_HWPOISON:
		return -PF_EFAULT;
	default:
		return fault_in(s, vma, need);
	}
}

static uint64_t rights(const struct snapshot *s, pf_pte_t pte)
{
	if (pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE && s->range->dev_private_owner &&
		(pf_device_owner(s->mm->sys, pf_pte_pfn(pte)) == s->range->dev_private_owner ||
			PF_MUTANT("hmm-any-owner")))
		return pf_pte_write(pte) ? PF_HMM_PFN_VALID | PF_HMM_PFN_WRITE : PF_HMM_PFN_VALID;
	if (!pf_pte_present(pte) || pf_pte_protnone(pte))
		return 0;
	if (pf_pte_write(pte) || PF_MUTANT("hmm-all-writable"))
		return PF_HMM_PFN_VALID | PF_HMM_PFN_WRITE;
	return PF_HMM_PFN_VALID;
}

/* Pages that are alike, up to the first that needs something done. */
static int take_run(struct snapshot *s, struct pf_vma *vma, const struct pf_page_run *run)
{
	const uint64_t have = rights(s, run->pte);
	/* Frames that are no memory; VMAs of them are refused, and the page of zeros is memory. */
	const bool odd =
		have && pf_pte_special(run->pte) && pf_pte_pfn(run->pte) != s->mm->space.zero_pfn;

	for (uint64_t i = 0; i < run->nr; i++, s->va += pf_mm_page(s->mm)) {
		const uint64_t need = missing(s, s->va, have);

		if (need)
			return bring_in(s, vma, run->pte, need);
		if (odd && missing(s, s->va, 0))
			return -PF_EFAULT;
		*word_of(s, s->va) = odd    ? PF_HMM_PFN_ERROR
				     : have ? have | pf_pte_pfn(pf_pte_advance(run->pte, i))
					    : 0;
	}
	return 0;
}

static int take_vma(struct snapshot *s, struct pf_vma *vma, pf_va_t end)
{
	int err = 0;

	if ((vma->area.flags & (PF_VM_IO | PF_VM_PFNMAP)) || !(vma->area.flags & PF_VM_READ))
		return refuse(s, end);
	while (!err && s->va < end) {
		struct pf_page_run run;

		s->mm->sys->fmt->page_run(
			&s->mm->space, s->va, pf_mm_pages(s->mm, s->va, end), &run);
		err = take_run(s, vma, &run);
	}
	return err;
}

static int take(struct snapshot *s)
{
	const pf_va_t end = s->range->end;
	int err = 0;

	while (!err && s->va < end) {
		struct pf_vma *vma = pf_find_vma(s->mm, s->va);

		if (!vma || vma->area.start > s->va)
			err = refuse(s, vma ? pf_min(vma->area.start, end) : end);
		else
			err = take_vma(s, vma, pf_min(vma->area.end, end));
	}
	return err;
}

/* ---- pieces that one entry of a device can map ---- */

/* Words from `first` on, at most `max`, that continue it. */
static uint64_t alike(const uint64_t *first, uint64_t max)
{
	uint64_t n = 1;

	while (n < max && first[n] == first[0] + n)
		n++;
	return n;
}

/* The largest piece that begins with this page and has no more than max. */
static unsigned piece(uint64_t page, uint64_t pfn, uint64_t max)
{
	unsigned order = 0;

	while (order < PF_HMM_PFN_ORDER_MASK && PF_BIT(order + 1) <= max &&
		pf_aligned(page | pfn, PF_BIT(order + 1)))
		order++;
	return order;
}

static void set_orders(const struct snapshot *s)
{
	uint64_t *pfns = s->range->pfns;
	const uint64_t first = s->range->start >> pf_mm_shift(s->mm);
	const uint64_t nr = pf_mm_pages(s->mm, s->range->start, s->range->end);

	for (uint64_t i = 0, end; i < nr; i = end) {
		end = i + 1;
		if (!(pfns[i] & PF_HMM_PFN_VALID))
			continue;
		end = i + alike(&pfns[i], nr - i);
		while (i < end) {
			const unsigned order = piece(first + i, pfns[i] & PF_HMM_PFN_MASK, end - i);

			for (uint64_t n = PF_BIT(order); n; n--)
				pfns[i++] |= (uint64_t)order << PF_HMM_PFN_ORDER_SHIFT;
		}
	}
}

int pf_hmm_range_fault(struct pf_mm *mm, struct pf_hmm_range *range)
{
	struct snapshot s = {.mm = mm, .range = range, .va = range->start};
	int err;

	if (!pf_mm_aligned(mm, range->start | range->end) || range->start > range->end ||
		range->end > mm->sys->task_size)
		return -PF_EINVAL;
	pf_mmap_read_lock(mm);
	do {
		err = -PF_EBUSY;
		if (!pf_mmu_interval_check_retry(range->notifier, range->notifier_seq))
			err = take(&s);
	} while (err == AGAIN);
	pf_mmap_read_unlock(mm);
	if (!err)
		set_orders(&s);
	return err;
}
