/* SPDX-License-Identifier: MIT */
/* Random and exhaustive entries for the contract suite. */
#include "suite.h"

uint64_t suite_seed = 1;
unsigned suite_haste = 1;

unsigned rnd_slot(void)
{
	return (unsigned)rnd_below(1u << suite_x->level_bits);
}

unsigned rnd_leaf_level(void)
{
	unsigned l;

	do
		l = (unsigned)rnd_below(suite_x->levels);
	while (!is_leaf_level(l));
	return l;
}

/*
 * A leaf's frame is a multiple of its size, and in a contiguous block it stands at the place that
 * the slot has in the block; every frame is drawn so that both hold.
 */
pf_pfn_t rnd_frame(unsigned level, unsigned idx)
{
	unsigned shift = leaf_shift(level) + suite_x->cont_shift[level];
	uint64_t all = PF_MASK(suite_x->frame_bits - 1, 0);
	uint64_t slot = idx & (cont_nr(level) - 1);
	uint64_t base;

	switch (rnd_below(4)) {
	case 0:
		base = all;
		break;
	case 1:
		base = PF_BIT(rnd_below(suite_x->frame_bits));
		break;
	default:
		base = rnd() & all;
	}
	base = base >> shift << shift;
	return base + (slot << leaf_shift(level));
}

struct sample sample_of(pf_pfn_t pfn, uint64_t attrs, unsigned level, unsigned idx, bool cont)
{
	struct sample s = {.e = pf_pte_mk(pfn, attrs), .level = level, .idx = idx, .cont = cont};

	s.hw = pf_hw_encode(s.e, level, cont);
	return s;
}

struct sample rnd_sample(void)
{
	unsigned level = rnd_leaf_level(), idx = rnd_slot();
	uint64_t attrs = rnd_attrs();
	bool cont = (attrs & PF_PTE_PERM) && suite_x->cont_shift[level] && (rnd() & 1);

	return sample_of(rnd_frame(level, idx), attrs, level, idx, cont);
}

/* What the slot's neighbours would make of it is not this function's matter: one word, one entry.
 */
const char *wear(struct sample *s)
{
	uint64_t prot;

	switch (rnd_below(8)) {
	case 0:
		s->hw = pf_hw_mkyoung(s->hw);
		s->e = pf_pte_set(s->e, PF_PTE_A);
		return "mkyoung";
	case 1:
		s->hw = pf_hw_mkold(s->hw);
		s->e = pf_pte_clear(s->e, PF_PTE_A);
		return "mkold";
	case 2:
		s->hw = pf_hw_mkdirty(s->hw);
		s->e = pf_pte_set(s->e, PF_PTE_D);
		return "mkdirty";
	case 3:
		s->hw = pf_hw_mkclean(s->hw);
		s->e = pf_pte_clear(s->e, PF_PTE_D);
		return "mkclean";
	case 4:
		s->hw = pf_hw_wrprotect(s->hw);
		s->e = pf_pte_clear(s->e, PF_PTE_W);
		return "wrprotect";
	case 5:
	case 6:
		do
			prot = rnd() & SUITE_ATTRS & PF_PTE_PROT_BITS;
		while (!attrs_legal((s->e.v & ~PF_PTE_PROT_BITS & SUITE_ATTRS) | prot));
		s->hw = pf_hw_modify(s->hw, s->level, s->idx, prot);
		s->e = pf_pte_modify(s->e, prot);
		s->cont &= pf_pte_accessible(s->e);
		return "modify";
	default:
		if (!pf_pte_accessible(s->e) || !suite_x->cont_shift[s->level])
			return "nothing";
		s->cont = rnd() & 1;
		s->hw = pf_hw_set_cont(s->hw, s->level, s->idx, s->cont);
		return s->cont ? "set_cont(true)" : "set_cont(false)";
	}
}

struct sample rnd_worn_sample(void)
{
	struct sample s = rnd_sample();

	for (unsigned n = (unsigned)rnd_below(6); n; n--)
		wear(&s);
	return s;
}

/* ---- non-present kinds ---- */

/* Bits of soft entries that follow those of present ones: a format without the bit has neither. */
static uint64_t soft_bits(void)
{
	return suite_x->supported & (PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP);
}

static pf_pfn_t soft_frame(unsigned i)
{
	if (i < suite_x->frame_bits)
		return PF_BIT(i);
	return i == suite_x->frame_bits ? 0 : PF_MASK(suite_x->frame_bits - 1, 0);
}

static uint64_t soft_offset(unsigned i)
{
	if (i < suite_x->swap_offset_bits)
		return PF_BIT(i);
	return i == suite_x->swap_offset_bits ? 0 : PF_MASK(suite_x->swap_offset_bits - 1, 0);
}

static bool next_subset(uint64_t *sub, uint64_t mask)
{
	*sub = (*sub - mask) & mask;
	return *sub;
}

void for_each_softleaf(void (*fn)(pf_pte_t e, unsigned level), unsigned level)
{
	uint64_t b = 0;

	do {
		for (unsigned i = 0; i < suite_x->swap_offset_bits + 2; i++)
			for (unsigned dev = 0; dev < SUITE_SWAP_DEVICES; dev++)
				fn(pf_pte_swap(dev, soft_offset(i), b), level);
	} while (next_subset(&b, soft_bits() | PF_PTE_EXCLUSIVE));
	do {
		for (unsigned i = 0; i < suite_x->frame_bits + 2; i++)
			for (unsigned k = PF_MIG_READ; k <= PF_MIG_WRITE; k++)
				fn(pf_pte_migration(soft_frame(i), (enum pf_mig_kind)k, b), level);
	} while (next_subset(&b, soft_bits() | PF_PTE_A | PF_PTE_D));
	do {
		for (unsigned i = 0; i < suite_x->frame_bits + 2; i++) {
			uint64_t f = soft_frame(i) << PF_PTE_FRAME_SHIFT | b;

			fn(pf_pte(f | PF_PTE_DEVICE_PRIVATE), level);
			fn(pf_pte(f | PF_PTE_DEVICE_EXCLUSIVE), level);
		}
	} while (next_subset(&b, soft_bits() | PF_PTE_W));
	for (unsigned i = 0; i < suite_x->frame_bits + 2; i++)
		fn(pf_pte(soft_frame(i) << PF_PTE_FRAME_SHIFT | PF_PTE_HWPOISON), level);
	while (next_subset(&b, PF_MARKER_UFFD_WP | PF_MARKER_POISON | PF_MARKER_GUARD))
		fn(pf_pte_marker(b), level);
}

pf_pte_t rnd_softleaf(void)
{
	uint64_t f = rnd() & PF_MASK(suite_x->frame_bits - 1, 0);
	uint64_t off = rnd() & PF_MASK(suite_x->swap_offset_bits - 1, 0);
	uint64_t b = rnd() & soft_bits();

	switch (rnd_below(6)) {
	case 0:
		return pf_pte_swap((unsigned)rnd_below(SUITE_SWAP_DEVICES), off,
			b | (rnd() & PF_PTE_EXCLUSIVE));
	case 1:
		return pf_pte_migration(
			f, (enum pf_mig_kind)rnd_below(3), b | (rnd() & (PF_PTE_A | PF_PTE_D)));
	case 2:
		return pf_pte(
			f << PF_PTE_FRAME_SHIFT | b | (rnd() & PF_PTE_W) | PF_PTE_DEVICE_PRIVATE);
	case 3:
		return pf_pte(
			f << PF_PTE_FRAME_SHIFT | b | (rnd() & PF_PTE_W) | PF_PTE_DEVICE_EXCLUSIVE);
	case 4:
		return pf_pte(f << PF_PTE_FRAME_SHIFT | PF_PTE_HWPOISON);
	default:
		return pf_pte_marker((1 + rnd_below(7)) << 3);
	}
}

/* ---- reports ---- */

const char *hw_text(pf_hw_t hw)
{
	static char buf[4][2 * sizeof(pf_hw_t) + 3];
	static unsigned turn;
	char *out = buf[turn++ % 4], *p = out;

	p += sprintf(p, "0x");
	for (size_t i = sizeof(hw); i; i--) /* little-endian: highest byte first */
		p += sprintf(p, "%02x", ((const unsigned char *)&hw)[i - 1]);
	return out;
}

const char *sample_text(const struct sample *s)
{
	static char buf[4][160];
	static unsigned turn;
	char *out = buf[turn++ % 4];

	snprintf(out, sizeof(buf[0]), "neutral 0x%016llx level %u slot %u %s, word %s",
		(unsigned long long)s->e.v, s->level, s->idx, s->cont ? "contiguous" : "single",
		hw_text(s->hw));
	return out;
}

void check_present(const struct sample *s, const char *after)
{
	pf_pte_t d = pf_hw_decode(s->hw, s->level, s->idx);

	CHECK(d.v == s->e.v, "after %s: decoded 0x%016llx; %s", after, (unsigned long long)d.v,
		sample_text(s));
	CHECK(pf_hw_present(s->hw, s->level), "after %s: %s", after, sample_text(s));
	CHECK(!pf_hw_none(s->hw), "after %s: %s", after, sample_text(s));
	CHECK(pf_hw_valid(s->hw) == pf_pte_accessible(s->e), "after %s: %s", after, sample_text(s));
	CHECK(pf_hw_cont(s->hw) == s->cont, "after %s: %s", after, sample_text(s));
	CHECK(!s->level || !pf_hw_table(s->hw, s->level), "after %s: %s", after, sample_text(s));
	CHECK(pf_hw_young(s->hw) == pf_pte_young(s->e), "after %s: %s", after, sample_text(s));
	CHECK(pf_hw_dirty(s->hw) == pf_pte_dirty(s->e), "after %s: %s", after, sample_text(s));
	CHECK(pf_hw_write(s->hw) == pf_pte_write(s->e), "after %s: %s", after, sample_text(s));
	CHECK(pf_hw_pfn(s->hw, s->level, s->idx) == pf_pte_pfn(s->e), "after %s: %s", after,
		sample_text(s));
}
