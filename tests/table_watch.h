/* SPDX-License-Identifier: MIT */
/*
 * Page-table check (phys/table_check.h) beside a test: what it finds is a failure at the next look.
 */
#ifndef TESTS_TABLE_WATCH_H
#define TESTS_TABLE_WATCH_H

#include <stdlib.h>

#include <cmocka.h>

#include "phys/table_check.h"

static struct pf_table_check table_watch;
static const char *table_wrong; /* the first */

static inline void table_watch_note(void *ctx, pf_pfn_t pfn, const char *why)
{
	(void)ctx;
	(void)pfn;
	if (!table_wrong)
		table_wrong = why;
}

/* Between pf_phys_init() and the first address space. */
static inline void table_watch_start(struct pf_phys *phys)
{
	uint32_t *maps = calloc(phys->nr, sizeof(*maps));

	assert_non_null(maps);
	free(table_watch.maps);
	pf_table_check_init(&table_watch, phys, maps);
	table_watch.bad = table_watch_note;
	table_wrong = NULL;
}

static inline void table_watch_judge(const char *when)
{
	if (table_wrong)
		fail_msg("%s: page-table check: %s", when, table_wrong);
}

static inline void table_watch_stop(void)
{
	table_watch_judge("the end");
	free(table_watch.maps);
	table_watch.maps = NULL;
}

#endif
