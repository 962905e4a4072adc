/* SPDX-License-Identifier: MIT */
/*
 * Guard regions: slots that hold a marker in place of a page, and a fault on one is a signal. They are
 * entries and no VMA knows of them: moved, copied by fork and left alone by mprotect as entries are.
 */
#include "ops/internal.h"

int pf_alloc_tables(struct pf_space *space, pf_va_t va, uint64_t nr)
{
	while (nr) {
		const unsigned n = pf_pages_in_table(va, nr);
		const int err = pf_pte_alloc_kept(&space->pt, va);

		if (err)
			return err;
		va += (pf_va_t)n << PF_PAGE_SHIFT;
		nr -= n;
	}
	return 0;
}

/* Markers into slots that are empty. How many slots have one then, from the first on. */
static unsigned install(struct pf_pte_map *m, unsigned idx, unsigned max)
{
	for (unsigned done = 0; done < max;) {
		pf_pte_t pte;
		unsigned n = pf_pte_batch(m, idx + done, max - done, 0, &pte);

		if (!pf_pte_none(pte) && !pf_pte_guard(pte))
			return done;
		for (unsigned i = 0; pf_pte_none(pte) && i < n; i++)
			pf_set_pte_at(
				m, idx + done + i, pf_pte_marker(PF_MARKER_GUARD), PF_NO_EXTENT);
		done += n;
	}
	return max;
}

void pf_guard_install(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr)
{
	struct pf_pte_map m;

	while (nr) {
		unsigned n = pf_pages_in_table(va, nr), done;

		/*
		 * What is there goes as it always goes: of a block that is cut, the rest stays,
		 * unfolded. A fault of another thread may fill a slot before the table is locked
		 * again; then once more. TLBs may know the old pages until the gather's flush,
		 * as after any zap.
		 */
		pf_zap_range(g, area, va, n, PF_ZAP_KEEP_GUARDS);
		pf_pt_set_cause(&g->space->pt, PF_CAUSE_ZAP);
		/* There is a table: pf_alloc_tables() has made it, and the area keeps it. */
		if (!pf_pte_offset_map_lock(&g->space->pt, va, &m))
			continue;
		done = install(&m, pf_pte_idx(&m, va), n);
		pf_pte_unmap_unlock(&m);
		va += (pf_va_t)done << PF_PAGE_SHIFT;
		nr -= done;
	}
}

void pf_guard_remove(struct pf_space *space, pf_va_t va, uint64_t nr)
{
	struct pf_pte_map m;

	pf_pt_set_cause(&space->pt, PF_CAUSE_ZAP);
	while (pf_next_table(space, &va, &nr, &m)) {
		const unsigned idx = pf_pte_idx(&m, va), max = pf_pages_in_table(va, nr);

		for (unsigned i = 0; i < max;) {
			pf_pte_t pte;
			unsigned n = pf_pte_batch(&m, idx + i, max - i, 0, &pte);

			/* Invalid to invalid: no TLB knows either. */
			if (pf_pte_guard(pte))
				pf_clear_not_present_ptes(&m, idx + i, n);
			i += n;
		}
		pf_pte_unmap_unlock(&m);
		va += (pf_va_t)max << PF_PAGE_SHIFT;
		nr -= max;
	}
}
