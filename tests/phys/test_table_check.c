/* SPDX-License-Identifier: MIT */
/*
 * Page-table check can fail: each thing that it forbids is done once, by telling it what entries would, beside what is allowed.
 */
#include "phys/table_check.h"
#include "phys_test.h"

static struct pf_phys phys;
static struct pf_table_check check;
static uint32_t maps[1024];
static const char *said;
static pf_pfn_t said_of;

static void bad(void *ctx, pf_pfn_t pfn, const char *why)
{
	assert_ptr_equal(ctx, &check);
	said = why;
	said_of = pfn;
}

static void begin(void)
{
	start(&phys, 1024);
	memset(maps, 0, sizeof(maps));
	pf_table_check_init(&check, &phys, maps);
	check.bad = bad;
	check.ctx = &check;
	said = NULL;
}

static void set(pf_pfn_t pfn, uint64_t nr, bool write)
{
	check.told.set(&check.told, pfn, nr, write);
}

static void clear(pf_pfn_t pfn, uint64_t nr)
{
	check.told.clear(&check.told, pfn, nr);
}

static void quiet(void)
{
	if (said)
		fail_msg("frame %llu: %s", (unsigned long long)said_of, said);
	assert_int_equal(check.violations, 0);
}

/* It spoke once, of that frame. */
static void spoke(pf_pfn_t pfn, const char *of)
{
	assert_non_null(said);
	assert_non_null(strstr(said, of));
	assert_int_equal(said_of, pfn);
	assert_int_equal(check.violations, 1);
	said = NULL;
	check.violations = 0;
}

static void pages_shared_for_reading(void **state)
{
	struct pf_folio *folio;
	pf_pfn_t pfn;

	(void)state;
	begin();
	folio = pf_folio_alloc(&phys, 3, PF_USE_ANON);
	pfn = pf_folio_pfn(&phys, folio);
	set(pfn, 8, true);
	/* fork takes the parent's right to write first */
	clear(pfn, 8);
	set(pfn, 8, false);
	set(pfn, 8, false);
	clear(pfn, 8);
	/* the parent is alone with page 3, and gets it back */
	clear(pfn + 3, 1);
	set(pfn + 3, 1, true);
	quiet();
	clear(pfn, 8);
	pf_folio_put(&phys, folio, 1);
	quiet();
	check_all_free(&phys);
}

static void writable_anonymous_page_mapped_twice(void **state)
{
	struct pf_folio *folio;
	pf_pfn_t pfn;

	(void)state;
	begin();
	folio = pf_folio_alloc(&phys, 2, PF_USE_ANON);
	pfn = pf_folio_pfn(&phys, folio);
	set(pfn, 4, false);
	set(pfn + 2, 1, true);
	spoke(pfn + 2, "writable");
	clear(pfn + 2, 1);
	clear(pfn, 4);
	pf_folio_put(&phys, folio, 1);
	quiet();
}

/* Files and shared memory are written by many. */
static void writable_page_of_a_file(void **state)
{
	struct pf_folio *folio;
	pf_pfn_t pfn;

	(void)state;
	begin();
	folio = pf_folio_alloc(&phys, 0, PF_USE_FILE);
	pfn = pf_folio_pfn(&phys, folio);
	for (unsigned i = 0; i < 3; i++)
		set(pfn, 1, true);
	for (unsigned i = 0; i < 3; i++)
		clear(pfn, 1);
	pf_folio_put(&phys, folio, 1);
	quiet();
}

static void more_go_than_came(void **state)
{
	struct pf_folio *folio;
	pf_pfn_t pfn;

	(void)state;
	begin();
	folio = pf_folio_alloc(&phys, 1, PF_USE_ANON);
	pfn = pf_folio_pfn(&phys, folio);
	set(pfn, 1, false);
	clear(pfn, 2);
	spoke(pfn + 1, "more entries");
}

static void page_freed_that_an_entry_maps(void **state)
{
	struct pf_folio *folio;
	pf_pfn_t pfn;

	(void)state;
	begin();
	folio = pf_folio_alloc(&phys, 4, PF_USE_FILE);
	pfn = pf_folio_pfn(&phys, folio);
	set(pfn + 9, 1, false);
	pf_folio_put(&phys, folio, 1);
	spoke(pfn + 9, "freed");
}

static void frames_that_nobody_may_map(void **state)
{
	struct pf_table_mem mem;
	pf_pfn_t table, last;

	(void)state;
	begin();
	mem = pf_phys_table_mem(&phys);
	table = mem.alloc(mem.ctx, PAGE) / PAGE;
	last = phys.first + phys.nr - 1;
	set(table, 1, false);
	spoke(table, "table");
	set(last, 1, false);
	spoke(last, "free");
	/* beyond memory: a device's */
	set(last + 1, 3, true);
	set(last + 1, 3, true);
	set(phys.first - 1, 1, true);
	clear(last + 1, 9);
	quiet();
}

/* What a folio's mappings do not cover is found at rest, too. */
static void entries_beyond_the_mappings(void **state)
{
	struct pf_folio *folio;
	const char *why;
	pf_pfn_t pfn, at;

	(void)state;
	begin();
	folio = pf_folio_alloc(&phys, 1, PF_USE_ANON);
	pfn = pf_folio_pfn(&phys, folio);
	pf_folio_add_new_anon_rmap(folio, pfn, 2, 5, false);
	set(pfn, 2, false);
	check_all(&phys);
	set(pfn + 1, 1, false);
	assert_int_equal(pf_phys_check(&phys, &at, &why), -PF_EINVAL);
	assert_int_equal(at, pfn);
	assert_non_null(strstr(why, "entries"));
	clear(pfn + 1, 1);
	check_all(&phys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_shared_for_reading),
		cmocka_unit_test(writable_anonymous_page_mapped_twice),
		cmocka_unit_test(writable_page_of_a_file),
		cmocka_unit_test(more_go_than_came),
		cmocka_unit_test(page_freed_that_an_entry_maps),
		cmocka_unit_test(frames_that_nobody_may_map),
		cmocka_unit_test(entries_beyond_the_mappings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
