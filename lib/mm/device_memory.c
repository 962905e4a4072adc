/* SPDX-License-Identifier: MIT */
/*
 * Pages go to a device's memory and come back. Both are migrations (migrate.c): the folio is locked, its entries become migration entries,
 * and whoever keeps it makes that fail. What differs is who copies, and what kind of entry is made in the end (lib/ops/rmap.c).
 */
#include "mm/device_memory.h"

#include "mm/internal.h"
#include "mm/migrate.h"

static struct pf_device_memory *memory_of(const struct pf_system *sys, pf_pfn_t pfn)
{
	return pf_phys_is_device(sys->phys, pfn) ? sys->device_memory[pf_phys_node(sys->phys, pfn)]
						 : NULL;
}

void *pf_device_owner(const struct pf_system *sys, pf_pfn_t pfn)
{
	const struct pf_device_memory *memory = memory_of(sys, pfn);

	return memory ? memory->owner : NULL;
}

static bool is_device(const struct pf_system *sys, unsigned node)
{
	return node < PF_MAX_NODES && (sys->phys->device_nodes >> node & 1);
}

int pf_device_memory_add(struct pf_system *sys, unsigned node, struct pf_device_memory *memory)
{
	if (!is_device(sys, node) || !memory->copy || !memory->owner)
		return -PF_EINVAL;
	if (sys->device_memory[node])
		return -PF_EBUSY;
	sys->device_memory[node] = memory;
	return 0;
}

int pf_device_memory_remove(struct pf_system *sys, unsigned node)
{
	struct pf_phys_stats stats;

	if (!is_device(sys, node) || !sys->device_memory[node])
		return -PF_EINVAL;
	pf_phys_node_stats(sys->phys, node, &stats);
	if (stats.free != stats.pages)
		return -PF_EBUSY;
	sys->device_memory[node] = NULL;
	return 0;
}

bool pf_copy_folio(struct pf_system *sys, struct pf_folio *dst, struct pf_folio *src)
{
	const unsigned shift = sys->fmt->pt->page_shift, nr = pf_folio_nr(src);
	const pf_pfn_t to = pf_folio_pfn(sys->phys, dst), from = pf_folio_pfn(sys->phys, src);
	struct pf_device_memory *memory = memory_of(sys, from);

	if (!memory)
		memory = memory_of(sys, to);
	if (PF_LIKELY(!memory)) {
		pf_port_copy_pages(to << shift, from << shift, (size_t)nr << shift);
		return true;
	}
	for (unsigned i = 0; i < nr; i++)
		if (!memory->copy(memory, to + i, from + i))
			return false;
	pf_page_filled();
	return true;
}

/* ---- back ---- */

/*
 * Folio lock and a reference. A zap may empty the entry meanwhile: then nothing is left to be done. Nobody else has a reference, but a
 * walk over frames for a moment.
 */
static enum pf_fault_result bring_back(struct pf_vma *vma, pf_va_t va, struct pf_folio *folio)
{
	struct pf_system *sys = vma->mm->sys;
	struct pf_folio *dst = pf_alloc_for(
		sys, folio, pf_area_where(&vma->mm->space, &vma->area, va, pf_folio_order(folio)));
	int err;

	if (!dst)
		return PF_FAULT_OOM;
	err = pf_migrate_folio(sys, folio, dst);
	pf_folio_put(sys->phys, dst, 1);
	if (err == -PF_EIO)
		return PF_FAULT_SIGBUS;
	if (err)
		pf_port_relax();
	return PF_FAULT_DONE;
}

enum pf_fault_result pf_device_fault(struct pf_vma *vma, pf_va_t va)
{
	struct pf_mm *mm = vma->mm;
	enum pf_fault_result result;
	struct pf_folio *folio;

	va = pf_align_down(va, pf_mm_page(mm));
	folio = mm->sys->fmt->lock_private(&mm->space, va);
	if (!folio) {
		/* Somebody was faster, or is about it. */
		pf_port_relax();
		return PF_FAULT_DONE;
	}
	result = bring_back(vma, va, folio);
	pf_folio_unlock(folio);
	pf_folio_put(mm->sys->phys, folio, 1);
	return result;
}

/* ---- there ---- */

/* With a reference: the folio of the page at va, if it may go. NULL: it stays, or there is none. */
static struct pf_folio *find(struct pf_mm *mm, pf_va_t va)
{
	struct pf_folio *folio = NULL;
	const struct pf_vma *vma;
	pf_pfn_t pfn;

	pf_mmap_read_lock(mm);
	vma = pf_vma_lookup(mm, va);
	if (vma && !(vma->area.flags & PF_VM_SPECIAL))
		mm->sys->fmt->folio_run(&mm->space, va, 1, &folio, &pfn);
	pf_mmap_read_unlock(mm);
	if (folio && (pf_folio_is_file(folio) || pf_folio_test_flags(folio, PF_FOLIO_KSM))) {
		pf_folio_put(mm->sys->phys, folio, 1);
		folio = NULL;
	}
	return folio;
}

/* What a device stores no entry tells: dirty from now on, before there is an entry. Folio lock. */
static int move(struct pf_system *sys, struct pf_folio *folio, unsigned node)
{
	struct pf_folio *dst = pf_alloc_for(sys, folio, pf_only(node));
	int err;

	if (!dst)
		return -PF_ENOMEM;
	if (!PF_MUTANT("device-memory-clean"))
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
	err = pf_migrate_folio(sys, folio, dst);
	pf_folio_put(sys->phys, dst, 1);
	return err;
}

/* 1: the page at va has gone; 0: it stays; -PF_ENOMEM: there is no room. */
static int move_page(struct pf_mm *mm, pf_va_t va, unsigned node)
{
	struct pf_system *sys = mm->sys;
	struct pf_mmu_notifier_range range;
	struct pf_folio *folio = find(mm, va);
	int err = -PF_EAGAIN;

	if (folio && pf_folio_order(folio)) {
		err = pf_split_folio(sys, folio);
		pf_folio_put(sys->phys, folio, 1);
		if (err)
			return 0;
		folio = find(mm, va);
	}
	if (!folio)
		return 0;
	pf_mmu_notifier_range_init_owner(&range, PF_MMU_NOTIFY_MIGRATE,
		pf_space_subscriptions(&mm->space), va, va + pf_mm_page(mm),
		sys->device_memory[node]->owner);
	pf_mmu_notifier_invalidate_range_start(&range);
	/* Large again: another one, that came meanwhile. */
	if (!pf_folio_order(folio) && pf_folio_trylock(folio)) {
		err = pf_folio_mapcount(folio) ? move(sys, folio, node) : -PF_EAGAIN;
		pf_folio_unlock(folio);
	}
	pf_notify_end(&range);
	pf_folio_put(sys->phys, folio, 1);
	return err == -PF_ENOMEM ? err : !err;
}

int64_t pf_migrate_to_device(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned node)
{
	const pf_va_t end = addr + len;
	int64_t moved = 0;

	if (!pf_mm_aligned(mm, addr | len) || addr > mm->sys->task_size ||
		len > mm->sys->task_size - addr || !is_device(mm->sys, node) ||
		!mm->sys->device_memory[node])
		return -PF_EINVAL;
	for (; addr < end; addr += pf_mm_page(mm)) {
		int n = move_page(mm, addr, node);

		if (n < 0)
			return moved ? moved : n;
		moved += n;
	}
	return moved;
}
