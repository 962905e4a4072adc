/* SPDX-License-Identifier: MIT */
/*
 * What the tests of lib/pt share: one tree with one locked leaf table, random entries of the format, hardware words
 * written and read behind the library's back, and the record of tests/pt/port.
 */
#ifndef PT_TEST_H
#define PT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pt/pf_pt.h"
#include "pt/pt.h"
#include "rec_tlbi.h"

#define N PF_CONT_NR(0) /* entries of a block of pages */
#define E PF_TABLE_ENTRIES

/* ---- random numbers, the same in every run ---- */
extern uint64_t seed;

static inline uint64_t rnd(void)
{
	uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t rnd_below(uint64_t n)
{
	return rnd() % n;
}

static inline bool one_in(unsigned n)
{
	return !rnd_below(n);
}

/* ---- the tree under test ---- */
#define TEST_ASID 0x1234

struct tree {
	struct pf_pt pt;
	struct pf_pte_map m; /* the leaf table of `va`, locked */
};
extern struct tree tree;

/* Table memory: frames of the test port, each between two that cannot be touched. */
extern const struct pf_table_mem test_table_mem;
/* Tables not given back. */
extern unsigned tables_out;
/* Tables made so far; a REC_FREE has the turn of the one freed in `operand`. */
extern uint64_t table_turn;

/* Fresh memory, recorder off: what tree_open begins with. */
void tree_memory(void);
/* A tree with the leaf table of va, empty and locked. va may be any. */
void tree_open(uint32_t features, unsigned flags, enum pf_fold_policy policy, pf_va_t va);
/* Checks that every table comes back. */
void tree_close(void);

/* First address of the last leaf table. */
#define LAST_TABLE ((UINT64_C(1) << PF_VA_BITS) - PF_LEVEL_SIZE(1))

/* Words behind the library's back: not recorded, not hooked. */
static inline pf_hw_t raw_get(unsigned idx)
{
	pf_hw_t hw;

	memcpy(&hw, &tree.m.base[idx], sizeof(hw));
	return hw;
}

static inline void raw_set(unsigned idx, pf_hw_t hw)
{
	memcpy(&tree.m.base[idx], &hw, sizeof(hw));
}

/* Slot of the entry that a recorded access touched; fails outside the table. */
static inline unsigned rec_slot(const struct rec *r)
{
	uintptr_t off = r->p - (uintptr_t)tree.m.base;

	assert_true(off < PF_TABLE_BYTES);
	return (unsigned)(off >> PF_ENTRY_SHIFT);
}

/* ---- entries ---- */

/* Random permissions and attributes that the format stores; user, not special, accessible. */
uint64_t rnd_prot(void);
/* A frame congruent to slot idx of a block, low enough that 64 tables' worth follow. */
pf_pfn_t rnd_base(void);

/* DESIGN 4.3, from the neutral entry: no hardware can change it any more. */
static inline bool is_settled(pf_pte_t e, uint32_t features)
{
	features &= PF_HW_AD_FEATURES;
	if (!pf_pte_accessible(e) || !features)
		return true;
	if (!pf_pte_young(e))
		return false;
	if (!(features & PF_FEAT_HD) || pf_pte_dirty(e))
		return true;
	return !PF_HW_LATE_D && !pf_pte_write(e);
}

const char *pte_text(pf_pte_t e);

#define CHECK(c, ...)                                                                              \
	do {                                                                                       \
		if (PF_UNLIKELY(!(c))) {                                                           \
			print_error(                                                               \
				"%s:%d: %s: not so: %s\n", __FILE__, __LINE__, PF_FMT_NAME, #c);   \
			print_error("  " __VA_ARGS__);                                             \
			print_error("\n");                                                         \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

#endif
