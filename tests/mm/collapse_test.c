/* SPDX-License-Identifier: MIT */
/*
 * khugepaged's limits.
 */
#include "world.h"

#include "mm/collapse.h"
#include "mm/rmap.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)

static uint64_t pmd;

static void write_pages(struct pf_mm *m, pf_va_t va, unsigned nr)
{
	for (; nr; nr--, va += P) {
		machine_note_store(va);
		assert_int_equal(pf_handle_mm_fault(m, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	}
}

static unsigned order_at(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	assert_true(pf_pte_present(info.pte));
	return info.order;
}

/* Two tables' worth of memory that khugepaged may collapse. Memory of the world holds one folio of that size. */
static bool start(const struct pf_format *fmt)
{
	if (fmt->pt->level_bits > 9)
		return false;
	pmd = P << fmt->pt->level_bits;
	world_start(fmt, 0);
	sys.thp.order[2] = sys.thp.order[4] = PF_THP_NEVER;
	sys.thp.order[fmt->pt->level_bits] = PF_THP_MADVISE;
	assert_int_equal(pf_mmap(&mm, A, 2 * pmd, RW, FIXED), A);
	return true;
}

static void each_format(void (*test)(void))
{
	for (unsigned i = 0; pf_formats[i]; i++) {
		if (!start(pf_formats[i]))
			continue;
		test();
		world_check("done");
		assert_null(pf_rmap_check(&sys));
		world_stop();
	}
}

static void advise(void)
{
	assert_int_equal(pf_madvise(&mm, A, 2 * pmd, PF_MADV_HUGEPAGE), 0);
}

static void expect_collapsed(uint64_t wanted)
{
	const uint64_t before = sys.collapses;

	assert_int_equal(pf_khugepaged(&mm, A, 2 * pmd), 0);
	assert_int_equal(sys.collapses - before, wanted);
}

static void limit_none(void)
{
	write_pages(&mm, A, 3);
	advise();
	sys.thp.max_ptes_none = (uint32_t)(pmd / P) - 4;
	expect_collapsed(0);
	sys.thp.max_ptes_none++;
	expect_collapsed(1);
	expect_collapsed(0);
	assert_int_equal(1u << order_at(A), pmd / P);
}

static void limit_shared(void)
{
	struct pf_mm child;

	write_pages(&mm, A, 4);
	advise();
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	/* fork leaves the parent's entries young. */
	sys.thp.max_ptes_shared = 3;
	expect_collapsed(0);
	sys.thp.max_ptes_shared = (uint32_t)(pmd / P);
	expect_collapsed(1);
	world_check("collapsed");
	pf_mm_exit(&child);
	machine_retire_asid(2);
}

static void unused(void)
{
	write_pages(&mm, A, 1);
	advise();
	/* Or the hardware might set A again. */
	assert_int_equal(pf_mprotect(&mm, A, 2 * pmd, PF_PROT_NONE), 0);
	assert_int_equal(sys.fmt->age_range(&mm.space, A, pmd / P, PF_AGE_CLEAR), 1);
	assert_int_equal(sys.fmt->age_range(&mm.space, A, pmd / P, PF_AGE_LOOK), 0);
	expect_collapsed(0);
	assert_int_equal(pf_mprotect(&mm, A, 2 * pmd, RW), 0);
	write_pages(&mm, A, 1);
	expect_collapsed(1);
}

static void bad_ranges(void)
{
	assert_int_equal(pf_khugepaged(&mm, A + 1, pmd), -PF_EINVAL);
	assert_int_equal(pf_khugepaged(&mm, A, UINT64_MAX), -PF_EINVAL);
	assert_int_equal(pf_khugepaged(&mm, sys.task_size, P), -PF_EINVAL);
	assert_int_equal(pf_khugepaged(&mm, A, 0), 0);
	assert_int_equal(pf_khugepaged(&mm, sys.task_size - P, P), 0);
}

#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		each_format(name);                                                                 \
	}
TEST(limit_none)
TEST(limit_shared)
TEST(unused)
TEST(bad_ranges)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_none),
		cmocka_unit_test(test_limit_shared),
		cmocka_unit_test(test_unused),
		cmocka_unit_test(test_bad_ranges),
	};

	return cmocka_run_group_tests_name("mm collapse", tests, NULL, NULL);
}
