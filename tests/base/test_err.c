/* SPDX-License-Identifier: MIT */
/* base/err.h: every number is the host's, which is Linux; and none is missing here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"

#define SAME(name)                                                                                 \
	{                                                                                          \
		"PF_" #name, PF_##name, name                                                       \
	}

static const struct {
	const char *name;
	int ours, linux_value;
} numbers[] = {
	SAME(EPERM),
	SAME(ENOENT),
	SAME(ENOSPC),
	SAME(ESRCH),
	SAME(EINTR),
	SAME(EIO),
	SAME(ENXIO),
	SAME(EBADF),
	SAME(EAGAIN),
	SAME(ENOMEM),
	SAME(EACCES),
	SAME(EFAULT),
	SAME(EBUSY),
	SAME(EEXIST),
	SAME(ENODEV),
	SAME(EINVAL),
	SAME(ENOSYS),
	SAME(EOVERFLOW),
	SAME(EOPNOTSUPP),
	SAME(EHWPOISON),
};

static void numbers_are_linux_s(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_int_equal(numbers[i].ours, numbers[i].linux_value);
}

/* The header read as text: what it defines stands in the table above. */
static void no_number_is_forgotten(void **state)
{
	FILE *f = fopen(ERR_HEADER, "r");
	char line[200], name[64];
	unsigned found = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		bool known = false;

		if (sscanf(line, "#define %63s %*d", name) != 1 || strncmp(name, "PF_E", 4))
			continue;
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
			known |= !strcmp(name, numbers[i].name);
		if (!known)
			fail_msg("%s is not compared", name);
		found++;
	}
	fclose(f);
	assert_int_equal(found, sizeof(numbers) / sizeof(numbers[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_linux_s),
		cmocka_unit_test(no_number_is_forgotten),
	};

	return cmocka_run_group_tests_name("base err", tests, NULL, NULL);
}
