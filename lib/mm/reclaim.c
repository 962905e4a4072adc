/* SPDX-License-Identifier: MIT */
/*
 * Reclaim's eyes and hands: who uses a folio, who maps it, and what it is of.
 *
 * Memory is asked for with all sorts of locks held: mmap locks, a mapping's pages_lock, folio locks. So none of these is
 * waited for here, and while many folios are looked at the anon and i_mmap locks are tried, too: who holds one meanwhile
 * keeps its pages this time. Only for a folio that is being split or cleaned are they waited for. Nobody who asks for
 * a folio or a table has one of them, even for reading; and who has one takes nothing inside it but spinlocks (and, having the i_mmap
 * lock, an anon lock), so he comes to give it back without us.
 */
#include "mm/internal.h"
#include "mm/migrate.h"
#include "reclaim/reclaim.h"

/* Asked for at a time, when memory has run out: Linux's SWAP_CLUSTER_MAX. */
#define BATCH 32u

static bool unmap_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct pf_mmu_notifier_range range = {0};
	bool all;

	if (!PF_MUTANT("notify-reclaim-forgets"))
		pf_notify_place(&range, mm, PF_MMU_NOTIFY_CLEAR, place);
	all = mm->sys->fmt->unmap(&mm->space, &vma->area, place->va, place->nr, ctx, place->pfn);
	pf_notify_end(&range);
	return all;
}

static bool unmap(void *ctx, struct pf_folio *folio)
{
	return pf_rmap_walk(ctx, folio, unmap_visit, folio, PF_RMAP_TRY) == PF_RMAP_DONE;
}

static int used(void *ctx, struct pf_folio *folio)
{
	return pf_folio_referenced(ctx, folio, NULL);
}

/* Of a very large one of a mapping the tree needs nodes: metadata, of which there may be some. */
static bool split(void *ctx, struct pf_folio *folio)
{
	return !pf_split_folio(ctx, folio);
}

enum pf_home pf_file_home(void *ctx, struct pf_folio *folio)
{
	struct pf_mapping *mapping = pf_mapping_of(ctx, folio);
	enum pf_home home = PF_HOME_NONE;

	if (!mapping)
		return home;
	if (pf_folio_test_flags(folio, PF_FOLIO_HWPOISON))
		home = PF_HOME_NONE;
	else if (!mapping->ops)
		home = PF_HOME_SWAP;
	else if (mapping->ops->write || !pf_folio_test_flags(folio, PF_FOLIO_DIRTY))
		home = PF_HOME_FILE;
	pf_mapping_put(mapping);
	return home;
}

/*
 * pages_lock: it is not cut off, and no hole is made, while it is written. Before it is ours both may have happened,
 * without the folio lock: then the folio is not the mapping's any more, and what it has must not be written.
 */
static bool clean(struct pf_mapping *mapping, struct pf_folio *folio)
{
	bool ok;

	if (!pf_folio_test_flags(folio, PF_FOLIO_DIRTY))
		return true;
	if (!mapping->ops->write || !pf_port_rw_read_trylock(&mapping->pages_lock, PF_LOCK_PAGES))
		return false;
	ok = pf_load_relaxed(&folio->head.mapping) == mapping->head.handle &&
	     !pf_mapping_write_folio(mapping, folio);
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return ok;
}

bool pf_file_evict(void *ctx, struct pf_folio *folio, struct pf_swap *dev, uint64_t slot)
{
	struct pf_mapping *mapping = pf_mapping_of(ctx, folio);
	bool gone;

	if (!mapping)
		return false;
	if (dev)
		gone = pf_shmem_evict(mapping, folio, dev, slot);
	else
		gone = clean(mapping, folio) && pf_mapping_evict(mapping, folio, NULL);
	pf_mapping_put(mapping);
	return gone;
}

static const struct pf_reclaim_ops ops = {
	.unmap = unmap,
	.home = pf_file_home,
	.evict = pf_file_evict,
	.used = used,
	.split = split,
};

/* Of nodes in a mask. */
static uint64_t reclaim(struct pf_system *sys, uint64_t pages, uint32_t nodes)
{
	static const struct pf_swaps none;
	/* Devices stay as they are; while one comes or goes, there is none. */
	const bool locked = pf_port_rw_read_trylock(&sys->mms_lock, PF_LOCK_SYSTEM);
	const struct pf_reclaimer r = {
		.phys = sys->phys,
		.swaps = locked ? &sys->swaps : &none,
		.ops = &ops,
		.ctx = sys,
		.nodes = PF_MUTANT("reclaim-takes-device")
				 ? nodes
				 : nodes & pf_phys_memory_nodes(sys->phys),
	};
	uint64_t freed = pf_reclaim_sweep(&r, &sys->hand, pages);

	if (locked)
		pf_port_rw_read_unlock(&sys->mms_lock, PF_LOCK_SYSTEM);
	return freed;
}

uint64_t pf_reclaim(struct pf_system *sys, uint64_t pages)
{
	return reclaim(sys, pages, PF_NODES_ALL);
}

uint64_t pf_reclaim_for_alloc(void *ctx, uint32_t nodes)
{
	/* What is left of large folios costs no writing. */
	const uint64_t split = pf_split_deferred(ctx, nodes);

	return split ? split : reclaim(ctx, BATCH, nodes);
}
