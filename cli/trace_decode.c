/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "trace_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Fast decoding may run past a section before the section's end is checked, by a byte an op at most. */
#define RAW_PAD (BATCH_OPS + 64u)

/* In a word that decoding makes: it cannot be taken as it is. Fewer than 128 accesses leave the bit free. */
#define WORD_SLOW (UINT32_C(1) << 31)

/* What a byte of the counts section adds to the word of its run; with WORD_SLOW: a varint follows. */
static uint32_t count_table[256];

/* The words of data runs of one page, by the bits above the place: fewest accesses, and what they are. */
static const uint32_t kinds[4] = {
	1u << TRACE_WORD_COUNT | TRACE_RUN_READ << TRACE_WORD_FLAGS,
	1u << TRACE_WORD_COUNT | (TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST) << TRACE_WORD_FLAGS,
	2u << TRACE_WORD_COUNT | (TRACE_RUN_READ | TRACE_RUN_WRITE) << TRACE_WORD_FLAGS,
	2u << TRACE_WORD_COUNT | (TRACE_RUN_READ | TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST)
					 << TRACE_WORD_FLAGS,
};

static __attribute__((constructor)) void fill_tables(void)
{
	for (unsigned b = 0; b < 256; b++)
		count_table[b] = (kinds[b >> 6] + ((b & 63) << TRACE_WORD_COUNT)) |
				 ((b & 63) == TRACE_COUNT_MORE ? WORD_SLOW : 0);
}

/*
 * The words that ops stand for, while each place holds a page; WORD_SLOW for all others. Those of ops whose
 * counts byte says what they are have their place alone.
 */
static void place_filled(struct cursor *c, unsigned place)
{
	if (place >= TRACE_WORD_CODE) {
		c->words[TRACE_OP_CODE + place - TRACE_WORD_CODE] =
			place | 1u << TRACE_WORD_COUNT | TRACE_RUN_CODE << TRACE_WORD_FLAGS;
		return;
	}
	c->words[place] = kinds[0] | place;
	c->words[TRACE_OP_WRITE + place] = kinds[1] | place;
	c->words[TRACE_OP_OTHER + place] = place;
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
	for (size_t i = 0; i < 256; i++)
		c->words[i] = WORD_SLOW;
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

/* The next page of the pages section goes to a place. Words that say so, or NULL. */
static trace_word *new_page(
	struct trace_reader *r, struct cursor *c, uint64_t *last, unsigned place, trace_word *out)
{
	uint64_t delta;
	const uint8_t *p = trace_get_varint(c->pages, c->pages_end, &delta);

	if (!p) {
		bad_chunk(r, c, "the page numbers run out");
		return NULL;
	}
	c->pages = p;
	*last += (uint64_t)trace_unzigzag(delta);
	if (*last >= NO_PAGE) {
		bad_chunk(r, c, "a page lies beyond every address space");
		return NULL;
	}
	place_filled(c, place);
	*out++ = TRACE_WORD_PAGE | place << TRACE_WORD_COUNT;
	*out++ = (uint32_t)*last;
	*out++ = (uint32_t)(*last >> 32);
	return out;
}

/* A run with all that can be the matter with it: no page, a count that goes on, the kernel's. */
static trace_word *slow_run(struct trace_reader *r, struct cursor *c, uint8_t op, trace_word *out)
{
	uint32_t word = c->words[op];
	uint64_t more = 0;

	if (word & WORD_SLOW) {
		bad_chunk(r, c, "a run names an empty place of the table");
		return NULL;
	}
	if (op >= TRACE_OP_OTHER && op < TRACE_OP_CODE) {
		uint32_t count = count_table[*c->counts++];

		if (count & WORD_SLOW) {
			c->counts = c->counts > c->counts_end
					    ? NULL
					    : trace_get_varint(c->counts, c->counts_end, &more);
			if (!c->counts || more > UINT32_MAX - 128u) {
				bad_chunk(r, c, "a run's count is cut off or too large");
				return NULL;
			}
			count &= ~WORD_SLOW;
		}
		word += count;
	}
	more += trace_word_count(word);
	word = (word & ((1u << TRACE_WORD_COUNT) - 1)) | c->prefix << TRACE_WORD_FLAGS;
	c->prefix = 0;
	if (more > TRACE_WORD_LOW)
		*out++ = TRACE_WORD_MORE | (uint32_t)(more >> 20) << TRACE_WORD_COUNT;
	*out++ = word | (uint32_t)(more & TRACE_WORD_LOW) << TRACE_WORD_COUNT;
	return out;
}

/*
 * One op by the long way; c->ops is behind it. NULL after an error. An event is the caller's.
 */
static trace_word *slow_op(struct trace_reader *r, struct cursor *c, uint8_t op, trace_word *out)
{
	unsigned place = TRACE_WORD_CODE + c->code_place;

	switch (op) {
	case TRACE_OP_NEW_DATA:
		if (c->ops == c->ops_end || *c->ops >= TRACE_DATA_PLACES) {
			bad_chunk(r, c, "a page for no place of the table");
			return NULL;
		}
		return new_page(r, c, &c->last_data, *c->ops++, out);
	case TRACE_OP_NEW_CODE:
		out = new_page(r, c, &c->last_code, place, out);
		if (out)
			*out++ = c->words[TRACE_OP_CODE + c->code_place];
		c->code_place = (c->code_place + 1) % TRACE_CODE_PLACES;
		return out;
	case TRACE_OP_KERNEL:
		c->prefix = TRACE_RUN_KERNEL;
		return out;
	}
	if (op > TRACE_OP_NEW_DATA) {
		bad_chunk(r, c, "an unknown operation");
		return NULL;
	}
	return slow_run(r, c, op, out);
}

/*
 * Reads of the counts section may pass its end, by at most a byte an op, into the sections after it
 * or the padding (RAW_PAD); what was read is thrown away by the check that follows.
 */
int trace_decode_words(struct trace_reader *r, struct cursor *c, struct trace_batch *b)
{
	const uint8_t *ops = c->ops, *counts = c->counts;
	const uint8_t *stop = (size_t)(c->ops_end - ops) > BATCH_OPS ? ops + BATCH_OPS : c->ops_end;
	trace_word *out = r->words;
	uint64_t accesses = 0, code = 0, runs = 0;

	while (ops < stop && *ops != TRACE_OP_EVENT) {
		trace_word *const begin = out;

		/* A prefix is for the long way. */
		for (const uint8_t *const end = c->prefix ? ops : stop; ops < end; ops++) {
			uint32_t other = -(uint32_t)((*ops & 0xc0) == TRACE_OP_OTHER);
			uint32_t word = c->words[*ops] + (count_table[*counts] & other);

			if (PF_TRACE_UNLIKELY(word & WORD_SLOW))
				break;
			counts -= (int32_t)other;
			accesses += trace_word_count(word);
			code += word >> 6 & 1;
			*out++ = word;
		}
		runs += (size_t)(out - begin);
		if (ops == stop || *ops == TRACE_OP_EVENT)
			break;
		trace_word *const slow = out;

		c->ops = ops + 1;
		c->counts = counts;
		out = slow_op(r, c, *ops, out);
		if (!out)
			return -1;
		ops = c->ops;
		counts = c->counts;
		/* Nearly all that come here are pages alone. */
		if (out == slow + 3 && trace_word_place(*slow) == TRACE_WORD_PAGE)
			continue;
		for (const trace_word *w = slow; w < out; w += trace_word_length(*w)) {
			accesses += trace_word_accesses(w);
			runs += trace_word_place(*w) != TRACE_WORD_PAGE;
			code += trace_word_place(*w) < TRACE_WORD_PLACES && (*w >> 6 & 1);
		}
	}
	c->ops = ops;
	c->counts = counts;
	if (counts > c->counts_end)
		return bad_chunk(r, c, "the counts run out");
	b->words = r->words;
	b->nr_words = (size_t)(out - r->words);
	b->nr_runs = runs;
	/* A run of code counts as 1, and is no access of data. */
	b->accesses = accesses - code;
	c->seen_accesses += b->accesses;
	c->seen_code += (uint32_t)code;
	c->seen_runs += (uint32_t)(runs - code);
	return 0;
}

/* The same as runs with their pages. */
void trace_expand(struct trace_reader *r, struct cursor *c, struct trace_batch *b)
{
	struct trace_run *run = r->runs;

	for (size_t i = 0; i < b->nr_words; i += trace_word_length(b->words[i])) {
		const trace_word *w = &b->words[i];
		trace_word of = *w;

		if (trace_word_place(of) == TRACE_WORD_PAGE) {
			c->table[trace_word_count(of)] = trace_word_page(w);
			continue;
		}
		if (trace_word_place(of) == TRACE_WORD_MORE)
			of = w[1];
		*run++ = (struct trace_run){.page = c->table[trace_word_place(of)],
			.count = (uint32_t)trace_word_accesses(w),
			.flags = trace_word_flags(of)};
	}
	b->runs = r->runs;
}
