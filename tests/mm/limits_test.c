/* SPDX-License-Identifier: MIT */
/*
 * What an address space may have, and what locking does when it may not: limits, which scenarios
 * have no words for, and the order in which mlock and its kin look.
 */
#include "world.h"

#include "base/err.h"

#define A     UINT64_C(0x10000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define PRIV  (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS)
#define FIXED (PRIV | PF_MAP_FIXED)
#define MAY   PF_MREMAP_MAYMOVE

/* The call's result, and an address space in order. */
#define GIVES(call, want)                                                                          \
	do {                                                                                       \
		assert_int_equal((int64_t)(call), (int64_t)(want));                                \
		world_check(#call);                                                                \
	} while (0)

static int64_t map(pf_va_t va, uint64_t pages, unsigned prot, unsigned flags)
{
	if ((prot & PF_PROT_WRITE) && ((flags & PF_MAP_LOCKED) || mm.def_flags))
		world_note(va, pages);
	return pf_mmap(&mm, va, pages * P, prot, FIXED | flags);
}

static int lock(pf_va_t va, uint64_t pages)
{
	world_note(va, pages);
	return pf_mlock(&mm, va, pages * P);
}

static void memlock(void **state)
{
	world_start(*state, 0);
	GIVES(map(A, 16, RW, 0), A);
	/* Nothing at all: but unlocking is free, and arguments come first. */
	mm.limits.memlock = 0;
	GIVES(lock(A, 1), -PF_EPERM);
	GIVES(lock(A, 0), -PF_EPERM);
	GIVES(pf_mlock2(&mm, A, P, 2), -PF_EINVAL);
	GIVES(pf_mlockall(&mm, 0), -PF_EINVAL);
	GIVES(pf_mlockall(&mm, PF_MCL_FUTURE), -PF_EPERM);
	GIVES(map(A + 32 * P, 1, RW, PF_MAP_LOCKED), -PF_EPERM);
	GIVES(pf_munlock(&mm, A, P), 0);
	GIVES(pf_munlockall(&mm), 0);
	/* Four pages; the fraction of a page is none. */
	mm.limits.memlock = 5 * P - 1;
	GIVES(lock(A, 5), -PF_ENOMEM);
	assert_int_equal(mm.locked_vm, 0);
	/* before whether there is anything */
	GIVES(lock(A + 64 * P, 5), -PF_ENOMEM);
	GIVES(pf_mlock(&mm, A, UINT64_C(0) - 2 * A), -PF_ENOMEM);
	GIVES(lock(A, 3), 0);
	assert_int_equal(mm.locked_vm, 3);
	/* what is locked already counts once */
	GIVES(lock(A + P, 3), 0);
	assert_int_equal(mm.locked_vm, 4);
	GIVES(lock(A + P, 4), -PF_ENOMEM);
	GIVES(lock(A, 4), 0);
	GIVES(map(A + 32 * P, 1, RW, PF_MAP_LOCKED), -PF_EAGAIN);
	/* though it would replace locked memory: EAGAIN, before the type is looked at */
	GIVES(map(A, 1, RW, PF_MAP_LOCKED), -PF_EAGAIN);
	GIVES(pf_mmap(&mm, A, P, RW, PF_MAP_ANONYMOUS | PF_MAP_FIXED | PF_MAP_LOCKED), -PF_EAGAIN);
	GIVES(pf_mmap(&mm, A, P, RW, FIXED | PF_MAP_FIXED_NOREPLACE | PF_MAP_LOCKED), -PF_EEXIST);
	GIVES(map(A, 1, RW, 0), A);
	assert_int_equal(mm.locked_vm, 3);
	GIVES(map(A, 1, RW, PF_MAP_LOCKED), A);
	assert_int_equal(mm.locked_vm, 4);
	/* growing: where it may grow in place, and where it must move */
	GIVES(pf_mremap(&mm, A, P, 2 * P, MAY, 0), -PF_EAGAIN);
	GIVES(pf_munmap(&mm, A, P), 0);
	GIVES(pf_munmap(&mm, A + 4 * P, 12 * P), 0);
	GIVES(pf_mremap(&mm, A + P, 3 * P, 5 * P, 0, 0), -PF_EAGAIN);
	world_note(A + P, 4);
	GIVES(pf_mremap(&mm, A + P, 3 * P, 4 * P, 0, 0), A + P);
	assert_int_equal(mm.locked_vm, 4);
	GIVES(pf_munlock(&mm, A + P, P), 0);
	assert_int_equal(mm.locked_vm, 3);
	/* MCL_CURRENT: what is mapped must fit; MCL_FUTURE: what comes */
	GIVES(map(A + 32 * P, 4, RW, 0), A + 32 * P);
	GIVES(pf_mlockall(&mm, PF_MCL_CURRENT | PF_MCL_FUTURE), -PF_ENOMEM);
	assert_int_equal(mm.def_flags, 0);
	GIVES(pf_mlockall(&mm, PF_MCL_FUTURE), 0);
	GIVES(map(A + 64 * P, 2, RW, 0), -PF_EAGAIN);
	GIVES(map(A + 64 * P, 1, RW, 0), A + 64 * P);
	pf_set_brk_start(&mm, A + 128 * P);
	GIVES(pf_brk(&mm, A + 129 * P), A + 128 * P);
	GIVES(pf_munlockall(&mm), 0);
	assert_int_equal(mm.locked_vm, 0);
	GIVES(pf_brk(&mm, A + 129 * P), A + 129 * P);
	world_stop();
}

static void address_space(void **state)
{
	world_start(*state, 0);
	mm.limits.as = 8 * P + 1;
	GIVES(map(A, 9, 0, 0), -PF_ENOMEM);
	GIVES(map(A, 8, RW, 0), A);
	GIVES(map(A + 8 * P, 1, 0, 0), -PF_ENOMEM);
	/* what goes makes room */
	GIVES(map(A + 6 * P, 2, PF_PROT_READ, 0), A + 6 * P);
	GIVES(map(A + 6 * P, 3, PF_PROT_READ, 0), -PF_ENOMEM);
	GIVES(pf_mremap(&mm, A + 6 * P, 2 * P, 3 * P, MAY, 0), -PF_ENOMEM);
	/* locked memory may not be had before it may not be mapped */
	mm.limits.memlock = P;
	GIVES(map(A + 8 * P, 1, RW, PF_MAP_LOCKED), -PF_ENOMEM);
	GIVES(map(A + 8 * P, 2, RW, PF_MAP_LOCKED), -PF_EAGAIN);
	/* both at once is more than there may be */
	GIVES(pf_mremap(&mm, A, P, P, MAY | PF_MREMAP_DONTUNMAP, 0), -PF_ENOMEM);
	GIVES(pf_mremap(&mm, A, P, P, MAY | PF_MREMAP_FIXED, A + 32 * P), A + 32 * P);
	pf_set_brk_start(&mm, A + 128 * P);
	GIVES(pf_brk(&mm, A + 129 * P), A + 128 * P);
	GIVES(pf_munmap(&mm, A + 32 * P, P), 0);
	GIVES(pf_brk(&mm, A + 129 * P), A + 129 * P);
	/* a limit that has become lower takes nothing away */
	mm.limits.as = P;
	GIVES(pf_mprotect(&mm, A + P, P, PF_PROT_READ), 0);
	GIVES(pf_mprotect(&mm, A + P, P, RW), 0);
	world_stop();
}

static void data(void **state)
{
	world_start(*state, 0);
	mm.limits.data = 4 * P;
	GIVES(map(A, 8, PF_PROT_READ, 0), A);
	assert_int_equal(mm.data_vm, 0);
	GIVES(map(A + 8 * P, 5, RW, 0), -PF_ENOMEM);
	GIVES(map(A + 8 * P, 3, RW, 0), A + 8 * P);
	assert_int_equal(mm.data_vm, 3);
	/* becomes data: up to where it may not */
	GIVES(pf_mprotect(&mm, A, 2 * P, RW), -PF_ENOMEM);
	assert_int_equal(mm.data_vm, 3);
	GIVES(pf_mprotect(&mm, A, P, RW), 0);
	assert_int_equal(mm.data_vm, 4);
	GIVES(pf_mprotect(&mm, A + P, 7 * P, PF_PROT_EXEC), 0);
	GIVES(pf_mremap(&mm, A + 8 * P, 3 * P, 4 * P, MAY, 0), -PF_ENOMEM);
	GIVES(pf_mprotect(&mm, A, P, PF_PROT_READ), 0);
	GIVES(pf_mremap(&mm, A + 8 * P, 3 * P, 4 * P, MAY, 0), A + 8 * P);
	GIVES(pf_munmap(&mm, A + 8 * P, 2 * P), 0);
	assert_int_equal(mm.data_vm, 2);
	/* the heap is bounded by itself, and in the sum */
	pf_set_brk_start(&mm, A + 128 * P);
	GIVES(pf_brk(&mm, A + 131 * P), A + 128 * P);
	GIVES(pf_brk(&mm, A + 130 * P), A + 130 * P);
	GIVES(pf_munmap(&mm, A + 10 * P, 2 * P), 0);
	GIVES(pf_brk(&mm, A + 132 * P), A + 132 * P);
	mm.limits.data = 5 * P;
	GIVES(pf_munmap(&mm, A + 128 * P, 4 * P), 0);
	GIVES(pf_brk(&mm, A + 133 * P + 1), A + 132 * P);
	GIVES(pf_brk(&mm, A + 133 * P), A + 133 * P);
	world_stop();
}

static enum pf_fault_result touch(pf_va_t va)
{
	world_note(va & ~(P - 1), 1);
	return pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE);
}

/* What grows down grows as far as each limit lets it, and no page less. */
static void stack(void **state)
{
	const pf_va_t top = A + 4096 * P;

	world_start(*state, 0);
	GIVES(pf_mmap(&mm, top, P, RW, FIXED | PF_MAP_GROWSDOWN), top);
	assert_int_equal(mm.data_vm, 0);
	mm.limits.stack = 4 * P;
	GIVES(touch(top - 4 * P), PF_FAULT_SIGSEGV);
	GIVES(touch(top - 3 * P), PF_FAULT_DONE);
	assert_int_equal(mm.total_vm, 4);
	mm.limits.stack = PF_RLIM_INFINITY;
	mm.limits.as = 6 * P;
	GIVES(touch(top - 6 * P), PF_FAULT_SIGSEGV);
	GIVES(touch(top - 5 * P + 7), PF_FAULT_DONE);
	mm.limits.as = PF_RLIM_INFINITY;
	/* stacks are not data */
	mm.limits.data = 0;
	GIVES(touch(top - 6 * P), PF_FAULT_DONE);
	world_note(top - 6 * P, 7);
	GIVES(pf_mlock(&mm, top - P, P), 0);
	GIVES(pf_mlock2(&mm, top - 6 * P, 7 * P, PF_MLOCK_ONFAULT), 0);
	mm.limits.memlock = 8 * P;
	GIVES(touch(top - 8 * P), PF_FAULT_SIGSEGV);
	GIVES(touch(top - 7 * P), PF_FAULT_DONE);
	assert_int_equal(mm.locked_vm, 8);
	GIVES(pf_munlockall(&mm), 0);
	/* the gap is the system's to choose, and is kept below */
	GIVES(map(top - 40 * P, 1, PF_PROT_READ, 0), top - 40 * P);
	sys.stack_guard_gap = 20;
	GIVES(touch(top - 20 * P), PF_FAULT_SIGSEGV);
	GIVES(touch(top - 19 * P), PF_FAULT_DONE);
	sys.stack_guard_gap = 0;
	GIVES(touch(top - 39 * P), PF_FAULT_DONE);
	/* nothing is mapped below mmap_min_addr */
	GIVES(pf_mmap(&mm, sys.mmap_min_addr, P, RW, FIXED | PF_MAP_GROWSDOWN), sys.mmap_min_addr);
	GIVES(touch(sys.mmap_min_addr - P), PF_FAULT_SIGSEGV);
	world_stop();
}

/* Placed from the top down, and above what is full: neither may come into a gap. */
static void gaps(void **state)
{
	const uint64_t gap = 256 * P;
	pf_va_t base, low;

	world_start(*state, 0);
	base = mm.mmap_base;
	GIVES(pf_mmap(&mm, base - P, P, RW, FIXED | PF_MAP_GROWSDOWN), base - P);
	GIVES(pf_mmap(&mm, 0, P, RW, PRIV), base - P - gap - P);
	GIVES(pf_mmap(&mm, base - gap, P, RW, PRIV), base - P - gap - 2 * P);
	/* The hint's end may touch the gap. */
	GIVES(pf_mmap(&mm, base - 8 * gap, P, RW, FIXED | PF_MAP_GROWSDOWN), base - 8 * gap);
	GIVES(pf_mmap(&mm, base - 9 * gap - P, P, RW, PRIV), base - 9 * gap - P);
	GIVES(pf_munmap(&mm, 0, sys.task_size), 0);
	/* All is full below. */
	low = sys.mmap_min_addr;
	GIVES(pf_mmap(&mm, low, base - low, 0, FIXED), low);
	GIVES(pf_mmap(&mm, base + gap, P, RW, FIXED | PF_MAP_GROWSDOWN), base + gap);
	GIVES(pf_mmap(&mm, 0, P, RW, PRIV), base + gap + P);
	GIVES(pf_mmap(&mm, base, P, RW, FIXED), base);
	world_stop();
}

/* Limits are a process's, locks are not. */
static void forked(void **state)
{
	static struct pf_mm child;

	world_start(*state, 0);
	GIVES(map(A, 8, RW, 0), A);
	GIVES(lock(A + P, 2), 0);
	mm.limits.as = 20 * P;
	GIVES(pf_mlockall(&mm, PF_MCL_FUTURE), 0);
	assert_int_equal(pf_fork(&child, &mm, WORLD_ASID + 1), 0);
	assert_int_equal(child.total_vm, 8);
	assert_int_equal(child.locked_vm, 0);
	assert_int_equal(child.data_vm, 8);
	assert_int_equal(child.def_flags, 0);
	assert_int_equal(child.limits.as, 20 * P);
	assert_null(pf_mm_check(&child));
	pf_mm_exit(&child);
	machine_retire_asid(WORLD_ASID + 1);
	assert_int_equal(mm.locked_vm, 2);
	world_stop();
}

/* At max_map_count: what came before the VMA that cannot be split is locked. */
static void too_many(void **state)
{
	world_start(*state, 0);
	GIVES(map(A, 4, RW, 0), A);
	GIVES(map(A + 4 * P, 4, PF_PROT_READ, 0), A + 4 * P);
	sys.max_map_count = 2;
	GIVES(lock(A, 6), -PF_ENOMEM);
	assert_int_equal(mm.locked_vm, 4);
	GIVES(pf_munlock(&mm, A, 4 * P), 0);
	GIVES(lock(A + P, P), -PF_ENOMEM);
	/* a border that moves is none more */
	GIVES(lock(A, 8), 0);
	assert_int_equal(mm.locked_vm, 8);
	GIVES(pf_mlockall(&mm, PF_MCL_CURRENT | PF_MCL_ONFAULT), 0);
	GIVES(pf_munlockall(&mm), 0);
	world_stop();
}

int main(void)
{
	int failed = 0;

	for (unsigned i = 0; pf_formats[i]; i++) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_prestate(memlock, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(address_space, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(data, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(stack, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(gaps, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(forked, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(too_many, (void *)pf_formats[i]),
		};

		failed += cmocka_run_group_tests_name(pf_formats[i]->pt->name, tests, NULL, NULL);
	}
	return failed;
}
