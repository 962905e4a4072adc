// SPDX-License-Identifier: MIT
/*
 * The command: which subcommand, and what there is. The same sources make two executables, one that
 * measures and one that judges (-DPF_JUDGE=1).
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/mutants.h"

#ifndef PF_VERSION
#define PF_VERSION "0.1.0"
#endif

struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* NULL: its code is not in this build */
	const char *what;
};

/* Commands whose sources may be missing are weak: absent, they are NULL. */
#pragma weak cmd_record
#pragma weak cmd_replay
#pragma weak cmd_inspect
#pragma weak cmd_report
#pragma weak cmd_trace
#pragma weak cmd_import
#pragma weak cmd_diff
#pragma weak cmd_fuzz

static const struct command *commands(void)
{
	static struct command table[12];
	const struct command all[] = {
		{"run", cmd_run, "play scenarios and check what they expect"},
		{"record", cmd_record, "record a program's page accesses and memory system calls"},
		{"replay", cmd_replay, "play a recording through memory manager and TLB models"},
		{"inspect", cmd_inspect, "how much of a live process could be folded"},
		{"report", cmd_report, "an HTML page from results"},
		{"trace", cmd_trace, "recordings as text"},
		{"import", cmd_import, "recordings of other tools"},
		{"diff", cmd_diff, "two results side by side"},
		{"fuzz", cmd_fuzz, "random system calls against the host's Linux"},
		{NULL, NULL, NULL},
	};

	memcpy(table, all, sizeof(all));
	return table;
}

static void print_usage(FILE *f)
{
	fputs("usage: pagefold COMMAND [ARGUMENT]...\n"
	      "       pagefold --help | --version"
#if PF_JUDGE
	      " | --list-mutants"
#endif
	      "\n\nCommands; each has --help:\n",
		f);
	for (const struct command *c = commands(); c->name; c++)
		fprintf(f, "  %-8s  %s%s\n", c->name, c->what, c->run ? "" : " (not built yet)");
	fputs("\nExit status: 0 yes, 1 no (an expectation failed, a rule was broken), 2 the input "
	      "is wrong.\n",
		f);
}

#if PF_JUDGE
static int list_mutants(void)
{
	for (const struct mutant *m = mutants; m->name; m++)
		printf("%s\t%s\t%s\t%s\n", m->name, m->bugs, m->where, m->what);
	return 0;
}
#endif

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!*name) {
		print_usage(stderr);
		return 2;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "help")) {
		print_usage(stdout);
		return 0;
	}
	if (!strcmp(name, "--version")) {
		puts("pagefold " PF_VERSION);
		return 0;
	}
#if PF_JUDGE
	if (!strcmp(name, "--list-mutants"))
		return list_mutants();
#endif
	for (const struct command *c = commands(); c->name; c++) {
		if (strcmp(c->name, name))
			continue;
		if (c->run)
			return c->run(argc - 1, argv + 1);
		fprintf(stderr, "pagefold: not built yet: %s\n", name);
		return 2;
	}
	fprintf(stderr,
		"pagefold: unknown command '%s', expected one of those in pagefold --help\n", name);
	return 2;
}
