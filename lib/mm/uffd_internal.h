/* SPDX-License-Identifier: MIT */
/* What the parts of userfaultfd share. Private to lib/mm. */
#ifndef PF_MM_UFFD_INTERNAL_H
#define PF_MM_UFFD_INTERNAL_H

#include "mm/internal.h"
#include "mm/uffd.h"

/* 0; -PF_EINVAL: the range is none, or api has not been called; -PF_ESRCH: the mm has exited. */
int pf_uffd_check_range(const struct pf_uffd *uffd, pf_va_t start, uint64_t len);

#endif
