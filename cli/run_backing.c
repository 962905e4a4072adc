// SPDX-License-Identifier: MIT
/* Files made by @file: a mapping each, whose contents are kept beside it and go there and back as a disk's would. */
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"

static char *at(struct pf_mapping *mapping, uint64_t index)
{
	const struct run_file *f = mapping->ctx;

	return f->data + (index << mapping->sys->fmt->pt->page_shift);
}

/* Bytes of nr pages from index on that lie in the file. */
static size_t within(const struct pf_mapping *mapping, uint64_t index, uint64_t nr)
{
	const struct run_file *f = mapping->ctx;
	unsigned shift = mapping->sys->fmt->pt->page_shift;
	uint64_t from = index << shift, to = (index + nr) << shift;

	return to <= f->size ? to - from : from < f->size ? f->size - from : 0;
}

static int read_pages(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	const struct run_file *f = mapping->ctx;

	pf_port_clear_pages(pa, (size_t)nr << mapping->sys->fmt->pt->page_shift);
	if (f->data)
		memcpy(pf_port_data(pa, within(mapping, index, nr), true), at(mapping, index),
			within(mapping, index, nr));
	return 0;
}

static int write_pages(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	memcpy(at(mapping, index), pf_port_data(pa, within(mapping, index, nr), false),
		within(mapping, index, nr));
	return 0;
}

static int punch(struct pf_mapping *mapping, uint64_t index, uint64_t nr)
{
	const struct run_file *f = mapping->ctx;

	if (f->data)
		memset(at(mapping, index), 0, within(mapping, index, nr));
	return 0;
}

static const struct pf_mapping_ops ops = {.read = read_pages, .write = write_pages, .punch = punch};
/* What nobody keeps is not given up. */
static const struct pf_mapping_ops log_ops = {.read = read_pages, .punch = punch};

/* SCENARIOS.md has one word for folio sizes: what it always uses for memory, files get too. */
static uint32_t orders(const struct run_world *w)
{
	uint32_t bits = 1;

	for (unsigned o = 0; o < PF_ARRAY_SIZE(w->sys.thp.order); o++)
		if (w->sys.thp.order[o] == PF_THP_ALWAYS ||
			(w->sys.thp.order[o] == PF_THP_INHERIT &&
				w->sys.thp.enabled == PF_THP_ALWAYS))
			bits |= 1u << o;
	return bits;
}

/* How long a file may be of which that is not known. */
#define LOGGED_FILE_SIZE (UINT64_C(1) << 50)

static bool make_contents(struct run_world *w, const struct sc_made_file *m, struct run_file *f)
{
	const char *why;

	f->size = LOGGED_FILE_SIZE;
	if (!m->size)
		return true;
	if (!sc_eval(m->size, &w->env, &f->size, &why))
		return run_verdict(w, RUN_BAD_INPUT, "@file: %s", why);
	f->data = calloc(1, f->size ? f->size : 1);
	if (!f->data)
		abort();
	return true;
}

bool run_backing_start(struct run_world *w)
{
	const struct sc_made_file *files = w->cfg->file->settings.files;

	for (const struct sc_made_file *m = files; m; m = m->next)
		w->nfiles++;
	w->files = calloc(w->nfiles + 1, sizeof(*w->files));
	if (!w->files)
		abort();
	struct run_file *f = w->files;

	for (const struct sc_made_file *m = files; m; m = m->next, f++) {
		if (!make_contents(w, m, f))
			return false;
		/* A start that fails for lack of memory leaves nothing, and the second works. */
		for (unsigned tries = 0; tries < 2 && !f->mapping; tries++)
			f->mapping =
				pf_mapping_create(&w->sys, f->data ? &ops : &log_ops, f, f->size);
		if (!f->mapping)
			return run_fail(w, "expected a file, found no memory for it");
		f->mapping->orders = orders(w);
		oracle_file(w->oracle, f->size);
	}
	return true;
}

void run_backing_end(struct run_world *w)
{
	for (unsigned i = 0; i < w->nfiles && w->files[i].mapping; i++) {
		pf_mapping_put(w->files[i].mapping);
		w->files[i].mapping = NULL;
	}
}

void run_backing_drop(struct run_world *w)
{
	for (unsigned i = 0; i < w->nfiles; i++)
		free(w->files[i].data);
	free(w->files);
	w->files = NULL;
	w->nfiles = 0;
}

int64_t run_fd(const struct run_world *w, const char *name)
{
	int64_t fd = RUN_FIRST_FD;

	for (const struct sc_made_file *m = w->cfg->file->settings.files; m; m = m->next, fd++)
		if (!strcmp(m->name, name))
			return fd;
	return -1;
}

const struct run_file *run_file_of(const struct run_world *w, uint64_t fd)
{
	uint64_t n = fd - RUN_FIRST_FD;

	return n < w->nfiles && w->files[n].mapping ? &w->files[n] : NULL;
}
