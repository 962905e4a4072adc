/* SPDX-License-Identifier: MIT */
#include <sys/mman.h>

#include "base/atomic.h"
#include "port/port.h"

#define ALIGN ((size_t)2 << 20)

struct test_port test_port;

static size_t memmap_bytes(void)
{
	return test_port.bytes >> test_port.page_shift << 5;
}

/* Zeroed, aligned, and backed by the host when touched. */
static char *lazy_memory(size_t bytes)
{
	char *p = mmap(NULL, bytes + ALIGN, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t head;

	if (p == MAP_FAILED)
		test_port_die("out of memory");
	head = -(uintptr_t)p % ALIGN;
	if (head)
		munmap(p, head);
	munmap(p + head + bytes, ALIGN - head);
	return p + head;
}

void test_port_start(size_t bytes, unsigned page_shift)
{
	size_t page = (size_t)1 << page_shift;

	test_port_stop();
	test_port.page_shift = page_shift;
	test_port.bytes = (bytes + page - 1) / page * page;
	test_port.memory = lazy_memory(test_port.bytes);
	test_port.memmap = lazy_memory((memmap_bytes() + 4095) / 4096 * 4096);
}

void test_port_stop(void)
{
	if (test_port.memory) {
		munmap(test_port.memory, test_port.bytes);
		munmap(test_port.memmap, (memmap_bytes() + 4095) / 4096 * 4096);
	}
	memset(&test_port, 0, sizeof(test_port));
}

#if PF_JUDGE
/* One thread: nobody else has a turn, unless the test takes it. */
void pf_atomic_point(const volatile void *p, bool changes)
{
	(void)p;
	(void)changes;
	if (test_port.step)
		test_port.step();
}

void pf_atomic_wait(const volatile void *p)
{
	(void)p;
}
#endif
