/* SPDX-License-Identifier: MIT */
/*
 * User address spaces: what Linux's memory system calls do, with Linux's results and errors.
 *
 * A struct pf_system is what the address spaces of one machine share; a struct pf_mm is one address
 * space. The embedder allocates both. Calls return the system call's value, or a negated error
 * (base/err.h, Linux's numbers). They take the mmap lock themselves; callers hold no lock of the
 * library. Every call that fails with -PF_ENOMEM for lack of metadata leaves the address space as
 * it was, except where Linux documents partial effect (mprotect and madvise over a hole; munmap
 * never).
 */
#ifndef PF_MM_MM_H
#define PF_MM_MM_H

#include "mm/handle.h"
#include "ops/ops.h"

#define PF_PROT_NONE      0x0u
#define PF_PROT_READ      0x1u
#define PF_PROT_WRITE     0x2u
#define PF_PROT_EXEC      0x4u
#define PF_PROT_GROWSDOWN 0x01000000u
#define PF_PROT_GROWSUP   0x02000000u

#define PF_MAP_SHARED          0x01u
#define PF_MAP_PRIVATE         0x02u
#define PF_MAP_SHARED_VALIDATE 0x03u
#define PF_MAP_TYPE            0x0fu
#define PF_MAP_FIXED           0x10u
#define PF_MAP_ANONYMOUS       0x20u
#define PF_MAP_GROWSDOWN       0x0100u
#define PF_MAP_LOCKED          0x2000u
#define PF_MAP_NORESERVE       0x4000u
#define PF_MAP_POPULATE        0x8000u
#define PF_MAP_NONBLOCK        0x10000u
#define PF_MAP_STACK           0x20000u
#define PF_MAP_FIXED_NOREPLACE 0x100000u

#define PF_MREMAP_MAYMOVE   1u
#define PF_MREMAP_FIXED     2u
#define PF_MREMAP_DONTUNMAP 4u

#define PF_MLOCK_ONFAULT 1u

#define PF_MCL_CURRENT 1u
#define PF_MCL_FUTURE  2u
#define PF_MCL_ONFAULT 4u

#define PF_MS_ASYNC      1u
#define PF_MS_INVALIDATE 2u
#define PF_MS_SYNC       4u

#define PF_MADV_NORMAL          0
#define PF_MADV_RANDOM          1
#define PF_MADV_SEQUENTIAL      2
#define PF_MADV_WILLNEED        3
#define PF_MADV_DONTNEED        4
#define PF_MADV_FREE            8
#define PF_MADV_REMOVE          9
#define PF_MADV_DONTFORK        10
#define PF_MADV_DOFORK          11
#define PF_MADV_MERGEABLE       12
#define PF_MADV_UNMERGEABLE     13
#define PF_MADV_HUGEPAGE        14
#define PF_MADV_NOHUGEPAGE      15
#define PF_MADV_DONTDUMP        16
#define PF_MADV_DODUMP          17
#define PF_MADV_WIPEONFORK      18
#define PF_MADV_KEEPONFORK      19
#define PF_MADV_COLD            20
#define PF_MADV_PAGEOUT         21
#define PF_MADV_POPULATE_READ   22
#define PF_MADV_POPULATE_WRITE  23
#define PF_MADV_DONTNEED_LOCKED 24
#define PF_MADV_COLLAPSE        25
#define PF_MADV_HWPOISON        100
#define PF_MADV_SOFT_OFFLINE    101
#define PF_MADV_GUARD_INSTALL   102
#define PF_MADV_GUARD_REMOVE    103

/* transparent_hugepage/enabled and hugepages-<size>/enabled */
enum pf_thp_mode { PF_THP_NEVER, PF_THP_MADVISE, PF_THP_ALWAYS, PF_THP_INHERIT };

struct pf_thp {
	enum pf_thp_mode enabled;   /* what `inherit` follows */
	enum pf_thp_mode order[16]; /* by folio order; orders 0 and 1 are not used */
	/* shmem_enabled, and hugepages-<size>/shmem_enabled: shared memory that has no file. */
	enum pf_thp_mode shmem_enabled;
	enum pf_thp_mode shmem[16];
	/* khugepaged/max_ptes_*: pages of a leaf table, at first all but one, an eighth and half of them. */
	uint32_t max_ptes_none, max_ptes_swap, max_ptes_shared;
};

/* Linux's vm.overcommit_memory: is more memory promised than there is? */
enum pf_overcommit {
	PF_OVERCOMMIT_GUESS,  /* no single request for more than all memory and swap */
	PF_OVERCOMMIT_ALWAYS, /* anything */
	PF_OVERCOMMIT_NEVER,  /* no more than commit_limit in all; MAP_NORESERVE means nothing */
};

/* KSM's pages (mm/ksm_node.h). */
struct pf_ksm {
	struct pf_rwlock lock;
	struct pf_handle_pool nodes;
	uint32_t hand; /* the node that was looked at last */
};

/* What the address spaces of one machine share. Filled by pf_system_init; thp, overcommit
 * and commit_limit may be changed any time. */
struct pf_system {
	const struct pf_format *fmt;
	struct pf_phys *phys;
	struct pf_table_mem table_mem; /* phys's */
	uint32_t features;
	enum pf_fold_policy policy;
	struct pf_thp thp;
	pf_pfn_t zero_pfn;
	pf_va_t mmap_min_addr;    /* 64K, as Linux */
	pf_va_t task_size;        /* first address above user space */
	uint32_t stack_guard_gap; /* pages kept free below what grows down; 256, as Linux */
	uint32_t max_map_count;   /* VMAs of one address space; 65530, as Linux */
	uint64_t *mm_ids;         /* a bit for each space.mm_id in use; atomic */
	uint16_t next_mm_id;      /* where to look first; a hint */
	struct pf_handle_pool anon_vmas;
	uint32_t overcommit; /* enum pf_overcommit; GUESS, as Linux */
	uint64_t
		commit_limit; /* pages, in mode NEVER: less must be promised. What is kept for administrators is
				* the embedder's to subtract */
	uint64_t committed;  /* pages promised (Linux's Committed_AS); atomic */
	uint64_t swap_pages; /* slots of all devices; atomic */
	uint64_t splits;     /* folios split; atomic */
	uint64_t hand;       /* reclaim's: the next frame, counted from the first; a hint */
	uint64_t poisoned;   /* frames that are used no more (mm/poison.h); atomic */
	uint64_t collapses;  /* folios that took the place of smaller ones; atomic */
	struct pf_handle_pool mappings; /* struct pf_mapping */
	struct pf_ksm ksm;
	/* Whose own memory a node is (mm/device_memory.h); set while nobody allocates there. */
	struct pf_device_memory *device_memory[PF_MAX_NODES];
	struct pf_swaps swaps; /* devices; change under mms_lock, for writing */
	struct pf_rwlock mms_lock;
	struct pf_mm *mms; /* all there are, under mms_lock: for swapoff */
};

/*
 * What one process may have: Linux's RLIMIT_*, in bytes. The embedder sets them any time, with the
 * mmap lock held or nobody else in the address space; fork hands them on. A process that may exceed
 * `memlock` (CAP_IPC_LOCK) has none.
 */
#define PF_RLIM_INFINITY UINT64_MAX
struct pf_limits {
	uint64_t as;      /* mapped */
	uint64_t data;    /* mapped private and writable, stacks aside; and the heap by itself */
	uint64_t memlock; /* locked; 0: nothing may be locked */
	uint64_t stack;   /* of a mapping that grows down */
};

struct pf_vma_tree;
struct pf_uffd;

struct pf_mm {
	struct pf_space space; /* first: a pf_space * of an mm is the mm */
	struct pf_system *sys;
	struct pf_rwlock mmap_lock;
	uint64_t lock_seq; /* counts times that mmap_lock was had for writing (mm/vma_lock.h) */
	struct pf_vma_tree *vmas;
	uint32_t map_count;
	uint64_t total_vm; /* pages mapped */
	uint64_t
		locked_vm; /* of them, locked: exact, where Linux's drifts after MREMAP_DONTUNMAP */
	uint64_t data_vm;  /* of them, private and writable, stacks aside */
	uint32_t def_flags;      /* what new mappings get besides: PF_VM_LOCKED*, of MCL_FUTURE */
	struct pf_limits limits; /* at first none */
	pf_va_t mmap_base;       /* top-down placement starts below it */
	pf_va_t start_brk, brk;
	uint32_t interleaved; /* pages brought in that the process's policy was asked for; atomic */
	struct pf_mm *mms_next, *mms_prev; /* sys->mms */
	struct pf_uffd *uffds;             /* that were made for it (mm/uffd.h) */
	/*
	 * Some neighbours could be one VMA and are not: fork and MREMAP_DONTUNMAP leave it so, as
	 * Linux does. For pf_mm_check.
	 */
	bool unmerged;
};

int pf_system_init(struct pf_system *sys, const struct pf_format *fmt, struct pf_phys *phys,
	uint32_t features, enum pf_fold_policy policy);
void pf_system_exit(struct pf_system *sys);

/* asid: not in use by any other address space of this machine. 0 or -PF_ENOMEM. */
int pf_mm_init(struct pf_mm *mm, struct pf_system *sys, uint16_t asid);
/* exit: unmap everything, free every table. The caller has made sure that no CPU runs in it. */
void pf_mm_exit(struct pf_mm *mm);

/*
 * The system calls (README: what else Linux has is -PF_EOPNOTSUPP). Lengths and addresses are bytes. They take the mmap lock, and no TLB holds
 * a right they took away when they return.
 *
 * Errors are Linux's, found in Linux's order:
 *
 * mmap      EINVAL (length 0; MAP_FIXED not at a page; type), ENOMEM (too long; no room; too many
 *           mappings; no memory), EPERM (MAP_FIXED below mmap_min_addr), EEXIST
 *           (MAP_FIXED_NOREPLACE), EPERM, EAGAIN (MAP_LOCKED, or all is: limits.memlock), EBADF
 *           (not MAP_ANONYMOUS). Populating never fails the call.
 * munmap    EINVAL (not at a page; length 0; outside user space), ENOMEM (a hole in a VMA, and no
 *           memory or too many mappings)
 * mprotect  EINVAL, ENOMEM (a hole: what comes before it is changed; too many mappings: likewise; no
 *           memory: nothing is), EACCES
 * mremap    EINVAL, EFAULT (nothing there; several VMAs, but for a fixed move of one size), ENOMEM,
 *           EPERM. With MREMAP_FIXED what lay at the target is gone even when moving fails for want
 *           of a table, and so are the pages that a smaller size cuts off; of several VMAs those
 *           before the failure have moved.
 * madvise   EINVAL, ENOMEM (a hole: the rest is done; no memory: nothing is), EAGAIN (too many
 *           mappings; COLLAPSE: somebody keeps a page), EFAULT (populate: a signal)
 * mlock     EINVAL (flags; the end wraps), EPERM, ENOMEM (limits.memlock; a hole: what comes before it
 *           is locked; too many mappings: likewise; a page that cannot be had, because nobody may
 *           touch it; no memory for VMAs: nothing is locked), EAGAIN (no memory for pages: all is
 *           locked, some pages are not there yet)
 * munlock   EINVAL, ENOMEM, as mlock
 * mlockall  EINVAL, EPERM, ENOMEM (limits.memlock). Pages that cannot be had are no error.
 * mincore   EINVAL, ENOMEM (a hole, or outside user space)
 * msync     EINVAL, ENOMEM (a hole), EBUSY (MS_INVALIDATE of locked memory), what writing a file said
 * mseal     EINVAL, ENOMEM (a hole: nothing is sealed; too many mappings: what comes before is; no
 *           memory: nothing is)
 *
 * Sealed memory: EPERM from munmap, mremap, mprotect (what comes before it is changed), mmap over it,
 * and madvise that would discard what may not be written (what comes before it is done).
 */
int64_t pf_mmap(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned prot, unsigned flags);
/*
 * mmap with a descriptor (mm/mapping.h). Beside mmap's errors: EINVAL (offset not a multiple of the
 * page; MAP_GROWSDOWN), EOVERFLOW (offset + len), EACCES (not opened for it: reading always, writing for
 * what is shared and writable), ENODEV (no mapping), EOPNOTSUPP (MAP_SHARED_VALIDATE with flags beyond
 * Linux's first; a device's, whose frames the format cannot map). EINVAL also for a device's that is to be private and may not
 * (mm/pfnmap.h). The VMA takes a reference to the mapping.
 */
struct pf_file;
int64_t pf_mmap_file(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned prot, unsigned flags,
	const struct pf_file *file, uint64_t offset);
int pf_munmap(struct pf_mm *mm, pf_va_t addr, uint64_t len);
int pf_mprotect(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned prot);
int64_t pf_mremap(struct pf_mm *mm, pf_va_t old, uint64_t old_len, uint64_t new_len, unsigned flags,
	pf_va_t new_addr);
int pf_madvise(struct pf_mm *mm, pf_va_t addr, uint64_t len, int advice);
int pf_mlock(struct pf_mm *mm, pf_va_t addr, uint64_t len);
int pf_mlock2(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned flags);
int pf_munlock(struct pf_mm *mm, pf_va_t addr, uint64_t len);
int pf_mlockall(struct pf_mm *mm, unsigned flags);
int pf_munlockall(struct pf_mm *mm);
/* pkey -1: as pf_mprotect. No key is handed out, so every other is -PF_EINVAL, as on hardware without. */
int pf_pkey_mprotect(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned prot, int pkey);
/* For each page of the range a byte: is it there? All of vec that is known by an error is filled. */
int pf_mincore(struct pf_mm *mm, pf_va_t addr, uint64_t len, uint8_t *vec);
int pf_msync(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned flags);
int pf_mseal(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned flags);
/* The new break, or the old one if it could not be moved: as the system call, no error. */
pf_va_t pf_brk(struct pf_mm *mm, pf_va_t brk);
void pf_set_brk_start(struct pf_mm *mm, pf_va_t start);
/*
 * child: not initialised yet. 0, or -PF_ENOMEM with nothing left behind but that the parent's pages
 * may be read-only and not exclusive: its next writes fault, and take them back. The parent's ASID
 * is flushed once if anything lost W. -PF_ENOMEM also while somebody keeps the lock of a page that a device has
 * to itself (mm/device.h).
 */
int pf_fork(struct pf_mm *child, struct pf_mm *parent, uint16_t asid);

/*
 * A CPU faulted at va (any byte) for a read (0), write or exec (PF_FAULT_FLAG_*). Finds the VMA,
 * checks its rights, and handles it; PF_FAULT_DONE: run the access again; PF_FAULT_UFFD: a userfaultfd
 * has been told, and the access is to be run again when it wakes (mm/uffd.h).
 */
enum pf_fault_result pf_handle_mm_fault(struct pf_mm *mm, pf_va_t va, unsigned flags);

/*
 * get_user_pages and, with PF_FOLL_PIN, pin_user_pages: the frames of nr pages from va, each kept by a reference or a
 * pin until it is given back with the function that belongs to it. foll: PF_FOLL_*.
 *
 * How many pages, fewer than nr if one cannot be had; if it is the first, -PF_EFAULT (not mapped, or its VMA does not
 * allow it; PF_FOLL_FORCE lets a debugger write private memory that is read-only, into a copy), -PF_ENOMEM, -PF_EINVAL
 * (flags), -PF_EAGAIN (a userfaultfd has been told, and will wake). A pinned page stays this address space's: fork copies it for the child, and what the process writes later
 * the pin's owner sees, and the other way round. A reference promises only that the frame is not reused. What the
 * owner writes is not seen as D in the entry. May sleep; takes the mmap lock for reading.
 */
int64_t pf_gup(struct pf_mm *mm, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages);
/*
 * The same without any lock: as many pages as can be had by what their entries say, and only those for which that is
 * enough. Nothing is faulted in, and no VMA is looked at, so what an entry allows is handed out: where memory is mapped with PROT_WRITE
 * alone its entries can be read, and a page behind them is (Linux). 0: none; -PF_EINVAL: flags. PF_FOLL_PIN
 * beside a fork gets none. Any context that may take RCU and PF_LOCK_ZONE; the address space does not exit meanwhile.
 */
int64_t pf_gup_fast_only(struct pf_mm *mm, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages);
/* As pf_gup, the first pages without a lock if they can be had so; locks are taken for the rest. */
int64_t pf_gup_fast(struct pf_mm *mm, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages);
/* Any context without spinlocks. The address space may be gone. Takes PF_LOCK_ZONE. */
void pf_unpin_user_pages(struct pf_system *sys, const pf_pfn_t *pages, uint64_t nr);
/* The same for pages that the pins' owner wrote to: their folios are dirty. unpin_user_pages_dirty_lock. */
void pf_unpin_user_pages_dirty(struct pf_system *sys, const pf_pfn_t *pages, uint64_t nr);
void pf_put_user_pages(struct pf_system *sys, const pf_pfn_t *pages, uint64_t nr);

/* ---- other processes (process.c) ---- */

struct pf_iovec {
	pf_va_t base;
	uint64_t len; /* bytes */
};
#define PF_UIO_MAXIOV 1024u

/*
 * process_madvise by `mm` of `target`, which may be the same; NULL: there is no such process. Who may do that to whom
 * is the embedder's to decide, and descriptors are its own. The bytes of the parts that were dealt with, up to the first
 * that could not be; if that is the first one, its error: madvise's, -PF_EINVAL (flags; more than PF_UIO_MAXIOV
 * parts; a part longer than INT64_MAX; advice that is not for others: all but COLD, PAGEOUT, WILLNEED and COLLAPSE),
 * -PF_EFAULT (a part outside user space: nothing is done), -PF_ESRCH. No more than 2 GiB less a page are dealt with.
 */
int64_t pf_process_madvise(struct pf_mm *mm, struct pf_mm *target, const struct pf_iovec *vec,
	uint64_t nr, int advice, unsigned flags);

/*
 * process_vm_readv and process_vm_writev: copy between `mm`'s own memory and `target`'s, part by part, as many bytes as both
 * sides have. They need of either what a load or store would need, and no more; pages are faulted in, of the
 * target's all of a part (but at most as many as two pages hold numbers of), also where the caller has room for fewer bytes. How many bytes; if none, -PF_EFAULT (not mapped, or not so),
 * -PF_ENOMEM, -PF_EAGAIN (a userfaultfd has been told of the caller's own page), -PF_EINVAL (flags; too many parts,
 * or too long), -PF_ESRCH. Takes each mmap lock for reading,
 * one after the other. The owners see what was written as if by a store, but for D, which the folio has.
 */
int64_t pf_process_vm_readv(struct pf_mm *mm, const struct pf_iovec *local, uint64_t nlocal,
	struct pf_mm *target, const struct pf_iovec *remote, uint64_t nremote, uint64_t flags);
int64_t pf_process_vm_writev(struct pf_mm *mm, const struct pf_iovec *local, uint64_t nlocal,
	struct pf_mm *target, const struct pf_iovec *remote, uint64_t nremote, uint64_t flags);

/*
 * Swap. The embedder's device has room for `slots` pages, which `ops` reads and writes; it may be used from
 * now on. The number that entries call it by, which swapoff takes; -PF_EINVAL: no slots, or more than an
 * entry of the format can name; -PF_EPERM: too many devices (Linux's answer); -PF_ENOMEM.
 */
int pf_swapon(struct pf_system *sys, const struct pf_swap_ops *ops, void *ctx, uint64_t slots);
/*
 * Bring everything in that is on the device, and forget it. -PF_EINVAL: no such device; -PF_ENOMEM, -PF_EIO:
 * a page could not be brought in; the device is then in use as before. Takes every mm's mmap lock for
 * reading, one after the other, and mappings' pages locks.
 */
int pf_swapoff(struct pf_system *sys, unsigned dev);

/*
 * Make `pages` free, or as many as can be: of files' pages, and of anonymous and shared memory, for which there is swap, first
 * what was not used for longest. What is locked in memory, pinned, or in use by somebody stays. How many became free, which may be more. The library does this by itself when an allocation finds no
 * memory; an embedder may do it before (Linux's kswapd, memory.reclaim). May sleep; any lock but spinlocks may be held.
 */
uint64_t pf_reclaim(struct pf_system *sys, uint64_t pages);

/* One VMA as /proc/PID/maps and smaps would tell. */
struct pf_vma_info {
	struct pf_area area;
	struct pf_mapping *mapping; /* NULL: anonymous and private */
};
/* The first VMA that ends above va; false if there is none. */
bool pf_find_vma_info(struct pf_mm *mm, pf_va_t va, struct pf_vma_info *info);
/* One page, as the locked getter returns it. */
void pf_page_info(struct pf_mm *mm, pf_va_t va, struct pf_page_info *info);

/*
 * Everything that must hold of an address space that nobody is changing: VMAs ordered and merged,
 * counts, G1-G3, G10, blocks well formed. NULL, or what is wrong. For tests: slow.
 */
const char *pf_mm_check(struct pf_mm *mm);

#endif
