/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "trace_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Fast decoding may run past a section before the section's end is checked, by a byte an op at most. */
#define RAW_PAD (BATCH_RUNS + 64u)

/* What an op says of a run: count | flags << 32, or nothing if `other`: then a byte of counts does. */
struct op_info {
	uint64_t meta;
	uint8_t place, other, special;
};

static struct op_info op_table[256];
static uint64_t count_table[256];
/* In count_table: a varint follows. */
#define META_MORE (UINT64_C(1) << 63)

static __attribute__((constructor)) void fill_tables(void)
{
	static const uint64_t kinds[4] = {
		1 | (uint64_t)TRACE_RUN_READ << 32,
		1 | (uint64_t)(TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST) << 32,
		2 | (uint64_t)(TRACE_RUN_READ | TRACE_RUN_WRITE) << 32,
		2 | (uint64_t)(TRACE_RUN_READ | TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST) << 32,
	};

	for (unsigned b = 0; b < 256; b++) {
		struct op_info *op = &op_table[b];

		count_table[b] =
			(kinds[b >> 6] + (b & 63)) | ((b & 63) == TRACE_COUNT_MORE ? META_MORE : 0);
		if (b < TRACE_OP_CODE) {
			op->meta = b < TRACE_OP_OTHER ? kinds[b >> 6] : 0;
			op->place = b & (TRACE_DATA_PLACES - 1);
			op->other = b >= TRACE_OP_OTHER;
		} else if (b < TRACE_OP_NEW_CODE) {
			op->meta = 1 | (uint64_t)TRACE_RUN_CODE << 32;
			op->place = (uint8_t)(TRACE_DATA_PLACES + (b - TRACE_OP_CODE));
		} else {
			op->special = 1;
		}
	}
}

/* Loads the cursor's next chunk. */
int trace_load_chunk(struct trace_reader *r, struct cursor *c)
{
	const struct chunk *k = &r->chunks[c->next++];
	size_t raw = 0;

	for (int i = 0; i < TRACE_SECTIONS; i++)
		raw += k->raw[i];
	c->raw = malloc(raw + RAW_PAD);
	if (!c->raw)
		return trace_fail(r, k->offset, "out of memory");
	if (r->payload_size < k->payload) {
		free(r->payload);
		r->payload = malloc(k->payload);
		r->payload_size = r->payload ? k->payload : 0;
		if (!r->payload)
			return trace_fail(r, k->offset, "out of memory");
	}
	uint64_t at = k->offset + TRACE_CHUNK_HEADER;
	int rc = k->payload ? trace_read_at(r, r->payload, k->payload, at) : 0;
	if (rc)
		return rc < 0 ? -1 : trace_fail(r, at, "the file shrank while it was read");
	if (trace_crc32c(0, r->payload, k->payload) != k->payload_crc)
		return trace_fail(r, at, "a chunk is damaged (checksum)");
	if (k->method == TRACE_STORED) {
		if (raw)
			memcpy(c->raw, r->payload, raw);
	} else {
		size_t n = ZSTD_decompressDCtx(r->zstd, c->raw, raw, r->payload, k->payload);
		if (ZSTD_isError(n) || n != raw)
			return trace_fail(r, at, "a chunk cannot be decompressed: %s",
				ZSTD_isError(n) ? ZSTD_getErrorName(n) : "it is too short");
	}
	memset(c->raw + raw, 0, RAW_PAD);
	c->raw_end = c->raw + raw + RAW_PAD;
	c->ops = c->raw;
	c->ops_end = c->counts = c->ops + k->raw[TRACE_OPS];
	c->counts_end = c->pages = c->counts + k->raw[TRACE_COUNTS];
	c->pages_end = c->events = c->pages + k->raw[TRACE_PAGES];
	c->events_end = c->events + k->raw[TRACE_EVENTS];
	for (size_t i = 0; i < TRACE_DATA_PLACES + TRACE_CODE_PLACES; i++)
		c->table[i] = NO_PAGE;
	c->last_data = c->last_code = 0;
	c->code_place = 0;
	c->prefix = 0;
	c->seen_runs = c->seen_code = c->seen_events = 0;
	c->seen_accesses = 0;
	c->seq = k->first_seq;
	c->time_ns = k->time_first;
	c->chunk = k;
	return 0;
}

/* The chunk held what its header claims, no more. */
int trace_finish_chunk(struct trace_reader *r, struct cursor *c)
{
	const struct chunk *k = c->chunk;

	if (c->counts != c->counts_end || c->pages != c->pages_end || c->events != c->events_end ||
		c->prefix || c->seen_runs != k->runs || c->seen_code != k->code_runs ||
		c->seen_events != k->events || c->seen_accesses != k->accesses)
		return trace_fail(r, k->offset, "a chunk does not hold what its header counts");
	free(c->raw);
	c->raw = NULL;
	c->chunk = NULL;
	return 0;
}

static int bad_chunk(struct trace_reader *r, struct cursor *c, const char *what)
{
	return trace_fail(r, c->chunk->offset,
		"%s, at byte %zu of the chunk's %" PRIu32 " operations", what,
		(size_t)(c->ops - c->raw), c->chunk->raw[TRACE_OPS]);
}

/* Decodes the event whose op was just taken: 1 if it is to be delivered, 0 if it was a mark, -1. */
int trace_decode_event(struct trace_reader *r, struct cursor *c)
{
	struct trace_event *e = &c->event;
	const uint8_t *p = c->events, *end = c->events_end;
	uint64_t kind, seq, ns, nr, text = 0, result = 0;

	if (c->prefix)
		return bad_chunk(r, c, "a prefix without its run");
	if (!(p = trace_get_varint(p, end, &kind)) || !(p = trace_get_varint(p, end, &seq)) ||
		!(p = trace_get_varint(p, end, &ns)) || !(p = trace_get_varint(p, end, &nr)) ||
		nr > TRACE_EVENT_MAX_ARGS)
		return bad_chunk(r, c, "an event is cut off or has too many arguments");
	for (unsigned i = 0; i < nr; i++)
		if (!(p = trace_get_varint(p, end, &e->args[i])))
			return bad_chunk(r, c, "an event is cut off");
	if (!(p = trace_get_varint(p, end, &result)) || !(p = trace_get_varint(p, end, &text)) ||
		text > TRACE_EVENT_MAX_TEXT || text > (uint64_t)(end - p))
		return bad_chunk(r, c, "an event is cut off or its text is too long");
	memcpy(c->text, p, text);
	c->text[text] = 0;
	c->events = p + text;
	c->seen_events++;
	if (kind != TRACE_EV_MARK && !seq)
		return bad_chunk(r, c, "an event that is not after the one before");
	if (seq > UINT64_MAX - c->seq || ns > UINT64_MAX - c->time_ns)
		return bad_chunk(r, c, "an event's number or time overflows");
	c->time_ns += ns;
	if (kind == TRACE_EV_MARK) {
		c->seq += seq;
		return 0;
	}
	e->thread = c->thread;
	e->seq = c->seq + seq;
	e->time_ns = c->time_ns;
	e->kind = (enum trace_event_kind)kind;
	e->nr_args = (unsigned)nr;
	e->result = trace_unzigzag(result);
	if (kind > UINT32_MAX || !trace_event_name((unsigned)kind))
		return bad_chunk(r, c, "an event of an unknown kind");
	if (nr < trace_event_call_args((unsigned)kind))
		return bad_chunk(r, c, "an event has too few arguments");
	c->have_event = true;
	return 1;
}

static int new_page(struct trace_reader *r, struct cursor *c, uint64_t *last, uint64_t *place)
{
	uint64_t delta;
	const uint8_t *p = trace_get_varint(c->pages, c->pages_end, &delta);

	if (!p)
		return bad_chunk(r, c, "the page numbers run out");
	c->pages = p;
	*last += (uint64_t)trace_unzigzag(delta);
	if (*last >= NO_PAGE)
		return bad_chunk(r, c, "a page lies beyond every address space");
	*place = *last;
	return 0;
}

/*
 * Reads of the counts section may pass its end, by at most a byte an op, into the sections after it
 * or the padding (RAW_PAD); what was read is thrown away by the check that follows.
 */
ssize_t trace_decode_runs(struct trace_reader *r, struct cursor *c)
{
	const uint8_t *ops = c->ops, *counts = c->counts;
	const uint8_t *stop =
		(size_t)(c->ops_end - ops) > BATCH_RUNS ? ops + BATCH_RUNS : c->ops_end;
	struct trace_run *const begin = r->runs, *out = begin;
	uint64_t accesses = 0, code = 0;

	while (ops < stop) {
		const struct op_info *op = &op_table[*ops++];

		if (PF_TRACE_UNLIKELY(op->special)) {
			uint8_t b = ops[-1];

			c->ops = ops;
			if (b == TRACE_OP_NEW_DATA) {
				if (ops == c->ops_end || *ops >= TRACE_DATA_PLACES)
					return bad_chunk(r, c, "a page for no place of the table");
				if (new_page(r, c, &c->last_data, &c->table[*ops++]))
					return -1;
				continue;
			}
			if (b == TRACE_OP_NEW_CODE) {
				uint64_t *place = &c->table[TRACE_DATA_PLACES + c->code_place];
				if (new_page(r, c, &c->last_code, place))
					return -1;
				c->code_place = (c->code_place + 1) % TRACE_CODE_PLACES;
				*out++ = (struct trace_run){*place, 1, TRACE_RUN_CODE};
				code++;
				continue;
			}
			if (b == TRACE_OP_EVENT) {
				ops--;
				break;
			}
			if (b != TRACE_OP_KERNEL)
				return bad_chunk(r, c, "an unknown operation");
			c->prefix = TRACE_RUN_KERNEL;
			continue;
		}
		uint64_t meta = op->meta + (count_table[*counts] & -(uint64_t)op->other);
		uint64_t page = c->table[op->place];

		counts += op->other;
		if (PF_TRACE_UNLIKELY((meta & META_MORE) || page == NO_PAGE || c->prefix)) {
			uint64_t more;

			c->ops = ops;
			if (page == NO_PAGE)
				return bad_chunk(r, c, "a run names an empty place of the table");
			if (meta & META_MORE) {
				counts = counts > c->counts_end
						 ? NULL
						 : trace_get_varint(counts, c->counts_end, &more);
				if (!counts || more > UINT32_MAX - 128u)
					return bad_chunk(
						r, c, "a run's count is cut off or too large");
				meta = (meta & ~META_MORE) + more;
			}
			meta |= (uint64_t)c->prefix << 32;
			c->prefix = 0;
		}
		out->page = page;
		out->count = (uint32_t)meta;
		out->flags = (uint32_t)(meta >> 32);
		code += out->flags >> 3 & 1;
		accesses += out->count & (uint32_t) - (int32_t) !(out->flags & TRACE_RUN_CODE);
		out++;
	}
	c->ops = ops;
	c->counts = counts;
	if (counts > c->counts_end)
		return bad_chunk(r, c, "the counts run out");
	c->seen_accesses += accesses;
	c->seen_code += (uint32_t)code;
	c->seen_runs += (uint32_t)((size_t)(out - begin) - code);
	return out - begin;
}
