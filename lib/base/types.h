/* SPDX-License-Identifier: MIT */
/*
 * Integers and addresses, as the whole library names them.
 *
 * Units: a pf_va_t and a pf_pa_t count bytes, a pf_pfn_t counts frames of the format's page size,
 * and every `nr` counts pages unless its comment says otherwise. Ranges are half-open; where a
 * range may end at the last page of the address space it is passed as (start, nr), never as an end
 * address, because that end is not representable.
 */
#ifndef PF_BASE_TYPES_H
#define PF_BASE_TYPES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t pf_va_t;  /* virtual address, bytes */
typedef uint64_t pf_pa_t;  /* physical address, bytes */
typedef uint64_t pf_pfn_t; /* frame number */

#define PF_ARRAY_SIZE(a)                 (sizeof(a) / sizeof((a)[0]))
#define PF_CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define PF_STATIC_ASSERT(c, msg)         _Static_assert(c, msg)

#define PF_CAT2_(a, b)       a##b
#define PF_CAT2(a, b)        PF_CAT2_(a, b)
#define PF_CAT4_(a, b, c, d) a##b##c##d
#define PF_CAT4(a, b, c, d)  PF_CAT4_(a, b, c, d)
#define PF_STR_(x)           #x
#define PF_STR(x)            PF_STR_(x)

#define PF_LIKELY(x)   __builtin_expect(!!(x), 1)
#define PF_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PF_INLINE      static inline __attribute__((always_inline))

#endif
