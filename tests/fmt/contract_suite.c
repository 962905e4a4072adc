/* SPDX-License-Identifier: MIT */
/*
 * The contract suite for table formats (lib/fmt/contract.h), compiled once for each:
 * -DPF_FMT=<id> -DPF_PT_INTERNAL, with and without -DPF_JUDGE=1.
 *
 * With -DPF_BROKEN the program instead proves that the suite can fail: each mistake of broken.h is
 * turned on in a process of its own, which must end with a failed test, and once none, which must
 * not.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

const struct suite_expect *suite_x;

static const struct part {
	const char *name;
	const struct CMUnitTest *tests;
	const size_t *nr;
} parts[] = {
	{"codec", suite_codec, &suite_codec_nr},
	{"change", suite_change, &suite_change_nr},
	{"compare", suite_compare, &suite_compare_nr},
	{"memory", suite_memory, &suite_memory_nr},
	{"tlbi", suite_tlbi, &suite_tlbi_nr},
};

/* The number of tests that failed, in all parts or in the one named. */
static int run_suite(const char *part)
{
	int failed = 0;

	for (size_t i = 0; i < PF_ARRAY_SIZE(parts); i++) {
		char name[80];

		if (part && strcmp(part, parts[i].name))
			continue;
		snprintf(name, sizeof(name), "%s %s", suite_x->name, parts[i].name);
		suite_seed = i + 1;
		failed += _cmocka_run_group_tests(name, parts[i].tests, *parts[i].nr, NULL, NULL);
	}
	return failed;
}

#ifdef PF_BROKEN
#if !PF_JUDGE
#error "PF_BROKEN needs PF_JUDGE=1"
#endif

enum broken suite_broken;

struct mistake {
	enum broken which;
	const char *name;
	const char *part; /* of the suite, that must notice */
	bool harmless;    /* no mistake in this format */
};

/* Runs that part of the suite with that mistake in a child; the number of tests that failed. */
static int failures_with(enum broken which, const char *part)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		int failed;

		/* The sound format has the time that it needs: on a busy machine threads wait long for each other. */
		suite_haste = which == BROKEN_NOTHING ? 1 : 20;
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(0);
		suite_broken = which;
		failed = run_suite(part);
		_exit(failed > 100 ? 100 : failed);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	/* a crash is a mistake of the suite's own, not a finding */
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void sound_format_passes(void **state)
{
	(void)state;
	assert_int_equal(failures_with(BROKEN_NOTHING, NULL), 0);
}

static void mistake_is_caught(void **state)
{
	const struct mistake *m = *state;
	int failed;

	if (m->harmless)
		skip();
	failed = failures_with(m->which, m->part);
	if (!failed)
		fail_msg("%s: no test of part %s noticed", m->name, m->part);
	print_message("%s: %d tests failed\n", m->name, failed);
}

#define MISTAKE(part, which)                                                                       \
	{                                                                                          \
		BROKEN_##which, "caught_" #which, #part, false                                     \
	}
#define MISTAKE_IF(part, which, where)                                                             \
	{                                                                                          \
		BROKEN_##which, "caught_" #which, #part, !(where)                                  \
	}

static struct mistake mistakes[] = {
	MISTAKE(codec, ENCODE_LEAKS_CONT),
	MISTAKE(codec, ENCODE_DROPS_DIRTY_OF_READONLY),
	MISTAKE(codec, DECODE_IGNORES_SLOT),
	MISTAKE(codec, DECODE_LOSES_TOP_FRAME_BIT),
	MISTAKE(codec, DECODE_LOSES_SWAP_DEVICE),
	MISTAKE(codec, DECODE_MIGRATION_LOSES_YOUNG),
	MISTAKE(codec, NONE_LIKES_MARKERS),
	MISTAKE(codec, VALID_IS_PRESENT),
	MISTAKE(codec, PRESENT_IS_VALID),
	MISTAKE(codec, TABLE_LIKES_LEAVES),
	MISTAKE(codec, TABLE_PA_TRUNCATES),
	MISTAKE(codec, SAME_IGNORES_HIGH_BYTE),
	MISTAKE(change, ADVANCE_OFF_BY_ONE),
	MISTAKE(change, ADVANCE_IGNORES_LEVEL),
	MISTAKE(codec, PFN_IGNORES_SLOT),
	MISTAKE(change, SET_CONT_STICKS),
	MISTAKE(change, SET_CONT_CLEARS_YOUNG),
	MISTAKE(change, MKYOUNG_DIRTIES),
	MISTAKE(change, MKOLD_DOES_NOTHING),
	MISTAKE(change, MKDIRTY_WRITES),
	MISTAKE(change, MKCLEAN_FORGETS_HARDWARE_DIRTY),
	MISTAKE(change, WRPROTECT_LOSES_DIRTY),
	MISTAKE(change, MODIFY_LEAKS_CONT),
	MISTAKE(change, MODIFY_DROPS_CONT),
	MISTAKE(change, MODIFY_LOSES_DIRTY),
	MISTAKE(change, MODIFY_KEEPS_KEY),
	MISTAKE(compare, NORM_SEES_YOUNG),
	MISTAKE(compare, NORM_IGNORES_WRITE),
	MISTAKE(compare, NORM_SEES_DIRTY),
	MISTAKE(compare, NORM_IGNORES_UFFD),
	/* always is the right answer where A and D are software's */
	MISTAKE_IF(compare, SETTLED_ALWAYS, PF_HW_AD_FEATURES),
	MISTAKE(compare, SETTLED_NEVER),
	MISTAKE_IF(compare, SETTLED_IGNORES_DIRTY, PF_HW_AD_FEATURES),
	MISTAKE_IF(compare, SETTLED_IGNORES_LATE_D, PF_HW_LATE_D),
	MISTAKE(compare, NEEDS_FLUSH_NEVER),
	MISTAKE(compare, NEEDS_FLUSH_ALWAYS),
	MISTAKE(compare, NEEDS_FLUSH_IGNORES_WRITE),
	MISTAKE(compare, NEEDS_FLUSH_IGNORES_FRAME),
	MISTAKE(memory, STORE_RELEASE_FORGETS),
	MISTAKE(memory, XCHG_RETURNS_NEW),
	MISTAKE(memory, XCHG_NOT_ATOMIC),
	MISTAKE(memory, CAS_HIDES_FOUND),
	MISTAKE(memory, CAS_ALWAYS_STORES),
	MISTAKE(memory, LOAD_BEHIND_HOOK),
	MISTAKE(tlbi, TLBI_MISSES_LAST),
	MISTAKE(tlbi, TLBI_NOT_PUBLISHED),
	MISTAKE(tlbi, TLBI_KEEPS_TABLES),
	MISTAKE(tlbi, TLBI_ALWAYS_HINTS),
	MISTAKE(tlbi, TLBI_LOCAL_ONLY),
	MISTAKE(tlbi, TLBI_WHOLE_ASID),
	MISTAKE(tlbi, TLBI_WRONG_ASID),
	MISTAKE(tlbi, WAIT_DOES_NOTHING),
};

static int run_broken(void)
{
	struct CMUnitTest tests[PF_ARRAY_SIZE(mistakes) + 1] = {
		cmocka_unit_test(sound_format_passes),
	};
	char name[80];

	PF_STATIC_ASSERT(PF_ARRAY_SIZE(mistakes) + 1 == BROKEN_NR, "each mistake is in the list");
	for (size_t i = 0; i < PF_ARRAY_SIZE(mistakes); i++)
		tests[i + 1] = (struct CMUnitTest){.name = mistakes[i].name,
			.test_func = mistake_is_caught,
			.initial_state = &mistakes[i]};
	snprintf(name, sizeof(name), "%s broken", suite_x->name);
	return _cmocka_run_group_tests(name, tests, PF_ARRAY_SIZE(tests), NULL, NULL);
}
#endif

int main(void)
{
	suite_x = suite_expect_find(PF_STR(PF_FMT));
	if (!suite_x) {
		fprintf(stderr, "format " PF_STR(PF_FMT) " is not described in suite_expect.c\n");
		return 1;
	}
#ifdef PF_BROKEN
	return run_broken() != 0;
#else
	return run_suite(NULL) != 0;
#endif
}
