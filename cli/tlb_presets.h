/* SPDX-License-Identifier: MIT */
/*
 * TLBs of real cores, each figure with where it comes from.
 *
 * Confidence: H, the vendor's manual or a CPUID dump was read; M, a model or device tree by the
 * vendor, or a core known to be nearly the same. Those have a `source`. L, nothing better than an
 * assumption is known: it has an `assumption` and no source.
 */
#ifndef CLI_TLB_PRESETS_H
#define CLI_TLB_PRESETS_H

#include <stdio.h>

#include "tlbmodel.h"

struct tlb_figure {
	const char *what;
	char confidence;
	const char *source, *assumption; /* one of the two */
};

struct tlb_preset {
	const char *name, *about;
	struct tlb_cfg cfg;
	struct tlb_figure figure[8]; /* ends with what == NULL */
};

extern const struct tlb_preset tlb_presets[];
extern const unsigned tlb_presets_nr;

/* NULL if there is none of that name. */
const struct tlb_preset *tlb_preset_find(const char *name);

/* The list, with every figure and its source; as text or as one JSON array. */
void tlb_presets_print(FILE *out, bool json);

/* Fit a preset to a format's tables; walk caches of levels that these do not have go. */
void tlb_cfg_geometry(
	struct tlb_cfg *cfg, unsigned page_shift, unsigned level_bits, unsigned levels);

/*
 * Change one thing of a configuration. Keys:
 *   l1i l1d l1st l2 l2i  ARRAY[+ARRAY]..., ARRAY = ENTRIES[xWAYS][:SIZE]..., no WAYS: fully
 *associative; no SIZE: the sizes that the level held before (of a new level: those of l1d); "none":
 *no such level walk1 walk2 ...	  ENTRIES[xWAYS] or "none"
 *   contig		  on|off: whether folded blocks are held as one entry, at all levels
 *   coalesce		  1, 2, 4, ...: neighbouring leaves that share an entry without a hint
 *   fracture		  piece|bypass, of L2s
 * Returns NULL or what is wrong (a string constant); `*known` is whether the key is one of these.
 */
const char *tlb_cfg_set(struct tlb_cfg *cfg, const char *key, const char *value, bool *known);

#endif
