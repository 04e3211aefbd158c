"""Bounds of a formula at many points at once, in float64.

mpmath needs half a minute for a formula at every half-float. `exact_half_floats` takes
float64 wherever interval arithmetic proves that it suffices, and mpmath elsewhere.
"""

from functools import lru_cache, reduce

import mpmath
import numpy as np
import scipy.special
import sympy as sp

from relubook.precision import every_half_float, exact


@lru_cache(maxsize=32)
def exact_half_floats(expression):
    """What stands for the exact values of a formula at every half-float, `[256, 256]`.

    float64, read-only, of a SymPy expression in one symbol: which half-float the exact
    value rounds to is certain, and so is its error to 1/1000 of a unit in the last
    place of float16. At ±inf the limit, NaN where `relubook.precision.exact` says so.
    A function that `enclosure` does not know takes half a minute.

    Raises `ValueError` for several symbols, `OverflowError` as `exact`.

    >>> z = sp.Symbol("z")
    >>> exact_half_floats(sp.log(1 + sp.exp(z)))[0x7B, 0xFF]  # the largest half-float
    np.float64(65504.0)

    Reference: Moore, Kearfott and Cloud (2009), "Introduction to Interval Analysis".
    """
    half_floats = every_half_float()
    values = half_floats.astype(np.float64)
    lower, upper = enclosure(expression, values)
    with np.errstate(all="ignore"):
        rounded = lower.astype(np.float16)
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        sharp = upper - lower <= unit / 1024
        certain = (rounded == upper.astype(np.float16)) & (sharp | np.isinf(rounded))
        results = lower + (upper - lower) / 2
    open_ = ~(certain & np.isfinite(values))
    found = exact(_one_symbol(expression)[1], values[open_])
    results[open_] = [_rounded_to_odd(value) for value in found]
    results.flags.writeable = False
    return results


def enclosure(expression, values):
    """Lower and upper bounds of a formula at float64 values: two arrays `[...]`.

    `expression` is a SymPy expression in one symbol. Each operation is done on
    intervals and rounded outwards by 2^-48, sixteen times what NumPy's and SciPy's
    functions may be off. -inf and inf where a function is not known here, a value
    undefined or a branch uncertain.

    Raises `ValueError` for several symbols.

    >>> z = sp.Symbol("z")
    >>> lower, upper = enclosure(sp.exp(z) - 1, np.array([1.0, 1000.0]))
    >>> lower[0] < np.expm1(1) < upper[0], upper[0] - lower[0] < 1e-13
    (np.True_, np.True_)
    >>> lower[1] > 1e308, upper[1]
    (np.True_, np.float64(inf))
    """
    symbol, _ = _one_symbol(expression)
    values = np.asarray(values, np.float64)
    with np.errstate(all="ignore"):
        return _bounds(expression, symbol, values)


def _rounded_to_odd(value):
    """A float64 beside an mpmath number that rounds to the half-float that it does.

    The nearest one may be a tie between two half-floats where the number is none; ties
    have an even last bit.
    """
    with mpmath.workprec(53):
        near = np.float64(+value)
    if near != value and near.view(np.int64) % 2 == 0 and np.isfinite(near):
        return np.nextafter(near, np.inf if value > near else -np.inf)
    return near


def _one_symbol(expression):
    """The symbol of an expression, and the expression as a function for mpmath."""
    symbols = list(expression.free_symbols)
    if len(symbols) > 1:
        raise ValueError(
            f"expression has the symbols {sorted(symbols, key=str)}; wanted one: give "
            "the others numbers"
        )
    symbol = symbols[0] if symbols else sp.Dummy()
    return symbol, sp.lambdify(symbol, expression, "mpmath")


_MONOTONE = {
    sp.exp: np.exp, sp.log: np.log, sp.sinh: np.sinh, sp.tanh: np.tanh,
    sp.asinh: np.arcsinh, sp.acosh: np.arccosh, sp.atanh: np.arctanh,
    sp.atan: np.arctan, sp.asin: np.arcsin, sp.acos: np.arccos,
    sp.erf: scipy.special.erf, sp.erfc: scipy.special.erfc,
    sp.sign: np.sign, sp.floor: np.floor, sp.ceiling: np.ceil,
}  # fmt: skip
_WAVES = {sp.sin: np.sin, sp.cos: np.cos}


def _bounds(e, z, values):
    if e == z:
        return values, values
    if isinstance(e, sp.Piecewise):
        return _piecewise(e, z, values)
    if e.is_number:
        return _number(e, values)
    parts = [_bounds(a, z, values) for a in e.args]
    if e.is_Add:
        return reduce(_sum, parts)
    if e.is_Mul:
        return reduce(_product, parts)
    if e.is_Pow:
        return _power(e, parts[0], z, values)
    if isinstance(e, sp.Abs):
        return _size(*parts[0])
    if isinstance(e, (sp.Max, sp.Min)):
        choose = np.maximum if isinstance(e, sp.Max) else np.minimum
        return tuple(reduce(choose, ends) for ends in zip(*parts))
    if e.func in _MONOTONE:
        return _outwards(*(_MONOTONE[e.func](end) for end in parts[0]))
    if e.func in _WAVES:
        return _wave(_WAVES[e.func], *parts[0])
    for form in (sp.Piecewise, sp.exp, sp.cos):  # Heaviside, cosh, tan, ...
        known = e.rewrite(form)
        if known != e and not known.has(sp.I):
            return _bounds(known, z, values)
    return _unknown(values)


def _unknown(values):
    return np.full(values.shape, -np.inf), np.full(values.shape, np.inf)


def _number(e, values):
    if not (e.is_real and e.is_finite):
        return _unknown(values)
    near = np.full(values.shape, float(e))
    return (near, near) if _is_float(e) else _outwards(near, near)


def _is_float(number):
    """Whether float64 holds a number exactly."""
    return number.is_Rational and sp.Rational(float(number)) == number


def _outwards(*ends):
    """The smallest and largest of the ends, which are rounded, with room for that."""
    lower, upper = reduce(np.minimum, ends), reduce(np.maximum, ends)
    # What overflowed is a number beyond the largest float64, not infinity.
    largest, tiny = np.finfo(np.float64).max, np.finfo(np.float64).tiny * 2.0**-48
    lower, upper = np.minimum(lower, largest), np.maximum(upper, -largest)
    lower = lower - np.abs(lower) * 2.0**-48 - tiny
    upper = upper + np.abs(upper) * 2.0**-48 + tiny
    lost = np.isnan(lower) | np.isnan(upper)
    return np.where(lost, -np.inf, lower), np.where(lost, np.inf, upper)


def _sum(a, b):
    return _outwards(a[0] + b[0], a[1] + b[1])


def _product(a, b):
    return _outwards(*(one * other for one in a for other in b))


def _size(lower, upper):
    least = np.maximum(np.maximum(lower, -upper), 0)
    return least, np.maximum(-lower, upper)


def _power(e, base, z, values):
    power = e.exp
    if not _is_float(power):
        return _bounds(sp.exp(power * sp.log(e.base), evaluate=False), z, values)
    if not power.is_Integer:
        base = np.where(base[0] < 0, np.nan, base[0]), base[1]
    elif power.is_even:
        base = _size(*base)
    elif power < 0:
        across = (base[0] <= 0) & (base[1] >= 0)
        base = np.where(across, np.nan, base[0]), base[1]
    return _outwards(*(end ** float(power) for end in base))


def _wave(function, lower, upper):
    radius = (upper - lower) / 2
    middle = function(lower + radius)
    lower, upper = _outwards(middle - radius, middle + radius)
    return np.maximum(lower, -1), np.minimum(upper, 1)


def _piecewise(e, z, values):
    lower, upper = _unknown(values)
    ahead = np.ones(values.shape, bool)  # no branch before this one can hold
    for branch, condition in e.args:
        holds, fails = _truth(condition, z, values)
        taken = ahead & holds
        if taken.any():
            lower[taken], upper[taken] = _bounds(branch, z, values[taken])
        ahead &= fails
    return lower, upper


def _truth(condition, z, values):
    """Where a condition certainly holds, and where it certainly fails."""
    if condition in (sp.true, sp.false):
        holds = np.full(values.shape, condition is sp.true)
        return holds, ~holds
    if isinstance(condition, sp.core.relational.Relational):
        left, right = (_bounds(side, z, values) for side in condition.args)
        return _compared(condition, left, right)
    if condition.func not in (sp.And, sp.Or, sp.Not):
        return np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    parts = [_truth(part, z, values) for part in condition.args]
    if condition.func is sp.Not:
        return parts[0][::-1]
    both = condition.func is sp.And
    holds, fails = zip(*parts)
    every, some = np.logical_and.reduce, np.logical_or.reduce
    return (every(holds), some(fails)) if both else (some(holds), every(fails))


def _compared(condition, left, right):
    if isinstance(condition, (sp.StrictLessThan, sp.LessThan)):
        left, right = right, left
    if isinstance(condition, (sp.StrictGreaterThan, sp.StrictLessThan)):
        return left[0] > right[1], left[1] <= right[0]
    if isinstance(condition, (sp.GreaterThan, sp.LessThan)):
        return left[0] >= right[1], left[1] < right[0]
    apart = (left[0] > right[1]) | (left[1] < right[0])
    same = (left[0] == right[1]) & (left[1] == right[0])
    return (apart, same) if isinstance(condition, sp.Ne) else (same, apart)
