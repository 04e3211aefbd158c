"""How far a computed value is from the exact one, in units in the last place."""

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
    float may be 0. NaN gives NaN, as does a point that the expression leaves out;
    +-inf gives the limit, read off at a number beyond every float.

    Raises `TypeError` for other dtypes, `ValueError` for several free symbols.

    >>> z = sp.Symbol("z")
    >>> exact(sp.exp(z) - 1, np.array([1e-20, -np.inf])).astype(float)
    array([ 1.e-20, -1.e+00])
    """
    values = _floats("values", values)
    if isinstance(function, sp.Expr):
        function = _mpmath_function(function)
    results = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):
        results[index] = _exact_value(function, float(value))
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

    Raises `TypeError` for other dtypes, `ValueError` for different shapes.

    >>> ulp_error(np.float16([1.001, np.inf]), [1.0, 65520.0])
    array([1., 0.])

    Reference: Goldberg (1991), "What every computer scientist should know about
    floating-point arithmetic".
    """
    computed = _floats("computed", computed)
    exact = np.asarray(exact)
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


def _mpmath_function(expression):
    symbols = list(expression.free_symbols)
    if len(symbols) > 1:
        raise ValueError(
            f"function has the symbols {symbols}; wanted one: give the others numbers"
        )
    return sp.lambdify(symbols or [sp.Dummy()], expression, "mpmath")


def _exact_value(function, value):
    if np.isnan(value):
        return mpmath.nan
    if np.isinf(value):
        value = mpmath.sign(value) * mpmath.ldexp(1, 1100)
    result = mpmath.mpf(0)
    # 1200 bits hold 1 + x for every float64 x. Two zeros may both have cancelled.
    for bits in (128, 256, 1200):
        with mpmath.workprec(bits):
            previous, result = result, function(mpmath.mpf(value))
            if result is None:  # how SymPy prints a Piecewise's missing branch
                return mpmath.nan
            result = mpmath.mpf(result)
            if abs(result - previous) < abs(result) * mpmath.ldexp(1, -80):
                break
    return result


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
