// SPDX-License-Identifier: MIT
/* An entry as who has its table's lock would read it, without taking any, and without a trace in the machine. */
#include "judge.h"

#if PF_JUDGE

static bool somebody_holds(const struct mj_table *t)
{
	for (unsigned cpu = 0; cpu < mj.ncpus; cpu++)
		if (mj_holds_table(cpu, t->pa))
			return true;
	return false;
}

bool machine_peek(uint64_t root, uint64_t va, struct machine_entry *out)
{
	struct mj_table *t = NULL;
	struct mmu_entry e;
	unsigned idx;
	bool leaf = mj_find_leaf(root, va, &e, &t, &idx);

	*out = (struct machine_entry){.none = true};
	if (!t)
		return true;
	if (somebody_holds(t))
		return false;
	if (e.table || e.empty)
		return true;
	*out = (struct machine_entry){.present = leaf || e.inactive, .protnone = e.inactive};
	if (!out->present)
		return true;
	out->pa = e.pa;
	out->read = leaf && e.r && e.user;
	out->write = leaf && e.wperm;
	out->exec = leaf && e.x;
	out->folded = leaf && e.cont;
	out->young = e.accessed || (e.cont && mj_block_shows_a(t, idx, false));
	out->dirty = e.dirty || (e.cont && mj_block_shows_d(t, idx, false));
	return true;
}

#else

bool machine_peek(uint64_t root, uint64_t va, struct machine_entry *out)
{
	(void)root;
	(void)va;
	(void)out;
	return false;
}

#endif
