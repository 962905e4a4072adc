#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the litmus tests against what protocols.txt expects.

check.py own		every C11 test and every ordering taken away, with the own checker (models.py)
check.py herd		all tests with herd7; exit 77 where it is not installed
check.py --self-test	a wrong expectation, a missing one and a place that is gone are noticed
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple

import models
import program

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VERDICT = {"N": "Never", "S": "Sometimes", "A": "Always"}

# want: ordering taken away ("-": none) -> letters, one for each model. herd: where herd7's is another than the first of these
Entry = namedtuple("Entry", "kind name title code planned want herd")


def manifest(text):
    entries = []
    for n, line in enumerate(text.splitlines(), 1):
        word, _, rest = line.strip().partition(" ")
        if not word or word.startswith("#"):
            continue
        if word in ("c11", "vmsa"):
            name, _, title = rest.partition(": ")
            entries.append(Entry(word, name, title, [], [], {}, {}))
        elif word in ("code", "planned"):
            path, _, names = rest.partition(": ")
            getattr(entries[-1], word).append((path, names.split()))
        elif word == "want":
            m = re.match(r"(\S+)\s+([NSA]+)(\s|$)", rest)
            if not m or len(m.group(2)) != (len(models.MODELS) if entries[-1].kind == "c11" else 1):
                raise program.Bad(f"protocols.txt:{n}: a verdict for each model is wanted")
            entries[-1].want[m.group(1)] = m.group(2)
        elif word == "herd":
            name, letter = rest.split()
            entries[-1].herd[name] = letter
        elif word != "note":
            raise program.Bad(f"protocols.txt:{n}: {word}?")
    return entries


def path_of(entry):
    return os.path.join(HERE, entry.kind, entry.name + ".litmus")


# ---- Arm's assembly: a table with a column for each thread ----

CELL = re.compile(r"\(\* (\w[\w-]*): P(\d)(?: := (.*?))? \*\)")


def asm_variants(text):
    return list(dict.fromkeys(m.group(1) for m in CELL.finditer(text)))


def asm_variant(text, name):
    """Without the instruction that `name` marks, or with the other one that it names."""
    out = []
    for line in text.splitlines():
        for m in CELL.finditer(line):
            if m.group(1) == name:
                body, _, tail = line.partition(";")
                cells = body.split("|")
                cells[int(m.group(2))] = f" {m.group(3) or ''} "
                line = "|".join(cells) + ";" + tail
        out.append(line)
    return "\n".join(out) + "\n"


def unmarked(text, kind):
    return re.sub(r"[ \t]*\(\*.*?\*\)" if kind == "vmsa" else r"[ \t]*/\*.*?\*/", "", text)


def text_of(entry, name):
    with open(path_of(entry)) as f:
        text = f.read()
    if name == "-":
        return text
    return (asm_variant if entry.kind == "vmsa" else program.variant)(text, name)


# ---- the checks ----

def listed(entries, files):
    """What protocols.txt and the files say of each other, and of the code."""
    bad = []
    have = {(kind, f[:-len(".litmus")]) for kind in ("c11", "vmsa") for f in files(kind)}
    names = {(e.kind, e.name) for e in entries}
    bad += [f"{kind}/{name}.litmus is not in protocols.txt" for kind, name in sorted(have - names)]
    with open(os.path.join(HERE, "meson.build")) as f:
        built = f.read()
    bad += [f"meson.build does not know {name}" for kind, name in sorted(have) if kind == "c11" and f"'{name}'" not in built]
    bad += [f"{kind}/{name}.litmus does not exist" for kind, name in sorted(names - have)]
    for e in entries:
        if (e.kind, e.name) in have:
            marks = {"-"} | set((asm_variants if e.kind == "vmsa" else program.variants)(text_of(e, "-")))
            bad += [f"{e.name}: no verdict is expected without {m}" for m in sorted(marks - set(e.want))]
            bad += [f"{e.name}: there is no ordering {m}" for m in sorted((set(e.want) | set(e.herd)) - marks)]
        for path, functions in e.code:
            try:
                with open(os.path.join(ROOT, path)) as f:
                    text = f.read()
            except OSError:
                bad.append(f"{e.name}: there is no {path}")
                continue
            bad += [f"{e.name}: {path} has no {f} any more" for f in functions if not re.search(rf"\b{f}\b", text)]
        for path, functions in e.planned:
            if os.path.exists(os.path.join(ROOT, path)):
                with open(os.path.join(ROOT, path)) as f:
                    text = f.read()
                for name in (f for f in functions if re.search(rf"\b{f}\b", text)):
                    print(f"note: {e.name}: {path} has {name} now: it is no longer planned")
    return bad


def own(entries):
    bad, n = [], 0
    for e in (e for e in entries if e.kind == "c11"):
        for name, want in e.want.items():
            test = program.parse(text_of(e, name))
            for model, letter in zip(models.MODELS, want):
                got = models.check(test, model)
                n += 1
                if got != VERDICT[letter]:
                    bad.append(f"{e.name} without {name}, {model}: {got}, expected {VERDICT[letter]}")
    return bad, n


def herd_verdict(herd, text, kind, name):
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, name + ".litmus")
        with open(path, "w") as f:
            f.write(unmarked(text, kind))
        cmd = [herd] + (["-model", "rc11.cat"] if kind == "c11" else ["-variant", "vmsa"]) + [path]
        p = subprocess.run(cmd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    m = re.search(r"^Observation \S+ (Never|Sometimes|Always)", p.stdout, re.M)
    return m.group(1) if m else "no verdict: " + " ".join(p.stdout.split())[:200]


def herd(entries):
    tool = shutil.which("herd7")
    if not tool:
        print("skipped: herd7 is not installed (herdtools7; it is not in Debian), so what Arm's own model says is not checked")
        return 77
    print(subprocess.run([tool, "-version"], text=True, stdout=subprocess.PIPE).stdout.strip())
    bad, n = [], 0
    for e in entries:
        text = text_of(e, "-")
        if "rcu" in unmarked(text, e.kind):
            print(f"{e.name}: read sections and grace periods are not in herd's C11")
            continue
        for name, want in e.want.items():
            got = herd_verdict(tool, text_of(e, name), e.kind, e.name)
            n += 1
            letter = e.herd.get(name, want[0])
            if got != VERDICT[letter]:
                bad.append(f"{e.name} without {name}: {got}, expected {VERDICT[letter]}")
    return report(bad, f"{n} verdicts of herd7")


def report(bad, what):
    print("\n".join(bad + [f"{what}, {len(bad)} wrong"]))
    return bool(bad)


def files_of(kind):
    return [f for f in os.listdir(os.path.join(HERE, kind)) if f.endswith(".litmus")]


def self_test(text):
    def must(what, entries, needle, files=files_of):
        found = listed(entries, files) + own(entries)[0]
        assert any(needle in b for b in found), (what, found)

    one = [e for e in manifest(text) if e.name == "table-dead"]
    only = {"c11": ["table-dead.litmus"], "vmsa": []}.get
    assert not listed(one, only) + own(one)[0]
    must("a wrong verdict", [one[0]._replace(want={**one[0].want, "-": "SNN"})], "rc11: Never, expected Sometimes", only)
    must("a wrong verdict of a variant", [one[0]._replace(want={**one[0].want, "recheck": "SSN"})], "llsc: Sometimes, expected Never", only)
    must("a verdict too few", [one[0]._replace(want={"-": "NNN"})], "no verdict is expected without recheck", only)
    must("a function that is gone", [one[0]._replace(code=[("lib/pt/walk.c", ["pf_no_such"])])], "has no pf_no_such", only)
    must("a test that is not listed", one, "gup-unmap.litmus is not in protocols.txt")
    asm = asm_variant("{ }\n P0 | P1 ;\n A | B ; (* x: P1 *)\n C | D ; (* y: P0 := E *)\n", "y")
    assert " E | D ;" in asm and " A | B ;" in asm, asm
    print("wrong and missing expectations, and places that are gone, are noticed")
    return 0


def main():
    with open(os.path.join(HERE, "protocols.txt")) as f:
        text = f.read()
    if sys.argv[1:] == ["--self-test"]:
        return self_test(text)
    if sys.argv[1:] not in (["own"], ["herd"]):
        sys.exit(__doc__)
    entries = manifest(text)
    if sys.argv[1] == "herd":
        return herd(entries)
    bad = listed(entries, files_of)
    more, n = own(entries)
    return report(bad + more, f"{len(entries)} tests, {n} verdicts of the own checker")


if __name__ == "__main__":
    sys.exit(main())
