/* SPDX-License-Identifier: MIT */
/*
 * Memory of two and of four nodes: what policies there may be, and on which node every kind of page lands.
 */
#include "mempolicy_world.h"

#include "mm/collapse.h"
#include "mm/migrate.h"
#include "mm/rmap.h"
#include "tests/quiet_uffd.h"
#include "swap_disk.h"

/* ---- what may be asked for ---- */

#define STATIC   PF_MPOL_F_STATIC_NODES
#define RELATIVE PF_MPOL_F_RELATIVE_NODES
#define BALANCE  PF_MPOL_F_NUMA_BALANCING

/* Of four nodes. */
static const struct {
	unsigned mode;
	uint64_t nodes;
	int err;
	unsigned got_mode;
	uint64_t got_nodes;
} asked[] = {
	{PF_MPOL_DEFAULT, 0, 0, PF_MPOL_DEFAULT, 0},
	{PF_MPOL_DEFAULT, 1, -PF_EINVAL, 0, 0},
	{PF_MPOL_DEFAULT | STATIC, 0, 0, PF_MPOL_DEFAULT, 0},
	{PF_MPOL_PREFERRED, 0, 0, PF_MPOL_LOCAL, 0},
	{PF_MPOL_PREFERRED, 12, 0, PF_MPOL_PREFERRED, 4},
	{PF_MPOL_PREFERRED, 0x30, -PF_EINVAL, 0, 0},
	{PF_MPOL_PREFERRED, 0x38, 0, PF_MPOL_PREFERRED, 8},
	{PF_MPOL_PREFERRED | STATIC, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_PREFERRED | RELATIVE, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_PREFERRED | RELATIVE, 0x40, 0, PF_MPOL_PREFERRED | RELATIVE, 0x40},
	{PF_MPOL_BIND, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_BIND, 10, 0, PF_MPOL_BIND, 10},
	{PF_MPOL_BIND, 0x1a, 0, PF_MPOL_BIND, 10},
	{PF_MPOL_BIND, PF_BIT(63), -PF_EINVAL, 0, 0},
	{PF_MPOL_BIND | STATIC, 0x1a, 0, PF_MPOL_BIND | STATIC, 0x1a},
	{PF_MPOL_BIND | STATIC, 0x10, -PF_EINVAL, 0, 0},
	{PF_MPOL_BIND | RELATIVE, 0x30, 0, PF_MPOL_BIND | RELATIVE, 0x30},
	{PF_MPOL_BIND | STATIC | RELATIVE, 1, -PF_EINVAL, 0, 0},
	{PF_MPOL_BIND | BALANCE, 3, 0, PF_MPOL_BIND | BALANCE, 3},
	{PF_MPOL_PREFERRED_MANY | BALANCE, 3, 0, PF_MPOL_PREFERRED_MANY | BALANCE, 3},
	{PF_MPOL_INTERLEAVE | BALANCE, 3, -PF_EINVAL, 0, 0},
	{PF_MPOL_INTERLEAVE, 15, 0, PF_MPOL_INTERLEAVE, 15},
	{PF_MPOL_WEIGHTED_INTERLEAVE, 5, 0, PF_MPOL_WEIGHTED_INTERLEAVE, 5},
	{PF_MPOL_LOCAL, 0, 0, PF_MPOL_LOCAL, 0},
	{PF_MPOL_LOCAL, 1, -PF_EINVAL, 0, 0},
	{PF_MPOL_LOCAL | STATIC, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_PREFERRED_MANY, 6, 0, PF_MPOL_PREFERRED_MANY, 6},
	{PF_MPOL_PREFERRED_MANY, 0, -PF_EINVAL, 0, 0},
	{PF_MPOL_MAX, 1, -PF_EINVAL, 0, 0},
	{0x1000, 1, -PF_EINVAL, 0, 0},
	{0x10000 | PF_MPOL_BIND, 1, -PF_EINVAL, 0, 0},
};

static void policies(void **state)
{
	unsigned mode;
	uint64_t nodes;

	start(*state, 4);
	map(4, FIXED);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(asked); i++) {
		const int err = asked[i].err;

		assert_int_equal(pf_set_mempolicy(&mm, asked[i].mode, asked[i].nodes), err);
		assert_int_equal(pf_mbind(&mm, A, P, asked[i].mode, asked[i].nodes, 0), err);
		/* Of nothing only the mode is looked at. */
		assert_int_equal(pf_mbind(&mm, A, 0, asked[i].mode, asked[i].nodes, 0),
			(asked[i].mode & 0xfff) >= PF_MPOL_MAX || asked[i].mode >> 16 ||
					asked[i].mode & 0x1000 ||
					asked[i].mode == (PF_MPOL_BIND | STATIC | RELATIVE) ||
					asked[i].mode == (PF_MPOL_INTERLEAVE | BALANCE)
				? -PF_EINVAL
				: 0);
		if (err)
			continue;
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(pf_get_mempolicy(&mm, &mode, &nodes, k ? A + 5 : 0,
						 k ? PF_MPOL_F_ADDR : 0),
				0);
			assert_int_equal(mode, asked[i].got_mode);
			assert_int_equal(nodes, asked[i].got_nodes);
		}
		world_check("a policy");
	}
	stop();
}

static void asking(void **state)
{
	unsigned mode = 77;
	uint64_t nodes;

	start(*state, 4);
	map(4, FIXED);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, 0, 8), -PF_EINVAL);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, A, 0), -PF_EINVAL);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, 0, PF_MPOL_F_NODE), -PF_EINVAL);
	assert_int_equal(
		pf_get_mempolicy(&mm, NULL, NULL, 0, PF_MPOL_F_MEMS_ALLOWED | PF_MPOL_F_NODE),
		-PF_EINVAL);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, B, PF_MPOL_F_ADDR), -PF_EFAULT);
	assert_int_equal(pf_get_mempolicy(&mm, NULL, NULL, A, PF_MPOL_F_ADDR), 0);
	assert_int_equal(pf_get_mempolicy(&mm, &mode, &nodes, 0, PF_MPOL_F_MEMS_ALLOWED), 0);
	assert_int_equal(mode, 0);
	assert_int_equal(nodes, 15);
	/* A VMA without a policy says so, whatever its process's is. */
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_INTERLEAVE, 10), 0);
	assert_int_equal(pf_get_mempolicy(&mm, &mode, &nodes, A, PF_MPOL_F_ADDR), 0);
	assert_int_equal(mode, PF_MPOL_DEFAULT);
	assert_int_equal(nodes, 0);
	assert_int_equal(pf_get_mempolicy(&mm, &mode, &nodes, 0, PF_MPOL_F_NODE), 0);
	assert_int_equal(mode, 1);
	assert_int_equal(nodes, 10);
	/* The page, which comes for that; and where it is, not where it should be. */
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_PREFERRED, 4, 0), 0);
	machine_note_store(A + P);
	assert_int_equal(put_page(A + P), 2);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_PREFERRED, 8, 0), 0);
	assert_int_equal(
		pf_get_mempolicy(&mm, &mode, &nodes, A + P + 3, PF_MPOL_F_ADDR | PF_MPOL_F_NODE),
		0);
	assert_int_equal(mode, 2);
	assert_int_equal(nodes, 8);
	assert_int_equal(pf_mprotect(&mm, A, P, PF_PROT_NONE), 0);
	assert_int_equal(
		pf_get_mempolicy(&mm, &mode, NULL, A, PF_MPOL_F_ADDR | PF_MPOL_F_NODE), -PF_EFAULT);
	stop();
}

static void mbind_errors(void **state)
{
	start(*state, 2);
	small_folios();
	map(12, FIXED);
	assert_int_equal(pf_munmap(&mm, A + 4 * P, P), 0);
	assert_int_equal(pf_mbind(&mm, A + 1, P, PF_MPOL_BIND, 1, 0), -PF_EINVAL);
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND, 1, 8), -PF_EINVAL);
	assert_int_equal(pf_mbind(&mm, A, 0 - A - P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A, 0 - P, PF_MPOL_BIND, 1, 0), -PF_EINVAL);
	/* A length that wraps to nothing is nothing. */
	assert_int_equal(pf_mbind(&mm, A, UINT64_MAX, PF_MPOL_BIND, 1, 0), 0);
	/* At the head, in the middle, at the end, and nothing but. */
	assert_int_equal(pf_mbind(&mm, A - P, 2 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + P, 5 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + 4 * P, 2 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + 11 * P, 2 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + 12 * P, 2 * P, PF_MPOL_BIND, 1, 0), -PF_EFAULT);
	assert_int_equal(pf_mbind(&mm, A + 12 * P, 2 * P, PF_MPOL_DEFAULT, 0, 0), -PF_EFAULT);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 2);
	/* That nothing is wanted may be said of holes. */
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(pf_mbind(&mm, A + 11 * P, P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 4);
	assert_int_equal(pf_mbind(&mm, A - P, 20 * P, PF_MPOL_DEFAULT, 0, PF_MPOL_MF_STRICT), 0);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 2);
	/* Pages elsewhere, and before a hole: the page is found first. */
	assert_int_equal(put_page(A), 0);
	assert_int_equal(pf_mbind(&mm, A, 2 * P, PF_MPOL_BIND, 2, PF_MPOL_MF_STRICT), -PF_EIO);
	assert_int_equal(pf_mbind(&mm, A, 2 * P, PF_MPOL_BIND, 1, PF_MPOL_MF_STRICT), 0);
	assert_int_equal(pf_mbind(&mm, A, 2 * P, PF_MPOL_DEFAULT, 0, PF_MPOL_MF_STRICT), 0);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 2);
	/* Too many mappings: what comes before is done. */
	sys.max_map_count = 3;
	assert_int_equal(pf_mbind(&mm, A + P, P, PF_MPOL_BIND, 2, 0), -PF_ENOMEM);
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(pf_mbind(&mm, A + P, 2 * P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(vmas(&mm, A, A + 12 * P), 3);
	stop();
}

/* Borders come and go with policies, whoever makes them. */
static void merging(void **state)
{
	start(*state, 2);
	map(12, FIXED);
	assert_int_equal(pf_mbind(&mm, A + 4 * P, 4 * P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, B), 3);
	assert_int_equal(pf_mbind(&mm, A + 6 * P, 4 * P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, B), 3);
	assert_int_equal(pf_mbind(&mm, A + 5 * P, P, PF_MPOL_BIND | STATIC, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, B), 5);
	/* What else would make neighbours one. */
	assert_int_equal(pf_mprotect(&mm, A, 12 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_mprotect(&mm, A, 12 * P, RW), 0);
	assert_int_equal(vmas(&mm, A, B), 5);
	world_check("protected");
	assert_int_equal(pf_mmap(&mm, A + 12 * P, P, RW, FIXED), A + 12 * P);
	assert_int_equal(vmas(&mm, A, B), 5);
	assert_int_equal(pf_mmap(&mm, A + 5 * P, P, RW, FIXED), A + 5 * P);
	assert_int_equal(vmas(&mm, A, B), 5);
	assert_int_equal(pf_mbind(&mm, A, 13 * P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(vmas(&mm, A, B), 1);
	stop();
}

/* ---- where pages land ---- */

static void faults(void **state)
{
	struct pf_folio *kept;

	start(*state, 4);
	small_folios();
	map(PAGES, FIXED);
	cpu_node = 2;
	assert_int_equal(put_page(A), 2);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_PREFERRED, 8), 0);
	assert_int_equal(put_page(A + P), 3);
	assert_int_equal(pf_mbind(&mm, A + 2 * P, 2 * P, PF_MPOL_LOCAL, 0, 0), 0);
	assert_int_equal(put_page(A + 2 * P), 2);
	cpu_node = 1;
	assert_int_equal(put_page(A + 3 * P), 1);
	/* Of those that are allowed the nearest: by number, and around. */
	assert_int_equal(pf_mbind(&mm, A + 4 * P, 4 * P, PF_MPOL_BIND, 9, 0), 0);
	assert_int_equal(put_page(A + 4 * P), 3);
	kept = fill(3, 0);
	assert_int_equal(put_page(A + 5 * P), 0);
	/* Nothing of the process's own can go, and what is free elsewhere is none of its business. */
	empty(kept);
	kept = fill(0, 0);
	assert_int_equal(pf_mbind(&mm, A + 8 * P, 4 * P, PF_MPOL_BIND, 1, 0), 0);
	assert_int_equal(fault(&mm, A + 8 * P, PF_FAULT_FLAG_WRITE), PF_FAULT_OOM);
	assert_int_equal(pf_mbind(&mm, A + 8 * P, P, PF_MPOL_PREFERRED, 1, 0), 0);
	assert_int_equal(put_page(A + 8 * P), 1);
	assert_int_equal(pf_mbind(&mm, A + 9 * P, P, PF_MPOL_PREFERRED_MANY, 9, 0), 0);
	assert_int_equal(put_page(A + 9 * P), 3);
	empty(kept);
	cpu_node = 0;
	assert_int_equal(pf_mbind(&mm, A + 10 * P, P, PF_MPOL_PREFERRED_MANY, 12, 0), 0);
	assert_int_equal(put_page(A + 10 * P), 2);
	/* No node of them has any: then any. */
	kept = fill(2, 0);
	assert_int_equal(pf_mbind(&mm, A + 11 * P, P, PF_MPOL_PREFERRED_MANY, 4, 0), 0);
	assert_int_equal(put_page(A + 11 * P), 0);
	empty(kept);
	stop();
}

/* By its place in memory, so that borders of mappings change nothing; and large folios in turn, too. */
static void interleaved(void **state)
{
	static const int of_three[] = {0, 2, 3};

	start(*state, 4);
	small_folios();
	map(PAGES, FIXED);
	assert_int_equal(pf_mbind(&mm, A, PAGES * P, PF_MPOL_INTERLEAVE, 13, 0), 0);
	assert_int_equal(
		pf_mprotect(&mm, A + 7 * P, P, PF_PROT_READ | PF_PROT_WRITE | PF_PROT_EXEC), 0);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(put_page(A + i * P), of_three[(A / P + i) % 3]);
	/* Their mapping begins within one: Linux counts what is before it and what is in it apart. */
	sys.thp.order[4] = PF_THP_ALWAYS;
	for (unsigned i = 2; i < 4; i++) {
		assert_int_equal(
			put_page(A + (16 * i + 5) * P), of_three[(A / P / 16 + i - 1) % 3]);
		for (unsigned k = 0; k < 16; k++)
			assert_int_equal(node_of(&mm, A + (16 * i + k) * P),
				of_three[(A / P / 16 + i - 1) % 3]);
	}
	/* The process's, too. */
	small_folios();
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_WEIGHTED_INTERLEAVE, 6), 0);
	assert_int_equal(pf_mmap(&mm, B, 8 * P, RW, FIXED), B);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(put_page(B + i * P), 1 + (int)((B / P + i) % 2));
	stop();
}

/* Copies are new pages: of what is written after a fork, of what a child may not share, of the page of zeros. */
static void copies(void **state)
{
	struct pf_mm child;
	pf_pfn_t pfn;

	start(*state, 2);
	small_folios();
	map(8, FIXED);
	assert_int_equal(put_page(A), 0);
	assert_int_equal(put_page(A + P), 0);
	assert_int_equal(put_page(A + 2 * P), 0);
	assert_int_equal(fault(&mm, A + 3 * P, 0), PF_FAULT_DONE);
	assert_int_equal(pf_mbind(&mm, A + 3 * P, P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(put_page(A + 3 * P), 1);
	assert_int_equal(pf_mbind(&mm, A + P, P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_BIND, 2), 0);
	machine_note_store(A + 2 * P);
	assert_int_equal(pf_gup(&mm, A + 2 * P, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	pf_unpin_user_pages(&sys, &pfn, 1);
	assert_int_equal(node_of(&child, A + 2 * P), 1);
	assert_int_equal(node_of(&mm, A + 2 * P), 0);
	assert_int_equal(put_page(A + P), 1);
	assert_int_equal(vmas(&child, A, B), vmas(&mm, A, B));
	/* What is new in the child follows the policies that it was given. */
	machine_note_store(A);
	assert_int_equal(fault(&child, A, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	assert_int_equal(node_of(&child, A), 1);
	machine_note_store(A + 4 * P);
	assert_int_equal(fault(&child, A + 4 * P, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	assert_int_equal(node_of(&child, A + 4 * P), 1);
	assert_null(pf_mm_check(&child));
	pf_mm_exit(&child);
	machine_retire_asid(2);
	stop();
}

/* ---- memory of mappings ---- */

static void mappings(void **state)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	start(*state, 2);
	small_folios();
	f.mapping = pf_mapping_create(&sys, &disk_ops, NULL, PAGES * P);
	assert_non_null(f.mapping);
	assert_int_equal(pf_mmap_file(&mm, A, 8 * P, RW, PF_MAP_PRIVATE | PF_MAP_FIXED, &f, 0), A);
	/* A file is nobody's own: the process's policy counts; of copies the mapping's. */
	assert_int_equal(pf_mbind(&mm, A, 8 * P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(fault(&mm, A + P, 0), PF_FAULT_DONE);
	assert_int_equal(node_of(&mm, A + P), 0);
	assert_int_equal(put_page(A + P), 1);
	assert_int_equal(put_page(A + 2 * P), 1);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_INTERLEAVE, 3), 0);
	for (unsigned i = 3; i < 7; i++) {
		unsigned next;

		assert_int_equal(pf_get_mempolicy(&mm, &next, NULL, 0, PF_MPOL_F_NODE), 0);
		assert_int_equal(next, (i + 1) % 2);
		assert_int_equal(fault(&mm, A + i * P, 0), PF_FAULT_DONE);
		assert_int_equal(node_of(&mm, A + i * P), (i + 1) % 2);
	}
	pf_mapping_put(f.mapping);
	/* Shared memory follows the mapping that it comes in through. */
	assert_int_equal(pf_mmap(&mm, B, 8 * P, RW, SHARE), B);
	assert_int_equal(pf_mbind(&mm, B + P, P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(put_page(B + P), 1);
	assert_int_equal(pf_mbind(&mm, B + 2 * P, 4 * P, PF_MPOL_INTERLEAVE, 3, 0), 0);
	for (unsigned i = 2; i < 6; i++)
		assert_int_equal(put_page(B + i * P), i % 2);
	stop();
}

/* ---- swap ---- */

static void swapped(void **state)
{
	start(*state, 2);
	small_folios();
	machine_adversary(false);
	assert_int_equal(pf_swapon(&sys, &swap_disk_ops, NULL, SWAP_DISK_SLOTS), 0);
	map(4, FIXED);
	assert_int_equal(pf_mmap(&mm, B, 4 * P, RW, SHARE), B);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(put_page(A + i * P), 0);
		assert_int_equal(put_page(B + i * P), 0);
	}
	assert_int_equal(pf_reclaim(&sys, UINT64_MAX), 8);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_INTERLEAVE, 3, 0), 0);
	assert_int_equal(pf_mbind(&mm, B, 4 * P, PF_MPOL_BIND, 2, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(put_page(A + i * P), i % 2);
		assert_int_equal(put_page(B + i * P), 1);
	}
	/* Room is made on the node that it is wanted on. */
	{
		struct pf_folio *kept = fill(1, 0);

		assert_int_equal(put_page(A), 0);
		assert_int_equal(pf_mmap(&mm, A + 4 * P, P, RW, FIXED), A + 4 * P);
		assert_int_equal(pf_mbind(&mm, A + 4 * P, P, PF_MPOL_BIND, 2, 0), 0);
		assert_int_equal(put_page(A + 4 * P), 1);
		assert_int_equal(node_of(&mm, A), 0);
		assert_int_equal(node_of(&mm, A + 2 * P), 0);
		empty(kept);
	}
	machine_adversary(true);
	assert_int_equal(pf_munmap(&mm, A, 8 * P), 0);
	assert_int_equal(pf_munmap(&mm, B, 8 * P), 0);
	assert_int_equal(pf_swapoff(&sys, 0), 0);
	stop();
}

/* ---- userfaultfd, collapse, migration, mremap ---- */

static void others(void **state)
{
	const struct pf_format *fmt = *state;
	const unsigned table = 1u << fmt->pt->level_bits;

	start(fmt, 2);
	small_folios();
	/* Where most of the pages are, whatever is wanted now. */
	if (table <= 1u << WORLD_NODE_ORDER) {
		const pf_va_t va = pf_align_up(A, table * P);

		assert_int_equal(pf_mmap(&mm, va, table * P, RW, FIXED), va);
		cpu_node = 1;
		for (unsigned i = 0; i < 7; i++)
			assert_int_equal(put_page(va + i * P), 1);
		cpu_node = 0;
		for (unsigned i = 7; i < 12; i++)
			assert_int_equal(put_page(va + i * P), 0);
		world_note(va, table);
		assert_int_equal(pf_madvise(&mm, va, table * P, PF_MADV_COLLAPSE), 0);
		assert_int_equal(node_of(&mm, va + 9 * P), 1);
		assert_int_equal(pf_munmap(&mm, va, table * P), 0);
	}
	/* Another frame of the same node. */
	map(8, FIXED);
	cpu_node = 1;
	assert_int_equal(put_page(A), 1);
	cpu_node = 0;
	assert_int_equal(put_page(A + P), 0);
	assert_int_equal(pf_migrate(&mm, A, 8 * P), 0);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&mm, A + P), 0);
	/* A policy goes with its memory, and grows with it. */
	assert_int_equal(pf_mbind(&mm, A, 8 * P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(
		pf_mremap(&mm, A, 8 * P, 12 * P, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED, B), B);
	assert_int_equal(vmas(&mm, B, B + 12 * P), 1);
	assert_int_equal(put_page(B + 10 * P), 1);
	assert_int_equal(pf_mremap(&mm, B, 12 * P, 16 * P, 0, 0), B);
	assert_int_equal(vmas(&mm, B, B + 16 * P), 1);
	assert_int_equal(put_page(B + 14 * P), 1);
	stop();
}

/* What a userfaultfd brings is its owner's memory like any other. */
static void brought(void **state)
{
	struct pf_uffd uffd;
	int64_t done;

	start(*state, 2);
	small_folios();
	map(4, FIXED);
	assert_int_equal(put_page(A), 0);
	assert_int_equal(pf_mmap(&mm, B, 8 * P, RW, FIXED), B);
	quiet_uffd_open(&uffd, 0);
	quiet_uffd_register(&uffd, B, 8, PF_UFFDIO_REGISTER_MODE_MISSING);
	assert_int_equal(pf_mbind(&mm, B, 4 * P, PF_MPOL_INTERLEAVE, 3, 0), 0);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_BIND, 2), 0);
	for (unsigned i = 0; i < 6; i++) {
		machine_note_store(B + i * P);
		assert_int_equal(pf_uffd_copy(&uffd, &mm, B + i * P, A, P, 0, &done), 0);
		assert_int_equal(node_of(&mm, B + i * P), i < 4 ? (int)(i % 2) : 1);
	}
	world_check("brought");
	pf_uffd_close(&uffd);
	stop();
}

int main(void)
{
	RUN_EVERYWHERE(TEST(policies), TEST(asking), TEST(mbind_errors), TEST(merging),
		TEST(faults), TEST(interleaved), TEST(copies), TEST(mappings), TEST(swapped),
		TEST(others), TEST(brought));
}
