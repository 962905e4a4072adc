/* SPDX-License-Identifier: MIT */
/*
 * The machine's liberties, one by one: what may happen does happen for some seed, what must not never does. The
 * recipes and verdicts are those of herd7's Arm VMSA model and of the litmus families of "Relaxed virtual memory in
 * Armv8-A" (CoWTf, CoTfW, CoWinvT, ROT, MP.BBM, EntryMerging, IntermediateTLB, InvalidateWide).
 */
#include <string.h>

#include "rig.h"

#define SEEDS 300

enum outcome { O_FAULT = 1, O_OLD = 2, O_NEW = 4, O_BROKEN = 8 };

/* Outcomes over all seeds, as a set. */
static unsigned outcomes(
	const char *format, const char *features, unsigned (*run)(unsigned arg), unsigned arg)
{
	unsigned seen = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		rig_start(format, features, seed);
		seen |= run(arg);
		if (machine_violation())
			seen |= O_BROKEN;
	}
	machine_stop();
	return seen;
}

#define ARM "arm64-4k"

static unsigned read_on(unsigned cpu, uint64_t va)
{
	struct machine_fault f;
	uint64_t v;

	machine_run_on(cpu);
	f = machine_load(va, &v);
	machine_run_on(0);
	return f.fault ? O_FAULT : v == 1 ? O_OLD : O_NEW;
}

static uint64_t marked(uint64_t mark)
{
	uint64_t f = rig_folio(1);

	*(uint64_t *)pf_port_virt(f) = mark;
	return f;
}

/* ---- PTE=0; DSB; TLBI; DSB ---- */

enum { DSB1 = 1, TLBI = 2, DSB2 = 4, LOCAL = 8, DSB2_ISHST = 16, ALL = 7 };

static unsigned unmap(unsigned steps)
{
	uint64_t f = marked(1);
	unsigned seen;

	lock();
	st(0, f | A_RDO);
	publish();
	xc(0, 0);
	if (steps & DSB1)
		publish();
	if (steps & TLBI)
		invalidate(0, 1, 0, true, steps & LOCAL);
	if (steps & DSB2)
		complete();
	if (steps & DSB2_ISHST)
		publish();
	unlock();
	seen = read_on(1, 0);
	machine_check_quiescent(ASID);
	return seen;
}

static void unmap_recipe(void **state)
{
	(void)state;
	/* Whole: the other CPU never reads the old page. Any piece missing: sometimes, and the judge always sees it. */
	assert_int_equal(outcomes(ARM, "", unmap, ALL), O_FAULT);
	assert_int_equal(outcomes(ARM, "", unmap, ALL & ~DSB1), O_FAULT | O_OLD | O_BROKEN);
	assert_int_equal(outcomes(ARM, "", unmap, ALL & ~TLBI), O_FAULT | O_OLD | O_BROKEN);
	assert_int_equal(outcomes(ARM, "", unmap, ALL & ~DSB2), O_FAULT | O_OLD | O_BROKEN);
	assert_int_equal(
		outcomes(ARM, "", unmap, DSB1 | TLBI | DSB2_ISHST), O_FAULT | O_OLD | O_BROKEN);
	assert_int_equal(outcomes(ARM, "", unmap, ALL | LOCAL), O_FAULT | O_OLD | O_BROKEN);
}

/* ---- invalid to valid ---- */

static unsigned map_and_read(unsigned published)
{
	lock();
	st(0, marked(1) | A_RDO);
	if (published)
		publish();
	unlock();
	return read_on(1, 0) | read_on(0, 0);
}

static void valid_entry_may_be_missed(void **state)
{
	(void)state;
	/* CoWTf: a spurious fault until the barrier, on the CPU that stored too; then never. */
	assert_int_equal(outcomes(ARM, "", map_and_read, 0), O_FAULT | O_OLD);
	assert_int_equal(outcomes(ARM, "", map_and_read, 1), O_OLD);
}

/* ---- MP.BBM1: another frame by the sequence ---- */

static unsigned remap(unsigned whole)
{
	uint64_t a = marked(1) | A_DIRTY, b = marked(2) | A_DIRTY;

	machine_note_store(0);
	lock();
	st(0, a);
	publish();
	xc(0, 0);
	if (whole)
		flush(0, 1);
	xc(0, b);
	publish();
	unlock();
	return read_on(1, 0);
}

static void frame_changes_by_the_sequence(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", remap, 1), O_NEW);
	assert_int_equal(outcomes(ARM, "", remap, 0), O_OLD | O_NEW | O_BROKEN);
}

/* ---- hardware D against a clear by load and store, and by exchange ---- */

static unsigned lose_d(unsigned exchange)
{
	uint64_t f = marked(1), old;
	struct machine_fault x;

	lock();
	st(0, f | A_CLEAN);
	publish();
	old = ld(0);
	machine_run_on(1);
	x = machine_store(0, 7);
	machine_run_on(0);
	assert_false(x.fault);
	if (exchange)
		old = xc(0, 0);
	else
		st(0, 0);
	flush(0, 1);
	unlock();
	/* What software has in hand is all that is left of D. */
	return old & A_RO ? O_OLD : O_NEW;
}

static void d_survives_an_exchange(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", lose_d, 1), O_NEW);
	assert_int_equal(outcomes(ARM, "", lose_d, 0), O_OLD | O_BROKEN);
}

/* ---- a store in flight: translated before, finished after ---- */

static unsigned store_in_flight(unsigned dirty)
{
	uint64_t f = marked(1), old;
	struct machine_fault x;
	unsigned seen;

	machine_note_store(0);
	lock();
	st(0, f | (dirty ? A_DIRTY : A_CLEAN));
	publish();
	machine_run_on(1);
	x = machine_store_begin(0, 7);
	assert_false(x.fault);
	machine_run_on(0);
	old = xc(0, 0);
	flush(0, 1);
	unlock();
	/* The flush is over: the store has happened, or never will. */
	seen = *(uint64_t *)pf_port_virt(f) == 7 ? O_NEW : O_OLD;
	pf_port_note_free(PF_USE_ANON, f, 4096);
	machine_run_on(1);
	x = machine_store_end();
	machine_run_on(0);
	assert_int_equal(x.fault, seen == O_OLD);
	assert_int_equal(old & A_RO, dirty ? 0 : A_RO);
	return seen;
}

static void update_while_unmapped(void **state)
{
	(void)state;
	/* A dirty translation needs no update: the store ends before the flush does. A clean one reads the entry again,
	 * finds it gone, and faults: D cannot be lost. */
	assert_int_equal(outcomes(ARM, "", store_in_flight, 1), O_NEW);
	assert_int_equal(outcomes(ARM, "", store_in_flight, 0), O_OLD);
}

/* x86-like: D appears late in the entry that was write-protected meanwhile; and only there. */
#define INV(pa)   ((pa) >> 12 << 24)
#define INV_CLEAN 0x4cu
#define INV_RO    0x44u
#define INV_D     0x80u

static unsigned late_d(unsigned other_frame)
{
	uint64_t f = marked(1), g = marked(2);
	unsigned seen;

	lock();
	st(0, INV(f) | INV_CLEAN);
	publish();
	machine_run_on(1);
	machine_store_begin(0, 7);
	machine_run_on(0);
	if (other_frame) {
		xc(0, 1);
		flush(0, 1);
		st(0, INV(g) | INV_RO);
	} else {
		cas(0, INV(f) | INV_CLEAN, INV(f) | INV_RO);
		flush(0, 1);
	}
	unlock();
	machine_run_on(1);
	machine_store_end();
	machine_run_on(0);
	seen = raw(0) & INV_D ? O_NEW : O_OLD;
	assert_int_equal(*(uint64_t *)pf_port_virt(g), 2);
	assert_int_equal(*(uint64_t *)pf_port_virt(f), seen == O_NEW ? 7 : 1);
	return seen;
}

static void d_appears_late(void **state)
{
	(void)state;
	assert_int_equal(outcomes("fake-inv", "", late_d, 0), O_NEW);
	assert_int_equal(outcomes("fake-inv", "", late_d, 1), O_OLD);
}

/* ---- blocks ---- */

static unsigned which_member(unsigned write)
{
	uint64_t f = rig_folio(16);
	unsigned seen = 0;

	lock();
	put16(0, f, (A_CLEAN & ~A_AF) | A_CONT);
	publish();
	unlock();
	machine_adversary(false);
	if (write)
		assert_false(machine_store(VA(3), 1).fault);
	else
		read_on(0, VA(3));
	for (unsigned i = 0; i < 16; i++)
		if (write ? !(raw(i) & A_RO) : (raw(i) & A_AF) != 0)
			seen |= i == 3 ? O_OLD : O_NEW;
	return seen;
}

static void any_member_may_be_updated(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", which_member, 0), O_OLD | O_NEW);
	assert_int_equal(outcomes(ARM, "", which_member, 1), O_OLD | O_NEW);
}

/* Half of a block write-protected, in the lock: a store may go by either half's rights (EntryMerging.RO/RW). */
static unsigned mixed_write(unsigned flushed)
{
	uint64_t f = rig_folio(16);
	struct machine_fault x;

	machine_note_store(0);
	lock();
	put16(0, f, A_DIRTY | A_CONT);
	publish();
	for (unsigned i = 0; i < (flushed ? 16 : 8); i++)
		cas(i, (f + VA(i)) | A_DIRTY | A_CONT, (f + VA(i)) | A_RDO | A_SWD | A_CONT);
	if (flushed)
		flush(0, 16);
	machine_run_on(1);
	x = machine_store(VA(2), 1);
	machine_run_on(0);
	for (unsigned i = 8; !flushed && i < 16; i++)
		cas(i, (f + VA(i)) | A_DIRTY | A_CONT, (f + VA(i)) | A_RDO | A_SWD | A_CONT);
	flush(0, 16);
	unlock();
	return x.fault ? O_FAULT : O_NEW;
}

static void mixed_permissions_may_merge(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", mixed_write, 0), O_FAULT | O_NEW);
	assert_int_equal(outcomes(ARM, "", mixed_write, 1), O_FAULT);
}

/* Page 0 of a block is gone from the table; its siblings stand: they may still translate it. */
static unsigned incomplete(unsigned emptied)
{
	uint64_t f = rig_folio(16);
	unsigned seen;

	*(uint64_t *)pf_port_virt(f) = 1;
	lock();
	put16(0, f, A_RDO | A_CONT);
	publish();
	for (unsigned i = 0; i < emptied; i++)
		xc(i, 0);
	seen = read_on(1, 0);
	for (unsigned i = emptied; i < 16; i++)
		xc(i, 0);
	flush(0, 16);
	unlock();
	return seen;
}

static void siblings_translate(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", incomplete, 0), O_OLD);
	assert_int_equal(outcomes(ARM, "", incomplete, 1), O_OLD | O_FAULT);
}

/* A block's translation dies in parts: InvalidateWide. */
static unsigned part_flushed(unsigned page)
{
	uint64_t f = rig_folio(16);
	unsigned seen;

	for (unsigned i = 0; i < 16; i++)
		*(uint64_t *)pf_port_virt(f + VA(i)) = 1;
	lock();
	put16(0, f, A_RDO | A_CONT);
	publish();
	clear16(0);
	flush(0, 8);
	seen = read_on(1, VA(page));
	flush(0, 16);
	unlock();
	return seen | read_on(1, VA(page)) * (unsigned)(page < 8);
}

static void parts_of_a_block_survive(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", part_flushed, 7), O_FAULT);
	assert_int_equal(outcomes(ARM, "", part_flushed, 8), O_FAULT | O_OLD);
}

/* A leaf of a higher level dies whole by any address in it. */
static unsigned leaf_by_any_address(unsigned page)
{
	uint64_t f = rig_folio(512), va = UINT64_C(1) << 21;

	*(uint64_t *)pf_port_virt(f) = 1;
	lock_of(rig.table[1]);
	rig_put(rig.table[1], 1, (f | A_RDO) & ~UINT64_C(2), false);
	publish();
	pf_port_entry_xchg(rig_slot(rig.table[1], 1), 0);
	publish();
	invalidate(va + VA(page), 1, 1, true, false);
	complete();
	unlock_of(rig.table[1]);
	machine_check_quiescent(ASID);
	return read_on(1, va);
}

static void a_leaf_dies_whole(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", leaf_by_any_address, 0), O_FAULT);
	assert_int_equal(outcomes(ARM, "", leaf_by_any_address, 300), O_FAULT);
}

/* ---- tables ---- */

enum { KEEP, LEAF_ONLY, WALK };

static unsigned unlinked(unsigned how)
{
	uint64_t f = marked(1);
	unsigned seen;

	lock();
	st(0, f | A_RDO);
	publish();
	unlock();
	lock_of(rig.table[1]);
	pf_port_entry_xchg(rig_slot(rig.table[1], 0), 0);
	if (how != KEEP) {
		publish();
		invalidate(0, 1, -1, how == LEAF_ONLY, false);
		complete();
	}
	unlock_of(rig.table[1]);
	seen = read_on(1, 0);
	publish();
	invalidate(0, 1, -1, false, false);
	complete();
	return seen;
}

static void walk_caches_lead_on(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", unlinked, WALK), O_FAULT);
	/* The leaf is dropped, and comes back by the cached link (IntermediateTLB). */
	assert_int_equal(outcomes(ARM, "", unlinked, LEAF_ONLY), O_FAULT | O_OLD);
	assert_int_equal(outcomes(ARM, "", unlinked, KEEP), O_FAULT | O_OLD);
}

/* ---- ASIDs, global entries ---- */

static unsigned flush_by_asid(unsigned arg)
{
	bool global = arg & 1, by_address = arg & 2, other = arg & 4;
	uint64_t f = marked(1);
	unsigned seen;

	lock();
	st(0, (f | A_RDO) & ~(global ? A_NG : 0));
	publish();
	xc(0, 0);
	publish();
	if (by_address)
		pf_port_tlbi(PF_TLBI_VALE1IS, (uint64_t)(ASID + other) << 48, 0);
	else
		invalidate_asid(ASID + other);
	complete();
	unlock();
	seen = read_on(1, 0);
	pf_port_tlbi(PF_TLBI_VMALLE1IS, 0, 0);
	complete();
	return seen;
}

static void asids(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", flush_by_asid, 0), O_FAULT);
	assert_int_equal(outcomes(ARM, "", flush_by_asid, 2), O_FAULT);
	assert_int_equal(outcomes(ARM, "", flush_by_asid, 4), O_FAULT | O_OLD);
	assert_int_equal(outcomes(ARM, "", flush_by_asid, 4 | 2), O_FAULT | O_OLD);
	/* Global: not by ASID, by address whatever the ASID. */
	assert_int_equal(outcomes(ARM, "", flush_by_asid, 1), O_FAULT | O_OLD);
	assert_int_equal(outcomes(ARM, "", flush_by_asid, 1 | 2), O_FAULT);
	assert_int_equal(outcomes(ARM, "", flush_by_asid, 1 | 2 | 4), O_FAULT);
}

/* A CPU that never ran the ASID holds nothing of it; one that did, does, after it has gone on to another. */
static unsigned asid_left(unsigned ran)
{
	uint64_t f = marked(1);
	unsigned seen;

	if (ran)
		machine_set_root(2, rig.table[3], ASID);
	lock();
	st(0, f | A_RDO);
	publish();
	if (ran)
		machine_set_root(2, 0, 0);
	xc(0, 0);
	publish();
	invalidate(0, 1, 0, true, true); /* CPU 0 */
	complete();
	machine_run_on(1);
	invalidate(0, 1, 0, true, true);
	complete();
	machine_run_on(0);
	machine_set_root(2, rig.table[3], ASID);
	seen = read_on(2, 0);
	flush(0, 1);
	unlock();
	return seen;
}

static void tagged_entries_outlive_a_switch(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", asid_left, 0), O_FAULT);
	assert_int_equal(outcomes(ARM, "", asid_left, 1), O_FAULT | O_OLD);
}

/* ---- level hints ---- */

static unsigned hint(unsigned level)
{
	uint64_t f = marked(1);
	unsigned seen;

	lock();
	st(0, f | A_RDO);
	publish();
	xc(0, 0);
	publish();
	invalidate(0, 1, (int)level - 1, true, false);
	complete();
	unlock();
	seen = read_on(1, 0);
	flush(0, 1);
	return seen;
}

static void hints(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "", hint, 0), O_FAULT);
	assert_int_equal(outcomes(ARM, "", hint, 1), O_FAULT);
	assert_int_equal(outcomes(ARM, "", hint, 2), O_FAULT | O_OLD);
	/* Without the feature the field is ignored. */
	assert_int_equal(outcomes(ARM, "no-ttl", hint, 2), O_FAULT);
}

/* ---- what is never cached ---- */

static unsigned never_accessed(unsigned arg)
{
	uint64_t f = marked(1);

	lock();
	st(0, (f | A_RDO) & ~A_AF);
	publish();
	xc(0, 0);
	unlock();
	arg = read_on(1, 0);
	machine_check_quiescent(ASID);
	pf_port_note_free(PF_USE_ANON, f, 4096);
	return arg;
}

static void no_a_is_not_cached(void **state)
{
	(void)state;
	assert_int_equal(outcomes(ARM, "no-haf", never_accessed, 0), O_FAULT);
	assert_int_equal(outcomes(ARM, "", never_accessed, 0), O_FAULT | O_OLD | O_BROKEN);
}

/* ---- software A and D ---- */

static unsigned soft_ad(unsigned bits)
{
	uint64_t f = marked(1);
	struct machine_fault r, w;
	uint64_t v;

	machine_note_store(0);
	lock();
	rig_put(rig.table[0], 0, f >> 12 << 21 | 3 | bits << 4, true);
	publish();
	unlock();
	r = machine_load(0, &v);
	w = machine_store(0, 2);
	assert_int_equal(raw(0), f >> 12 << 21 | 3 | bits << 4);
	return (r.fault ? O_FAULT : O_OLD) | (w.fault ? 0 : O_NEW);
}

static void software_sets_a_and_d(void **state)
{
	(void)state;
	assert_int_equal(outcomes("fake-nz", "", soft_ad, 0), O_FAULT);
	assert_int_equal(outcomes("fake-nz", "", soft_ad, 1), O_OLD);
	assert_int_equal(outcomes("fake-nz", "", soft_ad, 3), O_OLD | O_NEW);
}

/* ---- lockless software ---- */

static unsigned lockless_load(unsigned unlocked)
{
	uint64_t f = marked(1), v;

	lock();
	st(0, f | A_RDO);
	if (unlocked)
		unlock();
	machine_run_on(1);
	v = ld(0);
	/* Coherence: once seen, never unseen. */
	if (v)
		assert_int_equal(ld(0), f | A_RDO);
	machine_run_on(0);
	assert_int_equal(ld(0), f | A_RDO);
	if (!unlocked)
		unlock();
	return v ? O_NEW : O_OLD;
}

static void plain_stores_drain_later(void **state)
{
	(void)state;
	machine_adversary(false);
	assert_int_equal(outcomes(ARM, "no-haf", lockless_load, 0), O_OLD | O_NEW);
	assert_int_equal(outcomes(ARM, "no-haf", lockless_load, 1), O_NEW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmap_recipe),
		cmocka_unit_test(valid_entry_may_be_missed),
		cmocka_unit_test(frame_changes_by_the_sequence),
		cmocka_unit_test(d_survives_an_exchange),
		cmocka_unit_test(update_while_unmapped),
		cmocka_unit_test(d_appears_late),
		cmocka_unit_test(any_member_may_be_updated),
		cmocka_unit_test(mixed_permissions_may_merge),
		cmocka_unit_test(siblings_translate),
		cmocka_unit_test(parts_of_a_block_survive),
		cmocka_unit_test(a_leaf_dies_whole),
		cmocka_unit_test(walk_caches_lead_on),
		cmocka_unit_test(asids),
		cmocka_unit_test(tagged_entries_outlive_a_switch),
		cmocka_unit_test(hints),
		cmocka_unit_test(no_a_is_not_cached),
		cmocka_unit_test(software_sets_a_and_d),
		cmocka_unit_test(plain_stores_drain_later),
	};

	return cmocka_run_group_tests_name("machine recipes", tests, NULL, NULL);
}
