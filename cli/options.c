// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
/* What commands share on their way in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"

const char *option_value(char **argv, int argc, int *i, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n))
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	if (argv[*i][n] || *i + 1 == argc)
		return NULL;
	return argv[++*i];
}

int exec_judge(char **argv)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("-judge"));
	char **args;
	int argc = 0;

	if (n <= 0) {
		fprintf(stderr, "pagefold %s: /proc/self/exe: %s\n", argv[0], strerror(errno));
		return 2;
	}
	memcpy(path + n, "-judge", sizeof("-judge"));
	while (argv[argc])
		argc++;
	args = calloc((size_t)argc + 2, sizeof(*args));
	if (!args)
		return 2;
	args[0] = path;
	memcpy(args + 1, argv, (size_t)argc * sizeof(*args));
	execv(path, args);
	fprintf(stderr, "pagefold %s: %s: %s\n", argv[0], path, strerror(errno));
	free(args);
	return 2;
}
