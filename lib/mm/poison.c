/* SPDX-License-Identifier: MIT */
/*
 * Memory failure.
 *
 * The folio lock keeps migration, splitting and reclaim away, so the page's mappings are in present entries, which the
 * reverse map finds; forks copy them to VMAs that the walk visits later. Nobody maps the page anew: it is in no
 * cache, and an entry that says that it is poisoned leads nowhere.
 *
 * A mapping's page, which is found in its tree, fails under the pages lock for writing: nobody finds and maps it between the
 * walk and the end. Then a file's page is in the tree no more, and is read again; what had been written to it since it was last
 * written back is lost, which entries say, and the next pf_mapping_sync(). Shared memory has nothing to be read
 * from: its page stays, and says that it is lost to whoever finds it there. A page that only moves needs none of it:
 * whoever finds its index finds the other.
 */
#include "mm/poison.h"

#include "mm/internal.h"
#include "mm/migrate.h"
#include "mm/rmap.h"

/*
 * Takes over the reference on the folio of pfn. 0: *page is that page's own folio, locked, with a reference, and its
 * mappings can be found, or a mapping has it.
 */
static int isolate(
	struct pf_system *sys, struct pf_folio *folio, pf_pfn_t pfn, struct pf_folio **page)
{
	int err = -PF_EBUSY;

	if (pf_folio_order(folio) && (pf_folio_is_file(folio) || pf_folio_mapcount(folio))) {
		const int split = pf_split_folio(sys, folio);

		if (split) {
			err = split == -PF_ENOMEM ? split : err;
			goto out;
		}
		/* Our reference is on the first page. */
		pf_folio_put(sys->phys, folio, 1);
		folio = pf_folio_try_get_page(sys->phys, pfn);
		if (!folio)
			return -PF_EBUSY;
	}
	/* Whoever fails it at the same time has the lock: what is seen under it stays. */
	if (!pf_folio_trylock(folio))
		goto out;
	if (pf_folio_test_flags(folio, PF_FOLIO_HWPOISON)) {
		err = -PF_EHWPOISON;
	} else if (!pf_folio_order(folio) &&
		   (pf_folio_is_file(folio) || pf_folio_mapcount(folio)) &&
		   !pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE)) {
		*page = folio;
		return 0;
	}
	pf_folio_unlock(folio);
out:
	pf_folio_put(sys->phys, folio, 1);
	return err;
}

/* Nobody gets the frame any more: the reference stays. */
static void retire(struct pf_system *sys, struct pf_folio *page)
{
	pf_folio_set_flags(page, PF_FOLIO_HWPOISON);
	pf_add_relaxed(&sys->poisoned, 1);
}

static bool poison_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct pf_mmu_notifier_range range = {0};
	const bool *again = ctx;

	if (!PF_MUTANT("notify-poison-forgets"))
		pf_notify_place(&range, mm, PF_MMU_NOTIFY_CLEAR, place);
	mm->sys->fmt->poison_one(&mm->space, &vma->area, place, *again);
	pf_notify_end(&range);
	return true;
}

static void unmap(struct pf_system *sys, struct pf_folio *page, bool again)
{
	pf_rmap_walk(sys, page, poison_visit, &again, 0);
}

/*
 * pages_lock, for writing, and folio lock: nobody brings it in, maps it, sends it out, moves it or writes it back. -PF_EBUSY: it
 * was cut off before.
 */
static int fail_kept(struct pf_mapping *mapping, struct pf_folio *page)
{
	struct pf_system *sys = mapping->sys;

	if (pf_load_relaxed(&page->head.mapping) != mapping->head.handle)
		return -PF_EBUSY;
	retire(sys, page);
	unmap(sys, page, mapping->ops);
	if (mapping->ops) {
		if (pf_folio_test_flags(page, PF_FOLIO_DIRTY) && !PF_MUTANT("poison-sync-silent"))
			mapping->lost = true;
		pf_mapping_remove(mapping, page);
	}
	return 0;
}

/* Takes over the references on both. */
static int fail_file(struct pf_mapping *mapping, struct pf_folio *folio, pf_pfn_t pfn)
{
	struct pf_system *sys = mapping->sys;
	struct pf_folio *page;
	int err;

	pf_port_rw_write_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	err = isolate(sys, folio, pfn, &page);
	if (!err) {
		err = fail_kept(mapping, page);
		pf_folio_unlock(page);
		if (err)
			pf_folio_put(sys->phys, page, 1);
	}
	pf_port_rw_write_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	pf_mapping_put(mapping);
	return err;
}

/* Takes over the reference. */
static int fail_anon(struct pf_system *sys, struct pf_folio *folio, pf_pfn_t pfn)
{
	struct pf_folio *page;
	int err = isolate(sys, folio, pfn, &page);

	if (err)
		return err;
	retire(sys, page);
	unmap(sys, page, false);
	pf_folio_unlock(page);
	return 0;
}

/* Takes over the reference. */
static int fail(struct pf_system *sys, struct pf_folio *folio, pf_pfn_t pfn)
{
	struct pf_mapping *mapping;
	bool known;

	if (!pf_folio_is_file(folio))
		return fail_anon(sys, folio, pfn);
	mapping = pf_mapping_of(sys, folio);
	if (mapping)
		return fail_file(mapping, folio, pfn);
	/* Cut off: what has it lets go of it soon. Or failed, and no file's any more. */
	known = pf_folio_test_flags(folio, PF_FOLIO_HWPOISON);
	pf_folio_put(sys->phys, folio, 1);
	return known ? -PF_EHWPOISON : -PF_EBUSY;
}

/*
 * Is it its mapping's still? Migration leaves what nobody maps any more where it is; the tree does not. Folio lock: its place
 * there is lost for good, to another or by being cut off.
 */
static bool is_kept(const struct pf_folio *page)
{
	return pf_folio_is_file(page) && pf_load_relaxed(&page->head.mapping) != PF_MAPPING_FILE &&
	       !PF_MUTANT("offline-keeps-place");
}

/* Takes over the reference. */
static int offline(struct pf_system *sys, struct pf_folio *folio, pf_pfn_t pfn)
{
	struct pf_folio *page, *to;
	int err = isolate(sys, folio, pfn, &page);

	if (err)
		return err;
	err = -PF_ENOMEM;
	to = pf_alloc_for(sys, page, pf_near(pf_phys_node(sys->phys, pfn)));
	if (to) {
		err = pf_migrate_folio(sys, page, to) || is_kept(page) ? -PF_EBUSY : 0;
		/* Its mappings keep it, or its tree. */
		pf_folio_put(sys->phys, to, 1);
	}
	if (!err)
		retire(sys, page);
	pf_folio_unlock(page);
	if (err)
		pf_folio_put(sys->phys, page, 1);
	return err;
}

static int get_frame(struct pf_system *sys, pf_pfn_t pfn, struct pf_folio **folio)
{
	if (!pf_phys_has(sys->phys, pfn))
		return -PF_ENXIO;
	/* A device's own memory fails as the device says (Linux). */
	if (pf_phys_is_device(sys->phys, pfn))
		return -PF_EOPNOTSUPP;
	*folio = pf_folio_try_get_page(sys->phys, pfn);
	return *folio ? 0 : -PF_EBUSY;
}

int pf_memory_failure(struct pf_system *sys, pf_pfn_t pfn)
{
	struct pf_folio *folio;
	int err = get_frame(sys, pfn, &folio);

	return err ? err : fail(sys, folio, pfn);
}

int pf_soft_offline(struct pf_system *sys, pf_pfn_t pfn)
{
	struct pf_folio *folio;
	int err = get_frame(sys, pfn, &folio);

	return err ? err : offline(sys, folio, pfn);
}

int pf_poison(struct pf_mm *mm, pf_va_t va)
{
	struct pf_folio *folio = NULL;
	pf_pfn_t pfn;

	va = pf_align_down(va, pf_mm_page(mm));
	if (va >= mm->sys->task_size)
		return -PF_EINVAL;
	pf_mmap_read_lock(mm);
	mm->sys->fmt->folio_run(&mm->space, va, 1, &folio, &pfn);
	pf_mmap_read_unlock(mm);
	return folio ? fail(mm->sys, folio, pfn) : -PF_EINVAL;
}

int pf_madvise_inject(struct pf_mm *mm, pf_va_t start, pf_va_t end, bool soft)
{
	struct pf_system *sys = mm->sys;

	while (start < end) {
		struct pf_folio *folio;
		pf_pfn_t pfn;
		int64_t n = pf_gup(mm, start, 1, 0, &pfn);
		uint64_t size;
		int err;

		if (n != 1)
			return (int)n;
		folio = pf_page_folio(sys->phys, pfn);
		/* One page of each folio, as Linux. */
		size = (uint64_t)pf_folio_nr(folio) << pf_mm_shift(mm);
		err = soft ? offline(sys, folio, pfn) : fail(sys, folio, pfn);
		if (err)
			return err;
		if (size >= end - start)
			break;
		start += size;
	}
	return 0;
}
