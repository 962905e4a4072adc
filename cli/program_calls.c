// SPDX-License-Identifier: MIT
/* The calls of random programs: how each is drawn, and how its arguments are written. */
#include "cli/program.h"
#include "mm/proc.h"

static uint64_t draw(struct program_drawing *d, uint64_t n)
{
	return source_draw(&d->src, n);
}

#define BRK_PAGES 24

uint64_t program_address(struct program_drawing *d)
{
	const struct program *g = d->g;

	if (g->huge && !draw(d, 4))
		return g->base + g->huge + draw(d, 8) * d->page;
	switch (draw(d, 64)) {
	case 0: /* the last pages that there are */
		return g->top - d->page * draw(d, 4);
	case 1:
		return -d->page * (1 + draw(d, 3));
	case 2:
		return draw(d, 2) * d->page;
	case 3:
		return g->base + draw(d, g->pages * d->page);
	case 4:
	case 5:
		return g->brk_start + draw(d, BRK_PAGES) * d->page;
	case 6 ... 20: /* blocks are where it is decided */
		return ((g->base + draw(d, g->pages) * d->page) & -d->block);
	default:
		return g->base + draw(d, g->pages) * d->page;
	}
}

/* Blocks, pages, and everything around; now and then what no range has. */
uint64_t program_length(struct program_drawing *d)
{
	switch (draw(d, 32)) {
	case 0:
		return draw(d, 3) ? draw(d, 3 * d->page) : UINT64_C(0) - draw(d, 2 * d->page);
	case 1:
		return (1 + draw(d, d->g->pages)) * d->page;
	case 2 ... 10:
		return (1 + draw(d, 2)) * d->block;
	case 11 ... 18:
		return (1 + draw(d, 3)) * d->page;
	default:
		return (1 + draw(d, 24)) * d->page;
	}
}

static uint64_t a_protection(struct program_drawing *d)
{
	static const uint64_t prot[] = {3, 3, 3, 3, 3, 1, 1, 1, 0, 0, 7, 5, 2, 4};

	return draw(d, 40) ? prot[draw(d, PF_ARRAY_SIZE(prot))] : UINT64_C(1) << draw(d, 6);
}

static bool inside(const struct program *g, uint64_t va, uint64_t len, uint64_t page)
{
	return va >= g->base && len && len <= g->pages * page &&
	       va + len <= g->base + g->pages * page;
}

/* ---- calls ---- */

static bool draw_range(struct program_drawing *d, struct op *op)
{
	op->a[0] = program_address(d);
	op->a[1] = program_length(d);
	return true;
}

static bool draw_access(struct program_drawing *d, struct op *op)
{
	draw_range(d, op);
	/* A range of accesses may not be empty, wrap, or take for ever. */
	if (!op->a[1] || op->a[1] > d->g->pages * d->page || op->a[0] + (op->a[1] - 1) < op->a[0])
		op->a[1] = 1;
	if (op->a[0] - d->g->base >= d->g->pages * d->page)
		op->a[1] = 1;
	return true;
}

static bool draw_mprotect(struct program_drawing *d, struct op *op)
{
	draw_range(d, op);
	op->a[2] = a_protection(d);
	return true;
}

/* Of one of the two, or both, and now and then of a little less. */
static bool draw_collapse(struct program_drawing *d, struct op *op)
{
	op->a[0] = d->g->base + (draw(d, 3) ? d->g->huge : 0);
	op->a[1] = (draw(d, 6) ? 1 : 2) * d->g->huge;
	op->a[2] = PF_MADV_COLLAPSE;
	if (!draw(d, 8))
		op->a[0] += d->page;
	if (!draw(d, 8))
		op->a[1] -= d->page;
	return true;
}

static bool draw_madvise(struct program_drawing *d, struct op *op)
{
	static const uint64_t advice[] = {PF_MADV_DONTNEED, PF_MADV_DONTNEED, PF_MADV_DONTNEED,
		PF_MADV_DONTNEED, PF_MADV_HUGEPAGE, PF_MADV_NOHUGEPAGE, PF_MADV_DONTFORK,
		PF_MADV_DOFORK, PF_MADV_WIPEONFORK, PF_MADV_KEEPONFORK, PF_MADV_POPULATE_READ,
		PF_MADV_POPULATE_WRITE, PF_MADV_POPULATE_WRITE, PF_MADV_NORMAL, PF_MADV_RANDOM,
		PF_MADV_SEQUENTIAL, PF_MADV_WILLNEED, PF_MADV_DONTDUMP, PF_MADV_DODUMP,
		PF_MADV_REMOVE, PF_MADV_DONTNEED_LOCKED, PF_MADV_GUARD_INSTALL,
		PF_MADV_GUARD_REMOVE, PF_MADV_GUARD_REMOVE, PF_MADV_PAGEOUT, PF_MADV_PAGEOUT,
		PF_MADV_PAGEOUT, PF_MADV_PAGEOUT, PF_MADV_COLD, 7, 77};
	static const uint64_t wide[] = {PF_MADV_COLLAPSE, PF_MADV_HWPOISON, PF_MADV_SOFT_OFFLINE,
		PF_MADV_MERGEABLE, PF_MADV_MERGEABLE, PF_MADV_UNMERGEABLE};

	draw_range(d, op);
	op->a[2] = advice[draw(d, PF_ARRAY_SIZE(advice))];
	if (d->g->huge && draw(d, 2))
		return draw_collapse(d, op);
	if (d->g->frees && op->a[2] == PF_MADV_PAGEOUT)
		op->a[2] = PF_MADV_FREE;
	if (d->g->wide && !draw(d, 6))
		op->a[2] = wide[draw(d, PF_ARRAY_SIZE(wide) - (d->g->ksm ? 0 : 3))];
	return true;
}

/* On fault: what is faulted in at once, wherever mremap puts it, would have to be told to the judge beforehand. */
static bool draw_mlock2(struct program_drawing *d, struct op *op)
{
	draw_range(d, op);
	op->a[2] = draw(d, 20) ? PF_MLOCK_ONFAULT : 2;
	if (d->g->locks && draw(d, 2))
		op->a[2] = 0;
	return true;
}

static bool draw_msync(struct program_drawing *d, struct op *op)
{
	draw_range(d, op);
	op->a[2] = draw(d, 9);
	return true;
}

static bool draw_pkey_mprotect(struct program_drawing *d, struct op *op)
{
	draw_range(d, op);
	op->a[2] = a_protection(d);
	/* As the host has no key to give. */
	op->a[3] = draw(d, 4) ? UINT64_MAX : 1;
	return true;
}

/* What is sealed stays: in few programs, and not much of it. */
static bool draw_mseal(struct program_drawing *d, struct op *op)
{
	draw_range(d, op);
	if (draw(d, 4) && op->a[1] < d->g->pages * d->page)
		op->a[1] = d->page;
	op->a[2] = !draw(d, 20);
	return d->g->seals && !draw(d, 3);
}

static bool draw_mlock(struct program_drawing *d, struct op *op)
{
	return d->g->locks && draw_range(d, op);
}

/* Not often: what is locked from then on stays so for long. */
static bool draw_mlockall(struct program_drawing *d, struct op *op)
{
	static const uint64_t how[] = {0, PF_MCL_CURRENT, PF_MCL_CURRENT, PF_MCL_FUTURE,
		PF_MCL_CURRENT | PF_MCL_FUTURE, PF_MCL_CURRENT | PF_MCL_ONFAULT,
		PF_MCL_FUTURE | PF_MCL_ONFAULT, PF_MCL_ONFAULT, 8};

	op->a[0] = how[draw(d, PF_ARRAY_SIZE(how))];
	return d->g->locks && !draw(d, 3);
}

static bool draw_munlockall(struct program_drawing *d, struct op *op)
{
	(void)op;
	return d->g->locks && !draw(d, 2);
}

/* What is mapped: memory of one's own; where the program has it, shared memory and files, a part of which lies behind their ends. */
static void draw_backing(struct program_drawing *d, struct op *op)
{
	const struct program *g = d->g;

	op->a[3] |= g->shares && !draw(d, 2) ? PF_MAP_SHARED : PF_MAP_PRIVATE;
	if (g->shares && !draw(d, 24))
		op->a[3] |= PF_MAP_SHARED_VALIDATE;
	op->a[4] = UINT64_MAX;
	if (!g->nfiles || draw(d, 2)) {
		op->a[3] |= PF_MAP_ANONYMOUS;
		return;
	}
	op->a[4] = RUN_FIRST_FD + draw(d, g->nfiles);
	op->a[5] = draw(d, 3) ? draw(d, g->file_size / d->page) * d->page : 0;
	if (!draw(d, 40))
		op->a[5] = draw(d, 2) ? draw(d, d->page) : -d->page * (1 + draw(d, 4));
}

static bool draw_mmap(struct program_drawing *d, struct op *op)
{
	static const uint64_t how[] = {
		PF_MAP_FIXED, PF_MAP_FIXED, PF_MAP_FIXED, PF_MAP_FIXED_NOREPLACE, 0};

	draw_range(d, op);
	op->a[2] = a_protection(d) & (d->g->wide ? 15 : 7);
	op->a[3] = how[draw(d, PF_ARRAY_SIZE(how))] | (draw(d, 8) ? 0 : PF_MAP_NORESERVE) |
		   (draw(d, 10) ? 0 : PF_MAP_POPULATE);
	draw_backing(d, op);
	if (!draw(d, 24))
		op->a[3] |= draw(d, 2) ? PF_MAP_STACK : PF_MAP_NONBLOCK;
	if (d->g->locks && !draw(d, 10))
		op->a[3] |= PF_MAP_LOCKED;
	/* The judge is told of the stores of a populate beforehand, so the address is known beforehand. */
	if (!(op->a[3] & (PF_MAP_FIXED | PF_MAP_FIXED_NOREPLACE)))
		op->a[3] &= ~(uint64_t)PF_MAP_POPULATE;
	/* Mappings stay where the accesses are, but for those that cannot be. */
	if (!inside(d->g, op->a[0], op->a[1], d->page) && op->a[0] < -4 * d->page && draw(d, 8)) {
		op->a[0] = d->g->base + draw(d, d->g->pages - 1) * d->page;
		op->a[1] =
			(1 + draw(d, pf_min(d->g->pages - (op->a[0] - d->g->base) / d->page, 48))) *
			d->page;
	} else if (op->a[1] > d->g->pages * d->page) {
		op->a[3] &= ~(uint64_t)PF_MAP_POPULATE;
	}
	return true;
}

static bool draw_mremap(struct program_drawing *d, struct op *op)
{
	static const uint64_t how[] = {0, PF_MREMAP_MAYMOVE, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
		PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED, PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
		PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED,
		PF_MREMAP_MAYMOVE | PF_MREMAP_FIXED | PF_MREMAP_DONTUNMAP,
		PF_MREMAP_MAYMOVE | PF_MREMAP_DONTUNMAP, PF_MREMAP_FIXED, 8};

	draw_range(d, op);
	op->a[2] = draw(d, 4) ? op->a[1] : program_length(d);
	op->a[3] = how[draw(d, PF_ARRAY_SIZE(how))];
	op->a[4] = program_address(d);
	/* To the same place within a block, too. */
	if (draw(d, 2))
		op->a[4] = (op->a[4] & -d->block) | (op->a[0] & (d->block - 1));
	/* A hint below what may be mapped is not the same everywhere: x86-64 refuses it, arm64 looks elsewhere. */
	if (!(op->a[3] & PF_MREMAP_FIXED) && op->a[4] < UINT64_C(1) << 16)
		op->a[4] = 0;
	if (op->a[3] & PF_MREMAP_FIXED && !inside(d->g, op->a[4], op->a[2], d->page) && draw(d, 8))
		op->a[4] = d->g->base + draw(d, d->g->pages / 2) * d->page;
	return true;
}

static bool draw_brk(struct program_drawing *d, struct op *op)
{
	op->a[0] = d->g->brk_start + draw(d, (BRK_PAGES + 2) * d->page);
	return true;
}

static bool draw_fork(struct program_drawing *d, struct op *op)
{
	for (unsigned pid = 1; pid <= PROGRAM_MAX_PID; pid++) {
		if (d->alive[pid])
			continue;
		op->child = pid;
		d->alive[pid] = true;
		d->uffds[pid] = d->uffds[op->pid];
		d->cpu[pid] = (pid - 1) % PROGRAM_CPUS;
		return true;
	}
	return false;
}

static bool draw_exit(struct program_drawing *d, struct op *op)
{
	unsigned others = 0;

	for (unsigned pid = 1; pid <= PROGRAM_MAX_PID; pid++)
		others += d->alive[pid] && pid != op->pid;
	if (!others)
		return false;
	d->alive[op->pid] = false;
	d->uffds[op->pid] = 0;
	while (!d->alive[d->pid])
		d->pid = d->pid % PROGRAM_MAX_PID + 1;
	return true;
}

/* ---- calls on other processes ---- */

/* Somebody who lives; now and then nobody. */
static uint64_t a_process(struct program_drawing *d, const struct op *op)
{
	unsigned pid = 1 + (unsigned)draw(d, PROGRAM_MAX_PID);

	return d->alive[pid] ? pid : op->pid;
}

/*
 * Pages, so that both sides of a transfer begin at the same byte of a page throughout: `skew` bytes into the first, and
 * the last not to its end. Other bytes than first words nobody looks at.
 */
static uint64_t draw_parts(struct program_drawing *d, struct oracle_part *part, uint64_t skew)
{
	unsigned nr = draw(d, 32) ? 1 + (unsigned)draw(d, draw(d, 2) ? 2 : PROGRAM_PARTS) : 0;
	bool first = true;

	for (unsigned i = 0; i < nr; i++) {
		part[i].base = program_address(d) & -d->page;
		part[i].len = (1 + draw(d, draw(d, 8) ? 4 : 20)) * d->page;
		/* An empty one, and one as long as no mapping is. */
		if (!draw(d, 16))
			part[i].len = 0;
		else if (i + 1 == nr && !draw(d, 24))
			part[i].len = program_length(d) & -d->page;
		if (first && part[i].len) {
			part[i].base += skew;
			part[i].len -= skew;
			first = false;
		}
		if (i + 1 == nr && part[i].len && part[i].len <= d->page && !draw(d, 4))
			part[i].len = 8 + 8 * draw(d, part[i].len / 8);
		if (i + 1 == nr && !draw(d, 30))
			part[i].base = program_address(d);
	}
	return nr;
}

static bool overlap(const struct op *op)
{
	for (unsigned i = 0; i < op->a[2]; i++)
		for (unsigned k = 0; k < op->a[4]; k++)
			if (op->part[0][i].base < op->part[1][k].base + op->part[1][k].len &&
				op->part[1][k].base < op->part[0][i].base + op->part[0][i].len)
				return true;
	return false;
}

static bool draw_process_vm(struct program_drawing *d, struct op *op)
{
	uint64_t skew = draw(d, 5) ? 0 : 8 * draw(d, d->page / 8 - 8);

	op->a[0] = draw(d, 40) ? a_process(d, op) : PROGRAM_NOBODY;
	op->a[2] = draw_parts(d, op->part[0], skew);
	op->a[3] = 1;
	op->a[4] = draw_parts(d, op->part[1], skew);
	op->a[5] = !draw(d, 60);
	/* Whether a page that is read is replaced by a write before it is, the model often cannot know. */
	return op->a[0] != op->pid || !overlap(op) || !draw(d, 32);
}

static bool draw_process_madvise(struct program_drawing *d, struct op *op)
{
	static const uint64_t others[] = {PF_MADV_COLD, PF_MADV_WILLNEED, PF_MADV_PAGEOUT};
	struct op one = {.pid = op->pid};

	/* Of oneself, all that madvise knows; what comes with its range is not asked for. */
	draw_madvise(d, &one);
	op->a[0] = a_process(d, op);
	op->a[2] = draw_parts(d, op->part[0], 0);
	op->a[3] = one.a[2];
	if (d->g->huge && one.a[2] == PF_MADV_COLLAPSE) {
		op->a[2] = 1 + draw(d, 2);
		op->part[0][0] = (struct oracle_part){one.a[0], one.a[1]};
		draw_collapse(d, &one);
		op->part[0][1] = (struct oracle_part){one.a[0], one.a[1]};
	} else if (op->a[0] != op->pid && draw(d, 4))
		op->a[3] = others[draw(d, PF_ARRAY_SIZE(others) - d->g->frees)];
	op->a[4] = !draw(d, 60);
	return op->a[0] == op->pid || d->g->others;
}

bool program_has_parts(enum sc_call_id id)
{
	return id == SC_PROCESS_MADVISE || id == SC_PROCESS_VM_READV || id == SC_PROCESS_VM_WRITEV;
}

/* ---- what pages are ---- */

static uint64_t categories(struct program_drawing *d, unsigned most)
{
	static const uint64_t is[] = {PF_PAGE_IS_WPALLOWED, PF_PAGE_IS_WRITTEN, PF_PAGE_IS_FILE,
		PF_PAGE_IS_PRESENT, PF_PAGE_IS_PRESENT, PF_PAGE_IS_SWAPPED, PF_PAGE_IS_PFNZERO,
		PF_PAGE_IS_HUGE, PF_PAGE_IS_GUARD};
	uint64_t c = 0;

	for (uint64_t n = draw(d, most + 1); n; n--)
		c |= is[draw(d, PF_ARRAY_SIZE(is))];
	return c;
}

static bool draw_scan(struct program_drawing *d, struct op *op)
{
	static const uint64_t room[] = {0, 1, 1, 2, 3, PROGRAM_REGIONS, PROGRAM_REGIONS};

	draw_range(d, op);
	if (!draw(d, 3)) {
		op->a[0] = d->g->base;
		op->a[1] = d->g->pages * d->page;
	}
	if (!draw(d, 12))
		op->a[2] = 1 + draw(d, 4); /* 4 is none */
	op->a[3] = room[draw(d, PF_ARRAY_SIZE(room))];
	op->a[4] = draw(d, 2) ? 0 : 1 + draw(d, 12);
	op->a[5] = draw(d, 3) ? 0 : categories(d, 2);
	op->a[6] = categories(d, 1);
	op->a[7] = draw(d, 2) ? 0 : categories(d, 3);
	op->a[8] = categories(d, 6);
	/* Of what is there alone it is asked whether it was written. */
	if (draw(d, 2)) {
		const uint64_t there = draw(d, 3) ? PF_PAGE_IS_PRESENT : PF_PAGE_IS_SWAPPED;

		op->a[5] &= ~there;
		op->a[6] |= there;
		op->a[5 + draw(d, 4)] |= PF_PAGE_IS_WRITTEN;
	}
	if (!draw(d, 40))
		op->a[5 + draw(d, 4)] |= PF_BIT(9);
	return true;
}

static bool draw_clear_refs(struct program_drawing *d, struct op *op)
{
	op->a[0] = draw(d, 7);
	return true;
}

/* ---- the table ---- */

static const struct program_arg hex = {PROGRAM_ARG_HEX, NULL, NULL};
static const struct program_arg fd = {PROGRAM_ARG_FD, NULL, NULL};

static const struct program_arg pid = {PROGRAM_ARG_PID, NULL, NULL};
static const struct program_arg pidfd = {PROGRAM_ARG_PIDFD, NULL, NULL};
static const struct program_arg parts = {PROGRAM_ARG_PARTS, NULL, NULL};
/* Numbers that are no addresses. */
static const struct program_arg number = {PROGRAM_ARG_NUMBER, NULL, NULL};

static const char *const prot_names[] = {"PROT_READ", "PROT_WRITE", "PROT_EXEC", "PROT_SEM", NULL};
static const struct program_arg prot = {PROGRAM_ARG_FLAGS, prot_names, "PROT_NONE"};

static const char *const map_names[] = {"MAP_SHARED_VALIDATE", "MAP_SHARED", "MAP_PRIVATE",
	"MAP_ANONYMOUS", "MAP_FIXED_NOREPLACE", "MAP_FIXED", "MAP_NORESERVE", "MAP_POPULATE",
	"MAP_STACK", "MAP_NONBLOCK", "MAP_LOCKED", NULL};
static const struct program_arg map = {PROGRAM_ARG_FLAGS, map_names, "0"};

static const char *const remap_names[] = {
	"MREMAP_MAYMOVE", "MREMAP_FIXED", "MREMAP_DONTUNMAP", NULL};
static const struct program_arg remap = {PROGRAM_ARG_FLAGS, remap_names, "0"};

static const char *const advice_names[] = {"MADV_RANDOM", "MADV_SEQUENTIAL", "MADV_WILLNEED",
	"MADV_DONTNEED", "MADV_FREE", "MADV_REMOVE", "MADV_DONTFORK", "MADV_DOFORK",
	"MADV_MERGEABLE", "MADV_UNMERGEABLE", "MADV_HUGEPAGE", "MADV_NOHUGEPAGE", "MADV_DONTDUMP",
	"MADV_DODUMP", "MADV_WIPEONFORK", "MADV_KEEPONFORK", "MADV_COLD", "MADV_PAGEOUT",
	"MADV_POPULATE_READ", "MADV_POPULATE_WRITE", "MADV_DONTNEED_LOCKED", "MADV_COLLAPSE",
	"MADV_HWPOISON", "MADV_SOFT_OFFLINE", "MADV_GUARD_INSTALL", "MADV_GUARD_REMOVE", NULL};
static const struct program_arg advice = {PROGRAM_ARG_ONE, advice_names, "MADV_NORMAL"};

static const char *const sync_names[] = {"MS_ASYNC", "MS_INVALIDATE", "MS_SYNC", NULL};
static const struct program_arg sync = {PROGRAM_ARG_FLAGS, sync_names, "0"};

static const char *const lock_all_names[] = {"MCL_CURRENT", "MCL_FUTURE", "MCL_ONFAULT", NULL};
static const struct program_arg lock_all = {PROGRAM_ARG_FLAGS, lock_all_names, "0"};

static const char *const lock_names[] = {"MLOCK_ONFAULT", NULL};
static const struct program_arg lock = {PROGRAM_ARG_FLAGS, lock_names, "0"};

static const char *const scan_names[] = {"PM_SCAN_WP_MATCHING", "PM_SCAN_CHECK_WPASYNC", NULL};
static const struct program_arg scan = {PROGRAM_ARG_FLAGS, scan_names, "0"};

static const char *const category_names[] = {"PAGE_IS_WPALLOWED", "PAGE_IS_WRITTEN", "PAGE_IS_FILE",
	"PAGE_IS_PRESENT", "PAGE_IS_SWAPPED", "PAGE_IS_PFNZERO", "PAGE_IS_HUGE",
	"PAGE_IS_SOFT_DIRTY", "PAGE_IS_GUARD", NULL};
static const struct program_arg category = {PROGRAM_ARG_FLAGS, category_names, "0"};

static const struct program_arg uffd = {PROGRAM_ARG_UFFD, NULL, NULL};

static const char *const uffd_names[] = {"UFFD_USER_MODE_ONLY", "O_NONBLOCK", "O_CLOEXEC", NULL};
static const struct program_arg uffd_flags = {PROGRAM_ARG_FLAGS, uffd_names, "0"};

static const char *const feature_names[] = {"UFFD_FEATURE_PAGEFAULT_FLAG_WP",
	"UFFD_FEATURE_MISSING_HUGETLBFS", "UFFD_FEATURE_MISSING_SHMEM", "UFFD_FEATURE_SIGBUS",
	"UFFD_FEATURE_THREAD_ID", "UFFD_FEATURE_MINOR_HUGETLBFS", "UFFD_FEATURE_MINOR_SHMEM",
	"UFFD_FEATURE_EXACT_ADDRESS", "UFFD_FEATURE_WP_HUGETLBFS_SHMEM",
	"UFFD_FEATURE_WP_UNPOPULATED", "UFFD_FEATURE_POISON", "UFFD_FEATURE_WP_ASYNC",
	"UFFD_FEATURE_MOVE", NULL};
static const struct program_arg features = {PROGRAM_ARG_FLAGS, feature_names, "0"};

static const char *const register_names[] = {"UFFDIO_REGISTER_MODE_MISSING",
	"UFFDIO_REGISTER_MODE_WP", "UFFDIO_REGISTER_MODE_MINOR", NULL};
static const struct program_arg registers = {PROGRAM_ARG_FLAGS, register_names, "0"};

static const char *const copy_names[] = {"UFFDIO_COPY_MODE_DONTWAKE", "UFFDIO_COPY_MODE_WP", NULL};
static const struct program_arg copies = {PROGRAM_ARG_FLAGS, copy_names, "0"};

static const char *const zero_names[] = {"UFFDIO_ZEROPAGE_MODE_DONTWAKE", NULL};
static const struct program_arg zeroes = {PROGRAM_ARG_FLAGS, zero_names, "0"};

static const char *const move_names[] = {
	"UFFDIO_MOVE_MODE_DONTWAKE", "UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES", NULL};
static const struct program_arg moves = {PROGRAM_ARG_FLAGS, move_names, "0"};

static const char *const protect_names[] = {
	"UFFDIO_WRITEPROTECT_MODE_WP", "UFFDIO_WRITEPROTECT_MODE_DONTWAKE", NULL};
static const struct program_arg protects = {PROGRAM_ARG_FLAGS, protect_names, "0"};

static const char *const continue_names[] = {
	"UFFDIO_CONTINUE_MODE_DONTWAKE", "UFFDIO_CONTINUE_MODE_WP", NULL};
static const struct program_arg continues = {PROGRAM_ARG_FLAGS, continue_names, "0"};

static const char *const poison_names[] = {"UFFDIO_POISON_MODE_DONTWAKE", NULL};
static const struct program_arg poisons = {PROGRAM_ARG_FLAGS, poison_names, "0"};

const struct program_call program_calls[] = {
	{SC_LOAD, "load", 15, {&hex, &hex}, draw_access, false},
	{SC_STORE, "store", 21, {&hex, &hex}, draw_access, false},
	{SC_TOUCH, "touch", 5, {&hex, &hex}, draw_access, false},
	{SC_EXEC, "exec", 5, {&hex, &hex}, draw_access, false},
	{SC_MPROTECT, "mprotect", 12, {&hex, &hex, &prot}, draw_mprotect, false},
	{SC_MADVISE, "madvise", 12, {&hex, &hex, &advice}, draw_madvise, false},
	{SC_MMAP, "mmap", 9, {&hex, &hex, &prot, &map, &fd, &hex}, draw_mmap, false},
	{SC_MUNMAP, "munmap", 4, {&hex, &hex}, draw_range, false},
	{SC_MREMAP, "mremap", 9, {&hex, &hex, &hex, &remap, &hex}, draw_mremap, false},
	{SC_MLOCK, "mlock", 1, {&hex, &hex}, draw_mlock, false},
	{SC_MLOCKALL, "mlockall", 1, {&lock_all}, draw_mlockall, false},
	{SC_MUNLOCKALL, "munlockall", 1, {NULL}, draw_munlockall, false},
	{SC_MLOCK2, "mlock2", 1, {&hex, &hex, &lock}, draw_mlock2, false},
	{SC_MUNLOCK, "munlock", 1, {&hex, &hex}, draw_range, false},
	{SC_MSEAL, "mseal", 1, {&hex, &hex, &hex}, draw_mseal, false},
	{SC_MINCORE, "mincore", 1, {&hex, &hex, &hex}, draw_range, false},
	{SC_MSYNC, "msync", 1, {&hex, &hex, &sync}, draw_msync, false},
	{SC_PKEY_MPROTECT, "pkey_mprotect", 1, {&hex, &hex, &prot, &hex}, draw_pkey_mprotect,
		false},
	{SC_BRK, "brk", 2, {&hex}, draw_brk, false},
	{SC_FORK, "fork", 4, {NULL}, draw_fork, false},
	{SC_EXIT_GROUP, "exit_group", 2, {&hex}, draw_exit, false},
	/* From here on those of wide programs alone. */
	{SC_PROCESS_VM_READV, "process_vm_readv", 3,
		{&pid, &parts, &number, &parts, &number, &number}, draw_process_vm, true},
	{SC_PROCESS_VM_WRITEV, "process_vm_writev", 3,
		{&pid, &parts, &number, &parts, &number, &number}, draw_process_vm, true},
	{SC_PROCESS_MADVISE, "process_madvise", 6, {&pidfd, &parts, &number, &advice, &number},
		draw_process_madvise, true},
	{SC_PAGEMAP_SCAN, "PAGEMAP_SCAN", 3,
		{&hex, &hex, &scan, &number, &number, &category, &category, &category, &category},
		draw_scan, true},
	{SC_CLEAR_REFS, "clear_refs", 1, {&number}, draw_clear_refs, true},
	{SC_USERFAULTFD, "userfaultfd", 3, {&uffd_flags, &uffd}, program_draw_userfaultfd, true},
	{SC_CLOSE, "close", 1, {&uffd}, program_draw_uffd_close, true},
	{SC_UFFDIO_API, "UFFDIO_API", 2, {&uffd, &features, &hex}, program_draw_uffd_api, true},
	{SC_UFFDIO_REGISTER, "UFFDIO_REGISTER", 9, {&hex, &hex, &registers, &uffd},
		program_draw_uffdio, true},
	{SC_UFFDIO_UNREGISTER, "UFFDIO_UNREGISTER", 2, {&hex, &hex, &number, &uffd},
		program_draw_uffdio, true},
	{SC_UFFDIO_WAKE, "UFFDIO_WAKE", 1, {&hex, &hex, &number, &uffd}, program_draw_uffdio, true},
	{SC_UFFDIO_COPY, "UFFDIO_COPY", 7, {&hex, &hex, &copies, &uffd, &hex}, program_draw_uffdio,
		true},
	{SC_UFFDIO_ZEROPAGE, "UFFDIO_ZEROPAGE", 4, {&hex, &hex, &zeroes, &uffd},
		program_draw_uffdio, true},
	{SC_UFFDIO_MOVE, "UFFDIO_MOVE", 6, {&hex, &hex, &moves, &uffd, &hex}, program_draw_uffdio,
		true},
	{SC_UFFDIO_WRITEPROTECT, "UFFDIO_WRITEPROTECT", 7, {&hex, &hex, &protects, &uffd},
		program_draw_uffdio, true},
	{SC_UFFDIO_CONTINUE, "UFFDIO_CONTINUE", 4, {&hex, &hex, &continues, &uffd},
		program_draw_uffdio, true},
	{SC_UFFDIO_POISON, "UFFDIO_POISON", 3, {&hex, &hex, &poisons, &uffd}, program_draw_uffdio,
		true},
	{0, NULL, 0, {NULL}, NULL, false},
};

const struct program_call *program_call(enum sc_call_id id)
{
	for (const struct program_call *c = program_calls; c->name; c++)
		if (c->id == id)
			return c;
	return NULL;
}
