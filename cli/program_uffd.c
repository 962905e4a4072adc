// SPDX-License-Identifier: MIT
/*
 * userfaultfd in random programs. Nobody answers faults there, so nothing may wait: every descriptor is opened with
 * UFFD_USER_MODE_ONLY and, before anything can be registered, made to send signals (UFFD_FEATURE_SIGBUS).
 */
#include "cli/program.h"
#include "mm/uffd.h"

/* Of userfaultfd(): refused. */
#define NO_FLAG 2u

static uint64_t draw(struct program_drawing *d, uint64_t n)
{
	return source_draw(&d->src, n);
}

bool program_is_uffdio(enum sc_call_id id)
{
	return id >= SC_UFFDIO_REGISTER && id <= SC_UFFDIO_API;
}

unsigned program_uffd_arg(enum sc_call_id id)
{
	return id == SC_CLOSE || id == SC_UFFDIO_API ? 0 : id == SC_USERFAULTFD ? 1 : 3;
}

const char *program_uffd_done(enum sc_call_id id)
{
	switch (id) {
	case SC_UFFDIO_API:
	case SC_UFFDIO_REGISTER:
		return "ioctls";
	case SC_UFFDIO_COPY:
		return "copy";
	case SC_UFFDIO_ZEROPAGE:
		return "zeropage";
	case SC_UFFDIO_MOVE:
		return "move";
	case SC_UFFDIO_CONTINUE:
		return "mapped";
	case SC_UFFDIO_POISON:
		return "updated";
	default:
		return NULL;
	}
}

/* Calls have one that is there, most of them the first. False: the process has none. */
static bool a_uffd(struct program_drawing *d, const struct op *op, uint64_t *n)
{
	*n = draw(d, 3) ? 0 : draw(d, PROGRAM_UFFDS);
	while (*n < PROGRAM_UFFDS && !(d->uffds[op->pid] & 1u << *n))
		++*n;
	if (*n == PROGRAM_UFFDS)
		for (*n = 0; *n < PROGRAM_UFFDS && !(d->uffds[op->pid] & 1u << *n);)
			++*n;
	return *n < PROGRAM_UFFDS;
}

bool program_draw_userfaultfd(struct program_drawing *d, struct op *op)
{
	static const uint64_t more[] = {0, 0, 0, 0x800, 0x80000, NO_FLAG};

	if (!d->g->uffd)
		return false;
	op->a[0] = PF_UFFD_USER_MODE_ONLY | more[draw(d, PF_ARRAY_SIZE(more))];
	for (unsigned n = 0; n < PROGRAM_UFFDS; n++) {
		if (d->uffds[op->pid] & 1u << n)
			continue;
		op->a[1] = n;
		return true;
	}
	return false;
}

bool program_draw_uffd_close(struct program_drawing *d, struct op *op)
{
	return !draw(d, 4) && a_uffd(d, op, &op->a[0]);
}

/* As far as it can be told from the call alone. */
static bool may_register(const struct program_drawing *d, const struct op *op)
{
	return !((op->a[0] | op->a[1]) & (d->page - 1)) && op->a[1] &&
	       op->a[1] <= d->g->pages * d->page && op->a[2] && op->a[2] < 8 &&
	       (d->g->shares || !(op->a[2] & PF_UFFDIO_REGISTER_MODE_MINOR));
}

void program_uffd_drawn(struct program_drawing *d, const struct op *op)
{
	/* Refused, it is not there. */
	if (op->id == SC_USERFAULTFD && !(op->a[0] & NO_FLAG))
		d->uffds[op->pid] |= 1u << op->a[1];
	else if (op->id == SC_CLOSE)
		d->uffds[op->pid] &= ~(1u << op->a[0]);
	else if (op->id == SC_UFFDIO_REGISTER && may_register(d, op)) {
		const unsigned n = d->nregistered++ % PF_ARRAY_SIZE(d->registered);

		d->registered[n].start = op->a[0];
		d->registered[n].len = op->a[1];
		d->registered[n].uffd = op->a[3];
		d->registered[n].pid = op->pid;
	}
}

/* Part of what was to be registered, if anything was. False: it was another process, which shall do it. */
static bool draw_registered(struct program_drawing *d, struct op *op)
{
	const unsigned most = pf_min(d->nregistered, (unsigned)PF_ARRAY_SIZE(d->registered));
	const unsigned n = most ? (unsigned)draw(d, most) : 0;
	uint64_t len;

	if (!most || !draw(d, 5))
		return true;
	if (d->registered[n].pid != op->pid && draw(d, 4))
		return false;
	len = d->registered[n].len;
	op->a[0] = d->registered[n].start + draw(d, len / d->page) * d->page;
	op->a[1] = pf_min(op->a[1], d->registered[n].start + len - op->a[0]);
	if (d->uffds[op->pid] & 1u << d->registered[n].uffd)
		op->a[3] = d->registered[n].uffd;
	return true;
}

bool program_draw_uffd_api(struct program_drawing *d, struct op *op)
{
	static const uint64_t more[] = {PF_UFFD_FEATURE_WP_UNPOPULATED,
		PF_UFFD_FEATURE_WP_UNPOPULATED, PF_UFFD_FEATURE_WP_ASYNC, PF_UFFD_FEATURE_WP_ASYNC,
		PF_UFFD_FEATURE_WP_ASYNC, PF_UFFD_FEATURE_EXACT_ADDRESS,
		PF_UFFD_FEATURE_WP_HUGETLBFS_SHMEM, PF_UFFD_FEATURE_POISON, PF_UFFD_FEATURE_MOVE,
		PF_UFFD_FEATURE_MISSING_SHMEM, PF_UFFD_FEATURE_MINOR_SHMEM,
		PF_UFFD_FEATURE_PAGEFAULT_FLAG_WP, PF_UFFD_FEATURE_MISSING_HUGETLBFS,
		PF_UFFD_FEATURE_MINOR_HUGETLBFS, PF_UFFD_FEATURE_THREAD_ID};

	if (!a_uffd(d, op, &op->a[0]))
		return false;
	op->a[1] = PF_UFFD_FEATURE_SIGBUS;
	for (uint64_t n = draw(d, 4); n; n--)
		op->a[1] |= more[draw(d, PF_ARRAY_SIZE(more))];
	if (!draw(d, 12))
		op->a[1] |= PF_BIT(17 + draw(d, 40));
	op->a[2] = draw(d, 12) ? PF_UFFD_API : draw(d, 256);
	return true;
}

static uint64_t a_mode(struct program_drawing *d, enum sc_call_id id)
{
	if (!draw(d, 30))
		return draw(d, 16);
	switch (id) {
	case SC_UFFDIO_REGISTER:
		return 1 + draw(d, draw(d, 2) ? 3 : 7);
	case SC_UFFDIO_WRITEPROTECT:
		return draw(d, 3) ? 1 : draw(d, 2) * PF_UFFDIO_WRITEPROTECT_DONTWAKE;
	case SC_UFFDIO_COPY:
	case SC_UFFDIO_CONTINUE:
	case SC_UFFDIO_MOVE: /* of holes */
		return draw(d, 4);
	default:
		return draw(d, 2);
	}
}

bool program_draw_uffdio(struct program_drawing *d, struct op *op)
{
	const bool moves = op->id == SC_UFFDIO_MOVE;

	if (!a_uffd(d, op, &op->a[3]))
		return false;
	op->a[0] = program_address(d);
	op->a[1] = program_length(d);
	if (op->id != SC_UFFDIO_UNREGISTER && op->id != SC_UFFDIO_WAKE)
		op->a[2] = a_mode(d, op->id);
	/* Few pages: what is filled would not be missing any more. */
	if (op->id != SC_UFFDIO_REGISTER && op->id != SC_UFFDIO_WRITEPROTECT && draw(d, 4))
		op->a[1] = (1 + draw(d, 3)) * d->page;
	if (op->id != SC_UFFDIO_REGISTER && !draw_registered(d, op))
		return false;
	if (!moves && op->id != SC_UFFDIO_COPY)
		return true;
	op->a[4] = program_address(d);
	/* Another byte than a page's first, so that copies of copies do not become first ones again. */
	if (!moves)
		op->a[4] = (op->a[4] & -d->page) + (draw(d, 12) ? 0 : 8);
	return true;
}
