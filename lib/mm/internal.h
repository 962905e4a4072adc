/* SPDX-License-Identifier: MIT */
/*
 * What the system calls share. Private to lib/mm.
 */
#ifndef PF_MM_INTERNAL_H
#define PF_MM_INTERNAL_H

#include "base/err.h"
#include "mm/anon_vma.h"
#include "mm/mapping.h"
#include "mm/mm.h"
#include "mm/rmap.h"
#include "mm/vma.h"
#include "mm/vma_lock.h"
#include "ops/notify.h"
#include "ops/where.h"
#include "phys/phys.h"
#include "reclaim/reclaim.h"

/* ---- units ---- */

PF_INLINE unsigned pf_mm_shift(const struct pf_mm *mm)
{
	return mm->space.pt.fmt->page_shift;
}

PF_INLINE uint64_t pf_mm_page(const struct pf_mm *mm)
{
	return PF_BIT(pf_mm_shift(mm));
}

PF_INLINE bool pf_mm_aligned(const struct pf_mm *mm, uint64_t v)
{
	return pf_aligned(v, pf_mm_page(mm));
}

/* Up to pages; 0 for 0 and for what wraps: Linux's PAGE_ALIGN. */
PF_INLINE uint64_t pf_mm_align(const struct pf_mm *mm, uint64_t v)
{
	return pf_align_up(v, pf_mm_page(mm));
}

PF_INLINE uint64_t pf_mm_pages(const struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	return (end - start) >> pf_mm_shift(mm);
}

PF_INLINE bool pf_mm_has_soft_dirty(const struct pf_mm *mm)
{
	return mm->space.pt.fmt->pte_supported & PF_PTE_SOFT_DIRTY;
}

/* Do all its pages count as written? */
PF_INLINE bool pf_vma_soft_dirty(const struct pf_vma *vma)
{
	return (vma->area.flags & PF_VM_SOFTDIRTY) && pf_mm_has_soft_dirty(vma->mm);
}

/*
 * Is the folio mapped by nobody, with no references but the caller's and, if it has one, its mapping's? A snapshot, of both counts in one
 * look. Acquire: what others stored to its pages before they gave up their mapping or reference is seen by whoever then reads them.
 */
PF_INLINE bool pf_folio_is_alone(const struct pf_folio *folio, bool in_mapping)
{
	const uint64_t c = pf_load_acquire(&folio->head.count.word);

	return !pf_count_map(c) && pf_count_ref(c) == (in_mapping ? 2 : 1);
}

/*
 * An embedder has filled a page: before any entry that maps it, as pf_port_clear_pages() and pf_port_copy_pages() see to by themselves. Taking the
 * table's lock orders nothing before it. (A page that has been put into a mapping's tree since is ordered by that lock's release.)
 */
PF_INLINE void pf_page_filled(void)
{
	pf_port_barrier(PF_BARRIER_LINK);
}

/* Do two pages contain the same? */
PF_INLINE bool pf_page_same(const struct pf_system *sys, pf_pfn_t a, pf_pfn_t b)
{
	const unsigned shift = sys->fmt->pt->page_shift;
	const void *of_a = pf_port_data(a << shift, PF_BIT(shift), false);

	return !memcmp(of_a, pf_port_data(b << shift, PF_BIT(shift), false), PF_BIT(shift));
}

/* Bytes that one leaf table maps: Linux's PMD_SIZE. */
PF_INLINE uint64_t pf_mm_pmd_size(const struct pf_mm *mm)
{
	return PF_BIT(pf_mm_shift(mm) + mm->space.pt.fmt->level_bits);
}

/* ---- VMAs (vma.c). mmap lock for writing, unless a comment says otherwise. ---- */

/*
 * What a call may need, taken before its first change. A call that has reserved what it needs does
 * not fail for lack of metadata any more.
 */
union pf_vma_spare {
	struct pf_vma vma;
	union pf_vma_spare *next;
};

struct pf_vma_reserve {
	union pf_vma_spare *first;
	struct pf_anon_link *links;
};

/*
 * nr VMAs, the nodes to insert them, and what links them to anon_vmas (pf_anon_links() of the VMA that each is split
 * off from, or made like). 0, or -PF_ENOMEM with nothing changed.
 */
int pf_vma_reserve(struct pf_mm *mm, struct pf_vma_reserve *r, uint64_t nr, uint64_t links);
/* One of them. */
struct pf_vma *pf_vma_take(struct pf_vma_reserve *r);
struct pf_anon_link *pf_vma_take_link(struct pf_vma_reserve *r);
/* Give back what is left. */
void pf_vma_unreserve(struct pf_mm *mm, struct pf_vma_reserve *r);

/* Bits of PF_PTE_PROT_BITS that an entry may have with these flags. */
uint64_t pf_vma_prot(uint32_t flags);
/* What a fresh entry of the VMA has: vm_page_prot. Without W where a first write must be noticed. */
uint64_t pf_vma_page_prot(const struct pf_vma *vma);
/* The rights an mprotect or mmap `prot` asks for, as VMA flags. */
PF_INLINE uint32_t pf_prot_flags(unsigned prot)
{
	return prot & (PF_PROT_READ | PF_PROT_WRITE | PF_PROT_EXEC);
}

/* Like pf_vma_modify_flags() below, with the userfaultfd that PF_VM_UFFD of them is of, or NULL. */
struct pf_vma *pf_vma_modify_uffd(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, uint32_t flags, struct pf_uffd *uffd);
/* The same, with another memory policy. */
struct pf_vma *pf_vma_modify_policy(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, const struct pf_policy *policy);
/* The VMA is nobody's to be told of; its entries are as they are. mmap lock for writing. */
void pf_vma_forget_uffd(struct pf_mm *mm, struct pf_vma *vma);

/* The VMA's flags become `flags`; its neighbours are not looked at. */
void pf_vma_set_flags(struct pf_mm *mm, struct pf_vma *vma, uint32_t flags);

PF_INLINE struct pf_vma *pf_find_vma(const struct pf_mm *mm, pf_va_t va)
{
	return pf_vma_tree_find(mm->vmas, va);
}

/* The VMA that va lies in, or NULL. */
PF_INLINE struct pf_vma *pf_vma_lookup(const struct pf_mm *mm, pf_va_t va)
{
	struct pf_vma *vma = pf_find_vma(mm, va);

	return vma && vma->area.start <= va ? vma : NULL;
}

/* Of a page of the VMA: where it is in the mapping, if it has one. */
PF_INLINE uint64_t pf_vma_index(const struct pf_vma *vma, pf_va_t va)
{
	return vma->area.pgoff + pf_mm_pages(vma->mm, vma->area.start, va);
}

/* Is nothing mapped in [start, end)? */

PF_INLINE bool pf_vma_none(const struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	struct pf_vma *vma = pf_find_vma(mm, start);

	return !vma || vma->area.start >= end;
}

/* What a new mapping is, before it becomes a VMA or a part of one. */
struct pf_vma_desc {
	pf_va_t start, end;
	uint32_t flags;
	uint64_t pgoff;
	struct pf_mapping *mapping; /* a new VMA takes a reference of its own */
	const struct pf_vma *like;  /* whose anonymous pages will be moved here; NULL: none */
	bool grows;                 /* it is added to `like`, which ends where it starts */
};

/*
 * Map an empty range: by extending the VMA before it or the one behind it (or both, which become
 * one), or by a VMA of its own out of the reserve. Returns the VMA that has the range. Cannot fail.
 */
struct pf_vma *pf_vma_add(struct pf_mm *mm, struct pf_vma_reserve *r, const struct pf_vma_desc *d);

/*
 * Give [start, end) of a VMA other flags: merged with its neighbours if they are alike then, else
 * split off, out of the reserve. Returns the VMA that has the range; NULL if a split is needed and
 * there are too many mappings: nothing changed.
 */
struct pf_vma *pf_vma_modify_flags(struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma,
	pf_va_t start, pf_va_t end, uint32_t flags);

/*
 * VMAs enter and leave an address space, and change their range, by these and by nothing else. split
 * returns what lies above `at`, out of the reserve; remove frees the VMA. Ranges are
 * not empty and overlap nothing. Links to anon_vmas and the mapping's tree follow: all take the i_mmap lock, and
 * all but insert the anon lock, for writing. mmap lock for writing.
 */
void pf_vma_insert(struct pf_mm *mm, struct pf_vma *vma);
void pf_vma_remove(struct pf_mm *mm, struct pf_vma *vma);
void pf_vma_set_range(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end, uint64_t pgoff);
struct pf_vma *pf_vma_split(
	struct pf_mm *mm, struct pf_vma_reserve *r, struct pf_vma *vma, pf_va_t at);

/*
 * The i_mmap lock of a VMA's mapping, for writing; nothing if it has none: who walks from a file's page to
 * the VMAs that map it holds it for reading. Outside the anon lock.
 */
void pf_i_mmap_lock(const struct pf_vma *vma);
void pf_i_mmap_unlock(const struct pf_vma *vma);
/* The VMA and its mapping part: before its tables are freed, as anon_vmas. mmap lock for writing. */
void pf_vma_leave_mapping(struct pf_vma *vma);

/* A reserve for modifying the flags of [start, end): only its first and its last VMA can be split. */
int pf_vma_reserve_splits(struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end);

/* Does b go on in address and pgoff where a ends? */
bool pf_vma_continues(const struct pf_mm *mm, const struct pf_vma *a, const struct pf_vma *b);
/* May a and b, neighbours in this order, be one VMA? (For the checker too.) */
bool pf_vma_mergeable(const struct pf_mm *mm, const struct pf_vma *a, const struct pf_vma *b);

/* ---- system calls on a locked mm ---- */

/* Would unmapping [start, end) make one VMA more? */
bool pf_munmap_splits(const struct pf_mm *mm, pf_va_t start, pf_va_t end);
/* A reserve for that, and for `nr` VMAs besides. */
int pf_munmap_reserve(
	struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end, uint64_t nr);
/*
 * May [start, end) be unmapped? 0; -PF_ENOMEM: a VMA more, and there are too many already; -PF_EPERM:
 * something in it is sealed.
 */
int pf_munmap_check(const struct pf_mm *mm, pf_va_t start, pf_va_t end);
/*
 * Unmap [start, end): page aligned, below task_size. Cannot fail but for what pf_munmap_check() says;
 * the reserve has one VMA if it makes one more. Flushed on return.
 */
int pf_munmap_locked(struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end);
/* The same, and what had been promised there stays so: for the VMA that comes instead. */
int pf_munmap_promised(struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end);

/*
 * Where a mapping of len bytes goes: get_unmapped_area. fixed: at addr or nowhere. Else addr is a
 * hint, a multiple of the page, or 0. The address, or a negated error.
 */
int64_t pf_get_unmapped_area(struct pf_mm *mm, pf_va_t addr, uint64_t len, bool fixed);

/* A fault in a VMA whose rights have been looked at. mmap lock, any way. */
enum pf_fault_result pf_vma_fault(struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned flags);

/*
 * Fault in the pages of [start, end) that are not mapped, as far as one VMA after the other allows;
 * write: also those that are not writable. 0; -PF_ENOMEM: not mapped or no memory; -PF_EINVAL: the
 * VMA does not allow it; -PF_EFAULT: the fault ended in a signal. mmap lock, any way.
 */
int pf_populate_locked(struct pf_mm *mm, pf_va_t start, pf_va_t end, bool write);
/*
 * mlock's and MAP_POPULATE's: as each VMA's rights suggest; VMAs that are locked on fault are left
 * alone. Holes are skipped. 0, or the first error: -PF_ENOMEM, -PF_EFAULT; with ignore_errors it goes
 * on at the next VMA, and returns 0. mmap lock.
 */
int pf_populate_vmas(struct pf_mm *mm, pf_va_t start, pf_va_t end, bool ignore_errors);

/* ---- madvise, range by range (madvise.c) ---- */

struct pf_advising {
	struct pf_mm *mm;
	int advice;
	bool by_flags; /* it changes VMAs: the mmap lock is held for writing, else for reading */
	struct pf_gather gather;
	bool gathers; /* the gather is open */
};

/* Takes the mmap lock; end gives it back, and no TLB holds a right then that was taken away. */
void pf_advise_begin(struct pf_advising *a, struct pf_mm *mm, int advice);
/* madvise's answer for one range, unless it has to wait for a flush: that is done by the end. */
int pf_advise_range(struct pf_advising *a, pf_va_t addr, uint64_t len);
void pf_advise_end(struct pf_advising *a);

/* ---- pages to keep (gup.c) ---- */

/* pf_gup() from a page's address on, but for what is said before the first pin. mmap lock, any way. */
int64_t pf_gup_locked(struct pf_mm *mm, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages);

/*
 * pf_gup() of the page at va, where a load may be done (with PF_FOLL_WRITE: a store), which is more than a driver
 * may: copy_from_user and copy_to_user. 0, or -PF_EFAULT, -PF_ENOMEM, -PF_EAGAIN as pf_gup. No lock held.
 */
int pf_access_page(struct pf_mm *mm, pf_va_t va, unsigned foll, pf_pfn_t *pfn);

/* ---- userfaultfd (uffd.c) ---- */

/* A fault that ended in `why`, PF_FAULT_UFFD_*: whoever the VMA names is told. mmap lock, any way. */
enum pf_fault_result pf_uffd_tell(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned flags, enum pf_fault_result why);
/* No entry of the range says uffd-wp any more; those become writable that a fault would make so unasked. mmap lock for writing. */
void pf_uffd_forget_wp(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t start, pf_va_t end);
/* The mm exits: its userfaultfds have none. */
void pf_uffd_mm_exit(struct pf_mm *mm);

/* ---- what grows down (stack.c) ---- */

/* Where the VMA begins, with the gap below it if it grows down. mmap lock, any way. */
pf_va_t pf_vma_start_gap(const struct pf_mm *mm, const struct pf_vma *vma);
/*
 * Extend the VMA above va down to it, if it grows down and va is not mapped. 0, also if there is
 * nothing to do; -PF_EFAULT: it may not; -PF_ENOMEM: no metadata. Takes the mmap lock for writing.
 */
int pf_expand_stack(struct pf_mm *mm, pf_va_t va);

/* ---- limits (limits.c). mmap lock for writing. ---- */

/* `pages` more, or fewer, with these flags. */
void pf_vm_stat(struct pf_mm *mm, uint32_t flags, int64_t pages);
/* Do limits.as and limits.data allow so many pages more? */
bool pf_may_expand_vm(const struct pf_mm *mm, uint32_t flags, uint64_t pages);
/* May anything be locked? */
bool pf_can_mlock(const struct pf_mm *mm);
/* Does limits.memlock allow so many bytes more, if they are locked? */
bool pf_mlock_future_ok(const struct pf_mm *mm, uint32_t flags, uint64_t bytes);

/* ---- what is promised (commit.c). Any lock. ---- */

/*
 * May `pages` more be promised to a VMA with these flags? Then they are, until pf_uncommit(): by the call, if it fails, or when
 * the VMA goes or loses the flag. Without PF_VM_ACCOUNT nothing is promised.
 */
bool pf_commit(struct pf_system *sys, uint32_t flags, uint64_t pages);
void pf_uncommit(struct pf_system *sys, uint32_t flags, uint64_t pages);

/* The folio orders that a fault in a VMA with these flags may use: a bit each, order 0 always. */
uint32_t pf_thp_orders(const struct pf_system *sys, uint32_t vm_flags);
/* The same for shared memory without a file. */
uint32_t pf_shmem_orders(const struct pf_system *sys, uint32_t vm_flags);

/* ---- mappings (filemap.c, truncate.c) ---- */

PF_INLINE void pf_tree_lock(struct pf_mapping *mapping)
{
	pf_port_spin_lock(&mapping->tree_lock, PF_LOCK_TREE, mapping->head.handle);
}

PF_INLINE void pf_tree_unlock(struct pf_mapping *mapping)
{
	pf_port_spin_unlock(&mapping->tree_lock, PF_LOCK_TREE, mapping->head.handle);
}

/* A reference for who has none and read of it in a folio or its pool. False: it is free. */
bool pf_mapping_try_get(struct pf_mapping *mapping);

/* A device's (pfnmap.c): on an empty slot, or a write to a frame that is to be copied. mmap lock, any way. */
enum pf_fault_result pf_pfnmap_fault(struct pf_vma *vma, pf_va_t va, unsigned flags);
/* A fault on an empty slot of a VMA with a mapping. mmap lock, any way. */
enum pf_fault_result pf_filemap_fault(struct pf_vma *vma, pf_va_t va, unsigned flags);
/* Pages up to the end of the file. pages_lock, any way. */
uint64_t pf_mapping_end(const struct pf_mapping *mapping);
/*
 * A new folio of one page becomes the mapping's page `index`: it takes a reference of its own. 0; -PF_EEXIST;
 * -PF_ENOMEM. pages_lock, any way.
 */
int pf_mapping_add(struct pf_mapping *mapping, uint64_t index, struct pf_folio *folio);
/* The first folio that has a page of [index, last], with a reference; NULL: none is in memory. */
struct pf_folio *pf_mapping_find(struct pf_mapping *mapping, uint64_t index, uint64_t last);
/*
 * Take a folio out, or all that lie wholly in [first, last], in memory or in swap. The caller has a reference to the one, and
 * nobody can map them: pages_lock for writing and unmapped, or no VMA has the mapping.
 */
void pf_mapping_remove(struct pf_mapping *mapping, struct pf_folio *folio);
void pf_mapping_drop(struct pf_mapping *mapping, uint64_t first, uint64_t last);

/*
 * Empty the entries that show pages [first, last], PF_ZAP_*: flushed everywhere on return. pages_lock for writing, so that nobody maps
 * them again.
 */
void pf_mapping_unmap(struct pf_mapping *mapping, uint64_t first, uint64_t last, unsigned flags);
/*
 * A large folio, known to nobody else, takes the places of nr smaller ones, which the caller has references to and which have
 * all that there is in its range; they are the mapping's no more. Of *spares, which has as many as pf_page_tree_need() said, nodes
 * are taken, and added to it. pages_lock for writing, and nobody maps the old ones.
 */
void pf_mapping_gather(struct pf_mapping *mapping, uint64_t index, struct pf_folio *folio,
	struct pf_folio **old, unsigned nr, struct pf_page_node **spares);

/*
 * Where a new folio for the pages from index on is allocated. For shared memory the VMA whose fault it is decides, for a file
 * its process; vma NULL: nobody. mmap lock, if there is a VMA.
 */
struct pf_where pf_mapping_where(
	const struct pf_mapping *mapping, const struct pf_vma *vma, uint64_t index, unsigned order);

/* The mapping that a folio is in, with a reference; NULL: none. The caller has a reference on the folio. */
struct pf_mapping *pf_mapping_of(struct pf_system *sys, const struct pf_folio *folio);
/*
 * Write a folio back, whether its flag says dirty or not: clean first, everywhere, then ops->write, whose answer is returned.
 * Locked, a reference held; pages_lock for reading, so that it is not cut off meanwhile.
 */
int pf_mapping_write_folio(struct pf_mapping *mapping, struct pf_folio *folio);
/*
 * dst, known to nobody else, takes the place of src, locked, which has it: only if nobody maps src, and nobody but the
 * mapping and the caller, once, has a reference.
 */
bool pf_mapping_replace(struct pf_mapping *mapping, struct pf_folio *src, struct pf_folio *dst);

/*
 * A large folio, locked, becomes smaller ones (`at`: phys/phys.h), each locked and with a reference of the caller's beside the
 * mapping's: only if nobody maps it, and nobody but the mapping and the caller, once, has a reference. *spares has
 * pf_page_tree_split_need().
 */
bool pf_mapping_split(struct pf_mapping *mapping, struct pf_folio *folio, uint32_t at,
	struct pf_page_node **spares);

/*
 * Take out and freeze a folio, locked, that nobody maps and nobody but the mapping and the caller, once, has a reference to:
 * then it has none at all, nobody can get one any more, and it is the caller's to pf_folio_free(). *place (if not NULL) is where
 * its pages are now, in slots of which the mapping takes over a count each. False: somebody has, or it is dirty; nothing
 * changed.
 */
bool pf_mapping_evict(struct pf_mapping *mapping, struct pf_folio *folio, const uint64_t *place);

/* ---- memory without a file, in swap (shmem.c). pages_lock, any way; nothing to do for others. ---- */

/*
 * The folio that has the page, with a reference, brought in with neighbours as `orders` allows if it is in swap, to where the
 * VMA wants it, if there is one (mmap lock); NULL: the mapping has no such page in memory or swap. 0, -PF_ENOMEM, -PF_EIO.
 */
int pf_shmem_find(struct pf_mapping *mapping, const struct pf_vma *vma, uint64_t index,
	uint32_t orders, struct pf_folio **folio);
/*
 * So that [offset, last], bytes, can be cut out, and that cannot fail: what stays of the pages at its ends is in memory, and no
 * slot of the tree is for pages inside and outside. 0, -PF_ENOMEM, -PF_EIO. pages_lock for writing: it stays so.
 */
int pf_shmem_prepare_cut(struct pf_mapping *mapping, uint64_t offset, uint64_t last);
/* Pages of [first, last] that are in swap go; of slots that lie wholly there. As pf_mapping_drop(). */
void pf_shmem_drop(struct pf_mapping *mapping, uint64_t first, uint64_t last);
/* How many pages of [first, last] are in swap. No lock. */
uint64_t pf_shmem_swapped(struct pf_mapping *mapping, uint64_t first, uint64_t last);
/* MADV_WILLNEED: bring in what is in swap of [first, last]; errors do not matter. Takes pages_lock for reading. */
void pf_shmem_ahead(struct pf_mapping *mapping, uint64_t first, uint64_t last);
/*
 * Write a folio out to slots of a device, of which the caller has a count each, and evict it to there: the counts are the
 * mapping's then. False: somebody has it or has written to it, it is its mapping's no more, or it could not be written. Folio
 * lock, mapped by nobody; takes pages_lock, tried.
 */
bool pf_shmem_evict(
	struct pf_mapping *mapping, struct pf_folio *folio, struct pf_swap *dev, uint64_t slot);
/* swapoff: bring in all that is on the device, of every mapping. 0, -PF_ENOMEM, -PF_EIO. mms_lock for writing. */
int pf_shmem_unswap(struct pf_system *sys, unsigned dev);
/* What must hold of the places that its tree has; NULL, or what is wrong. */
const char *pf_shmem_check(struct pf_mapping *mapping);

/*
 * MADV_COLD or MADV_FREE, as the format's `op` says (make_old, free_lazily), of a part of an area: what keeps op from going on is
 * split, or left out. mmap lock.
 */
typedef uint64_t (*pf_advice_op)(
	struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr);
void pf_advise_cold(struct pf_gather *g, struct pf_mm *mm, const struct pf_area *area, pf_va_t va,
	pf_va_t end, pf_advice_op op);
/* MADV_PAGEOUT of a part of an area. mmap lock. */
void pf_advise_pageout(struct pf_mm *mm, const struct pf_area *area, pf_va_t start, pf_va_t end);

/* For struct pf_reclaim_ops; ctx is the pf_system. */
enum pf_home pf_file_home(void *ctx, struct pf_folio *folio);
bool pf_file_evict(void *ctx, struct pf_folio *folio, struct pf_swap *dev, uint64_t slot);
/* For struct pf_phys: when memory has run out. ctx is the pf_system. */
uint64_t pf_reclaim_for_alloc(void *ctx, uint32_t nodes);

/* A place that the reverse map has found is about to change: as pf_notify_start(). */
PF_INLINE void pf_notify_place(struct pf_mmu_notifier_range *range, const struct pf_mm *mm,
	enum pf_mmu_notifier_event event, const struct pf_rmap_place *place)
{
	pf_notify_start(
		range, &mm->space, event, place->va, place->va + (place->nr << pf_mm_shift(mm)));
}

/* A folio whose mappings are migration entries, and where its pages will be. */
struct pf_remap {
	struct pf_rmap at;
	pf_pfn_t to;
};

/*
 * A NUMA hint's page moves to the node of this CPU (numa.c). False: somebody has it, it is one that does not move, or there is
 * no room. mmap lock, any way.
 */
bool pf_numa_move(struct pf_vma *vma, pf_va_t va);

/* device_memory.c: PF_FAULT_DEVICE is dealt with: the page is back, or soon will be. mmap lock, any way. */
enum pf_fault_result pf_device_fault(struct pf_vma *vma, pf_va_t va);
/* Contents of src, of the same order, to which nobody stores; of a device's memory by its device. False: it could not. */
bool pf_copy_folio(struct pf_system *sys, struct pf_folio *dst, struct pf_folio *src);
/* Whose memory the frame is; NULL: no device's. */
void *pf_device_owner(const struct pf_system *sys, pf_pfn_t pfn);
/* A folio that src's pages could move to. NULL: there is none. */
struct pf_folio *pf_alloc_for(
	struct pf_system *sys, const struct pf_folio *src, struct pf_where where);
/*
 * Make migration entries of all mappings of a folio, which the caller has locked and has a reference on. 0: nobody else has
 * a reference but, of a file's, the mapping; `to` may be set before pf_folio_remap() ends it. Else mappings are as
 * they were, and -PF_EBUSY or -PF_EAGAIN.
 */
int pf_folio_unmap(struct pf_system *sys, struct pf_folio *folio, struct pf_remap *r);
void pf_folio_remap(struct pf_system *sys, struct pf_remap *r);

/* MADV_HWPOISON, MADV_SOFT_OFFLINE (poison.c), page aligned: what pf_gup or the failure says of the first that fails. */
int pf_madvise_inject(struct pf_mm *mm, pf_va_t start, pf_va_t end, bool soft);

/* KSM (ksm.c): can MADV_MERGEABLE mean the VMA? mmap lock. */
bool pf_ksm_compatible(const struct pf_vma *vma);
/*
 * MADV_UNMERGEABLE: KSM's pages of [start, end) become the process's own again. -PF_ENOMEM: not all. mmap lock, any way.
 */
int pf_ksm_unmerge(struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end);

/* Where a folio goes that takes the place of others, of which each node has so many pages: to the node that has most. */
struct pf_where pf_collapse_where(const struct pf_phys *phys, const uint16_t *on_node);
/* MADV_COLLAPSE (collapse.c), page aligned. Linux's result. */
int pf_madvise_collapse(struct pf_mm *mm, pf_va_t start, pf_va_t end);
/*
 * Of shared memory that the VMA has a whole leaf table of at va: its pages become one folio, which nobody maps yet; or are one already.
 * 0; -PF_EINVAL: there is none; -PF_EBUSY: khugepaged's limits, or a userfaultfd waits for what is not there; -PF_EAGAIN: somebody keeps
 * one; -PF_ENOMEM. *stop: Linux gives up the whole call. mmap lock; takes pages_lock for writing (collapse_file.c).
 */
int pf_shmem_collapse(struct pf_vma *vma, pf_va_t va, bool khugepaged, bool *stop);

/*
 * A fault on a swap entry (swap.c): bring the page in, with neighbours as `orders` allows, and map it. DONE also when
 * somebody else is about to, or has: the access is run again. mmap lock, any way.
 */
enum pf_fault_result pf_swap_fault(
	struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned flags, uint32_t orders);
/* MADV_WILLNEED: read what is swapped of [start, end) into the swap cache; errors do not matter. */
void pf_swap_ahead(struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end);
/* The mm is one that swapoff must look at; and no longer. No lock. */
void pf_swap_mm_add(struct pf_mm *mm);
void pf_swap_mm_del(struct pf_mm *mm);

PF_INLINE void pf_mmap_read_lock(struct pf_mm *mm)
{
	pf_port_rw_read_lock(&mm->mmap_lock, PF_LOCK_MMAP);
}

PF_INLINE bool pf_mmap_read_trylock(struct pf_mm *mm)
{
	return pf_port_rw_read_trylock(&mm->mmap_lock, PF_LOCK_MMAP);
}

PF_INLINE void pf_mmap_read_unlock(struct pf_mm *mm)
{
	pf_port_rw_read_unlock(&mm->mmap_lock, PF_LOCK_MMAP);
}

PF_INLINE void pf_mmap_write_lock(struct pf_mm *mm)
{
	pf_port_rw_write_lock(&mm->mmap_lock, PF_LOCK_MMAP);
}

/* Gives up the VMAs that were locked for writing meanwhile, too (vma_lock.h). */
PF_INLINE void pf_mmap_write_unlock(struct pf_mm *mm)
{
	pf_store_release(&mm->lock_seq, mm->lock_seq + 1);
	pf_port_rw_write_unlock(&mm->mmap_lock, PF_LOCK_MMAP);
}

#endif
