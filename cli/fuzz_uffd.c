// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
/*
 * userfaultfd in fuzzed programs, on either side. Nobody reads the descriptors: what would wait is a signal
 * (UFFD_FEATURE_SIGBUS).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/fuzz_call.h"
#include "mm/uffd.h"

bool fuzz_is_uffd(enum sc_call_id id)
{
	return id == SC_USERFAULTFD || id == SC_CLOSE || program_is_uffdio(id);
}

/* ---- the host ---- */

/* Where descriptors are, the first: out of the way of the process's own. */
#define FIRST 200

/* The arguments, as long as the requests' numbers say. Ours: a distribution's headers are older than the kernel. */
union uffd_arg {
	struct {
		uint64_t api, features, ioctls;
	} api;
	struct {
		uint64_t start, len, mode;
		int64_t done;
	} range;
	struct {
		uint64_t dst, src, len, mode;
		int64_t done;
	} copy;
};
#define REQUEST(direction, nr, size) ((direction) << 30 | (size) << 16 | 0xaau << 8 | (nr))
#define READ                         2u
#define READ_WRITE                   3u

static const uint32_t requests[] = {
	[PF_UFFDIO_REGISTER] = REQUEST(READ_WRITE, PF_UFFDIO_REGISTER, 32u),
	[PF_UFFDIO_UNREGISTER] = REQUEST(READ, PF_UFFDIO_UNREGISTER, 16u),
	[PF_UFFDIO_WAKE] = REQUEST(READ, PF_UFFDIO_WAKE, 16u),
	[PF_UFFDIO_COPY] = REQUEST(READ_WRITE, PF_UFFDIO_COPY, 40u),
	[PF_UFFDIO_ZEROPAGE] = REQUEST(READ_WRITE, PF_UFFDIO_ZEROPAGE, 32u),
	[PF_UFFDIO_MOVE] = REQUEST(READ_WRITE, PF_UFFDIO_MOVE, 40u),
	[PF_UFFDIO_WRITEPROTECT] = REQUEST(READ_WRITE, PF_UFFDIO_WRITEPROTECT, 24u),
	[PF_UFFDIO_CONTINUE] = REQUEST(READ_WRITE, PF_UFFDIO_CONTINUE, 32u),
	[PF_UFFDIO_POISON] = REQUEST(READ_WRITE, PF_UFFDIO_POISON, 32u),
};

bool fuzz_uffd_is_there(void)
{
	int fd = (int)syscall(SYS_userfaultfd, PF_UFFD_USER_MODE_ONLY);

	return fd >= 0 && !close(fd);
}

bool fuzz_uffd_takes(void *at, uint64_t len)
{
	int fd = (int)syscall(SYS_userfaultfd, PF_UFFD_USER_MODE_ONLY);
	union uffd_arg arg = {.api.api = PF_UFFD_API};
	bool yes = fd >= 0 && !ioctl(fd, REQUEST(READ_WRITE, PF_UFFDIO_API, 24u), &arg);

	arg = (union uffd_arg){.range = {.start = (uint64_t)at,
				       .len = len,
				       .mode = PF_UFFDIO_REGISTER_MODE_MISSING}};
	yes = yes && !ioctl(fd, requests[PF_UFFDIO_REGISTER], &arg);
	if (fd >= 0)
		close(fd);
	return yes;
}

static int64_t host_open(const struct op *op)
{
	int fd = (int)syscall(SYS_userfaultfd, op->a[0]);

	if (fd < 0)
		return -errno;
	if (dup2(fd, FIRST + (int)op->a[1]) < 0)
		return -errno;
	close(fd);
	return PROGRAM_UFFD_FD + (int64_t)op->a[1];
}

static unsigned number_of(const struct op *op)
{
	return op->id == SC_UFFDIO_API ? PF_UFFDIO_API : (unsigned)(op->id - SC_UFFDIO_REGISTER);
}

void fuzz_uffd_host(const struct op *op, struct fuzz_answer *ans)
{
	const int fd = FIRST + (int)op->a[program_uffd_arg(op->id)];
	union uffd_arg arg = {0};
	int r;

	switch (op->id) {
	case SC_USERFAULTFD:
		ans->result = host_open(op);
		return;
	case SC_CLOSE:
		ans->result = close(fd) ? -errno : 0;
		return;
	case SC_UFFDIO_API:
		arg.api.api = op->a[2];
		arg.api.features = op->a[1];
		r = ioctl(fd, REQUEST(READ_WRITE, PF_UFFDIO_API, 24u), &arg);
		ans->done = (int64_t)arg.api.ioctls;
		break;
	case SC_UFFDIO_COPY:
	case SC_UFFDIO_MOVE:
		arg.copy.dst = op->a[0];
		arg.copy.src = op->a[4];
		arg.copy.len = op->a[1];
		arg.copy.mode = op->a[2];
		r = ioctl(fd, requests[number_of(op)], &arg);
		ans->done = arg.copy.done;
		break;
	default:
		arg.range.start = op->a[0];
		arg.range.len = op->a[1];
		arg.range.mode = op->a[2];
		r = ioctl(fd, requests[number_of(op)], &arg);
		ans->done = arg.range.done;
	}
	ans->result = r ? -errno : 0;
}

/* ---- what may be asked ---- */

static bool ends(const struct fuzz_area *area, const struct op *op)
{
	const uint64_t advice = op->a[op->id == SC_MADVISE ? 2 : 3];

	switch (op->id) {
	case SC_MADVISE:
	case SC_PROCESS_MADVISE:
		/* Linux 6.18 never ends installing a guard where shared memory has a marker of uffd-wp. */
		return advice != PF_MADV_GUARD_INSTALL || !area->shares;
	default:
		return true;
	}
}

/* What the model follows, which must be told what there is before a call that faults pages in. */
static bool is_followed(const struct op *op)
{
	const uint64_t *a = op->a;

	switch (op->id) {
	case SC_MLOCK:
		return false;
	case SC_MLOCK2:
		return a[2];
	case SC_MLOCKALL:
		return !(a[0] & PF_MCL_CURRENT) || a[0] & PF_MCL_ONFAULT;
	case SC_PAGEMAP_SCAN: /* without regions it is not known which pages were meant */
		return !(a[2] & PF_PM_SCAN_WP_MATCHING) || a[3] || !(a[6] | a[7]);
	default:
		return true;
	}
}

bool fuzz_uffd_safe(const struct fuzz_area *area, const struct op *op)
{
	const uint64_t events = PF_UFFD_FEATURE_EVENT_FORK | PF_UFFD_FEATURE_EVENT_REMAP |
				PF_UFFD_FEATURE_EVENT_REMOVE | PF_UFFD_FEATURE_EVENT_UNMAP;

	if (!area->uffd)
		return !fuzz_is_uffd(op->id);
	if (op->id == SC_USERFAULTFD)
		return op->a[0] & PF_UFFD_USER_MODE_ONLY;
	if (op->id == SC_UFFDIO_API)
		return op->a[1] & PF_UFFD_FEATURE_SIGBUS && !(op->a[1] & events);
	return ends(area, op) && is_followed(op);
}

/* ---- files of a disk ---- */

bool fuzz_empties_files(const struct fuzz_area *area, const struct op *op)
{
	return area->uffd && ((op->id == SC_MADVISE && op->a[2] == PF_MADV_REMOVE) ||
				     (op->id == SC_PROCESS_MADVISE && op->a[3] == PF_MADV_REMOVE));
}

unsigned fuzz_fills(const struct fuzz_area *area, unsigned pid, unsigned cpu, struct op *ops)
{
	const uint64_t len = (area->file_size + FUZZ_PAGE - 1) & -FUZZ_PAGE;
	unsigned n = 0;

	for (unsigned i = 0; i < area->nfiles; i++) {
		const struct op each[FUZZ_FILLS] = {
			{.id = SC_MMAP,
				.a = {area->away, len, PF_PROT_READ, PF_MAP_SHARED | PF_MAP_FIXED,
					RUN_FIRST_FD + i}},
			{.id = SC_MADVISE, .a = {area->away, len, PF_MADV_POPULATE_READ}},
			{.id = SC_MUNMAP, .a = {area->away, len}},
		};

		for (unsigned k = 0; k < FUZZ_FILLS; k++, n++) {
			ops[n] = each[k];
			ops[n].pid = pid;
			ops[n].cpu = cpu;
			snprintf(ops[n].result, sizeof(ops[n].result), k ? "0" : "0x%llx",
				(unsigned long long)area->away);
		}
	}
	return n;
}

/* ---- the library ---- */

static uint64_t fd_of(const struct op *op)
{
	return PROGRAM_UFFD_FD + op->a[program_uffd_arg(op->id)];
}

/* Does it leave pages to nobody whose writes were to be noticed? */
static bool leaves_wp(struct fuzz_play *y, struct run_process *caller, const struct op *op)
{
	const struct run_process *p = run_uffd_process(&y->w, caller, fd_of(op));
	const uint64_t end = op->a[0] + op->a[1];
	struct oracle_map m;

	if (!p || op->id != SC_UFFDIO_REGISTER || op->a[2] & PF_UFFDIO_REGISTER_MODE_WP)
		return false;
	for (uint64_t at = op->a[0];
		at < end && oracle_find(y->w.oracle, p->pid, at, &m) && m.start < end; at = m.end)
		for (uint64_t va = pf_max(at, m.start); m.uffd_wp && va < pf_min(m.end, end);
			va += FUZZ_PAGE)
			if (oracle_uffd_wp(y->w.oracle, p->pid, va))
				return true;
	return false;
}

bool fuzz_uffd_do(
	struct fuzz_play *y, struct run_process *p, const struct op *op, struct run_result *r)
{
	const bool api = op->id == SC_UFFDIO_API;
	struct run_uffd_args a = {
		.fd = fd_of(op),
	};

	if (op->id == SC_USERFAULTFD)
		return run_uffd_open(&y->w, p, op->a[0], a.fd, r);
	if (op->id == SC_CLOSE)
		return run_uffd_close(&y->w, p, a.fd, r);
	a.nr = number_of(op);
	a.api = op->a[2];
	a.features = op->a[1];
	if (!api) {
		a.start = op->a[0];
		a.len = op->a[1];
		a.mode = op->a[2];
		a.src = op->a[4];
	}
	y->left_wp = leaves_wp(y, p, op);
	if (!run_uffd_ioctl(&y->w, p, &a, r))
		return false;
	y->uffd_done = api || op->id == SC_UFFDIO_REGISTER ? (int64_t)a.ioctls : a.done;
	return true;
}
