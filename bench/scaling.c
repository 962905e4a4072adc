// SPDX-License-Identifier: MIT
/*
 * Rows with threads. The library of all other rows is for one thread, so another program measures them (threads.c).
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "bench_threads.h"

bool threads_rows(const char *self, bool no_peer,
	void (*row)(void *ctx, const char *name, const char *kase, double ours, double peer,
		double scaling, double peer_scaling),
	void *ctx)
{
	char command[4200], name[32], kase[64];
	double ours, peer, one = 0, peer_one = 0;
	unsigned threads, nr = 0;
	FILE *f;

	snprintf(
		command, sizeof(command), "'%.4000s-threads'%s", self, no_peer ? " --no-peer" : "");
	f = popen(command, "re");
	while (f && fscanf(f, THREADS_SCAN, name, kase, &threads, &ours, &peer) == 5) {
		char full[96];

		if (threads == 1) {
			one = ours;
			peer_one = peer;
		}
		snprintf(full, sizeof(full), "%s threads=%u", kase, threads);
		row(ctx, name, full, ours, peer, one / ours, peer < 0 ? -1 : peer_one / peer);
		nr++;
	}
	if (!f || pclose(f) || !nr) {
		fprintf(stderr, "pagefold-bench: '%s-threads' did not measure\n", self);
		return false;
	}
	return true;
}
