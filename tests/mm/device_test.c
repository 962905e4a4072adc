/* SPDX-License-Identifier: MIT */
/*
 * Pages that a device has to itself, in the calls and faults of their process.
 */
#include "device_world.h"

#include "mm/mapping.h"
#include "mm/proc.h"
#include "mm/uffd.h"

static struct pf_mm child;

/* ---- made ---- */

static void made(void)
{
	const uint64_t unfolds = mm.space.pt.stats.unfold;
	const int64_t rss = pf_rss(&mm.space, PF_RSS_ANON);
	const bool folded = at_of(&mm, A + 5 * P).folded;
	const pf_pte_t before = at(A + 5 * P);
	struct pf_folio *folio;
	pf_pfn_t pfn;

	/* Any byte of it. */
	folio = make_locked(A + 5 * P, &pfn);
	assert_int_equal(pfn, pf_pte_pfn(before));
	assert_int_equal(
		at(A + 5 * P).v, pf_pte_device_exclusive(pfn, before.v & PF_PTE_SOFT_DIRTY).v);
	/* The same mapping, and the caller's reference. */
	assert_int_equal(pf_folio_mapcount(folio), large ? 16 : 1);
	assert_int_equal(pf_folio_extra_ref(folio), 1);
	assert_true(at_of(&mm, A + 5 * P).exclusive);
	assert_true(pf_folio_test_flags(folio, PF_FOLIO_DIRTY));
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), rss);
	world_check("locked");
	/* One block is unfolded, and no more; its other pages are as they were. */
	assert_int_equal(mm.space.pt.stats.unfold - unfolds, folded);
	for (unsigned i = 0; i < NR; i++)
		if (i != 5)
			assert_true(pf_pte_write(at(A + i * P)));
	if (large)
		assert_true(at_of(&mm, A + 16 * P).folded == folded);
	let_go(folio);
	/* Of the same folio, and again of the same page, which comes back in between. */
	make(A + 6 * P, 1);
	assert_int_equal(make(A + 5 * P + 8, 2), pfn);
	assert_int_equal(get(A + 5 * P), 2);
}

static void refused(void)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};
	struct pf_folio *folio;
	pf_pfn_t pfn;

	assert_int_equal(pf_make_device_exclusive(&mm, B, NULL, &folio, &pfn), -PF_EFAULT);
	assert_int_equal(
		pf_make_device_exclusive(&mm, sys.task_size, NULL, &folio, &pfn), -PF_EFAULT);
	assert_int_equal(pf_mprotect(&mm, A + P, P, PF_PROT_READ), 0);
	assert_int_equal(pf_make_device_exclusive(&mm, A + P, NULL, &folio, &pfn), -PF_EFAULT);
	/* Shared memory. */
	f.mapping = pf_mapping_create(&sys, NULL, NULL, 4 * P);
	assert_non_null(f.mapping);
	assert_int_equal(pf_mmap_file(&mm, B, 4 * P, RW, PF_MAP_SHARED | PF_MAP_FIXED, &f, 0), B);
	machine_note_store(B);
	assert_int_equal(pf_make_device_exclusive(&mm, B, NULL, &folio, &pfn), -PF_EOPNOTSUPP);
	assert_int_equal(pf_folio_extra_ref(pf_page_folio(&phys, pf_pte_pfn(at(B)))), 1);
	assert_false(pf_folio_test_flags(pf_page_folio(&phys, pf_pte_pfn(at(B))), PF_FOLIO_LOCKED));
	assert_int_equal(pf_munmap(&mm, B, 4 * P), 0);
	/* A private page of it is the process's own, and stays when a hole is made where it was. */
	assert_int_equal(pf_mmap_file(&mm, B, 4 * P, RW, PF_MAP_PRIVATE | PF_MAP_FIXED, &f, 0), B);
	make(B, 7);
	assert_int_equal(pf_mapping_punch(f.mapping, 0, 4 * P), 0);
	assert_true(is_exclusive(B));
	assert_int_equal(get(B), 7);
	make(B, 8);
	assert_int_equal(pf_mapping_truncate(f.mapping, 0), 0);
	assert_true(pf_pte_none(at(B)));
	assert_int_equal(pf_munmap(&mm, B, 4 * P), 0);
	pf_mapping_put(f.mapping);
}

/* What is not there, or is shared, is brought in and copied as for a store. */
static void brought_in(void)
{
	assert_int_equal(pf_mmap(&mm, B, 4 * P, RW, FIXED), B);
	assert_int_equal(pf_handle_mm_fault(&mm, B, 0), PF_FAULT_DONE);
	make(B, 5);
	make(B + P, 6);
	assert_int_equal(get(B), 5);
	assert_int_equal(get(B + P), 6);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	make(A, 9);
	assert_true(pf_pte_pfn(at(A)) != pf_pte_pfn(at_of(&child, A).pte));
	assert_int_equal(*word(pf_pte_pfn(at_of(&child, A).pte)), 0x1000);
	assert_null(pf_mm_check(&child));
	pf_mm_exit(&child);
	machine_retire_asid(2);
	assert_int_equal(get(A), 9);
}

/* ---- faults ---- */

static void faults(void)
{
	const bool folded = at_of(&mm, A).folded;

	make(A + 3 * P, 0x77);
	assert_int_equal(pf_handle_mm_fault(&mm, A + 3 * P, 0), PF_FAULT_DONE);
	/* Present, old, and as writable as it was: a block again. */
	assert_true(pf_pte_write(at(A + 3 * P)));
	assert_true(pf_pte_dirty(at(A + 3 * P)));
	assert_int_equal(at_of(&mm, A).folded, folded);
	world_check("restored by a load");
	assert_int_equal(get(A + 3 * P), 0x77);
	make(A + 3 * P, 0x78);
	put(A + 3 * P, 0x79);
	assert_int_equal(get(A + 3 * P), 0x79);
	/* By GUP, and in advance. */
	make(A + 4 * P, 0x80);
	{
		pf_pfn_t pfn;

		assert_int_equal(pf_gup(&mm, A + 4 * P, 1, PF_FOLL_PIN, &pfn), 1);
		assert_int_equal(*word(pfn), 0x80);
		assert_true(pf_pte_present(at(A + 4 * P)));
		/* Pinned, it can be a device's all the same. */
		assert_int_equal(make(A + 4 * P, 0x81), pfn);
		pf_unpin_user_pages(&sys, &pfn, 1);
	}
	world_note(A + 4 * P, 1);
	assert_int_equal(pf_madvise(&mm, A + 4 * P, P, PF_MADV_POPULATE_WRITE), 0);
	assert_true(pf_pte_write(at(A + 4 * P)));
	assert_int_equal(get(A + 4 * P), 0x81);
}

static struct pf_folio *held;
static unsigned waited;

/* Who has the folio's lock gives it back when a CPU has nothing else to do. */
static void release(void *ctx, bool blocked)
{
	(void)ctx;
	if (!blocked)
		return;
	waited++;
	assert_true(is_exclusive(A));
	if (held)
		let_go(held);
	held = NULL;
}

/* Whoever has the folio's lock is waited for, by running the access again; who would have the page for a device, too. */
static void locked_faults(void)
{
	pf_pfn_t pfn;

	for (unsigned i = 0; i < 3; i++) {
		struct pf_folio *folio;
		pf_pfn_t pin;

		held = make_locked(A, &pfn);
		waited = 0;
		machine_set_schedule(release, NULL);
		if (i == 0)
			assert_int_equal(get(A), 0x1000);
		else if (i == 1)
			assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_GET, &pin), 1);
		else
			assert_int_equal(pf_make_device_exclusive(&mm, A, NULL, &folio, &pin), 0);
		machine_set_schedule(NULL, NULL);
		assert_int_equal(waited, 1);
		assert_int_equal(is_exclusive(A), i == 2);
		if (i == 1)
			pf_put_user_pages(&sys, &pin, 1);
		if (i == 2)
			let_go(folio);
	}
}

/* ---- fork ---- */

static void forked(void)
{
	const pf_pfn_t pfn = make(A + 2 * P, 0x22);
	struct pf_folio *folio;
	pf_pfn_t again;

	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	world_check("forked");
	assert_null(pf_mm_check(&child));
	assert_int_equal(pf_pte_pfn(at(A + 2 * P)), pfn);
	for (unsigned i = 0; i < NR; i++) {
		const struct pf_page_info mine = at_of(&mm, A + i * P),
					  its = at_of(&child, A + i * P);

		assert_true(pf_pte_present(mine.pte) && pf_pte_present(its.pte));
		assert_int_equal(pf_pte_pfn(mine.pte), pf_pte_pfn(its.pte));
		assert_false(mine.exclusive || pf_pte_write(mine.pte) || pf_pte_write(its.pte));
	}
	assert_int_equal(pf_folio_mapcount(pf_page_folio(&phys, pfn)), large ? 32 : 2);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	assert_int_equal(get(A + 2 * P), 0x22);
	/* With its folio locked: no fork, and the device has it still. */
	folio = make_locked(A + 2 * P, &again);
	assert_int_equal(pf_fork(&child, &mm, 2), -PF_ENOMEM);
	machine_retire_asid(2);
	assert_true(is_exclusive(A + 2 * P));
	world_check("not forked");
	let_go(folio);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	/* Where a child is not to have it, nobody asks. */
	folio = make_locked(A + 2 * P, &again);
	assert_int_equal(pf_madvise(&mm, A, NR * P, PF_MADV_DONTFORK), 0);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	assert_true(is_exclusive(A + 2 * P));
	let_go(folio);
}

/* Pinned: the child's page is a copy of what the device left. */
static void forked_pinned(void)
{
	pf_pfn_t pin, pfn;

	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pin), 1);
	pfn = make(A, 0x31);
	assert_int_equal(pin, pfn);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	assert_int_equal(pf_pte_pfn(at(A)), pfn);
	assert_true(at_of(&mm, A).exclusive);
	assert_true(pf_pte_pfn(at_of(&child, A).pte) != pfn);
	assert_int_equal(*word(pf_pte_pfn(at_of(&child, A).pte)), 0x31);
	pf_unpin_user_pages(&sys, &pin, 1);
	pf_mm_exit(&child);
	machine_retire_asid(2);
}

/* ---- unmapped ---- */

static void expect_gone(pf_va_t va, struct pf_folio *folio, unsigned left, int64_t rss)
{
	assert_false(is_exclusive(va));
	assert_int_equal(pf_folio_mapcount(folio), left);
	assert_int_equal(pf_folio_extra_ref(folio), 1);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), rss);
	world_check("unmapped");
}

/* Each page's mapping and reference go; what is left of a large folio waits to be split. */
static void unmapped(void)
{
	struct pf_folio *folio = pf_page_folio(&phys, pf_pte_pfn(at(A)));
	unsigned left = large ? 16 : 0;
	int64_t rss = NR;

	pf_folio_get(folio, 1);
	make(A, 1);
	assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_DONTNEED), 0);
	expect_gone(A, folio, left -= large, --rss);
	assert_int_equal(pf_folio_test_flags(folio, PF_FOLIO_PARTLY_MAPPED), large);
	if (!large) {
		pf_folio_put(&phys, folio, 1);
		folio = pf_page_folio(&phys, pf_pte_pfn(at(A + P)));
		pf_folio_get(folio, 1);
	}
	make(A + P, 1);
	assert_int_equal(pf_madvise(&mm, A + P, P, PF_MADV_GUARD_INSTALL), 0);
	assert_true(pf_pte_guard(at(A + P)));
	expect_gone(A + P, folio, left -= large, --rss);
	if (!large) {
		pf_folio_put(&phys, folio, 1);
		folio = pf_page_folio(&phys, pf_pte_pfn(at(A + 2 * P)));
		pf_folio_get(folio, 1);
	}
	make(A + 2 * P, 1);
	assert_int_equal(pf_munmap(&mm, A + 2 * P, P), 0);
	expect_gone(A + 2 * P, folio, left -= large, --rss);
	pf_folio_put(&phys, folio, 1);
	/* All of a folio, by pieces; and the last of it frees it. The exit takes others along. */
	for (unsigned i = 16; i < 32; i++)
		make(A + i * P, i);
	assert_int_equal(pf_munmap(&mm, A + 16 * P, 14 * P), 0);
}

/* What a locked folio loses, it loses without waiting. */
static void unmapped_locked(void)
{
	pf_pfn_t pfn;
	struct pf_folio *folio = make_locked(A, &pfn);

	assert_int_equal(pf_munmap(&mm, A, 16 * P), 0);
	assert_int_equal(pf_folio_mapcount(folio), 0);
	*word(pfn) = 1;
	let_go(folio);
}

/* ---- mprotect, mremap ---- */

static void protected(void)
{
	const pf_pte_t entry =
		pf_pte_device_exclusive(make(A + P, 0x41), at(A + P).v & PF_PTE_SOFT_DIRTY);

	assert_int_equal(pf_mprotect(&mm, A, 4 * P, PF_PROT_READ), 0);
	assert_int_equal(at(A + P).v, entry.v);
	world_check("read only");
	assert_int_equal(get(A + P), 0x41);
	assert_false(pf_pte_write(at(A + P)));
	assert_true(at_of(&mm, A + P).exclusive);
	assert_int_equal(pf_mprotect(&mm, A, 4 * P, RW), 0);
	assert_int_equal(make(A + P, 0x42), pf_pte_pfn(entry));
	assert_int_equal(pf_mprotect(&mm, A, 4 * P, PF_PROT_NONE), 0);
	assert_int_equal(at(A + P).v, entry.v);
	assert_int_equal(pf_handle_mm_fault(&mm, A + P, 0), PF_FAULT_SIGSEGV);
	/* Present without access, if it must be. */
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	assert_true(pf_pte_protnone(at(A + P)));
	world_check("no access");
	pf_mm_exit(&child);
	machine_retire_asid(2);
	assert_int_equal(pf_mprotect(&mm, A, 4 * P, RW), 0);
	assert_int_equal(get(A + P), 0x42);
}

static void moved(void)
{
	const pf_pfn_t pfn = make(A + 2 * P, 0x51);

	assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_SOFT_DIRTY), 0);
	assert_int_equal(at(A + 2 * P).v & PF_PTE_SOFT_DIRTY, 0);
	assert_int_equal(pf_mremap(&mm, A, 4 * P, 4 * P, MOVE, B), B);
	world_check("moved");
	/* The memory at the new address counts as written (bug B32). */
	assert_int_equal(at(B + 2 * P).v,
		pf_pte_device_exclusive(pfn, sys.fmt->pt->pte_supported & PF_PTE_SOFT_DIRTY).v);
	assert_int_equal(get(B + 2 * P), 0x51);
	assert_int_equal(pf_pte_pfn(at(B + 2 * P)), pfn);
}

/* ---- who tracks writes ---- */

static void soft_dirty(void)
{
	const bool has = sys.fmt->pt->pte_supported & PF_PTE_SOFT_DIRTY;

	make(A, 0x61);
	assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_SOFT_DIRTY), 0);
	assert_true(is_exclusive(A));
	assert_int_equal(at(A).v & PF_PTE_SOFT_DIRTY, 0);
	assert_int_equal(get(A), 0x61);
	/* The next write must be noticed. */
	assert_int_equal(pf_pte_write(at(A)), !has);
	world_check("after clear_refs");
	put(A, 0x62);
	assert_true(!has || (at(A).v & PF_PTE_SOFT_DIRTY));
	/* It was written so that it could become the device's. */
	assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_SOFT_DIRTY), 0);
	make(A + P, 1);
	assert_true(!has || (at(A + P).v & PF_PTE_SOFT_DIRTY));
	get(A + P);
	assert_true(!has || (at(A + P).v & PF_PTE_SOFT_DIRTY));
}

static unsigned told;

static void tell(struct pf_uffd *u, const struct pf_uffd_msg *msg)
{
	(void)u;
	(void)msg;
	told++;
}

static void wake(struct pf_uffd *u, pf_va_t start, uint64_t len)
{
	(void)u;
	(void)start;
	(void)len;
}

static const struct pf_uffd_ops uffd_ops = {.fault = tell, .wake = wake};

static void uffd_wp(void)
{
	uint64_t features = 0, ioctls;
	struct pf_folio *folio;
	struct pf_uffd u;
	pf_pfn_t pfn;

	if (!(sys.fmt->pt->pte_supported & PF_PTE_UFFD_WP))
		return;
	told = 0;
	assert_int_equal(pf_userfaultfd(&u, &mm, 0, &uffd_ops, NULL), 0);
	assert_int_equal(pf_uffd_api(&u, PF_UFFD_API, &features, &ioctls), 0);
	assert_int_equal(pf_uffd_register(&u, A, NR * P, PF_UFFDIO_REGISTER_MODE_WP, &ioctls), 0);
	pfn = make(A, 0x71);
	assert_int_equal(pf_uffd_writeprotect(&u, A, P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	assert_true(is_exclusive(A) && (at(A).v & PF_PTE_UFFD_WP));
	world_check("protected");
	assert_int_equal(get(A), 0x71);
	assert_true((at(A).v & PF_PTE_UFFD_WP) && !pf_pte_write(at(A)));
	assert_int_equal(pf_handle_mm_fault(&mm, A, PF_FAULT_FLAG_WRITE), PF_FAULT_UFFD);
	assert_int_equal(told, 1);
	/* A device's store would not be noticed: it does not get the page. */
	assert_int_equal(pf_make_device_exclusive(&mm, A, NULL, &folio, &pfn), -PF_EAGAIN);
	assert_int_equal(told, 2);
	assert_true(pf_pte_present(at(A)));
	assert_int_equal(pf_uffd_writeprotect(&u, A, P, 0), 0);
	/* And resolved in the entry. */
	make(A, 0x72);
	assert_int_equal(pf_uffd_writeprotect(&u, A, P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	assert_int_equal(pf_uffd_writeprotect(&u, A, P, 0), 0);
	assert_true(is_exclusive(A) && !(at(A).v & PF_PTE_UFFD_WP));
	assert_int_equal(get(A), 0x72);
	assert_true(pf_pte_write(at(A)));
	/* Nobody asks any more. */
	make(A, 0x73);
	assert_int_equal(pf_uffd_writeprotect(&u, A, P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	pf_uffd_close(&u);
	assert_true(is_exclusive(A) && !(at(A).v & PF_PTE_UFFD_WP));
	put(A, 0x74);
}

/* Not present to who fills slots, and no page to who moves pages. */
static void uffd_fills(void)
{
	uint64_t features = 0, ioctls;
	struct pf_uffd u;
	int64_t done;

	assert_int_equal(pf_userfaultfd(&u, &mm, 0, &uffd_ops, NULL), 0);
	assert_int_equal(pf_uffd_api(&u, PF_UFFD_API, &features, &ioctls), 0);
	assert_int_equal(
		pf_uffd_register(&u, A, NR * P, PF_UFFDIO_REGISTER_MODE_MISSING, &ioctls), 0);
	make(A, 0x81);
	assert_int_equal(pf_uffd_copy(&u, &mm, A, A + P, P, 0, &done), -PF_EEXIST);
	assert_int_equal(pf_uffd_zeropage(&u, A, P, 0, &done), -PF_EEXIST);
	assert_int_equal(pf_madvise(&mm, A + 20 * P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_uffd_move(&u, &mm, A + 20 * P, A, P, 0, &done), -PF_EFAULT);
	assert_int_equal(pf_madvise(&mm, A + 21 * P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_uffd_move(&u, &mm, A, A + 22 * P, P, 0, &done), -PF_EEXIST);
	/* Read from, it is the process's again. */
	assert_int_equal(pf_uffd_copy(&u, &mm, A + 20 * P, A, P, 0, &done), 0);
	assert_int_equal(get(A + 20 * P), 0x81);
	pf_uffd_close(&u);
}

/* ---- no memory ---- */

/* The k-th allocation of one that has to bring the page in, and copy it, fails: then nothing has changed, or it is the device's. */
static void fail_each(void **state)
{
	(void)state;
	large = false;
	for (unsigned i = 0; pf_formats[i]; i++) {
		unsigned failures = 0;

		for (unsigned copy = 0; copy < 2; copy++) {
			const pf_va_t va = copy ? A : B;
			uint64_t first = 0, last = 0;

			for (uint64_t k = 0; !k || first + k <= last; k++) {
				struct pf_folio *folio;
				pf_pfn_t pfn;
				int err;

				begin(pf_formats[i], k ? first + k : 0);
				assert_int_equal(pf_mmap(&mm, B, P, RW, FIXED), B);
				if (copy)
					assert_int_equal(pf_fork(&child, &mm, 2), 0);
				if (!k)
					first = machine_counters.allocs;
				machine_note_store(va);
				err = pf_make_device_exclusive(&mm, va, NULL, &folio, &pfn);
				if (!k)
					last = machine_counters.allocs;
				if (err) {
					assert_true(k);
					assert_int_equal(err, -PF_ENOMEM);
					failures++;
					world_check("no memory");
					assert_false(is_exclusive(va));
					folio = make_locked(va, &pfn);
				}
				assert_true(!copy || pfn != pf_pte_pfn(at_of(&child, va).pte));
				let_go(folio);
				world_check("in the end");
				if (copy) {
					pf_mm_exit(&child);
					machine_retire_asid(2);
				}
				world_stop();
			}
		}
		assert_true(failures >= 2);
	}
}

EVERYWHERE(made)
EVERYWHERE(refused)
EVERYWHERE(brought_in)
EVERYWHERE(faults)
EVERYWHERE(locked_faults)
EVERYWHERE(forked)
EVERYWHERE(forked_pinned)
EVERYWHERE(unmapped)
EVERYWHERE(unmapped_locked)
EVERYWHERE(protected)
EVERYWHERE(moved)
EVERYWHERE(soft_dirty)
EVERYWHERE(uffd_wp)
EVERYWHERE(uffd_fills)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_brought_in),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_locked_faults),
		cmocka_unit_test(test_forked),
		cmocka_unit_test(test_forked_pinned),
		cmocka_unit_test(test_unmapped),
		cmocka_unit_test(test_unmapped_locked),
		cmocka_unit_test(test_protected),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_soft_dirty),
		cmocka_unit_test(test_uffd_wp),
		cmocka_unit_test(test_uffd_fills),
		cmocka_unit_test(fail_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
