/* SPDX-License-Identifier: MIT */
/*
 * Collapse of shared memory: what its mapping has of a leaf table's pages, in memory or in swap, becomes one folio in the
 * mapping's tree. Entries that show the old folios are emptied, in every address space, and come back by faults.
 *
 * pages_lock for writing: nobody brings a page in, maps one, or takes one out. So once a folio is locked (nobody moves it; no
 * entry of it is a migration entry), unmapped and flushed, and has no references but the tree's and ours, nobody can
 * store to it, and nobody comes by a reference to do so: what is copied after that is what it holds for good. Who gets a
 * reference past the tree in passing finds a folio of no mapping, as after truncation.
 */
#include "mm/internal.h"

struct gathering {
	struct pf_mapping *mapping;
	uint64_t first; /* index */
	unsigned order;
	uint16_t on_node[PF_MAX_NODES]; /* pages in memory when it was looked at */
	struct pf_folio *folio;         /* the new one */
	struct pf_page_node *spares;
	struct pf_folio **old; /* locked, with a reference each; room for 2^order */
	unsigned nr;
};

static uint64_t last_of(const struct gathering *g)
{
	return g->first + PF_BIT(g->order) - 1;
}

/* ---- may it be, is it already ---- */

/* Does one folio have it all? */
static bool is_whole(const struct gathering *g)
{
	struct pf_folio *folio;
	bool whole;

	pf_tree_lock(g->mapping);
	folio = pf_page_tree_load(&g->mapping->tree, g->first);
	whole = folio && pf_folio_order(folio) >= g->order;
	pf_tree_unlock(g->mapping);
	return whole;
}

static uint64_t count_present(struct gathering *g)
{
	const struct pf_phys *phys = g->mapping->sys->phys;
	struct pf_folio *folio;
	uint64_t nr = 0, at = g->first;

	/* pages_lock keeps as many there as there are, though not in the same folios. */
	pf_tree_lock(g->mapping);
	while (at <= last_of(g) && (folio = pf_page_tree_next(&g->mapping->tree, at, last_of(g)))) {
		nr += pf_folio_nr(folio);
		g->on_node[pf_phys_node(phys, pf_folio_pfn(phys, folio))] +=
			(uint16_t)pf_folio_nr(folio);
		at = folio->head.index + pf_folio_nr(folio);
	}
	pf_tree_unlock(g->mapping);
	return nr;
}

static bool missing_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	(void)ctx;
	(void)mm;
	(void)place;
	return !(pf_load_relaxed(&vma->area.flags) & PF_VM_UFFD_MISSING);
}

/* Is what is not there somebody's to bring, wherever it is mapped? */
static bool is_awaited(const struct gathering *g)
{
	const struct pf_rmap pages = {
		.mapping = g->mapping, .index = g->first, .nr = PF_BIT(g->order)};

	return pf_rmap_walk_pages(&pages, missing_visit, NULL, 0) == PF_RMAP_STOPPED;
}

/* 0, or why not. */
static int look(struct gathering *g, bool khugepaged, bool *stop)
{
	const struct pf_thp *thp = &g->mapping->sys->thp;
	const uint64_t present = count_present(g);
	const uint64_t swapped = pf_shmem_swapped(g->mapping, g->first, last_of(g));
	const uint64_t none = PF_BIT(g->order) - present - swapped;

	*stop = true;
	if (!present && !swapped)
		return -PF_EINVAL;
	if (khugepaged && (none > thp->max_ptes_none || swapped > thp->max_ptes_swap))
		return -PF_EBUSY;
	if (none && is_awaited(g))
		return -PF_EBUSY;
	*stop = false;
	return 0;
}

/* ---- gathering ---- */

/* Whatever is in swap comes in; nobody sends it out again. */
static int swap_in(const struct gathering *g)
{
	uint64_t index = g->first, place;
	unsigned shift;
	int err = 0;

	while (!err && index <= last_of(g)) {
		struct pf_folio *folio;
		bool is;

		pf_tree_lock(g->mapping);
		is = pf_page_tree_next_swapped(&g->mapping->tree, &index, last_of(g)) &&
		     pf_page_tree_swapped(&g->mapping->tree, index, &place, &shift);
		pf_tree_unlock(g->mapping);
		if (!is)
			break;
		err = pf_shmem_find(g->mapping, NULL, index, 1, &folio);
		if (folio)
			pf_folio_put(g->mapping->sys->phys, folio, 1);
	}
	return err == -PF_EIO ? -PF_EINVAL : err;
}

static void let_go(struct gathering *g)
{
	while (g->nr) {
		struct pf_folio *folio = g->old[--g->nr];

		pf_folio_unlock(folio);
		pf_folio_put(g->mapping->sys->phys, folio, 1);
	}
}

/* All that is there: locked, and nobody's but the tree's, its mappings' and ours. */
static int take(struct gathering *g)
{
	struct pf_folio *folio;

	for (uint64_t at = g->first;
		at <= last_of(g) && (folio = pf_mapping_find(g->mapping, at, last_of(g)));
		at = folio->head.index + pf_folio_nr(folio)) {
		if (!pf_folio_trylock(folio)) {
			pf_folio_put(g->mapping->sys->phys, folio, 1);
			return -PF_EAGAIN;
		}
		g->old[g->nr++] = folio;
		/* It may have moved before it was locked. */
		if (pf_load_relaxed(&folio->head.mapping) != g->mapping->head.handle ||
			pf_folio_extra_ref(folio) != 2)
			return -PF_EAGAIN;
	}
	return 0;
}

static void copy(const struct gathering *g)
{
	const struct pf_phys *phys = g->mapping->sys->phys;
	const unsigned shift = g->mapping->sys->fmt->pt->page_shift;
	const pf_pa_t to = pf_folio_pfn(phys, g->folio) << shift;
	uint64_t done = 0; /* pages */

	for (unsigned i = 0; i < g->nr; i++) {
		const uint64_t at = g->old[i]->head.index - g->first, nr = pf_folio_nr(g->old[i]);

		if (at > done)
			pf_port_clear_pages(to + (done << shift), (at - done) << shift);
		pf_port_copy_pages(
			to + (at << shift), pf_folio_pfn(phys, g->old[i]) << shift, nr << shift);
		done = at + nr;
	}
	if (done < PF_BIT(g->order))
		pf_port_clear_pages(to + (done << shift), (PF_BIT(g->order) - done) << shift);
}

/*
 * Unmapped by all, copied, and replaced. What fails is that somebody had a page between take() and its entries' end:
 * then faults map the old ones again.
 */
static int replace(struct gathering *g)
{
	int err = 0;

	if (!PF_MUTANT("collapse-shared-mapped"))
		pf_mapping_unmap(g->mapping, g->first, last_of(g),
			PF_ZAP_KEEP_ANON | PF_ZAP_KEEP_GUARDS | PF_ZAP_KEEP_WP);
	/* Emptied entries before the look at references, as in collapse.c. Others' emptied ones came with their table's lock. */
	pf_mb();
	for (unsigned i = 0; i < g->nr && !err; i++)
		if (!pf_folio_is_alone(g->old[i], true) && !PF_MUTANT("collapse-shared-mapped"))
			err = -PF_EAGAIN;
	if (err)
		return err;
	copy(g);
	/* Memory holds it alone: no slot has what it has. */
	pf_folio_set_flags(g->folio, PF_FOLIO_UPTODATE | PF_FOLIO_DIRTY);
	pf_mapping_gather(g->mapping, g->first, g->folio, g->old, g->nr, &g->spares);
	return 0;
}

/* What is needed, before anything changes. */
static bool reserve(struct gathering *g)
{
	struct pf_phys *phys = g->mapping->sys->phys;
	unsigned need;

	g->old = pf_port_meta_alloc(sizeof(struct pf_folio *) << g->order);
	if (g->old)
		g->folio = pf_folio_alloc_where(
			phys, g->order, PF_USE_FILE, pf_collapse_where(phys, g->on_node));
	if (!g->folio)
		return false;
	/* The nodes that the old ones need no more come besides. */
	pf_tree_lock(g->mapping);
	need = pf_page_tree_need(&g->mapping->tree, g->first, g->order);
	pf_tree_unlock(g->mapping);
	return pf_page_nodes_alloc(&g->spares, need);
}

static int gather(struct gathering *g, bool khugepaged, bool *stop)
{
	int err = look(g, khugepaged, stop);

	if (!err)
		err = swap_in(g);
	if (!err)
		err = reserve(g) ? take(g) : -PF_ENOMEM;
	if (!err)
		err = replace(g);
	let_go(g);
	if (!err)
		pf_add_relaxed(&g->mapping->sys->collapses, 1);
	pf_page_nodes_free(g->spares);
	if (g->folio)
		pf_folio_put(g->mapping->sys->phys, g->folio, 1);
	if (g->old)
		pf_port_meta_free(g->old, sizeof(struct pf_folio *) << g->order);
	return err;
}

int pf_shmem_collapse(struct pf_vma *vma, pf_va_t va, bool khugepaged, bool *stop)
{
	struct gathering g = {
		.mapping = vma->mapping,
		.first = pf_vma_index(vma, va),
		.order = vma->mm->sys->fmt->pt->level_bits,
	};
	int err = 0;

	*stop = false;
	pf_port_rw_write_lock(&g.mapping->pages_lock, PF_LOCK_PAGES);
	if (g.first >= pf_mapping_end(g.mapping)) {
		*stop = true;
		err = -PF_EINVAL;
	} else if (!is_whole(&g)) {
		err = gather(&g, khugepaged, stop);
	}
	pf_port_rw_write_unlock(&g.mapping->pages_lock, PF_LOCK_PAGES);
	return err;
}
