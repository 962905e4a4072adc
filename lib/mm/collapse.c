/* SPDX-License-Identifier: MIT */
/*
 * Collapse of anonymous memory (of shared memory: collapse_file.c): what a leaf table maps, in however small folios, is
 * copied to one folio of the size of a PMD and mapped by that. The folio is mapped page by page, in folded blocks; where
 * a process's memory is mapped by a leaf of its PMD, only pf_format's collapse_install would be another.
 *
 * While pages are copied their entries are migration entries, so nobody writes them and whoever wants one waits; the mmap
 * lock for writing keeps all who install, zap, move or fork out, and the reverse map's walkers meet nothing they act on. Who
 * was there before the pages were taken (reclaim, migration, memory failure need no mmap lock) has left entries that
 * collapse_install does not expect: then, too, all is put back.
 * A page of which somebody else keeps a reference might be read or written through that: then all is put back.
 */
#include "mm/collapse.h"

#include "mm/internal.h"

/* Of a folio, pages at consecutive addresses that became migration entries. */
struct piece {
	struct pf_folio *folio;
	struct pf_rmap_place place;
	bool owner; /* the first of its folio: has the reference and the lock */
};

struct collapse {
	struct pf_mm *mm;
	struct pf_vma *vma;
	pf_va_t va;
	bool khugepaged;
	bool stop; /* nothing after this table either */
	struct pf_folio *folio;
	struct piece *pieces;
	unsigned nr;
};

static unsigned table_pages(const struct pf_mm *mm)
{
	return 1u << mm->sys->fmt->pt->level_bits;
}

static unsigned table_order(const struct pf_mm *mm)
{
	return mm->sys->fmt->pt->level_bits;
}

/* ---- where to ---- */

/* Linux's hpage_collapse_find_target_node: no policy is asked, for where the pages are one has been. */
struct pf_where pf_collapse_where(const struct pf_phys *phys, const uint16_t *on_node)
{
	struct pf_where where = pf_only(0);

	for (unsigned n = 1; n < phys->nr_nodes && !PF_MUTANT("collapse-any-node"); n++) {
		if (on_node[n] > on_node[where.node])
			where = pf_only(n);
		else if (on_node[n] == on_node[where.node])
			where.only |= (uint8_t)PF_BIT(n);
	}
	return where;
}

/* ---- which VMA, and what there may be in the table ---- */

/* Has it all that one leaf table maps, and of a file what one folio of that size holds? */
static bool has_whole(const struct pf_mm *mm, const struct pf_vma *vma)
{
	const uint64_t pmd = pf_mm_pmd_size(mm);
	const pf_va_t first = pf_align_up(vma->area.start, pmd);
	const uint64_t apart = (vma->area.start >> pf_mm_shift(mm)) - vma->area.pgoff;

	return (!vma->mapping || !(apart & (table_pages(mm) - 1))) && first >= vma->area.start &&
	       first < vma->area.end && vma->area.end - first >= pmd;
}

/* Linux's thp_vma_allowable_order: the advice asks for no setting. */
static bool allowed(const struct pf_mm *mm, const struct pf_vma *vma, bool khugepaged)
{
	uint32_t orders;

	if (vma->area.flags & (PF_VM_PFNMAP | PF_VM_DONTEXPAND | PF_VM_NOHUGEPAGE))
		return false;
	/* Of files Linux collapses none, unless it is built for that and they are only read (CONFIG_READ_ONLY_THP_FOR_FS). */
	if (!has_whole(mm, vma) ||
		(vma->mapping ? !!vma->mapping->ops : !pf_load_relaxed(&vma->area.anon)))
		return false;
	if (!khugepaged)
		return true;
	orders = vma->mapping ? pf_shmem_orders(mm->sys, vma->area.flags)
			      : pf_thp_orders(mm->sys, vma->area.flags);
	return orders >> table_order(mm) & 1;
}

/* The VMA that has the whole of the table's range, if it may be collapsed. */
static struct pf_vma *find(const struct collapse *c)
{
	struct pf_vma *vma = pf_vma_lookup(c->mm, c->va);

	if (!vma || vma->area.end - c->va < pf_mm_pmd_size(c->mm) ||
		!allowed(c->mm, vma, c->khugepaged))
		return NULL;
	return vma;
}

/* 0, or why not. */
static int look(struct collapse *c, struct pf_collapse_view *scan)
{
	const struct pf_thp *thp = &c->mm->sys->thp;

	c->vma = find(c);
	if (!c->vma)
		return -PF_EINVAL;
	if (!c->mm->sys->fmt->collapse_scan(&c->mm->space, c->va, scan)) {
		/* At an empty entry of the PMD Linux ends; where there is no such entry either it goes on. */
		c->stop = !scan->no_entry && !PF_MUTANT("collapse-past-hole");
		return -PF_EINVAL;
	}
	if (scan->refused) {
		c->stop = true;
		return -PF_EINVAL;
	}
	/* Linux goes on behind those. */
	if (scan->uffd_wp)
		return -PF_EINVAL;
	if (scan->busy)
		return -PF_EAGAIN;
	/* What is not there is userfaultfd's to bring. */
	if (scan->none && (c->vma->area.flags & (PF_VM_UFFD_MISSING | PF_VM_UFFD_WP))) {
		c->stop = true;
		return -PF_EBUSY;
	}
	if (!c->khugepaged)
		return 0;
	if (scan->none > thp->max_ptes_none || scan->swap > thp->max_ptes_swap ||
		scan->shared > thp->max_ptes_shared || scan->lazyfree)
		return -PF_EBUSY;
	/* Nobody uses it, or hardly, and much of it would have to be read. */
	if (!scan->young || (scan->swap && scan->young < table_pages(c->mm) / 2))
		return -PF_EAGAIN;
	return 0;
}

/* Pages of the table that may be mapped: of shared memory none beyond its end. */
static unsigned pages_there(const struct collapse *c)
{
	const struct pf_mapping *mapping = c->vma->mapping;

	if (!mapping)
		return table_pages(c->mm);
	return (unsigned)pf_min(
		table_pages(c->mm), pf_mapping_end(mapping) - pf_vma_index(c->vma, c->va));
}

/* Is it one folio already, at its address? */
static bool is_whole(const struct collapse *c)
{
	struct pf_folio *folio;
	pf_pfn_t pfn;
	uint64_t nr =
		c->mm->sys->fmt->folio_run(&c->mm->space, c->va, table_pages(c->mm), &folio, &pfn);
	bool whole;

	if (!folio)
		return false;
	whole = nr >= pages_there(c) && pf_folio_order(folio) >= table_order(c->mm);
	pf_folio_put(c->mm->sys->phys, folio, 1);
	return whole;
}

/*
 * Bring in what is in swap, and take back what devices have. An entry that is such a one afterwards has somebody else at it.
 */
static int swap_in(struct collapse *c)
{
	const pf_va_t end = c->va + pf_mm_pmd_size(c->mm);
	pf_va_t va = c->va;
	pf_pte_t pte;

	for (; va < end && c->mm->sys->fmt->next_softleaf(
				   &c->mm->space, &va, pf_mm_pages(c->mm, va, end), &pte);
		va += pf_mm_page(c->mm)) {
		if (pf_pte_kind(pte) == PF_PTE_DEVICE_EXCLUSIVE) {
			if (!c->mm->sys->fmt->end_exclusive(&c->mm->space, &c->vma->area, va))
				return -PF_EAGAIN;
			continue;
		}
		switch (pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE
				? pf_device_fault(c->vma, va)
				: pf_swap_fault(c->mm, c->vma, va, 0,
					  pf_thp_orders(c->mm->sys, c->vma->area.flags))) {
		case PF_FAULT_DONE:
			break;
		case PF_FAULT_OOM:
			return -PF_ENOMEM;
		default:
			c->stop = true;
			return -PF_EINVAL;
		}
	}
	return 0;
}

/* ---- taking the pages away ---- */

static bool have(const struct collapse *c, const struct pf_folio *folio)
{
	if (!pf_folio_order(folio))
		return false;
	for (unsigned i = 0; i < c->nr; i++)
		if (c->pieces[i].folio == folio)
			return true;
	return false;
}

/* Takes over the reference. 0: its entries are migration entries, and nobody else has a reference. */
static int take(struct collapse *c, struct pf_folio *folio, const struct pf_rmap_place *place)
{
	struct piece *p = &c->pieces[c->nr];

	*p = (struct piece){.folio = folio, .place = *place, .owner = !have(c, folio)};
	if (!p->owner) {
		pf_folio_put(c->mm->sys->phys, folio, 1);
	} else if (!pf_folio_trylock(folio)) {
		pf_folio_put(c->mm->sys->phys, folio, 1);
		return -PF_EAGAIN;
	}
	c->nr++;
	if (!c->mm->sys->fmt->try_to_migrate_one(&c->mm->space, place))
		return -PF_EAGAIN;
	/*
	 * With the entries gone and flushed: who has had a page by them has a reference now. The swap cache's is
	 * no user's. The barrier is between the two: who has come by an entry without a lock, and not seen it go, is seen.
	 */
	pf_mb();
	if (pf_folio_extra_ref(folio) !=
			1u + (pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE) ? 1 : 0) &&
		!PF_MUTANT("collapse-ignores-refs"))
		return -PF_EAGAIN;
	return 0;
}

static int take_all(struct collapse *c)
{
	const pf_va_t end = c->va + pf_mm_pmd_size(c->mm);
	struct pf_rmap_place place = {.va = c->va};
	int err = 0;

	for (; !err && place.va < end; place.va += place.nr << pf_mm_shift(c->mm)) {
		struct pf_folio *folio;

		place.nr = c->mm->sys->fmt->folio_run(&c->mm->space, place.va,
			pf_mm_pages(c->mm, place.va, end), &folio, &place.pfn);
		if (folio)
			err = take(c, folio, &place);
	}
	return err;
}

/* back: the pages stay where they were. */
static void let_go(struct collapse *c, bool back)
{
	struct pf_phys *phys = c->mm->sys->phys;

	for (unsigned i = 0; i < c->nr && back; i++)
		c->mm->sys->fmt->remove_migration_one(
			&c->mm->space, &c->vma->area, &c->pieces[i].place, c->pieces[i].place.pfn);
	for (unsigned i = 0; i < c->nr; i++) {
		struct pf_folio *folio = c->pieces[i].folio;

		if (!c->pieces[i].owner)
			continue;
		/* Of a folio that reaches beyond the table the rest is mapped still. */
		if (!back)
			pf_folio_note_partly_mapped(phys, folio, 0);
		pf_folio_unlock(folio);
		pf_folio_put(phys, folio, 1);
	}
	c->nr = 0;
}

/* ---- one table ---- */

static void copy(struct collapse *c)
{
	const unsigned shift = pf_mm_shift(c->mm);
	const pf_pa_t to = pf_folio_pfn(c->mm->sys->phys, c->folio) << shift;
	uint64_t done = 0;

	for (unsigned i = 0; i < c->nr; i++) {
		const struct piece *p = &c->pieces[i];
		uint64_t at = p->place.va - c->va;

		if (at > done)
			pf_port_clear_pages(to + done, at - done);
		pf_port_copy_pages(to + at, p->place.pfn << shift, p->place.nr << shift);
		if (pf_folio_test_flags(p->folio, PF_FOLIO_DIRTY))
			pf_folio_set_flags(c->folio, PF_FOLIO_DIRTY);
		done = at + (p->place.nr << shift);
	}
	if (done < pf_mm_pmd_size(c->mm))
		pf_port_clear_pages(to + done, pf_mm_pmd_size(c->mm) - done);
}

/* mmap lock for writing. The new folio is used up, or was not needed. */
static int replace(struct collapse *c)
{
	struct pf_mmu_notifier_range range = {0};
	struct pf_vma *vma = pf_vma_lookup(c->mm, c->va);
	struct pf_collapse_view scan;
	unsigned taken = 0;
	int err;

	/* What is empty now is so until the folio is there. */
	if (vma)
		pf_vma_start_write(vma);
	err = look(c, &scan);
	if (!err && scan.swap)
		err = -PF_EAGAIN;
	if (err)
		return err;
	if (!PF_MUTANT("notify-collapse-forgets"))
		pf_notify_start(&range, &c->mm->space, PF_MMU_NOTIFY_CLEAR, c->va,
			c->va + pf_mm_pmd_size(c->mm));
	err = take_all(c);
	for (unsigned i = 0; i < c->nr; i++)
		taken += (unsigned)c->pieces[i].place.nr;
	if (!err) {
		copy(c);
		if (!c->mm->sys->fmt->collapse_install(
			    &c->mm->space, &c->vma->area, c->va, c->folio, taken))
			err = -PF_EAGAIN;
	}
	if (err)
		let_go(c, true);
	pf_notify_end(&range);
	if (err)
		return err;
	c->folio = NULL;
	let_go(c, false);
	pf_add_relaxed(&c->mm->sys->collapses, 1);
	return 0;
}

/* Shared memory: mmap lock. MADV_COLLAPSE maps it, too. */
static int collapse_shared(struct collapse *c)
{
	const uint32_t flags = c->vma->area.flags;
	int err = pf_shmem_collapse(c->vma, c->va, c->khugepaged, &c->stop);

	if (err || c->khugepaged)
		return err;
	/* The folio stays what it is; mapped by a leaf of its PMD, which Linux is about, it could not be. */
	if (flags & PF_VM_UFFD_WP)
		return -PF_EINVAL;
	if (c->vma->uffd || !(flags & PF_VM_ACCESS))
		return 0;
	switch (pf_filemap_fault(c->vma, c->va, 0)) {
	case PF_FAULT_DONE:
		break;
	case PF_FAULT_OOM:
		return -PF_ENOMEM;
	default:
		return -PF_EINVAL;
	}
	/* Guards are in the way, and private copies. */
	return is_whole(c) ? 0 : -PF_EINVAL;
}

static int collapse_table(struct collapse *c)
{
	const size_t bytes = table_pages(c->mm) * sizeof(*c->pieces);
	struct pf_collapse_view scan;
	int err;

	pf_mmap_read_lock(c->mm);
	c->vma = find(c);
	if (c->vma && c->vma->mapping) {
		err = collapse_shared(c);
		pf_mmap_read_unlock(c->mm);
		return err;
	}
	err = look(c, &scan);
	if (!err && is_whole(c)) {
		pf_mmap_read_unlock(c->mm);
		return 0;
	}
	if (!err)
		err = swap_in(c);
	pf_mmap_read_unlock(c->mm);
	if (err)
		return err;
	/* What is needed, before anything changes. */
	c->pieces = pf_port_meta_alloc(bytes);
	if (!c->pieces)
		return -PF_ENOMEM;
	c->folio = pf_folio_alloc_where(c->mm->sys->phys, table_order(c->mm), PF_USE_ANON,
		pf_collapse_where(c->mm->sys->phys, scan.on_node));
	err = -PF_ENOMEM;
	if (c->folio) {
		pf_mmap_write_lock(c->mm);
		err = replace(c);
		pf_mmap_write_unlock(c->mm);
	}
	if (c->folio)
		pf_folio_put(c->mm->sys->phys, c->folio, 1);
	pf_port_meta_free(c->pieces, bytes);
	return err;
}

/* ---- ranges ---- */

/*
 * MADV_COLLAPSE of a VMA's part of the range. Linux goes on behind a table that cannot be collapsed now, and ends
 * when memory runs out or what it meets can never be.
 */
static int collapse_part(struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	const uint64_t pmd = pf_mm_pmd_size(mm);
	int result = 0;

	/* Inside one table: Linux counts the tables that there should have been, which are less than none. */
	if (pf_align_down(end, pmd) < pf_align_up(start, pmd))
		return -PF_EINVAL;
	/* Neither end can pass the last table, which is not user space's. */
	for (pf_va_t va = pf_align_up(start, pmd); va < end && end - va >= pmd; va += pmd) {
		struct collapse c = {.mm = mm, .va = va};
		int err = collapse_table(&c);

		result = err ? err : result;
		if (err == -PF_ENOMEM || c.stop)
			break;
	}
	return result;
}

int pf_madvise_collapse(struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	int hole = 0;

	while (start < end) {
		struct pf_vma *vma;
		pf_va_t from, to;
		int err = -PF_EINVAL;

		pf_mmap_read_lock(mm);
		vma = pf_find_vma(mm, start);
		if (!vma || vma->area.start >= end) {
			pf_mmap_read_unlock(mm);
			return -PF_ENOMEM;
		}
		from = pf_max(vma->area.start, start);
		to = pf_min(vma->area.end, end);
		if (allowed(mm, vma, false))
			err = 0;
		pf_mmap_read_unlock(mm);
		if (!err)
			err = collapse_part(mm, from, to);
		if (err)
			return err;
		if (from > start)
			hole = -PF_ENOMEM;
		start = to;
	}
	return hole;
}

int pf_khugepaged(struct pf_mm *mm, pf_va_t addr, uint64_t len)
{
	const uint64_t pmd = pf_mm_pmd_size(mm);
	pf_va_t va;

	if (!pf_mm_aligned(mm, addr) || addr > mm->sys->task_size ||
		len > mm->sys->task_size - addr)
		return -PF_EINVAL;
	for (va = pf_align_up(addr, pmd); va < addr + len && addr + len - va >= pmd; va += pmd) {
		struct collapse c = {.mm = mm, .va = va, .khugepaged = true};

		if (collapse_table(&c) == -PF_ENOMEM)
			return -PF_ENOMEM;
	}
	return 0;
}
