/* SPDX-License-Identifier: MIT */
/*
 * The order of locks, held to as they are taken. docs/LOCKING.md has the order and the exceptions; this file says them again, and
 * takes nothing from the library but the classes.
 *
 * Each thread has a list of what it holds, in the order taken. A lock that may be waited for must have a class inside of all
 * that are held; one that is tried may have any, for who tries does not wait. Two of a class: mmap locks, both for writing; table
 * locks, with a mmap lock for writing or in the order of their addresses.
 *
 * A wrong step is told with two stacks: what this thread holds, and what the first thread held that took the two classes in
 * the right order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

#define MAX_HELD 64u

struct one {
	const void *lock;
	pf_pa_t id;
	uint8_t class;
	bool write, tried;
};

struct smp_held {
	unsigned nr;
	struct one one[MAX_HELD];
	struct one want;
};

/* seen[a][b]: what was held when b was first taken with a held. */
static struct {
	uint32_t state; /* 0: not yet; 1: being written; 2: there */
	char stack[200];
} seen[PF_LOCK_NR][PF_LOCK_NR];

static void (*told)(const char *text);

void smp_on_disorder(void (*report)(const char *text))
{
	told = report;
}

static size_t put(char *buf, size_t at, size_t size, const char *text)
{
	int n = snprintf(buf + at, size - at, "%s", text);

	return at + (size_t)n < size ? at + (size_t)n : size - 1;
}

static size_t put_one(char *buf, size_t at, size_t size, const struct one *o)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%s%s", pf_lock_class_name(o->class),
		o->write || o->class >= PF_LOCK_TABLE ? "" : " for reading",
		o->tried ? " (tried)" : "");
	at = put(buf, at, size, text);
	return at;
}

static size_t put_stack(char *buf, size_t at, size_t size, const struct smp_held *h)
{
	for (unsigned i = 0; i < h->nr; i++) {
		at = put(buf, at, size, i ? ", " : "");
		at = put_one(buf, at, size, &h->one[i]);
	}
	return put(buf, at, size, h->nr ? "" : "nothing");
}

static void tell(const char *text)
{
	if (told) {
		told(text);
		return;
	}
	fprintf(stderr, "lock order: %s\n", text);
	abort();
}

static struct smp_held *mine(void)
{
	if (!smp_self.held)
		smp_self.held = calloc(1, sizeof(*smp_self.held));
	if (!smp_self.held)
		abort();
	return smp_self.held;
}

void smp_order_leave(void)
{
	if (smp_self.held && smp_self.held->nr) {
		char text[256];
		size_t at = put(text, 0, sizeof(text), "a thread leaves with ");

		put_stack(text, at, sizeof(text), smp_self.held);
		tell(text);
	}
	free(smp_self.held);
	smp_self.held = NULL;
}

void smp_order_forget(void)
{
	memset(seen, 0, sizeof(seen));
}

static bool holds_mmap_for_writing(const struct smp_held *h)
{
	for (unsigned i = 0; i < h->nr; i++)
		if (h->one[i].class == PF_LOCK_MMAP && h->one[i].write)
			return true;
	return false;
}

/* May `want` be waited for with `have` held? */
static bool in_order(const struct smp_held *h, const struct one *have, const struct one *want)
{
	if (have->lock == want->lock)
		return false;
	if (have->class != want->class)
		return have->class < want->class;
	if (want->class == PF_LOCK_MMAP)
		return have->write && want->write;
	return want->class == PF_LOCK_TABLE && (have->id < want->id || holds_mmap_for_writing(h));
}

static void disorder(const struct smp_held *h, const struct one *have, const struct one *want)
{
	char text[600];
	size_t at = put(text, 0, sizeof(text), "takes ");

	at = put_one(text, at, sizeof(text), want);
	at = put(text, at, sizeof(text),
		have->lock == want->lock ? ", which it holds, with " : " with ");
	at = put_stack(text, at, sizeof(text), h);
	at = put(text, at, sizeof(text), " held; ");
	at = put(text, at, sizeof(text), pf_lock_class_name(have->class));
	at = put(text, at, sizeof(text), " is inside ");
	at = put(text, at, sizeof(text), pf_lock_class_name(want->class));
	if (__atomic_load_n(&seen[want->class][have->class].state, __ATOMIC_ACQUIRE) == 2) {
		at = put(text, at, sizeof(text), ", and was taken with ");
		at = put(text, at, sizeof(text), seen[want->class][have->class].stack);
		put(text, at, sizeof(text), " held");
	}
	tell(text);
}

void smp_order_want(const void *lock, enum pf_lock_class c, pf_pa_t id, bool write)
{
	struct smp_held *h = mine();

	h->want = (struct one){.lock = lock, .id = id, .class = (uint8_t)c, .write = write};
	for (unsigned i = 0; i < h->nr; i++)
		if (!in_order(h, &h->one[i], &h->want)) {
			disorder(h, &h->one[i], &h->want);
			return;
		}
}

void smp_order_took(const void *lock, enum pf_lock_class c, pf_pa_t id, bool write)
{
	struct smp_held *h = mine();
	struct one *o = &h->one[h->nr];
	bool waited = h->want.lock == lock;

	if (h->nr == MAX_HELD) {
		tell("a thread holds too many locks to be watched");
		return;
	}
	*o = (struct one){
		.lock = lock, .id = id, .class = (uint8_t)c, .write = write, .tried = !waited};
	for (unsigned i = 0; i < h->nr && waited; i++) {
		uint32_t none = 0;

		if (h->one[i].tried || pf_load_relaxed(&seen[h->one[i].class][c].state) ||
			!pf_cas_relaxed(&seen[h->one[i].class][c].state, &none, 1))
			continue;
		put_stack(seen[h->one[i].class][c].stack, 0, sizeof(seen[0][0].stack), h);
		pf_store_release(&seen[h->one[i].class][c].state, 2);
	}
	h->want.lock = NULL;
	h->nr++;
	smp_dawdle();
}

void smp_order_released(const void *lock, enum pf_lock_class c)
{
	struct smp_held *h = mine();

	smp_dawdle();
	for (unsigned i = h->nr; i-- > 0;)
		if (h->one[i].lock == lock && h->one[i].class == c) {
			memmove(&h->one[i], &h->one[i + 1], (h->nr - i - 1) * sizeof(h->one[0]));
			h->nr--;
			return;
		}
	tell("a thread releases a lock that it does not hold");
}

/* What may wait is not called with a spinlock. */
void smp_order_sleeps(const char *what)
{
	struct smp_held *h = mine();
	char text[300];
	size_t at;

	for (unsigned i = 0; i < h->nr; i++)
		if (h->one[i].class >= PF_LOCK_TABLE) {
			at = put(text, 0, sizeof(text), what);
			at = put(text, at, sizeof(text), " with ");
			at = put_stack(text, at, sizeof(text), h);
			put(text, at, sizeof(text), " held");
			tell(text);
			return;
		}
}
