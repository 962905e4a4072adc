/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer: the reader of recordings, and of their manifests. Whatever the bytes, each answers with
 * what it read or with an error that names file and place. The first byte says what the rest is:
 *
 *   0  a stream        1  a stream whose checksums are made right first, so that what lies behind them is met
 *   2  a manifest      3  the sections of one stored chunk, behind a header and with sums that are right
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/trace_format.h"
#include "cli/trace_layout.h"
#include "cli/trace_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static int fd = -1;

static void put(const uint8_t *p, size_t len)
{
	if (fd < 0) {
		const char digits[] = "0123456789";
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		strcpy(path, "/proc/self/fd/");
		size_t n = strlen(path);
		if (fd < 0 || fd > 99)
			abort();
		if (fd > 9)
			path[n++] = digits[fd / 10];
		path[n] = digits[fd % 10];
	}
	if (ftruncate(fd, 0) || pwrite(fd, p, len, 0) != (ssize_t)len)
		abort();
}

static void says_where(const char *error)
{
	if (!error || strncmp(error, path, strlen(path)))
		abort();
}

static uint64_t weigh_event(const struct trace_event *e)
{
	/* Its name and its text can be used without further ado. */
	if (!trace_event_name(e->kind) || !e->seq || strlen(e->text) > TRACE_EVENT_MAX_TEXT ||
		e->nr_args < trace_event_call_args(e->kind) || e->nr_args > 12)
		abort();
	return e->seq;
}

/* Reads it twice: the second time must tell the same. */
static void read_stream(void)
{
	struct trace_reader *r;
	struct trace_batch b;
	char *error;
	uint64_t sums[2] = {0, 0};
	int rc[2];

	if (trace_open(&r, path, &error)) {
		says_where(error);
		free(error);
		return;
	}
	const struct trace_header *h = trace_get_header(r);
	for (unsigned i = 0; i < h->argc; i++)
		sums[0] += strlen(h->argv[i]);
	sums[1] = sums[0];
	for (int pass = 0; pass < 2; pass++) {
		uint64_t seq = 0;

		while ((rc[pass] = trace_next_batch(r, &b)) > 0) {
			for (size_t i = 0; i < b.nr_runs; i++) {
				const struct trace_run *run = &b.runs[i];
				if (!run->count || run->page >> 52 || run->flags >> 5)
					abort();
				sums[pass] = sums[pass] * 31 + run->page + run->count + run->flags;
			}
			if (!b.event)
				continue;
			if (b.event->seq < seq)
				abort();
			seq = b.event->seq;
			sums[pass] = sums[pass] * 31 + weigh_event(b.event);
		}
		if (rc[pass] < 0)
			break;
		trace_rewind(r);
	}
	if (rc[0] < 0)
		says_where(trace_error(r));
	else if (rc[1] || sums[0] != sums[1])
		abort();
	trace_close(r);
}

/* Makes every checksum right that lies where it should, and numbers the chunks. */
static void mend(uint8_t *p, size_t size)
{
	if (size < TRACE_HEADER_FIXED)
		return;
	memcpy(p, TRACE_MAGIC, 8);
	trace_put32(p + TH_VERSION, TRACE_VERSION);
	size_t at = trace_get32(p + TH_SIZE);
	if (at < TRACE_HEADER_FIXED || at > size)
		return;
	trace_put32(p + TH_CRC, 0);
	trace_put32(p + TH_CRC, trace_crc32c(0, p, at));
	for (uint64_t number = 0; size - at >= TRACE_CHUNK_HEADER; number++) {
		uint8_t *c = p + at;
		size_t payload = trace_get32(c + TC_PAYLOAD);

		trace_put32(c + TC_MAGIC, TRACE_CHUNK_MAGIC);
		trace_put64(c + TC_NUMBER, number);
		if (payload <= size - at - TRACE_CHUNK_HEADER)
			trace_put32(c + TC_PAYLOAD_CRC,
				trace_crc32c(0, c + TRACE_CHUNK_HEADER, payload));
		trace_put32(c + TC_CRC, 0);
		trace_put32(c + TC_CRC, trace_crc32c(0, c, TRACE_CHUNK_HEADER));
		if (payload > size - at - TRACE_CHUNK_HEADER)
			return;
		at += TRACE_CHUNK_HEADER + payload;
	}
}

/*
 * data: three 16-bit lengths (ops, counts, pages), then two bytes each of runs, code runs, events,
 * accesses, then the sections.
 */
static void sections(const uint8_t *data, size_t size)
{
	const size_t strings = 4, begin = TRACE_HEADER_FIXED + strings;
	uint8_t *p;
	size_t left, n;

	if (size < 14)
		return;
	left = size - 14;
	p = calloc(1, begin + TRACE_CHUNK_HEADER + left);
	if (!p)
		return;
	trace_put32(p + TH_SIZE, (uint32_t)begin);
	trace_put32(p + TH_PAGE_SHIFT, 12);
	trace_put32(p + TH_NSTRINGS, 2);
	p[TRACE_HEADER_FIXED] = 'a';
	p[TRACE_HEADER_FIXED + 2] = 'b';
	uint8_t *c = p + begin;
	trace_put32(c + TC_KIND, TRACE_CHUNK_DATA);
	trace_put32(c + TC_THREAD, 1);
	trace_put32(c + TC_PAYLOAD, (uint32_t)left);
	memcpy(c + TRACE_CHUNK_HEADER, data + 14, left);
	for (int i = 0; i < 4; i++) {
		n = i < 3 ? (size_t)(data[2 * i] | data[2 * i + 1] << 8) : left;
		if (n > left)
			n = left;
		left -= n;
		trace_put32(c + TC_RAW + 4 * i, (uint32_t)n);
	}
	trace_put32(c + TC_RUNS, (uint32_t)(data[6] | data[7] << 8));
	trace_put32(c + TC_CODE_RUNS, (uint32_t)(data[8] | data[9] << 8));
	trace_put32(c + TC_EVENTS, (uint32_t)(data[10] | data[11] << 8));
	trace_put64(c + TC_ACCESSES, (uint64_t)(data[12] | data[13] << 8));
	mend(p, begin + TRACE_CHUNK_HEADER + (size - 14));
	put(p, begin + TRACE_CHUNK_HEADER + (size - 14));
	free(p);
	read_stream();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_manifest m;
	uint8_t *copy;
	char *error;

	if (!size)
		return 0;
	switch (data[0] & 3) {
	case 0:
		put(data + 1, size - 1);
		read_stream();
		break;
	case 1:
		copy = malloc(size);
		if (!copy)
			return 0;
		memcpy(copy, data, size);
		mend(copy + 1, size - 1);
		put(copy + 1, size - 1);
		free(copy);
		read_stream();
		break;
	case 2:
		put(data + 1, size - 1);
		if (trace_manifest_read(&m, path, &error)) {
			says_where(error);
			free(error);
			break;
		}
		if (!m.nr)
			abort();
		for (size_t i = 0; i < m.nr; i++)
			if (!m.streams[i].path)
				abort();
		trace_manifest_free(&m);
		break;
	case 3:
		sections(data + 1, size - 1);
		break;
	}
	return 0;
}
