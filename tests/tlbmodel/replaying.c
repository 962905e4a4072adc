/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "replaying.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/commands.h"

char replay_dir[] = "/tmp/pagefold-replay-XXXXXX";

const char *path(const char *name)
{
	static char text[4][128];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(text[n], sizeof(text[n]), "%s/%s", replay_dir, name);
	return text[n];
}

/* ---- running the command ---- */

/* The exit status; *out is what it printed, or NULL if that was not JSON. */
int replay(struct json_object **out, ...)
{
	char *argv[32] = {(char *)"replay", (char *)"--json"};
	int argc = 2, status, fd = memfd_create("out", 0);
	struct stat st;
	va_list ap;
	pid_t pid;

	va_start(ap, out);
	while ((argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(fd, STDOUT_FILENO);
		if (!getenv("REPLAY_ERRORS"))
			freopen("/dev/null", "w", stderr);
		status = cmd_replay(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_false(fstat(fd, &st));
	*out = NULL;
	if (st.st_size) {
		lseek(fd, 0, SEEK_SET);
		*out = json_object_from_fd(fd);
	}
	close(fd);
	if (!WIFEXITED(status))
		fail_msg("the replay ended with signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

struct json_object *config(struct json_object *all, const char *name)
{
	struct json_object *list, *o, *v;

	assert_true(json_object_object_get_ex(all, "configs", &list));
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		o = json_object_array_get_idx(list, i);
		assert_true(json_object_object_get_ex(o, "name", &v));
		if (!strcmp(json_object_get_string(v), name))
			return o;
	}
	fail_msg("no configuration %s", name);
	return NULL;
}

/* A number by its path: "data.accesses". */
int64_t get(struct json_object *o, const char *name)
{
	char text[128], *rest = text, *one;
	struct json_object *v = o;

	snprintf(text, sizeof(text), "%s", name);
	while ((one = strsep(&rest, ".")))
		if (!json_object_object_get_ex(v, one, &v))
			return -1;
	return json_object_get_int64(v);
}

void expect(struct json_object *o, const char *name, int64_t want, unsigned line)
{
	if (get(o, name) != want)
		fail_msg("line %u: %s is %lld, expected %lld\n%s", line, name,
			(long long)get(o, name), (long long)want,
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
}
