/* SPDX-License-Identifier: MIT */
/*
 * Folio-aware loops over user mappings, compiled once per format and reached through struct
 * pf_format: one call per range, none per entry.
 *
 * Locks: every function says what its caller holds of the mmap lock; in a fault the lock of the area's VMA does
 * instead (mm/vma_lock.h). Table locks are taken inside, one at a time (fork and move: two, nested). None is held on return. Ranges (va, nr) lie inside
 * the area.
 */
#ifndef PF_OPS_OPS_H
#define PF_OPS_OPS_H

#include "phys/swap.h"
#include "tlb/gather.h"

/* VMA flags, with Linux's values where it has them. */
#define PF_VM_READ         0x1u
#define PF_VM_WRITE        0x2u
#define PF_VM_EXEC         0x4u
#define PF_VM_ACCESS       (PF_VM_READ | PF_VM_WRITE | PF_VM_EXEC)
#define PF_VM_SHARED       0x8u
#define PF_VM_MAYREAD      0x10u
#define PF_VM_MAYWRITE     0x20u
#define PF_VM_MAYEXEC      0x40u
#define PF_VM_MAYSHARE     0x80u
#define PF_VM_GROWSDOWN    0x100u
#define PF_VM_UFFD_MISSING 0x200u
#define PF_VM_PFNMAP       0x400u
#define PF_VM_UFFD_WP      0x1000u
#define PF_VM_LOCKED       0x2000u
#define PF_VM_IO           0x4000u
#define PF_VM_DONTCOPY     0x20000u
#define PF_VM_DONTEXPAND   0x40000u
#define PF_VM_LOCKONFAULT  0x80000u
#define PF_VM_ACCOUNT      0x100000u
#define PF_VM_NORESERVE    0x200000u
#define PF_VM_WIPEONFORK   0x2000000u
#define PF_VM_SOFTDIRTY    0x8000000u
#define PF_VM_HUGEPAGE     0x20000000u
#define PF_VM_NOHUGEPAGE   0x40000000u
/* Linux's lies above 32 bits. */
#define PF_VM_UFFD_MINOR 0x400000u
/* Of ours: with UFFD_WP, a write is let through, and the entry no longer says uffd-wp. */
#define PF_VM_UFFD_ASYNC 0x800000u
/* Mappings of what is no memory, or not to be copied: they are merged with nothing, and not locked (Linux). */
#define PF_VM_SPECIAL (PF_VM_IO | PF_VM_DONTEXPAND | PF_VM_PFNMAP)
/* A userfaultfd wants to be told of faults here: page by page, so folios are single pages. */
#define PF_VM_UFFD (PF_VM_UFFD_MISSING | PF_VM_UFFD_WP | PF_VM_UFFD_MINOR | PF_VM_UFFD_ASYNC)

/* What an area's pages are, until a private one is written to. */
enum pf_backing {
	PF_BACKED_ANON,  /* zeros, of this address space */
	PF_BACKED_FILE,  /* a mapping's (mm/mapping.h): a file's, */
	PF_BACKED_SHMEM, /* or memory that is shared */
};

/* The part of a VMA that the layers below know. */
struct pf_area {
	pf_va_t start, end; /* end is exclusive; user address spaces end below 2^64 */
	uint32_t flags;     /* PF_VM_* */
	uint32_t anon;      /* what new pages say they belong to: a handle (mm/handle.h); 0 none */
	enum pf_backing backing;
	/*
	 * Bits of PF_PTE_PROT_BITS a fresh entry gets: vm_page_prot. Without W where a shared page's
	 * first write must be noticed; the folio is dirty when an entry has W then.
	 */
	uint64_t prot;
	/*
	 * Page index of `start` in what the area maps. Of private anonymous memory it is start >>
	 * page_shift where the memory was mapped, and mremap keeps it once pages exist (they are found by it), so
	 * that moved memory may be refused a merge with its new neighbours, as in Linux.
	 */
	uint64_t pgoff;
	struct pf_policy
		policy; /* where its pages are allocated; DEFAULT: as the process wants. mmap lock */
};

/* Private and may be written: pages are copied on write. */
PF_INLINE bool pf_area_cow(const struct pf_area *a)
{
	return (a->flags & (PF_VM_SHARED | PF_VM_MAYWRITE)) == PF_VM_MAYWRITE;
}

#define PF_FAULT_FLAG_WRITE 1u
#define PF_FAULT_FLAG_EXEC  2u
/*
 * A page is about to be pinned for reading: an anonymous one must be this process's alone afterwards, but not
 * writable. Linux's FAULT_FLAG_UNSHARE.
 */
#define PF_FAULT_FLAG_UNSHARE 4u
/* No access of the process itself: what a kernel does on its behalf. Some userfaultfds refuse these. */
#define PF_FAULT_FLAG_KERNEL 8u
/* A NUMA hint is taken back where the page is. */
#define PF_FAULT_FLAG_STAY 16u
/* Nobody waits for a userfaultfd: where one would have to be told, it is not, and the fault is a SIGBUS. */
#define PF_FAULT_FLAG_NO_WAIT 32u

/* How pages are followed, with Linux's values. */
#define PF_FOLL_WRITE            PF_BIT(0)
#define PF_FOLL_GET              PF_BIT(1)
#define PF_FOLL_FORCE            PF_BIT(3)
#define PF_FOLL_NOFAULT          PF_BIT(5)
#define PF_FOLL_LONGTERM         PF_BIT(8)
#define PF_FOLL_HONOR_NUMA_FAULT PF_BIT(12)
#define PF_FOLL_PIN              PF_BIT(19)
#define PF_FOLL_ALL                                                                                \
	(PF_FOLL_WRITE | PF_FOLL_GET | PF_FOLL_FORCE | PF_FOLL_NOFAULT | PF_FOLL_LONGTERM |        \
		PF_FOLL_HONOR_NUMA_FAULT | PF_FOLL_PIN)

/*
 * Of an entry. Without access where the VMA allows it, a present one is a hint, which a fault takes back. RESIDENT is mincore's
 * word: it names a frame, present or not.
 */
enum pf_run_of { PF_RUN_PRESENT, PF_RUN_ACCESSIBLE, PF_RUN_WRITABLE, PF_RUN_RESIDENT };

enum pf_fault_result {
	PF_FAULT_DONE, /* try the access again */
	/*
	 * lib/ops to lib/mm: an empty slot of a backed area, for map_file, cow_file or insert_pfns; or a write to a frame that is no
	 * memory, of a private area, for put_copy.
	 */
	PF_FAULT_MISSING,
	PF_FAULT_OOM,      /* nothing changed but, perhaps, empty tables */
	PF_FAULT_SIGSEGV,  /* the area does not allow it */
	PF_FAULT_SIGBUS,   /* past the end of what backs it, or it cannot be read */
	PF_FAULT_HWPOISON, /* the page is lost, or a userfaultfd says that it is: a SIGBUS, too */
	PF_FAULT_SWAP,     /* only inside the library: the page is to be brought in (swap_look) */
	PF_FAULT_HINT, /* only inside the library: a hint, and the page should be on another node */
	PF_FAULT_DEVICE, /* only inside the library: the page is in a device's memory (lock_private) */
	/* Only inside the library: a userfaultfd has asked to be told. Nothing changed. */
	PF_FAULT_UFFD_MISSING,
	PF_FAULT_UFFD_MINOR,
	PF_FAULT_UFFD_WP,
	PF_FAULT_UFFD, /* it has been told: the access waits until it is woken (mm/uffd.h) */
};

/* What change_protection is for: Linux's MM_CP_*. */
#define PF_CP_TRY_CHANGE_WRITABLE 1u
#define PF_CP_PROT_NUMA           2u
#define PF_CP_UFFD_WP             4u
#define PF_CP_UFFD_WP_RESOLVE     8u
/* With UFFD_WP: slots that are empty get a marker. alloc_tables has made their tables. */
#define PF_CP_UFFD_MARKERS 16u

/* uffd_fill: what comes in is write-protected by uffd-wp. */
#define PF_FILL_WP 1u
/* It is dirty: not as before, wherever it came from. */
#define PF_FILL_DIRTY 4u
/* Markers are in the way, too. */
#define PF_FILL_EMPTY 2u

/* What a step of uffd_move ends with. Nothing has changed but at DONE. */
enum pf_move {
	PF_MOVE_DONE,      /* *nr pages have moved */
	PF_MOVE_HOLE,      /* there is nothing in *nr slots, nor in those that they would move to */
	PF_MOVE_TAKEN,     /* the first target is not empty; a marker counts */
	PF_MOVE_SWAPPED,   /* the page is in swap */
	PF_MOVE_MIGRATING, /* it is on its way to another frame */
	PF_MOVE_LARGE,  /* part of a large folio, now *large, with a reference: to be split first */
	PF_MOVE_BUSY,   /* not this process's alone, or it may be pinned */
	PF_MOVE_LOCKED, /* somebody is at work on the folio */
	PF_MOVE_LOST,   /* a lost page, or a marker */
	PF_MOVE_OOM,    /* no table */
};

/* How to age: A is only read; cleared; cleared, and TLBs told, but not waited for. */
enum pf_age { PF_AGE_LOOK, PF_AGE_CLEAR, PF_AGE_FLUSH };

/* Where an area may map part of a folio: pages [pfn, pfn + nr) at va. Lies in the area. */
struct pf_rmap_place {
	pf_va_t va;
	uint64_t nr;
	pf_pfn_t pfn;
};

/* Of a mapping's folio, consecutive pages that may be mapped from va on. */
struct pf_file_run {
	pf_va_t va;
	pf_pfn_t pfn;
	uint32_t nr;
};
/* As many as one fault maps: 64K of single pages. */
#define PF_FILE_RUNS 16u

/* zap_range: private copies stay (a hole in the file, not its end). */
#define PF_ZAP_KEEP_ANON 1u
/* Markers of guard regions stay: for all but munmap and exit. */
#define PF_ZAP_KEEP_GUARDS 2u
/*
 * In backed areas uffd-wp stays, as markers: the pages come back from what backs them, and a write to them must
 * be noticed still.
 */
#define PF_ZAP_KEEP_WP 4u

/* One page as the locked getter returns it. */
struct pf_page_info {
	pf_pte_t pte; /* A and D gathered over the block */
	bool folded;
	bool exclusive; /* AnonExclusive, of a page with a folio that it maps, for a device too */
	uint8_t order;  /* of its folio; 0 if it has none */
};

/*
 * Consecutive pages that are alike, as they were under their table's lock: what pagemap and smaps ask of entries. Frames
 * ascend from the first page's.
 */
struct pf_page_run {
	uint64_t nr;
	pf_pte_t pte;   /* of the first page; A and D gathered over blocks, and the same for all */
	bool no_table;  /* empty, and not even a table is there */
	bool file;      /* the page is a mapping's: a present one, or one on its way, or lost */
	bool folio;     /* of one folio, which it maps; not present, if it is a device's; then: */
	bool sole;      /* nobody has a reference to the folio but the one mapping of these pages */
	bool shared;    /* Linux's folio_maybe_mapped_shared */
	uint8_t order;  /* of the folio */
	uint32_t flags; /* PF_FOLIO_* */
	/* How often a page of it is mapped, rounded, and 1 at least. Of a swap entry: how often its slot is named. */
	uint32_t average;
};

/* What a fault on a swap entry found, and holds: a count of each of the slots. */
struct pf_swap_look {
	struct pf_swap *dev;
	pf_pte_t pte;   /* the entry of the page that faulted */
	unsigned order; /* of the largest folio that its neighbours could be brought in with */
	uint64_t slot;  /* of the first page of that folio */
};

/* What a leaf table maps, in pages. */
struct pf_collapse_view {
	unsigned none;   /* nothing, or the page of zeros */
	unsigned swap;   /* in swap, or a device's */
	unsigned shared; /* of folios that several processes may map */
	unsigned young;
	uint16_t on_node[PF_MAX_NODES]; /* by node, those that are in memory */
	bool lazyfree;                  /* some of it is */
	bool uffd_wp;                   /* a write to some of it is to be noticed, page by page */
	bool busy;                      /* some of it is migrated now */
	bool no_entry; /* there is no leaf table, and not even the table that it would be linked in */
	bool refused; /* something in it cannot be copied: a marker, a page of a mapping */
};

struct pf_format {
	const struct pf_pt_format *pt;

	/*
	 * Handle a fault at va: demand-zero (a folio of the highest order of `orders` whose aligned
	 * range lies in the area and is empty, falling back order by order as allocations fail; the
	 * zero page for reads), copy on write with Linux's reuse rules, A and D set where hardware
	 * does not, spurious faults. A first write to a shared page that must be noticed makes its
	 * folio dirty. mmap lock read or write. Installs only into empty slots; the
	 * write to memory is done by the access that follows.
	 */
	enum pf_fault_result (*fault)(struct pf_space *space, const struct pf_area *area,
		pf_va_t va, unsigned flags, uint32_t orders);

	/*
	 * After PF_FAULT_MISSING: map what is empty of the runs, all of them in the table of va; of
	 * the first run, the page at va, which becomes young and, for a write, dirty with its folio;
	 * other pages are left old where hardware sets A. It is no error if va's slot is not empty
	 * any more. The caller has a reference to each folio, and keeps truncation out
	 * (the mapping's pages_lock). mmap lock, any way.
	 */
	enum pf_fault_result (*map_file)(struct pf_space *space, const struct pf_area *area,
		pf_va_t va, unsigned flags, const struct pf_file_run *run, unsigned nr);
	/* The same for a write to a private area: a copy of page pfn. */
	enum pf_fault_result (*cow_file)(
		struct pf_space *space, const struct pf_area *area, pf_va_t va, pf_pfn_t pfn);

	/*
	 * UFFDIO_COPY and its like: map pages [pfn, pfn + nr) of one folio from va on, up to the end of the table or the first
	 * slot that is not empty (a marker counts as empty but for PF_FILL_EMPTY). The folio is a mapping's,
	 * on which the caller has a reference; or new and anonymous, whose reference is consumed when any of
	 * it is mapped; or the page of zeros (nr 1). Blocks that are filled are folded. How many pages are mapped;
	 * -PF_EEXIST: the first slot was taken; -PF_ENOMEM: no table, or too many mappings. mmap lock, any
	 * way; of a mapping its pages_lock.
	 */
	int (*uffd_fill)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		pf_pfn_t pfn, unsigned nr, unsigned flags);

	/*
	 * UFFDIO_POISON: pages from va on, up to the end of the table or the first slot that is not empty, are lost: a
	 * fault there is PF_FAULT_HWPOISON. How many; -PF_EEXIST: the first slot was not empty (a marker
	 * counts); -PF_ENOMEM: no table. mmap lock, any way; of a mapping its pages_lock.
	 */
	int (*uffd_poison)(struct pf_space *space, pf_va_t va, uint64_t nr);

	/*
	 * UFFDIO_MOVE of the pages from `from` on, *nr at most and not beyond a table, to slots of `area` from `to` on that are
	 * empty: whole folios, each exclusive, not pinned and locked for that long; whole blocks stay folded where they fit. No TLB has
	 * the old entries when the new ones are written, and the folios are found at their new place then. What came of it, and
	 * *nr, are enum pf_move. mmap lock, any way; both areas are anonymous and private, have the same rights, W among
	 * them, and `area` has its `anon`. A hole without a table is not looked behind unless `holes`.
	 */
	enum pf_move (*uffd_move)(struct pf_space *space, const struct pf_area *area, pf_va_t from,
		pf_va_t to, bool holes, uint64_t *nr, struct pf_folio **large);

	/*
	 * After PF_FAULT_SWAP, and whenever a page is to be brought in: what the entry of va says, and
	 * the largest order of `orders` (0 always) whose aligned range lies in the area and in one table,
	 * and whose entries name consecutive slots, naturally aligned, with the same bits. Takes a count
	 * of each slot of that range, which the caller puts back: none of them can become another
	 * page's meanwhile (S1). False: it is no swap entry (any more). mmap lock, any way.
	 */
	bool (*swap_look)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		uint32_t orders, struct pf_swap_look *look);

	/*
	 * Map what swap_look found. `folio` has the page of look->pte: it is in the swap cache, and
	 * locked; or it is a copy of that page, known to nobody else, which is exclusive then whatever
	 * the entry says. If all of its pages lie in the area and in one table, and their entries are its
	 * own, with the same bits, all are mapped; else the page of va alone; none if its entry has changed.
	 * What an entry said of its page comes back: AnonExclusive, soft-dirty, uffd-wp; with
	 * AnonExclusive also W, if the area allows it and no write need be noticed. D only for a
	 * write (PF_FAULT_FLAG_WRITE). The slots' counts of the entries are put when the pages are
	 * mapped. mmap lock, any way.
	 */
	void (*swap_in)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		unsigned flags, const struct pf_swap_look *look, struct pf_folio *folio);

	/*
	 * Reclaim: unmap what of the pages [pfn, pfn + nr) of a folio stands at va (the i-th page at the i-th
	 * address, or not at all). The folio is locked and the caller has a reference. If it is in the
	 * swap cache, its entries become swap entries, which keep soft-dirty, uffd-wp and AnonExclusive; if it
	 * is lazyfree, they become empty; if it is a mapping's, empty or, where they said uffd-wp, markers. Run by run, whole blocks without unfolding them, each flushed
	 * before its table's lock is released. D goes to PF_FOLIO_DIRTY. False: not all could be unmapped
	 * (the area is mlocked; the folio is pinned, or lazyfree and was written); what was not is as it
	 * was. Who calls keeps space and area alive: the mmap lock, or the lock of the reverse map.
	 */
	bool (*unmap)(struct pf_space *space, const struct pf_area *area, pf_va_t va, uint64_t nr,
		struct pf_folio *folio, pf_pfn_t pfn);

	/*
	 * Pages from va, at most max, and not beyond a table, that map consecutive pages of one folio: it, with
	 * a reference, and the first of the pages; or that map no folio (NULL). mmap lock, any way.
	 */
	uint64_t (*folio_run)(struct pf_space *space, pf_va_t va, uint64_t max,
		struct pf_folio **folio, pf_pfn_t *pfn);

	/*
	 * MADV_FREE of pages of an anonymous area: those that the process alone has, folio by folio, become
	 * clean, old and lazyfree; swapped ones go. Downgrades are gathered. mmap lock, any way. How many were dealt
	 * with; fewer than nr: the next one is of a large folio which is not wholly here, and which nobody else maps. If
	 * it were smaller more could be done.
	 */
	uint64_t (*free_lazily)(
		struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);

	/* MADV_COLD: pages of folios wholly in the range, and nobody else's, become old. As above. */
	uint64_t (*make_old)(
		struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);

	/*
	 * fork: share src's pages with dst, batch by batch; in COW areas both sides become
	 * read-only and lose AnonExclusive. 0, or -PF_ENOMEM with dst to be torn down (what was
	 * copied stays valid). mmap lock of both, for writing. src's TLBs must be flushed by the
	 * caller afterwards if any entry lost W: *flush is set then.
	 */
	int (*copy_range)(struct pf_space *dst, struct pf_space *src,
		const struct pf_area *dst_area, const struct pf_area *src_area, pf_va_t va,
		uint64_t nr, bool *flush);

	/*
	 * Give every mapped page of the range the rights of `prot`; and set or clear uffd-wp in entries of
	 * every kind. Downgrades are gathered, not
	 * flushed. Returns the number of pages processed. mmap lock for writing (NUMA and uffd:
	 * reading). PF_CP_PROT_NUMA: hints, whatever `prot`, for the pages that may have them; their number.
	 */
	int64_t (*change_protection)(struct pf_gather *g, const struct pf_area *area, pf_va_t va,
		uint64_t nr, uint64_t prot, unsigned cp_flags);

	/*
	 * Unmap: entries of any kind become empty, pages are queued on the gather. D of a mapping's pages
	 * goes to their folios, and is flushed before the table lock is dropped: mkclean_range waits
	 * for that lock and for nothing else. mmap lock, any way, or the lock that finds the area by its
	 * pages. flags: PF_ZAP_*.
	 */
	void (*zap_range)(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr,
		unsigned flags);

	/*
	 * Take W and D from the entries in [va, va + nr) that map [pfn, pfn + nr), pages of one folio, and
	 * flush (Linux's page_mkclean_one). When it returns no CPU can write to the pages through this range
	 * without a fault; what it wrote before is in memory. The caller takes D for known. The lock that
	 * finds the area by its pages.
	 */
	void (*mkclean_range)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		uint64_t nr, pf_pfn_t pfn);

	/*
	 * MADV_GUARD_INSTALL: what is mapped goes as by zap_range, and every slot gets a guard
	 * marker: faults there are PF_FAULT_SIGSEGV. Needs its tables, which alloc_tables makes
	 * beforehand (0, or -PF_ENOMEM with some of them made, empty), to stay until they are unmapped, and does not fail.
	 * MADV_GUARD_REMOVE: markers become empty. mmap lock, any way.
	 */
	int (*alloc_tables)(struct pf_space *space, pf_va_t va, uint64_t nr);
	void (*guard_install)(
		struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);
	void (*guard_remove)(struct pf_space *space, pf_va_t va, uint64_t nr);

	/*
	 * mremap: tables for what move_range will move. 0, or -PF_ENOMEM; tables made stay, empty. mmap lock for
	 * writing.
	 */
	int (*move_prepare)(struct pf_space *space, pf_va_t from, pf_va_t to, uint64_t nr);
	/*
	 * mremap: move nr pages' entries from `from` to `to` (no overlap; the target is empty, and prepared). The
	 * old range is flushed before either table lock is dropped. mmap lock for writing, and that of what the pages
	 * are found by; allocates nothing.
	 */
	void (*move_range)(struct pf_space *space, const struct pf_area *old_area, pf_va_t from,
		const struct pf_area *new_area, pf_va_t to, uint64_t nr);

	/*
	 * GUP: the pages that nr entries from va map, as far as the entries allow what `foll` asks for, each with a
	 * reference or (PF_FOLL_PIN) a pin. How many; 0: the first needs a fault with the flags in *want first;
	 * -PF_EFAULT: there is no page to hand out; -PF_ENOMEM: too many references. mmap lock, any way.
	 */
	int64_t (*follow_pages)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		uint64_t nr, unsigned foll, pf_pfn_t *pages, unsigned *want);

	/*
	 * GUP-fast: the same without any lock, and without a VMA: only what entries say is asked, and only pages that nothing more need
	 * be known of are handed out. How many; the rest is for who takes locks. Of what PF_FOLL_PIN has
	 * kept while fork took W away nothing is left. Any context that may take RCU; space->has_pinned is set before.
	 */
	uint64_t (*follow_pages_fast)(
		struct pf_space *space, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages);

	/* Free tables left empty by zap_range: those inside [floor, floor + floor_nr). See
	 * pf_free_pgtables. */
	void (*free_tables)(
		struct pf_gather *g, pf_va_t va, uint64_t nr, pf_va_t floor, uint64_t floor_nr);

	/*
	 * Leaf tables of the range that zap_range has left empty go with the gather, beside faults. Those that alloc_tables has made
	 * stay. See pf_reclaim_pgtables. mmap lock, any way.
	 */
	void (*reclaim_tables)(struct pf_gather *g, pf_va_t va, uint64_t nr);

	/*
	 * What the reverse map does with one area. The lock under which the area was found is held (mm/rmap.h), which
	 * keeps its tables; or the mmap lock. Entries that map other pages are left alone.
	 *
	 * How many pages of the place are mapped there.
	 */
	uint64_t (*mapped_one)(struct pf_space *space, const struct pf_rmap_place *place);
	/* Was any of them used since A was last cleared? A is cleared of whole blocks, and none is unfolded. */
	bool (*referenced_one)(
		struct pf_space *space, const struct pf_rmap_place *place, enum pf_age how);

	/*
	 * Entries that map pages of the place become migration entries, flushed, and the folio loses those mappings. False: some
	 * could not, for the folio may be pinned; they are as they were. Folio lock and a reference held.
	 */
	bool (*try_to_migrate_one)(struct pf_space *space, const struct pf_rmap_place *place);
	/*
	 * Migration entries of the place's frames map the pages [to, to + nr) instead, of one folio or of many, each locked
	 * and with a reference. Rights are the area's; W, exclusivity and uffd-wp are what the entry says.
	 */
	void (*remove_migration_one)(struct pf_space *space, const struct pf_area *area,
		const struct pf_rmap_place *place, pf_pfn_t to);
	/*
	 * The place, of one page, is lost: the entry that maps it becomes one that says so, flushed, and the folio loses that
	 * mapping. `again`: what a file holds of the page can be read again; if it is not dirty, also by this entry, the
	 * entry is emptied. Folio lock and a reference held.
	 */
	void (*poison_one)(struct pf_space *space, const struct pf_area *area,
		const struct pf_rmap_place *place, bool again);
	/*
	 * The first folio mapped in the range, with a reference; NULL if none is. The range becomes what lies behind that
	 * mapping. mmap lock, any way.
	 */
	struct pf_folio *(*get_folio)(struct pf_space *space, pf_va_t *va, uint64_t *nr);

	/*
	 * Pages of the range that have been used since A was last cleared; of a folded block all or none. Folios are
	 * not told. mmap lock, any way.
	 */
	uint64_t (*age_range)(struct pf_space *space, pf_va_t va, uint64_t nr, enum pf_age how);

	/*
	 * Collapse: what the leaf table of va maps; false: there is none. mmap lock, any way.
	 */
	bool (*collapse_scan)(struct pf_space *space, pf_va_t va, struct pf_collapse_view *scan);
	/*
	 * Map a folio of as many pages as a leaf table has entries, new and filled, over the table at va, which
	 * the area covers: in it are migration entries whose pages have been copied, the page of zeros, and nothing. The pages
	 * are exclusive, and dirty if the folio is. Uses up the folio's reference. False, and nothing changed, if there is anything
	 * else, or not `taken` migration entries: reclaim, say, was there between, whom the mmap lock does not keep out. TLB:
	 * flushed where the page of zeros was. mmap lock for writing.
	 */
	bool (*collapse_install)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		struct pf_folio *folio, unsigned taken);

	/*
	 * KSM: the entry of va, which maps the folio, of one page, loses W, and the page AnonExclusive; flushed before the table lock
	 * is released. 0; -PF_EAGAIN: it does not map it; -PF_EBUSY: somebody else has a reference, or may have pinned it: the
	 * entry is as it was. Folio lock, and the only reference besides mappings, held. mmap lock, any way.
	 */
	int (*ksm_protect)(struct pf_space *space, pf_va_t va, struct pf_folio *folio);
	/*
	 * Then: the entry maps `by`, of one page too, read-only, which is found by `handle` from now on; A, soft-dirty and uffd-wp
	 * stay. 0; -PF_EAGAIN: it does not map the folio any more; -PF_EBUSY: `by` has too many mappings; nothing has changed then.
	 * Locks and references of both; the ksm lock, for writing.
	 */
	int (*ksm_replace)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		struct pf_folio *folio, struct pf_folio *by, uint32_t handle);

	/* The entry of one page, without fault or effect. mmap lock, any way. */
	void (*page_info)(struct pf_space *space, pf_va_t va, struct pf_page_info *info);

	/*
	 * The pages from va on that are alike, max at most, and not beyond a table if there is one. Nothing is
	 * changed. mmap lock, any way.
	 */
	void (*page_run)(struct pf_space *space, pf_va_t va, uint64_t max, struct pf_page_run *run);

	/*
	 * The same, with uffd-wp: `tell` is asked, once and with the table's lock held, how many of the run's pages are told of, and writes to
	 * these are noticed from then on; empty slots get markers, lost pages and guards stay as they are. Where no
	 * table is nobody is asked. Downgrades are gathered. mmap lock, any way; formats that have uffd-wp.
	 */
	void (*protect_run)(struct pf_gather *g, pf_va_t va, uint64_t max, struct pf_page_run *run,
		uint64_t (*tell)(void *ctx, const struct pf_page_run *run), void *ctx);

	/*
	 * Of present pages: A is cleared, of whole blocks and without a flush, and their folios are told that
	 * they were not used. mmap lock, any way.
	 */
	void (*clear_refs)(struct pf_space *space, pf_va_t va, uint64_t nr);
	/*
	 * Entries of every kind lose soft-dirty, and W, so that the next write faults and sets it again: uniform
	 * blocks stay folded. What may be pinned and written through its pin stays soft-dirty. Downgrades are
	 * gathered. Formats without soft-dirty have nothing to do. mmap lock for writing.
	 */
	void (*clear_soft_dirty)(
		struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);

	/*
	 * The folio of the page that the entry of va names in a device's memory, locked and with a reference. NULL: the entry is another, or
	 * somebody has the folio. mmap lock, any way.
	 */
	struct pf_folio *(*lock_private)(struct pf_space *space, pf_va_t va);
	/*
	 * A device is to have the page to itself: the entry of va, if it is present, writable and maps pfn, a page of an anonymous
	 * folio, becomes device-exclusive, flushed before the table lock is released; of a folded block the rest stays. It keeps its
	 * mapping, and soft-dirty; the folio is dirty from now on. False: it is not such an entry. Folio lock and a reference
	 * held; mmap lock, any way.
	 */
	bool (*make_exclusive)(struct pf_space *space, pf_va_t va, pf_pfn_t pfn);
	/*
	 * The end of that, as by a fault: the entry is present again, with the area's rights, W only where a fault would give it
	 * without a question; not flushed, for no TLB has anything of it. The device is told before. False: somebody has the folio's
	 * lock. mmap lock, any way; may sleep.
	 */
	bool (*end_exclusive)(struct pf_space *space, const struct pf_area *area, pf_va_t va);

	/*
	 * Frames [pfn, pfn + nr), no memory of lib/phys, which the format can name, into the empty slots among the nr from va on, which lie in one table: special,
	 * young, with the area's rights (a private area's without W). Others stay as they are. How many were empty;
	 * -PF_ENOMEM: no table. Blocks fold. TLB: nothing, but for what others still owe
	 * of these slots. mmap lock, any way.
	 */
	int64_t (*insert_pfns)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		unsigned nr, pf_pfn_t pfn);
	/*
	 * A new folio of one page, which the caller has filled, takes the place of what an entry, `old`, maps, as in any copy on write: emptied,
	 * flushed, and then set; the old page loses the mapping, and the caller's reference is the new one's. By a write (after PF_FAULT_MISSING
	 * at a special entry): with W, if the area allows it, and D. Else read-only, with soft-dirty and uffd-wp of `old`. False: the
	 * entry is another by now, A and D aside. mmap lock, any way; the area has its `anon`, and who fills the folio keeps `old`'s
	 * page from becoming another.
	 */
	bool (*put_copy)(struct pf_space *space, const struct pf_area *area, pf_va_t va,
		pf_pte_t old, struct pf_folio *copy, bool write);
	/*
	 * The entry of va if it is present, with its table's lock held until follow_pfn_end: it stays what it is. NULL: it is not,
	 * and nothing is held. mmap lock, any way, or what finds the area by its pages; nothing that sleeps in between.
	 */
	struct pf_table *(*follow_pfn)(struct pf_space *space, pf_va_t va, pf_pte_t *pte);
	void (*follow_pfn_end)(struct pf_space *space, struct pf_table *table);

	/*
	 * Pages from va, at most max, that are `what`, or all not (*is): for mincore and populate. mmap lock, any way.
	 */
	uint64_t (*run_of)(
		struct pf_space *space, pf_va_t va, uint64_t max, enum pf_run_of what, bool *is);

	/*
	 * The first of the nr pages from *va whose entry is neither empty nor present: its address in *va and
	 * the entry in *pte; false if there is none. mmap lock, any way.
	 */
	bool (*next_softleaf)(struct pf_space *space, pf_va_t *va, uint64_t nr, pf_pte_t *pte);
};

/* NULL-terminated; the order of `@format all`. */
extern const struct pf_format *const pf_formats[];

#endif
