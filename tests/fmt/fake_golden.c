/* SPDX-License-Identifier: MIT */
/*
 * The fake formats against words written down from docs/FAKE.md, compiled once for each of them.
 * The machine's decoders are written from the same page by other hands; here is what this side
 * reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fmt/contract.h"

#define R      PF_PTE_R
#define W      PF_PTE_W
#define X      PF_PTE_X
#define A      PF_PTE_A
#define D      PF_PTE_D
#define MEM(m) ((uint64_t)(m) << PF_PTE_MEM_SHIFT)
#define KEY(k) ((uint64_t)(k) << PF_PTE_KEY_SHIFT)

struct word {
	pf_pte_t e;
	unsigned level;
	bool cont;
	unsigned idx;
	uint64_t word; /* fake-2w: high << 32 | low */
};

#if PF_LEVEL_BITS == 7 /* fake-inv */

static uint64_t raw(pf_hw_t hw)
{
	return hw.w;
}

#define EMPTY UINT64_C(1)
#define TABLE UINT64_C(0x12345000002)

static const struct word words[] = {
	{{0}, 0, false, 0, 0x1},
	{{0x12345ull << 24 | R | PF_PTE_PAGE}, 0, false, 0, 0x12345000004},
	{{0x12345ull << 24 | R | W | PF_PTE_PAGE}, 0, false, 0, 0x1234500000C},
	{{0x12345ull << 24 | X | A | D | PF_PTE_PAGE}, 0, false, 0, 0x123450000D0},
	{{0x12345ull << 24 | R | PF_PTE_KERNEL | PF_PTE_PAGE}, 0, false, 0, 0x12345000024},
	{{0x12345ull << 24 | R | PF_PTE_SPECIAL | PF_PTE_PAGE}, 0, false, 0, 0x12345000204},
	{{0x12345ull << 24 | R | PF_PTE_SOFT_DIRTY | PF_PTE_PAGE}, 0, false, 0, 0x12345000404},
	{{0x12345ull << 24 | R | PF_PTE_UFFD_WP | PF_PTE_PAGE}, 0, false, 0, 0x12345000804},
	{{0x12345ull << 24 | R | MEM(PF_MEM_DEVICE) | PF_PTE_PAGE}, 0, false, 0, 0x12345003004},
	{{0x12345ull << 24 | R | KEY(15) | PF_PTE_PAGE}, 0, false, 0, 0x12345078004},
	/* PROT_NONE: invalid, kind 1, the rest in place */
	{{0x12345ull << 24 | A | D | KEY(1) | PF_PTE_PAGE}, 0, true, 1, 0x123450080C3},
	/* contiguous: bit 8, each with its own frame */
	{{0x12345ull << 24 | R | PF_PTE_PAGE}, 0, true, 1, 0x12345000104},
	{{0x12380ull << 24 | R | PF_PTE_PAGE}, 1, false, 0, 0x12380000004},
	{{0xFFFFFFFFFFull << 24 | R | PF_PTE_PAGE}, 0, false, 0, 0xFFFFFFFFFF000004},
	{{5ull << 14 | 3 << 3 | PF_PTE_EXCLUSIVE | PF_PTE_SWAP}, 0, false, 0, 0x5003205},
	{{5ull << 14 | 31 << 3 | PF_PTE_UFFD_WP | PF_PTE_SWAP}, 0, false, 0, 0x501F805},
	{{5ull << 24 | PF_MIG_WRITE << 3 | A | D | PF_PTE_MIGRATION}, 0, false, 0, 0x50020C7},
	{{5ull << 24 | 1 << 4 | PF_PTE_DEVICE_PRIVATE}, 0, false, 0, 0x5001009},
	{{5ull << 24 | PF_PTE_DEVICE_EXCLUSIVE}, 0, false, 0, 0x500000B},
	{{5ull << 24 | PF_PTE_HWPOISON}, 0, false, 0, 0x500000D},
	{{PF_MARKER_GUARD | PF_MARKER_UFFD_WP | PF_PTE_MARKER}, 0, false, 0, 0x500F},
};

#elif PF_LEVEL_BITS == 9 /* fake-nz */

static uint64_t raw(pf_hw_t hw)
{
	return hw.w;
}

#define EMPTY UINT64_C(0xE000000000000000)
#define TABLE UINT64_C(0x2000002468A00000)

static const struct word words[] = {
	{{0}, 0, false, 0, 0xE000000000000000},
	{{0x12345ull << 24 | R | PF_PTE_PAGE}, 0, false, 0, 0x2468A00001},
	{{0x12345ull << 24 | R | W | PF_PTE_PAGE}, 0, false, 0, 0x2468A00003},
	{{0x12345ull << 24 | X | A | D | PF_PTE_PAGE}, 0, false, 0, 0x2468A00034},
	{{0x12345ull << 24 | R | PF_PTE_KERNEL | PF_PTE_PAGE}, 0, false, 0, 0x2468A00009},
	{{0x12345ull << 24 | R | PF_PTE_SPECIAL | PF_PTE_PAGE}, 0, false, 0, 0x2468A00041},
	{{0x12345ull << 24 | R | PF_PTE_SOFT_DIRTY | PF_PTE_PAGE}, 0, false, 0, 0x2468A00081},
	{{0x12345ull << 24 | R | PF_PTE_UFFD_WP | PF_PTE_PAGE}, 0, false, 0, 0x2468A00101},
	{{0x12345ull << 24 | R | MEM(PF_MEM_DEVICE) | PF_PTE_PAGE}, 0, false, 0, 0x2468A00601},
	{{0x12345ull << 24 | R | KEY(15) | PF_PTE_PAGE}, 0, false, 0, 0x2468A0F001},
	/* PROT_NONE: tag 3 */
	{{0x12345ull << 24 | A | D | PF_PTE_PAGE}, 0, true, 5, 0x6000002468A00030},
	/* contiguous: tag 2, and base | 4 whatever the slot (0x12340 | 4; 0x40000 | 4 << 9) */
	{{0x12345ull << 24 | R | PF_PTE_PAGE}, 0, true, 5, 0x4000002468800001},
	{{0x12340ull << 24 | R | PF_PTE_PAGE}, 0, true, 0, 0x4000002468800001},
	{{0x12347ull << 24 | R | PF_PTE_PAGE}, 0, true, 7, 0x4000002468800001},
	{{0x40E00ull << 24 | R | PF_PTE_PAGE}, 1, true, 7, 0x4000008100000001},
	{{0x40000ull << 24 | R | PF_PTE_PAGE}, 2, false, 0, 0x8000000001},
	{{0xFFFFFFFFFFull << 24 | R | PF_PTE_PAGE}, 0, false, 0, 0x1FFFFFFFFFE00001},
	{{5ull << 14 | 3 << 3 | PF_PTE_EXCLUSIVE | PF_PTE_SWAP}, 0, false, 0, 0x8000000000A30440},
	{{5ull << 14 | 31 << 3 | PF_PTE_UFFD_WP | PF_PTE_SWAP}, 0, false, 0, 0x8000000000BF0500},
	{{5ull << 24 | PF_MIG_WRITE << 3 | A | D | PF_PTE_MIGRATION}, 0, false, 0,
		0x8000000000A20630},
	{{5ull << 24 | 1 << 4 | PF_PTE_DEVICE_PRIVATE}, 0, false, 0, 0x8000000000A10800},
	{{5ull << 24 | PF_PTE_DEVICE_EXCLUSIVE}, 0, false, 0, 0x8000000000A00A00},
	{{5ull << 24 | PF_PTE_HWPOISON}, 0, false, 0, 0x8000000000A00C00},
	{{PF_MARKER_GUARD | PF_MARKER_UFFD_WP | PF_PTE_MARKER}, 0, false, 0, 0x8000000000050E00},
};

#else /* fake-2w */

static uint64_t raw(pf_hw_t hw)
{
	return (uint64_t)hw.hi << 32 | hw.lo;
}

#define EMPTY UINT64_C(0)
#define TABLE UINT64_C(0x12345011)

static const struct word words[] = {
	{{0}, 0, false, 0, 0},
	{{0x12345ull << 24 | R | PF_PTE_PAGE}, 0, false, 0, 0x12345009},
	{{0x12345ull << 24 | R | W | PF_PTE_PAGE}, 0, false, 0, 0x1234500B},
	{{0x12345ull << 24 | X | A | D | PF_PTE_PAGE}, 0, false, 0, 0x12345065},
	{{0x12345ull << 24 | R | PF_PTE_SPECIAL | PF_PTE_PAGE}, 0, false, 0, 0x12345109},
	{{0x12345ull << 24 | R | PF_PTE_SOFT_DIRTY | PF_PTE_PAGE}, 0, false, 0, 0x12345209},
	{{0x12345ull << 24 | R | PF_PTE_UFFD_WP | PF_PTE_PAGE}, 0, false, 0, 0x12345409},
	{{0x12345ull << 24 | R | MEM(PF_MEM_NC) | PF_PTE_PAGE}, 0, false, 0, 0x12345809},
	/* frame bits 20 and up in the high word; PROT_NONE is kind 1 there */
	{{0xABCD12345ull << 24 | R | PF_PTE_PAGE}, 0, false, 0, 0xABCD12345009},
	{{0xABCD12345ull << 24 | A | D | PF_PTE_PAGE}, 0, true, 1, 0x1ABCD12345060},
	{{0x12345ull << 24 | R | PF_PTE_PAGE}, 0, true, 1, 0x12345089},
	{{0x12800ull << 24 | R | PF_PTE_PAGE}, 1, false, 0, 0x12800009},
	{{0xFFFFFFFFFull << 24 | R | PF_PTE_PAGE}, 0, false, 0, 0xFFFFFFFFF009},
	{{5ull << 14 | 3 << 3 | PF_PTE_EXCLUSIVE | PF_PTE_SWAP}, 0, false, 0, 0x1A000000005100},
	{{0xFFFFFFFFull << 14 | 31 << 3 | PF_PTE_UFFD_WP | PF_PTE_SWAP}, 0, false, 0,
		0xFA0FFFFFFFF400},
	{{5ull << 24 | PF_MIG_WRITE << 3 | A | D | PF_PTE_MIGRATION}, 0, false, 0,
		0x13000000005060},
	{{5ull << 24 | 1 << 4 | PF_PTE_DEVICE_PRIVATE}, 0, false, 0, 0x0C000000005000},
	{{5ull << 24 | PF_PTE_DEVICE_EXCLUSIVE}, 0, false, 0, 0x5000000005000},
	{{5ull << 24 | PF_PTE_HWPOISON}, 0, false, 0, 0x6000000005000},
	{{PF_MARKER_GUARD | PF_MARKER_UFFD_WP | PF_PTE_MARKER}, 0, false, 0, 0x2F000000000000},
};

#endif

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < PF_ARRAY_SIZE(words); i++) {
		const struct word *t = &words[i];
		pf_hw_t h = pf_hw_encode(t->e, t->level, t->cont);

		if (raw(h) != t->word)
			fail_msg("row %zu: %llx", i, (unsigned long long)raw(h));
		assert_int_equal(pf_hw_decode(h, t->level, t->idx).v, t->e.v);
	}
	assert_int_equal(raw(pf_hw_empty()), EMPTY);
	assert_int_equal(raw(pf_hw_mktable(0x12345000)), TABLE);
	assert_int_equal(pf_hw_table_pa(pf_hw_mktable(0x12345000)), 0x12345000);
}

static void assert_op(unsigned at, uint64_t operand, uint64_t operand2)
{
	assert_int_equal(test_port.event[at].kind, TEST_EVENT_TLBI);
	assert_int_equal(test_port.event[at].op, PF_TLBI_FAKE);
	assert_int_equal(test_port.event[at].operand, operand);
	assert_int_equal(test_port.event[at].operand2, operand2);
}

/* operand2: pages - 1, level << 32, leaf 40, ASID 41, local 42; level 7 is unknown */
static void test_tlbi(void **state)
{
	struct pf_tlb_req req = {.va = 0x12345000, .nr = 16, .asid = 0x42, .hint = true};
	unsigned top = PF_VA_BITS - 12;

	(void)state;
	test_port.events = 0;
	pf_hw_tlb_issue(0, &req);
	req.level = 1;
	pf_hw_tlb_issue(0, &req);
	req.hint = false;
	req.local = true;
	pf_hw_tlb_issue(0, &req);
	req.hint = true;
	req.tables = true;
	pf_hw_tlb_issue(0, &req);
	req.whole_asid = true;
	pf_hw_tlb_issue(0, &req);
	pf_hw_tlb_wait(true);
	pf_hw_tlb_wait(false);
	assert_int_equal(test_port.events, 12);
	for (unsigned i = 0; i < 10; i += 2) {
		assert_int_equal(test_port.event[i].kind, TEST_EVENT_BARRIER);
		assert_int_equal(test_port.event[i].barrier,
			i < 4 ? PF_BARRIER_PUBLISH : PF_BARRIER_PUBLISH_LOCAL);
	}
	assert_op(1, 0x42000000012345, 0x1000000000F);
	assert_op(3, 0x42000000012345, 0x10100000000 | ((16u << PF_LEVEL_BITS) - 1));
	assert_op(5, 0x42000000012345, 0x50700000000 | ((16u << PF_LEVEL_BITS) - 1));
	assert_op(7, 0x42000000012345, 0x40700000000 | ((16u << PF_LEVEL_BITS) - 1));
	assert_op(9, 0x42000000000000, 0x60700000000);
	assert_int_equal(test_port.event[10].barrier, PF_BARRIER_COMPLETE_LOCAL);
	assert_int_equal(test_port.event[11].barrier, PF_BARRIER_COMPLETE);

	/* all of the address space, of no ASID: by address, 2^32 pages an operation */
	test_port.events = 0;
	req = (struct pf_tlb_req){.whole_asid = true, .global = true};
	pf_hw_tlb_issue(0, &req);
	assert_int_equal(test_port.events, top > 32 ? 1 + (1u << (top - 32)) : 2);
	for (unsigned i = 1; i < test_port.events; i++)
		assert_op(i, (uint64_t)(i - 1) << 32,
			UINT64_C(0x700000000) | (top > 32 ? 0xFFFFFFFF : (UINT64_C(1) << top) - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_tlbi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
