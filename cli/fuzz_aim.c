// SPDX-License-Identifier: MIT
/*
 * Ranges for the ioctls of userfaultfd on which they are likely to do something: found among the pages of the process that the
 * descriptor is about, as they are before the batch. One in four is aimed at any page that is registered, and one in eight
 * stays as it was drawn, so that refusals come, too. Other calls are moved to memory that is sealed or lost.
 */
#include "cli/fuzz.h"
#include "mm/uffd.h"
#include "mm/vma.h"

/* What a page is, beside what run_uffd_there() says of it. */
enum {
	STATE = 3, /* ORACLE_EMPTY, MARKED or TAKEN */
	MAPPED = 1 << 5,
	PRIVATE = 1 << 6, /* and no file's */
	WRITE = 1 << 7,
	LOCKED = 1 << 8,
	MISSING = 1 << 9,
	WP = 1 << 10,
	MINOR = 1 << 11,
	FILES = 1 << 12,
};
/* Pages may be moved between mappings that are alike in these. */
#define LIKE (MAPPED | PRIVATE | WRITE | LOCKED | FILES)

static struct fuzz_sight look(struct run_world *w, struct run_process *p, uint64_t va)
{
	struct fuzz_sight s = {0};
	struct oracle_map m;
	struct pf_vma_info v;
	uint32_t f;

	if (!pf_find_vma_info(&p->mm, va, &v) || v.area.start > va)
		return s;
	f = v.area.flags;
	s.is = run_uffd_there(w, p, va) | MAPPED | (v.mapping ? 0 : PRIVATE) |
	       (f & PF_VM_WRITE ? WRITE : 0) | (f & PF_VM_LOCKED ? LOCKED : 0) |
	       (f & PF_VM_UFFD_MISSING ? MISSING : 0) | (f & PF_VM_UFFD_WP ? WP : 0) |
	       (f & PF_VM_UFFD_MINOR ? MINOR : 0);
	if (oracle_find(w->oracle, p->pid, va, &m)) {
		s.whose = m.uffd;
		s.is |= m.file ? FILES : 0;
	}
	return s;
}

/* ---- memory that refuses ---- */

/* Whose memory it is about, and where, if the call may be refused for what is there; else NULL. */
static uint64_t *where(struct op *op, uint64_t *advice, uint64_t **len)
{
	*advice = UINT64_MAX;
	*len = &op->a[1];
	switch (op->id) {
	case SC_MADVISE:
		*advice = op->a[2];
		return &op->a[0];
	case SC_PROCESS_MADVISE:
		*advice = op->a[3];
		*len = &op->part[0][0].len;
		return op->a[0] == op->pid && op->a[2] ? &op->part[0][0].base : NULL;
	case SC_MMAP:
		return op->a[3] & PF_MAP_FIXED ? &op->a[0] : NULL;
	case SC_MUNMAP:
	case SC_MPROTECT:
	case SC_PKEY_MPROTECT:
	case SC_MREMAP:
		return &op->a[0];
	default:
		return NULL;
	}
}

/* Of advice: that which takes memory away that is not to be written, and that which brings what is lost. */
static bool takes(uint64_t advice)
{
	return advice == UINT64_MAX || advice == PF_MADV_DONTNEED || advice == PF_MADV_FREE ||
	       advice == PF_MADV_DONTFORK || advice == PF_MADV_WIPEONFORK;
}

static bool brings(uint64_t advice)
{
	return advice == PF_MADV_POPULATE_READ || advice == PF_MADV_POPULATE_WRITE;
}

static bool is_sealed(const struct pf_vma_info *v, uint64_t advice)
{
	return v->area.flags & PF_VM_SEALED &&
	       (advice == UINT64_MAX || !(v->area.flags & PF_VM_WRITE));
}

/* Some page of what is sealed, so that it cannot be taken away; and how much is left of it. 0: nothing is. */
static uint64_t a_sealed(struct fuzz_play *y, struct program_drawing *d, struct run_process *p,
	uint64_t advice, uint64_t *len)
{
	uint64_t found = 0, nr = 0;
	struct pf_vma_info v;

	for (uint64_t at = y->area.low;
		pf_find_vma_info(&p->mm, at, &v) && v.area.start < y->area.high; at = v.area.end)
		if (is_sealed(&v, advice) && !source_draw(&d->src, ++nr)) {
			found = v.area.start +
				source_draw(&d->src, (v.area.end - v.area.start) / FUZZ_PAGE) *
					FUZZ_PAGE;
			*len = v.area.end - found;
		}
	return found;
}

/* ---- what calls are alike ---- */

static bool moves(const struct op *op)
{
	return op->id == SC_UFFDIO_MOVE;
}

/* Memory that is sealed against it, or lost. */
static uint64_t refuses(struct run_world *w, struct run_process *p, const struct op *op)
{
	struct op copy = *op;
	struct pf_vma_info v;
	uint64_t advice, *len, *at = where(&copy, &advice, &len);

	if (!at)
		return 0;
	if (brings(advice))
		return (run_uffd_there(w, p, *at) & STATE) == ORACLE_MARKED ? 2 : 0;
	return takes(advice) && pf_find_vma_info(&p->mm, *at, &v) && v.area.start <= *at &&
	       is_sealed(&v, advice);
}

uint64_t fuzz_outlook(struct run_world *w, struct run_process *p, const struct op *op)
{
	const uint64_t fd = PROGRAM_UFFD_FD + op->a[3], last = op->a[0] + op->a[1] - FUZZ_PAGE;
	struct run_process *of;
	struct fuzz_sight s, end;
	uint64_t is;

	if (!program_is_uffdio(op->id))
		return refuses(w, p, op);
	if (op->id == SC_UFFDIO_API)
		return 0;
	of = run_uffd_process(w, p, fd);
	if (!of)
		return 1;
	s = look(w, of, op->a[0]);
	end = look(w, of, last);
	is = s.is | 1u << 13 | (of != p) << 14 | !s.whose << 15 |
	     ((int)s.whose - 1 == run_uffd_number(w, p, fd)) << 16 | (end.is == s.is) << 17;
	return moves(op) ? is << 20 | look(w, of, op->a[4]).is : is;
}

/* ---- aiming ---- */

/* Pages of which these bits are so. */
struct want {
	uint32_t mask, is;
};

static struct want wanted(enum sc_call_id id)
{
	switch (id) {
	case SC_UFFDIO_COPY:
	case SC_UFFDIO_ZEROPAGE:
		return (struct want){MAPPED | STATE | FILES | ORACLE_CACHED, MAPPED};
	case SC_UFFDIO_POISON:
		return (struct want){MAPPED | STATE | FILES, MAPPED};
	case SC_UFFDIO_CONTINUE:
		return (struct want){
			MAPPED | STATE | FILES | ORACLE_CACHED, MAPPED | ORACLE_CACHED};
	case SC_UFFDIO_WRITEPROTECT:
		return (struct want){MAPPED | STATE | WP, MAPPED | ORACLE_TAKEN | WP};
	case SC_UFFDIO_MOVE:
		return (struct want){MAPPED | STATE | PRIVATE | WRITE, MAPPED | PRIVATE | WRITE};
	default:
		return (struct want){MAPPED, MAPPED};
	}
}

/* Pages of a process, as they are before the batch. */
static const struct fuzz_sight *sights(struct fuzz_play *y, struct run_process *p)
{
	if (!y->sighted[p->pid])
		for (unsigned i = 0; i < FUZZ_SHOWN; i++)
			y->sight[p->pid][i] = look(&y->w, p, fuzz_shown(&y->area, i));
	y->sighted[p->pid] = true;
	return y->sight[p->pid];
}

static bool fits(const struct fuzz_sight *s, struct want want, unsigned whose)
{
	return (s->is & want.mask) == want.is && (!whose || s->whose == whose);
}

/* At most n pages that follow each other, from some place on; *n: how many. FUZZ_SHOWN: there is none. */
static unsigned find(struct program_drawing *d, const struct fuzz_sight *s, struct want want,
	unsigned whose, unsigned *n)
{
	const unsigned from = (unsigned)source_draw(&d->src, FUZZ_SHOWN);

	for (unsigned k = 0; k < FUZZ_SHOWN; k++) {
		const unsigned at = (from + k) % FUZZ_SHOWN,
			       end = at < FUZZ_HEAP_PAGES ? FUZZ_HEAP_PAGES : FUZZ_SHOWN;
		unsigned nr = 0;

		while (nr < *n && at + nr < end && fits(&s[at + nr], want, whose))
			nr++;
		if (!nr)
			continue;
		*n = nr;
		return at;
	}
	return FUZZ_SHOWN;
}

/* Modes that the memory has not been registered for are refused. */
static void fit_mode(struct program_drawing *d, struct op *op, uint32_t is)
{
	const bool fills = op->id == SC_UFFDIO_COPY || op->id == SC_UFFDIO_CONTINUE;

	if (!source_draw(&d->src, 4))
		return;
	if (fills && !(is & WP))
		op->a[2] &= ~(uint64_t)PF_UFFDIO_MODE_WP;
	if (op->id != SC_UFFDIO_REGISTER)
		return;
	if (is & PRIVATE)
		op->a[2] &= ~(uint64_t)PF_UFFDIO_REGISTER_MODE_MINOR;
	else if (is & FILES)
		op->a[2] = PF_UFFDIO_REGISTER_MODE_WP;
	else if (source_draw(&d->src, 2))
		op->a[2] = PF_UFFDIO_REGISTER_MODE_MINOR |
			   (source_draw(&d->src, 2) ? PF_UFFDIO_REGISTER_MODE_WP : 0);
	if (!op->a[2])
		op->a[2] = PF_UFFDIO_REGISTER_MODE_MISSING;
}

/* From where pages are moved to those: from mappings that are like theirs, and pages that are no one else's. */
static void aim_source(struct fuzz_play *y, struct program_drawing *d, struct op *op,
	const struct fuzz_sight *s, uint32_t like, unsigned n)
{
	const uint32_t mask = LIKE | STATE | ORACLE_KEPT;
	struct want want = {mask, (like & LIKE) | ORACLE_TAKEN};
	unsigned at;

	switch (source_draw(&d->src, 6)) {
	case 0:
		want.is |= ORACLE_KEPT;
		break;
	case 1:
		want.is ^= ORACLE_TAKEN | ORACLE_MARKED;
		break;
	case 2:
		want.mask = LIKE;
		want.is &= LIKE;
		break;
	}
	at = find(d, s, want, 0, &n);
	if (at == FUZZ_SHOWN && (want.is & STATE) == ORACLE_MARKED)
		op->id = SC_UFFDIO_POISON; /* then there will be one */
	if (at == FUZZ_SHOWN)
		return;
	op->a[4] = fuzz_shown(&y->area, at);
	if (source_draw(&d->src, 3))
		op->a[1] = n * FUZZ_PAGE;
}

/* ---- what has to be done before ---- */

static void set_range(
	const struct fuzz_play *y, struct op *op, enum sc_call_id id, unsigned at, unsigned n)
{
	op->id = id;
	op->a[0] = fuzz_shown(&y->area, at);
	op->a[1] = n * FUZZ_PAGE;
}

/* Memory that UFFDIO_CONTINUE can be asked for at all. */
static bool map_shared(struct fuzz_play *y, struct program_drawing *d, struct op *op)
{
	const unsigned nr = 8;

	if (!y->g->shares)
		return false;
	set_range(y, op, SC_MMAP, FUZZ_HEAP_PAGES + (unsigned)source_draw(&d->src, FUZZ_PAGES - nr),
		nr);
	op->a[2] = PF_PROT_READ | PF_PROT_WRITE;
	op->a[3] = PF_MAP_SHARED | PF_MAP_ANONYMOUS | PF_MAP_FIXED;
	op->a[4] = UINT64_MAX;
	return true;
}

/*
 * No page is as the ioctl needs it. First the descriptor has to be ready, then memory registered with the mode that is
 * needed, then pages given up: the call becomes that. False: it stays what it is.
 */
static bool prepare(struct fuzz_play *y, struct program_drawing *d, struct op *op,
	const struct fuzz_sight *s, unsigned whose)
{
	const bool minor = op->id == SC_UFFDIO_CONTINUE, wp = op->id == SC_UFFDIO_WRITEPROTECT;
	const uint32_t mode = minor ? MINOR
			      : wp  ? WP
				    : 0,
		       kind = moves(op) ? PRIVATE | WRITE : 0,
		       not = (minor ? PRIVATE : 0) | (wp ? 0 : FILES);
	unsigned n = 4 + (unsigned)source_draw(&d->src, 12), at;

	if (!run_uffd_ready(&y->w, run_process(&y->w, op->pid), PROGRAM_UFFD_FD + op->a[3])) {
		*op = (struct op){.id = SC_UFFDIO_API, .pid = op->pid, .cpu = op->cpu};
		program_draw_uffd_api(d, op);
		return true;
	}
	at = find(d, s,
		(struct want){MAPPED | STATE | mode | kind, MAPPED | ORACLE_TAKEN | mode | kind},
		whose, &n);
	if (at != FUZZ_SHOWN && !wp) {
		set_range(y, op, SC_MADVISE, at, pf_min(n, 4u));
		op->a[2] = PF_MADV_DONTNEED;
		op->a[3] = op->a[4] = 0;
		return true;
	}
	at = minor ? find(d, s, (struct want){MAPPED | STATE | MINOR | MISSING, MAPPED | MINOR},
			     whose, &n)
		   : FUZZ_SHOWN;
	if (at != FUZZ_SHOWN) {
		set_range(y, op, SC_STORE, at, pf_min(n, 4u));
		op->a[2] = op->a[3] = op->a[4] = 0;
		return true;
	}
	n = 4 + (unsigned)source_draw(&d->src, 12);
	at = find(d, s, (struct want){MAPPED | kind | not, MAPPED | kind}, 0, &n);
	if (at == FUZZ_SHOWN)
		return minor && map_shared(y, d, op);
	set_range(y, op, SC_UFFDIO_REGISTER, at, n);
	op->a[4] = 0;
	op->a[2] = minor ? PF_UFFDIO_REGISTER_MODE_MINOR
		   : wp  ? PF_UFFDIO_REGISTER_MODE_WP
			 : PF_UFFDIO_REGISTER_MODE_MISSING;
	return true;
}

/* ---- */

/* Most ioctls are about one's own memory. */
static void aim_descriptor(struct fuzz_play *y, struct program_drawing *d, struct op *op)
{
	const unsigned from = (unsigned)source_draw(&d->src, PROGRAM_UFFDS);
	struct run_process *p = run_process(&y->w, op->pid);

	if (!source_draw(&d->src, 3))
		return;
	for (unsigned k = 0; k < PROGRAM_UFFDS; k++) {
		const unsigned n = (from + k) % PROGRAM_UFFDS;

		if (!(d->uffds[op->pid] & 1u << n) ||
			run_uffd_process(&y->w, p, PROGRAM_UFFD_FD + n) != p)
			continue;
		op->a[3] = n;
		return;
	}
}

/* Pages of another userfaultfd, which only it may register again. */
static void aim_busy(struct fuzz_play *y, struct program_drawing *d, struct op *op,
	const struct fuzz_sight *s, unsigned whose)
{
	const unsigned from = (unsigned)source_draw(&d->src, FUZZ_SHOWN);

	for (unsigned k = 0; k < FUZZ_SHOWN; k++) {
		const unsigned at = (from + k) % FUZZ_SHOWN;

		if (!s[at].whose || s[at].whose == whose)
			continue;
		op->a[0] = fuzz_shown(&y->area, at);
		op->a[1] = FUZZ_PAGE;
		return;
	}
}

/* How many pages: now and then as many as there are, and the one at which the ioctl will end. */
static unsigned aim_length(struct program_drawing *d, const struct fuzz_sight *s, struct want want,
	unsigned whose, unsigned *n)
{
	const bool beyond = !source_draw(&d->src, 3);
	unsigned at;

	*n = beyond ? 8 : 1 + (unsigned)source_draw(&d->src, 4);
	at = find(d, s, want, whose, n);
	if (at != FUZZ_SHOWN && beyond && at + *n < FUZZ_SHOWN && s[at + *n].whose == whose &&
		!((s[at + *n].is ^ s[at].is) & LIKE))
		++*n;
	return at;
}

/* What was written since, of pages that are registered for it; and from then on. */
static void aim_scan(struct fuzz_play *y, struct program_drawing *d, struct op *op)
{
	struct run_process *p = run_process(&y->w, op->pid);
	const uint32_t file = y->g->nfiles && source_draw(&d->src, 2) ? FILES : 0;
	unsigned n = 1 + (unsigned)source_draw(&d->src, 20), at;

	if (!p || !y->g->uffd || source_draw(&d->src, 3))
		return;
	at = find(d, sights(y, p), (struct want){MAPPED | WP | file, MAPPED | WP | file}, 0, &n);
	if (at == FUZZ_SHOWN)
		return;
	set_range(y, op, op->id, at, n);
	op->a[2] |= PF_PM_SCAN_WP_MATCHING;
}

/* At memory that is sealed, or lost: there is little of it. A break before the heap is refused, too. */
static void aim_refused(struct fuzz_play *y, struct program_drawing *d, struct op *op)
{
	struct run_process *p = run_process(&y->w, op->pid);
	uint64_t advice, most = 0, found = 0, *len, *at = where(op, &advice, &len);
	unsigned n = 1, page;

	if (op->id == SC_BRK && !source_draw(&d->src, 16))
		op->a[0] = y->area.heap - 1 - source_draw(&d->src, FUZZ_PAGE);
	if (!p || !at || source_draw(&d->src, 2))
		return;
	/* Where something is sealed, the advice that it refuses. */
	if (y->g->seals && advice != UINT64_MAX && !brings(advice) && !source_draw(&d->src, 2))
		advice = op->a[op->id == SC_MADVISE ? 2 : 3] = PF_MADV_DONTNEED;
	if (brings(advice) && y->g->uffd) {
		page = find(d, sights(y, p), (struct want){MAPPED | STATE, MAPPED | ORACLE_MARKED},
			0, &n);
		found = page == FUZZ_SHOWN ? 0 : fuzz_shown(&y->area, page);
		most = FUZZ_PAGE;
	} else if (takes(advice) && y->g->seals) {
		found = a_sealed(y, d, p, advice, &most);
	}
	if (!found)
		return;
	*at = found;
	*len = pf_min(pf_max(*len & -FUZZ_PAGE, FUZZ_PAGE), most);
}

bool fuzz_aim(struct fuzz_play *y, struct program_drawing *d, struct op *op)
{
	struct run_process *p = run_process(&y->w, op->pid), *of;
	const struct fuzz_sight *s;
	struct want want = wanted(op->id);
	unsigned n, at, whose;

	aim_refused(y, d, op);
	if (op->id == SC_PAGEMAP_SCAN)
		aim_scan(y, d, op);
	if (!p || !program_is_uffdio(op->id) || op->id == SC_UFFDIO_API || !source_draw(&d->src, 8))
		return false;
	aim_descriptor(y, d, op);
	of = run_uffd_process(&y->w, p, PROGRAM_UFFD_FD + op->a[3]);
	if (!of)
		return false;
	s = sights(y, of);
	whose = (unsigned)run_uffd_number(&y->w, p, PROGRAM_UFFD_FD + op->a[3]) + 1;
	if (!source_draw(&d->src, 4))
		want = (struct want){MAPPED, MAPPED};
	if (op->id == SC_UFFDIO_REGISTER && !source_draw(&d->src, 4)) {
		aim_busy(y, d, op, s, whose);
		return false;
	}
	/* Of files less can be asked, and there are fewer. */
	if ((op->id == SC_UFFDIO_REGISTER || op->id == SC_UFFDIO_WRITEPROTECT) && y->g->nfiles &&
		source_draw(&d->src, 2)) {
		want.mask |= FILES;
		want.is |= FILES;
	}
	n = 1 + (unsigned)source_draw(&d->src, 20);
	at = op->id == SC_UFFDIO_REGISTER ? find(d, s, want, 0, &n)
					  : aim_length(d, s, want, whose, &n);
	if (at == FUZZ_SHOWN) {
		return prepare(y, d, op, s, whose);
	}
	set_range(y, op, op->id, at, n);
	fit_mode(d, op, s[at].is);
	if (moves(op))
		aim_source(y, d, op, s, s[at].is, n);
	return false;
}
