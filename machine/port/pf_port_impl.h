/* SPDX-License-Identifier: MIT */
/*
 * The hosted port. Without PF_JUDGE it measures: inline, real atomics for the locks, real memset
 * and memcpy for data, TLB maintenance and barriers only counted. With PF_JUDGE every access to an
 * entry, lock, barrier, TLB operation and change of ownership is an event of the machine's
 * (machine/events.c).
 */
#ifndef PF_PORT_IMPL_H
#define PF_PORT_IMPL_H

#include "base/atomic.h"
#include "../counters.h"

/* Set by machine_start(), constant until machine_stop(). */
struct machine_port {
	char *ram_bias;    /* virt = ram_bias + pa */
	char *memmap_bias; /* metadata = memmap_bias + pa / 4096 * 32 */
	uint64_t fail_at;  /* the allocation that fails, counted from 1; 0 = none */
	bool no_data;      /* data pages have no contents: clear and copy do nothing */
	uint32_t rcu_readers;
	uint32_t spin_depth; /* of the one host thread: RCU callbacks run outside spinlocks */
	struct pf_rcu_head *rcu_head, **rcu_tail;
	struct pf_lazy_mmu lazy; /* of the one host thread, where it measures */
};
extern struct machine_port machine_port;

void machine_rcu_drain(void);
void *machine_meta_alloc(size_t bytes);
void machine_meta_free(void *p, size_t bytes);
uint64_t machine_tlbi_pages(enum pf_tlbi op, uint64_t operand, uint64_t operand2, bool *range);

PF_INLINE void *pf_port_virt(pf_pa_t pa)
{
	return machine_port.ram_bias + pa;
}

PF_INLINE pf_pa_t pf_port_phys(const void *p)
{
	return (pf_pa_t)((const char *)p - machine_port.ram_bias);
}

PF_INLINE void *pf_port_memmap(pf_pa_t pa)
{
	return machine_port.memmap_bias + (pa >> 12) * 32;
}

PF_INLINE pf_pa_t pf_port_memmap_pa(const void *meta)
{
	return (pf_pa_t)((const char *)meta - machine_port.memmap_bias) / 32 << 12;
}

/* Counts the allocation, and answers whether it is the one to fail. pf_port_meta_alloc asks for
 * itself. */
PF_INLINE bool pf_port_fail_alloc(enum pf_mem_use use)
{
	(void)use;
	return ++machine_counters.allocs == machine_port.fail_at;
}

PF_INLINE void *pf_port_meta_alloc(size_t bytes)
{
	return PF_UNLIKELY(pf_port_fail_alloc(PF_USE_META)) ? NULL : machine_meta_alloc(bytes);
}

PF_INLINE void pf_port_meta_free(void *p, size_t bytes)
{
	machine_meta_free(p, bytes);
}

#if PF_JUDGE

void machine_ev_clear(pf_pa_t pa, size_t bytes);
void machine_ev_copy(pf_pa_t dst, pf_pa_t src, size_t bytes);
void machine_ev_data(pf_pa_t pa, size_t bytes, bool write);
void machine_ev_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2);
void machine_ev_barrier(enum pf_barrier b);
void machine_ev_spin_init(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id);
bool machine_ev_spin_lock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id, bool wait);
void machine_ev_spin_unlock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id);
void machine_ev_rw_init(struct pf_rwlock *l, enum pf_lock_class c);
bool machine_ev_rw_lock(struct pf_rwlock *l, enum pf_lock_class c, bool write, bool wait);
void machine_ev_rw_unlock(struct pf_rwlock *l, enum pf_lock_class c, bool write);
void machine_ev_relax(void);
struct pf_lazy_mmu *machine_lazy_mmu(void);
void machine_ev_rcu_lock(void);
void machine_ev_rcu_unlock(void);
void machine_ev_call_rcu(struct pf_rcu_head *h);
void machine_ev_alloc(enum pf_mem_use use, pf_pa_t pa, size_t bytes);
void machine_ev_free(enum pf_mem_use use, pf_pa_t pa, size_t bytes);
uint64_t machine_ev_load(const void *p, unsigned bytes);
void machine_ev_store(void *p, uint64_t v, unsigned bytes, bool release);
uint64_t machine_ev_xchg(void *p, uint64_t v, unsigned bytes);
bool machine_ev_cas(void *p, uint64_t *old, uint64_t v, unsigned bytes);
bool machine_mutant(const char *name);

PF_INLINE void pf_port_clear_pages(pf_pa_t pa, size_t bytes)
{
	machine_ev_clear(pa, bytes);
}

PF_INLINE void pf_port_copy_pages(pf_pa_t dst, pf_pa_t src, size_t bytes)
{
	machine_ev_copy(dst, src, bytes);
}

PF_INLINE void pf_port_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2)
{
	machine_ev_tlbi(op, operand, operand2);
}

PF_INLINE void pf_port_barrier(enum pf_barrier b)
{
	machine_ev_barrier(b);
}

PF_INLINE void pf_port_spin_init(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	machine_ev_spin_init(l, c, id);
}

PF_INLINE void pf_port_spin_lock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	machine_ev_spin_lock(l, c, id, true);
}

PF_INLINE bool pf_port_spin_trylock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	return machine_ev_spin_lock(l, c, id, false);
}

PF_INLINE void pf_port_spin_unlock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	machine_ev_spin_unlock(l, c, id);
}

PF_INLINE void pf_port_rw_init(struct pf_rwlock *l, enum pf_lock_class c)
{
	machine_ev_rw_init(l, c);
}

PF_INLINE void pf_port_rw_read_lock(struct pf_rwlock *l, enum pf_lock_class c)
{
	machine_ev_rw_lock(l, c, false, true);
}

PF_INLINE bool pf_port_rw_read_trylock(struct pf_rwlock *l, enum pf_lock_class c)
{
	return machine_ev_rw_lock(l, c, false, false);
}

PF_INLINE void pf_port_rw_read_unlock(struct pf_rwlock *l, enum pf_lock_class c)
{
	machine_ev_rw_unlock(l, c, false);
}

PF_INLINE void pf_port_rw_write_lock(struct pf_rwlock *l, enum pf_lock_class c)
{
	machine_ev_rw_lock(l, c, true, true);
}

PF_INLINE void pf_port_rw_write_unlock(struct pf_rwlock *l, enum pf_lock_class c)
{
	machine_ev_rw_unlock(l, c, true);
}

PF_INLINE void pf_port_relax(void)
{
	machine_ev_relax();
}

/* Which of the machine's CPUs counts what is nothing to judge. */
PF_INLINE unsigned pf_port_cpu(void)
{
	return 0;
}

PF_INLINE struct pf_lazy_mmu *pf_port_lazy_mmu(void)
{
	return machine_lazy_mmu();
}

PF_INLINE void pf_port_rcu_read_lock(void)
{
	machine_ev_rcu_lock();
}

PF_INLINE void pf_port_rcu_read_unlock(void)
{
	machine_ev_rcu_unlock();
}

PF_INLINE void pf_port_call_rcu(struct pf_rcu_head *h)
{
	machine_ev_call_rcu(h);
}

PF_INLINE void pf_port_note_alloc(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	machine_ev_alloc(use, pa, bytes);
}

PF_INLINE void pf_port_note_free(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	machine_ev_free(use, pa, bytes);
}

PF_INLINE void pf_port_note_data(pf_pa_t pa, size_t bytes, bool write)
{
	machine_ev_data(pa, bytes, write);
}

PF_INLINE uint64_t pf_port_entry_load(const uint64_t *p)
{
	return machine_ev_load(p, 8);
}

PF_INLINE void pf_port_entry_store(uint64_t *p, uint64_t v, bool release)
{
	machine_ev_store(p, v, 8, release);
}

PF_INLINE uint64_t pf_port_entry_xchg(uint64_t *p, uint64_t v)
{
	return machine_ev_xchg(p, v, 8);
}

PF_INLINE bool pf_port_entry_cas(uint64_t *p, uint64_t *old, uint64_t v)
{
	return machine_ev_cas(p, old, v, 8);
}

PF_INLINE uint32_t pf_port_entry_load32(const uint32_t *p)
{
	return (uint32_t)machine_ev_load(p, 4);
}

PF_INLINE void pf_port_entry_store32(uint32_t *p, uint32_t v, bool release)
{
	machine_ev_store(p, v, 4, release);
}

PF_INLINE uint32_t pf_port_entry_xchg32(uint32_t *p, uint32_t v)
{
	return (uint32_t)machine_ev_xchg(p, v, 4);
}

PF_INLINE bool pf_port_entry_cas32(uint32_t *p, uint32_t *old, uint32_t v)
{
	uint64_t o = *old;
	bool done = machine_ev_cas(p, &o, v, 4);

	*old = (uint32_t)o;
	return done;
}

PF_INLINE bool pf_port_mutant(const char *name)
{
	return machine_mutant(name);
}

#else /* measuring */

PF_INLINE void pf_port_clear_pages(pf_pa_t pa, size_t bytes)
{
	if (!machine_port.no_data)
		__builtin_memset(pf_port_virt(pa), 0, bytes);
}

PF_INLINE void pf_port_copy_pages(pf_pa_t dst, pf_pa_t src, size_t bytes)
{
	if (!machine_port.no_data)
		__builtin_memcpy(pf_port_virt(dst), pf_port_virt(src), bytes);
}

#if PF_COUNT
PF_INLINE void pf_port_count_load(void)
{
	machine_counters.pte_load++;
}

PF_INLINE void pf_port_count_store(void)
{
	machine_counters.pte_store++;
}

PF_INLINE void pf_port_count_xchg(void)
{
	machine_counters.pte_xchg++;
}
#endif

PF_INLINE void pf_port_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2)
{
	bool range;

	machine_counters.tlbi_pages += machine_tlbi_pages(op, operand, operand2, &range);
	machine_counters.tlbi_range += range;
	machine_counters.tlbi++;
	__asm__ volatile("" ::: "memory");
}

PF_INLINE void pf_port_barrier(enum pf_barrier b)
{
	machine_counters.dsb += b != PF_BARRIER_LINK;
	__asm__ volatile("" ::: "memory");
}

PF_INLINE void machine_relax(void)
{
#if defined(__x86_64__)
	__asm__ volatile("pause");
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

PF_INLINE void pf_port_spin_init(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	(void)c;
	(void)id;
	l->word = 0;
}

PF_INLINE bool pf_port_spin_trylock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	(void)c;
	(void)id;
	if (__atomic_exchange_n(&l->word, 1, __ATOMIC_ACQUIRE))
		return false;
	machine_port.spin_depth++;
	return true;
}

PF_INLINE void pf_port_spin_lock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	while (PF_UNLIKELY(!pf_port_spin_trylock(l, c, id)))
		while (pf_load_relaxed(&l->word))
			machine_relax();
}

PF_INLINE void machine_rcu_poll(void)
{
	if (PF_UNLIKELY(machine_port.rcu_head) && !machine_port.rcu_readers &&
		!machine_port.spin_depth)
		machine_rcu_drain();
}

PF_INLINE void pf_port_spin_unlock(struct pf_spinlock *l, enum pf_lock_class c, pf_pa_t id)
{
	(void)c;
	(void)id;
	machine_port.spin_depth--;
	pf_store_release(&l->word, 0);
	machine_rcu_poll();
}

#define MACHINE_RW_WRITER UINT32_MAX

PF_INLINE void pf_port_rw_init(struct pf_rwlock *l, enum pf_lock_class c)
{
	(void)c;
	l->word[0] = l->word[1] = 0;
}

PF_INLINE bool pf_port_rw_read_trylock(struct pf_rwlock *l, enum pf_lock_class c)
{
	uint32_t n = pf_load_relaxed(&l->word[0]);

	(void)c;
	return PF_LIKELY(n < MACHINE_RW_WRITER - 1) &&
	       __atomic_compare_exchange_n(
		       &l->word[0], &n, n + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

PF_INLINE void pf_port_rw_read_lock(struct pf_rwlock *l, enum pf_lock_class c)
{
	while (!pf_port_rw_read_trylock(l, c))
		machine_relax();
}

PF_INLINE void pf_port_rw_read_unlock(struct pf_rwlock *l, enum pf_lock_class c)
{
	(void)c;
	__atomic_fetch_sub(&l->word[0], 1, __ATOMIC_RELEASE);
	machine_rcu_poll();
}

PF_INLINE void pf_port_rw_write_lock(struct pf_rwlock *l, enum pf_lock_class c)
{
	(void)c;
	for (;;) {
		uint32_t n = 0;

		if (PF_LIKELY(__atomic_compare_exchange_n(&l->word[0], &n, MACHINE_RW_WRITER, false,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
			return;
		machine_relax();
	}
}

PF_INLINE void pf_port_rw_write_unlock(struct pf_rwlock *l, enum pf_lock_class c)
{
	(void)c;
	pf_store_release(&l->word[0], 0);
	machine_rcu_poll();
}

PF_INLINE void pf_port_relax(void)
{
	machine_relax();
}

PF_INLINE unsigned pf_port_cpu(void)
{
	return 0;
}

PF_INLINE struct pf_lazy_mmu *pf_port_lazy_mmu(void)
{
	return &machine_port.lazy;
}

/* One host thread: a count is enough, and costs what a preemptible kernel's read lock costs. */
PF_INLINE void pf_port_rcu_read_lock(void)
{
	machine_port.rcu_readers++;
	__asm__ volatile("" ::: "memory");
}

PF_INLINE void pf_port_rcu_read_unlock(void)
{
	__asm__ volatile("" ::: "memory");
	machine_port.rcu_readers--;
	machine_rcu_poll();
}

PF_INLINE void pf_port_call_rcu(struct pf_rcu_head *h)
{
	h->next = NULL;
	*machine_port.rcu_tail = h;
	machine_port.rcu_tail = &h->next;
}

PF_INLINE void pf_port_note_alloc(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	(void)pa;
	(void)bytes;
	machine_counters.table_alloc += use == PF_USE_TABLE;
}

PF_INLINE void pf_port_note_free(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	(void)pa;
	(void)bytes;
	machine_counters.table_free += use == PF_USE_TABLE;
}

#endif /* PF_JUDGE */

#endif
