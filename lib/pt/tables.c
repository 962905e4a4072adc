/* SPDX-License-Identifier: MIT */
/*
 * Page tables for those who want only page tables: what pf_pt.h promises. Every change validates
 * and allocates before its first store.
 */
#include "pt/lazy.h"
#include "pt/walk.h"

static int tables_init(struct pf_pt *pt, const struct pf_table_mem *mem, uint32_t features,
	uint16_t asid, unsigned flags, enum pf_fold_policy policy)
{
	if ((flags & PF_PT_KERNEL) && !(PF_PTE_SUPPORTED & PF_PTE_KERNEL))
		return -PF_EOPNOTSUPP;
	*pt = (struct pf_pt){
		.fmt = &pf_pt_format_this,
		.asid = asid,
		.flags = (uint8_t)flags,
		.policy = (uint8_t)policy,
		.features = features,
		.mem = mem,
	};
	pt->root = pf_table_new(pt, PF_LEVELS - 1);
	return pt->root ? 0 : -PF_ENOMEM;
}

/* Tables first: level by level, so that the deepest go before those that point to them. */
static void destroy_below(struct pf_pt *pt, pf_pa_t pa, unsigned level)
{
	pf_hw_t *base = pf_port_virt(pa);

	for (unsigned i = 0; level && i < PF_TABLE_ENTRIES; i++) {
		pf_hw_t hw = pf_hw_load(&base[i]);

		if (!pf_hw_none(hw) && pf_hw_table(hw, level))
			destroy_below(pt, pf_hw_table_pa(hw), level - 1);
	}
	pf_table_free(pt, pf_table_of(pa));
}

static void tables_destroy(struct pf_pt *pt)
{
	struct pf_tlb_req req = {
		.whole_asid = true,
		.tables = true,
		.asid = pt->asid,
		.global = pt->flags & PF_PT_KERNEL,
	};

	/*
	 * Nobody walks the tree any more; what TLBs and walk caches still know of it dies here. If the root is
	 * empty they know nothing: whoever took the last entry out has flushed, before it freed what hung there.
	 */
	if (pf_table_of(pt->root)->live) {
		pf_hw_tlb_issue(pt->features, &req);
		pf_hw_tlb_wait(false);
	}
	destroy_below(pt, pt->root, PF_LEVELS - 1);
	pt->root = 0;
}

static bool range_ok(pf_va_t va, uint64_t nr)
{
	const uint64_t pages = UINT64_C(1) << (PF_VA_BITS - PF_PAGE_SHIFT);
	uint64_t first = va >> PF_PAGE_SHIFT;

	return nr && pf_aligned(va, PF_PAGE_SIZE) && first < pages && nr <= pages - first;
}

/*
 * Rights and attributes that entries of this tree may have. Global ones belong into a kernel's tree: a
 * flush by ASID, which is what other trees are flushed by, leaves global translations alone.
 */
static bool prot_ok(const struct pf_pt *pt, uint64_t prot, uint64_t allowed)
{
	if (!(pt->flags & PF_PT_KERNEL))
		allowed &= ~PF_PTE_KERNEL;
	return !(prot & ~(allowed & PF_PTE_SUPPORTED));
}

/* One piece of a walk: `n` pages from va, all below one entry of t's level. */
static uint64_t pages_below(const struct pf_leaves *t, pf_va_t va, uint64_t nr)
{
	uint64_t span = PF_LEVEL_SIZE(t->level) - (va & (PF_LEVEL_SIZE(t->level) - 1));

	return pf_min(span >> PF_PAGE_SHIFT, nr);
}

static bool leaf_fits(unsigned level, pf_va_t va, uint64_t nr, pf_pfn_t pfn)
{
	uint64_t pages = PF_LEVEL_SIZE(level) >> PF_PAGE_SHIFT;

	return (PF_LEAF_LEVELS & (1u << level)) && nr >= pages &&
	       pf_aligned(va, PF_LEVEL_SIZE(level)) && pf_aligned(pfn, pages);
}

/* Slots from idx, at most max pages' worth, that one leaf each of t's level maps from here on. */
static unsigned leaf_slots(const struct pf_leaves *t, unsigned idx, uint64_t nr)
{
	return (unsigned)pf_min(
		PF_TABLE_ENTRIES - idx, nr >> (PF_LEVEL_SHIFT(t->level) - PF_PAGE_SHIFT));
}

/* First pass of map: every slot we shall write is empty, every table we need exists. */
static int map_prepare(struct pf_leaves *t, pf_va_t va, uint64_t nr, pf_pfn_t pfn)
{
	while (nr) {
		unsigned idx = pf_level_index(va, t->level);
		uint64_t n;

		if (t->level == 0) {
			n = pf_min(PF_TABLE_ENTRIES - idx, nr);
			for (unsigned i = idx; i < idx + n; i++)
				if (!pf_hw_none(pf_hw_load(&t->base[i])))
					return -PF_EEXIST;
		} else {
			pf_hw_t hw = pf_hw_load(&t->base[idx]);
			struct pf_leaves c;
			int err;

			n = pages_below(t, va, nr);
			if (pf_hw_none(hw)) {
				if (!leaf_fits(t->level, va, n, pfn)) {
					err = pf_pt_alloc_path(t->pt, va, t->level - 1);
					if (err)
						return err;
					hw = pf_hw_load(&t->base[idx]);
				}
			} else if (!pf_hw_table(hw, t->level)) {
				return -PF_EEXIST;
			}
			if (!pf_hw_none(hw)) {
				c = pf_table_leaves(t->pt, pf_hw_table_pa(hw), t->level - 1, va);
				err = map_prepare(&c, va, n, pfn);
				if (err)
					return err;
			}
		}
		va += n << PF_PAGE_SHIFT;
		nr -= n;
		pfn += n;
	}
	return 0;
}

static void map_commit(
	struct pf_leaves *t, pf_va_t va, uint64_t nr, pf_pte_t pte, struct pf_extent extent)
{
	while (nr) {
		unsigned idx = pf_level_index(va, t->level);
		pf_hw_t hw = pf_hw_load(&t->base[idx]);
		uint64_t n;

		if (t->level == 0 || pf_hw_none(hw)) {
			unsigned slots = leaf_slots(t, idx, nr), i;

			/* Up to the next slot that holds a table. */
			for (i = 1; t->level && i < slots; i++)
				if (!pf_hw_none(pf_hw_load(&t->base[idx + i])))
					break;
			if (t->level)
				slots = i;
			pf_table_lock(t);
			pf_leaves_set(t, idx, pte, slots, extent);
			pf_table_unlock(t);
			n = (uint64_t)slots << (PF_LEVEL_SHIFT(t->level) - PF_PAGE_SHIFT);
		} else {
			struct pf_leaves c =
				pf_table_leaves(t->pt, pf_hw_table_pa(hw), t->level - 1, va);

			n = pages_below(t, va, nr);
			map_commit(&c, va, n, pte, extent);
		}
		va += n << PF_PAGE_SHIFT;
		nr -= n;
		pte = pf_pte_advance(pte, n);
	}
}

/* Tables unlinked by one call, to be freed after its flush. */
static void collect_unlinked(void *ctx, struct pf_table *table, pf_va_t va)
{
	struct pf_table **head = ctx;

	(void)va;
	table->next = *head;
	*head = table;
}

/*
 * Free what was unlinked, after walk caches have forgotten it. Software's lockless walkers of such
 * trees are the caller's own and excluded by contract.
 */
static void free_unlinked(struct pf_pt *pt, struct pf_table *table)
{
	while (table) {
		struct pf_table *next = table->next;

		pf_table_free(pt, table);
		table = next;
	}
}

static void flush(struct pf_pt *pt, pf_va_t va, uint64_t nr, bool tables)
{
	struct pf_tlb_req req = {
		.va = va,
		.nr = nr,
		.tables = tables,
		.asid = pt->asid,
		.global = pt->flags & PF_PT_KERNEL,
	};

	pf_hw_tlb_issue(pt->features, &req);
	pf_hw_tlb_wait(false);
}

/* Free the tables below the range that hold nothing. Anything else cached of the range is forgotten
 * too. */
static void trim(struct pf_pt *pt, pf_va_t va, uint64_t nr, bool flush_leaves)
{
	const uint64_t all = UINT64_C(1) << (PF_VA_BITS - PF_PAGE_SHIFT);
	struct pf_table *unlinked = NULL;

	pf_free_pgtables(pt, va, nr, 0, all, collect_unlinked, &unlinked);
	if (unlinked || flush_leaves)
		flush(pt, va, nr, unlinked != NULL);
	free_unlinked(pt, unlinked);
}

static struct pf_leaves root_of(struct pf_pt *pt, pf_va_t va)
{
	return pf_table_leaves(pt, pt->root, PF_LEVELS - 1, va);
}

static int tables_map(struct pf_pt *pt, pf_va_t va, uint64_t nr, pf_pfn_t pfn, uint64_t prot)
{
	struct pf_leaves root = root_of(pt, va);
	pf_pte_t pte;
	int err;

	if (!range_ok(va, nr) || !prot_ok(pt, prot, UINT64_MAX))
		return -PF_EINVAL;
	/* Each by itself, so that the sum cannot wrap. */
	if (pfn >> PF_PFN_BITS || (pfn + nr - 1) >> PF_PFN_BITS)
		return -PF_EINVAL;
	/* Where no fault can be taken no A or D is left for hardware to set: see convert_in_place()
	 * in contig.c. */
	if (pt->flags & PF_PT_NOFAULT)
		prot |= PF_PTE_A | (prot & PF_PTE_W ? PF_PTE_D : 0);
	if (pt->flags & PF_PT_KERNEL)
		prot |= PF_PTE_KERNEL;
	pte = pf_pte_mk(pfn, prot);
	err = map_prepare(&root, va, nr, pfn);
	if (err) {
		trim(pt, va, nr, false);
		return err;
	}
	map_commit(&root, va, nr, pte, (struct pf_extent){pfn, nr});
	/* A walker may go on missing an entry that was stored and not published. Elsewhere that costs
	 * one fault more, whose entry into the kernel publishes. */
	if (pt->flags & PF_PT_NOFAULT)
		pf_lazy_mmu_publish();
	return 0;
}

/* ---- changes inside what is mapped: unmap and protect ---- */

/*
 * A leaf above level 0, or a contiguous block, of which [va, va + nr) is only a part, must be split
 * or unfolded first. Both replace live translations by others of another size.
 */
static bool live_resize_ok(const struct pf_pt *pt)
{
	return !(pt->flags & PF_PT_NOFAULT) || (pt->features & PF_FEAT_BBM2_NOABORT);
}

/* Tables taken before the first store; at most two leaves are split, each down to level 0. */
struct spare {
	pf_pa_t pa[2 * (PF_LEVELS - 1)];
	unsigned nr;
};

static int edge_prepare(struct pf_pt *pt, pf_va_t va, uint64_t nr, struct spare *s)
{
	/* The two pages at the ends decide: only what holds them can reach over an end. */
	for (unsigned end = 0; end < 2; end++) {
		pf_va_t page = end ? va + ((nr - 1) << PF_PAGE_SHIFT) : va;
		pf_va_t cut = end ? page + PF_PAGE_SIZE : va;
		pf_pa_t pa = pt->root;

		for (unsigned l = PF_LEVELS - 1;; l--) {
			struct pf_leaves t = pf_table_leaves(pt, pa, l, page);
			unsigned idx = pf_level_index(page, l);
			pf_hw_t hw = pf_hw_load(&t.base[idx]);

			if (pf_hw_none(hw))
				break;
			if (l && pf_hw_table(hw, l)) {
				pa = pf_hw_table_pa(hw);
				continue;
			}
			if (pf_slot_cont(&t, idx) && !pf_aligned(cut, PF_CONT_SIZE(l)) &&
				!live_resize_ok(pt))
				return -PF_EBUSY;
			if (pf_aligned(cut, PF_LEVEL_SIZE(l)))
				break;
			if (!live_resize_ok(pt))
				return -PF_EBUSY;
			for (; l; l--) {
				s->pa[s->nr] = pf_table_new(pt, l - 1);
				if (!s->pa[s->nr])
					return -PF_ENOMEM;
				s->nr++;
				if (pf_aligned(cut, PF_LEVEL_SIZE(l - 1)))
					break;
			}
			break;
		}
	}
	return 0;
}

static void spare_free(struct pf_pt *pt, struct spare *s)
{
	while (s->nr)
		pf_table_free(pt, pf_table_of(s->pa[--s->nr]));
}

/*
 * Replace the leaf at t[idx] by a table of leaves of the next lower level. t is locked.
 * Break-before-make (RWHZWS: change of block size), unless the tree cannot take it and the hardware
 * does without.
 */
static void split_leaf(struct pf_leaves *t, unsigned idx, struct spare *s)
{
	struct pf_leaves c;
	pf_hw_t hw;
	pf_pte_t pte;
	pf_pa_t pa;

	pf_contpte_unfold(t, idx);
	hw = pf_hw_load(&t->base[idx]);
	pa = s->pa[--s->nr];
	if (!(t->pt->flags & PF_PT_NOFAULT)) {
		hw = pf_hw_take(t->pt, &t->base[idx]);
		flush(t->pt, pf_leaf_va(t, idx), PF_LEVEL_SIZE(t->level) >> PF_PAGE_SHIFT, false);
	}
	pte = pf_hw_decode(hw, t->level, idx);
	pf_leaves_tell(t, pte, 1, false);
	c = pf_table_leaves(t->pt, pa, t->level - 1, pf_leaf_va(t, idx));
	c.table->level = (uint8_t)(t->level - 1);
	pf_leaves_set(&c, 0, pte, PF_TABLE_ENTRIES,
		(struct pf_extent){pf_pte_pfn(pte), PF_LEVEL_SIZE(t->level) >> PF_PAGE_SHIFT});
	pf_table_link(t, idx, pa);
	t->table->live--; /* the table took the leaf's place */
}

struct edit {
	bool unmap;
	uint64_t prot, set;
	bool flush;
	struct spare *spare;
};

/* Present slots from idx, at most max; for pf_leaves_modify(), that differ in nothing but A and D. */
static unsigned stretch(const struct pf_leaves *t, unsigned idx, unsigned max, bool uniform)
{
	const unsigned respect = PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY;
	pf_hw_t norm = pf_hw_norm(pf_hw_load(&t->base[idx]), t->level, idx, respect);
	unsigned n = 1;

	for (; n < max; n++) {
		pf_hw_t hw = pf_hw_load(&t->base[idx + n]);

		if (!pf_hw_present(hw, t->level))
			break;
		if (uniform && !pf_hw_same(pf_hw_norm(hw, t->level, idx + n, respect),
				       pf_hw_advance(norm, t->level, n)))
			break;
	}
	return n;
}

/* One stretch of leaves of t's level inside the range, whole. */
static void edit_leaves(struct pf_leaves *t, unsigned idx, unsigned slots, struct edit *e)
{
	while (slots) {
		pf_hw_t hw = pf_hw_load(&t->base[idx]);
		unsigned n = 1;

		if (pf_hw_none(hw) || (t->level && pf_hw_table(hw, t->level)))
			goto next;
		n = stretch(t, idx, slots, !e->unmap);
		if (e->unmap) {
			pf_contpte_unfold_ends(t, idx, n);
			pf_leaves_clear(t, idx, n);
			e->flush = true;
		} else {
			e->flush |= pf_leaves_modify(t, idx, n, e->prot, e->set, 0, PF_NO_EXTENT);
		}
	next:
		idx += n;
		slots -= n;
	}
}

static void edit_range(struct pf_leaves *t, pf_va_t va, uint64_t nr, struct edit *e)
{
	while (nr) {
		unsigned idx = pf_level_index(va, t->level);
		pf_hw_t hw = pf_hw_load(&t->base[idx]);
		uint64_t n = pages_below(t, va, nr);
		bool whole = n == PF_LEVEL_SIZE(t->level) >> PF_PAGE_SHIFT;

		if (t->level && !pf_hw_none(hw) && !pf_hw_table(hw, t->level) && !whole) {
			pf_table_lock(t);
			split_leaf(t, idx, e->spare);
			pf_table_unlock(t);
			hw = pf_hw_load(&t->base[idx]);
		}
		if (t->level && !pf_hw_none(hw) && pf_hw_table(hw, t->level)) {
			struct pf_leaves c =
				pf_table_leaves(t->pt, pf_hw_table_pa(hw), t->level - 1, va);

			edit_range(&c, va, n, e);
		} else if (!pf_hw_none(hw)) {
			unsigned slots = leaf_slots(t, idx, nr), i = 1;

			for (; t->level && i < slots; i++) {
				hw = pf_hw_load(&t->base[idx + i]);
				if (pf_hw_none(hw) || pf_hw_table(hw, t->level))
					break;
			}
			if (t->level)
				slots = i;
			pf_table_lock(t);
			edit_leaves(t, idx, slots, e);
			pf_table_unlock(t);
			n = (uint64_t)slots << (PF_LEVEL_SHIFT(t->level) - PF_PAGE_SHIFT);
		} else if (!t->level) {
			n = 1;
		}
		va += n << PF_PAGE_SHIFT;
		nr -= n;
	}
}

/*
 * A tree that takes no fault: what needs break-before-make whatever the hardware is refused. Where it
 * cannot be resized live either, a folded block may change in W only, which its members may differ in
 * while they change one by one. Anything else would have to empty or unfold it.
 */
static int protect_check(struct pf_leaves *t, pf_va_t va, uint64_t nr, uint64_t prot)
{
	while (nr) {
		unsigned idx = pf_level_index(va, t->level);
		pf_hw_t hw = pf_hw_load(&t->base[idx]);
		uint64_t n = pages_below(t, va, nr);

		if (t->level && !pf_hw_none(hw) && pf_hw_table(hw, t->level)) {
			struct pf_leaves c =
				pf_table_leaves(t->pt, pf_hw_table_pa(hw), t->level - 1, va);
			int err = protect_check(&c, va, n, prot);

			if (err)
				return err;
		} else if (pf_hw_present(hw, t->level)) {
			if (pf_retypes(hw, t->level, idx, prot))
				return -PF_EBUSY;
			if (pf_hw_cont(hw) && !live_resize_ok(t->pt) &&
				!pf_only_write_differs(hw, t->level, idx, prot))
				return -PF_EBUSY;
		}
		va += n << PF_PAGE_SHIFT;
		nr -= n;
	}
	return 0;
}

static int edit(struct pf_pt *pt, pf_va_t va, uint64_t nr, struct edit *e)
{
	struct pf_leaves root = root_of(pt, va);
	struct spare s = {.nr = 0};
	int err = edge_prepare(pt, va, nr, &s);

	if (!err && !e->unmap && (pt->flags & PF_PT_NOFAULT))
		err = protect_check(&root, va, nr, e->prot);
	if (!err) {
		e->spare = &s;
		edit_range(&root, va, nr, e);
	}
	spare_free(pt, &s);
	return err;
}

static int tables_unmap(struct pf_pt *pt, pf_va_t va, uint64_t nr)
{
	struct edit e = {.unmap = true};
	int err;

	if (!range_ok(va, nr))
		return -PF_EINVAL;
	err = edit(pt, va, nr, &e);
	if (!err)
		trim(pt, va, nr, e.flush);
	return err;
}

static int tables_protect(struct pf_pt *pt, pf_va_t va, uint64_t nr, uint64_t prot)
{
	struct edit e = {.prot = prot};
	int err;

	if (!range_ok(va, nr) || !prot_ok(pt, prot, PF_PTE_PROT_BITS))
		return -PF_EINVAL;
	/* As in tables_map(): what becomes writable must be settled from its first store on. */
	if ((pt->flags & PF_PT_NOFAULT) && (prot & PF_PTE_W))
		e.set = PF_PTE_D;
	if (pt->flags & PF_PT_KERNEL)
		e.prot |= PF_PTE_KERNEL;
	err = edit(pt, va, nr, &e);
	/* What nobody could use before (PROT_NONE) has nothing to be flushed, but owes what a new mapping does. */
	if (!err && e.flush)
		flush(pt, va, nr, false);
	else if (!err && (pt->flags & PF_PT_NOFAULT))
		pf_lazy_mmu_publish();
	return err;
}

static int tables_query(struct pf_pt *pt, pf_va_t va, uint64_t max, struct pf_run *run)
{
	pf_pa_t pa = pt->root;
	unsigned l = PF_LEVELS - 1;

	if (!range_ok(va, max))
		return -PF_EINVAL;
	for (;; l--) {
		struct pf_leaves t = pf_table_leaves(pt, pa, l, va);
		unsigned idx = pf_level_index(va, l), n = 1, slots;
		const unsigned respect = PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY;
		uint64_t pages, skip = (va & (PF_LEVEL_SIZE(l) - 1)) >> PF_PAGE_SHIFT;
		pf_hw_t hw = pf_hw_load(&t.base[idx]), expected;
		bool none = pf_hw_none(hw);

		if (!none && l && pf_hw_table(hw, l)) {
			pa = pf_hw_table_pa(hw);
			continue;
		}
		/* As many as max pages can lie in: a walk of a large mapping costs what it asks for. */
		slots = (unsigned)pf_min(PF_TABLE_ENTRIES - idx,
			((skip + max - 1) >> (PF_LEVEL_SHIFT(l) - PF_PAGE_SHIFT)) + 1);
		if (none) {
			while (n < slots && pf_hw_none(pf_hw_load(&t.base[idx + n])))
				n++;
		} else {
			expected = pf_hw_norm(hw, l, idx, respect);
			while (n < slots) {
				pf_hw_t w = pf_hw_load(&t.base[idx + n]);

				if (!pf_hw_present(w, l) || (l && pf_hw_table(w, l)) ||
					!pf_hw_same(pf_hw_norm(w, l, idx + n, respect),
						pf_hw_advance(expected, l, n)))
					break;
				n++;
			}
		}
		pages = ((uint64_t)n << (PF_LEVEL_SHIFT(l) - PF_PAGE_SHIFT)) - skip;
		*run = (struct pf_run){.va = va, .nr = pf_min(pages, max)};
		if (none)
			return 0;
		run->leaf_size = pf_slot_cont(&t, idx) ? PF_CONT_SIZE(l) : PF_LEVEL_SIZE(l);
		if (pf_slot_cont(&t, idx))
			hw = pf_block_gather(&t, idx, hw);
		run->first = pf_pte_advance(pf_hw_decode(hw, l, idx), skip);
		return 1;
	}
}

static bool age_range(struct pf_leaves *t, pf_va_t va, uint64_t nr)
{
	bool young = false;

	while (nr) {
		unsigned idx = pf_level_index(va, t->level);
		pf_hw_t hw = pf_hw_load(&t->base[idx]);
		uint64_t n = pages_below(t, va, nr);

		if (t->level && !pf_hw_none(hw) && pf_hw_table(hw, t->level)) {
			struct pf_leaves c =
				pf_table_leaves(t->pt, pf_hw_table_pa(hw), t->level - 1, va);

			young |= age_range(&c, va, n);
		} else if (pf_hw_present(hw, t->level)) {
			unsigned first = idx, last = idx;

			/* A is the block's: all of it, even where the range ends inside. */
			if (pf_slot_cont(t, idx)) {
				first = pf_block_first(t->level, idx);
				last = first + PF_CONT_NR(t->level) - 1;
			}
			pf_table_lock(t);
			for (unsigned i = first; i <= last; i++)
				young |= pf_slot_clear_young(t, i);
			pf_table_unlock(t);
		}
		va += n << PF_PAGE_SHIFT;
		nr -= n;
	}
	return young;
}

static int tables_age(struct pf_pt *pt, pf_va_t va, uint64_t nr)
{
	struct pf_leaves root = root_of(pt, va);
	struct pf_tlb_req req = {
		.va = va,
		.nr = nr,
		.asid = pt->asid,
		.global = pt->flags & PF_PT_KERNEL,
	};

	if (!range_ok(va, nr))
		return -PF_EINVAL;
	/* Entries of such trees keep A: they must stay settled. */
	if (pt->flags & PF_PT_NOFAULT)
		return -PF_EOPNOTSUPP;
	if (!age_range(&root, va, nr))
		return 0;
	/* Not waited for: young-clearing is the one ticket that may be dropped. */
	pf_hw_tlb_issue(pt->features, &req);
	return 1;
}

static void tables_tlb_issue(struct pf_pt *pt, const struct pf_tlb_req *req)
{
	pf_hw_tlb_issue(pt->features, req);
}

static void tables_tlb_wait(struct pf_pt *pt, const struct pf_tlb_req *req)
{
	(void)pt;
	pf_hw_tlb_wait(req->local);
}

const struct pf_pt_format pf_pt_format_this = {
	.name = PF_FMT_NAME,
	.page_shift = PF_PAGE_SHIFT,
	.levels = PF_LEVELS,
	.level_bits = PF_LEVEL_BITS,
	.va_bits = PF_VA_BITS,
	.entry_shift = PF_ENTRY_SHIFT,
	.cont_shift = {PF_CONT_SHIFT(0), PF_CONT_SHIFT(1), PF_CONT_SHIFT(2)},
	.leaf_levels = PF_LEAF_LEVELS,
	.swap_offset_bits = PF_SWAP_OFFSET_BITS,
	.pfn_bits = PF_PFN_BITS,
	.pte_supported = PF_PTE_SUPPORTED,
	.ad_features = PF_HW_AD_FEATURES,
	.init = tables_init,
	.destroy = tables_destroy,
	.map = tables_map,
	.unmap = tables_unmap,
	.protect = tables_protect,
	.query = tables_query,
	.age = tables_age,
	.tlb_issue = tables_tlb_issue,
	.tlb_wait = tables_tlb_wait,
};
