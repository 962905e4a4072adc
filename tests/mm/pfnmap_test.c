/* SPDX-License-Identifier: MIT */
/*
 * Mappings of frames that are no memory: what each call does with them.
 */
#include "pfnmap_world.h"

#include "mm/ksm.h"
#include "mm/mempolicy.h"
#include "mm/numa.h"
#include "mm/proc.h"
#include "mm/sample.h"
#include "tests/quiet_uffd.h"

#define NR 64u

static bool folds(void)
{
	return sys.policy == PF_FOLD_WATCH;
}

static unsigned block(void)
{
	return 1u << sys.fmt->pt->cont_shift[0];
}

/* NR pages of the device at A, shared, all frames there. */
static void map_all(pf_va_t va)
{
	assert_int_equal(map_dev(va, NR, RW, SHARED, 0), va);
	assert_int_equal(pf_remap_pfn_range(&mm, va, NR * P, DEV), 0);
}

static void no_pages(void)
{
	assert_int_equal(pf_space_rss(&mm.space), 0);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_SWAP), 0);
}

/* ---- at once ---- */

static void remapped(void)
{
	map_all(A);
	world_check("remapped");
	no_pages();
	for (unsigned i = 0; i < NR; i++) {
		const struct pf_page_info info = at(A + i * P);

		assert_true(pf_pte_special(info.pte) && pf_pte_write(info.pte));
		assert_int_equal(pf_pte_pfn(info.pte), DEV + i);
		assert_int_equal(info.folded, folds());
		finds(A + i * P, 0xd0000 + i);
		assert_int_equal(put(A + i * P, i), PF_FAULT_DONE);
		assert_int_equal(*word(DEV + i), i);
	}
	world_check("used");
	assert_int_equal(faults, 0);
	/* What is there stays; frames that are memory's, or nobody's, are not mapped. */
	assert_int_equal(pf_remap_pfn_range(&mm, A + P, P, DEV), -PF_EBUSY);
	assert_int_equal(pf_munmap(&mm, A, NR * P), 0);
	world_check("unmapped");
	assert_int_equal(map_dev(A, NR, RW, SHARED, 0), A);
	assert_int_equal(pf_remap_pfn_range(&mm, A, NR * P, DEV - 1), -PF_EINVAL);
	assert_int_equal(
		pf_remap_pfn_range(&mm, A, NR * P, MACHINE_RAM_BASE / P - NR + 1), -PF_EINVAL);
	assert_int_equal(pf_remap_pfn_range(&mm, A, NR * P, UINT64_MAX - 2), -PF_EINVAL);
	assert_int_equal(
		pf_remap_pfn_range(&mm, A, NR * P, (UINT64_C(1) << sys.fmt->pt->pfn_bits) - NR + 1),
		-PF_EINVAL);
	assert_int_equal(pf_remap_pfn_range(&mm, A, 0, DEV), -PF_EINVAL);
	assert_int_equal(pf_remap_pfn_range(&mm, A + 1, P, DEV), -PF_EINVAL);
	assert_int_equal(pf_remap_pfn_range(&mm, A, P + 1, DEV), -PF_EINVAL);
	assert_int_equal(pf_remap_pfn_range(&mm, A + P, NR * P, DEV), -PF_EINVAL);
	assert_int_equal(pf_remap_pfn_range(&mm, B, P, DEV), -PF_EINVAL);
	/* Part of a shared one, in any order; and frames behind all memory. */
	assert_int_equal(pf_remap_pfn_range(&mm, A + 3 * P, 2 * P, DEV + 40), 0);
	finds(A + 4 * P, 41 + 0);
	assert_int_equal(
		pf_remap_pfn_range(&mm, A + 8 * P, P, (UINT64_C(1) << sys.fmt->pt->pfn_bits) - 1),
		0);
	finds(A + 8 * P, 0);
	assert_int_equal(get(A, &(uint64_t){0}), PF_FAULT_DONE);
	assert_int_equal(faults, 1);
	no_pages();
}
EVERYWHERE(remapped)

/* Over the border of two tables. */
static void two_tables(void)
{
	const pf_va_t pmd = P << sys.fmt->pt->level_bits, va = A + pmd - 16 * P;

	assert_int_equal(map_dev(va, 48, RW, SHARED, 0), va);
	assert_int_equal(pf_remap_pfn_range(&mm, va, 48 * P, DEV), 0);
	for (unsigned i = 0; i < 48; i++) {
		finds(va + i * P, 0xd0000 + i);
		assert_int_equal(at(va + i * P).folded, folds());
	}
	no_pages();
}
EVERYWHERE(two_tables)

/* Blocks that are cut, changed as a whole, restored and moved. */
static void blocks(void)
{
	const unsigned n = block();

	map_all(A);
	assert_int_equal(pf_mprotect(&mm, A, NR * P, PF_PROT_READ), 0);
	world_check("read-only");
	assert_int_equal(at(A + P).folded, folds());
	assert_int_equal(put(A, 1), PF_FAULT_SIGSEGV);
	finds(A, 0xd0000);
	assert_int_equal(pf_mprotect(&mm, A, NR * P, PF_PROT_NONE), 0);
	world_check("nothing");
	assert_false(at(A + P).folded);
	assert_int_equal(get(A, &(uint64_t){0}), PF_FAULT_SIGSEGV);
	assert_int_equal(pf_mprotect(&mm, A, NR * P, RW), 0);
	world_check("back");
	assert_int_equal(at(A + P).folded, folds());
	assert_int_equal(put(A, 1), PF_FAULT_DONE);
	assert_int_equal(pf_mprotect(&mm, A + P, P, PF_PROT_READ), 0);
	assert_false(at(A).folded);
	assert_int_equal(at(A + n * P).folded, folds());
	world_check("one page");
	/* Special VMAs are merged with nothing. */
	assert_int_equal(mm.map_count, 3);
	assert_int_equal(pf_mprotect(&mm, A + P, P, RW), 0);
	assert_int_equal(mm.map_count, 3);
	assert_int_equal(at(A).folded, folds());
	assert_int_equal(pf_munmap(&mm, A + (n + 1) * P, P), 0);
	assert_false(at(A + n * P).folded);
	world_check("a hole");
	finds(A + n * P, 0xd0000 + n);
	/* Moved to where frames and slots agree, and to where they do not. */
	assert_int_equal(pf_mremap(&mm, A + 2 * n * P, 2 * n * P, 2 * n * P, MOVE, B + 2 * n * P),
		B + 2 * n * P);
	world_check("moved");
	assert_int_equal(at(B + 2 * n * P).folded, folds());
	finds(B + 3 * n * P, 0xd0000 + 3 * n);
	assert_int_equal(pf_mremap(&mm, B + 2 * n * P, n * P, n * P, MOVE, B + P), B + P);
	assert_false(at(B + P).folded);
	finds(B + P, 0xd0000 + 2 * n);
	assert_int_equal(pf_mremap(&mm, B + P, n * P, n * P, MOVE, B + 8 * n * P), B + 8 * n * P);
	world_check("aligned again");
	assert_int_equal(at(B + 8 * n * P).folded, folds());
	no_pages();
}
EVERYWHERE(blocks)

/* ---- what calls say ---- */

static void calls(void)
{
	static const struct {
		int advice, says;
	} advice[] = {
		{PF_MADV_NORMAL, 0},
		{PF_MADV_RANDOM, 0},
		{PF_MADV_WILLNEED, 0},
		{PF_MADV_DONTNEED, -PF_EINVAL},
		{PF_MADV_DONTNEED_LOCKED, -PF_EINVAL},
		{PF_MADV_FREE, -PF_EINVAL},
		{PF_MADV_REMOVE, -PF_ENODEV},
		{PF_MADV_DOFORK, -PF_EINVAL},
		{PF_MADV_MERGEABLE, 0},
		{PF_MADV_HUGEPAGE, 0},
		{PF_MADV_NOHUGEPAGE, 0},
		{PF_MADV_DONTDUMP, 0},
		{PF_MADV_DODUMP, -PF_EINVAL},
		{PF_MADV_WIPEONFORK, -PF_EINVAL},
		{PF_MADV_COLD, -PF_EINVAL},
		{PF_MADV_PAGEOUT, -PF_EINVAL},
		{PF_MADV_POPULATE_READ, -PF_EINVAL},
		{PF_MADV_POPULATE_WRITE, -PF_EINVAL},
		{PF_MADV_COLLAPSE, -PF_EINVAL},
		{PF_MADV_GUARD_INSTALL, -PF_EINVAL},
		{PF_MADV_GUARD_REMOVE, -PF_EINVAL},
		{PF_MADV_HWPOISON, -PF_EFAULT},
	};
	struct pf_vma_info info;
	struct pf_smaps smaps;
	uint64_t entry[4];
	uint8_t vec[4];
	pf_pfn_t pfn;

	map_all(A);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(advice); i++)
		if (pf_madvise(&mm, A, NR * P, advice[i].advice) != advice[i].says)
			fail_msg("advice %d", advice[i].advice);
	assert_true(pf_find_vma_info(&mm, A, &info));
	assert_int_equal(info.area.flags & (PF_VM_SPECIAL | PF_VM_DONTDUMP | PF_VM_MERGEABLE),
		PF_VM_SPECIAL | PF_VM_DONTDUMP);
	assert_int_equal(pf_mlock(&mm, A, NR * P), 0);
	assert_int_equal(pf_mlockall(&mm, PF_MCL_CURRENT | PF_MCL_FUTURE), 0);
	assert_int_equal(mm.locked_vm, 0);
	assert_int_equal(map_dev(B, NR, RW, SHARED | PF_MAP_POPULATE, 0), B);
	assert_int_equal(mm.locked_vm, 0);
	assert_int_equal(pf_munlockall(&mm), 0);
	assert_int_equal(faults, 0);
	assert_int_equal(pf_munmap(&mm, B, NR * P), 0);
	for (unsigned write = 0; write < 2; write++) {
		assert_int_equal(pf_gup(&mm, A, 1, write ? PF_FOLL_WRITE : 0, &pfn), -PF_EFAULT);
		assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_PIN | PF_FOLL_FORCE, &pfn), -PF_EFAULT);
	}
	assert_int_equal(pf_mincore(&mm, A, 4 * P, vec), 0);
	assert_int_equal(vec[0] | vec[1] | vec[2] | vec[3], 0);
	assert_int_equal(pf_pagemap(&mm, A, 4, entry), 4);
	assert_int_equal(
		entry[0], sys.fmt->pt->pte_supported & PF_PTE_SOFT_DIRTY ? PF_PM_SOFT_DIRTY : 0);
	assert_int_equal(entry[3], entry[0]);
	assert_true(pf_smaps(&mm, A, &smaps));
	assert_int_equal(smaps.size, NR * P);
	assert_int_equal(smaps.rss + smaps.pss + smaps.anonymous + smaps.referenced, 0);
	assert_int_equal(pf_mremap(&mm, A, NR * P, (NR + 1) * P, PF_MREMAP_MAYMOVE, 0), -PF_EFAULT);
	assert_int_equal(
		pf_mremap(&mm, A, NR * P, NR * P, MOVE | PF_MREMAP_DONTUNMAP, B), -PF_EINVAL);
	assert_int_equal(pf_msync(&mm, A, NR * P, PF_MS_SYNC), 0);
	assert_int_equal(pf_numa_hint(&mm, A, NR * P), 0);
	assert_int_equal(pf_sample_young(&mm, A, NR), 0);
	assert_int_equal(pf_ksm_merge(&mm, A, &mm, A + P), -PF_EINVAL);
	assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_ALL), 0);
	world_check("asked");
	for (unsigned i = 0; i < NR; i++) {
		assert_true(
			pf_pte_accessible(at(A + i * P).pte) && pf_pte_young(at(A + i * P).pte));
		assert_int_equal(at(A + i * P).folded, folds());
	}
	assert_int_equal(pf_mprotect(&mm, A, NR * P, PF_PROT_READ | PF_PROT_EXEC), 0);
	assert_int_equal(pf_mseal(&mm, A, NR * P, 0), 0);
	assert_int_equal(pf_munmap(&mm, A, P), -PF_EPERM);
	no_pages();
}
EVERYWHERE(calls)

static void no_userfaultfd(void)
{
	struct pf_uffd uffd;
	uint64_t ioctls;

	map_all(A);
	quiet_uffd_open(
		&uffd, sys.fmt->pt->pte_supported & PF_PTE_UFFD_WP ? PF_UFFD_FEATURE_WP_ASYNC : 0);
	assert_int_equal(
		pf_uffd_register(&uffd, A, NR * P, PF_UFFDIO_REGISTER_MODE_MISSING, &ioctls),
		-PF_EINVAL);
	assert_int_equal(pf_uffd_register(&uffd, A, NR * P, PF_UFFDIO_REGISTER_MODE_WP, &ioctls),
		-PF_EINVAL);
	pf_uffd_close(&uffd);
}
EVERYWHERE(no_userfaultfd)

/* Who tracks writes is told nothing of frames, and his clearing keeps nobody from writing. */
static void soft_dirty(void)
{
	const bool has = sys.fmt->pt->pte_supported & PF_PTE_SOFT_DIRTY;
	uint64_t entry;

	map_all(A);
	assert_int_equal(pf_clear_refs(&mm, PF_CLEAR_REFS_SOFT_DIRTY), 0);
	world_check("cleared");
	assert_int_equal(pf_pagemap(&mm, A, 1, &entry), 1);
	assert_int_equal(entry, 0);
	assert_true(pf_pte_write(at(A).pte));
	assert_int_equal(put(A, 1), PF_FAULT_DONE);
	/* What comes now has no W at first, and is not copied for it. */
	assert_int_equal(pf_zap_vma_ptes(&mm, A, NR * P), 0);
	assert_int_equal(pf_remap_pfn_range(&mm, A, NR * P, DEV), 0);
	assert_int_equal(pf_pte_write(at(A).pte), !has);
	assert_int_equal(put(A + P, 7), PF_FAULT_DONE);
	world_check("written");
	assert_int_equal(*word(DEV + 1), 7);
	assert_true(pf_pte_write(at(A + P).pte) && pf_pte_special(at(A + P).pte));
	for (unsigned i = 0; i < NR; i++)
		assert_int_equal(put(A + i * P, i), PF_FAULT_DONE);
	world_check("all written");
	assert_int_equal(copies, 0);
	no_pages();
}
EVERYWHERE(soft_dirty)

/* ---- by faults ---- */

static void faulted(void)
{
	assert_int_equal(map_dev(A, NR, RW, SHARED, 8), A);
	around = 16;
	finds(A + 9 * P, 0xd0000 + 17);
	assert_int_equal(faults, 1);
	world_check("around");
	for (unsigned i = 0; i < NR; i++)
		assert_int_equal(pf_pte_none(at(A + i * P).pte), i < 8 || i >= 24);
	/* A is at a multiple of 16 pages, frames are 8 further on. */
	assert_int_equal(at(A + 8 * P).folded, folds() && block() <= 8);
	assert_int_equal(put(A + 8 * P, 5), PF_FAULT_DONE);
	assert_int_equal(faults, 1);
	/* The VMA ends before the 16 do. */
	assert_int_equal(put(A + (NR - 1) * P, 5), PF_FAULT_DONE);
	assert_int_equal(faults, 2);
	fault_says = -PF_EIO;
	assert_int_equal(get(A, &(uint64_t){0}), PF_FAULT_SIGBUS);
	fault_says = -PF_ENOMEM;
	assert_int_equal(get(A, &(uint64_t){0}), PF_FAULT_OOM);
	fault_says = 0;
	/* What is empty is filled, what is not stays. */
	assert_int_equal(pf_zap_vma_ptes(&mm, A + 10 * P, 2 * P), 0);
	world_check("zapped");
	assert_true(pf_pte_none(at(A + 11 * P).pte) && pf_pte_present(at(A + 12 * P).pte));
	finds(A + 10 * P, 0xd0000 + 18);
	assert_int_equal(faults, 5);
	world_check("again");
	no_pages();
	assert_int_equal(pf_zap_vma_ptes(&mm, A, (NR + 1) * P), -PF_EINVAL);
	assert_int_equal(pf_zap_vma_ptes(&mm, B, P), -PF_EINVAL);
	assert_int_equal(pf_zap_vma_ptes(&mm, A, 0), -PF_EINVAL);
}
EVERYWHERE(faulted)

/* The device takes its frames away, wherever they are mapped. */
static void taken_away(void)
{
	assert_int_equal(map_dev(A, NR, RW, SHARED, 0), A);
	assert_int_equal(map_dev(B, NR, PF_PROT_READ, SHARED, 16), B);
	around = 64;
	finds(A, 0xd0000);
	finds(B, 0xd0000 + 16);
	pf_unmap_mapping_pages(dev, 20, 10, false);
	world_check("unmapped");
	for (unsigned i = 0; i < NR; i++) {
		assert_int_equal(pf_pte_none(at(A + i * P).pte), i >= 20 && i < 30);
		assert_int_equal(
			pf_pte_none(at(B + i * P).pte), (i >= 4 && i < 14) || i + 16 >= 64);
	}
	fault_says = -PF_EIO;
	assert_int_equal(get(A + 20 * P, &(uint64_t){0}), PF_FAULT_SIGBUS);
	pf_unmap_mapping_pages(dev, 30, 0, false);
	world_check("to the end");
	assert_true(pf_pte_none(at(A + (NR - 1) * P).pte) && pf_pte_present(at(A + 19 * P).pte));
}
EVERYWHERE(taken_away)

static int insert_says;

/* All that a fault may not insert. */
static int wrong_fault(struct pf_mapping *mapping, const struct pf_pfn_fault *f)
{
	(void)mapping;
	assert_int_equal(f->first, 0);
	assert_int_equal(f->last, NR - 1);
	assert_int_equal(pf_insert_pfns(f, 0, DEV, 0), -PF_EINVAL);
	assert_int_equal(pf_insert_pfns(f, 0, DEV, NR + 1), -PF_EINVAL);
	assert_int_equal(pf_insert_pfns(f, NR, DEV, 1), -PF_EINVAL);
	assert_int_equal(pf_insert_pfns(f, 3, DEV - 1, 1), -PF_EINVAL);
	assert_int_equal(pf_insert_pfns(f, 3, UINT64_C(1) << sys.fmt->pt->pfn_bits, 1), -PF_EINVAL);
	insert_says = pf_insert_pfns(f, f->index, DEV, 1);
	return insert_says;
}

static void wrong_frames(void)
{
	static const struct pf_mapping_ops wrong = {.fault = wrong_fault, .copy = dev_copy};

	dev->ops = &wrong;
	assert_int_equal(map_dev(A, NR, RW, SHARED, 0), A);
	finds(A, 0xd0000);
	assert_int_equal(insert_says, 0);
	world_check("wrong frames");
	for (unsigned i = 1; i < NR; i++)
		assert_true(pf_pte_none(at(A + i * P).pte));
}
EVERYWHERE(wrong_frames)

/* ---- private ---- */

static void private(void)
{
	pf_pfn_t pfn;

	assert_int_equal(map_dev(A, NR, RW, PRIVATE, 0), A);
	/* Faults bring nothing, and frames come for the whole of it. */
	assert_int_equal(get(A, &(uint64_t){0}), PF_FAULT_SIGBUS);
	assert_int_equal(faults, 0);
	assert_int_equal(pf_remap_pfn_range(&mm, A, (NR - 1) * P, DEV), -PF_EINVAL);
	assert_int_equal(pf_remap_pfn_range(&mm, A + P, (NR - 1) * P, DEV), -PF_EINVAL);
	world_check("nothing");
	assert_int_equal(pf_remap_pfn_range(&mm, A, NR * P, DEV + 32), 0);
	world_check("remapped");
	for (unsigned i = 0; i < NR; i++) {
		assert_false(pf_pte_write(at(A + i * P).pte));
		finds(A + i * P, 0xd0000 + 32 + i);
	}
	assert_int_equal(at(A).folded, folds());
	no_pages();
	*(word(DEV + 34) + 1) = 77;
	assert_int_equal(put(A + 2 * P, 1), PF_FAULT_DONE);
	world_check("copied");
	assert_int_equal(copies, 1);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 1);
	assert_false(pf_pte_special(at(A + 2 * P).pte));
	assert_true(at(A + 2 * P).exclusive);
	assert_false(at(A).folded);
	finds(A + 2 * P, 1);
	finds(A + 2 * P + 8, 77);
	finds(A + 3 * P, 0xd0000 + 35);
	assert_int_equal(*word(DEV + 34), 0xd0000 + 34);
	/* It is a page, in a VMA that GUP, aging and smaps do not look at. */
	assert_int_equal(pf_gup(&mm, A + 2 * P, 1, PF_FOLL_PIN, &pfn), -PF_EFAULT);
	assert_int_equal(pf_sample_young(&mm, A, NR), 0);
	copy_says = -PF_EIO;
	assert_int_equal(put(A, 1), PF_FAULT_SIGBUS);
	copy_says = -PF_ENOMEM;
	assert_int_equal(put(A, 1), PF_FAULT_OOM);
	copy_says = 0;
	world_check("not copied");
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 1);
	/* Moved, cut and protected, each page has the frame that it had. */
	assert_int_equal(pf_mremap(&mm, A + 8 * P, 8 * P, 8 * P, MOVE, B + 3 * P), B + 3 * P);
	world_check("moved");
	finds(B + 3 * P, 0xd0000 + 40);
	assert_int_equal(put(B + 4 * P, 9), PF_FAULT_DONE);
	assert_int_equal(pf_mprotect(&mm, A, 4 * P, PF_PROT_READ), 0);
	assert_int_equal(put(A + 2 * P, 3), PF_FAULT_SIGSEGV);
	assert_int_equal(pf_mprotect(&mm, A, 4 * P, RW), 0);
	world_check("protected and back");
	assert_false(pf_pte_write(at(A).pte));
	assert_int_equal(put(A + 2 * P, 3), PF_FAULT_DONE);
	assert_int_equal(put(A + 3 * P, 4), PF_FAULT_DONE);
	world_check("written");
	/* The device takes back what is its own, then what was made of it, too. */
	pf_unmap_mapping_pages(dev, 0, 0, false);
	world_check("unmapped");
	finds(A + 2 * P, 3);
	assert_int_equal(get(A, &(uint64_t){0}), PF_FAULT_SIGBUS);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 3);
	assert_int_equal(pf_remap_pfn_range(&mm, B + 3 * P, 8 * P, DEV), -PF_EBUSY);
	pf_unmap_mapping_pages(dev, 0, 0, true);
	assert_int_equal(get(A + 2 * P, &(uint64_t){0}), PF_FAULT_SIGBUS);
	no_pages();
	/* Pages that were found by their places may be wherever a child has them. */
	assert_int_equal(pf_remap_pfn_range(&mm, B + 3 * P, 8 * P, DEV), -PF_EBUSY);
}
EVERYWHERE(private)

/* Who may not be private; and memory types. */
static void kinds(void)
{
	static const struct pf_mapping_ops no_copy = {.fault = dev_fault};
	const struct pf_file read_only = {.mapping = dev, .mode = PF_FILE_READ};
	const bool has = sys.fmt->pt->pte_supported & PF_BIT(15);

	dev->ops = &no_copy;
	assert_int_equal(map_dev(A, NR, RW, PRIVATE, 0), -PF_EINVAL);
	assert_int_equal(map_dev(A, NR, RW, SHARED, 0), A);
	dev->ops = &dev_ops;
	assert_int_equal(pf_munmap(&mm, A, NR * P), 0);
	/* Shared, of who may only read. */
	assert_int_equal(pf_mmap_file(&mm, A, NR * P, PF_PROT_READ, SHARED, &read_only, 0), A);
	assert_int_equal(pf_remap_pfn_range(&mm, A, 3 * P, DEV), 0);
	finds(A + P, 0xd0001);
	finds(A + 5 * P, 0xd0005);
	assert_int_equal(pf_mprotect(&mm, A, NR * P, RW), -PF_EACCES);
	world_check("read only");
	assert_int_equal(pf_munmap(&mm, A, NR * P), 0);

	dev->memtype = PF_MEM_NC;
	assert_int_equal(map_dev(A, NR, RW, PRIVATE, 0), has ? -PF_EINVAL : -PF_EOPNOTSUPP);
	assert_int_equal(map_dev(A, NR, RW, SHARED, 0), has ? (int64_t)A : -PF_EOPNOTSUPP);
	if (has) {
		assert_int_equal(pf_remap_pfn_range(&mm, A, NR * P, DEV), 0);
		assert_int_equal(pf_mprotect(&mm, A, 8 * P, PF_PROT_READ), 0);
		assert_int_equal(pf_mprotect(&mm, A, 8 * P, RW), 0);
		assert_int_equal(pf_mprotect(&mm, A, 8 * P, PF_PROT_NONE), 0);
		world_check("another type");
		for (unsigned i = 0; i < NR; i++)
			assert_int_equal(
				(at(A + i * P).pte.v & PF_PTE_MEM) >> PF_PTE_MEM_SHIFT, PF_MEM_NC);
		assert_int_equal(pf_munmap(&mm, A, NR * P), 0);
	}
	dev->memtype = PF_MEM_NORMAL;
}
EVERYWHERE(kinds)

/* ---- fork ---- */

static void forked(void)
{
	static struct pf_mm child;
	const char *bad;

	map_all(A);
	assert_int_equal(map_dev(B, NR, RW, PRIVATE, 0), B);
	assert_int_equal(pf_remap_pfn_range(&mm, B, NR * P, DEV), 0);
	assert_int_equal(put(B + P, 5), PF_FAULT_DONE);
	assert_int_equal(pf_munmap(&mm, A + P, P), 0);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	world_check("forked");
	bad = pf_mm_check(&child);
	if (bad)
		fail_msg("the child: %s", bad);
	assert_int_equal(pf_rss(&child.space, PF_RSS_ANON), 1);
	assert_int_equal(pf_rss(&child.space, PF_RSS_FILE), 0);
	for (unsigned i = 0; i < NR; i++) {
		const struct pf_page_info a = at_of(&child, A + i * P),
					  b = at_of(&child, B + i * P);

		assert_int_equal(pf_pte_none(a.pte), i == 1);
		if (i != 1) {
			assert_int_equal(pf_pte_pfn(a.pte), DEV + i);
			assert_true(pf_pte_write(a.pte));
			assert_int_equal(pf_pte_pfn(b.pte), DEV + i);
		}
		assert_false(pf_pte_write(b.pte));
		assert_int_equal(a.folded, folds() && i >= block());
		assert_int_equal(b.folded, folds() && i >= block());
	}
	/* Each has its own copy of what is written from now on. */
	assert_int_equal(put(B + P, 6), PF_FAULT_DONE);
	assert_int_equal(put(B + 2 * P, 7), PF_FAULT_DONE);
	machine_set_root(0, child.space.pt.root, 2);
	assert_int_equal(pf_handle_mm_fault(&child, B + P, 0), PF_FAULT_DONE);
	finds(B + P, 5);
	assert_int_equal(pf_pte_pfn(at_of(&child, B + 2 * P).pte), DEV + 2);
	machine_set_root(0, mm.space.pt.root, WORLD_ASID);
	pf_unmap_mapping_pages(dev, 0, 0, false);
	bad = pf_mm_check(&child);
	if (bad)
		fail_msg("the child: %s", bad);
	assert_true(pf_pte_none(at_of(&child, A).pte) && pf_pte_none(at_of(&child, B).pte));
	pf_mm_exit(&child);
	machine_retire_asid(2);
	finds(B + P, 6);
}
EVERYWHERE(forked)

/* A copy is memory like any other: on the node where its mapping wants it. The frames are of none, and stay. */
static void two_nodes(void)
{
	const pf_va_t pages[2] = {A, A + P};
	int status[2];

	assert_int_equal(map_dev(A, NR, RW, PRIVATE, 0), A);
	assert_int_equal(pf_remap_pfn_range(&mm, A, NR * P, DEV), 0);
	assert_int_equal(pf_mbind(&mm, A, NR * P, PF_MPOL_INTERLEAVE, 3, 0), 0);
	finds(A, 0xd0000);
	assert_int_equal(put(A + P, 1), PF_FAULT_DONE);
	finds(A + 2 * P, 0xd0002);
	assert_int_equal(put(A + 2 * P, 2), PF_FAULT_DONE);
	for (unsigned i = 1; i < 3; i++)
		assert_int_equal(WORLD_NODE(pf_pte_pfn(at(A + i * P).pte)), i % 2);
	assert_int_equal(pf_move_pages(&mm, 2, pages, NULL, status, 0), 0);
	assert_int_equal(status[0], -PF_ENOENT);
	assert_int_equal(status[1], 1);
	/* Nothing of such a mapping moves, not even copies, which is said to who insists. */
	assert_int_equal(pf_mbind(&mm, A, NR * P, PF_MPOL_BIND, 2, PF_MPOL_MF_MOVE), 0);
	assert_int_equal(
		pf_mbind(&mm, A, P, PF_MPOL_BIND, 2, PF_MPOL_MF_MOVE | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(
		pf_mbind(&mm, A, NR * P, PF_MPOL_BIND, 2, PF_MPOL_MF_MOVE | PF_MPOL_MF_STRICT),
		-PF_EIO);
	assert_int_equal(pf_migrate_pages(&mm, 3, 3, PF_MPOL_MF_MOVE_ALL), 0);
	finds(A, 0xd0000);
}

static void test_two_nodes(void **state)
{
	(void)state;
	world_nodes = 2;
	everywhere(two_nodes);
	world_nodes = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remapped),
		cmocka_unit_test(test_two_tables),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_no_userfaultfd),
		cmocka_unit_test(test_soft_dirty),
		cmocka_unit_test(test_faulted),
		cmocka_unit_test(test_taken_away),
		cmocka_unit_test(test_wrong_frames),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_forked),
		cmocka_unit_test(test_two_nodes),
	};

	return cmocka_run_group_tests_name("PFN maps", tests, NULL, NULL);
}
