/* SPDX-License-Identifier: MIT */
/*
 * Mappings of frames that are no memory, with every allocation of every call failing once.
 */
#include "pfnmap_world.h"

#define NR 64u

static struct pf_mm child;
static bool have_child;

static int do_map(void)
{
	return map_dev(A, NR, RW, SHARED, 0) < 0 ? -PF_ENOMEM : 0;
}

static int do_remap(void)
{
	return pf_remap_pfn_range(&mm, A, NR * P, DEV);
}

static int do_protect(void)
{
	return pf_mprotect(&mm, A + P, P, PF_PROT_READ);
}

static int do_private(void)
{
	return map_dev(B, NR, RW, PRIVATE, 0) < 0 ? -PF_ENOMEM : 0;
}

static int do_remap_private(void)
{
	return pf_remap_pfn_range(&mm, B, NR * P, DEV);
}

static int do_write(void)
{
	const enum pf_fault_result r = put(B + 2 * P, 5);

	return r == PF_FAULT_OOM ? -PF_ENOMEM : r == PF_FAULT_DONE ? 0 : -PF_EFAULT;
}

static int do_fork(void)
{
	const int err = pf_fork(&child, &mm, 2);

	have_child = !err;
	return err;
}

static int do_zap(void)
{
	pf_unmap_mapping_pages(dev, 8, 8, false);
	return pf_zap_vma_ptes(&mm, A, P);
}

static int do_fault(void)
{
	const enum pf_fault_result r = put(A + 9 * P, 5);

	return r == PF_FAULT_OOM ? -PF_ENOMEM : r == PF_FAULT_DONE ? 0 : -PF_EFAULT;
}

static int do_move(void)
{
	const int64_t r = pf_mremap(
		&mm, B + P, 4 * P, 4 * P, MOVE, UINT64_C(0x7000000000) & (sys.task_size - 1));

	return r < 0 ? (int)r : 0;
}

static int do_hole(void)
{
	return pf_munmap(&mm, A + 20 * P, P);
}

static int do_fault_far(void)
{
	/* A table of its own. */
	const pf_va_t va = UINT64_C(0x6000000000) & (sys.task_size - 1);
	enum pf_fault_result r;

	if (map_dev(va, 1, RW, SHARED, 3) < 0)
		return -PF_ENOMEM;
	r = put(va, 5);
	return r == PF_FAULT_OOM ? -PF_ENOMEM : r == PF_FAULT_DONE ? 0 : -PF_EFAULT;
}

static int (*const program[])(void) = {do_map, do_remap, do_protect, do_private, do_remap_private,
	do_write, do_fork, do_zap, do_fault, do_move, do_hole, do_fault_far};

/* Steps [0, n) succeed. */
static void run_to(const struct pf_format *fmt, unsigned n, uint64_t fail_at)
{
	have_child = false;
	begin(fmt, PF_FOLD_WATCH, fail_at);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(program[i](), 0);
}

static void leave(void)
{
	world_check("left");
	if (have_child) {
		const char *bad = pf_mm_check(&child);

		if (bad)
			fail_msg("the child: %s", bad);
		pf_mm_exit(&child);
		machine_retire_asid(2);
	}
	finish();
}

static void every_allocation(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned at_step = 0; at_step < PF_ARRAY_SIZE(program); at_step++) {
			uint64_t first, nr;

			run_to(pf_formats[i], at_step, 0);
			first = machine_counters.allocs;
			assert_int_equal(program[at_step](), 0);
			nr = machine_counters.allocs - first;
			leave();
			for (uint64_t k = 1; k <= nr; k++, failures++) {
				struct pf_page_info was[2];
				uint32_t vmas;
				int err;

				run_to(pf_formats[i], at_step, first + k);
				was[0] = at(A + 9 * P);
				was[1] = at(B + 2 * P);
				vmas = mm.map_count;
				err = program[at_step]();
				world_check("an allocation failed");
				if (!err) {
					leave();
					continue;
				}
				assert_int_equal(err, -PF_ENOMEM);
				assert_int_equal(
					pf_pte_pfn(was[0].pte), pf_pte_pfn(at(A + 9 * P).pte));
				assert_int_equal(
					pf_pte_pfn(was[1].pte), pf_pte_pfn(at(B + 2 * P).pte));
				if (program[at_step] != do_fault_far)
					assert_int_equal(mm.map_count, vmas);
				assert_int_equal(program[at_step](), 0);
				leave();
			}
		}
	assert_true(failures > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation)};

	return cmocka_run_group_tests_name("PFN maps, no memory", tests, NULL, NULL);
}
