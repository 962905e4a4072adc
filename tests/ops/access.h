/* SPDX-License-Identifier: MIT */
/*
 * Loads and stores of a program on the machine of world.h: what faults is handled and done again.
 */
#ifndef TESTS_OPS_ACCESS_H
#define TESTS_OPS_ACCESS_H

#include "world.h"

static inline enum pf_fault_result put(pf_va_t va, uint64_t value)
{
	enum pf_fault_result r = PF_FAULT_DONE;

	while (r == PF_FAULT_DONE && machine_store(va, value).fault)
		r = world_write(va);
	return r;
}

static inline enum pf_fault_result get(pf_va_t va, uint64_t *value)
{
	enum pf_fault_result r = PF_FAULT_DONE;

	while (r == PF_FAULT_DONE && machine_load(va, value).fault)
		r = pf_handle_mm_fault(&mm, va, 0);
	return r;
}

static inline void finds(pf_va_t va, uint64_t want)
{
	uint64_t value = ~want;

	assert_int_equal(get(va, &value), PF_FAULT_DONE);
	assert_int_equal(value, want);
}

#endif
