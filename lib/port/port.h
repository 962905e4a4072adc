/* SPDX-License-Identifier: MIT */
/*
 * What an embedder supplies, all of it. The embedder writes `pf_port_impl.h`, puts its folder on
 * the include path, and defines there, as static inline functions (or macros), everything this page
 * declares under "the port defines". There is no table of function pointers.
 *
 * The software machine's port (machine/port/) is one implementation; docs/PORTING.md walks through
 * it.
 */
#ifndef PF_PORT_H
#define PF_PORT_H

#include "base/types.h"

/*
 * TLB maintenance operations. A format encodes the operand exactly as its architecture does and the
 * port executes the instruction; on the software machine a decoder that knows nothing of lib/fmt
 * takes it apart again.
 *
 * arm64 (Arm ARM D8.14, C5.5): operand as for the instruction. The IS forms broadcast to the inner
 * shareable domain; the plain ones act on this CPU only.
 *
 * fake formats: operand = asid << 48 | va >> 12; operand2 = (pages - 1) | level << 32 |
 * leaf_only << 40 | whole_asid << 41 | local << 42. `level` is the level of the entries that
 * changed (0 = last level), 7 = unknown; an operation with a level hint need only drop translations
 * that came from entries of that level.
 */
enum pf_tlbi {
	PF_TLBI_VAE1IS,
	PF_TLBI_VALE1IS,
	PF_TLBI_RVAE1IS,
	PF_TLBI_RVALE1IS,
	PF_TLBI_ASIDE1IS,
	PF_TLBI_VMALLE1IS,
	PF_TLBI_VAE1,
	PF_TLBI_VALE1,
	PF_TLBI_RVAE1,
	PF_TLBI_RVALE1,
	PF_TLBI_ASIDE1,
	PF_TLBI_VMALLE1,
	PF_TLBI_FAKE,
};

/*
 * Barriers, by what they order. On arm64: DSB ISHST, DSB ISH, DSB NSHST, DSB NSH, DMB ISHST.
 * PUBLISH makes this CPU's earlier table stores visible to every walker in scope; COMPLETE waits
 * until every earlier invalidation of this CPU has taken effect, for every access begun with what
 * it removed; both also order like a full barrier between the two. LINK orders the initialisation
 * of a table before the store that links it.
 */
enum pf_barrier {
	PF_BARRIER_PUBLISH,        /* DSB ISHST */
	PF_BARRIER_COMPLETE,       /* DSB ISH */
	PF_BARRIER_PUBLISH_LOCAL,  /* DSB NSHST */
	PF_BARRIER_COMPLETE_LOCAL, /* DSB NSH */
	PF_BARRIER_LINK,           /* DMB ISHST */
};

/* What an allocation or a lock is for; for the port's statistics, checks and failure injection. */
enum pf_mem_use { PF_USE_TABLE, PF_USE_ANON, PF_USE_META, PF_USE_FILE };
/*
 * Classes of locks, the outermost first: with a lock held, only locks of later classes are waited for (docs/LOCKING.md has the
 * exceptions). SYNC, PAGES, I_MMAP and TREE are a mapping's (mm/mapping.h); NOTIFY an address space's subscribers'
 * (notify/notify.h). From TABLE on they are spinlocks.
 */
#define PF_LOCK_CLASSES(X)                                                                         \
	X(SYSTEM, "system")                                                                        \
	X(MMAP, "mmap")                                                                            \
	X(VMA, "vma")                                                                              \
	X(SYNC, "sync")                                                                            \
	X(PAGES, "pages")                                                                          \
	X(I_MMAP, "i_mmap")                                                                        \
	X(KSM, "ksm")                                                                              \
	X(ANON, "anon")                                                                            \
	X(TABLE, "table")                                                                          \
	X(NOTIFY, "notify")                                                                        \
	X(TREE, "tree")                                                                            \
	X(SWAP, "swap")                                                                            \
	X(PCP, "pcp")                                                                              \
	X(ZONE, "zone")
#define PF_LOCK_CLASS(name, text) PF_LOCK_##name,
enum pf_lock_class { PF_LOCK_CLASSES(PF_LOCK_CLASS) PF_LOCK_NR };
#undef PF_LOCK_CLASS

/* A class's name, for reports. */
PF_INLINE const char *pf_lock_class_name(enum pf_lock_class c)
{
#define PF_LOCK_CLASS(name, text) text,
	static const char *const name[] = {PF_LOCK_CLASSES(PF_LOCK_CLASS)};
#undef PF_LOCK_CLASS

	return name[c];
}

/* Hardware features an embedder found at run time; a set is handed to every address space. */
enum pf_feature {
	PF_FEAT_HAF = 1 << 0,          /* hardware sets A */
	PF_FEAT_HD = 1 << 1,           /* hardware sets D (DBM); implies HAF */
	PF_FEAT_BBM1 = 1 << 2,         /* FEAT_BBM level >= 1 */
	PF_FEAT_BBM2 = 1 << 3,         /* FEAT_BBM level >= 2 */
	PF_FEAT_BBM2_NOABORT = 1 << 4, /* level 2 and never a TLB conflict abort (level 3) */
	PF_FEAT_TLB_RANGE = 1 << 5,    /* range invalidation (FEAT_TLBIRANGE) */
	PF_FEAT_TTL = 1 << 6,          /* level hints are used (FEAT_TTL) */
};

struct pf_spinlock {
	uint32_t word;
};

/* A reader-writer lock that may sleep. */
struct pf_rwlock {
	uint32_t word[2];
};

/* What a thread has put off (pt/lazy.h): all zero when it begins. The port keeps it and does not look inside. */
struct pf_lazy_mmu {
	uint8_t enabled, paused;
	bool owed;
};

/* Something to be done when lockless walkers are gone. The port uses `next` until it calls
 * pf_rcu_done. */
struct pf_rcu_head {
	struct pf_rcu_head *next;
	void *ctx; /* the library's */
};

/* The library's; the port calls it for each head given to pf_port_call_rcu. Takes PF_LOCK_ZONE. */
void pf_rcu_done(struct pf_rcu_head *head);

/*
 * ---- the port defines ----
 *
 * void *pf_port_virt(pf_pa_t pa)
 *	The address through which the library reaches physical memory it manages (tables, and data
 *it clears, copies or compares). Constant for the life of the frame.
 *
 * pf_pa_t pf_port_phys(const void *p)
 *	The inverse, for addresses that pf_port_virt gave.
 *
 * void *pf_port_memmap(pf_pa_t pa), pf_pa_t pf_port_memmap_pa(const void *meta)
 *	32 zero-initialised bytes of metadata for the 4K frame (the format's page, if larger) at pa,
 *	8-byte aligned, contiguous and ascending with pa. lib/phys keeps struct pf_frame there;
 *lib/pt keeps struct pf_table there for table pages. The second is the inverse.
 *
 * void *pf_port_meta_alloc(size_t bytes), void pf_port_meta_free(void *p, size_t bytes)
 *	Small metadata (VMAs, gather batches). NULL when there is none. Never called with a spinlock
 *held. Reclaim asks, too: a port that reclaims to have an answer does not do so a second time inside.
 *
 * void pf_port_clear_pages(pf_pa_t pa, size_t bytes), void pf_port_copy_pages(dst, src, bytes)
 *	Data pages, or a part of one that is not mapped yet. Made visible before any later store by this CPU
 *	that maps them.
 *
 * void pf_port_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2)
 * void pf_port_barrier(enum pf_barrier b)
 *	As above. If a thread migrates between an invalidation and its COMPLETE, the port's context
 *	switch completes it on the CPU that issued it (arm64: DSB ISH in switch_to).
 *
 * void pf_port_spin_init/lock/unlock(struct pf_spinlock *, enum pf_lock_class, pf_pa_t id)
 * bool pf_port_spin_trylock(...)
 *	Acquire and release ordering. `id` names what is protected (a table's address), for
 *checkers.
 *
 * void pf_port_rw_init/read_lock/read_unlock/write_lock/write_unlock(struct pf_rwlock *,
 *	enum pf_lock_class)
 * bool pf_port_rw_read_trylock(struct pf_rwlock *, enum pf_lock_class)
 *	Never waits: who ages pages takes no for an answer.
 *
 * void pf_port_relax(void)
 *	The caller waits for something that another CPU or thread will do, and looks again when
 *this returns. No spinlock is held: let others run.
 *
 * unsigned pf_port_cpu(void)
 *	The number of the CPU that this runs on, from 0, or any other number: who is moved meanwhile, or gets one that another has, shares
 *	lines and locks that would else be his CPU's own, and nothing worse.
 *
 * struct pf_lazy_mmu *pf_port_lazy_mmu(void)
 *	The running thread's. NULL: there is none, as in an interrupt; nothing is put off then.
 *
 * void pf_port_rcu_read_lock(void), pf_port_rcu_read_unlock(void)
 * void pf_port_call_rcu(struct pf_rcu_head *)
 *	pf_rcu_done(head) is called when every lockless walker that began before has ended, from a
 *context without spinlocks. No allocation: the head is the memory. Two forms: the head is queued; or call_rcu waits for the
 *walkers and calls pf_rcu_done itself, for instance by an interrupt to every CPU, where read sections keep
 *interrupts off. The library calls it with no spinlock, outside of read sections.
 *
 * void pf_port_note_alloc(enum pf_mem_use, pf_pa_t pa, size_t bytes)
 * void pf_port_note_free(enum pf_mem_use, pf_pa_t pa, size_t bytes)
 *	Memory changes hands: an extent of frames becomes one table or one folio, or is returned.
 *Part of a folio that is noted as allocated becomes a folio of its own, and so does the rest. The judge checks lifetimes by it; a real port leaves them empty. bool pf_port_fail_alloc(enum
 *pf_mem_use) Failure injection: true makes this allocation fail. A real port returns false.
 *
 * Only with PF_JUDGE, where every access to an entry, and to what data pages contain, is the machine's to see:
 * void pf_port_note_data(pf_pa_t pa, size_t bytes, bool write)
 * uint64_t pf_port_entry_load(const uint64_t *p)
 * void pf_port_entry_store(uint64_t *p, uint64_t v, bool release)
 * uint64_t pf_port_entry_xchg(uint64_t *p, uint64_t v)
 * bool pf_port_entry_cas(uint64_t *p, uint64_t *old, uint64_t v)
 *	and the same with 32 at the end of the name for 32-bit words (formats of two words an
 *entry). bool pf_port_mutant(const char *name) True if that deliberate bug was asked for.
 */
#include "pf_port_impl.h"

/* pf_port_virt(), for who reads or writes contents of data pages next: so many bytes, which others may access meanwhile. */
PF_INLINE void *pf_port_data(pf_pa_t pa, size_t bytes, bool write)
{
#if PF_JUDGE
	pf_port_note_data(pa, bytes, write);
#else
	(void)bytes, (void)write;
#endif
	return pf_port_virt(pa);
}

/*
 * With PF_COUNT, and without PF_JUDGE, each access to an entry is counted by the port, which defines
 * pf_port_count_load(), _store() and _xchg(). Off, it costs nothing.
 */
#if PF_COUNT
#define PF_COUNT_ENTRY(kind) pf_port_count_##kind()
#else
#define PF_COUNT_ENTRY(kind) ((void)0)
#endif

/* A deliberate historical bug, alive only in the judge: if (PF_MUTANT("name")) ... */
#if PF_JUDGE
#define PF_MUTANT(name) PF_UNLIKELY(pf_port_mutant(name))
#else
#define PF_MUTANT(name) 0
#endif

#endif
