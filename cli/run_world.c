// SPDX-License-Identifier: MIT
/* The machine, physical memory, processes on CPUs, counters. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"
#include "mm/ksm.h"

#define DEFAULT_MEMORY (UINT64_C(256) << 20)
/* Where heaps start, unless a scenario says otherwise. */
#define BRK_START UINT64_C(0x2000000)

/* ---- outcome ---- */

static void add_text(struct run_world *w, bool detail, const char *fmt, va_list ap)
{
	char line[2048];
	size_t old = w->out->text ? strlen(w->out->text) : 0, n;

	vsnprintf(line, sizeof(line), fmt, ap);
	n = strlen(line);
	char *all = realloc(w->out->text, old + n + 8);

	if (!all)
		abort();
	if (!old)
		all[0] = 0;
	if (detail)
		strcat(all, "\n    ");
	strcat(all, line);
	w->out->text = all;
}

bool run_verdict(struct run_world *w, enum run_verdict v, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return false;
	w->failed = true;
	w->out->verdict = v;
	w->out->line = w->line;
	va_start(ap, fmt);
	add_text(w, false, fmt, ap);
	va_end(ap);
	return false;
}

bool run_fail(struct run_world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return false;
	w->failed = true;
	w->out->verdict = RUN_FAIL;
	w->out->line = w->line;
	va_start(ap, fmt);
	add_text(w, false, fmt, ap);
	va_end(ap);
	return false;
}

void run_detail(struct run_world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_text(w, true, fmt, ap);
	va_end(ap);
}

/* ---- processes ---- */

struct run_process *run_process(struct run_world *w, unsigned pid)
{
	for (struct run_process *p = w->processes; p; p = p->next)
		if (p->pid == pid)
			return p;
	return NULL;
}

static bool has_asid(const struct run_process *p, uint16_t asid)
{
	while (p && p->asid != asid)
		p = p->next;
	return p;
}

static uint16_t free_asid(struct run_world *w)
{
	for (uint16_t asid = 1; asid; asid++)
		if (!has_asid(w->processes, asid) && !has_asid(w->being_forked, asid))
			return asid;
	return 0;
}

static void take_from(struct run_process **list, struct run_process *p)
{
	while (*list != p)
		list = &(*list)->next;
	*list = p->next;
}

static struct run_process *new_process(struct run_world *w, unsigned pid)
{
	struct run_process *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->pid = pid;
	p->cpu = (pid - 1) % w->cfg->file->settings.cpus;
	p->asid = free_asid(w);
	return p;
}

void run_switch(struct run_world *w, struct run_process *p)
{
	if (machine_cpu() != p->cpu)
		machine_set_cpu(p->cpu);
	if (w->on_cpu[p->cpu] == p)
		return;
	/* The CPU that it leaves keeps its tables loaded, as a CPU that has gone idle does. */
	machine_set_root(p->cpu, p->mm.space.pt.root, p->asid);
	w->on_cpu[p->cpu] = p;
}

int run_fork(struct run_world *w, struct run_process *parent, unsigned pid)
{
	struct run_process *p = new_process(w, pid);
	int err;

	p->next = w->being_forked;
	w->being_forked = p;
	err = p->asid ? pf_fork(&p->mm, &parent->mm, p->asid) : -PF_EAGAIN;
	take_from(&w->being_forked, p);
	if (err) {
		free(p);
		return err;
	}
	p->brk_known = parent->brk_known;
	p->next = w->processes;
	w->processes = p;
	run_uffd_fork(w, parent->pid, pid);
	return 0;
}

static void add_counters(const struct run_process *p, uint64_t c[SC_C_NR])
{
	const struct pf_pt_stats *t = &p->mm.space.pt.stats;
	const struct pf_space_stats sum = pf_space_stats(&p->mm.space), *s = &sum;

	c[SC_C_FOLD] += t->fold;
	c[SC_C_UNFOLD] += t->unfold;
	c[SC_C_FOLD_FAILED] += t->fold_failed;
	c[SC_C_FOLD_LOADS] += t->fold_loads;
	c[SC_C_FLUSH_MM] += s->flush_mm;
	/* A fault that finds nothing to do is counted once, as that: how many there are is the hardware's choice. */
	c[SC_C_FAULT] += s->fault - s->spurious_fault;
	c[SC_C_SPURIOUS_FAULT] += s->spurious_fault;
	c[SC_C_COW] += s->cow;
}

void run_counters(struct run_world *w, uint64_t c[SC_C_NR])
{
	const struct machine_counters *m = &machine_counters;

	memcpy(c, w->gone, sizeof(w->gone));
	for (struct run_process *p = w->processes; p; p = p->next)
		add_counters(p, c);
	c[SC_C_PTE_LOAD] = m->pte_load;
	c[SC_C_PTE_STORE] = m->pte_store;
	c[SC_C_PTE_XCHG] = m->pte_xchg;
	c[SC_C_TLBI] = m->tlbi;
	c[SC_C_TLBI_RANGE] = m->tlbi_range;
	c[SC_C_TLBI_PAGES] = m->tlbi_pages;
	c[SC_C_DSB] = m->dsb;
	c[SC_C_IPI] = m->ipi;
	c[SC_C_SPLIT] = w->sys.splits;
	c[SC_C_COLLAPSE] = w->sys.collapses;
	c[SC_C_USERFAULT] = w->userfaults;
	c[SC_C_WOKEN] = w->woken;
	c[SC_C_TABLE_ALLOC] = m->table_alloc;
	c[SC_C_TABLE_FREE] = m->table_free;
	c[SC_C_WALK_LOAD] = m->walk_load;
	c[SC_C_WALK_AD] = m->walk_ad;
	c[SC_C_TLB_MISS] = m->tlb_miss;
}

void run_exit(struct run_world *w, struct run_process *p)
{
	if (machine_cpu() != p->cpu)
		machine_set_cpu(p->cpu);
	/* No CPU may run in it when it is torn down. */
	for (unsigned cpu = 0; cpu < w->cfg->file->settings.cpus; cpu++) {
		if (w->on_cpu[cpu] == p) {
			machine_set_root(cpu, 0, 0);
			w->on_cpu[cpu] = NULL;
		}
	}
	pf_mm_exit(&p->mm);
	run_uffd_exit(w, p->pid);
	machine_retire_asid(p->asid);
	add_counters(p, w->gone);
	take_from(&w->processes, p);
	free(p);
}

/* ---- start and end ---- */

static void set_thp(struct run_world *w)
{
	static const enum pf_thp_mode modes[] = {[SC_THP_NEVER] = PF_THP_NEVER,
		[SC_THP_MADVISE] = PF_THP_MADVISE,
		[SC_THP_ALWAYS] = PF_THP_ALWAYS,
		[SC_THP_INHERIT] = PF_THP_INHERIT};

	w->sys.thp.enabled = PF_THP_MADVISE;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(w->sys.thp.order); i++)
		w->sys.thp.order[i] = PF_THP_NEVER;
	for (const struct sc_thp *t = w->cfg->file->settings.thp; t; t = t->next) {
		uint64_t size;
		const char *why;

		if (!t->size)
			w->sys.thp.enabled = modes[t->mode];
		else if (sc_eval(t->size, &w->env, &size, &why))
			w->sys.thp.order[pf_log2(size / w->env.page)] = modes[t->mode];
	}
	/* One word for both (docs/SCENARIOS.md). */
	w->sys.thp.shmem_enabled = w->sys.thp.enabled;
	memcpy(w->sys.thp.shmem, w->sys.thp.order, sizeof(w->sys.thp.shmem));
}

static void set_env(struct run_world *w)
{
	const struct pf_pt_format *pt = w->cfg->fmt->pt;

	w->env.page = UINT64_C(1) << pt->page_shift;
	w->env.block = pt->cont_shift[0] ? w->env.page << pt->cont_shift[0] : 0;
	w->env.pmd = pt->leaf_levels & 2 ? w->env.page << pt->level_bits : 0;
	w->env.pud = pt->leaf_levels & 4 ? w->env.page << 2 * pt->level_bits : 0;
	w->vars = calloc(w->cfg->file->nvars + 1, sizeof(*w->vars));
	if (!w->vars)
		abort();
	w->env.vars = w->vars;
}

static bool injected(const struct run_world *w, uint64_t before)
{
	return before < w->fail_at && machine_counters.allocs >= w->fail_at;
}

static uint64_t brk_start(const struct run_config *cfg)
{
	return cfg->brk_start ? cfg->brk_start : BRK_START;
}

bool run_start(struct run_world *w, unsigned pid)
{
	struct run_process *p = new_process(w, pid);

	for (unsigned tries = 0;; tries++) {
		uint64_t before = machine_counters.allocs;
		int err = pf_mm_init(&p->mm, &w->sys, p->asid);

		if (!err)
			break;
		if (err != -PF_ENOMEM || !injected(w, before) || tries) {
			free(p);
			return run_fail(w, "expected process %u to start, found error %s", pid,
				sc_errno_name(-err));
		}
	}
	p->next = w->processes;
	w->processes = p;
	pf_set_brk_start(&p->mm, brk_start(w->cfg));
	return true;
}

static void table_wrong(void *ctx, pf_pfn_t pfn, const char *why)
{
	struct run_world *w = ctx;

	if (!w->table_wrong) {
		w->table_wrong = why;
		w->table_wrong_pfn = pfn;
	}
}

/* A start that fails for lack of memory leaves nothing, and the second works. */
static bool start_library(struct run_world *w)
{
	uint64_t memory = DEFAULT_MEMORY, before;
	const char *why;
	uint32_t *maps;
	int err;

	if (w->cfg->file->settings.memory)
		sc_eval(w->cfg->file->settings.memory, &w->env, &memory, &why);
	err = pf_phys_init(
		&w->phys, MACHINE_RAM_BASE, memory, w->cfg->fmt->pt->page_shift, PF_MAX_ORDER);
	if (err)
		return run_fail(w, "expected physical memory of %llu bytes, found error %s",
			(unsigned long long)memory, sc_errno_name(-err));
	maps = calloc(w->phys.nr, sizeof(*maps));
	if (!maps)
		abort();
	pf_table_check_init(&w->table_check, &w->phys, maps);
	w->table_check.bad = table_wrong;
	w->table_check.ctx = w;
	for (unsigned tries = 0;; tries++) {
		before = machine_counters.allocs;
		err = pf_system_init(&w->sys, w->cfg->fmt, &w->phys, w->features,
			!w->cfg->fold                         ? PF_FOLD_OFF
			: w->cfg->file->settings.linux_policy ? PF_FOLD_LINUX
							      : PF_FOLD_WATCH);
		if (!err)
			break;
		if (err != -PF_ENOMEM || !injected(w, before) || tries)
			return run_fail(w, "expected the system to start, found error %s",
				sc_errno_name(-err));
	}
	set_thp(w);
	/* @memory is small so that it can run out, which is not meant to be what mmap goes by. */
	w->sys.overcommit = PF_OVERCOMMIT_ALWAYS;
	if (w->cfg->task_size)
		w->sys.task_size = w->cfg->task_size;
	if (w->cfg->min_addr)
		w->sys.mmap_min_addr = w->cfg->min_addr;
	return run_start(w, 1) && run_swap_start(w);
}

bool run_world_start(struct run_world *w)
{
	const struct sc_settings *set = &w->cfg->file->settings;
	struct machine_config mc = {
		.format = w->cfg->fmt->pt->name,
		.memory = DEFAULT_MEMORY,
		.cpus = set->cpus,
		.seed = w->cfg->seed,
		.fail_at = w->fail_at,
		.log = w->cfg->log,
		.late_walks = w->cfg->late_walks,
	};
	const char *why;

	set_env(w);
	if (set->memory)
		sc_eval(set->memory, &w->env, &mc.memory, &why);
	if (!machine_features(mc.format, set->features ? set->features : "", &mc.features))
		return run_verdict(w, RUN_BAD_INPUT,
			"@feature %s: the machine knows no such features for %s", set->features,
			mc.format);
	w->features = mc.features;
	if (machine_start(&mc))
		return run_verdict(
			w, RUN_BAD_INPUT, "the machine does not start: %s", machine_error());
	if (!start_library(w))
		return false;
	const struct oracle_config oc = {.page = w->env.page,
		.task_size = w->sys.task_size,
		.min_addr = w->sys.mmap_min_addr,
		.stack_gap = w->sys.stack_guard_gap * w->env.page,
		.max_maps = w->sys.max_map_count,
		.brk_start = brk_start(w->cfg)};

	w->oracle = oracle_new(&oc);
	run_switch(w, w->processes);
	return run_backing_start(w);
}

bool run_world_end(struct run_world *w)
{
	struct pf_phys_stats stats;
	const char *why;
	pf_pfn_t bad;
	uint64_t left;

	while (w->processes) {
		run_exit(w, w->processes);
		if (!run_check_machine(w))
			return false;
	}
	if (!run_pins_end(w) || !run_swap_end(w))
		return false;
	run_backing_end(w);
	pf_ksm_prune(&w->sys);
	if (pf_handle_live(&w->sys.ksm.nodes))
		return run_fail(w, "expected no page of KSM's at the end, found %u",
			pf_handle_live(&w->sys.ksm.nodes));
	if (pf_handle_live(&w->sys.anon_vmas))
		return run_fail(w, "expected no anon_vma at the end, found %u",
			pf_handle_live(&w->sys.anon_vmas));
	if (pf_handle_live(&w->sys.mappings))
		return run_fail(w, "expected no mapping at the end, found %u",
			pf_handle_live(&w->sys.mappings));
	pf_system_exit(&w->sys);
	/* Tables on their way through RCU are freed by this. */
	left = machine_check_end();
	if (!run_check_machine(w))
		return false;
	if (pf_phys_check(&w->phys, &bad, &why))
		return run_fail(w,
			"expected physical memory in order at the end, found frame 0x%llx: %s",
			(unsigned long long)bad, why);
	pf_phys_stats(&w->phys, &stats);
	/* Frames that memory failure has taken are never given back. */
	if (stats.free + w->sys.poisoned != stats.pages)
		return run_fail(w,
			"expected every frame free at the end, found %llu of %llu in use",
			(unsigned long long)(stats.pages - stats.free),
			(unsigned long long)stats.pages);
	if (left != w->sys.poisoned * w->env.page)
		return run_fail(w,
			"expected all memory given back at the end, found %llu bytes allocated",
			(unsigned long long)left);
	return true;
}

/*
 * A run that failed leaves the library's state where it stands: it may be broken. What a run that passed
 * leaks, machine_check_end() has found; LeakSanitizer is told not to look for it a second time.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:machine_meta_alloc\n";
}

void run_world_drop(struct run_world *w)
{
	while (w->processes) {
		struct run_process *p = w->processes;

		w->processes = p->next;
		free(p);
	}
	run_pins_drop(w);
	run_uffd_drop(w);
	machine_stop();
	oracle_free(w->oracle);
	run_backing_drop(w);
	free(w->vars);
	free(w->stamps);
	free(w->swap);
	free(w->table_check.maps);
}
