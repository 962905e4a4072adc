/* SPDX-License-Identifier: MIT */
/*
 * Lists that break rules, and their twins. Contiguous blocks and break-before-make.
 */
#include "breach.h"

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

const struct breach breaches_blocks[] = {
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
	{0},
};
