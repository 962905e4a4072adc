/* SPDX-License-Identifier: MIT */
/*
 * KSM.
 *
 * Two pages are compared when nobody can change them any more: each is locked and has a reference of ours, and its entry lost
 * the right to write, was flushed, and is not exclusive. From then on a write fault copies, for a page with a reference
 * besides its mappings is not reused; and a pin unshares. So what compares equal stays equal until the second entry maps
 * the first page.
 */
#include "mm/ksm.h"

#include "mm/internal.h"
#include "mm/ksm_node.h"
#include "mm/migrate.h"

/* Looked at by each merge, which makes one at most: those that are gone do not add up. */
#define LOOK_NODES 2u

/* One of the two places. */
struct side {
	struct pf_mm *mm;
	pf_va_t va;
	struct pf_folio *folio; /* of one page, with a reference */
};

bool pf_ksm_compatible(const struct pf_vma *vma)
{
	return !(vma->area.flags & (PF_VM_SHARED | PF_VM_MAYSHARE | PF_VM_SPECIAL));
}

static struct pf_vma *find(const struct side *s)
{
	struct pf_vma *vma = pf_vma_lookup(s->mm, s->va);

	return vma && (vma->area.flags & PF_VM_MERGEABLE) ? vma : NULL;
}

static struct pf_folio *look(const struct side *s)
{
	struct pf_folio *folio = NULL;
	pf_pfn_t pfn;

	pf_mmap_read_lock(s->mm);
	if (find(s))
		s->mm->sys->fmt->folio_run(&s->mm->space, s->va, 1, &folio, &pfn);
	pf_mmap_read_unlock(s->mm);
	if (folio && pf_folio_is_file(folio)) {
		pf_folio_put(s->mm->sys->phys, folio, 1);
		folio = NULL;
	}
	return folio;
}

static int get(struct side *s)
{
	struct pf_system *sys = s->mm->sys;
	int err = 0;

	s->va = pf_align_down(s->va, pf_mm_page(s->mm));
	s->folio = s->va < sys->task_size ? look(s) : NULL;
	if (s->folio && pf_folio_order(s->folio)) {
		err = pf_split_folio(sys, s->folio);
		pf_folio_put(sys->phys, s->folio, 1);
		s->folio = err ? NULL : look(s);
		if (!err && s->folio && pf_folio_order(s->folio))
			err = -PF_EAGAIN;
	}
	return err ? err : s->folio ? 0 : -PF_EINVAL;
}

static bool is_busy(const struct side *s)
{
	return pf_folio_test_flags(s->folio, PF_FOLIO_SWAPCACHE | PF_FOLIO_HWPOISON);
}

static void notify(struct pf_mmu_notifier_range *range, const struct side *s)
{
	pf_notify_start(
		range, &s->mm->space, PF_MMU_NOTIFY_CLEAR, s->va, s->va + pf_mm_page(s->mm));
}

/* Folio locks are waited for with a mmap lock held, so with one held a mmap lock is only tried. */
static int protect(const struct side *s)
{
	struct pf_mmu_notifier_range range = {0};
	int err = -PF_EAGAIN;

	if (PF_MUTANT("ksm-waits-locked"))
		pf_mmap_read_lock(s->mm);
	else if (!pf_mmap_read_trylock(s->mm))
		return -PF_EAGAIN;
	if (find(s)) {
		if (!PF_MUTANT("notify-ksm-protect-forgets"))
			notify(&range, s);
		err = s->mm->sys->fmt->ksm_protect(&s->mm->space, s->va, s->folio);
		pf_notify_end(&range);
	}
	pf_mmap_read_unlock(s->mm);
	return err;
}

/*
 * gone's entry maps keep's page, and the page is found there, too: one step for who walks, for he has the ksm lock. A page that
 * becomes KSM's is found as before besides: whoever of its family maps it has it at the index that it had. mmap lock of
 * gone's, by which the VMA keeps its family; keep's is kept by a reference.
 */
static int replace(const struct side *keep, const struct side *gone, struct pf_vma *vma,
	struct pf_ksm_reserve *r)
{
	struct pf_system *sys = keep->mm->sys;
	struct pf_ksm_node *node = pf_ksm_node(sys, keep->folio);
	struct pf_anon_vma *was = node ? NULL : pf_anon_get(sys, keep->folio);
	struct pf_mmu_notifier_range range = {0};
	int err;

	if (!node && !was)
		return -PF_EAGAIN;
	if (!node)
		node = r->node;
	if (!PF_MUTANT("notify-ksm-replace-forgets"))
		notify(&range, gone);
	pf_port_rw_write_lock(&sys->ksm.lock, PF_LOCK_KSM);
	err = sys->fmt->ksm_replace(&gone->mm->space, &vma->area, gone->va, gone->folio,
		keep->folio, node->head.handle);
	if (!err) {
		if (was)
			pf_ksm_begin(sys, r, keep->folio);
		if (was && !PF_MUTANT("ksm-forgets-first"))
			pf_ksm_add_place(node, r, was, keep->folio->head.index);
		if (!PF_MUTANT("ksm-forgets-place"))
			pf_ksm_add_place(node, r,
				pf_anon_object(sys, pf_load_relaxed(&vma->area.anon)),
				pf_vma_index(vma, gone->va));
		pf_ksm_look(sys, LOOK_NODES);
	}
	pf_port_rw_write_unlock(&sys->ksm.lock, PF_LOCK_KSM);
	pf_notify_end(&range);
	if (was)
		pf_anon_put(sys, was);
	return err;
}

/* Both are locked: neither gets a place in swap meanwhile. */
static int merge(const struct side *keep, const struct side *gone, struct pf_ksm_reserve *r)
{
	const struct pf_system *sys = keep->mm->sys;
	struct pf_vma *vma;
	int err;

	if (is_busy(keep) || is_busy(gone))
		return -PF_EBUSY;
	err = protect(keep);
	if (!err)
		err = protect(gone);
	if (err)
		return err;
	if (!pf_page_same(sys, pf_folio_pfn(sys->phys, keep->folio),
		    pf_folio_pfn(sys->phys, gone->folio)))
		return -PF_EAGAIN;
	if (!pf_mmap_read_trylock(gone->mm))
		return -PF_EAGAIN;
	vma = find(gone);
	err = -PF_EAGAIN;
	if (vma)
		err = replace(keep, gone, vma, r);
	pf_mmap_read_unlock(gone->mm);
	return err;
}

static int merge_unlocked(
	const struct side *keep, const struct side *gone, struct pf_ksm_reserve *r)
{
	int err = -PF_EAGAIN;

	if (keep->folio == gone->folio)
		return 0;
	if (pf_folio_trylock(keep->folio)) {
		if (pf_folio_trylock(gone->folio)) {
			err = merge(keep, gone, r);
			pf_folio_unlock(gone->folio);
		}
		pf_folio_unlock(keep->folio);
	}
	return err;
}

int pf_ksm_merge(struct pf_mm *mm, pf_va_t va, struct pf_mm *other, pf_va_t other_va)
{
	struct side a = {.mm = mm, .va = va}, b = {.mm = other, .va = other_va};
	struct pf_ksm_reserve r;
	int err = pf_ksm_reserve(mm->sys, &r);

	if (err)
		return err;
	err = get(&a);
	if (!err)
		err = get(&b);
	if (!err && pf_folio_test_flags(b.folio, PF_FOLIO_KSM))
		err = merge_unlocked(&b, &a, &r);
	else if (!err)
		err = merge_unlocked(&a, &b, &r);
	pf_ksm_unreserve(mm->sys, &r);
	if (a.folio)
		pf_folio_put(mm->sys->phys, a.folio, 1);
	if (b.folio)
		pf_folio_put(mm->sys->phys, b.folio, 1);
	return err;
}

static bool is_moving(struct pf_mm *mm, pf_va_t va)
{
	struct pf_page_info info;

	mm->sys->fmt->page_info(&mm->space, va, &info);
	return pf_pte_kind(info.pte) == PF_PTE_MIGRATION;
}

int pf_ksm_unmerge(struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end)
{
	uint64_t nr;

	for (; vma->area.anon && start < end; start += nr << pf_mm_shift(mm)) {
		struct pf_folio *folio;
		pf_pfn_t pfn;
		bool ksm;

		nr = mm->sys->fmt->folio_run(
			&mm->space, start, pf_mm_pages(mm, start, end), &folio, &pfn);
		if (!folio) {
			/* What moves stays KSM's, and comes back without the mmap lock. */
			if (is_moving(mm, start)) {
				pf_port_relax();
				nr = 0;
			}
			continue;
		}
		ksm = pf_folio_test_flags(folio, PF_FOLIO_KSM);
		pf_folio_put(mm->sys->phys, folio, 1);
		if (!ksm)
			continue;
		/* A copy of its own, and looked at again: the fault may have taken back a hint first. */
		if (pf_vma_fault(mm, vma, start, PF_FAULT_FLAG_UNSHARE) == PF_FAULT_OOM)
			return -PF_ENOMEM;
		nr = 0;
	}
	return 0;
}
