/* SPDX-License-Identifier: MIT */
/*
 * One software machine, judged, and one address space on its first CPU.
 */
#ifndef TESTS_MM_WORLD_H
#define TESTS_MM_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/machine.h"
#include "mm/mm.h"
#include "mm/rmap.h"
#include "phys/phys.h"
#include "tests/mm_look.h"
#include "tests/table_watch.h"

#define WORLD_BYTES (UINT64_C(4) << 20)
/* What the machine has; what lies beyond WORLD_BYTES is not the library's. */
#ifndef WORLD_MEMORY
#define WORLD_MEMORY WORLD_BYTES
#endif
#define P          UINT64_C(4096) /* every format there is has 4K pages; world_start says so */
#define WORLD_ASID 1

static struct pf_phys phys;
static struct pf_system sys;
static struct pf_mm mm;

/* Set before world_start: when blocks fold. */
static enum pf_fold_policy world_policy = PF_FOLD_WATCH;
/* Set before world_start: how many nodes memory is divided into, of equal sizes; 0: it is as it comes. */
static unsigned world_nodes;
/* Set before world_start: how many CPUs there are. The space is on the first. */
static unsigned world_cpus = 1;
#define WORLD_NODE_ORDER 7u /* the largest block then */
#define WORLD_NODE(pfn)  pf_phys_node(&phys, pfn)

static inline void world_divide(void)
{
	pf_pfn_t from[PF_MAX_NODES];

	assert_int_equal(pf_phys_init(&phys, MACHINE_RAM_BASE, WORLD_BYTES, phys.page_shift,
				 WORLD_NODE_ORDER),
		0);
	for (unsigned i = 0; i < world_nodes; i++)
		from[i] = phys.first + i * (phys.nr / world_nodes);
	assert_int_equal(pf_phys_divide(&phys, from, world_nodes, NULL), 0);
}

/* fail_at: which allocation of the library fails, counted from the machine's start; 0: none. */
static inline void world_start(const struct pf_format *fmt, uint64_t fail_at)
{
	struct machine_config cfg = {
		.format = fmt->pt->name,
		.memory = WORLD_MEMORY,
		.cpus = world_cpus,
		.seed = 1,
		.fail_at = fail_at,
	};

	assert_int_equal(1u << fmt->pt->page_shift, P);
	assert_true(machine_features(cfg.format, "", &cfg.features));
	assert_int_equal(machine_start(&cfg), 0);
	assert_int_equal(
		pf_phys_init(&phys, MACHINE_RAM_BASE, WORLD_BYTES, fmt->pt->page_shift, 10), 0);
	if (world_nodes)
		world_divide();
	table_watch_start(&phys);
	assert_int_equal(pf_system_init(&sys, fmt, &phys, cfg.features, world_policy), 0);
	sys.thp.order[2] = PF_THP_ALWAYS;
	sys.thp.order[4] = PF_THP_ALWAYS;
	assert_int_equal(pf_mm_init(&mm, &sys, WORLD_ASID), 0);
	machine_set_root(0, mm.space.pt.root, WORLD_ASID);
}

static inline void world_judge(const char *when)
{
	table_watch_judge(when);
	if (machine_violation())
		fail_msg("%s: rule %s: %s", when, machine_violation(), machine_violation_text());
}

/* Everything comes back. */
static inline void world_stop(void)
{
	machine_set_root(0, 0, 0);
	pf_mm_exit(&mm);
	machine_retire_asid(WORLD_ASID);
	pf_system_exit(&sys);
	machine_rcu_drain();
	assert_int_equal(machine_check_end(), 0);
	world_judge("the end");
	table_watch_stop();
	machine_stop();
}

/* Between calls: well formed, every page found by its folio, and no rule broken. */
static inline void world_check(const char *when)
{
	const char *bad = mm_look(&mm);

	if (!bad)
		bad = rmap_look(&sys);
	if (bad)
		fail_msg("%s: %s", when, bad);
	machine_check_quiescent(WORLD_ASID);
	world_judge(when);
}

/* The library is about to write to these pages by itself. */
static inline void world_note(pf_va_t va, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		machine_note_store(va + i * P);
}

#endif
