/* SPDX-License-Identifier: MIT */
/*
 * fake-2w: two words that act as one entry. Included by fmt/fake_2w.h.
 *
 * Writers hold the lock of the table. Besides them only hardware writes, and only A and D in the
 * low word of a valid entry, by compare-and-exchange. So under the lock the high word is as
 * software left it, the low word too while it is not valid, and one atomic operation on the low
 * word of a valid entry loses no A or D.
 *
 * Readers without the lock (and the walker) must never see the low word of one entry with the high
 * word of another. The rule that sees to it:
 *
 *   The high word changes only while the low word is not valid, and only from or to no kind, so
 *   that the pair reads as none before the change or after it.
 *
 * "None" is pf_hw_none(): not valid, no kind. A valid entry's high word has no kind. The steps:
 *
 *   valid -> valid, same high word   low               (in place: A, D, permissions, contiguity)
 *   valid -> not valid               low, high         between: none
 *   valid -> valid, other high word  low=0, high, low  between: none, none
 *   not valid -> valid               high, low         between: none
 *   not valid -> not valid           high=0, low, high between: none, none
 *
 * Every write to either word is a release, the first step and the one in place too: whoever sees it
 * has seen all earlier writes to the other word, those of the entry's former changes included. A
 * reader may therefore see none on the way from one entry to another, as it may during
 * break-before-make, and never a mixture, provided that its own loads belong together: see
 * pf_hw_load().
 */
#ifndef PF_FMT_FAKE_2W_ACCESS_H
#define PF_FMT_FAKE_2W_ACCESS_H

#include "base/types.h"
#include "port/port.h"

/* Acquire: a reader's loads happen in the order written. */
PF_INLINE uint32_t pf_2w_load32(const uint32_t *p)
{
#if PF_JUDGE
	return pf_port_entry_load32(p);
#else
	PF_COUNT_ENTRY(load);
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
#endif
}

PF_INLINE void pf_2w_store32(uint32_t *p, uint32_t v)
{
#if PF_JUDGE
	pf_port_entry_store32(p, v, true);
#else
	PF_COUNT_ENTRY(store);
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
#endif
}

PF_INLINE uint32_t pf_2w_xchg32(uint32_t *p, uint32_t v)
{
#if PF_JUDGE
	return pf_port_entry_xchg32(p, v);
#else
	PF_COUNT_ENTRY(xchg);
	return __atomic_exchange_n(p, v, __ATOMIC_RELEASE);
#endif
}

PF_INLINE bool pf_2w_cas32(uint32_t *p, uint32_t *old, uint32_t v)
{
#if PF_JUDGE
	return pf_port_entry_cas32(p, old, v);
#else
	PF_COUNT_ENTRY(xchg);
	return __atomic_compare_exchange_n(p, old, v, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
#endif
}

/* Low, then high. Under the lock they are one entry's: hardware changes A and D of the low one at most. */
PF_INLINE pf_hw_t pf_2w_load_both(const pf_hw_t *p)
{
	pf_hw_t hw;

	hw.lo = pf_2w_load32(&p->lo);
	hw.hi = pf_2w_load32(&p->hi);
	return hw;
}

/*
 * With the lock or without. Two rounds, accepted when they agree. Equal low words say that the high
 * word read between them was this entry's, unless the entry went away and came back with the same
 * low word meanwhile; then the first high word may be another's (that of none, say), and the second
 * one, read once the entry is back, differs from it. To deceive a reader an entry must change three
 * times between four loads: to another, back, and to the same other, so that every load finds the
 * other of the two; without a counter in the entry no reader can do better. A CPU that sets A or D
 * only costs another round.
 *
 * Pairs that are none come back as the empty entry, in whatever step they were caught.
 */
PF_INLINE pf_hw_t pf_hw_load(const pf_hw_t *p)
{
	pf_hw_t a, b = pf_2w_load_both(p);

	do {
		a = b;
		b = pf_2w_load_both(p);
	} while (!pf_hw_same(a, b));
	return pf_hw_none(b) ? pf_hw_empty() : b;
}

/* Every load is. */
PF_INLINE pf_hw_t pf_hw_load_acquire(const pf_hw_t *p)
{
	return pf_hw_load(p);
}

/* The same two rounds, once: four loads, whatever others do. */
PF_INLINE bool pf_hw_load_lockless(const pf_hw_t *p, pf_hw_t *hw)
{
	pf_hw_t a = pf_2w_load_both(p), b = a;

	if (!PF_MUTANT("2w-one-round"))
		b = pf_2w_load_both(p);
	*hw = pf_hw_none(b) ? pf_hw_empty() : b;
	return pf_hw_same(a, b);
}

/* From a pair that is not valid to v, which may be anything. */
PF_INLINE void pf_2w_leave_invalid(pf_hw_t *p, pf_hw_t old, pf_hw_t v)
{
	uint32_t between = pf_hw_valid(v) ? v.hi : 0;

	/* equal high words: the low one is all that changes, and one word needs no steps */
	if (old.hi != v.hi && old.hi != between)
		pf_2w_store32(&p->hi, between);
	pf_2w_store32(&p->lo, v.lo);
	if (old.hi != v.hi && between != v.hi)
		pf_2w_store32(&p->hi, v.hi);
}

/* A valid pair that goes to v without stopping to be valid. */
PF_INLINE bool pf_2w_in_place(pf_hw_t old, pf_hw_t v)
{
	return pf_hw_valid(v) && old.hi == v.hi;
}

/* The first step from a valid pair to v: in place the only one, else out of validity. */
PF_INLINE uint32_t pf_2w_first_low(pf_hw_t old, pf_hw_t v)
{
	return pf_hw_valid(v) && !pf_2w_in_place(old, v) ? 0 : v.lo;
}

/* The steps after it; the high word is still old's. */
PF_INLINE void pf_2w_finish(pf_hw_t *p, pf_hw_t old, pf_hw_t v)
{
	if (pf_2w_in_place(old, v))
		return;
	if (old.hi != v.hi)
		pf_2w_store32(&p->hi, v.hi);
	if (pf_hw_valid(v))
		pf_2w_store32(&p->lo, v.lo);
}

/* Lock held, old entry settled (DESIGN 4.3). */
PF_INLINE void pf_hw_store(pf_hw_t *p, pf_hw_t v)
{
	pf_hw_t old = pf_2w_load_both(p);

	if (!pf_hw_valid(old)) {
		pf_2w_leave_invalid(p, old, v);
		return;
	}
	pf_2w_store32(&p->lo, pf_2w_first_low(old, v));
	pf_2w_finish(p, old, v);
}

PF_INLINE void pf_hw_store_release(pf_hw_t *p, pf_hw_t v)
{
	pf_hw_store(p, v);
}

/* Lock held. From the exchange of the low word on, hardware adds no A or D to the old entry. */
PF_INLINE pf_hw_t pf_hw_xchg(pf_hw_t *p, pf_hw_t v)
{
	pf_hw_t old = pf_2w_load_both(p);

	if (!pf_hw_valid(old)) {
		pf_2w_leave_invalid(p, old, v);
		return pf_hw_none(old) ? pf_hw_empty() : old;
	}
	old.lo = pf_2w_xchg32(&p->lo, pf_2w_first_low(old, v));
	pf_2w_finish(p, old, v);
	return old;
}

/* Lock held. Only the low word can have changed since *old was read, and only if it was valid. */
PF_INLINE bool pf_hw_cas(pf_hw_t *p, pf_hw_t *old, pf_hw_t v)
{
	pf_hw_t now = pf_2w_load_both(p);

	if (!pf_hw_same(now, *old)) {
		*old = now;
		return false;
	}
	if (!pf_hw_valid(now)) {
		pf_2w_leave_invalid(p, now, v);
		return true;
	}
	if (!pf_2w_cas32(&p->lo, &old->lo, pf_2w_first_low(now, v)))
		return false;
	pf_2w_finish(p, now, v);
	return true;
}

#endif
