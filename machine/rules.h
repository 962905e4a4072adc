/* SPDX-License-Identifier: MIT */
/*
 * The rules, in the order of docs/RULES.md, which says for each what it demands, why, and by which manual
 * section. tests/machine breaks every one of them.
 */
#ifndef MACHINE_RULES_H
#define MACHINE_RULES_H

#include <stdint.h>

#define MJ_RULES(X)                                                                                \
	X(I1, "a contiguous entry in a block that is not well formed")                             \
	X(I2, "a block left incomplete or unequal when its lock was released")                     \
	X(I3, "a flush completed while members of the block can bring the translation back")       \
	X(I4, "a store went through a stale translation and nothing shows D")                      \
	X(I5, "A set by hardware was overwritten unseen")                                          \
	X(I6, "a block left with mixed write permission when its lock was released")               \
	X(I7, "the contiguous encoding in an entry that is not valid")                             \
	X(I8, "size or contiguity changed without the sequence of the hardware's BBM level")       \
	X(BBM, "break-before-make was due")                                                        \
	X(C1, "an invalidation that cannot take effect was relied on")                             \
	X(F1, "a frame was returned, or used after it, while a translation may reach it")          \
	X(F2, "a freed table was reachable or used")                                               \
	X(F3, "memory was given out twice, or returned twice")                                     \
	X(L1, "a table entry was stored without the table's lock")                                 \
	X(L2, "a lock was taken twice, not released, or released by another")                      \
	X(S1, "a thread slept, or came to rest, inside a lazy-MMU section")                        \
	X(P1, "a table was linked before its initialisation was ordered")                          \
	X(D1, "D was lost")                                                                        \
	X(D2, "D was invented")                                                                    \
	X(AD1, "a plain store over a live word that hardware may change")                          \
	X(AD2, "a contiguous block across two allocations")                                        \
	X(Q1, "a stale permission or frame at a quiescent point")                                  \
	X(Q2, "a block not uniform in a tree at rest")                                             \
	X(Q3, "an ASID given up or shared while translations of it may be cached")                 \
	X(M1, "an encoding that hardware does not define, or a table linked twice")                \
	X(T1, "a TLB operation that the hardware does not have or may ignore")                     \
	X(W2, "the words of a two-word entry in the wrong order")

enum mj_rule {
#define X(name, text) MJ_##name,
	MJ_RULES(X)
#undef X
		MJ_NRULES
};

extern const char *const mj_rule_name[MJ_NRULES];
extern const char *const mj_rule_text[MJ_NRULES];

/* Record the first violation, with the history of the entry at slot_pa (0: of none). */
__attribute__((format(printf, 3, 4))) void mj_violate(
	enum mj_rule rule, uint64_t slot_pa, const char *fmt, ...);

#endif
