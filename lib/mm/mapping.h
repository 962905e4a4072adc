/* SPDX-License-Identifier: MIT */
/*
 * What mapped pages come from when they are not anonymous and private: a file's pages, or memory that is
 * shared (Linux's address_space and its page cache). The pages are folios in a tree by page index, kept
 * until they are truncated, punched or the mapping goes; an entry in an address space is a mapping
 * of such a folio, the tree's own hold on it a reference.
 *
 * Two kinds. With `ops`, a file of the embedder's: pages are read when they are first needed, and a write
 * to a clean page is noticed, so that pf_mapping_sync() finds what must be written. Without, memory with
 * no other home (Linux's shmem, and MAP_SHARED|MAP_ANONYMOUS): pages begin as zeros, and go to swap when memory is
 * wanted: the tree has their places there then (shmem.c).
 *
 * Locks: these functions take the mapping's own; callers hold no lock of the library, but for those
 * that say otherwise. LOCKING.md has the order.
 */
#ifndef PF_MM_MAPPING_H
#define PF_MM_MAPPING_H

#include "base/itree.h"
#include "mm/handle.h"
#include "mm/page_tree.h"
#include "ops/ops.h"
#include "port/port.h"

struct pf_system;
struct pf_mapping;

struct pf_pfn_fault;

/*
 * Contents of a file. May sleep; called with a mmap lock and the mapping's pages_lock held for reading, so they
 * must not come back to the mapping.
 *
 * Without `read` it is a device's, of frames that are no memory (mm/pfnmap.h).
 */
struct pf_mapping_ops {
	/*
	 * Fill nr pages from page `index` on at pa. What lies beyond the file's end is filled with
	 * zeros. 0, or a negated error: the fault ends in SIGBUS (-PF_ENOMEM: as lack of memory).
	 */
	int (*read)(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr);
	/* Keep what nr pages at pa hold; they may be written to meanwhile, and are dirty again then. */
	int (*write)(struct pf_mapping *mapping, uint64_t index, pf_pa_t pa, unsigned nr);
	/* Pages [index, index + nr) are zeros from now on; NULL: holes cannot be made. */
	int (*punch)(struct pf_mapping *mapping, uint64_t index, uint64_t nr);
	/*
	 * A device's. A fault found nothing: pf_insert_pfns() what there is. 0: run the access again; else a negated error, and the fault
	 * ends in SIGBUS (-PF_ENOMEM: as lack of memory). NULL: all faults do.
	 */
	int (*fault)(struct pf_mapping *mapping, const struct pf_pfn_fault *f);
	/*
	 * A device's: what a frame says, into the page at pa, which is memory. As `read`, but without pages_lock. NULL: it is mapped
	 * shared only.
	 */
	int (*copy)(struct pf_mapping *mapping, pf_pfn_t pfn, pf_pa_t pa);
};

/* Fields are private to lib/mm but ctx, orders and memtype, the embedder's. */
struct pf_mapping {
	struct pf_handle_head head; /* head.handle is what its folios' `mapping` says */
	uint32_t refs;              /* VMAs, and the embedder's; 0: free */
	/*
	 * Orders that folios of a file may have, a bit each, order 0 always. (Memory without ops follows
	 * pf_system.thp.shmem.) Any time.
	 */
	uint32_t orders;
	uint8_t memtype; /* a device's: enum pf_memtype of its frames. Set before it is mapped. */
	struct pf_system *sys;
	const struct pf_mapping_ops *ops;
	void *ctx;
	uint64_t size; /* bytes: under pages_lock; beyond its last page is SIGBUS */
	/* Memory that failed had what was not written back: told once (Linux: AS_EIO). pages_lock; and to clear it, sync_lock. */
	bool lost;
	/*
	 * For reading: pages may be brought in and mapped. For writing: nobody does (Linux's
	 * invalidate_lock, and the folio lock where it stands for it).
	 */
	struct pf_rwlock pages_lock;
	struct pf_rwlock sync_lock; /* one pf_mapping_sync() at a time */
	/* Which VMAs map it, by page index. The VMAs' ranges change with it held for writing. */
	struct pf_rwlock i_mmap_lock;
	struct pf_itree i_mmap;
	struct pf_spinlock tree_lock; /* the next three */
	struct pf_page_tree tree;
	uint64_t nr_pages;   /* in the tree, in memory */
	uint64_t nr_swapped; /* and in swap */
	uint64_t committed;  /* pages promised for it until it goes (commit.c) */
};

/*
 * A mapping with one reference, the caller's, and no page. ops NULL: memory with no other home. NULL:
 * no memory.
 */
struct pf_mapping *pf_mapping_create(
	struct pf_system *sys, const struct pf_mapping_ops *ops, void *ctx, uint64_t size);
/* One more, for who has one. Any context. */
void pf_mapping_get(struct pf_mapping *mapping);
/*
 * One less. The last drops all pages, what has not been written too: an embedder that wants to keep
 * it keeps its reference, and syncs. (VMAs put theirs with the mmap lock held.)
 */
void pf_mapping_put(struct pf_mapping *mapping);

/*
 * The file has `size` bytes now. Pages beyond are unmapped wherever they are mapped, private copies of
 * them too, and dropped; the rest of the last page reads as zeros. Accesses beyond are SIGBUS when
 * this returns, and no TLB reaches the pages. 0; -PF_ENOMEM or -PF_EIO, and nothing has changed: the last page is in swap, and
 * could not be brought in for its rest to become zeros, or what is in swap could not be told apart without memory. Never when it grows, nor with ops.
 */
int pf_mapping_truncate(struct pf_mapping *mapping, uint64_t size);
/*
 * A hole: bytes [offset, offset + len) read as zeros from now on (fallocate's PUNCH_HOLE, MADV_REMOVE).
 * Private copies stay. 0, -PF_EINVAL (offset + len - 1 is no offset), -PF_EOPNOTSUPP, -PF_ENODEV (a device's), or what ops->punch says; without ops
 * -PF_ENOMEM or -PF_EIO as truncate.
 */
int pf_mapping_punch(struct pf_mapping *mapping, uint64_t offset, uint64_t len);
/*
 * Write the dirty pages of [index, index + nr) back: each is made clean in every address space first,
 * flushed, so that a later write is noticed. 0, or what ops->write said; what it failed for stays
 * dirty. -PF_EIO, once: some page, whichever, was lost before it was written back (mm/poison.h). 0 without ops.
 */
int pf_mapping_sync(struct pf_mapping *mapping, uint64_t index, uint64_t nr);
/* Is this page in memory? mincore's answer for what is not mapped. */
bool pf_mapping_cached(struct pf_mapping *mapping, uint64_t index);
/* The same, or in swap: has it been given contents? */
bool pf_mapping_has(struct pf_mapping *mapping, uint64_t index);

/* Is it a device's? */
PF_INLINE bool pf_mapping_is_device(const struct pf_mapping *mapping)
{
	return mapping->ops && !mapping->ops->read;
}

/* An open file, as mmap sees it. */
#define PF_FILE_READ  1u
#define PF_FILE_WRITE 2u
struct pf_file {
	struct pf_mapping *mapping; /* NULL: it cannot be mapped */
	unsigned mode;              /* how it was opened: PF_FILE_* */
};

#endif
