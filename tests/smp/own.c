/* SPDX-License-Identifier: MIT */
/*
 * What a thread does to pages that are its own, and what it then knows of them.
 */
#include "stress.h"

#include "mm/ksm.h"
#include "mm/migrate.h"

#define TRIES 20000u

bool again(struct thread *t, int64_t result, unsigned *tries)
{
	if (result != -PF_ENOMEM)
		return false;
	if (++*tries == TRIES)
		fail(t, "no memory, for ever");
	t->retries++;
	pf_port_relax();
	return true;
}

static void want(struct thread *t, int64_t result, int64_t wanted)
{
	if (result != wanted)
		fail(t, "says %" PRId64 ", should be %" PRId64, result, wanted);
}

static pf_va_t va_of(const struct thread *t, unsigned page)
{
	return part(t->id) + page * P;
}

/* As many pages from the first as are mapped, and all private, or all shared. */
static unsigned alike(const struct view *v, unsigned first, unsigned nr)
{
	unsigned n = 0;

	while (n < nr && v->page[first + n].mapped &&
		v->page[first + n].shared == v->page[first].shared)
		n++;
	return n;
}

static void own_mmap(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	static const uint8_t prots[] = {3, 3, 3, 3, 3, 1, 0};
	const unsigned prot = prots[rnd(t, PF_ARRAY_SIZE(prots))];
	const bool shared = !rnd(t, 6);
	unsigned flags = PF_MAP_ANONYMOUS | PF_MAP_FIXED, tries = 0;
	int64_t r;

	flags |= shared ? PF_MAP_SHARED : PF_MAP_PRIVATE;
	flags |= rnd(t, 8) ? 0 : PF_MAP_POPULATE;
	say(t, "mmap %u+%u prot %u flags %x", first, nr, prot, flags);
	do
		r = pf_mmap(v->mm, va_of(t, first), nr * P, prot, flags);
	while (again(t, r, &tries));
	want(t, r, (int64_t)va_of(t, first));
	for (unsigned i = first; i < first + nr; i++)
		v->page[i] = (struct page){.mapped = true, .shared = shared, .prot = (uint8_t)prot};
}

static void own_munmap(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	unsigned tries = 0;
	int r;

	say(t, "munmap %u+%u", first, nr);
	do
		r = pf_munmap(v->mm, va_of(t, first), nr * P);
	while (again(t, r, &tries));
	want(t, r, 0);
	for (unsigned i = first; i < first + nr; i++)
		v->page[i] = (struct page){.mapped = false};
}

static void own_mprotect(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	static const uint8_t prots[] = {3, 3, 1, 1, 0};
	const unsigned prot = prots[rnd(t, PF_ARRAY_SIZE(prots))];
	unsigned tries = 0;
	int r;

	nr = alike(v, first, nr);
	if (!nr)
		return;
	say(t, "mprotect %u+%u prot %u", first, nr, prot);
	do
		r = pf_mprotect(v->mm, va_of(t, first), nr * P, prot);
	while (again(t, r, &tries));
	want(t, r, 0);
	for (unsigned i = first; i < first + nr; i++)
		v->page[i].prot = (uint8_t)prot;
}

static void own_discard(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	unsigned tries = 0;
	bool lazy;
	int r;

	nr = alike(v, first, nr);
	if (!nr)
		return;
	lazy = !v->page[first].shared && rnd(t, 2);
	say(t, "%s %u+%u", lazy ? "MADV_FREE" : "MADV_DONTNEED", first, nr);
	do
		r = pf_madvise(
			v->mm, va_of(t, first), nr * P, lazy ? PF_MADV_FREE : PF_MADV_DONTNEED);
	while (again(t, r, &tries));
	want(t, r, 0);
	for (unsigned i = first; i < first + nr && !v->page[first].shared; i++) {
		v->page[i].lazy = lazy;
		v->page[i].value = lazy ? v->page[i].value : 0;
	}
	if (!lazy || rnd(t, 3))
		return;
	/* Written again it is to be kept. */
	for (unsigned i = first; i < first + nr; i += 2)
		store_own(t, v, i);
	pf_madvise(v->mm, va_of(t, first), nr * P, PF_MADV_PAGEOUT);
	for (unsigned i = first; i < first + nr; i++)
		load_own(t, v, i);
}

static void own_mremap(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	const bool keep = !rnd(t, 5);
	unsigned flags = PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED, to, tries = 0;
	int64_t r;

	nr = alike(v, first, nr);
	if (!nr || (keep && v->page[first].shared))
		return;
	to = rnd(t, PAGES - nr + 1);
	if (to < first + nr && first < to + nr)
		return;
	flags |= keep ? PF_MREMAP_DONTUNMAP : 0;
	say(t, "mremap %u+%u to %u flags %u", first, nr, to, flags);
	do
		r = pf_mremap(v->mm, va_of(t, first), nr * P, nr * P, flags, va_of(t, to));
	while (again(t, r, &tries));
	want(t, r, (int64_t)va_of(t, to));
	for (unsigned i = 0; i < nr; i++) {
		v->page[to + i] = v->page[first + i];
		if (keep)
			v->page[first + i].value = 0, v->page[first + i].lazy = false;
		else
			v->page[first + i] = (struct page){.mapped = false};
	}
}

/* What changes no page, whatever comes of it. */
static void own_advise(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	static const int advice[] = {PF_MADV_PAGEOUT, PF_MADV_PAGEOUT, PF_MADV_COLD,
		PF_MADV_COLLAPSE, PF_MADV_HUGEPAGE, PF_MADV_NOHUGEPAGE, PF_MADV_WILLNEED,
		PF_MADV_POPULATE_READ, PF_MADV_POPULATE_WRITE, PF_MADV_MERGEABLE,
		PF_MADV_UNMERGEABLE};
	const int a = advice[rnd(t, PF_ARRAY_SIZE(advice))];

	if (a == PF_MADV_COLLAPSE && rnd(t, 2))
		first = 0, nr = PAGES;
	say(t, "madvise %u+%u advice %d", first, nr, a);
	pf_madvise(v->mm, va_of(t, first), nr * P, a);
}

/* All of it one mapping, some of it written, one folio if it can be. */
static void own_renew(struct thread *t, struct view *v)
{
	unsigned tries = 0;
	int64_t r;

	say(t, "all new");
	do
		r = pf_mmap(v->mm, va_of(t, 0), PAGES * P, 3,
			PF_MAP_ANONYMOUS | PF_MAP_FIXED | PF_MAP_PRIVATE);
	while (again(t, r, &tries));
	want(t, r, (int64_t)va_of(t, 0));
	for (unsigned i = 0; i < PAGES; i++)
		v->page[i] = (struct page){.mapped = true, .prot = 3};
	for (unsigned i = 0; i < 40; i++)
		store_own(t, v, rnd(t, PAGES));
	say(t, "collapse");
	pf_madvise(v->mm, va_of(t, 0), PAGES * P, PF_MADV_COLLAPSE);
	for (unsigned i = 0; i < 40; i++)
		load_own(t, v, rnd(t, PAGES));
}

static bool may_write(const struct page *g)
{
	return g->mapped && (g->prot & PF_PROT_WRITE);
}

static void own_merge(struct thread *t, struct view *v, unsigned a, unsigned b)
{
	uint64_t value;

	if (a == b || !may_write(&v->page[a]) || !may_write(&v->page[b]) || v->page[a].shared ||
		v->page[b].shared)
		return;
	/* DONTNEED first: that all else is zero. */
	for (unsigned i = 0; i < 2; i++) {
		unsigned page = i ? b : a;

		pf_madvise(v->mm, va_of(t, page), P, PF_MADV_MERGEABLE);
		own_discard(t, v, page, 1);
		store_own(t, v, page);
	}
	value = v->page[a].value;
	if (touch(t, v, va_of(t, b), true, &value) ||
		touch(t, v, va_of(t, b) + P - 8, true, &value))
		fail(t, "a page of mine cannot be written");
	v->page[b].value = value;
	say(t, "ksm %u %u", a, b);
	pf_ksm_merge(v->mm, va_of(t, a), v->mm, va_of(t, b));
	load_own(t, v, a);
	load_own(t, v, b);
	if (rnd(t, 2))
		store_own(t, v, rnd(t, 2) ? a : b);
}

static uint64_t *word(pf_pfn_t pfn, unsigned last)
{
	return (uint64_t *)((char *)pf_port_virt(pfn * P) + (last ? P - 8 : 0));
}

/* A device writes to pinned pages by their frames, and the program sees it. */
static void device_writes(
	struct thread *t, struct view *v, unsigned first, unsigned n, const pf_pfn_t *pfn)
{
	for (unsigned i = 0; i < n; i++) {
		struct page *g = &v->page[first + i];

		for (unsigned last = 0; last < 2; last++)
			if (pf_load_relaxed(word(pfn[i], last)) != g->value && !g->lazy)
				fail(t, "page %u: its pin has %" PRIx64 ", not %" PRIx64, first + i,
					pf_load_relaxed(word(pfn[i], last)), g->value);
		g->value = new_stamp(t, t->id);
		g->lazy = false;
		pf_store_relaxed(word(pfn[i], 0), g->value);
		pf_store_relaxed(word(pfn[i], 1), g->value);
		load_own(t, v, first + i);
	}
}

static void own_pin(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	pf_pfn_t pfn[8];
	bool forked = false;
	unsigned n = 0;
	int64_t r;

	while (n < nr && n < PF_ARRAY_SIZE(pfn) && may_write(&v->page[first + n]))
		n++;
	if (!n)
		return;
	say(t, "pin %u+%u", first, n);
	if (rnd(t, 2))
		r = pf_gup_fast(v->mm, va_of(t, first), n, PF_FOLL_PIN | PF_FOLL_WRITE, pfn);
	else
		r = pf_gup(v->mm, va_of(t, first), n, PF_FOLL_PIN | PF_FOLL_WRITE, pfn);
	if (r < 0 && r != -PF_ENOMEM && r != -PF_EAGAIN)
		fail(t, "says %" PRId64, r);
	if (r <= 0)
		return;
	n = (unsigned)r;
	device_writes(t, v, first, n, pfn);
	switch (rnd(t, 6)) {
	case 3:
		fork_from(t, v);
		forked = !v->child && t->view[SHARED].mm;
		break;
	case 0:
		own_advise(t, v, first, n);
		break;
	case 1:
		say(t, "migrate %u+%u, pinned", first, n);
		pf_migrate(v->mm, va_of(t, first), n * P);
		break;
	case 2:
		store_own(t, v, first);
		break;
	default:
		pf_reclaim(&world.sys, 8);
	}
	device_writes(t, v, first, n, pfn);
	pf_unpin_user_pages_dirty(&world.sys, pfn, n);
	load_own(t, v, first);
	if (!forked)
		return;
	/* The child has nothing of it. */
	enter(t, &t->view[SHARED]);
	for (unsigned i = 0; i < n; i++)
		load_own(t, &t->view[SHARED], first + i);
	enter(t, v);
}

static void own_access(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	const bool write = rnd(t, 2);

	say(t, "%s %u+%u", write ? "store" : "load", first, nr);
	for (unsigned i = first; i < first + nr; i++)
		if (write)
			store_own(t, v, i);
		else
			load_own(t, v, i);
}

void step_own(struct thread *t, struct view *v, unsigned first, unsigned nr)
{
	const uint32_t what = rnd(t, 100);

	if (what < 12)
		own_mmap(t, v, first, nr);
	else if (what < 18)
		own_munmap(t, v, first, nr);
	else if (what < 28)
		own_mprotect(t, v, first, nr);
	else if (what < 36)
		own_discard(t, v, first, nr);
	else if (what < 43)
		own_mremap(t, v, first, nr);
	else if (what < 51)
		own_advise(t, v, first, nr);
	else if (what < 52)
		own_renew(t, v);
	else if (what < 55)
		own_merge(t, v, first, rnd(t, PAGES));
	else if (what < 61)
		own_pin(t, v, first, nr);
	else
		own_access(t, v, first, nr);
}
