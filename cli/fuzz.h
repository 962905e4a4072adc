/* SPDX-License-Identifier: MIT */
/*
 * `pagefold fuzz`: random programs (program.h) on the host's Linux and through the library on the judge, compared
 * after every call.
 *
 *   cmd_fuzz.c     options; programs until the end; what comes of them
 *   fuzz_host.c    the host's side: real processes that do the calls
 *   fuzz_has.c     what that host has
 *   fuzz_look.c    what such a process looks like
 *   fuzz_uffd.c    userfaultfd on either side
 *   fuzz_aim.c     ioctls of userfaultfd, aimed at pages on which they do something; and other calls at what refuses
 *   fuzz_draw.c    programs that a host may be asked to do, weighted to what was seldom done
 *   fuzz_play.c    one program on both sides
 *   fuzz_compare.c what must be equal, and the exceptions (docs/LINUX.md)
 *   fuzz_cover.h   which calls, flags, mappings and results there were
 *   fuzz_report.c  a difference as a short scenario
 */
#ifndef CLI_FUZZ_H
#define CLI_FUZZ_H

#include "cli/program.h"
#include "mm/proc.h"

struct json_object;

/* ---- the host ---- */

#define FUZZ_PAGE       UINT64_C(4096)
#define FUZZ_BATCH      32 /* calls between two looks at the host */
#define FUZZ_PAGES      64 /* of the window */
#define FUZZ_HEAP_PAGES 32
#define FUZZ_SHOWN      (FUZZ_PAGES + FUZZ_HEAP_PAGES)
#define FUZZ_MAPS       160
/* Where userfaultfd is aimed at pages as they were when the batch was drawn: a divisor of FUZZ_BATCH. */
#define FUZZ_SHORT_BATCH 8

/*
 * Addresses that programs may use on the host. Nothing of the host's own process lies in [low, high): the heap at
 * its start, the window, and what reaches out of it.
 */
struct fuzz_area {
	uint64_t low, high;
	uint64_t heap,
		base; /* the window's first page: base; pages that are shown: heap, then window */
	uint64_t
		away; /* where a mapping is told to be that the host placed elsewhere: it goes at once */
	uint64_t min;    /* mmap_min_addr */
	bool swap;       /* the host has some */
	bool peers;      /* processes may copy each other's memory, */
	bool others;     /* and give each other advice */
	bool ksm;        /* memory may be made mergeable, and nobody merges it */
	unsigned nfiles; /* that the program has, and how long each is */
	uint64_t file_size;
	uint64_t top;   /* the first address above user space; 0: not to be tried */
	uint64_t leaf;  /* what a leaf table of the format maps */
	bool collapses; /* MADV_COLLAPSE does what it is asked for, */
	bool huge;      /* and the program asks for it; nobody else brings huge pages */
	bool has_uffd;  /* there is userfaultfd for users, */
	bool has_disk;  /* and a disk for the files of programs that use it */
	bool hints;     /* MADV_HUGEPAGE brings nothing where there is no room for a huge page */
	bool uffd;      /* the program has some, */
	bool shares;    /* and maps memory shared */
};

/* What smaps says of a mapping's pages: shared and private are both lines that begin so, clean and dirty together. */
enum fuzz_smap {
	FUZZ_RSS,
	FUZZ_PSS,
	FUZZ_SHARED,
	FUZZ_PRIVATE,
	FUZZ_ANONYMOUS,
	FUZZ_KSM,
	FUZZ_SWAP,
	FUZZ_LOCKED,
	FUZZ_SMAPS,
};
extern const char *const fuzz_smaps[FUZZ_SMAPS];

struct fuzz_map {
	uint64_t start, end, offset;
	uint32_t flags; /* PF_VM_*, those of fuzz_host_flags */
	char perms[5];
	uint64_t kb[FUZZ_SMAPS]; /* where flags are there, too */
};

#define FUZZ_PM_PRESENT    (UINT64_C(1) << 63)
#define FUZZ_PM_SWAP       (UINT64_C(1) << 62)
#define FUZZ_PM_FILE       (UINT64_C(1) << 61)
#define FUZZ_PM_GUARD      (UINT64_C(1) << 58)
#define FUZZ_PM_UFFD_WP    (UINT64_C(1) << 57)
#define FUZZ_PM_EXCLUSIVE  (UINT64_C(1) << 56)
#define FUZZ_PM_SOFT_DIRTY (UINT64_C(1) << 55)

/* What one call answered, and what the process then looked like. */
struct fuzz_answer {
	int64_t result; /* the system call's, or -errno; of an access 0 */
	int64_t done;   /* by an ioctl of userfaultfd: the last field of its argument */
	int signal;     /* that ended an access, at `at` */
	uint64_t at;
	bool closely; /* the mappings' flags and numbers are there */
	bool away; /* it placed a mapping outside the area, which is gone again; `result` is area.away */
	unsigned nloaded, nmaps;
	uint64_t loaded
		[FUZZ_SHOWN]; /* what each page's first word was; of PAGEMAP_SCAN where it ended, and three words a region */
	struct fuzz_map maps[FUZZ_MAPS];
	uint64_t pagemap[FUZZ_SHOWN];
};

/* The address of page i of those that are shown. */
static inline uint64_t fuzz_shown(const struct fuzz_area *area, unsigned i)
{
	return i < FUZZ_HEAP_PAGES ? area->heap + i * FUZZ_PAGE
				   : area->base + (i - FUZZ_HEAP_PAGES) * FUZZ_PAGE;
}

struct fuzz_host;

/* NULL with *why if this host cannot be asked. It is a process of its own from here on. */
struct fuzz_host *fuzz_host_start(const char **why);
void fuzz_host_stop(struct fuzz_host *h);
/* For formats of that many address bits; false: no place is free. */
bool fuzz_host_area(const struct fuzz_host *h, const struct pf_format *fmt, struct fuzz_area *area);
/* A process 1 without mappings in the area. closely: flags of mappings after every call. */
bool fuzz_host_begin(struct fuzz_host *h, const struct fuzz_area *area, bool closely);
extern const uint32_t fuzz_host_flags;
/* What is no system call of Linux's (a kernel's own, another's memory) the host is not asked. */
bool fuzz_host_knows(enum sc_call_id id);
/* At most FUZZ_BATCH calls; closely: mappings' flags and numbers after the last. The answers, valid until the next call; NULL: the host's process died or hangs. */
const struct fuzz_answer *fuzz_host_do(
	struct fuzz_host *h, const struct op *ops, unsigned nr, bool closely);
void fuzz_host_end(struct fuzz_host *h);
/* What a store of the n-th stamp (from 1) leaves in a page; and back, 0 for anything else. */
uint64_t fuzz_host_stamp(uint64_t n);
uint64_t fuzz_host_stamp_number(uint64_t value);
/* "Linux 6.18.44", and what the host does not show. */
const char *fuzz_host_name(const struct fuzz_host *h);
bool fuzz_host_soft_dirty(const struct fuzz_host *h);
/* Programs with userfaultfds have files, too. */
bool fuzz_host_disk(const struct fuzz_host *h);

/* ---- coverage ---- */

struct fuzz_cover;

struct fuzz_cover *fuzz_cover_new(void);
void fuzz_cover_free(struct fuzz_cover *c);
/* What kind of memory a call is about: as it is before the call. An index below FUZZ_KINDS. */
#define FUZZ_KINDS 24
unsigned fuzz_kind(struct run_world *w, struct run_process *p, const struct op *op);
/* What more can be told beforehand of what will come of it: of ioctls of userfaultfd, and of calls on memory that refuses; of others 0. */
uint64_t fuzz_outlook(struct run_world *w, struct run_process *p, const struct op *op);
/* One call was done. result: "0", "ENOMEM", "SIGSEGV". */
void fuzz_cover_add(struct fuzz_cover *c, const struct op *op, unsigned kind, uint64_t outlook,
	const char *result);
/* How many cells that were hit too seldom the call is likely to hit, by what came of such calls so far. */
double fuzz_cover_worth(
	const struct fuzz_cover *c, const struct op *op, unsigned kind, uint64_t outlook);
/* How much it is wanted that such a call, whatever it is made on, succeeds once more. */
double fuzz_cover_lacks(const struct fuzz_cover *c, enum sc_call_id id);
/* All calls by flag; the cells that were hit less than 100 times, and those that were not, by name. */
void fuzz_cover_print(const struct fuzz_cover *c);
void fuzz_cover_json(const struct fuzz_cover *c, struct json_object *to);

/* ---- one program ---- */

/* Errors planted in what the library is seen to do, to see that they are found. */
enum fuzz_planted {
	FUZZ_PLANT_NONE,
	FUZZ_PLANT_RESULT,
	FUZZ_PLANT_MAPS,
	FUZZ_PLANT_FLAGS,
	FUZZ_PLANT_BYTES,
	FUZZ_PLANT_PAGEMAP,
	FUZZ_PLANTS,
};

struct fuzz_exception {
	const char *name;
	uint64_t swallowed;
};

struct fuzz {
	struct fuzz_host *host;
	struct fuzz_cover *cover; /* NULL: nothing is counted */
	enum fuzz_planted planted;
	unsigned every; /* invariants are checked after each so many calls */

	uint64_t calls, programs;
	uint64_t not_built; /* programs that ended at something that is not built */
	char not_built_what[512];
};

enum fuzz_verdict {
	FUZZ_SAME,
	FUZZ_EXCEPTION, /* the program ended at one */
	FUZZ_NOT_BUILT, /* it ended at what the library or the model has not */
	FUZZ_DIFFERENT,
	FUZZ_BROKEN, /* the host could not be asked */
};

/* A page of a process's, as fuzz_aim() sees it: bits, and the number + 1 of the userfaultfd that is told of its faults. */
struct fuzz_sight {
	uint32_t is;
	unsigned whose;
};

struct fuzz_play {
	struct fuzz *f;
	struct fuzz_area area;
	struct program *g;
	struct sc_file *file;
	struct run_config cfg;
	struct run_outcome out;
	struct run_world w;
	uint64_t seen[FUZZ_SHOWN];
	int64_t uffd_done; /* of the last ioctl of userfaultfd: the last field of its argument */
	bool splits; /* advice was given that Linux splits huge pages for, and gives up what of them is zero */
	bool left_wp; /* the last call has left pages to nobody whose writes were to be noticed */

	struct fuzz_sight sight[PROGRAM_MAX_PID + 1][FUZZ_SHOWN];
	bool sighted[PROGRAM_MAX_PID + 1]; /* that is so since the last batch */

	enum fuzz_verdict verdict;
	unsigned done; /* calls, the last included */
	char *why;     /* of a difference; malloc'd */
	char *expect;  /* lines for the scenario, after the last call; malloc'd or NULL */
};

/*
 * Draws and plays a program of `steps` calls (drawn as it goes: g is filled), or, with steps 0, plays g as it is; the
 * host's answers become the results of g's calls. Free with fuzz_play_free().
 */
void fuzz_play(struct fuzz_play *y, struct fuzz *f, struct program *g, uint64_t seed,
	unsigned steps, const struct pf_format *fmt);
void fuzz_play_free(struct fuzz_play *y);
/* Note a difference. Always false. */
bool fuzz_differ(struct fuzz_play *y, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- fuzz_draw.c ---- */

bool fuzz_begin(struct program_drawing *d, struct program *g, const struct pf_format *fmt,
	const struct fuzz_area *area, uint64_t seed, unsigned steps);
/* May the host be asked that? It must not touch what is its own. */
bool fuzz_safe(const struct fuzz_area *area, const struct op *op);
void fuzz_draw(struct fuzz_play *y, struct program_drawing *d, struct op *op);

/* ---- fuzz_aim.c ---- */

/*
 * An ioctl of userfaultfd is moved to where it is likely to succeed, another call to where memory is sealed or lost; not always. True: there is no such place, and it has
 * become a call that prepares one.
 */
bool fuzz_aim(struct fuzz_play *y, struct program_drawing *d, struct op *op);

/* ---- fuzz_compare.c ---- */

/* After op was done on both sides. False: they differ, or an exception ended the program (y->verdict). */
bool fuzz_compare_result(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct run_result *r, const struct fuzz_answer *a);
bool fuzz_compare_state(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a);
/* A call on other processes, which the model cannot follow: because the caller's memory may only be executed? Then the program ends. Always false. */
bool fuzz_executes_only(struct fuzz_play *y, struct run_process *p, const struct op *op);
extern struct fuzz_exception fuzz_exceptions[]; /* ends with a name of NULL */

/* ---- fuzz_uffd.c ---- */

bool fuzz_is_uffd(enum sc_call_id id);
/* May the host be asked that, by a program with userfaultfds? No fault may wait, and nothing hang. */
bool fuzz_uffd_safe(const struct fuzz_area *area, const struct op *op);
/* Does it take pages of a disk's file out of memory? They are read again at once, on both sides. */
bool fuzz_empties_files(const struct fuzz_area *area, const struct op *op);
/* The statements with which a process reads all of them: how many, FUZZ_FILLS a file. */
#define FUZZ_FILLS 3
unsigned fuzz_fills(const struct fuzz_area *area, unsigned pid, unsigned cpu, struct op *ops);
/* The library does it; what it would write into the argument's last field is y->uffd_done. */
bool fuzz_uffd_do(
	struct fuzz_play *y, struct run_process *p, const struct op *op, struct run_result *r);

/* ---- fuzz_report.c ---- */

/* The scenario of a program that differs, malloc'd. */
char *fuzz_scenario(const struct fuzz_play *y, const struct fuzz *f);
/* The shortest that still differs; false, with g as it was, if it does not when it is played again. */
bool fuzz_shrink(const struct fuzz *f, struct program *g, unsigned seconds);

#endif
