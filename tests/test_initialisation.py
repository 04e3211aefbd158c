"""relubook.initialisation against closed forms, scipy, sampling and torch."""

import math
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import sympy as sp
import torch
from numpy.random import default_rng

from relubook.activations import CATALOGUE, Activation, z
from relubook.calculus import Undecided
from relubook.initialisation import (
    derivative_second_moment,
    draw,
    gain,
    initialise_,
    maxout_second_moment,
    second_moment,
    weight_std,
)
from relubook.layers import Maxout

each = pytest.mark.parametrize("name", CATALOGUE)
SAMPLE = default_rng(0).standard_normal(10**6)


def own(expr, **params):
    return Activation("own", expr, params)


def with_params(name, **params):
    return CATALOGUE[name].with_params(**params)


def exp_below(a):
    """E[exp(aZ); Z < 0] = exp(a²/2) Φ(-a)."""
    return mpmath.exp(mpmath.mpf(a) ** 2 / 2) * mpmath.ncdf(-a)


# --- moments


@pytest.mark.parametrize(
    "activation, forward, backward",
    [
        ("identity", 1, 1),
        ("relu", 1 / 2, 1 / 2),
        ("absolute_value", 1, 1),
        (with_params("leaky_relu", negative_slope=0.2), 0.52, 0.52),
        (with_params("prelu", init=-3), 5, 5),
        (
            with_params("elu", alpha=2),
            1 / 2 + 4 * (exp_below(2) - 2 * exp_below(1) + 1 / 2),
            1 / 2 + 4 * exp_below(2),
        ),
        ("elu", exp_below(2) - 2 * exp_below(1) + 1, 1 / 2 + exp_below(2)),
        ("selu", 1, None),
        (
            "hardtanh",
            mpmath.erf(mpmath.sqrt(0.5)) - 2 * mpmath.npdf(1) + 2 * mpmath.ncdf(-1),
            mpmath.erf(mpmath.sqrt(0.5)),
        ),
        # Stein's lemma twice: E[Z² Φ²] = E[Φ²] + E[(Φ²)″], with E[Φ²] = 1/3
        ("gelu", mpmath.mpf(1) / 3 + 1 / (2 * mpmath.pi * mpmath.sqrt(3)), None),
        (own(z**3), 15, 27),
        (own(sp.sin(9 * z)), 0.5 - mpmath.exp(-162) / 2, 40.5),
        (own(sp.sign(z)), 1, 0),
        (own(sp.exp(z)), mpmath.exp(2), mpmath.exp(2)),
        (own(sp.exp(z**2 / 5)), mpmath.sqrt(5), None),  # 1 / √(1 - 4/5)
        (
            own(sp.log(sp.Abs(z))),
            mpmath.pi**2 / 8 + (mpmath.euler + mpmath.log(2)) ** 2 / 4,
            None,
        ),
    ],
)
def test_closed_forms(activation, forward, backward):
    if forward is not None:
        assert second_moment(activation) == pytest.approx(float(forward), rel=1e-12)
    if backward is not None:
        computed = derivative_second_moment(activation)
        assert computed == pytest.approx(float(backward), rel=1e-12)


@each
def test_moments_against_scipy_and_a_sample(name):
    activation = CATALOGUE[name]
    h = 1e-6
    functions = {
        second_moment: activation,
        derivative_second_moment: lambda t: (activation(t + h) - activation(t - h))
        / (2 * h),
    }
    for moment, function in functions.items():
        computed = moment(name)
        expected, _ = scipy.integrate.quad(
            lambda t, f=function: f(t) ** 2 * scipy.stats.norm._pdf(t),
            -12,
            12,
            points=[-1, 0, 1, 6],
            limit=500,
        )
        rel = 1e-9 if moment is second_moment else 2e-6
        assert computed == pytest.approx(expected, rel=rel)
        squares = function(SAMPLE) ** 2
        error = squares.std() / math.sqrt(len(squares))
        assert abs(squares.mean() - computed) < 5 * error + 1e-5


def test_names_and_records_agree():
    assert second_moment("tanh") == second_moment(CATALOGUE["tanh"])


@pytest.mark.parametrize(
    "k, exact",
    [
        (1, 1),
        (2, 1),
        (3, 1 + math.sqrt(3) / (2 * math.pi)),
        (4, 1 + math.sqrt(3) / math.pi),
    ],
)
def test_maxout_closed_forms(k, exact):
    assert maxout_second_moment(k) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("k", [5, 10, 1000])
def test_maxout_against_order_statistics(k):
    # The largest of k is the quantile of a Beta(k, 1).
    expected = scipy.stats.beta(k, 1).expect(lambda u: scipy.stats.norm._ppf(u) ** 2)
    assert maxout_second_moment(k) == pytest.approx(expected, rel=1e-6)


# --- gains


@pytest.mark.parametrize(
    "activation, torchs",
    [
        ("identity", ("linear",)),
        ("relu", ("relu",)),
        ("leaky_relu", ("leaky_relu",)),
        (with_params("leaky_relu", negative_slope=0.3), ("leaky_relu", 0.3)),
    ],
)
def test_gain_is_torchs_where_torch_derives_it(activation, torchs):
    expected = torch.nn.init.calculate_gain(*torchs)
    assert gain(activation) == pytest.approx(expected, rel=1e-15)
    assert gain(activation, "backward") == pytest.approx(expected, rel=1e-15)


def test_gain_where_torch_has_other_numbers():
    ours = [round(gain(name), 4) for name in ("tanh", "selu", "sigmoid")]
    assert ours == [1.5925, 1.0, 1.8462]
    theirs = [torch.nn.init.calculate_gain(n) for n in ("tanh", "selu", "sigmoid")]
    assert theirs == [5 / 3, 3 / 4, 1]


@pytest.mark.parametrize("name", ["relu", "absolute_value", "elu", "tanh", "gelu"])
def test_gain_keeps_the_variance(name):
    width, depth = 600, 5
    x = default_rng(1).standard_normal((width, 200))
    for layer in range(depth):
        weight = gain(name) / math.sqrt(width) * draw(2, layer, 0, width, width).T
        x = weight @ (x if layer == 0 else CATALOGUE[name](x))
        if layer == 0:
            x /= x.std(axis=0)
    assert abs(x.var() - 1) < 0.2


# --- weights


def test_weight_std():
    assert weight_std("he", 50, gain=gain("relu")) == pytest.approx(0.2)
    assert weight_std("he", 4) == weight_std("lecun", 4) == 0.5
    assert weight_std("xavier", 30, 20, gain=5 / 3) == pytest.approx(1 / 3)
    assert weight_std(0.01, 30) == 0.01 and weight_std(0, 30) == 0


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.Linear(300, 200),
        torch.nn.Conv1d(30, 200, 9),
        torch.nn.Conv2d(30, 40, (5, 3)),
    ],
    ids=str,
)
def test_schemes_are_those_of_torchs_init(module):
    weight, twin = module.weight, torch.empty_like(module.weight)
    pair = torch.nn.Sequential(module, torch.nn.Linear(2, 2))  # module is hidden
    initialise_(pair, gain="relu")
    torch.nn.init.kaiming_normal_(twin, generator=torch.Generator().manual_seed(0))
    assert abs(weight.std() / twin.std() - 1) < 0.02
    initialise_(pair, "xavier", gain=5 / 3)
    torch.nn.init.xavier_normal_(twin, 5 / 3, torch.Generator().manual_seed(0))
    assert abs(weight.std() / twin.std() - 1) < 0.02
    assert abs(weight.mean()) < 5 * weight.std() / weight.numel() ** 0.5


def test_draw_is_a_function_of_its_arguments():
    a = draw(1, 2, 3, 4, 5)
    assert a.shape == (4, 5) and a.dtype == np.float64
    np.testing.assert_array_equal(a, draw(1, 2, 3, 4, 5))
    np.testing.assert_array_equal(a, default_rng((1, 2, 3)).normal(size=(4, 5)))
    others = [(0, 2, 3), (1, 3, 3), (1, 2, 0), (2, 1, 3), (3, 2, 1)]
    assert all(draw(*key, 4, 5)[0, 0] != a[0, 0] for key in others)


def test_seeds_of_64_bits_would_coincide():
    long, short = default_rng((2**32, 5, 0)), default_rng((0, 1, 5))
    assert long.normal() == short.normal()
    assert draw(2**32 - 1, 0, 0, 1, 1) != draw(0, 2**32 - 1, 0, 1, 1)


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, (3, 1)),
        torch.nn.PReLU(init=0.125),
        torch.nn.Conv1d(3, 4, 3, bias=False),
        torch.nn.Linear(5, 6),
        Maxout(6, 7, 3),
        torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(7, 8)),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_initialise_writes_the_draws(dtype):
    net = network().to(dtype)
    assert initialise_(net, gain="prelu", bias=0.25, seed=9) is net
    g = math.sqrt(1 / (0.5 + 0.25**2 / 2))
    expected = [
        g / math.sqrt(6) * draw(9, 0, 0, 6, 3).T.reshape(3, 2, 3, 1),
        g / math.sqrt(9) * draw(9, 1, 0, 9, 4).T.reshape(4, 3, 3),
        g / math.sqrt(5) * draw(9, 2, 0, 5, 6).T,
        np.stack([draw(9, 3, j, 6, 7).T for j in range(3)], axis=1)
        / math.sqrt(6 * maxout_second_moment(3)),
        1 / math.sqrt(7) * draw(9, 4, 0, 7, 8).T,
    ]
    layers = [net[0], net[2], net[3], net[4], net[5][1]]
    tolerance = {torch.float32: 1e-7, torch.float64: 4e-16}[dtype]
    for layer, weight in zip(layers, expected):
        computed = layer.weight.detach().numpy()
        np.testing.assert_allclose(computed, weight, tolerance, 0)
    biases = [layer.bias for layer in layers if layer.bias is not None]
    assert [set(b.flatten().tolist()) for b in biases] == [{0.25}] * 3 + [{0.0}]
    assert net[1].weight.item() == 0.125


def test_initialise_equals_the_product_to_the_bit():
    net = initialise_(torch.nn.Sequential(torch.nn.Linear(50, 20),
                                          torch.nn.Linear(20, 3)), gain="elu", seed=7)
    for layer, g in enumerate((gain("elu"), 1)):
        std = weight_std("he", net[layer].in_features, gain=g)
        weight = std * draw(7, layer, 0, *net[layer].weight.shape[::-1])
        expected = weight.T.astype(np.float32)
        np.testing.assert_array_equal(net[layer].weight.detach(), expected)


def test_gain_of_maxout_and_of_the_output_layer():
    def stds(**options):
        net = torch.nn.Sequential(Maxout(400, 50, 3), torch.nn.Linear(50, 400))
        initialise_(net, **options)
        return [layer.weight.std().item() for layer in net]

    he = 1 / math.sqrt(400 * maxout_second_moment(3)), 1 / math.sqrt(50)
    assert stds() == pytest.approx(he, rel=0.02)
    assert stds(gain="maxout") == stds() == stds(gain="relu")
    expected = 2 / math.sqrt(400), 1 / math.sqrt(50)
    assert stds(gain=2) == pytest.approx(expected, rel=0.02)
    xavier = math.sqrt(2 / 450)
    assert stds(scheme="xavier") == pytest.approx([xavier, xavier], rel=0.02)
    assert stds(scheme=0.01) == pytest.approx([0.01, 0.01], rel=0.02)
    assert stds(scheme="lecun") == pytest.approx([0.05, 1 / math.sqrt(50)], rel=0.02)


def test_torchs_generator_is_left_alone():
    net = network()
    before = torch.get_rng_state()
    initialise_(net, gain=1)
    assert torch.equal(before, torch.get_rng_state())
    assert all(parameter.requires_grad for parameter in net.parameters())


# --- bad input

SYMBOLIC = CATALOGUE["elu"].symbolic


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: second_moment("rely"), KeyError, "unknown activation 'rely'; wanted"),
        (lambda: second_moment(sp.Max(0, z)), TypeError, "want an Activation or a nam"),
        (lambda: second_moment(SYMBOLIC), ValueError, "of elu depends on alpha: give"),
        (lambda: second_moment(own(sp.log(z))), ValueError, "f has no real value on"),
        (lambda: second_moment(own(1 / z)), ValueError, "is infinite: f grows too fast"
         " towards 0"),
        (lambda: second_moment(own(sp.exp(z**2 / 4))), ValueError, "towards -inf"),
        (lambda: second_moment(own(sp.exp(z**3))), ValueError, "towards inf"),
        (lambda: second_moment(own(sp.Abs(sp.sin(z)))), Undecided, "infinitely many"),
        (lambda: second_moment(own(1 / (1 + (1000 * z - 313) ** 2))), ValueError,
         "want a moment that can be found to 1e-12"),
        (lambda: derivative_second_moment(own(sp.sqrt(sp.Abs(z)))), ValueError,
         r"E\[f′\(Z\)²\] of own is"),
        (lambda: gain("relu", "fan_in"), ValueError, "mode='fan_in', want 'forward'"),
        (lambda: gain(own(sp.sign(z)), "backward"), ValueError, "of own is 0"),
        (lambda: maxout_second_moment(0), ValueError, "num_pieces=0, want a positive"),
        (lambda: weight_std("glorot", 3), ValueError, "scheme='glorot', want 'he'"),
        (lambda: weight_std("xavier", 3), ValueError, "fan_out=None, want a positive"),
        (lambda: weight_std("he", 0), ValueError, "fan_in=0, want a positive"),
        (lambda: weight_std("he", 3, gain=math.nan), ValueError, "gain=nan, want"),
        (lambda: weight_std("he", 3, gain="relu"), TypeError, "gain='relu', want"),
        (lambda: weight_std("lecun", 3, gain=2), ValueError, "gain=2.0, but scheme="),
        (lambda: weight_std(0.1, 3, gain=2), ValueError, "but scheme=0.1 takes none"),
        (lambda: weight_std(-1, 3), ValueError, "scheme=-1, want a finite"),
        (lambda: weight_std(None, 3), TypeError, "scheme=None, want a finite"),
        (lambda: draw(-1, 0, 0, 1, 1), ValueError, "seed=-1, want an integer from 0"),
        (lambda: draw(2**32, 0, 0, 1, 1), ValueError, "seed=4294967296, want an int"),
        (lambda: draw(0, 0.5, 0, 1, 1), ValueError, "layer=0.5, want an integer"),
        (lambda: draw(0, 0, 0, 0, 1), ValueError, "fan_in=0, want a positive"),
        (lambda: initialise_(3), TypeError, "module is 3, want a torch.nn.Module"),
        (lambda: initialise_(torch.nn.ReLU()), ValueError, "module has no linear"),
        (lambda: initialise_(network()), ValueError, "gain=None with scheme"),
        (lambda: initialise_(network(), gain="maxout"), KeyError, "'maxout'"),
        (lambda: initialise_(network(), gain=1, bias=math.inf), ValueError, "bias=inf"),
        (lambda: initialise_(network(), gain=1, seed=-1), ValueError, "seed=-1, want"),
    ],
)
def test_errors_say_what_came_and_what_was_wanted(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_error_leaves_the_module_as_it_was():
    net = network()
    before = [p.clone() for p in net.parameters()]
    with pytest.raises(KeyError):
        initialise_(net, gain="rely")
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before))


def test_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import relubook.networks, relubook.regions\n"
        "from relubook.initialisation import draw, gain, weight_std\n"
        "draw(0, 0, 0, 2, 3), gain('relu'), weight_std('he', 2)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
