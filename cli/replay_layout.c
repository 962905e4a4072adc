// SPDX-License-Identifier: MIT
/* Recorded addresses to addresses of the replay: segments in ascending order. */
#include <stdlib.h>
#include <string.h>

#include "cli/replay.h"

/* Index of the first segment that ends above the page. */
static size_t first_above(const struct replay_layout *l, uint64_t page)
{
	size_t low = 0, high = l->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->seg[mid].end > page)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

const struct replay_segment *replay_layout_find(const struct replay_layout *l, uint64_t page)
{
	size_t i = first_above(l, page);

	return i < l->nr ? &l->seg[i] : NULL;
}

/* Make room for one more at i. */
static void open_place(struct replay_layout *l, size_t i)
{
	if (l->nr == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->seg = realloc(l->seg, l->room * sizeof(*l->seg));
		if (!l->seg)
			abort();
	}
	memmove(&l->seg[i + 1], &l->seg[i], (l->nr - i) * sizeof(*l->seg));
	l->nr++;
}

void replay_layout_remove(struct replay_layout *l, uint64_t start, uint64_t end)
{
	size_t i = first_above(l, start), to;

	if (start >= end || i == l->nr || l->seg[i].start >= end)
		return;
	if (l->seg[i].start < start && l->seg[i].end > end) {
		open_place(l, i);
		l->seg[i].end = start;
		l->seg[i + 1].start = end;
		return;
	}
	if (l->seg[i].start < start)
		l->seg[i++].end = start;
	for (to = i; to < l->nr && l->seg[to].end <= end; to++)
		;
	memmove(&l->seg[i], &l->seg[to], (l->nr - to) * sizeof(*l->seg));
	l->nr -= to - i;
	if (i < l->nr && l->seg[i].start < end)
		l->seg[i].start = end;
}

static bool alike(const struct replay_segment *a, const struct replay_segment *b)
{
	return a->end == b->start && a->delta == b->delta && a->backing == b->backing;
}

void replay_layout_add(struct replay_layout *l, const struct replay_segment *seg)
{
	size_t i;

	if (seg->start >= seg->end)
		return;
	replay_layout_remove(l, seg->start, seg->end);
	i = first_above(l, seg->start);
	if (i && alike(&l->seg[i - 1], seg)) {
		l->seg[--i].end = seg->end;
	} else {
		open_place(l, i);
		l->seg[i] = *seg;
	}
	if (i + 1 < l->nr && alike(&l->seg[i], &l->seg[i + 1])) {
		l->seg[i].end = l->seg[i + 1].end;
		memmove(&l->seg[i + 1], &l->seg[i + 2], (l->nr - i - 2) * sizeof(*l->seg));
		l->nr--;
	}
}

void replay_layout_copy(struct replay_layout *to, const struct replay_layout *from)
{
	*to = (struct replay_layout){.nr = from->nr, .room = from->nr};
	if (!from->nr)
		return;
	to->seg = malloc(from->nr * sizeof(*to->seg));
	if (!to->seg)
		abort();
	memcpy(to->seg, from->seg, from->nr * sizeof(*to->seg));
}

void replay_layout_free(struct replay_layout *l)
{
	free(l->seg);
	*l = (struct replay_layout){0};
}
