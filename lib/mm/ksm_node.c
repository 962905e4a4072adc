/* SPDX-License-Identifier: MIT */
/*
 * KSM's nodes and their places.
 */
#include "mm/ksm_node.h"

#include "mm/internal.h"
#include "mm/ksm.h"

static struct pf_ksm_place *place_of(struct pf_inode *n)
{
	return n ? PF_CONTAINER_OF(n, struct pf_ksm_place, node) : NULL;
}

static void lock_write(struct pf_system *sys)
{
	pf_port_rw_write_lock(&sys->ksm.lock, PF_LOCK_KSM);
}

static void unlock_write(struct pf_system *sys)
{
	pf_port_rw_write_unlock(&sys->ksm.lock, PF_LOCK_KSM);
}

void pf_ksm_init(struct pf_system *sys)
{
	pf_handle_pool_init(&sys->ksm.nodes, PF_HANDLE_KSM, sizeof(struct pf_ksm_node));
	pf_port_rw_init(&sys->ksm.lock, PF_LOCK_KSM);
}

void pf_ksm_exit(struct pf_system *sys)
{
	pf_ksm_prune(sys);
	pf_handle_pool_destroy(&sys->ksm.nodes);
}

struct pf_ksm_node *pf_ksm_node(const struct pf_system *sys, const struct pf_folio *folio)
{
	const uint32_t handle = pf_load_relaxed(&folio->head.mapping);

	if (!handle || pf_handle_type(handle) != PF_HANDLE_KSM)
		return NULL;
	return pf_handle_object(&sys->ksm.nodes, handle);
}

/* ---- for a merge ---- */

int pf_ksm_reserve(struct pf_system *sys, struct pf_ksm_reserve *r)
{
	*r = (struct pf_ksm_reserve){.node = pf_handle_alloc(&sys->ksm.nodes)};
	/* Before a folio names it: who reads that takes the lock to see more. */
	if (r->node)
		pf_store_relaxed(&r->node->lock, &sys->ksm.lock);
	for (unsigned i = 0; r->node && i < PF_ARRAY_SIZE(r->place); i++) {
		r->place[i] = pf_port_meta_alloc(sizeof(*r->place[i]));
		if (!r->place[i]) {
			pf_ksm_unreserve(sys, r);
			return -PF_ENOMEM;
		}
	}
	return r->node ? 0 : -PF_ENOMEM;
}

void pf_ksm_unreserve(struct pf_system *sys, struct pf_ksm_reserve *r)
{
	for (unsigned i = 0; i < PF_ARRAY_SIZE(r->place); i++)
		if (r->place[i])
			pf_port_meta_free(r->place[i], sizeof(*r->place[i]));
	if (r->node)
		pf_handle_free(&sys->ksm.nodes, r->node);
}

void pf_ksm_begin(struct pf_system *sys, struct pf_ksm_reserve *r, const struct pf_folio *folio)
{
	r->node->used = true;
	r->node->pfn = pf_folio_pfn(sys->phys, folio);
	r->node->places = (struct pf_itree){0};
	r->node = NULL;
}

static struct pf_ksm_place *find_place(
	const struct pf_ksm_node *node, const struct pf_anon_vma *root, uint64_t index)
{
	struct pf_inode *n = pf_itree_first(&node->places, index, index);

	while (n && place_of(n)->root != root)
		n = pf_itree_next(n, index, index);
	return place_of(n);
}

void pf_ksm_add_place(struct pf_ksm_node *node, struct pf_ksm_reserve *r, struct pf_anon_vma *anon,
	uint64_t index)
{
	struct pf_anon_vma *root = anon->root;
	const unsigned i = r->place[0] ? 0 : 1;
	struct pf_ksm_place *place = r->place[i];

	if (PF_MUTANT("ksm-own-family"))
		root = anon;
	if (find_place(node, root, index) && !PF_MUTANT("ksm-place-twice"))
		return;
	r->place[i] = NULL;
	place->root = root;
	pf_anon_hold(place->root);
	pf_itree_insert(&node->places, &place->node, index, index);
}

void pf_ksm_moved(struct pf_system *sys, struct pf_folio *src, struct pf_folio *dst)
{
	struct pf_ksm_node *node = pf_ksm_node(sys, src);

	lock_write(sys);
	pf_folio_set_mapping(dst, src->head.index, node->head.handle);
	pf_store_relaxed(&src->head.mapping, 0);
	if (!PF_MUTANT("ksm-node-stays"))
		node->pfn = pf_folio_pfn(sys->phys, dst);
	unlock_write(sys);
}

/* ---- forgetting ---- */

/*
 * Is the node's page another's by now, or nobody's? It names the node from pf_ksm_begin() or pf_ksm_moved() on, under the lock that
 * is ours, until it is free: whoever has the frame then says so before it is a folio again. The frame may be a table or a tail meanwhile, so nothing
 * but its count is read without a reference; who moves the page just now may find ours in the way, as he would a sweeper's, and tries again. A page that
 * has failed keeps its frame; when nobody maps it nobody ever will.
 */
static bool is_gone(const struct pf_system *sys, const struct pf_ksm_node *node)
{
	struct pf_folio *folio = (struct pf_folio *)pf_phys_frame(sys->phys, node->pfn);
	bool gone;

	if (!pf_folio_try_get(folio))
		return true;
	gone = pf_load_relaxed(&folio->head.mapping) != node->head.handle ||
	       (pf_folio_test_flags(folio, PF_FOLIO_HWPOISON) && !pf_folio_mapcount(folio));
	pf_folio_put(sys->phys, folio, 1);
	return gone;
}

/* Has no VMA of the family the index? Then none maps it, and none gets to by another's page: VMAs move under the family's lock. */
static bool is_empty(const struct pf_ksm_place *place)
{
	const uint64_t index = place->node.start;
	bool empty;

	pf_port_rw_read_lock(&place->root->lock, PF_LOCK_ANON);
	empty = !pf_itree_first(&place->root->links, index, index) ||
		(!place->root->active && PF_MUTANT("ksm-prunes-place"));
	pf_port_rw_read_unlock(&place->root->lock, PF_LOCK_ANON);
	return empty;
}

static void look_at(struct pf_system *sys, struct pf_ksm_node *node)
{
	const bool gone = is_gone(sys, node) && !PF_MUTANT("ksm-node-leaks");
	struct pf_inode *n = pf_itree_first(&node->places, 0, UINT64_MAX);

	while (n) {
		struct pf_ksm_place *place = place_of(n);

		n = pf_itree_next(n, 0, UINT64_MAX);
		if (!gone && !is_empty(place))
			continue;
		pf_itree_remove(&node->places, &place->node);
		pf_anon_put(sys, place->root);
		pf_port_meta_free(place, sizeof(*place));
	}
	if (gone) {
		node->used = false;
		pf_handle_free(&sys->ksm.nodes, node);
	}
}

void pf_ksm_look(struct pf_system *sys, uint32_t nr)
{
	const uint32_t all = pf_handle_count(&sys->ksm.nodes);

	for (nr = (uint32_t)pf_min(nr, all); nr; nr--) {
		struct pf_ksm_node *node;

		sys->ksm.hand = sys->ksm.hand + 1 < all ? sys->ksm.hand + 1 : 0;
		node = pf_handle_nth(&sys->ksm.nodes, sys->ksm.hand);
		if (node->used)
			look_at(sys, node);
	}
}

void pf_ksm_prune(struct pf_system *sys)
{
	lock_write(sys);
	pf_ksm_look(sys, UINT32_MAX);
	unlock_write(sys);
}

/* ---- checking ---- */

bool pf_ksm_leads_to(struct pf_system *sys, const struct pf_folio *folio,
	const struct pf_anon_vma *anon, uint64_t index)
{
	const struct pf_ksm_node *node = pf_ksm_node(sys, folio);
	bool leads;

	pf_port_rw_read_lock(&sys->ksm.lock, PF_LOCK_KSM);
	leads = node && node->used && node->pfn == pf_folio_pfn(sys->phys, folio) &&
		find_place(node, anon->root, index);
	pf_port_rw_read_unlock(&sys->ksm.lock, PF_LOCK_KSM);
	return leads;
}
