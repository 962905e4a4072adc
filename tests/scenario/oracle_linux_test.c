// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
/*
 * The model against the Linux under us: random memory system calls on a window of addresses, with the
 * same results, errors, /proc/self/maps lines, signals and bytes expected of both. The model is only worth
 * as much as this agreement.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/host_keys.h"
#include "cli/oracle.h"

#include "beside.h"

#define PAGE UINT64_C(4096)
/* Where neither a program, nor its libraries, nor a sanitizer's shadow lie */
#define BASE UINT64_C(0x200000000000)
#define NR   40
/* The file: shorter than the window, so that mappings end behind it. */
#define FILE_PAGES 24
#define STEPS      400

static unsigned pid = 1;
static uint64_t stamps;
static struct oracle *model;
static int fd, model_file;
static bool sealed; /* something is */

static void differ(const char *what, int64_t linux_says, int64_t model_says)
{
	fprintf(stderr,
		"%s: Linux %" PRId64 " (0x%" PRIx64 "), the model %" PRId64 " (0x%" PRIx64
		") after\n%s",
		what, linux_says, linux_says, model_says, model_says, history);
	_exit(1);
}

static void compare_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	uint64_t start, end, off, at = BASE;
	char line[512], perms[5];

	if (!f)
		_exit(1);
	while (fgets(line, sizeof(line), f)) {
		struct oracle_map m;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64, &start, &end, perms,
			    &off) != 4)
			_exit(1);
		if (end <= BASE || start >= BASE + NR * PAGE)
			continue;
		if (!oracle_find(model, pid, at, &m) || m.start != start || m.end != end) {
			fprintf(stderr, "%s", line);
			differ("maps", (int64_t)start,
				oracle_find(model, pid, at, &m) ? (int64_t)m.start : -1);
		}
		char want[5] = {m.prot & 1 ? 'r' : '-', m.prot & 2 ? 'w' : '-',
			m.prot & 4 ? 'x' : '-', m.shared ? 's' : 'p', 0};

		if (strcmp(want, perms) || (off != m.offset)) {
			fprintf(stderr, "%s (%s)", line, want);
			differ("maps line", (int64_t)start, (int64_t)m.start);
		}
		at = end;
	}
	fclose(f);
	struct oracle_map m;

	if (oracle_find(model, pid, at, &m) && m.start < BASE + NR * PAGE)
		differ("a mapping Linux has not", 0, (int64_t)m.start);
}

static void compare_page(uint64_t va)
{
	enum oracle_signal s = oracle_access(model, pid, va, ORACLE_READ);
	uint64_t value, allowed[ORACLE_MAX_ALLOWED];
	int sig = touch(va, false, &value);

	if (s == ORACLE_EITHER)
		return;
	if ((s == ORACLE_SEGV) != (sig == SIGSEGV) || (s == ORACLE_BUS) != (sig == SIGBUS))
		differ("load", sig, s);
	if (sig)
		return;
	unsigned n = oracle_load(model, pid, va, allowed);

	if (value != allowed[0] && (n == 1 || value != allowed[1]))
		differ("loaded", (int64_t)value, (int64_t)allowed[0]);
	oracle_saw(model, pid, va, value);
}

static void compare_store(uint64_t va)
{
	uint64_t stamp = ++stamps;
	int sig = touch(va, true, &stamp);
	enum oracle_signal s = oracle_access(model, pid, va, ORACLE_WRITE);

	note("store(0x%" PRIx64 ") = %d\n", va, sig);
	if ((s == ORACLE_SEGV) != (sig == SIGSEGV) || (s == ORACLE_BUS) != (sig == SIGBUS))
		differ("store", sig, s);
	if (!sig)
		oracle_store(model, pid, va, stamp);
}

static void compare_result(int64_t r, int64_t m)
{
	note(" = %" PRId64 "\n", r);
	if (m != ORACLE_UNKNOWN && r != m)
		differ("result", r, m);
	if (sealed && r == -EPERM)
		_exit(0);
}

static int64_t result(void *p)
{
	return p == MAP_FAILED ? -errno : (int64_t)p;
}

static uint64_t an_address(void)
{
	uint64_t va = BASE + draw(NR) * PAGE;

	return draw(40) ? va : va + 8;
}

static uint64_t a_length(void)
{
	switch (draw(30)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX - draw(3) * PAGE;
	case 2:
		return UINT64_C(1) << 47;
	default:
		return (1 + draw(12)) * PAGE - (draw(4) ? 0 : 100);
	}
}

static unsigned a_protection(void)
{
	static const unsigned p[] = {3, 3, 3, 1, 1, 0, 5, 7, 2};

	return p[draw(sizeof(p) / sizeof(p[0]))];
}

static bool inside(uint64_t va, uint64_t len)
{
	return va >= BASE && va + len >= va && va + len <= BASE + NR * PAGE;
}

static void do_mmap(void)
{
	uint64_t addr = an_address(), len = a_length(), prot = a_protection();
	uint64_t flags = MAP_ANONYMOUS | (draw(8) ? MAP_PRIVATE : draw(3) ? MAP_SHARED : draw(16));

	/* Children have no file: what they would store there their parent's model could not know. */
	bool has_file = pid == 1 && !draw(3);
	uint64_t offset = !has_file ? 0 : draw(20) ? draw(FILE_PAGES + 4) * PAGE : draw(PAGE);

	if (has_file) {
		flags &= ~(uint64_t)MAP_ANONYMOUS;
		if (!draw(30))
			offset = UINT64_C(0x7ffffffffffff000) + draw(3) * PAGE;
	}
	/* MAP_DROPPABLE is not in the model. */
	if ((flags & 0xf) == 8 || (len > NR * PAGE && len <= UINT64_C(1) << 47))
		return;
	if (draw(10))
		flags |= draw(6) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	if (!draw(12))
		flags |= MAP_NORESERVE;
	if (!draw(12))
		flags |= MAP_POPULATE;
	if (!draw(20))
		flags |= MAP_LOCKED;
	/* Placed where the kernel likes, it would keep others away. */
	if (flags & MAP_FIXED && !draw(16))
		flags |= MAP_GROWSDOWN;
	if (flags & MAP_FIXED && len <= NR * PAGE && !inside(addr, len))
		return;
	note("mmap(0x%" PRIx64 ", 0x%" PRIx64 ", %u, 0x%x, %d, 0x%" PRIx64 ")", addr, len,
		(unsigned)prot, (unsigned)flags, has_file ? fd : -1, offset);
	int64_t r = result(
		mmap((void *)addr, len, (int)prot, (int)flags, has_file ? fd : -1, (off_t)offset));
	int64_t m = oracle_mmap(
		model, pid, addr, len, prot, flags, has_file ? model_file : -1, offset, r);

	compare_result(r, m);
	if (r > 0 && !inside((uint64_t)r, len)) {
		munmap((void *)r, len);
		oracle_munmap(model, pid, (uint64_t)r, len);
	}
}

static void do_munmap(void)
{
	uint64_t addr = an_address(), len = a_length();

	/* Not the rest of the process. */
	if (!inside(addr, len) && len && len < UINT64_C(1) << 46)
		return;
	note("munmap(0x%" PRIx64 ", 0x%" PRIx64 ")", addr, len);
	int64_t r = munmap((void *)addr, len) ? -errno : 0;

	compare_result(r, oracle_munmap(model, pid, addr, len));
}

static void do_mprotect(void)
{
	uint64_t addr = an_address(), len = a_length(), prot = a_protection();

	if (!inside(addr, len) && len && len < UINT64_C(1) << 48)
		return;
	if (!draw(20))
		prot |= draw(2) ? 0x01000000 : 0x02000000;
	if (!draw(20))
		prot |= UINT64_C(1) << draw(16);
	note("mprotect(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ")", addr, len, prot);
	int64_t r = mprotect((void *)addr, len, (int)prot) ? -errno : 0;

	compare_result(r, oracle_mprotect(model, pid, addr, len, prot));
}

static void do_mremap(void)
{
	uint64_t addr = an_address(), old_len = a_length(), new_len = a_length(), to = an_address();
	uint64_t flags = draw(3) ? draw(2) : draw(8);

	if (old_len > NR * PAGE || new_len > NR * PAGE || !inside(addr, old_len))
		return;
	if (flags & (MREMAP_FIXED | 4) && !inside(to, new_len))
		return;
	if (!inside(addr, new_len) && !(flags & MREMAP_FIXED))
		return;
	note("mremap(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", %u, 0x%" PRIx64 ")", addr,
		old_len, new_len, (unsigned)flags, to);
	int64_t r = result((void *)syscall(SYS_mremap, addr, old_len, new_len, flags, to));

	compare_result(r, oracle_mremap(model, pid, addr, old_len, new_len, flags, to, r));
	if (r > 0 && !inside((uint64_t)r, new_len)) {
		munmap((void *)r, new_len);
		oracle_munmap(model, pid, (uint64_t)r, new_len);
	}
}

static void do_madvise(void)
{
	static const unsigned advice[] = {0, 1, 2, 3, 4, 4, 4, 4, 5, 8, 9, 10, 11, 14, 15, 16, 17,
		18, 19, 20, 22, 22, 23, 23, 23, 24, 26, 102, 102, 103};
	uint64_t addr = an_address(), len = a_length(),
		 a = advice[draw(sizeof(advice) / sizeof(advice[0]))];
	struct oracle_map m;

	if (!inside(addr, len) && len && len < UINT64_C(1) << 48)
		return;
	/* Guards in shared memory and in files are not in the model. */
	for (uint64_t at = addr; a == 102 && at < addr + len && oracle_find(model, pid, at, &m);
		at = m.end)
		if ((m.shared || m.file) && m.start < addr + len)
			return;
	note("madvise(0x%" PRIx64 ", 0x%" PRIx64 ", %u)", addr, len, (unsigned)a);
	int64_t r = madvise((void *)addr, len, (int)a) ? -errno : 0;

	compare_result(r, oracle_madvise(model, pid, addr, len, a));
}

/* Locks show in where mappings are split, and in what MADV_DONTNEED answers. */
static void do_mlock(void)
{
	/*
	 * Not all that is mapped now: with a sanitizer that is its shadow. And not by the C library: a sanitizer
	 * makes its calls do nothing.
	 */
	static const unsigned all[] = {0, 2, 2, 4, 5, 6, 7, 8};
	uint64_t addr = BASE + draw(NR) * PAGE + (draw(4) ? 0 : 8), len = a_length();
	uint64_t flags = draw(10) ? draw(2) : 2;
	int64_t r, m;

	if (!inside(addr, len) && len && len < UINT64_C(1) << 46)
		return;
	switch (draw(8)) {
	case 0:
	case 1:
		note("mlock(0x%" PRIx64 ", 0x%" PRIx64 ")", addr, len);
		r = syscall(SYS_mlock, addr, len) ? -errno : 0;
		m = oracle_mlock(model, pid, addr, len, 0);
		break;
	case 2:
	case 3:
		note("mlock2(0x%" PRIx64 ", 0x%" PRIx64 ", %u)", addr, len, (unsigned)flags);
		r = syscall(SYS_mlock2, addr, len, flags) ? -errno : 0;
		m = oracle_mlock(model, pid, addr, len, flags);
		break;
	case 4:
	case 5:
		note("munlock(0x%" PRIx64 ", 0x%" PRIx64 ")", addr, len);
		r = syscall(SYS_munlock, addr, len) ? -errno : 0;
		m = oracle_munlock(model, pid, addr, len);
		break;
	case 6:
		flags = all[draw(sizeof(all) / sizeof(all[0]))];
		note("mlockall(%u)", (unsigned)flags);
		r = syscall(SYS_mlockall, flags) ? -errno : 0;
		m = oracle_mlockall(model, pid, flags);
		break;
	default:
		note("munlockall()");
		r = syscall(SYS_munlockall) ? -errno : 0;
		m = oracle_munlockall(model, pid);
	}
	compare_result(r, m);
}

/*
 * Calls that ask, or say no. Once something is sealed, a program is short: a call that meets it half way leaves Linux
 * with a mapping split in two, which the model does not follow.
 */
static void do_other(void)
{
	unsigned char vec[4 * NR];
	uint64_t addr = an_address(), len = a_length(), prot = a_protection(), flags = draw(10);
	int64_t pkey = (int64_t)draw(4) - 1, r, m;

	if (!inside(addr, len) && len && len < UINT64_C(1) << 46)
		return;
	switch (draw(12)) {
	case 0 ... 3:
		note("msync(0x%" PRIx64 ", 0x%" PRIx64 ", %u)", addr, len, (unsigned)flags);
		r = msync((void *)addr, len, (int)flags) ? -errno : 0;
		m = oracle_msync(model, pid, addr, len, flags);
		break;
	case 4 ... 7:
		note("mincore(0x%" PRIx64 ", 0x%" PRIx64 ")", addr, len);
		r = mincore((void *)addr, len, vec) ? -errno : 0;
		m = oracle_mincore(model, pid, addr, len);
		break;
	case 8:
		flags = draw(6) ? 0 : flags;
		note("mseal(0x%" PRIx64 ", 0x%" PRIx64 ", %u)", addr, len, (unsigned)flags);
		r = syscall(462, addr, len, flags) ? -errno : 0;
		m = oracle_mseal(model, pid, addr, len, flags);
		sealed |= !r && len;
		break;
	default:
		if (len >= UINT64_C(1) << 46)
			return;
		pkey = draw(2) ? -1 : pkey;
		note("pkey_mprotect(0x%" PRIx64 ", 0x%" PRIx64 ", %u, %d)", addr, len,
			(unsigned)prot, (int)pkey);
		r = syscall(SYS_pkey_mprotect, addr, len, prot, host_key((uint64_t)pkey)) ? -errno
											  : 0;
		m = oracle_pkey_mprotect(model, pid, addr, len, prot, pkey);
	}
	compare_result(r, m);
}

/*
 * Parts of memory, of this process and of its parent, which waits: it may be read, and what it holds its own model
 * would not know to have been written.
 */
static uint64_t draw_parts(struct oracle_part *v, struct iovec *io)
{
	uint64_t nr = draw(4);

	for (uint64_t i = 0; i < nr; i++) {
		uint64_t off = draw(6) ? 0 : draw(2) ? 8 : PAGE - 8;

		v[i].base = draw(60) ? BASE + draw(NR) * PAGE + off : -PAGE * draw(3);
		v[i].len = draw(40) ? draw(8) ? draw(8) * PAGE : draw(PAGE) : UINT64_MAX - draw(2);
		if (draw(3) && v[i].len >= 8 && v[i].len < NR * PAGE)
			v[i].len = (v[i].len & ~(PAGE - 1)) + (draw(4) ? 0 : 8);
		io[i] = (struct iovec){(void *)v[i].base, v[i].len};
		note("  part 0x%" PRIx64 ", 0x%" PRIx64 "\n", v[i].base, v[i].len);
	}
	return nr;
}

static void do_process_madvise(void)
{
	static const unsigned advice[] = {0, 2, 3, 4, 4, 4, 10, 11, 16, 20, 22, 23, 23, 77};
	uint64_t a = advice[draw(sizeof(advice) / sizeof(advice[0]))], flags = !draw(20);
	bool other = pid > 1 && !draw(3);
	struct oracle_part v[4];
	struct iovec io[4];
	uint64_t nr = draw_parts(v, io);
	int pidfd;

	for (uint64_t i = 0; i < nr; i++)
		if (!inside(v[i].base, v[i].len) && (int64_t)v[i].len > 0)
			return;
	pidfd = (int)syscall(SYS_pidfd_open, other ? getppid() : getpid(), 0);
	if (pidfd < 0)
		_exit(1);
	note("process_madvise(%d, %u parts, %u, %u)", other, (unsigned)nr, (unsigned)a,
		(unsigned)flags);
	int64_t r = syscall(SYS_process_madvise, pidfd, io, nr, a, flags);

	r = r < 0 ? -errno : r;
	close(pidfd);
	compare_result(r, oracle_process_madvise(model, pid, other ? pid - 1 : pid, v, nr, a, flags,
				  UINT64_MAX, 2 << 20, r));
}

static void do_process_vm(void)
{
	struct oracle_part v[4], u[4];
	struct iovec io[4], ru[4];
	bool other = pid > 1 && draw(2);
	struct oracle_transfer t = {.pid = pid,
		.target = other ? pid - 1 : pid,
		.local = v,
		.remote = u,
		.most = UINT64_MAX,
		.write = !other && draw(2),
		.flags = !draw(30)};
	struct oracle *copy = oracle_clone(model);
	int64_t r, m;

	t.nlocal = draw_parts(v, io);
	t.nremote = draw_parts(u, ru);
	/* What would not be seen in the first words of pages cannot be compared. */
	m = oracle_process_vm(copy, &t);
	oracle_free(copy);
	if (m == ORACLE_UNKNOWN)
		return;
	note("process_vm(%u, write %d, %u and %u parts, %u)", t.target, t.write, (unsigned)t.nlocal,
		(unsigned)t.nremote, (unsigned)t.flags);
	pid_t target = other ? getppid() : getpid();

	r = t.write ? process_vm_writev(target, io, t.nlocal, ru, t.nremote, t.flags)
		    : process_vm_readv(target, io, t.nlocal, ru, t.nremote, t.flags);
	compare_result(r < 0 ? -errno : r, oracle_process_vm(model, &t));
}

static void everything(void)
{
	compare_maps();
	for (uint64_t va = BASE; va < BASE + NR * PAGE; va += PAGE)
		compare_page(va);
}

static void run_steps(unsigned steps);

/*
 * What a child stored in memory it shares with us, our copy of the model has not seen; or the child lets go
 * of the file, so that there is nothing to see.
 */
static void forget(bool only_file)
{
	struct oracle_map m;

	for (uint64_t at = BASE; oracle_find(model, pid, at, &m); at = m.end) {
		if (m.shared && (m.file || !only_file)) {
			munmap((void *)m.start, m.end - m.start);
			oracle_munmap(model, pid, m.start, m.end - m.start);
		}
	}
	note("(shared memory is forgotten)\n");
}

/* The program goes on in the child; the parent then looks whether it was left alone. */
static void do_fork(unsigned left)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return;
	if (!child) {
		note("fork()\n");
		oracle_fork(model, pid, pid + 1);
		pid++;
		forget(true);
		everything();
		run_steps(left);
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (status)
		_exit(1);
	forget(false);
	everything();
	run_steps(left / 2);
	_exit(0);
}

static void run_steps(unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		uint64_t what = draw(100);

		if (what < 25)
			do_mmap();
		else if (what < 35)
			do_munmap();
		else if (what < 50)
			do_mprotect();
		else if (what < 60)
			do_mremap();
		else if (what < 72)
			do_madvise();
		else if (what < 77)
			do_mlock();
		else if (what < 79)
			do_other();
		else if (what < 81)
			do_process_madvise();
		else if (what < 86)
			do_process_vm();
		else if (what < 98 || pid > 3)
			compare_store(BASE + draw(NR) * PAGE);
		else
			do_fork((steps - i) / 2);
		everything();
	}
}

static int program(uint64_t seed)
{
	struct sigaction sa = {.sa_handler = caught};
	const struct oracle_config cfg = {.page = PAGE,
		.task_size = (UINT64_C(1) << 47) - PAGE,
		.min_addr = 0x10000,
		.stack_gap = 256 * PAGE,
		.max_maps = 65530};
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child) {
		waitpid(child, &status, 0);
		return status;
	}
	/* A huge page makes an anon_vma on a read, and a preference in the window's place: not modelled. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	host_take_keys();
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	model = oracle_new(&cfg);
	/* Not the page's end: the model rounds, as a mapping does. */
	fd = memfd_create("file", 0);
	if (fd < 0 || ftruncate(fd, FILE_PAGES * PAGE - 100))
		_exit(1);
	model_file = oracle_file(model, FILE_PAGES * PAGE - 100);
	everything();
	run_steps(STEPS);
	_exit(0);
}

static void agrees_with_linux(void **state)
{
	const char *n = getenv("PF_PROGRAMS");
	uint64_t programs = n ? strtoull(n, NULL, 0) : 60;

	(void)state;
	for (uint64_t seed = 1; seed <= programs; seed++) {
		if (program(seed)) {
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

	if (sysconf(_SC_PAGESIZE) != (long)PAGE || sizeof(void *) != 8) {
		printf("skipped: the host has other pages than the model is tried with\n");
		return 77;
	}
	/* 6.17 moves several mappings at once; 6.16 changed what is merged after a fork. */
	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2 ||
		major * 1000 + minor < 6017) {
		printf("skipped: the model is Linux 6.17 and later, here is %s\n", u.release);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
