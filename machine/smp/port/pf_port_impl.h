/* SPDX-License-Identifier: MIT */
/*
 * The hosted port with real threads: several of a process's threads in the library at a time, each a CPU or none. Locks, RCU
 * and invalidations are real; nothing is counted, and nobody judges. What is short is inline here, the rest is in machine/smp.
 *
 * One machine at a time in a process (../smp.h).
 */
#ifndef PF_PORT_IMPL_H
#define PF_PORT_IMPL_H

#include "base/atomic.h"

#if defined(__SANITIZE_THREAD__)
#define SMP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SMP_TSAN 1
#endif
#endif

/*
 * RCU: liburcu's flavour `memb`, whose readers pay a compiler barrier, for the one who waits has every thread pass a barrier
 * (membarrier(2)); `mb` would have each table walk pay two, and `qsbr` would have every thread that sleeps in a lock or runs
 * a program say so. ThreadSanitizer sees neither liburcu's inline assembly nor membarrier, so that what readers did would look
 * concurrent with the freeing: there the port counts by itself, with atomics that it sees (rcu.c).
 */
#ifndef SMP_TSAN
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-memb.h>
#endif

struct smp_held;

/* What a thread has that is in the library. */
struct smp_thread {
	struct pf_lazy_mmu lazy;
	uint32_t number; /* of those that are in the library the lowest that was free */
	uint32_t rcu_depth;
	uint64_t rcu_since;    /* rcu.c; 0: no reader. Others read it */
	uint64_t random;       /* failure injection */
	struct smp_held *held; /* order.c */
	struct smp_cpu *cpu;   /* tlb.c; NULL: no CPU, runs no program */
	struct smp_thread *next, *prev;
};
extern _Thread_local struct smp_thread smp_self;

/* Set by smp_start(), constant until smp_stop(). */
struct smp_port {
	char *ram_bias;       /* virt = ram_bias + pa */
	char *memmap_bias;    /* metadata = memmap_bias + pa / 4096 * 32 */
	uint32_t fail_one_in; /* allocations: one in so many fails; 0: none */
	uint32_t slow_one_in; /* see smp.h */
	bool check_order;     /* of locks */
};
extern struct smp_port smp_port;

bool smp_fail_alloc(void);
void *smp_meta_alloc(size_t bytes);
void smp_meta_free(void *p, size_t bytes);
void smp_clear(void *p, size_t bytes);
void smp_copy(void *dst, const void *src, size_t bytes);
void smp_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2);
void smp_complete(void);
void smp_spin_wait(struct pf_spinlock *l);
void smp_rw_wait(struct pf_rwlock *l, bool write);
void smp_rw_wake(struct pf_rwlock *l);
void smp_relax(void);
void smp_order_want(const void *lock, enum pf_lock_class c, pf_pa_t id, bool write);
void smp_order_took(const void *lock, enum pf_lock_class c, pf_pa_t id, bool write);
void smp_order_released(const void *lock, enum pf_lock_class c);
void smp_order_sleeps(const char *what);
void smp_rcu_enter(void);
void smp_rcu_leave(void);
void smp_call_rcu(struct pf_rcu_head *h);

PF_INLINE void *pf_port_virt(pf_pa_t pa)
{
	return smp_port.ram_bias + pa;
}

PF_INLINE pf_pa_t pf_port_phys(const void *p)
{
	return (pf_pa_t)((const char *)p - smp_port.ram_bias);
}

PF_INLINE void *pf_port_memmap(pf_pa_t pa)
{
	return smp_port.memmap_bias + (pa >> 12) * 32;
}

PF_INLINE pf_pa_t pf_port_memmap_pa(const void *meta)
{
	return (pf_pa_t)((const char *)meta - smp_port.memmap_bias) / 32 << 12;
}

PF_INLINE bool pf_port_fail_alloc(enum pf_mem_use use)
{
	(void)use;
	return PF_UNLIKELY(smp_port.fail_one_in) && smp_fail_alloc();
}

PF_INLINE void *pf_port_meta_alloc(size_t bytes)
{
	return PF_UNLIKELY(pf_port_fail_alloc(PF_USE_META)) ? NULL : smp_meta_alloc(bytes);
}

PF_INLINE void pf_port_meta_free(void *p, size_t bytes)
{
	smp_meta_free(p, bytes);
}

PF_INLINE void pf_port_clear_pages(pf_pa_t pa, size_t bytes)
{
	smp_clear(pf_port_virt(pa), bytes);
}

PF_INLINE void pf_port_copy_pages(pf_pa_t dst, pf_pa_t src, size_t bytes)
{
	smp_copy(pf_port_virt(dst), pf_port_virt(src), bytes);
}

PF_INLINE void pf_port_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2)
{
	smp_tlbi(op, operand, operand2);
}

/* ThreadSanitizer orders nothing by them: what relies on them alone it would report. */
PF_INLINE void smp_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

PF_INLINE void smp_fence_release(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/*
 * Walkers are threads of this process that read entries with atomic loads, so what orders stores for threads orders them for
 * walkers. COMPLETE waits for all CPUs; an invalidation of this CPU alone was done when it was issued.
 */
PF_INLINE void pf_port_barrier(enum pf_barrier b)
{
	if (b == PF_BARRIER_COMPLETE)
		smp_complete();
	else if (b == PF_BARRIER_LINK)
		smp_fence_release();
	else
		smp_fence();
}

/* ---- spinlocks: test and set, the CPU given away when it takes long (lock.c) ---- */

PF_INLINE void pf_port_spin_init(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	(void)c;
	(void)id;
	/* Atomic: who found a table's record by a stale entry may look at it meanwhile. */
	pf_store_relaxed(&l->word, 0);
}

PF_INLINE bool pf_port_spin_trylock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	if (__atomic_exchange_n(&l->word, 1, __ATOMIC_ACQUIRE))
		return false;
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_took(l, c, id, true);
	return true;
}

PF_INLINE void pf_port_spin_lock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_want(l, c, id, true);
	while (PF_UNLIKELY(__atomic_exchange_n(&l->word, 1, __ATOMIC_ACQUIRE)))
		smp_spin_wait(l);
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_took(l, c, id, true);
}

PF_INLINE void pf_port_spin_unlock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	(void)id;
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_released(l, c);
	pf_store_release(&l->word, 0);
}

/* ---- reader-writer locks: lock.c has who writes what ---- */

#define SMP_RW_WRITER  (UINT32_C(1) << 31) /* has it */
#define SMP_RW_WANTED  (UINT32_C(1) << 30) /* a writer waits: readers hold back */
#define SMP_RW_SLEEPER (UINT32_C(1) << 29) /* somebody is to be woken */
#define SMP_RW_READERS (SMP_RW_SLEEPER - 1)

PF_INLINE void pf_port_rw_init(struct pf_rwlock *l, enum pf_lock_class c)
{
	(void)c;
	pf_store_relaxed(&l->word[0], 0);
	pf_store_relaxed(&l->word[1], 0);
}

PF_INLINE bool smp_rw_try_read(struct pf_rwlock *l)
{
	uint32_t n = pf_load_relaxed(&l->word[0]);

	while (!(n & (SMP_RW_WRITER | SMP_RW_WANTED)))
		if (__atomic_compare_exchange_n(
			    &l->word[0], &n, n + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

PF_INLINE bool smp_rw_try_write(struct pf_rwlock *l)
{
	uint32_t n = pf_load_relaxed(&l->word[0]);

	/* The flags of those who still wait stay. */
	while (!(n & (SMP_RW_WRITER | SMP_RW_READERS)))
		if (__atomic_compare_exchange_n(&l->word[0], &n, n | SMP_RW_WRITER, true,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

PF_INLINE bool pf_port_rw_read_trylock(struct pf_rwlock *l, enum pf_lock_class c)
{
	if (!smp_rw_try_read(l))
		return false;
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_took(l, c, 0, false);
	return true;
}

PF_INLINE void pf_port_rw_read_lock(struct pf_rwlock *l, enum pf_lock_class c)
{
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_want(l, c, 0, false);
	if (PF_UNLIKELY(!smp_rw_try_read(l)))
		smp_rw_wait(l, false);
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_took(l, c, 0, false);
}

PF_INLINE void pf_port_rw_read_unlock(struct pf_rwlock *l, enum pf_lock_class c)
{
	uint32_t n;

	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_released(l, c);
	n = __atomic_fetch_sub(&l->word[0], 1, __ATOMIC_RELEASE);
	if (PF_UNLIKELY((n & SMP_RW_SLEEPER) && (n & SMP_RW_READERS) == 1))
		smp_rw_wake(l);
}

PF_INLINE void pf_port_rw_write_lock(struct pf_rwlock *l, enum pf_lock_class c)
{
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_want(l, c, 0, true);
	if (PF_UNLIKELY(!smp_rw_try_write(l)))
		smp_rw_wait(l, true);
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_took(l, c, 0, true);
}

PF_INLINE void pf_port_rw_write_unlock(struct pf_rwlock *l, enum pf_lock_class c)
{
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_released(l, c);
	if (PF_UNLIKELY(__atomic_fetch_and(&l->word[0], ~SMP_RW_WRITER, __ATOMIC_RELEASE) &
			SMP_RW_SLEEPER))
		smp_rw_wake(l);
}

PF_INLINE void pf_port_relax(void)
{
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_sleeps("a wait for another thread");
	smp_relax();
}

PF_INLINE unsigned pf_port_cpu(void)
{
	return smp_self.number;
}

PF_INLINE struct pf_lazy_mmu *pf_port_lazy_mmu(void)
{
	return &smp_self.lazy;
}

PF_INLINE void pf_port_rcu_read_lock(void)
{
#ifdef SMP_TSAN
	smp_rcu_enter();
#else
	urcu_memb_read_lock();
#endif
}

PF_INLINE void pf_port_rcu_read_unlock(void)
{
#ifdef SMP_TSAN
	smp_rcu_leave();
#else
	urcu_memb_read_unlock();
#endif
}

PF_INLINE void pf_port_call_rcu(struct pf_rcu_head *h)
{
	smp_call_rcu(h);
}

PF_INLINE void pf_port_note_alloc(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	(void)use;
	(void)pa;
	(void)bytes;
}

PF_INLINE void pf_port_note_free(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	(void)use;
	(void)pa;
	(void)bytes;
}

#endif
