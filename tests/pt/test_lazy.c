/* SPDX-License-Identifier: MIT */
/*
 * Lazy-MMU sections: when what pf_pt_map owes to walkers is paid. That they then find it is for the machine to say
 * (test_machine.c); here is the count, and the order.
 */
#include "pt/lazy.h"
#include "pt_test.h"

static struct pf_pt *const pt = &tree.pt;
static struct pf_lazy_mmu lazy;

static void begin(unsigned flags)
{
	tree_memory();
	assert_int_equal(pf_pt_init(pt, &pf_pt_format_this, &test_table_mem, 0, TEST_ASID, flags,
				 PF_FOLD_LINUX),
		0);
	lazy = (struct pf_lazy_mmu){0};
	test_port.lazy = &lazy;
	recorder_reset();
	recorder.on = true;
}

static void end(void)
{
	assert_false(lazy.enabled || lazy.paused || lazy.owed);
	recorder.on = false;
	pf_pt_destroy(pt);
	assert_int_equal(tables_out, 0);
	test_port_stop();
}

/* One page, whose frame does not follow the page's before it. */
static void map(uint64_t page)
{
	assert_int_equal(pf_pt_map(pt, page << PF_PAGE_SHIFT, 1, 2 * page + 1, PF_PTE_R), 0);
}

/* PUBLISH since this was asked last. */
static unsigned published(void)
{
	unsigned nr = 0;

	for (size_t i = 0; i < recorder.nr; i++)
		nr += recorder.rec[i].kind == REC_BARRIER &&
		      recorder.rec[i].barrier == PF_BARRIER_PUBLISH;
	recorder_reset();
	return nr;
}

static void paid_once(void **state)
{
	(void)state;
	begin(PF_PT_NOFAULT);
	for (unsigned i = 0; i < 32; i++)
		map(i);
	assert_int_equal(published(), 32);
	pf_lazy_mmu_enable();
	for (unsigned i = 32; i < 64; i++)
		map(i);
	assert_int_equal(published(), 0);
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 1);
	/* Nothing was mapped: nothing is owed. */
	pf_lazy_mmu_enable();
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 0);
	map(64);
	assert_int_equal(published(), 1);
	end();
}

static void sections_nest(void **state)
{
	(void)state;
	begin(PF_PT_NOFAULT);
	map(0);
	published();
	pf_lazy_mmu_enable();
	map(1);
	for (unsigned i = 1; i < 255; i++)
		pf_lazy_mmu_enable();
	map(2);
	assert_int_equal(published(), 0);
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 1);
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 0);
	for (unsigned i = 3; i < 255; i++)
		pf_lazy_mmu_disable();
	map(3);
	assert_int_equal(published(), 0);
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 1);
	end();
}

static void left_for_a_while(void **state)
{
	(void)state;
	begin(PF_PT_NOFAULT);
	map(0);
	pf_lazy_mmu_enable();
	map(1);
	published();
	pf_lazy_mmu_pause();
	assert_int_equal(published(), 1);
	map(2);
	assert_int_equal(published(), 1);
	/* Nothing can be opened or closed meanwhile. */
	pf_lazy_mmu_enable();
	map(3);
	assert_int_equal(published(), 1);
	pf_lazy_mmu_disable();
	pf_lazy_mmu_disable();
	pf_lazy_mmu_pause();
	pf_lazy_mmu_resume();
	map(4);
	assert_int_equal(published(), 1);
	pf_lazy_mmu_resume();
	map(5);
	assert_int_equal(published(), 0);
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 1);
	end();
}

/* An interrupt has no section, even if it comes while a thread has: what it maps is there for it. */
static void not_in_interrupts(void **state)
{
	(void)state;
	begin(PF_PT_NOFAULT);
	map(0);
	pf_lazy_mmu_enable();
	map(1);
	published();
	test_port.lazy = NULL;
	map(2);
	assert_int_equal(published(), 1);
	pf_lazy_mmu_enable();
	map(3);
	pf_lazy_mmu_pause();
	map(4);
	pf_lazy_mmu_resume();
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 2);
	test_port.lazy = &lazy;
	map(5);
	assert_int_equal(published(), 0);
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 1);
	end();
}

/*
 * Tables are asked for, and given back, outside: table_alloc and table_free of pt_test.c look. What was owed then is
 * paid before; a map that fails owes nothing.
 */
static void left_before_sleeping(void **state)
{
	(void)state;
	begin(PF_PT_NOFAULT);
	map(0);
	pf_lazy_mmu_enable();
	map(1);
	published();
	map(E);
	assert_int_equal(published(), 1);
	map(2);
	assert_int_equal(published(), 0);
	test_port.fail_at = 1;
	assert_int_equal(pf_pt_map(pt, 2 * E << PF_PAGE_SHIFT, 1, 5, PF_PTE_R), -PF_ENOMEM);
	assert_int_equal(published(), 1);
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 0);
	pf_lazy_mmu_enable();
	assert_int_equal(pf_pt_unmap(pt, (pf_va_t)E << PF_PAGE_SHIFT, 1), 0);
	pf_lazy_mmu_disable();
	end();
}

/* What is taken away is gone when the call returns, inside as outside. */
static void flushes_are_not_put_off(void **state)
{
	(void)state;
	begin(PF_PT_NOFAULT);
	for (unsigned i = 0; i < 8; i++)
		map(i);
	pf_lazy_mmu_enable();
	for (unsigned k = 0; k < 2; k++) {
		recorder_reset();
		if (k)
			assert_int_equal(pf_pt_unmap(pt, PF_PAGE_SIZE, 1), 0);
		else
			assert_int_equal(
				pf_pt_protect(pt, PF_PAGE_SIZE, 1, PF_PTE_R | PF_PTE_X), 0);
		assert_true(recorder.nr >= 3);
		assert_int_equal(recorder.rec[recorder.nr - 1].kind, REC_BARRIER);
		assert_int_equal(recorder.rec[recorder.nr - 1].barrier, PF_BARRIER_COMPLETE);
		assert_int_equal(recorder.rec[recorder.nr - 2].kind, REC_TLBI);
	}
	pf_lazy_mmu_disable();
	end();
}

/* What becomes usable again owes what a new mapping does: there was nothing to be flushed. */
static void usable_again(void **state)
{
	(void)state;
	begin(PF_PT_NOFAULT);
	for (unsigned i = 0; i < 4; i++)
		map(i);
	for (unsigned k = 0; k < 2; k++) {
		assert_int_equal(pf_pt_protect(pt, PF_PAGE_SIZE, 1, 0), 0);
		published();
		if (k)
			pf_lazy_mmu_enable();
		assert_int_equal(pf_pt_protect(pt, PF_PAGE_SIZE, 1, PF_PTE_R | PF_PTE_W), 0);
		assert_int_equal(published(), !k);
		if (k)
			pf_lazy_mmu_disable();
		assert_int_equal(published(), k);
	}
	end();
}

/* Where a fault may be taken, nothing is owed. */
static void others_owe_nothing(void **state)
{
	(void)state;
	begin(0);
	map(0);
	pf_lazy_mmu_enable();
	map(1);
	assert_false(lazy.owed);
	pf_lazy_mmu_disable();
	assert_int_equal(published(), 0);
	end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(paid_once),
		cmocka_unit_test(sections_nest),
		cmocka_unit_test(left_for_a_while),
		cmocka_unit_test(not_in_interrupts),
		cmocka_unit_test(left_before_sleeping),
		cmocka_unit_test(flushes_are_not_put_off),
		cmocka_unit_test(usable_again),
		cmocka_unit_test(others_owe_nothing),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " lazy-MMU sections", tests, NULL, NULL);
}
