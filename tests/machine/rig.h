/* SPDX-License-Identifier: MIT */
/*
 * A tree of tables, a few frames and the machine's hooks, for tests that write descriptors as literal words. No code of
 * the library but the port.
 */
#ifndef RIG_H
#define RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "machine/machine.h"
#include "port/port.h"

/* ---- arm64 descriptors, as the manual has them ---- */
#define A_VALID  UINT64_C(1)
#define A_PAGE   UINT64_C(3)
#define A_TABLE  UINT64_C(3)
#define A_BLOCK  UINT64_C(1)
#define A_RO     (UINT64_C(1) << 7)
#define A_AF     (UINT64_C(1) << 10)
#define A_NG     (UINT64_C(1) << 11)
#define A_DBM    (UINT64_C(1) << 51)
#define A_CONT   (UINT64_C(1) << 52)
#define A_SWD    (UINT64_C(1) << 55)
#define A_DEVICE (UINT64_C(1) << 2) /* AttrIndx 1 */
/* User page: SH inner, nG, PXN, UXN, AP[1], A set. */
#define A_BASE  (UINT64_C(0x0060000000000b40) | A_PAGE | A_AF)
#define A_RDO   (A_BASE | A_RO)         /* read-only, clean */
#define A_CLEAN (A_BASE | A_RO | A_DBM) /* writable, hardware may set D */
#define A_DIRTY (A_BASE | A_DBM)        /* writable and dirty */
#define A_OLD   (A_CLEAN & ~A_AF)

/* ---- the tree: one table a level, slot 0 of each leads on; the last has all the pages under test ---- */
struct rig {
	unsigned levels, level_bits;
	uint64_t table[4]; /* by level; 0 is the last */
	uint64_t next;     /* free memory */
};
extern struct rig rig;

#define ASID 5

/* Start the machine and load the tree on CPUs 0 and 1. features as @feature spells them. */
void rig_start(const char *format, const char *features, uint64_t seed);
/* The same, tables built and linked, but on no CPU yet. */
void rig_start_unloaded(const char *format, const char *features, uint64_t seed);
void rig_load(void);
/* bytes of memory, aligned to align; not yet noted. */
uint64_t rig_memory(uint64_t bytes, uint64_t align);
/* A folio of nr frames, naturally aligned (64K at least), noted. */
uint64_t rig_folio(unsigned nr);
/* An empty table that hangs nowhere. */
uint64_t rig_table(void);
uint64_t rig_table_bytes(void);
uint64_t rig_empty(void);
uint64_t rig_table_word(uint64_t pa);

uint64_t *rig_slot(uint64_t table, unsigned idx);
/* Any entry, in the order that the format asks for; release: the store that matters. */
void rig_put(uint64_t table, unsigned idx, uint64_t raw, bool release);

void lock(void); /* the last-level table's */
void unlock(void);
void lock_of(uint64_t table);
void unlock_of(uint64_t table);

/* Slot i of the last-level table. */
uint64_t ld(unsigned i);
void st(unsigned i, uint64_t v);
uint64_t xc(unsigned i, uint64_t v);
bool cas(unsigned i, uint64_t old, uint64_t v);
uint64_t raw(unsigned i); /* what memory holds, unseen by the machine */

void publish(void);
void complete(void);
/* arm64, by address, last level hinted. */
void tlbi(unsigned first, unsigned nr);
/* Publish, invalidate, complete; any format. */
void flush(unsigned first, unsigned nr);
/* The operation of `flush` alone. level: hint, -1 = none. */
void invalidate(uint64_t va, unsigned nr, int level, bool leaf_only, bool local);
void invalidate_asid(unsigned asid);

#define VA(i) ((uint64_t)(i) << 12)
/* 16 slots from first, frames ascending from pa. */
void put16(unsigned first, uint64_t pa, uint64_t attrs);
void clear16(unsigned first);

#endif
