/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd: who is told of which faults; and uffd-wp.
 */
#include "mm/uffd.h"
#include "mm/internal.h"
#include "mm/uffd_internal.h"

#define O_NONBLOCK 0x800u
#define O_CLOEXEC  0x80000u

/* What is not a feature's bit: api has been called. */
#define READY PF_BIT(63)

#define EVENTS                                                                                     \
	(PF_UFFD_FEATURE_EVENT_FORK | PF_UFFD_FEATURE_EVENT_REMAP | PF_UFFD_FEATURE_EVENT_REMOVE | \
		PF_UFFD_FEATURE_EVENT_UNMAP)
#define WP_FEATURES                                                                                \
	(PF_UFFD_FEATURE_PAGEFAULT_FLAG_WP | PF_UFFD_FEATURE_WP_HUGETLBFS_SHMEM |                  \
		PF_UFFD_FEATURE_WP_UNPOPULATED | PF_UFFD_FEATURE_WP_ASYNC)

static uint64_t features_of(const struct pf_uffd *u)
{
	return pf_load_relaxed(&u->features);
}

static bool has_wp(const struct pf_system *sys)
{
	return sys->fmt->pt->pte_supported & PF_PTE_UFFD_WP;
}

static bool is_anon(const struct pf_vma *vma)
{
	return vma->area.backing == PF_BACKED_ANON;
}

/* ---- uffd-wp ---- */

/* Markers keep what no entry can: of memory that is in a cache, or comes from zeros only if that is asked for. */
static bool uses_markers(const struct pf_vma *vma)
{
	return !is_anon(vma) || (features_of(vma->uffd) & PF_UFFD_FEATURE_WP_UNPOPULATED);
}

static void protect(struct pf_gather *g, const struct pf_mm *mm, const struct pf_vma *vma,
	pf_va_t start, pf_va_t end, bool wp)
{
	unsigned cp_flags = PF_CP_UFFD_WP_RESOLVE | PF_CP_TRY_CHANGE_WRITABLE;

	if (wp)
		cp_flags = PF_CP_UFFD_WP | (uses_markers(vma) ? PF_CP_UFFD_MARKERS : 0);
	mm->sys->fmt->change_protection(
		g, &vma->area, start, pf_mm_pages(mm, start, end), vma->area.prot, cp_flags);
}

/* No entry of a VMA says uffd-wp that has, or had, it. */
static void resolve(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t start, pf_va_t end)
{
	struct pf_gather g;

	pf_tlb_gather_mmu(&g, &mm->space);
	protect(&g, mm, vma, start, end, false);
	pf_tlb_finish_mmu(&g);
}

void pf_uffd_forget_wp(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t start, pf_va_t end)
{
	if ((vma->area.flags & PF_VM_UFFD_WP) && !PF_MUTANT("mremap-keeps-uffd-wp"))
		resolve(mm, vma, start, end);
}

/* ---- life ---- */

int pf_userfaultfd(struct pf_uffd *u, struct pf_mm *mm, unsigned flags,
	const struct pf_uffd_ops *ops, void *ctx)
{
	if (flags & ~(O_NONBLOCK | O_CLOEXEC | PF_UFFD_USER_MODE_ONLY))
		return -PF_EINVAL;
	*u = (struct pf_uffd){.mm = mm, .sys = mm->sys, .ops = ops, .ctx = ctx, .flags = flags};
	pf_mmap_write_lock(mm);
	u->next = mm->uffds;
	mm->uffds = u;
	pf_mmap_write_unlock(mm);
	return 0;
}

void pf_uffd_mm_exit(struct pf_mm *mm)
{
	for (struct pf_uffd *u = mm->uffds, *next; u; u = next) {
		next = u->next;
		u->mm = NULL;
		u->next = NULL;
	}
	mm->uffds = NULL;
}

/* Part of a VMA is nobody's any more: out of the reserve. False: too many mappings. */
static bool let_go(
	struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma **vma, pf_va_t start, pf_va_t end)
{
	struct pf_vma *rest;

	/* Before it is known whether this can be, as Linux. */
	if ((*vma)->area.flags & PF_VM_UFFD_WP)
		resolve(mm, *vma, start, end);
	rest = pf_vma_modify_uffd(mm, r, *vma, start, end, (*vma)->area.flags & ~PF_VM_UFFD, NULL);
	if (rest)
		*vma = rest;
	return rest;
}

void pf_uffd_close(struct pf_uffd *u)
{
	struct pf_mm *mm = u->mm;
	struct pf_uffd **at;
	struct pf_vma *vma;

	if (mm) {
		struct pf_vma_reserve none = {0};

		pf_mmap_write_lock(mm);
		/* Whole VMAs: none is split, so nothing is needed and nothing can be in the way. */
		for (vma = pf_find_vma(mm, 0); vma; vma = pf_vma_tree_next(mm->vmas, vma))
			if (vma->uffd == u)
				let_go(mm, &none, &vma, vma->area.start, vma->area.end);
		for (at = &mm->uffds; *at != u; at = &(*at)->next)
			;
		*at = u->next;
		pf_mmap_write_unlock(mm);
	}
	u->ops->wake(u, 0, UINT64_MAX);
	u->mm = NULL;
}

/* Linux's reply names everything that it has, whatever was asked for. */
int pf_uffd_api(struct pf_uffd *u, uint64_t api, uint64_t *features, uint64_t *ioctls)
{
	uint64_t want = *features, has = PF_BIT(17) - 1, unset = 0;

	*features = *ioctls = 0;
	if (!has_wp(u->sys))
		has &= ~WP_FEATURES;
	if (want & PF_UFFD_FEATURE_WP_ASYNC)
		want |= PF_UFFD_FEATURE_WP_UNPOPULATED;
	if (api != PF_UFFD_API || (want & ~has))
		return -PF_EINVAL;
	if (want & EVENTS)
		return -PF_EOPNOTSUPP;
	if (!pf_cas(&u->features, &unset, want | READY))
		return -PF_EINVAL;
	*features = has;
	*ioctls = PF_BIT(PF_UFFDIO_API) | PF_BIT(PF_UFFDIO_REGISTER) | PF_BIT(PF_UFFDIO_UNREGISTER);
	return 0;
}

/* ---- registering ---- */

int pf_uffd_check_range(const struct pf_uffd *u, pf_va_t start, uint64_t len)
{
	const struct pf_system *sys = u->sys;
	const uint64_t page = UINT64_C(1) << sys->fmt->pt->page_shift;

	if (!features_of(u) || !pf_aligned(start, page) || !pf_aligned(len, page) || !len ||
		start >= sys->task_size || len > sys->task_size - start)
		return -PF_EINVAL;
	return u->mm ? 0 : -PF_ESRCH;
}

static bool is_shmem(const struct pf_vma *vma)
{
	return vma->area.backing == PF_BACKED_SHMEM;
}

/* May a VMA have these of PF_VM_UFFD? A file only uffd-wp that stops nobody; frames that are no memory none (Linux: that, too). */
static bool can_be(const struct pf_uffd *u, const struct pf_vma *vma, uint32_t flags)
{
	if (vma->area.flags & PF_VM_PFNMAP)
		return false;
	flags &= PF_VM_UFFD & ~PF_VM_UFFD_ASYNC;
	if ((flags & PF_VM_UFFD_MINOR) && !is_shmem(vma))
		return false;
	if ((features_of(u) & PF_UFFD_FEATURE_WP_ASYNC) && flags == PF_VM_UFFD_WP)
		return true;
	return is_anon(vma) || is_shmem(vma);
}

static int check_register(const struct pf_uffd *u, pf_va_t start, pf_va_t end, uint32_t flags)
{
	const struct pf_vma *vma = pf_find_vma(u->mm, start);

	if (!vma || vma->area.start >= end)
		return -PF_EINVAL;
	for (; vma && vma->area.start < end; vma = pf_vma_tree_next(u->mm->vmas, vma)) {
		if (!can_be(u, vma, flags))
			return -PF_EINVAL;
		/* What may never be written needs no filling: its pages are somebody else's. */
		if (!(vma->area.flags & PF_VM_MAYWRITE))
			return -PF_EPERM;
		if (vma->uffd && vma->uffd != u)
			return -PF_EBUSY;
	}
	return 0;
}

static int register_locked(struct pf_uffd *u, pf_va_t start, pf_va_t end, uint32_t flags)
{
	struct pf_vma_reserve r;
	struct pf_vma *vma;
	int err = check_register(u, start, end, flags);

	if (err)
		return err;
	err = pf_vma_reserve_splits(u->mm, &r, start, end);
	for (vma = pf_find_vma(u->mm, start); !err && vma && vma->area.start < end;
		vma = pf_vma_tree_next(u->mm->vmas, vma)) {
		const pf_va_t from = pf_max(vma->area.start, start),
			      to = pf_min(vma->area.end, end);

		const bool had_wp = vma->area.flags & PF_VM_UFFD_WP;

		/* Linux leaves alone what has these and others besides. */
		if (vma->uffd == u && (vma->area.flags & flags) == flags)
			continue;
		vma = pf_vma_modify_uffd(
			u->mm, &r, vma, from, to, (vma->area.flags & ~PF_VM_UFFD) | flags, u);
		if (!vma) {
			err = -PF_ENOMEM;
			break;
		}
		/* No entry says what nobody is told of (Linux leaves it there, and does not heed it). */
		if (had_wp && !(flags & PF_VM_UFFD_WP))
			resolve(u->mm, vma, from, to);
	}
	pf_vma_unreserve(u->mm, &r);
	return err;
}

int pf_uffd_register(
	struct pf_uffd *u, pf_va_t start, uint64_t len, unsigned mode, uint64_t *ioctls)
{
	const unsigned wp = mode & PF_UFFDIO_REGISTER_MODE_WP;
	uint32_t flags = 0;
	int err;

	if (!features_of(u) || !mode ||
		(mode & ~(PF_UFFDIO_REGISTER_MODE_MISSING | PF_UFFDIO_REGISTER_MODE_WP |
				PF_UFFDIO_REGISTER_MODE_MINOR)))
		return -PF_EINVAL;
	err = pf_uffd_check_range(u, start, len);
	if (err)
		return err == -PF_ESRCH ? -PF_ENOMEM : err;
	if (wp && !has_wp(u->sys))
		return -PF_EINVAL;
	flags |= mode & PF_UFFDIO_REGISTER_MODE_MISSING ? PF_VM_UFFD_MISSING : 0;
	flags |= mode & PF_UFFDIO_REGISTER_MODE_MINOR ? PF_VM_UFFD_MINOR : 0;
	if (wp)
		flags |= PF_VM_UFFD_WP |
			 (features_of(u) & PF_UFFD_FEATURE_WP_ASYNC ? PF_VM_UFFD_ASYNC : 0);
	pf_mmap_write_lock(u->mm);
	err = register_locked(u, start, start + len, flags);
	pf_mmap_write_unlock(u->mm);
	*ioctls = PF_BIT(PF_UFFDIO_WAKE) | PF_BIT(PF_UFFDIO_COPY) | PF_BIT(PF_UFFDIO_ZEROPAGE) |
		  PF_BIT(PF_UFFDIO_MOVE) | PF_BIT(PF_UFFDIO_POISON);
	if (wp)
		*ioctls |= PF_BIT(PF_UFFDIO_WRITEPROTECT);
	if (mode & PF_UFFDIO_REGISTER_MODE_MINOR)
		*ioctls |= PF_BIT(PF_UFFDIO_CONTINUE);
	return err;
}

static int unregister_locked(struct pf_uffd *u, pf_va_t start, pf_va_t end)
{
	struct pf_mm *mm = u->mm;
	struct pf_vma *vma = pf_find_vma(mm, start);
	struct pf_vma_reserve r;
	int err;

	if (!vma || vma->area.start >= end)
		return -PF_EINVAL;
	for (; vma && vma->area.start < end; vma = pf_vma_tree_next(mm->vmas, vma))
		if ((vma->uffd && vma->uffd != u) || !can_be(u, vma, vma->area.flags))
			return -PF_EINVAL;
	err = pf_vma_reserve_splits(mm, &r, start, end);
	for (vma = pf_find_vma(mm, start); !err && vma && vma->area.start < end;
		vma = pf_vma_tree_next(mm->vmas, vma))
		if (vma->uffd && !let_go(mm, &r, &vma, pf_max(vma->area.start, start),
					 pf_min(vma->area.end, end)))
			err = -PF_ENOMEM;
	pf_vma_unreserve(mm, &r);
	return err;
}

int pf_uffd_unregister(struct pf_uffd *u, pf_va_t start, uint64_t len)
{
	int err = pf_uffd_check_range(u, start, len);

	if (err)
		return err == -PF_ESRCH ? -PF_ENOMEM : err;
	pf_mmap_write_lock(u->mm);
	err = unregister_locked(u, start, start + len);
	pf_mmap_write_unlock(u->mm);
	if (!err)
		u->ops->wake(u, start, len);
	return err;
}

int pf_uffd_wake(struct pf_uffd *u, pf_va_t start, uint64_t len)
{
	if (pf_uffd_check_range(u, start, len) == -PF_EINVAL)
		return -PF_EINVAL;
	u->ops->wake(u, start, len);
	return 0;
}

/* ---- faults ---- */

/* Is the entry still what somebody must answer? */
static bool must_wait(struct pf_mm *mm, pf_va_t va, enum pf_fault_result why)
{
	struct pf_page_info info;

	mm->sys->fmt->page_info(&mm->space, va, &info);
	if (why == PF_FAULT_UFFD_WP)
		return info.pte.v & PF_PTE_UFFD_WP;
	return pf_pte_none(info.pte) || pf_pte_kind(info.pte) == PF_PTE_MARKER;
}

enum pf_fault_result pf_uffd_tell(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned flags, enum pf_fault_result why)
{
	struct pf_uffd *u = vma->uffd;
	struct pf_uffd_msg msg = {.address = va};

	if (features_of(u) & PF_UFFD_FEATURE_SIGBUS)
		return PF_FAULT_SIGBUS;
	if ((flags & PF_FAULT_FLAG_KERNEL) && (u->flags & PF_UFFD_USER_MODE_ONLY))
		return PF_FAULT_SIGBUS;
	if (!(features_of(u) & PF_UFFD_FEATURE_EXACT_ADDRESS))
		msg.address = pf_align_down(va, pf_mm_page(mm));
	msg.flags |= flags & PF_FAULT_FLAG_WRITE ? PF_UFFD_PAGEFAULT_FLAG_WRITE : 0;
	msg.flags |= why == PF_FAULT_UFFD_WP ? PF_UFFD_PAGEFAULT_FLAG_WP : 0;
	msg.flags |= why == PF_FAULT_UFFD_MINOR ? PF_UFFD_PAGEFAULT_FLAG_MINOR : 0;
	u->ops->fault(u, &msg);
	return must_wait(mm, va, why) ? PF_FAULT_UFFD : PF_FAULT_DONE;
}

/* ---- UFFDIO_WRITEPROTECT ---- */

/* Tables for the markers of all VMAs that will get some, so that nothing can fail after the first change. */
static int reserve_markers(struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	struct pf_vma *vma = pf_find_vma(mm, start);
	int err = 0;

	for (; !err && vma && vma->area.start < end && (vma->area.flags & PF_VM_UFFD_WP);
		vma = pf_vma_tree_next(mm->vmas, vma)) {
		const pf_va_t from = pf_max(vma->area.start, start);
		const pf_va_t to = pf_min(vma->area.end, end);

		if (uses_markers(vma))
			err = mm->sys->fmt->alloc_tables(
				&mm->space, from, pf_mm_pages(mm, from, to));
	}
	return err;
}

static int writeprotect_locked(struct pf_mm *mm, pf_va_t start, pf_va_t end, bool wp)
{
	struct pf_vma *vma;
	struct pf_gather g;
	int err = wp ? reserve_markers(mm, start, end) : 0;

	if (err)
		return err;
	err = -PF_ENOENT;
	pf_tlb_gather_mmu(&g, &mm->space);
	for (vma = pf_find_vma(mm, start); vma && vma->area.start < end;
		vma = pf_vma_tree_next(mm->vmas, vma)) {
		err = -PF_ENOENT;
		if (!(vma->area.flags & PF_VM_UFFD_WP))
			break;
		protect(&g, mm, vma, pf_max(vma->area.start, start), pf_min(vma->area.end, end),
			wp);
		err = 0;
	}
	/* Before the lock goes: who copies what it has write-protected relies on it. */
	pf_tlb_finish_mmu(&g);
	return err;
}

int pf_uffd_writeprotect(struct pf_uffd *u, pf_va_t start, uint64_t len, unsigned mode)
{
	const bool wp = mode & PF_UFFDIO_WRITEPROTECT_WP;
	int err = pf_uffd_check_range(u, start, len);

	if (err == -PF_EINVAL)
		return err;
	if ((mode & ~(PF_UFFDIO_WRITEPROTECT_WP | PF_UFFDIO_WRITEPROTECT_DONTWAKE)) ||
		(wp && (mode & PF_UFFDIO_WRITEPROTECT_DONTWAKE)))
		return -PF_EINVAL;
	if (err)
		return err;
	pf_mmap_read_lock(u->mm);
	err = writeprotect_locked(u->mm, start, start + len, wp);
	pf_mmap_read_unlock(u->mm);
	if (!err && !wp && !(mode & PF_UFFDIO_WRITEPROTECT_DONTWAKE))
		u->ops->wake(u, start, len);
	return err;
}
