"""How far a computed value is from the exact one, in units in the last place."""

from numbers import Real

import mpmath
import numpy as np
import sympy as sp


def every_half_float():
    """All 65,536 float16 values, as an array `[256, 256]`.

    The row is the high byte of the bit pattern, the column the low byte: rows 0 to
    127 are the positive numbers in order, 128 to 255 the negative ones. Rows 124 to
    127 and 252 to 255 hold inf (column 0 of the first) and the 2,046 NaN.

    >>> half_floats = every_half_float()
    >>> half_floats[0x3C, 0], half_floats[0xC0, 0]
    (np.float16(1.0), np.float16(-2.0))

    Reference: IEEE Std 754-2019, section 3.4.
    """
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)


def exact(function, values):
    """The exact values of a function, as an object array `[...]` of mpmath numbers.

    `function` is a SymPy expression in one symbol, such as `relu.formula`, or a
    function of one mpmath number; `values` an array `[...]` of float16, float32 or
    float64. The working precision is raised until the result stands to 80 bits, so
    that a textbook formula is exact even where it cancels; a result too small for any
    float may be 0. NaN gives NaN, as does a point that the expression leaves out, a
    pole (where mpmath raises ZeroDivisionError or ValueError) and a complex result.
    +-inf gives the limit, read off at 2^1100, beyond every float; NaN where the value
    at 2^1101 is another one that floats tell apart: sine has no limit, the logarithm
    is still on its way.

    Raises `TypeError` for other dtypes and for a `function` of another type,
    `ValueError` for several free symbols, `OverflowError` where a number on the way
    has an exponent too large for mpmath.

    >>> z = sp.Symbol("z")
    >>> exact(sp.exp(z) - 1, np.array([1e-20, -np.inf])).astype(float)
    array([ 1.e-20, -1.e+00])
    """
    values = _floats("values", values)
    if isinstance(function, sp.Expr):
        function = _mpmath_function(function)
    elif not callable(function):
        raise TypeError(
            f"function is {function!r}; wanted a SymPy expression or a function of "
            "one mpmath number"
        )
    results = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):
        exact_value = _limit if np.isinf(value) else _exact_value
        results[index] = exact_value(function, float(value))
    return results


def ulp_error(computed, exact):
    """The distance from exact to computed values in units in the last place (ulp).

    `computed` is an array `[...]` of float16, float32 or float64; `exact` has the same
    shape and holds mpmath numbers or, for a narrower `computed`, float64. Returns
    float64 `[...]`. The unit is the spacing of the dtype's numbers at the exact value
    (of the subnormals below the smallest normal number), so that a correctly rounded
    result has an error of at most 1/2. The sign of a zero does not count. NaN where
    NaN is exact, and inf where the exact value rounds to inf, have error 0; any other
    NaN or inf has error inf.

    Raises `TypeError` for other dtypes and for `exact` that is not of real numbers,
    `ValueError` for different shapes.

    >>> ulp_error(np.float16([1.001, np.inf]), [1.0, 65520.0])
    array([1., 0.])

    Reference: Goldberg (1991), "What every computer scientist should know about
    floating-point arithmetic".
    """
    computed = _floats("computed", computed)
    exact = _real_numbers("exact", exact)
    if exact.shape != computed.shape:
        raise ValueError(
            f"exact has shape {exact.shape}; wanted {computed.shape}, as computed has"
        )
    with np.errstate(all="ignore"), mpmath.workprec(53):
        near = np.asarray(+exact, np.float64)  # + rounds mpmath numbers to 53 bits
        wide = computed.astype(object if exact.dtype == object else np.float64)
        error = (wide - exact) / _unit(near, computed.dtype)
        error = np.abs(np.asarray(error, np.float64))
        wanted = _overflowed(near, computed.dtype)
    # Neither inf - inf nor NaN - NaN tells whether the two agree.
    special = ~np.isfinite(wanted) & ~np.isfinite(computed)
    agree = (computed == wanted) | (np.isnan(computed) & np.isnan(wanted))
    error = np.where(special, np.where(agree, 0, np.inf), error)
    return np.where(np.isnan(error), np.inf, error)[()]


def half_float_errors(function, exact_function):
    """The error in ulp of a function of float16 at every half-float, `[256, 256]`.

    `function` maps the float16 array of `every_half_float` to another, warnings off;
    `exact_function` maps the same values in float64 to float64 values that stand for
    the exact ones. An error of more than 1/2 means: not correctly rounded.

    Raises `TypeError` if `function` does not return float16.

    >>> errors = half_float_errors(lambda z: np.maximum(z, 0), lambda z: z * (z > 0))
    >>> errors[np.isfinite(every_half_float())].max()
    np.float64(0.0)
    """
    half_floats = every_half_float()
    with np.errstate(all="ignore"):
        computed = np.asarray(function(half_floats))
        wanted = exact_function(half_floats.astype(np.float64))
    if computed.dtype != np.float16:
        raise TypeError(f"function returned {computed.dtype}; wanted float16")
    return ulp_error(computed, wanted)


def _floats(name, array):
    array = np.asarray(array)
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(
            f"{name} has dtype {array.dtype}; wanted float16, float32 or float64"
        )
    return array


def _real_numbers(name, array):
    array = np.asarray(array)
    wanted = "wanted mpmath numbers or floats"
    if array.dtype.kind not in "biufO":
        raise TypeError(f"{name} has dtype {array.dtype}; {wanted}")
    if array.dtype == object:
        for value in array.flat:
            if not isinstance(value, (Real, mpmath.mpf)):
                raise TypeError(f"{name} contains {value!r}; {wanted}")
    return array


def _mpmath_function(expression):
    symbols = list(expression.free_symbols)
    if len(symbols) > 1:
        raise ValueError(
            f"function has the symbols {symbols}; wanted one: give the others numbers"
        )
    return sp.lambdify(symbols or [sp.Dummy()], expression, "mpmath")


def _exact_value(function, value):
    if mpmath.isnan(value):
        return mpmath.nan
    result = mpmath.mpf(0)
    # 1200 bits hold 1 + x for every float64 x. Two zeros may both have cancelled.
    for bits in (128, 256, 1200):
        with mpmath.workprec(bits):
            try:
                previous, result = result, function(mpmath.mpf(value))
            except (ZeroDivisionError, ValueError):  # a pole
                return mpmath.nan
            except OverflowError as error:
                raise OverflowError(
                    "function passes through a number too large for mpmath at "
                    f"{mpmath.nstr(mpmath.mpf(value), 5)}; wanted smaller values"
                ) from error
            # None is how SymPy prints a Piecewise's missing branch.
            if result is None or isinstance(result, (complex, mpmath.mpc)):
                return mpmath.nan
            result = mpmath.mpf(result)
            if abs(result - previous) < abs(result) * mpmath.ldexp(1, -80):
                break
    return result


def _limit(function, infinity):
    """The value far beyond every float, if it no longer moves, else NaN."""
    sign = mpmath.sign(infinity)
    near = _exact_value(function, sign * mpmath.ldexp(1, 1100))
    far = _exact_value(function, sign * mpmath.ldexp(1, 1101))
    settled = abs(far - near) <= abs(near) * mpmath.ldexp(1, -80)
    same_side = near * far > 0
    vanished = max(abs(near), abs(far)) < mpmath.ldexp(1, -1075)
    overflowed = same_side and min(abs(near), abs(far)) >= mpmath.ldexp(1, 1024)
    return near if settled or vanished or overflowed else mpmath.nan


def _unit(values, dtype):
    """The spacing of the dtype's numbers at `values`, the widest one beyond them."""
    info = np.finfo(dtype)
    exponent = np.frexp(np.abs(values))[1] - 1
    exponent = np.where(np.isinf(values), info.maxexp - 1, exponent)
    exponent = np.where(values == 0, info.minexp, exponent)
    return np.ldexp(1.0, np.clip(exponent, info.minexp, info.maxexp - 1) - info.nmant)


def _overflowed(values, dtype):
    """`values` with inf in place of those which round to inf in `dtype`."""
    info = np.finfo(dtype)
    limit = np.ldexp(2 - 2.0 ** -(info.nmant + 1), info.maxexp - 1)
    return np.where(np.abs(values) >= limit, np.copysign(np.inf, values), values)
