/* SPDX-License-Identifier: MIT */
/*
 * Threads that bring in pages of one mapping, each in leaf tables of its own, and upper tables in common that all of them find missing
 * at once: each is linked once, what lost is given back, and all are counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/atomic.h"
#include "machine/smp/smp.h"
#include "mm/mm.h"
#include "phys/phys.h"

#define THREADS 2u
#define TABLES  256u /* of each */
#define ROUNDS  40u
#define BASE    UINT64_C(0x2000000000)

static struct pf_phys phys;
static struct pf_system sys;
static struct pf_mm mm;
static uint64_t span; /* what a leaf table maps */
static pthread_barrier_t barrier;
static uint32_t failed; /* faults; a thread of its own cannot end the test */

static void *fault(void *arg)
{
	const uintptr_t me = (uintptr_t)arg;

	if (!smp_enter(true))
		abort();
	for (unsigned r = 0; r < ROUNDS; r++) {
		pthread_barrier_wait(&barrier);
		for (unsigned i = 0; i < TABLES; i++)
			if (pf_handle_mm_fault(&mm, BASE + (i * THREADS + me) * span,
				    PF_FAULT_FLAG_WRITE) != PF_FAULT_DONE)
				pf_add_relaxed(&failed, 1);
		pthread_barrier_wait(&barrier);
	}
	smp_leave();
	return NULL;
}

static void run(const struct pf_format *fmt)
{
	struct smp_config cfg = {.format = fmt->pt->name,
		.memory = 32 << 20,
		.features = smp_newest(fmt->pt->name),
		.check_order = true};
	struct pf_phys_stats before, after;
	pthread_t t[THREADS];
	uint64_t tables;

	span = UINT64_C(1) << (fmt->pt->page_shift + fmt->pt->level_bits);
	assert_int_equal(smp_start(&cfg), 0);
	assert_true(smp_enter(false));
	assert_int_equal(pf_phys_init(&phys, SMP_RAM_BASE, cfg.memory, fmt->pt->page_shift, 10), 0);
	assert_int_equal(pf_system_init(&sys, fmt, &phys, cfg.features, PF_FOLD_WATCH), 0);
	assert_int_equal(pf_mm_init(&mm, &sys, 1), 0);
	sys.overcommit = PF_OVERCOMMIT_ALWAYS;
	tables = mm.space.pt.stats.tables;
	pf_phys_stats(&phys, &before);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fault, (void *)i), 0);
	for (unsigned r = 0; r < ROUNDS; r++) {
		assert_int_equal(pf_mmap(&mm, BASE, THREADS * TABLES * span, 3,
					 PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED),
			BASE);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		assert_int_equal(failed, 0);
		assert_null(pf_mm_check(&mm));
		assert_int_equal(pf_munmap(&mm, BASE, THREADS * TABLES * span), 0);
		/* What was read and written of it meanwhile would be lost, or be there twice. */
		assert_int_equal(mm.space.pt.stats.tables, tables);
		/* Where callbacks wait for their turn on a busy machine, the tables of all rounds are more than the memory. */
		smp_rcu_barrier();
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	pf_phys_stats(&phys, &after);
	assert_int_equal(after.free, before.free);
	pf_mm_exit(&mm);
	pf_system_exit(&sys);
	smp_leave();
	smp_stop();
	pthread_barrier_destroy(&barrier);
}

static void test_tables(void **state)
{
	(void)state;
	for (const struct pf_format *const *f = pf_formats; *f; f++)
		run(*f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
