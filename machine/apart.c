// SPDX-License-Identifier: MIT
/*
 * The state is copied once, into a file in memory that is then mapped privately in its place. What is written
 * afterwards goes to copies of single pages, which the kernel throws away on demand. Going back costs as much as pages
 * were written, some 2 us each, where a fork costs a millisecond. What each run writes is much the same: such pages stay,
 * and are copied from the file again, which costs a tenth of two faults.
 *
 * The address sanitizer keeps a shadow of memory that would have to go back too: there, each run is a process of its own.
 */
#define _GNU_SOURCE /* memfd_create() */
#include "apart.h"

#include "base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)

/*
 * Shared with children, and not private: apart_begin() passes it by. How much of it is in use stands in its beginning, for it
 * must not go back either: memory is asked for in the middle of runs, too.
 */
#define KEPT_BYTES (UINT64_C(16) << 30)
#define KEPT_HEAD  64u
static char *kept;

void *kept_alloc(size_t bytes)
{
	size_t *used;

	bytes = (bytes + 63) & ~(size_t)63;
	if (!kept) {
		void *p = mmap(NULL, KEPT_BYTES, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return NULL;
		kept = p;
		*(size_t *)p = KEPT_HEAD;
	}
	used = (size_t *)kept;
	if (bytes > KEPT_BYTES - *used)
		return NULL;
	*used += bytes;
	return kept + *used - bytes;
}

void kept_release(void)
{
	if (kept)
		munmap(kept, KEPT_BYTES);
	kept = NULL;
}

#if defined(__SANITIZE_ADDRESS__)

int apart_begin(void)
{
	return 0;
}

void apart_run(void (*fn)(void *arg), void *arg)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid) {
		fn(arg);
		fflush(NULL);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

void apart_end(void)
{
}

#else

struct piece {
	char *start;
	size_t bytes, offset; /* in the file */
	bool anonymous;
};

#define MAX_PIECES 256

/* Pages that runs have written, by the kernel's account of private pages. They stay. */
#define MAX_RANGES 1024
struct written {
	unsigned nr;
	struct {
		unsigned piece;
		size_t from, to; /* bytes of it */
	} range[MAX_RANGES];     /* ascending, apart */
};

static struct {
	struct piece
		*pieces; /* kept, as the three below: they are used while memory changes under us */
	char *maps;
	uint64_t *pagemap;
	struct written *written;
	unsigned nr;
	int file;
	const char *saved; /* the file */
	size_t saved_bytes;
	void *brk;
} state;

#define MAPS_BYTES   (256u << 10)
#define PAGEMAP_STEP 4096u

static ssize_t read_all(const char *path, char *to, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	while (done < room && (n = read(fd, to + done, room - done)) > 0)
		done += (size_t)n;
	close(fd);
	return n < 0 || done == room ? -1 : (ssize_t)done;
}

/* "start-end rw-p offset dev inode   path": no stdio, which allocates. */
static bool parse_line(const char *line, const char *end, struct piece *p)
{
	char *at;
	const char *path = memchr(line, '[', (size_t)(end - line));
	unsigned long start = strtoul(line, &at, 16), stop = strtoul(at + 1, &at, 16);

	if (strncmp(at, " rw", 3) || at[4] != 'p' || (path && !strncmp(path, "[stack]", 7)))
		return false;
	at += 6;
	strtoul(at, &at, 16);
	at += strcspn(at + 1, " ") + 1;             /* the device */
	*p = (struct piece){.start = (char *)start, // NOLINT(performance-no-int-to-ptr)
		.bytes = stop - start,
		.anonymous = !strtoul(at, NULL, 10)};
	return true;
}

static bool find_pieces(size_t *total)
{
	ssize_t n = read_all("/proc/self/maps", state.maps, MAPS_BYTES);

	if (n < 0)
		return false;
	*total = 0;
	state.nr = 0;
	for (char *line = state.maps, *end; line < state.maps + n; line = end + 1) {
		struct piece *p = &state.pieces[state.nr];

		end = memchr(line, '\n', (size_t)(state.maps + n - line));
		if (!end)
			return false;
		*end = 0;
		if (!parse_line(line, end, p))
			continue;
		p->offset = *total;
		*total += p->bytes;
		if (++state.nr == MAX_PIECES)
			return false;
	}
	return true;
}

/* Pages of anonymous memory that were never written need no copy. */
static bool save(const struct piece *p, int pagemap)
{
	for (size_t o = 0; o < p->bytes; o += PAGEMAP_STEP * PAGE) {
		size_t pages = pf_min((p->bytes - o) / PAGE, (uint64_t)PAGEMAP_STEP);
		uint64_t first = ((uintptr_t)p->start + o) / PAGE;

		if (pread(pagemap, state.pagemap, pages * 8, (off_t)(first * 8)) !=
			(ssize_t)(pages * 8))
			return false;
		for (size_t i = 0; i < pages; i++) {
			/* Bits 63 and 62: present, swapped (Documentation/admin-guide/mm/pagemap). */
			if (p->anonymous && !(state.pagemap[i] >> 62))
				continue;
			if (pwrite(state.file, p->start + o + i * PAGE, PAGE,
				    (off_t)(p->offset + o + i * PAGE)) != (ssize_t)PAGE)
				return false;
		}
	}
	return true;
}

static bool map(const struct piece *p)
{
	return mmap(p->start, p->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, state.file,
		       (off_t)p->offset) != MAP_FAILED;
}

static bool map_saved(size_t bytes)
{
	void *saved = mmap(NULL, bytes, PROT_READ, MAP_SHARED, state.file, 0);

	if (saved == MAP_FAILED)
		return false;
	state.saved = saved;
	state.saved_bytes = bytes;
	return true;
}

int apart_begin(void)
{
	size_t total;
	int pagemap;
	bool ok;

	if (!state.pieces) {
		state.pieces = kept_alloc(MAX_PIECES * sizeof(*state.pieces));
		state.maps = kept_alloc(MAPS_BYTES);
		state.pagemap = kept_alloc(PAGEMAP_STEP * 8);
		state.written = kept_alloc(sizeof(*state.written));
		if (!state.pieces || !state.maps || !state.pagemap || !state.written)
			return ENOMEM;
		/* What malloc maps or trims in a run would be lost: it is to take all from the heap, and keep it. */
		mallopt(M_MMAP_THRESHOLD, 1 << 30);
		mallopt(M_TRIM_THRESHOLD, INT32_MAX);
	}
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return errno;
	state.written->nr = 0;
	state.file = memfd_create("apart", MFD_CLOEXEC);
	state.brk = sbrk(0);
	ok = state.file >= 0 && find_pieces(&total) && !ftruncate(state.file, (off_t)total);
	/* State is saved, too: it is to be whole. */
	ok = ok && map_saved(total);
	for (unsigned i = 0; ok && i < state.nr; i++)
		ok = save(&state.pieces[i], pagemap);
	close(pagemap);
	for (unsigned i = 0; ok && i < state.nr; i++)
		ok = map(&state.pieces[i]);
	return ok ? 0 : errno ? errno : EIO;
}

/* In ascending order. Ranges that are close become one. */
static bool add_written(struct written *w, unsigned piece, size_t at)
{
	const size_t close = 8 * PAGE;

	if (w->nr && w->range[w->nr - 1].piece == piece && at <= w->range[w->nr - 1].to + close) {
		w->range[w->nr - 1].to = at + PAGE;
		return true;
	}
	if (w->nr == MAX_RANGES)
		return false;
	w->range[w->nr].piece = piece;
	w->range[w->nr].from = at;
	w->range[w->nr++].to = at + PAGE;
	return true;
}

/* All pages that are private now, those that stayed among them; false: not all were found. */
static bool find_written(
	struct written *w, const struct piece *pieces, unsigned nr, uint64_t *entries)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool all = pagemap >= 0;

	w->nr = 0;
	for (unsigned i = 0; i < nr && all; i++)
		for (size_t o = 0; o < pieces[i].bytes && all; o += PAGEMAP_STEP * PAGE) {
			size_t pages = pf_min((pieces[i].bytes - o) / PAGE, (uint64_t)PAGEMAP_STEP);
			uint64_t first = ((uintptr_t)pieces[i].start + o) / PAGE;

			all = pread(pagemap, entries, pages * 8, (off_t)(first * 8)) ==
			      (ssize_t)(pages * 8);
			/* Bits 63 and 62: present, swapped; 61: of a file, or shared. */
			for (size_t k = 0; k < pages && all; k++)
				if (entries[k] >> 62 && !(entries[k] >> 61 & 1))
					all = add_written(w, i, o + k * PAGE);
		}
	if (pagemap >= 0)
		close(pagemap);
	return all;
}

static void throw_away(char *start, size_t bytes)
{
	/* What was there at the beginning is there still: neither the library nor the machine unmaps in a run. */
	if (bytes && madvise(start, bytes, MADV_DONTNEED))
		abort();
}

static long faults(void)
{
	struct rusage now;

	getrusage(RUSAGE_SELF, &now);
	return now.ru_minflt + now.ru_majflt;
}

void apart_run(void (*fn)(void *arg), void *arg)
{
	/* State itself goes back, too. */
	const struct piece *pieces = state.pieces;
	const char *const saved = state.saved;
	struct written *const written = state.written;
	uint64_t *const pagemap = state.pagemap;
	const unsigned nr = state.nr;
	void *const brk_before = state.brk;
	const long before = faults();

	fn(arg);
	/* No page becomes private without a fault. */
	if (faults() != before && !find_written(written, pieces, nr, pagemap)) {
		for (unsigned i = 0; i < nr; i++)
			throw_away(pieces[i].start, pieces[i].bytes);
		written->nr = 0;
	}
	for (unsigned k = 0; k < written->nr; k++) {
		const struct piece *p = &pieces[written->range[k].piece];
		const size_t from = written->range[k].from;

		memcpy(p->start + from, saved + p->offset + from, written->range[k].to - from);
	}
	/* libc's idea of where the heap ends is that of before. */
	syscall(SYS_brk, brk_before);
}

/* Memory stays mapped from the file, which lives for as long. */
void apart_end(void)
{
	close(state.file);
	if (state.saved)
		munmap((void *)state.saved, state.saved_bytes);
	memset(&state, 0, sizeof(state));
}

#endif
