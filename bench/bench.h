/* SPDX-License-Identifier: MIT */
/*
 * What the two sides measure: the same operation on the same layout, in nanoseconds per 4K page.
 */
#ifndef BENCH_H
#define BENCH_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum op {
	OP_MPROTECT_RO,
	OP_MPROTECT_RW,
	OP_FORK,
	OP_DONTNEED,
	OP_MUNMAP,
	OP_MREMAP_ALIGNED,
	OP_MREMAP_UNALIGNED,
	OP_FREE,
	OP_MLOCK,
	OP_COLLAPSE,
	OP_PAGEOUT,
	OP_RECLAIM,
	OP_FAULT,
	OP_NR,
};

extern const char *const op_name[OP_NR];
extern const int
	op_advice[OP_NR]; /* of those that are madvise; the numbers are Linux's on both sides */

#define RUNS 5

struct layout {
	uint64_t bytes;
	unsigned order; /* of the folios: 0, 4 or 9; always mapped by PTEs */
};

/* One operation, RUNS times; each sample in ns per page. */
struct samples {
	double ns[RUNS];
};

double median(const struct samples *s);
double now_ns(void);

/* ---- the library ---- */

/* The simulated machine, for mappings of up to `bytes`; false if it cannot be had, why is printed. */
bool ours_start(const char *format, uint64_t bytes);
void ours_stop(void);

struct ours_config {
	struct layout layout;
	bool fold;
	bool settled; /* written before; else A is clear in every entry */
	bool data;    /* fault, collapse: pages are cleared and copied, as Linux's are */
};

/* Hardware operations of one run of an operation, per page; xchg and store in counting builds only. */
struct ours_cost {
	double tlbi, dsb, xchg, store;
	uint64_t unfold;
};

/* False if something failed; why is printed. */
bool ours_measure(
	const struct ours_config *cfg, enum op op, struct samples *s, struct ours_cost *cost);
/* The counting program's side: one row. */
void counts_print(const char *name, const char *kase, const struct ours_cost *cost);
/* Have it count every row; `self` is this program's path. False, and said why, if it could not. */
bool counts_ask(const char *self);
/* What it counted, per page; false for rows it does not have. */
bool counts_of(const char *name, const char *kase, double *xchg, double *store);

/* pf_pt_map and pf_pt_unmap, 256 pages a call. */
bool ours_measure_pt(struct samples *map, struct samples *unmap);

/* ---- finding a mapping among many ---- */

#define FIND_VMAS   100000u
#define FIND_STRIDE UINT64_C(8192) /* a page, and a hole, so that none merge */
#define FINDS       200000u
#define FIND_SEED   UINT64_C(88172645463325252)

/* In an order that no cache and no predictor knows. */
static inline uint64_t find_next(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return (*rng >> 11) % FIND_VMAS;
}

/* In ns a find, of addresses in no order. False, and *why, if the host cannot have so many. */
bool ours_measure_find(struct samples *s);
bool find_linux(struct samples *s, const char **why);

/* ---- replay ---- */

/* Prints rows and adds them; ns per access, without a peer. False if something failed; why is printed. */
bool replay_rows(json_object *rows);

/* ---- threads ---- */

/*
 * Rows of several threads at once, measured by another program; ns per page, peer < 0: none. scaling: how many times as much two threads
 * do as one. False if something failed; why is printed.
 */
bool threads_rows(const char *self, bool no_peer,
	void (*row)(void *ctx, const char *name, const char *kase, double ours, double peer,
		double scaling, double peer_scaling),
	void *ctx);

/* ---- instructions ---- */

/*
 * Instructions a call of reading an entry without a lock, per format and state of its block; no peer. None, and a line that says
 * so, where there is no valgrind. False if something failed; why is printed.
 */
bool instructions_rows(const char *self,
	void (*row)(void *ctx, const char *name, const char *kase, double ours), void *ctx);

/* ---- the Linux underneath ---- */

/* False, and *why, if the peer cannot be had (folios of that size not available). */
bool linux_measure(const struct layout *layout, enum op op, struct samples *s, const char **why);
/*
 * Run fn in a child, with transparent huge page settings it may change through thp_only(); they are
 * put back when the child ends, however it ends, and on a signal. Returns the child's exit status.
 */
int with_thp_settings(int (*fn)(void *), void *arg);
/* Let a process have so many mappings. False without permission. */
bool max_maps(unsigned nr);
/* Let MADV_HUGEPAGE give folios of this order and no other. False without permission. */
bool thp_only(unsigned order);

#endif
