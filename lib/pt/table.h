/* SPDX-License-Identifier: MIT */
/*
 * A tree of page tables and its pages, as seen by everyone above: no entry, no hardware bit.
 */
#ifndef PF_PT_TABLE_H
#define PF_PT_TABLE_H

#include "base/atomic.h"
#include "base/bits.h"
#include "fmt/entry.h"
#include "fmt/tlb_req.h"
#include "port/port.h"

struct pf_pt;
struct pf_pt_format;

/*
 * What policy `watch` keeps of a block of a leaf table; changes under the table's lock. See contig.c.
 */
struct pf_watch {
	uint8_t slot;    /* within the block: a change of it, or of the one before, is looked at */
	uint8_t unfolds; /* since aging last found the block quiet, up to PF_WATCH_UNFOLDS */
};
#define PF_WATCH_ANY     0xff /* a slot: look at any change */
#define PF_WATCH_UNFOLDS 2    /* from then on only batches into empty slots fold */

/*
 * One table's metadata: 24 of the 32 bytes of its first frame in the port's memmap.
 * lock orders all changes to the table's entries; it is the page-table lock (PTL) of its table.
 * live counts entries that are not empty, so that a table can be found empty without a scan; it
 * changes under lock.
 */
struct pf_table {
	struct pf_spinlock lock;
	uint16_t live;
	uint8_t level;
	uint8_t flags;
	union {
		struct {
			struct pf_watch *watch; /* one a block; NULL: folds as policy `linux` */
			struct pf_table *next;  /* once unlinked, on the list of who will free it */
		};
		struct pf_rcu_head rcu; /* then, until lockless walkers are gone */
	};
};
PF_STATIC_ASSERT(sizeof(struct pf_table) <= 24, "leaves the count word of lib/phys alone");

PF_INLINE struct pf_table *pf_table_of(pf_pa_t pa)
{
	return (struct pf_table *)pf_port_memmap(pa);
}

PF_INLINE pf_pa_t pf_table_pa(const struct pf_table *table)
{
	return pf_port_memmap_pa(table);
}

/* Where table pages come from. ctx is the embedder's or lib/phys's. Called with no spinlock held.
 */
struct pf_table_mem {
	/* Physical address of `bytes` (a power of two, aligned to itself or to a frame), or 0. */
	pf_pa_t (*alloc)(void *ctx, size_t bytes);
	void (*free)(void *ctx, pf_pa_t pa, size_t bytes);
	void *ctx;
	/*
	 * Where struct pf_watch comes from, two bytes a block of a leaf table; NULL: from nowhere. A table
	 * for which there is none folds as under policy `linux`. Called with no spinlock held.
	 */
	void *(*meta_alloc)(size_t bytes);
	void (*meta_free)(void *p, size_t bytes);
};

/* When blocks fold (DESIGN 4.5). */
enum pf_fold_policy {
	PF_FOLD_OFF,
	PF_FOLD_LINUX, /* batches, and a single store to a block's last slot */
	PF_FOLD_WATCH, /* batches, and whatever change completes or restores a block */
};

/* A tree whose owner cannot take a translation fault (A10). */
#define PF_PT_NOFAULT 1u
/* Entries get PF_PTE_KERNEL: privileged, global. */
#define PF_PT_KERNEL 2u

/*
 * Software's counters, for the whole tree. Statistics, changed under some table's lock, which is not always the same: by
 * pf_count(), or atomically what would otherwise drift (`tables`).
 */
struct pf_pt_stats {
	uint64_t fold;            /* blocks that became contiguous, by batch or repaint */
	uint64_t unfold;          /* blocks repainted without */
	uint64_t fold_failed;     /* times that a block was looked at and did not qualify */
	uint64_t fold_loads;      /* entries read to decide */
	uint64_t unfold_cause[8]; /* by enum pf_cause */
	uint64_t table_alloc, table_free;
	uint64_t tables; /* bytes of tables now */
};

/* On whose behalf lib/pt is working; set by the caller, read by the statistics only. */
enum pf_cause {
	PF_CAUSE_OTHER,
	PF_CAUSE_ZAP,
	PF_CAUSE_MPROTECT,
	PF_CAUSE_COW,
	PF_CAUSE_MOVE,
	PF_CAUSE_ACCESS,
	PF_CAUSE_MIGRATE,
	PF_CAUSE_FORK,
};

/*
 * Who is told what a tree's leaves map (phys/table_check.h; Linux's page-table check): nr consecutive frames, present
 * entries only, while the table's lock is held or the table is not linked yet. A change of rights is a
 * clear and a set; moving an entry says nothing.
 */
struct pf_pt_check {
	void (*set)(struct pf_pt_check *check, pf_pfn_t pfn, uint64_t nr, bool write);
	void (*clear)(struct pf_pt_check *check, pf_pfn_t pfn, uint64_t nr);
};

/*
 * A tree of tables. Filled by pf_pt_init(); root, asid and flags do not change afterwards, nor do check and flush_pending, which
 * the owner may set before the first entry.
 */
struct pf_pt {
	const struct pf_pt_format *fmt;
	pf_pa_t root;
	uint16_t asid;
	uint8_t flags;
	uint8_t policy; /* enum pf_fold_policy */
	uint32_t features;
	uint8_t cause; /* enum pf_cause */
	const struct pf_table_mem *mem;
	struct pf_pt_check *check; /* NULL: nobody is told */
	/* Who may have changed tables and not flushed yet (tlb/space.h); NULL: nobody does that beside others. */
	const uint32_t *flush_pending;
	struct pf_pt_stats stats;
};

/*
 * Who works on several tables at a time says so for all of them: another thread's work may be counted as this one's, which
 * only the statistics see.
 */
PF_INLINE void pf_pt_set_cause(struct pf_pt *pt, enum pf_cause cause)
{
	pf_store_relaxed(&pt->cause, (uint8_t)cause);
}

/* Consecutive pages whose entries differ only as the caller's flags allow. */
struct pf_run {
	pf_va_t va;
	uint64_t nr;
	pf_pte_t first;
	uint64_t leaf_size; /* bytes of the translation hardware may cache for `va` */
};

/* What belongs together: the memory a run lies in, told by its owner. Blocks fold inside one
 * extent. */
struct pf_extent {
	pf_pfn_t first;
	uint64_t nr;
};

/*
 * Give an unlinked table back: at once, where no lockless walker of software's can reach it, or
 * when those that may have begun are gone. Its flush has completed.
 */
void pf_table_free(struct pf_pt *pt, struct pf_table *table);
void pf_table_free_rcu(struct pf_pt *pt, struct pf_table *table);

/*
 * One format's tables, for users of pf_pt_* and for the layers that speak in ranges. See pt/pt.h
 * for what each does; the function here is the same one, without its format in its name.
 */
struct pf_pt_format {
	const char *name;
	uint8_t page_shift, levels, level_bits, va_bits, entry_shift;
	uint8_t cont_shift[5];
	uint8_t leaf_levels;
	uint8_t swap_offset_bits, pfn_bits;
	uint64_t pte_supported;
	uint32_t ad_features;

	int (*init)(struct pf_pt *pt, const struct pf_table_mem *mem, uint32_t features,
		uint16_t asid, unsigned flags, enum pf_fold_policy policy);
	void (*destroy)(struct pf_pt *pt);
	int (*map)(struct pf_pt *pt, pf_va_t va, uint64_t nr, pf_pfn_t pfn, uint64_t prot);
	int (*unmap)(struct pf_pt *pt, pf_va_t va, uint64_t nr);
	int (*protect)(struct pf_pt *pt, pf_va_t va, uint64_t nr, uint64_t prot);
	int (*query)(struct pf_pt *pt, pf_va_t va, uint64_t max, struct pf_run *run);
	int (*age)(struct pf_pt *pt, pf_va_t va, uint64_t nr);
	void (*tlb_issue)(struct pf_pt *pt, const struct pf_tlb_req *req);
	void (*tlb_wait)(struct pf_pt *pt, const struct pf_tlb_req *req);
};

#endif
