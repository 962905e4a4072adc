#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagefold fuzz`: its options and its JSON, planted errors found and printed as scenarios that `pagefold run` plays, and
a run against the Linux underneath. Exits 77 where that Linux cannot be asked."""
import json
import os
import subprocess
import sys
import tempfile
import time


def fuzz(exe, *args):
    p = subprocess.run([exe, "fuzz", *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if p.returncode == 2 and "host" in p.stderr and "needs" in p.stderr:
        print("skipped:", p.stderr.strip())
        sys.exit(77)
    return p


def need(condition, what, p):
    if not condition:
        print(f"{what}\n{p.stdout}\n{p.stderr}")
        sys.exit(1)


def wrong_use(exe):
    for args in (["--seed", "x"], ["--ops", "0"], ["--time"], ["--format", "vax"], ["file.pf"], ["--every", "0"]):
        p = fuzz(exe, *args)
        need(p.returncode == 2 and not p.stdout and "pagefold fuzz: " in p.stderr, f"wrong use is not refused: {args}", p)
    p = fuzz(exe, "--help")
    need(p.returncode == 0 and p.stdout.startswith("usage: pagefold fuzz"), "no help", p)


def self_check(exe):
    wrong_use(exe)
    p = fuzz(exe, "--self-check", "--json", "--seed", "11")
    need(p.returncode == 0, "planted errors are not found", p)
    out = json.loads(p.stdout)
    need(len(out["planted"]) == 5, "five errors are planted", p)
    with tempfile.TemporaryDirectory() as d:
        for x in out["planted"]:
            need(x["found"] and x["calls"] <= 100000 and 1 <= x["statements"] <= 8, "not found, or not made short", p)
            path = os.path.join(d, x["in"] + ".pf")
            with open(path, "w") as f:
                f.write(x["scenario"])
            # The error is not in the library: what Linux answered is what it answers.
            r = subprocess.run([exe, "run", path], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            need(r.returncode == 0 and "1 passed" in r.stdout, f"the scenario does not play:\n{x['scenario']}", r)


def linux(exe):
    # Mutants are compared over the same programs.
    mutant = "PF_MUTANT" in os.environ
    seed = 1 if mutant else int(time.time())
    p = fuzz(exe, "--json", "--seed", str(seed), *(["--ops", "8000"] if mutant else ["--time", "20"]))
    print(f"seed {seed}")
    need(p.returncode == 0, f"a difference, or none to be had: pagefold fuzz --seed {seed}", p)
    out = json.loads(p.stdout)
    print(f"{out['host']}: {out['calls']} calls in {out['programs']} programs")
    need(out["version"] == 1 and out["calls"] > 1000 and out["difference"] is None, "little was done", p)
    need(sum(c["hits"] for c in out["cells"]) >= out["calls"] * 0.9, "calls are missing from the cells", p)
    hits = {}
    for r in out["results"]:
        hits.setdefault(r["call"], {})[r["result"]] = r["hits"]
    counted = sum(n for by_result in hits.values() for n in by_result.values())
    need(out["calls"] * 0.9 <= counted <= out["calls"], "calls are missing from the results", p)
    # Where the host has userfaultfd, its ioctls succeed, too.
    for name in ("COPY", "ZEROPAGE", "MOVE", "CONTINUE", "POISON", "WRITEPROTECT") if "UFFDIO_API" in hits and out["calls"] >= 20000 else ():
        done = hits.get("UFFDIO_" + name, {})
        need(done.get("0", 0) >= 5, f"UFFDIO_{name} hardly ever succeeds: {done}", p)
    if not out["disk"]:
        print("no disk for files: programs with a userfaultfd had none")
    need(len(out["below_100"]) == sum(c["hits"] < 100 for c in out["cells"]), "rare cells are not all named", p)
    need(not out["impossible"], f"cells that cannot be: {out['impossible']}", p)


if __name__ == "__main__":
    {"self-check": self_check, "linux": linux}[sys.argv[1]](sys.argv[2])
