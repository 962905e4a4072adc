#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the scenarios of row B2: every pattern of AnonExclusive over a window of one folio, at several places of it.

A folio of 16 pages is written, shared with a child and, once the child is gone, written again at chosen pages: these are
exclusive, the others are not. mprotect to read-only and back of just the window must make writable what is exclusive."""
import os
import sys

WINDOW = 4
OFFSETS = (0, 1, 3, 6, 9, 12)

HEAD = """\
# Row B2: AnonExclusive sub-batches are counted from the page of the first entry, wherever in the folio that is. Every pattern of
# exclusive pages over {n} pages that begin at page {o} of a folio of 16. Written by tests/scenario/generate_patterns.py.
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


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "scenarios"
    for o in OFFSETS:
        with open(os.path.join(folder, f"b2-patterns-at-{o:02d}.pf"), "w") as f:
            f.write(scenario(o))


main()
