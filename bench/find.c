// SPDX-License-Identifier: MIT
/*
 * Finding the mapping of an address among very many. The peer is asked by PROCMAP_QUERY, which does nothing else; its time has
 * the entry into the kernel in it.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/map_query.h"

static bool query(int fd, const char *base, struct samples *s, const char **why)
{
	uint64_t rng = FIND_SEED;

	for (unsigned r = 0; r < RUNS; r++) {
		double t = now_ns();

		for (unsigned i = 0; i < FINDS; i++) {
			struct map_query q = {.size = sizeof(q),
				.query_addr = (uintptr_t)base + find_next(&rng) * FIND_STRIDE};

			if (ioctl(fd, MAP_QUERY, &q)) {
				*why = strerror(errno);
				return false;
			}
		}
		s->ns[r] = (now_ns() - t) / FINDS;
	}
	return true;
}

bool find_linux(struct samples *s, const char **why)
{
	const uint64_t bytes = FIND_VMAS * FIND_STRIDE;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char *base = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok = fd >= 0 && base != MAP_FAILED;

	*why = "no /proc/self/maps, or no addresses";
	if (ok && !max_maps(FIND_VMAS + 1000)) {
		*why = "no permission to have so many mappings";
		ok = false;
	}
	for (unsigned i = 0; ok && i < FIND_VMAS; i++) {
		if (munmap(base + i * FIND_STRIDE + FIND_STRIDE / 2, FIND_STRIDE / 2)) {
			*why = strerror(errno);
			ok = false;
		}
	}
	ok = ok && query(fd, base, s, why);
	if (base != MAP_FAILED)
		munmap(base, bytes);
	if (fd >= 0)
		close(fd);
	return ok;
}
