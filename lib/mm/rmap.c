/* SPDX-License-Identifier: MIT */
/*
 * The walk from a folio to what maps it.
 */
#include "mm/rmap.h"

#include "mm/internal.h"

static bool lock_read(struct pf_anon_vma *root, unsigned flags)
{
	if (flags & PF_RMAP_TRY)
		return pf_port_rw_read_trylock(&root->lock, PF_LOCK_ANON);
	pf_port_rw_read_lock(&root->lock, PF_LOCK_ANON);
	return true;
}

/* The part of the pages that the VMA covers: nothing beyond its ends is its. */
static struct pf_rmap_place place_of(const struct pf_mm *mm, const struct pf_anon_link *l,
	uint64_t index, uint64_t nr, pf_pfn_t pfn)
{
	const uint64_t first = pf_max(index, l->node.start);
	uint64_t last = pf_min(index + nr - 1, l->node.last);

	if (PF_MUTANT("rmap-past-vma"))
		last = index + nr - 1;
	return (struct pf_rmap_place){
		.va = l->vma->area.start + ((first - l->node.start) << pf_mm_shift(mm)),
		.nr = last - first + 1,
		.pfn = pfn + (first - index),
	};
}

enum pf_rmap_result pf_rmap_walk_anon(struct pf_system *sys, struct pf_anon_vma *anon,
	uint64_t index, uint64_t nr, pf_pfn_t pfn, pf_rmap_visit visit, void *ctx, unsigned flags)
{
	struct pf_anon_vma *root = anon->root;
	enum pf_rmap_result result = PF_RMAP_DONE;
	struct pf_inode *n;

	(void)sys;
	if (!lock_read(root, flags))
		return PF_RMAP_BUSY;
	n = pf_itree_first(&anon->links, index, index + nr - 1);
	for (; n; n = pf_itree_next(n, index, index + nr - 1)) {
		const struct pf_anon_link *l = PF_CONTAINER_OF(n, struct pf_anon_link, node);
		struct pf_mm *mm = l->vma->mm;
		const struct pf_rmap_place place = place_of(mm, l, index, nr, pfn);

		if (!visit(ctx, mm, l->vma, &place)) {
			result = PF_RMAP_STOPPED;
			break;
		}
	}
	pf_port_rw_read_unlock(&root->lock, PF_LOCK_ANON);
	return result;
}

enum pf_rmap_result pf_rmap_walk(struct pf_system *sys, struct pf_folio *folio, pf_rmap_visit visit,
	void *ctx, unsigned flags)
{
	struct pf_anon_vma *anon = pf_anon_get(sys, folio);
	enum pf_rmap_result result;

	if (!anon)
		return PF_RMAP_DONE;
	result = pf_rmap_walk_anon(sys, anon, folio->head.index, pf_folio_nr(folio),
		pf_folio_pfn(sys->phys, folio), visit, ctx, flags);
	pf_anon_put(sys, anon);
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
			pf_handle_type(folio->head.mapping) == PF_HANDLE_ANON &&
			pf_folio_count_mapped(sys, folio) != pf_folio_mapcount(folio))
			bad = "R1: a walk does not find as many mappings as are counted";
		pf_folio_put(phys, folio, 1);
	}
	return bad;
}

struct referenced {
	int vmas;
	uint32_t vm_flags;
};

static bool referenced_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct referenced *r = ctx;
	const uint32_t flags = pf_load_relaxed(&vma->area.flags);

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

	if (pf_rmap_walk(sys, folio, referenced_visit, &r, PF_RMAP_TRY) == PF_RMAP_BUSY)
		return -1;
	if (vm_flags)
		*vm_flags = r.vm_flags;
	return r.vmas;
}
