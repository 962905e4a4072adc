/* SPDX-License-Identifier: MIT */
/*
 * Classic notifiers, and start and end of both kinds, step by step.
 */
#include "subscribers.h"

/* ---- nobody ---- */

static void nobody(void **state)
{
	struct pf_mmu_notifier_range r;

	(void)state;
	pf_mmu_notifier_range_init(&r, PF_MMU_NOTIFY_CLEAR, NULL, 0, P);
	pf_mmu_notifier_invalidate_range_start(&r);
	pf_mmu_notifier_invalidate_range_end(&r);
	assert_int_equal(pf_mmu_notifier_invalidate_range_start_nonblock(&r), 0);
	pf_mmu_notifier_invalidate_range_end(&r);
	assert_false(pf_mmu_notifier_clear_young(NULL, 0, P));
	assert_false(pf_mmu_notifier_clear_flush_young(NULL, 0, P));
	assert_false(pf_mmu_notifier_test_young(NULL, 0));
	/* An empty range is nobody's business. */
	add(0, &all_ops);
	insert(0, 0, P);
	start(&r, P, P);
	end(&r);
	told("");
	remove_interval(0);
	pf_mmu_notifier_unregister(&c[0].sub);
	told("r0");
}

static void no_memory(void **state)
{
	(void)state;
	test_port.fail_at = 1;
	assert_null(pf_mmu_notifier_subscriptions_alloc());
}

/* ---- classic ---- */

static void told_in_turn(void **state)
{
	(void)state;
	add(0, &all_ops);
	add(1, &no_ops);
	add(2, &all_ops);
	insert(0, 0, 8 * P);
	insert(1, 8 * P, 16 * P);
	start(&range, 4 * P, 8 * P);
	told("i0s2s0");
	/* Nested, and overlapping. */
	start(&other, 7 * P, 9 * P);
	told("i0i1s2s0");
	end(&range);
	told("e2e0");
	end(&other);
	told("e2e0");
	/* Touching is not meeting; and the last byte counts. */
	start(&range, 16 * P, 17 * P);
	told("s2s0");
	end(&range);
	start(&range, 15 * P, 17 * P);
	end(&range);
	told("e2e0i1s2s0e2e0");
	remove_interval(0);
	remove_interval(1);
	for (unsigned i = 0; i < SUBS; i++)
		pf_mmu_notifier_unregister(&c[i].sub);
	told("r0r2");
}

/* t8.4: who would have to sleep fails the start; all others are told of an end, once. */
static void unwound(void **state)
{
	(void)state;
	add(0, &all_ops);
	add(1, &start_ops);
	add(2, &all_ops);
	insert(0, 0, P);
	c[1].answer = -PF_EAGAIN;
	assert_int_equal(start_nonblock(&range, 0, P), -PF_EAGAIN);
	told("i0s2s1s0e2e0");
	/* Nothing is being invalidated: read_begin does not wait. */
	pf_mmu_interval_read_begin(&iv[0].sub);
	/* An interval notifier that fails is asked before the others. */
	c[1].answer = 0;
	iv[0].refuse = true;
	assert_int_equal(start_nonblock(&range, 0, P), -PF_EAGAIN);
	told("i0");
	pf_mmu_interval_read_begin(&iv[0].sub);
	/* Who may sleep has no excuse. */
	c[1].answer = -PF_EAGAIN;
	start(&range, 0, P);
	told("i0s2s1s0");
	end(&range);
	told("e2e0");
	c[1].answer = 0;
	iv[0].refuse = false;
	assert_int_equal(start_nonblock(&range, 0, P), 0);
	told("i0s2s1s0");
	end(&range);
	told("e2e0");
	remove_interval(0);
	for (unsigned i = 0; i < SUBS; i++)
		pf_mmu_notifier_unregister(&c[i].sub);
}

/* Who subscribes between start and end is not told of the end; nor is who has unsubscribed. */
static void come_and_go(void **state)
{
	(void)state;
	add(0, &all_ops);
	start(&range, 0, P);
	add(1, &all_ops);
	start(&other, 0, P);
	told("s0s1s0");
	end(&range);
	told("e0");
	pf_mmu_notifier_unregister(&c[0].sub);
	told("r0");
	end(&other);
	told("e1");
	pf_mmu_notifier_unregister(&c[1].sub);
	assert_int_equal(c[0].releases, 1);
}

static void ages(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SUBS; i++)
		add(i, &all_ops);
	assert_false(pf_mmu_notifier_clear_young(subs, 0, P));
	c[2].young = true;
	/* All are asked, whatever the first says. */
	assert_true(pf_mmu_notifier_clear_young(subs, 0, P));
	assert_true(pf_mmu_notifier_clear_flush_young(subs, 0, P));
	assert_int_equal(c[0].ages, 3);
	/* One is enough to know. */
	assert_true(pf_mmu_notifier_test_young(subs, 0));
	assert_int_equal(c[0].ages, 3);
	c[2].young = false;
	c[0].young = true;
	assert_true(pf_mmu_notifier_clear_young(subs, 0, P));
	assert_true(pf_mmu_notifier_clear_flush_young(subs, 0, P));
	assert_true(pf_mmu_notifier_test_young(subs, 0));
	pf_mmu_notifier_release(subs);
	assert_false(pf_mmu_notifier_clear_young(subs, 0, P));
	for (unsigned i = 0; i < SUBS; i++)
		pf_mmu_notifier_unregister(&c[i].sub);
}

/* ---- the end ---- */

static void released(void **state)
{
	(void)state;
	add(0, &all_ops);
	add(1, &all_ops);
	insert(0, 5 * P, 6 * P);
	pf_mmu_notifier_release(subs);
	told("i0r1r0");
	/* Nobody is called any more, and the address space may go before its subscribers. */
	start(&range, 0, 8 * P);
	told("i0");
	end(&range);
	pf_mmu_notifier_release(subs);
	told("i0");
	pf_mmu_notifier_unregister(&c[1].sub);
	pf_mmu_notifier_unregister(&c[0].sub);
	remove_interval(0);
	told("");
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(c[i].releases, 1);
}

static unsigned step;

/* t8.a: exit while unregister makes the call, which it waits for; and the other way round. */
static void exit_ends(void)
{
	waits++;
	assert_int_equal(c[0].releases, 1);
	/* Only now does the call return. */
	c[0].sub.busy--;
}

static void exit_waits(void **state)
{
	(void)state;
	add(0, &all_ops);
	/* Somebody is in the middle of a call. */
	c[0].sub.busy++;
	test_port.relax = exit_ends;
	pf_mmu_notifier_release(subs);
	assert_int_equal(waits, 1);
	told("r0");
	/* As if in another's start: unregister waits for it. */
	add(1, &all_ops);
	c[1].sub.busy++;
	c[0].sub.busy++;
	c[0].releases = 1;
	test_port.relax = exit_ends;
	pf_mmu_notifier_unregister(&c[0].sub);
	assert_int_equal(waits, 2);
	c[1].sub.busy--;
	test_port.relax = for_ever;
	pf_mmu_notifier_unregister(&c[1].sub);
	told("r1");
}

/* The list changes while it is walked: one that comes, and the one that was called last goes. */
static void change_list(void)
{
	in_callback = NULL;
	if (step)
		add(1, &all_ops);
	else
		pf_mmu_notifier_unregister(&c[1].sub);
}

static void walked(void **state)
{
	(void)state;
	add(0, &all_ops);
	add(2, &all_ops);
	step = 1;
	in_callback = change_list;
	start(&range, 0, P);
	told("s2s0");
	end(&range);
	told("e2e0");
	start(&range, 0, P);
	end(&range);
	told("s1s2s0e1e2e0");
	pf_mmu_notifier_unregister(&c[1].sub);
	pf_mmu_notifier_unregister(&c[2].sub);
	add(1, &all_ops);
	order[0] = 0;
	/* Called: 1, then 0, which lets 1 go. */
	add(2, &no_ops);
	start(&range, 0, P);
	told("s1s0");
	step = 0;
	c[0].answer = 0;
	pf_mmu_notifier_unregister(&c[1].sub);
	end(&range);
	told("r1e0");
	pf_mmu_notifier_unregister(&c[2].sub);
	pf_mmu_notifier_unregister(&c[0].sub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nobody),
		T(no_memory),
		T(told_in_turn),
		T(unwound),
		T(come_and_go),
		T(ages),
		T(released),
		T(exit_waits),
		T(walked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
