/* SPDX-License-Identifier: MIT */
/*
 * D invented (rule D2). A folio is an allocation extent. An entry may show D if a store reached, or was
 * attempted at, a page of the folio since the last quiescent point at which entries mapped the folio and
 * none of them showed D. Attempts count because software sets D for the store that faulted, before it is
 * executed again; copies because the contents are new. Stores through any table count, so that a fork's
 * child may inherit D.
 */
#include "judge.h"

#if PF_JUDGE
#include <stdlib.h>

void mj_store_reached(uint64_t pa)
{
	struct mj_folio *f = mj_folio_of(pa);

	if (f)
		f->store_seq = mj.seq;
}

void mj_store_attempted(uint16_t asid, uint64_t va)
{
	struct mj_asid *a = mj.asids[asid];
	struct mmu_entry e;
	struct mj_table *t;
	unsigned idx;

	if (a && a->root && mj_find_leaf(a->root, va, &e, &t, &idx))
		mj_store_reached(
			e.pa + (va & ((UINT64_C(1) << mmu_level_shift(mj.fmt, e.level)) - 1)));
	for (uint64_t i = mj.nattempts; i-- > 0 && i + 4 > mj.nattempts;)
		if (mj.attempts[i].asid == asid && mj.attempts[i].va == va)
			return;
	if (mj.nattempts == mj.cap_attempts) {
		mj.cap_attempts = mj.cap_attempts ? mj.cap_attempts * 2 : 64;
		mj.attempts = realloc(mj.attempts, mj.cap_attempts * sizeof(*mj.attempts));
	}
	mj.attempts[mj.nattempts++] = (struct mj_attempt){va, asid};
}

/* Did an attempt aim at a page of e's folio, taking the folio as mapped in one piece around va? */
static bool attempted(uint16_t asid, uint64_t va, const struct mmu_entry *e)
{
	for (uint64_t i = 0; i < mj.nattempts; i++) {
		uint64_t pa = e->pa + (mj.attempts[i].va - va);

		if (mj.attempts[i].asid == asid && mj_folio_of(pa) == mj_folio_of(e->pa))
			return true;
	}
	return false;
}

void mj_d_check(struct mj_table *t, unsigned idx, const struct mmu_entry *e)
{
	struct mj_folio *f = mj_folio_of(e->pa);

	if (!f || !e->dirty || (!e->leaf && !e->inactive) || f->store_seq > f->clean_seq)
		return;
	if (attempted(t->asid, mj_slot_va(t, idx), e)) {
		f->store_seq = mj.seq;
		return;
	}
	mj_violate(MJ_D2, mj_slot_pa(t, idx),
		"the entry shows D, and no store reached folio %llx since event #%llu",
		(unsigned long long)(MACHINE_RAM_BASE + ((uint64_t)(f - mj.folios) << 12)),
		(unsigned long long)f->clean_seq);
}

/*
 * Entries of a table that no walker has reached have no level yet and are not counted: of a child that has not run, for
 * one. A folio that was found clean after such an entry was written was not clean: D is as old as the store before.
 */
void mj_d_unseen(const struct mj_slot *s, const struct mmu_entry *e)
{
	struct mj_folio *f = mj_folio_of(e->pa);

	if (f && e->dirty && f->store_seq && f->store_seq <= f->clean_seq &&
		s->new_seq < f->clean_seq)
		f->clean_seq = f->store_seq - 1;
}

void mj_d_quiescent(uint16_t asid)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < mj.ntouched; i++) {
		uint32_t first = mj.touched[i];
		struct mj_folio *f = &mj.folios[first];
		uint64_t maps = 0, dirty = 0;

		f->touched = false;
		/* Freed since, or within another extent by now. */
		if (mj.frames[first].state != MJ_FRAME_ALLOCATED ||
			mj.frames[first].ext_first != first)
			continue;
		for (uint32_t j = 0; j < mj.frames[first].ext_nr; j++) {
			maps += mj.frames[first + j].nmap;
			dirty += mj.frames[first + j].ndirty;
		}
		if (maps && !dirty)
			f->clean_seq = mj.seq;
	}
	mj.ntouched = 0;
	for (uint64_t i = 0; i < mj.nattempts; i++)
		if (mj.attempts[i].asid != asid)
			mj.attempts[kept++] = mj.attempts[i];
	mj.nattempts = kept;
}

#endif
