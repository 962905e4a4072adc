/* SPDX-License-Identifier: MIT */
/*
 * Migration.
 *
 * Locks: the folio's (tried), then the anon or i_mmap lock for reading (of KSM's page the ksm lock, and anon locks inside),
 * twice, with nothing held of it in between; the anon_vma or mapping is kept by a reference, for the folio is not mapped
 * then, KSM's node by those on the folios. Neither the mmap lock nor VMAs need to
 * stay as they are: an entry that is zapped meanwhile is just gone, one that is copied or moved is found where it went
 * (fork: its VMA comes after its parent's in the walk; mremap: it waits for the walk, or is over before).
 */
#include "mm/migrate.h"

#include "mm/internal.h"
#include "mm/ksm_node.h"

static bool unmap_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct pf_mmu_notifier_range range = {0};
	bool all;

	(void)ctx;
	(void)vma;
	if (!PF_MUTANT("notify-migrate-forgets"))
		pf_notify_place(&range, mm, PF_MMU_NOTIFY_CLEAR, place);
	all = mm->sys->fmt->try_to_migrate_one(&mm->space, place);
	pf_notify_end(&range);
	return all;
}

static bool remap_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	const struct pf_remap *r = ctx;

	mm->sys->fmt->remove_migration_one(
		&mm->space, &vma->area, place, r->to + (place->pfn - r->at.pfn));
	return true;
}

int pf_folio_unmap(struct pf_system *sys, struct pf_folio *folio, struct pf_remap *r)
{
	if (pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE) || pf_folio_maybe_pinned(folio))
		return -PF_EBUSY;
	if (!pf_rmap_get(sys, folio, &r->at))
		return -PF_EAGAIN;
	r->to = r->at.pfn;
	pf_rmap_walk_pages(&r->at, unmap_visit, NULL, 0);
	/*
	 * Ours is the only reference, and nobody can come by another: there is no entry to come by. But of a mapping's
	 * folio, which whoever replaces it asks again.
	 */
	if (pf_folio_is_alone(folio, r->at.mapping))
		return 0;
	pf_folio_remap(sys, r);
	return pf_folio_maybe_pinned(folio) ? -PF_EBUSY : -PF_EAGAIN;
}

void pf_folio_remap(struct pf_system *sys, struct pf_remap *r)
{
	pf_rmap_walk_pages(&r->at, remap_visit, r, 0);
	pf_rmap_put(sys, &r->at);
}

/* What a folio says of its pages, for the one that takes its place. */
static uint32_t state(const struct pf_folio *folio)
{
	uint32_t keep = PF_FOLIO_DIRTY | PF_FOLIO_UPTODATE | PF_FOLIO_LAZYFREE |
			PF_FOLIO_REFERENCED | PF_FOLIO_YOUNG | PF_FOLIO_IDLE | PF_FOLIO_KSM;

	if (PF_MUTANT("ksm-migrates-plain"))
		keep &= ~PF_FOLIO_KSM;
	return pf_load_relaxed(&folio->head.flags) & keep;
}

/*
 * Contents and state of src, which is unmapped. A mapping's folio may still be found in its tree, mapped, stored to and
 * unmapped, and nobody would see it by the counts. But who does so marks it dirty while he has a mapping or a reference.
 * So src loses that flag first, then the counts are looked at, and what has been stored by then is copied; whoever comes
 * later leaves the flag behind for pf_mapping_replace.
 */
static int move(
	struct pf_system *sys, struct pf_folio *src, struct pf_folio *dst, const struct pf_rmap *at)
{
	pf_folio_clear_flags(src, PF_FOLIO_DIRTY);
	pf_mb();
	if (!pf_folio_is_alone(src, at->mapping))
		return -PF_EAGAIN;
	if (!pf_copy_folio(sys, dst, src))
		return -PF_EIO;
	if (at->mapping)
		return pf_mapping_replace(at->mapping, src, dst) ? 0 : -PF_EAGAIN;
	if (at->ksm) {
		pf_ksm_moved(sys, src, dst);
	} else {
		pf_folio_set_mapping(dst, src->head.index, src->head.mapping);
	}
	return 0;
}

int pf_migrate_folio(struct pf_system *sys, struct pf_folio *src, struct pf_folio *dst)
{
	struct pf_remap r;
	int err;

	if (!pf_folio_mapcount(src))
		return 0;
	err = pf_folio_unmap(sys, src, &r);
	if (!err) {
		/* Locked before its first entry and until after its last: who forks from one counts with an
		 * atomic (FRAME.md 4). */
		pf_folio_trylock(dst);
		pf_folio_set_flags(dst, state(src));
		err = move(sys, src, dst, &r.at);
		if (!err)
			r.to = pf_folio_pfn(sys->phys, dst);
		else
			/* Before it is mapped again: its entries are as dirty as it is. */
			pf_folio_set_flags(src, state(dst) & PF_FOLIO_DIRTY);
		pf_folio_remap(sys, &r);
		pf_folio_unlock(dst);
	}
	return err;
}

/* ---- splitting ---- */

/* Locked. */
static int split_locked(
	struct pf_system *sys, struct pf_folio *folio, uint32_t at, struct pf_page_node **spares)
{
	const unsigned nr = pf_folio_nr(folio);
	struct pf_remap r;
	bool ok;
	int err = pf_folio_unmap(sys, folio, &r);

	if (err)
		return err;
	if (r.at.mapping) {
		ok = pf_mapping_split(r.at.mapping, folio, at, spares);
	} else {
		ok = pf_folio_freeze(folio);
		if (ok)
			pf_folio_split_frozen(sys->phys, folio, at);
	}
	pf_folio_remap(sys, &r);
	if (!ok)
		return -PF_EAGAIN;
	/* The caller's reference is on the first; anonymous pages that nobody maps are free with ours. */
	for (unsigned i = 1u << pf_split_order(at, 0); i < nr; i += 1u << pf_split_order(at, i)) {
		struct pf_folio *piece = (struct pf_folio *)(&folio->head + i);

		pf_folio_unlock(piece);
		pf_folio_put(sys->phys, piece, 1);
	}
	pf_add_relaxed(&sys->splits, 1);
	return 0;
}

int pf_split_folio_around(struct pf_system *sys, struct pf_folio *folio, uint32_t at)
{
	struct pf_page_node *spares = NULL;
	unsigned need = 0;
	int err = -PF_EAGAIN;

	/* While we have a reference it cannot become smaller ones. */
	if (!pf_folio_order(folio))
		return 0;
	/* A mapping's tree needs nodes where it had slots of many pages. */
	if (pf_folio_is_file(folio))
		need = pf_page_tree_split_need(pf_folio_order(folio), at);
	if (!pf_page_nodes_alloc(&spares, need)) {
		err = -PF_ENOMEM;
	} else if (pf_folio_trylock(folio)) {
		err = split_locked(sys, folio, at, &spares);
		pf_folio_unlock(folio);
	}
	pf_page_nodes_free(spares);
	return err;
}

int pf_split_folio(struct pf_system *sys, struct pf_folio *folio)
{
	return pf_split_folio_around(sys, folio, PF_SPLIT_PAGES);
}

int pf_split(struct pf_mm *mm, pf_va_t va)
{
	struct pf_folio *folio;
	uint64_t nr = 1;
	int err;

	va = pf_align_down(va, pf_mm_page(mm));
	if (va >= mm->sys->task_size)
		return -PF_EINVAL;
	pf_mmap_read_lock(mm);
	folio = mm->sys->fmt->get_folio(&mm->space, &va, &nr);
	pf_mmap_read_unlock(mm);
	if (!folio)
		return -PF_EINVAL;
	err = pf_split_folio(mm->sys, folio);
	pf_folio_put(mm->sys->phys, folio, 1);
	return err;
}

uint64_t pf_split_deferred(struct pf_system *sys, uint32_t nodes)
{
	uint64_t done = 0;

	for (unsigned n = 0; n < sys->phys->nr_nodes; n++) {
		/* As many as wait now: those that cannot be split queue up behind them, and are not tried again. */
		uint32_t left = nodes >> n & 1 ? pf_folio_nr_split(sys->phys, n) : 0;
		struct pf_folio *folio;

		for (; left && (folio = pf_folio_next_split(sys->phys, n)); left--) {
			if (!pf_split_folio(sys, folio))
				done++;
			else
				pf_folio_queue_split(sys->phys, folio);
			pf_folio_put(sys->phys, folio, 1);
		}
	}
	return done;
}

struct pf_folio *pf_alloc_for(
	struct pf_system *sys, const struct pf_folio *src, struct pf_where where)
{
	return pf_folio_alloc_where(sys->phys, pf_folio_order(src),
		pf_folio_is_file(src) ? PF_USE_FILE : PF_USE_ANON, where);
}

/* ---- a range ---- */

/* Folios to move, locked, and where to. */
struct move {
	struct move *next;
	struct pf_folio *src, *dst;
};

static bool planned(const struct move *list, const struct pf_folio *src)
{
	while (list && list->src != src)
		list = list->next;
	return list;
}

/* Takes over the reference on src. */
static int plan(struct pf_system *sys, struct pf_folio *src, struct move **list)
{
	struct move *m = NULL;
	int err = -PF_ENOMEM;

	if (!pf_folio_trylock(src)) {
		/* By us, if it is mapped in two places. */
		err = planned(*list, src) ? 0 : -PF_EAGAIN;
		pf_folio_put(sys->phys, src, 1);
		return err;
	}
	m = pf_port_meta_alloc(sizeof(*m));
	if (!m)
		goto nomem;
	m->src = src;
	m->dst = pf_alloc_for(
		sys, src, pf_near(pf_phys_node(sys->phys, pf_folio_pfn(sys->phys, src))));
	if (!m->dst)
		goto nomem;
	m->next = *list;
	*list = m;
	return 0;

nomem:
	if (m)
		pf_port_meta_free(m, sizeof(*m));
	pf_folio_unlock(src);
	pf_folio_put(sys->phys, src, 1);
	return err;
}

/* mmap lock. 0; -PF_EAGAIN: not all could be planned; -PF_ENOMEM. */
static int plan_range(struct pf_mm *mm, pf_va_t va, uint64_t nr, struct move **list)
{
	struct pf_folio *folio;
	int result = 0;

	while (result != -PF_ENOMEM && (folio = mm->sys->fmt->get_folio(&mm->space, &va, &nr))) {
		int err = plan(mm->sys, folio, list);

		result = err ? err : result;
	}
	return result;
}

int pf_migrate(struct pf_mm *mm, pf_va_t addr, uint64_t len)
{
	struct pf_system *sys = mm->sys;
	struct move *list = NULL, *m;
	int result;

	if (!pf_mm_aligned(mm, addr) || addr > sys->task_size || len > sys->task_size - addr)
		return -PF_EINVAL;
	pf_mmap_read_lock(mm);
	result = plan_range(mm, addr, pf_mm_align(mm, len) >> pf_mm_shift(mm), &list);
	pf_mmap_read_unlock(mm);
	/* Without the mmap lock: whoever changes VMAs meanwhile takes the entries along. */
	while ((m = list)) {
		int err = result == -PF_ENOMEM ? 0 : pf_migrate_folio(sys, m->src, m->dst);

		result = err ? err : result;
		list = m->next;
		pf_folio_unlock(m->src);
		pf_folio_put(sys->phys, m->src, 1);
		pf_folio_put(sys->phys, m->dst, 1);
		pf_port_meta_free(m, sizeof(*m));
	}
	return result;
}
