/* SPDX-License-Identifier: MIT */
/*
 * The buddy allocator. Free blocks are threaded through their first frame's record by frame indexes
 * (plus one, so that 0 ends a list). Allocation takes the most recently freed block of the smallest
 * order that serves and keeps its lower half at each split; freeing merges with the buddy while
 * that is free. Both are O(max_order) and depend on nothing but the calls made.
 *
 * A record's kind is PF_FRAME_FREE exactly if its frame is the first of a block on a list; that is
 * all merging looks at, under the lock. Records inside a free block are whatever they were last,
 * but never FREE and never a folio head (FRAME.md 3).
 *
 * Nodes begin at multiples of the largest block, and blocks are naturally aligned: so a block lies in one node, its buddy lies in
 * the same, and lists and counts are the node's of whichever frame is at hand.
 *
 * Pages go by the lists of CPUs (pcp.c), if there are any.
 */
#include "phys/pcp.h"
#include "phys/table_check.h"

static struct pf_frame *frame_at(struct pf_phys *phys, uint64_t idx)
{
	return &phys->frames[idx];
}

static void list_add(struct pf_phys *phys, struct pf_node *node, uint64_t idx, unsigned order)
{
	struct pf_frame *f = frame_at(phys, idx);
	uint32_t old = node->free[order];

	f->lru_prev = 0;
	f->lru_next = old;
	if (old)
		frame_at(phys, old - 1)->lru_prev = (uint32_t)idx + 1;
	node->free[order] = (uint32_t)idx + 1;
	node->free_nr[order]++;
	node->nonempty |= 1u << order;
	/* Relaxed: only merging relies on it, under the lock; lockless readers merely must not see
	 * a head. */
	pf_store_relaxed(&f->count.word, pf_count_make(PF_FRAME_FREE, order, 0, 0));
}

static void list_del(struct pf_phys *phys, struct pf_node *node, uint64_t idx, unsigned order)
{
	struct pf_frame *f = frame_at(phys, idx);

	if (f->lru_prev)
		frame_at(phys, f->lru_prev - 1)->lru_next = f->lru_next;
	else
		node->free[order] = f->lru_next;
	if (f->lru_next)
		frame_at(phys, f->lru_next - 1)->lru_prev = f->lru_prev;
	if (!--node->free_nr[order])
		node->nonempty &= ~(1u << order);
	pf_store_relaxed(&f->count.word, 0);
}

uint64_t pf_block_take(struct pf_phys *phys, struct pf_node *node, unsigned order)
{
	uint32_t fit = node->nonempty >> order;
	unsigned o;
	uint64_t idx;

	if (!fit)
		return UINT64_MAX;
	o = order + pf_ctz64(fit);
	idx = node->free[o] - 1;
	list_del(phys, node, idx, o);
	while (o > order) {
		o--;
		list_add(phys, node, idx + PF_BIT(o), o);
	}
	node->free_pages -= PF_BIT(order);
	return idx;
}

/* The block's records are nobody's any more. */
void pf_block_give(struct pf_phys *phys, struct pf_node *node, uint64_t idx, unsigned order)
{
	node->free_pages += PF_BIT(order);
	while (order < phys->max_order) {
		/* Natural alignment is that of the frame number, so buddies are found by it. */
		uint64_t buddy = ((phys->first + idx) ^ PF_BIT(order)) - phys->first;

		/* Wraps to a large number below the first frame. A buddy's first frame in range and
		 * FREE with that order lies in range wholly. */
		if (buddy >= phys->nr || pf_load_relaxed(&frame_at(phys, buddy)->count.word) !=
						 pf_count_make(PF_FRAME_FREE, order, 0, 0))
			break;
		list_del(phys, node, buddy, order);
		/* The half that becomes an inner frame must not look like a folio's head. */
		pf_store_relaxed(&frame_at(phys, idx)->count.word, 0);
		idx = pf_min(idx, buddy);
		order++;
	}
	list_add(phys, node, idx, order);
}

static uint64_t node_take(struct pf_phys *phys, unsigned n, unsigned order)
{
	uint64_t idx;

	if (!order && phys->nr_pcp)
		return pf_pcp_take(phys, n);
	pf_node_lock(phys, n);
	idx = pf_block_take(phys, &phys->node[n], order);
	pf_node_unlock(phys, n);
	return idx;
}

/* Of the nodes in the mask, the nearest that has one. */
static uint64_t take_near(struct pf_phys *phys, unsigned order, unsigned from, unsigned mask)
{
	uint64_t idx = UINT64_MAX;

	for (unsigned i = 0; i < phys->nr_nodes && idx == UINT64_MAX; i++) {
		const unsigned n = phys->fallback[from][i];

		if (mask >> n & 1)
			idx = node_take(phys, n, order);
	}
	return idx;
}

/* A device's memory is for who names its node alone. */
static bool for_device(const struct pf_phys *phys, struct pf_where where)
{
	return !(where.only & ~phys->device_nodes);
}

/* Has any CPU pages of these nodes? Then others may have them. */
static bool drain(struct pf_phys *phys, unsigned mask)
{
	uint64_t nr = 0;

	for (unsigned n = 0; phys->nr_pcp && n < phys->nr_nodes; n++)
		nr += mask >> n & 1 ? pf_pcp_pages(phys, n) : 0;
	if (nr)
		pf_phys_drain(phys);
	return nr;
}

static uint64_t take(struct pf_phys *phys, unsigned order, struct pf_where where)
{
	uint64_t idx;

	if (PF_UNLIKELY(phys->device_nodes) && !for_device(phys, where) &&
		!PF_MUTANT("device-memory-for-all"))
		where.only &= (uint8_t)~phys->device_nodes;
	idx = take_near(phys, order, where.node, where.only & where.first);

	if (idx == UINT64_MAX && (where.only & ~where.first))
		idx = take_near(phys, order, where.node, where.only & ~(unsigned)where.first);
	return idx;
}

static uint64_t block_alloc(
	struct pf_phys *phys, unsigned order, enum pf_mem_use use, struct pf_where where)
{
	uint64_t idx;

	if (order > phys->max_order || pf_port_fail_alloc(use))
		return UINT64_MAX;
	/*
	 * Who wants a large folio takes a smaller one rather than wait, or have every CPU's pages; a table has no smaller one, and one of several
	 * pages may need more given up than that. An injected failure was one before this, and reaches the caller.
	 */
	do {
		idx = take(phys, order, where);
		if (PF_LIKELY(idx != UINT64_MAX) || (order && use != PF_USE_TABLE))
			break;
		if (drain(phys, where.only))
			idx = take(phys, order, where);
	} while (idx == UINT64_MAX && phys->reclaim && !for_device(phys, where) &&
		 phys->reclaim(phys->reclaim_ctx, where.only));
	if (idx != UINT64_MAX)
		pf_port_note_alloc(use, (phys->first + idx) << phys->page_shift,
			PF_BIT(order) << phys->page_shift);
	return idx;
}

/* Everything is free. From the top, in the largest aligned blocks, so that the lowest addresses are taken first. */
static void free_all(struct pf_phys *phys)
{
	for (uint64_t end = phys->first + phys->nr; end > phys->first;) {
		unsigned order = pf_min(pf_ctz64(end), (unsigned)phys->max_order);
		struct pf_node *node;

		while (PF_BIT(order) > end - phys->first)
			order--;
		end -= PF_BIT(order);
		node = &phys->node[pf_phys_node(phys, end)];
		list_add(phys, node, end - phys->first, order);
		node->free_pages += PF_BIT(order);
	}
}

int pf_phys_init(
	struct pf_phys *phys, pf_pa_t pa, uint64_t bytes, unsigned page_shift, unsigned max_order)
{
	uint64_t nr;
	uint8_t *map;

	if (page_shift < 12 || page_shift > 30 || max_order > PF_MAX_ORDER)
		return -PF_EINVAL;
	nr = bytes >> page_shift;
	if (!pa || !nr || !pf_aligned(pa | bytes, PF_BIT(page_shift)) || pa + (bytes - 1) < pa)
		return -PF_EINVAL;
	if (nr > UINT32_MAX - 1)
		return -PF_EOVERFLOW;
	map = pf_port_memmap(pa);
	if (nr > 1 &&
		(uint8_t *)pf_port_memmap(pa + PF_BIT(page_shift)) != map + sizeof(struct pf_frame))
		return -PF_EINVAL;

	__builtin_memset(phys, 0, sizeof(*phys));
	phys->first = pa >> page_shift;
	phys->nr = nr;
	phys->frames = (struct pf_frame *)map;
	phys->page_shift = (uint8_t)page_shift;
	phys->max_order = (uint8_t)max_order;
	phys->nr_nodes = 1;
	phys->node_end[0] = (uint32_t)nr;
	pf_port_spin_init(&phys->node[0].lock, PF_LOCK_ZONE, pa);

	/* No record may carry an order from another life; untouched memmap is only read. */
	for (uint64_t i = 0; i < nr; i++)
		if (frame_at(phys, i)->count.word)
			frame_at(phys, i)->count.word = 0;
	free_all(phys);
	return 0;
}

/* ---- nodes ---- */

/* Is b nearer than a to node `from`? Linux's order: by distance, then the next by number and around. */
static bool is_nearer(const uint8_t *row, unsigned from, unsigned b, unsigned a)
{
	if (row && row[a] != row[b])
		return row[b] < row[a];
	return (b < from) != (a < from) ? a < from : b < a;
}

static void order_by_distance(struct pf_phys *phys, unsigned from, const uint8_t *row)
{
	uint8_t *list = phys->fallback[from];
	unsigned n = 1;

	list[0] = (uint8_t)from;
	for (unsigned i = 0; i < phys->nr_nodes; i++) {
		unsigned at = n;

		if (i == from)
			continue;
		for (; at > 1 && is_nearer(row, from, i, list[at - 1]); at--)
			list[at] = list[at - 1];
		list[at] = (uint8_t)i;
		n++;
	}
}

int pf_phys_divide(struct pf_phys *phys, const pf_pfn_t *from, unsigned nr, const uint8_t *distance)
{
	if (!nr || nr > PF_MAX_NODES || from[0] != phys->first)
		return -PF_EINVAL;
	for (unsigned i = 1; i < nr; i++)
		if (from[i] <= from[i - 1] || !pf_phys_has(phys, from[i]) ||
			(!pf_aligned(from[i], PF_BIT(phys->max_order)) &&
				!PF_MUTANT("node-splits-block")))
			return -PF_EINVAL;
	for (unsigned i = 0, n = phys->nr_nodes; i < n; i++)
		if (phys->node[i].free_pages != phys->node_end[i] - (i ? phys->node_end[i - 1] : 0))
			return -PF_EBUSY;
	__builtin_memset(phys->node, 0, sizeof(phys->node));
	phys->nr_nodes = (uint8_t)nr;
	phys->device_nodes = 0;
	for (unsigned i = 0; i < nr; i++) {
		const uint64_t end = i + 1 < nr ? from[i + 1] - phys->first : phys->nr;

		phys->node_end[i] = (uint32_t)end;
		pf_port_spin_init(&phys->node[i].lock, PF_LOCK_ZONE, from[i] << phys->page_shift);
		order_by_distance(phys, i, distance ? distance + i * nr : NULL);
	}
	/* The old lists' blocks are inner frames now, until free_all says otherwise. */
	for (uint64_t i = 0; i < phys->nr; i++)
		if (frame_at(phys, i)->count.word)
			frame_at(phys, i)->count.word = 0;
	free_all(phys);
	return 0;
}

int pf_phys_set_device(struct pf_phys *phys, unsigned node)
{
	const unsigned bits = (unsigned)(PF_BIT(phys->nr_nodes) - PF_BIT(node));

	if (!node || node >= phys->nr_nodes ||
		(phys->device_nodes | PF_BIT(node)) != (phys->device_nodes | bits))
		return -PF_EINVAL;
	if (phys->node[node].free_pages != phys->node_end[node] - phys->node_end[node - 1])
		return -PF_EBUSY;
	phys->device_nodes |= (uint8_t)PF_BIT(node);
	return 0;
}

/* ---- folios ---- */

struct pf_folio *pf_folio_alloc_where(
	struct pf_phys *phys, unsigned order, enum pf_mem_use use, struct pf_where where)
{
	uint64_t idx = block_alloc(phys, order, use, where);
	struct pf_frame *f;

	if (idx == UINT64_MAX)
		return NULL;
	f = frame_at(phys, idx);
	__builtin_memset(f, 0, offsetof(struct pf_frame, count));
	f->flags = PF_FOLIO_USE(use);
	for (unsigned i = 1; i < 1u << order; i++) {
		/* First tail: bitmap, slots, pins. On from the second: all have room for what few
		 * use. */
		__builtin_memset(f + i, 0, offsetof(struct pf_frame, count));
		pf_store_relaxed(&f[i].count.word, pf_count_make(PF_FRAME_TAIL, order, 0, 0));
	}
	/*
	 * Release: a lockless walker that gets a reference (acquire) sees the tails and the cleared
	 * fields. Until this store the head is NONE and no walker can.
	 */
	pf_store_release(&f->count.word, pf_count_make(PF_FRAME_FOLIO, order, 0, 1));
	return (struct pf_folio *)f;
}

struct pf_folio *pf_folio_alloc(struct pf_phys *phys, unsigned order, enum pf_mem_use use)
{
	return pf_folio_alloc_where(phys, order, use, pf_near(pf_phys_local_node(phys)));
}

static void folio_note_free(struct pf_phys *phys, struct pf_folio *folio)
{
	uint32_t use = (pf_load_relaxed(&folio->head.flags) & PF_FOLIO_USE(3)) / PF_FOLIO_USE(1);

	pf_port_note_free((enum pf_mem_use)use, pf_folio_pfn(phys, folio) << phys->page_shift,
		(uint64_t)pf_folio_nr(folio) << phys->page_shift);
}

static unsigned node_of(const struct pf_phys *phys, const struct pf_folio *folio)
{
	return pf_phys_node(phys, pf_folio_pfn(phys, folio));
}

/* Goes to the list of a CPU. A single page is never among those to be split. */
static bool is_listed(const struct pf_phys *phys, const struct pf_folio *folio)
{
	return phys->nr_pcp && !pf_folio_order(folio);
}

static void give_all(
	struct pf_phys *phys, unsigned node, struct pf_folio *const *folios, unsigned n)
{
	pf_node_lock(phys, node);
	for (unsigned i = 0; i < n; i++) {
		if (!PF_MUTANT("free-keeps-queued"))
			pf_folio_unqueue_split_locked(phys, folios[i]);
		pf_block_give(phys, &phys->node[node], pf_folio_pfn(phys, folios[i]) - phys->first,
			pf_folio_order(folios[i]));
	}
	pf_node_unlock(phys, node);
}

void pf_folios_free(struct pf_phys *phys, struct pf_folio *const *folios, unsigned n)
{
	unsigned run;

	/* Before the lock: once a block is on a list it may be someone else's. */
	for (unsigned i = 0; i < n; i++) {
		folio_note_free(phys, folios[i]);
		if (PF_UNLIKELY(phys->check != NULL))
			pf_table_check_free(
				phys->check, pf_folio_pfn(phys, folios[i]), pf_folio_nr(folios[i]));
	}
	for (unsigned i = 0; i < n; i += run) {
		const unsigned at = node_of(phys, folios[i]);
		const bool listed = is_listed(phys, folios[i]);

		/* One lock for as many as follow one another on a node. */
		run = 1;
		while (i + run < n && node_of(phys, folios[i + run]) == at &&
			is_listed(phys, folios[i + run]) == listed)
			run++;
		if (listed)
			pf_pcp_give(phys, at, folios + i, run);
		else
			give_all(phys, at, folios + i, run);
	}
}

void pf_folio_free(struct pf_phys *phys, struct pf_folio *folio)
{
	pf_folios_free(phys, &folio, 1);
}

/* ---- tables ---- */

static unsigned table_order(const struct pf_phys *phys, size_t bytes)
{
	/* bytes is a power of two */
	return bytes >> phys->page_shift ? pf_log2(bytes >> phys->page_shift) : 0;
}

static pf_pa_t table_alloc(void *ctx, size_t bytes)
{
	struct pf_phys *phys = ctx;
	unsigned order = table_order(phys, bytes);
	uint64_t idx = block_alloc(phys, order, PF_USE_TABLE, pf_near(pf_phys_local_node(phys)));
	struct pf_frame *f;

	if (idx == UINT64_MAX)
		return 0;
	f = frame_at(phys, idx);
	for (unsigned i = 0; i < 1u << order; i++) {
		/* The kind first: from here on no walker with an old frame number takes a
		 * reference. */
		pf_store_relaxed(&f[i].count.word, pf_count_make(PF_FRAME_TABLE, order, 0, 0));
		__builtin_memset(f + i, 0, offsetof(struct pf_frame, count));
	}
	return (phys->first + idx) << phys->page_shift;
}

static void table_free(void *ctx, pf_pa_t pa, size_t bytes)
{
	struct pf_phys *phys = ctx;
	const pf_pfn_t pfn = pa >> phys->page_shift;
	const unsigned n = pf_phys_node(phys, pfn);
	unsigned order = table_order(phys, bytes);

	pf_port_note_free(PF_USE_TABLE, pa, PF_BIT(order) << phys->page_shift);
	if (phys->nr_pcp && !order) {
		struct pf_folio *page = (struct pf_folio *)pf_phys_frame(phys, pfn);

		pf_pcp_give(phys, n, &page, 1);
		return;
	}
	pf_node_lock(phys, n);
	pf_block_give(phys, &phys->node[n], pfn - phys->first, order);
	pf_node_unlock(phys, n);
}

static void *meta_alloc(size_t bytes)
{
	return pf_port_meta_alloc(bytes);
}

static void meta_free(void *p, size_t bytes)
{
	pf_port_meta_free(p, bytes);
}

struct pf_table_mem pf_phys_table_mem(struct pf_phys *phys)
{
	return (struct pf_table_mem){table_alloc, table_free, phys, meta_alloc, meta_free};
}
