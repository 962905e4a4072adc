/* SPDX-License-Identifier: MIT */
/*
 * A folio becomes smaller ones, and the list of those that should.
 *
 * The list is its node's, under the node's lock, which freeing takes anyway: a folio leaves it before its memory can be
 * anything else (B38). Its links are in the second tail, so order-1 folios are not on it.
 */
#include "phys/phys.h"

static unsigned node_of(const struct pf_phys *phys, const struct pf_folio *folio)
{
	return pf_phys_node(phys, pf_folio_pfn(phys, folio));
}

/* ---- splitting ---- */

bool pf_folio_freeze(struct pf_folio *folio)
{
	const unsigned order = pf_folio_order(folio);
	uint64_t c = pf_count_make(PF_FRAME_FOLIO, order, 0, 1);

	return pf_cas(&folio->head.count.word, &c, pf_count_make(PF_FRAME_FOLIO, order, 0, 0));
}

/*
 * One of the folios: its pages from f on. Who finds a migration entry is led, without a reference, from the page that it names to a
 * head, by the order in the page's count, to ask what it belongs to (pf_softleaf_is_file): to the old head before the page's count is
 * written, to f afterwards. So what the old head says of that is never anything else meanwhile, and f says it before its tails' counts, and its
 * own, are written.
 */
static void make_piece(
	struct pf_frame *f, unsigned order, uint64_t index, uint32_t mapping, uint32_t flags)
{
	pf_folio_set_mapping((struct pf_folio *)f, index, mapping);
	pf_store_relaxed(&f->flags, order ? flags : flags & ~(uint32_t)PF_FOLIO_HAS_HWPOISON);
	f->lru_next = f->lru_prev = 0;
	/* Release: who is led to f by a tail's order finds the above there. */
	for (unsigned i = 1; i < 1u << order; i++) {
		__builtin_memset(f + i, 0, offsetof(struct pf_frame, count));
		pf_store_release(&f[i].count.word, pf_count_make(PF_FRAME_TAIL, order, 0, 0));
	}
}

void pf_folio_split_frozen(struct pf_phys *phys, struct pf_folio *folio, uint32_t at)
{
	const unsigned nr = pf_folio_nr(folio);
	const uint64_t index = folio->head.index;
	const uint32_t mapping = folio->head.mapping;
	/* What was on a list of its own is on none now. */
	const uint32_t flags = pf_load_relaxed(&folio->head.flags) & ~PF_FOLIO_PARTLY_MAPPED;
	const uint32_t use = (flags & PF_FOLIO_USE(3)) / PF_FOLIO_USE(1);
	struct pf_frame *f = &folio->head;

	pf_folio_unqueue_split(phys, folio);
	for (unsigned i = 0, n; i < nr; i += n) {
		const unsigned order = pf_split_order(at, i);

		n = 1u << order;
		make_piece(f + i, order, index + i, mapping, flags);
		/* Each is taken out of the extent that there was; the last is what is left. */
		if (i + n < nr)
			pf_port_note_alloc((enum pf_mem_use)use,
				pf_folio_pfn(phys, (struct pf_folio *)(f + i)) << phys->page_shift,
				PF_BIT(order) << phys->page_shift);
	}
	/*
	 * From the last on: until the first one's count says otherwise, who was led to it by a stale tail finds nobody there.
	 * Release: who gets a reference sees the rest.
	 */
	for (unsigned end = nr; end;) {
		const unsigned order = pf_split_order(at, end - 1);

		end -= 1u << order;
		pf_store_release(&f[end].count.word, pf_count_make(PF_FRAME_FOLIO, order, 0, 1));
	}
}

/* ---- folios that should be split ---- */

void pf_folio_queue_split(struct pf_phys *phys, struct pf_folio *folio)
{
	const uint32_t at = (uint32_t)(&folio->head - phys->frames) + 1;
	const unsigned n = node_of(phys, folio);
	struct pf_node *node = &phys->node[n];
	struct pf_frame *second = &(&folio->head)[2];

	if (pf_folio_order(folio) < 2 || pf_folio_test_flags(folio, PF_FOLIO_PARTLY_MAPPED))
		return;
	pf_node_lock(phys, n);
	if (!pf_folio_test_flags(folio, PF_FOLIO_PARTLY_MAPPED)) {
		pf_folio_set_flags(folio, PF_FOLIO_PARTLY_MAPPED);
		second->aux[0] = 0;
		second->aux[1] = node->split_last;
		*(node->split_last ? &phys->frames[node->split_last - 1 + 2].aux[0]
				   : &node->split_first) = at;
		node->split_last = at;
		node->split_nr++;
	}
	pf_node_unlock(phys, n);
}

/* Lock held. */
void pf_folio_unqueue_split_locked(struct pf_phys *phys, struct pf_folio *folio)
{
	struct pf_node *node = &phys->node[node_of(phys, folio)];
	struct pf_frame *second = &(&folio->head)[2];

	if (!pf_folio_test_flags(folio, PF_FOLIO_PARTLY_MAPPED))
		return;
	*(second->aux[1] ? &phys->frames[second->aux[1] - 1 + 2].aux[0] : &node->split_first) =
		second->aux[0];
	*(second->aux[0] ? &phys->frames[second->aux[0] - 1 + 2].aux[1] : &node->split_last) =
		second->aux[1];
	node->split_nr--;
	pf_folio_clear_flags(folio, PF_FOLIO_PARTLY_MAPPED);
}

void pf_folio_unqueue_split(struct pf_phys *phys, struct pf_folio *folio)
{
	const unsigned n = node_of(phys, folio);

	if (!pf_folio_test_flags(folio, PF_FOLIO_PARTLY_MAPPED))
		return;
	pf_node_lock(phys, n);
	pf_folio_unqueue_split_locked(phys, folio);
	pf_node_unlock(phys, n);
}

struct pf_folio *pf_folio_next_split(struct pf_phys *phys, unsigned node)
{
	struct pf_folio *folio = NULL;

	pf_node_lock(phys, node);
	while (phys->node[node].split_first && !folio) {
		folio = (struct pf_folio *)&phys->frames[phys->node[node].split_first - 1];
		pf_folio_unqueue_split_locked(phys, folio);
		/* One that is being freed has no references left; who frees it finds it on no list. */
		if (!pf_folio_try_get(folio))
			folio = NULL;
	}
	pf_node_unlock(phys, node);
	return folio;
}

uint32_t pf_folio_nr_split(struct pf_phys *phys, unsigned node)
{
	uint32_t nr;

	pf_node_lock(phys, node);
	nr = phys->node[node].split_nr;
	pf_node_unlock(phys, node);
	return nr;
}
