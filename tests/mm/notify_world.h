/* SPDX-License-Identifier: MIT */
/*
 * A process that a device mirrors: pages of its own, in folios of 16 pages or of one; a file's, shared and private; shared memory.
 */
#ifndef TESTS_MM_NOTIFY_WORLD_H
#define TESTS_MM_NOTIFY_WORLD_H

#include "world.h"

#include "base/err.h"
#include "mirror.h"
#include "mm/ksm.h"
#include "mm/mapping.h"
#include "mm/rmap.h"
#include "mm/uffd.h"
#include "ops/formats.h"

#define A      UINT64_C(0x10000000)
#define RW     (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED  (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define AT(n)  (A + (n)*P)
#define OWN    64u /* pages of the process's own, from 0 on */
#define SHARED 64u /* 16 pages of a file, shared; the same, private; 16 of shared memory */
#define COPIES 80u
#define SHMEM  96u
#define HOLE   112u
#define PAGES  128u
#define WANT   (PF_HMM_PFN_REQ_FAULT | PF_HMM_PFN_REQ_WRITE)

static struct mirror mirror;
static struct pf_mm child;
static bool have_child, large, swap_on;
static struct pf_mapping *file, *shmem;
static struct pf_uffd uffd;

static inline int read_disk(struct pf_mapping *m, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)m;
	(void)index;
	pf_port_clear_pages(pa, nr * P);
	return 0;
}

static inline int write_disk(struct pf_mapping *m, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)m;
	(void)index;
	(void)pa;
	(void)nr;
	return 0;
}

static inline int punch_disk(struct pf_mapping *m, uint64_t index, uint64_t nr)
{
	(void)m;
	(void)index;
	(void)nr;
	return 0;
}

static const struct pf_mapping_ops disk = {
	.read = read_disk, .write = write_disk, .punch = punch_disk};

/* A fault as by a store (or load): 0, or -PF_ENOMEM. */
static inline int fault(pf_va_t va, unsigned flags)
{
	world_note(va, 1);
	return pf_handle_mm_fault(&mm, va, flags) == PF_FAULT_DONE ? 0 : -PF_ENOMEM;
}

static inline void put(pf_va_t va, uint64_t value)
{
	while (machine_store(va, value).fault)
		assert_int_equal(fault(va, PF_FAULT_FLAG_WRITE), 0);
}

static inline void map_files(void)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	file = f.mapping = pf_mapping_create(&sys, &disk, NULL, 16 * P);
	assert_non_null(file);
	assert_true(pf_mmap_file(&mm, AT(SHARED), 16 * P, RW, PF_MAP_SHARED | PF_MAP_FIXED, &f,
			    0) == (int64_t)AT(SHARED));
	assert_true(pf_mmap_file(&mm, AT(COPIES), 16 * P, RW, PF_MAP_PRIVATE | PF_MAP_FIXED, &f,
			    0) == (int64_t)AT(COPIES));
	shmem = f.mapping = pf_mapping_create(&sys, NULL, NULL, 16 * P);
	assert_non_null(shmem);
	assert_true(pf_mmap_file(&mm, AT(SHMEM), 16 * P, RW, PF_MAP_SHARED | PF_MAP_FIXED, &f, 0) ==
		    (int64_t)AT(SHMEM));
}

/* All is written, but for the file's pages in private memory, which are read. The device has all. */
static inline void begin(const struct pf_format *fmt, uint64_t fail_at)
{
	world_start(fmt, fail_at);
	have_child = swap_on = false;
	uffd.mm = NULL;
	if (!large)
		sys.thp.order[2] = sys.thp.order[4] = PF_THP_NEVER;
	assert_int_equal(pf_mmap(&mm, A, OWN * P, RW, FIXED), A);
	map_files();
	for (unsigned i = 0; i < HOLE; i++) {
		if (i < COPIES || i >= SHMEM)
			put(AT(i), i < 32 ? 7 : i);
		else
			assert_int_equal(fault(AT(i), 0), 0);
	}
	assert_int_equal(mirror_begin(&mirror, &mm, A, PAGES), 0);
	assert_int_equal(mirror_map(&mirror, 0, COPIES, WANT), 0);
	assert_int_equal(mirror_map(&mirror, COPIES, 16, PF_HMM_PFN_REQ_FAULT), 0);
	assert_int_equal(mirror_map(&mirror, SHMEM, 16, WANT), 0);
	assert_int_equal(mirror_has(&mirror, false), HOLE);
	assert_int_equal(mirror_has(&mirror, true), HOLE - 16);
}

static inline void check(const char *when)
{
	mirror_check_idle(&mirror, when);
	world_check(when);
}

static inline void end(void)
{
	if (have_child) {
		pf_mm_exit(&child);
		machine_retire_asid(2);
	}
	if (uffd.mm)
		pf_uffd_close(&uffd);
	mirror_check_idle(&mirror, "the end");
	machine_set_root(0, 0, 0);
	pf_mm_exit(&mm);
	/* Both find it gone. */
	mirror_stop(&mirror);
	assert_true(mirror.rss > 0);
	assert_int_equal(mirror_has(&mirror, false), 0);
	machine_retire_asid(WORLD_ASID);
	pf_mapping_put(file);
	pf_mapping_put(shmem);
	if (swap_on)
		assert_int_equal(pf_swapoff(&sys, 0), 0);
	pf_ksm_prune(&sys);
	pf_system_exit(&sys);
	machine_rcu_drain();
	/* Lost frames nobody gets again. */
	assert_int_equal(machine_check_end(), sys.poisoned * P);
	world_judge("the end");
	machine_stop();
}

#endif
