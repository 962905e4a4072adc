/* SPDX-License-Identifier: MIT */
/*
 * The tree of decisions: which of n alternatives is taken where, schedule after schedule, depth first. 0 is always the usual one.
 * Private to the explorer.
 */
#ifndef MACHINE_EXPLORE_TREE_H
#define MACHINE_EXPLORE_TREE_H

#include "explore.h"

/* What an alternative other than 0 costs. */
enum explore_cost { EXPLORE_FREE, EXPLORE_PREEMPTION, EXPLORE_CHOICE, EXPLORE_COSTS };

struct explore_tree;

/* NULL: no memory, or a token that is none. */
struct explore_tree *explore_tree(const struct explore_bounds *b);
/* A schedule begins. */
void explore_tree_start(struct explore_tree *t);
/* From the beginning, with this bound. */
void explore_tree_restart(struct explore_tree *t, unsigned preemptions);
/* How many steps there have been: by which a token knows its decisions. */
void explore_clock(struct explore_tree *t, uint64_t clock);
unsigned explore_decide(struct explore_tree *t, unsigned n, enum explore_cost cost);
/* The same, but where schedules are drawn it is v. */
unsigned explore_prefer(struct explore_tree *t, unsigned n, unsigned v, enum explore_cost cost);
/* Are alternatives other than 0 to be had? */
bool explore_may(const struct explore_tree *t, enum explore_cost cost);
/*
 * Past what earlier schedules decided, in the state `hash`: true if another came to it with as much left of the bounds, and
 * nothing new is to be found. Otherwise it is noted.
 */
bool explore_seen(struct explore_tree *t, uint64_t hash);
/* All threads have ended, in this state: true if another schedule ended so, too, with all the same results. */
bool explore_seen_end(struct explore_tree *t, uint64_t hash);
/* Is there another schedule? */
bool explore_tree_next(struct explore_tree *t);
/* This schedule's decisions other than 0, as "where.which-where.which"; "0" if there were none. */
void explore_token(const struct explore_tree *t, char token[EXPLORE_TOKEN]);
uint64_t explore_states(const struct explore_tree *t);
/* Draws by the seed, where schedules are drawn. */
uint64_t explore_draw(struct explore_tree *t);

#endif
