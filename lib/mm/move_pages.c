/* SPDX-License-Identifier: MIT */
/*
 * Pages that are moved to other nodes: which they are is found under the mmap lock and the locks of their tables; then they are locked,
 * and move one folio after the other.
 */
#include "mm/mempolicy.h"
#include "mm/migrate.h"
#include "mm/moving.h"

/* ---- folios on their way ---- */

int pf_moving_add(struct pf_system *sys, struct pf_moving_list *list, struct pf_folio *folio,
	struct pf_where to)
{
	struct pf_moving *m = pf_port_meta_alloc(sizeof(*m));
	int err = m ? 0 : -PF_ENOMEM;

	if (!err && !pf_folio_trylock(folio))
		err = -PF_EBUSY;
	if (!err) {
		*m = (struct pf_moving){.src = folio, .to = to};
		*list->last = m;
		list->last = &m->next;
		return 0;
	}
	if (m)
		pf_port_meta_free(m, sizeof(*m));
	pf_folio_put(sys->phys, folio, 1);
	return err;
}

/* Memory is asked for folio by folio, so that what moves needs room for one of them. */
static bool move(struct pf_system *sys, const struct pf_moving *m)
{
	struct pf_folio *dst = pf_alloc_for(sys, m->src, m->to);
	int err = dst ? pf_migrate_folio(sys, m->src, dst) : -PF_ENOMEM;

	if (dst)
		pf_folio_put(sys->phys, dst, 1);
	return !err;
}

uint64_t pf_moving_end(struct pf_system *sys, struct pf_moving_list *list, bool moving)
{
	struct pf_moving *m;
	uint64_t failed = 0;

	while ((m = list->first)) {
		if (moving && !move(sys, m))
			failed++;
		list->first = m->next;
		pf_folio_unlock(m->src);
		pf_folio_put(sys->phys, m->src, 1);
		pf_port_meta_free(m, sizeof(*m));
	}
	pf_moving_init(list);
	return failed;
}

/* ---- pages of a range ---- */

/* Of the folio's first page, which may lie before the area, or be mapped elsewhere. */
static struct pf_where wanted(const struct pf_misplaced *m, const struct pf_vma *vma, pf_va_t va,
	const struct pf_folio *folio, pf_pfn_t pfn)
{
	const unsigned order = pf_folio_order(folio);

	if (!m->policy)
		return m->to;
	return pf_policy_where(m->mm->sys->phys, m->policy,
		(pf_vma_index(vma, va) - pf_folio_idx(folio, pfn)) >> order);
}

/* A run of pages that are not where they should be. 0, or -PF_ENOMEM. */
static int queue(
	struct pf_misplaced *m, const struct pf_vma *vma, pf_va_t va, const struct pf_page_run *run)
{
	struct pf_system *sys = m->mm->sys;
	const bool all = m->flags & PF_MPOL_MF_MOVE_ALL;
	struct pf_folio *folio;
	pf_pfn_t pfn;
	int err;

	sys->fmt->folio_run(&m->mm->space, va, run->nr, &folio, &pfn);
	/* Zapped since, or another's: whoever came after the look follows the policy that is set next, or is as good as late. */
	if (!folio)
		return 0;
	/* A large one may be mapped in pieces; it is queued once. */
	if (folio == m->large && !PF_MUTANT("misplaced-twice")) {
		pf_folio_put(sys->phys, folio, 1);
		return 0;
	}
	m->large = pf_folio_order(folio) ? folio : m->large;
	if (!(m->flags & (PF_MPOL_MF_MOVE | PF_MPOL_MF_MOVE_ALL)) ||
		(vma->area.flags & PF_VM_PFNMAP)) {
		err = -PF_EBUSY;
		pf_folio_put(sys->phys, folio, 1);
	} else if (run->shared && !all && !PF_MUTANT("mbind-moves-shared")) {
		/* Others want it where it is: no failure, says Linux. */
		err = 0;
		pf_folio_put(sys->phys, folio, 1);
	} else {
		err = pf_moving_add(sys, &m->list, folio, wanted(m, vma, va, folio, pfn));
	}
	if (err == -PF_EBUSY)
		m->failed += run->nr;
	return err == -PF_EBUSY ? 0 : err;
}

/* Is it a page of a node where it should not be? */
static bool is_misplaced(const struct pf_misplaced *m, const struct pf_page_run *run)
{
	unsigned node;

	if (!pf_pte_present(run->pte) || !run->folio)
		return false;
	node = pf_phys_node(m->mm->sys->phys, pf_pte_pfn(run->pte));
	return (m->nodes >> node & 1) != m->others;
}

static int find_in_vma(struct pf_misplaced *m, const struct pf_vma *vma, pf_va_t start, pf_va_t end)
{
	const bool look_only = m->flags == PF_MPOL_MF_STRICT;

	while (start < end) {
		struct pf_page_run run;
		int err = 0;

		m->mm->sys->fmt->page_run(
			&m->mm->space, start, pf_mm_pages(m->mm, start, end), &run);
		/* On its way, who knows where. */
		if (pf_pte_kind(run.pte) == PF_PTE_MIGRATION)
			m->failed += run.nr;
		else if (is_misplaced(m, &run))
			err = queue(m, vma, start, &run);
		if (err || (m->failed && look_only))
			return err ? err : -PF_EIO;
		start += run.nr << pf_mm_shift(m->mm);
	}
	return 0;
}

int pf_find_misplaced(struct pf_misplaced *m, pf_va_t start, pf_va_t end, bool strict)
{
	const struct pf_vma *vma = pf_find_vma(m->mm, start), *next;

	if (!vma || vma->area.start >= end || (strict && vma->area.start > start))
		return -PF_EFAULT;
	for (; vma && vma->area.start < end; vma = next) {
		int err = 0;

		next = pf_vma_tree_next(m->mm->vmas, vma);
		if (strict && !PF_MUTANT("mbind-over-holes") && vma->area.end < end &&
			(!next || next->area.start > vma->area.end))
			return -PF_EFAULT;
		if (m->flags &&
			(!(vma->area.flags & PF_VM_PFNMAP) || (m->flags & PF_MPOL_MF_STRICT)))
			err = find_in_vma(
				m, vma, pf_max(vma->area.start, start), pf_min(vma->area.end, end));
		if (err)
			return err;
	}
	return 0;
}

/* ---- move_pages ---- */

/* A page by itself: its node, or why it has none; and what it maps. mmap lock. */
static int look(struct pf_mm *mm, pf_va_t va, struct pf_page_run *run)
{
	mm->sys->fmt->page_run(&mm->space, va, 1, run);
	if (!pf_pte_present(run->pte))
		return -PF_ENOENT;
	if (pf_pte_special(run->pte))
		return pf_pte_pfn(run->pte) == mm->sys->zero_pfn ? -PF_EFAULT : -PF_ENOENT;
	return (int)pf_phys_node(mm->sys->phys, pf_pte_pfn(run->pte));
}

static int status_of(struct pf_mm *mm, pf_va_t va)
{
	struct pf_page_run run;
	int status = -PF_EFAULT;

	pf_mmap_read_lock(mm);
	if (pf_vma_lookup(mm, va))
		status = look(mm, pf_align_down(va, pf_mm_page(mm)), &run);
	pf_mmap_read_unlock(mm);
	return status;
}

/* It goes to the node, as far as can be told: 1. It is there: 0; or a negated error. mmap lock. */
static int queue_page(struct pf_mm *mm, pf_va_t va, int node, bool all, struct pf_moving_list *list)
{
	const struct pf_vma *vma = pf_vma_lookup(mm, va);
	struct pf_page_run run;
	struct pf_folio *folio;
	pf_pfn_t pfn;
	int at;

	if (!vma || (vma->area.flags & PF_VM_PFNMAP))
		return -PF_EFAULT;
	va = pf_align_down(va, pf_mm_page(mm));
	at = look(mm, va, &run);
	if (at < 0 || at == node)
		return at < 0 ? at : 0;
	if (run.shared && !all)
		return -PF_EACCES;
	mm->sys->fmt->folio_run(&mm->space, va, 1, &folio, &pfn);
	if (!folio)
		return -PF_ENOENT;
	at = pf_moving_add(mm->sys, list, folio, pf_only((unsigned)node));
	return at ? at : 1;
}

struct batch {
	struct pf_mm *mm;
	const int *nodes;
	int *status;
	uint64_t start; /* the first page that waits; all of them go to its node */
	struct pf_moving_list list;
};

/* Pages up to `end` move, and are where they should be; else how many did not, and all behind them. */
static int64_t move_batch(struct batch *b, uint64_t end, uint64_t nr)
{
	int64_t failed;

	if (!b->list.first)
		return 0;
	failed = (int64_t)pf_moving_end(b->mm->sys, &b->list, true);
	if (failed && !PF_MUTANT("move-pages-hides"))
		return failed + (int64_t)(nr - end);
	for (uint64_t i = b->start; i < end; i++)
		b->status[i] = b->nodes[i];
	return 0;
}

static int64_t move_all(struct batch *b, uint64_t nr, const pf_va_t *pages, bool all)
{
	const struct pf_phys *phys = b->mm->sys->phys;
	bool waiting = false; /* pages from start on go to nodes[start] */
	int64_t err = 0, last;
	uint64_t i;

	for (i = 0; i < nr; i++) {
		const int node = b->nodes[i];
		int at;

		if (node < 0 || !(pf_phys_memory_nodes(phys) >> node & 1)) {
			err = -PF_ENODEV;
			break;
		}
		if (waiting && node != b->nodes[b->start]) {
			err = move_batch(b, i, nr);
			if (err)
				return err;
			waiting = false;
		}
		if (!waiting)
			b->start = i;
		waiting = true;
		pf_mmap_read_lock(b->mm);
		at = queue_page(b->mm, pages[i], node, all, &b->list);
		pf_mmap_read_unlock(b->mm);
		if (at > 0)
			continue;
		if (at == -PF_ENOMEM) {
			err = at;
			break;
		}
		/* It is there already, or will not be: what waits goes before the next. */
		b->status[i] = at ? at : node;
		err = move_batch(b, i, nr);
		if (err)
			return err > 0 ? err - 1 : err;
		waiting = false;
	}
	last = waiting ? move_batch(b, i, nr) : 0;
	return err ? err : last;
}

int64_t pf_move_pages(struct pf_mm *mm, uint64_t nr, const pf_va_t *pages, const int *nodes,
	int *status, unsigned flags)
{
	struct batch b = {.mm = mm, .nodes = nodes, .status = status};

	if (flags & ~(PF_MPOL_MF_MOVE | PF_MPOL_MF_MOVE_ALL))
		return -PF_EINVAL;
	if (!nodes) {
		for (uint64_t i = 0; i < nr; i++)
			status[i] = status_of(mm, pages[i]);
		return 0;
	}
	pf_moving_init(&b.list);
	return move_all(&b, nr, pages, flags & PF_MPOL_MF_MOVE_ALL);
}

/* ---- migrate_pages ---- */

/* Bit s of `from` by its place there: which of `to` has that place, around. */
static unsigned remap(unsigned s, uint64_t from, uint64_t to)
{
	return pf_nodes_nth(to, pf_nodes_weight(from & (PF_BIT(s) - 1)) % pf_nodes_weight(to));
}

/*
 * The next node to be emptied, of `left`, and where to: one whose target is not to be emptied itself, or else the last that
 * moves. If there are more or fewer targets, what is on one stays. False: none is left. (Linux: do_migrate_pages.)
 */
static bool next_source(
	uint64_t left, uint64_t from, uint64_t to, unsigned *source, unsigned *target)
{
	const bool even = pf_nodes_weight(from) == pf_nodes_weight(to);
	bool found = false;

	for (; left; left &= left - 1) {
		const unsigned s = pf_ctz64(left);
		const unsigned t = remap(s, from, to);

		if ((!even && (to >> s & 1)) || s == t)
			continue;
		*source = s;
		*target = t;
		found = true;
		if (!(left >> t & 1))
			break;
	}
	return found;
}

static int migrate_node(
	struct pf_mm *mm, unsigned from, unsigned to, unsigned flags, uint64_t *failed)
{
	struct pf_misplaced m = {
		.mm = mm, .nodes = PF_BIT(from), .flags = flags, .to = pf_only(to)};
	int err;

	pf_moving_init(&m.list);
	pf_mmap_read_lock(mm);
	err = pf_find_misplaced(&m, 0, mm->sys->task_size, false);
	pf_mmap_read_unlock(mm);
	*failed += pf_moving_end(mm->sys, &m.list, !err) + m.failed;
	/* Nothing is mapped at all. */
	return err == -PF_EFAULT ? 0 : err;
}

int64_t pf_migrate_pages(struct pf_mm *mm, uint64_t from, uint64_t to, unsigned flags)
{
	uint64_t left = from, failed = 0;
	unsigned source, target;

	to &= pf_phys_memory_nodes(mm->sys->phys);
	if ((flags != PF_MPOL_MF_MOVE && flags != PF_MPOL_MF_MOVE_ALL) || !to)
		return -PF_EINVAL;
	while (next_source(left, from, to, &source, &target)) {
		int err = migrate_node(mm, source, target, flags, &failed);

		if (err)
			return err;
		left &= ~PF_BIT(source);
	}
	return (int64_t)failed;
}
