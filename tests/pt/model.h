/* SPDX-License-Identifier: MIT */
/*
 * What each verb of pt/pt.h is to do, in a model without hardware: an array of neutral entries, each with its own A
 * and D, and whether it is folded. The model also says what the verb may cost and which flushes it must issue, in
 * their order. Written from the table of Linux's behaviour in docs/GOLDEN.md and from pt.h, not from lib/pt.
 */
#ifndef PT_MODEL_H
#define PT_MODEL_H

#include "pt_test.h"

struct slot {
	pf_pte_t e; /* A and D as this entry has them, not gathered */
	bool cont;
	bool hw_dirty; /* D is where hardware puts it; the word changes when software writes it down itself */
};
extern struct slot model[E];

/* By block: unfolds since it was last quiet, 2 at most. Policy `watch` only. */
extern uint8_t model_unfolds[E];
bool model_watches(void);
/* Do both slots look as if they belonged to one block? Of one block's slots the first follows the last. */
bool model_alike(unsigned a, unsigned b);

enum flush_kind { FLUSH_ALL_CPUS, FLUSH_LOCAL, FLUSH_NO_WAIT };

/* What is expected of one call. */
struct want {
	unsigned xchg_min, xchg_max;   /* exchanges, compare-and-exchanges */
	unsigned store_min, store_max; /* plain stores */
	unsigned fold, unfold;
	unsigned lo, hi; /* slots that may be written */
	struct {
		enum flush_kind kind;
		unsigned first, nr;
	} flush[16];
	unsigned flushes;
};
extern struct want want;

/* Nothing is expected; slots as they are. */
void want_nothing(void);

pf_pte_t model_get(unsigned idx); /* gathered */
unsigned model_live(void);
/* Would the aligned block whose first slot gets `first` be written contiguous? */
bool model_eligible(pf_pte_t first, struct pf_extent x);

void model_set_pte_at(unsigned idx, pf_pte_t e, struct pf_extent x);
void model_set_ptes(unsigned idx, pf_pte_t e, unsigned nr, struct pf_extent x);
pf_pte_t model_get_and_clear(unsigned idx, unsigned nr);
void model_clear_not_present(unsigned idx, unsigned nr);
void model_wrprotect(unsigned idx, unsigned nr, struct pf_extent x);
bool model_clear_young(unsigned idx, unsigned nr, bool flush);
void model_clear_young_dirty(unsigned idx, unsigned nr, unsigned flags);
bool model_set_access(unsigned idx, pf_pte_t e, bool flush, struct pf_extent x);
void model_modify(
	unsigned idx, unsigned nr, uint64_t prot, uint64_t set, uint64_t clear, struct pf_extent x);
/* Both in the one table; extent {0, 0}: none. */
void model_move(unsigned from, unsigned to, unsigned nr, struct pf_extent x);
unsigned model_move_run(unsigned from, unsigned to, unsigned max, bool *flush);
bool model_may_fold(unsigned from, unsigned to, unsigned max);

#endif
