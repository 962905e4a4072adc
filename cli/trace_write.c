/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "trace_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

/*
 * Room in each section. A run adds at most 4 ops (a prefix, a table entry, itself), 11 bytes of
 * counts and 10 of pages; an event adds an op and at most EVENT_ROOM bytes. A chunk is full (limit)
 * while there is still room for one of either, so nothing checks but trace_encoder_full.
 */
#define OPS_ROOM    (TRACE_CHUNK_OPS + 16)
#define COUNTS_ROOM (TRACE_CHUNK_OPS + 16)
#define PAGES_ROOM  (TRACE_CHUNK_OPS + 16)
#define EVENT_ROOM  (10u * (TRACE_EVENT_MAX_ARGS + 6) + TRACE_EVENT_MAX_TEXT)
#define EVENTS_ROOM (65536u + 2 * EVENT_ROOM)
#define NO_PAGE     UINT64_MAX

_Static_assert(OPS_ROOM + COUNTS_ROOM + PAGES_ROOM + EVENTS_ROOM <= TRACE_CHUNK_RAW_MAX,
	"a full chunk is a legal one");

/* ---- the encoder ---- */

static void begin_chunk(struct trace_encoder *e)
{
	e->ops = e->ops_begin;
	e->counts = e->counts_begin;
	e->pages = e->pages_begin;
	e->events = e->events_begin;
	e->limit = e->ops_begin + TRACE_CHUNK_OPS;
	e->first_seq = e->seq;
	e->time_first = e->time_ns;
	e->accesses = 0;
	e->runs = e->code_runs = e->nr_events = 0;
	for (unsigned i = 0; i < TRACE_DATA_PLACES; i++)
		e->table[i] = NO_PAGE;
	for (unsigned i = 0; i < TRACE_CODE_PLACES; i++)
		e->code_table[i] = NO_PAGE;
	for (unsigned i = 0; i < TRACE_HASH; i++)
		e->hash[i].page = NO_PAGE;
	memset(e->code_hash, 0, sizeof(e->code_hash));
	e->last_data = e->last_code = 0;
	memset(e->used, 0, sizeof(e->used));
	e->hand = e->code_place = 0;
}

int trace_encoder_init(struct trace_encoder *e, uint32_t thread, uint64_t seq, uint64_t time_ns)
{
	memset(e, 0, sizeof(*e));
	e->ops_begin = malloc(OPS_ROOM + COUNTS_ROOM + PAGES_ROOM + EVENTS_ROOM);
	if (!e->ops_begin)
		return -ENOMEM;
	e->counts_begin = e->ops_begin + OPS_ROOM;
	e->pages_begin = e->counts_begin + COUNTS_ROOM;
	e->events_begin = e->pages_begin + PAGES_ROOM;
	e->thread = thread;
	e->seq = seq;
	e->time_ns = time_ns;
	begin_chunk(e);
	return 0;
}

void trace_encoder_free(struct trace_encoder *e)
{
	free(e->ops_begin);
	memset(e, 0, sizeof(*e));
}

static void put_delta(struct trace_encoder *e, uint64_t *last, uint64_t page)
{
	e->pages = trace_put_varint(e->pages, trace_zigzag((int64_t)(page - *last)));
	*last = page;
	if (e->pages > e->pages_begin + TRACE_CHUNK_OPS - 16)
		e->limit = e->ops_begin;
}

static inline unsigned page_hash(uint64_t page)
{
	return (unsigned)(page ^ page >> 10) & (TRACE_HASH - 1);
}

/* Finds page's place in the data table, or takes the next that a clock's hand finds unused. */
static __attribute__((noinline)) unsigned find_place(struct trace_encoder *e, uint64_t page)
{
	unsigned place, hash = page_hash(page);

	for (place = 0; place < TRACE_DATA_PLACES; place++)
		if (e->table[place] == page) {
			e->hash[hash].page = page;
			e->hash[hash].place = place;
			return place;
		}
	while (e->used[e->hand]) {
		e->used[e->hand] = 0;
		e->hand = (e->hand + 1) % TRACE_DATA_PLACES;
	}
	place = e->hand;
	e->hand = (place + 1) % TRACE_DATA_PLACES;
	/* The page that stood there is no longer found. */
	if (e->hash[page_hash(e->table[place])].page == e->table[place])
		e->hash[page_hash(e->table[place])].page = NO_PAGE;
	e->table[place] = page;
	e->hash[hash].page = page;
	e->hash[hash].place = place;
	*e->ops++ = TRACE_OP_NEW_DATA;
	*e->ops++ = (uint8_t)place;
	put_delta(e, &e->last_data, page);
	return place;
}

/* Continues a count whose byte was written with 63. */
static __attribute__((noinline)) void put_more(struct trace_encoder *e, uint64_t more)
{
	e->counts = trace_put_varint(e->counts, more);
	/* The runs to come add a byte each: as many as there is still room for, less this varint's like. */
	ptrdiff_t room = e->counts_begin + COUNTS_ROOM - 16 - e->counts;
	if (e->limit - e->ops > room)
		e->limit = room > 0 ? e->ops + room : e->ops_begin;
}

/* By tag: the op's high bits for a run of the fewest accesses, the count byte's, that fewest number. */
static const struct {
	uint8_t legal, op, kind, fewest;
} tags[16] = {
	[TRACE_RUN_READ] = {1, 0, 0, 1},
	[TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST] = {1, TRACE_OP_WRITE, 0x40, 1},
	[TRACE_RUN_READ | TRACE_RUN_WRITE] = {1, TRACE_OP_OTHER, 0x80, 2},
	[TRACE_RUN_READ | TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST] = {1, TRACE_OP_OTHER, 0xc0, 2},
};

bool trace_encode_run(struct trace_encoder *e, uint64_t page, uint64_t count, uint32_t flags)
{
	unsigned tag = flags & 7;

	if (!tags[tag].legal || count < tags[tag].fewest || count > (UINT64_C(1) << 31) ||
		page >> 52)
		return false;
	unsigned place = (unsigned)e->hash[page_hash(page)].place;
	if (e->hash[page_hash(page)].page != page)
		place = find_place(e, page);
	e->used[place] = 1;
	if (flags & TRACE_RUN_KERNEL)
		*e->ops++ = TRACE_OP_KERNEL;
	uint64_t rest = count - tags[tag].fewest;
	if (rest || tags[tag].op == TRACE_OP_OTHER) {
		*e->ops++ = (uint8_t)(TRACE_OP_OTHER + place);
		*e->counts++ = tags[tag].kind |
			       (rest < TRACE_COUNT_MORE ? (uint8_t)rest : TRACE_COUNT_MORE);
		if (rest >= TRACE_COUNT_MORE)
			put_more(e, rest - TRACE_COUNT_MORE);
	} else {
		*e->ops++ = tags[tag].op | (uint8_t)place;
	}
	e->accesses += count;
	e->runs++;
	return true;
}

/*
 * What trace_encode_packed does with the low bits of a word, for counts below 64: op, count byte,
 * whether that is written, and whether it is none of its business, a byte each from the lowest.
 */
#define SHORT_BITS 0x3ffu
#define LONG_BITS  0xffc00u
#define ENTRY_SLOW 0x1000000u
static uint32_t packed[SHORT_BITS + 1];

static __attribute__((constructor)) void fill_packed(void)
{
	for (unsigned low = 0; low <= SHORT_BITS; low++) {
		unsigned tag = TRACE_PACKED_TAG(low),
			 rest = TRACE_PACKED_COUNT(low) - tags[tag].fewest;

		if (!tags[tag].legal || TRACE_PACKED_COUNT(low) < tags[tag].fewest ||
			rest >= TRACE_COUNT_MORE)
			packed[low] = ENTRY_SLOW;
		else if (rest || tags[tag].op == TRACE_OP_OTHER)
			packed[low] = TRACE_OP_OTHER | (tags[tag].kind | rest) << 8 | 1 << 16;
		else
			packed[low] = tags[tag].op;
	}
}

void trace_encode_packed(struct trace_encoder *e, const uint64_t **next, const uint64_t *end)
{
	const uint64_t *p = *next, *begin = p;
	/* In variables of their own: stores through a byte pointer might change anything else. */
	uint8_t *ops = e->ops, *const counts = e->counts_begin;
	/* 32 bits, or GCC keeps it and ops in one vector register, and the loop waits for that. */
	uint32_t at = (uint32_t)(e->counts - counts);
	uint64_t accesses = 0;

	while (p < end && ops < e->limit) {
		/* A short run is one op, so there is room for as many as these. */
		const uint64_t *stop = end - p < e->limit - ops ? end : p + (e->limit - ops);

		for (; p < stop; p++) {
			uint64_t v = *p, page = TRACE_PACKED_PAGE(v);
			uint32_t entry = packed[v & SHORT_BITS];
			unsigned hash = page_hash(page);

			if (PF_TRACE_UNLIKELY(e->hash[hash].page != page) ||
				PF_TRACE_UNLIKELY((v & LONG_BITS) | (entry & ENTRY_SLOW)))
				break;
			uint64_t place = e->hash[hash].place;
			e->used[place] = 1;
			*ops++ = (uint8_t)(entry + place);
			counts[at] = (uint8_t)(entry >> 8);
			at += entry >> 16;
			accesses += TRACE_PACKED_COUNT(v);
		}
		e->ops = ops;
		e->counts = counts + at;
		if (p == stop)
			continue;
		/* What makes no sense, as a data run, is the caller's. */
		unsigned tag = TRACE_PACKED_TAG(*p);
		if (!trace_encode_run(
			    e, TRACE_PACKED_PAGE(*p), TRACE_PACKED_COUNT(*p), tag & 8 ? 0 : tag))
			break;
		/* Counted below with the others. */
		e->accesses -= TRACE_PACKED_COUNT(*p);
		e->runs--;
		accesses += TRACE_PACKED_COUNT(*p);
		p++;
		ops = e->ops;
		at = (uint32_t)(e->counts - counts);
	}
	e->accesses += accesses;
	e->runs += (uint32_t)(p - begin);
	*next = p;
}

void trace_encode_code(struct trace_encoder *e, uint64_t page)
{
	unsigned hash = page_hash(page), place = e->code_hash[hash];

	e->code_runs++;
	if (e->code_table[place] == page) {
		*e->ops++ = (uint8_t)(TRACE_OP_CODE + place);
		return;
	}
	for (place = 0; place < TRACE_CODE_PLACES; place++)
		if (e->code_table[place] == page) {
			e->code_hash[hash] = (uint8_t)place;
			*e->ops++ = (uint8_t)(TRACE_OP_CODE + place);
			return;
		}
	place = e->code_place;
	e->code_place = (place + 1) % TRACE_CODE_PLACES;
	e->code_table[place] = page;
	e->code_hash[hash] = (uint8_t)place;
	*e->ops++ = TRACE_OP_NEW_CODE;
	put_delta(e, &e->last_code, page);
}

static void put_event(struct trace_encoder *e, uint32_t kind, uint64_t seq, uint64_t time_ns,
	unsigned nr, const uint64_t *args, int64_t result, const char *text)
{
	uint8_t *p = e->events;
	size_t len = strnlen(text, TRACE_EVENT_MAX_TEXT);

	*e->ops++ = TRACE_OP_EVENT;
	p = trace_put_varint(p, kind);
	p = trace_put_varint(p, seq - e->seq);
	p = trace_put_varint(p, time_ns > e->time_ns ? time_ns - e->time_ns : 0);
	p = trace_put_varint(p, nr);
	for (unsigned i = 0; i < nr; i++)
		p = trace_put_varint(p, args[i]);
	p = trace_put_varint(p, trace_zigzag(result));
	p = trace_put_varint(p, len);
	memcpy(p, text, len);
	e->events = p + len;
	e->seq = seq;
	if (time_ns > e->time_ns)
		e->time_ns = time_ns;
	e->nr_events++;
	if (e->events > e->events_begin + EVENTS_ROOM - EVENT_ROOM)
		e->limit = e->ops_begin;
}

void trace_encode_mark(struct trace_encoder *e, uint64_t seq, uint64_t time_ns)
{
	if (e->ops == e->ops_begin) {
		/* The chunk's header says it. */
		e->first_seq = e->seq = seq;
		if (time_ns > e->time_ns)
			e->time_first = e->time_ns = time_ns;
		return;
	}
	put_event(e, TRACE_EV_MARK, seq, time_ns, 0, NULL, 0, "");
}

void trace_encode_event(struct trace_encoder *e, const struct trace_event *ev)
{
	put_event(e, ev->kind, ev->seq, ev->time_ns, ev->nr_args, ev->args, ev->result,
		ev->text ? ev->text : "");
}

/* ---- the writer ---- */

static int write_all(struct trace_writer *w, const uint8_t *p, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = pwrite(w->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int fail(struct trace_writer *w, int error)
{
	if (!w->error) {
		w->error = -error;
		/* What follows the last whole chunk is worth nothing; if this fails too the reader still stops there. */
		if (ftruncate(w->fd, (off_t)w->offset))
			w->error = -error;
	}
	return error;
}

int trace_writer_create(struct trace_writer *w, const char *path, const struct trace_header *h)
{
	size_t size = TRACE_HEADER_FIXED + strlen(h->source) + 1 + strlen(h->program) + 1;
	unsigned argc;

	memset(w, 0, sizeof(*w));
	/* An argument list too long for the header is cut at a whole argument. */
	for (argc = 0; argc < h->argc && size + strlen(h->argv[argc]) + 1 <= TRACE_HEADER_MAX;
		argc++)
		size += strlen(h->argv[argc]) + 1;
	uint8_t *p = calloc(1, size);
	if (!p)
		return -ENOMEM;
	memcpy(p + TH_MAGIC, TRACE_MAGIC, 8);
	trace_put32(p + TH_VERSION, TRACE_VERSION);
	trace_put32(p + TH_SIZE, (uint32_t)size);
	trace_put32(p + TH_MACHINE, h->machine);
	trace_put32(p + TH_PAGE_SHIFT, h->page_shift);
	trace_put32(p + TH_FLAGS, h->flags);
	trace_put32(p + TH_PID, h->pid);
	trace_put32(p + TH_PARENT_PID, h->parent_pid);
	trace_put32(p + TH_STREAM, h->stream);
	trace_put32(p + TH_PARENT_STREAM, h->parent_stream);
	trace_put64(p + TH_PARENT_SEQ, h->parent_seq);
	trace_put64(p + TH_START_REAL, h->start_realtime_ns);
	trace_put64(p + TH_START_MONO, h->start_ns);
	trace_put64(p + TH_GUEST_BASE, h->guest_base);
	trace_put32(p + TH_NSTRINGS, argc + 2);
	trace_put32(p + TH_MERGE, h->merge);
	char *s = (char *)p + TRACE_HEADER_FIXED;
	s = stpcpy(s, h->source) + 1;
	s = stpcpy(s, h->program) + 1;
	for (unsigned i = 0; i < argc; i++)
		s = stpcpy(s, h->argv[i]) + 1;
	trace_put32(p + TH_CRC, trace_crc32c(0, p, size));

	int rc = 0;
	w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (w->fd < 0) {
		rc = -errno;
	} else {
		rc = write_all(w, p, size, 0);
		if (rc)
			close(w->fd);
	}
	free(p);
	if (rc)
		return rc;
	w->path = strdup(path);
	w->offset = size;
	pthread_mutex_init(&w->lock, NULL);
	return 0;
}

/* Appends a chunk whose header lacks number and checksum. */
static int append(struct trace_writer *w, uint8_t *chunk, size_t payload)
{
	int rc;

	pthread_mutex_lock(&w->lock);
	if (w->error) {
		rc = -w->error;
	} else {
		trace_put64(chunk + TC_NUMBER, w->chunks);
		trace_put32(chunk + TC_CRC, 0);
		trace_put32(chunk + TC_CRC, trace_crc32c(0, chunk, TRACE_CHUNK_HEADER));
		rc = write_all(w, chunk, TRACE_CHUNK_HEADER + payload, w->offset);
		if (rc) {
			fail(w, rc);
		} else {
			w->offset += TRACE_CHUNK_HEADER + payload;
			w->chunks++;
			w->accesses += trace_get64(chunk + TC_ACCESSES);
			w->runs += trace_get32(chunk + TC_RUNS);
			w->code_runs += trace_get32(chunk + TC_CODE_RUNS);
			w->events += trace_get32(chunk + TC_EVENTS);
		}
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static void put_header(uint8_t *p, const struct trace_encoder *e, uint32_t kind)
{
	memset(p, 0, TRACE_CHUNK_HEADER);
	trace_put32(p + TC_MAGIC, TRACE_CHUNK_MAGIC);
	trace_put32(p + TC_KIND, kind);
	trace_put32(p + TC_THREAD, e->thread);
	trace_put64(p + TC_FIRST_SEQ, e->first_seq);
	trace_put64(p + TC_TIME_FIRST, e->time_first);
	trace_put64(p + TC_TIME_LAST, e->time_ns);
	trace_put64(p + TC_ACCESSES, e->accesses);
	trace_put32(p + TC_RUNS, e->runs);
	trace_put32(p + TC_CODE_RUNS, e->code_runs);
	trace_put32(p + TC_EVENTS, e->nr_events);
}

int trace_encoder_flush(struct trace_encoder *e, struct trace_writer *w)
{
	uint8_t *const begins[TRACE_SECTIONS] = {
		e->ops_begin, e->counts_begin, e->pages_begin, e->events_begin};
	uint8_t *const ends[TRACE_SECTIONS] = {e->ops, e->counts, e->pages, e->events};
	uint8_t *to = e->ops;
	size_t raw, bound, payload;
	int rc = 0;

	if (e->ops == e->ops_begin)
		return 0;
	/* One piece is compressed better and faster than four. */
	for (int i = TRACE_COUNTS; i < TRACE_SECTIONS; i++) {
		size_t len = (size_t)(ends[i] - begins[i]);
		memmove(to, begins[i], len);
		to += len;
	}
	raw = (size_t)(to - e->ops_begin);
	bound = ZSTD_compressBound(raw);
	uint8_t *out = malloc(TRACE_CHUNK_HEADER + bound);
	if (!out) {
		rc = -ENOMEM;
	} else {
		uint32_t method = TRACE_ZSTD;
		put_header(out, e, TRACE_CHUNK_DATA);
		payload = ZSTD_compress(out + TRACE_CHUNK_HEADER, bound, e->ops_begin, raw, 1);
		if (ZSTD_isError(payload) || payload >= raw) {
			method = TRACE_STORED;
			payload = raw;
			memcpy(out + TRACE_CHUNK_HEADER, e->ops_begin, raw);
		}
		trace_put32(out + TC_METHOD, method);
		trace_put32(out + TC_PAYLOAD, (uint32_t)payload);
		trace_put32(
			out + TC_PAYLOAD_CRC, trace_crc32c(0, out + TRACE_CHUNK_HEADER, payload));
		for (int i = 0; i < TRACE_SECTIONS; i++)
			trace_put32(out + TC_RAW + 4 * i, (uint32_t)(ends[i] - begins[i]));
		rc = append(w, out, payload);
		free(out);
	}
	begin_chunk(e);
	return rc;
}

int trace_writer_finish(struct trace_writer *w, bool complete, uint64_t seq, uint64_t time_ns)
{
	struct trace_encoder none = {
		.seq = seq, .first_seq = seq, .time_first = time_ns, .time_ns = time_ns};
	uint8_t chunk[TRACE_CHUNK_HEADER];
	int rc = -w->error;

	if (complete && !rc) {
		put_header(chunk, &none, TRACE_CHUNK_END);
		rc = append(w, chunk, 0);
	}
	if (close(w->fd) && !rc)
		rc = -errno;
	free(w->path);
	w->path = NULL;
	w->fd = -1;
	pthread_mutex_destroy(&w->lock);
	return rc;
}
