/* SPDX-License-Identifier: MIT */
/*
 * The unit tests' port with one record of everything in the order it happened: accesses to entries (judging builds),
 * TLB operations, barriers, table locks, memory given back. Before each of them a test may act as hardware would,
 * after each it may judge. tests/port does the work.
 */
#ifndef PT_TEST_PORT_IMPL_H
#define PT_TEST_PORT_IMPL_H

#define pf_port_tlbi          base_port_tlbi
#define pf_port_barrier       base_port_barrier
#define pf_port_spin_trylock  base_port_spin_trylock
#define pf_port_spin_lock     base_port_spin_lock
#define pf_port_spin_unlock   base_port_spin_unlock
#define pf_port_note_free     base_port_note_free
#define pf_port_entry_load    base_port_entry_load
#define pf_port_entry_store   base_port_entry_store
#define pf_port_entry_xchg    base_port_entry_xchg
#define pf_port_entry_cas     base_port_entry_cas
#define pf_port_entry_load32  base_port_entry_load32
#define pf_port_entry_store32 base_port_entry_store32
#define pf_port_entry_xchg32  base_port_entry_xchg32
#define pf_port_entry_cas32   base_port_entry_cas32
#include "../../port/pf_port_impl.h"
#undef pf_port_tlbi
#undef pf_port_barrier
#undef pf_port_spin_trylock
#undef pf_port_spin_lock
#undef pf_port_spin_unlock
#undef pf_port_note_free
#undef pf_port_entry_load
#undef pf_port_entry_store
#undef pf_port_entry_xchg
#undef pf_port_entry_cas
#undef pf_port_entry_load32
#undef pf_port_entry_store32
#undef pf_port_entry_xchg32
#undef pf_port_entry_cas32

enum rec_kind {
	REC_LOAD,
	REC_STORE,
	REC_XCHG,
	REC_CAS,
	REC_TLBI,
	REC_BARRIER,
	REC_LOCK,
	REC_UNLOCK,
	REC_FREE, /* memory given back: p is its physical address, val its bytes */
};

struct rec {
	enum rec_kind kind;
	uintptr_t p; /* of an entry's word; the id of a lock */
	unsigned bytes;
	bool release, done; /* done: a compare-and-exchange that took place */
	uint64_t val;       /* read by a load; written by the others */
	enum pf_tlbi op;
	uint64_t operand, operand2;
	enum pf_barrier barrier;
	enum pf_mem_use use;
};

#define REC_MAX (1u << 19)

struct recorder {
	bool on; /* else nothing is recorded and neither function is called */
	bool busy;
	size_t nr, loads;
	struct rec rec[REC_MAX]; /* all but loads */
	void (*before)(enum rec_kind kind, const void *entry);
	void (*after)(const struct rec *r);
};
extern struct recorder recorder;

static inline void recorder_reset(void)
{
	recorder.nr = recorder.loads = 0;
}

static inline void rec_before(enum rec_kind kind, const void *entry)
{
	if (!recorder.on || !recorder.before || recorder.busy)
		return;
	recorder.busy = true;
	recorder.before(kind, entry);
	recorder.busy = false;
}

static inline void rec_after(struct rec r)
{
	if (!recorder.on || recorder.busy)
		return;
	if (r.kind == REC_LOAD) {
		recorder.loads++;
	} else {
		if (recorder.nr == REC_MAX)
			test_port_die("more was recorded than there is room for");
		recorder.rec[recorder.nr++] = r;
	}
	if (recorder.after) {
		recorder.busy = true;
		recorder.after(&r);
		recorder.busy = false;
	}
}

static inline void pf_port_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2)
{
	rec_before(REC_TLBI, NULL);
	rec_after(
		(struct rec){.kind = REC_TLBI, .op = op, .operand = operand, .operand2 = operand2});
}

static inline void pf_port_barrier(enum pf_barrier b)
{
	rec_before(REC_BARRIER, NULL);
	rec_after((struct rec){.kind = REC_BARRIER, .barrier = b});
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline bool pf_port_spin_trylock(struct pf_spinlock *l, enum pf_lock_class class, pf_pa_t id)
{
	bool ok = base_port_spin_trylock(l, class, id);

	if (ok)
		rec_after((struct rec){.kind = REC_LOCK, .p = (uintptr_t)id});
	return ok;
}

static inline void pf_port_spin_lock(struct pf_spinlock *l, enum pf_lock_class class, pf_pa_t id)
{
	base_port_spin_lock(l, class, id);
	rec_after((struct rec){.kind = REC_LOCK, .p = (uintptr_t)id});
}

static inline void pf_port_spin_unlock(struct pf_spinlock *l, enum pf_lock_class class, pf_pa_t id)
{
	base_port_spin_unlock(l, class, id);
	rec_after((struct rec){.kind = REC_UNLOCK, .p = (uintptr_t)id});
}

static inline void pf_port_note_free(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	base_port_note_free(use, pa, bytes);
	rec_after((struct rec){.kind = REC_FREE, .p = (uintptr_t)pa, .val = bytes, .use = use});
}

#if PF_JUDGE
#define REC_ENTRY_HOOKS(type, suffix)                                                              \
	static inline type pf_port_entry_load##suffix(const type *p)                               \
	{                                                                                          \
		type v;                                                                            \
                                                                                                   \
		rec_before(REC_LOAD, p);                                                           \
		v = base_port_entry_load##suffix(p);                                               \
		rec_after((struct rec){REC_LOAD, (uintptr_t)p, sizeof(type), .val = v});           \
		return v;                                                                          \
	}                                                                                          \
	static inline void pf_port_entry_store##suffix(type *p, type v, bool release)              \
	{                                                                                          \
		rec_before(REC_STORE, p);                                                          \
		base_port_entry_store##suffix(p, v, release);                                      \
		rec_after((struct rec){                                                            \
			REC_STORE, (uintptr_t)p, sizeof(type), .release = release, .val = v});     \
	}                                                                                          \
	static inline type pf_port_entry_xchg##suffix(type *p, type v)                             \
	{                                                                                          \
		type old;                                                                          \
                                                                                                   \
		rec_before(REC_XCHG, p);                                                           \
		old = base_port_entry_xchg##suffix(p, v);                                          \
		rec_after((struct rec){REC_XCHG, (uintptr_t)p, sizeof(type), .val = v});           \
		return old;                                                                        \
	}                                                                                          \
	static inline bool pf_port_entry_cas##suffix(type *p, type *old, type v)                   \
	{                                                                                          \
		bool done;                                                                         \
                                                                                                   \
		rec_before(REC_CAS, p);                                                            \
		done = base_port_entry_cas##suffix(p, old, v);                                     \
		rec_after((struct rec){                                                            \
			REC_CAS, (uintptr_t)p, sizeof(type), .done = done, .val = v});             \
		return done;                                                                       \
	}

REC_ENTRY_HOOKS(uint64_t, )
REC_ENTRY_HOOKS(uint32_t, 32)
#endif

#endif
