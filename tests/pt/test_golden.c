/* SPDX-License-Identifier: MIT */
/*
 * What each operation costs on arm64-4k under policy `linux`, in order, beside what it costs Linux: the table of
 * docs/GOLDEN.md, measured and compared with the file. `--print` prints the table.
 *
 * The block is slots 16..31 of a table; the CPU has hardware A and D, ranges, level hints, and BBM level 0.
 */
#include "pt_test.h"

#define FEATURES (PF_FEAT_HAF | PF_FEAT_HD | PF_FEAT_TLB_RANGE | PF_FEAT_TTL)
#define B        16u
#define RW       (PF_PTE_R | PF_PTE_W)

static const struct pf_extent folio = {0x10000, 64};
static struct pf_pte_map *m = &tree.m;
/* The entries are such that hardware can change nothing of them any more. */
static bool settled;

static pf_pte_t entry(unsigned slot, uint64_t prot)
{
	return pf_pte_mk(folio.first + slot, prot | (settled ? PF_PTE_A | PF_PTE_D : 0));
}

/* The block, folded; A clear, or A and D set. */
static void block(uint64_t prot)
{
	pf_set_ptes(m, B, entry(B, prot), N, folio);
}

/* The same entries, not folded. */
static void pages(uint64_t prot)
{
	for (unsigned i = B; i < B + N; i++)
		pf_set_pte_at(m, i, entry(i, prot), PF_NO_EXTENT);
}

static void flush(unsigned slot, unsigned nr)
{
	pf_flush_tlb_range(&tree.pt, pf_pte_va(m, slot), nr);
}

static void flush_mm(void)
{
	struct pf_tlb_req req = {.whole_asid = true, .asid = tree.pt.asid};

	tree.pt.fmt->tlb_issue(&tree.pt, &req);
	tree.pt.fmt->tlb_wait(&tree.pt, &req);
}

/* ---- operations: what stands before, what is counted ---- */

static void nothing(void)
{
}

static void folded_rw(void)
{
	block(RW);
}

static void folded_r(void)
{
	block(PF_PTE_R);
}

static void single_rw(void)
{
	pages(RW);
}

static void single_r(void)
{
	pages(PF_PTE_R);
}

static void two_folded(void)
{
	pf_set_ptes(m, B, entry(B, RW), 2 * N, folio);
}

static void folded_none(void)
{
	block(RW);
	pf_modify_ptes(m, B, N, 0, 0, 0, folio);
}

/* A set, D clear: hardware may still set D. */
static void folded_young(void)
{
	pf_set_ptes(m, B, pf_pte_set(entry(B, RW), PF_PTE_A), N, folio);
}

static void set_batch(void)
{
	block(RW);
}

static void set_ascending(void)
{
	for (unsigned i = B; i < B + N; i++)
		pf_set_pte_at(m, i, entry(i, RW), folio);
}

static void set_one(void)
{
	pf_set_pte_at(m, B + 3, entry(B + 3, RW), folio);
}

static void clear_one(void)
{
	pf_ptep_get_and_clear(m, B + 2);
}

static void dontneed_one(void)
{
	clear_one();
	flush(B + 2, 1);
}

static void dontneed_four(void)
{
	pf_get_and_clear_ptes(m, B + 4, 4);
	flush(B + 4, 4);
}

static void dontneed_across(void)
{
	pf_get_and_clear_ptes(m, B + 8, N + 8);
	flush(B + 8, N + 8);
}

static void dontneed_all(void)
{
	pf_get_and_clear_ptes(m, B, N);
	flush(B, N);
}

static void wrprotect_one(void)
{
	pf_ptep_set_wrprotect(m, B + 5, PF_NO_EXTENT);
	flush(B + 5, 1);
}

static void fork_all(void)
{
	pf_wrprotect_ptes(m, B, N, PF_NO_EXTENT);
	/* the child's, in another table */
	pf_set_ptes(m, 10 * N, entry(B, PF_PTE_R), N, folio);
	flush_mm();
}

static void young_one(void)
{
	pf_ptep_test_and_clear_young(m, B + 7);
}

static void young_flush_one(void)
{
	pf_ptep_clear_flush_young(m, B + 7);
}

static void madv_free(void)
{
	pf_clear_young_dirty_ptes(m, B, N, PF_CYDP_CLEAR_YOUNG | PF_CYDP_CLEAR_DIRTY);
}

static void access_same(void)
{
	pf_ptep_set_access_flags(
		m, B + 1, pf_pte_set(entry(B + 1, RW), PF_PTE_A | PF_PTE_D), true, PF_NO_EXTENT);
}

static void access_write(void)
{
	pf_ptep_set_access_flags(
		m, B + 1, pf_pte_set(entry(B + 1, RW), PF_PTE_A | PF_PTE_D), true, PF_NO_EXTENT);
}

static void protect(unsigned slot, unsigned nr, uint64_t prot)
{
	if (pf_modify_ptes(m, slot, nr, prot, 0, 0, folio))
		flush(slot, nr);
}

static void protect_one_r(void)
{
	protect(B + 1, 1, PF_PTE_R);
}

static void protect_one_rw(void)
{
	protect(B + 1, 1, RW);
}

static void protect_all_r(void)
{
	protect(B, N, PF_PTE_R);
}

static void protect_all_rw(void)
{
	protect(B, N, RW);
}

static void protect_all_none(void)
{
	protect(B, N, 0);
}

static void move_all(void)
{
	bool live = false;

	assert_int_equal(pf_move_run(m, B, m, 10 * N, N, &live), N);
	assert_true(live);
	flush(B, N);
}

static void move_one(void)
{
	bool live = false;

	assert_int_equal(pf_move_run(m, B + 2, m, 10 * N + 2, 1, &live), 1);
	assert_true(live);
	flush(B + 2, 1);
}

static void cow(void)
{
	pf_ptep_clear_flush(m, B);
	pf_set_pte_at(m, B, pf_pte_mk(0x20000, RW | PF_PTE_A | PF_PTE_D), PF_NO_EXTENT);
}

/* ---- the table ---- */

struct cost {
	unsigned stores, xchgs, tlbis, barriers;
};

static const struct row {
	const char *what;
	void (*before)(void), (*op)(void);
	struct cost theirs; /* settled or not: Linux does not ask */
	const char *reason; /* where ours is more */
} rows[] = {
	{"map a new folio: 16 pages at once", nothing, set_batch, {16, 0, 0, 0}, NULL},
	{"map 16 pages one by one, upwards", nothing, set_ascending, {32, 16, 1, 2}, NULL},
	{"store one entry into a block", folded_rw, set_one, {17, 16, 1, 2}, NULL},
	{"clear one page of a block", folded_rw, clear_one, {16, 17, 1, 2}, NULL},
	{"MADV_DONTNEED, one page of a block", folded_rw, dontneed_one, {16, 17, 2, 4}, NULL},
	{"MADV_DONTNEED, one page of 16 single ones", single_rw, dontneed_one, {0, 1, 1, 2}, NULL},
	{"MADV_DONTNEED, 4 pages of a block", folded_rw, dontneed_four, {16, 20, 2, 4}, NULL},
	{"MADV_DONTNEED, half a block and the next", two_folded, dontneed_across, {16, 40, 2, 4},
		NULL},
	{"MADV_DONTNEED, a block", folded_rw, dontneed_all, {0, 16, 1, 2}, NULL},
	{"write-protect one page of a block", folded_rw, wrprotect_one, {16, 17, 2, 4}, NULL},
	{"fork, a block", folded_rw, fork_all, {16, 16, 1, 2}, NULL},
	{"fork, 16 single pages", single_rw, fork_all, {16, 16, 1, 2}, NULL},
	{"test and clear young, one page of a block", folded_young, young_one, {0, 16, 0, 0}, NULL},
	{"clear young and flush, one page of a block", folded_young, young_flush_one, {0, 16, 1, 1},
		NULL},
	{"MADV_FREE, a block: young and dirty cleared", folded_young, madv_free, {16, 0, 0, 0},
		"D leaves an entry by an atomic operation only, even to be dropped; Linux stores"},
	{"fault: A and D of a writable block", folded_rw, access_same, {0, 16, 1, 2}, NULL},
	{"fault: one page of a read-only block becomes writable", folded_r, access_write,
		{16, 17, 2, 4}, NULL},
	{"mprotect RW to R, one page of a block", folded_rw, protect_one_r, {17, 17, 2, 4}, NULL},
	{"mprotect R to RW, one of 16 single pages", single_r, protect_one_rw, {1, 1, 1, 2}, NULL},
	{"mprotect RW to R, a block", folded_rw, protect_all_r, {16, 16, 1, 2}, NULL},
	{"mprotect R to RW, a block", folded_r, protect_all_rw, {16, 16, 1, 2}, NULL},
	{"mprotect RW to NONE, a block", folded_rw, protect_all_none, {16, 16, 1, 2}, NULL},
	{"mprotect NONE to RW, 16 pages that were a block", folded_none, protect_all_rw,
		{16, 16, 0, 0},
		"an entry that is not valid is settled: it is emptied by a store, where Linux "
		"exchanges"},
	{"mremap, a block to an aligned address", folded_rw, move_all, {16, 16, 1, 2}, NULL},
	{"mremap, one page of a block", folded_rw, move_one, {17, 17, 2, 4}, NULL},
	{"copy on write, one page of a block", folded_r, cow, {17, 17, 2, 4}, NULL},
	{"copy on write, one of 16 single pages", single_r, cow, {1, 1, 1, 2}, NULL},
};

/* ---- the record as text ---- */

static const char *const barrier_name[] = {
	"DSB-ISHST", "DSB-ISH", "DSB-NSHST", "DSB-NSH", "DMB-ISHST"};
static const char *const op_name[] = {"VAE1IS", "VALE1IS", "RVAE1IS", "RVALE1IS", "ASIDE1IS",
	"VMALLE1IS", "VAE1", "VALE1", "RVAE1", "RVALE1", "ASIDE1", "VMALLE1"};

static struct cost cost;
static char text[512];

/* S16: 16 stores to consecutive slots; X16: as many exchanges; a TLBI with its pages and level. */
static void read_record(void)
{
	size_t n = 0;

	cost = (struct cost){0};
	text[0] = 0;
	for (size_t r = 0; r < recorder.nr; r++) {
		const struct rec *x = &recorder.rec[r];
		bool store = x->kind == REC_STORE;
		unsigned run = 1;

		assert_true(n < sizeof(text) - 64);
		if (x->kind == REC_BARRIER) {
			cost.barriers++;
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, " %s", barrier_name[x->barrier]);
			continue;
		}
		if (x->kind == REC_TLBI) {
			struct tlbi t = tlbi_decode(x);

			cost.tlbis++;
			assert_int_equal(x->operand >> 48, TEST_ASID);
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", op_name[x->op]);
			if (t.pages)
				n += (size_t)snprintf(text + n, sizeof(text) - n, "(%llu)",
					(unsigned long long)t.pages);
			continue;
		}
		while (r + 1 < recorder.nr && recorder.rec[r + 1].kind <= REC_CAS &&
			(recorder.rec[r + 1].kind == REC_STORE) == store &&
			recorder.rec[r + 1].p == recorder.rec[r].p + 8) {
			r++;
			run++;
		}
		*(store ? &cost.stores : &cost.xchgs) += run;
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %c%u", store ? 'S' : 'X', run);
	}
}

/* " X1 S1 X1 S1" becomes " (X1 S1)2": entries moved one by one. */
static void shorten_record(void)
{
	static const char pair[] = " X1 S1";
	const size_t len = sizeof(pair) - 1;
	char *p = strstr(text, pair), *end, tail[sizeof(text)];
	unsigned n = 0;

	for (end = p; end && !strncmp(end, pair, len); end += len)
		n++;
	if (n < 2)
		return;
	strcpy(tail, end);
	snprintf(p, sizeof(text) - (size_t)(p - text), " (X1 S1)%u%s", n, tail);
}

static void play(const struct row *row, bool is_settled_run)
{
	settled = is_settled_run;
	tree_open(FEATURES, 0, PF_FOLD_LINUX, UINT64_C(0x7f0000000000));
	row->before();
	recorder_reset();
	row->op();
	read_record();
	shorten_record();
	for (unsigned i = 0; i < E; i++)
		raw_set(i, pf_hw_empty());
	tree.m.table->live = 0;
	tree_close();
}

/* ---- the file ---- */

static const char *golden_file;
static char table[16384];

static void cell(size_t *n, const struct cost *c)
{
	*n += (size_t)snprintf(table + *n, sizeof(table) - *n, " %u %u %u %u |", c->stores,
		c->xchgs, c->tlbis, c->barriers);
}

static void make_table(void)
{
	size_t n = 0;

	for (size_t i = 0; i < PF_ARRAY_SIZE(rows); i++) {
		n += (size_t)snprintf(table + n, sizeof(table) - n, "| %s |", rows[i].what);
		cell(&n, &rows[i].theirs);
		play(&rows[i], false);
		cell(&n, &cost);
		{
			char steps[sizeof(text)];

			memcpy(steps, text, sizeof(text));
			play(&rows[i], true);
			cell(&n, &cost);
			n += (size_t)snprintf(table + n, sizeof(table) - n, "%s |\n", steps);
		}
		assert_true(n < sizeof(table) - 1024);
	}
}

static void file_is_what_happens(void **state)
{
	static char file[65536];
	FILE *f = fopen(golden_file, "r");
	const char *at;
	size_t n;

	(void)state;
	if (!f)
		fail_msg("%s cannot be read", golden_file);
	n = fread(file, 1, sizeof(file) - 1, f);
	fclose(f);
	file[n] = 0;
	make_table();
	at = strstr(file, rows[0].what);
	if (!at || strncmp(at - 2, table, strlen(table)))
		fail_msg("the table of %s is not what is measured; `%s --print` prints that",
			golden_file, "pt-golden");
	/* each deviation is a line with its reason */
	for (size_t i = 0; i < PF_ARRAY_SIZE(rows); i++)
		if (rows[i].reason && !strstr(file, rows[i].reason))
			fail_msg("%s does not say: %s", golden_file, rows[i].reason);
}

/* Kind by kind ours is no more, or there is a reason. Where nothing can be lost, stores stand in for exchanges. */
static void never_more_than_linux(void **state)
{
	(void)state;
	for (size_t i = 0; i < PF_ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		bool more;

		play(r, false);
		more = cost.stores > r->theirs.stores || cost.xchgs > r->theirs.xchgs;
		CHECK(more == !!r->reason, "%s: %u stores, %u exchanges; Linux %u, %u%s", r->what,
			cost.stores, cost.xchgs, r->theirs.stores, r->theirs.xchgs,
			r->reason ? "; its reason is gone" : "");
		CHECK(cost.tlbis <= r->theirs.tlbis && cost.barriers <= r->theirs.barriers,
			"%s: %u TLBIs, %u barriers; Linux %u, %u", r->what, cost.tlbis,
			cost.barriers, r->theirs.tlbis, r->theirs.barriers);
		CHECK(cost.stores + cost.xchgs <= r->theirs.stores + r->theirs.xchgs,
			"%s: %u writes; Linux %u", r->what, cost.stores + cost.xchgs,
			r->theirs.stores + r->theirs.xchgs);
		play(r, true);
		CHECK(cost.xchgs <= r->theirs.xchgs &&
				cost.stores + cost.xchgs <= r->theirs.stores + r->theirs.xchgs,
			"%s, settled: %u stores, %u exchanges; Linux %u, %u", r->what, cost.stores,
			cost.xchgs, r->theirs.stores, r->theirs.xchgs);
		CHECK(cost.tlbis <= r->theirs.tlbis && cost.barriers <= r->theirs.barriers,
			"%s, settled: %u TLBIs, %u barriers; Linux %u, %u", r->what, cost.tlbis,
			cost.barriers, r->theirs.tlbis, r->theirs.barriers);
	}
}

/* The recorded one, to the bit: mprotect of one page of a folded block. */
static void mprotect_of_one_page(void **state)
{
	static const struct {
		enum rec_kind kind;
		unsigned slot, nr;
	} steps[] = {{REC_XCHG, B, N}, {REC_BARRIER, PF_BARRIER_PUBLISH, 1}, {REC_TLBI, 0, 1},
		{REC_BARRIER, PF_BARRIER_COMPLETE, 1}, {REC_STORE, B, N}, {REC_CAS, B + 1, 1},
		{REC_BARRIER, PF_BARRIER_PUBLISH, 1}, {REC_TLBI, 1, 1},
		{REC_BARRIER, PF_BARRIER_COMPLETE, 1}};
	const pf_va_t va = UINT64_C(0x7f0000000000) + B * 4096;
	const uint64_t asid = (uint64_t)TEST_ASID << 48;
	/* RVALE1IS: TG 1, SCALE 0, NUM 7, TTL 3; VALE1IS: TTL 4K level 3 */
	const uint64_t operand[] = {
		asid | UINT64_C(1) << 46 | UINT64_C(7) << 39 | UINT64_C(3) << 37 | va >> 12,
		asid | UINT64_C(7) << 44 | (va + 4096) >> 12,
	};
	size_t r = 0;

	(void)state;
	settled = false;
	tree_open(FEATURES, 0, PF_FOLD_LINUX, UINT64_C(0x7f0000000000));
	folded_rw();
	recorder_reset();
	protect_one_r();
	for (size_t s = 0; s < PF_ARRAY_SIZE(steps); s++) {
		for (unsigned i = 0; i < steps[s].nr; i++, r++) {
			const struct rec *x = &recorder.rec[r];

			assert_true(r < recorder.nr);
			CHECK(x->kind == steps[s].kind, "step %zu is of kind %d", s, x->kind);
			if (x->kind == REC_BARRIER) {
				assert_int_equal(x->barrier, steps[s].slot);
			} else if (x->kind == REC_TLBI) {
				assert_int_equal(
					x->op, steps[s].slot ? PF_TLBI_VALE1IS : PF_TLBI_RVALE1IS);
				assert_int_equal(x->operand, operand[steps[s].slot]);
			} else {
				assert_int_equal(rec_slot(x), steps[s].slot + i);
				/* empty; then not contiguous; the target without DBM, read-only */
				if (s == 0)
					assert_int_equal(x->val, 0);
				else
					assert_false(x->val & PF_BIT(52));
				if (s == 5)
					assert_int_equal(
						x->val & (PF_BIT(51) | PF_BIT(7)), PF_BIT(7));
			}
		}
	}
	assert_int_equal(r, recorder.nr);
	for (unsigned i = 0; i < E; i++)
		raw_set(i, pf_hw_empty());
	tree.m.table->live = 0;
	tree_close();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_is_what_happens),
		cmocka_unit_test(never_more_than_linux),
		cmocka_unit_test(mprotect_of_one_page),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s docs/GOLDEN.md | --print\n", argv[0]);
		return 2;
	}
	golden_file = argv[1];
	if (!strcmp(argv[1], "--print")) {
		make_table();
		fputs(table, stdout);
		return 0;
	}
	return cmocka_run_group_tests_name(PF_FMT_NAME " golden", tests, NULL, NULL);
}
