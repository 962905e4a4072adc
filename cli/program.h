/* SPDX-License-Identifier: MIT */
/*
 * Random programs of system calls and accesses: drawn from a seed, written as scenarios, made short when they
 * fail. tests/property plays them through the library beside the model, `pagefold fuzz` on the host's Linux
 * beside the library.
 *
 *   program.c         settings and drawing
 *   program_calls.c   the calls: one row each says how it is drawn and written
 *   program_uffd.c    userfaultfd and its ioctls, likewise
 *   program_text.c    the scenario's text
 *   program_shrink.c  a program that fails, made short
 */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include "cli/run.h"

#define PROGRAM_MAX_PID 4
#define PROGRAM_CPUS    3
#define PROGRAM_ARGS    9
#define PROGRAM_PARTS   4  /* of a vector */
#define PROGRAM_REGIONS 24 /* that a scan has room for at most */
#define PROGRAM_NOBODY  99 /* no process's number */
#define PROGRAM_FILES   2  /* at most */
#define PROGRAM_UFFDS   3  /* userfaultfds of a process */
#define PROGRAM_UFFD_FD 50 /* the first's number */

/* Where choices come from: a seed, or bytes while there are any. */
struct source {
	uint64_t rng;
	const uint8_t *bytes;
	size_t nr;
};

/* Below n. */
uint64_t source_draw(struct source *s, uint64_t n);

struct op {
	enum sc_call_id id;
	unsigned pid, cpu;
	unsigned child; /* fork */
	uint64_t a[PROGRAM_ARGS];
	struct oracle_part part[2][PROGRAM_PARTS]; /* the vectors of a call that has any */
	char result[32]; /* as the scenario has it; empty: it may be anything */
	int64_t done; /* with the result: what an ioctl of userfaultfd wrote into its argument's last field */
};

struct program {
	const struct pf_format *fmt;
	uint64_t seed; /* of the machine */
	bool fold, late_walks;
	const char *feature; /* NULL: the format's newest */
	uint64_t memory;
	uint64_t fail_at; /* the allocation that fails, 0: none */
	struct {
		unsigned order;
		enum sc_thp_mode mode;
	} thp[3];
	unsigned nthp;
	enum sc_thp_mode thp_enabled;

	uint64_t base, pages; /* the window that it works in */
	bool locks; /* memory is locked and faulted in at once: whoever plays it tells the judge of all stores */
	bool seals; /* mseal is drawn */
	/* MADV_FREE is drawn where MADV_PAGEOUT would be: what the second finds after the first depends on Linux's batches. */
	bool frees;
	bool swap; /* there is a device to swap to */
	/* What only a host is asked beside the library is drawn: calls on other processes, and on what pages are. */
	bool wide;
	bool others; /* advice is given to other processes, too */
	bool ksm;    /* memory is made mergeable; nobody merges it */
	bool shares; /* memory is mapped shared, and files are mapped, if there are any */
	uint64_t
		huge; /* bytes that MADV_COLLAPSE makes one page of; two of these begin where the window does. 0: it is not asked for */
	bool uffd; /* there are userfaultfds, for whom nobody answers: what would wait is a signal */
	unsigned nfiles;
	uint64_t file_size; /* of each, bytes */
	uint64_t brk_start;
	uint64_t top; /* the end of user space, or beyond; addresses around it are drawn */
	struct op *ops;
	unsigned nr;
};

/* ---- the calls ---- */

/* How an argument is written. */
enum program_arg_kind {
	PROGRAM_ARG_NONE,
	PROGRAM_ARG_HEX,
	PROGRAM_ARG_NUMBER,
	PROGRAM_ARG_FD,    /* a descriptor, -1 for none */
	PROGRAM_ARG_FLAGS, /* names joined by | */
	PROGRAM_ARG_ONE,   /* one of the names */
	PROGRAM_ARG_PID,   /* a process by its number */
	PROGRAM_ARG_PIDFD, /* the same by a descriptor */
	PROGRAM_ARG_UFFD,  /* the process's userfaultfd of that number */
	PROGRAM_ARG_PARTS, /* which of the op's vectors; the next argument is how many parts it has */
};

struct program_arg {
	enum program_arg_kind kind;
	const char *const *names; /* end with NULL; of several that fit the first is taken */
	const char *zero;         /* what 0 is called */
};

struct program_drawing {
	struct source src;
	struct program *g;
	uint64_t page, block; /* bytes */
	bool alive[PROGRAM_MAX_PID + 1];
	unsigned cpu[PROGRAM_MAX_PID + 1];
	unsigned uffds[PROGRAM_MAX_PID + 1]; /* a bit for each that the process has */
	struct {
		uint64_t start, len, uffd;
		unsigned pid;
	} registered[4]; /* the last that were to be, and by whom */
	unsigned nregistered;
	unsigned pid;
};

struct program_call {
	enum sc_call_id id;
	const char *name;
	unsigned weight; /* how often, beside the others */
	const struct program_arg *args[PROGRAM_ARGS];
	/* op->pid is set. False: not now. */
	bool (*draw)(struct program_drawing *d, struct op *op);
	bool wide; /* in programs that are */
};

/* Ends with a name of NULL. */
extern const struct program_call program_calls[];
const struct program_call *program_call(enum sc_call_id id);
/*
 * The name at *at in an argument of that value, and what of the value it stands for; *at moves on. NULL: there
 * are no more, and *value is what has no name.
 */
const char *program_flag(const struct program_arg *arg, uint64_t *value, unsigned *at);
/* Is it of memory that is described by vectors? Then a[0] is whose. */
bool program_has_parts(enum sc_call_id id);

/* Addresses and lengths of ranges, some of them wrong. */
uint64_t program_address(struct program_drawing *d);
uint64_t program_length(struct program_drawing *d);

/* ---- program_uffd.c ---- */

bool program_is_uffdio(enum sc_call_id id);
/* Which of the process's userfaultfds the call is about: the index of the argument. */
unsigned program_uffd_arg(enum sc_call_id id);
/* The name of the argument's last field, which Linux fills in; NULL: there is none. */
const char *program_uffd_done(enum sc_call_id id);
bool program_draw_userfaultfd(struct program_drawing *d, struct op *op);
bool program_draw_uffd_close(struct program_drawing *d, struct op *op);
/* That op is what comes next: which descriptors there are from then on. Forks and exits see to it themselves. */
void program_uffd_drawn(struct program_drawing *d, const struct op *op);
bool program_draw_uffd_api(struct program_drawing *d, struct op *op);
bool program_draw_uffdio(struct program_drawing *d, struct op *op);

/* ---- programs ---- */

/* Settings and the first statements; statements of its own, or with bytes, come from those until there are none. */
void program_begin(struct program_drawing *d, struct program *g, const struct pf_format *fmt,
	uint64_t seed, unsigned room);
void program_draw_op(struct program_drawing *d, struct op *op);
/* A whole one. Free with program_free(). */
void program_draw(struct program *g, const struct pf_format *fmt, uint64_t seed, unsigned steps,
	const uint8_t *bytes, size_t nbytes);
void program_copy(struct program *to, const struct program *from);
void program_free(struct program *g);

/* The scenario, malloc'd. Statements stand one a line, the first in line *first. */
char *program_text(const struct program *g, unsigned *first);
/* One statement. */
void program_op_text(const struct op *op, char *text, size_t size);

/* Whether a program fails, and in which of its statements (all that come after are not needed). */
typedef bool program_fails(void *ctx, const struct program *g, unsigned *done);

/* The shortest program found that still fails; *g fails and is replaced. At most `seconds`. */
void program_shrink(struct program *g, unsigned seconds, program_fails *fails, void *ctx);

#endif
