/* SPDX-License-Identifier: MIT */
/*
 * What the loops share: the tables of a range, and the folios of a run. Private to lib/ops.
 */
#ifndef PF_OPS_INTERNAL_H
#define PF_OPS_INTERNAL_H

#include "base/err.h"
#include "ops/notify.h"
#include "ops/ops.h"
#include "ops/where.h"
#include "phys/phys.h"
#include "phys/rmap.h"
#include "pt/pt.h"

#define pf_fault                PF_FN(fault)
#define pf_map_file             PF_FN(map_file)
#define pf_cow_file             PF_FN(cow_file)
#define pf_mkclean_range        PF_FN(mkclean_range)
#define pf_copy_range           PF_FN(copy_range)
#define pf_change_protection    PF_FN(change_protection)
#define pf_zap_range            PF_FN(zap_range)
#define pf_alloc_tables         PF_FN(alloc_tables)
#define pf_guard_install        PF_FN(guard_install)
#define pf_guard_remove         PF_FN(guard_remove)
#define pf_move_prepare         PF_FN(move_prepare)
#define pf_move_range           PF_FN(move_range)
#define pf_mapped_one           PF_FN(mapped_one)
#define pf_referenced_one       PF_FN(referenced_one)
#define pf_age_range            PF_FN(age_range)
#define pf_try_to_migrate_one   PF_FN(try_to_migrate_one)
#define pf_remove_migration_one PF_FN(remove_migration_one)
#define pf_get_folio            PF_FN(get_folio)
#define pf_free_tables          PF_FN(free_tables)
#define pf_reclaim_tables       PF_FN(reclaim_tables)
#define pf_follow_pages         PF_FN(follow_pages)
#define pf_follow_pages_fast    PF_FN(follow_pages_fast)
#define pf_swap_look_at         PF_FN(swap_look_at)
#define pf_swap_in              PF_FN(swap_in)
#define pf_unmap                PF_FN(unmap)
#define pf_folio_run            PF_FN(folio_run)
#define pf_free_lazily          PF_FN(free_lazily)
#define pf_make_old             PF_FN(make_old)
#define pf_poison_one           PF_FN(poison_one)
#define pf_ksm_protect          PF_FN(ksm_protect)
#define pf_ksm_replace          PF_FN(ksm_replace)
#define pf_collapse_scan        PF_FN(collapse_scan)
#define pf_collapse_install     PF_FN(collapse_install)
#define pf_uffd_fill            PF_FN(uffd_fill)
#define pf_uffd_poison_run      PF_FN(uffd_poison_run)
#define pf_uffd_move_run        PF_FN(uffd_move_run)
#define pf_get_page_run         PF_FN(get_page_run)
#define pf_protect_page_run     PF_FN(protect_page_run)
#define pf_clear_refs           PF_FN(clear_refs)
#define pf_clear_soft_dirty     PF_FN(clear_soft_dirty)
#define pf_make_exclusive       PF_FN(make_exclusive)
#define pf_lock_private         PF_FN(lock_private)
#define pf_end_exclusive        PF_FN(end_exclusive)
#define pf_insert_pfns          PF_FN(insert_pfns)
#define pf_put_copy             PF_FN(put_copy)
#define pf_follow_pfn           PF_FN(follow_pfn)
#define pf_follow_pfn_end       PF_FN(follow_pfn_end)
#define pf_format_this          PF_CAT2(pf_format_, PF_FMT)

/* What struct pf_format offers; documented there. */
enum pf_fault_result pf_fault(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	unsigned flags, uint32_t orders);
enum pf_fault_result pf_map_file(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	unsigned flags, const struct pf_file_run *run, unsigned nr);
enum pf_fault_result pf_cow_file(
	struct pf_space *space, const struct pf_area *area, pf_va_t va, pf_pfn_t pfn);
void pf_mkclean_range(
	struct pf_space *space, const struct pf_area *area, pf_va_t va, uint64_t nr, pf_pfn_t pfn);
int pf_copy_range(struct pf_space *dst, struct pf_space *src, const struct pf_area *dst_area,
	const struct pf_area *src_area, pf_va_t va, uint64_t nr, bool *flush);
int64_t pf_change_protection(struct pf_gather *g, const struct pf_area *area, pf_va_t va,
	uint64_t nr, uint64_t prot, unsigned cp_flags);
void pf_zap_range(
	struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr, unsigned flags);
int pf_alloc_tables(struct pf_space *space, pf_va_t va, uint64_t nr);
void pf_guard_install(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);
void pf_guard_remove(struct pf_space *space, pf_va_t va, uint64_t nr);
int pf_move_prepare(struct pf_space *space, pf_va_t from, pf_va_t to, uint64_t nr);
void pf_move_range(struct pf_space *space, const struct pf_area *old_area, pf_va_t from,
	const struct pf_area *new_area, pf_va_t to, uint64_t nr);
uint64_t pf_mapped_one(struct pf_space *space, const struct pf_rmap_place *place);
bool pf_referenced_one(struct pf_space *space, const struct pf_rmap_place *place, enum pf_age how);
bool pf_try_to_migrate_one(struct pf_space *space, const struct pf_rmap_place *place);
void pf_remove_migration_one(struct pf_space *space, const struct pf_area *area,
	const struct pf_rmap_place *place, pf_pfn_t to);
struct pf_folio *pf_get_folio(struct pf_space *space, pf_va_t *va, uint64_t *nr);
uint64_t pf_age_range(struct pf_space *space, pf_va_t va, uint64_t nr, enum pf_age how);
int64_t pf_follow_pages(struct pf_space *space, const struct pf_area *area, pf_va_t va, uint64_t nr,
	unsigned foll, pf_pfn_t *pages, unsigned *want);
uint64_t pf_follow_pages_fast(
	struct pf_space *space, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages);
bool pf_swap_look_at(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	uint32_t orders, struct pf_swap_look *look);
void pf_swap_in(struct pf_space *space, const struct pf_area *area, pf_va_t va, unsigned flags,
	const struct pf_swap_look *look, struct pf_folio *folio);
bool pf_unmap(struct pf_space *space, const struct pf_area *area, pf_va_t va, uint64_t nr,
	struct pf_folio *folio, pf_pfn_t pfn);
uint64_t pf_folio_run(
	struct pf_space *space, pf_va_t va, uint64_t max, struct pf_folio **folio, pf_pfn_t *pfn);
uint64_t pf_free_lazily(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);
uint64_t pf_make_old(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);
void pf_poison_one(struct pf_space *space, const struct pf_area *area,
	const struct pf_rmap_place *place, bool again);
int pf_ksm_protect(struct pf_space *space, pf_va_t va, struct pf_folio *folio);
int pf_ksm_replace(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	struct pf_folio *folio, struct pf_folio *by, uint32_t handle);
bool pf_collapse_scan(struct pf_space *space, pf_va_t va, struct pf_collapse_view *scan);
bool pf_collapse_install(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	struct pf_folio *folio, unsigned taken);
int pf_uffd_fill(struct pf_space *space, const struct pf_area *area, pf_va_t va, pf_pfn_t pfn,
	unsigned nr, unsigned flags);
int pf_uffd_poison_run(struct pf_space *space, pf_va_t va, uint64_t nr);
enum pf_move pf_uffd_move_run(struct pf_space *space, const struct pf_area *area, pf_va_t from,
	pf_va_t to, bool holes, uint64_t *nr, struct pf_folio **large);
void pf_protect_page_run(struct pf_gather *g, pf_va_t va, uint64_t max, struct pf_page_run *run,
	uint64_t (*tell)(void *ctx, const struct pf_page_run *run), void *ctx);
void pf_get_page_run(struct pf_space *space, pf_va_t va, uint64_t max, struct pf_page_run *run);
void pf_clear_refs(struct pf_space *space, pf_va_t va, uint64_t nr);
void pf_clear_soft_dirty(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);
void pf_free_tables(struct pf_gather *g, pf_va_t va, uint64_t nr, pf_va_t floor, uint64_t floor_nr);
void pf_reclaim_tables(struct pf_gather *g, pf_va_t va, uint64_t nr);
struct pf_folio *pf_lock_private(struct pf_space *space, pf_va_t va);
bool pf_make_exclusive(struct pf_space *space, pf_va_t va, pf_pfn_t pfn);
bool pf_end_exclusive(struct pf_space *space, const struct pf_area *area, pf_va_t va);
int64_t pf_insert_pfns(
	struct pf_space *space, const struct pf_area *area, pf_va_t va, unsigned nr, pf_pfn_t pfn);
bool pf_put_copy(struct pf_space *space, const struct pf_area *area, pf_va_t va, pf_pte_t old,
	struct pf_folio *copy, bool write);
struct pf_table *pf_follow_pfn(struct pf_space *space, pf_va_t va, pf_pte_t *pte);
void pf_follow_pfn_end(struct pf_space *space, struct pf_table *table);

/*
 * numa.c: hints for a range, as change_protection with PF_CP_PROT_NUMA; and a fault on one, with its table's lock held: the
 * folio's hints in this area and this table are taken back. Nothing is flushed: no TLB has anything of them.
 */
#define pf_hint_range PF_FN(hint_range)
#define pf_fault_hint PF_FN(fault_hint)
int64_t pf_hint_range(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);
void pf_fault_hint(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	struct pf_pte_map *m, pf_pte_t pte);
/*
 * protect.c: nr PROT_NONE entries of one folio, or of the page of zeros, that begin with `pte` get the area's rights, W only
 * where a fault would give it without a question.
 */
#define pf_restore_prot PF_FN(restore_prot)
void pf_restore_prot(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t pte, unsigned nr);

/*
 * device.c: `pte`, a device's, becomes present again; its table is locked. Nothing is flushed: no TLB has anything of it. False,
 * and nothing changed: somebody has the folio's lock.
 */
#define pf_restore_exclusive PF_FN(restore_exclusive)
bool pf_restore_exclusive(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t pte);

/*
 * What the page at va will be found by, before there is an entry that maps it: who comes by that entry has taken the table
 * lock after these. Atomic, for UFFDIO_MOVE's folio is known to others, who may read the old values, or one of each: under the
 * folio's lock alone do they mean anything.
 */
PF_INLINE void pf_set_anon_mapping(const struct pf_area *area, struct pf_folio *folio, pf_va_t va)
{
	pf_folio_set_mapping(folio, area->pgoff + ((va - area->start) >> PF_PAGE_SHIFT),
		pf_load_relaxed(&area->anon));
}

PF_INLINE bool pf_pte_marked_wp(pf_pte_t pte)
{
	return pf_pte_same(pte, pf_pte_marker(PF_MARKER_UFFD_WP));
}

/* A fault may fill it: empty, but for the note that a write to what comes must be noticed. */
PF_INLINE bool pf_pte_vacant(pf_pte_t pte)
{
	return pf_pte_none(pte) || pf_pte_marked_wp(pte);
}

/* Must a write through this entry be noticed? Who finds the area by a page asks without the mmap lock. */
PF_INLINE bool pf_pte_uffd_wp(const struct pf_area *area, pf_pte_t pte)
{
	return (pte.v & PF_PTE_UFFD_WP) && (pf_load_relaxed(&area->flags) & PF_VM_UFFD_WP);
}

/* May a write through the entry go unnoticed, by uffd-wp and by who tracks soft-dirty (B3)? */
PF_INLINE bool pf_pte_unwatched(const struct pf_area *area, pf_pte_t pte)
{
	const uint64_t sd = PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY;

	return !pf_pte_uffd_wp(area, pte) &&
	       (!sd || (area->flags & PF_VM_SOFTDIRTY) || (pte.v & sd));
}

/* Empty slots say that a write to what comes must be noticed. */
PF_INLINE void pf_set_wp_markers(struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		pf_set_pte_at(m, idx + i, pf_pte_marker(PF_MARKER_UFFD_WP), PF_NO_EXTENT);
}

/* `pte` comes where `old` stood, a vacant slot: it takes on what a marker said. */
PF_INLINE pf_pte_t pf_pte_take_marker(const struct pf_area *area, pf_pte_t pte, pf_pte_t old)
{
	if (!pf_pte_marked_wp(old) || !(area->flags & PF_VM_UFFD_WP) ||
		PF_MUTANT("fault-loses-uffd-wp"))
		return pte;
	return pf_pte_set(pf_pte_clear(pte, PF_PTE_W), PF_PTE_UFFD_WP);
}

/* What marks an entry as changed since soft-dirty was last cleared, where the format has it. */
PF_INLINE uint64_t pf_sd(void)
{
	return PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY;
}

/*
 * Before empty slots are filled: another thread may have zapped them, under the mmap lock for reading as we are, and
 * not flushed yet. What TLBs still hold of their addresses names other frames, perhaps of a block that reaches beyond;
 * a valid entry must not meet it (G5, rule BBM). Read under the table lock, so whoever emptied them has counted itself.
 */
PF_INLINE void pf_forget_zapped(struct pf_space *space, pf_va_t va, unsigned nr)
{
	if (pf_load_relaxed(&space->tlb_flush_pending) && !PF_MUTANT("fault-ignores-pending"))
		pf_flush_tlb_range(&space->pt, va, nr);
}

/* Before pages are unmapped: how many there ever were at a time. */
PF_INLINE void pf_note_peak(struct pf_space *space)
{
	const int64_t rss = pf_space_rss(space);

	if (rss > pf_load_relaxed(&space->peak_rss))
		pf_store_relaxed(&space->peak_rss, rss);
}

/* A folio's pages that are mapped in this area, or no longer. */
PF_INLINE void pf_rss_add_of(
	struct pf_space *space, const struct pf_area *area, bool file, int64_t pages)
{
	const bool shmem = area->backing == PF_BACKED_SHMEM;

	pf_rss_add(space, !file ? PF_RSS_ANON : shmem ? PF_RSS_SHMEM : PF_RSS_FILE, pages);
}

/*
 * What belongs together of special entries. Of frames that are no memory nobody asks whether they were used or written, so
 * they may be a block wherever they follow one another; the page of zeros is one page.
 */
PF_INLINE struct pf_extent pf_special_extent(const struct pf_area *area)
{
	return area->flags & PF_VM_PFNMAP ? (struct pf_extent){0, UINT64_MAX} : PF_NO_EXTENT;
}

/*
 * A stretch of a run that is dealt with at once: pages of one large folio, or single-page folios
 * with consecutive frames.
 */
struct pf_piece {
	struct pf_folio *folio; /* large; NULL: small ones */
	unsigned nr;
	struct pf_extent extent;
};

/* The first piece of the frames [pfn, pfn + max). One metadata line a small folio, one a large one.
 */
PF_INLINE struct pf_piece pf_piece(const struct pf_phys *phys, pf_pfn_t pfn, unsigned max)
{
	struct pf_folio *folio = pf_page_folio(phys, pfn);
	unsigned nr = 1;

	if (pf_folio_order(folio)) {
		nr = (unsigned)pf_min(max, pf_folio_nr(folio) - pf_folio_idx(folio, pfn));
		/* The run goes on in frames: who deals with this folio needs the next ones soon. */
		if (4 * nr < max)
			__builtin_prefetch(pf_phys_frame(phys, pfn + 4 * nr), 1);
		return (struct pf_piece){
			.folio = folio,
			.nr = nr,
			.extent = pf_folio_extent(phys, folio),
		};
	}
	while (nr < max && !pf_folio_order(pf_page_folio(phys, pfn + nr)))
		nr++;
	return (struct pf_piece){.nr = nr, .extent = PF_NO_EXTENT};
}

/*
 * The same where folios of files and anonymous ones may lie side by side: all of one folio, of whatever
 * size.
 */
PF_INLINE struct pf_piece pf_piece_one(const struct pf_phys *phys, pf_pfn_t pfn, unsigned max)
{
	struct pf_folio *folio = pf_page_folio(phys, pfn);

	return (struct pf_piece){
		.folio = folio,
		.nr = (unsigned)pf_min(max, pf_folio_nr(folio) - pf_folio_idx(folio, pfn)),
		.extent = pf_folio_extent(phys, folio),
	};
}

/* Pages from va to the end of its leaf table, at most nr. */
PF_INLINE unsigned pf_pages_in_table(pf_va_t va, uint64_t nr)
{
	if (PF_MUTANT("batch-over-table"))
		return (unsigned)nr;
	return (unsigned)pf_min(PF_TABLE_ENTRIES - pf_level_index(va, 0), nr);
}

/*
 * pf_pte_batch() that ends with the folio, too: for who deals with one folio and then comes again for the next. A run goes on over
 * small folios with consecutive frames, and would be read to its end each time.
 */
PF_INLINE unsigned pf_folio_pte_batch(const struct pf_phys *phys, struct pf_pte_map *m,
	unsigned idx, unsigned max, unsigned flags, pf_pte_t *pte)
{
	*pte = pf_ptep_get(m, idx);
	if (pf_pte_present(*pte) && !pf_pte_special(*pte))
		max = pf_piece_one(phys, pf_pte_pfn(*pte), max).nr;
	return pf_pte_batch(m, idx, max, flags, pte);
}

/* Lock the table of va if its entry is present and maps that frame: *pte. False: it is not locked. */
PF_INLINE bool pf_lock_entry_of(
	struct pf_space *space, pf_va_t va, pf_pfn_t pfn, struct pf_pte_map *m, pf_pte_t *pte)
{
	if (!pf_pte_offset_map_lock(&space->pt, va, m))
		return false;
	*pte = pf_ptep_get(m, pf_pte_idx(m, va));
	if (pf_pte_present(*pte) && !pf_pte_special(*pte) && pf_pte_pfn(*pte) == pfn)
		return true;
	pf_pte_unmap_unlock(m);
	return false;
}

/*
 * Empty nr entries that map pages, the first of which is `pte`, and wait until no TLB has them; none ever has one that is not
 * present. PROT_NONE or not: a gather may still owe the flush of what made it so. What the first said, A and D of all.
 */
PF_INLINE pf_pte_t pf_take_mappings(
	struct pf_pte_map *m, unsigned idx, unsigned nr, pf_pte_t pte, bool flush)
{
	if (!pf_pte_present(pte)) {
		pf_clear_not_present_ptes(m, idx, nr);
		return pte;
	}
	pte = pf_get_and_clear_ptes(m, idx, nr);
	if (flush)
		pf_flush_tlb_range(m->pt, pf_pte_va(m, idx), nr);
	return pte;
}

/*
 * Lock the table of va, made if there is none. It may be gone again by the time of the lock, having been empty: then it is
 * made once more. 0, or -PF_ENOMEM.
 */
PF_INLINE int pf_pte_alloc_map_lock(struct pf_pt *pt, pf_va_t va, struct pf_pte_map *m)
{
	do {
		if (pf_pte_alloc(pt, va))
			return -PF_ENOMEM;
	} while (!pf_pte_offset_map_lock(pt, va, m));
	return 0;
}

/*
 * Skip what no table covers, then lock the table of *va. False: nothing is left. The range may lose
 * tables meanwhile; then there was nothing in them.
 */
PF_INLINE bool pf_next_table(
	struct pf_space *space, pf_va_t *va, uint64_t *nr, struct pf_pte_map *m)
{
	while (*nr) {
		uint64_t hole = pf_pte_hole(&space->pt, *va, *nr);

		if (!hole && pf_pte_offset_map_lock(&space->pt, *va, m))
			return true;
		if (!hole)
			continue;
		*va += hole << PF_PAGE_SHIFT;
		*nr -= hole;
	}
	return false;
}

#endif
