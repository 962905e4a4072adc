/* SPDX-License-Identifier: MIT */
/*
 * The lookup of frames: what it tells, of whom, and that nobody changes it meanwhile.
 */
#include "pfnmap_world.h"

#define NR 64u

static void looked_up(void)
{
	struct pf_follow_pfnmap f = {.vma = NULL};
	struct pf_table *table;

	assert_int_equal(map_dev(A, NR, RW, SHARED, 0), A);
	assert_int_equal(pf_remap_pfn_range(&mm, A, NR * P, DEV), 0);
	assert_int_equal(map_dev(B, NR, RW, PRIVATE, 0), B);
	assert_int_equal(pf_remap_pfn_range(&mm, B, NR * P, DEV), 0);
	assert_int_equal(put(B + P, 5), PF_FAULT_DONE);
	assert_int_equal(pf_mprotect(&mm, A, 8 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_zap_vma_ptes(&mm, A + P, P), 0);
	assert_int_equal(pf_mmap(&mm, B + NR * P, P, RW, PRIVATE | PF_MAP_ANONYMOUS), B + NR * P);
	assert_int_equal(put(B + NR * P, 1), PF_FAULT_DONE);

	pf_port_rw_read_lock(&mm.mmap_lock, PF_LOCK_MMAP);
	f.vma = pf_vma_tree_find(mm.vmas, A);
	f.address = A + 2 * P + 123;
	assert_int_equal(pf_follow_pfnmap_start(&f), 0);
	assert_int_equal(f.pfn, DEV + 2);
	assert_true(f.special && !f.writable);
	assert_int_equal(f.prot & PF_PTE_PERM, PF_PTE_R);
	/* Nobody changes it until the end. */
	table = f.table;
	assert_false(pf_port_spin_trylock(&table->lock, PF_LOCK_TABLE, pf_table_pa(table)));
	pf_follow_pfnmap_end(&f);
	pf_follow_pfnmap_end(&f);
	assert_true(pf_port_spin_trylock(&table->lock, PF_LOCK_TABLE, pf_table_pa(table)));
	pf_port_spin_unlock(&table->lock, PF_LOCK_TABLE, pf_table_pa(table));

	f.address = A + P;
	assert_int_equal(pf_follow_pfnmap_start(&f), -PF_EINVAL);
	f.address = A + 8 * P;
	assert_int_equal(pf_follow_pfnmap_start(&f), -PF_EINVAL);
	f.vma = pf_vma_tree_find(mm.vmas, A + 8 * P);
	assert_int_equal(pf_follow_pfnmap_start(&f), 0);
	assert_true(f.special && f.writable);
	pf_follow_pfnmap_end(&f);
	/* A copy is memory. */
	f.vma = pf_vma_tree_find(mm.vmas, B);
	f.address = B + P;
	assert_int_equal(pf_follow_pfnmap_start(&f), 0);
	assert_true(!f.special && f.writable && pf_phys_has(&phys, f.pfn));
	pf_follow_pfnmap_end(&f);
	f.vma = pf_vma_tree_find(mm.vmas, B + NR * P);
	f.address = B + NR * P;
	assert_int_equal(pf_follow_pfnmap_start(&f), -PF_EINVAL);
	pf_port_rw_read_unlock(&mm.mmap_lock, PF_LOCK_MMAP);
}
EVERYWHERE(looked_up)

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_looked_up)};

	return cmocka_run_group_tests_name("PFN lookup", tests, NULL, NULL);
}
