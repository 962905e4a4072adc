/* SPDX-License-Identifier: MIT */
/*
 * Pools of objects with handles. Without a lock: free objects are a stack whose top changes by compare
 * and exchange, together with a count, so that a top that has come back is not taken for one that
 * never went; memory is only ever added.
 */
#include "mm/handle.h"

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "port/port.h"

#define DIR_FIRST 32u
#define INDEX_MAX (UINT32_C(1) << 30)

/* Objects of a chunk, a power of two. */
static unsigned per_chunk_shift(const struct pf_handle_pool *pool)
{
	return pf_log2(PF_HANDLE_CHUNK / pool->size);
}

/* Which directory has the chunk, and where in it: *at. */
static unsigned dir_of(uint32_t chunk, uint32_t *at)
{
	unsigned k = pf_log2(chunk / DIR_FIRST + 1);

	*at = chunk - (((1u << k) - 1) * DIR_FIRST);
	return k;
}

static size_t dir_bytes(unsigned k)
{
	return ((size_t)DIR_FIRST << k) * sizeof(void *);
}

static struct pf_handle_head *object_at(const struct pf_handle_pool *pool, uint32_t index)
{
	const unsigned shift = per_chunk_shift(pool);
	uint32_t at;
	unsigned k = dir_of(index >> shift, &at);
	/* Acquire: what the chunk was filled with. */
	void **dir = pf_load_acquire(&pool->dir[k]);
	char *chunk = pf_load_acquire(&dir[at]);

	return (struct pf_handle_head *)(chunk + (index & ((1u << shift) - 1)) * pool->size);
}

void pf_handle_pool_init(struct pf_handle_pool *pool, enum pf_handle_type type, size_t size)
{
	*pool = (struct pf_handle_pool){.size = (uint16_t)size, .type = (uint8_t)type};
}

void pf_handle_pool_destroy(struct pf_handle_pool *pool)
{
	for (unsigned k = 0; k < PF_HANDLE_DIRS; k++) {
		void **dir = pool->dir[k];

		if (!dir)
			continue;
		for (uint32_t i = 0; i < DIR_FIRST << k; i++)
			if (dir[i])
				pf_port_meta_free(dir[i], PF_HANDLE_CHUNK);
		pf_port_meta_free(dir, dir_bytes(k));
	}
	pf_handle_pool_init(pool, (enum pf_handle_type)pool->type, pool->size);
}

/*
 * Make *at point to `bytes` of zeros. Two may come at once: one's memory is used. False: no memory.
 */
static bool provide(void **at, size_t bytes)
{
	void *none = NULL, *new;

	if (pf_load_relaxed(at))
		return true;
	new = pf_port_meta_alloc(bytes);
	if (!new)
		return false;
	memset(new, 0, bytes);
	if (!pf_cas(at, &none, new))
		pf_port_meta_free(new, bytes);
	return true;
}

static bool provide_chunk(struct pf_handle_pool *pool, uint32_t index)
{
	uint32_t at;
	unsigned k = dir_of(index >> per_chunk_shift(pool), &at);

	return provide((void **)&pool->dir[k], dir_bytes(k)) &&
	       provide(&pf_load_acquire(&pool->dir[k])[at], PF_HANDLE_CHUNK);
}

static struct pf_handle_head *take_free(struct pf_handle_pool *pool)
{
	/* Acquire: the object's successor, and that its chunk is there. */
	uint64_t top = pf_load_acquire(&pool->free);

	while ((uint32_t)top) {
		struct pf_handle_head *o = object_at(pool, (uint32_t)top - 1);
		/* If o has been taken meanwhile this is anything, and the exchange fails. */
		uint64_t next = pf_load_relaxed(&o->next);

		if (pf_cas(&pool->free, &top, ((top >> 32) + 1) << 32 | next))
			return o;
		/* What a failed exchange has found is not acquired. */
		top = pf_load_acquire(&pool->free);
	}
	return NULL;
}

void *pf_handle_alloc(struct pf_handle_pool *pool)
{
	struct pf_handle_head *o = take_free(pool);
	uint32_t index = pf_load_relaxed(&pool->used);

	if (o)
		return o;
	/* Release: the chunk is there before it is counted (pf_handle_count). Another's chunk is acquired by object_at. */
	do {
		if (index >= INDEX_MAX - 1 || !provide_chunk(pool, index))
			return NULL;
	} while (!pf_cas(&pool->used, &index, index + 1));
	o = object_at(pool, index);
	o->handle = (index + 1) << 2 | pool->type;
	return o;
}

void pf_handle_free(struct pf_handle_pool *pool, void *object)
{
	struct pf_handle_head *o = object;
	uint64_t top = pf_load_relaxed(&pool->free), new;

	/* Release: the successor before the object that has it. The top's own memory is not looked at, so reading it needs no order. */
	do {
		pf_store_relaxed(&o->next, (uint32_t)top);
		new = ((top >> 32) + 1) << 32 | o->handle >> 2;
	} while (!pf_cas(&pool->free, &top, new));
}

uint32_t pf_handle_live(const struct pf_handle_pool *pool)
{
	uint32_t n = pool->used;

	for (uint32_t at = (uint32_t)pool->free; at; at = object_at(pool, at - 1)->next)
		n--;
	return n;
}

uint32_t pf_handle_count(const struct pf_handle_pool *pool)
{
	/* Acquire: the chunks that they are in. */
	return pf_load_acquire(&pool->used);
}

void *pf_handle_nth(const struct pf_handle_pool *pool, uint32_t n)
{
	return object_at(pool, n);
}

void *pf_handle_object(const struct pf_handle_pool *pool, uint32_t handle)
{
	return object_at(pool, (handle >> 2) - 1);
}
