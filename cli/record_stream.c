/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record_stream.h"
#include "trace_write.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct worker {
	struct record_stream *stream;
	unsigned index;
	pthread_t thread;
};

struct record_stream {
	struct rec_shared *shared;
	struct trace_writer writer;
	struct trace_encoder **encoders; /* by lane; each its worker's */
	struct worker workers[REC_WORKERS];
	unsigned nr_workers;
	uint32_t running;     /* workers; atomic */
	uint32_t ended;       /* atomic: the producer is gone */
	uint32_t damaged;     /* atomic: what arrived made no sense */
	uint32_t finished;    /* atomic: the file is closed */
	uint64_t exit_status; /* of an EXIT event; atomic */
	uint32_t saw_exit, saw_exec;
	bool joined;
	int pidfd, error;
	uint64_t start_ns, last_ns, last_seq, instructions;
	pthread_mutex_t lock; /* last_ns, last_seq */
	/* For the manifest. */
	uint32_t number, parent;
	pid_t pid;
	char *path, *program, **argv, *command_line;
	unsigned argc;
	char end[32];
	enum rec_how how;
};

/* ---- from words to chunks ---- */

static void damage(struct record_stream *s)
{
	__atomic_store_n(&s->damaged, 1, __ATOMIC_RELAXED);
}

static uint64_t stream_time(const struct record_stream *s, uint64_t ns)
{
	return ns > s->start_ns ? ns - s->start_ns : 0;
}

static void close_encoder(struct record_stream *s, unsigned lane)
{
	struct trace_encoder *e = s->encoders[lane];

	if (!e)
		return;
	trace_encoder_flush(e, &s->writer);
	pthread_mutex_lock(&s->lock);
	if (e->seq > s->last_seq)
		s->last_seq = e->seq;
	if (e->time_ns > s->last_ns)
		s->last_ns = e->time_ns;
	pthread_mutex_unlock(&s->lock);
	trace_encoder_free(e);
	free(e);
	s->encoders[lane] = NULL;
}

/*
 * Takes the event at word. The memory is the recorded process's too, which may have scribbled
 * there: nothing is believed. Returns the words used, 0 if they are nonsense.
 */
static size_t take_event(
	struct record_stream *s, unsigned lane, const uint64_t *word, const uint64_t *end)
{
	char text[TRACE_EVENT_MAX_TEXT + 1];
	struct rec_event head;
	uint64_t words = TRACE_PACKED_COUNT(*word);
	uint32_t kind = (uint32_t)TRACE_PACKED_PAGE(*word);

	if (words > (uint64_t)(end - word - 1) || words * sizeof(*word) < sizeof(head))
		return 0;
	memcpy(&head, word + 1, sizeof(head));
	if (head.nr_args > TRACE_EVENT_MAX_ARGS || head.text_length > TRACE_EVENT_MAX_TEXT ||
		head.text_length > words * sizeof(*word) - sizeof(head) ||
		!trace_event_name(kind) || head.nr_args < trace_event_call_args(kind))
		return 0;
	memcpy(text, (const char *)(word + 1) + sizeof(head), head.text_length);
	text[head.text_length] = 0;
	struct trace_event ev = {
		.kind = (enum trace_event_kind)kind,
		.seq = head.seq,
		.time_ns = stream_time(s, head.time_ns),
		.nr_args = head.nr_args,
		.result = head.result,
		.text = text,
	};
	memcpy(ev.args, head.args, head.nr_args * sizeof(ev.args[0]));
	if (kind == TRACE_EV_THREAD_START) {
		close_encoder(s, lane);
		struct trace_encoder *e = malloc(sizeof(*e));
		if (!e || !head.seq ||
			trace_encoder_init(e, (uint32_t)head.result, head.seq - 1, ev.time_ns)) {
			free(e);
			return 0;
		}
		s->encoders[lane] = e;
		ev.result = 0;
	}
	struct trace_encoder *e = s->encoders[lane];
	if (!e || head.seq <= e->seq)
		return 0;
	trace_encode_event(e, &ev);
	if (trace_encoder_full(e))
		trace_encoder_flush(e, &s->writer);
	if (kind == TRACE_EV_THREAD_EXIT)
		close_encoder(s, lane);
	if (kind == TRACE_EV_EXIT) {
		__atomic_store_n(&s->exit_status, ev.args[0], __ATOMIC_RELAXED);
		__atomic_store_n(&s->saw_exit, 1, __ATOMIC_RELEASE);
	}
	if (kind == TRACE_EV_EXEC)
		__atomic_store_n(&s->saw_exec, 1, __ATOMIC_RELEASE);
	return words + 1;
}

/* A word that is no plain data run. Returns how many were used, 0 if they are nonsense. */
static size_t take_special(
	struct record_stream *s, unsigned lane, const uint64_t *word, const uint64_t *end)
{
	struct trace_encoder *e = s->encoders[lane];
	uint64_t high = TRACE_PACKED_PAGE(*word);
	size_t used = 1;

	if (TRACE_PACKED_TAG(*word) == REC_TAG_EVENT)
		used = take_event(s, lane, word, end);
	else if (!e)
		return 0;
	else if (TRACE_PACKED_TAG(*word) == REC_TAG_CODE)
		trace_encode_code(e, high);
	else if (TRACE_PACKED_TAG(*word) == REC_TAG_SYNC) {
		if (high < e->seq)
			return 0;
		trace_encode_mark(e, high, e->time_ns);
	} else if (TRACE_PACKED_TAG(*word) == REC_TAG_KERNEL_READ)
		trace_encode_run(e, high, 1, TRACE_RUN_READ | TRACE_RUN_KERNEL);
	else if (TRACE_PACKED_TAG(*word) == REC_TAG_KERNEL_WRITE)
		trace_encode_run(
			e, high, 1, TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST | TRACE_RUN_KERNEL);
	else
		return 0;
	/* An event may have replaced or ended the encoder; it flushes by itself. */
	if (s->encoders[lane] && s->encoders[lane] == e && trace_encoder_full(e))
		trace_encoder_flush(e, &s->writer);
	return used;
}

static void take_buffer(struct record_stream *s, unsigned lane, const uint64_t *word, uint32_t used,
	const struct rec_buffer *b)
{
	const uint64_t *end = word + used;
	struct trace_encoder *e = s->encoders[lane];

	if (e)
		trace_encode_mark(e, e->seq, stream_time(s, b->time_first));
	while (word < end) {
		e = s->encoders[lane];
		if (e) {
			trace_encode_packed(e, &word, end);
			if (trace_encoder_full(e)) {
				trace_encoder_flush(e, &s->writer);
				continue;
			}
			if (word == end)
				break;
		}
		size_t n = take_special(s, lane, word, end);
		if (!n) {
			damage(s);
			return;
		}
		word += n;
	}
	e = s->encoders[lane];
	if (e && stream_time(s, b->time_last) > e->time_ns && e->ops > e->ops_begin)
		e->time_ns = stream_time(s, b->time_last);
}

_Static_assert(
	REC_TAG_READ == TRACE_RUN_READ &&
		REC_TAG_READ_WRITE == (TRACE_RUN_READ | TRACE_RUN_WRITE) &&
		REC_TAG_WRITE == (TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST) &&
		REC_TAG_WRITE_READ == (TRACE_RUN_READ | TRACE_RUN_WRITE | TRACE_RUN_WRITE_FIRST),
	"words are packed runs");

/* ---- workers ---- */

static struct rec_lane *lane_of(const struct record_stream *s, unsigned i)
{
	return (struct rec_lane *)((uintptr_t)s->shared + REC_SHARED_SIZE +
				   (uint64_t)i * REC_LANE_SIZE);
}

static const uint64_t *buffer_of(const struct record_stream *s, unsigned lane, uint32_t number)
{
	return (const uint64_t *)((uintptr_t)s->shared + REC_BUFFER_OFFSET) +
	       ((uint64_t)lane * REC_BUFFERS + number % REC_BUFFERS) * REC_WORDS;
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static bool drain_lane(struct record_stream *s, unsigned i)
{
	struct rec_lane *l = lane_of(s, i);
	uint32_t tail = __atomic_load_n(&l->tail, __ATOMIC_RELAXED);
	uint32_t head = __atomic_load_n(&l->head, __ATOMIC_ACQUIRE);
	bool any = false;

	if (head - tail > REC_BUFFERS) {
		damage(s);
		return false;
	}
	while (tail != head) {
		struct rec_buffer b = l->buffers[tail % REC_BUFFERS];

		take_buffer(
			s, i, buffer_of(s, i, tail), b.used < REC_WORDS ? b.used : REC_WORDS, &b);
		tail++;
		__atomic_store_n(&l->tail, tail, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&l->waiting, __ATOMIC_SEQ_CST))
			futex(&l->tail, FUTEX_WAKE, 1, NULL);
		any = true;
	}
	return any;
}

/* What the thread had not handed over when the process ended. */
static void drain_rest(struct record_stream *s, unsigned i)
{
	struct rec_lane *l = lane_of(s, i);
	uint32_t head = __atomic_load_n(&l->head, __ATOMIC_ACQUIRE);
	uintptr_t cur =
		(uintptr_t)__atomic_load_n(&l->cur, __ATOMIC_ACQUIRE) - (uintptr_t)s->shared->base;
	uintptr_t begin = (uintptr_t)buffer_of(s, i, head) - (uintptr_t)s->shared;
	struct rec_buffer b = l->buffers[head % REC_BUFFERS];

	b.time_last = 0;
	if (l->thread && cur + sizeof(uint64_t) > begin &&
		cur < begin + REC_WORDS * sizeof(uint64_t))
		take_buffer(s, i, buffer_of(s, i, head),
			(uint32_t)((cur + sizeof(uint64_t) - begin) / sizeof(uint64_t)), &b);
	close_encoder(s, i);
}

/* The recorder's closing words, by nobody's thread: what was counted but not captured. */
static void write_end(struct record_stream *s)
{
	struct trace_encoder e;
	struct trace_event ev = {
		.kind = TRACE_EV_STATISTICS, .nr_args = 1, .time_ns = s->last_ns, .text = ""};

	if (!trace_encoder_init(&e, 0, s->last_seq, s->last_ns)) {
		s->instructions = s->shared->instructions;
		ev.seq = e.seq + 1;
		ev.args[0] = s->instructions;
		trace_encode_event(&e, &ev);
		ev.kind = TRACE_EV_NOT_CAPTURED;
		for (unsigned i = 0; i < REC_COUNTERS && s->shared->counters[i].name[0]; i++) {
			char name[sizeof(s->shared->counters[i].name) + 1] = {0};
			memcpy(name, s->shared->counters[i].name, sizeof(name) - 1);
			ev.seq = e.seq + 1;
			ev.args[0] = s->shared->counters[i].count;
			ev.text = name;
			trace_encode_event(&e, &ev);
		}
		if (s->shared->lost_threads) {
			ev.seq = e.seq + 1;
			ev.args[0] = s->shared->lost_threads;
			ev.text = "threads beyond 4096";
			trace_encode_event(&e, &ev);
		}
		trace_encoder_flush(&e, &s->writer);
		s->last_seq = e.seq;
		trace_encoder_free(&e);
	}
	s->error = -trace_writer_finish(&s->writer, !s->damaged, s->last_seq, s->last_ns);
	__atomic_store_n(&s->finished, 1, __ATOMIC_RELEASE);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct record_stream *s = w->stream;
	struct rec_doorbell *bell = &s->shared->doorbells[w->index];
	const struct timespec patience = {0, 200000000};

	for (;;) {
		uint32_t rings = __atomic_load_n(&bell->rings, __ATOMIC_SEQ_CST);
		bool ended = __atomic_load_n(&s->ended, __ATOMIC_ACQUIRE) ||
			     __atomic_load_n(&s->shared->done, __ATOMIC_ACQUIRE);
		unsigned high = __atomic_load_n(&s->shared->lanes_high, __ATOMIC_ACQUIRE);
		bool any = false;

		for (unsigned i = w->index; i < high && i < REC_LANES; i += s->nr_workers)
			any |= drain_lane(s, i);
		if (any)
			continue;
		if (ended)
			break;
		__atomic_store_n(&bell->sleeping, 1, __ATOMIC_SEQ_CST);
		futex(&bell->rings, FUTEX_WAIT, rings, &patience);
		__atomic_store_n(&bell->sleeping, 0, __ATOMIC_SEQ_CST);
	}
	for (unsigned i = w->index; i < REC_LANES && i < s->shared->lanes_high; i += s->nr_workers)
		drain_rest(s, i);
	if (__atomic_sub_fetch(&s->running, 1, __ATOMIC_ACQ_REL) == 0)
		write_end(s);
	return NULL;
}

/* ---- a stream's life ---- */

/* Program and arguments, from the command line of QEMU: … -0 ARGV0 PATH ARGS… */
static int read_command_line(struct record_stream *s, const struct record_birth *b)
{
	char name[64];
	size_t len = 0, room = 0;

	snprintf(name, sizeof(name), "/proc/%d/cmdline", (int)b->pid);
	FILE *f = fopen(name, "re");
	if (!f)
		return -errno;
	for (;;) {
		if (room - len < 65536) {
			room = room ? 2 * room : 131072;
			char *more = realloc(s->command_line, room);
			if (!more)
				break;
			s->command_line = more;
		}
		size_t n = fread(s->command_line + len, 1, room - len - 1, f);
		if (!n)
			break;
		len += n;
	}
	fclose(f);
	if (!s->command_line || !len)
		return -ESRCH;
	s->command_line[len] = 0;
	unsigned nr = 0;
	for (size_t i = 0; i < len; i += strlen(s->command_line + i) + 1)
		nr++;
	s->argv = calloc(nr + 1, sizeof(*s->argv));
	if (!s->argv)
		return -ENOMEM;
	char *p = s->command_line;
	for (unsigned i = 0; i < nr; i++, p += strlen(p) + 1) {
		if (i + 1 == b->hello.skip)
			s->argv[s->argc++] = p;
		if (i == b->hello.skip)
			s->program = strdup(p);
		if (i > b->hello.skip && s->argc)
			s->argv[s->argc++] = p;
	}
	return s->program ? 0 : -EINVAL;
}

int record_stream_start(
	struct record_stream **out, struct rec_shared *shared, const struct record_birth *b)
{
	struct record_stream *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	if (!s)
		return rc;
	pthread_mutex_init(&s->lock, NULL);
	s->encoders = calloc(REC_LANES, sizeof(struct trace_encoder *));
	s->pidfd = (int)syscall(SYS_pidfd_open, b->pid, 0);
	if (s->pidfd < 0 || !s->encoders) {
		rc = s->encoders ? -errno : -ENOMEM;
		goto failed;
	}
	s->shared = shared;
	s->start_ns = b->start_ns;
	s->number = b->number;
	s->parent = b->parent ? b->parent->number : 0;
	s->pid = b->pid;
	s->how = (enum rec_how)b->hello.how;
	rc = read_command_line(s, b);
	if (rc)
		goto failed;
	rc = -ENOMEM;
	if (asprintf(&s->path, "%s.%u", b->base_path, b->number) < 0) {
		s->path = NULL;
		goto failed;
	}
	struct trace_header h = {
		.machine = b->hello.machine,
		.page_shift = 12,
		.flags = s->how == REC_FORK    ? TRACE_F_FORKED
			 : s->how == REC_START ? 0
					       : TRACE_F_EXECED,
		.pid = (uint32_t)b->pid,
		.parent_pid = b->parent ? (uint32_t)b->parent->pid : 0,
		.stream = b->number,
		.parent_stream = s->parent,
		.parent_seq = b->hello.parent_seq,
		.start_realtime_ns = b->real_ns,
		.start_ns = b->start_ns - b->recording_ns,
		.merge = 1,
		.source = b->source,
		.program = s->program,
		.argc = s->argc,
		.argv = (const char *const *)s->argv,
	};
	rc = trace_writer_create(&s->writer, s->path, &h);
	if (rc)
		goto failed;
	s->nr_workers = shared->workers;
	s->running = s->nr_workers;
	for (unsigned i = 0; i < s->nr_workers; i++) {
		s->workers[i] = (struct worker){.stream = s, .index = i};
		rc = -pthread_create(&s->workers[i].thread, NULL, work, &s->workers[i]);
		if (!rc)
			continue;
		/* Those that run find the stream ended; the last of them must still be the last. */
		__atomic_sub_fetch(&s->running, s->nr_workers - i, __ATOMIC_ACQ_REL);
		s->nr_workers = i;
		record_stream_end(s);
		while (i-- > 0)
			pthread_join(s->workers[i].thread, NULL);
		if (!s->nr_workers)
			trace_writer_finish(&s->writer, false, 0, 0);
		goto failed;
	}
	*out = s;
	return 0;
failed:
	s->shared = NULL;
	record_stream_free(s);
	return rc;
}

pid_t record_stream_pid(const struct record_stream *s)
{
	return s->pid;
}

int record_stream_pidfd(const struct record_stream *s)
{
	return s->pidfd;
}

void record_stream_end(struct record_stream *s)
{
	if (s->pidfd < 0)
		return;
	close(s->pidfd);
	s->pidfd = -1;
	__atomic_store_n(&s->ended, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < s->nr_workers; i++) {
		__atomic_fetch_add(&s->shared->doorbells[i].rings, 1, __ATOMIC_SEQ_CST);
		futex(&s->shared->doorbells[i].rings, FUTEX_WAKE, 1, NULL);
	}
}

void record_stream_status(struct record_stream *s, int status)
{
	if (WIFSIGNALED(status) && !__atomic_load_n(&s->saw_exec, __ATOMIC_ACQUIRE))
		snprintf(s->end, sizeof(s->end), "signal %d", WTERMSIG(status));
}

void record_stream_join(struct record_stream *s)
{
	if (s->joined)
		return;
	for (unsigned i = 0; i < s->nr_workers; i++)
		pthread_join(s->workers[i].thread, NULL);
	s->joined = true;
	if (s->shared)
		munmap(s->shared, REC_SIZE);
	s->shared = NULL;
	free(s->encoders);
	s->encoders = NULL;
}

void record_stream_reap(struct record_stream *s)
{
	if (__atomic_load_n(&s->finished, __ATOMIC_ACQUIRE)) {
		record_stream_join(s);
		if (s->pidfd >= 0)
			close(s->pidfd);
		s->pidfd = -1;
	}
}

void record_stream_free(struct record_stream *s)
{
	if (s->pidfd >= 0)
		close(s->pidfd);
	pthread_mutex_destroy(&s->lock);
	free(s->encoders);
	free(s->path);
	free(s->program);
	free(s->argv);
	free(s->command_line);
	free(s);
}

void record_stream_describe(struct record_stream *s, struct trace_stream_info *info)
{
	static char *const how[] = {"start", "fork", "exec", "exec failed"};

	info->path = s->path;
	info->program = s->program;
	info->how = how[s->how & 3];
	info->stream = s->number;
	info->parent_stream = s->parent;
	info->pid = (uint32_t)s->pid;
	if (!__atomic_load_n(&s->finished, __ATOMIC_ACQUIRE))
		return;
	if (s->damaged)
		strcpy(s->end, "damaged");
	else if (s->saw_exec)
		strcpy(s->end, "exec");
	else if (s->saw_exit)
		snprintf(s->end, sizeof(s->end), "exit %" PRIu64, s->exit_status & 255);
	else if (!s->end[0])
		strcpy(s->end, "unknown");
	info->end = s->end;
}

void record_stream_totals(struct record_stream *s, struct record_totals *t)
{
	bool finished = __atomic_load_n(&s->finished, __ATOMIC_ACQUIRE);

	t->streams++;
	t->started |= s->number == 1 && s->writer.chunks > 0 && (!finished || s->last_seq > 1);
	t->running += !finished;
	t->damaged += __atomic_load_n(&s->damaged, __ATOMIC_RELAXED);
	/* While the workers write these are approximate, for progress only. */
	t->accesses += __atomic_load_n(&s->writer.accesses, __ATOMIC_RELAXED);
	t->runs += __atomic_load_n(&s->writer.runs, __ATOMIC_RELAXED);
	t->events += __atomic_load_n(&s->writer.events, __ATOMIC_RELAXED);
	t->bytes += __atomic_load_n(&s->writer.offset, __ATOMIC_RELAXED);
	if (finished) {
		t->instructions += s->instructions;
		if (s->error && !t->error)
			t->error = s->error;
	}
}
