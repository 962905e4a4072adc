/* SPDX-License-Identifier: MIT */
/*
 * The machine's decoders against words written out by hand from the manual and docs/FAKE.md.
 */
#include <stdio.h>
#include <string.h>

#include "machine/mmu.h"
#include "machine/tlbi.h"
#include "rig.h"

#define HW_AD (PF_FEAT_HAF | PF_FEAT_HD)

/* What a word says, as text: kind, frame, letters. */
static const char *say(
	const struct mmu_format *f, uint64_t word, unsigned level, unsigned idx, uint32_t features)
{
	static char s[128];
	struct mmu_entry e;

	f->decode(word, level, idx, features, &e);
	snprintf(s, sizeof(s), "%s%s%s%s%s%s %llx %s%s%s%s%s%s%s%s%s%s mt=%x",
		e.empty ? "empty" : "", e.table ? "table" : "", e.leaf ? "leaf" : "",
		e.inactive ? "inactive" : "", e.reserved ? " reserved" : "",
		!e.empty && !e.valid && !e.inactive && !e.reserved ? "other" : "",
		(unsigned long long)e.pa, e.r ? "r" : "", e.w ? "w" : "", e.dbm ? "d" : "",
		e.wperm ? "W" : "", e.x ? "x" : "", e.user ? "u" : "", e.global ? "g" : "",
		e.cont ? "c" : "", e.accessed ? "A" : "", e.dirty ? "D" : "", e.memtype);
	return s;
}

#define SAYS(f, word, level, idx, features, expected)                                              \
	assert_string_equal(say(&(f), (word), (level), (idx), (features)), (expected))

static void arm64(void **state)
{
	const struct mmu_format *f = &mmu_arm64_4k;

	(void)state;
	assert_int_equal(f->levels * f->level_bits + f->page_shift, f->va_bits);
	SAYS(mmu_arm64_4k, 0, 0, 0, HW_AD, "empty 0  mt=0");
	/* VALID, page, AttrIndx 0, USER, SH 3, AF, nG, DBM, PXN, UXN; AP[2] clear: dirty and writable */
	SAYS(mmu_arm64_4k, 0x0068000012345f43, 0, 5, HW_AD, "leaf 12345000 rwWuAD mt=18");
	/* the same with AP[2]: writable-clean; without hardware D it cannot be written */
	SAYS(mmu_arm64_4k, 0x0068000012345fc3, 0, 5, HW_AD, "leaf 12345000 rdWuA mt=18");
	SAYS(mmu_arm64_4k, 0x0068000012345fc3, 0, 5, PF_FEAT_HAF, "leaf 12345000 rWuA mt=18");
	/* read-only, software dirty; read-only and clean; no DBM and AP[2] clear: writable and nothing shows D */
	SAYS(mmu_arm64_4k, 0x00e0000012345fc3, 0, 5, HW_AD, "leaf 12345000 ruAD mt=18");
	SAYS(mmu_arm64_4k, 0x0060000012345fc3, 0, 5, HW_AD, "leaf 12345000 ruA mt=18");
	SAYS(mmu_arm64_4k, 0x0060000012345f43, 0, 5, HW_AD, "leaf 12345000 rwWuA mt=18");
	/* executable; execute-only; contiguous; global; no AF; AttrIndx 4, SH 2 */
	SAYS(mmu_arm64_4k, 0x0020000012345fc3, 0, 5, HW_AD, "leaf 12345000 rxuA mt=18");
	SAYS(mmu_arm64_4k, 0x0020000012345f83, 0, 5, HW_AD, "leaf 12345000 rxA mt=18");
	SAYS(mmu_arm64_4k, 0x0070000012345fc3, 0, 5, HW_AD, "leaf 12345000 rucA mt=18");
	SAYS(mmu_arm64_4k, 0x00600000123457c3, 0, 5, HW_AD, "leaf 12345000 rugA mt=18");
	SAYS(mmu_arm64_4k, 0x0060000012345bc3, 0, 5, HW_AD, "leaf 12345000 ru mt=18");
	SAYS(mmu_arm64_4k, 0x0060000012345ed3, 0, 5, HW_AD, "leaf 12345000 ruA mt=14");
	/* the last bit of the frame number, and none of bits 48, 49 */
	SAYS(mmu_arm64_4k, 0x0060800000000fc3, 0, 0, HW_AD, "leaf 800000000000 ruA mt=18");
	SAYS(mmu_arm64_4k, 0x0063000000000fc3, 0, 0, HW_AD, "leaf 0 ruA mt=18");
	/* levels: 0b01 is a block at 1 and 2, reserved at 0 and 3; 0b11 above level 0 is a table */
	SAYS(mmu_arm64_4k, 0x0060000012345fc1, 0, 0, HW_AD, " reserved 0  mt=0");
	SAYS(mmu_arm64_4k, 0x0060000012200fc1, 1, 0, HW_AD, "leaf 12200000 ruA mt=18");
	SAYS(mmu_arm64_4k, 0x0060000012210fc1, 1, 0, HW_AD, "leaf 12200000 ruA mt=18"); /* nT */
	SAYS(mmu_arm64_4k, 0x0060000012300fc1, 1, 0, HW_AD, "leaf reserved 12300000 ruA mt=18");
	SAYS(mmu_arm64_4k, 0x0060000040000fc1, 2, 0, HW_AD, "leaf 40000000 ruA mt=18");
	SAYS(mmu_arm64_4k, 0x0060000040000fc1, 3, 0, HW_AD, " reserved 0  mt=0");
	SAYS(mmu_arm64_4k, 0x0000000012345003, 1, 0, HW_AD, "table 12345000  mt=0");
	SAYS(mmu_arm64_4k, 0x0000000012345003, 3, 0, HW_AD, "table 12345000  mt=0");
	/* not valid: PROT_NONE names its frame; a swap entry does not, whatever bits 52 and 10 are */
	SAYS(mmu_arm64_4k, 0x00e0000012345f82, 0, 0, HW_AD, "inactive 12345000 D mt=0");
	SAYS(mmu_arm64_4k, 0x00f0000012345f82, 0, 0, HW_AD, "inactive 12345000 cD mt=0");
	SAYS(mmu_arm64_4k, 0x0010000012345480, 0, 0, HW_AD, "other 0  mt=0");
	assert_int_equal(f->set_a(0x0060000012345bc3), 0x0060000012345fc3);
	assert_int_equal(f->set_d(0x0068000012345fc3), 0x0068000012345f43);
}

static void fake_inv(void **state)
{
	(void)state;
	SAYS(mmu_fake_inv, 0x1, 0, 0, HW_AD, "empty 0  mt=0");
	SAYS(mmu_fake_inv, 0x1234500005cull, 0, 0, HW_AD, "leaf 12345000 rdWxuA mt=0");
	SAYS(mmu_fake_inv, 0x123450000dcull, 0, 0, HW_AD, "leaf 12345000 rwWxuAD mt=0");
	SAYS(mmu_fake_inv, 0x1234500005cull, 0, 0, 0, "leaf 12345000 rWxuA mt=0");
	SAYS(mmu_fake_inv, 0x12345005104ull, 0, 0, HW_AD, "leaf 12345000 ruc mt=5");
	SAYS(mmu_fake_inv, 0x12345000034ull, 0, 0, HW_AD, "leaf 12345000 rg mt=0");
	SAYS(mmu_fake_inv, 0x12345000002ull, 1, 0, HW_AD, "table 12345000  mt=0");
	SAYS(mmu_fake_inv, 0x12345000002ull, 0, 0, HW_AD, " reserved 0  mt=0");
	SAYS(mmu_fake_inv, 0x12380000004ull, 1, 0, HW_AD, "leaf 12380000 ru mt=0");
	SAYS(mmu_fake_inv, 0x12381000004ull, 1, 0, HW_AD, "leaf reserved 12381000 ru mt=0");
	SAYS(mmu_fake_inv, 0x12380000104ull, 1, 0, HW_AD, "leaf reserved 12380000 ruc mt=0");
	SAYS(mmu_fake_inv, 0x12380000004ull, 2, 0, HW_AD, " reserved 0  mt=0");
	SAYS(mmu_fake_inv, 0x12345000083ull, 0, 0, HW_AD, "inactive 12345000 D mt=0");
	SAYS(mmu_fake_inv, 0x12345000103ull, 0, 0, HW_AD, "inactive 12345000 c mt=0");
	SAYS(mmu_fake_inv, 0x12345000005ull, 0, 0, HW_AD, "other 0  mt=0"); /* swap */
	assert_int_equal(mmu_fake_inv.set_a(4), 0x44);
	assert_int_equal(mmu_fake_inv.set_d(4), 0x84);
}

#define NZ(tag, frame, low) ((uint64_t)(tag) << 61 | (uint64_t)(frame) << 21 | (low))

static void fake_nz(void **state)
{
	(void)state;
	SAYS(mmu_fake_nz, 0xe000000000000000, 0, 0, 0, "empty 0  mt=0");
	SAYS(mmu_fake_nz, 0xe000000000000001, 0, 0, 0, " reserved 0  mt=0");
	SAYS(mmu_fake_nz, NZ(0, 0x12345, 0x33), 0, 0, 0, "leaf 12345000 rwWuAD mt=0");
	SAYS(mmu_fake_nz, NZ(0, 0x12345, 0x13), 0, 0, 0, "leaf 12345000 rWuA mt=0");
	SAYS(mmu_fake_nz, NZ(0, 0x12345, 0xe1d), 0, 0, 0, "leaf 12345000 rgA mt=7");
	SAYS(mmu_fake_nz, NZ(1, 0x12345, 0), 1, 0, 0, "table 12345000  mt=0");
	SAYS(mmu_fake_nz, NZ(1, 0x12345, 0), 0, 0, 0, " reserved 0  mt=0");
	/* a block: every slot holds the base's frame with bit 2 set; the slot adds itself */
	SAYS(mmu_fake_nz, NZ(2, 0x12344, 0x11), 0, 8, 0, "leaf 12340000 rucA mt=0");
	SAYS(mmu_fake_nz, NZ(2, 0x12344, 0x11), 0, 13, 0, "leaf 12345000 rucA mt=0");
	SAYS(mmu_fake_nz, NZ(2, 0x12340, 0x11), 0, 13, 0, "leaf reserved 12345000 rucA mt=0");
	SAYS(mmu_fake_nz, NZ(2, 0x12346, 0x11), 0, 13, 0, "leaf reserved 12345000 rucA mt=0");
	SAYS(mmu_fake_nz, NZ(2, 0x12000 | 4 << 9, 1), 1, 3, 0, "leaf 12600000 ruc mt=0");
	SAYS(mmu_fake_nz, NZ(2, 0x12000 | 4, 1), 1, 3, 0, "leaf reserved 12600000 ruc mt=0");
	SAYS(mmu_fake_nz, NZ(2, 4, 1), 2, 3, 0, " reserved 0  mt=0");
	SAYS(mmu_fake_nz, NZ(0, 0x40000, 1), 2, 0, 0, "leaf 40000000 ru mt=0");
	SAYS(mmu_fake_nz, NZ(0, 0x40200, 1), 2, 0, 0, "leaf reserved 40200000 ru mt=0");
	SAYS(mmu_fake_nz, NZ(0, 0x40000, 1), 3, 0, 0, " reserved 0  mt=0");
	SAYS(mmu_fake_nz, NZ(3, 0x12345, 0x20), 0, 0, 0, "inactive 12345000 D mt=0");
	SAYS(mmu_fake_nz, NZ(4, 0x12345, 0x400), 0, 0, 0, "other 0  mt=0");
	SAYS(mmu_fake_nz, NZ(5, 0x12345, 0), 0, 0, 0, " reserved 0  mt=0");
}

#define TWO(low, high) ((uint64_t)(high) << 32 | (low))

static void fake_2w(void **state)
{
	(void)state;
	SAYS(mmu_fake_2w, 0, 0, 0, HW_AD, "empty 0  mt=0");
	SAYS(mmu_fake_2w, TWO(0, 0x1234), 0, 0, HW_AD,
		"empty 0  mt=0"); /* between its two stores */
	SAYS(mmu_fake_2w, TWO(0x1234502b, 0), 0, 0, HW_AD, "leaf 12345000 rdWuA mt=0");
	SAYS(mmu_fake_2w, TWO(0x1234506f, 0x8001), 0, 0, HW_AD, "leaf 800112345000 rwWxuAD mt=0");
	SAYS(mmu_fake_2w, TWO(0x12345889, 0), 0, 0, HW_AD, "leaf 12345000 ruc mt=1");
	SAYS(mmu_fake_2w, TWO(0x12345009, 0x10000), 0, 0, HW_AD, "leaf reserved 12345000 ru mt=0");
	SAYS(mmu_fake_2w, TWO(0x12345011, 0x2), 1, 0, HW_AD, "table 212345000  mt=0");
	SAYS(mmu_fake_2w, TWO(0x12345011, 0x2), 0, 0, HW_AD, " reserved 0  mt=0");
	SAYS(mmu_fake_2w, TWO(0x12800009, 0), 1, 0, HW_AD, "leaf 12800000 ru mt=0");
	SAYS(mmu_fake_2w, TWO(0x12400009, 0), 1, 0, HW_AD, "leaf reserved 12400000 ru mt=0");
	SAYS(mmu_fake_2w, TWO(0x12800089, 0), 1, 0, HW_AD, "leaf reserved 12800000 ruc mt=0");
	SAYS(mmu_fake_2w, TWO(0x12800009, 0), 2, 0, HW_AD, " reserved 0  mt=0");
	SAYS(mmu_fake_2w, TWO(0x12345040, 0x10000), 0, 0, HW_AD, "inactive 12345000 D mt=0");
	SAYS(mmu_fake_2w, TWO(0x12345000, 0x20000), 0, 0, HW_AD, "other 0  mt=0");
}

/* ---- operations ---- */

#define ALL_FEATURES (PF_FEAT_TLB_RANGE | PF_FEAT_TTL)

static const char *op(
	const struct mmu_format *f, uint32_t features, enum pf_tlbi o, uint64_t a, uint64_t b)
{
	static char s[160];
	struct tlbi_op t = tlbi_decode(f, features, o, a, b);

	if (t.bad)
		snprintf(s, sizeof(s), "bad: %s", t.bad);
	else
		snprintf(s, sizeof(s), "%s%s%s%s%sasid=%u va=%llx..%llx pages=%llu hint=%d",
			t.all ? "all " : "", t.whole ? "whole " : "", t.leaf_only ? "leaf " : "",
			t.local ? "local " : "", t.range ? "range " : "", t.asid,
			(unsigned long long)t.va, (unsigned long long)t.last,
			(unsigned long long)t.pages, t.hint);
	return s;
}

static void operations(void **state)
{
	const struct mmu_format *a = &mmu_arm64_4k, *i = &mmu_fake_inv;

	(void)state;
	assert_string_equal(op(a, ALL_FEATURES, PF_TLBI_VALE1IS, 0x0005700000012345, 0),
		"leaf asid=5 va=12345000..12345fff pages=1 hint=0");
	assert_string_equal(op(a, ALL_FEATURES, PF_TLBI_VAE1, 0x0005600000012345, 0),
		"local asid=5 va=12345000..12345fff pages=1 hint=1");
	assert_string_equal(op(a, 0, PF_TLBI_VAE1IS, 0x0005600000012345, 0),
		"asid=5 va=12345000..12345fff pages=1 hint=-1");
	assert_string_equal(op(a, ALL_FEATURES, PF_TLBI_VAE1IS, 0x0005400000012345, 0),
		"asid=5 va=12345000..12345fff pages=1 hint=-1");
	assert_string_equal(op(a, ALL_FEATURES, PF_TLBI_VAE1IS, 0x0005b00000012345, 0),
		"bad: its TTL names another granule");
	/* One folded block of 16 pages: NUM 7, SCALE 0, TTL 3 (what Linux 6.12 was seen to issue). */
	assert_string_equal(op(a, ALL_FEATURES, PF_TLBI_RVALE1IS,
				    UINT64_C(5) << 48 | UINT64_C(1) << 46 | UINT64_C(7) << 39 |
					    UINT64_C(3) << 37 | 0x12340,
				    0),
		"leaf range asid=5 va=12340000..1234ffff pages=16 hint=0");
	/* The largest: NUM 31, SCALE 3 is 2097152 pages. */
	assert_string_equal(op(a, ALL_FEATURES, PF_TLBI_RVAE1IS,
				    UINT64_C(5) << 48 | UINT64_C(1) << 46 | UINT64_C(3) << 44 |
					    UINT64_C(31) << 39,
				    0),
		"range asid=5 va=0..1ffffffff pages=2097152 hint=-1");
	assert_string_equal(op(a, ALL_FEATURES, PF_TLBI_RVAE1, UINT64_C(2) << 46, 0),
		"bad: its TG names another granule");
	assert_string_equal(op(a, 0, PF_TLBI_RVAE1IS, UINT64_C(1) << 46, 0),
		"bad: this CPU has no range operations");
	assert_string_equal(op(a, 0, PF_TLBI_ASIDE1IS, 0x0005000000000000, 0),
		"whole asid=5 va=0..ffffffffffffffff pages=0 hint=-1");
	assert_string_equal(op(a, 0, PF_TLBI_VMALLE1, 0, 0),
		"all local asid=0 va=0..ffffffffffffffff pages=0 hint=-1");
	assert_string_equal(
		op(a, 0, PF_TLBI_FAKE, 0, 0), "bad: it belongs to another architecture");
	assert_string_equal(
		op(i, 0, PF_TLBI_VAE1IS, 0, 0), "bad: it belongs to another architecture");
	assert_string_equal(op(i, 0, PF_TLBI_FAKE, 0x0005000000012345,
				    UINT64_C(3) | UINT64_C(1) << 32 | UINT64_C(1) << 40),
		"leaf range asid=5 va=12345000..12348fff pages=4 hint=1");
	assert_string_equal(
		op(i, 0, PF_TLBI_FAKE, 0x0005000000012345, UINT64_C(7) << 32 | UINT64_C(1) << 42),
		"local asid=5 va=12345000..12345fff pages=1 hint=-1");
	assert_string_equal(
		op(i, 0, PF_TLBI_FAKE, 0x0005000000000000, UINT64_C(7) << 32 | UINT64_C(1) << 41),
		"whole asid=5 va=0..ffffffffffffffff pages=0 hint=-1");
	assert_string_equal(op(i, 0, PF_TLBI_FAKE, 0, UINT64_C(4) << 32),
		"bad: its second operand is out of range");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arm64),
		cmocka_unit_test(fake_inv),
		cmocka_unit_test(fake_nz),
		cmocka_unit_test(fake_2w),
		cmocka_unit_test(operations),
	};

	return cmocka_run_group_tests_name("machine decoders", tests, NULL, NULL);
}
