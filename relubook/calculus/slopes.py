"""One-sided derivatives and what follows from them at a single point."""

from typing import NamedTuple

import sympy as sp

from relubook.calculus.expansions import (
    CUT_OFF,
    LINEAR,
    ONE,
    OSCILLATES,
    Discontinuous,
    NoSlope,
    Undecided,
    cancelled,
    expansion,
    factored,
    less,
    nonzero,
    sign,
)

SIDES = {"right": 1, "left": -1}


class Slopes(NamedTuple):
    """The left and the right derivative at a point."""

    left: sp.Expr
    right: sp.Expr


def one_sided_derivatives(f, z, at):
    r"""The left and the right derivative of $f$ at `z = at`, exactly.

    $$f'_\pm(a) = \lim_{h \to 0^+} \frac{f(a \pm h) - f(a)}{\pm h},$$

    `oo` or `-oo` where the slope is vertical. Symbols other than `z` are parameters;
    their assumptions are used.

    Raises `Undecided` naming the condition that is open, `OutsideDomain` where `f` is
    undefined at the point or on one side of it, `Discontinuous` where it jumps,
    `NoSlope` where the quotient has no limit; `TypeError` and `ValueError` for bad
    input, naming the assumption to add.

    >>> z = sp.Symbol("z", real=True)
    >>> one_sided_derivatives(sp.Max(0, z), z, 0)
    Slopes(left=0, right=1)
    >>> one_sided_derivatives(sp.sqrt(sp.Abs(z)), z, 0)
    Slopes(left=-oo, right=oo)

    Reference: Bonnans and Shapiro (2000), section 2.2.
    """
    f, at = checked(f, z, at)
    return slopes(f, z, at)


def slopes(f, z, at):
    """`one_sided_derivatives` of what has been checked."""
    return Slopes(*(_slope(f, z, at, SIDES[side]) for side in Slopes._fields))


def one_sided_derivative(f, z, at, side):
    """The derivative on one `side`, "left" or "right", where the other may not exist.

    As `one_sided_derivatives`; `ValueError` for another side.

    >>> z = sp.Symbol("z", real=True)
    >>> one_sided_derivative(sp.sqrt(z), z, 0, "right")
    oo
    """
    f, at = checked(f, z, at)
    if side not in SIDES:
        raise ValueError(f"side={side!r}; wanted 'left' or 'right'")
    return _slope(f, z, at, SIDES[side])


def clarke_subdifferential(f, z, at):
    r"""Clarke's subdifferential of $f$ at `z = at`, an interval or a single point.

    The convex hull of the limits of $f'$ near the point; where $f$ has a continuous
    derivative on either side, these are the one-sided derivatives.

    Raises as `one_sided_derivatives`, and `ValueError` where a slope is vertical: there
    `f` is not locally Lipschitz and the subdifferential is not defined.

    >>> z = sp.Symbol("z", real=True)
    >>> clarke_subdifferential(sp.Max(0, z), z, 0)
    Interval(0, 1)

    Reference: Clarke (1983), "Optimization and Nonsmooth Analysis", section 2.5.
    """
    f, at = checked(f, z, at)
    left, right = slopes(f, z, at)
    if left.is_infinite or right.is_infinite:
        raise ValueError(
            f"{f} is not Lipschitz near {z} = {at}: its slopes there are {left} "
            f"and {right}; Clarke's subdifferential wants finite ones"
        )
    check_steady(f, z, at)
    difference = sign(right - left)
    if difference == 0:
        return sp.FiniteSet(left)
    if difference is None:
        return sp.Interval(sp.Min(left, right), sp.Max(left, right))
    return sp.Interval(left, right) if difference > 0 else sp.Interval(right, left)


_NO_POINT = object()


def checked(f, z, at=_NO_POINT):
    """`f` and `at` as exact SymPy expressions, if they are what the calculus is for.

    Decimals are taken as they are written: 0.01 is 1/100. Raises `TypeError` and
    `ValueError`.
    """
    if not isinstance(z, sp.Symbol):
        raise TypeError(f"z={z!r} is a {type(z).__name__}; wanted a SymPy Symbol")
    if not z.is_real:
        raise ValueError(f"z={z} is not declared real; wanted Symbol('{z}', real=True)")
    if z.assumptions0 != sp.Symbol(z.name, real=True).assumptions0:
        raise ValueError(
            f"z={z} is declared to be more than real, and SymPy has simplified f by "
            f"that; wanted Symbol('{z}', real=True), for the whole line"
        )
    wrong = isinstance(f, (bool, sp.Lambda))
    if not isinstance(f, (sp.Expr, int, float)) or wrong:
        raise TypeError(
            f"f={f!r} is a {type(f).__name__}; wanted a SymPy expression in {z}"
        )
    f = exactly(sp.sympify(f))
    if f.has(sp.I):
        raise ValueError(f"f={f} contains the imaginary unit; wanted a real expression")
    if f is sp.nan or f.is_infinite:
        raise ValueError(f"f={f} is not a function with real values")
    _check_symbols("f", f, z)
    if at is _NO_POINT:
        return f
    return f, _checked_point(at, z)


def check_steady(f, z, at):
    """Raise `Undecided` unless the derivative has limits at both sides of a point."""
    for side in SIDES.values():
        found = expansion(f, z, at, side, (sp.Integer(2), sp.S.Zero))
        if found.cause not in (None, CUT_OFF):
            raise Undecided(
                f"cannot decide what the derivative of {f} tends to near {z} = {at}"
            )


def exactly(expression):
    """`expression` with its decimals as fractions."""
    return expression.replace(lambda e: e.is_Float and e.is_finite, _as_written)


def _as_written(number):
    """0.1 as 1/10: the shortest decimal that is this float, as Python prints it."""
    double = number._prec == sp.Float(0.5)._prec
    return sp.Rational(repr(float(number)) if double else str(number))


def _checked_point(at, z):
    try:
        point = sp.sympify(at, strict=True)
    except sp.SympifyError:
        point = None
    if not isinstance(point, sp.Expr):
        raise TypeError(
            f"at={at!r} is a {type(at).__name__}; wanted a real number or an expression"
        )
    at = exactly(point)
    _check_symbols("at", at, None)
    if at.has(z):
        raise ValueError(f"at={at} contains {z} itself; wanted a point")
    if at.is_real is False or at.is_finite is False or at is sp.nan:
        raise ValueError(f"at={at} is not a real number")
    if at.is_real is None and not (at.is_number and at.evalf().is_real):
        raise ValueError(
            f"at={at} is not known to be real; give its parameters the assumption "
            "that makes it so, such as Symbol('a', positive=True)"
        )
    return at


def _check_symbols(name, expression, z):
    for symbol in sorted(expression.free_symbols, key=str):
        if symbol.is_real:
            continue
        if z is not None and symbol.name == z.name:
            raise ValueError(
                f"{name}={expression} contains another symbol called {symbol}, without "
                f"the assumption real=True; build {name} from the same Symbol as z"
            )
        raise ValueError(
            f"{name}={expression} has the parameter {symbol}, not known to be real; "
            f"wanted Symbol({symbol.name!r}, real=True), or positive=True"
        )


def _slope(f, z, at, side):
    """The one-sided derivative, read off the expansion on that side."""
    value = expansion(f, z, at, 0).coefficient(ONE)
    found = expansion(f, z, at, side)
    where = f"{z} = {at} from the {'right' if side > 0 else 'left'}"
    _check_continuous(found, value, f, where)
    for key, coefficient in found.terms:
        if less(ONE, key) and less(key, LINEAR):
            above = sign(coefficient)
            if above is None:
                raise Undecided(f"cannot decide the sign of {coefficient}")
            return side * above * sp.oo
    if found.bound is None or less(LINEAR, found.bound):
        return _tidy(side * found.coefficient(LINEAR))
    if found.cause == OSCILLATES:
        raise NoSlope(f"the difference quotient of {f} at {where} oscillates")
    raise Undecided(_open_question(found, f, where))


def _check_continuous(found, value, f, where):
    if found.terms and less(found.lead, ONE):
        if nonzero(found.terms[0][1]):
            raise Discontinuous(f"{f} is unbounded at {where}")
        raise Undecided(f"cannot decide whether {found.terms[0][1]} is 0")
    if found.bound is not None and not less(ONE, found.bound):
        if found.cause == OSCILLATES:
            raise Discontinuous(f"{f} oscillates at {where} and has no limit")
        raise Undecided(_open_question(found, f, where))
    jump = found.coefficient(ONE) - value
    if sign(jump) is None and not nonzero(jump):
        raise Undecided(f"cannot decide whether {jump} is 0, at {where}")
    if sign(jump) != 0:
        raise Discontinuous(
            f"{f} tends to {found.coefficient(ONE)} at {where}, where it is {value}"
        )


def _open_question(found, f, where):
    if found.cause == CUT_OFF:
        return f"cannot decide the slope of {f} at {where}"
    return found.cause


def _tidy(slope):
    if slope.is_Rational:
        return slope
    if slope.has(sp.Max, sp.Min):  # simplify takes seconds over these
        return slope.replace(_is_negated_extremum, _turned)
    forms = (slope, sp.expand(slope), cancelled(slope), factored(slope))
    return min(forms, key=sp.count_ops)


def _is_negated_extremum(e):
    return e.is_Mul and e.args[0] == -1 and isinstance(e.args[-1], (sp.Max, sp.Min))


def _turned(negated):
    """-max(a, b) as min(-a, -b)."""
    *others, extremum = negated.args
    other = sp.Min if isinstance(extremum, sp.Max) else sp.Max
    return -sp.Mul(*others) * other(*(-a for a in extremum.args))
