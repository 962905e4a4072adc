/* SPDX-License-Identifier: MIT */
/*
 * lib/pt on the software machine, whose judge knows the architecture's rules and nothing of lib/: random verbs on a
 * leaf table with the flushes that callers owe, and random pf_pt_* calls, while CPUs load and store through them. A
 * store that was translated before a verb completes after it. Any broken rule stops the test with its history.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "machine/machine.h"
#include "pt/lazy.h"
#include "pt/pf_pt.h"
#include "pt/pt.h"

#define N    PF_CONT_NR(0)
#define E    PF_TABLE_ENTRIES
#define ASID 9

#define MEMORY (UINT64_C(192) << 20)
#define DATA   (MACHINE_RAM_BASE + (UINT64_C(64) << 20)) /* tables below, pages from here on */

static uint64_t seed;
static struct pf_pt pt;
static pf_pa_t table_next, table_free_list[4096];
static unsigned table_free_nr;
static uint64_t checked; /* accesses whose outcome was compared */

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

static pf_pa_t table_alloc(void *ctx, size_t bytes)
{
	pf_pa_t pa = 0;

	(void)ctx;
	if (table_free_nr) {
		pa = table_free_list[--table_free_nr];
	} else {
		pa = pf_align_up(table_next, bytes);
		table_next = pa + bytes;
	}
	assert_true(table_next <= DATA);
	pf_port_note_alloc(PF_USE_TABLE, pa, bytes);
	memset(pf_port_memmap(pa), 0, 24);
	return pa;
}

static void table_free(void *ctx, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	pf_port_note_free(PF_USE_TABLE, pa, bytes);
	assert_true(table_free_nr < PF_ARRAY_SIZE(table_free_list));
	table_free_list[table_free_nr++] = pa;
}

static void *meta_alloc(size_t bytes)
{
	return pf_port_meta_alloc(bytes);
}

static void meta_free(void *p, size_t bytes)
{
	pf_port_meta_free(p, bytes);
}

static const struct pf_table_mem table_mem = {table_alloc, table_free, NULL, meta_alloc, meta_free};

static void judge(const char *what)
{
	if (machine_violation())
		fail_msg("%s: %s, features 0x%x, after %s: rule %s: %s", PF_FMT_NAME, __FILE__,
			pt.features, what, machine_violation(), machine_violation_text());
}

static const uint32_t bbm[] = {0, PF_FEAT_BBM1, PF_FEAT_BBM1 | PF_FEAT_BBM2,
	PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT};
static const uint32_t ad[] = {0, PF_FEAT_HAF, PF_FEAT_HAF | PF_FEAT_HD};

static uint32_t features_of(unsigned i)
{
	uint32_t f = bbm[i % 4] | (ad[i / 4 % 3] & PF_HW_AD_FEATURES);

	/* arm64's own */
	if (PF_FMT_NAME[0] == 'a')
		f |= rnd() & (PF_FEAT_TTL | PF_FEAT_TLB_RANGE);
	return f;
}

static bool late_walks;

static void start(uint32_t features, unsigned flags)
{
	struct machine_config cfg = {.format = PF_FMT_NAME,
		.memory = MEMORY,
		.cpus = 2,
		.features = features,
		.late_walks = late_walks,
		.seed = seed};

	if (machine_start(&cfg))
		fail_msg("%s", machine_error());
	/* a deliberate bug, to see that it is found */
	if (getenv("PF_MUTANT"))
		machine_set_mutant(getenv("PF_MUTANT"));
	table_next = MACHINE_RAM_BASE;
	table_free_nr = 0;
	assert_int_equal(pf_pt_init(&pt, &pf_pt_format_this, &table_mem, features, ASID, flags,
				 one_in(3) ? PF_FOLD_LINUX : PF_FOLD_WATCH),
		0);
	machine_set_cpu(0);
	machine_set_root(0, pt.root, ASID);
	machine_set_root(1, pt.root, ASID);
}

static void stop(pf_pa_t data, size_t bytes)
{
	machine_check_quiescent(ASID);
	judge("the last call");
	machine_set_root(0, 0, 0);
	machine_set_root(1, 0, 0);
	pf_pt_destroy(&pt);
	machine_retire_asid(ASID);
	for (size_t off = 0; off < MEMORY - (UINT64_C(64) << 20); off += bytes)
		pf_port_note_free(PF_USE_ANON, data + off, bytes);
	assert_int_equal(machine_check_end(), 0);
	judge("the end");
	machine_stop();
}

/* ---- accesses ---- */

/* What the last store to a frame left there. */
static uint64_t stamp[(MEMORY - (UINT64_C(64) << 20)) >> 12], last_stamp;

static uint64_t *stamp_of(pf_pa_t pa)
{
	return &stamp[(pa - DATA) >> 12];
}

/*
 * One access at a page whose entry reads e. What e allows is done, at once or after what was stored has been
 * published; what it does not allow faults, for no flush is owed; but aging owes none, so a page may be read without A.
 */
static void access_page(pf_va_t va, pf_pte_t e, bool write)
{
	bool allowed = pf_pte_present(e) && e.v & (write ? PF_PTE_W : PF_PTE_R) &&
		       (!write || pt.features & PF_FEAT_HD || pf_pte_dirty(e));
	bool ok = allowed && (pt.features & PF_FEAT_HAF || pf_pte_young(e));
	struct machine_fault f;
	uint64_t got = 0;
	unsigned cpu = machine_cpu();

	machine_run_on((unsigned)rnd_below(2));
	for (unsigned tries = 0;; tries++) {
		f = write ? machine_store(va, last_stamp + 1) : machine_load(va, &got);
		if (!f.fault || !ok || tries == 2)
			break;
		machine_run_on(cpu);
		if (!tries)
			pf_port_barrier(PF_BARRIER_PUBLISH);
		else /* less than the entry grants may be cached: a spurious fault, and what its handler does */
			pf_flush_tlb_range(&pt, va, 1);
		machine_run_on((unsigned)rnd_below(2));
	}
	machine_run_on(cpu);
	judge("an access");
	if (f.fault ? ok : !allowed)
		fail_msg("%s: a %s at 0x%llx %s, its entry is 0x%llx, features 0x%x", PF_FMT_NAME,
			write ? "store" : "load", (unsigned long long)va,
			f.fault ? "faults" : "is done", (unsigned long long)e.v, pt.features);
	checked++;
	if (f.fault)
		return;
	assert_int_equal(f.pa >> 12, pf_pte_pfn(e));
	if (write)
		*stamp_of(f.pa) = ++last_stamp;
	else
		assert_int_equal(got, *stamp_of(f.pa));
}

/* ---- verbs ---- */

#define FOLIO_PAGES (4 * N)
#define FOLIO_BYTES ((size_t)FOLIO_PAGES << 12)

static struct pf_extent extent_of(pf_pfn_t pfn)
{
	return (struct pf_extent){pfn / FOLIO_PAGES * FOLIO_PAGES, FOLIO_PAGES};
}

static uint64_t rights(void)
{
	static const uint64_t p[] = {
		PF_PTE_R, PF_PTE_R | PF_PTE_W, PF_PTE_R | PF_PTE_W, PF_PTE_R | PF_PTE_X, 0};

	return p[rnd_below(PF_ARRAY_SIZE(p))];
}

/* A page that is mapped writable and may be dirty at once counts as stored to: software says so. */
static uint64_t software_ad(pf_va_t va, unsigned nr, uint64_t prot)
{
	if (pt.features & PF_FEAT_HAF && one_in(2))
		return 0;
	if (!(prot & PF_PTE_W) || one_in(4))
		return PF_PTE_A;
	for (unsigned i = 0; i < nr; i++)
		machine_note_store(va + ((pf_va_t)i << 12));
	return PF_PTE_A | PF_PTE_D;
}

/* One verb on a run from idx; what its caller must flush is flushed before the lock is dropped, or just after. */
static void one_verb(pf_va_t va)
{
	struct pf_pte_map m;
	pf_pte_t first, e;
	unsigned idx = (unsigned)rnd_below(16 * N), n, max = 16 * N - idx, left;
	unsigned flush_idx = idx, flush_nr = 0;
	bool in_flight = false, after;
	pf_va_t store_va = va + (rnd_below(16 * N) << 12);
	const char *what = "?";

	/* Another CPU is in the middle of a store, which may end while we work or when we are done. */
	if (one_in(2)) {
		machine_run_on(1);
		in_flight = !machine_store_begin(store_va, ++last_stamp).fault;
		machine_run_on(0);
	}
	assert_true(pf_pte_offset_map_lock(&pt, va, &m));
	n = pf_pte_batch(&m, idx, max, PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY, &first);
	if (pf_pte_present(first)) {
		left = FOLIO_PAGES - (unsigned)(pf_pte_pfn(first) % FOLIO_PAGES);
		n = (unsigned)pf_min(n, left);
	}
	if (one_in(2))
		n = 1 + (unsigned)rnd_below(n);
	if (pf_pte_none(first)) {
		uint64_t prot = rights();
		/* congruent to the slot, most times, and in the folio that goes with it */
		pf_pfn_t pfn = (DATA >> 12) + rnd_below(64) * FOLIO_PAGES + idx % FOLIO_PAGES;

		if (one_in(4))
			pfn = (DATA >> 12) + rnd_below(64) * FOLIO_PAGES + rnd_below(FOLIO_PAGES);
		/* sometimes on into the next folio, which the extent does not hold */
		if (!one_in(4))
			n = (unsigned)pf_min(n, FOLIO_PAGES - pfn % FOLIO_PAGES);
		e = pf_pte_mk(pfn, prot | software_ad(pf_pte_va(&m, idx), n, prot));
		what = "set_ptes";
		if (one_in(3))
			for (unsigned i = 0; i < n; i++)
				pf_set_pte_at(&m, idx + i, pf_pte_advance(e, i), extent_of(pfn));
		else
			pf_set_ptes(&m, idx, e, n, extent_of(pfn));
	} else {
		switch (rnd_below(10)) {
		case 0:
			what = "clear_ptes";
			pf_clear_ptes(&m, idx, n);
			flush_nr = n;
			break;
		case 1:
			what = "get_and_clear_ptes";
			pf_get_and_clear_ptes(&m, idx, n);
			flush_nr = n;
			break;
		case 2:
			what = "ptep_clear_flush";
			pf_ptep_clear_flush(&m, idx);
			break;
		case 3:
			what = "wrprotect_ptes";
			pf_wrprotect_ptes(&m, idx, n, extent_of(pf_pte_pfn(first)));
			flush_nr = n;
			break;
		case 4:
			what = "test_and_clear_young_ptes";
			pf_test_and_clear_young_ptes(&m, idx, n);
			break;
		case 5:
			what = "clear_flush_young_ptes";
			pf_clear_flush_young_ptes(&m, idx, n);
			break;
		case 6:
			what = "ptep_set_access_flags";
			e = pf_ptep_get(&m, idx);
			if (pf_pte_protnone(e))
				break;
			if (e.v & PF_PTE_R && one_in(2))
				e.v |= PF_PTE_W;
			pf_ptep_set_access_flags(&m, idx,
				pf_pte_set(e,
					PF_PTE_A |
						(pf_pte_write(e) ? software_ad(pf_pte_va(&m, idx),
									   1, PF_PTE_W)
								 : 0)),
				one_in(2), extent_of(pf_pte_pfn(first)));
			break;
		case 7:
			what = "modify_ptes";
			if (pf_modify_ptes(&m, idx, n, rights() | (one_in(16) ? PF_BIT(15) : 0), 0,
				    0, extent_of(pf_pte_pfn(first))))
				flush_nr = n;
			break;
		case 8:
			/* Whole blocks, so that what is flushed is all whose D is gone. */
			if (idx % N || n < N)
				break;
			what = "clear_young_dirty_ptes";
			n = n / N * N;
			pf_clear_young_dirty_ptes(&m, idx, n, 1 + (unsigned)rnd_below(3));
			flush_nr = n;
			break;
		default: {
			/* to where the table is empty, aligned alike or not */
			unsigned to = (unsigned)rnd_below(16 * N), empty;
			pf_pte_t there;

			what = "move_ptes";
			if (one_in(2))
				to = to / N * N + idx % N;
			if (to >= 16 * N)
				break;
			empty = pf_pte_batch(&m, to, 16 * N - to, 0, &there);
			if (!pf_pte_none(there))
				break;
			n = (unsigned)pf_min(n, empty);
			/* The stores that the pages saw came by other addresses of the same folio. */
			if (one_in(2)) {
				pf_move_ptes(&m, idx, &m, to, n, extent_of(pf_pte_pfn(first)));
			} else {
				bool flush = false;

				n = pf_move_run(&m, idx, &m, to, n, &flush);
			}
			flush_nr = n;
		}
		}
	}
	judge(what);
	after = one_in(2) && strcmp(what, "move_ptes");
	if (flush_nr && !after)
		pf_flush_tlb_range(&pt, pf_pte_va(&m, flush_idx), flush_nr);
	pf_pte_unmap_unlock(&m);
	if (flush_nr && after)
		pf_flush_tlb_range(&pt, va + ((pf_va_t)flush_idx << 12), flush_nr);
	judge(what);
	if (in_flight) {
		struct machine_fault f;

		machine_run_on(1);
		f = machine_store_end();
		machine_run_on(0);
		judge("the end of a store");
		if (!f.fault)
			*stamp_of(f.pa) = last_stamp;
	}
	machine_check_quiescent(ASID);
	judge(what);
	for (unsigned k = 0; k < 4; k++) {
		unsigned i = k < 2 ? idx : (unsigned)rnd_below(16 * N);

		assert_true(pf_pte_offset_map_lock(&pt, va, &m));
		e = pf_ptep_get(&m, i);
		pf_pte_unmap_unlock(&m);
		access_page(va + ((pf_va_t)i << 12), e, one_in(2));
	}
}

static void alloc_data(size_t bytes)
{
	memset(stamp, 0, sizeof(stamp));
	last_stamp = 0;
	for (size_t off = 0; off < MEMORY - (UINT64_C(64) << 20); off += bytes)
		pf_port_note_alloc(PF_USE_ANON, DATA + off, bytes);
	pf_port_clear_pages(DATA, MEMORY - (UINT64_C(64) << 20));
}

static void verbs(void **state)
{
	(void)state;
	checked = 0;
	for (unsigned i = 0; i < 12; i++) {
		pf_va_t va = i & 1 ? (UINT64_C(1) << PF_VA_BITS) - PF_LEVEL_SIZE(1) : 0;

		seed = 0xa000 + i;
		start(features_of(i), 0);
		alloc_data(FOLIO_BYTES);
		assert_int_equal(pf_pte_alloc(&pt, va), 0);
		for (unsigned k = 0; k < 1500; k++)
			one_verb(va);
		assert_int_equal(pf_pt_unmap(&pt, va, E), 0);
		stop(DATA, FOLIO_BYTES);
	}
	assert_true(checked > 10000);
}

/* ---- tables ---- */

#define LEAF  (PF_LEVEL_SIZE(1) >> 12)
#define CHUNK (UINT64_C(128) << 20)
#define SPACE (3 * LEAF)

static void tables_call(pf_va_t base, bool nofault)
{
	uint64_t p = rnd_below(SPACE), nr = 1 + rnd_below(one_in(3) ? LEAF : 3 * N);
	const uint64_t frames = (MEMORY - (UINT64_C(64) << 20)) >> 12;
	uint64_t prot = rights();
	const char *what = "?";
	pf_va_t va;

	if (one_in(3))
		p = p / LEAF * LEAF;
	else if (one_in(2))
		p = p / N * N;
	nr = pf_min(one_in(4) ? LEAF : nr, SPACE - p);
	va = base + (p << 12);
	switch (rnd_below(5)) {
	case 0:
	case 1: {
		pf_pfn_t pfn = (DATA >> 12) + rnd_below(frames / LEAF) * LEAF + p % LEAF;

		what = "pf_pt_map";
		if (one_in(4))
			pfn += one_in(2) ? 1 : N;
		if (pfn + nr > (DATA >> 12) + frames)
			return;
		if (nofault && prot & PF_PTE_W)
			for (uint64_t i = 0; i < nr; i++)
				machine_note_store(va + (i << 12));
		pf_pt_map(&pt, va, nr, pfn, prot | software_ad(va, (unsigned)nr, prot));
		break;
	}
	case 2:
		what = "pf_pt_unmap";
		pf_pt_unmap(&pt, va, nr);
		break;
	case 3:
		what = "pf_pt_protect";
		if (nofault && prot & PF_PTE_W)
			for (uint64_t i = 0; i < nr; i++)
				machine_note_store(va + (i << 12));
		pf_pt_protect(&pt, va, nr, prot | (one_in(16) ? PF_BIT(15) : 0));
		break;
	default:
		what = "pf_pt_age";
		pf_pt_age(&pt, va, nr);
		break;
	}
	judge(what);
	machine_check_quiescent(ASID);
	judge(what);
	for (unsigned k = 0; k < 4; k++) {
		struct pf_run run;
		uint64_t q = k < 2 ? p + rnd_below(nr) : rnd_below(SPACE);

		pf_pt_query(&pt, base + (q << 12), 1, &run);
		access_page(base + (q << 12), run.first, one_in(2));
	}
}

static void tables_under(unsigned flags)
{
	for (unsigned i = 0; i < 12; i++) {
		pf_va_t base = i & 1 ? (UINT64_C(1) << PF_VA_BITS) - SPACE * 4096 : 0;

		seed = 0xb000 + i + 64 * flags;
		start(features_of(i), flags);
		/* one extent: the caller says that all of its memory belongs together */
		alloc_data(CHUNK);
		for (unsigned k = 0; k < 250; k++)
			tables_call(base, flags & PF_PT_NOFAULT);
		assert_int_equal(pf_pt_unmap(&pt, base, SPACE), 0);
		stop(DATA, CHUNK);
	}
}

static void tables(void **state)
{
	(void)state;
	checked = 0;
	tables_under(0);
	assert_true(checked > 10000);
}

static void tables_without_faults(void **state)
{
	(void)state;
	tables_under(PF_PT_NOFAULT);
}

/* Whatever CPU looks at the pages, it finds the frames. */
static void all_find(uint64_t p, uint64_t nr, pf_pfn_t pfn)
{
	for (unsigned a = 0; a < 8; a++) {
		const uint64_t page = rnd_below(nr);
		struct machine_fault f;
		uint64_t value;

		machine_run_on((unsigned)rnd_below(2));
		f = machine_load((p + page) << 12, &value);
		assert_false(f.fault);
		assert_int_equal(f.pa, (pfn + page) << 12);
	}
	machine_run_on(0);
	judge("a load");
}

/*
 * Where no fault may be taken, what pf_pt_map has returned from is there for every CPU, also for walkers that are as
 * late as they may be: the one who mapped it did not enter the kernel again, and nobody else told the other.
 */
static void mapped_without_faults(void **state)
{
	const unsigned nr = 3 * N;

	(void)state;
	late_walks = true;
	for (unsigned i = 0; i < 12; i++) {
		seed = 0xc000 + i;
		start(features_of(i), PF_PT_NOFAULT);
		alloc_data(CHUNK);
		for (unsigned k = 0; k < 100; k++) {
			uint64_t p = rnd_below(SPACE - nr);
			pf_pfn_t pfn = (DATA >> 12) + rnd_below(LEAF) + (one_in(2) ? 0 : p % N);

			assert_int_equal(pf_pt_map(&pt, p << 12, nr, pfn, PF_PTE_R), 0);
			all_find(p, nr, pfn);
			assert_int_equal(pf_pt_unmap(&pt, p << 12, nr), 0);
		}
		stop(DATA, CHUNK);
	}
	late_walks = false;
}

/*
 * The same of sections in which pages are mapped one by one: whoever looks before they are left may miss one, and is
 * seen to; afterwards nobody.
 */
static void mapped_in_sections(void **state)
{
	unsigned missed = 0;

	(void)state;
	late_walks = true;
	for (unsigned i = 0; i < 12; i++) {
		seed = 0xf000 + i;
		start(features_of(i), PF_PT_NOFAULT);
		alloc_data(CHUNK);
		for (unsigned k = 0; k < 40; k++) {
			const uint64_t nr = 1 + rnd_below(3 * N), p = rnd_below(SPACE - nr);
			const pf_pfn_t pfn = (DATA >> 12) + rnd_below(LEAF);
			const unsigned deep = 1 + (unsigned)rnd_below(3);
			uint64_t value;

			for (unsigned d = 0; d < deep; d++)
				pf_lazy_mmu_enable();
			for (uint64_t q = 0; q < nr; q++) {
				assert_int_equal(
					pf_pt_map(&pt, (p + q) << 12, 1, pfn + q, PF_PTE_R), 0);
				missed += machine_load((p + q) << 12, &value).fault;
			}
			for (unsigned d = 0; d < deep; d++)
				pf_lazy_mmu_disable();
			all_find(p, nr, pfn);
			assert_int_equal(pf_pt_unmap(&pt, p << 12, nr), 0);
			machine_check_quiescent(ASID);
		}
		stop(DATA, CHUNK);
	}
	late_walks = false;
	assert_true(missed > 100);
}

/*
 * A tree given up with all that is mapped: of its pages, its tables and its ASID nothing may be cached when the next
 * tree gets them.
 */
static void destroyed_as_it_is(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		pf_va_t va = i & 1 ? (UINT64_C(1) << PF_VA_BITS) - SPACE * 4096 : 0;

		seed = 0xc000 + i;
		start(features_of(i), 0);
		alloc_data(CHUNK);
		assert_int_equal(
			pf_pt_map(&pt, va, LEAF + 3 * N, DATA >> 12, PF_PTE_R | PF_PTE_A), 0);
		for (unsigned cpu = 0; cpu < 2; cpu++) {
			machine_run_on(cpu);
			machine_touch(va);
			machine_touch(va + (LEAF << 12));
		}
		machine_run_on(0);
		machine_set_root(0, 0, 0);
		machine_set_root(1, 0, 0);
		pf_pt_destroy(&pt);
		judge("pf_pt_destroy");
		machine_retire_asid(ASID);
		judge("the ASID's end");
		for (size_t off = 0; off < MEMORY - (UINT64_C(64) << 20); off += CHUNK)
			pf_port_note_free(PF_USE_ANON, DATA + off, CHUNK);
		assert_int_equal(machine_check_end(), 0);
		judge("the end");
		machine_stop();
	}
}

/* A leaf of a higher level is split while hardware may mark it: nobody has used it, or a CPU is in the middle of a store. */
static void split_in_use(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 24; i++) {
		const uint64_t rw = PF_PTE_R | PF_PTE_W;
		pf_va_t va = i & 1 ? (UINT64_C(1) << PF_VA_BITS) - PF_LEVEL_SIZE(1) : 0;
		struct pf_run run;
		struct machine_fault f = {.fault = true};

		seed = 0xd000 + i;
		start(features_of(i), 0);
		alloc_data(CHUNK);
		assert_int_equal(pf_pt_map(&pt, va, LEAF, DATA >> 12,
					 pt.features & PF_FEAT_HAF ? rw : rw | PF_PTE_A),
			0);
		assert_int_equal(pf_pt_query(&pt, va, LEAF, &run), 1);
		assert_int_equal(run.leaf_size, PF_LEVEL_SIZE(1));
		pf_port_barrier(PF_BARRIER_PUBLISH);
		machine_run_on(1);
		if (i & 2)
			machine_store_begin(va + (5 << 12), 1);
		machine_run_on(0);
		if (i < 12)
			assert_int_equal(pf_pt_protect(&pt, va, 1, PF_PTE_R), 0);
		else
			assert_int_equal(pf_pt_unmap(&pt, va, 1), 0);
		judge("the split");
		machine_run_on(1);
		if (i & 2)
			f = machine_store_end();
		machine_run_on(0);
		judge("the end of a store");
		machine_check_quiescent(ASID);
		judge("the split");
		assert_int_equal(pf_pt_query(&pt, va + (5 << 12), 1, &run), 1);
		assert_int_equal(run.leaf_size < PF_LEVEL_SIZE(1), 1);
		if (!f.fault)
			assert_true(pf_pte_dirty(run.first));
		assert_int_equal(pf_pt_unmap(&pt, va, LEAF), 0);
		stop(DATA, CHUNK);
	}
}

/*
 * What was aged and is used again is found young again, once the invalidation has had its time: hardware marks it, or
 * faults where software does.
 */
static void aged_and_used_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct pf_pte_map m;
		uint64_t value;

		seed = 0xe000 + i;
		start(features_of(i), 0);
		/* a walk that nobody asked for would make pages young as well */
		machine_adversary(false);
		alloc_data(CHUNK);
		assert_int_equal(pf_pt_map(&pt, 0, 2 * N, DATA >> 12, PF_PTE_R), 0);
		for (unsigned k = 0; k < 100; k++) {
			unsigned at = k % (2 * N);

			if (!(pt.features & PF_FEAT_HAF)) {
				pf_pte_t e;

				assert_true(pf_pte_offset_map_lock(&pt, 0, &m));
				e = pf_pte_set(pf_ptep_get(&m, at), PF_PTE_A);
				assert_true(
					pf_ptep_set_access_flags(&m, at, e, false, PF_NO_EXTENT));
				pf_pte_unmap_unlock(&m);
			}
			pf_port_barrier(PF_BARRIER_PUBLISH);
			machine_run_on(1);
			assert_false(machine_load(at << 12, &value).fault);
			machine_run_on(0);
			if (k % 2) {
				assert_int_equal(pf_pt_age(&pt, 0, 2 * N), 1);
			} else {
				assert_true(pf_pte_offset_map_lock(&pt, 0, &m));
				assert_true(pf_clear_flush_young_ptes(&m, 0, 2 * N));
				pf_pte_unmap_unlock(&m);
			}
			pf_port_barrier(PF_BARRIER_COMPLETE);
			judge("aging");
			if (pt.features & PF_FEAT_HAF)
				continue;
			machine_run_on(1);
			assert_true(machine_load(at << 12, &value).fault);
			machine_run_on(0);
		}
		assert_int_equal(pf_pt_unmap(&pt, 0, 2 * N), 0);
		stop(DATA, CHUNK);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_in_use),
		cmocka_unit_test(aged_and_used_again),
		cmocka_unit_test(destroyed_as_it_is),
		cmocka_unit_test(verbs),
		cmocka_unit_test(tables),
		cmocka_unit_test(tables_without_faults),
		cmocka_unit_test(mapped_without_faults),
		cmocka_unit_test(mapped_in_sections),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " on the machine", tests, NULL, NULL);
}
