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
			cmocka_unit_test_prestate(forked, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(too_many, (void *)pf_formats[i]),
		};

		failed += cmocka_run_group_tests_name(pf_formats[i]->pt->name, tests, NULL, NULL);
	}
	return failed;
}
