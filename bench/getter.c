// SPDX-License-Identifier: MIT
/*
 * What reading an entry without a lock takes, for an instruction counter: so many calls on an entry in one state. Compiled
 * once per format.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "phys/phys.h"
#include "pt/pf_pt.h"
#include "pt/pt.h"

#define MEMORY (UINT64_C(64) << 20)
#define BASE   UINT64_C(0x40000000)
#define ASID   3

/* Of the entry that is read, slot 0 of its block. The rest of the block is as it but for A and D. */
static const struct state {
	const char *name;
	bool mapped, folded, ad, last_ad;
} states[] = {
	{"none", false, false, false, false},
	{"page", true, false, true, false},
	{"block settled", true, true, true, false},
	{"block last-settled", true, true, false, true},
	{"block unsettled", true, true, false, false},
};

static bool build(struct pf_pt *pt, const struct state *s, uint64_t nr, uint64_t page)
{
	const uint64_t prot = PF_PTE_R | PF_PTE_W | (s->ad ? PF_PTE_A | PF_PTE_D : 0);

	/* The table is there in any state. Frames one off do not fold. */
	if (pf_pt_map(pt, BASE + nr * page, 1, 1, prot) ||
		(s->mapped && pf_pt_map(pt, BASE, nr, s->folded ? nr : nr + 1, prot)))
		return false;
	machine_set_root(0, pt->root, ASID);
	return !s->last_ad || !machine_store(BASE + (nr - 1) * page, 1).fault;
}

/* Calls of the getter, or of nothing. */
int main(int argc, char **argv)
{
	const struct pf_pt_format *fmt = &pf_pt_format_this;
	const uint64_t page = UINT64_C(1) << fmt->page_shift, nr = UINT64_C(1)
								   << fmt->cont_shift[0];
	struct machine_config mc = {
		.format = fmt->name, .memory = MEMORY, .cpus = 1, .no_data = true};
	const struct state *s = NULL;
	struct pf_table_mem mem;
	struct pf_pte_view v;
	struct pf_phys phys;
	struct pf_pt pt;
	uint64_t sum = 0;

	if (!machine_features(fmt->name, "", &mc.features))
		return 2;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(states); i++) {
		/* Only hardware sets A and D of one entry of a block. */
		if (states[i].last_ad && !(mc.features & PF_FEAT_HAF))
			continue;
		if (argc == 1)
			puts(states[i].name);
		else if (!strcmp(argv[1], states[i].name))
			s = &states[i];
	}
	if (argc == 1)
		return 0;
	if (argc != 3 || !s || machine_start(&mc) ||
		pf_phys_init(&phys, MACHINE_RAM_BASE, MEMORY, fmt->page_shift, 10))
		return 2;
	mem = pf_phys_table_mem(&phys);
	if (pf_pt_init(&pt, fmt, &mem, mc.features, ASID, 0, PF_FOLD_LINUX) ||
		!build(&pt, s, nr, page) || !pf_pte_offset_map(&pt, BASE, &v))
		return 2;
	for (unsigned long i = strtoul(argv[2], NULL, 0); i; i--) {
		pf_pte_t pte;

		if (!pf_ptep_get_lockless(&v, pf_view_idx(&v, BASE), &pte))
			return 2;
		sum += pte.v;
	}
	pf_pte_unmap(&v);
	/* The sum is looked at, so that the calls are made. */
	return sum == 1 ? 3 : 0;
}
