"""Passports: known functions, a reader's own, and what goes wrong with them."""

import base64
import re
import subprocess
import sys

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import sympy as sp

from relubook.activations import CATALOGUE, Activation, z
from relubook.calculus import Discontinuous, OutsideDomain, Undecided
from relubook.passport import passport

HARDSWISH = z * sp.Min(sp.Max(z + 3, 0), 6) / 6
MISH = z * sp.tanh(sp.log(1 + sp.exp(z)))


def findings(page):
    """The table of findings in the text: name -> finding."""
    table = str(page).split("\n\n")[1]
    joined = re.sub(r"\n {10,}", " ", table)
    return dict(re.split(r"  +", line, maxsplit=1) for line in joined.split("\n"))


def accuracy(page):
    return {found.dtype: found for found in page.accuracy}


def test_relu():
    page = passport(CATALOGUE["relu"])
    found = findings(page)
    assert (found["Kinks"], found["Slopes at 0"]) == ("{0}", "left 0, right 1")
    assert found["Monotone"] == "nondecreasing" and found["Curvature"] == "convex"
    assert found["Positively homogeneous"] == "yes"
    assert found["Lipschitz constant"] == "1" and found["Range"] == "Interval(0, oo)"
    assert found["Values at -inf, NaN and inf"] == "0; nan; inf"
    assert all(each.worst == each.misses == 0 for each in page.accuracy)
    assert accuracy(page)["float16"].count == 2 * 31 * 1024
    assert [(row.answer, row.answer_is) for row in page.answers] == [(0, "left")]
    assert "kink at 0" in str(page)


def test_hardswish():
    page = passport(Activation("hardswish", HARDSWISH, module="torch.nn.Hardswish"))
    assert page.kinks == {-3, 3} and page.points == (-3, 3)
    third, half = sp.Rational(1, 3), sp.Rational(1, 2)
    assert [(at.left, at.right) for at in page.slopes] == [(0, -half), (3 * half, 1)]
    assert page.slopes[1].clarke == sp.Interval(1, 3 * half)
    assert page.second_derivative.masses == {-3: -half, 3: -half}
    assert page.second_derivative.regular.subs(z, 1) == third
    found = findings(page)
    assert found["Monotone"] == found["Curvature"] == "neither"
    assert found["Range"] == "Interval(-3/8, oo)"
    assert found["Values at -inf, NaN and inf"] == "nan, but should be 0; nan; inf"
    assert [row.answer for row in page.answers] == [0, 1]
    assert "formula evaluated as written (not guarded)" in str(page)
    assert page.limits == (-5, 5)


def test_mish():
    page = passport(Activation("mish", MISH, module="torch.nn.Mish"))
    assert page.kinks is sp.S.EmptySet and page.points == (0,)
    # log(1 + 1) = log 2, and tanh(log 2) = (2 - 1/2) / (2 + 1/2)
    assert page.slopes[0].left == page.slopes[0].right == sp.Rational(3, 5)
    assert page.smoothness.order == sp.oo
    assert page.answers[0].answer_is == "derivative"
    assert "Both one-sided derivatives agree" in str(page.derivations[0])
    # The formula cancels for negative z: the digits below are lost, and are seen to be.
    assert accuracy(page)["float32"].worst > 1e6


def test_infinitely_many_kinks():
    page = passport(Activation("wave", sp.Abs(sp.sin(z))))
    assert page.kinks.contains(2 * sp.pi) == True  # noqa: E712
    assert page.points == (-sp.pi, 0, sp.pi)
    assert isinstance(page.properties, Undecided)
    assert findings(page)["Properties"] == f"undecided: {page.properties}"
    assert f"undecided: `{page.properties}`" in page._repr_markdown_()
    assert "names no torch module" in str(page)


def test_a_jump():
    step = Activation("step", sp.Piecewise((1, z > 0), (0, True)))
    page = passport(step)
    (at,) = page.slopes
    assert at.left == 0 and isinstance(at.right, Discontinuous)
    assert isinstance(page.second_derivative, Discontinuous)
    assert findings(page)["Smoothness"] == "not continuous at {0}"
    assert findings(page)["Values at -inf, NaN and inf"] == "0; 0, but should be nan; 1"
    value, _, half_float_map = page.plot()
    points, values = value.lines[0].get_xydata().T
    assert np.array_equal(points[np.isnan(values)], [0])
    assert half_float_map.images
    plt.close("all")


def test_a_jump_with_a_torch_module():
    shrink = sp.Piecewise((z, sp.Abs(z) > sp.Rational(1, 2)), (0, True))
    page = passport(Activation("shrink", shrink, module="torch.nn.Hardshrink"))
    assert all(isinstance(row, Discontinuous) for row in page.answers)
    assert "At 1/2 not continuous" in " ".join(str(page).split())


def test_the_end_of_the_domain():
    page = passport(Activation("root", sp.sqrt(z)))
    (at,) = page.slopes
    assert isinstance(at.left, OutsideDomain) and at.right == sp.oo
    ends = findings(page)["Values at -inf, NaN and inf"]
    assert ends == "nan; nan; inf, not confirmed"
    assert max(each.worst for each in page.accuracy) <= 0.5  # IEEE 754 demands it


def test_floats_are_taken_exactly():
    alpha = sp.Symbol("alpha", real=True)
    expr = sp.Piecewise((z, z > 0), (alpha * z, True))
    leaky = Activation("leaky", expr, {"alpha": 0.1}, "torch.nn.ReLU")
    assert passport(leaky).slopes[0].left == sp.Rational(1, 10)
    page = passport(Activation("mine", expr.subs(alpha, 0.1)))
    assert page.slopes[0].left == sp.Rational(1, 10)
    # Exact is a tenth, not the float nearest to it: two roundings, not one.
    assert 0.5 < accuracy(page)["float64"].worst < 1.5


def test_a_wrong_numpy_function_is_seen():
    def numpy(z, out=None):
        return np.where(z > 0, z, np.exp(z) - 1).astype(np.asarray(z).dtype)

    page = passport(Activation("mine", CATALOGUE["elu"].formula, numpy=numpy))
    found = accuracy(page)
    assert found["float16"].worst > 1000 and found["float64"].worst > 1e9
    assert abs(found["float64"].at) < 1e-8
    assert page.half_float_errors[0x80 + 0x01, 0].item() > 100  # small negative numbers
    assert page.half_float_errors[:0x7C].max() == 0  # positive numbers: z itself


def test_a_function_that_widens_is_mentioned():
    def numpy(z, out=None):
        return np.maximum(z, 0).astype(np.float64)

    page = passport(Activation("mine", sp.Max(z, 0), numpy=numpy))
    assert "turns float16 to float64, float32 to float64" in " ".join(str(page).split())
    assert all(each.worst == 0 for each in page.accuracy)


def test_a_torch_module_that_is_another_function_is_seen():
    page = passport(Activation("mine", sp.Max(z, 0), module="torch.nn.LeakyReLU"))
    assert "function returned -0.019" in str(page.answers[0])
    assert "wanted 0.0" in str(page) and "wanted 0.0" in page._repr_markdown_()


@pytest.mark.parametrize("name", CATALOGUE)
def test_half_floats_of_the_catalogue(name):
    # test_activations.py shows this of the same functions with other exact values.
    assert passport(CATALOGUE[name]).half_float_errors.max() <= 1


def test_what_a_notebook_shows(monkeypatch):
    page = passport(CATALOGUE["absolute_value"])
    monkeypatch.delenv("RELUBOOK_BUILD", raising=False)
    shown = page._repr_markdown_()
    alt, data = re.search(r"!\[(.*?)\]\(data:image/png;base64,(.*?)\)", shown).groups()
    assert alt == page.alt and base64.b64decode(data).startswith(b"\x89PNG")
    assert shown.count("<details>") == shown.count("</details>") == 1
    monkeypatch.setenv("RELUBOOK_BUILD", "1")
    shown = page._repr_markdown_()
    assert "data:" not in shown and "{admonition} Derivation at $z = 0$" in shown
    tables = [line for line in shown.splitlines() if line.startswith("|")]
    assert {line.count(" |") for line in tables} == {2, 5, 6}


def test_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from relubook.activations import CATALOGUE\n"
        "from relubook.passport import passport\n"
        "print(passport(CATALOGUE['relu']).answers)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "PyTorch is not installed here, so it was not asked.\n", run


def test_bad_input():
    with pytest.raises(TypeError, match="activation is 'relu'; wanted an Activation"):
        passport("relu")
    with pytest.raises(ValueError, match=r"with_params\(alpha=...\)"):
        passport(CATALOGUE["elu"].symbolic)
