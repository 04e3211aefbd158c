"""One-sided slopes in 500 digits, and random expressions to ask for them.

Nothing here uses SymPy's evaluation, simplification or limits: an expression's tree is
walked in real mpmath arithmetic, twice, in 500 and in 1000 digits. What the two agree
on is a number, what they do not is rounding noise around an exact zero.

`python -m tests.calculus_oracle --seed 0 --count 2000` asks `relubook.calculus` for the
slopes of generated expressions, judges every answer and prints a table.
"""

import argparse
import collections
import contextlib
import functools
import itertools
import math
import operator
import random
import signal
import statistics
import time
from typing import NamedTuple

import mpmath
import sympy as sp
from hypothesis import strategies as st

LOW, HIGH = mpmath.MPContext(), mpmath.MPContext()
LOW.dps, HIGH.dps = 500, 1000
DIGITS = (10, 20, 40, 80)  # h is about 10^-10, ... 10^-80: each the last one squared


class Verdict(NamedTuple):
    """What the difference quotients show as h goes to 0.

    `kind` is "number", "infinite" (slope +-inf), "no limit", "jump" (the function
    itself does not tend to its value), "undefined" (at the point, or beside it) or
    "unclear". `slope` is a number's value, `error` how far it may be off.
    """

    kind: str
    slope: object = None
    error: object = None


def evaluate(f, z, value):
    """f at z = value in real arithmetic, an mpmath number; None where undefined.

    >>> evaluate(sp.floor(sp.sin(sp.pi)), sp.Symbol("z"), sp.S.Zero)
    mpf('0.0')
    """
    try:
        return HIGH.mpf(_value(f, {z: _value(sp.sympify(value), {})})[1])
    except _Undefined:
        return None


def numeric_slope(f, z, at, side):
    """The one-sided slope of f at a point as a `Verdict`; side is "left" or "right".

    >>> z = sp.Symbol("z", real=True)
    >>> numeric_slope(sp.Max(0, z), z, 0, "right").slope
    mpf('1.0')
    >>> numeric_slope(sp.sqrt(z), z, 0, "left").kind
    'undefined'
    """
    try:
        middle = _value(sp.sympify(at), {})
        at_point = _value(f, {z: middle})
        samples = [
            _sample(f, z, middle, at_point, _step(digits, side)) for digits in DIGITS
        ]
        changes, quotients = zip(*samples)
        return _judge_continuity(changes) or _judge(quotients) or _oscillation(
            f, z, middle, at_point, side
        )
    except _Undefined:
        return Verdict("undefined")
    except _Unclear:
        return Verdict("unclear")


def agrees(answer, f, z, at, side):
    """Whether an answer is right: True, False, or None where the numbers are unclear.

    `answer` is a SymPy number, oo or -oo, or the exception raised in place of one.
    """
    return judged(answer, numeric_slope(f, z, at, side))


def judged(answer, verdict):
    """As `agrees`, with the verdict at hand."""
    if verdict.kind == "unclear":
        return None
    if isinstance(answer, Exception):
        kind = {
            "OutsideDomain": "undefined",
            "Discontinuous": "jump",
            "NoSlope": "no limit",
        }.get(type(answer).__name__)
        return kind == verdict.kind
    if answer in (sp.oo, -sp.oo):
        return verdict.kind == "infinite" and (verdict.slope > 0) == (answer > 0)
    if verdict.kind != "number":
        return False
    try:
        exact = _value(answer, {})[1]
    except _Undefined:
        return False
    return bool(abs(exact - verdict.slope) <= verdict.error)


@st.composite
def expressions(draw, z, depth=4):
    """Pairs (f, at): an expression in z and a rational point where things happen."""
    return generate(draw(st.randoms(use_true_random=False)), z, depth)


def generate(rng, z, depth=4):
    """As `expressions`, from a `random.Random`."""
    at = rng.choice([0, 0, 0, 0, 1, -1, 2, sp.Rational(1, 2), sp.Rational(-3, 2)])
    for _ in range(50):
        # SymPy evaluates as it builds: to a constant, to infinity, to what is complex
        # (which it then refuses to compare), and it fails here and there.
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            f = _Grower(rng, z, sp.sympify(at)).expression(rng.randint(1, depth))
            odd = f.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I, sp.Subs, sp.re, sp.im)
            if f.has(z) and not odd:
                return f, sp.sympify(at)
    return z, sp.sympify(at)


class _Undefined(Exception):
    """The expression has no real value there."""


class _Unclear(Exception):
    """500 digits do not settle it."""


# Values: a pair of numbers, one in each precision.


def _each(function, *values):
    """Apply function(context, *numbers) in both precisions."""
    pairs = zip(*values) if values else ((), ())
    return tuple(function(c, *numbers) for c, numbers in zip((LOW, HIGH), pairs))


def _number(p, q=1):
    return _each(lambda c: c.mpf(p) / q)


_ONE, _ZERO = _number(1), _number(0)
_NOISE = HIGH.mpf(10) ** -400


def _sign(value):
    low, high = map(HIGH.mpf, value)
    if abs(low - high) <= abs(high) * HIGH.mpf("1e-20"):
        return int(HIGH.sign(high))
    if max(abs(low), abs(high)) < _NOISE:
        return 0
    raise _Unclear


def _minus(left, right):
    return _each(lambda c, a, b: a - b, left, right)


def _compare(left, right):
    return _sign(_minus(left, right))


def _wanted(condition):
    if not condition:
        raise _Undefined


def _value(e, at):
    """The value of the tree e where `at` maps its symbols to values."""
    if e.is_Symbol:
        return at[e]
    if e.is_Rational:
        return _number(int(e.p), int(e.q))
    if e.is_Float:
        return _value(sp.Rational(e), at)
    if e in _CONSTANTS:
        return _each(_CONSTANTS[e])
    if isinstance(e, sp.Piecewise):
        for branch, condition in e.args:
            if _holds(condition, at):
                return _value(branch, at)
        raise _Undefined
    _wanted(e.args)  # infinities, nan, the imaginary unit
    if isinstance(e, sp.exp):
        return _exp(_value(e.args[0], at))
    arguments = [_value(a, at) for a in e.args]
    if e.is_Pow:
        return _power(*arguments)
    if type(e) in _MANY:
        return _each(lambda c, *numbers: _MANY[type(e)](numbers), *arguments)
    return _FUNCTIONS[type(e)](*arguments)


_CONSTANTS = {
    sp.pi: lambda c: +c.pi,
    sp.E: lambda c: +c.e,
    sp.EulerGamma: lambda c: +c.euler,
    sp.GoldenRatio: lambda c: +c.phi,
    sp.Catalan: lambda c: +c.catalan,
}
_MANY = {sp.Add: sum, sp.Mul: math.prod, sp.Max: max, sp.Min: min}
_RELATIONS = {
    sp.StrictLessThan: operator.lt,
    sp.LessThan: operator.le,
    sp.StrictGreaterThan: operator.gt,
    sp.GreaterThan: operator.ge,
    sp.Equality: operator.eq,
    sp.Unequality: operator.ne,
}


_JUNCTIONS = {
    sp.And: all,
    sp.Or: any,
    sp.Not: lambda parts: not parts[0],
    sp.ITE: lambda parts: parts[1] if parts[0] else parts[2],
    sp.Xor: lambda parts: sum(parts) % 2 == 1,
}


def _holds(condition, at):
    if condition in (sp.true, sp.false):
        return condition is sp.true
    if type(condition) in _RELATIONS:
        left, right = (_value(side, at) for side in condition.args)
        return _RELATIONS[type(condition)](_compare(left, right), 0)
    # All parts count: one that is undefined leaves the condition undefined.
    parts = [_holds(part, at) for part in condition.args]
    return _JUNCTIONS[type(condition)](parts)


def _power(base, exponent):
    if _is_integer(exponent):
        n = int(HIGH.nint(exponent[1]))
        _wanted(n > 0 or _sign(base) != 0)  # 0^0 is undefined here
        return _each(lambda c, b: b**n, base)
    sign = _sign(base)
    _wanted(sign > 0 or sign == 0 and _sign(exponent) > 0)
    if sign == 0:
        return _ZERO
    return _exp(_each(lambda c, b, x: x * c.log(b), base, exponent))


def _is_integer(value):
    if max(abs(v) for v in value) > 1e300:
        raise _Unclear
    nearest = int(HIGH.nint(value[1]))
    return _compare(value, _number(nearest)) == 0


def _exp(value):
    _manageable(value, 250)
    return _each(lambda c, x: c.exp(x), value)


def _manageable(value, digits):
    """mpmath would take for ever, or more memory than there is."""
    if max(map(abs, value)) > HIGH.mpf(10) ** digits:
        raise _Unclear


def _smooth(name, digits=250):
    def function(value):
        _manageable(value, digits)
        return _each(lambda c, x: getattr(c, name)(x), value)

    return function


def _between(name, lowest=None, highest=None):
    """An inverse function on a closed interval, whose ends are met exactly."""
    inverse = _smooth(name)

    def function(value):
        for end, outward in (lowest, -1), (highest, 1):
            if end is not None:
                order = _compare(value, _number(end)) * outward
                _wanted(order <= 0)
                if order == 0:
                    value = _number(end)
        return inverse(value)

    return function


def _inverse(value):
    _wanted(_sign(value) != 0)
    return _each(lambda c, x: 1 / x, value)


def _log(value):
    _wanted(_sign(value) > 0)
    return _each(lambda c, x: c.log(x), value)


def _atanh(value):
    size = _each(lambda c, x: abs(x), value)
    _wanted(_compare(size, _ONE) < 0)
    return _smooth("atanh")(value)


def _quotient(top, bottom):
    def function(value):
        divisor = bottom(value)
        _wanted(_sign(divisor) != 0)
        return _each(lambda c, a, b: a / b, top(value), divisor)

    return function


def _acot(value):  # SymPy's, with acot(0) = pi/2 and a jump there
    if _sign(value) == 0:
        return _each(lambda c: c.pi / 2)
    return _smooth("atan")(_inverse(value))


def _floor(value):
    if _is_integer(value):
        return _number(int(HIGH.nint(value[1])))
    return _number(int(HIGH.floor(value[1])))


def _tanh(value):
    return _smooth("tanh")(value)


def _negative(value):
    return _each(lambda c, x: -x, value)


def _of_inverse(function):
    return lambda value: function(_inverse(value))


_sin, _cos, _sinh, _cosh = map(_smooth, ("sin", "cos", "sinh", "cosh"))
_asin, _acos = (_between(name, -1, 1) for name in ("asin", "acos"))
_acosh, _asinh = _between("acosh", 1), _smooth("asinh")
_FUNCTIONS = {
    sp.log: _log,
    sp.Abs: lambda v: _each(lambda c, x: abs(x), v),
    sp.sign: lambda v: _number(_sign(v)),
    sp.Heaviside: lambda v, at_zero: (_ZERO, at_zero, _ONE)[_sign(v) + 1],
    sp.floor: _floor,
    sp.ceiling: lambda v: _negative(_floor(_negative(v))),
    sp.sin: _sin,
    sp.cos: _cos,
    sp.tan: _quotient(_sin, _cos),
    sp.cot: _quotient(_cos, _sin),
    sp.sec: _quotient(lambda v: _ONE, _cos),
    sp.csc: _quotient(lambda v: _ONE, _sin),
    sp.asin: _asin,
    sp.acos: _acos,
    sp.atan: _smooth("atan"),
    sp.acot: _acot,
    sp.asec: _of_inverse(_acos),
    sp.acsc: _of_inverse(_asin),
    sp.sinh: _sinh,
    sp.cosh: _cosh,
    sp.tanh: _tanh,
    sp.coth: _quotient(lambda v: _ONE, _tanh),
    sp.sech: _quotient(lambda v: _ONE, _cosh),
    sp.csch: _quotient(lambda v: _ONE, _sinh),
    sp.asinh: _asinh,
    sp.acosh: _acosh,
    sp.atanh: _atanh,
    sp.acoth: _of_inverse(_atanh),
    sp.asech: _of_inverse(_acosh),
    sp.acsch: _of_inverse(_asinh),
    sp.erf: _smooth("erf"),
    sp.erfc: lambda v: _minus(_ONE, _smooth("erf")(v)),
}


# Verdicts: h is squared from sample to sample, so that a quotient that behaves like a
# power of h squares too, and one like log h doubles.


def _step(digits, side):
    # No round number: sin(pi / h) and floor(1 / h) must not look constant.
    scale = (HIGH.mpf(digits) ** HIGH.mpf("0.37") + 1) / 7
    return _each(
        lambda c: c.mpf(scale) * c.mpf(10) ** -digits * (1 if side == "right" else -1)
    )


def _sample(f, z, middle, at_point, step):
    beside = _value(f, {z: _each(lambda c, a, h: a + h, middle, step)})
    change = _minus(beside, at_point)
    if _sign(change) == 0:
        return HIGH.zero, HIGH.zero
    return change[1], change[1] / step[1]


def _judge_continuity(changes):
    """A jump or doubt; None where the function tends to its value."""
    sizes = [abs(change) for change in changes]
    shrinks = all(b < a * HIGH.mpf("0.75") for a, b in itertools.pairwise(sizes))
    if sizes[-1] < 1e-6 or shrinks:
        return None
    if sizes[-1] > sizes[1] / 10:
        return Verdict("jump")
    raise _Unclear


def _judge(quotients):
    """The limit of the quotients; None where they show none."""
    last = quotients[-1]
    moves = [abs(b - a) for a, b in itertools.pairwise(quotients)]
    # z^(2/27) has moved by 1e-3 from 1e-40 to 1e-80, so moves must shrink, too.
    still = moves[-1] <= HIGH.mpf("1e-60") * max(1, abs(last))  # rounding noise
    if still or (
        moves[-1] <= HIGH.mpf("1e-3") * max(1, abs(last))
        and moves[-1] <= moves[-2] * HIGH.mpf("0.1")
    ):
        return Verdict("number", last, 10 * moves[-1] + HIGH.mpf("1e-25"))
    sizes = [abs(quotient) for quotient in quotients]
    grows = all(b > a * HIGH.mpf("1.3") for a, b in itertools.pairwise(sizes))
    if grows and len({q > 0 for q in quotients}) == 1:
        return Verdict("infinite", HIGH.inf if last > 0 else -HIGH.inf)
    doubles = all(1.8 < b / a < 2.2 for a, b in itertools.pairwise(moves) if a)
    if doubles and all(moves):  # like log h, beside something larger
        return Verdict("infinite", HIGH.inf if last > quotients[0] else -HIGH.inf)
    if all(b < a * HIGH.mpf("0.75") for a, b in itertools.pairwise(moves)):
        # As slow as 1 / log h: each move is half the last, so one more is to come.
        return Verdict("number", last, 3 * moves[-1])
    return None


def _oscillation(f, z, middle, at_point, side):
    spreads = []
    for digits in (20, 60):
        steps = [
            _each(lambda c, h: h * (1 + c.mpf(k) / 17), _step(digits, side))
            for k in range(24)
        ]
        quotients = [_sample(f, z, middle, at_point, step)[1] for step in steps]
        spreads.append(max(quotients) - min(quotients))
    if spreads[1] > spreads[0] / 10:
        return Verdict("no limit")
    raise _Unclear


# Random expressions: `vanishing` ones are 0 at the point, so that what is built on
# them has its kinks, jumps, cusps and domain ends there.


class _Grower:
    def __init__(self, rng, z, at):
        self.rng, self.z, self.at = rng, z, at

    def expression(self, depth):
        if depth <= 0:
            return self.rng.choice([self.z, self.vanishing(0), self.constant()])
        return self.rng.choice(self._KINDS)(self, depth - 1)

    def constant(self):
        top = self.rng.choice([-3, -2, -1, 1, 1, 2, 3, 5])
        return sp.Rational(top, self.rng.choice([1, 1, 1, 2, 3]))

    def vanishing(self, depth):
        """An expression that is 0 at the point, or tends to it."""
        rng, u = self.rng, self.z - self.at
        if depth <= 0:
            return rng.choice([u, u, u, -u, 2 * u, u**2, u**3, -(u**2), sp.sin(u)])
        depth -= 1
        a = self.vanishing(depth)
        kind = rng.randrange(14)
        if kind < 3:
            return a + rng.choice([1, -1, 2]) * self.vanishing(depth)
        if kind == 3:
            return a * self.expression(depth)
        if kind == 4:
            return rng.choice([sp.Max, sp.Min])(a, self.vanishing(depth))
        if kind == 5:
            return rng.choice([sp.Max, sp.Min])(a, 0)
        if kind == 6:
            return abs(a)
        if kind == 7:
            odd = [sp.sin, sp.tan, sp.tanh, sp.sinh, sp.atan, sp.asinh, sp.erf, sp.asin]
            return rng.choice(odd)(a)
        if kind == 8:
            return rng.choice([sp.exp(a), sp.cos(a), sp.cosh(a)]) - 1
        if kind == 9:
            return sp.log(1 + a)
        if kind == 10:
            return abs(a) ** self.exponent()
        if kind == 11:
            return a ** rng.choice([2, 3])
        if kind == 12:
            other = self.expression(depth)
            return other - other.subs(self.z, self.at)
        return sp.Piecewise((a, self.condition(depth)), (self.vanishing(depth), True))

    def exponent(self):
        return self.rng.choice([
            sp.Rational(1, 2), sp.Rational(1, 3), sp.Rational(2, 3), sp.Rational(3, 2),
            sp.Rational(4, 3), sp.Rational(5, 2), sp.Integer(2), sp.sqrt(2),
        ])

    def condition(self, depth):
        rng = self.rng
        if depth > 0 and rng.random() < 0.3:
            joined = rng.choice([sp.And, sp.Or])(
                self.condition(depth - 1), self.condition(depth - 1)
            )
            return sp.Not(joined) if rng.random() < 0.2 else joined
        left = self.vanishing(depth - 1)
        right = rng.choice([0, 0, 0, self.vanishing(0), self.constant()])
        return rng.choice([sp.Lt, sp.Le, sp.Gt, sp.Ge, sp.Eq, sp.Ne])(left, right)

    def _sum(self, depth):
        return self.expression(depth) + self.expression(depth)

    def _product(self, depth):
        return self.expression(depth) * self.expression(depth)

    def _quotient(self, depth):
        near_constant = self.constant() + self.vanishing(depth)
        below = self.rng.choice([near_constant, self.expression(depth)])
        return self.expression(depth) / below

    def _power(self, depth):
        a = self.rng.choice([self.vanishing(depth), self.expression(depth)])
        return a ** self.rng.choice([self.exponent(), -1, sp.Rational(-1, 2), 2, 3])

    def _variable_power(self, depth):
        base = self.rng.choice([self.constant() ** 2, 1 + self.vanishing(depth)])
        return base ** self.expression(depth)

    def _entire(self, depth):
        functions = [
            sp.exp, sp.sin, sp.cos, sp.tanh, sp.sinh, sp.cosh, sp.atan, sp.asinh,
            sp.erf,
        ]  # fmt: skip
        return self.rng.choice(functions)(self.expression(depth))

    def _branched(self, depth):
        """Functions with an end of their domain, a pole or a cut, near it."""
        a = self.vanishing(depth)
        return self.rng.choice([
            lambda: sp.log(a), lambda: sp.log(self.constant() + a), lambda: sp.sqrt(a),
            lambda: sp.asin(1 + a), lambda: sp.acos(a - 1), lambda: sp.acosh(1 + a),
            lambda: sp.atanh(a), lambda: sp.acos(a), lambda: sp.tan(sp.pi / 2 + a),
            lambda: sp.sec(a), lambda: sp.acot(a), lambda: sp.coth(1 + a),
            lambda: sp.sech(a), lambda: sp.atan(1 / a), lambda: sp.exp(1 / a),
            lambda: sp.asec(1 + a), lambda: sp.asech(1 + a), lambda: sp.cot(1 + a),
            lambda: sp.tanh(1 / a), lambda: sp.log(abs(a)),
        ])()

    def _rounded(self, depth):
        argument = self.rng.choice([0, 1, sp.Rational(1, 2)]) + self.vanishing(depth)
        return self.rng.choice([sp.floor, sp.ceiling])(argument)

    def _step(self, depth):
        step = self.rng.choice([sp.sign, sp.sign, sp.Heaviside])(self.vanishing(depth))
        factor = self.rng.choice([1, self.vanishing(depth), self.expression(depth)])
        return step * factor

    def _absolute(self, depth):
        return abs(self.rng.choice([self.vanishing(depth), self.expression(depth)]))

    def _extreme(self, depth):
        common = self.rng.choice([0, self.expression(depth - 1)])
        count = self.rng.choice([2, 2, 3])
        parts = [common + self.vanishing(depth) for _ in range(count)]
        return self.rng.choice([sp.Max, sp.Min])(*parts)

    def _piecewise(self, depth):
        common = self.rng.choice([0, 0, self.expression(depth - 1)])
        first = self.rng.choice([self.expression, self.vanishing, self.vanishing])
        count = self.rng.choice([1, 1, 2])
        branches = [
            (common + first(depth), self.condition(depth)) for _ in range(count)
        ]
        return sp.Piecewise(*branches, (common + self.vanishing(depth), True))

    def _removable(self, depth):
        """A quotient of two vanishing things, with a value put into the gap."""
        below = self.vanishing(depth)
        value = self.rng.choice([0, 0, 1, self.constant()])
        quotient = self.vanishing(depth) / below
        return sp.Piecewise((quotient, sp.Ne(below, 0)), (value, True))

    def _flat(self, depth):
        u = self.z - self.at
        wave = self.rng.choice([sp.sin, sp.cos])(1 / u)
        gap = self.rng.choice([
            sp.exp(-1 / u**2), u * wave, u**2 * wave, wave, u * sp.log(abs(u)),
            abs(u) ** sp.Rational(3, 2) * wave, abs(u) ** abs(u) - 1,
        ])
        inside = sp.Piecewise((gap, sp.Ne(self.z, self.at)), (0, True))
        return inside + self.expression(depth)

    _KINDS = (
        _sum, _sum, _product, _product, _quotient, _power, _variable_power, _entire,
        _entire, _branched, _branched, _rounded, _step, _absolute, _absolute, _extreme,
        _extreme, _piecewise, _piecewise, _removable, _flat,
        lambda self, depth: self.vanishing(depth),
    )  # fmt: skip


# The counted run.


class TimeUp(BaseException):
    """No `Exception`, which SymPy would catch and go on."""


@contextlib.contextmanager
def time_limit(seconds):
    def stop(signum, frame):
        raise TimeUp

    # Of processor time, so that the results hang less on what else is running.
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def outcome(method, f, z, at, side, verdict):
    """What became of one question: "right ...", "WRONG ...", "undecided: ...", ...

    `method` is a function `(f, z, at, side)` that returns a slope or raises one of the
    calculus's errors; what else it raises is a "WRONG" answer.
    """
    try:
        answer = method(f, z, at, side)
    except ValueError as error:
        answer = error
    except Exception as error:  # noqa: BLE001 (whatever it is, it goes into the table)
        return f"WRONG {type(error).__name__}: {error}"
    name = type(answer).__name__
    if name == "Undecided":
        return "undecided: " + " ".join(str(answer).split()[:4])
    verdict_holds = judged(answer, verdict)
    what = name if isinstance(answer, Exception) else "slope"
    if what == "slope" and answer in (sp.oo, -sp.oo):
        what = "vertical slope"
    if verdict_holds is None:
        return f"not judged {what}"
    if verdict_holds:
        return f"right {what}"
    return f"WRONG {answer!r}, where {verdict.kind} {verdict.slope or ''}"


def run(method, seed, count, seconds=10, depth=4):
    """Ask `method` for both slopes of `count` expressions; (outcomes, times, wrong)."""
    report = functools.partial(print, flush=True)
    z, rng = sp.Symbol("z", real=True), random.Random(seed)
    outcomes, times, wrong = collections.Counter(), [], []
    for index in range(count):
        f, at = generate(rng, z, depth)
        verdicts = {side: numeric_slope(f, z, at, side) for side in ("left", "right")}
        start, side = time.process_time(), "left"
        try:
            with time_limit(seconds):
                for side in verdicts:
                    found = outcome(method, f, z, at, side, verdicts[side])
                    outcomes[found if found[0] != "W" else "WRONG"] += 1
                    if found.startswith("WRONG"):
                        wrong.append((index, f, at, side, found))
                        report(f"{index}: {side} of {f} at {at}: {found}")
        except TimeUp:
            outcomes["timeout"] += 1 if side == "right" else 2
            report(f"{index}: {side} of {f} at {at}: timeout")
        times.append(time.process_time() - start)
    return outcomes, times, wrong


def main():
    from relubook.calculus.slopes import one_sided_derivative
    from relubook.calculus.substitution import substituted_limit

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000, help="expressions")
    parser.add_argument("--depth", type=int, default=4, help="of nesting, about")
    parser.add_argument(
        "--method", default="one_sided_derivative",
        choices=["one_sided_derivative", "substituted_limit"],
    )  # fmt: skip
    options = parser.parse_args()
    methods = {f.__name__: f for f in (one_sided_derivative, substituted_limit)}
    method = methods[options.method]
    outcomes, times, wrong = run(
        method, options.seed, options.count, depth=options.depth
    )
    print(f"{options.method}, seed {options.seed}, {options.count} expressions")
    for kind, count in sorted(outcomes.items()):
        print(f"{count:7d}  {count / outcomes.total():6.1%}  {kind}")
    times.sort()
    print(
        "processor time for both sides of one expression: "
        f"median {statistics.median(times) * 1e3:.1f} ms, "
        f"95 % under {times[int(0.95 * len(times))] * 1e3:.0f} ms, "
        f"longest {times[-1]:.1f} s"
    )
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
