/* SPDX-License-Identifier: MIT */
/*
 * Devices of the random programs: some map what a process maps, some have pages to themselves, and one has memory of its own.
 */
#ifndef TESTS_MM_RANDOM_DEVICES_H
#define TESTS_MM_RANDOM_DEVICES_H

#include "random_world.h"

/* ---- devices that map what a process maps ---- */

/* It begins, ends, or maps some pages: those that may be written for writing, or what is there. */
static inline void op_mirror(struct proc *p, unsigned first, unsigned nr)
{
	const uint64_t asked = rnd(3) ? PF_HMM_PFN_REQ_FAULT : 0;

	if (!p->mirrored) {
		say("a device comes");
		WANT(!mirror_begin(&p->mirror, &p->mm, BASE, PAGES));
		p->mirrored = true;
	} else if (!rnd(40)) {
		say("a device goes");
		mirror_stop(&p->mirror);
		p->mirrored = false;
		return;
	}
	for (unsigned i = first, n; i < first + nr; i += n) {
		const uint8_t prot = p->page[i].prot;
		const bool mapped = p->page[i].mapped;
		uint64_t want = asked;
		int err;

		for (n = 1; i + n < first + nr && p->page[i + n].mapped == mapped &&
			    p->page[i + n].prot == prot;
			n++)
			;
		if (asked && (prot & PF_PROT_WRITE) && rnd(2))
			want |= PF_HMM_PFN_REQ_WRITE;
		say("a device maps %u+%u, prot %d, asks for %d", i, n, mapped ? prot : -1,
			(int)(want >> 62));
		/* As GUP for a store. */
		for (unsigned k = i; k < i + n && (want & PF_HMM_PFN_REQ_WRITE); k++)
			machine_note_store(va_of(k));
		err = mirror_map(&p->mirror, i, n, want);
		WANT(err == (want && !(mapped && (prot & PF_PROT_READ)) ? -PF_EFAULT : 0));
	}
}

static inline void check_mirror(struct proc *p)
{
	mirror_check_idle(&p->mirror, last);
	for (unsigned i = 0; i < PAGES; i++) {
		const struct mirror_page *m = &p->mirror.page[i];

		if (m->valid)
			WANT(*(uint64_t *)pf_port_virt(m->pfn * page_size) == p->page[i].value);
	}
}

/* ---- devices that have pages to themselves ---- */

/* For how many steps they may have some. */
static unsigned devices;

static inline pf_pte_t entry_of(struct proc *p, unsigned page)
{
	struct pf_page_info info;

	pf_page_info(&p->mm, va_of(page), &info);
	return info.pte;
}

/* ---- memory of a device's own: what is there is inverted ---- */

static inline bool device_copy(struct pf_device_memory *memory, pf_pfn_t dst, pf_pfn_t src)
{
	uint64_t *to = pf_port_virt(dst * page_size);

	(void)memory;
	pf_port_copy_pages(dst * page_size, src * page_size, page_size);
	*to = ~*to;
	return true;
}

static struct pf_device_memory device_memory = {.copy = device_copy, .owner = procs};

/* The last block of memory. */
static inline void divide(void)
{
	const pf_pfn_t from[] = {phys.first, phys.first + phys.nr - PF_BIT(phys.max_order)};

	assert_int_equal(pf_phys_divide(&phys, from, 2, NULL), 0);
	assert_int_equal(pf_phys_set_device(&phys, 1), 0);
}

/* Some pages have been stored to just before. */
static inline void op_device_memory(struct proc *p, unsigned first, unsigned nr)
{
	int64_t n;

	for (unsigned i = first; i < first + nr && i < first + 4; i++) {
		struct page *g = &p->page[i];
		uint64_t v = stamp + 1;

		if (!g->mapped || !(g->prot & PF_PROT_WRITE))
			continue;
		say("store page %u, for a device", i);
		WANT(access_page(p, i, true, &v) == PF_FAULT_DONE);
		g->value = ++stamp;
	}
	say("to a device %u+%u", first, nr);
	n = pf_migrate_to_device(&p->mm, va_of(first), nr * page_size, 1);
	WANT(n >= 0 || n == -PF_ENOMEM);
}

static inline void op_device(struct proc *p, unsigned first, unsigned nr)
{
	for (unsigned i = first; i < first + nr && i < first + 8; i++) {
		const struct page *g = &p->page[i];
		struct pf_folio *folio;
		pf_pfn_t pfn;

		say("a device wants page %u", i);
		if (!g->mapped || !(g->prot & PF_PROT_WRITE)) {
			WANT(pf_make_device_exclusive(&p->mm, va_of(i), NULL, &folio, &pfn) ==
				-PF_EFAULT);
			continue;
		}
		/* As GUP for a store. */
		machine_note_store(va_of(i));
		WANT(!pf_make_device_exclusive(&p->mm, va_of(i), NULL, &folio, &pfn));
		WANT(pf_pte_same(pf_pte_clear(entry_of(p, i), PF_PTE_SOFT_DIRTY),
			pf_pte_device_exclusive(pfn, 0)));
		WANT(*(uint64_t *)pf_port_virt(pfn * page_size) == g->value);
		pf_folio_unlock(folio);
		pf_folio_put(&phys, folio, 1);
		devices = 8;
	}
}

/* They store for as long as they have the pages; the last step takes back what it may. */
static inline void devices_store(void)
{
	bool left = false;

	if (devices)
		devices--;
	else if (rnd(8))
		return;
	for (unsigned i = 0; i < PROCS * PAGES; i++) {
		struct proc *p = &procs[i / PAGES];
		struct page *g = &p->page[i % PAGES];
		pf_pte_t pte;
		uint64_t v;

		if (!p->alive || !g->mapped)
			continue;
		pte = entry_of(p, i % PAGES);
		if (pf_pte_kind(pte) != PF_PTE_DEVICE_EXCLUSIVE &&
			(pf_pte_kind(pte) != PF_PTE_DEVICE_PRIVATE || !pf_pte_write(pte)))
			continue;
		say("a device stores to page %u", i % PAGES);
		WANT(g->prot & PF_PROT_WRITE || pf_pte_kind(pte) == PF_PTE_DEVICE_EXCLUSIVE);
		enter(p);
		machine_note_store(va_of(i % PAGES));
		g->value = ++stamp;
		*(uint64_t *)pf_port_virt(pf_pte_pfn(pte) * page_size) =
			pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE ? ~g->value : g->value;
		if (pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE)
			continue;
		left = true;
		if (!devices && (g->prot & PF_PROT_READ)) {
			WANT(access_page(p, i % PAGES, false, &v) == PF_FAULT_DONE);
			WANT(v == g->value);
		}
	}
	if (left && !devices)
		devices = 1;
}

#endif
