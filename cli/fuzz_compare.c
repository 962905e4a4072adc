// SPDX-License-Identifier: MIT
/* What Linux and the library must have in common after every call. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fuzz.h"
#include "mm/proc.h"
#include "mm/vma.h"

bool fuzz_differ(struct fuzz_play *y, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (y->verdict != FUZZ_SAME)
		return false;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	y->verdict = FUZZ_DIFFERENT;
	y->why = strdup(text);
	return false;
}

/*
 * Folios of several pages, which bring pages that nobody has touched; or huge ones that are split another way than the host's: of
 * shared memory Linux unmaps all of it, of private memory it gives up what is zero.
 */
static bool has_folios(const struct fuzz_play *y)
{
	return y->g->nthp || (y->g->huge && (y->g->shares || y->splits));
}

/* ---- exceptions ---- */

enum {
	EXECUTE_ONLY,
	SPLIT_BEFORE_SEAL,
	UFFD_WP_LEFT,
	COLLAPSE_BUSY,
	SCAN_MARKS_MARKERS,
	MOVE_HUGE_BUSY,
	AROUND_LAST,
	AROUND_BUSY,
};

struct fuzz_exception fuzz_exceptions[] = {
	[EXECUTE_ONLY] = {"execute-only", 0},
	[SPLIT_BEFORE_SEAL] = {"split-before-seal", 0},
	[UFFD_WP_LEFT] = {"uffd-wp-left", 0},
	[COLLAPSE_BUSY] = {"collapse-busy", 0},
	[SCAN_MARKS_MARKERS] = {"scan-marks-markers", 0},
	[MOVE_HUGE_BUSY] = {"move-huge-busy", 0},
	[AROUND_LAST] = {"around-last", 0},
	[AROUND_BUSY] = {"around-busy", 0},
	{NULL, 0},
};

/* The program ends: from here on the two may differ in what follows from it. Always false. */
static bool swallow(struct fuzz_play *y, unsigned which)
{
	fuzz_exceptions[which].swallowed++;
	y->verdict = FUZZ_EXCEPTION;
	return false;
}

#define ACCESS (PF_VM_READ | PF_VM_WRITE | PF_VM_EXEC)

/* A load that x86-64 allows, where the mapping allows nothing but executing. */
static bool loads_execute_only(struct run_process *p, const struct op *op,
	const struct fuzz_answer *a, const struct run_result *r)
{
	struct pf_vma_info v;

	return op->id == SC_LOAD && r->kind == SC_R_SEGV && (a->signal != 11 || a->at > r->value) &&
	       pf_find_vma_info(&p->mm, r->value, &v) && v.area.start <= r->value &&
	       (v.area.flags & ACCESS) == PF_VM_EXEC;
}

/* Does a mapping in the range allow nothing but executing? */
static bool executes_only(struct run_process *p, uint64_t start, uint64_t len)
{
	struct pf_vma_info v;

	for (uint64_t at = start;
		at < start + len && pf_find_vma_info(&p->mm, at, &v) && v.area.start < start + len;
		at = v.area.end)
		if ((v.area.flags & ACCESS) == PF_VM_EXEC)
			return true;
	return false;
}

/* UFFDIO_COPY from there, which is loading, too; and has loaded one page more than it has copied, if it has copied any. */
static bool copies_execute_only(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a, int64_t mine)
{
	return op->id == SC_UFFDIO_COPY &&
	       (mine != a->result || y->uffd_done != a->done || a->done > 0) &&
	       executes_only(p, op->a[4], op->a[1]);
}

bool fuzz_executes_only(struct fuzz_play *y, struct run_process *p, const struct op *op)
{
	for (unsigned i = 0; op->id == SC_PROCESS_VM_WRITEV && i < op->a[2]; i++)
		if (executes_only(p, op->part[0][i].base, op->part[0][i].len))
			return swallow(y, EXECUTE_ONLY);
	return false;
}

/* ---- results ---- */

static void describe(char *text, size_t size, bool access, int64_t v, int signal, uint64_t at)
{
	if (signal)
		snprintf(text, size, "%s at 0x%" PRIx64,
			signal == 11  ? "SIGSEGV"
			: signal == 7 ? "SIGBUS"
				      : "another signal",
			at);
	else if (!access && v < 0 && v > -4096)
		snprintf(text, size, "-1 %s", sc_errno_name((int)-v));
	else
		snprintf(text, size, v > 9 || v < 0 ? "0x%" PRIx64 : "%" PRIu64, (uint64_t)v);
}

static bool compare_loaded(struct fuzz_play *y, struct run_process *p, const struct fuzz_answer *a)
{
	struct run_world *w = &y->w;

	for (unsigned i = 0; i < a->nloaded && i < w->nloaded; i++) {
		uint64_t host = fuzz_host_stamp_number(a->loaded[i]);
		uint64_t lib = run_stamp_number(w, w->loaded[i]);
		char mine[96], yours[96];

		if (y->f->planted == FUZZ_PLANT_BYTES && p->pid > 1 && lib && i == 2)
			lib--;
		if (host == lib && !host == !a->loaded[i] && !lib == !w->loaded[i])
			continue;
		run_describe_value(w, w->loaded[i], mine, sizeof(mine));
		run_describe_value(
			w, host ? w->loaded[i] - lib + host : a->loaded[i], yours, sizeof(yours));
		return fuzz_differ(y, "process %u finds, %u pages on, %s in Linux and %s here",
			p->pid, i, yours, mine);
	}
	return true;
}

/* mincore's bytes: where folios are large, what is there in Linux is there here. */
static bool compare_resident(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a)
{
	uint8_t vec[FUZZ_SHOWN] = {0};

	if (!a->nloaded)
		return true;
	RUN_UNCOUNTED(pf_mincore(&p->mm, op->a[0], a->nloaded * FUZZ_PAGE, vec));
	for (unsigned i = 0; i < a->nloaded; i++)
		if (has_folios(y) ? a->loaded[i] && !vec[i] : a->loaded[i] != vec[i])
			return fuzz_differ(y, "mincore: byte %u is %u in Linux, %u here", i,
				(unsigned)a->loaded[i], vec[i]);
	return true;
}

/* The same call again, for the scenario, with what Linux wrote. */
static void expect_scan(struct fuzz_play *y, const struct op *op, const struct fuzz_answer *a)
{
	char line[640], *text;
	size_t size = sizeof(line) + 128 + 128 * (size_t)a->nloaded, used;

	program_op_text(op, line, sizeof(line));
	text = malloc(size);
	if (!text)
		abort();
	/* Up to the parenthesis that closes it. */
	*strrchr(line, ')') = 0;
	used = (size_t)snprintf(
		text, size, "%s => {walk_end=0x%" PRIx64 ", vec=[", line, a->loaded[0]);
	for (unsigned i = 1; i + 2 < a->nloaded; i += 3)
		used += (size_t)snprintf(text + used, size - used,
			"%s{start=0x%" PRIx64 ", end=0x%" PRIx64 ", categories=0x%" PRIx64 "}",
			i > 1 ? ", " : "", a->loaded[i], a->loaded[i + 1], a->loaded[i + 2]);
	snprintf(text + used, size - used, "]}) = %u\n", (a->nloaded - 1) / 3);
	y->expect = text;
}

/* A leaf of the PMD is PAGE_IS_HUGE, and no folio is here. */
static bool asks_of_huge(const struct op *op)
{
	return (op->a[5] | op->a[6] | op->a[7] | op->a[8]) & PF_PAGE_IS_HUGE;
}

/* Larger folios bring pages that nobody has touched. */
static bool compare_regions(struct fuzz_play *y, const struct op *op, const struct fuzz_answer *a)
{
	const struct run_world *w = &y->w;
	unsigned i = 0;

	if (has_folios(y) || !a->nloaded || (y->g->huge && asks_of_huge(op)))
		return true;
	while (i < a->nloaded && i < w->nloaded && a->loaded[i] == w->loaded[i])
		i++;
	if (i == a->nloaded && i == w->nloaded)
		return true;
	expect_scan(y, op, a);
	if (!i)
		return fuzz_differ(y,
			"the scan ends at 0x%" PRIx64 " in Linux, at 0x%" PRIx64 " here",
			a->loaded[0], w->loaded[0]);
	i = (i - 1) / 3 * 3 + 1;
	if (i >= a->nloaded || i >= w->nloaded)
		return fuzz_differ(y, "the scan finds %u regions in Linux, %u here",
			(a->nloaded - 1) / 3, (w->nloaded - 1) / 3);
	return fuzz_differ(y,
		"region %u is 0x%" PRIx64 "-0x%" PRIx64 " 0x%" PRIx64 " in Linux, 0x%" PRIx64
		"-0x%" PRIx64 " 0x%" PRIx64 " here",
		i / 3, a->loaded[i], a->loaded[i + 1], a->loaded[i + 2], w->loaded[i],
		w->loaded[i + 1], w->loaded[i + 2]);
}

/*
 * A scan that write-protects met a guard or a lost page, where the scan counts what was written: also one that is refused
 * further on, at the first mapping whose writes do not go on.
 */
static bool scan_marks_markers(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a)
{
	const uint64_t end = op->a[0] + op->a[1];
	struct pf_page_info page;
	struct oracle_map m;

	if (op->id != SC_PAGEMAP_SCAN || !(op->a[2] & PF_PM_SCAN_WP_MATCHING) ||
		(a->result < 0 && a->result != -EPERM))
		return false;
	for (uint64_t at = op->a[0];
		at < end && oracle_find(y->w.oracle, p->pid, at, &m) && m.start < end; at = m.end) {
		if (a->result < 0 && !m.uffd_async)
			return false;
		for (uint64_t va = pf_max(at, m.start); m.uffd_wp && va < pf_min(m.end, end);
			va += FUZZ_PAGE) {
			RUN_UNCOUNTED(pf_page_info(&p->mm, va, &page));
			if (pf_pte_kind(page.pte) == PF_PTE_MARKER &&
				page.pte.v & (PF_MARKER_POISON | PF_MARKER_GUARD))
				return true;
		}
	}
	return false;
}

/*
 * Linux found no huge page, or somebody else at work on a page: its batches, its other processes. Where there is a
 * userfaultfd, EBUSY is what waits for it, and no matter of the moment.
 */
static bool collapse_busy(
	const struct fuzz_play *y, const struct op *op, const struct fuzz_answer *a)
{
	const bool asked = (op->id == SC_MADVISE && op->a[2] == PF_MADV_COLLAPSE) ||
			   (op->id == SC_PROCESS_MADVISE && op->a[3] == PF_MADV_COLLAPSE);

	return y->g->huge && asked &&
	       (a->result == -EAGAIN || (a->result == -EBUSY && !y->g->uffd) ||
		       a->result == -ENOMEM);
}

/*
 * Of a huge page Linux looks first whose it is, and then at what it would be moved to; and a part of one it moves only if nobody
 * else is at the page just then.
 */
static bool move_huge_busy(
	const struct fuzz_play *y, const struct op *op, const struct fuzz_answer *a, int64_t mine)
{
	return y->g->huge && op->id == SC_UFFDIO_MOVE && a->result == -EBUSY && mine != -EBUSY;
}

/*
 * mremap has made what it moved one mapping with a neighbour, which by that is nobody's either: Linux leaves uffd-wp in the
 * neighbour's entries.
 */
static bool remapped_wp(const struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a)
{
	const uint64_t to = (uint64_t)a->result;
	struct oracle_map m;

	if (op->id != SC_MREMAP || a->result < 0 || !oracle_find(y->w.oracle, p->pid, to, &m) ||
		m.start > to || m.uffd)
		return false;
	for (unsigned i = 0; i < FUZZ_SHOWN; i++) {
		const uint64_t va = fuzz_shown(&y->area, i);

		if (va >= m.start && va < m.end && va - to >= op->a[2] &&
			a->pagemap[i] & FUZZ_PM_UFFD_WP)
			return true;
	}
	return false;
}

/* Which ioctls there are is told where there is no error. */
static bool compare_done(struct fuzz_play *y, const struct op *op, const struct fuzz_answer *a)
{
	if (!program_is_uffdio(op->id) || y->uffd_done == a->done ||
		(a->result && (op->id == SC_UFFDIO_API || op->id == SC_UFFDIO_REGISTER)))
		return true;
	return fuzz_differ(y, "%s is %" PRId64 " in Linux, %" PRId64 " here",
		program_uffd_done(op->id), a->done, y->uffd_done);
}

bool fuzz_compare_result(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct run_result *r, const struct fuzz_answer *a)
{
	bool access = program_call(op->id) &&
		      (op->id == SC_LOAD || op->id == SC_STORE || op->id == SC_EXEC);
	int signal = r->kind == SC_R_SEGV ? 11 : r->kind == SC_R_BUS ? 7 : 0;
	int64_t mine = r->kind == SC_R_ERRNO ? -r->err : (int64_t)r->value;
	char yours[64], ours[64];

	if (op->id == SC_TOUCH)
		return true;
	if (signal)
		mine = 0;
	if (loads_execute_only(p, op, a, r) || copies_execute_only(y, p, op, a, mine))
		return swallow(y, EXECUTE_ONLY);
	if (y->g->uffd && scan_marks_markers(y, p, op, a))
		return swallow(y, SCAN_MARKS_MARKERS);
	if (op->id == SC_PAGEMAP_SCAN && mine >= 0 && a->result >= 0)
		return compare_regions(y, op, a);
	if (collapse_busy(y, op, a) && mine != a->result)
		return swallow(y, COLLAPSE_BUSY);
	if (move_huge_busy(y, op, a, mine))
		return swallow(y, MOVE_HUGE_BUSY);
	if ((y->left_wp && !mine && !a->result) || (mine == a->result && remapped_wp(y, p, op, a)))
		return swallow(y, UFFD_WP_LEFT);
	if (mine == a->result && !compare_done(y, op, a))
		return false;
	if (signal == a->signal && (signal ? r->value == a->at : access || mine == a->result))
		return op->id == SC_LOAD      ? compare_loaded(y, p, a)
		       : op->id == SC_MINCORE ? compare_resident(y, p, op, a)
					      : true;
	describe(yours, sizeof(yours), access, a->result, a->signal, a->at);
	describe(ours, sizeof(ours), access, mine, signal, r->value);
	return fuzz_differ(y, "Linux answers %s, the library %s", yours, ours);
}

/* ---- mappings ---- */

static void expect_maps(struct fuzz_play *y, const struct fuzz_answer *a)
{
	size_t size = 256 + 64 * (size_t)a->nmaps, used;
	char *text = malloc(size);

	if (!text)
		abort();
	used = (size_t)snprintf(text, size, "expect maps(0x%" PRIx64 ", 0x%" PRIx64 ")\n",
		y->area.low, y->area.high - y->area.low);
	for (unsigned i = 0; i < a->nmaps; i++)
		used += (size_t)snprintf(text + used, size - used,
			"  %" PRIx64 "-%" PRIx64 " %s %08" PRIx64 "\n", a->maps[i].start,
			a->maps[i].end, a->maps[i].perms, a->maps[i].offset);
	y->expect = text;
}

/* An unmapping that a seal refused, and nothing but one mapping of ours that is two of Linux's. */
static bool split_before_seal(
	const struct op *op, const struct fuzz_answer *a, unsigned i, const struct pf_vma_info *v)
{
	const struct fuzz_map *m = &a->maps[i];

	/* brk says where the heap still ends. */
	bool refused = op->id == SC_BRK
			       ? (uint64_t)a->result > op->a[0]
			       : a->result == -EPERM && (op->id == SC_MUNMAP || op->id == SC_MMAP ||
								op->id == SC_MREMAP);

	return refused && i + 1 < a->nmaps && m[0].start == v->area.start &&
	       m[1].start == m[0].end && m[1].end == v->area.end && !strcmp(m[0].perms, m[1].perms);
}

/* ---- numbers of smaps ---- */

/* Of a huge page Linux knows how often each of its pages is mapped, and here it is known of all of them together. */
static bool of_mapcounts(unsigned k)
{
	return k == FUZZ_PSS || k == FUZZ_LOCKED || k == FUZZ_SHARED || k == FUZZ_PRIVATE;
}

/* What both define to the kilobyte. In larger folios there is more than what was touched. */
static bool compare_numbers(struct fuzz_play *y, struct run_process *p, const struct fuzz_map *m)
{
	struct pf_smaps s;

	if (has_folios(y) || !pf_smaps(&p->mm, m->start, &s))
		return true;
	const uint64_t ours[FUZZ_SMAPS] = {
		[FUZZ_RSS] = s.rss,
		[FUZZ_PSS] = s.pss >> PF_PSS_SHIFT,
		[FUZZ_SHARED] = s.shared_clean + s.shared_dirty,
		[FUZZ_PRIVATE] = s.private_clean + s.private_dirty,
		[FUZZ_ANONYMOUS] = s.anonymous,
		[FUZZ_KSM] = s.ksm,
		[FUZZ_SWAP] = s.swap,
		[FUZZ_LOCKED] = s.pss_locked >> PF_PSS_SHIFT,
	};

	for (unsigned k = 0; k < FUZZ_SMAPS; k++)
		if (m->kb[k] != ours[k] >> 10 && !(y->g->huge && of_mapcounts(k)))
			return fuzz_differ(y,
				"smaps of process %u at 0x%" PRIx64 ": %s %" PRIu64
				" kB in Linux, %" PRIu64 " kB here",
				p->pid, m->start, fuzz_smaps[k], m->kb[k], ours[k] >> 10);
	return true;
}

static bool compare_maps(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a)
{
	uint64_t at = y->area.low;

	for (unsigned i = 0;; i++) {
		struct pf_vma_info v = {0};
		bool ours = pf_find_vma_info(&p->mm, at, &v) && v.area.start < y->area.high;
		const struct fuzz_map *m = i < a->nmaps ? &a->maps[i] : NULL;
		uint32_t f = v.area.flags;
		char perms[5] = {f & PF_VM_READ ? 'r' : '-', f & PF_VM_WRITE ? 'w' : '-',
			f & PF_VM_EXEC ? 'x' : '-', f & PF_VM_MAYSHARE ? 's' : 'p', 0};
		uint64_t offset = v.mapping ? v.area.pgoff * FUZZ_PAGE : 0;
		char linux_has[80] = "nothing more", we_have[80] = "nothing more";

		if (y->f->planted == FUZZ_PLANT_MAPS && ours && f & PF_VM_NOHUGEPAGE &&
			!(f & PF_VM_WRITE))
			v.area.end += FUZZ_PAGE;
		if (!ours && !m)
			return true;
		if (ours && m && v.area.start == m->start && v.area.end == m->end &&
			!strcmp(perms, m->perms) && offset == m->offset) {
			if (y->f->planted == FUZZ_PLANT_FLAGS && f & PF_VM_RAND_READ)
				f &= ~PF_VM_ACCOUNT;
			if (a->closely && (m->flags ^ f) & fuzz_host_flags)
				return fuzz_differ(y,
					"the mapping at 0x%" PRIx64
					" of process %u has the flags 0x%x in Linux, 0x%x here",
					m->start, p->pid, m->flags, f & fuzz_host_flags);
			if (a->closely && !compare_numbers(y, p, m))
				return false;
			at = m->end;
			continue;
		}
		if (ours && m && split_before_seal(op, a, i, &v))
			return swallow(y, SPLIT_BEFORE_SEAL);
		if (m)
			snprintf(linux_has, sizeof(linux_has),
				"%" PRIx64 "-%" PRIx64 " %s %08" PRIx64, m->start, m->end, m->perms,
				m->offset);
		if (ours)
			snprintf(we_have, sizeof(we_have), "%" PRIx64 "-%" PRIx64 " %s %08" PRIx64,
				v.area.start, v.area.end, perms, offset);
		expect_maps(y, a);
		return fuzz_differ(y, "process %u has, in Linux, the mapping %s, here %s", p->pid,
			linux_has, we_have);
	}
}

/* ---- pages ---- */

static bool compare_pages(struct fuzz_play *y, struct run_process *p, const struct fuzz_answer *a)
{
	uint64_t mask = FUZZ_PM_PRESENT | FUZZ_PM_SWAP | FUZZ_PM_UFFD_WP | FUZZ_PM_EXCLUSIVE |
			FUZZ_PM_GUARD | FUZZ_PM_FILE;
	bool folios = has_folios(y);

	for (unsigned i = 0; i < FUZZ_SHOWN; i++) {
		uint64_t va = fuzz_shown(&y->area, i);
		uint64_t theirs = a->pagemap[i] & mask, ours = 0;
		char expect[64];

		pf_pagemap(&p->mm, va, 1, &ours);
		ours &= mask;
		if (y->f->planted == FUZZ_PLANT_PAGEMAP && p->pid > 1 && ours & FUZZ_PM_EXCLUSIVE)
			ours &= ~FUZZ_PM_EXCLUSIVE;
		/* Which pages of a huge one are mapped once is known in Linux alone; what is so here is so there. */
		if (y->g->huge && theirs & ~ours & FUZZ_PM_EXCLUSIVE)
			ours |= FUZZ_PM_EXCLUSIVE;
		/*
		 * A larger folio brings pages that nobody has touched; what was touched is there all the same. Not what a fault found
		 * around it: where the folio has spared the fault, nobody looked around.
		 */
		if (folios ? !(theirs & FUZZ_PM_PRESENT) || theirs & FUZZ_PM_FILE ||
					ours & FUZZ_PM_PRESENT
			   : theirs == ours)
			continue;
		if ((theirs ^ ours) & FUZZ_PM_PRESENT) {
			snprintf(expect, sizeof(expect), "expect %spresent(0x%" PRIx64 ")\n",
				theirs & FUZZ_PM_PRESENT ? "" : "not ", va);
			y->expect = strdup(expect);
		}
#define SHOW(w)                                                                                    \
	(w) & FUZZ_PM_PRESENT ? " present" : "", (w)&FUZZ_PM_SWAP ? " swap" : "",                  \
		(w)&FUZZ_PM_EXCLUSIVE ? " exclusive" : "", (w)&FUZZ_PM_UFFD_WP ? " uffd-wp" : "",  \
		(w)&FUZZ_PM_GUARD ? " guard" : ""
		return fuzz_differ(y,
			"pagemap of process %u at 0x%" PRIx64
			": Linux has%s%s%s%s%s, the library%s%s%s%s%s",
			p->pid, va, SHOW(theirs), SHOW(ours));
#undef SHOW
	}
	return true;
}

/*
 * A fault has looked around and mapped a page of a disk's file that Linux has left out: not a page of the access itself, and not
 * where nobody looks around. Is it the file's last page alone, as where no table was? Else it was busy. -1: there is none.
 */
static int left_out(const struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a)
{
	const bool access = op->id == SC_LOAD || op->id == SC_STORE || op->id == SC_EXEC;
	int which = -1;

	for (unsigned i = 0; y->g->uffd && y->g->nfiles && i < FUZZ_SHOWN; i++) {
		const uint64_t va = fuzz_shown(&y->area, i);
		struct oracle_map m;
		uint64_t ours = 0;

		if (a->pagemap[i] & FUZZ_PM_PRESENT || (access && va - op->a[0] < op->a[1]))
			continue;
		pf_pagemap(&p->mm, va, 1, &ours);
		if (!(ours & FUZZ_PM_PRESENT) || !(ours & FUZZ_PM_FILE) ||
			!oracle_find(y->w.oracle, p->pid, va, &m) || !m.file || m.uffd_wp)
			continue;
		if (which != AROUND_BUSY)
			which = m.offset + (va - m.start) + FUZZ_PAGE < y->g->file_size
					? AROUND_BUSY
					: AROUND_LAST;
	}
	return which;
}

bool fuzz_compare_state(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a)
{
	bool ok;
	int left;

	RUN_UNCOUNTED(left = left_out(y, p, op, a));
	if (left >= 0)
		return swallow(y, (unsigned)left);
	RUN_UNCOUNTED(ok = compare_maps(y, p, op, a) && compare_pages(y, p, a));
	return ok;
}
