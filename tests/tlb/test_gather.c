/* SPDX-License-Identifier: MIT */
/*
 * The gather: unhook, invalidate, free. Pages and tables are queued as loops above would; the record of tests/pt/port
 * then shows for each one given back that, after it was unhooked, its address was invalidated for every CPU, table by
 * walk caches too, and that this was waited for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "phys/phys.h"
#include "pt/pf_pt.h"
#include "tlb/gather.h"
#include "../pt/port/rec_tlbi.h"

#define PT_FORMAT PF_CAT2(pf_pt_format_, PF_FMT)
extern const struct pf_pt_format PT_FORMAT;

#define PAGE     UINT64_C(4096)
#define ASID     0x77
#define MM_ID    5
#define FOLIOS   8000
#define VA_PAGES (UINT64_C(1) << (PT_FORMAT.va_bits - 12))

static uint64_t seed;
static struct pf_phys phys;
static struct pf_table_mem mem;
static struct pf_space space;
static struct pf_gather g;

static uint64_t rnd(void)
{
	uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t rnd_below(uint64_t n)
{
	return rnd() % n;
}

static bool one_in(unsigned n)
{
	return !rnd_below(n);
}

/* ---- what is unhooked, and when ---- */

static struct gone {
	pf_va_t va;
	uint64_t nr; /* pages from va that may be cached */
	pf_pa_t pa;
	size_t bytes;
	size_t when; /* length of the record then */
	bool table;
} gone[FOLIOS];
static unsigned gone_nr;

static void unhooked(pf_va_t va, uint64_t nr, pf_pa_t pa, size_t bytes, bool table)
{
	assert_true(gone_nr < FOLIOS);
	gone[gone_nr++] = (struct gone){va, nr, pa, bytes, recorder.nr, table};
}

/* Between records [from, to): published, all pages of x forgotten on every CPU, waited for. */
static bool was_flushed(const struct gone *x, size_t to)
{
	bool published = false;
	pf_va_t va = x->va;
	uint64_t left = x->nr;

	for (size_t r = x->when; r < to; r++) {
		const struct rec *e = &recorder.rec[r];
		struct tlbi t;

		if (e->kind == REC_BARRIER && e->barrier == PF_BARRIER_PUBLISH)
			published = true;
		if (e->kind == REC_BARRIER && e->barrier == PF_BARRIER_COMPLETE && !left)
			return true;
		if (e->kind != REC_TLBI || !published || !left)
			continue;
		t = tlbi_decode(e);
		if (t.local || (t.asid != ASID && !t.any_asid))
			continue;
		if (x->table && (!t.tables || t.level != -1))
			continue;
		if (t.level > 0)
			continue;
		if (!t.pages)
			left = 0;
		else if (va >= t.va && va - t.va < t.pages << 12) {
			uint64_t n = pf_min(left, t.pages - ((va - t.va) >> 12));

			va += n << 12;
			left -= n;
		}
	}
	return false;
}

/* Every free in the record comes after the flush of what was there. */
static void check_order(void)
{
	for (size_t r = 0; r < recorder.nr; r++) {
		const struct rec *e = &recorder.rec[r];

		if (e->kind != REC_FREE)
			continue;
		for (unsigned i = 0; i < gone_nr; i++) {
			if (gone[i].pa < e->p || gone[i].pa >= e->p + e->val || gone[i].when > r)
				continue;
			if (!was_flushed(&gone[i], r))
				fail_msg("%s at 0x%llx (va 0x%llx, %llu pages) was freed before "
					 "its flush",
					gone[i].table ? "table" : "page",
					(unsigned long long)gone[i].pa,
					(unsigned long long)gone[i].va,
					(unsigned long long)gone[i].nr);
		}
	}
}

static unsigned frees(void)
{
	unsigned n = 0;

	for (size_t r = 0; r < recorder.nr; r++)
		n += recorder.rec[r].kind == REC_FREE;
	return n;
}

static unsigned tlbis(void)
{
	unsigned n = 0;

	for (size_t r = 0; r < recorder.nr; r++)
		n += recorder.rec[r].kind == REC_TLBI;
	return n;
}

/* The record's only operation. */
static struct tlbi the_tlbi(void)
{
	const struct rec *e = NULL;

	assert_int_equal(tlbis(), 1);
	for (size_t r = 0; r < recorder.nr; r++)
		if (recorder.rec[r].kind == REC_TLBI)
			e = &recorder.rec[r];
	return tlbi_decode(e);
}

/* ---- the space ---- */

static void begin(uint32_t features)
{
	recorder.on = false;
	test_port_start(UINT64_C(256) << 20, 12);
	assert_int_equal(
		pf_phys_init(&phys, TEST_PORT_BASE, UINT64_C(256) << 20, 12, PF_MAX_ORDER), 0);
	mem = pf_phys_table_mem(&phys);
	memset(&space, 0, sizeof(space));
	assert_int_equal(
		pf_pt_init(&space.pt, &PT_FORMAT, &mem, features, ASID, 0, PF_FOLD_LINUX), 0);
	space.phys = &phys;
	space.mm_id = MM_ID;
	gone_nr = 0;
	recorder_reset();
	recorder.on = true;
}

/* Everything came back, in order, and nobody waits for a flush. */
static void end(void)
{
	struct pf_phys_stats st;

	check_order();
	recorder.on = false;
	assert_int_equal(space.tlb_flush_pending, 0);
	assert_int_equal(test_port.meta_live, 0);
	assert_int_equal(test_port.locks_held, 0);
	pf_pt_destroy(&space.pt);
	assert_int_equal(space.pt.stats.tables, 0);
	pf_phys_stats(&phys, &st);
	assert_int_equal(st.free, st.pages);
	test_port_stop();
}

/* A folio that this space maps whole. */
static pf_pfn_t mapped_folio(unsigned order)
{
	struct pf_folio *f = pf_folio_alloc(&phys, order, PF_USE_ANON);
	pf_pfn_t pfn;

	assert_non_null(f);
	pfn = pf_folio_pfn(&phys, f);
	pf_folio_add_new_anon_rmap(f, pfn, 1u << order, MM_ID, true);
	return pfn;
}

/* Its entries, from va, were emptied. False: the queue is full, and they are not in it. */
static bool queue(pf_va_t va, pf_pfn_t pfn, uint32_t nr)
{
	unhooked(va, nr, pfn << 12, nr * PAGE, false);
	pf_tlb_remove_tlb_entries(&g, va, nr);
	return pf_tlb_remove_pages(&g, pfn, nr);
}

/* As a loop does it: a longer queue if there is memory, else an empty one; without lock in both cases. */
static void make_room(void)
{
	if (one_in(4) || !pf_tlb_gather_more(&g))
		pf_tlb_flush_mmu(&g);
}

static void queue_or_flush(pf_va_t va, pf_pfn_t pfn, uint32_t nr)
{
	if (queue(va, pfn, nr))
		return;
	make_room();
	assert_true(pf_tlb_remove_pages(&g, pfn, nr));
}

static void queue_table(pf_va_t va)
{
	size_t bytes =
		(size_t)pf_max(UINT64_C(1) << (PT_FORMAT.level_bits + PT_FORMAT.entry_shift), PAGE);
	pf_pa_t pa = mem.alloc(mem.ctx, bytes);

	assert_true(pa);
	space.pt.stats.tables += bytes;
	unhooked(va, 1, pa, bytes, true);
	pf_tlb_remove_table(&g, pf_table_of(pa), va);
}

/* ---- ranges and hints ---- */

static void nothing_gathered(void **state)
{
	(void)state;
	begin(PF_FEAT_TTL);
	pf_tlb_gather_mmu(&g, &space);
	assert_int_equal(space.tlb_flush_pending, 1);
	pf_tlb_flush_mmu_tlbonly(&g);
	pf_tlb_flush_mmu(&g);
	pf_tlb_finish_mmu(&g);
	assert_int_equal(recorder.nr, 0);
	pf_tlb_gather_mmu_fullmm(&g, &space);
	pf_tlb_finish_mmu(&g);
	assert_int_equal(recorder.nr, 0);
	end();
}

/* One operation from the lowest to the highest, in whatever order they come; last level only, and said so. */
static void range_grows(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 300; k++) {
		pf_va_t lo = ~UINT64_C(0), hi = 0,
			at = one_in(4) ? VA_PAGES - 600 : rnd_below(VA_PAGES - 600);
		struct tlbi t;

		seed = 0x7000 + k;
		begin(PF_FEAT_TTL | PF_FEAT_TLB_RANGE);
		pf_tlb_gather_mmu(&g, &space);
		for (unsigned i = 0; i < 1 + k % 7; i++) {
			uint64_t nr = 2 + rnd_below(60), p = at + rnd_below(540);

			if (k % 5 == 0)
				p = VA_PAGES - nr; /* to the last page of all */
			pf_tlb_remove_tlb_entries(&g, p << 12, nr);
			unhooked(p << 12, nr, 0, 0, false);
			lo = pf_min(lo, p);
			hi = pf_max(hi, p + nr);
		}
		pf_tlb_flush_mmu_tlbonly(&g);
		for (unsigned i = 0; i < gone_nr; i++)
			assert_true(was_flushed(&gone[i], recorder.nr));
		for (size_t r = 0; r < recorder.nr; r++) {
			if (recorder.rec[r].kind != REC_TLBI)
				continue;
			t = tlbi_decode(&recorder.rec[r]);
			assert_true(t.va >= lo << 12 && (t.va >> 12) + t.pages <= hi);
			assert_int_equal(t.level, 0);
			assert_false(t.tables);
		}
		/* and the range is empty again */
		recorder_reset();
		gone_nr = 0;
		pf_tlb_finish_mmu(&g);
		assert_int_equal(recorder.nr, 0);
		end();
	}
}

/* Of two VMAs: one range if they touch, else two, the first before the second begins; never what lies between. */
static void vmas_apart(void **state)
{
	static const struct {
		uint64_t a, an, b, bn;
	} t[] = {{10, 4, 14, 2}, {14, 2, 10, 4}, {10, 4, 15, 2}, {15, 2, 10, 4}, {10, 4, 12, 1},
		{1, 1, 5000, 1}, {5000, 1, 1, 1}, {0, 2, 2, 2}, {0, 1, 2, 1}};

	(void)state;
	for (unsigned k = 0; k < PF_ARRAY_SIZE(t); k++) {
		bool touch = t[k].b <= t[k].a + t[k].an && t[k].a <= t[k].b + t[k].bn;
		uint64_t pages = 0;

		begin(PF_FEAT_TLB_RANGE);
		pf_tlb_gather_mmu(&g, &space);
		pf_tlb_start_vma(&g);
		unhooked(t[k].a << 12, t[k].an, 0, 0, false);
		pf_tlb_remove_tlb_entries(&g, t[k].a << 12, t[k].an);
		assert_int_equal(tlbis(), 0);
		pf_tlb_start_vma(&g);
		unhooked(t[k].b << 12, t[k].bn, 0, 0, false);
		pf_tlb_remove_tlb_entries(&g, t[k].b << 12, t[k].bn);
		assert_int_equal(tlbis() > 0, !touch);
		pf_tlb_finish_mmu(&g);
		assert_true(
			was_flushed(&gone[0], recorder.nr) && was_flushed(&gone[1], recorder.nr));
		for (size_t r = 0; r < recorder.nr; r++)
			if (recorder.rec[r].kind == REC_TLBI)
				pages += tlbi_decode(&recorder.rec[r]).pages;
		assert_true(pages <= t[k].an + t[k].bn);
		end();
	}
}

/* A table among the entries: walk caches too, and no promise of a level, for the whole range. */
static void tables_take_the_hint_away(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 2; order++) {
		begin(PF_FEAT_TTL | PF_FEAT_TLB_RANGE);
		pf_tlb_gather_mmu(&g, &space);
		if (order)
			queue_table(0x400000);
		queue_or_flush(0x200000, mapped_folio(4), 16);
		if (!order)
			queue_table(0x400000);
		pf_tlb_flush_mmu(&g);
		for (size_t r = 0; r < recorder.nr; r++)
			if (recorder.rec[r].kind == REC_TLBI) {
				assert_int_equal(tlbi_decode(&recorder.rec[r]).level, -1);
				assert_true(tlbi_decode(&recorder.rec[r]).tables);
			}
		assert_int_equal(frees(), 2);
		check_order();
		/* the next flush of this gather may promise again */
		recorder_reset();
		gone_nr = 0;
		queue_or_flush(0x200000, mapped_folio(0), 1);
		pf_tlb_finish_mmu(&g);
		assert_int_equal(the_tlbi().level, 0);
		assert_false(the_tlbi().tables);
		end();
	}
}

/* A table that was empty all along: nothing else was gathered, walk caches know it nevertheless (t7.9). */
static void empty_table_alone(void **state)
{
	(void)state;
	begin(PF_FEAT_TTL);
	pf_tlb_gather_mmu(&g, &space);
	queue_table((VA_PAGES - 512) << 12);
	pf_tlb_finish_mmu(&g);
	assert_true(the_tlbi().tables);
	assert_int_equal(frees(), 1);
	end();
}

/* ---- how much may be cached ---- */

/* Distinct small folios one page apart, until the queue says it is full. */
static unsigned fill(void)
{
	for (unsigned n = 0;; n++) {
		pf_pfn_t pfn = mapped_folio(0);

		if (!queue(n * 2 * PAGE, pfn, 1)) {
			/* it is not in the queue: its flush and its drop are still ahead */
			pf_tlb_flush_mmu(&g);
			assert_true(pf_tlb_remove_pages(&g, pfn, 1));
			return n;
		}
		assert_int_equal(frees(), 0);
	}
}

/* Every capacity that there is: inline only, and with some batches of metadata, then no more. */
static void full_at_every_capacity(void **state)
{
	(void)state;
	for (unsigned batches = 0; batches <= 6; batches++) {
		unsigned n = 0;

		begin(0);
		pf_tlb_gather_mmu(&g, &space);
		for (;; n++) {
			pf_pfn_t pfn = mapped_folio(0);

			if (queue(n * PAGE, pfn, 1))
				continue;
			test_port.fail_at = 1 + batches - g.batches;
			if (pf_tlb_gather_more(&g)) {
				test_port.fail_at = 0;
				assert_true(pf_tlb_remove_pages(&g, pfn, 1));
				continue;
			}
			assert_int_equal(test_port.fail_at, 0);
			assert_int_equal(n, PF_GATHER_INLINE + batches * PF_GATHER_BATCH);
			assert_int_equal(frees(), 0);
			pf_tlb_flush_mmu(&g);
			assert_int_equal(frees(), n);
			assert_true(pf_tlb_remove_pages(&g, pfn, 1));
			break;
		}
		/* what was there once is there again */
		for (unsigned i = 1; i < PF_GATHER_INLINE + batches * PF_GATHER_BATCH; i++)
			assert_true(pf_tlb_remove_pages(&g, 0, 0));
		assert_false(pf_tlb_remove_pages(&g, 0, 0));
		pf_tlb_finish_mmu(&g);
		assert_int_equal(frees(), n + 1);
		end();
	}
}

/* Bounded, however much memory there is. */
static void bounded(void **state)
{
	unsigned n = 0;

	(void)state;
	begin(0);
	pf_tlb_gather_mmu(&g, &space);
	/* no pages at all, many times: what counts is the queue */
	for (;; n++) {
		assert_true(n <= PF_GATHER_INLINE + PF_GATHER_MAX_BATCHES * PF_GATHER_BATCH);
		if (!pf_tlb_remove_pages(&g, 0, 0)) {
			if (!pf_tlb_gather_more(&g))
				break;
			assert_true(pf_tlb_remove_pages(&g, 0, 0));
		}
	}
	assert_int_equal(n, PF_GATHER_INLINE + PF_GATHER_MAX_BATCHES * PF_GATHER_BATCH);
	pf_tlb_finish_mmu(&g);
	end();
}

/* Without one byte of metadata all is done in portions of what fits inline. */
static void no_metadata(void **state)
{
	(void)state;
	begin(0);
	pf_tlb_gather_mmu(&g, &space);
	assert_int_equal(fill(), PF_GATHER_INLINE);
	pf_tlb_finish_mmu(&g);
	assert_int_equal(frees(), PF_GATHER_INLINE + 1);
	end();
}

/* ---- mixes ---- */

/* Single pages, runs of small folios with consecutive frames, whole and partial large ones; tables; flushes. */
static void one_mix(uint64_t fail_at, bool nested)
{
	struct pf_gather other;
	pf_va_t va = one_in(2) ? 0 : (VA_PAGES - 20000) << 12;
	unsigned steps = 200 + (unsigned)rnd_below(200);

	begin((rnd() & (PF_FEAT_TTL | PF_FEAT_TLB_RANGE)));
	test_port.fail_at = fail_at;
	pf_tlb_gather_mmu(&g, &space);
	if (nested)
		pf_tlb_gather_mmu(&other, &space);
	for (unsigned s = 0; s < steps; s++) {
		unsigned order = (unsigned)rnd_below(5);
		uint32_t nr;
		pf_pfn_t pfn;

		va += rnd_below(3) << 12;
		switch (rnd_below(8)) {
		case 0:
			pf_tlb_start_vma(&g);
			va += rnd_below(40) << 12;
			break;
		case 1:
			if (one_in(4))
				queue_table(va);
			break;
		case 2:
			if (one_in(8))
				pf_tlb_flush_mmu_tlbonly(&g);
			if (one_in(8))
				pf_tlb_flush_mmu(&g);
			break;
		case 3: /* neighbours: frames as the allocator gives them, often consecutive */
			pfn = mapped_folio(0);
			for (nr = 1; nr < 9; nr++) {
				pf_pfn_t next = mapped_folio(0);

				if (next != pfn + nr) {
					queue_or_flush(va + 64 * PAGE, next, 1);
					break;
				}
			}
			if (!queue(va, pfn, nr)) {
				make_room();
				assert_true(pf_tlb_remove_pages(&g, pfn, nr));
			}
			va += nr * PAGE;
			break;
		case 4: /* in two parts */
			pfn = mapped_folio(order);
			nr = 1u << order;
			if (nr > 1) {
				uint32_t k = 1 + (uint32_t)rnd_below(nr - 1);

				queue_or_flush(va, pfn, k);
				if (one_in(3))
					pf_tlb_flush_mmu(&g);
				queue_or_flush(va + k * PAGE, pfn + k, nr - k);
			} else {
				queue_or_flush(va, pfn, 1);
			}
			va += nr * PAGE;
			break;
		default:
			pfn = mapped_folio(order);
			nr = 1u << order;
			if (!queue(va, pfn, nr)) {
				make_room();
				assert_true(pf_tlb_remove_pages(&g, pfn, nr));
			}
			va += nr * PAGE;
		}
	}
	pf_tlb_finish_mmu(&g);
	if (nested)
		pf_tlb_finish_mmu(&other);
	test_port.fail_at = 0;
	end();
}

static void mixes(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 300; k++) {
		seed = 0x8000 + k;
		one_mix(0, k % 3 == 0);
	}
}

/* From the n-th allocation on there is no memory for metadata, for every n that is reached. */
static void metadata_fails(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 6; k++) {
		unsigned asked = 0;

		seed = 0x9000 + k;
		begin(0);
		pf_tlb_gather_mmu(&g, &space);
		for (unsigned i = 0; i < 2000; i++) {
			pf_pfn_t pfn = mapped_folio(0);

			if (queue(i * PAGE, pfn, 1))
				continue;
			test_port.fail_at = asked++ >= k ? 1 : 0;
			if (!pf_tlb_gather_more(&g))
				pf_tlb_flush_mmu(&g);
			test_port.fail_at = 0;
			assert_true(pf_tlb_remove_pages(&g, pfn, 1));
		}
		pf_tlb_finish_mmu(&g);
		assert_int_equal(frees(), 2000);
		end();
	}
}

/* ---- two gathers, whole spaces ---- */

/*
 * A clears an entry, B finds it empty and is done first: B must not return before no TLB holds what A cleared.
 */
static void nested_flushes_everything(void **state)
{
	struct pf_gather a;

	(void)state;
	begin(PF_FEAT_TTL | PF_FEAT_TLB_RANGE);
	pf_tlb_gather_mmu(&a, &space);
	unhooked(0x123000, 1, 0, 0, false);
	pf_tlb_remove_tlb_entries(&a, 0x123000, 1);
	pf_tlb_gather_mmu(&g, &space);
	assert_int_equal(space.tlb_flush_pending, 2);
	pf_tlb_finish_mmu(&g);
	assert_int_equal(space.tlb_flush_pending, 1);
	assert_true(was_flushed(&gone[0], recorder.nr));
	assert_int_equal(the_tlbi().pages, 0);
	assert_true(the_tlbi().tables);
	/* A is alone now: its own range is enough */
	recorder_reset();
	gone[0].when = 0;
	pf_tlb_finish_mmu(&a);
	assert_int_equal(the_tlbi().pages, 1);
	assert_int_equal(space.tlb_flush_pending, 0);
	end();
}

/* No CPU runs in it any more: one operation, and what is unhooked later needs no other. */
static void dead_space(void **state)
{
	(void)state;
	begin(PF_FEAT_TTL | PF_FEAT_TLB_RANGE);
	pf_tlb_gather_mmu_fullmm(&g, &space);
	assert_true(pf_tlb_remove_pages(&g, mapped_folio(4), 16));
	pf_tlb_remove_tlb_entries(&g, 0x1000, 16);
	unhooked(0x1000, 16, 0, 0, false);
	pf_tlb_flush_mmu(&g);
	assert_true(was_flushed(&gone[0], recorder.nr));
	assert_int_equal(the_tlbi().pages, 0);
	assert_int_equal(the_tlbi().asid, ASID);
	gone_nr = 0;
	assert_true(pf_tlb_remove_pages(&g, mapped_folio(0), 1));
	pf_tlb_remove_tlb_entries(&g, (VA_PAGES - 1) << 12, 1);
	queue_table(0x200000);
	gone_nr = 0;
	pf_tlb_finish_mmu(&g);
	assert_int_equal(tlbis(), 1);
	assert_int_equal(pf_space_stats(&space).flush_mm, 1);
	assert_int_equal(frees(), 3);
	end();
}

/* Unless another gather is in progress: then it is not known that nobody runs in it. */
static void dead_and_nested(void **state)
{
	struct pf_gather other;

	(void)state;
	begin(0);
	pf_tlb_gather_mmu_fullmm(&g, &space);
	queue_or_flush(0x1000, mapped_folio(4), 16);
	pf_tlb_flush_mmu(&g);
	queue_or_flush(0x100000, mapped_folio(4), 16);
	pf_tlb_gather_mmu(&other, &space);
	pf_tlb_finish_mmu(&g);
	assert_int_equal(tlbis(), 2);
	pf_tlb_finish_mmu(&other);
	end();
}

static void flush_range(void **state)
{
	(void)state;
	begin(PF_FEAT_TTL | PF_FEAT_TLB_RANGE);
	pf_tlb_flush_range(&space, 0x5000, 4);
	assert_int_equal(the_tlbi().va, 0x5000);
	assert_int_equal(the_tlbi().pages, 4);
	assert_int_equal(the_tlbi().level, 0);
	recorder_reset();
	pf_tlb_flush_range(&space, 0, 0);
	assert_int_equal(the_tlbi().pages, 0);
	assert_int_equal(recorder.rec[recorder.nr - 1].barrier, PF_BARRIER_COMPLETE);
	assert_int_equal(pf_space_stats(&space).flush_mm, 1);
	end();
}

/* ---- lockless walkers ---- */

/* A table is not given back while a walker that may have found it is inside. */
static void tables_wait_for_walkers(void **state)
{
	(void)state;
	begin(0);
	pf_tlb_gather_mmu(&g, &space);
	queue_table(0x200000);
	queue_table(0x400000);
	queue_or_flush(0x1000, mapped_folio(0), 1);
	pf_port_rcu_read_lock();
	pf_tlb_finish_mmu(&g);
	assert_int_equal(frees(), 1); /* the page */
	assert_true(test_port.live[PF_USE_TABLE] > (int64_t)PAGE);
	pf_port_rcu_read_unlock();
	assert_int_equal(frees(), 3);
	end();
}

/* A page keeps its mapping and its reference until the flush: who looks meanwhile finds it mapped. */
static void mapped_until_flushed(void **state)
{
	struct pf_folio *f;
	pf_pfn_t pfn;

	(void)state;
	begin(0);
	pf_tlb_gather_mmu(&g, &space);
	pfn = mapped_folio(2);
	f = pf_page_folio(&phys, pfn);
	pf_folio_get(f, 1);
	assert_true(queue(0x1000, pfn, 3));
	assert_int_equal(pf_folio_mapcount(f), 4);
	pf_tlb_flush_mmu_tlbonly(&g);
	assert_int_equal(pf_folio_mapcount(f), 4);
	pf_tlb_flush_mmu(&g);
	assert_int_equal(pf_folio_mapcount(f), 1);
	assert_true(queue(0x4000, pfn + 3, 1));
	pf_tlb_finish_mmu(&g);
	assert_int_equal(pf_folio_mapcount(f), 0);
	assert_int_equal(pf_folio_ref(f), 1);
	assert_int_equal(frees(), 0);
	pf_folio_put(&phys, f, 1);
	end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_gathered),
		cmocka_unit_test(range_grows),
		cmocka_unit_test(vmas_apart),
		cmocka_unit_test(tables_take_the_hint_away),
		cmocka_unit_test(empty_table_alone),
		cmocka_unit_test(full_at_every_capacity),
		cmocka_unit_test(bounded),
		cmocka_unit_test(no_metadata),
		cmocka_unit_test(mixes),
		cmocka_unit_test(metadata_fails),
		cmocka_unit_test(nested_flushes_everything),
		cmocka_unit_test(dead_space),
		cmocka_unit_test(dead_and_nested),
		cmocka_unit_test(flush_range),
		cmocka_unit_test(tables_wait_for_walkers),
		cmocka_unit_test(mapped_until_flushed),
	};

	return cmocka_run_group_tests_name(PF_STR(PF_FMT) " gather", tests, NULL, NULL);
}
