/* SPDX-License-Identifier: MIT */
#include "player.h"

#include <stdlib.h>

#define NO_KEY UINT64_MAX

static struct player {
	struct tlb_model *model;
	uint64_t key[TRACE_WORD_PLACES];
} players[8];

static struct player *player_of(const struct tlb_model *m)
{
	for (unsigned i = 0; i < PF_ARRAY_SIZE(players); i++)
		if (players[i].model == m)
			return &players[i];
	abort();
}

struct tlb_model *player_new(const struct tlb_cfg *cfg, tlb_xlate_fn *xlate, void *ctx)
{
	struct player *p = player_of(NULL);

	p->model = tlbmodel_new(cfg, xlate, ctx);
	for (unsigned i = 0; i < TRACE_WORD_PLACES; i++)
		p->key[i] = NO_KEY;
	return p->model;
}

void player_free(struct tlb_model *m)
{
	player_of(m)->model = NULL;
	tlbmodel_free(m);
}

void player_run(
	struct tlb_model *m, uint64_t page, unsigned asid, unsigned flags, uint64_t accesses)
{
	struct player *p = player_of(m);
	uint64_t key = (uint64_t)asid << 48 | page;
	unsigned hash = (unsigned)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
	unsigned place = flags & TLB_RUN_EXEC
				 ? TRACE_WORD_CODE + hash % (TRACE_WORD_PLACES - TRACE_WORD_CODE)
				 : hash % TRACE_WORD_CODE;
	trace_word word = place | flags << TRACE_WORD_FLAGS |
			  (uint32_t)(accesses & TRACE_WORD_LOW) << TRACE_WORD_COUNT;

	if (p->key[place] != key) {
		p->key[place] = key;
		tlbmodel_place(m, place, page, asid, page & 8);
	}
	if (accesses > TRACE_WORD_LOW)
		tlbmodel_run_long(m, word, accesses);
	else if (tlbmodel_run(m, &word, 1) != 1)
		abort();
}
