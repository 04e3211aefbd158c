"""The pieces into which a ReLU network or a maxout unit cuts the plane.

A network is a pair of lists, weights and biases, as `relubook.networks` has them.
Chapter "The rectified linear unit" introduces what concerns ReLU networks, chapter
"Maxout" the maxout units.
"""

from dataclasses import dataclass
from math import comb, prod

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from relubook._arguments import finite, network, positive_integer, positive_integers

# A unit's line closer than this to a vertex passes through it. In units of half
# the box: far above rounding (1e-16), far below what a picture or a count can miss.
_TOLERANCE = 1e-10
_CORNERS = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
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
    weights, biases = network(weights, biases, only_finite=True)
    if weights[0].shape[1] != 2:
        raise ValueError(
            f"weights[0] has shape {weights[0].shape}, want (fan_out, 2): regions are"
            " drawn for two inputs"
        )
    centre, half = _centre_and_half(box)
    weights, biases = _on_the_unit_square(weights, biases, centre, half)

    pieces = [Region(_CORNERS, np.zeros(0, bool), np.eye(2), np.zeros(2))]
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


def maxout_regions(weights, biases, box):
    """Cut a rectangle into the polygons on which one piece of a maxout unit leads.

    Piece j leads where w_j · x + b_j is the largest, an intersection of half-planes: a
    convex polygon. Pieces that lead nowhere in the box, or on a line only, have none;
    of equal pieces the first has it.

    Shapes: weights [pieces, 2], biases [pieces]; box ((low, high), (low, high)) -> list
    of `Region`, in the order of the pieces: `pattern` [pieces] is True for the leader,
    gradient [1, 2] and offset [1] are its weights and bias. Computed in float64;
    polygons thinner than about 1e-10 of the box are left out.

    Raises ValueError for other shapes, NaN and infinities, an empty box, and a unit
    that may overflow in it.

    >>> weights, biases = [[1, 0], [-1, 0], [0, 0]], [0, 0, -1]  # |x|, and one too low
    >>> regions = maxout_regions(weights, biases, ((-1, 1), (-1, 1)))
    >>> [region.pattern.tolist() for region in regions]
    [[True, False, False], [False, True, False]]

    Reference: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout
    Networks" (2013).
    """
    (weight,), (bias,) = network([weights], [biases], only_finite=True)
    if weight.shape[1] != 2:
        raise ValueError(
            f"weights has shape {weight.shape}, want (pieces, 2): regions are drawn for"
            " two inputs"
        )
    centre, half = _centre_and_half(box)
    (scaled,), (offset,) = _on_the_unit_square([weight], [bias], centre, half)

    regions = []
    for leader in range(len(weight)):
        polygon = _CORNERS
        for rival in range(len(weight)):
            lead = scaled[leader] - scaled[rival], offset[leader] - offset[rival]
            size = np.abs(lead[0]).sum() + np.abs(lead[1])
            if size == 0 and leader <= rival:
                continue
            if (polygon @ lead[0] + lead[1]).max() <= _TOLERANCE * size:
                break
            polygon = _halves(polygon, *lead, _TOLERANCE * size)[-1]
        else:
            pattern = np.arange(len(weight)) == leader
            piece = slice(leader, leader + 1)
            regions.append(
                Region(centre + half * polygon, pattern, weight[piece], bias[piece])
            )
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
    hidden_widths = positive_integers("hidden_widths", hidden_widths)
    dimension = positive_integer("dimension", dimension)
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


def _centre_and_half(box):
    box = finite("box", box)
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
