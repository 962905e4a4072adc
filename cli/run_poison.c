// SPDX-License-Identifier: MIT
/* Pages that memory failure has taken: the model is told which. */
#include "cli/run.h"

void run_note_poison(struct run_world *w)
{
	for (struct run_process *p = w->processes; p; p = p->next) {
		struct pf_vma_info v;

		for (uint64_t at = 0; pf_find_vma_info(&p->mm, at, &v); at = v.area.end) {
			pf_va_t va = v.area.start;
			pf_pte_t pte;

			for (; va < v.area.end && w->cfg->fmt->next_softleaf(&p->mm.space, &va,
							  (v.area.end - va) / w->env.page, &pte);
				va += w->env.page)
				if (pf_pte_kind(pte) == PF_PTE_HWPOISON)
					oracle_poison(w->oracle, p->pid, va);
		}
	}
}
