/* SPDX-License-Identifier: MIT */
/*
 * Scenarios: the language of `pagefold run`, read into memory. Nothing here knows the library or the
 * machine: sizes in P and B, and $names, get their values when a statement is played (sc_eval).
 *
 * A file is parsed as a whole. The parser accepts all of the language; the first thing in it that cannot
 * be played yet is noted in the file (unsupported_line), and the caller refuses to play it.
 */
#ifndef CLI_SCENARIO_H
#define CLI_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sc_file;

/* ---- values ---- */

enum sc_value_kind {
	SC_V_NUM,    /* n, times the unit */
	SC_V_VAR,    /* $name: n is the index in sc_file.vars, or SC_VAR_PMD, SC_VAR_PUD */
	SC_V_SUM,    /* items, each added or subtracted */
	SC_V_OR,     /* items joined by | */
	SC_V_SHIFT,  /* two items, a << b */
	SC_V_INOUT,  /* A => B: two items; worth A */
	SC_V_FILE,   /* a descriptor with a path, or a file made by @file: text */
	SC_V_STRING, /* text */
	SC_V_GROUP,  /* {…} or […]: items where they could be read, text always */
	SC_V_FIELD,  /* name=value: text and one item */
};

#define SC_VAR_PMD (UINT64_MAX - 1)
#define SC_VAR_PUD (UINT64_MAX - 2)

struct sc_value {
	enum sc_value_kind kind;
	char unit;     /* NUM: 0, 'P' or 'B' (K, M and G are multiplied out) */
	bool negative; /* in a SUM: subtracted */
	uint64_t n;
	const char *text; /* NUM: the name it was written as, if it was one */
	struct sc_value *items, *next;
};

/* What values depend on when a statement is played. A size of 0: the format has no such thing. */
struct sc_env {
	uint64_t page, block, pmd, pud;
	const uint64_t *vars; /* by index; NULL while only constants may be evaluated */
};

/* False, with *why, if the value is no number or overflows. */
bool sc_eval(const struct sc_value *v, const struct sc_env *env, uint64_t *out, const char **why);
/* True if the value holds no $name and no unit, so that it is the same everywhere. */
bool sc_constant(const struct sc_value *v);

/* ---- names ---- */

enum sc_call_id {
	SC_MMAP,
	SC_MUNMAP,
	SC_MPROTECT,
	SC_MREMAP,
	SC_MADVISE,
	SC_BRK,
	SC_MLOCK,
	SC_MLOCK2,
	SC_MUNLOCK,
	SC_MLOCKALL,
	SC_MUNLOCKALL,
	SC_PKEY_MPROTECT,
	SC_MINCORE,
	SC_MSYNC,
	SC_MSEAL,
	SC_USERFAULTFD,
	SC_IOCTL,
	SC_CLOSE,
	SC_FORK,
	SC_EXIT_GROUP,
	SC_LOAD,
	SC_STORE,
	SC_EXEC,
	SC_TOUCH,
	SC_GUP,
	SC_GUP_FAST,
	SC_UNPIN,
	SC_AGE,
	SC_RECLAIM,
	SC_MIGRATE,
	SC_SPLIT,
	SC_COLLAPSE,
	SC_KSM,
	SC_POISON,
	SC_NUMA_HINT,
	SC_SWAPOFF,
	SC_CLEAR_REFS,
	SC_PAGEMAP_SCAN, /* an ioctl */
	SC_PROCESS_MADVISE,
	SC_PROCESS_VM_READV,
	SC_PROCESS_VM_WRITEV,
	/* SC_IOCTL, as programs have it: by the number of userfaultfd's ioctl. */
	SC_UFFDIO_REGISTER,
	SC_UFFDIO_UNREGISTER,
	SC_UFFDIO_WAKE,
	SC_UFFDIO_COPY,
	SC_UFFDIO_ZEROPAGE,
	SC_UFFDIO_MOVE,
	SC_UFFDIO_WRITEPROTECT,
	SC_UFFDIO_CONTINUE,
	SC_UFFDIO_POISON,
	SC_UFFDIO_API,
	SC_OTHER, /* in the language, not built */
};

struct sc_call_desc {
	const char *name;
	enum sc_call_id id;
	uint8_t min_args, max_args;
	bool access; /* its results are 0 or a signal */
	bool system; /* a system call: -1 and an error name is possible */
};

enum sc_pred_id {
	SC_P_MAPPED,
	SC_P_NONE,
	SC_P_PRESENT,
	SC_P_FOLDED,
	SC_P_UNFOLDED,
	SC_P_READABLE,
	SC_P_WRITABLE,
	SC_P_EXECUTABLE,
	SC_P_YOUNG,
	SC_P_DIRTY,
	SC_P_SOFT_DIRTY,
	SC_P_UFFD_WP,
	SC_P_SPECIAL,
	SC_P_PROTNONE,
	SC_P_EXCLUSIVE,
	SC_P_SWAPPED,
	SC_P_LOCKED,
	SC_P_LEAF,
	SC_P_ORDER,
	SC_P_SAME_PAGE,
	SC_P_PINNED,
	SC_P_GUEST_MAPPED,
};

struct sc_pred_desc {
	const char *name;
	enum sc_pred_id id;
	uint8_t min_args, max_args;
	bool hardware;  /* @fold both: checked in the run with folding only */
	bool any_range; /* may be asked of pages outside any VMA */
	bool built;
};

enum sc_counter_id {
	SC_C_FOLD,
	SC_C_UNFOLD,
	SC_C_FOLD_FAILED,
	SC_C_FOLD_LOADS,
	SC_C_PTE_LOAD,
	SC_C_PTE_STORE,
	SC_C_PTE_XCHG,
	SC_C_TLBI,
	SC_C_TLBI_RANGE,
	SC_C_TLBI_PAGES,
	SC_C_DSB,
	SC_C_FLUSH_MM,
	SC_C_FAULT,
	SC_C_SPURIOUS_FAULT,
	SC_C_TABLE_ALLOC,
	SC_C_TABLE_FREE,
	SC_C_COW,
	SC_C_IPI,
	SC_C_WALK_LOAD,
	SC_C_WALK_AD,
	SC_C_TLB_MISS,
	SC_C_SPLIT,
	SC_C_COLLAPSE,
	SC_C_USERFAULT,
	SC_C_WOKEN,
	SC_C_BUILT, /* those below have nothing that counts them yet */
	SC_C_NOTIFIER_START = SC_C_BUILT,
	SC_C_NOTIFIER_END,
	SC_C_LEAF_SPLIT,
	SC_C_NR,
};
extern const char *const sc_counter_names[SC_C_NR];

enum sc_need {
	SC_NEED_CONTIGUOUS = 1 << 0,
	SC_NEED_PMD_LEAF = 1 << 1,
	SC_NEED_PUD_LEAF = 1 << 2,
	SC_NEED_PMD_CONTIGUOUS = 1 << 3,
	SC_NEED_SOFT_DIRTY = 1 << 4,
	SC_NEED_SHADOW_STACK = 1 << 5,
	SC_NEED_HW_AD = 1 << 6,
	SC_NEED_UFFD_WP = 1 << 7,
	SC_NEED_SPECIAL = 1 << 8,
};

const struct sc_call_desc *sc_find_call(const char *name);
const struct sc_pred_desc *sc_find_pred(const char *name);
int sc_find_counter(const char *name);   /* -1: none of that name */
unsigned sc_find_need(const char *name); /* 0: none */
const char *sc_need_name(unsigned one_bit);
bool sc_find_constant(const char *name, uint64_t *value); /* as strace prints them */
int sc_find_errno(const char *name);                      /* 0: none */
const char *sc_errno_name(int err);                       /* "E42" if it has no name here */
const char *sc_advice_name(uint64_t advice);              /* NULL: none */

/* ---- statements ---- */

enum sc_result_kind {
	SC_R_VALUE,
	SC_R_ERRNO,
	SC_R_SEGV,
	SC_R_BUS,
	SC_R_NOMEM,
	SC_R_UFFD, /* an access that waits for a userfaultfd */
	SC_R_ANY,
};

struct sc_result {
	enum sc_result_kind kind;
	int err;
	struct sc_value *value; /* VALUE; SEGV, BUS and UFFD: the address, or NULL */
	struct sc_result *next;
};

enum sc_stmt_kind {
	SC_S_CALL,
	SC_S_EXPECT_PRED,
	SC_S_EXPECT_COUNTER,
	SC_S_EXPECT_MAPS,
	SC_S_RESET,
	SC_S_THREADS, /* its lines are in `body` */
	SC_S_ALWAYS,
	SC_S_DURING,
	SC_S_SOMETIMES,
	SC_S_EXPLORE,
	SC_S_START,  /* logs only: process `pid` appears, with no memory */
	SC_S_EXECVE, /* logs only: its memory is gone */
};

enum sc_quant { SC_ALL, SC_NOT, SC_SOME };
enum sc_op { SC_EQ, SC_NE, SC_LT, SC_LE, SC_GT, SC_GE };

struct sc_maps_line {
	unsigned line;
	uint64_t start, end, offset;
	char perms[5];
	struct sc_maps_line *next;
};

struct sc_stmt {
	enum sc_stmt_kind kind;
	unsigned line;
	unsigned pid; /* the process it belongs to */
	int cpu;      /* [cpu K], or -1 */
	const char *text;

	/* CALL */
	const struct sc_call_desc *call;
	const char *name; /* of the call */
	int var;          /* index of the $name it sets, or -1 */
	unsigned child;   /* fork: the number of the child */
	struct sc_result *results;

	/* CALL, EXPECT_PRED, EXPECT_MAPS */
	struct sc_value *args;
	unsigned nargs;

	/* EXPECT_PRED, ALWAYS, DURING, SOMETIMES */
	enum sc_quant quant;
	const struct sc_pred_desc *pred;
	unsigned pid2; /* same_page: the process of the second address */

	/* EXPECT_COUNTER */
	enum sc_counter_id counter;
	enum sc_op op;
	struct sc_value *number;

	struct sc_maps_line *maps;

	/* THREADS: each line is a call with a thread's name */
	const char *thread;
	bool walker, first_line; /* of its thread */
	struct sc_stmt *body;

	struct sc_stmt *next;
};

/* ---- settings ---- */

enum sc_fold { SC_FOLD_ON, SC_FOLD_OFF, SC_FOLD_BOTH };
enum sc_thp_mode { SC_THP_NEVER, SC_THP_MADVISE, SC_THP_ALWAYS, SC_THP_INHERIT };

struct sc_thp {
	unsigned line;
	struct sc_value *size; /* NULL: `enabled` */
	enum sc_thp_mode mode;
	struct sc_thp *next;
};

/* @file, and what a log maps; size NULL: not known */
struct sc_made_file {
	unsigned line;
	const char *name;
	struct sc_value *size;
	struct sc_made_file *next;
};

#define SC_FAIL_NONE UINT64_C(0)
#define SC_FAIL_EACH UINT64_MAX

struct sc_settings {
	const char *formats; /* names joined by commas, or "all" */
	unsigned formats_line;
	unsigned needs; /* enum sc_need */
	struct sc_value *memory;
	unsigned memory_line;
	unsigned cpus;
	struct sc_value *swap; /* bytes of the swap device; NULL: none */
	unsigned swap_line;
	enum sc_fold fold;
	bool linux_policy; /* when to fold: as Linux does, else policy `watch` */
	struct sc_thp *thp;
	struct sc_made_file *files; /* in the order in which they are made */
	const char *features;       /* names joined by spaces, or NULL */
	unsigned features_line;
	uint64_t fail; /* SC_FAIL_NONE, SC_FAIL_EACH, or which allocation */
};

/* What a log holds and nobody plays: how often. */
struct sc_note {
	const char *kind, *name;
	unsigned nr;
	struct sc_note *next;
};

/* What of a threads block is played. */
struct sc_explore {
	unsigned line; /* 0: nothing is said of it */
	bool bounded;  /* bounds are given: all within them; with `random`, that besides */
	unsigned preemptions, choices;
	uint64_t random, seed;
	const char *replay; /* one schedule, as a failure printed it; NULL */
};
#define SC_MOST_PREEMPTIONS 7u
#define SC_MOST_THREADS     8u

struct sc_file {
	char *path;
	bool log; /* of strace: see run_log.c */
	struct sc_note *notes;
	struct sc_settings settings;
	struct sc_explore explore;
	struct sc_stmt *threads; /* among the statements; NULL: none */
	struct sc_stmt *stmts;
	const char **vars; /* names of the $names */
	unsigned nvars;

	unsigned unsupported_line; /* 0: all of it can be played */
	const char *unsupported;

	/* the parser's own */
	struct sc_arena *arena;
};

struct sc_error {
	unsigned line;
	char text[256];
};

/*
 * Parse text, which need not end in a NUL. NULL on error, with *err. The caller frees the file with
 * sc_file_free; `text` is not kept.
 */
struct sc_file *sc_parse(const char *path, const char *text, size_t len, struct sc_error *err);
/* The same for a log that strace wrote (`strace -f -y -o`). */
struct sc_file *sc_parse_strace(
	const char *path, const char *text, size_t len, struct sc_error *err);
void sc_file_free(struct sc_file *f);

/* "4096", "4K" …: a size with K, M, G. Used for options too. */
bool sc_parse_number(const char *text, uint64_t *out);

#endif
