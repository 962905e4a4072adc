/* SPDX-License-Identifier: MIT */
/*
 * TLBs, one a CPU, and shootdown with delayed completion.
 *
 * An invalidation that is issued goes onto a list of each CPU's, itself included, and takes effect when that CPU pleases: before any of its
 * accesses, or never, if it runs no program. COMPLETE makes it please. Nobody who waits for a CPU waits for more than the one access
 * that it is in the middle of, and nobody is asked to answer: a CPU that is in the library, sleeps, or has been taken off its processor
 * between two accesses, is not waited for.
 *
 * Who writes what, in which order; C is a CPU, all is C's.
 *
 *   who invalidates                          C, at each access
 *   1 changes the tables                     1 busy++, now odd
 *   2 under C's lock: pending, pushed++      2 reads pushed and demanded. If applied < demanded, or by chance: under its lock
 *   COMPLETE:                                  carries out all that is pending; applied = pushed, release
 *   3 raises demanded to what pushed is now  3 translates, by what the TLB has or by a walk; does the load or store
 *   4 reads busy (by adding 0)               4 busy++, now even
 *   5 busy was even: done. Else waits until it is
 *     another, or applied is at least what it demanded
 *
 * busy changes by read-modify-writes only, acquire and release, so each synchronizes with all before it in its order. Of 4 and C's
 * next 1 after it, whatever 4 finds: C's 2 then sees demanded and pushed as raised, and the TLB's old translations go before 3 uses any. A walk in
 * 3 sees the tables as of 1, for the lock of 2, or busy, came after it. That leaves the access that C is in when 4 reads an odd number.
 * Either its 2 came after the raising by luck, carried everything out, and says so in `applied`; it uses nothing old. Or it is
 * waited for: its 4 makes busy another number, and synchronizes with the load that sees it, so what it stored to the
 * page by the old translation, and what its walker set in the tables, happened before the waiting ends.
 *
 * So after COMPLETE no CPU uses what was invalidated, and no access begun with it is unfinished: DSB ISH's promise (Arm ARM D8.14). Between issue
 * and completion a CPU may use the old or the new, also one after the other in different CPUs' order, as hardware may.
 *
 * Waiting ends: an access takes no lock but C's own list's, for the length of a copy.
 */
#include <sched.h>
#include <string.h>

#include "state.h"

uint32_t smp_random_of(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

uint32_t smp_random(struct smp_cpu *cpu)
{
	return smp_random_of(&cpu->random);
}

/* What one translation may cover: a leaf of each level, and a block of each. */
uint8_t smp_size_shift(unsigned size)
{
	unsigned level = size / 2;

	return (uint8_t)(mmu_level_shift(smp_format, level) +
			 (size & 1 ? smp_format->cont_shift[level] : 0));
}

static bool meets(const struct tlbi_op *o, uint64_t tag, unsigned shift)
{
	uint64_t first = tag << shift, last = first + (UINT64_C(1) << shift) - 1;

	return first <= o->last && last >= o->va;
}

static bool drops(const struct tlbi_op *o, const struct smp_translation *t)
{
	if (o->all)
		return true;
	if (o->whole)
		return !t->global && t->asid == o->asid;
	return (t->global || t->asid == o->asid) && (o->hint < 0 || o->hint == t->level) &&
	       meets(o, t->tag, t->shift);
}

void smp_flush_all(struct smp_cpu *cpu)
{
	memset(cpu->tlb, 0, sizeof(cpu->tlb));
	memset(cpu->walk, 0, sizeof(cpu->walk));
	cpu->sizes = 0;
}

/* On its own CPU. */
static void carry_out(struct smp_cpu *cpu, const struct tlbi_op *o)
{
	struct smp_translation *t = cpu->tlb[0];
	const unsigned table = mmu_level_shift(smp_format, 1);

	for (unsigned i = 0; i < SMP_SETS * SMP_WAYS; i++)
		if (t[i].valid && drops(o, &t[i])) {
			t[i].valid = false;
			cpu->counts.dropped++;
		}
	if (o->leaf_only)
		return;
	for (unsigned i = 0; i < SMP_WALKS; i++) {
		struct smp_walk_cache *w = &cpu->walk[i];

		if (w->valid && (o->all || w->asid == o->asid) &&
			(o->all || o->whole || meets(o, w->tag, table)))
			w->valid = false;
	}
}

static void lock(struct smp_cpu *cpu)
{
	while (__atomic_exchange_n(&cpu->lock.word, 1, __ATOMIC_ACQUIRE))
		smp_spin_wait(&cpu->lock);
}

static void unlock(struct smp_cpu *cpu)
{
	pf_store_release(&cpu->lock.word, 0);
}

static void drain(struct smp_cpu *cpu)
{
	uint64_t pushed;

	lock(cpu);
	pushed = pf_load_relaxed(&cpu->pushed);
	if (cpu->overflow || pushed - cpu->applied > SMP_PENDING)
		smp_flush_all(cpu);
	else
		for (uint64_t i = cpu->applied; i < pushed; i++)
			carry_out(cpu, &cpu->pending[i % SMP_PENDING]);
	cpu->overflow = false;
	pf_store_release(&cpu->applied, pushed);
	unlock(cpu);
}

void smp_access_begin(struct smp_cpu *cpu)
{
	__atomic_fetch_add(&cpu->busy, 1, __ATOMIC_ACQ_REL);
	if (pf_load_relaxed(&cpu->pushed) != cpu->applied &&
		(cpu->applied < pf_load_relaxed(&cpu->demanded) || !(smp_random(cpu) & 3)))
		drain(cpu);
}

void smp_access_end(struct smp_cpu *cpu)
{
	__atomic_fetch_add(&cpu->busy, 1, __ATOMIC_ACQ_REL);
}

static void push(struct smp_cpu *cpu, const struct tlbi_op *o)
{
	uint64_t pushed;

	lock(cpu);
	pushed = pf_load_relaxed(&cpu->pushed);
	if (pushed - pf_load_relaxed(&cpu->applied) >= SMP_PENDING)
		cpu->overflow = true;
	else
		cpu->pending[pushed % SMP_PENDING] = *o;
	pf_store_release(&cpu->pushed, pushed + 1);
	unlock(cpu);
}

/*
 * A CPU that comes while others invalidate has an empty TLB: what it misses it could not have had. Its slot is published with a
 * release, and is never taken away.
 */
void smp_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2)
{
	struct tlbi_op o = tlbi_decode(smp_format, smp_features, op, operand, operand2);
	const uint32_t nr = pf_load_acquire(&smp_nr_cpus);

	if (o.bad)
		__builtin_trap();
	smp_dawdle();
	if (o.local) {
		if (smp_self.cpu)
			carry_out(smp_self.cpu, &o);
		return;
	}
	if (smp_self.cpu)
		smp_self.cpu->counts.tlbi++;
	for (uint32_t i = 0; i < nr; i++)
		push(smp_cpus[i], &o);
}

/* Its invalidations have reached every list before, in this thread's order. */
void smp_complete(void)
{
	const uint32_t nr = pf_load_acquire(&smp_nr_cpus);

	smp_dawdle();
	for (uint32_t i = 0; i < nr; i++) {
		struct smp_cpu *cpu = smp_cpus[i];
		const uint64_t mine = pf_load_relaxed(&cpu->pushed);
		uint64_t demanded = pf_load_relaxed(&cpu->demanded), busy;

		while (demanded < mine && !pf_cas_relaxed(&cpu->demanded, &demanded, mine))
			;
		busy = __atomic_fetch_add(&cpu->busy, 0, __ATOMIC_ACQ_REL);
		if (!(busy & 1) || pf_load_acquire(&cpu->applied) >= mine)
			continue;
		if (smp_self.cpu)
			smp_self.cpu->counts.waits++;
		for (unsigned n = 0; pf_load_acquire(&cpu->busy) == busy &&
				     pf_load_acquire(&cpu->applied) < mine;
			n++)
			if (n > 100)
				sched_yield();
	}
}
