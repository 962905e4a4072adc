// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
/*
 * The model of userfaultfd against the Linux under us: random ioctls, accesses and zaps on private and shared memory,
 * with the same results, last fields, signals, bytes and uffd-wp bits expected of both. No fault waits for an answer: those
 * that would are signals (UFFD_FEATURE_SIGBUS). What is there, which the model must be told, is what pagemap and mincore say.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/oracle.h"

#include "beside.h"

#define PAGE UINT64_C(4096)
#define BASE UINT64_C(0x200000000000)
/* Private memory, shared memory, a page of nothing on either side. */
#define NR    8
#define ANON  (BASE + PAGE)
#define SHMEM (ANON + (NR + 1) * PAGE)
#define SRC   (BASE + 64 * PAGE)
#define STEPS 200

/* Ours, for headers of a distribution are older than the kernel. Sizes are part of the number. */
struct range {
	uint64_t start, len;
};
struct api {
	uint64_t api, features, ioctls;
};
struct with_range {
	struct range range;
	uint64_t mode;
	int64_t done;
};
struct copy {
	uint64_t dst, src, len, mode;
	int64_t done;
};
struct writeprotect {
	struct range range;
	uint64_t mode;
};
#define UFFD_API          _IOWR(0xaa, 0x3f, struct api)
#define UFFD_REGISTER     _IOWR(0xaa, 0, struct with_range)
#define UFFD_UNREGISTER   _IOR(0xaa, 1, struct range)
#define UFFD_COPY         _IOWR(0xaa, 3, struct copy)
#define UFFD_ZEROPAGE     _IOWR(0xaa, 4, struct with_range)
#define UFFD_WRITEPROTECT _IOWR(0xaa, 6, struct writeprotect)
#define UFFD_CONTINUE     _IOWR(0xaa, 7, struct with_range)
#define UFFD_POISON       _IOWR(0xaa, 8, struct with_range)
#define UFFD_MOVE         _IOWR(0xaa, 5, struct copy)
#define USER_MODE_ONLY    1
#define GUARD_INSTALL     102
#define GUARD_REMOVE      103
/* A program ends in less than a second, or not at all. */
#define SECONDS 30

static uint64_t stamps;
static struct oracle *model;
static int uffd[2], pagemap;

static void same(const char *what, int64_t linux_says, int64_t model_says)
{
	if (linux_says == model_says)
		return;
	fprintf(stderr, "%s: Linux %" PRId64 ", the model %" PRId64 " after\n%s", what, linux_says,
		model_says, history);
	_exit(1);
}

static void too_long(int sig)
{
	(void)sig;
	fprintf(stderr, "a call that does not end:\n%s", history);
	_exit(1);
}

/* ---- what is there ---- */

static uint64_t entry(uint64_t va)
{
	uint64_t e;

	if (pread(pagemap, &e, sizeof(e), (off_t)(va / PAGE * sizeof(e))) != sizeof(e))
		_exit(1);
	return e;
}

static uint8_t there(uint64_t va)
{
	uint64_t e = entry(va);
	uint8_t is = e >> 63 ? ORACLE_TAKEN : e >> 62 ? ORACLE_MARKED : ORACLE_EMPTY;
	unsigned char cached = 0;

	if (va >= SHMEM && va < SHMEM + NR * PAGE && !mincore((void *)va, PAGE, &cached) &&
		(cached & 1))
		is |= ORACLE_CACHED;
	return is;
}

static void compare_wp(void)
{
	for (unsigned i = 0; i < 2 * NR; i++) {
		uint64_t va = i < NR ? ANON + i * PAGE : SHMEM + (i - NR) * PAGE;

		if ((entry(va) >> 57 & 1) != oracle_uffd_wp(model, 1, va))
			note("0x%" PRIx64 ": pagemap 0x%" PRIx64 "\n", va, entry(va));
		same("uffd-wp", entry(va) >> 57 & 1, oracle_uffd_wp(model, 1, va));
	}
}

/* The same mappings: what calls have made of their flags, and which have been written, shows in what merges. */
static void compare_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uint64_t at = BASE, start, end;
	struct oracle_map m;
	char line[256];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2 || start < BASE ||
			start > SRC)
			continue;
		if (!oracle_find(model, 1, at, &m))
			m.start = m.end = 0;
		same("a mapping's start", (int64_t)start, (int64_t)m.start);
		same("its end", (int64_t)end, (int64_t)m.end);
		at = end;
	}
	fclose(maps);
}

/* ---- steps ---- */

static int64_t result(int r)
{
	return r ? -errno : 0;
}

static void step_range(uint64_t *start, uint64_t *len)
{
	*start = (draw(2) ? ANON : SHMEM) + draw(NR) * PAGE;
	*len = (1 + draw(draw(3) ? 3 : NR + 2)) * PAGE;
	if (!draw(30))
		*start += 8;
	if (!draw(30))
		*len = 0;
}

static void unregister(unsigned id, uint64_t start, uint64_t len)
{
	struct range r = {start, len};

	note("unregister(%u, 0x%" PRIx64 ", 0x%" PRIx64 ")\n", id, start, len);
	same("unregister", result(ioctl(uffd[id], UFFD_UNREGISTER, &r)),
		oracle_uffd_unregister(model, id, start, len));
}

static void do_unregister(unsigned id)
{
	uint64_t start, len;

	step_range(&start, &len);
	unregister(id, start, len);
}

static void do_register(unsigned id)
{
	struct with_range r = {.mode = draw(10) ? 1 + draw(7) : draw(9)};

	step_range(&r.range.start, &r.range.len);
	/* Linux leaves uffd-wp in entries of which it is not told any more, and heeds it again later; the model does not. */
	if (!(r.mode & 2))
		unregister(id, r.range.start, r.range.len);
	note("register(%u, 0x%" PRIx64 ", 0x%" PRIx64 ", %" PRIu64 ")\n", id, r.range.start,
		r.range.len, r.mode);
	same("register", result(ioctl(uffd[id], UFFD_REGISTER, &r)),
		oracle_uffd_register(model, id, r.range.start, r.range.len, r.mode));
}

static void look(uint64_t start, uint8_t is[NR + 3])
{
	for (unsigned i = 0; i < NR + 3; i++)
		is[i] = there(start + i * PAGE);
}

/* What the call did not get so far as to write is 0 in both. */
static void do_fill(unsigned id)
{
	static const unsigned request[] = {
		[ORACLE_COPY] = UFFD_COPY,
		[ORACLE_ZEROPAGE] = UFFD_ZEROPAGE,
		[ORACLE_CONTINUE] = UFFD_CONTINUE,
		[ORACLE_POISON] = UFFD_POISON,
	};
	enum oracle_fill what = draw(3) ? ORACLE_COPY : 1 + (unsigned)draw(3);
	uint64_t start, len, src = SRC + draw(NR) * PAGE, mode = draw(8) ? 2 * draw(2) : draw(5);
	struct with_range z = {.done = 0};
	uint8_t is[NR + 3];
	int64_t r, done;

	step_range(&start, &len);
	src += draw(8) ? 0 : 8;
	src = draw(50) ? src : BASE << 2;
	look(start, is);
	note("fill %u(%u, 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", mode %" PRIu64 ")\n", what,
		id, start, src, len, mode);
	if (what == ORACLE_COPY) {
		struct copy c = {start, src, len, mode, 0};

		r = result(ioctl(uffd[id], UFFD_COPY, &c));
		z.done = c.done;
	} else {
		z = (struct with_range){{start, len}, mode, 0};
		r = result(ioctl(uffd[id], request[what], &z));
	}
	same("fill", r, oracle_uffd_fill(model, id, what, 1, start, src, len, mode, is, &done));
	same("done", z.done, done);
}

static void do_move(unsigned id)
{
	struct copy c = {.mode = draw(10) ? 2 * draw(2) : draw(8)};
	uint8_t to[NR + 3], from[NR + 3];
	int64_t r, done;

	step_range(&c.dst, &c.len);
	c.src = draw(3) ? SRC + draw(NR) * PAGE : ANON + draw(NR) * PAGE;
	look(c.dst, to);
	look(c.src, from);
	note("move(%u, 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", mode %" PRIu64 ")\n", id,
		(uint64_t)c.dst, (uint64_t)c.src, (uint64_t)c.len, (uint64_t)c.mode);
	r = result(ioctl(uffd[id], UFFD_MOVE, &c));
	same("move", r,
		oracle_uffd_move(model, id, 1, c.dst, c.src, c.len, c.mode, to, from, &done));
	same("moved", c.done, done);
}

static void do_writeprotect(unsigned id)
{
	struct writeprotect w = {.mode = draw(8) ? draw(2) : draw(5)};
	uint8_t is[NR + 3];

	step_range(&w.range.start, &w.range.len);
	look(w.range.start, is);
	note("writeprotect(%u, 0x%" PRIx64 ", 0x%" PRIx64 ", %" PRIu64 ")\n", id, w.range.start,
		w.range.len, w.mode);
	same("writeprotect", result(ioctl(uffd[id], UFFD_WRITEPROTECT, &w)),
		oracle_uffd_writeprotect(model, id, w.range.start, w.range.len, w.mode, is));
}

static void do_access(void)
{
	bool store = draw(2);
	uint64_t va = (draw(3) ? draw(2) ? ANON : SHMEM : SRC) + draw(NR) * PAGE, value = ++stamps;
	uint64_t allowed[ORACLE_MAX_ALLOWED];
	uint8_t is = there(va);
	enum oracle_signal may = oracle_access(model, 1, va, store ? ORACLE_WRITE : ORACLE_READ);
	int sig;

	note("%s(0x%" PRIx64 ")\n", store ? "store" : "load", va);
	sig = touch(va, store, &value);
	if (may != ORACLE_OK) {
		same("signal", sig, may == ORACLE_BUS ? SIGBUS : SIGSEGV);
		return;
	}
	if (store)
		oracle_store_found_none(model, 1, va);
	same("signal", sig,
		oracle_uffd_access(model, 1, va, store, is) & ORACLE_UFFD_BUS ? SIGBUS : 0);
	if (!sig && store)
		oracle_store(model, 1, va, value);
	if (!sig && !store && oracle_load(model, 1, va, allowed) == 1)
		same("value", (int64_t)value, (int64_t)allowed[0]);
}

static void do_other(void)
{
	uint64_t start = (draw(2) ? ANON : SHMEM) + draw(NR - 2) * PAGE;
	int prot = draw(2) ? PROT_READ : PROT_READ | PROT_WRITE;

	if (!draw(6)) {
		const int advice = draw(2) ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;
		uint8_t is[NR + 3];

		look(start, is);
		oracle_uffd_there(model, 1, start, is, 2);
		note("populate(0x%" PRIx64 ", %d)\n", start, advice);
		same("populate", result(madvise((void *)start, 2 * PAGE, advice)),
			oracle_madvise(model, 1, start, 2 * PAGE, (uint64_t)advice));
		oracle_uffd_there(model, 0, 0, NULL, 0);
	} else if (!draw(6) && start < SHMEM) {
		/* Of shared memory with a marker of uffd-wp Linux never ends installing a guard. */
		const int advice = draw(2) ? GUARD_INSTALL : GUARD_REMOVE;

		note("guard(0x%" PRIx64 ", %d)\n", start, advice);
		same("guard", result(madvise((void *)start, PAGE, advice)),
			oracle_madvise(model, 1, start, PAGE, (uint64_t)advice));
	} else if (draw(3)) {
		note("dontneed(0x%" PRIx64 ")\n", start);
		same("dontneed", result(madvise((void *)start, 2 * PAGE, MADV_DONTNEED)),
			oracle_madvise(model, 1, start, 2 * PAGE, MADV_DONTNEED));
	} else {
		note("mprotect(0x%" PRIx64 ", %d)\n", start, prot);
		same("mprotect", result(mprotect((void *)start, 2 * PAGE, prot)),
			oracle_mprotect(model, 1, start, 2 * PAGE, (uint64_t)prot));
	}
}

/* ---- programs ---- */

static void map(uint64_t at, int flags)
{
	void *p = mmap((void *)at, NR * PAGE, PROT_READ | PROT_WRITE,
		flags | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)at || oracle_mmap(model, 1, at, NR * PAGE, PROT_READ | PROT_WRITE,
				       (uint64_t)(flags | MAP_ANONYMOUS | MAP_FIXED), -1, 0,
				       (int64_t)at) != (int64_t)at)
		_exit(1);
}

static void open_one(unsigned id, uint64_t features)
{
	struct api a = {.api = 0xaa, .features = features};

	uffd[id] = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY);
	if (uffd[id] < 0 || oracle_userfaultfd(model, id, 1, USER_MODE_ONLY))
		_exit(1);
	same("api", result(ioctl(uffd[id], UFFD_API, &a)),
		oracle_uffd_api(model, id, 0xaa, features));
}

static void play(uint64_t seed)
{
	const struct oracle_config cfg = {.page = PAGE,
		.task_size = UINT64_C(0x7ffffffff000),
		.min_addr = 65536,
		.max_maps = 65530,
		.stack_gap = 256 * PAGE};
	struct sigaction sa = {.sa_handler = caught};

	signal(SIGALRM, too_long);
	alarm(SECONDS);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	rng = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	model = oracle_new(&cfg);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	map(ANON, MAP_PRIVATE);
	map(SHMEM, MAP_SHARED);
	map(SRC, MAP_PRIVATE);
	for (unsigned i = 0; i < NR; i++) {
		*(uint64_t *)(SRC + i * PAGE) = ++stamps;
		oracle_store(model, 1, SRC + i * PAGE, stamps);
	}
	open_one(0, 1 << 7);
	open_one(1, 1 << 7 | (draw(2) ? 1 << 13 : 1 << 15));
	for (unsigned i = 0; i < STEPS; i++) {
		unsigned id = draw(4) ? 0 : 1;

		switch (draw(9)) {
		case 0:
			do_register(id);
			break;
		case 1:
			if (!draw(3))
				do_unregister(id);
			break;
		case 2:
		case 3:
			do_fill(id);
			break;
		case 4:
			do_writeprotect(id);
			break;
		case 5:
			do_other();
			break;
		case 6:
			do_move(id);
			break;
		default:
			do_access();
		}
		compare_wp();
		compare_maps();
	}
	_exit(0);
}

static void agrees_with_linux(void **state)
{
	const char *n = getenv("PF_PROGRAMS");
	uint64_t programs = n ? strtoull(n, NULL, 0) : 60;

	(void)state;
	for (uint64_t seed = 1; seed <= programs; seed++) {
		pid_t child = fork();
		int status;

		if (!child)
			play(seed);
		if (waitpid(child, &status, 0) != child || status) {
			fprintf(stderr, "program %" PRIu64 "\n", seed);
			fail();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_linux)};
	struct utsname u;
	unsigned major, minor;
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | USER_MODE_ONLY);

	if (fd < 0 || sysconf(_SC_PAGESIZE) != (long)PAGE || uname(&u) ||
		sscanf(u.release, "%u.%u", &major, &minor) != 2 || major * 1000 + minor < 6017) {
		printf("skipped: the host has no userfaultfd for us, or another than the model is "
		       "tried with\n");
		return 77;
	}
	close(fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
