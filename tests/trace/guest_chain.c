/* SPDX-License-Identifier: MIT */
/* A chain of forks and executions: N forks a child, which closes all that it can and executes N - 1. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0, status;
	char next[16];

	if (!n)
		return 3;
	snprintf(next, sizeof(next), "%d", n - 1);
	pid_t pid = n & 1 ? vfork() : fork();
	if (!pid) {
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		execl(argv[0], argv[0], next, (char *)NULL);
		_exit(99);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 98;
	return WEXITSTATUS(status) + 1;
}
