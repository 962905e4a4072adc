// SPDX-License-Identifier: MIT
/* What a process of the host's looks like, to itself: its mappings, their flags, its pages. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/fuzz_look.h"
#include "mm/vma.h"

static int maps_fd = -1, pagemap_fd = -1;

bool fuzz_look_open(void)
{
	if (maps_fd >= 0) {
		close(maps_fd);
		close(pagemap_fd);
	}
	maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return maps_fd >= 0 && pagemap_fd >= 0;
}

bool fuzz_look_map(uint64_t va, struct map_query *q)
{
	*q = (struct map_query){
		.size = sizeof(*q), .query_flags = MAP_QUERY_OR_NEXT, .query_addr = va};
	return !ioctl(maps_fd, MAP_QUERY, q);
}

/* The letters of smaps for what a mapping is besides its permissions. */
static const struct {
	char letters[3];
	uint32_t flag;
} vm_flags[] = {
	{"mr", PF_VM_MAYREAD},
	{"mw", PF_VM_MAYWRITE},
	{"me", PF_VM_MAYEXEC},
	{"lo", PF_VM_LOCKED},
	{"lf", PF_VM_LOCKONFAULT},
	{"sr", PF_VM_SEQ_READ},
	{"rr", PF_VM_RAND_READ},
	{"dc", PF_VM_DONTCOPY},
	{"ac", PF_VM_ACCOUNT},
	{"nr", PF_VM_NORESERVE},
	{"wf", PF_VM_WIPEONFORK},
	{"dd", PF_VM_DONTDUMP},
	{"hg", PF_VM_HUGEPAGE},
	{"nh", PF_VM_NOHUGEPAGE},
	{"mg", PF_VM_MERGEABLE},
	{"um", PF_VM_UFFD_MISSING},
	{"uw", PF_VM_UFFD_WP},
	{"ui", PF_VM_UFFD_MINOR},
};

const char *const fuzz_smaps[FUZZ_SMAPS] = {
	[FUZZ_RSS] = "Rss:",
	[FUZZ_PSS] = "Pss:",
	[FUZZ_SHARED] = "Shared_",
	[FUZZ_PRIVATE] = "Private_",
	[FUZZ_ANONYMOUS] = "Anonymous:",
	[FUZZ_KSM] = "KSM:",
	[FUZZ_SWAP] = "Swap:",
	[FUZZ_LOCKED] = "Locked:",
};

const uint32_t fuzz_host_flags =
	PF_VM_MAYREAD | PF_VM_MAYWRITE | PF_VM_MAYEXEC | PF_VM_LOCKED | PF_VM_LOCKONFAULT |
	PF_VM_SEQ_READ | PF_VM_RAND_READ | PF_VM_DONTCOPY | PF_VM_ACCOUNT | PF_VM_NORESERVE |
	PF_VM_WIPEONFORK | PF_VM_DONTDUMP | PF_VM_HUGEPAGE | PF_VM_NOHUGEPAGE | PF_VM_MERGEABLE |
	PF_VM_UFFD_MISSING | PF_VM_UFFD_WP | PF_VM_UFFD_MINOR;

static uint32_t flags_of(const char *p)
{
	uint32_t flags = 0;

	for (; *p == ' ' && p[1] >= 'a' && p[1] <= 'z'; p += 3)
		for (size_t i = 0; i < PF_ARRAY_SIZE(vm_flags); i++)
			if (!strncmp(p + 1, vm_flags[i].letters, 2))
				flags |= vm_flags[i].flag;
	return flags;
}

/* Lines "Name:   12 kB", up to the line of flags; Shared_Hugetlb and Private_Hugetlb are 0. */
static void numbers_of(const char *p, const char *end, uint64_t kb[FUZZ_SMAPS])
{
	memset(kb, 0, FUZZ_SMAPS * sizeof(*kb));
	for (; p && p < end; p = strchr(p + 1, '\n'))
		for (size_t i = 0; i < FUZZ_SMAPS; i++)
			if (!strncmp(p + 1, fuzz_smaps[i], strlen(fuzz_smaps[i])))
				kb[i] += strtoull(p + 1 + strcspn(p + 1, " "), NULL, 10);
}

/* smaps has them; reading it takes as long as a dozen calls. */
static void look_closely(struct fuzz_answer *ans)
{
	static char text[1 << 19];
	size_t used = 0;
	ssize_t n;
	char *p = text, *flags;
	int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && used < sizeof(text) - 1 &&
		(n = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	if (fd >= 0)
		close(fd);
	text[used] = 0;
	for (unsigned i = 0; i < ans->nmaps; i++) {
		char start[32];

		snprintf(start, sizeof(start), "\n%" PRIx64 "-", ans->maps[i].start);
		/* The first of all has no line before it. */
		p = !strncmp(p, start + 1, strlen(start + 1)) ? p : strstr(p, start);
		flags = p ? strstr(p, "\nVmFlags:") : NULL;
		if (!flags)
			return;
		numbers_of(strchr(p + 1, '\n'), flags, ans->maps[i].kb);
		ans->maps[i].flags = flags_of(flags + strlen("\nVmFlags:"));
		p = flags;
	}
	ans->closely = true;
}

void fuzz_look(const struct fuzz_area *area, struct fuzz_answer *ans, bool closely)
{
	struct map_query q;
	size_t heap = FUZZ_HEAP_PAGES * sizeof(uint64_t), window = FUZZ_PAGES * sizeof(uint64_t);

	ans->nmaps = 0;
	for (uint64_t at = area->low;
		ans->nmaps < FUZZ_MAPS && fuzz_look_map(at, &q) && q.start < area->high; at = q.end)
		ans->maps[ans->nmaps++] = (struct fuzz_map){.start = q.start,
			.end = q.end,
			.offset = q.offset,
			.perms = {q.flags & 1 ? 'r' : '-', q.flags & 2 ? 'w' : '-',
				q.flags & 4 ? 'x' : '-', q.flags & 8 ? 's' : 'p', 0}};
	if (pread(pagemap_fd, ans->pagemap, heap, (off_t)(area->heap / FUZZ_PAGE * 8)) !=
			(ssize_t)heap ||
		pread(pagemap_fd, ans->pagemap + FUZZ_HEAP_PAGES, window,
			(off_t)(area->base / FUZZ_PAGE * 8)) != (ssize_t)window)
		memset(ans->pagemap, 0, sizeof(ans->pagemap));
	if (closely)
		look_closely(ans);
}

bool fuzz_look_page(uint64_t va, uint64_t *word)
{
	return pread(pagemap_fd, word, sizeof(*word), (off_t)(va / FUZZ_PAGE * 8)) ==
	       (ssize_t)sizeof(*word);
}

/* struct pm_scan_arg: the ABI of Linux 6.7, which Debian's headers do not have yet. */
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
		category_mask, category_anyof_mask, return_mask;
};
#define SCAN _IOWR('f', 16, struct scan_arg)

int64_t fuzz_look_scan(
	const uint64_t a[PROGRAM_ARGS], struct pf_page_region *vec, uint64_t *walk_end)
{
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = a[0],
		.end = a[0] + a[1],
		.flags = a[2],
		.vec = a[3] ? (uint64_t)vec : 0,
		.vec_len = a[3],
		.max_pages = a[4],
		.category_inverted = a[5],
		.category_mask = a[6],
		.category_anyof_mask = a[7],
		.return_mask = a[8],
	};
	int r = ioctl(pagemap_fd, SCAN, &arg);

	*walk_end = arg.walk_end;
	return r < 0 ? -errno : r;
}
