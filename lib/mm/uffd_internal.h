/* SPDX-License-Identifier: MIT */
/* What the parts of userfaultfd share. Private to lib/mm. */
#ifndef PF_MM_UFFD_INTERNAL_H
#define PF_MM_UFFD_INTERNAL_H

#include "mm/internal.h"
#include "mm/uffd.h"

/* 0; -PF_EINVAL: the range is none, or api has not been called; -PF_ESRCH: the mm has exited. */
int pf_uffd_check_range(const struct pf_uffd *uffd, pf_va_t start, uint64_t len);

/*
 * The VMA at va, if it is private, gets a family for its pages. 0; -PF_ENOENT: there is none; -PF_ENOMEM. mmap
 * lock, any way.
 */
int pf_uffd_prepare(struct pf_mm *mm, pf_va_t va);

#endif
