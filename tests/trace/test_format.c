/* SPDX-License-Identifier: MIT */
/* What the encoder writes the reader reads; what is cut off or damaged it says. */
#define _GNU_SOURCE
#include "cli/trace_manifest.h"
#include "cli/trace_write.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/pagefold-trace-XXXXXX";
/* In memory: replacing a file thousands of times makes some file systems write it out each time. */
static char copy[32];
static int copy_fd;

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static int make_path(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	copy_fd = memfd_create("copy", MFD_CLOEXEC);
	snprintf(copy, sizeof(copy), "/proc/self/fd/%d", copy_fd);
	return fd < 0 || copy_fd < 0 || close(fd);
}

static int remove_path(void **state)
{
	(void)state;
	unlink(path);
	close(copy_fd);
	return 0;
}

static const char *const arguments[] = {"prog", "with space", ""};

static const struct trace_header header = {
	.machine = 62,
	.page_shift = 12,
	.flags = TRACE_F_FORKED,
	.pid = 77,
	.parent_pid = 76,
	.stream = 3,
	.parent_stream = 2,
	.parent_seq = 9,
	.start_realtime_ns = 1,
	.start_ns = 2,
	.guest_base = 0x1000,
	.merge = 1,
	.source = "test",
	.program = "/bin/prog",
	.argc = 3,
	.argv = arguments,
};

/* ---- what was written comes back ---- */

#define RUNS 3000000u

static struct trace_run *expected;

/* A run of any kind: mostly of few pages, now and then of far ones, with counts of all lengths. */
static struct trace_run draw_run(void)
{
	static const uint32_t kinds[] = {TRACE_RUN_READ, TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST,
		TRACE_RUN_READ | TRACE_RUN_WRITE,
		TRACE_RUN_READ | TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST};
	struct trace_run r = {.flags = kinds[draw(4)]};

	if (draw(16) == 0)
		r.page = draw(UINT64_C(1) << 52);
	else
		r.page = 0x4000000 + draw(draw(4) ? 60 : 3000);
	if (draw(8) == 0)
		return (struct trace_run){r.page, 1, TRACE_RUN_CODE};
	if (draw(64) == 0)
		return (struct trace_run){r.page, 1,
			(draw(2) ? TRACE_RUN_READ : TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST) |
				TRACE_RUN_KERNEL};
	r.count = (uint32_t)(1 + draw(UINT64_C(1) << draw(32)));
	if (r.count < 2)
		r.count = 2;
	return r;
}

static void encode(struct trace_encoder *e, struct trace_writer *w, const struct trace_run *r)
{
	/* A packed word when it is one, to test both ways in. */
	uint64_t word = r->page << 20 | (uint64_t)r->count << 4 | (r->flags & 7);
	const uint64_t *next = &word;

	if (r->flags & TRACE_RUN_CODE)
		trace_encode_code(e, r->page);
	else if (r->count < 65536 && r->page < UINT64_C(1) << 44 &&
		 !(r->flags & TRACE_RUN_KERNEL)) {
		trace_encode_packed(e, &next, &word + 1);
		assert_ptr_equal(next, &word + 1);
	} else
		assert_true(trace_encode_run(e, r->page, r->count, r->flags));
	if (trace_encoder_full(e))
		assert_int_equal(trace_encoder_flush(e, w), 0);
}

static void round_trip(void **state)
{
	struct trace_writer w;
	struct trace_encoder e;
	struct trace_reader *r;
	struct trace_batch b;
	uint64_t accesses = 0;
	char *error;

	(void)state;
	expected = malloc(RUNS * sizeof(*expected));
	assert_non_null(expected);
	assert_int_equal(trace_writer_create(&w, path, &header), 0);
	assert_int_equal(trace_encoder_init(&e, 1, 0, 0), 0);
	for (unsigned i = 0; i < RUNS; i++) {
		/* Long counts fill the counts section, far pages the pages section, both before the ops. */
		expected[i] =
			i < RUNS / 3 ? draw_run()
			: i < 2 * RUNS / 3
				? (struct trace_run){draw(UINT64_C(1) << 52), 1, TRACE_RUN_READ}
				: (struct trace_run){5, 2000000000u, TRACE_RUN_READ};
		accesses += expected[i].flags & TRACE_RUN_CODE ? 0 : expected[i].count;
		encode(&e, &w, &expected[i]);
		if (i % 100000 == 99999) {
			struct trace_event ev = {.kind = TRACE_EV_MMAP,
				.seq = e.seq + 1,
				.time_ns = i,
				.nr_args = 6,
				.args = {i, UINT64_MAX, 1, 2, 3, 4},
				.result = -12,
				.text = "/a b"};
			trace_encode_event(&e, &ev);
			if (trace_encoder_full(&e))
				assert_int_equal(trace_encoder_flush(&e, &w), 0);
		}
	}
	assert_int_equal(trace_encoder_flush(&e, &w), 0);
	uint64_t seq = e.seq, time_ns = e.time_ns;
	trace_encoder_free(&e);
	assert_int_equal(trace_writer_finish(&w, true, seq, time_ns), 0);

	assert_int_equal(trace_open(&r, path, &error), 0);
	const struct trace_header *h = trace_get_header(r);
	assert_int_equal(h->pid, 77);
	assert_int_equal(h->parent_seq, 9);
	assert_int_equal(h->guest_base, 0x1000);
	assert_int_equal(h->argc, 3);
	assert_string_equal(h->argv[1], "with space");
	assert_string_equal(h->argv[2], "");
	assert_string_equal(h->program, "/bin/prog");
	assert_true(trace_get_totals(r)->complete);
	assert_int_equal(trace_get_totals(r)->accesses, accesses);
	for (int pass = 0; pass < 2; pass++) {
		unsigned at = 0, events = 0;
		int rc;

		while ((rc = trace_next_batch(r, &b)) > 0) {
			assert_true(at + b.nr_runs <= RUNS);
			for (size_t i = 0; i < b.nr_runs; i++, at++)
				if (memcmp(&b.runs[i], &expected[at], sizeof(*expected)))
					fail_msg("run %u: page %#lx count %u flags %u", at,
						(unsigned long)b.runs[i].page, b.runs[i].count,
						b.runs[i].flags);
			if (!b.event)
				continue;
			events++;
			assert_int_equal(at, events * 100000);
			assert_int_equal(b.event->kind, TRACE_EV_MMAP);
			assert_int_equal(b.event->seq, events);
			assert_int_equal(b.event->time_ns, at - 1);
			assert_true(b.event->args[1] == UINT64_MAX);
			assert_int_equal(b.event->result, -12);
			assert_string_equal(b.event->text, "/a b");
		}
		assert_int_equal(rc, 0);
		assert_int_equal(at, RUNS);
		assert_int_equal(events, RUNS / 100000);
		trace_rewind(r);
	}
	trace_close(r);
	free(expected);
}

static void nonsense_is_refused(void **state)
{
	struct trace_encoder e;
	const uint64_t words[] = {
		5u << 20 | TRACE_RUN_READ,                            /* no accesses */
		5u << 20 | 1 << 4 | TRACE_RUN_READ | TRACE_RUN_WRITE, /* two in one */
		5u << 20 | 1 << 4 | TRACE_RUN_WRITE,                  /* a tag of other meaning */
		5u << 20 | 1 << 4 | 8 | TRACE_RUN_READ,               /* likewise */
	};

	(void)state;
	assert_int_equal(trace_encoder_init(&e, 1, 0, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		const uint64_t *next = &words[i];
		trace_encode_packed(&e, &next, &words[i] + 1);
		assert_ptr_equal(next, &words[i]);
	}
	assert_false(trace_encode_run(&e, UINT64_C(1) << 52, 1, TRACE_RUN_READ));
	assert_false(trace_encode_run(&e, 5, 1, TRACE_RUN_READ | TRACE_RUN_WRITE));
	assert_false(trace_encode_run(&e, 5, 0, TRACE_RUN_READ));
	assert_false(trace_encode_run(&e, 5, 1, TRACE_RUN_WRITE_FIRST));
	assert_ptr_equal(e.ops, e.ops_begin);
	trace_encoder_free(&e);
}

/* ---- the order of several threads ---- */

/*
 * Three threads take turns at events; a run of page N follows event N in its thread. The chunks of
 * one thread are all in the file before the next one's.
 */
static void threads_interleave(void **state)
{
	struct trace_writer w;
	struct trace_reader *r;
	struct trace_batch b;
	uint64_t last = 0, runs = 0;
	char *error;
	int rc;

	(void)state;
	assert_int_equal(trace_writer_create(&w, path, &header), 0);
	for (unsigned thread = 1; thread <= 3; thread++) {
		struct trace_encoder e;
		assert_int_equal(trace_encoder_init(&e, thread, 0, 0), 0);
		for (uint64_t seq = 1; seq <= 3000; seq++) {
			if (seq % 3 == thread % 3) {
				struct trace_event ev = {.kind = TRACE_EV_MADVISE,
					.seq = seq,
					.time_ns = seq,
					.nr_args = 3};
				trace_encode_event(&e, &ev);
			} else {
				trace_encode_mark(&e, seq, seq);
			}
			for (unsigned i = 0; i < seq % 5; i++, runs++)
				assert_true(trace_encode_run(&e, seq, 1, TRACE_RUN_READ));
			if (seq % (100 * thread) == 0)
				assert_int_equal(trace_encoder_flush(&e, &w), 0);
		}
		assert_int_equal(trace_encoder_flush(&e, &w), 0);
		trace_encoder_free(&e);
	}
	assert_int_equal(trace_writer_finish(&w, true, 3000, 3000), 0);
	assert_int_equal(trace_open(&r, path, &error), 0);
	assert_int_equal(trace_get_totals(r)->threads, 3);
	while ((rc = trace_next_batch(r, &b)) > 0) {
		for (size_t i = 0; i < b.nr_runs; i++)
			if (b.runs[i].page != last)
				fail_msg("thread %u: a run after event %lu was delivered after "
					 "event %lu",
					b.thread, (unsigned long)b.runs[i].page,
					(unsigned long)last);
		runs -= b.nr_runs;
		if (b.event) {
			assert_int_equal(b.event->seq, last + 1);
			assert_int_equal(b.event->thread % 3, b.event->seq % 3);
			last = b.event->seq;
		}
	}
	assert_int_equal(rc, 0);
	assert_int_equal(last, 3000);
	assert_int_equal(runs, 0);
	trace_close(r);
}

/* ---- cut off, damaged ---- */

/* A small file with some of everything, in three chunks of two threads. */
static void write_small(void)
{
	struct trace_writer w;

	assert_int_equal(trace_writer_create(&w, path, &header), 0);
	for (unsigned c = 0; c < 3; c++) {
		struct trace_encoder e;
		struct trace_event ev = {.kind = TRACE_EV_MUNMAP,
			.seq = c + 1,
			.time_ns = 5 * c,
			.nr_args = 2,
			.args = {1, 2},
			.text = "text"};
		assert_int_equal(trace_encoder_init(&e, 1 + c % 2, c, 0), 0);
		random_state = 12345 + c;
		for (unsigned i = 0; i < 40; i++) {
			struct trace_run r = draw_run();
			encode(&e, &w, &r);
			if (i == 20)
				trace_encode_event(&e, &ev);
		}
		assert_int_equal(trace_encoder_flush(&e, &w), 0);
		trace_encoder_free(&e);
	}
	assert_int_equal(trace_writer_finish(&w, true, 3, 10), 0);
}

static uint8_t *slurp(size_t *len)
{
	FILE *f = fopen(path, "r");
	uint8_t *p = malloc(1 << 20);

	assert_non_null(f);
	assert_non_null(p);
	*len = fread(p, 1, 1 << 20, f);
	fclose(f);
	return p;
}

static void put_copy(const uint8_t *p, size_t len)
{
	assert_int_equal(ftruncate(copy_fd, 0), 0);
	assert_int_equal(pwrite(copy_fd, p, len, 0), len);
}

struct outcome {
	bool opened, complete, failed;
	char error[512];
	uint64_t digest, items;
};

static void mix(struct outcome *o, const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		o->digest = (o->digest ^ ((const uint8_t *)p)[i]) * UINT64_C(0x100000001b3);
}

/* Everything that a reader can see. */
static struct outcome read_all(const char *file)
{
	struct outcome o = {0};
	struct trace_reader *r;
	struct trace_batch b;
	char *error;
	int rc;

	if (trace_open(&r, file, &error)) {
		o.failed = true;
		snprintf(o.error, sizeof(o.error), "%s", error ? error : "");
		free(error);
		return o;
	}
	o.opened = true;
	o.complete = trace_get_totals(r)->complete;
	const struct trace_header *h = trace_get_header(r);
	mix(&o, &h->pid, sizeof(h->pid));
	for (unsigned i = 0; i < h->argc; i++)
		mix(&o, h->argv[i], strlen(h->argv[i]) + 1);
	while ((rc = trace_next_batch(r, &b)) > 0) {
		mix(&o, b.runs, b.nr_runs * sizeof(*b.runs));
		o.items += b.nr_runs;
		if (b.event) {
			mix(&o, b.event->args, b.event->nr_args * 8);
			mix(&o, &b.event->seq, 8);
			mix(&o, b.event->text, strlen(b.event->text));
			o.items++;
		}
	}
	o.failed = rc < 0;
	if (rc < 0) {
		snprintf(o.error, sizeof(o.error), "%s", trace_error(r));
		assert_int_equal(trace_next_batch(r, &b), -1);
	}
	trace_close(r);
	return o;
}

/* "FILE: offset N: why" */
static void says_where(const struct outcome *o)
{
	size_t len = strlen(copy);

	if (strncmp(o->error, copy, len) || strncmp(o->error + len, ": offset ", 9))
		fail_msg("an error that does not say where: %s", o->error);
}

static void every_length(void **state)
{
	size_t len;

	(void)state;
	write_small();
	struct outcome whole = read_all(path);
	assert_true(whole.opened && whole.complete && !whole.failed);
	uint8_t *p = slurp(&len);
	uint64_t last = 0;
	unsigned readable = 0;
	for (size_t cut = 0; cut < len; cut++) {
		put_copy(p, cut);
		struct outcome o = read_all(copy);
		assert_false(o.complete);
		if (o.failed) {
			/* Only inside the header: from there on a cut-off file is readable. */
			assert_int_equal(readable, 0);
			says_where(&o);
			continue;
		}
		readable++;
		assert_true(o.items >= last && o.items <= whole.items);
		last = o.items;
	}
	assert_true(readable > 400);
	/* All but the END chunk is there. */
	assert_int_equal(last, whole.items);
	/* And what is longer than it should be is not taken for whole either. */
	p[len] = 'x';
	put_copy(p, len + 1);
	struct outcome o = read_all(copy);
	assert_true(o.failed);
	says_where(&o);
	free(p);
}

static void every_bit(void **state)
{
	unsigned detected = 0;
	size_t len;

	(void)state;
	write_small();
	struct outcome whole = read_all(path);
	uint8_t *p = slurp(&len);
	for (size_t i = 0; i < len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			p[i] ^= (uint8_t)(1u << bit);
			put_copy(p, len);
			struct outcome o = read_all(copy);
			if (o.failed) {
				says_where(&o);
				detected++;
			} else if (!o.complete || o.digest != whole.digest) {
				fail_msg(
					"bit %u of byte %zu flipped, and nothing was said", bit, i);
			}
			p[i] ^= (uint8_t)(1u << bit);
		}
	/* Each byte is under some checksum. */
	assert_int_equal(detected, 8 * len);
	free(p);
}

static void other_version(void **state)
{
	size_t len;

	(void)state;
	write_small();
	uint8_t *p = slurp(&len);
	trace_put32(p + TH_VERSION, 2);
	put_copy(p, len);
	struct outcome o = read_all(copy);
	assert_true(o.failed);
	assert_non_null(strstr(o.error, "version 2"));
	free(p);
}

static void missing_chunk(void **state)
{
	size_t len;

	(void)state;
	write_small();
	uint8_t *p = slurp(&len);
	size_t first = trace_get32(p + TH_SIZE),
	       size = TRACE_CHUNK_HEADER + trace_get32(p + first + TC_PAYLOAD);
	memmove(p + first, p + first + size, len - first - size);
	put_copy(p, len - size);
	struct outcome o = read_all(copy);
	assert_true(o.failed);
	assert_non_null(strstr(o.error, "number 0 is due"));
	free(p);
}

/* A full disk: what was written stays readable, and the writer says so. */
static void full_disk(void **state)
{
	struct trace_writer w;
	struct trace_encoder e;
	int full;

	(void)state;
	assert_int_equal(trace_writer_create(&w, path, &header), 0);
	assert_int_equal(trace_encoder_init(&e, 1, 0, 0), 0);
	trace_encode_code(&e, 7);
	assert_int_equal(trace_encoder_flush(&e, &w), 0);
	full = open("/dev/full", O_WRONLY);
	assert_true(full >= 0);
	int file = dup(w.fd);
	dup2(full, w.fd);
	trace_encode_code(&e, 8);
	assert_int_equal(trace_encoder_flush(&e, &w), -ENOSPC);
	dup2(file, w.fd);
	close(file);
	close(full);
	trace_encode_code(&e, 9);
	assert_int_equal(trace_encoder_flush(&e, &w), -ENOSPC);
	trace_encoder_free(&e);
	assert_int_equal(trace_writer_finish(&w, true, 0, 0), -ENOSPC);
	struct outcome o = read_all(path);
	assert_true(!o.failed && !o.complete);
	assert_int_equal(o.items, 1);
}

/* ---- the manifest ---- */

static void manifest(void **state)
{
	struct trace_stream_info s[2] = {
		{.program = "a \"b\"", .how = "start", .stream = 1, .pid = 5},
		{.path = path,
			.how = "fork",
			.end = "exit 0",
			.stream = 2,
			.parent_stream = 1,
			.pid = 6},
	};
	struct trace_manifest m = {.nr = 2, .streams = s}, got;
	static const char *const wrong[] = {"", "{", "[]", "{}", "{\"pagefold_recording\":9}",
		"{\"pagefold_recording\":1}", "{\"pagefold_recording\":1,\"streams\":[]}",
		"{\"pagefold_recording\":1,\"streams\":[7]}",
		"{\"pagefold_recording\":1,\"streams\":[{\"file\":\"/etc/passwd\"}]}"};
	char *error;

	(void)state;
	char file[sizeof(path) + 8], first[sizeof(path) + 8];
	snprintf(file, sizeof(file), "%s.all", path);
	snprintf(first, sizeof(first), "%s.1", path);
	s[0].path = first;
	assert_int_equal(trace_manifest_write(&m, file, "test"), 0);
	assert_int_equal(trace_manifest_read(&got, file, &error), 0);
	unlink(file);
	assert_string_equal(got.streams[0].path, first);
	assert_int_equal(got.nr, 2);
	assert_false(got.single);
	assert_string_equal(got.streams[0].program, "a \"b\"");
	assert_null(got.streams[0].end);
	assert_string_equal(got.streams[1].path, path);
	assert_string_equal(got.streams[1].end, "exit 0");
	assert_int_equal(got.streams[1].parent_stream, 1);
	trace_manifest_free(&got);

	write_small();
	assert_int_equal(trace_manifest_read(&got, path, &error), 0);
	assert_true(got.single);
	assert_string_equal(got.streams[0].path, path);
	trace_manifest_free(&got);

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		put_copy((const uint8_t *)wrong[i], strlen(wrong[i]));
		if (!trace_manifest_read(&got, copy, &error))
			fail_msg("a manifest that is none was read: %s", wrong[i]);
		assert_non_null(error);
		assert_ptr_equal(strstr(error, copy), error);
		free(error);
	}
}

static void checksum(void **state)
{
	(void)state;
	/* RFC 3720, B.4 */
	uint8_t zeros[32] = {0};
	assert_int_equal(trace_crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(trace_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(trace_crc32c(trace_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(threads_interleave),
		cmocka_unit_test(every_length),
		cmocka_unit_test(every_bit),
		cmocka_unit_test(other_version),
		cmocka_unit_test(missing_chunk),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(manifest),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
