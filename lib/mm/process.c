/* SPDX-License-Identifier: MIT */
/*
 * Calls on other processes: process_madvise, process_vm_readv, process_vm_writev. No two mmap locks are held at a time:
 * pages are pinned on one side, and then reached through the other.
 */
#include "mm/internal.h"

/* Pages of the target that are pinned at a time without an array for them. */
#define PINNED 16u
/* Bytes of the largest such array, in pages: Linux's, so that as many are faulted in before the first is copied. */
#define PINNED_ROOM 2u

/* ---- parts of memory ---- */

struct parts {
	const struct pf_iovec *vec;
	uint64_t at, off; /* the part, and how much of it is done */
	uint64_t left;    /* bytes of all */
};

static bool too_many(const struct pf_iovec *vec, uint64_t nr)
{
	if (nr > PF_UIO_MAXIOV)
		return true;
	for (uint64_t i = 0; i < nr; i++)
		if (vec[i].len > INT64_MAX)
			return true;
	return false;
}

/* The caller's own memory: all parts lie in user space, and what is beyond Linux's MAX_RW_COUNT is cut off. */
static int import(const struct pf_mm *mm, const struct pf_iovec *vec, uint64_t nr, struct parts *p)
{
	const uint64_t task_size = mm->sys->task_size;
	const uint64_t most = pf_align_down(INT32_MAX, pf_mm_page(mm));

	*p = (struct parts){.vec = vec};
	if (too_many(vec, nr))
		return -PF_EINVAL;
	for (uint64_t i = 0; i < nr; i++) {
		if (vec[i].base > task_size || vec[i].len > task_size - vec[i].base)
			return -PF_EFAULT;
		p->left += pf_min(vec[i].len, most - p->left);
	}
	return 0;
}

static uint64_t part_left(const struct parts *p)
{
	return pf_min(p->vec[p->at].len - p->off, p->left);
}

/* n bytes are done, of this part at most. Empty parts behind it are passed over. */
static void advance(struct parts *p, uint64_t n)
{
	p->left -= n;
	p->off += n;
	while (p->left && p->off == p->vec[p->at].len) {
		p->at++;
		p->off = 0;
	}
}

/* ---- process_madvise ---- */

static bool for_others(int advice)
{
	return advice == PF_MADV_COLD || advice == PF_MADV_PAGEOUT || advice == PF_MADV_WILLNEED ||
	       advice == PF_MADV_COLLAPSE;
}

int64_t pf_process_madvise(struct pf_mm *mm, struct pf_mm *target, const struct pf_iovec *vec,
	uint64_t nr, int advice, unsigned flags)
{
	struct pf_advising a;
	struct parts p;
	uint64_t total;
	int err;

	if (flags)
		return -PF_EINVAL;
	err = import(mm, vec, nr, &p);
	if (err)
		return err;
	if (!target)
		return -PF_ESRCH;
	if (target != mm && !for_others(advice))
		return -PF_EINVAL;
	total = p.left;
	pf_advise_begin(&a, target, advice);
	while (p.left && !err) {
		const uint64_t len = part_left(&p);

		err = pf_advise_range(&a, vec[p.at].base, len);
		if (!err)
			advance(&p, len);
	}
	pf_advise_end(&a);
	return p.left < total ? (int64_t)(total - p.left) : err;
}

/* ---- process_vm_readv, process_vm_writev ---- */

struct transfer {
	struct pf_mm *mm, *target;
	struct parts local;
	bool write; /* to the target */
	pf_pfn_t *pages;
	uint64_t most; /* that there is room for */
};

/*
 * A page of the caller's own, as a load or store of its would have it. One that will be written is pinned, so that a
 * fork meanwhile does not share what the child is not to see changed; one that is read needs a reference.
 */
static int local_page(struct transfer *t, pf_va_t va, pf_pfn_t *pfn)
{
	return pf_access_page(t->mm, va, t->write ? PF_FOLL_GET : PF_FOLL_PIN | PF_FOLL_WRITE, pfn);
}

/* Pages that so many bytes, which are some, lie in. */
static uint64_t pages_of(const struct pf_mm *mm, pf_va_t va, uint64_t len)
{
	return (((va & (pf_mm_page(mm) - 1)) + len - 1) >> pf_mm_shift(mm)) + 1;
}

static void copy_bytes(struct transfer *t, pf_pa_t remote, pf_pa_t local, uint64_t n)
{
	const void *from = pf_port_data(t->write ? local : remote, n, false);

	memcpy(pf_port_data(t->write ? remote : local, n, true), from, n);
}

/* Up to n bytes of a page of the target's, pinned. */
static int copy_page(struct transfer *t, pf_pa_t remote, uint64_t n)
{
	const uint64_t page = pf_mm_page(t->mm);

	while (n && t->local.left) {
		const pf_va_t va = t->local.vec[t->local.at].base + t->local.off;
		const uint64_t off = va & (page - 1);
		const uint64_t len = pf_min(pf_min(n, part_left(&t->local)), page - off);
		pf_pfn_t pfn;
		int err = len ? local_page(t, va, &pfn) : 0;

		if (err)
			return err;
		if (len) {
			copy_bytes(t, remote, (pfn << pf_mm_shift(t->mm)) + off, len);
			if (t->write)
				pf_put_user_pages(t->mm->sys, &pfn, 1);
			else
				pf_unpin_user_pages_dirty(t->mm->sys, &pfn, 1);
		}
		advance(&t->local, len);
		remote += len;
		n -= len;
	}
	return 0;
}

static int copy_pinned(struct transfer *t, const pf_pfn_t *pages, uint64_t off, uint64_t n)
{
	const uint64_t page = pf_mm_page(t->mm);
	int err = 0;

	for (; n && t->local.left && !err; pages++) {
		const uint64_t len = pf_min(n, page - off);

		err = copy_page(t, (*pages << pf_mm_shift(t->mm)) + off, len);
		n -= len;
		off = 0;
	}
	return err;
}

/* One part of the target's memory. */
static int copy_part(struct transfer *t, pf_va_t va, uint64_t len)
{
	const uint64_t page = pf_mm_page(t->mm);
	const unsigned foll = PF_FOLL_PIN | (t->write ? PF_FOLL_WRITE : 0);
	pf_pfn_t *const pages = t->pages;
	int err = 0;

	while (len && t->local.left && !err) {
		const uint64_t off = va & (page - 1);
		const uint64_t want = pf_min(pages_of(t->mm, va, len), t->most);
		const int64_t got = pf_gup(t->target, va - off, want, foll, pages);
		uint64_t n;

		if (got <= 0)
			return got == -PF_ENOMEM ? -PF_ENOMEM : -PF_EFAULT;
		n = pf_min(len, (uint64_t)got * page - off);
		err = copy_pinned(t, pages, off, n);
		if (t->write)
			pf_unpin_user_pages_dirty(t->mm->sys, pages, (uint64_t)got);
		else
			pf_unpin_user_pages(t->mm->sys, pages, (uint64_t)got);
		va += n;
		len -= n;
	}
	return err;
}

static int copy_parts(struct transfer *t, const struct pf_iovec *remote, uint64_t nremote)
{
	int err = 0;

	for (uint64_t i = 0; i < nremote && t->local.left && !err; i++)
		err = copy_part(t, remote[i].base, remote[i].len);
	return err;
}

static int64_t copy_memory(struct transfer *t, const struct pf_iovec *local, uint64_t nlocal,
	const struct pf_iovec *remote, uint64_t nremote, uint64_t flags)
{
	const uint64_t room = PINNED_ROOM * pf_mm_page(t->mm);
	pf_pfn_t few[PINNED];
	uint64_t total;
	int err;

	if (flags)
		return -PF_EINVAL;
	err = import(t->mm, local, nlocal, &t->local);
	total = t->local.left;
	if (err || !total)
		return err;
	if (too_many(remote, nremote))
		return -PF_EINVAL;
	for (uint64_t i = 0; i < nremote; i++)
		if (remote[i].len)
			t->most = pf_max(t->most, pages_of(t->mm, remote[i].base, remote[i].len));
	if (!t->most)
		return 0;
	t->pages = few;
	if (t->most > PINNED) {
		t->most = pf_min(t->most, room / sizeof(*t->pages));
		t->pages = pf_port_meta_alloc(t->most * sizeof(*t->pages));
		if (!t->pages)
			return -PF_ENOMEM;
	}
	err = t->target ? copy_parts(t, remote, nremote) : -PF_ESRCH;
	if (t->pages != few)
		pf_port_meta_free(t->pages, t->most * sizeof(*t->pages));
	return t->local.left < total ? (int64_t)(total - t->local.left) : err;
}

int64_t pf_process_vm_readv(struct pf_mm *mm, const struct pf_iovec *local, uint64_t nlocal,
	struct pf_mm *target, const struct pf_iovec *remote, uint64_t nremote, uint64_t flags)
{
	struct transfer t = {.mm = mm, .target = target};

	return copy_memory(&t, local, nlocal, remote, nremote, flags);
}

int64_t pf_process_vm_writev(struct pf_mm *mm, const struct pf_iovec *local, uint64_t nlocal,
	struct pf_mm *target, const struct pf_iovec *remote, uint64_t nremote, uint64_t flags)
{
	struct transfer t = {.mm = mm, .target = target, .write = true};

	return copy_memory(&t, local, nlocal, remote, nremote, flags);
}
