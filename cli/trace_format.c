/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "trace_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int trace_fail(struct trace_reader *r, uint64_t offset, const char *fmt, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (!r->error &&
		asprintf(&r->error, "%s: offset %" PRIu64 ": %s", r->path, offset, message) < 0)
		r->error = NULL;
	return -1;
}

int trace_read_at(struct trace_reader *r, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(r->fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return trace_fail(r, offset + done, "cannot read: %s", strerror(errno));
		if (n == 0)
			return 1;
		done += (size_t)n;
	}
	return 0;
}

/* ---- opening ---- */

static int parse_strings(
	struct trace_reader *r, const uint8_t *p, const uint8_t *end, uint32_t count)
{
	const char **strings;

	if (count < 2 || count > (uint32_t)(end - p))
		return trace_fail(r, TH_NSTRINGS,
			"nonsense number of strings in the header: %" PRIu32, count);
	strings = calloc(count + 1, sizeof(*strings));
	if (!strings)
		return trace_fail(r, 0, "out of memory");
	r->argv = strings;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *zero = memchr(p, 0, (size_t)(end - p));

		if (!zero)
			return trace_fail(
				r, TRACE_HEADER_FIXED, "a string of the header does not end");
		strings[i] = (const char *)p;
		p = zero + 1;
	}
	if (p != end)
		return trace_fail(
			r, TRACE_HEADER_FIXED, "bytes left over after the header's strings");
	r->header.source = strings[0];
	r->header.program = strings[1];
	r->header.argc = count - 2;
	r->header.argv = strings + 2;
	return 0;
}

static int read_header(struct trace_reader *r)
{
	uint8_t fixed[TRACE_HEADER_FIXED];
	struct trace_header *h = &r->header;
	int rc = trace_read_at(r, fixed, sizeof(fixed), 0);

	if (rc < 0)
		return -1;
	if (rc || memcmp(fixed + TH_MAGIC, TRACE_MAGIC, 8))
		return trace_fail(r, 0, "not a recording: it does not begin with a trace header");
	h->version = trace_get32(fixed + TH_VERSION);
	if (h->version != TRACE_VERSION)
		return trace_fail(r, TH_VERSION,
			"version %" PRIu32 " of the format; this program reads version %u",
			h->version, TRACE_VERSION);
	uint32_t size = trace_get32(fixed + TH_SIZE);
	if (size < TRACE_HEADER_FIXED || size > TRACE_HEADER_MAX)
		return trace_fail(r, TH_SIZE, "nonsense header size %" PRIu32, size);
	r->header_bytes = malloc(size);
	if (!r->header_bytes)
		return trace_fail(r, 0, "out of memory");
	rc = trace_read_at(r, r->header_bytes, size, 0);
	if (rc)
		return rc < 0 ? -1 : trace_fail(r, 0, "the file ends inside its header");
	uint8_t *p = r->header_bytes;
	uint32_t crc = trace_get32(p + TH_CRC);
	trace_put32(p + TH_CRC, 0);
	if (trace_crc32c(0, p, size) != crc)
		return trace_fail(r, 0, "the header is damaged (checksum)");
	h->machine = trace_get32(p + TH_MACHINE);
	h->page_shift = trace_get32(p + TH_PAGE_SHIFT);
	h->flags = trace_get32(p + TH_FLAGS);
	h->pid = trace_get32(p + TH_PID);
	h->parent_pid = trace_get32(p + TH_PARENT_PID);
	h->stream = trace_get32(p + TH_STREAM);
	h->parent_stream = trace_get32(p + TH_PARENT_STREAM);
	h->parent_seq = trace_get64(p + TH_PARENT_SEQ);
	h->start_realtime_ns = trace_get64(p + TH_START_REAL);
	h->start_ns = trace_get64(p + TH_START_MONO);
	h->guest_base = trace_get64(p + TH_GUEST_BASE);
	h->merge = trace_get32(p + TH_MERGE);
	if (h->page_shift < 12 || h->page_shift > 21)
		return trace_fail(
			r, TH_PAGE_SHIFT, "nonsense page size, 2^%" PRIu32, h->page_shift);
	if (parse_strings(r, p + TRACE_HEADER_FIXED, p + size, trace_get32(p + TH_NSTRINGS)))
		return -1;
	return (int)size;
}

/* Fills *c from a chunk header whose checksum is right. */
static int check_chunk(struct trace_reader *r, struct chunk *c, const uint8_t *p, uint64_t number)
{
	uint64_t raw = 0;

	c->kind = trace_get32(p + TC_KIND);
	c->thread = trace_get32(p + TC_THREAD);
	c->first_seq = trace_get64(p + TC_FIRST_SEQ);
	c->time_first = trace_get64(p + TC_TIME_FIRST);
	c->accesses = trace_get64(p + TC_ACCESSES);
	c->runs = trace_get32(p + TC_RUNS);
	c->code_runs = trace_get32(p + TC_CODE_RUNS);
	c->events = trace_get32(p + TC_EVENTS);
	c->payload = trace_get32(p + TC_PAYLOAD);
	c->payload_crc = trace_get32(p + TC_PAYLOAD_CRC);
	c->method = trace_get32(p + TC_METHOD);
	for (int i = 0; i < TRACE_SECTIONS; i++) {
		c->raw[i] = trace_get32(p + TC_RAW + 4 * i);
		raw += c->raw[i];
	}
	if (trace_get64(p + TC_NUMBER) != number)
		return trace_fail(r, c->offset,
			"chunk %" PRIu64 " stands where number %" PRIu64 " is due",
			trace_get64(p + TC_NUMBER), number);
	if (c->kind != TRACE_CHUNK_DATA && c->kind != TRACE_CHUNK_END)
		return trace_fail(r, c->offset, "unknown kind of chunk: %" PRIu32, c->kind);
	if (c->method != TRACE_STORED && c->method != TRACE_ZSTD)
		return trace_fail(r, c->offset, "unknown compression: %" PRIu32, c->method);
	if (raw > TRACE_CHUNK_RAW_MAX || c->payload > ZSTD_compressBound(TRACE_CHUNK_RAW_MAX) ||
		(c->method == TRACE_STORED && c->payload != raw))
		return trace_fail(r, c->offset,
			"nonsense chunk size: %" PRIu32 " bytes for %" PRIu64, c->payload, raw);
	if ((uint64_t)c->runs + c->code_runs + c->events > c->raw[TRACE_OPS])
		return trace_fail(
			r, c->offset, "the chunk claims more runs and events than it has room for");
	return 0;
}

static int by_thread(const void *a, const void *b)
{
	const struct chunk *x = a, *y = b;

	if (x->thread != y->thread)
		return x->thread < y->thread ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int scan_chunks(struct trace_reader *r, uint64_t offset)
{
	uint8_t p[TRACE_CHUNK_HEADER];
	size_t room = 0;
	struct stat st;

	if (fstat(r->fd, &st))
		return trace_fail(r, 0, "cannot stat: %s", strerror(errno));
	uint64_t size = (uint64_t)st.st_size;
	while (offset < size) {
		struct chunk c = {.offset = offset};
		if (r->totals.complete)
			return trace_fail(
				r, offset, "bytes after the chunk that ends the recording");
		if (size - offset < TRACE_CHUNK_HEADER)
			break;
		int rc = trace_read_at(r, p, sizeof(p), offset);
		if (rc)
			return rc < 0 ? -1
				      : trace_fail(r, offset, "the file shrank while it was read");
		uint32_t crc = trace_get32(p + TC_CRC);
		trace_put32(p + TC_CRC, 0);
		if (trace_get32(p + TC_MAGIC) != TRACE_CHUNK_MAGIC ||
			trace_crc32c(0, p, sizeof(p)) != crc)
			return trace_fail(r, offset, "a chunk header is due here and is damaged");
		if (check_chunk(r, &c, p, r->nr_chunks))
			return -1;
		if (size - offset - TRACE_CHUNK_HEADER < c.payload)
			break;
		if (r->nr_chunks == room) {
			room = room ? 2 * room : 64;
			struct chunk *more = realloc(r->chunks, room * sizeof(*more));
			if (!more)
				return trace_fail(r, offset, "out of memory");
			r->chunks = more;
		}
		r->chunks[r->nr_chunks++] = c;
		struct trace_totals *t = &r->totals;
		t->accesses += c.accesses;
		t->runs += c.runs;
		t->code_runs += c.code_runs;
		t->events += c.events;
		t->payload_bytes += c.payload;
		for (int i = 0; i < TRACE_SECTIONS; i++)
			t->raw_bytes += c.raw[i];
		uint64_t last = trace_get64(p + TC_TIME_LAST);
		if (last > t->duration_ns)
			t->duration_ns = last;
		t->complete = c.kind == TRACE_CHUNK_END;
		offset += TRACE_CHUNK_HEADER + c.payload;
	}
	r->totals.cut_offset = offset;
	r->totals.file_bytes = size;
	r->totals.chunks = r->nr_chunks;
	return 0;
}

static int make_cursors(struct trace_reader *r)
{
	if (r->nr_chunks)
		qsort(r->chunks, r->nr_chunks, sizeof(*r->chunks), by_thread);
	for (size_t i = 0; i < r->nr_chunks; i++) {
		if (i && r->chunks[i].thread == r->chunks[i - 1].thread)
			continue;
		r->nr_cursors++;
	}
	if (r->nr_cursors > TRACE_MAX_THREADS)
		return trace_fail(r, 0, "more than %u threads", TRACE_MAX_THREADS);
	r->cursors = calloc(r->nr_cursors + 1, sizeof(struct cursor *));
	if (!r->cursors)
		return trace_fail(r, 0, "out of memory");
	size_t n = 0;
	for (size_t i = 0; i < r->nr_chunks; n++) {
		struct cursor *c = calloc(1, sizeof(*c));
		if (!c)
			return trace_fail(r, 0, "out of memory");
		r->cursors[n] = c;
		c->thread = r->chunks[i].thread;
		/* Thread 0 is nobody's: the recorder's own closing words. */
		r->totals.threads += c->thread != 0;
		for (c->first = i; i < r->nr_chunks && r->chunks[i].thread == c->thread; i++)
			;
		c->end = i;
	}
	trace_rewind(r);
	return 0;
}

int trace_open(struct trace_reader **out, const char *path, char **error)
{
	struct trace_reader *r = calloc(1, sizeof(*r));

	*out = NULL;
	*error = NULL;
	if (!r)
		goto no_memory;
	r->fd = -1;
	r->path = strdup(path);
	r->zstd = ZSTD_createDCtx();
	if (!r->path || !r->zstd)
		goto no_memory;
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0) {
		if (asprintf(&r->error, "%s: %s", path, strerror(errno)) < 0)
			r->error = NULL;
		goto failed;
	}
	int size = read_header(r);
	if (size < 0 || scan_chunks(r, (uint64_t)size) || make_cursors(r))
		goto failed;
	*out = r;
	return 0;
failed:
	*error = r->error;
	r->error = NULL;
	trace_close(r);
	return -1;
no_memory:
	trace_close(r);
	*error = strdup("out of memory");
	return -1;
}

void trace_close(struct trace_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nr_cursors; i++) {
		if (r->cursors[i])
			free(r->cursors[i]->raw);
		free(r->cursors[i]);
	}
	if (r->fd >= 0)
		close(r->fd);
	ZSTD_freeDCtx(r->zstd);
	free(r->cursors);
	free(r->chunks);
	free(r->argv);
	free(r->header_bytes);
	free(r->payload);
	free(r->path);
	free(r->error);
	free(r);
}

const struct trace_header *trace_get_header(const struct trace_reader *r)
{
	return &r->header;
}

const struct trace_totals *trace_get_totals(const struct trace_reader *r)
{
	return &r->totals;
}

const char *trace_error(const struct trace_reader *r)
{
	return r->error ? r->error : "out of memory";
}

/* ---- the order of batches ---- */

void trace_rewind(struct trace_reader *r)
{
	for (size_t i = 0; i < r->nr_cursors; i++) {
		struct cursor *c = r->cursors[i];

		free(c->raw);
		c->raw = NULL;
		c->chunk = NULL;
		c->next = c->first;
		c->have_event = false;
		c->seq = r->chunks[c->first].first_seq;
		c->time_ns = r->chunks[c->first].time_first;
	}
}

static bool cursor_done(const struct cursor *c)
{
	return !c->have_event && !c->chunk && c->next == c->end;
}

/*
 * An event with number n comes after every run that lies behind event n-1 or an earlier one, and
 * before every run that lies behind n; hence its key (n - 1, latest).
 */
static bool before(const struct cursor *a, const struct cursor *b)
{
	uint64_t x = a->have_event ? a->event.seq - 1 : a->seq,
		 y = b->have_event ? b->event.seq - 1 : b->seq;

	if (x != y)
		return x < y;
	if (a->have_event != b->have_event)
		return b->have_event;
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	return a->thread < b->thread;
}

static struct cursor *first_cursor(struct trace_reader *r, bool *alone)
{
	struct cursor *best = NULL;
	size_t n = 0;

	for (size_t i = 0; i < r->nr_cursors; i++) {
		struct cursor *c = r->cursors[i];

		if (cursor_done(c))
			continue;
		n++;
		if (!best || before(c, best))
			best = c;
	}
	*alone = n == 1;
	return best;
}

/* Between two chunks the order follows the next chunk's header. */
static int settle(struct trace_reader *r, struct cursor *c)
{
	if (c->chunk || c->have_event || c->next == c->end)
		return 0;
	const struct chunk *k = &r->chunks[c->next];
	if (k->first_seq < c->seq)
		return trace_fail(r, k->offset, "the numbers of a thread's events go back");
	c->seq = k->first_seq;
	c->time_ns = k->time_first;
	return 0;
}

static const struct trace_event *take_event(struct trace_reader *r, struct cursor *c)
{
	r->event = c->event;
	memcpy(r->text, c->text, strlen(c->text) + 1);
	r->event.text = r->text;
	c->have_event = false;
	c->seq = c->event.seq;
	return settle(r, c) ? NULL : &r->event;
}

/* Decodes from c until something is to be delivered; 0 when the cursor's order may have changed. */
static int advance(struct trace_reader *r, struct cursor *c, struct trace_batch *b, bool runs)
{
	if (!c->chunk && trace_load_chunk(r, c))
		return -1;
	b->thread = c->thread;
	b->seq = c->seq;
	b->time_ns = c->time_ns;
	if (trace_decode_words(r, c, b))
		return -1;
	if (runs)
		trace_expand(r, c, b);
	if (c->ops < c->ops_end && *c->ops == TRACE_OP_EVENT) {
		c->ops++;
		if (trace_decode_event(r, c) < 0)
			return -1;
	}
	if (c->ops == c->ops_end && (trace_finish_chunk(r, c) || settle(r, c)))
		return -1;
	return runs ? b->nr_runs > 0 : b->nr_words > 0;
}

static int next(struct trace_reader *r, struct trace_batch *b, bool runs)
{
	bool alone;

	if (r->error)
		return -1;
	for (;;) {
		struct cursor *c = first_cursor(r, &alone);

		if (!c)
			return 0;
		memset(b, 0, sizeof(*b));
		if (!c->have_event) {
			int rc = advance(r, c, b, runs);
			if (rc < 0)
				return -1;
			if (c->have_event && alone) {
				b->event = take_event(r, c);
				return b->event ? 1 : -1;
			}
			if (rc)
				return 1;
			continue;
		}
		b->thread = c->thread;
		b->seq = c->seq;
		b->time_ns = c->event.time_ns;
		b->event = take_event(r, c);
		return b->event ? 1 : -1;
	}
}

int trace_next_batch(struct trace_reader *r, struct trace_batch *b)
{
	return next(r, b, true);
}

int trace_next_words(struct trace_reader *r, struct trace_batch *b)
{
	return next(r, b, false);
}
