#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turn litmus tests into C for run.c: to_c.py OUTPUT TEST[:VARIANT]... The bodies are C already; what is around them is not."""
import re
import sys

import program

DECLARED = re.compile(r"\b(int|atomic_int) (\**)(\w+) = ")


def thread(ident, i, head, body, at, pointers, init, wanted):
    out, params = [], []
    for kind, stars, name in re.findall(r"(\w+)\s*(\*+)\s*(\w+)", head):
        if kind == "int":
            what = "atomic_int *" if stars == "**" else "int "
            params += [f"{what}{name}_ = {init[name]};", f"{what}*{name} = &{name}_;"]
        elif name in pointers:
            params.append(f"_Atomic(atomic_int *) *{name} = &cell->word[{at[name]}].p;")
        else:
            params.append(f"atomic_int *{name} = &cell->word[{at[name]}].i;")
    regs = {}
    for kind, stars, name in DECLARED.findall(body):
        regs[name] = kind + " " + stars
    out.append(f"static void {ident}_{i}(struct cell *cell)\n{{")
    out += ["\t" + p for p in params]
    out += [f"\t{t}{r} = {'NULL' if '*' in t else 'NOT_RUN'};" for r, t in regs.items()]
    body = DECLARED.sub(lambda m: m.group(3) + " = ", body.strip()[1:-1])
    out += ["\t" + line.strip() for line in body.splitlines() if line.strip()]
    out += [f"\t(void){r};" for r in regs]
    out += [f"\tcell->reg[{i}][{k}] = (intptr_t){r};" for k, (t, r) in enumerate(wanted) if t == i]
    return "\n".join(out) + "\n}\n"


def convert(path, name):
    with open(path) as f:
        text = f.read()
    if name:
        text = program.variant(text, name)
    test = program.parse(text)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    ident = re.sub(r"\W", "_", test.name + ("_without_" + name if name else ""))
    shared = [x for x in test.init if not any(t.params.get(x) for t in test.threads)]
    at = {x: k for k, x in enumerate(shared)}
    pointers = {m for m in re.findall(r"atomic_int \*\*(\w+)", text)}
    cond = re.search(r"\nexists\s*(\(.*\))\s*$", text, re.S).group(1)
    wanted = [(int(t), r) for t, r in dict.fromkeys(re.findall(r"(\d+):(\w+)", cond))]
    out = []
    for i, part in enumerate(re.split(r"(?m)^P(?=\d+\s*\()", text[:text.rindex("\nexists")])[1:]):
        head, body = re.match(r"\d+\s*\(([^)]*)\)(.*)", part, re.S).groups()
        out.append(thread(ident, i, head, body, at, pointers, test.init, wanted))

    def value(v):
        return f"(intptr_t)&cell->word[{at[v[1:]]}].i" if v.startswith("&") else v
    cond = re.sub(r"(\d+):(\w+)=(&?\w+)", lambda m: "(cell->reg[%s][%d] == %s)" % (
        m.group(1), wanted.index((int(m.group(1)), m.group(2))), value(m.group(3))), cond)
    cond = re.sub(r"(?<![\w:])([a-z]\w*)=(\w+)", lambda m: f"(cell->word[{at[m.group(1)]}].i == {m.group(2)})", cond)
    cond = cond.replace("/\\", "&&").replace("\\/", "||")
    init = [f"\tcell->word[{at[x]}].{'p' if x in pointers else 'i'} = " +
            (f"&cell->word[{at[v[1:]]}].i;" if isinstance(v, str) else f"{v};") for x, v in test.init.items() if x in at]
    out.append(f"static void {ident}_init(struct cell *cell)\n{{\n" + "\n".join(init) + "\n}\n")
    out.append(f"static bool {ident}_seen(const struct cell *cell)\n{{\n\treturn {cond};\n}}\n")
    n = len(test.threads)
    return "\n".join(out), (f"\t{{\"{test.name}{' without ' + name if name else ''}\", {n}, {{{', '.join(f'{ident}_{i}' for i in range(n))}}}, "
                            f"{ident}_init, {ident}_seen}},")


def main(output, *tests):
    parts = []
    for t in tests:
        path, _, name = t.partition(":")
        with open(path) as f:
            if "rcu" in f.read():
                continue
        parts.append(convert(path, name))
    with open(output, "w") as f:
        f.write("/* Made by to_c.py. */\n#include \"run.h\"\n\n" + "\n".join(code for code, _ in parts) +
                "\nconst struct shape shapes[] = {\n" + "\n".join(row for _, row in parts) + "\n\t{0},\n};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
