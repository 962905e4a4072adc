/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "recorder.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

bool guest_read(void *to, uint64_t addr, size_t len)
{
	struct iovec local = {to, len};
	struct iovec remote = {(void *)(uintptr_t)(addr + recorder.guest_base), len};

	return !len || process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)len;
}

ssize_t guest_string(char *to, size_t room, uint64_t addr)
{
	size_t done = 0;

	while (done < room) {
		/* Not across a page at a time: the next may be unmapped although the string ends here. */
		size_t len = PAGE_BYTES - ((addr + done) & (PAGE_BYTES - 1));

		if (len > room - done)
			len = room - done;
		if (!guest_read(to + done, addr + done, len))
			return -1;
		char *zero = memchr(to + done, 0, len);
		if (zero)
			return zero - to;
		done += len;
	}
	return -1;
}
