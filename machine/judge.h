/* SPDX-License-Identifier: MIT */
/*
 * The judge's state, private to machine/. What it knows of the world: which CPU did what in which order
 * (cpu, storebuf.c), which tables hang where (tables.c), what a TLB may still hold (stale.c), which frame
 * belongs to whom (mem.c). Functions that others of its files call are named mj_.
 */
#ifndef MACHINE_JUDGE_H
#define MACHINE_JUDGE_H

#include "machine.h"
#include "mmu.h"
#include "port_state.h"
#include "rules.h"

#define MJ_MAX_CPUS 64
#define MJ_HISTORY  16

/* ---- events on one entry, kept for the report ---- */
enum mj_kind {
	MJ_LOAD,
	MJ_STORE,
	MJ_RELEASE,
	MJ_XCHG,
	MJ_CAS,
	MJ_CASFAIL,
	MJ_WALK_A,
	MJ_WALK_D,
	MJ_KINDS
};
extern const char *const mj_kind_name[MJ_KINDS];

struct mj_event {
	uint64_t seq, old, new_raw;
	uint16_t cpu;
	uint16_t kind;
};

struct mj_history {
	uint64_t n; /* events so far; the last MJ_HISTORY are kept */
	struct mj_event ev[MJ_HISTORY];
};

/* One 8-byte entry of a table. */
struct mj_slot {
	struct mj_history *hist;
	uint64_t
		inv_seq; /* the store that made it valid; until published, walkers may not see it */
	uint64_t seen_seq; /* newest event that another CPU's software has seen */
	uint64_t high_seq; /* two words an entry: the last store to the high one */
	uint64_t new_seq;  /* the last store while no walker had reached the table */
	uint16_t inv_cpu, high_cpu;
	bool listed;   /* its block (or itself) is on the table's list of changes */
	bool a_unseen; /* hardware set A since software last looked */
	bool d_unseen; /* the same for D */
	bool new_d;    /* software wrote D; rule D2 looks at the next unlock */
};

enum mj_table_state {
	MJ_TABLE_FREE,     /* returned, or never given out */
	MJ_TABLE_NEW,      /* no walker has ever reached it */
	MJ_TABLE_LINKED,   /* reachable from a root */
	MJ_TABLE_DETACHED, /* unlinked; walk caches may still lead to it */
};

struct mj_table {
	struct mj_table *next; /* of all */
	uint64_t pa;
	uint64_t va; /* of slot 0 */
	uint64_t unlink_seq;
	struct mj_table *parent; /* once linked; NULL: a root */
	uint16_t parent_idx;
	uint64_t init_seq; /* last store to it, or its allocation */
	struct mj_slot *slots;
	uint16_t *changed; /* first slots of the blocks changed since the lock was taken */
	uint32_t nchanged, cap_changed;
	uint32_t nwalk; /* stale walk-cache records that lead here */
	uint16_t init_cpu;
	uint16_t asid;
	uint8_t level;
	uint8_t state;
	bool was_linked;
};

/* ---- frames ---- */
enum { MJ_FRAME_UNKNOWN, MJ_FRAME_ALLOCATED, MJ_FRAME_FREED };

struct mj_frame {
	uint32_t ext_first, ext_nr; /* allocation extent, in frames; nr 0 = none is known */
	uint32_t nmap;              /* leaf entries, inactive ones included, that name it */
	uint32_t ndirty;            /* of them, showing D */
	uint32_t nstale;            /* stale records that reach it */
	uint8_t state;
	uint8_t use; /* enum pf_mem_use */
};

/* D of a folio; kept at the extent's first frame. */
struct mj_folio {
	uint64_t store_seq; /* last store that reached, or was attempted at, a page of it */
	uint64_t clean_seq; /* last quiescent moment with entries, none of them showing D */
	bool touched;       /* on the list that the next quiescent point goes through */
};

/* ---- what a TLB may still hold ---- */
struct mj_stale {
	struct mj_stale *hnext;          /* hash chain */
	struct mj_stale *lnext, **lprev; /* its ASID's list: quiet or not */
	uint64_t va;                     /* of its span */
	uint64_t units[2];               /* parts of a block that may still be cached */
	uint64_t pa;                     /* of its span, or the lower table's */
	uint64_t cpus;                   /* that may hold it */
	uint64_t seq;                    /* of the change that made it stale */
	uint64_t slot_pa;                /* of the entry */
	uint64_t tried_seq;              /* last invalidation that met it in vain, and why */
	const char *tried;
	uint64_t issued_seq; /* last invalidation that will drop it once completed */
	uint64_t missed_seq; /* a store went through it without D being set anywhere */
	uint64_t hw;
	uint32_t gen;
	uint32_t key;
	uint16_t cpu;
	uint16_t asid;
	uint8_t shift, unit_shift; /* log2 of its span, and of a unit */
	uint8_t level;
	uint8_t memtype;
	bool table, cont, global;
	bool user, r, w, x, dbm, wperm;
	bool quiet; /* known to grant nothing that the tables do not */
};

struct mj_asid {
	struct mj_stale *list, *quiet;
	uint64_t root;     /* 0: unbound */
	uint64_t active;   /* CPUs that run it */
	uint64_t ever;     /* CPUs whose TLB may hold something of it */
	uint64_t flushing; /* of ever: covered by a whole-ASID operation not yet completed */
	uint32_t key;      /* of the hash: the ASID, or MJ_GLOBAL */
	uint64_t shifts;   /* spans for which records exist, by log2 */
	uint64_t nshift[64];
	uint64_t count;
	struct mj_asid *next;
};

/* An invalidation issued, waiting for COMPLETE. */
struct mj_pending {
	struct mj_stale *rec;
	uint64_t cpus;
	uint32_t gen;
	uint16_t asid;
	bool whole_asid; /* rec is NULL: cpus leave asid's `ever` */
};

struct mj_lock {
	const void *addr;
	struct mj_lock *next;
	uint64_t id;
	uint64_t vc[MJ_MAX_CPUS];
	uint64_t readers; /* rwlock */
	int owner;        /* CPU, -1 = none */
	int cls;
	bool freed; /* lay in metadata that is free now */
};

/* A translation as an access uses it. */
struct mj_xlat {
	bool ok;      /* else a fault */
	bool present; /* of a fault: a valid leaf was found */
	bool user, r, w, x, dbm;
	uint8_t level;
	uint64_t pa;          /* of the address */
	struct mj_stale *via; /* stale record used, or NULL */
	uint32_t via_gen;
	struct mj_table *table; /* entry used, when it came of none, and the frame it mapped */
	unsigned idx;
	uint64_t slot_frame;
};

struct mj_inflight {
	bool active, done;
	uint64_t va, value;
	struct mj_xlat x;
	struct machine_fault result;
};

struct mj_cpu {
	uint64_t root;
	uint16_t asid;
	bool has_root;
	uint64_t vc[MJ_MAX_CPUS];        /* stores of others that this CPU's barriers carry along */
	uint64_t pub_local[MJ_MAX_CPUS]; /* stores of each that this CPU's own walker sees */
	uint64_t pub;                    /* its stores up to here are visible to every walker */
	uint64_t order_seq;              /* its stores up to here come before its later ones */
	uint64_t sw_seq;                 /* its stores up to here are visible to all software */
	uint64_t plain_seq;              /* its last plain store to an entry */
	struct mj_lock **held;
	unsigned nheld, cap_held, spins;
	unsigned rcu_nest;
	uint64_t rcu_start;
	struct pf_lazy_mmu lazy; /* of the thread that runs on it */
	struct mj_pending *pend;
	unsigned npend, cap_pend;
	struct mj_inflight store;
};

/* A store attempted, or acted for, at an address: justifies D on what is mapped there. */
struct mj_attempt {
	uint64_t va;
	uint16_t asid;
};

#define MJ_RECENT 64
#define MJ_GLOBAL 0x10000u

struct mj {
	bool on;
	const struct mmu_format *fmt;
	uint32_t features;
	unsigned ncpus, cpu;
	uint64_t memory;
	uint64_t seq;
	uint64_t rng;
	struct mj_cpu cpus[MJ_MAX_CPUS];
	struct mj_asid **asids; /* by number, all 65536 */
	struct mj_asid *all_asids;
	struct mj_table **tables; /* by table-sized piece of RAM */
	uint64_t ntables;
	struct mj_table *all_tables;
	struct mj_frame *frames;
	struct mj_folio *folios;
	uint64_t nframes;
	uint32_t *touched;
	uint64_t ntouched, cap_touched;
	struct mj_attempt *attempts;
	uint64_t nattempts, cap_attempts;
	uint64_t recent[MJ_RECENT]; /* asid << 48 | va: where the adversary walks */
	unsigned nrecent;
	struct mj_asid globals; /* records of global translations */
	bool adversary_off;
	bool looking; /* machine_look(); never in an exploration */
	bool late_walks;
	void (*point)(void *ctx, bool blocked);
	void *point_ctx;
	const void *wanted; /* of a blocked CPU: the lock; NULL: anything */
	const struct mj_explorer *explorer;
};
extern struct mj mj;

/* Who decides what is chance otherwise, and is told what each step depends on (explore.c). */
struct mj_explorer {
	unsigned (*choose)(unsigned n);
	void (*did)(uint64_t object, bool changed);
	/* Does what other threads do meet a step that reads or changes the object? */
	bool (*shared)(uint64_t object, bool changes);
	/* It does not, so there was no point before it. */
	void (*skip)(void);
};
/*
 * What the running CPU's step has just read or changed: the address of an entry, a lock, an atomic word, or one of these. Two
 * steps are independent if neither changes an object of the other's.
 */
enum {
	MJ_OBJ_MMU = 1, /* what invalidations and barriers have made of stores so far */
	MJ_OBJ_RCU,
	MJ_OBJ_MEMORY, /* which frames are whose */
	MJ_OBJ_TIME,   /* which calls have ended */
};
/* A frame: its contents, and that it is somebody's. */
PF_INLINE uint64_t mj_obj_frame(uint64_t pa)
{
	return (pa & ~UINT64_C(4095)) | 2;
}
void mj_did(uint64_t object, bool changed);
/* Contents of these frames. */
void mj_did_frames(uint64_t pa, uint64_t bytes, bool changed);
/* A point before a step that is about one object alone. */
void mj_point_on(uint64_t object, bool changes);
/* A step that has no point before it: nobody can meet it. */
void mj_skip(void);

/* ---- cpu.c, for port.c ---- */
bool mj_start(const struct machine_config *cfg, const struct mmu_format *f);
void mj_stop(void);

/* ---- chance, cpu.c; while the explorer runs, its choices ---- */
uint64_t mj_random(void);
/* True once in n: what hardware may do and seldom does. */
bool mj_chance(unsigned n);
/* One of n; 0 is the usual one. */
unsigned mj_pick(unsigned n);
struct mj_cpu *mj_this(void);
struct mj_asid *mj_asid_get(uint16_t asid);
/* A hooked event begins: schedule point, adversary, sequence number. */
void mj_point(void);

/* ---- storebuf.c ---- */
bool mj_published(unsigned cpu, uint64_t seq);
/* To the walker of CPU `to`. */
bool mj_published_to(unsigned cpu, uint64_t seq, unsigned to);
/* Are CPU `cpu`'s stores up to seq ordered before what CPU `to` stores from now on? */
bool mj_ordered(unsigned cpu, uint64_t seq, unsigned to);
void mj_barrier(enum pf_barrier b);
void mj_release(uint64_t vc[MJ_MAX_CPUS]);
void mj_acquire(const uint64_t vc[MJ_MAX_CPUS]);
void mj_grace_period(void);
/* Does the running CPU have plain stores that others' software may miss yet? */
bool mj_hides_stores(void);

/* ---- tables.c ---- */
struct mj_table *mj_table_at(uint64_t pa);
struct mj_table *mj_table_get(uint64_t pa); /* known from now on */
uint64_t *mj_slot_ptr(const struct mj_table *t, unsigned idx);
uint64_t mj_slot_pa(const struct mj_table *t, unsigned idx);
struct mj_slot *mj_slot_of(uint64_t slot_pa);
void mj_decode(const struct mj_table *t, unsigned idx, uint64_t raw, struct mmu_entry *e);
/* The entry as it is in memory now. */
void mj_entry(const struct mj_table *t, unsigned idx, struct mmu_entry *e);
bool mj_table_known(const struct mj_table *t); /* level, address and ASID are known */
uint64_t mj_slot_va(const struct mj_table *t, unsigned idx);
void mj_table_root(uint64_t root, uint16_t asid);
/* release: the store that links orders this CPU's earlier ones. */
void mj_table_link(struct mj_table *parent, unsigned idx, const struct mmu_entry *e, bool release);
void mj_table_unlink(struct mj_table *parent, unsigned idx, const struct mmu_entry *e);
/* A walk-cache record that led to the table is gone. */
void mj_table_unreached(uint64_t pa);
void mj_table_alloc(uint64_t pa, uint64_t bytes);
void mj_table_free(uint64_t pa, uint64_t bytes);
/* The root is given up: what its tree still maps becomes stale. */
void mj_table_unroot(uint64_t root);
void mj_tables_stop(void);
void mj_history_add(struct mj_slot *s, enum mj_kind kind, uint64_t old, uint64_t new_raw);
/* Leaf that maps va now, in memory, with its table and slot; false if there is none. */
bool mj_find_leaf(
	uint64_t root, uint64_t va, struct mmu_entry *e, struct mj_table **t, unsigned *idx);

/* ---- entry.c ---- */
/* Hardware writes an entry. False if the word was no longer `old`. */
bool mj_walker_update(struct mj_table *t, unsigned idx, uint64_t old, bool d);
/* Counts of the frame that a leaf or inactive entry names. */
void mj_count_leaf(const struct mmu_entry *e, int by);

/* ---- blocks.c ---- */
unsigned mj_block_slots(const struct mj_table *t);
/* Slot idx has changed: rules I1, AD2 for its block as it is now. */
void mj_block_changed(struct mj_table *t, unsigned idx);
/* The table's lock is released: rules I2, I6, D2 for what changed under it. */
void mj_blocks_settle(struct mj_table *t);
/* One block, of a table just linked (rule Q2) or unlocked. */
void mj_block_check(struct mj_table *t, unsigned first, bool at_rest);
/* Some member of idx's block, or idx itself, shows D (A). skip: not counting idx. */
bool mj_block_shows_d(const struct mj_table *t, unsigned idx, bool skip);
bool mj_block_shows_a(const struct mj_table *t, unsigned idx, bool skip);

/* ---- stale.c: the records ---- */
uint64_t mj_stale_pa(const struct mj_stale *r, uint64_t va);
bool mj_stale_covers(const struct mj_stale *r, uint64_t va);
/* Records of a that meet [va, last], each once; fn may drop or split the one it is given. */
void mj_stale_each(struct mj_asid *a, uint64_t va, uint64_t last,
	void (*fn)(struct mj_stale *r, void *ctx), void *ctx);
void mj_stale_all(struct mj_asid *a, void (*fn)(struct mj_stale *r, void *ctx), void *ctx);
/* What of r lies in [va, last], as a record of its own. */
struct mj_stale *mj_stale_split(struct mj_stale *r, uint64_t va, uint64_t last);
/* These CPUs hold it no more. */
void mj_stale_drop(struct mj_stale *r, uint64_t cpus);
void mj_stale_set_quiet(struct mj_stale *r, bool quiet);
/* Slot idx of t no longer holds `old`, a leaf or a table: TLBs may go on using it. */
void mj_stale_leaf(struct mj_table *t, unsigned idx, const struct mmu_entry *old);
void mj_stale_table(struct mj_table *t, unsigned idx, const struct mmu_entry *old);
void mj_stale_activate(uint16_t asid, unsigned cpu);
/* One of the records that CPU cpu may use for va, by chance; NULL if there is none. */
struct mj_stale *mj_stale_pick(uint16_t asid, uint64_t va, unsigned cpu, bool table);
void mj_stale_stop(void);

/* ---- hazards.c: what the rules say of them ---- */
/* Rules BBM and I8: does a TLB hold something that the new entry must not meet? */
void mj_stale_meets(struct mj_table *t, unsigned idx, const struct mmu_entry *new_e);
/* The entries of a span changed: what was harmless may be so no more. */
void mj_stale_wake(uint16_t asid, uint64_t va, unsigned shift);
/* A stale translation that hardware may still set D for: same frame, writable, not dirty. */
bool mj_stale_may_set_d(uint16_t asid, uint64_t va, uint64_t pa);
struct mj_stale *mj_stale_covering_frame(uint32_t frame);
struct mj_stale *mj_stale_leading_to(uint64_t table_pa);
void mj_stale_quiescent(uint16_t asid);
const char *mj_stale_text(const struct mj_stale *r);

/* ---- tlbi.c ---- */
void mj_tlbi(enum pf_tlbi op, uint64_t operand, uint64_t operand2);
void mj_complete(bool local);
/* `part` was split off r: what was issued for r is issued for it. */
void mj_pending_copy(const struct mj_stale *r, struct mj_stale *part);
void mj_pending_stop(void);

/* ---- walk.c, access.c ---- */
/* Translate va by a walk of CPU cpu, which may go by stale walk-cache records. Sets A. */
void mj_walk(unsigned cpu, uint64_t va, bool speculative, struct mj_xlat *x);
/* Hardware sets D for a leaf, in any member of its block. */
void mj_walker_set(struct mj_table *t, unsigned idx, bool d);
void mj_speculate(void);
void mj_finish_store(unsigned cpu);

/* ---- mem.c ---- */
bool mj_frame_of(uint64_t pa, uint32_t *frame);
struct mj_folio *mj_folio_of(uint64_t pa); /* NULL: the frame belongs to no known extent */
bool mj_same_extent(uint64_t pa, uint64_t bytes);
bool mj_frame_freed(uint64_t pa);
void mj_folio_touch(uint64_t pa);
bool mj_mem_start(void);
void mj_mem_stop(void);

/* ---- dirty.c ---- */
void mj_store_reached(uint64_t pa);
void mj_store_attempted(uint16_t asid, uint64_t va);
/* Rule D2 for one entry that shows D. */
void mj_d_check(struct mj_table *t, unsigned idx, const struct mmu_entry *e);
/* e is in a table that no walker has reached until now. */
void mj_d_unseen(const struct mj_slot *s, const struct mmu_entry *e);
void mj_d_quiescent(uint16_t asid);

/* ---- locks.c ---- */
bool mj_holds_table(unsigned cpu, uint64_t table_pa);
void mj_locks_quiescent(void);
/* Rule S1: what is being done may wait for another thread. */
void mj_may_sleep(const char *what);
/* locks.c: metadata is given back. */
void mj_locks_freed(const void *p, size_t bytes);
void mj_locks_stop(void);
bool mj_reader_since(uint64_t seq);
void mj_rcu_poll(void);
void mj_rcu_flush(void);
/* A callback is under way. */
bool mj_rcu_running(void);

/* ---- log.c ---- */
bool mj_log_start(const char *file);
void mj_log_stop(void);
void mj_log_flush(void);
bool mj_logging(void);
__attribute__((format(printf, 1, 2))) void mj_log(const char *fmt, ...);

#endif
