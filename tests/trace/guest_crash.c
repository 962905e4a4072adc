/* SPDX-License-Identifier: MIT */
/* Writes to ten pages and then to no page. */
#include <stdlib.h>

static char pages[10 * 4096];

int main(void)
{
	for (int i = 0; i < 10; i++)
		*(volatile char *)&pages[i * 4096] = 1;
	*(volatile char *)8 = 1;
	return 0;
}
