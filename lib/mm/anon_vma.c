/* SPDX-License-Identifier: MIT */
/*
 * anon_vmas and their links.
 */
#include "mm/anon_vma.h"

#include "mm/internal.h"

unsigned pf_anon_links(const struct pf_vma *vma)
{
	unsigned n = 0;

	for (const struct pf_anon_link *l = vma->links; l; l = l->next)
		n++;
	return n;
}

struct pf_anon_vma *pf_anon_object(const struct pf_system *sys, uint32_t handle)
{
	return pf_handle_object(&sys->anon_vmas, handle);
}

/* Acquire: with the mmap lock for reading another may have given it to the VMA just now (pf_anon_prepare). */
static struct pf_anon_vma *own(const struct pf_system *sys, const struct pf_vma *vma)
{
	uint32_t handle = pf_load_acquire(&vma->area.anon);

	return handle ? pf_anon_object(sys, handle) : NULL;
}

static void lock_write(struct pf_anon_vma *anon)
{
	pf_port_rw_write_lock(&anon->root->lock, PF_LOCK_ANON);
}

struct pf_anon_vma *pf_anon_lock_write(const struct pf_system *sys, const struct pf_vma *vma)
{
	struct pf_anon_vma *anon = own(sys, vma);

	if (!anon)
		return NULL;
	lock_write(anon);
	return anon->root;
}

void pf_anon_unlock_write(struct pf_anon_vma *root)
{
	if (root)
		pf_port_rw_write_unlock(&root->lock, PF_LOCK_ANON);
}

/* ---- lives ---- */

static struct pf_anon_vma *anon_alloc(struct pf_system *sys, struct pf_anon_vma *parent)
{
	struct pf_anon_vma *anon = pf_handle_alloc(&sys->anon_vmas);

	if (!anon)
		return NULL;
	anon->active = 0;
	anon->children = 0;
	anon->parent = parent ? parent : anon;
	anon->root = parent ? parent->root : anon;
	anon->links = (struct pf_itree){0};
	pf_port_rw_init(&anon->lock, PF_LOCK_ANON);
	if (parent)
		pf_add_relaxed(&anon->root->refs, 1);
	/* Who finds it by a handle that it had before must find all of it. */
	pf_store_release(&anon->refs, 1);
	return anon;
}

void pf_anon_put(struct pf_system *sys, struct pf_anon_vma *anon)
{
	struct pf_anon_vma *root = anon->root;

	if (pf_sub_return(&anon->refs, 1))
		return;
	pf_handle_free(&sys->anon_vmas, anon);
	if (root != anon && !pf_sub_return(&root->refs, 1))
		pf_handle_free(&sys->anon_vmas, root);
}

struct pf_anon_vma *pf_anon_get(struct pf_system *sys, const struct pf_folio *folio)
{
	uint32_t handle = pf_load_relaxed(&folio->head.mapping), refs;
	struct pf_anon_vma *anon;

	if (!handle || pf_handle_type(handle) != PF_HANDLE_ANON || !pf_folio_mapcount(folio))
		return NULL;
	anon = pf_anon_object(sys, handle);
	refs = pf_load_relaxed(&anon->refs);
	do {
		if (!refs)
			return NULL;
	} while (!pf_cas(&anon->refs, &refs, refs + 1));
	/*
	 * A folio that is mapped keeps its anon_vma, through the link of the VMA that maps it. So if
	 * it is mapped now, what we hold is its anon_vma; if not, it may be a successor.
	 */
	if (pf_folio_mapcount(folio) && pf_load_relaxed(&folio->head.mapping) == handle)
		return anon;
	pf_anon_put(sys, anon);
	return NULL;
}

/* ---- hooks: a VMA's place in the trees ---- */

static void hook(const struct pf_system *sys, struct pf_anon_link *l)
{
	const struct pf_area *a = &l->vma->area;
	const unsigned shift = sys->fmt->pt->page_shift;

	pf_itree_insert(
		&l->anon->links, &l->node, a->pgoff, a->pgoff + ((a->end - a->start) >> shift) - 1);
}

void pf_anon_hook(const struct pf_system *sys, struct pf_vma *vma)
{
	for (struct pf_anon_link *l = vma->links; l; l = l->next)
		hook(sys, l);
}

void pf_anon_unhook(struct pf_vma *vma)
{
	for (struct pf_anon_link *l = vma->links; l; l = l->next)
		pf_itree_remove(&l->anon->links, &l->node);
}

static void link(const struct pf_system *sys, struct pf_anon_link *l, struct pf_vma *vma,
	struct pf_anon_vma *anon)
{
	l->vma = vma;
	l->anon = anon;
	l->next = vma->links;
	/* Release: a neighbour's fault may look at it already (pf_vma_forked). */
	pf_quiet_store_release(&vma->links, l);
	hook(sys, l);
}

void pf_anon_clone(struct pf_system *sys, struct pf_vma_reserve *r, struct pf_vma *dst,
	const struct pf_vma *src)
{
	struct pf_anon_vma *anon = own(sys, src);

	for (const struct pf_anon_link *l = src->links; l; l = l->next)
		link(sys, pf_vma_take_link(r), dst, l->anon);
	dst->area.anon = src->area.anon;
	if (anon)
		anon->active++;
}

struct pf_anon_link *pf_anon_inherit(struct pf_system *sys, struct pf_vma *dst, struct pf_vma *src)
{
	struct pf_anon_link *left = src->links;
	struct pf_anon_vma *anon = own(sys, src);

	if (!left)
		return NULL;
	src->links = NULL;
	if (!dst->area.anon) {
		dst->area.anon = src->area.anon;
		for (struct pf_anon_link *l = left; l; l = l->next)
			l->vma = dst;
		dst->links = left;
		return NULL;
	}
	/* Both have the same links (mm/vma.c): none goes that dst has not, too. */
	anon->active--;
	return left;
}

void pf_anon_links_free(struct pf_anon_link *links)
{
	while (links) {
		struct pf_anon_link *next = links->next;

		pf_port_meta_free(links, sizeof(*links));
		links = next;
	}
}

void pf_anon_unlink(struct pf_system *sys, struct pf_vma *vma)
{
	struct pf_anon_vma *anon = own(sys, vma), *root;
	struct pf_anon_link *left = vma->links, *last = NULL, *done = NULL, *l;

	if (!left)
		return;
	root = pf_anon_lock_write(sys, vma);
	pf_anon_unhook(vma);
	while ((l = left)) {
		struct pf_anon_link **to = &done;

		left = l->next;
		/* It was the last: nobody can come by the anon_vma to link to it. */
		if (pf_itree_empty(&l->anon->links)) {
			l->anon->parent->children--;
			to = &last;
		}
		l->next = *to;
		*to = l;
	}
	anon->active--;
	vma->links = NULL;
	vma->area.anon = 0;
	pf_anon_unlock_write(root);
	/* Not before: one of these may be the root, and its lock with it. */
	for (l = last; l; l = l->next)
		pf_anon_put(sys, l->anon);
	pf_anon_links_free(last);
	pf_anon_links_free(done);
}

/* ---- a VMA's first ---- */

/*
 * A VMA without an anon_vma takes that of a neighbour with which only rights keep it from being
 * merged, so that it can be merged later.
 */
static struct pf_anon_vma *neighbours(
	const struct pf_mm *mm, const struct pf_vma *a, const struct pf_vma *b, bool of_b)
{
	const struct pf_vma *from = of_b ? b : a;
	const uint32_t ignore = PF_VM_ACCESS | PF_VM_STICKY;
	struct pf_anon_vma *anon = own(mm->sys, from);

	if (!anon || pf_vma_forked(from) || !pf_vma_continues(mm, a, b) ||
		((a->area.flags ^ b->area.flags) & ~ignore))
		return NULL;
	return anon;
}

static struct pf_anon_vma *neighbouring(const struct pf_mm *mm, const struct pf_vma *vma)
{
	const struct pf_vma *next = pf_vma_tree_next(mm->vmas, vma);
	const struct pf_vma *prev = pf_vma_tree_prev(mm->vmas, vma);
	struct pf_anon_vma *anon = NULL;

	if (next)
		anon = neighbours(mm, vma, next, true);
	if (!anon && prev)
		anon = neighbours(mm, prev, vma, false);
	return anon;
}

/*
 * Faults come here with the mmap lock for reading, so two may come at once: the first sets it, for
 * both. It does so under the root's lock and hooks the link before it gives that up: a walker for a page that
 * the other may map by then waits for it. Neighbours may get theirs at the same time, and then two where one would
 * have done; they will not be merged then (Linux has the same race).
 */
int pf_anon_prepare(struct pf_mm *mm, struct pf_vma *vma)
{
	struct pf_anon_link *l;
	struct pf_anon_vma *anon, *new = NULL;
	uint32_t none = 0;

	if (PF_LIKELY(pf_load_relaxed(&vma->area.anon)))
		return 0;
	l = pf_port_meta_alloc(sizeof(*l));
	if (!l)
		return -PF_ENOMEM;
	anon = neighbouring(mm, vma);
	if (!anon) {
		anon = new = anon_alloc(mm->sys, NULL);
		if (!anon) {
			pf_port_meta_free(l, sizeof(*l));
			return -PF_ENOMEM;
		}
		new->children = 1;
	}
	lock_write(anon);
	/* Release, for a neighbour's fault that takes it over without a lock of ours: see own(). */
	if (pf_cas(&vma->area.anon, &none, anon->head.handle)) {
		link(mm->sys, l, vma, anon);
		anon->active++;
		l = NULL;
		new = NULL;
	}
	pf_anon_unlock_write(anon->root);
	if (new)
		pf_anon_put(mm->sys, new);
	if (l)
		pf_port_meta_free(l, sizeof(*l));
	return 0;
}

/* ---- fork ---- */

/*
 * May the child use an ancestor's as its own? If no VMA does, and not more than one branch of the
 * family comes of it: of a root, which counts itself, none.
 */
static bool may_take_over(const struct pf_anon_vma *anon)
{
	return !anon->active && anon->children < 2;
}

int pf_anon_fork(
	struct pf_system *sys, struct pf_vma_reserve *r, struct pf_vma *vma, struct pf_vma *parent)
{
	struct pf_anon_vma *from = own(sys, parent), *taken = NULL, *new, *root;
	/* Before the lock, though it may turn out not to be needed. */
	struct pf_anon_link *last = pf_vma_take_link(r);

	new = anon_alloc(sys, from);
	if (!new) {
		pf_anon_links_free(last);
		return -PF_ENOMEM;
	}
	root = pf_anon_lock_write(sys, parent);
	for (const struct pf_anon_link *l = parent->links; l; l = l->next) {
		if (!taken && may_take_over(l->anon))
			taken = l->anon;
		link(sys, pf_vma_take_link(r), vma, l->anon);
	}
	if (!taken) {
		link(sys, last, vma, new);
		from->children++;
		last = NULL;
	}
	vma->area.anon = taken ? taken->head.handle : new->head.handle;
	(taken ? taken : new)->active++;
	pf_anon_unlock_write(root);
	if (taken) {
		pf_anon_links_free(last);
		pf_anon_put(sys, new);
	}
	return 0;
}

/* ---- checking ---- */

static bool is_hooked(const struct pf_anon_link *l, uint64_t first, uint64_t last)
{
	struct pf_inode *n = pf_itree_first(&l->anon->links, first, last);

	while (n && n != &l->node)
		n = pf_itree_next(n, first, last);
	return n && n->start == first && n->last == last;
}

const char *pf_anon_check(const struct pf_system *sys, const struct pf_vma *vma)
{
	const struct pf_area *a = &vma->area;
	const struct pf_anon_vma *anon = own(sys, vma);
	const uint64_t nr = (a->end - a->start) >> sys->fmt->pt->page_shift;
	bool has_own = false, has_root = false;

	if (!anon)
		return vma->links ? "a VMA with links and no anon_vma" : NULL;
	if (!pf_load_relaxed(&anon->refs) || !anon->active)
		return "a VMA's anon_vma is free";
	for (const struct pf_anon_link *l = vma->links; l; l = l->next) {
		if (l->vma != vma)
			return "a link is another VMA's";
		if (l->anon->root != anon->root)
			return "a VMA is linked to two families";
		if (!is_hooked(l, a->pgoff, a->pgoff + nr - 1))
			return "a VMA is not found where its pages are";
		has_own |= l->anon == anon;
		has_root |= l->anon == anon->root;
	}
	if (!has_root)
		return "a VMA is not linked to the root of its family";
	return has_own ? NULL : "a VMA is not linked to its own anon_vma";
}
