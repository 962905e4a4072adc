/* SPDX-License-Identifier: MIT */
/*
 * Subscribers that note who is told of what, in which order. What happens while the library waits is test_port.relax.
 */
#ifndef TESTS_NOTIFY_SUBSCRIBERS_H
#define TESTS_NOTIFY_SUBSCRIBERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "notify/notify.h"

#define P    UINT64_C(4096)
#define SUBS 3u

struct classic {
	struct pf_mmu_notifier sub;
	unsigned starts, ends, releases, ages;
	int answer;
	bool young;
};

struct interval {
	struct pf_mmu_interval_notifier sub;
	unsigned told;
	bool refuse, silent; /* silent: leaves no sequence behind */
};

static struct pf_mmu_notifier_subscriptions *subs;
static struct classic c[SUBS];
static struct interval iv[SUBS];
static char order[64];
static unsigned waits;
static struct pf_mmu_notifier_range range, other;
static void (*in_callback)(void);

static inline void note(char what, unsigned who)
{
	const size_t n = strlen(order);

	snprintf(order + n, sizeof(order) - n, "%c%u", what, who);
}

static inline void told(const char *want)
{
	assert_string_equal(order, want);
	order[0] = 0;
}

static inline struct classic *of(struct pf_mmu_notifier *sub)
{
	return PF_CONTAINER_OF(sub, struct classic, sub);
}

static inline int on_start(struct pf_mmu_notifier *sub, const struct pf_mmu_notifier_range *r)
{
	(void)r;
	assert_int_equal(test_port.locks_held, 0);
	of(sub)->starts++;
	note('s', (unsigned)(of(sub) - c));
	if (in_callback)
		in_callback();
	return of(sub)->answer;
}

static inline void on_end(struct pf_mmu_notifier *sub, const struct pf_mmu_notifier_range *r)
{
	(void)r;
	assert_int_equal(test_port.locks_held, 0);
	of(sub)->ends++;
	note('e', (unsigned)(of(sub) - c));
}

static inline bool on_age(struct pf_mmu_notifier *sub, pf_va_t start, pf_va_t end)
{
	(void)start;
	(void)end;
	of(sub)->ages++;
	return of(sub)->young;
}

static inline bool on_test(struct pf_mmu_notifier *sub, pf_va_t va)
{
	return on_age(sub, va, va);
}

static inline void on_release(struct pf_mmu_notifier *sub)
{
	of(sub)->releases++;
	note('r', (unsigned)(of(sub) - c));
	if (in_callback)
		in_callback();
}

static const struct pf_mmu_notifier_ops all_ops = {
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
	.clear_flush_young = on_age,
	.clear_young = on_age,
	.test_young = on_test,
	.release = on_release,
};
static const struct pf_mmu_notifier_ops start_ops = {.invalidate_range_start = on_start};
static const struct pf_mmu_notifier_ops no_ops;

static inline bool on_invalidate(
	struct pf_mmu_interval_notifier *sub, const struct pf_mmu_notifier_range *r, uint64_t seq)
{
	struct interval *i = PF_CONTAINER_OF(sub, struct interval, sub);

	assert_int_equal(test_port.locks_held, 0);
	assert_true(seq & 1);
	i->told++;
	note('i', (unsigned)(i - iv));
	if (i->refuse && !(r->flags & PF_MMU_NOTIFIER_RANGE_BLOCKABLE))
		return false;
	if (!i->silent)
		pf_mmu_interval_set_seq(sub, seq);
	if (in_callback)
		in_callback();
	return true;
}

static const struct pf_mmu_interval_notifier_ops interval_ops = {.invalidate = on_invalidate};

static inline void for_ever(void)
{
	fail_msg("the library waits for what nobody will do");
}

static inline int setup(void **state)
{
	(void)state;
	test_port_start(1 << 20, 12);
	memset(c, 0, sizeof(c));
	memset(iv, 0, sizeof(iv));
	order[0] = 0;
	waits = 0;
	in_callback = NULL;
	test_port.relax = for_ever;
	subs = pf_mmu_notifier_subscriptions_alloc();
	return !subs;
}

static inline int teardown(void **state)
{
	(void)state;
	pf_mmu_notifier_subscriptions_put(subs);
	assert_int_equal(test_port.meta_live, 0);
	assert_int_equal(test_port.locks_held, 0);
	test_port_stop();
	return 0;
}

static inline void start(struct pf_mmu_notifier_range *r, pf_va_t from, pf_va_t to)
{
	pf_mmu_notifier_range_init(r, PF_MMU_NOTIFY_CLEAR, subs, from, to);
	pf_mmu_notifier_invalidate_range_start(r);
}

static inline int start_nonblock(struct pf_mmu_notifier_range *r, pf_va_t from, pf_va_t to)
{
	pf_mmu_notifier_range_init(r, PF_MMU_NOTIFY_CLEAR, subs, from, to);
	return pf_mmu_notifier_invalidate_range_start_nonblock(r);
}

static inline void end(struct pf_mmu_notifier_range *r)
{
	pf_mmu_notifier_invalidate_range_end(r);
}

static inline void end_range(void)
{
	waits++;
	end(&range);
}

static inline void add(unsigned i, const struct pf_mmu_notifier_ops *ops)
{
	pf_mmu_notifier_add(subs, &c[i].sub, ops);
}

static inline void insert(unsigned i, pf_va_t from, pf_va_t to)
{
	pf_mmu_interval_notifier_add(subs, &iv[i].sub, &interval_ops, from, to - 1);
}

static inline void remove_interval(unsigned i)
{
	pf_mmu_interval_notifier_remove(&iv[i].sub);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
