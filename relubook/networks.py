"""Fully connected ReLU networks in NumPy, and the pieces they cut the plane into.

A network is a pair of lists: ``weights[l]`` has shape (fan_out, fan_in), as in
``torch.nn.Linear``, and ``biases[l]`` has shape (fan_out,). ReLU follows every
layer but the last. Chapter "The rectified linear unit" introduces everything here.
"""

from dataclasses import dataclass
from math import comb, prod
from numbers import Integral, Real

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

# A unit's line closer than this to a vertex passes through it. In units of half
# the box: far above rounding (1e-16), far below what a picture or a count can miss.
_TOLERANCE = 1e-10
_SMALLEST = np.finfo(float).smallest_normal  # below it, digits are lost


@dataclass(frozen=True, eq=False)
class Region:
    """A convex polygon on which no unit changes between active and inactive.

    polygon: vertices [n, 2], counter-clockwise, the first not repeated.
    pattern: bool [hidden units], layer by layer, True where a unit is active.
    gradient, offset: [outputs, 2] and [outputs]; on the polygon the network's
        output at x is ``gradient @ x + offset``.
    """

    polygon: np.ndarray
    pattern: np.ndarray
    gradient: np.ndarray
    offset: np.ndarray


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
    weights, biases = _network(weights, biases)
    x = _real("x", x)
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
    x, y = _finite("x", x), _finite("y", y)
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
    widths = _positive_integers("widths", widths)
    if len(widths) < 2:
        raise ValueError(f"widths={widths}, want at least an input and an output width")
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


def linear_regions(weights, biases, box):
    """Cut a rectangle into the regions of constant activation pattern.

    Within one piece a unit's pre-activation is affine, so the unit is active on one
    side of a straight line. Starting from the box, every unit of every layer cuts
    every piece that its line crosses.

    Shapes: a network with two inputs; box ((low, high), (low, high)), one pair per
    input -> list of `Region`. Their polygons tile the box and their patterns differ
    from each other. Computed in float64.

    These are *activation* regions. Neighbours may carry the same affine map, as
    where every unit of a later layer is inactive; `count_linear_regions` counts
    them as one. A unit that is zero on a whole piece is inactive there, and pieces
    thinner than about 1e-10 of the box belong to their neighbours.

    Raises ValueError for other than two inputs, an empty box or one whose sides are
    no normal float64, NaN or infinities, shapes that do not chain, and a network that
    may overflow in the box.

    >>> weights, biases = [[[1, 0], [0, 1]], [[1, 1]]], [[0, 0], [0]]
    >>> regions = linear_regions(weights, biases, ((-1, 1), (-1, 1)))
    >>> [region.gradient.tolist() for region in regions]
    [[[0.0, 0.0]], [[0.0, 1.0]], [[1.0, 0.0]], [[1.0, 1.0]]]

    Reference: Hanin and Rolnick, "Complexity of Linear Regions in Deep Networks"
    (2019).
    """
    weights, biases = _network(weights, biases, finite=True)
    if weights[0].shape[1] != 2:
        raise ValueError(
            f"weights[0] has shape {weights[0].shape}, want (fan_out, 2): regions are"
            " drawn for two inputs"
        )
    centre, half = _centre_and_half(box)
    weights, biases = _on_the_unit_square(weights, biases, centre, half)

    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    pieces = [Region(corners, np.zeros(0, bool), np.eye(2), np.zeros(2))]
    for weight, bias in zip(weights[:-1], biases[:-1]):
        pieces = [part for piece in pieces for part in _cut(piece, weight, bias)]

    regions = []
    for piece in pieces:
        with np.errstate(over="ignore", invalid="ignore"):
            gradient = weights[-1] @ piece.gradient / half
            offset = weights[-1] @ piece.offset + biases[-1] - gradient @ centre
        if not (np.isfinite(gradient).all() and np.isfinite(offset).all()):
            raise ValueError(
                "the gradient or the offset of a region overflows float64, want"
                " smaller weights or a larger box"
            )
        polygon = centre + half * piece.polygon
        regions.append(Region(polygon, piece.pattern, gradient, offset))
    return regions


def count_linear_regions(regions):
    """Number of linear regions: neighbours with the same affine map count once.

    regions: what `linear_regions` returned, a list whose length is the number of
    activation regions. Two of them are joined if they share an edge and their
    gradients agree to 1e-9 of the largest entry (the offsets then agree, as the
    network is continuous). Regions apart from each other stay apart, whatever their
    maps. Raises ValueError for an empty list.

    >>> weights, biases = [[[1, 0], [-1, 0]], [[1, -1]]], [[0, 0], [0]]  # f(x, y) = x
    >>> regions = linear_regions(weights, biases, ((-1, 1), (-1, 1)))
    >>> len(regions), count_linear_regions(regions)
    (2, 1)

    Reference: Hanin and Rolnick, "Complexity of Linear Regions in Deep Networks"
    (2019).
    """
    regions = list(regions)
    if not regions:
        raise ValueError("regions is empty, want what linear_regions returned")
    first, second = _neighbours([region.polygon for region in regions])
    gradients = np.array([region.gradient for region in regions])
    jump = np.abs(gradients[first] - gradients[second]).max(axis=(1, 2), initial=0)
    same = jump <= 1e-9 * np.abs(gradients).max(initial=0)
    return int(_components(len(regions), first[same], second[same])[0])


def max_regions(hidden_widths, dimension):
    """The most regions that hidden layers of these widths can make of R^dimension.

    prod over layers l of sum_{j=0}^{d_l} C(n_l, j),
    d_l = min(dimension, n_1, ..., n_{l-1}).

    For one layer this is Zaslavsky's number of regions of n hyperplanes, which
    hyperplanes in general position attain. For more layers it is an upper bound:
    layer l cuts each region of the layers before it by n_l hyperplanes, and the
    image of a region under those layers has at most dimension d_l.

    hidden_widths: positive integers, input and output left out; returns an exact
    int. Raises ValueError for anything that is not a positive integer.

    >>> max_regions([3], 2), max_regions([16], 2), max_regions([16, 16, 16], 2)
    (7, 137, 2571353)

    References: Zaslavsky, "Facing up to Arrangements" (1975), for one layer;
    Montúfar, Pascanu, Cho and Bengio, "On the Number of Linear Regions of Deep
    Neural Networks" (2014), for how many regions deep networks do reach.
    """
    hidden_widths = _positive_integers("hidden_widths", hidden_widths)
    if not _is_positive_integer(dimension):
        raise ValueError(f"dimension={dimension!r}, want a positive integer")
    dimension = int(dimension)
    image = [min([dimension, *hidden_widths[:i]]) for i in range(len(hidden_widths))]
    return prod(
        sum(comb(width, j) for j in range(d + 1)) if d < width else 2**width
        for width, d in zip(hidden_widths, image)
    )


def _cut(piece, weight, bias):
    """The parts into which the units of the next layer cut a piece."""
    gradient = weight @ piece.gradient
    offset = weight @ piece.offset + bias
    # Rounding in z is relative to the terms summed, not to z, which may cancel.
    size = np.abs(piece.gradient).sum(axis=1) + np.abs(piece.offset)
    tolerance = _TOLERANCE * (np.abs(weight) @ size + np.abs(bias))

    z = piece.polygon @ gradient.T + offset
    crossing = (z.min(axis=0) < -tolerance) & (z.max(axis=0) > tolerance)
    parts = [piece.polygon]
    for unit in np.flatnonzero(crossing):
        line = gradient[unit], offset[unit], tolerance[unit]
        parts = [half for part in parts for half in _halves(part, *line)]

    for part in parts:
        active = (part @ gradient.T + offset).max(axis=0) > tolerance
        pattern = np.concatenate([piece.pattern, active])
        yield Region(part, pattern, active[:, None] * gradient, active * offset)


def _halves(polygon, gradient, offset, tolerance):
    """A convex polygon's two sides of a line, or the polygon if it is on one side."""
    z = polygon @ gradient + offset
    if z.min() >= -tolerance or z.max() <= tolerance:
        return [polygon]
    z[np.abs(z) <= tolerance] = 0
    following, z_following = np.roll(polygon, -1, axis=0), np.roll(z, -1)
    edges = np.flatnonzero(z * z_following < 0)
    share = (z[edges] / (z[edges] - z_following[edges]))[:, None]
    points = (1 - share) * polygon[edges] + share * following[edges]
    polygon = np.insert(polygon, edges + 1, points, axis=0)
    z = np.insert(z, edges + 1, 0)
    return [polygon[z <= 0], polygon[z >= 0]]


def _neighbours(polygons):
    """Index arrays (first, second) of the polygons that share an edge."""
    owner = np.repeat(np.arange(len(polygons)), [len(p) for p in polygons])
    vertices = np.concatenate(polygons)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    # One corner has slightly different coordinates in each polygon around it.
    close = KDTree((vertices - low) / (high - low)).query_pairs(
        10 * _TOLERANCE, output_type="ndarray"
    )
    _, corner = _components(len(vertices), *close.T)
    groups = np.split(corner, np.cumsum([len(p) for p in polygons])[:-1])
    following = np.concatenate([np.roll(group, -1) for group in groups])

    edges = np.sort(np.column_stack([corner, following]), axis=1)
    order = np.lexsort(edges.T)
    owner, edges = owner[order], edges[order]
    repeated = (edges[1:] == edges[:-1]).all(axis=1)
    return owner[:-1][repeated], owner[1:][repeated]


def _components(count, first, second):
    """Number of connected components of a graph, and each node's component."""
    links = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    return connected_components(links, directed=False)


def _network(weights, biases, finite=False):
    """Lists of weight and bias arrays whose shapes chain, or an error."""
    for name, layers in (("weights", weights), ("biases", biases)):
        if not np.iterable(layers):
            raise TypeError(f"{name} is {layers!r}, want a list of one array a layer")
    check = _finite if finite else _real
    weights = [check(f"weights[{i}]", weight) for i, weight in enumerate(weights)]
    biases = [check(f"biases[{i}]", bias) for i, bias in enumerate(biases)]
    if not weights or len(weights) != len(biases):
        raise ValueError(
            f"weights has {len(weights)} layers and biases has {len(biases)},"
            " want the same number, at least 1"
        )
    for i, (weight, bias) in enumerate(zip(weights, biases)):
        if weight.ndim != 2:
            raise ValueError(
                f"weights[{i}] has shape {weight.shape}, want (fan_out, fan_in)"
            )
        if bias.shape != weight.shape[:1]:
            raise ValueError(
                f"biases[{i}] has shape {bias.shape}, want {weight.shape[:1]} for"
                f" weights[{i}] of shape {weight.shape}"
            )
        if i and weight.shape[1] != len(biases[i - 1]):
            raise ValueError(
                f"weights[{i}] has shape {weight.shape}, want (fan_out,"
                f" {len(biases[i - 1])}) after weights[{i - 1}] of shape"
                f" {weights[i - 1].shape}"
            )
    return weights, biases


def _centre_and_half(box):
    box = _finite("box", box)
    if box.shape != (2, 2):
        raise ValueError(
            f"box has shape {box.shape}, want (2, 2): ((low, high), (low, high))"
        )
    low, high = box.T
    if (low >= high).any():
        raise ValueError(f"box={box.tolist()} is empty, want low < high for each input")
    with np.errstate(over="ignore"):
        sides = high - low
    if (sides < 2 * _SMALLEST).any() or np.isinf(sides).any():
        raise ValueError(
            f"box={box.tolist()} has the sides {sides.tolist()}, want sides from"
            f" {2 * _SMALLEST:.1e} to {np.finfo(float).max:.1e}"
        )
    return low / 2 + high / 2, high / 2 - low / 2


def _on_the_unit_square(weights, biases, centre, half):
    """The network as a function of (x - centre) / half: one tolerance fits all boxes.

    Raises ValueError where a value in the square [-1, 1]² might not fit float64.
    """
    size = np.ones(2)
    with np.errstate(over="ignore", invalid="ignore"):
        biases = [biases[0] + weights[0] @ centre, *biases[1:]]
        weights = [weights[0] * half, *weights[1:]]
        for i, (weight, bias) in enumerate(zip(weights, biases)):
            size = np.abs(weight) @ size + np.abs(bias)
            if not np.isfinite(size).all():
                raise ValueError(
                    f"weights[{i}] and biases[{i}] may overflow float64 in the box,"
                    " want smaller ones"
                )
    return weights, biases


def _positive_integers(name, values):
    if not np.iterable(values):
        raise TypeError(f"{name}={values!r}, want a sequence of positive integers")
    for value in values:
        if not _is_positive_integer(value):
            raise ValueError(f"{name} contains {value!r}, want positive integers")
    return [int(value) for value in values]


def _is_positive_integer(value):
    integral = isinstance(value, Integral) and not isinstance(value, bool)
    return integral and value >= 1


def _finite(name, values):
    array = _real(name, values).astype(float)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(bad[0].tolist())
        raise ValueError(f"{name}{list(index)} is {array[index]}, want finite numbers")
    return array


def _real(name, values):
    """A floating array of values, integers as float64."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is ragged, want an array of numbers") from error
    if array.dtype.kind in "biu":
        return array.astype(float)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {array.dtype}, want real numbers")
    return array
