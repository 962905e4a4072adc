/* SPDX-License-Identifier: MIT */
/*
 * TLBs, the walker, and shootdown.
 */
#include "rig.h"

#define ROUNDS 2000

/* Between issue and completion the old may be used, after it never; and it is, or nothing is cached here. */
static void test_delay(void **state)
{
	unsigned before = 0, between = 0;

	(void)state;
	rig_start(PF_FEAT_HAF, 0);
	*word(10) = 10;
	*word(11) = 11;
	for (unsigned i = 0; i < ROUNDS; i++) {
		set(0, FRAME(10) | PAGE);
		invalidate(0, ASID);
		pf_port_barrier(PF_BARRIER_COMPLETE);
		assert_int_equal(load(0), 10);
		set(0, FRAME(11) | PAGE);
		before += load(0) == 10;
		invalidate(0, ASID);
		between += load(0) == 10;
		pf_port_barrier(PF_BARRIER_COMPLETE);
		assert_int_equal(load(0), 11);
	}
	assert_int_equal(before, ROUNDS);
	assert_in_range(between, ROUNDS / 10, ROUNDS - ROUNDS / 10);
	rig_stop();
}

/* Any one page of a block takes the whole block along, into the TLB and out of it. */
static void test_block(void **state)
{
	unsigned whole = 0;

	(void)state;
	rig_start(PF_FEAT_HAF, 0);
	for (unsigned i = 0; i < 16; i++) {
		*word(32 + i) = i;
		*word(64 + i) = 100 + i;
	}
	for (unsigned r = 0; r < ROUNDS; r++) {
		for (unsigned i = 0; i < 16; i++)
			set(i, FRAME(32 + i) | PAGE | CONT);
		assert_int_equal(load(3), 3);
		for (unsigned i = 0; i < 16; i++)
			set(i, FRAME(64 + i) | PAGE | CONT);
		whole += load(9) == 9;
		invalidate(5, ASID);
		invalidate(3, ASID);
		invalidate(9, ASID);
		pf_port_barrier(PF_BARRIER_COMPLETE);
		for (unsigned i = 0; i < 16; i++) {
			uint64_t v = load(i);

			assert_true(v == 100 + i);
		}
		pf_port_tlbi(PF_TLBI_VMALLE1IS, 0, 0);
		pf_port_barrier(PF_BARRIER_COMPLETE);
	}
	assert_in_range(whole, ROUNDS / 4, ROUNDS - 1);
	rig_stop();
}

static void test_asid(void **state)
{
	(void)state;
	rig_start(PF_FEAT_HAF, 0);
	*word(10) = 10;
	*word(11) = 11;
	set(0, FRAME(10) | PAGE);
	set(1, (FRAME(10) | PAGE) & ~NG);
	assert_int_equal(load(0), 10);
	assert_int_equal(load(1), 10);
	set(0, FRAME(11) | PAGE);
	set(1, (FRAME(11) | PAGE) & ~NG);
	/* Another space's; and of this one what is global. */
	pf_port_tlbi(PF_TLBI_ASIDE1IS, UINT64_C(2) << 48, 0);
	invalidate(0, 2);
	pf_port_barrier(PF_BARRIER_COMPLETE);
	assert_int_equal(load(0), 10);
	pf_port_tlbi(PF_TLBI_ASIDE1IS, (uint64_t)ASID << 48, 0);
	pf_port_barrier(PF_BARRIER_COMPLETE);
	assert_int_equal(load(0), 11);
	assert_int_equal(load(1), 10);
	invalidate(1, 2);
	pf_port_barrier(PF_BARRIER_COMPLETE);
	assert_int_equal(load(1), 11);
	rig_stop();
}

/* A table that was found before is found again, until an invalidation that is not of leaves alone. */
static void test_walk_cache(void **state)
{
	(void)state;
	rig_start(PF_FEAT_HAF, 0);
	*word(10) = 10;
	*word(11) = 11;
	set(0, FRAME(10) | PAGE);
	set(1, FRAME(10) | PAGE);
	assert_int_equal(load(0), 10);
	/* Another table. */
	word(4)[1] = FRAME(11) | PAGE;
	*(word(2) + (VA >> 21 & 511)) = FRAME(4) | TABLE;
	invalidate(1, ASID);
	pf_port_barrier(PF_BARRIER_COMPLETE);
	assert_int_equal(load(1), 10);
	pf_port_tlbi(PF_TLBI_VAE1IS, (uint64_t)ASID << 48 | ((VA >> 12) + 1), 0);
	pf_port_barrier(PF_BARRIER_COMPLETE);
	assert_int_equal(load(1), 11);
	rig_stop();
}

static void test_rights(void **state)
{
	struct smp_fault f;
	uint64_t v;

	(void)state;
	rig_start(PF_FEAT_HAF | PF_FEAT_HD, 0);
	f = smp_load(VA, &v);
	assert_true(f.fault && !f.present);
	f = smp_load(VA + (UINT64_C(1) << 30), &v);
	assert_true(f.fault && !f.present);
	f = smp_load(UINT64_C(1) << 48, &v);
	assert_true(f.fault && !f.present);
	set(0, FRAME(10) | (PAGE & ~AF) | RDONLY);
	f = smp_store(VA, 1);
	assert_true(f.fault && f.present);
	assert_true(!(*entry(0) & AF));
	assert_int_equal(load(0), 0);
	assert_true(*entry(0) & AF);
	f = smp_store(VA, 1);
	assert_true(f.fault && f.present);
	/* Cached as it was: a right more is seen when it is dropped, on this CPU. */
	set(0, FRAME(10) | PAGE);
	assert_true(smp_store(VA, 1).fault);
	pf_port_tlbi(PF_TLBI_VALE1, (uint64_t)ASID << 48 | VA >> 12, 0);
	assert_false(smp_store(VA, 1).fault);
	assert_int_equal(*word(10), 1);
	/* D: a store, not a load, takes RDONLY from where DBM is set. */
	set(1, FRAME(10) | PAGE | RDONLY | DBM);
	assert_int_equal(load(1), 1);
	assert_true(*entry(1) & RDONLY);
	assert_false(smp_store(VA + 4096, 2).fault);
	assert_true(!(*entry(1) & RDONLY));
	rig_stop();
	/* No hardware that sets A: software's to do. */
	rig_start(0, 0);
	set(0, FRAME(10) | (PAGE & ~AF));
	f = smp_load(VA, &v);
	assert_true(f.fault && f.present);
	rig_stop();
}

/* ---- two CPUs ---- */

static struct {
	uint32_t stop, ready;
	uint64_t stored; /* last value */
} other;

static void wait_ready(void)
{
	while (!pf_load_acquire(&other.ready))
		sched_yield();
}

/* Has used a translation, and runs no program any more. */
static void *idle(void *arg)
{
	uint64_t v;

	(void)arg;
	assert_true(smp_enter(true));
	smp_set_root(ROOT, ASID);
	assert_false(smp_load(VA, &v).fault);
	pf_store_release(&other.ready, 1);
	while (!pf_load_acquire(&other.stop))
		sched_yield();
	/* What was invalidated meanwhile is gone. */
	assert_int_equal(load(0), 11);
	smp_leave();
	return NULL;
}

static void test_idle(void **state)
{
	pthread_t t;

	(void)state;
	memset(&other, 0, sizeof(other));
	rig_start(PF_FEAT_HAF, 0);
	*word(10) = 10;
	*word(11) = 11;
	set(0, FRAME(10) | PAGE);
	assert_int_equal(pthread_create(&t, NULL, idle, NULL), 0);
	wait_ready();
	set(0, FRAME(11) | PAGE);
	/* More than its list has room for. */
	for (unsigned i = 0; i < 1000; i++)
		invalidate(0, ASID);
	pf_port_barrier(PF_BARRIER_COMPLETE);
	pf_store_release(&other.stop, 1);
	pthread_join(t, NULL);
	rig_stop();
}

static void *storer(void *arg)
{
	(void)arg;
	assert_true(smp_enter(true));
	smp_set_root(ROOT, ASID);
	for (uint64_t i = 1; !pf_load_acquire(&other.stop); i++) {
		smp_store(VA, i);
		pf_store_release(&other.ready, 1);
	}
	smp_leave();
	return NULL;
}

/*
 * After COMPLETE nobody stores to the old page, however long the store took that had begun; and no walker sets A or D in
 * an entry that is something else by now.
 */
static void test_shootdown(void **state)
{
	struct smp_counts n;
	pthread_t t;

	(void)state;
	memset(&other, 0, sizeof(other));
	rig_start(PF_FEAT_HAF | PF_FEAT_HD, 2);
	set(0, FRAME(10) | PAGE);
	assert_int_equal(pthread_create(&t, NULL, storer, NULL), 0);
	wait_ready();
	for (unsigned i = 0; i < 4 * ROUNDS; i++) {
		const unsigned from = 10 + i % 2;
		uint64_t last, old;

		old = __atomic_exchange_n(entry(0), 0, __ATOMIC_ACQ_REL);
		assert_int_equal(old & PF_MASK(47, 12), FRAME(from));
		invalidate(0, ASID);
		pf_port_barrier(PF_BARRIER_COMPLETE);
		last = pf_load_relaxed(word(from));
		for (unsigned k = 0; k < 200; k++)
			assert_int_equal(pf_load_relaxed(word(from)), last);
		assert_int_equal(pf_load_relaxed(entry(0)), 0);
		set(0, FRAME(10 + (i + 1) % 2) | (PAGE & ~AF) | RDONLY | DBM);
		if (i % 4 == 0)
			sched_yield();
	}
	pf_store_release(&other.stop, 1);
	pthread_join(t, NULL);
	smp_counts(&n);
	assert_true(n.waits && n.set_ad);
	rig_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_block),
		cmocka_unit_test(test_asid),
		cmocka_unit_test(test_walk_cache),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_shootdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
