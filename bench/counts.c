// SPDX-License-Identifier: MIT
/*
 * Exchanges and stores per page. Counting them would slow what is timed, so a second program does it: the
 * same sources with the counting library, which says a line a row. They do not depend on the size.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <string.h>

#define SIZE_MIB 64
#define MAX_ROWS 128

struct counted {
	char name[32], kase[64];
	double xchg, store;
};

static struct counted counted[MAX_ROWS];
static unsigned nr;

void counts_print(const char *name, const char *kase, const struct ours_cost *cost)
{
	printf("%s|%s|%.17g|%.17g\n", name, kase, cost->xchg, cost->store);
}

bool counts_ask(const char *self)
{
	char command[4200];
	FILE *f;
	bool ok;

	snprintf(command, sizeof(command), "'%.4000s-count' --counts --size %d", self, SIZE_MIB);
	f = popen(command, "re");
	if (!f)
		return false;
	while (nr < MAX_ROWS &&
		fscanf(f, "%31[^|]|%63[^|]|%lf|%lf\n", counted[nr].name, counted[nr].kase,
			&counted[nr].xchg, &counted[nr].store) == 4)
		nr++;
	ok = !pclose(f) && nr;
	if (!ok)
		fprintf(stderr,
			"pagefold-bench: '%s-count' did not count; exchanges and stores are "
			"missing\n",
			self);
	return ok;
}

bool counts_of(const char *name, const char *kase, double *xchg, double *store)
{
	for (unsigned i = 0; i < nr; i++) {
		if (strcmp(counted[i].name, name) || strcmp(counted[i].kase, kase))
			continue;
		*xchg = counted[i].xchg;
		*store = counted[i].store;
		return true;
	}
	return false;
}
