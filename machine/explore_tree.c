// SPDX-License-Identifier: MIT
#include "explore_tree.h"

#if PF_JUDGE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apart.h"
#include "base/bits.h"

struct node {
	uint16_t n, at;
};

/* Which amounts used of both bounds a state was reached with: a bit for each pair below 8. */
struct visit {
	uint64_t hash; /* 0: none */
	uint64_t used;
};

/* where: the clock, and, of hardware, which of its choices there (from 1). */
struct decision {
	uint64_t where;
	uint16_t which;
};

#define MAX_NODES     (1u << 20)
#define MAX_DECISIONS 4096u
#define MAX_VISITS    (UINT64_C(1) << 28)

struct explore_tree {
	struct explore_bounds bounds;
	struct node *nodes;
	unsigned depth;    /* nodes of this schedule, as far as it is decided */
	unsigned at;       /* where the schedule is among them */
	uint64_t clock;    /* of the steps so far, whoever decides what */
	unsigned nchoices; /* of hardware at this clock */
	unsigned used[EXPLORE_COSTS];
	struct decision *taken, *wanted;
	unsigned ntaken, nwanted;
	struct visit *visits; /* a power of two */
	uint64_t room, states;
	uint64_t drawn, rng;
};

static bool grow_visits(struct explore_tree *t)
{
	struct visit *old = t->visits;
	uint64_t had = t->room, room = had ? had * 4 : 1 << 14;
	struct visit *v = room > MAX_VISITS ? NULL : kept_alloc(room * sizeof(*v));

	if (!v)
		return false;
	t->visits = v;
	t->room = room;
	for (uint64_t i = 0; i < had; i++) {
		uint64_t at = old[i].hash & (room - 1);

		if (!old[i].hash)
			continue;
		while (v[at].hash)
			at = (at + 1) & (room - 1);
		v[at] = old[i];
	}
	return true;
}

static bool parse_token(struct explore_tree *t, const char *s)
{
	if (!strcmp(s, "0"))
		return true;
	for (;;) {
		char *end;
		unsigned long long where = strtoull(s, &end, 10);
		unsigned long which;

		if (end == s || *end != '.' || t->nwanted == MAX_DECISIONS)
			return false;
		s = end + 1;
		which = strtoul(s, &end, 10);
		if (end == s || !which || which > UINT16_MAX)
			return false;
		t->wanted[t->nwanted++] =
			(struct decision){.where = where, .which = (uint16_t)which};
		if (!*end)
			return true;
		if (*end != '-')
			return false;
		s = end + 1;
	}
}

struct explore_tree *explore_tree(const struct explore_bounds *b)
{
	struct explore_tree *t = kept_alloc(sizeof(*t));

	if (!t)
		return NULL;
	t->bounds = *b;
	t->rng = (b->seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	t->nodes = kept_alloc(MAX_NODES * sizeof(*t->nodes));
	t->taken = kept_alloc(MAX_DECISIONS * sizeof(*t->taken));
	t->wanted = kept_alloc(MAX_DECISIONS * sizeof(*t->wanted));
	if (!t->nodes || !t->taken || !t->wanted || !grow_visits(t))
		return NULL;
	return b->replay && !parse_token(t, b->replay) ? NULL : t;
}

void explore_tree_start(struct explore_tree *t)
{
	t->at = t->ntaken = t->nchoices = 0;
	t->clock = 0;
	memset(t->used, 0, sizeof(t->used));
}

/* splitmix64. */
uint64_t explore_draw(struct explore_tree *t)
{
	uint64_t z = t->rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

bool explore_may(const struct explore_tree *t, enum explore_cost cost)
{
	if (t->bounds.replay || t->bounds.random)
		return true;
	switch (cost) {
	case EXPLORE_PREEMPTION:
		return t->used[cost] < t->bounds.preemptions;
	case EXPLORE_CHOICE:
		return t->used[cost] < t->bounds.choices;
	default:
		return true;
	}
}

#define CHOICES_A_STEP 256u

static uint64_t where(const struct explore_tree *t, enum explore_cost cost)
{
	return t->clock * CHOICES_A_STEP + (cost == EXPLORE_CHOICE ? t->nchoices : 0);
}

void explore_clock(struct explore_tree *t, uint64_t clock)
{
	if (t->clock != clock)
		t->nchoices = 0;
	t->clock = clock;
}

static unsigned from_token(const struct explore_tree *t, unsigned n, enum explore_cost cost)
{
	for (unsigned i = 0; i < t->nwanted; i++)
		if (t->wanted[i].where == where(t, cost))
			return t->wanted[i].which < n ? t->wanted[i].which : 0;
	return 0;
}

static unsigned from_tree(struct explore_tree *t, unsigned n)
{
	if (t->at == t->depth) {
		if (t->depth == MAX_NODES)
			return 0;
		t->nodes[t->depth++] = (struct node){.n = (uint16_t)n};
	}
	if (t->nodes[t->at].n != n) {
		fprintf(stderr,
			"a schedule played again comes to %u alternatives where there were %u\n", n,
			t->nodes[t->at].n);
		abort();
	}
	return t->nodes[t->at++].at;
}

static unsigned take(struct explore_tree *t, unsigned v, enum explore_cost cost)
{
	if (!v)
		return 0;
	t->used[cost]++;
	if (t->ntaken < MAX_DECISIONS)
		t->taken[t->ntaken++] =
			(struct decision){.where = where(t, cost), .which = (uint16_t)v};
	return v;
}

unsigned explore_decide(struct explore_tree *t, unsigned n, enum explore_cost cost)
{
	if (n < 2)
		return 0;
	t->nchoices += cost == EXPLORE_CHOICE && t->nchoices < CHOICES_A_STEP - 1;
	if (!explore_may(t, cost))
		return 0;
	if (t->bounds.replay)
		return take(t, from_token(t, n, cost), cost);
	if (!t->bounds.random)
		return take(t, from_tree(t, n), cost);
	if (cost == EXPLORE_CHOICE && explore_draw(t) % 8)
		return 0;
	return take(t, (unsigned)(explore_draw(t) % n), cost);
}

unsigned explore_prefer(struct explore_tree *t, unsigned n, unsigned v, enum explore_cost cost)
{
	if (!t->bounds.random)
		return explore_decide(t, n, cost);
	return n < 2 ? 0 : take(t, v, cost);
}

/* Bits of those who had used as little, of both. */
static uint64_t no_more_than(unsigned p, unsigned c)
{
	uint64_t row = (UINT64_C(2) << c) - 1, all = 0;

	for (unsigned i = 0; i <= p; i++)
		all |= row << 8 * i;
	return all;
}

/* Notes that the state was met with bits of `used`, unless bits of `enough` are there already: then true. */
static bool visit(struct explore_tree *t, uint64_t hash, uint64_t enough, uint64_t used)
{
	struct visit *v;
	uint64_t at;

	hash += !hash;
	for (at = hash & (t->room - 1); t->visits[at].hash; at = (at + 1) & (t->room - 1))
		if (t->visits[at].hash == hash)
			break;
	v = &t->visits[at];
	if (v->used & enough)
		return true;
	if (!v->hash && t->states > t->room / 2)
		return grow_visits(t) ? visit(t, hash, enough, used) : false;
	t->states += !v->hash;
	v->hash = hash;
	v->used |= used;
	return false;
}

static bool one_by_one(const struct explore_tree *t)
{
	return t->bounds.replay || t->bounds.random;
}

bool explore_seen(struct explore_tree *t, uint64_t hash)
{
	unsigned p = t->used[EXPLORE_PREEMPTION], c = t->used[EXPLORE_CHOICE];

	if (one_by_one(t) || t->at < t->depth)
		return false;
	/* Where nothing is left to decide, one state in eight is enough to find a schedule that has been. */
	if (!explore_may(t, EXPLORE_PREEMPTION) && !explore_may(t, EXPLORE_CHOICE) && hash % 8)
		return false;
	return visit(t, hash, no_more_than(p, c), PF_BIT(8 * p + c));
}

bool explore_seen_end(struct explore_tree *t, uint64_t hash)
{
	return !one_by_one(t) && visit(t, hash, UINT64_MAX, UINT64_MAX);
}

void explore_tree_restart(struct explore_tree *t, unsigned preemptions)
{
	t->bounds.preemptions = preemptions;
	t->depth = 0;
	t->states = 0;
	memset(t->visits, 0, t->room * sizeof(*t->visits));
}

bool explore_tree_next(struct explore_tree *t)
{
	if (t->bounds.replay)
		return false;
	if (t->bounds.random)
		return ++t->drawn < t->bounds.random;
	while (t->depth) {
		struct node *n = &t->nodes[t->depth - 1];

		if (n->at + 1 < n->n) {
			n->at++;
			return true;
		}
		t->depth--;
	}
	return false;
}

void explore_token(const struct explore_tree *t, char token[EXPLORE_TOKEN])
{
	size_t n = 0;

	snprintf(token, EXPLORE_TOKEN, "0");
	for (unsigned i = 0; i < t->ntaken && n < EXPLORE_TOKEN; i++)
		n += (size_t)snprintf(token + n, EXPLORE_TOKEN - n, "%s%llu.%u", i ? "-" : "",
			(unsigned long long)t->taken[i].where, t->taken[i].which);
	if (n >= EXPLORE_TOKEN || t->ntaken == MAX_DECISIONS)
		snprintf(token, EXPLORE_TOKEN, "(too long)");
}

uint64_t explore_states(const struct explore_tree *t)
{
	return t->states;
}

#endif
