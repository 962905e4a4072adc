#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check spin's models: right as they are, and wrong with each mistake. Exit 77 where there is no spin or no compiler."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Mistakes that a model knows by #ifdef; found means that an assertion fails.
MODELS = {
    "block": ("NO_FLUSH", "NO_EXCHANGE", "NOT_GATHERED", "ONE_SLOT", "SKIP"),
    "tables": ("NO_WAIT", "NO_SECTION", "NO_FLUSH", "NO_DEAD_CHECK", "NO_EMPTY_CHECK"),
}


def run(cmd, cwd):
    return subprocess.run(cmd, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def errors(name, define):
    """(assertions that failed, states); the search must have been whole."""
    with tempfile.TemporaryDirectory() as tmp:
        out = run(["spin", *([f"-D{define}"] if define else []), "-a", os.path.join(HERE, "spin", name + ".pml")], tmp)
        out += run(["gcc", "-O1", "-DSAFETY", "-w", "-o", "pan", "pan.c"], tmp)
        if not os.path.exists(os.path.join(tmp, "pan")):
            sys.exit(f"{name}: {out}")
        out = run(["./pan", "-m100000"], tmp)
    m = re.search(r"errors: (\d+)", out)
    if not m or "too small" in out or "invalid end state (" in out or (not int(m.group(1)) and "not completed" in out):
        sys.exit(f"{name} {define or ''}: not searched as a whole\n{out}")
    return int(m.group(1)), re.search(r"(\S+) states, stored", out).group(1)


def main():
    missing = [t for t in ("spin", "gcc") if not shutil.which(t)]
    if missing:
        print(f"skipped: {' and '.join(missing)} not installed (Debian: {' '.join(missing)})")
        return 77
    print(run(["spin", "-V"], HERE).strip())
    wrong = 0
    for name, mistakes in MODELS.items():
        for define in (None, *mistakes):
            n, states = errors(name, define)
            good = bool(n) == bool(define)
            wrong += not good
            print(f"{name} {'with ' + define if define else 'as it is'}: {n} errors, {states} states{'' if good else ' -- WRONG'}")
    print(f"{len(MODELS)} models, {wrong} verdicts wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
