/* SPDX-License-Identifier: MIT */
/*
 * Arrays of translations with exact LRU.
 *
 * A use costs one store: the entry's stamp. Who is least recently used is found out when a victim
 * is needed. In a set of a few ways by comparing stamps. In a large fully associative array from a
 * queue of (slot, stamp) in ascending order of stamp, made when the last one was used up: an entry
 * whose stamp has changed since the queue was made is younger than all entries whose stamp has not,
 * so the first unchanged one is the least recently used. Each element is looked at once, and making
 * a queue is one pass where uses since the last one left the order nearly as it was.
 */
#include "tlb_level.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define TLB_SCAN_WAYS 16 /* a fully associative array up to this size is searched, not hashed */

static const struct tlb_entry invalid_entry = {.base = UINT64_MAX};

const char *tlb_level_check(const struct tlb_level_cfg *cfg)
{
	uint64_t total = 0;

	if (!cfg->narrays || cfg->narrays > TLB_MAX_ARRAYS)
		return "a level has 1 to 4 arrays";
	for (unsigned i = 0; i < cfg->narrays; i++) {
		const struct tlb_array_cfg *a = &cfg->array[i];

		if (!a->entries)
			return "an array has no entries";
		if (a->ways && (a->ways > a->entries || a->entries % a->ways))
			return "the number of entries is not a multiple of the ways";
		if (a->ways > 64 && a->ways < a->entries)
			return "more than 64 ways and more than one set";
		if (!a->sizes)
			return "an array holds no size";
		if (a->sizes & ((UINT64_C(1) << 12) - 1))
			return "a size below 4K";
		if (a->sizes >> (12 + 31 - cfg->coalesce))
			return "a size above 4T";
		total += a->entries;
	}
	if (cfg->coalesce > 6)
		return "more than 64 translations coalesced into an entry";
	if (total > TLB_MAX_SLOTS)
		return "more than 16384 entries";
	return NULL;
}

static bool array_init_hash(struct tlb_array *a)
{
	unsigned halves = pf_log2(a->entries) - 1;

	a->piece = ((a->entries - 1) >> halves) + 1;
	a->room = a->piece << halves;
	a->bucket_mask = (32u << pf_log2(a->entries)) - 1;
	a->bucket = malloc(sizeof(*a->bucket) * (a->bucket_mask + 1));
	a->next = malloc(sizeof(*a->next) * a->entries);
	a->unused = malloc(sizeof(*a->unused) * a->entries);
	a->queue = malloc(sizeof(*a->queue) * a->room);
	a->spare = malloc(sizeof(*a->spare) * a->room);
	if (!a->bucket || !a->next || !a->unused || !a->queue || !a->spare)
		return false;
	for (uint32_t i = 0; i <= a->bucket_mask; i++)
		a->bucket[i] = TLB_NO_LINK;
	/* The lowest slot is on top, so that slots fill upwards. */
	for (uint32_t i = 0; i < a->entries; i++) {
		a->unused[i] = (uint16_t)(a->entries - 1 - i);
		a->queue[i] = i;
	}
	for (uint32_t i = a->entries; i < a->room; i++)
		a->queue[i] = UINT64_MAX;
	a->nr_unused = a->entries;
	a->queue_pos = a->entries;
	return true;
}

bool tlb_level_init(struct tlb_level *l, const struct tlb_level_cfg *cfg)
{
	*l = (struct tlb_level){.cfg = *cfg, .steady = -1};
	l->array = calloc(cfg->narrays, sizeof(*l->array));
	l->array_end = l->array + (l->array ? cfg->narrays : 0);
	if (!l->array)
		goto fail;
	for (unsigned i = 0; i < cfg->narrays; i++) {
		const struct tlb_array_cfg *c = &cfg->array[i];
		struct tlb_array *a = &l->array[i];

		a->first = l->nr;
		a->entries = c->entries;
		a->ways = c->ways ? c->ways : c->entries;
		a->sets = a->entries / a->ways;
		a->set_mask = pf_is_pow2(a->sets) ? a->sets - 1 : 0;
		a->shifts = (uint32_t)(c->sizes >> 12);
		/* Coalesced leaves live where the leaves do. */
		a->shifts |= a->shifts << cfg->coalesce;
		l->shifts |= a->shifts;
		l->nr += a->entries;
		a->hashed = a->sets == 1 && a->ways > TLB_SCAN_WAYS;
		if (a->hashed && !array_init_hash(a))
			goto fail;
	}
	l->ent = aligned_alloc(64, (l->nr * sizeof(*l->ent) + 63) & ~(size_t)63);
	if (!l->ent)
		goto fail;
	for (unsigned i = 0; i < l->nr; i++)
		l->ent[i] = invalid_entry;
	for (int i = 0, held = -1; i < 32; i++) {
		if (l->shifts >> i & 1)
			held = i;
		else if (cfg->fracture == TLB_FRACTURE_BYPASS)
			held = -1;
		l->held[i] = (int8_t)held;
		for (unsigned k = 0, holders = 0; k < cfg->narrays; k++)
			if (l->array[k].shifts >> i & 1)
				l->only[i] = holders++ ? NULL : &l->array[k];
	}
	return true;
fail:
	tlb_level_free(l);
	return false;
}

void tlb_level_free(struct tlb_level *l)
{
	for (struct tlb_array *a = l->array; a < l->array_end; a++) {
		free(a->bucket);
		free(a->next);
		free(a->unused);
		free(a->queue);
		free(a->spare);
	}
	free(l->array);
	free(l->ent);
	free(l->seated);
	*l = (struct tlb_level){0};
}

/* ---- seats ---- */

bool tlb_level_seats(struct tlb_level *l, struct tlb_seat *seat, struct tlb_seat vacant)
{
	l->seated = calloc(l->nr, sizeof(*l->seated));
	l->seat = seat;
	l->vacant = vacant;
	for (unsigned i = 0; i < TLB_SEATS; i++)
		seat[i] = vacant;
	return l->seated;
}

void tlb_unseat_slot(struct tlb_level *l, uint32_t slot)
{
	for (uint64_t m = l->seated[slot]; m; m &= m - 1)
		l->seat[__builtin_ctzll(m)] = l->vacant;
	l->seated[slot] = 0;
}

/* ---- where a translation may be ---- */

static inline uint32_t probe(
	const struct tlb_level *l, const struct tlb_array *a, uint64_t key, unsigned shift)
{
	if (a->hashed) {
		for (uint16_t i = *tlb_bucket_of(a, key >> shift << shift, shift); i != TLB_NO_LINK;
			i = a->next[i])
			if (tlb_entry_covers(&l->ent[a->first + i], key))
				return a->first + i;
	} else {
		uint32_t slot = tlb_set_of(a, key, shift);

		for (uint32_t w = 0; w < a->ways; w++)
			if (tlb_entry_covers(&l->ent[slot + w], key))
				return slot + w;
	}
	return TLB_NO_SLOT;
}

uint32_t tlb_level_find(const struct tlb_level *l, uint64_t key)
{
	for (const struct tlb_array *a = l->array; a < l->array_end; a++)
		for (uint32_t m = a->live_shifts; m; m &= m - 1) {
			uint32_t slot = probe(l, a, key, (unsigned)__builtin_ctz(m));

			if (slot != TLB_NO_SLOT)
				return slot;
		}
	return TLB_NO_SLOT;
}

/* ---- entries come and go ---- */

/* From now on there are entries of several sizes: count those that are there by region. */
static void begin_mixed(struct tlb_level *l)
{
	l->mixed = true;
	for (uint32_t slot = 0; slot < l->nr; slot++)
		if (l->ent[slot].stamp && l->ent[slot].shift < 9)
			++*tlb_region_of(l, l->ent[slot].base, l->ent[slot].shift);
}

/* By one valid entry of that kind more (1) or less (-1). */
static __attribute__((noinline)) void count(
	struct tlb_level *l, struct tlb_array *a, unsigned shift, tlb_xlate_t x, int by)
{
	l->live[shift] += (uint32_t)by;
	a->live[shift] += (uint32_t)by;
	l->live_shifts = (l->live_shifts & ~(1u << shift)) | (uint32_t) !!l->live[shift] << shift;
	a->live_shifts = (a->live_shifts & ~(1u << shift)) | (uint32_t) !!a->live[shift] << shift;
	if (shift + 12 < tlb_x_leaf(x))
		l->cut += (uint32_t)by;
	if (l->array_end == l->array + 1 && l->live[shift] == l->nr && !l->cut)
		l->steady = (int)shift;
	else
		l->steady = -1;
}

static void drop_slot(struct tlb_level *l, uint32_t slot)
{
	struct tlb_entry *e = &l->ent[slot];
	struct tlb_array *a = &l->array[e->array];

	l->changes++;
	tlb_unseat(l, slot);
	count(l, a, e->shift, e->x, -1);
	if (l->mixed && e->shift < 9)
		--*tlb_region_of(l, e->base, e->shift);
	if (a->hashed) {
		tlb_unchain(a, e, slot);
		a->unused[a->nr_unused++] = (uint16_t)(slot - a->first);
	}
	*e = invalid_entry;
}

/* Sorts pieces of n elements, n small, in place. */
static void sort_pieces(uint64_t *q, uint32_t entries, uint32_t n)
{
	for (uint64_t *end = q + entries; q < end; q += n)
		for (uint32_t last = n - 1; last; last--)
			for (uint32_t i = 0; i < last; i++) {
				uint64_t x = q[i], y = q[i + 1];

				q[i] = pf_min(x, y);
				q[i + 1] = pf_max(x, y);
			}
}

/*
 * Merges two pieces of n elements from both ends at once: the lower half from the front, the upper one from the
 * back. Neither waits for the other, and neither runs out of a piece: each takes n.
 */
static void merge(const uint64_t *q, uint32_t n, uint64_t *out)
{
	const uint64_t *low = q, *high = q + n, *low_end = q + n - 1, *high_end = q + 2 * n - 1;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t x = *low, y = *high, u = *low_end, v = *high_end;
		bool first = x<y, last = u> v;

		out[i] = first ? x : y;
		low += first;
		high += !first;
		out[2 * n - 1 - i] = last ? u : v;
		low_end -= last;
		high_end -= !last;
	}
}

/* Merge sort, without branches that depend on the data: those would cost more than the rest. */
static __attribute__((noinline)) void queue_sort(struct tlb_array *a)
{
	sort_pieces(a->queue, a->room, a->piece);
	for (uint32_t width = a->piece; width < a->room; width *= 2) {
		uint64_t *out = a->spare;

		for (uint32_t at = 0; at < a->room; at += 2 * width)
			merge(a->queue + at, width, out + at);
		a->spare = a->queue;
		a->queue = out;
	}
}

uint32_t tlb_queue_make(const struct tlb_level *l, struct tlb_array *a)
{
	const struct tlb_entry *ent = &l->ent[a->first];
	uint64_t before = 0;
	bool sorted = true;

	for (uint32_t i = 0; i < a->entries; i++) {
		uint64_t slot = a->queue[i] & (TLB_MAX_SLOTS - 1);
		uint64_t q = ent[slot].stamp << TLB_SLOT_BITS | slot;

		a->queue[i] = q;
		sorted &= before <= q;
		before = q;
	}
	if (!sorted)
		queue_sort(a);
	a->queue_pos = 0;
	return (uint32_t)(a->queue[0] & (TLB_MAX_SLOTS - 1));
}

/* An invalid entry's slot, or the least recently used of those that the translation may replace. */
static uint32_t victim(const struct tlb_level *l, struct tlb_array *a, uint64_t key, unsigned shift)
{
	uint64_t least = UINT64_MAX;
	uint32_t slot;

	if (a->hashed && a->nr_unused)
		return a->first + a->unused[a->nr_unused - 1];
	if (a->hashed)
		return tlb_oldest(l, a);
	slot = tlb_set_of(a, key, shift);
	/* Stamps differ (but for 0) and leave room for the way: a minimum without branches. */
	for (uint64_t w = 0; w < a->ways; w++)
		least = pf_min(least, l->ent[slot + w].stamp << 6 | w);
	return slot + (uint32_t)(least & 63);
}

/* Removes all entries smaller than the block of 2^shift pages around the key that lie in it. */
static void drop_covered(struct tlb_level *l, uint64_t key, unsigned shift)
{
	uint64_t base = key >> shift << shift;

	for (uint32_t m = l->live_shifts & ((1u << shift) - 1); m; m &= m - 1) {
		unsigned t = (unsigned)__builtin_ctz(m);

		if (shift <= 9 && !*tlb_region_of(l, key, t))
			continue;
		if (shift - t <= 4) {
			for (uint64_t k = base; k < base + (UINT64_C(1) << shift);
				k += UINT64_C(1) << t)
				for (struct tlb_array *a = l->array; a < l->array_end; a++) {
					uint32_t slot = TLB_NO_SLOT;

					if (a->live_shifts & 1u << t)
						slot = probe(l, a, k, t);
					if (slot != TLB_NO_SLOT)
						drop_slot(l, slot);
				}
		} else {
			for (uint32_t slot = 0; slot < l->nr; slot++) {
				const struct tlb_entry *e = &l->ent[slot];

				if (e->stamp && e->shift == t && e->base >> shift << shift == base)
					drop_slot(l, slot);
			}
		}
	}
}

/* The size that a level holds a translation in, or -1. */
static __attribute__((noinline)) int size_held(const struct tlb_level *l, tlb_xlate_t x)
{
	unsigned leaf = tlb_x_leaf(x) - 12u, s = leaf;

	if (l->cfg.contig && tlb_x_fold(x) - 12u > s)
		s = tlb_x_fold(x) - 12u;
	if (l->cfg.coalesce && pf_min(leaf + l->cfg.coalesce, tlb_x_run(x) - 12u) > s)
		s = (unsigned)pf_min(leaf + l->cfg.coalesce, tlb_x_run(x) - 12u);
	return l->held[s] < 0 ? l->held[leaf] : l->held[s];
}

/* Before an insert of a size while entries of another are there. */
static __attribute__((noinline)) void insert_mixed(
	struct tlb_level *l, uint64_t key, unsigned shift)
{
	if (!l->mixed)
		begin_mixed(l);
	if (l->live_shifts & ((1u << shift) - 1))
		drop_covered(l, key, shift);
}

/* Of the arrays that hold the size, the one with the older victim. */
static __attribute__((noinline)) struct tlb_array *choose_array(
	struct tlb_level *l, uint64_t key, unsigned shift)
{
	struct tlb_array *best = NULL;
	uint64_t stamp = UINT64_MAX;

	for (struct tlb_array *a = l->array; a < l->array_end; a++)
		if (a->shifts >> shift & 1) {
			uint64_t s = l->ent[victim(l, a, key, shift)].stamp;

			if (!best || s < stamp) {
				best = a;
				stamp = s;
			}
		}
	return best;
}

uint32_t tlb_level_insert_any(
	struct tlb_level *l, uint64_t key, tlb_xlate_t x, unsigned cap, uint64_t now)
{
	int size = size_held(l, x);
	unsigned shift;
	struct tlb_array *a;
	struct tlb_entry *e;
	uint32_t slot;

	l->last_sizes = x.v & TLB_X_SIZES;
	l->last_size = size;
	if (size > (int)cap)
		size = l->held[cap];
	if (size < 0)
		return TLB_NO_SLOT;
	l->changes++;
	shift = (unsigned)size;
	a = l->only[shift];
	if (l->live_shifts & ~(1u << shift))
		insert_mixed(l, key, shift);
	if (!a)
		a = choose_array(l, key, shift);
	slot = victim(l, a, key, shift);
	e = &l->ent[slot];
	if (e->stamp) {
		tlb_unseat(l, slot);
		if (a->hashed)
			tlb_unchain(a, e, slot);
		if (l->mixed && e->shift < 9)
			--*tlb_region_of(l, e->base, e->shift);
		/* Like for like leaves the counts as they are. */
		if (e->shift != shift || tlb_x_leaf(e->x) != tlb_x_leaf(x)) {
			count(l, a, e->shift, e->x, -1);
			count(l, a, shift, x, 1);
		}
	} else {
		if (a->hashed)
			a->nr_unused--;
		count(l, a, shift, x, 1);
	}
	e->mask = UINT64_MAX << shift;
	e->shift = (uint8_t)shift;
	tlb_entry_fill(e, key, x, now);
	e->array = (uint8_t)(a - l->array);
	if (l->mixed && shift < 9)
		++*tlb_region_of(l, key, shift);
	if (a->hashed)
		tlb_chain(a, tlb_bucket_of(a, key >> shift << shift, shift), slot);
	return slot;
}

/* ---- invalidation ---- */

uint64_t tlb_level_drop(struct tlb_level *l, uint64_t key, uint64_t nr)
{
	uint64_t last = key + nr - 1, probes = 0, dropped = 0;

	if (!nr)
		return 0;
	for (uint32_t m = l->live_shifts; m; m &= m - 1) {
		unsigned t = (unsigned)__builtin_ctz(m);

		probes += (last >> t) - (key >> t) + 1;
	}
	/*
	 * A piece of a leaf goes with its leaf: hardware need not remember which pieces it made, so
	 * an invalidation anywhere in the leaf must reach them all (Arm ARM D8.14: an invalidation
	 * by address applies to every entry made from the translation of that address). Only a scan
	 * finds those.
	 */
	if (!l->cut && probes < l->nr / 8) {
		for (uint32_t m = l->live_shifts; m; m &= m - 1) {
			unsigned t = (unsigned)__builtin_ctz(m);

			for (uint64_t b = key >> t; b <= last >> t; b++)
				for (struct tlb_array *a = l->array; a < l->array_end; a++) {
					/* A page of the range: whatever covers it goes, of any
					 * size. */
					uint32_t slot = probe(l, a, pf_max(b << t, key), t);

					if (slot != TLB_NO_SLOT) {
						drop_slot(l, slot);
						dropped++;
					}
				}
		}
		return dropped;
	}
	for (uint32_t slot = 0; slot < l->nr; slot++) {
		const struct tlb_entry *e = &l->ent[slot];
		unsigned s = e->shift + 12u > tlb_x_leaf(e->x) ? e->shift : tlb_x_leaf(e->x) - 12u;

		if (e->stamp && e->base >> s >= key >> s && e->base >> s <= last >> s) {
			drop_slot(l, slot);
			dropped++;
		}
	}
	return dropped;
}

uint64_t tlb_level_drop_asid(struct tlb_level *l, uint64_t asid)
{
	uint64_t dropped = 0;

	for (uint32_t slot = 0; slot < l->nr; slot++)
		if (l->ent[slot].stamp && l->ent[slot].base >> TLB_ASID_SHIFT == asid) {
			drop_slot(l, slot);
			dropped++;
		}
	return dropped;
}

uint64_t tlb_level_drop_all(struct tlb_level *l)
{
	uint64_t dropped = 0;

	for (uint32_t slot = 0; slot < l->nr; slot++)
		if (l->ent[slot].stamp) {
			drop_slot(l, slot);
			dropped++;
		}
	return dropped;
}
