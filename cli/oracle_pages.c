// SPDX-License-Identifier: MIT
/* What pages hold: a table by page number. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/oracle_impl.h"

void *ov_grow(void *p, size_t bytes)
{
	p = realloc(p, bytes ? bytes : 1);
	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return p;
}

static bool is_live(const struct ov_cell *c)
{
	return c->key && (c->value || c->lazy || c->own);
}

static size_t slot_of(const struct ov_table *t, uint64_t key)
{
	size_t i = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->size - 1);

	while (t->cells[i].key && t->cells[i].key != key)
		i = (i + 1) & (t->size - 1);
	return i;
}

struct ov_cell *ov_get(struct ov_table *t, uint64_t page)
{
	if (!t->size)
		return NULL;
	struct ov_cell *c = &t->cells[slot_of(t, page + 1)];

	return c->key ? c : NULL;
}

/* Zero pages need no cell: they are left behind. */
static void rebuild(struct ov_table *t)
{
	struct ov_table old = *t;
	size_t live = 0;

	for (size_t i = 0; i < old.size; i++)
		live += is_live(&old.cells[i]);
	t->size = 64;
	while (t->size < live * 4)
		t->size *= 2;
	t->cells = ov_grow(NULL, t->size * sizeof(*t->cells));
	memset(t->cells, 0, t->size * sizeof(*t->cells));
	t->used = live;
	for (size_t i = 0; i < old.size; i++)
		if (is_live(&old.cells[i]))
			t->cells[slot_of(t, old.cells[i].key)] = old.cells[i];
	free(old.cells);
}

static struct ov_cell *new_cell(struct ov_table *t, uint64_t page)
{
	struct ov_cell *c;

	if (t->used * 2 >= t->size)
		rebuild(t);
	c = &t->cells[slot_of(t, page + 1)];
	t->used++;
	c->key = page + 1;
	c->own = false;
	return c;
}

void ov_put(struct ov_table *t, uint64_t page, uint64_t value, bool lazy)
{
	struct ov_cell *c = ov_get(t, page);

	if (!c && !value && !lazy)
		return;
	if (!c)
		c = new_cell(t, page);
	c->value = value;
	c->lazy = lazy;
}

void ov_put_own(struct ov_table *t, uint64_t page, uint64_t value)
{
	struct ov_cell *c = ov_get(t, page);

	if (!c)
		c = new_cell(t, page);
	c->value = value;
	c->lazy = false;
	c->own = true;
}

static void discard(struct ov_cell *c, bool lazy)
{
	c->lazy = lazy && c->value;
	c->value = lazy ? c->value : 0;
	c->own = c->own && lazy;
}

void ov_discard(struct ov_table *t, uint64_t first, uint64_t nr, bool lazy)
{
	struct ov_cell *c;

	if (nr > t->size) {
		for (size_t i = 0; i < t->size; i++) {
			c = &t->cells[i];
			if (c->key && c->key - 1 - first < nr)
				discard(c, lazy);
		}
		return;
	}
	for (uint64_t i = 0; i < nr; i++) {
		c = ov_get(t, first + i);
		if (c)
			discard(c, lazy);
	}
}

void ov_move(struct ov_table *t, uint64_t from, uint64_t to, uint64_t nr)
{
	struct ov_table moved = {0};

	for (size_t i = 0; i < t->size; i++) {
		struct ov_cell *c = &t->cells[i];

		if (c->key && c->key - 1 - from < nr) {
			if (c->own)
				ov_put_own(&moved, c->key - 1 - from + to, c->value);
			else
				ov_put(&moved, c->key - 1 - from + to, c->value, c->lazy);
			discard(c, false);
		}
	}
	for (size_t i = 0; i < moved.size; i++)
		if (moved.cells[i].own)
			ov_put_own(t, moved.cells[i].key - 1, moved.cells[i].value);
		else if (moved.cells[i].key)
			ov_put(t, moved.cells[i].key - 1, moved.cells[i].value,
				moved.cells[i].lazy);
	free(moved.cells);
}

void ov_copy(struct ov_table *to, const struct ov_table *from)
{
	*to = *from;
	to->cells = from->size ? ov_grow(NULL, from->size * sizeof(*to->cells)) : NULL;
	if (from->size)
		memcpy(to->cells, from->cells, from->size * sizeof(*to->cells));
}

void ov_drop(struct ov_object *obj)
{
	if (!obj || --obj->refs)
		return;
	free(obj->pages.cells);
	free(obj->lost.cells);
	free(obj);
}
