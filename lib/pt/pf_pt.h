/* SPDX-License-Identifier: MIT */
/*
 * pf_pt_*: page tables alone, for a hypervisor, an IOMMU driver, a kernel's own mappings. Whoever
 * uses only this page links lib/fmt and lib/pt, and nothing above.
 *
 * Ranges are (va, nr) in pages of the format, overflow-safe to the last page of the address space.
 * Every call that fails leaves all mappings as they were; -PF_EINVAL: the range does not lie in the
 * address space, nr is 0, va is not page-aligned, or the format cannot store what was asked, or it is
 * PF_PTE_KERNEL in a tree that is not PF_PT_KERNEL.
 *
 * Concurrency: calls on ranges that have no entry of the root table in common may run at the same
 * time. The caller keeps all others apart, and its own lockless walkers from unmap: a table that one
 * call has made and not yet filled is an empty one for another, whose unmap takes it away. Hardware may
 * walk at any time. Calls may sleep in the allocator the caller supplied; they take table locks inside.
 *
 * PF_PT_NOFAULT trees (A10): no translation that is in use may ever be missing for a moment.
 * Contiguous blocks and large leaves are built into empty slots only; a change that would have to
 * take one apart (unmap or protect of a part of it, or of a block's rights other than W) is refused
 * with -PF_EBUSY before anything changed, unless the hardware can do it without a gap
 * (PF_FEAT_BBM2_NOABORT); another memory type is always refused. Their entries are written with A,
 * and D if writable, so that hardware never updates them.
 */
#ifndef PF_PT_PF_PT_H
#define PF_PT_PF_PT_H

#include "base/err.h"
#include "pt/table.h"

/*
 * An empty tree. mem outlives the tree. features: enum pf_feature of all CPUs that will walk it.
 * asid tags its translations; flags: PF_PT_*. Calls here fold whole pieces only, so that PF_FOLD_LINUX and
 * PF_FOLD_WATCH are the same. 0, -PF_ENOMEM, or -PF_EOPNOTSUPP for PF_PT_KERNEL where the format has no
 * kernel pages.
 */
PF_INLINE int pf_pt_init(struct pf_pt *pt, const struct pf_pt_format *fmt,
	const struct pf_table_mem *mem, uint32_t features, uint16_t asid, unsigned flags,
	enum pf_fold_policy policy)
{
	return fmt->init(pt, mem, features, asid, flags, policy);
}

/* Free all tables; what they map is not touched. No CPU uses the tree any more. Unless it is empty, flushes its ASID,
 * waits. */
PF_INLINE void pf_pt_destroy(struct pf_pt *pt)
{
	pt->fmt->destroy(pt);
}

/*
 * Map nr pages from va to consecutive frames from pfn, with the largest leaves and contiguous
 * blocks that alignment allows (the whole call is one extent). prot: PF_PTE_R/W/X, memory type,
 * key, and A, D as the entries shall start. -PF_EEXIST if anything is mapped there, -PF_ENOMEM. No
 * TLB operation. In a NOFAULT tree every walker finds the mapping when the call has returned, or, inside
 * a lazy-MMU section (pt/lazy.h), when that has been left; a CPU that then uses it from the same context needs what its architecture asks for besides (arm64: an
 * ISB). In others an access may fault once more.
 */
PF_INLINE int pf_pt_map(struct pf_pt *pt, pf_va_t va, uint64_t nr, pf_pfn_t pfn, uint64_t prot)
{
	return pt->fmt->map(pt, va, nr, pfn, prot);
}

/*
 * Unmap all that is mapped in the range; holes are skipped. Leaves and blocks that reach over its
 * ends are taken apart first. Returns when no TLB holds anything of it: the frames may be reused.
 * Emptied tables are freed. -PF_ENOMEM (a leaf must be split and there is no table), -PF_EBUSY
 * (NOFAULT).
 */
PF_INLINE int pf_pt_unmap(struct pf_pt *pt, pf_va_t va, uint64_t nr)
{
	return pt->fmt->unmap(pt, va, nr);
}

/* Give all that is mapped in the range the rights of prot; A and D are kept. Errors and TLBs as
 * unmap; what may be used again is found by walkers as after map. */
PF_INLINE int pf_pt_protect(struct pf_pt *pt, pf_va_t va, uint64_t nr, uint64_t prot)
{
	return pt->fmt->protect(pt, va, nr, prot);
}

/*
 * What is at va: 1 and the mapping's extent from there, or 0 and the hole's. run->nr: pages, at
 * most max, of consecutive frames with equal rights (a longer mapping may need more calls: an
 * extent ends at the end of a table). run->first: va's own entry, A and D of its block. Reads no
 * entries but those of max pages and of va's block, so that asking for little costs little. Without
 * lock: may race with changes of the same range, which the caller excludes.
 */
PF_INLINE int pf_pt_query(struct pf_pt *pt, pf_va_t va, uint64_t max, struct pf_run *run)
{
	return pt->fmt->query(pt, va, max, run);
}

/*
 * Clear A over the range, whole blocks where it cuts one; 1 if any was set, else 0. The
 * invalidation is issued, not waited for. -PF_EOPNOTSUPP in NOFAULT trees, whose entries must keep
 * A.
 */
PF_INLINE int pf_pt_age(struct pf_pt *pt, pf_va_t va, uint64_t nr)
{
	return pt->fmt->age(pt, va, nr);
}

#endif
