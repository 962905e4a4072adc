// SPDX-License-Identifier: MIT
/* Mappings: a sorted array, split and merged as Linux would. */
#include <stdlib.h>
#include <string.h>

#include "cli/oracle_impl.h"

struct ov_process *ov_process(const struct oracle *o, unsigned pid)
{
	for (struct ov_process *p = o->processes; p; p = p->next)
		if (p->pid == pid)
			return p;
	abort(); /* a caller's mistake: no answer would be right */
}

size_t ov_find(const struct ov_process *p, uint64_t va)
{
	size_t i = 0;

	while (i < p->nr && p->vmas[i].end <= va)
		i++;
	return i;
}

bool ov_free_range(const struct ov_process *p, uint64_t start, uint64_t end)
{
	size_t i = ov_find(p, start);

	return i == p->nr || p->vmas[i].start >= end;
}

static void open_slot(struct ov_process *p, size_t i)
{
	if (p->nr == p->room) {
		p->room = p->room ? 2 * p->room : 16;
		p->vmas = ov_grow(p->vmas, p->room * sizeof(*p->vmas));
	}
	memmove(p->vmas + i + 1, p->vmas + i, (p->nr - i) * sizeof(*p->vmas));
	p->nr++;
}

static void close_slot(struct ov_process *p, size_t i)
{
	ov_drop(p->vmas[i].object);
	p->nr--;
	memmove(p->vmas + i, p->vmas + i + 1, (p->nr - i) * sizeof(*p->vmas));
}

void ov_split(const struct oracle *o, struct ov_process *p, uint64_t va)
{
	size_t i = ov_find(p, va);

	if (i == p->nr || p->vmas[i].start >= va)
		return;
	open_slot(p, i);
	p->vmas[i].end = va;
	p->vmas[i + 1].pgoff += (va - p->vmas[i + 1].start) / o->cfg.page;
	p->vmas[i + 1].start = va;
	if (p->vmas[i].object)
		p->vmas[i].object->refs++;
}

bool ov_sealed(const struct ov_process *p, uint64_t start, uint64_t end)
{
	for (size_t i = ov_find(p, start); i < p->nr && p->vmas[i].start < end; i++)
		if (p->vmas[i].flags & OV_SEALED)
			return true;
	return false;
}

/* A mapping in the middle of which a hole is made becomes two. */
bool ov_can_punch(const struct oracle *o, const struct ov_process *p, uint64_t start, uint64_t end)
{
	size_t i = ov_find(p, start);

	return i == p->nr || p->vmas[i].start >= start || p->vmas[i].end <= end ||
	       p->nr < o->cfg.max_maps;
}

void ov_remove(const struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end)
{
	ov_split(o, p, start);
	ov_split(o, p, end);
	for (size_t i = ov_find(p, start); i < p->nr && p->vmas[i].start < end;) {
		struct ov_vma *v = &p->vmas[i];

		ov_discard(&p->guards, v->start / o->cfg.page, (v->end - v->start) / o->cfg.page,
			false);
		ov_discard(
			&p->wp, v->start / o->cfg.page, (v->end - v->start) / o->cfg.page, false);
		if (!v->shared)
			ov_discard(&p->pages, v->start / o->cfg.page,
				(v->end - v->start) / o->cfg.page, false);
		close_slot(p, i);
	}
}

/* A mapping that a fork gave its anon_vma keeps its chain to itself. */
static bool anon_fits(const struct ov_vma *target, const struct ov_vma *v)
{
	if (!target->anon && v->anon)
		return !v->inherited;
	if (target->anon && !v->anon)
		return !target->inherited;
	return target->anon == v->anon;
}

static bool follows(const struct oracle *o, const struct ov_vma *a, const struct ov_vma *b,
	unsigned but_prot, unsigned but_flags)
{
	return a->end == b->start && !((a->prot ^ b->prot) & ~but_prot) &&
	       !((a->flags ^ b->flags) & ~but_flags) && a->object == b->object &&
	       a->shared == b->shared && a->pgoff + (a->end - a->start) / o->cfg.page == b->pgoff;
}

static void join(struct ov_process *p, size_t i)
{
	struct ov_vma *a = &p->vmas[i], *b = a + 1;

	a->end = b->end;
	if (!a->anon) {
		a->anon = b->anon;
		a->inherited = b->inherited;
	}
	close_slot(p, i + 1);
}

/* True if mapping i merged with a neighbour. */
static bool merge(const struct oracle *o, struct ov_process *p, size_t i)
{
	struct ov_vma *v = &p->vmas[i];
	bool left = i > 0 && follows(o, v - 1, v, 0, 0) && anon_fits(v - 1, v);
	bool right = i + 1 < p->nr && follows(o, v, v + 1, 0, 0) && anon_fits(v + 1, v);

	if (left && right && v[-1].anon && v[1].anon && v[-1].anon != v[1].anon)
		right = false;
	if (right)
		join(p, i);
	if (left)
		join(p, i - 1);
	return left || right;
}

void ov_insert(struct oracle *o, struct ov_process *p, const struct ov_vma *v)
{
	size_t i = ov_find(p, v->start);

	open_slot(p, i);
	p->vmas[i] = *v;
	if (v->object)
		v->object->refs++;
	merge(o, p, i);
}

bool ov_modify(struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end, unsigned prot,
	unsigned flags)
{
	size_t i = ov_find(p, start), before = p->nr;
	struct ov_vma old = p->vmas[i];

	if (old.prot == prot && old.flags == flags)
		return true;
	ov_split(o, p, start);
	ov_split(o, p, end);
	bool had_room = p->nr <= before || p->nr <= o->cfg.max_maps;

	i = ov_find(p, start);
	p->vmas[i].prot = prot;
	p->vmas[i].flags = flags;
	if (merge(o, p, i) || had_room)
		return true;
	/* Not merged, so the pieces are whole: put the old mapping back. */
	i = ov_find(p, old.start);
	while (p->vmas[i].end < old.end) {
		p->vmas[i].end = p->vmas[i + 1].end;
		close_slot(p, i + 1);
	}
	p->vmas[i] = old;
	return false;
}

void ov_make_anon(struct oracle *o, struct ov_process *p, size_t i)
{
	struct ov_vma *v = &p->vmas[i];

	if (v->anon || v->shared)
		return;
	if (i + 1 < p->nr && v[1].anon && !v[1].inherited && follows(o, v, v + 1, 7, 0))
		v->anon = v[1].anon;
	else if (i > 0 && v[-1].anon && !v[-1].inherited && follows(o, v - 1, v, 7, 0))
		v->anon = v[-1].anon;
	else
		v->anon = ++o->next_anon;
}

void ov_copy_pages(
	const struct oracle *o, struct ov_process *p, size_t i, uint64_t start, uint64_t end)
{
	const struct ov_vma *v = &p->vmas[i];

	if (v->shared || !v->object)
		return;
	for (uint64_t va = start; va < end; va += o->cfg.page) {
		uint64_t at = v->pgoff + (va - v->start) / o->cfg.page, page = va / o->cfg.page;
		struct ov_cell *mine = ov_get(&p->pages, page);
		struct ov_cell *c = ov_get(&v->object->pages, at);

		if (at >= v->object->size || ov_guarded(o, p, va, va + 1))
			return;
		if (!mine || !mine->own)
			ov_put_own(&p->pages, page, c ? c->value : 0);
	}
}
