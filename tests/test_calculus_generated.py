"""Both methods of the calculus against 500-digit slopes, on expressions made by chance.

The counted run of 2,000 is `python -m tests.calculus_oracle --seed 0 --count 2000`.
"""

import calculus_oracle
import mpmath
import pytest
import sympy as sp
from calculus_oracle import Verdict, evaluate, judged, numeric_slope, outcome
from hypothesis import HealthCheck, given, reject, settings

from relubook.calculus import (
    Discontinuous,
    NoSlope,
    OutsideDomain,
    Undecided,
    one_sided_derivative,
)
from relubook.calculus.substitution import substituted_limit

z = sp.Symbol("z", real=True)
ERRORS = (Undecided, OutsideDomain, Discontinuous, NoSlope)
SIDES = ("left", "right")


def filled(f, value=0):
    return sp.Piecewise((f, sp.Ne(z, 0)), (value, True))


# The oracle itself: what it says of slopes, jumps and domain ends that are known.


@pytest.mark.parametrize(
    ("f", "left", "right"),
    [
        (sp.Max(0, z), 0, 1),
        (sp.exp(z) * abs(sp.tanh(3 * z)), -3, 3),
        (sp.sqrt(abs(z)), "-inf", "+inf"),
        (filled(z * sp.log(abs(z)) + 10**6 * z), "-inf", "-inf"),
        (filled(z / sp.log(abs(z))), 0, 0),
        (filled(z**2 * sp.sin(1 / z)), 0, 0),
        (filled(z * sp.sin(1 / z)), "no limit", "no limit"),
        (filled(sp.sin(1 / z)), "jump", "jump"),
        (filled(sp.exp(1 / z)), 0, "jump"),
        (filled(sp.exp(-1 / z**2) + sp.exp(z), 1), 1, 1),
        (sp.floor(z) + 2 * z, "jump", 2),
        (sp.acot(z), "jump", -1),
        (sp.sign(sp.exp(-20) + z) * z, 1, 1),
        (sp.sqrt(z), "undefined", "+inf"),
        (sp.log(z), "undefined", "undefined"),
        (sp.asin(z + 1), "+inf", "undefined"),
        (z ** sp.Rational(4, 3), "undefined", 0),
        (sp.Piecewise((z, z > 0)), "undefined", "undefined"),
    ],
)
def test_numeric_slope(f, left, right):
    for side, known in zip(SIDES, (left, right)):
        verdict = numeric_slope(f, z, 0, side)
        if verdict.kind == "infinite":
            assert known == ("+inf" if verdict.slope > 0 else "-inf")
        elif verdict.kind == "number":
            assert abs(verdict.slope - known) <= verdict.error < 0.1
        else:
            assert verdict.kind == known


def test_oracle_refutes_wrong_answers():
    kink = numeric_slope(sp.Max(0, z), z, 0, "right")
    assert judged(sp.S.One, kink)
    almost = 1 + sp.Rational(1, 10**20)
    for wrong in (sp.S.Half, almost, sp.oo, NoSlope("?"), OutsideDomain("?"), sp.nan):
        assert judged(wrong, kink) is False
    assert judged(-sp.oo, Verdict("infinite", mpmath.inf)) is False
    assert judged(sp.S.One, Verdict("unclear")) is None
    wrong = outcome(lambda *_: sp.S.Half, sp.Max(0, z), z, 0, "right", kink)
    assert wrong.startswith("WRONG 1/2")


def test_evaluator_agrees_with_mpmath():
    for name in "sin cos tan sec sinh tanh acos asin atan acot asinh atanh erf".split():
        ours = evaluate(getattr(sp, name)(z), z, sp.Rational(1, 3))
        with mpmath.workdps(50):
            theirs = getattr(mpmath, name)(mpmath.mpf(1) / 3)
            assert mpmath.almosteq(ours, theirs, 1e-45)
    for name in "acosh acoth asec acsc".split():
        ours = evaluate(getattr(sp, name)(z), z, 3)
        with mpmath.workdps(50):
            assert mpmath.almosteq(ours, getattr(mpmath, name)(mpmath.mpf(3)), 1e-45)


def test_evaluator_meets_zeros_exactly():
    assert evaluate(sp.sign(sp.sin(z) ** 2 + sp.cos(z) ** 2 - 1), z, 7) == 0
    assert evaluate(sp.floor(100 * sp.acos(z) / sp.pi), z, -1) == 100
    assert evaluate(sp.Heaviside(z**2 - 2), z, sp.sqrt(2)) == 0.5
    assert evaluate(1 / (z - 1), z, 1) is evaluate(sp.asin(z), z, 2) is None


# The two methods. What none of them may do is give a wrong answer.


def answer(method, f, at, side):
    try:
        return method(f, z, at, side)
    except ERRORS as error:
        return error


def same(one, other):
    if isinstance(one, Exception) or isinstance(other, Exception):
        return type(one) is type(other)
    return one == other or sp.simplify(one - other).equals(0) is not False


@settings(
    max_examples=25, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(calculus_oracle.expressions(z))
def test_both_methods_agree_with_the_numbers_and_with_each_other(example):
    f, at = example
    try:
        with calculus_oracle.time_limit(3):
            answers = [
                [answer(method, f, at, side) for side in SIDES]
                for method in (one_sided_derivative, substituted_limit)
            ]
    except calculus_oracle.TimeUp:
        reject()
    for side, by_rules, by_limit in zip(SIDES, *answers):
        verdict = numeric_slope(f, z, at, side)
        for found in by_rules, by_limit:
            if not isinstance(found, Undecided):
                assert judged(found, verdict) in (True, None), (side, found, verdict)
        if not isinstance(by_rules, Undecided) and not isinstance(by_limit, Undecided):
            assert same(by_rules, by_limit)


@pytest.mark.parametrize(
    ("method", "count"), [(one_sided_derivative, 60), (substituted_limit, 25)]
)
def test_no_wrong_answer_in_a_counted_run(method, count):
    outcomes, _, wrong = calculus_oracle.run(method, seed=1, count=count, seconds=5)
    assert wrong == []
    right = sum(n for kind, n in outcomes.items() if kind.startswith("right"))
    assert right / outcomes.total() > 0.95
