/* SPDX-License-Identifier: MIT */
/*
 * Results and errors of the calls, call by call: what Linux returns, in the order in which it looks.
 * Each table is one address space, its rows run one after the other; after every row the address
 * space is well formed, and where a row says so, its VMAs are listed.
 */
#include "world.h"

#include "base/err.h"

#define A     UINT64_C(0x10000000)
#define RW    (PF_PROT_READ | PF_PROT_WRITE)
#define PRIV  (PF_MAP_PRIVATE | PF_MAP_ANONYMOUS)
#define FIXED (PRIV | PF_MAP_FIXED)
#define MAY   PF_MREMAP_MAYMOVE
#define FIX   (PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED)
#define KEEP  (PF_MREMAP_MAYMOVE | PF_MREMAP_DONTUNMAP)
#define B     (A + 64 * P)
#define TOP   (UINT64_C(1) << 62) /* stands for task_size, which the format decides */

/* Rows end where their call has no more to say. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum call { MMAP, MUNMAP, MPROTECT, MREMAP, MADVISE, BRK, READ, WRITE, EXEC, MAPS };

struct row {
	enum call call;
	int64_t want; /* or ADDR: the address asked for */
	uint64_t a, b, c, d, e;
	const char *maps;
};

#define ADDR INT64_MAX
#define ANY  (INT64_MAX - 1)

static uint64_t address(uint64_t a)
{
	const uint64_t near = UINT64_C(1) << 50;

	return a - TOP + near < 2 * near ? sys.task_size + (a - TOP) : a;
}

static int64_t fault(uint64_t a, unsigned flags)
{
	if (flags & PF_FAULT_FLAG_WRITE)
		world_note(a & ~(P - 1), 1);
	return pf_handle_mm_fault(&mm, a, flags);
}

static int64_t call(const struct row *r)
{
	uint64_t a = address(r->a);

	switch (r->call) {
	case MMAP:
		if (r->d & (PF_MAP_POPULATE | PF_MAP_LOCKED))
			world_note(a, r->b / P);
		return pf_mmap(&mm, a, address(r->b), (unsigned)r->c, (unsigned)r->d);
	case MUNMAP:
		return pf_munmap(&mm, a, address(r->b));
	case MPROTECT:
		return pf_mprotect(&mm, a, address(r->b), (unsigned)r->c);
	case MREMAP:
		if (r->c > r->b && r->c < 1000 * P)
			world_note(a, r->c / P);
		return pf_mremap(
			&mm, a, address(r->b), address(r->c), (unsigned)r->d, address(r->e));
	case MADVISE:
		if (r->c == PF_MADV_POPULATE_WRITE)
			world_note(a, r->b / P);
		return pf_madvise(&mm, a, address(r->b), (int)r->c);
	case BRK:
		return (int64_t)pf_brk(&mm, a);
	case READ:
		return fault(a, 0);
	case WRITE:
		return fault(a, PF_FAULT_FLAG_WRITE);
	case EXEC:
		return fault(a, PF_FAULT_FLAG_EXEC);
	case MAPS:
		break;
	}
	return 0;
}

/* "start+pages rights" of every VMA, in pages from A; an l for locked. */
static void maps(char *out, size_t size)
{
	struct pf_vma_info v;
	pf_va_t at = 0;
	int n = 0;

	out[0] = 0;
	while (pf_find_vma_info(&mm, at, &v)) {
		unsigned f = v.area.flags;

		n += snprintf(out + n, size - (size_t)n, "%s%lld+%llu %c%c%c%s", n ? ", " : "",
			(long long)(int64_t)(v.area.start - A) / 4096,
			(unsigned long long)(v.area.end - v.area.start) / 4096,
			f & PF_VM_READ ? 'r' : '-', f & PF_VM_WRITE ? 'w' : '-',
			f & PF_VM_EXEC ? 'x' : '-', f & PF_VM_LOCKED ? "l" : "");
		at = v.area.end;
	}
}

static void play(const char *name, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char where[64], list[1024];
		int64_t got = call(&rows[i]), want = rows[i].want;

		snprintf(where, sizeof(where), "%s, row %zu", name, i);
		if (want == ADDR)
			want = (int64_t)address(
				rows[i].call == MREMAP && rows[i].e ? rows[i].e : rows[i].a);
		if (want == ANY ? got <= 0 : got != want)
			fail_msg("%s: returned %lld, not %lld", where, (long long)got,
				(long long)want);
		world_check(where);
		maps(list, sizeof(list));
		if (rows[i].maps && strcmp(list, rows[i].maps))
			fail_msg("%s: maps are\n%s, not\n%s", where, list, rows[i].maps);
	}
}

#define PLAY(rows)                                                                                 \
	do {                                                                                       \
		world_start(*state, 0);                                                            \
		play(#rows, rows, PF_ARRAY_SIZE(rows));                                            \
		world_stop();                                                                      \
	} while (0)

/* ---- mmap ---- */

static const struct row mmap_errors[] = {
	{MMAP, -PF_EINVAL, 0, 0, RW, PRIV},
	{MMAP, -PF_EINVAL, A + 1, 0, RW, FIXED},
	/* too long: for 64 bits, for user space */
	{MMAP, -PF_ENOMEM, 0, UINT64_MAX, RW, PRIV},
	{MMAP, -PF_ENOMEM, 0, TOP, RW, PRIV},
	{MMAP, -PF_ENOMEM, 0, TOP + P, RW, PRIV},
	{MMAP, -PF_ENOMEM, A, TOP - 15 * P, RW, PRIV},
	{MMAP, -PF_ENOMEM, TOP, P, RW, FIXED},
	{MMAP, -PF_ENOMEM, TOP - P, 2 * P, RW, FIXED},
	{MMAP, -PF_ENOMEM, UINT64_C(0) - P, P, RW, FIXED},
	/* before alignment, which is before too low */
	{MMAP, -PF_ENOMEM, TOP - P + 1, P, RW, FIXED},
	{MMAP, -PF_EINVAL, A + 1, P, RW, FIXED},
	{MMAP, -PF_EINVAL, 1, P, RW, FIXED},
	{MMAP, -PF_EPERM, 0, P, RW, FIXED},
	{MMAP, -PF_EPERM, 15 * P, 4 * P, RW, FIXED},
	{MMAP, -PF_EPERM, 15 * P, P, RW, PRIV | PF_MAP_FIXED_NOREPLACE},
	/* the type is looked at last */
	{MMAP, -PF_EINVAL, A, P, RW, PF_MAP_ANONYMOUS},
	{MMAP, -PF_EINVAL, A, P, RW, PF_MAP_ANONYMOUS | PF_MAP_SHARED_VALIDATE},
	{MMAP, -PF_EPERM, P, P, RW, PF_MAP_ANONYMOUS | PF_MAP_FIXED},
	{MMAP, -PF_EINVAL, A, P, RW, PF_MAP_ANONYMOUS | PF_MAP_SHARED | PF_MAP_GROWSDOWN},
	{MMAP, -PF_EBADF, A, P, RW, PF_MAP_PRIVATE},
	{MAPS, 0, .maps = ""},
	/* what is there stays */
	{MMAP, ADDR, A, 4 * P, RW, PRIV | PF_MAP_FIXED_NOREPLACE},
	{MMAP, -PF_EEXIST, A + 3 * P, 4 * P, RW, PRIV | PF_MAP_FIXED_NOREPLACE},
	{MMAP, -PF_EEXIST, A - P, 2 * P, RW, PF_MAP_ANONYMOUS | PF_MAP_FIXED_NOREPLACE},
	{MMAP, -PF_EINVAL, A + P, P, RW, PF_MAP_ANONYMOUS | PF_MAP_FIXED},
	{MAPS, 0, .maps = "0+4 rw-"},
};

static const struct row mmap_places[] = {
	/* the last page there is, and the first */
	{MMAP, ADDR, TOP - P, P, RW, FIXED},
	{WRITE, PF_FAULT_DONE, TOP - P},
	{WRITE, PF_FAULT_DONE, TOP - 1},
	{WRITE, PF_FAULT_SIGSEGV, TOP},
	{WRITE, PF_FAULT_SIGSEGV, UINT64_MAX},
	{MUNMAP, 0, TOP - P, P},
	{MMAP, ADDR, 16 * P, P, RW, FIXED},
	{MUNMAP, 0, 16 * P, P},
	/* a hint is taken if it is free, rounded down; length is rounded up */
	{MMAP, ADDR, A, P + 1, RW, PRIV, .maps = "0+2 rw-"},
	{MMAP, (int64_t)(A + 2 * P), A + 2 * P + 5, P, RW, PRIV, .maps = "0+3 rw-"},
	{MMAP, ANY, A + P, P, PF_PROT_READ, PRIV},
	{MMAP, (int64_t)(16 * P), P, P, PF_PROT_READ, PRIV},
	/* near the top it is no hint any more */
	{MMAP, ANY, UINT64_MAX, P, PF_PROT_READ, PRIV},
};

/* Placement is from the top down, of a PMD's worth of memory at a multiple. */
static void placement(void **state)
{
	const struct pf_format *fmt = *state;
	uint64_t pmd = P << fmt->pt->level_bits;
	int64_t a, b, c, d;

	world_start(fmt, 0);
	a = pf_mmap(&mm, 0, 3 * P, RW, PRIV);
	assert_int_equal(a, mm.mmap_base - 3 * P);
	b = pf_mmap(&mm, 0, P, PF_PROT_READ, PRIV);
	assert_int_equal(b, a - (int64_t)P);
	c = pf_mmap(&mm, 0, pmd, PF_PROT_READ, PRIV);
	assert_true(!(c & (int64_t)(pmd - 1)) && c < b && b - c < 2 * (int64_t)pmd);
	/* The hole above that is used first. */
	d = pf_mmap(&mm, 0, P, 0, PRIV);
	assert_int_equal(d, b - (int64_t)P);
	/* All below mmap_base taken: then from the bottom up, above it. */
	assert_int_equal(
		pf_mmap(&mm, sys.mmap_min_addr, mm.mmap_base - sys.mmap_min_addr, 0, FIXED),
		sys.mmap_min_addr);
	assert_int_equal(pf_mmap(&mm, 0, P, RW, PRIV), mm.mmap_base);
	assert_int_equal(pf_mmap(&mm, 0, sys.task_size - mm.mmap_base, RW, PRIV), -PF_ENOMEM);
	world_check("placement");
	world_stop();
}

static const struct row merging[] = {
	{MMAP, ADDR, A, 2 * P, RW, FIXED},
	{MMAP, ADDR, A + 4 * P, 2 * P, RW, FIXED, .maps = "0+2 rw-, 4+2 rw-"},
	/* between two that have no pages yet: all one */
	{MMAP, ADDR, A + 2 * P, 2 * P, RW, FIXED, .maps = "0+6 rw-"},
	{MUNMAP, 0, A + 2 * P, 2 * P, .maps = "0+2 rw-, 4+2 rw-"},
	/* between two with pages of their own: to the one before */
	{WRITE, PF_FAULT_DONE, A},
	{WRITE, PF_FAULT_DONE, A + 4 * P},
	{MMAP, ADDR, A + 2 * P, 2 * P, RW, FIXED, .maps = "0+4 rw-, 4+2 rw-"},
	/* other rights, and back */
	{MPROTECT, 0, A + P, P, PF_PROT_READ, .maps = "0+1 rw-, 1+1 r--, 2+2 rw-, 4+2 rw-"},
	{MPROTECT, 0, A + P, P, RW, .maps = "0+4 rw-, 4+2 rw-"},
	/* a border moves, without a VMA more */
	{MPROTECT, 0, A + 3 * P, P, PF_PROT_READ, .maps = "0+3 rw-, 3+1 r--, 4+2 rw-"},
	{MPROTECT, 0, A + 2 * P, P, PF_PROT_READ, .maps = "0+2 rw-, 2+2 r--, 4+2 rw-"},
	/* over what is there: replaced, split, merged again */
	{MMAP, ADDR, A + 2 * P, 2 * P, RW, FIXED, .maps = "0+4 rw-, 4+2 rw-"},
	{MMAP, ADDR, A + P, P, 0, FIXED, .maps = "0+1 rw-, 1+1 ---, 2+2 rw-, 4+2 rw-"},
	{MMAP, ADDR, A + P, P, RW, FIXED, .maps = "0+4 rw-, 4+2 rw-"},
	{MMAP, ADDR, A + P, P, RW, FIXED | PF_MAP_NORESERVE},
	{MAPS, 0, .maps = "0+1 rw-, 1+1 rw-, 2+2 rw-, 4+2 rw-"},
	/* a VMA that grew at its beginning, or was cut there, still continues what comes before */
	{MUNMAP, 0, A, 6 * P},
	{MMAP, ADDR, A + 4 * P, 2 * P, RW, FIXED},
	{WRITE, PF_FAULT_DONE, A + 5 * P},
	{MMAP, ADDR, A + 2 * P, 2 * P, RW, FIXED, .maps = "2+4 rw-"},
	{MUNMAP, 0, A + 2 * P, P, .maps = "3+3 rw-"},
	{MMAP, ADDR, A + 2 * P, P, RW, FIXED, .maps = "2+4 rw-"},
	{MMAP, ADDR, A, 2 * P, RW, FIXED, .maps = "0+6 rw-"},
	/* what is moved away continues nothing, though it counts on */
	{MREMAP, (int64_t)B, A + 4 * P, 2 * P, 2 * P, FIX, B, .maps = "0+4 rw-, 64+2 rw-"},
	{MREMAP, (int64_t)(A + 4 * P), B, 2 * P, 2 * P, FIX, A + 4 * P, .maps = "0+6 rw-"},
	/* accounted once, accounted for ever: written or not */
	{MUNMAP, 0, A, 6 * P},
	{MMAP, ADDR, A, 2 * P, PF_PROT_READ, FIXED},
	{MPROTECT, 0, A, P, RW},
	{MPROTECT, 0, A, P, PF_PROT_READ, .maps = "0+2 r--"},
	{MPROTECT, 0, A, P, RW},
	{WRITE, PF_FAULT_DONE, A},
	{MPROTECT, 0, A, P, PF_PROT_READ, .maps = "0+1 r--, 1+1 r--"},
};

/* ---- munmap ---- */

static const struct row munmap_rows[] = {
	{MUNMAP, -PF_EINVAL, A + 1, P},
	{MUNMAP, -PF_EINVAL, A, 0},
	{MUNMAP, -PF_EINVAL, TOP + P, P},
	{MUNMAP, -PF_EINVAL, TOP - P, P + 1},
	{MUNMAP, -PF_EINVAL, A, UINT64_MAX},
	{MUNMAP, 0, A, P},
	{MUNMAP, 0, 0, TOP},
	{MMAP, ADDR, A, 8 * P, RW, FIXED | PF_MAP_POPULATE},
	{MUNMAP, 0, A + 2 * P, 1, .maps = "0+2 rw-, 3+5 rw-"},
	{MUNMAP, 0, A - 4 * P, 5 * P, .maps = "1+1 rw-, 3+5 rw-"},
	{MUNMAP, 0, A + 7 * P, 9 * P, .maps = "1+1 rw-, 3+4 rw-"},
	{MUNMAP, 0, A + P, 3 * P, .maps = "4+3 rw-"},
	{MUNMAP, 0, 0, TOP, .maps = ""},
};

/* ---- mprotect ---- */

static const struct row mprotect_rows[] = {
	{MPROTECT, -PF_EINVAL, A + 1, P, RW},
	{MPROTECT, -PF_EINVAL, A, P, PF_PROT_GROWSDOWN | PF_PROT_GROWSUP},
	{MPROTECT, -PF_EINVAL, A + 1, 0, RW},
	{MPROTECT, 0, A, 0, RW},
	/* lengths that wrap come before rights that do not exist */
	{MPROTECT, -PF_ENOMEM, A, UINT64_MAX, RW},
	{MPROTECT, -PF_ENOMEM, A, UINT64_C(0) - A, 0x100},
	{MPROTECT, -PF_EINVAL, A, P, 0x100},
	{MPROTECT, -PF_ENOMEM, A, P, RW},
	{MPROTECT, -PF_ENOMEM, A, P, RW | PF_PROT_GROWSDOWN},
	{MMAP, ADDR, A, 8 * P, RW, FIXED | PF_MAP_POPULATE},
	{MPROTECT, -PF_EINVAL, A, P, RW | PF_PROT_GROWSDOWN},
	{MPROTECT, -PF_EINVAL, A, P, RW | PF_PROT_GROWSUP},
	{MPROTECT, -PF_ENOMEM, A - P, 2 * P, 0, .maps = "0+8 rw-"},
	{MPROTECT, 0, A, P, RW | 8, .maps = "0+8 rw-"},
	{MPROTECT, 0, A + 2 * P, 2 * P, 0, .maps = "0+2 rw-, 2+2 ---, 4+4 rw-"},
	{READ, PF_FAULT_SIGSEGV, A + 2 * P},
	{MPROTECT, 0, A + P, 6 * P, PF_PROT_READ, .maps = "0+1 rw-, 1+6 r--, 7+1 rw-"},
	{READ, PF_FAULT_DONE, A + P},
	{WRITE, PF_FAULT_SIGSEGV, A + P},
	/* over a hole: what comes before it is changed */
	{MUNMAP, 0, A + 4 * P, P},
	{MPROTECT, -PF_ENOMEM, A, 8 * P, PF_PROT_EXEC, .maps = "0+4 --x, 5+2 r--, 7+1 rw-"},
	{EXEC, PF_FAULT_DONE, A},
	/* execute-only memory is not readable */
	{READ, PF_FAULT_SIGSEGV, A},
	{EXEC, PF_FAULT_SIGSEGV, A + 5 * P},
	{MPROTECT, 0, A, P, PF_PROT_WRITE, .maps = "0+1 -w-, 1+3 --x, 5+2 r--, 7+1 rw-"},
	/* writable memory is */
	{READ, PF_FAULT_DONE, A},
	/* beyond the last VMA, and beyond everything */
	{MPROTECT, -PF_ENOMEM, A + 2 * P, UINT64_MAX, RW},
	{MPROTECT, -PF_ENOMEM, A + 7 * P, 2 * P, PF_PROT_READ},
	{MAPS, 0, .maps = "0+1 -w-, 1+3 --x, 5+3 r--"},
};

/* ---- mremap ---- */

static const struct row mremap_errors[] = {
	{MMAP, ADDR, A, 4 * P, RW, FIXED | PF_MAP_POPULATE},
	{MREMAP, -PF_EINVAL, A, P, P, 8, 0},
	{MREMAP, -PF_EINVAL, A + 1, P, P, 0, 0},
	{MREMAP, -PF_EINVAL, A, P, 0, 0, 0},
	{MREMAP, -PF_EINVAL, A, P, TOP + 1, MAY, 0},
	{MREMAP, -PF_ENOMEM, A, 4 * P, TOP, MAY, 0},
	/* the new address */
	{MREMAP, -PF_EINVAL, A, P, P, PF_MREMAP_FIXED, B},
	{MREMAP, -PF_EINVAL, A, P, P, PF_MREMAP_DONTUNMAP, 0},
	{MREMAP, -PF_EINVAL, A, P, P, FIX, B + 1},
	{MREMAP, -PF_EINVAL, A, P, 2 * P, FIX, TOP - P},
	{MREMAP, -PF_EINVAL, A, P, P, FIX, UINT64_C(0) - P},
	{MREMAP, -PF_EPERM, A, P, P, FIX, P},
	{MREMAP, -PF_EINVAL, A, P, 2 * P, KEEP, 0},
	{MREMAP, -PF_EINVAL, A, 2 * P, 2 * P, FIX, A + P},
	{MREMAP, -PF_EINVAL, A + P, P, 2 * P, FIX, A},
	{MREMAP, -PF_EINVAL, A, P, P, FIX, A},
	/* what is there */
	{MREMAP, -PF_EFAULT, A - P, P, P, 0, 0},
	{MREMAP, -PF_EFAULT, A - P, 2 * P, 3 * P, MAY, 0},
	{MREMAP, -PF_EFAULT, A + 4 * P, P, P, FIX, B},
	{MREMAP, -PF_EFAULT, A, 5 * P, 6 * P, MAY, 0},
	{MREMAP, -PF_EINVAL, A, 0, P, MAY, 0},
	{MREMAP, -PF_EINVAL, A, 0, P, FIX, B},
	{MREMAP, -PF_ENOMEM, A, P, 2 * P, 0, 0},
	{MAPS, 0, .maps = "0+4 rw-"},
	/* no change of size: only the first page is looked at */
	{MREMAP, ADDR, A, 9 * P, 9 * P, 0, 0},
	{MREMAP, ADDR, A + 3 * P, P, P, 0, 0},
};

static const struct row mremap_moves[] = {
	{MMAP, ADDR, A, 4 * P, RW, FIXED},
	{WRITE, PF_FAULT_DONE, A},
	{WRITE, PF_FAULT_DONE, A + 3 * P},
	/* shrink, also over VMAs behind it; grow in place */
	{MREMAP, ADDR, A, 4 * P, 3 * P, 0, 0, .maps = "0+3 rw-"},
	{MREMAP, ADDR, A, 3 * P, 5 * P, 0, 0, .maps = "0+5 rw-"},
	{MREMAP, ADDR, A + 4 * P, P, 2 * P, 0, 0, .maps = "0+6 rw-"},
	{MMAP, ADDR, A + 6 * P, 2 * P, PF_PROT_READ, FIXED},
	{MREMAP, ADDR, A, 8 * P, P, 0, 0, .maps = "0+1 rw-"},
	{MREMAP, ADDR, A, P, 4 * P, MAY, 0, .maps = "0+4 rw-"},
	/* the same to a place: what is cut off may belong to others, what moves may not */
	{MMAP, ADDR, A + 4 * P, 2 * P, PF_PROT_READ, FIXED},
	{MREMAP, -PF_EFAULT, A, 6 * P, 5 * P, FIX, B},
	{MAPS, 0, .maps = "0+4 rw-, 4+2 r--"},
	{MREMAP, ADDR, A, 6 * P, 4 * P, FIX, B, .maps = "64+4 rw-"},
	{MREMAP, ADDR, B, 4 * P, 4 * P, FIX, A, .maps = "0+4 rw-"},
	/* to a place: whole, a part, into what is there */
	{MREMAP, ADDR, A, 4 * P, 4 * P, FIX, B, .maps = "64+4 rw-"},
	{MREMAP, ADDR, B + P, P, P, FIX, A, .maps = "0+1 rw-, 64+1 rw-, 66+2 rw-"},
	{MMAP, ADDR, A + P, 3 * P, PF_PROT_READ, FIXED},
	{MREMAP, ADDR, B, P, P, FIX, A + 2 * P,
		.maps = "0+1 rw-, 1+1 r--, 2+1 rw-, 3+1 r--, 66+2 rw-"},
	/* smaller and larger on the way */
	{MREMAP, ADDR, B + 2 * P, 2 * P, P, FIX, A + 8 * P,
		.maps = "0+1 rw-, 1+1 r--, 2+1 rw-, 3+1 r--, 8+1 rw-"},
	{MREMAP, ADDR, A + 8 * P, P, 3 * P, FIX, B,
		.maps = "0+1 rw-, 1+1 r--, 2+1 rw-, 3+1 r--, 64+3 rw-"},
	/* several at once, at their distances */
	{MUNMAP, 0, A + P, P},
	{MREMAP, ADDR, A, 4 * P, 4 * P, FIX, B + 8 * P,
		.maps = "64+3 rw-, 72+1 rw-, 74+1 rw-, 75+1 r--"},
	{MREMAP, -PF_EFAULT, B + 9 * P, 4 * P, 4 * P, FIX, A},
	/* what has pages keeps its place in the order; what has none starts afresh */
	{MUNMAP, 0, A, 128 * P},
	{MMAP, ADDR, A, 2 * P, RW, FIXED},
	{MMAP, ADDR, B, 2 * P, RW, FIXED},
	{MREMAP, ADDR, B, P, P, FIX, A + 2 * P, .maps = "0+3 rw-, 65+1 rw-"},
	{WRITE, PF_FAULT_DONE, B + P},
	{MREMAP, ADDR, B + P, P, P, FIX, A + 3 * P, .maps = "0+3 rw-, 3+1 rw-"},
	{MREMAP, ADDR, A + 3 * P, P, P, FIX, B + P},
	/* onto the end of itself */
	{MREMAP, ADDR, A, P, P, FIX, A + 3 * P, .maps = "1+3 rw-, 65+1 rw-"},
	/* and leaving it mapped */
	{MREMAP, ANY, A + P, P, P, KEEP, 0},
	{MREMAP, ADDR, B + P, P, P, FIX | PF_MREMAP_DONTUNMAP, B + 8 * P},
	{WRITE, PF_FAULT_DONE, B + P},
	{WRITE, PF_FAULT_DONE, B + 8 * P},
	/* locked memory: what grows is there at once; what is left behind is locked no more */
	{MUNMAP, 0, 0, TOP},
	{MMAP, ADDR, A, 2 * P, RW, FIXED | PF_MAP_LOCKED},
	{MREMAP, ADDR, A, 2 * P, 4 * P, 0, 0, .maps = "0+4 rw-l"},
	{MREMAP, ADDR, A + P, P, P, FIX | PF_MREMAP_DONTUNMAP, B, .maps = "0+4 rw-, 64+1 rw-l"},
};

/* ---- madvise ---- */

static const struct row madvise_rows[] = {
	{MADVISE, -PF_EINVAL, A, P, 5},
	{MADVISE, -PF_EINVAL, A, P, 99},
	{MADVISE, -PF_EINVAL, A, P, -1},
	{MADVISE, -PF_EINVAL, A + 1, P, PF_MADV_DONTNEED},
	{MADVISE, -PF_EINVAL, A, UINT64_MAX, PF_MADV_DONTNEED},
	{MADVISE, -PF_EINVAL, A, UINT64_C(0) - P, PF_MADV_DONTNEED},
	{MADVISE, 0, A, 0, PF_MADV_DONTNEED},
	{MADVISE, 0, A, 0, PF_MADV_COLD},
	{MADVISE, -PF_ENOMEM, A, P, PF_MADV_COLD},
	{MADVISE, -PF_ENOMEM, A, P, PF_MADV_FREE},
	{MADVISE, -PF_ENOMEM, A, P, PF_MADV_DONTNEED},
	{MMAP, ADDR, A, 4 * P, RW, FIXED},
	{MMAP, ADDR, A + 6 * P, 2 * P, PF_PROT_READ, FIXED},
	{MMAP, ADDR, A + 8 * P, 2 * P, RW, FIXED | PF_MAP_LOCKED},
	/* a hole is reported, after the rest has been done */
	{MADVISE, -PF_ENOMEM, A, 8 * P, PF_MADV_DONTFORK},
	{MADVISE, -PF_ENOMEM, A + 4 * P, 2 * P, PF_MADV_DONTFORK},
	{MADVISE, -PF_EINVAL, A, 10 * P, PF_MADV_DONTNEED},
	{MADVISE, 0, A + 8 * P, P, PF_MADV_DONTNEED_LOCKED},
	{MADVISE, -PF_EINVAL, A, P, PF_MADV_REMOVE},
	{MADVISE, 0, A, P, PF_MADV_WILLNEED},
	/* flags split and merge */
	{MADVISE, 0, A + P, P, PF_MADV_HUGEPAGE},
	{MAPS, 0, .maps = "0+1 rw-, 1+1 rw-, 2+2 rw-, 6+2 r--, 8+2 rw-l"},
	{MADVISE, 0, A, 4 * P, PF_MADV_HUGEPAGE},
	{MAPS, 0, .maps = "0+4 rw-, 6+2 r--, 8+2 rw-l"},
	{MADVISE, 0, A + P, P, PF_MADV_NOHUGEPAGE},
	{MADVISE, 0, A + 2 * P, P, PF_MADV_SEQUENTIAL},
	{MAPS, 0, .maps = "0+1 rw-, 1+1 rw-, 2+1 rw-, 3+1 rw-, 6+2 r--, 8+2 rw-l"},
	/* in advance, also where only the page of zeros is */
	{READ, PF_FAULT_DONE, A + 3 * P},
	{MADVISE, 0, A + 3 * P, P, PF_MADV_POPULATE_WRITE},
	{MADVISE, -PF_ENOMEM, A, 5 * P, PF_MADV_POPULATE_WRITE},
	{MADVISE, -PF_EINVAL, A + 6 * P, P, PF_MADV_POPULATE_WRITE},
	{MADVISE, 0, A + 6 * P, 4 * P, PF_MADV_POPULATE_READ},
	{MPROTECT, 0, A + 6 * P, P, 0},
	{MADVISE, -PF_EINVAL, A + 6 * P, P, PF_MADV_POPULATE_READ},
};

/* ---- brk ---- */

static const struct row brk_rows[] = {
	{BRK, (int64_t)A, 0},
	{BRK, (int64_t)A, A - 1},
	{BRK, (int64_t)(A + 1), A + 1, .maps = "0+1 rw-"},
	{BRK, (int64_t)(A + P), A + P, .maps = "0+1 rw-"},
	{BRK, (int64_t)(A + 3 * P + 7), A + 3 * P + 7, .maps = "0+4 rw-"},
	{WRITE, PF_FAULT_DONE, A + 3 * P},
	{BRK, (int64_t)(A + 2 * P), A + 2 * P, .maps = "0+2 rw-"},
	/* a page stays free before what comes next */
	{MMAP, ADDR, A + 5 * P, P, RW, FIXED},
	{BRK, (int64_t)(A + 2 * P), A + 5 * P},
	{BRK, (int64_t)(A + 2 * P), A + 4 * P + 1},
	{BRK, (int64_t)(A + 4 * P), A + 4 * P, .maps = "0+4 rw-, 5+1 rw-"},
	{BRK, (int64_t)(A + 4 * P), TOP},
	{BRK, (int64_t)(A + 4 * P), UINT64_MAX},
	/* the program unmapped the heap's end itself */
	{MUNMAP, 0, A + 2 * P, 2 * P},
	{BRK, (int64_t)(A + 4 * P), A + 3 * P},
	{BRK, (int64_t)(A + P), A + P, .maps = "0+1 rw-, 5+1 rw-"},
	{BRK, (int64_t)A, A, .maps = "5+1 rw-"},
};

/* ---- too many mappings ---- */

static void map_count(void **state)
{
	world_start(*state, 0);
	sys.max_map_count = 8;
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(pf_mmap(&mm, A + i * 8 * P, 5 * P, RW, FIXED), A + i * 8 * P);
	/* One more: a hole. Then none. */
	assert_int_equal(pf_munmap(&mm, A + P, P), 0);
	assert_int_equal(mm.map_count, 8);
	assert_int_equal(pf_munmap(&mm, A + 3 * P, P), -PF_ENOMEM);
	assert_int_equal(pf_mprotect(&mm, A + 2 * P, P, PF_PROT_READ), -PF_ENOMEM);
	assert_int_equal(pf_mprotect(&mm, A + 3 * P, P, PF_PROT_READ), -PF_ENOMEM);
	assert_int_equal(pf_madvise(&mm, A + 3 * P, P, PF_MADV_HUGEPAGE), -PF_EAGAIN);
	assert_int_equal(pf_mmap(&mm, A + 11 * P, P, 0, FIXED), -PF_ENOMEM);
	assert_int_equal(pf_mremap(&mm, A + 8 * P, P, P, FIX, A + 1000 * P), -PF_ENOMEM);
	assert_int_equal(pf_mremap(&mm, A + 8 * P, 5 * P, 9 * P, MAY, 0), -PF_ENOMEM);
	world_check("at the limit");
	assert_int_equal(mm.map_count, 8);
	/* What needs no VMA more is possible: ends, whole VMAs, borders that move. */
	assert_int_equal(pf_munmap(&mm, A + 8 * P, P), 0);
	assert_int_equal(pf_mprotect(&mm, A + 16 * P, 5 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_mmap(&mm, A + 21 * P, P, RW, FIXED), A + 21 * P);
	assert_int_equal(pf_mprotect(&mm, A + 20 * P, P, RW), 0);
	assert_int_equal(mm.map_count, 9);
	assert_int_equal(pf_mmap(&mm, A + 2000 * P, P, RW, FIXED), -PF_ENOMEM);
	world_check("over the limit by one, as Linux allows");
	world_stop();
}

/* ---- tables ---- */

/* A table goes with the last VMA in its reach, whether that has pages or not. */
static void tables_go(void **state)
{
	uint64_t gone;

	world_start(*state, 0);
	assert_int_equal(pf_mmap(&mm, A + 4 * P, 4 * P, RW, FIXED), A + 4 * P);
	assert_int_equal(pf_mmap(&mm, A + 8 * P, 4 * P, PF_PROT_READ, FIXED), A + 8 * P);
	assert_int_equal(fault(A + 5 * P, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	gone = mm.space.pt.stats.table_free;
	assert_int_equal(pf_munmap(&mm, A + 4 * P, 4 * P), 0);
	assert_int_equal(mm.space.pt.stats.table_free, gone);
	assert_int_equal(pf_mmap(&mm, A + 12 * P, 4 * P, RW, FIXED), A + 12 * P);
	assert_int_equal(fault(A + 12 * P, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	assert_int_equal(pf_munmap(&mm, A + 12 * P, 4 * P), 0);
	assert_int_equal(mm.space.pt.stats.table_free, gone);
	/* The last: all but the root. */
	assert_int_equal(pf_munmap(&mm, A + 8 * P, 4 * P), 0);
	assert_int_equal(mm.space.pt.stats.table_free - gone, mm.space.pt.fmt->levels - 1);
	world_check("tables");
	world_stop();
}

/* ---- fork ---- */

/* Flushes since the last question: each is ordered before its first operation, and waited for once. */
static uint64_t flushes(void)
{
	static struct machine_counters then;
	uint64_t n = machine_counters.dsb - then.dsb;

	assert_true(!n == (machine_counters.tlbi == then.tlbi));
	then = machine_counters;
	return n / 2;
}

static void fork_vmas(void **state)
{
	struct pf_mm *child = calloc(1, sizeof(*child));
	struct pf_page_info info;
	struct pf_vma_info v;

	world_start(*state, 0);
	world_note(A, 16);
	assert_int_equal(pf_mmap(&mm, A, 2 * P, RW, FIXED | PF_MAP_LOCKED), A);
	assert_int_equal(pf_mmap(&mm, A + 4 * P, 2 * P, RW, FIXED | PF_MAP_POPULATE), A + 4 * P);
	assert_int_equal(pf_mmap(&mm, A + 8 * P, 2 * P, RW, FIXED | PF_MAP_POPULATE), A + 8 * P);
	assert_int_equal(pf_madvise(&mm, A + 4 * P, P, PF_MADV_DONTFORK), 0);
	assert_int_equal(pf_madvise(&mm, A + 8 * P, 2 * P, PF_MADV_WIPEONFORK), 0);
	pf_set_brk_start(&mm, A + 64 * P);
	assert_int_equal(pf_brk(&mm, A + 65 * P), A + 65 * P);
	flushes();
	assert_int_equal(pf_fork(child, &mm, 2), 0);
	/* One flush, of the parent's whole ASID. */
	assert_int_equal(flushes(), 1);
	assert_int_equal(pf_space_stats(&mm.space).flush_mm, 1);
	world_check("parent");
	assert_null(pf_mm_check(child));
	assert_int_equal(child->map_count, 4);
	assert_int_equal(child->total_vm, 6);
	assert_true(child->brk == mm.brk && child->start_brk == mm.start_brk);
	assert_true(child->space.mm_id && child->space.mm_id != mm.space.mm_id);
	assert_true(pf_find_vma_info(child, A, &v));
	assert_false(v.area.flags & PF_VM_LOCKED);
	assert_true(pf_find_vma_info(child, A + 4 * P, &v) && v.area.start == A + 5 * P);
	/* Shared, and read-only on both sides; wiped; not there. */
	pf_page_info(child, A + 5 * P, &info);
	assert_true(pf_pte_present(info.pte) && !pf_pte_write(info.pte) && !info.exclusive);
	pf_page_info(&mm, A + 5 * P, &info);
	assert_true(pf_pte_present(info.pte) && !pf_pte_write(info.pte) && !info.exclusive);
	pf_page_info(&mm, A + 8 * P, &info);
	assert_true(pf_pte_write(info.pte) && info.exclusive);
	pf_page_info(child, A + 8 * P, &info);
	assert_true(pf_pte_none(info.pte));
	/* A VMA with a family that came by fork takes no neighbour without one, but grows itself. */
	assert_int_equal(pf_mmap(child, A + 6 * P, P, RW, FIXED), A + 6 * P);
	assert_true(pf_find_vma_info(child, A + 5 * P, &v) && v.area.end == A + 6 * P);
	assert_int_equal(pf_munmap(child, A + 6 * P, P), 0);
	assert_int_equal(pf_mremap(child, A + 5 * P, P, 2 * P, 0, 0), A + 5 * P);
	assert_true(pf_find_vma_info(child, A + 5 * P, &v) && v.area.end == A + 7 * P);
	assert_null(pf_mm_check(child));
	pf_mm_exit(child);
	machine_retire_asid(2);
	/* Alone again: the parent writes what it has. */
	assert_int_equal(fault(A + 5 * P, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
	assert_int_equal(pf_space_stats(&mm.space).cow, 0);
	/* Nothing to share, nothing to flush. */
	assert_int_equal(pf_munmap(&mm, 0, sys.task_size), 0);
	flushes();
	assert_int_equal(pf_fork(child, &mm, 2), 0);
	assert_int_equal(flushes(), 0);
	pf_mm_exit(child);
	machine_retire_asid(2);
	free(child);
	world_stop();
}

/* Numbers of mms are unique among the living, also when all have been given out once. */
static void mm_ids(void **state)
{
	static struct pf_mm others[40];
	uint16_t first;

	world_start(*state, 0);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(pf_mm_init(&others[i], &sys, (uint16_t)(10 + i)), 0);
	first = others[20].space.mm_id;
	sys.next_mm_id = (uint16_t)(others[0].space.mm_id);
	pf_mm_exit(&others[20]);
	assert_int_equal(pf_mm_init(&others[20], &sys, 30), 0);
	assert_int_equal(others[20].space.mm_id, first);
	sys.next_mm_id = UINT16_MAX;
	for (unsigned i = 0; i < 40; i += 2) {
		pf_mm_exit(&others[i]);
		assert_int_equal(pf_mm_init(&others[i], &sys, (uint16_t)(10 + i)), 0);
	}
	for (unsigned i = 0; i < 40; i++) {
		assert_true(others[i].space.mm_id && others[i].space.mm_id != mm.space.mm_id);
		for (unsigned j = 0; j < i; j++)
			assert_true(others[i].space.mm_id != others[j].space.mm_id);
	}
	for (unsigned i = 0; i < 40; i++)
		pf_mm_exit(&others[i]);
	world_stop();
}

/* ---- which folios ---- */

static void thp(void **state)
{
	struct pf_page_info info;
	const struct {
		enum pf_thp_mode enabled, order4;
		int advice;
		unsigned order;
	} want[] = {
		{PF_THP_ALWAYS, PF_THP_NEVER, 0, 0},
		{PF_THP_NEVER, PF_THP_ALWAYS, 0, 4},
		{PF_THP_NEVER, PF_THP_ALWAYS, PF_MADV_NOHUGEPAGE, 0},
		{PF_THP_NEVER, PF_THP_MADVISE, 0, 0},
		{PF_THP_NEVER, PF_THP_MADVISE, PF_MADV_HUGEPAGE, 4},
		{PF_THP_NEVER, PF_THP_INHERIT, PF_MADV_HUGEPAGE, 0},
		{PF_THP_MADVISE, PF_THP_INHERIT, 0, 0},
		{PF_THP_MADVISE, PF_THP_INHERIT, PF_MADV_HUGEPAGE, 4},
		{PF_THP_ALWAYS, PF_THP_INHERIT, 0, 4},
		{PF_THP_ALWAYS, PF_THP_INHERIT, PF_MADV_NOHUGEPAGE, 0},
	};

	for (unsigned i = 0; i < PF_ARRAY_SIZE(want); i++) {
		world_start(*state, 0);
		sys.thp = (struct pf_thp){.enabled = want[i].enabled};
		sys.thp.order[4] = want[i].order4;
		assert_int_equal(pf_mmap(&mm, A, 32 * P, RW, FIXED), A);
		assert_int_equal(pf_madvise(&mm, A, 32 * P, want[i].advice), 0);
		assert_int_equal(fault(A + 5 * P, PF_FAULT_FLAG_WRITE), PF_FAULT_DONE);
		pf_page_info(&mm, A + 5 * P, &info);
		assert_int_equal(info.order, want[i].order);
		world_check("thp");
		world_stop();
	}
	/* A stack's VMA has none. */
	world_start(*state, 0);
	world_note(A, 32);
	assert_int_equal(pf_mmap(&mm, A, 32 * P, RW, FIXED | PF_MAP_STACK | PF_MAP_POPULATE), A);
	pf_page_info(&mm, A + 5 * P, &info);
	assert_true(pf_pte_present(info.pte) && !info.order);
	world_stop();
}

/* What is populated for writing is written without a fault; so is locked memory. */
static void populate(void **state)
{
	struct pf_page_info info;

	world_start(*state, 0);
	assert_int_equal(pf_mmap(&mm, A, 4 * P, RW, FIXED), A);
	assert_int_equal(fault(A + P, 0), PF_FAULT_DONE);
	pf_page_info(&mm, A + P, &info);
	assert_true(pf_pte_special(info.pte));
	world_note(A, 4);
	assert_int_equal(pf_madvise(&mm, A, 4 * P, PF_MADV_POPULATE_WRITE), 0);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 4);
	assert_int_equal(pf_space_stats(&mm.space).cow, 1);
	for (unsigned i = 0; i < 4; i++) {
		pf_page_info(&mm, A + i * P, &info);
		assert_true(pf_pte_write(info.pte));
	}
	/* Read-only and locked: the page of zeros; and pages, when it becomes writable. */
	assert_int_equal(pf_mmap(&mm, B, 4 * P, PF_PROT_READ, FIXED | PF_MAP_LOCKED), B);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 4);
	pf_page_info(&mm, B, &info);
	assert_true(pf_pte_special(info.pte));
	world_note(B, 4);
	assert_int_equal(pf_mprotect(&mm, B, 4 * P, RW), 0);
	assert_int_equal(pf_rss(&mm.space, PF_RSS_ANON), 8);
	world_check("populate");
	world_stop();
}

/* A call flushes once. */
static void one_flush_a_call(void **state)
{
	struct pf_page_info info;

	world_start(*state, 0);
	world_note(A, 64);
	assert_int_equal(pf_mmap(&mm, A, 64 * P, RW, FIXED | PF_MAP_POPULATE), A);
	assert_int_equal(pf_mprotect(&mm, A + 16 * P, 16 * P, PF_PROT_READ), 0);
	assert_int_equal(pf_munmap(&mm, A + 40 * P, 4 * P), 0);
	flushes();
	assert_int_equal(pf_mprotect(&mm, A, 40 * P, 0), 0);
	assert_int_equal(flushes(), 1);
	/* mprotect back makes exclusive pages writable, with no fault to come. */
	assert_int_equal(pf_mprotect(&mm, A, 40 * P, RW), 0);
	pf_page_info(&mm, A + 20 * P, &info);
	assert_true(pf_pte_write(info.pte));
	assert_int_equal(flushes(), 0);
	/* Not for what becomes accessible, nor for what was not there. */
	assert_int_equal(pf_mmap(&mm, A + 100 * P, 4 * P, RW, FIXED), A + 100 * P);
	assert_int_equal(pf_munmap(&mm, A + 100 * P, 4 * P), 0);
	assert_int_equal(pf_madvise(&mm, A + 40 * P, 4 * P, PF_MADV_DONTNEED), -PF_ENOMEM);
	assert_int_equal(flushes(), 0);
	world_check("flushes");
	world_stop();
}

static void tables(void **state)
{
	PLAY(mmap_errors);
	PLAY(mmap_places);
	PLAY(merging);
	PLAY(munmap_rows);
	PLAY(mprotect_rows);
	PLAY(mremap_errors);
	PLAY(mremap_moves);
	PLAY(madvise_rows);
	world_start(*state, 0);
	pf_set_brk_start(&mm, A);
	play("brk_rows", brk_rows, PF_ARRAY_SIZE(brk_rows));
	world_stop();
}

int main(void)
{
	int failed = 0;

	for (unsigned i = 0; pf_formats[i]; i++) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_prestate(tables, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(placement, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(map_count, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(tables_go, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(fork_vmas, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(mm_ids, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(thp, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(populate, (void *)pf_formats[i]),
			cmocka_unit_test_prestate(one_flush_a_call, (void *)pf_formats[i]),
		};

		failed += cmocka_run_group_tests_name(pf_formats[i]->pt->name, tests, NULL, NULL);
	}
	return failed;
}
