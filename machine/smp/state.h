/* SPDX-License-Identifier: MIT */
/*
 * What machine/smp has between its files.
 */
#ifndef MACHINE_SMP_STATE_H
#define MACHINE_SMP_STATE_H

#include "base/atomic.h"
#include "machine/mmu.h"
#include "machine/tlbi.h"
#include "port/port.h"
#include "smp.h"

/* A translation that a CPU has. */
struct smp_translation {
	uint64_t tag; /* va >> shift */
	uint64_t pa;  /* of its first byte */
	uint16_t asid;
	uint8_t shift; /* log2 of the bytes it translates: a page, a leaf, or a whole block */
	uint8_t level; /* of the entry that it came from */
	bool valid, global, r, w, dbm, x;
};

/* A table of the last level, found before. */
struct smp_walk_cache {
	uint64_t tag; /* va >> what the table translates */
	uint64_t pa;
	uint16_t asid;
	bool valid;
};

#define SMP_SETS    32u
#define SMP_WAYS    4u
#define SMP_WALKS   16u
#define SMP_PENDING 128u
#define SMP_SIZES   (2 * MMU_MAX_LEVELS)

struct smp_cpu {
	/* Written by others, too: tlb.c has the protocol. */
	uint64_t busy;    /* odd: in the middle of an access */
	uint64_t pushed;  /* invalidations given to it; under `lock` */
	uint64_t applied; /* of them, carried out; its own to write */
	uint64_t
		demanded; /* of them, those that must be carried out before the next access begins */
	struct pf_spinlock lock;
	bool overflow; /* under `lock`: more than SMP_PENDING: everything goes */
	struct tlbi_op pending[SMP_PENDING];
	/* Its own, from here on. */
	char gap[64] __attribute__((aligned(64)));
	uint64_t root, random;
	uint16_t asid;
	uint16_t sizes; /* bit i: some translation may have size i */
	struct smp_translation tlb[SMP_SETS][SMP_WAYS];
	struct smp_walk_cache walk[SMP_WALKS];
	struct smp_counts counts;
};

extern const struct mmu_format *smp_format;
extern uint32_t smp_features;
extern uint64_t smp_memory;
/* Slots of CPUs, the first smp_nr_cpus of which have been used. NULL: nobody is there. */
extern struct smp_cpu *smp_cpus[SMP_MAX_CPUS];
extern uint32_t smp_nr_cpus;

/* tlb.c: an access begins and ends; in between the CPU has done all it was told to. */
void smp_access_begin(struct smp_cpu *cpu);
void smp_access_end(struct smp_cpu *cpu);
void smp_flush_all(struct smp_cpu *cpu);
uint32_t smp_random(struct smp_cpu *cpu);
uint32_t smp_random_of(uint64_t *state);
uint8_t smp_size_shift(unsigned size);

/* rcu.c */
int smp_rcu_start(void);
void smp_rcu_stop(void);
void smp_rcu_register(void);
void smp_rcu_unregister(void);
/* Threads that are in the library; changes under this lock. */
void smp_threads_lock(void);
void smp_threads_unlock(void);
extern struct smp_thread *smp_threads;

/* instance.c: by chance (slow_one_in) takes a while, as a thread may that is interrupted. */
void smp_dawdle(void);

/* order.c */
void smp_order_leave(void);
void smp_order_forget(void);

#endif
