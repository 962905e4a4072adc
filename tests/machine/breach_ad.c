/* SPDX-License-Identifier: MIT */
/*
 * Lists that break rules, and their twins. A and D, quiescent points, encodings.
 */
#include "breach.h"

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

/* Who looks is nobody: what hardware wrote is as unseen as before. */
static void d1_look_store(bool wrong)
{
	uint64_t f = rig_folio(1);

	lock();
	st(0, f | A_CLEAN);
	publish();
	machine_run_on(1);
	while (machine_store(VA(0), 1).fault)
		;
	machine_run_on(0);
	machine_look(wrong);
	assert_int_equal(ld(0), f | A_DIRTY);
	machine_look(false);
	st(0, 0);
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

const struct breach breaches_ad[] = {
	{"D1", "d1_load_store", ARM, NEWEST, false, d1_load_store},
	{"D1", "d1_look_store", ARM, NEWEST, false, d1_look_store},
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
	{0},
};
