/* SPDX-License-Identifier: MIT */
/* PROCMAP_QUERY of /proc/PID/maps: the ABI of Linux 6.11, which Debian's headers do not have yet. */
#ifndef CLI_MAP_QUERY_H
#define CLI_MAP_QUERY_H

#include <stdint.h>
#include <sys/ioctl.h>

struct map_query {
	uint64_t size, query_flags, query_addr, start, end, flags, page_size, offset, inode;
	uint32_t dev_major, dev_minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define MAP_QUERY         _IOWR('f', 17, struct map_query)
#define MAP_QUERY_OR_NEXT 0x10 /* of query_flags: else the address must be mapped */

#endif
