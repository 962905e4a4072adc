/* SPDX-License-Identifier: MIT */
/* Names of events, and the checksum. */
#include "trace_format.h"
#include "trace_layout.h"

#include <string.h>

static const struct {
	const char *name;
	unsigned char args;
} events[TRACE_EV_LAST] = {
	[TRACE_EV_MAP] = {"map", 7},
	[TRACE_EV_THREAD_START] = {"thread_start", 1},
	[TRACE_EV_THREAD_EXIT] = {"thread_exit", 0},
	[TRACE_EV_FORK] = {"fork", 1},
	[TRACE_EV_CLONE] = {"clone", 1},
	[TRACE_EV_EXEC] = {"exec", 0},
	[TRACE_EV_EXIT] = {"exit", 1},
	[TRACE_EV_NOT_CAPTURED] = {"not_captured", 1},
	[TRACE_EV_STATISTICS] = {"statistics", 1},
	[TRACE_EV_MMAP] = {"mmap", 6},
	[TRACE_EV_MUNMAP] = {"munmap", 2},
	[TRACE_EV_MREMAP] = {"mremap", 5},
	[TRACE_EV_MPROTECT] = {"mprotect", 3},
	[TRACE_EV_PKEY_MPROTECT] = {"pkey_mprotect", 4},
	[TRACE_EV_MADVISE] = {"madvise", 3},
	[TRACE_EV_PROCESS_MADVISE] = {"process_madvise", 5},
	[TRACE_EV_BRK] = {"brk", 1},
	[TRACE_EV_MLOCK] = {"mlock", 2},
	[TRACE_EV_MLOCK2] = {"mlock2", 3},
	[TRACE_EV_MUNLOCK] = {"munlock", 2},
	[TRACE_EV_MLOCKALL] = {"mlockall", 1},
	[TRACE_EV_MUNLOCKALL] = {"munlockall", 0},
	[TRACE_EV_MSYNC] = {"msync", 3},
	[TRACE_EV_MINCORE] = {"mincore", 3},
	[TRACE_EV_SHMAT] = {"shmat", 3},
	[TRACE_EV_SHMDT] = {"shmdt", 1},
	[TRACE_EV_REMAP_FILE_PAGES] = {"remap_file_pages", 5},
	[TRACE_EV_MBIND] = {"mbind", 6},
	[TRACE_EV_SET_MEMPOLICY] = {"set_mempolicy", 3},
	[TRACE_EV_MIGRATE_PAGES] = {"migrate_pages", 4},
	[TRACE_EV_MOVE_PAGES] = {"move_pages", 6},
	[TRACE_EV_USERFAULTFD] = {"userfaultfd", 1},
	[TRACE_EV_PRCTL] = {"prctl", 5},
	[TRACE_EV_MSEAL] = {"mseal", 3},
};

const char *trace_event_name(unsigned kind)
{
	return kind < TRACE_EV_LAST ? events[kind].name : NULL;
}

unsigned trace_event_call_args(unsigned kind)
{
	return kind < TRACE_EV_LAST ? events[kind].args : 0;
}

static uint32_t crc_table[8][256];

static __attribute__((constructor)) void fill_crc_table(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t v = b;

		for (int i = 0; i < 8; i++)
			v = v >> 1 ^ (v & 1 ? 0x82f63b78u : 0);
		crc_table[0][b] = v;
	}
	for (uint32_t b = 0; b < 256; b++)
		for (int i = 1; i < 8; i++)
			crc_table[i][b] =
				crc_table[i - 1][b] >> 8 ^ crc_table[0][crc_table[i - 1][b] & 0xff];
}

uint32_t trace_crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8) {
		uint32_t lo = trace_get32(p) ^ crc, hi = trace_get32(p + 4);

		crc = crc_table[7][lo & 0xff] ^ crc_table[6][lo >> 8 & 0xff] ^
		      crc_table[5][lo >> 16 & 0xff] ^ crc_table[4][lo >> 24] ^
		      crc_table[3][hi & 0xff] ^ crc_table[2][hi >> 8 & 0xff] ^
		      crc_table[1][hi >> 16 & 0xff] ^ crc_table[0][hi >> 24];
	}
	while (len--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p++) & 0xff];
	return ~crc;
}
