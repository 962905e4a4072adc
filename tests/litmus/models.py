# SPDX-License-Identifier: MIT
"""The own checker: every execution of a small program that a memory model allows, by enumeration.

An execution is a choice of a run for each thread, of a write for each read (rf), and of an order of the writes to each location (mo; Arm calls
it co). It is allowed if no axiom of the model is broken:

 rc11	C11 as repaired by Lahav, Vafeiadis, Kang, Hur and Dreyer (PLDI 2017), with C++20's release sequences, which promise less
 lse	Arm's (B2.3 of the Arm ARM; multi-copy atomic), for code compiled to it with FEAT_LSE: one instruction for each read-modify-write
 llsc	the same, without FEAT_LSE: pairs of exclusives

Acquire loads are taken to be LDAPR for Arm, which promises less than LDAR. Non-atomic accesses, mixed sizes, consume and loops are not modelled.
synchronize_rcu() and read sections: of each two, either the whole section is ordered before what follows the grace period, or what
precedes the grace period before the whole section.

Relations are lists of bit masks: r[a] has the bit b if a is before b.
"""
import itertools

import program

MODELS = ("rc11", "lse", "llsc")

# What the models are made of, and what of it a run goes without: so the tests show that each part is needed (classics.py --self-test).
PARTS = ("no-thin-air", "sw", "coherence", "atomicity", "psc", "bob", "amo", "dob", "internal", "external", "rcu")
WITHOUT = set()


def has(part):
    return part not in WITHOUT


# ---- relations ----

def bits(mask):
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def union(*rels):
    return [x if len(rels) == 1 else _or(x) for x in zip(*rels)]


def _or(masks):
    out = 0
    for m in masks:
        out |= m
    return out


def compose(r, s):
    return [_or(s[b] for b in bits(m)) for m in r]


def closure(r):
    r = list(r)
    for k, _ in enumerate(r):
        bit, row = 1 << k, r[k]
        for i, m in enumerate(r):
            if m & bit:
                r[i] = m | row
                if i == k:
                    row = r[k]
    return r


def acyclic(r):
    return not any(m >> i & 1 for i, m in enumerate(closure(r)))


def irreflexive(r):
    return not any(m >> i & 1 for i, m in enumerate(r))


def inverse(r):
    out = [0] * len(r)
    for a, m in enumerate(r):
        for b in bits(m):
            out[b] |= 1 << a
    return out


def restrict(r, domain, codomain):
    return [m & codomain if domain >> i & 1 else 0 for i, m in enumerate(r)]


# ---- candidate executions ----

class Graph:
    """The events of one choice of runs; initial writes first, and before everything."""

    def __init__(self, test, runs):
        self.ev, self.tid = [], []
        for loc, v in sorted(test.init.items()):
            if not any(t.params.get(loc) for t in test.threads):
                self.ev.append(program.Event("W", loc, v, "relaxed", frozenset(), frozenset(), frozenset(), None, False))
                self.tid.append(-1)
        self.inits = len(self.ev)
        self.n = self.inits + sum(len(r.events) for r in runs)
        self.po, self.rmw = [0] * self.n, [0] * self.n
        self.addr, self.data, self.ctrl = [0] * self.n, [0] * self.n, [0] * self.n
        every = (1 << self.n) - 1
        for i in range(self.inits):
            self.po[i] = every & ~((1 << self.inits) - 1)
        for t, run in enumerate(runs):
            base = len(self.ev)
            reads = {}
            end = base + len(run.events)
            for k, e in enumerate(run.events):
                at = base + k
                self.po[at] = ((1 << end) - 1) & ~((1 << at + 1) - 1)
                for deps, rel in ((e.addr, self.addr), (e.data, self.data), (e.ctrl, self.ctrl)):
                    for d in deps:
                        rel[base + d] |= 1 << at
                if e.rmw is not None:
                    self.rmw[base + e.rmw] |= 1 << at
            self.ev += run.events
            self.tid += [t] * len(run.events)
        self.loc = {}
        for i, e in enumerate(self.ev):
            if e.loc is not None:
                self.loc[e.loc] = self.loc.get(e.loc, 0) | 1 << i
        self.R = self.where(lambda e: e.kind == "R")
        self.W = self.where(lambda e: e.kind == "W")
        self.same = [self.loc.get(e.loc, 0) for e in self.ev]
        self.poloc = [m & s for m, s in zip(self.po, self.same)]
        self.ext = [every & ~_or(1 << j for j, u in enumerate(self.tid) if u == t) for t in self.tid]
        for i in range(self.inits):
            self.ext[i] = every & ~(1 << i)

    def where(self, f):
        return _or(1 << i for i, e in enumerate(self.ev) if f(e))

    def sources(self):
        """For each read the writes that it can read from."""
        out = []
        for r in bits(self.R):
            e = self.ev[r]
            ws = [w for w in bits(self.W & self.same[r]) if self.ev[w].val == e.val and not self.poloc[r] >> w & 1]
            # Coherence inside the thread: not from a write of its own that another of its own has overwritten.
            ws = [w for w in ws if not any(self.poloc[w] >> x & 1 and self.poloc[x] >> r & 1 for x in bits(self.W & self.same[r]))]
            if not ws:
                return None
            out.append([(r, w) for w in ws])
        return out

    def rcu(self):
        """(section's first event, its last, grace period) for each two in different threads."""
        out = []
        for i, e in enumerate(self.ev):
            if e.kind == "L":
                # Without an unlock it never ends, and no grace period that began later does.
                end = next((j for j in bits(self.po[i]) if self.ev[j].kind == "U"), None)
                if end is None:
                    raise program.Bad("a read section without an end")
                out += [(i, end, g) for g, x in enumerate(self.ev) if x.kind == "S" and self.tid[g] != self.tid[i]]
        return out


def orders(g, before):
    """mo: every total order of each location's writes that respects `before`."""
    per = []
    for loc in sorted(g.loc):
        ws = list(bits(g.loc[loc] & g.W))
        ok = [p for p in itertools.permutations(ws[1:])
              if not any(before[b] >> a & 1 for i, a in enumerate(p) for b in p[i + 1:])]
        per.append([ws[:1] + list(p) for p in ok])
    for choice in itertools.product(*per):
        mo = [0] * g.n
        for ws in choice:
            later = 0
            for w in reversed(ws):
                mo[w] = later
                later |= 1 << w
        yield mo, {g.ev[ws[0]].loc: g.ev[ws[-1]].val for ws in choice}


# ---- rc11 ----

class Rc11:
    def __init__(self, g):
        self.g = g
        at_least = {"acquire": ("acquire", "acq_rel", "seq_cst"), "release": ("release", "acq_rel", "seq_cst"), "sc": ("seq_cst",)}
        self.acq, self.rel, self.sc = (g.where(lambda e, k=k: e.order in at_least[k]) for k in ("acquire", "release", "sc"))
        self.F = g.where(lambda e: e.kind in "FS")
        self.neq = [m & ~s for m, s in zip(g.po, g.same)]
        # Fences before writes, and behind reads.
        self.to_write = union([1 << i if self.rel >> i & 1 else 0 for i in range(g.n)], restrict(g.po, self.F & self.rel, g.W))
        self.from_read = union([1 << i if self.acq >> i & 1 else 0 for i in range(g.n)], restrict(g.po, g.R, self.F & self.acq))

    def before_mo(self, rf, extra):
        """hb, or None if this rf is never allowed."""
        g = self.g
        if has("no-thin-air") and not acyclic(union(g.po, rf, extra)):
            return None
        rs = union([1 << i if g.W >> i & 1 else 0 for i in range(g.n)], closure(compose(rf, g.rmw)))
        sw = compose(compose(compose(self.to_write, restrict(rs, g.W, g.W)), rf), self.from_read)
        hb = closure(union(g.po, sw, extra) if has("sw") else union(g.po, extra))
        return hb if irreflexive(hb) else None

    def allowed(self, rf, mo, hb):
        g = self.g
        rb = [m & ~(1 << i) for i, m in enumerate(compose(inverse(rf), mo))]
        eco = closure(union(rf, mo, rb))
        if has("coherence") and not irreflexive(compose(hb, eco)):
            return False
        if has("atomicity") and any(g.rmw[i] & m for i, m in enumerate(compose(rb, mo))):
            return False
        scb = union(g.po, compose(compose(self.neq, hb), self.neq), [m & s for m, s in zip(hb, g.same)], mo, rb)
        fences = self.F & self.sc
        me = [1 << i if self.sc >> i & 1 else 0 for i in range(g.n)]
        left, right = union(me, restrict(hb, fences, -1)), union(me, restrict(hb, -1, fences))
        psc = union(compose(compose(left, scb), right), restrict(union(hb, compose(compose(hb, eco), hb)), fences, fences))
        return not has("psc") or acyclic(psc)


# ---- Arm ----

class Arm:
    def __init__(self, g, lse):
        self.g = g
        R, W, po = g.R, g.W, g.po
        A = g.where(lambda e: e.kind == "R" and e.order == "seq_cst")
        Q = g.where(lambda e: e.kind == "R" and e.order == "acquire")
        # The read of an atomic with acquire is A, whatever the order is called: there is no RCpc form of them.
        A |= Q & _or(1 << i for i, m in enumerate(g.rmw) if m)
        L = g.where(lambda e: e.kind == "W" and e.order in ("release", "seq_cst"))
        full = g.where(lambda e: e.kind in "FS" and e.order in ("release", "acq_rel", "seq_cst"))
        ld = g.where(lambda e: e.kind == "F" and e.order == "acquire")
        noret = g.where(lambda e: e.noret) if lse else 0
        M = R | W
        acq = A | Q
        bob = union(compose(restrict(po, M, full), restrict(po, full, M)), restrict(po, L, A),
                    compose(restrict(po, R & ~noret, ld), restrict(po, ld, M)), restrict(po, acq & ~noret, M), restrict(po, M, L))
        if lse and has("amo"):
            # What an atomic with acquire and release writes is before everything behind it.
            amo = _or(m for i, m in enumerate(g.rmw) if A >> i & 1) & L
            bob = union(bob, restrict(po, amo, M))
        dob = union(g.addr, g.data, restrict(g.ctrl, R, W), restrict(compose(g.addr, po), R, W))
        nothing = [0] * g.n
        self.base = union(bob if has("bob") else nothing, dob if has("dob") else nothing, g.rmw)
        self.acq, self.wrmw = acq, _or(g.rmw)
        self.dep = union(g.addr, g.data)

    def before_mo(self, rf, extra):
        """ob as far as it is known; `extra` is RCU's."""
        g = self.g
        rfi = [m & ~e for m, e in zip(rf, g.ext)]
        rfe = [m & e for m, e in zip(rf, g.ext)]
        # Inside a thread everything on its side of a section's end or a grace period goes with it.
        sides = union(extra, compose(restrict(g.po, -1, _or(1 << i for i, m in enumerate(extra) if m)), extra))
        sides = union(sides, compose(sides, restrict(g.po, _or(extra), -1)))
        self.known = union(self.base, rfe, compose(self.dep, rfi), restrict(rfi, self.wrmw, self.acq), sides)
        return g.poloc if not has("external") or acyclic(self.known) else None

    def allowed(self, rf, mo, _):
        g = self.g
        fr = [m & ~(1 << i) for i, m in enumerate(compose(inverse(rf), mo))]
        if has("internal") and not acyclic(union(g.poloc, mo, fr, rf)):
            return False
        fre, coe = ([m & e for m, e in zip(r, g.ext)] for r in (fr, mo))
        if has("atomicity") and any(g.rmw[i] & m for i, m in enumerate(compose(fre, coe))):
            return False
        return not has("external") or acyclic(union(self.known, fre, coe))


def check(test, model):
    """Never, Sometimes or Always: is the condition true at the end of an allowed execution, whatever the quantifier says.

    Runs whose registers cannot make the condition true are looked at only until one is allowed.
    """
    runs = program.all_paths(test)
    finals = [[r.final() for r in rs] for rs in runs]
    values = [[({(e.loc, e.val) for e in r.events if e.kind == "W"}, {(e.loc, e.val) for e in r.events if e.kind == "R"}) for r in rs]
              for rs in runs]
    initial = set(test.init.items())
    seen = set()

    def holds(choice, memory):
        def final(t, k, v):
            if t is None:
                return memory is None or memory[k] == v
            return finals[t][choice[t]].get(k) == v
        return bool(eval(test.condition, {"final": final}))

    for choice in itertools.product(*(range(len(rs)) for rs in runs)):
        if not holds(choice, None) and False in seen:
            continue
        written = initial.union(*(values[t][i][0] for t, i in enumerate(choice)))
        if all(values[t][i][1] <= written for t, i in enumerate(choice)):
            seen |= executions(test, model, [runs[t][i] for t, i in enumerate(choice)], lambda memory, c=choice: holds(c, memory))
        if len(seen) == 2:
            break
    if not seen:
        raise program.Bad("no execution is allowed at all")
    return "Never" if True not in seen else "Always" if False not in seen else "Sometimes"


def executions(test, model, runs, holds):
    """Whether the condition holds, in the executions of these runs that the model allows: a set."""
    seen = set()
    g = Graph(test, runs)
    sources = g.sources()
    if sources is None:
        return seen
    m = Rc11(g) if model == "rc11" else Arm(g, model == "lse")
    pairs = g.rcu() if has("rcu") else []
    rmw_reads = _or(1 << i for i, x in enumerate(g.rmw) if x)
    for rfs in itertools.product(*sources):
        rf = [0] * g.n
        for r, w in rfs:
            rf[w] |= 1 << r
        # Two read-modify-writes never read the same write: atomicity says so, and this is sooner.
        if has("atomicity") and any(bin(m & rmw_reads).count("1") > 1 for m in rf):
            continue
        for sides in itertools.product((0, 1), repeat=len(pairs)):
            extra = [0] * g.n
            for side, (first, last, gp) in zip(sides, pairs):
                if side:
                    extra[last] |= 1 << gp
                else:
                    extra[gp] |= 1 << first
            before = m.before_mo(rf, extra)
            if before is not None:
                seen |= {holds(memory) for mo, memory in orders(g, before) if m.allowed(rf, mo, before)}
    return seen
