/* SPDX-License-Identifier: MIT */
/* The commands `record` and `trace` by themselves, for the tests. */
#include "cli/commands.h"

#include <string.h>

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "record"))
		return cmd_record(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "trace"))
		return cmd_trace(argc - 1, argv + 1);
	return 2;
}
