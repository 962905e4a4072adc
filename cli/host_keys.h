/* SPDX-License-Identifier: MIT */
/*
 * Protection keys of the host's CPU, if it has them. There Linux gives mappings of PROT_EXEC alone a key by which nobody reads them, while it
 * has one to give; and takes key 0 for one. The library has none. With all keys taken, and by keys that are none, Linux answers as
 * on a CPU without.
 */
#ifndef CLI_HOST_KEYS_H
#define CLI_HOST_KEYS_H

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOST_KEYS 16 /* of any CPU that Linux knows */

/* Of this process, and of all that it forks. */
static inline void host_take_keys(void)
{
	while (syscall(SYS_pkey_alloc, 0, 0) >= 0)
		;
}

/* For pkey_mprotect. */
static inline uint64_t host_key(uint64_t key)
{
	return key < HOST_KEYS ? HOST_KEYS : key;
}

#endif
