/* SPDX-License-Identifier: MIT */
/*
 * A swap device in the test's own memory.
 */
#ifndef TESTS_MM_SWAP_DISK_H
#define TESTS_MM_SWAP_DISK_H

#include "phys/swap.h"
#include "world.h"

#define SWAP_DISK_SLOTS 256u

static char swap_disk[SWAP_DISK_SLOTS * P];
static int disk_write_error; /* what writing says, of all disks of a test */

static inline int swap_disk_read(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	memcpy(pf_port_data(pa, bytes, true), swap_disk + slot * P, bytes);
	return 0;
}

static inline int swap_disk_write(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	memcpy(swap_disk + slot * P, pf_port_data(pa, bytes, false), bytes);
	return disk_write_error;
}

static const struct pf_swap_ops swap_disk_ops = {.read = swap_disk_read, .write = swap_disk_write};

#endif
