/* SPDX-License-Identifier: MIT */
/*
 * How a recording lies on disk (docs/TRACE.md), shared by whatever writes one and the reader. All
 * integers are little-endian; multi-byte fields are accessed through get/put so that the host's
 * order and alignment do not matter.
 */
#ifndef PF_CLI_TRACE_LAYOUT_H
#define PF_CLI_TRACE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define PF_TRACE_LIKELY(x)   __builtin_expect(!!(x), 1)
#define PF_TRACE_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define TRACE_MAGIC         "PFTRACE\n"
#define TRACE_VERSION       1u
#define TRACE_HEADER_FIXED  128u
#define TRACE_HEADER_MAX    (1u << 20)
#define TRACE_CHUNK_MAGIC   0x4b484350u /* "PCHK" */
#define TRACE_CHUNK_HEADER  128u
#define TRACE_CHUNK_RAW_MAX (4u << 20)
#define TRACE_MAX_THREADS   (1u << 20)

/* File header, by byte offset; 88 to 127 are zero. */
enum {
	TH_MAGIC = 0,          /* 8 bytes */
	TH_VERSION = 8,        /* u32 */
	TH_SIZE = 12,          /* u32: whole header, strings included */
	TH_CRC = 16,           /* u32: CRC-32C of the header with this field 0 */
	TH_MACHINE = 20,       /* u32: ELF e_machine */
	TH_PAGE_SHIFT = 24,    /* u32 */
	TH_FLAGS = 28,         /* u32: TRACE_F_* */
	TH_PID = 32,           /* u32 */
	TH_PARENT_PID = 36,    /* u32 */
	TH_STREAM = 40,        /* u32: number within the recording, from 1 */
	TH_PARENT_STREAM = 44, /* u32: 0 if none */
	TH_PARENT_SEQ = 48,    /* u64: the parent's event number at which this stream begins */
	TH_START_REAL = 56,    /* u64: ns since the epoch */
	TH_START_MONO = 64,    /* u64: ns since the start of the whole recording */
	TH_GUEST_BASE = 72,    /* u64: host address of guest address 0 */
	TH_NSTRINGS = 80,      /* u32: source, program, argv... */
	TH_MERGE = 84,         /* u32: pages over which runs were merged; 1 is none */
};

/* Chunk header, by byte offset from the chunk's start; 96 to 127 are zero. The payload follows. */
enum {
	TC_MAGIC = 0,        /* u32 */
	TC_CRC = 4,          /* u32: CRC-32C of this header with this field 0 */
	TC_KIND = 8,         /* u32: TRACE_CHUNK_DATA or _END */
	TC_THREAD = 12,      /* u32 */
	TC_NUMBER = 16,      /* u64: 0, 1, 2 … in the file */
	TC_FIRST_SEQ = 24,   /* u64: number of the last event before the chunk's first run */
	TC_TIME_FIRST = 32,  /* u64: ns since the stream began */
	TC_TIME_LAST = 40,   /* u64 */
	TC_ACCESSES = 48,    /* u64: sum of the data runs' counts */
	TC_RUNS = 56,        /* u32: data runs */
	TC_CODE_RUNS = 60,   /* u32 */
	TC_EVENTS = 64,      /* u32: events, marks included */
	TC_PAYLOAD = 68,     /* u32: bytes that follow the header */
	TC_PAYLOAD_CRC = 72, /* u32 */
	TC_METHOD = 76,      /* u32: TRACE_STORED or TRACE_ZSTD */
	TC_RAW = 80,         /* u32 x 4: bytes of the four sections */
};

enum { TRACE_CHUNK_DATA = 1, TRACE_CHUNK_END = 2 };
enum { TRACE_STORED = 0, TRACE_ZSTD = 1 };
enum { TRACE_OPS, TRACE_COUNTS, TRACE_PAGES, TRACE_EVENTS, TRACE_SECTIONS };

/*
 * The ops section, a byte an operation. A data run names its page by its place in a table of 64, a
 * code run in one of 56; both tables start empty in every chunk.
 *
 *   00..3f  data run: one read of the page at that place of the data table
 *   40..7f  data run: one write of the page at place op - 40
 *   80..bf  data run of the page at place op - 80; a byte of the counts section says what it was:
 *           bits 7..6: 0 reads, 1 writes, 2 both and a read first, 3 both and a write first;
 *           bits 5..0: how many more accesses than the fewest possible (one; two of both);
 *           63 there: a varint follows in the counts section and is added
 *   c0..f7  code run: the page at place op - c0 of the code table
 *   f8      the pages section's next delta is a code page, and a code run: it takes the place after
 *           the one that was last filled so, at first 0
 *   f9      the next event of the events section
 *   fa      the data run that follows was made by the kernel
 *   fb p    the pages section's next delta is a data page: it takes place p (0..63)
 *
 * A delta is a varint, zigzag, from the page before it of its kind (data or code), at first from 0.
 */
#define TRACE_DATA_PLACES 64u
#define TRACE_CODE_PLACES 56u
#define TRACE_OP_WRITE    0x40u
#define TRACE_OP_OTHER    0x80u
#define TRACE_OP_CODE     0xc0u
#define TRACE_OP_NEW_CODE 0xf8u
#define TRACE_OP_EVENT    0xf9u
#define TRACE_OP_KERNEL   0xfau
#define TRACE_OP_NEW_DATA 0xfbu
#define TRACE_COUNT_MORE  63u

/* An event: kind, seq delta, ns delta, number of arguments, arguments, result, text length, text. */
#define TRACE_EV_MARK        1u /* carries seq and time only; not delivered */
#define TRACE_EVENT_MAX_ARGS 12u
#define TRACE_EVENT_MAX_TEXT 4096u

static inline void trace_put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline void trace_put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t trace_get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t trace_get64(const uint8_t *p)
{
	return trace_get32(p) | (uint64_t)trace_get32(p + 4) << 32;
}

static inline uint64_t trace_zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static inline int64_t trace_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* At most 10 bytes. Returns the byte after the last one written. */
static inline uint8_t *trace_put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)v | 0x80;
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

/* Returns the byte after the number, or NULL if it does not end before end or exceeds 64 bits. */
static inline const uint8_t *trace_get_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (p >= end)
			return NULL;
		uint8_t b = *p++;
		if (shift == 63 && b > 1)
			return NULL;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*out = v;
			return p;
		}
	}
	return NULL;
}

/* CRC-32C (Castagnoli, reflected, initial value and final inversion all ones) continued from crc; 0 to begin. */
uint32_t trace_crc32c(uint32_t crc, const void *data, size_t len);

#endif
