/* SPDX-License-Identifier: MIT */
/* pagefold record: run a program under QEMU's user mode with the recorder, and write what it does. */
#define _GNU_SOURCE
#include "commands.h"
#include "record_server.h"
#include "record_tools.h"
#include "trace_manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: pagefold record [-o FILE] [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	"\n"
	"Runs an x86-64 or arm64 Linux program under QEMU's user mode and records every page that "
	"it\n"
	"accesses and every memory system call, of its threads, children and the programs they "
	"execute.\n"
	"\n"
	"  -o, --output FILE   the recording (default: PROGRAM.pft); its streams are FILE.1, "
	"FILE.2, ...\n"
	"      --sysroot DIR   where an arm64 program finds its libraries (QEMU's -L)\n"
	"      --cpu MODEL     QEMU's -cpu, for the program's machine\n"
	"  -q, --quiet         no progress, no summary\n"
	"      --json          the summary as JSON, on standard output\n"
	"  -h, --help\n"
	"\n"
	"Environment: PAGEFOLD_QEMU_X86_64, PAGEFOLD_QEMU_AARCH64 (a QEMU with plugins), "
	"PAGEFOLD_RECORDER\n"
	"(the plugin). Exit status: 0 if the program was recorded and exited with 0, 1 if it was "
	"recorded\n"
	"and did not or the recording has a fault, 2 if it could not be run.\n";

struct options {
	const char *output, *sysroot, *cpu;
	bool quiet, json;
	int argc;
	char **argv;
};

struct run {
	const struct options *o;
	char *program, *plugin, *output, *source;
	const char *sysroot;
	unsigned machine;
	struct record_qemu x86_64, aarch64;
	const char *cpu_x86_64, *cpu_aarch64;
	unsigned zva_bytes;
	struct record_server *server;
	pid_t pid;
	int status; /* of the first process */
	double seconds;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* 0 to go on; else the exit status, plus one. */
static int parse_options(int argc, char **argv, struct options *o)
{
	enum { SYSROOT = 256, CPU, JSON };
	static const struct option longs[] = {
		{"output", required_argument, NULL, 'o'},
		{"sysroot", required_argument, NULL, SYSROOT},
		{"cpu", required_argument, NULL, CPU},
		{"quiet", no_argument, NULL, 'q'},
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	memset(o, 0, sizeof(*o));
	optind = 0; /* getopt may have been used before */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:o:qh", longs, NULL)) >= 0) {
		switch (c) {
		case 'o':
			o->output = optarg;
			break;
		case SYSROOT:
			o->sysroot = optarg;
			break;
		case CPU:
			o->cpu = optarg;
			break;
		case 'q':
			o->quiet = true;
			break;
		case JSON:
			o->json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		case ':':
			fprintf(stderr, "pagefold record: %s needs a value\n", argv[optind - 1]);
			return 3;
		default:
			fprintf(stderr, "pagefold record: unknown option: %s\n", argv[optind - 1]);
			return 3;
		}
	}
	o->argc = argc - optind;
	o->argv = argv + optind;
	if (!o->argc) {
		fprintf(stderr, "pagefold record: no program given\n%s", usage);
		return 3;
	}
	return 0;
}

/* A file that the recording would overwrite must be a recording, or not be there. */
static bool may_overwrite(const char *path)
{
	struct trace_manifest m;
	struct stat st;
	char *error;

	if (stat(path, &st) || !st.st_size)
		return true;
	if (trace_manifest_read(&m, path, &error)) {
		free(error);
		return false;
	}
	/* The streams of a recording are numbered; those that this one does not overwrite must not stay. */
	for (size_t i = 0; i < m.nr && !m.single; i++)
		unlink(m.streams[i].path);
	trace_manifest_free(&m);
	return true;
}

static const char *find_sysroot(const struct options *o)
{
	static const char debian[] = "/usr/aarch64-linux-gnu";

	if (o->sysroot)
		return o->sysroot;
	if (getenv("QEMU_LD_PREFIX") || !access("/lib/ld-linux-aarch64.so.1", F_OK) ||
		access("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1", F_OK))
		return NULL;
	return debian;
}

/*
 * What DC ZVA clears on QEMU's model of a core, if that is known: 64 bytes on Arm's own (their manuals,
 * DCZID_EL0). With other models it is counted as not captured.
 */
static unsigned zva_bytes(const char *cpu)
{
	return !strncmp(cpu, "cortex-a", 8) || !strncmp(cpu, "neoverse-", 9) ? 64 : 0;
}

/* Finds all that is needed. Returns false after saying what is not there. */
static bool prepare(struct run *r)
{
	const struct options *o = r->o;
	/* A real core's vectors are 128 bits wide and its DC ZVA 64 bytes; SVE accesses escape QEMU 7's plugins. */
	static const char arm_cpu[] = "neoverse-n1";
	char *why;

	r->program = record_find_program(o->argv[0]);
	if (!r->program) {
		fprintf(stderr, "pagefold record: cannot run %s: %s\n", o->argv[0],
			strerror(errno));
		return false;
	}
	r->machine = record_machine(r->program, &why);
	if (r->machine != MACHINE_X86_64 && r->machine != MACHINE_AARCH64) {
		if (!why && asprintf(&why,
				    "it is for ELF machine %u, and only x86-64 (62) and arm64 "
				    "(183) can be recorded",
				    r->machine) < 0)
			why = NULL;
		fprintf(stderr, "pagefold record: cannot run %s: %s\n", r->program,
			why ? why : "out of memory");
		free(why);
		return false;
	}
	record_find_qemu(&r->x86_64, MACHINE_X86_64);
	record_find_qemu(&r->aarch64, MACHINE_AARCH64);
	const struct record_qemu *q = r->machine == MACHINE_AARCH64 ? &r->aarch64 : &r->x86_64;
	if (!q->path) {
		fprintf(stderr, "pagefold record: cannot run %s: %s\n", r->program, q->why);
		return false;
	}
	if (o->cpu && r->machine == MACHINE_AARCH64) {
		r->cpu_aarch64 = o->cpu;
	} else if (r->aarch64.path && record_qemu_has_cpu(&r->aarch64, arm_cpu)) {
		r->cpu_aarch64 = arm_cpu;
	}
	if (r->cpu_aarch64)
		r->zva_bytes = zva_bytes(r->cpu_aarch64);
	if (o->cpu && r->machine == MACHINE_X86_64)
		r->cpu_x86_64 = o->cpu;
	r->sysroot = find_sysroot(o);
	r->plugin = record_find_plugin(&why);
	if (!r->plugin) {
		fprintf(stderr, "pagefold record: %s\n", why);
		free(why);
		return false;
	}
	if (asprintf(&r->source, "pagefold record, QEMU %s", q->version) < 0)
		r->source = NULL;
	if (o->output) {
		r->output = strdup(o->output);
	} else {
		const char *slash = strrchr(r->program, '/');
		if (asprintf(&r->output, "%s.pft", slash ? slash + 1 : r->program) < 0)
			r->output = NULL;
	}
	if (!r->source || !r->output) {
		fprintf(stderr, "pagefold record: out of memory\n");
		return false;
	}
	if (!may_overwrite(r->output)) {
		fprintf(stderr,
			"pagefold record: %s exists and is not a recording; it stays as it is\n",
			r->output);
		return false;
	}
	int fd = open(r->output, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0) {
		fprintf(stderr, "pagefold record: cannot write %s: %s\n", r->output,
			strerror(errno));
		return false;
	}
	close(fd);
	return true;
}

/* Commas end an option of QEMU's; doubled they stand for themselves. */
static char *plugin_option(const struct run *r, unsigned skip)
{
	char *option = malloc(2 * strlen(r->plugin) + 256), *to = option;

	if (!option)
		return NULL;
	for (const char *p = r->plugin; *p; p++) {
		*to++ = *p;
		if (*p == ',')
			*to++ = ',';
	}
	sprintf(to, ",socket=%s,skip=%u", record_server_socket(r->server), skip);
	return option;
}

/*
 * QEMU's command line. A script's is its interpreter's, as the kernel makes it: interpreter,
 * optional argument, script. That is left to a shell-less exec inside: QEMU itself refuses scripts.
 */
static char **command_line(const struct run *r, char ***to_free)
{
	const struct options *o = r->o;
	const struct record_qemu *q = r->machine == MACHINE_AARCH64 ? &r->aarch64 : &r->x86_64;
	const char *cpu = r->machine == MACHINE_AARCH64 ? r->cpu_aarch64 : r->cpu_x86_64;
	char **v = calloc((size_t)o->argc + 32, sizeof(*v)), *path = r->program;
	char *front[16], *scripts[16];
	unsigned n = 0, nr_scripts = 0;
	char *argv0 = o->argv[0];

	*to_free = calloc(16, sizeof(char *));
	if (!v || !*to_free)
		return NULL;
	/* Innermost first: optional argument and script of each level, in reverse. */
	for (unsigned depth = 0; depth < 5; depth++) {
		char head[512] = {0};
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t len = fd < 0 ? 0 : read(fd, head, sizeof(head) - 1);

		if (fd >= 0)
			close(fd);
		if (len < 3 || head[0] != '#' || head[1] != '!')
			break;
		char *line = head + 2;
		line[strcspn(line, "\n")] = 0;
		line += strspn(line, " \t");
		size_t word = strcspn(line, " \t");
		char *arg = line + word + strspn(line + word, " \t");
		for (size_t end = strlen(arg); end && (arg[end - 1] == ' ' || arg[end - 1] == '\t');
			end--)
			arg[end - 1] = 0;
		scripts[nr_scripts++] = path;
		if (*arg)
			scripts[nr_scripts++] = (*to_free)[2 * depth] = strdup(arg);
		argv0 = path = (*to_free)[2 * depth + 1] = strndup(line, word);
	}
	front[n++] = q->path;
	front[n++] = "-plugin";
	unsigned option_at = n++;
	if (cpu) {
		front[n++] = "-cpu";
		front[n++] = (char *)cpu;
	}
	if (r->machine == MACHINE_AARCH64 && r->sysroot) {
		front[n++] = "-L";
		front[n++] = (char *)r->sysroot;
	}
	front[n++] = "-0";
	front[n++] = argv0;
	front[option_at] = plugin_option(r, n);
	(*to_free)[15] = front[option_at];
	front[n++] = path;
	memcpy(v, front, n * sizeof(*v));
	while (nr_scripts)
		v[n++] = scripts[--nr_scripts];
	for (int i = 1; i < o->argc; i++)
		v[n++] = o->argv[i];
	return v;
}

/* Starts QEMU; the pipe tells why when it cannot be executed. */
static bool start(struct run *r, const sigset_t *old_mask)
{
	char **to_free, **v = command_line(r, &to_free);
	int fds[2], error = 0;
	bool ok = false;

	if (!v || !to_free[15] || pipe2(fds, O_CLOEXEC)) {
		fprintf(stderr, "pagefold record: %s\n", v ? strerror(errno) : "out of memory");
	} else {
		fflush(NULL);
		r->pid = fork();
		if (r->pid == 0) {
			signal(SIGINT, SIG_DFL);
			signal(SIGQUIT, SIG_DFL);
			signal(SIGPIPE, SIG_DFL);
			sigprocmask(SIG_SETMASK, old_mask, NULL);
			execv(v[0], v);
			error = errno;
			(void)!write(fds[1], &error, sizeof(error));
			_exit(127);
		}
		int fork_error = errno;
		close(fds[1]);
		ok = r->pid > 0;
		if (!ok)
			fprintf(stderr, "pagefold record: cannot start a process: %s\n",
				strerror(fork_error));
		else if (read(fds[0], &error, sizeof(error)) == (ssize_t)sizeof(error)) {
			fprintf(stderr, "pagefold record: cannot run %s: %s\n", v[0],
				strerror(error));
			waitpid(r->pid, NULL, 0);
			ok = false;
		}
		close(fds[0]);
	}
	for (int i = 0; to_free && i < 16; i++)
		free(to_free[i]);
	free(to_free);
	free(v);
	return ok;
}

static void progress(struct run *r, double start, bool waiting)
{
	struct record_totals t;

	record_server_totals(r->server, &t);
	fprintf(stderr,
		"\r%s: %.0f s, %.0f M accesses, %.1f MB, %u of %u processes running%s\033[K",
		r->output, now() - start, (double)t.accesses / 1e6, (double)t.bytes / 1e6,
		t.running, t.streams, waiting ? " (waiting for them)" : "");
}

/* Until every process is gone; they become ours when their parents die (PR_SET_CHILD_SUBREAPER). */
static void serve(struct run *r, int signals)
{
	double begin = now(), next = begin + 1;
	/* The program may own the terminal: progress only where its output goes elsewhere. */
	bool show = !r->o->quiet && isatty(2) && !isatty(1), shown = false, first_gone = false;

	for (;;) {
		struct signalfd_siginfo info;
		int status;
		pid_t pid;

		record_server_poll(r->server, signals, 200);
		while (read(signals, &info, sizeof(info)) > 0)
			if (info.ssi_signo != SIGCHLD)
				kill(r->pid, (int)info.ssi_signo);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
			record_server_ended(r->server, pid, status);
			if (pid == r->pid) {
				r->status = status;
				first_gone = true;
			}
		}
		if (pid < 0 && errno == ECHILD)
			break;
		if (show && now() > next) {
			progress(r, begin, first_gone);
			shown = true;
			next = now() + 0.5;
		}
	}
	r->seconds = now() - begin;
	if (shown)
		fputs("\r\033[K", stderr);
}

static double cpu_seconds(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void summary(const struct run *r, const struct record_totals *t)
{
	char end[64];

	if (WIFSIGNALED(r->status))
		snprintf(end, sizeof(end), "was killed by signal %d (%s)", WTERMSIG(r->status),
			strsignal(WTERMSIG(r->status)));
	else
		snprintf(end, sizeof(end), "exited with %d", WEXITSTATUS(r->status));
	if (r->o->json) {
		json_object *o = json_object_new_object();
		json_object_object_add(o, "version", json_object_new_int(1));
		json_object_object_add(o, "recording", json_object_new_string(r->output));
		json_object_object_add(o, "program", json_object_new_string(r->program));
		json_object_object_add(o, "exit_status",
			json_object_new_int(WIFSIGNALED(r->status) ? -1 : WEXITSTATUS(r->status)));
		json_object_object_add(o, "signal",
			json_object_new_int(WIFSIGNALED(r->status) ? WTERMSIG(r->status) : 0));
		json_object_object_add(o, "seconds", json_object_new_double(r->seconds));
		json_object_object_add(o, "program_cpu_seconds",
			json_object_new_double(cpu_seconds(RUSAGE_CHILDREN)));
		json_object_object_add(
			o, "writer_cpu_seconds", json_object_new_double(cpu_seconds(RUSAGE_SELF)));
		json_object_object_add(o, "streams", json_object_new_int64(t->streams));
		json_object_object_add(o, "accesses", json_object_new_int64((int64_t)t->accesses));
		json_object_object_add(o, "runs", json_object_new_int64((int64_t)t->runs));
		json_object_object_add(
			o, "instructions", json_object_new_int64((int64_t)t->instructions));
		json_object_object_add(o, "events", json_object_new_int64((int64_t)t->events));
		json_object_object_add(o, "bytes", json_object_new_int64((int64_t)t->bytes));
		puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
		json_object_put(o);
		return;
	}
	if (r->o->quiet)
		return;
	fprintf(stderr,
		"pagefold record: %s %s; %.1f M accesses of %u process image%s in %.1f s: %s, %.2f "
		"MB",
		r->program, end, (double)t->accesses / 1e6, t->streams, t->streams == 1 ? "" : "s",
		r->seconds, r->output, (double)t->bytes / 1e6);
	if (t->accesses)
		fprintf(stderr, ", %.3f B/access", (double)t->bytes / (double)t->accesses);
	fputc('\n', stderr);
}

static void remove_recording(const char *path)
{
	struct trace_manifest m;
	char *error;

	if (trace_manifest_read(&m, path, &error)) {
		free(error);
	} else {
		for (size_t i = 0; i < m.nr; i++)
			unlink(m.streams[i].path);
		trace_manifest_free(&m);
	}
	unlink(path);
}

static int record(struct run *r)
{
	struct record_totals t;
	sigset_t mask, old;
	char *error;

	if (!prepare(r))
		return 2;
	struct record_config config = {
		.path = r->output,
		.source = r->source,
		.plugin = r->plugin,
		.qemu_x86_64 = r->x86_64.path,
		.qemu_aarch64 = r->aarch64.path,
		.sysroot_aarch64 = r->sysroot,
		.cpu_x86_64 = r->cpu_x86_64,
		.cpu_aarch64 = r->cpu_aarch64,
		.zva_bytes = r->zva_bytes,
	};
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	/* These are for the program; what it did until it dies of them is recorded. */
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &old);
	/* Of ^C and ^\ the program dies, or not; what it did until then is recorded either way. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	r->server = record_server_start(&config, &error);
	if (!r->server || signals < 0) {
		fprintf(stderr, "pagefold record: %s\n",
			r->server ? strerror(errno)
			: error   ? error
				  : "out of memory");
		free(error);
		return 2;
	}
	if (!start(r, &old)) {
		record_server_finish(r->server, &t);
		return 2;
	}
	serve(r, signals);
	close(signals);
	int rc = record_server_finish(r->server, &t);
	if (!t.started) {
		fprintf(stderr,
			"pagefold record: cannot run %s: QEMU could not start it (status %d); what "
			"it said stands "
			"above%s\n",
			r->program, WIFEXITED(r->status) ? WEXITSTATUS(r->status) : -1,
			r->machine == MACHINE_AARCH64 ? "; --sysroot names where its libraries are"
						      : "");
		remove_recording(r->output);
		return 2;
	}
	if (rc)
		fprintf(stderr, "pagefold record: cannot write %s: %s\n", r->output, strerror(-rc));
	if (t.error)
		fprintf(stderr, "pagefold record: a stream of %s ends early: %s\n", r->output,
			strerror(t.error));
	if (t.damaged)
		fprintf(stderr,
			"pagefold record: %u stream%s of %s end%s early: the program wrote over "
			"the recorder's memory\n",
			t.damaged, t.damaged == 1 ? "" : "s", r->output, t.damaged == 1 ? "s" : "");
	summary(r, &t);
	return rc || t.error || t.damaged || !WIFEXITED(r->status) || WEXITSTATUS(r->status) ? 1
											     : 0;
}

int cmd_record(int argc, char **argv)
{
	struct options o;
	struct run r = {.o = &o};
	int rc = parse_options(argc, argv, &o);

	if (rc)
		return rc - 1;
	rc = record(&r);
	record_free_qemu(&r.x86_64);
	record_free_qemu(&r.aarch64);
	free(r.program);
	free(r.plugin);
	free(r.output);
	free(r.source);
	return rc;
}
