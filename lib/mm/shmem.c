/* SPDX-License-Identifier: MIT */
/*
 * Memory without a file, in swap: its mapping's tree has folios, or places on a device (mm/page_tree.h).
 *
 * A place owns a count of its slot, as a swap entry does, and gives it up when the page is back in the tree: as in Linux the
 * page in memory is then the only one there is, and dirty. There is no swap cache between the two. Who finds the folio in
 * the tree, takes a reference and maps it comes before it is frozen, and it stays; who finds the place reads the page, into a
 * folio that nobody else knows, and is the one to put it there or finds that somebody else was. He has counts of the slots
 * meanwhile, so that a place which is still there is still this page's (S1; coremm B33).
 *
 * pages_lock: for reading, pages come in and go out; for writing (truncation, holes) they do neither but at the
 * holder's own wish.
 */
#include "mm/internal.h"

/* Tree lock: the first page from *index to last that is in swap; where, and log2 of the pages that its slot is for. */
static bool find_swapped(const struct pf_mapping *mapping, uint64_t *index, uint64_t last,
	uint64_t *place, unsigned *shift)
{
	return mapping->nr_swapped && pf_page_tree_next_swapped(&mapping->tree, index, last) &&
	       pf_page_tree_swapped(&mapping->tree, *index, place, shift);
}

/* ---- coming in ---- */

/* Pages that are read together. */
struct in {
	struct pf_mapping *mapping;
	uint64_t first; /* index */
	unsigned order;
	uint64_t place;      /* of the first */
	struct pf_swap *dev; /* counts of ours are held on it */
};

static struct pf_swap *dev_of(const struct pf_mapping *mapping, uint64_t place)
{
	return mapping->sys->swaps.dev[pf_place_dev(place)];
}

/*
 * Tree lock: are its pages still in swap, where they are said to be? In slots that a folio of its order can take the
 * place of, once a slot of 64 pages has been split.
 */
static bool is_there(const struct in *in)
{
	const uint64_t nr = PF_BIT(in->order);
	unsigned shift;
	uint64_t at;

	for (uint64_t i = 0; i < nr; i += PF_BIT(shift)) {
		if (!pf_page_tree_swapped(&in->mapping->tree, in->first + i, &at, &shift) ||
			at != in->place + i)
			return false;
		if (shift > in->order)
			return true;
		/* Single pages, where a slot of the folio would be for many. */
		if (!shift && in->order >= PF_PAGE_TREE_SHIFT)
			return false;
	}
	return true;
}

/* The largest folio of `orders` that the page can come in with; and counts. False: it is not in swap. */
static bool choose(struct in *in, uint64_t index, uint32_t orders, int *err)
{
	unsigned shift;
	uint64_t at;

	if (!pf_page_tree_swapped(&in->mapping->tree, index, &at, &shift))
		return false;
	for (orders |= 1;; orders &= ~PF_BIT(pf_log2(orders))) {
		in->order = pf_log2(orders);
		in->first = pf_align_down(index, PF_BIT(in->order));
		in->place = at - (index - in->first);
		if (in->order <= PF_MAX_ORDER && is_there(in))
			break;
	}
	in->dev = dev_of(in->mapping, at);
	*err = pf_swap_dup(in->dev, pf_place_slot(in->place), PF_BIT(in->order));
	return true;
}

static void put_counts(const struct in *in)
{
	pf_swap_put(in->dev, pf_place_slot(in->place), PF_BIT(in->order));
}

/* Tree lock: does its first page's slot have to be split? */
static bool needs_split(const struct in *in)
{
	unsigned shift;
	uint64_t at;

	return pf_page_tree_swapped(&in->mapping->tree, in->first, &at, &shift) &&
	       shift > in->order;
}

/* A node, where one may be needed. False: no memory. */
static bool spare_node(const struct in *in, struct pf_page_node **spare)
{
	bool needed;

	*spare = NULL;
	pf_tree_lock(in->mapping);
	needed = needs_split(in);
	pf_tree_unlock(in->mapping);
	return pf_page_nodes_alloc(spare, needed);
}

static int read_pages(const struct in *in, struct pf_folio *folio)
{
	const unsigned shift = in->mapping->sys->fmt->pt->page_shift;

	return in->dev->ops->read(in->dev->ctx, pf_place_slot(in->place),
		       pf_folio_pfn(in->mapping->sys->phys, folio) << shift,
		       (size_t)pf_folio_nr(folio) << shift)
		       ? -PF_EIO
		       : 0;
}

/* The folio takes the place of its places, if they are still there. */
static void enter(const struct in *in, struct pf_folio *folio, struct pf_page_node **spare)
{
	struct pf_mapping *mapping = in->mapping;
	bool ok;

	pf_folio_set_flags(folio, PF_FOLIO_UPTODATE | PF_FOLIO_DIRTY);
	pf_folio_set_mapping(folio, in->first, mapping->head.handle);
	pf_tree_lock(mapping);
	ok = is_there(in) || PF_MUTANT("shmem-in-unchecked");
	if (ok) {
		/* Our counts keep what was one slot of the tree from having become another since. */
		if (needs_split(in))
			pf_page_tree_split(&mapping->tree, in->first, spare);
		pf_page_tree_replace(&mapping->tree, in->first, in->order, folio);
		pf_folio_get(folio, 1);
		mapping->nr_pages += PF_BIT(in->order);
		mapping->nr_swapped -= PF_BIT(in->order);
	}
	pf_tree_unlock(mapping);
	if (ok)
		put_counts(in);
}

/*
 * Bring the page in. 0: it is in the tree, or was; -PF_ENOENT: it was not in swap; -PF_ENOMEM, -PF_EIO.
 */
static int swap_in(
	struct pf_mapping *mapping, const struct pf_vma *vma, uint64_t index, uint32_t orders)
{
	struct in in = {.mapping = mapping};
	struct pf_page_node *spare = NULL;
	struct pf_folio *folio;
	int err = 0;
	bool is;

	for (;;) {
		pf_tree_lock(mapping);
		is = choose(&in, index, orders, &err);
		pf_tree_unlock(mapping);
		if (!is || err)
			return is ? err : -PF_ENOENT;
		folio = pf_folio_alloc_where(mapping->sys->phys, in.order, PF_USE_FILE,
			pf_mapping_where(mapping, vma, index, in.order));
		if (folio || !in.order)
			break;
		orders &= PF_BIT(in.order) - 1;
		put_counts(&in);
	}
	err = folio && spare_node(&in, &spare) ? read_pages(&in, folio) : -PF_ENOMEM;
	if (!err)
		enter(&in, folio, &spare);
	put_counts(&in);
	pf_page_nodes_free(spare);
	if (folio)
		pf_folio_put(mapping->sys->phys, folio, 1);
	return err;
}

int pf_shmem_find(struct pf_mapping *mapping, const struct pf_vma *vma, uint64_t index,
	uint32_t orders, struct pf_folio **folio)
{
	int err = 0;

	while (!(*folio = pf_mapping_find(mapping, index, index)) && !err)
		err = mapping->ops ? -PF_ENOENT : swap_in(mapping, vma, index, orders);
	/* Found, whatever was said last. */
	return *folio || err == -PF_ENOENT ? 0 : err;
}

/* ---- going out ---- */

/*
 * The flag goes first, then the counts are looked at. Who found it in the tree meanwhile, stored to it and is about to unmap it
 * may have left the flag before, with a TLB that still stores; but he has his mapping until his flush is done. If nobody has
 * one, whoever comes later leaves a mapping or the flag behind for pf_mapping_evict().
 */
static bool write_out(
	struct pf_mapping *mapping, struct pf_folio *folio, struct pf_swap *dev, uint64_t slot)
{
	const unsigned shift = mapping->sys->fmt->pt->page_shift;
	const uint64_t place = pf_place(dev->id, slot);

	pf_folio_clear_flags(folio, PF_FOLIO_DIRTY);
	pf_mb();
	if (pf_folio_is_alone(folio, true) &&
		!dev->ops->write(dev->ctx, slot, pf_folio_pfn(mapping->sys->phys, folio) << shift,
			(size_t)pf_folio_nr(folio) << shift) &&
		pf_mapping_evict(mapping, folio, &place))
		return true;
	/* What is in memory is the only page there is. */
	pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
	return false;
}

bool pf_shmem_evict(
	struct pf_mapping *mapping, struct pf_folio *folio, struct pf_swap *dev, uint64_t slot)
{
	bool gone;

	if (PF_MUTANT("shmem-out-no-lock"))
		return write_out(mapping, folio, dev, slot);
	if (!pf_port_rw_read_trylock(&mapping->pages_lock, PF_LOCK_PAGES))
		return false;
	gone = write_out(mapping, folio, dev, slot);
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return gone;
}

/* ---- being cut off ---- */

/* The page's bytes are needed, if it has any. */
static int need_page(struct pf_mapping *mapping, uint64_t index)
{
	struct pf_folio *folio;
	int err = pf_shmem_find(mapping, NULL, index, 1, &folio);

	if (folio)
		pf_folio_put(mapping->sys->phys, folio, 1);
	return err;
}

/* No slot of the tree has both index - 1 and index. Nobody else changes places under pages_lock. */
static int split_at(struct pf_mapping *mapping, uint64_t index)
{
	struct pf_page_node *spare;
	unsigned shift;
	uint64_t at;
	bool crossed;

	pf_tree_lock(mapping);
	crossed = pf_page_tree_swapped(&mapping->tree, index, &at, &shift) &&
		  !pf_aligned(index, PF_BIT(shift));
	pf_tree_unlock(mapping);
	if (!crossed)
		return 0;
	spare = pf_port_meta_alloc(sizeof(*spare));
	if (!spare)
		return -PF_ENOMEM;
	spare->parent = NULL;
	pf_tree_lock(mapping);
	pf_page_tree_split(&mapping->tree, index, &spare);
	pf_tree_unlock(mapping);
	return 0;
}

int pf_shmem_prepare_cut(struct pf_mapping *mapping, uint64_t offset, uint64_t last)
{
	const unsigned page = mapping->sys->fmt->pt->page_shift;
	int err = 0;

	if (mapping->ops)
		return 0;
	if (!pf_aligned(offset, PF_BIT(page)) && !PF_MUTANT("cut-leaves-swapped"))
		err = need_page(mapping, offset >> page);
	if (!err && !pf_aligned(last + 1, PF_BIT(page)))
		err = need_page(mapping, last >> page);
	if (!err)
		err = split_at(mapping, offset >> page);
	if (!err)
		err = split_at(mapping, (last >> page) + 1);
	return err;
}

void pf_shmem_drop(struct pf_mapping *mapping, uint64_t first, uint64_t last)
{
	while (!mapping->ops) {
		struct pf_page_node *freed = NULL;
		unsigned shift = 0;
		uint64_t at = 0;
		bool is, whole = false;

		pf_tree_lock(mapping);
		is = find_swapped(mapping, &first, last, &at, &shift);
		if (is)
			whole = pf_aligned(first, PF_BIT(shift)) &&
				last - first >= PF_BIT(shift) - 1;
		if (whole) {
			pf_page_tree_erase_swapped(&mapping->tree, first, &freed);
			mapping->nr_swapped -= PF_BIT(shift);
		}
		pf_tree_unlock(mapping);
		pf_page_nodes_free(freed);
		if (!is)
			return;
		if (whole && !PF_MUTANT("drop-keeps-slots"))
			pf_swap_put(dev_of(mapping, at), pf_place_slot(at), PF_BIT(shift));
		first = (first | (PF_BIT(shift) - 1)) + 1;
		if (!first)
			return;
	}
}

/* ---- many ---- */

static bool next_swapped(struct pf_mapping *mapping, uint64_t *index, uint64_t last,
	uint64_t *place, unsigned *shift)
{
	bool is;

	pf_tree_lock(mapping);
	is = find_swapped(mapping, index, last, place, shift);
	pf_tree_unlock(mapping);
	return is;
}

uint64_t pf_shmem_swapped(struct pf_mapping *mapping, uint64_t first, uint64_t last)
{
	uint64_t nr = 0, at;
	unsigned shift;

	while (first <= last && next_swapped(mapping, &first, last, &at, &shift)) {
		const uint64_t end = pf_min(first | (PF_BIT(shift) - 1), last);

		nr += end - first + 1;
		first = end + 1;
		if (!first)
			break;
	}
	return nr;
}

/* Bring in what is on the device, or on any (PF_SWAP_DEVICES). pages_lock. */
static int bring_all(struct pf_mapping *mapping, uint64_t first, uint64_t last, unsigned dev)
{
	const uint32_t orders = pf_shmem_orders(mapping->sys, 0);
	unsigned shift;
	uint64_t at;
	int err = 0;

	while (!err && first <= last && next_swapped(mapping, &first, last, &at, &shift)) {
		struct pf_folio *folio;

		if (dev == PF_SWAP_DEVICES || dev == pf_place_dev(at)) {
			err = pf_shmem_find(mapping, NULL, first, orders, &folio);
			if (folio)
				pf_folio_put(mapping->sys->phys, folio, 1);
		}
		if (!++first)
			break;
	}
	return err;
}

void pf_shmem_ahead(struct pf_mapping *mapping, uint64_t first, uint64_t last)
{
	pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	bring_all(mapping, first, last, PF_SWAP_DEVICES);
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
}

int pf_shmem_unswap(struct pf_system *sys, unsigned dev)
{
	const uint32_t nr = pf_handle_count(&sys->mappings);
	int err = 0;

	for (uint32_t i = 0; i < nr && !err; i++) {
		struct pf_mapping *mapping = pf_handle_nth(&sys->mappings, i);

		/* One that is new has nothing on the device, which gives out no slots any more. */
		if (!pf_mapping_try_get(mapping))
			continue;
		if (!mapping->ops) {
			pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
			err = bring_all(mapping, 0, UINT64_MAX, dev);
			pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
		}
		pf_mapping_put(mapping);
	}
	return err;
}

static const char *check_place(const struct pf_mapping *mapping, uint64_t place)
{
	const struct pf_swap *dev = dev_of(mapping, place);

	if (mapping->ops)
		return "a file's page is in swap";
	if (!dev || pf_place_slot(place) >= dev->slots)
		return "a mapping's page is in no slot of a device";
	return pf_swap_count(dev, pf_place_slot(place))
		       ? NULL
		       : "a mapping's page is in a slot without a count";
}

const char *pf_shmem_check(struct pf_mapping *mapping)
{
	uint64_t index = 0, nr = 0, at = 0;
	const char *bad = NULL;
	unsigned shift;

	pf_tree_lock(mapping);
	while (!bad && pf_page_tree_next_swapped(&mapping->tree, &index, UINT64_MAX)) {
		pf_page_tree_swapped(&mapping->tree, index, &at, &shift);
		bad = check_place(mapping, at);
		nr++;
		if (!++index)
			break;
	}
	pf_tree_unlock(mapping);
	return bad || nr == mapping->nr_swapped ? bad : "pages of a mapping in swap";
}
