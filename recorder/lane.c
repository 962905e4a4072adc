/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "recorder.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct rec_shared *rec;
struct rec_lane **rec_lane_of;
static pthread_mutex_t lanes_lock = PTHREAD_MUTEX_INITIALIZER;
/* Threads beyond REC_LANES share this one; what they do is dropped, and their number reported. */
static struct rec_lane lost_lane;
static uint64_t lost_words[4096];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void futex_wait(uint32_t *word, uint32_t value)
{
	struct timespec second = {1, 0};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &second, NULL, 0);
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* ---- attaching ---- */

static int connect_to_server(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	size_t len = strlen(recorder.socket);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* A leading 0 byte: the abstract name space, which has no file to lose sight of after a chroot. */
	memcpy(name.sun_path + 1, recorder.socket, len);
	while (connect(fd, (struct sockaddr *)&name,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len))) {
		if (errno == EINTR)
			continue;
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* Returns the shared memory's descriptor or -1. */
static int say_hello(int fd, const struct rec_hello *hello)
{
	struct rec_welcome welcome = {0};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec io = {&welcome, sizeof(welcome)};
	struct msghdr msg = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n;
	int memory;

	while ((n = send(fd, hello, sizeof(*hello), MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(*hello))
		return -1;
	while ((n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (n != (ssize_t)sizeof(welcome) || welcome.magic != REC_MAGIC || !welcome.ok || !c ||
		c->cmsg_type != SCM_RIGHTS) {
		errno = n < 0 ? errno : ECONNREFUSED;
		return -1;
	}
	memcpy(&memory, CMSG_DATA(c), sizeof(memory));
	return memory;
}

int rec_attach(enum rec_how how, uint32_t parent_stream, uint64_t parent_seq)
{
	struct rec_hello hello = {
		.magic = REC_MAGIC,
		.version = REC_VERSION,
		.how = how,
		.pid = (uint32_t)getpid(),
		.parent_stream = parent_stream,
		.parent_seq = parent_seq,
		.skip = recorder.skip,
		.machine = recorder.aarch64 ? EM_AARCH64_ : EM_X86_64_,
	};
	int fd = connect_to_server(), memory = -1;
	void *at = MAP_FAILED;

	if (fd >= 0)
		memory = say_hello(fd, &hello);
	if (memory >= 0)
		at = mmap(rec, REC_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_NORESERVE | (rec ? MAP_FIXED : 0), memory, 0);
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (memory >= 0)
		close(memory);
	if (at == MAP_FAILED) {
		fprintf(stderr, "pagefold: process %d is not recorded: %s: %s\n", (int)getpid(),
			memory < 0 ? "cannot reach the recording" : "cannot map its memory",
			strerror(error));
		return -1;
	}
	rec = at;
	rec->base = (uintptr_t)at;
	rec->guest_base = recorder.guest_base;
	recorder.maps_due = true;
	recorder.detached = false;
	return 0;
}

void rec_detach(const char *why)
{
	if (recorder.detached)
		return;
	recorder.detached = true;
	if (why)
		fprintf(stderr, "pagefold: process %d is recorded no further: %s\n", (int)getpid(),
			why);
}

/* ---- lanes ---- */

static unsigned lane_index(const struct rec_lane *l)
{
	return (unsigned)(((uintptr_t)l - (uintptr_t)rec - REC_SHARED_SIZE) / REC_LANE_SIZE);
}

static struct rec_lane *lane_at(unsigned i)
{
	return (struct rec_lane *)((uintptr_t)rec + REC_SHARED_SIZE + (uint64_t)i * REC_LANE_SIZE);
}

static uint64_t *lane_buffer(const struct rec_lane *l, uint32_t number)
{
	if (l == &lost_lane)
		return lost_words;
	uint64_t word = ((uint64_t)lane_index(l) * REC_BUFFERS + number % REC_BUFFERS) * REC_WORDS;
	return (uint64_t *)((uintptr_t)rec + REC_BUFFER_OFFSET) + word;
}

/* A lane whose next word is taken on the slow path, by the thread that it is for. */
static void lane_reset(struct rec_lane *l)
{
	l->page = l->code = NO_PAGE;
	l->run = NULL;
	l->thread = 0;
	l->in_use = 1;
	l->end = l->limit = lane_buffer(l, l->head);
	l->cur = l->end - 1;
}

struct rec_lane *lane_take(void)
{
	struct rec_lane *l = NULL;
	unsigned i;

	pthread_mutex_lock(&lanes_lock);
	for (i = 0; i < REC_LANES; i++)
		if (!lane_at(i)->in_use)
			break;
	if (i < REC_LANES) {
		l = lane_at(i);
		if (rec->lanes_high <= i)
			__atomic_store_n(&rec->lanes_high, i + 1, __ATOMIC_RELEASE);
	} else {
		rec->lost_threads++;
		l = &lost_lane;
	}
	lane_reset(l);
	pthread_mutex_unlock(&lanes_lock);
	return l;
}

void lanes_after_fork(struct rec_lane *l)
{
	pthread_mutex_init(&lanes_lock, NULL);
	rec->lanes_high = l == &lost_lane ? 0 : lane_index(l) + 1;
	lane_reset(l);
}

static void ring(struct rec_lane *l)
{
	struct rec_doorbell *bell = &rec->doorbells[lane_index(l) % rec->workers];

	__atomic_fetch_add(&bell->rings, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&bell->sleeping, __ATOMIC_SEQ_CST))
		futex_wake(&bell->rings);
}

void rec_ring_all(void)
{
	for (unsigned i = 0; i < rec->workers; i++) {
		__atomic_fetch_add(&rec->doorbells[i].rings, 1, __ATOMIC_SEQ_CST);
		futex_wake(&rec->doorbells[i].rings);
	}
}

static void publish(struct rec_lane *l)
{
	struct rec_buffer *b = &l->buffers[l->head % REC_BUFFERS];

	b->used = (uint32_t)(l->cur + 1 - lane_buffer(l, l->head));
	b->time_last = now_ns();
	if (recorder.detached || l == &lost_lane)
		return;
	__atomic_store_n(&l->head, l->head + 1, __ATOMIC_RELEASE);
	ring(l);
}

/* Makes buffer l->head the current one; waits for the server to have read what it held before. */
static void open_buffer(struct rec_lane *l)
{
	uint64_t *begin;

	for (;;) {
		uint32_t tail = __atomic_load_n(&l->tail, __ATOMIC_ACQUIRE);

		if (l->head - tail < REC_BUFFERS || recorder.detached)
			break;
		__atomic_store_n(&l->waiting, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&l->tail, __ATOMIC_SEQ_CST) == tail)
			futex_wait(&l->tail, tail);
		__atomic_store_n(&l->waiting, 0, __ATOMIC_RELAXED);
		if (__atomic_load_n(&l->tail, __ATOMIC_ACQUIRE) == tail &&
			kill((pid_t)rec->server_pid, 0) && errno == ESRCH)
			rec_detach("pagefold is gone");
	}
	begin = lane_buffer(l, l->head);
	l->buffers[l->head % REC_BUFFERS].time_first = now_ns();
	l->page = NO_PAGE;
	l->run = NULL;
	l->end = begin + (l == &lost_lane ? sizeof(lost_words) / sizeof(lost_words[0]) : REC_WORDS);
	__atomic_store_n(&l->limit, l->end, __ATOMIC_SEQ_CST);
	lane_commit(l, begin - 1);
}

static void begin_thread(struct rec_lane *l)
{
	uint64_t tid = (uint64_t)syscall(SYS_gettid);

	l->thread = __atomic_add_fetch(&rec->next_thread, 1, __ATOMIC_RELAXED);
	open_buffer(l);
	lane_event(l, TRACE_EV_THREAD_START, event_reserve(), 1, &tid, l->thread, NULL);
	if (recorder.maps_due) {
		recorder.maps_due = false;
		maps_record(l);
	}
}

static void next_buffer(struct rec_lane *l)
{
	if (!l->thread) {
		begin_thread(l);
		return;
	}
	publish(l);
	open_buffer(l);
}

void lane_begin(struct rec_lane *l)
{
	if (!l->thread)
		begin_thread(l);
}

void lane_release(struct rec_lane *l)
{
	if (l->thread) {
		lane_event(l, TRACE_EV_THREAD_EXIT, event_reserve(), 0, NULL, 0, NULL);
		publish(l);
	}
	pthread_mutex_lock(&lanes_lock);
	lane_reset(l);
	l->in_use = 0;
	pthread_mutex_unlock(&lanes_lock);
}

/* ---- words ---- */

uint64_t *lane_word_slow(struct rec_lane *l)
{
	if (l->cur + 1 >= l->end)
		next_buffer(l);
	/* Before event_seq is read: an event after that clears it again. */
	__atomic_store_n(&l->limit, l->end, __ATOMIC_SEQ_CST);
	uint64_t seq = __atomic_load_n(&rec->event_seq, __ATOMIC_SEQ_CST);
	if (seq != l->seen) {
		if (l->cur + 1 >= l->end)
			next_buffer(l);
		l->seen = seq;
		l->cur[1] = REC_WORD(seq, REC_TAG_SYNC, 0);
		lane_commit(l, l->cur + 1);
		if (l->cur + 1 >= l->end)
			next_buffer(l);
	}
	return l->cur + 1;
}

uint64_t event_reserve(void)
{
	return __atomic_add_fetch(&rec->event_seq, 1, __ATOMIC_SEQ_CST);
}

/*
 * Every thread's next access begins a new run, and takes the slow path there, which notes the event.
 * A thread that is just now storing a page of its own may win; it then does so at its next run.
 */
static void cut_runs(void)
{
	unsigned high = __atomic_load_n(&rec->lanes_high, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < high; i++) {
		__atomic_store_n(&lane_at(i)->limit, NULL, __ATOMIC_SEQ_CST);
		__atomic_store_n(&lane_at(i)->page, NO_PAGE, __ATOMIC_RELAXED);
	}
}

void lane_event(struct rec_lane *l, unsigned kind, uint64_t seq, unsigned nr, const uint64_t *args,
	int64_t result, const char *text)
{
	size_t len = text ? strnlen(text, 4096) : 0;
	size_t words = (sizeof(struct rec_event) + len + sizeof(uint64_t) - 1) / sizeof(uint64_t);

	if (!l->thread || (size_t)(l->end - (l->cur + 1)) < words + 1)
		next_buffer(l);
	uint64_t *w = l->cur + 1;
	struct rec_event *e = (struct rec_event *)(w + 1);
	*w = REC_WORD(kind, REC_TAG_EVENT, words);
	e->seq = seq;
	e->time_ns = now_ns();
	e->result = result;
	e->nr_args = nr;
	e->text_length = (uint32_t)len;
	if (nr)
		memcpy(e->args, args, nr * sizeof(*args));
	if (len)
		memcpy(e->text, text, len);
	l->seen = seq;
	l->run = NULL;
	lane_commit(l, w + words);
	cut_runs();
}

void lane_kernel_access(struct rec_lane *l, uint64_t addr, uint64_t len, bool write)
{
	if (!addr || !len || addr + len < addr)
		return;
	for (uint64_t page = addr >> PAGE_SHIFT; page <= (addr + len - 1) >> PAGE_SHIFT; page++) {
		uint64_t *w = lane_word(l);

		*w = REC_WORD(page, write ? REC_TAG_KERNEL_WRITE : REC_TAG_KERNEL_READ, 1);
		lane_commit(l, w);
	}
	l->page = NO_PAGE;
}

void rec_not_captured(const char *what, uint64_t count)
{
	struct rec_counter *c = rec->counters;

	pthread_mutex_lock(&lanes_lock);
	for (unsigned i = 0; i < REC_COUNTERS; i++, c++) {
		/* The last place takes whatever has found none. */
		if (i == REC_COUNTERS - 1)
			what = "(others)";
		if (!c->name[0])
			strncpy(c->name, what, sizeof(c->name));
		if (!strncmp(c->name, what, sizeof(c->name)))
			break;
	}
	__atomic_fetch_add(&c->count, count, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lanes_lock);
}
