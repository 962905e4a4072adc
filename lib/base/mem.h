/* SPDX-License-Identifier: MIT */
/*
 * The four functions of the C library that the library calls, and the compiler may; an embedder has them.
 */
#ifndef PF_BASE_MEM_H
#define PF_BASE_MEM_H

#include "base/types.h"

void *memset(void *p, int c, size_t n);
void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
