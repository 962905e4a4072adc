/* SPDX-License-Identifier: MIT */
/*
 * Contiguous blocks (Arm ARM D8.7.1; facts 6.1; DESIGN 4.4). While the table is locked a block may be
 * incomplete, contiguous members beside empty slots, and members may differ in write permission and in what
 * only software reads. When the lock is released it is whole and uniform, A and D apart.
 */
#include "judge.h"

#if PF_JUDGE
#include <stdlib.h>

unsigned mj_block_slots(const struct mj_table *t)
{
	unsigned s = mj.fmt->cont_shift[t->level];

	return s ? 1u << s : 0;
}

static bool shows(const struct mj_table *t, unsigned idx, bool skip, bool d)
{
	unsigned n = mj_block_slots(t), first = n ? idx & ~(n - 1) : idx;
	struct mmu_entry e;

	mj_entry(t, idx, &e);
	if (!skip && (d ? e.dirty : e.accessed))
		return true;
	for (unsigned i = first; i < first + n; i++) {
		if (i == idx)
			continue;
		mj_entry(t, i, &e);
		if (e.leaf && e.cont && (d ? e.dirty : e.accessed))
			return true;
	}
	return false;
}

bool mj_block_shows_d(const struct mj_table *t, unsigned idx, bool skip)
{
	return shows(t, idx, skip, true);
}

bool mj_block_shows_a(const struct mj_table *t, unsigned idx, bool skip)
{
	return shows(t, idx, skip, false);
}

/* The member by which the others are judged; false if the block has none. */
static bool reference(
	const struct mj_table *t, unsigned first, unsigned n, struct mmu_entry *ref, unsigned *at)
{
	for (unsigned i = first; i < first + n; i++) {
		mj_entry(t, i, ref);
		if (ref->leaf && ref->cont) {
			*at = i;
			return true;
		}
	}
	return false;
}

/* What is wrong with a slot beside a contiguous one, lock held; NULL if nothing. */
static const char *misfit(
	const struct mj_table *t, unsigned i, const struct mmu_entry *ref, unsigned at)
{
	uint64_t size = UINT64_C(1) << mmu_level_shift(mj.fmt, t->level);
	struct mmu_entry e;

	mj_entry(t, i, &e);
	if (e.empty)
		return NULL;
	if (!e.leaf)
		return "is neither empty nor a leaf";
	if (e.pa != ref->pa + (uint64_t)((int64_t)i - (int64_t)at) * size)
		return "maps a frame out of line";
	if (e.hw != ref->hw || e.x != ref->x)
		return "has other attributes";
	/* RNGLXZ (a), and no abort: any one of the programmed values, which agree but for the size. */
	if (!e.cont && !(mj.features & PF_FEAT_BBM2_NOABORT))
		return "is not contiguous";
	return NULL;
}

static void list(struct mj_table *t, unsigned first)
{
	if (t->slots[first].listed)
		return;
	t->slots[first].listed = true;
	if (t->nchanged == t->cap_changed) {
		t->cap_changed = t->cap_changed ? t->cap_changed * 2 : 16;
		t->changed = realloc(t->changed, t->cap_changed * sizeof(*t->changed));
	}
	t->changed[t->nchanged++] = (uint16_t)first;
}

void mj_block_changed(struct mj_table *t, unsigned idx)
{
	unsigned n = mj_block_slots(t), first = n ? idx & ~(n - 1) : idx, at;
	uint64_t size = UINT64_C(1) << mmu_level_shift(mj.fmt, t->level);
	struct mmu_entry ref;

	list(t, first);
	if (!n || !reference(t, first, n, &ref, &at))
		return;
	if ((ref.pa - (at - first) * size) & (n * size - 1))
		mj_violate(MJ_I1, mj_slot_pa(t, idx),
			"slot %u: a block of %u whose frames do not begin at a multiple of it", idx,
			n);
	else if (!mj_same_extent(ref.pa - (at - first) * size, n * size))
		mj_violate(MJ_AD2, mj_slot_pa(t, idx),
			"slot %u: the block at frame %llx lies in more than one allocation", idx,
			(unsigned long long)(ref.pa - (at - first) * size));
	for (unsigned i = first; i < first + n; i++) {
		const char *what = misfit(t, i, &ref, at);

		if (what) {
			mj_violate(MJ_I1, mj_slot_pa(t, idx), "slot %u is contiguous, slot %u %s",
				at, i, what);
			return;
		}
	}
}

void mj_block_check(struct mj_table *t, unsigned first, bool at_rest)
{
	unsigned n = mj_block_slots(t), at;
	struct mmu_entry ref, e;

	if (!n || !reference(t, first, n, &ref, &at))
		return;
	for (unsigned i = first; i < first + n; i++) {
		const char *what = misfit(t, i, &ref, at);

		mj_entry(t, i, &e);
		if (!what && e.empty)
			what = "is empty";
		if (!what && !e.cont)
			what = "is not contiguous";
		if (!what && e.sw != ref.sw)
			what = "differs in software's bits";
		if (what)
			mj_violate(at_rest ? MJ_Q2 : MJ_I2, mj_slot_pa(t, i),
				"slot %u is contiguous, slot %u %s", at, i, what);
		else if (e.wperm != ref.wperm)
			mj_violate(at_rest ? MJ_Q2 : MJ_I6, mj_slot_pa(t, i),
				"slots %u and %u of one block: only one may be written", at, i);
	}
}

void mj_blocks_settle(struct mj_table *t)
{
	unsigned n = mj_table_known(t) ? mj_block_slots(t) : 0;

	for (unsigned i = 0; i < t->nchanged; i++) {
		unsigned first = t->changed[i];

		t->slots[first].listed = false;
		mj_block_check(t, first, false);
		for (unsigned j = first; j < first + (n ? n : 1); j++)
			if (t->slots[j].new_d) {
				struct mmu_entry e;

				t->slots[j].new_d = false;
				mj_entry(t, j, &e);
				mj_d_check(t, j, &e);
			}
	}
	t->nchanged = 0;
}

#endif
