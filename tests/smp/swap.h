/* SPDX-License-Identifier: MIT */
/*
 * The stress program's swap device (stress.c).
 */
#ifndef TESTS_SMP_SWAP_H
#define TESTS_SMP_SWAP_H

#include "phys/swap.h"

extern const struct pf_swap_ops stress_swap_ops;

#endif
