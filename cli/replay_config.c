// SPDX-License-Identifier: MIT
/* Configurations: "NAME=KEY=VALUE,KEY=VALUE...". */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/replay.h"
#include "machine/machine.h"

#define DEFAULT_PRESET "neoverse-n1"
#define DEFAULT_MEMORY (UINT64_C(16) << 30)

static char message[256];

static __attribute__((format(printf, 2, 3))) bool wrong(const char **why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	*why = message;
	return false;
}

static const struct pf_format *find_format(const char *name)
{
	for (const struct pf_format *const *f = pf_formats; *f; f++)
		if (!strcmp((*f)->pt->name, name))
			return *f;
	return NULL;
}

static void no_folios(struct pf_thp *thp)
{
	for (unsigned i = 0; i < PF_ARRAY_SIZE(thp->order); i++)
		thp->order[i] = PF_THP_NEVER;
}

static const char *mode_names[] = {[PF_THP_NEVER] = "never",
	[PF_THP_MADVISE] = "madvise",
	[PF_THP_ALWAYS] = "always",
	[PF_THP_INHERIT] = "inherit"};

static bool parse_mode(const char *text, enum pf_thp_mode *mode)
{
	for (unsigned i = 0; i < PF_ARRAY_SIZE(mode_names); i++)
		if (!strcmp(text, mode_names[i])) {
			*mode = (enum pf_thp_mode)i;
			return true;
		}
	return false;
}

/* Bytes: a number with K, M or G, or without. */
static bool parse_size(const char *text, uint64_t *bytes)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*bytes = strtoull(text, &end, 10);
	if (*end && strchr("KMG", *end)) {
		unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;

		if (*bytes > UINT64_MAX >> shift)
			return false;
		*bytes <<= shift;
		end++;
	}
	return !*end && *bytes;
}

/* SIZE[:MODE], several joined by '+', or "none". Sizes not named: never. */
static bool parse_thp(struct replay_config *c, char *text, const char **why)
{
	unsigned page_shift = c->fmt->pt->page_shift;

	no_folios(&c->thp);
	if (!strcmp(text, "none"))
		return true;
	for (char *one = strtok(text, "+"); one; one = strtok(NULL, "+")) {
		enum pf_thp_mode mode = PF_THP_ALWAYS;
		char *colon = strchr(one, ':');
		uint64_t size;
		unsigned order;

		if (colon) {
			*colon++ = 0;
			if (!parse_mode(colon, &mode))
				return wrong(why,
					"thp: always, madvise, inherit or never expected, not '%s'",
					colon);
		}
		if (!parse_size(one, &size) || !pf_is_pow2(size) ||
			size < UINT64_C(4) << page_shift)
			return wrong(why,
				"thp: a size of 4 pages or more expected, such as 64K, not '%s'",
				one);
		order = pf_log2(size) - page_shift;
		if (order > c->fmt->pt->level_bits || order >= PF_ARRAY_SIZE(c->thp.order))
			return wrong(why, "thp: %s is more than a table of %s maps", one,
				c->fmt->pt->name);
		c->thp.order[order] = mode;
	}
	return true;
}

/* The largest folios that are always to be had; 0: none. */
static unsigned always_order(const struct replay_config *c)
{
	unsigned order = 0;

	for (unsigned i = 0; i < PF_ARRAY_SIZE(c->thp.order); i++)
		if (c->thp.order[i] == PF_THP_ALWAYS ||
			(c->thp.order[i] == PF_THP_INHERIT && c->thp.enabled == PF_THP_ALWAYS))
			order = i;
	return order;
}

/* Memory that is shared has no readahead that would make its folios larger; they are as files' here. */
static void share_order(struct replay_config *c)
{
	c->thp.shmem_enabled = PF_THP_ALWAYS;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(c->thp.shmem); i++)
		c->thp.shmem[i] = i && i <= c->file_order ? PF_THP_ALWAYS : PF_THP_NEVER;
}

static bool parse_files(struct replay_config *c, const char *text, const char **why)
{
	const unsigned page_shift = c->fmt->pt->page_shift;
	uint64_t size;

	if (!strcmp(text, "none")) {
		c->file_order = 0;
		return true;
	}
	if (!parse_size(text, &size) || !pf_is_pow2(size) || size < PF_BIT(page_shift) ||
		pf_log2(size) - page_shift > c->fmt->pt->level_bits)
		return wrong(why,
			"files: a size of 1 page to a table's reach expected, such as 64K, or "
			"none, not '%s'",
			text);
	c->file_order = pf_log2(size) - page_shift;
	return true;
}

static bool set_format(struct replay_config *c, const char *name, const char **why)
{
	c->fmt = find_format(name);
	if (!c->fmt || !machine_features(name, "", &c->features))
		return wrong(why, "format: no format is called '%s'", name);
	if (c->fmt->pt->page_shift > 16 || c->fmt->pt->page_shift < 12)
		return wrong(why, "format: the pages of %s are not 4K to 64K", name);
	return true;
}

static bool set_preset(struct replay_config *c, const char *name, const char **why)
{
	const struct tlb_preset *p = tlb_preset_find(name);

	if (!p)
		return wrong(why, "tlb: no preset is called '%s'; --list-tlbs shows them", name);
	c->tlb = p->cfg;
	snprintf(c->preset, sizeof(c->preset), "%s", name);
	return true;
}

static bool set(struct replay_config *c, const char *key, char *value, const char **why)
{
	const char *bad;
	bool known;

	if (!strcmp(key, "format"))
		return set_format(c, value, why);
	if (!strcmp(key, "tlb"))
		return set_preset(c, value, why);
	if (!strcmp(key, "fold")) {
		if (!strcmp(value, "off"))
			c->policy = PF_FOLD_OFF;
		else if (!strcmp(value, "linux"))
			c->policy = PF_FOLD_LINUX;
		else if (!strcmp(value, "on") || !strcmp(value, "watch"))
			c->policy = PF_FOLD_WATCH;
		else
			return wrong(
				why, "fold: on, off, linux or watch expected, not '%s'", value);
		return true;
	}
	if (!strcmp(key, "thp"))
		return parse_thp(c, value, why);
	if (!strcmp(key, "files"))
		return parse_files(c, value, why);
	if (!strcmp(key, "enabled")) {
		if (!parse_mode(value, &c->thp.enabled) || c->thp.enabled == PF_THP_INHERIT)
			return wrong(
				why, "enabled: always, madvise or never expected, not '%s'", value);
		return true;
	}
	if (!strcmp(key, "features")) {
		for (char *p = value; (p = strchr(p, '+')); *p = ' ')
			;
		if (!machine_features(c->fmt->pt->name, value, &c->features))
			return wrong(why, "features: %s has none of these, or not all: '%s'",
				c->fmt->pt->name, value);
		return true;
	}
	if (!strcmp(key, "memory")) {
		if (!parse_size(value, &c->memory) || c->memory % (UINT64_C(4) << 20))
			return wrong(why, "memory: a multiple of 4M expected, not '%s'", value);
		return true;
	}
	if (!strcmp(key, "layout")) {
		if (strcmp(value, "recorded") && strcmp(value, "linux"))
			return wrong(why, "layout: recorded or linux expected, not '%s'", value);
		c->recorded_layout = !strcmp(value, "recorded");
		return true;
	}
	bad = tlb_cfg_set(&c->tlb, key, value, &known);
	if (!known)
		return wrong(why, "unknown key '%s'", key);
	return bad ? wrong(why, "%s=%s: %s", key, value, bad) : true;
}

void replay_config_init(struct replay_config *c)
{
	const char *why;

	*c = (struct replay_config){
		.policy = PF_FOLD_WATCH, .memory = DEFAULT_MEMORY, .thp.enabled = PF_THP_MADVISE};
	set_format(c, "arm64-4k", &why);
	set_preset(c, DEFAULT_PRESET, &why);
	if (c->fmt)
		c->thp.order[16 - c->fmt->pt->page_shift] = PF_THP_ALWAYS;
}

/* Keys that others depend on come first, wherever they stand. */
static int turn_of(const char *key)
{
	return !strcmp(key, "format") || !strcmp(key, "tlb") ? 0 : !strcmp(key, "files") ? 2 : 1;
}

bool replay_config_parse(struct replay_config *c, const char *text, const char **why)
{
	const char *spec = strchr(text, '=');
	size_t name = spec ? (size_t)(spec - text) : strlen(text);
	const struct pf_pt_format *pt;
	const char *bad;

	if (!name || name >= sizeof(c->name))
		return wrong(why, "a name of 1 to %zu characters expected before '='",
			sizeof(c->name) - 1);
	if (spec && strlen(spec + 1) >= sizeof(c->spec))
		return wrong(why, "more than %zu characters", sizeof(c->spec) - 1);
	memcpy(c->name, text, name);
	c->name[name] = 0;
	strcpy(c->spec, spec ? spec + 1 : "");
	for (int pass = 0; pass < 3; pass++) {
		char copy[sizeof(c->spec)], *rest = copy, *one;

		strcpy(copy, c->spec);
		while ((one = strsep(&rest, ","))) {
			char *value = strchr(one, '=');

			if (!*one)
				continue;
			if (!value)
				return wrong(why, "KEY=VALUE expected, not '%s'", one);
			*value++ = 0;
			if (turn_of(one) == pass && !set(c, one, value, why))
				return false;
		}
		/* Unless it is said otherwise. */
		if (pass == 1)
			c->file_order = always_order(c);
	}
	share_order(c);
	pt = c->fmt->pt;
	tlb_cfg_geometry(&c->tlb, pt->page_shift, pt->level_bits, pt->levels);
	bad = tlbmodel_check(&c->tlb);
	return bad ? wrong(why, "the TLB: %s", bad) : true;
}

void replay_config_help(FILE *out)
{
	fputs("A configuration is NAME=KEY=VALUE,KEY=VALUE...; keys:\n"
	      "  format=F            page tables (arm64-4k)\n"
	      "  fold=off|linux|watch  contiguous entries: none, when Linux would make them, or "
	      "whenever\n"
	      "                      a block is complete or restored (watch, or on)\n"
	      "  thp=SIZE[:MODE]+... folio sizes, MODE always, madvise or inherit (64K:always); "
	      "none: 4K only\n"
	      "  files=SIZE          the largest folios of files and shared memory (the largest of "
	      "thp that\n"
	      "                      is always to be had); none: 4K only\n"
	      "  enabled=MODE        what `inherit` follows (madvise)\n"
	      "  features=A+B        hardware, as @feature of a scenario (the format's newest)\n"
	      "  memory=SIZE         physical memory (16G); little is taken of what is not used\n"
	      "  layout=linux|recorded  as --layout\n"
	      "  tlb=PRESET          (neoverse-n1)\n"
	      "  l1i l1d l1st l2 l2i =ENTRIES[xWAYS][:SIZE...][+...], walk1 walk2 walk3 "
	      "=ENTRIES[xWAYS], or none\n"
	      "  contig=on|off  coalesce=N  fracture=piece|bypass\n",
		out);
}
