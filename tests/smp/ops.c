/* SPDX-License-Identifier: MIT */
/*
 * Accesses, forks, and what threads do to pages that are not theirs, or everybody's.
 */
#include "stress.h"

#include "mm/collapse.h"
#include "mm/ksm.h"
#include "mm/migrate.h"
#include "mm/numa.h"
#include "mm/proc.h"
#include "swap.h"

void enter(struct thread *t, const struct view *v)
{
	(void)t;
	smp_set_root(v->mm->space.pt.root, v->asid);
}

enum pf_fault_result touch(
	struct thread *t, const struct view *v, pf_va_t va, bool write, uint64_t *value)
{
	unsigned tries = 0;

	for (unsigned faults = 0; faults < 1000000; faults++) {
		struct smp_fault f = write ? smp_store(va, *value) : smp_load(va, value);
		enum pf_fault_result r;

		if (!f.fault)
			return PF_FAULT_DONE;
		r = pf_handle_mm_fault(v->mm, va, write ? PF_FAULT_FLAG_WRITE : 0);
		if (r == PF_FAULT_OOM && again(t, -PF_ENOMEM, &tries))
			continue;
		if (r != PF_FAULT_DONE)
			return r;
	}
	fail(t, "faults for ever at %" PRIx64, va);
}

/* Of a page of two words that are alike, one. */
static pf_va_t word_of(struct thread *t, unsigned page)
{
	return part(t->id) + page * P + (rnd(t, 2) ? P - 8 : 0);
}

void load_own(struct thread *t, const struct view *v, unsigned page)
{
	const struct page *g = &v->page[page];
	const bool allowed = g->mapped && (g->prot & (PF_PROT_READ | PF_PROT_WRITE));
	uint64_t value;
	enum pf_fault_result r = touch(t, v, word_of(t, page), false, &value);

	if (r != (allowed ? PF_FAULT_DONE : PF_FAULT_SIGSEGV))
		fail(t, "load of page %u (%s, prot %u): fault result %d", page,
			g->mapped ? "mapped" : "not mapped", g->prot, r);
	if (allowed && value != g->value && !(g->lazy && !value))
		fail(t, "page %u has %" PRIx64 ", should have %" PRIx64 "%s", page, value, g->value,
			g->lazy ? " or 0" : "");
}

void store_own(struct thread *t, const struct view *v, unsigned page)
{
	struct page *g = &v->page[page];
	const bool allowed = g->mapped && (g->prot & PF_PROT_WRITE);
	uint64_t value = new_stamp(t, t->id);

	/* What a child shares with its parent the parent knows. */
	if (allowed && g->shared && v->child)
		return;
	for (unsigned last = 0; last < 2; last++) {
		enum pf_fault_result r =
			touch(t, v, part(t->id) + page * P + (last ? P - 8 : 0), true, &value);

		if (r != (allowed ? PF_FAULT_DONE : PF_FAULT_SIGSEGV))
			fail(t, "store to page %u (%s, prot %u): fault result %d", page,
				g->mapped ? "mapped" : "not mapped", g->prot, r);
	}
	if (allowed) {
		g->value = value;
		g->lazy = false;
	}
}

/* ---- children ---- */

void end_child(struct thread *t)
{
	struct view *v = &t->view[SHARED];

	if (!v->mm)
		return;
	say(t, "the child ends");
	smp_set_root(0, 0);
	pf_mm_exit(&t->child);
	v->mm = NULL;
}

void fork_from(struct thread *t, const struct view *from)
{
	struct view *v = &t->view[SHARED];
	unsigned tries = 0, page[8];
	int r;

	if (from->child)
		return;
	end_child(t);
	enter(t, from);
	/* The CPU may write to these, by its TLB; and after the fork not without a copy. */
	for (unsigned i = 0; i < PF_ARRAY_SIZE(page); i++) {
		page[i] = rnd(t, PAGES);
		store_own(t, from, page[i]);
	}
	say(t, "fork");
	do
		r = pf_fork(&t->child, from->mm, t->child_asid);
	while (tries < 50 && again(t, r, &tries));
	/* So many tables that one is always refused. */
	if (r == -PF_ENOMEM)
		return;
	if (r)
		fail(t, "says %d", r);
	tries = 0;
	memcpy(v->page, from->page, PAGES * sizeof(*v->page));
	v->mm = &t->child;
	v->asid = t->child_asid;
	/* The shared pages of a child are its parent's to change, and stay what they are, which is checked: it is the same thread. */
	for (unsigned i = 0; i < PAGES; i++)
		if (v->page[i].shared)
			v->page[i] = (struct page){.mapped = false};
	for (unsigned i = 0; i < PAGES; i++)
		if (from->page[i].shared)
			while (again(t, pf_munmap(v->mm, part(t->id) + i * P, P), &tries))
				;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(page); i++)
		store_own(t, from, page[i]);
	enter(t, v);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(page); i++)
		load_own(t, v, page[i]);
	enter(t, from);
}

/* ---- pages that are somebody else's ---- */

static void look(
	struct thread *t, const struct view *v, unsigned owner, unsigned first, unsigned nr)
{
	say(t, "looks at %u+%u of %u", first, nr, owner);
	for (unsigned i = first; i < first + nr; i++) {
		uint64_t value;
		enum pf_fault_result r = touch(t, v, part(owner) + i * P, false, &value);

		if (r == PF_FAULT_DONE && !is_stamp_of(value, owner))
			fail(t, "page %u of %u has %" PRIx64, i, owner, value);
		if (r != PF_FAULT_DONE && r != PF_FAULT_SIGSEGV)
			fail(t, "page %u of %u: fault result %d", i, owner, r);
	}
}

/* By references, that are got without a lock where they can be, beside whatever the owner does. */
static void look_by_gup(
	struct thread *t, const struct view *v, unsigned owner, unsigned first, unsigned nr)
{
	pf_pfn_t pfn[64];
	const unsigned foll = rnd(t, 2) ? PF_FOLL_GET : PF_FOLL_PIN;
	int64_t n = (int64_t)pf_min(nr, PF_ARRAY_SIZE(pfn));

	say(t, "gup_fast %u+%u of %u", first, nr, owner);
	if (rnd(t, 4))
		n = pf_gup_fast_only(v->mm, part(owner) + first * P, (uint64_t)n, foll, pfn);
	else
		n = pf_gup_fast(v->mm, part(owner) + first * P, (uint64_t)n, foll, pfn);
	for (int64_t i = 0; i < n; i++) {
		uint64_t value = pf_load_relaxed((uint64_t *)pf_port_virt(pfn[i] * P));

		if (!is_stamp_of(value, owner))
			fail(t, "page %u of %u has %" PRIx64 " by GUP", first + (unsigned)i, owner,
				value);
	}
	if (n > 0 && foll == PF_FOLL_GET)
		pf_put_user_pages(&world.sys, pfn, (uint64_t)n);
	else if (n > 0)
		pf_unpin_user_pages(&world.sys, pfn, (uint64_t)n);
}

/* What a kernel does by itself, or a debugger, to anybody's pages. */
static void disturb(
	struct thread *t, const struct view *v, unsigned owner, unsigned first, unsigned nr)
{
	const pf_va_t va = part(owner) + first * P;
	static __thread uint64_t entry[PAGES];
	static __thread uint8_t vec[PAGES];
	struct pf_smaps smaps;

	switch (rnd(t, 15)) {
	case 0:
	case 1:
		say(t, "migrate %u+%u of %u", first, nr, owner);
		pf_migrate(v->mm, va, nr * P);
		break;
	case 2:
		say(t, "split %u of %u", first, owner);
		pf_split(v->mm, va);
		break;
	case 3:
		say(t, "page out %u+%u of %u", first, nr, owner);
		pf_madvise(v->mm, va, nr * P, PF_MADV_PAGEOUT);
		break;
	case 4:
		say(t, "collapse %u", owner);
		pf_madvise(v->mm, part(owner), PAGES * P, PF_MADV_COLLAPSE);
		break;
	case 5:
		say(t, "khugepaged %u", owner);
		pf_khugepaged(v->mm, part(owner), PAGES * P);
		break;
	case 6:
		say(t, "NUMA hints %u+%u of %u", first, nr, owner);
		pf_numa_hint(v->mm, va, nr * P);
		break;
	case 7:
		say(t, "clear_refs");
		pf_clear_refs(v->mm, 1 + rnd(t, 5));
		break;
	case 8:
		say(t, "pagemap %u+%u of %u", first, nr, owner);
		pf_pagemap(v->mm, va, nr, entry);
		break;
	case 9:
		say(t, "smaps");
		pf_smaps(v->mm, va, &smaps);
		break;
	case 10:
		say(t, "mincore %u+%u of %u", first, nr, owner);
		pf_mincore(v->mm, va, nr * P, vec);
		break;
	case 11:
		say(t, "reclaim");
		pf_reclaim(&world.sys, 1 + rnd(t, 64));
		break;
	case 12:
		say(t, "prune");
		pf_ksm_prune(&world.sys);
		break;
	case 13:
		look_by_gup(t, v, owner, first, nr);
		break;
	default:
		say(t, "cold %u+%u of %u", first, nr, owner);
		pf_madvise(v->mm, va, nr * P, PF_MADV_COLD);
	}
}

/* ---- everybody's ---- */

static void common_store(struct thread *t, const struct view *v, unsigned first, unsigned nr)
{
	for (unsigned i = first; i < first + nr; i++) {
		uint64_t value = new_stamp(t, EVERYBODY);
		enum pf_fault_result r = touch(t, v, part(EVERYBODY) + i * P, true, &value);

		if (r != PF_FAULT_DONE && r != PF_FAULT_SIGSEGV)
			fail(t, "page %u of all: fault result %d", i, r);
	}
}

static void common_pin(struct thread *t, const struct view *v, pf_va_t va)
{
	pf_pfn_t pfn;

	if (pf_gup_fast(v->mm, va, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn) != 1)
		return;
	if (!is_stamp_of(pf_load_relaxed((uint64_t *)pf_port_virt(pfn * P)), EVERYBODY))
		fail(t, "a pinned page of all has %" PRIx64,
			pf_load_relaxed((uint64_t *)pf_port_virt(pfn * P)));
	pf_store_relaxed((uint64_t *)pf_port_virt(pfn * P), new_stamp(t, EVERYBODY));
	pf_unpin_user_pages_dirty(&world.sys, &pfn, 1);
}

static void step_common(struct thread *t, const struct view *v, unsigned first, unsigned nr)
{
	static const int advice[] = {PF_MADV_DONTNEED, PF_MADV_DONTNEED, PF_MADV_FREE,
		PF_MADV_PAGEOUT, PF_MADV_POPULATE_WRITE, PF_MADV_MERGEABLE, PF_MADV_GUARD_INSTALL,
		PF_MADV_GUARD_REMOVE, PF_MADV_WILLNEED, PF_MADV_REMOVE, PF_MADV_COLLAPSE};
	const pf_va_t va = part(EVERYBODY) + first * P;
	const uint32_t what = rnd(t, 100);
	unsigned flags = PF_MAP_ANONYMOUS | PF_MAP_FIXED, prot = rnd(t, 3) ? 3 : 1;

	if (what < 8) {
		flags |= rnd(t, 6) ? PF_MAP_PRIVATE : PF_MAP_SHARED;
		say(t, "all: mmap %u+%u prot %u flags %x", first, nr, prot, flags);
		pf_mmap(v->mm, va, nr * P, prot, flags);
	} else if (what < 12) {
		say(t, "all: munmap %u+%u", first, nr);
		pf_munmap(v->mm, va, nr * P);
	} else if (what < 20) {
		say(t, "all: mprotect %u+%u prot %u", first, nr, prot);
		pf_mprotect(v->mm, va, nr * P, prot);
	} else if (what < 26) {
		const unsigned to = rnd(t, PAGES - nr + 1);

		say(t, "all: mremap %u+%u to %u", first, nr, to);
		pf_mremap(v->mm, va, nr * P, nr * P, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
			part(EVERYBODY) + to * P);
	} else if (what < 40) {
		const int a = advice[rnd(t, PF_ARRAY_SIZE(advice))];

		say(t, "all: madvise %u+%u advice %d", first, nr, a);
		pf_madvise(v->mm, va, nr * P, a);
	} else if (what < 44) {
		const unsigned other = rnd(t, PAGES);

		say(t, "all: ksm %u %u", first, other);
		pf_ksm_merge(v->mm, va, v->mm, part(EVERYBODY) + other * P);
	} else if (what < 48) {
		say(t, "all: pin %u", first);
		common_pin(t, v, va);
	} else if (what < 74) {
		say(t, "all: store %u+%u", first, nr);
		common_store(t, v, first, nr);
	} else {
		look(t, v, EVERYBODY, first, nr);
	}
}

static void swap_again(struct thread *t)
{
	int r;

	say(t, "swapoff");
	r = pf_swapoff(&world.sys, world.swap_dev);
	if (r == -PF_ENOMEM)
		return;
	if (r)
		fail(t, "says %d", r);
	say(t, "swapon");
	do
		r = pf_swapon(&world.sys, &stress_swap_ops, NULL, DISK_SLOTS);
	while (r == -PF_ENOMEM);
	if (r < 0)
		fail(t, "says %d", r);
	world.swap_dev = (unsigned)r;
}

void step(struct thread *t)
{
	struct view *v = &t->view[rnd(t, SHARED + 1)];
	unsigned first = rnd(t, PAGES), nr = 1 + rnd(t, rnd(t, 3) ? 24 : 160);
	const unsigned owner = rnd(t, world.threads + 1);
	const uint32_t what = rnd(t, 1000);

	if (!v->mm)
		v = &t->view[rnd(t, SHARED)];
	nr = (unsigned)pf_min(nr, PAGES - first);
	enter(t, v);
	if (what < 650)
		step_own(t, v, first, nr);
	else if (what < 750)
		step_common(t, v, first, nr);
	else if (what < 800)
		look(t, v, owner == world.threads ? EVERYBODY : owner, first, nr);
	else if (what < 950)
		disturb(t, v, owner == world.threads ? EVERYBODY : owner, first, nr);
	else if (what < 970)
		fork_from(t, v);
	else if (what < 985)
		end_child(t);
	else if (what == 985 && t->id == 0)
		swap_again(t);
	/* The main thread looks whether anybody gets on. */
	pf_store_relaxed(&t->steps, t->steps + 1);
}
