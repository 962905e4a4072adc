/* SPDX-License-Identifier: MIT */
#include "port/port.h"

struct test_port test_port;

void test_port_start(size_t bytes)
{
	test_port_stop();
	bytes = (bytes + TEST_PORT_FRAME - 1) / TEST_PORT_FRAME * TEST_PORT_FRAME;
	/* 2 MiB: physical alignment up to a large page carries over to host addresses */
	if (posix_memalign((void **)&test_port.memory, 2 << 20, bytes))
		test_port_die("out of memory");
	memset(test_port.memory, 0, bytes);
	test_port.memmap = calloc(bytes / TEST_PORT_FRAME, 32);
	if (!test_port.memmap)
		test_port_die("out of memory");
	test_port.bytes = bytes;
}

void test_port_stop(void)
{
	free(test_port.memory);
	free(test_port.memmap);
	memset(&test_port, 0, sizeof(test_port));
}
