/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls: those on memory become events, buffers that the kernel writes or reads become runs,
 * and what is beyond that is counted. Arguments are kept from the call's entry to its return.
 */
#define _GNU_SOURCE
#include "recorder.h"
#include "syscalls.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CLONE_VM_ 0x100u
#define MAX_IOVEC 1024u

struct pending {
	const struct syscall_info *info;
	uint64_t args[6];
	uint64_t seq; /* reserved at entry; 0 if not */
};

/* By QEMU's CPU index; a thread has one system call at a time. */
static struct pending *pending;
static bool exit_seen;
static uint64_t exit_status;

__thread int rec_this_vcpu = -1;

/* ---- buffers ---- */

static void io_iovec(struct rec_lane *l, uint64_t array, uint64_t count, uint64_t bytes, bool write)
{
	struct iovec v[16];

	for (uint64_t i = 0; i < count && i < MAX_IOVEC && bytes; i += 16) {
		uint64_t n = count - i < 16 ? count - i : 16;
		if (!guest_read(v, array + i * sizeof(*v), n * sizeof(*v)))
			return;
		for (uint64_t k = 0; k < n && bytes; k++) {
			uint64_t len = v[k].iov_len < bytes ? v[k].iov_len : bytes;
			lane_kernel_access(l, (uintptr_t)v[k].iov_base, len, write);
			bytes -= len;
		}
	}
}

/* struct msghdr of a 64-bit machine, as eight words. */
static void io_msghdr(struct rec_lane *l, uint64_t addr, uint64_t bytes, bool write)
{
	uint64_t msg[7];

	if (!guest_read(msg, addr, sizeof(msg)))
		return;
	io_iovec(l, msg[2], msg[3], bytes, write);
	lane_kernel_access(l, msg[4], msg[5], write);
	if (write) {
		lane_kernel_access(l, msg[0], (uint32_t)msg[1], true);
		lane_kernel_access(l, addr, sizeof(msg), true);
	}
}

static void io_mmsghdr(struct rec_lane *l, uint64_t addr, uint64_t count, bool write)
{
	for (uint64_t i = 0; i < count && i < MAX_IOVEC; i++, addr += 64) {
		uint32_t len;
		if (guest_read(&len, addr + 56, sizeof(len)))
			io_msghdr(l, addr, len, write);
	}
}

static void buffers(struct rec_lane *l, const struct pending *p, uint64_t result)
{
	for (unsigned i = 0; i < 3; i++) {
		const struct syscall_io *io = &p->info->io[i];
		uint64_t addr = p->args[io->arg], other = p->args[io->other];
		bool write = io->write;
		uint32_t value;

		switch (io->rule) {
		case IO_NONE:
			return;
		case IO_RESULT:
			lane_kernel_access(l, addr, result * io->unit, write);
			break;
		case IO_FIXED:
			lane_kernel_access(l, addr, io->unit, write);
			break;
		case IO_ARG:
			lane_kernel_access(l, addr, other * io->unit, write);
			break;
		case IO_VALUE:
			if (addr && other && guest_read(&value, other, sizeof(value))) {
				lane_kernel_access(l, addr, value, write);
				lane_kernel_access(l, other, sizeof(value), write);
			}
			break;
		case IO_IOVEC:
			io_iovec(l, addr, other, result, write);
			break;
		case IO_BITS:
			lane_kernel_access(l, addr, (other + 63) / 64 * 8, write);
			break;
		case IO_MSGHDR:
			io_msghdr(l, addr, result, write);
			break;
		case IO_MMSGHDR:
			io_mmsghdr(l, addr, result, write);
			break;
		case IO_STAT:
			lane_kernel_access(l, addr, recorder.aarch64 ? 128 : 144, write);
			break;
		case IO_EPOLL:
			lane_kernel_access(l, addr, result * (recorder.aarch64 ? 16 : 12), write);
			break;
		case IO_MSGRCV:
			lane_kernel_access(l, addr, result + 8, write);
			break;
		case IO_MINCORE:
			lane_kernel_access(
				l, addr, (p->args[1] + PAGE_BYTES - 1) / PAGE_BYTES, write);
			break;
		}
	}
}

/* ---- calls on memory ---- */

/* Adds what is mapped: device, inode and size as arguments, the path as text. */
static const char *describe_file(uint64_t fd, uint64_t *args, unsigned *nr, char *path, size_t room)
{
	struct stat st;
	char name[64];

	if (fstat((int)fd, &st))
		return NULL;
	args[(*nr)++] = st.st_dev;
	args[(*nr)++] = st.st_ino;
	args[(*nr)++] = (uint64_t)st.st_size;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", (int)fd);
	ssize_t n = readlink(name, path, room - 1);
	if (n < 0)
		return NULL;
	path[n] = 0;
	return path;
}

static bool prctl_on_memory(uint64_t option)
{
	return option == PR_SET_VMA || option == PR_SET_THP_DISABLE || option == PR_SET_MM ||
	       option == 67 || option == PR_SET_TAGGED_ADDR_CTRL;
}

static void memory_call(struct rec_lane *l, struct pending *p, int64_t result)
{
	uint64_t args[12];
	unsigned kind = p->info->what, nr = trace_event_call_args(kind);
	const char *text = NULL;
	char path[4097];

	memcpy(args, p->args, sizeof(p->args));
	if (kind == TRACE_EV_PRCTL && !prctl_on_memory(args[0])) {
		if (args[0] == PR_GET_NAME && result >= 0)
			lane_kernel_access(l, args[1], 16, true);
		else if (args[0] == PR_GET_PDEATHSIG && result >= 0)
			lane_kernel_access(l, args[1], 4, true);
		return;
	}
	if (kind == TRACE_EV_MMAP && result >= 0 && !(args[3] & MAP_ANONYMOUS))
		text = describe_file(args[4], args, &nr, path, sizeof(path));
	/* What other processes do through these is not seen. */
	if ((kind == TRACE_EV_MMAP && result >= 0 && (args[3] & MAP_SHARED)) ||
		(kind == TRACE_EV_SHMAT && result >= 0))
		rec_not_captured("shared mappings", 1);
	if (kind == TRACE_EV_SHMAT && result >= 0) {
		struct shmid_ds ds;
		if (!shmctl((int)args[0], IPC_STAT, &ds))
			args[nr++] = ds.shm_segsz;
	}
	if (kind == TRACE_EV_PROCESS_MADVISE) {
		struct iovec v;
		for (uint64_t i = 0; i < args[2] && nr + 2 <= 12 &&
				     guest_read(&v, args[1] + i * sizeof(v), sizeof(v));
			i++) {
			args[nr++] = (uintptr_t)v.iov_base;
			args[nr++] = v.iov_len;
		}
	}
	lane_event(l, kind, p->seq ? p->seq : event_reserve(), nr, args, result, text);
}

/*
 * Calls that give addresses up take their place in the order of events when they are entered: once
 * the kernel has done them another thread's mmap may get the same addresses, and return first.
 */
static bool ordered_at_entry(const struct syscall_info *info)
{
	return info->kind == SYS_MEMORY &&
	       (info->what == TRACE_EV_MUNMAP || info->what == TRACE_EV_MREMAP ||
		       info->what == TRACE_EV_SHMDT);
}

/* ---- everything else ---- */

static void exit_event(struct rec_lane *l, uint64_t status)
{
	if (__atomic_exchange_n(&exit_seen, true, __ATOMIC_RELAXED))
		return;
	lane_event(l, TRACE_EV_EXIT, event_reserve(), 1, &status, 0, NULL);
}

static void special_entry(struct rec_lane *l, const struct pending *p)
{
	const uint64_t *a = p->args;

	switch (p->info->what) {
	case SYS_EXECVE:
		exec_follow(l, a[0], a[1], a[2], AT_FDCWD, 0);
		break;
	case SYS_EXECVEAT:
		exec_follow(l, a[1], a[2], a[3], (int)a[0], (int)a[4]);
		break;
	case SYS_EXIT:
		__atomic_store_n(&exit_status, a[0], __ATOMIC_RELAXED);
		break;
	case SYS_EXIT_GROUP:
		exit_event(l, a[0]);
		break;
	case SYS_SIGRETURN:
		rec_not_captured("signal frames", 1);
		break;
	}
}

static void special_return(struct rec_lane *l, const struct pending *p, int64_t result)
{
	const uint64_t *a = p->args;
	uint64_t flags = p->info->what == SYS_CLONE ? a[0] : 0;
	const uint64_t vfork_flags = 0x4100; /* CLONE_VFORK | CLONE_VM */

	switch (p->info->what) {
	case SYS_CLONE:
	case SYS_CLONE3:
	case SYS_FORK:
		if (p->info->what == SYS_CLONE3 && !guest_read(&flags, a[0], sizeof(flags)))
			flags = 0;
		/* QEMU makes a vfork a fork. */
		if (result > 0)
			lane_event(l,
				(flags & vfork_flags) == CLONE_VM_ ? TRACE_EV_CLONE : TRACE_EV_FORK,
				event_reserve(), 1, &flags, result, NULL);
		break;
	case SYS_FCNTL:
		if (result >= 0 && (a[1] == F_GETLK || a[1] == F_OFD_GETLK))
			lane_kernel_access(l, a[2], 32, true);
		break;
	case SYS_ARCH_PRCTL:
		if (result >= 0 &&
			(a[0] == 0x1003 || a[0] == 0x1004)) /* ARCH_GET_FS, ARCH_GET_GS */
			lane_kernel_access(l, a[1], 8, true);
		break;
	}
}

static void on_syscall(qemu_plugin_id_t id, unsigned vcpu, int64_t num, uint64_t a1, uint64_t a2,
	uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
	struct rec_lane *l = rec_lane_of[vcpu];
	struct pending *p = &pending[vcpu];

	(void)id, (void)a7, (void)a8;
	rec_this_vcpu = (int)vcpu;
	lane_begin(l);
	*p = (struct pending){syscall_find(num), {a1, a2, a3, a4, a5, a6}, 0};
	if (!p->info)
		return;
	if (ordered_at_entry(p->info))
		p->seq = event_reserve();
	if (p->info->kind == SYS_SPECIAL)
		special_entry(l, p);
}

static void on_syscall_return(qemu_plugin_id_t id, unsigned vcpu, int64_t num, int64_t result)
{
	struct rec_lane *l = rec_lane_of[vcpu];
	struct pending *p = &pending[vcpu];
	bool done = result >= 0 || result < -4095; /* an address may look negative */
	char name[24];

	(void)id;
	/* QEMU's own numbers: the call will begin again after a signal, or was a return from one. */
	if (result == -512 || result == -513)
		return;
	if (!p->info) {
		if (done) {
			snprintf(name, sizeof(name), "syscall %d", (int)num);
			rec_not_captured(name, 1);
		}
		return;
	}
	switch (p->info->kind) {
	case SYS_MEMORY:
		memory_call(l, p, result);
		if (done)
			buffers(l, p, (uint64_t)result);
		break;
	case SYS_PLAIN:
		if (done)
			buffers(l, p, (uint64_t)result);
		break;
	case SYS_OPAQUE:
		if (done) {
			buffers(l, p, (uint64_t)result);
			rec_not_captured(p->info->name, 1);
		}
		break;
	case SYS_SPECIAL:
		special_return(l, p, result);
		break;
	}
}

void calls_at_exit(void)
{
	struct rec_lane *l = rec_this_vcpu < 0 ? NULL : rec_lane_of[rec_this_vcpu];

	if (l)
		exit_event(l, __atomic_load_n(&exit_status, __ATOMIC_RELAXED));
}

void calls_init(qemu_plugin_id_t id)
{
	syscalls_init(recorder.aarch64);
	pending = mmap(NULL, REC_MAX_VCPU * sizeof(*pending), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pending == MAP_FAILED) {
		perror("pagefold: recorder");
		exit(1);
	}
	qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
	qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_return);
}
