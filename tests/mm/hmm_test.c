/* SPDX-License-Identifier: MIT */
/*
 * Snapshots for a device: what each kind of entry is answered with, asked for or not.
 */
#include "world.h"

#include "base/err.h"
#include "mm/device.h"
#include "mm/hmm.h"
#include "mm/internal.h"
#include "mm/migrate.h"
#include "mm/notify.h"
#include "mm/numa.h"
#include "mm/poison.h"
#include "ops/formats.h"
#include "swap_disk.h"
#include "tests/quiet_uffd.h"

#define A     UINT64_C(0x10000000)
#define NR    32u
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define AT(n) (A + (n)*P)

#define V     PF_HMM_PFN_VALID
#define W     PF_HMM_PFN_WRITE
#define E     PF_HMM_PFN_ERROR
#define READ  PF_HMM_PFN_REQ_FAULT
#define WRITE (PF_HMM_PFN_REQ_FAULT | PF_HMM_PFN_REQ_WRITE)

static struct pf_mmu_interval_notifier sub;
static unsigned told;
static uint64_t pfns[NR + 8];

static bool invalidate(
	struct pf_mmu_interval_notifier *s, const struct pf_mmu_notifier_range *range, uint64_t seq)
{
	(void)range;
	pf_mmu_interval_set_seq(s, seq);
	told++;
	return true;
}

static const struct pf_mmu_interval_notifier_ops ops = {.invalidate = invalidate};

static pf_pte_t at(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	return info.pte;
}

static void put(pf_va_t va)
{
	while (machine_store(va, va).fault)
		assert_int_equal(pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
}

static void begin(const struct pf_format *fmt, uint64_t fail_at, bool large)
{
	world_start(fmt, fail_at);
	if (!large)
		sys.thp.order[2] = sys.thp.order[4] = PF_THP_NEVER;
	assert_int_equal(pf_mmap(&mm, A, NR * P, RW, FIXED), A);
	assert_int_equal(pf_mmu_interval_notifier_insert(&sub, &mm, A, (NR + 8) * P, &ops), 0);
	told = 0;
}

static void end(void)
{
	world_check("the end");
	pf_mmu_interval_notifier_remove(&sub);
	world_stop();
}

/* Words of [first, first + nr) as they are before. */
static int ask_each(unsigned first, unsigned nr)
{
	struct pf_hmm_range r = {
		.notifier = &sub,
		.notifier_seq = pf_mmu_interval_read_begin(&sub),
		.start = AT(first),
		.end = AT(first + nr),
		.pfns = pfns,
		.pfn_flags_mask = V | W,
	};

	return pf_hmm_range_fault(&mm, &r);
}

/* All are asked for the same; what is invalidated meanwhile is asked again. */
static int ask(unsigned first, unsigned nr, uint64_t want)
{
	struct pf_hmm_range r = {
		.notifier = &sub,
		.start = AT(first),
		.end = AT(first + nr),
		.pfns = pfns,
		.default_flags = want,
	};
	int err;

	for (unsigned i = first; want && i < first + nr && i < NR; i++)
		machine_note_store(AT(i));
	do {
		memset(pfns, 0xff, sizeof(pfns));
		r.notifier_seq = pf_mmu_interval_read_begin(&sub);
		err = pf_hmm_range_fault(&mm, &r);
	} while (err == -PF_EBUSY);
	return err;
}

static uint64_t flags_of(unsigned i)
{
	return pfns[i] & (V | W | E);
}

static void is(unsigned first, unsigned nr, uint64_t flags)
{
	assert_int_equal(ask(first, nr, 0), 0);
	for (unsigned i = 0; i < nr; i++) {
		assert_int_equal(flags_of(i), flags);
		if (flags & V)
			assert_int_equal(pfns[i] & PF_HMM_PFN_MASK, pf_pte_pfn(at(AT(first + i))));
		else
			assert_int_equal(pfns[i], flags);
	}
}

/* ---- what is there ---- */

static void present(void)
{
	for (unsigned i = 0; i < 4; i++)
		put(AT(i));
	is(0, 4, V | W);
	is(4, 4, 0);
	assert_int_equal(pf_mprotect(&mm, AT(1), P, PF_PROT_READ), 0);
	is(0, 1, V | W);
	is(1, 1, V);
	assert_int_equal(ask(1, 1, READ), 0);
	/* The VMA does not allow it. */
	assert_int_equal(ask(0, 4, WRITE), -PF_EPERM);
	assert_int_equal(ask(0, 4, PF_HMM_PFN_REQ_WRITE), 0);
	assert_int_equal(ask(0, 0, WRITE), 0);
}

static void brought_in(void)
{
	assert_int_equal(ask(0, 2, READ), 0);
	assert_int_equal(pfns[0] & (V | W | E), V);
	assert_int_equal(pfns[0] & PF_HMM_PFN_MASK, sys.zero_pfn);
	told = 0;
	/* A copy of the page of zeros tells the device itself: again. */
	assert_int_equal(ask(0, 2, WRITE), 0);
	assert_int_equal(told, 2);
	is(0, 2, V | W);
	/* Page by page, and no page else. */
	memset(pfns, 0, sizeof(pfns));
	pfns[1] = READ;
	pfns[3] = WRITE;
	machine_note_store(AT(13));
	assert_int_equal(ask_each(10, 6), 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(flags_of(i), i == 1 ? V : i == 3 ? V | W : 0);
	is(10, 1, 0);
	is(12, 1, 0);
	is(14, 2, 0);
}

static void nowhere(void)
{
	put(AT(NR - 1));
	assert_int_equal(ask(NR - 1, 3, 0), 0);
	assert_int_equal(flags_of(0), V | W);
	assert_int_equal(pfns[1], E);
	assert_int_equal(pfns[2], E);
	assert_int_equal(ask(NR - 1, 3, READ), -PF_EFAULT);
	/* In the middle. */
	assert_int_equal(pf_munmap(&mm, AT(4), P), 0);
	put(AT(5));
	assert_int_equal(ask(4, 2, 0), 0);
	assert_int_equal(pfns[0], E);
	assert_int_equal(flags_of(1), V | W);
	/* Not readable, whatever is in it. */
	put(AT(6));
	assert_int_equal(pf_mprotect(&mm, AT(6), P, PF_PROT_NONE), 0);
	assert_int_equal(ask(6, 1, 0), 0);
	assert_int_equal(pfns[0], E);
	assert_int_equal(ask(6, 1, READ), -PF_EFAULT);
}

static void invalid(void)
{
	struct pf_hmm_range r = {.notifier = &sub, .pfns = pfns, .start = A + 1, .end = A + P};

	r.notifier_seq = pf_mmu_interval_read_begin(&sub);
	assert_int_equal(pf_hmm_range_fault(&mm, &r), -PF_EINVAL);
	r.start = A + P;
	r.end = A;
	assert_int_equal(pf_hmm_range_fault(&mm, &r), -PF_EINVAL);
	r.start = sys.task_size;
	r.end = sys.task_size + P;
	assert_int_equal(pf_hmm_range_fault(&mm, &r), -PF_EINVAL);
	r.end = r.start;
	assert_int_equal(pf_hmm_range_fault(&mm, &r), 0);
}

static void out_of_date(void)
{
	struct pf_hmm_range r = {.notifier = &sub, .pfns = pfns, .start = A, .end = AT(4)};

	put(A);
	r.notifier_seq = pf_mmu_interval_read_begin(&sub);
	assert_int_equal(pf_hmm_range_fault(&mm, &r), 0);
	assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_hmm_range_fault(&mm, &r), -PF_EBUSY);
	r.notifier_seq = pf_mmu_interval_read_begin(&sub);
	assert_int_equal(pf_hmm_range_fault(&mm, &r), 0);
	assert_int_equal(pfns[0], 0);
}

/* ---- other entries ---- */

static void with_hint(void)
{
	put(A);
	assert_int_equal(pf_numa_hint(&mm, A, P), 0);
	is(0, 1, 0);
	assert_int_equal(ask(0, 1, READ), 0);
	assert_int_equal(flags_of(0), V | W);
	assert_true(pf_pte_accessible(at(A)));
}

static void of_a_device(void)
{
	struct pf_folio *folio;
	pf_pfn_t pfn;

	put(AT(3));
	machine_note_store(AT(3));
	assert_int_equal(pf_make_device_exclusive(&mm, AT(3), NULL, &folio, &pfn), 0);
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, 1);
	is(3, 1, 0);
	assert_true(pf_pte_kind(at(AT(3))) == PF_PTE_DEVICE_EXCLUSIVE);
	told = 0;
	assert_int_equal(ask(3, 1, WRITE), 0);
	assert_int_equal(told, 1);
	assert_int_equal(pfns[0] & PF_HMM_PFN_MASK, pfn);
	is(3, 1, V | W);
}

static void lost(void)
{
	put(AT(1));
	assert_int_equal(pf_poison(&mm, AT(1)), 0);
	is(0, 3, 0);
	assert_int_equal(ask(1, 1, READ), -PF_EFAULT);
	assert_int_equal(pf_madvise(&mm, AT(2), P, PF_MADV_GUARD_INSTALL), 0);
	is(2, 1, 0);
	assert_int_equal(ask(2, 1, READ), -PF_EFAULT);
}

static struct pf_remap moving;

static void moved(void *ctx, bool blocked)
{
	(void)ctx;
	if (!blocked || !moving.at.nr)
		return;
	pf_folio_remap(&sys, &moving);
	moving.at.nr = 0;
}

static void on_its_way(void)
{
	struct pf_folio *folio;

	put(A);
	folio = pf_page_folio(&phys, pf_pte_pfn(at(A)));
	pf_folio_get(folio, 1);
	assert_true(pf_folio_trylock(folio));
	assert_int_equal(pf_folio_unmap(&sys, folio, &moving), 0);
	is(0, 1, 0);
	/* Waited for, if it is asked for. */
	machine_set_schedule(moved, NULL);
	assert_int_equal(ask(0, 1, READ), 0);
	machine_set_schedule(NULL, NULL);
	assert_int_equal(moving.at.nr, 0);
	is(0, 1, V | W);
	pf_folio_unlock(folio);
	pf_folio_put(&phys, folio, 1);
}

static void in_swap(void)
{
	assert_true(pf_swapon(&sys, &swap_disk_ops, NULL, 16) >= 0);
	put(A);
	assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_PAGEOUT), 0);
	assert_true(pf_pte_kind(at(A)) == PF_PTE_SWAP);
	is(0, 1, 0);
	assert_true(pf_pte_kind(at(A)) == PF_PTE_SWAP);
	assert_int_equal(ask(0, 1, WRITE), 0);
	is(0, 1, V | W);
	assert_int_equal(pf_swapoff(&sys, 0), 0);
}

/* A userfaultfd would have to be waited for: it is not even told. */
static void of_a_userfaultfd(void)
{
	const bool wp = mm.space.pt.fmt->pte_supported & PF_PTE_UFFD_WP;
	static struct pf_uffd uffd;
	unsigned mode = PF_UFFDIO_REGISTER_MODE_MISSING | (wp ? PF_UFFDIO_REGISTER_MODE_WP : 0);

	put(A);
	quiet_uffd_open(&uffd, 0);
	quiet_uffd_register(&uffd, A, 8, mode);
	is(1, 1, 0);
	assert_int_equal(ask(1, 1, READ), -PF_EFAULT);
	if (wp) {
		assert_int_equal(pf_uffd_writeprotect(&uffd, A, P, PF_UFFDIO_WRITEPROTECT_WP), 0);
		is(0, 1, V);
		assert_int_equal(ask(0, 1, WRITE), -PF_EFAULT);
	}
	pf_uffd_close(&uffd);
}

/* ---- pieces ---- */

static void is_order(unsigned i, unsigned order)
{
	assert_int_equal(pf_hmm_pfn_to_map_order(pfns[i]), order);
}

static void orders(void)
{
	put(A);
	put(AT(16));
	assert_int_equal(ask(0, NR, 0), 0);
	/* Two folios, which need not lie side by side. */
	for (unsigned i = 0; i < NR; i++)
		assert_true(pf_hmm_pfn_to_map_order(pfns[i]) >= 4);
	/* No more than what the range has of it. */
	assert_int_equal(ask(1, 14, 0), 0);
	is_order(0, 0);
	is_order(1, 1);
	is_order(2, 1);
	is_order(3, 2);
	is_order(7, 2);
	is_order(11, 1);
	is_order(13, 0);
	/* With the same rights. */
	assert_int_equal(pf_mprotect(&mm, AT(4), P, PF_PROT_READ), 0);
	assert_int_equal(ask(0, 16, 0), 0);
	is_order(3, 2);
	is_order(4, 0);
	is_order(5, 0);
	is_order(6, 1);
	is_order(8, 3);
	assert_int_equal(ask(0, 16, READ), 0);
	is_order(8, 3);
}

/* ---- no memory ---- */

static void out_of_memory(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		uint64_t before, nr;

		begin(pf_formats[f], 0, false);
		before = machine_counters.allocs;
		assert_int_equal(ask(0, 4, WRITE), 0);
		nr = machine_counters.allocs - before;
		assert_true(nr >= 4);
		end();
		for (uint64_t k = 1; k <= nr; k++) {
			int err;

			begin(pf_formats[f], before + k, false);
			err = ask(0, 4, WRITE);
			/* Or there is another way. */
			assert_true(!err || err == -PF_ENOMEM);
			assert_int_equal(ask(0, 4, WRITE), 0);
			is(0, 4, V | W);
			end();
		}
		/* Nobody can subscribe then. */
		world_start(pf_formats[f], 0);
		before = machine_counters.allocs;
		world_stop();
		world_start(pf_formats[f], before + 1);
		assert_int_equal(
			pf_mmu_interval_notifier_insert(&sub, &mm, A, P, &ops), -PF_ENOMEM);
		world_stop();
	}
}

static const struct {
	void (*run)(void);
	bool large;
} cases[] = {{present, 0}, {brought_in, 0}, {nowhere, 0}, {nowhere, 1}, {invalid, 0},
	{out_of_date, 0}, {with_hint, 0}, {with_hint, 1}, {of_a_device, 0}, {of_a_device, 1},
	{on_its_way, 0}, {in_swap, 0}, {of_a_userfaultfd, 0}, {orders, 1}};

static void answers(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++)
		for (unsigned i = 0; i < PF_ARRAY_SIZE(cases); i++) {
			begin(pf_formats[f], 0, cases[i].large);
			cases[i].run();
			end();
		}
}

/* A frame stays behind. */
static void answers_of_lost_memory(void **state)
{
	(void)state;
	for (unsigned f = 0; pf_formats[f]; f++) {
		begin(pf_formats[f], 0, false);
		lost();
		world_check("the end");
		pf_mmu_interval_notifier_remove(&sub);
		machine_set_root(0, 0, 0);
		pf_mm_exit(&mm);
		machine_retire_asid(WORLD_ASID);
		pf_system_exit(&sys);
		machine_rcu_drain();
		assert_int_equal(machine_check_end(), P);
		world_judge("the end");
		machine_stop();
	}
}

/* Not of an empty interval, nor beyond the last address. */
static void intervals(void **state)
{
	(void)state;
	world_start(pf_formats[0], 0);
	assert_int_equal(pf_mmu_interval_notifier_insert(&sub, &mm, A, 0, &ops), -PF_EOVERFLOW);
	assert_int_equal(
		pf_mmu_interval_notifier_insert(&sub, &mm, UINT64_MAX - P + 1, P + 1, &ops),
		-PF_EOVERFLOW);
	assert_int_equal(
		pf_mmu_interval_notifier_insert(&sub, &mm, UINT64_MAX - P + 1, P, &ops), 0);
	pf_mmu_interval_notifier_remove(&sub);
	world_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(answers_of_lost_memory),
		cmocka_unit_test(out_of_memory),
		cmocka_unit_test(intervals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
