/* SPDX-License-Identifier: MIT */
/*
 * Following entries to the pages they map, for who keeps the pages: get_user_pages and pin_user_pages.
 *
 * All is decided and the reference taken under the table lock, so no page is found that an unmapper could have let go
 * of meanwhile, and none whose AnonExclusive could change before the pin counts (fork and whoever shares a page hold
 * that lock when they look at pins).
 */
#include "ops/internal.h"

struct follow {
	struct pf_space *space;
	const struct pf_area *area;
	unsigned foll;
	pf_pfn_t *pages;
	unsigned want; /* PF_FAULT_FLAG_* of the fault that the next page needs */
	int err;
};

/*
 * Writing through an entry without W is right for who may force it (a debugger), but only once the page has been copied:
 * it is private and this process's alone. Dirty says nothing of that (a clean-up or a file system can set it; the bugs
 * were called Dirty COW and its like). Nor may a write go unnoticed that soft-dirty tracking or uffd-wp waits for.
 */
static bool may_force_write(const struct follow *f, pf_pte_t pte, bool exclusive)
{
	if (!(f->foll & PF_FOLL_FORCE) || !pf_area_cow(f->area))
		return false;
	if (!exclusive && !(PF_MUTANT("force-by-dirty") && pf_pte_dirty(pte)))
		return false;
	return pf_pte_unwatched(f->area, pte);
}

/*
 * May the page be handed out as it is? A pin for reading must see what this process writes later, so the page must not
 * be one that a write would replace by a copy: it is unshared first.
 */
static bool allowed(struct follow *f, pf_pte_t pte, const struct pf_folio *folio, bool exclusive)
{
	if (f->foll & PF_FOLL_WRITE) {
		f->want = PF_FAULT_FLAG_WRITE;
		return pf_pte_write(pte) || may_force_write(f, pte, exclusive);
	}
	if (!(f->foll & PF_FOLL_PIN) || !pf_area_cow(f->area) || exclusive ||
		PF_MUTANT("pin-shared"))
		return true;
	/* A file's page is the file's to change, too: only who keeps it for long must have the process's own. */
	if (pf_folio_is_file(folio) && !(f->foll & PF_FOLL_LONGTERM))
		return true;
	f->want = PF_FAULT_FLAG_UNSHARE;
	return false;
}

static void hand_out(struct follow *f, unsigned at, pf_pfn_t pfn, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		f->pages[at + i] = pfn + i;
}

/* Pages of a run of present entries, all with the rights of `pte`. How many were handed out. */
static unsigned follow_run(struct follow *f, unsigned at, pf_pte_t pte, unsigned nr)
{
	const struct pf_phys *phys = f->space->phys;
	unsigned done = 0;

	while (done < nr) {
		pf_pfn_t pfn = pf_pte_pfn(pte) + done;
		struct pf_folio *folio = pf_page_folio(phys, pfn);
		unsigned idx = pf_folio_idx(folio, pfn), n;
		bool exclusive;

		n = pf_folio_ae_run(folio, idx,
			(unsigned)pf_min(nr - done, pf_folio_nr(folio) - idx), &exclusive);
		if (!allowed(f, pte, folio, exclusive))
			break;
		if (!pf_folio_grab(folio, n, f->foll & PF_FOLL_PIN)) {
			f->err = -PF_ENOMEM;
			break;
		}
		hand_out(f, at + done, pfn, n);
		done += n;
	}
	return done;
}

/* The page of zeros is never pinned, since it is never freed; a reference is counted. */
static unsigned follow_special(struct follow *f, unsigned at, pf_pte_t pte)
{
	if (pf_pte_pfn(pte) != f->space->zero_pfn) {
		f->err = -PF_EFAULT;
		return 0;
	}
	if (f->foll & PF_FOLL_WRITE) {
		f->want = PF_FAULT_FLAG_WRITE;
		return 0;
	}
	if (!(f->foll & PF_FOLL_PIN))
		pf_folio_get(pf_page_folio(f->space->phys, pf_pte_pfn(pte)), 1);
	hand_out(f, at, pf_pte_pfn(pte), 1);
	return 1;
}

static unsigned follow_table(
	struct follow *f, unsigned at, struct pf_pte_map *m, unsigned idx, unsigned max)
{
	unsigned done = 0;

	while (done < max) {
		pf_pte_t pte;
		unsigned n = pf_pte_batch(m, idx + done, max - done,
			PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY, &pte);
		unsigned got;

		/* PROT_NONE in an area that allows access is a hint, which says nothing about the page. */
		if (!(pf_pte_present(pte) ||
			    (PF_MUTANT("gup-takes-exclusive") && pf_pte_maps(pte))) ||
			(pf_pte_protnone(pte) && (f->foll & PF_FOLL_HONOR_NUMA_FAULT)))
			break;
		if (pf_pte_special(pte))
			n = 1;
		got = pf_pte_special(pte) ? follow_special(f, at + done, pte)
					  : follow_run(f, at + done, pte, n);
		done += got;
		if (got < n)
			break;
	}
	return done;
}

int64_t pf_follow_pages(struct pf_space *space, const struct pf_area *area, pf_va_t va, uint64_t nr,
	unsigned foll, pf_pfn_t *pages, unsigned *want)
{
	struct follow f = {.space = space, .area = area, .foll = foll, .pages = pages};
	uint64_t done = 0;
	unsigned n, got;

	do {
		struct pf_pte_map m;

		n = pf_pages_in_table(va, nr - done);
		f.want = foll & PF_FOLL_WRITE ? PF_FAULT_FLAG_WRITE : 0;
		if (!pf_pte_offset_map_lock(&space->pt, va, &m))
			break;
		f.pages = pages + done;
		got = follow_table(&f, 0, &m, pf_pte_idx(&m, va), n);
		pf_pte_unmap_unlock(&m);
		done += got;
		va += (pf_va_t)got << PF_PAGE_SHIFT;
	} while (got == n && done < nr);
	*want = f.want;
	return done ? (int64_t)done : f.err;
}
