/* SPDX-License-Identifier: MIT */
/*
 * Atomic primitives on plain words, named by their ordering. One header, so that every ordering the
 * library relies on can be found by name. Page-table entries do not go through here: they are read
 * and written by lib/pt alone, through the accessors of fmt/contract.h.
 */
#ifndef PF_BASE_ATOMIC_H
#define PF_BASE_ATOMIC_H

#include "base/types.h"

/*
 * In the judge's build each of them is a step of its own, before which another thread may run (machine/explore.h); the port
 * defines the function. `p` is evaluated twice there.
 */
#if PF_JUDGE
void pf_atomic_point(const volatile void *p, bool changes);
void pf_atomic_wait(const volatile void *p);
#define PF_ATOMIC_POINT(p, changes) pf_atomic_point((p), (changes)),
#else
#define PF_ATOMIC_POINT(p, changes)
#endif
#define PF_ATOMIC_READ(p, op)   (PF_ATOMIC_POINT(p, false) op)
#define PF_ATOMIC_CHANGE(p, op) (PF_ATOMIC_POINT(p, true) op)

/* Between two looks at *p by who spins until another CPU changes it; with spinlocks held, so that nobody sleeps. */
PF_INLINE void pf_spin_wait(const volatile void *p)
{
	(void)p;
#if PF_JUDGE
	pf_atomic_wait(p);
#elif defined(__x86_64__)
	__asm__ volatile("pause");
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#define pf_load_relaxed(p)     PF_ATOMIC_READ(p, __atomic_load_n((p), __ATOMIC_RELAXED))
#define pf_load_acquire(p)     PF_ATOMIC_READ(p, __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define pf_store_relaxed(p, v) PF_ATOMIC_CHANGE(p, __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define pf_store_release(p, v) PF_ATOMIC_CHANGE(p, __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define pf_xchg_relaxed(p, v)  PF_ATOMIC_CHANGE(p, __atomic_exchange_n((p), (v), __ATOMIC_RELAXED))
#define pf_add_relaxed(p, v)   PF_ATOMIC_CHANGE(p, __atomic_add_fetch((p), (v), __ATOMIC_RELAXED))
/*
 * Sequentially consistent: ordered among their like, acquire and release. What Linux promises besides of value-returning
 * read-modify-writes, that a later load comes after, takes pf_mb_after_rmw().
 */
#define pf_add_return(p, v)  PF_ATOMIC_CHANGE(p, __atomic_add_fetch((p), (v), __ATOMIC_SEQ_CST))
#define pf_sub_return(p, v)  PF_ATOMIC_CHANGE(p, __atomic_sub_fetch((p), (v), __ATOMIC_SEQ_CST))
#define pf_and_relaxed(p, v) PF_ATOMIC_CHANGE(p, __atomic_and_fetch((p), (v), __ATOMIC_RELAXED))
#define pf_or_relaxed(p, v)  PF_ATOMIC_CHANGE(p, __atomic_or_fetch((p), (v), __ATOMIC_RELAXED))
#define pf_or_release(p, v)  PF_ATOMIC_CHANGE(p, __atomic_or_fetch((p), (v), __ATOMIC_RELEASE))
#define pf_and_acquire(p, v) PF_ATOMIC_CHANGE(p, __atomic_and_fetch((p), (v), __ATOMIC_ACQUIRE))
#define pf_and_release(p, v) PF_ATOMIC_CHANGE(p, __atomic_and_fetch((p), (v), __ATOMIC_RELEASE))
/* What was there before. */
#define pf_fetch_or(p, v) PF_ATOMIC_CHANGE(p, __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
/* On failure *old is the value found. */
#define pf_cas_relaxed(p, old, new)                                                                \
	PF_ATOMIC_CHANGE(p, __atomic_compare_exchange_n(                                           \
				    (p), (old), (new), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
#define pf_cas(p, old, new)                                                                        \
	PF_ATOMIC_CHANGE(p, __atomic_compare_exchange_n(                                           \
				    (p), (old), (new), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
/*
 * A statistic that several may change at once: what plain addition costs, and of two who add at the same time one may be
 * lost. No step of the judge's: nothing depends on it.
 */
#define pf_count(p, n)                                                                             \
	do {                                                                                       \
		__typeof__(p) pf_count_at = (p);                                                   \
                                                                                                   \
		__atomic_store_n(pf_count_at,                                                      \
			__atomic_load_n(pf_count_at, __ATOMIC_RELAXED) + (n), __ATOMIC_RELAXED);   \
	} while (0)

/*
 * Loads and stores that are no step of the judge's either: of a structure that changes as a whole between two steps (a sequence number's, say),
 * whose readers look at the number before they use anything of it.
 */
#define pf_quiet_load(p)             __atomic_load_n((p), __ATOMIC_RELAXED)
#define pf_quiet_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define pf_quiet_store(p, v)         __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define pf_quiet_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/*
 * Fences. pf_mb: what this thread has stored is visible before anything is loaded that comes after (Linux: smp_mb).
 * pf_rmb: what was loaded before it was loaded before what comes after (smp_rmb). pf_wmb: likewise stored (smp_wmb).
 */
#define pf_mb()  __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define pf_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define pf_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
/*
 * pf_mb() right behind a sequentially consistent read-modify-write of this thread (smp_mb__after_atomic). C11 orders such an operation
 * among its like, and a relaxed load behind it may still be done before its store (AArch64: LDAXR, STLXR); x86's
 * locked instructions leave nothing to do.
 */
#if defined(__x86_64__)
#define pf_mb_after_rmw() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#else
#define pf_mb_after_rmw() pf_mb()
#endif

#endif
