/* SPDX-License-Identifier: MIT */
/*
 * Invalidation: what an operation drops of the stale records, once it is completed by the CPU that issued it.
 */
#include "judge.h"

#if PF_JUDGE
#include <stdlib.h>

#include "tlbi.h"

static void pend(unsigned cpu, struct mj_pending p)
{
	struct mj_cpu *c = &mj.cpus[cpu];

	if (c->npend == c->cap_pend) {
		c->cap_pend = c->cap_pend ? c->cap_pend * 2 : 64;
		c->pend = realloc(c->pend, c->cap_pend * sizeof(*c->pend));
	}
	c->pend[c->npend++] = p;
}

void mj_pending_copy(const struct mj_stale *r, struct mj_stale *part)
{
	if (r->issued_seq <= r->seq)
		return;
	for (unsigned c = 0; c < mj.ncpus; c++)
		for (unsigned i = 0, n = mj.cpus[c].npend; i < n; i++) {
			struct mj_pending p = mj.cpus[c].pend[i];

			if (p.rec != r || p.gen != r->gen)
				continue;
			p.rec = part;
			p.gen = part->gen;
			pend(c, p);
		}
}

void mj_pending_stop(void)
{
	for (unsigned c = 0; c < MJ_MAX_CPUS; c++)
		free(mj.cpus[c].pend);
}

/* Why the operation leaves r alone; NULL if it does not. */
static const char *spares(const struct tlbi_op *o, const struct mj_stale *r)
{
	if (r->table && o->leaf_only)
		return "it is for leaves only";
	/* arm64: entries of any level of the walk up to the one the hint names, if that is the leaf's. fake: of the
	 * level named. */
	if (o->hint >= 0 &&
		(r->table && mj.fmt->arm_tlbi ? o->hint >= r->level : o->hint != r->level))
		return "its level hint is another";
	if (o->local ? !mj_published_to(r->cpu, r->seq, mj.cpu) : !mj_published(r->cpu, r->seq))
		return "it was issued before the change was published";
	return NULL;
}

static void meet_one(struct mj_stale *r, void *ctx)
{
	const struct tlbi_op *o = ctx;
	uint64_t cpus = o->local ? PF_BIT(mj.cpu) : UINT64_MAX;
	const char *why = spares(o, r);

	if (!why && r->cpus & ~cpus)
		r->tried = "it is for one CPU only";
	if (why || r->cpus & ~cpus)
		r->tried_seq = mj.seq;
	if (why) {
		r->tried = why;
		return;
	}
	r = mj_stale_split(r, o->va, o->last);
	if (!r || !(r->cpus & cpus))
		return;
	r->issued_seq = mj.seq;
	pend(mj.cpu, (struct mj_pending){.rec = r, .gen = r->gen, .cpus = r->cpus & cpus});
}

static void whole_asid(struct mj_asid *a, const struct tlbi_op *o)
{
	uint64_t cpus = o->local ? PF_BIT(mj.cpu) : UINT64_MAX;

	mj_stale_all(a, meet_one, (void *)(uintptr_t)o);
	a->flushing |= a->ever & cpus;
	pend(mj.cpu,
		(struct mj_pending){.cpus = cpus, .asid = (uint16_t)a->key, .whole_asid = true});
}

void machine_ev_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2)
{
	struct tlbi_op o;

	mj_point();
	mj_did(MJ_OBJ_MMU, true);
	o = tlbi_decode(mj.fmt, mj.features, op, operand, operand2);
	machine_counters.tlbi++;
	machine_counters.tlbi_range += o.range;
	machine_counters.tlbi_pages += o.pages;
	mj_log("tlbi op=%d operand=%llx operand2=%llx", op, (unsigned long long)operand,
		(unsigned long long)operand2);
	if (o.bad) {
		mj_violate(MJ_T1, 0, "operation %d, operands %llx %llx: %s", op,
			(unsigned long long)operand, (unsigned long long)operand2, o.bad);
		return;
	}
	machine_tlbi_issued(&o);
	if (o.all) {
		for (struct mj_asid *a = mj.all_asids; a; a = a->next)
			whole_asid(a, &o);
		mj_stale_all(&mj.globals, meet_one, &o);
	} else if (o.whole) {
		if (mj.asids[o.asid])
			whole_asid(mj.asids[o.asid], &o);
	} else {
		mj_stale_each(mj.asids[o.asid], o.va, o.last, meet_one, &o);
		/* By address, whatever the ASID (C5.5: TLBI VAE1). */
		mj_stale_each(&mj.globals, o.va, o.last, meet_one, &o);
	}
}

/* Rule I3: the flush of a part of a block is over, and the members that still stand bring it back. */
static void check_back(const struct mj_stale *r)
{
	struct mj_table *t = mj_table_at(r->slot_pa);
	unsigned n, first, gone = 0, stands = 0;
	bool any_gone = false, any_stands = false;

	if (!r->cont || r->cpu != mj.cpu || !t || t->state != MJ_TABLE_LINKED)
		return;
	n = mj_block_slots(t);
	first = (unsigned)(r->slot_pa - t->pa) / 8 & ~(n - 1);
	for (unsigned i = first; i < first + n; i++) {
		struct mmu_entry e;

		mj_entry(t, i, &e);
		if (e.leaf && e.cont) {
			any_stands = true;
			stands = i;
		} else if (!e.leaf && mj_stale_covers(r, mj_slot_va(t, i))) {
			any_gone = true;
			gone = i;
		}
	}
	if (any_gone && any_stands)
		mj_violate(MJ_I3, mj_slot_pa(t, gone),
			"slot %u is flushed, and slot %u of the same block still maps it", gone,
			stands);
}

void mj_complete(bool local)
{
	struct mj_cpu *c = mj_this();
	uint64_t scope = local ? PF_BIT(mj.cpu) : UINT64_MAX;
	unsigned kept = 0, n = c->npend;

	for (unsigned i = 0; i < n; i++) {
		struct mj_pending p = c->pend[i];
		uint64_t done = p.cpus & scope;

		if (p.whole_asid) {
			struct mj_asid *a = mj.asids[p.asid];

			/* A CPU that has run the ASID since, or runs it now, may hold something again. */
			a->ever &= ~(a->flushing & done & ~a->active);
			a->flushing &= ~done;
		} else if (p.rec->gen == p.gen) {
			check_back(p.rec);
			mj_stale_drop(p.rec, done);
		}
		p.cpus &= ~done;
		if (p.cpus)
			c->pend[kept++] = p;
	}
	c->npend = kept;
}

#endif
