// SPDX-License-Identifier: MIT
/*
 * A program to record: it notes which of its pages it writes, as collectors and checkpointers do. Everything becomes
 * read-only; the first store to a page makes that page writable again. Four rounds, stores at random.
 */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE   4096ul
#define BLOCK  65536ul
#define BYTES  (2ul << 20)
#define ROUNDS 4
#define STORES 1000000

static void written(int sig, siginfo_t *si, void *ctx)
{
	uintptr_t page = (uintptr_t)si->si_addr & ~(PAGE - 1);

	(void)sig;
	(void)ctx;
	if (mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE))
		abort();
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = written, .sa_flags = SA_SIGINFO};
	uint64_t x = 1;
	char *p = mmap(
		NULL, BYTES + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || sigaction(SIGSEGV, &sa, NULL))
		return 1;
	p = (char *)(((uintptr_t)p + BLOCK - 1) & ~(BLOCK - 1));
	memset(p, 1, BYTES);
	for (int round = 0; round < ROUNDS; round++) {
		if (mprotect(p, BYTES, PROT_READ))
			return 1;
		for (int i = 0; i < STORES; i++) {
			x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			((volatile char *)p)[(x >> 33) % BYTES]++;
		}
	}
	return 0;
}
