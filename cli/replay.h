/* SPDX-License-Identifier: MIT */
/*
 * `pagefold replay`: recordings through the memory manager and TLB models, many configurations in one
 * pass.
 *
 *   replay.c         the command: options, the pass, one process for each configuration beyond one
 *   replay_config.c  what a configuration is, and how one is written
 *   replay_source.c  streams and threads of a recording, put into one order
 *   replay_share.c   that order handed to several processes at once
 *   replay_layout.c  from recorded addresses to those of the replay
 *   replay_world.c   one configuration: machine, address spaces, runs
 *   replay_xlate.c   faults, and translations for the TLB model
 *   replay_event.c   what the recorded calls do to an address space
 *   replay_file.c    the files that they map
 *   replay_report.c  results as text and as JSON
 *
 * A machine is one to a process (its port is compiled in), so each configuration of several is played by
 * a process of its own; the recording is decoded once, for all.
 */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

#include <stdio.h>
#include <sys/types.h>

#include "cli/tlb_presets.h"
#include "cli/trace_format.h"
#include "mm/mapping.h"
#include "mm/mm.h"
#include "phys/phys.h"

/* ---- configurations (replay_config.c) ---- */

struct replay_config {
	char name[64];
	char spec[256]; /* as it was written */
	const struct pf_format *fmt;
	enum pf_fold_policy policy;
	struct pf_thp thp;
	uint32_t features;
	uint64_t memory;
	unsigned file_order;  /* of the largest folios of files and shared memory */
	bool recorded_layout; /* addresses as recorded; else placed as Linux would */
	char preset[32];
	struct tlb_cfg tlb;
};

/* Defaults: arm64-4k, newest cores, 64K folios always, folding as Linux does it, neoverse-n1. */
void replay_config_init(struct replay_config *c);
/* "NAME=KEY=VALUE,..." or "NAME". False with a message (static storage). */
bool replay_config_parse(struct replay_config *c, const char *text, const char **why);
void replay_config_help(FILE *out);

/* ---- the recording, in one order (replay_source.c) ---- */

enum replay_kind {
	REPLAY_RUNS,
	REPLAY_EVENT,
	REPLAY_FORK, /* the stream's process made `child` */
	REPLAY_END,  /* the stream's process is gone, or its recording is */
	REPLAY_DONE, /* nothing follows */
};

/* Words of a step: what a batch of a recording has. */
#define REPLAY_STEP_WORDS TRACE_BATCH_WORDS

struct replay_step {
	enum replay_kind kind;
	uint32_t stream, child;   /* numbers from 0 */
	uint32_t thread;          /* of runs: whose table of places their words mean, from 0 */
	bool own_program;         /* of an event MAP: it maps the program itself */
	struct trace_event event; /* without its text */
	const trace_word *words;  /* runs, as trace_word.h has them, none cut in two */
	size_t nr_words;          /* at most REPLAY_STEP_WORDS */
	uint64_t accesses;        /* of data, by the words */
};

struct replay_source;

/* NULL with *error (the caller frees it). Paths: manifests or streams; each is a recording by itself. */
struct replay_source *replay_source_open(char **paths, int nr, char **error);
void replay_source_close(struct replay_source *s);
/* 1, or -1 with *error. After REPLAY_DONE it is not called again. The step lives until the next call. */
int replay_source_next(struct replay_source *s, struct replay_step *step, char **error);

struct replay_totals {
	uint64_t accesses, streams, threads, slices;
	bool complete, inferred, merged;
	unsigned machine; /* ELF e_machine of the first stream */
};
void replay_source_totals(const struct replay_source *s, struct replay_totals *t);

/* Threads take turns after so many accesses. */
#define REPLAY_SLICE 10000u

/* ---- to several processes (replay_share.c) ---- */

struct replay_share;

struct replay_share *replay_share_new(unsigned readers);
void replay_share_free(struct replay_share *s);
/* Of the writer: which process a reader is, so that its death is noticed. */
void replay_share_reader_is(struct replay_share *s, unsigned reader, pid_t pid);
/* Waits for the slowest reader that is not gone. */
void replay_share_put(struct replay_share *s, const struct replay_step *step);
/* The next step for this reader; it lives until the next call. */
const struct replay_step *replay_share_get(struct replay_share *s, unsigned reader);
/* Of a reader: it will ask for no more, and is not waited for. */
void replay_share_gone(struct replay_share *s, unsigned reader);

/* ---- addresses (replay_layout.c) ---- */

/* What a mapping is of. */
enum replay_backing { REPLAY_ANON, REPLAY_FILE, REPLAY_SHARED };

/* Recorded pages [start, end) are pages start + delta and so on of the replay. */
struct replay_segment {
	uint64_t start, end;
	int64_t delta;
	enum replay_backing backing;
};

struct replay_layout {
	struct replay_segment *seg; /* ascending, none overlapping */
	size_t nr, room;
};

/* The segment that holds a page, or the first one after it, or NULL. */
const struct replay_segment *replay_layout_find(const struct replay_layout *l, uint64_t page);
/* Forget [start, end). */
void replay_layout_remove(struct replay_layout *l, uint64_t start, uint64_t end);
/* Replaces what is there. */
void replay_layout_add(struct replay_layout *l, const struct replay_segment *seg);
void replay_layout_copy(struct replay_layout *to, const struct replay_layout *from);
void replay_layout_free(struct replay_layout *l);

/* ---- one configuration (replay_world.c) ---- */

struct replay_result {
	struct tlb_counters tlb[TLB_SIDES];
	/* Of these, what went to file mappings, and to shared memory. */
	uint64_t file_accesses, file_faults, file_walks;
	uint64_t unknown_accesses; /* to addresses that the recording never mapped */
	uint64_t faults, spurious, cow, signals, out_of_memory;
	uint64_t fault_order[16];
	uint64_t fold, unfold, fold_failed, unfold_cause[8];
	uint64_t tlbi, tlbi_range, tlbi_pages, barriers, pte_store, pte_xchg;
	uint64_t table_bytes, table_bytes_peak, anon_pages_peak, file_pages_peak;
	uint64_t dropped;                    /* TLB entries lost to invalidations */
	uint64_t forks, events, moved_apart; /* mappings that did not find the place they had */
	struct {
		char what[32];
		uint64_t times;
	} refused[16];  /* calls that the recording has and the library does not, or not so */
	double seconds; /* of this configuration alone */
	bool ok;
	char error[256]; /* if not */
};

/* The table of a thread that its words mean: recorded pages. */
struct replay_places {
	uint64_t page[TRACE_WORD_PLACES];
};

struct replay_process {
	uint32_t stream;
	uint16_t asid;
	bool have_mm, forked; /* forked: its mappings came from its parent */
	struct pf_mm mm;
	struct replay_layout layout; /* recorded pages to pages of the replay */
	struct replay_layout placed; /* what backs those, by page of the replay; its deltas are 0 */
	uint64_t brk_start;          /* recorded; 0 not known yet */
	int64_t brk_delta;           /* bytes */
	/* Mappings of the start, until all are known: they are placed together. */
	struct replay_step *initial;
	size_t nr_initial, room_initial;
	struct replay_places *thread; /* by number */
	size_t nr_threads;
	struct replay_process *next;
};

#define REPLAY_REGION_SHIFT 9u /* log2 of its 4K pages */
#define REPLAY_REGIONS      (1u << 12)
#define REPLAY_SEGMENTS     (1u << 8)

/* What the tables say of a region's pages: translations, 0 if not known. */
struct replay_region {
	uint64_t number; /* key of the first page >> REPLAY_REGION_SHIFT; UINT64_MAX: of none */
	uint32_t *x;
};

struct replay_world {
	const struct replay_config *cfg;
	struct pf_phys phys;
	struct pf_system sys;
	struct tlb_model *tlb;
	struct replay_process *processes, *loaded;
	struct replay_file *files;
	struct replay_process **by_asid; /* 65536 */
	struct replay_result *result;
	unsigned walk_shift; /* log2 of 4K pages in a page of the format */

	/*
	 * Translations that the tables gave, so that a TLB miss need not walk them again. A region is forgotten when
	 * its tables change. The order of the array is by hash of the number.
	 */
	struct replay_region *region;

	/* By hash of a recorded page, the segment that such a page was in last; of one process, until an event. */
	const struct replay_segment *segment[REPLAY_SEGMENTS];
	const struct replay_process *segments_of;
	/* Whose places the TLB model knows, as far as it does. */
	const struct replay_process *placed_for;
	uint32_t placed_thread;
};

/* Plays one configuration from `next` to the end. */
void replay_play(const struct replay_config *cfg, const struct replay_step *(*next)(void *ctx),
	void *ctx, struct replay_result *result);

/* Note what stopped it; the first only. Always false. */
bool replay_fail(struct replay_world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void replay_load(struct replay_world *w, struct replay_process *p);
bool replay_process_start(struct replay_world *w, struct replay_process *p);
void replay_refused(struct replay_world *w, const char *what);

/* ---- translations (replay_xlate.c) ---- */

bool replay_xlate_start(struct replay_world *w);
void replay_xlate_end(struct replay_world *w);
/* The translation of that page may be asked for next. */
void replay_xlate_soon(const struct replay_world *w, uint64_t page, unsigned asid);
/* Translate for the TLB model, by faults if need be; ctx is the world. */
tlb_xlate_t replay_translate(void *ctx, uint64_t page, unsigned asid, enum tlb_access access);

/* The tables of pages [page, page + nr) of p (4K pages of the replay) may have changed, or all. */
void replay_changed(
	struct replay_world *w, const struct replay_process *p, uint64_t page, uint64_t nr);
void replay_changed_all(struct replay_world *w, const struct replay_process *p);
/* A TLB operation of the library's, passed on by the port: the model forgets just what it names. */
struct machine_tlbi;
void replay_tlbi(void *ctx, const struct machine_tlbi *op);

/* ---- what calls do (replay_event.c) ---- */

/* False: cannot go on (noted). */
bool replay_event(struct replay_world *w, struct replay_process *p, const struct replay_step *step);
/* Place the mappings that the process started with. */
bool replay_place_initial(struct replay_world *w, struct replay_process *p);

/* ---- files (replay_file.c) ---- */

/*
 * The pages of a file that is `bytes` long at least: those that were there, if it has been asked for. Without an
 * inode it is nobody else's. NULL: no memory.
 */
struct pf_mapping *replay_file(
	struct replay_world *w, uint64_t device, uint64_t inode, uint64_t bytes);
uint64_t replay_file_pages(const struct replay_world *w); /* in memory */
void replay_files_end(struct replay_world *w);            /* no process maps any */

/* ---- results (replay_report.c) ---- */

void replay_report(FILE *out, const struct replay_totals *t, const struct replay_config *cfg,
	const struct replay_result *res, unsigned nr, double seconds);
void replay_report_json(FILE *out, const struct replay_totals *t, const struct replay_config *cfg,
	const struct replay_result *res, unsigned nr, double seconds, char **paths, int npaths);

#endif
