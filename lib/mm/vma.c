/* SPDX-License-Identifier: MIT */
/*
 * VMAs made, split and merged. Which neighbours become one is Linux's rule, so that
 * /proc/PID/maps comes out the same:
 *
 *   adjacent; equal flags, but for soft-dirty; consecutive pgoff; and of the families of anonymous
 *   pages (struct pf_vma.anon) at most one, or the same, where one that came by fork does not
 *   extend to a VMA without.
 */
#include "mm/internal.h"

int pf_vma_reserve(struct pf_mm *mm, struct pf_vma_reserve *r, uint64_t nr)
{
	r->first = NULL;
	if (nr && pf_vma_tree_reserve(mm->vmas, nr))
		return -PF_ENOMEM;
	while (nr--) {
		union pf_vma_spare *spare = pf_port_meta_alloc(sizeof(*spare));

		if (!spare) {
			pf_vma_unreserve(mm, r);
			return -PF_ENOMEM;
		}
		spare->next = r->first;
		r->first = spare;
	}
	return 0;
}

struct pf_vma *pf_vma_take(struct pf_vma_reserve *r)
{
	union pf_vma_spare *spare = r->first;

	r->first = spare->next;
	return &spare->vma;
}

void pf_vma_unreserve(struct pf_mm *mm, struct pf_vma_reserve *r)
{
	pf_vma_tree_unreserve(mm->vmas);
	while (r->first)
		pf_port_meta_free(pf_vma_take(r), sizeof(struct pf_vma));
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

void pf_vma_set_flags(struct pf_mm *mm, struct pf_vma *vma, uint32_t flags)
{
	const int64_t pages = (int64_t)pf_mm_pages(mm, vma->area.start, vma->area.end);

	pf_vm_stat(mm, vma->area.flags, -pages);
	pf_vm_stat(mm, flags, pages);
	vma->area.flags = flags;
	vma->area.prot = pf_vma_prot(flags);
}

/* ---- who goes with whom ---- */

static bool same_flags(uint32_t a, uint32_t b)
{
	return !((a ^ b) & ~PF_VM_SOFTDIRTY);
}

static bool families_agree(const struct pf_vma *a, const struct pf_vma *b)
{
	if (a->anon && b->anon)
		return a->anon == b->anon;
	return !a->anon_forked && !b->anon_forked;
}

static bool continues(const struct pf_mm *mm, const struct pf_vma *a, const struct pf_vma *b)
{
	return a->area.end == b->area.start &&
	       a->pgoff + pf_mm_pages(mm, a->area.start, a->area.end) == b->pgoff;
}

bool pf_vma_mergeable(const struct pf_mm *mm, const struct pf_vma *a, const struct pf_vma *b)
{
	return continues(mm, a, b) && same_flags(a->area.flags, b->area.flags) &&
	       families_agree(a, b);
}

/*
 * Linux's anon_vma_prepare, and find_mergeable_anon_vma: a VMA without a family takes that of a
 * neighbour with which only rights keep it from being merged, so that it can be merged later.
 */
static uint64_t neighbours_family(
	const struct pf_mm *mm, const struct pf_vma *a, const struct pf_vma *b, bool of_b)
{
	const struct pf_vma *from = of_b ? b : a;
	const uint32_t ignore = PF_VM_ACCESS | PF_VM_SOFTDIRTY;
	uint64_t anon = pf_load_relaxed(&from->anon);

	if (!anon || from->anon_forked || !continues(mm, a, b) ||
		((a->area.flags ^ b->area.flags) & ~ignore))
		return 0;
	return anon;
}

/*
 * Faults come here with the lock for reading, so two may come at once: the first sets it, for both.
 * Neighbours may get theirs at the same time, and then two families where one would have done; they
 * will not be merged then (Linux has the same race).
 */
void pf_vma_anon_prepare(struct pf_mm *mm, struct pf_vma *vma)
{
	const struct pf_vma *next, *prev;
	uint64_t anon = 0, none = 0;

	if (pf_load_relaxed(&vma->anon))
		return;
	next = pf_vma_tree_next(mm->vmas, vma);
	prev = pf_vma_tree_prev(mm->vmas, vma);
	if (next)
		anon = neighbours_family(mm, vma, next, true);
	if (!anon && prev)
		anon = neighbours_family(mm, prev, vma, false);
	if (!anon)
		anon = pf_add_relaxed(&mm->next_anon, 1);
	pf_cas_relaxed(&vma->anon, &none, anon);
}

/* ---- the one place where VMAs enter and leave the tree, and change their range ---- */

void pf_vma_insert(struct pf_mm *mm, struct pf_vma *vma)
{
	pf_vma_tree_insert(mm->vmas, vma);
	mm->map_count++;
}

void pf_vma_remove(struct pf_mm *mm, struct pf_vma *vma)
{
	pf_vma_tree_remove(mm->vmas, vma);
	pf_port_meta_free(vma, sizeof(*vma));
	mm->map_count--;
}

void pf_vma_set_range(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end, uint64_t pgoff)
{
	vma->pgoff = pgoff;
	pf_vma_tree_set_range(mm->vmas, vma, start, end);
}

struct pf_vma *pf_vma_split(
	struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma, pf_va_t at)
{
	struct pf_vma *rest = pf_vma_take(r);

	*rest = *vma;
	rest->area.start = at;
	rest->pgoff += pf_mm_pages(mm, vma->area.start, at);
	pf_vma_set_range(mm, vma, vma->area.start, at, vma->pgoff);
	pf_vma_insert(mm, rest);
	return rest;
}

/* ---- merge ---- */

/* b joins a, which keeps its place. */
static void join(struct pf_mm *mm, struct pf_vma *a, struct pf_vma *b)
{
	pf_va_t end = b->area.end;

	if (!a->anon) {
		a->anon = b->anon;
		a->anon_forked = b->anon_forked;
	}
	a->area.flags |= b->area.flags & PF_VM_SOFTDIRTY;
	pf_vma_remove(mm, b);
	pf_vma_set_range(mm, a, a->area.start, end, a->pgoff);
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

struct pf_vma *pf_vma_add(struct pf_mm *mm, struct pf_vma_reserve *r, const struct pf_vma_desc *d)
{
	struct pf_vma *prev = pf_vma_tree_find_below(mm->vmas, d->start);
	struct pf_vma *next = pf_find_vma(mm, d->end);
	struct pf_vma new = {
		.area = {.start = d->start, .end = d->end, .flags = d->flags},
		.pgoff = d->pgoff,
		.anon = d->anon,
		.anon_forked = d->anon_forked,
	};
	struct pf_vma *vma;

	new.area.prot = pf_vma_prot(d->flags);
	pf_vm_stat(mm, d->flags, (int64_t)pf_mm_pages(mm, d->start, d->end));
	if (prev && pf_vma_mergeable(mm, prev, &new)) {
		if (!prev->anon) {
			prev->anon = new.anon;
			prev->anon_forked = new.anon_forked;
		}
		prev->area.flags |= d->flags & PF_VM_SOFTDIRTY;
		pf_vma_set_range(mm, prev, prev->area.start, d->end, prev->pgoff);
		if (next && pf_vma_mergeable(mm, prev, next))
			join(mm, prev, next);
		return prev;
	}
	if (next && pf_vma_mergeable(mm, &new, next)) {
		if (!next->anon) {
			next->anon = new.anon;
			next->anon_forked = new.anon_forked;
		}
		next->area.flags |= d->flags & PF_VM_SOFTDIRTY;
		pf_vma_set_range(mm, next, d->start, next->area.end, new.pgoff);
		return next;
	}
	vma = pf_vma_take(r);
	*vma = new;
	pf_vma_insert(mm, vma);
	return vma;
}

unsigned pf_vma_splits(const struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	const struct pf_vma *first = pf_vma_lookup(mm, start), *last = pf_vma_lookup(mm, end);

	return (first && first->area.start < start) + (last && last->area.start < end);
}

struct pf_vma *pf_vma_modify_flags(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, uint32_t flags)
{
	const bool left = vma->area.start<start, right = vma->area.end> end;
	struct pf_vma piece = *vma;
	const struct pf_vma *prev, *next;

	piece.area = (struct pf_area){.start = start, .end = end, .flags = flags};
	piece.pgoff += pf_mm_pages(mm, vma->area.start, start);
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
	pf_vma_set_flags(mm, vma, flags);
	return merge_around(mm, vma);
}
