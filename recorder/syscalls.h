/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PF_RECORDER_SYSCALLS_H
#define PF_RECORDER_SYSCALLS_H

#include <stdbool.h>
#include <stdint.h>

#define SYSCALL_MAX 1024

enum syscall_kind {
	SYS_PLAIN,   /* touches the memory that `io` lists, and none else */
	SYS_MEMORY,  /* an event: `what` is its kind */
	SYS_OPAQUE,  /* may write memory in ways that are not followed: counted */
	SYS_SPECIAL, /* `what` is one of the names below */
};

enum syscall_special {
	SYS_CLONE,
	SYS_CLONE3,
	SYS_FORK,
	SYS_EXECVE,
	SYS_EXECVEAT,
	SYS_EXIT,
	SYS_EXIT_GROUP,
	SYS_SIGRETURN,
	SYS_FCNTL,
	SYS_ARCH_PRCTL,
};

/* How long a buffer is, once the call has succeeded. */
enum io_rule {
	IO_NONE,
	IO_RESULT,  /* result * unit bytes */
	IO_FIXED,   /* unit bytes */
	IO_ARG,     /* argument `other` * unit bytes */
	IO_VALUE,   /* the u32 to which argument `other` points, and that u32 itself */
	IO_IOVEC,   /* result bytes over an array of argument `other` iovecs */
	IO_BITS,    /* an fd_set of argument `other` bits */
	IO_MSGHDR,  /* a msghdr: result bytes over its iovecs; name and control too */
	IO_MMSGHDR, /* result of them, each with its own length */
	IO_STAT,    /* the machine's struct stat */
	IO_EPOLL,   /* result of the machine's struct epoll_event */
	IO_MSGRCV,  /* a long and result bytes */
	IO_MINCORE, /* a byte for each page of argument 1 bytes */
};

struct syscall_io {
	uint8_t rule, arg, other, write;
	uint16_t unit;
};

struct syscall_info {
	char name[24];
	int16_t x86_64, aarch64;
	uint8_t kind, what;
	struct syscall_io io[3];
};

extern const struct syscall_info syscall_table[];
extern const unsigned syscall_count;

void syscalls_init(bool aarch64);
/* NULL for a number that the table does not have. */
const struct syscall_info *syscall_find(int64_t number);

#endif
