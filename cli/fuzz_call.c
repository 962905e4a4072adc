// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
/*
 * One call of a fuzzed program, done by a process of the host's.
 */
#include "cli/fuzz_call.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cli/fuzz_has.h"
#include "cli/fuzz_look.h"
#include "cli/host_keys.h"

/* By name: what comes into the table of calls is known here. */
static const struct {
	const char *name;
	long nr;
} numbers[] = {
	{"mmap", SYS_mmap},
	{"munmap", SYS_munmap},
	{"mprotect", SYS_mprotect},
	{"mremap", SYS_mremap},
	{"madvise", SYS_madvise},
	{"brk", SYS_brk},
	{"mlock", SYS_mlock},
	{"mlock2", SYS_mlock2},
	{"munlock", SYS_munlock},
	{"mlockall", SYS_mlockall},
	{"munlockall", SYS_munlockall},
	{"mincore", SYS_mincore},
	{"msync", SYS_msync},
	{"mseal", 462},
	{"pkey_mprotect", SYS_pkey_mprotect},
	{"process_vm_readv", SYS_process_vm_readv},
	{"process_vm_writev", SYS_process_vm_writev},
	{"process_madvise", SYS_process_madvise},
};

static long number_of(enum sc_call_id id)
{
	const char *name = program_call(id)->name;

	for (size_t i = 0; i < PF_ARRAY_SIZE(numbers); i++)
		if (!strcmp(numbers[i].name, name))
			return numbers[i].nr;
	return -1;
}

bool fuzz_host_knows(enum sc_call_id id)
{
	switch (id) {
	case SC_LOAD:
	case SC_STORE:
	case SC_EXEC:
	case SC_TOUCH:
	case SC_FORK:
	case SC_EXIT_GROUP:
	case SC_PAGEMAP_SCAN:
	case SC_CLEAR_REFS:
		return true;
	default:
		return fuzz_is_uffd(id) || number_of(id) >= 0;
	}
}

/* A byte for each page, as if they had been loaded. */
static int64_t do_mincore(const struct op *op, struct fuzz_answer *ans)
{
	static unsigned char vec[FUZZ_SHOWN];
	uint64_t pages = op->a[1] / FUZZ_PAGE + 1;
	long r = syscall(SYS_mincore, op->a[0], op->a[1], vec);

	for (; !r && op->a[1] && ans->nloaded < pf_min(pages, (uint64_t)FUZZ_SHOWN) &&
		ans->nloaded * FUZZ_PAGE < op->a[1];
		ans->nloaded++)
		ans->loaded[ans->nloaded] = vec[ans->nloaded] & 1;
	return r ? -errno : 0;
}

/*
 * Where the program's files are open: as memory of their own, which no disk reads ahead and nothing writes back. To
 * userfaultfd that is shared memory, so that there they are files of a disk, all of which is in memory.
 */
#define FIRST_FILE 100

bool fuzz_call_open_files(const struct fuzz_area *area)
{
	for (unsigned i = 0; i < area->nfiles; i++) {
		int fd = area->uffd ? fuzz_disk_file(area->file_size)
				    : (int)syscall(SYS_memfd_create, "f", 0);

		if (fd < 0 || ftruncate(fd, (off_t)area->file_size) ||
			dup2(fd, FIRST_FILE + (int)i) < 0)
			return false;
		close(fd);
	}
	return true;
}

/* Where MADV_REMOVE has made a hole: what else would read it again would read ahead. */
static void fill_files(const struct fuzz_area *area, const struct op *op)
{
	for (unsigned i = 0; fuzz_empties_files(area, op) && i < area->nfiles; i++)
		fuzz_disk_read(FIRST_FILE + (int)i, area->file_size);
}

static int64_t do_syscall(const struct fuzz_area *area, const struct op *op)
{
	bool file = op->id == SC_MMAP && op->a[4] - RUN_FIRST_FD < area->nfiles;
	uint64_t key = op->id == SC_PKEY_MPROTECT ? host_key(op->a[3]) : op->a[3];

	errno = 0;
	long r = syscall(number_of(op->id), op->a[0], op->a[1], op->a[2], key,
		file ? op->a[4] - RUN_FIRST_FD + FIRST_FILE : op->a[4], op->a[5]);

	return r == -1 && errno ? -errno : r;
}

static int64_t do_process_call(const struct op *op, pid_t real)
{
	struct iovec v[2][PROGRAM_PARTS];
	int fd;
	long r;

	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < PROGRAM_PARTS; i++)
			v[k][i] = (struct iovec){(void *)op->part[k][i].base, op->part[k][i].len};
	errno = 0;
	if (op->id != SC_PROCESS_MADVISE) {
		r = syscall(number_of(op->id), real, v[0], op->a[2], v[1], op->a[4], op->a[5]);
		return r == -1 ? -errno : r;
	}
	fd = (int)syscall(SYS_pidfd_open, real, 0);
	if (fd < 0)
		return -errno;
	r = syscall(SYS_process_madvise, fd, v[0], op->a[2], op->a[3], op->a[4]);
	r = r == -1 ? -errno : r;
	close(fd);
	return r;
}

static int64_t do_scan(const struct op *op, struct fuzz_answer *ans)
{
	struct pf_page_region vec[PROGRAM_REGIONS];
	uint64_t walk_end;
	int64_t nr = fuzz_look_scan(op->a, vec, &walk_end);

	if (nr < 0)
		return nr;
	ans->loaded[ans->nloaded++] = walk_end;
	for (int64_t i = 0; i < nr; i++) {
		ans->loaded[ans->nloaded++] = vec[i].start;
		ans->loaded[ans->nloaded++] = vec[i].end;
		ans->loaded[ans->nloaded++] = vec[i].categories;
	}
	return nr;
}

static int64_t do_clear_refs(const struct op *op)
{
	const char digit = (char)('0' + op->a[0]);
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	int64_t r = fd < 0 || write(fd, &digit, 1) != 1 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

/* What the host places outside the area goes again: the library has its own idea of where that is. */
static void take_away(const struct fuzz_area *area, const struct op *op, struct fuzz_answer *ans)
{
	uint64_t at = (uint64_t)ans->result, len, fixed;

	if (op->id == SC_MMAP) {
		len = op->a[1];
		fixed = op->a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	} else if (op->id == SC_MREMAP) {
		len = op->a[2];
		fixed = op->a[3] & MREMAP_FIXED || at == op->a[0];
	} else {
		return;
	}
	if (ans->result < 0 || fixed || (at >= area->low && at < area->high))
		return;
	munmap((void *)at, len);
	ans->away = true;
	ans->result = (int64_t)area->away;
}

void fuzz_call(
	const struct fuzz_area *area, const struct op *op, pid_t real, struct fuzz_answer *ans)
{
	switch (op->id) {
	case SC_MINCORE:
		ans->result = do_mincore(op, ans);
		break;
	case SC_PROCESS_VM_READV:
	case SC_PROCESS_VM_WRITEV:
	case SC_PROCESS_MADVISE:
		ans->result = do_process_call(op, real);
		fill_files(area, op);
		break;
	case SC_PAGEMAP_SCAN:
		ans->result = do_scan(op, ans);
		break;
	case SC_CLEAR_REFS:
		ans->result = do_clear_refs(op);
		break;
	default:
		if (fuzz_is_uffd(op->id)) {
			fuzz_uffd_host(op, ans);
			break;
		}
		ans->result = do_syscall(area, op);
		take_away(area, op, ans);
		fill_files(area, op);
	}
}
