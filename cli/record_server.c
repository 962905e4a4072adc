/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record_server.h"
#include "record_stream.h"
#include "trace_manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct record_server {
	struct record_config config;
	char socket[64];
	int listener;
	uint64_t start_ns, start_real_ns, manifest_ns;
	struct record_stream **streams;
	unsigned nr;
	bool manifest_due;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct record_server *record_server_start(const struct record_config *config, char **error)
{
	struct record_server *s = calloc(1, sizeof(*s));
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	*error = NULL;
	if (!s)
		return NULL;
	s->config = *config;
	s->start_ns = clock_ns(CLOCK_MONOTONIC);
	s->start_real_ns = clock_ns(CLOCK_REALTIME);
	snprintf(s->socket, sizeof(s->socket), "pagefold-record-%d-%llx", (int)getpid(),
		(unsigned long long)s->start_ns);
	memcpy(name.sun_path + 1, s->socket, strlen(s->socket));
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(s->socket));
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&name, len) ||
		listen(s->listener, 128)) {
		if (asprintf(error, "cannot open a socket: %s", strerror(errno)) < 0)
			*error = NULL;
		if (s->listener >= 0)
			close(s->listener);
		free(s);
		return NULL;
	}
	return s;
}

const char *record_server_socket(const struct record_server *s)
{
	return s->socket;
}

static int copy(char *to, size_t room, const char *from)
{
	if (from && strlen(from) >= room)
		return -ENAMETOOLONG;
	strcpy(to, from ? from : "");
	return 0;
}

static int fill_shared(const struct record_server *s, struct rec_shared *m, uint32_t number)
{
	const struct record_config *c = &s->config;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	m->magic = REC_MAGIC;
	m->version = REC_VERSION;
	m->stream = number;
	m->zva_bytes = c->zva_bytes;
	m->server_pid = (uint32_t)getpid();
	/* The program keeps a processor for each worker. */
	m->workers = cpus < 4 ? 1 : cpus / 2 > (long)REC_WORKERS ? REC_WORKERS : (uint32_t)cpus / 2;
	return copy(m->socket, sizeof(m->socket), s->socket) ||
			       copy(m->plugin, REC_PATH, c->plugin) ||
			       copy(m->qemu_x86_64, REC_PATH, c->qemu_x86_64) ||
			       copy(m->qemu_aarch64, REC_PATH, c->qemu_aarch64) ||
			       copy(m->sysroot_aarch64, REC_PATH, c->sysroot_aarch64) ||
			       copy(m->cpu_x86_64, sizeof(m->cpu_x86_64), c->cpu_x86_64) ||
			       copy(m->cpu_aarch64, sizeof(m->cpu_aarch64), c->cpu_aarch64)
		       ? -ENAMETOOLONG
		       : 0;
}

static struct record_stream *find_stream(struct record_server *s, uint32_t number)
{
	return number && number <= s->nr ? s->streams[number - 1] : NULL;
}

/* A stream for the process at the other end; its memory's descriptor in *memory. */
static struct record_stream *add_stream(
	struct record_server *s, const struct rec_hello *hello, pid_t pid, int *memory)
{
	struct record_stream **more = realloc(s->streams, (s->nr + 1) * sizeof(*more));
	struct rec_shared *shared = MAP_FAILED;
	struct record_stream *stream = NULL;
	int rc = -ENOMEM;

	*memory = -1;
	if (!more)
		goto out;
	s->streams = more;
	*memory = memfd_create("pagefold", MFD_CLOEXEC);
	if (*memory < 0 || ftruncate(*memory, (off_t)REC_SIZE)) {
		rc = -errno;
		goto out;
	}
	shared = mmap(
		NULL, REC_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *memory, 0);
	if (shared == MAP_FAILED) {
		rc = -errno;
		goto out;
	}
	rc = fill_shared(s, shared, s->nr + 1);
	if (rc)
		goto out;
	struct record_birth birth = {
		.number = s->nr + 1,
		.pid = pid,
		.hello = *hello,
		.parent = find_stream(s, hello->parent_stream),
		.base_path = s->config.path,
		.source = s->config.source,
		.start_ns = clock_ns(CLOCK_MONOTONIC),
		.recording_ns = s->start_ns,
		.real_ns = clock_ns(CLOCK_REALTIME),
	};
	rc = record_stream_start(&stream, shared, &birth);
out:
	if (rc) {
		fprintf(stderr, "pagefold record: process %d is not recorded: %s\n", (int)pid,
			strerror(-rc));
		if (shared != MAP_FAILED)
			munmap(shared, REC_SIZE);
		if (*memory >= 0)
			close(*memory);
		return NULL;
	}
	s->streams[s->nr++] = stream;
	s->manifest_due = true;
	return stream;
}

static void welcome(int fd, int memory)
{
	struct rec_welcome answer = {REC_MAGIC, memory >= 0};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec io = {&answer, sizeof(answer)};
	struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1};

	if (memory >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &memory, sizeof(memory));
	}
	/* If the process is gone by now its stream ends as any other whose process ends. */
	(void)!sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static void accept_one(struct record_server *s)
{
	struct rec_hello hello;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct timeval patience = {5, 0};
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC), memory = -1;

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && peer.uid == getuid() &&
		recv(fd, &hello, sizeof(hello), 0) == (ssize_t)sizeof(hello) &&
		hello.magic == REC_MAGIC && hello.version == REC_VERSION) {
		/* An image that the process has left is at its end, whatever it said last. */
		for (unsigned i = 0; i < s->nr && hello.how != REC_FORK; i++)
			if (record_stream_pid(s->streams[i]) == peer.pid)
				record_stream_end(s->streams[i]);
		add_stream(s, &hello, peer.pid, &memory);
		welcome(fd, memory);
		if (memory >= 0)
			close(memory);
	} else {
		welcome(fd, -1);
	}
	close(fd);
}

static int write_manifest(struct record_server *s)
{
	struct trace_manifest m = {.nr = s->nr};
	int rc = -ENOMEM;

	m.streams = calloc(s->nr + 1, sizeof(*m.streams));
	if (m.streams) {
		for (unsigned i = 0; i < s->nr; i++)
			record_stream_describe(s->streams[i], &m.streams[i]);
		rc = trace_manifest_write(&m, s->config.path, s->config.source);
	}
	/* The strings are the streams' own. */
	free(m.streams);
	s->manifest_due = false;
	s->manifest_ns = clock_ns(CLOCK_MONOTONIC);
	return rc;
}

void record_server_poll(struct record_server *s, int fd, int timeout_ms)
{
	struct pollfd *p = calloc(s->nr + 2, sizeof(*p));
	nfds_t n = 2;

	if (!p)
		return;
	p[0] = (struct pollfd){s->listener, POLLIN, 0};
	p[1] = (struct pollfd){fd, POLLIN, 0};
	for (unsigned i = 0; i < s->nr; i++) {
		int pidfd = record_stream_pidfd(s->streams[i]);
		if (pidfd >= 0)
			p[n++] = (struct pollfd){pidfd, POLLIN, 0};
	}
	if (poll(p, n, timeout_ms) > 0) {
		for (nfds_t i = 2; i < n; i++) {
			if (!p[i].revents)
				continue;
			for (unsigned k = 0; k < s->nr; k++)
				if (record_stream_pidfd(s->streams[k]) == p[i].fd)
					record_stream_end(s->streams[k]);
		}
		if (p[0].revents)
			accept_one(s);
	}
	free(p);
	for (unsigned i = 0; i < s->nr; i++)
		record_stream_reap(s->streams[i]);
	if (s->manifest_due && clock_ns(CLOCK_MONOTONIC) - s->manifest_ns > 500000000u)
		write_manifest(s);
}

void record_server_ended(struct record_server *s, pid_t pid, int status)
{
	for (unsigned i = 0; i < s->nr; i++)
		if (record_stream_pid(s->streams[i]) == pid)
			record_stream_status(s->streams[i], status);
}

void record_server_totals(struct record_server *s, struct record_totals *t)
{
	memset(t, 0, sizeof(*t));
	for (unsigned i = 0; i < s->nr; i++)
		record_stream_totals(s->streams[i], t);
}

int record_server_finish(struct record_server *s, struct record_totals *t)
{
	for (unsigned i = 0; i < s->nr; i++) {
		record_stream_end(s->streams[i]);
		record_stream_join(s->streams[i]);
	}
	record_server_totals(s, t);
	int rc = s->nr ? write_manifest(s) : 0;
	for (unsigned i = 0; i < s->nr; i++)
		record_stream_free(s->streams[i]);
	close(s->listener);
	free(s->streams);
	free(s);
	return rc;
}
