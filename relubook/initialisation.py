r"""How large the first weights should be: moments of activations, gains, He, Xavier.

A unit sums `fan_in` products. With independent weights of mean 0 and variance
$g^2 / n$, where $n$ is `fan_in`, zero biases and inputs $f(z_1), \dots, f(z_n)$,
its pre-activation has variance $g^2 \operatorname{E} f(z)^2$. If the $z_j$ are
standard normal, the variance stays 1 from layer to layer for the gain
$g = \operatorname{E}[f(Z)^2]^{-1/2}$, which is $\sqrt 2$ for ReLU (He et al. 2015).
Everything here computes that gain, or draws such weights.

Works without PyTorch; only `initialise_` needs it. Chapter "Learning through the kink"
introduces everything here.
"""

import math
from functools import lru_cache
from numbers import Integral, Real

import mpmath
import numpy as np
import sympy as sp

from relubook import calculus
from relubook._arguments import activation_record, positive_integer
from relubook.activations import z

_SPLITS = (-8, -2, 2, 8)  # of the normal density: shorter intervals converge faster
_DIGITS = 20  # of the integrals; the results are rounded to float64's 16


def second_moment(activation):
    r"""The second moment $\operatorname{E}[f(Z)^2]$ of an activation, $Z \sim N(0, 1)$.

    `activation` is an `Activation`, yours too, or a name of the catalogue. The formula
    is integrated with 20 digits between its kinks; the result is a float, right to
    1e-12 of itself.

    Raises `ValueError` where a parameter is a symbol, the formula has no real value
    somewhere, the moment is infinite, or its integral cannot be found to 1e-12;
    `calculus.Undecided`, a `ValueError`, where the kinks cannot be found; `KeyError`
    for an unknown name, `TypeError` for what is neither.

    >>> second_moment("relu"), second_moment("absolute_value")
    (0.5, 1.0)
    >>> from relubook.activations import CATALOGUE
    >>> round(second_moment(CATALOGUE["leaky_relu"].with_params(negative_slope=3)), 9)
    5.0

    Reference: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015).
    """
    activation = activation_record(activation)
    return _second_moment(activation.formula, 0, f"E[f(Z)²] of {activation.name}")


def derivative_second_moment(activation):
    r"""The second moment $\operatorname{E}[f'(Z)^2]$ of the derivative.

    It does for gradients, layer by layer backwards, what `second_moment` does for
    signals. The derivative is taken almost everywhere: neither its value at a kink
    nor the point mass of a jump counts. Arguments and errors as `second_moment`.

    >>> derivative_second_moment("relu"), derivative_second_moment("identity")
    (0.5, 1.0)

    Reference: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015).
    """
    activation = activation_record(activation)
    return _second_moment(activation.formula, 1, f"E[f′(Z)²] of {activation.name}")


def maxout_second_moment(num_pieces):
    r"""The second moment of the largest of `num_pieces` independent $N(0, 1)$: a float.

    $\operatorname{E}[\max(Z_1, \dots, Z_k)^2]
    = \int z^2\, k\, \varphi(z)\, \Phi(z)^{k-1}\, dz$: 1 for one and for two pieces.

    Raises `ValueError` for anything but a positive integer.

    >>> [round(maxout_second_moment(k), 4) for k in (1, 2, 3, 5)]
    [1.0, 1.0, 1.2757, 1.8]

    Reference: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout
    Networks" (2013).
    """
    return _maxout_second_moment(positive_integer("num_pieces", num_pieces))


def gain(activation, mode="forward"):
    r"""The gain that keeps the variance of pre-activations, or of gradients: a float.

    $\operatorname{E}[f(Z)^2]^{-1/2}$ (`mode="forward"`) or
    $\operatorname{E}[f'(Z)^2]^{-1/2}$ (`"backward"`): with weights of variance
    gain² / fan_in (backward: gain² / fan_out) and zero biases, variance 1 is a fixed
    point from layer to layer. For $f(cz) = c f(z)$, $c > 0$, such as ReLU, every
    variance is kept and both modes agree.

    `torch.nn.init.calculate_gain` gives the same for the identity, ReLU and leaky ReLU,
    and round numbers from practice elsewhere: 5/3 for tanh (here 1.5925), 3/4 for SELU
    (here 1: variance 1 is SELU's own fixed point) and 1 for the sigmoid (here 1.8462).

    Arguments and errors as `second_moment`; `ValueError` too for another mode and where
    the moment is 0.

    >>> gain("relu") == math.sqrt(2)
    True
    >>> round(gain("tanh"), 4), round(gain("tanh", mode="backward"), 4)
    (1.5925, 1.4674)

    Reference: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015).
    """
    moments = {"forward": second_moment, "backward": derivative_second_moment}
    if mode not in moments:
        raise ValueError(f"mode={mode!r}, want 'forward' or 'backward'")
    activation = activation_record(activation)
    moment = moments[mode](activation)
    if moment == 0:
        raise ValueError(
            f"the {mode} second moment of {activation.name} is 0, want one above 0"
        )
    return math.sqrt(1 / moment)


def weight_std(scheme, fan_in, fan_out=None, gain=1.0):
    r"""The standard deviation of a layer's weights: a float.

    | `scheme` | standard deviation |
    |---|---|
    | `"he"` | gain / √fan_in |
    | `"xavier"` | gain · √(2 / (fan_in + fan_out)) |
    | `"lecun"` | 1 / √fan_in |
    | a number | itself, for instance 0.01 |

    `fan_in` and `fan_out` are positive integers; only `"xavier"` needs the second.

    Raises `ValueError` for another scheme, a gain beside `"lecun"` or a number, fans
    that are no positive integers, negative or non-finite numbers; `TypeError` for
    other types.

    >>> weight_std("he", 200, gain=math.sqrt(2)), weight_std("xavier", 128, 72)
    (0.1, 0.1)

    References: LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998); Glorot and
    Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural Networks"
    (2010); He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015).
    """
    fan_in = positive_integer("fan_in", fan_in)
    gain = _number("gain", gain, at_least=0)
    if scheme == "he":
        return gain / math.sqrt(fan_in)
    if scheme == "xavier":
        return gain * math.sqrt(2 / (fan_in + positive_integer("fan_out", fan_out)))
    std = 1 / math.sqrt(fan_in) if scheme == "lecun" else _std(scheme)
    if gain != 1:
        raise ValueError(f"gain={gain}, but scheme={scheme!r} takes none: want 1")
    return std


def draw(seed, layer, piece, fan_in, units):
    """Standard normals for one layer: float64 [fan_in, units].

    A function of its arguments alone: `numpy.random.default_rng((seed, layer, piece))`.
    `layer` counts from 0; `piece` is 0, or counts the pieces of a maxout layer.
    `initialise_` writes it times `weight_std`, a float64 product, rounded to the
    layer's dtype.

    Raises `ValueError` for a seed, layer or piece that is no integer from 0 to
    2**32 - 1 (beyond it NumPy's streams would coincide), or fans that are no positive
    integers.

    >>> draw(0, 0, 0, fan_in=2, units=3).shape
    (2, 3)
    """
    key = [_key(*item) for item in dict(seed=seed, layer=layer, piece=piece).items()]
    shape = positive_integer("fan_in", fan_in), positive_integer("units", units)
    return np.random.default_rng(key).standard_normal(shape)


def initialise_(module, scheme="he", gain=None, bias=0.0, seed=0):
    """Fill every linear, convolutional and maxout layer of a torch module in place.

    Layers count from 0 in the order of `module.modules()`; the last one is the output
    layer. Layer l gets `draw(seed, l, piece, fan_in, units)` times `weight_std`,
    transposed to torch's layout: of a convolution [out_channels, in_channels, ...] the
    rows of the draw are the columns of `weight.flatten(1)`. fan_in and fan_out are
    torch's: of a convolution, channels times kernel; of a maxout layer, those of one
    piece.

    `scheme` is one of `weight_std`. `gain` is for the hidden layers, 1 for the output
    layer; a number, or the activation that follows them, an `Activation` or a name,
    for `gain(activation)`. Maxout layers take `maxout_second_moment` of their pieces
    unless it is a number. Without `gain`, `"he"` wants to know the activation and the
    other schemes take 1. `bias` fills the hidden layers' biases; the output layer's
    are 0. Other parameters, such as PReLU's slopes, are left alone.

    Returns the module. Raises `TypeError` for no module, `ValueError` for one without
    such layers, and for what `weight_std`, `draw` and the function `gain` refuse.

    >>> import torch
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Linear(50, 20), torch.nn.ReLU(), torch.nn.Linear(20, 1)
    ... )
    >>> net = initialise_(net, gain="relu", seed=3)
    >>> weight = math.sqrt(2 / 50) * draw(3, 0, 0, 50, 20)
    >>> torch.equal(net[0].weight, torch.tensor(weight.T, dtype=torch.float32))
    True

    References: as `weight_std`.
    """
    layers = _layers(module)
    bias = _number("bias", bias)
    # All is drawn before anything is written: an error leaves the module as it was.
    weights = []
    for number, layer in enumerate(layers):
        is_output = layer is layers[-1]
        scale = 1.0 if is_output else _hidden_gain(layer, scheme, gain)
        weights.append(_weights(layer, number, scheme, scale, seed))
    for layer, weight in zip(layers, weights):
        layer.weight.data.copy_(weight)
        if layer.bias is not None:
            layer.bias.data.fill_(0.0 if layer is layers[-1] else bias)
    return module


@lru_cache(maxsize=256)
def _second_moment(formula, order, what):
    others = formula.free_symbols - {z}
    if others:
        names = ", ".join(sorted(map(str, others)))
        raise ValueError(f"{what} depends on {names}: give it a number")
    edges, functions = [], []
    for lower, upper, piece in calculus.pieces(formula, z):
        if piece is sp.nan:
            raise ValueError(f"{what}: f has no real value on ({lower}, {upper})")
        edges.append(lower)
        functions.append(sp.lambdify(z, sp.diff(piece, z, order), "mpmath"))
    with mpmath.workdps(_DIGITS):
        ends = sp.lambdify([], [*edges, sp.oo], "mpmath")()
        _check_tail(functions[0], -1, what)
        _check_tail(functions[-1], 1, what)
        for before, edge, after in zip(functions, ends[1:], functions[1:]):
            _check_edge(before, edge, -1, what)
            _check_edge(after, edge, 1, what)
        integrals = [
            _integral(lambda t, f=f: f(t) ** 2 * mpmath.npdf(t), lower, upper)
            for f, lower, upper in zip(functions, ends, ends[1:])
        ]
        return _total(integrals, what)


@lru_cache(maxsize=64)
def _maxout_second_moment(num_pieces):
    def integrand(t):
        return t**2 * mpmath.npdf(t) * mpmath.ncdf(t) ** (num_pieces - 1)

    with mpmath.workdps(_DIGITS):
        integral, error = _integral(integrand, -mpmath.inf, mpmath.inf)
        scaled = num_pieces * integral, num_pieces * error
        return _total([scaled], f"E[max²] of {num_pieces} pieces")


def _integral(function, lower, upper):
    """The integral and an estimate of its error."""
    points = [lower, *(split for split in _SPLITS if lower < split < upper), upper]
    return mpmath.quad(function, points, error=True, maxdegree=9)


def _total(integrals, what):
    """The sum of (integral, error) pairs, if it is right to 1e-12."""
    total, error = (sum(column) for column in zip(*integrals))
    if not error <= total * 1e-12 or math.isinf(total):  # also where it is NaN
        raise ValueError(
            f"{what} is {mpmath.nstr(total, 5)} with an error near"
            f" {mpmath.nstr(error, 2)}, want a moment that can be found to 1e-12"
        )
    return float(total)


# Quadrature sees finitely many points: of an integral that diverges it may return a
# large number with a small error. These two look at the ends of each piece.


def _check_tail(function, side, what):
    """Raise unless f(t)² φ(t) falls at least as exp(-t) far out."""
    t = 3000 + mpmath.pi  # no zero of the usual waves
    value = abs(function(side * t))
    if value and 2 * mpmath.log(value) - t**2 / 2 > -t:
        end = "inf" if side > 0 else "-inf"
        raise ValueError(f"{what} is infinite: f grows too fast towards {end}")


def _check_edge(function, edge, side, what):
    """Raise unless h f(edge ± h)² falls with h, as where f² is integrable."""
    far, near = mpmath.mpf("1e-10"), mpmath.mpf("1e-20")
    with mpmath.extradps(_DIGITS):
        areas = [h * function(edge + side * h) ** 2 for h in (far, near)]
    if areas[1] and areas[1] >= areas[0]:
        raise ValueError(
            f"{what} is infinite: f grows too fast towards {mpmath.nstr(edge, 5)}"
        )


def _std(scheme):
    if isinstance(scheme, str):
        raise ValueError(
            f"scheme={scheme!r}, want 'he', 'xavier', 'lecun' or a standard deviation"
        )
    return _number("scheme", scheme, at_least=0)


def _number(name, value, at_least=-math.inf):
    wanted = "want a finite number" + (" >= 0" if at_least == 0 else "")
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r}, {wanted}")
    if not (math.isfinite(value) and value >= at_least):
        raise ValueError(f"{name}={value!r}, {wanted}")
    return float(value)


def _key(name, value):
    integral = isinstance(value, Integral) and not isinstance(value, bool)
    if not (integral and 0 <= value < 2**32):
        raise ValueError(f"{name}={value!r}, want an integer from 0 to 2**32 - 1")
    return int(value)


def _layers(module):
    import torch

    from relubook.layers import Maxout

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module is {module!r}, want a torch.nn.Module")
    nn = torch.nn
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, Maxout)
    layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
    if not layers:
        raise ValueError("module has no linear, convolutional or maxout layer")
    return layers


def _hidden_gain(layer, scheme, value):
    if isinstance(value, Real):
        return value
    if value is None and scheme != "he":
        return 1.0
    if hasattr(layer, "num_pieces"):
        return math.sqrt(1 / maxout_second_moment(layer.num_pieces))
    if value is None:
        raise ValueError(
            "gain=None with scheme='he', want a number or the activation that follows"
            " the hidden layers"
        )
    return gain(value)


def _weights(layer, number, scheme, scale, seed):
    """The weights of one layer in torch's layout, a float64 tensor."""
    import torch

    units, num_pieces = len(layer.weight), getattr(layer, "num_pieces", 1)
    fan_in = layer.weight[0].numel() // num_pieces
    fan_out = units * math.prod(getattr(layer, "kernel_size", ()))
    std = weight_std(scheme, fan_in, fan_out, scale)
    pieces = [
        (std * draw(seed, number, piece, fan_in, units)).T
        for piece in range(num_pieces)
    ]
    # [units, pieces, fan_in]: the layout of Maxout, and with one piece of the others.
    return torch.from_numpy(np.stack(pieces, axis=1).reshape(layer.weight.shape))
