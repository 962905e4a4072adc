/* SPDX-License-Identifier: MIT */
/*
 * `pagefold replay` on recordings made by hand: what the memory manager must do with them is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "recording.h"
#include "replaying.h"

#define P(n) ((uint64_t)(n) << 12)
#define RW   3
#define ANON 0x22          /* MAP_PRIVATE | MAP_ANONYMOUS */
#define HEAP 0x4000800000u /* where an emulator places what the program leaves to it */

static void begin(struct recording *r, const char *name)
{
	rec_begin(r, path(name), 100, 1, 0, 0, 0);
}

/* An anonymous mapping that the kernel placed at recorded address `at`. */
static void rec_mmap(struct recording *r, uint64_t at, uint64_t bytes)
{
	REC_EVENT(r, 1, TRACE_EV_MMAP, at, 0, bytes, RW, ANON, (uint64_t)-1, 0);
}

static uint64_t rng_state = 88172645463325252u;

static uint64_t rnd(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (rng_state * UINT64_C(0x2545f4914f6cdd1d)) >> 16;
}

/* ---- tests ---- */

/* The closed forms of test_tlbmodel.c, through the memory manager. */
static void test_gups(void **state)
{
	enum { PAGES = 65536, UPDATES = 1000000 };
	struct json_object *all, *c;
	struct recording r;

	(void)state;
	begin(&r, "gups");
	rec_mmap(&r, HEAP + P(5), P(PAGES));
	rec_sweep(&r, 1, (HEAP >> 12) + 5, PAGES, REC_W);
	for (unsigned i = 0; i < UPDATES; i++)
		rec_run(&r, 1, (HEAP >> 12) + 5 + rnd() % PAGES, 2, REC_R | TRACE_RUN_WRITE);
	rec_end(&r);
	assert_int_equal(replay(&all, "--tlb", "qemu-oracle", "--config", "4K=thp=none", "--config",
				 "off=fold=off", "--config", "on", "--config",
				 "unaligned=layout=recorded", path("gups"), NULL),
		0);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const names[] = {"4K", "off", "on", "unaligned"};

		c = config(all, names[i]);
		EXPECT(c, "data.accesses", PAGES + 2 * UPDATES);
		EXPECT(c, "data.failed", 0);
		EXPECT(c, "unknown_accesses", 0);
	}
	c = config(all, "4K");
	EXPECT(c, "faults", PAGES);
	EXPECT(c, "anon_folios.4K", PAGES);
	EXPECT(c, "folds", 0);
	EXPECT_NEAR(c, "data.l1_misses", PAGES + UPDATES * (1 - 48.0 / PAGES), 0.001);
	EXPECT_NEAR(c, "data.l2_misses", PAGES + UPDATES * (1 - 1280.0 / PAGES), 0.001);
	EXPECT(c, "data.walk_loads", 4 * get(c, "data.l2_misses"));
	EXPECT(c, "data.folded_accesses", 0);
	/* Folios without folding: fewer faults, the same misses. */
	EXPECT(config(all, "off"), "faults", PAGES / 16);
	EXPECT(config(all, "off"), "anon_folios.64K", PAGES / 16);
	EXPECT(config(all, "off"), "folds", 0);
	EXPECT(config(all, "off"), "data.l1_misses", get(c, "data.l1_misses"));
	c = config(all, "on");
	EXPECT(c, "faults", PAGES / 16);
	EXPECT(c, "folds", PAGES / 16);
	EXPECT(c, "unfolds", 0);
	EXPECT_NEAR(c, "data.l1_misses", PAGES / 16 + UPDATES * (1 - 48.0 / 4096), 0.001);
	EXPECT_NEAR(c, "data.l2_misses", PAGES / 16 + UPDATES * (1 - 1280.0 / 4096), 0.002);
	EXPECT(c, "data.folded_accesses", PAGES + 2 * UPDATES);
	/* As recorded, the mapping starts 5 pages into a block: its ends are single pages. */
	c = config(all, "unaligned");
	EXPECT(c, "anon_folios.64K", PAGES / 16 - 1);
	EXPECT(c, "folds", PAGES / 16 - 1);
	EXPECT(c, "faults", PAGES / 16 - 1 + 16);
	json_object_put(all);
}

/* What takes blocks apart, and the cause that is told. */
static void test_causes(void **state)
{
	struct json_object *all, *c;
	uint64_t at = HEAP;
	struct recording r;

	(void)state;
	begin(&r, "causes");
	rec_mmap(&r, at, P(512));
	rec_sweep(&r, 1, at >> 12, 512, REC_W);
	/* Parts of six blocks; whole ones do not unfold. */
	REC_EVENT(&r, 1, TRACE_EV_MUNMAP, 0, at + P(3), P(2));
	REC_EVENT(&r, 1, TRACE_EV_MADVISE, 0, at + P(16 + 3), P(1), 4);
	REC_EVENT(&r, 1, TRACE_EV_MPROTECT, 0, at + P(32), P(8), 1);
	REC_EVENT(&r, 1, TRACE_EV_MPROTECT, 0, at + P(48), P(16), 1);
	REC_EVENT(&r, 1, TRACE_EV_MPROTECT, 0, at + P(64 + 8), P(16), 0);
	REC_EVENT(&r, 1, TRACE_EV_MUNMAP, 0, at + P(128), P(32));
	/* Moved: part of a block leaves it, and lands where nothing can fold. */
	REC_EVENT(&r, 1, TRACE_EV_MREMAP, HEAP + P(4096), at + P(256 + 4), P(4), P(8), 1, 0);
	rec_sweep(&r, 1, (HEAP >> 12) + 4096, 8, REC_W);
	rec_sweep(&r, 1, (at >> 12) + 32, 8, REC_R);
	rec_sweep(&r, 1, (at >> 12) + 40, 8, REC_W);
	rec_end(&r);
	assert_int_equal(replay(&all, "--config", "on", "--config", "off=fold=off", "--config",
				 "recorded=layout=recorded", path("causes"), NULL),
		0);
	c = config(all, "on");
	EXPECT(c, "folds", 32);
	EXPECT(c, "unfolds_by_cause.zap", 2);
	EXPECT(c, "unfolds_by_cause.mprotect", 3);
	EXPECT(c, "unfolds_by_cause.move", 1);
	EXPECT(c, "unfolds", 6);
	EXPECT(c, "faults", 32 + 4);
	EXPECT(c, "data.failed", 0);
	EXPECT(c, "unknown_accesses", 0);
	assert_true(get(c, "tlbi") > 0 && get(c, "barriers") > 0 && get(c, "tlb_entries_lost") > 0);
	EXPECT(config(all, "recorded"), "unfolds", 6);
	EXPECT(config(all, "off"), "unfolds", 0);
	assert_true(get(config(all, "off"), "tlbi") <= get(c, "tlbi"));
	json_object_put(all);
}

/*
 * What TLBs lose is what the library's operations name: where a block must be broken before it is made of pages,
 * all of it, whatever the call was about; where not, the page.
 */
static void test_invalidations(void **state)
{
	struct json_object *all, *c;
	struct recording r;

	(void)state;
	begin(&r, "invalidations");
	rec_mmap(&r, HEAP, P(32));
	rec_sweep(&r, 1, HEAP >> 12, 32, REC_W);
	REC_EVENT(&r, 1, TRACE_EV_MUNMAP, 0, HEAP + P(3), P(1));
	rec_sweep(&r, 1, (HEAP >> 12) + 4, 28, REC_R);
	rec_end(&r);
	/* A TLB that holds pages, in two levels. */
	assert_int_equal(
		replay(&all, "--tlb", "qemu-oracle", "--config", "break=contig=off,features=bbm0",
			"--config", "live=contig=off,features=bbml2-noabort", "--config",
			"off=contig=off,fold=off", path("invalidations"), NULL),
		0);
	c = config(all, "break");
	EXPECT(c, "unfolds", 1);
	EXPECT(c, "data.l1_misses", 32 + 12);
	EXPECT(c, "data.l2_misses", 32 + 12);
	/* And what is there at the end. */
	EXPECT(c, "tlb_entries_lost", 2 * (16 + 28));
	for (unsigned i = 0; i < 2; i++) {
		c = config(all, i ? "off" : "live");
		EXPECT(c, "unfolds", !i);
		EXPECT(c, "data.l1_misses", 32);
		EXPECT(c, "tlb_entries_lost", 2 * (1 + 31));
	}
	json_object_put(all);
}

/* More accesses than a word holds, alone and in turns of threads. */
static void test_long_runs(void **state)
{
	struct json_object *all, *c;
	struct recording r;

	(void)state;
	for (unsigned threads = 1; threads <= 2; threads++) {
		begin(&r, "long");
		rec_mmap(&r, HEAP, P(64));
		for (unsigned i = 0; i < 64; i++)
			for (unsigned t = 1; t <= threads; t++)
				rec_run(&r, t, (HEAP >> 12) + i, (UINT64_C(1) << 20) - 2 + i,
					REC_R);
		rec_end(&r);
		assert_int_equal(replay(&all, "--config", "4K=thp=none", path("long"), NULL), 0);
		c = config(all, "4K");
		EXPECT(c, "data.accesses", threads * (64 * ((1 << 20) - 2) + 63 * 32));
		EXPECT(c, "data.l2_misses", 64);
		EXPECT(all, "thread_turns", threads == 1 ? 0 : 2 * 64);
		json_object_put(all);
	}
}

/* Accesses that the mappings do not allow, and to nothing. */
static void test_refused_accesses(void **state)
{
	struct json_object *all, *c;
	struct recording r;

	(void)state;
	begin(&r, "refused");
	rec_mmap(&r, HEAP, P(32));
	rec_sweep(&r, 1, HEAP >> 12, 32, REC_W);
	REC_EVENT(&r, 1, TRACE_EV_MPROTECT, 0, HEAP, P(16), 1);
	rec_run(&r, 1, (HEAP >> 12) + 3, 7, REC_W);
	rec_run(&r, 1, (HEAP >> 12) + 3, 7, REC_R);
	REC_EVENT(&r, 1, TRACE_EV_MUNMAP, 0, HEAP, P(16));
	rec_run(&r, 1, (HEAP >> 12) + 3, 5, REC_R);
	rec_end(&r);
	assert_int_equal(replay(&all, "--config", "on", path("refused"), NULL), 0);
	c = config(all, "on");
	EXPECT(c, "data.failed", 7);
	EXPECT(c, "signals", 1);
	EXPECT(c, "unknown_accesses", 5);
	EXPECT(c, "data.accesses", 32 + 14);
	json_object_put(all);
}

/*
 * Files come in folios as large as they may be, once for all who map them, and are counted apart; code runs go to the
 * instruction side.
 */
static void test_files(void **state)
{
	struct json_object *all, *c;
	uint64_t file = HEAP + P(1024), again = HEAP + P(2048), shared = HEAP + P(4096);
	struct recording r;

	(void)state;
	begin(&r, "files");
	rec_mmap(&r, HEAP, P(64));
	REC_EVENT(&r, 1, TRACE_EV_MMAP, file, 0, P(64), 5, 2, 3, 0, 8, 77, P(64));
	REC_EVENT(&r, 1, TRACE_EV_MMAP, again, 0, P(32), 3, 2, 3, P(32), 8, 77, P(64));
	REC_EVENT(&r, 1, TRACE_EV_MMAP, shared, 0, P(16), 3, 0x21, (uint64_t)-1, 0);
	rec_sweep(&r, 1, HEAP >> 12, 64, REC_W);
	rec_sweep(&r, 1, file >> 12, 64, REC_R);
	for (unsigned i = 0; i < 10; i++)
		rec_code(&r, 1, (file >> 12) + i % 2);
	rec_sweep(&r, 1, again >> 12, 32, REC_R);
	rec_run(&r, 1, again >> 12, 1, REC_W);
	rec_sweep(&r, 1, shared >> 12, 16, REC_W);
	rec_end(&r);
	assert_int_equal(
		replay(&all, "--config", "on", "--config", "small=files=none", path("files"), NULL),
		0);
	c = config(all, "on");
	EXPECT(c, "data.accesses", 64 + 64 + 32 + 1 + 16);
	EXPECT(c, "instructions.accesses", 10);
	EXPECT(c, "instructions.l1_misses", 1);
	EXPECT(c, "file_and_shared.accesses", 64 + 10 + 32 + 1 + 16);
	/* The last is the copy. */
	EXPECT(c, "file_and_shared.faults", 4 + 2 + 1 + 1);
	EXPECT(c, "faults", 4 + 8);
	EXPECT(c, "cow", 1);
	EXPECT(c, "folds", 4 + 4 + 2 + 1);
	EXPECT(c, "unfolds", 1);
	/* The folio of the copied page stays whole. */
	EXPECT(c, "data.folded_accesses", 64 + 64 + 32 + 16);
	EXPECT(c, "file_bytes_peak", P(64));
	c = config(all, "small");
	EXPECT(c, "file_and_shared.accesses", 64 + 10 + 32 + 1 + 16);
	/* The second time they are in memory, and those around come with each. */
	EXPECT(c, "file_and_shared.faults", 64 + 2 + 1 + 16);
	EXPECT(c, "folds", 4);
	EXPECT(c, "data.folded_accesses", 64);
	json_object_put(all);
}

/* The heap, and the mappings that a program starts with. */
static void test_start_and_heap(void **state)
{
	const uint64_t exe = 0x4000000000, ld = 0x4000810000, stack = 0x4000000000 + P(0x700);
	struct json_object *all, *c;
	struct recording r;
	unsigned layout;

	(void)state;
	begin(&r, "start");
	REC_EVENT(&r, 1, TRACE_EV_THREAD_START, 0, 100);
	rec_event(&r, 1, TRACE_EV_MAP, 0, 7, (uint64_t[]){exe, P(4), 5, TRACE_MAP_FILE, 0, 1, 2},
		"/bin/program");
	rec_event(&r, 1, TRACE_EV_MAP, 0, 7,
		(uint64_t[]){exe + P(4), P(2), 3, TRACE_MAP_ANON, 0, 0, 0}, NULL);
	rec_event(&r, 1, TRACE_EV_MAP, 0, 7,
		(uint64_t[]){stack, P(64), 3, TRACE_MAP_STACK, 0, 0, 0}, NULL);
	rec_event(&r, 1, TRACE_EV_MAP, 0, 7, (uint64_t[]){ld, P(8), 5, TRACE_MAP_FILE, 0, 1, 3},
		"/lib/ld.so");
	rec_code(&r, 1, exe >> 12);
	rec_code(&r, 1, ld >> 12);
	rec_run(&r, 1, (exe >> 12) + 5, 3, REC_W);
	rec_sweep(&r, 1, (stack >> 12) + 32, 32, REC_W);
	REC_EVENT(&r, 1, TRACE_EV_BRK, exe + P(6), 0);
	REC_EVENT(&r, 1, TRACE_EV_BRK, exe + P(6 + 256), exe + P(6 + 256));
	rec_sweep(&r, 1, (exe >> 12) + 6, 256, REC_W);
	REC_EVENT(&r, 1, TRACE_EV_BRK, exe + P(6 + 100), exe + P(6 + 100));
	rec_run(&r, 1, (exe >> 12) + 6 + 120, 2, REC_R);
	REC_EVENT(&r, 1, TRACE_EV_BRK, exe + P(6 + 256), exe + P(6 + 256));
	rec_sweep(&r, 1, (exe >> 12) + 6, 256, REC_R);
	/* A library: reserved by one call, its parts mapped into it. */
	REC_EVENT(&r, 1, TRACE_EV_MMAP, HEAP + P(64), 0, P(32), 1, 2, 3, 0);
	REC_EVENT(&r, 1, TRACE_EV_MMAP, HEAP + P(72), HEAP + P(72), P(8), 5, 0x12, 3, P(8));
	REC_EVENT(&r, 1, TRACE_EV_MMAP, HEAP + P(88), HEAP + P(88), P(8), 3, 0x32, (uint64_t)-1, 0);
	rec_sweep(&r, 1, (HEAP >> 12) + 64, 32, REC_R);
	rec_end(&r);
	assert_int_equal(replay(&all, "--config", "linux", "--config", "recorded=layout=recorded",
				 path("start"), NULL),
		0);
	for (layout = 0; layout < 2; layout++) {
		c = config(all, layout ? "recorded" : "linux");
		EXPECT(c, "data.failed", 0);
		EXPECT(c, "instructions.failed", 0);
		EXPECT(c, "unknown_accesses", 2);
		EXPECT(c, "moved_apart", 0);
		EXPECT(c, "data.accesses", 3 + 32 + 256 + 256 + 32);
		/* The stack has single pages. */
		assert_true(get(c, "anon_folios.4K") >= 32);
		assert_true(get(c, "anon_folios.64K") >= 14);
		assert_true(get(c, "folds") >= 14);
	}
	json_object_put(all);
}

/* mremap that grows in place where it was recorded, and may not be able to here. */
static void test_mremap_grows(void **state)
{
	struct json_object *all, *c;
	struct recording r;

	(void)state;
	begin(&r, "grow");
	rec_mmap(&r, HEAP, P(64));
	rec_mmap(&r, HEAP + P(4096), P(64));
	rec_sweep(&r, 1, HEAP >> 12, 64, REC_W);
	for (unsigned nr = 64; nr < 2048; nr *= 2)
		REC_EVENT(&r, 1, TRACE_EV_MREMAP, HEAP, HEAP, P(nr), P(2 * nr), 1, 0);
	rec_sweep(&r, 1, HEAP >> 12, 2048, REC_W);
	rec_sweep(&r, 1, (HEAP >> 12) + 4096, 64, REC_W);
	/* Down, elsewhere, and onto the other one. */
	REC_EVENT(&r, 1, TRACE_EV_MREMAP, HEAP, HEAP, P(2048), P(1024), 1, 0);
	REC_EVENT(&r, 1, TRACE_EV_MREMAP, HEAP + P(8192), HEAP, P(1024), P(1024), 1, 0);
	REC_EVENT(&r, 1, TRACE_EV_MREMAP, HEAP + P(4096), HEAP + P(8192), P(64), P(64), 3,
		HEAP + P(4096));
	rec_sweep(&r, 1, (HEAP >> 12) + 4096, 64, REC_R);
	rec_sweep(&r, 1, (HEAP >> 12) + 8192 + 64, 1024 - 64, REC_R);
	rec_run(&r, 1, (HEAP >> 12) + 8192, 1, REC_R);
	rec_end(&r);
	assert_int_equal(replay(&all, "--config", "linux", "--config", "recorded=layout=recorded",
				 path("grow"), NULL),
		0);
	for (unsigned layout = 0; layout < 2; layout++) {
		c = config(all, layout ? "recorded" : "linux");
		EXPECT(c, "data.failed", 0);
		EXPECT(c, "unknown_accesses", 1);
		EXPECT(c, "moved_apart", 0);
	}
	c = config(all, "recorded");
	EXPECT(c, "faults", (64 + 2048 - 64 + 64) / 16);
	json_object_put(all);
}

/* A child after fork: its own pages on write, its own translations. */
static void test_fork(void **state)
{
	struct json_object *all, *c;
	struct recording r, child;
	FILE *f;

	(void)state;
	begin(&r, "fork.1");
	rec_mmap(&r, HEAP, P(256));
	rec_sweep(&r, 1, HEAP >> 12, 256, REC_W);
	REC_EVENT(&r, 1, TRACE_EV_FORK, 101, 17);
	rec_sweep(&r, 1, HEAP >> 12, 256, REC_R);
	r.time_ns += 1000000;
	REC_EVENT(&r, 1, TRACE_EV_EXIT, 0, 0);
	rec_end(&r);
	rec_begin(&child, path("fork.2"), 101, 2, 1, TRACE_F_FORKED, 100);
	/* Its mappings are listed again. */
	rec_event(&child, 1, TRACE_EV_MAP, 0, 7,
		(uint64_t[]){HEAP, P(256), 3, TRACE_MAP_ANON, 0, 0, 0}, NULL);
	rec_sweep(&child, 1, HEAP >> 12, 256, REC_R);
	/* One page in each of 16 blocks. */
	for (unsigned i = 0; i < 16; i++)
		rec_run(&child, 1, (HEAP >> 12) + 16 * i + 5, 1, REC_W);
	REC_EVENT(&child, 1, TRACE_EV_EXIT, 0, 0);
	rec_end(&child);
	f = fopen(path("fork"), "w");
	fprintf(f, "{\"pagefold_recording\":1,\"source\":\"test\",\"streams\":["
		   "{\"file\":\"fork.1\",\"stream\":1,\"parent_stream\":0,\"pid\":100,\"how\":"
		   "\"start\"},"
		   "{\"file\":\"fork.2\",\"stream\":2,\"parent_stream\":1,\"pid\":101,\"how\":"
		   "\"fork\"}]}");
	fclose(f);
	assert_int_equal(replay(&all, "--config", "on", path("fork"), NULL), 0);
	c = config(all, "on");
	EXPECT(c, "forks", 1);
	EXPECT(c, "data.failed", 0);
	EXPECT(c, "unknown_accesses", 0);
	EXPECT(c, "data.accesses", 256 * 3 + 16);
	EXPECT(c, "folds", 32); /* the parent's by faults, the child's by fork */
	EXPECT(c, "unfolds_by_cause.fork", 0);
	EXPECT(c, "cow", 16);
	EXPECT(c, "unfolds_by_cause.cow", 16);
	EXPECT(c, "faults", 16 + 16);
	json_object_put(all);
	/* The child by itself: from the mappings it lists. */
	assert_int_equal(replay(&all, "--config", "on", path("fork.2"), NULL), 0);
	c = config(all, "on");
	EXPECT(c, "data.accesses", 256 + 16);
	EXPECT(c, "forks", 0);
	json_object_put(all);
}

/* Threads in turn: what one has cached the next may push out, every REPLAY_SLICE accesses. */
static void test_threads(void **state)
{
	enum { ROUNDS = 2000, PAGES = 40 };
	struct json_object *all, *c;
	struct recording r;

	(void)state;
	begin(&r, "threads");
	rec_mmap(&r, HEAP, P(1024));
	/* Each thread's pages fit into L1, both together do not; a slice is 250 rounds of them. */
	for (unsigned t = 1; t <= 2; t++)
		for (unsigned i = 0; i < ROUNDS; i++)
			rec_sweep(&r, t, (HEAP >> 12) + 512 * (t - 1), PAGES, REC_R);
	rec_end(&r);
	assert_int_equal(replay(&all, "--tlb", "qemu-oracle", "--config", "4K=thp=none,fold=off",
				 path("threads"), NULL),
		0);
	c = config(all, "4K");
	EXPECT(all, "thread_turns", 2 * ROUNDS * PAGES / 10000);
	EXPECT(c, "data.accesses", 2 * ROUNDS * PAGES);
	/* 80 pages in turns under LRU of 48: 40 misses a turn. */
	EXPECT(c, "data.l1_misses", 2 * ROUNDS * PAGES / 10000 * PAGES);
	EXPECT(c, "data.l2_misses", 2 * PAGES);
	json_object_put(all);
}

/* Many configurations in one pass give what each gives alone. */
static void test_one_pass(void **state)
{
	static const char *const configs[] = {"a=thp=none", "b=thp=64K",
		"c=thp=64K,fold=off,tlb=zen4", "d=thp=32K+128K,tlb=golden-cove",
		"e=tlb=cortex-a53,layout=recorded", "f=thp=2M,tlb=neoverse-v2"};
	struct json_object *all, *alone, *x, *y;
	struct recording r;

	(void)state;
	begin(&r, "mixed");
	rec_mmap(&r, HEAP, P(8192));
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t p = rnd();

		if (i % 1000 == 999)
			REC_EVENT(&r, 1, TRACE_EV_MADVISE, 0, HEAP + P(p % 8192 & ~7ull), P(8), 4);
		if (i % 3000 == 2999)
			REC_EVENT(&r, 1, TRACE_EV_MPROTECT, 0, HEAP + P(p % 8192 & ~31ull), P(24),
				RW);
		rec_run(&r, 1, (HEAP >> 12) + (p & 3 ? p % 100 * 7 : p % 8192), 2 + (p >> 40) % 5,
			p >> 20 & 1 ? REC_R : REC_R | TRACE_RUN_WRITE);
	}
	rec_end(&r);
	assert_int_equal(replay(&all, "--config", configs[0], "--config", configs[1], "--config",
				 configs[2], "--config", configs[3], "--config", configs[4],
				 "--config", configs[5], path("mixed"), NULL),
		0);
	for (unsigned i = 0; i < 6; i++) {
		char name[2] = {configs[i][0], 0};

		assert_int_equal(replay(&alone, "--config", configs[i], path("mixed"), NULL), 0);
		x = config(all, name);
		y = config(alone, name);
		json_object_object_del(x, "cpu_seconds");
		json_object_object_del(y, "cpu_seconds");
		assert_string_equal(json_object_to_json_string(x), json_object_to_json_string(y));
		assert_true(get(x, "data.l1_misses") > 1000 && get(x, "tlbi") > 100);
		json_object_put(alone);
	}
	json_object_put(all);
}

static void test_bad_input(void **state)
{
	struct json_object *all;
	struct recording r;
	FILE *f;

	(void)state;
	begin(&r, "good");
	rec_mmap(&r, HEAP, P(64));
	rec_sweep(&r, 1, HEAP >> 12, 64, REC_W);
	rec_end(&r);
	f = fopen(path("bad"), "w");
	fprintf(f, "not a recording\n");
	fclose(f);
	assert_int_equal(replay(&all, path("bad"), NULL), 2);
	assert_int_equal(replay(&all, path("missing"), NULL), 2);
	assert_int_equal(replay(&all, NULL), 2);
	static const char *const wrong[] = {"x=fold=maybe", "x=thp=5K", "x=thp=64K:sometimes",
		"x=thp=1G", "x=format=vax", "x=tlb=none", "x=l1d=48x5", "x=color=blue", "x=fold",
		"=fold=on", "x=memory=1", "x=features=warp", "x=l2=none,walk9=3"};
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (replay(&all, "--config", wrong[i], path("good"), NULL) != 2)
			fail_msg("%s was accepted", wrong[i]);
		assert_null(all);
	}
	assert_int_equal(
		replay(&all, "--config", "x", "--config", "x=fold=off", path("good"), NULL), 2);
	assert_int_equal(replay(&all, "--layout", "upside-down", path("good"), NULL), 2);
	/* Memory that runs out is no crash, and no result. */
	assert_int_equal(
		replay(&all, "--config", "small=memory=4M", "--config", "on", path("gups"), NULL),
		1);
	assert_int_equal(get(config(all, "small"), "ok"), 0);
	assert_int_equal(get(config(all, "on"), "ok"), 1);
	EXPECT(config(all, "on"), "faults", 4096);
	json_object_put(all);
}

static int make_dir(void **state)
{
	(void)state;
	return !mkdtemp(replay_dir);
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", replay_dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gups),
		cmocka_unit_test(test_causes),
		cmocka_unit_test(test_invalidations),
		cmocka_unit_test(test_long_runs),
		cmocka_unit_test(test_refused_accesses),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_start_and_heap),
		cmocka_unit_test(test_mremap_grows),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_one_pass),
		cmocka_unit_test(test_bad_input),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
