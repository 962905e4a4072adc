/* SPDX-License-Identifier: MIT */
/*
 * With as many references as try_get gives (PF_REF_LIMIT) and as many mappings as fork gives
 * (PF_MAP_LIMIT), unmapping everything makes every mapping a reference: the sum must not carry into the
 * folio's order, as docs/FRAME.md 2 promises.
 */
#include "phys_test.h"

int main(void)
{
	const unsigned n = 1u << PF_MAX_ORDER;
	struct pf_phys phys;
	struct pf_folio *f;
	pf_pfn_t first;

	test_port_start(n * PAGE, 12);
	if (pf_phys_init(&phys, TEST_PORT_BASE, n * PAGE, 12, PF_MAX_ORDER))
		return 2;
	f = pf_folio_alloc(&phys, PF_MAX_ORDER, PF_USE_ANON);
	first = pf_folio_pfn(&phys, f);
	pf_folio_add_new_anon_rmap(f, first, n, MM_FIRST, true);
	while (!pf_folio_try_dup_anon_rmap_ptes(f, first, n, MM_LAST, false))
		;
	for (unsigned step = 1u << 20; step; step /= 2)
		while (pf_folio_try_get_n(f, step))
			;
	while (pf_folio_mapcount(f))
		pf_folio_remove_rmap_ptes(f, first, n, MM_LAST);
	if (pf_folio_order(f) == PF_MAX_ORDER)
		return 0;
	fprintf(stderr, "order %u became %u\n", PF_MAX_ORDER, pf_folio_order(f));
	return 1;
}
