/* SPDX-License-Identifier: MIT */
/*
 * Random programs of up to four processes on the software machine, under its judge: every page's
 * content, every signal and every VMA border is compared with a model that knows nothing but pages;
 * after each call the machine says whether a rule was broken, and pf_mm_check whether the address
 * space is well formed. Some processes have a device that maps what they map (mirror.h): after each call it has nothing that they have
 * not, and finds in it what they have written. One test per format, with folding and without.
 */
#include "random_devices.h"

static void op_access(struct proc *p)
{
	unsigned first = rnd(PAGES), nr = 1 + rnd(rnd(4) ? 3 : 24);
	bool write = rnd(2);

	for (unsigned i = first; i < first + nr && i < PAGES; i++) {
		struct page *g = &p->page[i];
		bool allowed = g->mapped &&
			       (g->prot & (write ? PF_PROT_WRITE : PF_PROT_READ | PF_PROT_WRITE));
		uint64_t v = ++stamp;
		enum pf_fault_result r;

		say("%s page %u (prot %d)", write ? "store" : "load", i, g->mapped ? g->prot : -1);
		r = access_page(p, i, write, &v);
		WANT(r == (allowed ? PF_FAULT_DONE : PF_FAULT_SIGSEGV));
		if (allowed && write)
			g->value = v;
		else if (allowed)
			WANT(v == g->value);
	}
}

/* ---- the calls, and what they do to pages ---- */

static void forget(struct page *g)
{
	*g = (struct page){.mapped = false};
}

static void op_mmap(struct proc *p, unsigned first, unsigned nr)
{
	static const uint8_t prots[] = {3, 3, 3, 3, 1, 0, 7, 5};
	unsigned prot = prots[rnd(PF_ARRAY_SIZE(prots))], flags = PF_MAP_PRIVATE | PF_MAP_ANONYMOUS;
	bool free_range = true;
	int64_t r;

	for (unsigned i = first; i < first + nr; i++)
		free_range &= !p->page[i].mapped;
	flags |= rnd(4) ? PF_MAP_FIXED : PF_MAP_FIXED_NOREPLACE;
	flags |= rnd(8) ? 0 : PF_MAP_POPULATE;
	flags |= rnd(16) ? 0 : PF_MAP_LOCKED;
	if (flags & (PF_MAP_POPULATE | PF_MAP_LOCKED))
		for (unsigned i = first; i < first + nr; i++)
			machine_note_store(va_of(i));
	say("mmap %u+%u prot %u flags %x", first, nr, prot, flags);
	r = pf_mmap(&p->mm, va_of(first), nr * page_size, prot, flags);
	if (!free_range && (flags & PF_MAP_FIXED_NOREPLACE)) {
		WANT(r == -PF_EEXIST);
		return;
	}
	WANT(r == (int64_t)va_of(first));
	for (unsigned i = first; i < first + nr; i++)
		p->page[i] = (struct page){
			.mapped = true, .prot = (uint8_t)prot, .locked = flags & PF_MAP_LOCKED};
}

static void op_munmap(struct proc *p, unsigned first, unsigned nr)
{
	say("munmap %u+%u", first, nr);
	WANT(!pf_munmap(&p->mm, va_of(first), nr * page_size));
	for (unsigned i = first; i < first + nr; i++)
		forget(&p->page[i]);
}

static void op_mprotect(struct proc *p, unsigned first, unsigned nr)
{
	static const uint8_t prots[] = {3, 3, 3, 1, 1, 0, 7, 5};
	unsigned prot = prots[rnd(PF_ARRAY_SIZE(prots))], i;
	int r;

	for (i = first; i < first + nr && p->page[i].mapped; i++)
		if (p->page[i].locked)
			machine_note_store(va_of(i));
	say("mprotect %u+%u prot %u", first, nr, prot);
	r = pf_mprotect(&p->mm, va_of(first), nr * page_size, prot);
	for (i = first; i < first + nr && p->page[i].mapped; i++)
		p->page[i].prot = (uint8_t)prot;
	WANT(r == (i < first + nr ? -PF_ENOMEM : 0));
}

static void op_madvise(struct proc *p, unsigned first, unsigned nr)
{
	static const int advice[] = {PF_MADV_DONTNEED, PF_MADV_DONTNEED, PF_MADV_DONTNEED,
		PF_MADV_DONTNEED_LOCKED, PF_MADV_HUGEPAGE, PF_MADV_NOHUGEPAGE, PF_MADV_WIPEONFORK,
		PF_MADV_KEEPONFORK, PF_MADV_DONTFORK, PF_MADV_DOFORK, PF_MADV_POPULATE_READ,
		PF_MADV_POPULATE_WRITE, PF_MADV_RANDOM, PF_MADV_WILLNEED};
	int a = advice[rnd(PF_ARRAY_SIZE(advice))], want = 0, r;

	if (a == PF_MADV_POPULATE_WRITE)
		for (unsigned i = first; i < first + nr; i++)
			machine_note_store(va_of(i));
	say("madvise %u+%u advice %d", first, nr, a);
	r = pf_madvise(&p->mm, va_of(first), nr * page_size, a);
	for (unsigned i = first; i < first + nr; i++) {
		struct page *g = &p->page[i];

		if (!g->mapped) {
			want = -PF_ENOMEM;
			if (a == PF_MADV_POPULATE_READ || a == PF_MADV_POPULATE_WRITE)
				break;
			continue;
		}
		if (a == PF_MADV_DONTNEED && g->locked) {
			want = -PF_EINVAL;
			break;
		}
		if ((a == PF_MADV_POPULATE_READ && !(g->prot & PF_PROT_READ)) ||
			(a == PF_MADV_POPULATE_WRITE && !(g->prot & PF_PROT_WRITE))) {
			want = -PF_EINVAL;
			break;
		}
		if (a == PF_MADV_DONTNEED || a == PF_MADV_DONTNEED_LOCKED)
			g->value = 0;
		else if (a == PF_MADV_WIPEONFORK || a == PF_MADV_KEEPONFORK)
			g->wipe = a == PF_MADV_WIPEONFORK;
		else if (a == PF_MADV_DONTFORK || a == PF_MADV_DOFORK)
			g->dontfork = a == PF_MADV_DONTFORK;
	}
	WANT(r == want);
}

/*
 * MREMAP_DONTUNMAP unlocks every VMA that it takes pages from, all of it: Linux does. What has moved may be part of such a one by
 * then.
 */
static void unlock_vmas(struct proc *p, unsigned first, unsigned nr)
{
	struct pf_vma_info info;
	pf_va_t va = va_of(first);

	for (; pf_find_vma_info(&p->mm, va, &info) && info.area.start < va_of(first + nr);
		va = info.area.end)
		for (unsigned i = 0; i < PAGES; i++)
			if (va_of(i) >= info.area.start && va_of(i) < info.area.end)
				p->page[i].locked = false;
}

/* A fixed move of what is mapped without a hole. */
static void op_mremap(struct proc *p, unsigned first, unsigned nr)
{
	unsigned to = rnd(PAGES - nr + 1);
	unsigned flags = PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED;
	struct page moved[PAGES];
	int64_t r, want = (int64_t)va_of(to);
	bool keep = !rnd(5);

	for (unsigned i = first; i < first + nr; i++)
		if (!p->page[i].mapped)
			return;
	flags |= keep ? PF_MREMAP_DONTUNMAP : 0;
	if (to < first + nr && first < to + nr)
		want = -PF_EINVAL;
	if (want > 0)
		for (unsigned i = 0; i < nr; i++)
			if (p->page[first + i].locked)
				machine_note_store(va_of(to + i));
	say("mremap %u+%u to %u flags %u", first, nr, to, flags);
	r = pf_mremap(&p->mm, va_of(first), nr * page_size, nr * page_size, flags, va_of(to));
	WANT(r == want);
	if (want < 0)
		return;
	memcpy(moved, &p->page[first], nr * sizeof(moved[0]));
	for (unsigned i = 0; i < nr; i++) {
		if (keep)
			p->page[first + i].value = 0;
		else
			forget(&p->page[first + i]);
	}
	memcpy(&p->page[to], moved, nr * sizeof(moved[0]));
	if (keep)
		unlock_vmas(p, first, nr);
}

static void stop(struct proc *p)
{
	for (unsigned c = 0; c < CPUS; c++) {
		machine_set_cpu(c);
		machine_set_root(c, 0, 0);
	}
	pf_mm_exit(&p->mm);
	if (p->mirrored)
		mirror_stop(&p->mirror);
	p->mirrored = false;
	machine_retire_asid(p->asid);
	p->alive = false;
}

static void op_fork(struct proc *p)
{
	struct proc *c = &procs[rnd(PROCS)];

	if (c == p)
		return;
	if (c->alive)
		stop(c);
	enter(p);
	say("fork");
	c->asid = ++next_asid;
	WANT(!pf_fork(&c->mm, &p->mm, c->asid));
	c->alive = true;
	memcpy(c->page, p->page, sizeof(c->page));
	for (unsigned i = 0; i < PAGES; i++) {
		struct page *g = &c->page[i];

		g->locked = false;
		if (g->dontfork)
			forget(g);
		else if (g->wipe)
			g->value = 0;
	}
}

/* ---- what a kernel does by itself: pages stay what they are ---- */

/* Some page that the process may write to, with that value. PAGES: none was found. */
static unsigned write_some(struct proc *p, uint64_t value)
{
	const unsigned page = rnd(PAGES);
	struct page *g = &p->page[page];

	if (!g->mapped || !(g->prot & PF_PROT_WRITE))
		return PAGES;
	enter(p);
	WANT(access_page(p, page, true, &value) == PF_FAULT_DONE);
	g->value = value;
	WANT(!pf_madvise(&p->mm, va_of(page), page_size, PF_MADV_MERGEABLE));
	return page;
}

/* Several pages of several processes become one, and the one before that may be among them. */
static void op_ksm(void)
{
	static uint64_t value;
	struct proc *first = NULL;
	unsigned at = PAGES;

	if (rnd(2))
		value = ++stamp;
	for (unsigned i = 0; i < 6; i++) {
		struct proc *p = &procs[rnd(PROCS)];
		unsigned page;

		say("ksm");
		page = p->alive ? write_some(p, value) : PAGES;
		if (page == PAGES)
			continue;
		say("ksm page %u with page %u of another", page, at);
		if (first && (p != first || page != at) && first->page[at].value == value)
			WANT(!pf_ksm_merge(&p->mm, va_of(page), &first->mm, va_of(at)));
		first = p;
		at = page;
	}
}

static void op_migrate(struct proc *p, unsigned first, unsigned nr)
{
	say("migrate %u+%u", first, nr);
	WANT(!pf_migrate(&p->mm, va_of(first), nr * page_size));
}

/* What else changes entries and no page. */
static void op_entries(struct proc *p, unsigned first, unsigned nr)
{
	switch (rnd(3)) {
	case 0:
		say("NUMA hint %u+%u", first, nr);
		WANT(!pf_numa_hint(&p->mm, va_of(first), nr * page_size));
		break;
	case 1:
		say("split %u", first);
		pf_split(&p->mm, va_of(first));
		break;
	default:
		say("clear_refs");
		WANT(!pf_clear_refs(&p->mm, PF_CLEAR_REFS_SOFT_DIRTY));
	}
}

/* ---- after each call ---- */

static void check_maps(struct proc *p)
{
	for (unsigned i = 0; i < PAGES; i++) {
		const struct page *g = &p->page[i];
		struct pf_vma_info info;
		bool mapped =
			pf_find_vma_info(&p->mm, va_of(i), &info) && info.area.start <= va_of(i);

		WANT(mapped == g->mapped);
		if (!mapped)
			continue;
		WANT((info.area.flags & 7) == g->prot);
		WANT(!(info.area.flags & PF_VM_LOCKED) == !g->locked);
		WANT(!(info.area.flags & PF_VM_DONTCOPY) == !g->dontfork);
		WANT(!(info.area.flags & PF_VM_WIPEONFORK) == !g->wipe);
	}
}

/* Page-table check has counted what the tables hold, entry by entry. */
static void check_counts(void)
{
	static uint32_t maps[MEMORY / 4096];

	memset(maps, 0, sizeof(maps));
	for (unsigned i = 0; i < PROCS * PAGES; i++) {
		struct proc *p = &procs[i / PAGES];
		pf_pte_t pte;

		if (!p->alive || !p->page[i % PAGES].mapped)
			continue;
		pte = entry_of(p, i % PAGES);
		if (pf_pte_present(pte))
			maps[pf_pte_pfn(pte) - phys.first]++;
	}
	for (uint64_t i = 0; i < phys.nr; i++)
		if (maps[i] != table_watch.maps[i])
			fail_msg("%s: frame %" PRIu64 ": %u entries, page-table check has %u", last,
				phys.first + i, maps[i], table_watch.maps[i]);
}

static void check(bool thorough)
{
	const char *lost = thorough ? pf_rmap_check(&sys) : NULL;

	if (lost)
		fail_msg("%s: %s", last, lost);
	table_watch_judge(last);
	if (machine_violation())
		fail_msg("%s: rule %s: %s", last, machine_violation(), machine_violation_text());
	for (unsigned i = 0; i < PROCS; i++) {
		const char *bad;

		if (!procs[i].alive)
			continue;
		if (procs[i].mirrored)
			check_mirror(&procs[i]);
		machine_check_quiescent(procs[i].asid);
		if (machine_violation())
			fail_msg("%s: rule %s: %s", last, machine_violation(),
				machine_violation_text());
		if (!thorough)
			continue;
		bad = pf_mm_check(&procs[i].mm);
		if (bad)
			fail_msg("%s: %s", last, bad);
		check_maps(&procs[i]);
	}
	if (thorough)
		check_counts();
}

static void step(void)
{
	struct proc *p = &procs[rnd(PROCS)];
	unsigned first = rnd(PAGES), nr = 1 + rnd(rnd(3) ? 20 : PAGES), what = rnd(100);

	if (!p->alive)
		return;
	nr = (unsigned)pf_min(nr, PAGES - first);
	devices_store();
	enter(p);
	if (what < 15)
		op_mmap(p, first, nr);
	else if (what < 22)
		op_munmap(p, first, nr);
	else if (what < 40)
		op_mprotect(p, first, nr);
	else if (what < 52)
		op_madvise(p, first, nr);
	else if (what < 62)
		op_mremap(p, first, nr);
	else if (what < 66)
		op_fork(p);
	else if (what < 70)
		op_ksm();
	else if (what < 73)
		op_migrate(p, first, nr);
	else if (what < 74)
		pf_ksm_prune(&sys);
	else if (what < 76)
		op_device(p, first, nr);
	else if (what < 79)
		op_device_memory(p, first, nr);
	else if (what < 84)
		op_mirror(p, first, nr);
	else if (what < 86)
		op_entries(p, first, nr);
	else
		op_access(p);
}

static void run(const struct pf_format *fmt, enum pf_fold_policy policy, uint64_t seed, unsigned n)
{
	struct machine_config cfg = {
		.format = fmt->pt->name,
		.memory = MEMORY,
		.cpus = CPUS,
		.seed = seed,
	};

	assert_true(machine_features(cfg.format, "", &cfg.features));
	assert_int_equal(machine_start(&cfg), 0);
	memset(procs, 0, sizeof(procs));
	random_state = seed;
	stamp = 0;
	devices = 0;
	next_asid = 1;
	page_size = PF_BIT(fmt->pt->page_shift);
	assert_int_equal(pf_phys_init(&phys, MACHINE_RAM_BASE, MEMORY, fmt->pt->page_shift, 10), 0);
	divide();
	table_watch_start(&phys);
	assert_int_equal(pf_system_init(&sys, fmt, &phys, cfg.features, policy), 0);
	sys.thp.order[2] = PF_THP_ALWAYS;
	sys.thp.order[4] = PF_THP_ALWAYS;
	sys.thp.order[6] = PF_THP_MADVISE;
	assert_int_equal(pf_device_memory_add(&sys, 1, &device_memory), 0);
	procs[0].asid = 1;
	procs[0].alive = true;
	assert_int_equal(pf_mm_init(&procs[0].mm, &sys, 1), 0);

	for (unsigned i = 0; i < n; i++) {
		step();
		check(!(i % 8));
	}
	for (unsigned i = 0; i < PROCS; i++)
		if (procs[i].alive)
			stop(&procs[i]);
	say("end");
	pf_ksm_prune(&sys);
	WANT(!pf_handle_live(&sys.ksm.nodes));
	WANT(!pf_handle_live(&sys.anon_vmas));
	pf_system_exit(&sys);
	machine_rcu_drain();
	WANT(machine_check_end() == 0);
	check(false);
	table_watch_stop();
	machine_stop();
}

static const struct pf_format *format_named(const char *name)
{
	for (unsigned i = 0; pf_formats[i]; i++)
		if (!strcmp(pf_formats[i]->pt->name, name))
			return pf_formats[i];
	fail_msg("no format %s", name);
	return NULL;
}

static unsigned steps = 1500;
static uint64_t seed = 1;

static void programs(void **state)
{
	const struct pf_format *fmt = format_named(*state);

	run(fmt, PF_FOLD_LINUX, seed, steps);
	run(fmt, PF_FOLD_WATCH, seed + 1, steps);
	run(fmt, PF_FOLD_OFF, seed + 2, steps);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		{"arm64-4k", programs, NULL, NULL, "arm64-4k"},
		{"fake-inv", programs, NULL, NULL, "fake-inv"},
		{"fake-nz", programs, NULL, NULL, "fake-nz"},
		{"fake-2w", programs, NULL, NULL, "fake-2w"},
	};

	/* random_test [seed [steps]]: other programs than the ones of every run. */
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		steps = (unsigned)strtoul(argv[2], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
