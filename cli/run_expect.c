// SPDX-License-Identifier: MIT
/* Expectations: predicates on entries, counters, mappings. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"

/* ---- what an entry is ---- */

static void describe(struct run_process *p, uint64_t va, const struct pf_page_info *info,
	char *text, size_t size)
{
	pf_pte_t e = info->pte;
	struct pf_vma_info v;

	if (!pf_find_vma_info(&p->mm, va, &v) || v.area.start > va)
		snprintf(text, size, "0x%" PRIx64 " unmapped%s", va,
			pf_pte_none(e) ? "" : ", but its entry is not empty");
	else if (pf_pte_none(e))
		snprintf(text, size, "0x%" PRIx64 " none", va);
	else if (!pf_pte_present(e))
		snprintf(text, size, "0x%" PRIx64 " not present, kind %u", va,
			(unsigned)pf_pte_kind(e));
	else
		snprintf(text, size,
			"0x%" PRIx64 " frame 0x%" PRIx64 " %c%c%c%s%s%s%s%s%s%s order %u", va,
			(uint64_t)pf_pte_pfn(e), e.v & PF_PTE_R ? 'r' : '-',
			e.v & PF_PTE_W ? 'w' : '-', e.v & PF_PTE_X ? 'x' : '-',
			info->folded ? " folded" : "", pf_pte_young(e) ? " young" : "",
			pf_pte_dirty(e) ? " dirty" : "",
			e.v & PF_PTE_SOFT_DIRTY ? " soft_dirty" : "",
			e.v & PF_PTE_UFFD_WP ? " uffd_wp" : "", pf_pte_special(e) ? " special" : "",
			info->exclusive ? " exclusive" : "", info->order);
}

void run_show_entries(struct run_world *w, struct run_process *p, uint64_t va)
{
	uint64_t page = w->env.page, first = va / page < 2 ? 0 : va / page - 2;

	for (uint64_t i = first; i < first + 5; i++) {
		struct pf_page_info info = {0};
		char text[256];

		if (i * page >= w->sys.task_size)
			break;
		RUN_UNCOUNTED(pf_page_info(&p->mm, i * page, &info));
		describe(p, i * page, &info, text, sizeof(text));
		run_detail(w, "%s %s", i == va / page ? ">" : " ", text);
	}
}

/* ---- predicates ---- */

struct question {
	struct run_world *w;
	const struct sc_stmt *s;
	struct run_process *p, *p2;
	uint64_t va, nr, va2, size, pins;
};

static bool mapped(struct run_process *p, uint64_t va, struct pf_vma_info *v)
{
	return pf_find_vma_info(&p->mm, va, v) && v->area.start <= va;
}

static bool same_page(const struct question *q, uint64_t va, const struct pf_page_info *info)
{
	struct pf_page_info other;

	pf_page_info(&q->p2->mm, q->va2 + (va - q->va), &other);
	return pf_pte_present(info->pte) && pf_pte_present(other.pte) &&
	       pf_pte_pfn(info->pte) == pf_pte_pfn(other.pte);
}

/* A set that has fewer pages says nothing of the others. */
static bool pinned(const struct question *q, uint64_t va, const struct pf_page_info *info)
{
	pf_pfn_t pfn;

	if (!run_pinned_page(q->w, q->pins, (va - q->va) / q->w->env.page, &pfn))
		return q->s->quant == SC_ALL;
	return pf_pte_present(info->pte) && pf_pte_pfn(info->pte) == pfn;
}

/* uffd_wp, soft_dirty of markers and swap entries too: they stand in the same bits. */
static bool has_bit(pf_pte_t e, uint64_t bit)
{
	switch (pf_pte_kind(e)) {
	case PF_PTE_PAGE:
	case PF_PTE_SWAP:
	case PF_PTE_MIGRATION:
		return e.v & bit;
	case PF_PTE_MARKER:
		return bit == PF_PTE_UFFD_WP && e.v & PF_MARKER_UFFD_WP;
	default:
		return false;
	}
}

static bool holds(const struct question *q, uint64_t va, const struct pf_page_info *info)
{
	pf_pte_t e = info->pte;
	bool present = pf_pte_present(e);
	struct pf_vma_info v;

	switch (q->s->pred->id) {
	case SC_P_MAPPED:
		return mapped(q->p, va, &v);
	case SC_P_NONE:
		return pf_pte_none(e);
	case SC_P_PRESENT:
		return present;
	case SC_P_FOLDED:
		return info->folded;
	case SC_P_UNFOLDED:
		return !info->folded;
	case SC_P_READABLE:
		return present && e.v & PF_PTE_R;
	case SC_P_WRITABLE:
		return present && e.v & PF_PTE_W;
	case SC_P_EXECUTABLE:
		return present && e.v & PF_PTE_X;
	case SC_P_YOUNG:
		return present && pf_pte_young(e);
	case SC_P_DIRTY:
		return present && pf_pte_dirty(e);
	case SC_P_SOFT_DIRTY:
		return has_bit(e, PF_PTE_SOFT_DIRTY);
	case SC_P_UFFD_WP:
		return has_bit(e, PF_PTE_UFFD_WP);
	case SC_P_SPECIAL:
		return present && pf_pte_special(e);
	case SC_P_PROTNONE:
		return pf_pte_protnone(e);
	case SC_P_EXCLUSIVE:
		return present && info->exclusive;
	case SC_P_SWAPPED:
		return pf_pte_kind(e) == PF_PTE_SWAP;
	case SC_P_LOCKED:
		return mapped(q->p, va, &v) && v.area.flags & PF_VM_LOCKED;
	case SC_P_ORDER:
		return present && !pf_pte_special(e) && q->w->env.page << info->order == q->size;
	case SC_P_SAME_PAGE:
		return same_page(q, va, info);
	case SC_P_PINNED:
		return pinned(q, va, info);
	case SC_P_LEAF:
	case SC_P_GUEST_MAPPED:
		break;
	}
	return false;
}

static bool wrong_page(
	const struct question *q, uint64_t va, const struct pf_page_info *info, const char *found)
{
	static const char *const how[] = {[SC_ALL] = "", [SC_NOT] = "not ", [SC_SOME] = "some "};
	char text[256];

	describe(q->p, va, info, text, sizeof(text));
	run_fail(
		q->w, "expected %s%s, found %s%s", how[q->s->quant], q->s->pred->name, found, text);
	run_show_entries(q->w, q->p, va);
	return false;
}

static bool ask(const struct question *q)
{
	const struct sc_pred_desc *d = q->s->pred;
	bool everywhere = d->any_range || q->s->quant == SC_NOT;
	struct pf_page_info info;
	uint64_t va = q->va;

	for (uint64_t i = 0; i < q->nr; i++, va += q->w->env.page) {
		struct pf_vma_info v;

		pf_page_info(&q->p->mm, va, &info);
		if (!everywhere && !mapped(q->p, va, &v))
			return wrong_page(q, va, &info, "");
		bool yes = holds(q, va, &info);

		if (q->s->quant == SC_SOME && yes)
			return true;
		if (q->s->quant != SC_SOME && yes == (q->s->quant == SC_NOT))
			return wrong_page(q, va, &info, "");
	}
	if (q->s->quant != SC_SOME)
		return true;
	pf_page_info(&q->p->mm, q->va, &info);
	return wrong_page(q, q->va, &info, "no such page, the first is ");
}

static bool expect_pred(struct run_world *w, const struct sc_stmt *s, struct run_process *p)
{
	struct question q = {.w = w, .s = s, .p = p, .p2 = run_process(w, s->pid2)};
	const struct sc_value *a = s->args, *b = a->next;
	bool ok;

	if (s->pred->id == SC_P_SAME_PAGE) {
		uint64_t nr2;

		if (!run_eval_range(w, a, NULL, &q.va, &q.nr) ||
			!run_eval_range(w, b, NULL, &q.va2, &nr2))
			return false;
		if (!q.p2)
			return run_fail(
				w, "expected process %u, found that it was never made", s->pid2);
	} else if (!run_eval_range(w, a, b, &q.va, &q.nr)) {
		return false;
	}
	if (s->pred->id == SC_P_ORDER && !run_eval(w, b->next, &q.size))
		return false;
	if (s->pred->id == SC_P_PINNED && !run_eval(w, b->next, &q.pins))
		return false;
	RUN_UNCOUNTED(ok = ask(&q));
	return ok;
}

/* ---- counters ---- */

static bool expect_counter(struct run_world *w, const struct sc_stmt *s)
{
	static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
	uint64_t c[SC_C_NR], have, want;
	bool ok = false;

	if (!run_eval(w, s->number, &want))
		return false;
	run_counters(w, c);
	have = c[s->counter] - w->base[s->counter];
	switch (s->op) {
	case SC_EQ:
		ok = have == want;
		break;
	case SC_NE:
		ok = have != want;
		break;
	case SC_LT:
		ok = have < want;
		break;
	case SC_LE:
		ok = have <= want;
		break;
	case SC_GT:
		ok = have > want;
		break;
	case SC_GE:
		ok = have >= want;
		break;
	}
	if (ok)
		return true;
	run_fail(w, "expected %s %s %" PRIu64 ", found %" PRIu64, sc_counter_names[s->counter],
		ops[s->op], want, have);
	for (int i = 0; i < SC_C_BUILT; i++)
		if (c[i] != w->base[i])
			run_detail(w, "%s %" PRIu64, sc_counter_names[i], c[i] - w->base[i]);
	return false;
}

/* ---- maps ---- */

static void maps_line(
	const struct run_world *w, const struct pf_vma_info *v, char *text, size_t size)
{
	uint32_t f = v->area.flags;

	/* Private anonymous memory has no offset to show, as in /proc/PID/maps. */
	snprintf(text, size, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64, v->area.start,
		v->area.end, f & PF_VM_READ ? 'r' : '-', f & PF_VM_WRITE ? 'w' : '-',
		f & PF_VM_EXEC ? 'x' : '-', f & PF_VM_MAYSHARE ? 's' : 'p',
		v->mapping ? v->area.pgoff * w->env.page : 0);
}

static void show_maps(struct run_world *w, struct run_process *p, uint64_t va, uint64_t last)
{
	struct pf_vma_info v;
	char text[96];

	for (uint64_t at = va; pf_find_vma_info(&p->mm, at, &v) && v.area.start <= last;
		at = v.area.end) {
		maps_line(w, &v, text, sizeof(text));
		run_detail(w, "%s", text);
	}
}

static bool expect_maps(struct run_world *w, const struct sc_stmt *s, struct run_process *p)
{
	const struct sc_maps_line *m = s->maps;
	uint64_t va, nr, at, last;
	char want[96], got[96];

	if (!run_eval_range(w, s->args, s->args->next, &va, &nr))
		return false;
	last = va + (nr - 1) * w->env.page;
	at = va;
	for (;; m = m->next) {
		struct pf_vma_info v;
		bool more = pf_find_vma_info(&p->mm, at, &v) && v.area.start <= last;

		if (!m && !more)
			return true;
		snprintf(want, sizeof(want), "no more mappings");
		snprintf(got, sizeof(got), "no more mappings");
		if (more)
			maps_line(w, &v, got, sizeof(got));
		if (m) {
			w->line = m->line;
			snprintf(want, sizeof(want), "%08" PRIx64 "-%08" PRIx64 " %s %08" PRIx64,
				m->start, m->end, m->perms, m->offset);
		}
		if (strcmp(want, got)) {
			run_fail(w, "expected %s, found %s", want, got);
			show_maps(w, p, va, last);
			return false;
		}
		at = v.area.end;
	}
}

bool run_expect(struct run_world *w, const struct sc_stmt *s)
{
	struct run_process *p = run_process(w, s->pid);

	if (!p)
		return run_fail(w, "expected process %u, found that it was never made", s->pid);
	switch (s->kind) {
	case SC_S_EXPECT_PRED:
		return expect_pred(w, s, p);
	case SC_S_EXPECT_COUNTER:
		return expect_counter(w, s);
	case SC_S_EXPECT_MAPS:
		return expect_maps(w, s, p);
	default:
		return run_verdict(w, RUN_UNSUPPORTED, "this statement");
	}
}
