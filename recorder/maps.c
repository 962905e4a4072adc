/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The address space when a stream begins, as TRACE_EV_MAP events. The guest lives in QEMU's own
 * address space, so /proc/self/maps shows both: what QEMU had mapped before it loaded the guest is
 * its own, and so is everything from its executable's first page up, where the kernel places what
 * QEMU maps later; guest mappings lie below (QEMU starts them at 0x4000000000).
 *
 * QEMU never maps the guest's code executable, so that permission comes from the program headers of
 * the ELF file that is mapped there.
 */
#define _GNU_SOURCE
#include "recorder.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct mapping {
	uint64_t start, end, offset, dev, inode;
	unsigned prot;
	bool shared;
	char path[1024];
};

/* An executable piece of an ELF file in memory. */
struct code {
	uint64_t start, end;
};

static struct {
	uint64_t start, end;
} * own;
static size_t nr_own;
static uint64_t own_floor = UINT64_MAX;

static bool parse_line(const char *line, struct mapping *m)
{
	char perms[5];
	unsigned major, minor;
	int at = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &m->start,
		    &m->end, perms, &m->offset, &major, &minor, &m->inode, &at) < 7)
		return false;
	m->prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
		  (perms[2] == 'x' ? PROT_EXEC : 0);
	m->shared = perms[3] == 's';
	m->dev = makedev(major, minor);
	snprintf(m->path, sizeof(m->path), "%.*s", (int)strcspn(line + at, "\n"), line + at);
	return true;
}

void maps_init(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4200], exe[1024];
	struct mapping m;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = 0;
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (!parse_line(line, &m))
			continue;
		if (!strcmp(m.path, exe) && m.start < own_floor)
			own_floor = m.start;
		void *more = realloc(own, (nr_own + 1) * sizeof(*own));
		if (!more)
			break;
		own = more;
		own[nr_own].start = m.start;
		own[nr_own++].end = m.end;
	}
	fclose(f);
}

static bool is_guest(const struct mapping *m)
{
	if (m->start >= own_floor || m->path[0] == '[')
		return false;
	for (size_t i = 0; i < nr_own; i++)
		if (m->start < own[i].end && own[i].start < m->end)
			return false;
	return true;
}

/* Adds the executable segments of the ELF file whose first page is mapped by m. */
static void find_code(const struct mapping *m, struct code **code, size_t *nr)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	uint64_t bias = 0;
	bool have_bias = false;
	int fd;

	if (m->offset || m->path[0] != '/')
		return;
	fd = open(m->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (pread(fd, &eh, sizeof(eh), 0) == (ssize_t)sizeof(eh) &&
		!memcmp(eh.e_ident, ELFMAG, SELFMAG) && eh.e_ident[EI_CLASS] == ELFCLASS64 &&
		eh.e_phentsize == sizeof(ph)) {
		for (unsigned i = 0; i < eh.e_phnum; i++) {
			if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) !=
				(ssize_t)sizeof(ph))
				break;
			if (ph.p_type != PT_LOAD)
				continue;
			if (!have_bias) {
				bias = m->start - (ph.p_vaddr & -PAGE_BYTES);
				have_bias = true;
			}
			if (!(ph.p_flags & PF_X))
				continue;
			struct code *more = realloc(*code, (*nr + 1) * sizeof(**code));
			if (!more)
				break;
			*code = more;
			more[*nr].start = bias + (ph.p_vaddr & -PAGE_BYTES);
			more[(*nr)++].end =
				bias + ((ph.p_vaddr + ph.p_memsz + PAGE_BYTES - 1) & -PAGE_BYTES);
		}
	}
	close(fd);
}

static void emit(struct rec_lane *l, const struct mapping *m, uint64_t start, uint64_t end,
	unsigned prot, enum trace_map_class class)
{
	uint64_t args[7] = {start - recorder.guest_base, end - start, prot,
		class | (m->shared ? TRACE_MAP_SHARED : 0),
		m->inode ? m->offset + (start - m->start) : 0, m->dev, m->inode};

	lane_event(l, TRACE_EV_MAP, event_reserve(), 7, args, 0, m->path);
}

/* Emits m in pieces that are, or are not, executable. */
static void emit_pieces(struct rec_lane *l, const struct mapping *m, enum trace_map_class class,
	const struct code *code, size_t nr)
{
	uint64_t at = m->start;

	while (at < m->end) {
		uint64_t end = m->end;
		bool exec = false;

		for (size_t i = 0; i < nr; i++) {
			if (code[i].start <= at && at < code[i].end) {
				exec = true;
				if (code[i].end < end)
					end = code[i].end;
			} else if (code[i].start > at && code[i].start < end) {
				end = code[i].start;
			}
		}
		emit(l, m, at, end, m->prot | (exec ? PROT_EXEC : 0), class);
		at = end;
	}
}

void maps_record(struct rec_lane *l)
{
	FILE *f = fopen("/proc/self/maps", "re");
	struct mapping *all = NULL;
	struct code *code = NULL;
	size_t nr = 0, nr_code = 0, stack = SIZE_MAX;
	char line[4200];

	if (!f) {
		rec_not_captured("start-up mappings", 1);
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		struct mapping m;
		if (!parse_line(line, &m) || !is_guest(&m))
			continue;
		struct mapping *more = realloc(all, (nr + 1) * sizeof(*all));
		if (!more)
			break;
		all = more;
		all[nr++] = m;
	}
	fclose(f);
	for (size_t i = 0; i < nr; i++) {
		find_code(&all[i], &code, &nr_code);
		/*
		 * QEMU puts one page without access below the stack that it makes. The largest mapping that lies
		 * so is the first thread's; of a forked child it may be another thread's, hence not then.
		 */
		if (i && !all[i].inode && all[i].prot == (PROT_READ | PROT_WRITE) &&
			all[i - 1].end == all[i].start && !all[i - 1].prot &&
			all[i - 1].end - all[i - 1].start == PAGE_BYTES &&
			(stack == SIZE_MAX ||
				all[i].end - all[i].start > all[stack].end - all[stack].start))
			stack = i;
	}
	for (size_t i = 0; i < nr; i++) {
		enum trace_map_class class = i == stack && rec->next_thread == 1 ? TRACE_MAP_STACK
					     : all[i].inode                      ? TRACE_MAP_FILE
										 : TRACE_MAP_ANON;
		emit_pieces(l, &all[i], class, code, nr_code);
	}
	free(code);
	free(all);
}
