/* SPDX-License-Identifier: MIT */
/*
 * Random programs of up to three processes on two and on four nodes, beside a model that knows of each page its policy, what a load
 * must find, and its frame: which node that is on, and how many pages show it. After each call every page's VMA has the model's policy,
 * every page is on the model's node, and mm and memory are well formed.
 */
#include "world.h"

#include "base/err.h"
#include "mm/mempolicy.h"
#include "mm/numa.h"
#include "mm/rmap.h"
#include "ops/formats.h"

#define A     UINT64_C(0x10000000)
#define PAGES 40u
#define PROCS 3u
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define FIXED (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED)

struct frame {
	unsigned node, pages;
};

struct page {
	bool mapped;
	unsigned prot;
	unsigned mode;
	uint64_t nodes;
	uint64_t value;
	struct frame *frame; /* NULL: none of its own */
};

struct proc {
	bool alive;
	struct pf_mm *mm, own;
	uint16_t asid;
	unsigned mode;
	uint64_t nodes;
	struct page page[PAGES];
};

static struct proc procs[PROCS];
static uint64_t random_state, stamp;
static unsigned cpu_node, nodes_there;
static uint16_t next_asid;
static char last[200];

#define WANT(c)                                                                                    \
	do {                                                                                       \
		if (!(c))                                                                          \
			fail_msg("%s: %s", last, #c);                                              \
	} while (0)

#define SAY(...) snprintf(last, sizeof(last), __VA_ARGS__)

static unsigned rnd(unsigned n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)((random_state >> 33) % n);
}

static unsigned here(void *ctx)
{
	(void)ctx;
	return cpu_node;
}

/* ---- the model ---- */

static unsigned pick(uint64_t nodes, uint64_t turn)
{
	unsigned found[8], n = 0;

	for (unsigned i = 0; i < nodes_there; i++)
		if (nodes >> i & 1)
			found[n++] = i;
	return found[turn % n];
}

/* The first of the nodes, counted from `from` and around. */
static unsigned nearest(uint64_t nodes, unsigned from)
{
	while (!(nodes >> from & 1))
		from = (from + 1) % nodes_there;
	return from;
}

/* Where a page goes that is allocated now: there is room everywhere. */
static unsigned wanted(const struct proc *p, unsigned i, unsigned mode, uint64_t nodes)
{
	struct pf_vma_info info;

	if (mode == PF_MPOL_DEFAULT) {
		mode = p->mode;
		nodes = p->nodes;
	}
	switch (mode) {
	case PF_MPOL_PREFERRED:
		return pick(nodes, 0);
	case PF_MPOL_INTERLEAVE:
		WANT(pf_find_vma_info(p->mm, A + i * P, &info));
		return pick(nodes, info.area.pgoff + (A + i * P - info.area.start) / P);
	case PF_MPOL_BIND:
	case PF_MPOL_PREFERRED_MANY:
		return nearest(nodes, cpu_node);
	default:
		return cpu_node;
	}
}

static void drop(struct page *g)
{
	if (g->frame && !--g->frame->pages)
		free(g->frame);
	g->frame = NULL;
	g->value = 0;
}

static void new_frame(struct proc *p, unsigned i)
{
	struct page *g = &p->page[i];
	const unsigned node = wanted(p, i, g->mode, g->nodes);
	const uint64_t value = g->value;

	drop(g);
	g->value = value;
	g->frame = calloc(1, sizeof(*g->frame));
	*g->frame = (struct frame){.node = node, .pages = 1};
}

/* ---- calls ---- */

static void enter(struct proc *p)
{
	cpu_node = rnd(nodes_there);
	machine_set_root(0, p->mm->space.pt.root, p->asid);
}

static enum pf_fault_result access_page(struct proc *p, unsigned i, bool write, uint64_t *value)
{
	for (unsigned tries = 0; tries < 2000; tries++) {
		struct machine_fault f =
			write ? machine_store(A + i * P, *value) : machine_load(A + i * P, value);
		enum pf_fault_result r;

		if (!f.fault)
			return PF_FAULT_DONE;
		r = pf_handle_mm_fault(p->mm, A + i * P, write ? PF_FAULT_FLAG_WRITE : 0);
		if (r != PF_FAULT_DONE)
			return r;
	}
	fail_msg("%s: faults for ever", last);
	return PF_FAULT_SIGSEGV;
}

static bool hinted(const struct proc *p, unsigned i)
{
	struct pf_page_info info;

	pf_page_info(p->mm, A + i * P, &info);
	return p->page[i].frame && pf_pte_protnone(info.pte);
}

static void op_hint(struct proc *p, unsigned first, unsigned nr)
{
	SAY("hint %u+%u", first, nr);
	WANT(!pf_numa_hint(p->mm, A + first * P, nr * P));
	for (unsigned i = first; i < first + nr; i++) {
		const struct page *g = &p->page[i];

		if (!g->frame)
			continue;
		/* What is the process's own, and not bound. */
		if (g->frame->pages == 1 && g->mode == PF_MPOL_DEFAULT &&
			p->mode == PF_MPOL_DEFAULT)
			WANT(hinted(p, i));
	}
}

static void op_access(struct proc *p, unsigned first, unsigned nr)
{
	const bool write = rnd(4);

	for (unsigned i = first; i < first + nr; i++) {
		struct page *g = &p->page[i];
		const bool allowed =
			g->mapped && (g->prot & (write ? PF_PROT_WRITE : PF_PROT_READ));
		uint64_t v = ++stamp;

		SAY("%s page %u on node %u", write ? "store" : "load", i, cpu_node);
		/* A hint: its page comes here, unless somebody has said where it is to be. */
		if (allowed && hinted(p, i) && g->mode == PF_MPOL_DEFAULT &&
			p->mode == PF_MPOL_DEFAULT)
			g->frame->node = cpu_node;
		WANT(access_page(p, i, write, &v) == (allowed ? PF_FAULT_DONE : PF_FAULT_SIGSEGV));
		if (!allowed)
			continue;
		if (!write) {
			WANT(v == g->value);
			continue;
		}
		if (!g->frame || g->frame->pages > 1)
			new_frame(p, i);
		g->value = v;
	}
}

static void op_mmap(struct proc *p, unsigned first, unsigned nr)
{
	const unsigned prot = rnd(3) ? RW : PF_PROT_READ;

	SAY("mmap %u+%u", first, nr);
	WANT(pf_mmap(p->mm, A + first * P, nr * P, prot, FIXED) == (int64_t)(A + first * P));
	for (unsigned i = first; i < first + nr; i++) {
		drop(&p->page[i]);
		p->page[i] = (struct page){.mapped = true, .prot = prot};
	}
}

static void op_munmap(struct proc *p, unsigned first, unsigned nr)
{
	SAY("munmap %u+%u", first, nr);
	WANT(!pf_munmap(p->mm, A + first * P, nr * P));
	for (unsigned i = first; i < first + nr; i++) {
		drop(&p->page[i]);
		p->page[i] = (struct page){.mapped = false};
	}
}

static void op_mprotect(struct proc *p, unsigned first, unsigned nr)
{
	const unsigned prot = rnd(3) ? RW : PF_PROT_READ;
	unsigned i;
	int r;

	SAY("mprotect %u+%u %u", first, nr, prot);
	r = pf_mprotect(p->mm, A + first * P, nr * P, prot);
	for (i = first; i < first + nr && p->page[i].mapped; i++)
		p->page[i].prot = prot;
	WANT(r == (i < first + nr ? -PF_ENOMEM : 0));
}

static void op_dontneed(struct proc *p, unsigned first, unsigned nr)
{
	SAY("dontneed %u+%u", first, nr);
	pf_madvise(p->mm, A + first * P, nr * P, PF_MADV_DONTNEED);
	for (unsigned i = first; i < first + nr; i++)
		drop(&p->page[i]);
}

static void op_mremap(struct proc *p, unsigned first, unsigned nr)
{
	const unsigned to = rnd(PAGES - nr + 1);
	struct page moved[PAGES];

	for (unsigned i = first; i < first + nr; i++)
		if (!p->page[i].mapped)
			return;
	if (to < first + nr && first < to + nr)
		return;
	SAY("mremap %u+%u to %u", first, nr, to);
	WANT(pf_mremap(p->mm, A + first * P, nr * P, nr * P, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
		     A + to * P) == (int64_t)(A + to * P));
	memcpy(moved, &p->page[first], nr * sizeof(moved[0]));
	memset(&p->page[first], 0, nr * sizeof(moved[0]));
	for (unsigned i = 0; i < nr; i++)
		drop(&p->page[to + i]);
	memcpy(&p->page[to], moved, nr * sizeof(moved[0]));
}

static unsigned draw_policy(uint64_t *nodes)
{
	static const unsigned modes[] = {PF_MPOL_DEFAULT, PF_MPOL_PREFERRED, PF_MPOL_BIND,
		PF_MPOL_INTERLEAVE, PF_MPOL_LOCAL, PF_MPOL_PREFERRED_MANY};
	const unsigned mode = modes[rnd(PF_ARRAY_SIZE(modes))];

	*nodes = 1 + rnd((1u << nodes_there) - 1);
	if (mode == PF_MPOL_DEFAULT || mode == PF_MPOL_LOCAL)
		*nodes = 0;
	/* What is left of it. */
	if (mode == PF_MPOL_PREFERRED)
		*nodes &= -*nodes;
	return mode;
}

static void op_set_mempolicy(struct proc *p)
{
	p->mode = draw_policy(&p->nodes);
	SAY("set_mempolicy %u %x", p->mode, (unsigned)p->nodes);
	WANT(!pf_set_mempolicy(p->mm, p->mode, p->nodes));
}

/* Is it one that may be moved, with these flags? */
static bool movable(const struct page *g, unsigned flags)
{
	return g->frame && (g->frame->pages == 1 || flags == PF_MPOL_MF_MOVE_ALL);
}

static void op_mbind(struct proc *p, unsigned first, unsigned nr)
{
	static const unsigned moves[] = {0, 0, PF_MPOL_MF_MOVE, PF_MPOL_MF_MOVE_ALL};
	const unsigned move = moves[rnd(PF_ARRAY_SIZE(moves))];
	const unsigned strict = rnd(3) ? 0 : PF_MPOL_MF_STRICT;
	uint64_t nodes;
	const unsigned mode = draw_policy(&nodes);
	int want = mode == PF_MPOL_DEFAULT ? -PF_EFAULT : 0;
	bool elsewhere = false, hole_first = false;
	int r;

	for (unsigned i = first; i < first + nr; i++) {
		const struct page *g = &p->page[i];

		if (g->mapped && mode == PF_MPOL_DEFAULT)
			want = 0;
		/* A hole is seen when the mapping before it is come to, before its pages. */
		if (!g->mapped && mode != PF_MPOL_DEFAULT) {
			want = -PF_EFAULT;
			hole_first |= !elsewhere;
		}
		if (g->mapped && g->frame && !(nodes >> g->frame->node & 1))
			elsewhere = true;
	}
	SAY("mbind %u+%u mode %u nodes %x flags %u", first, nr, mode, (unsigned)nodes,
		move | strict);
	r = pf_mbind(p->mm, A + first * P, nr * P, mode, nodes, move | strict);
	if (strict && !move && mode != PF_MPOL_DEFAULT && elsewhere) {
		WANT(r == -PF_EIO || (r == -PF_EFAULT && want == r));
		WANT(r == -PF_EIO || hole_first || want == -PF_EFAULT);
		return;
	}
	/* A page that is shown twice in a process can be taken once. */
	WANT(r == want || (r == -PF_EIO && strict && move == PF_MPOL_MF_MOVE_ALL && !want));
	if (want)
		return;
	for (unsigned i = first; i < first + nr; i++) {
		struct page *g = &p->page[i];

		if (!g->mapped)
			continue;
		g->mode = mode;
		g->nodes = nodes;
	}
	for (unsigned i = first; move && i < first + nr; i++) {
		struct page *g = &p->page[i];

		if (movable(g, move) && !(nodes >> g->frame->node & 1))
			g->frame->node = wanted(p, i, mode, nodes);
	}
}

static void op_move_pages(struct proc *p)
{
	const unsigned flags = rnd(2) ? PF_MPOL_MF_MOVE : PF_MPOL_MF_MOVE_ALL, nr = 1 + rnd(12);
	unsigned first = rnd(PAGES - nr + 1);
	pf_va_t pages[12];
	int to[12], got[12];

	for (unsigned k = 0; k < nr; k++) {
		pages[k] = A + (first + k) * P + rnd(P);
		to[k] = (int)rnd(nodes_there);
		if (k && rnd(2))
			to[k] = to[k - 1];
	}
	SAY("move_pages %u+%u flags %u", first, nr, flags);
	WANT(!pf_move_pages(p->mm, nr, pages, to, got, flags));
	for (unsigned k = 0; k < nr; k++) {
		struct page *g = &p->page[first + k];
		struct pf_page_info info;

		if (!g->frame) {
			pf_page_info(p->mm, pages[k], &info);
			WANT(got[k] ==
				(g->mapped && !pf_pte_present(info.pte) ? -PF_ENOENT : -PF_EFAULT));
			continue;
		}
		if (g->frame->node != (unsigned)to[k] && !movable(g, flags)) {
			WANT(got[k] == -PF_EACCES);
			continue;
		}
		WANT(got[k] == to[k]);
		g->frame->node = (unsigned)to[k];
	}
	WANT(!pf_move_pages(p->mm, nr, pages, NULL, got, 0));
	for (unsigned k = 0; k < nr; k++)
		if (p->page[first + k].frame)
			WANT(got[k] == (int)p->page[first + k].frame->node);
}

static void op_migrate_pages(struct proc *p)
{
	const unsigned flags = rnd(2) ? PF_MPOL_MF_MOVE : PF_MPOL_MF_MOVE_ALL;
	const unsigned from = rnd(nodes_there), to = rnd(nodes_there);

	SAY("migrate_pages %u to %u flags %u", from, to, flags);
	WANT(!pf_migrate_pages(p->mm, PF_BIT(from), PF_BIT(to), flags));
	for (unsigned i = 0; i < PAGES; i++)
		if (movable(&p->page[i], flags) && p->page[i].frame->node == from)
			p->page[i].frame->node = to;
}

static void stop(struct proc *p)
{
	machine_set_root(0, 0, 0);
	for (unsigned i = 0; i < PAGES; i++)
		drop(&p->page[i]);
	pf_mm_exit(p->mm);
	machine_retire_asid(p->asid);
	p->alive = false;
}

static void op_fork(struct proc *p)
{
	struct proc *c = &procs[rnd(PROCS)];

	/* The world's own stays. */
	if (c == p || c == procs)
		return;
	if (c->alive)
		stop(c);
	enter(p);
	SAY("fork");
	c->asid = ++next_asid;
	c->mm = &c->own;
	WANT(!pf_fork(c->mm, p->mm, c->asid));
	c->alive = true;
	c->mode = p->mode;
	c->nodes = p->nodes;
	memcpy(c->page, p->page, sizeof(c->page));
	for (unsigned i = 0; i < PAGES; i++)
		if (c->page[i].frame)
			c->page[i].frame->pages++;
}

/* ---- after each call ---- */

static void check_pages(const struct proc *p)
{
	for (unsigned i = 0; i < PAGES; i++) {
		const struct page *g = &p->page[i];
		struct pf_page_info page;
		struct pf_vma_info info;
		const bool mapped =
			pf_find_vma_info(p->mm, A + i * P, &info) && info.area.start <= A + i * P;

		WANT(mapped == g->mapped);
		if (!mapped)
			continue;
		WANT(info.area.policy.mode == g->mode);
		WANT(info.area.policy.nodes == g->nodes);
		pf_page_info(p->mm, A + i * P, &page);
		if (!g->frame) {
			WANT(pf_pte_none(page.pte) || pf_pte_special(page.pte));
			continue;
		}
		WANT(pf_pte_present(page.pte) && !pf_pte_special(page.pte));
		WANT(WORLD_NODE(pf_pte_pfn(page.pte)) == g->frame->node);
	}
}

static void check(void)
{
	const char *bad;
	pf_pfn_t pfn;

	for (unsigned i = 0; i < PROCS; i++) {
		if (!procs[i].alive)
			continue;
		bad = pf_mm_check(procs[i].mm);
		if (bad)
			fail_msg("%s: %s", last, bad);
		machine_check_quiescent(procs[i].asid);
		world_judge(last);
		check_pages(&procs[i]);
	}
	if (pf_phys_check(&phys, &pfn, &bad))
		fail_msg("%s: %s", last, bad);
	bad = pf_rmap_check(&sys);
	if (bad)
		fail_msg("%s: %s", last, bad);
}

static void step(void)
{
	struct proc *p = &procs[rnd(PROCS)];
	unsigned first = rnd(PAGES), nr = 1 + rnd(rnd(3) ? 6 : PAGES), what = rnd(100);

	if (!p->alive)
		return;
	nr = (unsigned)pf_min(nr, PAGES - first);
	enter(p);
	if (what < 15)
		op_mmap(p, first, nr);
	else if (what < 19)
		op_munmap(p, first, nr);
	else if (what < 27)
		op_mprotect(p, first, nr);
	else if (what < 30)
		op_dontneed(p, first, nr);
	else if (what < 35)
		op_mremap(p, first, nr);
	else if (what < 55)
		op_mbind(p, first, nr);
	else if (what < 59)
		op_set_mempolicy(p);
	else if (what < 64)
		op_fork(p);
	else if (what < 71)
		op_move_pages(p);
	else if (what < 74)
		op_migrate_pages(p);
	else if (what < 79)
		op_hint(p, first, nr);
	else
		op_access(p, first, nr);
}

static void run(const struct pf_format *fmt, unsigned nodes, uint64_t seed, unsigned steps)
{
	random_state = seed;
	memset(procs, 0, sizeof(procs));
	world_nodes = nodes_there = nodes;
	world_start(fmt, 0);
	memset(sys.thp.order, 0, sizeof(sys.thp.order));
	phys.local_node = here;
	next_asid = WORLD_ASID;
	procs[0] = (struct proc){.alive = true, .mm = &mm, .asid = WORLD_ASID};
	for (unsigned i = 0; i < steps; i++) {
		step();
		if (i % 4 == 0)
			check();
	}
	for (unsigned i = 1; i < PROCS; i++)
		if (procs[i].alive)
			stop(&procs[i]);
	for (unsigned i = 0; i < PAGES; i++)
		drop(&procs[0].page[i]);
	world_stop();
}

static unsigned steps = 500;
static uint64_t seed = 1;

static void programs(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		world_policy = i ? PF_FOLD_WATCH : PF_FOLD_OFF;
		run(*state, 2, seed + i, steps);
		run(*state, 4, seed + 2 + i, steps);
	}
}

int main(int argc, char **argv)
{
	int failed = 0;

	/* mempolicy_random_test [seed [steps]]: other programs than the ones of every run. */
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		steps = (unsigned)strtoul(argv[2], NULL, 0);
	for (unsigned i = 0; pf_formats[i]; i++) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_prestate(programs, (void *)pf_formats[i]),
		};

		failed += cmocka_run_group_tests_name(pf_formats[i]->pt->name, tests, NULL, NULL);
	}
	return failed;
}
