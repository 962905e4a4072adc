/* SPDX-License-Identifier: MIT */
/*
 * Swap devices, and what brings pages back: faults, MADV_WILLNEED, swapoff. Every page comes in through the
 * swap cache, so that two who want it get one folio (coremm B33).
 */
#include "mm/anon_vma.h"
#include "mm/internal.h"
#include "mm/rmap.h"

/* ---- one page ---- */

static uint64_t look_nr(const struct pf_swap_look *look)
{
	return UINT64_C(1) << look->order;
}

/*
 * A new folio of 2^order pages around the page that is wanted, in the cache and locked, not read yet. NULL: no
 * memory (*oom), or some page of it is in the cache already.
 */
static struct pf_folio *new_folio(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va,
	const struct pf_swap_look *look, unsigned order, bool *oom)
{
	uint64_t slot = pf_align_down(pf_pte_swap_offset(look->pte), PF_BIT(order));
	const struct pf_where where = pf_area_where(
		&mm->space, &vma->area, pf_align_down(va, pf_mm_page(mm) << order), order);
	struct pf_folio *folio = pf_folio_alloc_where(mm->sys->phys, order, PF_USE_ANON, where);

	*oom = !folio;
	if (!folio)
		return NULL;
	/* Nobody else knows it. */
	pf_folio_trylock(folio);
	if (pf_swap_cache_add(look->dev, slot, folio))
		return folio;
	pf_folio_put(mm->sys->phys, folio, 1);
	return NULL;
}

/*
 * What the folio's pages are found by. A page that one process alone has belongs to its VMA's anon_vma, which what it forks
 * later is linked to. One that several have may be mapped next by any of them, which only the root is sure to know.
 */
static void set_mapping(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va,
	const struct pf_swap_look *look, struct pf_folio *folio)
{
	const uint32_t own = pf_load_relaxed(&vma->area.anon);
	const struct pf_anon_vma *anon = pf_anon_object(mm->sys, own);
	const bool exclusive = look->pte.v & PF_PTE_EXCLUSIVE;

	pf_folio_set_mapping(folio,
		pf_vma_index(vma, va) - (pf_pte_swap_offset(look->pte) - pf_folio_swap_slot(folio)),
		exclusive || PF_MUTANT("swap-in-own-mapping") ? own : anon->root->head.handle);
}

/* Read what was entered. Who finds it in the cache meanwhile does not get its lock. */
static int read_folio(struct pf_mm *mm, const struct pf_swap_look *look, struct pf_folio *folio)
{
	const unsigned shift = pf_mm_shift(mm);
	int err = look->dev->ops->read(look->dev->ctx, pf_folio_swap_slot(folio),
		pf_folio_pfn(mm->sys->phys, folio) << shift, (size_t)pf_folio_nr(folio) << shift);

	if (!err) {
		pf_page_filled();
		return 0;
	}
	pf_swap_cache_del(look->dev, folio);
	pf_folio_unlock(folio);
	pf_folio_put(mm->sys->phys, folio, 1);
	return -PF_EIO;
}

/*
 * The folio that has the page, locked, with a reference: found in the cache, or read, with as many of its
 * neighbours as were found fit and as there is memory for. 0 with *folio NULL: try again, somebody else is at it.
 */
static int get_folio(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va,
	const struct pf_swap_look *look, uint32_t orders, struct pf_folio **folio)
{
	const uint64_t slot = pf_pte_swap_offset(look->pte);
	bool oom = false;

	*folio = pf_swap_cache_get(look->dev, slot);
	if (*folio) {
		if (!pf_folio_trylock(*folio) && !PF_MUTANT("swap-in-ignores-lock")) {
			pf_folio_put(mm->sys->phys, *folio, 1);
			*folio = NULL;
		} else if (!pf_folio_test_flags(*folio, PF_FOLIO_SWAPCACHE)) {
			/* It left before we had the lock: it could not be read. */
			pf_folio_unlock(*folio);
			pf_folio_put(mm->sys->phys, *folio, 1);
			*folio = NULL;
		}
		return 0;
	}
	orders = (orders & ((2u << look->order) - 1)) | 1;
	for (; orders && !*folio; orders &= ~(1u << pf_log2(orders)))
		*folio = new_folio(mm, vma, va, look, pf_log2(orders), &oom);
	if (!*folio)
		return oom ? -PF_ENOMEM : 0;
	set_mapping(mm, vma, va, look, *folio);
	return read_folio(mm, look, *folio);
}

/*
 * A page that KSM had merged comes back by the mapping and index of whoever wants it first; where it would not be found, in
 * VMAs of other families or at other indexes, it is copied. (Linux: ksm_might_need_to_copy.) The folio is locked. The copy
 * has no slot; NULL: no memory.
 */
static struct pf_folio *copy_page(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va,
	const struct pf_swap_look *look, const struct pf_folio *folio)
{
	const unsigned shift = pf_mm_shift(mm);
	const uint64_t at = pf_pte_swap_offset(look->pte) - pf_folio_swap_slot(folio);
	struct pf_folio *copy = pf_folio_alloc_where(
		mm->sys->phys, 0, PF_USE_ANON, pf_area_where(&mm->space, &vma->area, va, 0));

	if (!copy)
		return NULL;
	pf_port_copy_pages(pf_folio_pfn(mm->sys->phys, copy) << shift,
		(pf_folio_pfn(mm->sys->phys, folio) + at) << shift, PF_BIT(shift));
	pf_folio_set_mapping(copy, pf_vma_index(vma, va), pf_load_relaxed(&vma->area.anon));
	pf_folio_set_flags(copy, PF_FOLIO_DIRTY);
	return copy;
}

/* Locked, in the cache: the page of the entry at va, or a copy of it, becomes the entry's. 0, -PF_ENOMEM. */
static int map_folio(struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned flags,
	const struct pf_swap_look *look, struct pf_folio *folio)
{
	const pf_pfn_t pfn = pf_folio_pfn(mm->sys->phys, folio) +
			     (pf_pte_swap_offset(look->pte) - pf_folio_swap_slot(folio));
	struct pf_folio *copy = NULL;

	if (!pf_rmap_leads_to(mm, vma, va, pfn, folio) && !PF_MUTANT("swap-in-not-found")) {
		copy = copy_page(mm, vma, va, look, folio);
		if (!copy)
			return -PF_ENOMEM;
	}
	mm->sys->fmt->swap_in(&mm->space, &vma->area, va, flags, look, copy ? copy : folio);
	if (copy)
		pf_folio_put(mm->sys->phys, copy, 1);
	return 0;
}

static void done_with(struct pf_mm *mm, const struct pf_swap_look *look, struct pf_folio *folio)
{
	if (folio) {
		pf_folio_unlock(folio);
		pf_folio_put(mm->sys->phys, folio, 1);
	}
	pf_swap_put(look->dev, look->slot, look_nr(look));
}

/* wait: the caller tries again at once, with the mmap lock held, and nobody can make the access run again. */
static enum pf_fault_result swap_fault(struct pf_mm *mm, struct pf_vma *vma, pf_va_t va,
	unsigned flags, uint32_t orders, bool wait)
{
	struct pf_swap_look look;
	struct pf_folio *folio;
	int err;

	if (!mm->sys->fmt->swap_look(&mm->space, &vma->area, va, orders, &look))
		return PF_FAULT_DONE;
	err = get_folio(mm, vma, va, &look, orders, &folio);
	if (err)
		folio = NULL;
	if (folio)
		err = map_folio(mm, vma, va, flags, &look, folio);
	done_with(mm, &look, folio);
	if (err)
		return err == -PF_ENOMEM ? PF_FAULT_OOM : PF_FAULT_SIGBUS;
	/* Who has the folio locked writes or moves it, and waits for no mmap lock. */
	if (!folio && wait)
		pf_port_relax();
	return PF_FAULT_DONE;
}

enum pf_fault_result pf_swap_fault(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned flags, uint32_t orders)
{
	return swap_fault(mm, vma, va, flags, orders, flags & PF_FAULT_FLAG_KERNEL);
}

/* ---- many ---- */

void pf_swap_ahead(struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end)
{
	const struct pf_format *fmt = mm->sys->fmt;
	const uint32_t orders = pf_thp_orders(mm->sys, vma->area.flags);
	pf_pte_t pte;

	for (; start < end &&
		fmt->next_softleaf(&mm->space, &start, pf_mm_pages(mm, start, end), &pte);
		start += pf_mm_page(mm)) {
		struct pf_swap_look look;
		struct pf_folio *folio;
		int err;

		if (!fmt->swap_look(&mm->space, &vma->area, start, orders, &look))
			continue;
		err = get_folio(mm, vma, start, &look, orders, &folio);
		done_with(mm, &look, err ? NULL : folio);
		if (err)
			return;
	}
}

/* All pages of a VMA that are on the device, mapped. */
static int unswap_vma(struct pf_mm *mm, struct pf_vma *vma, unsigned dev)
{
	const uint32_t orders = pf_thp_orders(mm->sys, vma->area.flags);
	pf_va_t va = vma->area.start;
	pf_pte_t pte;

	while (va < vma->area.end && mm->sys->fmt->next_softleaf(&mm->space, &va,
					     pf_mm_pages(mm, va, vma->area.end), &pte)) {
		enum pf_fault_result result;

		if (pf_pte_kind(pte) != PF_PTE_SWAP || pf_pte_swap_dev(pte) != dev) {
			va += pf_mm_page(mm);
			continue;
		}
		/* Until it is no swap entry any more: another may have it locked. */
		result = swap_fault(mm, vma, va, 0, orders, true);
		if (result != PF_FAULT_DONE)
			return result == PF_FAULT_OOM ? -PF_ENOMEM : -PF_EIO;
	}
	return 0;
}

static int unswap_mm(struct pf_mm *mm, unsigned dev)
{
	struct pf_vma *vma;
	int err = 0;

	pf_mmap_read_lock(mm);
	for (vma = pf_find_vma(mm, 0); vma && !err; vma = pf_vma_tree_next(mm->vmas, vma))
		err = unswap_vma(mm, vma, dev);
	pf_mmap_read_unlock(mm);
	return err;
}

/* ---- devices ---- */

void pf_swap_mm_add(struct pf_mm *mm)
{
	struct pf_system *sys = mm->sys;

	pf_port_rw_write_lock(&sys->mms_lock, PF_LOCK_SYSTEM);
	mm->mms_next = sys->mms;
	mm->mms_prev = NULL;
	if (sys->mms)
		sys->mms->mms_prev = mm;
	sys->mms = mm;
	pf_port_rw_write_unlock(&sys->mms_lock, PF_LOCK_SYSTEM);
}

void pf_swap_mm_del(struct pf_mm *mm)
{
	struct pf_system *sys = mm->sys;

	pf_port_rw_write_lock(&sys->mms_lock, PF_LOCK_SYSTEM);
	if (mm->mms_next)
		mm->mms_next->mms_prev = mm->mms_prev;
	if (mm->mms_prev)
		mm->mms_prev->mms_next = mm->mms_next;
	else
		sys->mms = mm->mms_next;
	pf_port_rw_write_unlock(&sys->mms_lock, PF_LOCK_SYSTEM);
}

int pf_swapon(struct pf_system *sys, const struct pf_swap_ops *ops, void *ctx, uint64_t slots)
{
	struct pf_swap *dev;
	unsigned id = 0;
	int err;

	if (!slots || (slots - 1) >> sys->fmt->pt->swap_offset_bits)
		return -PF_EINVAL;
	dev = pf_port_meta_alloc(sizeof(*dev));
	if (!dev)
		return -PF_ENOMEM;
	pf_port_rw_write_lock(&sys->mms_lock, PF_LOCK_SYSTEM);
	while (id < PF_SWAP_DEVICES && sys->swaps.dev[id])
		id++;
	err = id < PF_SWAP_DEVICES ? pf_swap_init(dev, sys->phys, ops, ctx, slots, id) : -PF_EPERM;
	if (!err) {
		pf_store_release(&sys->swaps.dev[id], dev);
		pf_add_relaxed(&sys->swap_pages, slots);
	}
	pf_port_rw_write_unlock(&sys->mms_lock, PF_LOCK_SYSTEM);
	if (err)
		pf_port_meta_free(dev, sizeof(*dev));
	return err ? err : (int)id;
}

/*
 * No slot is given out any more. When all mms and mappings have been looked at, a fork that began before may have copied entries
 * to where we had looked, and who works on a slot has a count of it: then once more.
 */
static int unswap(struct pf_system *sys, struct pf_swap *dev)
{
	int err = 0;

	while (!err && pf_swap_free(dev) != dev->slots) {
		for (struct pf_mm *mm = sys->mms; mm && !err; mm = mm->mms_next)
			err = unswap_mm(mm, dev->id);
		if (!err)
			err = pf_shmem_unswap(sys, dev->id);
		if (!err && pf_swap_free(dev) != dev->slots)
			pf_port_relax();
	}
	return err;
}

int pf_swapoff(struct pf_system *sys, unsigned id)
{
	struct pf_swap *dev;
	int err = -PF_EINVAL;

	pf_port_rw_write_lock(&sys->mms_lock, PF_LOCK_SYSTEM);
	dev = id < PF_SWAP_DEVICES ? sys->swaps.dev[id] : NULL;
	/* As Linux asks: would what is promised be too much without it? */
	if (dev && !pf_commit(sys, PF_VM_ACCOUNT, dev->slots)) {
		err = -PF_ENOMEM;
	} else if (dev) {
		pf_uncommit(sys, PF_VM_ACCOUNT, dev->slots);
		pf_swap_set_off(dev, true);
		err = unswap(sys, dev);
		if (err) {
			pf_swap_set_off(dev, false);
		} else {
			sys->swaps.dev[id] = NULL;
			pf_add_relaxed(&sys->swap_pages, -(uint64_t)dev->slots);
		}
	}
	pf_port_rw_write_unlock(&sys->mms_lock, PF_LOCK_SYSTEM);
	if (err)
		return err;
	pf_swap_destroy(dev);
	pf_port_meta_free(dev, sizeof(*dev));
	return 0;
}
