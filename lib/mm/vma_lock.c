/* SPDX-License-Identifier: MIT */
/*
 * Locks of single VMAs: the protocol is in vma_lock.h.
 */
#include "mm/vma_lock.h"

#include "mm/internal.h"
#include "pt/rcu.h"

/* Is it the caller's, who has the mmap lock for writing, already? Nobody else writes either number. */
static bool is_started(const struct pf_vma *vma)
{
	return pf_quiet_load(&vma->lock_seq) == pf_quiet_load(&vma->mm->lock_seq);
}

void pf_vma_start_write(struct pf_vma *vma)
{
	if (!vma->attached || is_started(vma) || PF_MUTANT("vma-lock-forgotten"))
		return;
	pf_port_rw_write_lock(&vma->lock, PF_LOCK_VMA);
	pf_store_relaxed(&vma->lock_seq, vma->mm->lock_seq);
	pf_port_rw_write_unlock(&vma->lock, PF_LOCK_VMA);
}

void pf_vma_start_write_all(struct pf_mm *mm)
{
	struct pf_vma *vma = pf_find_vma(mm, 0);

	for (; vma; vma = pf_vma_tree_next(mm->vmas, vma))
		pf_vma_start_write(vma);
}

void pf_vma_attach(struct pf_mm *mm, struct pf_vma *vma)
{
	pf_port_rw_init(&vma->lock, PF_LOCK_VMA);
	vma->lock_seq = mm->lock_seq;
	vma->attached = true;
	pf_vma_tree_insert(mm->vmas, vma);
}

void pf_vma_detach(struct pf_vma *vma)
{
	pf_vma_tree_remove(vma->mm->vmas, vma);
	vma->attached = false;
	if (PF_MUTANT("vma-freed-early"))
		pf_port_meta_free(vma, sizeof(*vma));
	else
		pf_meta_free_rcu(vma, sizeof(*vma));
}

/* With its lock: does it stay what the lookup took it for? */
static bool is_at(const struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va)
{
	if (pf_load_acquire(&mm->lock_seq) == pf_quiet_load(&vma->lock_seq) &&
		!PF_MUTANT("vma-lock-number-unread"))
		return false;
	return (vma->attached || PF_MUTANT("vma-lock-detached")) && va >= vma->area.start &&
	       va < vma->area.end;
}

struct pf_vma *pf_lock_vma_under_rcu(struct pf_mm *mm, pf_va_t va)
{
	struct pf_vma *vma;

	pf_port_rcu_read_lock();
	vma = pf_vma_tree_find_rcu(mm->vmas, va);
	if (vma && !pf_port_rw_read_trylock(&vma->lock, PF_LOCK_VMA))
		vma = NULL;
	if (vma && !is_at(mm, vma, va)) {
		pf_vma_end_read(vma);
		vma = NULL;
	}
	pf_port_rcu_read_unlock();
	return vma;
}

/*
 * Once it is given up, whoever waits for the lock may have the VMA out of the tree and its memory given back, while the port has yet to
 * wake him: until that is done we are an RCU reader.
 */
void pf_vma_end_read(struct pf_vma *vma)
{
	pf_port_rcu_read_lock();
	pf_port_rw_read_unlock(&vma->lock, PF_LOCK_VMA);
	pf_port_rcu_read_unlock();
}
