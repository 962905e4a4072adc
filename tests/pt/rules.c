/* SPDX-License-Identifier: MIT */
#include "rules.h"

struct hardware hw_now;

static struct {
	pf_hw_t word;   /* as it is now */
	pf_hw_t cached; /* what TLBs may hold of the time before it was emptied */
	bool stale;     /* they may */
	bool may_write; /* some TLB may hold it writable */
	bool issued;
	unsigned changed; /* time of the last change by software */
} slots[E];
static unsigned now, published;

#define RULE(c, what, i)                                                                           \
	CHECK(c, "%s: slot %u from %s%s to %s%s, features 0x%x", what, i,                          \
		pte_text(pf_hw_decode(slots[i].word, 0, i)),                                       \
		pf_hw_cont(slots[i].word) ? " folded" : "",                                        \
		pte_text(pf_hw_decode(raw_get(i), 0, i)), pf_hw_cont(raw_get(i)) ? " folded" : "", \
		tree.pt.features)

static bool has(unsigned feature)
{
	return tree.pt.features & feature & PF_HW_AD_FEATURES;
}

/* A write by hardware: A; D in the place where hardware has it. */
static pf_hw_t hardware_sets(pf_hw_t hw, bool d)
{
	hw = pf_hw_mkyoung(hw);
	if (!d)
		return hw;
#ifdef PF_A64_RDONLY
	hw.w &= ~PF_A64_RDONLY;
	return hw;
#else
	return pf_hw_mkdirty(hw);
#endif
}

static void hardware_acts(enum rec_kind kind, const void *entry)
{
	unsigned i = watch_lo() + (unsigned)rnd_below(watch_hi() - watch_lo());
	pf_hw_t hw = raw_get(i), new_hw;
	bool d;

	(void)kind;
	(void)entry;
	if (!hw_now.one_in || !one_in(hw_now.one_in) || !pf_hw_valid(hw) || !has(PF_FEAT_HAF))
		return;
	d = has(PF_FEAT_HD) && one_in(2) &&
	    (pf_hw_write(hw) || (PF_HW_LATE_D && slots[i].may_write));
	new_hw = hardware_sets(hw, d);
	hw_now.a[i] |= !pf_hw_young(hw);
	hw_now.d[i] |= d && !pf_hw_dirty(hw);
	hw_now.acts++;
	raw_set(i, new_hw);
	slots[i].word = new_hw;
}

/* Two live entries may follow one another without a gap, or after one that no invalidation ended. */
static void check_follows(pf_hw_t old, unsigned i)
{
	pf_hw_t new_hw = raw_get(i);
	pf_pte_t a = pf_hw_decode(old, 0, i), b = pf_hw_decode(new_hw, 0, i);

	if (hw_now.caller_flushes)
		return;
	RULE(pf_hw_cont(old) == pf_hw_cont(new_hw) || tree.pt.features & PF_FEAT_BBM2_NOABORT,
		"another contiguity, without break-before-make", i);
	RULE(pf_pte_pfn(a) == pf_pte_pfn(b), "another frame, without break-before-make", i);
	RULE(!((a.v ^ b.v) & PF_PTE_MEM), "another memory type, without break-before-make", i);
	RULE(!((a.v ^ b.v) & PF_PTE_KERNEL), "global or not, without break-before-make", i);
}

/* Members of a block: empty, or equal but for A, D, W and what hardware ignores. */
static void check_block(unsigned i)
{
	const uint64_t may_differ = PF_PTE_A | PF_PTE_D | PF_PTE_W | PF_PTE_SPECIAL |
				    PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP;
	unsigned first = i / N * N, some = E;

	for (unsigned k = first; k < first + N; k++)
		if (pf_hw_cont(raw_get(k)))
			some = k;
	if (some == E)
		return;
	for (unsigned k = first; k < first + N; k++) {
		pf_hw_t hw = raw_get(k);
		pf_pte_t e, expected;

		if (!pf_hw_valid(hw))
			continue;
		RULE(pf_hw_cont(hw) || tree.pt.features & PF_FEAT_BBM2_NOABORT,
			"beside a member of a block", k);
		e = pf_pte_clear(pf_hw_decode(hw, 0, k), may_differ);
		expected = pf_pte_clear(pf_hw_decode(raw_get(some), 0, some), may_differ);
		expected = pf_pte_advance(expected, (uint64_t)k - some);
		RULE(e.v == expected.v, "not like the other members of its block", k);
	}
}

static void software_wrote(const struct rec *r)
{
	unsigned i = rec_slot(r);
	pf_hw_t old = slots[i].word, new_hw = raw_get(i);

	if (pf_hw_same(old, new_hw) || (r->kind == REC_CAS && !r->done))
		return;
	if (pf_hw_valid(old)) {
		RULE(r->kind != REC_STORE ||
				is_settled(pf_hw_decode(old, 0, i), tree.pt.features) ||
				hw_now.caller_flushes,
			"a plain store over what hardware may change", i);
		if (pf_hw_valid(new_hw)) {
			check_follows(old, i);
		} else {
			slots[i].stale = true;
			slots[i].cached = old;
		}
	} else if (pf_hw_valid(new_hw) && slots[i].stale) {
		check_follows(slots[i].cached, i);
		slots[i].stale = false;
	}
	slots[i].changed = ++now;
	slots[i].issued = false;
	slots[i].may_write |= pf_hw_valid(new_hw) && pf_hw_write(new_hw);
	slots[i].word = new_hw;
	check_block(i);
}

static void invalidate(const struct rec *r)
{
	struct tlbi t = tlbi_decode(r);

	if (t.local || t.level > 0 || (t.asid != TEST_ASID && !t.any_asid))
		return;
	for (unsigned i = watch_lo(); i < watch_hi(); i++) {
		pf_va_t off = pf_pte_va(&tree.m, i) - t.va;

		if ((!t.pages || off >> PF_PAGE_SHIFT < t.pages) && slots[i].changed <= published)
			slots[i].issued = true;
	}
}

static void complete(void)
{
	for (unsigned i = watch_lo(); i < watch_hi(); i++) {
		if (!slots[i].issued)
			continue;
		slots[i].issued = slots[i].stale = false;
		slots[i].may_write = pf_hw_valid(slots[i].word) && pf_hw_write(slots[i].word);
	}
}

static void judge(const struct rec *r)
{
	switch (r->kind) {
	case REC_STORE:
	case REC_XCHG:
	case REC_CAS:
		software_wrote(r);
		break;
	case REC_TLBI:
		invalidate(r);
		break;
	case REC_BARRIER:
		if (r->barrier == PF_BARRIER_PUBLISH)
			published = now;
		else if (r->barrier == PF_BARRIER_COMPLETE)
			complete();
		break;
	default:
		break;
	}
}

void rules_start(unsigned one_in_n)
{
	memset(&hw_now, 0, sizeof(hw_now));
	memset(slots, 0, sizeof(slots));
	hw_now.one_in = one_in_n;
	now = published = 0;
	for (unsigned i = 0; i < E; i++) {
		slots[i].word = raw_get(i);
		slots[i].may_write = pf_hw_valid(slots[i].word) && pf_hw_write(slots[i].word);
	}
	recorder.before = hardware_acts;
	recorder.after = judge;
}

void rules_end(void)
{
	recorder.before = NULL;
	recorder.after = NULL;
	for (unsigned i = watch_lo(); i < watch_hi(); i++) {
		unsigned first = i / N * N;
		pf_hw_t hw = raw_get(i);

		if (!pf_hw_cont(hw))
			continue;
		for (unsigned k = first; k < first + N; k++) {
			pf_pte_t e =
				pf_pte_clear(pf_hw_decode(raw_get(k), 0, k), PF_PTE_A | PF_PTE_D);
			pf_pte_t expected =
				pf_pte_clear(pf_hw_decode(hw, 0, i), PF_PTE_A | PF_PTE_D);

			RULE(pf_hw_cont(raw_get(k)) &&
					e.v == pf_pte_advance(expected, (uint64_t)k - i).v,
				"at the end not like the other members of its block", k);
		}
	}
}
