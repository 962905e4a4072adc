// SPDX-License-Identifier: MIT
/*
 * pagefold-bench-threads [--no-peer]: what several threads of one process do at a time to memory that is nobody else's. The
 * library on the port with real threads against the Linux underneath, both at 1 and at 2 threads, in turn. It says a line
 * a row, which pagefold-bench asks for.
 *
 * Time is that of the clock on the wall, from when all begin until the last has ended, per page of all threads: of two threads that hinder each other in
 * nothing it is half of one's.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "bench_threads.h"
#include "machine/smp/smp.h"
#include "mm/mm.h"
#include "phys/phys.h"

#define THREADS 2
#define RUNS    7
#define PAGE    UINT64_C(4096)
#define APART   (UINT64_C(1) << 30) /* no table but the root in common */
#define BASE    UINT64_C(0x40000000000)
/* Each thread's: faults in so many pages; changes the rights of so many, so often. */
#define FAULTS (UINT64_C(32) << 20)
#define RANGE  (UINT64_C(64) * PAGE)
#define TURNS  1000u

enum what { FAULT, MPROTECT, GUP };

static struct {
	struct pf_phys phys;
	struct pf_pcp pcp[THREADS + 1]; /* who started it is one, too */
	struct pf_system sys;
	struct pf_mm mm;
} world;

struct side {
	bool (*map)(unsigned thread, uint64_t bytes);
	bool (*touch)(unsigned thread, uint64_t bytes);
	bool (*protect)(unsigned thread, uint64_t bytes, bool write);
	bool (*pin)(unsigned thread, uint64_t bytes); /* and let go */
	void (*unmap)(unsigned thread, uint64_t bytes);
};

/* ---- the library ---- */

static pf_va_t va_of(unsigned thread)
{
	return BASE + thread * APART;
}

static bool ours_map(unsigned thread, uint64_t bytes)
{
	return pf_mmap(&world.mm, va_of(thread), bytes, PF_PROT_READ | PF_PROT_WRITE,
		       PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED) == (int64_t)va_of(thread);
}

static bool ours_touch(unsigned thread, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += PAGE)
		if (pf_handle_mm_fault(&world.mm, va_of(thread) + i, PF_FAULT_FLAG_WRITE) !=
			PF_FAULT_DONE)
			return false;
	return true;
}

static bool ours_protect(unsigned thread, uint64_t bytes, bool write)
{
	return !pf_mprotect(&world.mm, va_of(thread), bytes,
		write ? PF_PROT_READ | PF_PROT_WRITE : PF_PROT_READ);
}

static bool ours_pin(unsigned thread, uint64_t bytes)
{
	pf_pfn_t pfn[RANGE / PAGE];
	const int64_t n = (int64_t)(bytes / PAGE);

	if (pf_gup_fast(&world.mm, va_of(thread), bytes / PAGE, PF_FOLL_PIN | PF_FOLL_WRITE, pfn) !=
		n)
		return false;
	pf_unpin_user_pages(&world.sys, pfn, bytes / PAGE);
	return true;
}

static void ours_unmap(unsigned thread, uint64_t bytes)
{
	pf_munmap(&world.mm, va_of(thread), bytes);
}

static const struct side ours = {ours_map, ours_touch, ours_protect, ours_pin, ours_unmap};

static const struct pf_format *find_format(const char *name)
{
	for (const struct pf_format *const *f = pf_formats; *f; f++)
		if (!strcmp((*f)->pt->name, name))
			return *f;
	return NULL;
}

static bool ours_start(void)
{
	const struct smp_config cfg = {
		.format = "arm64-4k",
		.memory = THREADS * FAULTS * 2 + (UINT64_C(64) << 20),
		.features = smp_newest("arm64-4k"),
		.resident = true,
	};
	const struct pf_format *fmt = find_format(cfg.format);

	if (!fmt || smp_start(&cfg) || !smp_enter(false) ||
		pf_phys_init(&world.phys, SMP_RAM_BASE, cfg.memory, fmt->pt->page_shift, 11) ||
		(pf_phys_set_cpus(&world.phys, world.pcp, THREADS + 1), false) ||
		pf_system_init(&world.sys, fmt, &world.phys, cfg.features, PF_FOLD_LINUX) ||
		pf_mm_init(&world.mm, &world.sys, 1)) {
		fprintf(stderr, "pagefold-bench-threads: out of simulated memory\n");
		return false;
	}
	return true;
}

static void ours_stop(void)
{
	pf_mm_exit(&world.mm);
	pf_system_exit(&world.sys);
	smp_leave();
	smp_stop();
}

/* ---- the Linux underneath ---- */

static char *memory[THREADS];

static bool linux_map(unsigned thread, uint64_t bytes)
{
	char *p = mmap(memory[thread], bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p == MAP_FAILED)
		return false;
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return true;
}

static bool linux_touch(unsigned thread, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += PAGE)
		((volatile char *)memory[thread])[i] = 1;
	return true;
}

static bool linux_protect(unsigned thread, uint64_t bytes, bool write)
{
	return !mprotect(memory[thread], bytes, write ? PROT_READ | PROT_WRITE : PROT_READ);
}

/* What comes nearest: pages are got by GUP-fast into a pipe, and given back by who reads it without looking. */
static bool linux_pin(unsigned thread, uint64_t bytes)
{
	static int pipes[THREADS][2], null[THREADS]; /* each thread its own */
	int *fd = pipes[thread];
	struct iovec v = {memory[thread], bytes};

	if (!null[thread]) {
		null[thread] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (null[thread] < 0 || pipe2(fd, O_CLOEXEC) ||
			fcntl(fd[1], F_SETPIPE_SZ, 1 << 20) < 0)
			return false;
	}
	return vmsplice(fd[1], &v, 1, 0) == (ssize_t)bytes &&
	       splice(fd[0], NULL, null[thread], NULL, bytes, 0) == (ssize_t)bytes;
}

static void linux_unmap(unsigned thread, uint64_t bytes)
{
	madvise(memory[thread], bytes, MADV_DONTNEED);
}

static const struct side peer = {linux_map, linux_touch, linux_protect, linux_pin, linux_unmap};

static bool peer_start(void)
{
	char *p = mmap(NULL, (THREADS + 1) * APART, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	p = (char *)(((uintptr_t)p + APART - 1) & ~(APART - 1));
	for (unsigned i = 0; i < THREADS; i++)
		memory[i] = p + i * APART;
	return true;
}

/* ---- one run ---- */

struct run {
	const struct side *side;
	enum what what;
	unsigned thread;
	pthread_barrier_t *barrier;
	bool ok;
	double began, ended;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void *run(void *arg)
{
	struct run *r = arg;
	const uint64_t bytes = r->what == FAULT ? FAULTS : RANGE;

	r->ok = r->side == &peer || smp_enter(true);
	r->ok = r->ok && r->side->map(r->thread, bytes);
	if (r->ok && r->what != FAULT)
		r->ok = r->side->touch(r->thread, bytes);
	pthread_barrier_wait(r->barrier);
	r->began = now();
	if (r->ok && r->what == FAULT)
		r->ok = r->side->touch(r->thread, bytes);
	for (unsigned i = 0; r->ok && r->what == MPROTECT && i < TURNS; i++)
		r->ok = r->side->protect(r->thread, bytes, i & 1);
	for (unsigned i = 0; r->ok && r->what == GUP && i < TURNS; i++)
		r->ok = r->side->pin(r->thread, bytes);
	r->ended = now();
	pthread_barrier_wait(r->barrier);
	r->side->unmap(r->thread, bytes);
	if (r->side == &ours)
		smp_leave();
	return NULL;
}

/* ns per page; < 0: something failed. */
static double measure(const struct side *side, enum what what, unsigned threads)
{
	const double pages = what == FAULT ? (double)FAULTS / PAGE : (double)RANGE / PAGE * TURNS;
	struct run r[THREADS];
	pthread_barrier_t barrier;
	pthread_t thread[THREADS];
	double began = 0, ended = 0;
	bool ok = true;

	pthread_barrier_init(&barrier, NULL, threads);
	for (unsigned i = 0; i < threads; i++) {
		r[i] = (struct run){.side = side, .what = what, .thread = i, .barrier = &barrier};
		if (pthread_create(&thread[i], NULL, run, &r[i])) {
			perror("pagefold-bench-threads");
			exit(1);
		}
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(thread[i], NULL);
		ok &= r[i].ok;
		began = !i || r[i].began < began ? r[i].began : began;
		ended = !i || r[i].ended > ended ? r[i].ended : ended;
	}
	pthread_barrier_destroy(&barrier);
	return ok ? (ended - began) / (pages * threads) : -1;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *ns)
{
	qsort(ns, RUNS, sizeof(ns[0]), compare);
	return ns[RUNS / 2];
}

/* All that are compared are measured in turn, so that what else the host does meets all of them. */
static bool rows(enum what what, const char *name, const char *kase, bool with_peer)
{
	double mine[THREADS][RUNS], its[THREADS][RUNS];

	for (unsigned i = 0; i < RUNS; i++)
		for (unsigned t = 0; t < THREADS; t++) {
			mine[t][i] = measure(&ours, what, t + 1);
			its[t][i] = with_peer ? measure(&peer, what, t + 1) : -1;
			if (mine[t][i] < 0) {
				fprintf(stderr, "pagefold-bench-threads: %s failed\n", name);
				return false;
			}
		}
	for (unsigned t = 0; t < THREADS; t++)
		printf(THREADS_LINE "\n", name, kase, t + 1, median(mine[t]), median(its[t]));
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	const bool with_peer = (argc < 2 || strcmp(argv[1], "--no-peer")) && peer_start();
	bool ok;

	if (!ours_start())
		return 1;
	ok = rows(FAULT, "faults-disjoint", "4K zeroing", with_peer) &&
	     rows(MPROTECT, "mprotect-disjoint", "4K 64 pages a call", with_peer) &&
	     rows(GUP, "gup-fast-disjoint", "4K 64 pages a call", with_peer);
	ours_stop();
	return !ok;
}
