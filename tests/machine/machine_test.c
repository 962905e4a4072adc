/* SPDX-License-Identifier: MIT */
/*
 * The rest of machine.h and of the port: settings, counters, the log, the report, RCU, failure injection, schedules.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"

#define ARM "arm64-4k"

static unsigned rcu_done;

/* The library's, which is not linked here. */
void pf_rcu_done(struct pf_rcu_head *head);
void pf_rcu_done(struct pf_rcu_head *head)
{
	(void)head;
	rcu_done++;
}

static void settings(void **state)
{
	struct machine_config good = {.format = ARM, .memory = 1 << 20, .cpus = 1}, c;
	uint32_t f;

	(void)state;
	assert_int_equal(machine_start(&good), 0);
	c = good;
	c.format = "arm64-8k";
	assert_int_equal(machine_start(&c), -1);
	assert_non_null(strstr(machine_error(), "arm64-8k"));
	c = good;
	c.cpus = 65;
	assert_int_equal(machine_start(&c), -1);
	c = good;
	c.memory = 4097;
	assert_int_equal(machine_start(&c), -1);
	c = good;
	c.features = PF_FEAT_HD;
	assert_int_equal(machine_start(&c), -1);
	c.format = "fake-nz";
	c.features = PF_FEAT_HAF;
	assert_int_equal(machine_start(&c), -1);
	c = good;
	c.log = "/nonexistent/log";
	assert_int_equal(machine_start(&c), -1);
	machine_stop();

	assert_true(machine_features(ARM, "", &f));
	assert_int_equal(f, 0x7f);
	assert_true(machine_features(ARM, "no-haf bbm0, no-ttl", &f));
	assert_int_equal(f, PF_FEAT_TLB_RANGE);
	assert_true(machine_features(ARM, "bbml2", &f));
	assert_int_equal(f & (PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT),
		PF_FEAT_BBM1 | PF_FEAT_BBM2);
	assert_true(machine_features("fake-inv", "no-haf bbml2-noabort", &f));
	assert_false(machine_features("fake-inv", "tlbirange", &f));
	assert_false(machine_features("fake-nz", "hafdbs", &f));
	assert_false(machine_features(ARM, "hafdb", &f));
	assert_false(machine_features("x", "", &f));
	for (const char *const *n = machine_formats(); *n; n++)
		assert_true(machine_features(*n, "", &f));
}

static void counters(void **state)
{
	struct machine_counters before;

	(void)state;
	rig_start(ARM, "", 1);
	machine_adversary(false);
	before = machine_counters;
	lock();
	st(0, rig_folio(1) | A_RDO);
	ld(0);
	xc(0, 0);
	cas(0, 1, 2);
	publish();
	tlbi(0, 2);
	pf_port_tlbi(
		PF_TLBI_RVALE1IS, (uint64_t)ASID << 48 | UINT64_C(1) << 46 | UINT64_C(7) << 39, 0);
	complete();
	pf_port_barrier(PF_BARRIER_LINK);
	unlock();
	assert_int_equal(machine_counters.pte_store - before.pte_store, 1);
	assert_int_equal(machine_counters.pte_load - before.pte_load, 1);
	assert_int_equal(machine_counters.pte_xchg - before.pte_xchg, 2);
	assert_int_equal(machine_counters.tlbi - before.tlbi, 3);
	assert_int_equal(machine_counters.tlbi_range - before.tlbi_range, 1);
	assert_int_equal(machine_counters.tlbi_pages - before.tlbi_pages, 18);
	assert_int_equal(machine_counters.dsb - before.dsb, 2);
	assert_int_equal(machine_counters.walk_load, before.walk_load);
	assert_int_equal(machine_counters.table_alloc, 4);
	machine_stop();
}

static void failure_injection(void **state)
{
	struct machine_config c = {.format = ARM, .memory = 1 << 20, .cpus = 1, .fail_at = 3};
	void *p;

	(void)state;
	assert_int_equal(machine_start(&c), 0);
	assert_false(pf_port_fail_alloc(PF_USE_TABLE));
	p = pf_port_meta_alloc(100);
	assert_non_null(p);
	assert_true(pf_port_fail_alloc(PF_USE_ANON));
	assert_false(pf_port_fail_alloc(PF_USE_ANON));
	assert_int_equal(machine_counters.allocs, 4);
	assert_int_equal(machine_check_end(), 100);
	pf_port_meta_free(p, 100);
	assert_int_equal(machine_check_end(), 0);
	c.fail_at = 1;
	assert_int_equal(machine_start(&c), 0);
	assert_null(pf_port_meta_alloc(8));
	machine_stop();
}

static void memory(void **state)
{
	uint64_t f, pa;

	(void)state;
	rig_start(ARM, "", 1);
	f = rig_folio(4);
	assert_int_equal(pf_port_phys(pf_port_virt(f + 123)), f + 123);
	assert_int_equal(pf_port_memmap_pa(pf_port_memmap(f)), f);
	assert_ptr_equal((char *)pf_port_memmap(f) + 32, pf_port_memmap(f + 4096));
	assert_int_equal(*(uint64_t *)pf_port_memmap(f), 0);
	memset(pf_port_virt(f), 7, 8192);
	pf_port_copy_pages(f + 8192, f, 4096);
	pf_port_clear_pages(f, 4096);
	assert_int_equal(*(uint64_t *)pf_port_virt(f), 0);
	assert_int_equal(*(uint8_t *)pf_port_virt(f + 12287), 7);
	/* A folio may be split by noting its parts, and then goes back in parts. */
	pf_port_note_alloc(PF_USE_ANON, f + 4096, 4096);
	pf_port_note_free(PF_USE_ANON, f + 4096, 4096);
	pf_port_note_free(PF_USE_ANON, f, 4096);
	pa = machine_check_end();
	pf_port_note_free(PF_USE_ANON, f + 8192, 8192);
	assert_int_equal(pa - machine_check_end(), 8192);
	assert_null(machine_violation());
	machine_stop();
}

/* What is stored is what is loaded, and reaches the frame that is mapped. */
static void data(void **state)
{
	uint64_t f, v;

	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		rig_start(ARM, "", seed);
		f = rig_folio(16);
		machine_note_store(0);
		lock();
		put16(0, f, A_CLEAN | A_CONT);
		publish();
		unlock();
		for (unsigned i = 0; i < 16; i++) {
			assert_false(machine_store(VA(i) + 8, i + 100).fault);
			assert_int_equal(*(uint64_t *)pf_port_virt(f + VA(i) + 8), i + 100);
			assert_false(machine_load(VA(i) + 8, &v).fault);
			assert_int_equal(v, i + 100);
		}
		assert_true(machine_exec(VA(1)).fault);
		assert_true(machine_exec(VA(1)).present);
		assert_true(machine_load(VA(16), &v).fault);
		assert_false(machine_load(VA(16), &v).present);
		assert_true(machine_load(UINT64_C(1) << 48, &v).fault);
		machine_set_cpu(2);
		assert_true(machine_load(0, &v).fault); /* no root */
		assert_null(machine_violation());
	}
	machine_stop();
}

static void no_data(void **state)
{
	struct machine_config c = {.format = ARM, .memory = 1 << 20, .cpus = 1, .no_data = true};
	uint64_t pa = MACHINE_RAM_BASE;

	(void)state;
	assert_int_equal(machine_start(&c), 0);
	*(uint64_t *)pf_port_virt(pa) = 1;
	pf_port_clear_pages(pa, 4096);
	pf_port_copy_pages(pa, pa + 4096, 4096);
	assert_int_equal(*(uint64_t *)pf_port_virt(pa), 1);
	machine_stop();
}

static void touch_sets_a_and_d(void **state)
{
	(void)state;
	rig_start(ARM, "", 3);
	lock();
	st(0, rig_folio(1) | A_OLD);
	st(1, (rig_folio(1) | A_RDO) & ~A_AF);
	publish();
	unlock();
	machine_adversary(false);
	machine_touch(VA(0));
	machine_touch(VA(1));
	machine_touch(VA(2));
	assert_int_equal(raw(0) & (A_AF | A_RO), A_AF);
	assert_int_equal(raw(1) & (A_AF | A_RO), A_AF | A_RO);
	machine_check_quiescent(ASID);
	assert_null(machine_violation());
	machine_stop();
}

static void rcu(void **state)
{
	struct pf_rcu_head a, b;

	(void)state;
	rig_start(ARM, "", 1);
	rcu_done = 0;
	pf_port_rcu_read_lock();
	machine_run_on(1);
	pf_port_call_rcu(&a);
	machine_rcu_drain();
	assert_int_equal(rcu_done, 0);
	/* A reader that begins now cannot have found what was unlinked before. */
	pf_port_rcu_read_lock();
	machine_run_on(0);
	pf_port_rcu_read_unlock();
	machine_rcu_drain();
	assert_int_equal(rcu_done, 1);
	pf_port_call_rcu(&b);
	lock();
	machine_run_on(1);
	pf_port_rcu_read_unlock();
	machine_run_on(0);
	machine_rcu_drain();
	unlock();
	machine_rcu_drain();
	assert_int_equal(rcu_done, 2);
	assert_null(machine_violation());
	machine_stop();
}

static char *slurp(const char *name)
{
	FILE *f = fopen(name, "r");
	char *s = calloc(1, 1 << 22);

	assert_non_null(f);
	assert_true(fread(s, 1, (1 << 22) - 1, f) > 0);
	fclose(f);
	return s;
}

static void some_work(const char *log, uint64_t seed)
{
	struct machine_config c = {
		.format = ARM, .memory = 32 << 20, .cpus = 3, .seed = seed, .log = log};
	uint64_t v, f;

	assert_true(machine_features(ARM, "", &c.features));
	assert_int_equal(machine_start(&c), 0);
	rig.next = MACHINE_RAM_BASE + (1 << 20);
	rig.levels = 4;
	rig.level_bits = 9;
	for (unsigned l = 0; l < 4; l++) {
		rig.table[l] = rig_table();
		if (l)
			pf_port_entry_store(
				rig_slot(rig.table[l], 0), rig.table[l - 1] | A_TABLE, true);
	}
	rig_load();
	for (unsigned n = 0; n < 30; n++) {
		f = rig_folio(16);
		lock();
		put16(0, f, A_OLD | A_CONT);
		publish();
		unlock();
		machine_run_on(n & 1);
		machine_store(VA(n % 16), n);
		machine_load(VA(3), &v);
		machine_run_on(0);
		lock();
		clear16(0);
		flush(0, 16);
		unlock();
		pf_port_note_free(PF_USE_ANON, f, 65536);
		machine_check_quiescent(ASID);
	}
	assert_null(machine_violation());
	machine_stop();
}

static void log_is_complete_and_repeats(void **state)
{
	static const char *const want[] = {"\n1 0 alloc use=table pa=80100000 bytes=1000\n",
		" release pa=80101000 bytes=8 old=0 new=80100003\n", " barrier kind=publish\n",
		" barrier kind=complete\n", " root of=1 pa=80103000 asid=5\n",
		" lock class=table id=80100000\n", " unlock class=table id=80100000\n",
		" tlbi op=1 operand=570000000000f operand2=0\n",
		" walk-a pa=", " walk-d pa=", " free use=anon pa=80110000 bytes=10000\n",
		" quiescent asid=5\n",
		" access kind=write va=0 how=", " xchg pa=80100000 bytes=8 old="};
	char one[] = "/tmp/pf-log-1-XXXXXX", two[] = "/tmp/pf-log-2-XXXXXX",
	     three[] = "/tmp/pf-log-3-XXXXXX";
	unsigned long long last = 0, seq;
	char *a, *b, *c;

	(void)state;
	close(mkstemp(one));
	close(mkstemp(two));
	close(mkstemp(three));
	some_work(one, 11);
	some_work(two, 11);
	some_work(three, 12);
	a = slurp(one);
	b = slurp(two);
	c = slurp(three);
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
	assert_int_equal(strncmp(a,
				 "0 0 machine format=arm64-4k memory=2000000 base=80000000 cpus=3 "
				 "features=7f seed=11\n",
				 80),
		0);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(want); i++)
		if (!strstr(a, want[i]))
			fail_msg("the log lacks \"%s\"", want[i]);
	for (const char *p = a; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		unsigned cpu;
		char kind[32];

		assert_int_equal(sscanf(p, "%llu %u %31s", &seq, &cpu, kind), 3);
		assert_true(seq >= last && cpu < 3);
		last = seq;
	}
	free(a);
	free(b);
	free(c);
	unlink(one);
	unlink(two);
	unlink(three);
}

static void report_has_the_history(void **state)
{
	uint64_t f;
	const char *text;

	(void)state;
	rig_start(ARM, "", 1);
	machine_adversary(false);
	f = rig_folio(1);
	lock();
	for (unsigned i = 0; i < 10; i++) {
		st(3, f | A_RDO);
		xc(3, 0);
	}
	st(3, f | A_RDO);
	unlock();
	machine_run_on(1);
	st(3, 0);
	text = machine_violation_text();
	assert_string_equal(machine_violation(), "L1");
	assert_non_null(strstr(text,
		"rule L1 (a table entry was stored without the table's lock), cpu 1, event #"));
	assert_non_null(strstr(text, "slot 3 of table 80100000, level 0, asid 5, va 3000"));
	assert_non_null(strstr(text, "earlier events)"));
	assert_non_null(
		strstr(text, "cpu 0 xchg 0060000080110fc3 80110000 r A -> 0000000000000000 empty"));
	/* Only the first is recorded, until it is forgotten. */
	machine_run_on(0);
	lock();
	lock();
	assert_string_equal(machine_violation(), "L1");
	machine_forget_violation();
	assert_null(machine_violation());
	lock();
	assert_string_equal(machine_violation(), "L2");
	machine_stop();
}

struct schedule {
	unsigned points, blocked;
};

static void on_point(void *ctx, bool blocked)
{
	struct schedule *s = ctx;
	unsigned cpu = machine_cpu();

	s->points++;
	if (!blocked)
		return;
	/* The holder runs, and lets go. */
	s->blocked++;
	machine_set_schedule(NULL, NULL);
	machine_run_on(0);
	unlock();
	machine_run_on(cpu);
	machine_set_schedule(on_point, s);
}

static void schedule_points(void **state)
{
	struct schedule s = {0};

	(void)state;
	rig_start(ARM, "", 1);
	lock();
	machine_set_schedule(on_point, &s);
	machine_run_on(1);
	lock();
	st(0, rig_folio(1) | A_RDO);
	unlock();
	assert_int_equal(s.blocked, 1);
	assert_int_equal(s.points, 5); /* lock, blocked, alloc, store, unlock */
	assert_null(machine_violation());
	machine_stop();
}

static void mutants(void **state)
{
	struct machine_config c = {.format = ARM, .memory = 1 << 20, .cpus = 1};

	(void)state;
	setenv("PF_MUTANT", "one", 1);
	assert_int_equal(machine_start(&c), 0);
	assert_true(pf_port_mutant("one"));
	assert_false(pf_port_mutant("two"));
	machine_set_mutant("two");
	assert_false(pf_port_mutant("one"));
	assert_true(pf_port_mutant("two"));
	unsetenv("PF_MUTANT");
	assert_int_equal(machine_start(&c), 0);
	assert_false(pf_port_mutant("one"));
	assert_false(pf_port_mutant(""));
	machine_stop();
}

/* A tree torn down as a process's exit does it: all formats, nothing left. */
static void teardown(void **state)
{
	(void)state;
	for (const char *const *f = machine_formats(); *f; f++)
		for (unsigned seed = 0; seed < 10; seed++) {
			unsigned n;

			rig_start(*f, "", seed);
			machine_set_root(0, 0, 0);
			machine_set_root(1, 0, 0);
			publish();
			invalidate_asid(ASID);
			complete();
			n = rig.levels;
			for (unsigned l = 0; l < n; l++)
				pf_port_note_free(PF_USE_TABLE, rig.table[l],
					rig_table_bytes() < 4096 ? 4096 : rig_table_bytes());
			machine_retire_asid(ASID);
			assert_int_equal(machine_check_end(), 0);
			if (machine_violation())
				fail_msg("%s: %s", *f, machine_violation_text());
		}
	machine_stop();
}

/* 10^5 events in well under a second, sanitizers aside. */
static void is_fast(void **state)
{
	struct timespec a, b;
	uint64_t f;
	double s;

	(void)state;
	rig_start(ARM, "", 1);
	f = rig_folio(16);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (unsigned n = 0; n < 2000; n++) {
		lock();
		put16(n % 16 * 16, f, A_OLD | A_CONT);
		publish();
		unlock();
		machine_touch(VA(n % 16 * 16));
		lock();
		clear16(n % 16 * 16);
		flush(n % 16 * 16, 16);
		unlock();
		machine_check_quiescent(ASID);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
	assert_null(machine_violation());
	assert_true(machine_counters.pte_store + machine_counters.pte_xchg + machine_counters.tlbi >
		    90000);
	if (s > 5)
		fail_msg("100000 events took %.1f s", s);
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings),
		cmocka_unit_test(counters),
		cmocka_unit_test(failure_injection),
		cmocka_unit_test(memory),
		cmocka_unit_test(data),
		cmocka_unit_test(no_data),
		cmocka_unit_test(touch_sets_a_and_d),
		cmocka_unit_test(rcu),
		cmocka_unit_test(log_is_complete_and_repeats),
		cmocka_unit_test(report_has_the_history),
		cmocka_unit_test(schedule_points),
		cmocka_unit_test(mutants),
		cmocka_unit_test(teardown),
		cmocka_unit_test(is_fast),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
