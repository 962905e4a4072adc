// SPDX-License-Identifier: MIT
/* The swap device of @swap: bytes go there and come back, so that a page lost on the way is seen as data. */
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"

static int device_read(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	struct run_world *w = ctx;

	memcpy(pf_port_data(pa, bytes, true), w->swap + slot * w->env.page, bytes);
	w->swap_reads++;
	return 0;
}

static int device_write(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	struct run_world *w = ctx;

	memcpy(w->swap + slot * w->env.page, pf_port_data(pa, bytes, false), bytes);
	return 0;
}

static const struct pf_swap_ops device = {.read = device_read, .write = device_write};

bool run_swap_start(struct run_world *w)
{
	uint64_t size, before;
	const char *why;

	if (!w->cfg->file->settings.swap)
		return true;
	sc_eval(w->cfg->file->settings.swap, &w->env, &size, &why);
	w->swap_slots = size / w->env.page;
	w->swap = calloc(1, size);
	if (!w->swap)
		abort();
	for (unsigned tries = 0; tries < 2; tries++) {
		before = machine_counters.allocs;
		w->swap_dev = pf_swapon(&w->sys, &device, w, w->swap_slots);
		if (w->swap_dev >= 0)
			return true;
		if (before >= w->fail_at || machine_counters.allocs < w->fail_at)
			break;
	}
	return run_fail(w, "expected a swap device of %llu pages, found error %s",
		(unsigned long long)w->swap_slots, sc_errno_name(-w->swap_dev));
}

static struct pf_swap *swap_of(struct run_world *w)
{
	return w->swap ? w->sys.swaps.dev[w->swap_dev] : NULL;
}

uint64_t run_swap_word(struct run_world *w, pf_pte_t pte)
{
	struct pf_swap *dev = swap_of(w);
	struct pf_folio *folio = pf_swap_cache_get(dev, pf_pte_swap_offset(pte));
	const char *at = w->swap + pf_pte_swap_offset(pte) * w->env.page;
	uint64_t word;

	if (folio) {
		uint64_t page = pf_pte_swap_offset(pte) - pf_folio_swap_slot(folio);

		at = pf_port_virt((pf_folio_pfn(&w->phys, folio) + page) * w->env.page);
	}
	memcpy(&word, at, sizeof(word));
	if (folio)
		pf_folio_put(&w->phys, folio, 1);
	return word;
}

bool run_swap_end(struct run_world *w)
{
	struct pf_swap *dev = swap_of(w);
	const char *wrong = dev ? pf_swap_check(dev) : NULL;

	if (wrong)
		return run_fail(w, "expected swap in order at the end, found: %s", wrong);
	if (!dev)
		return true;
	if (pf_swap_free(dev) != w->swap_slots)
		return run_fail(w, "expected every swap slot free at the end, found %llu in use",
			(unsigned long long)(w->swap_slots - pf_swap_free(dev)));
	return !pf_swapoff(&w->sys, (unsigned)w->swap_dev) ||
	       run_fail(w, "expected swapoff at the end, found an error");
}

void run_swapoff(struct run_world *w, struct run_result *r)
{
	uint64_t before = machine_counters.allocs;
	int err = w->swap ? pf_swapoff(&w->sys, (unsigned)w->swap_dev) : -PF_EINVAL;

	*r = (struct run_result){.kind = SC_R_VALUE};
	if (err)
		*r = (struct run_result){.kind = SC_R_ERRNO,
			.err = -err,
			.injected = err == -PF_ENOMEM && before < w->fail_at &&
				    machine_counters.allocs >= w->fail_at};
}
