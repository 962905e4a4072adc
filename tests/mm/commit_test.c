/* SPDX-License-Identifier: MIT */
/*
 * Overcommit: what counts as promised, call by call, and what is refused when no more may be.
 */
#include "world.h"

#include "base/err.h"

#define A     UINT64_C(0x10000000)
#define B     UINT64_C(0x20000000)
#define R     PF_PROT_READ
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define PRIV  (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS)
#define SHARE (PF_MAP_SHARED | PF_MAP_ANONYMOUS)
#define MAY   PF_MREMAP_MAYMOVE

static int64_t map(pf_va_t va, uint64_t pages, unsigned prot, unsigned flags)
{
	return pf_mmap(&mm, va, pages * P, prot, flags | PF_MAP_FIXED);
}

/* The call's result, and how much is promised in all. */
#define GIVES(call, want, pages)                                                                   \
	do {                                                                                       \
		assert_int_equal((int64_t)(call), (int64_t)(want));                                \
		assert_int_equal(sys.committed, pages);                                            \
		world_check(#call);                                                                \
	} while (0)

static void start(const struct pf_format *fmt, enum pf_overcommit mode, uint64_t limit)
{
	world_start(fmt, 0);
	sys.overcommit = mode;
	sys.commit_limit = limit;
}

static void counted(void **state)
{
	start(*state, PF_OVERCOMMIT_ALWAYS, 0);
	GIVES(map(A, 8, RW, PRIV), A, 8);
	GIVES(map(A + 8 * P, 8, R, PRIV), A + 8 * P, 8);
	GIVES(map(A + 16 * P, 8, RW, PRIV | PF_MAP_NORESERVE), A + 16 * P, 8);
	/* what may be written now, and stays promised once it has been written to */
	GIVES(pf_mprotect(&mm, A + 8 * P, 4 * P, RW), 0, 12);
	GIVES(pf_mprotect(&mm, A + 8 * P, 2 * P, R), 0, 10);
	world_note(A + 10 * P, 1);
	GIVES(pf_madvise(&mm, A + 10 * P, P, PF_MADV_POPULATE_WRITE), 0, 10);
	GIVES(pf_mprotect(&mm, A + 10 * P, 2 * P, R), 0, 10);
	GIVES(pf_mprotect(&mm, A + 16 * P, 8 * P, RW | PF_PROT_EXEC), 0, 10);
	/* a part goes, and a part is replaced */
	GIVES(pf_munmap(&mm, A + 4 * P, 2 * P), 0, 8);
	GIVES(map(A + 2 * P, 4, RW, PRIV), A + 2 * P, 10);
	GIVES(map(A + 2 * P, 2, R, PRIV), A + 2 * P, 8);
	GIVES(pf_munmap(&mm, A, 32 * P), 0, 0);
	world_stop();
	assert_int_equal(sys.committed, 0);
}

static void moved(void **state)
{
	start(*state, PF_OVERCOMMIT_ALWAYS, 0);
	GIVES(map(A, 8, RW, PRIV), A, 8);
	GIVES(pf_mremap(&mm, A, 8 * P, 12 * P, 0, 0), A, 12);
	GIVES(pf_mremap(&mm, A, 12 * P, 6 * P, 0, 0), A, 6);
	GIVES(pf_mremap(&mm, A, 6 * P, 10 * P, MAY | PF_MREMAP_FIXED, B), B, 10);
	GIVES(pf_mremap(&mm, B, 10 * P, 4 * P, MAY | PF_MREMAP_FIXED, A), A, 4);
	GIVES(pf_mremap(&mm, A, 4 * P, 4 * P, MAY | PF_MREMAP_FIXED | PF_MREMAP_DONTUNMAP, B), B,
		8);
	GIVES(map(A + 8 * P, 4, R, PRIV), A + 8 * P, 8);
	GIVES(pf_mremap(&mm, A + 8 * P, 4 * P, 9 * P, 0, 0), A + 8 * P, 8);
	world_stop();
	assert_int_equal(sys.committed, 0);
}

static void heap_and_stack(void **state)
{
	start(*state, PF_OVERCOMMIT_ALWAYS, 0);
	mm.start_brk = mm.brk = A;
	GIVES(pf_brk(&mm, A + 5 * P), A + 5 * P, 5);
	GIVES(pf_brk(&mm, A + 2 * P), A + 2 * P, 2);
	GIVES(map(B, 2, RW, PRIV | PF_MAP_GROWSDOWN), B, 4);
	GIVES(pf_handle_mm_fault(&mm, B - 3 * P, 0), PF_FAULT_DONE, 7);
	sys.overcommit = PF_OVERCOMMIT_NEVER;
	sys.commit_limit = 9;
	GIVES(pf_handle_mm_fault(&mm, B - 5 * P, 0), PF_FAULT_SIGSEGV, 7);
	GIVES(pf_handle_mm_fault(&mm, B - 4 * P, 0), PF_FAULT_DONE, 8);
	GIVES(pf_brk(&mm, A + 3 * P), A + 2 * P, 8);
	world_stop();
	assert_int_equal(sys.committed, 0);
}

/* Memory that is shared is promised once, as long as anybody has it. */
static void shared(void **state)
{
	struct pf_mm child;

	start(*state, PF_OVERCOMMIT_ALWAYS, 0);
	GIVES(map(A, 8, R, SHARE), A, 8);
	GIVES(map(B, 8, RW, SHARE | PF_MAP_NORESERVE), B, 8);
	GIVES(pf_munmap(&mm, A, 4 * P), 0, 8);
	GIVES(pf_mprotect(&mm, A + 4 * P, 4 * P, RW), 0, 8);
	GIVES(pf_fork(&child, &mm, WORLD_ASID + 1), 0, 8);
	GIVES(pf_munmap(&mm, A, 8 * P), 0, 8);
	pf_mm_exit(&child);
	machine_retire_asid(WORLD_ASID + 1);
	assert_int_equal(sys.committed, 0);
	sys.overcommit = PF_OVERCOMMIT_NEVER;
	sys.commit_limit = 5;
	GIVES(map(A, 5, RW, SHARE | PF_MAP_NORESERVE), -PF_ENOMEM, 0);
	GIVES(map(A, 4, RW, SHARE | PF_MAP_NORESERVE), A, 4);
	world_stop();
	assert_int_equal(sys.committed, 0);
}

static void forked(void **state)
{
	struct pf_mm child;

	start(*state, PF_OVERCOMMIT_NEVER, 31);
	GIVES(map(A, 10, RW, PRIV), A, 10);
	GIVES(map(B, 4, RW, PRIV), B, 14);
	GIVES(pf_madvise(&mm, B, 2 * P, PF_MADV_DONTFORK), 0, 14);
	GIVES(pf_fork(&child, &mm, WORLD_ASID + 1), 0, 26);
	pf_mm_exit(&child);
	machine_retire_asid(WORLD_ASID + 1);
	assert_int_equal(sys.committed, 14);
	/* the first VMA of the child's, and not the second */
	sys.commit_limit = 26;
	GIVES(pf_fork(&child, &mm, WORLD_ASID + 1), -PF_ENOMEM, 14);
	machine_retire_asid(WORLD_ASID + 1);
	world_stop();
	assert_int_equal(sys.committed, 0);
}

/* No more than there may be: Linux wants less than the limit. NORESERVE means nothing. */
static void never(void **state)
{
	start(*state, PF_OVERCOMMIT_NEVER, 10);
	GIVES(map(A, 10, RW, PRIV), -PF_ENOMEM, 0);
	GIVES(map(A, 10, RW, PRIV | PF_MAP_NORESERVE), -PF_ENOMEM, 0);
	GIVES(map(A, 9, RW, PRIV | PF_MAP_NORESERVE), A, 9);
	GIVES(map(B, 100, R, PRIV), B, 9);
	GIVES(pf_mprotect(&mm, B, P, RW), -PF_ENOMEM, 9);
	/* what is replaced is there again */
	GIVES(map(A + 4 * P, 5, RW, PRIV), A + 4 * P, 9);
	GIVES(map(A + 4 * P, 6, RW, PRIV), -PF_ENOMEM, 9);
	GIVES(pf_mremap(&mm, A, 9 * P, 10 * P, MAY, 0), -PF_ENOMEM, 9);
	GIVES(pf_mremap(&mm, A, 9 * P, 9 * P, MAY | PF_MREMAP_FIXED | PF_MREMAP_DONTUNMAP,
		      B + 128 * P),
		-PF_ENOMEM, 9);
	GIVES(pf_mremap(&mm, A, 9 * P, 9 * P, MAY | PF_MREMAP_FIXED, B + 128 * P), B + 128 * P, 9);
	/* whoever promised more before is asked for nothing */
	sys.commit_limit = 2;
	GIVES(pf_munmap(&mm, B + 128 * P, P), 0, 8);
	GIVES(map(A, 1, RW, PRIV), -PF_ENOMEM, 8);
	world_stop();
	assert_int_equal(sys.committed, 0);
}

/* What others see of the sum while a call runs. */
static uint64_t least, most;

static void look(void *ctx, bool blocked)
{
	(void)ctx;
	assert_false(blocked);
	least = pf_min(least, sys.committed);
	most = pf_max(most, sys.committed);
}

#define STEADY(call, want, pages)                                                                  \
	do {                                                                                       \
		least = UINT64_MAX;                                                                \
		most = 0;                                                                          \
		machine_set_schedule(look, NULL);                                                  \
		assert_int_equal((int64_t)(call), (int64_t)(want));                                \
		machine_set_schedule(NULL, NULL);                                                  \
		assert_int_equal(least, pages);                                                    \
		assert_int_equal(most, pages);                                                     \
		world_check(#call);                                                                \
	} while (0)

/* Who asks while memory that had been promised changes its place or its flags gets neither more nor less than there is. */
static void steady(void **state)
{
	start(*state, PF_OVERCOMMIT_NEVER, 100);
	GIVES(map(A, 8, RW, PRIV), A, 8);
	world_note(A, 8);
	GIVES(pf_madvise(&mm, A, 8 * P, PF_MADV_POPULATE_WRITE), 0, 8);
	STEADY(pf_mlock(&mm, A, 4 * P), 0, 8);
	STEADY(pf_munlockall(&mm), 0, 8);
	STEADY(pf_madvise(&mm, A + 2 * P, 2 * P, PF_MADV_DONTFORK), 0, 8);
	STEADY(pf_mprotect(&mm, A + 4 * P, P, R), 0, 8);
	STEADY(pf_mremap(&mm, A + 5 * P, 3 * P, 3 * P, MAY | PF_MREMAP_FIXED, B), B, 8);
	STEADY(map(A, 5, RW, PRIV), A, 8);
	STEADY(map(A + P, 2, RW, PRIV), A + P, 8);
	world_stop();
	assert_int_equal(sys.committed, 0);
}

/* One request for more than there is, swap and all; together they may have more. */
static void guess(void **state)
{
	static const struct pf_swap_ops no_io;
	int dev;

	start(*state, PF_OVERCOMMIT_GUESS, 0);
	GIVES(map(A, phys.nr, RW, PRIV), A, phys.nr);
	GIVES(map(B, phys.nr, RW, PRIV), B, 2 * phys.nr);
	GIVES(map(2 * B, phys.nr + 1, RW, PRIV), -PF_ENOMEM, 2 * phys.nr);
	GIVES(map(2 * B, phys.nr + 1, RW, PRIV | PF_MAP_NORESERVE), 2 * B, 2 * phys.nr);
	dev = pf_swapon(&sys, &no_io, NULL, 16);
	assert_true(dev >= 0);
	GIVES(map(2 * B, phys.nr + 16, RW, PRIV), 2 * B, 3 * phys.nr + 16);
	GIVES(map(3 * B, phys.nr + 17, RW, PRIV), -PF_ENOMEM, 3 * phys.nr + 16);
	sys.overcommit = PF_OVERCOMMIT_NEVER;
	sys.commit_limit = 3 * phys.nr + 32;
	assert_int_equal(pf_swapoff(&sys, (unsigned)dev), -PF_ENOMEM);
	sys.overcommit = PF_OVERCOMMIT_GUESS;
	assert_int_equal(pf_swapoff(&sys, (unsigned)dev), 0);
	GIVES(map(3 * B, phys.nr + 1, RW, PRIV), -PF_ENOMEM, 3 * phys.nr + 16);
	world_stop();
	assert_int_equal(sys.committed, 0);
}

/* Every allocation of every call fails once: what was promised is as before. */
static int64_t call(unsigned i, struct pf_mm *child)
{
	switch (i) {
	case 0:
		return map(B, 3, RW, PRIV);
	case 1:
		return map(B, 3, RW, SHARE);
	case 2:
		return pf_mremap(&mm, A, 4 * P, 6 * P, MAY | PF_MREMAP_FIXED, B);
	case 3:
		return pf_mprotect(&mm, A + 9 * P, P, RW);
	default:
		return pf_fork(child, &mm, WORLD_ASID + 1);
	}
}

static void allocations_fail(void **state)
{
	unsigned failures = 0;

	for (unsigned i = 0; i < 5; i++) {
		for (unsigned n = 1;; n++) {
			struct pf_mm child;
			int64_t got;

			start(*state, PF_OVERCOMMIT_ALWAYS, 0);
			map(A, 8, RW, PRIV);
			map(A + 8 * P, 8, R, PRIV);
			machine_port.fail_at = machine_counters.allocs + n;
			got = call(i, &child);
			machine_port.fail_at = 0;
			if (got == -PF_ENOMEM) {
				failures++;
				assert_int_equal(sys.committed, 8);
			} else if (i == 4) {
				pf_mm_exit(&child);
			}
			if (i == 4)
				machine_retire_asid(WORLD_ASID + 1);
			world_stop();
			assert_int_equal(sys.committed, 0);
			if (got != -PF_ENOMEM)
				break;
		}
	}
	assert_true(failures >= 8);
}

int main(void)
{
	int failed = 0;

	for (unsigned i = 0; pf_formats[i]; i++) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_prestate(counted, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(moved, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(heap_and_stack, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(shared, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(forked, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(never, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(steady, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(guess, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(allocations_fail, (void *)pf_formats[i]),
		};

		failed += cmocka_run_group_tests_name(pf_formats[i]->pt->name, tests, NULL, NULL);
	}
	return failed;
}
