/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that the guest executes would leave QEMU, so the recorder does the execve itself: of
 * QEMU, with itself as plugin. Scripts run their interpreter that way.
 */
#define _GNU_SOURCE
#include "recorder.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ARGS    65536u
#define MAX_STRINGS (8u << 20)
#define MAX_DEPTH   5 /* of interpreters, as in the kernel */

/* A vector of strings read from the guest. */
struct strings {
	char **v;
	size_t nr;
	char *bytes;
};

static void strings_free(struct strings *s)
{
	free(s->v);
	free(s->bytes);
}

/* Leaves `front` empty places before the strings. */
static bool strings_read(struct strings *s, uint64_t array, size_t front)
{
	size_t room = 0, used = 0, *offsets = NULL;
	uint64_t pointer;
	bool ok = false;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; array; i++) {
		if (i >= MAX_ARGS || !guest_read(&pointer, array + 8 * i, 8))
			goto out;
		if (!pointer)
			break;
		size_t *more = realloc(offsets, (i + 1) * sizeof(*offsets));
		if (!more)
			goto out;
		offsets = more;
		for (;;) {
			ssize_t len = used < room
					      ? guest_string(s->bytes + used, room - used, pointer)
					      : -1;
			if (len >= 0) {
				offsets[i] = used;
				used += (size_t)len + 1;
				break;
			}
			if (room >= MAX_STRINGS)
				goto out;
			room = room ? 2 * room : 65536;
			char *bytes = realloc(s->bytes, room);
			if (!bytes)
				goto out;
			s->bytes = bytes;
		}
		s->nr = i + 1;
	}
	s->v = calloc(front + s->nr + 1, sizeof(*s->v));
	if (!s->v)
		goto out;
	for (size_t i = 0; i < s->nr; i++)
		s->v[front + i] = s->bytes + offsets[i];
	ok = true;
out:
	free(offsets);
	if (!ok)
		strings_free(s);
	return ok;
}

struct target {
	char path[4096];
	char before[MAX_DEPTH][2]
		   [4096]; /* interpreter's optional argument, script: innermost last */
	int scripts;
	unsigned machine; /* 0: not to be followed */
};

/* Follows #! lines to an ELF file. False if the kernel would refuse the program, or might. */
static bool resolve(struct target *t)
{
	unsigned char head[512];

	for (t->scripts = 0;;) {
		int fd = access(t->path, X_OK) ? -1 : open(t->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return false;
		ssize_t n = read(fd, head, sizeof(head) - 1);
		close(fd);
		if (n < 4)
			return false;
		head[n] = 0;
		if (n >= 20 && !memcmp(head, ELFMAG, SELFMAG)) {
			t->machine = head[EI_CLASS] == ELFCLASS64
					     ? (unsigned)(head[18] | head[19] << 8)
					     : 0;
			return true;
		}
		if (head[0] != '#' || head[1] != '!' || t->scripts == MAX_DEPTH - 1)
			return false;
		char *line = (char *)head + 2;
		line[strcspn(line, "\n")] = 0;
		line += strspn(line, " \t");
		size_t len = strcspn(line, " \t");
		char *arg = line + len + strspn(line + len, " \t");
		size_t arg_len = strlen(arg);
		while (arg_len && (arg[arg_len - 1] == ' ' || arg[arg_len - 1] == '\t'))
			arg_len--;
		if (!len)
			return false;
		snprintf(t->before[t->scripts][0], 4096, "%.*s", (int)arg_len, arg);
		strcpy(t->before[t->scripts][1], t->path);
		t->scripts++;
		snprintf(t->path, sizeof(t->path), "%.*s", (int)len, line);
	}
}

/* The path as this process may open it. False: cannot be told. */
static bool target_path(struct target *t, uint64_t path, int dirfd, int flags)
{
	char name[4096];
	ssize_t len = guest_string(name, sizeof(name), path);

	if (len < 0 || (flags & AT_SYMLINK_NOFOLLOW))
		return false;
	if (len && (name[0] == '/' || dirfd == AT_FDCWD)) {
		strcpy(t->path, name);
		return true;
	}
	if (!len && !(flags & AT_EMPTY_PATH))
		return false;
	return snprintf(t->path, sizeof(t->path), "/proc/self/fd/%d%s%s", dirfd, len ? "/" : "",
		       name) < (int)sizeof(t->path);
}

/* Commas end an option of QEMU's; doubled they stand for themselves. */
static void put_option(char *to, size_t room, const char *from)
{
	size_t n = strlen(to);

	for (; *from && n + 3 < room; from++) {
		to[n++] = *from;
		if (*from == ',')
			to[n++] = ',';
	}
	to[n] = 0;
}

static void run_qemu(
	const struct target *t, const char *qemu, struct strings *args, size_t front, char **envp)
{
	bool aarch64 = t->machine == EM_AARCH64_;
	const char *cpu = aarch64 ? rec->cpu_aarch64 : rec->cpu_x86_64;
	char option[4 * REC_PATH], tail[128], name[4096];
	/* What precedes argv[1] is written backwards from the place of argv[0], which goes into -0. */
	char **v = args->v + front - !args->nr;
	const char *argv0 = args->nr ? *v : "";

	for (int i = 0; i < t->scripts; i++) {
		*v-- = (char *)t->before[i][1];
		if (t->before[i][0][0])
			*v-- = (char *)t->before[i][0];
		argv0 = i + 1 < t->scripts ? argv0 : t->path;
	}
	char **path_at = v;
	*v-- = (char *)t->path;
	*v-- = (char *)argv0;
	*v-- = "-0";
	if (aarch64 && rec->sysroot_aarch64[0]) {
		*v-- = rec->sysroot_aarch64;
		*v-- = "-L";
	}
	if (cpu[0]) {
		*v-- = (char *)cpu;
		*v-- = "-cpu";
	}
	*v-- = option;
	*v-- = "-plugin";
	*v = (char *)qemu;
	option[0] = 0;
	put_option(option, sizeof(option), rec->plugin);
	snprintf(name, sizeof(name), ",socket=%s", recorder.socket);
	strcat(option, name);
	snprintf(tail, sizeof(tail), ",how=%d,stream=%u,seq=%llu,skip=%td", REC_EXEC, rec->stream,
		(unsigned long long)rec->event_seq, path_at - v);
	strcat(option, tail);
	execve(qemu, v, envp);
}

void exec_follow(
	struct rec_lane *l, uint64_t path, uint64_t argv, uint64_t envp, int dirfd, int flags)
{
	/* Room for what run_qemu puts before the arguments. */
	const size_t front = 16 + 2 * MAX_DEPTH;
	struct target *t = calloc(1, sizeof(*t));
	struct strings args, env;
	const char *qemu = NULL;

	if (!t || !target_path(t, path, dirfd, flags) || !resolve(t))
		goto out;
	if (t->machine == EM_X86_64_ && rec->qemu_x86_64[0])
		qemu = rec->qemu_x86_64;
	else if (t->machine == EM_AARCH64_ && rec->qemu_aarch64[0])
		qemu = rec->qemu_aarch64;
	lane_event(l, TRACE_EV_EXEC, event_reserve(), 0, NULL, 0, t->path);
	if (!qemu || recorder.detached) {
		rec_not_captured("programs executed", 1);
	} else if (strings_read(&args, argv, front)) {
		if (strings_read(&env, envp, 0)) {
			__atomic_store_n(&rec->done, 1, __ATOMIC_RELEASE);
			rec_ring_all();
			run_qemu(t, qemu, &args, front, env.v);
			/* It failed, and this stream has ended: the process goes on in another. */
			int error = errno;
			uint32_t stream = rec->stream;
			uint64_t seq = rec->event_seq;
			fprintf(stderr, "pagefold: cannot run %s: %s\n", qemu, strerror(error));
			if (rec_attach(REC_EXEC_FAILED, stream, seq))
				rec_detach("the recording cannot be reached");
			else
				lanes_after_fork(l);
			strings_free(&env);
		}
		strings_free(&args);
	}
out:
	free(t);
}
