// SPDX-License-Identifier: MIT
/*
 * Threads of the explorer: contexts that give way to each other at the judge's points, and the hash of what each has done.
 */
#include "explore.h"

#if PF_JUDGE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "apart.h"
#include "explore_tree.h"
#include "judge.h"

#define STACK_BYTES (1u << 20)
/* A schedule of more steps than these goes round in circles. */
#define MAX_POINTS 200000u
#define NOBODY     EXPLORE_MAX_THREADS

struct thread {
	ucontext_t context;
	uint64_t hash;      /* of its last step, and so of all before it */
	const void *wanted; /* blocked: by this lock; NULL: until another changes something */
	bool blocked, ended;
	unsigned priority; /* where schedules are drawn */
};

/* An object's last change. What came before it, of those who read, their own hashes tell. */
struct object {
	uint64_t id, changed;
	uint64_t schedule; /* in which it was seen; else it is as new */
};

#define OBJECTS (1u << 16)

/* Who has ever read or changed an object, in any schedule: bits of threads. */
struct users {
	uint64_t id;
	uint32_t
		number; /* in the order in which objects were met: addresses differ from run to run */
	uint8_t read, changed;
	bool skipped; /* a point was passed by because nobody else had */
};

struct explorer {
	const struct explore_plan *plan;
	struct explore_tree *tree;
	struct thread threads[EXPLORE_MAX_THREADS];
	ucontext_t home;
	unsigned running;
	uint64_t hardware; /* hash of what walkers did, in no order */
	uint64_t points, most_points, schedule;
	uint64_t played;       /* schedules, of all rounds */
	uint64_t change_at[2]; /* drawn: points at which the running thread loses its priority */
	struct object *objects;
	unsigned nobjects;
	struct users *users;
	unsigned nusers;
	struct users others;
	uint64_t
		clock; /* steps that were stopped at or passed by, and other decisions: what a token counts */
	bool missed; /* a point was passed by that should not have been */
	enum { GOES_ON, ENDED, CUT, STOPPED } state;
	char why[8192];
	bool right;
};

static struct explorer *x; /* kept */

/* All schedules within bounds, not some that are drawn, or one. */
static bool is_bounded(void)
{
	return !x->plan->bounds.replay && !x->plan->bounds.random;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = a ^ (b + UINT64_C(0x9e3779b97f4a7c15) + (a << 6) + (a >> 2));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* The schedule is over; this thread's context is never gone on with. */
static void leave(int state, const char *why)
{
	x->state = state;
	if (why)
		snprintf(x->why, sizeof(x->why), "%s", why);
	setcontext(&x->home);
	abort();
}

/* ---- what steps depend on ---- */

static struct object *object(uint64_t id)
{
	uint64_t at = mix(id, 1) % OBJECTS;
	struct object *o;

	for (;; at = (at + 1) % OBJECTS) {
		o = &x->objects[at];
		if (o->id == id || o->schedule != x->schedule)
			break;
	}
	if (o->id != id || o->schedule != x->schedule) {
		if (++x->nobjects == OBJECTS / 2)
			leave(STOPPED, "the threads touch more objects than are told apart");
		*o = (struct object){.id = id, .schedule = x->schedule};
	}
	return o;
}

static struct users *users(uint64_t id)
{
	uint64_t at = mix(id, 2) % OBJECTS;

	while (x->users[at].id && x->users[at].id != id)
		at = (at + 1) % OBJECTS;
	if (!x->users[at].id) {
		/* No more are told apart: of the rest everybody has part. */
		if (x->nusers == OBJECTS / 2)
			return &x->others;
		x->nusers++;
		x->users[at].id = id;
		x->users[at].number = x->nusers;
	}
	return &x->users[at];
}

/* Somebody else has read what this step changes, or changed what it reads. */
static bool is_shared(const struct users *u, bool changes)
{
	const uint8_t others = (uint8_t) ~(1u << x->running);

	return (u->changed & others) || (changes && u->read & others);
}

static bool in_memory(uint64_t id)
{
	const uint64_t first = (uintptr_t)pf_port_virt(MACHINE_RAM_BASE);

	return id - first < mj.memory;
}

static bool shared(uint64_t id, bool changes)
{
	struct users *u;
	bool yes;

	/* Where all steps are looked at, or counted, there is a point before each. */
	if (!is_bounded() || x->plan->during)
		return true;
	/* Walkers have part in every entry. */
	if (x->plan->nwalkers && in_memory(id))
		return true;
	u = users(id);
	yes = is_shared(u, changes);
	u->skipped |= !yes;
	return yes;
}

/* The running thread does a step without a point before it. */
static void skip(void)
{
	x->clock++;
}

static void note_user(struct users *u, bool changed)
{
	const uint8_t me = (uint8_t)(1u << x->running);

	/* What was nobody else's until now: schedules that left it out are not all there are. */
	x->missed |= u->skipped && !((changed ? u->changed : u->read | u->changed) & me);
	if (changed)
		u->changed |= me;
	else
		u->read |= me;
}

static void wake(unsigned but, uint64_t id)
{
	for (unsigned i = 0; i < x->plan->nthreads; i++) {
		struct thread *t = &x->threads[i];

		if (i != but && t->blocked && (!t->wanted || (uintptr_t)t->wanted == id))
			t->blocked = false;
	}
}

static void did(uint64_t id, bool changed)
{
	struct thread *t = &x->threads[x->running];
	struct object *o = object(id);
	struct users *u = users(id);

	note_user(u, changed);
	t->hash = mix(mix(t->hash, u->number + (changed ? OBJECTS : 0)), o->changed);
	if (!changed)
		return;
	o->changed = t->hash;
	wake(x->running, id);
}

static uint64_t state_hash(void)
{
	uint64_t h = mix(x->running, x->hardware);

	for (unsigned i = 0; i < x->plan->nthreads; i++)
		h = mix(h, x->threads[i].hash + x->threads[i].ended + 2 * x->threads[i].blocked);
	return h;
}

static unsigned choose(unsigned n)
{
	struct thread *t = &x->threads[x->running];
	unsigned v;

	explore_clock(x->tree, x->clock);
	v = explore_decide(x->tree, n, EXPLORE_CHOICE);

	t->hash = mix(t->hash, v + 2);
	return v;
}

/* ---- turns ---- */

static void check_rules(void)
{
	if (machine_violation())
		leave(STOPPED, machine_violation_text());
}

/* The thread with the highest priority, where schedules are drawn (Burckhardt and others, 2010). */
static unsigned preferred(const unsigned *who, unsigned n)
{
	unsigned best = 0;

	for (unsigned i = 1; i < n; i++)
		if (x->threads[who[i]].priority > x->threads[who[best]].priority)
			best = i;
	return best;
}

static bool can_run(unsigned i)
{
	return !x->threads[i].ended && !x->threads[i].blocked;
}

/* Who is next. Going on with the running thread is free, and so is any other where it cannot go on. */
static unsigned next_thread(void)
{
	unsigned who[EXPLORE_MAX_THREADS], n = 0;
	bool goes_on = x->running != NOBODY && can_run(x->running);

	if (goes_on)
		who[n++] = x->running;
	for (unsigned i = 0; i < x->plan->nthreads; i++)
		if (i != x->running && can_run(i))
			who[n++] = i;
	if (!n)
		return NOBODY;
	if (goes_on && (x->points == x->change_at[0] || x->points == x->change_at[1]))
		x->threads[x->running].priority = x->points == x->change_at[0] ? 1 : 0;
	return who[explore_prefer(
		x->tree, n, preferred(who, n), goes_on ? EXPLORE_PREEMPTION : EXPLORE_FREE)];
}

static void turn_to(unsigned i)
{
	unsigned from = x->running;

	if (i == from)
		return;
	x->running = i;
	machine_run_on(x->plan->threads[i].cpu);
	swapcontext(&x->threads[from].context, &x->threads[i].context);
}

/* ---- walkers ---- */

/* A walk of CPU w's for va would set A in this entry now; NULL: it would change nothing. */
static struct mj_table *unaccessed(const struct explore_walker *w, uint64_t va, unsigned *idx)
{
	struct mmu_entry e;
	struct mj_table *t;

	if (!mj.cpus[w->cpu].has_root || !(mj.features & PF_FEAT_HAF) ||
		!mj_find_leaf(mj.cpus[w->cpu].root, va, &e, &t, idx) || e.accessed)
		return NULL;
	return t;
}

static uint64_t count_unaccessed(uint64_t skip, struct mj_table **t, unsigned *idx)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < x->plan->nwalkers; i++) {
		const struct explore_walker *w = &x->plan->walkers[i];

		for (uint64_t p = 0; p < w->nr; p++) {
			*t = unaccessed(w, w->va + p * w->page, idx);
			if (*t && n++ == skip)
				return n;
		}
	}
	return n;
}

/* Walks that change nothing are no steps: what TLBs may hold the judge knows without them. */
static void walkers_step(void)
{
	struct mj_table *t;
	unsigned idx, v;

	while (x->plan->nwalkers && explore_may(x->tree, EXPLORE_CHOICE)) {
		uint64_t n = count_unaccessed(UINT64_MAX, &t, &idx), before;
		struct thread *me = &x->threads[x->running];

		v = explore_decide(x->tree, (unsigned)n + 1, EXPLORE_CHOICE);
		if (!v)
			return;
		count_unaccessed(v - 1, &t, &idx);
		/* A step of its own, that follows nothing but what the entry was. */
		before = me->hash;
		me->hash = 0;
		mj_walker_update(t, idx, *mj_slot_ptr(t, idx), false);
		x->hardware += me->hash;
		me->hash = before;
		check_rules();
	}
}

/* ---- points ---- */

enum { STEPS, BLOCKS, YIELDS };

static void pass(int how)
{
	struct thread *me = &x->threads[x->running];
	unsigned next;

	check_rules();
	/* Callbacks of RCU run as if interrupts were off, unless they wait for a lock. */
	if (how == STEPS && mj_rcu_running()) {
		skip();
		return;
	}
	if (++x->points > MAX_POINTS)
		leave(STOPPED, "the threads go round in circles: no end after many steps");
	if (how != STEPS) {
		me->blocked = true;
		me->wanted = how == BLOCKS ? mj.wanted : NULL;
	}
	explore_clock(x->tree, x->clock);
	if (explore_seen(x->tree, state_hash()))
		leave(CUT, NULL);
	if (x->plan->during && !x->plan->during(x->plan->ctx))
		leave(STOPPED, "");
	walkers_step();
	next = next_thread();
	if (next == NOBODY && how == YIELDS)
		next = x->running;
	if (next == NOBODY)
		leave(STOPPED, "every thread waits for another");
	x->clock++;
	turn_to(next);
	me->blocked = false;
	/* Having passed a point is a step, even if it changes nothing that others see. */
	me->hash = mix(me->hash, 3);
}

static void point(void *ctx, bool blocked)
{
	(void)ctx;
	pass(blocked ? BLOCKS : STEPS);
}

void machine_explore_yield(void)
{
	if (mj.explorer)
		pass(YIELDS);
}

void pf_atomic_point(const volatile void *p, bool changes)
{
	if (!mj.explorer)
		return;
	if (shared((uintptr_t)p, changes))
		pass(STEPS);
	else
		skip();
	did((uintptr_t)p, changes);
}

void pf_atomic_wait(const volatile void *p)
{
	if (!mj.explorer)
		return;
	mj.wanted = (const void *)p;
	pass(BLOCKS);
}

static void thread_main(void)
{
	const struct explore_thread *t = &x->plan->threads[x->running];
	unsigned next;

	t->run(t->arg);
	check_rules();
	x->threads[x->running].ended = true;
	did(MJ_OBJ_TIME, true);
	explore_clock(x->tree, x->clock++);
	next = next_thread();
	if (next != NOBODY)
		turn_to(next);
	for (unsigned i = 0; i < x->plan->nthreads; i++)
		if (!x->threads[i].ended)
			leave(STOPPED, "every thread waits for another");
	leave(explore_seen_end(x->tree, state_hash()) ? CUT : ENDED, NULL);
}

void machine_explore_mark(bool end)
{
	if (!mj.explorer)
		return;
	pass(STEPS);
	did(MJ_OBJ_TIME, end);
}

uint64_t machine_explore_now(void)
{
	return x ? x->points : 0;
}

/* ---- schedules ---- */

static const struct mj_explorer hooks = {
	.choose = choose, .did = did, .shared = shared, .skip = skip};

static void draw_priorities(void)
{
	if (!x->plan->bounds.random)
		return;
	for (unsigned i = 0; i < x->plan->nthreads; i++)
		x->threads[i].priority = 2 + (unsigned)(explore_draw(x->tree) % 1000);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(x->change_at); i++)
		x->change_at[i] = explore_draw(x->tree) % (x->most_points + 16);
}

static void play(void *arg)
{
	volatile bool back = false;
	const unsigned cpu = machine_cpu();

	(void)arg;
	getcontext(&x->home);
	if (!back) {
		back = true;
		machine_set_schedule(point, NULL);
		mj.explorer = &hooks;
		/* At 0 it is decided who begins. */
		x->clock = 1;
		x->running = NOBODY;
		x->running = next_thread();
		machine_run_on(x->plan->threads[x->running].cpu);
		setcontext(&x->threads[x->running].context);
	}
	machine_set_schedule(NULL, NULL);
	mj.explorer = NULL;
	machine_run_on(cpu);
	x->most_points = pf_max(x->most_points, x->points);
	x->right = x->state == CUT ||
		   x->plan->after(x->plan->ctx, x->state == STOPPED ? x->why : NULL);
	/* What is in a stream's buffer goes back with the rest of memory. */
	mj_log_flush();
}

static void prepare(char *stacks)
{
	explore_tree_start(x->tree);
	x->schedule++;
	x->points = x->hardware = x->nobjects = 0;
	x->state = GOES_ON;
	for (unsigned i = 0; i < x->plan->nthreads; i++) {
		struct thread *t = &x->threads[i];

		memset(t, 0, sizeof(*t));
		t->hash = i + 1;
		getcontext(&t->context);
		t->context.uc_stack.ss_sp = stacks + (size_t)i * STACK_BYTES;
		t->context.uc_stack.ss_size = STACK_BYTES;
		t->context.uc_link = NULL;
		makecontext(&t->context, thread_main, 0);
	}
	draw_priorities();
}

/* Every schedule of one bound, or those that are drawn. False: one was wrong. */
static bool play_all(char *stacks, struct explore_result *r)
{
	const struct explore_plan *plan = x->plan;

	for (;;) {
		prepare(stacks);
		apart_run(play, NULL);
		r->schedules += x->state != CUT;
		r->cut += x->state == CUT;
		x->played++;
		if (!x->right) {
			r->failed = true;
			explore_token(x->tree, r->token);
			return false;
		}
		if (plan->progress && !(x->played % 1000))
			plan->progress(plan->ctx, x->played);
		if (!explore_tree_next(x->tree))
			return true;
		if (plan->bounds.most && x->played >= plan->bounds.most) {
			r->stopped = true;
			return true;
		}
		/* What is decided where would not be the same any more. */
		if (is_bounded() && x->missed)
			return true;
	}
}

/*
 * With few preemptions first, which finds what is shared, and simple failures by simple schedules. Which objects are shared is
 * learnt on the way: a round that learns that it has passed by a point that matters begins again.
 */
static void play_rounds(char *stacks, struct explore_result *r)
{
	const struct explore_bounds *b = &x->plan->bounds;
	const bool all = is_bounded();
	unsigned preemptions = all ? 0 : b->preemptions;

	for (;;) {
		*r = (struct explore_result){0};
		x->missed = false;
		for (unsigned i = 0; i < OBJECTS; i++)
			x->users[i].skipped = false;
		explore_tree_restart(x->tree, preemptions);
		if (!play_all(stacks, r) || r->stopped)
			return;
		if (all && x->missed)
			continue;
		if (preemptions >= b->preemptions)
			break;
		preemptions++;
	}
	r->exhausted = all;
}

int machine_explore(const struct explore_plan *plan, struct explore_result *r)
{
	char *stacks = kept_alloc(EXPLORE_MAX_THREADS * STACK_BYTES);
	int err;

	*r = (struct explore_result){0};
	x = kept_alloc(sizeof(*x));
	if (!x || !stacks)
		return ENOMEM;
	x->plan = plan;
	x->objects = kept_alloc(OBJECTS * sizeof(*x->objects));
	x->users = kept_alloc(OBJECTS * sizeof(*x->users));
	x->others = (struct users){.read = UINT8_MAX, .changed = UINT8_MAX};
	x->tree = explore_tree(&plan->bounds);
	if (!x->objects || !x->users || !x->tree)
		return plan->bounds.replay ? -1 : ENOMEM;
	mj_log_flush();
	err = apart_begin();
	if (err)
		return err;
	play_rounds(stacks, r);
	r->states = explore_states(x->tree);
	r->points = x->most_points;
	apart_end();
	x = NULL;
	return 0;
}

#else /* measuring: there are no steps to come between */

#include <errno.h>

int machine_explore(const struct explore_plan *plan, struct explore_result *r)
{
	(void)plan;
	*r = (struct explore_result){0};
	return ENOSYS;
}

void machine_explore_mark(bool end)
{
	(void)end;
}

void machine_explore_yield(void)
{
}

uint64_t machine_explore_now(void)
{
	return 0;
}

#endif
