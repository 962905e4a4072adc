/* SPDX-License-Identifier: MIT */
/*
 * Pages in a device's own memory. What lies there is not what a CPU would read: the device inverts it, so that whoever looks past
 * the device finds something else.
 */
#include "device_world.h"

#include "mm/device_memory.h"
#include "mm/hmm.h"
#include "mm/mapping.h"
#include "mm/notify.h"
#include "mm/poison.h"
#include "mm/proc.h"
#include "tests/quiet_uffd.h"
#include "swap_disk.h"

#define NODE  1u
#define ALL   (NR * P)
#define READ  PF_PROT_READ
#define VALUE 0x1000u /* of the first page */

static struct pf_mm child;
static unsigned copies, copies_left;

static bool copy(struct pf_device_memory *memory, pf_pfn_t dst, pf_pfn_t src)
{
	assert_ptr_equal(memory->owner, &copies);
	assert_true(pf_phys_is_device(&phys, dst) != pf_phys_is_device(&phys, src));
	if (!copies_left)
		return false;
	copies_left--;
	copies++;
	pf_port_copy_pages(dst * P, src * P, P);
	for (unsigned i = 0; i < P / 8; i++)
		word(dst)[i] = ~word(dst)[i];
	return true;
}

static struct pf_device_memory memory = {.copy = copy, .owner = &copies};

static void add_memory(void)
{
	copies = 0;
	copies_left = 1000;
	assert_int_equal(pf_phys_set_device(&phys, NODE), 0);
	assert_int_equal(pf_device_memory_add(&sys, NODE, &memory), 0);
}

static bool is_private(struct pf_mm *m, pf_va_t va)
{
	const pf_pte_t pte = at_of(m, va).pte;

	return pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE &&
	       pf_phys_is_device(&phys, pf_pte_pfn(pte));
}

static uint64_t used(void)
{
	struct pf_phys_stats stats;

	pf_phys_node_stats(&phys, NODE, &stats);
	return stats.pages - stats.free;
}

static void go(pf_va_t va, uint64_t pages)
{
	assert_int_equal(pf_migrate_to_device(&mm, va, pages * P, NODE), pages);
	for (uint64_t i = 0; i < pages; i++)
		assert_true(is_private(&mm, va + i * P));
	world_check("in the device");
}

/* The device stores to a page that it has, as its process may. */
static void device_puts(pf_va_t va, uint64_t value)
{
	assert_true(is_private(&mm, va) && pf_pte_write(at(va)));
	machine_note_store(va);
	*word(pf_pte_pfn(at(va))) = ~value;
}

/* ---- there and back ---- */

static void there_and_back(void)
{
	const int64_t rss = pf_rss(&mm.space, PF_RSS_ANON);

	go(A, NR);
	assert_int_equal(used(), NR);
	assert_int_equal(copies, NR);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), rss);
	for (unsigned i = 0; i < NR; i++) {
		const struct pf_page_info info = at_of(&mm, A + i * P);

		assert_true(info.exclusive && pf_pte_write(info.pte) && !info.order);
		assert_int_equal(*word(pf_pte_pfn(info.pte)), ~(uint64_t)(VALUE + i));
	}
	/* Nothing more to be moved; a hole; no device's node; no pages. */
	assert_int_equal(pf_migrate_to_device(&mm, A, ALL, NODE), 0);
	assert_int_equal(pf_migrate_to_device(&mm, B, ALL, NODE), 0);
	assert_int_equal(pf_migrate_to_device(&mm, A, ALL, 0), -PF_EINVAL);
	assert_int_equal(pf_migrate_to_device(&mm, A, ALL, 2), -PF_EINVAL);
	assert_int_equal(pf_migrate_to_device(&mm, A + 1, P, NODE), -PF_EINVAL);
	assert_int_equal(pf_migrate_to_device(&mm, A, P + 1, NODE), -PF_EINVAL);
	device_puts(A + 3 * P, 77);
	assert_int_equal(get(A + 3 * P), 77);
	assert_true(pf_pte_present(at(A + 3 * P)) && pf_pte_write(at(A + 3 * P)));
	put(A + 4 * P, 78);
	assert_int_equal(get(A + 4 * P), 78);
	world_check("some are back");
	assert_int_equal(used(), NR - 2);
	go(A + 3 * P, 2);
	assert_int_equal(get(A + 3 * P), 77);
	assert_int_equal(get(A + 4 * P), 78);
	for (unsigned i = 5; i < NR; i++)
		assert_int_equal(get(A + i * P), VALUE + i);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), rss);
}
EVERYWHERE(there_and_back)

/* Freed by the call or the exit that ends them. */
static void freed(void)
{
	go(A, NR);
	assert_int_equal(pf_device_memory_remove(&sys, NODE), -PF_EBUSY);
	assert_int_equal(pf_munmap(&mm, A, 4 * P), 0);
	assert_int_equal(used(), NR - 4);
	assert_int_equal(pf_madvise(&mm, A + 4 * P, 4 * P, PF_MADV_DONTNEED), 0);
	assert_int_equal(used(), NR - 8);
	assert_int_equal(get(A + 4 * P), 0);
	assert_int_equal(pf_mmap(&mm, A + 8 * P, P, RW, FIXED), A + 8 * P);
	assert_int_equal(pf_madvise(&mm, A + 9 * P, P, PF_MADV_FREE), 0);
	assert_int_equal(used(), NR - 9);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	assert_int_equal(used(), NR - 9);
	assert_int_equal(pf_munmap(&mm, A + 9 * P, ALL), 0);
	assert_int_equal(used(), NR - 9);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	assert_int_equal(used(), 0);
}
EVERYWHERE(freed)

/* ---- calls ---- */

static void forked(void)
{
	pf_pfn_t pfn;

	go(A, 4);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	world_check("forked");
	assert_null(pf_mm_check(&child));
	for (unsigned i = 0; i < 4; i++) {
		assert_true(is_private(&mm, A + i * P) && is_private(&child, A + i * P));
		assert_false(pf_pte_write(at(A + i * P)));
		assert_false(pf_pte_write(at_of(&child, A + i * P).pte));
		assert_false(at_of(&mm, A + i * P).exclusive);
	}
	/* Back for both, and copied by who writes. */
	pfn = pf_pte_pfn(at(A));
	put(A, 5);
	assert_int_equal(get(A), 5);
	assert_false(pf_pte_pfn(at(A)) == pfn);
	assert_true(pf_pte_present(at_of(&child, A).pte));
	assert_int_equal(*word(pf_pte_pfn(at_of(&child, A).pte)), VALUE);
	world_check("copied");
	/* There together, too: one page of two processes. */
	assert_int_equal(get(A + P), VALUE + 1);
	assert_int_equal(pf_migrate_to_device(&mm, A + P, P, NODE), 1);
	assert_true(is_private(&child, A + P) && !pf_pte_write(at_of(&child, A + P).pte));
	assert_null(pf_mm_check(&child));
	pf_mm_exit(&child);
	machine_retire_asid(2);
	/* Alone again, without another copy. */
	pfn = copies;
	put(A + 2 * P, 6);
	assert_int_equal(copies - pfn, 1);
	assert_int_equal(get(A + 3 * P), VALUE + 3);
}
EVERYWHERE(forked)

static void protected(void)
{
	go(A, 4);
	assert_int_equal(pf_mprotect(&mm, A, 2 * P, READ), 0);
	assert_false(pf_pte_write(at(A)));
	assert_true(pf_pte_write(at(A + 2 * P)));
	assert_int_equal(pf_handle_mm_fault(&mm, A, PF_FAULT_FLAG_WRITE), PF_FAULT_SIGSEGV);
	assert_true(is_private(&mm, A));
	assert_int_equal(get(A), VALUE);
	assert_false(pf_pte_write(at(A)));
	assert_int_equal(pf_mprotect(&mm, A, 4 * P, PF_PROT_NONE), 0);
	assert_int_equal(pf_handle_mm_fault(&mm, A + P, 0), PF_FAULT_SIGSEGV);
	assert_int_equal(pf_mprotect(&mm, A, 4 * P, RW), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(get(A + i * P), VALUE + i);
		put(A + i * P, i);
	}
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), NR);
}
EVERYWHERE(protected)

/* What need not be kept must be again: the device may have stored to it. */
static void lazily_freed(void)
{
	assert_int_equal(pf_madvise(&mm, A, NR * P, PF_MADV_FREE), 0);
	go(A, 2);
	device_puts(A, 9);
	assert_int_equal(get(A), 9);
	world_check("back");
	pf_reclaim(&sys, 1000);
	assert_int_equal(get(A), 9);
}
EVERYWHERE(lazily_freed)

static void moved(void)
{
	go(A, 4);
	assert_int_equal(pf_mremap(&mm, A, 4 * P, 4 * P, MOVE, B), B);
	world_check("moved");
	for (unsigned i = 0; i < 4; i++) {
		assert_true(is_private(&mm, B + i * P));
		assert_int_equal(get(B + i * P), VALUE + i);
	}
}
EVERYWHERE(moved)

/* Who must have the page has it back. */
static void taken_back(void)
{
	const uint64_t table = P << sys.fmt->pt->level_bits;
	uint8_t vec[4];
	pf_pfn_t pfn;

	go(A, 8);
	assert_int_equal(pf_mincore(&mm, A, 4 * P, vec), 0);
	assert_true(vec[0] && vec[3]);
	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
	assert_false(pf_phys_is_device(&phys, pfn));
	assert_int_equal(*word(pfn), VALUE);
	/* Pinned, it stays. */
	assert_int_equal(pf_migrate_to_device(&mm, A, P, NODE), 0);
	pf_unpin_user_pages(&sys, &pfn, 1);
	assert_int_equal(pf_gup(&mm, A + P, 1, PF_FOLL_GET | PF_FOLL_NOFAULT, &pfn), -PF_EFAULT);
	assert_int_equal(pf_madvise(&mm, A + P, P, PF_MADV_POPULATE_READ), 0);
	assert_true(pf_pte_present(at(A + P)));
	/* A failed frame of the device's is not ours; a page that is to be lost is brought back first. */
	assert_int_equal(pf_memory_failure(&sys, pf_pte_pfn(at(A + 2 * P))), -PF_EOPNOTSUPP);
	assert_true(is_private(&mm, A + 2 * P));
	/* Reclaim has no business there, nor have MADV_COLD and MADV_PAGEOUT. */
	assert_int_equal(pf_swapon(&sys, &swap_disk_ops, NULL, SWAP_DISK_SLOTS), 0);
	assert_int_equal(pf_madvise(&mm, A + 2 * P, 6 * P, PF_MADV_COLD), 0);
	assert_int_equal(pf_madvise(&mm, A + 2 * P, 6 * P, PF_MADV_PAGEOUT), 0);
	pf_reclaim(&sys, 1000);
	assert_true(is_private(&mm, A + 2 * P) && is_private(&mm, A + 7 * P));
	world_check("left alone");
	assert_int_equal(pf_swapoff(&sys, 0), 0);
	if (table > WORLD_BYTES / 4)
		return;
	/* All of a table: collapse fetches what is away. */
	assert_int_equal(pf_mmap(&mm, B, table, RW, FIXED), B);
	for (pf_va_t va = B; va < B + table; va += P)
		put(va, va);
	go(B + 5 * P, 20);
	assert_int_equal(pf_madvise(&mm, B, table, PF_MADV_COLLAPSE), 0);
	assert_int_equal(used(), 6);
	for (pf_va_t va = B; va < B + table; va += P)
		assert_int_equal(get(va), va);
}
EVERYWHERE(taken_back)

/* What is kept beside the page. */
static void tracked(void)
{
	uint64_t entry;

	go(A, 2);
	if (sys.fmt->pt->pte_supported & PF_PTE_SOFT_DIRTY) {
		assert_true(at(A).v & PF_PTE_SOFT_DIRTY);
		assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_SOFT_DIRTY), 0);
		assert_false(at(A).v & PF_PTE_SOFT_DIRTY);
		/* Neither by the device nor by a CPU unnoticed. */
		assert_false(pf_pte_write(at(A)));
		assert_int_equal(get(A), VALUE);
		assert_false(at(A).v & PF_PTE_SOFT_DIRTY);
		put(A, 3);
		assert_true(at(A).v & PF_PTE_SOFT_DIRTY);
		assert_int_equal(pf_pagemap(&mm, A + P, 1, &entry), 1);
		assert_false(entry & PF_PM_SOFT_DIRTY);
	} else {
		assert_int_equal(pf_pagemap(&mm, A + P, 1, &entry), 1);
		assert_int_equal(entry & 31, 28);
	}
	assert_true(entry & PF_PM_SWAP);
	assert_false(entry & PF_PM_PRESENT);
	put(A + P, 4);
	assert_int_equal(get(A + P), 4);
}
EVERYWHERE(tracked)

/* uffd-wp comes along, there and back. */
static void write_protected(void)
{
	struct pf_uffd uffd;

	if (!(sys.fmt->pt->pte_supported & PF_PTE_UFFD_WP))
		return;
	quiet_uffd_open(&uffd, 0);
	quiet_uffd_register(&uffd, A, 4, PF_UFFDIO_REGISTER_MODE_WP);
	assert_int_equal(pf_uffd_writeprotect(&uffd, A, 2 * P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	go(A, 4);
	assert_true((at(A).v & PF_PTE_UFFD_WP) && !pf_pte_write(at(A)));
	assert_false(at(A + 2 * P).v & PF_PTE_UFFD_WP);
	/* And set while it is there. */
	assert_int_equal(pf_uffd_writeprotect(&uffd, A + 2 * P, P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	world_check("write-protected");
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(get(A + i * P), VALUE + i);
		assert_int_equal(!(at(A + i * P).v & PF_PTE_UFFD_WP), i == 3);
	}
	pf_uffd_close(&uffd);
}
EVERYWHERE(write_protected)

/* ---- the device ---- */

static unsigned told_migrate;

static bool no_invalidate(struct pf_mmu_interval_notifier *sub,
	const struct pf_mmu_notifier_range *range, uint64_t seq)
{
	if (range->event == PF_MMU_NOTIFY_MIGRATE) {
		assert_ptr_equal(range->owner, &copies);
		told_migrate++;
	}
	pf_mmu_interval_set_seq(sub, seq);
	return true;
}

static void snapshot(void)
{
	static const struct pf_mmu_interval_notifier_ops ops = {.invalidate = no_invalidate};
	struct pf_mmu_interval_notifier sub;
	uint64_t pfns[4] = {0};
	struct pf_hmm_range range = {.notifier = &sub,
		.start = A,
		.end = A + 4 * P,
		.pfns = pfns,
		.dev_private_owner = &copies,
		.default_flags = PF_HMM_PFN_REQ_FAULT | PF_HMM_PFN_REQ_WRITE};

	assert_int_equal(pf_mmu_interval_notifier_insert(&sub, &mm, A, ALL, &ops), 0);
	told_migrate = 0;
	go(A, 2);
	assert_int_equal(told_migrate, 2);
	range.notifier_seq = pf_mmu_interval_read_begin(&sub);
	assert_int_equal(pf_hmm_range_fault(&mm, &range), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(is_private(&mm, A + i * P), i < 2);
		assert_int_equal(pfns[i] & PF_HMM_PFN_MASK, pf_pte_pfn(at(A + i * P)));
		assert_true((pfns[i] & PF_HMM_PFN_VALID) && (pfns[i] & PF_HMM_PFN_WRITE));
	}
	/* Another device has no use for it: not asked for it is not there, asked for it comes back. */
	range.dev_private_owner = &memory;
	range.default_flags = 0;
	range.notifier_seq = pf_mmu_interval_read_begin(&sub);
	memset(pfns, 0, sizeof(pfns));
	assert_int_equal(pf_hmm_range_fault(&mm, &range), 0);
	assert_int_equal(pfns[0], 0);
	assert_true(pfns[2] & PF_HMM_PFN_VALID);
	range.default_flags = PF_HMM_PFN_REQ_FAULT;
	do {
		range.notifier_seq = pf_mmu_interval_read_begin(&sub);
		memset(pfns, 0, sizeof(pfns));
	} while (pf_hmm_range_fault(&mm, &range) == -PF_EBUSY);
	assert_true(pf_pte_present(at(A)) && pf_pte_present(at(A + P)));
	assert_int_equal(pfns[0] & PF_HMM_PFN_MASK, pf_pte_pfn(at(A)));
	pf_mmu_interval_notifier_remove(&sub);
}
EVERYWHERE(snapshot)

static struct pf_folio *held;

/* Whoever has it finds no reference of the fault's, which has given up by then. */
static void let_go_later(void *ctx, bool blocked)
{
	(void)ctx;
	if (!blocked || !held)
		return;
	assert_int_equal(pf_folio_extra_ref(held), 0);
	pf_folio_unlock(held);
	held = NULL;
}

/* Who has the folio ends that soon: the access runs again. */
static void busy(void)
{
	go(A, 1);
	held = pf_page_folio(&phys, pf_pte_pfn(at(A)));
	assert_true(pf_folio_trylock(held));
	machine_set_schedule(let_go_later, NULL);
	assert_int_equal(pf_handle_mm_fault(&mm, A, 0), PF_FAULT_DONE);
	machine_set_schedule(NULL, NULL);
	assert_null(held);
	assert_true(is_private(&mm, A));
	assert_int_equal(get(A), VALUE);
}
EVERYWHERE(busy)

static void does_not_copy(void)
{
	copies_left = 2;
	assert_int_equal(pf_migrate_to_device(&mm, A, 4 * P, NODE), 2);
	assert_true(is_private(&mm, A + P) && pf_pte_present(at(A + 2 * P)));
	assert_true(pf_pte_write(at(A + 2 * P)));
	assert_int_equal(used(), 2);
	world_check("two went");
	assert_int_equal(pf_handle_mm_fault(&mm, A, 0), PF_FAULT_SIGBUS);
	assert_true(is_private(&mm, A) && pf_pte_write(at(A)));
	world_check("none comes");
	copies_left = 1000;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(get(A + i * P), VALUE + i);
}
EVERYWHERE(does_not_copy)

/* Its memory is for nobody else, and ends. */
static void full(void)
{
	const uint64_t room = phys.node_end[1] - phys.node_end[0];
	struct pf_folio *folio = NULL, *got;
	uint64_t taken = 0;

	assert_int_equal(pf_mmap(&mm, B, 8 * P, RW, FIXED), B);
	for (unsigned i = 0; i < 8; i++)
		put(B + i * P, i);
	while (used() < room - 3) {
		got = pf_folio_alloc_where(&phys, 0, PF_USE_ANON, pf_only(NODE));
		assert_non_null(got);
		got->head.index = (uint64_t)(uintptr_t)folio;
		folio = got;
	}
	assert_int_equal(pf_migrate_to_device(&mm, B, 8 * P, NODE), 3);
	assert_int_equal(pf_migrate_to_device(&mm, B, 8 * P, NODE), -PF_ENOMEM);
	world_check("full");
	while ((got = folio)) {
		folio = (struct pf_folio *)(uintptr_t)got->head.index;
		got->head.index = 0;
		pf_folio_put(&phys, got, 1);
	}
	assert_int_equal(used(), 3);
	/* All other memory goes, and not this. */
	while ((got = pf_folio_alloc(&phys, 1, PF_USE_ANON))) {
		assert_false(pf_phys_is_device(&phys, pf_folio_pfn(&phys, got)));
		got->head.index = (uint64_t)(uintptr_t)folio;
		folio = got;
		taken++;
	}
	assert_true(taken > 8);
	assert_int_equal(used(), 3);
	while ((got = folio)) {
		folio = (struct pf_folio *)(uintptr_t)got->head.index;
		got->head.index = 0;
		pf_folio_put(&phys, got, 1);
	}
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(get(B + i * P), i);
}
EVERYWHERE(full)

static void nodes(void)
{
	assert_int_equal(pf_device_memory_add(&sys, NODE, &memory), -PF_EBUSY);
	assert_int_equal(pf_device_memory_add(&sys, 0, &memory), -PF_EINVAL);
	assert_int_equal(pf_device_memory_add(&sys, 8, &memory), -PF_EINVAL);
	assert_int_equal(pf_device_memory_remove(&sys, 0), -PF_EINVAL);
	assert_int_equal(pf_phys_set_device(&phys, 0), -PF_EINVAL);
	assert_int_equal(pf_phys_set_device(&phys, 2), -PF_EINVAL);
}
EVERYWHERE(nodes)

/* ---- every allocation fails once ---- */

static void try_all(const struct pf_format *fmt, bool forks)
{
	uint64_t before, nr = 1;

	for (uint64_t k = 0; k <= nr; k++) {
		begin(fmt, k ? before + k : 0);
		if (!k)
			before = machine_counters.allocs;
		if (pf_migrate_to_device(&mm, A, 4 * P, NODE) < 4)
			assert_true(k);
		if (forks && pf_fork(&child, &mm, 2))
			assert_true(k);
		else if (forks)
			pf_mm_exit(&child);
		if (forks)
			machine_retire_asid(2);
		for (unsigned i = 0; i < 4; i++) {
			enum pf_fault_result r = pf_handle_mm_fault(&mm, A + i * P, 0);

			assert_true(r == PF_FAULT_DONE || (k && r == PF_FAULT_OOM));
			world_check("a fault");
			assert_int_equal(get(A + i * P), VALUE + i);
		}
		if (!k)
			nr = machine_counters.allocs - before;
		world_check("the end");
		world_stop();
	}
	assert_true(nr >= 8);
}

static void test_failures(void **state)
{
	(void)state;
	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned k = 0; k < 4; k++) {
			large = k & 1;
			try_all(pf_formats[i], k & 2);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_freed),
		cmocka_unit_test(test_forked),
		cmocka_unit_test(test_protected),
		cmocka_unit_test(test_lazily_freed),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_tracked),
		cmocka_unit_test(test_write_protected),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_does_not_copy),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_failures),
	};

	world_nodes = 2;
	started = add_memory;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
