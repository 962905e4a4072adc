// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
/*
 * The host's side of a fuzzed program. A server process, forked before the judge has memory of its own, makes a
 * process for each of the program's; all of them are its children, and share one arena with the judge. Calls come
 * in batches: whose call is next does it, looks at itself, and wakes whose is the one after; the last wakes the judge.
 * Who exits is waited for by the server before the next call is done, so that its memory is gone by then.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "cli/fuzz_call.h"
#include "cli/fuzz_has.h"
#include "cli/fuzz_look.h"
#include "cli/host_keys.h"

#define PID_END (PROGRAM_MAX_PID + 1)

struct arena {
	struct fuzz_area area;
	struct op ops[FUZZ_BATCH];
	struct fuzz_answer answers[FUZZ_BATCH];
	unsigned nr, at;
	uint64_t nstamps;
	bool alive[PID_END];
	pid_t real[PID_END];
	pid_t server_pid;
	unsigned exiting; /* who is about to; 0: nobody */
	bool end;         /* of the program: all exit */
	bool stop;        /* of the server */
	bool broken;
	bool closely;       /* look so after every call, */
	bool last_closely;  /* or after the last of this batch */
	bool peers, others; /* what processes may do to each other */
	bool has_uffd, has_disk, collapses, hints;
	/* What each waits for a change of. */
	uint32_t turn[PID_END], server, judge;
};

struct fuzz_host {
	struct arena *a;
	pid_t server;
	uint32_t seen; /* of a->judge */
	bool soft_dirty;
	char name[96];
};

/* ---- waking and waiting ---- */

static void wake(uint32_t *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Until it is no longer *seen; which it then is. False after `seconds`, if that is not 0. */
static bool wait_for(uint32_t *word, uint32_t *seen, unsigned seconds)
{
	const struct timespec each = {.tv_sec = 1};
	uint32_t now;

	for (unsigned slept = 0; (now = __atomic_load_n(word, __ATOMIC_ACQUIRE)) == *seen;) {
		if (syscall(SYS_futex, word, FUTEX_WAIT, *seen, &each, NULL, 0) &&
			errno == ETIMEDOUT && ++slept == seconds)
			return false;
	}
	*seen = now;
	return true;
}

/* ---- accesses ---- */

/* The low byte is "return", so that a page that was stored to can be called. */
#define STAMP UINT64_C(0x4655000000000000)

uint64_t fuzz_host_stamp(uint64_t n)
{
	return STAMP | n << 8 | 0xc3;
}

uint64_t fuzz_host_stamp_number(uint64_t value)
{
	uint64_t n = value >> 8 & 0xffffffffff;

	return value == fuzz_host_stamp(n) ? n : 0;
}

static sigjmp_buf on_signal;
static uint64_t fault_ip, fault_at;

static void caught(int sig, siginfo_t *si, void *context)
{
#if defined(__x86_64__)
	fault_ip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#else
	(void)context;
#endif
	fault_at = (uint64_t)si->si_addr;
	siglongjmp(on_signal, sig);
}

/*
 * Called, a page that holds a stamp returns. One that holds zero adds to where the first register points, which is
 * nowhere: a signal too, but not one of fetching.
 */
static void call_page(uint64_t va)
{
#if defined(__x86_64__)
	uint64_t to = va;

	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "xor %%eax, %%eax\n\t"
			 "call *%0\n\t"
			 "lea 128(%%rsp), %%rsp"
			 : "+r"(to)
			 :
			 : "rax", "rcx", "rdx", "memory", "cc");
#else
	(void)va;
#endif
}

static int access_once(enum sc_call_id how, uint64_t va, uint64_t *value)
{
	int sig = sigsetjmp(on_signal, 0);

	if (sig)
		return how == SC_EXEC && (fault_ip != va || (fault_at & -FUZZ_PAGE) != va) ? 0
											   : sig;
	if (how == SC_STORE)
		*(volatile uint64_t *)va = *value;
	else if (how == SC_EXEC)
		call_page(va);
	else
		*value = *(volatile uint64_t *)va;
	return 0;
}

/*
 * x86-64 takes the fetch of a page that is not there for a read: the page comes, whatever its mapping says of
 * executing, and the second fetch is refused. Other architectures refuse the first. So the host is not asked.
 */
static bool fetch_reads(uint64_t va)
{
	uint64_t word = 0;
	struct map_query q;

	return fuzz_look_map(va, &q) && q.start <= va && !(q.flags & 4) &&
	       fuzz_look_page(va, &word) && !(word & FUZZ_PM_PRESENT);
}

static void do_access(struct arena *a, const struct op *op, struct fuzz_answer *ans)
{
	uint64_t va = op->a[0] & -FUZZ_PAGE, last = op->a[0] + (op->a[1] - 1);

	for (uint64_t nr = (last - va) / FUZZ_PAGE + 1; nr; nr--, va += FUZZ_PAGE) {
		uint64_t value = 0;

		if (op->id == SC_STORE)
			value = fuzz_host_stamp(++a->nstamps);
		ans->signal = op->id == SC_EXEC && fetch_reads(va)
				      ? SIGSEGV
				      : access_once(op->id, va, &value);
		ans->at = va;
		if (ans->signal)
			return;
		if (ans->nloaded < FUZZ_SHOWN)
			ans->loaded[ans->nloaded++] = value;
	}
}

/* ---- a process ---- */

static _Noreturn void run_process_of(struct arena *a, unsigned pid, uint32_t seen);

static void do_fork(struct arena *a, const struct op *op, struct fuzz_answer *ans)
{
	/* The child may come to run when the calls are other ones already. */
	unsigned child = op->child;
	uint32_t seen = a->turn[child];
	pid_t real;

	a->alive[child] = true;
	/* A sibling: whoever forked it may exit first, and the server waits for all. */
	real = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, NULL, NULL, 0);
	if (!real) {
		fuzz_look_open();
		run_process_of(a, child, seen);
	}
	a->alive[child] = real > 0;
	a->real[child] = real;
	ans->result = real > 0 ? (int64_t)child : -errno;
}

/* Whose turn is it? */
static void pass_on(struct arena *a)
{
	if (a->at == a->nr)
		wake(&a->judge);
	else
		wake(&a->turn[a->ops[a->at].pid]);
}

/* Of the process that a call on another names. */
static pid_t real_of(const struct arena *a, const struct op *op)
{
	return op->a[0] < PID_END && a->alive[op->a[0]] ? a->real[op->a[0]] : FUZZ_NO_PID;
}

static void do_one(struct arena *a, unsigned pid)
{
	const struct op *op = &a->ops[a->at];
	struct fuzz_answer *ans = &a->answers[a->at];

	ans->result = ans->done = 0;
	ans->signal = 0;
	ans->away = ans->closely = false;
	ans->nloaded = 0;
	switch (op->id) {
	case SC_LOAD:
	case SC_STORE:
	case SC_EXEC:
		do_access(a, op, ans);
		break;
	case SC_TOUCH:
		break;
	case SC_FORK:
		do_fork(a, op, ans);
		break;
	case SC_EXIT_GROUP:
		a->exiting = pid;
		_exit(0);
	default:
		fuzz_call(&a->area, op, real_of(a, op), ans);
	}
	fuzz_look(&a->area, ans, a->closely || (a->last_closely && a->at == a->nr - 1));
	a->at++;
}

static _Noreturn void run_process_of(struct arena *a, unsigned pid, uint32_t seen)
{
	/* Nobody is left behind when the judge is killed, and the server with it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	if (getppid() != a->server_pid)
		_exit(0);
	for (;;) {
		wait_for(&a->turn[pid], &seen, 0);
		if (a->end)
			_exit(0);
		while (a->at < a->nr && a->ops[a->at].pid == pid)
			do_one(a, pid);
		pass_on(a);
	}
}

/* ---- the server ---- */

/* Where the heap starts: the one of the program that the server was forked from is not to be seen. */
static bool set_heap(uint64_t start)
{
	/* Fields of /proc/self/stat, by number: code, data, stack, arguments, environment. */
	static const unsigned field[] = {26, 27, 45, 46, 0, 0, 28, 48, 49, 50, 51};
	struct {
		uint64_t v[11];
		uint64_t auxv;
		uint32_t auxv_size, exe_fd;
	} m = {.exe_fd = UINT32_MAX};
	char text[2048], *p;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	p = strrchr(text, ')');
	if (!p || p + 3 > text + n)
		return false;
	/* Behind the name comes a letter, which is field 3. */
	p += 3;
	for (unsigned k = 4; k <= 51 && *p; k++) {
		uint64_t v = strtoull(p, &p, 10);

		for (unsigned i = 0; i < PF_ARRAY_SIZE(field); i++)
			if (field[i] == k)
				m.v[i] = v;
	}
	m.v[4] = m.v[5] = start;
	return !prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0);
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
}

/* Linux 6.18 */
#define THP_DISABLE_EXCEPT_ADVISED 2

/*
 * Folios of one page: which pages a larger one brings is not a matter of the calls. Not at all, or only where they are
 * asked for; false: there is no such choice.
 */
static bool set_thp(bool never)
{
	return !prctl(PR_SET_THP_DISABLE, 1, never ? 0 : THP_DISABLE_EXCEPT_ADVISED, 0, 0);
}

static void begin_program(struct arena *a)
{
	uint32_t seen = a->turn[1];
	pid_t child = fork();

	if (!child) {
		if (a->area.huge)
			set_thp(false);
		if (!set_heap(a->area.heap) || !fuzz_call_open_files(&a->area))
			_exit(1);
		fuzz_look_open();
		a->real[1] = getpid();
		wake(&a->judge);
		run_process_of(a, 1, seen);
	}
}

/* Somebody is gone: as the program has it, or not. */
static void reap(struct arena *a, pid_t real, int status)
{
	unsigned pid = 0;

	for (unsigned i = 1; i < PID_END; i++)
		if (a->alive[i] && a->real[i] == real)
			pid = i;
	if (pid)
		a->alive[pid] = false;
	if (a->end)
		return;
	if (!pid || pid != a->exiting || status) {
		a->broken = true;
		wake(&a->judge);
		return;
	}
	a->exiting = 0;
	a->at++;
	pass_on(a);
}

/* Is a huge page to be had, in a process that gets none otherwise? */
static bool try_collapse(void)
{
	const size_t size = (size_t)2 << 20;
	char *p = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uintptr_t)p + size - 1) & -size);
	bool yes = false;

	if (p == MAP_FAILED)
		return false;
	if (set_thp(false)) {
		*at = 1;
		yes = !madvise(at, size, PF_MADV_COLLAPSE);
		set_thp(true);
	}
	munmap(p, 2 * size);
	return yes;
}

/* Tried on a process that does nothing else. */
static void try_peers(struct arena *a)
{
	static char byte;
	char copy;
	struct iovec here = {&copy, 1}, there = {&byte, 1}, none = {(void *)0, 0};
	int ready[2], fd;
	pid_t child;

	if (pipe2(ready, O_CLOEXEC))
		return;
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		copy = 0;
		if (write(ready[1], &copy, 1) == 1)
			pause();
		_exit(0);
	}
	if (child > 0 && read(ready[0], &copy, 1) == 1) {
		a->peers = process_vm_readv(child, &here, 1, &there, 1, 0) == 1;
		fd = (int)syscall(SYS_pidfd_open, child, 0);
		a->others = fd >= 0 && !syscall(SYS_process_madvise, fd, &none, 1, MADV_COLD, 0);
		if (fd >= 0)
			close(fd);
		kill(child, SIGKILL);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void serve(struct arena *a, pid_t judge)
{
	uint32_t seen = 0;
	int status;
	pid_t real;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != judge)
		_exit(0);
	a->server_pid = getpid();
	host_take_keys();
	try_peers(a);
	a->has_uffd = fuzz_uffd_is_there();
	a->has_disk = a->has_uffd && fuzz_has_disk();
	a->collapses = try_collapse();
	a->hints = fuzz_has_hints();
	wake(&a->judge);
	for (;;) {
		wait_for(&a->server, &seen, 0);
		if (a->stop)
			_exit(0);
		begin_program(a);
		while ((real = waitpid(-1, &status, 0)) > 0 || errno == EINTR)
			if (real > 0)
				reap(a, real, status);
		wake(&a->judge);
	}
}

/* ---- the judge's side ---- */

/*
 * A user's process, so that what privileges would change is the same for all who fuzz; but one that may lock its
 * memory, if there is a way to, because the limit counts what the host's process has besides; and give advice to others.
 */
static void be_a_user(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct now[2], lock[2] = {{0}};
	struct rlimit none = {0}, most;

	if (!syscall(SYS_capget, &head, now))
		lock[0].permitted = lock[0].effective =
			now[0].permitted & (1u << CAP_IPC_LOCK | 1u << CAP_SYS_NICE);
	syscall(SYS_capset, &head, lock);
	if (!getrlimit(RLIMIT_MEMLOCK, &most)) {
		most.rlim_cur = most.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &most);
	}
	setrlimit(RLIMIT_CORE, &none);
	set_thp(true);
}

/* All that this compares is there. */
static bool host_will_do(struct fuzz_host *h, const char **why)
{
	struct utsname u;
	unsigned major, minor;
	struct map_query q;

#if !defined(__x86_64__)
	*why = "the host is no x86-64, which is what exec() is written for";
	return false;
#endif
	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2 ||
		major * 1000 + minor < 6017) {
		*why = "the host needs to be Linux 6.17 or later: earlier ones answer otherwise";
		return false;
	}
	snprintf(h->name, sizeof(h->name), "Linux %.64s", u.release);
	if (sysconf(_SC_PAGESIZE) != (long)FUZZ_PAGE) {
		*why = "the host needs pages of 4K";
		return false;
	}
	if (!fuzz_look_open() || !fuzz_look_map(0, &q)) {
		*why = "the host needs /proc/PID/maps with PROCMAP_QUERY, and /proc/PID/pagemap";
		return false;
	}
	uint64_t word = 0;

	/* A new mapping is soft-dirty wherever that is kept. */
	void *page =
		mmap(NULL, FUZZ_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page != MAP_FAILED && fuzz_look_page((uint64_t)page, &word))
		h->soft_dirty = word & FUZZ_PM_SOFT_DIRTY;
	if (page != MAP_FAILED)
		munmap(page, FUZZ_PAGE);
	return true;
}

/* The judge waits; a host that does nothing for so long hangs. */
#define HANGS_AFTER 60

static bool host_answers(struct fuzz_host *h)
{
	if (!wait_for(&h->a->judge, &h->seen, HANGS_AFTER))
		h->a->broken = true;
	return !h->a->broken;
}

struct fuzz_host *fuzz_host_start(const char **why)
{
	struct fuzz_host *h = calloc(1, sizeof(*h));
	pid_t judge = getpid();

	if (!h)
		abort();
	if (!host_will_do(h, why)) {
		free(h);
		return NULL;
	}
	h->a = mmap(NULL, sizeof(*h->a), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fflush(NULL);
	h->server = h->a == MAP_FAILED ? -1 : fork();
	if (h->server < 0) {
		*why = strerror(errno);
		free(h);
		return NULL;
	}
	if (!h->server) {
		setpgid(0, 0);
		be_a_user();
		catch_signals();
		serve(h->a, judge);
	}
	setpgid(h->server, h->server);
	if (!host_answers(h)) {
		*why = "the host needs to run processes of the fuzzer's";
		fuzz_host_stop(h);
		return NULL;
	}
	return h;
}

void fuzz_host_stop(struct fuzz_host *h)
{
	int status;

	if (!h)
		return;
	h->a->stop = true;
	if (h->a->broken)
		kill(-h->server, SIGKILL);
	wake(&h->a->server);
	waitpid(h->server, &status, 0);
	munmap(h->a, sizeof(*h->a));
	free(h);
}

bool fuzz_host_disk(const struct fuzz_host *h)
{
	return h->a->has_disk || !h->a->has_uffd;
}

const char *fuzz_host_name(const struct fuzz_host *h)
{
	return h->name;
}

bool fuzz_host_soft_dirty(const struct fuzz_host *h)
{
	return h->soft_dirty;
}

bool fuzz_host_area(const struct fuzz_host *h, const struct pf_format *fmt, struct fuzz_area *area)
{
	/* The second where a sanitizer's shadow has the first. */
	static const uint64_t places[] = {UINT64_C(1) << 38, UINT64_C(3) << 43};
	const uint64_t size = UINT64_C(4) << 30, min = fuzz_has_min_addr(),
		       user_end = (UINT64_C(1) << 47) - FUZZ_PAGE;
	const struct pf_pt_format *pt = fmt->pt;
	uint64_t last = 0;
	struct map_query q;

	if (pt->page_shift != 12)
		return false;
	for (uint64_t at = 0; fuzz_look_map(at, &q) && q.start < user_end; at = q.end)
		last = q.end;
	for (size_t i = 0; i < PF_ARRAY_SIZE(places); i++) {
		uint64_t low = places[i];

		if (pt->va_bits < 48 && (low + size) >> pt->va_bits)
			continue;
		if (fuzz_look_map(low, &q) && q.start < low + size)
			continue;
		/* What the program's kernel placed randomly may lie elsewhere in a later run, but not that near to the end. */
		*area = (struct fuzz_area){.low = low,
			.high = low + size,
			.heap = low + (UINT64_C(16) << 20),
			.base = low + (UINT64_C(1) << 30),
			.away = low + (UINT64_C(3) << 30),
			.min = min,
			.swap = fuzz_has_swap(),
			.peers = h->a->peers,
			.others = h->a->others,
			.ksm = fuzz_has_ksm_at_rest(),
			.has_uffd = h->a->has_uffd,
			.has_disk = h->a->has_disk,
			.hints = h->a->hints,
			.collapses = h->a->collapses,
			.leaf = FUZZ_PAGE << pt->level_bits,
			.top = pt->va_bits >= 48 && last < user_end - (UINT64_C(1) << 20) ? user_end
											  : 0};
		return true;
	}
	return false;
}

bool fuzz_host_begin(struct fuzz_host *h, const struct fuzz_area *area, bool closely)
{
	struct arena *a = h->a;

	if (a->broken)
		return false;
	a->area = *area;
	a->nr = a->at = 0;
	a->closely = closely;
	a->nstamps = 0;
	a->end = false;
	a->exiting = 0;
	memset(a->alive, 0, sizeof(a->alive));
	a->alive[1] = true;
	wake(&a->server);
	return host_answers(h);
}

const struct fuzz_answer *fuzz_host_do(
	struct fuzz_host *h, const struct op *ops, unsigned nr, bool closely)
{
	struct arena *a = h->a;

	memcpy(a->ops, ops, nr * sizeof(*ops));
	a->nr = nr;
	a->at = 0;
	a->last_closely = closely;
	wake(&a->turn[ops[0].pid]);
	return host_answers(h) ? a->answers : NULL;
}

void fuzz_host_end(struct fuzz_host *h)
{
	struct arena *a = h->a;

	if (a->broken)
		return;
	a->end = true;
	for (unsigned pid = 1; pid < PID_END; pid++)
		wake(&a->turn[pid]);
	host_answers(h);
}
