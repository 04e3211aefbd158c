r"""The substituted limit: the second method for one-sided derivatives.

Put $z = a + h$ (right) or $z = a - h$ (left) with $h > 0$, decide each branch for small
$h$, so that what is left has no branches, and take the limit of the difference
quotient. It shares no rule with `relubook.calculus.one_sided_derivative`: each checks
the other, and `relubook.calculus.derivation` shows this one line by line.
"""

import math
from dataclasses import dataclass

import mpmath
import sympy as sp

from relubook.calculus.expansions import (
    Discontinuous,
    NoSlope,
    OutsideDomain,
    Undecided,
)
from relubook.calculus.slopes import SIDES, checked

_ORDERS = 6  # derivatives at 0 that are asked for a sign, before other means
_SIMPLIFIED = 60  # operations; SymPy's simplify can take minutes for longer ones


def substituted_limit(f, z, at, side):
    r"""The one-sided derivative of $f$ at `z = at` by substitution, exactly.

    $$f'_\pm(a) = \lim_{h \to 0^+} \frac{f(a \pm h) - f(a)}{\pm h},$$

    with every branch decided for small $h > 0$ before the limit is taken; `side` is
    "left" or "right", `oo` and `-oo` are vertical slopes. It decides less than
    `one_sided_derivative` and takes longer; it is what `derivation` shows.

    Raises as `one_sided_derivative`.

    >>> z = sp.Symbol("z", real=True)
    >>> substituted_limit(sp.Max(0, z), z, 0, "right")
    1
    >>> substituted_limit(sp.sqrt(sp.Abs(z)), z, 0, "left")
    -oo

    Reference: Apostol (1967), "Calculus", volume 1, section 4.3.
    """
    f, at = checked(f, z, at)
    if side not in SIDES:
        raise ValueError(f"side={side!r}; wanted 'left' or 'right'")
    found = approach(f, z, at, side, value_at(f, z, at))
    if found.error is not None:
        raise found.error
    return found.slope


@dataclass(frozen=True)
class Remark:
    """Comparisons true for small h > 0, and what a part of f is because of them."""

    facts: tuple  # of (left, sign, right): left > right where the sign is 1
    before: sp.Expr | None  # None for a Piecewise, of which a branch is taken
    after: sp.Expr


@dataclass(frozen=True)
class Approach:
    """What the substitution finds on one side; what comes after an error is None."""

    side: str
    h: sp.Symbol
    point: sp.Expr  # at + h or at - h
    remarks: tuple = ()
    near: sp.Expr | None = None  # f(point), free of branches
    limit: sp.Expr | None = None  # of f(point)
    quotient: sp.Expr | None = None
    derivatives: sp.Expr | None = None  # of its numerator over that of its denominator
    slope: sp.Expr | None = None
    witnesses: tuple = ()  # two of (B, angle, limit): see `_oscillation`
    error: ValueError | None = None


def value_at(f, z, at):
    """f(at), as an expression without branches; raises `OutsideDomain`, `Undecided`."""
    return _Substitution(z, at).of(f)


def approach(f, z, at, side, value):
    """The `Approach` to the point from one side, of what `checked` has passed."""
    taken = {symbol.name for symbol in f.free_symbols | at.free_symbols}
    names = (name for name in ["h", "t", "s", "step"] if name not in taken)
    h = sp.Symbol(next(names), positive=True)
    found = {"side": side, "h": h, "point": at + SIDES[side] * h}
    try:
        found.update(_function(f, z, h, found["point"]))
        _check_continuous(f, value, found, f"{z} = {at} from the {side}")
        found.update(_limit_of_quotient(found["near"] - value, SIDES[side] * h, h))
        if "slope" not in found:
            raise NoSlope(f"{found['quotient']} has no limit as {h} tends to 0")
    except (Undecided, OutsideDomain, Discontinuous, NoSlope) as error:
        found["error"] = error
    return Approach(**found)


def _function(f, z, h, point):
    substitution = _Substitution(z, point, h)
    near = substitution.of(f)
    remarks = tuple(dict.fromkeys(substitution.remarks))
    return {"remarks": remarks, "near": near, "limit": _limit(near, h)}


def _check_continuous(f, value, found, where):
    near, h, limit = found["near"], found["h"], found["limit"]
    if limit == _SOMEWHERE:
        if not _oscillation(near, h):
            raise _no_limit_found(near, h)
        raise Discontinuous(f"{f} oscillates at {where} and has no limit")
    if limit.is_infinite:
        raise Discontinuous(f"{f} is unbounded at {where}")
    if not _is_zero(limit - value):
        raise Discontinuous(f"{f} tends to {limit} at {where}, where it is {value}")


def _limit_of_quotient(change, step, h):
    """The quotient change / step and its limit, or witnesses that it has none."""
    quotient = _shortened(change / step)
    slope = _at_zero(quotient, h)
    if slope is not None:
        return {"quotient": quotient, "slope": slope}
    # L'Hopital's rule: both tend to 0.
    derivatives = sp.diff(change, h) / sp.diff(step, h)
    slope = _at_zero(derivatives, h)
    if slope is not None:
        found = {"quotient": quotient, "derivatives": _shortened(derivatives)}
        return {**found, "slope": _shortened(slope)}
    slope = _limit(quotient, h)
    if slope != _SOMEWHERE:
        return {"quotient": quotient, "slope": _shortened(slope)}
    witnesses = _oscillation(quotient, h)
    if not witnesses:
        raise _no_limit_found(quotient, h)
    return {"quotient": quotient, "witnesses": witnesses}


def _no_limit_found(g, h):
    return Undecided(f"cannot decide whether {g} has a limit as {h} tends to 0")


class _Substitution:
    """Puts a point in the place of `z` and decides every branch, innermost first.

    The point is a constant or, with `h`, an expression in h > 0; the result then holds
    for all h small enough.
    """

    def __init__(self, z, point, h=None):
        self.z, self.point, self.h = z, point, h
        self.remarks = []

    def of(self, e):
        if e == self.z:
            return self.point
        if e.is_Atom:
            self.wanted(e not in _NOT_REAL, e)
            return e
        if isinstance(e, sp.Piecewise):
            return self.piecewise(e)
        parts = [self.of(a) for a in e.args]
        if isinstance(e, sp.Pow):
            result = self.power(*parts)
        elif isinstance(e, (sp.Add, sp.Mul)) or type(e) in _TOTAL:
            result = e.func(*parts)
        elif type(e) in _METHODS:
            result = _METHODS[type(e)](self, *parts)
        elif not e.has(self.z) and e.is_real:
            result = e
        else:
            raise Undecided(f"cannot decide what {e.func} does beside the point")
        self.wanted(not result.has(*_NOT_REAL), e)
        return result

    def sign(self, e):
        return _sign(e, self.h)

    def compare(self, left, right, facts):
        order = self.sign(left - right)
        if self.h is not None and (left - right).has(self.h):
            facts.append((left, order, right))
        return order

    def remark(self, facts, before, after):
        if facts:
            self.remarks.append(Remark(tuple(facts), before, after))
        return after

    def wanted(self, condition, e):
        if not condition:
            raise OutsideDomain(f"{e} is not a real number at {self.z} = {self.point}")

    # Functions with branches; each is given its arguments without branches.

    def piecewise(self, e):
        facts = []
        for branch, condition in e.args:
            if self.holds(condition, facts):
                result = self.of(branch)
                return self.remark(facts, None, result)
        raise OutsideDomain(f"no branch of {e} holds at {self.z} = {self.point}")

    def holds(self, condition, facts):
        if condition in (sp.true, sp.false):
            return condition is sp.true
        if isinstance(condition, sp.core.relational.Relational):
            if condition.has(sp.oo, -sp.oo):
                return condition == True  # noqa: E712 (SymPy decides z < oo)
            order = self.compare(self.of(condition.lhs), self.of(condition.rhs), facts)
            return condition.func(order, 0) == True  # noqa: E712
        if condition.func not in _JUNCTIONS:
            raise Undecided(f"cannot decide whether {condition} holds")
        answers = []
        for part in condition.args:
            try:
                answers.append(self.holds(part, facts))
            except Undecided as error:
                answers.append(sp.Dummy())
                question = error
        answer = condition.func(*answers)
        if answer not in (sp.true, sp.false):
            raise question
        return answer is sp.true

    def _abs(self, e):
        facts = []
        try:
            order = self.compare(e, sp.S.Zero, facts)
        except Undecided:
            if not (self.h is None or not e.has(self.h)):
                raise
            return sp.Abs(e)
        return self.remark(facts, sp.Abs(e, evaluate=False), order * e)

    def _sign(self, e):
        facts = []
        order = sp.Integer(self.compare(e, sp.S.Zero, facts))
        return self.remark(facts, sp.sign(e, evaluate=False), order)

    def _heaviside(self, e, middle):
        facts = []
        step = (sp.S.Zero, middle, sp.S.One)[self.compare(e, sp.S.Zero, facts) + 1]
        return self.remark(facts, sp.Heaviside(e, middle, evaluate=False), step)

    def _floor(self, e):
        limit = e if self.h is None else _limit(e, self.h)
        if limit == _SOMEWHERE or limit.is_infinite:
            raise Undecided(f"cannot decide between which integers {e} lies")
        whole = sp.floor(limit)
        if not whole.is_Integer:
            raise Undecided(f"cannot decide between which integers {limit} lies")
        facts = []
        if _is_zero(limit - whole) and self.compare(e, whole, facts) < 0:
            whole -= 1
        return self.remark(facts, sp.floor(e, evaluate=False), whole)

    def _ceiling(self, e):
        return -self._floor(-e)

    def _max(self, *parts):
        return self._extreme(sp.Max, 1, parts)

    def _min(self, *parts):
        return self._extreme(sp.Min, -1, parts)

    def _extreme(self, function, wanted, parts):
        facts, leading = [], []
        for part in parts:
            beaten = False
            for other in list(leading):
                try:
                    order = self.compare(part, other, facts) * wanted
                except Undecided as error:
                    question = error
                    continue
                if order > 0:
                    leading.remove(other)
                beaten = beaten or order <= 0
            if not beaten:
                leading.append(part)
        if len(leading) == 1:
            result = leading[0]
        elif self.h is None or not any(part.has(self.h) for part in leading):
            result = function(*leading)
        else:
            result = self._scaled(function, leading)
            if result is None:
                raise question
            facts.append((self.h, 1, sp.S.Zero))
        return self.remark(facts, function(*parts, evaluate=False), result)

    def _scaled(self, function, parts):
        """max(c + a h, c + b h) = c + h max(a, b); None where it is not of the kind."""
        base = _at_zero(parts[0], self.h)
        for power in (1, 2, 3, sp.Rational(1, 2)) if base is not None else ():
            ratios = [sp.expand((part - base) / self.h**power) for part in parts]
            if not any(ratio.has(self.h) for ratio in ratios):
                return base + self.h**power * function(*ratios)

    # Functions without branches, of which some are not defined everywhere.

    def power(self, base, exponent):
        if exponent.is_integer and exponent.is_nonnegative and exponent != 0:
            return base**exponent
        order = self.sign(base)
        if order < 0:
            if exponent.is_integer is None:
                raise Undecided(f"cannot decide whether {exponent} is an integer")
            self.wanted(exponent.is_integer, base**exponent)
        if order == 0:
            self.wanted(self.sign(exponent) > 0, sp.Pow(base, exponent, evaluate=False))
            return sp.S.Zero
        return base**exponent

    def _log(self, e):
        self.wanted(self.sign(e) > 0, sp.log(e, evaluate=False))
        return sp.log(e)

    def _tan(self, e):
        self.wanted(self.sign(sp.cos(e)) != 0, sp.tan(e, evaluate=False))
        return sp.tan(e)

    def _sec(self, e):
        self.wanted(self.sign(sp.cos(e)) != 0, sp.sec(e, evaluate=False))
        return 1 / sp.cos(e)

    def _cot(self, e):
        self.wanted(self.sign(sp.sin(e)) != 0, sp.cot(e, evaluate=False))
        return sp.cos(e) / sp.sin(e)

    def _csc(self, e):
        self.wanted(self.sign(sp.sin(e)) != 0, sp.csc(e, evaluate=False))
        return 1 / sp.sin(e)

    def _coth(self, e):
        self.wanted(self.sign(e) != 0, sp.coth(e, evaluate=False))
        return sp.coth(e)

    def _csch(self, e):
        self.wanted(self.sign(e) != 0, sp.csch(e, evaluate=False))
        return 1 / sp.sinh(e)

    def _asin(self, e):
        self.wanted(self.sign(1 - e) >= 0 and self.sign(1 + e) >= 0, sp.asin(e))
        return sp.asin(e)

    def _acos(self, e):
        self.wanted(self.sign(1 - e) >= 0 and self.sign(1 + e) >= 0, sp.acos(e))
        return sp.acos(e)

    def _acosh(self, e):
        self.wanted(self.sign(e - 1) >= 0, sp.acosh(e))
        return sp.acosh(e)

    def _atanh(self, e):
        self.wanted(self.sign(1 - e) > 0 and self.sign(1 + e) > 0, sp.atanh(e))
        return sp.atanh(e)

    def _inverted(self, e):
        self.wanted(self.sign(e) != 0, 1 / e)
        return 1 / e

    def _asec(self, e):
        return self._acos(self._inverted(e))

    def _acsc(self, e):
        return self._asin(self._inverted(e))

    def _asech(self, e):
        return self._acosh(self._inverted(e))

    def _acsch(self, e):
        return sp.asinh(self._inverted(e))

    def _acoth(self, e):
        return self._atanh(self._inverted(e))

    def _acot(self, e):  # SymPy's jumps from -pi/2 to pi/2 at 0
        return sp.pi / 2 if self.sign(e) == 0 else sp.atan(1 / e)


_NOT_REAL = (sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I)
_METHODS = {
    function: getattr(_Substitution, f"_{function.__name__.lower()}")
    for function in (
        sp.Abs, sp.sign, sp.Heaviside, sp.floor, sp.ceiling, sp.Max, sp.Min, sp.log,
        sp.tan, sp.cot, sp.sec, sp.csc, sp.coth, sp.csch, sp.asin, sp.acos, sp.acot,
        sp.asec, sp.acsc, sp.acosh, sp.atanh, sp.acoth, sp.asech, sp.acsch,
    )
}  # fmt: skip
_TOTAL = {
    sp.exp, sp.sin, sp.cos, sp.atan, sp.sinh, sp.cosh, sp.tanh, sp.sech, sp.asinh,
    sp.erf, sp.erfc,
}  # fmt: skip
_SOMEWHERE = sp.AccumBounds(-sp.oo, sp.oo)  # SymPy's answer for what may oscillate
_JUNCTIONS = {sp.And, sp.Or, sp.Not, sp.ITE, sp.Xor}
_SAME_SIGN = (sp.sinh, sp.tanh, sp.atan, sp.asinh, sp.erf)


def _at_zero(g, h):
    """The limit of g, free of branches, where it is continuous at h = 0; else None."""
    try:
        return _Substitution(h, sp.S.Zero).of(g)
    except (OutsideDomain, Undecided):
        return None


def _limit(g, h):
    """SymPy's limit as h decreases to 0, or `Undecided` if it may not be right."""
    direct = _at_zero(g, h)
    if direct is not None:
        return direct
    question = Undecided(f"cannot decide the limit of {g} as {h} tends to 0")
    try:
        limit = sp.limit(g, h, 0, "+")
    except Exception as error:  # noqa: BLE001 (SymPy's limit fails in many ways)
        raise question from error
    if limit.has(sp.AccumBounds):
        return _SOMEWHERE
    odd = limit.has(sp.nan, sp.zoo, sp.I, sp.Limit, h)
    if odd or limit not in (sp.oo, -sp.oo) and not limit.is_real:
        raise question
    if not _plausible(g, h, limit):
        raise question
    return limit


def _plausible(g, h, limit):
    """Whether numbers come nearer to the limit; with parameters, nothing is asked."""
    if g.free_symbols != {h}:
        return True
    values = [_number(g, h, digits) for digits in (12, 24, 48)]
    if None in values:
        return False
    if limit.is_infinite:
        growth = [value if limit > 0 else -value for value in values]
        return 0 < growth[0] < growth[1] < growth[2]
    exact = mpmath.mpf(sp.N(limit, 50))
    first, middle, last = (abs(value - exact) for value in values)
    return last < 1e-12 or last < middle * 0.9 < first * 0.81


def _number(g, h, digits):
    """g at an h of about 10^-digits; None where mpmath has no real number."""
    # 500 digits, for g may be the tiny difference of what are nearly the same numbers.
    with mpmath.workdps(500):
        try:
            value = sp.lambdify(h, g, "mpmath")(mpmath.mpf("0.7") / 10**digits)
        except (ArithmeticError, ValueError, NameError, mpmath.NoConvergence):
            return None
    return value if isinstance(value, mpmath.mpf) else None


def _sign(g, h):
    """The sign of g, free of branches, for all small h > 0: -1, 0 or 1."""
    known = _known_sign(g)
    if known is not None:
        return known
    if g.is_Mul:
        return math.prod(_sign(factor, h) for factor in g.args)
    if g.is_Pow and not g.exp.is_integer:
        return 1 if _sign(g.base, h) != 0 else 0
    if isinstance(g, _SAME_SIGN):
        return _sign(g.args[0], h)
    if h is None or not g.has(h):
        return _sign_of_constant(g)
    derivative = g
    for _ in range(_ORDERS):
        coefficient = _at_zero(derivative, h)
        if coefficient is None:
            return _sign_of_leading_term(g, h)
        order = _sign_of_constant(coefficient)
        if order != 0:
            return order
        derivative = sp.diff(derivative, h)
    return 0 if _simplified(g) == 0 else _sign_of_leading_term(g, h)


def _known_sign(g):
    if g.is_positive:
        return 1
    if g.is_negative:
        return -1
    return 0 if g.is_zero else None


def _sign_of_constant(c):
    for form in (lambda: c, lambda: sp.factor(c), lambda: _simplified(c)):
        known = _known_sign(form())
        if known is not None:
            return known
    if not c.free_symbols:
        zero = c.equals(0)
        if zero:
            return 0
        digits = c.evalf(50)
        if zero is False and digits.is_Float:
            return int(sp.sign(digits))
    raise Undecided(f"cannot decide the sign of {c}")


def _is_zero(c):
    if c.is_zero is not None:
        return c.is_zero
    if _simplified(c) == 0:
        return True
    # With parameters, `equals` says False of what is 0 for some of their values.
    equal = c.equals(0) if not c.free_symbols else _simplified(c).is_zero
    if equal is None:
        raise Undecided(f"cannot decide whether {c} is 0")
    return equal


def _sign_of_leading_term(g, h):
    question = Undecided(f"cannot decide the sign of {g} for small {h} > 0")
    limit = _limit(g, h)
    if limit == _SOMEWHERE:
        raise question
    order = int(sp.sign(limit)) if limit.is_infinite else _sign_of_constant(limit)
    if order == 0:
        try:
            term = g.as_leading_term(h, logx=None, cdir=1)
        except Exception as error:  # noqa: BLE001 (as SymPy's limit)
            raise question from error
        if term == g or term.is_Add or not term.has(h):
            raise question
        order = _sign(term, h)
    if g.free_symbols == {h}:
        values = [_number(g, h, digits) for digits in (15, 30)]
        if None in values or any(mpmath.sign(value) != order for value in values):
            raise question
    return order


def _oscillation(g, h):
    """Two limits of g along sequences h -> 0, as proof that it has none; else ().

    If g hangs on h through sin B and cos B with B -> oo, then B passes every angle
    again and again, and g tends to different values along the h of different angles.
    """
    waves = [w for w in g.atoms(sp.sin, sp.cos) if w.has(h)]
    fast = [w for w in waves if _limit(abs(_inner(w, h)), h) == sp.oo]
    if len({w.args[0] for w in fast}) != 1:
        return ()
    inside = fast[0].args[0]
    found = {}
    for angle in (sp.pi / 2, -sp.pi / 2, sp.S.Zero, sp.pi):
        frozen = g.xreplace({w: w.func(angle) for w in fast})
        try:
            limit = _limit(frozen, h)
        except Undecided:
            continue
        for other, value in found.items():
            if limit != _SOMEWHERE and _differ(limit, value):
                return (inside, other, value), (inside, angle, limit)
        found[angle] = limit
    return ()


def _inner(wave, h):
    inside = wave.args[0]
    return inside if _sign(inside, h) > 0 else -inside


def _differ(a, b):
    if a.is_infinite or b.is_infinite:
        return a != b
    try:
        return not _is_zero(a - b)
    except Undecided:
        return False


def _simplified(e):
    """`e` after SymPy's long search for a simpler form: 0 if it is 0, most likely."""
    if e.is_Atom or sp.count_ops(e) > _SIMPLIFIED:
        return e
    try:
        return sp.simplify(e)
    except Exception:  # noqa: BLE001 (simpler or not, it is the same expression)
        return e


def _shortened(e):
    """The shortest of a few ways to write `e`, quickly found."""
    if e.is_Atom or sp.count_ops(e) > _SIMPLIFIED:
        return e
    e = e.replace(_is_minus_extreme, _turned)
    try:
        forms = [e, sp.factor_terms(sp.cancel(e)), sp.factor_terms(sp.together(e))]
    except Exception:  # noqa: BLE001 (as `_simplified`)
        forms = [e]
    forms += [_minus_inside(form) for form in forms]
    return min(forms, key=sp.count_ops)


def _minus_inside(e):
    """-(a - b) c as (b - a) c."""
    sums = [factor for factor in sp.Mul.make_args(e) if factor.is_Add]
    if not sums:
        return e
    return sp.Mul(-1, -sums[0], e / sums[0])


def _is_minus_extreme(e):
    return e.is_Mul and e.args[0] == -1 and isinstance(e.args[-1], (sp.Max, sp.Min))


def _turned(product):
    """-max(-a, -b) as min(a, b)."""
    *others, extreme = product.args
    turned = sp.Min if isinstance(extreme, sp.Max) else sp.Max
    return sp.Mul(-1, *others) * turned(*(-a for a in extreme.args))
