/* SPDX-License-Identifier: MIT */
/*
 * The end of a table's life, and of metadata that is found without a lock. Compiled once: it knows sizes, not formats.
 *
 * A head that waits has one word to say what it is the head of: a table's is where its memory comes from, which has an even address;
 * metadata's are its bytes, and an odd number.
 */
#include "pt/rcu.h"

#include "pt/lazy.h"
#include "pt/table.h"

/* As walk.h has it for the format being compiled. */
static size_t table_bytes(const struct pf_pt_format *fmt)
{
	return (size_t)pf_max(UINT64_C(1) << (fmt->level_bits + fmt->entry_shift),
		UINT64_C(1) << fmt->page_shift);
}

/* log2 of the table's bytes waits in `level`, which nobody reads any more. */
static void count_free(struct pf_pt *pt, struct pf_table *table)
{
	size_t bytes = table_bytes(pt->fmt);

	/* No lockless walker looks at it, and who takes the lock late finds the table dead. */
	if (table->watch)
		pt->mem->meta_free(table->watch,
			sizeof(struct pf_watch) << (pt->fmt->level_bits - pt->fmt->cont_shift[0]));
	pf_count(&pt->stats.table_free, 1);
	pf_add_relaxed(&pt->stats.tables, -(uint64_t)bytes);
	table->level = (uint8_t)pf_log2(bytes);
}

void pf_table_free(struct pf_pt *pt, struct pf_table *table)
{
	/* May sleep. */
	pf_lazy_mmu_pause();
	count_free(pt, table);
	pt->mem->free(pt->mem->ctx, pf_table_pa(table), (size_t)1 << table->level);
	pf_lazy_mmu_resume();
}

void pf_table_free_rcu(struct pf_pt *pt, struct pf_table *table)
{
	pf_lazy_mmu_pause();
	count_free(pt, table);
	pf_lazy_mmu_resume();
	table->rcu.ctx = (void *)(uintptr_t)pt->mem;
	pf_port_call_rcu(&table->rcu);
}

void pf_meta_free_rcu(void *p, size_t bytes)
{
	struct pf_rcu_head *head = p;

	head->ctx = (void *)((uintptr_t)bytes << 1 | 1);
	pf_port_call_rcu(head);
}

void pf_rcu_done(struct pf_rcu_head *head)
{
	struct pf_table *table = PF_CONTAINER_OF(head, struct pf_table, rcu);
	const struct pf_table_mem *mem = head->ctx;

	if ((uintptr_t)head->ctx & 1) {
		pf_port_meta_free(head, (uintptr_t)head->ctx >> 1);
		return;
	}
	mem->free(mem->ctx, pf_table_pa(table), (size_t)1 << table->level);
}
