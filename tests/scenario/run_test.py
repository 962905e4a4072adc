#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagefold run` as its users see it: exit statuses, messages with file and line, options, JSON.

run_test.py PAGEFOLD PAGEFOLD-JUDGE SOURCE-ROOT"""
import json
import os
import re
import subprocess
import sys
import tempfile

TOOL, JUDGE, ROOT = sys.argv[1:4]
HEAD = "@thp 64K=always\n$a = mmap(0x10000000, 128K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)\n"
failures = []


class Run:
    def __init__(self, args, mutant=None):
        env = dict(os.environ)
        env.pop("PF_MUTANT", None)
        if mutant:
            env["PF_MUTANT"] = mutant
        p = subprocess.run([TOOL, *args], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr

    def expect(self, status, *patterns, absent=()):
        text = self.out + self.err
        wrong = [] if self.status == status else [f"exit status {self.status}, not {status}"]
        wrong += [f"nothing matches {p!r}" for p in patterns if not re.search(p, text, re.M)]
        wrong += [f"something matches {p!r}" for p in absent if re.search(p, text, re.M)]
        if wrong:
            caller = sys._getframe(1)
            failures.append(f"line {caller.f_lineno}: {'; '.join(wrong)}\n{text}")
        return self


def write(name, text):
    with open(name, "w") as f:
        f.write(text)
    return name


def play(text, *options, mutant=None):
    return Run(["run", *options, write("t.pf", text)], mutant)


def expectations():
    play(HEAD + "store($a, 128K)\nexpect folded($a, 128K)\n").expect(0, r"^ok t\.pf \[arm64-4k\]$", r"^1 passed, 0 failed, 0 skipped$")
    play(HEAD + "store($a, 64K)\nexpect folded($a, 128K)\n").expect(
        1, r"^FAIL t\.pf:4: expected folded, found 0x10010000 none$", r"> 0x10010000 none$", r"^0 passed, 1 failed, 0 skipped$")
    play(HEAD + "store($a, 64K)\nexpect not folded($a + 60K, 4K)\n").expect(1, r"^FAIL t\.pf:4: expected not folded, found 0x1000f000 frame")
    play(HEAD + "expect some present($a, 64K)\n").expect(1, r"t\.pf:3: expected some present, found no such page")
    play(HEAD + "expect none($a, 132K)\n").expect(1, r"t\.pf:3: expected none, found 0x10020000 unmapped")
    play(HEAD + "expect unfolded($a, 132K)\nexpect not present($a, 132K)\nexpect not mapped($a + 128K, 4K)\n").expect(0)
    play(HEAD + "store($a)\nexpect fold == 2\n").expect(1, r"t\.pf:4: expected fold == 2, found 1$")
    play(HEAD + "expect maps($a, 1M)\n  10000000-10010000 rw-p 00000000\n").expect(
        1, r"t\.pf:4: expected 10000000-10010000 rw-p 00000000, found 10000000-10020000 rw-p 00000000$")
    play(HEAD + "expect maps($a, 1M)\n  10000000-10020000 rw-p 00000000\n  10020000-10030000 r--p 00000000\n").expect(
        1, r"t\.pf:5: expected 10020000-10030000 r--p 00000000, found no more mappings$")
    play(HEAD + "expect maps($a, 1M)\nload($a)\n").expect(1, r"t\.pf:3: expected no more mappings, found 10000000")
    play(HEAD + "fork() = 2\nexpect same_page($a, [pid 2] $a)\n").expect(1, r"t\.pf:4: expected same_page")


def results():
    play(HEAD + "munmap($a + 1, 4K)\n").expect(1, r"t\.pf:3: expected success, found -1 EINVAL$")
    play(HEAD + "munmap($a, 4K) = -1 EINVAL\n").expect(1, r"t\.pf:3: expected -1 EINVAL, found 0$")
    play(HEAD + "munmap($a, 4K) = -1 EINVAL | -1 EAGAIN\n").expect(1, r"expected -1 EINVAL or -1 EAGAIN, found 0$")
    play(HEAD + "munmap($a, 4K) = ?\nmunmap($a, 4K) = 0 | -1 EINVAL\n").expect(0)
    play(HEAD + "load($a, 256K)\n").expect(1, r"t\.pf:3: expected success, found SIGSEGV at 0x10020000$")
    play(HEAD + "load($a + 128K, 64K) = SIGSEGV\nload($a, 256K) = SIGSEGV at $a + 128K\n").expect(0)
    # Without an address it is at the first page.
    play(HEAD + "load($a, 256K) = SIGSEGV\n").expect(1, r"t\.pf:3: expected SIGSEGV at 0x10000000, found SIGSEGV at 0x10020000$")
    play(HEAD + "load($a, 256K) = SIGSEGV at $a\n").expect(1, r"expected SIGSEGV at 0x10000000, found SIGSEGV at 0x10020000$")
    play(HEAD + "load($a, 256K) = SIGBUS\n").expect(1, r"expected SIGBUS at 0x10000000, found SIGSEGV at")
    play(HEAD + "mmap(NULL, 4K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = $a\n").expect(1, r"t\.pf:3: expected 0x10000000 to be free")
    play(HEAD + "mmap(NULL, 4K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x20000000\nload(0x20000000)\n").expect(0)
    play(HEAD + "$b = mremap($a, 4K, 8K, MREMAP_MAYMOVE) = 0x30000000\nload($b, 8K)\n").expect(0)
    play("load(0) = ENOMEM\n").expect(1, r"expected ENOMEM, found SIGSEGV at 0x0$")


def broken_rules():
    text = HEAD + "store($a, 128K)\nmadvise($a + 4K, 4K, MADV_DONTNEED)\nload($a, 128K)\n"
    play(text).expect(0)
    play(text, mutant="gather-no-flush").expect(1, r"^FAIL t\.pf:4: expected no rule broken, found [A-Z]+\d+", r"\n    rule [A-Z]+\d+ ")
    play(text, mutant="no-unfold").expect(1, r"^FAIL t\.pf:4: expected no rule broken, found")
    # A page that was written under another process is found as data, by who stored it and where.
    play("$a = mmap(0x10000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)\nstore($a)\n"
         "fork() = 2\nstore($a)\n[pid 2] load($a)\n", mutant="cow-reuse-shared").expect(
             1, r"^FAIL t\.pf:4: expected ", absent=[r"^ok"])


def wrong_input():
    write("good.pf", HEAD)
    for text, line, message in (
            ("load(0\n", 1, "expected '\\)' after the arguments"),
            ("\n\nlaod(0)\n", 3, "unknown statement 'laod'"),
            ("@format arm65\n", 1, "unknown format 'arm65', expected all or arm64-4k"),
            ("@thp 12K=always\n", 1, "@thp 12K, expected a power of two from 16K"),
            ("@thp 4M=always\n", 1, "@thp 4096K, expected a power of two"),
            ("@memory 1K\n", 1, "@memory of 1024 bytes"),
            ("@feature flying\n", 1, "@feature flying, expected features that arm64-4k has"),
            ("load(1 << 70)\n", 1, "unknown name|expected|2\\^64"),
    ):
        write("bad.pf", text)
        Run(["run", "good.pf", "bad.pf"]).expect(2, rf"^bad\.pf:{line}: .*(?:{message})", absent=[r"^ok", r"passed"])
    # What only shows in a run.
    play("load(0, 0) = SIGSEGV\n").expect(2, r"^t\.pf:1: an empty range")
    play("load(0xfffffffffffff000, 8K) = SIGSEGV\n").expect(2, r"^t\.pf:1: .*expected a range that does not wrap")
    play(HEAD + "expect none($a, 0)\n").expect(2, r"^t\.pf:3: an empty range")
    Run(["run", "nowhere.pf"]).expect(2, r"^nowhere\.pf: No such file")
    os.makedirs("empty", exist_ok=True)
    Run(["run", "empty"]).expect(2, r"^empty: no \*\.pf file below it")
    Run(["run"]).expect(2, "no scenario given")
    Run(["run", "--fold", "maybe", "good.pf"]).expect(2, "--fold is on, off or both, not: maybe")
    Run(["run", "--fail=0", "good.pf"]).expect(2, "--fail is each, none, or a number")
    Run(["run", "--frobnicate", "good.pf"]).expect(2, "unknown option")
    Run(["run", "--format", "arm65", "good.pf"]).expect(2, "unknown format 'arm65'")
    Run(["frobnicate"]).expect(2, "unknown command 'frobnicate'")
    Run([]).expect(2, "usage: pagefold COMMAND")


def not_built():
    for text, line, name in (
            ("$v = vm(tdp)\n", 1, "vm"),
            ("@dax f 1M\n", 1, "@dax"),
            ("expect leaf(0, 4K, 4K)\n", 1, "leaf"),
    ):
        play(text).expect(2, rf"^t\.pf:{line}: not supported yet: {name}$", absent=["passed"])


def logs():
    write("log", "1 munmap(0x1000, 4096\n")
    Run(["run", "--strace", "log"]).expect(2, r"^log:1: .*expected '\)'")
    text = (
        '7 execve("/bin/true", ["true"], 0x7ffd /* 20 vars */) = 0\n'
        "7 brk(NULL)                         = 0x555555576000\n"
        "7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NEW_FLAG, -1, 0) = 0x7ffff7fc3000\n"
        "7 mprotect(0x55fcfa487000, 16384, PROT_READ) = 0\n"
        "7 brk(0x555555597000)                         = 0x555555597000\n"
        "7 vfork( <unfinished ...>\n"
        '8 execve("/bin/ls", ["ls"], 0x7ffd /* 20 vars */ <unfinished ...>\n'
        "7 <... vfork resumed>)              = 8\n"
        "8 <... execve resumed>)             = 0\n"
        "8 brk(NULL)                         = 0x555555577000\n"
        "7 clone3({flags=CLONE_VM|CLONE_FS, stack=0x7f1a2ad8e000} => {parent_tid=[9]}, 88) = 9\n"
        "9 munmap(0x7ffff7fc3000, 8192) = 0\n"
        "9 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7ffff7fc3000\n"
        "9 +++ exited with 0 +++\n"
        "7 mmap(0x1000, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = -1 EPERM (Operation not permitted)\n"
        "8 --- SIGCHLD {si_signo=SIGCHLD} ---\n"
        "7 wait4(-1, NULL, 0, NULL) = 8\n"
        "8 +++ exited with 0 +++\n"
        "7 +++ killed by SIGKILL +++\n")
    write("log", text)
    Run(["run", "--strace", "log"]).expect(
        0, r"^ok log \[arm64-4k\]$", r"^    assumed: 1 ranges that execve mapped, 4 pages; taken over: 1 refusals$",
        r"^    warning: unknown name, taken as 0: MAP_NEW_FLAG, 1 times$", r"^    passed over: signal, 1 times$",
        r"^    passed over: wait4, 1 times$", "^1 passed, 0 failed, 0 skipped$")
    # Files are what they are called; a descriptor without a path is a file of its own.
    maps = ("7 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3</lib/x>, 0) = 0x7ffff7fa2000\n"
            "7 mmap(0x7ffff7fa4000, 8192, PROT_READ, MAP_SHARED|MAP_FIXED, 3</lib/x>, 0x2000) = 0x7ffff7fa4000\n"
            "7 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 4, 0) = 0x7ffff7fa0000\n"
            "7 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 4, 0x100) = -1 EINVAL (Invalid argument)\n"
            "7 munmap(0x7ffff7fa0000, 24576) = 0\n")
    write("log", text.replace("7 vfork", maps + "7 vfork"))
    Run(["run", "--strace", "log"]).expect(0, r"^    assumed: a file of its own for a descriptor without a path, 2 times$")
    write("log", text.replace("7 vfork", maps.replace("-1 EINVAL (Invalid argument)", "0x7ffff7fa1000") + "7 vfork"))
    Run(["run", "--strace", "log"]).expect(1, r"^FAIL log:9: expected 0x7ffff7fa1000, found -1 EINVAL$")
    # Logs of real programs: what Linux answered is answered.
    real = [os.path.join(ROOT, "tests/strace", n + ".log") for n in ("bash", "gcc", "python3", "sqlite3")]
    Run(["run", "--strace", *real]).expect(0, "^4 passed, 0 failed, 0 skipped$")
    # A thread's change is seen by the other, and an answer that Linux would not give is found.
    write("log", text.replace("9 +++", "7 munmap(0x7ffff7fc3001, 8192) = 0\n9 +++"))
    Run(["run", "--strace", "log"]).expect(1, r"^FAIL log:14: expected 0, found -1 EINVAL$")
    write("log", text.replace("9 +++", "7 mremap(0x7ffff7fc3000, 8192, 4096, 0) = 0x7ffff7fc3000\n9 +++"))
    Run(["run", "--strace", "log"]).expect(0)
    # What is mapped there is in the way.
    write("log", text.replace("9 munmap(0x7ffff7fc3000, 8192) = 0\n", ""))
    Run(["run", "--strace", "log"]).expect(1, r"^FAIL log:12: expected 0x7ffff7fc3000 to be free, .*occupied$")
    write("log", text.replace("8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NEW_FLAG, -1, 0", "8192, PROT_READ"))
    Run(["run", "--strace", "log"]).expect(2, r"^log:3: mmap with 3 arguments, expected 6$")


def options():
    text = "@fold both\n@format all\n@needs contiguous\n" + HEAD.replace("64K=always", "1B=always") + "store($a, 1B)\nexpect folded($a, 1B)\n"
    play(text).expect(0, r"\[arm64-4k fold=on\]", r"\[arm64-4k fold=off\]", r"\[fake-2w fold=on\]", "8 passed")
    play(text, "--fold", "on").expect(0, r"\[arm64-4k\]", "4 passed", absent=["fold="])
    # Options stand for the line: without "both" the expectation is asked of the run without folding too.
    play(text, "--fold=off", "--format=fake-nz").expect(1, r"^FAIL t\.pf:7: expected folded, found 0x10000000 frame", r"\[fake-nz fold=off\]")
    play(text, "--format", "fake-inv,arm64-4k", "--fail", "each").expect(0, "4 passed")
    play(text, "--fail", "99999").expect(1, r"expected allocation 99999 to fail, found only \d+")
    play("@needs shadow_stack\n" + HEAD).expect(0, r"^skip t\.pf \[arm64-4k\] needs shadow_stack$", "0 passed, 0 failed, 1 skipped")
    play("@needs shadow_stack\n" + HEAD, "--json").expect(0, r'"skipped":1')
    play(HEAD + "store($a, 128K)\n", "--log", "run.log").expect(0)
    if not os.path.getsize("run.log"):
        failures.append("--log wrote nothing")
    play(text, "--log", "run.log").expect(2, "--log is of one file on one format")
    Run(["run", "--help"]).expect(0, "usage: pagefold run")
    Run(["--help"]).expect(0, "usage: pagefold COMMAND", r"^  run ")
    Run(["--version"]).expect(0, r"^pagefold \d")


def schedules():
    text = ("@fold both\n@memory 16M\n" + HEAD + "store($a, 64K)\nthreads\n  0: load($a, 4K)\n"
            "always folded($a, 64K)\nduring folded($a, 64K)\nsometimes folded($a, 64K)\nexplore preemptions=0 choices=0\n"
            "expect folded($a, 64K)\nreset\nexpect fault == 0\n")
    play(text).expect(0, r"fold=on\] 1 schedules, \d+ states, exhausted$", r"fold=off\] 1 schedules, \d+ states, exhausted$")
    # Of schedules that are only drawn none are left out.
    threads = "@memory 16M\n" + HEAD + "threads\n  0: store($a, 4K)\n  1: load($a, 4K)\n"
    play(threads + "explore random=5 seed=3\n").expect(0, r"\] 5 schedules, 0 states$")
    play(threads + "explore random=5 seed=3 preemptions=0 choices=0\n").expect(0, r"\] \d+ schedules, \d+ states, exhausted$")
    # Without folding, too, all is asked that is not of the hardware.
    play(text + "expect none($a, 4K)\n").expect(1, "^0 passed, 2 failed")


def folders():
    for name in ("d/b.pf", "d/a/z.pf", "d/a.pf", "d/c.txt"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        write(name, HEAD)
    out = Run(["run", "d"]).expect(0).out
    names = re.findall(r"^ok (\S+)", out, re.M)
    if names != sorted(names) or len(names) != 3:
        failures.append(f"not sorted: {names}")


def as_json():
    text = HEAD + "store($a, 64K)\nexpect folded($a, 64K)\nfork() = 2\n[pid 2] store($a, 64K)\nload($a, 128K)\n"
    r = play(text, "--json").expect(0)
    d = json.loads(r.out)
    one = d["results"][0]
    if (d["version"], d["passed"], d["failed"], d["skipped"]) != (1, 1, 0, 0):
        failures.append(f"wrong totals: {r.out}")
    if set(one) != {"file", "format", "fold", "ok", "line", "message", "counters"}:
        failures.append(f"wrong fields: {sorted(one)}")
    if (one["file"], one["format"], one["fold"], one["ok"], one["message"]) != ("t.pf", "arm64-4k", True, True, ""):
        failures.append(f"wrong result: {one}")
    if one["counters"]["fold"] != 2 or one["counters"]["cow"] != 16:
        failures.append(f"wrong counters: {one['counters']}")
    # The same seed, the same run.
    if play(text, "--json").out != r.out or play(text, "--json", "--seed=7").out != play(text, "--json", "--seed=7").out:
        failures.append("two runs with one seed differ")
    r = play(text + "expect not mapped($a)\n", "--json")
    one = json.loads(r.out)["results"][0]
    if r.status != 1 or one["ok"] or one["line"] != 8 or not one["message"].startswith("expected not mapped, found"):
        failures.append(f"wrong failure: {r.status} {one}")


def mutants():
    listed = subprocess.run([JUDGE, "--list-mutants"], text=True, check=True, stdout=subprocess.PIPE).stdout
    names = [line.split("\t")[0] for line in listed.splitlines()]
    used = set()
    for d, _, fs in os.walk(os.path.join(ROOT, "lib")):
        for f in fs:
            if f.endswith((".c", ".h")) and not d.endswith("port"):
                with open(os.path.join(d, f)) as h:
                    used |= set(re.findall(r'PF_MUTANT\("([^"]+)"\)', h.read()))
    if any(len(line.split("\t")) != 4 for line in listed.splitlines()) or len(set(names)) != len(names):
        failures.append(f"--list-mutants: not four fields a line, or a name twice:\n{listed}")
    if set(names) != used:
        failures.append(f"mutants not listed: {sorted(used - set(names))}; listed but not in lib/: {sorted(set(names) - used)}")


def bugs():
    """docs/MUTANTS.md says which mutants a bug has, and whether scenarios are named after it."""
    listed = subprocess.run([JUDGE, "--list-mutants"], text=True, check=True, stdout=subprocess.PIPE).stdout
    of = {}
    for line in listed.splitlines():
        name, numbers = line.split("\t")[:2]
        for n in numbers.split():
            of.setdefault(n, set()).add(name)
    played = set(re.findall(r"\bbug-([a-z]+-\d\d)", " ".join(os.listdir(os.path.join(ROOT, "scenarios")))))
    with open(os.path.join(ROOT, "docs", "MUTANTS.md")) as f:
        rows = re.findall(r"^\| ([a-z]+-\d\d) [^|]*\|([^|]*)\| ([^|]*) \|$", f.read(), re.M)
    if len(rows) != 76 or len({r[0] for r in rows}) != 76:
        failures.append(f"docs/MUTANTS.md has {len(rows)} bugs")
    for number, names, scenario in rows:
        if set(names.replace(",", " ").split()) != of.pop(number, set()):
            failures.append(f"docs/MUTANTS.md: {number} has other mutants in the list")
        if (scenario == "yes") != (number in played):
            failures.append(f"docs/MUTANTS.md: {number}: {scenario}, but there is {'a' if number in played else 'no'} scenario")
    if of:
        failures.append(f"docs/MUTANTS.md: no such bugs: {sorted(of)}")


with tempfile.TemporaryDirectory() as tmp:
    TOOL, JUDGE, ROOT = map(os.path.abspath, (TOOL, JUDGE, ROOT))
    os.chdir(tmp)
    for part in (expectations, results, broken_rules, wrong_input, not_built, logs, options, schedules, folders, as_json, mutants, bugs):
        part()
for f in failures:
    print(f)
print(f"{len(failures)} failures")
sys.exit(1 if failures else 0)
