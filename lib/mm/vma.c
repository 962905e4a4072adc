/* SPDX-License-Identifier: MIT */
/*
 * VMAs made, split and merged. Which neighbours become one is Linux's rule, so that
 * /proc/PID/maps comes out the same:
 *
 *   adjacent; not special; equal flags, but for soft-dirty; one mapping and one memory policy; consecutive pgoff; and of anon_vmas at most one, or
 *   the same, where one that came by fork does not extend to a VMA without.
 *
 * VMAs of an mm that have the same anon_vma as their own have the same links: they were one (split and
 * mremap copy the links), or one took its neighbour's, which is allowed of a VMA with a single link; and
 * what fork gives or takes over is one VMA's. So whichever of them is merged into the other, none is lost.
 */
#include "mm/internal.h"

int pf_vma_reserve(struct pf_mm *mm, struct pf_vma_reserve *r, uint64_t nr, uint64_t links)
{
	*r = (struct pf_vma_reserve){0};
	if (nr && pf_vma_tree_reserve(mm->vmas, nr))
		return -PF_ENOMEM;
	while (nr--) {
		union pf_vma_spare *spare = pf_port_meta_alloc(sizeof(*spare));

		if (!spare)
			goto nomem;
		spare->next = r->first;
		r->first = spare;
	}
	while (links--) {
		struct pf_anon_link *l = pf_port_meta_alloc(sizeof(*l));

		if (!l)
			goto nomem;
		l->next = r->links;
		r->links = l;
	}
	return 0;

nomem:
	pf_vma_unreserve(mm, r);
	return -PF_ENOMEM;
}

struct pf_vma *pf_vma_take(struct pf_vma_reserve *r)
{
	union pf_vma_spare *spare = r->first;

	r->first = spare->next;
	return &spare->vma;
}

struct pf_anon_link *pf_vma_take_link(struct pf_vma_reserve *r)
{
	struct pf_anon_link *l = r->links;

	r->links = l->next;
	l->next = NULL;
	return l;
}

void pf_vma_unreserve(struct pf_mm *mm, struct pf_vma_reserve *r)
{
	pf_vma_tree_unreserve(mm->vmas);
	while (r->first)
		pf_port_meta_free(pf_vma_take(r), sizeof(struct pf_vma));
	pf_anon_links_free(r->links);
	r->links = NULL;
}

/*
 * Writable implies readable, as in every architecture's tables. Executable alone stays that:
 * formats that cannot have it say so when they encode it.
 */
uint64_t pf_vma_prot(uint32_t flags)
{
	uint64_t prot = 0;

	if (flags & PF_VM_READ)
		prot |= PF_PTE_R;
	if (flags & PF_VM_WRITE)
		prot |= PF_PTE_R | PF_PTE_W;
	if (flags & PF_VM_EXEC)
		prot |= PF_PTE_X;
	return prot;
}

uint64_t pf_vma_page_prot(const struct pf_vma *vma)
{
	const struct pf_mapping *mapping = vma->mapping;
	const uint64_t prot = pf_vma_prot(vma->area.flags) |
			      (mapping ? (uint64_t)mapping->memtype << PF_PTE_MEM_SHIFT : 0);

	if (!(vma->area.flags & PF_VM_SHARED))
		return prot;
	/* By userfaultfd, by who writes it back, and by who tracks what becomes soft-dirty. */
	if ((vma->area.flags & PF_VM_UFFD_WP) || (mapping && mapping->ops && mapping->ops->write) ||
		(pf_mm_has_soft_dirty(vma->mm) && !(vma->area.flags & PF_VM_SOFTDIRTY) &&
			!PF_MUTANT("shared-write-unnoticed")))
		return prot & ~PF_PTE_W;
	return prot;
}

void pf_vma_set_flags(struct pf_mm *mm, struct pf_vma *vma, uint32_t flags)
{
	const int64_t pages = (int64_t)pf_mm_pages(mm, vma->area.start, vma->area.end);

	pf_vma_start_write(vma);
	pf_vm_stat(mm, vma->area.flags, -pages);
	pf_vm_stat(mm, flags, pages);
	/* Who gives the flag has asked for it. */
	pf_uncommit(mm->sys, vma->area.flags & ~flags, (uint64_t)pages);
	/* Atomic: who finds the VMA by a page reads them under a table lock alone. */
	pf_store_relaxed(&vma->area.flags, flags);
	pf_store_relaxed(&vma->area.prot, pf_vma_page_prot(vma));
}

/* ---- who goes with whom ---- */

static bool same_flags(uint32_t a, uint32_t b)
{
	return !((a ^ b) & ~PF_VM_STICKY);
}

static bool anon_vmas_agree(const struct pf_vma *a, const struct pf_vma *b)
{
	const uint32_t x = pf_load_relaxed(&a->area.anon), y = pf_load_relaxed(&b->area.anon);

	if (x && y)
		return x == y;
	return !pf_vma_forked(a) && !pf_vma_forked(b);
}

bool pf_vma_continues(const struct pf_mm *mm, const struct pf_vma *a, const struct pf_vma *b)
{
	return a->area.end == b->area.start && a->mapping == b->mapping &&
	       a->area.pgoff + pf_mm_pages(mm, a->area.start, a->area.end) == b->area.pgoff;
}

bool pf_vma_mergeable(const struct pf_mm *mm, const struct pf_vma *a, const struct pf_vma *b)
{
	if ((a->area.flags & PF_VM_SPECIAL) && !PF_MUTANT("pfnmap-merges"))
		return false;
	return pf_vma_continues(mm, a, b) && same_flags(a->area.flags, b->area.flags) &&
	       a->uffd == b->uffd &&
	       (pf_policy_same(&a->area.policy, &b->area.policy) ||
		       PF_MUTANT("merge-ignores-policy")) &&
	       anon_vmas_agree(a, b);
}

/* ---- the one place where VMAs enter and leave the tree, and change their range ---- */

void pf_i_mmap_lock(const struct pf_vma *vma)
{
	if (vma->mapping)
		pf_port_rw_write_lock(&vma->mapping->i_mmap_lock, PF_LOCK_I_MMAP);
}

void pf_i_mmap_unlock(const struct pf_vma *vma)
{
	if (vma->mapping)
		pf_port_rw_write_unlock(&vma->mapping->i_mmap_lock, PF_LOCK_I_MMAP);
}

static void i_mmap_hook(struct pf_vma *vma)
{
	const struct pf_area *a = &vma->area;

	if (vma->mapping)
		pf_itree_insert(&vma->mapping->i_mmap, &vma->i_mmap, a->pgoff,
			a->pgoff + (pf_mm_pages(vma->mm, a->start, a->end) - 1));
}

static void i_mmap_unhook(struct pf_vma *vma)
{
	if (vma->mapping)
		pf_itree_remove(&vma->mapping->i_mmap, &vma->i_mmap);
}

void pf_vma_leave_mapping(struct pf_vma *vma)
{
	struct pf_mapping *mapping = vma->mapping;

	if (!mapping)
		return;
	pf_i_mmap_lock(vma);
	i_mmap_unhook(vma);
	pf_i_mmap_unlock(vma);
	vma->mapping = NULL;
	pf_mapping_put(mapping);
}

/* i_mmap lock for writing, as below. */
static void insert(struct pf_mm *mm, struct pf_vma *vma)
{
	pf_vma_attach(mm, vma);
	mm->map_count++;
	if (vma->mapping)
		pf_mapping_get(vma->mapping);
	i_mmap_hook(vma);
}

void pf_vma_insert(struct pf_mm *mm, struct pf_vma *vma)
{
	pf_i_mmap_lock(vma);
	insert(mm, vma);
	pf_i_mmap_unlock(vma);
}

/* Without its links, out of its mapping, and locked for writing. */
static void take_out(struct pf_mm *mm, struct pf_vma *vma)
{
	pf_vma_detach(vma);
	mm->map_count--;
}

/* While its links are not hooked. */
static void set_range(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end, uint64_t pgoff)
{
	i_mmap_unhook(vma);
	vma->area.pgoff = pgoff;
	pf_vma_tree_set_range(mm->vmas, vma, start, end);
	i_mmap_hook(vma);
}

void pf_vma_remove(struct pf_mm *mm, struct pf_vma *vma)
{
	pf_vma_start_write(vma);
	pf_vma_leave_mapping(vma);
	pf_anon_unlink(mm->sys, vma);
	take_out(mm, vma);
}

/* A walker that comes before or after sees the VMA where its pages are found, and none in between. */
void pf_vma_set_range(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end, uint64_t pgoff)
{
	struct pf_anon_vma *root;

	pf_vma_start_write(vma);
	pf_i_mmap_lock(vma);
	root = pf_anon_lock_write(mm->sys, vma);
	pf_anon_unhook(vma);
	set_range(mm, vma, start, end, pgoff);
	pf_anon_hook(mm->sys, vma);
	pf_anon_unlock_write(root);
	pf_i_mmap_unlock(vma);
}

struct pf_vma *pf_vma_split(
	struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma, pf_va_t at)
{
	struct pf_vma *rest = pf_vma_take(r);
	struct pf_anon_vma *root;

	pf_vma_start_write(vma);
	pf_i_mmap_lock(vma);
	root = pf_anon_lock_write(mm->sys, vma);
	pf_vma_copy(rest, vma);
	rest->area.start = at;
	rest->area.pgoff += pf_mm_pages(mm, vma->area.start, at);
	rest->area.anon = 0;
	rest->links = NULL;
	pf_anon_unhook(vma);
	set_range(mm, vma, vma->area.start, at, vma->area.pgoff);
	insert(mm, rest);
	pf_anon_hook(mm->sys, vma);
	pf_anon_clone(mm->sys, r, rest, vma);
	pf_anon_unlock_write(root);
	pf_i_mmap_unlock(vma);
	return rest;
}

/* ---- merge ---- */

/* What one of the two had, both have; first writes to shared memory may then need no notice. */
static void take_sticky(struct pf_vma *vma, const struct pf_vma *other)
{
	if (pf_load_relaxed(&other->had_guards))
		pf_store_relaxed(&vma->had_guards, 1);
	pf_or_relaxed(&vma->area.flags, other->area.flags & PF_VM_STICKY);
	pf_store_relaxed(&vma->area.prot, pf_vma_page_prot(vma));
}

/* b joins a, which keeps its place. */
static void join(struct pf_mm *mm, struct pf_vma *a, struct pf_vma *b)
{
	struct pf_mapping *mapping = b->mapping;
	struct pf_anon_vma *root;
	struct pf_anon_link *left;
	pf_va_t end = b->area.end;

	pf_vma_start_write(a);
	pf_vma_start_write(b);
	pf_i_mmap_lock(a);
	/* Of one family, if both have one. */
	root = pf_anon_lock_write(mm->sys, a->area.anon ? a : b);
	pf_anon_unhook(a);
	pf_anon_unhook(b);
	left = pf_anon_inherit(mm->sys, a, b);
	take_sticky(a, b);
	i_mmap_unhook(b);
	take_out(mm, b);
	set_range(mm, a, a->area.start, end, a->area.pgoff);
	pf_anon_hook(mm->sys, a);
	pf_anon_unlock_write(root);
	pf_i_mmap_unlock(a);
	if (mapping)
		pf_mapping_put(mapping);
	pf_anon_links_free(left);
}

/*
 * Join a VMA with its neighbours where they agree. When each neighbour agrees with it but they do
 * not with one another, the one before it is preferred, as in Linux.
 */
static struct pf_vma *merge_around(struct pf_mm *mm, struct pf_vma *vma)
{
	struct pf_vma *prev = pf_vma_tree_prev(mm->vmas, vma);
	struct pf_vma *next;

	if (prev && pf_vma_mergeable(mm, prev, vma)) {
		join(mm, prev, vma);
		vma = prev;
	}
	next = pf_vma_tree_next(mm->vmas, vma);
	if (next && pf_vma_mergeable(mm, vma, next))
		join(mm, vma, next);
	return vma;
}

/* A VMA takes in a new range beside it, and the links of those pages that will be moved there. */
static void extend(
	struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma, const struct pf_vma *new)
{
	struct pf_anon_vma *root;

	pf_vma_start_write(vma);
	take_sticky(vma, new);
	if (new->area.start < vma->area.start)
		pf_vma_set_range(mm, vma, new->area.start, vma->area.end, new->area.pgoff);
	else
		pf_vma_set_range(mm, vma, vma->area.start, new->area.end, vma->area.pgoff);
	if (vma->area.anon || !new->area.anon)
		return;
	root = pf_anon_lock_write(mm->sys, new);
	pf_anon_clone(mm->sys, r, vma, new);
	pf_anon_unlock_write(root);
}

struct pf_vma *pf_vma_add(struct pf_mm *mm, struct pf_vma_reserve *r, const struct pf_vma_desc *d)
{
	struct pf_vma *prev = pf_vma_tree_find_below(mm->vmas, d->start);
	struct pf_vma *next = pf_find_vma(mm, d->end);
	/* What it will be like: as if it had the links already. */
	struct pf_vma new = {
		.area = {.start = d->start,
			.end = d->end,
			.flags = d->flags,
			.anon = d->like ? d->like->area.anon : 0,
			.pgoff = d->pgoff},
		.mm = mm,
		.mapping = d->mapping,
		.links = d->like ? d->like->links : NULL,
		.uffd = d->like ? d->like->uffd : NULL,
		.had_guards = d->like ? pf_load_relaxed(&d->like->had_guards) : 0,
	};
	struct pf_anon_vma *root;
	struct pf_vma *vma;
	bool left, right;

	if (d->mapping)
		new.area.backing = d->mapping->ops ? PF_BACKED_FILE : PF_BACKED_SHMEM;
	if (d->like && !PF_MUTANT("mremap-forgets-policy"))
		new.area.policy = d->like->area.policy;
	new.area.prot = pf_vma_page_prot(&new);
	pf_vm_stat(mm, d->flags, (int64_t)pf_mm_pages(mm, d->start, d->end));
	left = prev && pf_vma_mergeable(mm, prev, &new);
	/*
	 * Both: as long as the two do not exclude each other. What is added to a VMA is no fork's, though
	 * the VMA may be: what lies behind and has no anon_vma joins them, as in Linux.
	 */
	right = next &&
		(pf_vma_mergeable(mm, &new, next) ||
			(d->grows && !next->area.anon && pf_vma_continues(mm, &new, next) &&
				new.uffd == next->uffd &&pf_policy_same(
						    &new.area.policy, &next->area.policy) &&
				same_flags(new.area.flags, next->area.flags))) &&
		!(left && prev->area.anon && next->area.anon && prev->area.anon != next->area.anon);
	if (left) {
		extend(mm, r, prev, &new);
		if (right)
			join(mm, prev, next);
		return prev;
	}
	if (right) {
		extend(mm, r, next, &new);
		return next;
	}
	vma = pf_vma_take(r);
	*vma = new;
	vma->area.anon = 0;
	vma->links = NULL;
	pf_vma_insert(mm, vma);
	root = pf_anon_lock_write(mm->sys, &new);
	pf_anon_clone(mm->sys, r, vma, &new);
	pf_anon_unlock_write(root);
	return vma;
}

int pf_vma_reserve_splits(struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end)
{
	const struct pf_vma *first = pf_vma_lookup(mm, start), *last = pf_vma_lookup(mm, end);
	uint64_t nr = 0, links = 0;

	if (first && first->area.start < start) {
		nr++;
		links += pf_anon_links(first);
	}
	if (last && last->area.start < end) {
		nr++;
		links += pf_anon_links(last);
	}
	return pf_vma_reserve(mm, r, nr, links);
}

struct pf_vma *pf_vma_modify_flags(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, uint32_t flags)
{
	return pf_vma_modify_uffd(mm, r, vma, start, end, flags, vma->uffd);
}

void pf_vma_forget_uffd(struct pf_mm *mm, struct pf_vma *vma)
{
	if (!vma->uffd)
		return;
	pf_vma_start_write(vma);
	vma->uffd = NULL;
	pf_vma_set_flags(mm, vma, vma->area.flags & ~PF_VM_UFFD);
	/* It may be like its neighbours now, and Linux does not look. */
	mm->unmerged = true;
}

/* [start, end) of the VMA becomes what `piece`, a copy of it, says in flags, userfaultfd and policy. */
static struct pf_vma *modify(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, struct pf_vma piece)
{
	const bool left = vma->area.start<start, right = vma->area.end> end;
	const struct pf_vma *prev, *next;

	piece.area.start = start;
	piece.area.end = end;
	piece.area.pgoff += pf_mm_pages(mm, vma->area.start, start);
	/* A merge moves a border instead of making one. */
	prev = left ? NULL : pf_vma_tree_prev(mm->vmas, vma);
	next = right ? NULL : pf_vma_tree_next(mm->vmas, vma);
	if (!(prev && pf_vma_mergeable(mm, prev, &piece)) &&
		!(next && pf_vma_mergeable(mm, &piece, next)) && (left || right) &&
		mm->map_count + left + right > mm->sys->max_map_count)
		return NULL;
	if (left)
		vma = pf_vma_split(mm, r, vma, start);
	if (right)
		pf_vma_split(mm, r, vma, end);
	pf_vma_start_write(vma);
	vma->uffd = piece.uffd;
	vma->area.policy = piece.area.policy;
	pf_vma_set_flags(mm, vma, piece.area.flags);
	return merge_around(mm, vma);
}

struct pf_vma *pf_vma_modify_uffd(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, uint32_t flags, struct pf_uffd *uffd)
{
	struct pf_vma piece;

	pf_vma_copy(&piece, vma);
	piece.area.flags = flags;
	piece.uffd = uffd;
	return modify(mm, r, vma, start, end, piece);
}

struct pf_vma *pf_vma_modify_policy(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, const struct pf_policy *policy)
{
	struct pf_vma piece;

	pf_vma_copy(&piece, vma);
	piece.area.policy = *policy;
	return modify(mm, r, vma, start, end, piece);
}
