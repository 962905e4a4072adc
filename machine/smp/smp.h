/* SPDX-License-Identifier: MIT */
/*
 * A machine whose CPUs are real threads: what an embedder of the library needs of it, and the programs that run on it. Each thread
 * that enters is a CPU, with an MMU and a TLB of its own, until it leaves.
 *
 * Includes nothing of lib/ but lib/base and lib/port/port.h, as machine/ does: what walks the tables here shares nothing with
 * what writes them.
 */
#ifndef MACHINE_SMP_SMP_H
#define MACHINE_SMP_SMP_H

#include "base/types.h"

#define SMP_RAM_BASE UINT64_C(0x80000000)
#define SMP_MAX_CPUS 64u

struct smp_config {
	const char *format;   /* "arm64-4k", ...: selects the decoder */
	uint64_t memory;      /* bytes; frames start at SMP_RAM_BASE */
	uint32_t features;    /* enum pf_feature */
	uint32_t fail_one_in; /* of allocations by CPUs one in so many fails; 0: none */
	/*
	 * One in so many takes long: accesses, between translation and memory; invalidations, before they are issued and
	 * waited for; and, where their order is checked, threads that have just got a lock or are about to give it up.
	 * 0: none.
	 */
	uint32_t slow_one_in;
	bool check_order; /* of locks (docs/LOCKING.md): the first inversion ends the program, and is told */
	bool resident; /* the host maps memory at once: for timing */
};

/* All features that the format's newest hardware has; 0: there is no such format. */
uint32_t smp_newest(const char *format);

/* One thread, no other in the library. 0, or -1: no such format or features, or no memory. */
int smp_start(const struct smp_config *cfg);
/* All others have left. */
void smp_stop(void);

/*
 * The calling thread may be in the library from here on, until it leaves; as a CPU, if it is to run programs. False: there
 * are SMP_MAX_CPUS already.
 */
bool smp_enter(bool cpu);
void smp_leave(void);

/* The calling thread's CPU translates by this root from here on; 0: nothing. */
void smp_set_root(uint64_t root_pa, uint16_t asid);

struct smp_fault {
	bool fault;
	bool present; /* the entry does not allow it, or has no A; else there is none */
};
/* An aligned load or store of 8 bytes by the program that runs on the calling CPU. */
struct smp_fault smp_load(uint64_t va, uint64_t *value);
struct smp_fault smp_store(uint64_t va, uint64_t value);

/* What has been unlinked before is freed. No thread may be in an RCU section of the library's that waits for the caller. */
void smp_rcu_barrier(void);

/* Bytes of metadata that are allocated. */
uint64_t smp_meta_bytes(void);
/* Like memcpy and memset, by words, beside programs that use the memory: a device's. */
void smp_copy(void *dst, const void *src, size_t bytes);
void smp_clear(void *p, size_t bytes);

/* Of all CPUs since the start. */
struct smp_counts {
	uint64_t accesses, misses, faults;
	uint64_t set_ad;  /* entries that walkers changed */
	uint64_t tlbi;    /* invalidations issued, other than of one CPU by itself */
	uint64_t waits;   /* completions that found a CPU in the middle of an access, and waited */
	uint64_t dropped; /* translations */
};
void smp_counts(struct smp_counts *sum);

/*
 * The order of locks: who is told of the first wrong step, with both stacks of classes; by default it is printed, and the
 * program ends.
 */
void smp_on_disorder(void (*report)(const char *text));

#endif
