/* SPDX-License-Identifier: MIT */
/*
 * A device that maps what a process maps: an interval notifier, and a classic one beside it that keeps book of starts and
 * ends. It makes translations of snapshots only, after read_retry, and believes all that notifiers promise: each translation it
 * has is one that the process's page tables have, with the same frame, and D and the right to write if they had them when it was made.
 * That is asked before each invalidation, after each end, and between calls.
 */
#ifndef TESTS_MM_MIRROR_H
#define TESTS_MM_MIRROR_H

#include "mm/device.h"
#include "mm/hmm.h"
#include "mm/notify.h"
#include "phys/phys.h"

#define MIRROR_PAGES 512u
#define MIRROR_LOG   64u

struct mirror_page {
	bool valid, write, dirty, young;
	bool alone; /* it has the page to itself */
	pf_pfn_t pfn;
};

struct mirror {
	struct pf_mmu_interval_notifier sub;
	struct pf_mmu_notifier book;
	struct pf_mm *mm;
	struct pf_rwlock lock; /* of its translations */
	pf_va_t base, size;
	unsigned nr;
	struct mirror_page page[MIRROR_PAGES];
	/* What has started and not ended, and what has started since the log was emptied. */
	struct pf_mmu_notifier_range open[MIRROR_LOG], log[MIRROR_LOG];
	unsigned depth, logged, invalidated, releases;
	uint64_t starts, ends;
	bool refuse; /* to sleep */
	int64_t rss; /* pages that there were when it was released */
};

__attribute__((noreturn, format(printf, 2, 3))) static void mirror_fail(
	const struct mirror *m, const char *fmt, ...)
{
	static char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fail_msg("%s; the last to start: event %d, %llx to %llx", text,
		m->logged ? (int)m->log[(m->logged - 1) % MIRROR_LOG].event : -1,
		(unsigned long long)(m->logged ? m->log[(m->logged - 1) % MIRROR_LOG].start : 0),
		(unsigned long long)(m->logged ? m->log[(m->logged - 1) % MIRROR_LOG].end : 0));
	abort();
}

static inline void mirror_lock(struct mirror *m)
{
	pf_port_rw_write_lock(&m->lock, PF_LOCK_VMA);
}

static inline void mirror_unlock(struct mirror *m)
{
	pf_port_rw_write_unlock(&m->lock, PF_LOCK_VMA);
}

/* Locked. Takes table locks: whoever calls a notifier with one held is caught by the machine (L2). */
static inline void mirror_check_locked(const struct mirror *m, const char *when)
{
	for (unsigned i = 0; i < m->nr; i++) {
		const struct mirror_page *p = &m->page[i];
		struct pf_page_info info;

		if (!p->valid && !p->alone)
			continue;
		m->mm->sys->fmt->page_info(&m->mm->space, m->base + i * m->size, &info);
		if (p->alone) {
			if (pf_pte_kind(info.pte) != PF_PTE_DEVICE_EXCLUSIVE ||
				pf_pte_pfn(info.pte) != p->pfn)
				mirror_fail(m, "%s: the device has page %u not alone", when, i);
			continue;
		}
		if (!pf_pte_present(info.pte) || pf_pte_protnone(info.pte))
			mirror_fail(m, "%s: the device has page %u, the process has not", when, i);
		if (pf_pte_pfn(info.pte) != p->pfn)
			mirror_fail(m, "%s: the device has another page %u", when, i);
		if (p->write && !pf_pte_write(info.pte))
			mirror_fail(m, "%s: the device may write to page %u", when, i);
		if (p->dirty && !pf_pte_dirty(info.pte))
			mirror_fail(m, "%s: page %u has lost D", when, i);
	}
}

static inline void mirror_check(struct mirror *m, const char *when)
{
	mirror_lock(m);
	mirror_check_locked(m, when);
	mirror_unlock(m);
}

/* Nothing is being invalidated. */
static inline void mirror_check_idle(struct mirror *m, const char *when)
{
	if (m->depth || m->starts != m->ends)
		mirror_fail(m, "%s: %llu starts, %llu ends", when, (unsigned long long)m->starts,
			(unsigned long long)m->ends);
	mirror_check(m, when);
}

/* Locked. */
static inline void mirror_drop(struct mirror *m, pf_va_t start, pf_va_t end)
{
	for (unsigned i = 0; i < m->nr; i++)
		if (m->base + i * m->size >= start && m->base + i * m->size < end)
			m->page[i].valid = m->page[i].alone = false;
}

static inline bool mirror_invalidate(struct pf_mmu_interval_notifier *sub,
	const struct pf_mmu_notifier_range *range, uint64_t seq)
{
	struct mirror *m = PF_CONTAINER_OF(sub, struct mirror, sub);

	if (m->refuse && !(range->flags & PF_MMU_NOTIFIER_RANGE_BLOCKABLE))
		return false;
	mirror_lock(m);
	mirror_check_locked(m, "invalidate");
	mirror_drop(m, range->start, range->end);
	/* It knows, and what it does has no sequence to fear. */
	if (range->event != PF_MMU_NOTIFY_EXCLUSIVE || range->owner != m) {
		pf_mmu_interval_set_seq(sub, seq);
		m->invalidated++;
	}
	mirror_unlock(m);
	return true;
}

static const struct pf_mmu_interval_notifier_ops mirror_ops = {.invalidate = mirror_invalidate};

static inline int mirror_start(
	struct pf_mmu_notifier *sub, const struct pf_mmu_notifier_range *range)
{
	struct mirror *m = PF_CONTAINER_OF(sub, struct mirror, book);

	if (m->releases)
		mirror_fail(m, "start after release");
	if (range->start >= range->end || (range->start | range->end) & (m->size - 1))
		mirror_fail(m, "a start of no pages");
	m->open[m->depth++] = *range;
	m->log[m->logged++ % MIRROR_LOG] = *range;
	m->starts++;
	return 0;
}

static inline void mirror_end(
	struct pf_mmu_notifier *sub, const struct pf_mmu_notifier_range *range)
{
	struct mirror *m = PF_CONTAINER_OF(sub, struct mirror, book);
	unsigned i = m->depth;

	/* Those of one thread nest; of several, any. */
	while (i-- && (m->open[i].start != range->start || m->open[i].end != range->end ||
			      m->open[i].event != range->event))
		;
	if (i == -1u)
		mirror_fail(m, "an end without its start");
	m->open[i] = m->open[--m->depth];
	m->ends++;
	mirror_check(m, "end");
}

static inline bool mirror_age(struct mirror *m, pf_va_t start, pf_va_t end, bool clear)
{
	bool young = false;

	for (unsigned i = 0; i < m->nr; i++)
		if (m->base + i * m->size >= start && m->base + i * m->size < end) {
			young |= m->page[i].young;
			m->page[i].young &= !clear;
		}
	return young;
}

static inline bool mirror_clear_young(struct pf_mmu_notifier *sub, pf_va_t start, pf_va_t end)
{
	return mirror_age(PF_CONTAINER_OF(sub, struct mirror, book), start, end, true);
}

static inline bool mirror_test_young(struct pf_mmu_notifier *sub, pf_va_t va)
{
	struct mirror *m = PF_CONTAINER_OF(sub, struct mirror, book);

	return mirror_age(m, va, va + m->size, false);
}

static inline void mirror_release(struct pf_mmu_notifier *sub)
{
	struct mirror *m = PF_CONTAINER_OF(sub, struct mirror, book);

	if (m->releases++)
		mirror_fail(m, "released twice");
	mirror_check(m, "release");
	m->rss = pf_space_rss(&m->mm->space);
	mirror_lock(m);
	mirror_drop(m, 0, UINT64_MAX);
	mirror_unlock(m);
}

static const struct pf_mmu_notifier_ops book_ops = {
	.invalidate_range_start = mirror_start,
	.invalidate_range_end = mirror_end,
	.clear_flush_young = mirror_clear_young,
	.clear_young = mirror_clear_young,
	.test_young = mirror_test_young,
	.release = mirror_release,
};

/* 0, or -PF_ENOMEM. */
static inline int mirror_begin(struct mirror *m, struct pf_mm *mm, pf_va_t base, unsigned nr)
{
	int err;

	memset(m, 0, sizeof(*m));
	m->mm = mm;
	m->base = base;
	m->nr = nr;
	m->size = PF_BIT(mm->sys->fmt->pt->page_shift);
	pf_port_rw_init(&m->lock, PF_LOCK_VMA);
	err = pf_mmu_notifier_register(&m->book, mm, &book_ops);
	if (!err)
		err = pf_mmu_interval_notifier_insert(&m->sub, mm, base, nr * m->size, &mirror_ops);
	return err;
}

static inline void mirror_stop(struct mirror *m)
{
	pf_mmu_interval_notifier_remove(&m->sub);
	pf_mmu_notifier_unregister(&m->book);
	if (m->releases != 1)
		mirror_fail(m, "%u releases", m->releases);
}

/* What the snapshot says of pages, unless it is out of date. */
static inline bool mirror_take(struct mirror *m, const struct pf_hmm_range *r)
{
	bool good;

	mirror_lock(m);
	good = !pf_mmu_interval_read_retry(&m->sub, r->notifier_seq);
	for (unsigned k = 0; good && k < (r->end - r->start) / m->size; k++) {
		struct mirror_page *p = &m->page[(r->start - m->base) / m->size + k];
		struct pf_page_info info;

		if (!(r->pfns[k] & PF_HMM_PFN_VALID))
			continue;
		m->mm->sys->fmt->page_info(&m->mm->space, r->start + k * m->size, &info);
		*p = (struct mirror_page){
			.valid = true,
			.write = r->pfns[k] & PF_HMM_PFN_WRITE,
			.dirty = pf_pte_dirty(info.pte) && !pf_pte_special(info.pte),
			.pfn = r->pfns[k] & PF_HMM_PFN_MASK,
		};
	}
	mirror_unlock(m);
	return good;
}

/* Map [first, first + nr) of its pages, as the flags ask for (PF_HMM_PFN_REQ_*). What the snapshot said, in the end. */
static inline int mirror_map(struct mirror *m, unsigned first, unsigned nr, uint64_t want)
{
	static uint64_t pfns[MIRROR_PAGES];
	struct pf_hmm_range r = {
		.notifier = &m->sub,
		.start = m->base + first * m->size,
		.end = m->base + (first + nr) * m->size,
		.pfns = pfns,
		.default_flags = want,
	};
	int err;

	for (unsigned tries = 0; tries < 100; tries++) {
		memset(pfns, 0, sizeof(pfns));
		r.notifier_seq = pf_mmu_interval_read_begin(&m->sub);
		err = pf_hmm_range_fault(m->mm, &r);
		if (err != -PF_EBUSY && (err || mirror_take(m, &r)))
			return err;
	}
	mirror_fail(m, "a snapshot is never good");
}

/* It is to have the page to itself. */
static inline int mirror_alone(struct mirror *m, unsigned i)
{
	const uint64_t seq = pf_mmu_interval_read_begin(&m->sub);
	struct pf_folio *folio;
	pf_pfn_t pfn;
	int err;

	err = pf_make_device_exclusive(m->mm, m->base + i * m->size, m, &folio, &pfn);
	if (err)
		return err;
	mirror_lock(m);
	if (!pf_mmu_interval_read_retry(&m->sub, seq)) {
		m->page[i].alone = true;
		m->page[i].pfn = pfn;
	}
	mirror_unlock(m);
	pf_folio_unlock(folio);
	pf_folio_put(m->mm->sys->phys, folio, 1);
	return 0;
}

static inline unsigned mirror_has(const struct mirror *m, bool write)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->nr; i++)
		n += m->page[i].valid && (m->page[i].write || !write);
	return n;
}

#endif
