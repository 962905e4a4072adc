/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rec_tlbi.h"

/* Arm ARM C5.5: TLBI by VA, by range, by ASID. */
static struct tlbi decode_arm64(const struct rec *r)
{
	struct tlbi t = {.level = -1, .asid = (uint16_t)(r->operand >> 48)};
	unsigned ttl;

	t.local = r->op >= PF_TLBI_VAE1;
	switch (r->op) {
	case PF_TLBI_VAE1IS:
	case PF_TLBI_VAE1:
	case PF_TLBI_VALE1IS:
	case PF_TLBI_VALE1:
		t.va = (r->operand & PF_MASK(43, 0)) << 12;
		t.pages = 1;
		ttl = r->operand >> 44 & 15;
		assert_true(!ttl || ttl >> 2 == 1); /* TG of 4K */
		if (ttl)
			t.level = 3 - (int)(ttl & 3);
		t.tables = r->op == PF_TLBI_VAE1IS || r->op == PF_TLBI_VAE1;
		break;
	case PF_TLBI_RVAE1IS:
	case PF_TLBI_RVAE1:
	case PF_TLBI_RVALE1IS:
	case PF_TLBI_RVALE1:
		assert_int_equal(r->operand >> 46 & 3, 1);
		t.va = (r->operand & PF_MASK(36, 0)) << 12;
		t.pages = ((r->operand >> 39 & 31) + 1) << (5 * (r->operand >> 44 & 3) + 1);
		ttl = r->operand >> 37 & 3;
		if (ttl)
			t.level = 3 - (int)ttl;
		t.tables = r->op == PF_TLBI_RVAE1IS || r->op == PF_TLBI_RVAE1;
		break;
	case PF_TLBI_ASIDE1IS:
	case PF_TLBI_ASIDE1:
		t.tables = true;
		break;
	default:
		t.tables = t.any_asid = true;
		break;
	}
	return t;
}

/* port/port.h, PF_TLBI_FAKE */
static struct tlbi decode_fake(const struct rec *r)
{
	struct tlbi t = {.asid = (uint16_t)(r->operand >> 48)};
	unsigned level = r->operand2 >> 32 & 7;

	t.level = level == 7 ? -1 : (int)level;
	t.tables = !(r->operand2 >> 40 & 1);
	t.local = r->operand2 >> 42 & 1;
	if (r->operand2 >> 41 & 1)
		return t;
	t.va = (r->operand & PF_MASK(47, 0)) << 12;
	t.pages = (r->operand2 & PF_MASK(31, 0)) + 1;
	return t;
}

struct tlbi tlbi_decode(const struct rec *r)
{
	return r->op == PF_TLBI_FAKE ? decode_fake(r) : decode_arm64(r);
}

bool is_range_op(const struct rec *r)
{
	switch (r->op) {
	case PF_TLBI_RVAE1IS:
	case PF_TLBI_RVALE1IS:
	case PF_TLBI_RVAE1:
	case PF_TLBI_RVALE1:
		return true;
	default:
		return false;
	}
}
