// SPDX-License-Identifier: MIT
/*
 * The peer: the same operations as system calls of the Linux that runs us. Its times contain the
 * entry into the kernel once per call (a call covers the whole mapping), real TLB flushes of this
 * CPU, and real pages.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define PMD  (2ul << 20)

static long faults(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return ru.ru_minflt;
}

static void touch(char *p, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += PAGE)
		p[i] = 1;
}

/* Address space for the mapping and for moving it: a multiple of 2M apart from what we ask for. */
static char *reserve(uint64_t bytes)
{
	char *p = mmap(NULL, bytes + 2 * PMD, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : (char *)(((uintptr_t)p + PMD - 1) & ~(PMD - 1));
}

/* A mapping of the layout, written. ns: the time of the faults, per page. NULL with *why. */
static char *build(const struct layout *l, double *ns, const char **why)
{
	uint64_t expected = l->bytes / (PAGE << l->order);
	char *p = reserve(l->bytes);
	long before;
	double t;

	if (!p || mmap(p, l->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			  -1, 0) == MAP_FAILED) {
		*why = "mmap failed";
		return NULL;
	}
	if (l->order && !thp_only(l->order)) {
		*why = "no permission to set transparent_hugepage, or no such size";
		return NULL;
	}
	madvise(p, l->bytes, l->order ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	before = faults();
	t = now_ns();
	touch(p, l->bytes);
	*ns = (now_ns() - t) / (double)(l->bytes / PAGE);
	/* A fault a folio, or the size asked for was not what we got. */
	if ((uint64_t)(faults() - before) > expected + expected / 50 + 16) {
		munmap(p, l->bytes);
		*why = "the kernel gave smaller folios";
		return NULL;
	}
	/* Order 9 comes mapped by a PMD: one page's rights, changed and changed back, split it to
	 * PTEs. */
	for (uint64_t i = 0; l->order == 9 && i < l->bytes; i += PMD) {
		mprotect(p + i, PAGE, PROT_READ);
		mprotect(p + i, PAGE, PROT_READ | PROT_WRITE);
	}
	return p;
}

static double time_fork(void)
{
	double t = now_ns();
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	t = now_ns() - t;
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return t;
}

static double time_move(char *p, uint64_t bytes, uint64_t off)
{
	char *to = reserve(bytes + PMD) + PMD / 2 + off;
	double t;

	/* Half a PMD off, so that page tables cannot be moved whole; then aligned to 64K, or not.
	 */
	t = now_ns();
	if (mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		return -1;
	t = now_ns() - t;
	munmap(to, bytes);
	return t;
}

bool linux_measure(const struct layout *l, enum op op, struct samples *s, const char **why)
{
	for (unsigned i = 0; i < RUNS; i++) {
		double t = 0, fault_ns, base = 0;
		int err = 0;
		char *p;

		if (op == OP_FORK)
			base = time_fork(); /* what a process costs without the mapping */
		p = build(l, &fault_ns, why);
		if (!p)
			return false;
		switch (op) {
		case OP_MPROTECT_RO:
			t = now_ns();
			mprotect(p, l->bytes, PROT_READ);
			t = now_ns() - t;
			break;
		case OP_MPROTECT_RW:
			mprotect(p, l->bytes, PROT_READ);
			t = now_ns();
			mprotect(p, l->bytes, PROT_READ | PROT_WRITE);
			t = now_ns() - t;
			break;
		case OP_FORK:
			t = time_fork() - base;
			break;
		case OP_DONTNEED:
		case OP_FREE:
		case OP_COLLAPSE:
			if (op == OP_COLLAPSE)
				madvise(p, l->bytes, MADV_HUGEPAGE);
			t = now_ns();
			err = madvise(p, l->bytes, op_advice[op]);
			t = now_ns() - t;
			break;
		case OP_MLOCK:
			t = now_ns();
			err = mlock(p, l->bytes);
			t = now_ns() - t;
			break;
		case OP_MUNMAP:
			t = now_ns();
			munmap(p, l->bytes);
			t = now_ns() - t;
			break;
		case OP_MREMAP_ALIGNED:
		case OP_MREMAP_UNALIGNED:
			t = time_move(p, l->bytes, op == OP_MREMAP_ALIGNED ? 0 : PAGE);
			if (t < 0) {
				*why = "mremap failed";
				return false;
			}
			break;
		case OP_FAULT:
			t = fault_ns * (double)(l->bytes / PAGE);
			break;
		case OP_PAGEOUT:
		case OP_RECLAIM: /* need a device to swap to, which no benchmark may have added */
		case OP_NR:
			err = -1;
		}
		if (err) {
			*why = op == OP_PAGEOUT || op == OP_RECLAIM
				       ? "the host's swap is left alone"
				       : strerror(errno);
			munmap(p, l->bytes);
			return false;
		}
		s->ns[i] = t / (double)(l->bytes / PAGE);
		munmap(p, l->bytes);
	}
	return true;
}
