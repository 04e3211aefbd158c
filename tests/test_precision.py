"""Errors in units in the last place, and the exact values they are measured from."""

import mpmath
import numpy as np
import pytest
import sympy as sp

from relubook.precision import every_half_float, exact, half_float_errors, ulp_error

z = sp.Symbol("z", real=True)


def test_every_half_float_is_every_pattern_once():
    half_floats = every_half_float()
    assert half_floats.shape == (256, 256) and half_floats.dtype == np.float16
    patterns = half_floats.view(np.uint16)
    rows, columns = np.indices((256, 256))
    np.testing.assert_array_equal(patterns, 256 * rows + columns)
    assert np.isnan(half_floats).sum() == 2046 and np.isinf(half_floats).sum() == 2
    ordered = half_floats[:128].ravel()[: 31 * 1024]
    assert (np.diff(ordered) > 0).all() and ordered[0] == 0 and ordered[-1] == 65504


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_neighbours_are_one_ulp_apart(dtype):
    info = np.finfo(dtype)
    for value in (1.0, 1.5, 0.1, float(info.smallest_normal), 3e-7, -7.0):
        value = dtype(value)
        above = np.nextafter(value, dtype(np.inf))
        np.testing.assert_array_equal(ulp_error(above[None], [float(value)]), 1)
    # Below a power of two the numbers lie twice as close as above it.
    below = np.nextafter(dtype(1), dtype(0))
    assert ulp_error(dtype(1), float(below)) == 1
    assert ulp_error(below, 1.0) == 0.5


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rounding_costs_at_most_half(dtype):
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=4000) * 2.0 ** rng.integers(-30, 15, 4000)
    errors = ulp_error(wanted.astype(dtype), wanted)
    assert 0.49 < errors.max() <= 0.5


def test_unit_agrees_with_a_literal_count():
    """Count the float16 numbers between computed and exact, one by one."""
    numbers = np.unique(every_half_float()[np.isfinite(every_half_float())])
    rng = np.random.default_rng(0)
    for i, j in rng.integers(1, len(numbers) - 1, (200, 2)):
        j = i + (j - i) % 40 - 20
        j = min(max(j, 1), len(numbers) - 2)
        same = np.frexp(float(numbers[i]))[1] == np.frexp(float(numbers[j]))[1]
        if same and (numbers[i] > 0) == (numbers[j] > 0):  # the spacing is constant
            assert ulp_error(numbers[j], float(numbers[i])) == abs(i - j)


def test_mpmath_numbers_see_less_than_float64():
    with mpmath.workdps(50):
        third = mpmath.mpf(1) / 3
        wanted = np.array([third, -third, 2 * third], dtype=object)
        expected = [float(abs(third - mpmath.mpf(1 / 3)) / mpmath.mpf(2) ** -54)] * 3
    errors = ulp_error(np.array([1 / 3, -1 / 3, 2 / 3]), wanted)
    np.testing.assert_allclose(errors, expected)
    assert 0 < expected[0] < 0.5


def test_subnormals_and_underflow():
    smallest = np.finfo(np.float64).smallest_subnormal
    half = np.array([mpmath.ldexp(1, -1075), mpmath.ldexp(1, -3000)], dtype=object)
    np.testing.assert_array_equal(ulp_error(np.array([0.0, 0.0]), half), [0.5, 0])
    np.testing.assert_array_equal(ulp_error(np.full(2, smallest), half), [0.5, 1])
    assert ulp_error(np.float16(0), 2.0**-25) == 0.5
    assert ulp_error(np.float32(1e-45), 1e-300) == 1


SPECIAL = [  # computed, exact, error in float16
    (np.inf, np.inf, 0),
    (-np.inf, -np.inf, 0),
    (np.inf, 65520.0, 0),  # rounds to inf
    (np.inf, 65519.9, np.inf),  # rounds to 65504
    (np.inf, -1e9, np.inf),
    (65504.0, 65520.0, 0.5),
    (65504.0, 131008.0, 2047),
    (65504.0, np.inf, np.inf),
    (np.nan, np.nan, 0),
    (np.nan, 1.0, np.inf),
    (1.0, np.nan, np.inf),
    (np.inf, np.nan, np.inf),
    (np.nan, np.inf, np.inf),
    (-0.0, 0.0, 0),
]


@pytest.mark.parametrize("computed, wanted, error", SPECIAL)
def test_infinities_nan_and_zeros(computed, wanted, error):
    assert ulp_error(np.float16(computed), wanted) == error
    number = np.array(mpmath.mpf(wanted), dtype=object)
    assert ulp_error(np.float16(computed), number) == error


def test_float64_overflow():
    largest = np.finfo(np.float64).max
    beyond = np.array(mpmath.mpf(2) ** 1024, dtype=object)
    assert ulp_error(np.float64(np.inf), beyond) == 0
    assert ulp_error(np.float64(largest), beyond) == 1


def test_ulp_error_rejects_other_dtypes_and_shapes():
    with pytest.raises(TypeError, match="computed has dtype int64; wanted float16"):
        ulp_error(np.arange(2), [0, 1])
    with pytest.raises(ValueError, match=r"exact has shape \(3,\); wanted \(2,\)"):
        ulp_error(np.ones(2), np.ones(3))
    assert ulp_error(np.empty((0, 3)), np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    "formula, function",
    [
        (sp.log(1 + sp.exp(z)), lambda x: mpmath.log1p(mpmath.exp(x))),
        (sp.exp(z) - 1, mpmath.expm1),
        (z * (1 + sp.erf(z)), lambda x: x * mpmath.erfc(-x)),
        (1 - sp.tanh(z) ** 2, lambda x: mpmath.sech(x) ** 2),
    ],
)
def test_exact_where_the_formula_cancels(formula, function):
    values = np.array([-300.0, -37.0, -20.0, -1e-300, -5e-324, 1e-12, 20.0, 300.0])
    with mpmath.workdps(60):
        wanted = np.array([function(mpmath.mpf(x)) for x in values], dtype=object)
        difference = abs(exact(formula, values) - wanted)
        allowed = abs(wanted) * mpmath.mpf(2) ** -80 + mpmath.mpf(2) ** -1100
        assert (difference <= allowed).all()


def test_exact_at_infinity_and_at_gaps():
    values = np.array([-np.inf, np.inf, np.nan, 0])
    silu = exact(z / (1 + sp.exp(-z)), values).astype(float)
    np.testing.assert_array_equal(silu, [0, np.inf, np.nan, 0])
    step = sp.Piecewise((1, z > 0), (0, z < 0))
    sides = exact(step, values).astype(float)
    np.testing.assert_array_equal(sides, [0, 1, np.nan, np.nan])
    constant = exact(sp.Rational(1, 3), np.ones((2, 1), np.float16))
    assert constant.shape == (2, 1) and constant[0, 0] * 3 == 1


def test_exact_takes_functions_and_rejects_the_rest():
    assert exact(mpmath.sqrt, np.float32([4]))[0] == 2
    with pytest.raises(ValueError, match="function has the symbols .*; wanted one"):
        exact(z + sp.Symbol("a"), np.ones(1))
    with pytest.raises(TypeError, match="values has dtype int64; wanted float16"):
        exact(z, [1])


@pytest.mark.parametrize(
    "function, value",
    [
        (sp.log(z), -1.0),
        (sp.sqrt(z), -1.0),
        (1 / z, 0.0),
        (sp.gamma(z), 0.0),
        (lambda x: 1j, 0.0),
    ],
)
def test_exact_has_no_value_where_the_function_is_complex_or_has_a_pole(
    function, value
):
    (result,) = exact(function, np.array([value]))
    assert mpmath.isnan(result)


@pytest.mark.parametrize("function", [sp.sin(z), sp.cos(z), sp.log(z)])
def test_exact_at_infinity_without_a_limit_in_reach(function):
    (result,) = exact(function, np.array([np.inf]))
    assert mpmath.isnan(result)


@pytest.mark.parametrize(
    "function, limits",
    [
        (1 / z, (0, 0)),
        (z**3, (-np.inf, np.inf)),
        (sp.exp(z), (0, np.inf)),
        (sp.atan(z), (-np.pi / 2, np.pi / 2)),
        (sp.sin(z) / z, (0, 0)),
    ],
)
def test_exact_at_infinity_with_a_limit(function, limits):
    results = exact(function, np.array([-np.inf, np.inf])).astype(float)
    np.testing.assert_array_equal(results, limits)


def test_exact_names_the_point_of_an_overflow():
    with pytest.raises(OverflowError, match="too large for mpmath at 1.3583e.331;"):
        exact(sp.exp(sp.exp(z)), np.array([np.inf]))


@pytest.mark.parametrize("function", ["z", 3, None])
def test_exact_wants_a_function(function):
    with pytest.raises(TypeError, match=f"function is {function!r}; wanted a SymPy"):
        exact(function, np.ones(1))


@pytest.mark.parametrize(
    "wanted, came",
    [
        ([1j], "has dtype complex128"),
        (["a"], "has dtype <U1"),
        ([None], "contains None"),
        ([mpmath.mpc(1, 1)], "contains mpc"),
    ],
)
def test_ulp_error_wants_real_numbers(wanted, came):
    with pytest.raises(TypeError, match=f"exact {came}.*; wanted mpmath numbers or fl"):
        ulp_error(np.ones(1), wanted)


def share_wrong(function, exact_function):
    """Share of the half-floats that are numbers whose result is not the nearest."""
    errors = half_float_errors(function, exact_function)
    return (errors > 0.5)[~np.isnan(every_half_float())].mean()


def test_half_float_errors_of_formulas_in_float16():
    """The map on the book's cover; correct rounding decided by float64 here."""

    def softplus(x):
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def elu(x):
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))

    naive = share_wrong(lambda x: np.log(1 + np.exp(x)), softplus)
    assert naive == pytest.approx(0.486, abs=0.003)
    assert share_wrong(softplus, softplus) == pytest.approx(0.117, abs=0.003)
    naive_elu = share_wrong(lambda x: np.where(x > 0, x, np.exp(x) - 1), elu)
    assert naive_elu == pytest.approx(0.220, abs=0.003)
    assert share_wrong(lambda x: np.maximum(x, 0), lambda x: np.maximum(x, 0)) == 0


def test_half_float_errors_wants_float16():
    with pytest.raises(TypeError, match="function returned float64; wanted float16"):
        half_float_errors(lambda x: x.astype(float), lambda x: x)
