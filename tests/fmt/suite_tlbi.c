/* SPDX-License-Identifier: MIT */
/*
 * Contract suite: TLB maintenance. Operations are taken apart here by what lib/port/port.h says of
 * them (for arm64: Arm ARM C5.5, TLBI VAE1* and RVAE1*; D8.14), and their union is compared
 * with the request.
 */
#include <stdlib.h>

#include "suite.h"

#define MANY     100000u
#define NO_LEVEL 99u

/* One operation, decoded. Pages count PF_PAGE_SIZE. */
struct op {
	bool whole_asid, all; /* every address; every ASID */
	bool local, leaf_only, range;
	uint64_t page, pages;
	unsigned level; /* hint, our numbering, or NO_LEVEL */
	unsigned asid;
};

static unsigned arm64_granule(void)
{
	return suite_x->page_shift == 12 ? 1 : suite_x->page_shift == 14 ? 2 : 3;
}

static void decode_arm64_va(struct op *op, uint64_t v, unsigned stride_shift)
{
	unsigned ttl = v >> 44 & 15;
	uint64_t va = (v & PF_MASK(43, 0)) << 12;

	op->asid = (unsigned)(v >> 48);
	op->level = NO_LEVEL;
	if (ttl) {
		CHECK(ttl >> 2 == arm64_granule(), "TTL %u is of another granule", ttl);
		CHECK(ttl & 3, "TTL %u: level 0 has no leaves here", ttl);
		op->level = 3 - (ttl & 3);
	}
	CHECK(va >> suite_x->va_bits == 0, "operand 0x%llx is no user address",
		(unsigned long long)v);
	/* one operation drops the one translation that its address lies in */
	op->page = va >> stride_shift << (stride_shift - suite_x->page_shift);
	op->pages = UINT64_C(1) << (stride_shift - suite_x->page_shift);
}

static void decode_arm64_range(struct op *op, uint64_t v)
{
	unsigned scale = v >> 44 & 3, num = v >> 39 & 31, ttl = v >> 37 & 3;

	CHECK((v >> 46 & 3) == arm64_granule(), "range operand 0x%llx: TG", (unsigned long long)v);
	op->asid = (unsigned)(v >> 48);
	op->level = ttl ? 3 - ttl : NO_LEVEL;
	op->range = true;
	op->page = v & PF_MASK(36, 0);
	op->pages = (uint64_t)(num + 1) << (5 * scale + 1);
}

static void decode_fake(struct op *op, uint64_t v, uint64_t w)
{
	CHECK(!(w & PF_MASK(63, 43)), "operand2 0x%llx has undefined bits", (unsigned long long)w);
	op->asid = (unsigned)(v >> 48);
	op->page = v & PF_MASK(47, 0);
	op->pages = (w & PF_MASK(31, 0)) + 1;
	op->range = true;
	op->level = w >> 32 & 0xff;
	CHECK(op->level == 7 || op->level < suite_x->levels, "level %u", op->level);
	if (op->level == 7)
		op->level = NO_LEVEL;
	op->leaf_only = w >> 40 & 1;
	op->whole_asid = w >> 41 & 1;
	op->local = w >> 42 & 1;
}

static struct op decode(const struct test_event *e, unsigned stride_shift)
{
	struct op op = {.level = NO_LEVEL};

	CHECK(suite_x->arm64_tlbi == (e->op != PF_TLBI_FAKE), "operation %d of another machine",
		e->op);
	switch (e->op) {
	case PF_TLBI_VAE1:
	case PF_TLBI_VALE1:
	case PF_TLBI_RVAE1:
	case PF_TLBI_RVALE1:
	case PF_TLBI_ASIDE1:
	case PF_TLBI_VMALLE1:
		op.local = true;
		break;
	default:
		break;
	}
	switch (e->op) {
	case PF_TLBI_VALE1IS:
	case PF_TLBI_VALE1:
		op.leaf_only = true;
		/* fall through */
	case PF_TLBI_VAE1IS:
	case PF_TLBI_VAE1:
		decode_arm64_va(&op, e->operand, stride_shift);
		break;
	case PF_TLBI_RVALE1IS:
	case PF_TLBI_RVALE1:
		op.leaf_only = true;
		/* fall through */
	case PF_TLBI_RVAE1IS:
	case PF_TLBI_RVAE1:
		decode_arm64_range(&op, e->operand);
		break;
	case PF_TLBI_ASIDE1IS:
	case PF_TLBI_ASIDE1:
		op.whole_asid = true;
		op.asid = (unsigned)(e->operand >> 48);
		CHECK(!(e->operand & PF_MASK(47, 0)), "ASID operand 0x%llx",
			(unsigned long long)e->operand);
		break;
	case PF_TLBI_VMALLE1IS:
	case PF_TLBI_VMALLE1:
		op.whole_asid = op.all = true;
		break;
	case PF_TLBI_FAKE:
		decode_fake(&op, e->operand, e->operand2);
	}
	return op;
}

static const char *req_text(const struct pf_tlb_req *r)
{
	static char buf[200];

	snprintf(buf, sizeof(buf), "va 0x%llx nr %llu level %u%s%s%s%s%s asid %u",
		(unsigned long long)r->va, (unsigned long long)r->nr, r->level,
		r->hint ? " hint" : "", r->tables ? " tables" : "", r->local ? " local" : "",
		r->whole_asid ? " whole_asid" : "", r->global ? " global" : "", r->asid);
	return buf;
}

static int by_page(const void *a, const void *b)
{
	const struct op *x = a, *y = b;

	return x->page < y->page ? -1 : x->page > y->page;
}

/* May this request be answered by forgetting more than its pages? Where one operation no longer
 * can. */
static bool may_widen(const struct pf_tlb_req *r, unsigned features, uint64_t pages)
{
	if (!suite_x->arm64_tlbi) /* global translations belong to no ASID: by address only */
		return !r->global && r->whole_asid;
	if (r->whole_asid || r->global)
		return true;
	if (features & PF_FEAT_TLB_RANGE)
		return pages > 2097152; /* NUM 31, SCALE 3 */
	return r->nr >= 1u << suite_x->level_bits;
}

static struct op ops[TEST_PORT_EVENTS];

static void check_op(const struct op *op, const struct pf_tlb_req *r, unsigned features)
{
	CHECK(op->local == r->local, "scope: %s", req_text(r));
	/* a fake operation names one ASID always; for arm64, global entries die by VMALLE1 only */
	CHECK(op->all == (r->global && suite_x->arm64_tlbi), "all ASIDs: %s", req_text(r));
	if (!op->all && !r->global)
		CHECK(op->asid == r->asid, "ASID %u: %s", op->asid, req_text(r));
	if (r->tables)
		CHECK(!op->leaf_only, "tables kept: %s", req_text(r));
	/* a hint is the level of leaves: walk caches are of other levels, and may then survive */
	if (op->level != NO_LEVEL && !op->whole_asid)
		CHECK(r->hint && !r->tables && op->level == r->level, "hint %u: %s", op->level,
			req_text(r));
	if (suite_x->arm64_tlbi) {
		CHECK(!op->range || (features & PF_FEAT_TLB_RANGE), "no range feature: %s",
			req_text(r));
		/* the field of range operations comes with them, not with FEAT_TTL (C5.5, RVAE1*)
		 */
		CHECK(op->level == NO_LEVEL || op->range || (features & PF_FEAT_TTL),
			"no TTL feature: %s", req_text(r));
	}
}

static void check_union(unsigned nr, uint64_t page, uint64_t pages, const struct pf_tlb_req *r)
{
	uint64_t end = page; /* page + pages cannot overflow: pages, not bytes */

	qsort(ops, nr, sizeof(ops[0]), by_page);
	CHECK(ops[0].page == page, "first operation at page 0x%llx: %s",
		(unsigned long long)ops[0].page, req_text(r));
	for (unsigned i = 0; i < nr; i++) {
		CHECK(ops[i].page <= end, "pages 0x%llx..0x%llx are missed: %s",
			(unsigned long long)end, (unsigned long long)ops[i].page, req_text(r));
		end = pf_max(end, ops[i].page + ops[i].pages);
	}
	CHECK(end == page + pages, "operations end at page 0x%llx: %s", (unsigned long long)end,
		req_text(r));
}

static void check_request(unsigned features, const struct pf_tlb_req *r)
{
	unsigned stride_shift = suite_x->page_shift + leaf_shift(r->level);
	uint64_t page = r->va >> suite_x->page_shift, pages = r->nr << leaf_shift(r->level);
	enum pf_barrier first = r->local ? PF_BARRIER_PUBLISH_LOCAL : PF_BARRIER_PUBLISH;
	unsigned nr = 0;
	bool wide = false;

	test_port.events = 0;
	pf_hw_tlb_issue(features, r);
	assert_int_equal(test_port.lost, 0);
	CHECK(test_port.events >= 2, "nothing issued: %s", req_text(r));
	/* tables must be visible to walkers before anything is forgotten; then only operations */
	CHECK(test_port.event[0].kind == TEST_EVENT_BARRIER && test_port.event[0].barrier == first,
		"not published first: %s", req_text(r));
	for (unsigned i = 1; i < test_port.events; i++) {
		CHECK(test_port.event[i].kind == TEST_EVENT_TLBI, "barrier among operations: %s",
			req_text(r));
		ops[nr] = decode(&test_port.event[i], stride_shift);
		check_op(&ops[nr], r, features);
		wide |= ops[nr++].whole_asid;
	}
	if (r->whole_asid && !wide) {
		/* address by address is right for global translations alone */
		CHECK(r->global, "not the whole ASID: %s", req_text(r));
		page = 0;
		pages = UINT64_C(1) << (suite_x->va_bits - suite_x->page_shift);
	}
	if (wide) {
		CHECK(may_widen(r, features, pages), "wider than asked: %s", req_text(r));
		CHECK(nr == 1, "%u operations where one does: %s", nr, req_text(r));
		return;
	}
	/* 4 scales and 31 numbers: a range is at most 4 operations and a single page over */
	if (features & PF_FEAT_TLB_RANGE && suite_x->arm64_tlbi)
		CHECK(nr <= 20, "%u operations: %s", nr, req_text(r));
	check_union(nr, page, pages, r);
}

static struct pf_tlb_req rnd_request(void)
{
	unsigned level = (unsigned)rnd_below(suite_x->levels);
	uint64_t total = UINT64_C(1)
			 << (suite_x->va_bits - suite_x->page_shift - leaf_shift(level));
	uint64_t nr, at;

	switch (rnd_below(8)) {
	case 0:
		nr = 1;
		break;
	case 1:
		nr = 1 + rnd_below(600);
		break;
	case 2: /* near the limits of one operation and of the fall-back */
		nr = (UINT64_C(1) << rnd_below(34)) + rnd_below(3) - 1;
		break;
	case 3:
		nr = 1 + (rnd() >> (24 + rnd_below(40)));
		break;
	default:
		nr = 1 + rnd_below(40);
	}
	nr = nr ? nr : 1;
	nr = pf_min(nr, total);
	at = rnd_below(total - nr + 1);
	if (rnd_one_in(4))
		at = total - nr; /* up to the last page of the address space */
	return (struct pf_tlb_req){
		.va = at << (suite_x->page_shift + leaf_shift(level)),
		.nr = nr,
		.level = (uint8_t)level,
		.hint = is_leaf_level(level) && (rnd() & 1),
		.tables = rnd_one_in(3),
		.local = rnd() & 1,
		.whole_asid = rnd_one_in(50),
		.asid = (uint16_t)rnd(),
		.global = rnd_one_in(50),
	};
}

static void requests_are_covered_exactly(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES(MANY); i++) {
		struct pf_tlb_req r = rnd_request();

		check_request((unsigned)rnd() & 0x7f, &r);
	}
}

/* Every number of pages up to where single operations and small scales have all been used. */
static void every_small_number_of_pages(void **state)
{
	uint64_t last = UINT64_C(1) << (suite_x->va_bits - suite_x->page_shift);

	(void)state;
	for (unsigned with = 0; with < 2; with++) {
		for (uint64_t nr = 1; nr <= (with ? 5000 : 600); nr++) {
			struct pf_tlb_req r = {.nr = nr, .asid = 7, .hint = nr & 1};

			r.va = (last - nr) << suite_x->page_shift;
			check_request(with ? PF_FEAT_TLB_RANGE | PF_FEAT_TTL : 0, &r);
			r.va = 0;
			check_request(with ? PF_FEAT_TLB_RANGE | PF_FEAT_TTL : PF_FEAT_TTL, &r);
		}
	}
}

static void whole_address_space(void **state)
{
	(void)state;
	for (unsigned level = 0; level < suite_x->levels; level++) {
		struct pf_tlb_req r = {
			.nr = UINT64_C(1)
			      << (suite_x->va_bits - suite_x->page_shift - leaf_shift(level)),
			.level = (uint8_t)level,
			.asid = 0xffff,
		};

		for (unsigned f = 0; f < 0x80; f++)
			check_request(f, &r);
	}
}

/* A hint that hardware can use is given: without it a TLB must search every level. */
static void hints_are_given(void **state)
{
	(void)state;
	for_each_leaf_level(level)
	{
		struct pf_tlb_req r = {.nr = 2, .level = (uint8_t)level, .hint = true};

		for (unsigned with = 0; with < 2; with++) {
			test_port.events = 0;
			pf_hw_tlb_issue(PF_FEAT_TTL | (with ? PF_FEAT_TLB_RANGE : 0), &r);
			for (unsigned i = 1; i < test_port.events; i++) {
				struct op op = decode(&test_port.event[i],
					suite_x->page_shift + leaf_shift(level));

				CHECK(op.level == level && op.leaf_only, "level %u hint %u", level,
					op.level);
			}
		}
	}
}

static void wait_completes(void **state)
{
	(void)state;
	for (unsigned local = 0; local < 2; local++) {
		test_port.events = 0;
		pf_hw_tlb_wait(local);
		assert_int_equal(test_port.events, 1);
		assert_int_equal(test_port.event[0].kind, TEST_EVENT_BARRIER);
		assert_int_equal(test_port.event[0].barrier,
			local ? PF_BARRIER_COMPLETE_LOCAL : PF_BARRIER_COMPLETE);
	}
}

const struct CMUnitTest suite_tlbi[] = {
	cmocka_unit_test(requests_are_covered_exactly),
	cmocka_unit_test(every_small_number_of_pages),
	cmocka_unit_test(whole_address_space),
	cmocka_unit_test(hints_are_given),
	cmocka_unit_test(wait_completes),
};
const size_t suite_tlbi_nr = PF_ARRAY_SIZE(suite_tlbi);
