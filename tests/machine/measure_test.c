/* SPDX-License-Identifier: MIT */
/*
 * The measuring build: memory, locks, counters and a walker that caches nothing.
 */
#include <string.h>

#include "rig.h"

static unsigned rcu_done;

void pf_rcu_done(struct pf_rcu_head *head);
void pf_rcu_done(struct pf_rcu_head *head)
{
	(void)head;
	rcu_done++;
}

#define FRAME(pa) ((pa) >> 12 << 24)

static uint64_t table[4], next;

static uint64_t frame(void)
{
	uint64_t pa = next;

	next += 16384;
	return pa;
}

static uint64_t *slot(unsigned level, unsigned idx)
{
	return (uint64_t *)pf_port_virt(table[level]) + idx;
}

static void walker(void **state)
{
	struct machine_config c = {.format = "fake-inv", .memory = 4 << 20, .cpus = 2};
	uint64_t f, v;

	(void)state;
	assert_true(machine_features(c.format, "", &c.features));
	assert_int_equal(machine_start(&c), 0);
	next = MACHINE_RAM_BASE;
	for (unsigned l = 0; l < 4; l++) {
		table[l] = frame();
		for (unsigned i = 0; i < 128; i++)
			*slot(l, i) = 1;
		if (l)
			*slot(l, 0) = FRAME(table[l - 1]) | 2;
	}
	f = frame();
	*slot(0, 3) = FRAME(f) | 0x0c; /* R, W */
	*slot(0, 4) = FRAME(f) | 0x04; /* R */
	assert_true(machine_load(0x3000, &v).fault);
	machine_set_root(0, table[3], 1);
	*(uint64_t *)pf_port_virt(f + 8) = 42;
	assert_false(machine_load(0x3008, &v).fault);
	assert_int_equal(v, 42);
	assert_int_equal(*slot(0, 3) & 0xff, 0x4c); /* A */
	assert_false(machine_store(0x3008, 43).fault);
	assert_int_equal(*slot(0, 3) & 0xff, 0xcc); /* and D */
	assert_int_equal(*(uint64_t *)pf_port_virt(f + 8), 43);
	assert_true(machine_store(0x4008, 44).fault);
	assert_true(machine_store(0x4008, 44).present);
	assert_true(machine_exec(0x3000).fault);
	machine_touch(0x4000);
	assert_int_equal(*slot(0, 4) & 0xff, 0x44);
	assert_false(machine_load(0x5000, &v).present);
	machine_set_cpu(1);
	assert_true(machine_load(0x3000, &v).fault);
	assert_int_equal(machine_counters.walk_ad, 3);
	machine_stop();
}

static void port(void **state)
{
	struct machine_config c = {
		.format = "arm64-4k", .memory = 4 << 20, .cpus = 1, .features = PF_FEAT_TLB_RANGE};
	struct pf_spinlock l;
	struct pf_rwlock rw;
	struct pf_rcu_head h[2];
	void *p;

	(void)state;
	c.log = "x";
	assert_int_equal(machine_start(&c), -1); /* only the judge logs */
	c.log = NULL;
	assert_int_equal(machine_start(&c), 0);
	pf_port_spin_init(&l, PF_LOCK_TABLE, 0);
	pf_port_spin_lock(&l, PF_LOCK_TABLE, 0);
	assert_false(pf_port_spin_trylock(&l, PF_LOCK_TABLE, 0));
	/* Callbacks run outside spinlocks and readers. */
	rcu_done = 0;
	pf_port_call_rcu(&h[0]);
	pf_port_rcu_read_lock();
	pf_port_rcu_read_unlock();
	assert_int_equal(rcu_done, 0);
	pf_port_rcu_read_lock();
	pf_port_spin_unlock(&l, PF_LOCK_TABLE, 0);
	pf_port_call_rcu(&h[1]);
	assert_int_equal(rcu_done, 0);
	pf_port_rcu_read_unlock();
	assert_int_equal(rcu_done, 2);
	pf_port_rw_init(&rw, PF_LOCK_MMAP);
	pf_port_rw_read_lock(&rw, PF_LOCK_MMAP);
	pf_port_rw_read_lock(&rw, PF_LOCK_MMAP);
	assert_int_equal(rw.word[0], 2);
	pf_port_rw_read_unlock(&rw, PF_LOCK_MMAP);
	pf_port_rw_read_unlock(&rw, PF_LOCK_MMAP);
	pf_port_rw_write_lock(&rw, PF_LOCK_MMAP);
	pf_port_rw_write_unlock(&rw, PF_LOCK_MMAP);
	assert_int_equal(rw.word[0], 0);

	pf_port_tlbi(PF_TLBI_RVALE1IS, UINT64_C(1) << 46 | UINT64_C(7) << 39, 0);
	pf_port_tlbi(PF_TLBI_VAE1IS, 0, 0);
	pf_port_barrier(PF_BARRIER_PUBLISH);
	pf_port_barrier(PF_BARRIER_LINK);
	assert_int_equal(machine_counters.tlbi, 2);
	assert_int_equal(machine_counters.tlbi_range, 1);
	assert_int_equal(machine_counters.tlbi_pages, 17);
	assert_int_equal(machine_counters.dsb, 1);
	assert_false(PF_MUTANT("any"));
	p = pf_port_meta_alloc(32);
	assert_int_equal(machine_check_end(), 32);
	pf_port_meta_free(p, 32);
	assert_int_equal(machine_check_end(), 0);
	memset(pf_port_virt(MACHINE_RAM_BASE), 1, 4096);
	pf_port_copy_pages(MACHINE_RAM_BASE + 4096, MACHINE_RAM_BASE, 4096);
	pf_port_clear_pages(MACHINE_RAM_BASE, 4096);
	assert_int_equal(*(char *)pf_port_virt(MACHINE_RAM_BASE), 0);
	assert_int_equal(*(char *)pf_port_virt(MACHINE_RAM_BASE + 8191), 1);
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walker),
		cmocka_unit_test(port),
	};

	return cmocka_run_group_tests_name("machine measuring", tests, NULL, NULL);
}
