#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The own checker on the shapes that everybody knows: what it says must be what is known of them.

A thread is a list of accesses: "W.rel x 1", "R.acq y", "X.rlx x 2" (exchange), "A.sc x" (add 1), "F.sc"; a register for each read, in order. A
value of a write may be a register of the thread (data dependency), "&z" is an address, "R.rlx *r0" reads through one (address dependency), and
"if r0" makes the rest depend on a read (control dependency).

Verdicts are for rc11, lse and llsc: N Never, S Sometimes. They are those of the papers that the models come from and of the Arm ARM's and the
litmus literature's lists, not what this checker says.
"""
import sys

import models
import program

ORDER = {"rlx": "relaxed", "acq": "acquire", "rel": "release", "ar": "acq_rel", "sc": "seq_cst"}

SHAPES = (
    # Store buffering: only a full fence on both sides, or seq_cst accesses alone, forbid it.
    ("SB", ["W.rlx x 1", "R.rlx y"], ["W.rlx y 1", "R.rlx x"], "0:r0=0 /\\ 1:r0=0", "SSS"),
    ("SB+rel-acq", ["W.rel x 1", "R.acq y"], ["W.rel y 1", "R.acq x"], "0:r0=0 /\\ 1:r0=0", "SSS"),
    ("SB+sc", ["W.sc x 1", "R.sc y"], ["W.sc y 1", "R.sc x"], "0:r0=0 /\\ 1:r0=0", "NNN"),
    ("SB+fence", ["W.rlx x 1", "F.sc", "R.rlx y"], ["W.rlx y 1", "F.sc", "R.rlx x"], "0:r0=0 /\\ 1:r0=0", "NNN"),
    ("SB+fence+po", ["W.rlx x 1", "F.sc", "R.rlx y"], ["W.rlx y 1", "R.rlx x"], "0:r0=0 /\\ 1:r0=0", "SSS"),
    # Acquire and release fences do not order a store before a load in C11; the compiler makes DMB ISH of the second.
    ("SB+ar", ["W.rlx x 1", "F.ar", "R.rlx y"], ["W.rlx y 1", "F.ar", "R.rlx x"], "0:r0=0 /\\ 1:r0=0", "SNN"),
    # A read-modify-write of a third location is a full fence where LSE has it in one instruction, and nowhere else.
    ("SB+rmw", ["W.rlx x 1", "A.sc a", "R.rlx y"], ["W.rlx y 1", "A.sc b", "R.rlx x"], "0:r1=0 /\\ 1:r1=0", "SNS"),
    ("SB+rmw-one-place", ["W.rlx x 1", "A.sc a", "R.rlx y"], ["W.rlx y 1", "A.sc a", "R.rlx x"], "0:r1=0 /\\ 1:r1=0", "NNN"),
    # The last write and read are of the read-modify-write: RMW x; R y.
    ("SB+xchg+fence", ["X.sc x 1", "R.rlx y"], ["W.rlx y 1", "F.sc", "R.rlx x"], "0:r1=0 /\\ 1:r0=0", "SNS"),
    ("SB+xchg-load", ["X.sc x 1", "R.sc y"], ["W.rlx y 1", "F.sc", "R.rlx x"], "0:r1=0 /\\ 1:r0=0", "NNN"),
    # Message passing.
    ("MP", ["W.rlx x 1", "W.rlx y 1"], ["R.rlx y", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "SSS"),
    ("MP+rel+acq", ["W.rlx x 1", "W.rel y 1"], ["R.acq y", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "NNN"),
    ("MP+rel+po", ["W.rlx x 1", "W.rel y 1"], ["R.rlx y", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "SSS"),
    ("MP+po+acq", ["W.rlx x 1", "W.rlx y 1"], ["R.acq y", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "SSS"),
    ("MP+fences", ["W.rlx x 1", "F.rel", "W.rlx y 1"], ["R.rlx y", "F.acq", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "NNN"),
    ("MP+rel+acqfence", ["W.rlx x 1", "W.rel y 1"], ["R.rlx y", "F.acq", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "NNN"),
    ("MP+rel+ctrl", ["W.rlx x 1", "W.rel y 1"], ["R.rlx y", "if r0", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "SSS"),
    # C11 knows no dependencies; hardware does.
    ("MP+rel+addr", ["W.rlx x 1", "W.rel p &x"], ["R.rlx p", "R.rlx *r0"], "1:r0=&x /\\ 1:r1=0", "SNN"),
    # An atomic whose result nobody looks at does not stay before an acquire fence where it is one instruction (STADD).
    ("MP+rel+rmw-acqfence", ["W.rlx x 1", "W.rel y 1"], ["A.rlx y", "F.acq", "R.rlx x"], "y=2 /\\ 1:r1=0", "NSN"),
    # Release sequences go on through read-modify-writes, and (C++20) not through the thread's own stores.
    ("MP+relseq-rmw", ["W.rlx x 1", "W.rel y 1"], ["A.rlx y"], ["R.acq y", "R.rlx x"], "2:r0=2 /\\ 2:r1=0", "NNN"),
    ("MP+relseq-store", ["W.rlx x 1", "W.rel y 1", "W.rlx y 2"], ["R.acq y", "R.rlx x"], "1:r0=2 /\\ 1:r1=0", "SSS"),
    # Load buffering.
    ("LB", ["R.rlx x", "W.rlx y 1"], ["R.rlx y", "W.rlx x 1"], "0:r0=1 /\\ 1:r0=1", "NSS"),
    ("LB+datas", ["R.rlx x", "W.rlx y r0"], ["R.rlx y", "W.rlx x r0"], "0:r0=1 /\\ 1:r0=1", "NNN"),
    ("LB+ctrls", ["R.rlx x", "if r0", "W.rlx y 1"], ["R.rlx y", "if r0", "W.rlx x 1"], "0:r0=1 /\\ 1:r0=1", "NNN"),
    ("LB+acqs", ["R.acq x", "W.rlx y 1"], ["R.acq y", "W.rlx x 1"], "0:r0=1 /\\ 1:r0=1", "NNN"),
    # Independent reads of independent writes: Arm's machines are multi-copy atomic, C11 is not.
    ("IRIW", ["W.rlx x 1"], ["W.rlx y 1"], ["R.rlx x", "R.rlx y"], ["R.rlx y", "R.rlx x"], "2:r0=1 /\\ 2:r1=0 /\\ 3:r0=1 /\\ 3:r1=0", "SSS"),
    ("IRIW+acqs", ["W.rel x 1"], ["W.rel y 1"], ["R.acq x", "R.acq y"], ["R.acq y", "R.acq x"], "2:r0=1 /\\ 2:r1=0 /\\ 3:r0=1 /\\ 3:r1=0", "SNN"),
    ("IRIW+sc", ["W.sc x 1"], ["W.sc y 1"], ["R.sc x", "R.sc y"], ["R.sc y", "R.sc x"], "2:r0=1 /\\ 2:r1=0 /\\ 3:r0=1 /\\ 3:r1=0", "NNN"),
    ("IRIW+fences", ["W.rlx x 1"], ["W.rlx y 1"], ["R.rlx x", "F.sc", "R.rlx y"], ["R.rlx y", "F.sc", "R.rlx x"], "2:r0=1 /\\ 2:r1=0 /\\ 3:r0=1 /\\ 3:r1=0", "NNN"),
    # Two writes each.
    ("2+2W", ["W.rlx x 1", "W.rlx y 2"], ["W.rlx y 1", "W.rlx x 2"], "x=1 /\\ y=1", "SSS"),
    ("2+2W+rels", ["W.rlx x 1", "W.rel y 2"], ["W.rlx y 1", "W.rel x 2"], "x=1 /\\ y=1", "SNN"),
    ("2+2W+scs", ["W.sc x 1", "W.sc y 2"], ["W.sc y 1", "W.sc x 2"], "x=1 /\\ y=1", "NNN"),
    ("2+2W+fences", ["W.rlx x 1", "F.sc", "W.rlx y 2"], ["W.rlx y 1", "F.sc", "W.rlx x 2"], "x=1 /\\ y=1", "NNN"),
    # S, R, WRC, ISA2.
    ("S+rel+acq", ["W.rlx x 2", "W.rel y 1"], ["R.acq y", "W.rlx x 1"], "1:r0=1 /\\ x=2", "NNN"),
    ("S+rel+data", ["W.rlx x 2", "W.rel y 1"], ["R.rlx y", "W.rlx x r0"], "1:r0=1 /\\ x=2", "SNN"),
    ("R+fences", ["W.rlx x 1", "F.sc", "W.rlx y 1"], ["W.rlx y 2", "F.sc", "R.rlx x"], "y=2 /\\ 1:r0=0", "NNN"),
    ("WRC+rel+acq", ["W.rlx x 1"], ["R.rlx x", "W.rel y 1"], ["R.acq y", "R.rlx x"], "1:r0=1 /\\ 2:r0=1 /\\ 2:r1=0", "NNN"),
    ("WRC+data+acq", ["W.rlx x 1"], ["R.rlx x", "W.rlx y r0"], ["R.acq y", "R.rlx x"], "1:r0=1 /\\ 2:r0=1 /\\ 2:r1=0", "SNN"),
    ("WRC+data+po", ["W.rlx x 1"], ["R.rlx x", "W.rlx y r0"], ["R.rlx y", "R.rlx x"], "1:r0=1 /\\ 2:r0=1 /\\ 2:r1=0", "SSS"),
    ("ISA2", ["W.rlx x 1", "W.rel y 1"], ["R.acq y", "W.rel z 1"], ["R.acq z", "R.rlx x"], "1:r0=1 /\\ 2:r0=1 /\\ 2:r1=0", "NNN"),
    # One location: never out of order, whatever the orders.
    ("CoRR", ["W.rlx x 1"], ["R.rlx x", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "NNN"),
    ("CoWW", ["W.rlx x 1", "W.rlx x 2"], ["R.rlx x"], "x=1", "NNN"),
    ("CoRW", ["R.rlx x", "W.rlx x 1"], ["W.rlx x 2"], "0:r0=1", "NNN"),
    ("CoWR", ["W.rlx x 1", "R.rlx x"], ["W.rlx x 2"], "0:r0=0", "NNN"),
    ("CoRR2", ["W.rlx x 1"], ["W.rlx x 2"], ["R.rlx x", "R.rlx x"], ["R.rlx x", "R.rlx x"], "2:r0=1 /\\ 2:r1=2 /\\ 3:r0=2 /\\ 3:r1=1", "NNN"),
    # Read-modify-writes lose nothing.
    ("add+add", ["A.rlx x"], ["A.rlx x"], "x=1", "NNN"),
    ("xchg+xchg", ["X.rlx x 1"], ["X.rlx x 2"], "0:r0=0 /\\ 1:r0=0", "NNN"),
    ("load-store+store", ["R.rlx x", "W.rlx x 1"], ["W.rlx x 2"], "0:r0=0 /\\ x=1", "SSS"),
    # Grace periods: a section that sees what follows one has what precedes it, and one that it waited for has ended.
    ("RCU+MP", ["W.rlx x 1", "G", "W.rlx y 1"], ["L", "R.rlx y", "R.rlx x", "U"], "1:r0=1 /\\ 1:r1=0", "NNN"),
    ("RCU+MP+unlocked", ["W.rlx x 1", "G", "W.rlx y 1"], ["R.rlx y", "R.rlx x"], "1:r0=1 /\\ 1:r1=0", "SSS"),
    ("RCU+MP-two-sections", ["W.rlx x 1", "G", "W.rlx y 1"], ["L", "R.rlx y", "U", "L", "R.rlx x", "U"], "1:r0=1 /\\ 1:r1=0", "NNN"),
    ("RCU+free", ["W.rlx x 1", "G", "W.rlx y 1"], ["L", "R.rlx x", "R.rlx y", "U"], "1:r0=0 /\\ 1:r1=1", "NNN"),
    ("RCU+free-two-sections", ["W.rlx x 1", "G", "W.rlx y 1"], ["L", "R.rlx x", "U", "L", "R.rlx y", "U"], "1:r0=0 /\\ 1:r1=1", "SSS"),
    ("RCU+free-no-wait", ["W.rlx x 1", "F.sc", "W.rlx y 1"], ["L", "R.rlx x", "R.rlx y", "U"], "1:r0=0 /\\ 1:r1=1", "SSS"),
)


def text(name, threads, cond):
    """The shape as a litmus test."""
    locs = sorted({a.split()[1] for t in threads for a in t if a[0] in "WRXA" and "*" not in a})
    params = ", ".join(f"atomic_int {'**' if x == 'p' else '*'}{x}" for x in locs)
    out = [f"C {name}", "{ " + " ".join("p=&z; z=0;" if x == "p" else f"{x}=0;" for x in locs) + " }"]
    for i, t in enumerate(threads):
        out.append(f"P{i} ({params}) {{")
        regs, ends = 0, ""
        for a in t:
            f = a.split()
            kind, _, order = f[0].partition(".")
            mo = "memory_order_" + ORDER.get(order, "")
            if kind == "W":
                out.append(f"atomic_store_explicit({f[1]}, {f[2].lstrip('&')}, {mo});")
            elif kind == "F":
                out.append(f"atomic_thread_fence({mo});")
            elif kind == "if":
                out.append(f"if ({f[1]}) {{")
                ends += "}"
            elif kind in "GLU":
                out.append({"G": "synchronize_rcu", "L": "rcu_read_lock", "U": "rcu_read_unlock"}[kind] + "();")
            else:
                call = {"R": "atomic_load_explicit(%s, " % f[1].lstrip("*"), "X": "atomic_exchange_explicit(%s, %s, " % (f[1], f[-1]),
                        "A": "atomic_fetch_add_explicit(%s, 1, " % f[1]}[kind] + mo + ")"
                looked_at = kind != "A" or f"{i}:r{regs}" in cond
                out.append(f"int r{regs} = {call};" if looked_at else f"{call};")
                regs += 1
        out.append(ends + "}")
    return "\n".join(out) + f"\nexists ({cond})\n"


def wrong():
    """(name, what the checker says, what is known) of each shape about which it is wrong."""
    out = []
    for name, *threads, cond, want in SHAPES:
        test = program.parse(text(name, threads, cond))
        try:
            got = "".join(models.check(test, m)[0] for m in models.MODELS)
        except program.Bad as e:
            got = str(e)
        if got != want:
            out.append((name, got, want))
    return out


def self_test():
    """Each part of the models is needed: without it something is wrong."""
    bad = []
    for part in models.PARTS:
        models.WITHOUT.add(part)
        names = [name for name, _, _ in wrong()]
        models.WITHOUT.clear()
        print(f"without {part}: {len(names)} wrong{': ' + ', '.join(names[:4]) if names else ''}")
        if not names:
            bad.append(part)
    print(f"{len(models.PARTS)} parts, {len(bad)} not missed{': ' + ', '.join(bad) if bad else ''}")
    return bool(bad)


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    bad = wrong()
    for name, got, want in bad:
        print(f"{name}: {got} for {' '.join(models.MODELS)}, known to be {want}")
    print(f"{len(SHAPES)} classics, {len(bad)} wrong")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
