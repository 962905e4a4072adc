/* SPDX-License-Identifier: MIT */
/*
 * What address spaces share, and an address space's beginning and end.
 */
#include "mm/internal.h"
#include "mm/ksm_node.h"
#include "phys/table_check.h"

/* Linux's vm.mmap_min_addr and vm.max_map_count, where they are left alone. */
#define MMAP_MIN_ADDR UINT64_C(65536)
#define MAX_MAP_COUNT 65530u
/* Its stack_guard_gap, in pages. */
#define STACK_GUARD_GAP 256u
/* What Linux keeps free below the end of user space for the stack, at least. */
#define STACK_GAP (UINT64_C(128) << 20)

#define MM_IDS       65536u
#define MM_IDS_BYTES (MM_IDS / 8)

/* ---- numbers for mms ---- */

/*
 * lib/phys tells mms apart by number and needs it unique among mms that have mappings, so numbers
 * come from a bitmap and return when the last mapping is gone. 0 is nobody's.
 */
static uint16_t mm_id_get(struct pf_system *sys)
{
	uint32_t first = pf_load_relaxed(&sys->next_mm_id);

	for (uint32_t i = 0; i < MM_IDS; i++) {
		uint32_t id = (first + i) % MM_IDS;
		uint64_t *word = &sys->mm_ids[id / 64];
		uint64_t old = pf_load_relaxed(word);

		while (!(old >> (id % 64) & 1)) {
			/* Ordered: what the number's last owner did to folios came before. */
			if (!pf_cas(word, &old, old | PF_BIT(id % 64)))
				continue;
			pf_store_relaxed(&sys->next_mm_id, (uint16_t)(id + 1));
			return (uint16_t)id;
		}
	}
	return 0;
}

static void mm_id_put(struct pf_system *sys, uint16_t id)
{
	uint64_t *word = &sys->mm_ids[id / 64];
	uint64_t old = pf_load_relaxed(word);

	while (!pf_cas(word, &old, old & ~PF_BIT(id % 64)))
		;
}

/* ---- the system ---- */

int pf_system_init(struct pf_system *sys, const struct pf_format *fmt, struct pf_phys *phys,
	uint32_t features, enum pf_fold_policy policy)
{
	const struct pf_pt_format *pt = fmt->pt;
	struct pf_folio *zero;

	/* Ends are addresses here: one page at least stays unused at the top of 2^64. */
	if (pt->va_bits > 63)
		return -PF_EINVAL;
	*sys = (struct pf_system){
		.fmt = fmt,
		.phys = phys,
		.table_mem = pf_phys_table_mem(phys),
		.features = features,
		.policy = policy,
		.thp = {.enabled = PF_THP_MADVISE,
			.max_ptes_none = (1u << pt->level_bits) - 1,
			.max_ptes_swap = (1u << pt->level_bits) / 8,
			.max_ptes_shared = (1u << pt->level_bits) / 2},
		.mmap_min_addr = MMAP_MIN_ADDR,
		.task_size = PF_BIT(pt->va_bits),
		.max_map_count = MAX_MAP_COUNT,
		.stack_guard_gap = STACK_GUARD_GAP,
		.next_mm_id = 1,
	};
	sys->mm_ids = pf_port_meta_alloc(MM_IDS_BYTES);
	if (!sys->mm_ids)
		return -PF_ENOMEM;
	pf_handle_pool_init(&sys->mappings, PF_HANDLE_FILE, sizeof(struct pf_mapping));
	memset(sys->mm_ids, 0, MM_IDS_BYTES);
	sys->mm_ids[0] = 1;
	zero = pf_folio_alloc(phys, 0, PF_USE_ANON);
	if (!zero) {
		pf_port_meta_free(sys->mm_ids, MM_IDS_BYTES);
		return -PF_ENOMEM;
	}
	pf_handle_pool_init(&sys->anon_vmas, PF_HANDLE_ANON, sizeof(struct pf_anon_vma));
	pf_ksm_init(sys);
	pf_port_rw_init(&sys->mms_lock, PF_LOCK_SYSTEM);
	sys->zero_pfn = pf_folio_pfn(phys, zero);
	pf_port_clear_pages(sys->zero_pfn << pt->page_shift, PF_BIT(pt->page_shift));
	phys->reclaim_ctx = sys;
	phys->reclaim = pf_reclaim_for_alloc;
	return 0;
}

void pf_system_exit(struct pf_system *sys)
{
	sys->phys->reclaim = NULL;
	/* Mapped special everywhere, it was never counted: ours is the only reference. */
	pf_folio_put(sys->phys, pf_page_folio(sys->phys, sys->zero_pfn), 1);
	pf_ksm_exit(sys);
	pf_handle_pool_destroy(&sys->anon_vmas);
	pf_port_meta_free(sys->mm_ids, MM_IDS_BYTES);
	sys->mm_ids = NULL;
	pf_handle_pool_destroy(&sys->mappings);
}

/* ---- an address space ---- */

int pf_mm_init(struct pf_mm *mm, struct pf_system *sys, uint16_t asid)
{
	int err;

	*mm = (struct pf_mm){
		.sys = sys,
		.limits = {PF_RLIM_INFINITY, PF_RLIM_INFINITY, PF_RLIM_INFINITY, PF_RLIM_INFINITY},
	};
	mm->space.phys = sys->phys;
	mm->space.swaps = &sys->swaps;
	mm->space.zero_pfn = sys->zero_pfn;
	mm->mmap_base = sys->task_size - STACK_GAP;
	mm->vmas = pf_port_meta_alloc(sizeof(*mm->vmas));
	if (!mm->vmas)
		return -PF_ENOMEM;
	err = sys->fmt->pt->init(
		&mm->space.pt, &sys->table_mem, sys->features, asid, 0, sys->policy);
	if (err)
		goto no_tables;
	mm->space.pt.flush_pending = &mm->space.tlb_flush_pending;
	mm->space.pt.check = sys->phys->check ? &sys->phys->check->told : NULL;
	mm->space.mm_id = mm_id_get(sys);
	if (!mm->space.mm_id) {
		err = -PF_ENOMEM;
		goto no_id;
	}
	pf_vma_tree_init(mm->vmas);
	pf_port_rw_init(&mm->mmap_lock, PF_LOCK_MMAP);
	pf_swap_mm_add(mm);
	return 0;

no_id:
	sys->fmt->pt->destroy(&mm->space.pt);
no_tables:
	pf_port_meta_free(mm->vmas, sizeof(*mm->vmas));
	return err;
}

void pf_mm_exit(struct pf_mm *mm)
{
	const struct pf_format *fmt = mm->sys->fmt;
	struct pf_mmu_notifier_range range;
	struct pf_gather g;
	struct pf_vma *vma;

	/* Before the first page is freed. */
	if (mm->space.notifier_subscriptions && !PF_MUTANT("notify-release-late"))
		pf_mmu_notifier_release(mm->space.notifier_subscriptions);
	/* Nobody else is left, but those who find the mm by its pages: they lock. */
	pf_mmap_write_lock(mm);
	pf_tlb_gather_mmu_fullmm(&g, &mm->space);
	pf_notify_start(&range, &mm->space, PF_MMU_NOTIFY_UNMAP, 0, mm->sys->task_size);
	for (vma = pf_find_vma(mm, 0); vma; vma = pf_vma_tree_next(mm->vmas, vma))
		fmt->zap_range(&g, &vma->area, vma->area.start,
			pf_mm_pages(mm, vma->area.start, vma->area.end), 0);
	pf_notify_end(&range);
	/* Before the tables: no walker that came by a page is in them then (anon_vma.h). */
	for (vma = pf_find_vma(mm, 0); vma; vma = pf_vma_tree_next(mm->vmas, vma)) {
		pf_vma_leave_mapping(vma);
		pf_anon_unlink(mm->sys, vma);
	}
	fmt->free_tables(&g, 0, pf_mm_pages(mm, 0, mm->sys->task_size), 0,
		pf_mm_pages(mm, 0, mm->sys->task_size));
	pf_tlb_finish_mmu(&g);
	/* Each is freed after the search for the next has done with it. */
	for (vma = pf_find_vma(mm, 0); vma;) {
		struct pf_vma *next = pf_vma_tree_next(mm->vmas, vma);

		pf_uncommit(
			mm->sys, vma->area.flags, pf_mm_pages(mm, vma->area.start, vma->area.end));
		pf_port_meta_free(vma, sizeof(*vma));
		vma = next;
	}
	pf_vma_tree_destroy(mm->vmas);
	pf_uffd_mm_exit(mm);
	mm->map_count = 0;
	mm->total_vm = mm->locked_vm = mm->data_vm = 0;
	pf_mmap_write_unlock(mm);
	pf_swap_mm_del(mm);
	fmt->pt->destroy(&mm->space.pt);
	pf_port_meta_free(mm->vmas, sizeof(*mm->vmas));
	mm->vmas = NULL;
	if (mm->space.notifier_subscriptions && PF_MUTANT("notify-release-late"))
		pf_mmu_notifier_release(mm->space.notifier_subscriptions);
	pf_mmu_notifier_subscriptions_put(mm->space.notifier_subscriptions);
	mm->space.notifier_subscriptions = NULL;
	mm_id_put(mm->sys, mm->space.mm_id);
}

/* ---- asking ---- */

bool pf_find_vma_info(struct pf_mm *mm, pf_va_t va, struct pf_vma_info *info)
{
	struct pf_vma *vma;

	pf_mmap_read_lock(mm);
	vma = pf_find_vma(mm, va);
	if (vma)
		*info = (struct pf_vma_info){.area = vma->area, .mapping = vma->mapping};
	pf_mmap_read_unlock(mm);
	return vma;
}

void pf_page_info(struct pf_mm *mm, pf_va_t va, struct pf_page_info *info)
{
	*info = (struct pf_page_info){.pte = pf_pte(0)};
	if (va >= mm->sys->task_size)
		return;
	pf_mmap_read_lock(mm);
	mm->sys->fmt->page_info(&mm->space, va, info);
	pf_mmap_read_unlock(mm);
}
