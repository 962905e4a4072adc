/* SPDX-License-Identifier: MIT */
/*
 * Page faults: demand-zero, copy on write, and entries that need nothing but A or D, or nothing at
 * all. Empty slots of areas with a mapping behind them are lib/mm's, which comes back (file.c).
 */
#include "ops/softleaf.h"

struct fault {
	struct pf_space *space;
	const struct pf_area *area;
	pf_va_t va; /* of the page */
	bool write;
	bool unshare; /* no write: the page is to be ours alone */
	uint32_t orders;
};

/* The rights that a fresh entry of a page that is ours alone gets. */
static uint64_t fresh_prot(const struct fault *f, bool writable)
{
	return writable ? f->area->prot : f->area->prot & ~PF_PTE_W;
}

/* ---- demand-zero ---- */

static bool all_none(const struct pf_pte_view *v, unsigned idx, unsigned nr)
{
	pf_pte_t pte;

	for (unsigned i = idx; i < idx + nr; i++)
		if (!pf_ptep_get_lockless(v, i, &pte) || !pf_pte_none(pte))
			return PF_MUTANT("fault-order-unchecked");
	return true;
}

/*
 * The highest order of f->orders whose aligned range around the fault lies in the area and in one
 * table, and is empty; 0 at least. No lock: it is a guess at what is worth allocating, and who maps it looks again.
 */
static unsigned highest_order(const struct fault *f)
{
	uint32_t orders = f->orders;
	struct pf_pte_view v;
	unsigned found = 0;

	if (!(orders >> 1) || !pf_pte_offset_map(&f->space->pt, f->va, &v))
		return 0;
	while (orders >> 1 && !found) {
		unsigned order = pf_log2(orders);
		pf_va_t size = PF_PAGE_SIZE << order;
		pf_va_t start = pf_align_down(f->va, size);

		orders &= ~(1u << order);
		if (order > PF_LEVEL_BITS || start < f->area->start || f->area->end - start < size)
			continue;
		if (all_none(&v, pf_view_idx(&v, start), 1u << order))
			found = order;
	}
	pf_pte_unmap(&v);
	return found;
}

/* Around the page that faulted. */
static struct pf_folio *alloc_anon(const struct fault *f, unsigned order)
{
	return pf_folio_alloc_where(f->space->phys, order, PF_USE_ANON,
		pf_area_where(
			f->space, f->area, pf_align_down(f->va, PF_PAGE_SIZE << order), order));
}

/* A cleared folio: of `order` if there is one, else of the next lower order that is allowed. */
static struct pf_folio *alloc_cleared(const struct fault *f, unsigned order)
{
	for (;;) {
		struct pf_folio *folio = alloc_anon(f, order);
		uint32_t lower = f->orders & ((1u << order) - 1);

		if (folio) {
			pf_port_clear_pages(pf_folio_pfn(f->space->phys, folio) << PF_PAGE_SHIFT,
				PF_PAGE_SIZE << order);
			return folio;
		}
		if (!order)
			return NULL;
		order = lower ? pf_log2(lower) : 0;
	}
}

/* Into slots that are empty, or one that has `old`. */
static void map_new_folio(const struct fault *f, struct pf_pte_map *m, struct pf_folio *folio,
	pf_va_t va, pf_pte_t old)
{
	unsigned order = pf_folio_order(folio), nr = 1u << order;
	pf_pfn_t pfn = pf_folio_pfn(f->space->phys, folio);
	bool writable = f->area->flags & PF_VM_WRITE;
	pf_pte_t pte;

	pte = pf_pte_mk(pfn, fresh_prot(f, writable) | PF_PTE_A);
	if (writable)
		pte = pf_pte_set(pte, PF_PTE_D | pf_sd());
	pte = pf_pte_take_marker(f->area, pte, old);
	if (!pf_pte_none(old))
		pf_clear_not_present_ptes(m, pf_pte_idx(m, va), 1);
	pf_set_anon_mapping(f->area, folio, va);
	/* Counted before it can be seen; exclusive, because nobody else has it. */
	pf_folio_add_new_anon_rmap(folio, pfn, nr, f->space->mm_id, true);
	pf_rss_add(f->space, PF_RSS_ANON, nr);
	pf_count(&pf_space_counters(f->space)->fault_order[order], 1);
	pf_forget_zapped(f->space, va, nr);
	pf_set_ptes(m, pf_pte_idx(m, va), pte, nr, pf_folio_extent(f->space->phys, folio));
}

/* One page of zeros serves all readers until someone writes. */
static enum pf_fault_result fault_zeros(const struct fault *f)
{
	pf_pte_t pte =
		pf_pte_mk(f->space->zero_pfn, fresh_prot(f, false) | PF_PTE_SPECIAL | PF_PTE_A);
	struct pf_pte_map m;
	pf_pte_t old;

	if (!pf_pte_offset_map_lock(&f->space->pt, f->va, &m))
		return PF_FAULT_DONE;
	old = pf_ptep_get(&m, pf_pte_idx(&m, f->va));
	/* The recheck: */
	if (pf_pte_vacant(old)) {
		pte = pf_pte_take_marker(f->area, pte, old);
		pf_forget_zapped(f->space, f->va, 1);
		pf_set_pte_at(&m, pf_pte_idx(&m, f->va), pte, PF_NO_EXTENT);
	}
	pf_pte_unmap_unlock(&m);
	return PF_FAULT_DONE;
}

/*
 * The slot was vacant when it was looked at without the lock. With the lock it is looked at again, and others that a
 * large folio would fill, too: whoever filled one meanwhile has won, and the access finds out by being tried again.
 */
static enum pf_fault_result fault_anon(const struct fault *f)
{
	struct pf_pte_map m;
	struct pf_folio *folio;
	unsigned order;
	pf_va_t va;
	pf_pte_t pte;
	bool empty;

	if (f->area->flags & PF_VM_UFFD_MISSING)
		return PF_FAULT_UFFD_MISSING;
	if (!f->write)
		return fault_zeros(f);
	order = highest_order(f);
	folio = alloc_cleared(f, order);
	if (!folio)
		return PF_FAULT_OOM;
	order = pf_folio_order(folio);
	va = pf_align_down(f->va, PF_PAGE_SIZE << order);
	empty = pf_pte_offset_map_lock(&f->space->pt, va, &m);
	if (empty) {
		/* The recheck: */
		empty = pf_pte_batch(&m, pf_pte_idx(&m, va), 1u << order, 0, &pte) >= 1u << order &&
			(order ? pf_pte_none(pte) : pf_pte_vacant(pte));
		if (empty)
			map_new_folio(f, &m, folio, va, pte);
		pf_pte_unmap_unlock(&m);
	}
	if (!empty)
		pf_folio_put(f->space->phys, folio, 1);
	return PF_FAULT_DONE;
}

/* ---- copy on write ---- */

static bool same_but_ad(pf_pte_t a, pf_pte_t b)
{
	return !((a.v ^ b.v) & ~(PF_PTE_A | PF_PTE_D));
}

/*
 * The page is ours alone, or shared with all: write it where it is. Unfolds, for W changes in one slot; where
 * the others have it already, folds.
 */
static void reuse(
	const struct fault *f, struct pf_pte_map *m, pf_pte_t pte, struct pf_extent extent)
{
	/* No right changes with it: nothing to flush. */
	if (pte.v & PF_PTE_UFFD_WP)
		pf_modify_ptes(m, pf_pte_idx(m, f->va), 1, pte.v & PF_PTE_PROT_BITS, 0,
			PF_PTE_UFFD_WP, PF_NO_EXTENT);
	pte = pf_pte_clear(pte, PF_PTE_UFFD_WP);
	/* Who may force a write into what is read-only does it through a pin. */
	if (f->area->flags & PF_VM_WRITE)
		pte = pf_pte_set(pte, PF_PTE_W);
	pte = pf_pte_set(pte, PF_PTE_A | PF_PTE_D | pf_sd());
	pf_ptep_set_access_flags(m, pf_pte_idx(m, f->va), pte, true, extent);
}

/* What the entry of a copy says besides its frame. Made for a reader, it is as the old one was, but that nobody wrote this page. */
static pf_pte_t copied_pte(const struct fault *f, pf_pfn_t pfn, pf_pte_t old)
{
	if (f->unshare)
		return pf_pte_mk(pfn, (fresh_prot(f, false) | PF_PTE_A) |
					      (old.v & (PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP)));
	return pf_pte_mk(pfn, fresh_prot(f, true) | PF_PTE_A | PF_PTE_D | pf_sd());
}

static void drop_old(struct pf_space *space, pf_pfn_t pfn)
{
	struct pf_folio *folio = pf_page_folio(space->phys, pfn);

	pf_folio_note_partly_mapped(space->phys, folio, 1);
	pf_folio_drop_rmap_ptes(space->phys, folio, pfn, 1, space->mm_id);
}

/*
 * Put a copy in place of `old`. The old entry is emptied and flushed before the new one is written
 * (G5: a live entry never changes its frame), so that no CPU reads the old page after another wrote
 * the new. The old page's mapping is dropped last: before the flush another process could reuse the
 * page for its own writes while our threads still read it through their TLBs.
 */
static void replace(
	const struct fault *f, struct pf_pte_map *m, pf_pte_t old, struct pf_folio *copy)
{
	struct pf_space *space = f->space;
	unsigned idx = pf_pte_idx(m, f->va);
	pf_pfn_t pfn = pf_folio_pfn(space->phys, copy);
	pf_pte_t pte;

	if (PF_MUTANT("cow-drop-first") && !pf_pte_special(old))
		pf_folio_drop_rmap_ptes(space->phys, pf_page_folio(space->phys, pf_pte_pfn(old)),
			pf_pte_pfn(old), 1, space->mm_id);
	if (PF_MUTANT("replace-no-flush"))
		pf_ptep_get_and_clear(m, idx);
	else
		pf_ptep_clear_flush(m, idx);
	pf_set_anon_mapping(f->area, copy, f->va);
	pf_folio_add_new_anon_rmap(copy, pfn, 1, space->mm_id, true);
	pte = copied_pte(f, pfn, old);
	pf_set_pte_at(m, idx, pte, pf_folio_extent(space->phys, copy));
	pf_rss_add(space, PF_RSS_ANON, 1);
	if (!pf_pte_special(old)) {
		struct pf_folio *was = pf_page_folio(space->phys, pf_pte_pfn(old));

		pf_rss_add_of(space, f->area, pf_folio_is_file(was), -1);
		if (!PF_MUTANT("cow-drop-first"))
			drop_old(space, pf_pte_pfn(old));
	}
	pf_count(&pf_space_counters(space)->cow, 1);
}

/* False: the entry is not the one that was copied from; A and D do not make it another. The table is locked. */
static bool put_copy(
	const struct fault *f, struct pf_pte_map *m, pf_pte_t old, struct pf_folio *copy)
{
	if (!same_but_ad(pf_ptep_get(m, pf_pte_idx(m, f->va)), old))
		return false;
	replace(f, m, old, copy);
	return true;
}

static enum pf_fault_result copy_page(const struct fault *f, struct pf_pte_map *m, pf_pte_t old)
{
	struct pf_space *space = f->space;
	bool zero = pf_pte_special(old);
	struct pf_folio *src = zero ? NULL : pf_page_folio(space->phys, pf_pte_pfn(old));
	struct pf_mmu_notifier_range range;
	struct pf_folio *copy;

	/* Keeps the page what it is while the lock is dropped. */
	if (src)
		pf_folio_get(src, 1);
	pf_pte_unmap_unlock(m);
	copy = alloc_anon(f, 0);
	if (copy) {
		pf_pa_t pa = pf_folio_pfn(space->phys, copy) << PF_PAGE_SHIFT;

		if (zero)
			pf_port_clear_pages(pa, PF_PAGE_SIZE);
		else
			pf_port_copy_pages(pa, pf_pte_pfn(old) << PF_PAGE_SHIFT, PF_PAGE_SIZE);
		if (!PF_MUTANT("notify-cow-after"))
			pf_notify_start(
				&range, space, PF_MMU_NOTIFY_CLEAR, f->va, f->va + PF_PAGE_SIZE);
		if (pf_pte_offset_map_lock(&space->pt, f->va, m)) {
			if (put_copy(f, m, old, copy))
				copy = NULL;
			pf_pte_unmap_unlock(m);
		}
		if (PF_MUTANT("notify-cow-after"))
			pf_notify_start(
				&range, space, PF_MMU_NOTIFY_CLEAR, f->va, f->va + PF_PAGE_SIZE);
		pf_notify_end(&range);
		if (copy)
			pf_folio_put(space->phys, copy, 1);
	} else {
		if (src)
			pf_folio_put(space->phys, src, 1);
		return PF_FAULT_OOM;
	}
	if (src)
		pf_folio_put(space->phys, src, 1);
	return PF_FAULT_DONE;
}

/* A frame that is no memory: it is shared, and nobody asks who writes it; or only its owner can tell what is in it. */
static enum pf_fault_result write_raw(const struct fault *f, struct pf_pte_map *m, pf_pte_t pte)
{
	const bool shared = f->area->flags & PF_VM_SHARED;

	if (shared)
		reuse(f, m, pte, pf_special_extent(f->area));
	pf_pte_unmap_unlock(m);
	return shared ? PF_FAULT_DONE : PF_FAULT_MISSING;
}

static enum pf_fault_result fault_write_protected(
	const struct fault *f, struct pf_pte_map *m, pf_pte_t pte)
{
	struct pf_phys *phys = f->space->phys;
	struct pf_folio *folio;
	unsigned page;

	pf_pt_set_cause(&f->space->pt, PF_CAUSE_COW);
	/* If nobody waits for it, the write is noted where it is done: the page, or a copy, no longer says uffd-wp. */
	if (!f->unshare && pf_pte_uffd_wp(f->area, pte) && !(f->area->flags & PF_VM_UFFD_ASYNC)) {
		pf_pte_unmap_unlock(m);
		return PF_FAULT_UFFD_WP;
	}
	/*
	 * No CPU writes to what is copied, not even through a flush that is due (coremm B48: uffd-wp is set under the mmap lock
	 * for reading, and flushed after the table lock). A page whose entry could be written is exclusive, and reused; it
	 * stops being exclusive in a fork, which flushes before it gives up the mmap lock for writing, or in KSM, which
	 * flushes before it asks.
	 */
	if (pf_pte_special(pte) && pf_pte_pfn(pte) != f->space->zero_pfn)
		return write_raw(f, m, pte);
	if (pf_pte_special(pte))
		return copy_page(f, m, pte);
	folio = pf_page_folio(phys, pf_pte_pfn(pte));
	if (f->area->flags & PF_VM_SHARED) {
		/*
		 * Dirty before a store can be done: who cleans the folio clears that first, and comes to
		 * this table afterwards.
		 */
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
		reuse(f, m, pte, pf_folio_extent(phys, folio));
		pf_pte_unmap_unlock(m);
		return PF_FAULT_DONE;
	}
	if (pf_folio_is_file(folio))
		return copy_page(f, m, pte);
	page = pf_folio_idx(folio, pf_pte_pfn(pte));
	if (!pf_folio_ae_test(folio, page)) {
		if (!pf_folio_reuse_anon(folio, f->space->mm_id) && !PF_MUTANT("cow-reuse-shared"))
			return copy_page(f, m, pte);
		pf_folio_ae_set_range(folio, page, 1);
	}
	if (!f->unshare)
		reuse(f, m, pte, pf_folio_extent(phys, folio));
	pf_pte_unmap_unlock(m);
	return PF_FAULT_DONE;
}

/* ---- present, and allowed ---- */

static enum pf_fault_result fault_access(const struct fault *f, struct pf_pte_map *m, pf_pte_t pte)
{
	/* An entry with W is soft-dirty, or its whole area is (G12). */
	pf_pte_t want = pf_pte_set(pte, PF_PTE_A | (f->write ? PF_PTE_D : 0));

	pf_pt_set_cause(&f->space->pt, PF_CAUSE_ACCESS);
	/* A and D do not keep a block from folding, so no extent is asked for. */
	if (!pf_ptep_set_access_flags(m, pf_pte_idx(m, f->va), want, f->write, PF_NO_EXTENT)) {
		/*
		 * Nothing to do: this CPU faulted on a translation that another has since relaxed.
		 * Forget it here; every other CPU will come by the same way.
		 */
		struct pf_tlb_req req = {.va = f->va,
			.nr = 1,
			.hint = true,
			.local = true,
			.asid = f->space->pt.asid};

		pf_count(&pf_space_counters(f->space)->spurious_fault, 1);
		if (f->write) {
			pf_pt_format_this.tlb_issue(&f->space->pt, &req);
			pf_pt_format_this.tlb_wait(&f->space->pt, &req);
		}
	}
	pf_pte_unmap_unlock(m);
	return PF_FAULT_DONE;
}

/* A device has the page to itself: no more. The access is run again, and waits so for who has the folio's lock. */
static enum pf_fault_result fault_exclusive(const struct fault *f)
{
	if (!pf_end_exclusive(f->space, f->area, f->va))
		pf_port_relax();
	return PF_FAULT_DONE;
}

/* Is it a hint of a page that should be on this CPU's node, and is not? */
static bool is_far(const struct fault *f, pf_pte_t pte)
{
	const struct pf_phys *phys = f->space->phys;
	unsigned node;

	if (phys->nr_nodes == 1 || pf_pte_special(pte))
		return false;
	node = pf_phys_node(phys, pf_pte_pfn(pte));
	return pf_area_hint_node(f->space, f->area, node) != node;
}

/*
 * What the entry says, without its lock if it can be had so. Nothing is done by it but to choose a way; what changes entries looks
 * again with the lock, and finds another entry to be none of its business. What is none may be on its way from one entry to another (a
 * block is folded, a page moves): of that no userfaultfd is told, and no mapping is asked for a page, which may be lost, or
 * unreadable, while the process has its own. Anonymous memory has nobody to ask.
 */
static bool look(const struct fault *f, pf_pte_t *pte)
{
	struct pf_pte_view v;
	struct pf_pte_map m;
	bool known = false;

	if (pf_pte_alloc(&f->space->pt, f->va))
		return false;
	if (!(f->area->flags & PF_VM_UFFD) && pf_pte_offset_map(&f->space->pt, f->va, &v)) {
		known = pf_ptep_get_lockless(&v, pf_view_idx(&v, f->va), pte);
		pf_pte_unmap(&v);
	}
	if (known && (f->area->backing == PF_BACKED_ANON || !pf_pte_vacant(*pte) ||
			     PF_MUTANT("fault-asks-early")))
		return true;
	if (pf_pte_alloc_map_lock(&f->space->pt, f->va, &m))
		return false;
	*pte = pf_ptep_get(&m, pf_pte_idx(&m, f->va));
	pf_pte_unmap_unlock(&m);
	return true;
}

enum pf_fault_result pf_fault(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	unsigned flags, uint32_t orders)
{
	struct fault f = {
		.space = space,
		.area = area,
		.va = pf_align_down(va, PF_PAGE_SIZE),
		.write = flags & PF_FAULT_FLAG_WRITE,
		.unshare = flags & PF_FAULT_FLAG_UNSHARE,
		.orders = orders | 1,
	};
	struct pf_pte_map m;
	pf_pte_t pte;

	pf_count(&pf_space_counters(space)->fault, 1);
	if (!look(&f, &pte))
		return PF_FAULT_OOM;
	if (pf_pte_vacant(pte))
		return area->backing == PF_BACKED_ANON ? fault_anon(&f) : PF_FAULT_MISSING;
	if (pf_pte_kind(pte) == PF_PTE_DEVICE_EXCLUSIVE)
		return fault_exclusive(&f);
	if (!pf_pte_present(pte))
		return pf_softleaf_fault(pte);
	/* What is changed in place is decided on with the lock. */
	if (!pf_pte_offset_map_lock(&space->pt, f.va, &m))
		return PF_FAULT_DONE;
	pte = pf_ptep_get(&m, pf_pte_idx(&m, f.va));
	if (!pf_pte_present(pte)) {
		pf_pte_unmap_unlock(&m);
		return PF_FAULT_DONE;
	}
	/* PROT_NONE where the area allows access: a NUMA hint. */
	if (pf_pte_protnone(pte) && (area->flags & PF_VM_ACCESS)) {
		if (!(flags & PF_FAULT_FLAG_STAY) && is_far(&f, pte)) {
			pf_pte_unmap_unlock(&m);
			return PF_FAULT_HINT;
		}
		pf_fault_hint(space, area, f.va, &m, pte);
		pf_pte_unmap_unlock(&m);
		return PF_FAULT_DONE;
	}
	if ((f.write && !pf_pte_write(pte)) || (f.unshare && !pf_pte_special(pte)))
		return fault_write_protected(&f, &m, pte);
	return fault_access(&f, &m, pte);
}

/* ---- the first write to a private page of a mapping ---- */

enum pf_fault_result pf_cow_file(
	struct pf_space *space, const struct pf_area *area, pf_va_t va, pf_pfn_t pfn)
{
	const struct fault f = {
		.space = space, .area = area, .va = pf_align_down(va, PF_PAGE_SIZE), .write = true};
	struct pf_folio *copy = alloc_anon(&f, 0);
	struct pf_pte_map m;

	if (!copy)
		return PF_FAULT_OOM;
	pf_port_copy_pages(pf_folio_pfn(space->phys, copy) << PF_PAGE_SHIFT, pfn << PF_PAGE_SHIFT,
		PF_PAGE_SIZE);
	pf_pt_set_cause(&space->pt, PF_CAUSE_COW);
	if (pf_pte_offset_map_lock(&space->pt, f.va, &m)) {
		const pf_pte_t pte = pf_ptep_get(&m, pf_pte_idx(&m, f.va));

		if (pf_pte_vacant(pte)) {
			map_new_folio(&f, &m, copy, f.va, pte);
			pf_count(&pf_space_counters(space)->cow, 1);
			copy = NULL;
		}
		pf_pte_unmap_unlock(&m);
	}
	if (copy)
		pf_folio_put(space->phys, copy, 1);
	return PF_FAULT_DONE;
}

/* ---- copies that others have made ---- */

bool pf_put_copy(struct pf_space *space, const struct pf_area *area, pf_va_t va, pf_pte_t old,
	struct pf_folio *copy, bool write)
{
	const struct fault f = {
		.space = space, .area = area, .va = va, .write = write, .unshare = !write};
	struct pf_mmu_notifier_range range;
	struct pf_pte_map m;
	bool put = false;

	pf_notify_start(&range, space, PF_MMU_NOTIFY_CLEAR, va,
		PF_MUTANT("notify-put-copy-forgets") ? va : va + PF_PAGE_SIZE);
	if (pf_pte_offset_map_lock(&space->pt, va, &m)) {
		pf_pt_set_cause(&space->pt, PF_CAUSE_COW);
		put = put_copy(&f, &m, old, copy);
		pf_pte_unmap_unlock(&m);
	}
	pf_notify_end(&range);
	return put;
}
