/* SPDX-License-Identifier: MIT */
/*
 * Pages followed without a lock, while another CPU does something to them: at any moment of the one the other begins and
 * runs to its end, in both ways. Whoever has got pages must have those that the process has, for as long as he keeps them,
 * if that is what he was promised; else nobody else may get them. Rows C2 and C4.
 */
#include "family.h"

#include "mm/ksm.h"
#include "mm/migrate.h"
#include "mm/rmap.h"
#include "tests/quiet_uffd.h"

#define B  UINT64_C(0x20000000)
#define NR 5u /* pages that are followed, from AT on */
#define AT (A + 2 * P)

/* ---- following ---- */

static unsigned foll;
static pf_pfn_t frames[NR];
static unsigned got;

static void follow(void)
{
	int64_t n = pf_gup_fast_only(&mm, AT, NR, foll, frames);

	assert_in_range(n, 0, NR);
	got = (unsigned)n;
}

static void give_back(void)
{
	if (foll & PF_FOLL_PIN)
		pf_unpin_user_pages(&sys, frames, got);
	else
		pf_put_user_pages(&sys, frames, got);
}

static pf_pte_t entry(pf_va_t va)
{
	struct pf_page_info info;

	pf_page_info(&mm, va, &info);
	return info.pte;
}

static bool is_held(pf_pfn_t pfn)
{
	for (unsigned i = 0; i < got; i++)
		if (frames[i] == pfn)
			return true;
	return false;
}

/* ---- what there is before ---- */

static struct pf_uffd uffd;
static bool have_uffd;
static const char *what;
static unsigned moment;

static void freed_lazily(void)
{
	pages();
	assert_int_equal(pf_madvise(&mm, A, PAGES * P, PF_MADV_FREE), 0);
}

static void mergeable(void)
{
	pages();
	assert_int_equal(pf_madvise(&mm, A, PAGES * P, PF_MADV_MERGEABLE), 0);
}

static void with_uffd(void)
{
	pages();
	assert_int_equal(pf_mmap(&mm, B, PAGES * P, RW, FIXED), B);
	quiet_uffd_open(&uffd, 0);
	quiet_uffd_register(&uffd, B, PAGES, PF_UFFDIO_REGISTER_MODE_MISSING);
	have_uffd = true;
}

/* ---- what is done ---- */

static void drop(void)
{
	assert_int_equal(pf_madvise(&mm, A, PAGES * P, PF_MADV_DONTNEED), 0);
}

static void drop_one(void)
{
	assert_int_equal(pf_madvise(&mm, AT + P, P, PF_MADV_DONTNEED), 0);
}

static void drop_and_write(void)
{
	drop();
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(world_write(A + (PAGES - 1 - i) * P), PF_FAULT_DONE);
}

/* Its tables, too. */
static void unmap(void)
{
	assert_int_equal(pf_munmap(&mm, A, PAGES * P), 0);
}

static void fork_it(void)
{
	assert_int_equal(fork_child(), 0);
}

static void write_all(void)
{
	pages();
}

static void migrate(void)
{
	int err = pf_migrate(&mm, A, PAGES * P);

	assert_true(!err || err == -PF_EAGAIN || err == -PF_EBUSY);
}

static void split(void)
{
	int err = pf_split(&mm, A);

	assert_true(!err || err == -PF_EAGAIN || err == -PF_EINVAL || err == -PF_EBUSY);
}

static void protect(void)
{
	assert_int_equal(pf_mprotect(&mm, AT + P, 3 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_mprotect(&mm, AT + P, 3 * P, PF_PROT_NONE), 0);
}

static void move(void)
{
	assert_int_equal(pf_mremap(&mm, A, PAGES * P, PAGES * P,
				 PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED | PF_MREMAP_DONTUNMAP, B),
		B);
}

static void page_out(void)
{
	assert_int_equal(pf_madvise(&mm, A, PAGES * P, PF_MADV_PAGEOUT), 0);
}

static void merge(void)
{
	for (unsigned i = 1; i < 4; i++) {
		int err = pf_ksm_merge(&mm, AT, &mm, AT + i * P);

		assert_true(!err || err == -PF_EAGAIN || err == -PF_EBUSY);
	}
}

static void move_by_uffd(void)
{
	int64_t done;
	int err = pf_uffd_move(&uffd, &mm, B, A, PAGES * P, 0, &done);

	assert_true(!err || err == -PF_EBUSY || err == -PF_EAGAIN);
}

/* ---- what has to be so afterwards ---- */

enum outcome {
	KEEPS,      /* who has a page has the process's, whatever he has of it */
	KEEPS_PINS, /* who has a pin */
	GOES,       /* the process has other pages then; those that are held are nobody's */
	AGAIN,      /* the same, but there may be new ones already, which may be those held */
	MOVES,      /* as KEEPS, at B, or at A still */
	GONE,       /* not even the VMA is there */
};

static void check_kept(pf_va_t va)
{
	for (unsigned i = 0; i < got; i++) {
		pf_va_t at = va + (AT - A) + i * P;
		pf_pte_t pte;

		/* A write makes a copy of what is not the process's own. */
		assert_int_equal(world_write(at), PF_FAULT_DONE);
		pte = entry(at);
		if (pf_pte_pfn(pte) != frames[i])
			fail_msg("%s, foll %x, moment %u: page %u is frame %llx, held is %llx",
				what, foll, moment, i, (unsigned long long)pf_pte_pfn(pte),
				(unsigned long long)frames[i]);
	}
}

/*
 * What is held is of the address that it was asked for, or the process has no such page any more. A page that KSM keeps may be of
 * several.
 */
static void check_places(pf_va_t va)
{
	for (unsigned i = 0; i < got; i++)
		for (unsigned k = 0; k < PAGES; k++) {
			const pf_pte_t pte = entry(va + k * P);

			if (pf_folio_test_flags(pf_page_folio(&phys, frames[i]), PF_FOLIO_KSM))
				continue;
			if (pf_pte_maps(pte) && pf_pte_pfn(pte) == frames[i] &&
				va + k * P != va + (AT - A) + i * P)
				fail_msg("%s, foll %x, moment %u: page %u is held, and is page %u",
					what, foll, moment, i, k);
		}
}

static void check(enum outcome outcome)
{
	check_places(A);
	for (unsigned i = 0; i < got; i++) {
		const struct pf_folio *folio = pf_page_folio(&phys, frames[i]);

		assert_int_equal(pf_count_kind(pf_folio_count(folio)), PF_FRAME_FOLIO);
		assert_true(pf_folio_extra_ref(folio) > 0);
		assert_true(!(foll & PF_FOLL_PIN) || pf_folio_maybe_pinned(folio));
	}
	switch (outcome) {
	case KEEPS_PINS:
		if (!(foll & PF_FOLL_PIN))
			break;
		/* fall through */
	case KEEPS:
		check_kept(A);
		break;
	case MOVES:
		check_kept(got && !pf_pte_none(entry(B + (AT - A))) ? B : A);
		break;
	case GOES:
		for (unsigned i = 0; i < PAGES; i++) {
			assert_int_equal(world_write(A + i * P), PF_FAULT_DONE);
			if (is_held(pf_pte_pfn(entry(A + i * P))))
				fail_msg(
					"%s, foll %x, moment %u: a page that is held is used again",
					what, foll, moment);
		}
		break;
	case AGAIN:
	case GONE:
		break;
	}
	world_judge("both");
	give_back();
	for (unsigned i = 0; i < got; i++)
		assert_false(pf_count_kind(pf_folio_count(pf_page_folio(&phys, frames[i]))) ==
				     PF_FRAME_FOLIO &&
			     pf_folio_maybe_pinned(pf_page_folio(&phys, frames[i])));
}

struct pair {
	const char *name;
	void (*before)(void);
	void (*run)(void);
	enum outcome outcome;
	unsigned stride; /* from every so many-th moment of `run` on */
};

static const unsigned folls[] = {PF_FOLL_WRITE | PF_FOLL_PIN, PF_FOLL_PIN, PF_FOLL_WRITE,
	PF_FOLL_GET, PF_FOLL_WRITE | PF_FOLL_PIN | PF_FOLL_LONGTERM};

/* One of both begins at moment k of the other. False: there is no such moment. */
static bool meet(const struct pf_format *fmt, const struct pair *p, unsigned order, bool first,
	unsigned k, unsigned *had)
{
	struct world w = {.bytes = UINT64_C(4) << 20, .cpus = 2, .features = "", .order = order};
	bool again;

	world_start(fmt, &w);
	have_uffd = false;
	got = 0;
	assert_int_equal(pf_mmap(&mm, A, PAGES * P, RW, FIXED), A);
	p->before();
	what = p->name;
	moment = k;
	again = first ? together(follow, p->run, k) : together(p->run, follow, k);
	*had += got;
	check(p->outcome);
	child_exits();
	if (have_uffd)
		pf_uffd_close(&uffd);
	world_exit(2);
	return again;
}

static void any_moment(const struct pair *p)
{
	unsigned moments = 0, had = 0;

	for (unsigned f = 0; pf_formats[f]; f++) {
		const unsigned more = strcmp(pf_formats[f]->pt->name, "fake-2w") ? 1 : 3;

		/* each way to follow with each order of folios on some format */
		for (unsigned i = f % 3; i < 2 * PF_ARRAY_SIZE(folls); i += 3) {
			/* KSM takes single pages, and only folios of more can be split */
			const unsigned order =
				p->run == merge || (p->run != split && i % 2) ? 0 : 4;

			foll = folls[i / 2];
			for (unsigned k = 0; meet(pf_formats[f], p, order, true, k, &had); k++)
				moments++;
			for (unsigned k = i % p->stride;
				meet(pf_formats[f], p, order, false, k, &had);
				k += p->stride * more)
				moments++;
		}
	}
	assert_true(moments > 100);
	/* Else nothing is shown. */
	assert_true(had > moments / 8);
}

#define PAIR(name, before, run, outcome, stride)                                                   \
	static void name(void **state)                                                             \
	{                                                                                          \
		static const struct pair p = {#name, before, run, outcome, stride};                \
                                                                                                   \
		(void)state;                                                                       \
		any_moment(&p);                                                                    \
	}

PAIR(dropped, pages, drop, GOES, 5)
PAIR(one_dropped, pages, drop_one, AGAIN, 5)
PAIR(dropped_and_written, pages, drop_and_write, AGAIN, 29)
PAIR(unmapped, pages, unmap, GONE, 7)
PAIR(forked, pages, fork_it, KEEPS_PINS, 151)
PAIR(written, pages, write_all, KEEPS, 13)
PAIR(copied, shared, write_all, KEEPS_PINS, 23)
PAIR(migrated, pages, migrate, KEEPS, 41)
PAIR(was_split, pages, split, KEEPS, 41)
PAIR(protected, pages, protect, AGAIN, 13)
PAIR(moved, pages, move, MOVES, 89)
PAIR(discarded, freed_lazily, page_out, KEEPS, 17)
PAIR(merged, mergeable, merge, KEEPS_PINS, 53)
PAIR(moved_by_uffd, with_uffd, move_by_uffd, MOVES, 89)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dropped),
		cmocka_unit_test(one_dropped),
		cmocka_unit_test(dropped_and_written),
		cmocka_unit_test(unmapped),
		cmocka_unit_test(forked),
		cmocka_unit_test(written),
		cmocka_unit_test(copied),
		cmocka_unit_test(migrated),
		cmocka_unit_test(was_split),
		cmocka_unit_test(protected),
		cmocka_unit_test(moved),
		cmocka_unit_test(discarded),
		cmocka_unit_test(merged),
		cmocka_unit_test(moved_by_uffd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
