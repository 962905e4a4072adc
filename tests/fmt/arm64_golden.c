/* SPDX-License-Identifier: MIT */
/*
 * arm64-4k against words worked out by hand from the descriptor and operand layouts of the Arm ARM
 * and from what Linux keeps in the software bits. Every expected value is a literal, or comes from
 * a decoder written here; nothing of the format's own masks is used. The laws that hold for every
 * format are the contract suite's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fmt/contract.h"

#define R      PF_PTE_R
#define RW     (PF_PTE_R | PF_PTE_W)
#define RX     (PF_PTE_R | PF_PTE_X)
#define X      PF_PTE_X
#define A      PF_PTE_A
#define D      PF_PTE_D
#define K      PF_PTE_KERNEL
#define MEM(m) ((uint64_t)(m) << PF_PTE_MEM_SHIFT)
#define KEY(k) ((uint64_t)(k) << PF_PTE_KEY_SHIFT)

/* ---- present entries ---- */

struct word {
	pf_pfn_t pfn;
	uint64_t prot;
	unsigned level;
	uint64_t word;
};

static const struct word words[] = {
	/* user: VALID, page, SH inner, nG, PXN; USER with R, UXN without X, AP[2] unless W and D */
	{0x12345, R, 0, 0x0060000012345BC3},
	{0x12345, R | A, 0, 0x0060000012345FC3},
	{0x12345, RW | A, 0, 0x0068000012345FC3},
	{0x12345, RW | A | D, 0, 0x00E8000012345F43},
	{0x12345, R | A | D, 0, 0x00E0000012345FC3},
	{0x12345, RX | A, 0, 0x0020000012345FC3},
	{0x12345, RW | X | A, 0, 0x0028000012345FC3},
	{0x12345, X | A, 0, 0x0020000012345F83},
	/* PROT_NONE: VALID clear, the type bit kept, bit 11, AP[2], PXN, UXN */
	{0x12345, A, 0, 0x0060000012345F82},
	{0x12345, 0, 0, 0x0060000012345B82},
	{0x12345, A | D, 0, 0x00E0000012345F82},
	/* special, uffd-wp, BTI, memory types, keys, one at a time */
	{0x12345, R | A | PF_PTE_SPECIAL, 0, 0x0160000012345FC3},
	{0x12345, R | A | PF_PTE_UFFD_WP, 0, 0x0460000012345FC3},
	{0x12345, RX | A | PF_PTE_BTI, 0, 0x0024000012345FC3},
	{0x12345, R | A | MEM(PF_MEM_TAGGED), 0, 0x0060000012345FC7},
	{0x12345, R | A | MEM(PF_MEM_NC), 0, 0x0060000012345FCB},
	{0x12345, R | A | MEM(PF_MEM_DEVICE), 0, 0x0060000012345FCF},
	{0x12345, R | A | KEY(1), 0, 0x1060000012345FC3},
	{0x12345, R | A | KEY(7), 0, 0x7060000012345FC3},
	{0x12345, A | KEY(5) | MEM(PF_MEM_NC) | PF_PTE_BTI, 0, 0x5064000012345F8A},
	/* kernel: nG and USER clear, UXN, PXN without X; bit 63 without R, which PROT_NONE lacks
	   too */
	{0x12345, K | RW | A | D, 0, 0x00E8000012345703},
	{0x12345, K | RW | A, 0, 0x0068000012345783},
	{0x12345, K | R | A, 0, 0x0060000012345783},
	{0x12345, K | RX | A, 0, 0x0040000012345783},
	{0x12345, K | X | A, 0, 0x8040000012345783},
	{0x12345, K | A, 0, 0x8060000012345F82},
	/* blocks: type 01; frames from the first to the last */
	{0x40000, RW | A, 1, 0x0068000040000FC1},
	{0x40000, RW | A | D, 2, 0x00E8000040000F41},
	{0x40200, A, 1, 0x0060000040200F80},
	{0, R | A, 0, 0x0060000000000FC3},
	{0xFFFFFFFFF, R | A, 0, 0x0060FFFFFFFFFFC3},
	{0xFFFFFFE00, R | A, 1, 0x0060FFFFFFE00FC1},
	{0xFFFFC0000, R | A, 2, 0x0060FFFFC0000FC1},
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < PF_ARRAY_SIZE(words); i++) {
		const struct word *t = &words[i];
		pf_pte_t e = pf_pte_mk(t->pfn, t->prot);

		assert_int_equal(pf_hw_encode(e, t->level, false).w, t->word);
		assert_int_equal(pf_hw_decode(pf_hw_of(t->word), t->level, 0).v, e.v);
		assert_int_equal(pf_hw_valid(pf_hw_of(t->word)), t->word & 1);
		assert_true(pf_hw_present(pf_hw_of(t->word), t->level));
		assert_false(pf_hw_table(pf_hw_of(t->word), t->level));
		/* contiguous is bit 52, and never without VALID (rule I7) */
		assert_int_equal(pf_hw_encode(e, t->level, true).w,
			t->word | (t->word & 1 ? UINT64_C(1) << 52 : 0));
	}
}

static void test_table(void **state)
{
	(void)state;
	assert_int_equal(pf_hw_mktable(0x12345000).w, 0x12345003);
	assert_int_equal(pf_hw_mktable(UINT64_C(0xFFFFFFFFF000)).w, 0xFFFFFFFFF003);
	assert_int_equal(pf_hw_table_pa(pf_hw_of(0x12345003)), 0x12345000);
	/* what a walk cache's descriptor may carry besides does not leak into the address */
	assert_int_equal(pf_hw_table_pa(pf_hw_of(0xF800000012345C03)), 0x12345000);
	for (unsigned level = 1; level < PF_LEVELS; level++) {
		assert_true(pf_hw_table(pf_hw_of(0x12345003), level));
		assert_false(pf_hw_present(pf_hw_of(0x12345003), level));
	}
	/* the same two bits at the last level are a page */
	assert_false(pf_hw_table(pf_hw_of(0x12345003), 0));
	assert_int_equal(pf_hw_empty().w, 0);
}

/* ---- dirty ---- */

/* WRITE is DBM (51), RDONLY is AP[2] (7), DIRTY is bit 55; the rest is a young user page. */
#define BASE UINT64_C(0x0060000012345F43)
#define WR   UINT64_C(0x0008000000000000)
#define RO   UINT64_C(0x80)
#define DI   UINT64_C(0x0080000000000000)

static const struct {
	uint64_t in;
	bool dirty, write;
	uint64_t clean, dirtied, wrprotected, mk_ro, mk_rw;
} dirty_rows[] = {
	/* clean, read-only */
	{RO, false, false, RO, RO | DI, RO, RO, RO | WR},
	/* clean, writable: the state that the CPU turns into the one after next */
	{RO | WR, false, true, RO | WR, WR | DI, RO, RO, RO | WR},
	/* dirty, read-only */
	{RO | DI, true, false, RO, RO | DI, RO | DI, RO | DI, WR | DI},
	/* dirty by hardware alone: must survive the loss of WRITE in bit 55 */
	{WR, true, true, RO | WR, WR | DI, RO | DI, RO | DI, WR | DI},
	/* dirty in both */
	{WR | DI, true, true, RO | WR, WR | DI, RO | DI, RO | DI, WR | DI},
	/* dirty in software, not yet in hardware: the CPU may still clear AP[2], nothing is lost */
	{RO | WR | DI, true, true, RO | WR, WR | DI, RO | DI, RO | DI, WR | DI},
};

static void test_dirty(void **state)
{
	(void)state;
	for (size_t i = 0; i < PF_ARRAY_SIZE(dirty_rows); i++) {
		pf_hw_t h = pf_hw_of(BASE | dirty_rows[i].in);
		uint64_t v = pf_hw_decode(h, 0, 0).v;

		assert_int_equal(pf_hw_dirty(h), dirty_rows[i].dirty);
		assert_int_equal(pf_hw_write(h), dirty_rows[i].write);
		assert_int_equal(!!(v & D), dirty_rows[i].dirty);
		assert_int_equal(!!(v & PF_PTE_W), dirty_rows[i].write);
		assert_int_equal(pf_hw_mkclean(h).w, BASE | dirty_rows[i].clean);
		assert_int_equal(pf_hw_mkdirty(h).w, BASE | dirty_rows[i].dirtied);
		assert_int_equal(pf_hw_wrprotect(h).w, BASE | dirty_rows[i].wrprotected);
		assert_int_equal(pf_hw_modify(h, 0, 5, R).w, BASE | dirty_rows[i].mk_ro);
		assert_int_equal(pf_hw_modify(h, 0, 5, RW).w, BASE | dirty_rows[i].mk_rw);
		/* PROT_NONE keeps D in bit 55 and nothing in AP[2] */
		assert_int_equal(pf_hw_modify(h, 0, 5, 0).w,
			UINT64_C(0x0060000012345F82) | (dirty_rows[i].dirty ? DI : 0));
	}
}

/* Bit 11 is nG only while VALID is set: what was global must come back global. */
static void test_protnone_and_back(void **state)
{
	pf_hw_t user = pf_hw_of(0x00F8000012345F43), kernel = pf_hw_of(0x00F8000012345703);

	(void)state;
	assert_true(pf_hw_cont(user));
	user = pf_hw_modify(user, 0, 5, 0);
	assert_int_equal(user.w, 0x00E0000012345F82);
	assert_int_equal(pf_hw_modify(user, 0, 5, RW).w, 0x00E8000012345F43);
	kernel = pf_hw_modify(kernel, 0, 5, K);
	assert_int_equal(kernel.w, 0x80E0000012345F82);
	assert_int_equal(pf_hw_modify(kernel, 0, 5, K | RW).w, 0x00E8000012345703);
}

static void test_modify(void **state)
{
	(void)state;
	/* contiguity stays while the page stays valid; special, uffd-wp, A, D and the frame too */
	assert_int_equal(pf_hw_modify(pf_hw_of(0x05F8000012345F43), 0, 5, R).w, 0x05F0000012345FC3);
	assert_int_equal(pf_hw_modify(pf_hw_of(0x5074000012345BCB), 0, 5, RX | KEY(2)).w,
		0x2030000012345BC3);
	/* a block stays a block */
	assert_int_equal(pf_hw_modify(pf_hw_of(0x0068000040000FC1), 1, 5, R).w, 0x0060000040000FC1);
	assert_int_equal(pf_hw_modify(pf_hw_of(0x0068000040000FC1), 1, 5, 0).w, 0x0060000040000F80);
}

static void test_advance_and_cont(void **state)
{
	(void)state;
	assert_int_equal(pf_hw_advance(pf_hw_of(0x0068000012345FC3), 0, 1).w, 0x0068000012346FC3);
	assert_int_equal(
		pf_hw_advance(pf_hw_of(0x0068000012345FC3), 0, 0x10000).w, 0x0068000022345FC3);
	assert_int_equal(pf_hw_advance(pf_hw_of(0x0068000040000FC1), 1, 3).w, 0x0068000040600FC1);
	assert_int_equal(pf_hw_advance(pf_hw_of(0x0068000040000FC1), 2, 3).w, 0x0068000100000FC1);
	assert_int_equal(
		pf_hw_set_cont(pf_hw_of(0x0068000012345FC3), 0, 5, true).w, 0x0078000012345FC3);
	assert_int_equal(
		pf_hw_set_cont(pf_hw_of(0x0078000012345FC3), 0, 5, false).w, 0x0068000012345FC3);
	assert_int_equal(
		pf_hw_set_cont(pf_hw_of(0x0060000012345F82), 0, 5, true).w, 0x0060000012345F82);
}

static void test_settled(void **state)
{
	/* by features: none, HAF, HAF and HD */
	static const struct {
		uint64_t word;
		bool none, haf, hd;
	} t[] = {
		{0x0060000012345FC3, true, true, true},   /* read-only, young */
		{0x0060000012345BC3, true, false, false}, /* read-only, old */
		{0x0068000012345FC3, true, true, false},  /* writable, clean, young */
		{0x0068000012345BC3, true, false, false}, /* writable, clean, old */
		{0x00E8000012345F43, true, true, true},   /* writable, dirty, young */
		{0x00E8000012345B43, true, false, false}, /* writable, dirty, old */
		{0x00E8000012345FC3, true, true, false},  /* dirty in bit 55 only: AP[2] may go */
		{0x0060000012345B82, true, true, true},   /* PROT_NONE, old */
		{0x0000000000000010, true, true, true},   /* swap */
		{0, true, true, true},
	};

	(void)state;
	for (size_t i = 0; i < PF_ARRAY_SIZE(t); i++) {
		assert_int_equal(pf_hw_settled(pf_hw_of(t[i].word), 0), t[i].none);
		assert_int_equal(pf_hw_settled(pf_hw_of(t[i].word), PF_FEAT_HAF), t[i].haf);
		assert_int_equal(
			pf_hw_settled(pf_hw_of(t[i].word), PF_FEAT_HAF | PF_FEAT_HD), t[i].hd);
	}
}

static void test_needs_flush(void **state)
{
	const uint64_t rw = 0x0068000012345FC3;

	(void)state;
	assert_false(pf_hw_needs_flush(pf_hw_of(0), pf_hw_of(rw)));
	assert_false(pf_hw_needs_flush(pf_hw_of(0x0060000012345F82), pf_hw_of(rw)));
	assert_false(pf_hw_needs_flush(pf_hw_of(rw), pf_hw_of(rw)));
	for (unsigned bit = 0; bit < 64; bit++) {
		bool software = bit == 63 || (bit >= 55 && bit <= 58);

		if (!bit)
			continue;
		assert_int_equal(pf_hw_needs_flush(pf_hw_of(rw), pf_hw_of(rw ^ UINT64_C(1) << bit)),
			!software);
	}
	assert_true(pf_hw_needs_flush(pf_hw_of(rw), pf_hw_of(0)));
	assert_true(pf_hw_needs_flush(pf_hw_of(rw), pf_hw_of(rw & ~UINT64_C(1))));
}

/* ---- entries that map nothing ---- */

static void test_soft(void **state)
{
	const struct {
		pf_pte_t e;
		uint64_t word;
	} t[] = {
		{pf_pte_swap(0, 0, 0), 0x10},
		{pf_pte_swap(0, 1, 0), 0x1010},
		{pf_pte_swap(3, 0x12345, 0), 0x123450D0},
		{pf_pte_swap(3, 0x12345, PF_PTE_EXCLUSIVE), 0x123450D4},
		{pf_pte_swap(3, 0x12345, PF_PTE_UFFD_WP), 0x123450D8},
		{pf_pte_swap(31, (UINT64_C(1) << 50) - 1, PF_PTE_EXCLUSIVE | PF_PTE_UFFD_WP),
			0x3FFFFFFFFFFFF7DC},
		{pf_pte_migration(0x12345, PF_MIG_READ, 0), 0x123450F0},
		{pf_pte_migration(0x12345, PF_MIG_READ_EXCLUSIVE, A), 0x10000000123452F0},
		{pf_pte_migration(0x12345, PF_MIG_WRITE, A | D), 0x30000000123454F0},
		{pf_pte_migration(0xFFFFFFFFF, PF_MIG_WRITE, D | PF_PTE_UFFD_WP),
			0x2000FFFFFFFFF4F8},
		/* device-private, writable, and exclusive, not; hwpoison */
		{pf_pte(UINT64_C(0x12345) << 24 | 1 << 4 | PF_PTE_DEVICE_PRIVATE), 0x12345330},
		{pf_pte(UINT64_C(0x12345) << 24 | PF_PTE_DEVICE_EXCLUSIVE), 0x12345170},
		{pf_pte(UINT64_C(0x12345) << 24 | PF_PTE_HWPOISON), 0x123451B0},
		{pf_pte_marker(PF_MARKER_UFFD_WP), 0x11F0},
		{pf_pte_marker(PF_MARKER_GUARD), 0x41F0},
		{pf_pte_marker(PF_MARKER_GUARD | PF_MARKER_POISON | PF_MARKER_UFFD_WP), 0x71F0},
	};

	(void)state;
	for (size_t i = 0; i < PF_ARRAY_SIZE(t); i++) {
		pf_hw_t h = pf_hw_encode(t[i].e, 0, false);

		assert_int_equal(h.w, t[i].word);
		assert_int_equal(pf_hw_decode(h, 0, 0).v, t[i].e.v);
		/* neither VALID nor the type bit nor bit 11, at any level */
		assert_int_equal(h.w & 0x803, 0);
	}
}

/* ---- TLB maintenance ---- */

/* One operation, taken apart as C5.5 lays it out. */
struct op {
	bool by_va, range, leaf, local, whole; /* whole: an ASID or everything */
	unsigned asid, ttl, scale, num;
	uint64_t page, pages;
};

static struct op decode(const struct test_event *e)
{
	struct op o = {.asid = (unsigned)(e->operand >> 48)};

	assert_int_equal(e->kind, TEST_EVENT_TLBI);
	assert_int_equal(e->operand2, 0);
	o.local = e->op >= PF_TLBI_VAE1;
	switch (e->op) {
	case PF_TLBI_VALE1IS:
	case PF_TLBI_VALE1:
		o.leaf = true;
		__attribute__((fallthrough));
	case PF_TLBI_VAE1IS:
	case PF_TLBI_VAE1:
		o.by_va = true;
		o.ttl = e->operand >> 44 & 15;
		o.page = e->operand & ((UINT64_C(1) << 44) - 1);
		o.pages = 1;
		return o;
	case PF_TLBI_RVALE1IS:
	case PF_TLBI_RVALE1:
		o.leaf = true;
		__attribute__((fallthrough));
	case PF_TLBI_RVAE1IS:
	case PF_TLBI_RVAE1:
		o.range = true;
		assert_int_equal(e->operand >> 46 & 3, 1); /* 4K */
		o.scale = e->operand >> 44 & 3;
		o.num = e->operand >> 39 & 31;
		o.ttl = e->operand >> 37 & 3;
		o.page = e->operand & ((UINT64_C(1) << 37) - 1);
		o.pages = (uint64_t)(o.num + 1) << (5 * o.scale + 1);
		return o;
	default:
		o.whole = true;
		return o;
	}
}

static const struct test_event *issue(unsigned features, const struct pf_tlb_req *req)
{
	test_port.events = test_port.lost = 0;
	pf_hw_tlb_issue(features, req);
	assert_int_equal(test_port.lost, 0);
	/* the one barrier comes first */
	assert_true(test_port.events >= 1);
	assert_int_equal(test_port.event[0].kind, TEST_EVENT_BARRIER);
	assert_int_equal(test_port.event[0].barrier,
		req->local ? PF_BARRIER_PUBLISH_LOCAL : PF_BARRIER_PUBLISH);
	return &test_port.event[1];
}

static void assert_one(
	unsigned features, const struct pf_tlb_req *req, enum pf_tlbi op, uint64_t operand)
{
	const struct test_event *e = issue(features, req);

	assert_int_equal(test_port.events, 2);
	assert_int_equal(e->kind, TEST_EVENT_TLBI);
	assert_int_equal(e->op, op);
	assert_int_equal(e->operand, operand);
	assert_int_equal(e->operand2, 0);
}

#define RANGE (PF_FEAT_TLB_RANGE | PF_FEAT_TTL)

static void test_tlbi_operands(void **state)
{
	const struct pf_tlb_req block = {.va = 0x10000000, .nr = 16, .asid = 0x42, .hint = true};
	struct pf_tlb_req req = block;

	(void)state;
	/* a 64K block: ASID 0x42, TG 1, SCALE 0, NUM 7, TTL 3, page 0x10000 */
	assert_one(RANGE, &req, PF_TLBI_RVALE1IS, 0x004243E000010000);
	req.local = true;
	assert_one(RANGE, &req, PF_TLBI_RVALE1, 0x004243E000010000);
	req.hint = false;
	assert_one(RANGE, &req, PF_TLBI_RVALE1, 0x0042438000010000);
	req.tables = true;
	assert_one(RANGE, &req, PF_TLBI_RVAE1, 0x0042438000010000);
	req.hint = true; /* no promise about leaves where tables changed */
	assert_one(RANGE, &req, PF_TLBI_RVAE1, 0x0042438000010000);
	req.local = false;
	assert_one(RANGE, &req, PF_TLBI_RVAE1IS, 0x0042438000010000);

	/* one page: by address; TTL is TG 01, level 3 */
	req = block;
	req.nr = 1;
	assert_one(RANGE, &req, PF_TLBI_VALE1IS, 0x0042700000010000);
	assert_one(PF_FEAT_TTL, &req, PF_TLBI_VALE1IS, 0x0042700000010000);
	assert_one(0, &req, PF_TLBI_VALE1IS, 0x0042000000010000);
	req.local = true;
	assert_one(RANGE, &req, PF_TLBI_VALE1, 0x0042700000010000);
	req.tables = true;
	assert_one(RANGE, &req, PF_TLBI_VAE1, 0x0042000000010000);
	req.local = false;
	assert_one(RANGE, &req, PF_TLBI_VAE1IS, 0x0042000000010000);

	/* one 2M block: by address without ranges, 512 pages with; Arm's levels 2 and 1 */
	req = (struct pf_tlb_req){.va = 0x40000000, .nr = 1, .asid = 1, .level = 1, .hint = true};
	assert_one(PF_FEAT_TTL, &req, PF_TLBI_VALE1IS, 0x0001600000040000);
	assert_one(RANGE, &req, PF_TLBI_RVALE1IS, 0x000153C000040000); /* SCALE 1, NUM 7 */
	req.level = 2;
	assert_one(PF_FEAT_TTL, &req, PF_TLBI_VALE1IS, 0x0001500000040000);

	/* whole ASIDs, and everything */
	req = (struct pf_tlb_req){.asid = 0xFFFF, .whole_asid = true};
	assert_one(RANGE, &req, PF_TLBI_ASIDE1IS, 0xFFFF000000000000);
	req.local = true;
	assert_one(0, &req, PF_TLBI_ASIDE1, 0xFFFF000000000000);
	req.global = true;
	assert_one(0, &req, PF_TLBI_VMALLE1, 0);
	req = (struct pf_tlb_req){.va = 0x1000, .nr = 1, .global = true};
	assert_one(RANGE, &req, PF_TLBI_VMALLE1IS, 0);
}

static void test_tlbi_limits(void **state)
{
	struct pf_tlb_req req = {.va = 0x40000000, .nr = 1 << 21, .asid = 7, .hint = true};

	(void)state;
	/* the largest that ranges cover: SCALE 3, NUM 31 */
	assert_one(RANGE, &req, PF_TLBI_RVALE1IS, 0x00077FE000040000);
	req.nr++;
	assert_one(RANGE, &req, PF_TLBI_ASIDE1IS, 0x0007000000000000);
	req.local = true;
	assert_one(RANGE, &req, PF_TLBI_ASIDE1, 0x0007000000000000);
	req.local = false;
	req.nr = UINT64_MAX; /* overflow-safe */
	assert_one(RANGE, &req, PF_TLBI_ASIDE1IS, 0x0007000000000000);
	assert_one(0, &req, PF_TLBI_ASIDE1IS, 0x0007000000000000);

	/* strides of 2M and 1G, on either side */
	req.level = 1;
	req.nr = 1 << 12;
	assert_one(RANGE, &req, PF_TLBI_RVALE1IS, 0x00077FC000040000);
	req.nr++;
	assert_one(RANGE, &req, PF_TLBI_ASIDE1IS, 0x0007000000000000);
	req.nr = (UINT64_C(1) << 55) + 1; /* would shift to 512 pages */
	assert_one(RANGE, &req, PF_TLBI_ASIDE1IS, 0x0007000000000000);
	req.level = 2;
	req.nr = 8;
	assert_one(RANGE, &req, PF_TLBI_RVALE1IS, 0x00077FA000040000);
	req.nr++;
	assert_one(RANGE, &req, PF_TLBI_ASIDE1IS, 0x0007000000000000);

	/* without ranges: as many strides as a table has, less one */
	for (unsigned level = 0; level <= 2; level++) {
		req = (struct pf_tlb_req){
			.va = 0x40000000, .nr = 511, .asid = 7, .level = level, .hint = true};
		issue(PF_FEAT_TTL, &req);
		assert_int_equal(test_port.events, 512);
		for (unsigned i = 0; i < 511; i++) {
			struct op o = decode(&test_port.event[i + 1]);

			assert_true(o.by_va && o.leaf && !o.local);
			assert_int_equal(o.asid, 7);
			assert_int_equal(o.ttl, 4 | (3 - level));
			assert_int_equal(o.page, 0x40000 + ((uint64_t)i << (9 * level)));
		}
		req.nr = 512;
		assert_one(PF_FEAT_TTL, &req, PF_TLBI_ASIDE1IS, 0x0007000000000000);
	}

	/* nothing to forget: published, and no operation */
	req.nr = 0;
	issue(RANGE, &req);
	assert_int_equal(test_port.events, 1);
}

/* The operations of a request that ranges cover tile it, without gap, overlap or excess. */
static void assert_tiles(pf_va_t va, uint64_t pages)
{
	const struct pf_tlb_req req = {.va = va, .nr = pages, .asid = 9, .hint = true};
	const struct test_event *e = issue(RANGE, &req);
	uint64_t at = va >> 12;
	unsigned scale = 4;

	for (unsigned i = 1; i < test_port.events; i++, e++) {
		struct op o = decode(e);

		if (o.page != at || !o.leaf || o.local || o.whole || o.asid != 9)
			fail_msg("%llu pages: operation %u is %x %llx", (unsigned long long)pages,
				i, e->op, (unsigned long long)e->operand);
		if (o.range && (o.ttl != 3 || o.scale >= scale))
			fail_msg("%llu pages: scale %u", (unsigned long long)pages, o.scale);
		if (!o.range && (o.ttl != 7 || i + 1 != test_port.events))
			fail_msg("%llu pages: single", (unsigned long long)pages);
		scale = o.scale;
		at += o.pages;
	}
	if (at != (va >> 12) + pages)
		fail_msg("%llu pages: ends at page %llx", (unsigned long long)pages,
			(unsigned long long)at);
	assert_true(test_port.events <= 6);
}

static void test_tlbi_sweep(void **state)
{
	(void)state;
	for (uint64_t pages = 1; pages <= 1 << 21; pages++)
		assert_tiles(0x7f0000000000, pages);
	/* up to the last page of the address space */
	for (uint64_t pages = 1; pages <= 1 << 21; pages += pages / 7 + 1)
		assert_tiles((UINT64_C(1) << 48) - (pages << 12), pages);
}

static void test_tlb_wait(void **state)
{
	(void)state;
	test_port.events = 0;
	pf_hw_tlb_wait(false);
	pf_hw_tlb_wait(true);
	assert_int_equal(test_port.events, 2);
	assert_int_equal(test_port.event[0].kind, TEST_EVENT_BARRIER);
	assert_int_equal(test_port.event[0].barrier, PF_BARRIER_COMPLETE);
	assert_int_equal(test_port.event[1].kind, TEST_EVENT_BARRIER);
	assert_int_equal(test_port.event[1].barrier, PF_BARRIER_COMPLETE_LOCAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_dirty),
		cmocka_unit_test(test_protnone_and_back),
		cmocka_unit_test(test_modify),
		cmocka_unit_test(test_advance_and_cont),
		cmocka_unit_test(test_settled),
		cmocka_unit_test(test_needs_flush),
		cmocka_unit_test(test_soft),
		cmocka_unit_test(test_tlbi_operands),
		cmocka_unit_test(test_tlbi_limits),
		cmocka_unit_test(test_tlbi_sweep),
		cmocka_unit_test(test_tlb_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
