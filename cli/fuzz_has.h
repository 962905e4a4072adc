/* SPDX-License-Identifier: MIT */
/* What a host has that not all have (fuzz_has.c). */
#ifndef CLI_FUZZ_HAS_H
#define CLI_FUZZ_HAS_H

#include <stdbool.h>
#include <stdint.h>

/* The lowest address that may be mapped. */
uint64_t fuzz_has_min_addr(void);
/* Is there anything to swap to? */
bool fuzz_has_swap(void);
/* Is there KSM, and does it nothing by itself? */
bool fuzz_has_ksm_at_rest(void);
/* Is there no folio between a page and a PMD's, so that MADV_HUGEPAGE brings nothing where no PMD fits? */
bool fuzz_has_hints(void);
/* Is there a disk for files? To be asked before the next two, by who forks those that ask them. */
bool fuzz_has_disk(void);
/* A file of a disk's without a name, of `size` zeros, all of which are in memory; -1: none is to be had. */
int fuzz_disk_file(uint64_t size);
/* All of it in memory again, page by page: nothing is read ahead. */
bool fuzz_disk_read(int fd, uint64_t size);

#endif
