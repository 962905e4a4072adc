/* SPDX-License-Identifier: MIT */
/*
 * A mapping's pages: found, brought in, mapped by faults.
 */
#include "mm/internal.h"

#include "base/mem.h"

/* Linux's default fault_around_bytes: what is in memory around a read fault is mapped with it. */
#define FAULT_AROUND UINT64_C(65536)

PF_STATIC_ASSERT(PF_HANDLE_FILE == PF_MAPPING_FILE, "lib/phys and lib/mm tell files alike");

static unsigned shift_of(const struct pf_mapping *mapping)
{
	return mapping->sys->fmt->pt->page_shift;
}

/* ---- life ---- */

struct pf_mapping *pf_mapping_create(
	struct pf_system *sys, const struct pf_mapping_ops *ops, void *ctx, uint64_t size)
{
	struct pf_mapping *mapping = pf_handle_alloc(&sys->mappings);

	if (!mapping)
		return NULL;
	mapping->orders = 1;
	mapping->memtype = PF_MEM_NORMAL;
	mapping->sys = sys;
	mapping->ops = ops;
	mapping->ctx = ctx;
	mapping->size = size;
	mapping->i_mmap = (struct pf_itree){0};
	mapping->tree = (struct pf_page_tree){0};
	mapping->nr_pages = 0;
	mapping->nr_swapped = 0;
	mapping->committed = 0;
	mapping->lost = false;
	pf_port_rw_init(&mapping->pages_lock, PF_LOCK_PAGES);
	pf_port_rw_init(&mapping->sync_lock, PF_LOCK_SYNC);
	pf_port_rw_init(&mapping->i_mmap_lock, PF_LOCK_I_MMAP);
	pf_port_spin_init(&mapping->tree_lock, PF_LOCK_TREE, mapping->head.handle);
	/* Release: who raises the count from a handle finds the rest. */
	pf_store_release(&mapping->refs, 1);
	return mapping;
}

void pf_mapping_get(struct pf_mapping *mapping)
{
	pf_add_relaxed(&mapping->refs, 1);
}

void pf_mapping_put(struct pf_mapping *mapping)
{
	if (pf_sub_return(&mapping->refs, 1))
		return;
	/* No VMA has it, so nothing maps its pages but through TLBs that a gather will flush. */
	pf_mapping_drop(mapping, 0, UINT64_MAX);
	pf_uncommit(mapping->sys, PF_VM_ACCOUNT, mapping->committed);
	pf_handle_free(&mapping->sys->mappings, mapping);
}

bool pf_mapping_try_get(struct pf_mapping *mapping)
{
	uint32_t refs = pf_load_relaxed(&mapping->refs);

	do {
		if (!refs)
			return false;
	} while (!pf_cas(&mapping->refs, &refs, refs + 1));
	return true;
}

struct pf_mapping *pf_mapping_of(struct pf_system *sys, const struct pf_folio *folio)
{
	const uint32_t handle = pf_load_relaxed(&folio->head.mapping);
	struct pf_mapping *mapping;

	if (pf_handle_type(handle) != PF_HANDLE_FILE || handle == PF_MAPPING_FILE)
		return NULL;
	mapping = pf_handle_object(&sys->mappings, handle);
	if (!pf_mapping_try_get(mapping))
		return NULL;
	/* A mapping that goes lets go of its folios first: one that still says so is its, or has been all along. */
	if (pf_load_relaxed(&folio->head.mapping) == handle)
		return mapping;
	pf_mapping_put(mapping);
	return NULL;
}

/* ---- the tree ---- */

struct pf_folio *pf_mapping_find(struct pf_mapping *mapping, uint64_t index, uint64_t last)
{
	struct pf_folio *folio;

	pf_tree_lock(mapping);
	folio = pf_page_tree_next(&mapping->tree, index, last);
	/* The tree has a reference, and cannot lose it before we unlock. */
	if (folio)
		pf_folio_get(folio, 1);
	pf_tree_unlock(mapping);
	return folio;
}

bool pf_mapping_has(struct pf_mapping *mapping, uint64_t index)
{
	bool has;

	pf_tree_lock(mapping);
	has = pf_page_tree_any(&mapping->tree, index, index);
	pf_tree_unlock(mapping);
	return has;
}

bool pf_mapping_cached(struct pf_mapping *mapping, uint64_t index)
{
	bool cached;

	pf_tree_lock(mapping);
	cached = pf_page_tree_load(&mapping->tree, index);
	pf_tree_unlock(mapping);
	return cached;
}

/*
 * Give the caller's new folio to the tree, which takes a reference of its own. 0, -PF_ENOMEM, or
 * -PF_EEXIST: others were there first.
 */
static int tree_add(struct pf_mapping *mapping, uint64_t index, struct pf_folio *folio)
{
	const unsigned order = pf_folio_order(folio);
	struct pf_page_node *spares = NULL;
	unsigned have = 0, need;
	int err = 0;

	pf_folio_set_mapping(folio, index, mapping->head.handle);
	for (;;) {
		pf_tree_lock(mapping);
		need = pf_page_tree_need(&mapping->tree, index, order);
		if (need <= have)
			break;
		pf_tree_unlock(mapping);
		if (!pf_page_nodes_alloc(&spares, need - have)) {
			pf_page_nodes_free(spares);
			return -PF_ENOMEM;
		}
		have = need;
	}
	if (pf_page_tree_insert(&mapping->tree, index, order, folio, &spares)) {
		pf_folio_get(folio, 1);
		mapping->nr_pages += PF_BIT(order);
	} else {
		err = -PF_EEXIST;
	}
	pf_tree_unlock(mapping);
	pf_page_nodes_free(spares);
	return err;
}

void pf_mapping_remove(struct pf_mapping *mapping, struct pf_folio *folio)
{
	const unsigned order = pf_folio_order(folio);
	struct pf_page_node *freed = NULL;

	pf_tree_lock(mapping);
	pf_page_tree_erase(&mapping->tree, folio->head.index, order, &freed);
	mapping->nr_pages -= PF_BIT(order);
	/* Still a file's page, of none: what a gather or a pin has left of it must not pass for anonymous. */
	pf_store_relaxed(&folio->head.mapping, PF_MAPPING_FILE);
	pf_tree_unlock(mapping);
	pf_page_nodes_free(freed);
	pf_folio_put(mapping->sys->phys, folio, 1);
}

/* One tree lock: who looks finds the old ones or the new one. */
void pf_mapping_gather(struct pf_mapping *mapping, uint64_t index, struct pf_folio *folio,
	struct pf_folio **old, unsigned nr, struct pf_page_node **spares)
{
	const unsigned order = pf_folio_order(folio);

	pf_folio_set_mapping(folio, index, mapping->head.handle);
	pf_tree_lock(mapping);
	for (unsigned i = 0; i < nr; i++) {
		pf_page_tree_erase(
			&mapping->tree, old[i]->head.index, pf_folio_order(old[i]), spares);
		mapping->nr_pages -= pf_folio_nr(old[i]);
		pf_store_relaxed(&old[i]->head.mapping, PF_MAPPING_FILE);
	}
	pf_page_tree_insert(&mapping->tree, index, order, folio, spares);
	pf_folio_get(folio, 1);
	mapping->nr_pages += PF_BIT(order);
	pf_tree_unlock(mapping);
	for (unsigned i = 0; i < nr; i++)
		pf_folio_put(mapping->sys->phys, old[i], 1);
}

/* Under the tree lock: is it the folio of its index? One that was never entered says so of itself, too. */
static bool is_in_tree(const struct pf_mapping *mapping, const struct pf_folio *folio)
{
	return pf_load_relaxed(&folio->head.mapping) == mapping->head.handle &&
	       pf_page_tree_load(&mapping->tree, pf_folio_index(folio)) == folio;
}

/*
 * Who finds a folio in the tree takes a reference under its lock: before, and it is counted here, or after, and it finds
 * the new one. Who has given it up again may have written to it since it was copied: then it is dirty, and keeps its
 * place. Asked last, as in pf_mapping_evict; a reference that is got past the tree meanwhile is nobody's who writes.
 */
bool pf_mapping_replace(struct pf_mapping *mapping, struct pf_folio *src, struct pf_folio *dst)
{
	const unsigned order = pf_folio_order(src);
	uint64_t c = pf_count_make(PF_FRAME_FOLIO, order, 0, 2);
	bool ok;

	pf_tree_lock(mapping);
	ok = is_in_tree(mapping, src) && pf_cas(&src->head.count.word, &c, c - 1);
	if (ok && pf_folio_test_flags(src, PF_FOLIO_DIRTY)) {
		pf_folio_get(src, 1);
		ok = false;
	}
	if (ok) {
		pf_folio_set_mapping(dst, src->head.index, mapping->head.handle);
		pf_store_relaxed(&src->head.mapping, PF_MAPPING_FILE);
		pf_folio_get(dst, 1);
		pf_page_tree_replace(&mapping->tree, dst->head.index, order, dst);
	}
	pf_tree_unlock(mapping);
	return ok;
}

/* Who found it has a reference before, and it is counted here, or finds a smaller one: while he has one it stays what it is. */
bool pf_mapping_split(struct pf_mapping *mapping, struct pf_folio *folio, uint32_t at,
	struct pf_page_node **spares)
{
	const unsigned order = pf_folio_order(folio);
	const uint64_t index = folio->head.index;
	uint64_t c = pf_count_make(PF_FRAME_FOLIO, order, 0, 2);
	bool ok;

	pf_tree_lock(mapping);
	ok = is_in_tree(mapping, folio) && pf_cas(&folio->head.count.word, &c, c - 2);
	if (ok) {
		pf_folio_split_frozen(mapping->sys->phys, folio, at);
		/* The tree's references, beside the caller's. */
		for (unsigned i = 0; i < 1u << order; i += 1u << pf_split_order(at, i))
			pf_folio_get((struct pf_folio *)(&folio->head + i), 1);
		pf_page_tree_split_folio(&mapping->tree, index, order, at, folio, spares);
	}
	pf_tree_unlock(mapping);
	return ok;
}

bool pf_mapping_evict(struct pf_mapping *mapping, struct pf_folio *folio, const uint64_t *place)
{
	const unsigned order = pf_folio_order(folio);
	const uint64_t have = pf_count_make(PF_FRAME_FOLIO, order, 0, 2);
	struct pf_page_node *freed = NULL;
	uint64_t c = have;
	bool ok;

	pf_tree_lock(mapping);
	ok = is_in_tree(mapping, folio) && pf_cas(&folio->head.count.word, &c, have - 2);
	/*
	 * Asked last: who wrote to it had a mapping, or a reference, and marked it before it gave that up. With no
	 * reference nobody else can change the count.
	 */
	if (ok && pf_folio_test_flags(folio, PF_FOLIO_DIRTY) && !PF_MUTANT("evict-dirty")) {
		pf_store_release(&folio->head.count.word, have);
		ok = false;
	}
	if (ok) {
		mapping->nr_pages -= PF_BIT(order);
		if (place) {
			pf_page_tree_swap_out(&mapping->tree, folio->head.index, order, *place);
			mapping->nr_swapped += PF_BIT(order);
		} else {
			pf_page_tree_erase(&mapping->tree, folio->head.index, order, &freed);
		}
	}
	pf_tree_unlock(mapping);
	pf_page_nodes_free(freed);
	return ok;
}

void pf_mapping_drop(struct pf_mapping *mapping, uint64_t first, uint64_t last)
{
	struct pf_folio *folio;

	pf_shmem_drop(mapping, first, last);
	while (first <= last && (folio = pf_mapping_find(mapping, first, last))) {
		const uint64_t index = folio->head.index, nr = pf_folio_nr(folio);

		if (index >= first && index + (nr - 1) <= last)
			pf_mapping_remove(mapping, folio);
		pf_folio_put(mapping->sys->phys, folio, 1);
		first = index + nr;
	}
}

int pf_mapping_add(struct pf_mapping *mapping, uint64_t index, struct pf_folio *folio)
{
	pf_folio_set_flags(folio, PF_FOLIO_UPTODATE);
	return tree_add(mapping, index, folio);
}

/* ---- bringing in ---- */

uint64_t pf_mapping_end(const struct pf_mapping *mapping)
{
	const unsigned shift = shift_of(mapping);

	return (mapping->size >> shift) + !pf_aligned(mapping->size, PF_BIT(shift));
}

static uint32_t orders_of(const struct pf_mapping *mapping, uint32_t vm_flags)
{
	return mapping->ops ? mapping->orders | 1 : pf_shmem_orders(mapping->sys, vm_flags);
}

/*
 * The highest order whose aligned range around index ends before the file does and is not in memory yet,
 * even in part. (Linux lets memory without a file reach beyond its end; here the end is SIGBUS for all.)
 */
static unsigned order_for(struct pf_mapping *mapping, uint64_t index, uint32_t orders)
{
	const uint64_t end = pf_mapping_end(mapping);

	for (; orders >> 1; orders &= ~PF_BIT(pf_log2(orders))) {
		const unsigned order = pf_log2(orders);
		const uint64_t first = pf_align_down(index, PF_BIT(order));
		bool taken;

		if (order > PF_MAX_ORDER || end - first < PF_BIT(order))
			continue;
		pf_tree_lock(mapping);
		taken = pf_page_tree_any(&mapping->tree, first, first + PF_BIT(order) - 1);
		pf_tree_unlock(mapping);
		if (!taken)
			return order;
	}
	return 0;
}

static int fill(struct pf_mapping *mapping, uint64_t index, struct pf_folio *folio)
{
	const unsigned shift = shift_of(mapping), order = pf_folio_order(folio);
	const pf_pa_t pa = pf_folio_pfn(mapping->sys->phys, folio) << shift;

	if (mapping->ops)
		return mapping->ops->read(mapping, index, pa, 1u << order);
	pf_port_clear_pages(pa, PF_BIT(shift + order));
	return 0;
}

struct pf_where pf_mapping_where(
	const struct pf_mapping *mapping, const struct pf_vma *vma, uint64_t index, unsigned order)
{
	const struct pf_phys *phys = mapping->sys->phys;
	struct pf_mm *mm = vma ? vma->mm : NULL;

	if (phys->nr_nodes == 1 || !mm)
		return pf_near(pf_phys_local_node(phys));
	if (!mapping->ops)
		return pf_policy_where(
			phys, pf_area_policy(&mm->space, &vma->area), index >> order);
	/* As the process's policy wants it, which interleaves what it brings in, whatever page it is (Linux). */
	return pf_policy_where(phys, &mm->space.policy, pf_add_relaxed(&mm->interleaved, 1) - 1);
}

/*
 * A folio is filled before it is in the tree, so what is found there is up to date, and needs no lock to
 * say so. Two who miss at once both fill one, and the second's is for nothing.
 */
static int bring_in(
	struct pf_mapping *mapping, const struct pf_vma *vma, uint64_t index, uint32_t orders)
{
	struct pf_phys *phys = mapping->sys->phys;
	unsigned order = order_for(mapping, index, orders);
	struct pf_folio *folio;
	int err;

	for (;;) {
		const uint32_t lower = orders & ((1u << order) - 1);

		folio = pf_folio_alloc_where(
			phys, order, PF_USE_FILE, pf_mapping_where(mapping, vma, index, order));
		if (folio || !order)
			break;
		order = lower ? pf_log2(lower) : 0;
	}
	if (!folio)
		return -PF_ENOMEM;
	index = pf_align_down(index, PF_BIT(order));
	pf_folio_set_flags(folio, PF_FOLIO_UPTODATE);
	err = fill(mapping, index, folio);
	if (!err)
		err = tree_add(mapping, index, folio);
	pf_folio_put(phys, folio, 1);
	return err == -PF_EEXIST ? 0 : err;
}

/* The folio that has the page, with a reference: *folio. 0, or what reading said. */
static int get_folio(const struct pf_vma *vma, uint64_t index, struct pf_folio **folio)
{
	struct pf_mapping *mapping = vma->mapping;
	const uint32_t orders = orders_of(mapping, vma->area.flags);
	int err = 0;

	/* What has come and gone out between two looks is found by the next. */
	while (!(err = pf_shmem_find(mapping, vma, index, orders, folio)) && !*folio &&
		!(err = bring_in(mapping, vma, index, orders)))
		;
	return err;
}

/* ---- faults ---- */

/* Shared memory's, of which this is all there was. pages_lock. */
static bool is_lost(const struct pf_folio *folio)
{
	return pf_folio_test_flags(folio, PF_FOLIO_HWPOISON) && !PF_MUTANT("poison-maps-again");
}

struct around {
	struct pf_vma *vma;
	uint64_t first, last; /* page indexes that may be mapped */
	struct pf_file_run *run;
	struct pf_folio *folio[PF_FILE_RUNS];
	unsigned nr;
};

static void add_run(struct around *a, struct pf_folio *folio)
{
	const struct pf_mm *mm = a->vma->mm;
	const uint64_t at = folio->head.index, nr = pf_folio_nr(folio);
	const uint64_t first = pf_max(a->first, at), last = pf_min(a->last, at + nr - 1);

	a->run[a->nr] = (struct pf_file_run){
		.va = a->vma->area.start + ((first - a->vma->area.pgoff) << pf_mm_shift(mm)),
		.pfn = pf_folio_pfn(mm->sys->phys, folio) + (first - at),
		.nr = (uint32_t)(last - first + 1),
	};
	a->folio[a->nr++] = folio;
}

/* Not where somebody is told of pages that are there, or of what is written to them. */
static bool looks_around(const struct pf_vma *vma)
{
	return !(vma->area.flags & (PF_VM_UFFD_WP | PF_VM_UFFD_MINOR));
}

/*
 * What may be mapped beside the page itself: in the VMA, in its leaf table, and not beyond the file's end
 * (a page there must stay SIGBUS however large its folio is). For reads what is in memory within FAULT_AROUND, from
 * an aligned address or the VMA's start on, so that whole blocks come of it; of memory without a file the whole
 * folio, for writes too. folio is NULL where there is none at va.
 */
static void window(struct around *a, const struct pf_folio *folio, pf_va_t va, bool write)
{
	const struct pf_vma *vma = a->vma;
	const uint64_t pmd = pf_mm_pmd_size(vma->mm);
	const uint64_t reach = write || !looks_around(vma)
				       ? pf_mm_page(vma->mm)
				       : pf_max(FAULT_AROUND, pf_mm_page(vma->mm));
	const pf_va_t table = pf_align_down(va, pmd);
	const pf_va_t low = pf_max(vma->area.start, table);
	const pf_va_t high = pf_min(vma->area.end - 1, table + (pmd - 1));
	const pf_va_t start = pf_max(low, pf_align_down(va, reach));
	const pf_va_t last = pf_min(high, start + (reach - 1));

	a->first = pf_vma_index(vma, start);
	a->last = pf_vma_index(vma, last);
	/* Who is told of faults gets folios page by page. */
	if (folio && !vma->mapping->ops && !vma->uffd) {
		const uint64_t at = folio->head.index, end = at + (pf_folio_nr(folio) - 1);

		a->first = pf_min(a->first, pf_max(at, pf_vma_index(vma, low)));
		a->last = pf_max(a->last, pf_min(end, pf_vma_index(vma, high)));
	}
	a->last = pf_min(a->last, pf_mapping_end(vma->mapping) - 1);
}

static enum pf_fault_result fault_of(int err)
{
	return err == -PF_ENOMEM ? PF_FAULT_OOM : PF_FAULT_SIGBUS;
}

/* The page itself, of folio, comes first, in case that there are too many folios. Puts the caller's reference to it. */
static enum pf_fault_result map_around(
	struct around *a, struct pf_folio *folio, pf_va_t va, unsigned flags)
{
	struct pf_mm *mm = a->vma->mm;
	struct pf_mapping *mapping = a->vma->mapping;
	enum pf_fault_result result;

	window(a, folio, va, flags & PF_FAULT_FLAG_WRITE);
	if (folio)
		add_run(a, folio);
	for (uint64_t at = a->first; at <= a->last && a->nr < PF_FILE_RUNS;) {
		struct pf_folio *other = pf_mapping_find(mapping, at, a->last);

		if (!other)
			break;
		at = other->head.index + pf_folio_nr(other);
		if (other == folio || is_lost(other))
			pf_folio_put(mm->sys->phys, other, 1);
		else
			add_run(a, other);
	}
	result = mm->sys->fmt->map_file(&mm->space, &a->vma->area, va, flags, a->run, a->nr);
	while (a->nr)
		pf_folio_put(mm->sys->phys, a->folio[--a->nr], 1);
	return result;
}

/* Of shared memory a userfaultfd may want to be told when a page is there, too: before it is mapped. */
static enum pf_fault_result uffd_asks(const struct pf_vma *vma, uint64_t index)
{
	const uint32_t flags = vma->area.flags;

	if (!(flags & (PF_VM_UFFD_MISSING | PF_VM_UFFD_MINOR)))
		return PF_FAULT_DONE;
	/* In swap or not. */
	if (PF_MUTANT("uffd-misses-swapped") ? pf_mapping_cached(vma->mapping, index)
					     : pf_mapping_has(vma->mapping, index))
		return flags & PF_VM_UFFD_MINOR ? PF_FAULT_UFFD_MINOR : PF_FAULT_DONE;
	return flags & PF_VM_UFFD_MISSING ? PF_FAULT_UFFD_MISSING : PF_FAULT_DONE;
}

static enum pf_fault_result fault_locked(struct pf_vma *vma, pf_va_t va, unsigned flags)
{
	struct pf_mm *mm = vma->mm;
	const struct pf_format *fmt = mm->sys->fmt;
	struct pf_mapping *mapping = vma->mapping;
	const bool write = flags & PF_FAULT_FLAG_WRITE;
	const uint64_t index = pf_vma_index(vma, va);
	struct pf_file_run run[PF_FILE_RUNS];
	struct around a = {.vma = vma, .run = run};
	enum pf_fault_result result;
	struct pf_folio *folio = NULL;
	int err;

	result = index < pf_mapping_end(mapping) ? uffd_asks(vma, index) : PF_FAULT_SIGBUS;
	if (result == PF_FAULT_DONE) {
		err = get_folio(vma, index, &folio);
		if (err)
			return fault_of(err);
		if (is_lost(folio)) {
			pf_folio_put(mm->sys->phys, folio, 1);
			result = PF_FAULT_HWPOISON;
		}
	}
	if (result != PF_FAULT_DONE) {
		/* Reads look around before they look at the page itself, as in Linux. */
		if (!write && pf_mapping_end(mapping) && looks_around(vma))
			map_around(&a, NULL, va, flags);
		return result;
	}
	if (write && !(vma->area.flags & PF_VM_SHARED)) {
		result = fmt->cow_file(&mm->space, &vma->area, va,
			pf_folio_pfn(mm->sys->phys, folio) + (index - folio->head.index));
		pf_folio_put(mm->sys->phys, folio, 1);
		return result;
	}
	return map_around(&a, folio, va, flags);
}

enum pf_fault_result pf_filemap_fault(struct pf_vma *vma, pf_va_t va, unsigned flags)
{
	struct pf_mapping *mapping = vma->mapping;
	enum pf_fault_result result;

	va = pf_align_down(va, pf_mm_page(vma->mm));
	pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	result = fault_locked(vma, va, flags);
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return result;
}
