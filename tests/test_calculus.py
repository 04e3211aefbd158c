"""The calculus on functions whose slopes were worked out by hand, and its refusals.

`test_calculus_generated.py` sets it against numbers and against the second method.
"""

import mpmath
import pytest
import sympy as sp

from relubook.activations import CATALOGUE, Activation
from relubook.calculus import (
    Discontinuous,
    NoSlope,
    OutsideDomain,
    Undecided,
    clarke_subdifferential,
    derivative,
    is_subgradient,
    kinks,
    one_sided_derivative,
    one_sided_derivatives,
    pieces,
    properties,
    second_derivative_distribution,
    smoothness,
)
from relubook.calculus.expansions import sign

z, alpha, a, b = sp.symbols("z alpha a b", real=True)
beta, delta, p = sp.symbols("beta delta p", positive=True)
oo, pi, one = sp.oo, sp.pi, sp.S.One
Max, Min, Abs, P, sqrt = sp.Max, sp.Min, sp.Abs, sp.Piecewise, sp.sqrt

# Published functions: each kink with its slopes by hand, and the class C^k.
PUBLISHED = {
    "relu": (Max(0, z), {0: (0, 1)}, 0),
    "leaky relu, Maas 2013": (Max(0, z) + Min(0, z) / 100, {0: (one / 100, 1)}, 0),
    "CReLU's negative half, Shang 2016": (Max(0, -z), {0: (-1, 0)}, 0),
    "relu6": (Min(Max(0, z), 6), {0: (0, 1), 6: (1, 0)}, 0),
    "hard tanh": (Max(-1, Min(1, z)), {-1: (0, 1), 1: (1, 0)}, 0),
    "hard sigmoid": (
        Min(Max(z + 3, 0), 6) / 6, {-3: (0, one / 6), 3: (one / 6, 0)}, 0
    ),
    "hard swish, Howard 2019": (
        z * Min(Max(z + 3, 0), 6) / 6, {-3: (0, -one / 2), 3: (3 * one / 2, 1)}, 0
    ),
    "SReLU, Jin 2016": (
        P((2 + (z - 2) / 4, z >= 2), (z, z > -1), (-1 + (z + 1) / 3, True)),
        {-1: (one / 3, 1), 2: (1, one / 4)}, 0,
    ),
    "squared relu, So 2021": (Max(0, z) ** 2, {}, 1),
    "cubed relu": (Max(0, z) ** 3, {}, 2),
    "hinge loss": (Max(0, 1 - z), {1: (-1, 0)}, 0),
    "squared hinge": (Max(0, 1 - z) ** 2, {}, 1),
    "Huber 1964": (P((z**2 / 2, Abs(z) <= 1), (Abs(z) - one / 2, True)), {}, 1),
    "soft threshold": (
        sp.sign(z) * Max(Abs(z) - 1, 0), {-1: (1, 0), 1: (0, 1)}, 0
    ),
    "epsilon-insensitive loss": (Max(0, Abs(z) - 1), {-1: (-1, 0), 1: (0, 1)}, 0),
    "pinball loss": (Max(z / 4, -3 * z / 4), {0: (-3 * one / 4, one / 4)}, 0),
    "softsign": (z / (1 + Abs(z)), {}, 1),
    "bent identity": ((sqrt(z**2 + 1) - 1) / 2 + z, {}, oo),
    "squareplus": ((z + sqrt(z**2 + 4)) / 2, {}, oo),
    "ISRLU, Carlile 2017": (P((z, z >= 0), (z / sqrt(1 + z**2), True)), {}, 2),
    "mish, Misra 2019": (z * sp.tanh(sp.log(1 + sp.exp(z))), {}, oo),
    "snake, Ziyin 2020": (z + sp.sin(z) ** 2, {}, oo),
    "logcosh": (sp.log(sp.cosh(z)), {}, oo),
    "hat": (Max(0, 1 - Abs(z)), {-1: (0, 1), 0: (1, -1), 1: (-1, 0)}, 0),
    "modulus of sqrt": (sqrt(Abs(z)), {0: (-oo, oo)}, 0),
    "square root of a square": (sqrt((z - 2) ** 2), {2: (-1, 1)}, 0),
    "a tie below the maximum": (Max(z, -z, 1), {-1: (-1, 0), 1: (0, 1)}, 0),
    "boundaries that are no kinks": (
        P((z, z > 1), (z, z > 0), (sp.sin(z), True)), {}, 2
    ),
    "three halves": (Abs(z) ** (3 * one / 2), {}, 1),
    "kinks that cancel": (Abs(z) - Max(z, 0) - Max(-z, 0), {}, oo),
}
published = pytest.mark.parametrize("name", PUBLISHED)


@published
def test_kinks_of_published_functions(name):
    f, wanted, _ = PUBLISHED[name]
    assert kinks(f, z) == sp.FiniteSet(*wanted)
    for at, slopes in wanted.items():
        assert one_sided_derivatives(f, z, at) == slopes


@published
def test_smoothness_of_published_functions(name):
    f, _, order = PUBLISHED[name]
    assert smoothness(f, z).order == order


@published
def test_derivative_is_the_slope_where_the_two_agree(name):
    f, wanted, _ = PUBLISHED[name]
    found = derivative(f, z)
    for at in (-7, -3, -2, -1, -one / 3, 0, one / 3, 1, 2, 3, 7):
        value, slopes = found.subs(z, at), one_sided_derivatives(f, z, at)
        if at in wanted:
            assert value is sp.nan
        else:
            assert slopes.left == slopes.right
            assert abs(sp.N(value, 40) - sp.N(slopes.left, 40)) < 1e-30


@published
def test_pieces_are_the_function(name):
    f, _, _ = PUBLISHED[name]
    cells = pieces(f, z)
    assert cells[0][0] == -oo and cells[-1][1] == oo
    for (lower, upper, piece), following in zip(cells, [*cells[1:], None]):
        assert following is None or following[0] == upper
        assert not piece.has(Max, Min, Abs, P, sp.sign)
        for at in (-13 * one / 3, -one / 2, one / 7, one / 2, 5 * one / 2, 99):
            if lower < at < upper:
                assert sign(piece.subs(z, at) - f.subs(z, at)) == 0


SYMBOLIC = {
    "leaky_relu": sp.Symbol("negative_slope", real=True),
    "prelu": sp.Symbol("init", real=True),
    "elu": alpha,
}


@pytest.mark.parametrize("name, slope", SYMBOLIC.items())
def test_the_family_with_symbolic_parameters(name, slope):
    activation = CATALOGUE[name].symbolic
    assert activation.one_sided_derivatives() == (slope, 1)
    assert activation.kinks.xreplace({slope: one}) == sp.EmptySet
    assert activation.kinks.xreplace({slope: 3 * one}) == {0}
    smooth = {"elu": 1}.get(name, oo)
    order = activation.smoothness.order
    assert order.subs(slope, 1) == smooth and order.subs(slope, 3) == 0
    masses = second_derivative_distribution(activation.formula, z).masses
    assert masses == {0: 1 - slope}


def test_the_rest_of_the_catalogue():
    assert CATALOGUE["celu"].symbolic.smoothness.order == 1
    assert CATALOGUE["softplus"].symbolic.kinks == sp.EmptySet
    assert CATALOGUE["absolute_value"].one_sided_derivatives() == (-1, 1)
    low, high = CATALOGUE["hardtanh"].symbolic.kinks
    assert {low.name, high.name} == {"min_val", "max_val"}
    own = Activation("own", Max(0, a * z), {"a": 2})
    assert own.kinks == {0} and own.one_sided_derivatives() == (0, 2)


def test_points_named_by_parameters():
    hat = Max(0, delta - Abs(z))
    assert one_sided_derivatives(hat, z, delta) == (-1, 0)
    assert one_sided_derivatives(hat, z, -delta) == (0, 1)
    assert kinks(hat, z) == {-delta, 0, delta}
    huber = P((z**2 / 2, Abs(z) <= delta), (delta * (Abs(z) - delta / 2), True))
    assert kinks(huber, z) == sp.EmptySet
    assert smoothness(huber, z).order == 1


def test_a_tie_of_symbolic_pieces():
    a1, a2, a3, c = sp.symbols("a1:4 c", real=True)
    unit = Max(a1 * z + c, a2 * z + c, a3 * z + c)
    assert one_sided_derivatives(unit, z, 0) == (Min(a1, a2, a3), Max(a1, a2, a3))
    assert kinks(unit, z).xreplace({a1: one, a2: one, a3: one}) == sp.EmptySet
    assert kinks(unit, z).xreplace({a1: one, a2: 2 * one, a3: one}) == {0}


def test_infinitely_many_kinks():
    n = sp.Symbol("n", integer=True)
    everywhere = kinks(Abs(sp.sin(z)), z)
    assert all(k * pi in everywhere for k in (-3, 0, 5)) and pi / 2 not in everywhere
    assert one_sided_derivatives(Abs(sp.sin(z)), z, pi * n) == (-1, 1)
    half = kinks(P((Abs(sp.sin(z)), z > 0), (0, True)), z)
    assert pi in half and 0 in half and -pi not in half
    assert kinks(Max(0, sp.sin(z)) ** 2, z) == sp.EmptySet
    assert derivative(Max(0, sp.sin(z)) ** 2, z).subs(z, pi) == 0
    assert derivative(Abs(sp.sin(z)), z).subs(z, pi) is sp.nan
    assert smoothness(Abs(sp.sin(z)), z).order == 0
    found = second_derivative_distribution(Abs(sp.sin(z)), z)
    assert [(at.subs(at.free_symbols.pop(), 1), mass) for at, mass in
            found.masses.items()] == [(pi, 2)]
    assert found.regular.subs(z, pi / 2) == -1


PATCHED = {
    "z sin(1/z)": z * sp.sin(1 / z),
    "z² sin(1/z)": z**2 * sp.sin(1 / z),
    "z log|z|": z * sp.log(Abs(z)),
    "exp(-1/z²)": sp.exp(-1 / z**2),
    "sin(1/z)": sp.sin(1 / z),
    "sin(z)/z": sp.sin(z) / z,
    "z atan(1/z)": z * sp.atan(1 / z),
    "log": 1 / sp.log(Abs(z)),
    "two waves": z * sp.sin(1 / z) * sp.cos(1 / z),
}


def patched(name, value=0):
    return P((PATCHED[name], sp.Ne(z, 0)), (value, True))


def test_functions_patched_at_a_point():
    assert one_sided_derivatives(patched("z² sin(1/z)"), z, 0) == (0, 0)
    assert one_sided_derivatives(patched("z log|z|"), z, 0) == (-oo, -oo)
    assert one_sided_derivatives(patched("log"), z, 0) == (oo, -oo)
    assert one_sided_derivatives(patched("exp(-1/z²)"), z, 0) == (0, 0)
    assert one_sided_derivatives(patched("sin(z)/z", 1), z, 0) == (0, 0)
    assert one_sided_derivatives(patched("z atan(1/z)"), z, 0) == (-pi / 2, pi / 2)
    assert derivative(patched("z² sin(1/z)"), z).subs(z, 0) == 0


def test_each_refusal_has_its_own_class():
    cases = {
        NoSlope: [(patched("z sin(1/z)"), 0)],
        Discontinuous: [
            (sp.Heaviside(z), 0), (sp.floor(z), 3), (patched("sin(z)/z"), 0),
            (patched("sin(1/z)"), 0), (P((1 / z, sp.Ne(z, 0)), (0, True)), 0),
            (sp.acot(z), 0),
        ],
        OutsideDomain: [
            (sqrt(z), -1), (sqrt(z), 0), (sp.log(z), 0), (sp.asin(z), 1),
            (sp.asin(z), 2), (1 / z, 0), (sp.tan(z), pi / 2), (z**z, 0),
            (sp.acosh(z), 1), (P((z, z > 0)), 0), (P((z, z >= 0)), 0),
            (sp.sin(z) / z, 0), (sp.cbrt(z), 0),
        ],
        Undecided: [
            (Max(a * z + 1, b), 0), (Abs(z) ** p, 0), (sp.gamma(z), 1),
            (P((z, a > 0), (-z, True)), 0), (sp.log(a + z), 0), (z / a, 0),
            (patched("two waves"), 0), (sp.floor(z + a), 0),
        ],
    }
    for error, examples in cases.items():
        for f, at in examples:
            with pytest.raises(error):
                one_sided_derivatives(f, z, at)


def test_the_side_that_exists():
    assert one_sided_derivative(sqrt(z), z, 0, "right") == oo
    assert one_sided_derivative(sp.asin(z), z, 1, "left") == oo
    assert one_sided_derivative(z ** (3 * one / 2), z, 0, "right") == 0
    assert one_sided_derivative(P((z, z >= 0)), z, 0, "right") == 1
    assert one_sided_derivative(sp.Heaviside(z, 1), z, 0, "right") == 0
    assert one_sided_derivative(sp.floor(z), z, 2, "right") == 0
    with pytest.raises(ValueError, match="side='up'; wanted 'left' or 'right'"):
        one_sided_derivative(z, z, 0, "up")


def test_undecided_names_the_condition():
    cases = {
        "the sign of b - 1": (Max(a * z + 1, b), 0),
        "the sign of p - 1": (Abs(z) ** p, 0),
        "whether a > 0 holds": (P((z, a > 0), (-z, True)), 0),
        "no rule for gamma": (sp.gamma(z), 1),
        "oscillates": (sp.sqrt(Abs(patched("z sin(1/z)"))), 0),
    }
    for message, (f, at) in cases.items():
        with pytest.raises(Undecided) as caught:
            one_sided_derivatives(f, z, at)
        assert message in str(caught.value).replace("1 - b", "b - 1")


def test_identities_that_only_simplification_sees():
    zero = sp.sin(z) ** 2 + sp.cos(z) ** 2 - 1
    assert one_sided_derivatives(sqrt(zero + z**2), z, 0) == (-1, 1)
    assert one_sided_derivatives(Abs(zero) + z, z, 0) == (1, 1)
    late = sp.exp(z) - 1 - z - z**2 / 2 - z**3 / 6
    assert one_sided_derivatives(Abs(late) / z**3, z, 1) is not None
    assert one_sided_derivatives(P((late / Abs(z) ** 3, z > 0), (0, True)), z, 0) == (
        0, one / 24)


def test_decimals_are_exact():
    f = Max(0.1 * z, 0.3 * z - 0.2)
    assert kinks(f, z) == {1}
    assert one_sided_derivatives(f, z, 1.0) == (one / 10, 3 * one / 10)


def test_clarke():
    assert clarke_subdifferential(Max(0, z), z, 0) == sp.Interval(0, 1)
    assert clarke_subdifferential(-Abs(z), z, 0) == sp.Interval(-1, 1)
    assert clarke_subdifferential(Max(0, z), z, 2) == {1}
    leaky = Max(0, z) + alpha * Min(0, z)
    found = clarke_subdifferential(leaky, z, 0)
    assert found.subs(alpha, 3) == sp.Interval(1, 3)
    assert found.subs(alpha, -1) == sp.Interval(-1, 1)
    with pytest.raises(ValueError, match="not Lipschitz near z = 0"):
        clarke_subdifferential(sqrt(Abs(z)), z, 0)
    with pytest.raises(Undecided, match="what the derivative .* tends to"):
        clarke_subdifferential(patched("z² sin(1/z)"), z, 0)


def test_smoothness_at_ends_and_beyond():
    assert smoothness(sqrt(z), z).order == 0
    assert smoothness(z ** (5 * one / 2), z).order == 2
    assert smoothness(sp.log(z), z).order == oo
    assert smoothness(sp.tan(z), z).order == oo
    assert smoothness(sp.Heaviside(z), z) .order == -1
    assert smoothness(Abs(z) ** 21, z).order == 20
    assert smoothness(patched("sin(z)/z"), z).order == -1
    for f in (patched("exp(-1/z²)"), patched("z² sin(1/z)"), Abs(z) ** p):
        with pytest.raises(Undecided):
            smoothness(f, z)


def test_second_derivative():
    found = second_derivative_distribution(Max(0, z) ** 2 / 2 + Abs(z - 1), z)
    assert found.masses == {1: 2}
    assert found.regular.subs(z, 3) == 1 and found.regular.subs(z, -3) == 0
    hat = second_derivative_distribution(Max(0, 1 - Abs(z)), z)
    assert hat.regular == 0 and hat.masses == {-1: 1, 0: -2, 1: 1}
    cases = {
        Discontinuous: sp.Heaviside(z),
        OutsideDomain: sqrt(z),
        Undecided: patched("z² sin(1/z)"),
        NoSlope: patched("z sin(1/z)"),
    }
    for error, f in cases.items():
        with pytest.raises(error):
            second_derivative_distribution(f, z)
    with pytest.raises(ValueError, match="is no sum of a function and point masses"):
        second_derivative_distribution(sqrt(Abs(z)), z)


@pytest.mark.parametrize("f", [Max(0, z), sp.sin(z) * Abs(z - 1) + Max(z, z**2)])
def test_second_derivative_against_a_test_function(f):
    """The integral of f φ'' is that of φ f'' and the masses, for a φ that decays."""
    phi = sp.exp(-(z**2))
    found = second_derivative_distribution(f, z)

    def integral(g):
        cuts = [-9, *sorted(map(float, found.masses)), 9]
        return mpmath.quad(sp.lambdify(z, g, "mpmath"), cuts)

    points = sum(mass * phi.subs(z, at) for at, mass in found.masses.items())
    left, right = integral(f * sp.diff(phi, z, 2)), integral(found.regular * phi)
    assert abs(left - right - points) < 1e-12


BAD = {
    "f as text": (("z**2", z, 0), TypeError, "f='z\\*\\*2' is a str; wanted a SymPy"),
    "f complex": ((sp.I * z, z, 0), ValueError, "contains the imaginary unit"),
    "z as text": ((z, "z", 0), TypeError, "z='z' is a str; wanted a SymPy Symbol"),
    "z not real": (
        (sp.Symbol("x") ** 2, sp.Symbol("x"), 0), ValueError, "Symbol\\('x', real=True"
    ),
    "two variables": (
        (z * sp.Symbol("w"), z, 0), ValueError, "parameter w, .*Symbol\\('w', real=True"
    ),
    "another z": ((sp.Symbol("z") ** 2, z, 0), ValueError, "another symbol called z"),
    "point not real": ((z, z, sp.I), ValueError, "at=I is not a real number"),
    "point infinite": ((z, z, oo), ValueError, "at=oo is not a real number"),
    "point nan": ((z, z, float("nan")), ValueError, "at=nan is not a real number"),
    "point is text": ((z, z, "0"), TypeError, "at='0' .*wanted a real number"),
    "point holds z": ((z, z, z + 1), ValueError, "contains z itself"),
    "point without assumption": (
        (z, z, sp.Symbol("t")), ValueError, "at=t has the parameter t"
    ),
    "point is None": ((z, z, None), TypeError, "at=None is a NoneType"),
    "point perhaps not real": (
        (z, z, sp.log(a)), ValueError, "at=log\\(a\\) is not known to be real"
    ),
    "z more than real": (
        (beta, beta, 1), ValueError, "z=beta is declared to be more than real"
    ),
    "f infinite": ((Min(), z, 0), ValueError, "f=oo is not a function"),
    "f nan": ((sp.nan, z, 0), ValueError, "f=nan is not a function"),
    "lambda": ((sp.Lambda(z, z), z, 0), TypeError, "wanted a SymPy expression"),
    "list": (([z], z, 0), TypeError, "f=\\[z\\] is a list"),
    "relation": ((z > 0, z, 0), TypeError, "wanted a SymPy expression in z"),
    "bool": ((True, z, 0), TypeError, "f=True is a bool"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    arguments, error, message = BAD[case]
    for function in (one_sided_derivatives, clarke_subdifferential):
        with pytest.raises(error, match=message):
            function(*arguments)


@pytest.mark.parametrize(
    "function", [kinks, pieces, derivative, smoothness, second_derivative_distribution]
)
def test_bad_expressions_everywhere(function):
    for case in ("f as text", "f complex", "z as text", "z not real", "two variables"):
        (f, variable, _), error, message = BAD[case]
        with pytest.raises(error, match=message):
            function(f, variable)


def test_floats_keep_all_their_digits():
    assert one_sided_derivatives(Abs(z - (0.1 + 0.2)), z, 0.1 + 0.2) == (-1, 1)
    assert one_sided_derivatives(Abs(z - 3.141592653589793), z, sp.pi) == (1, 1)
    assert not is_subgradient(1.0000000000000002, Max(0, z), z, 0)


def test_large_constants_do_not_hang():
    gelu = z * (1 + sp.erf(z / sqrt(2))) / 2
    for f in (gelu, z * sp.tanh(sp.log(1 + sp.exp(z)))):
        left, right = one_sided_derivatives(f, z, 1000)
        assert left == right and abs(left.evalf(20) - 1) < 1e-18


def test_conditions_and_families_without_a_rule():
    inside = sp.Contains(z, sp.Interval(0, oo), evaluate=False)
    for f in (P((z, inside), (0, True)), Abs(sp.sin(sp.exp(z))), Abs(sp.sin(z**2))):
        for function in (kinks, smoothness):
            with pytest.raises(Undecided):
                function(f, z)
    for value in vars(properties(Max(0, z) ** p, z)).values():
        assert value in (sp.true, sp.false) or isinstance(value, (Undecided, sp.Basic))
    assert properties(P((0, sp.Eq(z, 0))), z).range == {0}
    with pytest.raises(OutsideDomain, match="is not defined anywhere"):
        properties(sqrt(-1 - z**2), z)


def test_undecided_rather_than_a_guess_about_where_edges_are():
    with pytest.raises(Undecided, match="is 0"):
        kinks(Abs(sp.exp(z) - z**2 - 3), z)
    with pytest.raises(Undecided, match="no rule for gamma"):
        smoothness(sp.gamma(z), z)
    with pytest.raises(Undecided, match="infinitely many"):
        pieces(Abs(sp.sin(z)), z)


def test_sympy_itself_is_wrong_here():
    """Why this package exists; if SymPy is repaired, chapter 2 must say so."""
    relu = P((z, z > 0), (0, True))
    assert sp.limit(sp.diff(relu, z), z, 0, "+") == 0
    assert sp.diff(Max(0, z), z).subs(z, 0) == one / 2
    assert sp.is_monotonic(Max(0, z)) is False
