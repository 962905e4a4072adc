// SPDX-License-Identifier: MIT
/* The words of the language: calls, predicates, counters, and the constants that strace names. */
#include <stdio.h>
#include <string.h>

#include "cli/scenario.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const struct sc_call_desc calls[] = {
	{"mmap", SC_MMAP, 6, 6, false, true},
	{"munmap", SC_MUNMAP, 2, 2, false, true},
	{"mprotect", SC_MPROTECT, 3, 3, false, true},
	{"mremap", SC_MREMAP, 4, 5, false, true},
	{"madvise", SC_MADVISE, 3, 3, false, true},
	{"brk", SC_BRK, 1, 1, false, true},
	{"mlock", SC_MLOCK, 2, 2, false, true},
	{"mlock2", SC_MLOCK2, 3, 3, false, true},
	{"munlock", SC_MUNLOCK, 2, 2, false, true},
	{"mlockall", SC_MLOCKALL, 1, 1, false, true},
	{"munlockall", SC_MUNLOCKALL, 0, 0, false, true},
	{"pkey_mprotect", SC_PKEY_MPROTECT, 4, 4, false, true},
	{"mincore", SC_MINCORE, 3, 3, false, true},
	{"msync", SC_MSYNC, 3, 3, false, true},
	{"mseal", SC_MSEAL, 3, 3, false, true},
	{"fork", SC_FORK, 0, 0, false, true},
	{"exit_group", SC_EXIT_GROUP, 0, 1, false, true},
	{"load", SC_LOAD, 1, 2, true, false},
	{"store", SC_STORE, 1, 2, true, false},
	{"exec", SC_EXEC, 1, 2, true, false},
	{"touch", SC_TOUCH, 1, 2, true, false},

	{"process_madvise", SC_PROCESS_MADVISE, 5, 5, false, true},
	{"vfork", SC_OTHER, 0, 0, false, true},
	{"clone", SC_OTHER, 1, 6, false, true},
	{"userfaultfd", SC_USERFAULTFD, 1, 1, false, true},
	{"ioctl", SC_IOCTL, 2, 3, false, true},
	{"close", SC_CLOSE, 1, 1, false, true},
	{"ioctl(PAGEMAP_SCAN)", SC_PAGEMAP_SCAN, 3, 3, false, true},
	{"process_vm_readv", SC_PROCESS_VM_READV, 6, 6, false, true},
	{"process_vm_writev", SC_PROCESS_VM_WRITEV, 6, 6, false, true},

	{"gup", SC_GUP, 2, 3, false, true},
	{"gup_fast", SC_GUP_FAST, 2, 3, false, true},
	{"unpin", SC_UNPIN, 1, 1, false, true},

	{"reclaim", SC_RECLAIM, 1, 1, false, true},
	{"age", SC_AGE, 0, 0, false, true},
	{"collapse", SC_COLLAPSE, 2, 2, false, true},
	{"split", SC_SPLIT, 1, 1, false, true},
	{"migrate", SC_MIGRATE, 2, 2, false, true},
	{"ksm", SC_KSM, 2, 2, false, true},
	{"numa_hint", SC_NUMA_HINT, 2, 2, false, true},
	{"poison", SC_POISON, 1, 1, false, true},
	{"clear_refs", SC_CLEAR_REFS, 1, 1, false, true},
	{"swapoff", SC_SWAPOFF, 0, 0, false, true},

	{"vm", SC_OTHER, 1, 1, false, true},
	{"slot", SC_OTHER, 4, 4, false, true},
	{"guest_load", SC_OTHER, 2, 3, true, false},
	{"guest_store", SC_OTHER, 2, 3, true, false},
};

static const struct sc_pred_desc preds[] = {
	{"mapped", SC_P_MAPPED, 1, 2, false, true, true},
	{"none", SC_P_NONE, 1, 2, false, false, true},
	{"present", SC_P_PRESENT, 1, 2, false, false, true},
	{"folded", SC_P_FOLDED, 1, 2, true, false, true},
	{"unfolded", SC_P_UNFOLDED, 1, 2, true, true, true},
	{"readable", SC_P_READABLE, 1, 2, false, false, true},
	{"writable", SC_P_WRITABLE, 1, 2, false, false, true},
	{"executable", SC_P_EXECUTABLE, 1, 2, false, false, true},
	{"young", SC_P_YOUNG, 1, 2, true, false, true},
	{"dirty", SC_P_DIRTY, 1, 2, true, false, true},
	{"soft_dirty", SC_P_SOFT_DIRTY, 1, 2, false, false, true},
	{"uffd_wp", SC_P_UFFD_WP, 1, 2, false, false, true},
	{"special", SC_P_SPECIAL, 1, 2, false, false, true},
	{"protnone", SC_P_PROTNONE, 1, 2, false, false, true},
	{"exclusive", SC_P_EXCLUSIVE, 1, 2, false, false, true},
	{"swapped", SC_P_SWAPPED, 1, 2, false, false, true},
	{"locked", SC_P_LOCKED, 1, 2, false, false, true},
	{"leaf", SC_P_LEAF, 3, 3, true, false, false},
	{"order", SC_P_ORDER, 3, 3, false, false, true},
	{"same_page", SC_P_SAME_PAGE, 2, 2, false, false, true},
	{"pinned", SC_P_PINNED, 3, 3, false, false, true},
	{"guest_mapped", SC_P_GUEST_MAPPED, 3, 3, false, false, false},
};

const char *const sc_counter_names[SC_C_NR] = {
	[SC_C_FOLD] = "fold",
	[SC_C_UNFOLD] = "unfold",
	[SC_C_FOLD_FAILED] = "fold_failed",
	[SC_C_FOLD_LOADS] = "fold_loads",
	[SC_C_PTE_LOAD] = "pte_load",
	[SC_C_PTE_STORE] = "pte_store",
	[SC_C_PTE_XCHG] = "pte_xchg",
	[SC_C_TLBI] = "tlbi",
	[SC_C_TLBI_RANGE] = "tlbi_range",
	[SC_C_TLBI_PAGES] = "tlbi_pages",
	[SC_C_DSB] = "dsb",
	[SC_C_FLUSH_MM] = "flush_mm",
	[SC_C_FAULT] = "fault",
	[SC_C_SPURIOUS_FAULT] = "spurious_fault",
	[SC_C_TABLE_ALLOC] = "table_alloc",
	[SC_C_TABLE_FREE] = "table_free",
	[SC_C_COW] = "cow",
	[SC_C_IPI] = "ipi",
	[SC_C_WALK_LOAD] = "walk_load",
	[SC_C_WALK_AD] = "walk_ad",
	[SC_C_TLB_MISS] = "tlb_miss",
	[SC_C_NOTIFIER_START] = "notifier_start",
	[SC_C_NOTIFIER_END] = "notifier_end",
	[SC_C_SPLIT] = "split",
	[SC_C_USERFAULT] = "userfault",
	[SC_C_WOKEN] = "woken",
	[SC_C_LEAF_SPLIT] = "leaf_split",
	[SC_C_COLLAPSE] = "collapse",
};

static const char *const needs[] = {
	"contiguous",
	"pmd_leaf",
	"pud_leaf",
	"pmd_contiguous",
	"soft_dirty",
	"shadow_stack",
	"hw_ad",
	"uffd_wp",
	"special",
};

struct constant {
	const char *name;
	uint64_t value;
};

/* Linux's values: arm64's and x86-64's agree on all of these. */
static const struct constant constants[] = {
	{"NULL", 0},
	{"PROT_NONE", 0},
	{"PROT_READ", 1},
	{"PROT_WRITE", 2},
	{"PROT_EXEC", 4},
	{"PROT_SEM", 8},
	{"PROT_BTI", 0x10},
	{"PROT_MTE", 0x20},
	{"PROT_GROWSDOWN", 0x01000000},
	{"PROT_GROWSUP", 0x02000000},

	{"MAP_FILE", 0},
	{"MAP_SHARED", 1},
	{"MAP_PRIVATE", 2},
	{"MAP_SHARED_VALIDATE", 3},
	{"MAP_DROPPABLE", 8},
	{"MAP_FIXED", 0x10},
	{"MAP_ANONYMOUS", 0x20},
	{"MAP_ANON", 0x20},
	{"MAP_32BIT", 0x40},
	{"MAP_ABOVE4G", 0x80},
	{"MAP_GROWSDOWN", 0x100},
	{"MAP_DENYWRITE", 0x800},
	{"MAP_EXECUTABLE", 0x1000},
	{"MAP_LOCKED", 0x2000},
	{"MAP_NORESERVE", 0x4000},
	{"MAP_POPULATE", 0x8000},
	{"MAP_NONBLOCK", 0x10000},
	{"MAP_STACK", 0x20000},
	{"MAP_HUGETLB", 0x40000},
	{"MAP_SYNC", 0x80000},
	{"MAP_FIXED_NOREPLACE", 0x100000},
	{"MAP_HUGE_SHIFT", 26},
	{"MAP_HUGE_2MB", UINT64_C(21) << 26},
	{"MAP_HUGE_1GB", UINT64_C(30) << 26},

	{"MREMAP_MAYMOVE", 1},
	{"MREMAP_FIXED", 2},
	{"MREMAP_DONTUNMAP", 4},

	{"MADV_NORMAL", 0},
	{"MADV_RANDOM", 1},
	{"MADV_SEQUENTIAL", 2},
	{"MADV_WILLNEED", 3},
	{"MADV_DONTNEED", 4},
	{"MADV_FREE", 8},
	{"MADV_REMOVE", 9},
	{"MADV_DONTFORK", 10},
	{"MADV_DOFORK", 11},
	{"MADV_MERGEABLE", 12},
	{"MADV_UNMERGEABLE", 13},
	{"MADV_HUGEPAGE", 14},
	{"MADV_NOHUGEPAGE", 15},
	{"MADV_DONTDUMP", 16},
	{"MADV_DODUMP", 17},
	{"MADV_WIPEONFORK", 18},
	{"MADV_KEEPONFORK", 19},
	{"MADV_COLD", 20},
	{"MADV_PAGEOUT", 21},
	{"MADV_POPULATE_READ", 22},
	{"MADV_POPULATE_WRITE", 23},
	{"MADV_DONTNEED_LOCKED", 24},
	{"MADV_COLLAPSE", 25},
	{"MADV_HWPOISON", 100},
	{"MADV_SOFT_OFFLINE", 101},
	{"MADV_GUARD_INSTALL", 102},
	{"MADV_GUARD_REMOVE", 103},

	{"MLOCK_ONFAULT", 1},
	{"MCL_CURRENT", 1},
	{"MCL_FUTURE", 2},
	{"MCL_ONFAULT", 4},
	{"MS_ASYNC", 1},
	{"MS_INVALIDATE", 2},
	{"MS_SYNC", 4},

	{"SIGCHLD", 17},
	{"CLONE_VM", 0x100},
	{"CLONE_FS", 0x200},
	{"CLONE_FILES", 0x400},
	{"CLONE_SIGHAND", 0x800},
	{"CLONE_VFORK", 0x4000},
	{"CLONE_PARENT", 0x8000},
	{"CLONE_THREAD", 0x10000},
	{"CLONE_NEWNS", 0x20000},
	{"CLONE_SYSVSEM", 0x40000},
	{"CLONE_SETTLS", 0x80000},
	{"CLONE_PARENT_SETTID", 0x100000},
	{"CLONE_CHILD_CLEARTID", 0x200000},
	{"CLONE_CHILD_SETTID", 0x1000000},

	{"O_NONBLOCK", 0x800},
	{"O_CLOEXEC", 0x80000},
	{"UFFD_USER_MODE_ONLY", 1},
	{"UFFD_API", 0xaa},
	{"UFFDIO_API", 0xc018aa3f},
	{"UFFDIO_REGISTER", 0xc020aa00},
	{"UFFDIO_UNREGISTER", 0x8010aa01},
	{"UFFDIO_WAKE", 0x8010aa02},
	{"UFFDIO_COPY", 0xc028aa03},
	{"UFFDIO_ZEROPAGE", 0xc020aa04},
	{"UFFDIO_MOVE", 0xc028aa05},
	{"UFFDIO_WRITEPROTECT", 0xc018aa06},
	{"UFFDIO_CONTINUE", 0xc020aa07},
	{"UFFDIO_POISON", 0xc020aa08},
	{"UFFDIO_REGISTER_MODE_MISSING", 1},
	{"UFFDIO_REGISTER_MODE_WP", 2},
	{"UFFDIO_REGISTER_MODE_MINOR", 4},
	{"UFFDIO_COPY_MODE_DONTWAKE", 1},
	{"UFFDIO_COPY_MODE_WP", 2},
	{"UFFDIO_ZEROPAGE_MODE_DONTWAKE", 1},
	{"UFFDIO_WRITEPROTECT_MODE_WP", 1},
	{"UFFDIO_WRITEPROTECT_MODE_DONTWAKE", 2},
	{"UFFDIO_CONTINUE_MODE_DONTWAKE", 1},
	{"UFFDIO_CONTINUE_MODE_WP", 2},
	{"UFFDIO_POISON_MODE_DONTWAKE", 1},
	{"UFFD_FEATURE_PAGEFAULT_FLAG_WP", 1 << 0},
	{"UFFD_FEATURE_EVENT_FORK", 1 << 1},
	{"UFFD_FEATURE_EVENT_REMAP", 1 << 2},
	{"UFFD_FEATURE_EVENT_REMOVE", 1 << 3},
	{"UFFD_FEATURE_MISSING_HUGETLBFS", 1 << 4},
	{"UFFD_FEATURE_MISSING_SHMEM", 1 << 5},
	{"UFFD_FEATURE_EVENT_UNMAP", 1 << 6},
	{"UFFD_FEATURE_SIGBUS", 1 << 7},
	{"UFFD_FEATURE_THREAD_ID", 1 << 8},
	{"UFFD_FEATURE_MINOR_HUGETLBFS", 1 << 9},
	{"UFFD_FEATURE_MINOR_SHMEM", 1 << 10},
	{"UFFD_FEATURE_EXACT_ADDRESS", 1 << 11},
	{"UFFD_FEATURE_WP_HUGETLBFS_SHMEM", 1 << 12},
	{"UFFD_FEATURE_WP_UNPOPULATED", 1 << 13},
	{"UFFD_FEATURE_POISON", 1 << 14},
	{"UFFD_FEATURE_WP_ASYNC", 1 << 15},
	{"UFFD_FEATURE_MOVE", 1 << 16},
	{"UFFDIO_MOVE_MODE_DONTWAKE", 1},
	{"UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES", 2},
	{"PAGEMAP_SCAN", 0xc0606610},
	{"PM_SCAN_WP_MATCHING", 1},
	{"PM_SCAN_CHECK_WPASYNC", 2},
	{"PAGE_IS_WPALLOWED", 1 << 0},
	{"PAGE_IS_WRITTEN", 1 << 1},
	{"PAGE_IS_FILE", 1 << 2},
	{"PAGE_IS_PRESENT", 1 << 3},
	{"PAGE_IS_SWAPPED", 1 << 4},
	{"PAGE_IS_PFNZERO", 1 << 5},
	{"PAGE_IS_HUGE", 1 << 6},
	{"PAGE_IS_SOFT_DIRTY", 1 << 7},
	{"PAGE_IS_GUARD", 1 << 8},

	{"FOLL_WRITE", 1 << 0},
	{"FOLL_GET", 1 << 1},
	{"FOLL_FORCE", 1 << 3},
	{"FOLL_NOFAULT", 1 << 5},
	{"FOLL_LONGTERM", 1 << 8},
	{"FOLL_HONOR_NUMA_FAULT", 1u << 12},
	{"FOLL_PIN", 1 << 19},

	{"tdp", 1},
	{"shadow", 2},
};

static const struct constant errnos[] = {
	{"EPERM", 1},
	{"ENOENT", 2},
	{"ESRCH", 3},
	{"EINTR", 4},
	{"EIO", 5},
	{"ENXIO", 6},
	{"E2BIG", 7},
	{"EBADF", 9},
	{"ECHILD", 10},
	{"EAGAIN", 11},
	{"ENOMEM", 12},
	{"EACCES", 13},
	{"EFAULT", 14},
	{"EBUSY", 16},
	{"EEXIST", 17},
	{"ENODEV", 19},
	{"EINVAL", 22},
	{"ENFILE", 23},
	{"EMFILE", 24},
	{"ENOTTY", 25},
	{"ETXTBSY", 26},
	{"ENOSPC", 28},
	{"ESPIPE", 29},
	{"EROFS", 30},
	{"ERANGE", 34},
	{"EDEADLK", 35},
	{"ENOSYS", 38},
	{"EOVERFLOW", 75},
	{"EOPNOTSUPP", 95},
	{"EHWPOISON", 133},
};

const struct sc_call_desc *sc_find_call(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (!strcmp(calls[i].name, name))
			return &calls[i];
	return NULL;
}

const struct sc_pred_desc *sc_find_pred(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(preds); i++)
		if (!strcmp(preds[i].name, name))
			return &preds[i];
	return NULL;
}

int sc_find_counter(const char *name)
{
	for (int i = 0; i < SC_C_NR; i++)
		if (!strcmp(sc_counter_names[i], name))
			return i;
	return -1;
}

unsigned sc_find_need(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (!strcmp(needs[i], name))
			return 1u << i;
	return 0;
}

const char *sc_need_name(unsigned one_bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (one_bit == 1u << i)
			return needs[i];
	return "?";
}

bool sc_find_constant(const char *name, uint64_t *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(constants); i++) {
		if (!strcmp(constants[i].name, name)) {
			*value = constants[i].value;
			return true;
		}
	}
	return false;
}

int sc_find_errno(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(errnos); i++)
		if (!strcmp(errnos[i].name, name))
			return (int)errnos[i].value;
	return 0;
}

const char *sc_errno_name(int err)
{
	static char other[16];

	for (size_t i = 0; i < ARRAY_SIZE(errnos); i++)
		if (errnos[i].value == (uint64_t)err)
			return errnos[i].name;
	snprintf(other, sizeof(other), "E%d", err);
	return other;
}

const char *sc_advice_name(uint64_t advice)
{
	for (size_t i = 0; i < ARRAY_SIZE(constants); i++)
		if (!strncmp(constants[i].name, "MADV_", 5) && constants[i].value == advice)
			return constants[i].name;
	return NULL;
}
