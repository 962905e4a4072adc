/* SPDX-License-Identifier: MIT */
/*
 * fork's copy of a range, run by run.
 */
#include "ops/softleaf.h"

/* copy_table: the next page has to be copied, and there is no folio to copy it to. */
#define NEED_COPY 1

/*
 * Of nr pages from pfn on, how many may be shared: those before the first that a pin may keep (coremm 4.3). Whoever pins with
 * the table lock has marked the space before that: his pin is seen, or comes later and finds what is shared. Whoever
 * pins without it is seen, or undoes it: the caller's pf_write_protect_begin().
 */
static unsigned may_share(const struct pf_copy *c, pf_pfn_t pfn, unsigned nr)
{
	unsigned n = 0;

	if (!pf_load_relaxed(&c->src->has_pinned) || PF_MUTANT("fork-shares-pinned"))
		return nr;
	while (n < nr) {
		struct pf_folio *folio = pf_page_folio(c->src->phys, pfn + n);
		unsigned idx = pf_folio_idx(folio, pfn + n);
		unsigned max = (unsigned)pf_min(nr - n, pf_folio_nr(folio) - idx);
		bool exclusive;
		unsigned run = pf_folio_ae_run(folio, idx, max, &exclusive);

		if (exclusive && pf_folio_maybe_pinned(folio))
			break;
		n += run;
	}
	return n;
}

/* The child gets a page of its own with the same contents, exclusive and writable if its area is. */
static void copy_pinned(struct pf_copy *c, unsigned didx, pf_pte_t pte)
{
	struct pf_phys *phys = c->dst->phys;
	pf_pfn_t pfn = pf_folio_pfn(phys, c->copy);
	uint64_t sd = PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY;
	pf_pte_t copy = pf_pte_mk(pfn, c->dst_area->prot | PF_PTE_D | sd);

	if (pf_pte_uffd_wp(c->dst_area, pte))
		copy = pf_pte_set(pf_pte_clear(copy, PF_PTE_W), PF_PTE_UFFD_WP);
	pf_port_copy_pages(pfn << PF_PAGE_SHIFT, pf_pte_pfn(pte) << PF_PAGE_SHIFT, PF_PAGE_SIZE);
	pf_set_anon_mapping(c->dst_area, c->copy, pf_pte_va(&c->d, didx));
	pf_folio_add_new_anon_rmap(c->copy, pfn, 1, c->dst->mm_id, true);
	pf_set_pte_at(&c->d, didx, copy, pf_folio_extent(phys, c->copy));
	c->anon++;
	c->copy = NULL;
}

/*
 * Share the pages [pfn, pfn + nr) with dst: one more mapping each, AnonExclusive gone. Returns how
 * many were shared; fewer than nr only with *err set.
 */
static unsigned dup_small(struct pf_copy *c, pf_pfn_t pfn, unsigned nr, int *err)
{
	unsigned n;

	for (n = 0; n < nr; n++) {
		struct pf_folio *folio = pf_page_folio(c->src->phys, pfn + n);

		*err = pf_folio_try_dup_anon_rmap_ptes(folio, pfn + n, 1, c->dst->mm_id, false);
		if (*err)
			break;
	}
	return n;
}

/* Folio by folio only where a block may fold: elsewhere nothing need be known of them. */
static void wrprotect(struct pf_copy *c, unsigned idx, pf_pte_t pte, unsigned nr)
{
	if (pf_pte_special(pte) || !pf_may_fold(&c->s, idx, nr)) {
		pf_wrprotect_ptes(&c->s, idx, nr, PF_NO_EXTENT);
		return;
	}
	while (nr) {
		struct pf_piece p = pf_piece(c->src->phys, pf_pte_pfn(pte), nr);

		pf_wrprotect_ptes(&c->s, idx, p.nr, p.extent);
		pte = pf_pte_advance(pte, p.nr);
		idx += p.nr;
		nr -= p.nr;
	}
}

static int share_present(struct pf_copy *c, unsigned didx, unsigned sidx, pf_pte_t pte, unsigned nr)
{
	bool cow = pf_area_cow(c->dst_area);
	int err = 0;

	/*
	 * First the parent, so that no CPU of it writes on while the child shares: until the
	 * caller's flush one still may, through a writable translation of before; such a store is
	 * the parent's, made before fork returned, and the child may see it or not.
	 */
	if (cow && pf_pte_write(pte)) {
		wrprotect(c, sidx, pte, nr);
		*c->flush = true;
	}
	if (cow)
		pte = pf_pte_clear(pte, PF_PTE_W);
	else
		pte = pf_pte_clear(pte, PF_PTE_D);
	pte = pf_pte_clear(pte, PF_PTE_A);
	if (!(c->dst_area->flags & PF_VM_UFFD_WP))
		pte = pf_pte_clear(pte, PF_PTE_UFFD_WP);

	if (pf_pte_special(pte)) {
		pf_set_ptes(&c->d, didx, pte, nr, pf_special_extent(c->dst_area));
		return 0;
	}
	while (nr && !err) {
		const bool backed = c->src_area->backing != PF_BACKED_ANON;
		pf_pfn_t pfn = pf_pte_pfn(pte);
		struct pf_piece p = backed ? pf_piece_one(c->src->phys, pfn, nr)
					   : pf_piece(c->src->phys, pfn, nr);
		const bool file = backed && pf_folio_is_file(p.folio);
		unsigned n = p.nr;

		if (file) {
			if (!pf_folio_add_file_rmap_ptes(p.folio, n, c->dst->mm_id)) {
				err = -PF_ENOMEM;
				n = 0;
			}
		} else if (p.folio) {
			err = pf_folio_try_dup_anon_rmap_ptes(
				p.folio, pfn, n, c->dst->mm_id, false);
			if (err)
				n = 0;
		} else {
			n = dup_small(c, pfn, n, &err);
		}
		if (n)
			pf_set_ptes(&c->d, didx, pte, n, p.extent);
		*(file ? &c->file : &c->anon) += n;
		pte = pf_pte_advance(pte, n);
		didx += n;
		nr -= n;
	}
	return err;
}

/* 0, NEED_COPY or an error; *done: pages dealt with. */
static int copy_present(
	struct pf_copy *c, unsigned didx, unsigned sidx, pf_pte_t pte, unsigned nr, unsigned *done)
{
	unsigned n = nr;

	*done = 0;
	if (pf_area_cow(c->src_area) && !pf_pte_special(pte))
		n = may_share(c, pf_pte_pfn(pte), nr);
	if (n) {
		*done = n;
		return share_present(c, didx, sidx, pte, n);
	}
	if (!c->copy)
		return NEED_COPY;
	copy_pinned(c, didx, pte);
	*done = 1;
	return 0;
}

/* 0, NEED_COPY or an error; *done: pages dealt with. */
static int copy_table(struct pf_copy *c, pf_va_t va, unsigned max, unsigned *done)
{
	unsigned didx = pf_pte_idx(&c->d, va), sidx = pf_pte_idx(&c->s, va);
	unsigned flags = PF_FPB_RESPECT_SOFT_DIRTY;

	/*
	 * The child's entries are the first's. Of private pages it keeps D, and W is taken from all. Of shared ones it
	 * keeps W, without which the first write to a clean folio is noticed: the next folio's may be another.
	 */
	if (!(c->src_area->flags & PF_VM_SHARED))
		flags |= PF_FPB_MERGE_WRITE |
			 (PF_MUTANT("fork-merge-dirty") ? 0 : PF_FPB_RESPECT_DIRTY);
	else
		flags |= PF_MUTANT("fork-merge-shared-write") ? PF_FPB_MERGE_WRITE
							      : PF_FPB_RESPECT_WRITE;
	for (unsigned i = 0; i < max; *done = i) {
		pf_pte_t pte;
		unsigned n = pf_pte_batch(&c->s, sidx + i, max - i, flags, &pte);
		int err = 0;

		if (pf_pte_present(pte)) {
			err = copy_present(c, didx + i, sidx + i, pte, n, &n);
		} else if (!pf_pte_none(pte)) {
			n = pf_softleaf_copy(c, didx + i, sidx + i, pte, max - i, &err);
		}
		if (err)
			return err;
		i += n;
	}
	return 0;
}

int pf_copy_range(struct pf_space *dst, struct pf_space *src, const struct pf_area *dst_area,
	const struct pf_area *src_area, pf_va_t va, uint64_t nr, bool *flush)
{
	struct pf_copy c = {
		.dst = dst, .src = src, .dst_area = dst_area, .src_area = src_area, .flush = flush};
	int err = 0;

	pf_pt_set_cause(&src->pt, PF_CAUSE_FORK);
	pf_pt_set_cause(&dst->pt, PF_CAUSE_FORK);
	while (nr) {
		uint64_t hole = pf_pte_hole(&src->pt, va, nr);
		unsigned n, done = 0;

		if (hole) {
			va += hole << PF_PAGE_SHIFT;
			nr -= hole;
			continue;
		}
		err = pf_pte_alloc(&dst->pt, va);
		if (err)
			break;
		n = pf_pages_in_table(va, nr);
		/* dst before src: both mmap locks are held for writing, so no one takes them the
		 * other way. */
		if (!pf_pte_offset_map_lock(&dst->pt, va, &c.d))
			continue;
		if (pf_pte_offset_map_lock_nested(&src->pt, va, &c.s, &c.d)) {
			c.anon = c.file = c.swap = 0;
			err = copy_table(&c, va, n, &done);
			pf_rss_add(dst, PF_RSS_ANON, c.anon);
			if (c.file)
				pf_rss_add_of(dst, dst_area, true, c.file);
			pf_rss_add(dst, PF_RSS_SWAP, c.swap);
			pf_pte_unmap_unlock(&c.s);
		}
		pf_pte_unmap_unlock(&c.d);
		if (err == NEED_COPY) {
			/* Memory is asked for without locks; then this page is looked at again. */
			c.copy = pf_folio_alloc_where(dst->phys, 0, PF_USE_ANON,
				pf_area_where(
					dst, dst_area, va + ((pf_va_t)done << PF_PAGE_SHIFT), 0));
			err = c.copy ? 0 : -PF_ENOMEM;
		}
		if (err)
			break;
		va += (pf_va_t)done << PF_PAGE_SHIFT;
		nr -= done;
	}
	/* Asked for in vain: its page was unpinned meanwhile. */
	if (c.copy)
		pf_folio_put(dst->phys, c.copy, 1);
	return err;
}
