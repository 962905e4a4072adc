/* SPDX-License-Identifier: MIT */
/*
 * Memory of several nodes: pages follow the CPU that uses them, where a NUMA hint tells.
 */
#include "mempolicy_world.h"

#include "mm/numa.h"

/* ---- pages that follow ---- */

/* Hints, and a use of the page by a CPU of node `node`; where it is then. */
static int use(pf_va_t va, unsigned node, bool write)
{
	assert_int_equal(pf_numa_hint(&mm, pf_align_down(va, 16 * P), 16 * P), 0);
	cpu_node = node;
	if (write)
		machine_note_store(va);
	assert_int_equal(
		pf_handle_mm_fault(&mm, va, write ? PF_FAULT_FLAG_WRITE : 0), PF_FAULT_DONE);
	cpu_node = 0;
	world_check("used");
	assert_false(pf_pte_protnone(at(&mm, va)));
	return node_of(&mm, va);
}

static bool hinted(pf_va_t va)
{
	assert_int_equal(pf_numa_hint(&mm, va, P), 0);
	return pf_pte_protnone(at(&mm, va));
}

static void following(void **state)
{
	const struct pf_format *fmt = *state;
	struct pf_folio *kept, *folio;
	struct pf_page_info info;
	uint64_t *word;
	pf_pfn_t pfn;
	bool folded;

	start(fmt, 4);
	small_folios();
	map(PAGES, FIXED);
	assert_int_equal(put_page(A), 0);
	word = pf_port_virt(pf_pte_pfn(at(&mm, A)) * P);
	*word = 4711;
	assert_int_equal(use(A, 1, false), 1);
	word = pf_port_virt(pf_pte_pfn(at(&mm, A)) * P);
	assert_int_equal(*word, 4711);
	assert_int_equal(use(A, 3, true), 3);
	pfn = pf_pte_pfn(at(&mm, A));
	assert_int_equal(use(A, 3, true), 3);
	assert_int_equal(pf_pte_pfn(at(&mm, A)), pfn);
	/* GUP that honours hints is a use. */
	assert_true(hinted(A));
	cpu_node = 2;
	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_GET | PF_FOLL_HONOR_NUMA_FAULT, &pfn), 1);
	assert_int_equal(WORLD_NODE(pfn), 2);
	/* Who keeps it keeps it there, and loses no right. */
	assert_true(hinted(A));
	assert_int_equal(use(A, 1, true), 2);
	pf_put_user_pages(&sys, &pfn, 1);
	folio = pf_page_folio(&phys, pfn);
	assert_true(pf_folio_trylock(folio));
	assert_int_equal(use(A, 1, true), 2);
	pf_folio_unlock(folio);
	/* Nobody gives memory up for it. */
	kept = fill(1, 1);
	assert_int_equal(use(A, 1, false), 2);
	empty(kept);
	assert_int_equal(use(A, 1, false), 1);
	/* What a policy has put somewhere is left alone, unless it says otherwise. */
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND, 15, 0), 0);
	assert_false(hinted(A));
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_LOCAL, 0, 0), 0);
	assert_false(hinted(A));
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_BIND | PF_MPOL_F_NUMA_BALANCING, 6, 0), 0);
	assert_true(hinted(A));
	assert_int_equal(use(A, 2, false), 2);
	assert_int_equal(use(A, 3, false), 2);
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_DEFAULT, 0, 0), 0);
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_INTERLEAVE, 15), 0);
	assert_false(hinted(A));
	assert_int_equal(pf_set_mempolicy(&mm, PF_MPOL_DEFAULT, 0), 0);
	/* A policy that comes when the hint is there already. */
	assert_true(hinted(A));
	assert_int_equal(pf_mbind(&mm, A, P, PF_MPOL_PREFERRED, 1, 0), 0);
	cpu_node = 1;
	assert_int_equal(fault(&mm, A, 0), PF_FAULT_DONE);
	assert_int_equal(node_of(&mm, A), 2);
	assert_false(pf_pte_protnone(at(&mm, A)));
	cpu_node = 0;
	/* A large folio as a whole, folded as it was. */
	sys.thp.order[4] = PF_THP_ALWAYS;
	assert_int_equal(put_page(A + 16 * P), 0);
	pf_page_info(&mm, A + 16 * P, &info);
	folded = info.folded;
	assert_int_equal(use(A + 21 * P, 3, true), 3);
	for (unsigned i = 16; i < 32; i++) {
		pf_page_info(&mm, A + i * P, &info);
		assert_int_equal(node_of(&mm, A + i * P), 3);
		assert_int_equal(info.folded, folded);
		assert_false(pf_pte_protnone(info.pte));
	}
	stop();
}

/* Of files what is clean; of memory that is shared all. */
static void files_follow(void **state)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	start(*state, 2);
	small_folios();
	f.mapping = pf_mapping_create(&sys, &disk_ops, NULL, PAGES * P);
	assert_non_null(f.mapping);
	assert_int_equal(pf_mmap_file(&mm, A, 16 * P, RW, PF_MAP_SHARED | PF_MAP_FIXED, &f, 0), A);
	assert_int_equal(fault(&mm, A, 0), PF_FAULT_DONE);
	assert_int_equal(use(A, 1, false), 1);
	/* Written between the hint and its fault. */
	assert_true(hinted(A));
	pf_folio_set_flags(pf_page_folio(&phys, pf_pte_pfn(at(&mm, A))), PF_FOLIO_DIRTY);
	assert_int_equal(fault(&mm, A, 0), PF_FAULT_DONE);
	assert_int_equal(node_of(&mm, A), 1);
	assert_int_equal(pf_mapping_sync(f.mapping, 0, PAGES), 0);
	assert_int_equal(use(A, 0, false), 0);
	pf_mapping_put(f.mapping);
	assert_int_equal(pf_mmap(&mm, B, 16 * P, RW, SHARE), B);
	assert_int_equal(put_page(B), 0);
	assert_int_equal(use(B, 1, true), 1);
	stop();
}

int main(void)
{
	RUN_EVERYWHERE(TEST(following), TEST(files_follow));
}
