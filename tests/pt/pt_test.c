/* SPDX-License-Identifier: MIT */
#include <sys/mman.h>

#include "pt_test.h"

#define TEST_MEMORY (UINT64_C(512) << 20)

uint64_t seed = 1;
struct tree tree;
unsigned tables_out;
uint64_t table_turn;
static uint64_t made[TEST_MEMORY >> 12]; /* by frame: its turn */

/* ---- table memory ---- */
/* Frames given back, to be used again at once: whoever still points there will be seen. */
static struct {
	pf_pa_t next, back[1024];
	size_t bytes[1024];
	unsigned nr;
} pool;

static size_t whole_pages(size_t bytes)
{
	return bytes > PF_PAGE_SIZE ? bytes : PF_PAGE_SIZE;
}

/* Who has the memory may have to be waited for. */
static void may_sleep(void)
{
	const struct pf_lazy_mmu *lazy = test_port.lazy;

	if (lazy && lazy->enabled && !lazy->paused)
		test_port_die("memory changes hands inside a lazy-MMU section");
}

static pf_pa_t table_alloc(void *ctx, size_t bytes)
{
	pf_pa_t pa;

	(void)ctx;
	may_sleep();
	assert_true(pf_is_pow2(bytes));
	if (test_port.locks_held)
		test_port_die("a table is allocated under a lock");
	if (pf_port_fail_alloc(PF_USE_TABLE))
		return 0;
	tables_out++;
	table_turn++;
	if (pool.nr && pool.bytes[pool.nr - 1] == bytes) {
		pa = pool.back[--pool.nr];
	} else {
		size_t size = whole_pages(bytes);

		/* [guard][table][guard], the table at a multiple of its size */
		pa = pf_align_up(pool.next + PF_PAGE_SIZE, size);
		pool.next = pa + size;
		if (pool.next + PF_PAGE_SIZE > TEST_PORT_BASE + TEST_MEMORY)
			test_port_die("the test's table memory is used up");
		if (mprotect(pf_port_virt(pool.next), PF_PAGE_SIZE, PROT_NONE))
			test_port_die("mprotect");
	}
	/* Not empty entries: who forgets to initialise a table will be seen. */
	memset(pf_port_virt(pa), 0x55, bytes);
	made[(pa - TEST_PORT_BASE) >> 12] = table_turn;
	/* As lib/phys gives it: the first 24 bytes of metadata are zero. */
	memset(pf_port_memmap(pa), 0, 24);
	return pa;
}

static void table_free(void *ctx, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	may_sleep();
	if (test_port.locks_held)
		test_port_die("a table is freed under a lock");
	if (pool.nr == PF_ARRAY_SIZE(pool.back))
		test_port_die("too many tables given back");
	assert_true(tables_out);
	tables_out--;
	memset(pf_port_virt(pa), 0xaa, bytes);
	pool.back[pool.nr] = pa;
	pool.bytes[pool.nr++] = bytes;
	if (recorder.on)
		rec_after((struct rec){.kind = REC_FREE,
			.p = (uintptr_t)pa,
			.val = bytes,
			.use = PF_USE_TABLE,
			.operand = made[(pa - TEST_PORT_BASE) >> 12]});
}

static void *meta_alloc(size_t bytes)
{
	may_sleep();
	return pf_port_meta_alloc(bytes);
}

static void meta_free(void *p, size_t bytes)
{
	may_sleep();
	pf_port_meta_free(p, bytes);
}

const struct pf_table_mem test_table_mem = {table_alloc, table_free, NULL, meta_alloc, meta_free};

void tree_memory(void)
{
	recorder.on = recorder.busy = false;
	recorder.before = NULL;
	recorder.after = NULL;
	recorder_reset();
	test_port_start(TEST_MEMORY, PF_PAGE_SHIFT);
	pool.next = TEST_PORT_BASE;
	pool.nr = 0;
	tables_out = 0;
}

void tree_open(uint32_t features, unsigned flags, enum pf_fold_policy policy, pf_va_t va)
{
	tree_memory();
	assert_int_equal(pf_pt_init(&tree.pt, &pf_pt_format_this, &test_table_mem, features,
				 TEST_ASID, flags, policy),
		0);
	assert_int_equal(pf_pte_alloc(&tree.pt, va), 0);
	assert_true(pf_pte_offset_map_lock(&tree.pt, va, &tree.m));
	assert_int_equal(tables_out, PF_LEVELS);
	recorder.on = true;
}

void tree_close(void)
{
	recorder.on = false;
	recorder.before = NULL;
	recorder.after = NULL;
	pf_pte_unmap_unlock(&tree.m);
	pf_pt_destroy(&tree.pt);
	assert_int_equal(tables_out, 0);
	assert_int_equal(tree.pt.stats.tables, 0);
	assert_int_equal(tree.pt.stats.table_alloc, tree.pt.stats.table_free);
	assert_int_equal(test_port.meta_live, 0);
	assert_int_equal(test_port.locks_held, 0);
	assert_int_equal(test_port.rcu_depth, 0);
	test_port_stop();
}

/* ---- entries ---- */

uint64_t rnd_prot(void)
{
	static const uint64_t perm[] = {PF_PTE_R, PF_PTE_R | PF_PTE_W, PF_PTE_R | PF_PTE_X,
		PF_PTE_X, PF_PTE_R | PF_PTE_W | PF_PTE_X};
	uint64_t p = perm[rnd_below(PF_ARRAY_SIZE(perm))];

	if (one_in(4))
		p |= rnd() &
		     (PF_PTE_BTI | PF_PTE_KEY | PF_PTE_UFFD_WP | PF_PTE_SOFT_DIRTY | PF_BIT(15));
	return p & PF_PTE_SUPPORTED;
}

pf_pfn_t rnd_base(void)
{
	return pf_align_down(rnd_below((UINT64_C(1) << PF_PFN_BITS) - 64 * E),
		       UINT64_C(1) << PF_CONT_SHIFT(0)) +
	       N;
}

const char *pte_text(pf_pte_t e)
{
	static char text[8][96];
	static unsigned turn;
	char *t = text[turn++ % 8];

	snprintf(t, sizeof(text[0]), "kind %u frame 0x%llx %s%s%s%s%s +0x%llx", pf_pte_kind(e),
		(unsigned long long)pf_pte_pfn(e), e.v & PF_PTE_R ? "R" : "",
		e.v & PF_PTE_W ? "W" : "", e.v & PF_PTE_X ? "X" : "", e.v & PF_PTE_A ? "A" : "",
		e.v & PF_PTE_D ? "D" : "", (unsigned long long)(e.v & PF_MASK(23, 9)));
	return t;
}
