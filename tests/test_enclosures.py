"""Bounds hold the exact value, and half-floats get the value that mpmath gives."""

import mpmath
import numpy as np
import pytest
import sympy as sp

from relubook import precision
from relubook.activations import CATALOGUE, z
from relubook.enclosures import enclosure, exact_half_floats

FORMULAS = {
    **{name: entry.formula for name, entry in CATALOGUE.items()},
    "mish": z * sp.tanh(sp.log(1 + sp.exp(z))),
    "hardswish": z * sp.Min(sp.Max(z + 3, 0), 6) / 6,
    "wave": sp.Abs(sp.sin(z)) + sp.cos(3 * z) ** 2,
    "powers": z**-3 + sp.Rational(1, 3) * z**2 - z**5,
    "roots": sp.sqrt(z) + sp.Abs(z) ** sp.Rational(-1, 3) + sp.Abs(z) ** sp.pi,
    "absorbed": (10**20 + z) - 10**20 * sp.exp(0) + sp.log(sp.cosh(z)),
    "arcs": sp.asin(z / 7) + sp.acos(z / 9) + sp.atan(z) * sp.asinh(z) + sp.erfc(z),
    "steps": sp.floor(z) + sp.sign(z) * sp.ceiling(z / 2) + sp.Heaviside(z),
    "rational": (z**2 - 1) / (z**2 + z + 1) + 1 / z,
    "cancels": (sp.exp(z) - 1 - z) / z**2,
    "branches": sp.Piecewise(
        (1, sp.And(z > 1, z <= 2)), (z, sp.Or(z < -3, sp.Eq(z, 0))), (-z, sp.Ne(z, 5))
    ),
    "ratio": sp.tan(z) / sp.sech(z),
}
each = pytest.mark.parametrize("name", FORMULAS)


def points():
    rng = np.random.default_rng(0)
    size = np.concatenate([10 ** rng.uniform(-8, 4, 40), rng.uniform(0, 8, 40)])
    return np.concatenate([size, -size, [0, 1, 2, 5, -3, 0.5, 1e-300, -1e-300]])


@each
def test_bounds_hold_the_exact_value(name):
    values = points()
    lower, upper = enclosure(FORMULAS[name], values)
    wanted = precision.exact(FORMULAS[name], values)
    for low, value, high in zip(lower, wanted, upper):
        if mpmath.isnan(value):
            assert (low, high) == (-np.inf, np.inf)
        else:
            assert mpmath.mpf(low) <= value <= mpmath.mpf(high), (low, value, high)


@each
def test_bounds_are_close_where_nothing_overflows_or_cancels(name):
    lower, upper = enclosure(FORMULAS[name], np.array([0.7, 1.3, 4.4]))
    allowed = 1e7 if name == "absorbed" else 1e-12
    assert np.all(upper - lower <= allowed * np.maximum(1, np.abs(lower)))


@pytest.mark.parametrize(
    "name", "softplus elu gelu hardswish cancels branches rational".split()
)
def test_half_floats_are_those_of_mpmath(name):
    half_floats = precision.every_half_float()
    finite = np.flatnonzero(np.isfinite(half_floats))
    chosen = np.random.default_rng(1).choice(finite, 100, replace=False)
    wanted = precision.exact(FORMULAS[name], half_floats.flat[chosen])
    found = exact_half_floats(FORMULAS[name]).flat[chosen]
    with np.errstate(over="ignore"):
        rounded = found.astype(np.float16)
    assert precision.ulp_error(rounded, wanted).max() <= 0.5
    inside = np.isfinite(rounded)
    unit = np.spacing(np.abs(rounded[inside])).astype(np.float64)
    assert np.all(np.abs(found[inside] - wanted[inside]) <= unit / 1000)


def test_ties_are_not_invented():
    almost = z / 4 + sp.Rational(1, 2**90)  # float64 cannot tell it from z / 4
    found = exact_half_floats(almost)[0, :12]
    tiny = 2.0**-24  # the least half-float; the formula is just above 1/4, 1/2, ...
    assert (found.astype(np.float16) / tiny).tolist() == [
        0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3
    ]  # fmt: skip


def test_wide_bounds_are_not_trusted():
    half_floats = precision.every_half_float()[:2]
    wanted = precision.exact(FORMULAS["cancels"], half_floats).astype(np.float64)
    found = exact_half_floats(FORMULAS["cancels"])[:2]
    unit = np.spacing(np.float16(0.5))
    assert np.nanmax(np.abs(found - wanted)) <= unit / 1000
    assert np.isnan(wanted[0, 0]) and np.isnan(found[0, 0])  # 0 / 0


def test_ends_and_nan():
    half_floats = precision.every_half_float()
    found = exact_half_floats(CATALOGUE["prelu"].formula)
    assert np.array_equal(np.isnan(found), np.isnan(half_floats))
    assert found[0x7C, 0] == np.inf and found[0xFC, 0] == -np.inf
    # A quarter is exact in float64, so that ties are ties.
    negative = half_floats[0x80:0xFC].astype(np.float64)
    assert np.array_equal(found[0x80:0xFC], negative / 4)


def test_unknown_functions_and_branches_are_left_to_mpmath():
    lower, upper = enclosure(sp.gamma(z), np.array([2.5]))
    assert (lower, upper) == (-np.inf, np.inf)
    lower, upper = enclosure(sp.Piecewise((1, z * z / 10 > 10), (0, True)), [10.0])
    assert (lower, upper) == (-np.inf, np.inf)


def test_results_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        exact_half_floats(z)[0] = 1


def test_two_symbols_are_an_error():
    with pytest.raises(ValueError, match=r"symbols \[a, z\]; wanted one"):
        enclosure(z * sp.Symbol("a"), [1.0])
