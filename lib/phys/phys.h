/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: frames, the buddy allocator, folios. Knows no entry, no VMA, and mms by number.
 *
 * Who includes this gets frame.h (the 32 bytes), folio.h (references, pins), exclusive.h
 * (AnonExclusive) and rmap.h (mappings). docs/FRAME.md is the page to read.
 *
 * The life of an anonymous page, for who writes the loops. A mapping is a reference; nobody calls
 * pf_folio_get() for one.
 *
 *   fault  pf_folio_alloc(), pf_folio_add_new_anon_rmap() (uses up the reference), set_ptes
 *   fork   pf_folio_try_dup_anon_rmap_ptes(), wrprotect_ptes, set_ptes
 *   zap    clear_ptes, pf_folio_remove_rmap_ptes(), flush, pf_folio_put(nr);
 *          or clear_ptes, flush, pf_folio_drop_rmap_ptes(): half the atomics
 *   write  pf_folio_ae_test(), or pf_folio_reuse_anon() and pf_folio_ae_set_range(); else copy
 */
#ifndef PF_PHYS_PHYS_H
#define PF_PHYS_PHYS_H

#include "base/err.h"
#include "phys/rmap.h"
#include "port/port.h"

/* Nodes that a range may be divided into: their numbers fit a mask of 8 bits. */
#define PF_MAX_NODES 8u
#define PF_NODES_ALL 0xffu

/* The free memory of one node, under its lock. Indexes are frame indexes in the whole range, plus one; 0 none. */
struct pf_node {
	struct pf_spinlock lock;
	uint32_t nonempty;                  /* bit o: free[o] has a block */
	uint32_t free[PF_MAX_ORDER + 1];    /* first block */
	uint32_t free_nr[PF_MAX_ORDER + 1]; /* blocks */
	uint64_t free_pages;
	uint32_t split_first, split_last; /* folios that should be split */
	uint32_t split_nr;                /* of them */
};

/*
 * One CPU's free pages (pcp.c), of each node, under its lock. The counters are for who asks whether the lists are long enough.
 */
#define PF_PCP_BATCH 128u
struct pf_pcp {
	struct pf_spinlock lock;
	struct {
		uint32_t first; /* frame index + 1 */
		uint32_t nr;
	} list[PF_MAX_NODES];
	uint64_t taken, refills; /* pages; times that the node's lock was taken for some */
	uint8_t pad[40];         /* to two cache lines */
};

/*
 * One range of physical memory and its allocator. Several may exist. All fields are private to
 * lib/phys but `first`, `nr`, `page_shift`, `frames` and `nr_nodes`, which do not change after pf_phys_init() and
 * pf_phys_divide(), and the two callbacks, which are set while nobody allocates.
 */
struct pf_table_check;
struct pf_phys {
	pf_pfn_t first; /* first frame managed */
	uint64_t nr;    /* frames managed */
	struct pf_frame *frames;
	uint8_t page_shift;
	uint8_t max_order;
	uint8_t nr_nodes;     /* 1, until it is divided */
	uint8_t device_nodes; /* a mask of those whose memory CPUs cannot use: the last ones */
	/*
	 * Asked when no frame is left of the nodes in the mask that an allocation may use, or none for a table: 0: none can be made free;
	 * else it is worth another try. May sleep, and allocates nothing itself. NULL: nobody to ask.
	 */
	uint64_t (*reclaim)(void *ctx, uint32_t nodes);
	void *reclaim_ctx;
	struct pf_table_check *check; /* table_check.h; NULL: none */
	/* The node of the CPU that this runs on. NULL: 0. Asked only if there are several. */
	unsigned (*local_node)(void *ctx);
	void *local_ctx;
	uint32_t node_end[PF_MAX_NODES]; /* frame index behind the node's last */
	uint8_t fallback[PF_MAX_NODES]
			[PF_MAX_NODES]; /* all nodes, the row's own first, then the nearest */
	struct pf_pcp *pcp;             /* by CPU; see pf_phys_set_cpus() */
	uint32_t nr_pcp;
	struct pf_node node[PF_MAX_NODES];
};

/*
 * Where an allocation may be made: by nodes of `only` (a mask) and no other; of these first by those in `first`. Both go by the
 * distance from `node`.
 */
struct pf_where {
	uint8_t node, only, first;
};

/* A consistent picture, in pages, of the free lists. */
struct pf_phys_stats {
	uint64_t pages;                    /* managed */
	uint64_t free;                     /* of them, free */
	uint64_t blocks[PF_MAX_ORDER + 1]; /* free blocks of each order */
	int largest;                       /* largest order with a free block, -1 if none */
};

/*
 * Manage [pa, pa + bytes), both multiples of the page. Blocks have orders 0..max_order (at most
 * PF_MAX_ORDER) and are naturally aligned in physical address. Everything is free afterwards; the
 * order of allocations is a function of the calls alone.
 * -PF_EINVAL: alignment, order, empty or wrapping range, pa 0 (which as a table's address means
 * none), or a memmap whose records for consecutive pages are not 32 bytes apart; -PF_EOVERFLOW:
 * more than 2^32 - 2 frames. Memmap records must be zero (fresh) or have been left by an earlier
 * pf_phys over the same frames.
 */
int pf_phys_init(
	struct pf_phys *phys, pf_pa_t pa, uint64_t bytes, unsigned page_shift, unsigned max_order);

/*
 * Divide the range among nr nodes: node i begins at frame from[i] and ends where the next begins. from[0] is the range's first
 * frame, the others are multiples of the largest block, so that no block lies in two nodes. distance: nr rows of nr, from
 * node to node, the smaller the nearer; NULL: all alike. Of nodes that are equally far the next by number comes first, and behind
 * the last the first (Linux). After pf_phys_init(), while nothing is allocated and nobody else looks.
 * -PF_EINVAL: nr, or where the nodes begin; -PF_EBUSY: something is allocated. Nothing has changed then.
 */
int pf_phys_divide(
	struct pf_phys *phys, const pf_pfn_t *from, unsigned nr, const uint8_t *distance);

/*
 * Give each of nr CPUs (pf_port_cpu()) a list of free pages of its own: pages are then allocated and freed without a lock
 * that other CPUs want, but for one time in PF_PCP_BATCH. The memory is the embedder's and stays for as long as phys is used. Once, after
 * pf_phys_divide(), while nothing is allocated by others. Without it, or where the largest block is smaller than a batch, there are no lists; what order
 * pages come in is then a function of the calls alone.
 */
void pf_phys_set_cpus(struct pf_phys *phys, struct pf_pcp *lists, unsigned nr);
/*
 * All that CPUs have on their lists is free for everybody. The allocator does so itself before it fails; and pf_phys_check(), to see blocks.
 * Takes PF_LOCK_PCP.
 */
void pf_phys_drain(struct pf_phys *phys);

/* The node of a frame, which must be managed. Any context. */
PF_INLINE unsigned pf_phys_node(const struct pf_phys *phys, pf_pfn_t pfn)
{
	unsigned n = 0;

	while (pfn - phys->first >= phys->node_end[n])
		n++;
	return n;
}

/*
 * Node `node` is a device's own memory, which no CPU reads or writes (Linux: MEMORY_DEVICE_PRIVATE): it has frames, folios and counts as
 * all memory, is allocated only for whoever asks for this node and no other, and is not reclaimed. All nodes behind it are devices'.
 * After pf_phys_divide(), while nothing of it is allocated. -PF_EINVAL: no such node, the first, or one that has memory behind it;
 * -PF_EBUSY.
 */
int pf_phys_set_device(struct pf_phys *phys, unsigned node);

/* A mask of the nodes of memory; and is the frame, which must be managed, a device's? Any context. */
PF_INLINE uint32_t pf_phys_memory_nodes(const struct pf_phys *phys)
{
	return (uint32_t)(PF_BIT(phys->nr_nodes) - 1) & ~(uint32_t)phys->device_nodes;
}

PF_INLINE bool pf_phys_is_device(const struct pf_phys *phys, pf_pfn_t pfn)
{
	return PF_UNLIKELY(phys->device_nodes) &&
	       (phys->device_nodes >> pf_phys_node(phys, pfn) & 1);
}

/* The node of the CPU that this runs on. */
PF_INLINE unsigned pf_phys_local_node(const struct pf_phys *phys)
{
	unsigned n;

	if (PF_LIKELY(phys->nr_nodes == 1) || !phys->local_node)
		return 0;
	n = phys->local_node(phys->local_ctx);
	return n < phys->nr_nodes ? n : 0;
}

/* Anywhere, first on this node; on this node only. */
PF_INLINE struct pf_where pf_near(unsigned node)
{
	return (struct pf_where){(uint8_t)node, PF_NODES_ALL, PF_NODES_ALL};
}

PF_INLINE struct pf_where pf_only(unsigned node)
{
	return (struct pf_where){(uint8_t)node, (uint8_t)PF_BIT(node), PF_NODES_ALL};
}

/*
 * A folio of 2^order pages, naturally aligned, with one reference and no mapping, AnonExclusive
 * clear, contents whatever they were. NULL: none free where it may be (no smaller or larger one is tried for the
 * caller), or pf_port_fail_alloc(use) said so. Takes PF_LOCK_PCP and PF_LOCK_ZONE, one node's after the other's. Of order 0, and tables: when there is
 * none, phys->reclaim is asked for some first, so no spinlock is held, and what the caller has seen of entries and folios
 * that it does not keep may have changed; others never sleep. Without `where`: near the CPU's node.
 */
struct pf_folio *pf_folio_alloc_where(
	struct pf_phys *phys, unsigned order, enum pf_mem_use use, struct pf_where where);
struct pf_folio *pf_folio_alloc(struct pf_phys *phys, unsigned order, enum pf_mem_use use);

/*
 * Give folios back whose count has reached zero (pf_folio_put_testzero() and
 * pf_folio_drop_rmap_testzero() said so): resets their metadata. The caller has seen to G4: no TLB,
 * secondary MMU or lockless walker reaches them. Takes PF_LOCK_PCP, and PF_LOCK_ZONE once for all n.
 */
void pf_folio_free(struct pf_phys *phys, struct pf_folio *folio);
void pf_folios_free(struct pf_phys *phys, struct pf_folio *const *folios, unsigned n);

/*
 * Splitting (split.c). A folio that the caller has locked, with one reference, its own, and no mapping: freeze makes nobody able to
 * get another (false: somebody has one); then it becomes smaller ones, each with one reference of the caller's,
 * locked, with the pages' index and mapping, and no page exclusive.
 *
 * Which ones: all single pages (PF_SPLIT_PAGES); or page `at` by itself, and around it folios as large as they can be, as a
 * buddy allocator comes apart that gives out that page. pf_split_order is the order of the one that has page i.
 */
#define PF_SPLIT_PAGES UINT32_MAX
PF_INLINE unsigned pf_split_order(uint32_t at, unsigned i)
{
	return at == PF_SPLIT_PAGES || i == at ? 0 : pf_log2(i ^ at);
}

bool pf_folio_freeze(struct pf_folio *folio);
void pf_folio_split_frozen(struct pf_phys *phys, struct pf_folio *folio, uint32_t at);

/*
 * Large anonymous folios of which only a part is mapped wait to be split, so that the rest is free again. queue: a
 * reference or mapping is held; nothing if the folio is too small, or waits already. next: the one of a node that has waited longest, off
 * the list and with a reference; NULL: none waits. nr: how many wait there, a snapshot. Freeing and splitting take a folio off by themselves. Take
 * PF_LOCK_ZONE.
 */
void pf_folio_queue_split(struct pf_phys *phys, struct pf_folio *folio);
void pf_folio_unqueue_split(struct pf_phys *phys, struct pf_folio *folio);
/* With the lock of the folio's node. */
void pf_folio_unqueue_split_locked(struct pf_phys *phys, struct pf_folio *folio);
struct pf_folio *pf_folio_next_split(struct pf_phys *phys, unsigned node);
uint32_t pf_folio_nr_split(struct pf_phys *phys, unsigned node);

/* A node's lock: of its free lists and its folios to be split. */
PF_INLINE void pf_node_lock(struct pf_phys *phys, unsigned node)
{
	const uint64_t at = node ? phys->node_end[node - 1] : 0;

	pf_port_spin_lock(
		&phys->node[node].lock, PF_LOCK_ZONE, (phys->first + at) << phys->page_shift);
}

PF_INLINE void pf_node_unlock(struct pf_phys *phys, unsigned node)
{
	const uint64_t at = node ? phys->node_end[node - 1] : 0;

	pf_port_spin_unlock(
		&phys->node[node].lock, PF_LOCK_ZONE, (phys->first + at) << phys->page_shift);
}

/*
 * Where lib/pt takes tables from: whole frames (a table smaller than a page gets one), a larger one
 * naturally aligned. The first 24 bytes of metadata are zero. Reported as PF_USE_TABLE. And where it takes
 * what it keeps of a table's blocks from: the port.
 */
struct pf_table_mem pf_phys_table_mem(struct pf_phys *phys);

/* Of one node; of all, one after the other. */
void pf_phys_node_stats(struct pf_phys *phys, unsigned node, struct pf_phys_stats *stats);
void pf_phys_stats(struct pf_phys *phys, struct pf_phys_stats *stats);

/*
 * For tests and quiescent points: walk every frame and list and verify that they agree (FRAME.md
 * 7). 0, or -PF_EINVAL with *bad the first frame at fault and *why what is wrong with it. Nothing
 * may be allocated, freed or mapped meanwhile. O(frames).
 */
int pf_phys_check(struct pf_phys *phys, pf_pfn_t *bad, const char **why);

/* ---- frame, page, folio ---- */

PF_INLINE bool pf_phys_has(const struct pf_phys *phys, pf_pfn_t pfn)
{
	return pfn - phys->first < phys->nr;
}

/* pfn must be managed. */
PF_INLINE struct pf_frame *pf_phys_frame(const struct pf_phys *phys, pf_pfn_t pfn)
{
	return &phys->frames[pfn - phys->first];
}

/*
 * The folio that page pfn lies in: one load, of the page's own record, for natural alignment gives
 * the head from the order. Right for as long as the page cannot be freed: a reference, or the lock
 * of a table with an entry that maps it. A lockless walker uses pf_folio_try_get_page().
 */
PF_INLINE struct pf_folio *pf_page_folio(const struct pf_phys *phys, pf_pfn_t pfn)
{
	struct pf_frame *f = pf_phys_frame(phys, pfn);
	unsigned order = pf_load_relaxed(&f->count.lo) >> PF_COUNT_ORDER_SHIFT;

	return (struct pf_folio *)(f - (pfn & (PF_BIT(order) - 1)));
}

/* First page of the folio. */
PF_INLINE pf_pfn_t pf_folio_pfn(const struct pf_phys *phys, const struct pf_folio *folio)
{
	return phys->first + (uint64_t)(&folio->head - phys->frames);
}

/* What lib/pt folds within. */
PF_INLINE struct pf_extent pf_folio_extent(const struct pf_phys *phys, const struct pf_folio *folio)
{
	return (struct pf_extent){pf_folio_pfn(phys, folio), pf_folio_nr(folio)};
}

/*
 * For lockless walkers (GUP-fast): a reference to the folio of a page read from an entry that may
 * be gone by now. NULL if the page is free, a table, or changed folio; the walker then gives up or,
 * having got one, reads its entry again. Fully ordered.
 */
PF_INLINE struct pf_folio *pf_folio_try_get_page(struct pf_phys *phys, pf_pfn_t pfn);

/*
 * Wait for a folio's lock, with a reference to it and no spinlock: only who holds nothing that a holder of a folio lock
 * waits for (docs/LOCKING.md), which is what writes a mapping's pages, or fills them with zeros.
 */
PF_INLINE void pf_folio_lock(struct pf_folio *folio)
{
	while (!pf_folio_trylock(folio))
		pf_port_relax();
}

/* ---- dropping references ---- */

/*
 * Drop n references; at zero references and mappings the folio is freed. Release before, acquire on
 * freeing: all that holders did to the folio happens before its next life.
 */
PF_INLINE void pf_folio_put(struct pf_phys *phys, struct pf_folio *folio, unsigned n)
{
	if (pf_folio_put_testzero(folio, n))
		pf_folio_free(phys, folio);
}

/*
 * Before nr mappings of an anonymous folio go: will only part of it be mapped then? A hint: the split looks by itself
 * (FRAME.md 5).
 */
PF_INLINE void pf_folio_note_partly_mapped(
	struct pf_phys *phys, struct pf_folio *folio, unsigned nr)
{
	const unsigned map = pf_folio_mapcount(folio);

	/* A file's folio is kept by its mapping, whoever maps how much of it. */
	if (PF_UNLIKELY(map > nr && map - nr < pf_folio_nr(folio)) && !pf_folio_is_file(folio))
		pf_folio_queue_split(phys, folio);
}

/* pf_folio_remove_rmap_ptes() and pf_folio_put() of the same nr in one, after the flush. */
PF_INLINE void pf_folio_drop_rmap_ptes(
	struct pf_phys *phys, struct pf_folio *folio, pf_pfn_t pfn, unsigned nr, uint32_t mm_id)
{
	if (pf_folio_drop_rmap_testzero(folio, pfn, nr, mm_id))
		pf_folio_free(phys, folio);
}

PF_INLINE struct pf_folio *pf_folio_try_get_page(struct pf_phys *phys, pf_pfn_t pfn)
{
	struct pf_folio *folio = pf_page_folio(phys, pfn);

	/* A stale order is one that was right once, so it never leads out of the managed range. */
	if (!pf_folio_try_get(folio))
		return NULL;
	/*
	 * The folio is ours to keep now: its order is stable, and what lies inside it is its page.
	 * The order that led here may have been a larger one, of an earlier folio.
	 */
	if (PF_LIKELY((uint64_t)(pf_phys_frame(phys, pfn) - &folio->head) < pf_folio_nr(folio)))
		return folio;
	pf_folio_put(phys, folio, 1);
	return NULL;
}

/*
 * GUP-fast: references, or pins, for pages pfn, pfn + 1, ... of one folio, at most *n, which becomes how many there are. NULL: the first page
 * is free, a table, or of a folio that has as many references as it can; nothing has changed. The compare and exchange
 * covers kind, order and counts, so what it was tried on is a folio that has the pages, and the order that led to it, which may have
 * been a stale one, no longer matters. A full barrier between these and the caller's next look at the entries.
 */
PF_INLINE struct pf_folio *pf_folio_try_grab_pages(
	struct pf_phys *phys, pf_pfn_t pfn, unsigned *n, bool pin)
{
	struct pf_folio *folio = pf_page_folio(phys, pfn);
	const uint64_t idx = (uint64_t)(pf_phys_frame(phys, pfn) - &folio->head);
	uint64_t c = pf_folio_count(folio);
	unsigned got, refs;

	do {
		if (pf_count_kind(c) != PF_FRAME_FOLIO || !(c & (PF_COUNT_REF | PF_COUNT_MAP)) ||
			idx >> pf_count_order(c))
			return NULL;
		got = (unsigned)pf_min(*n, PF_BIT(pf_count_order(c)) - idx);
		refs = pin && !pf_count_order(c) ? PF_PIN_BIAS : got;
		if (pf_count_ref(c) + refs > PF_REF_LIMIT)
			return NULL;
	} while (!pf_cas(&folio->head.count.word, &c, c + refs));
	/* After the references, so that pins <= references always. */
	if (pin && pf_count_order(c))
		pf_add_return(&(&folio->head)[1].pins, got);
	pf_mb_after_rmw();
	*n = got;
	return folio;
}

#endif
