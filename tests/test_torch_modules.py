"""PyTorch's modules beside the exact functions: what they get right, and what not.

The catalogue names them; this file says how far they may be trusted. Bounds are in ulp,
on the range of z where they hold. What falls outside is listed below as a known
exception and tested **to be wrong**, so that we notice when PyTorch mends it.
"""

import inspect

import mpmath
import numpy as np
import oracle
import pytest
import torch

from relubook.activations import CATALOGUE, Activation, z
from relubook.precision import exact, ulp_error

EVERYWHERE = (-np.inf, np.inf)
NORMAL = {"float32": (-87, np.inf), "float64": (-708, np.inf)}  # exp(-z) is finite
BELOW_20 = {"float32": EVERYWHERE, "float64": (-np.inf, 20)}  # Softplus's threshold

# name: (ulp, range), of the value and of the gradient
VALUES = {
    "softplus": (4, BELOW_20),
    "selu": (4, EVERYWHERE),
    "sigmoid": (4, NORMAL),
    "gelu": (8, (0, np.inf)),
    "silu": (4, NORMAL),
}
GRADIENTS = {
    "softplus": (4, BELOW_20),
    "selu": (4, EVERYWHERE),
    "sigmoid": (4, {"float32": (-87, 0), "float64": (-708, 0)}),
    "tanh": (4, (-0.5, 0.5)),
    "gelu": (8, (0, np.inf)),
    "silu": (32, (0, np.inf)),
}
EXACT_VALUES = {"gelu": oracle.gelu}
EXACT_GRADIENTS = {"gelu": oracle.gelu_slope}

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
each = pytest.mark.parametrize("name", CATALOGUE)


def value_and_gradient(name, values):
    values = np.asarray(values)
    module = CATALOGUE[name].torch_module().to(getattr(torch, str(values.dtype)))
    inputs = torch.tensor(values, requires_grad=True)
    outputs = module(inputs)
    outputs.sum().backward()
    return outputs.detach().numpy(), inputs.grad.numpy()


def check(table, name, computed, function, values):
    bound, limits = table.get(name, (2, EVERYWHERE))
    low, high = limits if isinstance(limits, tuple) else limits[str(values.dtype)]
    errors = ulp_error(computed, exact(function, values))
    errors[(values < low) | (values > high)] = 0
    worst = np.argmax(errors)
    assert errors[worst] <= bound, (errors[worst], values[worst])


@dtypes
@each
def test_value_and_gradient(name, dtype):
    values = oracle.sample(dtype, 15)
    values = values[~np.isin(values, [-1, 0, 1, 6])]  # kinks: the book's chapter 2
    value, gradient = value_and_gradient(name, values)
    activation = CATALOGUE[name]
    check(VALUES, name, value, EXACT_VALUES.get(name, activation.formula), values)
    slope = EXACT_GRADIENTS.get(name, activation.derivative)
    check(GRADIENTS, name, gradient, slope, values)


def test_oracle_of_gelus_slope_is_the_derivative():
    values = np.array([-20.0, -1.3, -1e-9, 2.0, 30.0])
    derived = exact(CATALOGUE["gelu"].derivative, values)
    assert abs(exact(oracle.gelu_slope, values) / derived - 1).max() < 1e-15


# Known exceptions: (name, dtype, z, what is off, at least that many ulp)
EXCEPTIONS = [
    # Above its threshold of 20, Softplus returns z.
    ("softplus", "float64", np.nextafter(20, 21), "value", 5.8e5),
    ("softplus", "float64", np.nextafter(20, 21), "gradient", 1.8e7),
    # 1 / (1 + exp(-z)): 0 where exp(-z) overflows and the result would be subnormal.
    ("sigmoid", "float32", -89, "value", 1e6),
    ("sigmoid", "float64", -712, "value", 1e13),
    ("silu", "float32", -89, "value", 1e6),
    ("silu", "float64", -712, "value", 1e15),
    # s (1 - s) and 1 - t**2 cancel where s and t are near 1.
    ("sigmoid", "float32", 15, "gradient", 1e4),
    ("sigmoid", "float64", 30, "gradient", 1e10),
    ("tanh", "float32", 9, "gradient", 1e5),
    ("tanh", "float64", 15, "gradient", 1e10),
    # 1 + erf(z / sqrt(2)) cancels; 0 is returned before the result underflows.
    ("gelu", "float32", -6, "value", 1e6),
    ("gelu", "float64", -9, "value", 1e14),
    ("gelu", "float32", -6, "gradient", 1e4),
    ("gelu", "float64", -9, "gradient", 1e13),
]


@pytest.mark.parametrize("name, dtype, point, which, least", EXCEPTIONS)
def test_known_exception(name, dtype, point, which, least):
    values = np.array([point], dtype)
    value, gradient = value_and_gradient(name, values)
    if which == "value":
        function = EXACT_VALUES.get(name, CATALOGUE[name].formula)
        error = ulp_error(value, exact(function, values))
    else:
        function = EXACT_GRADIENTS.get(name, CATALOGUE[name].derivative)
        error = ulp_error(gradient, exact(function, values))
    assert error[0] >= least, "PyTorch has mended this: drop the exception"


@dtypes
@each
def test_infinities_and_nan(name, dtype):
    values = np.array([-np.inf, np.inf, np.nan], dtype)
    value, _ = value_and_gradient(name, values)
    wanted = CATALOGUE[name](values)
    if name in ("gelu", "silu"):
        assert np.isnan(value[0]), "PyTorch has mended this: drop the exception"
        wanted[0] = np.nan  # -inf times 0; the limit is 0
    np.testing.assert_allclose(value, wanted, 2 * np.finfo(dtype).eps)


@dtypes
@each
def test_numpy_functions_agree_with_torch(name, dtype):
    values = np.linspace(-4, 4, 101, dtype=dtype).reshape(1, 101)
    value, _ = value_and_gradient(name, values)
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(CATALOGUE[name](values), value, 0, tolerance)


@each
def test_defaults_are_torchs(name):
    activation = CATALOGUE[name]
    parameters = inspect.signature(type(activation.torch_module())).parameters
    for parameter, value in activation.params.items():
        assert parameters[parameter].default == value


@pytest.mark.parametrize(
    "name, params",
    [
        ("leaky_relu", {"negative_slope": 0.3}),
        ("prelu", {"init": -0.5}),
        ("softplus", {"beta": 2.5}),
        ("elu", {"alpha": 2}),
        ("celu", {"alpha": 0.5}),
        ("hardtanh", {"min_val": -2, "max_val": 0.5}),
    ],
)
def test_other_parameters_reach_torch(name, params):
    activation = CATALOGUE[name].with_params(**params)
    values = np.linspace(-4, 4, 101)
    module = activation.torch_module().double()
    computed = module(torch.from_numpy(values)).detach().numpy()
    np.testing.assert_allclose(computed, activation(values), 1e-12)


def test_absolute_value_at_its_kink():
    value, gradient = value_and_gradient("absolute_value", np.array([-0.0, 0.0, -2.0]))
    np.testing.assert_array_equal(value, [0, 0, 2])
    np.testing.assert_array_equal(gradient, [0, 0, -1])
    module = CATALOGUE["absolute_value"].torch_module()
    assert isinstance(module, torch.nn.Module) and not list(module.parameters())


def test_a_callable_builds_the_module():
    own = Activation("own", z**2, module=lambda: torch.square)
    assert own.torch_module()(torch.tensor(3.0)) == 9
    symbolic = CATALOGUE["elu"].symbolic
    with pytest.raises(ValueError, match="alpha=alpha of elu is no number"):
        symbolic.torch_module()


def test_softplus_drops_log1p_above_its_threshold():
    values = np.array([np.nextafter(20, 21)])
    value, _ = value_and_gradient("softplus", values)
    dropped = float(mpmath.log1p(mpmath.exp(-20)) / np.spacing(20.0))
    error = ulp_error(value, exact(CATALOGUE["softplus"].formula, values))
    assert error == pytest.approx(dropped, rel=1e-6)
