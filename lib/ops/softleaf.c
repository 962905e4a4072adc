/* SPDX-License-Identifier: MIT */
/*
 * Softleaves: swap entries, migration entries, devices' pages, poisoned pages and markers, in fork, unmapping, mprotect, mremap
 * and faults.
 *
 * A migration entry stands for a page that is on its way to another frame, or into smaller folios. The folio is locked
 * by who does that, and has no mapping of it; the entry is found again by a walk (mm/migrate.c), wherever these
 * operations have moved or copied it meanwhile. It keeps what the page's entry said: might it be written
 * without a fault, was it exclusive, A, D, soft-dirty, uffd-wp.
 *
 * A device's entry (mm/device.h, mm/device_memory.h) is a mapping of its page, counted as one and found as one, that no TLB has anything of.
 */
#include "ops/softleaf.h"

/*
 * Two entries name the page: it is no longer exclusive, in neither of them. The child's is found because its VMA is
 * visited after its parent's.
 */
static void copy_migration(struct pf_copy *c, unsigned didx, unsigned sidx, pf_pte_t pte)
{
	int64_t *pages = pf_softleaf_is_file(c->src, pte) ? &c->file : &c->anon;

	if (pf_pte_mig_kind(pte) != PF_MIG_READ && pf_area_cow(c->dst_area) &&
		!PF_MUTANT("fork-keeps-migration-write")) {
		pte = pf_pte(pte.v & ~(UINT64_C(3) << PF_MIG_SHIFT));
		pf_set_pte_at(&c->s, sidx, pte, PF_NO_EXTENT);
	}
	if (!(c->dst_area->flags & PF_VM_UFFD_WP))
		pte = pf_pte_clear(pte, PF_PTE_UFFD_WP);
	pf_set_pte_at(&c->d, didx, pte, PF_NO_EXTENT);
	++*pages;
}

/*
 * Bounded by max, not by what it meets: an entry that continues the last may stand beyond the table
 * (coremm B5, B6).
 */
unsigned pf_swap_pte_batch(const struct pf_pte_map *m, unsigned idx, unsigned max, pf_pte_t first)
{
	unsigned n = 1;

	while (n < max && pf_pte_same(pf_ptep_get(m, idx + n), pf_pte_swap_advance(first, n)))
		n++;
	return n;
}

/*
 * Two entries name the page: neither is its only owner any more, so whoever brings it in first does not
 * write it in place (coremm 4.4). Nothing is flushed: no TLB holds anything of a swap entry, for the page was flushed
 * before the entry was written.
 */
static unsigned copy_swap(
	struct pf_copy *c, unsigned didx, unsigned sidx, pf_pte_t pte, unsigned max, int *err)
{
	unsigned n = pf_swap_pte_batch(&c->s, sidx, max, pte);

	*err = pf_swap_dup(pf_pte_swap_device(c->src, pte), pf_pte_swap_offset(pte), n);
	if (*err)
		return 0;
	if ((pte.v & PF_PTE_EXCLUSIVE) && !PF_MUTANT("fork-keeps-swap-exclusive")) {
		pte = pf_pte_clear(pte, PF_PTE_EXCLUSIVE);
		pf_set_swap_ptes(&c->s, sidx, pte, n);
	}
	if (!(c->dst_area->flags & PF_VM_UFFD_WP))
		pte = pf_pte_clear(pte, PF_PTE_UFFD_WP);
	pf_set_swap_ptes(&c->d, didx, pte, n);
	c->swap += n;
	return n;
}

/* Poison and guard are copied, uffd-wp only to who has asked for it. */
static void copy_marker(struct pf_copy *c, unsigned didx, pf_pte_t pte)
{
	if (!(c->dst_area->flags & PF_VM_UFFD_WP))
		pte = pf_pte_clear(pte, PF_MARKER_UFFD_WP);
	if (!pf_pte_same(pte, pf_pte_marker(0)))
		pf_set_pte_at(&c->d, didx, pte, PF_NO_EXTENT);
}

/* A device has the page to itself until it is shared: what is copied is what the entry becomes (coremm 4.4). */
static unsigned copy_exclusive(
	struct pf_copy *c, unsigned didx, unsigned sidx, pf_pte_t pte, int *err)
{
	if (PF_MUTANT("fork-copies-exclusive")) {
		pf_set_pte_at(&c->d, didx, pte, PF_NO_EXTENT);
		c->anon++;
		return 1;
	}
	if (!pf_restore_exclusive(c->src, c->src_area, &c->s, sidx, pte))
		*err = -PF_ENOMEM;
	return 0;
}

/*
 * A page in a device's memory is shared as any page is. Nobody has it pinned, for CPUs cannot use it; and nothing is flushed, for no TLB has
 * anything of it: the device is told of the fork (coremm 4.4).
 */
static void copy_private(struct pf_copy *c, unsigned didx, unsigned sidx, pf_pte_t pte, int *err)
{
	const pf_pfn_t pfn = pf_pte_pfn(pte);

	*err = pf_folio_try_dup_anon_rmap_ptes(
		pf_page_folio(c->src->phys, pfn), pfn, 1, c->dst->mm_id, false);
	if (*err)
		return;
	if (pf_pte_write(pte) && !PF_MUTANT("fork-keeps-device-write")) {
		pte = pf_pte_clear(pte, PF_PTE_W);
		pf_set_pte_at(&c->s, sidx, pte, PF_NO_EXTENT);
	}
	if (!(c->dst_area->flags & PF_VM_UFFD_WP))
		pte = pf_pte_clear(pte, PF_PTE_UFFD_WP);
	pf_set_pte_at(&c->d, didx, pte, PF_NO_EXTENT);
	c->anon++;
}

unsigned pf_softleaf_copy(
	struct pf_copy *c, unsigned didx, unsigned sidx, pf_pte_t pte, unsigned max, int *err)
{
	switch (pf_pte_kind(pte)) {
	case PF_PTE_MIGRATION:
		copy_migration(c, didx, sidx, pte);
		return 1;
	case PF_PTE_SWAP:
		return copy_swap(c, didx, sidx, pte, max, err);
	case PF_PTE_HWPOISON:
		/* The child has lost it as well. */
		if (!PF_MUTANT("fork-forgets-poison"))
			pf_set_pte_at(&c->d, didx, pte, PF_NO_EXTENT);
		return 1;
	case PF_PTE_MARKER:
		copy_marker(c, didx, pte);
		return 1;
	case PF_PTE_DEVICE_EXCLUSIVE:
		return copy_exclusive(c, didx, sidx, pte, err);
	case PF_PTE_DEVICE_PRIVATE:
		copy_private(c, didx, sidx, pte, err);
		return !*err;
	default:
		*err = -PF_EOPNOTSUPP;
		return 0;
	}
}

/* Its entry is gone. No TLB has anything of the page, so its mapping and reference need not wait for the gather. */
static void drop_device(struct pf_space *space, pf_pte_t pte)
{
	struct pf_folio *folio = pf_page_folio(space->phys, pf_pte_pfn(pte));

	pf_rss_add(space, PF_RSS_ANON, -1);
	pf_folio_note_partly_mapped(space->phys, folio, 1);
	if (!PF_MUTANT("zap-keeps-exclusive"))
		pf_folio_drop_rmap_ptes(space->phys, folio, pf_pte_pfn(pte), 1, space->mm_id);
}

unsigned pf_softleaf_zap(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t pte, unsigned max)
{
	unsigned n = 1;

	if (pf_pte_kind(pte) != PF_PTE_SWAP) {
		pf_clear_not_present_ptes(m, idx, n);
		/* Its mapping went when the entry was written; what is left is the count of pages. */
		if (pf_pte_kind(pte) == PF_PTE_MIGRATION)
			pf_rss_add_of(space, area, pf_softleaf_is_file(space, pte), -1);
		if (pf_pte_maps(pte))
			drop_device(space, pte);
		return n;
	}
	n = pf_swap_pte_batch(m, idx, max, pte);
	pf_clear_not_present_ptes(m, idx, n);
	pf_rss_add(space, PF_RSS_SWAP, -(int64_t)n);
	/* The entries' counts, so after the entries. */
	if (!PF_MUTANT("zap-keeps-slots"))
		pf_swap_put(pf_pte_swap_device(space, pte), pf_pte_swap_offset(pte), n);
	return n;
}

/*
 * Whatever the new rights are, a page that comes back is not writable without the checks of a fault; that it is exclusive
 * stays. Nothing is flushed: no TLB holds anything of it. Of markers uffd-wp's goes when nothing is to be
 * noticed any more; where an access ends in a signal, nothing is written either.
 */
bool pf_softleaf_protect(const struct pf_space *space, struct pf_pte_map *m, unsigned idx,
	pf_pte_t pte, uint64_t set, uint64_t clear)
{
	enum pf_mig_kind kind = PF_MIG_READ_EXCLUSIVE;
	pf_pte_t new = pte;

	if (pf_pte_lost(pte))
		return false;
	if (pf_pte_kind(pte) == PF_PTE_MARKER) {
		if (!clear || !pf_pte_marked_wp(pte))
			return false;
		pf_clear_not_present_ptes(m, idx, 1);
		return true;
	}
	if (pf_softleaf_is_file(space, pte))
		kind = PF_MIG_READ;
	if (pf_pte_kind(pte) == PF_PTE_MIGRATION && pf_pte_mig_kind(pte) == PF_MIG_WRITE &&
		!PF_MUTANT("mprotect-keeps-migration-write"))
		new = pf_pte(
			(pte.v & ~(UINT64_C(3) << PF_MIG_SHIFT)) | (uint64_t)kind << PF_MIG_SHIFT);
	if (pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE && !PF_MUTANT("mprotect-keeps-device-write"))
		new = pf_pte_clear(new, PF_PTE_W);
	new = pf_pte_set(pf_pte_clear(new, clear), set);
	if (!pf_pte_same(new, pte))
		pf_set_pte_at(m, idx, new, PF_NO_EXTENT);
	return pf_pte_kind(pte) == PF_PTE_MIGRATION || !pf_pte_same(new, pte) || set || clear;
}

/* The memory at the new address is new to who tracks it there (coremm B32). */
pf_pte_t pf_softleaf_moved(pf_pte_t pte)
{
	if (pf_softleaf_tracked(pte) &&
		!(pf_pte_kind(pte) == PF_PTE_SWAP && PF_MUTANT("move-swap-no-soft-dirty")))
		return pf_pte_set(pte, PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY);
	return pte;
}

enum pf_fault_result pf_softleaf_fault(pf_pte_t pte)
{
	/* Who moves the page ends it soon; the access is tried again until then. */
	if (pf_pte_kind(pte) == PF_PTE_MIGRATION) {
		pf_port_relax();
		return PF_FAULT_DONE;
	}
	if (pf_pte_kind(pte) == PF_PTE_SWAP)
		return PF_FAULT_SWAP;
	if (pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE)
		return PF_FAULT_DEVICE;
	/* Of the others only lost pages and guards are built, and a fault on one is an error. */
	return pf_pte_lost(pte) ? PF_FAULT_HWPOISON : PF_FAULT_SIGSEGV;
}
