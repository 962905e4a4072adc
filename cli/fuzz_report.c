// SPDX-License-Identifier: MIT
/* A difference as a scenario, and made short. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fuzz.h"

/* ---- scenarios ---- */

char *fuzz_scenario(const struct fuzz_play *y, const struct fuzz *f)
{
	struct program g = *y->g;
	unsigned first, n = 0, nr = pf_min(g.nr, y->done);
	char *body, *text, why[1024];
	size_t size;

	/* What is told below a failure is for those who look at it. */
	snprintf(why, sizeof(why), "%s", y->why);
	*strchrnul(why, '\n') = 0;

	/* The heap's place comes first; what the host placed elsewhere goes at once; files of a disk are in memory. */
	g.ops = calloc((2 + PROGRAM_FILES * FUZZ_FILLS) * ((size_t)nr + 1), sizeof(*g.ops));
	if (!g.ops)
		abort();
	g.ops[n] = (struct op){.id = SC_BRK, .pid = 1};
	snprintf(g.ops[n++].result, sizeof(g.ops[0].result), "0x%llx",
		(unsigned long long)y->area.heap);
	if (y->area.uffd)
		n += fuzz_fills(&y->area, 1, 0, &g.ops[n]);
	for (unsigned i = 0; i < nr; i++) {
		const struct op *op = &y->g->ops[i];
		char away[32];

		g.ops[n++] = *op;
		snprintf(away, sizeof(away), "0x%llx", (unsigned long long)y->area.away);
		if ((op->id == SC_MMAP || op->id == SC_MREMAP) && !strcmp(op->result, away))
			g.ops[n++] = (struct op){.id = SC_MUNMAP,
				.pid = op->pid,
				.cpu = op->cpu,
				.a = {y->area.away, op->id == SC_MMAP ? op->a[1] : op->a[2]},
				.result = "0"};
		if (fuzz_empties_files(&y->area, op))
			n += fuzz_fills(&y->area, op->pid, op->cpu, &g.ops[n]);
	}
	g.nr = n;
	body = program_text(&g, &first);
	size = strlen(body) + (y->expect ? strlen(y->expect) : 0) + 2048;
	text = malloc(size);
	if (!text)
		abort();
	snprintf(text, size,
		"# %s and pagefold differ, with the machine's seed %llu%s:\n# %s\n%s%s",
		fuzz_host_name(f->host), (unsigned long long)g.seed,
		g.late_walks ? " and walkers that come late" : "", why, body,
		y->expect ? y->expect : "");
	free(body);
	free(g.ops);
	return text;
}

/* ---- shrinking ---- */

struct shrinking {
	struct fuzz f;
	bool broken;
};

/* Is the descriptor there that it is about? have: those that the process has, and has then. */
static bool has_uffd(const struct op *op, unsigned *have)
{
	const unsigned bit = 1u << op->a[program_uffd_arg(op->id)];

	if (op->id != SC_USERFAULTFD) {
		const bool there = *have & bit;

		if (op->id == SC_CLOSE)
			*have &= ~bit;
		return there;
	}
	if (*have & bit)
		return false;
	if (*op->result != '-')
		*have |= bit;
	return true;
}

/* Every call has a process, and may be asked of the host; there is no descriptor of a process that is not there. */
static bool sensible(const struct fuzz_area *area, const struct program *g)
{
	bool alive[PROGRAM_MAX_PID + 1] = {[1] = true};
	unsigned uffds[PROGRAM_MAX_PID + 1] = {0};
	unsigned living = 1;

	for (unsigned i = 0; i < g->nr; i++) {
		const struct op *op = &g->ops[i];

		if (!alive[op->pid] || !fuzz_safe(area, op))
			return false;
		if (op->id == SC_PROCESS_MADVISE &&
			(op->a[0] > PROGRAM_MAX_PID || !alive[op->a[0]]))
			return false;
		if (fuzz_is_uffd(op->id) && !has_uffd(op, &uffds[op->pid]))
			return false;
		if (op->id == SC_FORK) {
			if (alive[op->child])
				return false;
			alive[op->child] = true;
			uffds[op->child] = uffds[op->pid];
			living++;
		} else if (op->id == SC_EXIT_GROUP) {
			alive[op->pid] = false;
			living--;
		}
	}
	return living && g->nr;
}

static bool differs(void *ctx, const struct program *g, unsigned *done)
{
	struct shrinking *s = ctx;
	struct program copy;
	struct fuzz_play y;
	struct fuzz_area area;
	bool yes;

	if (s->broken || !fuzz_host_area(s->f.host, g->fmt, &area))
		return false;
	area.uffd = g->uffd;
	area.shares = g->shares;
	area.huge = g->huge;
	if (!sensible(&area, g))
		return false;
	program_copy(&copy, g);
	fuzz_play(&y, &s->f, &copy, 0, 0, g->fmt);
	yes = y.verdict == FUZZ_DIFFERENT;
	s->broken |= y.verdict == FUZZ_BROKEN;
	*done = y.done;
	fuzz_play_free(&y);
	program_free(&copy);
	return yes;
}

bool fuzz_shrink(const struct fuzz *f, struct program *g, unsigned seconds)
{
	struct shrinking s = {.f = *f};
	unsigned done;

	s.f.cover = NULL;
	s.f.every = 1;
	if (!differs(&s, g, &done))
		return false;
	program_shrink(g, seconds, differs, &s);
	return true;
}
