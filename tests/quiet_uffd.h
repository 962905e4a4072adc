/* SPDX-License-Identifier: MIT */
/*
 * A userfaultfd that nothing is to be told of. After a world.h, whose address space it is of.
 */
#ifndef TESTS_QUIET_UFFD_H
#define TESTS_QUIET_UFFD_H

#include "mm/uffd.h"

static inline void quiet_uffd_fault(struct pf_uffd *u, const struct pf_uffd_msg *msg)
{
	(void)u;
	fail_msg("a userfaultfd is told of %llx", (unsigned long long)msg->address);
}

static inline void quiet_uffd_wake(struct pf_uffd *u, pf_va_t start, uint64_t len)
{
	(void)u;
	(void)start;
	(void)len;
}

static const struct pf_uffd_ops quiet_uffd_ops = {
	.fault = quiet_uffd_fault, .wake = quiet_uffd_wake};

static inline void quiet_uffd_open(struct pf_uffd *u, uint64_t features)
{
	uint64_t ioctls;

	assert_int_equal(pf_userfaultfd(u, &mm, 0, &quiet_uffd_ops, NULL), 0);
	assert_int_equal(pf_uffd_api(u, PF_UFFD_API, &features, &ioctls), 0);
}

static inline void quiet_uffd_register(struct pf_uffd *u, pf_va_t va, uint64_t pages, unsigned mode)
{
	uint64_t ioctls;

	assert_int_equal(pf_uffd_register(u, va, pages * P, mode, &ioctls), 0);
}

#endif
