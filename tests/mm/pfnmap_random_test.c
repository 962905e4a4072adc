/* SPDX-License-Identifier: MIT */
/*
 * Random calls of two processes on mappings of a device, beside a model of what each page of theirs is: which frame, or a copy of one.
 */
#include "pfnmap_world.h"

#include "mm/proc.h"

#define PAGES 80u
#define NONE  UINT64_MAX

struct page {
	bool mapped, private, writable, readable;
	uint64_t index; /* of the mapping */
	uint64_t frame; /* of the device, from DEV on; or NONE */
	bool copied;
	uint64_t value; /* of the copy */
};

struct proc {
	bool alive;
	struct pf_mm *mm;
	uint16_t asid;
	struct page page[PAGES];
};

static struct pf_mm other;
static struct proc procs[2];
static struct proc *now; /* whose the CPU is */
static uint64_t device[DEV_FRAMES], stamp, random_state;
static char last[200];

static uint32_t rnd(uint32_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((random_state >> 33) % n);
}

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last, sizeof(last), fmt, ap);
	va_end(ap);
}

#define WANT(c)                                                                                    \
	do {                                                                                       \
		if (!(c))                                                                          \
			fail_msg("%s: %s", last, #c);                                              \
	} while (0)

static pf_va_t va_of(unsigned page)
{
	return A + page * P;
}

/* Up to four frames around, as far as there are any: what the model says is empty gets them. */
static int random_fault(struct pf_mapping *mapping, const struct pf_pfn_fault *f)
{
	const unsigned at = (unsigned)((f->va - A) / P);
	uint64_t first = pf_max(f->first, pf_align_down(f->index, 4));
	uint64_t end = pf_min(f->last + 1, pf_align_down(f->index, 4) + 4);

	(void)mapping;
	end = pf_min(end, DEV_FRAMES);
	if (f->index >= end)
		return -PF_EIO;
	for (uint64_t i = first; i < end; i++) {
		struct page *g = &now->page[at + (i - f->index)];

		WANT(g->mapped && !g->private && g->index == i);
		if (g->frame == NONE)
			g->frame = i;
	}
	return pf_insert_pfns(f, first, DEV + first, end - first);
}

static const struct pf_mapping_ops random_ops = {.fault = random_fault, .copy = dev_copy};

static void enter(struct proc *p)
{
	now = p;
	machine_set_root(0, p->mm->space.pt.root, p->asid);
}

static enum pf_fault_result access_page(unsigned page, bool write, uint64_t *value)
{
	for (unsigned i = 0; i < 2000; i++) {
		const pf_va_t va = va_of(page);
		enum pf_fault_result r;

		if (!(write ? machine_store(va, *value) : machine_load(va, value)).fault)
			return PF_FAULT_DONE;
		r = pf_handle_mm_fault(now->mm, va, write ? PF_FAULT_FLAG_WRITE : 0);
		if (r != PF_FAULT_DONE)
			return r;
	}
	fail_msg("%s: faults for ever", last);
	return PF_FAULT_SIGSEGV;
}

static void op_access(struct proc *p, unsigned first, unsigned nr)
{
	for (unsigned i = first; i < first + nr; i++) {
		struct page *g = &p->page[i];
		const bool write = rnd(2), ok = g->mapped && (write ? g->writable : g->readable);
		uint64_t v = ++stamp;
		enum pf_fault_result r;

		say("%s page %u", write ? "store" : "load", i);
		r = access_page(i, write, &v);
		if (!ok) {
			WANT(r == PF_FAULT_SIGSEGV);
			continue;
		}
		if (!g->copied && g->frame == NONE) {
			WANT(r == PF_FAULT_SIGBUS);
			WANT(g->private || g->index >= DEV_FRAMES);
			continue;
		}
		WANT(r == PF_FAULT_DONE);
		if (write && g->private) {
			g->copied = true;
			g->frame = NONE;
			g->value = v;
		} else if (write) {
			device[g->frame] = v;
		} else {
			WANT(v == (g->copied ? g->value : device[g->frame]));
		}
	}
}

static void op_map(struct proc *p, unsigned first, unsigned nr)
{
	const struct pf_file file = {.mapping = dev, .mode = PF_FILE_READ | PF_FILE_WRITE};
	const bool private = rnd(2);
	const uint64_t index = rnd(4) ? rnd(DEV_FRAMES - PAGES) : DEV_FRAMES - rnd(40);

	say("map %u+%u, page %llu, private %d", first, nr, (unsigned long long)index, private);
	WANT(pf_mmap_file(p->mm, va_of(first), nr * P, RW, private ? PRIVATE : SHARED, &file,
		     index * P) == (int64_t)va_of(first));
	for (unsigned i = first; i < first + nr; i++)
		p->page[i] = (struct page){.mapped = true,
			.private = private,
			.writable = true,
			.readable = true,
			.index = index + (i - first),
			.frame = NONE};
}

/* A part or the whole of a VMA; whether it may be is asked of the model, as far as it knows. */
static void op_remap(struct proc *p, unsigned first, unsigned nr)
{
	uint64_t frame = rnd(DEV_FRAMES - PAGES);
	bool whole, clean = true, knows = true;
	struct pf_vma_info info;
	int r;

	if (!pf_find_vma_info(p->mm, va_of(first), &info) || info.area.start >= va_of(PAGES))
		return;
	if (rnd(4)) {
		first = (unsigned)((info.area.start - A) / P);
		nr = (unsigned)((info.area.end - info.area.start) / P);
	}
	/* Where blocks can be, or anywhere. */
	if (rnd(4))
		frame = (frame & ~UINT64_C(15)) + (first & 15);
	whole = va_of(first) == info.area.start && va_of(first + nr) == info.area.end;
	for (unsigned i = first; i < first + nr; i++)
		clean &= p->page[i].frame == NONE && !p->page[i].copied;
	/* Was it ever written? */
	knows = !p->page[first].private || !info.area.anon;
	say("remap %u+%u, frame %llu", first, nr, (unsigned long long)frame);
	r = pf_remap_pfn_range(p->mm, va_of(first), nr * P, DEV + frame);
	if (va_of(first) < info.area.start || va_of(first + nr) > info.area.end ||
		(p->page[first].private && !whole)) {
		WANT(r == -PF_EINVAL);
		return;
	}
	if (!clean || !knows) {
		WANT(r == -PF_EBUSY);
		return;
	}
	WANT(!r);
	for (unsigned i = first; i < first + nr; i++) {
		p->page[i].frame = frame + (i - first);
		if (p->page[i].private)
			p->page[i].index = DEV + p->page[i].frame;
	}
}

static void op_unmap(struct proc *p, unsigned first, unsigned nr)
{
	say("unmap %u+%u", first, nr);
	WANT(!pf_munmap(p->mm, va_of(first), nr * P));
	memset(&p->page[first], 0, nr * sizeof(p->page[0]));
}

static void op_protect(struct proc *p, unsigned first, unsigned nr)
{
	static const unsigned prots[] = {RW, RW, RW, PF_PROT_READ, PF_PROT_NONE};
	const unsigned prot = prots[rnd(PF_ARRAY_SIZE(prots))];
	unsigned i;
	int r;

	say("protect %u+%u, %u", first, nr, prot);
	r = pf_mprotect(p->mm, va_of(first), nr * P, prot);
	for (i = first; i < first + nr && p->page[i].mapped; i++) {
		p->page[i].writable = prot & PF_PROT_WRITE;
		p->page[i].readable = prot & PF_PROT_READ;
	}
	WANT(r == (i < first + nr ? -PF_ENOMEM : 0));
}

/* Of one VMA, to somewhere else. */
static void op_move(struct proc *p, unsigned first, unsigned nr)
{
	const unsigned to = rnd(PAGES - nr + 1);
	struct pf_vma_info info;

	if (!p->page[first].mapped || (to < first + nr && first < to + nr))
		return;
	WANT(pf_find_vma_info(p->mm, va_of(first), &info));
	if (va_of(first + nr) > info.area.end)
		return;
	say("move %u+%u to %u", first, nr, to);
	WANT(pf_mremap(p->mm, va_of(first), nr * P, nr * P, MOVE, va_of(to)) == (int64_t)va_of(to));
	memcpy(&p->page[to], &p->page[first], nr * sizeof(p->page[0]));
	memset(&p->page[first], 0, nr * sizeof(p->page[0]));
}

static void op_zap(struct proc *p, unsigned first, unsigned nr)
{
	struct pf_vma_info info;
	bool ok = pf_find_vma_info(p->mm, va_of(first), &info) && info.area.start <= va_of(first) &&
		  info.area.end >= va_of(first + nr);

	say("zap %u+%u", first, nr);
	WANT(pf_zap_vma_ptes(p->mm, va_of(first), nr * P) == (ok ? 0 : -PF_EINVAL));
	for (unsigned i = first; ok && i < first + nr; i++) {
		p->page[i].frame = NONE;
		p->page[i].copied = false;
	}
}

/* The device takes frames away, of both. */
static void op_take(void)
{
	const uint64_t first = rnd(2) ? rnd(DEV_FRAMES) : DEV + rnd(DEV_FRAMES), nr = 1 + rnd(200);
	const bool cows = !rnd(4);

	say("take %llu+%llu", (unsigned long long)first, (unsigned long long)nr);
	pf_unmap_mapping_pages(dev, first, nr, cows);
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; procs[k].alive && i < PAGES; i++) {
			struct page *g = &procs[k].page[i];

			if (!g->mapped || g->index < first || g->index >= first + nr)
				continue;
			g->frame = NONE;
			g->copied &= !cows;
		}
}

static void op_fork(void)
{
	if (procs[1].alive) {
		say("exit");
		enter(&procs[0]);
		pf_mm_exit(&other);
		machine_retire_asid(procs[1].asid);
		procs[1].alive = false;
		return;
	}
	say("fork");
	procs[1] = (struct proc){.alive = true, .mm = &other, .asid = 2};
	WANT(!pf_fork(&other, &mm, 2));
	memcpy(procs[1].page, procs[0].page, sizeof(procs[0].page));
}

static void op_others(struct proc *p, unsigned first, unsigned nr)
{
	pf_pfn_t pages[PAGES];
	bool mapped = p->page[first].mapped;

	say("others %u+%u", first, nr);
	switch (rnd(4)) {
	case 0:
		WANT(!pf_clear_refs(p->mm, 1 + rnd(4)));
		break;
	case 1:
		WANT(pf_gup(p->mm, va_of(first), nr, rnd(2) ? PF_FOLL_PIN : PF_FOLL_WRITE, pages) ==
			-PF_EFAULT);
		break;
	case 2:
		WANT(!mapped ||
			pf_madvise(p->mm, va_of(first), nr * P, PF_MADV_DONTNEED) == -PF_EINVAL);
		break;
	case 3:
		pf_mlock(p->mm, va_of(first), nr * P);
		WANT(!p->mm->locked_vm);
		break;
	}
}

/* The entries are what the model says. */
static void compare(const struct proc *p)
{
	const char *bad = pf_mm_check(p->mm);
	int64_t copied = 0;

	if (bad)
		fail_msg("%s: %s", last, bad);
	for (unsigned i = 0; i < PAGES; i++) {
		const struct page *g = &p->page[i];
		const struct pf_page_info info = at_of(p->mm, va_of(i));

		if (g->mapped && g->copied) {
			WANT(pf_pte_present(info.pte) && !pf_pte_special(info.pte));
			copied++;
		} else if (g->mapped && g->frame != NONE) {
			WANT(pf_pte_special(info.pte) && pf_pte_pfn(info.pte) == DEV + g->frame);
		} else {
			WANT(pf_pte_none(info.pte));
		}
	}
	WANT(pf_space_rss(&p->mm->space) == copied && pf_rss(&p->mm->space, PF_RSS_ANON) == copied);
}

static void step(void)
{
	struct proc *p = &procs[procs[1].alive ? rnd(2) : 0];
	const unsigned first = rnd(PAGES),
		       nr = 1 + (unsigned)rnd((uint32_t)pf_min(PAGES - first, rnd(3) ? 12 : 64));

	enter(p);
	switch (rnd(24)) {
	case 0:
	case 1:
		op_map(p, first, nr);
		if (rnd(3))
			op_remap(p, first, nr);
		break;
	case 2:
	case 3:
	case 4:
		op_remap(p, first, nr);
		break;
	case 5:
		op_unmap(p, first, nr);
		break;
	case 6:
	case 7:
		op_protect(p, first, nr);
		break;
	case 8:
		op_move(p, first, nr);
		break;
	case 9:
		op_zap(p, first, nr);
		break;
	case 10:
		op_take();
		break;
	case 11:
		op_others(p, first, nr);
		break;
	case 12:
		if (!rnd(4))
			op_fork();
		break;
	default:
		op_access(p, first, nr);
		break;
	}
}

static void random_calls(const struct pf_format *fmt, enum pf_fold_policy policy, unsigned seed)
{
	begin(fmt, policy, 0);
	dev->ops = &random_ops;
	random_state = seed;
	memset(procs, 0, sizeof(procs));
	procs[0] = (struct proc){.alive = true, .mm = &mm, .asid = WORLD_ASID};
	for (unsigned i = 0; i < DEV_FRAMES; i++)
		device[i] = *word(DEV + i);
	for (unsigned i = 0; i < 1600; i++) {
		step();
		machine_check_quiescent(WORLD_ASID);
		if (procs[1].alive)
			machine_check_quiescent(2);
		world_judge(last);
		if (i % 8)
			continue;
		for (unsigned k = 0; k < 2; k++)
			if (procs[k].alive)
				compare(&procs[k]);
	}
	if (policy == PF_FOLD_WATCH)
		assert_true(mm.space.pt.stats.fold > 3);
	else
		assert_int_equal(mm.space.pt.stats.fold, 0);
	if (procs[1].alive)
		op_fork();
	enter(&procs[0]);
	for (unsigned i = 0; i < DEV_FRAMES; i++)
		assert_int_equal(*word(DEV + i), device[i]);
	finish();
}

static void random_test(void **state)
{
	static const enum pf_fold_policy policy[] = {PF_FOLD_WATCH, PF_FOLD_LINUX, PF_FOLD_OFF};

	(void)state;
	for (unsigned i = 0; pf_formats[i]; i++)
		for (unsigned k = 0; k < PF_ARRAY_SIZE(policy); k++)
			random_calls(pf_formats[i], policy[k], 17 + k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_test)};

	return cmocka_run_group_tests_name("random PFN maps", tests, NULL, NULL);
}
