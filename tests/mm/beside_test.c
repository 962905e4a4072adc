// SPDX-License-Identifier: MIT
/* What happens between two steps of a call, where no scenario can say it: errors of devices and files, and drivers that store. */
#include "machine/apart.h"
#include "machine/explore.h"
#include "mm/internal.h"
#include "mm/migrate.h"
#include "mm/poison.h"
#include "ops/formats.h"
#include "swap_disk.h"

#define A  UINT64_C(0x10000000)
#define RW (PF_PROT_READ | PF_PROT_WRITE)

/* ---- a driver stores while the page is written to swap ---- */

static int64_t driver_has;

static void drives(void *arg)
{
	pf_pfn_t page;

	driver_has = pf_gup_fast_only(&mm, A, 1, *(const unsigned *)arg, &page);
	if (driver_has != 1)
		return;
	*(uint64_t *)pf_port_data(page * P, 8, true) = 0x4242;
	pf_folio_set_flags(pf_page_folio(&phys, page), PF_FOLIO_DIRTY);
	if (*(const unsigned *)arg & PF_FOLL_PIN)
		pf_unpin_user_pages(&sys, &page, 1);
	else
		pf_put_user_pages(&sys, &page, 1);
}

static void reclaims(void *arg)
{
	(void)arg;
	pf_reclaim(&sys, UINT64_MAX);
}

static bool store_is_there(void *ctx, const char *stopped)
{
	pf_pfn_t page;

	(void)ctx;
	if (stopped || pf_gup(&mm, A, 1, PF_FOLL_GET, &page) != 1)
		return false;
	return *(uint64_t *)pf_port_virt(page * P) == (driver_has == 1 ? 0x4242 : 1);
}

/* again: the page has been in swap before, and is there still. */
static void driver_beside_swap(
	const struct pf_format *fmt, const unsigned *foll, bool again, unsigned preemptions)
{
	const struct explore_plan plan = {
		.threads = {{0, reclaims, NULL}, {1, drives, (void *)foll}},
		.nthreads = 2,
		.bounds = {.preemptions = preemptions, .most = EXPLORE_FEW},
		.after = store_is_there};
	struct explore_result r;
	pf_pfn_t page;

	world_start(fmt, 0);
	assert_int_equal(pf_swapon(&sys, &swap_disk_ops, NULL, SWAP_DISK_SLOTS), 0);
	assert_int_equal(
		pf_mmap(&mm, A, P, RW, PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED), A);
	world_note(A, 1);
	assert_int_equal(pf_gup(&mm, A, 1, PF_FOLL_GET | PF_FOLL_WRITE, &page), 1);
	*(uint64_t *)pf_port_virt(page * P) = 1;
	pf_folio_set_flags(pf_page_folio(&phys, page), PF_FOLIO_DIRTY);
	pf_put_user_pages(&sys, &page, 1);
	if (again) {
		reclaims(NULL);
		assert_int_equal(pf_handle_mm_fault(&mm, A, 0), PF_FAULT_DONE);
	}
	assert_int_equal(machine_explore(&plan, &r), 0);
	if (r.failed)
		print_message("%s: replay=%s\n", fmt->pt->name, r.token);
	assert_false(r.failed);
	assert_true(r.exhausted || EXPLORE_FEW);
	kept_release();
	assert_int_equal(pf_munmap(&mm, A, P), 0);
	assert_int_equal(pf_swapoff(&sys, 0), 0);
	world_stop();
}

static void stores_while_written(void **state)
{
	static const unsigned get = PF_FOLL_GET | PF_FOLL_WRITE, pin = PF_FOLL_PIN | PF_FOLL_WRITE;

	(void)state;
	world_cpus = 2;
	/* Nothing of it depends on the format. Three: the reference, the write, the store, each in the middle of the other. */
	driver_beside_swap(&pf_format_fake_inv, &get, false, 3);
	driver_beside_swap(&pf_format_fake_inv, &get, true, 2);
	driver_beside_swap(&pf_format_fake_inv, &pin, false, 2);
	world_cpus = 1;
}

/* ---- a fault of a page that moves, and is the process's own ---- */

static bool unreadable;
static enum pf_fault_result said;

static int read_page(struct pf_mapping *m, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)m;
	(void)index;
	if (unreadable)
		return -PF_EIO;
	pf_port_clear_pages(pa, nr * P);
	return 0;
}

static void moves(void *arg)
{
	(void)arg;
	pf_migrate(&mm, A, P);
}

static void faults(void *arg)
{
	(void)arg;
	said = pf_handle_mm_fault(&mm, A, 0);
}

static bool is_done(void *ctx, const char *stopped)
{
	(void)ctx;
	return !stopped && said == PF_FAULT_DONE;
}

/* lost: of shared memory the page was lost; else a file's cannot be read any more. */
static void own_page_moves(const struct pf_format *fmt, bool lost)
{
	static const struct pf_mapping_ops file = {.read = read_page};
	const struct explore_plan plan = {.threads = {{0, moves, NULL}, {1, faults, NULL}},
		.nthreads = 2,
		.bounds = {.preemptions = 2, .most = EXPLORE_FEW},
		.after = is_done};
	struct pf_file f = {.mode = PF_FILE_READ | PF_FILE_WRITE};
	struct explore_result r;
	struct pf_folio *folio;
	pf_pfn_t pfn;

	unreadable = false;
	world_start(fmt, 0);
	f.mapping = pf_mapping_create(&sys, lost ? NULL : &file, NULL, P);
	assert_int_equal(pf_mmap_file(&mm, A, P, RW, PF_MAP_PRIVATE | PF_MAP_FIXED, &f, 0), A);
	world_note(A, 1);
	assert_int_equal(pf_handle_mm_fault(&mm, A, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	folio = pf_mapping_find(f.mapping, 0, 0);
	pfn = pf_folio_pfn(&phys, folio);
	pf_folio_put(&phys, folio, 1);
	if (lost)
		assert_int_equal(pf_memory_failure(&sys, pfn), 0);
	else
		pf_mapping_drop(f.mapping, 0, 0);
	unreadable = true;
	machine_set_root(1, mm.space.pt.root, WORLD_ASID);
	assert_int_equal(machine_explore(&plan, &r), 0);
	if (r.failed)
		print_message("%s, %s: replay=%s\n", fmt->pt->name, lost ? "lost" : "unreadable",
			r.token);
	assert_false(r.failed);
	assert_true(r.exhausted || EXPLORE_FEW);
	kept_release();
	machine_set_root(1, 0, 0);
	assert_int_equal(pf_munmap(&mm, A, P), 0);
	pf_mapping_put(f.mapping);
	if (!lost) {
		world_stop();
		return;
	}
	/* Not everything is given back: a frame is lost for good. */
	machine_set_root(0, 0, 0);
	pf_mm_exit(&mm);
	pf_system_exit(&sys);
	machine_rcu_drain();
	table_watch_stop();
	machine_stop();
}

static void own_page_is_not_the_files(void **state)
{
	(void)state;
	world_cpus = 2;
	for (unsigned f = 0; pf_formats[f]; f++) {
		own_page_moves(pf_formats[f], true);
		own_page_moves(pf_formats[f], false);
	}
	world_cpus = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_while_written),
		cmocka_unit_test(own_page_is_not_the_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
