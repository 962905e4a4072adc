/* SPDX-License-Identifier: MIT */
/*
 * Every rule of docs/RULES.md, broken by a list of calls written by hand, each with a twin that does the same thing
 * rightly. A list runs with many seeds: it must break its rule always (or, where hardware has to take part, for some
 * seed), and never another first; the twin must never break anything.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

#define SEEDS 48

struct breach {
	const char *rule, *name;
	const char *format, *features;
	bool sometimes;
	void (*run)(bool wrong);
};

/* ---- blocks ---- */

static void i1_beside_small(bool wrong)
{
	uint64_t f = rig_folio(16);

	lock();
	put16(0, f, A_RDO | (wrong ? 0 : A_CONT));
	if (wrong) {
		clear16(0);
		flush(0, 16);
		for (unsigned i = 0; i < 16; i++)
			st(i, (f + VA(i)) | A_RDO | (i < 15 ? A_CONT : 0));
	}
	unlock();
}

static void i1_unaligned(bool wrong)
{
	uint64_t f = rig_folio(32);

	lock();
	put16(0, f + (wrong ? 4096 : 65536), A_RDO | A_CONT);
	unlock();
}

static void i1_swap_entry(bool wrong)
{
	uint64_t f = rig_folio(16);

	lock();
	put16(0, f, A_RDO | A_CONT);
	for (unsigned i = 0; i < 16; i++) {
		xc(i, 0);
		if (wrong)
			st(i, 0x123000);
	}
	for (unsigned i = 0; !wrong && i < 16; i++)
		st(i, 0x123000);
	flush(0, 16);
	unlock();
}

static void i2_incomplete(bool wrong)
{
	uint64_t f = rig_folio(16);

	lock();
	for (unsigned i = 0; i < 16u - wrong; i++)
		st(i, (f + VA(i)) | A_RDO | A_CONT);
	unlock();
}

static void i2_software_bits(bool wrong)
{
	uint64_t f = rig_folio(16), uffd = UINT64_C(1) << 58;

	lock();
	for (unsigned i = 0; i < 16; i++)
		st(i, (f + VA(i)) | A_RDO | A_CONT | (i < 3 || !wrong ? uffd : 0));
	unlock();
}

static void i3_regenerated(bool wrong)
{
	uint64_t f = rig_folio(16);

	lock();
	put16(0, f, A_RDO | A_CONT);
	if (!wrong)
		clear16(0);
	else
		xc(0, 0);
	flush(0, 16);
	for (unsigned i = 1; i < 16; i++)
		xc(i, 0);
	flush(0, 16);
	unlock();
}

static void i4_store_through_stale(bool wrong)
{
	uint64_t f = rig_folio(1);

	machine_note_store(VA(0));
	lock();
	st(0, f | A_DIRTY);
	cas(0, f | A_DIRTY, f | A_CLEAN);
	if (!wrong)
		flush(0, 1);
	unlock();
	machine_run_on(1);
	while (machine_store(VA(0), 1).fault)
		;
	machine_run_on(0);
	machine_check_quiescent(ASID);
	/* A store by the tables has set D in the entry: then the stale translation does no harm. */
	if (!wrong)
		assert_false(raw(0) & A_RO);
}

static void i5_a_overwritten(bool wrong)
{
	uint64_t f = rig_folio(1), v;

	lock();
	st(0, f | A_OLD);
	v = ld(0);
	publish();
	unlock();
	machine_load(VA(0), &v);
	lock();
	if (wrong)
		st(0, f | A_OLD | A_SWD);
	else
		xc(0, f | A_OLD);
	flush(0, 1);
	unlock();
}

static void i6_mixed_write(bool wrong)
{
	uint64_t f = rig_folio(16);

	machine_note_store(VA(0));
	lock();
	put16(0, f, A_DIRTY | A_CONT);
	for (unsigned i = 0; i < (wrong ? 8 : 16); i++)
		cas(i, (f + VA(i)) | A_DIRTY | A_CONT, (f + VA(i)) | A_RDO | A_SWD | A_CONT);
	flush(0, 16);
	unlock();
}

static void i7_cont_not_valid(bool wrong)
{
	uint64_t f = rig_folio(16);

	lock();
	for (unsigned i = 0; i < 16; i++)
		st(i, ((f + VA(i)) | A_RDO | (wrong ? A_CONT : 0)) & ~A_VALID);
	unlock();
}

static void unfold(bool flushed)
{
	uint64_t f = rig_folio(16);

	lock();
	put16(0, f, A_RDO | A_CONT);
	clear16(0);
	if (flushed)
		flush(0, 16);
	put16(0, f, A_RDO);
	flush(0, 16);
	unlock();
	machine_check_quiescent(ASID);
}

static void i8_unfold(bool wrong)
{
	unfold(!wrong);
}

static void i8_fold(bool wrong)
{
	uint64_t f = rig_folio(16);

	lock();
	put16(0, f, A_RDO);
	clear16(0);
	if (!wrong)
		flush(0, 16);
	put16(0, f, A_RDO | A_CONT);
	unlock();
}

static void i8_split_leaf(bool wrong)
{
	uint64_t f = rig_folio(512), t = rig_table();

	for (unsigned i = 0; i < 512; i++)
		pf_port_entry_store(rig_slot(t, i), (f + VA(i)) | A_RDO, false);
	lock_of(rig.table[1]);
	rig_put(rig.table[1], 1, (f | A_RDO) & ~UINT64_C(2), false);
	if (!wrong) {
		pf_port_entry_xchg(rig_slot(rig.table[1], 1), 0);
		publish();
		invalidate(UINT64_C(1) << 21, 1, 1, true, false);
		complete();
	}
	rig_put(rig.table[1], 1, t | A_TABLE, true);
	unlock_of(rig.table[1]);
}

/* ---- break-before-make ---- */

static void replace(uint64_t a, uint64_t b, bool sequence)
{
	lock();
	st(0, a);
	if (sequence) {
		xc(0, 0);
		flush(0, 1);
	}
	xc(0, b);
	flush(0, 1);
	unlock();
}

static void bbm_frame(bool wrong)
{
	replace(rig_folio(1) | A_DIRTY, rig_folio(1) | A_RDO, !wrong);
}

static void bbm_contents(bool wrong)
{
	uint64_t a = rig_folio(1), b = rig_folio(1);

	if (wrong)
		*(uint64_t *)pf_port_virt(b) = 1;
	replace(a | A_RDO, b | A_RDO, false);
}

static void bbm_memtype(bool wrong)
{
	uint64_t a = rig_folio(1);

	replace(a | A_RDO, a | A_RDO | A_DEVICE, !wrong);
}

static void bbm_shareability(bool wrong)
{
	uint64_t a = rig_folio(1);

	replace(a | A_RDO, (a | A_RDO) & ~UINT64_C(0x300), !wrong);
}

static void bbm_global(bool wrong)
{
	uint64_t a = rig_folio(1);

	replace(a | A_RDO, (a | A_RDO) & ~A_NG, !wrong);
}

static void bbm_through_empty(bool wrong)
{
	uint64_t a = rig_folio(1), b = rig_folio(1);

	lock();
	st(0, a | A_RDO | A_DBM);
	xc(0, 0);
	publish();
	tlbi(0, 1);
	if (!wrong)
		complete();
	st(0, b | A_RDO | A_DBM);
	complete();
	unlock();
}

static void bbm_other_table(bool wrong)
{
	uint64_t t = rig_table();

	lock_of(rig.table[1]);
	if (!wrong) {
		pf_port_entry_xchg(rig_slot(rig.table[1], 0), 0);
		publish();
		invalidate(0, 1, -1, false, false);
		complete();
	}
	pf_port_entry_store(rig_slot(rig.table[1], 0), t | A_TABLE, true);
	unlock_of(rig.table[1]);
}

/* ---- lives of frames and tables ---- */

static uint64_t mapped_frame(void)
{
	uint64_t f = rig_folio(1);

	machine_note_store(VA(0));
	lock();
	st(0, f | A_DIRTY);
	publish();
	unlock();
	return f;
}

enum step { S_PUBLISH = 1, S_TLBI = 2, S_COMPLETE = 4, S_ALL = 7 };

static void zap_and_free(unsigned steps)
{
	uint64_t f = mapped_frame();

	lock();
	xc(0, 0);
	if (steps & S_PUBLISH)
		publish();
	if (steps & S_TLBI)
		tlbi(0, 1);
	if (steps & S_COMPLETE)
		complete();
	unlock();
	pf_port_note_free(PF_USE_ANON, f, 4096);
}

static void f1_no_tlbi(bool wrong)
{
	zap_and_free(wrong ? S_ALL & ~S_TLBI : S_ALL);
}

static void f1_still_mapped(bool wrong)
{
	uint64_t f = mapped_frame();

	if (!wrong) {
		lock();
		xc(0, 0);
		flush(0, 1);
		unlock();
	}
	pf_port_note_free(PF_USE_ANON, f, 4096);
}

static void f1_young_cleared(bool wrong)
{
	uint64_t f = rig_folio(1);

	/* Without hardware A an entry that shows no A is not cached; but it was, when it showed A. */
	lock();
	st(0, f | A_RDO);
	cas(0, f | A_RDO, (f | A_RDO) & ~A_AF);
	xc(0, 0);
	if (!wrong)
		flush(0, 1);
	unlock();
	pf_port_note_free(PF_USE_ANON, f, 4096);
}

static void f1_block_page(bool wrong)
{
	uint64_t f = rig_folio(16);

	lock();
	put16(0, f, A_RDO | A_CONT);
	clear16(0);
	/* A TLB may hold parts of the block that leave the flushed pages out. */
	flush(0, wrong ? 8 : 16);
	unlock();
	pf_port_note_free(PF_USE_ANON, f, 65536);
}

static void f1_clear_after(bool wrong)
{
	uint64_t f = rig_folio(1);

	if (!wrong)
		pf_port_clear_pages(f, 4096);
	pf_port_note_free(PF_USE_ANON, f, 4096);
	if (wrong)
		pf_port_clear_pages(f, 4096);
}

static void c1_no_publish(bool wrong)
{
	zap_and_free(wrong ? S_TLBI | S_COMPLETE : S_ALL);
}

static void c1_no_complete(bool wrong)
{
	zap_and_free(wrong ? S_PUBLISH | S_TLBI : S_ALL);
}

static void c1_complete_elsewhere(bool wrong)
{
	uint64_t f = mapped_frame();

	lock();
	xc(0, 0);
	publish();
	tlbi(0, 1);
	unlock();
	if (wrong)
		machine_run_on(1); /* no context switch: nobody completes it for us */
	else
		machine_set_cpu(1);
	complete();
	pf_port_note_free(PF_USE_ANON, f, 4096);
}

static void c1_local(bool wrong)
{
	uint64_t f = mapped_frame();

	lock();
	xc(0, 0);
	publish();
	invalidate(0, 1, 0, true, wrong);
	complete();
	unlock();
	pf_port_note_free(PF_USE_ANON, f, 4096);
}

static void c1_level_hint(bool wrong)
{
	uint64_t f = mapped_frame();

	lock();
	xc(0, 0);
	publish();
	invalidate(0, 1, wrong ? 1 : 0, true, false);
	complete();
	unlock();
	pf_port_note_free(PF_USE_ANON, f, 4096);
}

static void c1_publish_unsynchronised(bool wrong)
{
	uint64_t f = mapped_frame();

	lock();
	xc(0, 0);
	unlock();
	machine_run_on(1);
	/* Another CPU's barrier publishes what that CPU has synchronised with. */
	if (!wrong) {
		lock();
		unlock();
	}
	flush(0, 1);
	pf_port_note_free(PF_USE_ANON, f, 4096);
}

static void drop_table(bool unlink, bool invalidated, bool leaf_only, bool reader)
{
	uint64_t t = rig.table[0];

	if (reader) {
		machine_run_on(1);
		pf_port_rcu_read_lock();
		machine_run_on(0);
	}
	lock_of(rig.table[1]);
	if (unlink)
		pf_port_entry_xchg(rig_slot(rig.table[1], 0), 0);
	unlock_of(rig.table[1]);
	if (invalidated) {
		publish();
		invalidate(0, 1, -1, leaf_only, false);
		complete();
	}
	pf_port_note_free(PF_USE_TABLE, t, 4096);
}

static void f2_linked(bool wrong)
{
	drop_table(!wrong, true, false, false);
}

static void f2_walk_cache(bool wrong)
{
	drop_table(true, !wrong, false, false);
}

static void c1_leaf_only(bool wrong)
{
	drop_table(true, true, wrong, false);
}

static void f2_reader(bool wrong)
{
	drop_table(true, true, false, wrong);
}

static void f2_use_after_free(bool wrong)
{
	uint64_t *p = rig_slot(rig.table[0], 3);

	drop_table(true, true, false, false);
	if (wrong)
		pf_port_entry_load(p);
}

static void f2_root(bool wrong)
{
	if (!wrong) {
		machine_set_root(0, 0, 0);
		machine_set_root(1, 0, 0);
		invalidate_asid(ASID);
		complete();
	}
	if (!wrong)
		lock_of(rig.table[3]);
	if (!wrong)
		pf_port_entry_xchg(rig_slot(rig.table[3], 0), 0);
	if (!wrong)
		unlock_of(rig.table[3]);
	pf_port_note_free(PF_USE_TABLE, rig.table[3], 4096);
}

static void f3_twice(bool wrong)
{
	uint64_t f = rig_folio(1);

	if (!wrong)
		pf_port_note_free(PF_USE_ANON, f, 4096);
	pf_port_note_alloc(PF_USE_ANON, f, 4096);
}

static void f3_freed_twice(bool wrong)
{
	uint64_t f = rig_folio(2);

	/* A folio may be split: half of it goes back. */
	pf_port_note_free(PF_USE_ANON, f, 4096);
	pf_port_note_free(PF_USE_ANON, f + (wrong ? 0 : 4096), 4096);
}

/* ---- locks and order ---- */

static void l1_unlocked(bool wrong)
{
	uint64_t f = rig_folio(1);

	if (!wrong)
		lock();
	st(0, f | A_RDO);
	if (!wrong)
		unlock();
	/* Clearing nothing but A, atomically, needs no lock. */
	cas(0, f | A_RDO, (f | A_RDO) & ~A_AF);
}

static void l1_other_lock(bool wrong)
{
	uint64_t table = wrong ? rig.table[1] : rig.table[0];

	lock_of(table);
	st(0, rig_folio(1) | A_RDO);
	unlock_of(table);
}

static void l2_held(bool wrong)
{
	lock();
	if (!wrong)
		unlock();
	machine_check_quiescent(ASID);
}

static void l2_not_ours(bool wrong)
{
	lock();
	if (wrong)
		machine_run_on(1);
	unlock();
}

static void l2_deadlock(bool wrong)
{
	lock();
	if (wrong)
		lock();
	unlock();
}

static void link_new(bool barrier, bool release)
{
	uint64_t t = rig_table();

	if (barrier)
		pf_port_barrier(PF_BARRIER_LINK);
	lock_of(rig.table[1]);
	pf_port_entry_store(rig_slot(rig.table[1], 7), t | A_TABLE, release);
	unlock_of(rig.table[1]);
}

static void p1_barrier(bool wrong)
{
	link_new(!wrong, false);
}

static void p1_release(bool wrong)
{
	link_new(false, !wrong);
}

/* ---- A and D ---- */

static void d1_load_store(bool wrong)
{
	uint64_t f = rig_folio(1), v;

	lock();
	st(0, f | A_CLEAN);
	publish();
	v = ld(0);
	machine_run_on(1);
	while (machine_store(VA(0), 1).fault)
		;
	machine_run_on(0);
	assert_int_equal(v, f | A_CLEAN);
	if (wrong)
		st(0, 0);
	else
		assert_int_equal(xc(0, 0), f | A_DIRTY);
	flush(0, 1);
	unlock();
}

static void d1_untracked(bool wrong)
{
	uint64_t f = rig_folio(1);

	/* Writable, and no place where hardware or software shows D. */
	lock();
	st(0, f | A_BASE | (wrong ? 0 : A_DBM | A_RO));
	publish();
	unlock();
	machine_store(VA(0), 1);
}

static void d2_mapped_dirty(bool wrong)
{
	uint64_t f = rig_folio(1);

	if (!wrong)
		machine_store(VA(0), 1); /* faults: what is mapped for it may show D */
	lock();
	st(0, f | A_DIRTY);
	unlock();
}

static void d2_back(bool wrong)
{
	uint64_t f = rig_folio(2);

	machine_note_store(VA(0));
	lock();
	st(0, f | A_DIRTY);
	st(1, (f + 4096) | A_RDO | A_SWD);
	unlock();
	if (wrong) {
		lock();
		cas(0, f | A_DIRTY, f | A_CLEAN);
		cas(1, (f + 4096) | A_RDO | A_SWD, (f + 4096) | A_RDO);
		flush(0, 2);
		unlock();
	}
	machine_check_quiescent(ASID);
	lock();
	xc(1, 0);
	flush(1, 1);
	st(1, (f + 4096) | A_RDO | A_SWD);
	unlock();
}

static void ad1_plain_store(bool wrong)
{
	uint64_t f = rig_folio(1);

	lock();
	st(0, f | A_CLEAN);
	if (wrong)
		st(0, f | A_RDO);
	else
		xc(0, f | A_RDO);
	st(0, f | A_RDO | A_SWD * 0); /* settled: no A to set, no D to set */
	flush(0, 1);
	unlock();
}

static void ad2_two_folios(bool wrong)
{
	uint64_t pa = rig_memory(65536, 65536);

	if (wrong) {
		pf_port_note_alloc(PF_USE_ANON, pa, 32768);
		pf_port_note_alloc(PF_USE_ANON, pa + 32768, 32768);
	} else {
		pf_port_note_alloc(PF_USE_ANON, pa, 65536);
	}
	lock();
	put16(0, pa, A_RDO | A_CONT);
	unlock();
}

/* ---- quiescent points ---- */

static void q1_wrprotect(bool wrong)
{
	uint64_t f = mapped_frame();

	lock();
	cas(0, f | A_DIRTY, f | A_RDO | A_SWD);
	if (!wrong)
		flush(0, 1);
	unlock();
	machine_check_quiescent(ASID);
}

static void q1_zap(bool wrong)
{
	mapped_frame();
	lock();
	xc(0, 0);
	if (!wrong)
		flush(0, 1);
	unlock();
	machine_check_quiescent(ASID);
}

static void q1_aged(bool wrong)
{
	uint64_t f = mapped_frame();

	/* A flush after clearing A may be left out; after clearing D it may not. */
	lock();
	cas(0, f | A_DIRTY, wrong ? f | A_CLEAN : (f | A_DIRTY) & ~A_AF);
	unlock();
	machine_check_quiescent(ASID);
}

static void q1_relaxed(bool wrong)
{
	uint64_t f = rig_folio(1), ro = f | A_RDO, rw = f | A_CLEAN;

	lock();
	st(0, wrong ? rw : ro);
	cas(0, wrong ? rw : ro, wrong ? ro : rw);
	unlock();
	machine_check_quiescent(ASID);
}

static void q2_linked_mixed(bool wrong)
{
	uint64_t t = rig_table(), f = rig_folio(16);

	for (unsigned i = 0; i < 16u - wrong; i++)
		pf_port_entry_store(rig_slot(t, i), (f + VA(i)) | A_RDO | A_CONT, false);
	lock_of(rig.table[1]);
	pf_port_entry_store(rig_slot(rig.table[1], 7), t | A_TABLE, true);
	unlock_of(rig.table[1]);
}

static void give_up(bool flushed)
{
	mapped_frame();
	machine_set_root(0, 0, 0);
	machine_set_root(1, 0, 0);
	if (flushed) {
		publish();
		invalidate_asid(ASID);
		complete();
	}
	machine_retire_asid(ASID);
}

static void q3_retired_cached(bool wrong)
{
	give_up(!wrong);
}

static void q3_shared(bool wrong)
{
	uint64_t other = rig_table();

	machine_set_root(2, other, wrong ? ASID : ASID + 1);
}

/* ---- encodings ---- */

static void m1_reserved(bool wrong)
{
	uint64_t f = rig_folio(1);

	lock();
	st(0, (f | A_RDO) & ~(wrong ? UINT64_C(2) : 0)); /* type 0b01 at the last level */
	unlock();
}

static void m1_twice(bool wrong)
{
	uint64_t t = wrong ? rig.table[0] : rig_table();

	pf_port_barrier(PF_BARRIER_LINK);
	lock_of(rig.table[1]);
	pf_port_entry_store(rig_slot(rig.table[1], 7), t | A_TABLE, true);
	unlock_of(rig.table[1]);
}

static void t1_no_range(bool wrong)
{
	if (wrong)
		pf_port_tlbi(PF_TLBI_RVALE1IS, (uint64_t)ASID << 48 | UINT64_C(1) << 46, 0);
	else
		tlbi(0, 1);
}

static void t1_granule(bool wrong)
{
	pf_port_tlbi(PF_TLBI_VALE1IS,
		(uint64_t)ASID << 48 | (wrong ? UINT64_C(0xf) : UINT64_C(0x7)) << 44, 0);
}

#define TWO_RO(pa) (((pa) >> 12 & 0xfffff) << 12 | (pa) >> 32 << 32 | 0x29) /* valid, R, A */

static uint32_t *word(unsigned i)
{
	return (uint32_t *)rig_slot(rig.table[0], i);
}

static void w2_low_first(bool wrong)
{
	uint64_t e = TWO_RO(rig_folio(1));

	lock();
	if (wrong)
		pf_port_entry_store32(word(0), (uint32_t)e, true);
	pf_port_entry_store32(word(0) + 1, 1, false);
	pf_port_entry_store32(word(0) + 1, (uint32_t)(e >> 32), false);
	if (!wrong)
		pf_port_entry_store32(word(0), (uint32_t)e, true);
	unlock();
}

static void w2_not_released(bool wrong)
{
	uint64_t e = TWO_RO(rig_folio(1));

	lock();
	pf_port_entry_store32(word(0) + 1, (uint32_t)(e >> 32), false);
	pf_port_entry_store32(word(0), (uint32_t)e, !wrong);
	unlock();
}

/* ---- x86-like hardware: D set late, by a translation that may no longer write ---- */

#define INV(pa)   ((pa) >> 12 << 24)
#define INV_CLEAN 0x4cu /* R, W, A */
#define INV_RO    0x44u

static void ad1_late_d(bool wrong)
{
	uint64_t f = rig_folio(1);

	lock();
	st(0, INV(f) | INV_CLEAN);
	cas(0, INV(f) | INV_CLEAN, INV(f) | INV_RO);
	if (!wrong)
		flush(0, 1);
	/* Read-only, A set: settled only when no TLB can write through it any more. */
	st(0, 1);
	flush(0, 1);
	unlock();
}

#define ARM     "arm64-4k"
#define NEWEST  ""
#define STRICT  "bbm0"
#define NOABORT "bbml2-noabort"

static const struct breach breaches[] = {
	{"I1", "i1_beside_small", ARM, STRICT, false, i1_beside_small},
	{"I1", "i1_unaligned", ARM, NEWEST, false, i1_unaligned},
	{"I1", "i1_swap_entry", ARM, NEWEST, false, i1_swap_entry},
	{"I2", "i2_incomplete", ARM, NEWEST, false, i2_incomplete},
	{"I2", "i2_software_bits", ARM, NEWEST, false, i2_software_bits},
	{"I3", "i3_regenerated", ARM, NEWEST, false, i3_regenerated},
	{"I4", "i4_store_through_stale", ARM, NEWEST, true, i4_store_through_stale},
	{"I5", "i5_a_overwritten", ARM, NEWEST, false, i5_a_overwritten},
	{"I6", "i6_mixed_write", ARM, NEWEST, false, i6_mixed_write},
	{"I7", "i7_cont_not_valid", ARM, NEWEST, false, i7_cont_not_valid},
	{"I8", "i8_unfold", ARM, STRICT, false, i8_unfold},
	{"I8", "i8_unfold", ARM, "bbml1", false, i8_unfold},
	{"I8", "i8_unfold", ARM, "bbml2", false, i8_unfold},
	{"I8", "i8_fold", ARM, STRICT, false, i8_fold},
	{"I8", "i8_split_leaf", ARM, STRICT, false, i8_split_leaf},
	{"BBM", "bbm_frame", ARM, NEWEST, false, bbm_frame},
	{"BBM", "bbm_contents", ARM, NEWEST, false, bbm_contents},
	{"BBM", "bbm_memtype", ARM, NEWEST, false, bbm_memtype},
	{"BBM", "bbm_shareability", ARM, NEWEST, false, bbm_shareability},
	{"BBM", "bbm_global", ARM, NEWEST, false, bbm_global},
	{"BBM", "bbm_through_empty", ARM, NEWEST, false, bbm_through_empty},
	{"BBM", "bbm_other_table", ARM, NEWEST, false, bbm_other_table},
	{"C1", "c1_no_publish", ARM, NEWEST, false, c1_no_publish},
	{"C1", "c1_no_complete", ARM, NEWEST, false, c1_no_complete},
	{"C1", "c1_complete_elsewhere", ARM, NEWEST, false, c1_complete_elsewhere},
	{"C1", "c1_local", ARM, NEWEST, false, c1_local},
	{"C1", "c1_level_hint", ARM, NEWEST, false, c1_level_hint},
	{"C1", "c1_publish_unsynchronised", ARM, NEWEST, false, c1_publish_unsynchronised},
	{"C1", "c1_leaf_only", ARM, NEWEST, false, c1_leaf_only},
	{"F1", "f1_no_tlbi", ARM, NEWEST, false, f1_no_tlbi},
	{"F1", "f1_still_mapped", ARM, NEWEST, false, f1_still_mapped},
	{"F1", "f1_young_cleared", ARM, "no-haf", false, f1_young_cleared},
	{"F1", "f1_block_page", ARM, NEWEST, false, f1_block_page},
	{"F1", "f1_clear_after", ARM, NEWEST, false, f1_clear_after},
	{"F2", "f2_linked", ARM, NEWEST, false, f2_linked},
	{"F2", "f2_walk_cache", ARM, NEWEST, false, f2_walk_cache},
	{"F2", "f2_reader", ARM, NEWEST, false, f2_reader},
	{"F2", "f2_use_after_free", ARM, NEWEST, false, f2_use_after_free},
	{"F2", "f2_root", ARM, NEWEST, false, f2_root},
	{"F3", "f3_twice", ARM, NEWEST, false, f3_twice},
	{"F3", "f3_freed_twice", ARM, NEWEST, false, f3_freed_twice},
	{"L1", "l1_unlocked", ARM, NEWEST, false, l1_unlocked},
	{"L1", "l1_other_lock", ARM, NEWEST, false, l1_other_lock},
	{"L2", "l2_held", ARM, NEWEST, false, l2_held},
	{"L2", "l2_not_ours", ARM, NEWEST, false, l2_not_ours},
	{"L2", "l2_deadlock", ARM, NEWEST, false, l2_deadlock},
	{"P1", "p1_barrier", ARM, NEWEST, false, p1_barrier},
	{"P1", "p1_release", ARM, NEWEST, false, p1_release},
	{"D1", "d1_load_store", ARM, NEWEST, false, d1_load_store},
	{"D1", "d1_untracked", ARM, NEWEST, true, d1_untracked},
	{"D2", "d2_mapped_dirty", ARM, NEWEST, false, d2_mapped_dirty},
	{"D2", "d2_back", ARM, NEWEST, false, d2_back},
	{"AD1", "ad1_plain_store", ARM, NEWEST, false, ad1_plain_store},
	{"AD1", "ad1_late_d", "fake-inv", NEWEST, false, ad1_late_d},
	{"AD2", "ad2_two_folios", ARM, NEWEST, false, ad2_two_folios},
	{"Q1", "q1_wrprotect", ARM, NEWEST, false, q1_wrprotect},
	{"Q1", "q1_zap", ARM, NEWEST, false, q1_zap},
	{"Q1", "q1_aged", ARM, NEWEST, false, q1_aged},
	{"Q1", "q1_relaxed", ARM, NEWEST, false, q1_relaxed},
	{"Q2", "q2_linked_mixed", ARM, NEWEST, false, q2_linked_mixed},
	{"Q3", "q3_retired_cached", ARM, NEWEST, false, q3_retired_cached},
	{"Q3", "q3_shared", ARM, NEWEST, false, q3_shared},
	{"M1", "m1_reserved", ARM, NEWEST, false, m1_reserved},
	{"M1", "m1_twice", ARM, NEWEST, false, m1_twice},
	{"T1", "t1_no_range", ARM, "no-tlbirange", false, t1_no_range},
	{"T1", "t1_granule", ARM, NEWEST, false, t1_granule},
	{"W2", "w2_low_first", "fake-2w", NEWEST, false, w2_low_first},
	{"W2", "w2_not_released", "fake-2w", NEWEST, false, w2_not_released},
};

static void every_rule_is_broken(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(breaches); i++) {
		const struct breach *b = &breaches[i];
		unsigned broken = 0;

		for (uint64_t seed = 0; seed < SEEDS; seed++) {
			const char *rule;

			rig_start(b->format, b->features, seed);
			b->run(false);
			if (machine_violation())
				fail_msg("%s [%s], the right way, seed %u: %s", b->name,
					b->features, (unsigned)seed, machine_violation_text());
			rig_start(b->format, b->features, seed);
			b->run(true);
			rule = machine_violation();
			if (rule && strcmp(rule, b->rule))
				fail_msg("%s [%s], seed %u: not %s but %s", b->name, b->features,
					(unsigned)seed, b->rule, machine_violation_text());
			broken += rule != NULL;
		}
		if (b->sometimes ? !broken : broken != SEEDS)
			fail_msg("%s [%s]: broken for %u of %u seeds", b->name, b->features, broken,
				SEEDS);
	}
	machine_stop();
}

/* The rules, docs/RULES.md and the lists above name the same. */
static void rules_are_closed(void **state)
{
	static char doc[1 << 17];
	FILE *f = fopen(RULES_MD, "r");
	size_t n;

	(void)state;
	assert_non_null(f);
	n = fread(doc, 1, sizeof(doc) - 1, f);
	doc[n] = 0;
	fclose(f);
	for (const char *const *r = machine_rules(); *r; r++) {
		char row[32];
		const char *line, *end;
		unsigned lists = 0;

		snprintf(row, sizeof(row), "\n| %s |", *r);
		line = strstr(doc, row);
		if (!line)
			fail_msg("docs/RULES.md has no row for rule %s", *r);
		end = strchr(line + 1, '\n');
		for (unsigned i = 0; i < PF_ARRAY_SIZE(breaches); i++) {
			char name[64];
			const char *at;

			if (strcmp(breaches[i].rule, *r))
				continue;
			lists++;
			snprintf(name, sizeof(name), "`%s`", breaches[i].name);
			at = strstr(line, name);
			if (!at || at > end)
				fail_msg("docs/RULES.md, rule %s, does not name %s", *r,
					breaches[i].name);
		}
		if (!lists)
			fail_msg("rule %s: no list breaks it", *r);
	}
	/* And the page has no rule that the judge does not know. */
	for (const char *p = doc; (p = strstr(p, "\n| ")); p++) {
		char name[16];
		bool known = false;

		if (sscanf(p + 3, "%15[A-Z0-9] |", name) != 1 || strlen(name) > 4 ||
			p[3 + strlen(name)] != ' ')
			continue;
		for (const char *const *r = machine_rules(); *r; r++)
			known |= !strcmp(*r, name);
		if (!known)
			fail_msg("docs/RULES.md has a row for %s, which is no rule", name);
	}
}

/* A higher BBM level allows what a lower one forbids. */
static void no_abort_needs_no_flush(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		uint64_t f;

		rig_start(ARM, NOABORT, seed);
		unfold(false);
		/* In place, without a gap: contiguous beside not, both of one frame run. */
		f = rig_folio(16);
		lock();
		put16(16, f, A_RDO | A_CONT);
		for (unsigned i = 16; i < 32; i++)
			cas(i, (f + VA(i - 16)) | A_RDO | A_CONT, (f + VA(i - 16)) | A_RDO);
		unlock();
		machine_check_quiescent(ASID);
		if (machine_violation())
			fail_msg("%s", machine_violation_text());
	}
	machine_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_is_broken),
		cmocka_unit_test(rules_are_closed),
		cmocka_unit_test(no_abort_needs_no_flush),
	};

	return cmocka_run_group_tests_name("machine rules", tests, NULL, NULL);
}
