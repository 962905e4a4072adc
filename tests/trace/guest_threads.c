/* SPDX-License-Identifier: MIT */
/*
 * Threads that map, touch and unmap, so that one gets the addresses that another just gave up. An
 * access recorded on the wrong side of a mapping's end shows as an access to nothing.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16

static void *work(void *arg)
{
	long rounds = (long)arg;

	for (long r = 0; r < rounds; r++) {
		volatile char *p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			exit(1);
		for (int k = 0; k < 20; k++)
			for (int i = 0; i < PAGES; i++)
				p[4096 * i] = (char)(p[4096 * i] + k);
		munmap((void *)p, PAGES * 4096);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[4];

	for (int generation = 0; generation < 3; generation++) {
		for (int i = 0; i < 4; i++)
			if (pthread_create(&threads[i], NULL, work, (void *)100L))
				return 2;
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
	}
	return 0;
}
