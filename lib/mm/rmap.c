/* SPDX-License-Identifier: MIT */
/*
 * The walk from a folio to what maps it.
 */
#include "mm/rmap.h"

#include "mm/internal.h"
#include "mm/ksm_node.h"

static struct pf_rwlock *lock_of(const struct pf_rmap *r)
{
	if (r->ksm)
		return r->ksm->lock;
	return r->anon ? &r->anon->root->lock : &r->mapping->i_mmap_lock;
}

static enum pf_lock_class class_of(const struct pf_rmap *r)
{
	if (r->ksm)
		return PF_LOCK_KSM;
	return r->anon ? PF_LOCK_ANON : PF_LOCK_I_MMAP;
}

static bool lock_read(const struct pf_rmap *r, unsigned flags)
{
	if (flags & PF_RMAP_TRY)
		return pf_port_rw_read_trylock(lock_of(r), class_of(r));
	pf_port_rw_read_lock(lock_of(r), class_of(r));
	return true;
}

static struct pf_vma *vma_of(const struct pf_rmap *r, struct pf_inode *n)
{
	return r->anon ? PF_CONTAINER_OF(n, struct pf_anon_link, node)->vma
		       : PF_CONTAINER_OF(n, struct pf_vma, i_mmap);
}

/* The part of the pages that the VMA covers: nothing beyond its ends is its. */
static struct pf_rmap_place place_of(
	const struct pf_rmap *r, const struct pf_inode *n, const struct pf_vma *vma)
{
	const uint64_t end = r->index + (r->nr - 1), first = pf_max(r->index, n->start);
	uint64_t last = pf_min(end, n->last);

	if (PF_MUTANT("rmap-past-vma"))
		last = end;
	return (struct pf_rmap_place){
		.va = vma->area.start + ((first - n->start) << pf_mm_shift(vma->mm)),
		.nr = last - first + 1,
		.pfn = r->pfn + (first - r->index),
	};
}

/* One tree, locked. */
static enum pf_rmap_result walk_vmas(const struct pf_rmap *r, pf_rmap_visit visit, void *ctx)
{
	const struct pf_itree *tree = r->anon ? &r->anon->links : &r->mapping->i_mmap;
	const uint64_t last = r->index + (r->nr - 1);
	enum pf_rmap_result result = PF_RMAP_DONE;
	struct pf_inode *n;

	n = pf_itree_first(tree, r->index, last);
	for (; n; n = pf_itree_next(n, r->index, last)) {
		struct pf_vma *vma = vma_of(r, n);
		const struct pf_rmap_place place = place_of(r, n, vma);

		if (!visit(ctx, vma->mm, vma, &place)) {
			result = PF_RMAP_STOPPED;
			break;
		}
	}
	return result;
}

/* A tree for each place that the page came to. */
static enum pf_rmap_result walk_places(
	const struct pf_rmap *r, pf_rmap_visit visit, void *ctx, unsigned flags)
{
	struct pf_inode *n = pf_itree_first(&r->ksm->places, 0, UINT64_MAX);
	enum pf_rmap_result result = PF_RMAP_DONE;

	for (; n && result == PF_RMAP_DONE; n = pf_itree_next(n, 0, UINT64_MAX)) {
		const struct pf_rmap at = {
			.anon = PF_CONTAINER_OF(n, struct pf_ksm_place, node)->root,
			.index = n->start,
			.nr = 1,
			.pfn = r->pfn,
		};

		result = pf_rmap_walk_pages(&at, visit, ctx, flags);
	}
	return result;
}

bool pf_rmap_leads_to(const struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va, pf_pfn_t pfn,
	const struct pf_folio *folio)
{
	const uint32_t handle = pf_load_relaxed(&folio->head.mapping);
	const uint64_t index = pf_vma_index(vma, va);

	if (pf_folio_test_flags(folio, PF_FOLIO_KSM))
		return pf_ksm_leads_to(mm->sys, folio,
			pf_anon_object(mm->sys, pf_load_relaxed(&vma->area.anon)), index);
	if (pf_folio_index(folio) + pf_folio_idx(folio, pfn) != index)
		return false;
	if (pf_folio_is_file(folio))
		return vma->mapping && vma->mapping->head.handle == handle;
	for (const struct pf_anon_link *l = vma->links; l; l = l->next)
		if (l->anon->head.handle == handle)
			return true;
	return false;
}

enum pf_rmap_result pf_rmap_walk_pages(
	const struct pf_rmap *r, pf_rmap_visit visit, void *ctx, unsigned flags)
{
	enum pf_rmap_result result;

	if (!lock_read(r, flags))
		return PF_RMAP_BUSY;
	result = r->ksm ? walk_places(r, visit, ctx, flags) : walk_vmas(r, visit, ctx);
	pf_port_rw_read_unlock(lock_of(r), class_of(r));
	return result;
}

bool pf_rmap_get(struct pf_system *sys, struct pf_folio *folio, struct pf_rmap *r)
{
	*r = (struct pf_rmap){0};
	if (pf_folio_is_file(folio))
		r->mapping = pf_mapping_of(sys, folio);
	else if (!pf_folio_test_flags(folio, PF_FOLIO_KSM))
		r->anon = pf_anon_get(sys, folio);
	else if (pf_folio_mapcount(folio))
		r->ksm = pf_ksm_node(sys, folio);
	if (!r->mapping && !r->anon && !r->ksm)
		return false;
	r->index = pf_folio_index(folio);
	r->nr = pf_folio_nr(folio);
	r->pfn = pf_folio_pfn(sys->phys, folio);
	return true;
}

void pf_rmap_put(struct pf_system *sys, struct pf_rmap *r)
{
	if (r->anon)
		pf_anon_put(sys, r->anon);
	else if (r->mapping)
		pf_mapping_put(r->mapping);
}

enum pf_rmap_result pf_rmap_walk(struct pf_system *sys, struct pf_folio *folio, pf_rmap_visit visit,
	void *ctx, unsigned flags)
{
	enum pf_rmap_result result;
	struct pf_rmap r;

	if (!pf_rmap_get(sys, folio, &r))
		return PF_RMAP_DONE;
	result = pf_rmap_walk_pages(&r, visit, ctx, flags);
	pf_rmap_put(sys, &r);
	return result;
}

/* ---- asking ---- */

static bool count_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	(void)vma;
	*(uint64_t *)ctx += mm->sys->fmt->mapped_one(&mm->space, place);
	return true;
}

uint64_t pf_folio_count_mapped(struct pf_system *sys, struct pf_folio *folio)
{
	uint64_t nr = 0;

	pf_rmap_walk(sys, folio, count_visit, &nr, 0);
	return nr;
}

const char *pf_rmap_check(struct pf_system *sys)
{
	struct pf_phys *phys = sys->phys;
	const char *bad = NULL;

	for (pf_pfn_t pfn = phys->first; pfn < phys->first + phys->nr && !bad; pfn++) {
		struct pf_folio *folio = pf_folio_try_get_page(phys, pfn);

		if (!folio)
			continue;
		/* Its tails lead to it, too. */
		if (pf_folio_pfn(phys, folio) == pfn && folio->head.mapping &&
			pf_folio_count_mapped(sys, folio) != pf_folio_mapcount(folio))
			bad = "R1: a walk does not find as many mappings as are counted";
		pf_folio_put(phys, folio, 1);
	}
	return bad;
}

struct referenced {
	int vmas;
	bool locked;
	uint32_t vm_flags;
};

static bool referenced_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct referenced *r = ctx;
	const uint32_t flags = pf_load_relaxed(&vma->area.flags);

	/* What is mapped there stays, however it is used. */
	if ((flags & PF_VM_LOCKED) && mm->sys->fmt->mapped_one(&mm->space, place)) {
		r->locked = true;
		return false;
	}
	if (flags & (PF_VM_SEQ_READ | PF_VM_RAND_READ))
		return true;
	if (mm->sys->fmt->referenced_one(&mm->space, place, PF_AGE_FLUSH)) {
		r->vmas++;
		r->vm_flags |= flags;
	}
	return true;
}

int pf_folio_referenced(struct pf_system *sys, struct pf_folio *folio, uint32_t *vm_flags)
{
	struct referenced r = {0};

	if (pf_rmap_walk(sys, folio, referenced_visit, &r, PF_RMAP_TRY) == PF_RMAP_BUSY || r.locked)
		return -1;
	if (vm_flags)
		*vm_flags = r.vm_flags;
	return r.vmas;
}
