// SPDX-License-Identifier: MIT
/*
 * Random programs of memory system calls, accesses, forks, exits and migrations between CPUs, through
 * the library on the judging machine beside the model: the same results, mappings and bytes after every
 * step, no rule broken, everything given back at the end. In some of them an allocation fails.
 *
 * A program that fails is printed as a scenario.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/run.h"

#define NR      64 /* pages of the window */
#define STEPS   120
#define MAX_PID 4

struct program {
	struct run_world w;
	uint64_t rng, base, page;
	unsigned pid;
	char *text; /* what was done, as a scenario */
	size_t used, room;
	const char *head;
};

static uint64_t draw(struct program *g, uint64_t n)
{
	g->rng ^= g->rng << 13;
	g->rng ^= g->rng >> 7;
	g->rng ^= g->rng << 17;
	return (g->rng >> 11) % n;
}

static void note(struct program *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct program *g, const char *fmt, ...)
{
	va_list ap;

	if (g->room - g->used < 256) {
		g->room = g->room ? 2 * g->room : 16384;
		g->text = realloc(g->text, g->room);
		if (!g->text)
			abort();
	}
	va_start(ap, fmt);
	g->used += (size_t)vsnprintf(g->text + g->used, g->room - g->used, fmt, ap);
	va_end(ap);
}

static uint64_t an_address(struct program *g)
{
	return g->base + draw(g, NR) * g->page;
}

/* Lengths that are blocks, pages, and everything around. */
static uint64_t a_length(struct program *g)
{
	uint64_t block = g->w.env.block / g->page;

	switch (draw(g, 4)) {
	case 0:
		return block * (1 + draw(g, 2)) * g->page;
	case 1:
		return (1 + draw(g, 3)) * g->page;
	default:
		return (1 + draw(g, 24)) * g->page;
	}
}

static uint64_t a_protection(struct program *g)
{
	static const uint64_t p[] = {3, 3, 3, 3, 1, 1, 0, 7, 5};

	return p[draw(g, PF_ARRAY_SIZE(p))];
}

static bool inside(struct program *g, uint64_t va, uint64_t len)
{
	return va >= g->base && va + len <= g->base + NR * g->page;
}

static struct run_process *me(struct program *g)
{
	struct run_process *p = run_process(&g->w, g->pid);

	return p ? p : g->w.processes;
}

static void tell(
	struct program *g, struct run_process *p, const char *name, const uint64_t *a, unsigned n)
{
	note(g, "[pid %u] [cpu %u] %s(", p->pid, p->cpu, name);
	for (unsigned i = 0; i < n; i++)
		note(g, "%s0x%" PRIx64, i ? ", " : "", a[i]);
	note(g, ")");
}

/* Once, and if the failing allocation hit it, again. */
static bool do_call(struct program *g, struct run_process *p, enum sc_call_id id,
	const uint64_t a[6], unsigned n, unsigned child)
{
	struct run_world *w = &g->w;
	struct run_result r;

	for (;;) {
		struct run_snapshot *before =
			machine_counters.allocs < w->fail_at ? run_snapshot(w) : NULL;
		bool ok = run_syscall(w, p, id, a, n, -1, child, &r);

		if (!ok || !r.injected) {
			run_snapshot_free(before);
			if (ok && r.kind == SC_R_ERRNO)
				note(g, " = -1 %s\n", sc_errno_name(r.err));
			else if (ok)
				note(g, " = 0x%" PRIx64 "\n", r.value);
			return ok;
		}
		note(g, "  # fails for lack of memory, once: @fail %" PRIu64 "\n", w->fail_at);
		ok = run_check_failed(w, p, id, a, before, &r);
		run_snapshot_free(before);
		if (!ok)
			return false;
	}
}

static bool do_access(struct program *g, struct run_process *p)
{
	static const enum sc_call_id ids[] = {
		SC_LOAD, SC_LOAD, SC_STORE, SC_STORE, SC_STORE, SC_STORE, SC_TOUCH, SC_EXEC};
	static const char *const names[] = {
		"load", "load", "store", "store", "store", "store", "touch", "exec"};
	unsigned k = (unsigned)draw(g, PF_ARRAY_SIZE(ids));
	uint64_t a[6] = {an_address(g), a_length(g)};
	struct run_world *w = &g->w;
	struct run_result r;

	tell(g, p, names[k], a, 2);
	for (;;) {
		struct run_snapshot *before =
			machine_counters.allocs < w->fail_at ? run_snapshot(w) : NULL;
		bool ok = run_access_pages(w, p, ids[k], a[0], a[1] / g->page, &r);
		bool again = ok && r.injected;

		if (again)
			ok = run_check_failed(w, p, ids[k], a, before, &r);
		run_snapshot_free(before);
		if (ok && again)
			continue;
		note(g, "%s\n", !ok ? "" : r.kind == SC_R_SEGV ? " = SIGSEGV" : "");
		return ok;
	}
}

static bool step(struct program *g)
{
	static const uint64_t advice[] = {4, 4, 4, 4, 14, 15, 10, 11, 18, 19, 22, 23, 23};
	struct run_process *p = me(g);
	uint64_t what = draw(g, 100);
	uint64_t a[6] = {an_address(g), a_length(g)};

	if (!draw(g, 6))
		p->cpu = (unsigned)draw(g, 3);
	if (!draw(g, 5))
		g->pid = 1 + (unsigned)draw(g, MAX_PID);
	if (what < 45)
		return do_access(g, p);
	if (what < 57) {
		a[2] = a_protection(g);
		tell(g, p, "mprotect", a, 3);
		return do_call(g, p, SC_MPROTECT, a, 3, 0);
	}
	if (what < 69) {
		a[2] = advice[draw(g, PF_ARRAY_SIZE(advice))];
		tell(g, p, "madvise", a, 3);
		return do_call(g, p, SC_MADVISE, a, 3, 0);
	}
	if (what < 78) {
		if (!inside(g, a[0], a[1]))
			return true;
		a[2] = a_protection(g);
		a[3] = PF_MAP_PRIVATE | PF_MAP_ANONYMOUS |
		       (draw(g, 5) ? PF_MAP_FIXED : PF_MAP_FIXED_NOREPLACE);
		a[4] = UINT64_MAX;
		tell(g, p, "mmap", a, 4);
		g->used--;
		note(g, ", -1, 0)");
		return do_call(g, p, SC_MMAP, a, 6, 0);
	}
	if (what < 84) {
		tell(g, p, "munmap", a, 2);
		return do_call(g, p, SC_MUNMAP, a, 2, 0);
	}
	if (what < 94) {
		a[2] = draw(g, 2) ? a[1] : a_length(g);
		a[3] = draw(g, 4) ? PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED |
					    (draw(g, 6) ? 0 : PF_MREMAP_DONTUNMAP)
				  : 0;
		a[4] = an_address(g);
		if (!inside(g, a[4], a[2]) || !inside(g, a[0], a[2]))
			return true;
		tell(g, p, "mremap", a, 5);
		return do_call(g, p, SC_MREMAP, a, 5, 0);
	}
	for (unsigned child = 1; child <= MAX_PID && what < 98; child++) {
		if (!run_process(&g->w, child)) {
			note(g, "[pid %u] fork()", p->pid);
			return do_call(g, p, SC_FORK, a, 0, child);
		}
	}
	if (g->w.processes->next) {
		note(g, "[pid %u] exit_group(0)\n", p->pid);
		oracle_exit(g->w.oracle, p->pid);
		run_exit(&g->w, p);
	}
	return true;
}

static bool play(struct program *g)
{
	if (!run_world_start(&g->w))
		return false;
	g->page = g->w.env.page;
	/* Over the end of a leaf table, aligned to nothing. */
	g->base =
		(UINT64_C(1) << 30) + (g->page << g->w.cfg->fmt->pt->level_bits) - NR / 2 * g->page;
	g->pid = 1;
	const uint64_t a[6] = {g->base, NR * g->page, 3,
		PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED, UINT64_MAX};

	note(g,
		"%smmap(0x%" PRIx64 ", 0x%" PRIx64
		", PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)",
		g->head, a[0], a[1]);
	if (!do_call(g, me(g), SC_MMAP, a, 6, 0))
		return false;
	for (unsigned i = 1; i <= STEPS; i++) {
		g->w.line = i;
		if (!step(g) || !run_check(&g->w))
			return false;
	}
	return run_world_end(&g->w);
}

static bool program(const struct sc_file *file, const char *head, const struct pf_format *fmt,
	bool fold, uint64_t seed)
{
	const struct run_config cfg = {
		.file = file, .fmt = fmt, .fold = fold, .seed = seed, .late_walks = seed & 1};
	struct run_outcome out = {.verdict = RUN_OK};
	struct program g = {.rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1, .head = head};
	bool ok;

	g.w = (struct run_world){.cfg = &cfg, .out = &out, .watch_all = true};
	if (!(seed % 3))
		g.w.fail_at = 1 + draw(&g, 200);
	ok = play(&g);
	if (!ok)
		fprintf(stderr, "%s# on %s, folding %s, seed %" PRIu64 ":\n# %s\n",
			g.text ? g.text : "", fmt->pt->name, fold ? "on" : "off", seed,
			out.text ? out.text : "?");
	run_world_drop(&g.w);
	free(g.text);
	free(out.text);
	return ok;
}

static void programs(void **state)
{
	static const char *const heads[] = {
		"@cpus 3\n@memory 16M\n@thp 1B=always\n",
		"@cpus 3\n@memory 16M\n@thp 16P=always 1B=always 4P=madvise\n",
		"@cpus 3\n@memory 16M\n@thp 4B=madvise 1B=inherit 32P=always\n",
		"@cpus 3\n@memory 16M\n",
	};
	static const char *const arm[] = {
		"", "bbm0", "bbml1", "bbml2", "no-haf", "haf bbm0", "no-tlbirange no-ttl"};
	const char *n = getenv("PF_PROGRAMS"), *first = getenv("PF_FIRST");
	uint64_t count = n ? strtoull(n, NULL, 0) : 24, from = first ? strtoull(first, NULL, 0) : 1;
	unsigned failed = 0;

	(void)state;
	for (uint64_t seed = from; seed < from + count; seed++) {
		const char *head = heads[seed % PF_ARRAY_SIZE(heads)];
		struct sc_error err;
		struct sc_file *file = sc_parse("program", head, strlen(head), &err);

		assert_non_null(file);
		for (const struct pf_format *const *f = pf_formats; *f; f++) {
			bool is_arm = !strncmp((*f)->pt->name, "arm64", 5);

			file->settings.features = is_arm ? arm[seed % PF_ARRAY_SIZE(arm)] : "";
			failed += !program(file, head, *f, seed % 5, seed);
		}
		sc_file_free(file);
	}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(programs)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
