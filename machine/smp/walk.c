/* SPDX-License-Identifier: MIT */
/*
 * The MMU of a CPU that is a thread: translations are looked for in its TLB, walked for in the tables, kept; loads and stores
 * are done. All between smp_access_begin() and smp_access_end().
 *
 * The walker reads entries with acquire loads, so it sees a table as it was before it was linked, and a page as it was before it was
 * mapped where that was a release. It sets A and D by compare-and-exchange of the whole entry, so that it never writes into one that
 * has become another. A block is taken whole, from whichever entry of it was met, or by chance only that page of it. Memory itself is
 * read and written with relaxed atomics: programs race as they please, and what they must not see is for them to say.
 */
#include "state.h"

static struct smp_translation *set_of(struct smp_cpu *cpu, uint64_t tag)
{
	return cpu->tlb[(tag ^ tag >> 5) % SMP_SETS];
}

static struct smp_translation *find(struct smp_cpu *cpu, uint64_t va)
{
	for (unsigned sizes = cpu->sizes; sizes; sizes &= sizes - 1) {
		const unsigned shift = smp_size_shift((unsigned)__builtin_ctz(sizes));
		struct smp_translation *t = set_of(cpu, va >> shift);

		for (unsigned i = 0; i < SMP_WAYS; i++)
			if (t[i].valid && t[i].shift == shift && t[i].tag == va >> shift &&
				(t[i].global || t[i].asid == cpu->asid))
				return &t[i];
	}
	return NULL;
}

static struct smp_translation *keep(
	struct smp_cpu *cpu, uint64_t va, const struct mmu_entry *e, bool whole)
{
	const unsigned size = e->level * 2u + whole, shift = smp_size_shift(size);
	const uint64_t page = UINT64_C(1) << mmu_level_shift(smp_format, e->level);
	struct smp_translation *set = set_of(cpu, va >> shift), *t = NULL;

	for (unsigned i = 0; i < SMP_WAYS; i++)
		if (!set[i].valid || (set[i].shift == shift && set[i].tag == va >> shift &&
					     (set[i].global || set[i].asid == cpu->asid)))
			t = &set[i];
	if (!t)
		t = &set[smp_random(cpu) % SMP_WAYS];
	*t = (struct smp_translation){
		.tag = va >> shift,
		.pa = e->pa - (va & ((UINT64_C(1) << shift) - 1) & ~(page - 1)),
		.asid = cpu->asid,
		.shift = (uint8_t)shift,
		.level = e->level,
		.valid = true,
		.global = e->global,
		.r = e->user && e->r,
		.w = e->user && e->w,
		.dbm = e->user && e->dbm,
		.x = e->x,
	};
	cpu->sizes |= (uint16_t)(1u << size);
	return t;
}

static struct smp_walk_cache *walk_cache(struct smp_cpu *cpu, uint64_t va)
{
	return &cpu->walk[(va >> mmu_level_shift(smp_format, 1)) % SMP_WALKS];
}

/* The leaf's word, and *e what it says; NULL: there is none. */
static uint64_t *walk(struct smp_cpu *cpu, uint64_t va, uint64_t *raw, struct mmu_entry *e)
{
	const struct mmu_format *f = smp_format;
	struct smp_walk_cache *c = walk_cache(cpu, va);
	const uint64_t tag = va >> mmu_level_shift(f, 1);
	unsigned level = f->levels - 1;
	uint64_t pa = cpu->root;

	if (!pa || va >> f->va_bits)
		return NULL;
	if (c->valid && c->tag == tag && c->asid == cpu->asid) {
		pa = c->pa;
		level = 0;
	}
	for (;; level--) {
		unsigned idx = mmu_index(f, va, level);
		uint64_t *word = (uint64_t *)pf_port_virt(pa) + idx;

		*raw = pf_load_acquire(word);
		f->decode(*raw, level, idx, smp_features, e);
		if (e->leaf)
			return word;
		if (!e->table || !level)
			return NULL;
		if (e->pa - SMP_RAM_BASE >= smp_memory)
			__builtin_trap(); /* a table is nowhere */
		pa = e->pa;
		if (level == 1)
			*c = (struct smp_walk_cache){
				.tag = tag, .pa = pa, .asid = cpu->asid, .valid = true};
	}
}

/* NULL, and *fault why. */
static struct smp_translation *translate(
	struct smp_cpu *cpu, uint64_t va, bool write, struct smp_fault *fault)
{
	const struct mmu_format *f = smp_format;
	struct smp_translation *t = find(cpu, va);
	struct mmu_entry e;
	uint64_t raw, *word;

	*fault = (struct smp_fault){.fault = true, .present = true};
	if (t && (write ? t->w : t->r))
		return t;
	/* Rights are as of when they were kept, but that a store may have D to set. */
	if (t && !(write && t->dbm))
		return NULL;
	if (t)
		t->valid = false;
	cpu->counts.misses++;
	word = walk(cpu, va, &raw, &e);
	for (;;) {
		uint64_t next = raw;

		if (!word || !e.leaf) {
			fault->present = false;
			return NULL;
		}
		if (!e.user || !(write ? e.w || e.dbm : e.r) ||
			(!e.accessed && !(smp_features & PF_FEAT_HAF)))
			return NULL;
		if (!e.accessed)
			next = f->set_a(next);
		if (write && !e.w)
			next = f->set_d(next);
		if (next == raw)
			break;
		cpu->counts.set_ad++;
		if (__atomic_compare_exchange_n(
			    word, &raw, next, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			raw = next;
		f->decode(raw, e.level, mmu_index(f, va, e.level), smp_features, &e);
	}
	return keep(cpu, va, &e, e.cont && (smp_random(cpu) & 3));
}

static struct smp_fault access(uint64_t va, bool write, uint64_t *value)
{
	struct smp_cpu *cpu = smp_self.cpu;
	const struct smp_translation *t;
	struct smp_fault fault;

	smp_access_begin(cpu);
	cpu->counts.accesses++;
	t = translate(cpu, va, write, &fault);
	/* What is invalidated meanwhile must wait for the access. */
	if (t)
		smp_dawdle();
	if (t) {
		uint64_t pa = t->pa + (va & ((UINT64_C(1) << t->shift) - 1));

		if (pa - SMP_RAM_BASE >= smp_memory)
			__builtin_trap(); /* mapped to nowhere */
		if (write)
			pf_store_relaxed((uint64_t *)pf_port_virt(pa), *value);
		else
			*value = pf_load_relaxed((uint64_t *)pf_port_virt(pa));
		fault = (struct smp_fault){.present = true};
	} else {
		cpu->counts.faults++;
	}
	smp_access_end(cpu);
	return fault;
}

struct smp_fault smp_load(uint64_t va, uint64_t *value)
{
	return access(va, false, value);
}

struct smp_fault smp_store(uint64_t va, uint64_t value)
{
	return access(va, true, &value);
}

void smp_set_root(uint64_t root_pa, uint16_t asid)
{
	smp_self.cpu->root = root_pa;
	smp_self.cpu->asid = asid;
}
