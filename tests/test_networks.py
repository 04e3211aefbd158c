"""relubook.networks against torch, numpy.interp and literal loops."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from relubook.activations import CATALOGUE, Activation, z
from relubook.networks import (
    activation_pattern,
    cnn,
    dead_units,
    forward,
    interpolate,
    mlp,
    pre_activations,
    random_network,
)

ABSOLUTE = [[[1, 0], [-1, 0]], [[1, 1]]], [[0, 0], [0]]  # f(x, y) = |x|


# --- forward, pre_activations, activation_pattern


@pytest.mark.parametrize("widths", [(3, 2), (1, 5, 1), (2, 7, 4, 3), (4, 1, 6, 6, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0,)])
def test_forward_agrees_with_torch(widths, dtype, leading):
    torch = pytest.importorskip("torch")
    weights, biases = random_network(widths, 1)
    weights = [w.astype(dtype) for w in weights]
    biases = [b.astype(dtype) for b in biases]
    x = np.random.default_rng(2).normal(size=(*leading, widths[0])).astype(dtype)

    modules = []
    for weight, bias in zip(weights, biases):
        linear = torch.nn.Linear(*weight.shape[::-1], dtype=getattr(torch, dtype))
        linear.weight.data = torch.from_numpy(weight)
        linear.bias.data = torch.from_numpy(bias)
        modules += [linear, torch.nn.ReLU()]
    hidden = torch.from_numpy(x)
    expected = []
    for module in modules[:-1]:
        hidden = module(hidden)
        if isinstance(module, torch.nn.Linear):
            expected.append(hidden.detach().numpy())

    rtol = {"float32": 2e-5, "float64": 1e-13}[dtype]
    computed = pre_activations(x, weights, biases)
    assert len(computed) == len(expected)
    for ours, theirs in zip(computed, expected):
        assert ours.dtype == dtype and ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol, atol=rtol)
    output = forward(x, weights, biases)
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, computed[-1])

    signs = [z > 0 for z in expected[:-1]]
    pattern = activation_pattern(x, weights, biases)
    assert pattern.dtype == bool and pattern.shape == (*leading, sum(widths[1:-1]))
    if signs:
        np.testing.assert_array_equal(pattern, np.concatenate(signs, axis=-1))


def test_forward_at_extremes():
    x = [[np.nan, 0], [-1e308, 7], [5e-324, 7], [-0.0, 7], [0, np.nan]]
    output = forward(x, *ABSOLUTE)[:, 0]
    np.testing.assert_array_equal(output, [np.nan, 1e308, 5e-324, 0, np.nan])
    pattern = activation_pattern(x, *ABSOLUTE)
    expected = [[0, 0], [0, 1], [1, 0], [0, 0], [0, 0]]
    np.testing.assert_array_equal(pattern, np.array(expected, bool))
    endless = forward([[np.inf], [-np.inf]], [[[1], [-1]], [[1, 1]]], [[0, 0], [0]])
    np.testing.assert_array_equal(endless, [[np.inf], [np.inf]])


def test_small_integers_do_not_wrap_around():
    x = np.array([200], np.uint8)
    assert forward(x, [np.array([[200]], np.uint8)], [[-1]]) == 39999


# --- interpolate


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 10), st.floats(-100, 100)), min_size=2, max_size=20
    ),
    st.floats(-50, 50),
)
def test_interpolate_meets_the_points_and_continues_the_end_lines(points, start):
    steps, y = np.array(points).T
    x = start + np.cumsum(steps)
    network = interpolate(x, y)
    inside = np.concatenate([x, np.linspace(x[0], x[-1], 101)])
    size = 1e-10 * (1 + np.abs(np.diff(y) / np.diff(x)).max())
    np.testing.assert_allclose(
        forward(inside[:, None], *network)[:, 0], np.interp(inside, x, y), 0, size
    )
    left, right = x[0] - np.arange(1, 9), x[-1] + np.arange(1, 9)
    first = y[0] + (y[1] - y[0]) / (x[1] - x[0]) * (left - x[0])
    last = y[-1] + (y[-1] - y[-2]) / (x[-1] - x[-2]) * (right - x[-1])
    np.testing.assert_allclose(forward(left[:, None], *network)[:, 0], first, 0, size)
    np.testing.assert_allclose(forward(right[:, None], *network)[:, 0], last, 0, size)


def test_interpolate_weights_are_slope_changes():
    weights, biases = interpolate([0, 1, 3, 4], [5, 7, 7, 4])  # slopes 2, 0, -3
    np.testing.assert_array_equal(weights[0], [[1], [1], [1], [-1]])
    np.testing.assert_array_equal(biases[0], [0, -1, -3, 0])
    np.testing.assert_array_equal(weights[1], [[2, -2, -3, -2]])
    np.testing.assert_array_equal(biases[1], [5])


# --- random_network


def test_random_network_has_the_variances_of_he():
    weights, biases = random_network((50, 400, 300, 2), 0, bias_scale=0.5)
    for weight in weights[:2]:
        assert abs(weight.var() * weight.shape[1] / 2 - 1) < 0.03
        assert abs(weight.mean()) < 5 * weight.std() / weight.size**0.5
    assert abs(np.concatenate(biases).std() / 0.5 - 1) < 0.1
    assert all((b == 0).all() for b in random_network((2, 3, 1), 0, bias_scale=0)[1])


def test_random_network_takes_a_generator_or_a_seed():
    rng = np.random.default_rng(3)
    first, second = random_network((2, 3, 1), rng), random_network((2, 3, 1), rng)
    seeded = random_network((2, 3, 1), 3)
    np.testing.assert_array_equal(first[0][0], seeded[0][0])
    assert not np.array_equal(first[0][0], second[0][0])


# --- dead_units


def test_dead_units_by_loop():
    weights, biases = random_network((3, 8, 6, 2), 4)
    biases = [b - 2 for b in biases]
    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    computed = dead_units(x, weights, biases)
    expected = [np.ones(8, bool), np.ones(6, bool)]
    for example in x.reshape(-1, 3):
        for dead, z in zip(expected, pre_activations(example, weights, biases)):
            dead &= z <= 0
    assert [d.tolist() for d in computed] == [d.tolist() for d in expected]
    assert any(d.any() for d in expected) and not all(d.all() for d in expected)
    single = dead_units(x[0, 0], weights, biases)
    assert [d.shape for d in single] == [(8,), (6,)]


def test_dead_units_get_no_gradient_in_torch():
    torch = pytest.importorskip("torch")
    weights, biases = random_network((3, 9, 1), 4)
    biases[0] = biases[0] - 3
    x = np.random.default_rng(1).normal(size=(40, 3))
    weight = torch.tensor(weights[0], requires_grad=True)
    z = torch.tensor(x) @ weight.T + torch.tensor(biases[0])
    (torch.relu(z) @ torch.tensor(weights[1]).T).sum().backward()
    (dead,) = dead_units(x, weights, biases)
    assert dead.any() and not dead.all()
    np.testing.assert_array_equal((weight.grad == 0).all(1), dead)


def test_dead_units_at_extremes():
    x = [[0.0, 1], [-0.0, 2], [np.nan, 0]]
    (dead,) = dead_units(x, *ABSOLUTE)
    assert dead.tolist() == [True, True]
    assert dead_units([[1.0, 2.0]], [[[1, 1]]], [[0]]) == []


# --- mlp, cnn


def outputs_by_functions(x, net, function):
    """The linear layers of a network with a function between them."""
    torch = pytest.importorskip("torch")
    *hidden, output = [m for m in net if isinstance(m, torch.nn.Linear)]
    x = x.reshape(len(x), -1)
    for layer in hidden:
        x = function(layer(x))
    return output(x)


@pytest.mark.parametrize("name", CATALOGUE)
def test_mlp_of_every_activation(name):
    torch = pytest.importorskip("torch")
    net = mlp((6, 5, 4, 3), name, dtype=torch.float64)
    x = torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(4, 2, 3)
    expected = outputs_by_functions(x, net, CATALOGUE[name].torch_module().double())
    assert torch.equal(net(x), expected) and expected.shape == (4, 3)


def test_mlp_agrees_with_forward():
    torch = pytest.importorskip("torch")
    net = mlp((2, 7, 5, 1), CATALOGUE["relu"], dtype=torch.float64)
    layers = [m for m in net if isinstance(m, torch.nn.Linear)]
    weights = [m.weight.detach().numpy() for m in layers]
    biases = [m.bias.detach().numpy() for m in layers]
    x = np.random.default_rng(0).normal(size=(9, 2))
    expected = net(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(forward(x, weights, biases), expected, 1e-12, 1e-15)


def shape_of(net):
    return [type(module).__name__ for module in net]


def test_modules_of_mlp():
    assert shape_of(mlp((2, 1), "relu")) == ["Flatten", "Linear"]
    net = mlp((2, 3, 4, 1), "maxout", num_pieces=5, dropout=0.25)
    maxouts = ["Maxout", "Dropout"] * 2
    assert shape_of(net) == ["Flatten", *maxouts, "Linear"]
    assert [net[i].num_pieces for i in (1, 3)] == [5, 5] and net[2].p == 0.25
    net = mlp((2, 3, 1), CATALOGUE["elu"].with_params(alpha=2), dropout=0.5)
    assert shape_of(net) == ["Flatten", "Linear", "ELU", "Dropout", "Linear"]
    assert net[2].alpha == 2


def test_prelu_per_layer_and_per_unit():
    torch = pytest.importorskip("torch")
    prelu = CATALOGUE["prelu"].with_params(init=0.5)
    shared, single = mlp((2, 3, 4, 1), prelu), mlp((2, 3, 4, 1), prelu, prelu="unit")
    assert [shared[i].weight.tolist() for i in (2, 4)] == [[0.5], [0.5]]
    assert [single[i].weight.tolist() for i in (2, 4)] == [[0.5] * 3, [0.5] * 4]
    assert shared[2].weight is not shared[4].weight
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    single(x).sum().backward()
    z = single[1](x)  # the slope's gradient: sum of min(0, z) times the error signal
    z.retain_grad()
    error = torch.autograd.grad(single[3:](single[2](z)).sum(), z)[0]
    by_hand = (error / torch.where(z > 0, 1.0, 0.5) * z.clamp(max=0)).sum(0)
    torch.testing.assert_close(single[2].weight.grad, by_hand)
    net = cnn((1, 8), (3, 4), (2,), "prelu", prelu="unit")
    assert [net[i].weight.shape for i in (1, 3)] == [(3,), (4,)]


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("in_shape", [(1, 40), (2, 7), (3, 1), (1, 8, 8), (2, 5, 9)])
def test_shapes_of_cnn(in_shape, kernel_size):
    torch = pytest.importorskip("torch")
    net = cnn(in_shape, (4, 6), (5, 3), "relu", kernel_size=kernel_size, dropout=0.5)
    block = [f"Conv{len(in_shape) - 1}d", "ReLU"]
    dense = ["Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    assert shape_of(net) == block * 2 + dense
    assert net(torch.ones(7, *in_shape)).shape == (7, 3)
    first = net[0](torch.ones(1, *in_shape)).shape[2:]
    assert list(first) == [-(-side // 2) for side in in_shape[1:]]


def test_cnn_against_a_literal_convolution():
    torch = pytest.importorskip("torch")
    net = cnn((2, 6), (3,), (1,), "absolute_value", dtype=torch.float64)
    x = torch.randn(2, 6, generator=torch.Generator().manual_seed(0)).double()
    padded = torch.nn.functional.pad(x, (1, 1))
    weight, bias = net[0].weight, net[0].bias
    hidden = torch.stack([
        torch.stack([(padded[:, i : i + 3] * w).sum() + b for i in (0, 2, 4)])
        for w, b in zip(weight, bias)
    ])
    expected = net[3](hidden.abs().flatten())
    torch.testing.assert_close(net(x[None])[0], expected)


def test_own_activations():
    torch = pytest.importorskip("torch")
    own = Activation("own", z * sp.tanh(z), module="torch.nn.Mish")
    assert shape_of(mlp((2, 3, 1), own)) == ["Flatten", "Linear", "Mish", "Linear"]
    square = Activation("square", z**2, module=lambda: torch.square)
    with pytest.raises(TypeError, match="module of square built .*want a torch.nn.Mod"):
        mlp((2, 3, 1), square)
    with pytest.raises(ValueError, match="mine names no torch module"):
        mlp((2, 3, 1), Activation("mine", z**2))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: mlp((2,), "relu"), ValueError, r"widths=\[2\], want at least"),
        (lambda: mlp((2, 0, 1), "relu"), ValueError, "widths contains 0"),
        (lambda: mlp((2, 3, 1), "rely"), KeyError, "unknown activation 'rely'"),
        (lambda: mlp((2, 3, 1), sp.Max(0, z)), TypeError, "want an Activation or a na"),
        (lambda: mlp((2, 3, 1), "relu", dropout=1), ValueError, "dropout=1, want"),
        (lambda: mlp((2, 3, 1), "relu", dropout="a"), TypeError, "dropout='a', want"),
        (lambda: mlp((2, 3, 1), "relu", dropout=np.nan), ValueError, "dropout=nan"),
        (lambda: mlp((2, 3, 1), "relu", prelu="net"), ValueError, "prelu='net', want"),
        (lambda: mlp((2, 3, 1), "maxout", num_pieces=0), ValueError, "num_pieces=0"),
        (lambda: cnn((1, 8), (4,), (2,), "maxout"), ValueError, "'maxout' is not for"),
        (lambda: cnn((8,), (4,), (2,), "relu"), ValueError, r"in_shape=\[8\], want"),
        (lambda: cnn((1, 8), (0,), (2,), "relu"), ValueError, "channels contains 0"),
        (lambda: cnn((1, 8), (4,), (), "relu"), ValueError, "widths is empty"),
        (
            lambda: cnn((1, 8), (4,), (2,), "relu", kernel_size=2),
            ValueError,
            "kernel_size=2, want an odd integer",
        ),
        (lambda: dead_units(np.ones((0, 2)), *ABSOLUTE), ValueError, r"\(0, 2\), want"),
        (lambda: dead_units([1.0], *ABSOLUTE), ValueError, r"x has shape \(1,\), want"),
    ],
)
def test_errors_of_dead_units_mlp_and_cnn(call, error, message):
    pytest.importorskip("torch")
    with pytest.raises(error, match=message):
        call()


# --- bad input


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: forward(1.0, *ABSOLUTE), r"x has shape \(\), want \[..., 2\]"),
        (lambda: forward([1.0], *ABSOLUTE), r"x has shape \(1,\), want \[..., 2\]"),
        (lambda: forward([1], [], []), "weights has 0 layers and biases has 0"),
        (lambda: forward([1], [[[1]]], []), "weights has 1 layers and biases has 0"),
        (lambda: forward([1], [[1]], [[1]]), r"weights\[0\] has shape \(1,\)"),
        (
            lambda: forward([1], [[[1]]], [[1, 2]]),
            r"biases\[0\] has shape \(2,\), want \(1,\)",
        ),
        (
            lambda: forward([1], [[[1], [2]], [[1, 2, 3]]], [[1, 2], [1]]),
            r"weights\[1\] has shape \(1, 3\), want \(fan_out, 2\) after weights\[0\]"
            r" of shape \(2, 1\)",
        ),
        (lambda: forward([1], [[[1], [2, 3]]], [[1]]), r"weights\[0\] is ragged"),
        (lambda: forward([1j], [[[1]]], [[1]]), "x has dtype complex128"),
        (lambda: forward(["1"], [[[1]]], [[1]]), "x has dtype <U1"),
        (lambda: interpolate([0], [1]), r"shapes \(1,\) and \(1,\), want \[n\]"),
        (lambda: interpolate([0, 1], [1, 2, 3]), r"shapes \(2,\) and \(3,\)"),
        (lambda: interpolate([[0, 1]], [[1, 2]]), r"shapes \(1, 2\) and \(1, 2\)"),
        (lambda: interpolate([0, 2, 2], [1, 2, 3]), r"x\[2\]=2.0 follows x\[1\]=2.0"),
        (lambda: interpolate([0, 2, 1], [1, 2, 3]), r"x\[2\]=1.0 follows x\[1\]=2.0"),
        (lambda: interpolate([0, np.nan], [1, 2]), r"x\[1\] is nan"),
        (lambda: interpolate([0, 1], [-np.inf, 2]), r"y\[0\] is -inf"),
        (lambda: interpolate([0, 1e-300], [0, 1e300]), "slopes beyond float64"),
        (lambda: interpolate([-1e308, 1e308], [0, 1]), "steps or slopes beyond"),
        (lambda: interpolate([0, 1, 2], [0, 1e308, 0]), "slopes beyond float64"),
        (lambda: random_network((2,), 0), r"widths=\[2\], want at least"),
        (lambda: random_network((2, -1), 0), "widths contains -1"),
        (lambda: random_network((2, 1), 0, -1), "bias_scale=-1, want"),
        (lambda: random_network((2, 1), 0, np.nan), "bias_scale=nan, want"),
        (lambda: random_network((2, 1), 0, "a"), "bias_scale='a', want a finite"),
        (lambda: random_network((2, 1), 0, [1]), r"bias_scale=\[1\], want a finite"),
        (lambda: random_network((2, 1), "a"), "rng='a', want a numpy.random.Generator"),
        (lambda: random_network((2, 1), -1), "rng=-1, want a numpy.random.Generator"),
        (lambda: forward([1, 2], 3, 4), "weights is 3, want a list"),
        (lambda: forward([1, 2], None, None), "weights is None, want a list"),
        (lambda: forward([1, 2], [[[1, 2]]], 4), "biases is 4, want a list"),
    ],
)
def test_errors_say_what_came_and_what_was_wanted(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
