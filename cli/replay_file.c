// SPDX-License-Identifier: MIT
/*
 * The files that recorded programs map: a page cache that has whatever is asked for, in folios as large as the
 * configuration says, for all processes. What they hold does not matter here.
 */
#include <stdlib.h>

#include "cli/replay.h"

struct replay_file {
	struct replay_file *next;
	uint64_t device, inode;
	struct pf_mapping *mapping;
};

static int no_contents(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr)
{
	(void)mapping, (void)index, (void)pa, (void)nr;
	return 0;
}

static int no_punch(struct pf_mapping *mapping, uint64_t index, uint64_t nr)
{
	(void)mapping, (void)index, (void)nr;
	return 0;
}

static const struct pf_mapping_ops ops = {
	.read = no_contents, .write = no_contents, .punch = no_punch};

static struct replay_file *find(const struct replay_world *w, uint64_t device, uint64_t inode)
{
	struct replay_file *f = inode ? w->files : NULL;

	while (f && (f->device != device || f->inode != inode))
		f = f->next;
	return f;
}

struct pf_mapping *replay_file(
	struct replay_world *w, uint64_t device, uint64_t inode, uint64_t bytes)
{
	struct replay_file *f = find(w, device, inode);

	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			abort();
		*f = (struct replay_file){.next = w->files, .device = device, .inode = inode};
		f->mapping = pf_mapping_create(&w->sys, &ops, f, bytes);
		if (!f->mapping) {
			free(f);
			return NULL;
		}
		f->mapping->orders = (UINT32_C(2) << w->cfg->file_order) - 1;
		w->files = f;
	}
	if (bytes > f->mapping->size)
		pf_mapping_truncate(f->mapping, bytes);
	return f->mapping;
}

uint64_t replay_file_pages(const struct replay_world *w)
{
	uint64_t pages = 0;

	for (const struct replay_file *f = w->files; f; f = f->next)
		pages += f->mapping->nr_pages;
	return pages;
}

void replay_files_end(struct replay_world *w)
{
	while (w->files) {
		struct replay_file *f = w->files;

		w->files = f->next;
		pf_mapping_put(f->mapping);
		free(f);
	}
}
