/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd where scenarios have no words for it: the address of a message, calls that would wait, private mappings of memory
 * without a file, and too many mappings.
 */
#include "world.h"

#include "base/err.h"
#include "mm/mapping.h"
#include "mm/uffd.h"

#define A     UINT64_C(0x10000000)
#define B     UINT64_C(0x20000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)

static struct pf_uffd uffd;
static struct pf_uffd_msg last;
static unsigned told, woken;

static void tell(struct pf_uffd *u, const struct pf_uffd_msg *msg)
{
	assert_ptr_equal(u, &uffd);
	last = *msg;
	told++;
}

static void wake(struct pf_uffd *u, pf_va_t start, uint64_t len)
{
	(void)start;
	(void)len;
	assert_ptr_equal(u, &uffd);
	woken++;
}

static const struct pf_uffd_ops ops = {.fault = tell, .wake = wake};

static void start(const struct pf_format *fmt, unsigned flags, uint64_t features)
{
	uint64_t ioctls;

	world_start(fmt, 0);
	/* A page at a time. */
	sys.thp.order[2] = sys.thp.order[4] = PF_THP_NEVER;
	told = woken = 0;
	last = (struct pf_uffd_msg){0};
	assert_int_equal(pf_userfaultfd(&uffd, &mm, flags, &ops, NULL), 0);
	assert_int_equal(pf_uffd_api(&uffd, PF_UFFD_API, &features, &ioctls), 0);
	assert_int_equal(pf_mmap(&mm, A, 8 * P, RW, FIXED), A);
}

static void stop(void)
{
	world_check("the end");
	pf_uffd_close(&uffd);
	world_stop();
}

static void reg(pf_va_t va, uint64_t pages, unsigned mode, int want)
{
	uint64_t ioctls;

	assert_int_equal(pf_uffd_register(&uffd, va, pages * P, mode, &ioctls), want);
}

static void touch(pf_va_t va)
{
	world_note(va, 1);
	assert_int_equal(pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
}

static pf_pte_t at(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	return info.pte;
}

/* An entry or a marker that says uffd-wp. */
static bool is_wp(pf_va_t va)
{
	const pf_pte_t pte = at(va);

	return pf_pte_kind(pte) == PF_PTE_MARKER ? pte.v & PF_MARKER_UFFD_WP
						 : pte.v & PF_PTE_UFFD_WP;
}

static unsigned nr_wp(pf_va_t va, uint64_t pages)
{
	unsigned n = 0;

	for (uint64_t i = 0; i < pages; i++)
		n += is_wp(va + i * P);
	return n;
}

/* ---- messages ---- */

static void waits(pf_va_t va, unsigned flags, pf_va_t address, unsigned says)
{
	const unsigned before = told;

	assert_int_equal(pf_handle_mm_fault(&mm, va, flags), PF_FAULT_UFFD);
	assert_int_equal(told, before + 1);
	assert_int_equal(last.address, address);
	assert_int_equal(last.flags, says);
}

static void address(void **state)
{
	start(*state, 0, 0);
	reg(A, 8, PF_UFFDIO_REGISTER_MODE_MISSING, 0);
	waits(A + P + 24, 0, A + P, 0);
	waits(A + 2 * P - 1, PF_FAULT_FLAG_WRITE, A + P, PF_UFFD_PAGEFAULT_FLAG_WRITE);
	stop();

	start(*state, 0, PF_UFFD_FEATURE_EXACT_ADDRESS);
	touch(A);
	reg(A, 8, PF_UFFDIO_REGISTER_MODE_MISSING | PF_UFFDIO_REGISTER_MODE_WP, 0);
	assert_int_equal(pf_uffd_writeprotect(&uffd, A, P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	waits(A + P + 24, 0, A + P + 24, 0);
	waits(A + 8, PF_FAULT_FLAG_WRITE, A + 8,
		PF_UFFD_PAGEFAULT_FLAG_WRITE | PF_UFFD_PAGEFAULT_FLAG_WP);
	stop();
}

/* Calls that would wait: told, and to be called again; nothing is there that nobody put there. */
static void calls(void **state)
{
	pf_pfn_t page;
	int64_t done;

	start(*state, 0, 0);
	touch(A);
	reg(A, 8, PF_UFFDIO_REGISTER_MODE_MISSING | PF_UFFDIO_REGISTER_MODE_WP, 0);
	assert_int_equal(pf_madvise(&mm, A, 2 * P, PF_MADV_POPULATE_READ), -PF_EAGAIN);
	assert_int_equal(last.address, A + P);
	assert_int_equal(pf_madvise(&mm, A + P, P, PF_MADV_POPULATE_WRITE), -PF_EAGAIN);
	assert_int_equal(pf_gup(&mm, A + 2 * P, 1, PF_FOLL_GET, &page), -PF_EAGAIN);
	assert_int_equal(last.address, A + 2 * P);
	/* Of a copy what it copies from. */
	assert_int_equal(pf_uffd_copy(&uffd, &mm, A + P, A + 3 * P, P, 0, &done), -PF_EAGAIN);
	assert_int_equal(done, -PF_EAGAIN);
	assert_int_equal(last.address, A + 3 * P);
	assert_int_equal(told, 4);
	assert_int_equal(woken, 0);
	assert_true(pf_pte_none(at(A + P)));
	assert_true(pf_pte_none(at(A + 3 * P)));
	/* What comes before it is done. */
	world_note(A + 4 * P, 2);
	assert_int_equal(pf_uffd_copy(&uffd, &mm, A + 4 * P, A, 2 * P, 0, &done), -PF_EAGAIN);
	assert_int_equal(done, P);
	assert_true(pf_pte_present(at(A + 4 * P)));
	assert_int_equal(last.address, A + P);
	assert_int_equal(woken, 1);
	assert_int_equal(pf_uffd_writeprotect(&uffd, A, P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_GET | PF_FOLL_WRITE, &page), -PF_EAGAIN);
	assert_int_equal(last.flags, PF_UFFD_PAGEFAULT_FLAG_WRITE | PF_UFFD_PAGEFAULT_FLAG_WP);
	stop();
}

/* UFFD_USER_MODE_ONLY: what the process itself does waits; no call does. */
static void user_mode_only(void **state)
{
	pf_pfn_t page;
	int64_t done;

	start(*state, PF_UFFD_USER_MODE_ONLY, 0);
	reg(A, 8, PF_UFFDIO_REGISTER_MODE_MISSING, 0);
	assert_int_equal(pf_madvise(&mm, A, P, PF_MADV_POPULATE_READ), -PF_EFAULT);
	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_GET, &page), -PF_EFAULT);
	assert_int_equal(pf_uffd_copy(&uffd, &mm, A, A + P, P, 0, &done), -PF_EFAULT);
	assert_int_equal(told, 0);
	waits(A, 0, A, 0);
	stop();
}

/* ---- a private mapping of memory without a file ---- */

static struct pf_mapping *map_shmem(uint64_t pages)
{
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	f.mapping = pf_mapping_create(&sys, NULL, NULL, pages * P);
	assert_non_null(f.mapping);
	assert_int_equal(pf_mmap_file(&mm, B, 8 * P, RW, PF_MAP_PRIVATE | PF_MAP_FIXED, &f, 0), B);
	return f.mapping;
}

static void zeros(void **state)
{
	struct pf_mapping *file;
	int64_t done;

	start(*state, 0, 0);
	file = map_shmem(8);
	reg(B, 8, PF_UFFDIO_REGISTER_MODE_MISSING | PF_UFFDIO_REGISTER_MODE_WP, 0);
	assert_int_equal(pf_uffd_zeropage(&uffd, B, 2 * P, 0, &done), 0);
	assert_true(pf_pte_special(at(B)));
	assert_int_equal(pf_uffd_writeprotect(&uffd, B, P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	assert_int_equal(nr_wp(B, 2), 1);
	assert_int_equal(pf_madvise(&mm, B, 2 * P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_pte_kind(at(B)), PF_PTE_MARKER);
	assert_int_equal(nr_wp(B, 2), 1);
	assert_true(pf_pte_none(at(B + P)));
	world_check("zapped");
	pf_mapping_put(file);
	stop();
}

static void past_end(void **state)
{
	struct pf_mapping *file;
	int64_t done;

	start(*state, 0, 0);
	touch(A);
	file = map_shmem(4);
	reg(B, 8, PF_UFFDIO_REGISTER_MODE_MISSING, 0);
	assert_int_equal(pf_uffd_zeropage(&uffd, B + 3 * P, 2 * P, 0, &done), -PF_EAGAIN);
	assert_int_equal(done, P);
	assert_int_equal(pf_uffd_copy(&uffd, &mm, B + 4 * P, A, P, 0, &done), -PF_EFAULT);
	world_note(B + 2 * P, 1);
	assert_int_equal(pf_uffd_copy(&uffd, &mm, B + 2 * P, A, P, 0, &done), 0);
	pf_mapping_truncate(file, 2 * P);
	assert_true(pf_pte_none(at(B + 2 * P)));
	assert_true(pf_pte_none(at(B + 3 * P)));
	assert_int_equal(pf_uffd_copy(&uffd, &mm, B + 2 * P, A, P, 0, &done), -PF_EFAULT);
	pf_mapping_put(file);
	stop();
}

/* ---- too many mappings ---- */

static void too_many(void **state)
{
	start(*state, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		touch(A + i * P);
	reg(A, 8, PF_UFFDIO_REGISTER_MODE_WP, 0);
	assert_int_equal(pf_uffd_writeprotect(&uffd, A, 4 * P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	sys.max_map_count = mm.map_count;
	/* Refused: then writes are noticed as before. */
	reg(A + P, 2, PF_UFFDIO_REGISTER_MODE_MISSING, -PF_ENOMEM);
	assert_int_equal(nr_wp(A, 4), 4);
	world_check("refused");
	sys.max_map_count += 2;
	reg(A + P, 2, PF_UFFDIO_REGISTER_MODE_MISSING, 0);
	assert_true(is_wp(A));
	assert_int_equal(nr_wp(A + P, 2), 0);
	assert_true(is_wp(A + 3 * P));
	touch(A + P);
	stop();
}

int main(void)
{
	int failed = 0;

	for (unsigned i = 0; pf_formats[i]; i++) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_prestate(address, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(calls, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(user_mode_only, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(zeros, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(past_end, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(too_many, (void *)pf_formats[i]),
		};

		if (!(pf_formats[i]->pt->pte_supported & PF_PTE_UFFD_WP))
			continue;
		failed += cmocka_run_group_tests_name(pf_formats[i]->pt->name, tests, NULL, NULL);
	}
	return failed;
}
