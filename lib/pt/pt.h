/* SPDX-License-Identifier: MIT */
/*
 * The verbs of lib/pt for one format: what Linux calls set_ptes, ptep_get, wrprotect_ptes and so
 * on, with contiguity managed underneath. For lib/ops; users of tables alone take pf_pt_*
 * (pt/table.h).
 *
 * All verbs but those that map a table act on a `struct pf_pte_map`: a leaf table whose lock is
 * held. A run is (idx, nr) within that table: idx + nr never exceeds PF_TABLE_ENTRIES.
 *
 * What other CPUs' walkers may see while a verb runs, unless the verb says less: each slot goes
 * from its old to its new value in one store, or through empty; slots change in ascending order. A
 * block being folded or unfolded is empty in between, so a CPU that touches it takes a translation
 * fault, blocks on the table lock in its handler, and retries (never in PF_PT_NOFAULT trees).
 *
 * No verb allocates, sleeps or fails, unless it returns an error.
 */
#ifndef PF_PT_PT_H
#define PF_PT_PT_H

#include "fmt/contract.h"
#include "pt/names.h"
#include "pt/table.h"

/* A leaf table, locked. */
struct pf_pte_map {
	struct pf_pt *pt;
	struct pf_table *table;
	pf_hw_t *base; /* slot 0; opaque outside lib/pt */
	pf_va_t va;    /* address that slot 0 maps */
	bool shared;   /* nested in a map of the same table, which holds the lock */
};

/* "Nothing in this run lies in one extent": small folios, raw frames. No block is made of it. */
#define PF_NO_EXTENT ((struct pf_extent){0, 0})

PF_INLINE unsigned pf_pte_idx(const struct pf_pte_map *m, pf_va_t va)
{
	return (unsigned)((va - m->va) >> PF_PAGE_SHIFT);
}

PF_INLINE pf_va_t pf_pte_va(const struct pf_pte_map *m, unsigned idx)
{
	return m->va + ((pf_va_t)idx << PF_PAGE_SHIFT);
}

/* ---- tables ---- */

/*
 * Make a leaf table exist for va, and all tables above it. 0, -PF_ENOMEM (tables already linked on
 * the way stay, empty), or -PF_EEXIST if a leaf of a higher level stands there. May sleep; no lock
 * held. Walkers see a new table only after its initialisation (store release).
 */
int pf_pte_alloc(struct pf_pt *pt, pf_va_t va);
/* The same, and the table stays, empty or not, until pf_free_pgtables(). Takes PF_LOCK_TABLE. */
int pf_pte_alloc_kept(struct pf_pt *pt, pf_va_t va);

/*
 * Find and lock the leaf table of va. False if there is none (never existed, was freed, or a higher
 * leaf stands there): the caller skips, or allocates and tries again. Takes PF_LOCK_TABLE.
 * The nested form is for a second table while one is locked: mremap and fork, which hold the mmap
 * lock for writing on both sides, so that any order is free of deadlock; if both addresses lie in
 * one table, *m is a copy of `outer` and unlocking it does nothing.
 */
bool pf_pte_offset_map_lock(struct pf_pt *pt, pf_va_t va, struct pf_pte_map *m);
bool pf_pte_offset_map_lock_nested(
	struct pf_pt *pt, pf_va_t va, struct pf_pte_map *m, const struct pf_pte_map *outer);
void pf_pte_unmap_unlock(struct pf_pte_map *m);

/* Number of pages from va, at most max, that no leaf table covers; 0 if one covers va. No lock. */
uint64_t pf_pte_hole(struct pf_pt *pt, pf_va_t va, uint64_t max);

/* Is there a table of that level for va (0: a leaf table)? No lock: it may come, and without the mmap lock go, at once. */
bool pf_pt_has_table(struct pf_pt *pt, pf_va_t va, unsigned level);

/*
 * Unlink every table that lies wholly within [floor, floor + floor_nr) and meets [va, va + nr),
 * whose entries are all empty already. The caller has exclusive access to the range (mmap lock for
 * writing, VMAs detached). `unlinked` is called for each with an address of the range that it mapped, after
 * which nothing points to it; it keeps the table until walk caches have been flushed, and then
 * gives it to pf_table_free() or pf_table_free_rcu().
 */
void pf_free_pgtables(struct pf_pt *pt, pf_va_t va, uint64_t nr, pf_va_t floor, uint64_t floor_nr,
	void (*unlinked)(void *ctx, struct pf_table *table, pf_va_t va), void *ctx);

/*
 * Unlink every leaf table that lies wholly within the range, is empty and not in use by others, who may use the range meanwhile: fill the table
 * first, or have it made anew. Who finds it dead begins again (pf_pte_offset_map_lock, pf_pte_alloc); who links another in its place
 * flushes first, while pt->flush_pending says that somebody has yet to. So that is above zero from before this call until the caller has flushed;
 * `unlinked` is as pf_free_pgtables() says, and the table then goes by pf_table_free_rcu(). No lock held but the mmap lock, any way.
 */
void pf_reclaim_pgtables(struct pf_pt *pt, pf_va_t va, uint64_t nr,
	void (*unlinked)(void *ctx, struct pf_table *table, pf_va_t va), void *ctx);

/* ---- reading ---- */

/* The entry, A and D gathered over its block. Contiguity does not show. */
pf_pte_t pf_ptep_get(const struct pf_pte_map *m, unsigned idx);

/* True if the slot's hardware entry is valid and has the contiguous encoding. For statistics,
 * tests. */
bool pf_ptes_folded(const struct pf_pte_map *m, unsigned idx);

/*
 * The longest run from idx, at most max: if slot idx is empty, of empty slots (*first is none); if
 * it is present, of present entries with frames ascending by one that differ in nothing but A, and
 * D, W and soft-dirty unless `flags` (PF_FPB_RESPECT_*) forbids; else 1 (a softleaf). *first is
 * slot idx's entry, with PF_FPB_MERGE_* applied over the run. A frame run may cross folios: who
 * needs a folio batch passes max bounded by the folio's end, or splits the run. Each slot is loaded
 * once.
 */
unsigned pf_pte_batch(
	const struct pf_pte_map *m, unsigned idx, unsigned max, unsigned flags, pf_pte_t *first);

/* ---- reading without a lock ---- */

/*
 * A leaf table that is not locked: it stays memory for as long as the view is mapped (RCU), but may be emptied and
 * unlinked meanwhile, and every entry of it may change between two looks. docs/LOCKING.md, "Reading without a
 * lock", has the argument for what follows.
 */
struct pf_pte_view {
	struct pf_pt *pt;
	const pf_hw_t *base; /* slot 0; opaque outside lib/pt */
	const pf_hw_t *link; /* the entry through which the table was found */
	pf_pa_t pa;          /* the table */
	pf_va_t va;          /* address that slot 0 maps */
};

PF_INLINE unsigned pf_view_idx(const struct pf_pte_view *v, pf_va_t va)
{
	return (unsigned)((va - v->va) >> PF_PAGE_SHIFT);
}

/*
 * Find the leaf table of va and keep it alive until pf_pte_unmap(): no lock is taken, and in between nothing may
 * sleep (RCU). False, and nothing is to be unmapped: there was no table at some moment of the call (none, a leaf of
 * a higher level), or an entry on the way could not be read. The caller takes its locked path, or does
 * without.
 */
bool pf_pte_offset_map(struct pf_pt *pt, pf_va_t va, struct pf_pte_view *v);
void pf_pte_unmap(struct pf_pte_view *v);
/*
 * Is the table still linked where it was found? Linux's second look at the PMD. Whoever takes a table with entries
 * away, and then relies on nobody's coming by these, unlinks it, orders that before his look at references, and looks;
 * who has got a reference by an entry orders that before this look.
 */
bool pf_pte_view_linked(const struct pf_pte_view *v);

/*
 * Without races the same as pf_ptep_get(). In a race: frame, permissions, software bits and kind are those of one
 * state that the entry was in at some moment of the call (none, too, if it was on its way to another state); A and D that
 * are reported were set in it, or in another entry of its block while both said the same otherwise: may be missing, never invented.
 * At most N + 2 entries are read without races (N: those of a block; 1 without contiguity), 5 (N + 2) whatever others do; false: it was changed
 * each time that it was looked at, and the caller takes its locked path.
 */
bool pf_ptep_get_lockless(const struct pf_pte_view *v, unsigned idx, pf_pte_t *pte);

/*
 * For who wants frames and rights alone (GUP-fast): how many entries from idx on, at most max, are present and continue
 * the first exactly, A and D aside; *first is that one, with A and D clear. Each entry is read once, by itself,
 * and was at that moment what is said of it. 0: the first is not present, or could not be read; *first is none then.
 */
unsigned pf_pte_batch_lockless(
	const struct pf_pte_view *v, unsigned idx, unsigned max, pf_pte_t *first);

/*
 * What maps va, at whatever level. 1: run->first is va's page's entry, read as by pf_ptep_get_lockless(), run->nr the
 * pages from va to the end of the leaf, run->leaf_size what a TLB may keep for va: the leaf, or the block that it is
 * in. 0: nothing present; run->first is what stands there instead, of run->nr pages from va. -PF_EAGAIN: it changed each time.
 * Takes RCU. In a tree that gives unlinked tables back at once (pf_pt_unmap) the caller keeps such calls out.
 */
int pf_query_lockless(struct pf_pt *pt, pf_va_t va, struct pf_run *run);

/* ---- writing ---- */

/*
 * Write nr present entries: slot i gets `pte` advanced by i. nr > 1: all slots are empty, and no
 * TLB holds anything of them (their flush has completed). nr == 1: any old value, any new one; the
 * caller flushes if it must. Naturally aligned blocks that lie inside the run and inside `extent`,
 * with the frame congruent and accessible, are written contiguous (by policy `linux` none that is special);
 * by the tree's policy a single store (watch: part of a batch, too) may fold its block, and a single store unfolds it if it
 * was folded. No TLB operation beyond those of that.
 */
void pf_set_ptes(
	struct pf_pte_map *m, unsigned idx, pf_pte_t pte, unsigned nr, struct pf_extent extent);
/*
 * Policy `watch`: would a change of [idx, idx + nr) be looked at, as one that may complete or restore a block which it
 * covers in part? Then the verbs below that take an extent want the one that the run lies in, and a run of several
 * goes extent by extent; otherwise PF_NO_EXTENT does. A run with an extent is uniform when the verb has changed it,
 * A and D aside. Never with the other policies.
 */
bool pf_may_fold(const struct pf_pte_map *m, unsigned idx, unsigned nr);
/* Any entry into one slot: set_ptes of one; also softleaves and none. */
void pf_set_pte_at(struct pf_pte_map *m, unsigned idx, pf_pte_t pte, struct pf_extent extent);
/* Empty one slot, A and D dropped: pte_clear. Unfolds. */
void pf_pte_clear_at(struct pf_pte_map *m, unsigned idx);

/*
 * Empty nr present slots. Partly covered blocks at the two ends are unfolded first; whole blocks
 * are emptied as they are, without TLB operation: the caller's flush of the whole run finishes it,
 * and until then walkers may still re-create translations from members not yet emptied (all die in
 * that flush). get_and_clear returns the first entry with A and D of all; clear drops them.
 */
void pf_clear_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr);
pf_pte_t pf_get_and_clear_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr);
pf_pte_t pf_ptep_get_and_clear(struct pf_pte_map *m, unsigned idx);
/*
 * Move present entries from fidx on, at most max, into empty slots (of the same tree; both tables
 * locked), and mark them soft-dirty: those whose frames follow the first's, and which are folded if
 * it is; returns how many, 0 if slot fidx is not present. Each keeps its own A and D, rights and
 * software bits. Whole folded blocks stay folded where frame and slot are congruent; nothing else
 * is folded, and a folded block of which only a part is meant is unfolded first and moves alone. Source
 * as get_and_clear: *flush is set if TLBs may hold any of it, and the caller then flushes its range.
 */
unsigned pf_move_run(struct pf_pte_map *from, unsigned fidx, struct pf_pte_map *to, unsigned tidx,
	unsigned max, bool *flush);
/*
 * Could a block come of moving a run of up to max entries that begins with the one at fidx to slot
 * tidx, where none is now, or be completed? Then the extent decides, and pf_move_ptes() moves them: nr present entries
 * of a batch uniform in W and soft-dirty, all in one folio. Their A and D are merged, and whole aligned
 * blocks of the target inside `extent` are folded. All else as in pf_move_run.
 */
bool pf_move_may_fold(const struct pf_pte_map *from, unsigned fidx, const struct pf_pte_map *to,
	unsigned tidx, unsigned max);
void pf_move_ptes(struct pf_pte_map *from, unsigned fidx, struct pf_pte_map *to, unsigned tidx,
	unsigned nr, struct pf_extent extent);
/* Empty one slot and wait until no TLB holds it. */
pf_pte_t pf_ptep_clear_flush(struct pf_pte_map *m, unsigned idx);
/* Empty nr slots that are softleaves. */
void pf_clear_not_present_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr);

/*
 * Remove write permission from nr present slots, A and D kept. Partly covered blocks are unfolded;
 * whole blocks stay folded and differ in W until the last slot is written. The caller flushes the
 * run before it relies on it. With an extent, as pf_may_fold() says, blocks that are whole again are folded.
 */
void pf_wrprotect_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr, struct pf_extent extent);
void pf_ptep_set_wrprotect(struct pf_pte_map *m, unsigned idx, struct pf_extent extent);

/*
 * Clear A; true if any was set. Never unfolds: the run is widened to whole blocks at both ends (A
 * is a property of the block). test_and_clear issues nothing. clear_flush issues one leaf
 * invalidation over the widened run if A was set, and does not wait: a ticket dropped, the only
 * kind that may be.
 */
bool pf_test_and_clear_young_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr);
bool pf_ptep_test_and_clear_young(struct pf_pte_map *m, unsigned idx);
bool pf_clear_flush_young_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr);
bool pf_ptep_clear_flush_young(struct pf_pte_map *m, unsigned idx);

/* Clear A and/or D of nr present slots of one folio, widened as above; W is kept. Caller flushes.
 */
#define PF_CYDP_CLEAR_YOUNG 1u
#define PF_CYDP_CLEAR_DIRTY 2u
void pf_clear_young_dirty_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr, unsigned flags);

/*
 * Make one entry more permissive: A, D, W and soft-dirty of `pte` are added, nothing is taken away. "Nothing to
 * do" is decided on the raw entries of the whole block, never on the gathered one: a walker without
 * hardware A/D looks at the addressed entry alone and would fault for ever. If W and soft-dirty do not change,
 * all entries of a block are updated and it stays folded; else it is unfolded and one slot changes.
 * Returns whether anything changed. With `flush`, this CPU's translation of the run is invalidated
 * (locally, waited for); other CPUs may fault once more on what they still hold (spurious fault). Where
 * W is added and the page's extent is given, the block is folded if it is whole again (policy `watch`).
 */
bool pf_ptep_set_access_flags(
	struct pf_pte_map *m, unsigned idx, pf_pte_t pte, bool flush, struct pf_extent extent);

/*
 * mprotect's transaction on nr present slots that differ in nothing but A and D: permissions, key
 * and memory type become those of `prot`, then bits of `set` are added and of `clear` removed
 * (UFFD_WP, SOFT_DIRTY only). All else is kept, A and D exactly. Partly covered blocks are unfolded
 * first. Whole folded blocks stay folded (or become PROT_NONE, not contiguous); whole blocks that
 * come back from PROT_NONE inside `extent` are folded, and, as pf_may_fold() says, blocks that are whole
 * again. Another memory type goes through PROT_NONE and
 * a flush, issued and waited for here (RWHZWS). Returns true if TLBs must forget the run.
 */
bool pf_modify_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr, uint64_t prot, uint64_t set,
	uint64_t clear, struct pf_extent extent);

/* Invalidate nr pages from va, last level only, and wait. */
void pf_flush_tlb_range(struct pf_pt *pt, pf_va_t va, uint64_t nr);

extern const struct pf_pt_format pf_pt_format_this;

#endif
