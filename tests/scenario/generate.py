#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the scenarios that differ in one thing only.

Row B2: every pattern of AnonExclusive over a window of one folio, at several places of it. A folio of 16 pages is written,
shared with a child and, once the child is gone, written again at chosen pages: these are exclusive, the others are not.
mprotect to read-only and back of just the window must make writable what is exclusive.

Hardware: one program of partial changes for each level of break-before-make and other features of arm64."""
import os
import sys

WINDOW = 4
OFFSETS = (0, 1, 3, 6, 9, 12)

HEAD = """\
# Row B2: AnonExclusive sub-batches are counted from the page of the first entry, wherever in the folio that is. Every pattern of
# exclusive pages over {n} pages that begin at page {o} of a folio of 16. Written by tests/scenario/generate.py.
@format all
@thp 16P=always
$a = mmap(0x10000000, 16P, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
"""


def runs(bits):
    """(first, length, value) of each run of equal bits."""
    out = []
    for i, b in enumerate(bits):
        if out and out[-1][2] == b:
            out[-1][1] += 1
        else:
            out.append([i, 1, b])
    return out


def scenario(offset):
    text = HEAD.format(n=WINDOW, o=offset)
    for pattern in range(1 << WINDOW):
        bits = [pattern >> i & 1 for i in range(WINDOW)]
        text += f"\n# {''.join('x' if b else '.' for b in bits)}\n"
        text += "madvise($a, 16P, MADV_DONTNEED)\nstore($a, 16P)\nexpect order($a, 16P, 16P)\nfork() = 2\n"
        text += "[pid 2] exit_group(0)\n"
        # The pages before the window have the opposite of its first pages, so that counting from page 0 shows.
        before = [b ^ 1 for b in bits[:offset]]
        prefix = "[pid 1] "
        for base, part in ((0, before), (offset, bits)):
            for first, n, b in runs(part):
                if b:
                    text += f"{prefix}store($a + {base + first}P, {n}P)\n"
                    prefix = ""
        text += f"{prefix}mprotect($a + {offset}P, {WINDOW}P, PROT_READ)\n"
        text += f"mprotect($a + {offset}P, {WINDOW}P, PROT_READ|PROT_WRITE)\n"
        for first, n, b in runs(bits):
            text += f"expect {'' if b else 'not '}writable($a + {offset + first}P, {n}P)\n"
            text += f"expect {'' if b else 'not '}exclusive($a + {offset + first}P, {n}P)\n"
        text += "store($a, 16P)\nload($a, 16P)\n"
    return text


FEATURES = {
    "bbm0": "break-before-make is due for every change of a block's contiguity",
    "bbml1": "contiguity may change without it; a conflict abort is possible, so that the library does it all the same",
    "bbml2": "the same, for block sizes too",
    "bbml2-noabort": "contiguity changes without a flush between",
    "no-tlbirange": "no range invalidation: one operation a page, or one for the address space",
    "no-ttl": "no level hints",
    "haf": "hardware sets A only: D is set by faults",
    "no-haf": "A and D are set by faults",
}

BODY = """\
# The same changes to parts of blocks, on arm64 with {name}: {why}. Written by
# tests/scenario/generate.py.
@format arm64-4k
@feature {name}
@fold both
@cpus 3
@thp 64K=always
$a = mmap(0x10000000, 512K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
store($a, 512K)
expect folded($a, 512K)
[cpu 1] load($a, 512K)
[cpu 2] store($a, 64K)
[cpu 0] reset
mprotect($a + 4K, 4K, PROT_READ)
expect unfold == 1
expect tlbi <= {unfold}
expect unfolded($a, 64K)
store($a + 4K) = SIGSEGV
[cpu 1] store($a + 4K) = SIGSEGV
[cpu 2] load($a, 64K)
[cpu 0] madvise($a + 124K, 8K, MADV_DONTNEED)
munmap($a + 196K, 4K)
fork() = 2
[pid 2] store($a + 256K, 32K)
load($a, 196K)
load($a + 200K, 312K)
[pid 1] load($a + 200K, 312K)
store($a + 300K, 100K)
mprotect($a + 256K, 256K, PROT_NONE)
[cpu 1] load($a + 256K) = SIGSEGV
[cpu 0] mprotect($a + 256K, 256K, PROT_READ|PROT_WRITE)
[pid 2] load($a + 200K, 312K)
exit_group(0)
[pid 1] store($a + 200K, 312K)
mremap($a + 256K, 256K, 256K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x20000000)
mremap(0x20000000, 64K, 64K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x20100000 + 4K)
load(0x20000000 + 64K, 192K)
load(0x20100000 + 4K, 64K)
[cpu 2] load($a, 196K)
load($a + 200K, 56K)
"""


def features(name):
    # The flush of the page, the block's between empty and refilled, and without ranges one a page.
    unfold = 1 if name == "bbml2-noabort" else 18 if name == "no-tlbirange" else 2
    return BODY.format(name=name, why=FEATURES[name], unfold=unfold)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "scenarios"
    for o in OFFSETS:
        with open(os.path.join(folder, f"b2-patterns-at-{o:02d}.pf"), "w") as f:
            f.write(scenario(o))
    for name in FEATURES:
        with open(os.path.join(folder, f"a6-hardware-{name}.pf"), "w") as f:
            f.write(features(name))


main()
