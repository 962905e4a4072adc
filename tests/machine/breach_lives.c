/* SPDX-License-Identifier: MIT */
/*
 * Lists that break rules, and their twins. Frames, tables, locks: who may reach what, when, and in which order.
 */
#include "breach.h"

/* ---- lives of frames and tables ---- */

uint64_t mapped_frame(void)
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

/* Who looked up what has a lock, and comes for the lock when it is freed. */
static void l2_freed(bool wrong)
{
	struct pf_rwlock *l = pf_port_meta_alloc(sizeof(*l));

	pf_port_rw_init(l, PF_LOCK_VMA);
	if (wrong) {
		pf_port_meta_free(l, sizeof(*l));
		machine_run_on(1);
	}
	if (pf_port_rw_read_trylock(l, PF_LOCK_VMA))
		pf_port_rw_read_unlock(l, PF_LOCK_VMA);
	if (!wrong)
		pf_port_meta_free(l, sizeof(*l));
	/* Its next user's. */
	l = pf_port_meta_alloc(sizeof(*l));
	pf_port_rw_init(l, PF_LOCK_VMA);
	pf_port_rw_write_lock(l, PF_LOCK_VMA);
	pf_port_rw_write_unlock(l, PF_LOCK_VMA);
	pf_port_meta_free(l, sizeof(*l));
}

/* ---- lazy-MMU sections ---- */

static void s1_allocates(bool wrong)
{
	struct pf_lazy_mmu *lazy = pf_port_lazy_mmu();

	lazy->enabled = 2;
	lazy->paused = !wrong;
	rig_folio(1);
	lazy->enabled = lazy->paused = 0;
}

static void s1_locks(bool wrong)
{
	struct pf_lazy_mmu *lazy = pf_port_lazy_mmu();
	struct pf_rwlock l;

	pf_port_rw_init(&l, PF_LOCK_MMAP);
	lazy->enabled = 1;
	/* These do not sleep. */
	lock();
	unlock();
	if (wrong)
		pf_port_rw_read_lock(&l, PF_LOCK_MMAP);
	else
		pf_port_rw_read_trylock(&l, PF_LOCK_MMAP);
	pf_port_rw_read_unlock(&l, PF_LOCK_MMAP);
	lazy->enabled = 0;
}

static void s1_left_open(bool wrong)
{
	struct pf_lazy_mmu *lazy = pf_port_lazy_mmu();

	lazy->enabled = lazy->owed = true;
	if (!wrong)
		*lazy = (struct pf_lazy_mmu){0};
	machine_check_quiescent(ASID);
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

const struct breach breaches_lives[] = {
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
	{"L2", "l2_freed", ARM, NEWEST, false, l2_freed},
	{"S1", "s1_allocates", ARM, NEWEST, false, s1_allocates},
	{"S1", "s1_locks", ARM, NEWEST, false, s1_locks},
	{"S1", "s1_left_open", ARM, NEWEST, false, s1_left_open},
	{"P1", "p1_barrier", ARM, NEWEST, false, p1_barrier},
	{"P1", "p1_release", ARM, NEWEST, false, p1_release},
	{0},
};
