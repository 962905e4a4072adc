/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd: faults of an address space that somebody else answers.
 *
 * A struct pf_uffd is what an open userfaultfd is. The embedder allocates it, lets its reader read what
 * pf_uffd_ops.fault tells, and puts threads to sleep; the library never blocks. A fault that waits in
 * Linux goes like this:
 *
 *   1. pf_handle_mm_fault() calls ops->fault with a message, with the mmap lock held for reading. The embedder
 *      queues the thread under the message, and makes it readable. It does not sleep yet.
 *   2. The library looks at the entry once more: what answers a fault (UFFDIO_COPY and the like) changes the entry
 *      and wakes, so either the change is seen now, or the wake-up finds the thread queued. None is lost.
 *   3. PF_FAULT_UFFD: the thread sleeps until ops->wake names a range with its address, which may have happened
 *      already, and then runs its access again. PF_FAULT_DONE: it is taken from the queue, and runs on.
 *
 * Calls made for a process (pf_gup, populating) return -PF_EAGAIN where they would wait, after 1 and 2.
 *
 * Locks: functions take the mmap lock of the userfaultfd's mm, but for api and wake, which take none; callers hold no lock
 * of the library. The mm does not exit during a call, as with every other call on it; after it has exited, calls say
 * -PF_ESRCH, register and unregister -PF_ENOMEM, where nothing is wrong with the range; wake says 0.
 * Arguments are Linux's, and so are errors; *done of the filling calls is what Linux writes into the argument's
 * last field: bytes done, or the error.
 */
#ifndef PF_MM_UFFD_H
#define PF_MM_UFFD_H

#include "mm/mm.h"

#define PF_UFFD_USER_MODE_ONLY 1u

#define PF_UFFD_API 0xaau

#define PF_UFFD_FEATURE_PAGEFAULT_FLAG_WP  PF_BIT(0)
#define PF_UFFD_FEATURE_EVENT_FORK         PF_BIT(1)
#define PF_UFFD_FEATURE_EVENT_REMAP        PF_BIT(2)
#define PF_UFFD_FEATURE_EVENT_REMOVE       PF_BIT(3)
#define PF_UFFD_FEATURE_MISSING_HUGETLBFS  PF_BIT(4)
#define PF_UFFD_FEATURE_MISSING_SHMEM      PF_BIT(5)
#define PF_UFFD_FEATURE_EVENT_UNMAP        PF_BIT(6)
#define PF_UFFD_FEATURE_SIGBUS             PF_BIT(7)
#define PF_UFFD_FEATURE_THREAD_ID          PF_BIT(8)
#define PF_UFFD_FEATURE_MINOR_HUGETLBFS    PF_BIT(9)
#define PF_UFFD_FEATURE_MINOR_SHMEM        PF_BIT(10)
#define PF_UFFD_FEATURE_EXACT_ADDRESS      PF_BIT(11)
#define PF_UFFD_FEATURE_WP_HUGETLBFS_SHMEM PF_BIT(12)
#define PF_UFFD_FEATURE_WP_UNPOPULATED     PF_BIT(13)
#define PF_UFFD_FEATURE_POISON             PF_BIT(14)
#define PF_UFFD_FEATURE_WP_ASYNC           PF_BIT(15)
#define PF_UFFD_FEATURE_MOVE               PF_BIT(16)

#define PF_UFFDIO_REGISTER_MODE_MISSING 1u
#define PF_UFFDIO_REGISTER_MODE_WP      2u
#define PF_UFFDIO_REGISTER_MODE_MINOR   4u

#define PF_UFFDIO_DONTWAKE              1u /* of all filling calls */
#define PF_UFFDIO_MODE_WP               2u /* of COPY and CONTINUE */
#define PF_UFFDIO_MOVE_ALLOW_SRC_HOLES  2u
#define PF_UFFDIO_WRITEPROTECT_WP       1u
#define PF_UFFDIO_WRITEPROTECT_DONTWAKE 2u

/* Numbers of the calls: bits of what register and api answer. */
enum pf_uffdio {
	PF_UFFDIO_REGISTER,
	PF_UFFDIO_UNREGISTER,
	PF_UFFDIO_WAKE,
	PF_UFFDIO_COPY,
	PF_UFFDIO_ZEROPAGE,
	PF_UFFDIO_MOVE,
	PF_UFFDIO_WRITEPROTECT,
	PF_UFFDIO_CONTINUE,
	PF_UFFDIO_POISON,
	PF_UFFDIO_API = 0x3f,
};

#define PF_UFFD_PAGEFAULT_FLAG_WRITE 1u
#define PF_UFFD_PAGEFAULT_FLAG_WP    2u
#define PF_UFFD_PAGEFAULT_FLAG_MINOR 4u

struct pf_uffd_msg {
	unsigned flags;  /* PF_UFFD_PAGEFAULT_FLAG_* */
	pf_va_t address; /* of the page; with FEATURE_EXACT_ADDRESS of the byte */
};

struct pf_uffd;

struct pf_uffd_ops {
	/* A fault begins to wait. mmap lock held for reading: no call of the library from here. */
	void (*fault)(struct pf_uffd *uffd, const struct pf_uffd_msg *msg);
	/* Threads that wait at an address of the range go on. No lock held. */
	void (*wake)(struct pf_uffd *uffd, pf_va_t start, uint64_t len);
};

/* Private to lib/mm but ctx, the embedder's. */
struct pf_uffd {
	struct pf_mm *mm; /* NULL: has exited */
	const struct pf_system *sys;
	struct pf_uffd *next;
	const struct pf_uffd_ops *ops;
	void *ctx;
	unsigned flags;
	uint64_t features; /* atomic; 0 until api has been called */
};

/*
 * userfaultfd(): who may is the embedder's to say. 0; -PF_EINVAL (flags beside O_CLOEXEC and O_NONBLOCK, the embedder's,
 * and PF_UFFD_USER_MODE_ONLY).
 */
int pf_userfaultfd(struct pf_uffd *uffd, struct pf_mm *mm, unsigned flags,
	const struct pf_uffd_ops *ops, void *ctx);
/* The last descriptor is closed: nothing names it when this returns; who waits is woken. */
void pf_uffd_close(struct pf_uffd *uffd);

/*
 * UFFDIO_API. *features: what is wanted, then what there is; *ioctls: the calls. -PF_EINVAL: another api, unknown
 * features, or called before; both are 0 then. -PF_EOPNOTSUPP: events other than faults (FEATURE_EVENT_*), which
 * are not built.
 */
int pf_uffd_api(struct pf_uffd *uffd, uint64_t api, uint64_t *features, uint64_t *ioctls);
/*
 * -PF_EINVAL (range, mode, nothing mapped, memory of a kind that cannot be), -PF_EPERM (it may never be written),
 * -PF_EBUSY (another's), -PF_ENOMEM (no memory, with nothing changed; too many mappings). *ioctls: what may be called there.
 */
int pf_uffd_register(
	struct pf_uffd *uffd, pf_va_t start, uint64_t len, unsigned mode, uint64_t *ioctls);
/* No page is write-protected by it any more; who waits is woken. -PF_EINVAL, -PF_ENOMEM as register. */
int pf_uffd_unregister(struct pf_uffd *uffd, pf_va_t start, uint64_t len);
int pf_uffd_wake(struct pf_uffd *uffd, pf_va_t start, uint64_t len);

/*
 * Fill [dst, dst + len), which lies in one VMA, page by page until one cannot be: with copies of src's pages in `from`; zeros;
 * or map the pages that the mapping has. Anonymous pages that fill an aligned range of a size that THP allows get a large
 * folio, and fold. 0: all of it. -PF_EAGAIN with *done positive: so many bytes from dst on. Else nothing was done:
 * -PF_ENOENT (no VMA that has a userfaultfd), -PF_EINVAL, -PF_EEXIST, -PF_EFAULT (src; or past the end of the file, which for
 * continue is -PF_EINVAL; or nothing to continue with), -PF_ENOMEM, -PF_EAGAIN (src, which need not be at a page, would wait for a
 * userfaultfd, which has been told; or another mapping has come meanwhile: to be called again).
 */
int pf_uffd_copy(struct pf_uffd *uffd, struct pf_mm *from, pf_va_t dst, pf_va_t src, uint64_t len,
	unsigned mode, int64_t *done);
int pf_uffd_zeropage(struct pf_uffd *uffd, pf_va_t dst, uint64_t len, unsigned mode, int64_t *done);
int pf_uffd_continue(struct pf_uffd *uffd, pf_va_t dst, uint64_t len, unsigned mode, int64_t *done);
/*
 * The same for pages that are lost: whoever touches one gets PF_FAULT_HWPOISON, this process and the children that it
 * forks (of private memory), until the page is unmapped, discarded, or filled by UFFDIO_COPY. -PF_EEXIST: there is a page, or a
 * marker of any kind.
 */
int pf_uffd_poison(struct pf_uffd *uffd, pf_va_t dst, uint64_t len, unsigned mode, int64_t *done);

/*
 * UFFDIO_MOVE, called by a process of `caller`, which is the userfaultfd's mm: pages of [src, src + len) go to [dst, dst + len) as they
 * are, and leave nothing behind. Private memory of zeros, writable, with the same rights, each range in one VMA; dst's is
 * registered with this userfaultfd, and empty. Large folios in the range move whole, and fold again; of which a part
 * moves, they are split. What is in swap is brought in. Soft-dirty is set, and uffd-wp gone. With ALLOW_SRC_HOLES src has tables from then on, too. Flushed.
 * 0: all of it. -PF_EAGAIN with *done positive: so many bytes. Else nothing was done: -PF_EINVAL, -PF_ENOENT (no VMA; nothing at
 * src, without ALLOW_SRC_HOLES), -PF_EEXIST (something at dst, a marker at least), -PF_EBUSY (the page is not the process's
 * alone, or may be pinned), -PF_EFAULT (it is lost, or cannot be read; a marker), -PF_ENOMEM, -PF_EAGAIN (somebody is
 * at work on the page: to be called again).
 */
int pf_uffd_move(struct pf_uffd *uffd, struct pf_mm *caller, pf_va_t dst, pf_va_t src, uint64_t len,
	unsigned mode, int64_t *done);

/*
 * Writes to the range's pages are noticed, or no longer. Pages that are not there: only of memory with a mapping, or with
 * FEATURE_WP_UNPOPULATED. Flushed on return. -PF_EINVAL; -PF_ENOENT: memory that is not registered for it, what
 * comes before it is done; -PF_ENOMEM: nothing is.
 */
int pf_uffd_writeprotect(struct pf_uffd *uffd, pf_va_t start, uint64_t len, unsigned mode);

#endif
