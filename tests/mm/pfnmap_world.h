/* SPDX-License-Identifier: MIT */
/*
 * A device with frames that are no memory of the library's: the upper half of the machine's, so that what is stored there can be seen.
 * A page's first word says which one it is.
 */
#ifndef TESTS_MM_PFNMAP_WORLD_H
#define TESTS_MM_PFNMAP_WORLD_H

#define WORLD_MEMORY (UINT64_C(8) << 20)

#include "world.h"

#include "base/err.h"
#include "mm/mapping.h"
#include "mm/pfnmap.h"
#include "mm/rmap.h"
#include "ops/formats.h"

#define A          UINT64_C(0x10000000)
#define B          UINT64_C(0x20000000)
#define RW         (PF_PROT_READ | PF_PROT_WRITE)
#define SHARED     (PF_MAP_SHARED | PF_MAP_FIXED)
#define PRIVATE    (PF_MAP_PRIVATE | PF_MAP_FIXED)
#define MOVE       (PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED)
#define DEV        ((MACHINE_RAM_BASE + WORLD_BYTES) / P)
#define DEV_FRAMES ((WORLD_MEMORY - WORLD_BYTES) / P)

static struct pf_mapping *dev;
static unsigned faults, copies;
static int fault_says, copy_says;
static uint64_t around; /* frames that a fault puts there, at a multiple of as many */

static inline uint64_t *word(pf_pfn_t pfn)
{
	return pf_port_virt(pfn * P);
}

static inline int dev_fault(struct pf_mapping *mapping, const struct pf_pfn_fault *f)
{
	uint64_t first = pf_max(f->first, pf_align_down(f->index, around));
	uint64_t end = pf_min(f->last + 1, pf_align_down(f->index, around) + around);

	assert_ptr_equal(mapping, dev);
	faults++;
	return fault_says ? fault_says : pf_insert_pfns(f, first, DEV + first, end - first);
}

static inline int dev_copy(struct pf_mapping *mapping, pf_pfn_t pfn, pf_pa_t pa)
{
	assert_ptr_equal(mapping, dev);
	copies++;
	if (copy_says)
		return copy_says;
	pf_port_copy_pages(pa, pfn * P, P);
	return 0;
}

static const struct pf_mapping_ops dev_ops = {.fault = dev_fault, .copy = dev_copy};

static inline int64_t map_dev(
	pf_va_t va, uint64_t pages, unsigned prot, unsigned flags, uint64_t index)
{
	const struct pf_file file = {.mapping = dev, .mode = PF_FILE_READ | PF_FILE_WRITE};

	return pf_mmap_file(&mm, va, pages * P, prot, flags, &file, index * P);
}

static inline void begin(const struct pf_format *fmt, enum pf_fold_policy policy, uint64_t fail_at)
{
	world_start(fmt, fail_at);
	mm.space.pt.policy = (uint8_t)policy;
	sys.policy = policy;
	faults = copies = 0;
	fault_says = copy_says = 0;
	around = 1;
	for (unsigned i = 0; i < DEV_FRAMES; i++)
		*word(DEV + i) = 0xd0000 + i;
	dev = pf_mapping_create(&sys, &dev_ops, NULL, 0);
	assert_non_null(dev);
}

static inline void finish(void)
{
	world_check("the end");
	pf_mapping_put(dev);
	world_stop();
}

static inline struct pf_page_info at_of(struct pf_mm *m, pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(m, va, &info);
	return info;
}

static inline struct pf_page_info at(pf_va_t va)
{
	return at_of(&mm, va);
}

static inline enum pf_fault_result put(pf_va_t va, uint64_t value)
{
	enum pf_fault_result r = PF_FAULT_DONE;

	for (unsigned i = 0; i < 2000 && machine_store(va, value).fault; i++) {
		r = pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE);
		if (r != PF_FAULT_DONE)
			break;
	}
	return r;
}

static inline enum pf_fault_result get(pf_va_t va, uint64_t *value)
{
	enum pf_fault_result r = PF_FAULT_DONE;

	for (unsigned i = 0; i < 2000 && machine_load(va, value).fault; i++) {
		r = pf_handle_mm_fault(&mm, va, 0);
		if (r != PF_FAULT_DONE)
			break;
	}
	return r;
}

static inline void finds(pf_va_t va, uint64_t want)
{
	uint64_t value = ~want;

	assert_int_equal(get(va, &value), PF_FAULT_DONE);
	assert_int_equal(value, want);
}

/* All formats, folding and not. */
static inline void everywhere(void (*test)(void))
{
	static const enum pf_fold_policy policy[] = {PF_FOLD_WATCH, PF_FOLD_LINUX, PF_FOLD_OFF};

	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned k = 0; k < PF_ARRAY_SIZE(policy); k++) {
			begin(pf_formats[i], policy[k], 0);
			test();
			finish();
		}
}

#define EVERYWHERE(name)                                                                           \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		everywhere(name);                                                                  \
	}

#endif
