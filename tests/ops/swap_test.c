/* SPDX-License-Identifier: MIT */
/*
 * Swap entries through the operations, with entries that the system calls of today do not make by themselves: soft-dirty
 * and uffd-wp bits, pinned folios, devices that fail, and faults in the middle of a write.
 */
#include "world.h"

#include "pt/pt.h"
#include "tests/quiet_uffd.h"

#define A     UINT64_C(0x10000000)
#define B     UINT64_C(0x20001000)
#define NR    32u
#define SLOTS 256u
#define HW    PF_CAT2(pf_format_, PF_FMT)
extern const struct pf_format HW;

static const struct world two = {.bytes = UINT64_C(64) << 20, .cpus = 2, .features = ""};
static struct pf_mm child;

/* ---- a device ---- */

static char device[SLOTS * 4096];
static int io_error;
static unsigned reads, writes;
static void (*meanwhile)(void); /* while a page is written */

static int dev_read(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	reads++;
	memcpy(pf_port_virt(pa), device + slot * P, bytes);
	return io_error;
}

static int dev_write(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	writes++;
	if (meanwhile)
		meanwhile();
	memcpy(device + slot * P, pf_port_virt(pa), bytes);
	return io_error;
}

static const struct pf_swap_ops ops = {.read = dev_read, .write = dev_write};
static struct pf_swap *dev;

static void start(unsigned order)
{
	struct world w = two;

	w.order = order;
	world_start(&HW, &w);
	io_error = 0;
	meanwhile = NULL;
	reads = writes = 0;
	assert_int_equal(pf_swapon(&sys, &ops, NULL, SLOTS), 0);
	dev = sys.swaps.dev[0];
	assert_int_equal(pf_mmap(&mm, A, NR * P, RW, FIXED), A);
	for (unsigned i = 0; i < NR; i++) {
		uint64_t word = 0x1000 + i;

		while (machine_store(A + i * P, word).fault)
			assert_int_equal(pf_handle_mm_fault(&mm, A + i * P, PF_FAULT_FLAG_WRITE),
				PF_FAULT_DONE);
	}
}

static void finish(void)
{
	world_judge("before the end");
	assert_null(pf_swap_check(dev));
	assert_int_equal(pf_munmap(&mm, A, NR * P), 0);
	assert_int_equal(pf_munmap(&mm, B, NR * P), 0);
	assert_int_equal(pf_swap_free(dev), SLOTS);
	assert_int_equal(pf_swapoff(&sys, 0), 0);
	world_exit(2);
}

static pf_pte_t entry(struct pf_mm *of, pf_va_t va)
{
	struct pf_page_info info;

	HW.page_info(&of->space, va, &info);
	return info.pte;
}

static bool swapped(pf_va_t va)
{
	return pf_pte_kind(entry(&mm, va)) == PF_PTE_SWAP;
}

/* A CPU reads it: what was stored there. */
static void holds(pf_va_t va, uint64_t want)
{
	uint64_t word = 0;

	while (machine_load(va, &word).fault)
		assert_int_equal(pf_handle_mm_fault(&mm, va, 0), PF_FAULT_DONE);
	assert_int_equal(word, want);
}

static void page_out(pf_va_t va, unsigned nr)
{
	assert_int_equal(pf_madvise(&mm, va, nr * P, PF_MADV_PAGEOUT), 0);
	world_judge("pageout");
}

static struct pf_folio *folio_of(pf_va_t va)
{
	return pf_page_folio(&phys, pf_pte_pfn(entry(&mm, va)));
}

/* Bits of one entry change, by no call. */
static void change_bits(pf_va_t va, uint64_t set, uint64_t clear)
{
	struct pf_pte_map m;
	pf_pte_t pte;
	unsigned idx;

	assert_true(pf_pte_offset_map_lock(&mm.space.pt, va, &m));
	idx = pf_pte_idx(&m, va);
	pte = pf_ptep_clear_flush(&m, idx);
	pf_set_pte_at(&m, idx, pf_pte((pte.v | set) & ~clear), PF_NO_EXTENT);
	pf_pte_unmap_unlock(&m);
}

/* ---- what an entry says of its page ---- */

static void bits_survive(void **state)
{
	const uint64_t sd = PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY,
		       uf = PF_PTE_SUPPORTED & PF_PTE_UFFD_WP;

	struct pf_vma_info v;
	struct pf_uffd u;
	bool tracked;

	(void)state;
	start(0);
	quiet_uffd_open(&u, 0);
	quiet_uffd_register(&u, A, 4, PF_UFFDIO_REGISTER_MODE_WP);
	assert_true(pf_find_vma_info(&mm, A, &v));
	tracked = sd && !(v.area.flags & PF_VM_SOFTDIRTY);
	change_bits(A, 0, sd);
	change_bits(A + P, uf, PF_PTE_W);
	page_out(A, 4);
	for (unsigned i = 0; i < 4; i++) {
		pf_pte_t pte = entry(&mm, A + i * P);

		assert_int_equal(pf_pte_kind(pte), PF_PTE_SWAP);
		assert_true(pte.v & PF_PTE_EXCLUSIVE);
		assert_int_equal(pte.v & sd, i == 0 ? 0 : sd);
		assert_int_equal(pte.v & PF_PTE_UFFD_WP, i == 1 ? uf : 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pf_pte_t pte;

		holds(A + i * P, 0x1000 + i);
		pte = entry(&mm, A + i * P);
		assert_int_equal(pte.v & PF_PTE_UFFD_WP, i == 1 ? uf : 0);
		assert_int_equal(pte.v & sd, i == 0 ? 0 : sd);
		/* A write must be noticed where it is tracked. */
		assert_int_equal(pf_pte_write(pte), !(i == 1 && uf) && !(i == 0 && tracked));
		assert_false(pf_pte_dirty(pte));
	}
	pf_uffd_close(&u);
	for (unsigned i = 0; i < 4; i++)
		assert_false(entry(&mm, A + i * P).v & PF_PTE_UFFD_WP);
	finish();
}

/* coremm B32: what has moved counts as written, swapped or not. */
static void moved_is_soft_dirty(void **state)
{
	const uint64_t sd = PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY;

	(void)state;
	start(0);
	change_bits(A, 0, sd);
	page_out(A, 1);
	assert_int_equal(entry(&mm, A).v & sd, 0);
	assert_int_equal(pf_mremap(&mm, A, P, P, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED, B), B);
	assert_int_equal(pf_pte_kind(entry(&mm, B)), PF_PTE_SWAP);
	assert_int_equal(entry(&mm, B).v & sd, sd);
	holds(B, 0x1000);
	finish();
}

/* ---- what may not go ---- */

/* Restored exactly: each entry's W and soft-dirty are its own (B4), A and D no less than they were. */
static void refused_is_restored(void **state)
{
	pf_pte_t before[NR];

	(void)state;
	start(3);
	change_bits(A + 2 * P, 0, PF_PTE_W);
	change_bits(A + 3 * P, 0, PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY);
	for (unsigned i = 0; i < 8; i++)
		before[i] = entry(&mm, A + i * P);
	/* A pin that comes after reclaim has looked: unmapping meets it. */
	assert_true(pf_folio_trylock(folio_of(A)));
	pf_folio_get(folio_of(A), 2);
	assert_true(pf_folio_pin_ref(folio_of(A)));
	{
		struct pf_folio *f = folio_of(A);
		struct pf_vma_info v;
		uint64_t slot;

		assert_true(pf_find_vma_info(&mm, A, &v));
		assert_true(pf_swap_add_folio(dev, f));
		slot = pf_folio_swap_slot(f);
		assert_false(HW.unmap(&mm.space, &v.area, A, 8, f, pf_folio_pfn(&phys, f)));
		pf_swap_put(dev, slot, 8);
		assert_false(pf_folio_test_flags(f, PF_FOLIO_SWAPCACHE));
		for (unsigned i = 0; i < 8; i++) {
			pf_pte_t now = entry(&mm, A + i * P);

			assert_int_equal((before[i].v ^ now.v) & ~(PF_PTE_A | PF_PTE_D), 0);
			assert_int_equal(before[i].v & ~now.v, 0);
			assert_true(pf_folio_ae_test(f, i));
		}
		pf_folio_unlock(f);
		pf_folio_put(&phys, f, pf_folio_unpin_refs(f, 1));
		pf_folio_put(&phys, f, 1);
	}
	world_judge("refused");
	assert_int_equal(pf_swap_free(dev), SLOTS);
	finish();
}

/* Lazyfree pages: somebody has a reference, or has written by it (B11). Then each entry is as it was. */
static void lazyfree_refused(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 2; how++) {
		struct pf_folio *f;
		struct pf_vma_info v;
		pf_pte_t before[4];

		start(2);
		f = folio_of(A);
		change_bits(A + P, 0, PF_PTE_W);
		assert_int_equal(pf_madvise(&mm, A, 4 * P, PF_MADV_FREE), 0);
		assert_true(pf_folio_test_flags(f, PF_FOLIO_LAZYFREE));
		for (unsigned i = 0; i < 4; i++)
			before[i] = entry(&mm, A + i * P);
		assert_true(pf_find_vma_info(&mm, A, &v));
		assert_true(pf_folio_trylock(f));
		pf_folio_get(f, 1);
		if (how)
			pf_folio_set_flags(f, PF_FOLIO_DIRTY);
		else
			pf_folio_get(f, 1);
		assert_false(HW.unmap(&mm.space, &v.area, A, 4, f, pf_folio_pfn(&phys, f)));
		assert_int_equal(pf_folio_test_flags(f, PF_FOLIO_LAZYFREE), !how);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(
				(before[i].v ^ entry(&mm, A + i * P).v) & ~(PF_PTE_A | PF_PTE_D),
				0);
		pf_folio_unlock(f);
		pf_folio_put(&phys, f, how ? 1 : 2);
		world_judge("lazyfree");
		finish();
	}
}

/* ---- the device ---- */

static void write_error(void **state)
{
	(void)state;
	start(2);
	io_error = -PF_EIO;
	page_out(A, 4);
	/* Unmapped by then, and not lost: found in the cache. */
	assert_int_equal(writes, 1);
	for (unsigned i = 0; i < 4; i++)
		holds(A + i * P, 0x1000 + i);
	assert_int_equal(reads, 0);
	assert_int_equal(pf_swap_free(dev), SLOTS);
	io_error = 0;
	page_out(A, 4);
	holds(A, 0x1000);
	finish();
}

static void read_error(void **state)
{
	uint64_t word;

	(void)state;
	start(2);
	page_out(A, 4);
	io_error = -PF_EIO;
	assert_true(machine_load(A, &word).fault);
	assert_int_equal(pf_handle_mm_fault(&mm, A, 0), PF_FAULT_SIGBUS);
	assert_int_equal(pf_swapoff(&sys, 0), -PF_EIO);
	assert_true(swapped(A));
	io_error = 0;
	holds(A, 0x1000);
	finish();
}

/* B34: a page that is being written is not mapped, so it is not changed under the device. */
static void fault_now(void)
{
	assert_int_equal(pf_handle_mm_fault(&mm, A, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	assert_true(swapped(A));
}

static void fault_beside_write(void **state)
{
	(void)state;
	start(0);
	meanwhile = fault_now;
	page_out(A, 1);
	assert_int_equal(writes, 1);
	assert_true(swapped(A));
	holds(A, 0x1000);
	finish();
}

/*
 * B33: a fault that has looked, and is about to map; meanwhile the page was brought in, written, and went out again, to the same
 * slot. The count that the look took keeps the slot from being used again, so the entry cannot look the same.
 */
static void slot_is_not_used_again(void **state)
{
	struct pf_swap_look look;
	struct pf_folio *f;
	struct pf_vma_info v;
	pf_pte_t was;

	(void)state;
	start(0);
	page_out(A, 1);
	was = entry(&mm, A);
	assert_true(pf_find_vma_info(&mm, A, &v));
	assert_true(HW.swap_look(&mm.space, &v.area, A, 1, &look));
	f = pf_folio_alloc(&phys, 0, PF_USE_ANON);
	assert_non_null(f);
	assert_true(pf_folio_trylock(f));
	assert_true(pf_swap_cache_add(look.dev, look.slot, f));
	assert_int_equal(dev_read(NULL, look.slot, pf_folio_pfn(&phys, f) * P, P), 0);
	pf_folio_unlock(f);
	/* The other thread's. */
	while (machine_store(A, 0x2000).fault)
		assert_int_equal(pf_handle_mm_fault(&mm, A, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	pf_folio_put(&phys, f, 1);
	page_out(A, 1);
	/* Ours goes on. */
	if (swapped(A) && pf_pte_same(entry(&mm, A), was)) {
		struct pf_folio *again = pf_swap_cache_get(dev, look.slot);
		uint64_t word;

		/* The same folio then, with its contents of now. */
		if (again) {
			memcpy(&word, pf_port_virt(pf_folio_pfn(&phys, again) * P), sizeof(word));
			pf_folio_put(&phys, again, 1);
		} else {
			memcpy(&word, device + look.slot * P, sizeof(word));
		}
		assert_int_equal(word, 0x2000);
	}
	pf_swap_put(look.dev, look.slot, 1);
	holds(A, 0x2000);
	finish();
}

/* ---- fork ---- */

static void forked(void **state)
{
	(void)state;
	start(2);
	page_out(A, NR);
	assert_true(entry(&mm, A).v & PF_PTE_EXCLUSIVE);
	assert_int_equal(pf_fork(&child, &mm, ASID + 1), 0);
	for (unsigned i = 0; i < NR; i++) {
		assert_false(entry(&mm, A + i * P).v & PF_PTE_EXCLUSIVE);
		assert_true(pf_pte_same(entry(&mm, A + i * P), entry(&child, A + i * P)));
	}
	assert_int_equal(pf_rss(&child.space, PF_RSS_SWAP), NR);
	assert_null(pf_mm_check(&child));
	/* One reads, and the other: one folio, mapped twice, read once. */
	holds(A, 0x1000);
	assert_int_equal(reads, 1);
	assert_int_equal(pf_handle_mm_fault(&child, A, 0), PF_FAULT_DONE);
	assert_int_equal(reads, 1);
	assert_int_equal(pf_pte_pfn(entry(&mm, A)), pf_pte_pfn(entry(&child, A)));
	assert_int_equal(pf_folio_mapcount(folio_of(A)), 8);
	/* All entries of its slots are gone: so is its place. */
	assert_false(pf_folio_test_flags(folio_of(A), PF_FOLIO_SWAPCACHE));
	pf_mm_exit(&child);
	machine_retire_asid(ASID + 1);
	finish();
}

/* A device can be counted to its limit; the fork that would pass it changes nothing. */
static void fork_beyond_the_limit(void **state)
{
	uint64_t slot;

	(void)state;
	start(0);
	page_out(A, 2);
	slot = pf_pte_swap_offset(entry(&mm, A + P));
	dev->slot[slot].count = PF_SWAP_MAX_COUNT;
	assert_int_equal(pf_fork(&child, &mm, ASID + 1), -PF_ENOMEM);
	machine_retire_asid(ASID + 1);
	dev->slot[slot].count = 1;
	holds(A, 0x1000);
	holds(A + P, 0x1001);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bits_survive),
		cmocka_unit_test(moved_is_soft_dirty),
		cmocka_unit_test(refused_is_restored),
		cmocka_unit_test(lazyfree_refused),
		cmocka_unit_test(write_error),
		cmocka_unit_test(read_error),
		cmocka_unit_test(fault_beside_write),
		cmocka_unit_test(slot_is_not_used_again),
		cmocka_unit_test(forked),
		cmocka_unit_test(fork_beyond_the_limit),
	};

	return cmocka_run_group_tests_name(PF_STR(PF_FMT) " swap", tests, NULL, NULL);
}
