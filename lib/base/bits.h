/* SPDX-License-Identifier: MIT */
/*
 * Bits and alignment. The counts are written out: compiler builtins may turn into calls to libgcc
 * (__popcountdi2, __clzdi2), and the library links against nothing.
 */
#ifndef PF_BASE_BITS_H
#define PF_BASE_BITS_H

#include "base/types.h"

#define PF_BIT(n) (UINT64_C(1) << (n))
/* Bits hi..lo, both included; hi may be 63. */
#define PF_MASK(hi, lo) ((UINT64_MAX >> (63 - (hi))) & (UINT64_MAX << (lo)))

PF_INLINE uint64_t pf_align_down(uint64_t v, uint64_t pow2)
{
	return v & ~(pow2 - 1);
}

/* Wraps to 0 past the last multiple; callers that can reach it use pf_align_down and counts. */
PF_INLINE uint64_t pf_align_up(uint64_t v, uint64_t pow2)
{
	return (v + pow2 - 1) & ~(pow2 - 1);
}

PF_INLINE bool pf_aligned(uint64_t v, uint64_t pow2)
{
	return !(v & (pow2 - 1));
}

PF_INLINE bool pf_is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

PF_INLINE uint64_t pf_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

PF_INLINE uint64_t pf_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

PF_INLINE unsigned pf_popcount64(uint64_t v)
{
	v -= (v >> 1) & UINT64_C(0x5555555555555555);
	v = (v & UINT64_C(0x3333333333333333)) + ((v >> 2) & UINT64_C(0x3333333333333333));
	v = (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (unsigned)((v * UINT64_C(0x0101010101010101)) >> 56);
}

/* Index of the lowest set bit; 64 if there is none. */
PF_INLINE unsigned pf_ctz64(uint64_t v)
{
	return v ? pf_popcount64((v & -v) - 1) : 64;
}

/* Index of the highest set bit (floor of log2). v must not be 0. */
PF_INLINE unsigned pf_log2(uint64_t v)
{
	v |= v >> 1;
	v |= v >> 2;
	v |= v >> 4;
	v |= v >> 8;
	v |= v >> 16;
	v |= v >> 32;
	return pf_popcount64(v) - 1;
}

#endif
