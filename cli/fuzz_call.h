/* SPDX-License-Identifier: MIT */
/* What a process of the host's does of a program (fuzz_call.c), accesses and processes' own lives aside. */
#ifndef CLI_FUZZ_CALL_H
#define CLI_FUZZ_CALL_H

#include <sys/types.h>

#include "cli/fuzz.h"

/* A number that no process has. */
#define FUZZ_NO_PID INT32_MAX

/* The program's files, for this process and those that it forks. */
bool fuzz_call_open_files(const struct fuzz_area *area);
/* The call; the result, and what there is besides, into ans. real: of the process that it is about, if of another. */
void fuzz_call(
	const struct fuzz_area *area, const struct op *op, pid_t real, struct fuzz_answer *ans);
/* userfaultfd and its ioctls (fuzz_uffd.c); and whether this process may use it at all. */
bool fuzz_uffd_is_there(void);
/* Is it told of missing pages there, as it is of shared memory's? Not of files. */
bool fuzz_uffd_takes(void *at, uint64_t len);
void fuzz_uffd_host(const struct op *op, struct fuzz_answer *ans);

#endif
