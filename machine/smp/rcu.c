/* SPDX-License-Identifier: MIT */
/*
 * RCU: who waits for lockless walkers, and frees what they might have reached.
 *
 * A head that is given to call_rcu has room for one pointer, which is less than liburcu's call_rcu wants; and there is no allocating. So
 * heads go onto a stack, and a thread of the port's takes the whole of it, waits once for all, and calls back. It holds no lock then.
 *
 * Without liburcu (ThreadSanitizer) each thread has a word, rcu_since, that both sides change by read-modify-writes:
 *
 *   reader                                     who waits
 *   1 exchange rcu_since: the period it sees   1 what is to be freed has been unlinked
 *   2 looks at tables                          2 period++
 *   3 rcu_since = 0, release                   3 each thread's rcu_since, read by adding 0: done if it is 0 or at least the
 *                                                new period; else again
 *
 * Of one word's read-modify-writes one is first. The reader's 1 first: the other sees it, and waits for 3, which synchronizes with
 * the load that sees it. The other first: the reader's exchange synchronizes with it, and 2 sees everything unlinked. A reader
 * that saw the old period but was not seen is the second case; that the word then looks old only makes later ones wait longer.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "state.h"

struct smp_thread *smp_threads;
static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;

void smp_threads_lock(void)
{
	pthread_mutex_lock(&threads_lock);
}

void smp_threads_unlock(void)
{
	pthread_mutex_unlock(&threads_lock);
}

#ifdef SMP_TSAN

static uint64_t period = 1;

void smp_rcu_enter(void)
{
	if (smp_self.rcu_depth++)
		return;
	__atomic_exchange_n(&smp_self.rcu_since, pf_load_relaxed(&period), __ATOMIC_ACQ_REL);
}

void smp_rcu_leave(void)
{
	if (!--smp_self.rcu_depth)
		__atomic_store_n(&smp_self.rcu_since, 0, __ATOMIC_RELEASE);
}

void smp_rcu_register(void)
{
}

void smp_rcu_unregister(void)
{
}

static void synchronize(void)
{
	uint64_t now = pf_add_return(&period, 1);

	smp_threads_lock();
	for (struct smp_thread *t = smp_threads; t; t = t->next) {
		uint64_t since;

		while ((since = __atomic_fetch_add(&t->rcu_since, 0, __ATOMIC_ACQ_REL)) &&
			since < now)
			sched_yield();
	}
	smp_threads_unlock();
}

#else

void smp_rcu_register(void)
{
	urcu_memb_register_thread();
}

void smp_rcu_unregister(void)
{
	urcu_memb_unregister_thread();
}

static void synchronize(void)
{
	urcu_memb_synchronize_rcu();
}

#endif

/* The library's; weak, for a test of the machine may be linked without it. */
extern void pf_rcu_done(struct pf_rcu_head *head) __attribute__((weak));

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct pf_rcu_head *stack; /* atomic: pushed by anybody, taken whole */
	uint64_t asked, finished;  /* barriers; under lock */
	bool running, stop;
	bool idle; /* atomic: nobody works, so who pushes wakes */
} rcu = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.done = PTHREAD_COND_INITIALIZER};

/*
 * The push is a release, the taking an acquire: what was unlinked before call_rcu is so before the wait. Who pushes onto an
 * empty stack wakes; idle is set before the stack is looked at for the last time, both fully ordered, so one of the two sees.
 */
void smp_call_rcu(struct pf_rcu_head *h)
{
	struct pf_rcu_head *old = pf_load_relaxed(&rcu.stack);

	do
		h->next = old;
	while (!__atomic_compare_exchange_n(
		&rcu.stack, &old, h, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	if (!old && __atomic_load_n(&rcu.idle, __ATOMIC_SEQ_CST)) {
		pthread_mutex_lock(&rcu.lock);
		pthread_cond_signal(&rcu.work);
		pthread_mutex_unlock(&rcu.lock);
	}
}

static void call_back(void)
{
	struct pf_rcu_head *h = __atomic_exchange_n(&rcu.stack, NULL, __ATOMIC_SEQ_CST);

	if (!h)
		return;
	synchronize();
	while (h) {
		struct pf_rcu_head *next = h->next;

		if (pf_rcu_done)
			pf_rcu_done(h);
		h = next;
	}
}

static void *work(void *arg)
{
	(void)arg;
	if (!smp_enter(false))
		abort();
	pthread_mutex_lock(&rcu.lock);
	for (;;) {
		uint64_t asked = rcu.asked;

		pthread_mutex_unlock(&rcu.lock);
		call_back();
		pthread_mutex_lock(&rcu.lock);
		rcu.finished = asked;
		pthread_cond_broadcast(&rcu.done);
		__atomic_store_n(&rcu.idle, true, __ATOMIC_SEQ_CST);
		while (!__atomic_load_n(&rcu.stack, __ATOMIC_SEQ_CST) && rcu.asked == asked &&
			!rcu.stop)
			pthread_cond_wait(&rcu.work, &rcu.lock);
		__atomic_store_n(&rcu.idle, false, __ATOMIC_RELAXED);
		if (rcu.stop && !pf_load_relaxed(&rcu.stack))
			break;
	}
	pthread_mutex_unlock(&rcu.lock);
	smp_leave();
	return NULL;
}

/* A round that begins after the asking takes all that was pushed before it. */
void smp_rcu_barrier(void)
{
	uint64_t mine;

	pthread_mutex_lock(&rcu.lock);
	mine = ++rcu.asked;
	pthread_cond_signal(&rcu.work);
	while (rcu.finished < mine)
		pthread_cond_wait(&rcu.done, &rcu.lock);
	pthread_mutex_unlock(&rcu.lock);
}

int smp_rcu_start(void)
{
	rcu.stop = false;
	rcu.running = !pthread_create(&rcu.thread, NULL, work, NULL);
	return rcu.running ? 0 : -1;
}

void smp_rcu_stop(void)
{
	if (!rcu.running)
		return;
	pthread_mutex_lock(&rcu.lock);
	rcu.stop = true;
	pthread_cond_signal(&rcu.work);
	pthread_mutex_unlock(&rcu.lock);
	pthread_join(rcu.thread, NULL);
	rcu.running = false;
}
