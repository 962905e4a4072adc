/* SPDX-License-Identifier: MIT */
/*
 * What must hold of an address space at rest.
 */
#include "mm/internal.h"

struct count {
	uint64_t vmas, pages, locked, data, anon, file, shmem, swap;
};

/* Nobody's first write to a clean page may go unnoticed. */
static bool unnoticed(const struct pf_vma *vma, pf_pte_t pte, const struct pf_folio *folio)
{
	return vma->mapping && vma->mapping->ops && (vma->area.flags & PF_VM_WRITE) &&
	       !(vma->area.prot & PF_PTE_W) && pf_pte_write(pte) &&
	       !pf_folio_test_flags(folio, PF_FOLIO_DIRTY);
}

/* A frame that is no memory (mm/pfnmap.h). */
static const char *check_frame(
	const struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va, pf_pte_t pte)
{
	if (pf_phys_has(mm->sys->phys, pf_pte_pfn(pte)))
		return "G10: memory is mapped as if it were none";
	if ((pte.v ^ vma->area.prot) & PF_PTE_MEM)
		return "a frame has another memory type than its VMA";
	if (!pf_area_cow(&vma->area))
		return NULL;
	if (pf_pte_write(pte))
		return "a frame can be written that is to be copied";
	return pf_pte_pfn(pte) == pf_vma_index(vma, va)
		       ? NULL
		       : "a private VMA has other frames than its own";
}

/* A page by itself (coremm 0.3). */
static const char *check_page(const struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va,
	const struct pf_page_info *info)
{
	const struct pf_phys *phys = mm->sys->phys;
	const pf_pte_t pte = info->pte;
	const struct pf_folio *folio;

	if ((pte.v & PF_PTE_PERM) & ~pf_vma_prot(vma->area.flags))
		return "M2: an entry allows what its VMA does not";
	if ((pte.v & PF_PTE_UFFD_WP) && pf_pte_write(pte))
		return "a write to a page could go unnoticed by uffd-wp";
	if ((pte.v & PF_PTE_UFFD_WP) && !(vma->area.flags & PF_VM_UFFD_WP))
		return "an entry says uffd-wp where nobody has asked for it";
	if (pf_pte_special(pte) && (vma->area.flags & PF_VM_PFNMAP))
		return check_frame(mm, vma, va, pte);
	if (pf_pte_special(pte)) {
		if (pf_pte_pfn(pte) != mm->sys->zero_pfn)
			return "G10: a special entry that is not the zero page";
		return pf_pte_write(pte) ? "the zero page is writable" : NULL;
	}
	if (pf_pte_pfn(pte) == mm->sys->zero_pfn)
		return "G10: the zero page, not special";
	if (!pf_phys_has(phys, pf_pte_pfn(pte)))
		return "an entry maps a frame that is not managed";
	if (pf_phys_is_device(phys, pf_pte_pfn(pte)))
		return "an entry maps memory that CPUs cannot use";
	folio = pf_page_folio(phys, pf_pte_pfn(pte));
	if (!pf_folio_mapcount(folio))
		return "G3: a mapped folio has no mapping counted";
	if (unnoticed(vma, pte, folio))
		return "a clean shared page can be written without notice";
	if (pf_folio_is_file(folio)) {
		if (info->exclusive)
			return "G1: a file's page is exclusive";
	} else if (vma->area.flags & PF_VM_SHARED) {
		return "an anonymous page in a shared VMA";
	} else if (!vma->area.anon) {
		return "a page in a VMA without an anon_vma";
	}
	if (pf_mm_has_soft_dirty(mm) && pf_pte_write(pte) &&
		!((vma->area.flags & PF_VM_SOFTDIRTY) || (pte.v & PF_PTE_SOFT_DIRTY)))
		return "G12: a write would not make the page soft-dirty";
	if (pf_area_cow(&vma->area) && pf_pte_write(pte) && !info->exclusive)
		return "G1: a writable anonymous page is not exclusive";
	if (info->exclusive && !info->order && pf_folio_mapcount(folio) != 1)
		return "G2: an exclusive page has more than one mapping";
	return NULL;
}

/* A page that is folded: so is its block, and the entries continue one another. */
static const char *check_block(struct pf_mm *mm, pf_va_t va, const struct pf_page_info *info)
{
	const unsigned order = mm->sys->fmt->pt->cont_shift[0], shift = pf_mm_shift(mm);
	const uint64_t nr = PF_BIT(order);
	const pf_va_t start = pf_align_down(va, nr << shift);
	const uint64_t at = (va - start) >> shift;

	if (info->order < order && !pf_pte_special(info->pte))
		return "a folded page of a folio smaller than a block";
	if (pf_pte_pfn(info->pte) % nr != at)
		return "a folded page is not at its place in the block";
	if (!pf_pte_accessible(info->pte) || pf_pte_pfn(info->pte) == mm->sys->zero_pfn)
		return "a folded page is the page of zeros, or not accessible";
	for (uint64_t i = 0; i < nr; i++) {
		const pf_pte_t want = pf_pte(info->pte.v + ((i - at) << PF_PTE_FRAME_SHIFT));
		struct pf_page_info other;

		mm->sys->fmt->page_info(&mm->space, start + (i << shift), &other);
		if (!other.folded || !pf_pte_same(other.pte, want))
			return "a block is not uniform";
	}
	return NULL;
}

/* Would a walk from the page come by this VMA, at this address? (The links themselves: pf_anon_check.) */
static const char *check_found(const struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va,
	pf_pfn_t pfn, const struct pf_folio *folio)
{
	if (pf_folio_test_flags(folio, PF_FOLIO_HWPOISON))
		return "a poisoned page is mapped";
	return pf_rmap_leads_to(mm, vma, va, pfn, folio)
		       ? NULL
		       : "R1: a page does not lead to where it is mapped";
}

static void count_page(const struct pf_vma *vma, const struct pf_folio *folio, struct count *c)
{
	if (!pf_folio_is_file(folio))
		c->anon++;
	else if (vma->area.backing == PF_BACKED_SHMEM)
		c->shmem++;
	else
		c->file++;
}

/* Nodes that an allocation may be made on: those of a policy are among them. */
static const char *check_policy(const struct pf_mm *mm, const struct pf_policy *p)
{
	const bool none = p->mode == PF_MPOL_DEFAULT || p->mode == PF_MPOL_LOCAL;

	if (p->mode >= PF_MPOL_MAX || (p->nodes & ~pf_phys_memory_nodes(mm->sys->phys)) ||
		none != !p->nodes)
		return "a memory policy that nobody can follow";
	return p->mode == PF_MPOL_PREFERRED && (p->nodes & (p->nodes - 1))
		       ? "a memory policy prefers two nodes"
		       : NULL;
}

static const char *check_mapped(struct pf_mm *mm, struct pf_vma *vma, struct count *c)
{
	const unsigned shift = pf_mm_shift(mm);
	const char *bad = NULL;
	pf_va_t va = vma->area.start;

	while (va < vma->area.end && !bad) {
		struct pf_page_info info;
		bool present;
		uint64_t n = mm->sys->fmt->run_of(&mm->space, va,
			pf_mm_pages(mm, va, vma->area.end), PF_RUN_PRESENT, &present);

		for (uint64_t i = 0; present && i < n && !bad; i++) {
			mm->sys->fmt->page_info(&mm->space, va + (i << shift), &info);
			bad = check_page(mm, vma, va + (i << shift), &info);
			if (!bad && !pf_pte_special(info.pte)) {
				const pf_pfn_t pfn = pf_pte_pfn(info.pte);
				const struct pf_folio *folio = pf_page_folio(mm->sys->phys, pfn);

				count_page(vma, folio, c);
				bad = check_found(mm, vma, va + (i << shift), pfn, folio);
			}
			if (!bad && info.folded)
				bad = check_block(mm, va + (i << shift), &info);
		}
		va += n << shift;
	}
	return bad;
}

static const char *check_swapped(
	const struct pf_mm *mm, const struct pf_vma *vma, pf_pte_t pte, struct count *c)
{
	const struct pf_swap *dev = mm->sys->swaps.dev[pf_pte_swap_dev(pte)];

	c->swap++;
	if (!dev || pf_pte_swap_offset(pte) >= dev->slots)
		return "an entry names no slot of a device";
	if (!dev->slot[pf_pte_swap_offset(pte)].count)
		return "an entry names a slot without a count";
	/* Without a family nothing was ever written here. */
	return vma->area.anon ? NULL : "a swapped page in a VMA without a family";
}

/* A device's entry maps its page, too: all that needs no hardware's entry holds of it. */
static const char *check_device(
	struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va, struct count *c)
{
	const struct pf_folio *folio;
	struct pf_page_info info;
	bool private;
	pf_pfn_t pfn;

	mm->sys->fmt->page_info(&mm->space, va, &info);
	private = pf_pte_kind(info.pte) == PF_PTE_DEVICE_PRIVATE;
	pfn = pf_pte_pfn(info.pte);
	if (!pf_phys_has(mm->sys->phys, pfn))
		return "an entry maps a frame that is not managed";
	if (pf_phys_is_device(mm->sys->phys, pfn) != private)
		return "an entry says of a device's memory that it is not, or of other memory that "
		       "it is";
	folio = pf_page_folio(mm->sys->phys, pfn);
	count_page(vma, folio, c);
	if (pf_folio_is_file(folio) || !pf_area_cow(&vma->area) || !vma->area.anon)
		return "a device has a page that is not private";
	if (!pf_folio_mapcount(folio))
		return "G3: a mapped folio has no mapping counted";
	if (!info.exclusive && !private)
		return "G2: a device has a page to itself that is not exclusive";
	if (!info.exclusive && pf_pte_write(info.pte))
		return "G1: a device may write a page that is shared";
	if (info.exclusive && !info.order && pf_folio_mapcount(folio) != 1)
		return "G2: a device has an exclusive page that is shared";
	if (!pf_folio_test_flags(folio, PF_FOLIO_DIRTY))
		return "what a device writes could be lost";
	if ((info.pte.v & PF_PTE_UFFD_WP) && !(vma->area.flags & PF_VM_UFFD_WP))
		return "an entry says uffd-wp where nobody has asked for it";
	return check_found(mm, vma, va, pfn, folio);
}

/* Entries that are not present. */
static const char *check_softleaves(struct pf_mm *mm, struct pf_vma *vma, struct count *c)
{
	pf_va_t va = vma->area.start;
	const char *bad = NULL;
	pf_pte_t pte;

	for (; !bad && va < vma->area.end &&
		mm->sys->fmt->next_softleaf(
			&mm->space, &va, pf_mm_pages(mm, va, vma->area.end), &pte);
		va += pf_mm_page(mm)) {
		if (pf_pte_kind(pte) == PF_PTE_SWAP)
			bad = check_swapped(mm, vma, pte, c);
		else if (pf_pte_maps(pte))
			bad = check_device(mm, vma, va, c);
	}
	return bad;
}

static const char *check_hole(struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	while (start < end) {
		bool present;
		uint64_t n = mm->sys->fmt->run_of(
			&mm->space, start, pf_mm_pages(mm, start, end), PF_RUN_PRESENT, &present);

		if (present)
			return "a page is mapped outside all VMAs";
		start += n << pf_mm_shift(mm);
	}
	return NULL;
}

static bool in_i_mmap(const struct pf_vma *vma)
{
	const uint64_t first = vma->area.pgoff;
	const uint64_t last = first + (pf_mm_pages(vma->mm, vma->area.start, vma->area.end) - 1);
	struct pf_inode *n = pf_itree_first(&vma->mapping->i_mmap, first, first);

	while (n && n != &vma->i_mmap)
		n = pf_itree_next(n, first, first);
	return n && n->start == first && n->last == last;
}

static const char *check_vma(const struct pf_mm *mm, const struct pf_vma *vma)
{
	const struct pf_area *a = &vma->area;
	const char *bad;

	if (!pf_mm_aligned(mm, a->start) || !pf_mm_aligned(mm, a->end) || a->start >= a->end)
		return "a VMA is not of whole pages";
	if (a->end > mm->sys->task_size)
		return "a VMA ends above user space";
	if (a->prot != pf_vma_page_prot(vma))
		return "a VMA's vm_page_prot is not its flags'";
	if ((a->flags & PF_VM_ACCESS) & ~(a->flags >> 4))
		return "a VMA has rights it may not have";
	if ((a->flags & PF_VM_LOCKED_MASK) == PF_VM_LOCKONFAULT)
		return "a VMA is locked on fault and not locked";
	if (vma->mm != mm)
		return "a VMA is another mm's";
	if (!(a->flags & PF_VM_PFNMAP) != !(vma->mapping && pf_mapping_is_device(vma->mapping)))
		return "a VMA's flags and its mapping do not agree";
	if ((a->flags & PF_VM_SPECIAL) && (a->flags & PF_VM_LOCKED_MASK))
		return "a VMA of what is no memory is locked";
	if (!vma->uffd != !(a->flags & PF_VM_UFFD))
		return "a VMA's flags and its userfaultfd do not agree";
	if (vma->mapping && !in_i_mmap(vma))
		return "a VMA that its mapping does not find";
	bad = check_policy(mm, &a->policy);
	if (!bad && vma->mapping)
		bad = pf_shmem_check(vma->mapping);
	return bad ? bad : pf_anon_check(mm->sys, vma);
}

static void count_pages(struct count *c, uint32_t flags, uint64_t pages)
{
	const bool data = (flags & (PF_VM_WRITE | PF_VM_SHARED | PF_VM_GROWSDOWN)) == PF_VM_WRITE;

	c->pages += pages;
	c->locked += flags & PF_VM_LOCKED ? pages : 0;
	c->data += data ? pages : 0;
}

static const char *check_all(struct pf_mm *mm)
{
	struct count c = {0};
	const char *bad = pf_vma_tree_check(mm->vmas);
	const struct pf_vma *prev = NULL;
	struct pf_vma *vma = pf_find_vma(mm, 0);
	pf_va_t at = 0;

	if (mm->space.tlb_flush_pending)
		return "a gather is not finished";
	if (!bad)
		bad = check_policy(mm, &mm->space.policy);
	for (; vma && !bad; vma = pf_vma_tree_next(mm->vmas, vma)) {
		if (!bad)
			bad = check_vma(mm, vma);
		if (!bad && prev && !mm->unmerged && pf_vma_mergeable(mm, prev, vma))
			bad = "two VMAs should be one";
		if (!bad)
			bad = check_hole(mm, at, vma->area.start);
		if (!bad)
			bad = check_mapped(mm, vma, &c);
		if (!bad)
			bad = check_softleaves(mm, vma, &c);
		c.vmas++;
		count_pages(&c, vma->area.flags, pf_mm_pages(mm, vma->area.start, vma->area.end));
		at = vma->area.end;
		prev = vma;
	}
	if (!bad)
		bad = check_hole(mm, at, mm->sys->task_size);
	if (bad)
		return bad;
	if (c.vmas != mm->map_count)
		return "map_count";
	if (c.pages != mm->total_vm)
		return "total_vm";
	if (c.locked != mm->locked_vm)
		return "locked_vm";
	if (c.data != mm->data_vm)
		return "data_vm";
	if ((int64_t)c.file != pf_rss(&mm->space, PF_RSS_FILE))
		return "rss_file";
	if ((int64_t)c.shmem != pf_rss(&mm->space, PF_RSS_SHMEM))
		return "rss_shmem";
	if ((int64_t)c.swap != pf_rss(&mm->space, PF_RSS_SWAP))
		return "rss_swap";
	return (int64_t)c.anon == pf_rss(&mm->space, PF_RSS_ANON) ? NULL : "rss_anon";
}

const char *pf_mm_check(struct pf_mm *mm)
{
	const char *bad;

	pf_mmap_read_lock(mm);
	bad = check_all(mm);
	pf_mmap_read_unlock(mm);
	return bad;
}
