/* SPDX-License-Identifier: MIT */
/*
 * VMAs of frames that are no memory: filled by their owner, at once or by faults, emptied by him, and looked up. What all else does
 * with them is where it is done; the entries are lib/ops' (pfnmap.c).
 */
#include "mm/pfnmap.h"

#include "mm/internal.h"

/* Memory is counted by who maps it, which these entries do not do. */
static bool is_memory(const struct pf_phys *phys, pf_pfn_t pfn, uint64_t nr)
{
	return pfn < phys->first + phys->nr && pfn + nr > phys->first;
}

static bool may_be_mapped(const struct pf_mm *mm, pf_pfn_t pfn, uint64_t nr)
{
	return nr && pfn + nr > pfn && !((pfn + nr - 1) >> mm->sys->fmt->pt->pfn_bits) &&
	       !is_memory(mm->sys->phys, pfn, nr);
}

/* The device's VMA that has all of the range. */
static struct pf_vma *find(const struct pf_mm *mm, pf_va_t va, uint64_t len)
{
	struct pf_vma *vma = pf_vma_lookup(mm, va);

	if (!vma || !(vma->area.flags & PF_VM_PFNMAP) || !len || !pf_mm_aligned(mm, va | len) ||
		len > vma->area.end - va)
		return NULL;
	return vma;
}

/* Pages from va to the end of its leaf table, at most nr. */
static uint64_t in_table(const struct pf_mm *mm, pf_va_t va, uint64_t nr)
{
	return pf_min(nr, PF_BIT(mm->space.pt.fmt->level_bits) -
				  ((va & (pf_mm_pmd_size(mm) - 1)) >> pf_mm_shift(mm)));
}

/* ---- faults ---- */

int pf_insert_pfns(const struct pf_pfn_fault *f, uint64_t index, pf_pfn_t pfn, uint64_t nr)
{
	struct pf_mm *mm = f->vma->mm;
	const pf_va_t va = f->va - ((f->index - index) << pf_mm_shift(mm));
	int64_t n;

	if (index < f->first || index > f->last || !nr || nr > f->last - index + 1 ||
		pf_area_cow(&f->vma->area) || !may_be_mapped(mm, pfn, nr))
		return -PF_EINVAL;
	n = mm->sys->fmt->insert_pfns(&mm->space, &f->vma->area, va, (unsigned)nr, pfn);
	return n < 0 ? (int)n : 0;
}

/* A copy of what only the device can read. Nothing is locked meanwhile: the entry is looked at again. */
static int copy(struct pf_vma *vma, pf_va_t va, pf_pte_t pte)
{
	struct pf_system *sys = vma->mm->sys;
	struct pf_folio *folio = pf_folio_alloc_where(
		sys->phys, 0, PF_USE_ANON, pf_area_where(&vma->mm->space, &vma->area, va, 0));
	int err;

	if (!folio)
		return -PF_ENOMEM;
	err = vma->mapping->ops->copy(vma->mapping, pf_pte_pfn(pte),
		pf_folio_pfn(sys->phys, folio) << sys->fmt->pt->page_shift);
	pf_page_filled();
	if (err || !sys->fmt->put_copy(&vma->mm->space, &vma->area, va, pte, folio, true))
		pf_folio_put(sys->phys, folio, 1);
	return err;
}

static int insert(struct pf_vma *vma, pf_va_t va, unsigned flags)
{
	struct pf_mm *mm = vma->mm;
	struct pf_mapping *mapping = vma->mapping;
	const uint64_t index = pf_vma_index(vma, va), pmd = pf_mm_pmd_size(mm);
	const pf_va_t table = pf_align_down(va, pmd);
	const pf_va_t low = pf_max(vma->area.start, table);
	const pf_va_t last = pf_min(vma->area.end - 1, table + (pmd - 1));
	const struct pf_pfn_fault f = {
		.index = index,
		.first = pf_vma_index(vma, low),
		.last = pf_vma_index(vma, last),
		.flags = flags,
		.vma = vma,
		.va = va,
	};
	int err;

	if (!mapping->ops->fault || pf_area_cow(&vma->area))
		return -PF_EFAULT;
	/* Against who unmaps: he waits for what has been looked up to be inserted, and takes it away. */
	pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	err = mapping->ops->fault(mapping, &f);
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return err;
}

enum pf_fault_result pf_pfnmap_fault(struct pf_vma *vma, pf_va_t va, unsigned flags)
{
	struct pf_page_info info;
	int err = 0;

	va = pf_align_down(va, pf_mm_page(vma->mm));
	vma->mm->sys->fmt->page_info(&vma->mm->space, va, &info);
	if (pf_pte_none(info.pte))
		err = insert(vma, va, flags);
	else if (pf_pte_present(info.pte) && pf_pte_special(info.pte) &&
		 (flags & PF_FAULT_FLAG_WRITE) && pf_area_cow(&vma->area))
		err = copy(vma, va, info.pte);
	/* Else somebody was here before, and the access finds out. */
	if (err)
		return err == -PF_ENOMEM ? PF_FAULT_OOM : PF_FAULT_SIGBUS;
	return PF_FAULT_DONE;
}

/* ---- at once ---- */

static bool is_empty(struct pf_mm *mm, pf_va_t va, pf_va_t end)
{
	struct pf_page_run run;

	for (; va < end; va += run.nr << pf_mm_shift(mm)) {
		mm->sys->fmt->page_run(&mm->space, va, pf_mm_pages(mm, va, end), &run);
		if (!pf_pte_none(run.pte))
			return false;
	}
	return true;
}

/* With the mmap lock and the VMA's for writing nobody faults meanwhile, so what is empty stays so. */
static int remap(struct pf_mm *mm, pf_va_t va, uint64_t nr, pf_pfn_t pfn)
{
	const struct pf_format *fmt = mm->sys->fmt;
	const uint64_t len = nr << pf_mm_shift(mm);
	struct pf_vma *vma = find(mm, va, len);
	int err;

	if (!vma || !may_be_mapped(mm, pfn, nr))
		return -PF_EINVAL;
	pf_vma_start_write(vma);
	if (pf_area_cow(&vma->area) && !PF_MUTANT("pfnmap-cow-part") &&
		(va != vma->area.start || va + len != vma->area.end))
		return -PF_EINVAL;
	if (!is_empty(mm, va, va + len) || (pf_area_cow(&vma->area) && vma->area.anon))
		return -PF_EBUSY;
	err = fmt->alloc_tables(&mm->space, va, nr);
	if (err)
		return err;
	if (pf_area_cow(&vma->area))
		pf_vma_set_range(mm, vma, vma->area.start, vma->area.end, pfn);
	while (nr) {
		const uint64_t n = in_table(mm, va, nr);

		/* Its table is there, and the frames are. */
		fmt->insert_pfns(&mm->space, &vma->area, va, (unsigned)n, pfn);
		va += n << pf_mm_shift(mm);
		pfn += n;
		nr -= n;
	}
	return 0;
}

int pf_remap_pfn_range(struct pf_mm *mm, pf_va_t va, uint64_t len, pf_pfn_t pfn)
{
	int err;

	if (!pf_mm_aligned(mm, len))
		return -PF_EINVAL;
	pf_mmap_write_lock(mm);
	err = remap(mm, va, len >> pf_mm_shift(mm), pfn);
	pf_mmap_write_unlock(mm);
	return err;
}

/* ---- taken away ---- */

int pf_zap_vma_ptes(struct pf_mm *mm, pf_va_t va, uint64_t len)
{
	struct pf_mmu_notifier_range range;
	struct pf_gather g;
	struct pf_vma *vma;

	pf_mmap_read_lock(mm);
	vma = find(mm, va, len);
	if (vma) {
		pf_tlb_gather_mmu(&g, &mm->space);
		pf_notify_start(&range, &mm->space, PF_MMU_NOTIFY_CLEAR, va,
			PF_MUTANT("notify-frames-forgets") ? va : va + len);
		mm->sys->fmt->zap_range(&g, &vma->area, va, pf_mm_pages(mm, va, va + len), 0);
		pf_notify_end(&range);
		pf_tlb_finish_mmu(&g);
	}
	pf_mmap_read_unlock(mm);
	return vma ? 0 : -PF_EINVAL;
}

void pf_unmap_mapping_pages(struct pf_mapping *mapping, uint64_t index, uint64_t nr, bool even_cows)
{
	const uint64_t max = UINT64_MAX >> mapping->sys->fmt->pt->page_shift;
	const uint64_t last = nr && nr - 1 < max - index ? index + (nr - 1) : max;

	pf_port_rw_write_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	pf_mapping_unmap(mapping, index, last,
		PF_ZAP_KEEP_GUARDS | PF_ZAP_KEEP_WP | (even_cows ? 0 : PF_ZAP_KEEP_ANON));
	pf_port_rw_write_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
}

/* ---- looking up ---- */

int pf_follow_pfnmap_start(struct pf_follow_pfnmap *args)
{
	const struct pf_area *area = &args->vma->area;
	struct pf_mm *mm = args->vma->mm;
	const pf_va_t va = pf_align_down(args->address, pf_mm_page(mm));
	pf_pte_t pte;

	args->table = NULL;
	if (!(area->flags & (PF_VM_IO | PF_VM_PFNMAP)) && !PF_MUTANT("follow-any-vma"))
		return -PF_EINVAL;
	if (args->address < area->start || args->address >= area->end)
		return -PF_EINVAL;
	args->table = mm->sys->fmt->follow_pfn(&mm->space, va, &pte);
	if (!args->table)
		return -PF_EINVAL;
	args->pfn = pf_pte_pfn(pte);
	args->prot = pte.v & PF_PTE_PROT_BITS;
	args->writable = pf_pte_write(pte);
	args->special = pf_pte_special(pte);
	if (PF_MUTANT("follow-drops-lock"))
		mm->sys->fmt->follow_pfn_end(&mm->space, args->table);
	return 0;
}

void pf_follow_pfnmap_end(struct pf_follow_pfnmap *args)
{
	if (args->table)
		args->vma->mm->sys->fmt->follow_pfn_end(&args->vma->mm->space, args->table);
	args->table = NULL;
}
