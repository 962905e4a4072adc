/* SPDX-License-Identifier: MIT */
#include "tlb_presets.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define S_4K   PF_BIT(12)
#define S_16K  PF_BIT(14)
#define S_64K  PF_BIT(16)
#define S_2M   PF_BIT(21)
#define S_4M   PF_BIT(22)
#define S_32M  PF_BIT(25)
#define S_512M PF_BIT(29)
#define S_1G   PF_BIT(30)

/* One array; ways 0 is fully associative. */
#define ONE(n, w, s)                                                                               \
	.narrays = 1, .array = {                                                                   \
			      {.entries = (n), .ways = (w), .sizes = (s)},                         \
	}
#define TABLES_4K         .page_shift = 12, .level_bits = 9, .levels = 4
#define WALK_ASSUMED      .walk = {{0}, {.entries = 32}, {.entries = 8}, {.entries = 4}}
#define WALK_ASSUMED_TEXT "32, 8 and 4 entries for the three levels above the leaf table"

#define A76_I  (S_4K | S_16K | S_64K | S_2M | S_32M)
#define A76_D  (S_4K | S_16K | S_64K | S_2M | S_512M)
#define A76_L2 (S_4K | S_16K | S_64K | S_2M | S_32M | S_512M | S_1G)
#define A76_CFG                                                                                    \
	{                                                                                          \
		TABLES_4K, WALK_ASSUMED, .l1i = {.contig = true, ONE(48, 0, A76_I)},               \
					 .l1d = {.contig = true, ONE(48, 0, A76_D)},               \
					 .l2 = {.contig = true, ONE(1280, 5, A76_L2)},             \
	}
#define EVERY_SIZE                                                                                 \
	(S_4K | S_16K | S_64K | S_2M | S_32M | S_512M | S_1G | PF_BIT(17) | PF_BIT(18) |           \
		PF_BIT(19) | PF_BIT(20) | PF_BIT(15) | S_4M)

#define A76_TRM "Arm 100798, Cortex-A76 TRM, A5.2 TLB organization"
#define A53_TRM "Arm DDI 0500, Cortex-A53 TRM, 5.1 and 5.2"

const struct tlb_preset tlb_presets[] = {
	{
		.name = "neoverse-n1",
		.about = "Arm Neoverse N1 (Ampere Altra, AWS Graviton2)",
		.cfg = A76_CFG,
		.figure =
			{
				{"L1I 48, L1D 48, fully associative; sizes held", 'M',
					"the core is almost identical to Cortex-A76 "
					"(WikiChip); " A76_TRM,
					NULL},
				{"L2 1280 entries, 5 ways, unified", 'M',
					"the core is almost identical to Cortex-A76 "
					"(WikiChip); " A76_TRM,
					NULL},
				{"a folded block takes one entry in L1 and L2", 'M',
					"64K is a size of both levels for every granule; " A76_TRM,
					NULL},
				{"walk caches", 'L', NULL, WALK_ASSUMED_TEXT},
			},
	},
	{
		.name = "cortex-a76",
		.about = "Arm Cortex-A76",
		.cfg = A76_CFG,
		.figure =
			{
				{"L1I 48 (4K 16K 64K 2M 32M), L1D 48 (4K 16K 64K 2M 512M), fully "
				 "associative",
					'H', A76_TRM, NULL},
				{"L2 1280 entries, 5 ways, unified, and 1G too", 'H',
					A76_TRM "; Intel 814346, Agilex 5 HPS TRM, 3.5.3.4", NULL},
				{"a size that L1 does not hold is broken down", 'H', A76_TRM, NULL},
				{"a folded block takes one entry in L1 and L2", 'M',
					"64K is a size of both levels for every granule; " A76_TRM,
					NULL},
				{"walk caches", 'L', NULL, WALK_ASSUMED_TEXT},
			},
	},
	{
		.name = "neoverse-v2",
		.about = "Arm Neoverse V2 (AWS Graviton4, NVIDIA Grace)",
		.cfg =
			{
				TABLES_4K,
				WALK_ASSUMED,
				.l1i = {.contig = true, ONE(48, 12, A76_I)},
				.l1d = {.contig = true, ONE(48, 0, A76_D)},
				.l2 = {.contig = true, ONE(2048, 8, A76_L2)},
			},
		.figure =
			{
				{"L1I 48, 12 ways; L1D 48, fully associative; L2 2048, 8 ways, "
				 "unified",
					'M',
					"gem5 configs, neoverse_v2.py (Arm, TUM; after Hot Chips "
					"2023)",
					NULL},
				{"sizes held, a folded block takes one entry", 'L', NULL,
					"as Cortex-A76"},
				{"walk caches", 'L', NULL,
					WALK_ASSUMED_TEXT
					" (gem5's model keeps partial walks in L2 itself)"},
			},
	},
	{
		.name = "cortex-a53",
		.about = "Arm Cortex-A53",
		.cfg =
			{
				TABLES_4K,
				.l1i = {.contig = true, ONE(10, 0, S_4K | S_64K | S_2M | S_512M)},
				.l1d = {.contig = true, ONE(10, 0, S_4K | S_64K | S_2M | S_512M)},
				.l2 = {.contig = true, ONE(512, 4, S_4K | S_64K | S_2M | S_512M)},
				.walk = {{0}, {.entries = 64, .ways = 4}},
				.l1_flushed_by_any = true,
			},
		.figure =
			{
				{"micro TLBs: 10 and 10, fully associative", 'H', A53_TRM, NULL},
				{"main TLB 512 entries, 4 ways; every size but 1G, which is split "
				 "to 512M",
					'H', A53_TRM, NULL},
				{"walk cache 64 entries, 4 ways, of pointers to leaf tables", 'H',
					A53_TRM, NULL},
				{"main TLB maintenance empties the micro TLBs", 'H',
					"Intel 683222, Stratix 10 HPS TRM, 3.5.3.1", NULL},
				{"micro TLBs hold what the main TLB holds; a folded block takes "
				 "one entry",
					'L', NULL, "nothing found"},
			},
	},
	{
		.name = "golden-cove",
		.about = "Intel Golden Cove (Alder Lake P, Sapphire Rapids)",
		.cfg =
			{
				TABLES_4K,
				WALK_ASSUMED,
				.l1i = {.narrays = 2, .array = {{256, 8, S_4K}, {32, 8, S_2M}}},
				.l1d = {.narrays = 3,
					.array = {{64, 4, S_4K}, {32, 4, S_2M}, {8, 0, S_1G}}},
				.l1st = {ONE(16, 0, S_4K | S_2M | S_1G)},
				.l2 = {.narrays = 2,
					.array = {{1024, 8, S_4K | S_2M}, {1024, 8, S_4K | S_1G}}},
			},
		.figure =
			{
				{"L1I 256, 8 ways (4K) and 32, 8 ways (2M)", 'H',
					"CPUID leaf 18H dump", NULL},
				{"L1D loads 64, 4 ways (4K); 32, 4 ways (2M); 8 (1G)", 'H',
					"CPUID leaf 18H dump", NULL},
				{"L1D stores 16, fully associative, all sizes", 'H',
					"CPUID leaf 18H dump", NULL},
				{"L2 1024, 8 ways (4K 2M) and 1024, 8 ways (4K 1G)", 'H',
					"CPUID leaf 18H dump", NULL},
				{"a 4K translation takes the older of the two arrays' ways", 'L',
					NULL, "nothing found"},
				{"walk caches", 'L', NULL, WALK_ASSUMED_TEXT},
			},
	},
	{
		.name = "zen4",
		.about = "AMD Zen 4 (Genoa)",
		.cfg =
			{
				TABLES_4K,
				WALK_ASSUMED,
				.l1i = {ONE(64, 0, S_4K | S_2M | S_1G)},
				.l1d = {ONE(72, 0, S_4K | S_2M | S_1G)},
				.l2 = {.fracture = TLB_FRACTURE_BYPASS, ONE(3072, 8, S_4K | S_2M)},
				.l2i = {.fracture = TLB_FRACTURE_BYPASS, ONE(512, 8, S_4K | S_2M)},
			},
		.figure =
			{
				{"L1I 64, L1D 72, fully associative, 4K 2M 1G", 'H', "CPUID dump",
					NULL},
				{"L2 data 3072 entries, 8 ways for 4K; L2 instructions 512", 'H',
					"CPUID dump", NULL},
				{"ways of L2 for 2M (CPUID says 6) and of L2 instructions; 1G not "
				 "in L2",
					'L', NULL, "8 ways; 1G in L1 only"},
				{"coalescing of neighbouring 4K entries", 'L', NULL,
					"off: the degree is not published (4 or 8); coalesce=4 "
					"turns it on"},
				{"walk caches", 'L', NULL, WALK_ASSUMED_TEXT},
			},
	},
	{
		.name = "qemu-oracle",
		.about = "the shape of published replay figures: data only, every size held",
		.cfg =
			{
				TABLES_4K,
				.l1d = {.contig = true, ONE(48, 0, EVERY_SIZE)},
				.l2 = {.contig = true, ONE(1280, 5, EVERY_SIZE)},
			},
		.figure =
			{
				{"L1D 48, fully associative; L2 1280, 5 ways; no walk caches", 'M',
					"a choice, not a core: closed forms are easy to state for "
					"it",
					NULL},
			},
	},
};

const unsigned tlb_presets_nr = PF_ARRAY_SIZE(tlb_presets);

const struct tlb_preset *tlb_preset_find(const char *name)
{
	for (unsigned i = 0; i < tlb_presets_nr; i++)
		if (!strcmp(tlb_presets[i].name, name))
			return &tlb_presets[i];
	return NULL;
}

static void print_json(FILE *out, const struct tlb_preset *p, bool last)
{
	/* No text here has a character that JSON would want escaped; a test sees to it. */
	fprintf(out, "  {\"name\":\"%s\",\"about\":\"%s\",\"figures\":[", p->name, p->about);
	for (const struct tlb_figure *f = p->figure; f->what; f++)
		fprintf(out, "%s\n    {\"what\":\"%s\",\"confidence\":\"%c\",\"%s\":\"%s\"}",
			f == p->figure ? "" : ",", f->what, f->confidence,
			f->source ? "source" : "assumption", f->source ? f->source : f->assumption);
	fprintf(out, "]}%s\n", last ? "" : ",");
}

void tlb_presets_print(FILE *out, bool json)
{
	if (json)
		fprintf(out, "[\n");
	for (unsigned i = 0; i < tlb_presets_nr; i++) {
		const struct tlb_preset *p = &tlb_presets[i];

		if (json) {
			print_json(out, p, i + 1 == tlb_presets_nr);
			continue;
		}
		fprintf(out, "%s: %s\n", p->name, p->about);
		for (const struct tlb_figure *f = p->figure; f->what; f++)
			fprintf(out, "  [%c] %s\n      %s: %s\n", f->confidence, f->what,
				f->source ? "source" : "assumption",
				f->source ? f->source : f->assumption);
	}
	if (json)
		fprintf(out, "]\n");
}

void tlb_cfg_geometry(
	struct tlb_cfg *cfg, unsigned page_shift, unsigned level_bits, unsigned levels)
{
	cfg->page_shift = (uint8_t)page_shift;
	cfg->level_bits = (uint8_t)level_bits;
	cfg->levels = (uint8_t)levels;
	for (unsigned i = levels; i < TLB_WALK_LEVELS; i++)
		cfg->walk[i].entries = 0;
}

/* ---- changes by name ---- */

static bool number(const char **s, uint64_t *n)
{
	char *end;

	if (**s < '0' || **s > '9')
		return false;
	*n = strtoull(*s, &end, 10);
	*s = end;
	return true;
}

/* SIZE: a power of two, with K, M or G. */
static bool size_bit(const char **s, uint64_t *bit)
{
	uint64_t n;

	if (!number(s, &n))
		return false;
	if (!strchr("KMG", **s) || !**s || !n || n > 1 << 20)
		return false;
	n <<= **s == 'K' ? 10 : **s == 'M' ? 20 : 30;
	++*s;
	*bit = n;
	return pf_is_pow2(n) && n < PF_BIT(63);
}

static bool entries_and_ways(const char **s, uint32_t *entries, uint32_t *ways)
{
	uint64_t n, w = 0;

	if (!number(s, &n) || n > TLB_MAX_SLOTS)
		return false;
	if (**s == 'x') {
		++*s;
		if (!number(s, &w) || !w || w > n)
			return false;
	}
	*entries = (uint32_t)n;
	*ways = (uint32_t)w;
	return true;
}

static const char *set_level(
	struct tlb_level_cfg *l, const struct tlb_level_cfg *like, const char *s)
{
	struct tlb_level_cfg new_l = l->narrays ? *l : *like;
	uint64_t sizes = 0;

	if (!strcmp(s, "none")) {
		*l = (struct tlb_level_cfg){0};
		return NULL;
	}
	for (unsigned i = 0; i < new_l.narrays; i++)
		sizes |= new_l.array[i].sizes;
	for (new_l.narrays = 0;; s++) {
		struct tlb_array_cfg *a = &new_l.array[new_l.narrays];

		if (new_l.narrays == TLB_MAX_ARRAYS)
			return "more than 4 arrays in a level";
		*a = (struct tlb_array_cfg){0};
		if (!entries_and_ways(&s, &a->entries, &a->ways))
			return "ENTRIES[xWAYS][:SIZE]... expected";
		while (*s == ':') {
			uint64_t bit;

			s++;
			if (!size_bit(&s, &bit))
				return "a size such as 64K expected after ':'";
			a->sizes |= bit;
		}
		if (!a->sizes)
			a->sizes = sizes;
		new_l.narrays++;
		if (!*s)
			break;
		if (*s != '+')
			return "'+' or the end expected after an array";
	}
	*l = new_l;
	return NULL;
}

static const char *set_walk(struct tlb_cfg *cfg, unsigned level, const char *s)
{
	uint32_t entries = 0, ways = 0;

	if (strcmp(s, "none") && (!entries_and_ways(&s, &entries, &ways) || *s || !entries))
		return "ENTRIES[xWAYS] or none expected";
	cfg->walk[level].entries = entries;
	cfg->walk[level].ways = ways;
	return NULL;
}

const char *tlb_cfg_set(struct tlb_cfg *cfg, const char *key, const char *value, bool *known)
{
	struct tlb_level_cfg *const levels[] = {
		&cfg->l1i, &cfg->l1d, &cfg->l1st, &cfg->l2, &cfg->l2i};
	static const char *const names[] = {"l1i", "l1d", "l1st", "l2", "l2i"};

	*known = true;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(names); i++)
		if (!strcmp(key, names[i]))
			return set_level(levels[i], i == 4 ? &cfg->l2 : &cfg->l1d, value);
	if (!strncmp(key, "walk", 4) && key[4] >= '1' && key[4] < '0' + TLB_WALK_LEVELS && !key[5])
		return set_walk(cfg, (unsigned)(key[4] - '0'), value);
	if (!strcmp(key, "contig")) {
		if (strcmp(value, "on") && strcmp(value, "off"))
			return "on or off expected";
		for (unsigned i = 0; i < PF_ARRAY_SIZE(levels); i++)
			levels[i]->contig = !strcmp(value, "on");
		return NULL;
	}
	if (!strcmp(key, "coalesce")) {
		uint64_t n;

		if (!number(&value, &n) || *value || !pf_is_pow2(n) || n > 64)
			return "1, 2, 4, ... 64 expected";
		for (unsigned i = 0; i < PF_ARRAY_SIZE(levels); i++)
			levels[i]->coalesce = (uint8_t)pf_log2(n);
		return NULL;
	}
	if (!strcmp(key, "fracture")) {
		if (strcmp(value, "piece") && strcmp(value, "bypass"))
			return "piece or bypass expected";
		cfg->l2.fracture = cfg->l2i.fracture =
			!strcmp(value, "bypass") ? TLB_FRACTURE_BYPASS : TLB_FRACTURE_PIECE;
		return NULL;
	}
	*known = false;
	return NULL;
}
