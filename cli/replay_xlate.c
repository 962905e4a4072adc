// SPDX-License-Identifier: MIT
/*
 * What the TLB model asks of one configuration: translations, by page faults if need be; and what it is told
 * of what the library does to TLBs.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cli/replay.h"
#include "machine/machine.h"
#include "pt/pf_pt.h"

/* How often an access may fault before something is wrong. */
#define TRIES 64

#define NO_REGION    UINT64_MAX
#define REGION_PAGES (UINT64_C(1) << REPLAY_REGION_SHIFT)
#define HUGE_PAGE    ((size_t)2 << 20) /* of the host's, if it has some */

/* In what is known of a page, beside the translation: its backing, and what it was asked for. */
#define BACKING_SHIFT 28
#define MAY_ACCESS    (UINT32_C(1) << 30) /* loads, and stores if the translation does not deny them */
#define MAY_EXEC      (UINT32_C(1) << 31)
PF_STATIC_ASSERT(TLB_X_DENY_WRITE < 1 << BACKING_SHIFT, "they have bits of their own");

/* ---- what is known of the tables ---- */

bool replay_xlate_start(struct replay_world *w)
{
	const size_t bytes = REPLAY_REGIONS * REGION_PAGES * sizeof(uint32_t);
	uint32_t *x = aligned_alloc(HUGE_PAGE, bytes);

	w->region = calloc(REPLAY_REGIONS, sizeof(*w->region));
	if (!x || !w->region) {
		free(x);
		return false;
	}
	/* Programs of little locality would miss the host's TLB at each of the model's misses. */
	madvise(x, bytes, MADV_HUGEPAGE);
	for (unsigned i = 0; i < REPLAY_REGIONS; i++) {
		w->region[i].number = NO_REGION;
		w->region[i].x = x + i * REGION_PAGES;
	}
	return true;
}

void replay_xlate_end(struct replay_world *w)
{
	if (w->region)
		free(w->region[0].x);
	free(w->region);
}

static uint64_t key_of(unsigned asid, uint64_t page)
{
	return (uint64_t)asid << TLB_ASID_SHIFT | page;
}

/* Neighbours never share a place. */
static struct replay_region *region_of(const struct replay_world *w, uint64_t key)
{
	uint64_t r = key >> REPLAY_REGION_SHIFT;

	return &w->region[(r ^ r >> 12 ^ r >> 24 ^ r >> 36) & (REPLAY_REGIONS - 1)];
}

void replay_xlate_soon(const struct replay_world *w, uint64_t page, unsigned asid)
{
	uint64_t key = key_of(asid, page);

	__builtin_prefetch(&region_of(w, key)->x[key % REGION_PAGES]);
}

/* Tables of [page, page + nr) have changed. */
static void forget(struct replay_world *w, unsigned asid, uint64_t page, uint64_t nr)
{
	uint64_t first = key_of(asid, page) >> REPLAY_REGION_SHIFT;
	uint64_t last = key_of(asid, page + nr - 1) >> REPLAY_REGION_SHIFT;

	if (last - first >= REPLAY_REGIONS) {
		for (unsigned i = 0; i < REPLAY_REGIONS; i++)
			w->region[i].number = NO_REGION;
		return;
	}
	for (uint64_t n = first; n <= last; n++) {
		struct replay_region *r = region_of(w, n << REPLAY_REGION_SHIFT);

		if (r->number == n)
			r->number = NO_REGION;
	}
}

static void remember(struct replay_world *w, uint64_t key, uint32_t known)
{
	struct replay_region *r = region_of(w, key);
	uint32_t *x = &r->x[key % REGION_PAGES];

	if (r->number != key >> REPLAY_REGION_SHIFT) {
		r->number = key >> REPLAY_REGION_SHIFT;
		memset(r->x, 0, REGION_PAGES * sizeof(*r->x));
	}
	/* What it may be used for adds up, as long as it is the same. */
	if (((*x ^ known) & ~(MAY_ACCESS | MAY_EXEC)) == 0)
		known |= *x;
	*x = known;
}

/* ---- what the library does to tables and TLBs ---- */

void replay_tlbi(void *ctx, const struct machine_tlbi *op)
{
	struct replay_world *w = ctx;

	if (op->all)
		tlbmodel_drop_all(w->tlb);
	else if (op->whole)
		tlbmodel_drop_asid(w->tlb, op->asid);
	else
		tlbmodel_drop(w->tlb, op->asid, op->va >> 12, op->pages, !op->leaf_only);
}

void replay_changed(
	struct replay_world *w, const struct replay_process *p, uint64_t page, uint64_t nr)
{
	forget(w, p->asid, page, nr);
}

void replay_changed_all(struct replay_world *w, const struct replay_process *p)
{
	forget(w, p->asid, 0, TLB_PAGE_MASK + 1);
}

/* ---- faults ---- */

static struct machine_fault machine_access(uint64_t va, enum tlb_access access)
{
	uint64_t value;

	if (access == TLB_WRITE)
		return machine_store(va, 0);
	return access == TLB_EXEC ? machine_exec(va) : machine_load(va, &value);
}

/* One fault. False: the access cannot be done. */
static bool fault(struct replay_world *w, struct replay_process *p, uint64_t page,
	enum tlb_access access, enum replay_backing backing)
{
	const struct pf_pt_format *pt = w->cfg->fmt->pt;
	uint64_t table = UINT64_C(1) << (w->walk_shift + pt->level_bits);

	w->result->faults++;
	w->result->file_faults += backing != REPLAY_ANON;
	switch (pf_handle_mm_fault(&p->mm, page << 12,
		access == TLB_WRITE  ? PF_FAULT_FLAG_WRITE
		: access == TLB_EXEC ? PF_FAULT_FLAG_EXEC
				     : 0)) {
	case PF_FAULT_DONE:
	case PF_FAULT_SWAP:
		break;
	case PF_FAULT_OOM:
		w->result->out_of_memory++;
		return replay_fail(w, "%llu bytes of physical memory are not enough (memory=SIZE)",
			(unsigned long long)w->cfg->memory);
	case PF_FAULT_MISSING:
	case PF_FAULT_HINT:
	case PF_FAULT_DEVICE:
	case PF_FAULT_UFFD_MISSING:
	case PF_FAULT_UFFD_MINOR:
	case PF_FAULT_UFFD_WP:
	case PF_FAULT_UFFD: /* a recording has no userfaultfd */
	case PF_FAULT_SIGSEGV:
	case PF_FAULT_SIGBUS:
	case PF_FAULT_HWPOISON:
		w->result->signals++;
		return false;
	}
	/* A folio came, a page was replaced, a block or a leaf was taken apart: a table's worth at most. */
	replay_changed(w, p, page & ~(table - 1), table);
	return true;
}

/*
 * log2 of the bytes of the largest aligned block around the page, up to 2^most leaves, that is mapped by
 * consecutive, aligned frames with equal rights.
 */
static unsigned contiguous(struct replay_process *p, uint64_t va, unsigned leaf, unsigned most)
{
	for (unsigned s = most; s; s--) {
		uint64_t start = va & ~((UINT64_C(1) << (leaf + s)) - 1);
		struct pf_run run;

		if (pf_pt_query(&p->mm.space.pt, start, UINT64_C(1) << s, &run) == 1 &&
			run.nr >= UINT64_C(1) << s &&
			pf_aligned(pf_pte_pfn(run.first), UINT64_C(1) << s))
			return leaf + s;
	}
	return leaf;
}

/* The largest size of one table entry that is not larger than what a TLB may hold for it. */
static unsigned leaf_of(const struct pf_pt_format *pt, unsigned size)
{
	unsigned leaf = pt->page_shift;

	while (leaf + pt->level_bits <= size)
		leaf += pt->level_bits;
	return leaf;
}

static enum replay_backing backing_of(const struct replay_process *p, uint64_t page)
{
	const struct replay_segment *s = replay_layout_find(&p->placed, page);

	return s && s->start <= page ? s->backing : REPLAY_ANON;
}

static __attribute__((noinline)) tlb_xlate_t translate_slow(
	struct replay_world *w, uint64_t page, unsigned asid, enum tlb_access access)
{
	const struct pf_pt_format *pt = w->cfg->fmt->pt;
	struct replay_process *p = w->by_asid[asid];
	enum replay_backing backing = backing_of(p, page);
	unsigned leaf, size;
	struct pf_run run;
	tlb_xlate_t x;

	replay_load(w, p);
	for (unsigned tries = 0; machine_access(page << 12, access).fault; tries++) {
		if (tries == TRIES) {
			replay_fail(w, "an access to 0x%llx faults for ever",
				(unsigned long long)page << 12);
			return (tlb_xlate_t){0};
		}
		if (!fault(w, p, page, access, backing))
			return (tlb_xlate_t){0};
	}
	if (pf_pt_query(&p->mm.space.pt, page << 12 & ~(PF_BIT(pt->page_shift) - 1), 1, &run) !=
		1) {
		replay_fail(
			w, "0x%llx was accessed and is not mapped", (unsigned long long)page << 12);
		return (tlb_xlate_t){0};
	}
	size = pf_log2(run.leaf_size);
	leaf = leaf_of(pt, size);
	w->result->file_walks += backing != REPLAY_ANON;
	x = tlb_xlate(leaf, size,
		w->cfg->tlb.l1d.coalesce ? contiguous(p, page << 12, leaf, w->cfg->tlb.l1d.coalesce)
					 : leaf,
		pf_pte_write(run.first) && pf_pte_dirty(run.first));
	/* What may be executed need not be readable, nor the other way round. */
	remember(w, key_of(asid, page),
		x.v | (uint32_t)backing << BACKING_SHIFT |
			(access == TLB_EXEC ? MAY_EXEC : MAY_ACCESS));
	return x;
}

tlb_xlate_t replay_translate(void *ctx, uint64_t page, unsigned asid, enum tlb_access access)
{
	struct replay_world *w = ctx;
	uint64_t key = key_of(asid, page);
	const struct replay_region *r = region_of(w, key);
	uint32_t x = r->x[key % REGION_PAGES];

	if (r->number != key >> REPLAY_REGION_SHIFT ||
		!(x & (access == TLB_EXEC ? MAY_EXEC : MAY_ACCESS)) ||
		(access == TLB_WRITE && (x & TLB_X_DENY_WRITE)))
		return translate_slow(w, page, asid, access);
	w->result->file_walks += (x >> BACKING_SHIFT & 3) != REPLAY_ANON;
	return (tlb_xlate_t){x & ((UINT32_C(1) << BACKING_SHIFT) - 1)};
}
