/* SPDX-License-Identifier: MIT */
/*
 * Host threads: some change a table of pages, each change between a start and an end; some mirror it, each with an interval notifier
 * of its own that comes and goes. Between start and end nobody has a page of the range; and nobody ever has one that the table
 * has not.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "notify/notify.h"

#define P       UINT64_C(4096)
#define PAGES   8u
#define WRITERS 2u
#define READERS 2u
#define ROUNDS  40000u

/* The page table: what a page maps, changed under its lock, as entries are. */
static uint64_t table[PAGES];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

static struct reader {
	struct pf_mmu_interval_notifier sub;
	struct pf_mmu_notifier classic;
	pthread_mutex_t lock;
	uint64_t has[PAGES]; /* 0: nothing */
	unsigned first, nr;
} readers[READERS];

static struct pf_mmu_notifier_subscriptions *subs;
static uint64_t frames;
static unsigned bad, writing;

static void check(bool right)
{
	if (!right)
		pf_add_relaxed(&bad, 1);
}

static bool invalidate(struct pf_mmu_interval_notifier *sub,
	const struct pf_mmu_notifier_range *range, uint64_t seq)
{
	struct reader *r = PF_CONTAINER_OF(sub, struct reader, sub);

	pthread_mutex_lock(&r->lock);
	pf_mmu_interval_set_seq(sub, seq);
	for (unsigned i = 0; i < PAGES; i++)
		if (i * P >= range->start && i * P < range->end)
			r->has[i] = 0;
	pthread_mutex_unlock(&r->lock);
	return true;
}

static const struct pf_mmu_interval_notifier_ops ops = {.invalidate = invalidate};

static int count_start(struct pf_mmu_notifier *sub, const struct pf_mmu_notifier_range *range)
{
	(void)range;
	check(sub->subscriptions == subs);
	sched_yield();
	return 0;
}

static const struct pf_mmu_notifier_ops classic_ops = {.invalidate_range_start = count_start};

static void nobody_has(unsigned first, unsigned nr)
{
	for (unsigned k = 0; k < READERS; k++) {
		pthread_mutex_lock(&readers[k].lock);
		for (unsigned i = first; i < first + nr; i++)
			check(!readers[k].has[i]);
		pthread_mutex_unlock(&readers[k].lock);
	}
}

static void *write_pages(void *arg)
{
	uint64_t random = 1 + (uintptr_t)arg;

	for (unsigned n = 0; n < ROUNDS; n++) {
		struct pf_mmu_notifier_range range;
		unsigned first, nr;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		first = (unsigned)(random >> 33) % PAGES;
		nr = 1 + (unsigned)(random >> 40) % (PAGES - first);
		pf_mmu_notifier_range_init(
			&range, PF_MMU_NOTIFY_CLEAR, subs, first * P, (first + nr) * P);
		pf_mmu_notifier_invalidate_range_start(&range);
		nobody_has(first, nr);
		sched_yield();
		pthread_mutex_lock(&table_lock);
		for (unsigned i = first; i < first + nr; i++)
			table[i] = ++frames;
		pthread_mutex_unlock(&table_lock);
		/* Let others find it in the middle. */
		sched_yield();
		nobody_has(first, nr);
		pf_mmu_notifier_invalidate_range_end(&range);
	}
	pf_sub_return(&writing, 1);
	return NULL;
}

/* Once through the protocol. */
static void mirror(struct reader *r, unsigned page)
{
	const uint64_t seq = pf_mmu_interval_read_begin(&r->sub);
	uint64_t frame;

	pthread_mutex_lock(&table_lock);
	frame = table[page];
	pthread_mutex_unlock(&table_lock);
	if (!(frame % 4))
		sched_yield();
	pthread_mutex_lock(&r->lock);
	if (!pf_mmu_interval_read_retry(&r->sub, seq))
		r->has[page] = frame;
	pthread_mutex_unlock(&r->lock);
}

static void *read_pages(void *arg)
{
	struct reader *r = arg;

	while (pf_load_relaxed(&writing)) {
		r->first = (r->first + 1) % PAGES;
		r->nr = 1 + r->first % 3;
		if (r->first + r->nr > PAGES)
			r->nr = PAGES - r->first;
		pf_mmu_notifier_add(subs, &r->classic, &classic_ops);
		pf_mmu_interval_notifier_add(
			subs, &r->sub, &ops, r->first * P, (r->first + r->nr) * P - 1);
		for (unsigned n = 0; n < 20; n++)
			mirror(r, r->first + n % r->nr);
		/* What it may no longer have it gives up before. */
		pthread_mutex_lock(&r->lock);
		memset(r->has, 0, sizeof(r->has));
		pthread_mutex_unlock(&r->lock);
		pf_mmu_interval_notifier_remove(&r->sub);
		pf_mmu_notifier_unregister(&r->classic);
		/* Who has unsubscribed may do with its memory what it likes. */
		memset(&r->sub, 0xff, sizeof(r->sub));
		memset(&r->classic, 0xff, sizeof(r->classic));
	}
	return NULL;
}

static void mirrored(void **state)
{
	pthread_t t[WRITERS + READERS];

	(void)state;
	test_port_start(1 << 20, 12);
	subs = pf_mmu_notifier_subscriptions_alloc();
	assert_non_null(subs);
	writing = WRITERS;
	for (uintptr_t i = 0; i < READERS; i++) {
		pthread_mutex_init(&readers[i].lock, NULL);
		assert_int_equal(pthread_create(&t[WRITERS + i], NULL, read_pages, &readers[i]), 0);
	}
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_pages, (void *)i), 0);
	for (unsigned i = 0; i < WRITERS + READERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(bad, 0);
	assert_true(frames > 0);
	pf_mmu_notifier_subscriptions_put(subs);
	assert_int_equal(test_port.meta_live, 0);
	test_port_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mirrored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
