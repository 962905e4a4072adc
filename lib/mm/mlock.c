/* SPDX-License-Identifier: MIT */
/*
 * mlock and its kin. A lock is a flag of VMAs and no more: pages of a locked VMA are faulted in, and
 * who takes pages away asks the VMAs that map them. So no entry changes, and a block that a border
 * now goes through stays folded.
 */
#include "mm/internal.h"

/* Mappings of what is no memory, or that shall not be copied, are left as they are. */
static bool lockable(uint32_t flags)
{
	return !(flags & PF_VM_SPECIAL);
}

/* One VMA's part of the range. */
static int lock_vma(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma, pf_va_t start,
	pf_va_t end, uint32_t locked)
{
	const uint32_t flags = (vma->area.flags & ~PF_VM_LOCKED_MASK) | locked;

	if (flags == vma->area.flags || !lockable(flags))
		return 0;
	return pf_vma_modify_flags(mm, r, vma, start, end, flags) ? 0 : -PF_ENOMEM;
}

/* locked: the bits of PF_VM_LOCKED_MASK to be had. Up to a hole, which is an error. */
static int lock_range(struct pf_mm *mm, pf_va_t start, uint64_t len, uint32_t locked)
{
	const pf_va_t end = start + len;
	struct pf_vma_reserve r;
	int err;

	if (end < start)
		return -PF_EINVAL;
	if (end == start)
		return 0;
	err = pf_vma_reserve_splits(mm, &r, start, end);
	while (!err && start < end) {
		struct pf_vma *vma = pf_vma_lookup(mm, start);
		pf_va_t to;

		if (!vma) {
			err = -PF_ENOMEM;
			break;
		}
		to = pf_min(vma->area.end, end);
		err = lock_vma(mm, &r, vma, start, to, locked);
		start = to;
	}
	pf_vma_unreserve(mm, &r);
	return err;
}

/* Pages of [start, start + len) that are locked. */
static uint64_t locked_pages(const struct pf_mm *mm, pf_va_t start, uint64_t len)
{
	const pf_va_t end = start + len < start ? UINT64_MAX : start + len;
	const struct pf_vma *vma = pf_find_vma(mm, start);
	uint64_t n = 0;

	for (; vma && vma->area.start < end; vma = pf_vma_tree_next(mm->vmas, vma))
		if (vma->area.flags & PF_VM_LOCKED)
			n += pf_mm_pages(
				mm, pf_max(vma->area.start, start), pf_min(vma->area.end, end));
	return n;
}

/* To whole pages: the start down, the end up; a length that wraps is 0, as in Linux. */
static void round_out(const struct pf_mm *mm, pf_va_t *addr, uint64_t *len)
{
	const pf_va_t start = pf_align_down(*addr, pf_mm_page(mm));

	*len = pf_mm_align(mm, *len + (*addr - start));
	*addr = start;
}

/* What populating says, as POSIX wants it from mlock. */
static int posix_error(int err)
{
	switch (err) {
	case -PF_EFAULT:
		return -PF_ENOMEM;
	case -PF_ENOMEM:
		return -PF_EAGAIN;
	default:
		return err;
	}
}

static int do_mlock(struct pf_mm *mm, pf_va_t addr, uint64_t len, uint32_t locked)
{
	uint64_t limit, more;
	int err;

	if (!pf_can_mlock(mm))
		return -PF_EPERM;
	round_out(mm, &addr, &len);

	pf_mmap_write_lock(mm);
	limit = mm->limits.memlock >> pf_mm_shift(mm);
	more = len >> pf_mm_shift(mm);
	/* What is locked already counts once. */
	if (mm->locked_vm + more > limit)
		more -= locked_pages(mm, addr, len);
	/* Without a limit (Linux: with CAP_IPC_LOCK) what is wrong with the range is found, however long it is. */
	if (mm->limits.memlock != PF_RLIM_INFINITY && mm->locked_vm + more > limit)
		err = -PF_ENOMEM;
	else
		err = lock_range(mm, addr, len, locked);
	pf_mmap_write_unlock(mm);
	if (err)
		return err;
	/* Faults of other threads may come first, and be served as well. */
	pf_mmap_read_lock(mm);
	err = posix_error(pf_populate_vmas(mm, addr, addr + len, false));
	pf_mmap_read_unlock(mm);
	return err;
}

int pf_mlock(struct pf_mm *mm, pf_va_t addr, uint64_t len)
{
	return do_mlock(mm, addr, len, PF_VM_LOCKED);
}

int pf_mlock2(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned flags)
{
	if (flags & ~PF_MLOCK_ONFAULT)
		return -PF_EINVAL;
	return do_mlock(mm, addr, len, flags ? PF_VM_LOCKED_MASK : PF_VM_LOCKED);
}

int pf_munlock(struct pf_mm *mm, pf_va_t addr, uint64_t len)
{
	int err;

	round_out(mm, &addr, &len);
	pf_mmap_write_lock(mm);
	err = lock_range(mm, addr, len, 0);
	pf_mmap_write_unlock(mm);
	return err;
}

/* Every VMA as a whole: none is split, so none can fail. */
static void lock_all(struct pf_mm *mm, uint32_t locked)
{
	struct pf_vma *vma = pf_find_vma(mm, 0);

	while (vma) {
		const pf_va_t end = vma->area.end;

		/* May join what comes before or behind it: go on from where it ended. */
		lock_vma(mm, NULL, vma, vma->area.start, end, locked);
		vma = pf_find_vma(mm, end);
	}
}

int pf_mlockall(struct pf_mm *mm, unsigned flags)
{
	const unsigned known = PF_MCL_CURRENT | PF_MCL_FUTURE | PF_MCL_ONFAULT;
	const uint32_t locked = flags & PF_MCL_ONFAULT ? PF_VM_LOCKED_MASK : PF_VM_LOCKED;

	if (!flags || (flags & ~known) || flags == PF_MCL_ONFAULT)
		return -PF_EINVAL;
	if (!pf_can_mlock(mm))
		return -PF_EPERM;

	pf_mmap_write_lock(mm);
	if ((flags & PF_MCL_CURRENT) && mm->total_vm > mm->limits.memlock >> pf_mm_shift(mm)) {
		pf_mmap_write_unlock(mm);
		return -PF_ENOMEM;
	}
	mm->def_flags &= ~PF_VM_LOCKED_MASK;
	if (flags & PF_MCL_FUTURE)
		mm->def_flags |= locked;
	if (flags & PF_MCL_CURRENT)
		lock_all(mm, locked);
	pf_mmap_write_unlock(mm);
	if (!(flags & PF_MCL_CURRENT))
		return 0;
	/* What cannot be had is faulted in when it is touched. */
	pf_mmap_read_lock(mm);
	pf_populate_vmas(mm, 0, mm->sys->task_size, true);
	pf_mmap_read_unlock(mm);
	return 0;
}

int pf_munlockall(struct pf_mm *mm)
{
	pf_mmap_write_lock(mm);
	mm->def_flags &= ~PF_VM_LOCKED_MASK;
	lock_all(mm, 0);
	pf_mmap_write_unlock(mm);
	return 0;
}
