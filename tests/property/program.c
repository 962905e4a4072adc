// SPDX-License-Identifier: MIT
/* Drawing a program, and the text of its scenario. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

/* ---- choices ---- */

uint64_t source_draw(struct source *s, uint64_t n)
{
	if (s->bytes) {
		uint64_t v = 0, reach = 1;

		for (; reach < n && s->nr; reach <<= 8, s->nr--)
			v = v << 8 | *s->bytes++;
		return v % n;
	}
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return (s->rng >> 11) % n;
}

struct drawing {
	struct source src;
	struct program *g;
	uint64_t page, block; /* bytes */
	bool alive[PROGRAM_MAX_PID + 1];
	unsigned cpu[PROGRAM_MAX_PID + 1];
	unsigned pid;
};

static uint64_t draw(struct drawing *d, uint64_t n)
{
	return source_draw(&d->src, n);
}

#define BRK_START UINT64_C(0x2000000)
#define BRK_PAGES 24

static uint64_t an_address(struct drawing *d)
{
	const struct program *g = d->g;
	uint64_t top = g->fmt->pt->va_bits < 64 ? UINT64_C(1) << g->fmt->pt->va_bits : 0;

	switch (draw(d, 64)) {
	case 0: /* the last pages that there are */
		return top - d->page * draw(d, 4);
	case 1:
		return -d->page * (1 + draw(d, 3));
	case 2:
		return draw(d, 2) * d->page;
	case 3:
		return g->base + draw(d, g->pages * d->page);
	case 4:
	case 5:
		return BRK_START + draw(d, BRK_PAGES) * d->page;
	case 6 ... 20: /* blocks are where it is decided */
		return ((g->base + draw(d, g->pages) * d->page) & -d->block);
	default:
		return g->base + draw(d, g->pages) * d->page;
	}
}

/* Blocks, pages, and everything around; now and then what no range has. */
static uint64_t a_length(struct drawing *d)
{
	switch (draw(d, 32)) {
	case 0:
		return draw(d, 3) ? draw(d, 3 * d->page) : UINT64_C(0) - draw(d, 2 * d->page);
	case 1:
		return (1 + draw(d, d->g->pages)) * d->page;
	case 2 ... 10:
		return (1 + draw(d, 2)) * d->block;
	case 11 ... 18:
		return (1 + draw(d, 3)) * d->page;
	default:
		return (1 + draw(d, 24)) * d->page;
	}
}

static uint64_t a_protection(struct drawing *d)
{
	static const uint64_t prot[] = {3, 3, 3, 3, 3, 1, 1, 1, 0, 0, 7, 5, 2, 4};

	return draw(d, 40) ? prot[draw(d, PF_ARRAY_SIZE(prot))] : UINT64_C(1) << draw(d, 6);
}

/* ---- operations ---- */

static bool inside(const struct program *g, uint64_t va, uint64_t len, uint64_t page)
{
	return va >= g->base && len && len <= g->pages * page &&
	       va + len <= g->base + g->pages * page;
}

static void draw_access(struct drawing *d, struct op *op)
{
	static const enum sc_call_id ids[] = {SC_LOAD, SC_LOAD, SC_LOAD, SC_STORE, SC_STORE,
		SC_STORE, SC_STORE, SC_TOUCH, SC_EXEC};

	op->id = ids[draw(d, PF_ARRAY_SIZE(ids))];
	op->a[0] = an_address(d);
	op->a[1] = a_length(d);
	op->nargs = 2;
	/* A range of accesses may not be empty, wrap, or take for ever. */
	if (!op->a[1] || op->a[1] > d->g->pages * d->page || op->a[0] + (op->a[1] - 1) < op->a[0])
		op->a[1] = 1;
	if (op->a[0] - d->g->base >= d->g->pages * d->page)
		op->a[1] = 1;
}

static void draw_madvise(struct drawing *d, struct op *op)
{
	static const uint64_t advice[] = {PF_MADV_DONTNEED, PF_MADV_DONTNEED, PF_MADV_DONTNEED,
		PF_MADV_DONTNEED, PF_MADV_HUGEPAGE, PF_MADV_NOHUGEPAGE, PF_MADV_DONTFORK,
		PF_MADV_DOFORK, PF_MADV_WIPEONFORK, PF_MADV_KEEPONFORK, PF_MADV_POPULATE_READ,
		PF_MADV_POPULATE_WRITE, PF_MADV_POPULATE_WRITE, PF_MADV_NORMAL, PF_MADV_RANDOM,
		PF_MADV_SEQUENTIAL, PF_MADV_WILLNEED, 7, 77};

	op->id = SC_MADVISE;
	op->a[0] = an_address(d);
	op->a[1] = a_length(d);
	op->a[2] = advice[draw(d, PF_ARRAY_SIZE(advice))];
	op->nargs = 3;
}

static void draw_mmap(struct drawing *d, struct op *op)
{
	static const uint64_t how[] = {
		PF_MAP_FIXED, PF_MAP_FIXED, PF_MAP_FIXED, PF_MAP_FIXED_NOREPLACE, 0};

	op->id = SC_MMAP;
	op->a[0] = an_address(d);
	op->a[1] = a_length(d);
	op->a[2] = a_protection(d) & 7;
	op->a[3] = PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | how[draw(d, PF_ARRAY_SIZE(how))] |
		   (draw(d, 8) ? 0 : PF_MAP_NORESERVE) | (draw(d, 10) ? 0 : PF_MAP_POPULATE);
	op->nargs = 4;
	/* The judge is told of the stores of a populate beforehand, so the address is known beforehand. */
	if (!(op->a[3] & (PF_MAP_FIXED | PF_MAP_FIXED_NOREPLACE)))
		op->a[3] &= ~(uint64_t)PF_MAP_POPULATE;
	/* Mappings stay where the accesses are, but for those that cannot be. */
	if (!inside(d->g, op->a[0], op->a[1], d->page) && op->a[0] < -4 * d->page && draw(d, 8)) {
		op->a[0] = d->g->base + draw(d, d->g->pages - 1) * d->page;
		op->a[1] =
			(1 + draw(d, pf_min(d->g->pages - (op->a[0] - d->g->base) / d->page, 48))) *
			d->page;
	} else if (op->a[1] > d->g->pages * d->page) {
		op->a[3] &= ~(uint64_t)PF_MAP_POPULATE;
	}
}

static void draw_mremap(struct drawing *d, struct op *op)
{
	static const uint64_t how[] = {0, PF_MREMAP_MAYMOVE, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
		PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
		PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
		PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED | PF_MREMAP_DONTUNMAP,
		PF_MREMAP_MAYMOVE | PF_MREMAP_DONTUNMAP, PF_MREMAP_FIXED, 8};

	op->id = SC_MREMAP;
	op->a[0] = an_address(d);
	op->a[1] = a_length(d);
	op->a[2] = draw(d, 4) ? op->a[1] : a_length(d);
	op->a[3] = how[draw(d, PF_ARRAY_SIZE(how))];
	op->a[4] = an_address(d);
	op->nargs = 5;
	/* To the same place within a block, too. */
	if (draw(d, 2))
		op->a[4] = (op->a[4] & -d->block) | (op->a[0] & (d->block - 1));
	/* A hint below what may be mapped is not the same everywhere: x86-64 refuses it, arm64 looks elsewhere. */
	if (!(op->a[3] & PF_MREMAP_FIXED) && op->a[4] < UINT64_C(1) << 16)
		op->a[4] = 0;
	if (op->a[3] & PF_MREMAP_FIXED && !inside(d->g, op->a[4], op->a[2], d->page) && draw(d, 8))
		op->a[4] = d->g->base + draw(d, d->g->pages / 2) * d->page;
}

static unsigned a_child(struct drawing *d)
{
	for (unsigned pid = 1; pid <= PROGRAM_MAX_PID; pid++)
		if (!d->alive[pid])
			return pid;
	return 0;
}

static void draw_op(struct drawing *d, struct op *op)
{
	uint64_t what = draw(d, 100);
	unsigned others = 0;

	if (!draw(d, 6))
		d->cpu[d->pid] = (unsigned)draw(d, PROGRAM_CPUS);
	if (!draw(d, 4)) {
		unsigned pid = 1 + (unsigned)draw(d, PROGRAM_MAX_PID);

		if (d->alive[pid])
			d->pid = pid;
	}
	*op = (struct op){.pid = d->pid, .cpu = d->cpu[d->pid]};
	for (unsigned pid = 1; pid <= PROGRAM_MAX_PID; pid++)
		others += d->alive[pid] && pid != d->pid;
	if (what < 46) {
		draw_access(d, op);
	} else if (what < 58) {
		op->id = SC_MPROTECT;
		op->a[0] = an_address(d);
		op->a[1] = a_length(d);
		op->a[2] = a_protection(d);
		op->nargs = 3;
	} else if (what < 70) {
		draw_madvise(d, op);
	} else if (what < 79) {
		draw_mmap(d, op);
	} else if (what < 83) {
		op->id = SC_MUNMAP;
		op->a[0] = an_address(d);
		op->a[1] = a_length(d);
		op->nargs = 2;
	} else if (what < 92) {
		draw_mremap(d, op);
	} else if (what < 94) {
		op->id = SC_BRK;
		op->a[0] = BRK_START + draw(d, (BRK_PAGES + 2) * d->page);
		op->nargs = 1;
	} else if (what < 98 && a_child(d)) {
		op->id = SC_FORK;
		op->child = a_child(d);
		d->alive[op->child] = true;
		d->cpu[op->child] = (op->child - 1) % PROGRAM_CPUS;
	} else if (others) {
		op->id = SC_EXIT_GROUP;
		op->nargs = 1;
		d->alive[d->pid] = false;
		while (!d->alive[d->pid])
			d->pid = d->pid % PROGRAM_MAX_PID + 1;
	} else {
		draw_access(d, op);
	}
}

/* ---- settings ---- */

static const char *const feature_sets[] = {NULL, NULL, "bbm0", "bbml1", "bbml2", "bbml2-noabort",
	"no-haf", "haf bbm0", "no-haf bbm0", "no-haf bbml2-noabort", "hafdbs bbm0 no-tlbirange",
	"no-tlbirange no-ttl", "no-ttl bbml2-noabort"};

static void draw_settings(struct drawing *d)
{
	static const enum sc_thp_mode modes[] = {
		SC_THP_ALWAYS, SC_THP_ALWAYS, SC_THP_MADVISE, SC_THP_INHERIT};
	struct program *g = d->g;
	const struct pf_pt_format *pt = g->fmt->pt;
	unsigned block = pt->cont_shift[0] ? pt->cont_shift[0] : 4,
		 most = pf_min(pt->level_bits, 9u), top = 0;
	uint32_t f;

	g->fold = draw(d, 6);
	g->late_walks = draw(d, 2);
	g->feature = feature_sets[draw(d, PF_ARRAY_SIZE(feature_sets))];
	if (g->feature && !machine_features(pt->name, g->feature, &f))
		g->feature = NULL;
	g->nthp = (unsigned)draw(d, PF_ARRAY_SIZE(g->thp) + 1);
	for (unsigned i = 0; i < g->nthp; i++) {
		unsigned order = i ? 2 + (unsigned)draw(d, most - 1) : block;

		/* Large ones cost, in what there is to check: a few programs have them. */
		if (order > 6 && draw(d, 6))
			order = 2 + (unsigned)draw(d, 4);
		g->thp[i].order = pf_min(order, most);
		g->thp[i].mode = modes[draw(d, PF_ARRAY_SIZE(modes))];
		top = pf_max(top, g->thp[i].order);
	}
	g->thp_enabled = draw(d, 3) ? SC_THP_ALWAYS : SC_THP_MADVISE;
	g->pages = top > 5 ? UINT64_C(2) << top : 64;
	switch (draw(d, 8)) {
	case 0: /* it comes to an end: with one process, or with what it forks */
		g->pages = pf_max(g->pages, 256);
		g->memory = pf_max(g->pages * d->page, UINT64_C(1) << 20);
		break;
	case 1:
		g->pages = pf_max(g->pages, 128);
		g->memory = pf_max((2 * g->pages - 16) * d->page, UINT64_C(1) << 20);
		break;
	default:
		g->memory = pf_max(8 * g->pages * d->page, UINT64_C(16) << 20);
	}
	g->memory = pf_align_up(g->memory, UINT64_C(1) << 16);
	if (!draw(d, 3))
		g->fail_at = 1 + draw(d, 160);
	/* Over the end of a leaf table; the edges are aligned to nothing. */
	g->base = (UINT64_C(1) << 30) + (d->page << pt->level_bits) -
		  (g->pages / 2 + draw(d, 8)) * d->page;
}

void program_draw(struct program *g, const struct pf_format *fmt, uint64_t seed, unsigned steps,
	const uint8_t *bytes, size_t nbytes)
{
	struct drawing d = {
		.src.rng = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15),
		.g = g,
		.page = UINT64_C(1) << fmt->pt->page_shift,
		.alive = {[1] = true},
		.pid = 1,
	};

	if (!d.src.rng)
		d.src.rng = 1;
	d.block = d.page << (fmt->pt->cont_shift[0] ? fmt->pt->cont_shift[0] : 4);
	*g = (struct program){.fmt = fmt, .seed = seed};
	for (unsigned i = 0; i < 4; i++)
		source_draw(&d.src, 2);
	draw_settings(&d);
	d.src.bytes = bytes;
	d.src.nr = nbytes;
	g->ops = calloc(steps + 2, sizeof(*g->ops));
	if (!g->ops)
		abort();
	g->ops[g->nr++] = (struct op){.id = SC_MMAP,
		.pid = 1,
		.nargs = 4,
		.a = {g->base, g->pages * d.page, 3,
			PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED}};
	/* Where memory is scarce, it is used at once. */
	if (g->memory < 3 * g->pages * d.page)
		g->ops[g->nr++] = (struct op){.id = SC_STORE,
			.pid = 1,
			.nargs = 2,
			.a = {g->base, g->pages * d.page - draw(&d, 64) * d.page}};
	while (g->nr <= steps && (!bytes || d.src.nr))
		draw_op(&d, &g->ops[g->nr++]);
}

void program_copy(struct program *to, const struct program *from)
{
	*to = *from;
	to->ops = calloc(from->nr + 1, sizeof(*to->ops));
	if (!to->ops)
		abort();
	memcpy(to->ops, from->ops, from->nr * sizeof(*to->ops));
}

void program_free(struct program *g)
{
	free(g->ops);
	g->ops = NULL;
}

/* ---- text ---- */

struct text {
	char *s;
	size_t used, room;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;

	if (t->room - t->used < 256) {
		t->room = t->room ? 2 * t->room : 16384;
		t->s = realloc(t->s, t->room);
		if (!t->s)
			abort();
	}
	va_start(ap, fmt);
	t->used += (size_t)vsnprintf(t->s + t->used, t->room - t->used, fmt, ap);
	va_end(ap);
}

static void put_bits(struct text *t, uint64_t v, const char *const *names, const uint64_t *bits,
	const char *none)
{
	const char *sep = "";

	if (!v)
		put(t, "%s", none);
	for (; *names; names++, bits++) {
		if (v & *bits) {
			put(t, "%s%s", sep, *names);
			v &= ~*bits;
			sep = "|";
		}
	}
	if (v)
		put(t, "%s0x%" PRIx64, sep, v);
}

static void put_prot(struct text *t, uint64_t v)
{
	static const char *const names[] = {"PROT_READ", "PROT_WRITE", "PROT_EXEC", NULL};
	static const uint64_t bits[] = {1, 2, 4};

	put_bits(t, v, names, bits, "PROT_NONE");
}

static void put_op(struct text *t, const struct op *op)
{
	static const char *const map_names[] = {"MAP_PRIVATE", "MAP_ANONYMOUS",
		"MAP_FIXED_NOREPLACE", "MAP_FIXED", "MAP_NORESERVE", "MAP_POPULATE", NULL};
	static const uint64_t map_bits[] = {PF_MAP_PRIVATE, PF_MAP_ANONYMOUS,
		PF_MAP_FIXED_NOREPLACE, PF_MAP_FIXED, PF_MAP_NORESERVE, PF_MAP_POPULATE};
	static const char *const move_names[] = {
		"MREMAP_MAYMOVE", "MREMAP_FIXED", "MREMAP_DONTUNMAP", NULL};
	static const uint64_t move_bits[] = {
		PF_MREMAP_MAYMOVE, PF_MREMAP_FIXED, PF_MREMAP_DONTUNMAP};
	static const char *const access_names[] = {
		[SC_LOAD] = "load", [SC_STORE] = "store", [SC_EXEC] = "exec", [SC_TOUCH] = "touch"};
	const uint64_t *a = op->a;

	put(t, "[pid %u] [cpu %u] ", op->pid, op->cpu);
	switch (op->id) {
	case SC_MMAP:
		put(t, "mmap(0x%" PRIx64 ", 0x%" PRIx64 ", ", a[0], a[1]);
		put_prot(t, a[2]);
		put(t, ", ");
		put_bits(t, a[3], map_names, map_bits, "0");
		put(t, ", -1, 0) = ?\n");
		break;
	case SC_MUNMAP:
		put(t, "munmap(0x%" PRIx64 ", 0x%" PRIx64 ") = ?\n", a[0], a[1]);
		break;
	case SC_MPROTECT:
		put(t, "mprotect(0x%" PRIx64 ", 0x%" PRIx64 ", ", a[0], a[1]);
		put_prot(t, a[2]);
		put(t, ") = ?\n");
		break;
	case SC_MREMAP:
		put(t, "mremap(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", ", a[0], a[1], a[2]);
		put_bits(t, a[3], move_names, move_bits, "0");
		put(t, ", 0x%" PRIx64 ") = ?\n", a[4]);
		break;
	case SC_MADVISE: {
		const char *name = sc_advice_name(a[2]);

		put(t, "madvise(0x%" PRIx64 ", 0x%" PRIx64 ", ", a[0], a[1]);
		if (name)
			put(t, "%s) = ?\n", name);
		else
			put(t, "%" PRIu64 ") = ?\n", a[2]);
		break;
	}
	case SC_BRK:
		put(t, "brk(0x%" PRIx64 ") = ?\n", a[0]);
		break;
	case SC_FORK:
		put(t, "fork() = %u\n", op->child);
		break;
	case SC_EXIT_GROUP:
		put(t, "exit_group(0)\n");
		break;
	default:
		put(t, "%s(0x%" PRIx64 ", 0x%" PRIx64 ") = ?\n", access_names[op->id], a[0], a[1]);
	}
}

char *program_text(const struct program *g, unsigned *first)
{
	static const char *const modes[] = {[SC_THP_ALWAYS] = "always",
		[SC_THP_MADVISE] = "madvise",
		[SC_THP_INHERIT] = "inherit",
		[SC_THP_NEVER] = "never"};
	struct text t = {0};

	put(&t, "@format %s\n@cpus %u\n@memory %" PRIu64 "K\n@fold %s\n", g->fmt->pt->name,
		PROGRAM_CPUS, g->memory >> 10, g->fold ? "on" : "off");
	*first = 5;
	if (g->feature) {
		put(&t, "@feature %s\n", g->feature);
		++*first;
	}
	if (g->nthp) {
		put(&t, "@thp enabled=%s", modes[g->thp_enabled]);
		for (unsigned i = 0; i < g->nthp; i++)
			put(&t, " %uP=%s", 1u << g->thp[i].order, modes[g->thp[i].mode]);
		put(&t, "\n");
		++*first;
	}
	if (g->fail_at) {
		put(&t, "@fail %" PRIu64 "\n", g->fail_at);
		++*first;
	}
	for (unsigned i = 0; i < g->nr; i++)
		put_op(&t, &g->ops[i]);
	return t.s;
}
