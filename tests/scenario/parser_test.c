// SPDX-License-Identifier: MIT
/* The language: all of its page is read, and what cannot be read is said with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "cli/scenario.h"

static struct sc_error err;

static struct sc_file *parse(const char *text)
{
	return sc_parse("t.pf", text, strlen(text), &err);
}

static struct sc_file *good(const char *text)
{
	struct sc_file *f = parse(text);

	if (!f)
		fail_msg("line %u: %s\nin: %s", err.line, err.text, text);
	return f;
}

/* Every construct of the page, as one file. */
static void whole_language(void **state)
{
	static const char text[] =
		"# a comment, with \"quotes\n"
		"@format arm64-4k,fake-inv\n"
		"@needs contiguous pmd_leaf pud_leaf pmd_contiguous soft_dirty shadow_stack hw_ad\n"
		"@memory 64M\n"
		"@cpus 4   # four\n"
		"@fold both\n"
		"@policy linux\n"
		"@thp 64K=always 1B=madvise 2M=inherit 32K=never\n"
		"@thp enabled=always\n"
		"@feature hafdbs bbm0\n"
		"@swap 64M\n"
		"@file data 1M\n"
		"@dax pmem 1G\n"
		"@fail each\n"
		"\n"
		"$a = mmap(0x10000000, 1M, PROT_READ|PROT_WRITE, "
		"MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0) = 0x10000000\r\n"
		"$b=mmap(NULL, 4P, PROT_READ, MAP_SHARED, data, 0)\n"
		"mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_HUGETLB|21<<MAP_HUGE_SHIFT, "
		"3</lib/libc.so.6>, 0x1000) = -1 ENODEV (No such device)\n"
		"munmap($a + 4K, 4K)\n"
		"pkey_mprotect($a, 4K, PROT_READ, 1) = 0\n"
		"$a = mremap($a, 16P, 32P - 1B + $PMD - $PUD, MREMAP_MAYMOVE|MREMAP_FIXED, "
		"0x20000000)\n"
		"madvise($a, 64K, MADV_DONTNEED) = 0 | -1 EAGAIN (Resource temporarily "
		"unavailable) | -1 EINVAL\n"
		"process_madvise(5, [{iov_base=0x7f0000, iov_len=4096}, {iov_base=NULL, "
		"iov_len=0}], 2, MADV_COLD, 0) = ?\n"
		"$h = brk(NULL) = 0x555555556000\n"
		"mlock(NULL, 0)\nmlock2($a, 4K, MLOCK_ONFAULT)\nmunlock($a, "
		"4K)\nmlockall(MCL_CURRENT|MCL_FUTURE)\nmunlockall()\n"
		"mincore($a, 4096, [1, 1, 0]) = 0\nmsync($a, 4K, MS_SYNC)\nmseal($a, 4K, 0)\n"
		"userfaultfd(O_CLOEXEC|UFFD_USER_MODE_ONLY) = 3\n"
		"ioctl(3, UFFDIO_REGISTER, {range={start=0x7f0000, len=0x1000}, "
		"mode=UFFDIO_REGISTER_MODE_MISSING, ioctls=1<<2}) = 0\n"
		"ioctl(4, PAGEMAP_SCAN, {x={y=[1, {z=\"}\"}]}} => {walk_end=0x1000}) = 0\n"
		"process_vm_readv(2, [{iov_base=\"abc\"..., iov_len=3}], 1, [{iov_base=0x66 /* "
		"four */, iov_len=3}], 1, 0) = 3\n"
		"process_vm_writev(2, [], 0, [], 0, 0)\n"
		"fork() = 2\n"
		"[pid 2] store($a, 64K) = SIGSEGV at $a + 4K\n"
		"[cpu 1] load($a)\n"
		"[pid 1] [cpu 3] exec($a, 1P) = SIGBUS\n"
		"touch($a, 4K) = 0\n"
		"store($a) = ENOMEM\n"
		"fork()\n"
		"[pid 3] exit_group(0) = ?\n"
		"[pid 1] vfork() = ? ERESTARTNOINTR (To be restarted)\nclone(child_stack=NULL, "
		"flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f00) = 9\n"
		"$p = gup($a, 4, FOLL_WRITE|FOLL_PIN) = 4\ngup_fast($a, 1) = 1 | 0\nunpin($p)\n"
		"reclaim(1M)\nage()\ncollapse($a, 2M)\nsplit($a)\nmigrate($a, 4K)\nksm($a, "
		"$b)\nnuma_hint($a, 4K)\npoison($a)\nclear_refs(4)\nswapoff()\n"
		"$v = vm(tdp)\nslot($v, 0, $a, 64K)\nguest_load($v, 0)\nguest_store($v, 0, 16) = "
		"SIGSEGV\n"
		"expect folded($a, 1M)\nexpect not present($a)\nexpect some dirty($a, 2B)\n"
		"[pid 2] expect leaf($a, 2M, $PMD)\nexpect order($a, 64K, 64K)\n"
		"expect same_page($a, [pid 1] $a + 4K)\nexpect guest_mapped($v, 0, 16)\n"
		"expect unfold == 0\nexpect tlbi <= 3\nexpect dsb>1\nexpect pte_xchg < "
		"0x10\nexpect fault >= 1\nexpect cow!=1\n"
		"expect maps($a, 1M)\n"
		"  10000000-10001000 rw-p 00000000\n"
		"\n"
		"\t10001000-10002000 r-xs 00001000 00:00 0   [heap]\n"
		"reset\n"
		"threads\n"
		"  0: gup_fast($a, 1, FOLL_WRITE|FOLL_PIN) = 1 | 0\n"
		"  1: madvise($a, 64K, MADV_DONTNEED)\n"
		"  one: [pid 2] store($a, 4K)\n"
		"  walker 2: touch($a, 64K)\n"
		"always not writable($b, 4K)\n"
		"during some present($b, 4K)\n"
		"sometimes present($a, 4K)\n"
		"explore preemptions=2 choices=4\n"
		"explore random=100 seed=1\n"
		"  load($a)\n";
	struct sc_file *f = good(text);
	unsigned n = 0;

	(void)state;
	for (struct sc_stmt *s = f->stmts; s; s = s->next)
		n++;
	assert_int_equal(n, 71);
	assert_int_equal(f->unsupported_line, 13);
	assert_string_equal(f->unsupported, "@dax");
	assert_int_equal(f->settings.fold, SC_FOLD_BOTH);
	assert_int_equal(f->settings.cpus, 4);
	assert_string_equal(f->settings.formats, "arm64-4k,fake-inv");
	assert_string_equal(f->settings.features, "hafdbs bbm0");
	assert_true(f->settings.fail == SC_FAIL_EACH);
	sc_file_free(f);
}

static uint64_t value_of(const char *text)
{
	const struct sc_env env = {.page = 4096,
		.block = 65536,
		.pmd = 1 << 21,
		.pud = 1 << 30,
		.vars = (const uint64_t[]){0x10000000}};
	char line[256];
	uint64_t v = 0;
	const char *why = NULL;

	snprintf(line, sizeof(line), "$a = mmap(0, 1, 0, 0x22, -1, 0)\nload(%s)\n", text);
	struct sc_file *f = good(line);

	if (!sc_eval(f->stmts->next->args, &env, &v, &why))
		fail_msg("%s: %s", text, why);
	sc_file_free(f);
	return v;
}

static void values(void **state)
{
	(void)state;
	assert_int_equal(value_of("4096"), 4096);
	assert_int_equal(value_of("0x1000"), 4096);
	assert_int_equal(value_of("4K"), 4096);
	assert_int_equal(value_of("0x1B"), 27);
	assert_int_equal(value_of("0x10K"), 16384);
	assert_int_equal(value_of("3P"), 12288);
	assert_int_equal(value_of("2B"), 131072);
	assert_int_equal(value_of("1G"), 1 << 30);
	assert_int_equal(value_of("$a + 4K - 1"), 0x10000fff);
	assert_int_equal(value_of("$a+$PMD"), 0x10200000);
	assert_int_equal(value_of("$PUD - $PMD"), (1 << 30) - (1 << 21));
	assert_int_equal(value_of("-1"), UINT64_MAX);
	assert_int_equal(value_of("0 - 4K"), (uint64_t)-4096);
	assert_int_equal(value_of("MAP_PRIVATE|MAP_ANONYMOUS|0x40"), 0x62);
	assert_int_equal(value_of("21<<MAP_HUGE_SHIFT"), 21 << 26);
	assert_int_equal(value_of("NULL"), 0);
	assert_int_equal(value_of("0xffffffffffffffff"), UINT64_MAX);
	assert_int_equal(value_of("5 => 6"), 5);
	assert_int_equal(value_of("0x66 /* four */ "), 0x66);
}

static void no_value(void **state)
{
	static const struct sc_env env = {.page = 4096};
	uint64_t v;
	const char *why = NULL;
	struct sc_file *f =
		good("load(1B)\nload($PMD)\nload(0x7fffffffffffffffP)\nmincore(1, 2, [1])\n");
	struct sc_stmt *s = f->stmts;

	(void)state;
	assert_false(sc_eval(s->args, &env, &v, &why));
	assert_string_equal(why, "this format has no contiguous blocks");
	s = s->next;
	assert_false(sc_eval(s->args, &env, &v, &why));
	assert_string_equal(why, "this format has no $PMD");
	s = s->next;
	assert_false(sc_eval(s->args, &env, &v, &why));
	assert_string_equal(why, "the value is 2^64 or more");
	s = s->next;
	assert_false(sc_eval(s->args->next->next, &env, &v, &why));
	assert_string_equal(why, "a group is no number");
	sc_file_free(f);
}

/* Whose a statement is. */
static void processes(void **state)
{
	static const unsigned pids[] = {1, 1, 2, 2, 2, 1, 1, 1, 3, 1};
	struct sc_file *f =
		good("load(0)\nfork() = 2\n[pid 2] load(0)\nload(1)\nexpect fault == 0\n"
		     "[pid 1] load(0)\nfork()\nload(2)\n[pid 3] exit_group(0)\n[pid 1] fork()\n");
	unsigned i = 0;

	(void)state;
	for (struct sc_stmt *s = f->stmts; s; s = s->next, i++) {
		assert_int_equal(s->pid, pids[i]);
		if (i == 6)
			assert_int_equal(s->child, 3);
		if (i == 9)
			assert_int_equal(s->child, 3); /* free again */
	}
	assert_int_equal(i, sizeof(pids) / sizeof(pids[0]));
	sc_file_free(f);
}

struct wrong {
	const char *text;
	unsigned line;
	const char *message; /* a part of it */
};

static const struct wrong wrongs[] = {
	{"load($a)", 1, "$a has no value here"},
	{"load(0\n", 1, "expected ')' after the arguments"},
	{"load(0))", 1, "expected the end of the line"},
	{"load()", 1, "load with 0 arguments, expected 1 to 2"},
	{"load(,)", 1, "expected a value"},
	{"load(0, 1, 2)", 1, "load with 3 arguments, expected 1 to 2"},
	{"munmap(0)", 1, "munmap with 1 arguments, expected 2"},
	{"\nmmapp(0)", 2, "unknown statement 'mmapp'"},
	{"mprotect(0, 1, PROT_RAED)", 1, "unknown name 'PROT_RAED'"},
	{"ioctl(3, UFFDIO_API, {api=0xaa, features=UFFD_FEATURE_NONE})", 1,
		"unknown name 'UFFD_FEATURE_NONE'"},
	{"load(12Q)", 1, "expected one of the units K, M, G, P, B"},
	{"load(12KB)", 1, "expected the end of the number"},
	{"load(0x)", 1, "expected hexadecimal digits"},
	{"load(99999999999999999999)", 1, "is too large"},
	{"load(17179869184G)", 1, "2^64 or more"},
	{"load(0) = 1", 1, "expected 0, SIGSEGV, SIGBUS, USERFAULT or ENOMEM"},
	{"load(0) = SIGILL", 1, "expected 0, SIGSEGV, SIGBUS, USERFAULT or ENOMEM"},
	{"munmap(0, 1) = -1", 1, "expected the name of an error"},
	{"munmap(0, 1) = -1 EWHAT", 1, "unknown error 'EWHAT'"},
	{"munmap(0, 1) = ", 1, "expected a value"},
	{"@format", 1, "no format"},
	{"@fold maybe", 1, "unknown folding 'maybe'"},
	{"@fold on\n@fold off", 2, "@fold a second time"},
	{"load(0)\n@fold on", 2, "expected all settings before the first one"},
	{"@needs wings", 1, "unknown need 'wings'"},
	{"@thp 64K", 1, "expected '='"},
	{"@thp enabled=inherit", 1, "unknown mode 'inherit'"},
	{"@cpus 0", 1, "expected 1 to 64"},
	{"@cpus 65", 1, "too large"},
	{"@policy fancy", 1, "unknown policy"},
	{"@fail 0", 1, "counted from 1"},
	{"@fail never", 1, "unknown failure"},
	{"@bogus 1", 1, "unknown setting '@bogus'"},
	{"@memory", 1, "expected a value"},
	{"expect", 1, "expected a predicate"},
	{"expect foldd(0, 1)", 1, "unknown predicate 'foldd'"},
	{"expect folds == 1", 1, "unknown expectation 'folds'"},
	{"expect fold = 1", 1, "expected ==, !=, <, <=, > or >="},
	{"expect not fold == 1", 1, "unknown predicate 'fold'"},
	{"expect order(0, 1)", 1, "order of 2 values, expected 3 to 3"},
	{"[pid 2] load(0)", 1, "there is no process 2 here"},
	{"fork() = 1", 1, "process 1 is there already"},
	{"fork() = 2 | 3", 1, "expected one number"},
	{"exit_group(0)\nload(0)", 2, "process 1 has exited"},
	{"[cpu 2] load(0)", 1, "there is no CPU 2, expected 0 to 1"},
	{"[cpu 1] expect fault == 0", 1, "expected it before a call"},
	{"[core 1] load(0)", 1, "expected 'pid N]' or 'cpu K]'"},
	{"$ = mmap(0)", 1, "expected a name"},
	{"$PMD = brk(0)", 1, "it is a leaf's size"},
	{"$x = brk($x)", 1, "$x has no value here"},
	{"expect maps(0, 1)\n 10-20 rwp 0", 2, "expected four letters"},
	{"expect maps(0, 1)\n 10 rw-p 0", 2, "expected '-'"},
	{"expect maps(0, 1)\n 1g-20 rw-p 0", 2, "expected hexadecimal digits"},
	{"threads\n 0 load(0)", 2, "expected ':'"},
	{"threads\nthreads", 2, "a second threads block"},
	{"threads\n walker 0: store(0)", 2, "expected touch"},
	{"explore preemptions=1", 1, "expected it after a threads block"},
	{"always present(0)", 1, "expected it after a threads block"},
	{"threads\n 0: load(0)\nexplore fast=1", 3, "expected preemptions=N"},
	{"threads\n 0: load(0)\nexplore choices=8", 3, "too large"},
	{"threads\n 0: [cpu 1] load(0)", 2, "named after its CPU"},
	{"threads\n 0: load(0)\n walker 0: touch(0)", 3, "as in line 2"},
	{"threads\n 64: load(0)", 2, "CPU 64"},
	{"mincore(0, 1, [1, {2])", 1, "expected '}' first"},
	{"mincore(0, 1, \"abc)", 1, "expected '\"'"},
	{"mincore(0, 1, [1)", 1, "expected ']' first"},
	{"mincore(0, 1, [1", 1, "expected ']'"},
	{"load(0) /* no end", 1, "expected '*/'"},
	{"load(3</lib)", 1, "a path that does not end"},
	{"load(0)\001", 1, "the byte 0x01"},
};

static void what_is_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct sc_file *f = parse(wrongs[i].text);

		if (f)
			fail_msg("accepted: %s", wrongs[i].text);
		if (err.line != wrongs[i].line || !strstr(err.text, wrongs[i].message))
			fail_msg("%s\n says line %u: %s\n not line %u: %s", wrongs[i].text,
				err.line, err.text, wrongs[i].line, wrongs[i].message);
	}
}

static void not_built(void **state)
{
	static const struct {
		const char *text, *name;
		unsigned line;
	} all[] = {
		{"load(0)\nguest_load(1, 2)", "guest_load", 2},
		{"@dax f 1M", "@dax", 1},
		{"mmap(0, 1, 0, MAP_PRIVATE, 3</lib/libc.so>, 0)", "mmap of a file", 1},
		{"expect guest_mapped(1, 2, 3)", "guest_mapped", 1},
		{"expect notifier_start == 0", "notifier_start", 1},
		{"$v = vm(tdp)", "vm", 1},
	};
	static const char *const built[] = {
		"madvise(0, 1, MADV_DONTNEED)",
		"madvise(0, 1, 6)",
		"madvise(0, 1, 999)",
		"madvise(0, 1, MADV_WIPEONFORK)",
		"madvise(0, 1, MADV_COLLAPSE)",
		"load(0)\ncollapse(0, 4K)",
		"mmap(0, 1, 0, MAP_ANONYMOUS, -1, 0)",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct sc_file *f = good(all[i].text);

		assert_non_null(f->unsupported);
		assert_string_equal(f->unsupported, all[i].name);
		assert_int_equal(f->unsupported_line, all[i].line);
		sc_file_free(f);
	}
	for (size_t i = 0; i < sizeof(built) / sizeof(built[0]); i++) {
		struct sc_file *f = good(built[i]);

		assert_null(f->unsupported);
		sc_file_free(f);
	}
}

static void strace_log(void **state)
{
	static const char text[] =
		"100 execve(\"/bin/true\", [\"true\"], 0x7ffd /* 20 vars */) = 0\n"
		"100 brk(NULL)                         = 0x555555576000\n"
		"100 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = "
		"0x7ffff7fc3000\n"
		"100 openat(AT_FDCWD</root>, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = "
		"3</etc/ld.so.cache>\n"
		"100 mmap(NULL, 1000, PROT_READ, MAP_PRIVATE|MAP_NEW_FLAG, 3</etc/ld.so.cache>, 0 "
		"<unfinished ...>\n"
		"101 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---\n"
		"100 <... mmap resumed>)                  = 0x7ffff7fb0000\n"
		"100 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, "
		"child_tidptr=0x7ffff7fb0a10) = 101\n"
		"101 munmap(0x7ffff7fc3000, 8192) = 0\n"
		"101 exit_group(0) = ?\n"
		"101 +++ exited with 0 +++\n"
		"100 wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 101\n"
		"100 +++ killed by SIGKILL +++\n";
	struct sc_file *f = sc_parse_strace("log", text, strlen(text), &err);
	/* Line, process, and call, or the kind of what no call is. A call happens where it resumes. */
	static const struct {
		unsigned line, pid;
		enum sc_stmt_kind kind;
		const char *name;
	} want[] = {
		{1, 100, SC_S_START, NULL},
		{1, 100, SC_S_EXECVE, NULL},
		{2, 100, SC_S_CALL, "brk"},
		{3, 100, SC_S_CALL, "mmap"},
		{7, 100, SC_S_CALL, "mmap"},
		{8, 100, SC_S_CALL, "fork"},
		{9, 101, SC_S_CALL, "munmap"},
		{11, 101, SC_S_CALL, "exit_group"},
		{13, 100, SC_S_CALL, "exit_group"},
	};
	unsigned n = 0;

	(void)state;
	if (!f)
		fail_msg("line %u: %s", err.line, err.text);
	for (struct sc_stmt *s = f->stmts; s; s = s->next, n++) {
		assert_true(n < sizeof(want) / sizeof(want[0]));
		assert_int_equal(s->line, want[n].line);
		assert_int_equal(s->pid, want[n].pid);
		assert_int_equal(s->kind, want[n].kind);
		if (want[n].name)
			assert_string_equal(s->name, want[n].name);
		if (s->line == 7) {
			assert_int_equal(s->nargs, 6);
			assert_int_equal(s->args->next->next->next->next->kind, SC_V_FILE);
		}
		if (s->line == 8)
			assert_int_equal(s->child, 101);
	}
	assert_int_equal(n, sizeof(want) / sizeof(want[0]));
	sc_file_free(f);

	static const char cut[] = "100 mmap(NULL, 1000\n";

	assert_null(sc_parse_strace("log", cut, strlen(cut), &err));
	assert_int_equal(err.line, 1);
}

/* What the tasks of a log are: each letter is a statement, S start, X execve, F fork, E exit, M a mapping. */
static void expect_tasks(const char *text, const char *want)
{
	struct sc_file *f = sc_parse_strace("log", text, strlen(text), &err);
	char got[256];
	size_t n = 0;

	if (!f)
		fail_msg("line %u: %s", err.line, err.text);
	for (struct sc_stmt *s = f->stmts; s; s = s->next)
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%c%u", n ? " " : "",
			s->kind == SC_S_START            ? 'S'
			: s->kind == SC_S_EXECVE         ? 'X'
			: !strcmp(s->name, "fork")       ? 'F'
			: !strcmp(s->name, "exit_group") ? 'E'
							 : 'M',
			s->pid);
	assert_string_equal(got, want);
	sc_file_free(f);
}

static void strace_tasks(void **state)
{
	(void)state;
	/* A child is seen before the call that made it returns. */
	expect_tasks("5 vfork( <unfinished ...>\n"
		     "6 munmap(0x1000, 4096) = 0\n"
		     "6 execve(\"a\", [\"a\"], 0x0 <unfinished ...>\n"
		     "5 <... vfork resumed>) = 6\n"
		     "6 <... execve resumed>) = 0\n"
		     "6 +++ exited with 0 +++\n",
		"S5 F5 M6 X6 E6");
	/* Two at a time: each child is the one its maker's line names. */
	expect_tasks("5 munmap(0x1000, 4096) = 0\n"
		     "6 munmap(0x1000, 4096) = 0\n"
		     "5 fork( <unfinished ...>\n"
		     "6 fork( <unfinished ...>\n"
		     "7 munmap(0x1000, 4096) = 0\n"
		     "8 munmap(0x1000, 4096) = 0\n"
		     "5 <... fork resumed>) = 8\n"
		     "6 <... fork resumed>) = 7\n",
		"S5 M5 S6 M6 F6 M7 F5 M8");
	/* Threads share a space, which ends with the last; one that execs leaves it. */
	expect_tasks(
		"5 clone3({flags=CLONE_VM|CLONE_THREAD, stack=0x1} => {parent_tid=[6]}, 88) = "
		"6\n"
		"6 munmap(0x1000, 4096) = 0\n"
		"5 +++ exited with 0 +++\n"
		"6 clone(child_stack=0x1, flags=CLONE_VM|CLONE_VFORK|SIGCHLD <unfinished ...>\n"
		"7 execve(\"a\", [\"a\"], 0x0) = 0\n"
		"6 <... clone resumed>) = 7\n"
		"6 +++ exited with 0 +++\n"
		"7 munmap(0x1000, 4096) = 0\n",
		"S5 M5 S7 E5 M7");
	/* What failed made nothing. */
	expect_tasks("5 fork() = -1 EAGAIN (Resource temporarily unavailable)\n"
		     "5 execve(\"a\", [\"a) = 0\"], 0x0) = -1 ENOENT (No such file or directory)\n"
		     "5 munmap(0x1000, 4096) = 0\n",
		"S5 M5");
}

/* However long: names, lines, nesting. */
static void sizes(void **state)
{
	static char text[300000];
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		n += (size_t)sprintf(text + n, "$v%u = brk(NULL)\nload($v%u)\n", i, i);
	struct sc_file *f = good(text);

	assert_int_equal(f->nvars, 5000);
	sc_file_free(f);
	n = (size_t)sprintf(text, "mincore(0, 1, ");
	memset(text + n, '{', 5000);
	text[n + 5000] = 0;
	assert_null(parse(text));
	assert_non_null(strstr(err.text, "nested deeper"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_language),
		cmocka_unit_test(values),
		cmocka_unit_test(no_value),
		cmocka_unit_test(processes),
		cmocka_unit_test(what_is_wrong),
		cmocka_unit_test(not_built),
		cmocka_unit_test(strace_log),
		cmocka_unit_test(strace_tasks),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
