/* SPDX-License-Identifier: MIT */
/*
 * Locks that are not free. The fast paths are in port/pf_port_impl.h.
 *
 * Spinlocks: test and set. There may be more threads than processors, so whoever has spun for a while gives the processor to
 * whoever may have the lock. A lock that sleeps would have each unlock ask whether to wake somebody, by an exchange in place
 * of a store. Nobody is promised a turn: what is held is held for a few hundred instructions.
 *
 * Reader-writer locks. word[0] has the number of readers, WRITER, WANTED and SLEEPER; word[1] counts wakes.
 *
 *   who waits                               who unlocks
 *   1 w = word[1], acquire                  1 leaves word[0], release; if SLEEPER was set and nobody has the lock now:
 *   2 not free? set SLEEPER (a writer:      2 clear SLEEPER and WANTED
 *     WANTED too), by compare-and-exchange  3 word[1]++, release
 *     of the very word that is not free     4 wake all that sleep on word[1]
 *   3 sleep while word[1] == w
 *
 * No wake is lost: step 2 of who waits is on a word with somebody else's hold in it, so that hold's end, step 1 of some
 * unlocking, comes later in word[0]'s order and sees SLEEPER; or the flags were another's and are cleared by a step 2 after it. After either comes a step 3,
 * which ends the sleep, or is what w has seen: then step 2 of the unlocking, which is before it, is seen, too, and the waiter has set
 * its flag after that clearing, for a later unlocking to see. Only WANTED without a hold (a writer waits, and has just been
 * missed by an unlocking that is between its 1 and 2) makes a reader wait for flags alone: that unlocking's 2 and 3 are still to come.
 *
 * A writer that waits holds new readers back until it is woken; so writers are not starved, and a thread that reads twice
 * waits for ever for who waits for it. Linux's are such, too; order.c reports it.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "state.h"

#define SPINS 200

static void pause_cpu(void)
{
#if defined(__x86_64__)
	__asm__ volatile("pause");
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void smp_spin_wait(struct pf_spinlock *l)
{
	for (unsigned i = 0; pf_load_relaxed(&l->word); i++) {
		if (i < SPINS)
			pause_cpu();
		else
			sched_yield();
	}
}

void smp_relax(void)
{
	sched_yield();
}

static bool is_free(uint32_t n, bool write)
{
	return !(n & (write ? SMP_RW_WRITER | SMP_RW_READERS : SMP_RW_WRITER | SMP_RW_WANTED));
}

void smp_rw_wait(struct pf_rwlock *l, bool write)
{
	const uint32_t flags = SMP_RW_SLEEPER | (write ? SMP_RW_WANTED : 0);

	for (unsigned i = 0; i < SPINS; i++) {
		if (write ? smp_rw_try_write(l) : smp_rw_try_read(l))
			return;
		pause_cpu();
	}
	while (!(write ? smp_rw_try_write(l) : smp_rw_try_read(l))) {
		uint32_t wakes = pf_load_acquire(&l->word[1]);
		uint32_t n = pf_load_relaxed(&l->word[0]);

		if (is_free(n, write))
			continue;
		if ((n & flags) != flags && !pf_cas_relaxed(&l->word[0], &n, n | flags))
			continue;
		syscall(SYS_futex, &l->word[1], FUTEX_WAIT_PRIVATE, wakes, NULL, NULL, 0);
	}
}

void smp_rw_wake(struct pf_rwlock *l)
{
	pf_and_relaxed(&l->word[0], ~(SMP_RW_SLEEPER | SMP_RW_WANTED));
	__atomic_fetch_add(&l->word[1], 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &l->word[1], FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
