/* SPDX-License-Identifier: MIT */
/*
 * One level of a TLB (or one walk cache): arrays of entries with exact LRU, several page sizes.
 *
 * Pages are 4K pages whatever the granule, and a *key* is an ASID and a page number in one word, so
 * that one comparison decides. Sizes here are log2 of 4K pages ("shift"): 0 = 4K, 4 = 64K, 9 = 2M.
 *
 * Invariant: no two entries of a level cover the same page. tlb_level_insert() keeps it by removing
 * what the new entry covers; without it, which entry a lookup finds would depend on how it is
 * looked up, and LRU would not be exact.
 */
#ifndef CLI_TLB_LEVEL_H
#define CLI_TLB_LEVEL_H

#include "base/bits.h"
#include "base/types.h"

#define TLB_ASID_SHIFT 45 /* 57-bit addresses have 45-bit page numbers */
#define TLB_PAGE_MASK  ((UINT64_C(1) << TLB_ASID_SHIFT) - 1)
#define TLB_MAX_ARRAYS 4
#define TLB_MAX_SLOTS  16384
#define TLB_NO_SLOT    UINT32_MAX

/*
 * A translation, in one word: bytes of log2 sizes in bytes, and two flags. No translation is 0.
 *   leaf  the table's leaf
 *   fold  the block that the contiguous encoding lets hardware hold; leaf if there is none
 *   run   the largest aligned block around the page that is mapped contiguously with equal attributes,
 *         encoding or not, for hint-free coalescing; leaf if unknown
 */
typedef struct {
	uint32_t v;
} tlb_xlate_t;

#define TLB_X_FOLDED (UINT32_C(1) << 24)
#define TLB_X_DENY_WRITE                                                                           \
	(UINT32_C(2) << 24) /* a write may not proceed: not permitted, or not dirty yet */
#define TLB_X_SIZES (TLB_X_FOLDED - 1)

PF_INLINE tlb_xlate_t tlb_xlate(unsigned leaf, unsigned fold, unsigned run, bool write_ok)
{
	return (tlb_xlate_t){leaf | fold << 8 | run << 16 | (fold > leaf ? TLB_X_FOLDED : 0) |
			     (write_ok ? 0 : TLB_X_DENY_WRITE)};
}

PF_INLINE unsigned tlb_x_leaf(tlb_xlate_t x)
{
	return x.v & 0xff;
}

PF_INLINE unsigned tlb_x_fold(tlb_xlate_t x)
{
	return x.v >> 8 & 0xff;
}

PF_INLINE unsigned tlb_x_run(tlb_xlate_t x)
{
	return x.v >> 16 & 0xff;
}

/* What to do with a translation of a size that a level does not hold. */
enum tlb_fracture {
	TLB_FRACTURE_PIECE,  /* hold the largest piece around the page that it can hold */
	TLB_FRACTURE_BYPASS, /* do not hold it (a folded block: as its leaves) */
};

/* A physical array. A size held by two arrays of a level may be in any way of either. */
struct tlb_array_cfg {
	uint32_t entries;
	uint32_t ways;  /* 0: fully associative. The number of sets need not be a power of two. */
	uint64_t sizes; /* bit n: holds translations of 2^n bytes */
};

struct tlb_level_cfg {
	unsigned narrays; /* 0: there is no such level */
	struct tlb_array_cfg array[TLB_MAX_ARRAYS];
	enum tlb_fracture fracture;
	bool contig;      /* holds a folded block as one entry where it holds the size */
	uint8_t coalesce; /* log2 of how many neighbouring leaves share an entry without a hint; 0:
			     none */
};

/*
 * 32 bytes: all that a hit reads and writes is in one cache line. An invalid entry has mask 0 and
 * base ~0, which no key matches, and stamp 0, which makes it the first victim.
 */
struct tlb_entry {
	uint64_t base;
	uint64_t mask;
	uint64_t stamp; /* time of last use */
	tlb_xlate_t x;  /* what it was made from; what it says about writes is kept up to date */
	uint8_t shift;
	uint8_t array;
};

/* An element of a queue: when a slot was last used, and the slot, in its low bits. */
#define TLB_SLOT_BITS 14
PF_STATIC_ASSERT(TLB_MAX_SLOTS == 1 << TLB_SLOT_BITS, "a slot fits");

#define TLB_NO_LINK UINT16_MAX

/*
 * A seat is held by whoever asks for the same page again and again, and names the entry that serves it for as
 * long as that entry is what it was: a level that changes an entry takes its seats away. What else is in a
 * seat is the holder's.
 */
struct tlb_seat {
	uint32_t deny; /* what the entry does not serve; all, of a seat without an entry */
	uint32_t tag;
	struct tlb_entry *e;
	uint64_t weight, instr;
};
#define TLB_SEATS 64u /* of a level, at most */

struct tlb_array {
	uint32_t first; /* slot of its first entry */
	uint32_t entries, ways, sets;
	uint32_t set_mask; /* sets - 1 if that is a power of two, else 0 */
	bool hashed;       /* fully associative and large: found by hash, aged by a queue */
	uint32_t shifts;   /* sizes it holds */
	uint32_t live_shifts;
	/* Hashed arrays only. Links and slots are relative to `first`. */
	uint32_t bucket_mask;
	uint16_t *bucket, *next;
	/* Sorted in pieces of 2 to 4 elements, then in twice as many, up to all: filled up with the largest. */
	uint32_t piece, room;
	uint64_t *queue, *spare;
	uint32_t queue_pos;
	uint32_t nr_unused;
	uint16_t *unused;
	uint32_t live[32];
};

struct tlb_level {
	struct tlb_entry *ent;
	struct tlb_array *array, *array_end;
	uint32_t live_shifts; /* sizes of which an entry is valid */
	uint32_t shifts;      /* sizes held, over all arrays */
	/* The last translation inserted and the size it was held in: nearly always the next one's. */
	uint32_t last_sizes;
	int last_size;
	struct tlb_array *only[32]; /* the array that holds a size, if exactly one does */
	int8_t held[32]; /* size a translation of a size is held in: itself, else a piece; or -1 */
	/* The size of all entries while there is one array, it is full, and none is cut; else -1. */
	int steady;
	uint64_t changes; /* inserts and drops so far */
	uint32_t cut;     /* valid entries smaller than the leaf they come from */
	bool mixed;       /* entries of two sizes were valid at once; `region` is kept since */
	/* Valid entries smaller than 2M, by size and hash of their 2M region: most inserts learn
	 * here that they cover nothing. */
	uint16_t region[9][64];
	uint32_t live[32]; /* valid entries by size */
	uint32_t nr;       /* entries in all arrays */
	/* Of a level that has seats: them, one as it is without an entry, and by slot which are on it. */
	struct tlb_seat *seat, vacant;
	uint64_t *seated;
	struct tlb_level_cfg cfg;
};

PF_INLINE bool tlb_entry_covers(const struct tlb_entry *e, uint64_t key)
{
	return (key & e->mask) == e->base;
}

/* NULL, or what is wrong with the configuration (a string constant). */
const char *tlb_level_check(const struct tlb_level_cfg *cfg);
/* False if memory ran out. cfg must have passed the check. */
bool tlb_level_init(struct tlb_level *l, const struct tlb_level_cfg *cfg);
void tlb_level_free(struct tlb_level *l);

/* Give it TLB_SEATS seats. False if memory ran out. */
bool tlb_level_seats(struct tlb_level *l, struct tlb_seat *seat, struct tlb_seat vacant);
/* Take away the seats on a slot. */
void tlb_unseat_slot(struct tlb_level *l, uint32_t slot);

PF_INLINE void tlb_unseat(struct tlb_level *l, uint32_t slot)
{
	if (l->seated && l->seated[slot])
		tlb_unseat_slot(l, slot);
}

/* The slot that covers the key, or TLB_NO_SLOT. Changes nothing. */
uint32_t tlb_level_find(const struct tlb_level *l, uint64_t key);

/*
 * Hold a translation of the key, at most 2^cap 4K pages of it, used at time now (which ascends).
 * Removes what it covers and, if there is no free place, the least recently used entry of those it
 * may replace. Returns its slot, or TLB_NO_SLOT if the level does not hold it. No entry of the
 * level covers the key.
 */
uint32_t tlb_level_insert_any(
	struct tlb_level *l, uint64_t key, tlb_xlate_t x, unsigned cap, uint64_t now);

/* Remove every entry whose leaf meets [key, key + nr) (nr pages of one ASID). Returns how many. */
uint64_t tlb_level_drop(struct tlb_level *l, uint64_t key, uint64_t nr);
uint64_t tlb_level_drop_asid(struct tlb_level *l, uint64_t asid);
uint64_t tlb_level_drop_all(struct tlb_level *l);

/*
 * ---- a miss in the steady state: one array, full, all of one size, none cut ----
 * Then a lookup that fails knows where the key will go, and an insert changes one entry and its chain.
 */

/* What a failed lookup learnt; true until l->changes moves on. */
struct tlb_place {
	uint64_t changes; /* UINT64_MAX: nothing */
	uint32_t slot;
	uint16_t *bucket;
};

PF_INLINE uint32_t tlb_set_of(const struct tlb_array *a, uint64_t key, unsigned shift)
{
	uint64_t n = (key & TLB_PAGE_MASK) >> shift;

	n = a->set_mask ? n & a->set_mask : n % a->sets;
	return a->first + (uint32_t)n * a->ways;
}

/* base: of the entry, or the key masked; its size is hashed too, so that blocks of different sizes at one
 * address go to different chains. */
PF_INLINE uint16_t *tlb_bucket_of(const struct tlb_array *a, uint64_t base, unsigned shift)
{
	return &a->bucket[(((base + shift) * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & a->bucket_mask];
}

PF_INLINE void tlb_chain(struct tlb_array *a, uint16_t *bucket, uint32_t slot)
{
	a->next[slot - a->first] = *bucket;
	*bucket = (uint16_t)(slot - a->first);
}

PF_INLINE void tlb_unchain(struct tlb_array *a, const struct tlb_entry *e, uint32_t slot)
{
	uint16_t *link = tlb_bucket_of(a, e->base, e->shift);

	while (*link != slot - a->first)
		link = &a->next[*link];
	*link = a->next[slot - a->first];
}

PF_INLINE uint16_t *tlb_region_of(struct tlb_level *l, uint64_t key, unsigned shift)
{
	return &l->region[shift][((key >> 9) * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

/* Make the queue anew; the slot of its first element, relative to a->first. */
uint32_t tlb_queue_make(const struct tlb_level *l, struct tlb_array *a);

/* Of a full hashed array, the slot used least recently. */
PF_INLINE uint32_t tlb_oldest(const struct tlb_level *l, struct tlb_array *a)
{
	for (; a->queue_pos < a->entries; a->queue_pos++) {
		uint64_t q = a->queue[a->queue_pos];
		uint32_t slot = a->first + (q & (TLB_MAX_SLOTS - 1));

		if (l->ent[slot].stamp == q >> TLB_SLOT_BITS)
			return slot;
	}
	return a->first + tlb_queue_make(l, a);
}

/* All but mask, shift and array, which a steady insert leaves alone. */
PF_INLINE void tlb_entry_fill(struct tlb_entry *e, uint64_t key, tlb_xlate_t x, uint64_t now)
{
	e->base = key & e->mask;
	e->stamp = now;
	e->x = x;
}

/* tlb_level_find() for a caller that inserts the key if it is not there. */
PF_INLINE uint32_t tlb_level_look(struct tlb_level *l, uint64_t key, struct tlb_place *place)
{
	struct tlb_array *a = l->array;
	unsigned shift = (unsigned)l->steady;
	uint64_t least = UINT64_MAX;
	uint32_t slot;

	*place = (struct tlb_place){.changes = UINT64_MAX};
	if (PF_UNLIKELY(l->steady < 0))
		return tlb_level_find(l, key);
	place->changes = l->changes;
	if (a->hashed) {
		place->bucket = tlb_bucket_of(a, key & UINT64_MAX << shift, shift);
		for (uint16_t i = *place->bucket; PF_UNLIKELY(i != TLB_NO_LINK); i = a->next[i])
			if (tlb_entry_covers(&l->ent[i], key))
				return i;
		place->slot = tlb_oldest(l, a);
		return TLB_NO_SLOT;
	}
	slot = tlb_set_of(a, key, shift);
	for (uint64_t w = 0; w < a->ways; w++) {
		const struct tlb_entry *e = &l->ent[slot + w];

		if (tlb_entry_covers(e, key))
			return slot + (uint32_t)w;
		least = pf_min(least, e->stamp << 6 | w);
	}
	place->slot = slot + (uint32_t)(least & 63);
	return TLB_NO_SLOT;
}

/* tlb_level_insert_any() after a tlb_level_look() for the same key that failed. */
PF_INLINE uint32_t tlb_level_insert(struct tlb_level *l, uint64_t key, tlb_xlate_t x, unsigned cap,
	uint64_t now, const struct tlb_place *place)
{
	struct tlb_entry *e = &l->ent[place->slot];
	int steady = l->steady;

	if (PF_UNLIKELY(place->changes != l->changes || (x.v & TLB_X_SIZES) != l->last_sizes ||
			l->last_size != steady || steady > (int)cap ||
			steady + 12 < (int)tlb_x_leaf(x)))
		return tlb_level_insert_any(l, key, x, cap, now);
	l->changes++;
	tlb_unseat(l, place->slot);
	if (PF_UNLIKELY(l->mixed) && steady < 9) {
		--*tlb_region_of(l, e->base, (unsigned)steady);
		++*tlb_region_of(l, key, (unsigned)steady);
	}
	if (l->array->hashed) {
		tlb_unchain(l->array, e, place->slot);
		tlb_chain(l->array, place->bucket, place->slot);
	}
	tlb_entry_fill(e, key, x, now);
	return place->slot;
}

#endif
