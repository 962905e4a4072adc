/* SPDX-License-Identifier: MIT */
/*
 * NUMA hints: which memory gets them, and pages that follow whoever uses them. That a fault is a hint's, and where its page should
 * be, lib/ops says, which takes back what stays (numa.c there).
 */
#include "mm/numa.h"

#include "mm/internal.h"
#include "mm/migrate.h"

/*
 * Inaccessible memory would not be told from a hint; read-only memory of files is shared by many; and what a policy has put
 * somewhere stays there (Linux: task_numa_work).
 */
static bool hints(const struct pf_vma *vma)
{
	const uint32_t flags = vma->area.flags;

	if ((flags & PF_VM_PFNMAP) || !(flags & PF_VM_ACCESS) ||
		!pf_area_follows(&vma->mm->space, &vma->area))
		return false;
	return !vma->mapping || (flags & (PF_VM_READ | PF_VM_WRITE)) != PF_VM_READ;
}

int pf_numa_hint(struct pf_mm *mm, pf_va_t addr, uint64_t len)
{
	const pf_va_t end = addr + pf_mm_align(mm, len);
	struct pf_gather g;
	struct pf_vma *vma;

	if (!pf_mm_aligned(mm, addr) || addr > mm->sys->task_size ||
		len > mm->sys->task_size - addr)
		return -PF_EINVAL;
	pf_mmap_read_lock(mm);
	pf_tlb_gather_mmu(&g, &mm->space);
	for (vma = pf_find_vma(mm, addr); vma && vma->area.start < end;
		vma = pf_vma_tree_next(mm->vmas, vma)) {
		const pf_va_t from = pf_max(vma->area.start, addr);
		const pf_va_t to = pf_min(vma->area.end, end);

		if (hints(vma))
			mm->sys->fmt->change_protection(&g, &vma->area, from,
				pf_mm_pages(mm, from, to), 0, PF_CP_PROT_NUMA);
	}
	pf_tlb_finish_mmu(&g);
	pf_mmap_read_unlock(mm);
	return 0;
}

/* ---- pages that follow ---- */

/* Is there room without anybody's having to give any up? A snapshot: who is late reclaims, as any who allocate. */
static bool has_room(struct pf_phys *phys, unsigned node, const struct pf_folio *folio)
{
	struct pf_phys_stats stats;

	pf_phys_node_stats(phys, node, &stats);
	return stats.free >= 2 * (uint64_t)pf_folio_nr(folio);
}

/*
 * Programs that many run stay where they are, and so does what a file system would have to be asked for (Linux:
 * migrate_misplaced_folio_prepare).
 */
static bool may_follow(const struct pf_vma *vma, const struct pf_folio *folio)
{
	if (vma->area.backing != PF_BACKED_FILE || !pf_folio_is_file(folio) ||
		PF_MUTANT("hint-moves-dirty"))
		return true;
	return !pf_folio_test_flags(folio, PF_FOLIO_DIRTY) &&
	       !((vma->area.flags & PF_VM_EXEC) && pf_folio_maybe_mapped_shared(folio));
}

/* Locked, with our reference. */
static bool move_to(struct pf_system *sys, struct pf_folio *folio, unsigned node)
{
	struct pf_folio *dst;
	bool ok;

	if (!has_room(sys->phys, node, folio))
		return false;
	dst = pf_alloc_for(sys, folio, pf_only(node));
	ok = dst && !pf_migrate_folio(sys, folio, dst);
	if (dst)
		pf_folio_put(sys->phys, dst, 1);
	return ok;
}

bool pf_numa_move(struct pf_vma *vma, pf_va_t va)
{
	struct pf_mm *mm = vma->mm;
	struct pf_system *sys = mm->sys;
	struct pf_folio *folio;
	pf_pfn_t pfn;
	unsigned from, to;
	bool moved = false;

	/* Whatever is there by now: that it is where it should be does no harm. */
	sys->fmt->folio_run(&mm->space, pf_align_down(va, pf_mm_page(mm)), 1, &folio, &pfn);
	if (!folio)
		return false;
	from = pf_phys_node(sys->phys, pfn);
	to = pf_area_hint_node(&mm->space, &vma->area, from);
	if (from != to && may_follow(vma, folio) && pf_folio_trylock(folio)) {
		moved = move_to(sys, folio, to);
		pf_folio_unlock(folio);
	}
	pf_folio_put(sys->phys, folio, 1);
	return moved;
}
