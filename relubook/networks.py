"""Fully connected ReLU networks in NumPy; networks of any activation in PyTorch.

In NumPy a network is a pair of lists: ``weights[l]`` has shape (fan_out, fan_in), as
in ``torch.nn.Linear``, and ``biases[l]`` has shape (fan_out,). ReLU follows every
layer but the last. Chapter "The rectified linear unit" introduces it, chapter "Learning
through the kink" adds `dead_units`, `mlp` and `cnn`; only these two need PyTorch.
"""

from math import prod
from numbers import Real

import numpy as np

from relubook._arguments import (
    activation_record,
    finite,
    network,
    positive_integer,
    positive_integers,
    real,
)


def forward(x, weights, biases):
    """Output of a fully connected ReLU network.

    f(x) = W_L h_{L-1} + b_L with h_l = ReLU(W_l h_{l-1} + b_l) and h_0 = x.

    Shapes: x [..., fan_in] -> [..., fan_out]; leading axes may be empty. The dtype
    is NumPy's promotion of x, weights and biases; integers count as float64. NaN
    in x gives NaN; an infinite x gives what ``@`` gives, NaN where 0 meets inf.

    Raises ValueError for shapes that do not chain, TypeError for complex numbers,
    text, and weights and biases that are no lists.

    >>> forward([[-2.0], [3.0]], [[[1], [-1]], [[1, 1]]], [[0, 0], [0]])  # |x|
    array([[2.],
           [3.]])

    Reference: Nair and Hinton, "Rectified Linear Units Improve Restricted
    Boltzmann Machines" (2010).
    """
    return pre_activations(x, weights, biases)[-1]


def pre_activations(x, weights, biases):
    """Pre-activations z_l = W_l h_{l-1} + b_l of every layer, the output's last.

    Shapes: x [..., fan_in] -> one array [..., width] a layer. Dtypes, NaN,
    infinities and errors are those of `forward`.

    >>> hidden, output = pre_activations([3.0], [[[1], [-1]], [[1, 1]]], [[0, 0], [0]])
    >>> hidden, output
    (array([ 3., -3.]), array([3.]))

    Reference: Montúfar, Pascanu, Cho and Bengio, "On the Number of Linear Regions
    of Deep Neural Networks" (2014).
    """
    weights, biases = network(weights, biases)
    x = real("x", x)
    fan_in = weights[0].shape[1]
    if x.ndim == 0 or x.shape[-1] != fan_in:
        raise ValueError(
            f"x has shape {x.shape}, want [..., {fan_in}] for weights[0] of shape"
            f" {weights[0].shape}"
        )
    layers = [x @ weights[0].T + biases[0]]
    for weight, bias in zip(weights[1:], biases[1:]):
        layers.append(np.maximum(layers[-1], 0) @ weight.T + bias)
    return layers


def activation_pattern(x, weights, biases):
    """Which hidden units are active at x: z > 0, layer by layer.

    Shapes: x [..., fan_in] -> bool [..., hidden units]. A unit with z = 0, on its
    own line, is inactive, in agreement with ReLU'(0) = 0; so is one with z = NaN.
    Errors are those of `forward`.

    >>> weights, biases = [[[1], [-1]], [[1, 1]]], [[0, 0], [0]]
    >>> activation_pattern([[-2.0], [0.0], [3.0]], weights, biases)
    array([[False,  True],
           [False, False],
           [ True, False]])

    Reference: Hanin and Rolnick, "Deep ReLU Networks Have Surprisingly Few
    Activation Patterns" (2019).
    """
    *hidden, output = pre_activations(x, weights, biases)
    none = np.zeros((*output.shape[:-1], 0), bool)
    return np.concatenate([none, *(z > 0 for z in hidden)], axis=-1)


def dead_units(x, weights, biases):
    """Which hidden units are inactive, z <= 0, for every example: dead on this data.

    A dead unit outputs 0 for all of them, and no gradient reaches its weights.

    Shapes: x [..., fan_in] with at least one example -> one bool [width] a hidden
    layer. A unit with z = NaN counts as inactive, as in `activation_pattern`. Errors
    are those of `forward`; ValueError too where x holds no example.

    >>> weights, biases = [[[1], [-1], [0]], [[1, 1, 1]]], [[0, 0, -1], [0]]
    >>> dead_units([[0.5], [2.0]], weights, biases)
    [array([False,  True,  True])]

    Reference: Lu, Shin, Su and Karniadakis, "Dying ReLU and Initialization: Theory and
    Numerical Examples" (2020).
    """
    *hidden, output = pre_activations(x, weights, biases)
    if output.size == 0:
        raise ValueError(f"x has shape {np.shape(x)}, want at least one example")
    return [~(z > 0).reshape(-1, z.shape[-1]).any(axis=0) for z in hidden]


def interpolate(x, y):
    """The network with one hidden layer through the points (x[i], y[i]).

    With the slopes s_i = (y_{i+1} - y_i) / (x_{i+1} - x_i),

    f(t) = y_0 + s_0 ReLU(t - x_0)
               + sum over inner i of (s_i - s_{i-1}) ReLU(t - x_i)
               - s_0 ReLU(x_0 - t).

    Each unit bends the graph at its knot, and its output weight is the change of
    slope there. The last unit looks left from x_0: since ReLU(u) - ReLU(-u) = u, it
    makes the first one the whole line s_0 (t - x_0). So n points take n units, and
    outside the points f continues its first and its last line (`numpy.interp` is
    constant there).

    Shapes: x [n] and y [n] with n >= 2 -> weights of shapes (n, 1) and (1, n),
    biases of shapes (n,) and (1,), all float64. f meets the points up to rounding.

    Raises ValueError for fewer than two points, x that does not increase strictly,
    NaN, infinities, and slopes beyond float64.

    >>> weights, biases = interpolate([0, 1, 3], [0, 2, 2])
    >>> weights[1]
    array([[ 2., -2., -2.]])
    >>> forward([[-1.0], [0.5], [2.0]], weights, biases)[:, 0]
    array([-2.,  1.,  2.])

    Reference: Arora, Basu, Mianjy and Mukherjee, "Understanding Deep Neural
    Networks with Rectified Linear Units" (2018).
    """
    x, y = finite("x", x), finite("y", y)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(
            f"x and y have shapes {x.shape} and {y.shape}, want [n] for both, n >= 2"
        )
    stuck = np.flatnonzero(x[1:] <= x[:-1])
    if len(stuck):
        i = stuck[0]
        raise ValueError(
            f"x must increase strictly, but x[{i + 1}]={x[i + 1]} follows"
            f" x[{i}]={x[i]}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(x)
        slopes = np.diff(y) / steps
        bends = np.diff(slopes, prepend=0)
    if not np.isfinite([steps, slopes, bends]).all():
        raise ValueError("x and y have steps or slopes beyond float64, want finite")
    inward = np.append(np.ones(len(bends)), -1)[:, None]
    outward = np.append(bends, -slopes[0])[None]
    knots = np.append(x[:-1], x[0])
    return [inward, outward], [-inward[:, 0] * knots, y[:1]]


def random_network(widths, rng, bias_scale=1.0):
    """A network with He's weights, W ~ N(0, 2 / fan_in), and b ~ N(0, bias_scale²).

    widths: input, hidden layers, output, such as (2, 16, 16, 1). rng: a
    `numpy.random.Generator`, or a seed for one. He et al. start with zero biases;
    then every line of the first layer passes through the origin, so the default
    here is 1. Returns (weights, biases), float64.

    Raises ValueError for fewer than two widths, widths that are not positive
    integers, and a negative or non-finite bias_scale; TypeError for a bias_scale or
    an rng of another type.

    >>> weights, biases = random_network((2, 3, 1), np.random.default_rng(0))
    >>> [w.shape for w in weights], [b.shape for b in biases]
    ([(3, 2), (1, 3)], [(3,), (1,)])

    Reference: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015).
    """
    widths = _input_to_output(widths)
    if not isinstance(bias_scale, Real):
        raise TypeError(f"bias_scale={bias_scale!r}, want a finite number >= 0")
    if not (np.isfinite(bias_scale) and bias_scale >= 0):
        raise ValueError(f"bias_scale={bias_scale}, want a finite number >= 0")
    try:
        rng = np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        wanted = "want a numpy.random.Generator or a seed, an integer >= 0"
        raise type(error)(f"rng={rng!r}, {wanted}") from error
    weights, biases = [], []
    for fan_in, fan_out in zip(widths, widths[1:]):
        weights.append(rng.normal(0, np.sqrt(2 / fan_in), (fan_out, fan_in)))
        biases.append(rng.normal(0, bias_scale, fan_out))
    return weights, biases


def mlp(
    widths,
    activation,
    *,
    num_pieces=2,
    dropout=0.0,
    prelu="layer",
    device=None,
    dtype=None,
):
    """A fully connected network as a `torch.nn.Sequential`.

    Flatten, then for each hidden layer Linear, activation and, if dropout > 0,
    Dropout; at the end Linear. The parameters are as torch starts them:
    `relubook.initialisation.initialise_` draws them as the book does.

    widths: input, hidden layers, output, such as (40, 100, 100, 10). activation: an
    `Activation`, a name of the catalogue, or "maxout", which makes each hidden layer a
    `relubook.layers.Maxout` of num_pieces. dropout: the probability in [0, 1) that a
    hidden unit is set to 0 in training. prelu: whether the units of a "layer" share
    PReLU's learned slope, as torch's default has it, or each "unit" has its own.

    Shapes: [n, ...] with widths[0] numbers an example -> [n, widths[-1]].

    Raises ValueError for fewer than two widths, sizes that are no positive integers,
    another prelu, and an activation without a torch module; KeyError for an unknown
    name; TypeError for what is no activation.

    >>> mlp((2, 3, 1), "relu")
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=2, out_features=3, bias=True)
      (2): ReLU()
      (3): Linear(in_features=3, out_features=1, bias=True)
    )

    References: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015), for
    PReLU; Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout Networks"
    (2013); Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout"
    (2014).
    """
    import torch

    widths = _input_to_output(widths)
    dense = _dense(widths, activation, num_pieces, dropout, prelu)
    return torch.nn.Sequential(torch.nn.Flatten(), *dense).to(device, dtype)


def cnn(
    in_shape,
    channels,
    widths,
    activation,
    *,
    kernel_size=3,
    dropout=0.0,
    prelu="layer",
    device=None,
    dtype=None,
):
    """A small convolutional network, in one or two dimensions.

    For each entry of channels a convolution with stride 2, which halves every side
    (rounded up), and the activation; then Flatten and the dense layers of `mlp` with
    widths, the last of which is the output.

    in_shape: (channels, length) or (channels, height, width) of one example. channels:
    those of the convolutions, such as (16, 32). kernel_size: odd; kernel_size // 2
    zeros are added on each side. With prelu="unit" each channel has its own slope. The
    other arguments and errors are those of `mlp`; "maxout" is for `mlp` alone.

    Shapes: [n, *in_shape] -> [n, widths[-1]].

    >>> cnn((1, 40), (8,), (10,), "relu")
    Sequential(
      (0): Conv1d(1, 8, kernel_size=(3,), stride=(2,), padding=(1,))
      (1): ReLU()
      (2): Flatten(start_dim=1, end_dim=-1)
      (3): Linear(in_features=160, out_features=10, bias=True)
    )

    Reference: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to
    Document Recognition" (1998).
    """
    import torch

    if isinstance(activation, str) and activation == "maxout":
        raise ValueError("activation='maxout' is not for cnn, want one of mlp's others")
    in_shape = positive_integers("in_shape", in_shape)
    if len(in_shape) not in (2, 3):
        raise ValueError(
            f"in_shape={in_shape}, want (channels, length) or (channels, height, width)"
        )
    channels = positive_integers("channels", channels)
    kernel_size = positive_integer("kernel_size", kernel_size)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size}, want an odd integer")

    fan_in, *sides = in_shape
    convolution = torch.nn.Conv1d if len(sides) == 1 else torch.nn.Conv2d
    modules = []
    for fan_out in channels:
        modules += [
            convolution(
                fan_in, fan_out, kernel_size, stride=2, padding=kernel_size // 2
            ),
            _activation_module(activation, fan_out, prelu),
        ]
        fan_in, sides = fan_out, [(side + 1) // 2 for side in sides]
    widths = positive_integers("widths", widths)
    if not widths:
        raise ValueError("widths is empty, want at least the output's")
    features = fan_in * prod(sides)
    dense = _dense([features, *widths], activation, 1, dropout, prelu)
    return torch.nn.Sequential(*modules, torch.nn.Flatten(), *dense).to(device, dtype)


def _input_to_output(widths):
    widths = positive_integers("widths", widths)
    if len(widths) < 2:
        raise ValueError(f"widths={widths}, want at least an input and an output width")
    return widths


def _dense(widths, activation, num_pieces, dropout, prelu):
    """The modules of a fully connected network, from the first layer to the last."""
    import torch

    from relubook.layers import Maxout

    if isinstance(dropout, bool) or not isinstance(dropout, Real):
        raise TypeError(f"dropout={dropout!r}, want a number from 0 to below 1")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}, want a number from 0 to below 1")
    modules = []
    for fan_in, fan_out in zip(widths, widths[1:-1]):
        if isinstance(activation, str) and activation == "maxout":
            modules.append(Maxout(fan_in, fan_out, num_pieces))
        else:
            modules.append(torch.nn.Linear(fan_in, fan_out))
            modules.append(_activation_module(activation, fan_out, prelu))
        if dropout:
            modules.append(torch.nn.Dropout(dropout))
    return [*modules, torch.nn.Linear(*widths[-2:])]


def _activation_module(activation, units, prelu):
    import torch

    if prelu not in ("layer", "unit"):
        raise ValueError(f"prelu={prelu!r}, want 'layer' or 'unit'")
    activation = activation_record(activation)
    module = activation.torch_module()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module of {activation.name} built {module!r}, want a torch.nn.Module"
        )
    if prelu == "unit" and type(module) is torch.nn.PReLU:
        (slope,) = module.weight.tolist()
        return torch.nn.PReLU(units, init=slope)
    return module
