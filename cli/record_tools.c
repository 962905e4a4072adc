/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record_tools.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (1u << 20)

extern char **environ;

static bool is_program(const char *path)
{
	struct stat st;

	if (access(path, X_OK) || stat(path, &st))
		return false;
	if (!S_ISREG(st.st_mode)) {
		errno = EACCES;
		return false;
	}
	return true;
}

char *record_find_program(const char *name)
{
	const char *path = getenv("PATH");
	int error = ENOENT;

	if (strchr(name, '/'))
		return is_program(name) ? strdup(name) : NULL;
	if (!path)
		path = "/usr/local/bin:/usr/bin:/bin";
	for (;;) {
		size_t len = strcspn(path, ":");
		char *candidate;

		if (asprintf(&candidate, "%.*s%s%s", (int)len, path, len ? "/" : "", name) < 0)
			return NULL;
		if (is_program(candidate))
			return candidate;
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
		free(candidate);
		if (!path[len])
			break;
		path += len + 1;
	}
	errno = error;
	return NULL;
}

static __attribute__((format(printf, 2, 3))) void explain(char **why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(why, fmt, ap) < 0)
		*why = NULL;
	va_end(ap);
}

static unsigned machine_of(const char *path, char **why, int depth)
{
	unsigned char head[512];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		explain(why, "%s: %s", path, strerror(errno));
		return 0;
	}
	ssize_t n = read(fd, head, sizeof(head) - 1);
	close(fd);
	head[n > 0 ? n : 0] = 0;
	if (n >= 20 && !memcmp(head, ELFMAG, SELFMAG)) {
		if (head[EI_CLASS] == ELFCLASS64 && head[EI_DATA] == ELFDATA2LSB)
			return (unsigned)(head[18] | head[19] << 8);
		explain(why, "%s is not a 64-bit little-endian program", path);
		return 0;
	}
	if (n >= 4 && head[0] == '#' && head[1] == '!' && depth < 5) {
		char *interpreter = (char *)head + 2 + strspn((char *)head + 2, " \t");
		interpreter[strcspn(interpreter, " \t\n")] = 0;
		return machine_of(interpreter, why, depth + 1);
	}
	explain(why, "%s is not an ELF file", path);
	return 0;
}

unsigned record_machine(const char *path, char **why)
{
	*why = NULL;
	return machine_of(path, why, 0);
}

char *record_output_of(char *const argv[], int *status)
{
	posix_spawn_file_actions_t actions;
	int fds[2];
	pid_t pid;
	char *text = malloc(OUTPUT_MAX);
	size_t len = 0;

	if (!text || pipe2(fds, O_CLOEXEC)) {
		free(text);
		return NULL;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	int rc = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	while (!rc && len < OUTPUT_MAX - 1) {
		ssize_t n = read(fds[0], text + len, OUTPUT_MAX - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = 0;
	close(fds[0]);
	if (rc || waitpid(pid, status, 0) != pid) {
		free(text);
		return NULL;
	}
	return text;
}

static char *qemu_version(const char *path)
{
	char *const argv[] = {(char *)path, "--version", NULL};
	int status;
	char *text = record_output_of(argv, &status);
	char *at = text ? strstr(text, "version ") : NULL;
	char *version = NULL;

	if (at)
		version = strndup(at + 8, strcspn(at + 8, " \n("));
	free(text);
	return version ? version : strdup("");
}

void record_find_qemu(struct record_qemu *q, unsigned machine)
{
	const char *arch = machine == MACHINE_AARCH64 ? "aarch64" : "x86_64";
	const char *const suffixes[] = {"", "-static"};
	const char *wanted = getenv(
		machine == MACHINE_AARCH64 ? "PAGEFOLD_QEMU_AARCH64" : "PAGEFOLD_QEMU_X86_64");

	memset(q, 0, sizeof(*q));
	for (unsigned i = 0; i < (wanted ? 1 : 2); i++) {
		char name[64];
		int status;

		snprintf(name, sizeof(name), "qemu-%s%s", arch, suffixes[i]);
		char *path = record_find_program(wanted ? wanted : name);
		if (!path) {
			if (!q->why && i == (wanted ? 0 : 1))
				explain(&q->why,
					"%s%s not found: install QEMU's user mode emulators "
					"(Debian 12: "
					"apt-get install qemu-user)",
					wanted ? wanted : name,
					wanted ? "" : " and qemu without -static were");
			continue;
		}
		char *const argv[] = {path, "-h", NULL};
		char *help = record_output_of(argv, &status);
		bool plugins = help && strstr(help, "-plugin");
		free(help);
		char *version = qemu_version(path);
		if (plugins) {
			free(q->why);
			q->why = NULL;
			q->path = path;
			q->version = version;
			return;
		}
		free(q->why);
		explain(&q->why,
			"%s (QEMU %s) has no plugins: `%s -h` does not list -plugin. Debian 12's "
			"qemu-user has "
			"them; elsewhere build QEMU 5 to 8 with --enable-plugins; PAGEFOLD_QEMU_%s "
			"names it",
			path, version ? version : "", path,
			machine == MACHINE_AARCH64 ? "AARCH64" : "X86_64");
		free(version);
		free(path);
	}
}

void record_free_qemu(struct record_qemu *q)
{
	free(q->path);
	free(q->version);
	free(q->why);
	memset(q, 0, sizeof(*q));
}

bool record_qemu_has_cpu(const struct record_qemu *q, const char *model)
{
	char *const argv[] = {q->path, "-cpu", "help", NULL};
	int status;
	char *text = record_output_of(argv, &status);
	bool found = false;

	for (char *p = text; p && (p = strstr(p, model)); p++) {
		char after = p[strlen(model)];
		if ((p == text || p[-1] == ' ' || p[-1] == '\n') &&
			(!after || after == '\n' || after == ' '))
			found = true;
	}
	free(text);
	return found;
}

char *record_find_plugin(char **why)
{
	static const char *const places[] = {"recorder", "../lib/pagefold", "../../lib/pagefold"};
	const char *wanted = getenv("PAGEFOLD_RECORDER");
	char exe[4096], *path = NULL;

	*why = NULL;
	if (wanted && *wanted) {
		path = realpath(wanted, NULL);
		if (!path)
			explain(why, "PAGEFOLD_RECORDER is %s: %s", wanted, strerror(errno));
		return path;
	}
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = 0;
	char *slash = strrchr(exe, '/');
	if (slash)
		*slash = 0;
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char *candidate;
		if (asprintf(&candidate, "%s/%s/pagefold-recorder.so", exe, places[i]) < 0)
			break;
		path = realpath(candidate, NULL);
		free(candidate);
		if (path)
			return path;
	}
	explain(why,
		"the recorder (%s/recorder/pagefold-recorder.so) was not found; PAGEFOLD_RECORDER "
		"names it where "
		"it is elsewhere",
		exe);
	return NULL;
}
