// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "cli/fuzz_has.h"

#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/fuzz_call.h"

uint64_t fuzz_has_min_addr(void)
{
	FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "r");
	uint64_t min = 65536;

	if (f && fscanf(f, "%" SCNu64, &min) != 1)
		min = 65536;
	if (f)
		fclose(f);
	return min;
}

/* The first line of /proc/swaps is its heading. */
bool fuzz_has_swap(void)
{
	FILE *f = fopen("/proc/swaps", "r");
	char line[256];
	unsigned lines = 0;

	while (f && fgets(line, sizeof(line), f))
		lines++;
	if (f)
		fclose(f);
	return lines > 1;
}

bool fuzz_has_ksm_at_rest(void)
{
	FILE *f = fopen("/sys/kernel/mm/ksm/run", "r");
	unsigned run = 1;

	if (f && fscanf(f, "%u", &run) != 1)
		run = 1;
	if (f)
		fclose(f);
	return !run;
}

/* The word in brackets is the one that holds. */
static bool holds(const char *path, const char *word)
{
	FILE *f = fopen(path, "r");
	char line[128] = "";
	bool yes = f && fgets(line, sizeof(line), f) && strstr(line, word);

	if (f)
		fclose(f);
	return yes;
}

bool fuzz_has_hints(void)
{
	glob_t sizes;
	bool yes =
		!glob("/sys/kernel/mm/transparent_hugepage/hugepages-*/*enabled", 0, NULL, &sizes);

	for (size_t i = 0; yes && i < sizes.gl_pathc; i++)
		yes = strstr(sizes.gl_pathv[i], "-2048kB/") || holds(sizes.gl_pathv[i], "[never]");
	globfree(&sizes);
	return yes;
}

/* ---- files of a disk ---- */

static const char *disk;

static int new_file(const char *dir, uint64_t size)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/pagefold-XXXXXX", dir) >= (int)sizeof(path))
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -1;
	unlink(path);
	/* What is read is read alone, and no page of it is a sign to read on. */
	if (!ftruncate(fd, (off_t)size) && !posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) &&
		fuzz_disk_read(fd, size))
		return fd;
	close(fd);
	return -1;
}

bool fuzz_disk_read(int fd, uint64_t size)
{
	char page[FUZZ_PAGE];

	for (uint64_t at = 0; at < size; at += FUZZ_PAGE)
		if (pread(fd, page, FUZZ_PAGE, (off_t)at) <= 0)
			return false;
	return true;
}

int fuzz_disk_file(uint64_t size)
{
	return disk ? new_file(disk, size) : -1;
}

/* A file there is no shared memory, may be executed, and have holes. */
static bool is_disk(const char *dir)
{
	const size_t size = 2 * FUZZ_PAGE;
	const int fd = dir ? new_file(dir, size) : -1;
	char *p = fd < 0 ? MAP_FAILED
			 : mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd, 0);
	bool yes = false;

	if (p != MAP_FAILED) {
		yes = !fuzz_uffd_takes(p, size) && !madvise(p, FUZZ_PAGE, MADV_REMOVE);
		munmap(p, size);
	}
	if (fd >= 0)
		close(fd);
	return yes;
}

bool fuzz_has_disk(void)
{
	const char *const dirs[] = {getenv("TMPDIR"), "/var/tmp", "."};

	for (size_t i = 0; i < PF_ARRAY_SIZE(dirs) && !disk; i++)
		if (is_disk(dirs[i]))
			disk = dirs[i];
	return disk;
}
