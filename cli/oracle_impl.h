/* SPDX-License-Identifier: MIT */
/* The model's own: mappings in a sorted array, page contents in a table by page number. */
#ifndef CLI_ORACLE_IMPL_H
#define CLI_ORACLE_IMPL_H

#include <stddef.h>
#include "cli/oracle.h"

/* What a mapping has beyond its protection. Those that Linux compares before it merges two. */
enum {
	OV_GROWSDOWN = 1 << 0,
	OV_LOCKED = 1 << 1,
	OV_NORESERVE = 1 << 2,
	OV_ACCOUNT = 1 << 3, /* its pages are charged: private and once writable */
	OV_HUGEPAGE = 1 << 4,
	OV_NOHUGEPAGE = 1 << 5,
	OV_DONTFORK = 1 << 6,
	OV_WIPEONFORK = 1 << 7,
	OV_RANDOM = 1 << 8,
	OV_SEQUENTIAL = 1 << 9,
	OV_MERGEABLE = 1 << 10,
	OV_DONTDUMP = 1 << 11,
	OV_LOCKONFAULT = 1 << 12,
	OV_SEALED = 1 << 13,
	OV_UFFD_MISSING = 1 << 14,
	OV_UFFD_WP = 1 << 15,
	OV_UFFD_MINOR = 1 << 16,
	OV_UFFD_MODES = OV_UFFD_MISSING | OV_UFFD_WP | OV_UFFD_MINOR,
};
/* Whose faults they are: its number, above. */
#define OV_UFFD_SHIFT 20
#define OV_UFFD(id)   ((unsigned)((id) + 1) << OV_UFFD_SHIFT)
#define OV_UFFD_ANY   (~0u << OV_UFFD_SHIFT | OV_UFFD_MODES)

/* Contents by page number: of a process's private memory, or of an object by its offset. */
struct ov_cell {
	uint64_t key; /* page number + 1; 0: unused */
	uint64_t value;
	bool lazy; /* MADV_FREE: may read zero */
	bool own;  /* of a private mapping of a file: a copy, whatever becomes of the file's page */
};
struct ov_table {
	struct ov_cell *cells;
	size_t size, used;
};

/* What a shared mapping maps, or a private one of a file. */
struct ov_object {
	unsigned refs;
	bool file;     /* a file's; else nameless memory */
	uint64_t size; /* pages; more can be mapped than that */
	struct ov_table pages;
	struct ov_table lost;   /* of 1: nameless memory that failed, whoever maps it */
	bool unsaid;            /* what had not been written back is lost: the next msync says so */
	struct ov_object *copy; /* while everything is copied */
};

struct ov_vma {
	uint64_t start, end, pgoff;
	unsigned prot, flags;
	struct ov_object *object; /* NULL: private anonymous memory */
	bool shared;
	/*
	 * Linux's anon_vma, as far as merging sees it: which one the mapping has (0: none yet), and whether it
	 * came from a parent.
	 */
	uint64_t anon;
	bool inherited;
};

/* A guard stands there; the page was lost. */
enum { OV_GUARD = 1, OV_POISON = 2 };

struct ov_process {
	unsigned pid;
	struct ov_vma *vmas;
	size_t nr, room;
	struct ov_table pages;
	struct ov_table guards; /* OV_GUARD, OV_POISON: no memory is there */
	struct ov_table wp;     /* of 1: uffd-wp */
	uint64_t start_brk, brk;
	unsigned def_flags; /* what new mappings get: OV_LOCKED, OV_LOCKONFAULT, of MCL_FUTURE */
	struct ov_process *next;
};

/* A userfaultfd, by number. */
struct ov_uffd {
	unsigned pid;
	bool ready;
	unsigned flags;
	uint64_t features;
};

struct oracle {
	struct oracle_config cfg;
	struct ov_uffd uffds[ORACLE_MAX_UFFDS];
	struct { /* oracle_uffd_there() */
		unsigned pid;
		uint64_t start, nr;
		uint8_t *pages;
	} there[ORACLE_TOLD];
	unsigned ntold;
	struct ov_object **files;
	unsigned nfiles;
	struct ov_process *processes;
	uint64_t next_anon;
};

static inline uint64_t ov_page_align(const struct oracle *o, uint64_t n)
{
	return (n + o->cfg.page - 1) & ~(o->cfg.page - 1);
}

static inline bool ov_in_page(const struct oracle *o, uint64_t n)
{
	return n & (o->cfg.page - 1);
}

void *ov_grow(void *p, size_t bytes); /* realloc that ends the program when there is no memory */

/* oracle.c: get_unmapped_area(). Flags of mmap; `chosen`: any free place is right. */
#define OV_MAP_FIXED 0x10
int64_t ov_place(const struct oracle *o, const struct ov_process *p, uint64_t addr, uint64_t len,
	uint64_t flags, int64_t told);
int64_t ov_chosen(const struct oracle *o, const struct ov_process *p, uint64_t len, int64_t told);

/* oracle.c: what was stored there last was a copy of a page that MADV_FREE was asked for: it may as well have been zero. */
void ov_store_lazy(struct oracle *o, unsigned pid, uint64_t va);

/* oracle.c: whose page stands at va, if it is an object's, and its index there; NULL: none's, or the process's own. */
struct ov_object *ov_object_page(
	const struct oracle *o, struct ov_process *p, uint64_t va, uint64_t *at);

/* oracle_uffd.c: writes to the mapping are noticed, and go on. */
bool ov_wp_async(const struct oracle *o, const struct ov_vma *v);
/* The mapping at va has been moved there by mremap, from where nr pages began. */
void ov_uffd_moved(struct oracle *o, struct ov_process *p, uint64_t va, uint64_t from, uint64_t nr);
/* The process is gone: its userfaultfds are nobody's, whoever gets the number. */
void ov_uffd_exited(struct oracle *o, unsigned pid);
/*
 * A call faults the page in: 0, and what was told says so from then on; or what it answers: it would wait (-EAGAIN), or may
 * not (-EFAULT).
 */
int ov_uffd_stops(struct oracle *o, struct ov_process *p, uint64_t va, bool write);

/* oracle_mlock.c */
#define OV_LOCKS ((unsigned)(OV_LOCKED | OV_LOCKONFAULT))
/*
 * Fault in what the mappings in [start, end) suggest, holes aside: 0, or -EFAULT at the first page that cannot be
 * had. What has an effect here is only that pages are written.
 */
int ov_populate(
	struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end, bool ignore_errors);

/* oracle_madvise.c: is there a guard in the range? */
bool ov_guarded(const struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end);

/* oracle_poison.c: is the page lost? By the process's entry, or because its object has nothing else. */
bool ov_poisoned(const struct oracle *o, struct ov_process *p, uint64_t va);
/* Is it, or does a guard stand there: can nobody have a page of it? */
static inline bool ov_barred(const struct oracle *o, struct ov_process *p, uint64_t va)
{
	return ov_guarded(o, p, va, va + 1) || ov_poisoned(o, p, va);
}
/* Only by the object. */
bool ov_lost(const struct oracle *o, struct ov_process *p, uint64_t va);
/* Is one of the range? */
bool ov_any_poisoned(const struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end);
/* No such marks in the range any more. */
void ov_drop_marks(struct ov_process *p, uint64_t first, uint64_t nr, uint64_t mark);

/* oracle_pages.c */
struct ov_cell *ov_get(struct ov_table *t, uint64_t page);
void ov_put(struct ov_table *t, uint64_t page, uint64_t value, bool lazy);
/* A private copy of a file's page. */
void ov_put_own(struct ov_table *t, uint64_t page, uint64_t value);
/* Pages [first, first + nr): zero; or, with `lazy`, zero from now on at any time. */
void ov_discard(struct ov_table *t, uint64_t first, uint64_t nr, bool lazy);
void ov_move(struct ov_table *t, uint64_t from, uint64_t to, uint64_t nr);
void ov_copy(struct ov_table *to, const struct ov_table *from);
void ov_drop(struct ov_object *obj);

/* oracle_vma.c */
struct ov_process *ov_process(const struct oracle *o, unsigned pid);
/* Index of the first mapping that ends above va; nr if there is none. */
size_t ov_find(const struct ov_process *p, uint64_t va);
bool ov_free_range(const struct ov_process *p, uint64_t start, uint64_t end);
/* Make a boundary at va if a mapping spans it. */
void ov_split(const struct oracle *o, struct ov_process *p, uint64_t va);
/* Take [start, end) out, contents too. The caller has checked the limit. */
void ov_remove(const struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end);
/* Put v in (the range is free) and merge it with its neighbours as Linux does. */
void ov_insert(struct oracle *o, struct ov_process *p, const struct ov_vma *v);
/*
 * Give [start, end), which lies in one mapping, new protection and flags: merged with a neighbour, or split off.
 * False if that would take more mappings than allowed; then nothing has changed.
 */
bool ov_modify(struct oracle *o, struct ov_process *p, uint64_t start, uint64_t end, unsigned prot,
	unsigned flags);
/* Is anything in the range sealed? */
bool ov_sealed(const struct ov_process *p, uint64_t start, uint64_t end);
bool ov_can_punch(const struct oracle *o, const struct ov_process *p, uint64_t start, uint64_t end);
/* Pages [start, end) of a mapping are there, to be written: those of a private one of a file are copied. */
void ov_copy_pages(
	const struct oracle *o, struct ov_process *p, size_t i, uint64_t start, uint64_t end);
/* The mapping is written to for the first time: Linux gives it an anon_vma, a neighbour's if it fits. */
void ov_make_anon(struct oracle *o, struct ov_process *p, size_t i);

#endif
