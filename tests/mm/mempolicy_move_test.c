/* SPDX-License-Identifier: MIT */
/*
 * Memory of two and of four nodes: what mbind, move_pages and migrate_pages move, what they say of it, and what happens when memory runs out
 * in any of them.
 */
#include "mempolicy_world.h"

#include "mm/numa.h"

/* ---- mbind that moves ---- */

static void mbind_moves(void **state)
{
	struct pf_folio *kept;
	uint64_t stamp[4];
	pf_pfn_t pfn;

	start(*state, 2);
	small_folios();
	map(PAGES, FIXED);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(put_page(A + i * P), 0);
		stamp[i] = 77 + i;
		*(uint64_t *)pf_port_virt(pf_pte_pfn(at(&mm, A + i * P)) * P) = stamp[i];
	}
	/* Without a flag none moves; and what is there already does not either. */
	assert_int_equal(pf_mbind(&mm, A, 2 * P, PF_MPOL_BIND, 2, 0), 0);
	assert_int_equal(node_of(&mm, A), 0);
	pfn = pf_pte_pfn(at(&mm, A + 3 * P));
	assert_int_equal(pf_mbind(&mm, A + 3 * P, P, PF_MPOL_BIND, 1, MOVE), 0);
	assert_int_equal(pf_pte_pfn(at(&mm, A + 3 * P)), pfn);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE | PF_MPOL_MF_STRICT), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(node_of(&mm, A + i * P), 1);
		assert_int_equal(
			*(uint64_t *)pf_port_virt(pf_pte_pfn(at(&mm, A + i * P)) * P), stamp[i]);
	}
	world_check("moved");
	/* To where the policy wants each. */
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_INTERLEAVE, 3, MOVE), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(node_of(&mm, A + i * P), 1);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_DEFAULT, 0, MOVE), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(node_of(&mm, A + i * P), 0);
	/* A pin keeps its page, which is an error only for who insists; the policy is set. */
	machine_note_store(A + P);
	assert_int_equal(pf_gup(&mm, A + P, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE), 0);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&mm, A + P), 0);
	assert_int_equal(
		pf_mbind(&mm, A, 3 * P, PF_MPOL_PREFERRED, 2, MOVE | PF_MPOL_MF_STRICT), -PF_EIO);
	assert_int_equal(vmas(&mm, A, A + 4 * P), 2);
	pf_unpin_user_pages(&sys, &pfn, 1);
	world_check("pinned");
	/* No room there. */
	kept = fill(1, 0);
	assert_int_equal(
		pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE | PF_MPOL_MF_STRICT), -PF_EIO);
	assert_int_equal(node_of(&mm, A + P), 0);
	empty(kept);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(node_of(&mm, A + P), 1);
	stop();
}

static void large_folios_move(void **state)
{
	const struct pf_format *fmt = *state;
	uint64_t unfolds;
	bool folded;
	struct pf_page_info info;

	start(fmt, 2);
	map(32, FIXED);
	assert_int_equal(put_page(A + 3 * P), 0);
	pf_page_info(&mm, A, &info);
	assert_int_equal(info.order, 4);
	folded = info.folded;
	unfolds = mm.space.pt.stats.unfold;
	/* It goes as it is. */
	assert_int_equal(pf_mbind(&mm, A, 32 * P, PF_MPOL_BIND, 2, MOVE), 0);
	for (unsigned i = 0; i < 16; i++) {
		pf_page_info(&mm, A + i * P, &info);
		assert_int_equal(node_of(&mm, A + i * P), 1);
		assert_int_equal(info.order, 4);
		assert_int_equal(info.folded, folded);
	}
	assert_int_equal(mm.space.pt.stats.unfold, unfolds);
	/* A part is meant, and all of it goes. */
	assert_int_equal(pf_mbind(&mm, A + 2 * P, 3 * P, PF_MPOL_BIND, 1, MOVE), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(node_of(&mm, A + i * P), 0);
	assert_int_equal(pf_mbind(&mm, A, 32 * P, PF_MPOL_BIND, 2, MOVE), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(node_of(&mm, A + i * P), 1);
	/* Mapped in pieces, it is one folio, which nobody else is at work on. */
	assert_int_equal(pf_mprotect(&mm, A + 4 * P, 2 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_madvise(&mm, A + 8 * P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_mbind(&mm, A, 32 * P, PF_MPOL_BIND, 1, MOVE | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(node_of(&mm, A), 0);
	assert_int_equal(node_of(&mm, A + 9 * P), 0);
	stop();
}

static void shared_pages(void **state)
{
	struct pf_mm child;

	start(*state, 2);
	small_folios();
	map(4, FIXED);
	assert_int_equal(put_page(A), 0);
	assert_int_equal(put_page(A + P), 0);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	/* The child's too: stays, and that is not said to be a failure. */
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, MOVE | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(node_of(&mm, A), 0);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_PREFERRED, 2, PF_MPOL_MF_STRICT), -PF_EIO);
	assert_int_equal(pf_mbind(&mm, A, 4 * P, PF_MPOL_BIND, 2, ALL | PF_MPOL_MF_STRICT), 0);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&child, A), 1);
	assert_int_equal(pf_pte_pfn(at(&mm, A)), pf_pte_pfn(at(&child, A)));
	assert_null(pf_mm_check(&child));
	pf_mm_exit(&child);
	machine_retire_asid(2);
	stop();
}

/* ---- move_pages ---- */

static void moving_pages(void **state)
{
	pf_va_t pages[6] = {A, A + P + 7, A + 2 * P, A + 3 * P, B, A + 4 * P};
	int to[6] = {1, 1, 1, 1, 1, 1}, got[6];
	struct pf_mm child;
	pf_pfn_t pfn;

	start(*state, 2);
	small_folios();
	map(8, FIXED);
	assert_int_equal(put_page(A), 0);
	assert_int_equal(put_page(A + P), 0);
	assert_int_equal(fault(&mm, A + 2 * P, 0), PF_FAULT_DONE);
	cpu_node = 1;
	assert_int_equal(put_page(A + 4 * P), 1);
	cpu_node = 0;
	assert_int_equal(pf_move_pages(&mm, 6, pages, NULL, got, 0), 0);
	assert_int_equal(got[0], 0);
	assert_int_equal(got[1], 0);
	assert_int_equal(got[2], -PF_EFAULT);
	assert_int_equal(got[3], -PF_ENOENT);
	assert_int_equal(got[4], -PF_EFAULT);
	assert_int_equal(got[5], 1);
	assert_int_equal(pf_move_pages(&mm, 6, pages, NULL, got, 1), -PF_EINVAL);
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, 8), -PF_EINVAL);
	/* All that can go does, and each page says where it is. */
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, MOVE), 0);
	assert_int_equal(got[0], 1);
	assert_int_equal(got[1], 1);
	assert_int_equal(got[2], -PF_EFAULT);
	assert_int_equal(got[3], -PF_ENOENT);
	assert_int_equal(got[4], -PF_EFAULT);
	assert_int_equal(got[5], 1);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&mm, A + P), 1);
	/* To different nodes; one that there is none of ends it, behind what comes before. */
	to[0] = 0;
	to[2] = 2;
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, MOVE), -PF_ENODEV);
	assert_int_equal(node_of(&mm, A), 0);
	assert_int_equal(got[0], 0);
	to[1] = -1;
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, MOVE), -PF_ENODEV);
	/* Shared ones only for who may. */
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	to[0] = 1;
	assert_int_equal(pf_move_pages(&mm, 1, pages, to, got, MOVE), 0);
	assert_int_equal(got[0], -PF_EACCES);
	assert_int_equal(pf_move_pages(&mm, 1, pages, to, got, ALL), 0);
	assert_int_equal(got[0], 1);
	assert_int_equal(node_of(&child, A), 1);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	/* A pin: what did not go, and all behind it, is counted and not told. */
	assert_int_equal(put_page(A + P), 1);
	machine_note_store(A);
	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
	to[0] = to[1] = to[3] = to[4] = to[5] = 0;
	to[2] = 1;
	got[0] = got[1] = got[5] = 99;
	assert_int_equal(pf_move_pages(&mm, 6, pages, to, got, MOVE), 1 + 4);
	assert_int_equal(got[0], 99);
	assert_int_equal(got[1], 99);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(node_of(&mm, A + P), 0);
	pf_unpin_user_pages(&sys, &pfn, 1);
	/* A page twice: the first is on its way. */
	pages[1] = A;
	assert_int_equal(pf_move_pages(&mm, 2, pages, to, got, MOVE), 0);
	assert_int_equal(got[0], 0);
	assert_int_equal(got[1], -PF_EBUSY);
	assert_int_equal(node_of(&mm, A), 0);
	stop();
}

/* ---- migrate_pages ---- */

static void migrating(void **state)
{
	static const struct {
		uint64_t from, to;
		int node[4];
	} cases[] = {
		{1, 2, {1, 1, 2, 3}},
		{3, 6, {1, 2, 2, 3}}, /* one step on, each: the last goes first */
		{15, 15, {0, 1, 2, 3}},
		{7, 14, {1, 2, 3, 3}},
		{15, 1, {0, 0, 0, 0}},
		{15, 12, {2, 3, 2, 3}},
		{3, 3, {0, 1, 2, 3}},
		{6, 9, {0, 0, 3, 3}},
		{0, 1, {0, 1, 2, 3}},
		{16, 1, {0, 1, 2, 3}},
		{1, 0x30 | 8, {3, 1, 2, 3}},
	};

	for (unsigned i = 0; i < PF_ARRAY_SIZE(cases); i++) {
		struct pf_folio *kept;
		pf_pfn_t pfn;

		start(*state, 4);
		small_folios();
		assert_int_equal(pf_migrate_pages(&mm, 1, 2, MOVE), 0);
		map(8, FIXED);
		for (cpu_node = 0; cpu_node < 4; cpu_node++)
			assert_int_equal(put_page(A + cpu_node * P), cpu_node);
		cpu_node = 0;
		assert_int_equal(pf_migrate_pages(&mm, cases[i].from, cases[i].to, MOVE), 0);
		for (unsigned n = 0; n < 4; n++)
			assert_int_equal(node_of(&mm, A + n * P), cases[i].node[n]);
		assert_int_equal(pf_migrate_pages(&mm, 1, 0x10, MOVE), -PF_EINVAL);
		assert_int_equal(pf_migrate_pages(&mm, 1, 2, MOVE | ALL), -PF_EINVAL);
		assert_int_equal(pf_migrate_pages(&mm, 1, 2, 0), -PF_EINVAL);
		/* What stays is counted: pinned, or without room. */
		assert_int_equal(pf_migrate_pages(&mm, 15, 1, MOVE), 0);
		machine_note_store(A + P);
		assert_int_equal(pf_gup(&mm, A + P, 1, PF_FOLL_PIN | PF_FOLL_WRITE, &pfn), 1);
		assert_int_equal(pf_migrate_pages(&mm, 1, 2, MOVE), 1);
		assert_int_equal(node_of(&mm, A + P), 0);
		assert_int_equal(node_of(&mm, A), 1);
		pf_unpin_user_pages(&sys, &pfn, 1);
		kept = fill(3, 1);
		assert_int_equal(pf_migrate_pages(&mm, 2, 8, MOVE), 2);
		empty(kept);
		stop();
	}
}

/* ---- what is not there ---- */

static int64_t set_policy(void)
{
	return pf_set_mempolicy(&mm, PF_MPOL_INTERLEAVE, 3);
}

static int64_t bind(void)
{
	return pf_mbind(&mm, A + 5 * P, 9 * P, PF_MPOL_BIND, 2, 0);
}

static int64_t bind_moving(void)
{
	return pf_mbind(&mm, A + P, 20 * P, PF_MPOL_PREFERRED, 2, MOVE);
}

static int64_t move_two(void)
{
	const pf_va_t pages[2] = {A, A + 40 * P};
	const int to[2] = {1, 0};
	int status[2];

	return pf_move_pages(&mm, 2, pages, to, status, MOVE);
}

static int64_t migrate_back(void)
{
	return pf_migrate_pages(&mm, 2, 1, MOVE);
}

/* That there is no memory for it is no reason to refuse an access. */
static int64_t follow(void)
{
	int64_t r;

	assert_int_equal(pf_numa_hint(&mm, A, 16 * P), 0);
	cpu_node = 1;
	r = fault(&mm, A, 0) == PF_FAULT_DONE ? 0 : -PF_EFAULT;
	cpu_node = 0;
	assert_false(pf_pte_protnone(at(&mm, A)));
	return r;
}

static int64_t (*const calls[])(void) = {
	follow, set_policy, bind, bind_moving, move_two, migrate_back};

static void begin_failing(const struct pf_format *fmt, uint64_t fail_at)
{
	world_nodes = 2;
	world_start(fmt, fail_at);
	phys.local_node = here;
	cpu_node = 0;
	map(PAGES, FIXED);
	for (unsigned i = 0; i < PAGES; i++)
		if (node_of(&mm, A + i * P) < 0)
			put_page(A + i * P);
}

static uint64_t policy_sum(void)
{
	struct pf_vma_info info;
	uint64_t sum = mm.space.policy.mode;

	for (pf_va_t va = A; pf_find_vma_info(&mm, va, &info); va = info.area.end)
		sum = sum * 31 + info.area.policy.mode * 7 + info.area.policy.nodes + info.area.end;
	return sum;
}

/* An allocation fails, any of the call's: what is set is what was before or what is asked for, and pages are all there. */
static void every_allocation(void **state)
{
	unsigned failures = 0;

	for (unsigned c = 0; c < PF_ARRAY_SIZE(calls); c++) {
		uint64_t first, nr, before, after;

		begin_failing(*state, 0);
		for (unsigned i = 0; i < c; i++)
			assert_int_equal(calls[i](), 0);
		first = machine_counters.allocs;
		before = policy_sum();
		assert_int_equal(calls[c](), 0);
		after = policy_sum();
		nr = machine_counters.allocs - first;
		stop();
		for (uint64_t k = 1; k <= nr; k++) {
			int64_t r;

			begin_failing(*state, first + k);
			for (unsigned i = 0; i < c; i++)
				assert_int_equal(calls[i](), 0);
			r = calls[c]();
			world_check("it failed");
			for (unsigned i = 0; i < PAGES; i++)
				assert_true(node_of(&mm, A + i * P) >= 0);
			if (r == -PF_ENOMEM)
				assert_int_equal(policy_sum(), before);
			else
				assert_int_equal(policy_sum(), after);
			/* Pages that found no room stayed; all else was said. */
			assert_true(r == -PF_ENOMEM || r >= 0);
			failures++;
			calls[c]();
			assert_int_equal(policy_sum(), after);
			stop();
		}
	}
	assert_true(failures > 12);
}

int main(void)
{
	RUN_EVERYWHERE(TEST(mbind_moves), TEST(large_folios_move), TEST(shared_pages),
		TEST(moving_pages), TEST(migrating), TEST(every_allocation));
}
