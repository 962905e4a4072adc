/* SPDX-License-Identifier: MIT */
/*
 * What the allocator says of itself, and the proof that it is true: a walk over every frame from
 * block to block, and over every list, at a quiescent point.
 */
#include "phys/pcp.h"
#include "phys/table_check.h"

void pf_phys_node_stats(struct pf_phys *phys, unsigned node, struct pf_phys_stats *stats)
{
	const struct pf_node *n = &phys->node[node];
	uint64_t listed;

	__builtin_memset(stats, 0, sizeof(*stats));
	stats->pages = phys->node_end[node] - (node ? phys->node_end[node - 1] : 0);
	pf_node_lock(phys, node);
	stats->free = n->free_pages;
	stats->largest = n->nonempty ? (int)pf_log2(n->nonempty) : -1;
	for (unsigned o = 0; o <= phys->max_order; o++)
		stats->blocks[o] = n->free_nr[o];
	pf_node_unlock(phys, node);
	/* Pages on lists of CPUs are free ones. */
	listed = pf_pcp_pages(phys, node);
	stats->free += listed;
	stats->blocks[0] += listed;
	if (listed && stats->largest < 0)
		stats->largest = 0;
}

void pf_phys_stats(struct pf_phys *phys, struct pf_phys_stats *stats)
{
	__builtin_memset(stats, 0, sizeof(*stats));
	stats->largest = -1;
	for (unsigned n = 0; n < phys->nr_nodes; n++) {
		struct pf_phys_stats one;

		pf_phys_node_stats(phys, n, &one);
		stats->pages += one.pages;
		stats->free += one.free;
		stats->largest = one.largest > stats->largest ? one.largest : stats->largest;
		for (unsigned o = 0; o <= phys->max_order; o++)
			stats->blocks[o] += one.blocks[o];
	}
}

static const char *check_free(const struct pf_phys *phys, uint64_t idx, unsigned order)
{
	const struct pf_frame *f = &phys->frames[idx];
	uint64_t buddy = ((phys->first + idx) ^ PF_BIT(order)) - phys->first;

	if (f->count.word != pf_count_make(PF_FRAME_FREE, order, 0, 0))
		return "free block with references or mappings";
	for (uint64_t i = 1; i < PF_BIT(order); i++) {
		enum pf_frame_kind kind = pf_count_kind(f[i].count.word);

		if (kind == PF_FRAME_FREE || kind == PF_FRAME_FOLIO)
			return "block inside a free block";
	}
	if (order < phys->max_order && buddy < phys->nr &&
		phys->frames[buddy].count.word == f->count.word)
		return "two free buddies";
	return NULL;
}

static const char *check_large(const struct pf_folio *folio, unsigned order, uint64_t count)
{
	const struct pf_frame *t = &(&folio->head)[1];
	uint32_t map = pf_count_map(count);

	for (uint64_t i = 1; i < PF_BIT(order); i++)
		if ((t[i - 1].count.word & ~PF_COUNT_MAP) !=
			pf_count_make(PF_FRAME_TAIL, order, 0, 0))
			return "tail that isn't one of its folio";
	if (order < 6 && t->ae_first >> PF_BIT(order))
		return "AnonExclusive beyond the folio";
	if (t->id[0] & PF_ID_LOCK)
		return "mm-id slots locked";
	if ((uint64_t)t->id_map[0] + t->id_map[1] > map)
		return "more mappings known than there are";
	if (t->id_map[0] && t->id_map[1] && (t->id[0] & PF_ID_MASK) == t->id[1])
		return "one mm in both slots";
	if (!(t->id[0] & PF_ID_SHARED) != (t->id_map[0] == map || t->id_map[1] == map))
		return "\"maybe shared\" disagrees with the slots";
	if (t->pins > pf_count_ref(count))
		return "more pins than references";
	return NULL;
}

static const char *check_folio(const struct pf_folio *folio, unsigned order, uint64_t count)
{
	if (!(count & (PF_COUNT_REF | PF_COUNT_MAP)))
		return "folio with no reference and no mapping was not freed";
	if (order)
		return check_large(folio, order, count);
	if (folio->head.ae > 1)
		return "AnonExclusive is neither 0 nor 1";
	if (folio->head.ae && pf_count_map(count) > 1)
		return "exclusive page with several mappings"; /* G2 */
	if (folio->head.ae && (folio->head.flags & PF_FOLIO_KSM))
		return "exclusive page shared by KSM"; /* G2 */
	return NULL;
}

/* Pages of which no mapping is counted may be mapped all the same: the zero page is. */
static const char *check_entries(
	const struct pf_table_check *check, uint64_t idx, unsigned order, uint64_t count)
{
	uint64_t entries = 0;

	if (!check || !pf_count_map(count))
		return NULL;
	for (uint64_t i = 0; i < PF_BIT(order); i++)
		entries += check->maps[idx + i];
	return entries > pf_count_map(count) ? "more entries than mappings" : NULL;
}

static const char *check_table(const struct pf_frame *f, unsigned order)
{
	for (uint64_t i = 0; i < PF_BIT(order); i++)
		if (f[i].count.word != pf_count_make(PF_FRAME_TABLE, order, 0, 0))
			return "table frame with references, or of another table";
	return NULL;
}

/* The list's blocks are free, of that order, of the node, and linked both ways; they are `*nr` in number. */
static const char *check_list(
	const struct pf_phys *phys, unsigned node, unsigned order, uint64_t *nr, uint64_t *at)
{
	uint32_t prev = 0;

	*nr = 0;
	for (uint32_t i = phys->node[node].free[order]; i; i = phys->frames[i - 1].lru_next) {
		if (i > phys->nr)
			return "free list leads out of memory";
		*at = i - 1;
		if (phys->frames[i - 1].count.word != pf_count_make(PF_FRAME_FREE, order, 0, 0))
			return "block on a free list isn't free";
		if (pf_phys_node(phys, phys->first + (i - 1)) != node)
			return "block on another node's free list";
		if (phys->frames[i - 1].lru_prev != prev)
			return "free list's back link is wrong";
		if (++*nr > phys->nr)
			return "free list is a ring";
		prev = i;
	}
	return NULL;
}

/* What a walk over the frames has found free of a node. */
struct found {
	uint64_t blocks[PF_MAX_ORDER + 1], pages;
};

static const char *check_node(
	const struct pf_phys *phys, unsigned node, const struct found *found, uint64_t *at)
{
	const struct pf_node *n = &phys->node[node];

	for (unsigned o = 0; o <= phys->max_order; o++) {
		uint64_t nr;
		const char *why;

		*at = 0;
		why = check_list(phys, node, o, &nr, at);
		if (why)
			return why;
		if (nr != found->blocks[o] || nr != n->free_nr[o])
			return "free blocks that are on no list, or miscounted";
		if ((n->nonempty >> o & 1) != (nr != 0))
			return "summary of free lists is wrong";
	}
	return found->pages == n->free_pages ? NULL : "free pages miscounted";
}

int pf_phys_check(struct pf_phys *phys, pf_pfn_t *bad, const char **why)
{
	struct found found[PF_MAX_NODES] = {0};
	uint64_t at = 0;

	*why = NULL;
	pf_phys_drain(phys);
	while (at < phys->nr && !*why) {
		const struct pf_frame *f = &phys->frames[at];
		uint64_t count = pf_load_acquire(&f->count.word);
		unsigned order = pf_count_order(count);
		unsigned node = pf_phys_node(phys, phys->first + at);

		if (order > phys->max_order || !pf_aligned(phys->first + at, PF_BIT(order)) ||
			at + PF_BIT(order) > phys->nr) {
			*why = "block of an impossible order";
			break;
		}
		if (at + PF_BIT(order) > phys->node_end[node]) {
			*why = "block of two nodes";
			break;
		}
		switch (pf_count_kind(count)) {
		case PF_FRAME_FREE:
			*why = check_free(phys, at, order);
			found[node].blocks[order]++;
			found[node].pages += PF_BIT(order);
			break;
		case PF_FRAME_FOLIO:
			*why = check_folio((const struct pf_folio *)f, order, count);
			if (!*why)
				*why = check_entries(phys->check, at, order, count);
			break;
		case PF_FRAME_TABLE:
			*why = check_table(f, order);
			break;
		default:
			*why = "frame belongs to nothing";
			break;
		}
		if (!*why)
			at += PF_BIT(order);
	}
	for (unsigned n = 0; n < phys->nr_nodes && !*why; n++)
		*why = check_node(phys, n, &found[n], &at);
	if (!*why)
		return 0;
	*bad = phys->first + at;
	return -PF_EINVAL;
}
