/* SPDX-License-Identifier: MIT */
#include "phys/table_check.h"

static void report(struct pf_table_check *c, pf_pfn_t pfn, const char *why)
{
	pf_add_relaxed(&c->violations, 1);
	if (c->bad)
		c->bad(c->ctx, pfn, why);
}

/* The folio cannot go meanwhile: an entry maps it, under the lock of the table (or it is a violation). */
static bool is_anon(const struct pf_folio *folio)
{
	return (pf_load_relaxed(&folio->head.flags) & PF_FOLIO_USE(3)) == PF_FOLIO_USE(PF_USE_ANON);
}

static void told_set(struct pf_pt_check *told, pf_pfn_t pfn, uint64_t nr, bool write)
{
	struct pf_table_check *c = PF_CONTAINER_OF(told, struct pf_table_check, told);

	for (uint64_t i = 0; i < nr; i++, pfn++) {
		enum pf_frame_kind kind;
		uint32_t maps;

		/* Frames that are no memory of ours: a device's. */
		if (!pf_phys_has(c->phys, pfn))
			continue;
		maps = pf_add_relaxed(&c->maps[pfn - c->phys->first], 1);
		kind = pf_count_kind(pf_load_relaxed(&pf_phys_frame(c->phys, pfn)->count.word));
		if (kind != PF_FRAME_FOLIO && kind != PF_FRAME_TAIL)
			report(c, pfn, "an entry maps a frame that is free, or a table");
		else if (write && !PF_MUTANT("check-allows-shared-write") && maps > 1 &&
			 is_anon(pf_page_folio(c->phys, pfn)))
			report(c, pfn,
				"an anonymous page is writable where it is not mapped alone");
	}
}

static void told_clear(struct pf_pt_check *told, pf_pfn_t pfn, uint64_t nr)
{
	struct pf_table_check *c = PF_CONTAINER_OF(told, struct pf_table_check, told);

	for (uint64_t i = 0; i < nr; i++, pfn++)
		if (pf_phys_has(c->phys, pfn) &&
			pf_add_relaxed(&c->maps[pfn - c->phys->first], -1) == UINT32_MAX)
			report(c, pfn, "more entries of a page go than came");
}

void pf_table_check_free(struct pf_table_check *c, pf_pfn_t pfn, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		if (pf_load_relaxed(&c->maps[pfn + i - c->phys->first]))
			report(c, pfn + i, "a page is freed that an entry maps");
}

void pf_table_check_init(struct pf_table_check *c, struct pf_phys *phys, uint32_t *maps)
{
	*c = (struct pf_table_check){
		.told = {told_set, told_clear},
		.phys = phys,
		.maps = maps,
	};
	phys->check = c;
}
