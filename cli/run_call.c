// SPDX-License-Identifier: MIT
/* System calls: the library does them, the model says what Linux answers, the scenario what it expects. */
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

/* ---- values ---- */

bool run_eval(struct run_world *w, const struct sc_value *v, uint64_t *out)
{
	const char *why;

	if (sc_eval(v, &w->env, out, &why))
		return true;
	return run_verdict(w, RUN_BAD_INPUT, "%s, expected a value", why);
}

bool run_eval_range(struct run_world *w, const struct sc_value *addr, const struct sc_value *len,
	uint64_t *va, uint64_t *nr)
{
	uint64_t n = w->env.page, last;

	if (!run_eval(w, addr, va) || (len && !run_eval(w, len, &n)))
		return false;
	if (!n)
		return run_verdict(w, RUN_BAD_INPUT, "an empty range, expected one page at least");
	last = *va + (n - 1);
	if (last < *va)
		return run_verdict(w, RUN_BAD_INPUT,
			"0x%llx bytes from 0x%llx, expected a range that does not wrap",
			(unsigned long long)n, (unsigned long long)*va);
	*va &= ~(w->env.page - 1);
	*nr = (last - *va) / w->env.page + 1;
	return true;
}

/* ---- the calls ---- */

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
	if (same)
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

/* What mincore filled in: as many bytes as a scenario would name. */
static uint8_t resident[1 << 16];

static int64_t mincore_into(struct syscall *c)
{
	const uint64_t task_size = c->w->sys.task_size, most = sizeof(resident) * c->w->env.page;
	const uint64_t at = c->a[0], len = c->a[1];
	int64_t r = pf_mincore(&c->p->mm, at, len < most ? len : most, resident);

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

static bool do_call(struct syscall *c, enum sc_call_id id, struct answer *ans)
{
	bool take = false;

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
	ans->lib = call_library(c, id);
	ans->injected = was_injected(c, id, ans->lib);
	/* mlock has locked by then, and misses pages. */
	if (!ans->injected || ans->lib == -PF_EAGAIN)
		ans->model = ask_model(c, c->w->oracle, id, ans->lib);
	if (id == SC_POISON || (id == SC_MADVISE && c->a[2] == PF_MADV_HWPOISON))
		RUN_UNCOUNTED(run_note_poison(c->w));
	return true;
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
	/* The library's protections, flags and advice are 32 bits wide. */
	for (unsigned i = 2; i < nargs && i < 4; i++)
		if ((id == SC_MMAP || id == SC_MPROTECT || id == SC_MADVISE ||
			    (id == SC_MREMAP && i > 2)) &&
			c.a[i] > UINT32_MAX)
			return run_verdict(w, RUN_UNSUPPORTED, "flags beyond 32 bits");
	if (!do_call(&c, id, &ans))
		return false;
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

/* ---- a statement ---- */

static void show_result(const struct run_result *r, char *text, size_t size)
{
	switch (r->kind) {
	case SC_R_ERRNO:
		snprintf(text, size, "-1 %s", sc_errno_name(r->err));
		break;
	case SC_R_SEGV:
	case SC_R_BUS:
	case SC_R_UFFD:
	case SC_R_NOMEM:
		snprintf(text, size, "%s at 0x%llx",
			r->kind == SC_R_SEGV   ? "SIGSEGV"
			: r->kind == SC_R_BUS  ? "SIGBUS"
			: r->kind == SC_R_UFFD ? "USERFAULT"
					       : "ENOMEM",
			(unsigned long long)r->value);
		break;
	default:
		snprintf(
			text, size, r->value > 9 ? "0x%llx" : "%llu", (unsigned long long)r->value);
	}
}

static bool matches_one(struct run_world *w, const struct sc_result *want,
	const struct run_result *r, struct run_result *shown)
{
	uint64_t v = 0;

	*shown = (struct run_result){.kind = want->kind, .err = want->err};
	if (want->kind == SC_R_ANY)
		return true;
	if (want->value && !run_eval(w, want->value, &v))
		return false;
	shown->value = want->value ? v : want->kind == SC_R_VALUE ? 0 : r->first;
	if (want->kind != r->kind)
		return false;
	switch (want->kind) {
	case SC_R_ERRNO:
		return want->err == r->err;
	case SC_R_SEGV:
	case SC_R_BUS:
	case SC_R_UFFD:
		/* Without an address: at the first page, nothing was done. */
		return r->value == (want->value ? v & ~(w->env.page - 1) : r->first);
	case SC_R_VALUE:
		return v == r->value;
	default:
		return true;
	}
}

static bool check_result(struct run_world *w, const struct sc_stmt *s, struct run_process *p,
	const struct run_result *r)
{
	char want[256] = "", got[64];
	size_t used = 0;

	if (!s->results && r->kind == SC_R_VALUE)
		return true;
	for (const struct sc_result *want_one = s->results; want_one; want_one = want_one->next) {
		struct run_result shown;
		char one[64];

		if (matches_one(w, want_one, r, &shown))
			return true;
		if (w->failed)
			return false;
		show_result(&shown, one, sizeof(one));
		/* Where memory ran out was not asked for; a signal without an address is one at the first page. */
		if (shown.kind == SC_R_NOMEM)
			snprintf(one, sizeof(one), "ENOMEM");
		used += (size_t)snprintf(
			want + used, sizeof(want) - used, "%s%s", used ? " or " : "", one);
		if (used >= sizeof(want))
			used = sizeof(want) - 1;
	}
	show_result(r, got, sizeof(got));
	run_fail(w, "expected %s, found %s", s->results ? want : "success", got);
	if (r->kind == SC_R_SEGV || r->kind == SC_R_BUS || r->kind == SC_R_UFFD)
		run_show_entries(w, p, r->value);
	return false;
}

static int64_t wanted_address(struct run_world *w, const struct sc_stmt *s)
{
	uint64_t v;

	if (!s->results || s->results->next || s->results->kind != SC_R_VALUE ||
		!run_eval(w, s->results->value, &v) || v > INT64_MAX)
		return -1;
	return (int64_t)v;
}

static bool evaluate(struct run_world *w, const struct sc_stmt *s, uint64_t a[6])
{
	unsigned i = 0;

	memset(a, 0, 6 * sizeof(*a));
	for (const struct sc_value *v = s->args; v && i < 6; v = v->next, i++) {
		if (v->kind == SC_V_FILE)
			a[i] = (uint64_t)run_fd(w, v->text);
		else if (!(s->call->id == SC_MINCORE && i == 2) && !run_eval(w, v, &a[i]))
			return false;
	}
	return true;
}

static bool issue(
	struct run_world *w, const struct sc_stmt *s, struct run_process *p, struct run_result *r)
{
	uint64_t a[6];

	if (s->call->access)
		return run_access(w, p, s, r);
	if (run_is_process_call(s->call->id))
		return run_process_call(w, p, s, r);
	if (s->call->id == SC_USERFAULTFD || s->call->id == SC_IOCTL || s->call->id == SC_CLOSE)
		return run_uffd(w, p, s, r);
	if (s->call->id == SC_PAGEMAP_SCAN)
		return run_scan(w, p, s, r);
	if (!evaluate(w, s, a))
		return false;
	if (s->call->id == SC_EXIT_GROUP) {
		oracle_exit(w->oracle, p->pid);
		run_exit(w, p);
		*r = (struct run_result){.kind = SC_R_VALUE};
		return true;
	}
	if (s->call->id == SC_GUP || s->call->id == SC_UNPIN)
		return run_gup(w, p, s->call->id, a, r);
	if (s->call->id == SC_SWAPOFF) {
		run_swapoff(w, r);
		return true;
	}
	return run_syscall(w, p, s->call->id, a, s->nargs, wanted_address(w, s), s->child, r);
}

bool run_check_failed(struct run_world *w, struct run_process *p, enum sc_call_id id,
	const uint64_t a[6], const struct run_snapshot *before, const struct run_result *r)
{
	uint64_t va = a[0], nr = 0;

	/*
	 * mlock: locked, with some pages missing. swapoff: what was brought in before is in. Parts of a vector
	 * before the failure are done, and the model knows.
	 */
	if ((r->kind == SC_R_ERRNO && r->err == PF_EAGAIN) || id == SC_SWAPOFF ||
		run_is_process_call(id))
		return run_check(w);
	if (id == SC_LOAD || id == SC_STORE || id == SC_EXEC)
		nr = (r->value - va) / w->env.page;
	else if (id == SC_MADVISE &&
		 (a[2] == PF_MADV_POPULATE_READ || a[2] == PF_MADV_POPULATE_WRITE))
		nr = a[1] / w->env.page + 1;
	else if (id == SC_GUP)
		nr = a[1];
	/* What was unmerged before is. */
	else if (id == SC_MADVISE && a[2] == PF_MADV_UNMERGEABLE)
		nr = a[1] / w->env.page + 1;
	return run_unchanged(w, before, p->pid, va, nr, id == SC_FORK) && run_check(w);
}

static bool check_failed_call(struct run_world *w, const struct sc_stmt *s, struct run_process *p,
	const struct run_snapshot *before, const struct run_result *r)
{
	uint64_t a[6] = {0}, nr;
	bool ok = run_is_process_call(s->call->id) || s->call->id == SC_IOCTL ? true
		  : s->call->access ? run_eval_range(w, s->args, s->args->next, &a[0], &nr)
				    : evaluate(w, s, a);

	return ok && run_check_failed(w, p, s->call->id, a, before, r);
}

/*
 * mincore(addr, len, [1, 0]): the bytes are as written, as far as they are. Which pages a fault brought depends on
 * what could be allocated, so runs with a failure do not ask.
 */
static bool check_resident(struct run_world *w, const struct sc_stmt *s)
{
	const struct sc_value *vec = s->args->next->next;
	uint64_t want, i = 0;

	if (vec->kind != SC_V_GROUP || w->cfg->file->log || w->fail_at)
		return true;
	for (const struct sc_value *v = vec->items; v && i < sizeof(resident); v = v->next, i++) {
		if (!run_eval(w, v, &want))
			return false;
		if (want != resident[i])
			return run_fail(w, "expected byte %llu to be %llu, found %u",
				(unsigned long long)i, (unsigned long long)want, resident[i]);
	}
	return true;
}

bool run_call(struct run_world *w, const struct sc_stmt *s, uint64_t call_index)
{
	struct run_process *p = run_process(w, s->pid);
	struct run_snapshot *before = NULL;
	struct run_result r = {0};
	bool ok;

	if (!p)
		return run_fail(w, "expected process %u, found that it was never made", s->pid);
	if (s->cpu >= 0)
		p->cpu = (unsigned)s->cpu;
	run_switch(w, p);
	if (machine_counters.allocs < w->fail_at &&
		(w->watch_all || w->fail_at <= w->allocs_after[call_index]))
		before = run_snapshot(w);
	ok = issue(w, s, p, &r);
	if (ok && r.injected) {
		if (!before) {
			w->missed = true;
			return run_fail(w, "an allocation failed earlier than it was expected to");
		}
		ok = check_failed_call(w, s, p, before, &r) && issue(w, s, p, &r);
	}
	run_snapshot_free(before);
	if (!ok)
		return false;
	if (s->var >= 0)
		w->vars[s->var] = r.handle ? r.handle : r.kind == SC_R_ERRNO ? UINT64_MAX : r.value;
	/* A broken rule explains a wrong result better than the result does. */
	if (!run_check_machine(w) || !check_result(w, s, run_process(w, s->pid), &r))
		return false;
	if (s->call->id == SC_MINCORE && r.kind == SC_R_VALUE && !check_resident(w, s))
		return false;
	/* Until the allocation fails, this is the run without a failure over again, where all was looked at. */
	return machine_counters.allocs < w->fail_at || run_check(w);
}
