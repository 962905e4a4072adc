/* SPDX-License-Identifier: MIT */
/*
 * pf_pt_* against an array of pages: random calls at both ends of the address space, with large leaves, blocks at
 * every level, ranges that cut them, hardware setting A and D in between. The model knows the size of each page's
 * translation too, so it can say which calls a tree without faults must refuse.
 */
#include "pt_test.h"

#if PF_CONT_SHIFT(1)
#define WINDOW (3 * PF_CONT_NR(1) * E) /* whole blocks of the upper level */
#else
#define WINDOW (8 * E < 4096 ? 8 * E : 4 * E)
#endif
#define WINDOWS 2
/* Large tables, each access recorded: fewer calls, for the measuring build makes all of them. */
#if PF_JUDGE
#define SLOW (E > 512)
#else
#define SLOW 0
#endif
#define AD (PF_PTE_A | PF_PTE_D)

struct page {
	pf_pte_t e; /* gathered over its block */
	uint8_t level;
	bool cont;
};
static struct page page[WINDOWS][WINDOW];
static struct page *w; /* the window in use */
static pf_va_t base;   /* its first address */
static struct pf_pt *pt = &tree.pt;
static uint64_t all_calls, refused, grown;

static void use(unsigned i)
{
	w = page[i];
	base = i ? (UINT64_C(1) << PF_VA_BITS) - (pf_va_t)WINDOW * PF_PAGE_SIZE : 0;
}

static pf_va_t va_of(uint64_t p)
{
	return base + (p << PF_PAGE_SHIFT);
}

/* Pages of one leaf, and of one translation. */
static uint64_t leaf_pages(unsigned level)
{
	return UINT64_C(1) << (level * PF_LEVEL_BITS);
}

static unsigned cont_nr(unsigned level)
{
	return 1u << pf_pt_format_this.cont_shift[level];
}

static uint64_t block_pages(unsigned level)
{
	return leaf_pages(level) * cont_nr(level);
}

static uint64_t span_of(const struct page *p)
{
	return p->cont ? block_pages(p->level) : leaf_pages(p->level);
}

/* ---- the model ---- */

static bool nofault(void)
{
	return pt->flags & PF_PT_NOFAULT;
}

/* Translations of another size may replace live ones. */
static bool may_resize(void)
{
	return !nofault() || pt->features & PF_FEAT_BBM2_NOABORT;
}

static bool may_fold(pf_pte_t e)
{
	return pt->policy != PF_FOLD_OFF && pf_pte_accessible(e) &&
	       !(pf_pte_special(e) && pt->policy == PF_FOLD_LINUX);
}

static int model_map(uint64_t p, uint64_t nr, pf_pfn_t pfn, uint64_t prot)
{
	for (uint64_t i = p; i < p + nr; i++)
		if (!pf_pte_none(w[i].e))
			return -PF_EEXIST;
	if (nofault())
		prot |= PF_PTE_A | (prot & PF_PTE_W ? PF_PTE_D : 0);
	if (pt->flags & PF_PT_KERNEL)
		prot |= PF_PTE_KERNEL;
	for (uint64_t i = p; i < p + nr; i++) {
		struct page *x = &w[i];

		x->e = pf_pte_mk(pfn + (i - p), prot);
		x->cont = false;
		/* the largest leaf around this page that lies in the range and whose frame is aligned */
		for (unsigned l = 0; l < PF_LEVELS && PF_LEAF_LEVELS >> l & 1; l++) {
			uint64_t n = leaf_pages(l), first = i / n * n;

			if (first < p || first + n > p + nr || (pfn + first - p) % n)
				break;
			x->level = (uint8_t)l;
			n = block_pages(l);
			first = i / n * n;
			x->cont = cont_nr(l) > 1 && first >= p && first + n <= p + nr &&
				  !((pfn + first - p) % n) && may_fold(x->e);
		}
	}
	return 0;
}

/* `inside` is the page of the range next to the boundary before page `cut`; what reaches over it is taken apart. */
static void model_cut(uint64_t cut, uint64_t inside)
{
	if (pf_pte_none(w[inside].e))
		return;
	for (;;) {
		unsigned l = w[inside].level;
		uint64_t n = block_pages(l), first = inside / n * n;

		if (w[inside].cont && cut % n)
			for (uint64_t i = first; i < first + n; i++)
				w[i].cont = false;
		n = leaf_pages(l);
		if (!(cut % n))
			return;
		first = inside / n * n;
		for (uint64_t i = first; i < first + n; i++) {
			w[i].level = (uint8_t)(l - 1);
			w[i].cont = cont_nr(l - 1) > 1 && may_fold(w[i].e);
		}
	}
}

static bool reaches_over(uint64_t cut, uint64_t inside)
{
	return !pf_pte_none(w[inside].e) && cut % span_of(&w[inside]);
}

/* Takes both ends apart, or says that it must not. */
static int model_cut_ends(uint64_t p, uint64_t nr)
{
	if (!may_resize() && (reaches_over(p, p) || reaches_over(p + nr, p + nr - 1)))
		return -PF_EBUSY;
	return 0;
}

static int model_unmap(uint64_t p, uint64_t nr)
{
	int err = model_cut_ends(p, nr);

	if (err)
		return err;
	model_cut(p, p);
	model_cut(p + nr, p + nr - 1);
	memset(&w[p], 0, nr * sizeof(w[0]));
	return 0;
}

/* Needs break-before-make with an invalidation between, whatever the level of BBM (RWHZWS). */
static bool retypes(pf_pte_t a, pf_pte_t b)
{
	return pf_pte_accessible(a) && pf_pte_accessible(b) &&
	       ((a.v ^ b.v) & (PF_PTE_MEM | PF_PTE_KERNEL));
}

static bool only_write(pf_pte_t a, pf_pte_t b)
{
	return !((a.v ^ b.v) & ~PF_PTE_W);
}

static pf_pte_t protected(pf_pte_t e, uint64_t prot)
{
	if (pt->flags & PF_PT_KERNEL)
		prot |= PF_PTE_KERNEL;
	e = pf_pte_modify(e, prot);
	/* where hardware must never have anything to set */
	return nofault() && pf_pte_write(e) ? pf_pte_set(e, PF_PTE_D) : e;
}

static int model_protect(uint64_t p, uint64_t nr, uint64_t prot)
{
	int err = model_cut_ends(p, nr);

	for (uint64_t i = p; i < p + nr && !err && nofault(); i++) {
		pf_pte_t to = protected(w[i].e, prot);

		if (pf_pte_none(w[i].e))
			continue;
		if (retypes(w[i].e, to) ||
			(w[i].cont && !may_resize() &&
				!only_write(w[i].e, pf_pte_modify(w[i].e, to.v))))
			err = -PF_EBUSY;
	}
	if (err)
		return err;
	model_cut(p, p);
	model_cut(p + nr, p + nr - 1);
	for (uint64_t i = p; i < p + nr; i++) {
		pf_pte_t to = protected(w[i].e, prot);

		if (pf_pte_none(w[i].e))
			continue;
		if (!pf_pte_accessible(to) || retypes(w[i].e, to))
			w[i].cont = false;
		/* taken apart in place, and not put together */
		if (w[i].cont && nofault() && !only_write(w[i].e, pf_pte_modify(w[i].e, to.v)))
			w[i].cont = false;
		w[i].e = to;
	}
	return 0;
}

static int model_age(uint64_t p, uint64_t nr)
{
	bool young = false;

	if (nofault())
		return -PF_EOPNOTSUPP;
	for (uint64_t i = p; i < p + nr; i++) {
		uint64_t n = span_of(&w[i]), first = i / n * n;

		if (pf_pte_none(w[i].e) || !pf_pte_young(w[i].e))
			continue;
		young = true;
		for (uint64_t k = first; k < first + n; k++)
			w[k].e = pf_pte_clear(w[k].e, PF_PTE_A);
	}
	return young;
}

/* ---- the table, read by hand ---- */

/* The entry that maps a page; NULL if a table on the way is missing. */
static pf_hw_t *find_entry(pf_va_t va, unsigned *level)
{
	pf_pa_t pa = pt->root;

	for (unsigned l = PF_LEVELS - 1;; l--) {
		pf_hw_t *p = (pf_hw_t *)pf_port_virt(pa) + pf_level_index(va, l), hw;

		memcpy(&hw, p, sizeof(hw));
		*level = l;
		if (l && !pf_hw_none(hw) && pf_hw_table(hw, l)) {
			pa = pf_hw_table_pa(hw);
			continue;
		}
		return p;
	}
}

/* Hardware accesses page p: A, and for a store D, in the block's entry for it. */
static void touch(uint64_t p, bool store)
{
	uint32_t f = pt->features & PF_HW_AD_FEATURES;
	unsigned level;
	pf_hw_t *at = find_entry(va_of(p), &level), hw;
	uint64_t bits = PF_PTE_A;

	if (pf_pte_none(w[p].e) || !pf_pte_accessible(w[p].e) || !(f & PF_FEAT_HAF))
		return;
	memcpy(&hw, at, sizeof(hw));
	hw = pf_hw_mkyoung(hw);
	if (store && f & PF_FEAT_HD && pf_pte_write(w[p].e)) {
		bits |= PF_PTE_D;
#ifdef PF_A64_RDONLY
		hw.w &= ~PF_A64_RDONLY;
#else
		hw = pf_hw_mkdirty(hw);
#endif
	}
	memcpy(at, &hw, sizeof(hw));
	for (uint64_t n = span_of(&w[p]), first = p / n * n, i = first; i < first + n; i++)
		w[i].e = pf_pte_set(w[i].e, bits);
}

/* ---- checks ---- */

static void check_query(uint64_t p, uint64_t max)
{
	struct pf_run run;
	uint64_t n;
	int mapped = pf_pt_query(pt, va_of(p), max, &run);

	assert_int_equal(run.va, va_of(p));
	assert_true(run.nr && run.nr <= max);
	CHECK(mapped == !pf_pte_none(w[p].e), "page 0x%llx: query says %d, model %s",
		(unsigned long long)p, mapped, pte_text(w[p].e));
	for (n = 0; n < run.nr; n++) {
		pf_pte_t e = pf_pte_clear(w[p + n].e, AD);

		CHECK(e.v == (mapped ? pf_pte_advance(pf_pte_clear(w[p].e, AD), n).v : 0),
			"page 0x%llx + 0x%llx: %s", (unsigned long long)p, (unsigned long long)n,
			pte_text(w[p + n].e));
	}
	/* it ends where the mapping does, or where a table or leaves of a size do */
	if (n < max && (va_of(p + n) & (PF_LEVEL_SIZE(1) - 1))) {
		if (mapped)
			assert_true(pf_pte_clear(w[p + n].e, AD).v !=
				    pf_pte_advance(pf_pte_clear(w[p].e, AD), n).v);
		else
			assert_false(pf_pte_none(w[p + n].e));
	}
	if (!mapped)
		return;
	CHECK(run.first.v == w[p].e.v, "page 0x%llx: %s, expected %s", (unsigned long long)p,
		pte_text(run.first), pte_text(w[p].e));
	CHECK(run.leaf_size == span_of(&w[p]) << PF_PAGE_SHIFT,
		"page 0x%llx: leaf of 0x%llx bytes, expected 0x%llx pages", (unsigned long long)p,
		(unsigned long long)run.leaf_size, (unsigned long long)span_of(&w[p]));
}

static void check_everything(void)
{
	uint64_t mapped = 0;

	for (unsigned i = 0; i < WINDOWS; i++) {
		struct pf_run run;

		use(i);
		for (uint64_t p = 0; p < WINDOW; p += run.nr) {
			check_query(p, WINDOW - p);
			pf_pt_query(pt, va_of(p), WINDOW - p, &run);
			mapped += !pf_pte_none(w[p].e);
		}
	}
	assert_int_equal(pt->stats.tables,
		tables_out * (PF_TABLE_BYTES > PF_PAGE_SIZE ? PF_TABLE_BYTES : PF_PAGE_SIZE));
	if (!mapped)
		assert_int_equal(tables_out, 1);
	assert_int_equal(test_port.locks_held, 0);
}

struct call {
	enum { MAP, UNMAP, PROTECT, AGE } what;
	uint64_t p, nr;
	pf_pfn_t pfn;
	uint64_t prot;
};

/* Tables made after this moment and freed in the same call were taken in advance, and never linked. */
static uint64_t call_began;

#if PF_JUDGE
/* After the last store to an entry: published, every page of the range forgotten, waited for. */
static void check_flushed(uint64_t p, uint64_t nr)
{
	bool is_published = false, complete = false;
	pf_va_t to = va_of(p), start = to;
	uint64_t left = nr;

	for (size_t r = 0; r < recorder.nr; r++) {
		const struct rec *x = &recorder.rec[r];

		if (x->kind == REC_STORE || x->kind == REC_XCHG || x->kind == REC_CAS) {
			is_published = complete = false;
			left = nr;
			to = start;
		} else if (x->kind == REC_BARRIER && x->barrier == PF_BARRIER_PUBLISH) {
			is_published = true;
		} else if (x->kind == REC_BARRIER && x->barrier == PF_BARRIER_COMPLETE) {
			complete = !left;
		} else if (x->kind == REC_TLBI && is_published) {
			struct tlbi t = tlbi_decode(x);

			if (t.local || t.level != -1)
				continue;
			if (!t.pages)
				left = 0;
			if (left && t.va == to) {
				left -= pf_min(left, t.pages);
				to += t.pages << PF_PAGE_SHIFT;
			}
		}
	}
	CHECK(complete, "0x%llx pages at page 0x%llx: %llu not forgotten", (unsigned long long)nr,
		(unsigned long long)p, (unsigned long long)left);
}

/* A table is given back only when what pointed to it is gone from tables and walk caches. */
static void check_frees(const struct call *c)
{
	bool is_published = false, issued = false, complete = true;

	for (size_t r = 0; r < recorder.nr; r++) {
		const struct rec *x = &recorder.rec[r];

		if (x->kind == REC_STORE || x->kind == REC_XCHG || x->kind == REC_CAS)
			is_published = issued = complete = false;
		else if (x->kind == REC_BARRIER && x->barrier == PF_BARRIER_PUBLISH)
			is_published = true;
		else if (x->kind == REC_TLBI && is_published && tlbi_decode(x).tables)
			issued = true;
		else if (x->kind == REC_BARRIER && x->barrier == PF_BARRIER_COMPLETE)
			complete = issued;
		else if (x->kind == REC_FREE && (c->what == MAP || x->operand <= call_began))
			assert_true(complete);
	}
}
#endif

/* ---- no translation in use is ever missing ---- */

static struct {
	pf_va_t va[8];
	pf_pfn_t pfn[8];
	unsigned nr;
} in_use;

static void watch_page(uint64_t p)
{
	if (p >= WINDOW || !pf_pte_accessible(w[p].e) || in_use.nr == 8)
		return;
	in_use.va[in_use.nr] = va_of(p);
	in_use.pfn[in_use.nr++] = pf_pte_pfn(w[p].e);
}

static void check_in_use(const struct rec *r)
{
	if (r->kind != REC_STORE && r->kind != REC_XCHG && r->kind != REC_CAS)
		return;
	for (unsigned i = 0; i < in_use.nr; i++) {
		unsigned level;
		pf_hw_t hw, *at = find_entry(in_use.va[i], &level);
		pf_pfn_t in_leaf = (in_use.va[i] >> PF_PAGE_SHIFT) % leaf_pages(level);

		memcpy(&hw, at, sizeof(hw));
		CHECK(pf_hw_valid(hw) && pf_hw_pfn(hw, level, pf_level_index(in_use.va[i], level)) +
							 in_leaf ==
						 in_use.pfn[i],
			"the translation of 0x%llx is gone for a moment",
			(unsigned long long)in_use.va[i]);
	}
}

/* ---- calls ---- */

static uint64_t rnd_size(void)
{
	static const unsigned shifts[] = {
		0, PF_CONT_SHIFT(0), PF_LEVEL_BITS, PF_LEVEL_BITS + PF_CONT_SHIFT(1)};
	/* large ones less often: they cost what they touch */
	unsigned s = shifts[rnd_below(1 + rnd_below(1 + rnd_below(PF_ARRAY_SIZE(shifts))))];
	uint64_t n = (1 + rnd_below(4)) << s;

	if (one_in(2))
		n = 1 + rnd_below(2 * n);
	return n;
}

static void rnd_range(uint64_t *p, uint64_t *nr)
{
	uint64_t align = UINT64_C(1) << (one_in(2)   ? 0
					 : one_in(2) ? PF_CONT_SHIFT(0)
						     : PF_LEVEL_BITS);

	use((unsigned)rnd_below(WINDOWS));
	*nr = pf_min(rnd_size(), WINDOW);
	*p = rnd_below(WINDOW) / align * align;
	if (one_in(16))
		*p = base ? WINDOW - *nr : 0;
	*nr = pf_min(*nr, WINDOW - *p);
}

/* Normal memory but for one call in eight; sometimes no access at all. */
static uint64_t tables_prot(void)
{
	uint64_t prot =
		one_in(6)
			? 0
			: rnd_prot() & ~(uint64_t)(PF_PTE_MEM | PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP);

	/* EL1 reads what it executes: arm64 has no execute-only kernel page, and needs no flush for R alone */
	if (pt->flags & PF_PT_KERNEL && prot & PF_PTE_X)
		prot |= PF_PTE_R;
	return prot | (one_in(8) ? PF_BIT(15) & PF_PTE_SUPPORTED : 0);
}

static struct call rnd_call(void)
{
	struct call c = {.what = MAP};

	rnd_range(&c.p, &c.nr);
	switch (rnd_below(8)) {
	case 0:
	case 1:
	case 2:
		/* congruent to the address, more or less */
		c.pfn = (rnd_below(64) + 1) *
				block_pages(PF_LEVELS > 2 && PF_LEAF_LEVELS & 4 ? 2 : 1) +
			c.p + (base >> PF_PAGE_SHIFT) % block_pages(1);
		if (one_in(3))
			c.pfn += rnd_below(2) ? 1 : N;
		c.pfn &= PF_MASK(PF_PFN_BITS - 2, 0);
		c.prot = tables_prot() | (rnd() & AD) |
			 (one_in(8) ? PF_PTE_SPECIAL & PF_PTE_SUPPORTED : 0);
		break;
	case 3:
	case 4:
		c.what = UNMAP;
		break;
	case 5:
		c.what = AGE;
		break;
	default:
		c.what = PROTECT;
		c.prot = tables_prot();
		if (one_in(2) && !pf_pte_none(w[c.p].e))
			c.prot = (w[c.p].e.v & PF_PTE_PROT_BITS & ~(uint64_t)PF_PTE_KERNEL) ^
				 (w[c.p].e.v & PF_PTE_R ? PF_PTE_W : 0);
	}
	return c;
}

static int model_call(const struct call *c)
{
	switch (c->what) {
	case MAP:
		return model_map(c->p, c->nr, c->pfn, c->prot);
	case UNMAP:
		return model_unmap(c->p, c->nr);
	case PROTECT:
		return model_protect(c->p, c->nr, c->prot);
	default:
		return model_age(c->p, c->nr);
	}
}

static int real_call(const struct call *c)
{
	switch (c->what) {
	case MAP:
		return pf_pt_map(pt, va_of(c->p), c->nr, c->pfn, c->prot);
	case UNMAP:
		return pf_pt_unmap(pt, va_of(c->p), c->nr);
	case PROTECT:
		return pf_pt_protect(pt, va_of(c->p), c->nr, c->prot);
	default:
		return pf_pt_age(pt, va_of(c->p), c->nr);
	}
}

static void one_call(void)
{
	struct call c = rnd_call();
	bool must_flush = false;
	int expected, got;

	for (unsigned k = 0; k < 4; k++)
		touch(rnd_below(WINDOW), one_in(2));
	in_use.nr = 0;
	if (nofault()) {
		watch_page(c.p - 1);
		watch_page(c.p + c.nr);
		if (c.what == PROTECT && c.prot & PF_PTE_PERM)
			for (unsigned k = 0; k < 4; k++)
				watch_page(c.p + rnd_below(c.nr));
	}
	for (uint64_t i = c.p; i < c.p + c.nr; i++)
		must_flush |= pf_pte_accessible(w[i].e) &&
			      (c.what == UNMAP ||
				      (c.what == PROTECT && w[i].e.v & ~c.prot & PF_PTE_PERM &&
					      !retypes(w[i].e, protected(w[i].e, c.prot))));
	recorder_reset();
	call_began = table_turn;
	recorder.after = nofault() ? check_in_use : NULL;
	expected = model_call(&c);
	got = real_call(&c);
	recorder.after = NULL;
	CHECK(got == expected,
		"call %d of 0x%llx pages at 0x%llx, flags %u, features 0x%x: %d, expected %d",
		c.what, (unsigned long long)c.nr, (unsigned long long)c.p, pt->flags, pt->features,
		got, expected);
	refused += got == -PF_EBUSY;
#if PF_JUDGE
	if (must_flush && !got)
		check_flushed(c.p, c.nr);
	check_frees(&c);
#endif
	for (unsigned k = 0; k < 4; k++) {
		uint64_t p = one_in(2) ? rnd_below(WINDOW) : c.p + rnd_below(c.nr);

		check_query(p, 1 + rnd_below(WINDOW - p));
	}
	all_calls++;
}

static void start(uint32_t features, unsigned flags, enum pf_fold_policy policy)
{
	tree_memory();
	assert_int_equal(pf_pt_init(pt, &pf_pt_format_this, &test_table_mem, features, TEST_ASID,
				 flags, policy),
		0);
	memset(page, 0, sizeof(page));
	recorder.on = true;
}

static void unmap_all(void)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		use(i);
		assert_int_equal(pf_pt_unmap(pt, base, WINDOW), 0);
		memset(w, 0, sizeof(page[0]));
	}
	check_everything();
	assert_int_equal(tables_out, 1);
}

static void stop(void)
{
	recorder.on = false;
	pf_pt_destroy(pt);
	assert_int_equal(tables_out, 0);
	assert_int_equal(pt->stats.tables, 0);
	test_port_stop();
}

static const uint32_t ad_sets[] = {0, PF_FEAT_HAF, PF_FEAT_HAF | PF_FEAT_HD};

static uint32_t rnd_features(unsigned i)
{
	return ad_sets[i % 3] | (rnd() & (PF_FEAT_TLB_RANGE | PF_FEAT_TTL)) |
	       (one_in(3) ? PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT : 0);
}

static void random_calls(unsigned flags, unsigned rounds, unsigned calls)
{
	for (unsigned i = 0; i < rounds; i++) {
		seed = 0x3000 + 64 * flags + i;
		start(rnd_features(i),
			flags | (one_in(4) ? PF_PTE_SUPPORTED & PF_PTE_KERNEL ? PF_PT_KERNEL : 0
					   : 0),
			one_in(6)   ? PF_FOLD_OFF
			: one_in(2) ? PF_FOLD_LINUX
				    : PF_FOLD_WATCH);
		for (unsigned k = 0; k < calls; k++) {
			one_call();
			grown |= pt->stats.fold;
			if (!(k % 512))
				check_everything();
			if (!(k % 2048))
				unmap_all();
		}
		unmap_all();
		stop();
	}
}

static void maps_and_unmaps(void **state)
{
	(void)state;
	all_calls = grown = 0;
	random_calls(0, 9, SLOW ? 4000 : 12000);
	assert_true(all_calls > (SLOW ? 30000 : 100000) && grown);
}

static void trees_without_faults(void **state)
{
	(void)state;
	refused = 0;
	random_calls(PF_PT_NOFAULT, 12, 4000);
	assert_true(refused > 100);
}

/* Every allocation of every call fails once: nothing has changed, nothing is lost, and the call then succeeds. */
static void allocations_fail(void **state)
{
	uint64_t failures = 0;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		seed = 0x4000 + i;
		start(rnd_features(i), i & 1 ? PF_PT_NOFAULT : 0, PF_FOLD_LINUX);
		for (unsigned k = 0; k < 1500; k++) {
			struct call c = rnd_call();
			unsigned out = tables_out;
			uint64_t bytes = pt->stats.tables;
			int got, expected;

			for (unsigned n = 1;; n++) {
				recorder_reset();
				test_port.fail_at = n;
				got = real_call(&c);
				if (test_port.fail_at) /* it did not come to that */
					break;
				failures++;
				assert_int_equal(got, -PF_ENOMEM);
				assert_int_equal(tables_out, out);
				assert_int_equal(pt->stats.tables, bytes);
				for (unsigned q = 0; q < 4; q++) {
					uint64_t p = c.p + rnd_below(c.nr);

					check_query(p, WINDOW - p);
				}
				check_query(c.p ? c.p - 1 : 0, 1);
			}
			test_port.fail_at = 0;
			expected = model_call(&c);
			assert_int_equal(got, expected);
			if (!(k % 64))
				check_everything();
		}
		check_everything();
		unmap_all();
		stop();
	}
	assert_true(failures > 200);
}

/* ---- ranges ---- */

static void bad_ranges(void **state)
{
	const uint64_t pages = UINT64_C(1) << (PF_VA_BITS - PF_PAGE_SHIFT);
	const pf_va_t end = UINT64_C(1) << PF_VA_BITS;
	const pf_pfn_t frames = UINT64_C(1) << PF_PFN_BITS;
	const struct {
		pf_va_t va;
		uint64_t nr;
	} bad[] = {
		{0, 0},
		{1, 1},
		{PF_PAGE_SIZE - 1, 1},
		{end, 1},
		{end - PF_PAGE_SIZE, 2},
		{0, pages + 1},
		{PF_PAGE_SIZE, pages},
		{PF_PAGE_SIZE, UINT64_MAX},
		{end - PF_PAGE_SIZE, UINT64_MAX},
		{UINT64_MAX - PF_PAGE_SIZE + 1, 1},
		{0, UINT64_MAX},
		{0, (UINT64_MAX >> PF_PAGE_SHIFT) + 1},
	};
	struct pf_run run;

	(void)state;
	start(0, 0, PF_FOLD_LINUX);
	for (unsigned i = 0; i < PF_ARRAY_SIZE(bad); i++) {
		assert_int_equal(pf_pt_map(pt, bad[i].va, bad[i].nr, 16, PF_PTE_R), -PF_EINVAL);
		assert_int_equal(pf_pt_unmap(pt, bad[i].va, bad[i].nr), -PF_EINVAL);
		assert_int_equal(pf_pt_protect(pt, bad[i].va, bad[i].nr, PF_PTE_R), -PF_EINVAL);
		assert_int_equal(pf_pt_age(pt, bad[i].va, bad[i].nr), -PF_EINVAL);
		assert_int_equal(pf_pt_query(pt, bad[i].va, bad[i].nr, &run), -PF_EINVAL);
	}
	/* frames that the format cannot store */
	assert_int_equal(pf_pt_map(pt, 0, 1, frames, PF_PTE_R), -PF_EINVAL);
	assert_int_equal(pf_pt_map(pt, 0, 2, frames - 1, PF_PTE_R), -PF_EINVAL);
	assert_int_equal(pf_pt_map(pt, 0, 2, UINT64_MAX, PF_PTE_R), -PF_EINVAL);
	assert_int_equal(pf_pt_map(pt, 0, 1, UINT64_MAX, PF_PTE_R), -PF_EINVAL);
	/* attributes that it cannot, and what is no attribute */
	for (unsigned b = 0; b < 64; b++)
		if (!(PF_PTE_SUPPORTED & PF_BIT(b)))
			assert_int_equal(pf_pt_map(pt, 0, 1, 16, PF_PTE_R | PF_BIT(b)), -PF_EINVAL);
	/* global translations belong into trees of a kernel's: a flush by ASID would leave them */
	assert_int_equal(pf_pt_map(pt, 0, 1, 16, PF_PTE_R | PF_PTE_KERNEL), -PF_EINVAL);
	assert_int_equal(pf_pt_protect(pt, 0, 1, PF_PTE_R | PF_PTE_KERNEL), -PF_EINVAL);
	assert_int_equal(tables_out, 1);
	/* the whole space, and its last page */
	assert_int_equal(pf_pt_query(pt, 0, pages, &run), 0);
	assert_int_equal(pf_pt_map(pt, end - PF_PAGE_SIZE, 1, frames - 1, PF_PTE_R), 0);
	assert_int_equal(pf_pt_query(pt, end - PF_PAGE_SIZE, 1, &run), 1);
	assert_int_equal(pf_pte_pfn(run.first), frames - 1);
	assert_int_equal(pf_pt_protect(pt, 0, pages, 0), 0);
	assert_int_equal(pf_pt_age(pt, 0, pages), 0);
	assert_int_equal(pf_pt_unmap(pt, 0, pages), 0);
	assert_int_equal(tables_out, 1);
	stop();
}

static void what_is_not_supported(void **state)
{
	struct pf_pt p;

	(void)state;
	tree_memory();
	if (!(PF_PTE_SUPPORTED & PF_PTE_KERNEL))
		assert_int_equal(pf_pt_init(&p, &pf_pt_format_this, &test_table_mem, 0, 1,
					 PF_PT_KERNEL, PF_FOLD_LINUX),
			-PF_EOPNOTSUPP);
	test_port.fail_at = 1;
	assert_int_equal(
		pf_pt_init(&p, &pf_pt_format_this, &test_table_mem, 0, 1, 0, PF_FOLD_LINUX),
		-PF_ENOMEM);
	assert_int_equal(tables_out, 0);
	test_port_stop();
}

/* A leaf of the top leaf level, and a block of them where there is one, is cut at pages inside. */
static void largest_leaves(void **state)
{
	unsigned top = 0;
	uint64_t n;
	struct pf_run run;

	(void)state;
	while (PF_LEAF_LEVELS >> (top + 1) & 1)
		top++;
	n = leaf_pages(top);
	for (unsigned nf = 0; nf < 2; nf++) {
		start(PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT, nf ? PF_PT_NOFAULT : 0,
			PF_FOLD_LINUX);
		assert_int_equal(pf_pt_map(pt, 0, 2 * n, 4 * n, PF_PTE_R | PF_PTE_W), 0);
		assert_int_equal(tables_out, PF_LEVELS - top);
		assert_int_equal(pf_pt_query(pt, 0, 2 * n, &run), 1);
		assert_int_equal(run.leaf_size, n << PF_PAGE_SHIFT);
		assert_int_equal(run.nr, 2 * n);
		/* one page in the middle of the second */
		assert_int_equal(
			pf_pt_protect(pt, (n + n / 2 + 1) << PF_PAGE_SHIFT, 1, PF_PTE_R), 0);
		assert_int_equal(tables_out, PF_LEVELS);
		assert_int_equal(pf_pt_query(pt, 0, 2 * n, &run), 1);
		assert_int_equal(run.nr, n);
		for (uint64_t p = n; p < 2 * n; p += run.nr) {
			assert_int_equal(pf_pt_query(pt, p << PF_PAGE_SHIFT, 2 * n - p, &run), 1);
			assert_int_equal(pf_pte_pfn(run.first), 4 * n + p);
			assert_int_equal(pf_pte_write(run.first), p != n + n / 2 + 1);
		}
		/* all but one page at each end */
		assert_int_equal(pf_pt_unmap(pt, PF_PAGE_SIZE, 2 * n - 2), 0);
		assert_int_equal(pf_pt_query(pt, 0, 2 * n, &run), 1);
		assert_int_equal(run.nr, 1);
		assert_int_equal(pf_pt_query(pt, PF_PAGE_SIZE, 2 * n - 1, &run), 0);
		assert_int_equal(pf_pt_query(pt, (2 * n - 1) << PF_PAGE_SHIFT, 1, &run), 1);
		assert_int_equal(pf_pte_pfn(run.first), 6 * n - 1);
		assert_int_equal(pf_pt_unmap(pt, 0, 2 * n), 0);
		assert_int_equal(tables_out, 1);
		stop();
	}
}

/* A query reads the entries above, its own, its block's, and those of what it was asked for. */
static void query_reads_what_it_was_asked(void **state)
{
	const uint64_t nr = PF_TABLE_ENTRIES / 2;
	struct pf_run run;

	(void)state;
	start(0, 0, PF_FOLD_LINUX);
	/* Frames one off: page entries only, and none folded. The other half is a hole. */
	assert_int_equal(pf_pt_map(pt, 0, nr, 1, PF_PTE_R), 0);
	for (uint64_t hole = 0; hole < 2; hole++)
		for (uint64_t max = 1; max <= nr; max *= 2) {
			recorder.on = true;
			recorder_reset();
			assert_int_equal(
				pf_pt_query(pt, hole * nr << PF_PAGE_SHIFT, max, &run), !hole);
			recorder.on = false;
			assert_int_equal(run.nr, max);
			/* Of one word or two, each read twice perhaps; its own is looked at again, for its block. */
			assert_true(recorder.loads <= 4 * (PF_LEVELS + 2 + max));
#if PF_JUDGE
			assert_true(recorder.loads >= PF_LEVELS + max - 1);
#endif
		}
	assert_int_equal(pf_pt_unmap(pt, 0, nr), 0);
	stop();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_ranges),
		cmocka_unit_test(what_is_not_supported),
		cmocka_unit_test(largest_leaves),
		cmocka_unit_test(query_reads_what_it_was_asked),
		cmocka_unit_test(maps_and_unmaps),
		cmocka_unit_test(trees_without_faults),
		cmocka_unit_test(allocations_fail),
	};

	return cmocka_run_group_tests_name(PF_FMT_NAME " tables", tests, NULL, NULL);
}
