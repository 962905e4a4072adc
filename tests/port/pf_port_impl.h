/* SPDX-License-Identifier: MIT */
/*
 * The port of the unit tests: physical memory is one array, TLB operations and barriers are written
 * down instead of executed, and everything a test may want to see or to make fail is in
 * `test_port`. It judges nothing; the software machine does that.
 *
 * Locks, readers and entry hooks are real atomics, so tests may use host threads. RCU callbacks are
 * for one thread only: one runs at once, or when the outermost reader leaves.
 */
#ifndef PF_PORT_IMPL_H
#define PF_PORT_IMPL_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST_PORT_BASE   UINT64_C(0x80000000) /* first physical address */
#define TEST_PORT_EVENTS 4096u

enum test_event_kind { TEST_EVENT_TLBI, TEST_EVENT_BARRIER };

struct test_event {
	enum test_event_kind kind;
	enum pf_tlbi op;
	uint64_t operand, operand2;
	enum pf_barrier barrier;
};

struct test_port {
	char *memory; /* aligned to 2M, as the physical address is */
	char *memmap; /* 32 bytes a frame */
	size_t bytes;
	unsigned page_shift; /* of a frame */
	/* what was issued, in order; `lost` counts what did not fit, which a test must check to be
	 * 0 */
	struct test_event event[TEST_PORT_EVENTS];
	unsigned events, lost;
	uint64_t entry_hooks; /* calls of pf_port_entry_* (judging builds) */
	uint64_t scramble; /* entries lie in memory XORed with it, so an access past the hooks shows
			    */
	uint64_t fail_at;  /* fail the k-th allocation from now, once; 0 = none */
	uint64_t allocs;   /* allocations asked for */
	int64_t live[4];   /* bytes noted allocated and not freed, by enum pf_mem_use */
	int64_t meta_live; /* bytes of pf_port_meta_alloc in use */
	unsigned locks_held;
	unsigned rcu_depth;
	struct pf_rcu_head *rcu_queue;
	void (*rcu_wait)(
		void); /* RCU's other form: who frees waits for readers, by calling this; NULL: they are queued */
	struct pf_lazy_mmu *lazy; /* of whoever runs */
	unsigned cpu;             /* that everybody runs on */
	void (*step)(void);       /* with PF_JUDGE: before each atomic access; NULL: nothing */
	void (*relax)(void);      /* what the library waits for; NULL: another thread */
};

extern struct test_port test_port;

/*
 * Fresh, zeroed memory of `bytes`, which costs the host only what is touched, in frames of
 * 1 << page_shift bytes; everything else of test_port is cleared too.
 */
void test_port_start(size_t bytes, unsigned page_shift);
void test_port_stop(void);

static inline void test_port_die(const char *what)
{
	fprintf(stderr, "test port: %s\n", what);
	abort();
}

static inline void *pf_port_virt(pf_pa_t pa)
{
	if (pa - TEST_PORT_BASE >= test_port.bytes)
		test_port_die("physical address outside memory");
	return test_port.memory + (pa - TEST_PORT_BASE);
}

static inline pf_pa_t pf_port_phys(const void *p)
{
	size_t off = (size_t)((const char *)p - test_port.memory);

	if (off >= test_port.bytes)
		test_port_die("address was not given by pf_port_virt");
	return TEST_PORT_BASE + off;
}

static inline void *pf_port_memmap(pf_pa_t pa)
{
	if (pa - TEST_PORT_BASE >= test_port.bytes)
		test_port_die("memmap outside memory");
	return test_port.memmap + ((pa - TEST_PORT_BASE) >> test_port.page_shift << 5);
}

static inline pf_pa_t pf_port_memmap_pa(const void *meta)
{
	size_t off = (size_t)((const char *)meta - test_port.memmap);

	if (off >= test_port.bytes >> test_port.page_shift << 5)
		test_port_die("metadata was not given by pf_port_memmap");
	return TEST_PORT_BASE + (off >> 5 << test_port.page_shift);
}

static inline bool pf_port_fail_alloc(enum pf_mem_use use)
{
	(void)use;
	__atomic_add_fetch(&test_port.allocs, 1, __ATOMIC_RELAXED);
	return test_port.fail_at && !__atomic_sub_fetch(&test_port.fail_at, 1, __ATOMIC_RELAXED);
}

static inline void *pf_port_meta_alloc(size_t bytes)
{
	void *p;

	if (test_port.locks_held)
		test_port_die("meta_alloc under a spinlock");
	if (pf_port_fail_alloc(PF_USE_META))
		return NULL;
	p = malloc(bytes);
	if (p)
		test_port.meta_live += (int64_t)bytes;
	return p;
}

static inline void pf_port_meta_free(void *p, size_t bytes)
{
	if (p)
		test_port.meta_live -= (int64_t)bytes;
	free(p);
}

static inline void pf_port_clear_pages(pf_pa_t pa, size_t bytes)
{
	memset(pf_port_virt(pa), 0, bytes);
}

static inline void pf_port_copy_pages(pf_pa_t dst, pf_pa_t src, size_t bytes)
{
	memcpy(pf_port_virt(dst), pf_port_virt(src), bytes);
}

static inline void test_port_event(struct test_event e)
{
	if (test_port.events < TEST_PORT_EVENTS)
		test_port.event[test_port.events++] = e;
	else
		test_port.lost++;
}

static inline void pf_port_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2)
{
	test_port_event((struct test_event){
		.kind = TEST_EVENT_TLBI, .op = op, .operand = operand, .operand2 = operand2});
}

static inline void pf_port_barrier(enum pf_barrier b)
{
	test_port_event((struct test_event){.kind = TEST_EVENT_BARRIER, .barrier = b});
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Runs what is due: nobody of this thread reads without locks, or holds one. */
static inline void test_port_rcu_run(void)
{
	while (test_port.rcu_queue && !test_port.rcu_depth && !test_port.locks_held) {
		struct pf_rcu_head *h = test_port.rcu_queue;

		test_port.rcu_queue = h->next;
		pf_rcu_done(h);
	}
}

static inline void pf_port_spin_init(struct pf_spinlock *l, enum pf_lock_class class, pf_pa_t id)
{
	(void)class;
	(void)id;
	__atomic_store_n(&l->word, 0, __ATOMIC_RELAXED);
}

static inline bool pf_port_spin_trylock(struct pf_spinlock *l, enum pf_lock_class class, pf_pa_t id)
{
	(void)class;
	(void)id;
	if (__atomic_exchange_n(&l->word, 1, __ATOMIC_ACQUIRE))
		return false;
	__atomic_add_fetch(&test_port.locks_held, 1, __ATOMIC_RELAXED);
	return true;
}

static inline void pf_port_spin_lock(struct pf_spinlock *l, enum pf_lock_class class, pf_pa_t id)
{
	uint64_t spins = 0;

	while (!pf_port_spin_trylock(l, class, id))
		if (++spins == UINT64_C(1) << 31)
			test_port_die("spinlock: deadlock");
}

static inline void pf_port_spin_unlock(struct pf_spinlock *l, enum pf_lock_class class, pf_pa_t id)
{
	(void)class;
	(void)id;
	if (!__atomic_load_n(&l->word, __ATOMIC_RELAXED))
		test_port_die("spinlock: unlocked, but not held");
	__atomic_sub_fetch(&test_port.locks_held, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&l->word, 0, __ATOMIC_RELEASE);
}

/* word[0]: readers, or UINT32_MAX for a writer. */
static inline void pf_port_rw_init(struct pf_rwlock *l, enum pf_lock_class class)
{
	(void)class;
	l->word[0] = l->word[1] = 0;
}

static inline void pf_port_rw_read_lock(struct pf_rwlock *l, enum pf_lock_class class)
{
	uint64_t spins = 0;
	uint32_t n = __atomic_load_n(&l->word[0], __ATOMIC_RELAXED);

	(void)class;
	while (n == UINT32_MAX || !__atomic_compare_exchange_n(&l->word[0], &n, n + 1, false,
					  __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		n = __atomic_load_n(&l->word[0], __ATOMIC_RELAXED);
		if (++spins == UINT64_C(1) << 31)
			test_port_die("rwlock: deadlock (read)");
	}
}

static inline bool pf_port_rw_read_trylock(struct pf_rwlock *l, enum pf_lock_class class)
{
	uint32_t n = __atomic_load_n(&l->word[0], __ATOMIC_RELAXED);

	(void)class;
	return n != UINT32_MAX && __atomic_compare_exchange_n(&l->word[0], &n, n + 1, false,
					  __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void pf_port_relax(void)
{
	if (test_port.relax)
		test_port.relax();
	else
		sched_yield();
}

static inline unsigned pf_port_cpu(void)
{
	return __atomic_load_n(&test_port.cpu, __ATOMIC_RELAXED);
}

static inline struct pf_lazy_mmu *pf_port_lazy_mmu(void)
{
	return test_port.lazy;
}

static inline void pf_port_rw_read_unlock(struct pf_rwlock *l, enum pf_lock_class class)
{
	uint32_t n = __atomic_load_n(&l->word[0], __ATOMIC_RELAXED);

	(void)class;
	if (!n || n == UINT32_MAX)
		test_port_die("rwlock: read-unlocked, but not read-held");
	__atomic_sub_fetch(&l->word[0], 1, __ATOMIC_RELEASE);
}

static inline void pf_port_rw_write_lock(struct pf_rwlock *l, enum pf_lock_class class)
{
	uint64_t spins = 0;
	uint32_t none = 0;

	(void)class;
	while (!__atomic_compare_exchange_n(
		&l->word[0], &none, UINT32_MAX, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		none = 0;
		if (++spins == UINT64_C(1) << 31)
			test_port_die("rwlock: deadlock (write)");
	}
}

static inline void pf_port_rw_write_unlock(struct pf_rwlock *l, enum pf_lock_class class)
{
	(void)class;
	if (__atomic_load_n(&l->word[0], __ATOMIC_RELAXED) != UINT32_MAX)
		test_port_die("rwlock: write-unlocked, but not write-held");
	__atomic_store_n(&l->word[0], 0, __ATOMIC_RELEASE);
}

static inline void pf_port_rcu_read_lock(void)
{
	__atomic_add_fetch(&test_port.rcu_depth, 1, __ATOMIC_ACQUIRE);
}

static inline void pf_port_rcu_read_unlock(void)
{
	if (!__atomic_load_n(&test_port.rcu_depth, __ATOMIC_RELAXED))
		test_port_die("rcu: unlocked, but not held");
	__atomic_sub_fetch(&test_port.rcu_depth, 1, __ATOMIC_RELEASE);
	test_port_rcu_run();
}

static inline void pf_port_call_rcu(struct pf_rcu_head *h)
{
	if (test_port.rcu_wait && test_port.locks_held)
		test_port_die("rcu: waited for under a lock");
	while (test_port.rcu_wait && test_port.rcu_depth)
		test_port.rcu_wait();
	h->next = test_port.rcu_queue;
	test_port.rcu_queue = h;
	test_port_rcu_run();
}

static inline void pf_port_note_alloc(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	(void)pa;
	__atomic_add_fetch(&test_port.live[use], (int64_t)bytes, __ATOMIC_RELAXED);
}

static inline void pf_port_note_free(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	(void)pa;
	__atomic_sub_fetch(&test_port.live[use], (int64_t)bytes, __ATOMIC_RELAXED);
}

#if PF_JUDGE
static inline void pf_port_note_data(pf_pa_t pa, size_t bytes, bool write)
{
	(void)pa, (void)bytes, (void)write;
}

#define TEST_PORT_HOOK() __atomic_add_fetch(&test_port.entry_hooks, 1, __ATOMIC_RELAXED)

#define TEST_PORT_ENTRY_HOOKS(type, suffix)                                                        \
	static inline type pf_port_entry_load##suffix(const type *p)                               \
	{                                                                                          \
		TEST_PORT_HOOK();                                                                  \
		return __atomic_load_n(p, __ATOMIC_ACQUIRE) ^ (type)test_port.scramble;            \
	}                                                                                          \
	static inline void pf_port_entry_store##suffix(type *p, type v, bool release)              \
	{                                                                                          \
		TEST_PORT_HOOK();                                                                  \
		v ^= (type)test_port.scramble;                                                     \
		if (release)                                                                       \
			__atomic_store_n(p, v, __ATOMIC_RELEASE);                                  \
		else                                                                               \
			__atomic_store_n(p, v, __ATOMIC_RELAXED);                                  \
	}                                                                                          \
	static inline type pf_port_entry_xchg##suffix(type *p, type v)                             \
	{                                                                                          \
		TEST_PORT_HOOK();                                                                  \
		v ^= (type)test_port.scramble;                                                     \
		return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST) ^ (type)test_port.scramble;     \
	}                                                                                          \
	static inline bool pf_port_entry_cas##suffix(type *p, type *old, type v)                   \
	{                                                                                          \
		type o = *old ^ (type)test_port.scramble;                                          \
		bool ok;                                                                           \
                                                                                                   \
		TEST_PORT_HOOK();                                                                  \
		v ^= (type)test_port.scramble;                                                     \
		ok = __atomic_compare_exchange_n(                                                  \
			p, &o, v, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);                      \
		*old = o ^ (type)test_port.scramble;                                               \
		return ok;                                                                         \
	}

TEST_PORT_ENTRY_HOOKS(uint64_t, )
TEST_PORT_ENTRY_HOOKS(uint32_t, 32)

/* The deliberate bug named in the environment, as in the judge. */
static inline bool pf_port_mutant(const char *name)
{
	const char *asked = getenv("PF_MUTANT");

	return asked && !strcmp(asked, name);
}
#endif

#endif
