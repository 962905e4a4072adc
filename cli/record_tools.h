/* SPDX-License-Identifier: MIT */
/* What `pagefold record` needs to find before it starts: the program, a QEMU, the recorder. */
#ifndef PF_CLI_RECORD_TOOLS_H
#define PF_CLI_RECORD_TOOLS_H

#include <stdbool.h>

#define MACHINE_X86_64  62u
#define MACHINE_AARCH64 183u

struct record_qemu {
	char *path;    /* NULL: none that can record */
	char *version; /* "7.2.22", or "" */
	char *why;     /* if path is NULL: a sentence */
};

/* Path of a program as execvp would find it; NULL with errno. */
char *record_find_program(const char *name);
/*
 * ELF machine of the program at path, following #! lines. 0 with a reason in *why, which the caller
 * frees, for anything but a 64-bit ELF file.
 */
unsigned record_machine(const char *path, char **why);
/* Looks for the machine's QEMU and asks it whether it has plugins. */
void record_find_qemu(struct record_qemu *q, unsigned machine);
void record_free_qemu(struct record_qemu *q);
/* True if the QEMU knows the CPU model. */
bool record_qemu_has_cpu(const struct record_qemu *q, const char *model);
/* The plugin: PAGEFOLD_RECORDER, or beside this executable, or installed. NULL with a reason in *why. */
char *record_find_plugin(char **why);
/* Runs argv, returns its standard output (cut at 1 MiB), or NULL; *status as of waitpid. */
char *record_output_of(char *const argv[], int *status);

#endif
