/* SPDX-License-Identifier: MIT */
/*
 * One software machine, judged, and one address space on all of its CPUs.
 */
#ifndef TESTS_OPS_WORLD_H
#define TESTS_OPS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/machine.h"
#include "mm/mm.h"
#include "ops/formats.h"
#include "phys/phys.h"
#include "tests/mm_look.h"
#include "tests/table_watch.h"

#define P     UINT64_C(4096) /* every format there is has 4K pages; world_start says so */
#define ASID  1
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)

static struct pf_phys phys;
static struct pf_system sys;
static struct pf_mm mm;

struct world {
	uint64_t bytes;
	unsigned cpus;
	const char *features;
	uint64_t fail_at; /* which allocation of the library fails, from the start; 0: none */
	unsigned order;   /* of the folios that faults get; 0: single pages */
};

static inline void world_start(const struct pf_format *fmt, const struct world *w)
{
	struct machine_config cfg = {
		.format = fmt->pt->name,
		.memory = w->bytes,
		.cpus = w->cpus,
		.seed = 1,
		.fail_at = w->fail_at,
	};

	assert_int_equal(1u << fmt->pt->page_shift, P);
	assert_true(machine_features(cfg.format, w->features, &cfg.features));
	assert_int_equal(machine_start(&cfg), 0);
	assert_int_equal(
		pf_phys_init(&phys, MACHINE_RAM_BASE, w->bytes, fmt->pt->page_shift, 10), 0);
	table_watch_start(&phys);
	assert_int_equal(pf_system_init(&sys, fmt, &phys, cfg.features, PF_FOLD_WATCH), 0);
	if (w->order)
		sys.thp.order[w->order] = PF_THP_ALWAYS;
	assert_int_equal(pf_mm_init(&mm, &sys, ASID), 0);
	for (unsigned i = 0; i < w->cpus; i++)
		machine_set_root(i, mm.space.pt.root, ASID);
}

static inline void world_judge(const char *when)
{
	const char *bad = mm.vmas ? mm_look(&mm) : NULL;

	table_watch_judge(when);
	if (bad)
		fail_msg("%s: %s", when, bad);
	if (mm.vmas)
		machine_check_quiescent(ASID);
	if (machine_violation())
		fail_msg("%s: rule %s: %s", when, machine_violation(), machine_violation_text());
}

/* The address space goes; what that cost. */
static inline struct machine_counters world_exit(unsigned cpus)
{
	struct machine_counters before = machine_counters, after;

	for (unsigned i = 0; i < cpus; i++)
		machine_set_root(i, 0, 0);
	pf_mm_exit(&mm);
	after = machine_counters;
	machine_retire_asid(ASID);
	pf_system_exit(&sys);
	machine_rcu_drain();
	assert_int_equal(machine_check_end(), sys.poisoned * P);
	world_judge("the end");
	table_watch_stop();
	machine_stop();
	after.tlbi -= before.tlbi;
	after.dsb -= before.dsb;
	return after;
}

static inline enum pf_fault_result world_write(pf_va_t va)
{
	machine_note_store(va);
	return pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE);
}

#endif
