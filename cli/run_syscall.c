// SPDX-License-Identifier: MIT
/* One system call: the library does it, and the model says what Linux answers. */
#include <stdio.h>
#include <string.h>

#include "cli/run.h"
#include "mm/collapse.h"
#include "mm/ksm.h"
#include "mm/migrate.h"
#include "mm/numa.h"
#include "mm/poison.h"
#include "mm/proc.h"
#include "mm/sample.h"

#define MAP_FIXED_ANY (PF_MAP_FIXED | PF_MAP_FIXED_NOREPLACE)

struct syscall {
	struct run_world *w;
	struct run_process *p;
	uint64_t a[6];
	unsigned nargs;
	int64_t wanted; /* the address written as the result, or -1 */
	unsigned child;
	uint64_t allocs; /* before the call */
};

/* The library is about to fault pages in for writing: to the judge that is a store to each. */
static void note_range(struct syscall *c, uint64_t start, uint64_t end)
{
	uint64_t page = c->w->env.page, va = start & ~(page - 1);

	/* Counted: the end may lie in the last page that there is. */
	for (uint64_t nr = end > va ? (end - va - 1) / page + 1 : 0; nr; nr--, va += page)
		machine_note_store(va);
}

/* Of the mappings in a range those that may be written; or, about to become so, those that are locked. */
static void note_stores(struct syscall *c, uint64_t addr, uint64_t len, bool locked)
{
	struct oracle_map m;
	uint64_t end = addr + len;

	for (uint64_t at = addr; at < end && oracle_find(c->w->oracle, c->p->pid, at, &m);
		at = m.end) {
		uint64_t from = m.start > at ? m.start : at, to = m.end < end ? m.end : end;

		if (locked ? m.locked : m.prot & 2)
			note_range(c, from, to);
	}
}

void run_note_stores(struct run_world *w, struct run_process *p, uint64_t va, uint64_t len)
{
	struct syscall c = {.w = w, .p = p};

	/* A range that wraps reaches the end. */
	run_switch(w, p);
	note_stores(&c, va, va + len < va ? UINT64_MAX - va : len, false);
}

static void note_locked(struct syscall *c, enum sc_call_id id)
{
	const struct pf_mm *mm = &c->p->mm;
	struct oracle_map m;
	uint64_t at;

	switch (id) {
	case SC_MLOCK:
	case SC_MLOCK2:
		note_stores(c, c->a[0], c->a[1] + c->w->env.page, false);
		break;
	case SC_MLOCKALL:
		note_stores(c, 0, c->w->sys.task_size, false);
		break;
	case SC_MPROTECT:
	case SC_PKEY_MPROTECT:
		if (c->a[2] & PF_PROT_WRITE)
			note_stores(c, c->a[0], c->a[1], true);
		break;
	case SC_MREMAP:
		if (!oracle_find(c->w->oracle, c->p->pid, c->a[0], &m) || !m.locked ||
			c->a[2] <= c->a[1] || c->a[2] - c->a[1] > UINT64_C(1) << 40)
			break;
		at = c->a[3] & PF_MREMAP_FIXED ? c->a[4] : c->a[0];
		note_range(c, at + c->a[1], at + c->a[2]);
		break;
	case SC_BRK:
		if (mm->def_flags && c->a[0] > mm->brk && c->a[0] - mm->brk < UINT64_C(1) << 40)
			note_range(c, mm->brk, c->a[0]);
		break;
	default:
		break;
	}
}

/* What the library answered, and what the model says to it. */
struct answer {
	int64_t lib, model;
	bool injected;
};

/* An address that Linux chose is taken as the address wanted, which is_free(): true if the call asks for it now. */
static bool take_mmap(struct syscall *c)
{
	bool take = c->wanted >= 0 && !(c->a[3] & MAP_FIXED_ANY) && (uint64_t)c->wanted != c->a[0];

	if (take) {
		c->a[0] = (uint64_t)c->wanted;
		c->a[3] |= PF_MAP_FIXED;
	}
	if ((c->a[3] & (PF_MAP_POPULATE | PF_MAP_LOCKED) || c->p->mm.def_flags) &&
		c->a[2] & PF_PROT_WRITE && c->a[1] <= UINT64_C(1) << 40)
		note_range(c, c->a[0], c->a[0] + c->a[1]);
	return take;
}

static bool take_mremap(struct syscall *c)
{
	bool take = c->wanted >= 0 && !(c->a[3] & PF_MREMAP_FIXED) && c->a[3] & PF_MREMAP_MAYMOVE &&
		    (uint64_t)c->wanted != c->a[0];

	if (take) {
		c->a[4] = (uint64_t)c->wanted;
		c->a[3] |= PF_MREMAP_FIXED;
	}
	return take;
}

/* Where the heap starts, while nobody has used it. */
static void take_brk(struct syscall *c)
{
	struct run_world *w = c->w;

	if (!c->a[0] && c->wanted >= 0 && !c->p->brk_known) {
		pf_set_brk_start(&c->p->mm, (uint64_t)c->wanted);
		oracle_set_brk_start(w->oracle, c->p->pid, (uint64_t)c->wanted);
	}
	c->p->brk_known = true;
}

static bool is_free(struct syscall *c, enum sc_call_id id)
{
	uint64_t len = id == SC_MMAP ? c->a[1] : c->a[2], at = (uint64_t)c->wanted;
	struct oracle_map m;

	return !oracle_find(c->w->oracle, c->p->pid, at, &m) || m.start >= at + len;
}

/* Bytes that a leaf table maps. */
static uint64_t leaf_size(const struct syscall *c)
{
	return c->w->env.page << c->w->cfg->fmt->pt->level_bits;
}

/* What Linux answers, without the failing allocation. */
static int64_t ask_model(struct syscall *c, struct oracle *o, enum sc_call_id id, int64_t told)
{
	unsigned pid = c->p->pid;

	switch (id) {
	case SC_MUNMAP:
		return oracle_munmap(o, pid, c->a[0], c->a[1]);
	case SC_MPROTECT:
		return oracle_mprotect(o, pid, c->a[0], c->a[1], c->a[2]);
	case SC_MADVISE:
		if (c->a[2] == PF_MADV_HWPOISON || c->a[2] == PF_MADV_SOFT_OFFLINE)
			return oracle_inject(o, pid, c->a[0], c->a[1], told);
		if (c->a[2] == PF_MADV_COLLAPSE)
			return oracle_collapse(o, pid, c->a[0], c->a[1], leaf_size(c), told);
		return oracle_madvise(o, pid, c->a[0], c->a[1], c->a[2]);
	case SC_MMAP:
		return oracle_mmap(o, pid, c->a[0], c->a[1], c->a[2], c->a[3],
			run_file_of(c->w, c->a[4]) ? (int)(c->a[4] - RUN_FIRST_FD) : -1, c->a[5],
			told);
	case SC_MREMAP:
		return oracle_mremap(o, pid, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], told);
	case SC_BRK:
		return (int64_t)oracle_brk(o, pid, c->a[0]);
	case SC_MLOCK:
		return oracle_mlock(o, pid, c->a[0], c->a[1], 0);
	case SC_MLOCK2:
		return oracle_mlock(o, pid, c->a[0], c->a[1], c->a[2]);
	case SC_MUNLOCK:
		return oracle_munlock(o, pid, c->a[0], c->a[1]);
	case SC_MLOCKALL:
		return oracle_mlockall(o, pid, c->a[0]);
	case SC_MUNLOCKALL:
		return oracle_munlockall(o, pid);
	case SC_PKEY_MPROTECT:
		return oracle_pkey_mprotect(o, pid, c->a[0], c->a[1], c->a[2], (int64_t)c->a[3]);
	case SC_MINCORE:
		return oracle_mincore(o, pid, c->a[0], c->a[1]);
	case SC_MSYNC:
		return oracle_msync(o, pid, c->a[0], c->a[1], c->a[2]);
	case SC_MSEAL:
		return oracle_mseal(o, pid, c->a[0], c->a[1], c->a[2]);
	case SC_FORK:
		return oracle_fork(o, pid, c->child) ? -PF_ENOMEM : (int64_t)c->child;
	case SC_CLEAR_REFS:
		return c->a[0] - 1 < 5 ? 0 : -PF_EINVAL;
	case SC_POISON:
		return oracle_fail(o, pid, c->a[0], told);
	case SC_KSM:
		return oracle_ksm(o, pid, c->a[0], c->a[1], told);
	case SC_AGE:
	case SC_MIGRATE:
	case SC_SPLIT:
	case SC_COLLAPSE:
	case SC_NUMA_HINT:
		return 0;
	/* How much can be had is not in the model; that no page is lost by it is. */
	case SC_RECLAIM:
		return told == -PF_EAGAIN ? told : 0;
	default:
		return ORACLE_UNKNOWN;
	}
}

/* MADV_GUARD_INSTALL: has it done its work? All that is mapped in the range is guarded then, and no mapping is changed. */
static bool is_guarded(const struct syscall *c)
{
	const uint64_t page = c->w->env.page, end = c->a[0] + c->a[1];
	struct pf_vma_info vma;
	struct pf_page_info info;

	for (pf_va_t va = c->a[0]; va < end && pf_find_vma_info(&c->p->mm, va, &vma);) {
		const pf_va_t to = pf_min(vma.area.end, end);

		for (va = pf_max(va, vma.area.start); va < to; va += page) {
			pf_page_info(&c->p->mm, va, &info);
			if (!pf_pte_guard(info.pte))
				return false;
		}
	}
	return true;
}

/*
 * Was it the failing allocation that made the library answer this? It was reached in the call, and there is no
 * memory, where Linux would have answered otherwise. ENOMEM is also what a hole answers, after the work before it:
 * then it is told by the work, and a populate, which may have stopped anywhere, is done again.
 */
static bool was_injected(struct syscall *c, enum sc_call_id id, int64_t lib)
{
	struct oracle *copy;
	bool same;

	if (c->allocs >= c->w->fail_at || machine_counters.allocs < c->w->fail_at)
		return false;
	if ((id == SC_MLOCK || id == SC_MLOCK2) && lib == -PF_EAGAIN)
		return true;
	if (id == SC_BRK ? (uint64_t)lib == c->a[0] : lib != -PF_ENOMEM)
		return false;
	if (id == SC_MADVISE &&
		(c->a[2] == PF_MADV_POPULATE_READ || c->a[2] == PF_MADV_POPULATE_WRITE))
		return true;
	copy = oracle_clone(c->w->oracle);
	same = ask_model(c, copy, id, lib) == lib;
	if (same && id == SC_MADVISE && c->a[2] == PF_MADV_GUARD_INSTALL)
		RUN_UNCOUNTED(same = is_guarded(c));
	else if (same)
		RUN_UNCOUNTED(same = run_maps_agree(c->p, copy));
	oracle_free(copy);
	return !same;
}

static int64_t call_mmap(struct syscall *c)
{
	const struct run_file *f = run_file_of(c->w, c->a[4]);
	struct pf_file file = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	/* Linux looks at the offset before it looks for the file. */
	if (c->a[5] & (c->w->env.page - 1))
		return -PF_EINVAL;
	if (!f)
		return pf_mmap(&c->p->mm, c->a[0], c->a[1], (unsigned)c->a[2], (unsigned)c->a[3]);
	file.mapping = f->mapping;
	return pf_mmap_file(
		&c->p->mm, c->a[0], c->a[1], (unsigned)c->a[2], (unsigned)c->a[3], &file, c->a[5]);
}

uint8_t run_resident[RUN_RESIDENT];

static int64_t mincore_into(struct syscall *c)
{
	const uint64_t task_size = c->w->sys.task_size,
		       most = sizeof(run_resident) * c->w->env.page;
	const uint64_t at = c->a[0], len = c->a[1];
	int64_t r = pf_mincore(&c->p->mm, at, len < most ? len : most, run_resident);

	if (r || len <= most)
		return r;
	return len > task_size || at > task_size - len ? -PF_ENOMEM : -PF_EOPNOTSUPP;
}

static int64_t call_library(struct syscall *c, enum sc_call_id id)
{
	struct pf_mm *mm = &c->p->mm;
	int64_t r;

	switch (id) {
	case SC_MUNMAP:
		return pf_munmap(mm, c->a[0], c->a[1]);
	case SC_MPROTECT:
		return pf_mprotect(mm, c->a[0], c->a[1], (unsigned)c->a[2]);
	case SC_MADVISE:
		return pf_madvise(mm, c->a[0], c->a[1], (int)c->a[2]);
	case SC_MMAP:
		return call_mmap(c);
	case SC_MREMAP:
		return pf_mremap(mm, c->a[0], c->a[1], c->a[2], (unsigned)c->a[3], c->a[4]);
	case SC_BRK:
		return (int64_t)pf_brk(mm, c->a[0]);
	case SC_MLOCK:
		return pf_mlock(mm, c->a[0], c->a[1]);
	case SC_MLOCK2:
		return pf_mlock2(mm, c->a[0], c->a[1], (unsigned)c->a[2]);
	case SC_MUNLOCK:
		return pf_munlock(mm, c->a[0], c->a[1]);
	case SC_MLOCKALL:
		return pf_mlockall(mm, (unsigned)c->a[0]);
	case SC_MUNLOCKALL:
		return pf_munlockall(mm);
	case SC_PKEY_MPROTECT:
		return pf_pkey_mprotect(mm, c->a[0], c->a[1], (unsigned)c->a[2], (int)c->a[3]);
	case SC_MINCORE:
		return mincore_into(c);
	case SC_MSYNC:
		return pf_msync(mm, c->a[0], c->a[1], (unsigned)c->a[2]);
	case SC_MSEAL:
		return pf_mseal(mm, c->a[0], c->a[1], (unsigned)c->a[2]);
	case SC_FORK:
		r = run_fork(c->w, c->p, c->child);
		return r ? r : (int64_t)c->child;
	case SC_AGE:
		pf_age_all(&c->w->sys);
		return 0;
	case SC_RECLAIM:
		r = (int64_t)((c->a[0] + c->w->env.page - 1) / c->w->env.page);
		return pf_reclaim(&c->w->sys, (uint64_t)r) < (uint64_t)r ? -PF_EAGAIN : 0;
	case SC_MIGRATE:
		return pf_migrate(mm, c->a[0], c->a[1]);
	case SC_SPLIT:
		return pf_split(mm, c->a[0]);
	case SC_POISON:
		return pf_poison(mm, c->a[0]);
	case SC_KSM:
		return pf_ksm_merge(mm, c->a[0], mm, c->a[1]);
	case SC_NUMA_HINT:
		return pf_numa_hint(mm, c->a[0], c->a[1]);
	case SC_COLLAPSE:
		return pf_khugepaged(mm, c->a[0], c->a[1]);
	case SC_CLEAR_REFS:
		return pf_clear_refs(mm, c->a[0] > UINT32_MAX ? 0 : (unsigned)c->a[0]);
	default:
		return -PF_EOPNOTSUPP;
	}
}

/* What a call is to the judge and to the heap before the library sees it; an address as it was chosen is asked for. */
static bool prepare(struct syscall *c, enum sc_call_id id)
{
	bool take = false;

	/* The library's protections, flags and advice are 32 bits wide. */
	for (unsigned i = 2; i < c->nargs && i < 4; i++)
		if ((id == SC_MMAP || id == SC_MPROTECT || id == SC_MADVISE ||
			    (id == SC_MREMAP && i > 2)) &&
			c->a[i] > UINT32_MAX)
			return run_verdict(c->w, RUN_UNSUPPORTED, "flags beyond 32 bits");
	switch (id) {
	case SC_MMAP:
		take = take_mmap(c);
		break;
	case SC_MREMAP:
		take = take_mremap(c);
		break;
	case SC_BRK:
		take_brk(c);
		break;
	case SC_MADVISE:
		if (c->a[2] == PF_MADV_POPULATE_WRITE)
			note_stores(c, c->a[0], c->a[1], false);
		break;
	default:
		break;
	}
	if (take && !is_free(c, id))
		return run_fail(c->w,
			"expected 0x%llx to be free, as it was where this was recorded, found it "
			"occupied",
			(unsigned long long)c->wanted);
	note_locked(c, id);
	return true;
}

static void do_call(struct syscall *c, enum sc_call_id id, struct answer *ans)
{
	if (id == SC_MADVISE &&
		(c->a[2] == PF_MADV_POPULATE_READ || c->a[2] == PF_MADV_POPULATE_WRITE))
		run_uffd_tell_model(c->w, c->p, c->a[0], c->a[1]);
	ans->lib = call_library(c, id);
	ans->injected = was_injected(c, id, ans->lib);
	/* mlock has locked by then, and misses pages. */
	if (!ans->injected || ans->lib == -PF_EAGAIN)
		ans->model = ask_model(c, c->w->oracle, id, ans->lib);
	run_uffd_told_model(c->w);
	if (id == SC_POISON || (id == SC_MADVISE && c->a[2] == PF_MADV_HWPOISON))
		RUN_UNCOUNTED(run_note_poison(c->w));
	if (id == SC_FORK && ans->lib > 0)
		RUN_UNCOUNTED(run_note_copied_poison(c->w, c->p, c->child));
}

bool run_syscall_library(struct run_world *w, struct run_process *p, enum sc_call_id id,
	uint64_t args[6], unsigned nargs, int64_t wanted, unsigned child, int64_t *lib)
{
	struct syscall c = {.w = w, .p = p, .nargs = nargs, .wanted = wanted, .child = child};
	bool ok;

	memcpy(c.a, args, sizeof(c.a));
	ok = prepare(&c, id);
	if (ok)
		*lib = call_library(&c, id);
	memcpy(args, c.a, sizeof(c.a));
	return ok;
}

int64_t run_syscall_model(struct run_world *w, struct oracle *o, struct run_process *p,
	enum sc_call_id id, const uint64_t args[6], unsigned child, int64_t lib)
{
	struct syscall c = {.w = w, .p = p, .child = child};

	memcpy(c.a, args, sizeof(c.a));
	return ask_model(&c, o, id, lib);
}

void run_catch_up(struct run_world *w, struct run_process *p)
{
	struct pf_vma_info info;
	struct oracle_map m;

	for (pf_va_t va = 0; pf_find_vma_info(&p->mm, va, &info); va = info.area.end) {
		if (info.area.anon || !oracle_find(w->oracle, p->pid, info.area.start, &m) ||
			!m.anon)
			continue;
		machine_note_store(info.area.start);
		pf_handle_mm_fault(&p->mm, info.area.start, PF_FAULT_FLAG_WRITE);
	}
}

/* A call that faults pages in and ignores what fails. */
static void catch_up(struct syscall *c)
{
	if (c->allocs < c->w->fail_at && machine_counters.allocs >= c->w->fail_at)
		run_catch_up(c->w, c->p);
}

static void show_answer(int64_t v, char *text, size_t size)
{
	if (v == ORACLE_BAD_CHOICE)
		snprintf(text, size, "another address");
	else if (v < 0 && v > -4096)
		snprintf(text, size, "-1 %s", sc_errno_name((int)-v));
	else
		snprintf(text, size, v ? "0x%llx" : "0", (unsigned long long)v);
}

bool run_syscall(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const uint64_t args[6], unsigned nargs, int64_t wanted, unsigned child,
	struct run_result *r)
{
	struct syscall c = {.w = w,
		.p = p,
		.nargs = nargs,
		.wanted = wanted,
		.child = child,
		.allocs = machine_counters.allocs};
	struct answer ans = {0};

	memcpy(c.a, args, sizeof(c.a));
	run_switch(w, p);
	if (!prepare(&c, id))
		return false;
	do_call(&c, id, &ans);
	if (!ans.injected)
		catch_up(&c);
	*r = (struct run_result){.kind = SC_R_VALUE, .value = (uint64_t)ans.lib};
	if (ans.injected) {
		*r = (struct run_result){.kind = SC_R_ERRNO,
			.err = ans.lib == -PF_EAGAIN ? PF_EAGAIN : PF_ENOMEM,
			.injected = true};
		return true;
	}
	if (ans.lib == -PF_EOPNOTSUPP && ans.model != -PF_EOPNOTSUPP)
		return run_verdict(w, RUN_UNSUPPORTED, "this call with these arguments");
	if (ans.lib != ans.model) {
		char want[64], got[64];

		if (ans.model == ORACLE_UNKNOWN)
			return run_verdict(w, RUN_UNSUPPORTED, "the model of this call");
		show_answer(ans.model, want, sizeof(want));
		show_answer(ans.lib, got, sizeof(got));
		return run_fail(w, "expected %s, as Linux answers, found %s", want, got);
	}
	if (ans.lib < 0 && ans.lib > -4096)
		*r = (struct run_result){.kind = SC_R_ERRNO, .err = (int)-ans.lib};
	return true;
}
