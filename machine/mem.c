/* SPDX-License-Identifier: MIT */
/*
 * Who owns which frame: allocation extents, their lives, and what reaches them (rules F1, F3).
 *
 * An extent is what one note of allocation covers: a table, or a folio. A note inside an extent that is
 * allocated splits it (as a folio is split); anything else that meets allocated frames gives memory out
 * twice. Frames that no note ever named are the embedder's or a device's, and are not judged.
 */
#include "judge.h"

#if PF_JUDGE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define POISON 0xa5

static void *zeroed(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool mj_mem_start(void)
{
	mj.nframes = mj.memory >> 12;
	mj.frames = zeroed(mj.nframes * sizeof(*mj.frames));
	mj.folios = zeroed(mj.nframes * sizeof(*mj.folios));
	mj.ntables = mj.memory / mmu_table_bytes(mj.fmt);
	mj.tables = zeroed(mj.ntables * sizeof(*mj.tables));
	mj.asids = zeroed(65536 * sizeof(*mj.asids));
	return mj.asids && mj.frames && mj.folios && mj.tables;
}

void mj_mem_stop(void)
{
	munmap(mj.asids, 65536 * sizeof(*mj.asids));
	munmap(mj.frames, mj.nframes * sizeof(*mj.frames));
	munmap(mj.folios, mj.nframes * sizeof(*mj.folios));
	munmap(mj.tables, mj.ntables * sizeof(*mj.tables));
	free(mj.touched);
	free(mj.attempts);
	mj.touched = NULL;
	mj.attempts = NULL;
	mj.ntouched = mj.cap_touched = mj.nattempts = mj.cap_attempts = 0;
}

bool mj_frame_of(uint64_t pa, uint32_t *frame)
{
	*frame = (uint32_t)((pa - MACHINE_RAM_BASE) >> 12);
	return pa >= MACHINE_RAM_BASE && pa - MACHINE_RAM_BASE < mj.memory;
}

struct mj_folio *mj_folio_of(uint64_t pa)
{
	uint32_t f;

	if (!mj_frame_of(pa, &f) || mj.frames[f].state != MJ_FRAME_ALLOCATED)
		return NULL;
	return &mj.folios[mj.frames[f].ext_first];
}

bool mj_same_extent(uint64_t pa, uint64_t bytes)
{
	uint32_t f, ext;

	if (!mj_frame_of(pa, &f))
		return true;
	if (mj.frames[f].state == MJ_FRAME_UNKNOWN)
		ext = f; /* then all of them must be unknown */
	else
		ext = mj.frames[f].ext_first;
	for (uint64_t o = 4096; o < bytes; o += 4096) {
		uint32_t g;

		if (!mj_frame_of(pa + o, &g))
			return false;
		if (mj.frames[f].state != mj.frames[g].state ||
			(mj.frames[f].state != MJ_FRAME_UNKNOWN && mj.frames[g].ext_first != ext))
			return false;
	}
	return true;
}

bool mj_frame_freed(uint64_t pa)
{
	uint32_t f;

	return mj_frame_of(pa, &f) && mj.frames[f].state == MJ_FRAME_FREED;
}

void mj_folio_touch(uint64_t pa)
{
	struct mj_folio *folio = mj_folio_of(pa);

	if (!folio || folio->touched)
		return;
	folio->touched = true;
	if (mj.ntouched == mj.cap_touched) {
		mj.cap_touched = mj.cap_touched ? mj.cap_touched * 2 : 64;
		mj.touched = realloc(mj.touched, mj.cap_touched * sizeof(*mj.touched));
	}
	mj.touched[mj.ntouched++] = (uint32_t)(folio - mj.folios);
}

static const char *use_name(enum pf_mem_use use)
{
	static const char *const name[] = {"table", "anon", "meta", "file"};

	return name[use];
}

static bool range(uint64_t pa, size_t bytes, uint32_t *first, uint32_t *nr)
{
	uint32_t last;

	*nr = 0;
	if (!bytes || !mj_frame_of(pa, first) || !mj_frame_of(pa + bytes - 1, &last)) {
		mj_violate(MJ_F3, 0, "%llx + %zx is not memory", (unsigned long long)pa, bytes);
		return false;
	}
	*nr = last - *first + 1;
	return true;
}

/* Is [first, first + nr) strictly part of one allocated extent? */
static bool splits(uint32_t first, uint32_t nr)
{
	const struct mj_frame *f = &mj.frames[first];

	return f->state == MJ_FRAME_ALLOCATED && f->ext_nr > nr && first >= f->ext_first &&
	       first + nr <= f->ext_first + f->ext_nr;
}

/* What is left of an extent at the sides of a piece taken out keeps its history. */
static void relabel(uint32_t first, uint32_t nr, const struct mj_folio *from)
{
	if (!nr)
		return;
	mj.folios[first].store_seq = from->store_seq;
	mj.folios[first].clean_seq = from->clean_seq;
	for (uint32_t i = 0; i < nr; i++) {
		mj.frames[first + i].ext_first = first;
		mj.frames[first + i].ext_nr = nr;
	}
	mj_folio_touch(MACHINE_RAM_BASE + ((uint64_t)first << 12));
}

static void cut(uint32_t first, uint32_t nr)
{
	uint32_t start = mj.frames[first].ext_first, end = start + mj.frames[first].ext_nr;
	struct mj_folio folio = mj.folios[start];

	relabel(start, first - start, &folio);
	relabel(first, nr, &folio);
	relabel(first + nr, end - first - nr, &folio);
}

void machine_ev_alloc(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	uint32_t first, nr;

	mj_point();
	mj_did(MJ_OBJ_MEMORY, true);
	mj_log("alloc use=%s pa=%llx bytes=%zx", use_name(use), (unsigned long long)pa, bytes);
	machine_counters.table_alloc += use == PF_USE_TABLE;
	mj_may_sleep("handing out memory");
	if (use == PF_USE_META || !range(pa, bytes, &first, &nr))
		return;
	if (splits(first, nr)) {
		cut(first, nr);
		return;
	}
	for (uint32_t i = 0; i < nr; i++) {
		struct mj_frame *f = &mj.frames[first + i];

		if (f->state == MJ_FRAME_ALLOCATED)
			mj_violate(MJ_F3, 0, "frame %llx is given out, and is allocated already",
				(unsigned long long)(pa + ((uint64_t)i << 12)));
		f->state = MJ_FRAME_ALLOCATED;
		f->use = (uint8_t)use;
		f->ext_first = first;
		f->ext_nr = nr;
	}
	mj.folios[first] =
		(struct mj_folio){.clean_seq = mj.seq, .touched = mj.folios[first].touched};
	if (use == PF_USE_TABLE)
		mj_table_alloc(pa, bytes);
}

static void check_unreachable(uint32_t frame)
{
	const struct mj_frame *f = &mj.frames[frame];
	uint64_t pa = MACHINE_RAM_BASE + ((uint64_t)frame << 12);

	if (f->nmap)
		mj_violate(MJ_F1, 0, "frame %llx is returned while %u entries map it",
			(unsigned long long)pa, f->nmap);
	if (f->nstale) {
		const struct mj_stale *r = mj_stale_covering_frame(frame);

		if (r)
			mj_violate(r->issued_seq > r->seq || r->tried ? MJ_C1 : MJ_F1, r->slot_pa,
				"frame %llx is returned while a TLB may hold %s",
				(unsigned long long)pa, mj_stale_text(r));
	}
}

void machine_ev_free(enum pf_mem_use use, pf_pa_t pa, size_t bytes)
{
	uint32_t first, nr;

	mj_point();
	mj_did(MJ_OBJ_MEMORY, true);
	mj_did(MJ_OBJ_MMU, false);
	mj_did_frames(pa, bytes, true);
	mj_log("free use=%s pa=%llx bytes=%zx", use_name(use), (unsigned long long)pa, bytes);
	machine_counters.table_free += use == PF_USE_TABLE;
	mj_may_sleep("giving memory back");
	if (use == PF_USE_META || !range(pa, bytes, &first, &nr))
		return;
	if (use == PF_USE_TABLE)
		mj_table_free(pa, bytes);
	if (splits(first, nr))
		cut(first, nr);
	for (uint32_t i = 0; i < nr; i++) {
		struct mj_frame *f = &mj.frames[first + i];

		if (f->state != MJ_FRAME_ALLOCATED || f->use != use)
			mj_violate(MJ_F3, 0, "frame %llx is returned as %s, and is not",
				(unsigned long long)(pa + ((uint64_t)i << 12)), use_name(use));
		check_unreachable(first + i);
		f->state = MJ_FRAME_FREED;
		f->ext_nr = 0;
	}
	if (use == PF_USE_TABLE || !machine_port.no_data)
		memset(pf_port_virt(pa), POISON, bytes);
}

static void check_owned(uint64_t pa, size_t bytes, const char *what)
{
	for (uint64_t o = 0; o < bytes; o += 4096)
		if (mj_frame_freed(pa + o))
			mj_violate(MJ_F1, 0, "frame %llx is %s after it was returned",
				(unsigned long long)(pa + o), what);
}

void machine_ev_clear(pf_pa_t pa, size_t bytes)
{
	struct mj_table *t;

	mj_point();
	mj_did_frames(pa, bytes, true);
	mj_log("clear pa=%llx bytes=%zx", (unsigned long long)pa, bytes);
	check_owned(pa, bytes, "cleared");
	t = mj_table_at(pa);
	if (t) {
		t->init_seq = mj.seq;
		t->init_cpu = (uint16_t)mj.cpu;
	}
	if (t || !machine_port.no_data)
		memset(pf_port_virt(pa), 0, bytes);
}

/* The kernel's own accesses to what pages contain, by addresses that are no program's; no store to the folio for rule D2. */
void machine_ev_data(pf_pa_t pa, size_t bytes, bool write)
{
	mj_point();
	mj_did_frames(pa & ~UINT64_C(4095), (pa & 4095) + bytes, write);
	mj_log("data kind=%s pa=%llx bytes=%zx", write ? "write" : "read", (unsigned long long)pa,
		bytes);
	check_owned(pa, bytes, write ? "written" : "read");
}

/* A copy brings new contents: for rule D2 it is a store to the folio. */
void machine_ev_copy(pf_pa_t dst, pf_pa_t src, size_t bytes)
{
	mj_point();
	mj_did_frames(dst, bytes, true);
	mj_did_frames(src, bytes, false);
	mj_log("copy pa=%llx from=%llx bytes=%zx", (unsigned long long)dst, (unsigned long long)src,
		bytes);
	check_owned(dst, bytes, "copied to");
	check_owned(src, bytes, "copied from");
	for (uint64_t o = 0; o < bytes; o += 4096)
		mj_store_reached(dst + o);
	if (!machine_port.no_data)
		memcpy(pf_port_virt(dst), pf_port_virt(src), bytes);
}

#endif
