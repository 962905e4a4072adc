/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd: pages put where they were missed. A piece at a time: a folio is made and filled without locks, and
 * mapped under the mmap lock, after the VMA has been looked at again.
 */
#include "mm/uffd_internal.h"

enum what { COPY, ZERO, CONTINUE, POISON };

struct fill {
	struct pf_uffd *uffd;
	enum what what;
	struct pf_mm *from; /* COPY */
	pf_va_t dst, src;
	pf_va_t end;    /* of dst */
	unsigned flags; /* PF_FILL_* */
};

/* The VMA that has all that is left; NULL with *err. mmap lock, any way. */
static struct pf_vma *find_dst(const struct fill *f, int *err)
{
	struct pf_vma *vma = pf_vma_lookup(f->uffd->mm, f->dst);

	*err = -PF_ENOENT;
	if (!vma || f->end > vma->area.end || !vma->uffd)
		return NULL;
	*err = -PF_EINVAL;
	if ((f->flags & PF_FILL_WP) && !(vma->area.flags & PF_VM_UFFD_WP))
		return NULL;
	if (vma->area.backing == PF_BACKED_FILE)
		return NULL;
	if (f->what == CONTINUE && vma->area.backing != PF_BACKED_SHMEM)
		return NULL;
	*err = 0;
	return vma;
}

int pf_uffd_prepare(struct pf_mm *mm, pf_va_t va)
{
	struct pf_vma *vma = pf_vma_lookup(mm, va);

	if (!vma)
		return -PF_ENOENT;
	return vma->area.flags & PF_VM_SHARED ? 0 : pf_anon_prepare(mm, vma);
}

/* What the next piece needs: of an anonymous one the folio's order. */
struct piece {
	bool shared; /* its page is the mapping's */
	bool zero;   /* the page of zeros will do */
	bool folio;  /* a new one is to be made and filled */
	uint32_t orders;
	struct pf_policy policy; /* where that is to be; and the index of its first page */
	uint64_t index;
};

/* And a family for pages of the process's own: first, as Linux, whatever may be in the way. */
static int look(const struct fill *f, struct piece *p)
{
	struct pf_mm *mm = f->uffd->mm;
	struct pf_vma *vma;
	int err;

	pf_mmap_read_lock(mm);
	err = pf_uffd_prepare(mm, f->dst);
	vma = err ? NULL : find_dst(f, &err);
	if (vma) {
		p->shared = vma->area.flags & PF_VM_SHARED;
		p->zero = f->what == ZERO && !p->shared;
		p->folio = !p->zero && (f->what == COPY || f->what == ZERO);
		p->policy = *pf_area_policy(&mm->space, &vma->area);
		p->index = pf_vma_index(vma, f->dst);
		p->orders = p->shared || !p->folio ? 1 : pf_thp_orders(mm->sys, vma->area.flags);
	}
	pf_mmap_read_unlock(mm);
	return err;
}

/* The largest that may be, is wanted as a whole and can be had. */
static struct pf_folio *alloc(const struct fill *f, const struct piece *p)
{
	const struct pf_mm *mm = f->uffd->mm;
	uint32_t orders = p->orders | 1;

	for (;; orders &= ~PF_BIT(pf_log2(orders))) {
		const unsigned order = pf_log2(orders);
		const uint64_t size = pf_mm_page(mm) << order;
		struct pf_folio *folio;

		if (order && (order > mm->space.pt.fmt->level_bits || !pf_aligned(f->dst, size) ||
				     f->end - f->dst < size))
			continue;
		folio = pf_folio_alloc_where(mm->sys->phys, order,
			p->shared ? PF_USE_FILE : PF_USE_ANON,
			pf_policy_where(mm->sys->phys, &p->policy, p->index >> order));
		if (folio || !order)
			return folio;
	}
}

/* Bytes of one page of src's. */
static int copy_part(const struct fill *f, pf_pa_t to, pf_va_t src, uint64_t bytes)
{
	const uint64_t page = pf_mm_page(f->from);
	pf_pfn_t pfn;
	int err = pf_access_page(f->from, src, PF_FOLL_GET, &pfn);

	if (err)
		return err;
	pf_port_copy_pages(to, (pfn << pf_mm_shift(f->from)) + (src & (page - 1)), bytes);
	pf_put_user_pages(f->from->sys, &pfn, 1);
	return 0;
}

/* Each page's come from two. */
static int64_t unaligned_contents(const struct fill *f, pf_pa_t pa, uint64_t nr)
{
	const uint64_t page = pf_mm_page(f->from), first = page - (f->src & (page - 1));

	for (uint64_t i = 0; i < nr; i++, pa += page) {
		const pf_va_t src = f->src + i * page;
		int err = copy_part(f, pa, src, first);

		if (!err)
			err = copy_part(f, pa + first, src + first, page - first);
		if (err)
			return i ? (int64_t)i : err;
	}
	return (int64_t)nr;
}

/*
 * Contents of the folio's pages: how many there are; fewer than all when src ends before, none with an error. What
 * others store to src meanwhile is copied or not, as by any reader.
 */
static int64_t contents(const struct fill *f, struct pf_folio *folio)
{
	const struct pf_mm *mm = f->uffd->mm;
	const unsigned shift = pf_mm_shift(mm);
	const uint64_t nr = pf_folio_nr(folio);
	const pf_pa_t pa = pf_folio_pfn(mm->sys->phys, folio) << shift;
	pf_pfn_t src[16];

	if (f->what == ZERO) {
		pf_port_clear_pages(pa, nr << shift);
		return (int64_t)nr;
	}
	if (!pf_mm_aligned(f->from, f->src))
		return unaligned_contents(f, pa, nr);
	for (uint64_t i = 0; i < nr;) {
		int64_t n = pf_gup(f->from, f->src + (i << shift),
			pf_min(nr - i, sizeof(src) / sizeof(*src)), PF_FOLL_GET, src);

		/* Pages that loads may have, and drivers not. */
		if (n == -PF_EFAULT) {
			n = pf_access_page(f->from, f->src + (i << shift), PF_FOLL_GET, src);
			n = n ? n : 1;
		}
		if (n < 0)
			return i ? (int64_t)i : n;
		for (int64_t k = 0; k < n; k++)
			pf_port_copy_pages(
				pa + ((i + (uint64_t)k) << shift), src[k] << shift, PF_BIT(shift));
		pf_put_user_pages(f->from->sys, src, (uint64_t)n);
		i += (uint64_t)n;
	}
	return (int64_t)nr;
}

/*
 * The page becomes the mapping's before it becomes the process's, and stays that even if somebody has taken the slot
 * between the look and the mapping: as if it had been zapped since. For want of memory it cannot fail in between: the
 * table is there by then, which nobody takes away under the mmap lock, and nobody else maps a new folio.
 */
static int map_shared(const struct fill *f, struct pf_vma *vma, struct pf_folio *folio)
{
	struct pf_mm *mm = vma->mm;
	struct pf_mapping *mapping = vma->mapping;
	const uint64_t index = pf_vma_index(vma, f->dst);
	struct pf_page_info info;
	int err;

	mm->sys->fmt->page_info(&mm->space, f->dst, &info);
	if (!pf_pte_none(info.pte) && pf_pte_kind(info.pte) != PF_PTE_MARKER)
		return -PF_EEXIST;
	err = mm->sys->fmt->alloc_tables(&mm->space, f->dst, 1);
	if (err)
		return err;
	pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	err = index < pf_mapping_end(mapping) ? pf_mapping_add(mapping, index, folio) : -PF_EFAULT;
	if (!err)
		err = mm->sys->fmt->uffd_fill(&mm->space, &vma->area, f->dst,
			pf_folio_pfn(mm->sys->phys, folio), 1, f->flags);
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return err;
}

/* What the mapping has, as much of one folio as is wanted; rights and dirt are as in a fault. */
static int map_cached(const struct fill *f, const struct pf_vma *vma)
{
	struct pf_mm *mm = vma->mm;
	struct pf_mapping *mapping = vma->mapping;
	const uint64_t index = pf_vma_index(vma, f->dst);
	struct pf_folio *folio = NULL;
	int n = -PF_EINVAL;

	pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	if (index < pf_mapping_end(mapping)) {
		n = pf_shmem_find(mapping, vma, index, 1, &folio);
		n = n ? n : -PF_EFAULT;
	}
	if (folio && pf_folio_test_flags(folio, PF_FOLIO_HWPOISON)) {
		pf_folio_put(mm->sys->phys, folio, 1);
		n = -PF_EIO;
	} else if (folio) {
		const uint64_t at = index - folio->head.index;
		uint64_t nr = pf_min(pf_folio_nr(folio) - at, pf_mm_pages(mm, f->dst, f->end));

		nr = pf_min(nr, pf_mapping_end(mapping) - index);
		n = mm->sys->fmt->uffd_fill(&mm->space, &vma->area, f->dst,
			pf_folio_pfn(mm->sys->phys, folio) + at, (unsigned)nr, f->flags);
		pf_folio_put(mm->sys->phys, folio, 1);
	}
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return n;
}

/*
 * A page of the process's own; of a private mapping, too, what lies past the end cannot be. Who moves the end has the pages
 * lock for writing until what is past it is unmapped: it meets what we have put there, or we meet the end.
 */
static int map_private(const struct fill *f, struct pf_vma *vma, const struct piece *p,
	struct pf_folio *folio, unsigned nr)
{
	struct pf_mm *mm = vma->mm;
	struct pf_mapping *mapping = vma->mapping;
	const pf_pfn_t pfn = p->zero ? mm->sys->zero_pfn : pf_folio_pfn(mm->sys->phys, folio);
	int n = pf_anon_prepare(mm, vma);

	if (n)
		return n;
	if (mapping)
		pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	if (mapping && pf_vma_index(vma, f->dst) >= pf_mapping_end(mapping))
		n = -PF_EFAULT;
	else
		n = mm->sys->fmt->uffd_fill(&mm->space, &vma->area, f->dst, pfn, nr,
			f->flags | (p->zero ? PF_FILL_EMPTY : 0));
	if (mapping)
		pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return n;
}

/* As in a private page's place: what lies past the end cannot be lost, either. */
static int poison(const struct fill *f, struct pf_vma *vma)
{
	struct pf_mm *mm = vma->mm;
	struct pf_mapping *mapping = vma->mapping;
	uint64_t nr = pf_mm_pages(mm, f->dst, f->end);
	int n = vma->area.flags & PF_VM_SHARED ? 0 : pf_anon_prepare(mm, vma);

	if (n)
		return n;
	if (mapping) {
		const uint64_t index = pf_vma_index(vma, f->dst);

		pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
		nr = index < pf_mapping_end(mapping) ? pf_min(nr, pf_mapping_end(mapping) - index)
						     : 0;
	}
	n = nr ? mm->sys->fmt->uffd_poison(&mm->space, f->dst, nr) : -PF_EFAULT;
	if (mapping)
		pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return n;
}

/* Pages mapped, from f->dst on; or an error. */
static int map(const struct fill *f, const struct piece *p, struct pf_folio *folio, unsigned nr)
{
	struct pf_mm *mm = f->uffd->mm;
	struct pf_vma *vma;
	int n;

	pf_mmap_read_lock(mm);
	vma = find_dst(f, &n);
	if (!vma || p->shared != !!(vma->area.flags & PF_VM_SHARED)) {
		/* Another mapping than the one that was looked at. */
		n = vma ? -PF_EAGAIN : n;
	} else if (f->what == CONTINUE) {
		n = map_cached(f, vma);
	} else if (f->what == POISON) {
		n = poison(f, vma);
	} else if (p->shared) {
		n = map_shared(f, vma, folio);
	} else {
		n = map_private(f, vma, p, folio, nr);
	}
	pf_mmap_read_unlock(mm);
	return n;
}

/*
 * Linux makes the table before it looks for contents, and pf_uffd_move() tells a hole in a table from one without. Here the
 * table comes with the page, and where there is none, afterwards. err, or -PF_ENOMEM.
 */
static int leave_table(const struct fill *f, int err)
{
	struct pf_mm *mm = f->uffd->mm;
	int gone;

	if (PF_MUTANT("copy-leaves-no-table"))
		return err;
	pf_mmap_read_lock(mm);
	if (find_dst(f, &gone) && mm->sys->fmt->alloc_tables(&mm->space, f->dst, 1))
		err = -PF_ENOMEM;
	pf_mmap_read_unlock(mm);
	return err;
}

/* Pages done, or an error. */
static int64_t fill_piece(const struct fill *f)
{
	struct pf_phys *phys = f->uffd->mm->sys->phys;
	struct pf_folio *folio = NULL;
	struct piece p = {0};
	int64_t nr = 1;
	int n = look(f, &p);

	if (n)
		return n;
	if (p.folio) {
		folio = alloc(f, &p);
		if (!folio)
			return -PF_ENOMEM;
		nr = contents(f, folio);
		if (nr < 0) {
			pf_folio_put(phys, folio, 1);
			return leave_table(f, (int)nr);
		}
	}
	n = map(f, &p, folio, (unsigned)nr);
	/* Its reference is the mapping's in the process by then; a mapping's page has others. */
	if (folio && (n < 0 || p.shared))
		pf_folio_put(phys, folio, 1);
	return n;
}

static int fill(struct fill *f, uint64_t len, bool wake, int64_t *done)
{
	struct pf_uffd *u = f->uffd;
	const pf_va_t start = f->dst;
	int64_t n = 0;

	f->end = start + len;
	while (f->dst < f->end) {
		n = fill_piece(f);
		if (n < 0)
			break;
		f->dst += (pf_va_t)n << pf_mm_shift(u->mm);
		f->src += (pf_va_t)n << pf_mm_shift(u->mm);
	}
	*done = f->dst > start ? (int64_t)(f->dst - start) : n;
	if (*done < 0)
		return (int)*done;
	if (wake)
		u->ops->wake(u, start, (uint64_t)*done);
	return f->dst == f->end ? 0 : -PF_EAGAIN;
}

/* What the calls have in common: Linux looks at the range, then at the mode, then at whose it is. */
static int fill_range(struct fill *f, uint64_t len, unsigned mode, unsigned modes, int64_t *done)
{
	int err = pf_uffd_check_range(f->uffd, f->dst, len);

	*done = 0;
	if (err == -PF_EINVAL || (mode & ~modes))
		return -PF_EINVAL;
	if (err)
		return err;
	f->flags |= mode & PF_UFFDIO_MODE_WP ? PF_FILL_WP : 0;
	return fill(f, len, !(mode & PF_UFFDIO_DONTWAKE), done);
}

int pf_uffd_copy(struct pf_uffd *u, struct pf_mm *from, pf_va_t dst, pf_va_t src, uint64_t len,
	unsigned mode, int64_t *done)
{
	struct fill f = {.uffd = u,
		.what = COPY,
		.from = from,
		.dst = dst,
		.src = src,
		.flags = PF_FILL_DIRTY};

	*done = 0;
	if (src >= from->sys->task_size || len > from->sys->task_size - src)
		return -PF_EINVAL;
	return fill_range(&f, len, mode, PF_UFFDIO_DONTWAKE | PF_UFFDIO_MODE_WP, done);
}

int pf_uffd_zeropage(struct pf_uffd *u, pf_va_t dst, uint64_t len, unsigned mode, int64_t *done)
{
	struct fill f = {.uffd = u, .what = ZERO, .dst = dst};

	return fill_range(&f, len, mode, PF_UFFDIO_DONTWAKE, done);
}

int pf_uffd_continue(struct pf_uffd *u, pf_va_t dst, uint64_t len, unsigned mode, int64_t *done)
{
	struct fill f = {.uffd = u, .what = CONTINUE, .dst = dst};

	return fill_range(&f, len, mode, PF_UFFDIO_DONTWAKE | PF_UFFDIO_MODE_WP, done);
}

int pf_uffd_poison(struct pf_uffd *u, pf_va_t dst, uint64_t len, unsigned mode, int64_t *done)
{
	struct fill f = {.uffd = u, .what = POISON, .dst = dst};

	return fill_range(&f, len, mode, PF_UFFDIO_DONTWAKE, done);
}
