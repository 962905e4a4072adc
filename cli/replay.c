// SPDX-License-Identifier: MIT
/* pagefold replay [OPTION]... RECORDING...: see replay.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/commands.h"
#include "cli/replay.h"

#define MAX_CONFIGS 64

static const char usage[] =
	"usage: pagefold replay [OPTION]... RECORDING...\n"
	"\n"
	"Plays recordings through the memory manager and TLB models, one pass for all "
	"configurations.\n"
	"\n"
	"  --config NAME=KEY=VALUE,...  a configuration (again for more); without any:\n"
	"                               4K, 64K (not folded) and 64K-folded\n"
	"  --tlb PRESET                 of the configurations that name none (neoverse-n1)\n"
	"  --layout linux|recorded      where memory lies: as Linux would place it, or as recorded "
	"(linux)\n"
	"  --list-tlbs                  the presets, with where their figures come from\n"
	"  --json                       results as JSON\n"
	"  --help\n"
	"\n";

struct options {
	const char *configs[MAX_CONFIGS];
	unsigned nr_configs;
	const char *tlb, *layout;
	bool json, list;
};

static int wrong_usage(const char *what, const char *value)
{
	fprintf(stderr, "pagefold replay: %s%s%s\n", what, value ? " " : "", value ? value : "");
	return 2;
}

/* 0, or an exit status + 1. Paths are left in argv[1...]. */
static int parse_options(int argc, char **argv, struct options *o, int *npaths)
{
	bool only_paths = false;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *v;

		if (only_paths || *a != '-' || !a[1]) {
			argv[1 + (*npaths)++] = argv[i];
		} else if (!strcmp(a, "--")) {
			only_paths = true;
		} else if (!strcmp(a, "--help")) {
			fputs(usage, stdout);
			replay_config_help(stdout);
			return 1;
		} else if (!strcmp(a, "--json")) {
			o->json = true;
		} else if (!strcmp(a, "--list-tlbs")) {
			o->list = true;
		} else if ((v = option_value(argv, argc, &i, "--config"))) {
			if (o->nr_configs == MAX_CONFIGS)
				return 1 + wrong_usage("more than 64 configurations", NULL);
			o->configs[o->nr_configs++] = v;
		} else if ((v = option_value(argv, argc, &i, "--tlb"))) {
			o->tlb = v;
		} else if ((v = option_value(argv, argc, &i, "--layout"))) {
			o->layout = v;
		} else {
			return 1 + wrong_usage("unknown option, or one without its value:", a);
		}
	}
	if (!*npaths && !o->list)
		return 1 + wrong_usage("no recording given", NULL);
	return 0;
}

/* 0 or 2. */
static int make_configs(struct options *o, struct replay_config *cfg)
{
	static const char *const defaults[] = {
		"4K=thp=none,fold=off", "64K=thp=64K,fold=off", "64K-folded=thp=64K,fold=on"};

	if (!o->nr_configs)
		for (unsigned i = 0; i < PF_ARRAY_SIZE(defaults); i++)
			o->configs[o->nr_configs++] = defaults[i];
	for (unsigned i = 0; i < o->nr_configs; i++) {
		char text[1024];
		const char *why, *eq = strchr(o->configs[i], '=');
		int name = eq ? (int)(eq - o->configs[i]) : (int)strlen(o->configs[i]);

		/* What the command line says for all comes first, so that a configuration can differ. */
		if (snprintf(text, sizeof(text), "%.*s=%s%s%s%s%s%s%s", name, o->configs[i],
			    o->tlb ? "tlb=" : "", o->tlb ? o->tlb : "", o->tlb ? "," : "",
			    o->layout ? "layout=" : "", o->layout ? o->layout : "",
			    o->layout ? "," : "", eq ? eq + 1 : "") >= (int)sizeof(text))
			return wrong_usage("too long:", o->configs[i]);
		replay_config_init(&cfg[i]);
		if (!cfg[i].fmt)
			return wrong_usage("the format arm64-4k is not built in", NULL);
		if (!replay_config_parse(&cfg[i], text, &why)) {
			fprintf(stderr, "pagefold replay: --config %s: %s\n", o->configs[i], why);
			return 2;
		}
		for (unsigned k = 0; k < i; k++)
			if (!strcmp(cfg[k].name, cfg[i].name))
				return wrong_usage("two configurations are called", cfg[i].name);
	}
	return 0;
}

/* ---- progress ---- */

struct progress {
	bool on, shown;
	uint64_t done, total;
	time_t began, last;
};

static void show_progress(struct progress *p, const struct replay_step *step)
{
	time_t now;

	p->done += step->accesses;
	now = time(NULL);
	if (now == p->last || now < p->began + 2)
		return;
	p->last = now;
	p->shown = true;
	fprintf(stderr, "\r%3.0f %% of %llu accesses",
		p->total ? 100.0 * (double)p->done / (double)p->total : 0,
		(unsigned long long)p->total);
}

static void end_progress(struct progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r%*s\r", 60, "");
}

/* ---- the pass ---- */

struct feed {
	struct replay_source *source;
	struct replay_step step;
	struct progress progress;
	char *error;
};

static const struct replay_step *next_of_source(void *ctx)
{
	struct feed *f = ctx;

	if (replay_source_next(f->source, &f->step, &f->error) < 0) {
		f->step = (struct replay_step){.kind = REPLAY_DONE};
		return NULL;
	}
	if (f->progress.on)
		show_progress(&f->progress, &f->step);
	return &f->step;
}

struct share_reader {
	struct replay_share *share;
	unsigned reader;
};

static const struct replay_step *next_of_share(void *ctx)
{
	struct share_reader *r = ctx;

	return replay_share_get(r->share, r->reader);
}

/* A process for each configuration; this one decodes. */
static bool play_many(
	struct feed *f, const struct replay_config *cfg, struct replay_result *res, unsigned nr)
{
	struct replay_share *share = replay_share_new(nr);
	pid_t pid[MAX_CONFIGS] = {0};
	bool ok = share;

	fflush(NULL);
	for (unsigned i = 0; ok && i < nr; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			struct share_reader r = {share, i};

			replay_play(&cfg[i], next_of_share, &r, &res[i]);
			replay_share_gone(share, i);
			_exit(0);
		}
		ok = pid[i] > 0;
		if (ok)
			replay_share_reader_is(share, i, pid[i]);
	}
	if (ok)
		for (const struct replay_step *s;
			(s = next_of_source(f)) && s->kind != REPLAY_DONE;)
			replay_share_put(share, s);
	else
		fprintf(stderr, "pagefold replay: %s\n", strerror(errno));
	for (unsigned i = 0; i < nr; i++)
		if (pid[i] <= 0)
			ok = false;
	if (share && ok)
		replay_share_put(share, &(struct replay_step){.kind = REPLAY_DONE});
	for (unsigned i = 0; i < nr; i++) {
		int status;

		if (pid[i] <= 0)
			continue;
		if (!ok)
			kill(pid[i], SIGKILL);
		while (waitpid(pid[i], &status, 0) < 0 && errno == EINTR)
			;
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			res[i].ok = false;
			snprintf(res[i].error, sizeof(res[i].error), "its process ended with %s %d",
				WIFSIGNALED(status) ? "signal" : "status",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		}
	}
	replay_share_free(share);
	return ok;
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int cmd_replay(int argc, char **argv)
{
	static struct replay_config cfg[MAX_CONFIGS];
	struct replay_result *res;
	struct replay_totals totals;
	struct options o = {0};
	struct feed f = {0};
	int npaths = 0, status = parse_options(argc, argv, &o, &npaths);
	double began;
	bool played = true;

	if (status)
		return status - 1;
	if (o.list) {
		tlb_presets_print(stdout, o.json);
		return 0;
	}
	status = make_configs(&o, cfg);
	if (status)
		return status;
	f.source = replay_source_open(argv + 1, npaths, &f.error);
	if (!f.source) {
		fprintf(stderr, "pagefold replay: %s\n", f.error);
		free(f.error);
		return 2;
	}
	replay_source_totals(f.source, &totals);
	f.progress = (struct progress){
		.on = isatty(STDERR_FILENO), .total = totals.accesses, .began = time(NULL)};
	/* Shared with the processes that fill it in. */
	res = mmap(NULL, sizeof(*res) * MAX_CONFIGS, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (res == MAP_FAILED)
		return wrong_usage("no memory", NULL);
	began = seconds_now();
	if (o.nr_configs == 1)
		replay_play(&cfg[0], next_of_source, &f, &res[0]);
	else
		played = play_many(&f, cfg, res, o.nr_configs);
	end_progress(&f.progress);
	replay_source_totals(f.source, &totals);
	if (f.error) {
		fprintf(stderr, "pagefold replay: %s\n", f.error);
		status = 2;
	} else if (!played) {
		status = 2;
	} else {
		if (o.json)
			replay_report_json(stdout, &totals, cfg, res, o.nr_configs,
				seconds_now() - began, argv + 1, npaths);
		else
			replay_report(
				stdout, &totals, cfg, res, o.nr_configs, seconds_now() - began);
		for (unsigned i = 0; i < o.nr_configs; i++)
			status |= !res[i].ok;
	}
	replay_source_close(f.source);
	free(f.error);
	munmap(res, sizeof(*res) * MAX_CONFIGS);
	return status;
}
