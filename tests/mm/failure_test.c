/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of every call fails once. For each call of a program, and each k, the program is
 * run up to it, the call's k-th allocation fails, and then: either the call fell back and did what
 * it does, or it said -PF_ENOMEM, the address space is as it was before, and the call does what it
 * does when repeated. Nothing leaks.
 */
#include "world.h"

#include "base/err.h"

#define A     UINT64_C(0x10000000)
#define FAR   UINT64_C(0x1000000000) /* tables of its own */
#define PAGES 96u
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)
#define MOVE  (PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED)

static struct pf_mm child;
static bool have_child;

/* ---- what an address space is ---- */

struct snapshot {
	struct pf_vma_info vma[64];
	unsigned vmas;
	uint64_t entry[2][PAGES]; /* A and D aside; from A, and from FAR */
	uint64_t value[2][PAGES];
	bool exclusive[2][PAGES];
	uint64_t total_vm;
	int64_t rss;
	pf_va_t brk;
	uint32_t map_count;
};

/*
 * What is not compared: A and D; soft-dirty, which a move sets, there and back; whether a VMA has an
 * anon_vma, which a write gives it before there is a page. After a fork that
 * failed also W and AnonExclusive: Linux leaves those shared as well, and no program can tell.
 */
static void snap(struct snapshot *s, bool forked)
{
	const uint64_t not = PF_PTE_A | PF_PTE_D | PF_PTE_SOFT_DIRTY | (forked ? PF_PTE_W : 0);
	pf_va_t at = 0;

	memset(s, 0, sizeof(*s));
	while (pf_find_vma_info(&mm, at, &s->vma[s->vmas])) {
		at = s->vma[s->vmas].area.end;
		s->vma[s->vmas++].area.anon = 0;
	}
	for (unsigned half = 0; half < 2; half++)
		for (unsigned i = 0; i < PAGES; i++) {
			struct pf_page_info info;

			pf_page_info(&mm, (half ? FAR : A) + i * P, &info);
			s->entry[half][i] = info.pte.v & ~not ;
			s->exclusive[half][i] = info.exclusive && !forked;
			if (pf_pte_present(info.pte))
				s->value[half][i] =
					*(uint64_t *)pf_port_virt(pf_pte_pfn(info.pte) << 12);
		}
	s->total_vm = mm.total_vm;
	s->rss = pf_rss(&mm.space, PF_RSS_ANON);
	s->brk = mm.brk;
	s->map_count = mm.map_count;
}

/* ---- the program ---- */

static int64_t touch(pf_va_t va)
{
	for (unsigned i = 0; i < 2000; i++) {
		enum pf_fault_result r;

		if (!machine_store(va, va).fault)
			return 0;
		r = pf_handle_mm_fault(&mm, va, PF_FAULT_FLAG_WRITE);
		if (r != PF_FAULT_DONE)
			return r == PF_FAULT_OOM ? -PF_ENOMEM : -PF_EFAULT;
	}
	fail_msg("%llx faults for ever", (unsigned long long)va);
	return 0;
}

static int64_t mmap_one(void)
{
	return pf_mmap(&mm, A, 64 * P, RW, FIXED);
}

static int64_t fault_large(void)
{
	return touch(A);
}

static int64_t fault_small(void)
{
	return touch(A + 17 * P);
}

static int64_t fault_read(void)
{
	return -(int64_t)pf_handle_mm_fault(&mm, A + 40 * P, 0) * PF_ENOMEM;
}

static int64_t populate(void)
{
	world_note(A, 64);
	return pf_madvise(&mm, A, 64 * P, PF_MADV_POPULATE_WRITE);
}

static int64_t protect_middle(void)
{
	return pf_mprotect(&mm, A + 3 * P, 9 * P, PF_PROT_READ);
}

static int64_t protect_many(void)
{
	return pf_mprotect(&mm, A + P, 20 * P, PF_PROT_READ | PF_PROT_EXEC);
}

static int64_t protect_back(void)
{
	return pf_mprotect(&mm, A, 64 * P, RW);
}

static int64_t map_over(void)
{
	return pf_mmap(&mm, A + 20 * P, 4 * P, PF_PROT_READ, FIXED);
}

static int64_t unmap_hole(void)
{
	return pf_munmap(&mm, A + 30 * P, 2 * P);
}

static int64_t advise(void)
{
	return pf_madvise(&mm, A + 33 * P, 7 * P, PF_MADV_HUGEPAGE);
}

static int64_t advise_many(void)
{
	return pf_madvise(&mm, A + 2 * P, 27 * P, PF_MADV_DONTFORK);
}

static int64_t advise_back(void)
{
	return pf_madvise(&mm, A, 29 * P, PF_MADV_DOFORK);
}

static int64_t dontneed(void)
{
	return pf_madvise(&mm, A + 5 * P, 5 * P, PF_MADV_DONTNEED);
}

/* Onto two tables, neither of which is there: half of it comes back when the second fails. */
static int64_t move_onto_two(void)
{
	return pf_mremap(&mm, A + 57 * P, 6 * P, 6 * P, MOVE, FAR - 3 * P);
}

static int64_t move_far(void)
{
	return pf_mremap(&mm, A + 41 * P, 6 * P, 6 * P, MOVE, FAR + 3 * P);
}

static int64_t move_several(void)
{
	return pf_mremap(&mm, A + 32 * P, 9 * P, 9 * P, MOVE, FAR + 20 * P);
}

static int64_t move_keep(void)
{
	return pf_mremap(&mm, A + 48 * P, 8 * P, 8 * P, MOVE | PF_MREMAP_DONTUNMAP, FAR + 40 * P);
}

static int64_t move_grow(void)
{
	return pf_mremap(&mm, FAR + 3 * P, 6 * P, 24 * P, MOVE, FAR + (UINT64_C(1) << 30));
}

static int64_t move_back(void)
{
	return pf_mremap(&mm, FAR + (UINT64_C(1) << 30), 24 * P, 16 * P, MOVE, FAR + 3 * P);
}

static int64_t move_anywhere(void)
{
	int64_t at = pf_mremap(&mm, A + 50 * P, 4 * P, 8 * P, PF_MREMAP_MAYMOVE, 0);

	return at < 0 ? at : 0;
}

static int64_t grow_in_place(void)
{
	return pf_mremap(&mm, FAR + 40 * P, 8 * P, 12 * P, 0, 0);
}

static int64_t shrink(void)
{
	return pf_mremap(&mm, FAR + 3 * P, 16 * P, 9 * P, 0, 0);
}

static int64_t heap(void)
{
	return pf_brk(&mm, A + 85 * P) == A + 85 * P ? 0 : -PF_ENOMEM;
}

static int64_t heap_less(void)
{
	return pf_brk(&mm, A + 81 * P) == A + 81 * P ? 0 : -PF_ENOMEM;
}

static int64_t fork_child(void)
{
	int64_t r = pf_fork(&child, &mm, 2);

	have_child = !r;
	return r;
}

static int64_t copy_on_write(void)
{
	return touch(A + 3 * P);
}

static int64_t unmap_all(void)
{
	return pf_munmap(&mm, 0, sys.task_size);
}

/* Calls that stop half way where Linux does: the pages before are there. */
static const struct step {
	const char *name;
	int64_t (*run)(void);
	bool partial;
} program[] = {
	{"mmap", mmap_one, false},
	{"fault, 64K", fault_large, false},
	{"fault, smaller", fault_small, false},
	{"fault, read", fault_read, false},
	{"populate", populate, true},
	{"mprotect, middle", protect_middle, false},
	{"mprotect, several", protect_many, false},
	{"mprotect, back", protect_back, false},
	{"mmap over", map_over, false},
	{"munmap, hole", unmap_hole, false},
	{"madvise, flags", advise, false},
	{"madvise, several", advise_many, false},
	{"madvise, back", advise_back, false},
	{"madvise, DONTNEED", dontneed, false},
	{"mremap, onto two tables", move_onto_two, false},
	{"mremap, far", move_far, false},
	{"mremap, several", move_several, true}, /* one after the other, as Linux */
	{"mremap, DONTUNMAP", move_keep, false},
	{"mremap, grow and move", move_grow, false},
	{"mremap, shrink and move", move_back, true}, /* cut off first, as Linux */
	{"mremap, anywhere", move_anywhere, false},
	{"mremap, in place", grow_in_place, false},
	{"mremap, shrink", shrink, false},
	{"brk, grow", heap, false},
	{"brk, shrink", heap_less, false},
	{"fork", fork_child, false},
	{"copy on write", copy_on_write, false},
	{"munmap, all", unmap_all, false},
};
#define STEPS PF_ARRAY_SIZE(program)

static void begin(const struct pf_format *fmt, uint64_t fail_at)
{
	world_start(fmt, fail_at);
	have_child = false;
	pf_set_brk_start(&mm, A + 80 * P);
}

static void end(void)
{
	if (have_child) {
		pf_mm_exit(&child);
		machine_retire_asid(2);
	}
	have_child = false;
	world_stop();
}

/* Steps [0, n) succeed. */
static void run_to(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (program[i].run() < 0)
			fail_msg("%s fails without cause", program[i].name);
}

/* The library's `fail_at`th allocation is one of step `at`. */
static void fail_one(const struct pf_format *fmt, unsigned at, uint64_t fail_at, unsigned k,
	const struct snapshot *want)
{
	const struct step *step = &program[at];
	const bool forking = step->run == fork_child;
	static struct snapshot before, after, got;
	int64_t r;

	begin(fmt, fail_at);
	run_to(at);
	snap(&before, forking);
	r = step->run();
	assert_true(machine_counters.allocs >= fail_at);
	world_check(step->name);
	if (r < 0) {
		if (r != -PF_ENOMEM)
			fail_msg("%s, allocation %u: %lld", step->name, k, (long long)r);
		snap(&after, forking);
		if (!step->partial && memcmp(&before, &after, sizeof(before)))
			fail_msg("%s, allocation %u: not as it was", step->name, k);
		r = step->run();
		if (r < 0)
			fail_msg(
				"%s, again after allocation %u: %lld", step->name, k, (long long)r);
		world_check(step->name);
	}
	/* The frames may be others, and the folios smaller; the pages are the same. */
	snap(&got, false);
	for (unsigned half = 0; half < 2; half++)
		for (unsigned i = 0; i < PAGES; i++) {
			const uint64_t perm = want->entry[half][i] & PF_PTE_PERM;

			if ((got.entry[half][i] & perm) != perm ||
				got.value[half][i] != want->value[half][i])
				if (step->run != fault_large && step->run != fault_small)
					fail_msg("%s, allocation %u: page %u differs", step->name,
						k, i);
		}
	if (memcmp(want->vma, got.vma, sizeof(got.vma)) || want->total_vm != got.total_vm)
		fail_msg("%s, allocation %u: other VMAs", step->name, k);
	end();
}

static void every_allocation(void **state)
{
	unsigned failures = 0, nr;

	for (unsigned at = 0; at < STEPS; at++) {
		static struct snapshot want;
		uint64_t first;

		begin(*state, 0);
		run_to(at);
		first = machine_counters.allocs;
		assert_true(program[at].run() >= 0);
		nr = (unsigned)(machine_counters.allocs - first);
		snap(&want, false);
		end();
		for (unsigned k = 1; k <= nr; k++)
			fail_one(*state, at, first + k, k, &want);
		failures += nr;
	}
	/* Metadata, frames and tables have all been reached. */
	assert_true(failures > 60);
}

/* The beginnings: a system, an address space. */
static void every_beginning(void **state)
{
	const struct pf_format *fmt = *state;
	struct machine_config cfg = {
		.format = fmt->pt->name, .memory = WORLD_BYTES, .cpus = 1, .seed = 1};

	for (uint64_t k = 1; k <= 5; k++) {
		int r;

		cfg.fail_at = k;
		assert_int_equal(machine_start(&cfg), 0);
		assert_int_equal(pf_phys_init(&phys, MACHINE_RAM_BASE, WORLD_BYTES, 12, 10), 0);
		r = pf_system_init(&sys, fmt, &phys, 0, PF_FOLD_WATCH);
		if (!r) {
			r = pf_mm_init(&mm, &sys, WORLD_ASID);
			if (!r)
				pf_mm_exit(&mm);
			pf_system_exit(&sys);
		}
		/* Two for the system, two for the address space. */
		assert_int_equal(r, k == 5 ? 0 : -PF_ENOMEM);
		machine_rcu_drain();
		assert_int_equal(machine_check_end(), 0);
		world_judge("a beginning that fails");
		machine_stop();
	}
}

int main(void)
{
	int failed = 0;

	for (unsigned i = 0; pf_formats[i]; i++) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_prestate(every_allocation, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(every_beginning, (void *)pf_formats[i]),
		};

		failed += cmocka_run_group_tests_name(pf_formats[i]->pt->name, tests, NULL, NULL);
	}
	return failed;
}
