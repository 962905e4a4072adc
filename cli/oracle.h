/* SPDX-License-Identifier: MIT */
/*
 * A model of address spaces: which mappings there are, what each memory system call answers, and what
 * every page holds. It is written from what Linux does (6.18 on a 64-bit machine), in plain C, and
 * includes nothing of the library: whoever agrees with it does not agree because they share code.
 *
 * What the model cannot know, it is told: the address that a kernel chose. It then says whether that
 * choice was possible. Results are those of the system call: a value, or a negated errno of Linux.
 *
 * It knows private and shared anonymous memory, and files. Every page holds one word, the stamp last stored.
 */
#ifndef CLI_ORACLE_H
#define CLI_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

struct oracle;

struct oracle_config {
	uint64_t page;      /* bytes, a power of two */
	uint64_t task_size; /* first address above user space */
	uint64_t min_addr;  /* mmap_min_addr; fixed mappings below are EPERM */
	unsigned max_maps;  /* vm.max_map_count */
	uint64_t stack_gap; /* bytes kept free below what grows down */
	uint64_t brk_start; /* of the first process */
};

/* Results that no system call has. */
#define ORACLE_BAD_CHOICE (-1000) /* the kernel's address, or its lack of one, is impossible */
#define ORACLE_UNKNOWN    (-1001) /* the model does not cover this: any result may be right */

/* Process 1 exists at the start. */
struct oracle *oracle_new(const struct oracle_config *cfg);
void oracle_free(struct oracle *o);
/* A copy, to ask what a call would answer. */
struct oracle *oracle_clone(const struct oracle *o);

/* A file of `size` bytes, all zero, which may be read, written and mapped any way; its number, from 0. */
int oracle_file(struct oracle *o, uint64_t size);

/*
 * The calls. mmap's `file`: -1, or a file's number. `told` is what the kernel answered: used where an address is its choice, and nowhere else. The
 * model changes exactly when it answers with success (or with Linux's partial effect).
 */
int64_t oracle_mmap(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t prot,
	uint64_t flags, int file, uint64_t offset, int64_t told);
int64_t oracle_munmap(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len);
int64_t oracle_mprotect(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t prot);
int64_t oracle_mremap(struct oracle *o, unsigned pid, uint64_t addr, uint64_t old_len,
	uint64_t new_len, uint64_t flags, uint64_t new_addr, int64_t told);
int64_t oracle_madvise(
	struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t advice);
/* The page of va is lost: 0, or why it cannot be; if any is there, and who is at it, it is told. */
int64_t oracle_fail(struct oracle *o, unsigned pid, uint64_t va, int64_t told);
/*
 * madvise(MADV_HWPOISON) and MADV_SOFT_OFFLINE; the same. The first loses what oracle_poison() is told afterwards:
 * entries that say so, and what is kept elsewhere of the page if it is a file's.
 */
int64_t oracle_inject(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, int64_t told);
void oracle_poison(struct oracle *o, unsigned pid, uint64_t va, uint64_t kept);
/* A child's entry says so as its parent's does, which fork copies or not by what the model has not. */
void oracle_poison_copied(struct oracle *o, unsigned pid, unsigned child, uint64_t va);
/* Pages a and b become one: 0, or why not; whether pages are there and who keeps them, it is told. */
int64_t oracle_ksm(struct oracle *o, unsigned pid, uint64_t a, uint64_t b, int64_t told);
/* madvise(MADV_COLLAPSE), where a leaf table maps `pmd` bytes. Which tables there are and which pages somebody keeps, it is told. */
int64_t oracle_collapse(
	struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t pmd, int64_t told);
int64_t oracle_mlock(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t flags);
int64_t oracle_munlock(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len);
int64_t oracle_mlockall(struct oracle *o, unsigned pid, uint64_t flags);
int64_t oracle_munlockall(struct oracle *o, unsigned pid);
int64_t oracle_pkey_mprotect(
	struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t prot, int64_t pkey);
/* Which pages are there is not in the model. */
int64_t oracle_mincore(const struct oracle *o, unsigned pid, uint64_t addr, uint64_t len);
int64_t oracle_msync(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t flags);
int64_t oracle_mseal(struct oracle *o, unsigned pid, uint64_t addr, uint64_t len, uint64_t flags);
uint64_t oracle_brk(struct oracle *o, unsigned pid, uint64_t brk);
void oracle_set_brk_start(struct oracle *o, unsigned pid, uint64_t start);
/* 0, or -ENOMEM when pids run out. */
int64_t oracle_fork(struct oracle *o, unsigned pid, unsigned child);
/* A process that has nothing mapped: its number is free. */
void oracle_start(struct oracle *o, unsigned pid);
void oracle_exit(struct oracle *o, unsigned pid);

enum oracle_access { ORACLE_READ, ORACLE_WRITE, ORACLE_EXEC };
enum oracle_signal { ORACLE_OK, ORACLE_SEGV, ORACLE_BUS, ORACLE_EITHER };
/* What an access to one address does. BUS: past the end of what is mapped. EITHER: architectures differ (reading execute-only memory). */
enum oracle_signal oracle_access(
	struct oracle *o, unsigned pid, uint64_t va, enum oracle_access how);

/*
 * get_user_pages: how many of nr pages from va a driver gets with these FOLL_* flags, or a negated errno. Those
 * that it may write have been written to, as far as mappings know.
 */
int64_t oracle_gup(struct oracle *o, unsigned pid, uint64_t va, uint64_t nr, unsigned flags);

struct oracle_part {
	uint64_t base, len;
};
/*
 * Calls on other processes; pmd and told are MADV_COLLAPSE's (oracle_collapse()); target 0: there is none of that number. `most`: the kernel ran out of memory when it had
 * dealt with so many bytes; UINT64_MAX: it did not. UNKNOWN: words would be copied that are not first words of pages,
 * or to where none is.
 */
int64_t oracle_process_madvise(struct oracle *o, unsigned pid, unsigned target,
	const struct oracle_part *parts, uint64_t nr, uint64_t advice, uint64_t flags,
	uint64_t most, uint64_t pmd, int64_t told);
struct oracle_transfer {
	unsigned pid, target;
	const struct oracle_part *local, *remote;
	uint64_t nlocal, nremote, flags, most;
	bool write;
};
int64_t oracle_process_vm(struct oracle *o, const struct oracle_transfer *t);

/*
 * userfaultfd: a number below ORACLE_MAX_UFFDS stands for each. What of a range is there the model is told, a byte a page
 * (CACHED: the mapping has it, in memory or in swap);
 * `done` is what Linux writes into the last field of the argument.
 */
#define ORACLE_MAX_UFFDS 64
enum {
	ORACLE_EMPTY,
	ORACLE_MARKED,
	ORACLE_TAKEN,
	ORACLE_CACHED = 4,
	ORACLE_KEPT = 8,     /* the page is not this process's alone, or pinned */
	ORACLE_NO_TABLE = 16 /* nothing is there, and not even a table */
};
enum oracle_fill { ORACLE_COPY, ORACLE_ZEROPAGE, ORACLE_CONTINUE, ORACLE_POISON };
int64_t oracle_userfaultfd(struct oracle *o, unsigned id, unsigned pid, uint64_t flags);
void oracle_uffd_close(struct oracle *o, unsigned id);
int64_t oracle_uffd_api(struct oracle *o, unsigned id, uint64_t api, uint64_t features);
int64_t oracle_uffd_register(
	struct oracle *o, unsigned id, uint64_t start, uint64_t len, uint64_t mode);
int64_t oracle_uffd_unregister(struct oracle *o, unsigned id, uint64_t start, uint64_t len);
int64_t oracle_uffd_wake(const struct oracle *o, unsigned id, uint64_t start, uint64_t len);
int64_t oracle_uffd_writeprotect(struct oracle *o, unsigned id, uint64_t start, uint64_t len,
	uint64_t mode, const uint8_t *there);
int64_t oracle_uffd_fill(struct oracle *o, unsigned id, enum oracle_fill what, unsigned from,
	uint64_t dst, uint64_t src, uint64_t len, uint64_t mode, uint8_t *there, int64_t *done);
/* UFFDIO_MOVE by process `caller`; `to` and `from` are what is at dst and at src, and become what is there then. */
int64_t oracle_uffd_move(struct oracle *o, unsigned id, unsigned caller, uint64_t dst, uint64_t src,
	uint64_t len, uint64_t mode, uint8_t *to, uint8_t *from, int64_t *done);
/* PM_SCAN_WP_MATCHING has told of these pages; refused: of those before the first mapping that is not asynchronous. */
void oracle_uffd_scanned(
	struct oracle *o, unsigned pid, uint64_t start, uint64_t end, bool refused);
/*
 * An access that no signal forbids: does it wait for a userfaultfd? Then the message's flags are there, and 8 besides;
 * 16: it ends in SIGBUS instead; 0: it goes on, and *what was noticed* of it is taken back.
 */
enum {
	ORACLE_UFFD_WRITE = 1,
	ORACLE_UFFD_WP = 2,
	ORACLE_UFFD_MINOR = 4,
	ORACLE_UFFD_WAITS = 8,
	ORACLE_UFFD_BUS = 16
};
unsigned oracle_uffd_access(struct oracle *o, unsigned pid, uint64_t va, bool write, uint8_t there);
/*
 * What is at nr pages from `start` on, before a call that faults them in for a process that has a userfaultfd: for that call, of as
 * many ranges as ORACLE_TOLD; NULL afterwards: of none. Calls do not wait for what they are not told of.
 */
#define ORACLE_TOLD 16
void oracle_uffd_there(struct oracle *o, unsigned pid, uint64_t start, uint8_t *there, uint64_t nr);
/* Does uffd-wp wait for a write to the page? */
bool oracle_uffd_wp(const struct oracle *o, unsigned pid, uint64_t va);

/* A store to va's page was done. The access was oracle_access()ed as possible. */
void oracle_store(struct oracle *o, unsigned pid, uint64_t va, uint64_t stamp);
/* A store to va's page was allowed and found no memory, or the file's end: it is not done, but the mapping has its anon_vma by then. */
void oracle_store_found_none(struct oracle *o, unsigned pid, uint64_t va);
/* The values that a load from va's page may find; how many. */
#define ORACLE_MAX_ALLOWED 2
unsigned oracle_load(
	struct oracle *o, unsigned pid, uint64_t va, uint64_t allowed[ORACLE_MAX_ALLOWED]);
/* A load found this value, one of those: what was undecided no longer is. */
void oracle_saw(struct oracle *o, unsigned pid, uint64_t va, uint64_t value);

/* One mapping, as /proc/PID/maps has it. */
struct oracle_map {
	uint64_t start, end;
	unsigned prot; /* 1 read, 2 write, 4 exec */
	bool shared;
	bool hugepage, nohugepage, dontfork, wipeonfork, locked;
	bool anon;       /* has an anon_vma */
	bool anonymous;  /* and private */
	bool file;       /* a file's, not nameless memory */
	bool uffd_wp;    /* a userfaultfd is told of writes */
	bool uffd_async; /* and they go on */
	unsigned uffd;   /* which is told of its faults: its number + 1; 0: none */
	uint64_t offset; /* bytes; 0 for private anonymous memory */
};
/* The first that ends above va; false if there is none. */
bool oracle_find(const struct oracle *o, unsigned pid, uint64_t va, struct oracle_map *map);
unsigned oracle_map_count(const struct oracle *o, unsigned pid);

#endif
