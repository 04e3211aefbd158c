"""relubook.envelopes against literal searches, closed forms and dynamic programming."""

from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from relubook import calculus
from relubook.activations import CATALOGUE, z
from relubook.envelopes import fit_convex, upper_envelope

lines = st.lists(st.tuples(st.integers(-4, 4), st.integers(-6, 6)), min_size=1,
                 max_size=7)


def leaders_by_search(slopes, intercepts):
    """Who leads between any two neighbouring crossings, asked one by one."""
    crossings = sorted({
        Fraction(c - b, a - d) for a, b in zip(slopes, intercepts)
        for d, c in zip(slopes, intercepts) if a != d
    })
    ends = [*crossings, crossings[-1] + 2] if crossings else [Fraction(0)]
    points = [ends[0] - 1, *((a + b) / 2 for a, b in zip(ends, ends[1:]))]
    leaders = []
    for x in points:
        values = [s * x + c for s, c in zip(slopes, intercepts)]
        leaders.append(values.index(max(values)))
    change = [i for i in range(1, len(leaders)) if leaders[i] != leaders[i - 1]]
    return tuple(leaders[i] for i in (0, *change)), tuple(ends[i - 1] for i in change)


@given(lines)
def test_the_envelope_is_what_a_search_finds(pairs):
    found = upper_envelope(*zip(*pairs))
    assert (found.pieces, found.breakpoints) == leaders_by_search(*zip(*pairs))


@pytest.mark.parametrize("seed", range(3))
def test_breakpoints_are_the_kinks_that_the_calculus_finds(seed):
    slopes, intercepts = np.random.default_rng(seed).integers(-5, 6, (2, 4)).tolist()
    formula = sp.Max(*(s * z + c for s, c in zip(slopes, intercepts)))
    found = upper_envelope(slopes, intercepts)
    kinks = sp.FiniteSet(*(sp.Rational(p.numerator, p.denominator)
                           for p in found.breakpoints))
    assert calculus.kinks(formula, z) == kinks


def test_floats_are_exact_fractions():
    found = upper_envelope([0, 0.1], [0.3, 0])  # 0.3 / 0.1, and neither is what it says
    assert found.breakpoints == (Fraction(0.3) / Fraction(0.1),) != (3,)
    tiny = 2.0**-1074
    assert upper_envelope([0, tiny], [1.7e308, 0]).pieces == (0, 1)


def test_a_line_through_a_crossing_leads_nowhere():
    assert upper_envelope([-1, 0, 1], [0, 0, 0]).pieces == (0, 2)
    nudged = upper_envelope([-1, 0, 1], [0, 2.0**-1074, 0])
    assert nudged.pieces == (0, 1, 2)


@pytest.mark.parametrize("number", [np.float32(0.5), np.int8(2), sp.Rational(1, 2),
                                    Fraction(1, 2), np.array(0.5)])
def test_numbers_of_every_kind(number):
    found = upper_envelope([number, 0], [0, number])
    assert found.breakpoints == (1,) and type(found.breakpoints[0]) is Fraction


@pytest.mark.parametrize("arguments, error, message", [
    (([], []), ValueError, "slopes has 0 entries and intercepts has 0"),
    (([1], [1, 2]), ValueError, "slopes has 1 entries and intercepts has 2"),
    (([1, np.nan], [0, 0]), ValueError, r"slopes\[1\] is nan, want a finite number"),
    (([1], [-np.inf]), ValueError, r"intercepts\[0\] is -inf"),
    ((["1"], [0]), TypeError, r"slopes\[0\] is '1', want an integer"),
    (([True], [0]), TypeError, r"slopes\[0\] is True"),
    (([sp.pi], [0]), TypeError, r"slopes\[0\] is pi"),
    ((3, [0]), TypeError, "slopes is 3, want a sequence"),
])
def test_bad_lines(arguments, error, message):
    with pytest.raises(error, match=message):
        upper_envelope(*arguments)


# --- fit_convex


@pytest.mark.parametrize("num_pieces", [1, 2, 3, 7, 20])
def test_the_square_has_half_a_kth_of_a_kth(num_pieces):
    fit = fit_convex(np.square, (-1, 1), num_pieces)
    assert fit.error == pytest.approx(1 / (2 * num_pieces**2), rel=1e-10)
    expected = np.linspace(-1, 1, num_pieces + 1)
    np.testing.assert_allclose(fit.knots, expected, atol=1e-10)
    np.testing.assert_allclose(fit.slopes, expected[:-1] + expected[1:], atol=1e-9)


def test_one_line_below_the_exponential():
    slope = np.e - 1  # the chord on [0, 1]; the exponential has it at log(e - 1)
    gap = slope * np.log(slope) + 1 - slope
    fit = fit_convex(np.exp, (0, 1), 1)
    assert fit.error == pytest.approx(gap / 2, rel=1e-12)
    assert fit.intercepts[0] == pytest.approx(1 - gap / 2, rel=1e-12)


def best_by_dynamic_programming(f, low, high, num_pieces, cells=120):
    """The least error with knots on a grid: of all cuts, the best."""
    x = np.linspace(low, high, cells + 1)
    y = f(x)
    cost = np.zeros((cells + 1, cells + 1))
    for i in range(cells):
        for j in range(i + 1, cells + 1):
            chord = y[i] + (y[j] - y[i]) / (x[j] - x[i]) * (x[i : j + 1] - x[i])
            cost[i, j] = (chord - y[i : j + 1]).max() / 2
    least = cost[0]
    for _ in range(num_pieces - 1):
        least = np.array([np.maximum(least[: j + 1], cost[: j + 1, j]).min()
                          for j in range(cells + 1)])
    return least[-1]


FUNCTIONS = {
    "exp": (np.exp, (-1, 2)),
    "softplus": (CATALOGUE["softplus"], (-4, 3)),
    "power": (lambda x: x**4, (-1, 1)),
    "root": (lambda x: -np.sqrt(x), (0, 1)),
    "kinked": (lambda x: np.maximum(np.abs(x), x**2), (-3, 2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("num_pieces", [2, 3])
def test_no_cut_on_a_grid_is_better(name, num_pieces):
    f, interval = FUNCTIONS[name]
    fit = fit_convex(f, interval, num_pieces)
    x = np.linspace(*interval, 20_001)
    assert np.abs(fit(x) - f(x)).max() == pytest.approx(fit.error, rel=1e-6)
    on_grid = best_by_dynamic_programming(f, *interval, num_pieces)
    # The grid misses a knot by half a cell at most, and an error's place likewise.
    assert 0.93 * fit.error <= on_grid <= 1.08 * fit.error


@pytest.mark.parametrize("num_pieces, slope, factor", [(1, -3, 0.1), (3, 2, 3),
                                                       (4, 0.5, 0.5)])
def test_an_affine_function_more_changes_nothing(num_pieces, slope, factor):
    plain = fit_convex(np.exp, (-1, 1), num_pieces)
    tilted = fit_convex(lambda x: factor * np.exp(x) + slope * x + 1, (-1, 1), num_pieces)
    assert tilted.error == pytest.approx(factor * plain.error, rel=1e-7)
    np.testing.assert_allclose(tilted.knots, plain.knots, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_any_unit_will_do(scale):
    fit = fit_convex(lambda x: scale * x**2, (-1, 1), 3)
    assert fit.error == pytest.approx(scale / 18, rel=1e-9)


def test_more_pieces_than_needed():
    fit = fit_convex(np.abs, (-1, 2), 5)
    assert len(fit.slopes) <= 5 and fit.error < 1e-11
    np.testing.assert_allclose(fit([-1, 0, 2]), [1, 0, 2], atol=1e-11)
    line = fit_convex(lambda x: 3 - 2 * x, (0, 1), 4)
    assert line.slopes.tolist() == [-2] and line.error < 1e-14
    zero = fit_convex(np.zeros_like, (0, 1), 2)
    assert zero.error == 0 and zero(0.5) == 0


def test_a_fit_is_called_with_any_shape():
    fit = fit_convex(np.square, (-1, 1), 2)
    assert fit(np.zeros((3, 2))).shape == (3, 2)
    assert fit(1).shape == ()


@pytest.mark.parametrize("change, error, message", [
    ({"f": np.sin}, ValueError, "f is not convex: at .* above the chord from"),
    ({"f": lambda x: 1 / x}, ValueError, r"f\(0\) is inf"),
    ({"f": lambda x: np.where(x > 0, x, np.nan)}, ValueError, r"f\(-1\) is nan"),
    ({"f": lambda x: x[:2]}, ValueError, r"returns shape \(2,\) for \(2049,\)"),
    ({"f": 3}, TypeError, "f is 3, want a function"),
    ({"interval": (1, 1)}, ValueError, r"interval=\[1.0, 1.0\], want \(low, high\)"),
    ({"interval": (0, np.inf)}, ValueError, r"interval\[1\] is inf"),
    ({"interval": (0, 1, 2)}, ValueError, r"want \(low, high\)"),
    ({"num_pieces": 0}, ValueError, "num_pieces=0, want a positive integer"),
    ({"num_pieces": 2.0}, ValueError, "num_pieces=2.0"),
])
def test_a_fit_that_cannot_be(change, error, message):
    with pytest.raises(error, match=message):
        fit_convex(**{"f": np.square, "interval": (-1, 1), "num_pieces": 2, **change})
