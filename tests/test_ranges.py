"""Zeros, ranges and properties against closed forms, mpmath and each other."""

import random

import mpmath
import numpy as np
import pytest
import sympy as sp

from relubook.activations import CATALOGUE, z
from relubook.calculus.expansions import Undecided
from relubook.calculus.ranges import (
    Properties,
    extent,
    is_subgradient,
    properties,
)
from relubook.calculus.zeros import real_zeros, sign_at

W = sp.LambertW
half = sp.Rational(1, 2)
alpha, a, b = sp.symbols("alpha a b", real=True)
beta, width = sp.symbols("beta width", positive=True)

SILU = CATALOGUE["silu"].formula
GELU = CATALOGUE["gelu"].formula
MISH = z * sp.tanh(sp.log(1 + sp.exp(z)))
HARDSWISH = z * sp.Min(sp.Max(z + 3, 0), 6) / 6
HUBER = sp.Piecewise(
    (z**2 / 2, sp.Abs(z) <= width), (width * (sp.Abs(z) - width / 2), True)
)


def precise(number):
    return mpmath.mpf(str(number.n(40)))


# ---- zeros


@pytest.mark.parametrize(
    "g, expected",
    [
        (z**2 - 2, (-sp.sqrt(2), sp.sqrt(2))),
        ((z - 1) ** 2 * (z + half) ** 3, (-half, 1)),
        (z**5 - z - 1, (sp.CRootOf(z**5 - z - 1, 0),)),
        (sp.exp(3 * z) - 5 * sp.exp(z), (sp.log(5) / 2,)),
        (sp.diff(SILU, z), (-1 - W(sp.exp(-1)),)),
        (sp.diff(GELU, z, 2), (-sp.sqrt(2), sp.sqrt(2))),
        (sp.diff(sp.tanh(z), z, 2), (0,)),
        (sp.log(1 + sp.exp(z)) - z / 2 - sp.log(2), (0,)),  # a double zero
        (sp.exp(z) - 1 - z, (0,)),
        (sp.atan(z) - z, (0,)),
        (1 - sp.exp(-sp.exp(z)) - half, (sp.log(sp.log(2)),)),
        (sp.sqrt(z**2 + 4) + z - 1, (-sp.Rational(3, 2),)),
        (sp.sqrt(z**2 + 4) + z, ()),
        (sp.sqrt(z**2 + 1) - sp.sqrt(2 * z**2 + 1) + 1 - 1, (0,)),
        (sp.cbrt(1 + z**2) ** 2 - sp.sqrt(1 + z**2), (0,)),
        (1 + sp.exp(-z), ()),
    ],
    ids=str,
)
def test_zeros_with_closed_form(g, expected):
    found = real_zeros(g, z)
    assert len(found) == len(expected)
    for zero, wanted in zip(found, expected):
        assert not zero.has(sp.Float) and abs((zero - wanted).n(40)) < 1e-35


@pytest.mark.parametrize(
    "g, guesses",
    [
        (sp.diff(GELU, z), [-0.75]),
        (sp.diff(SILU, z, 2), [-2.4, 2.4]),
        (sp.diff(MISH, z), [-1.19]),
        (sp.diff(MISH, z, 2), [-2.26, 1.49]),
        (z * sp.exp(-(z**2)) - half / 4, [0.128, 1.35]),
        (sp.exp(z) - z**3 * 2 - 1, [-0.68, 0, 0.8, 5.9]),
        (sp.cos(z) - z, [0.74]),
    ],
    ids=str,
)
def test_zeros_to_thirty_digits(g, guesses):
    function = sp.lambdify(z, g, "mpmath")
    with mpmath.workdps(45):
        expected = [mpmath.findroot(function, guess) for guess in guesses]
        found = [precise(zero) for zero in real_zeros(g, z)]
        assert len(found) == len(expected)
        for zero, wanted in zip(found, expected):
            assert abs(zero - wanted) < 1e-29 * max(1, abs(wanted))


def test_zeros_in_open_interval():
    assert real_zeros(z * (z - 1) * (z - 2), z, 0, 2) == (1,)
    assert real_zeros(sp.sin(z), z, 0, 10) == (sp.pi, 2 * sp.pi, 3 * sp.pi)
    assert real_zeros(2 * sp.cos(2 * z) + 1, z, 0, sp.pi) == (sp.pi / 3, 2 * sp.pi / 3)
    assert real_zeros(sp.log(z) - 1, z, 0, sp.oo) == (sp.E,)
    assert real_zeros(beta * z - 1, z) == (1 / beta,)
    assert real_zeros(beta * z + 1, z, 0, sp.oo) == ()


def test_zeros_close_to_a_double_one():
    tiny = sp.Rational(1, 10**80)
    assert real_zeros(sp.log(z) - z + 1, z, 0, sp.oo) == (1,)
    assert real_zeros(sp.log(z) - z + 1 - tiny, z, 0, sp.oo) == ()
    with pytest.raises(Undecided):  # two zeros, equal to forty digits
        real_zeros(sp.log(z) - z + 1 + tiny, z, 0, sp.oo)


def test_zeros_undecided_and_bad():
    for g in (sp.sin(z), z * sp.sin(z), alpha * z - 1):
        with pytest.raises(Undecided):
            real_zeros(g, z)
    with pytest.raises(Undecided):  # a rounded zero does not prove a zero
        sign_at(z**2 - 2, z, sp.sqrt(2).n(50))
    with pytest.raises(ValueError, match="is 0 all over"):
        real_zeros(sp.tanh(z) - (sp.exp(2 * z) - 1) / (sp.exp(2 * z) + 1), z)


GRID = [mpmath.mpf(k) / 16 + mpmath.mpf(1) / 97 for k in range(-160, 161)]


def smooth_expressions(count, seed):
    """Random smooth expressions: logistic things, bells, polynomials, logarithms."""
    rng = random.Random(seed)

    def number():
        return sp.Rational(rng.randint(-6, 6), rng.choice([1, 2, 3]))

    def atom():
        rate = rng.choice([1, 1, 2, half])
        return rng.choice([
            z,
            z**2,
            sp.exp(rate * z),
            1 / (1 + sp.exp(-rate * z)),
            sp.exp(-(z**2) / 2),
            sp.tanh(rate * z),
            sp.log(1 + sp.exp(rate * z)),
            sp.erf(z),
            sp.sqrt(1 + z**2),
            sp.atan(z),
        ])

    for _ in range(count):
        shape = rng.choice(["sum", "line", "product"])
        if shape == "sum":
            yield number() * atom() + number() * z + number() + half / 7
        elif shape == "line":
            yield atom() - number() * z - number() - half / 7
        else:
            yield number() * z * atom() + number() * z + number() + half / 7


def test_zeros_match_sign_changes():
    decided = 0
    for g in smooth_expressions(12, seed=1):
        if not g.has(z):
            continue
        try:
            zeros = real_zeros(g, z)
        except Undecided:
            continue
        decided += 1
        function = sp.lambdify(z, g, "mpmath")
        with mpmath.workdps(40):
            signs = [mpmath.sign(function(x)) for x in GRID]
            changes = sum(s * t < 0 for s, t in zip(signs, signs[1:]))
            inside = [r for r in zeros if GRID[0] < r < GRID[-1]]
            # A pair of zeros between two points of the grid is not seen by it.
            pairs = sum(bool(abs(r - s) < half / 8) for r, s in zip(inside, inside[1:]))
            assert changes <= len(inside) <= changes + 2 * pairs, g
            for zero in zeros:
                x = precise(zero)
                near = max(abs(function(x * (1 + s) + s)) for s in (-1e-9, 1e-9))
                assert abs(function(x)) <= near * 1e-12, (g, zero)
    assert decided >= 10


# ---- ranges


@pytest.mark.parametrize(
    "g, ends, expected",
    [
        (z, (), sp.Interval(-sp.oo, sp.oo)),
        (sp.exp(z), (), sp.Interval.open(0, sp.oo)),
        (sp.Integer(3), (), {3}),
        (z**2, (-1, 2), sp.Interval.Ropen(0, 4)),
        (z**2, (-2, 2), sp.Interval.Ropen(0, 4)),
        (z**2, (1, 2), sp.Interval.open(1, 4)),
        (z**3 - 3 * z, (-2, 2), sp.Interval(-2, 2)),  # the ends take the same values
        (z**3 - 3 * z, (-3, 2), sp.Interval.Lopen(-18, 2)),
        (SILU, (), sp.Interval(-W(sp.exp(-1)), sp.oo)),
        (sp.sin(z), (), sp.Interval(-1, 1)),
        (sp.sin(z), (0, sp.oo), sp.Interval(-1, 1)),
        (sp.cos(z), (0, sp.pi / 2), sp.Interval.open(0, 1)),
        (z + sp.sin(z), (), sp.Interval(-sp.oo, sp.oo)),
        (1 / z, (0, sp.oo), sp.Interval.open(0, sp.oo)),
        (z * sp.log(z), (0, 1), sp.Interval.Ropen(-sp.exp(-1), 0)),
        (z / (1 + z**2), (), sp.Interval(-half, half)),
        (beta * z, (0, 1), sp.Interval.open(0, beta)),
        (z / (1 + sp.exp(-beta * z)), (), sp.Interval(-W(sp.exp(-1)) / beta, sp.oo)),
    ],
    ids=str,
)
def test_extent(g, ends, expected):
    expected = sp.FiniteSet(*expected) if isinstance(expected, set) else expected
    assert extent(g, z, *ends) == expected


def test_extent_rounded_end():
    found = extent(GELU, z)
    assert found.end == sp.oo and not found.left_open
    with mpmath.workdps(40):
        function = sp.lambdify(z, GELU, "mpmath")
        slope = sp.lambdify(z, sp.diff(GELU, z), "mpmath")
        lowest = function(mpmath.findroot(slope, -0.75))
        assert abs(precise(found.start) - lowest) < 1e-30


def test_extent_holds_what_the_grid_has():
    decided = 0
    for g in smooth_expressions(7, seed=2):
        try:
            found = extent(g, z, -5, 5)
        except Undecided:
            continue
        decided += 1
        function = sp.lambdify(z, g, "mpmath")
        values = [function(x) for x in mpmath.linspace(-5, 5, 401)[1:-1]]
        low, high = (float(end) for end in (found.inf, found.sup))
        size = max(1, abs(low), abs(high))
        assert low - 1e-12 * size <= min(values) <= low + 0.05 * size, g
        assert high - 0.05 * size <= max(values) <= high + 1e-12 * size, g
    assert decided >= 6


# ---- properties

KINDS = {
    "identity": "nondecreasing increasing convex concave odd homogeneous",
    "relu": "nondecreasing convex homogeneous",
    "leaky_relu": "nondecreasing increasing convex homogeneous",
    "prelu": "nondecreasing increasing convex homogeneous",
    "absolute_value": "convex even homogeneous",
    "softplus": "nondecreasing increasing convex",
    "elu": "nondecreasing increasing convex",
    "selu": "nondecreasing increasing",
    "celu": "nondecreasing increasing convex",
    "sigmoid": "nondecreasing increasing",
    "tanh": "nondecreasing increasing odd",
    "gelu": "",
    "silu": "",
    "relu6": "nondecreasing",
    "hardtanh": "nondecreasing odd",
}
SCALE = 1.0507009873554804934193349852946
SELU_EDGE = SCALE * 1.6732632423543772848170429916717
PHI = (1 + mpmath.erf(1)) / 2 + mpmath.exp(-1) / mpmath.sqrt(mpmath.pi)

# Lipschitz constant, range; the digits computed by hand with mpmath or published.
SIZES = {
    "identity": (1, -np.inf, np.inf),
    "relu": (1, 0, np.inf),
    "leaky_relu": (1, -np.inf, np.inf),
    "prelu": (1, -np.inf, np.inf),
    "absolute_value": (1, 0, np.inf),
    "softplus": (1, 0, np.inf),
    "elu": (1, -1, np.inf),
    "selu": (SELU_EDGE, -SELU_EDGE, np.inf),
    "celu": (1, -1, np.inf),
    "sigmoid": (0.25, 0, 1),
    "tanh": (1, -1, 1),
    "gelu": (float(PHI), -0.16997120747990366, np.inf),
    "silu": (1.0998393201288669, -0.27846454276107380, np.inf),
    "relu6": (1, 0, 6),
    "hardtanh": (1, -1, 1),
}
HAS_LOWEST = {"relu", "absolute_value", "gelu", "silu", "relu6", "hardtanh"}


def kinds(found):
    names = set(Properties.__dataclass_fields__) - {"lipschitz", "range"}
    assert all(getattr(found, n) in (sp.true, sp.false) for n in names)
    return {n for n in names if getattr(found, n) == sp.true}


@pytest.mark.parametrize("name", CATALOGUE)
def test_properties_of_the_catalogue(name):
    found = properties(CATALOGUE[name].formula, z)
    assert kinds(found) == set(KINDS[name].split())
    lipschitz, low, high = SIZES[name]
    assert float(found.lipschitz) == pytest.approx(lipschitz, rel=1e-15)
    assert float(found.range.inf) == pytest.approx(low, rel=1e-15)
    assert float(found.range.sup) == pytest.approx(high, rel=1e-15)
    assert (found.range.inf in found.range) == (name in HAS_LOWEST)
    assert (found.range.sup in found.range) == (name in {"relu6", "hardtanh"})


@pytest.mark.parametrize("name", ["leaky_relu", "prelu", "elu", "celu", "softplus"])
def test_symbolic_properties_at_values(name):
    activation = CATALOGUE[name]
    (parameter,) = activation.params
    symbol = activation.symbolic.params[parameter]
    general = properties(activation.symbolic.formula, z)
    values = ["1/3", 2] if symbol.is_positive else [-2, -1, "-1/2", 0, "1/3", 1, 2]
    for value in map(sp.Rational, values):
        special = properties(activation.with_params(**{parameter: value}).formula, z)
        for field in Properties.__dataclass_fields__:
            found = getattr(general, field).xreplace({symbol: value})
            wanted = getattr(special, field)
            if field == "range":
                for y in map(sp.Rational, ["-7/2", -2, -1, "-1/3", 0, "1/3", 1, 2]):
                    assert found.contains(y) == wanted.contains(y), (value, y)
            else:
                assert found == wanted, (field, value)


def test_symbolic_properties():
    leaky = properties(CATALOGUE["leaky_relu"].symbolic.formula.subs(
        sp.Symbol("negative_slope", real=True), alpha), z)
    assert leaky.nondecreasing == (alpha >= 0) and leaky.increasing == (alpha > 0)
    assert leaky.convex == (alpha <= 1) and leaky.lipschitz == sp.Max(1, sp.Abs(alpha))
    assert leaky.even == sp.Eq(alpha, -1) and leaky.odd == sp.Eq(alpha, 1)
    elu = properties(CATALOGUE["elu"].symbolic.formula, z)
    assert elu.convex == (alpha >= 0) & (alpha <= 1) and elu.concave == sp.false
    clipped = properties(CATALOGUE["hardtanh"].symbolic.formula, z)
    lowest, highest = sorted(clipped.range.free_symbols, key=str)[::-1]
    assert clipped.range == sp.Interval(lowest, highest)
    huber = properties(HUBER, z)
    assert huber.lipschitz == width and huber.range == sp.Interval(0, sp.oo)
    assert kinds(huber) == {"convex", "even"}
    line = properties(a * z + b, z)
    assert line.nondecreasing == (a >= 0) and line.odd == sp.Eq(b, 0)
    assert line.range.xreplace({a: sp.S.Zero}) == sp.FiniteSet(b)
    assert line.range.xreplace({a: -sp.S.One}) == sp.S.Reals


@pytest.mark.parametrize(
    "f, expected, lipschitz, image",
    [
        (HARDSWISH, "", sp.Rational(3, 2), sp.Interval(-sp.Rational(3, 8), sp.oo)),
        (sp.Max(0, 1 - z), "nonincreasing convex", 1, sp.Interval(0, sp.oo)),
        (sp.sign(z) * sp.Max(sp.Abs(z) - 1, 0), "nondecreasing odd", 1, sp.S.Reals),
        (sp.sign(z), "nondecreasing odd", sp.oo, sp.FiniteSet(-1, 0, 1)),
        (1 / z, "odd", sp.oo, sp.Union(*(
            sp.Interval.open(-sp.oo, 0), sp.Interval.open(0, sp.oo)))),
        (sp.log(z), "nondecreasing increasing concave", sp.oo, sp.S.Reals),
        (sp.sqrt(z), "nondecreasing increasing concave", sp.oo, sp.Interval(0, sp.oo)),
        (sp.sqrt(sp.Abs(z)), "even", sp.oo, sp.Interval(0, sp.oo)),
        (z + sp.sin(z) ** 2, "nondecreasing increasing", 2, sp.S.Reals),
        (z / (1 + sp.Abs(z)), "nondecreasing increasing odd", 1,
         sp.Interval.open(-1, 1)),
        (sp.Max(0, z) ** 2, "nondecreasing convex", sp.oo, sp.Interval(0, sp.oo)),
        (sp.Max(0, z) - sp.Max(0, -z),
         "nondecreasing increasing convex concave odd homogeneous", 1, sp.S.Reals),
        (sp.Piecewise((z, z > 1), (0, True)), "nondecreasing", sp.oo,
         sp.Union({0}, sp.Interval.open(1, sp.oo))),
        (sp.Piecewise((0, z < 1), (1, z <= 1), (0, True)), "", sp.oo,
         sp.FiniteSet(0, 1)),
        # The end that the first piece leaves open belongs to the second.
        (sp.Piecewise((sp.exp(z), z < 0), ((z - 1) ** 2, True)), "", sp.oo,
         sp.Interval(0, sp.oo)),
        # At the end of its domain a convex function may jump up.
        (sp.Piecewise((sp.nan, z < 0), (1, z <= 0), (z, True)), "convex", sp.oo,
         sp.Interval.open(0, sp.oo)),
        (sp.Integer(2), "nondecreasing nonincreasing convex concave even", 0, {2}),
    ],
    ids=str,
)
def test_properties_of_others(f, expected, lipschitz, image):
    found = properties(f, z)
    assert kinds(found) == set(expected.split())
    assert found.lipschitz == lipschitz and found.range == image


def test_mish():
    # Misra (2020) gives the least value as -0.31 (to two digits).
    found = properties(MISH, z)
    assert kinds(found) == set()
    with mpmath.workdps(40):
        f, df, d2f = (sp.lambdify(z, sp.diff(MISH, z, k), "mpmath") for k in range(3))
        lowest = f(mpmath.findroot(df, -1.2))
        steepest = df(mpmath.findroot(d2f, 1.49))
        assert abs(precise(found.range.inf) - lowest) < 1e-29
        assert abs(precise(found.lipschitz) - steepest) < 1e-29


def test_undecided_is_kept_beside_the_rest():
    found = properties(sp.sin(z) / z, z)
    assert found.even == sp.true and isinstance(found.range, Undecided)
    assert "undecided: cannot" in str(found)
    jump = properties(sp.Piecewise((z, z > 0), (z + a, True)), z)
    assert jump.nondecreasing == (a <= 0) and jump.convex == sp.Eq(a, 0)
    assert isinstance(jump.lipschitz, Undecided)


def test_rendering():
    found = properties(CATALOGUE["prelu"].symbolic.formula, z)
    assert "nonincreasing no" in str(found) and "init >= 0" in str(found)
    table = found._repr_markdown_().splitlines()
    assert len(table) == 2 + len(Properties.__dataclass_fields__)
    assert r"| convex | $\alpha \leq 1$ |" in table


# ---- subgradients


@pytest.mark.parametrize(
    "slope, f, at, expected",
    [
        (0, sp.Max(0, z), 0, True),
        (1, sp.Max(0, z), 0, True),
        (half, sp.Max(0, z), 0, True),
        (sp.Rational(-1, 100), sp.Max(0, z), 0, False),
        (sp.Rational(101, 100), sp.Max(0, z), 0, False),
        (half, sp.Max(0, z), 1, False),
        (1, sp.Max(0, z), 1, True),
        (half, sp.log(1 + sp.exp(z)), 0, True),
        (sp.E, sp.exp(z), 1, True),
        (0, -sp.Abs(z), 0, False),
        (0, z**3, 0, False),  # a stationary point is none of a minimum
        (half, SILU, 0, True),  # z*tanh(z/2)/2 above the tangent
        (sp.diff(SILU, z).subs(z, -3), SILU, -3, False),  # concave there
        (0, SILU, -1 - W(sp.exp(-1)), True),
        (0, z**2 * (z - 1) ** 2, 1, True),  # a tie far away
        (0, sp.Min(sp.Abs(z), sp.Abs(z - 3) - half), 0, False),  # only a local minimum
        (0, sp.sin(z), -sp.pi / 2, True),
        (0, sp.sqrt(z), 0, True),
        (5, sp.sqrt(z), 0, False),
        (-3, sp.sqrt(sp.Abs(z)), 0, False),  # locally, not at large z
        (0, sp.sign(z), 0, False),
        (0, sp.Piecewise((1, z > 0), (0, True)), 0, True),
        (0, sp.Piecewise((0, sp.Ne(z, 2)), (-1, True)), 0, False),  # a single point
    ],
    ids=str,
)
def test_is_subgradient(slope, f, at, expected):
    assert is_subgradient(slope, f, z, at) is expected


def test_is_subgradient_agrees_with_a_grid():
    grid = np.linspace(-6, 6, 241)
    for name in ("absolute_value", "elu", "hardtanh"):
        formula = CATALOGUE[name].formula
        heights = CATALOGUE[name](grid)
        for at in (-1, 0):
            value = CATALOGUE[name](float(at))
            for slope in (-1.25, -0.5, 0.0, 0.5, 1.0):
                above = (heights >= value + slope * (grid - at) - 1e-12).all()
                exact = sp.Rational(str(slope))
                if not above:
                    assert not is_subgradient(exact, formula, z, at)
                elif name != "hardtanh":  # falls below its tangents outside the grid
                    assert is_subgradient(exact, formula, z, at)


def test_is_subgradient_with_parameters():
    leaky = sp.Piecewise((z, z > 0), (beta * z, True))
    assert is_subgradient(1 + beta, leaky, z, 0) is False
    assert is_subgradient(0, HUBER, z, 0) is True
    with pytest.raises(Undecided):
        is_subgradient(half, leaky, z, 0)
    with pytest.raises(ValueError, match="Symbol"):
        is_subgradient(sp.Symbol("s"), leaky, z, 0)
