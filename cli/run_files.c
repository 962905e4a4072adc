// SPDX-License-Identifier: MIT
/* The files of a run: found, read, checked as a whole, then played in each of their configurations. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/run_report.h"

struct files {
	struct sc_file **file;
	size_t nr, room;
	bool wrong;
};

/* ---- files ---- */

static char *read_all(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	char *text = NULL;
	size_t room = 0, n;

	*len = 0;
	if (!f)
		return NULL;
	do {
		if (*len == room) {
			room = room ? 2 * room : 65536;
			text = realloc(text, room);
			if (!text)
				abort();
		}
		n = fread(text + *len, 1, room - *len, f);
		*len += n;
	} while (n);
	int err = ferror(f) ? errno : 0;

	fclose(f);
	if (err) {
		free(text);
		errno = err;
		return NULL;
	}
	return text;
}

static void add_file(struct files *fs, const struct run_options *o, const char *path)
{
	struct sc_error err;
	size_t len;
	char *text = read_all(path, &len);

	if (!text) {
		run_problem(path, 0, strerror(errno));
		fs->wrong = true;
		return;
	}
	struct sc_file *f = o->strace ? sc_parse_strace(path, text, len, &err)
				      : sc_parse(path, text, len, &err);

	free(text);
	if (!f) {
		run_problem(path, err.line, err.text);
		fs->wrong = true;
		return;
	}
	if (f->unsupported_line) {
		char what[256];

		snprintf(what, sizeof(what), "not supported yet: %s", f->unsupported);
		run_problem(path, f->unsupported_line, what);
		fs->wrong = true;
	}
	if (fs->nr == fs->room) {
		fs->room = fs->room ? 2 * fs->room : 64;
		fs->file = realloc(fs->file, fs->room * sizeof(*fs->file));
		if (!fs->file)
			abort();
	}
	fs->file[fs->nr++] = f;
}

struct names {
	char **name;
	size_t nr, room;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool collect(const char *path, struct names *names)
{
	DIR *d = opendir(path);
	struct dirent *e;

	if (!d) {
		run_problem(path, 0, strerror(errno));
		return false;
	}
	while ((e = readdir(d))) {
		struct stat st;
		char *full;
		size_t n = strlen(e->d_name);

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (asprintf(&full, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/",
			    e->d_name) < 0)
			abort();
		if (!stat(full, &st) && S_ISDIR(st.st_mode)) {
			bool ok = collect(full, names);

			free(full);
			if (!ok) {
				closedir(d);
				return false;
			}
		} else if (n > 3 && !strcmp(e->d_name + n - 3, ".pf")) {
			if (names->nr == names->room) {
				names->room = names->room ? 2 * names->room : 64;
				names->name = realloc(names->name, names->room * sizeof(char *));
				if (!names->name)
					abort();
			}
			names->name[names->nr++] = full;
		} else {
			free(full);
		}
	}
	closedir(d);
	return true;
}

static void add_path(struct files *fs, const struct run_options *o, const char *path)
{
	struct names names = {0};
	struct stat st;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		add_file(fs, o, path);
		return;
	}
	if (!collect(path, &names))
		fs->wrong = true;
	else if (!names.nr) {
		run_problem(path, 0, "no *.pf file below it");
		fs->wrong = true;
	}
	if (names.nr)
		qsort(names.name, names.nr, sizeof(char *), by_name);
	for (size_t i = 0; i < names.nr; i++) {
		add_file(fs, o, names.name[i]);
		free(names.name[i]);
	}
	free(names.name);
}

static void override(struct sc_file *f, const struct run_options *o)
{
	if (o->format) {
		f->settings.formats = o->format;
		f->settings.formats_line = 0;
	}
	if (o->fold_set)
		f->settings.fold = o->fold;
	if (o->fail_set)
		f->settings.fail = o->fail;
}

/* ---- configurations ---- */

/* Calls fn for each format of the file; false if one is unknown or fn said so. */
static bool each_format(struct sc_file *f,
	bool (*fn)(struct sc_file *, const struct pf_format *, void *), void *ctx)
{
	char *list = strdup(f->settings.formats), *save = NULL;
	bool ok = true;

	if (!list)
		abort();
	if (!strcmp(list, "all")) {
		for (const struct pf_format *const *fmt = pf_formats; *fmt; fmt++)
			ok &= fn(f, *fmt, ctx);
		free(list);
		return ok;
	}
	if (!*list)
		ok = false;
	for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		const struct pf_format *fmt = run_find_format(name);

		if (fmt) {
			ok &= fn(f, fmt, ctx);
			continue;
		}
		char text[512];
		int n = snprintf(
			text, sizeof(text), "unknown format '%.64s', expected all or", name);

		for (const struct pf_format *const *k = pf_formats; *k; k++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, " %s", (*k)->pt->name);
		run_problem(f->path, f->settings.formats_line, text);
		ok = false;
	}
	free(list);
	return ok;
}

static bool prepare_one(struct sc_file *f, const struct pf_format *fmt, void *ctx)
{
	struct run_outcome out;

	(void)ctx;
	run_prepare(f, fmt, &out);
	if (out.verdict == RUN_BAD_INPUT)
		run_problem(f->path, out.line, out.text);
	free(out.text);
	return out.verdict != RUN_BAD_INPUT;
}

/* ---- playing ---- */

static void play_fold(
	struct run_results *res, struct sc_file *f, const struct pf_format *fmt, bool fold)
{
	const struct run_config cfg = {
		.file = f,
		.fmt = fmt,
		.fold = fold,
		.fold_both = f->settings.fold == SC_FOLD_BOTH,
		.seed = res->o->seed,
		.schedules = res->o->schedules,
		.preemptions_set = res->o->preemptions_set,
		.preemptions = res->o->preemptions,
		.log = res->o->log,
		.progress = run_show_schedules,
		.progress_ctx = res,
	};
	struct run_outcome out;

	run_show_progress(res, f->path);
	run_file(&cfg, f->settings.fail, &out);
	run_report(res, f, fmt, fold, &out);
	free(out.text);
}

static bool play_format(struct sc_file *f, const struct pf_format *fmt, void *ctx)
{
	struct run_results *res = ctx;
	struct run_outcome out;

	run_prepare(f, fmt, &out);
	if (out.verdict != RUN_OK) {
		run_report(res, f, fmt, f->settings.fold != SC_FOLD_OFF, &out);
		free(out.text);
		return true;
	}
	if (f->settings.fold != SC_FOLD_OFF)
		play_fold(res, f, fmt, true);
	if (f->settings.fold != SC_FOLD_ON)
		play_fold(res, f, fmt, false);
	return true;
}

static int count_one(struct sc_file *f)
{
	const char *s = f->settings.formats;
	int n = strcmp(s, "all") && !strchr(s, ',') ? 1 : 2;

	return f->settings.fold == SC_FOLD_BOTH || f->settings.fail != SC_FAIL_NONE ? n + 1 : n;
}

static int play_all(struct files *fs, const struct run_options *o)
{
	struct run_results res = {.o = o, .of = fs->nr};

	run_report_begin(&res);
	for (res.at = 0; res.at < fs->nr; res.at++)
		each_format(fs->file[res.at], play_format, &res);
	run_report_end(&res);
	return res.wrong ? 2 : res.failed ? 1 : 0;
}

int run_files(const struct run_options *o, char **paths, int npaths)
{
	struct files fs = {0};
	int status = 2;

	for (int i = 0; i < npaths; i++)
		add_path(&fs, o, paths[i]);
	/* All that can be wrong with the files is said before anything is played. */
	for (size_t i = 0; i < fs.nr; i++) {
		override(fs.file[i], o);
		fs.wrong |= !each_format(fs.file[i], prepare_one, NULL);
	}
	if (o->log && !fs.wrong && (fs.nr != 1 || count_one(fs.file[0]) != 1)) {
		fprintf(stderr, "pagefold run: --log is of one file on one format, played once\n");
		fs.wrong = true;
	}
	if (!fs.wrong)
		status = play_all(&fs, o);
	for (size_t i = 0; i < fs.nr; i++)
		sc_file_free(fs.file[i]);
	free(fs.file);
	return status;
}
