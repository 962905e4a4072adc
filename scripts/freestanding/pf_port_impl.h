/* SPDX-License-Identifier: MIT */
/*
 * Every function of port/port.h as an external one: what the library still needs after it is linked
 * with itself shows as undefined symbols, and scripts/check-freestanding compares them with this
 * list.
 */
#ifndef PF_PORT_IMPL_H
#define PF_PORT_IMPL_H

void *pf_port_virt(pf_pa_t pa);
pf_pa_t pf_port_phys(const void *p);
void *pf_port_memmap(pf_pa_t pa);
pf_pa_t pf_port_memmap_pa(const void *meta);
void *pf_port_meta_alloc(size_t bytes);
void pf_port_meta_free(void *p, size_t bytes);
void pf_port_clear_pages(pf_pa_t pa, size_t bytes);
void pf_port_copy_pages(pf_pa_t dst, pf_pa_t src, size_t bytes);

void pf_port_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2);
void pf_port_barrier(enum pf_barrier b);

void pf_port_spin_init(struct pf_spinlock *lock, enum pf_lock_class class, pf_pa_t id);
void pf_port_spin_lock(struct pf_spinlock *lock, enum pf_lock_class class, pf_pa_t id);
void pf_port_spin_unlock(struct pf_spinlock *lock, enum pf_lock_class class, pf_pa_t id);
bool pf_port_spin_trylock(struct pf_spinlock *lock, enum pf_lock_class class, pf_pa_t id);

void pf_port_rw_init(struct pf_rwlock *lock, enum pf_lock_class class);
void pf_port_rw_read_lock(struct pf_rwlock *lock, enum pf_lock_class class);
bool pf_port_rw_read_trylock(struct pf_rwlock *lock, enum pf_lock_class class);
void pf_port_rw_read_unlock(struct pf_rwlock *lock, enum pf_lock_class class);
void pf_port_rw_write_lock(struct pf_rwlock *lock, enum pf_lock_class class);
void pf_port_rw_write_unlock(struct pf_rwlock *lock, enum pf_lock_class class);

void pf_port_relax(void);
unsigned pf_port_cpu(void);
struct pf_lazy_mmu *pf_port_lazy_mmu(void);

void pf_port_rcu_read_lock(void);
void pf_port_rcu_read_unlock(void);
void pf_port_call_rcu(struct pf_rcu_head *head);

void pf_port_note_alloc(enum pf_mem_use use, pf_pa_t pa, size_t bytes);
void pf_port_note_free(enum pf_mem_use use, pf_pa_t pa, size_t bytes);
bool pf_port_fail_alloc(enum pf_mem_use use);

#if PF_JUDGE
void pf_port_note_data(pf_pa_t pa, size_t bytes, bool write);
uint64_t pf_port_entry_load(const uint64_t *p);
void pf_port_entry_store(uint64_t *p, uint64_t v, bool release);
uint64_t pf_port_entry_xchg(uint64_t *p, uint64_t v);
bool pf_port_entry_cas(uint64_t *p, uint64_t *old, uint64_t v);
uint32_t pf_port_entry_load32(const uint32_t *p);
void pf_port_entry_store32(uint32_t *p, uint32_t v, bool release);
uint32_t pf_port_entry_xchg32(uint32_t *p, uint32_t v);
bool pf_port_entry_cas32(uint32_t *p, uint32_t *old, uint32_t v);
bool pf_port_mutant(const char *name);
#endif

#endif
