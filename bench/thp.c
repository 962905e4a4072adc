// SPDX-License-Identifier: MIT
/*
 * The host's settings (transparent huge pages, how many mappings there may be): changed for the peer's runs, always put back.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define THP       "/sys/kernel/mm/transparent_hugepage"
#define MAX_MAPS  "/proc/sys/vm/max_map_count"
#define MAX_SIZES 32

struct saved {
	char path[128];
	char value[16];
};

static struct saved saved[MAX_SIZES];
static struct saved saved_maps = {.path = MAX_MAPS};
static unsigned nr_saved;
static pid_t child;

/* Async-signal-safe: called from the handler too. */
static bool put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* "always inherit madvise [never]" -> "never" */
static bool get(const char *path, char *value, size_t size)
{
	char buf[128] = "";
	FILE *f = fopen(path, "r");
	char *a, *b;

	if (!f)
		return false;
	if (!fgets(buf, sizeof(buf), f))
		buf[0] = 0;
	fclose(f);
	a = strchr(buf, '[');
	b = a ? strchr(a, ']') : NULL;
	if (!b || (size_t)(b - a) > size)
		return false;
	*b = 0;
	strcpy(value, a + 1);
	return true;
}

static void save_all(void)
{
	FILE *f = fopen(MAX_MAPS, "r");
	DIR *d = opendir(THP);
	struct dirent *e;

	while (d && (e = readdir(d)) && nr_saved < MAX_SIZES) {
		struct saved *s = &saved[nr_saved];

		if (strncmp(e->d_name, "hugepages-", 10))
			continue;
		snprintf(s->path, sizeof(s->path), THP "/%.40s/enabled", e->d_name);
		if (get(s->path, s->value, sizeof(s->value)))
			nr_saved++;
	}
	if (f && !fgets(saved_maps.value, sizeof(saved_maps.value), f))
		saved_maps.value[0] = 0;
	if (f)
		fclose(f);
	if (d)
		closedir(d);
	if (nr_saved < MAX_SIZES) {
		struct saved *s = &saved[nr_saved];

		snprintf(s->path, sizeof(s->path), THP "/enabled");
		if (get(s->path, s->value, sizeof(s->value)))
			nr_saved++;
	}
}

static void restore_all(void)
{
	if (saved_maps.value[0])
		put(saved_maps.path, saved_maps.value);
	for (unsigned i = 0; i < nr_saved; i++)
		put(saved[i].path, saved[i].value);
}

static void on_signal(int sig)
{
	if (child > 0)
		kill(child, SIGKILL);
	restore_all();
	signal(sig, SIG_DFL);
	raise(sig);
}

int with_thp_settings(int (*fn)(void *), void *arg)
{
	static const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
	int status = 0;

	save_all();
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		signal(sigs[i], on_signal);
	child = fork();
	if (child < 0) {
		perror("pagefold-bench: fork");
		return 1;
	}
	if (!child) {
		for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
			signal(sigs[i], SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		exit(fn(arg));
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	restore_all();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

bool max_maps(unsigned nr)
{
	char value[16];

	if (strtoul(saved_maps.value, NULL, 10) >= nr)
		return true;
	snprintf(value, sizeof(value), "%u", nr);
	return put(MAX_MAPS, value);
}

bool thp_only(unsigned order)
{
	char want[128];
	bool found = false;

	snprintf(want, sizeof(want), THP "/hugepages-%ukB/enabled", 4u << order);
	for (unsigned i = 0; i < nr_saved; i++) {
		bool this = !strcmp(saved[i].path, want);
		char now[16];

		if (!strcmp(saved[i].path, THP "/enabled"))
			continue;
		found |= this;
		if (!put(saved[i].path, this ? "madvise" : "never"))
			return false;
		if (!get(saved[i].path, now, sizeof(now)) ||
			strcmp(now, this ? "madvise" : "never"))
			return false;
	}
	return found;
}
