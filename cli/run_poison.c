// SPDX-License-Identifier: MIT
/* Pages that memory failure has taken: the model is told which. */
#include <string.h>

#include "cli/run.h"

uint64_t run_kept_word(const struct run_world *w, const struct pf_vma_info *v, pf_va_t va)
{
	const struct run_file *f = v->mapping && v->mapping->ops ? v->mapping->ctx : NULL;
	const uint64_t at = v->area.pgoff * w->env.page + (va - v->area.start);
	uint64_t word = 0;

	if (f && f->data && at + sizeof(word) <= f->size)
		memcpy(&word, f->data + at, sizeof(word));
	return word;
}

/* The process's next entry from *va on that says that its page is lost: which VMA's. */
static bool next(struct run_world *w, struct run_process *p, pf_va_t *va, struct pf_vma_info *v,
	pf_pte_t *pte)
{
	for (; pf_find_vma_info(&p->mm, *va, v); *va = v->area.end)
		for (*va = *va < v->area.start ? v->area.start : *va;
			*va < v->area.end && w->cfg->fmt->next_softleaf(&p->mm.space, va,
						     (v->area.end - *va) / w->env.page, pte);
			*va += w->env.page)
			if (pf_pte_lost(*pte))
				return true;
	return false;
}

void run_note_poison(struct run_world *w)
{
	struct pf_vma_info v;
	pf_pte_t pte;

	for (struct run_process *p = w->processes; p; p = p->next)
		for (pf_va_t va = 0; next(w, p, &va, &v, &pte); va += w->env.page)
			if (pf_pte_kind(pte) == PF_PTE_HWPOISON)
				oracle_poison(w->oracle, p->pid, va, run_kept_word(w, &v, va));
}

void run_note_copied_poison(struct run_world *w, const struct run_process *parent, unsigned child)
{
	struct run_process *p = run_process(w, child);
	struct pf_vma_info v;
	pf_pte_t pte;

	for (pf_va_t va = 0; p && next(w, p, &va, &v, &pte); va += w->env.page)
		oracle_poison_copied(w->oracle, parent->pid, child, va);
}
