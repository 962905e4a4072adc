/* SPDX-License-Identifier: MIT */
/*
 * mmap: where, and what.
 */
#include "mm/internal.h"

/* A mapping type of Linux's that isn't built. */
#define MAP_DROPPABLE 0x08u
/* Flags that mean nothing, or that aren't built. */
#define MAP_DENYWRITE  0x0800u
#define MAP_EXECUTABLE 0x1000u
#define MAP_HUGETLB    0x40000u

/* Where placement upwards begins, when nothing is free below mmap_base. */
static pf_va_t unmapped_base(const struct pf_mm *mm)
{
	return pf_align_down(mm->sys->task_size / 4, pf_mm_page(mm));
}

/* Is [va, va + len), which is free, clear of the gap below what comes next? Else *next has that. */
static bool clear_of_gap(
	const struct pf_mm *mm, pf_va_t va, uint64_t len, const struct pf_vma **next)
{
	*next = pf_find_vma(mm, va);
	return !*next || va + len <= pf_vma_start_gap(mm, *next);
}

/* A free place for len bytes; 0 if there is none (never an address: mmap_min_addr). */
static pf_va_t find_hole(const struct pf_mm *mm, uint64_t len)
{
	const pf_va_t min = pf_max(mm->sys->mmap_min_addr, pf_mm_page(mm));
	pf_va_t high = mm->mmap_base, low = unmapped_base(mm), va;
	const struct pf_vma *next;

	while (pf_vma_tree_gap_down(mm->vmas, min, high, len, &va)) {
		if (clear_of_gap(mm, va, len, &next))
			return va;
		high = pf_vma_start_gap(mm, next);
	}
	while (pf_vma_tree_gap_up(mm->vmas, low, mm->sys->task_size, len, &va)) {
		if (clear_of_gap(mm, va, len, &next))
			return va;
		low = next->area.end;
	}
	return 0;
}

/*
 * The same, at a multiple of `align`: Linux places anonymous memory that is a multiple of a PMD
 * leaf so, for large folios.
 */
static pf_va_t find_aligned_hole(const struct pf_mm *mm, uint64_t len, uint64_t align)
{
	pf_va_t va = find_hole(mm, len + align);

	/* The highest multiple in what was found. */
	return va ? pf_align_down(va + align, align) : 0;
}

int64_t pf_get_unmapped_area(struct pf_mm *mm, pf_va_t addr, uint64_t len, bool fixed)
{
	const struct pf_system *sys = mm->sys;
	const pf_va_t min = sys->mmap_min_addr;
	const struct pf_vma *next;
	pf_va_t va = 0;

	if (len > sys->task_size || len > sys->task_size - min)
		return -PF_ENOMEM;
	if (fixed) {
		if (addr > sys->task_size - len)
			return -PF_ENOMEM;
		if (!pf_mm_aligned(mm, addr))
			return -PF_EINVAL;
		return addr < min ? -PF_EPERM : (int64_t)addr;
	}
	if (addr) {
		if (addr >= min && addr <= sys->task_size - len &&
			pf_vma_none(mm, addr, addr + len) && clear_of_gap(mm, addr, len, &next))
			return (int64_t)addr;
	} else if (pf_aligned(len, pf_mm_pmd_size(mm))) {
		va = find_aligned_hole(mm, len, pf_mm_pmd_size(mm));
	}
	if (!va)
		va = find_hole(mm, len);
	return va ? (int64_t)va : -PF_ENOMEM;
}

/* What is mapped, beside where and how long. */
struct request {
	unsigned prot, flags;
	uint32_t vm; /* the VMA's flags */
	bool has_file;
	struct pf_file file;
	uint64_t pgoff;
};

/* Linux's calc_vm_flag_bits, and what all memory has. */
static uint32_t mmap_flags(const struct pf_mm *mm, unsigned prot, unsigned flags)
{
	uint32_t vm = pf_prot_flags(prot) | PF_VM_MAYREAD | PF_VM_MAYWRITE | PF_VM_MAYEXEC |
		      PF_VM_SOFTDIRTY | mm->def_flags;

	if (flags & PF_MAP_LOCKED)
		vm |= PF_VM_LOCKED;
	if (flags & PF_MAP_GROWSDOWN)
		vm |= PF_VM_GROWSDOWN;
	/* Stacks are small and grow: no large folios. */
	if (flags & PF_MAP_STACK)
		vm |= PF_VM_NOHUGEPAGE;
	if ((flags & PF_MAP_NORESERVE) &&
		pf_load_relaxed(&mm->sys->overcommit) != PF_OVERCOMMIT_NEVER)
		vm |= PF_VM_NORESERVE;
	return vm;
}

/* The type, when the place has been found: Linux looks at it that late. */
static int check_anonymous(struct request *q)
{
	switch (q->flags & PF_MAP_TYPE) {
	case PF_MAP_SHARED:
		q->vm |= PF_VM_SHARED | PF_VM_MAYSHARE;
		return q->flags & PF_MAP_GROWSDOWN ? -PF_EINVAL : 0;
	case PF_MAP_PRIVATE:
		return 0;
	case MAP_DROPPABLE:
		return -PF_EOPNOTSUPP;
	default:
		return -PF_EINVAL;
	}
}

/* Flags that every kernel has known: MAP_SHARED ignores others, MAP_SHARED_VALIDATE refuses them. */
#define LEGACY_MAP_MASK                                                                            \
	(PF_MAP_TYPE | PF_MAP_FIXED | PF_MAP_ANONYMOUS | PF_MAP_GROWSDOWN | MAP_DENYWRITE |        \
		MAP_EXECUTABLE | PF_MAP_LOCKED | PF_MAP_NORESERVE | PF_MAP_POPULATE |              \
		PF_MAP_NONBLOCK | PF_MAP_STACK | MAP_HUGETLB)

/* Of frames that are no memory: what is mapped is not memory to be locked, dumped or made more of. */
static int check_device(const struct pf_system *sys, struct request *q)
{
	const struct pf_mapping *mapping = q->file.mapping;
	const uint64_t need = PF_PTE_SPECIAL | (uint64_t)mapping->memtype << PF_PTE_MEM_SHIFT;

	if (!pf_mapping_is_device(mapping))
		return 0;
	if (need & ~sys->fmt->pt->pte_supported)
		return -PF_EOPNOTSUPP;
	/* Private: of each page a copy may be made, which is memory. */
	if (!(q->vm & PF_VM_MAYSHARE) && (!mapping->ops->copy || mapping->memtype))
		return -PF_EINVAL;
	q->vm &= ~PF_VM_LOCKED_MASK;
	q->vm |= PF_VM_SPECIAL | PF_VM_DONTDUMP;
	return 0;
}

/* May the file be mapped so? q->vm loses what it may never be given. */
static int check_file(struct request *q, uint64_t pages, unsigned shift)
{
	const uint64_t max = (uint64_t)INT64_MAX >> shift;
	const unsigned type = q->flags & PF_MAP_TYPE;

	if (pages > max || q->pgoff > max - pages)
		return -PF_EOVERFLOW;
	switch (type) {
	case PF_MAP_SHARED_VALIDATE:
		if (q->flags & ~LEGACY_MAP_MASK)
			return -PF_EOPNOTSUPP;
		/* fall through */
	case PF_MAP_SHARED:
		if ((q->prot & PF_PROT_WRITE) && !(q->file.mode & PF_FILE_WRITE))
			return -PF_EACCES;
		q->vm |= PF_VM_SHARED | PF_VM_MAYSHARE;
		/* What can never be written to is not shared to us: nobody's store shows but as a file's. */
		if (!(q->file.mode & PF_FILE_WRITE))
			q->vm &= ~(PF_VM_MAYWRITE | PF_VM_SHARED);
		break;
	case PF_MAP_PRIVATE:
		break;
	default:
		return -PF_EINVAL;
	}
	if (!(q->file.mode & PF_FILE_READ))
		return -PF_EACCES;
	if (!q->file.mapping)
		return -PF_ENODEV;
	return q->flags & PF_MAP_GROWSDOWN ? -PF_EINVAL : 0;
}

static uint64_t mapped_pages(
	const struct pf_mm *mm, pf_va_t start, pf_va_t end, uint64_t *accounted)
{
	const struct pf_vma *vma = pf_find_vma(mm, start);
	uint64_t all = 0;

	*accounted = 0;
	for (; vma && vma->area.start < end; vma = pf_vma_tree_next(mm->vmas, vma)) {
		uint64_t n =
			pf_mm_pages(mm, pf_max(vma->area.start, start), pf_min(vma->area.end, end));

		all += n;
		*accounted += vma->area.flags & PF_VM_ACCOUNT ? n : 0;
	}
	return all;
}

/* Shared memory is promised as a whole and once, to its mapping, however much of it is mapped later. */
static struct pf_mapping *new_shared(struct pf_system *sys, uint64_t bytes, uint32_t vm)
{
	const uint32_t flags = vm & PF_VM_NORESERVE ? 0 : PF_VM_ACCOUNT;
	const uint64_t pages = flags ? bytes >> sys->fmt->pt->page_shift : 0;
	struct pf_mapping *mapping;

	if (!pf_commit(sys, flags, pages))
		return NULL;
	mapping = pf_mapping_create(sys, NULL, NULL, bytes);
	if (mapping)
		mapping->committed = pages;
	else
		pf_uncommit(sys, flags, pages);
	return mapping;
}

/* The range is aligned and below task_size; what lies in it goes. */
static int map_range(struct pf_mm *mm, pf_va_t start, pf_va_t end, const struct request *q)
{
	/* Linux maps a file without a name. */
	const bool nameless = !q->has_file && (q->vm & PF_VM_SHARED);
	struct pf_vma_desc d = {
		.start = start,
		.end = end,
		.flags = q->vm,
		.pgoff = q->has_file ? q->pgoff
			 : nameless  ? 0
				     : start >> pf_mm_shift(mm),
		.mapping = q->file.mapping,
	};
	const uint64_t pages = pf_mm_pages(mm, start, end);
	struct pf_vma_reserve r;
	uint64_t accounted, more;
	int err = pf_munmap_check(mm, start, end);

	if (err)
		return err;
	if (!pf_may_expand_vm(mm, q->vm, pages - mapped_pages(mm, start, end, &accounted)))
		return -PF_ENOMEM;
	/* What is replaced had been promised, and stays so. */
	more = pages - accounted;
	if (!pf_commit(mm->sys, q->vm, more))
		return -PF_ENOMEM;
	err = pf_munmap_reserve(mm, &r, start, end, 1);
	if (err) {
		pf_uncommit(mm->sys, q->vm, more);
		return err;
	}
	if (nameless) {
		d.mapping = new_shared(mm->sys, end - start, q->vm);
		if (!d.mapping)
			err = -PF_ENOMEM;
	}
	if (!err)
		err = q->vm & PF_VM_ACCOUNT ? pf_munmap_promised(mm, &r, start, end)
					    : pf_munmap_locked(mm, &r, start, end);
	if (!err)
		pf_vma_add(mm, &r, &d);
	else
		pf_uncommit(mm->sys, q->vm, more);
	pf_vma_unreserve(mm, &r);
	/* The VMA has its own reference. */
	if (nameless && d.mapping)
		pf_mapping_put(d.mapping);
	return err;
}

static int64_t mmap_locked(struct pf_mm *mm, pf_va_t addr, uint64_t len, struct request *q)
{
	const bool fixed = q->flags & (PF_MAP_FIXED | PF_MAP_FIXED_NOREPLACE);
	const uint64_t pages = len >> pf_mm_shift(mm);
	int64_t at;
	int err;

	/* A hint is rounded down to a page, and one too low is moved up. */
	if (!fixed) {
		addr = pf_align_down(addr, pf_mm_page(mm));
		if (addr)
			addr = pf_max(addr, mm->sys->mmap_min_addr);
	}
	if (q->pgoff + pages < q->pgoff)
		return -PF_EOVERFLOW;
	if (mm->map_count > mm->sys->max_map_count)
		return -PF_ENOMEM;
	at = pf_get_unmapped_area(mm, addr, len, fixed);
	if (at < 0)
		return at;
	addr = (pf_va_t)at;
	if ((q->flags & PF_MAP_FIXED_NOREPLACE) && !pf_vma_none(mm, addr, addr + len))
		return -PF_EEXIST;
	q->vm = mmap_flags(mm, q->prot, q->flags);
	if ((q->flags & PF_MAP_LOCKED) && !pf_can_mlock(mm))
		return -PF_EPERM;
	if (!pf_mlock_future_ok(mm, q->vm, len))
		return -PF_EAGAIN;
	err = q->has_file ? check_file(q, pages, pf_mm_shift(mm)) : check_anonymous(q);
	if (!err && q->has_file)
		err = check_device(mm->sys, q);
	/* What may be written without being anybody else's is paid for. */
	if ((q->vm & (PF_VM_WRITE | PF_VM_SHARED | PF_VM_NORESERVE)) == PF_VM_WRITE)
		q->vm |= PF_VM_ACCOUNT;
	if (!err)
		err = map_range(mm, addr, addr + len, q);
	return err ? err : at;
}

static int64_t do_mmap(struct pf_mm *mm, pf_va_t addr, uint64_t len, struct request *q)
{
	bool populate = (q->flags & (PF_MAP_POPULATE | PF_MAP_NONBLOCK)) == PF_MAP_POPULATE;
	int64_t at;

	if (!len)
		return -PF_EINVAL;
	len = pf_mm_align(mm, len);
	if (!len)
		return -PF_ENOMEM;

	pf_mmap_write_lock(mm);
	at = mmap_locked(mm, addr, len, q);
	pf_mmap_write_unlock(mm);
	if (at < 0 || !(populate || (q->vm & PF_VM_LOCKED)))
		return at;
	/* Afterwards, and without failing: what is missing is faulted in when it is touched. */
	pf_mmap_read_lock(mm);
	pf_populate_vmas(mm, (pf_va_t)at, (pf_va_t)at + len, true);
	pf_mmap_read_unlock(mm);
	return at;
}

int64_t pf_mmap(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned prot, unsigned flags)
{
	struct request q = {.prot = prot, .flags = flags};

	/* No descriptor: that is pf_mmap_file's. */
	if (!(flags & PF_MAP_ANONYMOUS))
		return -PF_EBADF;
	return do_mmap(mm, addr, len, &q);
}

int64_t pf_mmap_file(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned prot, unsigned flags,
	const struct pf_file *file, uint64_t offset)
{
	struct request q = {
		.prot = prot,
		.flags = flags,
		.has_file = true,
		.file = *file,
		.pgoff = offset >> pf_mm_shift(mm),
	};

	if (!pf_mm_aligned(mm, offset))
		return -PF_EINVAL;
	/* The descriptor is ignored then. */
	if (flags & PF_MAP_ANONYMOUS)
		return pf_mmap(mm, addr, len, prot, flags);
	return do_mmap(mm, addr, len, &q);
}
