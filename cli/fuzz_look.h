/* SPDX-License-Identifier: MIT */
/* What a process of the host's looks like, to itself (fuzz_look.c). */
#ifndef CLI_FUZZ_LOOK_H
#define CLI_FUZZ_LOOK_H

#include "cli/fuzz.h"
#include "cli/map_query.h"

/* This process, from now on: after a fork again. False: the host does not show it. */
bool fuzz_look_open(void);
/* The mapping that holds va, or the next above; false if there is none, or no PROCMAP_QUERY. */
bool fuzz_look_map(uint64_t va, struct map_query *q);
/* The page's word of pagemap. */
bool fuzz_look_page(uint64_t va, uint64_t *word);
/* PAGEMAP_SCAN, with arguments as an op has them (program_calls.c); a negated errno. */
int64_t fuzz_look_scan(
	const uint64_t a[PROGRAM_ARGS], struct pf_page_region *vec, uint64_t *walk_end);
/* Mappings and pages of the area; closely: flags and numbers of mappings too, which takes as long as a dozen calls. */
void fuzz_look(const struct fuzz_area *area, struct fuzz_answer *ans, bool closely);

#endif
