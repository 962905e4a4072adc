/* SPDX-License-Identifier: MIT */
/*
 * What is known about a frame: 32 bytes, in the port's memmap. docs/FRAME.md has the table of
 * fields, their consumers, locks and lifetimes, and the proofs that the comments here refer to.
 *
 * The last 8 bytes, `count`, are the same for every frame whatever it is used for: kind, order,
 * references and mappings, all read or changed by one 64-bit access. The first 24 belong to the
 * use: small or head frame, tail, free block, or a table's struct pf_table.
 */
#ifndef PF_PHYS_FRAME_H
#define PF_PHYS_FRAME_H

#include "base/atomic.h"
#include "base/bits.h"
#include "pt/table.h"

/* What a frame is; the all-zero memmap says PF_FRAME_NONE. */
enum pf_frame_kind {
	PF_FRAME_NONE = 0,  /* not managed, or inside a free block */
	PF_FRAME_FREE = 1,  /* first frame of a free block; `order` is the block's */
	PF_FRAME_FOLIO = 2, /* a folio's head; `order` is the folio's */
	PF_FRAME_TAIL = 3,  /* any other frame of a folio (stale inside a free block, FRAME.md 3) */
	PF_FRAME_TABLE = 4, /* first frame of a page table, or of more than one frame all of them */
};

#define PF_MAX_ORDER 11

/*
 * Count word: [63..60 kind][59..32 mappings][31..28 order][27..0 references that are not mappings].
 * For a tail 59..32 are flags of that page (PF_TAIL_*) and 27..0 are zero.
 */
#define PF_COUNT_KIND_SHIFT  60
#define PF_COUNT_MAP_SHIFT   32
#define PF_COUNT_ORDER_SHIFT 28
#define PF_COUNT_REF         PF_MASK(27, 0)
#define PF_COUNT_MAP         PF_MASK(59, 32)
#define PF_COUNT_MAP_1       PF_BIT(PF_COUNT_MAP_SHIFT)
#define PF_COUNT_KIND        PF_MASK(63, 60)
#define PF_HI_MAP            ((uint32_t)PF_MASK(27, 0))
#define PF_HI_FOLIO          ((uint32_t)PF_FRAME_FOLIO << 28)
/*
 * try_get refuses beyond. All mappings may become references at once: PF_REF_LIMIT + PF_MAP_LIMIT is
 * 2^28 - 1, the most that 28 bits hold.
 */
#define PF_REF_LIMIT (PF_BIT(27) - 1)
/* A pin of a small folio is this many references (Linux's GUP_PIN_COUNTING_BIAS). */
#define PF_PIN_BIAS 1024u

#define PF_TAIL_HWPOISON PF_BIT(0)

/*
 * Flags of a folio, in the 24 bits of `flags` beside the AnonExclusive byte. They change by one
 * atomic and/or with a reference held; only those marked * have a user yet.
 */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define PF_FOLIO_FLAG(n) (UINT32_C(1) << (n))
#else
#define PF_FOLIO_FLAG(n) (UINT32_C(1) << ((n) + 8))
#endif
#define PF_FOLIO_USE(u)        (PF_FOLIO_FLAG(0) * (uint32_t)(u)) /* * enum pf_mem_use, two bits */
#define PF_FOLIO_LOCKED        PF_FOLIO_FLAG(2)                   /* the folio lock */
#define PF_FOLIO_DIRTY         PF_FOLIO_FLAG(3)
#define PF_FOLIO_UPTODATE      PF_FOLIO_FLAG(4)
#define PF_FOLIO_WRITEBACK     PF_FOLIO_FLAG(5)
#define PF_FOLIO_LAZYFREE      PF_FOLIO_FLAG(6) /* MADV_FREE: need not be kept while it is clean */
#define PF_FOLIO_SWAPCACHE     PF_FOLIO_FLAG(7)
#define PF_FOLIO_REFERENCED    PF_FOLIO_FLAG(8)
#define PF_FOLIO_YOUNG         PF_FOLIO_FLAG(9) /* DAMON, idle tracking */
#define PF_FOLIO_IDLE          PF_FOLIO_FLAG(10)
#define PF_FOLIO_KSM           PF_FOLIO_FLAG(11)
#define PF_FOLIO_HWPOISON      PF_FOLIO_FLAG(12) /* of the head page */
#define PF_FOLIO_HAS_HWPOISON  PF_FOLIO_FLAG(13) /* some page of a large folio */
#define PF_FOLIO_PARTLY_MAPPED PF_FOLIO_FLAG(14) /* wants a deferred split */

/* What a folio belongs to, in the low bits of `mapping`: a file (or shared memory), or else. */
#define PF_MAPPING_TYPE 3u
#define PF_MAPPING_FILE 1u

union pf_count {
	uint64_t word;
	struct {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		uint32_t hi; /* kind, mappings */
		uint32_t lo; /* order, references */
#else
		uint32_t lo;
		uint32_t hi;
#endif
	};
};

struct pf_frame {
	union {
		struct {                  /* small folio, or head */
			uint64_t index;   /* page index in the mapping */
			uint32_t mapping; /* handle of the anon_vma or file; 0 none; PF_MAPPING_* */
			union {
				uint32_t flags;
				uint8_t ae; /* small folio only: AnonExclusive, 0 or 1 */
			};
			union {
				/* Of a free block: links, frame index + 1. */
				struct {
					uint32_t lru_next, lru_prev;
				};
				/* In the swap cache: where it is swapped to (phys/swap.h). */
				struct {
					uint32_t swap_slot;
					uint8_t swap_dev;
				};
			};
		};
		struct {                    /* first tail */
			uint64_t ae_first;  /* AnonExclusive of pages 0..63 */
			uint32_t id[2];     /* mm-id slots; id[0] also lock and "maybe shared" */
			uint16_t id_map[2]; /* mappings known to be that mm's */
			uint32_t pins;
		};
		struct {                     /* second tail and on */
			uint64_t ae_more[2]; /* AnonExclusive of 128 more pages */
			uint32_t aux[2];     /* second tail: links of those to be split (split.c) */
		};
		struct pf_table table;
	};
	union pf_count count;
};
PF_STATIC_ASSERT(sizeof(struct pf_frame) == 32, "the memmap's record");
PF_STATIC_ASSERT(offsetof(struct pf_frame, count) == 24 && sizeof(struct pf_table) <= 24,
	"a table's metadata leaves the count word alone");

/* A folio is its head frame, as a type of its own: a page of a folio is a pf_pfn_t, never this. */
struct pf_folio {
	struct pf_frame head;
};

PF_INLINE uint64_t pf_count_make(
	enum pf_frame_kind kind, unsigned order, uint64_t map, uint64_t ref)
{
	return (uint64_t)kind << PF_COUNT_KIND_SHIFT | map << PF_COUNT_MAP_SHIFT |
	       (uint64_t)order << PF_COUNT_ORDER_SHIFT | ref;
}

PF_INLINE enum pf_frame_kind pf_count_kind(uint64_t c)
{
	return (enum pf_frame_kind)(c >> PF_COUNT_KIND_SHIFT);
}

PF_INLINE unsigned pf_count_order(uint64_t c)
{
	return (unsigned)(c >> PF_COUNT_ORDER_SHIFT) & 15;
}

PF_INLINE uint32_t pf_count_map(uint64_t c)
{
	return (uint32_t)((c & PF_COUNT_MAP) >> PF_COUNT_MAP_SHIFT);
}

PF_INLINE uint32_t pf_count_ref(uint64_t c)
{
	return (uint32_t)(c & PF_COUNT_REF);
}

#endif
