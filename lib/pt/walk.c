/* SPDX-License-Identifier: MIT */
/*
 * Tables: finding, making, unlinking. Descents take no lock. They read table entries once each,
 * from the root down; the address dependency orders what is read of a table after the entry that
 * points to it, and pairs with the release that linked it. Tables found are kept alive by RCU until
 * their lock is taken; the flag PF_TABLE_DEAD, set under that lock before a table is unlinked,
 * tells a late-comer.
 */
#include "pt/lazy.h"
#include "pt/walk.h"

/*
 * Nothing points to the table yet, so no access needs to be single-copy atomic, and the compiler may
 * choose wide ones; builds that watch entries see each.
 */
static void table_fill_empty(pf_hw_t *base)
{
	const pf_hw_t empty = pf_hw_empty();

	for (unsigned i = 0; i < PF_TABLE_ENTRIES; i++) {
#if PF_JUDGE || PF_COUNT
		pf_hw_store(&base[i], empty);
#else
		base[i] = empty;
#endif
	}
}

/*
 * At first the watch is on the last slot, as if pages came in ascending order. Without memory there is
 * none: that a table can be had must not depend on it.
 */
static struct pf_watch *watch_new(const struct pf_pt *pt, unsigned level)
{
	const unsigned blocks = PF_TABLE_ENTRIES >> PF_CONT_SHIFT(0);
	struct pf_watch *w;

	if (level || !PF_CONT_SHIFT(0) || pt->policy != PF_FOLD_WATCH ||
		(pt->flags & PF_PT_NOFAULT) || !pt->mem->meta_alloc)
		return NULL;
	w = pt->mem->meta_alloc(blocks * sizeof(*w));
	for (unsigned b = 0; w && b < blocks; b++)
		w[b] = (struct pf_watch){.slot = PF_CONT_NR(0) - 1};
	return w;
}

pf_pa_t pf_table_new(struct pf_pt *pt, unsigned level)
{
	struct pf_watch *watch = NULL;
	struct pf_table *table;
	pf_pa_t pa;

	/* May sleep. */
	if (!PF_MUTANT("lazy-sleeps"))
		pf_lazy_mmu_pause();
	pa = pt->mem->alloc(pt->mem->ctx, PF_TABLE_MEM_BYTES);
	if (pa)
		watch = watch_new(pt, level);
	if (!PF_MUTANT("lazy-sleeps"))
		pf_lazy_mmu_resume();
	if (!pa)
		return 0;
	table = pf_table_of(pa);
	*table = (struct pf_table){.level = (uint8_t)level, .watch = watch};
	pf_port_spin_init(&table->lock, PF_LOCK_TABLE, pa);
	table_fill_empty(pf_port_virt(pa));
	pf_count(&pt->stats.table_alloc, 1);
	pf_add_relaxed(&pt->stats.tables, PF_TABLE_MEM_BYTES);
	return pa;
}

struct pf_leaves pf_table_leaves(struct pf_pt *pt, pf_pa_t pa, unsigned level, pf_va_t va)
{
	return (struct pf_leaves){
		.pt = pt,
		.table = pf_table_of(pa),
		.base = pf_port_virt(pa),
		.va = pf_align_down(va, PF_LEVEL_SIZE(level) << PF_LEVEL_BITS),
		.level = level,
	};
}

/* With the lock: the recheck of what the descent found without. */
static bool stays_locked(struct pf_leaves *t)
{
	const bool alive = !(t->table->flags & PF_TABLE_DEAD) || PF_MUTANT("lock-dead-table");

	if (!alive)
		pf_table_unlock(t);
	return alive;
}

bool pf_table_lock(struct pf_leaves *t)
{
	pf_port_spin_lock(&t->table->lock, PF_LOCK_TABLE, pf_table_pa(t->table));
	return stays_locked(t);
}

static bool table_trylock(struct pf_leaves *t)
{
	return pf_port_spin_trylock(&t->table->lock, PF_LOCK_TABLE, pf_table_pa(t->table)) &&
	       stays_locked(t);
}

void pf_table_unlock(struct pf_leaves *t)
{
	pf_port_spin_unlock(&t->table->lock, PF_LOCK_TABLE, pf_table_pa(t->table));
}

/*
 * Link a new table at t[idx]. The release makes its initialisation (and that of everything below
 * it) visible to any walker, hardware too, that sees the link. Software's walkers load the link with acquire: hardware would order
 * what is at an address behind the load that the address comes of, C does not promise to.
 */
void pf_table_link(struct pf_leaves *t, unsigned idx, pf_pa_t child)
{
	if (PF_MUTANT("link-no-release"))
		pf_hw_store(&t->base[idx], pf_hw_mktable(child));
	else
		pf_hw_store_release(&t->base[idx], pf_hw_mktable(child));
	t->table->live++;
}

/*
 * A table is about to stand where one may just have been taken away by somebody who has not flushed yet (pf_reclaim_pgtables): walk caches
 * must forget the old one first. He was counted before he unlinked it, under the lock that we have now.
 */
static void forget_unlinked(struct pf_pt *pt, pf_va_t va)
{
	struct pf_tlb_req req = {.va = va, .nr = 1, .tables = true, .asid = pt->asid};

	if (!pt->flush_pending || !pf_load_relaxed(pt->flush_pending) ||
		PF_MUTANT("link-ignores-pending"))
		return;
	pf_hw_tlb_issue(pt->features, &req);
	pf_hw_tlb_wait(false);
}

/* Make the table below t[idx] exist and return it; 0 without memory, PF_TABLE_IS_LEAF over a leaf.
 */
static pf_pa_t child_or_new(struct pf_leaves *t, unsigned idx)
{
	pf_hw_t hw = pf_hw_load_acquire(&t->base[idx]);
	pf_pa_t child;

	if (pf_hw_none(hw)) {
		child = pf_table_new(t->pt, t->level - 1);
		if (!child)
			return 0;
		if (!pf_table_lock(t)) {
			/* t was unlinked while we allocated. The caller starts again from the root.
			 */
			pf_table_free(t->pt, pf_table_of(child));
			return PF_TABLE_RETRY;
		}
		hw = pf_hw_load(&t->base[idx]);
		/* Recheck: another may have linked one. */
		if (pf_hw_none(hw)) {
			forget_unlinked(t->pt, pf_leaf_va(t, idx));
			pf_table_link(t, idx, child);
		}
		pf_table_unlock(t);
		if (pf_hw_none(hw))
			return child;
		/* Another thread linked one first; ours was never visible. */
		pf_table_free(t->pt, pf_table_of(child));
	}
	return pf_hw_table(hw, t->level) ? pf_hw_table_pa(hw) : PF_TABLE_IS_LEAF;
}

int pf_pt_alloc_path(struct pf_pt *pt, pf_va_t va, unsigned level)
{
	pf_pa_t pa;
	unsigned l;

again:
	pa = pt->root;
	for (l = PF_LEVELS - 1; l > level; l--) {
		struct pf_leaves t = pf_table_leaves(pt, pa, l, va);

		pa = child_or_new(&t, pf_level_index(va, l));
		if (pa == PF_TABLE_RETRY)
			goto again;
		if (pa == PF_TABLE_IS_LEAF)
			return -PF_EEXIST;
		if (!pa)
			return -PF_ENOMEM;
	}
	return 0;
}

int pf_pte_alloc(struct pf_pt *pt, pf_va_t va)
{
	return pf_pt_alloc_path(pt, va, 0);
}

int pf_pte_alloc_kept(struct pf_pt *pt, pf_va_t va)
{
	struct pf_pte_map m;

	do {
		const int err = pf_pte_alloc(pt, va);

		if (err)
			return err;
	} while (!pf_pte_offset_map_lock(pt, va, &m));
	if (!PF_MUTANT("reclaim-takes-kept"))
		m.table->flags |= PF_TABLE_KEPT;
	pf_pte_unmap_unlock(&m);
	return 0;
}

bool pf_table_find(struct pf_pt *pt, pf_va_t va, unsigned level, struct pf_leaves *t)
{
	pf_pa_t pa = pt->root;

	for (unsigned l = PF_LEVELS - 1; l > level; l--) {
		pf_hw_t *base = pf_port_virt(pa);
		pf_hw_t hw = pf_hw_load_acquire(&base[pf_level_index(va, l)]);

		if (pf_hw_none(hw) || !pf_hw_table(hw, l))
			return false;
		pa = pf_hw_table_pa(hw);
	}
	*t = pf_table_leaves(pt, pa, level, va);
	return true;
}

bool pf_pte_offset_map_lock(struct pf_pt *pt, pf_va_t va, struct pf_pte_map *m)
{
	struct pf_leaves t;
	bool found;

	pf_port_rcu_read_lock();
	do
		found = pf_table_find(pt, va, 0, &t);
	while (found && !pf_table_lock(&t));
	if (found || !PF_MUTANT("map-keeps-rcu"))
		pf_port_rcu_read_unlock();
	if (found)
		*m = (struct pf_pte_map){.pt = pt, .table = t.table, .base = t.base, .va = t.va};
	return found;
}

bool pf_pte_offset_map_lock_nested(
	struct pf_pt *pt, pf_va_t va, struct pf_pte_map *m, const struct pf_pte_map *outer)
{
	if (pt == outer->pt && va - outer->va < PF_LEVEL_SIZE(1)) {
		*m = *outer;
		m->shared = true;
		return true;
	}
	return pf_pte_offset_map_lock(pt, va, m);
}

void pf_pte_unmap_unlock(struct pf_pte_map *m)
{
	if (!m->shared)
		pf_port_spin_unlock(&m->table->lock, PF_LOCK_TABLE, pf_table_pa(m->table));
}

uint64_t pf_pte_hole(struct pf_pt *pt, pf_va_t va, uint64_t max)
{
	pf_pa_t pa = pt->root;
	uint64_t pages = 0;

	pf_port_rcu_read_lock();
	for (unsigned l = PF_LEVELS - 1; l > 0; l--) {
		pf_hw_t *base = pf_port_virt(pa);
		pf_hw_t hw = pf_hw_load_acquire(&base[pf_level_index(va, l)]);

		if (pf_hw_none(hw) || !pf_hw_table(hw, l)) {
			/* To the end of what this entry spans. */
			pages = (PF_LEVEL_SIZE(l) - (va & (PF_LEVEL_SIZE(l) - 1))) >> PF_PAGE_SHIFT;
			break;
		}
		pa = pf_hw_table_pa(hw);
	}
	pf_port_rcu_read_unlock();
	return pf_min(pages, max);
}

bool pf_pt_has_table(struct pf_pt *pt, pf_va_t va, unsigned level)
{
	struct pf_leaves t;
	bool found;

	pf_port_rcu_read_lock();
	found = pf_table_find(pt, va, level, &t);
	pf_port_rcu_read_unlock();
	return found;
}

/*
 * Unlink the empty table below t[idx]. Its own lock is taken inside the parent's (upper before
 * lower, docs/LOCKING.md), so that whoever holds it, or waits for it, finds it either linked or
 * dead. The range is the caller's alone; or it is `shared`: then the table's lock is only tried, for whoever has it
 * uses the table, and may want one of lower address next.
 */
static bool unlink_table(struct pf_leaves *t, unsigned idx, struct pf_table *child, bool shared)
{
	struct pf_leaves c = {.table = child};
	bool dead = false;

	if (!pf_table_lock(t))
		return false;
	if (!(shared ? table_trylock(&c) : pf_table_lock(&c))) {
		pf_table_unlock(t);
		return false;
	}
	/* Recheck: it may have been filled since. */
	if ((!child->live || PF_MUTANT("unlink-no-recheck")) &&
		!(shared && (child->flags & PF_TABLE_KEPT))) {
		dead = true;
		child->flags |= PF_TABLE_DEAD;
		pf_hw_store(&t->base[idx], pf_hw_empty());
		t->table->live--;
	}
	pf_table_unlock(&c);
	pf_table_unlock(t);
	return dead;
}

bool pf_table_unlink(struct pf_leaves *t, unsigned idx, struct pf_table *child)
{
	return unlink_table(t, idx, child, false);
}

/* The leaf table of va, unlinked if it is empty; else NULL. */
static struct pf_table *reclaim_one(struct pf_pt *pt, pf_va_t va)
{
	struct pf_table *table = NULL;
	struct pf_leaves t;

	/* Keeps the tables that are found: others may unlink them, too. */
	pf_port_rcu_read_lock();
	if (pf_table_find(pt, va, 1, &t)) {
		const unsigned idx = pf_level_index(va, 1);
		pf_hw_t hw = pf_hw_load_acquire(&t.base[idx]);

		if (!pf_hw_none(hw) && pf_hw_table(hw, 1))
			table = pf_table_of(pf_hw_table_pa(hw));
		if (table && !unlink_table(&t, idx, table, true))
			table = NULL;
	}
	pf_port_rcu_read_unlock();
	return table;
}

void pf_reclaim_pgtables(struct pf_pt *pt, pf_va_t va, uint64_t nr,
	void (*unlinked)(void *ctx, struct pf_table *table, pf_va_t va), void *ctx)
{
	const pf_va_t end = va + (nr << PF_PAGE_SHIFT), span = PF_LEVEL_SIZE(1);

	for (va = pf_align_up(va, span); va < end && end - va >= span; va += span) {
		struct pf_table *table = reclaim_one(pt, va);

		if (table)
			unlinked(ctx, table, va);
	}
}

struct free_ctx {
	pf_va_t floor_last; /* last byte of the range that may lose its tables */
	pf_va_t floor;
	void (*unlinked)(void *ctx, struct pf_table *table, pf_va_t va);
	void *ctx;
};

/* Depth: one call a level. */
static void free_below(struct pf_leaves *t, pf_va_t va, uint64_t nr, const struct free_ctx *f)
{
	const unsigned shift = PF_LEVEL_SHIFT(t->level) - PF_PAGE_SHIFT;

	while (nr) {
		unsigned idx = pf_level_index(va, t->level);
		pf_va_t span = pf_leaf_va(t, idx);
		uint64_t n = (UINT64_C(1) << shift) - ((va - span) >> PF_PAGE_SHIFT);
		pf_hw_t hw = pf_hw_load(&t->base[idx]);

		n = pf_min(n, nr);
		if (!pf_hw_none(hw) && pf_hw_table(hw, t->level)) {
			struct pf_leaves c =
				pf_table_leaves(t->pt, pf_hw_table_pa(hw), t->level - 1, va);

			if (t->level > 1)
				free_below(&c, va, n, f);
			if (span >= f->floor &&
				span + (PF_LEVEL_SIZE(t->level) - 1) <= f->floor_last &&
				!c.table->live && pf_table_unlink(t, idx, c.table))
				f->unlinked(f->ctx, c.table, va);
		}
		va += n << PF_PAGE_SHIFT;
		nr -= n;
	}
}

void pf_free_pgtables(struct pf_pt *pt, pf_va_t va, uint64_t nr, pf_va_t floor, uint64_t floor_nr,
	void (*unlinked)(void *ctx, struct pf_table *table, pf_va_t va), void *ctx)
{
	struct pf_leaves root = pf_table_leaves(pt, pt->root, PF_LEVELS - 1, va);
	struct free_ctx f = {
		.floor = floor,
		.floor_last = floor + ((floor_nr - 1) << PF_PAGE_SHIFT) + (PF_PAGE_SIZE - 1),
		.unlinked = unlinked,
		.ctx = ctx,
	};

	free_below(&root, va, nr, &f);
}
