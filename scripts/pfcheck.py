# SPDX-License-Identifier: MIT
"""What the checks share: which sources there are, how they are compiled, and how a check reports.

A check is a program that prints one line, "ok NAME: what" or "FAIL NAME: what", with the details of a failure
indented below it, and exits 0 or 1. Formats, parts and sources are read from the meson.build files, so that
the checks look at what is built.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PORT = os.path.join(ROOT, "scripts", "freestanding")
MEM = {"memcpy", "memset", "memmove", "memcmp"}
WARN = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-Wmissing-prototypes",
        "-Wshadow=local", "-O2"]
BARE = ["-ffreestanding", "-nostdlib", "-fno-pie", "-fno-stack-protector", "-fno-common"]
ARCHES = {
    "aarch64": ("aarch64-linux-gnu-", ["-mno-outline-atomics", "-mgeneral-regs-only"]),
    "riscv64": ("riscv64-linux-gnu-", ["-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"]),
    "x86-64": ("", ["-mgeneral-regs-only", "-mno-red-zone"]),
}


def path(*p):
    return os.path.join(ROOT, *p)


def read(*p):
    with open(path(*p)) as f:
        return f.read()


def _list(text, name):
    m = re.search(r"^%s = \[([^\]]*)\]" % name, text, re.M)
    if not m:
        raise SystemExit(f"no list '{name}' where it should be")
    return re.findall(r"'([^']+)'", m.group(1))


FORMATS = _list(read("meson.build"), "formats")
PARTS = _list(read("lib", "meson.build"), "parts")
PER_FORMAT = set(_list(read("lib", "meson.build"), "per_format"))
INTERNAL = set(_list(read("lib", "meson.build"), "internal"))


def listed(part):
    """(sources compiled as the part is, sources compiled once) of a part of lib/, as its meson.build lists them."""
    if not os.path.exists(path("lib", part, "meson.build")):
        return [], []
    text = read("lib", part, "meson.build")

    def names(var):
        out = []
        for m in re.finditer(r"^%s \+?= files\(([^)]*)\)" % var, text, re.M):
            out += re.findall(r"'([^']+)'", m.group(1))
        return out
    return names(part + "_src"), names(part + "_once_src")


def headers():
    out = []
    for d, _, fs in os.walk(path("lib")):
        out += [os.path.relpath(os.path.join(d, f), ROOT) for f in fs if f.endswith(".h")]
    return sorted(out)


class Unit:
    """One compilation: a source of lib/, for one format (or None), in one mode."""

    def __init__(self, part, src, fmt, judge):
        self.part, self.src, self.fmt, self.judge = part, src, fmt, judge

    def name(self):
        return "-".join([self.part, os.path.basename(self.src), self.fmt or "once"])

    def defines(self):
        out = [f"-DPF_FMT={self.fmt}"] if self.fmt else []
        if self.fmt and self.part in INTERNAL:
            out.append("-DPF_PT_INTERNAL")
        if self.judge:
            out.append("-DPF_JUDGE=1")
        return out


def units(judge=False, parts=None, formats=None):
    out = []
    for part in parts or PARTS:
        src, once = listed(part)
        for s in src:
            fs = (formats or FORMATS) if part in PER_FORMAT else [None]
            out += [Unit(part, path("lib", part, s), f, judge) for f in fs]
        out += [Unit(part, path("lib", part, s), None, judge) for s in once]
    return out


def compiler(arch, port=PORT):
    """A compiler with no libc: its own headers only. (_LIBC_LIMITS_H_: gcc's limits.h then does not look for the
    libc's, as in a compiler that was built for bare metal.)"""
    prefix, flags = ARCHES[arch]
    own = [subprocess.run([prefix + "gcc", "-print-file-name=" + d], text=True, check=True,
                          stdout=subprocess.PIPE).stdout.strip() for d in ("include", "include-fixed")]
    return ([prefix + "gcc"] + WARN + BARE + flags + ["-nostdinc", "-D_LIBC_LIMITS_H_"]
            + [a for d in own for a in ("-isystem", d)] + ["-I", path("lib"), "-I", port])


def compile_units(us, arch, out):
    """Objects by unit; stops the check at the first that does not compile."""
    os.makedirs(out, exist_ok=True)
    cc = compiler(arch)

    def one(u):
        obj = os.path.join(out, u.name() + ".o")
        p = subprocess.run(cc + u.defines() + ["-c", u.src, "-o", obj], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return obj, p.returncode, p.stdout
    objs = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as ex:
        for u, (obj, rc, text) in zip(us, ex.map(one, us)):
            if rc:
                raise Failure(f"{arch}: {os.path.relpath(u.src, ROOT)} ({u.fmt or 'once'}) does not compile", text)
            objs[u] = obj
    return objs


def nm(objs, arch, *flags):
    """[(object, type letter, symbol)]"""
    if not objs:
        return []
    p = subprocess.run([ARCHES[arch][0] + "nm", "-A", *flags, *objs], text=True, check=True,
                       stdout=subprocess.PIPE)
    out = []
    for line in p.stdout.splitlines():
        m = re.match(r"(.*?):\s*[0-9a-f]*\s+(\S) (\S+)$", line)
        if m:
            out.append(m.groups())
    return out


def port_functions():
    return set(re.findall(r"\b(pf_port_\w+)\(", read("scripts", "freestanding", "pf_port_impl.h")))


class Failure(Exception):
    def __init__(self, what, detail=""):
        super().__init__(what)
        self.detail = detail


def run(name, check, self_test=None):
    """Run a check and report. check(tmp) returns what was found in order; raises Failure. With --self-test,
    self_test(tmp) proves that the check can fail, and itself raises Failure when it cannot."""
    fn = check
    if "--self-test" in sys.argv[1:]:
        if not self_test:
            raise SystemExit(f"{name} has no self-test")
        fn, name = self_test, name + " (self-test)"
    with tempfile.TemporaryDirectory(prefix="pfcheck-") as tmp:
        try:
            print(f"ok {name}: {fn(tmp)}")
        except Failure as e:
            print(f"FAIL {name}: {e}")
            lines = [l for l in e.detail.splitlines() if l.strip()]
            for line in lines[:40]:
                print("    " + line)
            if len(lines) > 40:
                print(f"    ... {len(lines) - 40} lines more")
            sys.exit(1)


def must_fail(check, tmp, expect, what):
    """For self-tests: check(tmp) must raise a Failure whose text matches `expect`."""
    try:
        check(tmp)
    except Failure as e:
        if re.search(expect, str(e) + "\n" + e.detail):
            return
        raise Failure(f"{what}: failed for another reason", str(e) + "\n" + e.detail)
    raise Failure(f"{what}: not noticed")
