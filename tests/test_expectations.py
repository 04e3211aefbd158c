"""The helpers of tests: each message, and that nothing but right data passes."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relubook.activations import CATALOGUE, softplus
from relubook.grading import checking, expectations
from relubook.grading.expectations import (
    as_entries,
    as_numbers,
    expect,
    expect_between,
    expect_equal_expressions,
    expect_raises,
    expect_ulps,
    secret_rng,
)

z = sp.Symbol("z", real=True)
a = sp.Symbol("a", real=True)
HEAVISIDE = sp.Piecewise((1, z > 0), (0, True))
RELU = sp.Piecewise((z, z > 0), (0, True))
nan, inf = float("nan"), float("inf")


def message(helper, *args, **kwargs):
    """What `helper` says about a wrong answer."""
    with pytest.raises(AssertionError) as raised:
        helper(*args, **kwargs)
    return str(raised.value)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (1.0, 1),
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (np.array(2.0), 2.0),
        ([1, 2], np.array([1.0, 2.0])),
        ((1, 2), [1, 2]),
        ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
        ([np.ones(2), np.zeros(2)], np.array([[1, 1], [0, 0]])),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        ([], np.zeros(0)),
        ([nan, inf, -inf, -0.0], np.array([nan, inf, -inf, 0.0])),
        (1 + 2j, 1 + 2j),
        (np.array([1 + 1e-9]), np.array([1.0])),
        (np.uint8([1, 0]), np.array([1, 0])),
        (torch.tensor([1.0, 2.0], requires_grad=True), np.array([1.0, 2.0])),
        (torch.tensor([1.0], dtype=torch.bfloat16), [1.0]),
        (torch.nn.Parameter(torch.zeros(2)), [0, 0]),
        ((np.ones(2), np.ones((2, 3))), (np.ones(2), np.ones((2, 3)))),
        ([torch.ones(2), torch.ones(3)], [np.ones(2), np.ones(3)]),
        ({"w": np.ones(2), "b": 0.0}, {"b": 0.0, "w": [1, 1]}),
        ({1, 2}, {2, 1}),
        ("flat", "flat"),
        (np.True_, True),
        (np.array([True, False]), [True, False]),
        (None, None),
        (2**80, 2.0**80),  # beyond NumPy's integers
    ],
)
def test_right_answers_pass(got, want):
    expect(got, want)


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (None, 1.0, "got nothing (None): is a return missing?"),
        (None, np.ones(3), "got nothing (None): is a return missing?"),
        (None, "flat", "got nothing (None): is a return missing?"),
        (None, (np.ones(2), "x"), "got nothing (None): is a return missing?"),
        (..., 1.0, "got ...: replace the three dots by your answer"),
        (np.ones(3), np.ones((3, 1)), "got shape (3,), expected (3, 1)"),
        (np.ones(1), 1.0, "got shape (1,), expected a single value"),
        (1.0, np.ones(1), "got shape (), expected (1,)"),
        (2.0, 3.0, "got 2.0, expected 3.0"),
        (2, 3, "got 2, expected 3"),
        (np.array([1.0, nan, 3.0]), [1, 2, 3],
         "entry 1: got nan, expected 2; 1 of 3 differ"),
        ([1.0, 2.0], [nan, 2.0], "entry 0: got 1.0, expected nan; 1 of 2 differ"),
        ([inf, 2.0], [-inf, 2.0], "entry 0: got inf, expected -inf; 1 of 2 differ"),
        (1e308, inf, "got 1e+308, expected inf"),
        (inf, 1e308, "got inf, expected 1e+308"),
        (np.array([[0, 0, -0.5], [1, 1, 0]]), np.array([[0, 0, 0.0], [1, 2, 0]]),
         "entry (0, 2): got -0.5, expected 0.0; 2 of 6 differ"),
        ("1.0", 1.0, "got '1.0', expected a number"),
        ([[1], [1, 2]], np.ones((2, 2)), "got [[1], [1, 2]], expected an array"),
        (np.array([1, "x"], dtype=object), np.ones(2),
         "got dtype object, expected numbers"),
        (1, True, "got 1 of dtype int64, expected True"),
        (np.ones(2), [True, True], "got dtype float64, expected bool"),
        ("steep", "flat", "got 'steep', expected 'flat'"),
        (1.0, "flat", "got 1.0, expected 'flat'"),
        ((1, 2), (np.ones(2), 2), "entry 0: got shape (), expected (2,)"),
        ((np.ones(2),), (np.ones(2), "x"), "got 1 entries, expected 2"),
        (3.0, (np.ones(2), "x"), "got 3.0, expected 2 entries"),
        ({"w": 1}, {"w": 2}, "key 'w': got 1, expected 2"),
        ({"w": 1}, {"b": 1}, "got the keys ['w'], expected ['b']"),
        ([("w", 1)], {"w": 1}, "got [('w', 1)], expected a dict"),
        ({1}, {2}, "got {1}, expected {2}"),
        ([1], {1}, "got [1], expected a set"),
        (0, None, "got 0, expected None"),
        (2**70, 1.0, f"got {2.0**70}, expected 1.0"),
        (10**400, 1.0, f"got {str(10**400)[:200]}..., expected a number"),
        (sp.Rational(1, 2), 0.5, "got 1/2, expected a number"),
    ],
)
def test_wrong_answers_fail_with_what_came_and_what_was_wanted(got, want, said):
    assert message(expect, got, want) == said
    assert message(expect, got, want, what="the loss") == f"the loss: {said}"


def test_dtype_counts_only_where_it_is_asked_for():
    got = np.ones(2, dtype=np.float32)
    expect(got, np.ones(2))
    expect(got, np.ones(2), dtype=np.float32)
    said = message(expect, got, np.ones(2), dtype=float)
    assert said == "got dtype float32, expected float64"


def test_tolerances():
    expect(1.001, 1.0, rtol=1e-2)
    expect(1e-9, 0.0, atol=1e-8)
    message(expect, 1e-300, 0.0)
    message(expect, 1.001, 1.0)
    message(expect, 10**9 + 1, 10**9)  # whole numbers are compared exactly
    expect(10**9 + 1, 10**9, atol=1)
    expect(np.uint8([1]), np.uint8([2]), atol=1)  # and do not wrap round
    message(expect, np.uint8([0]), np.uint8([255]), atol=1)


def test_a_reference_that_is_no_data_is_the_tests_mistake():
    with pytest.raises(TypeError, match="want="):
        expect(1.0, object())


def test_between():
    expect_between([0.0, 0.5, 1.0], 0 * np.ones(3), np.ones(3))
    expect_between(0.3, 0, 1)
    expect_between(1.05, 0, 1, atol=0.1)
    expect_between(inf, 0, inf)
    assert message(expect_between, 1.5, 0.0, 1.0) == (
        "got 1.5, expected a value from 0.0 to 1.0")
    assert message(expect_between, [0.5, nan], [0, 0], [1, 1]) == (
        "entry 1: got nan, expected a value from 0 to 1; 1 of 2 differ")
    assert message(expect_between, 0.5, np.zeros(2), 1) == "got shape (), expected (2,)"
    assert "missing" in message(expect_between, None, 0, 1)
    assert message(expect_between, 1j, 0, 1) == (
        "got dtype complex128, expected float64")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ulps_agree_with_mpmath(dtype):
    points = np.array([-40, -3, -0.1, 0.0, 0.7, 5, 11], dtype=dtype)
    with mpmath.workprec(200):
        exact = [mpmath.log1p(mpmath.exp(mpmath.mpf(float(x)))) for x in points]
        want = np.array([np.longdouble(mpmath.nstr(x, 25)) for x in exact])
    got = want.astype(dtype)
    expect_ulps(got, want, 0.5)
    beyond = np.nextafter(np.nextafter(got, dtype(inf)), dtype(inf))
    expect_ulps(beyond, want, 3)
    message(expect_ulps, beyond, want, 1)
    expect_ulps(softplus(points), want, 4)


def test_ulps_at_extremes():
    tiny = np.finfo(float).smallest_subnormal
    expect_ulps(np.array([tiny, inf, nan, -inf]), [2 * tiny, inf, nan, -inf], 1)
    assert message(expect_ulps, 2 * tiny, 5 * tiny, 2).endswith("ulp, not 3")
    expect_ulps(np.float32(inf), 1e300, 0)  # rounds to infinity
    message(expect_ulps, inf, 1.0, 1e300)
    message(expect_ulps, nan, 1.0, 1e300)
    message(expect_ulps, np.finfo(float).max, inf, 10)
    assert message(expect_ulps, 1, 1.0, 2) == "got dtype int64, expected floating point"
    assert "missing" in message(expect_ulps, None, 1.0, 2)
    assert message(expect_ulps, np.ones(2), 1.0, 2) == (
        "got shape (2,), expected a single value")


def test_raises():
    def negative(x):
        if x < 0:
            raise ValueError("no")
        return x

    expect_raises(ValueError, negative, -1)
    assert message(expect_raises, ValueError, negative, 1) == (
        "returned 1, expected it to raise ValueError")
    assert message(expect_raises, KeyError, negative, -1) == (
        "raised ValueError: no, expected KeyError")
    assert "missing" in message(expect_raises, TypeError, None, 1)
    with pytest.raises(TypeError, match="wanted a class such as"):
        expect_raises(Exception, negative, -1)


def test_raises_lets_the_graders_own_exceptions_through():
    class Stopped(Exception):
        pass

    def stopped():
        raise Stopped

    with pytest.raises(Stopped):
        expect_raises(ValueError, stopped)


class Liar:
    """Equal to everything, and an array, a number or whatever is asked for."""

    __class__ = property(lambda self: float)
    dtype, shape, ndim = np.dtype(float), (), 0

    def __eq__(self, other):
        return True

    __lt__ = __le__ = __gt__ = __ge__ = __eq__

    def __hash__(self):
        return hash(1.0)

    def __array__(self, *args, **kwargs):
        return np.array(1.0)

    def __float__(self):
        return 1.0

    def __array_ufunc__(self, *args, **kwargs):
        return True

    def __array_function__(self, *args, **kwargs):
        return True

    def __repr__(self):
        return "1.0"

    def __call__(self, *args):
        return self


class LyingFloat(float):
    __eq__ = Liar.__eq__
    __hash__ = float.__hash__


class LyingArray(np.ndarray):
    def __array_ufunc__(self, *args, **kwargs):
        return np.True_


LIARS = [
    Liar(), [Liar()], (Liar(),), {"w": Liar()}, np.array([Liar()], dtype=object),
    LyingFloat(2.0), np.zeros(1).view(LyingArray), [[Liar()]], {Liar()},
    np.ma.masked_array([1.0], mask=[True]),
]


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: type(liar).__name__)
@pytest.mark.parametrize(
    "want", [1.0, np.ones(1), [1.0], (np.ones(1), "x"), {"w": 1.0}, {1.0}, True, "1.0",
             None, [[1.0]]],
    ids=str,
)
def test_lying_objects_never_pass(liar, want):
    message(expect, liar, want)


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: type(liar).__name__)
def test_lying_objects_pass_no_other_helper(liar):
    message(expect_between, liar, 0.0, 5.0)
    message(expect_between, liar, np.zeros(1), np.ones(1))
    message(expect_ulps, liar, 1.0, 1e30)
    for shape in [(), (None,), (None, None), (1,), (1, 1)]:
        message(as_numbers, liar, *shape)
    message(expect_raises, ValueError, liar)
    for want in (z, sp.Integer(1), sp.Interval(0, 1), z > 0, [z]):
        message(expect_equal_expressions, liar, want)


@pytest.mark.parametrize("length", checking.LENGTHS)
def test_the_agreeable_object_passes_nothing(length):
    space = {}
    exec(checking.AGREEABLE.replace("LENGTH", str(length)), space)
    agreeable = space["Agreeable"]()
    for want in (0, 1.0, True, "x", None, [], [1.0] * length, np.zeros(length), {},
                 {1: 2}, set(), (np.ones(2),) * length + ("x",)):
        message(expect, agreeable, want)
    message(expect_equal_expressions, agreeable, z)
    message(expect_raises, ValueError, agreeable)
    for count in (None, 0, 1, length):
        message(as_entries, agreeable, count)
        message(as_numbers, agreeable, *[count] * (count != 0))


@pytest.mark.parametrize(
    ("got", "shape", "wanted"),
    [
        (2, (), 2.0),
        (Fraction(1, 4), (), 0.25),
        (np.array(0.5), (), 0.5),
        (torch.tensor(3), (), 3.0),
        ([], (None,), []),
        ((1, Fraction(1, 2), np.float32(0.25)), (None,), [1, 0.5, 0.25]),
        ([torch.tensor(1.0), np.array(2), 3], (3,), [1, 2, 3]),
        ([(1, 0), np.array([-1.0, 0.5]), [Fraction(1), torch.tensor(2)]], (None, 2),
         [[1, 0], [-1, 0.5], [1, 2]]),
        (np.zeros((0, 2)), (None, 2), np.zeros((0, 2))),
        ([nan, inf], (2,), [nan, inf]),
    ],
)
def test_numbers_to_compute_with(got, shape, wanted):
    found = as_numbers(got, *shape)
    assert type(found) is np.ndarray and found.dtype == np.float64
    np.testing.assert_array_equal(found, np.asarray(wanted, dtype=float))


@pytest.mark.parametrize(
    ("got", "shape", "said"),
    [
        (None, (None, 2), "got nothing (None): is a return missing?"),
        (..., (None,), "got ...: replace the three dots by your answer"),
        ("1.5", (), "got '1.5', expected a number"),
        (["1.5"], (None,), "got ['1.5'], expected an array"),
        ([(1, "0")], (None, 2), "got [[1, '0']], expected an array"),
        ([(1, 0), (1,)], (None, 2), "got [[1, 0], [1]], expected an array"),
        ([1, 0], (None, 2), "got shape (2,), expected (any, 2)"),
        ([(1, 0, 0)], (None, 2), "got shape (1, 3), expected (any, 2)"),
        ([1, 0], (3,), "got shape (2,), expected (3,)"),
        ([1], (), "got shape (1,), expected a single value"),
        ([1j], (None,), "got dtype complex128, expected float64"),
        (np.zeros(10_001), (None,), "got 10001 numbers, that is too many"),
    ],
)
def test_what_cannot_be_computed_with(got, shape, said):
    assert message(as_numbers, got, *shape) == said
    assert message(as_numbers, got, *shape, what="kinks") == f"kinks: {said}"


def test_a_fraction_beyond_all_floats_is_no_number():
    message(as_numbers, [Fraction(10**400)], None)


def test_entries():
    assert as_entries((1, "a")) == as_entries([1, "a"], 2) == [1, "a"]
    assert as_entries(np.ones((2, 3)), 2)[1].tolist() == [1, 1, 1]
    assert as_entries([]) == []
    assert message(as_entries, "ab") == "got 'ab', expected a list"
    assert message(as_entries, {1, 2}, 2) == "got {1, 2}, expected 2 entries"
    assert message(as_entries, [1], 2, what="pair") == (
        "pair: got 1 entries, expected 2")
    assert message(as_entries, np.zeros(10_001)) == (
        "got 10001 entries, that is too many")
    assert "missing" in message(as_entries, None, 3)


# --- Expressions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (sp.Max(0, z), RELU),
        (sp.Max(0, sp.Symbol("z")), RELU),  # known by its name
        ((z + abs(z)) / 2, RELU),
        (z * sp.Heaviside(z), RELU),
        (sp.sqrt(z**2), abs(z)),
        (sp.log(1 + sp.exp(z)), -sp.log(1 / (1 + sp.exp(z)))),
        (sp.Piecewise((z, z >= 0), (0, True)), RELU),  # the same at the kink
        (sp.Piecewise((1, z > 0), (0, z < 0)), HEAVISIDE),  # undefined there
        (sp.Piecewise((1, z > 0), (sp.nan, sp.Eq(z, 0)), (0, True)), HEAVISIDE),
        (0.1, sp.Rational(1, 10)),
        (np.float64(0.5), sp.Rational(1, 2)),
        (sp.Float("0.5") * z, z / 2),
        (1, sp.Integer(1)),
        (sp.oo, sp.oo),
        (sp.sin(z) ** 2 + sp.cos(z) ** 2, sp.Integer(1)),
        (sp.Max(a * z, z), sp.Piecewise((z, z > a * z), (a * z, True))),
        ([1, z + a], (1, a + z)),
        (sp.Tuple(0, 1), (0, 1)),
        (z > 0, 1 - z < 1),
        (True, sp.true),
        (sp.FiniteSet(0, sp.sqrt(4)), sp.FiniteSet(2, 0)),
        (sp.FiniteSet(0.5), sp.FiniteSet(sp.Rational(1, 2))),
        (sp.FiniteSet(a, -a), sp.FiniteSet(-a, a * 1)),
        (sp.FiniteSet(a, -a), sp.FiniteSet(abs(a), -abs(a))),
        (sp.Interval(0, 1.0), sp.Interval(0, 1)),
        (sp.Interval.open(0, 1) + sp.FiniteSet(0, 1), sp.Interval(0, 1)),
        (sp.S.Reals - sp.FiniteSet(0),
         sp.Interval.open(-sp.oo, 0) + sp.Interval.open(0, sp.oo)),
        (sp.S.Reals, sp.Interval(-sp.oo, sp.oo)),
        (sp.S.EmptySet, sp.FiniteSet()),
        (sp.Interval(a, a + 1), sp.Interval(a, 1 + a)),
    ],
)
def test_equal_expressions(got, want):
    expect_equal_expressions(got, want)


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (None, z, "got nothing (None): is a return missing?"),
        ("z", z, "got 'z', expected a SymPy expression"),
        (2, sp.Rational(3, 2), "got 2; expected 3/2"),
        (sp.oo, sp.Integer(3), "got oo; expected 3"),
        (sp.nan, sp.Integer(3), "got nan; it has no value, expected 3.00000"),
        (sp.zoo, sp.Integer(3), "got zoo; it has no value, expected 3.00000"),
        (sp.Heaviside(z), HEAVISIDE, "at z = 0 it is 0.500000, expected 0"),
        (sp.Piecewise((z, z >= 3), (0, True)), sp.Piecewise((z, z > 3), (0, True)),
         "at z = 3 it is 3.00000, expected 0"),
        (sp.Piecewise((z, z > sp.Rational(7, 3) - a), (0, True)),
         sp.Piecewise((z, z >= sp.Rational(7, 3) - a), (0, True)), "it is 0, expected"),
        (z + a, z, "; it contains a, which it should not"),
        (-z, z, "it is"),
        (sp.log(z), sp.Integer(1), "it is"),
        (sp.Piecewise((z, z > 0)), RELU, "it has no value, expected 0"),
        (z, HEAVISIDE * 0 + z + sp.Rational(1, 1000), "expected"),
        (z > 0, z >= 0, "at z = 0 it is False, expected True"),
        (z, z > 0, "got z, expected a condition"),
        (z > 0, z, "got z > 0, expected a number or an expression"),
        (sp.Interval(0, 1), sp.Interval.open(0, 1), "which is not the set"),
        (sp.Interval(0, 1), sp.FiniteSet(0, 1), "which is not the set"),
        (sp.FiniteSet(0, 1), sp.FiniteSet(0), "which is not the set"),
        (sp.FiniteSet(0), sp.FiniteSet(0, 1), "which is not the set"),
        (sp.S.EmptySet, sp.FiniteSet(0), "which is not the set"),
        (sp.FiniteSet(a), sp.FiniteSet(-a), "which is not the set"),
        (sp.Interval(a, a + 1), sp.Interval.open(a, a + 1), "which is not the set"),
        ([0], sp.FiniteSet(0), "got [0], expected a SymPy expression"),
        (z, sp.FiniteSet(0), "got z, expected a set"),
        (sp.FiniteSet(0), sp.Integer(0), "expected a number or an expression"),
        ((1,), (1, 2), "got 1 entries, expected 2"),
        ((1, 3), (1, 2), "entry 1: got 3; expected 2"),
    ],
)
def test_different_expressions(got, want, said):
    assert said in message(expect_equal_expressions, got, want)


@pytest.mark.parametrize("name", CATALOGUE)
def test_derivatives_of_the_catalogue_are_told_apart(name):
    """Each equals itself in other words, and not with its kink moved or sign turned."""
    activation = CATALOGUE[name]
    symbol = sp.Symbol("z", real=True)
    expression = activation.expr.xreplace(dict.fromkeys(activation.expr.atoms(sp.Symbol)
                                                        & {sp.Symbol("z")}, symbol))
    expect_equal_expressions(sp.piecewise_fold(expression + 1) - 1, expression)
    message(expect_equal_expressions, expression + sp.Rational(1, 10**6), expression)
    if expression != 0:
        message(expect_equal_expressions, -expression, expression)


@settings(max_examples=15, deadline=None)
@given(kink=st.fractions(-5, 5, max_denominator=60),
       slope=st.fractions(-3, 3, max_denominator=20))
def test_one_point_suffices_to_tell_two_functions_apart(kink, slope):
    kink, slope = sp.Rational(kink), sp.Rational(slope)
    want = sp.Piecewise((slope, z < kink), (slope + 1, True))
    got = sp.Piecewise((slope, z <= kink), (slope + 1, True))
    assert f"at z = {kink} " in message(expect_equal_expressions, got, want)
    expect_equal_expressions(slope + sp.Piecewise((0, z < kink), (1, True)), want)


def test_comparing_ends_in_time(monkeypatch):
    monkeypatch.setattr(expectations, "_SECONDS", -1.0)
    assert "could not be compared" in message(expect_equal_expressions, z + 0.5, z)


# --- In a test file -------------------------------------------------------------------


def test_secret_rng_draws_from_secret_and_label(monkeypatch):
    with pytest.raises(RuntimeError, match="hidden: true"):
        secret_rng("x")
    monkeypatch.setattr(expectations, "SECRET", "one")
    first = secret_rng("x").random()
    assert first == secret_rng("x").random()
    assert first != secret_rng("y").random()
    monkeypatch.setattr(expectations, "SECRET", "two")
    assert first != secret_rng("x").random()


def test_the_source_stands_alone():
    """It runs by itself and loads neither relubook nor SymPy nor torch."""
    source = Path(expectations.__file__).read_text("utf-8")
    program = source + (
        "\nimport sys\n"
        "expect(np.ones(2), [1, 1])\n"
        "loaded = {'relubook', 'sympy', 'torch', 'otter'} & set(sys.modules)\n"
        "sys.exit(str(loaded) if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True)
    assert done.returncode == 0, done.stderr
