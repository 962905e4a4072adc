/* SPDX-License-Identifier: MIT */
/*
 * Formats whose entry is one 64-bit word: the type and its accessors. One aligned 64-bit access is
 * single-copy atomic on every host and target we have, so a load is a coherent entry by itself, and
 * an exchange or compare-and-exchange cannot lose what a walker sets in between.
 *
 * All is relaxed but store_release and load_acquire, by which a table is linked and found: order among entries comes from
 * the table lock and from the barriers around TLB maintenance (DESIGN 4.6), never from the entry accesses themselves.
 */
#ifndef PF_FMT_WORDS_H
#define PF_FMT_WORDS_H

#include "base/types.h"
#include "port/port.h"

struct pf_hw {
	uint64_t w;
};

PF_INLINE pf_hw_t pf_hw_of(uint64_t w)
{
	return (pf_hw_t){.w = w};
}

PF_INLINE bool pf_hw_same(pf_hw_t a, pf_hw_t b)
{
	return a.w == b.w;
}

PF_INLINE pf_hw_t pf_hw_load(const pf_hw_t *p)
{
#if PF_JUDGE
	return pf_hw_of(pf_port_entry_load(&p->w));
#else
	PF_COUNT_ENTRY(load);
	return pf_hw_of(__atomic_load_n(&p->w, __ATOMIC_RELAXED));
#endif
}

/* Of an entry that may lead to a table, on the way down without a lock: the other half of store_release. */
PF_INLINE pf_hw_t pf_hw_load_acquire(const pf_hw_t *p)
{
#if PF_JUDGE
	return pf_hw_of(pf_port_entry_load(&p->w));
#else
	PF_COUNT_ENTRY(load);
	return pf_hw_of(__atomic_load_n(&p->w, __ATOMIC_ACQUIRE));
#endif
}

/* A load that is single-copy atomic is coherent whoever stores. */
PF_INLINE bool pf_hw_load_lockless(const pf_hw_t *p, pf_hw_t *hw)
{
	*hw = pf_hw_load_acquire(p);
	return true;
}

PF_INLINE void pf_hw_store(pf_hw_t *p, pf_hw_t v)
{
#if PF_JUDGE
	pf_port_entry_store(&p->w, v.w, false);
#else
	PF_COUNT_ENTRY(store);
	__atomic_store_n(&p->w, v.w, __ATOMIC_RELAXED);
#endif
}

PF_INLINE void pf_hw_store_release(pf_hw_t *p, pf_hw_t v)
{
#if PF_JUDGE
	pf_port_entry_store(&p->w, v.w, true);
#else
	PF_COUNT_ENTRY(store);
	__atomic_store_n(&p->w, v.w, __ATOMIC_RELEASE);
#endif
}

PF_INLINE pf_hw_t pf_hw_xchg(pf_hw_t *p, pf_hw_t v)
{
#if PF_JUDGE
	return pf_hw_of(pf_port_entry_xchg(&p->w, v.w));
#else
	PF_COUNT_ENTRY(xchg);
	return pf_hw_of(__atomic_exchange_n(&p->w, v.w, __ATOMIC_RELAXED));
#endif
}

PF_INLINE bool pf_hw_cas(pf_hw_t *p, pf_hw_t *old, pf_hw_t v)
{
#if PF_JUDGE
	return pf_port_entry_cas(&p->w, &old->w, v.w);
#else
	PF_COUNT_ENTRY(xchg);
	return __atomic_compare_exchange_n(
		&p->w, &old->w, v.w, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#endif
}

#endif
