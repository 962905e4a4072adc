# SPDX-License-Identifier: MIT
"""Litmus tests in herd's C dialect: reading them, their variants, and what each thread can do.

The subset: shared locations (atomic_int *x, and atomic_int **p for pointers to them), registers (int r0, atomic_int *r1), private words of one
thread (int *e, which a compare-exchange wants), atomic_{load,store,exchange,fetch_add,fetch_sub,fetch_or,fetch_and,
compare_exchange_strong}_explicit, atomic_thread_fence, if/else, integer expressions, and one condition at the end. Besides, as the own checker
alone understands them, rcu_read_lock(), rcu_read_unlock() and synchronize_rcu().

Marks in comments name each ordering, and make the variant that is without it:
	... memory_order_acquire ...  /* ~name */	the line with every order in it relaxed, or without it if it is a fence
	...                           /* -name */	the line is not there
	                              /* +name: ... */	a line is there that otherwise is not
"""
import re
from collections import namedtuple

ORDERS = {"memory_order_" + o: o for o in ("relaxed", "acquire", "release", "acq_rel", "seq_cst")}
MARK = re.compile(r"/\* ([~-])([\w-]+) \*/")
ADDED = re.compile(r"/\* \+([\w-]+): (.*?) \*/")
TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_]\w*)|(==|!=|<=|>=|&&|\|\||<<|>>|[-+*&|!~<>(){};,=]))")


class Bad(Exception):
    """The test is not in the subset, or makes no sense."""


def variants(text):
    """Names of the orderings that can be taken away, in the order in which they stand."""
    names = [m.group(2) for m in MARK.finditer(text)] + [m.group(1) for m in ADDED.finditer(text)]
    return list(dict.fromkeys(names))


def variant(text, name):
    """The test without the ordering `name`."""
    if name not in variants(text):
        raise Bad(f"no ordering is called {name}")
    out = []
    for line in text.splitlines():
        marks = {m.group(2): m.group(1) for m in MARK.finditer(line)}
        kind = marks.get(name)
        if kind == "-" or (kind == "~" and "atomic_thread_fence" in line):
            continue
        if kind == "~":
            line = re.sub(r"memory_order_\w+", "memory_order_relaxed", line)
        out.append(re.sub(ADDED, lambda m: m.group(2) if m.group(1) == name else m.group(0), line))
    return "\n".join(out) + "\n"


# ---- syntax ----

Thread = namedtuple("Thread", "params body")  # params: name -> is private
Test = namedtuple("Test", "name init threads quantifier condition")


class Tokens:
    def __init__(self, text):
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        self.toks, at = [], 0
        while at < len(text.rstrip()):
            m = TOKEN.match(text, at)
            if not m:
                raise Bad(f"cannot read: {text[at:at + 30]!r}")
            self.toks.append(int(m.group(1)) if m.group(1) else m.group(2) or m.group(3))
            at = m.end()
        self.at = 0

    def peek(self, ahead=0):
        return self.toks[self.at + ahead] if self.at + ahead < len(self.toks) else None

    def take(self, want=None):
        t = self.peek()
        if t is None or (want is not None and t != want):
            raise Bad(f"expected {want}, found {t}")
        self.at += 1
        return t

    def eat(self, t):
        if self.peek() == t:
            self.at += 1
            return True
        return False


BINARY = (("||",), ("&&",), ("|",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"))


def expression(t, level=0):
    if level == len(BINARY):
        return unary(t)
    e = expression(t, level + 1)
    while t.peek() in BINARY[level]:
        e = (t.take(), e, expression(t, level + 1))
    return e


def unary(t):
    if t.eat("!"):
        return ("!", unary(t))
    if t.eat("~"):
        return ("~", unary(t))
    if t.eat("*"):
        return ("reg", "*" + t.take())
    if t.eat("("):
        e = expression(t)
        t.take(")")
        return e
    tok = t.take()
    if isinstance(tok, int):
        return ("int", tok)
    if tok.startswith("atomic_"):
        return call(t, tok)
    return ("reg", tok)


def call(t, name):
    if not name.endswith("_explicit"):
        raise Bad(f"{name}: only the _explicit forms, so that each order is named")
    t.take("(")
    args = []
    while not t.eat(")"):
        if t.peek() in ORDERS:
            args.append(ORDERS[t.take()])
        else:
            args.append(expression(t))
        t.eat(",")
    return ("call", name[len("atomic_"):-len("_explicit")], args)


def statement(t):
    tok = t.peek()
    if tok == "{":
        return block(t)
    if tok == "if":
        t.take()
        t.take("(")
        cond = expression(t)
        t.take(")")
        then = statement(t)
        return ("if", cond, then, statement(t) if t.eat("else") else ("block", []))
    if tok == "atomic_thread_fence":
        t.take()
        t.take("(")
        order = ORDERS[t.take()]
        t.take(")")
        t.take(";")
        return ("fence", order)
    if tok in ("rcu_read_lock", "rcu_read_unlock", "synchronize_rcu"):
        t.take()
        for want in "();":
            t.take(want)
        return ("rcu", tok)
    if tok in ("int", "atomic_int"):
        t.take()
        while t.eat("*"):
            pass
    star = "*" if t.eat("*") else ""
    name = t.take()
    if name.startswith("atomic_"):
        e = call(t, name)
        t.take(";")
        return ("set", None, e)
    if t.eat(";"):
        return ("set", name, ("int", 0))
    t.take("=")
    e = expression(t)
    t.take(";")
    return ("set", star + name, e)


def block(t):
    t.take("{")
    out = []
    while not t.eat("}"):
        out.append(statement(t))
    return ("block", out)


def parse(text):
    m = re.match(r"C (\S+)\s*(?:\"[^\"]*\"\s*)?(.*?)\{(.*?)\}(.*)\n(~?exists|forall)\s*(\(.*\))\s*$", text, re.S)
    if not m:
        raise Bad("not a C litmus test")
    name, init, code, quantifier, cond = m.group(1), {}, m.group(4), m.group(5), m.group(6)
    for part in filter(str.strip, re.sub(r"/\*.*?\*/", " ", m.group(3), flags=re.S).split(";")):
        k, v = (s.strip() for s in part.split("="))
        init[k.split()[-1].lstrip("*")] = v if v.startswith("&") else int(v)
    threads = []
    for i, part in enumerate(re.split(r"(?m)^P(?=\d+\s*\()", code)[1:]):
        head, params, body = re.match(r"(\d+)\s*\(([^)]*)\)(.*)", part, re.S).groups()
        if int(head) != i:
            raise Bad(f"P{head} is the {i}th thread")
        ps = {}
        for p in filter(str.strip, params.split(",")):
            kind, stars, pname = re.match(r"\s*(\w+)\s*(\*+)\s*(\w+)\s*$", p).groups()
            ps[pname] = kind == "int"
            init.setdefault(pname, 0)
        t = Tokens(body)
        threads.append(Thread(ps, block(t)))
        if t.peek() is not None:
            raise Bad(f"P{i}: behind its end: {t.peek()}")
    for loc in init:
        if sum(th.params.get(loc, False) for th in threads) and sum(loc in th.params for th in threads) != 1:
            raise Bad(f"{loc} is plain and more than one thread's")
    return Test(name, init, threads, quantifier, condition(cond))


def condition(text):
    """"1:r0=1 /\\ x=2", as an expression over final(thread or None, name, value). No negation: check() relies on it."""
    if "~" in text or "not" in text:
        raise Bad("a condition with a negation")
    text = re.sub(r"(\d+):(\w+)\s*=\s*(&?\w+)", r"F(\1,\2,\3)", text)
    text = re.sub(r"(?<![\w(,])\[?(\w+)\]?\s*=\s*(&?\w+)", r"F(-,\1,\2)", text)
    text = re.sub(r"(?<=\()([A-Za-z_]\w*)\s*=\s*(&?\w+)", r"F(-,\1,\2)", text)
    py = text.replace("/\\", " and ").replace("\\/", " or ")
    py = re.sub(r"F\(([^,]+),(\w+),(&?\w+)\)", lambda m: "final(%r, %r, %r)" % (
        None if m.group(1) == "-" else int(m.group(1)), m.group(2),
        int(m.group(3)) if m.group(3).isdigit() else m.group(3)), py)
    return compile(py.strip(), "condition", "eval")


# ---- what a thread can do ----

# kind: R, W, F, L (rcu_read_lock), U, S (synchronize_rcu). addr, data, ctrl: sets of the thread's earlier reads on which it depends so.
# rmw: of a W, index in the thread of its R. noret: of a R, nobody looks at what it reads.
Event = namedtuple("Event", "kind loc val order addr data ctrl rmw noret")


class NeedValue(Exception):
    def __init__(self, loc):
        super().__init__(loc)
        self.loc = loc


class Cycle(Exception):
    """A write whose value depends on itself: no run."""


READ_SIDE = {"relaxed": "relaxed", "acquire": "acquire", "release": "relaxed", "acq_rel": "acquire", "seq_cst": "seq_cst"}
WRITE_SIDE = {"relaxed": "relaxed", "acquire": "relaxed", "release": "release", "acq_rel": "release", "seq_cst": "seq_cst"}
OPS = {
    "||": lambda a, b: int(bool(a) or bool(b)), "&&": lambda a, b: int(bool(a) and bool(b)),
    "==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b), "<": lambda a, b: int(a < b), ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b), ">=": lambda a, b: int(a >= b), "|": lambda a, b: a | b, "&": lambda a, b: a & b,
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "<<": lambda a, b: a << b, ">>": lambda a, b: a >> b,
}
FETCH = {"fetch_add": "+", "fetch_sub": "-", "fetch_or": "|", "fetch_and": "&"}


class Run:
    """
    One thread, with what its reads return given: values, each with the writes (thread, index) that it was computed by. Without those a
    counter that is counted up and down could have any value, each from the next.
    """

    def __init__(self, test, tid, values):
        self.thread, self.tid, self.values, self.events = test.threads[tid], tid, values, []
        self.origin = []  # of each event's value
        self.ctrl = frozenset()
        # A shared name is an address; a private word, like a register, has a value and what it depends on.
        self.regs = {"*" + p if private else p: (test.init[p] if private else "&" + p, frozenset())
                     for p, private in self.thread.params.items()}
        self.private = {p for p, private in self.thread.params.items() if private}
        self.do(self.thread.body)

    def emit(self, kind, loc=None, val=None, order="relaxed", addr=frozenset(), data=frozenset(), rmw=None, noret=False):
        at = len(self.events)
        origin = frozenset().union(*(self.origin[d] for d in data))
        if (self.tid, at) in origin:
            raise Cycle
        self.events.append(Event(kind, loc, val, order, addr, data, self.ctrl, rmw, noret))
        self.origin.append(origin | {(self.tid, at)} if data else origin)
        return at

    def read(self, loc, addr, order, noret=False):
        n = sum(e.kind == "R" for e in self.events)
        if n == len(self.values):
            raise NeedValue(loc)
        val, origin = self.values[n]
        at = self.emit("R", loc, val, order, addr, noret=noret)
        self.origin[at] = origin
        return val, at

    def eval(self, e):
        """(value, reads that it depends on)"""
        if e[0] == "int":
            return e[1], frozenset()
        if e[0] == "reg":
            if e[1] not in self.regs:
                raise Bad(f"{e[1]} has no value yet")
            return self.regs[e[1]]
        if e[0] == "!":
            v, d = self.eval(e[1])
            return int(not v), d
        if e[0] == "~":
            v, d = self.eval(e[1])
            return ~v, d
        if e[0] == "call":
            return self.call(e, True)
        (a, da), (b, db) = self.eval(e[1]), self.eval(e[2])
        return OPS[e[0]](a, b), da | db

    def call(self, e, used):
        _, name, args = e
        where, addr = self.eval(args[0])
        if not isinstance(where, str):
            raise Bad(f"{name}: {where} is no address")
        loc = where[1:]
        if name == "load":
            v, at = self.read(loc, addr, args[1])
            return v, frozenset({at})
        if name == "store":
            v, data = self.eval(args[1])
            self.emit("W", loc, v, args[2], addr, data)
            return 0, frozenset()
        if name == "compare_exchange_strong":
            place = "*" + args[1][1]
            want, dw = self.regs[place]
            new, dn = self.eval(args[2])
            ok, fail = args[3], args[4]
            # Which order the read has depends on what it finds.
            n = sum(x.kind == "R" for x in self.events)
            if n == len(self.values):
                raise NeedValue(loc)
            good = self.values[n][0] == want
            v, at = self.read(loc, addr, READ_SIDE[ok if good else fail])
            dep = frozenset({at})
            if good:
                self.emit("W", loc, new, WRITE_SIDE[ok], addr, dw | dn, rmw=at)
            else:
                self.regs[place] = v, dep
            return int(good), dep | dw
        order = args[2]
        v, at = self.read(loc, addr, READ_SIDE[order], not used and order in ("relaxed", "release"))
        dep = frozenset({at})
        arg, data = self.eval(args[1])
        if name in FETCH:
            arg, data = OPS[FETCH[name]](v, arg), data | dep
        elif name != "exchange":
            raise Bad(f"{name} is not known")
        self.emit("W", loc, arg, WRITE_SIDE[order], addr, data, rmw=at)
        return v, dep

    def do(self, s):
        if s[0] == "block":
            for x in s[1]:
                self.do(x)
        elif s[0] == "if":
            v, dep = self.eval(s[1])
            self.ctrl |= dep
            self.do(s[2] if v else s[3])
        elif s[0] == "fence":
            self.emit("F", order=s[1])
        elif s[0] == "rcu":
            kind = {"rcu_read_lock": "L", "rcu_read_unlock": "U", "synchronize_rcu": "S"}[s[1]]
            self.emit(kind, order="seq_cst" if kind == "S" else "relaxed")
        elif s[1] is None:
            self.call(s[2], False)
        else:
            self.regs[s[1]] = self.eval(s[2])

    def final(self):
        return {k: v for k, (v, _) in self.regs.items()}


def paths(test, tid, domain):
    """Every run of a thread in which each read returns something that its location may hold."""
    todo, out = [()], []
    while todo:
        values = todo.pop()
        try:
            out.append(Run(test, tid, values))
        except NeedValue as e:
            todo += [values + (v,) for v in domain[e.loc]]
        except Cycle:
            pass
    return out


def fewest(pairs):
    """Without those that another of the same value needs less for."""
    return {(v, o) for v, o in pairs if not any(w == v and n < o for w, n in pairs)}


def all_paths(test):
    """paths() of all threads, with the smallest domains that are closed under what they write. Ends: no value depends on a write twice."""
    domain = {loc: {(v, frozenset())} for loc, v in test.init.items()}
    while True:
        runs = [paths(test, i, domain) for i in range(len(test.threads))]
        new = {loc: set(vs) for loc, vs in domain.items()}
        for run in (r for rs in runs for r in rs):
            for e, origin in zip(run.events, run.origin):
                if e.kind == "W":
                    new[e.loc].add((e.val, origin))
        new = {loc: fewest(vs) for loc, vs in new.items()}
        if new == domain:
            break
        domain = new
    # The same values by other ways are the same run.
    return [list({tuple(v for v, _ in r.values): r for r in rs}.values()) for rs in runs]
