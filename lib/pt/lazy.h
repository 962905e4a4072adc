/* SPDX-License-Identifier: MIT */
/*
 * Lazy-MMU sections (A11): a thread that changes many entries in a row puts off what each of them owes to hardware, and
 * pays once when it leaves. What is owed is PUBLISH, after entries of PF_PT_NOFAULT trees: elsewhere a walker that misses a
 * new entry takes a fault, whose entry into the kernel publishes, so nothing is owed and a section costs nothing.
 *
 * A section belongs to the thread that opened it (the port keeps the record) and to no tree. Inside it
 *   - what has been mapped is not used: a walker, this CPU's too, may miss it until the section is left. Whoever
 *     else is to use it is told afterwards;
 *   - nothing that is unmapped or protected is put off: those calls return when no TLB holds the old, as always;
 *   - nobody sleeps: the library leaves for as long as it asks for memory or gives it back, and so must the caller for
 *     anything else that sleeps (pause and resume).
 * A thread may be preempted, and go on elsewhere: a context switch orders its stores as it must without a section
 * (docs/PORTING.md, migration).
 */
#ifndef PF_PT_LAZY_H
#define PF_PT_LAZY_H

#include "port/port.h"

/*
 * Open and close a section. They nest, 255 deep; closing an inner one pays, too, so that its opener may use what it
 * mapped. In an interrupt, and while paused, both do nothing. Any context; no lock; never fail. One PUBLISH
 * at most, when closing.
 */
void pf_lazy_mmu_enable(void);
void pf_lazy_mmu_disable(void);
/*
 * Leave whatever sections are open, for a while: pays; and take them up again. They nest, too. Nothing if none is
 * open.
 */
void pf_lazy_mmu_pause(void);
void pf_lazy_mmu_resume(void);

/* For lib/pt: PUBLISH is due. At once, or when the section is left. */
void pf_lazy_mmu_publish(void);

#endif
