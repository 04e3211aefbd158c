"""relubook.regions against exact fractions, linear programs and loops."""

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from relubook.networks import activation_pattern, forward, random_network
from relubook.regions import (
    count_linear_regions,
    linear_regions,
    max_regions,
    maxout_regions,
)

SQUARE = ((-1, 1), (-1, 1))
ABSOLUTE = [[[1, 0], [-1, 0]], [[1, 1]]], [[0, 0], [0]]  # f(x, y) = |x|

small_integers = st.integers(-3, 3)


@st.composite
def integer_networks(draw, max_layers=3, max_width=4):
    """Small integers: lines coincide, meet in one point, vanish and hit corners."""
    layers = draw(st.integers(1, max_layers))
    widths = [2, *(draw(st.integers(1, max_width)) for _ in range(layers)), 1]
    rows = [
        np.array(
            draw(
                st.lists(
                    st.lists(small_integers, min_size=n + 1, max_size=n + 1),
                    min_size=m,
                    max_size=m,
                )
            )
        )
        for n, m in zip(widths, widths[1:])
    ]
    return [row[:, :-1] for row in rows], [row[:, -1] for row in rows]


# --- linear_regions


def areas(regions):
    return np.array([area(region.polygon) for region in regions])


def area(polygon):
    x, y = polygon.T
    return (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def sides(polygon, points):
    """Distance of points [m, 2] from each edge's line, positive inside: [m, edges]."""
    edge = np.roll(polygon, -1, axis=0) - polygon
    gap = points[:, None] - polygon
    cross = edge[:, 0] * gap[..., 1] - edge[:, 1] * gap[..., 0]
    return cross / np.hypot(*edge.T)


def assert_tiling(weights, biases, box, regions, points):
    """The polygons tile the box and tell pattern and output at every point."""
    low, high = np.array(box, float).T
    size = (high - low).max()
    assert np.isclose(areas(regions).sum(), np.prod(high - low), rtol=1e-9, atol=0)
    assert (areas(regions) > 0).all()
    patterns = {region.pattern.tobytes() for region in regions}
    assert len(patterns) == len(regions)
    hits = np.zeros(len(points), int)
    near = np.zeros(len(points), bool)
    observed = activation_pattern(points, weights, biases)
    output = forward(points, weights, biases)
    for region in regions:
        polygon = region.polygon
        assert (low <= polygon).all() and (polygon <= high).all()
        assert (sides(polygon, polygon) > -1e-7 * size).all(), "not convex"
        distance = sides(polygon, points).min(axis=1)
        near |= np.abs(distance) < 1e-7 * size
        inside = distance >= 1e-7 * size
        hits += inside
        affine = points[inside] @ region.gradient.T + region.offset
        np.testing.assert_allclose(affine, output[inside], 1e-8, 1e-8)
        assert (observed[inside] == region.pattern).all()
    assert (hits[~near] == 1).all() and (hits <= 1).all()
    assert near.mean() < 0.05
    assert {row.tobytes() for row in observed[~near]} <= patterns


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("widths", [(2, 7, 1), (2, 6, 6, 3), (2, 5, 5, 5, 1)])
def test_regions_of_random_networks(widths, seed):
    network = random_network(widths, seed)
    box = ((-2, 3), (-1.5, 1))
    regions = linear_regions(*network, box)
    grid = np.stack(np.meshgrid(*(np.linspace(*side, 83) for side in box)), axis=-1)
    assert_tiling(*network, box, regions, grid.reshape(-1, 2) * (1 - 1e-5))
    assert 1 < len(regions) <= max_regions(widths[1:-1], 2)
    assert count_linear_regions(regions) <= len(regions)


@settings(deadline=None, max_examples=40)
@given(integer_networks())
def test_regions_of_degenerate_networks(network):
    regions = linear_regions(*network, ((-2, 2), (-2, 2)))
    # Odd multiples of 1/4096: sums and products with small integers are exact.
    points = np.random.default_rng(0).integers(-4096, 4096, (300, 2)) * 2 + 1
    assert_tiling(*network, ((-2, 2), (-2, 2)), regions, points / 4096)
    assert len(regions) <= max_regions([len(b) for b in network[1][:-1]], 2)


def arrangement_count(rows, reach):
    """Regions of lines ax + by + c = 0 in the open square, in exact arithmetic.

    1 + lines + sum over crossing points of (lines through it - 1).
    """
    corners = list(product([-reach, reach], repeat=2))
    lines = set()
    for a, b, c in rows:
        values = [a * x + b * y + c for x, y in corners]
        if min(values) < 0 < max(values):
            scale = Fraction(a if a else b)
            lines.add((a / scale, b / scale, c / scale))
    through = {}
    for (a, b, c), (d, e, f) in combinations(lines, 2):
        if a * e != b * d:
            x, y = (b * f - c * e) / (a * e - b * d), (c * d - a * f) / (a * e - b * d)
            if max(abs(x), abs(y)) < reach:
                through.setdefault((x, y), set()).update([(a, b, c), (d, e, f)])
    return 1 + len(lines) + sum(len(group) - 1 for group in through.values())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[small_integers] * 3), min_size=1, max_size=12))
def test_one_layer_against_exact_arrangements(rows):
    weights = [[[a, b] for a, b, _ in rows], [[1] * len(rows)]]
    biases = [[c for *_, c in rows], [0]]
    regions = linear_regions(weights, biases, ((-2, 2), (-2, 2)))
    assert len(regions) == arrangement_count(rows, 2)


def patterns_by_linear_programs(weights, biases):
    """The patterns whose region holds a disc, each decided by one linear program."""
    widths = [len(b) for b in biases[:-1]]
    patterns = set()
    for bits in product([False, True], repeat=sum(widths)):
        gradient, offset = np.eye(2), np.zeros(2)
        z_gradient, z_offset = [], []
        layers = np.split(np.array(bits), np.cumsum(widths)[:-1])
        for weight, bias, active in zip(weights, biases, layers):
            gradient, offset = weight @ gradient, weight @ offset + bias
            z_gradient.append(gradient)
            z_offset.append(offset)
            gradient, offset = active[:, None] * gradient, active * offset
        z_gradient, z_offset = np.concatenate(z_gradient), np.concatenate(z_offset)
        sign = np.where(bits, 1, -1)
        norm = np.linalg.norm(z_gradient, axis=1)
        constant = norm == 0
        if ((z_offset > 0) != bits)[constant].any():
            continue
        # The centre's signed distance from every line is at least the radius.
        rows = np.column_stack([-sign[:, None] * z_gradient, norm])[~constant]
        walls = np.column_stack([np.vstack([np.eye(2), -np.eye(2)]), np.ones(4)])
        result = linprog(
            [0, 0, -1],
            np.vstack([rows, walls]),
            np.concatenate([(sign * z_offset)[~constant], np.ones(4)]),
            bounds=[(None, None)] * 3,
        )
        if -result.fun > 1e-7:
            patterns.add(bits)
    return patterns


@pytest.mark.parametrize("widths", [(2, 3, 3, 1), (2, 2, 2, 2, 1), (2, 5, 2, 1)])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("integers", [False, True])
def test_deep_networks_against_linear_programs(widths, seed, integers):
    weights, biases = random_network(widths, seed, bias_scale=0.3)
    if integers:
        rng = np.random.default_rng(seed)
        weights = [rng.integers(-2, 3, w.shape) for w in weights]
        biases = [rng.integers(-1, 2, b.shape) for b in biases]
    regions = linear_regions(weights, biases, SQUARE)
    enumerated = {tuple(region.pattern.tolist()) for region in regions}
    assert enumerated == patterns_by_linear_programs(weights, biases)


@pytest.mark.parametrize("n", range(1, 9))
def test_one_layer_reaches_zaslavskys_number(n):
    (hidden, _), (bias, _) = network = random_network((2, n, 1), 10 + n)
    crossings = [
        np.linalg.solve(hidden[[i, j]], -bias[[i, j]])
        for i, j in combinations(range(n), 2)
    ]
    reach = 1.5 * np.abs([*crossings, [1, 1]]).max() + np.abs(
        bias / np.linalg.norm(hidden, axis=1)
    ).max()
    regions = linear_regions(*network, ((-reach, reach),) * 2)
    assert len(regions) == max_regions([n], 2) == 1 + n + n * (n - 1) // 2


@pytest.mark.parametrize("n", range(1, 9))
def test_parallel_and_concurrent_lines(n):
    out = [[1] * n]
    slant = np.array([0.3, -0.7])
    parallel = [np.tile(slant, (n, 1)), out], [np.linspace(-0.2, 0.2, n), [0]]
    assert len(linear_regions(*parallel, SQUARE)) == n + 1
    angle = np.pi * np.arange(n) / n + 0.1
    through = np.array([0.123, -0.456])
    normals = np.column_stack([np.cos(angle), np.sin(angle)])
    concurrent = [normals, out], [-normals @ through, [0]]
    assert len(linear_regions(*concurrent, SQUARE)) == 2 * n
    repeated = [np.tile(slant, (n, 1)), out], [np.full(n, 0.1), [0]]
    assert len(linear_regions(*repeated, SQUARE)) == 2


def test_lines_along_edges_and_through_corners_do_not_cut_the_box():
    weights = [[[1, 0], [0, -1], [1, 1], [1, -1], [0, 0], [0, 0]], [[1] * 6]]
    biases = [[1, 1, 2, 0, 3, 0], [0]]
    regions = linear_regions(weights, biases, SQUARE)
    patterns = sorted(region.pattern.astype(int).tolist() for region in regions)
    assert patterns == [[1, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0]]  # cut by x = y alone
    for region in regions:
        assert region.polygon.shape == (3, 2) and area(region.polygon) == 2


def test_a_unit_that_is_zero_but_for_rounding_cuts_nothing():
    weights = [[[0.1, 0], [0.2, 0], [0.3, 0]], [[1, 1, -1]], [[1]]]
    biases = [[1, 2, 3], [0], [0]]
    assert 0.1 + 0.2 - 0.3 > 0
    (region,) = linear_regions(weights, biases, SQUARE)
    assert region.pattern.tolist() == [True, True, True, False]


@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_composed_tents_double_their_pieces_with_each_layer(depth):
    tent = [[2, -4], [2, -4]]  # 2 ReLU(u) - 4 ReLU(u - 1/2), of [0, 1] onto [0, 1]
    weights = [[[1, 0], [1, 0]], *[tent] * (depth - 1), tent[:1]]
    biases = [*[[0, -0.5]] * depth, [0]]
    regions = linear_regions(weights, biases, ((0, 1), (0, 1)))
    assert len(regions) == count_linear_regions(regions) == 2**depth
    np.testing.assert_allclose(areas(regions), 0.5**depth, 1e-9)
    assert {tuple(np.abs(r.gradient[0])) for r in regions} == {(2.0**depth, 0.0)}


@pytest.mark.parametrize("seed", range(5))
def test_moved_scaled_and_turned_copies_have_as_many_regions(seed):
    weights, biases = random_network((2, 6, 5, 4, 1), seed)
    box = np.array(SQUARE) * 2.0
    regions = linear_regions(weights, biases, box)

    def count(hidden, bias, box):
        copy = linear_regions([hidden, *weights[1:]], [bias, *biases[1:]], box)
        assert count_linear_regions(copy) == count_linear_regions(regions)
        return len(copy)

    for scale in (1e-6, 1e6, [1e-3, 1e3]):
        size = np.broadcast_to(scale, 2)
        assert count(weights[0] / scale, biases[0], box * size[:, None]) == len(regions)
    far = np.array([100, -30])
    moved = biases[0] - weights[0] @ far
    assert count(weights[0], moved, box + far[:, None]) == len(regions)
    quarter = np.array([[0, 1], [-1, 0]])
    assert count(weights[0] @ quarter, biases[0], box) == len(regions)
    assert count(weights[0][:, ::-1], biases[0], box) == len(regions)


@pytest.mark.parametrize("seed", range(3))
def test_regions_in_the_whole_plane_do_not_depend_on_the_direction(seed):
    weights, biases = random_network((2, 4, 4, 1), seed)
    cos, sin = np.cos(0.7), np.sin(0.7)
    turned = [weights[0] @ [[cos, -sin], [sin, cos]], *weights[1:]]
    whole = ((-1e3, 1e3),) * 2
    upright = len(linear_regions(weights, biases, whole))
    assert len(linear_regions(turned, biases, whole)) == upright


def test_a_network_without_hidden_layers_is_one_region():
    (region,) = linear_regions([[[1, 2], [3, 4]]], [[5, 6]], ((0, 2), (1, 2)))
    np.testing.assert_array_equal(region.polygon, [[0, 1], [2, 1], [2, 2], [0, 2]])
    np.testing.assert_array_equal(region.gradient, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(region.offset, [5, 6])
    assert region.pattern.shape == (0,) and count_linear_regions([region]) == 1


# --- count_linear_regions


def count_by_loops(regions):
    """Join regions with equal maps that share a stretch of an edge, one by one."""
    groups = {i: {i} for i in range(len(regions))}
    for i, j in combinations(range(len(regions)), 2):
        a, b = regions[i], regions[j]
        if not np.allclose(a.gradient, b.gradient, 1e-9, 1e-9):
            continue
        if shared_length(a.polygon, b.polygon) > 1e-6:
            merged = groups[i] | groups[j]
            groups.update(dict.fromkeys(merged, merged))
    return len({id(group) for group in groups.values()})


def shared_length(polygon, other):
    longest = 0
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0)):
        along = (end - start) / np.linalg.norm(end - start)
        for p, q in zip(other, np.roll(other, -1, axis=0)):
            away = (np.stack([p, q]) - start) @ [-along[1], along[0]]
            if np.abs(away).max() < 1e-8:
                t = sorted((np.stack([p, q]) - start) @ along)
                overlap = min(t[1], np.linalg.norm(end - start)) - max(t[0], 0)
                longest = max(longest, overlap)
    return longest


def test_linear_regions_of_known_functions():
    hat = [[[1, 0]] * 3, [[1, -2, 1]]], [[0.5, 0, -0.5], [0]]
    flat = linear_regions(*hat, SQUARE)
    assert len(flat) == 4
    assert count_linear_regions(flat) == 4  # zero on both sides, but apart
    bend = linear_regions(*ABSOLUTE, SQUARE)
    assert (len(bend), count_linear_regions(bend)) == (2, 2)
    dead = [*ABSOLUTE[0][:1], [[-1, -1]], [[1]]], [[0, 0], [0], [3]]
    hidden = linear_regions(*dead, SQUARE)
    assert (len(hidden), count_linear_regions(hidden)) == (2, 1)


def test_count_linear_regions_takes_any_iterable():
    regions = linear_regions(*ABSOLUTE, SQUARE)
    assert count_linear_regions(iter(regions)) == 2


def test_regions_of_the_smallest_and_the_widest_boxes():
    for side in (5e-308, 1.7e308):
        weights = [[[1 / side, 0]], [[1]]]
        regions = linear_regions(weights, [[-0.5], [0]], ((0, side), (0, side)))
        edges = [region.polygon[:, 0].max() / side for region in regions]
        np.testing.assert_allclose(edges, [0.5, 1])
        assert count_linear_regions(regions) == 2


@pytest.mark.parametrize("seed", range(12))
def test_linear_regions_against_loops(seed):
    regions = linear_regions(*random_network((2, 3, 3, 2, 1), seed), SQUARE)
    assert count_linear_regions(regions) == count_by_loops(regions)


@settings(deadline=None, max_examples=40)
@given(integer_networks(max_width=3))
def test_linear_regions_of_degenerate_networks_against_loops(network):
    regions = linear_regions(*network, SQUARE)
    assert count_linear_regions(regions) == count_by_loops(regions)


# --- max_regions


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_max_regions_of_one_layer_against_the_recurrence(dimension):
    def cut(n, d):  # a new hyperplane adds the regions that the others cut on it
        return 1 if n == 0 or d == 0 else cut(n - 1, d) + cut(n - 1, d - 1)

    for n in range(1, 10):
        assert max_regions([n], dimension) == cut(n, dimension)
        assert n > dimension or max_regions([n], dimension) == 2**n


def test_max_regions_of_deep_networks():
    assert max_regions([5, 4], 2) == (1 + 5 + 10) * (1 + 4 + 6)
    assert max_regions([1, 4, 9], 2) == 2 * (1 + 4) * (1 + 9)  # an image is a line
    assert max_regions([5, 1, 9], 3) == (1 + 5 + 10 + 10) * 2 * (1 + 9)
    assert max_regions([], 2) == 1
    assert max_regions([400], 400) == 2**400
    assert max_regions([400], 399) == 2**400 - 1
    assert max_regions([10**6], 10**6) == 1 << 10**6
    assert max_regions(np.array([3, 3]), np.int64(2)) == 49


# --- bad input


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: linear_regions([[[1]]], [[0]], SQUARE), r"want \(fan_out, 2\)"),
        (
            lambda: linear_regions([[[1, np.nan]]], [[0]], SQUARE),
            r"weights\[0\]\[0, 1\] is nan",
        ),
        (
            lambda: linear_regions([[[1, 1]]], [[np.inf]], SQUARE),
            r"biases\[0\]\[0\] is inf",
        ),
        (lambda: linear_regions(*ABSOLUTE, [-1, 1]), r"box has shape \(2,\)"),
        (lambda: linear_regions(*ABSOLUTE, ((0, 1), (2,))), "box is ragged"),
        (lambda: linear_regions(*ABSOLUTE, ((0, 1), (1, 1))), "is empty, want low"),
        (lambda: linear_regions(*ABSOLUTE, ((1, 0), (0, 1))), "is empty, want low"),
        (lambda: linear_regions(*ABSOLUTE, ((0, 1), (0, np.inf))), r"box\[1, 1\] is"),
        (
            lambda: linear_regions([[[1e200, 0]], [[1e200]]], [[0], [0]], SQUARE),
            r"weights\[1\] and biases\[1\] may overflow",
        ),
        (
            lambda: linear_regions([[[9, 0]]], [[0]], ((0, 1e308), (0, 1))),
            r"weights\[0\] and biases\[0\] may overflow",
        ),
        (lambda: count_linear_regions([]), "regions is empty"),
        (lambda: max_regions(16, 2), "hidden_widths=16, want a sequence"),
        (lambda: max_regions([0], 2), "hidden_widths contains 0"),
        (lambda: max_regions([3], 2.5), "dimension=2.5, want a positive integer"),
        (lambda: max_regions([3], 0), "dimension=0, want a positive integer"),
        (lambda: max_regions([True], 2), "hidden_widths contains True"),
        (
            lambda: linear_regions(*ABSOLUTE, ((-1e308, 1e308), (0, 1))),
            r"box=.* has the sides \[inf, 1.0\], want sides from",
        ),
        (
            lambda: linear_regions(*ABSOLUTE, ((0, 5e-324), (0, 1))),
            r"box=.* has the sides \[5e-324, 1.0\], want sides from",
        ),
        (
            lambda: linear_regions(
                [[[1e200, 0]], [[1e200]]], [[0], [0]], ((0, 1e-200), (0, 1e-200))
            ),
            "gradient or the offset of a region overflows",
        ),
    ],
)
def test_errors_say_what_came_and_what_was_wanted(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# --- maxout_regions


@pytest.mark.parametrize("pieces, seed", [(1, 0), (2, 1), (3, 2), (5, 3), (12, 4)])
def test_maxout_regions_of_random_units(pieces, seed):
    rng = np.random.default_rng(seed)
    weights, biases = rng.normal(size=(pieces, 2)), rng.normal(size=pieces) / 3
    box = ((-1, 2), (-3, 1))
    regions = maxout_regions(weights, biases, box)
    assert areas(regions).sum() == pytest.approx(3 * 4)
    points = rng.uniform([-1, -3], [2, 1], size=(2000, 2))
    leader = (points @ weights.T + biases).argmax(axis=1)
    inside = np.array([(sides(region.polygon, points) >= 0).all(axis=1)
                       for region in regions])
    assert (inside.sum(axis=0) == 1).all()
    found = np.array([region.pattern.argmax() for region in regions])
    np.testing.assert_array_equal(found[inside.argmax(axis=0)], leader)
    for region in regions:
        assert region.pattern.sum() == 1
        np.testing.assert_array_equal(region.gradient, weights[region.pattern])
        np.testing.assert_array_equal(region.offset, biases[region.pattern])


@given(st.lists(st.tuples(*3 * [small_integers]), min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_maxout_regions_against_exact_leaders(rows):
    """On a grid that no line a x + b y + c = 0 with small integers meets."""
    rows = np.array(rows)
    regions = maxout_regions(rows[:, :2], rows[:, 2], SQUARE)
    assert areas(regions).sum() == pytest.approx(4)
    xs = [Fraction(i, 997) + Fraction(1, 10**7) for i in range(-990, 991, 90)]
    ys = [y * Fraction(99_991, 100_003) for y in xs]
    patterns = {region.pattern.argmax(): region.polygon for region in regions}
    for x, y in product(xs, ys):
        values = [a * x + b * y + c for a, b, c in rows.tolist()]
        leader = values.index(max(values))
        assert (sides(patterns[leader], np.array([[float(x), float(y)]])) > 0).all()


def test_a_piece_that_leads_on_a_line_only_has_no_region():
    weights, biases = [[1, 0], [0, 0], [-1, 0], [1, 0]], [0, 0, 0, 0]
    regions = maxout_regions(weights, biases, SQUARE)
    assert [region.pattern.argmax() for region in regions] == [0, 2]


@pytest.mark.parametrize("call, message", [
    (lambda: maxout_regions([[1]], [0], SQUARE), r"weights has shape \(1, 1\), want"),
    (lambda: maxout_regions([[1, 0]], [0, 1], SQUARE), r"biases\[0\] has shape \(2,\)"),
    (lambda: maxout_regions([[1, np.nan]], [0], SQUARE), r"is nan"),
    (lambda: maxout_regions([], [], SQUARE), "weights"),
    (lambda: maxout_regions([[1, 0]], [0], ((1, 1), (0, 1))), "is empty"),
])
def test_maxout_regions_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()
