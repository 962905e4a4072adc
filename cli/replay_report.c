// SPDX-License-Identifier: MIT
/* What a replay found, as text and as JSON (docs/JSON.md). */
#include <json-c/json.h>
#include <string.h>

#include "cli/replay.h"

static const char *const cause_names[] = {[PF_CAUSE_OTHER] = "other",
	[PF_CAUSE_ZAP] = "zap",
	[PF_CAUSE_MPROTECT] = "mprotect",
	[PF_CAUSE_COW] = "cow",
	[PF_CAUSE_MOVE] = "move",
	[PF_CAUSE_ACCESS] = "access",
	[PF_CAUSE_MIGRATE] = "migrate",
	[PF_CAUSE_FORK] = "fork"};

static const char *size_name(uint64_t bytes, char *text, size_t room)
{
	static const char units[] = "KMGT";
	unsigned u = 0;

	for (bytes >>= 10; bytes >= 1024 && !(bytes & 1023) && u < 3; bytes >>= 10)
		u++;
	snprintf(text, room, "%llu%c", (unsigned long long)bytes, units[u]);
	return text;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static unsigned long long llu(uint64_t v)
{
	return v;
}

static void report_one(FILE *out, const struct replay_config *c, const struct replay_result *r)
{
	const struct tlb_counters *d = &r->tlb[TLB_DATA], *i = &r->tlb[TLB_INSTR];
	bool any = false;
	char name[32];

	fprintf(out, "\n%s (%s%s%s, TLB %s)\n", c->name, c->fmt->pt->name, *c->spec ? ": " : "",
		c->spec, c->preset);
	if (!r->ok)
		fprintf(out, "  did not finish: %s\n", r->error);
	fprintf(out,
		"  data           %llu accesses, L1 misses %llu (%.4f %%), L2 misses %llu (%.4f "
		"%%), walk loads %llu\n",
		llu(d->accesses), llu(d->l1_miss), percent(d->l1_miss, d->accesses),
		llu(d->l2_miss), percent(d->l2_miss, d->accesses), llu(d->walk_loads));
	fprintf(out,
		"  instructions   %llu page changes, L1 misses %llu, L2 misses %llu, walk loads "
		"%llu\n",
		llu(i->accesses), llu(i->l1_miss), llu(i->l2_miss), llu(i->walk_loads));
	fprintf(out, "  folded         %.2f %% of data accesses through folded entries\n",
		percent(d->folded, d->accesses));
	fprintf(out, "  file, shared   %llu accesses, %llu faults, %llu walks\n",
		llu(r->file_accesses), llu(r->file_faults), llu(r->file_walks));
	fprintf(out, "  faults         %llu (copy on write %llu, spurious %llu)\n", llu(r->faults),
		llu(r->cow), llu(r->spurious));
	fprintf(out, "  anon folios   ");
	for (unsigned o = 0; o < PF_ARRAY_SIZE(r->fault_order); o++)
		if (r->fault_order[o]) {
			any = true;
			fprintf(out, " %s: %llu",
				size_name(UINT64_C(1) << (c->fmt->pt->page_shift + o), name,
					sizeof(name)),
				llu(r->fault_order[o]));
		}
	fprintf(out, "%s\n  blocks         %llu folded, %llu unfolded", any ? "" : " none",
		llu(r->fold), llu(r->unfold));
	for (unsigned k = 0; k < PF_ARRAY_SIZE(cause_names); k++)
		if (r->unfold_cause[k])
			fprintf(out, ", %s %llu", cause_names[k], llu(r->unfold_cause[k]));
	fprintf(out, "; %llu stores that could have folded did not\n", llu(r->fold_failed));
	fprintf(out,
		"  invalidations  %llu TLBIs (%llu by range) for %llu pages, %llu barriers, %llu "
		"TLB entries lost\n",
		llu(r->tlbi), llu(r->tlbi_range), llu(r->tlbi_pages), llu(r->barriers),
		llu(r->dropped));
#if PF_JUDGE || PF_COUNT
	fprintf(out, "  table entries  %llu stores, %llu exchanges\n", llu(r->pte_store),
		llu(r->pte_xchg));
#endif
	fprintf(out,
		"  tables         %llu KiB at most; anonymous memory %llu KiB, files' %llu KiB at "
		"most\n",
		llu(r->table_bytes_peak >> 10),
		llu((r->anon_pages_peak << c->fmt->pt->page_shift) >> 10),
		llu((r->file_pages_peak << c->fmt->pt->page_shift) >> 10));
	if (r->unknown_accesses)
		fprintf(out,
			"  left out       %llu accesses to addresses that the recording does not "
			"map\n",
			llu(r->unknown_accesses));
	if (d->failed + i->failed)
		fprintf(out, "  refused        %llu accesses that the mappings do not allow\n",
			llu(d->failed + i->failed));
	if (r->moved_apart)
		fprintf(out,
			"  moved          %llu mappings that did not find the place they had\n",
			llu(r->moved_apart));
	for (unsigned k = 0; k < PF_ARRAY_SIZE(r->refused) && r->refused[k].times; k++)
		fprintf(out, "  not played     %s, %llu times\n", r->refused[k].what,
			llu(r->refused[k].times));
}

void replay_report(FILE *out, const struct replay_totals *t, const struct replay_config *cfg,
	const struct replay_result *res, unsigned nr, double seconds)
{
	fprintf(out, "%llu accesses of %llu process%s, %llu thread%s%s%s%s, in %.2f s\n",
		llu(t->accesses), llu(t->streams), t->streams == 1 ? "" : "es", llu(t->threads),
		t->threads == 1 ? "" : "s", t->complete ? "" : "; the recording is cut off",
		t->inferred ? "; its mappings are inferred, not observed" : "",
		t->merged ? "; its runs were merged over pages, so misses are not exact" : "",
		seconds);
	fprintf(out,
		"One CPU. Threads take turns after %u accesses each (%llu turns), processes go by "
		"time. LRU, no prefetch.\n",
		REPLAY_SLICE, llu(t->slices));
	for (unsigned i = 0; i < nr; i++)
		report_one(out, &cfg[i], &res[i]);
}

/* ---- JSON ---- */

static void put(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)v));
}

static struct json_object *side_json(const struct tlb_counters *c)
{
	struct json_object *o = json_object_new_object();

	put(o, "accesses", c->accesses);
	put(o, "l1_misses", c->l1_miss);
	put(o, "l2_misses", c->l2_miss);
	put(o, "walk_loads", c->walk_loads);
	put(o, "folded_accesses", c->folded);
	put(o, "upgrades", c->upgrade);
	put(o, "failed", c->failed);
	return o;
}

static struct json_object *result_json(const struct replay_config *c, const struct replay_result *r)
{
	struct json_object *o = json_object_new_object(), *sub;
	char name[32];

	json_object_object_add(o, "name", json_object_new_string(c->name));
	json_object_object_add(o, "config", json_object_new_string(c->spec));
	json_object_object_add(o, "format", json_object_new_string(c->fmt->pt->name));
	json_object_object_add(o, "tlb", json_object_new_string(c->preset));
	json_object_object_add(
		o, "layout", json_object_new_string(c->recorded_layout ? "recorded" : "linux"));
	json_object_object_add(o, "fold",
		json_object_new_string(c->policy == PF_FOLD_OFF     ? "off"
				       : c->policy == PF_FOLD_LINUX ? "linux"
								    : "watch"));
	json_object_object_add(o, "ok", json_object_new_boolean(r->ok));
	if (!r->ok)
		json_object_object_add(o, "error", json_object_new_string(r->error));
	json_object_object_add(o, "cpu_seconds", json_object_new_double(r->seconds));
	json_object_object_add(o, "data", side_json(&r->tlb[TLB_DATA]));
	json_object_object_add(o, "instructions", side_json(&r->tlb[TLB_INSTR]));
	sub = json_object_new_object();
	put(sub, "accesses", r->file_accesses);
	put(sub, "faults", r->file_faults);
	put(sub, "walks", r->file_walks);
	json_object_object_add(o, "file_and_shared", sub);
	put(o, "faults", r->faults);
	put(o, "cow", r->cow);
	put(o, "spurious_faults", r->spurious);
	put(o, "signals", r->signals);
	sub = json_object_new_object();
	for (unsigned k = 0; k < PF_ARRAY_SIZE(r->fault_order); k++)
		if (r->fault_order[k])
			put(sub,
				size_name(UINT64_C(1) << (c->fmt->pt->page_shift + k), name,
					sizeof(name)),
				r->fault_order[k]);
	json_object_object_add(o, "anon_folios", sub);
	put(o, "folds", r->fold);
	put(o, "unfolds", r->unfold);
	sub = json_object_new_object();
	for (unsigned k = 0; k < PF_ARRAY_SIZE(cause_names); k++)
		put(sub, cause_names[k], r->unfold_cause[k]);
	json_object_object_add(o, "unfolds_by_cause", sub);
	put(o, "folds_failed", r->fold_failed);
	put(o, "tlbi", r->tlbi);
	put(o, "tlbi_range", r->tlbi_range);
	put(o, "tlbi_pages", r->tlbi_pages);
	put(o, "barriers", r->barriers);
	put(o, "tlb_entries_lost", r->dropped);
#if PF_JUDGE || PF_COUNT
	put(o, "pte_stores", r->pte_store);
	put(o, "pte_exchanges", r->pte_xchg);
#else
	json_object_object_add(o, "pte_stores", NULL);
	json_object_object_add(o, "pte_exchanges", NULL);
#endif
	put(o, "table_bytes_peak", r->table_bytes_peak);
	put(o, "anon_bytes_peak", r->anon_pages_peak << c->fmt->pt->page_shift);
	put(o, "file_bytes_peak", r->file_pages_peak << c->fmt->pt->page_shift);
	put(o, "forks", r->forks);
	put(o, "events", r->events);
	put(o, "unknown_accesses", r->unknown_accesses);
	put(o, "moved_apart", r->moved_apart);
	sub = json_object_new_object();
	for (unsigned k = 0; k < PF_ARRAY_SIZE(r->refused) && r->refused[k].times; k++)
		put(sub, r->refused[k].what, r->refused[k].times);
	json_object_object_add(o, "not_played", sub);
	return o;
}

void replay_report_json(FILE *out, const struct replay_totals *t, const struct replay_config *cfg,
	const struct replay_result *res, unsigned nr, double seconds, char **paths, int npaths)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(o, "version", json_object_new_int(1));
	for (int i = 0; i < npaths; i++)
		json_object_array_add(list, json_object_new_string(paths[i]));
	json_object_object_add(o, "recordings", list);
	put(o, "accesses", t->accesses);
	put(o, "processes", t->streams);
	put(o, "threads", t->threads);
	put(o, "thread_slice", REPLAY_SLICE);
	put(o, "thread_turns", t->slices);
	json_object_object_add(o, "complete", json_object_new_boolean(t->complete));
	json_object_object_add(o, "inferred", json_object_new_boolean(t->inferred));
	json_object_object_add(o, "merged", json_object_new_boolean(t->merged));
	json_object_object_add(o, "seconds", json_object_new_double(seconds));
	list = json_object_new_array();
	for (unsigned i = 0; i < nr; i++)
		json_object_array_add(list, result_json(&cfg[i], &res[i]));
	json_object_object_add(o, "configs", list);
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
