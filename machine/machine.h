/* SPDX-License-Identifier: MIT */
/*
 * The software machine: physical memory, CPUs, MMUs and TLBs as adversarial as the architecture
 * allows, and the judge that stops at the first broken rule (docs/RULES.md).
 *
 * Includes nothing of lib/ but lib/base and lib/port/port.h, and is written from the manuals.
 *
 * One machine at a time in a process (the port is compile-time, so its instance is a global here,
 * on the embedder's side of the line). Not thread-safe: CPUs are simulated, one host thread
 * drives; explore.h has threads that take turns.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "base/types.h"
#include "counters.h"

struct machine_config {
	const char *format; /* "arm64-4k", "fake-inv", ...: selects the decoder */
	uint64_t memory;    /* bytes of physical memory; frames start at MACHINE_RAM_BASE */
	unsigned cpus;
	uint32_t features; /* enum pf_feature */
	uint64_t seed;     /* of every adversarial choice; the same seed gives the same run */
	uint64_t fail_at;  /* k: the k-th library allocation fails, once; 0 = none */
	const char *log;   /* event log file (docs/LOG.md), or NULL */
	bool no_data;      /* data pages have no contents (replay): loads read 0, stores vanish */
	bool resident; /* the host maps memory and its metadata at once, by large pages where it can, as a
			    * kernel's own map is: for timing; children of this process do not get them */
	/* A walker may miss an entry that its own CPU has made valid and not published, and fault
	 * once more (arm64 allows it; another CPU's walker may always). Off where what software does
	 * must not depend on chance: counters of a scenario without threads. */
	bool late_walks;
};

#define MACHINE_RAM_BASE UINT64_C(0x80000000)

/* Fills cfg->features from names as @feature spells them; false if a name is unknown for the
 * format. */
bool machine_features(const char *format, const char *names, uint32_t *features);
/* NULL-terminated list of formats the machine can decode. */
const char *const *machine_formats(void);

/* 0, or -1 with a message from machine_error(). Replaces an earlier machine. */
int machine_start(const struct machine_config *cfg);
void machine_stop(void);
/* From here on data pages have contents, or have none. */
void machine_set_data(bool on);

/* The first broken rule since the start: its number ("I3", "D1", ...) or NULL; text with the
 * history of the entry. The machine goes on after a violation but records only the first. */
const char *machine_violation(void);
const char *machine_violation_text(void);
const char *machine_error(void);

/* ---- what a kernel does to a CPU ---- */
unsigned machine_cpu(void);
/* The thread now runs on that CPU (a migration completes the old CPU's invalidations, as a kernel's
 * context switch does). */
void machine_set_cpu(unsigned cpu);
/* Load the translation root of that CPU. root 0: no user translations. */
void machine_set_root(unsigned cpu, uint64_t root_pa, uint16_t asid);
/* The ASID will not be used again until it is given to another root; judge that nothing is cached.
 */
void machine_retire_asid(uint16_t asid);

/* ---- what programs do, through the MMU of the current CPU ---- */
enum machine_access { MACHINE_READ, MACHINE_WRITE, MACHINE_EXEC };
struct machine_fault {
	bool fault;
	bool present; /* permission (or A/D) fault on a valid leaf; else translation fault */
	uint64_t pa;  /* when no fault */
};
/* An aligned 8-byte load or store. Walks, may use any stale translation it may hold, sets A and D.
 */
struct machine_fault machine_load(uint64_t va, uint64_t *value);
struct machine_fault machine_store(uint64_t va, uint64_t value);
struct machine_fault machine_exec(uint64_t va);
/* Translate for read, and for write where the entry allows, so that A and D may be set; no data. */
void machine_touch(uint64_t va);
/* The software is about to act for a store of this CPU to va although none was executed (a
 * populate, a kernel write to user memory): counts as a store that reached the page for rule
 * D-invented. */
void machine_note_store(uint64_t va);

/* ---- what a model of TLBs is to forget ---- */
struct machine_tlbi {
	uint64_t va, pages; /* of 4K; not where it is of whole spaces */
	uint16_t asid;
	bool all;       /* every ASID */
	bool whole;     /* one ASID */
	bool leaf_only; /* table entries may be kept */
};
/* `issued` is called at each TLB operation that software issues; NULL: nobody is told. Until the machine stops. */
void machine_watch_tlbi(void (*issued)(void *ctx, const struct machine_tlbi *op), void *ctx);

/* ---- quiescent points ---- */
/* No table lock held, no flush pending for this ASID: every translation any CPU may hold agrees
 * with the tables; every block is uniform. Called after each system call, while no other thread is
 * inside one on that ASID. */
void machine_check_quiescent(uint16_t asid);
/* All processes gone: all frames returned, nothing cached. Returns bytes still allocated. */
uint64_t machine_check_end(void);

/* ---- for schedulers and tests ---- */
/* Another CPU's thread runs now: no context switch happens, nothing is completed or published. */
void machine_run_on(unsigned cpu);
/* `point` is called at every hooked event before it takes effect, to let other threads run (it
 * comes back on the CPU it was called on), and again and again with `blocked` set while the lock
 * that this CPU wants is held by another. NULL: a lock that is held is a deadlock (rule L2). */
void machine_set_schedule(void (*point)(void *ctx, bool blocked), void *ctx);
/* A store in two steps: translated now; D set and data written by machine_store_end(), or earlier when an
 * invalidation of its translation completes. Both on the same CPU; one at a time for each. */
struct machine_fault machine_store_begin(uint64_t va, uint64_t value);
struct machine_fault machine_store_end(void);
/* No walks that nobody asked for (default: on). Accesses choose among stale translations all the same. */
void machine_adversary(bool on);
/*
 * A check reads entries, with the library's own walks: from machine_look(true) to machine_look(false) loads of entries are a spectator's. They read memory as
 * it is, are no steps and not counted, count as nobody's having seen A or D, and give the hardware no occasion to walk. Locks are taken
 * and judged as ever, and stores are stores. Without effect in an exploration, where what is looked at while others run is a step.
 */
void machine_look(bool on);
/*
 * The entry of va in the tables under root, as who has its table's lock would read it: A and D of the whole block. Nothing is changed by the
 * look, nor walked. False: somebody has that lock.
 */
struct machine_entry {
	bool none, present, protnone, read, write, exec, young, dirty, folded;
	uint64_t pa; /* of what it maps */
};
bool machine_peek(uint64_t root, uint64_t va, struct machine_entry *e);
/* Forget the violation recorded, to look for the next. */
void machine_forget_violation(void);
/* Names of the rules, in the order of docs/RULES.md; NULL-terminated. */
const char *const *machine_rules(void);
/* RCU callbacks whose readers are gone, now. */
void machine_rcu_drain(void);

/* Mutants (judge only). */
void machine_set_mutant(const char *name);

#endif
