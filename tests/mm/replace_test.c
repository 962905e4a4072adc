/* SPDX-License-Identifier: MIT */
/*
 * A page of private memory that is replaced by another, as uprobes do, and put back.
 */
#include "world.h"

#include "base/err.h"
#include "mm/mapping.h"
#include "mm/replace.h"
#include "mm/rmap.h"
#include "ops/formats.h"
#include "tests/quiet_uffd.h"

#define A       UINT64_C(0x10000000) /* private: a program's text */
#define B       UINT64_C(0x20000000) /* the same, shared */
#define C       UINT64_C(0x30000000) /* without a file */
#define NR      32u
#define RW      (PF_PROT_READ | PF_PROT_WRITE)
#define TEXT    (PF_PROT_READ | PF_PROT_EXEC)
#define PRIVATE (PF_MAP_PRIVATE | PF_MAP_FIXED)

static struct pf_mapping *file;
static bool of_disk; /* or memory without a file */

static int read_disk(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	assert_ptr_equal(mapping, file);
	pf_port_clear_pages(pa, nr * P);
	for (unsigned i = 0; i < nr; i++)
		*(uint64_t *)pf_port_virt(pa + i * P) = 0xf000 + index + i;
	return 0;
}

static const struct pf_mapping_ops disk_ops = {.read = read_disk};

static struct pf_page_info at(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	return info;
}

static void put(pf_va_t va, uint64_t value)
{
	while (machine_store(va, value).fault)
		assert_int_equal(pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
}

static void finds(pf_va_t va, uint64_t want)
{
	uint64_t value = ~want;

	while (machine_load(va, &value).fault)
		assert_int_equal(pf_handle_mm_fault(&mm, va, 0), PF_FAULT_DONE);
	assert_int_equal(value, want);
}

static void map(pf_va_t va, unsigned prot, unsigned flags)
{
	const struct pf_file f = {.mapping = file, .mode = PF_FILE_READ | PF_FILE_WRITE};

	assert_int_equal(pf_mmap_file(&mm, va, NR * P, prot, flags, &f, 0), va);
}

/* The file's pages, in folios of 16, mapped at A, and one more of each in A's place of `small`. */
static void begin(const struct pf_format *fmt, enum pf_fold_policy policy, uint64_t fail_at)
{
	world_start(fmt, fail_at);
	mm.space.pt.policy = (uint8_t)policy;
	sys.policy = policy;
	file = pf_mapping_create(&sys, of_disk ? &disk_ops : NULL, NULL, NR * P);
	assert_non_null(file);
	file->orders = 1u << 4;
	sys.thp.shmem_enabled = PF_THP_ALWAYS;
	sys.thp.shmem[4] = PF_THP_INHERIT;
	map(B, RW, PF_MAP_SHARED | PF_MAP_FIXED);
	for (unsigned i = 0; i < NR; i++)
		put(B + i * P, 0xf000 + i);
	map(A, TEXT, PRIVATE);
	for (unsigned i = 0; i < NR; i++)
		finds(A + i * P, 0xf000 + i);
}

static void finish(void)
{
	world_check("the end");
	pf_mapping_put(file);
	world_stop();
}

/* The frame at va, with a reference, as a debugger gets it. */
static pf_pfn_t look(pf_va_t va)
{
	pf_pfn_t pfn;

	assert_int_equal(pf_gup(&mm, va, 1, PF_FOLL_GET | PF_FOLL_FORCE, &pfn), 1);
	return pfn;
}

/* A new page with what is in `pfn`, but for its first word. */
static struct pf_folio *copy_of(pf_pfn_t pfn, uint64_t value)
{
	struct pf_folio *folio = pf_folio_alloc(&phys, 0, PF_USE_ANON);

	assert_non_null(folio);
	pf_port_copy_pages(pf_folio_pfn(&phys, folio) * P, pfn * P, P);
	*(uint64_t *)pf_port_virt(pf_folio_pfn(&phys, folio) * P) = value;
	return folio;
}

/* What uprobes does. */
static int change(pf_va_t va, uint64_t value,
	int (*how)(struct pf_mm *, pf_va_t, pf_pfn_t, struct pf_folio *))
{
	const pf_pfn_t old = look(va);
	struct pf_folio *by = copy_of(old, value);
	int err = how(&mm, va, old, by);

	if (err)
		pf_folio_put(&phys, by, 1);
	pf_put_user_pages(&sys, &old, 1);
	return err;
}

static unsigned block(void)
{
	return 1u << sys.fmt->pt->cont_shift[0];
}

static int64_t rss_mapped(void)
{
	return of_disk ? pf_rss(&mm.space, PF_RSS_FILE) : pf_rss(&mm.space, PF_RSS_SHMEM);
}

static void replaced(void)
{
	const int64_t mapped = rss_mapped(), anon = pf_rss(&mm.space, PF_RSS_ANON);
	const bool folds = sys.policy != PF_FOLD_OFF;
	const pf_pfn_t file_page = pf_pte_pfn(at(A + 5 * P).pte);
	const unsigned maps = pf_folio_mapcount(pf_page_folio(&phys, file_page));
	unsigned folded = 0;

	for (unsigned i = 0; i < NR; i++)
		folded += at(A + i * P).folded;
	assert_int_equal(folded, folds ? NR : 0);
	assert_int_equal(change(A + 5 * P + 8, 0xb1, pf_replace_page), 0);
	world_check("replaced");
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), anon + 1);
	assert_int_equal(rss_mapped(), mapped - 1);
	assert_int_equal(pf_folio_mapcount(pf_page_folio(&phys, file_page)), maps - 1);
	assert_true(at(A + 5 * P).exclusive && !pf_pte_write(at(A + 5 * P).pte));
	assert_int_not_equal(pf_pte_pfn(at(A + 5 * P).pte), file_page);
	/* Its block and no other. */
	for (unsigned i = 0; i < NR; i++)
		assert_int_equal(at(A + i * P).folded, folds && i / block() != 5 / block());
	finds(A + 5 * P, 0xb1);
	finds(A + 4 * P, 0xf004);
	finds(B + 5 * P, 0xf005);
	/* Again: a page of one's own for another. */
	assert_int_equal(change(A + 5 * P, 0xb2, pf_replace_page), 0);
	world_check("twice");
	finds(A + 5 * P, 0xb2);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), anon + 1);
	/* Something else than before: still its own. */
	assert_int_equal(change(A + 5 * P, 0xb3, pf_restore_page), 0);
	world_check("not restored");
	finds(A + 5 * P, 0xb3);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), anon + 1);
	/* As before. */
	assert_int_equal(change(A + 5 * P, 0xf005, pf_restore_page), 0);
	world_check("restored");
	assert_true(pf_pte_none(at(A + 5 * P).pte));
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), anon);
	finds(A + 5 * P, 0xf005);
	assert_int_equal(pf_pte_pfn(at(A + 5 * P).pte), file_page);
	assert_int_equal(rss_mapped(), mapped);
	/* Where nothing was replaced. */
	assert_int_equal(change(A + 6 * P, 0xf006, pf_restore_page), 0);
	world_check("nothing to restore");
	assert_true(pf_pte_present(at(A + 6 * P).pte) && !at(A + 6 * P).exclusive);
}

/* What is replaced lives as any page of a process's own. */
static void lives(void)
{
	static struct pf_mm child;
	struct pf_page_info info;
	const char *bad;

	assert_int_equal(change(A + 2 * P, 0xb1, pf_replace_page), 0);
	assert_int_equal(change(A + 3 * P, 0xb2, pf_replace_page), 0);
	assert_int_equal(pf_fork(&child, &mm, 2), 0);
	world_check("forked");
	bad = pf_mm_check(&child);
	if (bad)
		fail_msg("the child: %s", bad);
	pf_page_info(&child, A + 2 * P, &info);
	assert_int_equal(pf_pte_pfn(info.pte), pf_pte_pfn(at(A + 2 * P).pte));
	assert_false(at(A + 2 * P).exclusive);
	/* Shared with the child: its own again. */
	assert_int_equal(change(A + 2 * P, 0xb4, pf_replace_page), 0);
	world_check("replaced after the fork");
	assert_true(at(A + 2 * P).exclusive);
	machine_set_root(0, child.space.pt.root, 2);
	assert_int_equal(pf_handle_mm_fault(&child, A + 2 * P, 0), PF_FAULT_DONE);
	finds(A + 2 * P, 0xb1);
	machine_set_root(0, mm.space.pt.root, WORLD_ASID);
	pf_mm_exit(&child);
	machine_retire_asid(2);
	assert_int_equal(pf_mprotect(&mm, A, NR * P, RW), 0);
	put(A + 2 * P, 0xb5);
	put(A + 4 * P, 0xb6);
	world_check("written");
	finds(A + 2 * P, 0xb5);
	finds(A + 3 * P, 0xb2);
	/* What may be written is replaced, too, and the file's page comes back writable by a copy. */
	assert_int_equal(change(A + 4 * P, 0xf004, pf_restore_page), 0);
	world_check("restored");
	finds(A + 4 * P, 0xf004);
	put(A + 4 * P, 1);
	finds(B + 4 * P, 0xf004);
	assert_int_equal(pf_mprotect(&mm, A, NR * P, TEXT), 0);
	assert_int_equal(pf_mapping_truncate(file, 3 * P), 0);
	world_check("cut off");
	assert_true(pf_pte_none(at(A + 3 * P).pte) && pf_pte_present(at(A + 2 * P).pte));
}

static void refused(void)
{
	const pf_pfn_t old = look(A), shared = look(B);
	struct pf_folio *by = copy_of(old, 0xb1), *large = pf_folio_alloc(&phys, 2, PF_USE_ANON);

	assert_int_equal(pf_replace_page(&mm, B, shared, by), -PF_EINVAL);
	assert_int_equal(pf_replace_page(&mm, C, old, by), -PF_EINVAL);
	assert_int_equal(pf_replace_page(&mm, A, old, large), -PF_EINVAL);
	/* Another page, none, and one that somebody is at work on. */
	assert_int_equal(pf_replace_page(&mm, A + P, old, by), -PF_EAGAIN);
	assert_int_equal(pf_restore_page(&mm, A + P, old, by), -PF_EAGAIN);
	assert_int_equal(pf_madvise(&mm, A + 2 * P, P, PF_MADV_DONTNEED), 0);
	assert_int_equal(pf_replace_page(&mm, A + 2 * P, old + 2, by), -PF_EAGAIN);
	assert_true(pf_folio_trylock(pf_page_folio(&phys, old)));
	assert_int_equal(pf_replace_page(&mm, A, old, by), -PF_EAGAIN);
	pf_folio_unlock(pf_page_folio(&phys, old));
	assert_int_equal(pf_folio_ref(by), 1);
	world_check("refused");
	finds(A, 0xf000);
	pf_folio_put(&phys, by, 1);
	pf_folio_put(&phys, large, 1);
	pf_put_user_pages(&sys, &old, 1);
	pf_put_user_pages(&sys, &shared, 1);
}

/* Of memory without a file; a page of a large folio of its own, of which the rest stays. */
static void anonymous(void)
{
	unsigned folded = 0;

	assert_int_equal(pf_mmap(&mm, C, NR * P, RW, PRIVATE | PF_MAP_ANONYMOUS), C);
	for (unsigned i = 0; i < NR; i++)
		put(C + i * P, i);
	assert_int_equal(at(C).order, 4);
	assert_int_equal(change(C + 20 * P, 0xb1, pf_replace_page), 0);
	world_check("replaced");
	assert_int_equal(pf_folio_nr_split(&phys, 0), 1);
	finds(C + 20 * P, 0xb1);
	for (unsigned i = 0; i < NR; i++)
		folded += at(C + i * P).folded;
	assert_int_equal(folded, sys.policy == PF_FOLD_OFF ? 0 : NR - block());
	put(C + 20 * P, 0xb2);
	world_check("written");
	assert_int_equal(change(C + 20 * P, 20, pf_restore_page), 0);
	finds(C + 20 * P, 20);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), NR);
}

/* Who would be told of an empty slot is told of none; and of writes as before. */
static void watched(void)
{
	const bool wp = sys.fmt->pt->pte_supported & PF_PTE_UFFD_WP;
	unsigned mode = PF_UFFDIO_REGISTER_MODE_MISSING | PF_UFFDIO_REGISTER_MODE_MINOR;
	struct pf_uffd uffd;

	if (of_disk)
		return;
	if (wp)
		mode |= PF_UFFDIO_REGISTER_MODE_WP;
	quiet_uffd_open(&uffd, 0);
	quiet_uffd_register(&uffd, A, NR, mode);
	if (wp)
		assert_int_equal(
			pf_uffd_writeprotect(&uffd, A, NR * P, PF_UFFDIO_WRITEPROTECT_WP), 0);
	assert_int_equal(change(A, 0xb1, pf_replace_page), 0);
	world_check("replaced");
	assert_int_equal(!!(at(A).pte.v & PF_PTE_UFFD_WP), wp);
	assert_int_equal(change(A, 0xf000, pf_restore_page), 0);
	world_check("restored");
	assert_true(at(A).exclusive);
	assert_int_equal(!!(at(A).pte.v & PF_PTE_UFFD_WP), wp);
	finds(A, 0xf000);
	pf_uffd_close(&uffd);
}

static void everywhere(void (*test)(void))
{
	static const enum pf_fold_policy policy[] = {PF_FOLD_WATCH, PF_FOLD_LINUX, PF_FOLD_OFF};

	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned k = 0; k < 2 * PF_ARRAY_SIZE(policy); k++) {
			of_disk = k & 1;
			begin(pf_formats[i], policy[k / 2], 0);
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

EVERYWHERE(replaced)
EVERYWHERE(lives)
EVERYWHERE(refused)
EVERYWHERE(anonymous)
EVERYWHERE(watched)

/* The VMA's family is all that it takes. */
static void no_memory(void **state)
{
	(void)state;
	of_disk = true;
	for (unsigned i = 0; pf_formats[i]; i++) {
		struct pf_folio *by;
		uint64_t first, nr;
		pf_pfn_t old;

		begin(pf_formats[i], PF_FOLD_WATCH, 0);
		old = look(A);
		by = copy_of(old, 0xb1);
		first = machine_counters.allocs;
		assert_int_equal(pf_replace_page(&mm, A, old, by), 0);
		nr = machine_counters.allocs - first;
		pf_put_user_pages(&sys, &old, 1);
		finish();
		assert_true(nr);
		for (uint64_t k = 1; k <= nr; k++) {
			begin(pf_formats[i], PF_FOLD_WATCH, first + k);
			old = look(A);
			by = copy_of(old, 0xb1);
			assert_int_equal(pf_replace_page(&mm, A, old, by), -PF_ENOMEM);
			world_check("no memory");
			assert_int_equal(pf_pte_pfn(at(A).pte), old);
			assert_int_equal(pf_replace_page(&mm, A, old, by), 0);
			pf_put_user_pages(&sys, &old, 1);
			finds(A, 0xb1);
			finish();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_watched),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("replaced pages", tests, NULL, NULL);
}
