// SPDX-License-Identifier: MIT
/*
 * Replay: decoding a recording and playing it through the memory manager and a TLB model, one configuration on
 * one core. The recordings are made here, the same in every run; times are of the processor, from a marked
 * event on, so that starting a machine and filling memory are not in them.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cli/replay.h"
#include "cli/trace_write.h"

#define HEAP  (UINT64_C(0x4000800000) >> 12) /* where recordings have what the kernel placed */
#define CODE  (UINT64_C(0x4000000000) >> 12)
#define READ  TRACE_RUN_READ
#define STORE (TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST)

static uint64_t rng_state;

static uint64_t rnd(uint64_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (rng_state >> 11) % below;
}

/* ---- recordings ---- */

struct recording {
	char path[64];
	int fd;
	struct trace_writer writer;
	struct trace_encoder e;
	uint64_t seq;
	bool ok;
};

static void flush_if_full(struct recording *r)
{
	if (trace_encoder_full(&r->e))
		r->ok &= !trace_encoder_flush(&r->e, &r->writer);
}

static void run(struct recording *r, uint64_t page, uint64_t accesses, uint32_t flags)
{
	r->ok &= trace_encode_run(&r->e, page, accesses, flags);
	flush_if_full(r);
}

static void event(struct recording *r, enum trace_event_kind kind, uint64_t result, uint64_t pages)
{
	struct trace_event ev = {.kind = kind,
		.seq = ++r->seq,
		.time_ns = r->seq * 1000,
		.nr_args = 6,
		.args = {0, pages << 12, PF_PROT_READ | PF_PROT_WRITE | PF_PROT_EXEC,
			PF_MAP_PRIVATE | PF_MAP_ANONYMOUS, UINT64_MAX, 0},
		.result = (int64_t)result,
		.text = ""};

	trace_encode_event(&r->e, &ev);
	flush_if_full(r);
}

static void begin(struct recording *r, uint64_t pages)
{
	static const char *const argv[] = {"bench"};
	const struct trace_header h = {.machine = 183,
		.page_shift = 12,
		.pid = 1,
		.stream = 1,
		.merge = 1,
		.source = "bench",
		.program = "bench",
		.argc = 1,
		.argv = argv};

	memset(r, 0, sizeof(*r));
	rng_state = 88172645463325252u;
	r->fd = memfd_create("recording", MFD_CLOEXEC);
	snprintf(r->path, sizeof(r->path), "/proc/self/fd/%d", r->fd);
	r->ok = r->fd >= 0 && !trace_writer_create(&r->writer, r->path, &h) &&
		!trace_encoder_init(&r->e, 1, 0, 0);
	if (!r->ok)
		return;
	event(r, TRACE_EV_MMAP, HEAP << 12, pages);
	event(r, TRACE_EV_MMAP, CODE << 12, 512);
	for (uint64_t i = 0; i < pages; i++)
		run(r, HEAP + i, 1, STORE);
	/* The mark: it changes nothing. */
	event(r, TRACE_EV_MSYNC, 0, 0);
}

static void end(struct recording *r)
{
	if (!r->ok)
		return;
	r->ok &= !trace_encoder_flush(&r->e, &r->writer);
	r->ok &= !trace_writer_finish(&r->writer, true, r->seq, r->seq * 1000);
	trace_encoder_free(&r->e);
}

/* Each update reads and writes a page of 256 MiB, any with the same chance. */
static void record_gups(struct recording *r)
{
	begin(r, 65536);
	for (unsigned i = 0; r->ok && i < 1500000; i++)
		run(r, HEAP + rnd(65536), 2, READ | TRACE_RUN_WRITE);
	end(r);
}

/*
 * As programs do: some thirty pages all the time, others now and then, two or three accesses a run, and a change
 * of the page of code every five of them: between the recorded compiler and the recorded interpreter of
 * `make demo` in how often a TLB misses.
 */
static void record_ordinary(struct recording *r)
{
	begin(r, 8192);
	for (unsigned i = 0; r->ok && i < 8000000; i++) {
		uint64_t kind = rnd(1000), page = rnd(6) * rnd(6), accesses = 1 + rnd(4);
		bool write = rnd(3) == 0;

		if (kind < 5)
			page = rnd(8192);
		else if (kind < 25)
			page = 512 + rnd(200);
		run(r, HEAP + page, accesses, write ? STORE : READ);
		if (i % 5 == 0) {
			trace_encode_code(&r->e, CODE + (kind < 990 ? rnd(24) : rnd(512)));
			flush_if_full(r);
		}
	}
	end(r);
}

/* ---- playing ---- */

struct feed {
	struct replay_source *source;
	struct replay_step step;
	char *error;
	uint64_t accesses; /* since the mark */
	double began;      /* the mark, or 0 */
	double ns;
};

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static const struct replay_step *next(void *ctx)
{
	struct feed *f = ctx;

	if (replay_source_next(f->source, &f->step, &f->error) < 0)
		return NULL;
	if (f->step.kind == REPLAY_EVENT && f->step.event.kind == TRACE_EV_MSYNC)
		f->began = cpu_ns();
	/* What it unmaps at the end is not replay's time. */
	if (f->step.kind == REPLAY_END)
		f->ns = cpu_ns() - f->began;
	if (f->began)
		f->accesses += f->step.accesses;
	return &f->step;
}

/* ns per access of data; 0 if something failed. */
static double play(const struct recording *r, const char *spec)
{
	char *path = (char *)(uintptr_t)r->path;
	struct replay_result result;
	struct replay_config cfg;
	struct feed f = {0};
	const char *why = "cannot be made";

	replay_config_init(&cfg);
	if (!r->ok || !replay_config_parse(&cfg, spec, &why)) {
		fprintf(stderr, "pagefold-bench: replay %s: %s\n", spec, why);
		return 0;
	}
	f.source = replay_source_open(&path, 1, &f.error);
	if (f.source)
		replay_play(&cfg, next, &f, &result);
	if (f.error || !result.ok || !f.accesses) {
		fprintf(stderr, "pagefold-bench: replay %s: %s\n", spec,
			f.error ? f.error : result.error);
		f.ns = 0;
		f.accesses = 1;
	}
	free(f.error);
	replay_source_close(f.source);
	return f.ns / (double)f.accesses;
}

static bool row(json_object *rows, const struct recording *r, const char *spec, const char *kase)
{
	json_object *o = json_object_new_object();
	struct samples s;
	double ours;

	for (unsigned i = 0; i < RUNS; i++) {
		s.ns[i] = play(r, spec);
		if (!s.ns[i]) {
			json_object_put(o);
			return false;
		}
	}
	ours = median(&s);
	json_object_object_add(o, "name", json_object_new_string("replay"));
	json_object_object_add(o, "case", json_object_new_string(kase));
	json_object_object_add(o, "unit", json_object_new_string("ns/access"));
	json_object_object_add(o, "ours", json_object_new_double(ours));
	json_object_object_add(o, "peer", NULL);
	json_object_object_add(o, "peer_name", NULL);
	json_object_object_add(o, "ratio", NULL);
	json_object_array_add(rows, o);
	printf("%-17s %-32s %8.2f %8s %7s  ns/access, %.0f M accesses/s\n", "replay", kase, ours,
		"-", "-", 1e3 / ours);
	fflush(stdout);
	return true;
}

bool replay_rows(json_object *rows)
{
	struct recording ordinary, gups;
	bool ok;

	record_ordinary(&ordinary);
	record_gups(&gups);
	ok = row(rows, &ordinary, "x=thp=none,fold=off", "4K fold=off ordinary") &&
	     row(rows, &ordinary, "x=thp=64K,fold=linux", "64K fold=on ordinary") &&
	     row(rows, &gups, "x=thp=none,fold=off", "4K fold=off GUPS 256M") &&
	     row(rows, &gups, "x=thp=64K,fold=linux", "64K fold=on GUPS 256M");
	close(ordinary.fd);
	close(gups.fd);
	return ok;
}
