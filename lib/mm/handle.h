/* SPDX-License-Identifier: MIT */
/*
 * Handles: the 32 bits in a folio's `mapping` that name what its pages belong to (docs/FRAME.md). A
 * handle is a type in its two low bits and an index, never 0.
 *
 * The objects of one type live in a pool of their own, whose memory goes back to the port only with
 * the pool. So who has read a handle of something that may be gone by now can still look at the
 * object: it finds it, or its successor in the same place, or one that is free. An object that is found this
 * way therefore has a count that is zero while it is free and is raised only from more than zero, and who
 * raised it looks again whether the object is the one that was meant.
 */
#ifndef PF_MM_HANDLE_H
#define PF_MM_HANDLE_H

#include "base/types.h"

enum pf_handle_type {
	PF_HANDLE_ANON = 0, /* struct pf_anon_vma */
	PF_HANDLE_FILE = 1,
	PF_HANDLE_KSM = 2, /* struct pf_ksm_node */
	PF_HANDLE_DEVICE = 3,
};

/* The first member of every object. `handle` never changes. */
struct pf_handle_head {
	uint32_t handle;
	uint32_t next; /* of free objects: index + 1 of the next */
};

#define PF_HANDLE_DIRS 22

/* All zero but for `size` and `type`: empty. */
struct pf_handle_pool {
	void **dir[PF_HANDLE_DIRS]; /* directory k has 32 << k chunks */
	uint64_t free;              /* 63..32 counts changes, 31..0 the first free object, + 1 */
	uint32_t used;              /* objects that have ever been given out */
	uint16_t size;              /* of an object; at most PF_HANDLE_CHUNK */
	uint8_t type;
};

/* Bytes of one chunk of objects. */
#define PF_HANDLE_CHUNK 4096u

PF_INLINE enum pf_handle_type pf_handle_type(uint32_t handle)
{
	return (enum pf_handle_type)(handle & 3);
}

void pf_handle_pool_init(struct pf_handle_pool *pool, enum pf_handle_type type, size_t size);
/* Every object is free, or abandoned. */
void pf_handle_pool_destroy(struct pf_handle_pool *pool);

/*
 * An object, as its last user left it, or zero; NULL: no memory, or no handle left. May sleep; no
 * spinlock held.
 */
void *pf_handle_alloc(struct pf_handle_pool *pool);
/* Give it back. Any context. What others may still look at stays as it is. */
void pf_handle_free(struct pf_handle_pool *pool, void *object);

/* Objects in use; for tests, when nobody allocates or frees. */
uint32_t pf_handle_live(const struct pf_handle_pool *pool);

/*
 * All there are, one by one, in use or not: how many have been given out until now, and the n-th of them, whose contents are
 * zero until its first user sets them. Any context.
 */
uint32_t pf_handle_count(const struct pf_handle_pool *pool);
void *pf_handle_nth(const struct pf_handle_pool *pool, uint32_t n);

/* The object of a handle of this pool, whether it is in use or not. Any context. */
void *pf_handle_object(const struct pf_handle_pool *pool, uint32_t handle);

#endif
