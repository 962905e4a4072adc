/* SPDX-License-Identifier: MIT */
/* Does, in known numbers, what a recorder cannot see into. */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static void handler(int signal)
{
	(void)signal;
}

int main(void)
{
	int fds[2], n;

	if (pipe(fds) || write(fds[1], "abc", 3) != 3)
		return 1;
	for (int i = 0; i < 5; i++)
		if (ioctl(fds[0], FIONREAD, &n) || n != 3)
			return 2;
	ioctl(-1, FIONREAD, &n); /* failed: nothing to capture */
	signal(SIGUSR1, handler);
	for (int i = 0; i < 3; i++)
		raise(SIGUSR1);
	for (int i = 0; i < 2; i++)
		if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) ==
			MAP_FAILED)
			return 3;
	return 0;
}
