// SPDX-License-Identifier: MIT
/*
 * pagefold-bench: every operation, ours and the Linux underneath in one run; a table, and JSON.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "mm/mm.h"

const char *const op_name[OP_NR] = {"mprotect-ro", "mprotect-rw", "fork", "dontneed", "munmap",
	"mremap-aligned", "mremap-unaligned", "madvise-free", "mlock", "collapse", "pageout",
	"reclaim", "fault"};

const int op_advice[OP_NR] = {
	[OP_DONTNEED] = PF_MADV_DONTNEED,
	[OP_FREE] = PF_MADV_FREE,
	[OP_COLLAPSE] = PF_MADV_COLLAPSE,
	[OP_PAGEOUT] = PF_MADV_PAGEOUT,
};

double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(const struct samples *s)
{
	struct samples c = *s;

	qsort(c.ns, RUNS, sizeof(c.ns[0]), cmp);
	return c.ns[RUNS / 2];
}

struct run {
	const char *output;
	uint64_t bytes;
	const char *only; /* operation, or NULL */
	const char *kase; /* what the name of a case contains, or NULL */
	bool no_peer;
	bool counts; /* this is the counting program */
	json_object *rows;
	const char *self;
	char peer[80];
};

static const char *unit_of(const char *name)
{
	if (!strcmp(name, "getter-lockless"))
		return "instructions/call";
	return strcmp(name, "find") ? "ns/page" : "ns/find";
}

/* ours < 0: not measured. peer < 0: not in this run. */
static void row(struct run *r, const char *name, const char *kase, double ours, double peer,
	const struct ours_cost *cost)
{
	json_object *o;
	double xchg, store;

	if (r->counts) {
		if (cost)
			counts_print(name, kase, cost);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "case", json_object_new_string(kase));
	json_object_object_add(o, "unit", json_object_new_string(unit_of(name)));
	json_object_object_add(o, "ours", json_object_new_double(ours));
	json_object_object_add(o, "peer", peer < 0 ? NULL : json_object_new_double(peer));
	json_object_object_add(o, "peer_name", json_object_new_string(r->peer));
	json_object_object_add(o, "ratio", peer < 0 ? NULL : json_object_new_double(peer / ours));
	printf("%-17s %-32s %8.2f", name, kase, ours);
	if (peer < 0)
		printf(" %8s %7s", "-", "-");
	else
		printf(" %8.2f %6.1fx", peer, peer / ours);
	if (cost) {
		double at100 = ours + cost->tlbi * 100, at1000 = ours + cost->tlbi * 1000;

		json_object_object_add(o, "tlbi_per_page", json_object_new_double(cost->tlbi));
		json_object_object_add(o, "dsb_per_page", json_object_new_double(cost->dsb));
		if (counts_of(name, kase, &xchg, &store)) {
			json_object_object_add(o, "xchg_per_page", json_object_new_double(xchg));
			json_object_object_add(o, "store_per_page", json_object_new_double(store));
			printf("  %7.3f %7.3f", xchg, store);
		} else {
			printf("  %7s %7s", "-", "-");
		}
		json_object_object_add(o, "unfold", json_object_new_int64((int64_t)cost->unfold));
		json_object_object_add(o, "ours_tlbi_100ns", json_object_new_double(at100));
		json_object_object_add(o, "ours_tlbi_1us", json_object_new_double(at1000));
		printf("  %9.6f %9.6f %7llu %8.2f %8.2f", cost->tlbi, cost->dsb,
			(unsigned long long)cost->unfold, at100, at1000);
	}
	printf("\n");
	fflush(stdout);
	json_object_array_add(r->rows, o);
}

static void threads_row(void *ctx, const char *name, const char *kase, double ours, double peer,
	double scaling, double peer_scaling)
{
	struct run *r = ctx;
	json_object *o;

	if ((r->only && strcmp(r->only, name)) || (r->kase && !strstr(kase, r->kase)))
		return;
	row(r, name, kase, ours, peer, NULL);
	o = json_object_array_get_idx(r->rows, json_object_array_length(r->rows) - 1);
	json_object_object_add(o, "scaling", json_object_new_double(scaling));
	json_object_object_add(
		o, "peer_scaling", peer_scaling < 0 ? NULL : json_object_new_double(peer_scaling));
	if (scaling != 1) {
		printf("# %s: two threads do %.2f times one", name, scaling);
		if (peer_scaling >= 0)
			printf("; the peer's %.2f", peer_scaling);
		printf("\n");
	}
}

static void counted_row(void *ctx, const char *name, const char *kase, double ours)
{
	struct run *r = ctx;

	if (!r->kase || strstr(kase, r->kase))
		row(r, name, kase, ours, -1, NULL);
}

static bool measure_op(struct run *r, enum op op, unsigned order)
{
	static const char *const size[] = {[0] = "4K", [4] = "64K", [9] = "2M"};
	struct layout l = {r->bytes, order};
	struct samples s;
	const char *why = NULL;
	double peer = -1;

	if (r->no_peer)
		why = NULL;
	else if (linux_measure(&l, op, &s, &why))
		peer = median(&s);
	else
		printf("# %s %s: no peer: %s\n", op_name[op], size[order], why);
	for (unsigned fold = 0; fold < 2; fold++) {
		for (unsigned settled = 0; settled < 2; settled++) {
			struct ours_config c = {.layout = l, .fold = fold, .settled = settled};
			struct ours_cost cost;
			char kase[64];

			if ((!order && fold) || (op == OP_FAULT && !settled))
				continue;
			snprintf(kase, sizeof(kase), "%s fold=%s %s", size[order],
				fold ? "on" : "off", settled ? "settled" : "unsettled");
			if (op == OP_FAULT)
				snprintf(kase, sizeof(kase), "%s fold=%s", size[order],
					fold ? "on" : "off");
			if (r->kase && !strstr(kase, r->kase))
				continue;
			if (!ours_measure(&c, op, &s, &cost))
				return false;
			row(r, op_name[op], kase, median(&s), peer, &cost);
			if (op != OP_FAULT && op != OP_COLLAPSE)
				continue;
			c.data = true;
			strcat(kase, op == OP_FAULT ? " zeroing" : " copying");
			if (!ours_measure(&c, op, &s, &cost))
				return false;
			row(r, op_name[op], kase, median(&s), peer, &cost);
		}
	}
	return true;
}

static bool measure_find(struct run *r)
{
	struct samples s;
	const char *why = NULL;
	double peer = -1;
	char kase[64];

	if (!r->no_peer && find_linux(&s, &why))
		peer = median(&s);
	else if (!r->no_peer)
		printf("# find: no peer: %s\n", why);
	snprintf(kase, sizeof(kase), "one of %u mappings", FIND_VMAS);
	if (!ours_measure_find(&s)) {
		fprintf(stderr, "pagefold-bench: find failed\n");
		return false;
	}
	row(r, "find", kase, median(&s), peer, NULL);
	return true;
}

static int run_all(void *arg)
{
	static const unsigned orders[] = {4, 0, 9};
	struct run *r = arg;
	struct samples map, unmap;

	if (!r->counts) {
		printf("# %llu MiB, arm64-4k on the software machine against %s; ns per 4K page, "
		       "median of %d\n",
			(unsigned long long)(r->bytes >> 20), r->peer, RUNS);
		printf("%-17s %-32s %8s %8s %7s  %7s %7s  %9s %9s %7s %8s %8s\n", "operation",
			"case", "ours", "peer", "ratio", "xchg", "store", "tlbi", "dsb", "unfolds",
			"@100ns", "@1us");
	}
	if (!ours_start("arm64-4k", r->bytes))
		return 1;
	for (unsigned i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		for (enum op op = 0; op < OP_NR; op++)
			/* What is 2M already is not collapsed. */
			if (!(op == OP_COLLAPSE && orders[i] == 9) &&
				(!r->only || !strcmp(r->only, op_name[op])) &&
				!measure_op(r, op, orders[i]))
				return 1;
	if (!r->only || !strncmp(r->only, "pt-", 3)) {
		if (!ours_measure_pt(&map, &unmap))
			return 1;
		row(r, "pt-map", "4K 256 pages a call", median(&map), -1, NULL);
		row(r, "pt-unmap", "4K 256 pages a call", median(&unmap), -1, NULL);
	}
	if (!r->counts && (!r->only || !strcmp(r->only, "find")) && !measure_find(r))
		return 1;
	ours_stop();
	if (r->counts)
		return 0;
	if ((!r->only || strstr(r->only, "-disjoint")) &&
		!threads_rows(r->self, r->no_peer, threads_row, r))
		return 1;
	if ((!r->only || !strcmp(r->only, "getter-lockless")) &&
		!instructions_rows(r->self, counted_row, r))
		return 1;
	if ((!r->only || !strcmp(r->only, "replay")) && !replay_rows(r->rows))
		return 1;
	if (r->output && json_object_to_file_ext(r->output, r->rows, JSON_C_TO_STRING_PRETTY)) {
		fprintf(stderr, "pagefold-bench: %s: cannot write\n", r->output);
		return 1;
	}
	return 0;
}

static void usage(FILE *f)
{
	fputs("pagefold-bench [--output FILE] [--size MiB] [--only OPERATION] [--case TEXT] "
	      "[--no-peer]\n"
	      "Time the library against the Linux underneath, per 4K page. Changes the host's\n"
	      "transparent huge page settings meanwhile (root only) and puts them back.\n",
		f);
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {{"output", required_argument, NULL, 'o'},
		{"size", required_argument, NULL, 's'}, {"only", required_argument, NULL, 'n'},
		{"case", required_argument, NULL, 'c'}, {"no-peer", no_argument, NULL, 'p'},
		{"counts", no_argument, NULL, 'C'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	struct run r = {.bytes = UINT64_C(1) << 30, .self = argv[0]};
	struct utsname u;
	int c;

	while ((c = getopt_long(argc, argv, "o:s:n:c:ph", opts, NULL)) != -1) {
		switch (c) {
		case 'o':
			r.output = optarg;
			break;
		case 's':
			r.bytes = strtoull(optarg, NULL, 0) << 20;
			break;
		case 'n':
			r.only = optarg;
			break;
		case 'c':
			r.kase = optarg;
			break;
		case 'p':
			r.no_peer = true;
			break;
		case 'C': /* asked by counts_ask() */
			r.counts = r.no_peer = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (!r.bytes || r.bytes % (2u << 20)) {
		fprintf(stderr, "pagefold-bench: --size: a multiple of 2 MiB, please\n");
		return 2;
	}
	uname(&u);
	snprintf(r.peer, sizeof(r.peer), "Linux %.60s", u.release);
	r.rows = json_object_new_array();
	if (!r.counts)
		counts_ask(argv[0]);
	return r.counts ? run_all(&r) : with_thp_settings(run_all, &r);
}
