// SPDX-License-Identifier: MIT
/*
 * Our side: the library on the software machine's port, measuring build. Locks and atomics are
 * real; TLB operations and barriers are counted and cost nothing (the table shows them priced);
 * pages have no contents, so clearing them is measured only where it says so.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "mm/mm.h"
#include "phys/phys.h"
#include "pt/pf_pt.h"

#define BASE  UINT64_C(0x40000000000) /* 2M-aligned, far from where mmap places anything */
#define MOVED (BASE + UINT64_C(0x4000000000))

struct world {
	struct pf_phys phys;
	struct pf_system sys;
	struct pf_mm mm;
	const struct pf_format *fmt;
};

static const struct pf_format *find_format(const char *name)
{
	for (const struct pf_format *const *f = pf_formats; *f; f++)
		if (!strcmp((*f)->pt->name, name))
			return *f;
	return NULL;
}

static const struct pf_format *format;
static uint64_t memory;

bool ours_start(const char *name, uint64_t bytes)
{
	struct machine_config mc = {
		.format = name,
		.memory = bytes * 2 + (UINT64_C(256) << 20),
		.cpus = 2,
		.no_data = true,
		.resident = true,
	};

	format = find_format(name);
	if (!format || !machine_features(name, "", &mc.features) || machine_start(&mc)) {
		fprintf(stderr, "pagefold-bench: %s: %s\n", name, machine_error());
		return false;
	}
	memory = mc.memory;
	return true;
}

void ours_stop(void)
{
	machine_stop();
}

/* A disk that takes no time: what is measured is what the library does. */
static int no_time(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx, (void)slot, (void)pa, (void)bytes;
	return 0;
}

static const struct pf_swap_ops no_device = {.read = no_time, .write = no_time};

static bool start(struct world *w, const struct ours_config *c)
{
	uint32_t features;

	w->fmt = format;
	machine_set_data(c->data);
	machine_features(format->pt->name, "", &features);
	if (pf_phys_init(&w->phys, MACHINE_RAM_BASE, memory, format->pt->page_shift, 11) ||
		pf_system_init(&w->sys, format, &w->phys, features,
			c->fold ? PF_FOLD_LINUX : PF_FOLD_OFF) ||
		pf_mm_init(&w->mm, &w->sys, 1)) {
		fprintf(stderr, "pagefold-bench: out of simulated memory\n");
		return false;
	}
	w->sys.thp.enabled = PF_THP_MADVISE;
	if (pf_swapon(&w->sys, &no_device, NULL, c->layout.bytes / 4096) < 0) {
		fprintf(stderr, "pagefold-bench: no memory for swap\n");
		return false;
	}
	if (c->layout.order)
		w->sys.thp.order[c->layout.order] = PF_THP_ALWAYS;
	return true;
}

static void stop(struct world *w)
{
	pf_mm_exit(&w->mm);
	pf_system_exit(&w->sys);
}

/* Write every folio once; ns: per page. */
static bool populate(struct world *w, const struct layout *l, double *ns)
{
	uint64_t step = UINT64_C(4096) << l->order;
	double t;

	if (pf_mmap(&w->mm, BASE, l->bytes, PF_PROT_READ | PF_PROT_WRITE,
		    PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED) != (int64_t)BASE)
		return false;
	t = now_ns();
	for (uint64_t i = 0; i < l->bytes; i += step)
		if (pf_handle_mm_fault(&w->mm, BASE + i, PF_FAULT_FLAG_WRITE) != PF_FAULT_DONE)
			return false;
	*ns = (now_ns() - t) / (double)(l->bytes / 4096);
	return true;
}

/* What the operation made hardware do is read off before what it made is taken down again. */
static bool run_op(struct world *w, const struct ours_config *c, enum op op, double *t,
	struct machine_counters *after, uint64_t *unfold)
{
	uint64_t bytes = c->layout.bytes;
	struct pf_mm child;
	pf_va_t to = MOVED + (op == OP_MREMAP_UNALIGNED ? 4096 : 0) + (UINT64_C(1) << 20);

	*t = now_ns();
	switch (op) {
	case OP_MPROTECT_RO:
		if (pf_mprotect(&w->mm, BASE, bytes, PF_PROT_READ))
			return false;
		break;
	case OP_MPROTECT_RW:
		if (pf_mprotect(&w->mm, BASE, bytes, PF_PROT_READ | PF_PROT_WRITE))
			return false;
		break;
	case OP_FORK:
		if (pf_fork(&child, &w->mm, 2))
			return false;
		break;
	case OP_DONTNEED:
	case OP_FREE:
	case OP_COLLAPSE:
	case OP_PAGEOUT:
		if (pf_madvise(&w->mm, BASE, bytes, op_advice[op]))
			return false;
		break;
	case OP_MLOCK:
		if (pf_mlock(&w->mm, BASE, bytes))
			return false;
		break;
	case OP_RECLAIM:
		if (pf_reclaim(&w->sys, bytes / 4096) < bytes / 4096)
			return false;
		break;
	case OP_MUNMAP:
		if (pf_munmap(&w->mm, BASE, bytes))
			return false;
		break;
	case OP_MREMAP_ALIGNED:
	case OP_MREMAP_UNALIGNED:
		if (pf_mremap(&w->mm, BASE, bytes, bytes, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
			    to) != (int64_t)to)
			return false;
		break;
	default:
		return false;
	}
	*t = now_ns() - *t;
	*after = machine_counters;
	*unfold = w->mm.space.pt.stats.unfold;
	if (op == OP_FORK)
		pf_mm_exit(&child);
	else if (op == OP_MREMAP_ALIGNED || op == OP_MREMAP_UNALIGNED)
		pf_munmap(&w->mm, to, bytes);
	return true;
}

static bool one_run(const struct ours_config *c, enum op op, double *ns, struct ours_cost *cost)
{
	double pages = (double)(c->layout.bytes / 4096), fault_ns = 0, t = 0;
	struct machine_counters before, after;
	struct world w;
	uint64_t unfold, unfold_after;
	bool ok;

	if (!start(&w, c))
		return false;
	before = machine_counters;
	ok = populate(&w, &c->layout, &fault_ns);
	if (ok && op == OP_MPROTECT_RW)
		ok = !pf_mprotect(&w.mm, BASE, c->layout.bytes, PF_PROT_READ);
	if (ok && !c->settled)
		ok = pf_pt_age(&w.mm.space.pt, BASE, c->layout.bytes / 4096) >= 0;
	unfold = w.mm.space.pt.stats.unfold;
	if (op == OP_FAULT) {
		t = fault_ns * pages;
		after = machine_counters;
		unfold_after = unfold;
	} else {
		before = machine_counters;
		ok = ok && run_op(&w, c, op, &t, &after, &unfold_after);
	}
	if (!ok)
		fprintf(stderr, "pagefold-bench: %s on %s failed\n", op_name[op], format->pt->name);
	*ns = t / pages;
	stop(&w);
	if (!ok)
		return false;
	*cost = (struct ours_cost){
		.tlbi = (double)(after.tlbi - before.tlbi) / pages,
		.dsb = (double)(after.dsb - before.dsb) / pages,
		.xchg = (double)(after.pte_xchg - before.pte_xchg) / pages,
		.store = (double)(after.pte_store - before.pte_store) / pages,
		.unfold = unfold_after - unfold,
	};
	return true;
}

bool ours_measure(
	const struct ours_config *c, enum op op, struct samples *s, struct ours_cost *cost)
{
	for (unsigned i = 0; i < RUNS; i++)
		if (!one_run(c, op, &s->ns[i], cost))
			return false;
	return true;
}

bool ours_measure_pt(struct samples *map, struct samples *unmap)
{
	enum { PAGES = 256, CALLS = 1024 };
	struct ours_config c = {.layout = {UINT64_C(64) << 20, 0}, .fold = true};
	struct pf_table_mem mem;
	struct world w;
	struct pf_pt pt;
	bool ok = true;

	if (!start(&w, &c))
		return false;
	mem = pf_phys_table_mem(&w.phys);
	for (unsigned r = 0; r < RUNS && ok; r++) {
		double t;

		if (pf_pt_init(&pt, w.fmt->pt, &mem, w.sys.features, 3, 0, PF_FOLD_LINUX))
			return false;
		/* Frames one off, so that no large leaf fits: page entries, as generic_pt's test
		 * writes. */
		t = now_ns();
		for (uint64_t i = 0; i < CALLS; i++)
			ok &= !pf_pt_map(&pt, BASE + i * PAGES * 4096, PAGES, 1 + i * PAGES,
				PF_PTE_R | PF_PTE_W | PF_PTE_A | PF_PTE_D);
		map->ns[r] = (now_ns() - t) / (PAGES * CALLS);
		t = now_ns();
		for (uint64_t i = 0; i < CALLS; i++)
			ok &= !pf_pt_unmap(&pt, BASE + i * PAGES * 4096, PAGES);
		unmap->ns[r] = (now_ns() - t) / (PAGES * CALLS);
		pf_pt_destroy(&pt);
	}
	stop(&w);
	return ok;
}

bool ours_measure_find(struct samples *s)
{
	const struct ours_config c = {.layout = {UINT64_C(4) << 20, 0}};
	uint64_t rng = FIND_SEED, found = 0;
	struct world w;
	bool ok = true;

	if (!start(&w, &c))
		return false;
	w.sys.max_map_count = FIND_VMAS + 1;
	for (unsigned i = 0; ok && i < FIND_VMAS; i++)
		ok = pf_mmap(&w.mm, BASE + i * FIND_STRIDE, FIND_STRIDE / 2, PF_PROT_READ,
			     PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED) > 0;
	for (unsigned r = 0; ok && r < RUNS; r++) {
		double t = now_ns();

		for (unsigned i = 0; i < FINDS; i++) {
			const pf_va_t va = BASE + find_next(&rng) * FIND_STRIDE;
			struct pf_vma_info v;

			found += pf_find_vma_info(&w.mm, va, &v) && v.area.start == va;
		}
		s->ns[r] = (now_ns() - t) / FINDS;
	}
	stop(&w);
	return ok && found == (uint64_t)RUNS * FINDS;
}
