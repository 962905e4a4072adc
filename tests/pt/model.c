/* SPDX-License-Identifier: MIT */
#include "model.h"

#define AD (PF_PTE_A | PF_PTE_D)

struct slot model[E];
uint8_t model_unfolds[E];
struct want want;

void want_nothing(void)
{
	memset(&want, 0, sizeof(want));
	want.lo = E;
}

static unsigned block_of(unsigned idx)
{
	return idx / N * N;
}

static void may_write(unsigned idx)
{
	if (idx < want.lo)
		want.lo = idx;
	if (idx + 1 > want.hi)
		want.hi = idx + 1;
}

static bool settled(unsigned idx)
{
	return is_settled(model[idx].e, tree.pt.features);
}

/* One slot is written without asking what it held. */
static void costs_store(unsigned idx)
{
	may_write(idx);
	want.store_min++;
	want.store_max++;
}

/* One slot is emptied, and what hardware wrote there comes back: an exchange unless it is settled. */
static void costs_take(unsigned idx)
{
	may_write(idx);
	if (settled(idx)) {
		want.store_min++;
		want.store_max++;
	} else {
		want.xchg_min++;
		want.xchg_max++;
	}
}

/* One slot changes in place; `changes`: to another word, else a settled one may be written again or not. */
static void costs_update(unsigned idx, bool changes)
{
	may_write(idx);
	if (settled(idx)) {
		want.store_min += changes;
		want.store_max++;
	} else if (changes) {
		want.xchg_min++;
		want.xchg_max++;
	}
}

/* The same, but an exchange is tolerated where a store would do: verbs that touch few entries. */
static void costs_careful_update(unsigned idx, bool changes)
{
	may_write(idx);
	if (!changes)
		return;
	if (settled(idx))
		want.store_max++;
	else
		want.xchg_min++;
	want.xchg_max++;
}

static void costs_flush(enum flush_kind kind, unsigned first, unsigned nr)
{
	assert_true(want.flushes < PF_ARRAY_SIZE(want.flush));
	want.flush[want.flushes].kind = kind;
	want.flush[want.flushes].first = first;
	want.flush[want.flushes++].nr = nr;
}

static uint64_t ad_of(unsigned first, unsigned nr)
{
	uint64_t ad = 0;

	for (unsigned i = first; i < first + nr; i++)
		ad |= model[i].e.v & AD;
	return ad;
}

/* All N get the OR of their A and D; break-before-make, whose flush level 3 of BBM may leave out. */
static void convert(unsigned first, bool cont)
{
	uint64_t ad = ad_of(first, N);

	for (unsigned i = first; i < first + N; i++)
		costs_take(i);
	if (!(tree.pt.features & PF_FEAT_BBM2_NOABORT))
		costs_flush(FLUSH_ALL_CPUS, first, N);
	for (unsigned i = first; i < first + N; i++) {
		costs_store(i);
		model[i].e.v |= ad;
		model[i].cont = cont;
		model[i].hw_dirty = false;
	}
	*(cont ? &want.fold : &want.unfold) += 1;
	if (!cont && model_unfolds[first / N] < 2)
		model_unfolds[first / N]++;
}

static void unfold(unsigned idx)
{
	if (model[idx].cont)
		convert(block_of(idx), false);
}

/* Blocks that [idx, idx + nr) covers only in part. */
static void unfold_partial(unsigned idx, unsigned nr)
{
	if (idx % N || nr < N)
		unfold(idx);
	if ((idx + nr) % N)
		unfold(idx + nr - 1);
}

pf_pte_t model_get(unsigned idx)
{
	pf_pte_t e = model[idx].e;

	return model[idx].cont ? pf_pte_set(e, ad_of(block_of(idx), N)) : e;
}

unsigned model_live(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < E; i++)
		n += !pf_pte_none(model[i].e);
	return n;
}

bool model_eligible(pf_pte_t first, struct pf_extent x)
{
	pf_pfn_t pfn = pf_pte_pfn(first);

	return tree.pt.policy != PF_FOLD_OFF && N > 1 && pf_pte_accessible(first) &&
	       !(pf_pte_special(first) && tree.pt.policy == PF_FOLD_LINUX) && pfn % N == 0 &&
	       x.first <= pfn && pfn + N <= x.first + x.nr;
}

bool model_watches(void)
{
	return N > 1 && tree.pt.policy == PF_FOLD_WATCH && !(tree.pt.flags & PF_PT_NOFAULT);
}

bool model_alike(unsigned a, unsigned b)
{
	pf_pte_t x = model[a].e, y = model[b].e;

	for (unsigned k = 0; k < 2; k++) {
		unsigned idx = k ? b : a;
		pf_pte_t e = model[idx].e;

		if (!pf_pte_present(e) || !pf_pte_accessible(e) || pf_pte_pfn(e) % N != idx % N)
			return false;
	}
	return pf_pte_clear(pf_pte_advance(x, (uint64_t)b - a), AD).v == pf_pte_clear(y, AD).v;
}

/* Part of a block was just written: slot idx, and perhaps others. Fold if that made it one. */
static void try_fold(unsigned idx, struct pf_extent x)
{
	unsigned first = block_of(idx);
	pf_pte_t e = model[idx].e, base;

	if (model_watches() ? model_unfolds[first / N] >= 2 : idx != first + N - 1)
		return;
	if (!pf_pte_present(e) || pf_pte_pfn(e) % N != idx % N)
		return;
	base = pf_pte_advance(pf_pte_clear(e, AD), -(uint64_t)(idx - first));
	if (!model_eligible(base, x))
		return;
	for (unsigned i = 0; i < N; i++)
		if (model[first + i].cont ||
			pf_pte_clear(model[first + i].e, AD).v != pf_pte_advance(base, i).v)
			return;
	convert(first, true);
}

/* [idx, idx + nr) has changed, other than by a single store. */
static void changed_run(unsigned idx, unsigned nr, struct pf_extent x)
{
	unsigned end = idx + nr;

	if (!model_watches())
		return;
	if (idx % N || nr < N)
		try_fold(idx, x);
	if (end % N && block_of(end - 1) > idx)
		try_fold(end - 1, x);
}

void model_set_pte_at(unsigned idx, pf_pte_t e, struct pf_extent x)
{
	unfold(idx);
	costs_store(idx);
	model[idx] = (struct slot){.e = e};
	try_fold(idx, x);
}

static void set_batch(unsigned idx, pf_pte_t e, unsigned nr, struct pf_extent x)
{
	for (unsigned i = idx; i < idx + nr; i++) {
		unsigned first = block_of(i);
		bool whole = first >= idx && first + N <= idx + nr;
		bool cont = whole && model_eligible(pf_pte_advance(e, first - idx), x);

		costs_store(i);
		model[i] = (struct slot){.e = pf_pte_advance(e, i - idx), .cont = cont};
		want.fold += cont && i == first;
	}
}

void model_set_ptes(unsigned idx, pf_pte_t e, unsigned nr, struct pf_extent x)
{
	if (nr == 1)
		model_set_pte_at(idx, e, x);
	else
		set_batch(idx, e, nr, x);
	if (nr > 1)
		changed_run(idx, nr, x);
}

pf_pte_t model_get_and_clear(unsigned idx, unsigned nr)
{
	pf_pte_t first;

	unfold_partial(idx, nr);
	first = pf_pte_set(model[idx].e, ad_of(idx, nr));
	for (unsigned i = idx; i < idx + nr; i++) {
		costs_take(i);
		model[i] = (struct slot){.cont = false};
	}
	return first;
}

void model_clear_not_present(unsigned idx, unsigned nr)
{
	for (unsigned i = idx; i < idx + nr; i++) {
		costs_store(i);
		model[i].e = pf_pte(0);
	}
}

void model_wrprotect(unsigned idx, unsigned nr, struct pf_extent x)
{
	unfold_partial(idx, nr);
	for (unsigned i = idx; i < idx + nr; i++) {
		bool write = pf_pte_write(model[i].e);

		if (write)
			costs_update(i, true);
		model[i].e = pf_pte_clear(model[i].e, PF_PTE_W);
	}
	changed_run(idx, nr, x);
}

/* To whole blocks where an end lies in one. */
static void widen(unsigned *idx, unsigned *nr)
{
	unsigned end = *idx + *nr;

	if (model[*idx].cont)
		*idx = block_of(*idx);
	if (model[end - 1].cont)
		end = block_of(end - 1) + N;
	*nr = end - *idx;
}

/* Nothing of the block was young, in the run or outside. */
static void note_quiet(unsigned first, bool was_young)
{
	for (unsigned i = first; i < first + N; i++)
		was_young |= pf_pte_present(model[i].e) && pf_pte_young(model[i].e);
	if (!was_young)
		model_unfolds[first / N] = 0;
}

bool model_clear_young(unsigned idx, unsigned nr, bool flush)
{
	bool young = false, was_young[E] = {false};

	widen(&idx, &nr);
	for (unsigned i = idx; i < idx + nr; i++) {
		bool y = pf_pte_present(model[i].e) && pf_pte_young(model[i].e);

		costs_update(i, y);
		young |= y;
		was_young[i / N] |= y;
		if (y)
			model[i].e = pf_pte_clear(model[i].e, PF_PTE_A);
	}
	for (unsigned b = block_of(idx); b < idx + nr; b += N)
		note_quiet(b, was_young[b / N]);
	if (young && flush)
		costs_flush(FLUSH_NO_WAIT, idx, nr);
	return young;
}

void model_clear_young_dirty(unsigned idx, unsigned nr, unsigned flags)
{
	uint64_t bits = (flags & PF_CYDP_CLEAR_YOUNG ? PF_PTE_A : 0) |
			(flags & PF_CYDP_CLEAR_DIRTY ? PF_PTE_D : 0);

	widen(&idx, &nr);
	for (unsigned i = idx; i < idx + nr; i++) {
		if (!pf_pte_present(model[i].e))
			continue;
		costs_careful_update(i, model[i].e.v & bits);
		model[i].e = pf_pte_clear(model[i].e, bits);
	}
}

bool model_set_access(unsigned idx, pf_pte_t e, bool flush, struct pf_extent x)
{
	uint64_t add = e.v & (AD | PF_PTE_W);
	unsigned nr = 1;
	bool changed = false;

	if (model[idx].cont && (add & ~model[idx].e.v & PF_PTE_W)) {
		unfold(idx);
	} else if (model[idx].cont) {
		idx = block_of(idx);
		nr = N;
	}
	for (unsigned i = idx; i < idx + nr; i++) {
		bool changes = add & ~model[i].e.v || model[i].hw_dirty;

		costs_careful_update(i, changes);
		changed |= changes;
		model[i].e.v |= add;
	}
	if (changed && flush)
		costs_flush(FLUSH_LOCAL, idx, nr);
	if (changed && nr == 1)
		changed_run(idx, nr, x);
	return changed;
}

static pf_pte_t modified(pf_pte_t e, uint64_t prot, uint64_t set, uint64_t clear)
{
	return pf_pte_clear(pf_pte_set(pf_pte_modify(e, prot), set), clear);
}

/* Entries that hardware cannot use become a block, whole, with the OR of their A and D. */
static bool fold_from_protnone(
	unsigned first, uint64_t prot, uint64_t set, uint64_t clear, struct pf_extent x)
{
	uint64_t ad = ad_of(first, N);

	if (pf_pte_accessible(model[first].e) ||
		!model_eligible(pf_pte_modify(model[first].e, prot), x))
		return false;
	for (unsigned i = first; i < first + N; i++) {
		/* may be emptied first: beside members of a block there may be empty slots only */
		costs_store(i);
		want.store_max++;
		model[i].e = modified(pf_pte_set(model[i].e, ad), prot, set, clear);
		model[i].cont = true;
	}
	want.fold++;
	return true;
}

static void modify_block(unsigned first, uint64_t prot, uint64_t set, uint64_t clear)
{
	uint64_t ad = ad_of(first, N);

	/* Members may differ in W for a moment, and in nothing else: else through empty, A and D harvested. */
	if (!((model[first].e.v ^ pf_pte_modify(model[first].e, prot).v) & ~PF_PTE_W)) {
		for (unsigned i = first; i < first + N; i++) {
			pf_pte_t e = modified(model[i].e, prot, set, clear);

			costs_update(i, e.v != model[i].e.v || model[i].hw_dirty);
			model[i].e = e;
		}
		return;
	}
	for (unsigned i = first; i < first + N; i++) {
		costs_take(i);
		costs_store(i);
		model[i].e = modified(pf_pte_set(model[i].e, ad), prot, set, clear);
		model[i].cont = pf_pte_accessible(model[i].e);
	}
}

void model_modify(
	unsigned idx, unsigned nr, uint64_t prot, uint64_t set, uint64_t clear, struct pf_extent x)
{
	unsigned start = idx, end = idx + nr;

	if (pf_pte_accessible(model[idx].e) && (prot & PF_PTE_PERM) &&
		((model[idx].e.v ^ prot) & (PF_PTE_MEM | PF_PTE_KERNEL))) {
		/* RWHZWS: not without an invalidation in between, at any level of BBM */
		model_modify(idx, nr, prot & ~PF_PTE_PERM, 0, 0, PF_NO_EXTENT);
		costs_flush(FLUSH_ALL_CPUS, idx, nr);
		model_modify(idx, nr, prot, set, clear, x);
		return;
	}
	unfold_partial(idx, nr);
	while (idx < end) {
		pf_pte_t e;

		if (N > 1 && idx % N == 0 && end - idx >= N) {
			if (model[idx].cont) {
				modify_block(idx, prot, set, clear);
				idx += N;
				continue;
			}
			if (fold_from_protnone(idx, prot, set, clear, x)) {
				idx += N;
				continue;
			}
		}
		e = modified(model[idx].e, prot, set, clear);
		costs_update(idx, e.v != model[idx].e.v || model[idx].hw_dirty);
		model[idx++].e = e;
	}
	changed_run(start, nr, x);
}

void model_move(unsigned from, unsigned to, unsigned nr, struct pf_extent x)
{
	pf_pte_t e = model_get_and_clear(from, nr);

	model_set_ptes(to, pf_pte_set(e, PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY), nr, x);
}

/* Frame and slot to are congruent, and blocks wanted. */
static bool fits(unsigned from, unsigned to)
{
	return N > 1 && tree.pt.policy != PF_FOLD_OFF && pf_pte_pfn(model[from].e) % N == to % N;
}

bool model_may_fold(unsigned from, unsigned to, unsigned max)
{
	bool folded = model[from].cont, looked_at = !folded && to / N < (to + max) / N;

	if (!pf_pte_present(model[from].e) || !fits(from, to))
		return false;
	/* Whole folded blocks stay so; of others, up to the end of the first, what is watched decides. */
	if (folded && from % N == 0 && max >= N)
		return false;
	for (unsigned i = to; model_watches() && i < to + max && i / N == to / N; i++) {
		const struct pf_watch *w = &tree.m.table->watch[i / N];

		looked_at |= w->unfolds < 2 && (w->slot == PF_WATCH_ANY || w->slot == i % N ||
						       w->slot == (i + 1) % N);
	}
	return looked_at;
}

static void move_one(unsigned from, unsigned to, pf_pte_t e, bool cont)
{
	costs_take(from);
	costs_store(to);
	model[to] = (struct slot){
		.e = pf_pte_set(e, PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY), .cont = cont};
}

unsigned model_move_run(unsigned from, unsigned to, unsigned max, bool *flush)
{
	pf_pte_t first = model[from].e;
	unsigned n = 0;

	if (!pf_pte_present(first))
		return 0;
	if (model[from].cont && (from % N || max < N)) {
		max = (unsigned)pf_min(max, N - from % N);
		unfold(from);
	}
	if (!model[from].cont) {
		while (n < max && pf_pte_present(model[from + n].e) && !model[from + n].cont &&
			pf_pte_pfn(model[from + n].e) == pf_pte_pfn(first) + n) {
			*flush |= pf_pte_accessible(model[from + n].e);
			move_one(from + n, to + n, model[from + n].e, false);
			model[from + n] = (struct slot){.cont = false};
			n++;
		}
		return n;
	}
	*flush = true;
	do {
		bool stays = fits(from + n, to + n);

		for (unsigned i = n; i < n + N; i++)
			move_one(from + i, to + i, stays ? model[from + i].e : model_get(from + i),
				stays);
		for (unsigned i = 0; i < N; i++)
			model[from + n++] = (struct slot){.cont = false};
		want.fold += stays;
	} while (max - n >= N && model[from + n].cont);
	return n;
}
