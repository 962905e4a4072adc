/* SPDX-License-Identifier: MIT */
/*
 * The hosted port's instance: physical memory, metadata, features, and the machine's start and stop. Both builds.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "judge.h"
#include "port_state.h"
#include "tlbi.h"

struct machine_port machine_port;
struct machine_counters machine_counters;
const struct mmu_format *machine_format;
uint32_t machine_features_on;
uint64_t machine_memory;

static char *ram, *memmap;
static uint64_t meta_bytes;
static char error[256];
static char mutant[64];
static struct {
	void (*issued)(void *ctx, const struct machine_tlbi *op);
	void *ctx;
} watch;

static const struct mmu_format *const formats[] = {
	&mmu_arm64_4k, &mmu_fake_inv, &mmu_fake_nz, &mmu_fake_2w};

const char *const *machine_formats(void)
{
	static const char *names[PF_ARRAY_SIZE(formats) + 1];

	for (unsigned i = 0; i < PF_ARRAY_SIZE(formats); i++)
		names[i] = formats[i]->name;
	return names;
}

const struct mmu_format *mmu_format(const char *name)
{
	for (unsigned i = 0; name && i < PF_ARRAY_SIZE(formats); i++)
		if (!strcmp(formats[i]->name, name))
			return formats[i];
	return NULL;
}

const char *const *machine_rules(void)
{
	static const char *names[MJ_NRULES + 1];

	for (unsigned i = 0; i < MJ_NRULES; i++)
		names[i] = mj_rule_name[i];
	return names;
}

#define BBM_ALL (PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT)

static const struct {
	const char *name;
	uint32_t set, clear;
} feature_names[] = {
	{"hafdbs", PF_FEAT_HAF | PF_FEAT_HD, 0},
	{"haf", PF_FEAT_HAF, PF_FEAT_HD},
	{"no-haf", 0, PF_FEAT_HAF | PF_FEAT_HD},
	{"bbm0", 0, BBM_ALL},
	{"bbml1", PF_FEAT_BBM1, BBM_ALL},
	{"bbml2", PF_FEAT_BBM1 | PF_FEAT_BBM2, BBM_ALL},
	{"bbml2-noabort", BBM_ALL, 0},
	{"tlbirange", PF_FEAT_TLB_RANGE, 0},
	{"no-tlbirange", 0, PF_FEAT_TLB_RANGE},
	{"ttl", PF_FEAT_TTL, 0},
	{"no-ttl", 0, PF_FEAT_TTL},
};

bool machine_features(const char *format, const char *names, uint32_t *features)
{
	const struct mmu_format *f = mmu_format(format);
	size_t len;

	if (!f)
		return false;
	*features = f->newest;
	for (const char *p = names ? names : ""; *(p += strspn(p, " ,\t")); p += len) {
		unsigned i;

		len = strcspn(p, " ,\t");
		for (i = 0; i < PF_ARRAY_SIZE(feature_names); i++)
			if (strlen(feature_names[i].name) == len &&
				!memcmp(feature_names[i].name, p, len))
				break;
		if (i == PF_ARRAY_SIZE(feature_names) || feature_names[i].set & ~f->allowed)
			return false;
		*features = (*features & ~feature_names[i].clear) | feature_names[i].set;
	}
	return true;
}

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, sizeof(error), fmt, ap);
	va_end(ap);
	return -1;
}

const char *machine_error(void)
{
	return error;
}

static void *reserve(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Only hints: a host that refuses one maps the memory at its first use. */
static void make_resident(void *p, uint64_t bytes)
{
	madvise(p, bytes, MADV_DONTFORK);
	madvise(p, bytes, MADV_HUGEPAGE);
	madvise(p, bytes, MADV_POPULATE_WRITE);
}

#define MAX_CPUS   64
#define MAX_MEMORY (UINT64_C(1) << 42)

int machine_start(const struct machine_config *cfg)
{
	const struct mmu_format *f = mmu_format(cfg->format);
	const char *name = getenv("PF_MUTANT");

	machine_stop();
	error[0] = 0;
	if (!f)
		return fail("format %s is not one the machine can decode",
			cfg->format ? cfg->format : "(none)");
	if (cfg->features & ~f->allowed)
		return fail("format %s has no features %x", f->name, cfg->features & ~f->allowed);
	if ((cfg->features & PF_FEAT_HD) && !(cfg->features & PF_FEAT_HAF))
		return fail("hardware that sets D sets A too");
	if (!cfg->cpus || cfg->cpus > MAX_CPUS)
		return fail("%u CPUs: there may be 1 to %u", cfg->cpus, MAX_CPUS);
	if (!cfg->memory || cfg->memory % 4096 || cfg->memory > MAX_MEMORY)
		return fail("memory of %llu bytes: frames are 4096, and there may be up to 4 TiB",
			(unsigned long long)cfg->memory);
	ram = reserve(cfg->memory);
	memmap = reserve(cfg->memory / 4096 * 32);
	if (!ram || !memmap)
		return fail("no room for %llu bytes of memory: %s", (unsigned long long)cfg->memory,
			strerror(errno));
	if (cfg->resident) {
		make_resident(ram, cfg->memory);
		make_resident(memmap, cfg->memory / 4096 * 32);
	}
	machine_memory = cfg->memory;
	machine_format = f;
	machine_features_on = cfg->features;
	memset(&machine_counters, 0, sizeof(machine_counters));
	machine_port = (struct machine_port){
		.ram_bias = ram - MACHINE_RAM_BASE,
		.memmap_bias = memmap - (MACHINE_RAM_BASE >> 12) * 32,
		.fail_at = cfg->fail_at,
		.no_data = cfg->no_data,
	};
	machine_port.rcu_tail = &machine_port.rcu_head;
	machine_set_mutant(name ? name : "");
	machine_forget_violation();
#if PF_JUDGE
	if (!mj_start(cfg, f))
		return fail("%s: %s", cfg->log ? cfg->log : "judge", strerror(errno));
#else
	machine_measure_start();
	if (cfg->log)
		return fail("the event log needs the judging build");
#endif
	return 0;
}

void machine_set_data(bool on)
{
	machine_port.no_data = !on;
}

void machine_stop(void)
{
#if PF_JUDGE
	mj_stop();
#endif
	if (ram)
		munmap(ram, machine_memory);
	if (memmap)
		munmap(memmap, machine_memory / 4096 * 32);
	ram = memmap = NULL;
	meta_bytes = 0;
	watch.issued = NULL;
}

/* ---- what the port's inline half calls ---- */

/* Weak: a tree of tables alone, or a test of the machine, may be linked without it. */
extern void pf_rcu_done(struct pf_rcu_head *head) __attribute__((weak));

void machine_rcu_run(struct pf_rcu_head *h)
{
	if (pf_rcu_done)
		pf_rcu_done(h);
}

/* Metadata is small memory: asking for it may sleep. */
static void meta_changes_hands(void)
{
#if PF_JUDGE
	mj_may_sleep("metadata");
#endif
}

void *machine_meta_alloc(size_t bytes)
{
	void *p = malloc(bytes);

	meta_changes_hands();

	if (p)
		meta_bytes += bytes;
	return p;
}

void machine_meta_free(void *p, size_t bytes)
{
	meta_changes_hands();
#if PF_JUDGE
	mj_locks_freed(p, bytes);
#endif
	if (p)
		meta_bytes -= bytes;
	free(p);
}

uint64_t machine_meta_bytes(void)
{
	return meta_bytes;
}

uint64_t machine_tlbi_pages(enum pf_tlbi op, uint64_t operand, uint64_t operand2, bool *range)
{
	struct tlbi_op o = tlbi_decode(machine_format, machine_features_on, op, operand, operand2);

	machine_tlbi_issued(&o);
	*range = o.range;
	return o.pages;
}

void machine_watch_tlbi(void (*issued)(void *ctx, const struct machine_tlbi *op), void *ctx)
{
	watch.issued = issued;
	watch.ctx = ctx;
}

void machine_tlbi_issued(const struct tlbi_op *o)
{
	struct machine_tlbi op = {.va = o->va,
		.pages = o->pages,
		.asid = o->asid,
		.all = o->all,
		.whole = o->whole,
		.leaf_only = o->leaf_only};

	if (watch.issued)
		watch.issued(watch.ctx, &op);
}

void machine_set_mutant(const char *name)
{
	snprintf(mutant, sizeof(mutant), "%s", name ? name : "");
}

#if PF_JUDGE
bool machine_mutant(const char *name)
{
	return mutant[0] && !strcmp(mutant, name);
}
#endif
