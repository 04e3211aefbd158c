"""The catalogue: accuracy, extremes, arrays, bad input, and what is derived."""

import copy
import decimal
import inspect
import pickle
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import oracle
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relubook import activations, calculus
from relubook.activations import CATALOGUE, Activation, z
from relubook.precision import every_half_float, exact, ulp_error

NAMES = (
    "identity relu leaky_relu prelu absolute_value softplus elu selu celu sigmoid tanh "
    "gelu silu relu6 hardtanh"
).split()

# The most that a docstring allows, in ulp, at the default parameters.
BOUNDS = {
    "identity": 0,
    "relu": 0,
    "leaky_relu": 2,
    "prelu": 2,
    "absolute_value": 0,
    "softplus": 4,
    "elu": 4,
    "selu": 4,
    "celu": 4,
    "sigmoid": 4,
    "tanh": 4,
    "gelu": 8,
    "silu": 8,
    "relu6": 0,
    "hardtanh": 0,
}
ORACLES = {"gelu": oracle.gelu}  # for the others, the formula in mpmath

SIZES = {np.float32: 60, np.float64: 40}

each = pytest.mark.parametrize("activation", CATALOGUE.values(), ids=NAMES)


def test_catalogue_is_the_books():
    assert list(CATALOGUE) == NAMES == list(BOUNDS)
    assert [a.name for a in CATALOGUE.values()] == NAMES


@each
def test_numpy_function_is_public_and_has_the_records_defaults(activation):
    assert activation.numpy is getattr(activations, activation.name)
    parameters = inspect.signature(activation.numpy).parameters
    defaults = {
        name: p.default for name, p in parameters.items() if name not in ("z", "out")
    }
    assert defaults == dict(activation.params)


@each
def test_citation_exists(activation):
    references = Path(__file__).parent.parent.joinpath("references.bib").read_text()
    assert f"{{{activation.cite},\n" in references


def test_import_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; import relubook.activations as a; "
        "print(a.relu(-1.0), len(a.table()) > 0, a.CATALOGUE['elu'].derivative)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.startswith("0.0 True Piecewise"), run.stderr


# Accuracy


@pytest.mark.parametrize("dtype", SIZES)
@each
def test_error_is_within_the_bound(activation, dtype):
    values = oracle.sample(dtype, SIZES[dtype])
    wanted = exact(ORACLES.get(activation.name, activation.formula), values)
    errors = ulp_error(activation(values), wanted)
    worst = np.argmax(errors)
    bound = BOUNDS[activation.name]
    if (activation.name, dtype) == ("gelu", np.float32):
        bound = 1
    assert errors[worst] <= bound, (errors[worst], values[worst])


@each
def test_docstring_states_the_bound(activation):
    bound, doc = BOUNDS[activation.name], activation.numpy.__doc__
    if bound == 0:
        assert "Exact" in doc
    else:
        assert int(re.search(r"At most\s+(\d+)\s+ulp", doc).group(1)) == bound


@each
def test_every_half_float_is_right_to_one_ulp(activation):
    half_floats = every_half_float()
    wanted = activation(half_floats.astype(np.float64))  # bound above, against mpmath
    assert ulp_error(activation(half_floats), wanted).max() <= 1


@pytest.mark.parametrize(
    "name, function",
    {
        "softplus": lambda x: (1 + x.exp()).ln(),
        "elu": lambda x: x if x > 0 else x.exp() - 1,
    }.items(),
    ids=("softplus", "elu"),
)
def test_every_half_float_against_forty_digits(name, function):
    half_floats = every_half_float()
    half_floats = half_floats[np.isfinite(half_floats)]
    with decimal.localcontext(prec=40):
        wanted = [float(function(decimal.Decimal(float(x)))) for x in half_floats]
    assert ulp_error(CATALOGUE[name](half_floats), wanted).max() <= 0.51


def test_oracle_is_the_formula():
    values = np.array([-20.0, -1.3, -1e-9, 2.0, 30.0])
    formula = exact(CATALOGUE["gelu"].formula, values)
    assert ulp_error(exact(oracle.gelu, values).astype(float), formula).max() <= 1


@pytest.mark.parametrize("beta", [0.01, 0.3, 10 / 3, 100])
@pytest.mark.parametrize("dtype", SIZES)
def test_softplus_bound_for_other_beta(dtype, beta):
    activation = CATALOGUE["softplus"].with_params(beta=beta)
    values = oracle.sample(dtype, 12)
    values = np.concatenate([values, values[np.abs(values) < 1e4] / dtype(beta)])
    errors = ulp_error(activation(values), exact(activation.formula, values))
    with np.errstate(over="ignore"):
        argument = np.abs(beta * values.astype(float))
    bound = np.where(values < 0, 5 + 2 * argument, 5)
    worst = np.argmax(errors - bound)
    assert errors[worst] <= bound[worst], values[worst]


@pytest.mark.parametrize("value", [0.001, 1.7, 1000])
@pytest.mark.parametrize(
    "name, bound", [("leaky_relu", 2), ("prelu", 2), ("elu", 4), ("celu", 4)]
)
@pytest.mark.parametrize("dtype", SIZES)
def test_bound_for_other_slopes_and_alphas(dtype, name, bound, value):
    signs = (1,) if name == "celu" else (1, -1)
    parameter = next(iter(CATALOGUE[name].params))
    values = oracle.sample(dtype, 8)
    if name == "celu":
        values = values[~(np.abs(values) < value * np.finfo(dtype).tiny)]
    for sign in signs:
        activation = CATALOGUE[name].with_params(**{parameter: sign * value})
        errors = ulp_error(activation(values), exact(activation.formula, values))
        assert errors.max() <= bound, values[np.argmax(errors)]


def test_hardtanh_with_other_limits():
    values = np.array([-5, -0.3, 0.2, 9], np.float32)
    computed = activations.hardtanh(values, -0.3, 7)
    np.testing.assert_array_equal(computed, np.array([-0.3, -0.3, 0.2, 7], np.float32))


# Extremes

SCALE_ALPHA = 1.7580993408473768599402175208123
AT_INFINITIES = {
    "identity": (-np.inf, np.inf),
    "relu": (0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "prelu": (-np.inf, np.inf),
    "absolute_value": (np.inf, np.inf),
    "softplus": (0, np.inf),
    "elu": (-1, np.inf),
    "selu": (-SCALE_ALPHA, np.inf),
    "celu": (-1, np.inf),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "gelu": (0, np.inf),
    "silu": (0, np.inf),
    "relu6": (0, 6),
    "hardtanh": (-1, 1),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each
def test_infinities_nan_and_both_zeros(activation, dtype):
    with np.errstate(all="raise"):
        values = activation(np.array([-np.inf, np.inf, np.nan, -0.0, 0.0], dtype))
    assert values.dtype == dtype
    tolerance = np.finfo(dtype).eps
    np.testing.assert_allclose(values[:2], AT_INFINITIES[activation.name], tolerance)
    assert np.isnan(values[2])
    at_zero = float(activation.formula.subs(z, 0))
    np.testing.assert_allclose(values[3:], at_zero, tolerance)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_relu_is_numpys_maximum(dtype):
    info = np.finfo(dtype)
    sizes = [0, info.smallest_subnormal, info.tiny, 1, info.max, np.inf, np.nan]
    extremes = np.array(sizes + [-x for x in sizes], dtype)
    for values in (extremes, every_half_float().astype(dtype)):
        computed = activations.relu(values)
        assert computed.dtype == dtype
        np.testing.assert_array_equal(computed, np.maximum(values, 0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each
def test_no_floating_point_error_is_raised(activation, dtype):
    info = np.finfo(dtype)
    extremes = [info.max, info.tiny, info.smallest_subnormal, 1e4, 750, 104, 17, 0]
    with np.errstate(all="raise"):
        activation(np.array(extremes + [-x for x in extremes], dtype))


def test_identity_and_absolute_value_keep_and_drop_the_sign_of_zero():
    assert np.signbit(activations.identity(-0.0))
    assert not np.signbit(activations.absolute_value(-0.0))


@pytest.mark.parametrize(
    "slope, wanted",
    [
        (0.5, [-np.inf, np.inf]),
        (0, [0, np.inf]),
        (-1, [np.inf, np.inf]),
        (2, [-np.inf, np.inf]),
    ],
)
def test_leaky_relu_at_infinity(slope, wanted):
    values = activations.leaky_relu([-np.inf, np.inf], slope)
    np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize("slope", [-3, -1, -0.5, 0, 0.01, 1, 2.5])
def test_leaky_relu_is_its_two_branches(slope):
    values = np.linspace(-3, 3, 13)
    wanted = [x if x > 0 else slope * x for x in values]
    np.testing.assert_array_equal(activations.leaky_relu(values, slope), wanted)


# Arrays

arrays = st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)
    )
)


@settings(deadline=None)
@given(arrays, st.sampled_from(NAMES), st.data())
def test_layout_and_out_do_not_change_a_digit(values, name, data):
    activation = CATALOGUE[name]
    step = data.draw(st.sampled_from([1, 2, -1]))
    view = values.T[..., ::step] if values.ndim else values
    wanted = activation(np.ascontiguousarray(view).reshape(view.shape))
    assert wanted.dtype == view.dtype and wanted.shape == view.shape
    np.testing.assert_array_equal(activation(view), wanted)
    out = np.empty_like(view)
    assert activation(view, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    view = np.array(view)  # a copy, to be overwritten
    activation(view, out=view)
    np.testing.assert_array_equal(view, wanted)


@each
def test_blocks_meet_without_a_seam(activation):
    values = np.random.default_rng(0).normal(size=600_000).astype(np.float32) * 5
    whole = activation(values)
    some = np.r_[0:50, 16_360:16_400, 262_120:262_180, 599_950:600_000]
    np.testing.assert_array_equal(whole[some], [activation(v) for v in values[some]])


@each
def test_partial_overlap_of_out_and_input(activation):
    values = np.random.default_rng(0).normal(size=40_000)
    wanted = activation(values[:-1])
    activation(values[:-1], out=values[1:])
    np.testing.assert_array_equal(values[1:], wanted)


@each
def test_scalars_and_promotion_are_numpys(activation):
    scalar = activation(2)
    assert isinstance(scalar, np.float64) and scalar == activation([2.0])[0]
    for value in (True, np.int8(1), np.uint16(1), np.float16(1), [1, 2], [], 1.5,
                  np.array([1], ">f4")):
        assert activation(value).dtype == np.exp(value).dtype
    read_only = np.broadcast_to(np.float32(2), (3, 4))
    assert activation(read_only).shape == (3, 4)


# Bad input


@pytest.mark.parametrize(
    "values, named",
    [
        (np.array([1j]), "complex128"),
        (np.array(["1"]), "<U1"),
        (np.array([None]), "object"),
        (np.array(["2020-01-01"], "M8[D]"), "datetime64"),
        (np.array([1], np.longdouble), str(np.dtype(np.longdouble))),
    ],
)
@each
def test_dtype_that_is_no_real_number(activation, values, named):
    with pytest.raises(TypeError, match=f"z has dtype {named}.*wanted real numbers"):
        activation(values)


@each
def test_masked_array_would_lose_its_mask(activation):
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    with pytest.raises(TypeError, match="z is a masked array: fill it first"):
        activation(masked)


def test_out_must_fit():
    relu = activations.relu
    with pytest.raises(TypeError, match="out is a list; wanted an array of shape"):
        relu(np.ones(2), out=[0, 0])
    with pytest.raises(ValueError, match=r"out has shape \(3,\).*wanted.*\(2,\)"):
        relu(np.ones(2), out=np.ones(3))
    with pytest.raises(ValueError, match="dtype float32; wanted.*float64"):
        relu(np.ones(2), out=np.ones(2, np.float32))
    read_only = np.ones(2)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        relu(np.ones(2), out=read_only)


OUTSIDE = [
    ("softplus", "beta", 0, "beta=0: wanted a positive finite number"),
    ("softplus", "beta", -1.5, "beta=-1.5: wanted a positive finite number"),
    ("softplus", "beta", np.inf, "beta=inf: wanted a positive finite number"),
    ("celu", "alpha", 0, "alpha=0: wanted a positive finite number"),
    ("elu", "alpha", np.nan, "alpha=nan: wanted a finite number"),
    ("leaky_relu", "negative_slope", -np.inf, "negative_slope=-inf: wanted a finite"),
    ("prelu", "init", sp.I, "init=I: wanted a finite number"),
    ("hardtanh", "min_val", 0.5, "min_val=0.5: wanted a finite number, negative or 0"),
    ("hardtanh", "max_val", 0, "max_val=0: wanted a positive finite number"),
    ("elu", "alpha", 10**400, "alpha is beyond float64: wanted a finite number"),
    pytest.param(  # too long for Python to print
        *("elu", "alpha", -(10**5000), "alpha is beyond float64: wanted a finite"),
        id="elu-alpha-huge",
    ),
    ("celu", "alpha", Fraction(10**400, 3), "alpha is beyond float64: wanted a posit"),
]


@pytest.mark.parametrize("name, parameter, value, message", OUTSIDE)
def test_parameter_outside_its_domain(name, parameter, value, message):
    with pytest.raises(ValueError, match=message):
        CATALOGUE[name].with_params(**{parameter: value})
    with pytest.raises(ValueError, match=message):
        getattr(activations, name)(1.0, **{parameter: value})


@pytest.mark.parametrize("value", ["1", None, True, [1.0], np.ones(2), 1j])
def test_parameter_that_is_no_number(value):
    with pytest.raises(TypeError, match="alpha=.*: wanted a finite number"):
        CATALOGUE["elu"].with_params(alpha=value)
    with pytest.raises(TypeError, match="alpha=.*: wanted a finite number"):
        activations.elu(1.0, alpha=value)


def test_parameter_that_the_dtype_cannot_hold():
    with pytest.raises(ValueError, match="alpha=1e.50 rounds to inf in float32"):
        activations.elu(np.float32(1), alpha=1e50)
    with pytest.raises(ValueError, match="beta=1e-50 rounds to 0.0 in float32"):
        activations.softplus(np.float16(1), beta=1e-50)
    assert activations.elu(-np.inf, alpha=1e50) == -1e50


def test_unknown_activation():
    with pytest.raises(KeyError, match="unknown activation 'rellu'; wanted one of ide"):
        CATALOGUE["rellu"]
    assert CATALOGUE.get("rellu") is None
    with pytest.raises(TypeError):
        CATALOGUE["mine"] = CATALOGUE["relu"]


def test_unknown_parameter():
    with pytest.raises(TypeError, match="elu has no parameter 'beta'; it has alpha"):
        CATALOGUE["elu"].with_params(beta=2)
    with pytest.raises(TypeError, match="relu has no parameter 'alpha'; it has none"):
        CATALOGUE["relu"].with_params(alpha=2)


def test_symbol_where_a_number_is_needed():
    with pytest.raises(ValueError, match="beta=beta of softplus is no number; give it"):
        CATALOGUE["softplus"].symbolic(1.0)
    own = Activation("own", sp.Symbol("a", real=True) * z, {"a": 1}).symbolic
    with pytest.raises(ValueError, match="a=a of own is no number"):
        own(1.0)


def test_symbol_of_unknown_sign_is_outside_the_domain():
    with pytest.raises(ValueError, match="beta=b: wanted a positive"):
        CATALOGUE["softplus"].with_params(beta=sp.Symbol("b", real=True))
    b = sp.Symbol("b", positive=True)
    assert CATALOGUE["softplus"].with_params(beta=b).formula.has(b)


@pytest.mark.parametrize(
    "expr, params, error, message",
    [
        ("z", {}, TypeError, "expr of bad is a str; wanted a SymPy expression"),
        (sp.Symbol("z"), {}, ValueError, "symbols z; wanted relubook.activations.z"),
        (sp.S.One, {}, ValueError, "symbols none; wanted"),
        (z * sp.Symbol("a", real=True), {}, ValueError, "params of bad has none; .* a"),
        (z, {"a": 1}, ValueError, "params of bad has a; its expr wants none"),
        (z * sp.Symbol("a"), {"a": 1}, ValueError, "a of bad is declared without a do"),
        (z + sp.Symbol("a", positive=True), {"a": -1}, ValueError, "a=-1: wanted a p"),
    ],
)
def test_bad_definition(expr, params, error, message):
    with pytest.raises(error, match=message):
        Activation("bad", expr, params)


def test_params_must_be_a_mapping():
    with pytest.raises(TypeError, match="params of bad is 3; wanted a mapping"):
        Activation("bad", z, params=3)


@pytest.mark.parametrize(
    "module, error",
    [("Mod", ValueError), (".Mod", ValueError), ("torch.", ValueError), (3, TypeError)],
)
def test_module_must_be_a_dotted_name_or_a_callable(module, error):
    with pytest.raises(error, match=f"module of bad is {module!r}; wanted a dotted"):
        Activation("bad", z, module=module)


# One's own


def test_own_activation_in_five_lines():
    a = sp.Symbol("a", positive=True)
    bent = Activation("bent", (sp.sqrt(z**2 + a) + z) / 2, {"a": 4})
    values = np.array([[-1.0, 0.0], [1.0, np.nan]], np.float32)
    np.testing.assert_allclose(bent(values), (np.sqrt(values**2 + 4) + values) / 2)
    assert bent(values).dtype == np.float32 and bent(0) == 1
    assert bent(values, out=values) is values
    with pytest.raises(ValueError, match="bent names no torch module"):
        bent.torch_module()


def test_own_piecewise_activation_evaluates_silently():
    clipped = Activation("clipped", sp.Piecewise((sp.exp(z), z < 0), (1, True)))
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(clipped([-np.inf, 1e4]), [0, 1])


@each
def test_records_are_values(activation):
    for other in (copy.copy(activation), pickle.loads(pickle.dumps(activation))):
        assert other == activation and hash(other) == hash(activation)
        assert other.formula == activation.formula
    with pytest.raises(AttributeError):
        activation.name = "other"
    with pytest.raises(TypeError):
        activation.params["alpha"] = 2


def test_with_params_leaves_the_original_alone():
    elu = CATALOGUE["elu"]
    assert elu.with_params(alpha=2) != elu == elu.with_params(alpha=1.0)
    assert dict(elu.params) == {"alpha": 1.0}
    assert repr(elu.with_params(alpha=2)) == "Activation('elu', alpha=2)"


# What is derived


def test_formula_takes_decimals_exactly():
    assert CATALOGUE["leaky_relu"].formula.subs(z, -1) == sp.Rational(-1, 100)
    third = CATALOGUE["elu"].with_params(alpha=sp.Rational(1, 3))
    assert third.formula.subs(z, -1) == (sp.exp(-1) - 1) / 3
    assert third(-np.inf) == -1 / 3
    assert CATALOGUE["elu"].with_params(alpha=Fraction(1, 3)).formula == third.formula
    single = CATALOGUE["elu"].with_params(alpha=np.float32(0.1))
    assert float(single.params["alpha"]) == float(-single.formula.subs(z, -sp.oo))


@each
def test_symbolic_formula_is_the_expression(activation):
    assert activation.symbolic.formula == activation.expr


one = sp.S.One
alpha = CATALOGUE["elu"].symbolic.params["alpha"]
KINKED = {
    "relu": {0: (0, 1)},
    "leaky_relu": {0: (one / 100, 1)},
    "prelu": {0: (one / 4, 1)},
    "absolute_value": {0: (-1, 1)},
    "selu": {0: (SCALE_ALPHA, 1.0507009873554804934193349852946)},
    "relu6": {0: (0, 1), 6: (1, 0)},
    "hardtanh": {-1: (0, 1), 1: (1, 0)},
}


@each
def test_derivative_leaves_out_the_kinks_and_nothing_else(activation):
    kinks = KINKED.get(activation.name, {})
    for point, (left, right) in kinks.items():
        assert activation.derivative.subs(z, point) is sp.nan
        for side, wanted in ((-1, left), (1, right)):
            near = point + side * sp.Rational(1, 10**30)
            assert sp.N(activation.derivative.subs(z, near)) == pytest.approx(wanted)
    for point in (-7, -1, -one / 3, 0, one / 3, 1, 6, 7):
        if point not in kinks:
            slope = sp.N(activation.derivative.subs(z, point))
            formula = sp.lambdify(z, activation.formula, "mpmath")
            with mpmath.workdps(30):
                wanted = mpmath.diff(formula, mpmath.mpf(sp.N(point, 30)))
            assert slope == pytest.approx(float(wanted))


def test_derivative_joins_branches_only_where_slopes_provably_agree():
    elu = CATALOGUE["elu"]
    assert elu.derivative.subs(z, 0) == 1
    assert elu.with_params(alpha=2).derivative.subs(z, 0) is sp.nan
    assert elu.symbolic.derivative.subs(z, 0) is sp.nan
    assert elu.symbolic.derivative.subs(z, -1) == alpha * sp.exp(-1)
    assert CATALOGUE["celu"].symbolic.derivative.subs(z, 0) == 1
    assert CATALOGUE["leaky_relu"].with_params(negative_slope=1).derivative == 1
    wanted = sp.Piecewise((1, z > 0), (0, z < 0))
    assert CATALOGUE["relu"].derivative == wanted


@pytest.mark.parametrize(
    "expr, point, wanted",
    [
        (sp.Max(0, z), 0, sp.nan),
        (sp.Max(0, z), 1, 1),
        (sp.Min(1, sp.Abs(z)), 0, sp.nan),
        (sp.Min(1, sp.Abs(z)), -1, sp.nan),
        (z * sp.Abs(z), 0, 0),
        (sp.Piecewise((5, sp.Eq(z, 0)), (z, True)), 0, sp.nan),
        (sp.Piecewise((1, z > 0), (0, True)), 0, sp.nan),  # equal slopes, but a jump
        (sp.Piecewise((z**2, z > 0), (sp.sin(z) * z, True)), 0, 0),
        (sp.Piecewise((z, (z > -1) & (z < 1)), (2 * z, True)), 3, 2),
        (sp.Piecewise((z, sp.Abs(z) < 1), (z**3, True)), 1, sp.nan),
        (sp.Abs(sp.exp(z) - 2), 0, -1),
        (sp.Abs(sp.exp(z) - 2), sp.log(2), sp.nan),
        (sp.Abs(z**2 + 1), 3, 6),
        (sp.Abs(z**3 - z), sp.Rational(1, 2), sp.Rational(1, 4)),
    ],
)
def test_derivative_of_other_forms(expr, point, wanted):
    derivative = Activation("own", expr).derivative
    assert derivative.subs(z, point) is wanted or derivative.subs(z, point) == wanted


def test_derivative_says_when_it_cannot_tell():
    a, b = sp.symbols("a b", real=True)
    step = sp.Piecewise((z, z > a), (2 * z, z > b), (0, True))
    own = Activation("own", step, {"a": 1, "b": 0})
    assert own.derivative.subs(z, 2) == 1
    with pytest.raises(ValueError, match="cannot decide which of the edges"):
        own.symbolic.derivative


def test_derivative_with_a_symbol_in_the_boundary():
    a = sp.Symbol("a", real=True)
    own = Activation("own", sp.Piecewise((z, a * z > 1), (0, True)), {"a": 2})
    assert own.derivative.subs(z, 1) == 1 and own.derivative.subs(z, 0) == 0
    with pytest.raises(calculus.Undecided, match=r"whether a\*z > 1 holds"):
        own.symbolic.derivative


def test_a_readers_own_mistakes_are_named():
    own = Activation("own", sp.Max(0, z), module="torch.nn.Relu")
    with pytest.raises(ValueError, match="torch.nn has no 'Relu', the module of own"):
        own.torch_module()
    with pytest.raises(TypeError, match="module of own .* wanted a class or function"):
        Activation("own", sp.Max(0, z), module=lambda z: z).torch_module()
    with pytest.raises(TypeError, match=r"numpy of own: .*'out'; wanted a function"):
        Activation("own", sp.Max(0, z), numpy=lambda z: z)
    with pytest.raises(TypeError, match="numpy of own is 3; wanted a function"):
        Activation("own", sp.Max(0, z), numpy=3)


@each
def test_latex(activation):
    for text in (activation.latex, activation.latex_derivative):
        assert text.count("{") == text.count("}") and "|" not in text
        assert not re.search(r"(?<!\\)(slope|init|beta|alpha|val|erf)", text.replace(
            r"\operatorname{erf}", ""))


def test_latex_has_the_books_symbols():
    assert CATALOGUE["leaky_relu"].latex == CATALOGUE["prelu"].latex
    assert r"\alpha z" in CATALOGUE["leaky_relu"].latex
    assert r"\beta" in CATALOGUE["softplus"].latex_derivative
    assert r"z_{\min} < z < z_{\max}" in CATALOGUE["hardtanh"].latex_derivative
    assert r"\text{for}\: z > z_{\max}" in CATALOGUE["hardtanh"].latex
    assert "1.0507" in CATALOGUE["selu"].latex and len(CATALOGUE["selu"].latex) < 120
    assert r"z < 0" in CATALOGUE["elu"].latex_derivative  # 0 itself is left out
    assert activations.latex(sp.Abs(z) ** 2 + sp.Abs(z - 1) ** 3).count(r"\rvert") == 1


def test_latex_wants_an_expression():
    with pytest.raises(TypeError, match="expression is a str; wanted a SymPy expr"):
        activations.latex("z")


@pytest.mark.parametrize("table", [activations.table, activations.table_of_defaults])
def test_tables_want_records(table):
    for names, first in ((CATALOGUE, "identity"), (["relu"], "relu")):
        with pytest.raises(TypeError, match=f"contains '{first}'; wanted Activation r"):
            table(names)


def test_table():
    lines = activations.table().splitlines()
    assert lines[:2] == ["| Name | Definition | Derivative |", "| --- | --- | --- |"]
    assert len(lines) == 2 + len(NAMES)
    assert all(line.count("|") == 4 for line in lines)
    text = activations.table([Activation("own", z**2)])
    assert r"| `own` | $\displaystyle z^{2}$ | $\displaystyle 2 z$ |" in text
    assert text._repr_markdown_() == str(text)


def test_table_of_defaults(monkeypatch):
    monkeypatch.delenv("RELUBOOK_BUILD", raising=False)
    lines = activations.table_of_defaults().splitlines()
    assert len(lines) == 2 + len(NAMES)
    assert all(line.count("|") == 5 for line in lines)
    assert r"| $\alpha = 0.01$ (`negative_slope`) | `torch.nn.LeakyReLU` |" in lines[4]
    own = Activation("own", z**2, module=max)
    text = activations.table_of_defaults([own, CATALOGUE["elu"].symbolic])
    assert "| `own` |  | `max` |  |" in text
    assert r"$\alpha = \alpha$" in text and "{cite:t}" not in text
    assert text._repr_markdown_() == str(text)
    monkeypatch.setenv("RELUBOOK_BUILD", "1")
    assert "{cite:t}`nair2010rectified`" in activations.table_of_defaults()
