// SPDX-License-Identifier: MIT
/* Drawing a program. */
#include <stdlib.h>
#include <string.h>

#include "cli/program.h"

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

static uint64_t draw(struct program_drawing *d, uint64_t n)
{
	return source_draw(&d->src, n);
}

#define BRK_START UINT64_C(0x2000000)

void program_draw_op(struct program_drawing *d, struct op *op)
{
	unsigned all = 0, what;
	const struct program_call *c;

	for (c = program_calls; c->name && (d->g->wide || !c->wide); c++)
		all += c->weight;
	do {
		if (!draw(d, 6))
			d->cpu[d->pid] = (unsigned)draw(d, PROGRAM_CPUS);
		if (!draw(d, 4)) {
			unsigned pid = 1 + (unsigned)draw(d, PROGRAM_MAX_PID);

			if (d->alive[pid])
				d->pid = pid;
		}
		what = (unsigned)draw(d, all);
		for (c = program_calls; what >= c->weight; c++)
			what -= c->weight;
		*op = (struct op){.id = c->id, .pid = d->pid, .cpu = d->cpu[d->pid]};
	} while (!c->draw(d, op));
}

/* ---- settings ---- */

static const char *const feature_sets[] = {NULL, NULL, "bbm0", "bbml1", "bbml2", "bbml2-noabort",
	"no-haf", "haf bbm0", "no-haf bbm0", "no-haf bbml2-noabort", "hafdbs bbm0 no-tlbirange",
	"no-tlbirange no-ttl", "no-ttl bbml2-noabort"};

static void draw_settings(struct program_drawing *d)
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

void program_begin(struct program_drawing *d, struct program *g, const struct pf_format *fmt,
	uint64_t seed, unsigned room)
{
	const struct pf_pt_format *pt = fmt->pt;

	*d = (struct program_drawing){
		.src.rng = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15),
		.g = g,
		.page = UINT64_C(1) << pt->page_shift,
		.alive = {[1] = true},
		.pid = 1,
	};
	if (!d->src.rng)
		d->src.rng = 1;
	d->block = d->page << (pt->cont_shift[0] ? pt->cont_shift[0] : 4);
	*g = (struct program){.fmt = fmt,
		.seed = seed,
		.swap = true,
		.brk_start = BRK_START,
		.top = pt->va_bits < 64 ? UINT64_C(1) << pt->va_bits : 0};
	for (unsigned i = 0; i < 4; i++)
		source_draw(&d->src, 2);
	draw_settings(d);
	g->ops = calloc(room, sizeof(*g->ops));
	if (!g->ops)
		abort();
}

void program_draw(struct program *g, const struct pf_format *fmt, uint64_t seed, unsigned steps,
	const uint8_t *bytes, size_t nbytes)
{
	struct program_drawing d;

	program_begin(&d, g, fmt, seed, steps + 2);
	g->frees = draw(&d, 2);
	g->shares = draw(&d, 2);
	g->nfiles = g->shares ? (unsigned)draw(&d, 3) : 0;
	g->file_size = 20 * d.page - 100;
	d.src.bytes = bytes;
	d.src.nr = nbytes;
	g->ops[g->nr++] = (struct op){.id = SC_MMAP,
		.pid = 1,
		.a = {g->base, g->pages * d.page, 3,
			PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED, UINT64_MAX}};
	/* Where memory is scarce, it is used at once. */
	if (g->memory < 3 * g->pages * d.page)
		g->ops[g->nr++] = (struct op){.id = SC_STORE,
			.pid = 1,
			.a = {g->base, g->pages * d.page - draw(&d, 64) * d.page}};
	while (g->nr <= steps && (!bytes || d.src.nr))
		program_draw_op(&d, &g->ops[g->nr++]);
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
