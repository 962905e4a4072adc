// SPDX-License-Identifier: MIT
/*
 * Steps handed from the process that decodes to those that play: a ring in memory that all of them map.
 * Each reader has a count of the steps it has done with; a slot is written again when all have passed it.
 */
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/atomic.h"
#include "cli/replay.h"

#define SLOTS 32u

struct slot {
	struct replay_step step;
	trace_word words[REPLAY_STEP_WORDS];
};

struct reader {
	sem_t filled; /* steps it has not begun */
	sem_t passed; /* slots that it has done with and the writer not yet counted */
	uint64_t at;
	uint32_t gone;
	pid_t pid;
};

struct replay_share {
	size_t bytes;
	unsigned readers;
	uint64_t put;
	struct slot slots[SLOTS];
	struct reader reader[];
};

struct replay_share *replay_share_new(unsigned readers)
{
	size_t bytes = sizeof(struct replay_share) + readers * sizeof(struct reader);
	struct replay_share *s =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	s->bytes = bytes;
	s->readers = readers;
	for (unsigned i = 0; i < readers; i++)
		if (sem_init(&s->reader[i].filled, 1, 0) ||
			sem_init(&s->reader[i].passed, 1, SLOTS)) {
			munmap(s, bytes);
			return NULL;
		}
	return s;
}

void replay_share_free(struct replay_share *s)
{
	if (s)
		munmap(s, s->bytes);
}

void replay_share_reader_is(struct replay_share *s, unsigned reader, pid_t pid)
{
	s->reader[reader].pid = pid;
}

static bool has_died(const struct reader *r)
{
	siginfo_t info = {0};

	return !waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

/* False: the reader is gone, by its own word or because its process has died. */
static bool wait_for_reader(struct reader *r)
{
	struct timespec until;

	for (;;) {
		if (pf_load_acquire(&r->gone))
			return false;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		if (!sem_timedwait(&r->passed, &until))
			return true;
		if (errno == ETIMEDOUT && has_died(r))
			pf_store_release(&r->gone, 1);
	}
}

void replay_share_put(struct replay_share *s, const struct replay_step *step)
{
	struct slot *slot = &s->slots[s->put % SLOTS];

	for (unsigned i = 0; i < s->readers; i++)
		wait_for_reader(&s->reader[i]);
	slot->step = *step;
	/* All readers see the ring at this address: they were forked from the process that made it. */
	slot->step.words = slot->words;
	if (step->nr_words)
		memcpy(slot->words, step->words, step->nr_words * sizeof(*step->words));
	s->put++;
	/* A semaphore's post and wait order what was written before with what is read after. */
	for (unsigned i = 0; i < s->readers; i++)
		sem_post(&s->reader[i].filled);
}

const struct replay_step *replay_share_get(struct replay_share *s, unsigned reader)
{
	struct reader *r = &s->reader[reader];

	/* Asking for the next says that the last one is done with. */
	if (r->at)
		sem_post(&r->passed);
	while (sem_wait(&r->filled) && errno == EINTR)
		;
	return &s->slots[r->at++ % SLOTS].step;
}

void replay_share_gone(struct replay_share *s, unsigned reader)
{
	pf_store_release(&s->reader[reader].gone, 1);
}
